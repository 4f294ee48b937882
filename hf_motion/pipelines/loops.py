"""Loops: motions whose last pose is the first one, for engines that play them round and round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..alignment import headings, turned
from ..cleanup import lock_feet
from ..floor import settle_on_floor
from ..motion import Motion
from ..representation import MotionFeatureExtractor

SEAM_CHANGE = 0.1
"""What the velocities of the joints may change by where a loop begins anew, of their mean speed."""

_ROUNDS = 3
_SEAM_SECONDS = 0.35
_SMOOTHINGS = (0, 2, 5, 10, 20, 40, 80)
_LOOKS = (0, 10)
# A foot that keeps within so many metres stands, and a body that turns by more radians than these in a round is meant to.
_STANDS, _TURNS = 0.1, 0.35


def close_loop(extractor: MotionFeatureExtractor, latents: Tensor, text: str, starts: int, clean: bool) -> Motion:
    """A motion whose last pose is its first, where the way has led meanwhile.

    It begins where the joints go on most evenly from one frame to the next. Where their velocities still change by more than
    `SEAM_CHANGE` there, as models leave a tremble from frame to frame, it begins where they would without, and the frames around are
    smoothed by as little as it takes; if that does not do, what is left bends them. Where a foot stands all the time, the body comes back
    to where it was.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        latents (`torch.Tensor`): One round, (frames, features), normalised.
        text (`str`): What is done.
        starts (`int`): Among so many of its first frames.
        clean (`bool`): Settle it on the floor and hold its feet, all around.

    Returns:
        `Motion`: One frame more than there are latents.
    """
    openings = [_evenest(extractor, _smoothed(latents, torch.ones_like(latents[:, :1]), count), starts, clean) for count in _LOOKS]
    frame = torch.arange(len(latents), device=latents.device)
    near = (1 - torch.minimum(frame, len(latents) - frame) / (_SEAM_SECONDS * extractor.fps)).clamp(min=0)[:, None]
    made = []
    for smoothings in _SMOOTHINGS:
        opened = latents.roll(-openings[min(smoothings, 1)], dims=0)
        made.append(_middle(_played(_decoded(extractor, _smoothed(opened, near, smoothings), text), clean)))
        if seam_change(made[-1]) <= SEAM_CHANGE:
            return made[-1]
    return _evened(min(made, key=seam_change))


def seam_change(loop: Motion) -> float:
    """How much the velocities of the joints change where a loop begins anew.

    Args:
        loop (`Motion`): Its last pose is its first.

    Returns:
        `float`: Mean length of the differences between the last step of each joint and its first one, as vectors, where travel and heading
        go on; over the mean length of all steps. 0 where nothing moves.

    Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> from hf_motion.pipelines.loops import seam_change
        >>> way = np.linspace(0, 1, 21)[:, None, None] * [0, 0, 1.0]
        >>> round(seam_change(Motion(np.zeros((21, 22, 3)) + way)), 6)
        0.0
    """
    joints = loop.joints.astype(float)
    steps = np.diff(joints, axis=0)
    ahead = loop.turn(_heading(loop, -1) - _heading(loop, 0)).joints.astype(float)
    mean = np.linalg.norm(steps, axis=-1).mean()
    change = np.linalg.norm(ahead[1] - ahead[0] - steps[-1], axis=-1).mean()
    return float(change / mean) if mean > 0 else 0.0


def _decoded(extractor: MotionFeatureExtractor, latents: Tensor, text: str | None = None) -> Motion:
    """One round with the pose that closes it; it comes back to its place where a foot stands all the time."""
    motion = extractor.decode(torch.cat((latents, latents[:1])), texts=[text])[0]
    joints, share = motion.joints.astype(float), np.linspace(0, 1, len(motion))
    feet = joints[:, list(motion.skeleton.feet)]
    stands = (np.linalg.norm(feet - feet.mean(0), axis=-1).max(0) < _STANDS).any()
    start, end = headings(joints[[0, -1]], motion.skeleton)
    turn = float(np.angle(np.exp(1j * (end - start))))
    if not stands or abs(turn) > _TURNS:
        return motion
    root = joints[:, :1]
    joints = root + turned(joints - root, share * turn)
    return replace(motion, joints=joints - share[:, None, None] * (joints[-1, 0] - joints[0, 0]) * [1, 0, 1])


def _played(motion: Motion, clean: bool) -> Motion:
    """A round with others on both sides of it."""
    rounds = [motion[:-1]]
    turn = _heading(motion, -1) - _heading(motion, 0)
    start, end = (motion.joints[frame, 0] * [1, 0, 1] for frame in (0, -1))
    for _ in range(_ROUNDS - 1):
        moved = rounds[-1].turn(turn, about=start)
        rounds.append(replace(moved, joints=moved.joints + (end - start)))
    played = replace(Motion.concatenate(rounds, continued=False), text=motion.text)
    return lock_feet(settle_on_floor(played)) if clean else played


def _middle(motion: Motion) -> Motion:
    """The round between the others, from the origin and +Z on, with the pose that closes it."""
    count = len(motion) // _ROUNDS
    middle = motion[count : 2 * count + 1]
    start = middle.joints[0, 0] * [1, 0, 1]
    placed = middle.turn(-_heading(middle, 0), about=start)
    placed = replace(placed, joints=placed.joints - start)
    last = placed[:1].turn(_heading(placed, count)).joints[0]
    last = last + (placed.joints[-1, 0] - last[0]) * [1, 0, 1]
    # Feet that were held on their way through several rounds stand a little elsewhere at the end of one: that is made up for on the way.
    share = np.linspace(0, 1, count + 1)[:, None, None]
    return replace(placed, joints=placed.joints + share**2 * (3 - 2 * share) * (last - placed.joints[-1]))


def _evenest(extractor: MotionFeatureExtractor, latents: Tensor, starts: int, clean: bool) -> int:
    """Among so many first frames the one at which the steps of the joints change least."""
    count = len(latents)
    joints = _played(_decoded(extractor, latents), clean).joints[count - 1 : 2 * count + 1].astype(float)
    return int(np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1).mean(-1)[:starts].argmin())


def _evened(loop: Motion) -> Motion:
    """A loop whose last step is its first one: what they differ by bends the frames around a little, half of it on each side."""
    joints, count = loop.joints.astype(float), min(round(_SEAM_SECONDS * loop.fps), len(loop) // 2)
    turn = _heading(loop, -1) - _heading(loop, 0)
    first, last = joints[1] - joints[0], joints[-1] - joints[-2]
    frame = np.arange(1, count)
    bend = (frame * (1 - frame / count) ** 2 / (1 - 1 / count) ** 2 / 2)[:, None, None]
    joints[frame] -= bend * (first - turned(last[None], np.array([turn])))
    joints[-1 - frame] -= bend * (turned(first[None], np.array([-turn])) - last)
    return replace(loop, joints=joints)


def _smoothed(latents: Tensor, share: Tensor, count: int) -> Tensor:
    """A round (frames, features), drawn so often to the means of neighbours, as far as `share`, (frames, 1) of 0 to 1, says."""
    for _ in range(count):
        latents = latents + share / 2 * ((latents.roll(1, dims=0) + latents.roll(-1, dims=0)) / 2 - latents)
    return latents


def _heading(motion: Motion, frame: int) -> float:
    return float(headings(motion.joints[[frame]].astype(float), motion.skeleton)[0])
