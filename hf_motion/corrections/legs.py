"""Exact edits of legs: knees bent by an angle, feet lifted by a distance, steps scaled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ..cleanup import foot_contacts
from ..motion import Motion
from ..skeletons import HUMANML3D_22
from .arms import elbow_bend
from .limbs import SIDES, UP, Clip, NotApplicable, chain_lengths, chain_names, ease, reach_for, sides_of, stretch_limit, within
from .triplet import Change

_BELOW_HIPS = [HUMANML3D_22.joint(f"{side}_{part}") for side in SIDES for part in ("knee", "ankle", "foot")]
_ABOVE_KNEES = [joint for joint in range(len(HUMANML3D_22)) if joint not in _BELOW_HIPS]
# Leg lengths that the pelvis is above the floor, at least, of one who is on the feet.
_ON_FEET = 0.75
_DEEPEST = 0.5
# Metres that a foot is off the floor before it counts as lifted, and that a step lifts it at least.
_LIFTED, _STEP_HEIGHT = 0.02, 0.05
# Metres of a way that counts as going, at least; how much longer the way may be than the straight line, and how far off that.
_TRAVEL, _CURVED, _ASIDE = 0.6, 1.25, 0.2
_SINK = 0.08


def bend_knees(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Knees bent by `amount` degrees more or less, mean of both over all frames with full weight; the pelvis sinks or rises, feet stay.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the degrees reached.

    Raises:
        NotApplicable: If the body is not on its feet, or its legs are straight already.
    """
    check_on_feet(clip)
    chains = {side: clip.chain(side, "leg") for side in SIDES}
    before = np.mean([elbow_bend(chain)[clip.full].mean() for chain in chains.values()])
    sign = 1 if change.direction == "more" else -1
    room = _DEEPEST if sign > 0 else min(_room_above(chain, clip.weight) for chain in chains.values())

    def bent(way: float) -> float:
        joints = _sunk(clip, chains, sign * way)
        after = np.mean([elbow_bend(_chain(joints, side))[clip.full].mean() for side in SIDES])
        return float(sign * (after - before))

    reason = "the knees are bent as far as they go" if sign > 0 else "the legs are straight already"
    reached = within(amount, bent(room) if room > 1e-4 else 0.0, reason, "degrees")
    low, high = 0.0, room
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if bent(middle) < reached else (low, middle)
    joints = _sunk(clip, chains, sign * high)
    return joints, bent(high)


def check_on_feet(clip: Clip) -> None:
    """Refuse a body that sits, lies or stands on its head.

    Raises:
        NotApplicable: If so.
    """
    size = float(np.median(sum(chain_lengths(*clip.chain("left", "leg")))))
    height = (clip.joint("pelvis")[:, 1] - clip.joints[..., 1].min()) / max(size, 1e-3)
    if np.quantile(height, 0.1) < _ON_FEET:
        raise NotApplicable("the body is not on its feet", f"its pelvis is {np.quantile(height, 0.1):.2f} leg lengths high")


def _room_above(chain: tuple[np.ndarray, np.ndarray, np.ndarray], weight: np.ndarray) -> float:
    """How far the hip of a leg can rise above a foot that stays, metres."""
    flat = ((chain[0] - chain[2]) * [1, 0, 1]) ** 2
    highest = np.sqrt(np.maximum(stretch_limit(chain) ** 2 - flat.sum(-1), 0))
    active = weight > 1e-3
    return float(((highest - (chain[0] - chain[2])[:, 1])[active] / weight[active]).min())


def _sunk(clip: Clip, chains: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], way: float) -> np.ndarray:
    """Everything above the knees lower by `way` times the weight, feet where they were."""
    joints = clip.joints.copy()
    joints[:, _ABOVE_KNEES, 1] -= (way * clip.weight)[:, None]
    for side, chain in chains.items():
        _place_leg(clip, joints, side, chain[2])
    return joints


def _place_leg(clip: Clip, joints: np.ndarray, side: str, ankle: np.ndarray) -> None:
    """A leg from the hip where it is to an ankle; the foot goes with the ankle."""
    chain = clip.chain(side, "leg")
    hip, middle, end = (HUMANML3D_22.joint(name) for name in chain_names(side, "leg"))
    foot = HUMANML3D_22.joint(f"{side}_foot")
    sole = clip.joints[:, foot] - chain[2]
    knee, reached = reach_for(chain, joints[:, hip], ankle, sole)
    joints[:, middle], joints[:, end], joints[:, foot] = knee, reached, reached + sole


def _chain(joints: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second, third = (joints[:, HUMANML3D_22.joint(name)] for name in chain_names(side, "leg"))
    return first, second, third


def lift_feet(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Feet that are lifted by `amount` metres more or less where they are highest, and in proportion elsewhere; feet on the floor stay.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the distance reached.

    Raises:
        NotApplicable: If a foot never leaves the floor, or the leg cannot do so.
    """
    check_on_feet(clip)
    sign = 1 if change.direction == "up" else -1
    profiles, possible = {}, []
    for side in sides_of(change.part):
        lift = _off_floor(clip, side)
        peak = float(lift.max())
        if peak < _STEP_HEIGHT:
            raise NotApplicable("the foot stays on the floor", f"it is lifted by {peak:.3f} m")
        profiles[side] = lift / peak
        chain = clip.chain(side, "leg")
        possible.append(0.9 * peak if sign < 0 else max(0.0, 0.8 * float(np.add(*chain_lengths(*chain)).max()) - peak))
        if sign < 0:
            possible.append(_room_below(chain, profiles[side]))
    reached = within(amount, min(possible), f"a foot cannot go further {change.direction}", "m")
    joints = clip.joints.copy()
    for side, profile in profiles.items():
        ankle = clip.chain(side, "leg")[2] + sign * reached * profile[:, None] * UP
        _place_leg(clip, joints, side, ankle)
    return joints, reached


def _off_floor(clip: Clip, side: str) -> np.ndarray:
    """How far heel and toe are both off the floor, beyond a little, (frames,), metres."""
    heights = [clip.joint(f"{side}_{part}")[:, 1] for part in ("ankle", "foot")]
    return np.maximum(np.min([height - np.quantile(height, 0.05) for height in heights], axis=0) - _LIFTED, 0)


def _room_below(chain: tuple[np.ndarray, np.ndarray, np.ndarray], profile: np.ndarray) -> float:
    """How far a foot can go down until the leg is straight, metres at the highest point of its way."""
    flat = ((chain[0] - chain[2]) * [1, 0, 1]) ** 2
    deepest = np.sqrt(np.maximum(stretch_limit(chain) ** 2 - flat.sum(-1), 0))
    active = profile > 1e-3
    return float(((deepest - (chain[0] - chain[2])[:, 1])[active] / profile[active]).min())


def scale_steps(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Steps `amount` times as long: the body's way and the places of the feet are stretched along the way, and legs follow.

    A foot on the floor is moved by one vector as long as it stands there, so it slides no more than it did. Where legs would be too short
    the pelvis sinks, by 8 cm at most.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the factor reached.

    Raises:
        NotApplicable: If the clip goes nowhere, not straight, or in fewer than two steps, or legs are too short.
    """
    check_on_feet(clip)
    axis = _way(clip)
    contacts = foot_contacts(Motion(clip.joints, clip.fps)).reshape(len(clip), 2, 2).max(-1)
    runs = {side: _runs(contacts[:, index]) for index, side in enumerate(SIDES)}
    if any(not found for found in runs.values()) or sum(map(len, runs.values())) < 3:
        raise NotApplicable("there are fewer than two steps")
    for share in np.linspace(1, 0.6, 9):
        factor = 1 + (amount - 1) * share
        joints = _stretched(clip, axis, runs, factor)
        if joints is not None:
            return joints, float(factor)
    raise NotApplicable("the legs are too short for such steps", f"asked for {amount:.3g} times their length")


def _way(clip: Clip) -> np.ndarray:
    """Unit vector of the straight way that the body goes, (3,)."""
    root = clip.joint("pelvis") * [1, 0, 1]
    line = root[-1] - root[0]
    size = float(np.linalg.norm(line))
    if size < _TRAVEL:
        raise NotApplicable("the clip goes nowhere", f"{size:.2f} m")
    axis = line / size
    smooth = np.stack([np.convolve(np.pad(values, 7, mode="edge"), np.ones(15) / 15, mode="valid") for values in root.T], axis=-1)
    aside = np.linalg.norm(smooth - root[0] - ((smooth - root[0]) @ axis)[:, None] * axis, axis=-1).max()
    long = np.linalg.norm(np.diff(smooth, axis=0), axis=-1).sum()
    if long > _CURVED * size or aside > _ASIDE * size:
        raise NotApplicable("the way is not straight", f"{long:.2f} m for {size:.2f} m, {aside:.2f} m aside")
    return axis


def _runs(held: np.ndarray) -> list[tuple[int, int]]:
    """First frames of runs of True, and the frames behind their last."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], held, [False])).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _stretched(clip: Clip, axis: np.ndarray, runs: dict[str, list[tuple[int, int]]], factor: float) -> np.ndarray | None:
    """Joints with longer or shorter steps; None if legs are too short."""
    start = clip.joint("pelvis")[0]

    def shift(places: np.ndarray) -> np.ndarray:
        return (factor - 1) * ((places - start) @ axis)[..., None] * axis

    root = shift(clip.joint("pelvis"))
    joints = clip.joints.copy()
    joints[:, _ABOVE_KNEES] += root[:, None]
    ankles, sinks = {}, np.zeros(len(clip))
    for side in SIDES:
        chain = clip.chain(side, "leg")
        ankles[side] = chain[2] + _foot_shift(chain[2], runs[side], shift)
        hip = chain[0] + root
        flat = (((hip - ankles[side]) * [1, 0, 1]) ** 2).sum(-1)
        longest = stretch_limit(chain)
        if (flat > (0.98 * longest) ** 2).any():
            return None
        sinks = np.maximum(sinks, (hip - ankles[side])[:, 1] - np.sqrt(longest**2 - flat))
    sink = _envelope(sinks, max(1, round(0.2 * clip.fps)))
    if sink.max() > _SINK:
        return None
    joints[:, _ABOVE_KNEES, 1] -= sink[:, None]
    for side, ankle in ankles.items():
        _place_leg(clip, joints, side, ankle)
    return joints


def _foot_shift(places: np.ndarray, runs: list[tuple[int, int]], shift: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """One vector for each time that a foot stands, and a soft way from one to the next, (frames, 3)."""
    held = [(first, last, shift(places[first:last].mean(0))) for first, last in runs]
    moved = np.empty_like(places)
    ends = [(0, 0, shift(places[0])), *held, (len(places), len(places), shift(places[-1]))]
    for first, last, vector in held:
        moved[first:last] = vector
    for (_, leaves, one), (lands, _, other) in pairwise(ends):
        if lands > leaves:
            share = ease((np.arange(leaves, lands) - leaves + 1) / (lands - leaves + 1))[:, None]
            moved[leaves:lands] = (1 - share) * one + share * other
    return moved


def _envelope(values: np.ndarray, half: int) -> np.ndarray:
    """A smooth curve that is nowhere below the values, (frames,)."""
    width = 2 * half + 1
    highest = np.lib.stride_tricks.sliding_window_view(np.pad(values, 2 * half, mode="edge"), width).max(-1)
    return np.lib.stride_tricks.sliding_window_view(highest, width).mean(-1)
