"""Teach a language model to read and write motion: supervised training with TRL.

    python training/train_sft.py --config training/configs/motion_lm_smollm2.yaml --base path/to/SmolLM2-135M-Instruct \
        --motion_tokenizer runs/vq --dataset org/my-motions --output_dir runs/motion_lm
    python training/train_sft.py --config training/configs/cigtime_smollm2.yaml --base path/to/SmolLM2-135M-Instruct \
        --motion_tokenizer runs/vq --triplets runs/triplets --output_dir runs/cigtime
    python training/train_sft.py --config training/configs/vimorag_small.yaml --model runs/motion_lm --dataset org/my-motions \
        --retrieved runs/retrieved --output_dir runs/vimorag
    accelerate launch --config_file training/accelerate/gpu_multi.yaml training/train_sft.py --config ...

The base is any causal language model of transformers, or a T5; the motion tokenizer comes from `train_tokenizer.py`. Every option of the
YAML file can be given on the command line too. Run the same command again to go on from the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from transformers import set_seed

from hf_motion import MotionFeatureExtractor
from hf_motion.corrections import load_triplets
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, take_rows
from hf_motion.data.paraphrases import load_paraphrases
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.retrieval.retrieved import RetrievedVideos
from hf_motion.trainers.corrections import correction_rows, note_tasks, shares
from hf_motion.trainers.instructions import concatenate_rows, instruction_rows
from hf_motion.trainers.motion_language import MotionSFTConfig, add_adapters, first_model, model_to_train, save_trained, sft_trainer
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.trainers.tokens import TokenDataset
from hf_motion.trainers.videos import ShownVideos, seeing_model
from hf_motion.utils.files import check_writable
from hf_motion.utils.options import as_mapping

_WHOLE = 10**9


@dataclass
class ScriptArguments:
    """What to train, and on what."""

    dataset: str | None = field(default=None, metadata={"help": "Captioned motion: parquet file, folder, or data set on the Hub."})
    triplets: str | None = field(default=None, metadata={"help": "Corrections to learn: folder or data set of triplets; alone or beside."})
    wording_share: float = field(default=0.5, metadata={"help": "How often a correction is replaced by another wording of it."})
    base: str | None = field(default=None, metadata={"help": "Language model to begin with."})
    motion_tokenizer: str | None = field(default=None, metadata={"help": "Motion tokenizer that its new words come from."})
    model: str | None = field(default=None, metadata={"help": "Go on from this motion language model instead."})
    retrieved: str | None = field(
        default=None, metadata={"help": "Videos that captions have found, to be shown: hf-motion video retrieve."}
    )
    video_share: float = field(default=1.0, metadata={"help": "How often a motion that is asked for has its video beside the text."})
    silent_share: float = field(default=0.0, metadata={"help": "How often that video stands beside a text that only points at it."})
    video_tower: str | None = field(
        default=None, metadata={"help": "GeminiMVR that sees them, for a model that sees none; an own small one."}
    )
    projector_learning_rate: float | None = field(default=None, metadata={"help": "Of what leads from towers into the language model."})
    split: str = field(default="train", metadata={"help": "Split to train on, of both."})
    mirror: bool = field(default=True, metadata={"help": "Also train on every clip mirrored, with sides exchanged in its captions."})
    min_frames: int = field(default=24, metadata={"help": "Leave shorter clips out."})
    strict: bool = field(default=True, metadata={"help": "Stop at an unreadable row rather than skip and count it."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on so many clips, drawn once; fewer are part of more."})
    paraphrases: str | None = field(default=None, metadata={"help": "Folder of other wordings of captions."})
    paraphrase_share: float = field(default=0.5, metadata={"help": "How often a caption is replaced by one of them."})
    format: str = field(default="motion", metadata={"help": "How motions are written: motion, motiongpt, integers, list or continuous."})
    chat: bool | None = field(default=None, metadata={"help": "Put questions into the chat template; by default if the base has one."})
    instructions: str | None = field(default=None, metadata={"help": "YAML file of questions; that of the package by default."})
    mixture: dict[str, float] | str | None = field(default=None, metadata={"help": "Shares of tasks, such as {text_to_motion: 1}."})
    rows: int | None = field(default=None, metadata={"help": "Questions and answers, 20000 by default; triplets alone: one each."})
    balance: float = field(default=0.0, metadata={"help": "How much to lift rare actions: 0 not at all, 1 fully."})
    joined: float = field(default=0.0, metadata={"help": "Share of text-to-motion rows that ask for two or three clips in a row."})
    offsets: bool = field(default=True, metadata={"help": "Cut clips from any frame rather than from whole tokens only."})
    max_layers: int | None = field(default=None, metadata={"help": "Keep the first layers of the base only."})
    max_vocabulary: int | None = field(default=None, metadata={"help": "Keep the most frequent words of a byte-pair base only."})
    max_tokens: int = field(default=49, metadata={"help": "Longest motion, in time steps of the motion tokenizer."})
    lora_rank: int = field(default=0, metadata={"help": "Train adapters of this rank and the new rows; 0 trains all weights."})
    lora_alpha: int | None = field(default=None, metadata={"help": "Strength of adapters, twice their rank by default."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of adapters."})
    anchor: float = field(default=0.0, metadata={"help": "Hold weights near where they began: CigTime's lambda; for lora_rank 0."})
    merge: bool = field(default=True, metadata={"help": "Add adapters to the weights at the end rather than save them alone."})


def main(script: ScriptArguments, args: MotionSFTConfig) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    if script.dataset is None and script.triplets is None:
        raise ValueError("Name what to learn from: --dataset, --triplets, or both.")
    mixture, corrections = shares(as_mapping(script.mixture), script.dataset is not None, script.triplets is not None)
    with args.main_process_first(desc="making the base"):
        sizes = (script.format, script.chat, script.instructions, script.max_layers, script.max_vocabulary, script.max_tokens, args.seed)
        begin = first_model(args.output_dir, script.model, script.base, script.motion_tokenizer, *sizes)
        if script.retrieved is not None:
            begin = seeing_model(begin, Path(args.output_dir) / "seeing", script.video_tower, args.seed)
        rows = None if script.dataset is None else take_rows(load_motion_rows(script.dataset, script.split), script.max_train_samples)
        triplets = None if script.triplets is None else load_triplets(script.triplets, script.split)
    model = model_to_train(begin, script.anchor > 0)
    model.vq_model.to(args.device)
    show, names, parts, clips, videos = not args.disable_tqdm, [], [], None, None
    total = script.rows or (20000 if rows is not None else None)
    if rows is not None:
        whole = MotionFeatureExtractor(**{**model.feature_extractor.to_dict(), "max_frames": _WHOLE})
        words = load_paraphrases(script.paraphrases) if script.paraphrases else None
        options = {"paraphrases": words, "paraphrase_share": script.paraphrase_share}
        clips = MotionTextDataset(rows, whole, script.mirror, script.min_frames, script.strict, show, **options)
        dataset = TokenDataset(clips, model.vq_model, model.max_tokens, script.offsets, show)
        count = round(total * (1 - corrections))
        if script.retrieved is not None:
            found = RetrievedVideos.load(script.retrieved, script.split)
            videos = ShownVideos(model.video_processor, {text: found.paths(text) for text in clips.texts() if text in found}, show)
        drawn = (mixture, args.seed, script.balance, script.joined, args.max_length, show, videos, script.video_share, script.silent_share)
        parts.append(instruction_rows(model, dataset, count, *drawn))
        names += clips.ids
    if triplets is not None:
        count = None if total is None else round(total * corrections)
        parts.append(correction_rows(model, triplets, count, args.seed, script.wording_share, args.max_length, len(names), show))
        names += [triplet.source_id for triplet in triplets]
    questions = concatenate_rows(parts)
    note_tasks(model, [*mixture, *(["motion_correction"] if triplets is not None else [])])
    if script.lora_rank:
        add_adapters(model, script.lora_rank, script.lora_alpha, script.lora_dropout)
    trainer = sft_trainer(model, args, questions, names, script.anchor, videos, script.projector_learning_rate)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in model.language_model.parameters() if parameter.requires_grad)
        left_out = f"{len(clips)} clips (left out: {dict(clips.skipped) or 'none'}), " if clips else ""
        pairs = f"{len(triplets)} triplets, " if triplets is not None else ""
        print(f"{left_out}{pairs}{len(questions)} questions, {size / 1e6:.1f} M trained")
    trainer.train_or_resume()
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    if clips is not None:
        record = TrainingRecord.of(trainer, script.dataset, script.split, rows, clips)
    else:
        record = TrainingRecord.of_pairs(trainer, script.triplets, script.split, len(triplets), {})
    folder = save_trained(trainer, model, script.merge, record, repo_id)
    corrects = "hf-motion correct mine.bvh teacher.bvh --model {}"
    say_finished(trainer, folder, corrects if triplets is not None else 'hf-motion generate "a person walks forward" --model {}')


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, MotionSFTConfig)).parse())
