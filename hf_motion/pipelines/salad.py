"""SALAD's pipeline: a sentence to a motion by diffusion of latents of body parts, and edits of a motion by its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.schedulers import SchedulerMixin
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.salad import SALADAutoencoder, SALADDenoiser
from ..models.salad.modeling_salad import SALADCondition
from ..motion import Motion
from ..nn.generators import spawn_generators
from ..nn.guidance import guided
from ..nn.padding import padded
from ..representation import MotionFeatureExtractor
from ..utils.asked import asked_frames, asked_generator
from ..utils.text import check_prompts
from .attention_edit import AttentionChange, AttentionMaps, guess_mode
from .latent_diffusion import LatentDiffusionPipeline
from .motion_diffusion import MotionPipelineOutput
from .plan import Plan
from .text_diffusion import check_call

_EDIT_OPTIONS = ("edit_mode", "word_weights", "mirror", "self_share", "swap_share")


@dataclass
class SALADEditOutput(MotionPipelineOutput):
    """Output of an edit: `motions`, and the motions that they come from.

    Args:
        source_motions (`list[Motion]`): What the first sentence alone makes.
    """

    source_motions: list[Motion] | None = None


class SALADPipeline(LatentDiffusionPipeline):
    """Text to motion with SALAD (Hong et al., CVPR 2025), and editing by words.

    Args:
        vae (`SALADAutoencoder`): Its autoencoder.
        denoiser (`SALADDenoiser`): Predicts velocities of latents.
        text_encoder (`PreTrainedModel`): CLIP ViT-B/32 in the paper, of which all tokens are read; or one with an adapter, AdaCLIP.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        scheduler (`SchedulerMixin`): `DDIMScheduler` samples as published.
        feature_extractor (`MotionFeatureExtractor`): With the mean and std that the autoencoder was trained with.
        max_text_tokens (`int`, *optional*): Longer prompts are cut.
        num_inference_steps (`int`, *optional*): Denoising steps unless a call says otherwise, 50 by default.
        noise_spacing (`float`, defaults to 1.0): See `MDMPipeline`.
        contact_cleanup (`bool`, defaults to `False`): See `MDMPipeline`.
        few_steps (`dict`, *optional*): How a distilled denoiser is sampled, see `hf_motion.pipelines.few_steps.FewSteps`.
        few_step_denoiser (`SALADDenoiser`, *optional*): A distilled denoiser beside the other: calls with as few steps as it was distilled
            for take it.
        few_step_scheduler (`LCMScheduler`, *optional*): Its scheduler.

    Raises:
        ValueError: If the parts do not fit each other.

    Example:
        >>> from hf_motion import SALADPipeline
        >>> pipe = SALADPipeline.from_pretrained("salad-humanml3d")  # doctest: +SKIP
        >>> edit = {"prompt": "a person walks forward", "edit_prompt": "a person runs forward"}
        >>> motion = pipe(**edit, seconds=5, seed=0).motions[0]  # doctest: +SKIP
    """

    _optional_components = ["few_step_denoiser", "few_step_scheduler"]

    def __init__(
        self,
        vae: SALADAutoencoder,
        denoiser: SALADDenoiser,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: SchedulerMixin,
        feature_extractor: MotionFeatureExtractor,
        max_text_tokens: int | None = None,
        num_inference_steps: int | None = None,
        noise_spacing: float = 1.0,
        contact_cleanup: bool = False,
        few_steps: dict[str, Any] | None = None,
        few_step_denoiser: SALADDenoiser | None = None,
        few_step_scheduler: SchedulerMixin | None = None,
    ) -> None:
        super().__init__(max_text_tokens, num_inference_steps, noise_spacing, contact_cleanup, few_steps)
        self.register_modules(
            vae=vae,
            denoiser=denoiser,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            feature_extractor=feature_extractor,
            few_step_denoiser=few_step_denoiser,
            few_step_scheduler=few_step_scheduler,
        )
        self._check_autoencoder()
        if vae.config.skeleton != feature_extractor.skeleton:
            raise ValueError(f"The autoencoder is for {vae.config.skeleton!r}, the feature extractor for {feature_extractor.skeleton!r}.")

    def __call__(
        self, prompt: str | list[str] | None = None, *args: Any, edit_prompt: str | list[str] | None = None, **options: Any
    ) -> Any:
        """Generate motions, or edit them, see `MDMPipeline.__call__` for all other options.

        With `edit_prompt`, or `edit_mode`, two motions are made of the same noise: that of `prompt`, and beside it one whose attention is
        taken from the first but for what changes. What the words do not touch stays alike.

        Args:
            prompt (`str` or `list[str]`, *optional*): What to do.
            *args: As for `MDMPipeline.__call__`.
            edit_prompt (`str` or `list[str]`, *optional*): What to do instead, one for all or one per prompt; the same by default.
            **options: As for `MDMPipeline.__call__`. With an edit `num_frames` or `seconds`, `num_inference_steps`, `guidance_scale`,
                `generator` or `seed`, `latents`, `output_type`, `return_dict`, `contact_cleanup`, and: `edit_mode`, one of `"word_swap"`,
                `"refine"`, `"reweight"` and `"mirror"`, by default `"refine"` where the sentence has only been added to and `"word_swap"`
                otherwise; `word_weights` (`dict[str, float]`) for `"reweight"`; `mirror`, `"lower"`, `"upper"` or `"all"`; `self_share`
                and `swap_share`, see `AttentionChange`.

        Returns:
            `MotionPipelineOutput`: With `motions`; of an edit a `SALADEditOutput`, with `source_motions` too.

        Raises:
            ValueError: If an argument is of the wrong kind or out of range, or does not go with an edit.
        """
        if edit_prompt is None and not any(options.get(name) is not None for name in _EDIT_OPTIONS):
            return super().__call__(prompt, *args, **{name: value for name, value in options.items() if name not in _EDIT_OPTIONS})
        names = ("num_frames", "num_inference_steps", "guidance_scale")
        return self._edit(prompt, edit_prompt, **dict(zip(names, args, strict=False)), **options)

    @torch.no_grad()
    def _edit(
        self,
        prompt: str | list[str] | None,
        edit_prompt: str | list[str] | None,
        *,
        num_frames: int | list[int] | None = None,
        seconds: float | Sequence[float] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        seed: int | None = None,
        latents: Tensor | None = None,
        output_type: str = "motion",
        return_dict: bool = True,
        contact_cleanup: bool | None = None,
        edit_mode: str | None = None,
        word_weights: Mapping[str, float] | None = None,
        mirror: str | None = None,
        self_share: float = 0.2,
        swap_share: float = 0.5,
        **other: Any,
    ) -> SALADEditOutput | tuple[Any, ...]:
        if other := {name: value for name, value in other.items() if value not in (None, False)}:
            raise ValueError(f"An edit is of one sentence per motion and its attention; leave out {', '.join(sorted(other))}.")
        check_call(1, num_inference_steps, guidance_scale, output_type)
        sources = check_prompts(prompt)
        edits = sources if edit_prompt is None else check_prompts(edit_prompt)
        edits = edits * len(sources) if len(edits) == 1 else edits
        if len(edits) != len(sources):
            raise ValueError(f"edit_prompt is a list of {len(edits)} for {len(sources)} prompts; pass one, or one per prompt.")
        modes = {"reweight"} if word_weights else {"mirror"} if mirror else {guess_mode(*pair) for pair in zip(sources, edits, strict=True)}
        if edit_mode is None and len(modes) > 1:
            raise ValueError("Some of these edits add words and others change them; say which with edit_mode, or edit them one by one.")
        change = AttentionChange(edit_mode or modes.pop(), self_share, swap_share, word_weights or {}, mirror or "all")
        steps = num_inference_steps or self.default_steps
        lengths = self._lengths(asked_frames(num_frames, seconds, self.feature_extractor.fps), len(sources))
        call, guidance = self._for_steps(steps, guidance_scale)
        if call._takes_few_steps:
            raise ValueError(f"An edit takes attention from many guided steps; {steps} of a distilled denoiser have none. Take more steps.")
        segments = [[(text, length)] for text, length in zip((*sources, *edits), lengths * 2, strict=True)]
        plan = Plan(segments, self.feature_extractor.fps, self.feature_extractor.max_frames, 1, False, self._execution_device)
        generators = spawn_generators(asked_generator(generator, seed), len(sources), self._execution_device)
        noise = call.prepare_latents(generators, latents)
        clean = self.config.contact_cleanup if contact_cleanup is None else contact_cleanup
        made = _Editing(call, plan, change, sources, edits).sample(noise, steps, guidance, generators)
        motions = call._decode(made, plan, output_type, None, clean)
        count = len(sources)
        return SALADEditOutput(motions[count:], motions[:count]) if return_dict else (motions[count:], motions[:count])


class _Editing:
    """Two batches of motions side by side, of which the second takes attention from the first."""

    def __init__(self, pipe: SALADPipeline, plan: Plan, change: AttentionChange, sources: Sequence[str], edits: Sequence[str]) -> None:
        self.pipe, self.change, self.count = pipe, change, len(sources)
        (whole,) = pipe._conditions(plan, guided=True)  # without text first, both batches each
        self.condition: SALADCondition = whole
        keys_values = [part[3 * self.count :] for part in whole.keys_values]
        self.edited = SALADCondition(keys_values, None if whole.mask is None else whole.mask[3 * self.count :])
        self.tokens = change.token_changes(sources, edits, whole.text.shape[1], pipe.tokenizer)
        if self.tokens is not None:
            self.tokens = self.tokens.to(whole.text)
        lengths = torch.tensor(plan.windows.lengths, device=whole.text.device)
        self.mask = pipe.vae.latent_mask(lengths)

    def sample(self, noise: Tensor, steps: int, guidance: float, generators: list[torch.Generator]) -> Tensor:
        """Latents of the sources and of the edited motions, (2 * motions, steps, parts, width)."""
        pipe = self.pipe
        pipe._set_timesteps(steps)
        latents = torch.cat((noise, noise))
        width = self.mask.shape[1]
        options = pipe._step_options(generators * 2)
        for index, timestep in enumerate(pipe.progress_bar(pipe.scheduler.timesteps)):
            sample = pipe.scheduler.scale_model_input(latents, timestep)[:, :width]
            maps = AttentionMaps()
            inputs = {"attention_mask": self.mask, "condition": self.condition, "attention_edit": maps}
            nothing, text = pipe.denoiser(sample, timestep, **inputs).sample.float().chunk(2)
            given = self._given(maps, index / len(pipe.scheduler.timesteps))
            inputs = {"attention_mask": self.mask[self.count :], "condition": self.edited, "attention_edit": AttentionMaps(given)}
            edited = pipe.denoiser(sample[self.count :], timestep, **inputs).sample.float()
            text = torch.cat((text[: self.count], edited))
            prediction = padded(guided(nothing, text, guidance), latents.shape[1])
            latents = pipe.scheduler.step(prediction, timestep, latents, **options).prev_sample
        return latents

    def _given(self, maps: AttentionMaps, share: float) -> dict[str, list[Tensor]]:
        """Attention weights for the edited motions, of what a pass over all showed."""
        source, own = slice(2 * self.count, 3 * self.count), slice(3 * self.count, None)
        cross = [self.change.cross(weights[source], weights[own], share, self.tokens) for weights in maps.seen["cross"]]
        given = {"cross": cross}
        if share < self.change.self_share:
            given |= {kind: [weights[source] for weights in maps.seen[kind]] for kind in ("temporal", "skeletal")}
        return given
