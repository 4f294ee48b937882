"""Train a retrieval model (T2MEvaluator, TMR, AdaQF's extractors or Gemini-MVR's action level) on captioned motion.

    python training/train_retrieval.py --config training/configs/tmr_small.yaml --dataset org/my-motions --output_dir runs/tmr
    accelerate launch --config_file training/accelerate/gpu_multi.yaml training/train_retrieval.py --config training/configs/tmr.yaml ...
    python training/train_retrieval.py --config training/configs/gemini_mvr_small.yaml --dataset org/my-motions --output_dir runs/mvr

Gemini-MVR finds videos: it learns from motions that random cameras film, 17 keypoints a frame. To teach a trained one other words, without
a new embedding for any video: --model path/to/mvr --config training/configs/gemini_mvr_text.yaml --paraphrases training/paraphrases, and
--words_of sentence-transformers/all-MiniLM-L6-v2 for a text tower that knows English words.

Every option of the YAML file can be given on the command line too. Run the same command again to go on from the last checkpoint.
Contrastive losses see the captions of one process: with several, raise the batch size per device rather than count on the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, BertModel, set_seed

from hf_motion import MotionFeatureExtractor
from hf_motion.data.keypoint_text import KeypointTextDataset
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.data.paraphrases import load_paraphrases
from hf_motion.hub.training_card import TrainingRecord
from hf_motion.trainers.borrowed_words import give_words
from hf_motion.trainers.new_retrieval import load_retrieval_model, new_retrieval_model
from hf_motion.trainers.options import TrainingParser
from hf_motion.trainers.resuming import say_finished
from hf_motion.trainers.retrieval import RetrievalTrainer, RetrievalTrainingArguments
from hf_motion.utils.files import check_writable
from hf_motion.utils.options import as_mapping


@dataclass
class ScriptArguments:
    """What to train, and on what."""

    dataset: str = field(metadata={"help": "Parquet file, folder of them, or data set on the Hub."})
    split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split: str | None = field(default=None, metadata={"help": "Split to watch the loss on; also set eval_strategy."})
    mirror: bool = field(default=True, metadata={"help": "Also train on every clip mirrored, with sides exchanged in its captions."})
    min_frames: int = field(default=40, metadata={"help": "Leave shorter clips out."})
    max_frames: int = field(default=196, metadata={"help": "Longer clips are cut at random."})
    representation: str = field(default="humanml3d", metadata={"help": "Features of a new model: humanml3d or humantomato."})
    skeleton: str = field(default="humanml3d-22", metadata={"help": "Joints of a new model and of the data, such as smplx-52."})
    fps: float | None = field(default=None, metadata={"help": "Frame rate of a new model's features, by default the skeleton's own."})
    strict: bool = field(default=True, metadata={"help": "Stop at an unreadable row rather than skip and count it."})
    model: str | None = field(default=None, metadata={"help": "Go on from this checkpoint rather than from random weights."})
    model_type: str = field(default="tmr", metadata={"help": "Of a new model: t2m-evaluator, tmr, adaqf-extractors or gemini-mvr."})
    model_options: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of a new model's configuration."})
    text_model: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "For tmr: a pretrained text encoder, or options of a small one to train from scratch."}
    )
    stage: str | None = field(default=None, metadata={"help": "For gemini-mvr: action, or text to train its text tower alone."})
    words_of: str | None = field(default=None, metadata={"help": "For gemini-mvr: sentence model that a new text tower has its words of."})
    words: int = field(default=7000, metadata={"help": "How many of them."})
    paraphrases: str | None = field(default=None, metadata={"help": "Folder of other wordings of captions."})
    paraphrase_share: float = field(default=0.5, metadata={"help": "How often a caption is replaced by one of them."})
    glove: str | None = field(default=None, metadata={"help": "For models that read words: folder with the published word vectors."})


def main(script: ScriptArguments, args: RetrievalTrainingArguments) -> None:
    check_writable(args.output_dir)
    set_seed(args.seed)
    push, args.push_to_hub = args.push_to_hub, False  # Trainer would push its raw states
    with args.main_process_first(desc="reading the data set"):
        rows = load_motion_rows(script.dataset, script.split)
        eval_rows = load_motion_rows(script.dataset, script.eval_split) if script.eval_split else None
    reading = {"min_frames": script.min_frames, "strict": script.strict, "show_progress": not args.disable_tqdm}
    loaded = load_retrieval_model(script.model) if script.model else None
    features = {"fps": script.fps, "max_frames": script.max_frames}
    extractor = loaded[2] if loaded else MotionFeatureExtractor(script.representation, script.skeleton, **features)
    filmed = (loaded[0].config.model_type if loaded else script.model_type) == "gemini-mvr"
    dataset_class = KeypointTextDataset if filmed else MotionTextDataset
    words = load_paraphrases(script.paraphrases) if script.paraphrases else None
    dataset = dataset_class(rows, extractor, script.mirror, **reading, paraphrases=words, paraphrase_share=script.paraphrase_share)
    if loaded is None:
        dataset.fit_statistics()
        captions = [text for texts in dataset.captions for text in texts]
        captions += [text for texts in dataset.wordings.values() for text in texts]
        options, text_model = as_mapping(script.model_options), as_mapping(script.text_model)
        model, tokenizer = new_retrieval_model(script.model_type, captions, dataset.tags, extractor, options, text_model, script.glove)
    else:
        model, tokenizer, _ = loaded
    if (script.stage or script.words_of) and not filmed:
        raise ValueError(f"--stage and --words_of are for a gemini-mvr, this is a {model.config.model_type}. Leave them out.")
    if script.stage is not None:
        model.set_stage(script.stage)
    if script.words_of is not None:
        sentence_model = BertModel.from_pretrained(script.words_of, use_safetensors=True)
        tokenizer = give_words(model, sentence_model, AutoTokenizer.from_pretrained(script.words_of), dataset.texts(), script.words)
    eval_dataset = dataset_class(eval_rows, extractor, **reading) if eval_rows is not None else None
    trainer = RetrievalTrainer(model, args, dataset, tokenizer, eval_dataset)
    if trainer.is_world_process_zero():
        size = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        print(f"{len(dataset)} clips (left out: {dict(dataset.skipped) or 'none'}), {size / 1e6:.1f} M trained parameters")
    trainer.train_or_resume()
    repo_id = (args.hub_model_id or Path(args.output_dir).name) if push else None
    folder = Path(args.output_dir) / "model"
    record = TrainingRecord.of(trainer, script.dataset, script.split, rows, dataset)
    trainer.save_checkpoint(folder, repo_id, args.hub_token, record)
    judge = f"hf-motion evaluate --retrieval --model {{}} --dataset {script.dataset} --split {script.split}"
    say_finished(trainer, folder, "hf-motion video index my-videos -o my-index --model {}" if filmed else judge)


if __name__ == "__main__":
    main(*TrainingParser((ScriptArguments, RetrievalTrainingArguments)).parse())
