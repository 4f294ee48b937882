"""Supervised training of motion language models, by TRL where it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import create_repo, upload_folder
from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
)

from ..hub.loading import load_part
from ..hub.training_card import TrainingRecord
from ..models.motion_language.instructions import Instructions
from ..models.motion_language.modeling_motion_language import MotionLanguageModel
from ..models.motion_language.new_tokens import cut_layers, cut_vocabulary, keep_own_head
from ..models.motion_vq.modeling_motion_vq import MotionVQModel
from ..tokenization.motion_tokenizer import MotionTokenizer
from ..utils.extras import require
from ..utils.training_folder import checkpoint_in, leave_sign
from .anchor import Anchored, check_anchor, check_precision
from .resuming import Resumable
from .steps import AnyDevice, FiniteLoss, WithClips
from .videos import TOWERS, ShownVideos, WithVideos

trl = require("trl", "Training language models")
_Collator = require("trl.trainer.sft_trainer", "Training language models").DataCollatorForLanguageModeling
_COLUMNS = ("input_ids", "labels")


@dataclass
class MotionSFTConfig(AnyDevice, trl.SFTConfig):
    """`trl.SFTConfig` that runs on a CPU where there is no accelerator, and leaves rows as they are: these are tokens already."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.dataset_kwargs = {"skip_prepare_dataset": True, **(self.dataset_kwargs or {})}


class LanguageTrainer(FiniteLoss, Anchored, Resumable, Trainer):
    """What trainers of language models are, TRL's and ours.

    Attributes:
        rates (`dict[str, float]`): Learning rates of their own for weights whose names have a part.
    """

    rates: Mapping[str, float] = {}

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """The optimizer, with weights of other learning rates in groups of their own."""
        optimizer = super().create_optimizer(*args, **kwargs)
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for part, rate in self.rates.items():
            for group in list(optimizer.param_groups):
                own = [parameter for parameter in group["params"] if part in names.get(id(parameter), "") and group["lr"] != rate]
                if own:
                    group["params"] = [parameter for parameter in group["params"] if all(parameter is not one for one in own)]
                    optimizer.add_param_group({**group, "params": own, "lr": rate})
        return optimizer


class _CausalTrainer(LanguageTrainer, trl.SFTTrainer):
    """TRL's trainer, for causal language models."""


class _Seq2SeqTrainer(LanguageTrainer):
    """transformers' trainer, for encoder-decoders, which TRL's does not take."""


class _WithLatents:
    """A collator's batches with the latents of their motions, row after row, (latents, width)."""

    def __init__(self, collator: WithClips, width: int) -> None:
        self.collator, self.width = collator, width

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        latents = torch.cat([torch.as_tensor(row["motion_latents"], dtype=torch.float32) for row in rows])
        return {**self.collator(rows), "motion_latents": latents.reshape(-1, self.width)}


def sft_trainer(
    model: MotionLanguageModel,
    args: MotionSFTConfig,
    rows: Any,
    clip_names: Sequence[str],
    anchor: float = 0.0,
    videos: ShownVideos | None = None,
    projector_rate: float | None = None,
    **kwargs: Any,
) -> LanguageTrainer:
    """A trainer of the model's language model: of all its weights, or of its adapters if it has some.

    Args:
        model (`MotionLanguageModel`): The model.
        args (`MotionSFTConfig`): Settings.
        rows (`datasets.Dataset`): See `hf_motion.trainers.instructions.instruction_rows`.
        clip_names (`Sequence[str]`): Names of clips, for errors.
        anchor (`float`, defaults to 0.0): Strength of the anchor loss, see `hf_motion.trainers.anchor`. To go on after a stop, it needs the
            checkpoint that the model was loaded from.
        videos (`ShownVideos`, *optional*): What the rows' column `video` numbers.
        projector_rate (`float`, *optional*): Learning rate of what puts videos into the model's width; that of the rest by default.
        **kwargs: As for `transformers.Trainer`.

    Raises:
        ValueError: If the anchor does not go together with the settings, or weights are in half precision and learn in steps that are too
            small for it.
    """
    language_model, tokenizer = model.language_model, model.tokenizer
    check_precision(language_model, args.learning_rate)
    if model.config.is_encoder_decoder:
        collator: Any = WithClips(DataCollatorForSeq2Seq(tokenizer, language_model), _COLUMNS)
        trainer: LanguageTrainer = _Seq2SeqTrainer(
            language_model, args, data_collator=collator, train_dataset=rows, processing_class=tokenizer, **kwargs
        )
    else:
        collator = WithClips(_Collator(pad_token_id=model.prompts.pad), _COLUMNS)
        if model.reads_latents:
            collator = _WithLatents(collator, language_model.config.latent_size)
        collator = collator if videos is None else WithVideos(collator, videos)
        trainer = _CausalTrainer(language_model, args, data_collator=collator, train_dataset=rows, processing_class=tokenizer, **kwargs)
        head = model.language_model.get_output_embeddings()
        if not hasattr(head, "bias"):
            head.bias = None  # what peft puts around a head has none, and TRL's head reads it
    trainer.clip_names = clip_names
    if projector_rate is not None:
        trainer.rates = {TOWERS: projector_rate}
    trainer.anchor, trainer.anchor_start = anchor, language_model.name_or_path
    check_anchor(trainer, language_model)
    return trainer


def add_adapters(model: MotionLanguageModel, rank: int, alpha: int | None = None, dropout: float = 0.0) -> None:
    """Put LoRA on all linear layers of the language model, and let rows of motion tokens learn, and projectors of videos or latents.

    Args:
        model (`MotionLanguageModel`): Loaded from a whole repository, which the adapters will name as their base; it is changed.
        rank (`int`): Rank.
        alpha (`int`, *optional*): Strength, twice the rank by default.
        dropout (`float`, defaults to 0.0): Dropout.
    """
    from peft import LoraConfig, get_peft_model

    language_model, rows = model.language_model, None
    keep_own_head(language_model)
    if model.vocabulary is not None:
        ids = list(range(model.vocabulary.first, model.vocabulary.first + model.vocabulary.size))
        table, head = language_model.get_input_embeddings(), language_model.get_output_embeddings()
        rows = ids if head.weight is table.weight else {_name(language_model, table): ids, _name(language_model, head): ids}
    task = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    # Of what sees videos the projectors learn whole, and the towers nothing.
    projectors = [f"{TOWERS}.{name}" for name in model.config.towers] if model.video_processor is not None else []
    if model.reads_latents:
        projectors = ["projector"]
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha or 2 * rank,
        lora_dropout=dropout,
        target_modules=layers_of(model),
        modules_to_save=projectors or None,
        exclude_modules=projectors if model.reads_latents else None,
        trainable_token_indices=rows,
        task_type=task,
    )
    model.language_model = get_peft_model(language_model, config)


def layers_of(model: MotionLanguageModel, names: Sequence[str] | None = None) -> list[str] | str:
    """Which layers get adapters, as peft takes it: never those of towers that see videos.

    Args:
        model (`MotionLanguageModel`): The model.
        names (`Sequence[str]`, *optional*): Last parts of their names; all linear layers by default.
    """
    if model.video_processor is None:
        return list(names) if names else "all-linear"
    part = model.language_model.model.language_model
    found = {name.rpartition(".")[2] for name, module in part.named_modules() if isinstance(module, nn.Linear)}
    return rf".*\.language_model\..*\.({'|'.join(sorted(names or found))})"


def new_motion_language_model(
    base: str,
    motion_tokenizer: str,
    format: str = "motion",
    chat: bool | None = None,
    instructions: str | None = None,
    max_layers: int | None = None,
    max_vocabulary: int | None = None,
    max_tokens: int = 49,
    seed: int = 0,
) -> MotionLanguageModel:
    """Build a motion language model to train.

    Args:
        base (`str`): Folder or repository of a causal language model or a T5.
        motion_tokenizer (`str`): The same of a `MotionVQModel`.
        format (`str`, defaults to `"motion"`): How motions are written.
        chat (`bool`, *optional*): Put questions into the chat template; by default if there is one.
        instructions (`str`, *optional*): YAML file of wordings; those of the package by default.
        max_layers (`int`, *optional*): Keep the first layers only.
        max_vocabulary (`int`, *optional*): Keep the most frequent words only.
        max_tokens (`int`, defaults to 49): Longest motion, in time steps.
        seed (`int`, defaults to 0): Of the new rows.

    Returns:
        `MotionLanguageModel`: In float32, to be trained.

    Raises:
        OSError: If something is not there.
        ValueError: If something does not fit.
    """
    place = checkpoint_in(motion_tokenizer)
    vq_model = MotionVQModel.from_pretrained(place)
    extractor = load_part(AutoFeatureExtractor, place, "feature_extractor")
    config = load_part(AutoConfig, base, "config")
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    language_model = load_part(auto, base, "model", dtype=torch.float32)
    keep_own_head(language_model)
    if max_layers is not None:
        cut_layers(language_model, max_layers)
    tokenizer = load_part(AutoTokenizer, base, "tokenizer")
    if max_vocabulary is not None:
        tokenizer = cut_vocabulary(language_model, tokenizer, max_vocabulary)
    return MotionLanguageModel.from_base(
        language_model,
        tokenizer,
        vq_model,
        MotionTokenizer.of(vq_model.config),
        extractor,
        format=format,
        chat=chat,
        instructions=Instructions.from_file(instructions),
        max_tokens=max_tokens,
        generator=torch.Generator().manual_seed(seed),
    )


def first_model(folder: str | Path, model: str | None, base: str | None, motion_tokenizer: str | None, *sizes: Any) -> str | Path:
    """Where the model is that a training begins with: the one that is named, or a new one, made once and kept beside the training.

    Args:
        folder (`str` or `pathlib.Path`): The training's folder; a new model is saved in its `base`.
        model (`str`, *optional*): Motion language model to go on from.
        base (`str`, *optional*): Language model of a new one.
        motion_tokenizer (`str`, *optional*): Its motion tokenizer.
        *sizes: As for `new_motion_language_model`, from `format` on.

    Raises:
        ValueError: If both are named, or neither is whole.
    """
    if model is not None:
        if base or motion_tokenizer:
            raise ValueError("--model has its base and its motion tokenizer already: leave --base and --motion_tokenizer out.")
        return model
    start = Path(folder) / "base"
    if not (start / "motion_tokenizer" / "config.json").is_file():
        if base is None or motion_tokenizer is None:
            raise ValueError("Name what to begin with: --base and --motion_tokenizer, or --model.")
        new_motion_language_model(base, motion_tokenizer, *sizes).save_pretrained(start)
    return start


def model_to_train(name: str | Path, anchored: bool) -> MotionLanguageModel:
    """A motion language model in float32 whose adapters, where it has some, are in its weights.

    Args:
        name (`str` or `pathlib.Path`): Folder or repository.
        anchored (`bool`): Whether weights are to be held near these, which goes with whole ones alone.

    Raises:
        ValueError: If they are, and it has adapters.
    """
    model = MotionLanguageModel.from_pretrained(name, dtype=torch.float32)
    if model.has_adapters:
        if anchored:
            raise ValueError("--anchor needs whole weights to begin with, and --model holds adapters: merge_adapters() and save it first.")
        model.merge_adapters()
    return model


def save_trained(
    trainer: LanguageTrainer, model: MotionLanguageModel, merge: bool, record: TrainingRecord | None = None, repo_id: str | None = None
) -> Path:
    """Save the finished model into the training's folder: whole, or as adapters.

    Args:
        trainer (`Trainer`): At its end; its main process saves.
        model (`MotionLanguageModel`): What it trained.
        merge (`bool`): Add adapters to the weights first.
        record (`TrainingRecord`, *optional*): What its card tells of the training.
        repo_id (`str`, *optional*): Push it to the Hub too.

    Returns:
        `pathlib.Path`: Where it is.
    """
    folder = Path(trainer.args.output_dir) / "model"
    if trainer.is_world_process_zero():
        model.eval()
        if model.has_adapters and merge:
            model.merge_adapters()
        model.save_pretrained(folder)
        if record is not None:
            record.write(folder, repo_id)
        if not model.has_adapters:
            leave_sign(Path(trainer.args.output_dir), folder)
        if repo_id is not None:
            repository = create_repo(repo_id, token=trainer.args.hub_token, exist_ok=True).repo_id
            upload_folder(repo_id=repository, folder_path=folder, token=trainer.args.hub_token, commit_message="Upload MotionLanguageModel")
    return folder


def _name(model: nn.Module, part: nn.Module) -> str:
    """Last part of a module's name, which is how peft finds it."""
    return next(name for name, module in model.named_modules() if module is part).rpartition(".")[2]
