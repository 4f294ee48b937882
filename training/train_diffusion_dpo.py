"""Tune a diffusion pipeline on preferences: pairs of a better and a worse motion of one text (Diffusion-DPO).

    hf-motion prefer build --temporal 500 --frequency 500 --output runs/pairs
    python training/train_diffusion_dpo.py --config training/configs/mdm_dpo.yaml --pairs runs/pairs --output_dir runs/mdm_dpo
    accelerate launch --config_file training/accelerate/cpu_2.yaml training/train_diffusion_dpo.py --config ... --pairs ...

Every option of the YAML file can be given on the command line too. Run the same command again to go on from the last checkpoint.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from transformers import set_seed

from hf_motion.checkpoints import EMBEDDED
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.preferences import load_pairs
from hf_motion.trainers.averaging import trained_parameters
from hf_motion.trainers.diffusion_dpo import DiffusionDPOArguments, DiffusionDPOTrainer, PreferenceDataset
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.utils.files import check_writable


@dataclass
class ScriptArguments:
    """What to tune, and on what."""

    pairs: str = field(metadata={"help": "What `hf-motion prefer` wrote, a data set on the Hub, or InstructMotion's folder."})
    pipeline: str = field(default=str(EMBEDDED), metadata={"help": "Folder or repository; the checkpoint inside the package by default."})
    split: str = field(default="train", metadata={"help": "Split of a data set on the Hub."})
    max_pairs: int | None = field(default=None, metadata={"help": "Use the first pairs only."})


def main(script: ScriptArguments, args: DiffusionDPOArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    skipped: Counter[str] = Counter()
    with args.main_process_first(desc="reading the pairs"):
        loaded = load_pairs(script.pairs, script.split, skipped)
    pairs = [pair for pair in loaded if pair.decided][: script.max_pairs]
    skipped["score alike"] += sum(not pair.decided for pair in loaded)
    pipeline = MotionDiffusionPipeline.load(script.pipeline)
    trainer = DiffusionDPOTrainer(pipeline, args, PreferenceDataset(pairs, pipeline.feature_extractor))
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in trained_parameters(trainer.model))
        print(f"{len(pairs)} pairs (left out: {dict(+skipped) or 'none'}), {size / 1e6:.2f} M trained parameters")
    trainer.train_or_resume()
    folder = Path(args.output_dir) / "pipeline"
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    trainer.save_pipeline(folder, repo_id, TrainingRecord.of_pairs(trainer, script.pairs, script.split, len(pairs), +skipped))
    say_finished(trainer, folder, 'hf-motion generate "a person jumps twice" --model {}')


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, DiffusionDPOArguments)).parse())
