"""Distil a diffusion pipeline into one that takes one to four steps (consistency distillation, as MotionLCM).

    python training/train_distillation.py --config training/configs/mdm_small_distill.yaml --dataset org/my-motions --output_dir runs/few
    python training/train_distillation.py --config training/configs/mld_distill.yaml --pipeline runs/mld --dataset ... --output_dir runs/lcm

Every option of the YAML file can be given on the command line too. Run the same command again to go on from the last checkpoint. With
--lora_rank an adapter is trained and saved alone; --beside_teacher saves teacher and student as one checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from transformers import set_seed

from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.data.paraphrases import load_paraphrases
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.trainers.averaging import trained_parameters
from hf_motion.trainers.callbacks import EvaluateMotionsCallback
from hf_motion.trainers.distillation import DistillationArguments, DistillationTrainer, check_teacher
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.utils.files import check_writable


@dataclass
class ScriptArguments:
    """What to distil, and on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub."})
    pipeline: str = field(metadata={"help": "The teacher: folder or repository of a diffusion pipeline."})
    split: str = field(default="train", metadata={"help": "Split to train on."})
    mirror: bool = field(default=True, metadata={"help": "Also train on every clip mirrored, with sides exchanged in its captions."})
    min_frames: int = field(default=24, metadata={"help": "Leave shorter clips out."})
    level_floor: bool = field(default=False, metadata={"help": "Let feet stand at height 0 all along each clip, see data/floor.py."})
    fixed_bones: bool = field(default=False, metadata={"help": "Train on the very body that decoding ends on, see MotionTextDataset."})
    strict: bool = field(default=True, metadata={"help": "Stop at an unreadable row rather than skip and count it."})
    paraphrases: str | None = field(default=None, metadata={"help": "Folder of other wordings of captions; none by default."})
    paraphrase_share: float = field(default=0.5, metadata={"help": "Probability of replacing a caption by another wording of it."})
    example_share: float = field(default=0.0, metadata={"help": "For a teacher with ground_prompts, see train_diffusion.py."})
    score_split: str = field(default="val", metadata={"help": "Split to score on while training, see score_steps."})
    score_steps: int = field(default=0, metadata={"help": "Steps between scores (FID, R-precision, skating); 0 for none."})
    score_clips: int | None = field(default=None, metadata={"help": "Clips to score on, all of the split by default."})
    score_inference_steps: int | None = field(default=None, metadata={"help": "Steps of scored motions, the most by default."})


def main(script: ScriptArguments, args: DistillationArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    if push and args.lora_rank:
        raise ValueError("An adapter is pushed with huggingface_hub's upload_folder; leave push_to_hub out with lora_rank.")
    with args.main_process_first(desc="reading the data set"):
        rows = load_motion_rows(script.dataset, script.split)
        score_rows = load_motion_rows(script.dataset, script.score_split) if script.score_steps else None
    teacher = MotionDiffusionPipeline.load(script.pipeline)
    check_teacher(teacher, args.original_inference_steps, rows)
    words = load_paraphrases(script.paraphrases) if script.paraphrases else None
    options = script.mirror, script.min_frames, script.strict, not args.disable_tqdm
    shares = {"paraphrase_share": script.paraphrase_share, "example_share": script.example_share}
    dataset = MotionTextDataset(
        rows, teacher.feature_extractor, *options, script.level_floor, words, fixed_bones=script.fixed_bones, **shares
    )
    trainer = DistillationTrainer(teacher, args, dataset)
    if score_rows is not None:
        scored = script.score_steps, script.score_clips, script.score_inference_steps
        callback = EvaluateMotionsCallback(trainer.pipeline, score_rows, *scored, show_progress=False)
        callback.trainer = trainer
        trainer.add_callback(callback)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in trained_parameters(trainer.model))
        print(f"{len(dataset)} clips (left out: {dict(dataset.skipped) or 'none'}), {size / 1e6:.1f} M trained parameters")
    trainer.train_or_resume()
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    folder = Path(args.output_dir) / ("adapter" if args.lora_rank else "pipeline")
    trainer.save_pipeline(folder, repo_id, TrainingRecord.of(trainer, script.dataset, script.split, rows, dataset))
    steps = max(args.num_inference_steps)
    command = f'hf-motion generate "a person walks forward" --model {{}} --num-inference-steps {steps}'
    if args.lora_rank:
        command = f'pipe.load_lora_weights("{folder}"); pipe("a person walks forward", num_inference_steps={steps})'
    say_finished(trainer, folder, command)


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, DistillationArguments)).parse())
