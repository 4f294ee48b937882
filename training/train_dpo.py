"""Tune a motion language model on preferences (AToM, VimoRAG's McDPO): IPO, DPO and the other losses of TRL.

    python training/train_dpo.py --config training/configs/atom_dpo.yaml --model runs/motion_lm --pairs runs/prefer --output_dir runs/atom
    python training/train_dpo.py --config training/configs/mcdpo.yaml --model runs/vimorag --pairs runs/mcdpo_pairs --output_dir runs/mcdpo
    accelerate launch --config_file training/accelerate/gpu_multi.yaml training/train_dpo.py --config ...

The model comes from `train_sft.py` or `hf_motion.conversion.motiongpt`, the pairs from `hf-motion prefer build`, `certain` or `mcdpo`, or
are InstructMotion's. Run the same command again to go on from the last checkpoint.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import set_seed

from hf_motion import MotionLanguageModel
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.preferences import load_pairs
from hf_motion.trainers.motion_language import save_trained
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.preference import MotionDPOConfig, pair_videos, preference_rows, preference_trainer
from hf_motion.trainers.resuming import say_finished
from hf_motion.utils.files import check_writable
from hf_motion.utils.training_folder import checkpoint_in


@dataclass
class ScriptArguments:
    """What to tune, and on what."""

    model: str = field(metadata={"help": "Motion language model to tune, which is the reference too."})
    pairs: str = field(metadata={"help": "Folder or parquet file of hf-motion prefer, data set on the Hub, or InstructMotion's folder."})
    split: str = field(default="train", metadata={"help": "Split of a data set on the Hub."})
    tasks: list[str] | None = field(default=None, metadata={"help": "Pairs of these tasks only: integrity, temporal, frequency."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Tune on the first so many pairs."})
    lora_rank: int = field(default=8, metadata={"help": "Rank of adapters; 0 tunes all weights."})
    lora_alpha: int = field(default=16, metadata={"help": "Strength of adapters."})
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout of adapters."})
    merge: bool = field(default=True, metadata={"help": "Add adapters to the weights at the end rather than save them alone."})


def main(script: ScriptArguments, args: MotionDPOConfig) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    if (Path(checkpoint_in(script.model)) / "model_index.json").is_file():
        raise ValueError(f"{script.model!r} is a diffusion pipeline; tune it with training/train_diffusion_dpo.py.")
    skipped: Counter[str] = Counter()
    with args.main_process_first(desc="reading the pairs"):
        pairs = load_pairs(script.pairs, script.split, skipped)
    if script.tasks:
        kept = [pair for pair in pairs if pair.specification is not None and pair.specification.task in script.tasks]
        skipped["are of another task"] += len(pairs) - len(kept)
        pairs = kept
    pairs = pairs[: script.max_train_samples]
    model = MotionLanguageModel.from_pretrained(script.model, dtype=torch.float32)
    if model.has_adapters:
        model.merge_adapters()
    videos = pair_videos(model, pairs, not args.disable_tqdm)
    rows, left_out = preference_rows(model, pairs, args.max_length, not args.disable_tqdm, videos)
    skipped += left_out
    names = [pair.id for pair in pairs]
    trainer = preference_trainer(model, args, rows, names, script.lora_rank, script.lora_alpha, script.lora_dropout, videos)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
        print(f"{len(rows)} pairs (left out: {dict(+skipped) or 'none'}), {size / 1e6:.2f} M trained")
    trainer.train_or_resume()
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    record = TrainingRecord.of_pairs(trainer, script.pairs, script.split, len(rows), +skipped)
    folder = save_trained(trainer, model, script.merge, record, repo_id)
    say_finished(trainer, folder, 'hf-motion generate "a person jumps three times" --model {}')


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, MotionDPOConfig)).parse())
