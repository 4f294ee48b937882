"""The loss on standing feet that slide, and factors of sources in sampling."""

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_pipeline

from hf_motion import MotionFeatureExtractor
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.trainers.diffusion import DiffusionObjective
from hf_motion.trainers.motion_text import MotionTextTrainingArguments
from hf_motion.trainers.planted_feet import PlantedFeet

ROWS = load_motion_rows(str(Path(__file__).parent / "fixtures" / "clips.parquet"))
EXTRACTOR = MotionFeatureExtractor()
DATA = MotionTextDataset(ROWS, EXTRACTOR, show_progress=False)


def idle() -> torch.Tensor:
    return DATA.features[next(index for index, name in enumerate(DATA.ids) if name.startswith("idle"))][None, :40]


def test_feet_that_slide_with_the_body_cost_what_they_slide():
    loss = PlantedFeet(EXTRACTOR, torch.tensor([1.0, 0.25]))
    real, mask = idle(), torch.ones(1, 40, dtype=torch.long)
    still = loss(real, real, mask, torch.tensor([0]))
    sliding = real.clone()
    sliding[..., 1] += 0.01  # root velocity: one centimetre a frame, the whole body with it
    assert still < 0.05
    assert loss(sliding, real, mask, torch.tensor([0])) == pytest.approx(1.0, abs=0.25)  # in units of 0.2 m/s
    assert loss(sliding, real, mask, torch.tensor([1])) == pytest.approx(0.25 * float(loss(sliding, real, mask, torch.tensor([0]))))


def test_padding_and_moving_feet_cost_nothing():
    loss = PlantedFeet(EXTRACTOR, torch.ones(1))
    real = idle()
    sliding = real.clone()
    sliding[:, 20:, 1] += 0.01
    mask = (torch.arange(40) < 20).long()[None]
    assert loss(sliding, real, mask, torch.tensor([0])) == pytest.approx(float(loss(real, real, mask, torch.tensor([0]))), abs=1e-6)
    moving = real.clone()
    moving[..., 1] += 0.05
    assert loss(sliding, moving, torch.ones_like(mask), torch.tensor([0])) == 0


def test_the_objective_adds_it_and_says_so():
    pipe = tiny_pipeline(max_frames=40)
    batch = {"motion_features": idle(), "attention_mask": torch.ones(1, 40, dtype=torch.long), "seeds": torch.tensor([3])}
    text = {"text_states": torch.zeros(1, 8)}
    plain = DiffusionObjective(pipe, 0.0, False)(**batch, **text)
    assert set(plain) == {"loss"}
    both = DiffusionObjective(pipe, 0.0, False, planted_feet_weight=0.5)(**batch, **text)
    torch.testing.assert_close(both["mse"], plain["loss"])
    torch.testing.assert_close(both["loss"], both["mse"] + 0.5 * both["foot_slide"])
    both["foot_slide"].backward()
    pipe.scheduler.register_to_config(prediction_type="epsilon")
    with pytest.raises(ValueError, match="planted_feet_weight judge predicted motion"):
        DiffusionObjective(pipe, 0.0, False, planted_feet_weight=0.5)


def test_sources_are_drawn_more_or_less_often():
    rows = ROWS.map(lambda row: {"source": f"{row['id'].split('_')[0]} (keyframed)" if row["id"].startswith("idle") else "captured"})
    data = MotionTextDataset(rows, EXTRACTOR, mirror=True, show_progress=False)
    plain, weighted = data.balanced_weights(0.5), data.balanced_weights(0.5, {"keyframed": 0.25})
    idle_rows = [index for index, name in enumerate(data.ids) if name.startswith("idle")]
    assert idle_rows
    assert [weight / before for weight, before in zip(weighted, plain, strict=True)] == pytest.approx(
        [0.25 if index in idle_rows else 1.0 for index in range(len(data))]
    )
    with pytest.raises(ValueError, match="must be in some clip's source"):
        data.balanced_weights(0.5, {"vicon": 2.0})


def test_actions_are_drawn_more_or_less_often():
    data = MotionTextDataset(ROWS, EXTRACTOR, mirror=True, show_progress=False)
    text = data.captions[0][0]
    plain = data.balanced_weights(0.5)
    weighted = MotionTextTrainingArguments(output_dir="runs", caption_weights=json.dumps({text: 3})).caption_weights
    chosen = [index for index, captions in enumerate(data.captions) if text in captions]
    assert 0 < len(chosen) < len(data)
    assert [weight / before for weight, before in zip(data.balanced_weights(0.5, caption_weights=weighted), plain, strict=True)] == (
        pytest.approx([3.0 if index in chosen else 1.0 for index in range(len(data))])
    )
    with pytest.raises(ValueError, match="must be in some clip's caption"):
        data.balanced_weights(0.5, caption_weights={"moonwalk": 2.0})
