"""Motions seen by cameras: projected joints are where they should be, and a retriever trains on them without videos."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import run_script

from hf_motion import GeminiMVR, Motion, MotionFeatureExtractor
from hf_motion.data.keypoint_text import KeypointTextDataset
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.video import H36M_JOINTS
from hf_motion.video.cameras import CameraRange, film_motion, h36m_joints

CLIPS = Path(__file__).parent / "fixtures" / "clips.parquet"
STILL = CameraRange(turn=(0, 0), height=(0, 0), distance=(5, 5), noise=0, missing=0)


def clip() -> Motion:
    return read_row(load_motion_rows(str(CLIPS))[0], "humanml3d-22")[0]


def named(points: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(H36M_JOINTS, np.moveaxis(points, 1, 0), strict=True))


def test_body_stands_in_the_picture_and_looks_at_the_camera() -> None:
    motion = clip()
    filmed = film_motion(motion, np.random.default_rng(0), cameras=STILL)
    first = {name: points[0] for name, points in named(filmed.points).items()}
    assert first["left_hip"][0] > first["right_hip"][0]
    assert first["head"][1] < first["neck"][1] < first["root"][1] < first["left_ankle"][1]
    assert (filmed.points[..., :2] > 0).all()
    assert (filmed.points[..., :2] < [640, 480]).all()
    behind = film_motion(motion, np.random.default_rng(0), cameras=CameraRange((180, 180), (0, 0), (5, 5), 0, 0))
    other = named(behind.points)
    assert other["left_hip"][0, 0] < other["right_hip"][0, 0]
    joints = named(h36m_joints(motion))
    np.testing.assert_allclose(joints["root"], (joints["left_hip"] + joints["right_hip"]) / 2)
    np.testing.assert_allclose(joints["belly"], (joints["root"] + joints["neck"]) / 2)
    head = motion.joints[:, 15]
    np.testing.assert_allclose(np.linalg.norm(joints["nose"] - head, axis=-1), np.hypot(0.03, 0.11), atol=1e-4)


def test_the_generator_decides_and_the_room_does_not() -> None:
    motion = clip()
    first, same, other = (film_motion(motion, np.random.default_rng(seed)).points for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1
    turned = film_motion(motion.turn(1.3), np.random.default_rng(1), cameras=STILL)
    np.testing.assert_allclose(turned.points, film_motion(motion, np.random.default_rng(1), cameras=STILL).points, atol=0.05)
    missing = film_motion(motion, np.random.default_rng(0), cameras=CameraRange(missing=0.5)).points
    assert 0.3 < (missing[..., 2] == 0).mean() < 0.7
    assert not missing[missing[..., 2] == 0].any()
    with pytest.raises(ValueError, match="'uniform', 'vimorag'"):
        film_motion(motion, np.random.default_rng(0), sampling="all")


def test_examples_follow_from_clip_and_seed_alone() -> None:
    dataset = KeypointTextDataset(load_motion_rows(str(CLIPS)), MotionFeatureExtractor(max_frames=60), show_progress=False)
    example = dataset[(0, 5)]
    assert example["motion_features"].shape[1] == 51
    assert example["motion_features"].abs().max() <= 1
    torch.testing.assert_close(dataset[(0, 5)]["motion_features"], example["motion_features"])
    assert not torch.equal(dataset[(0, 6)]["motion_features"], example["motion_features"])


def test_an_action_retriever_trains_without_videos(tmp_path: Path) -> None:
    options = {
        "encoder_dim": 16, "encoder_depth": 1, "encoder_heads": 2, "encoder_rep_dim": 4, "encoder_frames": 16, "hidden_size": 16,
        "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "action_scale": 20.0,
    }  # fmt: skip
    text = {"vocab_size": 600, "hidden_size": 16, "num_attention_heads": 2}
    usual = [
        "--dataset", CLIPS, "--min_frames", 20, "--max_steps", 2, "--per_device_train_batch_size", 4, "--report_to", "none",
        "--use_cpu", "true",
    ]  # fmt: skip
    new = ["--model_type", "gemini-mvr", "--model_options", json.dumps(options), "--text_model", json.dumps(text)]
    run_script("train_retrieval", [*usual, *new, "--output_dir", tmp_path / "run"])
    model = GeminiMVR.from_pretrained(tmp_path / "run" / "model")
    assert model.config.hidden_size == 16
    assert (tmp_path / "run" / "model" / "tokenizer.json").is_file()

    caption = read_row(load_motion_rows(str(CLIPS), "train")[0], "humanml3d-22")[1][0]
    action = {"name": "an action", "example": caption, "captions": [caption], "wordings": ["quite another way to say so"]}
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "some.yaml").write_text(json.dumps({"actions": [action]}))
    further = ["--model", tmp_path / "run", "--stage", "text", "--paraphrases", tmp_path / "words", "--output_dir", tmp_path / "more"]
    run_script("train_retrieval", [*usual, *further])
    more = GeminiMVR.from_pretrained(tmp_path / "more" / "model")
    moved = {name for name, value in more.state_dict().items() if not torch.equal(value, model.state_dict()[name])}
    assert moved
    assert all(name.startswith(("text_model.", "text_projection.")) for name in moved)
    with pytest.raises(ValueError, match=r"--stage and --words_of are for a gemini-mvr, this is a tmr\. Leave them out"):
        run_script("train_retrieval", [*usual, "--stage", "text", "--text_model", json.dumps(text), "--output_dir", tmp_path / "tmr"])
