"""Twenty replications over 1,000 cached motions, beside a plain loop that computes as the published scripts do.

    python tests/benchmarks/evaluation.py [--clips 1000] [--replications 20] [--size small|published]

The plain loop embeds every clip anew in each replication, in batches of 32 padded to 196 frames, ranks each batch with a distance matrix
and an argsort, and takes scipy's matrix square root. Both score the same motions with the same evaluator; generation is not timed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import sqrtm

from hf_motion import MotionFeatureExtractor, MotionTextEmbedder
from hf_motion.checkpoints import EMBEDDED_EVALUATOR
from hf_motion.evaluation.clips import EvaluationClips
from hf_motion.evaluation.generation import GenerationScorer
from hf_motion.evaluation.protocol import get_protocol
from hf_motion.trainers.new_retrieval import new_retrieval_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument("--plain-replications", type=int, default=2, help="of the plain loop; its time is scaled up")
    parser.add_argument("--size", choices=["small", "published"], default="published")
    arguments = parser.parse_args()
    clips = made_up_clips(arguments.clips)
    embedder = make_embedder(arguments.size, clips)
    print(f"{arguments.clips} clips, {arguments.replications} replications, {arguments.size} evaluator, {torch.get_num_threads()} threads")

    start = time.perf_counter()
    plain(embedder, clips, arguments.plain_replications)
    slow = (time.perf_counter() - start) * arguments.replications / arguments.plain_replications
    scorer = GenerationScorer(clips, get_protocol("strict", replications=arguments.replications), embedder, show_progress=False)
    with tempfile.TemporaryDirectory() as folder:
        scorer.score({"model": generate}, Path(folder), {"model": {}})  # makes the motions
        scorer = GenerationScorer(clips, scorer.protocol, embedder, show_progress=False)
        start = time.perf_counter()
        rows = scorer.score({"model": generate}, Path(folder), {"model": {}})
        fast = time.perf_counter() - start
    print(f"plain loop {slow:7.1f} s (from {arguments.plain_replications} replications), ours {fast:7.1f} s, ratio {slow / fast:.1f}")
    print(f"FID of the model {rows['model']['fid'][0]:.4f}")


def made_up_clips(count: int) -> EvaluationClips:
    """Clips of HumanML3D's lengths with a caption each."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(40, 197, count)
    features = [torch.from_numpy(rng.normal(size=(length, 263)).astype(np.float32)) for length in lengths]
    return EvaluationClips([str(index) for index in range(count)], features, [[f"a person walks {index}"] for index in range(count)])


def generate(texts: list[str], lengths: list[int] | None, seeds: list[int]) -> list[torch.Tensor]:
    """Noise."""
    return [torch.randn(length, 263, generator=torch.Generator().manual_seed(seed)) for length, seed in zip(lengths, seeds, strict=True)]


def make_embedder(size: str, clips: EvaluationClips) -> MotionTextEmbedder:
    """The small evaluator inside the package, or an untrained one of the published size."""
    if size == "small":
        return MotionTextEmbedder.from_pretrained(EMBEDDED_EVALUATOR)
    extractor = MotionFeatureExtractor(mean=[0.0] * 263, std=[1.0] * 263)
    captions = [captions[0] for captions in clips.captions]
    model, tokenizer = new_retrieval_model("t2m-evaluator", captions, {}, extractor)
    return MotionTextEmbedder(model, tokenizer, extractor)


@torch.no_grad()
def plain(embedder: MotionTextEmbedder, clips: EvaluationClips, replications: int) -> None:
    """Score as the published scripts do."""
    rng = np.random.default_rng(0)
    for _ in range(replications):
        order = rng.permutation(len(clips))
        sides: list[list[np.ndarray]] = [[], []]
        for start in range(0, len(order) - 31, 32):
            batch = order[start : start + 32]
            tokens = embedder.tokenizer([clips.captions[index][0] for index in batch], padding=True, return_tensors="pt")
            text = embedder.model.get_text_features(**tokens).numpy()
            for side, noisy in enumerate((False, True)):
                padded, mask = torch.zeros(32, 196, 263), torch.zeros(32, 196, dtype=torch.long)
                for row, index in enumerate(batch):
                    clip = clips.features[index]
                    padded[row, : len(clip)] = torch.randn_like(clip) if noisy else clip
                    mask[row, : len(clip)] = 1
                motion = embedder.model.get_motion_features(padded, mask).numpy()
                sides[side].append(motion)
                distance = np.stack([[np.linalg.norm(one - other) for other in motion] for one in text])
                (np.argsort(distance, axis=1)[:, :3] == np.arange(32)[:, None]).any(1).mean()
                np.trace(distance)
        real, made = (np.concatenate(side) for side in sides)
        first, second = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
        np.square(real.mean(0) - made.mean(0)).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)


if __name__ == "__main__":
    main()
