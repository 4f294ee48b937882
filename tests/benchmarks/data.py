"""How fast data sets are built and checked, and in how much memory.

    python tests/benchmarks/data.py [--clips 1000 10000] [--num-proc 2]

Folders in HumanML3D's layout are made up: features and joints of 40 to 199 frames, three captions each. Every step runs as a command
of its own, whose time (start-up included) and largest process are taken; there are as many of those as --num-proc, and the main one.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from hf_motion import MotionFeatureExtractor

FIXTURES = Path(__file__).parents[1] / "fixtures"


def make_folder(folder: Path, clips: int) -> None:
    """A HumanML3D folder: real clips played back and forth, each a little different."""
    rows = pd.read_parquet(FIXTURES / "clips.parquet")
    extractor = MotionFeatureExtractor()
    draw = np.random.default_rng(0)
    originals = []
    for joints in rows["joints"]:
        joints = joints.reshape(-1, 22, 3)
        joints = np.concatenate([joints, joints[::-1]] * 4)[:200]
        originals.append((extractor.encode(joints)[0].numpy(), joints[:-1]))
    for name in ("new_joint_vecs", "new_joints", "texts"):
        (folder / name).mkdir(parents=True)
    for number in tqdm(range(clips), desc=f"Making {clips} clips"):
        features, joints = originals[number % len(originals)]
        length = int(draw.integers(40, 200))
        noise = draw.normal(scale=1e-3, size=(length, 1)).astype(np.float32)
        np.save(folder / "new_joint_vecs" / f"{number:06d}.npy", features[:length] + noise)
        np.save(folder / "new_joints" / f"{number:06d}.npy", joints[:length] + noise[..., None])
        lines = "".join(f"a person moves in way {number} {line}.#a/DET person/NOUN move/VERB#0.0#0.0\n" for line in range(3))
        (folder / "texts" / f"{number:06d}.txt").write_text(lines)
    (folder / "train.txt").write_text("".join(f"{number:06d}\n" for number in range(clips)))


def timed(*arguments: str) -> tuple[float, float]:
    """Seconds that a command takes, and MB of its largest process."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "hf_motion.cli", "data", *arguments]
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed.")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--num-proc", type=int, default=2)
    parser.add_argument("--no-features", action="store_true", help="encode joints for the statistics rather than take features")
    arguments = parser.parse_args()
    options = ["--num-proc", str(arguments.num_proc)]
    print("| clips | build s | clips/s | MB | check s | clips/s | MB | data MB |\n|---|---|---|---|---|---|---|---|")
    for clips in sorted(arguments.clips):
        with tempfile.TemporaryDirectory() as temporary:
            folder, output = Path(temporary, "HumanML3D"), Path(temporary, "out")
            make_folder(folder, clips)
            if arguments.no_features:
                shutil.rmtree(folder / "new_joint_vecs")
            build, build_memory = timed("build", str(folder), "-o", str(output), *options)
            check, check_memory = timed("check", str(output))
            size = sum(path.stat().st_size for path in output.rglob("*.parquet")) / 2**20
        times = [
            f"{seconds:.1f} | {clips / seconds:.0f} | {memory:.0f}" for seconds, memory in ((build, build_memory), (check, check_memory))
        ]
        print(f"| {clips} | {' | '.join(times)} | {size:.0f} |")


if __name__ == "__main__":
    main()
