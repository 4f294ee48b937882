"""Give a trained diffusion pipeline another text encoder, which learns from captions and their other wordings to be read as the old one.

    python training/train_text_side.py --config training/configs/mdm_small_words.yaml --pipeline runs/mdm_small/pipeline \
        --dataset path/to/parquet --output_dir runs/words

No motion is in the loop: see hf_motion/trainers/text_transplant.py. Go on with train_diffusion.py --pipeline runs/words/pipeline. Run the
same command again to go on from the last checkpoint.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertModel, TrainingArguments, set_seed

from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, mirror_text, take_rows
from hf_motion.data.paraphrases import load_paraphrases
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.trainers.text_transplant import (
    TextTransplant,
    TransplantTrainer,
    WordingCollator,
    WordingDataset,
    collect_queries,
    shrink_bert,
)
from hf_motion.utils.files import check_writable
from hf_motion.utils.text import read_text, tidy_text


@dataclass
class ScriptArguments:
    """What to teach, and to which text encoder."""

    pipeline: str = field(metadata={"help": "Trained pipeline whose denoiser attends to tokens."})
    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub that it learned from."})
    split: str = field(default="train", metadata={"help": "Split that it learned from."})
    paraphrases: str = field(default="training/paraphrases", metadata={"help": "Folder with other wordings of captions."})
    text_encoder: str = field(
        default="sentence-transformers/all-MiniLM-L6-v2", metadata={"help": "Pretrained BERT with a wordpiece tokenizer."}
    )
    num_layers: int = field(default=4, metadata={"help": "Layers of it to keep."})
    trained_layers: int = field(default=2, metadata={"help": "Of these the last so many learn; word embeddings stay as they are."})
    vocab_size: int = field(default=9000, metadata={"help": "Words of it to keep."})
    more_words: str | None = field(default=None, metadata={"help": "Text file with more words to keep whole."})
    max_text_tokens: int = field(default=64, metadata={"help": "Longest text."})
    num_queries: int = field(default=384, metadata={"help": "Frames whose queries are looked at."})
    projection_learning_rate: float = field(default=2.0e-3, metadata={"help": "For the new projection, which starts from nothing."})


def main(script: ScriptArguments, args: TrainingArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    args.remove_unused_columns = False
    teacher = MotionDiffusionPipeline.load(script.pipeline)
    teacher.denoiser.requires_grad_(False)
    rows = load_motion_rows(script.dataset, script.split)
    captions = sorted({text for captions in rows["captions"] for caption in captions if (text := tidy_text(caption["text"]))})
    paraphrases = load_paraphrases(script.paraphrases)
    texts = [text for caption in captions for text in (caption, *paraphrases(caption))]
    texts += [*map(mirror_text, texts), *(read_text(script.more_words).split() if script.more_words else ())]
    encoder, tokenizer = shrink_bert(
        BertModel.from_pretrained(script.text_encoder, use_safetensors=True),
        AutoTokenizer.from_pretrained(script.text_encoder),
        script.num_layers,
        texts,
        script.vocab_size,
        script.max_text_tokens,
    )
    encoder.requires_grad_(False)
    encoder.encoder.layer[script.num_layers - script.trained_layers :].requires_grad_(True)
    shown = take_rows(rows, min(len(rows), script.num_queries))
    clips = MotionTextDataset(shown, teacher.feature_extractor, mirror=True)
    transplant = TextTransplant(teacher, encoder, tokenizer, collect_queries(teacher, clips, script.num_queries, args.seed))
    groups = [
        {"params": [weight for weight in encoder.parameters() if weight.requires_grad], "lr": args.learning_rate},
        {"params": transplant.projection.parameters(), "lr": script.projection_learning_rate},
    ]
    dataset = WordingDataset(captions, paraphrases, args.max_steps * args.train_batch_size * args.gradient_accumulation_steps, args.seed)
    print(f"{len(captions)} captions of {len(dataset.actions)} actions, {len(paraphrases)} wordings, {len(tokenizer)} words")
    trainer = TransplantTrainer(
        transplant,
        args,
        train_dataset=dataset,
        data_collator=WordingCollator(transplant),
        optimizers=(torch.optim.AdamW(groups, weight_decay=args.weight_decay), None),
    )
    trainer.train_or_resume()
    folder = Path(args.output_dir) / "pipeline"
    trainer.save_pipeline(folder, TrainingRecord.of(trainer, script.dataset, script.split, shown, clips))
    say_finished(trainer, folder, f"python training/train_diffusion.py --pipeline {{}} --dataset {shlex.quote(script.dataset)} ...")


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, TrainingArguments)).parse())
