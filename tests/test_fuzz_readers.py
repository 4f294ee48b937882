"""Damaged files of every format, seeded: a motion comes out, or a ValueError that names the file. Nothing else, in bounded time."""

import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_amass import amass, body_model

from hf_motion import Motion
from hf_motion.formats.read import read_motion
from hf_motion.formats.rigs import Rig, load_mapping

FIXTURES = Path(__file__).parent / "fixtures"
CMU = FIXTURES / "cmu"
NASTY = [
    b"",
    b"nan",
    b"-inf",
    b"1e999",
    b"1e300",
    b"\0",
    b"\xff\xfe",
    "³".encode(),
    b"{",
    b"}",
    b"999999999",
    b"-1",
    b"#",
    b":",
    b"\r",
    b"root",
]


def damaged(data: bytes, seed: int, head: int, rounds: int = 20) -> Iterator[bytes]:
    """Cut, flipped, spliced, repeated and filled with nasty words, half of the time among the first `head` bytes."""
    random = np.random.default_rng(seed)
    for n in range(rounds):
        at = int(random.integers(head if n % 2 else len(data)))
        length = int(random.integers(1, 60))
        nasty = NASTY[random.integers(len(NASTY))]
        flipped = bytearray(data)
        flipped[at] = random.integers(256)
        words = data[:at].rpartition(b" ")[0], data[at:].partition(b" ")[2]
        yield from (
            data[:at], bytes(flipped), data[:at] + data[at + length :], data[:at] + nasty + data[at:], data[: at + length] + data[at:],
            words[0] + b" " + nasty + b" " + words[1],
        )  # fmt: skip
    yield from (b"", b"\0" * 1000, data[::-1], data.replace(b" ", b""), data + data, bytes(range(256)) * 50, b"\n" * 10_000)


def outcomes(path: Path, contents: Iterator[bytes], **options) -> set[str]:
    found = set()
    for content in contents:
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                motion = read_motion(path, **options)
        except ValueError as error:
            assert path.parent.name in str(error), f"{error} does not name the file"  # noqa: PT017
            found.add("refused")
        else:
            assert isinstance(motion, Motion)
            assert np.isfinite(motion.joints).all()
            found.add("read")
        assert time.perf_counter() - start < 20
    return found


def small_bvh(name: str, frames: int = 3) -> bytes:
    lines = (FIXTURES / name).read_bytes().splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith(b"Frames"))
    return b"".join([*lines[:start], b"Frames: %d\n" % frames, *lines[start + 1 : start + 2 + frames]])


@pytest.mark.parametrize("name", ["bandai_wave.bvh", "reactidle_003.bvh", "cmu/12_01_cgspeed.bvh"])
def test_bvh(tmp_path, name):
    data = small_bvh(name)
    assert outcomes(tmp_path / "a.bvh", damaged(data, 0, data.index(b"MOTION") + 60), fps=20) == {"read", "refused"}


def test_amc(tmp_path):
    text = (CMU / "02_01.amc").read_bytes()
    data = text[: text.index(b"\n4\r\n") + 1]
    assert outcomes(tmp_path / "02_01.amc", damaged(data, 1, 200, rounds=8), asf=CMU / "02.asf") == {"read", "refused"}


def test_asf(tmp_path):
    text = (CMU / "02_01.amc").read_bytes()
    (tmp_path / "02_01.amc").write_bytes(text[: text.index(b"\n3\r\n") + 1])
    found = set()
    for content in damaged((CMU / "02.asf").read_bytes(), 2, 1000, rounds=8):
        (tmp_path / "02.asf").write_bytes(content)
        try:
            found.add(type(read_motion(tmp_path / "02_01.amc")))
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017
            found.add(ValueError)
    assert found == {Motion, ValueError}


def test_npz(tmp_path):
    motion = read_motion(FIXTURES / "bandai_wave.bvh")[:4]
    data = motion.save(tmp_path / "a.npz").read_bytes()
    assert outcomes(tmp_path / "a.npz", damaged(data, 3, 200)) == {"read", "refused"}
    body_model(tmp_path / "model.npz")
    amass(tmp_path / "a.npz", frames=3)
    data = (tmp_path / "a.npz").read_bytes()
    assert outcomes(tmp_path / "a.npz", damaged(data, 4, 400), body_models=tmp_path / "model.npz") == {"read", "refused"}


def test_npy(tmp_path):
    np.save(tmp_path / "a.npy", read_motion(FIXTURES / "bandai_wave.bvh").joints[:3])
    data = (tmp_path / "a.npy").read_bytes()
    assert outcomes(tmp_path / "a.npy", damaged(data, 5, 140)) == {"read", "refused"}


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_mapping_files(tmp_path, suffix):
    rig = Path(__file__).parent / "fixtures" / "cmu" / "02.asf"
    text = '{"name": "a", "up": "y", "joints": {"pelvis": "Hips", "neck": {"Neck": 0.5, "Head": 0.5}}}'
    found = set()
    for content in [*damaged(text.encode(), 6, 40), rig.read_bytes()]:
        (tmp_path / f"a.{suffix}").write_bytes(content)
        try:
            found.add(type(load_mapping(tmp_path / f"a.{suffix}")))
        except ValueError as error:
            assert "a." + suffix in str(error)  # noqa: PT017
            found.add(ValueError)
    assert found <= {Rig, ValueError}


def test_headers_that_promise_too_much_do_not_allocate(tmp_path):
    path = tmp_path / "a.bvh"
    start = time.perf_counter()
    for frames in (b"999999999", b"1000000000", b"99999999999999999999"):
        path.write_bytes(small_bvh("bandai_wave.bvh").replace(b"Frames: 3", b"Frames: " + frames))
        with pytest.raises(ValueError, match=r"a.bvh"):
            read_motion(path)
    deep = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 0\n" + "".join(f"JOINT a{n}\n{{\nOFFSET 0 1 0\nCHANNELS 0\n" for n in range(4000))
    path.write_text(deep + "}\n" * 4001 + "MOTION\nFrames: 1\nFrame Time: 1\n0\n")
    with pytest.raises(ValueError, match=r"a.bvh"):
        read_motion(path)
    assert time.perf_counter() - start < 30
