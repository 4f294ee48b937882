"""Diffusion-DPO: a diffusion pipeline learns from pairs of a better and a worse motion.

Wallace et al., "Diffusion Model Alignment Using Direct Preference Optimization" (2023), eq. 14, as their code computes it: at one
diffusion step and with one noise for both motions of a pair, the error of the better one is to fall, against a frozen reference, by more
than that of the worse one.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import TrainerCallback

from ..hub.training_card import TrainingRecord
from ..pipelines.motion_diffusion import MotionDiffusionPipeline
from ..preferences.pairs import Pair
from ..representation import MotionFeatureExtractor
from ..text_encoders import token_limit, warn_of_long_captions
from ..utils.training_folder import leave_sign
from .diffusion import DiffusionCollator, DiffusionObjective, warn_of_ungrounded
from .motion_text import MotionTextTrainer, MotionTextTrainingArguments

logger = logging.getLogger("hf_motion")

DENOISER_TUNINGS = ("full", "lora")


@dataclass
class DiffusionDPOArguments(MotionTextTrainingArguments):
    """`MotionTextTrainingArguments` and what Diffusion-DPO adds.

    Args:
        beta (`float`, defaults to 2000.0): How strongly the model is held to the reference; the paper finds 2000 to 5000 good for images.
            Its T and its weight of the diffusion step are part of it, as in the paper's code.
        denoiser_tuning (`str`, defaults to `"lora"`): `"lora"` trains an adapter on every linear layer, the reference is the model with the
            adapter off, and the adapter is merged into the finished checkpoint; `"full"` trains all weights against a frozen copy.
        denoiser_lora_rank (`int`, defaults to 8): Rank of the adapter.
        denoiser_lora_alpha (`int`, defaults to 16): Its alpha.
    """

    beta: float = field(default=2000.0, metadata={"help": "How strongly the model is held to the reference."})
    denoiser_tuning: str = field(default="lora", metadata={"help": "What of the denoiser to train: lora or full."})
    denoiser_lora_rank: int = field(default=8, metadata={"help": "Rank of the adapter."})
    denoiser_lora_alpha: int = field(default=16, metadata={"help": "Its alpha."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.beta > 0 and math.isfinite(self.beta)):
            raise ValueError(f"beta must be positive, got {self.beta}. The paper's are 2000 to 5000.")
        if self.denoiser_tuning not in DENOISER_TUNINGS:
            raise ValueError(f"denoiser_tuning must be one of {', '.join(map(repr, DENOISER_TUNINGS))}, got {self.denoiser_tuning!r}.")
        if self.denoiser_lora_rank < 1:
            raise ValueError(f"denoiser_lora_rank must be at least 1, got {self.denoiser_lora_rank}.")


class PreferenceDataset(Dataset):
    """Pairs as normalised features, for `MotionTextTrainer`.

    Args:
        pairs (`list[Pair]`): See `hf_motion.preferences.load_pairs`.
        feature_extractor (`MotionFeatureExtractor`): The pipeline's. Motions are cut at its `max_frames`.

    Raises:
        ValueError: If there is no pair, or a motion is too short for features or of another skeleton.
    """

    def __init__(self, pairs: Sequence[Pair], feature_extractor: MotionFeatureExtractor) -> None:
        if not pairs:
            raise ValueError("There are no pairs to learn from.")
        for pair in pairs:
            if min(len(motion.resample(feature_extractor.fps)) for motion in (pair.chosen, pair.rejected)) < 2:
                raise ValueError(f"Pair {pair.id!r} holds a motion of a single frame: it has no features. Leave it out.")
        self.ids, self.captions = [pair.id for pair in pairs], [pair.text for pair in pairs]
        longest = feature_extractor.max_frames
        whole = {side: [feature_extractor.encode(getattr(pair, side))[0] for pair in pairs] for side in ("chosen", "rejected")}
        cut = sum(max(map(len, both)) > longest for both in zip(*whole.values(), strict=True))
        if cut:
            logger.warning("In %d pairs a motion is longer than the %d frames that the model makes, and was cut.", cut, longest)
        self.chosen, self.rejected = ([features[:longest] for features in side] for side in whole.values())
        self.lengths = [max(map(len, both)) for both in zip(self.chosen, self.rejected, strict=True)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        """A pair, and the seed of its noise."""
        index, seed = item
        features = {"motion_features": self.chosen[index], "rejected_features": self.rejected[index]}
        return {**features, "caption": self.captions[index], "clip": index, "seed": seed}

    def texts(self) -> list[str]:
        """The different texts."""
        return list(dict.fromkeys(self.captions))

    def balanced_weights(self, balance: float, **factors: dict[str, float] | None) -> list[float]:
        """Every pair as often as any other.

        Raises:
            ValueError: If other weights are asked for: pairs have neither actions nor sources.
        """
        if balance or any(factors.values()):
            raise ValueError("Pairs are drawn evenly; leave balance, source_weights and caption_weights out.")
        return [1.0] * len(self)


class PreferenceCollator(DiffusionCollator):
    """Batches of `PreferenceDataset`: those of `DiffusionCollator` for the better motions, and `rejected_features`, `rejected_mask`."""

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad pairs and attach the states of their texts."""
        rejected = super().__call__([{**example, "motion_features": example["rejected_features"]} for example in examples])
        batch = super().__call__(examples)
        return {**batch, "rejected_features": rejected["motion_features"], "rejected_mask": rejected["attention_mask"]}


class DPOObjective(DiffusionObjective):
    """The denoiser and its loss on pairs. Dropout stays off, so that model and reference agree at the start: the first loss is ln 2.

    Args:
        pipeline (`MotionDiffusionPipeline`): The text encoder is frozen.
        beta (`float`): See `DiffusionDPOArguments`.
        reference (`torch.nn.Module`, *optional*): Frozen copy of the denoiser; by default the denoiser with its adapter off.
    """

    def __init__(self, pipeline: MotionDiffusionPipeline, beta: float, reference: nn.Module | None = None) -> None:
        super().__init__(pipeline, condition_dropout=0.0, train_text_encoder=False)
        self.beta = beta
        self._reference = [reference]  # in a list, lest it be trained and saved
        self._in_reference = False

    def train(self, mode: bool = True) -> DPOObjective:
        """As usual, but without dropout."""
        super().train(mode)
        self.denoiser.eval()
        return self

    def forward(
        self,
        motion_features: Tensor,
        attention_mask: Tensor,
        rejected_features: Tensor,
        rejected_mask: Tensor,
        seeds: Tensor,
        text_states: Tensor,
        text_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of a batch of pairs.

        Args:
            motion_features (`torch.Tensor`): Clean normalised features of the better motions, (pairs, frames, dim).
            attention_mask (`torch.Tensor`): (pairs, frames), 1 on their real frames.
            rejected_features (`torch.Tensor`): Those of the worse motions, (pairs, other frames, dim).
            rejected_mask (`torch.Tensor`): (pairs, other frames).
            seeds (`torch.Tensor`): (pairs,) int64: of the step and the noise of each pair.
            text_states (`torch.Tensor`): States of the texts.
            text_mask (`torch.Tensor`, *optional*): Their masks.

        Returns:
            `dict`: `loss`, the mean over pairs of -log sigmoid(-beta / 2 ((e_w - r_w) - (e_l - r_l))), e and r the mean squared errors of
            model and reference over real frames and features; `chosen_error`, `rejected_error`; `margin`, the mean of what is in the
            sigmoid, and `preferred`, the share of pairs in which it is positive.
        """
        states = text_states, text_mask
        better = self._errors(motion_features, attention_mask, seeds, *states)
        worse = self._errors(rejected_features, rejected_mask, seeds, *states)
        with torch.no_grad(), self._as_reference():
            reference = self._errors(motion_features, attention_mask, seeds, *states) - self._errors(
                rejected_features, rejected_mask, seeds, *states
            )
        margin = -self.beta / 2 * ((better - worse) - reference)
        return {
            "loss": -F.logsigmoid(margin).mean(), "chosen_error": better.mean(), "rejected_error": worse.mean(), "margin": margin.mean(),
            "preferred": (margin > 0).float().mean(),
        }  # fmt: skip

    def _errors(self, features: Tensor, mask: Tensor, seeds: Tensor, states: Tensor, text_mask: Tensor | None) -> Tensor:
        """Mean squared error of each motion over its real frames, (pairs,); the same seeds give the same step and noise."""
        noise, timesteps, _ = self._draw(features, mask, seeds)
        noisy = self.pipeline.scheduler.add_noise(features, noise, timesteps)
        denoiser = self._reference[0] if self._in_reference and self._reference[0] is not None else self.denoiser
        prediction = denoiser(noisy, timesteps, states, text_mask, mask).sample.float()
        error = (prediction - self.target(features, noise, timesteps)).square().mean(-1) * mask
        return error.sum(1) / mask.sum(1)

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        adapter_off = nullcontext() if self._reference[0] is not None else self.denoiser.disable_adapter()
        self._in_reference = True
        try:
            with adapter_off:
                yield
        finally:
            self._in_reference = False


class DiffusionDPOTrainer(MotionTextTrainer):
    """Trains a motion diffusion pipeline on pairs. Checkpoints resume exactly.

    Args:
        pipeline (`MotionDiffusionPipeline`): What to train, in place; it is its own reference.
        args (`DiffusionDPOArguments`): Settings.
        train_dataset (`PreferenceDataset`): Pairs.
        callbacks (`list[TrainerCallback]`, *optional*): More callbacks.

    Raises:
        ValueError: If one process sees several GPUs.
    """

    def __init__(
        self,
        pipeline: MotionDiffusionPipeline,
        args: DiffusionDPOArguments,
        train_dataset: PreferenceDataset,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        if args.n_gpu > 1:
            raise ValueError(f"One process cannot train on {args.n_gpu} GPUs. Start one process for each with `accelerate launch`.")
        warn_of_ungrounded(pipeline)
        self.pipeline = pipeline
        pipeline.to(args.device)
        pipeline.text_encoder.requires_grad_(False).eval()
        texts = train_dataset.texts()
        warn_of_long_captions(texts, pipeline.tokenizer, token_limit(pipeline.text_encoder, pipeline.config.max_text_tokens))
        objective = DPOObjective(pipeline, args.beta, self._reference(args))
        objective.denoiser = self.denoiser
        super().__init__(
            model=objective, args=args, train_dataset=train_dataset, data_collator=PreferenceCollator(pipeline, texts), callbacks=callbacks
        )

    def _reference(self, args: DiffusionDPOArguments) -> nn.Module | None:
        self.denoiser: Any = self.pipeline.denoiser
        if args.denoiser_tuning == "full":
            reference = copy.deepcopy(self.denoiser).requires_grad_(False).eval()
            self.denoiser.requires_grad_(True)
            return reference
        from peft import LoraConfig, get_peft_model

        layers = [name for name, module in self.denoiser.named_modules() if isinstance(module, nn.Linear)]
        config = LoraConfig(r=args.denoiser_lora_rank, lora_alpha=args.denoiser_lora_alpha, target_modules=layers)
        torch.manual_seed(args.seed)
        self.denoiser = get_peft_model(self.denoiser, config)
        return None

    def save_pipeline(self, folder: str | Path, repo_id: str | None = None, record: TrainingRecord | None = None) -> None:
        """Save the finished pipeline as a complete repository, an adapter merged into its weights. The trainer is done then.

        Args:
            folder (`str` or `pathlib.Path`): Where to.
            repo_id (`str`, *optional*): Push it to the Hub too.
            record (`TrainingRecord`, *optional*): What its card tells of the training.
        """
        if not self.is_world_process_zero():
            return
        if hasattr(self.denoiser, "merge_and_unload"):
            self.denoiser = self.model.denoiser = self.denoiser.merge_and_unload()
        self.pipeline.register_modules(denoiser=self.denoiser.eval())
        self.pipeline.save_pretrained(folder)
        if record is not None:
            record.write(Path(folder), repo_id)
            self.pipeline._source = Path(folder)  # whose card is pushed
        if repo_id is not None:
            self.pipeline.push_to_hub(repo_id, token=self.args.hub_token)
        leave_sign(Path(self.args.output_dir), Path(folder))
