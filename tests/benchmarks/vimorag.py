"""VimoRAG's tables on real clips that virtual cameras film: retrieval, what retrieved videos and McDPO do, corpus size, held-out actions.

    python tests/benchmarks/vimorag.py PARQUET --motion_tokenizer runs/vq --output outputs/vimorag [--tables retrieval mcdpo corpus]
    python tests/benchmarks/vimorag.py PARQUET --motion_tokenizer runs/vq --output outputs/vimorag --held_out --tables held_out

Clips are divided by performer (where ids tell; by take otherwise): half of the training split is filmed into the corpus, the other half is
what the language model learns from, so that no query finds its own clip. `--videos FOLDER` adds real films as distractors. Everything is
kept in the output folder, and the same command goes on where it was stopped. `--held_out` leaves three actions out of what the models
learn. These begin with a small language model that has learned nothing, or with `--model`; with `--held_out` one that never saw the
actions (`--tables held_out_data` writes the data set to train one on).
"""

import argparse
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from vimorag_levels import TwoLevels
from vimorag_study import HELD_OUT, Study, rng

from hf_motion import MotionLanguageModel
from hf_motion.data.motion_text import mirror_text
from hf_motion.models.motion_decoding import decode_codes
from hf_motion.models.vimorag.processing_vimorag import AS_SHOWN, VimoRAGProcessor
from hf_motion.motion import Motion
from hf_motion.retrieval.retrieved import RetrievedVideos
from hf_motion.retrieval.video_building import GeminiMVREmbedder
from hf_motion.retrieval.video_index import Hit
from hf_motion.retrieval.video_retriever import RandomVideos, VideoRetriever
from hf_motion.rewards import Specification, verify
from hf_motion.trainers.videos import seeing_model
from hf_motion.video import read_frames
from hf_motion.video.cameras import film_motion

OWN_WORDS = {
    "a person waves with one hand": r"wav(e|ing)",
    "a person walks forward": r"walk(s|ing)?\b(?!.*back)|steps? forward",
    "a person runs": r"\brun|jog|sprint",
    "a person jumps": r"jump|hop|leap",
    "a person bows": r"\bbow|bend",
    "a person squats down and stands up": r"squat",
    "a person does a side lunge": r"lunge",
    "a person sits down": r"sits? down|takes a seat|lowers .* seat",
    "a person kicks": r"kick",
    "a person throws a punch": r"punch|box",
    "a person raises an arm": r"rais|lift|arm.* (up|overhead|out|to the side)|scaption|abduct",
    "a person walks backward": r"back(ward|s)?",
}
"""Sentences that are no captions, and what captions say of the clips that they should find."""


def table(title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    print(f"\n{title}\n| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(f'{values[column]:.3f}' for column in columns)} |", flush=True)


def retrieval(study: Study) -> None:
    """Table 4: test clips filmed once, their first captions as queries."""
    learned = study.clips("train")[: study.arguments.learned]
    levels = TwoLevels(
        [film_motion(motion, rng(name, 1)) for name, motion, _ in learned], [captions[0] for _, _, captions in learned],
        study.arguments.level_steps, study.arguments.seed,
    )  # fmt: skip
    clips = study.clips("test")[: study.arguments.clips]
    videos = [film_motion(motion, rng("test", place)) for place, (_, motion, _) in enumerate(clips)]
    texts = [captions[0] for _, _, captions in clips]
    rows = {name: ranks(scores, texts) for name, scores in levels.scores(videos, texts).items()}
    table(f"Retrieval, {len(texts)} videos of one person each, {len(set(texts))} captions", rows)


def ranks(scores: np.ndarray, texts: list[str]) -> dict[str, float]:
    """Of equal captions the best placed video counts; the worse place where scores are equal."""
    best = []
    for query, row in enumerate(scores):
        right = np.array([text == texts[query] for text in texts])
        best.append(int((row >= row[right].max()).sum()))
    found = np.array(best)
    shares = {f"R@{k}": float((found <= k).mean()) for k in (1, 5, 10)}
    return {**shares, "MdR": float(np.median(found)), "MnR": float(found.mean())}


def own_words(study: Study) -> None:
    """Sentences that are no captions, on test clips filmed once: how many of the best three show what they tell.

    First twelve of OWN_WORDS among 300 clips, then those of wordings.yaml, which nothing may learn from, among all.
    """
    embedder = GeminiMVREmbedder.from_pretrained(study.arguments.retriever)
    clips = study.clips("test")
    videos, _, _ = embedder.embed_items([film_motion(motion, rng(name, 0)) for name, motion, _ in clips])
    some = np.random.default_rng(1).permutation(len(clips))[:300]
    groups = yaml.safe_load(Path(__file__).with_name("wordings.yaml").read_text(encoding="utf-8"))
    wordings = {text: group["real"] for group in groups if "real" in group for text in group["wordings"]}
    for title, asked, rows in (("own words", OWN_WORDS, some), ("wordings", wordings, np.arange(len(clips)))):
        right = total = 0
        for query, (text, pattern) in zip(embedder.embed_texts(list(asked)), asked.items(), strict=True):
            shows = np.array([any(re.search(pattern, caption, re.IGNORECASE) for caption in clips[row][2]) for row in rows])
            found = int(shows[np.argsort(-(videos[rows] @ query), kind="stable")[:3]].sum())
            right, total = right + found, total + min(3, int(shows.sum()))
            if title == "own words":
                print(f"{text}: {found} of 3, {int(shows.sum())} of {len(rows)} clips show it")
        print(f"{title}: {right} right of {total}", flush=True)


def mcdpo(study: Study) -> None:
    """Table 3 and figure 6."""
    index = study.index
    found = {"Gem": study.retrieved("gem", VideoRetriever(index), "test"), "Ran": study.retrieved("ran", RandomVideos(index), "test")}
    settings: dict[str, tuple[Path, Path | None]] = {"no video": (study.stage_one("none"), None)}
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


class Asked(NamedTuple):
    """How a model is asked for an action: what it has learned beside, what finds its videos, and whether the text is told."""

    learned: str
    finds: str | None = None
    silent: bool = False

    @property
    def name(self) -> str:
        """Of a row."""
        learned = {"none": "no videos", "gem": "found videos", "own": "own videos"}[self.learned]
        return f"learned beside {learned}; {self.finds or 'no'} video{', no text' if self.silent else ''}"


HOW = (
    Asked("none"),
    *(Asked("gem", finds) for finds in ("random", "retrieved", "right")),
    *(Asked("own", finds) for finds in (None, "random", "retrieved", "right")),
    Asked("own", "retrieved", silent=True),
)


def held_out(study: Study) -> None:
    """Three actions that were never learned: how many motions show them, by the verifiers."""
    index, rows = study.index, dict[str, dict[str, float]]()
    retrievers = {"retrieved": VideoRetriever(index), "random": RandomVideos(index), "right": OwnVideos(study.own_videos("test"))}
    for action, pattern in HELD_OUT.items():
        texts = [text for text in study.captions("test") if re.search(pattern, text, re.IGNORECASE) and text in retrievers["right"]]
        texts = [texts[at] for at in np.sort(np.random.default_rng(0).permutation(len(texts))[: study.arguments.texts])]
        column, wanted = f"{action} ({len(texts)} texts)", Specification.from_dict({"task": "integrity", "events": [action]})
        clips = [motion for _, motion, captions in study.clips("test") if any(re.search(pattern, text, re.I) for text in captions)]
        rows.setdefault("real clips", {})[column] = shown_share(clips, wanted)
        if study.arguments.taught:
            system = MotionLanguageModel.from_pretrained(study.arguments.taught)
            rows.setdefault("a model that learned them", {})[column] = made_share(study, system, texts, None, wanted)
        for asked in (one for one in HOW if one.learned in study.arguments.beside):
            system = MotionLanguageModel.from_pretrained(study.stage_one(asked.learned))
            found = None if asked.finds is None else RetrievedVideos.of(retrievers[asked.finds], texts, k=1, show_progress=False)
            rows.setdefault(asked.name, {})[column] = made_share(study, system, texts, found, wanted, asked.silent)
        said = [study.said.get(hits[0].about["id"], "") for hits in retrievers["retrieved"].retrieve(texts, 1)]
        right = float(np.mean([re.search(pattern, one, re.IGNORECASE) is not None for one in said]))
        rows.setdefault("(retrieved videos that show it, by caption)", {})[column] = right
        table(f"Share of motions that show {action}", {name: {column: values[column]} for name, values in rows.items()})
    table("Share of motions that show an action that was never learned", rows)


class OwnVideos:
    """Finds what `Study.own_videos` filmed."""

    def __init__(self, folder: Path) -> None:
        self.known = RetrievedVideos.load(folder)

    def __contains__(self, text: str) -> bool:
        """Whether the text, or the mirrored one, is the caption of a clip that was long enough to be filmed."""
        return text in self.known or mirror_text(text) in self.known

    def retrieve(self, texts: list[str], k: int = 1) -> list[list[Hit]]:
        """See `VideoRetriever.retrieve`. The videos of a mirrored caption are those of the caption."""
        names = [text if text in self.known else mirror_text(text) for text in texts]
        return [[Hit(0, 1.0, video) for video in self.known.videos(name)[:k]] for name in names]


def made_share(
    study: Study, system: MotionLanguageModel, texts: list[str], found: RetrievedVideos | None, wanted: Specification, silent: bool = False
) -> float:
    """Share of motions of all seeds that show an action."""
    motions: list[Motion] = []
    videos = None if found is None else [found.paths(text)[0] for text in texts]
    for seed in range(study.arguments.seeds):
        said, options = [AS_SHOWN] * len(texts) if silent else texts, {"seed": seed, "temperature": study.arguments.temperature}
        motions += system.generate_motion(said, 80, videos=videos, **options)
    return shown_share(motions, wanted)


def shown_share(motions: list[Motion], wanted: Specification) -> float:
    return float(np.mean([not verify(motion, wanted).missing for motion in motions]))


def seconds(study: Study) -> None:
    """Seconds of one core for each stage of one query, and the size of the index."""
    index, embedder = study.index, GeminiMVREmbedder.from_pretrained()
    place = seeing_model(study.language_model, study.folder / "seeing")  # how well it was trained takes no time
    system, text = MotionLanguageModel.from_pretrained(place), "a person waves with the right hand"
    query = embedder.embed_texts([text])
    file = index.search(query, 1)[0][0].about["path"]
    video, codes = system.video_processor.read(file), system.generate_motion(text, 80, videos=file, seed=0, output_type="codes")
    stages = {
        "sentence to query": lambda: embedder.embed_texts([text]),
        f"search of {len(index)} videos": lambda: index.search(query, 1),
        "keypoints from a file": lambda: VimoRAGProcessor(system.config).read(file),
        "motion of 4 s, without a video": lambda: system.generate_motion(text, 80, seed=0, output_type="codes"),
        "motion of 4 s, beside the video": lambda: system.generate_motion(text, 80, videos=video, seed=0, output_type="codes"),
        "tokens to motion": lambda: decode_codes(system.vq_model, system.feature_extractor, codes, [text], [80], "motion"),
    }
    if study.arguments.film is not None:
        film = read_frames(study.arguments.film, system.config.num_frames, system.config.sampling)
        stages["frames from a film"] = lambda: read_frames(study.arguments.film, system.config.num_frames, system.config.sampling)
        stages[f"keypoints from its {len(film.frames)} frames, by BlazePose"] = lambda: system.video_processor.read(film)
    for name, stage in stages.items():
        stage()
        start = time.process_time()
        for _ in range(3):
            stage()
        print(f"{name}: {(time.process_time() - start) / 3:.4f} s", flush=True)
    size = sum(path.stat().st_size for path in index.folder.iterdir() if path.is_file())
    print(f"index: {size / 1e6:.2f} MB on the disk, {size / len(index):.0f} bytes a video")


TABLES = {
    "retrieval": retrieval,
    "own_words": own_words,
    "mcdpo": mcdpo,
    "corpus": corpus,
    "held_out": held_out,
    "seconds": seconds,
    "held_out_data": lambda study: print(study.motion),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path, nargs="+")
    parser.add_argument("--model", help="motion language model to begin with, in place of a small one that has learned nothing")
    parser.add_argument("--motion_tokenizer", help="of that small one")
    parser.add_argument("--learned", type=int, help="clips that all models learn from; all by default")
    parser.add_argument("--learning_rate", type=float, default=2e-3, help="of stage 1")
    parser.add_argument("--output", type=Path, default=Path("outputs/vimorag"))
    parser.add_argument("--tables", nargs="+", choices=[*TABLES], default=["retrieval", "mcdpo", "corpus"])
    parser.add_argument("--videos", type=Path, help="real films as distractors")
    parser.add_argument("--film", type=Path, help="a real film, for seconds")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--level_steps", type=int, default=150, help="of the tiny object level and of the router over it")
    parser.add_argument("--pair_share", type=float, default=0.25)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.1, 0.5, 1.0])
    parser.add_argument("--held_out", action="store_true")
    parser.add_argument("--seed", type=int, default=0, help="of all trainings")
    parser.add_argument("--seeds", type=int, default=2, help="motions of each text, for held-out actions")
    parser.add_argument(
        "--beside", nargs="+", choices=["none", "gem", "own"], default=["none", "gem", "own"], help="what models learn beside"
    )
    parser.add_argument("--silent_share", type=float, default=0.3, help="how often training beside own videos tells no text")
    parser.add_argument("--taught", help="motion language model that learned the held-out actions, for comparison")
    parser.add_argument("--retriever", help="GeminiMVR for own_words, the one inside the package by default")
    arguments = parser.parse_args()
    begins = arguments.model or arguments.motion_tokenizer
    if begins is None and not {"retrieval", "own_words", "held_out_data"}.issuperset(arguments.tables):
        parser.error("Name a --motion_tokenizer, or the motion language --model to begin with.")
    study = Study(arguments)
    for name in arguments.tables:
        TABLES[name](study)


if __name__ == "__main__":
    main()
