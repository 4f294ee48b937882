"""Files of faces, and faces put onto bodies by time."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_face import talking
from test_fuzz_readers import damaged

from hf_motion import Face, Motion
from hf_motion.formats import FaceClip, attach_face, read_face, write_face
from hf_motion.utils.limits import MAX_FRAMES


def livelink(path: Path, codes: list[str], names=("EyeBlinkLeft", "JawOpen"), values=None) -> Path:
    values = np.linspace(0, 1, len(codes) * len(names)).reshape(len(codes), -1) if values is None else values
    rows = [f"{code},{len(names)}," + ",".join(map(str, row)) for code, row in zip(codes, values, strict=True)]
    path.write_text("\n".join([",".join(("Timecode", "BlendShapeCount", *names)), *rows]) + "\n")
    return path


def codes(frames, rate: int = 60, jitter: float = 0.0) -> list[str]:
    return [f"10:59:{59 + n // rate - 60 * (59 + n // rate >= 60):02d}:{n % rate:02d}.{int(500 + jitter * n):03d}" if n < rate else
            f"11:00:{n // rate - 1:02d}:{n % rate:02d}.{int(500 + jitter * n):03d}" for n in frames]  # fmt: skip


@pytest.mark.parametrize("way", ["a.csv livelink-61", "a.json arkit-52", "a.npz flame-53", "b.npz flame-100"])
def test_faces_come_back(tmp_path, way, caplog) -> None:
    name, kind = way.split()
    face = Face(np.random.default_rng(0).random((70, len(talking(1, kind).names))) ** 8, kind)
    with caplog.at_level(logging.WARNING, "hf_motion"):
        clip = read_face(write_face(face, tmp_path / name, fps=60))
    assert clip == FaceClip(face, 60.0)
    assert not caplog.records


def test_livelink_writes_what_the_app_does(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "hf_motion"):
        lines = write_face(talking(62), tmp_path / "a.csv", fps=60, start=86399.5).read_text().splitlines()
    assert "9 of 61 columns are written as 0, since the face has no headYaw" in caplog.text
    assert lines[0].startswith("Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,")
    assert lines[0].split(",")[53:57] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll"]
    assert len(lines[0].split(",")) == len(lines[1].split(",")) == 63
    assert [line.split(",")[0] for line in (lines[1], lines[30], lines[31])] == ["23:59:59:30.000", "23:59:59:59.000", "00:00:00:00.000"]
    clip = read_face(tmp_path / "a.csv")
    assert (clip.fps, clip.start, clip.face.select("arkit-52")) == (60, 86399.5, talking(62))
    with caplog.at_level(logging.WARNING, "hf_motion"):
        assert len(read_face(write_face(talking(21), tmp_path / "a.csv", fps=20)).face) == 61
    assert "resampled to 60" in caplog.text
    flame = talking(2, "flame-50")
    for face, name, words in ((flame, "a.csv", "npz"), (flame, "a.json", "npz"), (talking(2), "a.npz", ".csv")):
        with pytest.raises(ValueError, match=words):
            write_face(face, tmp_path / name, fps=60)


def test_livelink_times(tmp_path) -> None:
    clip = read_face(livelink(tmp_path / "a.csv", codes(range(130), jitter=3)))
    assert (clip.fps, len(clip.face), clip.face.names, clip.notes) == (60, 130, ("eyeBlinkLeft", "jawOpen"), ())
    assert read_face(livelink(tmp_path / "a.csv", codes(range(70), rate=30))).fps == 30
    assert read_face(livelink(tmp_path / "a.csv", codes(range(20)))).notes[0].startswith("its timecodes are too few to tell")
    assert read_face(tmp_path / "a.csv", fps=30).fps == 30
    kept = [n for n in range(130) if n not in (10, 11, 70)]
    lost = read_face(livelink(tmp_path / "a.csv", codes(kept), values=np.array(kept)[:, None] * [0.001, 0]))
    assert lost.notes == ("3 of 130 frames are missing; they are filled in between their neighbours, linearly",)
    np.testing.assert_allclose(lost.face["eyeBlinkLeft"], np.arange(130) / 1000, atol=1e-6)
    repeated = codes(range(70))
    repeated[5] = repeated[4]
    notes = read_face(livelink(tmp_path / "a.csv", repeated)).notes
    assert [note[:10] for note in notes] == ["1 rows rep", "1 of 70 fr"]
    text = (tmp_path / "a.csv").read_text() + "11:00:00:10.500,0,,\n"
    (tmp_path / "a.csv").write_text(text)
    assert read_face(tmp_path / "a.csv").notes[0] == "1 of 71 rows hold no face"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"line 1: expected the columns Timecode"),
        ("Timecode,BlendShapeCount,JawOpen\n", r"at least one frame, found none"),
        ("time,x,JawOpen\n", r"found 'time,x,JawOpen'"),
        ("Timecode,BlendShapeCount,JawOpne\n0:0:0:0,1,0\n", r"line 1: Unknown coefficients: 'JawOpne'. The nearest are jawOpen"),
        ("Timecode,BlendShapeCount,JawOpen,jawopen\n", r"line 1: Coefficients repeat: 'jawOpen'"),
        ("Timecode,BlendShapeCount,JawOpen\n00:00:00,1,0\n", r"line 2: expected a timecode such as .*, found '00:00:00'"),
        ("Timecode,BlendShapeCount,JawOpen\n0:0:0:0,1,0,0\n", r"line 2: expected 3 cells.*found 4"),
        ("Timecode,BlendShapeCount,JawOpen\n0:0:0:0,1,a\n", r"line 2: expected finite numbers, found 'a'"),
        ("Timecode,BlendShapeCount,JawOpen\n0:0:0:0,1,nan\n", r"line 2: expected finite numbers, found 'nan'"),
        ("Timecode,BlendShapeCount,JawOpen\n0:0:2:0,1,0\n\n0:0:1:0,1,0\n", r"line 4: expected a timecode after"),
        ("Timecode,BlendShapeCount,JawOpen\n0:0:2:99,1,0\n", r"frame 99 of a second, more than 60"),
        ("Timecode,BlendShapeCount,JawOpen\n0:0:0:0,1,0\n9:0:0:59,1,0\n", r"times leap"),
        ("Timecode,BlendShapeCount" + ",a" * 5000, r"at most 4,096"),
    ],
)
def test_damaged_livelink(tmp_path, content, message) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_face(tmp_path / "a.csv")
    assert "a.csv" in str(error.value)


def beat(frames: int = 30, rate: float = 60) -> dict:
    names = [name for name in talking(1).names if name != "tongueOut"]
    values = talking(frames).coefficients[:, :51].astype(float)
    rows = [{"weights": row.tolist(), "time": n / rate, "rotation": []} for n, row in enumerate(values)]
    return {"names": names, "frames": rows}


def test_arkit_json_of_beat(tmp_path) -> None:
    content, path = beat(), tmp_path / "a.json"
    path.write_text(json.dumps(content))
    clip = read_face(path)
    assert (clip.fps, clip.notes, len(clip.face.names), clip.face.kind) == (60, (), 51, "arkit-52")
    assert clip.face == talking(30).select(content["names"])
    content["frames"][3]["rotation"] = [0, 0, 0]
    del content["frames"][7]
    path.write_text(json.dumps(content))
    assert [note[:20] for note in read_face(path).notes] == ["1 of 30 frames are m", "the rotations of the"]
    for frame in content["frames"]:
        del frame["time"]
    path.write_text(json.dumps(content))
    assert read_face(path, fps=25).fps == 25
    with pytest.raises(ValueError, match=r"a.json.*frame 0: expected \"time\""):
        read_face(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"names": ["jawOpne"] * 51}, r"Unknown coefficients: 'jawOpne'"),
        ({"names": ["jawOpen"] * 51}, r"repeat"),
        ({"names": None}, r"another layout"),
        ({"frames": []}, r"another layout"),
        ({"frames": [{"weights": [0] * 50, "time": 0}]}, r"frame 0: expected 51 weights.*found 50"),
        ({"frames": [{"weights": ["a"] * 51, "time": 0}]}, r"numbers as weights"),
        ({"frames": [{"weights": [float("nan")] * 51, "time": 0}]}, r"NaN"),
        ({"frames": [{"weights": [0] * 51, "time": 1}, {"weights": [0] * 51, "time": 0}]}, r"frame 1: its time"),
        ({"frames": [{"weights": [0] * 51, "time": t} for t in (0, 0.01, 0.02, 1e8)]}, r"frames, and at most|times leap"),
    ],
)
def test_damaged_arkit_json(tmp_path, damage, message) -> None:
    (tmp_path / "a.json").write_text(json.dumps(beat() | damage))
    with pytest.raises(ValueError, match=message) as error:
        read_face(tmp_path / "a.json")
    assert "a.json" in str(error.value)


def test_flame_arrays(tmp_path) -> None:
    path, numbers = tmp_path / "a.npz", np.random.default_rng(0).normal(size=(9, 10)).astype(np.float32)
    np.savez(path, expression=numbers, eye_pose=np.zeros((9, 6)), mocap_frame_rate=120)
    clip = read_face(path)
    assert (clip.fps, clip.face.names[-1], clip.notes) == (120, "expression_9", ("other arrays are left out: eye_pose",))
    np.savez(path, jaw_pose=numbers[:, :3])
    assert read_face(path, fps=30).face.names == ("jaw_x", "jaw_y", "jaw_z")
    for arrays, message in [
        ({"jaw_pose": numbers[:, :3]}, "frame rate"), ({"jaw_pose": numbers, "fps": 30}, r"1 to 100|, 3\)"),
        ({"expression": numbers, "jaw_pose": numbers[:5, :3], "fps": 30}, "9 and 5 frames"), ({"a": numbers}, "no key 'expression'"),
        ({"expression": numbers * np.nan, "fps": 30}, "NaN"), ({"expression": np.zeros((3, 101)), "fps": 30}, "1 to 100"),
        ({"expression": np.array(["a"]), "fps": 30}, "expected numbers"),
        ({"expression": numbers, "fps": np.array("x")}, "frames per second"),
    ]:  # fmt: skip
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=message) as error:
            read_face(path)
        assert "a.npz" in str(error.value)


def test_a_face_is_put_onto_a_body_by_time(caplog) -> None:
    body, clip = Motion(np.zeros((41, 22, 3))), FaceClip(Face(np.linspace(0, 1, 121)[:, None], ["jawOpen"]), 60)
    with caplog.at_level(logging.WARNING, "hf_motion"):
        np.testing.assert_allclose(attach_face(body, clip).face["jawOpen"], np.linspace(0, 1, 41), atol=1e-6)
        late = attach_face(body, clip, offset=1.0).face["jawOpen"]
        early = attach_face(body, clip, offset=-0.5).face["jawOpen"]
    np.testing.assert_allclose(late, np.clip(np.linspace(-0.5, 0.5, 41), 0, 1), atol=1e-6)
    np.testing.assert_allclose(early, np.clip(np.linspace(0.25, 1.25, 41), 0, 1), atol=1e-6)
    first, second, third = [record.message for record in caplog.records]
    assert first == "The face of 121 frames is put onto a body of 41 by time: resampled from 60 to 20 fps."
    assert "its first frame held for 1.00 s at the start, its last 1.00 s left out" in second
    assert "its first 0.50 s left out, its last frame held for 0.50 s at the end" in third
    for offset in (5.0, -5.0, float("nan")):
        with pytest.raises(ValueError, match="do not overlap"):
            attach_face(body, clip, offset=offset)


def test_faces_of_our_own_files(tmp_path) -> None:
    motion = Motion(np.random.default_rng(0).random((20, 22, 3)), face=talking())
    assert read_face(motion.save(tmp_path / "a.npz")) == FaceClip(motion.face, 20)
    with pytest.raises(ValueError, match="without a face"):
        read_face(replace(motion, face=None).save(tmp_path / "a.npz"))
    with pytest.raises(ValueError, match=r"Use one of: .csv, .json, .npz"):
        read_face(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"Use one of: .csv, .json, .npz"):
        write_face(motion.face, tmp_path / "a.txt", fps=20)
    with pytest.raises(FileNotFoundError, match=r"b.csv"):
        read_face(tmp_path / "b.csv")


def _outcomes(path: Path, contents: Iterator[bytes]) -> set[str]:
    found = set()
    for content in contents:
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            face = read_face(path).face
        except ValueError as error:
            assert path.name in str(error), f"{error} does not name the file"  # noqa: PT017
            found.add("refused")
        else:
            assert np.isfinite(face.coefficients).all()
            assert len(face) <= MAX_FRAMES
            found.add("read")
        assert time.perf_counter() - start < 20
    return found


def _written(path: Path) -> bytes:
    kind = {".csv": "livelink-61", ".json": "arkit-52", ".npz": "flame-53"}[path.suffix]
    return write_face(talking(4, kind), path, fps=60).read_bytes()


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.npz"])
def test_damaged_files(tmp_path, name) -> None:
    data = _written(tmp_path / name)
    assert _outcomes(tmp_path / name, damaged(data, 0, min(400, len(data)), rounds=16)) == {"read", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.npz"])
def test_thousands_of_damaged_files(tmp_path, name) -> None:
    data = _written(tmp_path / name)
    for seed in range(1, 11):
        _outcomes(tmp_path / name, damaged(data, seed, min(1000, len(data)), rounds=60))
