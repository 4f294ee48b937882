"""Train a motion tokenizer (a VQ or residual VQ autoencoder, or HumanTOMATO's H2VQ with streams of body and hands).

    python training/train_tokenizer.py --config training/configs/rvq_small.yaml --dataset org/my-motions --output_dir runs/rvq
    accelerate launch --config_file training/accelerate/gpu_multi.yaml training/train_tokenizer.py \
        --config training/configs/momask_rvq.yaml ...
    python training/train_tokenizer.py --config training/configs/humantomato_h2vq_small.yaml --dataset org/bodies --output_dir runs/h2vq

Every option of the YAML file can be given on the command line too. Run the same command again to go on from the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoFeatureExtractor, set_seed

from hf_motion import MotionFeatureExtractor, MotionVQConfig, MotionVQModel
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.trainers.motion_text import MotionTextTrainingArguments
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.trainers.tokenizer import MotionVQTrainer, ReconstructionCallback
from hf_motion.utils.files import check_writable
from hf_motion.utils.options import as_mapping, check_options
from hf_motion.utils.training_folder import checkpoint_in


@dataclass
class ScriptArguments:
    """What to train, and on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub."})
    split: str = field(default="train", metadata={"help": "Split to train on."})
    mirror: bool = field(default=True, metadata={"help": "Also train on every clip mirrored."})
    window: int = field(default=64, metadata={"help": "Frames that are drawn from a clip at a time; shorter clips are taken whole."})
    min_frames: int = field(default=24, metadata={"help": "Leave shorter clips out."})
    max_frames: int = field(default=196, metadata={"help": "Longest clip that the finished model reads."})
    representation: str = field(default="humanml3d", metadata={"help": "Features of a new model: humanml3d or humantomato."})
    skeleton: str = field(default="humanml3d-22", metadata={"help": "Joints of a new model and of the data, such as smplx-52."})
    fps: float | None = field(default=None, metadata={"help": "Frame rate of a new model's features, by default the skeleton's own."})
    hand_joints: str | None = field(
        default=None, metadata={"help": "Joints of a second stream of codes in a new model: hands, or arms on 22 joints."}
    )
    strict: bool = field(default=True, metadata={"help": "Stop at an unreadable row rather than skip and count it."})
    model: str | None = field(default=None, metadata={"help": "Go on from this checkpoint rather than from random weights."})
    model_options: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of a new model, see MotionVQConfig."})
    score_split: str = field(default="val", metadata={"help": "Split to score on while training, see score_steps."})
    score_steps: int = field(default=0, metadata={"help": "Steps between scores (MPJPE, FID, ...); 0 for none."})


def main(script: ScriptArguments, args: MotionTextTrainingArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    with args.main_process_first(desc="reading the data set"):
        rows = load_motion_rows(script.dataset, script.split)
        score_rows = load_motion_rows(script.dataset, script.score_split) if script.score_steps else None
    if script.model is not None:
        start = checkpoint_in(script.model)
        model, extractor = MotionVQModel.from_pretrained(start), AutoFeatureExtractor.from_pretrained(start)
    else:
        extractor = MotionFeatureExtractor(script.representation, script.skeleton, fps=script.fps, max_frames=script.max_frames)
        options = as_mapping(script.model_options) or {}
        if script.hand_joints is not None:
            options["hand_features"] = extractor.features.features_of(script.hand_joints)
        check_options(options, MotionVQConfig, "model_options")
        places = extractor.features.slices["positions"]
        model = MotionVQModel(MotionVQConfig(**{"num_features": extractor.dim, "position_slice": [places.start, places.stop], **options}))
    windows = MotionFeatureExtractor(**{**extractor.to_dict(), "max_frames": script.window})
    dataset = MotionTextDataset(rows, windows, script.mirror, script.min_frames, script.strict, not args.disable_tqdm)
    if script.model is None:
        dataset.fit_statistics()
        extractor.mean, extractor.std = windows.mean, windows.std
    callbacks = [ReconstructionCallback(score_rows, extractor, script.score_steps)] if score_rows is not None else []
    trainer = MotionVQTrainer(model, args, dataset, extractor, callbacks=callbacks)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in model.parameters())
        print(f"{len(dataset)} clips (left out: {dict(dataset.skipped) or 'none'}), {size / 1e6:.1f} M trained parameters")
    trainer.train_or_resume()
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    folder = Path(args.output_dir) / "model"
    record = TrainingRecord.of(trainer, script.dataset, script.split, rows, dataset)
    trainer.save_checkpoint(folder, repo_id, args.hub_token, record)
    say_finished(trainer, folder, f"hf-motion evaluate --reconstruction --model {{}} --dataset {script.dataset} --split {script.split}")


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, MotionTextTrainingArguments)).parse())
