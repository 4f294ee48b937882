"""Keypoints in Human3.6M's order: conversions, the person who matters, what is remembered, and transformers' detectors."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessor,
)
from typer.testing import CliRunner
from video_clips import clip_bytes

from hf_motion.cli import app
from hf_motion.video import H36M_JOINTS, Keypoints, PoseDetector, VitPoseDetector, crop_scale, main_person, read_keypoints, to_h36m
from hf_motion.video.keypoints import H36M_BONES

FIXTURES = Path(__file__).parent / "fixtures" / "video"
COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
BLAZEPOSE = {
    "nose": 0, "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16,
    "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip


def test_conversions_follow_names_and_means() -> None:
    points = np.random.default_rng(0).random((4, 26, 3))
    ours = dict(zip(H36M_JOINTS, np.moveaxis(to_h36m(points[:, :17], "coco-17"), 1, 0), strict=True))
    theirs = dict(zip(COCO, np.moveaxis(points[:, :17], 1, 0), strict=True))
    for name in COCO[:1] + COCO[5:]:
        np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_allclose(ours["root"], (theirs["left_hip"] + theirs["right_hip"]) / 2)
    np.testing.assert_allclose(ours["neck"], (theirs["left_shoulder"] + theirs["right_shoulder"]) / 2)
    np.testing.assert_allclose(ours["belly"], (ours["root"] + ours["neck"]) / 2)
    np.testing.assert_allclose(ours["head"], (theirs["left_eye"] + theirs["right_eye"]) / 2)
    halpe = to_h36m(points, "halpe-26")
    np.testing.assert_array_equal(halpe[:, [10, 8, 0]], points[:, [17, 18, 19]])
    np.testing.assert_allclose(halpe[:, 7], (points[:, 18] + points[:, 19]) / 2)
    same = [joint for joint in range(17) if joint not in (0, 7, 8, 10)]
    np.testing.assert_array_equal(halpe[:, same], to_h36m(points[:, :17], "coco-17")[:, same])


def test_blazepose_goes_by_name() -> None:
    points = np.random.default_rng(0).random((33, 3))
    ours = dict(zip(H36M_JOINTS, to_h36m(points, "blazepose-33"), strict=True))
    for name, index in BLAZEPOSE.items():
        np.testing.assert_array_equal(ours[name], points[index])
    np.testing.assert_allclose(ours["head"], (points[2] + points[5]) / 2)
    assert {joint for bone in H36M_BONES for joint in bone} == set(range(17))
    with pytest.raises(ValueError, match=r"'coco-17', 'halpe-26'"):
        to_h36m(points, "openpose")
    with pytest.raises(ValueError, match=r"must be \(\.\.\., 17, channels\), got \(33, 3\)"):
        to_h36m(points, "coco-17")


def test_crop_scale_is_one_square_over_the_clip() -> None:
    points = np.random.default_rng(1).random((5, 17, 3)) * [300, 700, 0.9] + [20, 90, 0.1]
    scaled = crop_scale(points)
    assert np.ptp(scaled[..., 1]) == pytest.approx(2, abs=1e-6)
    assert np.ptp(scaled[..., 0]) / 2 == pytest.approx(np.ptp(points[..., 0]) / np.ptp(points[..., 1]))
    np.testing.assert_allclose(crop_scale(points * [3, 3, 1] + [5, 7, 0]), scaled, atol=1e-6)
    np.testing.assert_allclose(scaled[..., 2], points[..., 2], atol=1e-6)
    unseen = points.copy()
    unseen[2, 3] = [-5000, 5000, 0]
    np.testing.assert_allclose(np.delete(crop_scale(unseen)[0], 3, axis=0), np.delete(scaled[0], 3, axis=0), atol=0.2)
    assert crop_scale(unseen)[2, 3].tolist() == [-1, 1, 0]
    assert not crop_scale(points * [1, 1, 0]).any()
    assert not crop_scale(np.ones((2, 17, 3))).any()


def standing(x: float, height: float, confidence: float = 0.9) -> np.ndarray:
    person = np.random.default_rng(3).random((17, 3)) * [height / 3, height, 0]
    return person + np.array([x, 0, confidence])


def test_the_person_who_matters_is_followed_through_any_order() -> None:
    small, large = [[standing(x + 4 * t, size) for t in range(5)] for x, size in ((300, 60), (10, 200))]
    people = [np.stack([large[t], small[t]] if t % 2 else [small[t], large[t]]) for t in range(5)]
    people[3] = people[3][1:]
    found = main_person(people)
    np.testing.assert_allclose(found[[0, 1, 2, 4]], np.stack(large)[[0, 1, 2, 4]], atol=1e-4)
    assert not found[3].any()
    assert main_person([]).shape == (0, 17, 3)


def keypoints(frames: int = 4) -> Keypoints:
    points = np.stack([standing(10, 100)] * frames)
    points[0] = 0
    return Keypoints(points, np.arange(frames), (64, 48), np.ones(frames), "test", 2.0)


def test_keypoints_are_checked_kept_and_counted(tmp_path: Path) -> None:
    made = keypoints()
    read = Keypoints.load(made.save(tmp_path / "a.npz"))
    np.testing.assert_array_equal(read.points, made.points)
    assert (read.size, read.detector, read.duration, len(read)) == ((64, 48), "test", 2.0, 4)
    assert read.found.tolist() == [False, True, True, True]
    read.check_people(0.7)
    with pytest.raises(ValueError, match="in 3 of 4 frames, and at least 80% are wanted"):
        read.check_people(0.8)
    with pytest.raises(ValueError, match=r"written as \.npz"):
        made.save(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"\(frames, 17, 3\)"):
        Keypoints(np.zeros((2, 33, 3)), np.arange(2), (4, 4), np.zeros(2))
    with pytest.raises(ValueError, match="must be finite"):
        Keypoints(np.full((2, 17, 3), np.nan), np.arange(2), (4, 4), np.zeros(2))
    with pytest.raises(ValueError, match=r"times must be \(2,\)"):
        Keypoints(np.zeros((2, 17, 3)), np.arange(3), (4, 4), np.zeros(2))
    np.savez(tmp_path / "b.npz", joints=np.zeros(3))
    with pytest.raises(ValueError, match="not a file of keypoints"):
        Keypoints.load(tmp_path / "b.npz")


class BrightHalf:
    """Finds one person as bright as the frame's right side, and counts its calls."""

    layout, name = "coco-17", "bright:1"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        return [np.full((1, 17, 3), frame[:, -8:].mean() / 255) for frame in frames]


def test_keypoints_are_remembered_beside_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, detector = tmp_path / "clip.mp4", BrightHalf()
    path.write_bytes(clip_bytes(20))
    assert isinstance(detector, PoseDetector)
    first = read_keypoints(path, detector, 4)
    again = read_keypoints(str(path), detector, 4)
    np.testing.assert_array_equal(again.points, first.points)
    assert detector.calls == 1
    assert (tmp_path / "clip.mp4.keypoints.npz").is_file()
    read_keypoints(path, detector, 5)
    detector.name = "bright:2"
    read_keypoints(path, detector, 5)
    path.write_bytes(clip_bytes(10))
    read_keypoints(path, detector, 5)
    (tmp_path / "clip.mp4.keypoints.npz").write_bytes(b"broken")
    read_keypoints(path, detector, 5)
    assert detector.calls == 5
    read_keypoints(path.read_bytes(), detector)
    read_keypoints(path, detector, 5, cache=False)
    assert detector.calls == 7
    (tmp_path / "clip.mp4.keypoints.npz").unlink()
    (tmp_path / "clip.mp4.keypoints.npz").mkdir()
    with caplog.at_level(logging.WARNING, "hf_motion"):
        read_keypoints(path, detector, 5)
    assert "not remembered" in caplog.text


@pytest.fixture(scope="module")
def vitpose() -> VitPoseDetector:
    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(
        embedding_size=4, hidden_sizes=[4, 4, 4, 4], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage2", "stage3", "stage4"]
    )
    config = RTDetrConfig(
        backbone_config=backbone, encoder_hidden_dim=16, encoder_in_channels=[4, 4, 4], encoder_ffn_dim=16, d_model=16, num_queries=12,
        decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_layers=1, encoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, id2label={0: "person", 1: "cat"}, label2id={"person": 0, "cat": 1}, freeze_backbone_batch_norms=False,
    )  # fmt: skip
    finder = RTDetrForObjectDetection(config)
    poser = VitPoseForPoseEstimation(
        VitPoseConfig(
            backbone_config=VitPoseBackboneConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=[64, 48]),
            num_labels=17, use_simple_decoder=True,
        )
    )  # fmt: skip
    processors = RTDetrImageProcessor(size={"height": 64, "width": 64}), VitPoseImageProcessor(size={"height": 64, "width": 48})
    return VitPoseDetector(finder, processors[0], poser, processors[1], min_score=0.01, max_people=3)


def test_vitpose_gives_all_joints_within_its_boxes(vitpose: VitPoseDetector) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)
    people = vitpose(frames)
    assert all(found.shape[1:] == (17, 3) and found.dtype == np.float32 for found in people)
    assert 0 < max(len(found) for found in people) <= 3
    vitpose.batch_size = 1
    for together, alone in zip(people, vitpose(frames), strict=True):
        np.testing.assert_allclose(alone, together, atol=1e-3)
    (boxes,) = vitpose._boxes([frames[0]])
    left, top, width, height = boxes[0]
    x, y = people[0][0, :, 0], people[0][0, :, 1]
    # ViTPose looks at 1.25 times the box in its own proportions.
    room = 0.8 * max(width * 4 / 3, height) + 1
    assert (abs(x - left - width / 2) < room).all()
    assert (abs(y - top - height / 2) < room).all()


def test_vitpose_needs_persons_and_says_who_it_is(vitpose: VitPoseDetector) -> None:
    assert isinstance(vitpose, PoseDetector)
    vitpose.min_score = 0.9999
    assert [found.shape for found in vitpose(np.zeros((1, 48, 64, 3), np.uint8))] == [(0, 17, 3)]
    vitpose.detector.config.id2label = {0: "cat"}
    with pytest.raises(ValueError, match="no label 'person'"):
        VitPoseDetector(vitpose.detector, None, vitpose.pose, None)


def test_command_writes_keypoints_and_a_sheet(tmp_path: Path) -> None:
    runner, clip = CliRunner(), str(FIXTURES / "no.mkv")
    output, sheet = tmp_path / "a" / "no.npz", tmp_path / "no.png"
    result = runner.invoke(app, ["video", "pose", clip, "-o", str(output), "--sheet", str(sheet), "--num-frames", "2"])
    assert result.exit_code == 0, result.output
    read = Keypoints.load(output)
    assert (len(read), read.size, read.found.all()) == (2, (640, 480), True)
    assert json.loads(bytes(np.load(output)["about"]))["joints"] == list(H36M_JOINTS)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert "A person in 2 of 2 frames" in result.output
    grey = tmp_path / "grey.mp4"
    grey.write_bytes(clip_bytes(3))
    result = runner.invoke(app, ["video", "pose", str(grey), "-o", str(tmp_path / "grey.npz")])
    assert result.exit_code == 1
    assert "shows nobody in 3 frames" in result.output
    assert not (tmp_path / "grey.npz").exists()
    result = runner.invoke(app, ["video", "pose", clip, "-o", "no.json"])
    assert "must end in .npz" in result.output
