"""How true the rotations of HumanML3D's features are, against those that the inverse kinematics makes of the positions beside them.

    python tests/benchmarks/feature_rotations.py [FILE...]

For each file whose rotations are known (by default the raw recordings of the fixtures, and one with its fingers), at 20 frames per second:
how far forward kinematics puts joints from where they are, with the slice read as turns of bones (what its code means), as turns of joints
(what converters do) and with solved rotations; and how many degrees bones turn away from the recorded rotations, counted from the first
frame, so that rest poses do not matter. Means over frames and joints, and the worst.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from hf_motion import HumanML3DRepresentation, Motion, read_motion
from hf_motion.kinematics import forward_kinematics, solve_rotations
from hf_motion.pose import world_rotations
from hf_motion.representation.rotations import quaternion_to_matrix, rotation_6d_to_matrix
from hf_motion.skeletons import Skeleton

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = ["bandai_wave.bvh", "reactidle_003.bvh", "cmu/02_01_iclone.bvh", "cmu/12_01_cgspeed.bvh", "cmu/131_01_cgspeed_max.bvh"]
FINGERS = "cmu/02_01_iclone.bvh"


def matrices(quaternions: np.ndarray | torch.Tensor) -> np.ndarray:
    return quaternion_to_matrix(torch.as_tensor(np.asarray(quaternions, np.float64))).numpy()


def degrees_apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Between turns since the first frame."""
    one, other = one @ one[:1].transpose(0, 2, 1), other @ other[:1].transpose(0, 2, 1)
    return np.degrees(np.arccos(((np.einsum("fij,fij->f", one, other) - 1) / 2).clip(-1, 1)))


def placed(skeleton: Skeleton, turns: np.ndarray, heading: np.ndarray, root: np.ndarray, lengths: np.ndarray, bones: bool) -> tuple:
    """World turns and places of joints, with each of the slice's rotations before the bone that ends in its joint, or behind it."""
    worlds, places = np.zeros((*root.shape[:1], len(skeleton), 3, 3)), np.repeat(root[:, None], len(skeleton), axis=1)
    starts = {chain[1] for chain in skeleton.chains} if bones else set()
    worlds[:, 0] = heading
    for joint, parent in enumerate(skeleton.parents[1:], start=1):
        above = heading if joint in starts else worlds[:, parent]
        worlds[:, joint] = above @ turns[:, joint - 1]
        turned = worlds[:, joint] if bones else above
        places[:, joint] = places[:, parent] + turned @ (np.asarray(skeleton.rest_directions[joint]) * lengths[joint - 1])
    return worlds, places


def measure(motion: Motion) -> list[np.ndarray]:
    """Millimetres of bones, of joints and of solved rotations; degrees of bones and of solved rotations."""
    skeleton, parents = motion.skeleton, list(motion.skeleton.parents)
    representation = HumanML3DRepresentation(skeleton, uniform_skeleton=False, fps=motion.fps)
    joints = representation.canonicalize(torch.from_numpy(motion.joints))
    features = representation.encode(motion.joints)
    turns = features[:, representation.slices["rotations"]].unflatten(-1, (-1, 6))
    turns, frames = rotation_6d_to_matrix(turns).double().numpy(), len(features)
    heading = matrices(representation.root_trajectory(features)[0]).transpose(0, 2, 1)
    joints = joints[:frames].double().numpy()
    lengths = np.median(np.linalg.norm(joints[:, 1:] - joints[:, parents[1:]], axis=-1), axis=0)
    worlds, by_bones = placed(skeleton, turns, heading, joints[:, 0], lengths, True)
    by_joints = placed(skeleton, turns, heading, joints[:, 0], lengths, False)[1]
    solved, root, offsets = solve_rotations(torch.from_numpy(motion.joints).double(), skeleton)
    by_solved = forward_kinematics(solved, root, offsets, skeleton).numpy()[:frames]
    left, _, right = np.linalg.svd((joints[0] - joints[0].mean(0)).T @ (motion.joints[0] - motion.joints[0].mean(0)))
    start = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    true, found = (
        start @ matrices(world_rotations(np.asarray(turned, np.float64), skeleton))[:frames] for turned in (motion.rotations, solved)
    )
    ends = [joint for joint in range(1, len(skeleton)) if len(skeleton.children[parents[joint]]) == 1]
    misses = [np.linalg.norm(places - joints, axis=-1) for places in (by_bones, by_joints)]
    misses.append(np.linalg.norm(by_solved - motion.joints[:frames], axis=-1))
    apart = [
        np.stack([degrees_apart(of[:, joint if of is worlds else parents[joint]], true[:, parents[joint]]) for joint in ends])
        for of in (worlds, found)
    ]
    return [1000 * miss for miss in misses] + apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    named = parser.parse_args().files
    chosen = [(path, "humanml3d-22") for path in named or [FIXTURES / name for name in FILES]]
    print("| recording | as bones, mm | as joints, mm | solved, mm | bones, degrees | solved, degrees |\n|---|---|---|---|---|---|")
    for path, skeleton in chosen if named else [*chosen, (FIXTURES / FINGERS, "smplx-52")]:
        values = measure(read_motion(path, fps=20, skeleton=skeleton))
        print(f"| {path.name}, {skeleton} |", " | ".join(f"{value.mean():.1f}, {value.max():.0f}" for value in values), "|")


if __name__ == "__main__":
    main()
