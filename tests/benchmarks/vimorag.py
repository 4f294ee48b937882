"""VimoRAG's tables on real clips that virtual cameras film: retrieval, what retrieved videos and McDPO do, corpus size, held-out actions.

    python tests/benchmarks/vimorag.py PARQUET --model runs/motion_lm --output outputs/vimorag [--tables retrieval mcdpo corpus]
    python tests/benchmarks/vimorag.py PARQUET --model runs/motion_lm_held_out --output outputs/held_out --held_out --tables held_out

Clips are divided by performer (where ids tell; by take otherwise): half of the training split is filmed into the corpus, the other half is
what the language model learns from, so that no query finds its own clip. `--videos FOLDER` adds real films as distractors. Everything is
kept in the output folder, and the same command goes on where it was stopped. `--held_out` leaves three actions out of what the model
learns: start from a model that never saw them (`--tables held_out_data` writes the data set to train one on).
"""

import argparse
import functools
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_motion import MotionLanguageModel, MotionTextEmbedder
from hf_motion.checkpoints import EMBEDDED_EVALUATOR, EMBEDDED_MVR, EMBEDDED_TMR
from hf_motion.data.motion_text import load_motion_rows, mirror_text, read_row
from hf_motion.evaluation.clips import EvaluationClips
from hf_motion.evaluation.generation import GenerationScorer
from hf_motion.evaluation.generations import system_generator
from hf_motion.evaluation.protocol import get_protocol
from hf_motion.preferences.dual_alignment import DualAlignmentRequest, build_dual_alignment
from hf_motion.retrieval.retrieved import RetrievedVideos
from hf_motion.retrieval.video_building import GeminiMVREmbedder, build_video_index, find_videos
from hf_motion.retrieval.video_index import VideoIndex
from hf_motion.retrieval.video_retriever import RandomVideos, VideoRetriever
from hf_motion.rewards import Specification, verify
from hf_motion.utils.files import write_json
from hf_motion.video.cameras import film_motion

TRAINING = Path(__file__).parents[2] / "training"
HELD_OUT = {"bow": r"\bbow(s|ing)?\b", "lunge": r"\blung(e|es|ing)\b", "wave": r"\bwav(e|es|ing)\b"}
_PERFORMER = re.compile(r"^cmu_(\d+)_|^uiprmd_m\d+_(s\d+)_")
_SHORTEST = 41


class Seeing:
    """A model that is shown the video of each text: what `system_generator` takes for a system."""

    def __init__(self, model: MotionLanguageModel, found: RetrievedVideos | None) -> None:
        self.model, self.found, self.feature_extractor = model, found, model.feature_extractor

    def generate_motion(self, texts: list[str], num_frames: Any, **options: Any) -> Any:
        videos = None if self.found is None else [self.found.paths(text)[0] for text in texts]
        return self.model.generate_motion(texts, num_frames, videos=videos, **options)


class Study:
    """What all tables stand on, each part made once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.folder = arguments, arguments.output
        self.folder.mkdir(parents=True, exist_ok=True)

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

    @functools.cached_property
    def index(self) -> VideoIndex:
        """The corpus: each clip filmed by some cameras."""
        folder = self.folder / "videos"
        if not (folder / "done").is_file():
            folder.mkdir(exist_ok=True)
            for table, uses, _ in self._halves():
                for at in (at for at, use in enumerate(uses) if use == "corpus"):
                    row = table.slice(at, 1).to_pylist()[0]
                    if row["n_frames"] < _SHORTEST:
                        continue
                    motion = read_row(row, "humanml3d-22")[0]
                    for camera in range(self.arguments.cameras):
                        film_motion(motion, rng(row["id"], camera)).save(folder / f"{row['id']}_{camera}.npz")
            (folder / "done").touch()
        rows = find_videos(folder)
        if self.arguments.videos is not None:
            rows += [{**row, "id": f"real/{row['id']}", "source": "real"} for row in find_videos(self.arguments.videos)]
        return build_video_index(rows, GeminiMVREmbedder.from_pretrained(), self.folder / "index").index

    def captions(self, split: str) -> list[str]:
        found = {caption for row in load_motion_rows(str(self.motion), split) for caption in read_row(row, "humanml3d-22")[1]}
        return sorted(found | {mirror_text(caption) for caption in found})

    def retrieved(self, name: str, retriever: Any, split: str) -> Path:
        folder = self.folder / "retrieved" / f"{name}-{split}"
        if not (folder / "train.parquet").is_file():
            RetrievedVideos.of(retriever, self.captions(split), k=1).save(folder)
        return folder

    def run(self, script: str, name: str, *options: Any) -> Path:
        folder = self.folder / name
        if not (folder / "model" / "motion_tokenizer" / "config.json").is_file():
            words = [str(option) for option in options]
            subprocess.run([sys.executable, str(TRAINING / f"{script}.py"), "--output_dir", str(folder), *words], check=True)
        return folder / "model"

    def stage_one(self, shown: bool = True) -> Path:
        options = ["--config", TRAINING / "configs" / "vimorag_small.yaml", "--model", self.arguments.model, "--dataset", self.motion]
        options += ["--max_steps", self.arguments.steps, "--rows", 16 * self.arguments.steps]
        if not shown:
            return self.run("train_sft", "without", *options)
        found = self.retrieved("gem", VideoRetriever(self.index), "train")
        return self.run("train_sft", "stage_one", *options, "--retrieved", found)

    def stage_two(self) -> Path:
        model, pairs = self.stage_one(), self.folder / "pairs"
        found = self.retrieved("gem", VideoRetriever(self.index), "train")
        if not (pairs / "build.json").is_file():
            build_dual_alignment(
                DualAlignmentRequest(str(pairs), str(model), str(self.motion), str(found), share=self.arguments.pair_share)
            )
        config = TRAINING / "configs" / "mcdpo.yaml"
        return self.run("train_dpo", "stage_two", "--config", config, "--model", model, "--pairs", pairs)

    def score(self, name: str, model: Path, found: Path | None) -> dict[str, float]:
        """Row of a table, told the lengths."""
        file = self.folder / "scores" / f"{name}.json"
        if not file.is_file():
            embedders = [MotionTextEmbedder.from_pretrained(folder) for folder in (EMBEDDED_EVALUATOR, EMBEDDED_TMR)]
            rows = load_motion_rows(str(self.motion), "test")
            clips = EvaluationClips.from_rows(rows, embedders[0].feature_extractor, max_clips=self.arguments.clips)
            options = {"pool_size": 32, "alignment_pool_size": min(256, len(clips)), "replications": self.arguments.replications}
            scorer = GenerationScorer(clips, get_protocol("strict", **options, max_frames=100), *embedders)
            system = Seeing(MotionLanguageModel.from_pretrained(model), None if found is None else RetrievedVideos.load(found))
            make = system_generator(system, embedders[0].feature_extractor, {"temperature": self.arguments.temperature})
            scores = scorer.score({name: make}, self.folder / "motions", {name: {"name": name, "model": str(model)}})
            file.parent.mkdir(exist_ok=True)
            means = {row: {key: float(np.mean(values)) for key, values in columns.items()} for row, columns in scores.items()}
            write_json(file, means)
        return json.loads(file.read_text())[name]


def rng(name: str, camera: int) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{name}|{camera}".encode()).digest()[:8], "big"))


def table(title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    print(f"\n{title}\n| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(f'{values[column]:.3f}' for column in columns)} |", flush=True)


def retrieval(study: Study) -> None:
    """Table 4: test clips filmed once, their first captions as queries; an untrained object level stands for one that knows no actions."""
    embedder = GeminiMVREmbedder.from_pretrained(EMBEDDED_MVR)
    clips = [read_row(row, "humanml3d-22") for row in load_motion_rows(str(study.motion), "test") if row["n_frames"] >= _SHORTEST]
    clips = clips[: study.arguments.clips]
    videos, scales, _ = embedder.embed_items([film_motion(motion, rng("test", place)) for place, (motion, _) in enumerate(clips)])
    texts = [captions[0] for _, captions in clips]
    start = time.process_time()
    queries = embedder.embed_texts(texts)
    action = (queries @ videos.T) * scales[:, 0]
    seconds = (time.process_time() - start) / len(texts)
    chance = np.random.default_rng(0).normal(size=action.shape)
    rows = {"object level (untrained stand-in)": chance, "action level": action, "both, router untrained": action / 2 + chance}
    table(f"Retrieval, {len(texts)} videos of one person each, {len(set(texts))} captions", {n: ranks(s, texts) for n, s in rows.items()})
    print(f"{seconds:.4f} s a query")


def ranks(scores: np.ndarray, texts: list[str]) -> dict[str, float]:
    """Of equal captions the best placed video counts; the worse place where scores are equal."""
    best = []
    for query, row in enumerate(scores):
        right = np.array([text == texts[query] for text in texts])
        best.append(int((row >= row[right].max()).sum()))
    found = np.array(best)
    shares = {f"R@{k}": float((found <= k).mean()) for k in (1, 5, 10)}
    return {**shares, "MdR": float(np.median(found)), "MnR": float(found.mean())}


def mcdpo(study: Study) -> None:
    """Table 3 and figure 6."""
    index = study.index
    found = {"Gem": study.retrieved("gem", VideoRetriever(index), "test"), "Ran": study.retrieved("ran", RandomVideos(index), "test")}
    settings = {"no video": (study.stage_one(shown=False), None)}
    for name, videos in found.items():
        settings[name] = (study.stage_one(), videos)
        settings[f"{name}+Mc"] = (study.stage_two(), videos)
    settings["Mc, none shown"] = (study.stage_two(), None)
    table("What is shown, with and without McDPO", {name: columns_of(study.score(name, *one)) for name, one in settings.items()})


def corpus(study: Study) -> None:
    """Figure 7: smaller corpora are parts of larger ones."""
    index, rows, model = study.index, {}, study.stage_two()
    order = np.random.default_rng(0).permutation(len(index))
    for share in study.arguments.shares:
        kept = np.sort(order[: max(1, round(share * len(index)))])
        found = study.retrieved(f"gem-{share:g}", VideoRetriever(index.keep(kept)), "test")
        rows[f"{len(kept)} videos"] = columns_of(study.score(f"corpus-{share:g}", model, found))
    table("Size of the corpus", rows)


def columns_of(scores: dict[str, float]) -> dict[str, float]:
    names = {"FID": "fid", "top 1": "r_precision_top1", "top 3": "r_precision_top3", "MM-Dist": "matching_score",
             "Diversity": "diversity", "TMR top 1": "tmr_r_precision_top1", "TMR top 3": "tmr_r_precision_top3"}  # fmt: skip
    return {shown: scores[name] for shown, name in names.items()}


def held_out(study: Study) -> None:
    """Three actions that were never learned: how many motions show them, by the verifiers."""
    index, model, without = study.index, study.stage_one(), study.stage_one(shown=False)
    retrievers = {"retrieved video": VideoRetriever(index), "random video": RandomVideos(index), "no video": None}
    rows: dict[str, dict[str, float]] = {name: {} for name in retrievers}
    for action, pattern in HELD_OUT.items():
        texts = [text for text in study.captions("test") if re.search(pattern, text, re.IGNORECASE)][: study.arguments.texts]
        wanted = Specification.from_dict({"task": "integrity", "events": [action]})
        for name, retriever in retrievers.items():
            system = MotionLanguageModel.from_pretrained(without if retriever is None else model)
            found = None if retriever is None else RetrievedVideos.of(retriever, texts, k=1, show_progress=False)
            motions = Seeing(system, found).generate_motion(texts, 80, seed=0, temperature=study.arguments.temperature)
            shown = [not verify(motion, wanted).missing for motion in motions]
            rows[name][f"{action} (of {len(texts)})"] = float(np.mean(shown))
    table("Share of motions that show an action that was never learned", rows)


TABLES = {
    "retrieval": retrieval,
    "mcdpo": mcdpo,
    "corpus": corpus,
    "held_out": held_out,
    "held_out_data": lambda study: print(study.motion),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path, nargs="+")
    parser.add_argument("--model", help="motion language model to begin with")
    parser.add_argument("--output", type=Path, default=Path("outputs/vimorag"))
    parser.add_argument("--tables", nargs="+", choices=[*TABLES], default=["retrieval", "mcdpo", "corpus"])
    parser.add_argument("--videos", type=Path, help="real films as distractors")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--pair_share", type=float, default=0.25)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.1, 0.5, 1.0])
    parser.add_argument("--held_out", action="store_true")
    arguments = parser.parse_args()
    if arguments.model is None and not {"retrieval", "held_out_data"}.issuperset(arguments.tables):
        parser.error("--model names the motion language model to begin with.")
    study = Study(arguments)
    for name in arguments.tables:
        TABLES[name](study)


if __name__ == "__main__":
    main()
