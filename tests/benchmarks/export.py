"""What exporting costs, and how right it is.

    python tests/benchmarks/export.py [--dataset tests/fixtures/clips.parquet] [--frames 196] [--against OTHER_CHECKOUT]

Prints how many clips are converted per second, side by side with another checkout if there is one, each in processes of their own that take
turns (`--only-conversions` for that alone).
Then the time of the inverse kinematics, of writing each format and of rendering for one clip of `--frames` frames; then, over all clips
of the data set, how far the rotations put hands and feet from where they were, how far pelvis and chest are turned from the lines of hips
and shoulders, how often elbows and knees bend the wrong way, and the same joints read straight from the rotation features instead.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from hf_motion import Motion
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.hands import with_hands
from hf_motion.kinematics import constant_bone_lengths, forward_kinematics, solve_rotations
from hf_motion.rendering import render_frames
from hf_motion.representation import HumanML3DRepresentation
from hf_motion.representation.rotations import quaternion_to_matrix, rotation_6d_to_matrix
from hf_motion.skeletons import HUMANML3D_22

HINGES = {"left_elbow": (0, -1, 0), "right_elbow": (0, 1, 0), "left_knee": (1, 0, 0), "right_knee": (1, 0, 0)}
ENDS = [HUMANML3D_22.joint(f"{side}_{part}") for side in ("left", "right") for part in ("wrist", "ankle", "foot")]
BENT = np.sin(np.radians(20))


def milliseconds(function: Callable[[], object], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def speed(motion: Motion) -> None:
    joints = torch.from_numpy(motion.joints)
    print(f"| what | time for {len(motion)} frames |\n|---|---|")
    whole = torch.from_numpy(with_hands(motion).joints)
    times: dict[str, list[float]] = {"humanml3d-22": [], "smplx-52": []}
    for _ in range(5):
        for name, clip in zip(times, (joints, whole), strict=True):
            times[name].append(milliseconds(lambda clip=clip, name=name: solve_rotations(clip, name), repeats=3))
    for name, values in times.items():
        print(f"| inverse kinematics, {name} | {np.median(values):.1f} ms |")
    with tempfile.TemporaryDirectory() as folder:
        for suffix, options in ((".bvh", {}), (".glb", {}), (".npz", {}), (".npz", {"layout": "amass"}), (".csv", {})):
            taken = milliseconds(lambda path=Path(folder) / f"a{suffix}", options=options: motion.save(path, **options))
            size = (Path(folder) / f"a{suffix}").stat().st_size
            print(f"| {suffix} {options.get('layout', '')} | {taken:.1f} ms, {size / 1000:.0f} kB |")
    cpu = time.process_time()
    wall = milliseconds(lambda: render_frames(motion), repeats=3)
    cpu = 1000 * (time.process_time() - cpu) / 3
    print(
        f"| rendering 480 x 480 | {wall:.0f} ms, {1000 * len(motion) / wall:.0f} frames/s; {1000 * len(motion) / cpu:.0f} per CPU second |"
    )


CONVERT = """
import sys, time, logging
from hf_motion import Motion
logging.disable()
source, target, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
Motion.load(source).save(target)
times = []
for _ in range(repeats):
    start = time.perf_counter()
    Motion.load(source).save(target)
    times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2])
"""


def conversions(motion: Motion, against: Path | None) -> None:
    """Clips per second from file to file, the median of three processes with seven conversions each."""
    here = Path(__file__).parents[2]
    checkouts = [here, *([against] if against else [])]
    print(f"| conversion, {len(motion)} frames | {' | '.join(f'{path.name}, clips/s' for path in checkouts)} |")
    print(f"|---|{'---|' * len(checkouts)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"22 joints": motion.save(folder / "22.bvh"), "52 joints": with_hands(motion).save(folder / "52.bvh")}
        for joints, source in files.items():
            for suffix in ("bvh", "glb"):
                seconds: list[list[float]] = [[] for _ in checkouts]
                for _, (found, path) in itertools.product(range(3), zip(seconds, checkouts, strict=True)):
                    command = [sys.executable, "-c", CONVERT, str(source), str(folder / f"out.{suffix}"), "7"]
                    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(path)}, capture_output=True, text=True, check=True)
                    found.append(float(done.stdout))
                print(f"| BVH -> {suffix.upper()}, {joints} | {' | '.join(f'{1 / np.median(found):.1f}' for found in seconds)} |")


def angle(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    return torch.rad2deg(torch.acos(F.cosine_similarity(one, other, dim=-1).clamp(-1, 1))).numpy()


def across(joints: torch.Tensor, level: str) -> torch.Tensor:
    return joints[:, HUMANML3D_22.joint(f"left_{level}")] - joints[:, HUMANML3D_22.joint(f"right_{level}")]


def exactness(motion: Motion) -> dict[str, np.ndarray]:
    """Per frame: misses in millimetres, angles in degrees, wrong bends as 0 or 1."""
    joints = torch.from_numpy(motion.joints).double()
    joints = constant_bone_lengths(joints, motion.skeleton)
    rotations, root, offsets = solve_rotations(joints, motion.skeleton)
    found = forward_kinematics(rotations, root, offsets, motion.skeleton)
    miss = 1000 * (found - joints).norm(dim=-1).numpy()
    matrices = quaternion_to_matrix(rotations)
    globals_ = {"pelvis": matrices[:, 0], "chest": matrices[:, 0] @ matrices[:, 3] @ matrices[:, 6] @ matrices[:, 9]}
    values = {"all joints mm": miss.ravel(), "hands and feet mm": miss[:, ENDS].ravel()}
    for name, level in (("pelvis", "hip"), ("chest", "shoulder")):
        side, line = globals_[name][..., 0], across(joints, level)
        values[f"{name} off the line of the {level}s, degrees"] = angle(side, line)
        standing = line[:, ::2].norm(dim=-1) > line.norm(dim=-1) / 2  # a line on end has no heading
        values[f"{name} heading off by degrees"] = angle(side[:, ::2], line[:, ::2])[standing.numpy()]
    turn = rotations[1:] * rotations[:-1]
    values["turn per frame degrees"] = np.degrees(2 * np.arccos(turn.sum(-1).abs().clamp(max=1).numpy())).ravel()
    for name, axis in HINGES.items():
        vector = rotations[:, HUMANML3D_22.joint(name), 1:].numpy() * np.sign(rotations[:, HUMANML3D_22.joint(name), :1].numpy())
        bent = np.linalg.norm(vector, axis=-1) > BENT
        values[f"{name} wrong"] = (vector @ np.array(axis) < 0)[bent].astype(float)
    return values


def read_straight(motion: Motion) -> dict[str, np.ndarray]:
    """Joints from the rotation features, taken as joint rotations and as the published chains, in millimetres from the positions."""
    representation = HumanML3DRepresentation()
    features = representation.encode(motion.joints, fps=motion.fps)
    positions = representation.decode(features)
    heading, root = representation.root_trajectory(features)
    local = rotation_6d_to_matrix(features[:, representation.slices["rotations"]].unflatten(-1, (-1, 6)))
    offsets = torch.from_numpy(HUMANML3D_22.rest_offsets)
    turned = quaternion_to_matrix(heading)
    as_joints = forward_kinematics(torch.cat((turned.mT[:, None], local), dim=1), root, offsets, HUMANML3D_22)
    as_chains = torch.zeros_like(positions)
    as_chains[:, 0] = root
    for chain in HUMANML3D_22.chains:
        rotation = turned
        for parent, joint in itertools.pairwise(chain):
            rotation = rotation @ local[:, joint - 1]
            as_chains[:, joint] = as_chains[:, parent] + rotation @ offsets[joint]
    solved = forward_kinematics(*solve_rotations(positions, HUMANML3D_22), HUMANML3D_22)
    truth = torch.linalg.cross(positions[:, 1] - positions[:, 2], torch.tensor([0.0, 1.0, 0.0]).expand(len(positions), 3))
    values = {"heading feature faces off by degrees": angle(turned.mT @ torch.tensor([0.0, 0.0, 1.0]), truth)}
    return values | {
        name: 1000 * (joints - positions).norm(dim=-1).numpy().ravel()
        for name, joints in (("rot6d as joint rotations", as_joints), ("rot6d as published chains", as_chains), ("solved", solved))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default=str(Path(__file__).parents[1] / "fixtures" / "clips.parquet"))
    parser.add_argument("--frames", type=int, default=196)
    parser.add_argument("--against", type=Path, help="Another checkout, whose conversions are timed in turn with these.")
    parser.add_argument("--only-conversions", action="store_true")
    arguments = parser.parse_args()
    rows = load_motion_rows(arguments.dataset)
    first = read_row(rows[0], "humanml3d-22")[0]
    motion = Motion(np.concatenate([first.joints] * -(-arguments.frames // len(first)))[: arguments.frames])
    conversions(motion, arguments.against)
    if arguments.only_conversions:
        return
    speed(motion)
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for row in tqdm(rows):
        motion, _ = read_row(row, "humanml3d-22")
        values = exactness(motion) | (read_straight(motion) if len(motion) > 1 else {})
        for name, numbers in values.items():
            found[name].append(numbers)
    print(f"\n| {len(rows)} clips | mean | 99 % below | worst |\n|---|---|---|---|")
    for name, parts in found.items():
        numbers = np.concatenate(parts)
        print(f"| {name} | {numbers.mean():.3f} | {np.percentile(numbers, 99):.2f} | {numbers.max():.1f} |")


if __name__ == "__main__":
    main()
