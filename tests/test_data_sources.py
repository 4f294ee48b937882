"""Every layout of motion data, written on the spot from the fixture clips."""

import csv
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from hf_motion import Motion
from hf_motion.cli import app
from hf_motion.data.build import BuildReport, BuildSettings, build_dataset
from hf_motion.data.captions import cmu_take, read_cmu_index, read_table
from hf_motion.data.motion_text import load_motion_rows, mirror_motion
from hf_motion.data.sources import SOURCES, Clip, Skip, SourceOptions, open_source
from hf_motion.data.sources.bandai_captions import CONTENTS, STYLES
from hf_motion.data.sources.humanml3d import read_texts
from hf_motion.representation import HumanML3DRepresentation
from hf_motion.skeletons import HUMANML3D_22, KIT_21

FIXTURES = Path(__file__).parent / "fixtures"
QUIET = BuildSettings(show_progress=False)


def clips() -> dict[str, Motion]:
    rows = pd.read_parquet(FIXTURES / "clips.parquet").itertuples()
    return {row.id: Motion(row.joints.reshape(-1, 22, 3), fps=20, text=row.captions[0]["text"]) for row in rows}


def kit_joints(motion: Motion) -> np.ndarray:
    """The clip on KIT-ML's joints, millimetres, 12.5 fps; heels and the lower spine are put between what there is."""
    motion = motion.resample(12.5)
    at = {name: motion.joints[:, joint] for joint, name in enumerate(HUMANML3D_22.joint_names)}
    at |= {"root": at["pelvis"], "pelvis": at["spine1"], "thorax": at["spine2"], "lower_neck": at["spine3"], "upper_neck": at["neck"]}
    at |= {f"{side}_heel": (at[f"{side}_ankle"] + at[f"{side}_foot"]) / 2 for side in ("left", "right")}
    return 1000 * np.stack([at[name] for name in KIT_21.joint_names], axis=1)


def humanml3d(folder: Path, kit: bool = False, joints: bool = True) -> dict[str, Motion]:
    """A HumanML3D or KIT-ML folder: clips 000000 and so on and their mirrors, all splits, one clip with tags."""
    for name in ("new_joint_vecs", "new_joints", "texts"):
        (folder / name).mkdir(parents=True)
    representation = HumanML3DRepresentation(KIT_21 if kit else HUMANML3D_22)
    originals = {}
    for number, motion in enumerate(list(clips().values())[:5]):
        for prefix, version in (("", motion), ("M", mirror_motion(motion))):
            name = f"{prefix}{number:06d}"
            positions = kit_joints(version) if kit else version.joints
            features = representation.encode(positions)
            np.save(folder / "new_joint_vecs" / f"{name}.npy", features.numpy())
            if joints:
                np.save(folder / "new_joints" / f"{name}.npy", representation.decode(features).numpy())
            (folder / "texts" / f"{name}.txt").write_text(f"{version.text}.#a/DET person/NOUN#0.0#0.0\nsomeone moves#x/VERB#nan#nan\n\n")
            originals[name] = version
    with (folder / "texts" / "000001.txt").open("a") as file:
        file.write("the beginning # of it#the/DET#0.0#1.0\nthe start#the/DET#0.0#1.0\nthe end#the/DET#2.0#3.0\n")
    names = {"train": [0, 1, 2], "val": [3], "test": [4]}
    for split, numbers in names.items():
        (folder / f"{split}.txt").write_text("".join(f"{number:06d}\nM{number:06d}\n" for number in numbers))
    (folder / "all.txt").write_text("\n".join(originals))
    np.save(folder / "Mean.npy", np.full(representation.dim, 0.5, np.float32))
    np.save(folder / "Std.npy", np.full(representation.dim, 2.0, np.float32))
    return originals


def read(folder: Path, options: SourceOptions | None = None, layout: str | None = None) -> tuple[dict[str, Clip], dict[str, str]]:
    """Clips of a source by id, and reasons of what was left out by path."""
    source = open_source(folder, layout, options or SourceOptions())
    found, skipped = {}, {}
    for item in source.items():
        try:
            results = [item] if isinstance(item, Skip) else list(source.clips(item))
        except (ValueError, OSError) as error:
            results = [Skip(item.path, str(error))]
        for result in results:
            if isinstance(result, Skip):
                skipped[result.path] = result.reason
            else:
                found[result.id] = result
    return found, skipped


@pytest.mark.parametrize("joints", [True, False])
def test_humanml3d_keeps_its_numbers_splits_and_mirrors(tmp_path: Path, joints: bool):
    originals = humanml3d(tmp_path / "HumanML3D", joints=joints)
    report = build_dataset(tmp_path / "HumanML3D", tmp_path / "out", settings=QUIET)
    assert report.layout == "HumanML3D / KIT-ML"
    assert (report.clips, report.skipped) == ({"train": 8, "val": 2, "test": 2}, [])
    rows = {row["id"]: row for row in load_motion_rows(str(tmp_path / "out"))}
    representation = HumanML3DRepresentation()
    for name in ("000000", "M000003"):
        features = np.load(tmp_path / "HumanML3D" / "new_joint_vecs" / f"{name}.npy")
        np.testing.assert_array_equal(np.array(rows[name]["features"], np.float32).reshape(-1, 263), features)
        np.testing.assert_allclose(
            np.array(rows[name]["joints"]).reshape(-1, 22, 3), representation.decode(torch.from_numpy(features)).numpy(), atol=1e-5
        )
        assert rows[name]["n_frames"] == len(originals[name]) - 1
    assert [rows[name]["mirror"] for name in ("000000", "M000000")] == [False, True]
    assert rows["M000000"]["take"] == rows["000000"]["take"] == "000000"
    assert [caption["text"] for caption in rows["000000"]["captions"]] == [f"{originals['000000'].text}.", "someone moves"]
    assert rows["000000"]["captions"][0]["pos_tagged"] == "a/DET person/NOUN"


def test_humanml3d_tags_become_clips_with_names_that_stay(tmp_path: Path):
    humanml3d(tmp_path / "a")
    found, _ = read(tmp_path / "a")
    whole = found["000001"]
    first, last = found["000001_0000_0020"], found["000001_0040_0060"]
    assert [record["text"] for record in first.captions] == ["the beginning # of it", "the start"]
    assert [record["to_tag"] for record in last.captions] == [3.0]
    np.testing.assert_array_equal(first.joints, whole.joints[:20])
    np.testing.assert_array_equal(last.features, whole.features[40:60])
    assert (last.start_frame, len(whole.captions)) == (40, 2)


def test_kit_is_millimetres_and_its_own_skeleton(tmp_path: Path):
    originals = humanml3d(tmp_path / "KIT-ML", kit=True)
    build_dataset(tmp_path / "KIT-ML", tmp_path / "out", settings=QUIET)
    row = next(row for row in load_motion_rows(str(tmp_path / "out")) if row["id"] == "000000")
    assert (row["skeleton"], row["fps"], row["source"], len(row["features"])) == ("kit-21", 12.5, "KIT-ML", row["n_frames"] * 251)
    joints = np.array(row["joints"]).reshape(-1, 21, 3)
    head = KIT_21.joint("upper_neck")
    height = kit_joints(originals["000000"])[..., head, 1].max() / 1000
    assert abs(joints[..., head, 1].max() - height) < 0.05


def test_damaged_parts_of_humanml3d_are_named(tmp_path: Path):
    folder = tmp_path / "HumanML3D"
    humanml3d(folder)
    (folder / "new_joint_vecs" / "000000.npy").write_bytes(b"\x93NUMPY")
    np.save(folder / "new_joint_vecs" / "000002.npy", np.zeros((0, 263), np.float32))
    broken = np.load(folder / "new_joint_vecs" / "000003.npy")
    broken[5, 7] = np.nan
    np.save(folder / "new_joint_vecs" / "000003.npy", broken)
    np.save(folder / "new_joint_vecs" / "M000003.npy", np.zeros((9, 100), np.float32))
    (folder / "texts" / "M000000.txt").unlink()
    (folder / "texts" / "M000002.txt").write_text("\n")
    (folder / "texts" / "000004.txt").write_text("no tags at all\ngood#a/X#0#0\nlate#a/X#90#95\nbad#a/X#one#2\n")
    with (folder / "test.txt").open("a") as file:
        file.write("missing\n../../secret\n000001\n")
    np.save(folder / "new_joints" / "extra.npy", np.zeros((9, 22, 3), np.float32))
    found, skipped = read(folder)
    reasons = {
        "000000": "not a readable .npy", "000002": "no frames", "000003": "NaN", "M000003": r"\(9, 100\)", "M000000": "no caption",
        "M000002": "no caption", "texts/000004.txt:1": "expected caption#tokens", "texts/000004.txt:4": "expected seconds",
        "missing": "no such motion file", "../../secret": "leaves the folder", "000001": "several split files", "extra": "no split file",
    }  # fmt: skip
    for path, reason in reasons.items():
        assert re.search(reason, skipped[path]), f"{path}: {skipped[path]}"
    assert any("lie outside" in reason for reason in skipped.values())
    assert set(found) == {"000004", "M000001", "M000004"}


def bvh_folder(folder: Path, names: list[str], lines: list[dict] | None, suffix: str = ".csv") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FIXTURES / "bandai_wave.bvh", folder / name)
    if lines is not None and suffix == ".csv":
        with (folder / "captions.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list({key: None for line in lines for key in line}))
            writer.writeheader()
            writer.writerows(lines)
    elif lines is not None:
        (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_folder_of_bvh_files_with_captions(tmp_path: Path, suffix: str):
    lines = [
        {"file": "a/wave.bvh", "text": "a person waves, twice", "split": "train"},
        {"file": "a/wave", "text": "someone greets"},
        {"file": "cut.bvh", "text": "a hand goes up", "start": 0.25, "end": 1.0, "split": "test", "take": "recording 1"},
        {"file": "cut.bvh", "text": "all of it", "split": "test", "take": "recording 1"},
        {"file": "../../etc/passwd", "text": "leaves"},
        {"file": "gone.bvh", "text": "is not there"},
        {"file": "cut.bvh", "text": "", "take": "recording 1"},
        {"file": "cut.bvh", "text": "late", "start": 50, "end": 60, "split": "test", "take": "recording 1"},
        {"file": "cut.bvh", "text": "backwards", "start": 3, "end": 2},
    ]
    bvh_folder(tmp_path / "mine", ["a/wave.bvh", "cut.bvh", "silent.bvh"], lines, suffix)
    found, skipped = read(tmp_path / "mine")
    assert set(found) == {"a/wave", "cut", "cut_0005_0020"}
    assert [record["text"] for record in found["a/wave"].captions] == ["a person waves, twice", "someone greets"]
    whole, part = found["cut"], found["cut_0005_0020"]
    assert (len(whole.joints), len(part.joints), part.start_frame, part.fps) == (27, 15, 5, 20.0)
    np.testing.assert_allclose(part.joints - part.joints[:, :1], whole.joints[5:20] - whole.joints[5:20, :1], atol=1e-6)
    np.testing.assert_allclose(part.joints[0, 0, [0, 2]], 0, atol=1e-6)
    assert abs(whole.joints[..., 1].min()) < 1e-5
    assert len(skipped) == 6
    for reason in ("leaves the folder", "no such file", "no caption for", "outside its", "must come after", "no caption names it"):
        assert any(reason in text for text in skipped.values()), reason


def test_one_caption_for_all_and_long_takes_in_pieces(tmp_path: Path):
    bvh_folder(tmp_path / "idle", ["001.bvh"], None)
    with pytest.raises(ValueError, match="--caption"):
        read(tmp_path / "idle", layout="files")
    found, _ = read(tmp_path / "idle", SourceOptions(caption="a person stands idle", max_frames=10, license="MIT"))
    assert [len(clip.joints) for clip in found.values()] == [9, 9, 9]
    assert [clip.id for clip in found.values()] == ["001_c0", "001_c1", "001_c2"]
    assert {clip.license for clip in found.values()} == {"MIT"}


@pytest.mark.parametrize("zipped", [False, True])
def test_bandai_namco_as_published(tmp_path: Path, zipped: bool):
    folder = tmp_path / "dataset" / "Bandai-Namco-Research-Motiondataset-2"
    names = [f"dataset-2_wave-left-hand_{style}_00{number}.bvh" for number, style in enumerate(("normal", "youthful", "grumpy"))]
    bvh_folder(folder / "data", names, None)
    if zipped:
        with zipfile.ZipFile(folder / "data.zip", "w") as archive:
            for name in names:
                archive.write(folder / "data" / name, f"data/{name}")
            archive.writestr("../../dataset-1_bow_sad_001.bvh", "out of here")
            archive.writestr("data/dataset-1_bow_happy_001.bvh", "HIERARCHY\nROOT a")
        (folder / "broken.zip").write_bytes(b"PK\3\4 not really")
        shutil.rmtree(folder / "data")
    found, skipped = read(tmp_path)
    first = found["bnr_dataset-2_wave-left-hand_normal_000"]
    assert first.captions[0]["text"].endswith("waves the left hand")
    assert all("left" in record["text"] for record in first.captions)
    styled = found["bnr_dataset-2_wave-left-hand_youthful_001"]
    assert [record["text"].endswith(how) for record, how in zip(styled.captions, STYLES["youthful"], strict=True)] == [True] * 3
    assert (first.license, len(first.joints), len(found)) == ("CC BY-NC 4.0", 27, 2)
    assert any("grumpy" in reason for reason in skipped.values())
    if zipped:
        assert any("archive is damaged" in reason for reason in skipped.values())
        assert any("leaves the archive" in reason for reason in skipped.values())
        assert any("BVH" in reason for reason in skipped.values())


def test_bandai_captions_name_the_side_of_their_label():
    for content, sentences in CONTENTS.items():
        for sentence in sentences:
            for side, other in (("left", "right"), ("right", "left")):
                assert not (side in content.split("-") and other in sentence.split())
                assert not content.endswith(f"{side}-hand") or side in sentence.split()
    assert all(len(words) == 3 for words in (*CONTENTS.values(), *STYLES.values()))


CMU_TEXT = """CMU Graphics Lab Motion Capture Database
  full file listing with descriptions

Subject #2 (various)

02_01\twalk
02_03\tUnknown
131_05\tswing arms, 90-degree turn
"""


def test_cmu_takes_and_three_kinds_of_index(tmp_path: Path):
    folder = tmp_path / "cmu"
    bvh_folder(folder, ["02/02_01.bvh", "copy/02_01.bvh", "02/02_03.bvh", "notes_1.bvh"], None)
    (folder / "cmu-mocap-index-text.txt").write_text(CMU_TEXT)
    found, skipped = read(folder)
    assert set(found) == {"cmu_02_01"}
    assert found["cmu_02_01"].captions[0]["text"] == "walk"
    reasons = {path: reason.split(":")[0].split(",")[0] for path, reason in skipped.items()}
    assert reasons == {
        "02/02_03.bvh": "no caption",
        "copy/02_01.bvh": "take 02_01 was found before in another file",
        "notes_1.bvh": "its name is not that of a take",
    }

    table = tmp_path / "index.csv"
    table.write_text('"Subject","Trial #","Motion Description"\n2,1,"walk"\n2,3,"Unknown"\n131,5,"swing arms, 90-degree turn"\n')
    lines = tmp_path / "index.jsonl"
    lines.write_text(
        '{"id": "cmu_02_01", "captions": [{"text": "walk"}]}\n{"id": "131_5", "captions": [{"text": "swing arms, 90-degree turn"}]}'
    )
    plain = tmp_path / "plain.csv"
    plain.write_text('file,text\n02/02_01.amc,walk\n131_05.bvh,"swing arms, 90-degree turn"\n')
    expected = {"02_01": "walk", "131_05": "swing arms, 90-degree turn"}
    for index in (folder / "cmu-mocap-index-text.txt", table, lines, plain):
        assert read_cmu_index(index) == expected
    with pytest.raises(ValueError, match="no index of CMU"):
        read_cmu_index(FIXTURES / "README.md")
    assert cmu_take("cmu_7_12_poses") == "07_12"


def test_amass_follows_the_index(tmp_path: Path):
    folder = tmp_path / "amass"
    (folder / "humanact12" / "humanact12").mkdir(parents=True)
    (folder / "texts").mkdir()
    motion = next(iter(clips().values()))
    padded = np.concatenate([motion.joints, motion.joints[:, :2]], axis=1)
    np.save(folder / "humanact12" / "humanact12" / "P01.npy", padded)
    (folder / "CMU").mkdir()
    np.savez(folder / "CMU" / "02_01_poses.npz", poses=np.zeros((5, 156)))
    (folder / "index.csv").write_text(
        "source_path,start_frame,end_frame,new_name\n./pose_data/humanact12/humanact12/P01.npy,0,-1,000000.npy\n"
        "./pose_data/../../secret.npy,0,5,000001.npy\n./pose_data/KIT/3/gone_poses.npy,0,83,000002.npy\n./pose_data/CMU/02_01_poses.npy,x,5,000003.npy\n"
    )
    (folder / "texts" / "000000.txt").write_text("a person lifts a hand#a/DET#0#0\nthe start#the/DET#0.0#1.0\n")
    found, skipped = read(folder)
    np.testing.assert_array_equal(found["000000"].joints[:, 1], motion.joints[:, 1] - motion.joints[0, 0] * [1, 0, 1])
    assert (len(found["000000_0000_0020"].joints), found["000000"].source) == (20, "humanact12/humanact12/P01")
    assert sorted(skipped) == ["index.csv:3 (000001)", "index.csv:4 (000002)", "index.csv:5 (000003)"]


def body_model(folder: Path) -> np.ndarray:
    """A made-up SMPL-H body of 30 vertices; returns its 22 joints, metres, Z up."""
    draw = np.random.default_rng(0)
    template, regressor = draw.normal(size=(30, 3)), draw.dirichlet(np.ones(30), size=24)
    shapes = draw.normal(size=(30, 3, 16)) / 10
    (folder / "smplh" / "neutral").mkdir(parents=True)
    np.savez(folder / "smplh" / "neutral" / "model.npz", v_template=template, shapedirs=shapes, J_regressor=regressor)
    return (regressor @ (template + shapes[..., :10].sum(-1)))[:22]


def test_amass_is_cut_by_the_published_rules(tmp_path: Path):
    folder, start, end = tmp_path / "amass", 2, 7
    (folder / "texts").mkdir(parents=True)
    (folder / "Transitions_mocap").mkdir()
    trans = np.stack((np.arange(240.0), -np.arange(240.0), np.full(240, 1.0)), axis=-1) / 100
    values = {"poses": np.zeros((240, 156)), "trans": trans, "betas": np.ones(16), "gender": "neutral", "mocap_framerate": 120.0}
    np.savez(folder / "Transitions_mocap" / "a_poses.npz", **values)
    row = f"./pose_data/Transitions_mocap/a_poses.npy,{start},{end},000007.npy\n"
    (folder / "index.csv").write_text(f"source_path,start_frame,end_frame,new_name\n{row}")
    (folder / "texts" / "000007.txt").write_text("a person slides#a/DET#0#0\n")
    with pytest.raises(ValueError, match=r"mano\.is\.tue\.mpg\.de.*--body-models"):
        read(folder)
    rest = body_model(tmp_path / "models")
    found, skipped = read(folder, SourceOptions(body_models=tmp_path / "models"))
    assert (list(found), skipped) == (["000007"], {})
    world = (rest + trans[::6][10:][start:end, None])[..., [0, 2, 1]] * [-1, 1, 1]
    expected = world - world[:1, :1] * [1, 0, 1]
    expected[..., 1] -= (rest + trans[0])[:, 2].min()
    np.testing.assert_allclose(found["000007"].joints, expected, atol=1e-5)


def test_our_own_parquet_keeps_everything(tmp_path: Path):
    found, skipped = read(FIXTURES / "clips.parquet")
    frame = pd.read_parquet(FIXTURES / "clips.parquet")
    assert (list(found), skipped) == (list(frame["id"]), {})
    for row in frame.itertuples():
        np.testing.assert_array_equal(found[row.id].joints.ravel(), row.joints)
        assert found[row.id].license == row.license
    shutil.copy(FIXTURES / "clips.parquet", tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((FIXTURES / "clips.parquet").read_bytes()[:-40])
    with pytest.raises(ValueError, match="not a readable parquet file"):
        read(tmp_path)


def test_damaged_rows_of_parquet_are_named(tmp_path: Path):
    frame = pd.read_parquet(FIXTURES / "clips.parquet")
    frame.loc[0, "n_frames"] = 5
    frame.at[1, "joints"] = np.zeros(0, np.float32)
    frame.at[2, "joints"] = np.full_like(frame.at[2, "joints"], np.nan)
    frame.at[3, "captions"] = []
    frame.loc[4, "id"] = frame.loc[5, "id"]
    frame.at[6, "joints"] = frame.at[6, "joints"] * 1e6
    frame.to_parquet(tmp_path / "rows.parquet")
    report = build_dataset(tmp_path / "rows.parquet", tmp_path / "out", settings=QUIET)
    assert sum(report.clips.values()) == 3
    reasons = " ".join(skip.reason for skip in report.skipped)
    for part in ("not 5 frames", "no frames", "NaN", "no caption", "duplicate id", "unit is another"):
        assert part in reasons
    assert len(report.skipped) == 6


def test_captions_tables_say_what_is_wrong(tmp_path: Path):
    path = tmp_path / "captions.jsonl"
    path.write_text('{"file": "a", "text": "b", "start": -1}\n[1]\n{"text": "x"}\nnot json\n{"file": "a", "text": "ok"}\n')
    results = list(read_table(path))
    assert [isinstance(result, ValueError) for result in results] == [True] * 4 + [False]
    assert [str(result).split(":")[1] for result in results[:4]] == ["1", "2", "3", "4"]
    (tmp_path / "bad.csv").write_bytes(b"file,text\na,\xff\xfe\n")
    with pytest.raises(ValueError, match="UTF-8"):
        list(read_table(tmp_path / "bad.csv"))
    (tmp_path / "other.csv").write_text("name,words\n")
    with pytest.raises(ValueError, match="columns file and text"):
        list(read_table(tmp_path / "other.csv"))


def test_unknown_layouts_and_formats_are_refused(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="none of the layouts"):
        open_source(tmp_path, None, SourceOptions())
    with pytest.raises(ValueError, match="Unknown format 'fbx'"):
        open_source(tmp_path, "fbx", SourceOptions())
    with pytest.raises(FileNotFoundError, match="No folder or file"):
        open_source(tmp_path / "nowhere", None, SourceOptions())
    for layout in SOURCES:
        with pytest.raises((ValueError, FileNotFoundError)):
            build_dataset(tmp_path, tmp_path.parent / "out", settings=BuildSettings(layout=layout, show_progress=False))


def test_a_comma_in_a_caption_cuts_nothing(tmp_path: Path):
    case = FIXTURES / "cases" / "captions"
    found, skipped = read(case)
    assert [record["text"] for record in found["walk"].captions] == ["a person walks, then turns left"]
    assert skipped == {}
    path = tmp_path / "captions.csv"
    path.write_text('text,file\na person walks, then turns,walk.bvh\n"a person walks, then turns",walk.bvh\na person waves,walk.bvh,\n')
    wrong, quoted, trailing = read_table(path)
    assert str(wrong) == "captions.csv:2: it has 3 fields for 2 columns; put quotation marks around the caption"
    assert (quoted.text, trailing.text) == ("a person walks, then turns", "a person waves")
    path.write_text("file,start,end,text\na.bvh,0,2,he, she, and they walk\na.bvh,1\n")
    whole, short = read_table(path)
    assert (whole.text, whole.end) == ("he, she, and they walk", 2.0)
    assert str(short) == "captions.csv:3: no caption for 'a.bvh'"
    (tmp_path / "captions.tsv").write_bytes("file\ttext\r\na.bvh\ta person walks, then turns\r\n".encode("utf-16"))
    (tab,) = read_table(tmp_path / "captions.tsv")
    assert (tab.file, tab.text) == ("a.bvh", "a person walks, then turns")


def test_characters_that_nothing_holds_leave_captions(tmp_path: Path):
    (tmp_path / "captions.jsonl").write_text('{"file": "a", "text": "a\\ud800 person\\u0000 walks"}\n{"file": "a", "text": "\\u0000"}\n')
    cleaned, empty = read_table(tmp_path / "captions.jsonl")
    assert cleaned.text == "a person walks"
    assert "the caption is empty" in str(empty)
    text = tmp_path / "000000.txt"
    text.write_bytes("a cafe\u0301  dance#a/DET#0#0\n\0#a/DET#0#0\n".encode("utf-8-sig"))
    captions, skipped = read_texts(text, 20)
    assert [record["text"] for record in captions[None]] == ["a café dance"]
    assert "the caption is empty" in skipped[0].reason
    text.write_bytes(b"a person walks#a/DET#0#0\na caf\xe9#a/DET#0#0\n")
    with pytest.raises(ValueError, match=r"000000\.txt', line 2: this is not UTF-8"):
        read_texts(text, 20)


def test_a_captions_table_wins_over_names_of_files(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    names = ["dataset-1_walk_happy_001", "dataset-1_run_normal_001", "my_take", "my_other_take", "unnamed"]
    for name in names:
        shutil.copy(FIXTURES / "bandai_wave.bvh", tmp_path / f"{name}.bvh")
    assert type(open_source(tmp_path, None, SourceOptions())).title.startswith("Bandai")
    (tmp_path / "captions.csv").write_text("file,text\n" + "".join(f"{name},I wave\n" for name in names[:4]))
    report = build_dataset(tmp_path, tmp_path.parent / "out", SourceOptions(license="mine"), QUIET)
    assert (sum(report.clips.values()), report.captions, report.reasons) == (4, 4, {"no caption names it": 1})
    assert [source["licenses"] for source in report.sources.values()] == [["mine"]]
    assert "--format bandai-namco would read it" in caplog.text
    shown = CliRunner().invoke(app, ["data", "build", str(tmp_path), "-o", str(tmp_path.parent / "again"), "--license", "mine"])
    assert shown.exit_code == 0, shown.output
    assert "1 left out, all named in skipped.jsonl: 1 because no caption names it" in shown.output
    assert type(open_source(tmp_path, "bandai-namco", SourceOptions())).title.startswith("Bandai")


def test_folders_that_fit_several_layouts_are_refused(tmp_path: Path):
    shutil.copy(FIXTURES / "bandai_wave.bvh", tmp_path / "dataset-1_walk_happy_001.bvh")
    with pytest.raises(ValueError, match=r"captions of its own; leave --caption out, or .* --format files"):
        open_source(tmp_path, None, SourceOptions(caption="a person walks"))
    shutil.copy(FIXTURES / "bandai_wave.bvh", tmp_path / "02_01.bvh")
    (tmp_path / "cmu-mocap-index-text.txt").write_text("02_01\twalk\n")
    with pytest.raises(ValueError, match=r"several layouts: bandai-namco, cmu\. Say which it is with --format"):
        open_source(tmp_path, None, SourceOptions())


def test_npz_files_of_ones_own_are_no_amass(tmp_path: Path):
    next(iter(clips().values())).save(tmp_path / "a.npz")
    (tmp_path / "captions.csv").write_text("file,text\na,I walk, then stop\n")
    found, _ = read(tmp_path)
    assert (found["a"].license, found["a"].captions[0]["text"]) == ("unknown", "I walk, then stop")


def test_reasons_are_counted_by_kind(tmp_path: Path):
    skips = [
        Skip("a", "it has 1 frames, fewer than 2"),
        Skip("b", "it has 12 frames, fewer than 40"),
        Skip("c", "duplicate id 'x'; the first"),
    ]
    report = BuildReport(tmp_path, "files", {}, 0.0, 0, skips, 0, {})
    assert report.reasons == {"it has ... frames, fewer than ...": 2, "duplicate id ...; ...": 1}
