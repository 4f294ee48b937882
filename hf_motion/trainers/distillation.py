"""Consistency distillation: a denoiser that makes in one to four steps what its teacher makes in fifty."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import LCMScheduler
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..data.motion_text import MotionTextDataset
from ..hub.training_card import TrainingRecord
from ..nn.guidance import guidance_embedding
from ..nn.predictions import PREDICTIONS, clean_and_noise
from ..pipelines.few_step_adapter import save_few_step_adapter
from ..pipelines.few_steps import SCHEDULE, FewSteps, lcm_scheduler
from ..pipelines.text_diffusion import TextDiffusionPipeline
from ..skeletons import get_skeleton
from ..text_encoders import token_limit, warn_of_long_captions
from ..utils.training_folder import leave_sign
from .diffusion import DiffusionCollator, DiffusionObjective, warn_of_ungrounded
from .latents import LatentCache
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments

LOSSES = ("huber", "l2")
"""Distances that a distillation may make small."""

_DATA_DEVIATION = 0.5  # of LCMScheduler, which has it as a constant


@dataclass
class DistillationArguments(MotionTextTrainingArguments):
    """`MotionTextTrainingArguments` and what distillation adds; the defaults are MotionLCM's where it has one.

    Args:
        num_inference_steps (`list[int]`, defaults to `[1, 2, 4]`): Step counts that the result is for.
        original_inference_steps (`int`, defaults to 50): Noise levels, evenly spaced, between which the teacher's solver (DDIM) steps; the
            result can take as many steps at most. MotionLCM has 50, MotionLCM-v2 10.
        guidance_range (`list[float]`, *optional*): Guidance scales of the teacher, drawn evenly; by default from half to twice the strength
            of its own default. MotionLCM's are 6 to 16, which it writes as w from 5 to 15.
        guidance_scale (`float`, *optional*): What the result takes unless a call says otherwise; the teacher's default.
        guidance_embedding_dim (`int`, defaults to 256): Width of the guidance scale as an input of the result.
        ema_decay (`float`, defaults to 0.95): Decay of the averaged student that gives the targets.
        loss (`str`, defaults to `"huber"`): Pseudo-Huber, or `"l2"`.
        huber_c (`float`, defaults to 0.5): Where pseudo-Huber goes over from squares to absolute values.
        lora_rank (`int`, defaults to 0): Rank of an adapter (LCM-LoRA), which is then all that is trained and saved; it reads no guidance
            scale but has learned those of the range. 0 trains a whole denoiser.
        beside_teacher (`bool`, defaults to `False`): Save the teacher's pipeline with the result beside its denoiser: calls with few steps
            take it. Otherwise the result takes the teacher's place.
    """

    num_inference_steps: list[int] = field(default_factory=lambda: [1, 2, 4], metadata={"help": "Step counts that the result is for."})
    original_inference_steps: int = field(default=50, metadata={"help": "Noise levels between which the teacher steps."})
    guidance_range: list[float] | None = field(default=None, metadata={"help": "Lowest and highest guidance scale of the teacher."})
    guidance_scale: float | None = field(default=None, metadata={"help": "The result's default; the teacher's by default."})
    guidance_embedding_dim: int = field(default=256, metadata={"help": "Width of the guidance scale as an input."})
    ema_decay: float = field(default=0.95, metadata={"help": "Decay of the averaged student that gives the targets."})
    loss: str = field(default="huber", metadata={"help": "huber or l2."})
    huber_c: float = field(default=0.5, metadata={"help": "Where pseudo-Huber turns from squares to absolute values."})
    lora_rank: int = field(default=0, metadata={"help": "Rank of an adapter that is all that is trained; 0 trains a whole denoiser."})
    beside_teacher: bool = field(default=False, metadata={"help": "Save the teacher's pipeline with the result beside its denoiser."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(map(repr, LOSSES))}, got {self.loss!r}.")
        if not self.huber_c > 0 or not 0 <= self.ema_decay < 1 or self.lora_rank < 0:
            raise ValueError(
                f"huber_c must be positive, ema_decay in [0, 1) and lora_rank 0 or more, got {self.huber_c}, {self.ema_decay} and "
                f"{self.lora_rank}."
            )
        if self.guidance_range is not None and len(self.guidance_range) != 2:
            raise ValueError(f"guidance_range holds the lowest and the highest scale, got {self.guidance_range}.")
        if not self.num_inference_steps or not 1 <= max(self.num_inference_steps) <= self.original_inference_steps:
            raise ValueError(
                f"num_inference_steps must be from 1 to original_inference_steps={self.original_inference_steps}, got "
                f"{self.num_inference_steps}."
            )
        if self.lora_rank and self.beside_teacher:
            raise ValueError(
                "An adapter is saved alone and loaded beside any copy of its teacher; leave beside_teacher out with lora_rank."
            )


def check_teacher(teacher: TextDiffusionPipeline, levels: int, rows: Any = None) -> None:
    """Refuse teachers that cannot be distilled.

    Args:
        teacher (`TextDiffusionPipeline`): The pipeline.
        levels (`int`): `original_inference_steps`.
        rows (`datasets.Dataset`, *optional*): What it is to be distilled on.

    Raises:
        ValueError: If it is distilled already or reads its guidance scale, has fewer noise levels or no such schedule, or the rows are of
            another skeleton.
    """
    if teacher.config.few_steps is not None or teacher._reads_guidance:
        raise ValueError(
            "The teacher takes few steps already: its guidance is in its weights, and would be given twice. Pass the pipeline that it was "
            "distilled from."
        )
    config = teacher.scheduler.config
    if config.prediction_type not in PREDICTIONS or not hasattr(teacher.scheduler, "alphas_cumprod"):
        raise ValueError(
            f"{type(teacher.scheduler).__name__} with prediction_type={config.prediction_type!r} cannot be distilled; known are schedulers "
            f"with alphas_cumprod that predict {', '.join(map(repr, PREDICTIONS))}."
        )
    if levels > config.num_train_timesteps:
        raise ValueError(f"original_inference_steps={levels} is more than the {config.num_train_timesteps} levels of the teacher.")
    if rows is not None and len(rows):
        row, skeleton = rows[0], get_skeleton(teacher.feature_extractor.skeleton)
        joints = len(row["joints"]) / (3 * row["n_frames"])
        if joints != len(skeleton):
            raise ValueError(
                f"The teacher makes motions of {skeleton.name!r} with {len(skeleton)} joints, the data set's have {joints:g}. A student "
                "learns the representation of its teacher: pass the data that the teacher was trained on, or such."
            )


class DistillationObjective(nn.Module):
    """A student, the average of it that gives the targets, and how far the student's answers at one noise level are from the average's at
    the next, where the guided teacher leads (Luo et al. 2023, *Latent Consistency Models*, algorithm 1).

    Every random number of an example comes from its own seed.

    Args:
        teacher (`TextDiffusionPipeline`): Frozen.
        student (`torch.nn.Module`): Its denoiser, perhaps with a guidance scale as an input.
        scheduler (`LCMScheduler`): Of the student.
        few (`FewSteps`): What the student is for.
        args (`DistillationArguments`): Settings.
    """

    def __init__(
        self, teacher: TextDiffusionPipeline, student: nn.Module, scheduler: LCMScheduler, few: FewSteps, args: DistillationArguments
    ) -> None:
        super().__init__()
        self.student = student
        self.target = copy.deepcopy(student).requires_grad_(False).eval()
        self.few, self.args = few, args
        # In lists: what is not trained and not saved.
        self._frozen = [teacher, scheduler, DiffusionObjective(teacher, 0.0, train_text_encoder=False)]

    def train(self, mode: bool = True) -> DistillationObjective:
        """As usual, but the average keeps its dropout off."""
        super().train(mode)
        self.target.eval()
        return self

    @torch.no_grad()
    def update_target(self) -> None:
        """Take the student into the average."""
        trained = [(old, new) for old, new in zip(self.target.parameters(), self.student.parameters(), strict=True) if new.requires_grad]
        torch._foreach_lerp_([old for old, _ in trained], [new.detach() for _, new in trained], 1 - self.args.ema_decay)

    def forward(
        self,
        motion_features: Tensor,
        seeds: Tensor,
        text_states: Tensor,
        text_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            motion_features (`torch.Tensor`): Clean normalised features, (batch, frames, dim), or scaled latents, (batch, steps, ...).
            seeds (`torch.Tensor`): (batch,) int64.
            text_states (`torch.Tensor`): States of the texts.
            text_mask (`torch.Tensor`, *optional*): Their masks.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames; none where latents have no padding.

        Returns:
            `dict`: `loss`, the mean over clips of means over real frames.
        """
        scheduler, masks = self._frozen[1], {} if attention_mask is None else {"attention_mask": attention_mask}
        noise, index, scales = self._draw(motion_features, attention_mask, seeds)
        stride = scheduler.config.num_train_timesteps // self.args.original_inference_steps
        start = (index + 1) * stride - 1
        end = (start - stride).clamp(min=0)
        noisy = scheduler.add_noise(motion_features, noise, start)
        inputs = {"encoder_hidden_states": text_states, "encoder_attention_mask": text_mask, **masks}
        guided = dict(inputs)
        if self.few.guidance_embedded:
            guided["timestep_cond"] = guidance_embedding(scales - 1, self.args.guidance_embedding_dim)
        made = self._consistency(self.student, noisy, start, guided)
        with torch.no_grad():
            before = self._teacher_step(noisy, start, end, scales, text_states, text_mask, masks)
            wanted = self._consistency(self.target, before, end, guided)
        error = (made - wanted).square()
        if self.args.loss == "huber":
            error = (error + self.args.huber_c**2).sqrt() - self.args.huber_c
        error = error.flatten(2).mean(-1)
        if attention_mask is None:
            return {"loss": error.mean()}
        return {"loss": ((error * attention_mask).sum(1) / attention_mask.sum(1)).mean()}

    def _consistency(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, inputs: dict[str, Any]) -> Tensor:
        """Clean data as a consistency model gives them, with the boundary condition of `LCMScheduler`."""
        config = self._frozen[1].config
        prediction = denoiser(noisy, timesteps, **inputs).sample.float()
        clean, _ = clean_and_noise(prediction, noisy, timesteps, self._frozen[1].alphas_cumprod, config.prediction_type)
        scaled = (timesteps * config.timestep_scaling).float().reshape(-1, *[1] * (noisy.ndim - 1))
        total = scaled**2 + _DATA_DEVIATION**2
        return _DATA_DEVIATION**2 / total * noisy + scaled / total.sqrt() * clean

    def _teacher_step(
        self, noisy: Tensor, start: Tensor, end: Tensor, scales: Tensor, states: Tensor, text_mask: Tensor | None, masks: dict[str, Tensor]
    ) -> Tensor:
        """Where one guided step of DDIM leads."""
        teacher, scheduler, plain = self._frozen
        dropped, hidden = plain._drop_texts(states, text_mask, torch.zeros(len(states), dtype=torch.bool, device=states.device))
        both = {name: mask.repeat(2, *[1] * (mask.ndim - 1)) for name, mask in masks.items()}
        text = torch.cat((hidden, text_mask)) if text_mask is not None else None
        doubled = torch.cat((noisy, noisy)), torch.cat((start, start)), torch.cat((dropped, states)), text
        unconditional, conditional = teacher.denoiser(*doubled, **both).sample.float().chunk(2)
        prediction = unconditional + scales.reshape(-1, *[1] * (noisy.ndim - 1)) * (conditional - unconditional)
        clean, noise = clean_and_noise(prediction, noisy, start, scheduler.alphas_cumprod, scheduler.config.prediction_type)
        return scheduler.add_noise(clean, noise, end)

    def _draw(self, features: Tensor, attention_mask: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise on real frames, noise levels and guidance scales, each from its example's seed."""
        device, (low, high) = features.device, self.few.guidance_range
        lengths = [features.shape[1]] * len(features) if attention_mask is None else attention_mask.sum(1).tolist()
        noise = torch.zeros_like(features)
        index = torch.empty(len(features), dtype=torch.long, device=device)
        scales = torch.empty(len(features), device=device)
        for row, (seed, length) in enumerate(zip(seeds.tolist(), lengths, strict=True)):
            generator = torch.Generator(device).manual_seed(seed)
            index[row] = torch.randint(self.args.original_inference_steps, (), generator=generator, device=device)
            scales[row] = low + (high - low) * torch.rand((), generator=generator, device=device)
            noise[row, :length] = torch.randn(length, *features.shape[2:], generator=generator, device=device)
        return noise, index, scales


class DistillationTrainer(MotionTextTrainer):
    """Distils a pipeline. Checkpoints hold student, average, optimizer and random states, and resume exactly.

    Args:
        teacher (`TextDiffusionPipeline`): The pipeline; it stays as it is.
        args (`DistillationArguments`): Settings.
        train_dataset (`MotionTextDataset`): Clips.
        callbacks (`list[TrainerCallback]`, *optional*): More callbacks.

    Raises:
        ValueError: If the teacher cannot be distilled, see `check_teacher`, or the guidance scales are not in order.
    """

    ema = None
    """There is no average besides the targets'; callbacks ask."""

    def __init__(
        self,
        teacher: TextDiffusionPipeline,
        args: DistillationArguments,
        train_dataset: MotionTextDataset,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        check_teacher(teacher, args.original_inference_steps)
        warn_of_ungrounded(teacher, train_dataset.example_share)
        teacher.to(args.device)
        for part in (teacher.denoiser, teacher.text_encoder):
            part.requires_grad_(False).eval()
        self.teacher, self.few = teacher, _few_steps(teacher, args)
        scheduler = lcm_scheduler(teacher.scheduler, args.original_inference_steps)
        student = self._new_student(args)
        self.pipeline = _with_parts(teacher, denoiser=student, scheduler=scheduler, few_steps=self.few.to_config(),
                                    num_inference_steps=self.few.most_steps)  # fmt: skip
        captions = train_dataset.texts()
        warn_of_long_captions(captions, teacher.tokenizer, token_limit(teacher.text_encoder, teacher.config.max_text_tokens))
        latents = LatentCache(teacher.vae.eval(), train_dataset, not args.disable_tqdm) if hasattr(teacher, "vae") else None
        objective = DistillationObjective(teacher, self.adapted or student, scheduler, self.few, args)
        super().__init__(
            model=objective,
            args=args,
            train_dataset=train_dataset,
            data_collator=DiffusionCollator(teacher, captions, latents=latents),
            callbacks=[_TargetCallback(objective), *(callbacks or ())],
        )

    def _new_student(self, args: DistillationArguments) -> nn.Module:
        """A copy of the teacher's denoiser, with a guidance scale as an input, or with an adapter."""
        old, self.adapted = self.teacher.denoiser, None
        if args.lora_rank:
            from peft import LoraConfig, get_peft_model

            student = copy.deepcopy(old)
            layers = [name for name, module in student.named_modules() if isinstance(module, nn.Linear)]
            torch.manual_seed(args.seed)
            self.adapted = get_peft_model(student, LoraConfig(r=args.lora_rank, lora_alpha=args.lora_rank, target_modules=layers))
            return student
        student = type(old).from_config(old.config, time_cond_proj_dim=args.guidance_embedding_dim)
        missing = student.load_state_dict(old.state_dict(), strict=False)
        if missing.unexpected_keys or [name for name in missing.missing_keys if not name.startswith("guidance_projection.")]:
            raise ValueError(f"{type(old).__name__} does not take a guidance scale as an input: {missing}. Distil it with lora_rank.")
        return student.to(args.device)

    def save_pipeline(self, folder: str | Path, repo_id: str | None = None, record: TrainingRecord | None = None) -> None:
        """Save what has been distilled: a complete repository, or an adapter.

        Args:
            folder (`str` or `pathlib.Path`): Where to.
            repo_id (`str`, *optional*): Push it to the Hub too; not an adapter.
            record (`TrainingRecord`, *optional*): What its card tells of the training.
        """
        if not self.is_world_process_zero():
            return
        self.model.eval()
        if self.adapted is not None:
            save_few_step_adapter(self.adapted, self.few, self.teacher.feature_extractor, folder)
            return
        pipeline = self.pipeline
        if self.args.beside_teacher:
            pipeline = _with_parts(
                self.teacher, few_step_denoiser=pipeline.denoiser, few_step_scheduler=pipeline.scheduler, few_steps=self.few.to_config()
            )
            pipeline._source = self.teacher._source
        pipeline.save_pretrained(folder)
        if record is not None:
            record.write(Path(folder), repo_id)
            pipeline._source = Path(folder)  # whose card is pushed
        if repo_id is not None:
            pipeline.push_to_hub(repo_id, token=self.args.hub_token)
        leave_sign(Path(self.args.output_dir), Path(folder))


class _TargetCallback(TrainerCallback):
    """Updates the average after every optimisation step."""

    def __init__(self, objective: DistillationObjective) -> None:
        self.objective = objective

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.objective.update_target()


def _few_steps(teacher: TextDiffusionPipeline, args: DistillationArguments) -> FewSteps:
    usual = teacher.default_guidance
    low, high = args.guidance_range or (1 + (usual - 1) / 2, 1 + (usual - 1) * 2)
    schedule = {name: getattr(lcm_scheduler(teacher.scheduler, args.original_inference_steps).config, name) for name in SCHEDULE}
    scale = min(max(usual, low), high) if args.guidance_scale is None else args.guidance_scale
    return FewSteps(tuple(sorted(set(args.num_inference_steps))), (float(low), float(high)), float(scale), not args.lora_rank, schedule)


def _with_parts(pipeline: TextDiffusionPipeline, **changed: Any) -> Any:
    """The same pipeline with other parts or settings."""
    return type(pipeline)(**{**dict(_settings(pipeline)), **pipeline.components, **changed})


def _settings(pipeline: TextDiffusionPipeline) -> Iterator[tuple[str, Any]]:
    for name in inspect.signature(type(pipeline).__init__).parameters:
        if name != "self" and name not in pipeline.components and name in pipeline.config:
            yield name, pipeline.config[name]
