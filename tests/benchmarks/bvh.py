"""How far a BVH file is from the motion that it was made of.

    python tests/benchmarks/bvh.py [--dataset tests/fixtures/clips.parquet]

Each clip is written, read back, and compared with its joints once bones have one length each (what a BVH file can hold), and with them
as they were.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from hf_motion import Motion
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.kinematics import constant_bone_lengths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default=str(Path(__file__).parents[1] / "fixtures" / "clips.parquet"))
    parser.add_argument("--rotations-only", action="store_true", help="no position channels but the root's, as files have by default")
    arguments = parser.parse_args()
    errors: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for row in tqdm(load_motion_rows(arguments.dataset)):
            motion, _ = read_row(row, "humanml3d-22")
            options = {} if arguments.rotations_only else {"keep_proportions": True}
            again = Motion.load(motion.save(Path(folder) / "clip.bvh", **options)).joints
            constant = constant_bone_lengths(torch.from_numpy(motion.joints).double(), motion.skeleton).numpy()
            for name, joints in (("constant bones", constant), ("as recorded", motion.joints)):
                errors[row["source"].partition(":")[0], name].append(1000 * np.linalg.norm(again - joints, axis=-1))
    print("| source | compared with | clips | mean mm | worst mm | clips over 1 cm |\n|---|---|---|---|---|---|")
    for (source, name), clips in sorted(errors.items()):
        mean = np.concatenate([clip.ravel() for clip in clips]).mean()
        worst = [clip.max() for clip in clips]
        print(f"| {source} | {name} | {len(clips)} | {mean:.3f} | {max(worst):.1f} | {sum(value > 10 for value in worst)} |")


if __name__ == "__main__":
    main()
