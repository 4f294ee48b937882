"""MLD: its autoencoder, its denoiser and its pipeline."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import Hub
from mixins.model import DenoiserMixin
from mixins.pipeline import MotionPipelineMixin
from tiny import seeded
from tiny_latent import SIZES, tiny_mld
from transformers import pipeline

from hf_motion import MLDAutoencoder, MLDDenoiser, MLDPipeline, MotionControl, MotionFeatureExtractor
from hf_motion.nn.guidance import guidance_embedding
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline

VARIANTS: dict[str, dict[str, Any]] = {
    "one token": {"latent_tokens": 1, "latent_dim": 16},
    "more tokens": {"latent_tokens": 3, "latent_dim": 8, "text_activation": None, "text_conditioning": "tokens"},
}


@pytest.mark.parametrize("variant", VARIANTS)
class TestMLDDenoiser(DenoiserMixin):
    model_class = MLDDenoiser
    variants = {name: {**SIZES, "text_dim": 8, "time_dim": 16, **options} for name, options in VARIANTS.items()}
    test_padding_does_not_change_valid_frames = None  # type: ignore[assignment]  # its latents have none

    def inputs(self, model: MLDDenoiser, batch: int = 2, frames: int = 9) -> dict[str, torch.Tensor]:
        draw = torch.Generator().manual_seed(1)
        shape = model.config.latent_tokens, model.config.latent_dim
        inputs = {"sample": torch.randn(batch, *shape, generator=draw), "timestep": torch.tensor([3, 40])[:batch]}
        if model.config.text_conditioning == "pooled":
            return {**inputs, "encoder_hidden_states": torch.randn(batch, 8, generator=draw)}
        mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])[:batch]
        return {**inputs, "encoder_hidden_states": torch.randn(batch, 4, 8, generator=draw), "encoder_attention_mask": mask}

    def test_compiles_as_one_graph(self, model: MLDDenoiser, variant: str) -> None:
        if variant == "one token":  # the same code; compiling takes seconds
            super().test_compiles_as_one_graph(model)

    def test_guidance_is_an_input_once_it_is_distilled(self, variant: str) -> None:
        torch.manual_seed(0)
        model = MLDDenoiser(**self.variants[variant], time_cond_proj_dim=8).eval()
        inputs, strong = self.inputs(model), guidance_embedding(torch.tensor([4.0, 4.0]), 8)
        weak = guidance_embedding(torch.tensor([1.0, 4.0]), 8)
        assert torch.equal(model(**inputs, timestep_cond=strong).sample, model(**inputs, timestep_cond=weak).sample)  # begins as nothing
        torch.nn.init.normal_(model.guidance_projection.weight)
        one, other = (model(**inputs, timestep_cond=scale).sample for scale in (strong, weak))
        assert not torch.allclose(one[0], other[0])
        torch.testing.assert_close(one[1], other[1])
        with pytest.raises(ValueError, match="reads its guidance scale"):
            model(**inputs)
        with pytest.raises(ValueError, match="does not read a guidance scale"):
            MLDDenoiser(**self.variants[variant])(**inputs, timestep_cond=strong)


@pytest.mark.parametrize("tokens", [1, 3])
def test_autoencoder(tokens: int, tmp_path: Path) -> None:
    """Padding changes nothing, lengths are free, what is saved comes back, gradients reach every weight, eager equals fused."""
    torch.manual_seed(0)
    model = MLDAutoencoder(**SIZES, latent_tokens=tokens, latent_dim=8).eval()
    features, mask = torch.randn(2, 9, 263), torch.tensor([[1] * 9, [1] * 6 + [0] * 3])
    made, posterior = model(features, mask)
    assert (made.shape, posterior.mean.shape) == ((2, 9, 263), (2, tokens, 8))
    assert not made[1, 6:].any()
    garbage = features.clone()
    garbage[1, 6:] = 100
    torch.testing.assert_close(model.encode(garbage, mask).mean, posterior.mean)
    alone, own = model(features[1:, :6])
    torch.testing.assert_close(own.mean[0], posterior.mean[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone[0], made[1, :6], atol=1e-5, rtol=1e-5)
    longer = model.decode(posterior.mean, torch.ones(2, 30, dtype=torch.long))
    assert longer.shape == (2, 30, 263)
    model.attention_implementation = "eager"
    torch.testing.assert_close(model(features, mask)[0], made, atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path)
    again = MLDAutoencoder.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(features, mask)[0], made, atol=1e-5, rtol=1e-5)
    made, posterior = model.train()(features, mask, noise=torch.randn(2, tokens, 8))
    (made.square().sum() + posterior.divergence().sum()).backward()
    missing = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert missing == (
        {n for n, _ in model.named_parameters() if "cross_q" in n} if tokens == 1 else set()
    )  # one key: queries do not matter


def test_autoencoder_bad_input() -> None:
    model = MLDAutoencoder(**SIZES, latent_dim=8, max_positions=20)
    for features, message in ((torch.zeros(1, 5, 9), r"must be \(batch, frames, 263\)"), (torch.zeros(1, 19, 263), "from 1 to 18 frames")):
        with pytest.raises(ValueError, match=message):
            model.encode(features)
    with pytest.raises(ValueError, match=r"latents must be \(batch, 1, 8\)"):
        model.decode(torch.zeros(1, 2, 8), torch.ones(1, 5))
    with pytest.raises(ValueError, match="num_layers must be odd"):
        MLDAutoencoder(num_layers=4)
    with pytest.raises(ValueError, match="latent_projection"):
        MLDAutoencoder(latent_dim=32, latent_projection=False)
    pipe = tiny_mld()
    parts = {name: part for name, part in pipe.components.items() if part is not None}
    with pytest.raises(ValueError, match="features 263 wide, those of 'kit-21' are 251 wide"):
        MLDPipeline(**{**parts, "feature_extractor": MotionFeatureExtractor(skeleton="kit-21")})
    with pytest.raises(ValueError, match=r"noise_spacing must be positive .* got 0"):
        MLDPipeline(**parts, noise_spacing=0)
    with pytest.raises(ValueError, match="takes 498 frames at most"):
        MLDPipeline(**{**parts, "feature_extractor": MotionFeatureExtractor(max_frames=600)})


class TestMLDPipeline(MotionPipelineMixin):
    def build(self) -> MLDPipeline:
        return tiny_mld()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"guidance_scale": float("nan")}, "guidance_scale"),
            ({"latents": torch.zeros(1, 4, 263)}, r"latents must have shape \(1, 1, 16\)"),
            ({"num_frames": 41}, "from 1 to 40, got 41"),
        ],
    )
    def test_bad_input(self, pipe: MLDPipeline, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pipe("a", **options)


@pytest.fixture(scope="module")
def pipe() -> MLDPipeline:
    pipe = tiny_mld(tokens=2, latent_dim=8)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_timelines_loops_and_controls_go_through_the_decoder(pipe: MLDPipeline) -> None:
    """Windows have latents of their own and agree where they overlap; a control is hit; a loop closes."""
    long = pipe(timeline=[("a person walks", 2.0), ("someone jumps", 2.0)], generator=seeded()).motions[0]
    assert (len(long), long.text) == (80, "a person walks, then someone jumps")
    latents = pipe(timeline=[("a person walks", 2.0), ("someone jumps", 2.0)], generator=seeded(), output_type="latent").motions
    assert latents.shape == (4, 2, 8)  # each sentence is longer, with what it shares, than the 40 frames that are made at once
    path = MotionControl(path=[(0, 0), (0, 1)])
    made = pipe("a person walks", 30, control=path, generator=seeded()).motions[0]
    np.testing.assert_allclose(made.joints[[0, 15, -1], 0][:, [0, 2]], [[0, 0], [0, 15 / 29], [0, 1]], atol=1e-3)
    loop = pipe("a person walks", 36, loop=True, generator=seeded()).motions[0]
    assert len(loop) == 36
    heights = loop.joints[[0, -1], :, 1]
    np.testing.assert_allclose(heights[0], heights[1], atol=1e-4)


def test_edits_keep_what_they_keep(pipe: MLDPipeline) -> None:
    clip = pipe("a person walks", 30, generator=seeded()).motions[0]
    made = pipe("someone jumps", motion=clip, keep_start=0.5, keep_end=0.25, generator=seeded(1)).motions[0]
    np.testing.assert_allclose(made.joints[:10], clip.joints[:10], atol=1e-4)
    assert np.abs(made.joints[12:24] - clip.joints[12:24]).max() > 1e-2


def test_nothing_asked_moves_no_latent(pipe: MLDPipeline) -> None:
    """The shift of a latent is the difference of two encodings: exactly zero where the features stay."""
    from hf_motion.pipelines.windows import Window, Windows

    class Nothing:
        def constrain(self, features: torch.Tensor) -> torch.Tensor:
            return features

    windows = Windows([Window(0, 0, 12), Window(1, 0, 9)], 12)
    latents = torch.randn(2, 2, 8)
    with torch.no_grad():
        assert not pipe._shift(latents, windows, Nothing()).any()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_predictions_of_every_kind_are_constrained_alike(pipe: MLDPipeline, prediction_type: str) -> None:
    """A constraint acts on clean data, whatever the denoiser predicts."""
    scheduler = pipe.scheduler.from_config(pipe.scheduler.config, prediction_type=prediction_type)
    call = tiny_mld(tokens=2, latent_dim=8)
    call.scheduler = scheduler
    from hf_motion.nn.predictions import clean_and_noise, prediction_of

    clean, noise = torch.randn(2, 2, 8), torch.randn(2, 2, 8)
    timestep = torch.tensor(30)
    noisy = scheduler.add_noise(clean, noise, timestep.repeat(2))
    prediction = prediction_of(clean, noisy, timestep, scheduler.alphas_cumprod, prediction_type)
    found = clean_and_noise(prediction, noisy, timestep, scheduler.alphas_cumprod, prediction_type)
    torch.testing.assert_close(found, (clean, noise), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(call._clean(prediction, noisy, timestep), clean, atol=1e-4, rtol=1e-4)
    expected = {"epsilon": noise, "sample": clean}.get(prediction_type)
    if expected is None:
        expected = scheduler.get_velocity(clean, noise, timestep.repeat(2))
    torch.testing.assert_close(prediction, expected, atol=1e-4, rtol=1e-4)


def test_every_door(tmp_path: Path, hub: Hub) -> None:
    """The class, the loader of any pipeline, transformers' task and the Hub give the same motion."""
    pipe = tiny_mld()
    pipe.set_progress_bar_config(disable=True)
    expected = pipe("a person walks", 10, generator=seeded()).motions[0].joints
    pipe.save_pretrained(tmp_path)
    index = MLDPipeline.load_config(tmp_path)
    assert index["vae"] == ["hf_motion.components", "MLDAutoencoder"]
    assert "MLDPipeline" in (tmp_path / "README.md").read_text()
    pipe.push_to_hub("org/mld")
    hub.clear_cache()
    for source in (str(tmp_path), "org/mld"):
        motion = pipeline("text-to-motion", model=source)("a person walks", 10, generator=seeded())
        np.testing.assert_allclose(motion.joints, expected, atol=1e-4)
    assert isinstance(MotionDiffusionPipeline.load(tmp_path), MLDPipeline)


def test_text_encoders_take_adapters(tmp_path: Path) -> None:
    from hf_motion.text_encoders import add_text_lora

    pipe = tiny_mld()
    pipe.set_progress_bar_config(disable=True)
    plain = pipe("a person walks", 10, generator=seeded(), output_type="latent").motions
    add_text_lora(pipe.text_encoder, 2)
    for name, weight in pipe.text_encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    adapted = pipe("a person walks", 10, generator=seeded(), output_type="latent").motions
    assert not torch.allclose(adapted, plain)
    pipe.save_lora_weights(tmp_path)
    other = tiny_mld()
    other.set_progress_bar_config(disable=True)
    other.load_lora_weights(tmp_path)
    torch.testing.assert_close(other("a person walks", 10, generator=seeded(), output_type="latent").motions, adapted, atol=1e-4, rtol=1e-4)
