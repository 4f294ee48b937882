"""Faults of generated motion, as `hf-motion data check` counts them, per 100 clips; and how fast feet move that touch the floor.

    python tests/benchmarks/generated.py [--model FOLDER] [--clips 200] [--batch 16]

Clips are those of the prompts in prompts.py and of some more, in turn, one seed after another. The same clips are counted three times:
joints as the features say, on the body that decoding ends on, and that settled on the floor.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from prompts import PROMPTS
from pyarrow import parquet

from hf_motion import Motion, load_embedded_pipeline
from hf_motion.cleanup import foot_slide
from hf_motion.data.check import check_dataset
from hf_motion.floor import settle_on_floor
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline

MORE = (
    "a person walks up stairs", "a person goes down the stairs", "a person takes steps backward", "a person sits down",
    "a person kicks a ball", "a person crawls", "a person climbs a ladder", "a person hops on one foot",
)  # fmt: skip
KINDS = ("floating", "below_floor", "skating", "jump", "toes", "bones")


def generate(pipe: MotionDiffusionPipeline, clips: int, batch: int) -> dict[str, list[Motion]]:
    """The same motions in three states."""
    prompts = [(text, frames) for text, frames, _, _ in PROMPTS] + [(text, 100) for text in MORE]
    wanted = [(*prompts[index % len(prompts)], index // len(prompts)) for index in range(clips)]
    # Clips of one length share a batch.
    wanted.sort(key=lambda item: item[1])
    extractor = pipe.feature_extractor
    raw, body = [], []
    for start in range(0, clips, batch):
        texts, frames, seeds = zip(*wanted[start : start + batch], strict=True)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        latents = pipe(list(texts), list(frames), generator=generators, output_type="latent").motions
        mask = (torch.arange(latents.shape[1]) < torch.tensor(frames)[:, None]).long()
        made = extractor.decode(latents, mask, list(texts))
        places = extractor.features.decode(extractor.denormalize(latents)).numpy()
        body += made
        raw += [replace(motion, joints=joints[: len(motion)]) for motion, joints in zip(made, places, strict=True)]
    return {"joints of the features": raw, "decoded": body, "decoded, settled": [settle_on_floor(motion) for motion in body]}


def row(motions: list[Motion]) -> list[float]:
    """Findings of each kind per 100 clips, largest change of a bone within a clip and planted feet, centimetres (per second)."""
    records = [
        {"id": str(index), "fps": motion.fps, "n_frames": len(motion), "joints": motion.joints.ravel(), "captions": [{"text": motion.text}]}
        for index, motion in enumerate(motions)
    ]
    with tempfile.TemporaryDirectory() as folder:
        parquet.write_table(pa.Table.from_pylist(records), Path(folder) / "made.parquet")
        counts = check_dataset(folder, show_progress=False).counts
    parents = list(motions[0].skeleton.parents[1:])
    lengths = [np.linalg.norm(motion.joints[:, 1:] - motion.joints[:, parents], axis=-1) for motion in motions]
    changes = [100 * np.ptp(values, axis=0).max() for values in lengths]
    share = 100 / len(motions)
    return [*(share * counts.get(kind, 0) for kind in KINDS), float(np.mean(changes)), 100 * float(np.mean([*map(foot_slide, motions)]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()
    pipe = MotionDiffusionPipeline.load(arguments.model) if arguments.model else load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    print(f"| {arguments.clips} clips | {' | '.join(KINDS)} | a bone changes by cm | planted feet cm/s |")
    print("|---" * (len(KINDS) + 3) + "|")
    for name, motions in generate(pipe, arguments.clips, arguments.batch).items():
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in row(motions))} |")


if __name__ == "__main__":
    main()
