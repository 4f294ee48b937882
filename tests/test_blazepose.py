"""BlazePose in torch gives what TensorFlow Lite's own runtime gives, and finds the person in a real clip.

To make `fixtures/video/blazepose_golden.safetensors` again: unpack `pose_detection.tflite` from the wheel of mediapipe 0.10.21 and
`pose_landmark_lite.tflite` from the npm package @mediapipe/pose 0.5.1675469404. In an environment with ai-edge-litert 2.3 set
`golden_inputs()` as the input of an `Interpreter` of each (one thread), invoke it, take the outputs of shapes (1, 2254, 12), (1, 2254, 1),
(1, 195), (1, 1) and (1, 64, 64, 39), the last one with its channels moved to the second place, as `boxes`, `scores`, `landmarks`,
`presence` and `heatmaps`, and save `chosen(name, array)` of each under its name.
"""

import json
import shutil
import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from hf_motion.checkpoints import EMBEDDED_BLAZEPOSE
from hf_motion.conversion.blazepose import convert_blazepose
from hf_motion.video import BlazePoseDetector, VideoFrames, read_frames, to_h36m
from hf_motion.video.blazepose import _cut, _merge, _place, _refine, _square
from hf_motion.video.blazepose_network import BlazePoseNetwork

FIXTURES = Path(__file__).parent / "fixtures" / "video"


@cache
def clip() -> VideoFrames:
    return read_frames(FIXTURES / "no.mkv", num_frames=3)


@cache
def detector() -> BlazePoseDetector:
    return BlazePoseDetector()


def golden_inputs() -> tuple[np.ndarray, np.ndarray]:
    """Every second pixel of the second frame, (1, 224, 224, 3) in [-1, 1] and (1, 256, 256, 3) in [0, 1] with black below."""
    image = clip().frames[1].astype(np.float32)
    small = np.zeros((1, 256, 256, 3), np.float32)
    small[0, :240] = image[::2, 64:576:2] / 255
    return image[16:464:2, 96:544:2][None] / 127.5 - 1, small


def chosen(name: str, array: np.ndarray) -> np.ndarray:
    """The part of an output that is kept in the golden file."""
    parts = {"boxes": np.s_[:, ::23], "scores": np.s_[:, ::7], "heatmaps": np.s_[:, :, ::8, ::8]}
    return array[parts[name]] if name in parts else array


def test_networks_give_what_tensorflow_lite_gives() -> None:
    golden = load_file(FIXTURES / "blazepose_golden.safetensors")
    whole, part = (torch.from_numpy(image).permute(0, 3, 1, 2) for image in golden_inputs())
    outputs = {**detector().detector(whole), **detector().landmarks(part)}
    assert outputs.keys() == golden.keys()
    for name, expected in golden.items():
        np.testing.assert_allclose(chosen(name, outputs[name].numpy()), expected, atol=5e-3, rtol=1e-4, err_msg=name)
    assert golden["presence"] > 0.9


def test_finds_the_signer_as_often_as_she_is_there_and_nobody_in_noise() -> None:
    frames = clip().frames
    people = detector()(frames)
    assert [found.shape for found in people] == [(1, 33, 3)] * 3
    body = to_h36m(people[1][0], "blazepose-33")
    named = dict(zip(("neck", "left", "right", "nose"), body[[8, 11, 14, 9]], strict=True))
    assert named["right"][0] < named["neck"][0] < named["left"][0]
    assert named["nose"][1] < named["neck"][1] < 480
    assert body[[8, 9, 11, 14], 2].min() > 0.9
    noise = np.random.default_rng(0).integers(0, 255, (1, 120, 160, 3), dtype=np.uint8)
    assert detector()(noise)[0].shape == (0, 33, 3)
    tracking = BlazePoseDetector(tracking=True)
    followed = tracking(np.concatenate([frames[:2], np.zeros_like(frames[:1])]))
    assert [len(found) for found in followed] == [1, 1, 0]
    np.testing.assert_allclose(followed[0], people[0], atol=1e-3)
    height = np.ptp(people[1][0][:25, 1])
    np.testing.assert_allclose(followed[1][0, 11:13, :2], people[1][0, 11:13, :2], atol=0.05 * height)
    assert tracking.name != detector().name


def test_a_square_is_laid_and_cut_and_points_come_back() -> None:
    square = _square(np.array([[50.0, 40.0]]), np.array([[70.0, 40.0]]))
    np.testing.assert_allclose(square, [[50, 40, 50, np.pi / 2]], atol=1e-5)
    np.testing.assert_allclose(_place(np.array([[[0.5, 0.5], [0.5, 0.1]]]), square)[0], [[50, 40], [70, 40]], atol=1e-4)
    frame = np.zeros((80, 100, 3), np.uint8)
    frame[38:43, 68:73] = 255
    cut = _cut(frame, square, 50, "edge")[0, 0].numpy()
    row, column = np.unravel_index(cut.argmax(), cut.shape)
    assert abs(row - 5) <= 2
    assert abs(column - 25) <= 2
    white = np.full((20, 20, 3), 255, np.uint8)
    outside = np.array([[0, 0, 40, 0]], np.float32)
    assert _cut(white, outside, 8, "edge").min() == 1
    assert _cut(white, outside, 8, "black")[0, 0, 0, 0] == 0


def test_overlapping_boxes_become_their_weighted_mean() -> None:
    boxes = np.zeros((3, 12), np.float32)
    boxes[:, :4] = [[0.5, 0.5, 0.2, 0.2], [0.52, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]]
    merged = _merge(boxes, np.array([0.6, 0.9, 0.7]))
    np.testing.assert_allclose(merged[:, 0], [(0.5 * 0.6 + 0.52 * 0.9) / 1.5, 0.1], atol=1e-6)


def test_heat_maps_move_points_by_their_centre() -> None:
    maps = np.full((1, 2, 16, 16), 0.0)
    maps[0, 0, 8, 9] = maps[0, 0, 8, 10] = 0.8
    points = np.full((1, 2, 2), 0.5)
    np.testing.assert_allclose(_refine(points, maps)[0], [[9.5 / 16, 0.5], [0.5, 0.5]])
    outside = np.array([[[1.4, 0.5], [-0.2, 0.5]]])
    np.testing.assert_array_equal(_refine(outside, maps), outside)


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), {}, "n, height, width, 3"),
        (np.zeros((1, 4, 4, 3)), {}, "uint8"),
        (None, {"max_people": 0}, "max_people must be a whole number"),
        (None, {"min_score": 1.0}, "between 0 and 1"),
    ],
)
def test_bad_input(frames: np.ndarray | None, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlazePoseDetector(**options) if frames is None else detector()(frames)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"graph\.json.*hf_motion\.conversion\.blazepose"):
        BlazePoseDetector(tmp_path)
    shutil.copy(EMBEDDED_BLAZEPOSE / "graph.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(ValueError, match=r"model\.safetensors' is not a readable"):
        BlazePoseDetector(tmp_path)
    with pytest.raises(ValueError, match="'sort' is unknown"):
        BlazePoseNetwork({"size": 4, "operations": [{"kind": "sort"}]}, {})


def test_weights_are_small_and_licensed() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED_BLAZEPOSE.iterdir()) < 9.5e6
    assert "Apache License" in (EMBEDDED_BLAZEPOSE / "LICENSE").read_text()
    assert json.loads((EMBEDDED_BLAZEPOSE / "graph.json").read_text()).keys() == {"detector", "landmarks"}


def test_converter_refuses_what_is_no_network(tmp_path: Path) -> None:
    bad = tmp_path / "a.tflite"
    bad.write_bytes(b"x" * 40)
    with pytest.raises(ValueError, match="lacks the mark TFL3"):
        convert_blazepose(bad, bad, tmp_path)
    bad.write_bytes(struct.pack("<I4s", 4000, b"TFL3") + bytes(40))
    with pytest.raises(ValueError, match="is not a TensorFlow Lite file of BlazePose"):
        convert_blazepose(bad, bad, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
