"""Train the autoencoder of a latent diffusion: the first of its two stages.

    python training/train_autoencoder.py --config training/configs/mld_vae.yaml --dataset org/my-motions --output_dir runs/mld_vae
    python training/train_diffusion.py --config training/configs/mld.yaml --autoencoder runs/mld_vae --dataset ... --output_dir runs/mld

Every option of the YAML file can be given on the command line too. Run the same command again to go on from the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import set_seed

from hf_motion import MotionFeatureExtractor
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.trainers.autoencoder import AutoencoderTrainer, AutoencoderTrainingArguments, autoencoder_class, load_autoencoder
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.utils.files import check_writable
from hf_motion.utils.options import as_mapping, check_options


@dataclass
class ScriptArguments:
    """What to train, and on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub."})
    split: str = field(default="train", metadata={"help": "Split to train on."})
    mirror: bool = field(default=True, metadata={"help": "Also train on every clip mirrored."})
    window: int | None = field(default=None, metadata={"help": "Frames that are drawn from a clip at a time; whole clips by default."})
    min_frames: int = field(default=24, metadata={"help": "Leave shorter clips out."})
    level_floor: bool = field(default=False, metadata={"help": "Let feet stand at height 0 all along each clip, see data/floor.py."})
    fixed_bones: bool = field(default=False, metadata={"help": "Train on the very body that decoding ends on, see MotionTextDataset."})
    max_frames: int = field(default=196, metadata={"help": "Longest motion that the finished pipeline makes."})
    strict: bool = field(default=True, metadata={"help": "Stop at an unreadable row rather than skip and count it."})
    autoencoder: str | None = field(default=None, metadata={"help": "Go on from this one rather than from random weights."})
    autoencoder_class: str = field(default="MLDAutoencoder", metadata={"help": "Of a new one: MLDAutoencoder or SALADAutoencoder."})
    autoencoder_options: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of a new one."})


def main(script: ScriptArguments, args: AutoencoderTrainingArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    if args.push_to_hub:
        raise ValueError("An autoencoder is a part: push the pipeline that train_diffusion.py makes with it. Leave push_to_hub out.")
    with args.main_process_first(desc="reading the data set"):
        rows = load_motion_rows(script.dataset, script.split)
    if script.autoencoder is not None:
        vae, extractor = load_autoencoder(script.autoencoder)
    else:
        extractor, kind = MotionFeatureExtractor(max_frames=script.max_frames), autoencoder_class(script.autoencoder_class)
        options = as_mapping(script.autoencoder_options) or {}
        check_options(options, kind, "autoencoder_options")
        vae = kind(**{"num_features": extractor.dim, **options})
    windows = MotionFeatureExtractor(**{**extractor.to_dict(), "max_frames": script.window or extractor.max_frames})
    options = script.mirror, script.min_frames, script.strict, not args.disable_tqdm, script.level_floor
    dataset = MotionTextDataset(rows, windows, *options, fixed_bones=script.fixed_bones)
    if script.autoencoder is None:
        dataset.fit_statistics()
        extractor.mean, extractor.std = windows.mean, windows.std
    trainer = AutoencoderTrainer(vae, args, dataset, extractor)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in vae.parameters())
        print(f"{len(dataset)} clips (left out: {dict(dataset.skipped) or 'none'}), {size / 1e6:.1f} M trained parameters")
    trainer.train_or_resume()
    folder = Path(args.output_dir) / "model"
    trainer.save_autoencoder(folder)
    say_finished(trainer, folder, f"python training/train_diffusion.py --autoencoder {{}} --dataset {script.dataset} ...")


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, AutoencoderTrainingArguments)).parse())
