"""What the tables of vimorag.py stand on: a corpus of filmed clips, data to learn from, and models, each made once and kept."""

import argparse
import functools
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hf_motion import MotionLanguageModel, MotionTextEmbedder
from hf_motion.checkpoints import EMBEDDED_EVALUATOR, EMBEDDED_TMR
from hf_motion.data.motion_text import load_motion_rows, mirror_motion, mirror_text, read_row
from hf_motion.evaluation.clips import EvaluationClips
from hf_motion.evaluation.generation import GenerationScorer
from hf_motion.evaluation.generations import system_generator
from hf_motion.evaluation.protocol import get_protocol
from hf_motion.models.motion_language.instructions import Instructions
from hf_motion.models.vimorag.from_retriever import WORDINGS
from hf_motion.motion import Motion
from hf_motion.preferences.dual_alignment import DualAlignmentRequest, build_dual_alignment
from hf_motion.retrieval.retrieved import RetrievedVideos
from hf_motion.retrieval.video_building import GeminiMVREmbedder, build_video_index, find_videos
from hf_motion.retrieval.video_index import VideoIndex
from hf_motion.retrieval.video_retriever import VideoRetriever
from hf_motion.trainers.motion_language import new_motion_language_model
from hf_motion.trainers.new_pipeline import train_clip_tokenizer
from hf_motion.utils.files import write_json
from hf_motion.video.cameras import film_motion

TRAINING = Path(__file__).parents[2] / "training"
HELD_OUT = {
    "wave": r"\bwav(e|es|ing)\b",
    "lunge": r"\blung(e|es|ing)\b",
    "run": r"\b(runs?|running|jog\w*|sprint\w*|dash\w*)\b",
}
"""Actions that can be left out of what a model learns: their verifier, and what captions say of them."""

SIZES = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 6, "tie_word_embeddings": True}
"""Of a language model that learns from nothing."""

SHORTEST = 41
_PERFORMER = re.compile(r"^cmu_(\d+)_|^uiprmd_m\d+_(s\d+)_")


class Seeing:
    """A model that is shown the video of each text: what `system_generator` takes for a system."""

    def __init__(self, model: MotionLanguageModel, found: RetrievedVideos | None) -> None:
        self.model, self.found, self.feature_extractor = model, found, model.feature_extractor

    def generate_motion(self, texts: list[str], num_frames: Any, **options: Any) -> Any:
        videos = None if self.found is None else [self.found.paths(text)[0] for text in texts]
        return self.model.generate_motion(texts, num_frames, videos=videos, **options)


class Study:
    """What all tables stand on, each part made once. The corpus is the same with and without `held_out`, all else lies apart."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.corpus = arguments, arguments.output / "corpus"
        self.folder = arguments.output / ("held_out" if arguments.held_out else "all")
        for folder in (self.corpus, self.folder):
            folder.mkdir(parents=True, exist_ok=True)

    def _halves(self) -> Iterator[tuple[pa.Table, list[str], list[str]]]:
        """Each file as a table, what each row is for (`corpus`, `train`, `test`), and all that its captions say."""
        for file in self.arguments.parquet:
            table = pq.read_table(file)
            uses, said = [], []
            for row in table.select(["id", "source", "take", "split", "captions"]).to_pylist():
                known = _PERFORMER.match(row["id"])
                performer = next(filter(None, known.groups())) if known else row["take"] or row["id"]
                even = hashlib.sha1(f"{row['source']}|{performer}".encode()).digest()[0] % 2 == 0
                uses.append("test" if row["split"] == "test" else "corpus" if even else "train")
                said.append(" | ".join(caption["text"] for caption in row["captions"]))
            yield table, uses, said

    @property
    def motion(self) -> Path:
        """Captioned motion to learn from and to be judged on."""
        path = self.folder / "motion.parquet"
        if not path.is_file():
            held, parts = re.compile("|".join(HELD_OUT.values()), re.IGNORECASE), []
            for table, uses, said in self._halves():
                learned = [not (self.arguments.held_out and held.search(text)) for text in said]
                kept = [use == "test" or (use == "train" and good) for use, good in zip(uses, learned, strict=True)]
                table = table.set_column(table.column_names.index("split"), "split", pa.array(uses))
                parts.append(table.filter(pa.array(kept)))
            pq.write_table(pa.concat_tables(parts, promote_options="permissive"), path)
        return path

    def clips(self, split: str) -> list[tuple[str, Motion, list[str]]]:
        """Id, motion and captions of the clips of a split that a camera can film, mirrored ones of what is learned included."""
        clips = []
        for row in load_motion_rows(str(self.motion), split):
            if row["n_frames"] < SHORTEST:
                continue
            motion, captions = read_row(row, "humanml3d-22")
            clips.append((row["id"], motion, captions))
            if split == "train":
                clips.append((f"{row['id']}_mirrored", mirror_motion(motion), [mirror_text(caption) for caption in captions]))
        return clips

    @functools.cached_property
    def index(self) -> VideoIndex:
        """The corpus: each clip filmed by some cameras."""
        folder = self.corpus / "videos"
        if not (folder / "captions.json").is_file():
            folder.mkdir(exist_ok=True)
            captions = {}
            for table, uses, said in self._halves():
                for at in (at for at, use in enumerate(uses) if use == "corpus"):
                    row = table.slice(at, 1).to_pylist()[0]
                    if row["n_frames"] < SHORTEST:
                        continue
                    motion = read_row(row, "humanml3d-22")[0]
                    for camera in range(self.arguments.cameras):
                        name = f"{row['id']}_{camera}.npz"
                        film_motion(motion, rng(row["id"], camera)).save(folder / name)
                        captions[name] = said[at]
            write_json(folder / "captions.json", captions)
        rows = find_videos(folder)
        if self.arguments.videos is not None:
            rows += [{**row, "id": f"real/{row['id']}", "source": "real"} for row in find_videos(self.arguments.videos)]
        return build_video_index(rows, GeminiMVREmbedder.from_pretrained(), self.corpus / "index").index

    @functools.cached_property
    def said(self) -> dict[str, str]:
        """What captions say of the clips of the corpus, by the ids of their videos; of real films nothing is known."""
        return json.loads((self.corpus / "videos" / "captions.json").read_text())

    def captions(self, split: str) -> list[str]:
        found = {caption for row in load_motion_rows(str(self.motion), split) for caption in read_row(row, "humanml3d-22")[1]}
        return sorted(found | {mirror_text(caption) for caption in found})

    def retrieved(self, name: str, retriever: Any, split: str) -> Path:
        folder = self.folder / "retrieved" / f"{name}-{split}"
        if not (folder / "train.parquet").is_file():
            RetrievedVideos.of(retriever, self.captions(split), k=1).save(folder)
        return folder

    def own_videos(self, split: str) -> Path:
        """For each caption a clip that it is the caption of, filmed: what a retriever would find that never errs."""
        folder, films, rows = self.folder / "retrieved" / f"own-{split}", self.folder / "films" / split, {}
        if not (folder / "train.parquet").is_file():
            films.mkdir(parents=True, exist_ok=True)
            for name, motion, captions in self.clips(split):
                new = [caption for caption in captions if caption not in rows]
                if new:
                    path = film_motion(motion, rng(name, 0)).save(films / f"{name}.npz")
                    rows |= {text: {"text": text, "ids": [name], "paths": [str(path)], "starts": [0.0], "scores": [1.0]} for text in new}
            RetrievedVideos(list(rows.values())).save(folder)
        return folder

    @functools.cached_property
    def language_model(self) -> Path:
        """What stage 1 begins with: the model that was named, or a small one that has learned nothing, as the paper's knows no motion."""
        if self.arguments.model is not None:
            return Path(self.arguments.model)
        base, folder = self.folder / f"base_{self.arguments.seed}", self.folder / f"language_model_{self.arguments.seed}"
        if not (folder / "motion_tokenizer" / "config.json").is_file():
            torch.manual_seed(self.arguments.seed)
            known = (Instructions.from_file(), Instructions.from_file(WORDINGS))
            wordings = [wording for one in known for wording in one.templates["text_to_motion"]]
            tokenizer = train_clip_tokenizer([*self.captions("train"), *wordings], 1400)
            tokenizer.model_max_length = 512
            ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
            tokenizer.save_pretrained(base)
            LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=512, **SIZES, **ids)).save_pretrained(base)
            new_motion_language_model(str(base), self.arguments.motion_tokenizer, seed=self.arguments.seed).save_pretrained(folder)
        return folder

    def run(self, script: str, name: str, *options: Any) -> Path:
        folder = self.folder / name
        if not (folder / "model" / "motion_tokenizer" / "config.json").is_file():
            words = [str(option) for option in (*options, "--seed", self.arguments.seed)]
            subprocess.run([sys.executable, str(TRAINING / f"{script}.py"), "--output_dir", str(folder), *words], check=True)
        return folder / "model"

    def stage_one(self, shown: str = "gem") -> Path:
        """A model that learned beside videos: found ones (`gem`, as in the paper), those of `own_videos` (`own`), or none (`none`)."""
        steps, rate = self.arguments.steps, self.arguments.learning_rate
        options = ["--config", TRAINING / "configs" / "vimorag_small.yaml", "--model", self.language_model, "--dataset", self.motion]
        options += [
            "--max_steps",
            steps,
            "--rows",
            16 * steps,
            "--save_steps",
            50,
            "--learning_rate",
            rate,
            "--projector_learning_rate",
            rate,
        ]
        if self.arguments.learned:
            options += ["--max_train_samples", self.arguments.learned]
        if shown == "gem":
            options += ["--retrieved", self.retrieved("gem", VideoRetriever(self.index), "train")]
        if shown == "own":
            options += ["--retrieved", self.own_videos("train"), "--silent_share", self.arguments.silent_share]
        return self.run("train_sft", f"stage_one_{shown}_{self.arguments.seed}", *options)

    def stage_two(self) -> Path:
        model, pairs = self.stage_one(), self.folder / f"pairs_{self.arguments.seed}"
        found = self.retrieved("gem", VideoRetriever(self.index), "train")
        if not (pairs / "build.json").is_file():
            build_dual_alignment(
                DualAlignmentRequest(
                    str(pairs), str(model), str(self.motion), str(found), share=self.arguments.pair_share, seed=self.arguments.seed
                )
            )
        config = TRAINING / "configs" / "mcdpo.yaml"
        return self.run("train_dpo", f"stage_two_{self.arguments.seed}", "--config", config, "--model", model, "--pairs", pairs)

    def score(self, name: str, model: Path, found: Path | None) -> dict[str, float]:
        """Row of a table, told the lengths."""
        file = self.folder / f"scores_{self.arguments.seed}" / f"{name}.json"
        if not file.is_file():
            embedders = [MotionTextEmbedder.from_pretrained(folder) for folder in (EMBEDDED_EVALUATOR, EMBEDDED_TMR)]
            rows = load_motion_rows(str(self.motion), "test")
            clips = EvaluationClips.from_rows(rows, embedders[0].feature_extractor, max_clips=self.arguments.clips)
            options = {"pool_size": 32, "alignment_pool_size": min(256, len(clips)), "replications": self.arguments.replications}
            scorer = GenerationScorer(clips, get_protocol("strict", **options, max_frames=100), *embedders)
            system = Seeing(MotionLanguageModel.from_pretrained(model), None if found is None else RetrievedVideos.load(found))
            make = system_generator(system, embedders[0].feature_extractor, {"temperature": self.arguments.temperature})
            known = {name: {"name": name, "model": str(model), "seed": self.arguments.seed}}
            scores = scorer.score({name: make}, self.folder / "motions", known)
            file.parent.mkdir(exist_ok=True)
            means = {row: {key: float(np.mean(values)) for key, values in columns.items()} for row, columns in scores.items()}
            write_json(file, means)
        return json.loads(file.read_text())[name]


def rng(name: str, camera: int) -> np.random.Generator:
    """What a camera is drawn with."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{name}|{camera}".encode()).digest()[:8], "big"))
