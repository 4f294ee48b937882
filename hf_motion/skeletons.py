"""Skeletons: which joints a motion has, how they hang together, and how the field's features read them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """A joint hierarchy.

    Equality is by value, so two motions loaded from two files of one rig share a skeleton.

    Args:
        name (`str`): Name under which checkpoints and files mention the skeleton.
        joint_names (`tuple[str, ...]`): One unique name per joint, root first.
        parents (`tuple[int, ...]`): Parent index per joint; the root has -1 and every parent precedes its children.
        rest_directions (`tuple[tuple[float, float, float], ...]`, *optional*): Unit direction of the bone that ends in each
            joint, in the rest pose that the field's rotation features are measured from (HumanML3D `paramUtil.py`).
            Y is up, Z is forward, +X is the character's left. The root has (0, 0, 0).
        rest_lengths (`tuple[float, ...]`, *optional*): Length of the bone that ends in each joint, in `unit`, of the reference
            character that clips are retargeted to before features are extracted.
        body_directions (`tuple[tuple[float, float, float], ...]`, *optional*): The same in the T-pose that files are written in and motions
            are made on, with hips and collars where bodies have them, since those turn with pelvis and chest.
        chains (`tuple[tuple[int, ...], ...]`, *optional*): Kinematic chains of the published feature code, whose rotations start
            again from the heading at the first bone of each chain.
        facing (`tuple[int, int, int, int]`, *optional*): Right hip, left hip, right shoulder, left shoulder, in the order in
            which the published feature code names them.
        feet (`tuple[int, int, int, int]`, *optional*): Left ankle, left toe, right ankle, right toe: the joints whose ground
            contact is a feature.
        leg (`tuple[int, int]`, *optional*): The two joints whose bone lengths measure a leg.
        fps (`float`, *optional*): Frame rate of the data set that uses this skeleton.
        unit (`str`, defaults to `"m"`): `"m"` or `"mm"`, the unit that the data set's features are measured in.

    Raises:
        ValueError: If names repeat, lengths differ, or a parent does not precede its child.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    rest_directions: tuple[tuple[float, float, float], ...] | None = None
    rest_lengths: tuple[float, ...] | None = None
    body_directions: tuple[tuple[float, float, float], ...] | None = None
    chains: tuple[tuple[int, ...], ...] | None = None
    facing: tuple[int, int, int, int] | None = None
    feet: tuple[int, int, int, int] | None = None
    leg: tuple[int, int] | None = None
    fps: float | None = None
    unit: str = "m"

    def __post_init__(self) -> None:
        names, parents = self.joint_names, self.parents
        if len(set(names)) != len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"Joint names of skeleton {self.name!r} repeat: {repeated}. Give every joint a name of its own.")
        if len(names) != len(parents) or not names:
            raise ValueError(f"Skeleton {self.name!r} has {len(names)} joint names and {len(parents)} parents; they must match.")
        if parents[0] != -1 or any(not 0 <= parent < joint for joint, parent in enumerate(parents) if joint):
            raise ValueError(
                f"Skeleton {self.name!r} has parents {parents}; joint 0 must be the root (-1) and every other parent must "
                "come before its child. Reorder the joints from the root outwards."
            )

    def __len__(self) -> int:
        return len(self.joint_names)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) joint indices, one pair per bone, children ascending."""
        return tuple((parent, joint) for joint, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the children of each joint."""
        children: list[list[int]] = [[] for _ in self.parents]
        for parent, joint in self.bones:
            children[parent].append(joint)
        return tuple(map(tuple, children))

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Joints by depth, root first. All joints of one level can be computed at once when walking the tree."""
        depth = [0] * len(self)
        for parent, joint in self.bones:
            depth[joint] = depth[parent] + 1
        levels: list[list[int]] = [[] for _ in range(max(depth) + 1)]
        for joint, level in enumerate(depth):
            levels[level].append(joint)
        return tuple(map(tuple, levels))

    @cached_property
    def rest_offsets(self) -> np.ndarray | None:
        """Bone vectors of the reference character in its rest pose, (joints, 3) float32 in `unit`, or None."""
        if self.rest_directions is None or self.rest_lengths is None:
            return None
        return (np.asarray(self.rest_directions) * np.asarray(self.rest_lengths)[:, None]).astype(np.float32)

    @cached_property
    def body_offsets(self) -> np.ndarray | None:
        """Bone vectors of the reference character in the T-pose of `body_directions`, (joints, 3) float64 in `unit`, or None."""
        if self.body_directions is None or self.rest_lengths is None:
            return None
        directions = np.asarray(self.body_directions, dtype=np.float64)
        sizes = np.linalg.norm(directions, axis=-1, keepdims=True)
        return directions / np.where(sizes > 0, sizes, 1) * np.asarray(self.rest_lengths)[:, None]

    @cached_property
    def body_joints(self) -> np.ndarray | None:
        """Joints of the reference character in that T-pose, the root at the origin, (joints, 3) float64 in `unit`, or None."""
        if self.body_offsets is None:
            return None
        joints = self.body_offsets.copy()
        for parent, joint in self.bones:
            joints[joint] += joints[parent]
        return joints

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """For each joint, the joint on the other side of the body (itself on the midline), read from the names."""
        index = {name: joint for joint, name in enumerate(self.joint_names)}
        return tuple(index.get(_other_side(name), joint) for joint, name in enumerate(self.joint_names))

    @cached_property
    def body_parts(self) -> dict[str, tuple[int, ...]]:
        """Joints of each body part that the skeleton has, read from the names.

        A part holds the joints that move when it alone moves: an arm begins at the shoulder, a leg at the knee (the hip joint turns
        with the pelvis). The root belongs to none: everything else hangs on it.
        """
        parts = {part: tuple(j for j, name in enumerate(self.joint_names) if j and name in names) for part, names in _BODY_PARTS.items()}
        return {part: joints for part, joints in parts.items() if joints}

    def joint(self, name: str) -> int:
        """Index of the joint called `name`.

        Raises:
            ValueError: If there is no such joint; the message lists those there are.
        """
        if name not in self.joint_names:
            raise ValueError(f"Skeleton {self.name!r} has no joint {name!r}. Its joints are: {', '.join(self.joint_names)}.")
        return self.joint_names.index(name)


_SIDES = ("left", "right")
_ARMS = {f"{side}_arm": tuple(f"{side}_{name}" for name in ("shoulder", "elbow", "wrist")) for side in _SIDES}
_LEGS = {f"{side}_leg": tuple(f"{side}_{name}" for name in ("knee", "ankle", "heel", "foot")) for side in _SIDES}
_TORSO = ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar", "pelvis", "thorax", "lower_neck")
_HEAD = ("head", "upper_neck")
_BODY_PARTS = {
    "upper_body": (*_TORSO, *_HEAD, *sum(_ARMS.values(), ())),
    "lower_body": ("left_hip", "right_hip", *sum(_LEGS.values(), ())),
    "torso": _TORSO,
    "head": _HEAD,
    **_ARMS,
    **_LEGS,
}


def _other_side(name: str) -> str:
    for one, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(one):
            return other + name[len(one) :]
    return name


def _parents(chains: Sequence[Sequence[int]], count: int) -> tuple[int, ...]:
    parents = [-1] * count
    for chain in chains:
        for parent, joint in itertools.pairwise(chain):
            parents[joint] = parent
    return tuple(parents)


_T2M_CHAINS = ((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20))
_KIT_CHAINS = ((0, 11, 12, 13, 14, 15), (0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4), (3, 5, 6, 7), (3, 8, 9, 10))
_UP, _DOWN, _LEFT, _RIGHT, _FORWARD = (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1)
# Hips hang 30 degrees below the pelvis, between those of the recorded bodies (14 to 53); collars rise from the chest as theirs do.
_HIPS = ((0.866, -0.5, 0), (-0.866, -0.5, 0))
_COLLARS = ((0.342, 0.94, 0), (-0.342, 0.94, 0))

HUMANML3D_22 = Skeleton(
    name="humanml3d-22",
    joint_names=(
        "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
        "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    ),
    parents=_parents(_T2M_CHAINS, 22),
    rest_directions=(
        (0, 0, 0), _LEFT, _RIGHT, _UP, _DOWN, _DOWN, _UP, _DOWN, _DOWN, _UP, _FORWARD, _FORWARD, _UP, _LEFT, _RIGHT,
        _FORWARD, _DOWN, _DOWN, _DOWN, _DOWN, _DOWN, _DOWN,
    ),
    rest_lengths=(
        0, 0.1031, 0.1099, 0.1316, 0.3936, 0.3902, 0.1432, 0.4324, 0.4256, 0.0574, 0.1434, 0.1494, 0.2194, 0.1375, 0.1434,
        0.1030, 0.1316, 0.1230, 0.2568, 0.2631, 0.2660, 0.2699,
    ),
    body_directions=(
        (0, 0, 0), *_HIPS, _UP, _DOWN, _DOWN, _UP, _DOWN, _DOWN, _UP, _FORWARD, _FORWARD, _UP, *_COLLARS, _UP,
        _LEFT, _RIGHT, _LEFT, _RIGHT, _LEFT, _RIGHT,
    ),
    chains=_T2M_CHAINS,
    facing=(2, 1, 17, 16),
    feet=(7, 10, 8, 11),
    leg=(5, 8),
    fps=20.0,
)  # fmt: skip

# The names are those of the MMM reference model. The published feature code takes 11 and 5 for the right hip and shoulder and
# 19, 20 for the left foot; features follow the code, so `facing` and `feet` do too.
KIT_21 = Skeleton(
    name="kit-21",
    joint_names=(
        "root", "pelvis", "thorax", "lower_neck", "upper_neck", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
        "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle", "left_heel", "left_foot", "right_hip",
        "right_knee", "right_ankle", "right_heel", "right_foot",
    ),
    parents=_parents(_KIT_CHAINS, 21),
    rest_directions=(
        (0, 0, 0), _UP, _UP, _UP, _UP, _LEFT, _DOWN, _DOWN, _RIGHT, _DOWN, _DOWN, _LEFT, _DOWN, _DOWN, _FORWARD, _FORWARD,
        _RIGHT, _DOWN, _DOWN, _FORWARD, _FORWARD,
    ),
    chains=_KIT_CHAINS,
    facing=(11, 16, 5, 8),
    feet=(19, 20, 14, 15),
    leg=(17, 18),
    fps=12.5,
    unit="mm",
)  # fmt: skip

SKELETONS = {skeleton.name: skeleton for skeleton in (HUMANML3D_22, KIT_21)}


def get_skeleton(skeleton: str | Skeleton) -> Skeleton:
    """Return the skeleton called `skeleton`; a `Skeleton` passes through.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.

    Example:
    >>> from hf_motion.skeletons import get_skeleton
    >>> len(get_skeleton("humanml3d-22"))
    22
    """
    if isinstance(skeleton, Skeleton):
        return skeleton
    if skeleton not in SKELETONS:
        raise ValueError(
            f"Unknown skeleton {skeleton!r}. Known skeletons: {', '.join(sorted(SKELETONS))}. "
            "For another rig, build a `hf_motion.Skeleton` from its joint names and parents."
        )
    return SKELETONS[skeleton]


def known_skeleton(skeleton: Skeleton) -> Skeleton:
    """Our skeleton of that name, with all that we know about it, if it has the same joints; otherwise `skeleton` itself."""
    ours = SKELETONS.get(skeleton.name, skeleton)
    return ours if (ours.joint_names, ours.parents) == (skeleton.joint_names, skeleton.parents) else skeleton
