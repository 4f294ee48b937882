"""Reading frames of videos: which are taken, how they stand, and what is said of those that cannot be read."""

import io
import logging
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import clip_bytes, indices

from hf_motion.video import frames as frames_module
from hf_motion.video import read_frames

IDENTITY = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], dtype=">u4").tobytes()
QUARTER = np.array([0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000], dtype=">u4").tobytes()


def test_uniform_takes_first_and_last_and_all_of_a_short_clip() -> None:
    read = read_frames(clip_bytes(20), num_frames=4)
    assert indices(read.frames) == [0, 6, 13, 19]
    assert read.frames.dtype == np.uint8
    assert read.frames.shape == (4, 48, 64, 3)
    np.testing.assert_allclose(read.times, [0, 0.24, 0.52, 0.76], atol=1e-3)
    assert read.fps == pytest.approx(25)
    assert read.duration == pytest.approx(0.8, abs=0.01)
    assert indices(read_frames(clip_bytes(5), num_frames=16).frames) == [0, 1, 2, 3, 4]
    assert len(read_frames(clip_bytes(20), num_frames=None)) == 20


@pytest.mark.parametrize(("seconds", "count"), [(1.7, 8), (8, 8), (10, 10), (30, 16)])
def test_vimorag_takes_one_a_second_within_bounds(seconds: float, count: int) -> None:
    data = clip_bytes(ticks=np.linspace(0, 1000 * seconds, 60).astype(int).tolist())
    assert len(read_frames(data, sampling="vimorag")) == count


def test_variable_frame_rate_is_even_in_time() -> None:
    ticks = [*range(0, 100, 10), *range(1000, 11000, 1000)]
    read = read_frames(clip_bytes(ticks=ticks), num_frames=3)
    np.testing.assert_allclose(read.times, [0, 5, 10], atol=1e-3)


@pytest.mark.parametrize(("container", "codec"), [("matroska", "mpeg4"), ("avi", "mpeg4"), ("mpeg", "mpeg2video"), ("m4v", "mpeg4")])
def test_containers(container: str, codec: str) -> None:
    read = read_frames(clip_bytes(20, container=container, codec=codec), num_frames=4)
    assert indices(read.frames) == [0, 6, 13, 19]


def test_part_of_a_clip_is_found_by_seeking() -> None:
    read = read_frames(clip_bytes(20), num_frames=3, start=0.4, end=0.6)
    assert indices(read.frames) == [10, 12, 15]
    np.testing.assert_allclose(read.times, [0.4, 0.48, 0.6], atol=1e-3)
    with pytest.raises(ValueError, match=r"no frames from 9 s on.*check start and end"):
        read_frames(clip_bytes(20), start=9)


def test_rotated_clip_stands_upright() -> None:
    data = clip_bytes(3)
    assert data.count(IDENTITY) == 2
    at = data.rindex(IDENTITY)
    turned = read_frames(data[:at] + QUARTER + data[at + len(IDENTITY) :])
    assert turned.frames.shape == (3, 64, 48, 3)
    assert turned.frames[1, :20].mean() > turned.frames[1, -20:].mean() + 20


def test_transparent_clip_lies_on_white() -> None:
    frames = read_frames(clip_bytes(2, container="mov", codec="png", alpha=True)).frames
    np.testing.assert_allclose(frames[0, :, -1], 127, atol=1)


def test_smaller_frames() -> None:
    assert read_frames(clip_bytes(2), max_side=32).frames.shape == (2, 24, 32, 3)


def test_rows_paths_and_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "one.mp4"
    path.write_bytes(clip_bytes(1))
    for video in (path, str(path), {"path": str(path), "bytes": None}, {"bytes": path.read_bytes(), "path": "elsewhere.mp4"}):
        read = read_frames(video)
        assert (len(read), read.times.tolist()) == (1, [0.0])
        assert read.duration == pytest.approx(0.04, abs=0.01)


def sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"not a video" * 100, "not a video that can be read"),
        (clip_bytes(20)[:300], "not a video that can be read"),
        (sound(), "holds no video"),
        (b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420\n", "holds no frames"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n", "not a video that can be read|holds no video"),
    ],
)
def test_no_video_is_said(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_frames(data)


def test_damage_in_the_middle_costs_the_frames_it_hits(caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(clip_bytes(20, container="mov", codec="png"))
    second = [at for at in range(len(data)) if data[at : at + 4] == b"\x89PNG"][1]
    data[second : second + 40] = bytes(40)
    with caplog.at_level(logging.WARNING, "hf_motion"):
        assert len(read_frames(bytes(data), num_frames=None)) == 19
    assert "1 of 20 frames could not be decoded" in caplog.text


def test_long_files_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(clip_bytes(20))
    monkeypatch.setattr(frames_module, "MAX_VIDEO_FRAMES", 10)
    with pytest.raises(ValueError, match=r"long\.mp4' lasts .* at most 10 are looked through. Pass start= and end="):
        read_frames(path)
    assert len(read_frames(path, start=0.2, end=0.4)) == 6
    with pytest.raises(ValueError, match="more than 10 frames"):
        read_frames(clip_bytes(20, container="m4v"))
    monkeypatch.setattr(frames_module, "MAX_IMAGE_BYTES", 10_000)
    with pytest.raises(ValueError, match="max_side=640"):
        read_frames(path, start=0.2, end=0.4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, "whole number from 1"),
        ({"sampling": "random"}, "'uniform', 'vimorag'"),
        ({"start": -1}, "must not be negative"),
        ({"start": 2, "end": 1}, "must come after"),
        ({"max_side": 3}, "at least 16"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_frames(b"x", **options)


def test_missing_files_and_empty_rows(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*a\.mp4"):
        read_frames(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"Video\(decode=False\)"):
        read_frames({"image": b""})
