"""Files of every format in real Blender, and the bridge to it.

The slow tests need Blender: `HF_MOTION_BLENDER`, the package `bpy` or the program on the PATH, see `hf_motion.formats.blender`. They open
files with the settings that Blender's import dialogs have at first.
"""

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fbx_files import hand_written, text_file
from test_face import talking

from hf_motion import Motion
from hf_motion.formats import blender, read_fbx, read_motion, write_bvh
from hf_motion.formats.blender import BlenderError, find_blender, one_blender, run_blender
from hf_motion.formats.fbx_records import check_fbx
from hf_motion.hands import with_hands, wrist_joints

OPEN = Path(__file__).parent / "blender_open.py"
WAVE = Path(__file__).parent / "fixtures" / "bandai_wave.bvh"
FRAMES = [0, 1, 7, 18, 39]


def wave(**changes) -> Motion:
    motion = read_motion(WAVE)
    return Motion(motion.joints, fps=changes.get("fps", motion.fps), text="a person waves")


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_blender_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(blender.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ImportError, match=r"there is none here.*pip install bpy.*HF_MOTION_BLENDER=.*read \.glb without it"):
        find_blender()
    program(tmp_path / "blender", "exit 0")
    assert find_blender()[:2] == [str(tmp_path / "blender"), "--background"]
    (tmp_path / "bpy.py").write_text("raise RuntimeError('was imported')")
    assert find_blender() == [sys.executable]
    monkeypatch.setenv(blender.VARIABLE, str(program(tmp_path / "blender-4.5", "exit 0")))
    assert find_blender()[0].endswith("blender-4.5")
    monkeypatch.setenv(blender.VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(ValueError, match=r"HF_MOTION_BLENDER is '.*gone', which is no program"):
        find_blender()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo Writing; echo 'Segmentation fault' >&2; exit 11", "Blender ended with 11.*Segmentation fault$"),
        ("exit 0", "Blender ended with 0.*it said nothing"),
        ("for last; do :; done; printf '%s' '{\"error\": \"no\\nfile\"}' > $last", "Blender failed: no file"),
        ("exec sleep 60", "took longer than 1 s and was ended"),
    ],
)
def test_what_goes_wrong_in_blender_is_said_in_one_line(monkeypatch, tmp_path, text, message):
    monkeypatch.setenv(blender.VARIABLE, str(program(tmp_path / "blender", text)))
    with pytest.raises(BlenderError, match=message):
        run_blender({"do": "write_fbx"}, seconds=1)


def test_failures_leave_no_file_and_name_what_they_read(monkeypatch, tmp_path):
    monkeypatch.setenv(blender.VARIABLE, str(program(tmp_path / "blender", "exit 3")))
    with pytest.raises(BlenderError, match="Blender ended with 3"):
        Motion(np.random.default_rng(0).random((2, 22, 3))).save(tmp_path / "out" / "a.fbx")
    assert not list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else True
    (tmp_path / "b.fbx").write_text(text_file())
    with pytest.raises(ValueError, match=r"b\.fbx.*Blender ended with 3"):
        read_fbx(tmp_path / "b.fbx")
    with pytest.raises(ValueError, match=r"b\.fbx.*Blender ended with 3"):
        read_motion(tmp_path / "b.fbx")


WORKER = """
import json, os, signal, sys, time
from pathlib import Path
words = sys.argv[-2:]
while words:
    told, result = map(Path, words)
    job = json.loads(told.read_text())
    if job["do"] == "crash":
        print("Writing: /tmp/crash.txt", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60 if job["do"] == "hang" else 0)
    part = result.with_suffix(".part")
    part.write_text(json.dumps({"done": {"process": os.getpid()}} if job["do"] == "work" else {"error": "no"}))
    part.replace(result)
    line = sys.stdin.readline()
    words = json.loads(line) if line else None
"""


def test_one_blender_does_many_files_and_is_started_again_where_it_ended(monkeypatch, tmp_path):
    monkeypatch.setenv(blender.VARIABLE, sys.executable)
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    def do(what: str) -> int:
        return run_blender({"do": what}, script=script, seconds=1 if what == "hang" else 30)["process"]

    with one_blender(script):
        first = do("work")
        with pytest.raises(BlenderError, match="Blender failed: no"):
            do("fail")
        with one_blender(script):
            assert do("work") == first
        with pytest.raises(BlenderError, match=r"ended with SIGSEGV .*Writing: /tmp/crash\.txt"):
            do("crash")
        second = do("work")
        assert second != first
        with pytest.raises(BlenderError, match="took longer than 1 s"):
            do("hang")
        third = do("work")
        assert third not in (first, second)
    assert do("work") != third
    for process in (first, second, third):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize("name", ["nothing", "magic", "version", "beyond", "bomb", "another format"])
def test_foreign_and_cut_off_files_do_not_start_blender(monkeypatch, tmp_path, name):
    monkeypatch.setenv(blender.VARIABLE, str(tmp_path / "gone"))
    (tmp_path / "a.fbx").write_bytes(hand_written()[name])
    with pytest.raises(ValueError, match=r"a\.fbx' is (no FBX file: it begins|a damaged FBX file: )"):
        read_motion(tmp_path / "a.fbx")


def test_records_that_end_where_they_say_are_let_through(tmp_path):
    (tmp_path / "a.fbx").write_bytes(hand_written()["no records"])
    check_fbx(tmp_path / "a.fbx")
    (tmp_path / "a.fbx").write_text(text_file())
    check_fbx(tmp_path / "a.fbx")


def test_units_of_bvh_files(tmp_path):
    motion = wave()
    whole = write_bvh(motion, tmp_path / "cm.bvh").read_text()
    assert write_bvh(motion, tmp_path / "b.bvh", units="cm").read_text() == whole
    assert write_bvh(motion, tmp_path / "b.bvh", scale=100).read_text() == whole
    metres = write_bvh(motion, tmp_path / "m.bvh", units="m")
    np.testing.assert_allclose(read_motion(metres, unit="m").joints, read_motion(tmp_path / "cm.bvh", unit="cm").joints, atol=1e-4)
    for options, message in (({"units": "mm"}, "units must be 'cm' or 'm', got 'mm'"), ({"units": "m", "scale": 1}, "not both")):
        with pytest.raises(ValueError, match=message):
            write_bvh(motion, tmp_path / "c.bvh", **options)


# From here on with real Blender.


@pytest.fixture(scope="module")
def real():
    try:
        return find_blender()
    except ImportError as error:
        pytest.skip(str(error))


def opened(path: Path, motion: Motion, importer: str | None = None, **options):
    job = {"path": str(path), "importer": importer or path.suffix, "times": [frame / motion.fps for frame in FRAMES], **options}
    return run_blender(job, script=OPEN, seconds=300)


def misses(found: dict, path: Path, rename=lambda name: name, scale: float = 1.0) -> float:
    """How far joints in Blender are from those of the file as we read it, in metres."""
    ours = Motion.load(path)
    assert len(ours) == 40
    worst = 0.0
    for frame, places in zip(FRAMES, found["joints"], strict=True):
        there = np.array([places[rename(name)] for name in ours.skeleton.joint_names]) * scale
        worst = max(worst, float(np.abs(there - ours.joints[frame]).max()))
    return worst


@pytest.fixture(scope="module")
def glb(tmp_path_factory) -> Path:
    """The same skeleton in a format that the other tests tie to ours."""
    return wave().save(tmp_path_factory.mktemp("blender") / "wave.glb")


@pytest.mark.slow
def test_glb_opens_in_blender(real, glb):
    found = opened(glb, wave())
    assert misses(found, glb) < 1e-3
    assert (found["last"] - found["first"]) / found["rate"] == pytest.approx(39 / 30, abs=1e-4)
    assert found["bones"] == 22


@pytest.mark.slow
@pytest.mark.parametrize("units", ["m", "cm"])
def test_bvh_opens_in_blender(real, tmp_path, units):
    path = write_bvh(wave(), tmp_path / "wave.bvh", units=units)
    found = opened(path, wave(), rate=30)
    assert misses(found, path, scale=1 if units == "m" else 0.01) < 1e-3
    assert found["last"] - found["first"] == 39
    assert found["height"] == pytest.approx(1.83 if units == "m" else 183, rel=0.1)
    assert found["rate"] == 24
    right = opened(path, wave(), options={"update_scene_fps": True, "global_scale": 1 if units == "m" else 0.01})
    assert misses(right, path) < 1e-3
    assert right["rate"] == 30


@pytest.mark.slow
@pytest.mark.parametrize("importer", [".fbx", "legacy.fbx"])
def test_fbx_opens_in_blender(real, glb, tmp_path, importer):
    path = wave().save(tmp_path / "wave.fbx")
    found = opened(path, wave(), importer)
    assert misses(found, glb) < 1e-3
    assert (found["rate"], found["last"] - found["first"], found["bones"], found["meshes"]) == (30, 39, 22, 1)
    np.testing.assert_allclose(found["scale"], 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["usd", "usda", "usdc", "usdz"])
def test_usd_opens_in_blender(real, glb, tmp_path, suffix):
    path = wave().save(tmp_path / f"wave.{suffix}")
    found = opened(path, wave(), rate=30)
    assert misses(found, glb) < 1e-3
    assert (found["last"] - found["first"], found["rate"]) == (39, 24)
    assert (found["bones"], found["meshes"]) == (22, 3)


@pytest.mark.slow
def test_vrma_opens_in_blender(real, tmp_path):
    path = wave().save(tmp_path / "wave.vrma")
    found = opened(path, wave())
    assert misses(found, path) < 1e-3
    assert (found["last"] - found["first"]) / found["rate"] == pytest.approx(39 / 30, abs=1e-4)


def fingers() -> Motion:
    """The wave with hands that close more and more."""
    motion = with_hands(wave())
    joints = motion.joints.copy()
    for wrist, hand in zip(wrist_joints(motion.skeleton), ("left_hand", "right_hand"), strict=True):
        bones = motion.skeleton.groups[hand]
        closing = np.linspace(1, 0.8, len(joints))[:, None, None]
        joints[:, bones] = joints[:, [wrist]] + closing * (joints[:, bones] - joints[:, [wrist]])
    return Motion(joints, fps=motion.fps, skeleton=motion.skeleton, text=motion.text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.glb", "a.fbx", "a.bvh", "a.vrma", "a.usdc"])
def test_fingers_open_in_blender(real, tmp_path, name):
    motion = fingers()
    path = motion.save(tmp_path / name, **({"units": "m"} if name == "a.bvh" else {}))
    found = opened(path, motion, rate=30 if name in ("a.bvh", "a.usdc") else None)
    ours = path if name in ("a.bvh", "a.vrma") else motion.save(tmp_path / "ours.glb")
    assert misses(found, ours) < 1e-3
    assert found["bones"] == (0 if name == "a.vrma" else 52)
    if name == "a.fbx":
        back = read_motion(path, skeleton="smplx-52")
        np.testing.assert_allclose(back.joints, Motion.load(ours).joints, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arkit-52", "flame-53"])
def test_a_face_opens_in_blender(real, tmp_path, kind):
    motion = wave()
    face = talking(len(motion), kind)
    path = replace(motion, face=face).save(tmp_path / "a.glb")
    found = opened(path, motion)
    assert misses(found, path) < 1e-3
    assert found["meshes"] >= 2
    for frame, keys in zip(FRAMES, found["keys"], strict=True):
        assert set(keys) == set(face.names)
        # Blender shows no more of a shape key than its slider has, -10 to 10 at most.
        np.testing.assert_allclose([keys[name] for name in face.names], face.coefficients[frame], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arkit-52", "flame-53"])
def test_a_face_comes_back_from_fbx(real, tmp_path, kind):
    motion = replace(wave(), face=talking(40, kind))
    back = read_motion(motion.save(tmp_path / "a.fbx"))
    assert back.face.kind == kind
    places = [back.face.names.index(name) for name in motion.face.names]
    np.testing.assert_allclose(back.face.coefficients[:, places], motion.face.coefficients, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("fps", [20, 30000 / 1001])
def test_fbx_comes_back(real, glb, tmp_path, fps):
    motion = wave(fps=fps)
    path = motion.save(tmp_path / "wave.fbx", rig="mixamo")
    back, ours = read_motion(path), Motion.load(glb)
    assert back.fps == pytest.approx(fps, rel=1e-5)
    np.testing.assert_allclose(back.joints, ours.joints, atol=1e-3)
    assert len(read_motion(path, source_fps=fps / 2)) == 20
    assert read_fbx(path).skeleton.joint_names[0] == "mixamorig:Hips"
    (tmp_path / "cut.fbx").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cut\.fbx"):
        read_motion(tmp_path / "cut.fbx")
    np.testing.assert_allclose(read_motion(motion[:1].save(tmp_path / "pose.fbx")).joints, ours.joints[:1], atol=1e-3)


if __name__ == "__main__":
    # A look at what Blender makes of a file: python tests/test_blender.py FILE PICTURE.png
    print(opened(Path(os.path.abspath(sys.argv[1])), wave(), picture=os.path.abspath(sys.argv[2]))["scale"])
