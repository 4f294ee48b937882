"""Twenty thousand damaged files over all readers, seeded: a result comes out, or an error that names the file, in bounded time.

21,319 without FBX:

| reader | files | damaged how |
|---|---|---|
| .glb with a face, .gltf, .vrm, .vrma | 4 x 1,507 | bytes |
| .gltf with a face | 2,000 | values of its JSON |
| .bvh, .bvh of 52 joints, .amc | 3 x 1,507 | bytes |
| .npz of ours with a face, of AMASS; .npy; .npy of Motion-X | 4 x 1,207 | bytes |
| .json of ours with a face | 1,507 | bytes |
| faces: Live Link .csv, ARKit .json, FLAME .npz | 3 x 607 | bytes |
| hands: .bvh, Leap .json | 2 x 307 | bytes |
| .fbx with a face, where Blender is | 307 + 400 | bytes; numbers in records that stay whole |
| .fbx as text, where Blender is | 400 + 52 | numbers and lines; written by hand |

The fast tests (`test_fuzz_readers`, `test_fuzz_gltf`, `test_face_files`) have some hundred each.
"""

import gzip
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fbx_files import broken_text, broken_values, hand_written, text_file
from gltf_files import person
from test_amass import amass, body_model
from test_face import talking
from test_face_data import motion_x
from test_fuzz_gltf import broken
from test_fuzz_readers import CMU, FIXTURES, damaged, small_bvh

from hf_motion import Face, Motion
from hf_motion.formats import read_face, read_fbx, read_motion, write_face
from hf_motion.formats.blender import find_blender, one_blender
from hf_motion.formats.hand_takes import read_hand_take
from hf_motion.formats.motion_x import read_motion_x
from hf_motion.hands import with_hands

pytestmark = pytest.mark.slow
SECONDS = 20


def small(frames: int = 3, face: str | None = None) -> Motion:
    motion = read_motion(FIXTURES / "bandai_wave.bvh")[:frames]
    return Motion(motion.joints, motion.fps, face=None if face is None else talking(frames, face))


def count(path: Path, whole: bytes, contents: Iterator[bytes], read: Callable[[Path], object]) -> Counter[str]:
    found: Counter[str] = Counter()
    path.write_bytes(whole)
    assert read(path) is not None, "what is damaged was readable"
    for content in contents:
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(path)
        except ValueError as error:
            assert path.parent.name in str(error), f"{error} does not name the file"  # noqa: PT017
            found["refused"] += 1
        else:
            found["read"] += 1
        assert time.perf_counter() - start < SECONDS
    assert found["refused"]
    return found


@pytest.mark.parametrize("suffix", ["glb", "gltf", "vrm", "vrma"])
def test_gltf_bytes(tmp_path, suffix):
    file = person(frames=3)
    bones = {name: {"node": node} for name, node in file.names.items()}
    if suffix == "vrm":
        listed = [{"bone": name, **bone} for name, bone in bones.items()]
        file.document["extensions"] = {"VRM": {"humanoid": {"humanBones": listed}}}
    if suffix == "vrma":
        file.document["extensions"] = {"VRMC_vrm_animation": {"specVersion": "1.0", "humanoid": {"humanBones": bones}}}
    path = tmp_path / f"a.{suffix}"
    data = (file.gltf(path) if suffix == "gltf" else file.glb(path)).read_bytes()
    if suffix == "glb":
        data = small(face="arkit-52").save(path).read_bytes()
    assert sum(count(path, data, damaged(data, 101, 30_000 if suffix == "glb" else len(data), rounds=250), read_motion).values()) == 1507


def test_gltf_values(tmp_path):
    file = person(frames=3)
    face = file.node("Face", mesh=0)
    targets = {"primitives": [{"targets": [{}, {}]}], "extras": {"targetNames": ["jawOpen", "browInnerUp"], "faceKind": "arkit-52"}}
    file.document["meshes"] = [targets]
    file.animate(face, "weights", np.arange(3) / 30, np.zeros(6))
    content = json.loads(file.gltf(tmp_path / "a.gltf").read_text())
    assert sum(count(tmp_path / "a.gltf", json.dumps(content).encode(), broken(content, 102, 2000), read_motion).values()) == 2000


@pytest.mark.parametrize("joints", [21, 52])
def test_bvh(tmp_path, joints):
    data = small_bvh("bandai_wave.bvh") if joints == 21 else with_hands(small()).save(tmp_path / "b.bvh").read_bytes()
    head = data.index(b"MOTION") + 60
    assert sum(count(tmp_path / "a.bvh", data, damaged(data, 103, head, rounds=250), read_motion).values()) == 1507


def test_amc(tmp_path):
    text = (CMU / "02_01.amc").read_bytes()
    data = text[: text.index(b"\n4\r\n") + 1]
    found = count(tmp_path / "02_01.amc", data, damaged(data, 104, 200, rounds=250), lambda path: read_motion(path, asf=CMU / "02.asf"))
    assert sum(found.values()) == 1507


@pytest.mark.parametrize("kind", ["ours", "amass", "npy", "motion-x"])
def test_arrays(tmp_path, kind):
    path = tmp_path / ("a.npz" if kind in ("ours", "amass") else "a.npy")
    body_model(tmp_path / "model.npz", joints=55, shapes=400)
    if kind == "ours":
        small(face="livelink-61").save(path)
    elif kind == "amass":
        amass(path, "smplx", frames=3, expression=np.zeros((3, 10)))
    elif kind == "npy":
        np.save(path, small().joints)
    else:
        np.save(path, motion_x(tmp_path / "set")[:3])
    read = {
        "amass": lambda path: read_motion(path, body_models=tmp_path / "model.npz", skeleton="smplx-52"),
        "motion-x": lambda path: read_motion_x(path, tmp_path / "model.npz", fingers=True),
    }.get(kind, read_motion)
    assert sum(count(path, path.read_bytes(), damaged(path.read_bytes(), 105, 400, rounds=200), read).values()) == 1207


def test_json(tmp_path):
    data = small(face="flame-53").save(tmp_path / "a.json").read_bytes()
    assert sum(count(tmp_path / "a.json", data, damaged(data, 106, 2000, rounds=250), read_motion).values()) == 1507


@pytest.mark.parametrize(("name", "kind"), [("a.csv", "livelink-61"), ("a.json", "arkit-52"), ("a.npz", "flame-53")])
def test_faces(tmp_path, name, kind):
    write_face(Face(talking(4, kind).coefficients, kind), tmp_path / name, fps=30)
    data = (tmp_path / name).read_bytes()
    assert sum(count(tmp_path / name, data, damaged(data, 107, 600, rounds=100), read_face).values()) == 607


@pytest.mark.parametrize("name", ["leftHand.bvh", "a.json"])
def test_hands(tmp_path, name):
    source = FIXTURES / "hands" / ("grab.json.gz" if name == "a.json" else "mug1/leftHand.bvh.gz")
    data = gzip.decompress(source.read_bytes())
    found = count(tmp_path / name, data, damaged(data, 108, 4000, rounds=50), lambda path: read_hand_take((path,)))
    assert sum(found.values()) == 307


@pytest.fixture
def blender(monkeypatch) -> Iterator[None]:
    """One Blender for all files of a test, each of which must be done with in a moment."""
    try:
        find_blender()
    except ImportError as error:
        pytest.skip(str(error))
    monkeypatch.setattr("hf_motion.formats.blender.SECONDS", SECONDS - 1)
    with one_blender():
        yield


@pytest.mark.parametrize("kind", ["bytes", "values", "text"])
def test_fbx(tmp_path, blender, kind):
    path = tmp_path / "a.fbx"
    if kind == "text":
        whole = text_file().encode()
        contents, expected = broken_text(whole.decode(), 110, 400), 400
    else:
        whole = small(face="arkit-52").save(path).read_bytes()
        contents, expected = (damaged(whole, 109, 4000, rounds=50), 307) if kind == "bytes" else (broken_values(whole, 111, 400), 400)
    assert sum(count(path, whole, contents, read_fbx).values()) == expected


def test_hand_written_fbx(tmp_path, blender):
    """Odd files are read, wrong ones refused; none stays in the way of the next."""
    cases = hand_written()
    found = {}
    for name, content in cases.items():
        path = tmp_path / "a.fbx"
        path.write_bytes(content)
        try:
            found[name] = len(read_fbx(path))
        except ValueError as error:
            assert str(path) in str(error), f"{name}: {error}"  # noqa: PT017
            found[name] = str(error)
    assert {
        name for name in ("one frame", "no settings", "same names", "mirrored", "unit 0", "rate 29.97") if isinstance(found[name], str)
    } == set()
    for name, words in {
        "nothing": "no FBX file", "another format": "no FBX file: it begins with", "magic": "in the middle", "version": "version is 42",
        "beyond": "does not fit", "bomb": "more than 1 GiB", "no animation": "no animation", "a year": "more than",
        "flat": "no bones of any length",
        "rate 1e9": "at 1e+09 frames", "rate 0": "its frame rate is", "rate -1": "its frame rate is", "rate nan": "its frame rate is",
    }.items():  # fmt: skip
        assert words in str(found[name]), name
    assert len(cases) == 52
