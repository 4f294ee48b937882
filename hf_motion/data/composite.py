"""Composite whole bodies: recorded bodies with recorded hands of other people at their wrists.

Recordings of bodies with captions have no fingers, and recordings of fingers have neither bodies nor captions. What is made here moves as
both do, but never happened: fingers do not know what the arm is about. Every row says so in its source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..formats.hand_takes import SIDES, HandTake
from ..hands import turn_onto, wrist_joints, wrist_turns
from ..motion import Motion
from ..skeletons import SMPLX_52

_KNUCKLES = [0, 3, 6, 9]
# Shares of the takes of hands that only clips of the test and of the val split get.
_HELD_OUT = (("test", 0.15), ("val", 0.05))


@dataclass(frozen=True)
class Attached:
    """A body with hands, and which part of which recording they are.

    Args:
        motion (`Motion`): On `smplx-52`.
        take (`str`): Take of the hands.
        start (`float`): Where in the take they begin, seconds.
        mirrored (`bool`): Whether left and right of the take are exchanged.
    """

    motion: Motion
    take: str
    start: float
    mirrored: bool


def attach_hands(motion: Motion, take: HandTake) -> Attached:
    """Put the hands of a recording on the wrists of a body.

    The part of the take is the one in which its wrists are fast and slow when those of the body are (correlation of speeds, mirrored
    takes too). Hands keep their own poses and are turned as the forearms are, since what a wrist of the body does against its forearm is
    not known; they are scaled to the forearms as the reference body's are. A take of one hand serves for both, mirrored; one that is
    shorter than the motion is played back and forth.

    Args:
        motion (`Motion`): On `humanml3d-22`.
        take (`HandTake`): At the frame rate of the motion, see `hf_motion.formats.hand_takes.read_hand_take`.

    Returns:
        `Attached`: On `smplx-52`, the body as it was.

    Raises:
        ValueError: If the frame rates differ.
    """
    if abs(take.fps - motion.fps) > 1e-3:
        raise ValueError(f"The hands are at {take.fps:g} frames per second, the body at {motion.fps:g}; read them with fps={motion.fps:g}.")
    hands = _both_hands(take)
    order = np.arange(len(take))
    # Back and forth, without showing a frame twice at the turns.
    order = np.concatenate([order, order[-2:0:-1]])
    longer = order[np.arange(max(len(motion), len(take))) % len(order)]
    wrists = np.stack([take.hands.get(side, next(iter(take.hands.values())))[:, 0] for side in SIDES], axis=1)
    speeds = _wrist_speeds(motion.joints[:, list(wrist_joints(motion.skeleton))])
    start, mirrored = _best_start(speeds, _wrist_speeds(wrists[longer]))
    frames = longer[start : start + len(motion)]
    local = [_mirrored(hands[1 - side]) if mirrored else hands[side] for side in range(2)]
    turns, scale = wrist_turns(motion)
    joints = [motion.joints]
    for side, wrist in enumerate(wrist_joints(motion.skeleton)):
        joints.append(motion.joints[:, [wrist]] + np.einsum("fij,fkj->fki", turns[:, side], scale * local[side][frames]))
    whole = Motion(np.concatenate(joints, axis=1), motion.fps, SMPLX_52, motion.text)
    return Attached(whole, take.name, start / take.fps, mirrored)


def takes_of_split(takes: Sequence[str], split: str) -> list[str]:
    """The takes that clips of a split may get: no recording of hands is in two splits, where there are three or more.

    Example:
    >>> from hf_motion.data.composite import takes_of_split
    >>> names = [f"take {number}" for number in range(23)]
    >>> [len(takes_of_split(names, split)) for split in ("train", "val", "test")]
    [19, 1, 3]
    """
    order = sorted(takes, key=lambda name: hashlib.blake2b(name.encode(), digest_size=8).digest())
    if len(order) < 3:
        return order
    for name, share in _HELD_OUT:
        count = max(1, round(share * len(takes)))
        if split == name:
            return order[:count]
        order = order[count:]
    return order


def take_of_clip(name: str, takes: Sequence[str]) -> str:
    """Which take a clip gets: drawn by its name, the same on every machine."""
    return takes[int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") % len(takes)]


def local_hands(take: HandTake) -> dict[str, np.ndarray]:
    """Joints of recorded fingers, (frames, 15, 3), from the wrist and turned into the T-pose, palms as long as the reference's.

    Args:
        take (`HandTake`): The recording.

    Returns:
        `dict[str, numpy.ndarray]`: By side, those that were recorded.
    """
    local = {}
    for side, joints in take.hands.items():
        body = SMPLX_52.body_joints
        ours = body[[SMPLX_52.groups[f"{side}_hand"][knuckle] for knuckle in _KNUCKLES]] - body[SMPLX_52.joint(f"{side}_wrist")]
        fingers = joints[:, 1:] - joints[:, :1]
        palm = fingers[:, _KNUCKLES]
        turns = turn_onto(np.broadcast_to(ours, palm.shape), palm)
        scale = np.linalg.norm(ours, axis=-1).mean() / np.linalg.norm(palm, axis=-1).mean()
        local[side] = scale * fingers @ turns
    return local


def _both_hands(take: HandTake) -> list[np.ndarray]:
    """Those of both, one mirrored where it was not recorded."""
    local = local_hands(take)
    other = {"left": "right", "right": "left"}
    return [local[side] if side in local else _mirrored(local[other[side]]) for side in SIDES]


def _mirrored(hand: np.ndarray) -> np.ndarray:
    return hand * [-1, 1, 1]


def _wrist_speeds(wrists: np.ndarray) -> np.ndarray:
    """Metres per frame of both wrists (frames, 2, 3), (frames - 1, 2)."""
    return np.linalg.norm(np.diff(wrists, axis=0), axis=-1)


def _best_start(body: np.ndarray, hands: np.ndarray) -> tuple[int, bool]:
    """Frame of the take at which speeds (frames - 1, 2) go together best with those of the body, and whether mirrored."""
    best, found = -np.inf, (0, False)
    if not len(body):
        return found
    body = body - body.mean()
    for mirrored in (False, True):
        windows = np.lib.stride_tricks.sliding_window_view(hands[:, ::-1] if mirrored else hands, len(body), axis=0)
        centred = windows - windows.mean(axis=(1, 2), keepdims=True)
        fit = np.einsum("wsf,fs->w", centred, body) / np.maximum(np.sqrt(np.square(centred).sum(axis=(1, 2))), 1e-9)
        start = int(fit.argmax())
        if fit[start] > best + 1e-12:
            best, found = fit[start], (start, mirrored)
    return found
