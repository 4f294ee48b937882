"""Hands on bodies: fingers for motions that were made without, and bodies without their fingers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .motion import Motion
from .skeletons import FINGERS, HUMANML3D_22, Skeleton, get_skeleton

# How far the two bones of a finger hang below the palm in a hand at rest, degrees.
_RELAXED = (20.0, 55.0)


def with_hands(motion: Motion, skeleton: str | Skeleton = "smplx-52") -> Motion:
    """The same motion with fingers, both hands relaxed: fingers half bent, palms turned as forearms are.

    Nothing is known about hands of a motion on 22 joints. Their size goes with the forearms', their turn about the forearm with the plane
    in which the elbow bends, or with the motion's own rotations of the wrists where it has some.

    Args:
        motion (`Motion`): On `humanml3d-22`. A motion that has the fingers already is returned as it is.
        skeleton (`str` or `Skeleton`, defaults to `"smplx-52"`): `"smplx-52"` or `"smplh-52"`.

    Returns:
        `Motion`: On `skeleton`.

    Raises:
        ValueError: If the motion or `skeleton` is on other joints.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.hands import with_hands, without_hands
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> motion = Motion(np.tile(HUMANML3D_22.body_joints, (40, 1, 1)), text="a person stands")
    >>> with_hands(motion)
    Motion(40 frames at 20 fps, 2.00 s, smplx-52, text='a person stands')
    >>> without_hands(with_hands(motion)) == motion
    True
    """
    skeleton = _with_fingers(skeleton)
    if motion.skeleton.joint_names == skeleton.joint_names:
        return replace(motion, skeleton=skeleton)
    if motion.skeleton != HUMANML3D_22:
        raise ValueError(
            f"Hands are put on motions of skeleton 'humanml3d-22', this one is on {motion.skeleton.name!r}. Read its file with "
            "hf_motion.read_motion, which maps its joints."
        )
    turns, scale = wrist_turns(motion)
    turned = [np.einsum("fij,kj->fki", turns[:, side], scale * hand) for side, hand in enumerate(relaxed_hands())]
    hands = [motion.joints[:, [wrist]] + hand for wrist, hand in zip(wrist_joints(HUMANML3D_22), turned, strict=True)]
    joints = np.concatenate([motion.joints, *hands], axis=1)
    if motion.rotations is None or motion.rest_offsets is None:
        return replace(motion, joints=joints, skeleton=skeleton)
    # The fingers rest as they are, and never turn against the wrists.
    rest = motion.rest_offsets if motion.rest_offsets.ndim == 2 else motion.rest_offsets.mean(axis=0)
    offsets = [hand @ turn.T for hand, turn in zip(scale * _from_parents(relaxed_hands()), _rest_turns(rest), strict=True)]
    offsets = np.concatenate(offsets).astype(np.float32)
    offsets = np.broadcast_to(offsets, (*motion.rest_offsets.shape[:-2], *offsets.shape))
    still = np.broadcast_to(np.array([1, 0, 0, 0], np.float32), (len(motion), 30, 4))
    return replace(
        motion, joints=joints, skeleton=skeleton, rotations=np.concatenate([motion.rotations, still], axis=1),
        rest_offsets=np.concatenate([motion.rest_offsets, offsets], axis=-2),
    )  # fmt: skip


def fill_hands(motion: Motion, lacking: Sequence[str]) -> Motion:
    """The same motion with relaxed fingers in the place of those that are not known.

    Where a hand has two other fingers or more, the palm lies as their joints and the wrist do; with fewer, as `with_hands` has it.

    Args:
        motion (`Motion`): On a skeleton with fingers; where the joints `lacking` are does not matter.
        lacking (`Sequence[str]`): Joints of fingers that are not known.

    Returns:
        `Motion`: On the same skeleton.
    """
    skeleton = _with_fingers(motion.skeleton)
    relaxed_motion = with_hands(without_hands(motion), skeleton)
    if len(lacking) == 30:
        return relaxed_motion
    joints, relaxed = motion.joints.copy(), relaxed_motion.joints
    for side, wrist in zip(("left", "right"), wrist_joints(skeleton), strict=True):
        hand = np.array(skeleton.groups[f"{side}_hand"])
        unknown = np.isin(np.array(skeleton.joint_names)[hand], lacking)
        filled = relaxed[:, hand] - relaxed[:, [wrist]]
        if (~unknown).sum() >= 6:
            known = joints[:, hand[~unknown]] - joints[:, [wrist]]
            filled = filled @ turn_onto(filled[:, ~unknown], known).swapaxes(-1, -2)
        joints[:, hand[unknown]] = (joints[:, [wrist]] + filled)[:, unknown]
    return replace(motion, joints=joints)


def turn_onto(vectors: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rotations (frames, 3, 3) that bring vectors (frames, vectors, 3) closest to others (Kabsch 1976)."""
    left, _, right = np.linalg.svd(wanted.swapaxes(-1, -2).astype(np.float64) @ vectors)
    left[..., -1] *= np.linalg.det(left @ right)[..., None]
    return left @ right


def without_hands(motion: Motion) -> Motion:
    """The same motion on `humanml3d-22`, its fingers left out; the text stays.

    Raises:
        ValueError: If the motion is neither on 52 joints nor on these 22.
    """
    if motion.skeleton == HUMANML3D_22:
        return motion
    if motion.skeleton.joint_names[: len(HUMANML3D_22)] != HUMANML3D_22.joint_names:
        raise ValueError(
            f"A motion on {motion.skeleton.name!r} does not begin with the 22 joints of a body, so its fingers cannot be left out."
        )
    count = len(HUMANML3D_22)
    rotations, offsets = motion.rotations, motion.rest_offsets
    if rotations is not None and offsets is not None:
        rotations, offsets = rotations[:, :count].copy(), offsets[..., :count, :].copy()
    return replace(motion, joints=motion.joints[:, :count].copy(), skeleton=HUMANML3D_22, rotations=rotations, rest_offsets=offsets)


def wrist_joints(skeleton: Skeleton) -> tuple[int, int]:
    """Left and right wrist."""
    return skeleton.joint("left_wrist"), skeleton.joint("right_wrist")


def relaxed_hands() -> np.ndarray:
    """Finger joints of a left and a right hand at rest, from the wrist, (2, 15, 3) metres, in the T-pose (palms down)."""
    skeleton = get_skeleton("smplx-52")
    offsets = skeleton.body_offsets[list(skeleton.groups["left_hand"])].reshape(len(FINGERS), 3, 3)
    for bone, degrees in enumerate(_RELAXED, start=1):
        # A thumb at rest is where the skeleton has it.
        fingers, angle = offsets[:-1, bone], math.radians(degrees)
        sizes = np.linalg.norm(fingers, axis=-1)
        offsets[:-1, bone] = fingers * math.cos(angle)
        offsets[:-1, bone, 1] = -sizes * math.sin(angle)
    left = offsets.cumsum(axis=1).reshape(-1, 3)
    return np.stack([left, left * [-1, 1, 1]])


def _with_fingers(skeleton: str | Skeleton) -> Skeleton:
    skeleton = get_skeleton(skeleton)
    if len(skeleton.groups.get("hands", ())) != 30 or skeleton.body_offsets is None:
        raise ValueError(f"Skeleton {skeleton.name!r} has no fingers. Those with fingers: smplh-52, smplx-52.")
    return skeleton


def _from_parents(hands: np.ndarray) -> np.ndarray:
    """Positions (..., 15, 3) of a hand's joints from the wrist as vectors from the joint before."""
    fingers = hands.reshape(*hands.shape[:-2], len(FINGERS), 3, 3)
    return np.diff(fingers, axis=-2, prepend=0).reshape(hands.shape)


def _rest_turns(rest_offsets: np.ndarray) -> list[np.ndarray]:
    """Rotations (3, 3) of both hands from the T-pose to a rest pose in which forearms point elsewhere."""
    import torch

    from .representation.rotations import quaternion_between, quaternion_to_matrix

    forearms = torch.from_numpy(rest_offsets[list(wrist_joints(HUMANML3D_22))].astype(np.float64))
    sideways = torch.tensor([[1.0, 0, 0], [-1, 0, 0]], dtype=torch.float64)
    return list(quaternion_to_matrix(quaternion_between(sideways, forearms)).numpy())


def wrist_turns(motion: Motion) -> tuple[np.ndarray, float]:
    """World rotations of both wrists from the T-pose, (frames, 2, 3, 3), and the size of the forearms, 1 for the reference body's."""
    import torch

    from .kinematics import solve_rotations
    from .pose import world_rotations
    from .representation.rotations import quaternion_to_matrix

    skeleton = motion.skeleton
    wrists = list(wrist_joints(skeleton))
    if motion.rotations is None or motion.rest_offsets is None:
        local = solve_rotations(torch.from_numpy(motion.joints).double(), skeleton)[0].numpy()
        rest = np.eye(3)
    else:
        local = motion.rotations.astype(np.float64)
        offsets = motion.rest_offsets if motion.rest_offsets.ndim == 2 else motion.rest_offsets.mean(axis=0)
        rest = np.stack(_rest_turns(offsets))
    world = quaternion_to_matrix(torch.from_numpy(world_rotations(local, skeleton)[:, wrists].copy())).numpy()
    lengths = np.linalg.norm(motion.joints[:, wrists] - motion.joints[:, [skeleton.parents[wrist] for wrist in wrists]], axis=-1)
    return world @ rest, float(np.median(lengths) / np.mean([skeleton.rest_lengths[wrist] for wrist in wrists]))


def finger_bends(fingers: np.ndarray, side: str) -> np.ndarray:
    """How far each finger but the thumb bends in its middle joint.

    Args:
        fingers (`numpy.ndarray`): Joints of a hand in the order of `smplx-52`, (frames, 15, 3), in any unit and place.
        side (`str`): `"left"` or `"right"`.

    Returns:
        `numpy.ndarray`: (frames, 4) radians, negative towards the back of the hand, about the line through the knuckles of index and
        little finger.
    """
    chains = fingers.astype(np.float64).reshape(len(fingers), len(FINGERS), 3, 3)[:, :-1]
    index, pinky = (chains[:, FINGERS.index(finger), 0] for finger in ("index", "pinky"))
    axis = pinky - index if side == "left" else index - pinky
    axis = (axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9))[:, None]
    # Sideways spread is no bend: what lies along the axis is left out.
    first, second = (bone - (bone * axis).sum(-1, keepdims=True) * axis for bone in np.moveaxis(np.diff(chains, axis=2), 2, 0))
    return np.arctan2((np.cross(first, second) * axis).sum(-1), (first * second).sum(-1))
