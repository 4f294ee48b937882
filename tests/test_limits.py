"""Limits are looked at before anything is read or allocated, and their errors name the file, the value, the limit and the way out."""

import io
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hf_motion import Motion
from hf_motion.data.captions import read_table
from hf_motion.formats.read import read_motion
from hf_motion.rendering import render_frames, save_video
from hf_motion.skeletons import get_skeleton
from hf_motion.utils import limits
from hf_motion.utils.arrays import load_array, load_arrays

FIXTURES = Path(__file__).parent / "fixtures"


@contextmanager
def quick_and_small(seconds: float = 10, megabytes: float = 100) -> Iterator[None]:
    tracemalloc.start()
    start = time.perf_counter()
    try:
        yield
        assert time.perf_counter() - start < seconds
        assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()


def header(shape: tuple[int, ...], version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    length = len(text).to_bytes(2 * version[0], "little")
    return b"\x93NUMPY" + version + length + text


def test_arrays_that_unpack_to_much_more(tmp_path: Path, small_limit: None) -> None:
    """2 MB that became 2.6 GB: the header is read first, the numbers never. A hundredth of it here."""
    path = tmp_path / "bomb.npz"
    frames = 100_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("joints.npy", "w", force_zip64=True) as member:
        member.write(header((frames, 22, 3)))
        member.write(bytes(frames * 22 * 3 * 4))
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("fps", "skeleton", "joint_names", "parents", "text"):
            archive.writestr(f"{name}.npy", b"")
    assert path.stat().st_size < 100_000
    for read in (Motion.load, read_motion, load_arrays):
        with quick_and_small(megabytes=5), pytest.raises(ValueError, match=r"bomb.npz' holds 25 MiB, and at most 10,000 bytes.*Cut it"):
            read(path)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten kilobytes of arrays at most."""
    monkeypatch.setattr(limits.check_bytes, "__defaults__", (10_000, limits.check_bytes.__defaults__[1]))


def test_arrays_that_are_too_large_together(tmp_path: Path, small_limit: None) -> None:
    np.savez_compressed(tmp_path / "a.npz", **{name: np.zeros(1000) for name in "ab"})
    assert load_arrays(tmp_path / "a.npz", ("a",))["a"].nbytes == 8000
    with pytest.raises(ValueError, match=r"a.npz' holds 16,000 bytes, and at most 10,000"):
        load_arrays(tmp_path / "a.npz")


def test_headers_that_are_bombs_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("joints.npy", b"\x93NUMPY\2\0" + (20 * 2**20).to_bytes(4, "little") + bytes(20 * 2**20))
    with quick_and_small(megabytes=5), pytest.raises(ValueError, match=r"a.npz.*header promises 20,971,520 bytes"):
        load_arrays(path)


def test_a_sparse_array_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    frames = 98 * 2**30 // 264
    with path.open("wb") as file:
        file.write(header((frames, 22, 3)))
        file.truncate(file.tell() + frames * 264)
    for read in (load_array, read_motion):
        with quick_and_small(), pytest.raises(ValueError, match=r"a.npy' holds 98.0 GiB, and at most 1.0 GiB are read of one file"):
            read(path)


@pytest.mark.parametrize("fps", [1e-6, 0.002])
def test_resampling_to_billions_of_frames(tmp_path: Path, fps: float) -> None:
    skeleton = get_skeleton("humanml3d-22")
    np.savez(
        tmp_path / "a.npz", joints=np.zeros((30_000, 22, 3), np.float32), fps=fps, skeleton=skeleton.name, text="",
        joint_names=np.array(skeleton.joint_names), parents=np.array(skeleton.parents),
    )  # fmt: skip
    with quick_and_small(), pytest.raises(ValueError, match=r"a.npz.*(fps must be from|frames, and at most 1,000,000)"):
        read_motion(tmp_path / "a.npz", fps=20)
    if fps > 1e-3:
        with pytest.raises(ValueError, match=r"at most 1,000,000 are taken. Is the clip's frame rate of 0.002 fps right"):
            Motion(np.zeros((30_000, 22, 3)), fps=fps).resample(20)


def test_videos_of_impossible_rates(tmp_path: Path) -> None:
    path = tmp_path / "fast.bvh"
    path.write_text((FIXTURES / "bandai_wave.bvh").read_text().replace("0.0333333", "0.00000001"))
    with pytest.raises(ValueError, match=r"fast.bvh.*the frame rate is 1e\+08 fps.*--source-fps"):
        read_motion(path)
    motion = Motion(np.zeros((2000, 22, 3)), fps=0.1)
    with quick_and_small(), pytest.raises(ValueError, match=r"A video of 399,801 frames is longer than the 200,000"):
        save_video(motion, tmp_path / "a.mp4", fps=20)
    with quick_and_small(), pytest.raises(ValueError, match=r"GiB, and at most 2 GiB are held at once. Cut the motion"):
        render_frames(Motion(np.zeros((2000, 22, 3))), size=(1024, 1024))
    with quick_and_small(), pytest.raises(ValueError, match="at most 2 GiB are held at once"):
        save_video(Motion(np.zeros((2000, 22, 3))), tmp_path / "a.gif", size=(1024, 1024))
    assert [file.name for file in tmp_path.iterdir()] == ["fast.bvh"]


@pytest.mark.parametrize("name", ["a.bvh", "a.amc", "a.csv"])
def test_millions_of_empty_lines(tmp_path: Path, name: str) -> None:
    """50 MB of them took a minute."""
    path = tmp_path / name
    (tmp_path / "a.asf").write_bytes((FIXTURES / "cmu" / "02.asf").read_bytes())
    path.write_bytes(b"HIERARCHY" + b"\n" * 10_000_000 + b"ROOT")
    read = read_motion if name != "a.csv" else lambda file: list(read_table(file))
    with quick_and_small(), pytest.raises(ValueError, match=rf"{name}' has 10,000,000 lines, and at most 4,000,000 are read"):
        read(path)


@pytest.mark.parametrize("name", ["a.bvh", "a.json"])
def test_text_files_of_gigabytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(2**31)
    with quick_and_small(), pytest.raises(ValueError, match=rf"{name}' holds 2.0 GiB, and at most 256 MiB are read of one file"):
        read_motion(path)


def nested(joints: int) -> str:
    deep = "".join(f"JOINT a{n}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n" for n in range(joints - 1))
    start = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n"
    return start + deep + "}\n" * joints + f"MOTION\nFrames: 1\nFrame Time: 0.05\n{'0 ' * joints}\n"


def test_thousands_of_nested_joints(tmp_path: Path) -> None:
    """4,000 took 33 s; as many as are taken do not take long."""
    path = tmp_path / "deep.bvh"
    path.write_text(nested(4000))
    with quick_and_small(), pytest.raises(ValueError, match=r"deep.bvh.*at most 1,024 joints"):
        read_motion(path)
    path.write_text(nested(1024))
    start = time.perf_counter()
    assert len(Motion.load(path).skeleton) == 1024
    assert time.perf_counter() - start < 20


def test_a_clip_of_too_many_positions() -> None:
    with pytest.raises(ValueError, match="999,999 frames of 1,000 joints are more than the 50,000,000 positions"):
        limits.check_clip(999_999, 1000)
    with pytest.raises(ValueError, match="It has 5,000 joints, and at most 1,024"):
        limits.check_clip(1, 5000)


def test_every_error_of_an_array_file_is_one_kind(tmp_path: Path) -> None:
    """Headers that made numpy's parser raise what it liked."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 22, 3), np.float32))
    data = buffer.getvalue()
    for damaged in (data.replace(b"'fortran_order'", b"'fortran_order"), data.replace(b"(2, 22, 3)", b"(((((((((("), data[:9], b""):
        (tmp_path / "000001.npy").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"000001.npy"):
            load_array(tmp_path / "000001.npy")


def test_a_small_file_of_very_many_frames(tmp_path, monkeypatch):
    Motion(np.zeros((12, 22, 3))).save(tmp_path / "a.npz")
    monkeypatch.setattr(limits, "MAX_FRAMES", 10)
    with pytest.raises(ValueError, match=r"a\.npz': It would have 12 frames, and at most 10 are taken"):
        Motion.load(tmp_path / "a.npz")
