"""Train HumanTOMATO's facial cVAE on faces with texts.

    python training/train_face.py --config training/configs/humantomato_face_small.yaml --dataset org/faces --output_dir runs/face
    accelerate launch --config_file training/accelerate/gpu_multi.yaml training/train_face.py \
        --config training/configs/humantomato_face.yaml --dataset org/motion-x --output_dir runs/face

With `--model_options '{"contrastive_weight": 0.1}'` and another seed it learns to tell faces apart, and can judge the first:
`hf-motion evaluate --faces --model runs/face --evaluator runs/judge`. Run the same command again to go on from the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import set_seed

from hf_motion import FacialCVAE, FacialCVAEConfig
from hf_motion.data.motion_text import load_motion_rows
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.trainers.faces import FaceCollator, FaceTextDataset, new_face_model, save_face_model
from hf_motion.trainers.motion_text import MotionTextTrainer, MotionTextTrainingArguments
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.utils.files import check_writable
from hf_motion.utils.options import as_mapping, check_options
from hf_motion.utils.training_folder import checkpoint_in


@dataclass
class ScriptArguments:
    """What to train, and on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub, with faces."})
    split: str = field(default="train", metadata={"help": "Split to train on."})
    min_frames: int = field(default=20, metadata={"help": "Leave shorter faces out."})
    strict: bool = field(default=True, metadata={"help": "Stop at a face of another kind rather than skip and count it."})
    model: str | None = field(default=None, metadata={"help": "Go on from this checkpoint rather than from random weights."})
    model_options: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of a new model, see FacialCVAEConfig."})
    text_model: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "A pretrained text encoder, or options of a small one to train from scratch."}
    )


def main(script: ScriptArguments, args: MotionTextTrainingArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    with args.main_process_first(desc="reading the data set"):
        rows = load_motion_rows(script.dataset, script.split)
    options = as_mapping(script.model_options) or {}
    check_options(options, FacialCVAEConfig, "model_options")
    model = FacialCVAE.from_pretrained(checkpoint_in(script.model)) if script.model is not None else None
    config = model.config if model is not None else FacialCVAEConfig(**options)
    dataset = FaceTextDataset(rows, config, script.min_frames, script.strict)
    if model is None:
        dataset.fit_statistics()
        texts = [text for texts in dataset.texts for text in texts]
        options |= {"mean": config.mean, "std": config.std}
        model = new_face_model(texts, as_mapping(script.text_model), options)
    trainer = MotionTextTrainer(model=model, args=args, train_dataset=dataset, data_collator=FaceCollator(model))
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        print(f"{len(dataset)} faces (left out: {dict(dataset.skipped) or 'none'}), {size / 1e6:.1f} M trained parameters")
    trainer.train_or_resume()
    folder = Path(args.output_dir) / "model"
    if trainer.is_world_process_zero():
        repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
        record = TrainingRecord.of(trainer, script.dataset, script.split, rows, dataset)
        save_face_model(folder, model, repo_id, args.hub_token, record)
    say_finished(trainer, folder, f"hf-motion evaluate --faces --model {{}} --evaluator JUDGE --dataset {script.dataset}")


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, MotionTextTrainingArguments)).parse())
