"""Train a generator of motion tokens: T2M-GPT, MoMask or HumanTOMATO's hierarchical GPT.

    python training/train_tokens.py --config training/configs/momask_small.yaml --motion_tokenizer runs/rvq/model --dataset org/my-motions \
        --text_encoder sentence-transformers/all-MiniLM-L6-v2 --output_dir runs/momask
    accelerate launch --config_file training/accelerate/gpu_multi.yaml training/train_tokens.py --config training/configs/momask.yaml ...

    python training/train_tokens.py --config training/configs/humantomato_gpt_small.yaml --motion_tokenizer runs/h2vq/model \
        --dataset org/bodies --text_encoder runs/tmr/model --alignment_model runs/tmr/model --output_dir runs/tomato

The motion tokenizer comes from `train_tokenizer.py`. Every option of the YAML file can be given on the command line too. Run the same
command again to go on from the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoModel, set_seed

from hf_motion import MotionFeatureExtractor
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, take_rows
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.retrieval.embedder import MotionTextEmbedder
from hf_motion.trainers.averaging import trained_parameters
from hf_motion.trainers.callbacks import EvaluateMotionsCallback
from hf_motion.trainers.motion_text import MotionTextTrainingArguments
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.trainers.text_alignment import TextMotionAlignment
from hf_motion.trainers.tokens import TokenDataset, TokenTrainer, new_token_model
from hf_motion.utils.files import check_writable
from hf_motion.utils.options import as_mapping
from hf_motion.utils.training_folder import checkpoint_in

_WHOLE = 10**9


@dataclass
class ScriptArguments:
    """What to train, and on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub."})
    split: str = field(default="train", metadata={"help": "Split to train on."})
    mirror: bool = field(default=True, metadata={"help": "Also train on every clip mirrored, with sides exchanged in its captions."})
    min_frames: int = field(default=40, metadata={"help": "Leave shorter clips out."})
    strict: bool = field(default=True, metadata={"help": "Stop at an unreadable row rather than skip and count it."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on so many clips, drawn once; fewer are part of more."})
    model: str | None = field(default=None, metadata={"help": "Go on from this checkpoint rather than from random weights."})
    model_type: str = field(default="momask", metadata={"help": "Of a new model: t2m-gpt, momask or humantomato-gpt."})
    model_options: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of a new model's configuration."})
    motion_tokenizer: str | None = field(default=None, metadata={"help": "Motion tokenizer of a new model."})
    text_encoder: str = field(
        default="openai/clip-vit-base-patch32", metadata={"help": "Text encoder of a new model: any, an AdaCLIP too; it stays frozen."}
    )
    max_text_tokens: int | None = field(default=None, metadata={"help": "Cut longer captions."})
    alignment_model: str | None = field(default=None, metadata={"help": "A TMR of the model's features: align predicted motions to texts."})
    alignment_weight: float = field(default=0.1, metadata={"help": "Weight of that loss, HumanTOMATO's eta."})
    alignment_codes: str = field(
        default="straight-through", metadata={"help": "Gradients through codes: straight-through, gumbel or soft."}
    )
    offsets: bool = field(default=True, metadata={"help": "Cut clips from any frame rather than from whole tokens only."})
    score_split: str = field(default="val", metadata={"help": "Split to score on while training, see score_steps."})
    score_steps: int = field(default=0, metadata={"help": "Steps between scores (FID, R-precision, skating); 0 for none."})
    score_clips: int | None = field(default=None, metadata={"help": "Clips to score on, all of the split by default."})


def main(script: ScriptArguments, args: MotionTextTrainingArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    if script.model is None and script.motion_tokenizer is None:
        raise ValueError("Name the motion tokenizer that the new model is for: --motion_tokenizer FOLDER, made by train_tokenizer.py.")
    with args.main_process_first(desc="reading the data set"):
        rows = take_rows(load_motion_rows(script.dataset, script.split), script.max_train_samples)
        score_rows = load_motion_rows(script.dataset, script.score_split) if script.score_steps else None
    if script.model is not None:
        model = AutoModel.from_pretrained(checkpoint_in(script.model), use_safetensors=True)
    else:
        parts = script.motion_tokenizer, script.text_encoder, as_mapping(script.model_options), script.max_text_tokens
        model = new_token_model(script.model_type, *parts)
    whole = MotionFeatureExtractor(**{**model.feature_extractor.to_dict(), "max_frames": _WHOLE})
    clips = MotionTextDataset(rows, whole, script.mirror, script.min_frames, script.strict, not args.disable_tqdm)
    dataset = TokenDataset(clips, model.vq_model.to(args.device), model.config.max_tokens, script.offsets, not args.disable_tqdm)
    callbacks = []
    if score_rows is not None:
        callbacks.append(EvaluateMotionsCallback(model, score_rows, script.score_steps, script.score_clips, show_progress=False))
    alignment = None
    if script.alignment_model is not None:
        alignment = TextMotionAlignment(model, MotionTextEmbedder.from_pretrained(script.alignment_model), script.alignment_codes)
    trainer = TokenTrainer(model, args, dataset, alignment, script.alignment_weight, callbacks=callbacks)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in trained_parameters(model))
        print(f"{len(dataset)} clips (left out: {dict(clips.skipped) or 'none'}), {size / 1e6:.1f} M trained parameters")
    trainer.train_or_resume()
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    folder = Path(args.output_dir) / "model"
    record = TrainingRecord.of(trainer, script.dataset, script.split, rows, clips)
    trainer.save_checkpoint(folder, repo_id, args.hub_token, record)
    say_finished(trainer, folder, 'hf-motion generate "a person walks forward" --model {}')


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, MotionTextTrainingArguments)).parse())
