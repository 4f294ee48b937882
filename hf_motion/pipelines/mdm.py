"""MDM's pipeline: a sentence to a motion by diffusion over frames."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from diffusers.schedulers import SchedulerMixin
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..cleanup import lock_feet
from ..floor import settle_on_floor
from ..models.known_actions import KnownActions
from ..models.mdm import MDMDenoiser
from ..models.mdm.modeling_mdm import MDMCondition
from ..motion import Motion
from ..nn.generators import spawn_generators
from ..representation import MotionFeatureExtractor
from ..text_encoders import mean_over_tokens, pooled_text, token_limit
from ..utils.asked import asked_frames, asked_generator
from ..utils.text import check_prompts, quoted, say, warn_of_unread
from .constraint import Constraint, plan_constraint
from .control import MotionControl
from .editing import plan_edits
from .kept import Edit
from .motion_diffusion import MotionDiffusionPipeline, MotionPipelineOutput
from .plan import Plan, Segments, asked_segments, close_loop
from .streaming import stream_motion
from .windows import Windows

_OUTPUT_TYPES = ("motion", "features", "latent")
_TEXT_STEP = 32


class MDMPipeline(MotionDiffusionPipeline):
    """Text to motion with the Human Motion Diffusion Model (Tevet et al., ICLR 2023).

    Args:
        denoiser (`MDMDenoiser`): Predicts clean features.
        text_encoder (`PreTrainedModel`): Any transformers text encoder: CLIP, DistilBERT, T5's encoder, ...
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        scheduler (`SchedulerMixin`): A diffusers scheduler with `prediction_type="sample"`. `DDPMScheduler` samples as published; DDIM,
            DPM-Solver++ and UniPC take its place with `Scheduler.from_config(pipe.scheduler.config)`.
        feature_extractor (`MotionFeatureExtractor`): With the mean and std that the denoiser was trained with.
        max_text_tokens (`int`, *optional*): Longer prompts are cut. Published weights use 22 with CLIP and no limit with DistilBERT.
        num_inference_steps (`int`, *optional*): Denoising steps unless a call says otherwise; as many as the scheduler was trained with, up
            to 50, by default.
        noise_spacing (`float`, defaults to 1.0): Above 1, the steps lie closer together where there is much noise, see
            `spaced_timesteps`; 1 leaves their spacing to the scheduler. One that takes no timesteps, as DDIM or with Karras' spacing, does
            it itself in any case.
        contact_cleanup (`bool`, defaults to `False`): Whether made motions are settled on the floor and their feet held still while they
            touch it, unless a call says otherwise: see `settle_on_floor` and `lock_feet`.
        known_actions (`KnownActions`, *optional*): What the checkpoint learned; a prompt that is far from all of it is warned of.

    Example:
        >>> from hf_motion import load_embedded_pipeline
        >>> pipe = load_embedded_pipeline()
        >>> motion = pipe("a person waves the left hand", seconds=3, seed=0).motions[0]
        >>> len(motion), motion.text
        (60, 'a person waves the left hand')
    """

    model_cpu_offload_seq = "text_encoder->denoiser"
    _optional_components = ["known_actions"]
    _callback_tensor_inputs = ["latents"]

    def __init__(
        self,
        denoiser: MDMDenoiser,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: SchedulerMixin,
        feature_extractor: MotionFeatureExtractor,
        max_text_tokens: int | None = None,
        num_inference_steps: int | None = None,
        noise_spacing: float = 1.0,
        contact_cleanup: bool = False,
        known_actions: KnownActions | None = None,
    ) -> None:
        super().__init__()
        if not noise_spacing > 0:
            raise ValueError(f"noise_spacing must be positive (1 leaves the steps to the scheduler), got {noise_spacing}.")
        self.register_modules(
            denoiser=denoiser,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            feature_extractor=feature_extractor,
            known_actions=known_actions,
        )
        self.register_to_config(
            max_text_tokens=max_text_tokens,
            num_inference_steps=num_inference_steps,
            noise_spacing=noise_spacing,
            contact_cleanup=contact_cleanup,
        )

    @property
    def default_steps(self) -> int:
        """Denoising steps of a call that does not say how many."""
        return self.config.num_inference_steps or min(50, self.scheduler.config.num_train_timesteps)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` of texts, padded to the longest and cut at the encoder's limit."""
        limit = token_limit(self.text_encoder, self.config.max_text_tokens)
        tokens = self.tokenizer(list(texts), padding=True, truncation=limit is not None, max_length=limit, return_tensors="pt")
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def encode_tokens(
        self, input_ids: Tensor, attention_mask: Tensor, text_encoder: PreTrainedModel | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Text as the denoiser takes it.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens).
            attention_mask (`torch.Tensor`): (batch, tokens).
            text_encoder (`PreTrainedModel`, *optional*): Used instead of the pipeline's: in training it may be wrapped.

        Returns:
            `tuple[torch.Tensor, torch.Tensor | None]`: (batch, text_dim) and None for a pooled denoiser, (batch, tokens, text_dim) and the
            mask for one that reads tokens.
        """
        output = (text_encoder or self.text_encoder)(input_ids=input_ids, attention_mask=attention_mask)
        if self.denoiser.config.text_conditioning == "tokens":
            return output.last_hidden_state, attention_mask
        return pooled_text(self.text_encoder, output, attention_mask), None

    def encode_prompt(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Encode each distinct prompt once; see `encode_tokens` for what comes back.

        Below float32, products of another width round otherwise, and sampling makes centimetres of that. There, tokens are padded to full
        steps of 32, or to the encoder's limit, so that a prompt is read alike whatever the longest of its batch is.
        """
        distinct = list(dict.fromkeys(prompts))
        tokens = self.tokenize(distinct)
        if self.denoiser.dtype != torch.float32:
            longest, limit = tokens["input_ids"].shape[1], token_limit(self.text_encoder, self.config.max_text_tokens)
            width = -(-longest // _TEXT_STEP) * _TEXT_STEP
            tokens = self.tokenizer.pad(tokens, padding="max_length", max_length=min(width, limit or width), return_tensors="pt")
        tokens = {name: value.to(self._execution_device) for name, value in tokens.items()}
        states, mask = self.encode_tokens(**tokens)
        rows = torch.tensor([distinct.index(prompt) for prompt in prompts], device=states.device)
        return states[rows], mask[rows] if mask is not None else None

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        num_frames: int | list[int] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float = 2.5,
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
            guidance_scale (`float`, defaults to 2.5): How strongly to follow the text; 1 turns guidance off and halves the work.
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
        _check_options(num_motions_per_prompt, num_inference_steps, guidance_scale, output_type, callback_on_step_end_tensor_inputs)
        segments, edits = self._asked(
            prompt, num_frames, seconds, timeline, split, control is not None, motion, mask, body_part, keep_start, keep_end, end_motion
        )
        extractor, device = self.feature_extractor, self._execution_device
        plan = Plan(segments, extractor.fps, extractor.max_frames, num_motions_per_prompt, loop and edits is None, device)
        constraint = plan_constraint(extractor, edits, control, plan.lengths, plan.frames, device, num_motions_per_prompt, loop)
        warn_of_unread([text for text in plan.texts if text], self.tokenizer, token_limit(self.text_encoder, self.config.max_text_tokens))

        conditions = self._conditions(plan, guidance_scale != 1)
        generators = spawn_generators(generator, len(plan.lengths), self._execution_device)
        call = self._for_one_call()
        latents = call.prepare_latents(generators, latents, max(plan.frames, self.feature_extractor.max_frames))
        step_options = call._step_options(generators)
        call._set_timesteps(num_inference_steps or self.default_steps)
        for index, timestep in enumerate(self.progress_bar(call.scheduler.timesteps)):
            sample = call.scheduler.scale_model_input(latents, timestep)
            prediction = self._predict(sample, timestep, conditions, plan.windows, guidance_scale)
            # The last prediction stays as the model makes it: decoding puts what is fixed in, and bends the rest to meet it.
            if constraint is not None and index + 1 < len(call.scheduler.timesteps):
                prediction = constraint.constrain(prediction)
            prediction = torch.nn.functional.pad(prediction, (0, 0, 0, latents.shape[1] - prediction.shape[1]))
            latents = call.scheduler.step(prediction, timestep, latents, **step_options).prev_sample
            if callback_on_step_end is not None:
                latents = callback_on_step_end(call, index, timestep, {"latents": latents}).pop("latents", latents)

        clean = self.config.contact_cleanup if contact_cleanup is None else contact_cleanup
        motions = self._decode(latents, plan, output_type, constraint, clean)
        self.maybe_free_model_hooks()
        return MotionPipelineOutput(motions) if return_dict else (motions,)

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

    def _conditions(self, plan: Plan, guided: bool) -> list[MDMCondition]:
        """What the denoiser needs of the texts of windows, for so many at once as it denoises; with guidance those without text before."""
        states, mask = self.encode_prompt(plan.texts)
        self._warn_of_unknown(plan.texts, states, mask)
        silent = torch.tensor([not text for text in plan.texts], device=states.device)
        states = torch.where(silent.reshape(-1, *[1] * (states.ndim - 1)), torch.zeros_like(states), states)
        conditions = []
        for part in plan.windows.batches:
            some, real = states[part], mask[part] if mask is not None else None
            if guided:
                some, real = torch.cat((torch.zeros_like(some), some)), real.repeat(2, 1) if real is not None else None
            conditions.append(self.denoiser.encode_condition(some, real))
        return conditions

    def _predict(
        self, sample: Tensor, timestep: Tensor, conditions: Sequence[MDMCondition], windows: Windows, guidance_scale: float
    ) -> Tensor:
        """Clean features of motions, by way of those of their windows, float32."""
        cut, parts = windows.cut(sample), []
        for part, condition in zip(windows.batches, conditions, strict=True):
            mask = windows.mask[part] if windows.mask is not None else None
            prediction = self.denoiser(cut[part], timestep, attention_mask=mask, condition=condition).sample.float()
            if guidance_scale != 1:
                unconditional, conditional = prediction.chunk(2)
                prediction = unconditional + guidance_scale * (conditional - unconditional)
            parts.append(prediction)
        return windows.merge(parts[0] if len(parts) == 1 else torch.cat(parts))

    def _set_timesteps(self, count: int) -> None:
        power, device = self.config.noise_spacing, self._execution_device
        if power != 1 and _takes_timesteps(self.scheduler):
            steps = spaced_timesteps(self.scheduler.config.num_train_timesteps, count, power)
            self.scheduler.set_timesteps(timesteps=steps, device=device)
        else:
            self.scheduler.set_timesteps(count, device=device)

    def _step_options(self, generators: list[torch.Generator]) -> dict[str, Any]:
        return {"generator": generators} if "generator" in inspect.signature(self.scheduler.step).parameters else {}

    def _warn_of_unknown(self, prompts: list[str], states: Tensor, mask: Tensor | None) -> None:
        if self.known_actions is None:
            return
        pooled = states if mask is None else mean_over_tokens(states, mask)
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
        latents = latents[:, : plan.frames]
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


def _takes_timesteps(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler can be told its steps: some never can, others not while they space them by a rule of their own."""
    rules = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
    takes = "timesteps" in inspect.signature(scheduler.set_timesteps).parameters
    return takes and not any(getattr(scheduler.config, rule, False) for rule in rules)


def spaced_timesteps(total: int, count: int, power: float) -> list[int]:
    """Diffusion steps that lie closer together where there is much noise, where what a motion will be is settled.

    Args:
        total (`int`): How many the scheduler was trained with.
        count (`int`): How many to take.
        power (`float`): The i-th of n leaves 1 - (i / n) ** power of the steps to go; 1 spaces them evenly.

    Raises:
        ValueError: If there are not so many.

    Example:
        >>> spaced_timesteps(1000, 5, 1.0), spaced_timesteps(1000, 5, 2.0)
        ([999, 799, 599, 399, 199], [999, 959, 839, 639, 359])
    """
    if count > total:
        raise ValueError(f"num_inference_steps={count} is more than the {total} steps that the scheduler was trained with.")
    steps = [round(total * (1 - (index / count) ** power)) - 1 for index in range(count)]
    for index in range(1, count):
        steps[index] = min(steps[index], steps[index - 1] - 1)
    return [max(step, count - 1 - index) for index, step in enumerate(steps)]


def _check_options(
    num_motions_per_prompt: int, num_inference_steps: int | None, guidance_scale: float, output_type: str, tensor_inputs: Sequence[str]
) -> None:
    for name, value in (("num_motions_per_prompt", num_motions_per_prompt), ("num_inference_steps", num_inference_steps)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
    if not guidance_scale >= 0:
        raise ValueError(f"guidance_scale must be 0 or more (1 turns guidance off), got {guidance_scale!r}.")
    if output_type not in _OUTPUT_TYPES:
        raise ValueError(f"output_type must be one of {', '.join(map(repr, _OUTPUT_TYPES))}, got {output_type!r}.")
    unknown = set(tensor_inputs) - {"latents"}
    if unknown:
        raise ValueError(f"callback_on_step_end_tensor_inputs can hold 'latents' only, got {sorted(unknown)}.")
