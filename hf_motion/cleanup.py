"""Clean-up of motions: feet that touch the floor stay where they are, and walks stay in place."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch

from .motion import Motion
from .representation.fixed_bones import turned, two_bones

_LEGS = ("hip", "knee", "ankle", "foot")
_STRAIGHT = 0.999
# A foot that has to get from one place to another is lifted, by this share of the way and at most so many metres.
_LIFT_SHARE, _LIFT = 0.8, 0.08
# Where nothing is in contact, the slower toe below this height bears the body, at up to so many times the speed and the stray.
_BEARING_HEIGHT, _BEARING_SPEED, _BEARING_STRAY = 0.02, 3.0, 1.5
# Both do where their speeds are within this factor, so that the choice does not flicker.
_ALIKE = 1.25


def lock_feet(
    motion: Motion,
    *,
    speed: float = 0.4,
    height: float = 0.08,
    stray: float = 0.1,
    shortest: float = 0.1,
    blend: float = 0.5,
    contacts: np.ndarray | None = None,
) -> Motion:
    """Pin feet to the floor while they touch it, and bend the legs so that they follow.

    Each ankle and each toe that is low and slow is in contact. Where none is, but a toe is on the floor, something must bear the body,
    and the slower toe is taken for it: feet of generated motion slide too fast to be told by their speed. A contact is held at its
    mean place over the floor, and the shift fades in and out around it, or passes evenly from one contact to the next where they are
    close. Heel and toe are held each on their own, so that feet still roll. The legs follow by two-bone inverse kinematics: hips stay
    where they are, knees keep the plane that they bend in, and all bones their lengths. Where a pinned foot is out of the leg's reach,
    the foot gives way. Everything above the hips is left alone.

    Args:
        motion (`Motion`): A motion whose skeleton has joints called left_ and right_ hip, knee, ankle and foot, one below
            the other, such as `humanml3d-22`; the floor is at y = 0.
        speed (`float`, defaults to 0.4): In metres per second; a joint that moves faster is not in contact, and one that moves more
            than three times as fast does not bear the body either.
        height (`float`, defaults to 0.08): In metres; a joint higher than this above its own lowest place is not in contact. Its own,
            since ankles stand above toes, and shoes above bare feet.
        stray (`float`, defaults to 0.1): In metres. What takes a joint farther than this from its mean place is a slow step and no
            contact, and is looked at again with half the speed, and half of that. Toes that bear the body may stray half as far again.
        shortest (`float`, defaults to 0.1): In seconds. Contacts shorter than this are dropped and gaps shorter than this closed.
        blend (`float`, defaults to 0.5): In seconds, how long a shift fades before and after a contact. Contacts that are less than
            twice this apart pass the shift on to each other instead, and the foot is lifted on the way by as much as it takes.
        contacts (`numpy.ndarray`, *optional*): (frames, 4) bool, contact of left ankle, left toe, right ankle and right toe in each
            frame, where they are known; found as above by default.

    Returns:
        `Motion`: The same motion with other knees, ankles and feet.

    Raises:
        ValueError: If the skeleton has no such legs, an option is not positive, or `contacts` has another shape.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.cleanup import lock_feet
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> pose = np.zeros((22, 3))
    >>> for parent, joint in HUMANML3D_22.bones:
    ...     pose[joint] = pose[parent] + 0.98 * HUMANML3D_22.rest_offsets[joint]
    >>> joints = np.repeat(pose[None] - [0, pose[:, 1].min(), 0], 40, axis=0)
    >>> joints[:, [4, 5], 2] += 0.1  # bent knees that drift along
    >>> joints[..., 2] += np.linspace(0, 0.05, 40)[:, None]
    >>> slides = np.ptp(joints[:, [7, 10], 2], axis=0), np.ptp(lock_feet(Motion(joints)).joints[:, [7, 10], 2], axis=0)
    >>> [bool((slide < 0.001).all()) for slide in slides]
    [False, True]
    """
    for name, value in (("speed", speed), ("height", height), ("stray", stray), ("shortest", shortest), ("blend", blend)):
        if isinstance(value, str) or not value > 0:
            raise ValueError(f"{name} must be a positive number, got {value!r}.")
    legs = _legs(motion)
    if contacts is None:
        contacts = foot_contacts(motion, speed=speed, height=height, stray=stray, shortest=shortest)
    contacts = np.asarray(contacts, dtype=bool)
    if contacts.shape != (len(motion), 4):
        raise ValueError(f"contacts must have shape (frames, 4) = ({len(motion)}, 4), got {contacts.shape}.")
    joints = motion.joints.astype(np.float64)
    hip, knee, ankle, toe = (joints[:, legs[:, part]] for part in range(4))
    ankle_held, toe_held = contacts[:, [0, 2]], contacts[:, [1, 3]]
    fade = max(1.0, blend * motion.fps)
    toe_shift, toe_share = _shifts(toe, toe_held, fade, lift=_LIFT)
    ankle_shift, _ = _shifts(ankle + toe_shift, ankle_held, fade, lift=0.0)
    wanted_toe = toe + toe_shift
    wanted = ankle + toe_shift + ankle_shift
    foot = np.linalg.norm(toe - ankle, axis=-1, keepdims=True)
    # A held toe decides how far away its ankle is, and by that the foot keeps its length.
    wanted += toe_share * (wanted_toe + foot * _unit(wanted - wanted_toe) - wanted)
    new_knee, new_ankle = _two_bones(hip, knee, ankle, wanted, toe - ankle)
    moved = joints.copy()
    for part, places in ((1, new_knee), (2, new_ankle), (3, new_ankle + foot * _unit(wanted_toe - new_ankle))):
        moved[:, legs[:, part]] = places
    return replace(motion, joints=moved)


def foot_contacts(motion: Motion, *, speed: float = 0.4, height: float = 0.08, stray: float = 0.1, shortest: float = 0.1) -> np.ndarray:
    """When feet touch the floor: where they are low and slow, and where they alone can bear the body. See `lock_feet`.

    Args:
        motion (`Motion`): As in `lock_feet`.
        speed (`float`, defaults to 0.4): Metres per second.
        height (`float`, defaults to 0.08): Metres above the joint's own lowest place.
        stray (`float`, defaults to 0.1): Metres from the mean place of one contact.
        shortest (`float`, defaults to 0.1): Seconds.

    Returns:
        `numpy.ndarray`: (frames, 4) bool: left ankle, left toe, right ankle, right toe.

    Raises:
        ValueError: If the skeleton has no legs with the names that `lock_feet` tells.
    """
    feet = motion.joints[:, _legs(motion)[:, 2:].ravel()].astype(np.float64)
    if len(motion) == 1:
        return np.zeros((1, 4), dtype=bool)
    velocity = np.linalg.norm(np.gradient(feet, axis=0), axis=-1) * motion.fps
    level = feet[..., 1] - np.maximum(feet[..., 1].min(axis=0), 0)
    frames = max(1, round(shortest * motion.fps))
    contacts = np.zeros(feet.shape[:2], dtype=bool)
    for limit in (speed, speed / 2, speed / 4):
        contacts |= _steady(feet, (velocity < limit) & (level < height) & ~contacts, frames, stray)
    low = (velocity < _BEARING_SPEED * speed) & (level < min(height, _BEARING_HEIGHT))
    toes = np.where(low, velocity, np.inf)[:, 1::2]
    bearing = low[:, 1::2] & (toes <= _ALIKE * toes.min(axis=1, keepdims=True)) & ~contacts.any(axis=1, keepdims=True)
    held = contacts.copy()
    held[:, 1::2] |= bearing
    return contacts | _steady(feet, held, frames, _BEARING_STRAY * stray)


def foot_slide(motion: Motion, like: Motion | None = None) -> float:
    """Mean speed of ankles and toes while they touch the floor: what the eye sees as sliding.

    Args:
        motion (`Motion`): As in `lock_feet`.
        like (`Motion`, *optional*): Take the contacts of this motion, which has as many frames: to compare before and after.

    Returns:
        `float`: Metres per second; 0 where nothing touches the floor.

    Raises:
        ValueError: If the skeleton has no legs with the names that `lock_feet` tells, or the two differ in length.
    """
    if like is not None and len(like) != len(motion):
        raise ValueError(f"The motions to compare have {len(motion)} and {len(like)} frames; they must have as many.")
    contacts = foot_contacts(motion if like is None else like)
    feet = motion.joints[:, _legs(motion)[:, 2:].ravel()].astype(np.float64)
    stays = contacts[1:] & contacts[:-1]
    speeds = np.linalg.norm(np.diff(feet, axis=0), axis=-1)[stays] * motion.fps
    return float(speeds.mean()) if len(speeds) else 0.0


def _legs(motion: Motion) -> np.ndarray:
    """Hip, knee, ankle and foot of the left and the right leg, (2, 4)."""
    skeleton = motion.skeleton
    names = [[f"{side}_{part}" for part in _LEGS] for side in ("left", "right")]
    known = {name: joint for joint, name in enumerate(skeleton.joint_names)}
    missing = [name for leg in names for name in leg if name not in known]
    if missing:
        raise ValueError(
            f"Skeleton {skeleton.name!r} has no joint {', '.join(missing)}; feet can be cleaned up on 'humanml3d-22'. "
            "Map the motion to its joints first."
        )
    legs = np.array([[known[name] for name in leg] for leg in names])
    if any(skeleton.parents[below] != above for leg in legs for above, below in itertools.pairwise(leg)):
        raise ValueError(f"Skeleton {skeleton.name!r} has other joints between hip, knee, ankle and foot; map the motion first.")
    return legs


def _steady(feet: np.ndarray, held: np.ndarray, frames: int, stray: float) -> np.ndarray:
    """Runs of `held`, (frames, joints) bool, that neither are shorter than `frames` nor stray from their mean place."""
    held = _without_short(~_without_short(~held, frames), frames)
    away = np.where(held, np.linalg.norm(feet - _run_means(feet, held), axis=-1), 0)
    return held & (_run_maxima(away, held) <= stray)


def _without_short(held: np.ndarray, frames: int) -> np.ndarray:
    """Runs of True along the frames that are not shorter than `frames`, or that touch an end of the clip, (frames, ...) bool."""
    first, last = _runs(held)
    length = last - first + 1
    return held & ((length >= frames) | (first == 0) | (last == len(held) - 1))


def _runs(held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last frame of the run of equal values that each frame belongs to, (frames, ...) int64."""
    frame = np.arange(len(held)).reshape(-1, *[1] * (held.ndim - 1))
    begins = np.concatenate((np.ones_like(held[:1]), held[1:] != held[:-1]))
    ends = np.concatenate((begins[1:], np.ones_like(held[:1])))
    first = np.maximum.accumulate(np.where(begins, frame, 0), axis=0)
    last = np.minimum.accumulate(np.where(ends, frame, len(held))[::-1], axis=0)[::-1]
    return first, last


def _run_means(places: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Mean place (frames, joints, 3) over the run of equal `held` that each frame belongs to."""
    first, last = _runs(held)
    total = np.concatenate((np.zeros_like(places[:1]), places.cumsum(axis=0)))
    joint = np.arange(held.shape[1])
    return (total[last + 1, joint] - total[first, joint]) / (last - first + 1)[..., None]


def _run_maxima(values: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Largest of the values (frames, joints) over the run that each frame belongs to."""
    first, _ = _runs(held)
    place = np.ravel_multi_index((first, np.broadcast_to(np.arange(held.shape[1]), held.shape)), held.shape)
    largest = np.zeros(values.size)
    np.maximum.at(largest, place.ravel(), values.ravel())
    return largest[place]


def _shifts(places: np.ndarray, held: np.ndarray, fade: float, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """How far to move joints so that held ones stay at their mean, (frames, 2, 3), and how much that is in force, (frames, 2, 1)."""
    side = np.arange(2)
    exact = np.where(held[..., None], _run_means(places, held) - places, 0)
    frame = np.arange(len(held))[:, None]
    before = np.maximum.accumulate(np.where(held, frame, -1), axis=0)
    after = np.minimum.accumulate(np.where(held, frame, len(held))[::-1], axis=0)[::-1]
    left, right = exact[before.clip(0), side], exact[after.clip(max=len(held) - 1), side]
    near = _ease(1 - (frame - before) / fade) * (before >= 0)
    far = _ease(1 - (after - frame) / fade) * (after < len(held))
    share = _ease((frame - before) / np.maximum(after - before, 1))
    close = (before >= 0) & (after < len(held)) & (after - before < 2 * fade)
    near, far = np.where(close, 1 - share, near), np.where(close, share, far)
    shift = near[..., None] * left + far[..., None] * right
    step = np.minimum(_LIFT_SHARE * np.linalg.norm(right - left, axis=-1), lift)
    shift[..., 1] += np.where(close, 4 * share * (1 - share) * step, 0)
    return np.where(held[..., None], exact, shift), np.where(held, 1.0, near + far)[..., None]


def _ease(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _two_bones(
    hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, wanted: np.ndarray, ahead: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Knees and ankles (frames, 2, 3) of legs that reach for `wanted` and bend on the side that they bend on already.

    A straight leg that must get shorter bends towards `ahead`.
    """
    thigh = np.linalg.norm(knee - hip, axis=-1, keepdims=True)
    shin = np.linalg.norm(ankle - knee, axis=-1, keepdims=True)
    longest = np.maximum(np.linalg.norm(ankle - hip, axis=-1, keepdims=True), _STRAIGHT * (thigh + shin))
    values = (hip, knee - hip, ankle - hip, wanted, ahead, thigh, shin, longest)
    hip, bend, old, wanted, ahead, thigh, shin, longest = map(torch.from_numpy, values)
    knee, ankle = two_bones(hip, turned(bend, old, wanted - hip), wanted, ahead, thigh, shin, longest)
    return knee.numpy(), ankle.numpy()
