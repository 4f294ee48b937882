"""Skeletons: which joints a motion has, how they hang together, and how the field's features read them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        with the pelvis), and an arm takes its fingers along. The root belongs to none: everything else hangs on it.
        """
        parts = {part: tuple(j for j, name in enumerate(self.joint_names) if j and name in names) for part, names in _BODY_PARTS.items()}
        return {part: joints for part, joints in parts.items() if joints}

    @cached_property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """Joints by the name of a part of the body, ascending, read from the joints' names; parts that the skeleton lacks are left out.

        | group | joints |
        |---|---|
        | `body` | all but fingers |
        | `torso` | root, spine, neck and collars |
        | `head` | head |
        | `left_arm`, `right_arm`, `arms` | shoulder, elbow and wrist |
        | `left_leg`, `right_leg`, `legs` | hip, knee, ankle, heel and toe |
        | `left_hand`, `right_hand`, `hands` | fingers, without the wrist |
        | `upper_body` | torso without the root, head, arms and hands |
        | `lower_body` | root and legs |

        Torso, head, arms, legs and hands do not overlap, upper and lower body do not either. `body_parts` are something else: what moves
        when a part alone moves.

        Example:
        >>> from hf_motion.skeletons import get_skeleton
        >>> skeleton = get_skeleton("smplx-52")
        >>> skeleton.groups["left_hand"][:3], len(skeleton.groups["hands"]), skeleton.groups["head"]
        ((22, 23, 24), 30, (15,))
        """
        names = {
            "torso": (*_TORSO, self.joint_names[0]),
            "head": _HEAD,
            **{f"{side}_arm": _ARMS[f"{side}_arm"] for side in _SIDES},
            **{f"{side}_leg": (f"{side}_hip", *_LEGS[f"{side}_leg"]) for side in _SIDES},
            **{f"{side}_hand": _HANDS[f"{side}_hand"] for side in _SIDES},
        }
        groups = {group: {joint for joint, name in enumerate(self.joint_names) if name in members} for group, members in names.items()}
        for pair in ("arms", "legs", "hands"):
            groups[pair] = set().union(*(groups[f"{side}_{pair[:-1]}"] for side in _SIDES))
        groups["body"] = set(range(len(self))) - groups["hands"]
        groups["upper_body"] = groups["torso"] - {0} | groups["head"] | groups["arms"] | groups["hands"]
        groups["lower_body"] = {0} | groups["legs"]
        return {group: tuple(sorted(joints)) for group, joints in groups.items() if joints}

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
FINGERS = ("index", "middle", "pinky", "ring", "thumb")
"""Fingers in the order in which SMPL-H, SMPL-X and AMASS keep them; each has three joints, from the knuckle outwards."""
_HANDS = {f"{side}_hand": tuple(f"{side}_{finger}{number}" for finger in FINGERS for number in (1, 2, 3)) for side in _SIDES}
_TORSO = ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar", "pelvis", "thorax", "lower_neck")
_HEAD = ("head", "upper_neck")
_BODY_PARTS = {
    "upper_body": (*_TORSO, *_HEAD, *sum(_ARMS.values(), ()), *sum(_HANDS.values(), ())),
    "lower_body": ("left_hip", "right_hip", *sum(_LEGS.values(), ())),
    "torso": _TORSO,
    "head": _HEAD,
    **{f"{side}_arm": _ARMS[f"{side}_arm"] + _HANDS[f"{side}_hand"] for side in _SIDES},
    **_HANDS,
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

# A flat left hand of an adult, palm down, in metres: where each finger starts from the wrist, where it points, lengths of its two bones.
_LEFT_HAND = {
    "index": ((0.095, 0.004, 0.024), (0.996, 0, 0.087), (0.042, 0.025)),
    "middle": ((0.098, 0.006, 0.001), (1, 0, 0), (0.045, 0.028)),
    "pinky": ((0.081, -0.003, -0.037), (0.985, 0, -0.174), (0.033, 0.02)),
    "ring": ((0.091, 0.003, -0.019), (0.998, 0, -0.07), (0.041, 0.027)),
    "thumb": ((0.03, -0.012, 0.028), (0.72, -0.3, 0.62), (0.04, 0.032)),
}


def _with_hands(name: str) -> Skeleton:
    """The skeleton `humanml3d-22` with three joints for each finger.

    The chains and the rest directions of the rotation features (all fingers point sideways) are those of HumanTOMATO's published code.
    """
    body, chains = HUMANML3D_22, list(HUMANML3D_22.chains)
    directions, lengths = list(body.body_directions), list(body.rest_lengths)
    for side, mirrored in zip(_SIDES, (1, -1), strict=True):
        wrist = body.joint(f"{side}_wrist")
        for start, along, bones in (_LEFT_HAND[finger] for finger in FINGERS):
            joint = len(directions)
            chains.append((wrist, joint, joint + 1, joint + 2))
            directions += [(mirrored * x, y, z) for x, y, z in (start, along, along)]
            lengths += [round(math.dist(start, (0, 0, 0)), 4), *bones]
    names = body.joint_names + sum(_HANDS.values(), ())
    return replace(
        body, name=name, joint_names=names, parents=_parents(chains, len(names)), chains=tuple(chains), rest_lengths=tuple(lengths),
        rest_directions=(*body.rest_directions, *[_LEFT] * 15, *[_RIGHT] * 15), body_directions=tuple(directions), fps=30.0,
    )  # fmt: skip


# SMPL-X keeps jaw and eyes between body and hands, and SMPL-H does not; the 52 joints, their names, their order and how they hang together
# are the same. The shapes of the two bodies are licensed and not known here, so that both skeletons have the hands above and differ by
# name alone: it says which body model a motion was made on.
SMPLX_52 = _with_hands("smplx-52")
SMPLH_52 = _with_hands("smplh-52")

SKELETONS = {skeleton.name: skeleton for skeleton in (HUMANML3D_22, KIT_21, SMPLX_52, SMPLH_52)}


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
