"""Training a diffusion pipeline with transformers' `Trainer`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from ..data.motion_text import MotionTextDataset, collate_motion_text, pad_and_mask
from ..pipelines.motion_diffusion import MotionDiffusionPipeline
from .averaging import EMACallback, averaged_weights
from .callbacks import SampleMotionsCallback
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments

_EMA_NAME = "ema.safetensors"


@dataclass
class DiffusionTrainingArguments(MotionTextTrainingArguments):
    """`MotionTextTrainingArguments` and what diffusion adds.

    Args:
        condition_dropout (`float`, defaults to 0.1): Probability of training an example without its text, for classifier-free guidance.
        ema_decay (`float`, defaults to 0.9999): Decay of the averaged weights that sampling and the finished checkpoint use; 0 turns
            averaging off.
        train_text_encoder (`bool`, defaults to `False`): Train the text encoder too. A frozen one is run once per caption, before training.
        feature_weights (`dict[str, float]`, *optional*): Weight of slices of the features in the loss, by the names of
            `MotionFeatureExtractor.features.slices`; slices without one weigh 1. The published loss is unweighted.
    """

    condition_dropout: float = field(default=0.1, metadata={"help": "Probability of training an example without its text."})
    ema_decay: float = field(default=0.9999, metadata={"help": "Decay of the averaged weights; 0 turns averaging off."})
    train_text_encoder: bool = field(default=False, metadata={"help": "Train the text encoder too."})
    feature_weights: dict[str, float] | str | None = field(
        default=None, metadata={"help": "Weight of slices of the features in the loss, such as {root_height: 2}; the rest weigh 1."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.condition_dropout < 1:
            raise ValueError(f"condition_dropout must be in [0, 1), got {self.condition_dropout}.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}.")
        if isinstance(self.feature_weights, str):
            self.feature_weights = json.loads(self.feature_weights)


class DiffusionObjective(nn.Module):
    """A pipeline's trainable parts and their loss.

    Every random number of an example comes from its own seed: the loss does not depend on batch neighbours, padding or the number of
    processes.

    Args:
        pipeline (`MotionDiffusionPipeline`): With a denoiser, a text encoder and a scheduler.
        condition_dropout (`float`): Probability of training without the text.
        train_text_encoder (`bool`): Whether the text encoder is part of it.
        feature_weights (`dict[str, float]`, *optional*): See `DiffusionTrainingArguments`.

    Raises:
        ValueError: If a weight is negative, or names no slice of the features.
    """

    def __init__(
        self,
        pipeline: MotionDiffusionPipeline,
        condition_dropout: float,
        train_text_encoder: bool,
        feature_weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.denoiser = pipeline.denoiser
        self.text_encoder = pipeline.text_encoder if train_text_encoder else None
        self._pipeline = [pipeline]  # in a list, lest its modules be registered twice
        self.condition_dropout = condition_dropout
        self.register_buffer("feature_weights", self._feature_weights(feature_weights or {}), persistent=False)

    def _feature_weights(self, weights: dict[str, float]) -> Tensor:
        """One weight per feature, 1 on average, so that the loss keeps its scale."""
        slices = self.pipeline.feature_extractor.features.slices
        if unknown := sorted(set(weights) - set(slices)):
            raise ValueError(f"feature_weights names {unknown}; the slices of these features are {sorted(slices)}.")
        if min(weights.values(), default=0) < 0:
            raise ValueError(f"feature_weights must not be negative, got {weights}.")
        per_feature = torch.ones(self.pipeline.feature_extractor.dim)
        for name, weight in weights.items():
            per_feature[slices[name]] = weight
        return per_feature / per_feature.mean()

    @property
    def pipeline(self) -> MotionDiffusionPipeline:
        """The pipeline that these parts belong to."""
        return self._pipeline[0]

    def forward(self, motion_features: Tensor, attention_mask: Tensor, seeds: Tensor, **text: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            motion_features (`torch.Tensor`): Clean normalised features, (batch, frames, dim).
            attention_mask (`torch.Tensor`): (batch, frames), 1 on real frames.
            seeds (`torch.Tensor`): (batch,) int64.
            **text (`torch.Tensor`): `input_ids` and `text_mask` for a text encoder that is trained, `text_states` and perhaps
                `text_mask` for one that is not.

        Returns:
            `dict`: `loss`, the mean over clips of the squared error over their real frames.
        """
        scheduler = self.pipeline.scheduler
        if self.text_encoder is not None:
            states, text_mask = self.pipeline.encode_tokens(text["input_ids"], text["text_mask"], self.text_encoder)
        else:
            states, text_mask = text["text_states"], text.get("text_mask")
        noise, timesteps, keep = self._draw(motion_features, attention_mask, seeds)
        states = states * keep.view(-1, *[1] * (states.ndim - 1)).to(states)
        noisy = scheduler.add_noise(motion_features, noise, timesteps)
        prediction = self.denoiser(noisy, timesteps, states, text_mask, attention_mask).sample
        target = {
            "sample": lambda: motion_features,
            "epsilon": lambda: noise,
            "v_prediction": lambda: scheduler.get_velocity(motion_features, noise, timesteps),
        }[scheduler.config.prediction_type]()
        error = ((prediction.float() - target).square() * self.feature_weights).mean(-1) * attention_mask
        return {"loss": (error.sum(1) / attention_mask.sum(1)).mean()}

    def _draw(self, features: Tensor, attention_mask: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise on real frames, diffusion steps, and whether to keep the text, each from its example's seed."""
        device = features.device
        noise = torch.zeros_like(features)
        timesteps = torch.empty(len(features), dtype=torch.long, device=device)
        keep = torch.empty(len(features), dtype=torch.bool, device=device)
        steps = self.pipeline.scheduler.config.num_train_timesteps
        for index, (seed, length) in enumerate(zip(seeds.tolist(), attention_mask.sum(1).tolist(), strict=True)):
            generator = torch.Generator(device).manual_seed(seed)
            timesteps[index] = torch.randint(steps, (), generator=generator, device=device)
            keep[index] = torch.rand((), generator=generator, device=device) >= self.condition_dropout
            noise[index, :length] = torch.randn(length, features.shape[-1], generator=generator, device=device)
        return noise, timesteps, keep


class DiffusionCollator:
    """Batches of `MotionTextDataset` with their texts.

    Args:
        pipeline (`MotionDiffusionPipeline`): Tokenizes, or encodes in advance.
        captions (`list[str]`, *optional*): If given, these are encoded now and looked up later: for a frozen text encoder.
    """

    def __init__(self, pipeline: MotionDiffusionPipeline, captions: Sequence[str] | None = None) -> None:
        self.pipeline = pipeline
        self.cache: dict[str, Tensor] | None = None
        if captions is not None:
            self.cache = {}
            with torch.no_grad():
                for start in range(0, len(captions), 256):
                    batch = captions[start : start + 256]
                    states, mask = pipeline.encode_prompt(batch)
                    for caption, state, valid in zip(
                        batch, states.cpu(), mask.cpu() if mask is not None else [None] * len(batch), strict=True
                    ):
                        self.cache[caption] = state if valid is None else state[valid.bool()]

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad clips and attach `input_ids` and `text_mask`, or `text_states` and, for tokens, `text_mask`."""
        batch = collate_motion_text(examples)
        captions = batch.pop("captions")
        if self.cache is None:
            tokens = self.pipeline.tokenize(captions)
            return {**batch, "input_ids": tokens["input_ids"], "text_mask": tokens["attention_mask"]}
        states = [self.cache[caption] for caption in captions]
        if states[0].ndim == 1:
            return {**batch, "text_states": torch.stack(states)}
        padded, mask = pad_and_mask(states)
        return {**batch, "text_states": padded, "text_mask": mask}


class DiffusionTrainer(MotionTextTrainer):
    """Trains a motion diffusion pipeline, with averaged weights.

    Checkpoints hold model, averaged weights, optimizer, scheduler and random states, and resume exactly. `last_checkpoint` finds the newest
    one that was written to its end.

    Args:
        pipeline (`MotionDiffusionPipeline`): What to train; its components are trained in place.
        args (`DiffusionTrainingArguments`): Settings.
        train_dataset (`MotionTextDataset`): Clips.
        callbacks (`list[TrainerCallback]`, *optional*): More callbacks.
    """

    def __init__(
        self,
        pipeline: MotionDiffusionPipeline,
        args: DiffusionTrainingArguments,
        train_dataset: MotionTextDataset,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.pipeline = pipeline
        if args.n_gpu > 1:
            raise ValueError(f"One process cannot train on {args.n_gpu} GPUs. Start one process for each with `accelerate launch`.")
        pipeline.text_encoder.requires_grad_(args.train_text_encoder)
        if not args.train_text_encoder:
            pipeline.text_encoder.eval()
        pipeline.to(args.device)
        captions = None if args.train_text_encoder else sorted({text for texts in train_dataset.captions for text in texts})
        objective = DiffusionObjective(pipeline, args.condition_dropout, args.train_text_encoder, args.feature_weights)
        super().__init__(
            model=objective,
            args=args,
            train_dataset=train_dataset,
            data_collator=DiffusionCollator(pipeline, captions),
            callbacks=callbacks,
        )
        self.ema = EMAModel(objective.parameters(), decay=args.ema_decay, foreach=True) if args.ema_decay else None
        if self.ema is not None:
            self.add_callback(EMACallback(self.ema, objective))
        for callback in callbacks or ():
            if isinstance(callback, SampleMotionsCallback):
                callback.ema = self.ema

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.ema is not None and self.args.should_save:
            names = [name for name, _ in self.model.named_parameters()]
            weights = {name: weight.contiguous() for name, weight in zip(names, self.ema.shadow_params, strict=True)}
            step = {"optimization_step": str(self.ema.optimization_step)}
            save_file(weights, Path(output_dir or self.args.output_dir) / _EMA_NAME, metadata=step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.ema is not None:
            path = Path(resume_from_checkpoint) / _EMA_NAME
            if not path.is_file():
                raise ValueError(f"{resume_from_checkpoint!r} was saved without averaged weights. Go on with ema_decay=0, or start anew.")
            with safe_open(path, framework="pt") as file:
                self.ema.shadow_params = [file.get_tensor(name).to(self.args.device) for name, _ in self.model.named_parameters()]
                self.ema.optimization_step = int(file.metadata()["optimization_step"])

    def save_pipeline(self, folder: str | Path, repo_id: str | None = None, token: str | None = None) -> None:
        """Save the finished pipeline, with the averaged weights if there are any, as a complete repository.

        Args:
            folder (`str` or `pathlib.Path`): Where to.
            repo_id (`str`, *optional*): Push it to the Hub too.
            token (`str`, *optional*): Access token.
        """
        if not self.is_world_process_zero():
            return
        with averaged_weights(self.ema, self.model):
            self.pipeline.save_pretrained(folder)
            if repo_id is not None:
                self.pipeline.push_to_hub(repo_id, token=token)
