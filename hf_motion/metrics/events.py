"""What the joints of a motion do, as numbers: travel, turns, raised wrists, squats, jumps, kicks, somersaults.

Lengths are in leg lengths (thigh and shin, `leg_length`) or arm lengths, times in seconds, angles in degrees, so that nothing depends on
the size of the body or the frame rate. Every function takes a `Motion` on a skeleton with the joint names of `humanml3d-22` and raises
`ValueError`, through `Skeleton.joint`, on another one. `hf_motion.metrics.judges` draws the lines: these measure, those decide.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..motion import Motion

SIDES = ("left", "right")
# A foot is off the floor when ankle and toes are this share of a leg (4 cm) above where they stand.
_LIFTED = 0.05


def leg_length(motion: Motion) -> float:
    """Thigh and shin, the mean of both legs, metres. At least 1 mm, so that it can divide."""
    return _limb_length(motion, "hip", "knee", "ankle")


def arm_length(motion: Motion) -> float:
    """Upper arm and forearm, the mean of both arms, metres. At least 1 mm."""
    return _limb_length(motion, "shoulder", "elbow", "wrist")


def _limb_length(motion: Motion, *joints: str) -> float:
    bones = [
        np.linalg.norm(_joint(motion, f"{side}_{lower}") - _joint(motion, f"{side}_{upper}"), axis=-1)
        for side in SIDES
        for upper, lower in pairwise(joints)
    ]
    return max(float(np.median(np.sum(bones, axis=0)) / 2), 1e-3)


def facing(motion: Motion) -> np.ndarray:
    """Where the body faces, seen from above: unit vectors (frames, 2) of x and z."""
    across = _across(motion)[:, [0, 2]]
    return _unit(np.stack((-across[:, 1], across[:, 0]), axis=-1))


def travel(motion: Motion) -> tuple[float, float]:
    """Way of the pelvis along the facing of each moment: (forward, to the left), leg lengths; negative backward and to the right."""
    steps = np.diff(_joint(motion, "pelvis")[:, [0, 2]], axis=0) / leg_length(motion)
    front = facing(motion)[:-1]
    return float((steps * front).sum()), float((steps * np.stack((front[:, 1], -front[:, 0]), axis=-1)).sum())


def reach(motion: Motion) -> float:
    """Farthest that the pelvis gets from where it starts, seen from above, leg lengths."""
    way = _joint(motion, "pelvis")[:, [0, 2]]
    return float(np.linalg.norm(way - way[0], axis=-1).max() / leg_length(motion))


def speed(motion: Motion) -> np.ndarray:
    """Speed of the pelvis along the floor over a quarter of a second around each frame, (frames,), leg lengths per second."""
    return _speed(_joint(motion, "pelvis")[:, [0, 2]], motion, 0.25) / leg_length(motion)


def turn(motion: Motion) -> float:
    """Change of the facing from the first frame to the last in degrees, left positive; whole turns count."""
    turned = heading(motion)
    return float(turned[-1] - turned[0])


def heading(motion: Motion) -> np.ndarray:
    """Where the body faces as an angle, (frames,), degrees, left positive, without jumps: two whole turns are 720."""
    across = _across(motion)
    return -np.degrees(np.unwrap(np.arctan2(across[:, 2], across[:, 0])))


def activity(motion: Motion) -> float:
    """Mean speed of wrists, elbows, knees and ankles against the pelvis, leg lengths per second."""
    names = [f"{side}_{part}" for side in SIDES for part in ("wrist", "elbow", "knee", "ankle")]
    pelvis = _joint(motion, "pelvis")
    limbs = np.stack([_joint(motion, name) - pelvis for name in names], axis=1)
    return float(_speed(limbs, motion, 0.25).mean() / leg_length(motion))


def wrist_height(motion: Motion, side: str) -> np.ndarray:
    """Height of a wrist above its shoulder, (frames,), arm lengths: 1 straight up, -1 hanging."""
    return (_joint(motion, f"{side}_wrist") - _joint(motion, f"{side}_shoulder"))[:, 1] / arm_length(motion)


def wrist_place(motion: Motion, side: str) -> np.ndarray:
    """Place of a wrist from its shoulder in the frame of the body: outward, up, forward, (frames, 3), arm lengths."""
    offset = _joint(motion, f"{side}_wrist") - _joint(motion, f"{side}_shoulder")
    front = facing(motion)
    left = offset[:, 0] * front[:, 1] - offset[:, 2] * front[:, 0]
    forward = (offset[:, [0, 2]] * front).sum(-1)
    return np.stack((left if side == "left" else -left, offset[:, 1], forward), axis=-1) / arm_length(motion)


def waves(motion: Motion, side: str, swing: float = 0.1) -> int:
    """How often a wrist that is near its shoulder's height or above it changes direction.

    Args:
        motion (`Motion`): The motion.
        side (`str`): `"left"` or `"right"`.
        swing (`float`, defaults to 0.1): Shortest way that counts, arm lengths.
    """
    raised = wrist_height(motion, side) > -0.35
    places = wrist_place(motion, side)[raised]
    return max((swings(places[:, axis], swing) for axis in range(3)), default=0) if len(places) else 0


def swings(series: np.ndarray, amount: float) -> int:
    """How often a series (frames,) changes direction, ways of `amount` or less aside.

    Example:
    >>> import numpy as np
    >>> from hf_motion.metrics.events import swings
    >>> swings(np.array([0, 1, 0, 1, 1.05, 1, 0]), 0.2)
    3
    """
    values = np.asarray(series).tolist()
    count, direction, low, high = 0, 0, values[0], values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
        if direction <= 0 and value - low > amount:
            count, direction, high = count - direction, 1, value
        elif direction >= 0 and high - value > amount:
            count, direction, low = count + direction, -1, value
    return count


def arm_direction(motion: Motion, side: str) -> float | None:
    """Where an arm points, seen from above, while it passes the horizontal: 0 forward, 90 outward, 180 backward, degrees.

    The mean over the frames in which it points 60 to 110 degrees up from hanging, or its highest frame if it never gets there.
    `None` if it stays below 20 degrees.
    """
    places = wrist_place(motion, side)
    raised = np.degrees(np.arccos((-places[:, 1] / np.linalg.norm(places, axis=-1).clip(1e-6)).clip(-1, 1)))
    if raised.max() < 20:
        return None
    level = (raised > 60) & (raised < 110)
    outward, _, forward = places[level if level.any() else [raised.argmax()]].mean(0)
    return float(np.degrees(np.arctan2(outward, forward)))


def punches(motion: Motion, side: str, fastest: float = 3.0) -> int:
    """How often a wrist shoots forward from its shoulder, see `punching`."""
    return _runs(punching(motion, side, fastest))


def punching(motion: Motion, side: str, fastest: float = 3.0) -> np.ndarray:
    """Frames in which a wrist shoots forward from its shoulder faster than `fastest` arm lengths per second, (frames,), bool.

    Those count from which it gets 0.6 arm lengths ahead of the shoulder within a quarter of a second, not far below it.
    """
    _, up, forward = wrist_place(motion, side).T
    rate = np.gradient(forward) * motion.fps if len(motion) > 1 else np.zeros(1)
    reached = np.where(up > -0.5, forward, 0)
    for ahead in range(1, 1 + round(motion.fps * 0.25)):
        reached[:-ahead] = np.maximum(reached[:-ahead], forward[ahead:])
    return (rate > fastest) & (reached > 0.6)


def trunk_lean(motion: Motion) -> np.ndarray:
    """Angle between the trunk (pelvis to neck) and upright, (frames,), degrees; negative when it leans backward."""
    trunk = _unit(_joint(motion, "neck") - _joint(motion, "pelvis"))
    forward = (trunk[:, [0, 2]] * facing(motion)).sum(-1)
    return np.degrees(np.arccos(trunk[:, 1].clip(-1, 1))) * np.where(forward < 0, -1, 1)


def rotations(motion: Motion) -> tuple[float, float]:
    """How far the trunk turns over, degrees: (somersault, cartwheel).

    The largest turn of the line pelvis-neck about the body's own left-right axis between any two frames, positive forward, negative
    backward; and about the axis that the body faces along, without a sign. A flip or a cartwheel comes near 360.
    """
    trunk = _unit(_joint(motion, "neck") - _joint(motion, "pelvis"))
    left = _unit(_joint(motion, "left_hip") - _joint(motion, "right_hip"))
    pitch = _turned(trunk, left)
    forward, backward = np.max(pitch - np.minimum.accumulate(pitch)), np.max(np.maximum.accumulate(pitch) - pitch)
    roll = _turned(trunk, np.cross(left, trunk))
    return float(forward if forward >= backward else -backward), float(np.ptp(roll))


def upside_down(motion: Motion) -> np.ndarray:
    """Frames whose head is a tenth of a leg lower than the pelvis, (frames,), bool."""
    head, pelvis = _joint(motion, "head")[:, 1], _joint(motion, "pelvis")[:, 1]
    return head < pelvis - 0.1 * leg_length(motion)


def clearance(motion: Motion) -> np.ndarray:
    """Height of the lowest joint above the floor, (frames,), leg lengths. The floor is where the lowest joint of the clip is."""
    lowest = motion.joints[..., 1].min(axis=1).astype(float)
    return (lowest - np.percentile(lowest, 2)) / leg_length(motion)


def pelvis_height(motion: Motion) -> np.ndarray:
    """Height of the pelvis above the floor, (frames,), leg lengths; about 1.1 for one who stands."""
    floor = np.percentile(motion.joints[..., 1].min(axis=1), 2)
    return (_joint(motion, "pelvis")[:, 1] - floor) / leg_length(motion)


def foot_lift(motion: Motion, side: str) -> np.ndarray:
    """How far a foot is off the floor, heel and toes, (frames,), leg lengths; 0 where the lower foot of the clip stands."""
    lifts = []
    for part in ("ankle", "foot"):
        level = min(np.percentile(_joint(motion, f"{each}_{part}")[:, 1], 5) for each in SIDES)
        lifts.append(_joint(motion, f"{side}_{part}")[:, 1] - level)
    return np.min(lifts, axis=0) / leg_length(motion)


def jumps(motion: Motion) -> np.ndarray:
    """Heights of the jumps, (jumps,), leg lengths: how far the lower foot gets off the floor each time that both leave it."""
    lower = np.minimum(*(foot_lift(motion, side) for side in SIDES))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], lower > _LIFTED, [False])).astype(int)))
    return np.array([lower[start:stop].max() for start, stop in zip(edges[::2], edges[1::2], strict=True)])


def knee_bend(motion: Motion, side: str) -> np.ndarray:
    """Bend of a knee, (frames,), degrees; 0 straight."""
    hip, knee, ankle = (_joint(motion, f"{side}_{part}") for part in ("hip", "knee", "ankle"))
    return np.degrees(np.arccos((_unit(knee - hip) * _unit(ankle - knee)).sum(-1).clip(-1, 1)))


def ankle_place(motion: Motion, side: str) -> np.ndarray:
    """Place of an ankle from its hip in the frame of the body: outward, up, forward, (frames, 3), leg lengths; (0, -1, 0) standing."""
    offset = _joint(motion, f"{side}_ankle") - _joint(motion, f"{side}_hip")
    front = facing(motion)
    left = offset[:, 0] * front[:, 1] - offset[:, 2] * front[:, 0]
    forward = (offset[:, [0, 2]] * front).sum(-1)
    return np.stack((left if side == "left" else -left, offset[:, 1], forward), axis=-1) / leg_length(motion)


def ankle_speed(motion: Motion, side: str) -> float:
    """Highest speed of an ankle against the pelvis, leg lengths per second."""
    return float(ankle_speeds(motion, side).max())


def ankle_speeds(motion: Motion, side: str) -> np.ndarray:
    """Speed of an ankle against the pelvis over a tenth of a second around each frame, (frames,), leg lengths per second."""
    return _speed(_joint(motion, f"{side}_ankle") - _joint(motion, "pelvis"), motion, 0.1) / leg_length(motion)


def ankle_way(motion: Motion, side: str) -> np.ndarray:
    """Place of an ankle on the floor, (frames, 2) of x and z, leg lengths."""
    return _joint(motion, f"{side}_ankle")[:, [0, 2]] / leg_length(motion)


def feet_apart(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """From the right ankle to the left in the frame of the body: (to the left, forward), each (frames,), leg lengths."""
    across = (_joint(motion, "left_ankle") - _joint(motion, "right_ankle"))[:, [0, 2]] / leg_length(motion)
    front = facing(motion)
    return across[:, 0] * front[:, 1] - across[:, 1] * front[:, 0], (across * front).sum(-1)


def _joint(motion: Motion, name: str) -> np.ndarray:
    return motion.joints[:, motion.skeleton.joint(name)].astype(np.float64)


def _across(motion: Motion) -> np.ndarray:
    hips = _joint(motion, "left_hip") - _joint(motion, "right_hip")
    return hips + _joint(motion, "left_shoulder") - _joint(motion, "right_shoulder")


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-6)


def _speed(points: np.ndarray, motion: Motion, seconds: float) -> np.ndarray:
    """Speed of points (frames, ..., dims) from half the time before to half the time after, (frames, ...), units per second."""
    half = max(1, round(motion.fps * seconds / 2))
    frames = np.arange(len(points))
    before, after = (frames - half).clip(0), (frames + half).clip(max=len(points) - 1)
    elapsed = ((after - before) / motion.fps).clip(1e-6).reshape(-1, *[1] * (points.ndim - 2))
    return np.linalg.norm(points[after] - points[before], axis=-1) / elapsed


def _turned(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """How far unit vectors (frames, 3) have turned about the axes since the first frame, (frames,), degrees."""
    flat = vectors - (vectors * axes).sum(-1, keepdims=True) * axes
    sine = (np.cross(flat[:-1], flat[1:]) * axes[:-1]).sum(-1)
    angle = np.arctan2(sine, (flat[:-1] * flat[1:]).sum(-1))
    return np.degrees(np.concatenate(([0.0], np.cumsum(angle))))


def _runs(flags: np.ndarray) -> int:
    """How many unbroken runs of True there are."""
    return int((np.diff(np.concatenate(([False], flags)).astype(int)) == 1).sum())
