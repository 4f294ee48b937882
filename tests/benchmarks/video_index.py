"""How fast an index of the published size answers: `python tests/benchmarks/video_index.py [--entries 425988] [--width 1536]`.

Synthetic embeddings in clusters (half of the width for each level), or `--spread even` over the sphere, where nothing can be told from
short codes; one thread. With faiss-cpu installed, by codes too. Prints seconds to open, milliseconds of CPU time per query, and the recall
of the codes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from hf_motion.retrieval.video_codes import VideoCodes
from hf_motion.retrieval.video_index import CODES, VideoIndex


class Synthetic:
    """Says what the numbers are."""

    name, digest, kind = "synthetic", "0" * 64, "video"

    def __init__(self, width: int) -> None:
        self.parts = (width // 2, width - width // 2)


def make_index(entries: int, width: int, folder: Path, even: bool = False) -> VideoIndex:
    generator = np.random.default_rng(0)
    embedder = Synthetic(width)
    basis, centres = generator.normal(size=(64, width)).astype(np.float32), generator.normal(size=(4000, 64)).astype(np.float32)
    vectors = np.empty((entries, width), np.float16)
    for start in range(0, entries, 8192):
        rows = min(8192, entries - start)
        block = generator.standard_normal((rows, width), np.float32)
        if not even:
            latent = centres[generator.integers(4000, size=rows)] + 0.5 * generator.standard_normal((rows, 64), np.float32)
            block += latent @ basis
        for part in (slice(0, embedder.parts[0]), slice(embedder.parts[0], width)):
            block[:, part] /= np.linalg.norm(block[:, part], axis=1, keepdims=True)
        vectors[start : start + rows] = block
    scales = generator.uniform(30, 70, (entries, 2)).astype(np.float32)
    VideoIndex.of(vectors, scales, [{"id": str(number)} for number in range(entries)], embedder).save(folder)
    return VideoIndex.from_pretrained(folder)


def timed(search: object, queries: np.ndarray) -> float:
    search(queries[:1])
    start = time.process_time()
    for query in queries:
        search(query[None])
    return (time.process_time() - start) / len(queries) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=425_988)
    parser.add_argument("--width", type=int, default=1536)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--spread", choices=["clusters", "even"], default="clusters")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        index = make_index(options.entries, options.width, Path(folder), options.spread == "even")
        start, used = time.perf_counter(), time.process_time()
        index = VideoIndex.from_pretrained(folder)
        print(f"opened {len(index):,} entries in {time.perf_counter() - start:.2f} s ({time.process_time() - used:.2f} s of CPU)")
        queries = index.rows(np.arange(options.queries) * 7).astype(np.float32)
        print(f"exact: {timed(index.search, queries):.1f} ms a query")
        start = time.process_time()
        try:
            codes = VideoCodes.build(index)
        except ImportError as error:
            print(error)
            return
        print(f"{index.about['recall']}, made in {time.process_time() - start:.0f} s, {(Path(folder) / CODES).stat().st_size / 1e6:.0f} MB")
        print(f"codes: {timed(codes.search, queries):.2f} ms a query")


if __name__ == "__main__":
    main()
