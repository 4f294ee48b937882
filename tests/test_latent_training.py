"""Training of latent diffusion: the autoencoder, latents that are encoded once, and both scripts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from scripts import run_script
from tiny import FIXTURES, seeded
from tiny_latent import tiny_mld

from hf_motion import MLDAutoencoder, MLDPipeline, MotionFeatureExtractor
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.trainers.autoencoder import (
    AutoencoderObjective,
    AutoencoderTrainingArguments,
    autoencoder_class,
    fit_scaling_factor,
    load_autoencoder,
)
from hf_motion.trainers.diffusion import DiffusionTrainer, DiffusionTrainingArguments
from hf_motion.trainers.latents import LatentCache

CLIPS = FIXTURES / "clips.parquet"
SETTINGS = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "max_steps": 2, "per_device_train_batch_size": 2, "epoch_size": 4}
WORDS = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value).lower())]
SIZES = '{"hidden_size": 16, "num_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}'


@pytest.fixture(scope="module")
def dataset() -> MotionTextDataset:
    return MotionTextDataset(load_motion_rows(str(CLIPS), "train"), tiny_mld().feature_extractor, show_progress=False)


def trainer_of(pipeline: MLDPipeline, dataset: MotionTextDataset, folder: Path, **options: Any) -> DiffusionTrainer:
    arguments = DiffusionTrainingArguments(output_dir=str(folder), ema_decay=0.0, **{**SETTINGS, **options})
    return DiffusionTrainer(pipeline, arguments, dataset)


def test_latents_are_encoded_once_and_drawn_by_the_seed(dataset: MotionTextDataset) -> None:
    """Whatever the batch: a clip that is cut anew at each draw is encoded at each draw, another one never again."""
    vae = tiny_mld().vae
    vae.register_to_config(scaling_factor=2.0)
    cache = LatentCache(vae, dataset, show_progress=False)
    longest = dataset.feature_extractor.max_frames
    whole = {clip for clip, features in enumerate(dataset.features) if len(features) <= longest}
    assert set(cache.clips) == whole
    assert 0 < len(whole) < len(dataset)
    examples = [dataset[min(whole), 3], dataset[min(set(range(len(dataset))) - whole), 4]]
    both = cache(examples)["motion_features"]
    alone = torch.cat([cache([example])["motion_features"] for example in examples])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        mean = vae.encode(examples[0]["motion_features"][None]).mean
    draws = torch.cat([cache([dataset[min(whole), seed]])["motion_features"] for seed in range(200)])
    assert draws[0].ne(draws[1]).all()
    assert (draws.mean(0) - 2 * mean[0]).abs().max() < 0.2 * draws.std(0).max() + 0.2


def test_loss_and_what_stands_for_no_text(dataset: MotionTextDataset, tmp_path: Path) -> None:
    """The loss does not depend on the batch; a dropped text is read as the empty sentence."""
    pipeline = tiny_mld()
    trainer = trainer_of(pipeline, dataset, tmp_path, condition_dropout=0.5)
    objective = trainer.model.eval()
    examples = [dataset[clip, seed] for clip, seed in ((0, 11), (3, 12), (5, 13))]
    together = objective(**trainer.data_collator(examples))["loss"]
    alone = torch.stack([objective(**trainer.data_collator([example]))["loss"] for example in examples])
    torch.testing.assert_close(together, alone.mean(), atol=1e-5, rtol=1e-5)
    states, _ = pipeline.encode_prompt(["a person walks", "someone jumps", ""])
    kept, _ = objective._drop_texts(states[:2], None, torch.tensor([True, False]))
    torch.testing.assert_close(kept, states[[0, 2]])
    assert not any(weight.requires_grad for weight in pipeline.vae.parameters())
    for options, message in (
        ({"planted_feet_weight": 1.0}, "a latent diffusion predicts latents"),
        ({"feature_weights": {"positions": 2.0}}, "a latent has no"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer_of(tiny_mld(), dataset, tmp_path, **options)


def test_loss_of_an_autoencoder(dataset: MotionTextDataset, tmp_path: Path) -> None:
    """Every term counts by its weight, batches change nothing, and it falls."""
    weights = {"kl_weight": 0.5, "joint_weight": 2.0, "position_weight": 0.25, "velocity_weight": 0.75}
    arguments = AutoencoderTrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True, **weights)
    pipeline = tiny_mld(tokens=2, latent_dim=8)
    objective = AutoencoderObjective(pipeline.vae, dataset.feature_extractor, arguments)
    features = [dataset[clip, 0]["motion_features"][:length] for clip, length in ((0, 12), (1, 9))]
    batch = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
    mask = torch.tensor([[1] * 12, [1] * 9 + [0] * 3])
    terms = objective(batch, mask, torch.tensor([3, 4]))
    expected = terms["reconstruction"] + 2 * terms["joints"] + 0.25 * terms["positions"] + 0.75 * terms["velocities"] + 0.5 * terms["kl"]
    torch.testing.assert_close(terms["loss"], expected)
    alone = [
        objective(clip[None], torch.ones(1, len(clip)).long(), torch.tensor([seed]))["loss"]
        for clip, seed in zip(features, (3, 4), strict=True)
    ]
    torch.testing.assert_close(terms["loss"], torch.stack(alone).mean(), atol=1e-4, rtol=1e-4)
    optimizer = torch.optim.Adam(objective.parameters(), 1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        loss = objective(batch, mask, torch.tensor([3, 4]))["loss"]
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.8 * float(terms["loss"])


def test_both_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """First the autoencoder, then a pipeline in its latents; both go on from where they are."""
    options = ["--dataset", CLIPS, "--autoencoder_options", SIZES, "--window", 30, "--max_frames", 40, "--output_dir", tmp_path / "vae"]
    run_script("train_autoencoder", [*options, *WORDS])
    assert "train_diffusion.py --autoencoder" in capsys.readouterr().out
    vae, extractor = load_autoencoder(tmp_path / "vae")
    assert (extractor.max_frames, vae.config.latent_tokens, extractor.mean is not None) == (40, 1, True)
    assert vae.config.scaling_factor != 1
    more = ["--text_encoder", '{"vocab_size": 600, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}']
    words = ["--autoencoder", tmp_path / "vae", "--denoiser", SIZES, *more, "--dataset", CLIPS, "--output_dir", tmp_path / "mld"]
    run_script("train_diffusion", [*words, *WORDS])
    pipe = MLDPipeline.from_pretrained(tmp_path / "mld")
    pipe.set_progress_bar_config(disable=True)
    assert pipe.vae.config.scaling_factor == vae.config.scaling_factor
    assert len(pipe("a person walks", 12, num_inference_steps=2, generator=seeded()).motions[0]) == 12
    again, _ = load_autoencoder(tmp_path / "mld")
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), vae.parameters(), strict=True))
    with pytest.raises(ValueError, match="brings its autoencoder"):
        run_script("train_diffusion", [*words, *WORDS, "--pipeline", tmp_path / "mld"])


def test_bad_input(dataset: MotionTextDataset, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="holds no autoencoder"):
        load_autoencoder(Path(__file__).parent / "fixtures" / "cases")
    with pytest.raises(ValueError, match=r"no autoencoder class 'MDMDenoiser'; known are MLDAutoencoder"):
        autoencoder_class("MDMDenoiser")
    with pytest.raises(ValueError, match="kl_weight must be 0 or more"):
        AutoencoderTrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", kl_weight=-1)
    silent = MLDAutoencoder(hidden_size=16, num_layers=1, num_attention_heads=2, intermediate_size=8, latent_dim=4).eval()
    torch.nn.init.zeros_(silent.to_latent.weight)
    torch.nn.init.zeros_(silent.to_latent.bias)
    with pytest.raises(ValueError, match="tells nothing of them"):
        fit_scaling_factor(silent, dataset)
    assert isinstance(dataset.feature_extractor, MotionFeatureExtractor)
