"""Training a diffusion pipeline with transformers' `Trainer`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional as F
from torch.optim import Optimizer
from tqdm.auto import tqdm
from transformers import TrainerCallback
from transformers.utils import SAFE_WEIGHTS_NAME

from ..data.motion_text import MotionTextDataset, collate_motion_text
from ..hub.training_card import TrainingRecord
from ..nn.padding import pad_and_mask
from ..pipelines.motion_diffusion import MotionDiffusionPipeline
from ..retrieval.embedder import MotionTextEmbedder
from ..text_encoders import add_text_lora, has_lora, token_limit, warn_of_long_captions
from ..utils.training_folder import leave_sign
from .averaging import EMACallback, averaged_weights, trained_parameters
from .callbacks import EvaluateMotionsCallback, SampleMotionsCallback
from .feedback import QualityFeedback
from .latents import LatentCache
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments
from .planted_feet import PlantedFeet

TUNINGS = ("none", "lora", "full")
"""What of a text encoder may be trained."""

logger = logging.getLogger("hf_motion")

_EMA_NAME = "ema.safetensors"
_HALF_ABOVE = 8192  # texts: token states of more are kept in half precision, some 10 kB each


@dataclass
class DiffusionTrainingArguments(MotionTextTrainingArguments):
    """`MotionTextTrainingArguments` and what diffusion adds.

    Args:
        condition_dropout (`float`, defaults to 0.1): Probability of training an example without its text, for classifier-free guidance.
        ema_decay (`float`, defaults to 0.9999): Decay of the averaged weights that sampling and the finished checkpoint use; 0 turns
            averaging off.
        text_encoder_tuning (`str`, defaults to `"none"`): `"none"` freezes the text encoder, which is then run once per caption, before
            training; `"lora"` trains an adapter on it, as AdaQF does; `"full"` trains all of it.
        lora_rank (`int`, defaults to 16): Rank of a new adapter; its alpha is the same.
        lora_target_modules (`list[str]`, *optional*): Layers that it adapts; queries, keys, values and the MLP by default.
        text_encoder_learning_rate (`float`, *optional*): For the text encoder or its adapter; `learning_rate` by default, as in AdaQF.
        extractors (`str`, *optional*): Folder or repository of frozen extractors whose feedback on the predicted motion is added to the
            loss (AdaQF, eq. 5); none by default.
        motion_consistency_weight (`float`, defaults to 10.0): lambda_M of eq. 5.
        text_consistency_weight (`float`, defaults to 2.0): lambda_T of eq. 5.
        feature_weights (`dict[str, float]`, *optional*): Weight of slices of the features in the loss, by the names of
            `MotionFeatureExtractor.features.slices`; slices without one weigh 1. The published loss is unweighted.
        planted_feet_weight (`float`, defaults to 0.0): Adds so many times the `PlantedFeet` loss, for feet that slide less.
        timestep_power (`float`, defaults to 1.0): Diffusion steps are drawn with a density proportional to t ** (timestep_power - 1): 1
            evenly, as published, more favours noise. What a motion will be is settled in the first few of 50 steps; of rare actions that
            is what is learned last.
    """

    condition_dropout: float = field(default=0.1, metadata={"help": "Probability of training an example without its text."})
    ema_decay: float = field(default=0.9999, metadata={"help": "Decay of the averaged weights; 0 turns averaging off."})
    text_encoder_tuning: str = field(default="none", metadata={"help": "What of the text encoder to train: none, lora or full."})
    lora_rank: int = field(default=16, metadata={"help": "Rank of a new adapter."})
    lora_target_modules: list[str] | None = field(default=None, metadata={"help": "Layers that it adapts; Q, K, V and MLP by default."})
    text_encoder_learning_rate: float | None = field(
        default=None, metadata={"help": "For the text encoder or its adapter, learning_rate by default."}
    )
    extractors: str | None = field(default=None, metadata={"help": "Frozen extractors whose feedback is added to the loss (AdaQF)."})
    motion_consistency_weight: float = field(default=10.0, metadata={"help": "lambda_M of AdaQF."})
    text_consistency_weight: float = field(default=2.0, metadata={"help": "lambda_T of AdaQF."})
    feature_weights: dict[str, float] | str | None = field(
        default=None, metadata={"help": "Weight of slices of the features in the loss, such as {root_height: 2}; the rest weigh 1."}
    )
    planted_feet_weight: float = field(default=0.0, metadata={"help": "Weight of the loss on standing feet that slide."})
    timestep_power: float = field(default=1.0, metadata={"help": "Prefer noisy diffusion steps: 1 draws evenly, 3 much noise."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.timestep_power > 0:
            raise ValueError(f"timestep_power must be positive (1 draws diffusion steps evenly), got {self.timestep_power}.")
        if not self.planted_feet_weight >= 0:
            raise ValueError(f"planted_feet_weight must be 0 or more, got {self.planted_feet_weight}.")
        if not 0 <= self.condition_dropout < 1:
            raise ValueError(f"condition_dropout must be in [0, 1), got {self.condition_dropout}.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}.")
        if self.text_encoder_tuning not in TUNINGS:
            raise ValueError(f"text_encoder_tuning must be one of {', '.join(map(repr, TUNINGS))}, got {self.text_encoder_tuning!r}.")
        if isinstance(self.feature_weights, str):
            self.feature_weights = json.loads(self.feature_weights)


class DiffusionObjective(nn.Module):
    """A pipeline's trainable parts and their loss.

    Every random number of an example comes from its own seed: the loss does not depend on batch neighbours, padding or the number of
    processes.

    Args:
        pipeline (`MotionDiffusionPipeline`): With a denoiser, a text encoder and a scheduler.
        condition_dropout (`float`): Probability of training without the text.
        train_text_encoder (`bool`): Whether the text encoder is part of it: those of its weights that want a gradient are trained.
        feature_weights (`dict[str, float]`, *optional*): See `DiffusionTrainingArguments`.
        feedback (`QualityFeedback`, *optional*): AdaQF's constraints on the predicted motion.
        timestep_power (`float`, defaults to 1.0): See `DiffusionTrainingArguments`.
        planted_feet_weight (`float`, defaults to 0.0): See `DiffusionTrainingArguments`.

    Raises:
        ValueError: If a weight is negative, or names no slice of the features; or there is feedback or a loss on feet, but the denoiser
            predicts noise.
    """

    def __init__(
        self,
        pipeline: MotionDiffusionPipeline,
        condition_dropout: float,
        train_text_encoder: bool,
        feature_weights: dict[str, float] | None = None,
        feedback: QualityFeedback | None = None,
        timestep_power: float = 1.0,
        planted_feet_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.denoiser = pipeline.denoiser
        self.text_encoder = pipeline.text_encoder if train_text_encoder else None
        self._pipeline = [pipeline]  # in a list, lest its modules be registered twice
        self._feedback = [feedback]  # the same: extractors are no part of what is trained and saved
        self._nothing: tuple[Tensor, Tensor | None] | None = None
        self.condition_dropout, self.timestep_power = condition_dropout, timestep_power
        self.register_buffer("feature_weights", self._feature_weights(feature_weights or {}), persistent=False)
        prediction = pipeline.scheduler.config.prediction_type
        if hasattr(pipeline, "vae") and (feedback is not None or planted_feet_weight):
            raise ValueError("Feedback and planted_feet_weight judge features; a latent diffusion predicts latents. Leave them out.")
        if (feedback is not None or planted_feet_weight) and prediction != "sample":
            raise ValueError(
                "Feedback and planted_feet_weight judge predicted motion: they need a scheduler with prediction_type='sample', got "
                f"{prediction!r}."
            )
        self.planted_feet_weight = planted_feet_weight
        self.planted_feet = PlantedFeet(pipeline.feature_extractor, pipeline.scheduler.alphas_cumprod) if planted_feet_weight else None

    def _feature_weights(self, weights: dict[str, float]) -> Tensor:
        """One weight per feature, 1 on average, so that the loss keeps its scale."""
        if hasattr(self.pipeline, "vae"):
            if weights:
                raise ValueError(f"feature_weights are for diffusion of features; a latent has no {sorted(weights)}. Leave them out.")
            return torch.ones(1)
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

    def train(self, mode: bool = True) -> DiffusionObjective:
        """As usual, but a text encoder that is adapted keeps its dropout off: the paper's has none, and a small adapter needs none."""
        super().train(mode)
        if self.text_encoder is not None and has_lora(self.text_encoder):
            self.text_encoder.eval()
        return self

    def forward(self, motion_features: Tensor, seeds: Tensor, attention_mask: Tensor | None = None, **text: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            motion_features (`torch.Tensor`): Clean normalised features, (batch, frames, dim), or scaled latents, (batch, steps, ...).
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames; none where latents have no padding.
            seeds (`torch.Tensor`): (batch,) int64.
            **text (`torch.Tensor`): `input_ids` and `text_mask` for a text encoder that is trained, `text_states` and perhaps
                `text_mask` for one that is not; with feedback also `text_embeds`, and `real_embeds` where they are known.

        Returns:
            `dict`: `loss`, by itself the mean over clips of the squared error over their real frames. What is added to that, and the `mse`
            without it, is given too: `foot_slide` where it has a weight, and with feedback `motion_consistency` and `text_consistency`
            (AdaQF, eq. 5).
        """
        scheduler = self.pipeline.scheduler
        if self.text_encoder is not None:
            states, text_mask = self.pipeline.encode_tokens(text["input_ids"], text["text_mask"], self.text_encoder)
        else:
            states, text_mask = text["text_states"], text.get("text_mask")
        masks = {} if attention_mask is None else {"attention_mask": attention_mask}
        if attention_mask is None:
            attention_mask = torch.ones(motion_features.shape[:2], dtype=torch.long, device=motion_features.device)
        noise, timesteps, keep = self._draw(motion_features, attention_mask, seeds)
        states, text_mask = self._drop_texts(states, text_mask, keep)
        noisy = scheduler.add_noise(motion_features, noise, timesteps)
        prediction = self.denoiser(noisy, timesteps, states, text_mask, **masks).sample
        error = (prediction.float() - self.target(motion_features, noise, timesteps)).square() * self.feature_weights
        error = error.flatten(2).mean(-1) * attention_mask
        mse = loss = (error.sum(1) / attention_mask.sum(1)).mean()
        parts: dict[str, Tensor] = {}
        if self.planted_feet is not None:
            parts["foot_slide"] = self.planted_feet(prediction, motion_features, attention_mask, timesteps)
            loss = loss + self.planted_feet_weight * parts["foot_slide"]
        feedback = self._feedback[0]
        if feedback is not None:
            consistency = feedback(prediction, motion_features, attention_mask, text["text_embeds"], keep, text.get("real_embeds"))
            loss, parts = loss + feedback.weighted(consistency), {**parts, **consistency}
        return {"loss": loss, "mse": mse, **parts} if parts else {"loss": loss}

    def _drop_texts(self, states: Tensor, text_mask: Tensor | None, keep: Tensor) -> tuple[Tensor, Tensor | None]:
        """States with what stands for no text where texts are not kept, and their masks."""
        kept = keep.view(-1, *[1] * (states.ndim - 1))
        if self.pipeline._null_text is None:
            return states * kept.to(states), text_mask
        if self._nothing is None or self.text_encoder is not None:
            with torch.set_grad_enabled(self.text_encoder is not None and torch.is_grad_enabled()):
                self._nothing = self.pipeline.encode_prompt([self.pipeline._null_text])
        nothing, hidden = (part.to(states.device) if part is not None else None for part in self._nothing)
        if states.ndim == 3:
            nothing = F.pad(nothing, (0, 0, 0, states.shape[1] - nothing.shape[1]))
            text_mask = torch.where(keep[:, None], text_mask, F.pad(hidden, (0, text_mask.shape[1] - hidden.shape[1])))
        return torch.where(kept, states, nothing.to(states)), text_mask

    def target(self, features: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser is to predict of noisy features, of their shape."""
        scheduler = self.pipeline.scheduler
        return {
            "sample": lambda: features,
            "epsilon": lambda: noise,
            "v_prediction": lambda: scheduler.get_velocity(features, noise, timesteps),
        }[scheduler.config.prediction_type]()

    def _draw(self, features: Tensor, attention_mask: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise on real frames, diffusion steps, and whether to keep the text, each from its example's seed."""
        device = features.device
        noise = torch.zeros_like(features)
        timesteps = torch.empty(len(features), dtype=torch.long, device=device)
        keep = torch.empty(len(features), dtype=torch.bool, device=device)
        steps = self.pipeline.scheduler.config.num_train_timesteps
        for index, (seed, length) in enumerate(zip(seeds.tolist(), attention_mask.sum(1).tolist(), strict=True)):
            generator = torch.Generator(device).manual_seed(seed)
            if self.timestep_power == 1:  # the same draws as before there was an option
                timesteps[index] = torch.randint(steps, (), generator=generator, device=device)
            else:
                share = torch.rand((), generator=generator, device=device, dtype=torch.float64) ** (1 / self.timestep_power)
                timesteps[index] = (share * steps).long().clamp_max(steps - 1)
            keep[index] = torch.rand((), generator=generator, device=device) >= self.condition_dropout
            noise[index, :length] = torch.randn(length, *features.shape[2:], generator=generator, device=device)
        return noise, timesteps, keep


class DiffusionCollator:
    """Batches of `MotionTextDataset` with their texts.

    Args:
        pipeline (`MotionDiffusionPipeline`): Tokenizes, or encodes in advance.
        captions (`list[str]`, *optional*): If given, these are encoded now and looked up later: for a frozen text encoder. Token states
            of more than 8,192 texts are kept in half precision, and a line says so.
        embeds (`dict[str, torch.Tensor]`, *optional*): What the feedback's extractors make of each caption.
        real (`list[torch.Tensor]`, *optional*): What they make of each clip that is never cut, None for others.
        show_progress (`bool`, defaults to `False`): Show a progress bar while captions are encoded.
        latents (`LatentCache`, *optional*): Puts latents in the place of features.
    """

    def __init__(
        self,
        pipeline: MotionDiffusionPipeline,
        captions: Sequence[str] | None = None,
        embeds: dict[str, Tensor] | None = None,
        real: Sequence[Tensor | None] | None = None,
        show_progress: bool = False,
        latents: LatentCache | None = None,
    ) -> None:
        self.pipeline, self.embeds, self.real, self.latents = pipeline, embeds, real, latents
        self.cache: dict[str, Tensor] | None = None
        self.half = False
        if captions is not None:
            self.cache = {}
            self.half = len(captions) > _HALF_ABOVE
            with torch.no_grad():
                for start in tqdm(range(0, len(captions), 256), desc="Encoding captions", disable=not show_progress):
                    batch = captions[start : start + 256]
                    states, mask = pipeline.encode_prompt(batch)
                    for caption, state, valid in zip(
                        batch, states.cpu(), mask.cpu() if mask is not None else [None] * len(batch), strict=True
                    ):
                        if valid is not None:
                            state = state[valid.bool()].half() if self.half else state[valid.bool()]
                        self.cache[caption] = state
            if self.half and valid is not None:
                logger.warning("Token states of %d texts are kept in half precision.", len(captions))

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad clips and attach `input_ids` and `text_mask`, or `text_states` and, for tokens, `text_mask`."""
        batch = collate_motion_text(examples)
        captions = batch.pop("captions")
        if self.latents is not None:
            batch = {**self.latents(examples), "seeds": batch["seeds"]}
        if self.embeds is not None:
            batch["text_embeds"] = torch.stack([self.embeds[caption] for caption in captions])
        if self.real is not None:
            known = [self.real[example["clip"]] for example in examples]
            if all(embedding is not None for embedding in known):
                batch["real_embeds"] = torch.stack(known)
        if self.cache is None:
            tokens = self.pipeline.tokenize(captions)
            return {**batch, "input_ids": tokens["input_ids"], "text_mask": tokens["attention_mask"]}
        states = [
            torch.cat((self.cache[caption], self.cache[example["example"]])) if "example" in example else self.cache[caption]
            for caption, example in zip(captions, examples, strict=True)
        ]
        if states[0].ndim == 1:
            return {**batch, "text_states": torch.stack(states)}
        padded, mask = pad_and_mask(states)
        return {**batch, "text_states": padded.float() if self.half else padded, "text_mask": mask}


def warn_of_ungrounded(pipeline: MotionDiffusionPipeline, example_share: float = 0.0) -> None:
    """Say so if a pipeline reads its prompts beside plain sentences (`ground_prompts`), and a training shows it prompts alone."""
    if pipeline.config.get("ground_prompts") and not example_share:
        logger.warning(
            "This pipeline reads prompts beside plain sentences of the actions that it knows (ground_prompts), and is trained on prompts "
            "alone now; with --paraphrases and --example_share, where there are these options, on both."
        )


class DiffusionTrainer(MotionTextTrainer):
    """Trains a motion diffusion pipeline, with averaged weights; with extractors, by AdaQF's objective.

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
        trains_text = self._prepare_text_encoder(args)
        warn_of_ungrounded(pipeline, train_dataset.example_share)
        if train_dataset.example_share and (trains_text or pipeline.denoiser.config.text_conditioning != "tokens"):
            raise ValueError(
                "example_share sets the tokens of two sentences beside each other: it needs a denoiser with text_conditioning='tokens' and "
                "text_encoder_tuning='none'."
            )
        pipeline.to(args.device)
        captions = train_dataset.texts()
        warn_of_long_captions(captions, pipeline.tokenizer, token_limit(pipeline.text_encoder, pipeline.config.max_text_tokens))
        feedback = embeds = real = None
        if args.extractors is not None:
            embedder = MotionTextEmbedder.from_pretrained(args.extractors, args.device)
            weights = args.motion_consistency_weight, args.text_consistency_weight
            feedback = QualityFeedback(embedder, pipeline.feature_extractor, *weights).to(args.device)
            embeds = feedback.embed_captions(captions, train_dataset.tags)
            real = feedback.embed_clips(train_dataset)
        latents = None
        if hasattr(pipeline, "vae"):
            pipeline.vae.requires_grad_(False).eval()
            latents = LatentCache(pipeline.vae, train_dataset, not args.disable_tqdm)
        objective = DiffusionObjective(
            pipeline,
            args.condition_dropout,
            trains_text,
            args.feature_weights,
            feedback,
            args.timestep_power,
            args.planted_feet_weight,
        )
        self.ema = EMAModel(trained_parameters(objective), decay=args.ema_decay, foreach=True) if args.ema_decay else None
        # Before all that look at a step's average.
        averaging = [EMACallback(self.ema, objective)] if self.ema is not None else []
        super().__init__(
            model=objective,
            args=args,
            train_dataset=train_dataset,
            data_collator=DiffusionCollator(pipeline, None if trains_text else captions, embeds, real, not args.disable_tqdm, latents),
            callbacks=[*averaging, *(callbacks or ())],
        )
        watched = [one for one in callbacks or () if isinstance(one, (EvaluateMotionsCallback, SampleMotionsCallback)) and one.every]
        if self.is_fsdp_enabled and (self.ema is not None or watched):
            raise ValueError(
                "While weights are shared out between processes (FSDP) they are neither averaged nor sampled from; pass ema_decay=0, "
                "score_steps=0 and sample_steps=0, or use gpu_multi.yaml."
            )
        for callback in callbacks or ():
            if isinstance(callback, (EvaluateMotionsCallback, SampleMotionsCallback)):
                callback.trainer = self

    def _prepare_text_encoder(self, args: DiffusionTrainingArguments) -> bool:
        """Say which of its weights are trained; whether any are."""
        encoder, tuning = self.pipeline.text_encoder, args.text_encoder_tuning
        encoder.requires_grad_(tuning == "full")
        if tuning == "none":
            encoder.eval()
        elif tuning == "lora" and has_lora(encoder):
            encoder.set_adapter(encoder.active_adapters())  # wants gradients again
        elif tuning == "lora":
            name = encoder.name_or_path
            base = name if name and not Path(name).exists() else None
            add_text_lora(encoder, args.lora_rank, base=base, target_modules=args.lora_target_modules)
        return tuning != "none"

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Optimizer:
        """The optimizer of `transformers.Trainer`; the text encoder's weights in groups of their own if they have a rate of their own."""
        optimizer = super().create_optimizer(*args, **kwargs)
        rate, encoder = self.args.text_encoder_learning_rate, self.model.text_encoder
        if rate is not None and encoder is not None:
            texts = {id(parameter) for parameter in encoder.parameters()}
            parts = [
                {**group, "lr": rate if of_text else group["lr"], "params": [p for p in group["params"] if (id(p) in texts) == of_text]}
                for group in optimizer.param_groups
                for of_text in (False, True)
            ]
            optimizer.param_groups[:] = [part for part in parts if part["params"]]
        return optimizer

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """One step of `transformers.Trainer`, and how strong the gradient is that reaches the text encoder."""
        loss = super().training_step(*args, **kwargs)
        if self.model.text_encoder is not None and self.accelerator.sync_gradients:
            gradients = [parameter.grad for parameter in self.model.text_encoder.parameters() if parameter.grad is not None]
            if gradients:
                norm = torch.nn.utils.get_total_norm(gradients)
                self.note(text_encoder_grad_norm=norm.full_tensor() if isinstance(norm, DTensor) else norm)
        return loss

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        state_dict = self.model.state_dict() if state_dict is None else state_dict
        # T5 has its word embeddings under two names, and safetensors holds no tensor twice.
        first = {tensor.data_ptr() or name: name for name, tensor in reversed(state_dict.items())}
        once = set(first.values())
        super()._save(output_dir, {name: tensor if name in once else tensor.clone() for name, tensor in state_dict.items()})
        if self.ema is not None and self.args.should_save:
            names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
            weights = {name: weight.contiguous() for name, weight in zip(names, self.ema.shadow_params, strict=True)}
            step = {"optimization_step": str(self.ema.optimization_step)}
            save_file(weights, Path(output_dir or self.args.output_dir) / _EMA_NAME, metadata=step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        path = Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME
        if path.is_file():
            with safe_open(path, framework="pt") as file:
                other = sorted(set(self.model.state_dict()) ^ set(file.keys()))
            if other:
                raise ValueError(
                    f"{resume_from_checkpoint!r} was trained with another text_encoder_tuning or denoiser: {len(other)} weights are only "
                    f"there or only here, such as {other[0]}. Go on with its settings, or start anew in another folder."
                )
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.ema is not None:
            path = Path(resume_from_checkpoint) / _EMA_NAME
            if not path.is_file():
                raise ValueError(f"{resume_from_checkpoint!r} was saved without averaged weights. Go on with ema_decay=0, or start anew.")
            names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
            with safe_open(path, framework="pt") as file:
                self.ema.shadow_params = [file.get_tensor(name).to(self.args.device) for name in names]
                self.ema.optimization_step = int(file.metadata()["optimization_step"])

    def save_pipeline(
        self, folder: str | Path, repo_id: str | None = None, token: str | None = None, record: TrainingRecord | None = None
    ) -> None:
        """Save the finished pipeline, with the averaged weights if there are any, as a complete repository.

        Args:
            folder (`str` or `pathlib.Path`): Where to.
            repo_id (`str`, *optional*): Push it to the Hub too.
            token (`str`, *optional*): Access token.
            record (`TrainingRecord`, *optional*): What its card tells of the training.
        """
        self._put_together()
        if not self.is_world_process_zero():
            return
        with averaged_weights(self.ema, self.model):
            self.pipeline.save_pretrained(folder)
            if record is not None:
                record.write(Path(folder), repo_id)
                self.pipeline._source = Path(folder)  # whose card is pushed
            if repo_id is not None:
                self.pipeline.push_to_hub(repo_id, token=token)
        leave_sign(Path(self.args.output_dir), Path(folder))

    def _put_together(self) -> None:
        """Make whole weights of those that are shared out between processes (FSDP)."""
        for module in self.model.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                if isinstance(weight, DTensor):
                    module.register_parameter(name, nn.Parameter(weight.full_tensor(), weight.requires_grad))
