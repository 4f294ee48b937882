"""Rotations of any rig as rotations of our joints, which rest in a T-pose."""

from __future__ import annotations

import numpy as np
import torch

from ..kinematics import solve_rotations
from ..pose import inverse, local_rotations, multiply, offsets_between, place_joints, world_rotations
from ..skeletons import Skeleton
from .animation import Animation

_FRAMES = 64  # of a motion that say how its rig rests, where its own rest pose is not a person's
_UPRIGHT = 0.7  # cosine between a limb and where it hangs in a person that stands, 45 degrees


def map_animation(animation: Animation, own: Skeleton, weights: np.ndarray, target: Skeleton) -> Animation:
    """Joints and rotations of a rig as those of a skeleton of ours.

    Each of our joints turns with the joint of the rig that it is, or, where it was placed between several, with the one of these that is
    nearest to the root, which moves the others. That rotation is counted from our T-pose: the rig's rest pose, where it is a person's,
    says how its joints stand there; where it is none, inverse kinematics of some frames do, in the mean.

    Args:
        animation (`Animation`): On the rig, Y up.
        own (`Skeleton`): The rig's joints.
        weights (`numpy.ndarray`): Which joints of the rig ours are, (ours, rig's), see `Rig.weights`.
        target (`Skeleton`): Our joints.

    Returns:
        `Animation`: On our joints. Its offsets change over time where joints of the rig bend between two of ours.
    """
    joints = weights @ animation.joints
    if animation.rotations is None or animation.rest_offsets is None:
        return Animation(joints)
    sources = [_topmost(np.flatnonzero(row).tolist(), own) for row in weights]
    if _is_same(weights, own, target):
        offsets = animation.rest_offsets[..., sources, :]
        return Animation(joints, animation.rotations[:, sources], offsets)
    world = world_rotations(animation.rotations.astype(np.float64), own)[:, sources]
    if target.rest_directions is not None:
        world = multiply(world, _t_pose(animation, own, weights, target, world, joints))
    offsets = offsets_between(world, joints, target)
    return Animation(joints, local_rotations(world, target).astype(np.float32), offsets)


def _topmost(joints: list[int], skeleton: Skeleton) -> int:
    def depth(joint: int) -> int:
        return 0 if skeleton.parents[joint] < 0 else 1 + depth(skeleton.parents[joint])

    return min(joints, key=depth)


def _is_same(weights: np.ndarray, own: Skeleton, target: Skeleton) -> bool:
    """Whether our joints hang on each other in the rig as they do with us, under our names: then its rest pose stays."""
    chosen = [int(row.argmax()) for row in weights]
    if tuple(own.joint_names[joint] for joint in chosen) != target.joint_names:
        return False
    return all(parent < 0 or own.parents[chosen[joint]] == chosen[parent] for joint, parent in enumerate(target.parents))


def _t_pose(
    animation: Animation, own: Skeleton, weights: np.ndarray, target: Skeleton, world: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """How each of our joints is turned in our T-pose against the rig's rest pose, (1, joints, 4)."""
    offsets = animation.rest_offsets if animation.rest_offsets.ndim == 2 else animation.rest_offsets.mean(axis=0)
    still = np.zeros((1, len(own), 4))
    still[..., 0] = 1
    rest = weights @ place_joints(still, np.zeros((1, 3)), offsets, own)
    if _stands(rest[0], target):
        return _solved(rest, target)
    chosen = np.unique(np.linspace(0, len(joints) - 1, _FRAMES).round().astype(int))
    turns = multiply(inverse(world[chosen]), _solved(joints[chosen], target))
    return _mean_rotation(turns)[None]


def _stands(pose: np.ndarray, skeleton: Skeleton) -> bool:
    """Whether a pose is one that a person rests in: upright on straight legs, feet ahead, arms not through the body."""
    at = dict(zip(skeleton.joint_names, pose, strict=True))
    if not {"head", "neck", "pelvis"} <= set(at):
        return False
    legs = [(at[f"{side}_hip"], at[f"{side}_knee"], at[f"{side}_ankle"], at[f"{side}_foot"]) for side in ("left", "right")]
    up = _unit(at["head"] - (legs[0][2] + legs[1][2]) / 2)
    across = _unit(at["left_hip"] - at["right_hip"])
    forward = np.cross(across, up)
    down = [-_unit(end - start) @ up for hip, knee, ankle, _ in legs for start, end in ((hip, knee), (knee, ankle))]
    spine = _unit(at["neck"] - at["pelvis"]) @ up
    feet = [_unit(foot - ankle) @ forward for _, _, ankle, foot in legs]
    arms = [_unit(at[f"{side}_wrist"] - at[f"{side}_shoulder"]) @ (across * way - 0.5 * up) for side, way in (("left", 1), ("right", -1))]
    return min(*down, spine) > _UPRIGHT and min(*feet, *arms) > 0.2


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _solved(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    rotations, _, _ = solve_rotations(torch.from_numpy(np.ascontiguousarray(joints)), skeleton)
    return world_rotations(rotations.numpy(), skeleton)


def _mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """Mean of rotations over frames (frames, joints, 4): the first axis of their spread, which no sign changes."""
    spread = np.einsum("fji,fjk->jik", rotations, rotations)
    return np.linalg.eigh(spread)[1][..., -1]
