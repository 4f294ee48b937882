"""Exact edits of arms: hands moved by a distance, elbows bent by an angle, swings scaled, movements shifted in time."""

from __future__ import annotations

import numpy as np

from ..skeletons import HUMANML3D_22
from .limbs import UP, Clip, NotApplicable, chain_lengths, chain_names, chest_axes, ease, reach_for, sides_of, stretch_limit, unit, within
from .triplet import Change

# Share of its reach up to which a hand goes along a line from the shoulder, and metres from there that it keeps.
_STEEP, _FOLDED_REACH = 0.97, 0.1
# Degrees of an elbow at either end of what it can.
_STRAIGHT, _FOLDED = 4.0, 150.0
# Metres around the line from pelvis to neck and around the head where no hand can be.
_TRUNK, _SKULL = 0.09, 0.1
# Radians: the least swing about the mean, and the farthest that a scaled one may go from it.
_STILL, _WIDEST = 0.07, 2.2
# Metres.
_MOVES = 0.1


def move_hands(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Hands moved along an axis of the body by `amount` metres, and not otherwise, as far as the arm is long enough; elbows follow.

    Args:
        clip (`Clip`): The clip.
        change (`Change`): Kind `height`, `width` or `reach`.
        amount (`float`): Metres.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the distance reached, which is the same in all frames with full weight.

    Raises:
        NotApplicable: If a hand cannot go there.
    """
    plans = []
    for side in sides_of(change.part):
        outward = clip.left if side == "left" else -clip.left
        axis = {"height": np.broadcast_to(UP, clip.left.shape), "width": outward, "reach": clip.forward}[change.kind]
        axis = -axis if change.direction in ("down", "in", "backward") else axis
        chain = clip.chain(side, "arm")
        along = ((chain[2] - chain[0]) * axis).sum(-1)
        active = clip.weight > 1e-3
        possible = float(((_STEEP * stretch_limit(chain) - along)[active] / clip.weight[active]).min())
        plans.append((side, axis, chain, along, possible))
    reached = within(amount, min(plan[-1] for plan in plans), f"a hand cannot go further {change.direction}", "m")
    joints = clip.joints.copy()
    for side, axis, chain, along, _ in plans:
        wanted = chain[0] + _moved(chain, axis, along, reached * clip.weight)
        _check_place(clip, chain[2], wanted)
        _place_arm(clip, joints, side, wanted)
    return joints, reached


def _moved(chain: tuple[np.ndarray, np.ndarray, np.ndarray], axis: np.ndarray, along: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Places of a hand from its shoulder, (frames, 3): `shift` farther along an axis, and nearer to that where the arm is too short."""
    across = chain[2] - chain[0] - along[:, None] * axis
    new = along + shift
    room = np.sqrt(np.maximum(stretch_limit(chain) ** 2 - new**2, 0))
    share = np.minimum(1, room / np.maximum(np.linalg.norm(across, axis=-1), 1e-9))
    place = new[:, None] * axis + share[:, None] * across
    upper, lower = chain_lengths(*chain)
    if (np.linalg.norm(place, axis=-1) < np.abs(upper - lower) + _FOLDED_REACH).any():
        raise NotApplicable("a hand would be in the shoulder")
    return place


def bend_elbows(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Elbows bent by `amount` degrees more or less; the hand stays on its line from the shoulder.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the degrees reached.

    Raises:
        NotApplicable: If an elbow is straight or folded already.
    """
    sign = 1 if change.direction == "more" else -1
    chains = {side: clip.chain(side, "arm") for side in sides_of(change.part)}
    bends = {side: elbow_bend(chain) for side, chain in chains.items()}
    active = clip.weight > 1e-3
    room = [((_FOLDED - bend) if sign > 0 else (bend - _STRAIGHT))[active] / clip.weight[active] for bend in bends.values()]
    reason = "an elbow is bent as far as it goes" if sign > 0 else "an arm is straight already"
    reached = within(amount, float(min(one.min() for one in room)), reason, "degrees")
    joints = clip.joints.copy()
    for side, chain in chains.items():
        upper, lower = chain_lengths(*chain)
        angle = np.radians(bends[side] + sign * reached * clip.weight)
        distance = np.sqrt(upper**2 + lower**2 + 2 * upper * lower * np.cos(angle))
        wanted = chain[0] + unit(chain[2] - chain[0]) * distance[:, None]
        _check_place(clip, chain[2], wanted)
        _place_arm(clip, joints, side, wanted)
    return joints, reached


def elbow_bend(chain: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Bend of the middle of a limb, (frames,), degrees; 0 straight."""
    cosine = (unit(chain[1] - chain[0]) * unit(chain[2] - chain[1])).sum(-1)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def scale_swing(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Angles of hands about their mean direction from the shoulder multiplied by `amount`; elbows stay as they are.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the factor reached.

    Raises:
        NotApplicable: If a hand hardly moves, or cannot swing more.
    """
    plans = []
    for side in sides_of(change.part):
        chain = clip.chain(side, "arm")
        axes = np.stack((clip.left, np.broadcast_to(UP, clip.left.shape), clip.forward), axis=1)
        place = np.einsum("tij,tj->ti", axes, chain[2] - chain[0])
        middle, swing = swings_of(place)
        spread = float(np.sqrt((swing**2).sum(-1).mean()))
        if spread < _STILL:
            raise NotApplicable("the arm hardly swings", f"{np.degrees(spread):.0f} degrees about its mean")
        plans.append((side, chain, axes, np.linalg.norm(place, axis=-1), middle, swing))
    widest = max(float(np.linalg.norm(plan[-1], axis=-1).max()) for plan in plans)
    room = _WIDEST / widest - 1
    reached = amount if amount < 1 else 1 + within(amount - 1, room, "the arm cannot swing so much", "times its swing more")
    joints = clip.joints.copy()
    for side, chain, axes, distance, middle, swing in plans:
        angle = np.linalg.norm(reached * swing, axis=-1, keepdims=True)
        direction = np.cos(angle) * middle + np.sinc(angle / np.pi) * reached * swing
        wanted = chain[0] + np.einsum("tij,ti->tj", axes, direction * distance[:, None])
        _check_place(clip, chain[2], wanted)
        _place_arm(clip, joints, side, wanted)
    return joints, reached


def swings_of(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean direction of vectors (frames, 3) on the sphere, (3,), and the turns from there to each, (frames, 3), radians, across it."""
    directions = unit(places)
    middle = unit(directions.mean(0))
    for _ in range(20):
        cosine = (directions @ middle).clip(-1, 1)
        across = directions - cosine[:, None] * middle
        turns = unit(across) * np.arccos(cosine)[:, None]
        step = turns.mean(0)
        size = float(np.linalg.norm(step))
        if size < 1e-10:
            break
        middle = unit(np.cos(size) * middle + np.sinc(size / np.pi) * step)
    return middle, turns


def shift_arms(clip: Clip, change: Change, amount: float) -> tuple[np.ndarray, float]:
    """Arms that do all they do against the chest by `amount` seconds earlier or later; the clip's first and last pose stay.

    The shift is a whole number of frames, in force but for the ends, over which time runs faster or slower.

    Returns:
        `tuple[numpy.ndarray, float]`: Joints and the seconds reached.

    Raises:
        NotApplicable: If an arm hardly moves, or does so too near an end of the clip.
    """
    frames = max(1, round(amount * clip.fps))
    width = 2.5 * frames
    frame = np.arange(len(clip), dtype=float)
    weight = ease(frame / width) * ease((len(clip) - 1 - frame) / width)
    when = frame + (1 if change.direction == "earlier" else -1) * frames * weight
    chest = chest_axes(clip)
    joints = clip.joints.copy()
    for side in sides_of(change.part):
        chain = clip.chain(side, "arm")
        bones = [np.einsum("tij,tj->ti", chest, bone) for bone in (chain[1] - chain[0], chain[2] - chain[1])]
        _check_moment(sum(bones), frames, weight)
        place = chain[0]
        for bone, name in zip(bones, chain_names(side, "arm")[1:], strict=True):
            length = np.linalg.norm(bone, axis=-1, keepdims=True)
            moved = unit(np.stack([np.interp(when, frame, values) for values in unit(bone).T], axis=-1)) * length
            place = place + np.einsum("tij,ti->tj", chest, moved)
            joints[:, HUMANML3D_22.joint(name)] = place
        _check_place(clip, chain[2], place)
    return joints, frames / clip.fps


def _check_moment(place: np.ndarray, frames: int, weight: np.ndarray) -> None:
    """See that a hand moves, and does so most where the whole shift is in force, before and after it."""
    spread = float(np.linalg.norm(place - place.mean(0), axis=-1).max())
    if spread < _MOVES:
        raise NotApplicable("the arm hardly moves", f"{spread:.3f} m")
    speed = np.convolve(np.linalg.norm(np.gradient(place, axis=0), axis=-1), np.ones(5) / 5, mode="same")
    moment = int(speed.argmax())
    around = weight[max(0, moment - frames - 3) : moment + frames + 4]
    if moment - frames < 3 or moment + frames > len(weight) - 4 or around.min() < 0.98:
        raise NotApplicable("the arm moves too near an end of the clip", f"frame {moment} of {len(weight)}")


def _place_arm(clip: Clip, joints: np.ndarray, side: str, wanted: np.ndarray) -> None:
    chain = clip.chain(side, "arm")
    elbow, wrist = reach_for(chain, chain[0], wanted, -0.7 * clip.forward - 0.5 * UP)
    _, middle, end = chain_names(side, "arm")
    joints[:, HUMANML3D_22.joint(middle)], joints[:, HUMANML3D_22.joint(end)] = elbow, wrist


def _check_place(clip: Clip, old: np.ndarray, new: np.ndarray) -> None:
    """Refuse hands in the floor, and hands in trunk or head that were not there before."""
    floor = clip.joints[..., 1].min()
    if (new[:, 1] < min(floor + 0.02, old[:, 1].min())).any():
        raise NotApplicable("a hand would be in the floor")
    for name, distance, radius in (("trunk", _from_trunk, _TRUNK), ("head", _from_head, _SKULL)):
        before, after = distance(clip, old), distance(clip, new)
        if ((after < radius) & (after < before - 0.02)).any():
            raise NotApplicable(f"a hand would be in the {name}")


def _from_trunk(clip: Clip, places: np.ndarray) -> np.ndarray:
    """Distance from the line between pelvis and neck, (frames,)."""
    start, line = clip.joint("pelvis"), clip.joint("neck") - clip.joint("pelvis")
    share = (((places - start) * line).sum(-1) / np.maximum((line**2).sum(-1), 1e-9)).clip(0, 1)
    return np.linalg.norm(places - start - share[:, None] * line, axis=-1)


def _from_head(clip: Clip, places: np.ndarray) -> np.ndarray:
    return np.linalg.norm(places - clip.joint("head"), axis=-1)
