"""What a skeleton looks like: which bones are left and right, how thick they are, where the head sits, where it faces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..motion import Motion
from ..skeletons import Skeleton

LEFT, RIGHT, MIDDLE = (52, 120, 214), (229, 112, 52), (86, 97, 112)
"""RGB of the bones on the character's left, on its right, and of torso and head."""

_SIDE_PATTERNS = (
    (r"left", "right"), (r"Left", "Right"), (r"LEFT", "RIGHT"), (r"^l(?=[a-z_.])", "r"), (r"^L(?=[A-Z_.])", "R"),
    (r"(?<=[_.:])l(?=$|[_.])", "r"), (r"(?<=[_.:])L(?=$|[_.])", "R"),
)  # fmt: skip

FINGER = r"thumb|index|middle|ring|pinky|little|finger"
"""What names of joints of fingers hold, in small letters."""
_RADII = (
    (r"(index|middle|ring|pinky|little)_?1$", 0.0125),
    (FINGER, 0.0095), (r"jaw|eye|end|site", 0.016), (r"toe", 0.026),
    (r"foot|heel|ankle", 0.034), (r"wrist|hand", 0.026), (r"elbow|forearm|radius", 0.034), (r"knee|tibia|shin|lowleg", 0.048),
    (r"shoulder|uparm|humerus|arm", 0.042), (r"hip|upleg|thigh|femur", 0.062), (r"leg", 0.048), (r"neck", 0.04),
    (r"collar|clavicle", 0.048), (r"pelvis|root|spine|chest|thorax|torso|back", 0.064),
)  # fmt: skip
_OTHER_RADIUS, _HEAD_RADIUS, _HEAD_LENGTH = 0.035, 0.1, 0.045
_ADULT_REACH = 1.05
_TIP = 0.85
"""Length of the end of a finger, as a share of the bone before it."""
_CARRIER = re.compile("root|reference|world|armature")


@dataclass
class Figure:
    """The tapered capsules that make up a moving body; the last one is the head where the skeleton has one.

    Args:
        starts (`numpy.ndarray`): (frames, capsules, 3) float32, metres.
        ends (`numpy.ndarray`): The same for the other end.
        radii (`numpy.ndarray`): (capsules, 2) float32, metres, at the start and at the end.
        colours (`numpy.ndarray`): (capsules, 3) float32, RGB from 0 to 255.
    """

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    colours: np.ndarray


def check_motions(motions: Motion | Sequence[Motion]) -> list[Motion]:
    """The motions as a list.

    Raises:
        ValueError: If there are none.
        TypeError: If one of them is not a `Motion`.
    """
    motions = [motions] if isinstance(motions, Motion) else list(motions)
    if not motions:
        raise ValueError("There is no motion to draw: the list is empty. Pass a Motion or a list of at least one.")
    for motion in motions:
        if not isinstance(motion, Motion):
            raise TypeError(f"Only Motion objects can be drawn, got {type(motion).__name__}. Wrap joints as Motion(joints, fps=20).")
    return motions


def sides(skeleton: Skeleton) -> np.ndarray:
    """+1 for joints on the left, -1 on the right, 0 on the midline, (joints,) int64, from names that come in pairs."""
    names = set(skeleton.joint_names)
    side = np.zeros(len(skeleton), dtype=int)
    for joint, name in enumerate(skeleton.joint_names):
        for left, right in _SIDE_PATTERNS:
            other = re.sub(left, right, name)
            if other != name and other in names:
                side[joint], side[skeleton.joint_names.index(other)] = 1, -1
    return side


def bone_sides(skeleton: Skeleton) -> np.ndarray:
    """+1 left, -1 right, 0 neutral for every bone of `skeleton.bones`; bones that leave the midline count as torso."""
    side = sides(skeleton)
    return np.array([side[child] if side[parent] else 0 for parent, child in skeleton.bones], dtype=int)


def head_capsule(skeleton: Skeleton, size: float) -> tuple[int, int, float, float] | None:
    """The head of a body of some size: its joint, the joint below it, radius and length in metres. None without a head.

    The head is the joint named so, else the first joint on the midline that ends a chain.
    """
    side = sides(skeleton)
    ends = [joint for joint in range(len(skeleton)) if not side[joint] and not skeleton.children[joint]]
    named = [joint for joint, name in enumerate(skeleton.joint_names) if "head" in name.lower()]
    if not named and not side.any() and len(skeleton) > 1:
        return None
    head = next(iter(named + ends), None)
    return None if head is None else (head, max(skeleton.parents[head], 0), _HEAD_RADIUS * size, _HEAD_LENGTH * size)


def is_carrier(skeleton: Skeleton) -> bool:
    """Whether the root is no part of the body: it has one child, and a name such as "joint_Root", "Reference" or "world"."""
    return len(skeleton.children[0]) == 1 and _CARRIER.search(skeleton.joint_names[0].lower()) is not None


def drawn_bones(skeleton: Skeleton) -> list[int]:
    """Which of `skeleton.bones` are part of the body: all but the one from a root that only carries it."""
    return [index for index, (parent, _) in enumerate(skeleton.bones) if parent or not is_carrier(skeleton)]


def bone_radii(motion: Motion) -> tuple[np.ndarray, float]:
    """Radius at both ends of every bone, (bones, 2) float32 metres, and the size of the body, 1 for an adult."""
    skeleton, pose = motion.skeleton, motion.joints[0]
    reach = np.zeros(len(skeleton))
    for parent, child in skeleton.bones:
        if parent or len(skeleton.children[0]) > 1:  # a single child may be carried about by the root, and far from it
            reach[child] = reach[parent] + np.linalg.norm(pose[child] - pose[parent])
    # Hands say nothing of how tall a body is, and most bodies come without fingers.
    reach = [length for length, name in zip(reach, skeleton.joint_names, strict=True) if not re.search(FINGER, name.lower())]
    size = float(max(reach, default=0.0) / _ADULT_REACH) or 1.0
    radius = [next((r for pattern, r in _RADII if re.search(pattern, name.lower())), _OTHER_RADIUS) for name in skeleton.joint_names]
    pairs = [(radius[parent], radius[child]) for parent, child in skeleton.bones]
    return np.array(pairs, dtype=np.float32).reshape(-1, 2) * size, size


def with_finger_tips(motion: Motion) -> Motion:
    """The motion with a joint at the tip of each finger, straight on from the last one, for skeletons of ours, whose fingers end before."""
    skeleton, joints = motion.skeleton, motion.joints
    ends = [joint for joint in skeleton.groups.get("hands", ()) if not skeleton.children[joint]]
    if not ends:
        return motion
    tips = joints[:, ends] + _TIP * (joints[:, ends] - joints[:, [skeleton.parents[joint] for joint in ends]])
    names = tuple(f"{skeleton.joint_names[joint]}_tip" for joint in ends)
    longer = Skeleton(f"{skeleton.name}-tips", skeleton.joint_names + names, (*skeleton.parents, *ends))
    return replace(motion, joints=np.concatenate([joints, tips], axis=1), skeleton=longer, rotations=None, rest_offsets=None)


def build_figure(motion: Motion) -> Figure:
    """The capsules of a motion.

    Args:
        motion (`Motion`): Any skeleton; left and right are read from the joint names.
    """
    motion = with_finger_tips(motion)
    skeleton, joints = motion.skeleton, motion.joints
    drawn = drawn_bones(skeleton)
    bones = np.array(skeleton.bones, dtype=int).reshape(-1, 2)[drawn]
    radii, size = bone_radii(motion)
    radii = radii[drawn]
    palette = np.array([MIDDLE, LEFT, RIGHT], dtype=np.float32)
    colours = palette[bone_sides(skeleton)[drawn]] if len(bones) else np.zeros((0, 3), np.float32)
    starts, ends = joints[:, bones[:, 0]], joints[:, bones[:, 1]]
    capsule = head_capsule(skeleton, size)
    if capsule is not None:
        head, neck, radius, length = capsule
        up = joints[:, head] - joints[:, neck]
        norm = np.linalg.norm(up, axis=-1, keepdims=True)
        up = np.where(norm > 1e-6, up / np.maximum(norm, 1e-6), np.float32([0, 1, 0]))
        starts = np.concatenate([starts, joints[:, [head]]], axis=1)
        ends = np.concatenate([ends, (joints[:, head] + up * length)[:, None]], axis=1)
        radii = np.concatenate([radii, np.full((1, 2), radius, np.float32)])
        colours = np.concatenate([colours, palette[:1]])
    return Figure(starts.astype(np.float32), ends.astype(np.float32), radii.astype(np.float32), colours)


def facing(motion: Motion) -> np.ndarray:
    """Horizontal direction that the body faces, (frames, 2) float32 unit vectors (x, z); +Z where it cannot be told."""
    side, parents = sides(motion.skeleton), motion.skeleton.parents
    first = [joint for joint in range(len(side)) if side[joint] and (parents[joint] < 0 or not side[parents[joint]])]
    across = np.zeros((len(motion), 3), dtype=np.float32)
    for joint in first:
        across += side[joint] * motion.joints[:, joint]
    forward = np.stack([-across[:, 2], across[:, 0]], axis=-1)
    length = np.linalg.norm(forward, axis=-1, keepdims=True)
    return np.where(length > 1e-4, forward / np.maximum(length, 1e-4), np.float32([0, 1])).astype(np.float32)


def floor_height(motion: Motion) -> float:
    """Height of the floor to draw: 0, so that floating and sinking show, unless the clip was recorded about another origin."""
    lowest = float(motion.joints[..., 1].min())
    return 0.0 if -0.5 <= lowest <= 1.0 else lowest
