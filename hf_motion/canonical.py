"""Bringing motions onto common ground: floor, start, heading and bone lengths, as HumanML3D does before it takes features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from .motion import Motion
from .pose import resized_offsets
from .representation import HumanML3DRepresentation
from .skeletons import Skeleton, get_skeleton


def put_on_floor(motion: Motion) -> Motion:
    """Raise or lower the whole clip so that its lowest joint, over all frames, is at height 0.

    A jump keeps its height, and one joint below the floor in one frame lifts the clip.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.canonical import put_on_floor
    >>> float(put_on_floor(Motion(np.full((2, 22, 3), 0.5))).joints[..., 1].min())
    0.0
    """
    return replace(motion, joints=motion.joints - np.array([0, motion.joints[..., 1].min(), 0], np.float32))


def start_at_origin(motion: Motion) -> Motion:
    """Move the whole clip so that the root starts above the origin; heights stay."""
    return replace(motion, joints=motion.joints - motion.joints[0, 0] * np.array([1, 0, 1], np.float32))


def face_forward(motion: Motion) -> Motion:
    """Turn the whole clip about the vertical through the root's start so that the character faces +Z in the first frame.

    The heading is orthogonal to the sum of the vectors across hips and shoulders, as in HumanML3D. Without any, as in a clip that
    starts lying on one side, the clip stays as it is.

    Args:
        motion (`Motion`): On a skeleton that says what its hips and shoulders are (`Skeleton.facing`).

    Raises:
        ValueError: If the skeleton does not.
    """
    if motion.skeleton.facing is None:
        raise ValueError(
            f"Skeleton {motion.skeleton.name!r} does not say what its hips and shoulders are. Read the file with read_motion, which "
            "maps its joints to 'humanml3d-22', or give the skeleton `facing`."
        )
    joints = motion.joints.astype(np.float64)
    right_hip, left_hip, right_shoulder, left_shoulder = joints[0, list(motion.skeleton.facing)]
    across = right_hip - left_hip + right_shoulder - left_shoulder
    forward = np.array([across[2], -across[0]])
    size = np.linalg.norm(forward)
    if size < 1e-9:
        return motion
    return motion.turn(-np.arctan2(forward[0], forward[1]), about=joints[0, 0])


def uniform_skeleton(motion: Motion, target: str | Skeleton | Motion = "humanml3d-22") -> Motion:
    """The same motion on a body of other bone lengths: HumanML3D's `uniform_skeleton`.

    Bone directions stay, bone lengths become those of `target`, and the root's path, heights included, is scaled by the ratio of
    the leg lengths. A bone that has no length in the source, and so no direction, has none in the result.

    Args:
        motion (`Motion`): On a skeleton with `leg` and the joints of `target`.
        target (`str`, `Skeleton` or `Motion`, defaults to `"humanml3d-22"`): A skeleton with `rest_lengths`, its name, or a motion
            whose first frame has the wanted bone lengths, as clip 000021 has in HumanML3D and 03950 in KIT-ML.

    Returns:
        `Motion`: On the target's skeleton.

    Raises:
        ValueError: If the target has no bone lengths, or other joints than the motion.
    """
    skeleton = target.skeleton if isinstance(target, Motion) else get_skeleton(target)
    if (skeleton.joint_names, skeleton.parents) != (motion.skeleton.joint_names, motion.skeleton.parents):
        raise ValueError(
            f"The motion is on skeleton {motion.skeleton.name!r}, the target on {skeleton.name!r}; both must have the same joints. "
            "Read the file with read_motion, which maps its joints."
        )
    lengths = skeleton.rest_lengths
    if isinstance(target, Motion):
        first = target.joints[0].astype(np.float64)
        lengths = tuple(np.linalg.norm(first - first[[max(parent, 0) for parent in skeleton.parents]], axis=-1).tolist())
    elif lengths is not None and skeleton.unit == "mm":
        lengths = tuple(length / 1000 for length in lengths)
    if lengths is None:
        raise ValueError(f"Skeleton {skeleton.name!r} has no bone lengths. Pass a motion of the body that you want as `target`.")
    representation = HumanML3DRepresentation(replace(skeleton, rest_lengths=lengths))
    joints = representation.retarget(torch.from_numpy(motion.joints).double()).numpy()
    offsets = motion.rest_offsets if motion.rest_offsets is None else resized_offsets(motion.rest_offsets, motion.joints, joints, skeleton)
    return replace(motion, joints=joints, skeleton=skeleton, rest_offsets=offsets)
