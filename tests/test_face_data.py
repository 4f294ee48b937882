"""Faces in data sets: importers of layouts that the tests write, columns, and what `data check` finds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_amass import body_model
from test_data_check import check, frame
from test_face import talking

from hf_motion import Face, Motion
from hf_motion.data.build import BuildSettings, build_dataset
from hf_motion.data.check_faces import judge_face, measure_face
from hf_motion.data.face_columns import face_of_row
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.data.sources import SourceOptions
from hf_motion.data.sources.beat import read_words
from hf_motion.face import FACE_SETS
from hf_motion.formats import write_face
from hf_motion.formats.motion_x import read_motion_x

FIXTURES = Path(__file__).parent / "fixtures"


def built(source: Path, output: Path, **options) -> list[dict]:
    settings = BuildSettings(min_frames=2, show_progress=False)
    report = build_dataset(source, output, SourceOptions(**options), settings)
    rows = list(load_motion_rows(str(output)))
    assert len(rows) == sum(report.clips.values())
    return rows


def test_data_check_finds_faults_of_faces(tmp_path) -> None:
    rows = frame()
    rows["face"], rows["face_names"], rows["face_kind"] = None, None, None

    def calm(frames: int) -> np.ndarray:
        return 0.4 + 0.1 * np.sin(np.linspace(0, 5, frames))[:, None] * np.ones(52)

    damages = {
        "face_frozen": lambda face: face * 0 + 0.3, "face_jump": lambda face: face + (np.arange(len(face)) == 12)[:, None] * 0.4,
        "face_range": lambda face: face * 3, "unreadable": lambda face: face[:-1], "fine": lambda face: face,
        "nan": lambda face: face * np.nan,
    }  # fmt: skip
    order = np.argsort(-rows["n_frames"].to_numpy())
    for place, damage in zip(order, damages.values(), strict=False):
        rows.at[place, "face"] = np.float32(damage(calm(int(rows.at[place, "n_frames"])))).ravel()
        rows.at[place, "face_names"], rows.at[place, "face_kind"] = list(FACE_SETS["arkit-52"]), "arkit-52"
    ids = dict(zip(damages, rows["id"].to_numpy()[order], strict=False))
    found = check(rows, tmp_path, face_still=1.0)
    expected = {kind: [ids[kind]] for kind in ("face_frozen", "face_jump", "face_range")}
    assert {kind: sorted(names) for kind, names in found.items()} == expected | {"unreadable": sorted((ids["unreadable"], ids["nan"]))}
    values = np.cumsum(np.random.default_rng(0).normal(size=(90, 53)), axis=0)
    measures = measure_face(Face(values, "flame-53"), 30)
    assert measures["face_range"] > 0.1
    assert [kind for kind, *_ in judge_face(measures, Face(values, "flame-53"), 2.0, 0.2, 0.01)] == ["face_range"]


def test_a_face_beside_a_body_comes_with_it(tmp_path) -> None:
    folder = tmp_path / "takes"
    folder.mkdir()
    rows = frame()
    joints = np.float32(rows["joints"].iloc[int(rows["n_frames"].argmax())])
    face = Face(np.linspace(0, 1, 3 * len(joints))[:, None] * np.ones(52), "arkit-52")
    for name in "abc":
        Motion(joints).save(folder / f"{name}.npz")
    write_face(face, folder / "a.csv", fps=60)
    write_face(face, folder / "b.json", fps=60)
    (folder / "c.csv").write_text("time,x\n0,1\n")  # some other table
    (folder / "captions.csv").write_text("file,text\n" + "".join(f"{name}.npz,a person talks\n" for name in "abc"))
    found = {row["id"]: read_row(row, "humanml3d-22")[0].face for row in built(folder, tmp_path / "set")}
    assert (found["a"].kind, found["b"].kind, found["c"]) == ("livelink-61", "arkit-52", None)
    np.testing.assert_allclose(found["b"]["jawOpen"], face["jawOpen"][::3], atol=1e-6)
    assert found["a"].select("arkit-52") == found["b"]
    again = {row["id"]: face_of_row(row) for row in built(tmp_path / "set" / "data", tmp_path / "again")}
    assert again == found
    write_face(face[:20], folder / "a.csv", fps=60)
    report = build_dataset(folder, tmp_path / "short", SourceOptions(), BuildSettings(min_frames=2, show_progress=False))
    assert [skip.path for skip in report.skipped] == ["a.npz"]
    assert "its face (a.csv) lasts 0.33 s and its body" in report.skipped[0].reason


GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2
            text = "HH"
    item [2]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0.1
            xmax = 0.3
            text = "hello"
        intervals [2]:
            xmin = 0.3
            xmax = 0.4
            text = ""
        intervals [3]:
            xmin = 0.4
            xmax = 0.6
            text = "world"
"""


def test_beat(tmp_path) -> None:
    folder = tmp_path / "beat" / "1"
    folder.mkdir(parents=True)
    shutil.copy(FIXTURES / "bandai_wave.bvh", folder / "1_wayne_0_1_1.bvh")
    shutil.copy(FIXTURES / "bandai_wave.bvh", folder / "1_wayne_0_2_2.bvh")
    (folder / "1_wayne_0_1_1.TextGrid").write_text(GRID)
    seconds = Motion.load(FIXTURES / "bandai_wave.bvh").duration
    names = [name for name in talking(1).names if name != "tongueOut"]
    frames = [{"weights": [0.01 * (n % 7)] * 51, "time": n / 60, "rotation": []} for n in range(round(60 * seconds))]
    (folder / "1_wayne_0_1_1.json").write_text(json.dumps({"names": names, "frames": frames}))
    (row,) = built(tmp_path / "beat", tmp_path / "set")
    assert (row["id"], row["source"], row["captions"][0]["text"]) == ("1/1_wayne_0_1_1", "BEAT", "a person says: hello world")
    assert len(face_of_row(row).names) == 51
    assert "no 1_wayne_0_2_2.TextGrid" in (tmp_path / "set" / "skipped.jsonl").read_text()
    assert read_words(folder / "1_wayne_0_1_1.TextGrid") == [(0.1, 0.3, "hello"), (0.4, 0.6, "world")]
    (folder / "1_wayne_0_1_1.TextGrid").write_text("hello")
    with pytest.raises(ValueError, match="names no tier"):
        read_words(folder / "1_wayne_0_1_1.TextGrid")


def motion_x(folder: Path, frames: int = 30) -> np.ndarray:
    random = np.random.default_rng(0)
    values = np.zeros((frames, 322), np.float32)
    values[:, 156:159] = 0.01 * np.arange(frames)[:, None]
    values[:, 159:209] = random.normal(size=(frames, 50))
    values[:, 309:312] = [0, 1, 0]
    for part in ("motion_data/smplx_322/idea400", "texts/semantic_labels/idea400", "texts/face_texts/idea400"):
        (folder / part).mkdir(parents=True)
    np.save(folder / "motion_data/smplx_322/idea400/wave.npy", values)
    np.save(folder / "motion_data/smplx_322/idea400/bare.npy", values)
    (folder / "texts/semantic_labels/idea400/wave.txt").write_text("wave hands\n")
    (folder / "texts/face_texts/idea400/wave.txt").write_text("happiness\n")
    return values


def test_motion_x(tmp_path) -> None:
    values = motion_x(tmp_path / "x")
    body_model(tmp_path / "models" / "smplx" / "SMPLX_NEUTRAL.npz", joints=55, shapes=20)
    path = tmp_path / "x/motion_data/smplx_322/idea400/wave.npy"
    motion = read_motion_x(path, tmp_path / "models", up="y")
    assert (len(motion), motion.fps, motion.skeleton.name, motion.face.kind) == (30, 30, "humanml3d-22", "flame-53")
    np.testing.assert_array_equal(motion.face.coefficients, np.concatenate((values[:, 159:209], values[:, 156:159]), axis=1))
    assert len(read_motion_x(path, tmp_path / "models", up="y", fps=20).face) == 20
    (row,) = built(tmp_path / "x", tmp_path / "set", body_models=tmp_path / "models", up="y")
    assert (row["id"], row["captions"][0]["text"], row["face_text"]) == ("idea400/wave", "wave hands", "happiness")
    assert row["source"] == "Motion-X/idea400"
    assert face_of_row(row).kind == "flame-53"
    with pytest.raises(ValueError, match=r"SMPL-X v1.1 .*--body-models"):
        built(tmp_path / "x", tmp_path / "other")
    with pytest.raises(ValueError, match=r"wave.npy.*body model.*SMPL-X"):
        read_motion_x(path)
    for damaged, message in [(values[:, :300], r"\(30, 300\)"), (values * np.nan, "NaN"), (values[:0], "frames >= 1")]:
        np.save(path, damaged)
        with pytest.raises(ValueError, match=message) as error:
            read_motion_x(path, tmp_path / "models", up="y")
        assert "wave.npy" in str(error.value)
