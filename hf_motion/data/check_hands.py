"""What is wrong with hands: fingers that never move, leap, or bend backward."""

from __future__ import annotations

import numpy as np

from ..hands import finger_bends, turn_onto
from ..skeletons import SMPLX_52, Skeleton

_KNUCKLES = [0, 3, 6, 9]


def measure_hands(joints: np.ndarray, fps: float, skeleton: Skeleton) -> dict[str, float]:
    """Measures of the hands of a clip.

    Args:
        joints (`numpy.ndarray`): (frames, joints, 3), metres.
        fps (`float`): Frames per second.
        skeleton (`Skeleton`): With fingers called as in `smplx-52`.

    Returns:
        `dict[str, float]`: `finger_travel` (by how much the distances between the joints of the livelier hand vary, m), `finger_speed`
        (fastest finger joint against its palm, m/s), `finger_leap` (farthest that one is off its course in one frame alone, m), `backward`
        (share of frames in which a finger but the thumb bends back by more than 30 degrees in its middle joint); none for a skeleton
        without fingers.
    """
    hands = [(side, skeleton.groups.get(f"{side}_hand", ())) for side in ("left", "right")]
    if not all(len(hand) == 15 for _, hand in hands):
        return {}
    travel, speed, leap, backward = [], [], [], np.zeros(len(joints), bool)
    for side, hand in hands:
        local = _in_palm(joints[:, list(hand)] - joints[:, [skeleton.joint(f"{side}_wrist")]], side)
        knuckle = local[:, list(hand).index(skeleton.joint(f"{side}_index1"))]
        travel.append(float(np.ptp(np.linalg.norm(local - knuckle[:, None], axis=-1), axis=0).max()))
        steps = np.linalg.norm(np.diff(local, axis=0), axis=-1)
        speed.append(float(steps.max(initial=0) * fps))
        off = np.pad(np.linalg.norm(local[1:-1] - (local[:-2] + local[2:]) / 2, axis=-1), ((2, 2), (0, 0)))
        leap.append(float(np.where(off[2:-2] > 4 * np.maximum(off[:-4], off[4:]), off[2:-2], 0).max(initial=0)))
        backward |= (finger_bends(joints[:, list(hand)], side) < -np.radians(30)).any(axis=1)
    return {
        "finger_travel": max(travel), "finger_speed": max(speed), "finger_leap": max(leap), "backward": float(backward.mean()),
    }  # fmt: skip


def _in_palm(fingers: np.ndarray, side: str) -> np.ndarray:
    """Joints of a hand (frames, 15, 3), from the wrist, as somebody sees them who sits on the palm: a forearm may turn as it likes."""
    ours = SMPLX_52.body_joints
    palm = (ours[list(SMPLX_52.groups[f"{side}_hand"])] - ours[SMPLX_52.joint(f"{side}_wrist")])[_KNUCKLES]
    knuckles = fingers[:, _KNUCKLES]
    return fingers @ turn_onto(np.broadcast_to(palm, knuckles.shape), knuckles)
