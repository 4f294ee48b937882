"""Preference tuning of motion language models (AToM, Han et al., 2024): DPO, IPO and their kin, by TRL where it can."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..models.motion_language.new_tokens import keep_own_head
from ..preferences.pairs import Pair
from ..utils.extras import require
from .motion_language import LanguageTrainer, layers_of
from .steps import AnyDevice, WithClips
from .videos import NO_VIDEO, ShownVideos, WithVideos

logger = logging.getLogger("hf_motion")

trl = require("trl", "Preference tuning")
_Collator = require("trl.trainer.dpo_trainer", "Preference tuning").DataCollatorForPreference

ENCODER_DECODER_LOSSES = ("ipo", "sigmoid")
"""What encoder-decoders are tuned with, which TRL's trainer does not take."""


@dataclass
class MotionDPOConfig(AnyDevice, trl.DPOConfig):
    """`trl.DPOConfig` with AToM's loss by default, that runs on a CPU where there is no accelerator.

    AToM tunes with IPO (Azar et al., 2023) at beta .1: the mean log-ratio of a motion's tokens, so that long motions count no more than
    short ones. Dropout of adapters is kept, as in the paper; bases should have none of their own.
    """

    loss_type: list[str] = field(default_factory=lambda: ["ipo"], metadata={"help": "Loss, or several: ipo, sigmoid, hinge, ..."})
    disable_dropout: bool = field(default=False, metadata={"help": "Switch dropout off, that of adapters too."})


def preference_rows(
    model: MotionLanguageModel,
    pairs: Sequence[Pair],
    max_length: int | None = None,
    show_progress: bool = True,
    videos: ShownVideos | None = None,
) -> tuple[Any, Counter[str]]:
    """Pairs as token ids: what trainers of preferences take.

    Args:
        model (`MotionLanguageModel`): The model that is to be tuned; its motion tokenizer reads the motions.
        pairs (`Sequence[Pair]`): See `hf_motion.preferences.load_pairs`.
        max_length (`int`, *optional*): Leave pairs out whose prompt and longer side have more tokens.
        show_progress (`bool`, defaults to `True`): Show a progress bar.
        videos (`ShownVideos`, *optional*): Of the pairs, see `pair_videos`; the rows' column `video` numbers them.

    Returns:
        `datasets.Dataset` and `Counter`: Rows of `prompt_ids`, `chosen_ids`, `rejected_ids` and `clip`, the place in `pairs`; and why how
        many were left out: those that score alike, that the tokenizer cannot tell apart, or that are too long.

    Raises:
        ValueError: If no pair is left, or a motion does not fit the model.

    Example:
        See `training/train_dpo.py`.
    """
    columns: dict[str, list[Any]] = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": [], "clip": [], "video": []}
    left_out: Counter[str] = Counter()
    cut = 0
    for place, pair in enumerate(tqdm(pairs, desc="Reading pairs", disable=not show_progress)):
        if not pair.decided:
            left_out["score alike"] += 1
            continue
        whole = model.encode_motions([pair.chosen, pair.rejected])
        cut += any(motion.shape[1] > model.max_tokens for motion in whole)
        codes = [motion[:, : model.max_tokens] for motion in whole]
        if codes[0].shape == codes[1].shape and torch.equal(*codes):
            left_out["are the same tokens"] += 1
            continue
        number = NO_VIDEO if videos is None else videos.number(pair.id)
        shown = {} if videos is None or number == NO_VIDEO else {"video": videos.text(number)}
        prompt = model.prompts.question(model.instructions("text_to_motion", text=pair.text, **shown))
        chosen, rejected = (model.answer_ids(side) for side in codes)
        if max_length is not None and len(prompt) + max(len(chosen), len(rejected)) > max_length:
            left_out["are too long"] += 1
            continue
        for name, value in zip(columns, (prompt, chosen, rejected, place, number), strict=True):
            columns[name].append(value)
    if cut:
        logger.warning("In %d pairs a motion is longer than the %d frames that the model reads, and was cut.", cut, model.max_frames)
    if not columns["clip"]:
        raise ValueError(f"Of {len(pairs)} pairs none is left to learn from: {dict(left_out) or 'there were none'}.")
    return require("datasets", "Preference tuning").Dataset.from_dict(columns), left_out


def pair_videos(model: MotionLanguageModel, pairs: Sequence[Pair], show_progress: bool = True) -> ShownVideos | None:
    """The videos that pairs were made with, if the model sees videos and they were made with some.

    Args:
        model (`MotionLanguageModel`): The model.
        pairs (`Sequence[Pair]`): With `video_path` in their details, as `hf-motion prefer mcdpo` makes them.
        show_progress (`bool`, defaults to `True`): Show a progress bar.

    Raises:
        ValueError: If they were made with videos and the model sees none.
    """
    candidates = {pair.id: [pair.details["video_path"]] for pair in pairs if pair.details.get("video_path")}
    if not candidates:
        return None
    if model.video_processor is None:
        raise ValueError("These pairs were made with videos, and the model sees none. Name the one that they were made with.")
    return ShownVideos(model.video_processor, candidates, show_progress)


def preference_trainer(
    model: MotionLanguageModel,
    args: MotionDPOConfig,
    rows: Any,
    pair_names: Sequence[str],
    rank: int = 8,
    alpha: int = 16,
    dropout: float = 0.05,
    videos: ShownVideos | None = None,
    **kwargs: Any,
) -> LanguageTrainer:
    """A trainer that tunes the model's language model; afterwards that model carries the adapters.

    Args:
        model (`MotionLanguageModel`): The model, without adapters; it is the reference too, with the new adapters off, or a copy of it
            where all weights are tuned.
        args (`MotionDPOConfig`): Settings.
        rows (`datasets.Dataset`): See `preference_rows`.
        pair_names (`Sequence[str]`): Names of pairs, for errors.
        rank (`int`, defaults to 8): Rank of adapters on the attention's queries and values; 0 tunes all weights.
        alpha (`int`, defaults to 16): Their strength.
        dropout (`float`, defaults to 0.05): Their dropout.
        videos (`ShownVideos`, *optional*): What the rows' column `video` numbers.
        **kwargs: As for `transformers.Trainer`.

    On several processes `precompute_ref_log_probs` is switched off, and a warning says so.

    Raises:
        ValueError: If the model has adapters already, or the loss is none of an encoder-decoder's.
    """
    check_whole(model)
    keep_own_head(model.language_model)
    if model.config.is_encoder_decoder:
        trainer: LanguageTrainer = _Seq2SeqPairTrainer(model, args, rows, attention_adapters(model, rank, alpha, dropout), **kwargs)
    else:
        reference = None if rank else copy.deepcopy(model.language_model)
        if args.precompute_ref_log_probs and args.world_size > 1:
            args.precompute_ref_log_probs = False  # TRL keeps them in a file that the other processes look for in a folder of their own
            logger.warning("On several processes the reference is computed at each step, not beforehand (precompute_ref_log_probs).")
        collator: Any = WithClips(_Collator(pad_token_id=model.prompts.pad))
        trainer = _PairTrainer(
            model.language_model,
            reference,
            args,
            data_collator=collator if videos is None else WithVideos(collator, videos, copies=2),
            train_dataset=rows,
            processing_class=model.tokenizer,
            peft_config=attention_adapters(model, rank, alpha, dropout),
            **kwargs,
        )
    model.language_model, trainer.clip_names = trainer.model, pair_names
    return trainer


def check_whole(model: MotionLanguageModel) -> None:
    """Refuse a model with adapters: what is tuned begins as its reference, which is the model with the new adapters off.

    Raises:
        ValueError: If it has some.
    """
    if model.has_adapters:
        raise ValueError("This model has adapters; the reference would be lost with them. Call model.merge_adapters() first.")


def attention_adapters(model: MotionLanguageModel, rank: int, alpha: int, dropout: float) -> Any:
    """Settings of LoRA on the attention's queries and values; None for rank 0, which tunes all weights.

    Args:
        model (`MotionLanguageModel`): What they are for.
        rank (`int`): Rank.
        alpha (`int`): Strength.
        dropout (`float`): Dropout.
    """
    if not rank:
        return None
    peft = require("peft", "Preference tuning")
    task = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    return peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=_attention(model), task_type=task)


def _attention(model: MotionLanguageModel) -> list[str] | str:
    """Queries and values, as in the paper's code for T5, whatever the architecture calls them; else all linear layers."""
    names = {name.rpartition(".")[2] for name, module in model.language_model.named_modules() if isinstance(module, nn.Linear)}
    return layers_of(model, next((pair for pair in (("q_proj", "v_proj"), ("q", "v"), ("query", "value")) if names.issuperset(pair)), None))


class _PairTrainer(LanguageTrainer, trl.DPOTrainer):
    """TRL's trainer on pairs that are token ids already."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def compute_ref_log_probs(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        return super().compute_ref_log_probs(model, {name: value for name, value in inputs.items() if name != "clips"})


class _PairCollator:
    """Prompts for the encoder once, answers for the decoder: the better ones, behind them the worse ones."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        prompts = _padded([row["prompt_ids"] for row in rows], self.pad)
        answers = [row[side] for side in ("chosen_ids", "rejected_ids") for row in rows]
        mask = _padded([[1] * len(row["prompt_ids"]) for row in rows], 0)
        clips = torch.tensor([row["clip"] for row in rows])
        return {"input_ids": prompts, "attention_mask": mask, "labels": _padded(answers, -100), "clips": clips}


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)


class _Seq2SeqPairTrainer(LanguageTrainer):
    """DPO (Rafailov et al., 2023, eq. 7) and IPO (Azar et al., 2023, eq. 17) of encoder-decoders, which TRL's trainer does not take."""

    def __init__(self, model: MotionLanguageModel, args: MotionDPOConfig, rows: Any, adapters: Any, **kwargs: Any) -> None:
        wanted = args.loss_type if isinstance(args.loss_type, list) else [args.loss_type]
        if len(wanted) != 1 or wanted[0] not in ENCODER_DECODER_LOSSES:
            known = ", ".join(map(repr, ENCODER_DECODER_LOSSES))
            raise ValueError(f"Encoder-decoders are tuned with a loss_type of {known}, got {wanted}; TRL's trainer takes none of them.")
        language_model: Any = model.language_model
        _without_dropout(language_model)
        self.reference = None
        if adapters is None:
            self.reference = copy.deepcopy(language_model).requires_grad_(False).eval()
        else:
            language_model = require("peft", "Preference tuning").get_peft_model(language_model, adapters)
        collator = _PairCollator(model.prompts.pad)
        super().__init__(language_model, args, data_collator=collator, train_dataset=rows, processing_class=model.tokenizer, **kwargs)
        self.loss_type, self.beta = wanted[0], args.beta
        self.model_accepts_loss_kwargs = False  # pairs are averaged, not tokens
        if self.reference is not None:
            self.reference = self.accelerator.prepare_model(self.reference, evaluation_mode=True)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any) -> Any:
        """How far the better answer's log-ratio is from where it should be beside the worse one's."""
        scores, lengths = self._answers(model, inputs)
        with torch.no_grad(), self._as_reference() as reference:
            before, _ = self._answers(reference or model, inputs)
        ratios = scores - before
        if self.loss_type == "ipo":
            better, worse = (ratios / lengths).chunk(2)
            loss = (better - worse - 1 / (2 * self.beta)).square().mean()
        else:
            better, worse = ratios.chunk(2)
            loss = -F.logsigmoid(self.beta * (better - worse)).mean()
        return (loss, {"margins": (better - worse).detach()}) if return_outputs else loss

    @contextlib.contextmanager
    def _as_reference(self) -> Any:
        if self.reference is not None:
            yield self.reference
            return
        with self.accelerator.unwrap_model(self.model).disable_adapter():
            yield None

    def _answers(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Log-probability of each answer, and its tokens."""
        labels = inputs["labels"]
        prompts = {name: torch.cat([inputs[name]] * 2) for name in ("input_ids", "attention_mask")}
        shifted = self.accelerator.unwrap_model(model).prepare_decoder_input_ids_from_labels(labels)
        scores = model(**prompts, decoder_input_ids=shifted, use_cache=False).logits.float().log_softmax(-1)
        said = labels != -100
        chosen = scores.gather(-1, labels.clamp_min(0)[..., None])[..., 0]
        return (chosen * said).sum(1), said.sum(1)


def _without_dropout(model: nn.Module) -> None:
    """A base's dropout off, functional ones too, so that the model equals its reference before the first step."""
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(getattr(part, "dropout", None), float):
            part.dropout = 0.0
