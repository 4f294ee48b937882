"""`MDMPipeline`."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, UniPCMultistepScheduler
from mixins.pipeline import MotionPipelineMixin
from tiny import seeded, tiny_pipeline

from hf_motion import MDMPipeline, MotionFeatureExtractor
from hf_motion.checkpoints import EMBEDDED_TMR
from hf_motion.pipelines.spacing import spaced_timesteps
from hf_motion.trainers.new_pipeline import new_mdm_pipeline


class TestMDMPipeline(MotionPipelineMixin):
    def build(self) -> MDMPipeline:
        return tiny_pipeline()


class TestMDMPipelineOfTokens(MotionPipelineMixin):
    def build(self) -> MDMPipeline:
        return tiny_pipeline("distilbert", time_token=True)


@pytest.mark.parametrize("encoder", ["clip", "distilbert", "t5"])
def test_any_text_encoder(encoder: str) -> None:
    pipe = tiny_pipeline(encoder)
    walks, runs = pipe(["a person walks", "a person runs"], num_frames=8, generator=[seeded(), seeded()]).motions
    assert np.abs(walks.joints - runs.joints).max() > 1e-5


@pytest.mark.parametrize("encoder", ["distilbert", "t5"])
def test_encoder_without_a_pooled_output_gives_the_mean_of_its_tokens(encoder: str) -> None:
    pipe = tiny_pipeline(encoder, text_conditioning="pooled")
    states, mask = tiny_pipeline(encoder).encode_prompt(["a person walks forward", "turn"])
    pooled, none = pipe.encode_prompt(["a person walks forward", "turn"])
    assert none is None
    torch.testing.assert_close(pooled, torch.stack([row[valid.bool()].mean(0) for row, valid in zip(states, mask, strict=True)]))
    assert len(pipe("turn", num_frames=6).motions[0]) == 6


@pytest.mark.parametrize(("encoder", "limit"), [("clip", 22), ("distilbert", 64), ("t5", None)])
def test_below_float32_a_prompt_is_as_wide_as_any_other(encoder: str, limit: int | None) -> None:
    """Products of other widths round otherwise: centimetres after all steps."""
    pipe = tiny_pipeline(encoder).to(torch.bfloat16)
    pipe.register_to_config(max_text_tokens=limit)
    widths = []
    pipe.text_encoder.register_forward_pre_hook(lambda _, __, inputs: widths.append(inputs["input_ids"].shape[1]), with_kwargs=True)
    alone = pipe.encode_prompt(["turn"])
    together = pipe.encode_prompt(["turn", "a person walks forward"])
    assert widths == [min(32, limit or 32)] * 2
    assert torch.equal(alone[0][0], together[0][0])
    pipe.encode_prompt(["a person walks " * 50])
    assert widths[-1] % 32 == 0 or widths[-1] == limit


def test_offloaded_weights() -> None:
    expected = tiny_pipeline("distilbert")("a", num_frames=6, generator=seeded()).motions[0]
    pipe = tiny_pipeline("distilbert")
    cpu_offload(pipe.denoiser, torch.device("cpu"))
    motion = pipe("a", num_frames=np.int64(6), generator=seeded()).motions[0]
    np.testing.assert_allclose(motion.joints, expected.joints, atol=1e-5)


@pytest.mark.parametrize(
    "scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, UniPCMultistepScheduler]
)
def test_schedulers_are_swapped_in_one_line(scheduler: Any) -> None:
    pipe = tiny_pipeline(steps=50)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    first, again = (pipe("a", num_frames=8, num_inference_steps=4, generator=seeded()).motions[0] for _ in range(2))
    np.testing.assert_array_equal(first.joints, again.joints)


def test_guidance_is_what_the_paper_says() -> None:
    """x = unconditional + s (conditional - unconditional), and no second half where s is one."""
    pipe = tiny_pipeline(steps=1)
    rows = []
    forward = pipe.denoiser.output_projection.forward

    def spy(hidden: torch.Tensor) -> torch.Tensor:
        rows.append(len(hidden))
        return forward(hidden)

    pipe.denoiser.output_projection.forward = spy
    zero, one, two = (
        pipe("a", num_frames=6, guidance_scale=scale, generator=seeded(), output_type="latent").motions for scale in (0, 1, 2)
    )
    assert rows == [2, 1, 2]
    torch.testing.assert_close(two, zero + 2 * (one - zero), atol=1e-5, rtol=1e-4)


def test_each_prompt_is_encoded_once() -> None:
    pipe = tiny_pipeline()
    seen = []
    pipe.text_encoder.register_forward_pre_hook(lambda module, args, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True)
    pipe(["a", "b", "a"], num_frames=5, num_motions_per_prompt=3)
    assert seen == [2]


def test_long_prompts_are_cut() -> None:
    pipe = tiny_pipeline()
    long = "a person walks " * 50
    assert pipe.tokenize([long])["input_ids"].shape[1] == 22
    assert len(pipe(long, num_frames=5).motions) == 1


def test_default_length_and_latents() -> None:
    pipe = tiny_pipeline()
    assert len(pipe("a").motions[0]) == 40  # six seconds are more than this one can
    latents = torch.randn(1, 40, 263, generator=seeded())
    first, again = (pipe("a", num_frames=7, latents=latents, generator=seeded()).motions[0] for _ in range(2))
    np.testing.assert_array_equal(first.joints, again.joints)


def test_output_types() -> None:
    pipe = tiny_pipeline()
    motion, features, latent = (
        pipe("a", num_frames=7, generator=seeded(), output_type=kind).motions for kind in ("motion", "features", "latent")
    )
    assert latent.shape == (1, 7, 263)
    torch.testing.assert_close(features[0], pipe.feature_extractor.denormalize(latent)[0])
    np.testing.assert_array_equal(motion[0].joints, pipe.feature_extractor.decode(latent)[0].joints)


def test_checkpoint_without_its_feature_extractor(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    shutil.rmtree(tmp_path / "feature_extractor")
    with pytest.raises(ValueError, match="mean and std"):
        MDMPipeline.from_pretrained(tmp_path)
    assert MDMPipeline.from_pretrained(tmp_path, feature_extractor=MotionFeatureExtractor()).feature_extractor.mean is None


def test_only_safetensors_are_loaded(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path)
    weights = tmp_path / "denoiser" / "diffusion_pytorch_model.safetensors"
    torch.save(pipe.denoiser.state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        MDMPipeline.from_pretrained(tmp_path)


def test_component_swap(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    other = tiny_pipeline(num_layers=1)
    pipe = MDMPipeline.from_pretrained(tmp_path, denoiser=other.denoiser)
    assert pipe.denoiser is other.denoiser


def test_index_names_stable_classes(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path)
    index = MDMPipeline.load_config(tmp_path)
    assert index["denoiser"] == ["hf_motion.components", "MDMDenoiser"]
    assert index["feature_extractor"] == ["hf_motion.components", "MotionFeatureExtractor"]
    assert index["scheduler"] == ["diffusers", "DDPMScheduler"]
    assert index["max_text_tokens"] == 22


def test_steps_of_the_checkpoint(tmp_path: Path) -> None:
    pipe = tiny_pipeline(steps=10)
    pipe.register_to_config(num_inference_steps=3)
    pipe.save_pretrained(tmp_path)
    loaded = MDMPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    seen: list[int] = []

    def count(pipe: MDMPipeline, index: int, timestep: int, tensors: dict) -> dict:
        seen.append(index)
        return tensors

    loaded("a person walks", 8, callback_on_step_end=count)
    assert seen == [0, 1, 2]
    seen.clear()
    loaded("a person walks", 8, num_inference_steps=5, callback_on_step_end=count)
    assert len(seen) == 5


@pytest.mark.parametrize("conditioning", ["tokens", "pooled"])
def test_tmr_as_text_encoder(conditioning: str, tmp_path: Path) -> None:
    """The text half of a TMR in a pipeline: recorded by its stable name, and the same after saving."""
    denoiser = {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "arch": "trans_dec"}
    extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263, max_frames=40)
    tmr, options = str(EMBEDDED_TMR), {**denoiser, "text_conditioning": conditioning}
    pipe = new_mdm_pipeline(["a person walks"], extractor, options, tmr, {"num_train_timesteps": 5}, 22)
    pipe.save_pretrained(tmp_path)
    assert MDMPipeline.load_config(tmp_path)["text_encoder"] == ["hf_motion.components", "TMRTextEncoder"]
    loaded = MDMPipeline.from_pretrained(tmp_path)
    texts = ["a person walks", "someone jumps high and far"]
    torch.testing.assert_close(loaded.encode_prompt(texts)[0], pipe.encode_prompt(texts)[0])
    assert len(loaded(texts[0], 8, generator=seeded()).motions[0]) == 8


def steps_of(pipe: MDMPipeline, **options: Any) -> list[int]:
    """The diffusion steps that a call takes."""
    seen: list[int] = []

    def note(pipe: MDMPipeline, index: int, timestep: torch.Tensor, tensors: dict) -> dict:
        seen.append(int(timestep))
        return tensors

    pipe("a person walks", 8, generator=seeded(), callback_on_step_end=note, **options)
    return seen


def test_noise_spacing(tmp_path: Path) -> None:
    """Steps lie closer together where there is noise; the checkpoint says so, and schedulers that space their steps themselves do."""
    pipe = MDMPipeline(**tiny_pipeline(steps=100).components, num_inference_steps=5, noise_spacing=2.0)
    pipe.save_pretrained(tmp_path)
    pipe = MDMPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    assert steps_of(pipe) == [99, 95, 83, 63, 35]
    assert steps_of(pipe, num_inference_steps=2) == [99, 74]
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    assert steps_of(pipe) == [99, 95, 83, 63, 35]
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    assert steps_of(pipe) == [99, 79, 59, 39, 19]


@pytest.mark.parametrize(
    ("scheduler", "karras"),
    [
        (DDIMScheduler, False), (UniPCMultistepScheduler, False), (DPMSolverMultistepScheduler, False), (DPMSolverMultistepScheduler, True),
        (EulerDiscreteScheduler, False), (EulerDiscreteScheduler, True), (HeunDiscreteScheduler, False), (HeunDiscreteScheduler, True),
    ],
)  # fmt: skip
def test_every_scheduler_bears_noise_spacing(scheduler: type, karras: bool) -> None:
    """A checkpoint that spaces its steps stays open to any scheduler, spacing rules of their own included."""
    pipe = MDMPipeline(**tiny_pipeline(steps=100).components, num_inference_steps=5, noise_spacing=2.0)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config, use_karras_sigmas=karras)
    spaced = pipe("a person walks", 8, generator=seeded()).motions[0]
    assert np.isfinite(spaced.joints).all()


@pytest.mark.parametrize(("count", "power"), [(100, 3.0), (60, 4.0), (7, 0.5), (1, 2.0)])
def test_spaced_timesteps_are_distinct(count: int, power: float) -> None:
    steps = spaced_timesteps(100, count, power)
    assert len(steps) == count
    assert sorted(set(steps), reverse=True) == steps
    assert steps[0] == 99
    assert steps[-1] >= 0


def test_bad_noise_spacing() -> None:
    with pytest.raises(ValueError, match=r"noise_spacing must be positive .* got 0"):
        MDMPipeline(**tiny_pipeline().components, noise_spacing=0)
    with pytest.raises(ValueError, match="num_inference_steps=6 is more than the 5 steps"):
        MDMPipeline(**tiny_pipeline().components, noise_spacing=2.0)("a", 8, num_inference_steps=6)
