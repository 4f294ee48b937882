"""`Motion`."""

import io
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_motion import Motion, Skeleton, get_skeleton


def standing(frames: int = 20) -> Motion:
    rest = np.zeros((22, 3), np.float32)
    skeleton = get_skeleton("humanml3d-22")
    for parent, joint in skeleton.bones:
        rest[joint] = rest[parent] + skeleton.rest_offsets[joint]
    rest[:, 1] -= rest[:, 1].min()
    joints = np.tile(rest, (frames, 1, 1))
    joints[..., 2] += np.linspace(0, 1, frames, dtype=np.float32)[:, None]
    return Motion(joints, fps=20, text="a person glides")


def test_takes_arrays_and_tensors() -> None:
    assert Motion(torch.zeros(3, 22, 3, dtype=torch.bfloat16)).joints.dtype == np.float32
    assert Motion(np.zeros((3, 21, 3)), skeleton="kit-21").skeleton.name == "kit-21"
    assert Motion([[[0, 0, 0]] * 22]).joints.shape == (1, 22, 3)


def test_slices_keep_time() -> None:
    motion = standing()
    part = motion[4:14]
    assert (len(part), part.duration, part.text) == (10, 0.5, motion.text)
    assert motion[::2].fps == 10
    np.testing.assert_array_equal(part.joints, motion.joints[4:14])
    with pytest.raises(ValueError, match="empty"):
        motion[30:]
    with pytest.raises(TypeError, match="slice"):
        motion[3]


@pytest.mark.parametrize("fps", [10, 30, 60, 12.5])
def test_resampling_keeps_the_path(fps: float) -> None:
    motion = standing()
    other = motion.resample(fps)
    assert other.fps == fps
    assert abs(other.duration - motion.duration) <= 1 / min(fps, 20)
    times = np.arange(len(other)) / fps
    np.testing.assert_allclose(other.joints[:, 0, 2], times / (19 / 20), atol=1e-5)


def test_in_place_takes_out_the_travel_alone() -> None:
    motion = standing()
    motion.joints[:, :, 0] += np.sin(np.arange(20, dtype=np.float32))[:, None]
    motion.joints[:, :, 1] += np.cos(np.arange(20, dtype=np.float32))[:, None]
    still = motion.in_place()
    np.testing.assert_array_equal(still.joints[:, 0, [0, 2]], np.tile(motion.joints[0, 0, [0, 2]], (20, 1)))
    np.testing.assert_array_equal(still.joints[..., 1], motion.joints[..., 1])
    np.testing.assert_allclose(still.joints - still.joints[:, :1], motion.joints - motion.joints[:, :1], atol=1e-6)
    assert (still.fps, still.text, still.skeleton) == (motion.fps, motion.text, motion.skeleton)
    assert motion.joints[-1, 0, 2] == 1.0


def turned(motion: Motion, angle: float, shift: tuple[float, float, float]) -> Motion:
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return replace(motion, joints=motion.joints @ turn.T + shift)


def test_concatenated_clips_continue_place_and_heading() -> None:
    motion = turned(standing(), 0.3, (1, 0, 2))
    elsewhere = turned(motion[12:], 2.0, (5, 0, -3))
    whole = Motion.concatenate([motion[:12], elsewhere])
    np.testing.assert_allclose(whole.joints, motion.joints, atol=1e-5)
    assert whole.text == "a person glides, then a person glides"
    apart = Motion.concatenate([motion[:12], elsewhere], continued=False)
    np.testing.assert_array_equal(apart.joints, np.concatenate((motion.joints[:12], elsewhere.joints)))
    assert Motion.concatenate([motion[:12], motion[12:]], continued=False) == replace(motion, text=whole.text)
    assert Motion.concatenate([motion]) == motion


def test_concatenating_says_what_it_resamples(caplog: pytest.LogCaptureFixture) -> None:
    motion = standing()
    assert len(Motion.concatenate([motion, motion.resample(10), motion.resample(30)])) == 20 + 19 + 19
    assert "at 10, 30 frames per second are resampled to 20, the rate of the first" in caplog.text
    caplog.clear()
    assert Motion.concatenate([motion, motion.resample(10)], fps=10).fps == 10
    assert not caplog.records


def test_what_cannot_be_concatenated() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Motion.concatenate([])
    with pytest.raises(TypeError, match=r"got ndarray at 1.*Motion\(joints, fps=20\)"):
        Motion.concatenate([standing(), standing().joints])
    with pytest.raises(ValueError, match=r"Motion 1 is on skeleton 'kit-21', the first on 'humanml3d-22'.*read_motion"):
        Motion.concatenate([standing(), Motion(np.zeros((3, 21, 3)), skeleton="kit-21")])
    stick = Motion(np.zeros((3, 2, 3)), skeleton=Skeleton("stick", ("root", "tip"), (-1, 0)))
    with pytest.raises(ValueError, match="continued=False"):
        Motion.concatenate([stick, stick])
    assert len(Motion.concatenate([stick, stick], continued=False)) == 6


def test_equal_motions() -> None:
    motion = standing()
    assert motion == standing()
    assert motion in [Motion(np.zeros((1, 22, 3))), standing()]
    other = standing()
    other.joints[3, 4, 1] += 1e-6
    for different in (other, motion[:19], replace(motion, fps=30), replace(motion, text=None), 3, None):
        assert motion != different
    assert motion.__eq__("motion") is NotImplemented
    with pytest.raises(TypeError, match="unhashable"):
        hash(motion)


def test_npz_round_trip_is_exact(tmp_path: Path) -> None:
    motion = standing()
    again = Motion.load(motion.save(tmp_path / "deep" / "a.npz"))
    np.testing.assert_array_equal(again.joints, motion.joints)
    assert (again.fps, again.text, again.skeleton) == (motion.fps, motion.text, motion.skeleton)
    own = Motion(np.zeros((2, 2, 3)), skeleton=Skeleton("mine", ("root", "tip"), (-1, 0)))
    assert Motion.load(own.save(tmp_path / "b.npz")).skeleton == own.skeleton


@pytest.mark.parametrize("suffix", [".bvh", ".glb", ".npz", ".csv", ".json", ".mp4", ".gif", ".png", ".html"])
def test_saves_every_format(tmp_path: Path, suffix: str) -> None:
    path = standing(2).save(tmp_path / f"motion{suffix}")
    assert path.stat().st_size > 500
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    into = io.BytesIO()
    assert standing(2).save(into, format=suffix[1:]) is None
    content = standing(2).to_bytes(suffix)
    assert len(content) == len(into.getvalue()) == path.stat().st_size
    if suffix != ".npz":  # a zip file tells when it was written
        assert content == into.getvalue() == path.read_bytes()


def test_bytes_take_the_options_of_files(tmp_path: Path) -> None:
    assert b"mixamorig:Hips" in standing(3).to_bytes("bvh", rig="mixamo")
    with open(tmp_path / "a.bin", "wb") as file:
        standing(3).save(file, format="csv", rig="cmu")
    assert (tmp_path / "a.bin").read_bytes().startswith(b"time,Hips_x")
    with pytest.raises(ValueError, match=r"Unknown format 'docx'.*bvh, glb"):
        standing().to_bytes("docx")
    with pytest.raises(ValueError, match=r"pass format=, one of bvh, glb"):
        standing().save(io.BytesIO())
    for target in (io.StringIO(), 3):
        with pytest.raises(ValueError, match=r"open\(path, 'wb'\)"):
            standing().save(target, format="bvh")
    with pytest.raises(ValueError, match=r"a\.bvh' names a format already"):
        standing().save(tmp_path / "a.bvh", format="glb")


def test_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'.dae'.*\.bvh, \.glb, .*\.npz, .*\.mp4, \.gif, \.png, \.html"):
        standing().save(tmp_path / "a.dae")
    with pytest.raises(ValueError, match=r"'.mp4'.*\.bvh, .*\.npz"):
        Motion.load(tmp_path / "a.mp4")
    with pytest.raises(FileNotFoundError):
        Motion.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("joints", "options", "message"),
    [
        (np.zeros((3, 21, 3)), {}, "21 joints but skeleton 'humanml3d-22' has 22"),
        (np.zeros((3, 66)), {}, r"\(frames, joints, 3\)"),
        (np.zeros((0, 22, 3)), {}, "at least one frame"),
        (np.full((3, 22, 3), np.nan), {}, "NaN or infinity in 3 of 3 frames, first in frame 0"),
        (np.full((3, 22, 3), np.inf), {}, "NaN or infinity"),
        ("walk", {}, "array of numbers"),
        (np.zeros((3, 22, 3)), {"fps": 0}, "positive"),
        (np.zeros((3, 22, 3)), {"fps": float("nan")}, "positive"),
        (np.zeros((3, 22, 3)), {"fps": "20"}, "positive"),
        (np.zeros((3, 22, 3)), {"fps": True}, "positive"),
        (np.zeros((3, 22, 3)), {"skeleton": "smpl-24"}, "Unknown skeleton 'smpl-24'. Known skeletons: humanml3d-22, kit-21"),
    ],
)
def test_bad_input(joints: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Motion(joints, **options)


@pytest.mark.parametrize("keep", [0, 10, 200, -4])
def test_damaged_npz(tmp_path: Path, keep: int) -> None:
    path = standing().save(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a\.npz"):
        Motion.load(path)


def test_flipped_bytes(tmp_path: Path) -> None:
    whole = standing(5).save(tmp_path / "a.npz").read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
        (tmp_path / "b.npz").write_bytes(damaged)
        with suppress(ValueError):
            Motion.load(tmp_path / "b.npz")


def test_npz_of_something_else_and_pickles(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", joints=np.zeros((3, 22, 3)))
    with pytest.raises(ValueError, match="has no array 'fps'"):
        Motion.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", joints=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"b\.npz"):
        Motion.load(tmp_path / "b.npz")


def test_failed_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"Cannot write .*file"):
        standing().save(tmp_path / "file" / "a.npz")

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        standing().save(tmp_path / "a.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_notebook_player() -> None:
    page = standing()._repr_html_()
    assert "<iframe" in page or "<canvas" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_skeletons_are_checked() -> None:
    with pytest.raises(ValueError, match="repeat"):
        Skeleton("x", ("a", "a"), (-1, 0))
    with pytest.raises(ValueError, match="root outwards"):
        Skeleton("x", ("a", "b"), (1, -1))
    assert [get_skeleton("humanml3d-22").joint_names[j] for j in (16, 17)] == ["left_shoulder", "right_shoulder"]
    with pytest.raises(ValueError, match="no joint 'tail'"):
        get_skeleton("kit-21").joint("tail")
