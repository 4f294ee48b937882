"""What the pipelines that make motion of sentences share: one call, whatever the denoiser works on."""

from __future__ import annotations

import copy
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..cleanup import lock_feet
from ..floor import settle_on_floor
from ..motion import Motion
from ..nn.generators import spawn_generators
from ..nn.guidance import guidance_embedding, guided
from ..nn.predictions import clean_and_noise, prediction_of
from ..text_encoders import mean_over_tokens, token_limit
from ..utils.asked import asked_frames, asked_generator
from ..utils.text import check_prompts, quoted, say, warn_of_unread
from .buckets import Buckets, as_buckets
from .constraint import Constraint, plan_constraint
from .control import MotionControl
from .editing import plan_edits
from .few_step_adapter import few_step_folder, load_few_step_adapter
from .few_steps import FewSteps
from .kept import Edit
from .loops import close_loop
from .motion_diffusion import MotionDiffusionPipeline, MotionPipelineOutput
from .plan import Plan, Segments, asked_segments
from .prompts import PromptEncoder
from .spacing import spaced_timesteps, takes_timesteps
from .streaming import stream_motion
from .windows import Windows

logger = logging.getLogger("hf_motion")

_OUTPUT_TYPES = ("motion", "features", "latent")


class TextDiffusionPipeline(PromptEncoder, MotionDiffusionPipeline):
    """Base of the diffusion pipelines that make motion of sentences.

    What is denoised here are features of frames, as MDM does it: timelines and loops are cut into windows that see each other at every
    step, and what a control asks for, or an edit keeps, goes into every prediction of clean features. `LatentDiffusionPipeline` does the
    same for denoisers that work on an autoencoder's latents.
    """

    model_cpu_offload_seq = "text_encoder->denoiser"
    _callback_tensor_inputs = ["latents"]
    _guidance_scale = 2.5
    _null_text: str | None = None
    """What stands for no text: a sentence, or, as here, zeros in the place of its states."""

    _made_of_frames = True
    """Whether what is denoised are features of frames."""
    _takes_few_steps = False
    _buckets: Buckets | None = None

    def __init__(
        self,
        max_text_tokens: int | None,
        num_inference_steps: int | None,
        noise_spacing: float,
        contact_cleanup: bool,
        few_steps: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        if not noise_spacing > 0:
            raise ValueError(f"noise_spacing must be positive (1 leaves the steps to the scheduler), got {noise_spacing}.")
        self.register_to_config(
            max_text_tokens=max_text_tokens,
            num_inference_steps=num_inference_steps,
            noise_spacing=noise_spacing,
            contact_cleanup=contact_cleanup,
            few_steps=few_steps,
        )

    @property
    def default_steps(self) -> int:
        """Denoising steps of a call that does not say how many."""
        return self.config.num_inference_steps or min(50, self.scheduler.config.num_train_timesteps)

    @property
    def default_guidance(self) -> float:
        """Guidance scale of a call that does not say which; of a distilled denoiser the one that it was distilled for."""
        settings = self.config.few_steps
        if settings is None or self.few_step_denoiser is not None:
            return self._guidance_scale
        few = FewSteps.from_config(settings)
        return few.guidance(None)

    @property
    def _reads_guidance(self) -> bool:
        """Whether the guidance scale is an input of the denoiser, which a distilled one may have."""
        return getattr(self.denoiser.config, "time_cond_proj_dim", None) is not None

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        num_frames: int | list[int] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        num_motions_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "motion",
        return_dict: bool = True,
        callback_on_step_end: Callable[[MotionDiffusionPipeline, int, Tensor, dict[str, Any]], dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        motion: Motion | Sequence[Motion] | None = None,
        mask: np.ndarray | Tensor | Sequence[np.ndarray | Tensor] | None = None,
        body_part: str | Sequence[str] | None = None,
        keep_start: float | None = None,
        keep_end: float | None = None,
        end_motion: Motion | Sequence[Motion] | None = None,
        seconds: float | Sequence[float] | None = None,
        seed: int | None = None,
        contact_cleanup: bool | None = None,
        timeline: str | Sequence[Any] | None = None,
        split: bool = False,
        loop: bool = False,
        control: MotionControl | Sequence[MotionControl] | None = None,
    ) -> MotionPipelineOutput:
        """Generate motions, or edit them.

        With `motion`, a part of a clip is kept and the rest made to fit it and the text. `mask`, `body_part`, `keep_start` and `keep_end`
        say what is kept; without them the first and the last quarter, as published for in-betweening. Kept joints come back where
        they were, at the model's frame rate; the rest has the clip's bone lengths. A frame that keeps any joint also keeps the root.

        `timeline` takes several sentences in a row and is as long as they are together, also beyond what the model makes at once;
        `loop` makes motions that an engine can play round and round; `control` says where they have to be and when. A timeline may loop, or
        be controlled. With `motion` and `control` places are in the world of the clip: frames that are kept as a whole stay where they
        are, and what is kept of the others goes where the control leads.

        Args:
            prompt (`str` or `list[str]`, *optional*): What to do, for example `"a person walks forward and waves"`. Left out with a
                timeline; and where a control is all there is.
            num_frames (`int` or `list[int]`, *optional*): Length, one for all or one per prompt, up to the feature extractor's
                `max_frames`. Six seconds by default.
            num_inference_steps (`int`, *optional*): Denoising steps; those of the checkpoint by default, which are as many as the scheduler
                was trained with, up to 50, where it does not say.
            guidance_scale (`float`, *optional*): How strongly to follow the text; 1 turns guidance off and halves the work. As published
                by default: 2.5 for MDM, 7.5 for MLD and SALAD. A distilled denoiser has a range that it learned, see `FewSteps`.
            num_motions_per_prompt (`int`, defaults to 1): Repetitions of each prompt.
            generator (`torch.Generator` or a list with one per motion, *optional*): Makes the result reproducible. A motion depends on its
                prompt, its length and its place in the batch, not on the other prompts. A CPU generator gives the same noise on any
                device; one on the model's device saves the copies.
            latents (`torch.Tensor`, *optional*): Initial noise, (motions, max_frames, features).
            output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` or `"latent"`.
            return_dict (`bool`, defaults to `True`): Return a `MotionPipelineOutput` rather than a tuple.
            callback_on_step_end (`Callable`, *optional*): Called as `callback(pipe, step, timestep, tensors)` after each step; what
                it returns under `"latents"` replaces them. `pipe` is this pipeline with the scheduler of this call: several threads may
                call one pipeline.
            callback_on_step_end_tensor_inputs (`Sequence[str]`): Tensors that the callback gets; only `"latents"` is there.
            motion (`Motion` or a list with one per prompt, *optional*): What is edited, up to `max_frames` long unless `num_frames` and
                `keep_start` or `keep_end` take only a part of it. Another frame rate is resampled to the model's.
            mask (array of bool or a list with one per prompt, *optional*): True where the clip is kept, (frames,) or (frames, joints), at
                the model's frame rate. `hf_motion.pipelines.editing.edit_mask` makes one.
            body_part (`str` or a list of them, *optional*): Parts that are made anew while the others are kept: `"upper_body"`,
                `"lower_body"`, `"torso"`, `"head"`, `"left_arm"`, `"right_arm"`, `"left_leg"`, `"right_leg"`. With `keep_start` or
                `keep_end` only between these.
            keep_start (`float`, *optional*): Seconds kept at the start. With `num_frames` the clip is made longer or shorter behind it.
            keep_end (`float`, *optional*): Seconds kept at the end.
            end_motion (`Motion` or a list with one per prompt, *optional*): Makes a transition: from the last `keep_start` seconds of
                `motion` to the first `keep_end` seconds of this clip (a quarter of `num_frames` each by default), which is turned about the
                vertical and moved over the floor to where the made motion arrives. `join_motions` joins whole clips.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            seed (`int`, *optional*): In place of `generator`: `seed=0` is `generator=torch.Generator().manual_seed(0)`.
            contact_cleanup (`bool`, *optional*): Settle motions on the floor and hold feet still while they touch it; as the checkpoint
                says by default. Edited motions and other outputs than motions are never touched.
            timeline (`str` or sequence, *optional*): In place of `prompt` and its length: `[("a person walks", 3.0), ("waves", 2.0)]`, or
                the same as `"a person walks: 3; waves: 2"`.
            split (`bool`, defaults to `False`): Read each prompt as a timeline: see `hf_motion.pipelines.timeline.split_sentence`.
            loop (`bool`, defaults to `False`): The last pose is the first one, travel and heading going on; `num_frames` counts both.
            control (`MotionControl` or a list with one per prompt, *optional*): Paths, headings, poses and places of joints to hit.

        Returns:
            `MotionPipelineOutput`: With `motions`; a tuple of them with `return_dict=False`.

        Raises:
            ValueError: If an argument is of the wrong kind or out of range.
        """
        generator = asked_generator(generator, seed)
        check_call(num_motions_per_prompt, num_inference_steps, guidance_scale, output_type, callback_on_step_end_tensor_inputs)
        steps = num_inference_steps or self.default_steps
        segments, edits = self._asked(
            prompt, num_frames, seconds, timeline, split, control is not None, motion, mask, body_part, keep_start, keep_end, end_motion
        )
        extractor, device = self.feature_extractor, self._execution_device
        plan = Plan(segments, extractor.fps, extractor.max_frames, num_motions_per_prompt, loop and edits is None, device)
        constraint = plan_constraint(extractor, edits, control, plan.lengths, plan.frames, device, num_motions_per_prompt, loop)
        warn_of_unread([text for text in plan.texts if text], self.tokenizer, token_limit(self.text_encoder, self.config.max_text_tokens))

        call, guidance = self._for_steps(steps, guidance_scale)
        conditions = call._conditions(plan, guidance != 1 and not call._reads_guidance)
        generators = spawn_generators(generator, len(plan.lengths), self._execution_device)
        draws = call._draws(generators, plan.windows)
        latents = call.prepare_latents(draws, latents, max(plan.frames, self.feature_extractor.max_frames))
        step_options = call._step_options(draws)
        call._set_timesteps(steps)
        for index, timestep in enumerate(self.progress_bar(call.scheduler.timesteps)):
            sample = call.scheduler.scale_model_input(latents, timestep)
            prediction = call._predict(sample, timestep, conditions, plan.windows, guidance)
            # The last prediction stays as the model makes it: decoding puts what is fixed in, and bends the rest to meet it.
            if index + 1 < len(call.scheduler.timesteps):
                prediction = call._constrained(prediction, sample, timestep, plan.windows, constraint)
            prediction = F.pad(prediction, (0, 0, 0, latents.shape[1] - prediction.shape[1])) if latents.ndim == 3 else prediction
            latents = call.scheduler.step(prediction, timestep, latents, **step_options).prev_sample
            if callback_on_step_end is not None:
                latents = callback_on_step_end(call, index, timestep, {"latents": latents}).pop("latents", latents)

        clean = self.config.contact_cleanup if contact_cleanup is None else contact_cleanup
        motions = self._decode(latents, plan, output_type, constraint, clean)
        self.maybe_free_model_hooks()
        return MotionPipelineOutput(motions) if return_dict else (motions,)

    def compile(self, *, frames: Sequence[int] | None = None, rows: Sequence[int] | None = None, **options: Any) -> TextDiffusionPipeline:
        """Compile the denoiser with `torch.compile`. Inputs are padded to a few sizes, so that each is compiled once, at its first call.

        Padding is hidden, so that motions stay what they are, but for the last digits.

        Args:
            frames (`Sequence[int]`, *optional*): Lengths to pad to, the last at least the longest that is made at once; four evenly spaced
                ones by default.
            rows (`Sequence[int]`, *optional*): Batches to pad to; powers of two up to 64 by default.
            **options: Of `torch.compile`; `mode="reduce-overhead"` also takes CUDA graphs.

        Returns:
            `TextDiffusionPipeline`: This pipeline.

        Raises:
            ValueError: If the largest bucket does not hold the longest motion.

        Example:
            >>> from hf_motion import load_embedded_pipeline
            >>> pipe = load_embedded_pipeline().compile(frames=[100, 196])  # doctest: +SKIP
        """
        self._buckets = as_buckets(frames, rows, self.feature_extractor.max_frames)
        for denoiser in (self.denoiser, self.few_step_denoiser):
            if denoiser is not None:
                denoiser.compile(**{"dynamic": False, **options})
        return self

    def load_lora_weights(self, pretrained_model_name_or_path: str | os.PathLike, adapter_name: str | None = None, **kwargs: Any) -> None:
        """Load an adapter: of the text encoder, such as an AdaCLIP, or of the denoiser, for few steps (LCM-LoRA).

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder or repository with `adapter_config.json` and
                `adapter_model.safetensors`, and `few_steps.json` where it is for few steps: then a copy of the denoiser with the adapter in
                its weights stands beside the denoiser, and calls with few steps take it.
            adapter_name (`str`, *optional*): What to call a text encoder's, `"default"` by default.
            **kwargs: `subfolder`, `revision`, `token`, `cache_dir`, `local_files_only`.

        Raises:
            OSError: If there is no such adapter.
            ValueError: If it does not fit, or the name is taken.
        """
        folder = few_step_folder(pretrained_model_name_or_path, **kwargs)
        if folder is not None:
            load_few_step_adapter(self, folder)
        else:
            super().load_lora_weights(pretrained_model_name_or_path, adapter_name, **kwargs)

    def stream(self, timeline: str | Sequence[Any], **options: Any) -> Iterator[np.ndarray]:
        """Frames of a timeline as they are made; see `hf_motion.pipelines.streaming.stream_motion`.

        Args:
            timeline (`str` or sequence): As for a call, or an iterator of segments that is asked for the next as time goes on.
            **options: Those of `stream_motion`.

        Returns:
            `Iterator[numpy.ndarray]`: Joints (joints, 3) of one frame after the other, at the model's frame rate.
        """
        return stream_motion(self, timeline, **options)

    def _asked(
        self, prompt: Any, num_frames: Any, seconds: Any, timeline: Any, split: bool, controlled: bool, motion: Any, *edit_options: Any
    ) -> tuple[list[Segments], list[Edit] | None]:
        """Sentences and lengths of the motions of a call, and what each keeps of a clip."""
        extractor = self.feature_extractor
        segments = asked_segments(prompt, timeline, split, seconds, num_frames, extractor.fps, controlled)
        if segments is not None:
            if motion is not None:
                raise ValueError("motion= edits a clip under one sentence; leave it out with timeline= or split=True.")
            return segments, None
        prompts = [""] if prompt is None else check_prompts(prompt)
        num_frames = asked_frames(num_frames, seconds, extractor.fps)
        wanted = self._lengths(num_frames, len(prompts)) if num_frames is not None or motion is None else None
        edits = plan_edits(extractor, len(prompts), wanted, motion, *edit_options)
        lengths = wanted if edits is None else [len(edit) for edit in edits]
        return [[(text, length)] for text, length in zip(prompts, lengths, strict=True)], edits

    def _for_steps(self, steps: int, guidance_scale: float | None) -> tuple[TextDiffusionPipeline, float]:
        """This pipeline with a scheduler of its own and the denoiser for so many steps, and the guidance scale.

        Raises:
            ValueError: If the denoiser is a distilled one, and scheduler, steps or guidance do not go with it.
        """
        call, settings = self._for_one_call(), self.config.few_steps
        few = FewSteps.from_config(settings) if settings is not None else None
        if few is not None and self.few_step_denoiser is not None:
            if steps > few.most_steps:
                few = None
            else:  # not by assignment, which would write it into the configuration that all calls share
                parts = {"denoiser": self.few_step_denoiser, "scheduler": copy.deepcopy(self.few_step_scheduler)}
                call.__dict__.update(parts)
        if few is None:
            return call, self.default_guidance if guidance_scale is None else guidance_scale
        few.check_scheduler(call.scheduler)
        few.check_steps(steps)
        call.__dict__["_takes_few_steps"] = True
        return call, few.guidance(guidance_scale)

    def _draws(self, generators: list[torch.Generator], windows: Windows) -> list[torch.Generator]:
        """Generators of the rows that are denoised: here those of whole motions."""
        return generators

    def _conditions(self, plan: Plan, guided: bool) -> list[Any]:
        """What the denoiser needs of the texts of windows, for so many at once as it denoises; with guidance those without text before."""
        states, mask = self.encode_prompt(plan.texts if self._null_text is None else [*plan.texts, self._null_text])
        if self._null_text is None:
            if self.known_actions is not None:
                pooled = self._pooled(plan.texts, states, mask)
                self._warn_of_unknown(plan.texts, pooled)
                states, mask = self._grounded(plan.texts, states, mask, pooled)
            nothing, hidden = torch.zeros_like(states), mask
        else:
            nothing, states = states[-1:].expand(len(plan.texts), *states.shape[1:]), states[:-1]
            hidden, mask = (mask[-1:].expand(len(plan.texts), -1), mask[:-1]) if mask is not None else (None, None)
        if self._buckets is not None:
            states, mask = self._buckets.pad_tokens(states, mask)
            nothing, hidden = self._buckets.pad_tokens(nothing, hidden)
        silent = torch.tensor([not text for text in plan.texts], device=states.device)
        states = torch.where(silent.reshape(-1, *[1] * (states.ndim - 1)), nothing, states)
        conditions = []
        for part in plan.windows.batches:
            rows = self._buckets.pad_rows if self._buckets is not None else _as_it_is
            some, real = rows(states[part]), rows(mask[part]) if mask is not None else None
            if guided:
                some = torch.cat((rows(nothing[part]), some))
                real = torch.cat((rows(hidden[part]), real)) if real is not None else None
            conditions.append(self.denoiser.encode_condition(some, real))
        return conditions

    def _predict(self, sample: Tensor, timestep: Tensor, conditions: Sequence[Any], windows: Windows, guidance_scale: float) -> Tensor:
        """What the denoiser says of motions, guided, by way of their windows, float32."""
        cut, parts = self._cut(sample, windows), []
        for part, condition in zip(windows.batches, conditions, strict=True):
            options, some = {}, cut[part]
            mask = self._step_mask(windows, part)
            if self._buckets is not None:
                some, mask = self._buckets.pad_rows(some), self._buckets.pad_rows(mask) if mask is not None else None
            if self._reads_guidance:
                weights = torch.full((len(some),), guidance_scale - 1.0, device=sample.device)
                options["timestep_cond"] = guidance_embedding(weights, self.denoiser.config.time_cond_proj_dim)
            prediction = self._denoise(some, timestep, condition, mask, **options).float()
            prediction = prediction.unflatten(0, (-1, len(some)))[:, : len(cut[part])].flatten(0, 1)
            if guidance_scale != 1 and not self._reads_guidance:
                prediction = guided(*prediction.chunk(2), guidance_scale)
            parts.append(prediction)
        return self._merge(parts[0] if len(parts) == 1 else torch.cat(parts), windows)

    def _denoise(self, sample: Tensor, timestep: Tensor, condition: Any, mask: Tensor | None, **options: Any) -> Tensor:
        """The denoiser on some windows; with guidance it gives twice as many."""
        frames = sample.shape[1]
        if mask is not None and mask.shape[1] > frames:
            sample = F.pad(sample, (0, 0, 0, mask.shape[1] - frames))
        if self._buckets is not None:  # compiled code is for one layout, and one row of many frames calls itself contiguous
            sample = sample.clone(memory_format=torch.contiguous_format)
        return self.denoiser(sample, timestep, attention_mask=mask, condition=condition, **options).sample[:, :frames]

    def _step_mask(self, windows: Windows, part: slice) -> Tensor | None:
        """(windows, frames) int64 of a part of all windows, 1 on real frames; padded to a bucket where the denoiser is compiled."""
        if self._buckets is None:
            return windows.mask[part] if windows.mask is not None else None
        lengths = torch.tensor(windows.lengths[part], device=self._execution_device)
        return (torch.arange(self._buckets.length(max(windows.lengths)), device=lengths.device) < lengths[:, None]).long()

    def _cut(self, sample: Tensor, windows: Windows) -> Tensor:
        return windows.cut(sample)

    def _merge(self, predictions: Tensor, windows: Windows) -> Tensor:
        return windows.merge(predictions)

    def _constrained(self, prediction: Tensor, sample: Tensor, timestep: Tensor, windows: Windows, constraint: Constraint | None) -> Tensor:
        """A prediction whose clean features do what is asked."""
        if constraint is None:
            return prediction
        noisy = sample[:, : prediction.shape[1]]
        clean = constraint.constrain(self._clean(prediction, noisy, timestep))
        return prediction_of(clean, noisy, timestep, self.scheduler.alphas_cumprod, self.scheduler.config.prediction_type)

    def _clean(self, prediction: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        scheduler = self.scheduler
        return clean_and_noise(prediction, noisy, timestep, scheduler.alphas_cumprod, scheduler.config.prediction_type)[0]

    def _features(self, latents: Tensor, windows: Windows) -> Tensor:
        """Normalised features of motions, of what has been denoised."""
        return latents[:, : windows.frames]

    def _set_timesteps(self, count: int) -> None:
        power, device = self.config.noise_spacing, self._execution_device
        if power != 1 and not self._takes_few_steps and takes_timesteps(self.scheduler):
            steps = spaced_timesteps(self.scheduler.config.num_train_timesteps, count, power)
            self.scheduler.set_timesteps(timesteps=steps, device=device)
        else:
            self.scheduler.set_timesteps(count, device=device)

    def _step_options(self, generators: list[torch.Generator]) -> dict[str, Any]:
        return {"generator": generators} if "generator" in inspect.signature(self.scheduler.step).parameters else {}

    def _pooled(self, texts: list[str], states: Tensor, mask: Tensor | None) -> Tensor:
        """Where texts lie among known actions: means over their tokens; those of which no word is known, at what all have in common."""
        pooled = states if mask is None else mean_over_tokens(states, mask)
        unknown = torch.tensor(self.unknown(texts), device=pooled.device)
        return torch.where(unknown[:, None], self.known_actions.center.to(pooled), pooled)

    def _grounded(self, texts: list[str], states: Tensor, mask: Tensor | None, pooled: Tensor) -> tuple[Tensor, Tensor | None]:
        """The tokens of texts, and beside them those of the plain sentences that the checkpoint knows and they are nearest to."""
        if not self.config.get("ground_prompts"):
            return states, mask
        examples = self.known_actions.nearest(pooled)
        for text, example in zip(texts, examples, strict=True):
            if text and example:
                logger.info("%s is read beside %r.", quoted(text), example)
        beside, hidden = self.encode_prompt([example or "" for example in examples])
        known = torch.tensor([example is not None for example in examples], device=hidden.device)
        return torch.cat((states, beside), 1), torch.cat((mask, hidden * known[:, None]), 1)

    def _warn_of_unknown(self, prompts: list[str], pooled: Tensor) -> None:
        for text, nearest in self.known_actions.far(pooled, prompts).items():
            if not text:
                continue
            say(
                f"{quoted(text)} is far from everything that this checkpoint learned, so the motion may show something else; the nearest "
                f"actions that it knows are: {', '.join(nearest)}. `hf-motion generate --list-actions` shows all.",
                "were far from everything that the checkpoint learned",
            )

    def _decode(
        self, latents: Tensor, plan: Plan, output_type: str, constraint: Constraint | None, clean: bool
    ) -> list[Motion] | list[Tensor] | Tensor:
        if output_type == "latent" and not self._made_of_frames:
            return latents
        latents = self._features(latents, plan.windows)
        if output_type != "motion":
            latents = latents if constraint is None else constraint.constrain(latents)
            if output_type == "latent":
                return latents
            features = self.feature_extractor.denormalize(latents)
            return [clip[:length] for clip, length in zip(features, plan.lengths, strict=True)]
        if constraint is not None:
            return constraint.motions(latents, plan.prompts, clean)
        if plan.loops:
            return [close_loop(self.feature_extractor, row[:length], text, starts, clean)
                    for row, length, text, starts in zip(latents, plan.lengths, plan.prompts, plan.starts, strict=True)]  # fmt: skip
        motions = self.feature_extractor.decode(latents, plan.mask, plan.prompts)
        return [lock_feet(settle_on_floor(made)) for made in motions] if clean else motions


def check_call(
    num_motions_per_prompt: int,
    num_inference_steps: int | None,
    guidance_scale: float | None,
    output_type: str,
    tensor_inputs: Sequence[str] = (),
) -> None:
    """Refuse what no call takes, see `TextDiffusionPipeline.__call__`.

    Raises:
        ValueError: If something is of the wrong kind or out of range.
    """
    for name, value in (("num_motions_per_prompt", num_motions_per_prompt), ("num_inference_steps", num_inference_steps)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
    if guidance_scale is not None and not guidance_scale >= 0:
        raise ValueError(f"guidance_scale must be 0 or more (1 turns guidance off), got {guidance_scale!r}.")
    if output_type not in _OUTPUT_TYPES:
        raise ValueError(f"output_type must be one of {', '.join(map(repr, _OUTPUT_TYPES))}, got {output_type!r}.")
    unknown = set(tensor_inputs) - {"latents"}
    if unknown:
        raise ValueError(f"callback_on_step_end_tensor_inputs can hold 'latents' only, got {sorted(unknown)}.")


def _as_it_is(values: Tensor) -> Tensor:
    return values
