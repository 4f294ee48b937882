"""Does a motion show an action? Yes or no, from the joints alone.

Each judge takes a `Motion` on a skeleton with the joint names of `humanml3d-22` and keyword parameters, and returns a `bool`. They look
for what a stranger would check first (which way, which side, how often, off the floor or not) and are blind to style. The lines are drawn
on `hf_motion.metrics.events`, in leg lengths, arm lengths, seconds and degrees, between real clips that show the action and real clips that
do not; `tests/benchmarks/wordings.py --validate` says how well each one tells them apart.

Example:
>>> import numpy as np
>>> from hf_motion import Motion
>>> from hf_motion.metrics import judges
>>> from hf_motion.skeletons import HUMANML3D_22
>>> pose = np.zeros((22, 3))
>>> for parent, joint in HUMANML3D_22.bones:
...     pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint]
>>> still = Motion(np.tile(pose, (40, 1, 1)))
>>> judges.stands_still(still), judges.walks(still)
(True, False)
"""

from __future__ import annotations

import numpy as np

from ..motion import Motion
from . import events
from .events import SIDES

__all__ = [
    "bows",
    "cartwheels",
    "climbs",
    "dances",
    "flips",
    "jumping_jacks",
    "jumps",
    "kicks",
    "lunges",
    "punches",
    "raises_arm",
    "raises_hands",
    "raises_leg",
    "runs",
    "sits_down",
    "squats",
    "stands_still",
    "stands_up",
    "steps_over",
    "stops",
    "walks",
    "waves",
]  # fmt: skip

# Leg lengths per second; between the fastest real walks and the slowest real runs.
_RUN = 2.4
# Arm lengths from the shoulder up: a wrist counts as raised above it and as hanging or held below it.
_RAISED = -0.2
_TURN = 25.0


def walks(motion: Motion, direction: str = "forward", turn: str | None = None) -> bool:
    """Goes somewhere on foot, slower than a run.

    Args:
        motion (`Motion`): The motion.
        direction (`str`, defaults to `"forward"`): Against the body's facing: `"forward"`, `"backward"`, or diagonally forward `"left"`,
            `"right"`.
        turn (`str`, *optional*): `"left"` or `"right"`: also changes its heading that way, by more than 25 degrees. By default the
            heading may change by up to 60 degrees.
    """
    forward, left = events.travel(motion)
    angle = np.degrees(np.arctan2(left, forward))
    headed = {
        "forward": abs(angle) < 30,
        "backward": abs(angle) > 135,
        "left": 12 < angle < 90,
        "right": -90 < angle < -12,
    }[_option("direction", direction, ("forward", "backward", "left", "right"))]
    pace = np.percentile(events.speed(motion), 90)
    return bool(headed and np.hypot(forward, left) > 0.6 and 0.25 < pace < _RUN and _turns(motion, turn) and _on_foot(motion))


def runs(motion: Motion, turn: str | None = None) -> bool:
    """Runs forward: faster than any real walk (2.4 leg lengths, about 2 metres, per second).

    Args:
        motion (`Motion`): The motion.
        turn (`str`, *optional*): As for `walks`.
    """
    forward, left = events.travel(motion)
    fast = np.percentile(events.speed(motion), 75) > _RUN
    return bool(fast and forward > max(1.0, abs(left)) and _turns(motion, turn) and _on_foot(motion))


def stops(motion: Motion, gait: str = "walk") -> bool:
    """Walks or runs forward at first and stands at the end.

    Args:
        motion (`Motion`): The motion.
        gait (`str`, defaults to `"walk"`): `"walk"` or `"run"`.
    """
    speed = events.speed(motion)
    fast = np.percentile(speed, 90) > _RUN
    moved = events.travel(motion)[0] > 0.8 and speed.max() > 0.6
    return bool(
        moved
        and fast == (_option("gait", gait, ("walk", "run")) == "run")
        and _last(speed, motion, 0.3).max() < 0.35
        and not _flies(motion, 0.16)
    )


def stands_still(motion: Motion) -> bool:
    """Stays on its feet where it is and hardly moves, arms down or at rest."""
    low = all(events.wrist_height(motion, side).max() < 0 for side in SIDES)
    height = events.pelvis_height(motion)
    stepped = any(events.foot_lift(motion, side).max() > 0.15 for side in SIDES)
    upright = not stepped and np.ptp(height) < 0.1 and height.min() > 0.85 and np.abs(events.trunk_lean(motion)).max() < 25
    return bool(low and upright and events.reach(motion) < 0.3 and events.activity(motion) < 0.12)


def raises_hands(motion: Motion, side: str) -> bool:
    """Lifts a wrist to the shoulder or above it, and not the other one, standing all the time.

    Args:
        motion (`Motion`): The motion.
        side (`str`): `"left"`, `"right"` or `"both"`.
    """
    return bool(_raised(motion) == _sides(side) and np.ptp(events.pelvis_height(motion)) < 0.2 and _in_place(motion))


def waves(motion: Motion, side: str = "any") -> bool:
    """Swings a raised wrist to and fro, standing.

    Args:
        motion (`Motion`): The motion.
        side (`str`, defaults to `"any"`): `"left"`, `"right"` (the other one stays down), `"both"`, or `"any"` of these.
    """
    waving = {each for each in SIDES if events.waves(motion, each, 0.06) >= 3}
    if side == "any":
        return bool(waving) and _in_place(motion)
    wanted = _sides(side)
    return waving >= wanted and _raised(motion) <= wanted and _in_place(motion)


def bows(motion: Motion) -> bool:
    """Leans the trunk forward by more than 20 degrees over legs that stay nearly straight, in place, and comes up again."""
    lean, height = events.trunk_lean(motion), events.pelvis_height(motion)
    lowered = np.ptp(height) > 0.2
    up = _last(lean, motion, 0.2).min() < max(15, 0.5 * lean.max())
    dip = lean.max() - min(lean[0], lean[-1])
    busy = events.activity(motion) > 0.3 or any(events.wrist_height(motion, side).max() > 0.3 for side in SIDES)
    return bool(lean.max() > 20 and dip > 18 and up and not lowered and not busy and events.reach(motion) < 0.6)


def squats(motion: Motion) -> bool:
    """Lowers the pelvis by a quarter of a leg or more over two bent knees and two feet side by side, and rises again."""
    height = events.pelvis_height(motion)
    lowest = int(height.argmin())
    _, ahead = events.feet_apart(motion)
    knees = [events.knee_bend(motion, side)[lowest] for side in SIDES]
    returns = min(height[: lowest + 1].max(), height[lowest:].max()) > height.min() + 0.2
    deep = height.min() < 0.8 and min(knees) > 70
    return bool(deep and returns and abs(ahead[lowest]) < 0.3 and _in_place(motion, 0.8) and not _flies(motion, 0.2))


def lunges(motion: Motion, side: str, direction: str = "forward") -> bool:
    """Sinks onto one bent leg, feet wide apart, in place, and rises again.

    Args:
        motion (`Motion`): The motion.
        side (`str`): The leg that is in front, or that bends: `"left"` or `"right"`.
        direction (`str`, defaults to `"forward"`): `"forward"` or `"side"`.
    """
    sign = {"left": 1, "right": -1}[_option("side", side, SIDES)]
    across, ahead = events.feet_apart(motion)
    height = events.pelvis_height(motion)
    lowest = int(height.argmin())
    left, right = (events.knee_bend(motion, each)[lowest] for each in SIDES)
    if _option("direction", direction, ("forward", "side")) == "side":
        shaped = across[lowest] > 0.5 and abs(ahead[lowest]) < 0.45 and sign * (left - right) > 25 and max(left, right) > 45
    else:
        shaped = sign * ahead[lowest] > 0.45 and min(left, right) > 45
    rises = min(height[: lowest + 1].max(), height[lowest:].max()) > height.min() + 0.1
    return bool(shaped and rises and height.min() < 0.88 and _in_place(motion, 0.8))


def sits_down(motion: Motion) -> bool:
    """Lowers the pelvis from standing by more than a quarter of a leg over bent knees, and stays down."""
    height = events.pelvis_height(motion)
    low = _last(height, motion, 0.2).max()
    return bool(height[0] > 0.9 and low < height[0] - 0.25 and low < 0.85 and _seated(motion, -1))


def stands_up(motion: Motion, first: str | None = None) -> bool:
    """Raises the pelvis from a seat to standing.

    Args:
        motion (`Motion`): The motion.
        first (`str`, *optional*): `"sit"`: it stands at the beginning and sits down before.
    """
    height = events.pelvis_height(motion)
    lowest = int(height.argmin())
    high = _last(height, motion, 0.2).min() > max(0.9, height.min() + 0.25)
    start = height[0] > 0.9 if _option("first", first, (None, "sit")) == "sit" else height[0] < 0.85
    return bool(high and start and height.min() < 0.85 and _seated(motion, lowest) and not _flies(motion, 0.15))


def jumps(motion: Motion, direction: str | None = None, height: float = 0.12, turn: bool = False) -> bool:
    """Leaves the floor with both feet and lands, otherwise than running.

    Args:
        motion (`Motion`): The motion.
        direction (`str`, *optional*): `"up"`: within half a leg length; `"forward"`: more than half a leg length.
        height (`float`, defaults to 0.12): How far both feet get off the floor, leg lengths.
        turn (`bool`, defaults to `False`): Also turns by more than 60 degrees, either way.
    """
    forward, left = events.travel(motion)
    way = {None: True, "up": np.hypot(forward, left) < 0.5, "forward": forward > 0.5}[
        _option("direction", direction, (None, "up", "forward"))
    ]
    high = events.jumps(motion).max(initial=0)
    turned = not turn or abs(events.turn(motion)) > 60
    rises = np.ptp(events.pelvis_height(motion)) > 0.15
    return bool(high > height and rises and way and turned and not runs(motion) and not events.upside_down(motion).any())


def jumping_jacks(motion: Motion) -> bool:
    """Lifts both arms and spreads the legs, again and again, hopping in place."""
    lower = np.minimum(*(events.wrist_height(motion, side) for side in SIDES))
    across, _ = events.feet_apart(motion)
    return bool(events.swings(lower, 0.8) >= 2 and events.swings(across, 0.3) >= 2 and _in_place(motion, 0.8))


def cartwheels(motion: Motion) -> bool:
    """Turns over sideways on the hands."""
    inverted = events.upside_down(motion)
    somersault, cartwheel = (abs(degrees) for degrees in events.rotations(motion))
    hands = [motion.joints[:, motion.skeleton.joint(f"{side}_wrist"), 1] for side in SIDES]
    floor = np.percentile(motion.joints[..., 1].min(axis=1), 2)
    down = inverted.any() and np.minimum(*hands)[inverted].min() - floor < 0.3 * events.leg_length(motion)
    return bool(down and cartwheel > 100 and somersault < 270)


def flips(motion: Motion, direction: str = "backward") -> bool:
    """Turns over in the air, feet over head.

    Args:
        motion (`Motion`): The motion.
        direction (`str`, defaults to `"backward"`): `"forward"` or `"backward"`.
    """
    sign = {"forward": 1, "backward": -1}[_option("direction", direction, ("forward", "backward"))]
    inverted = events.upside_down(motion)
    return bool(inverted.any() and sign * events.rotations(motion)[0] > 240 and events.clearance(motion)[inverted].max() > 0.1)


def kicks(motion: Motion, side: str = "any") -> bool:
    """Shoots a stretched leg out to the front or the side, faster than a step, the other foot on the floor or in a jump.

    Args:
        motion (`Motion`): The motion.
        side (`str`, defaults to `"any"`): `"left"`, `"right"` or `"any"`.
    """
    sides = SIDES if _option("side", side, (*SIDES, "any")) == "any" else (side,)
    return any(_kick(motion, each) for each in sides) and not events.upside_down(motion).any()


def punches(motion: Motion, side: str = "any", count: int = 1) -> bool:
    """Shoots a fist forward at the height of the chest or above, on its feet and not running.

    Args:
        motion (`Motion`): The motion.
        side (`str`, defaults to `"any"`): `"left"`, `"right"` (and the other one not), or `"any"`.
        count (`int`, defaults to 1): Least number of punches, both hands together.
    """
    thrown = {each: events.punches(motion, each) for each in SIDES}
    other = {"left": "right", "right": "left"}.get(_option("side", side, (*SIDES, "any")))
    right_side = other is None or (thrown[side] > 0 and thrown[other] == 0)
    return bool(right_side and sum(thrown.values()) >= count and events.reach(motion) < 3 and not events.upside_down(motion).any())


def raises_arm(motion: Motion, side: str, direction: str) -> bool:
    """Moves one straight arm away from the body, standing, the other one down.

    Args:
        motion (`Motion`): The motion.
        side (`str`): `"left"` or `"right"`.
        direction (`str`): `"side"` (to the side and up, over the shoulder), `"front"` (forward or diagonally forward, to the shoulder or
            above), `"back"` (behind the body).
    """
    other = {"left": "right", "right": "left"}[_option("side", side, SIDES)]
    highest, angle = events.wrist_height(motion, side).max(), events.arm_direction(motion, side)
    if angle is None or events.wrist_height(motion, other).max() > _RAISED or not _in_place(motion):
        return False
    return bool({
        "side": highest > 0 and 45 < angle < 135,
        "front": highest > -0.1 and -45 < angle <= 60,
        "back": highest < -0.1 and abs(angle) > 120,
    }[_option("direction", direction, ("side", "front", "back"))])  # fmt: skip


def raises_leg(motion: Motion, side: str) -> bool:
    """Lifts one stretched leg to the front and lowers it, standing on the other.

    Args:
        motion (`Motion`): The motion.
        side (`str`): `"left"` or `"right"`.
    """
    place = events.ankle_place(motion, side)
    highest = int(place[:, 1].argmax())
    shaped = place[highest, 1] > -0.6 and place[highest, 2] > 0.4 and events.knee_bend(motion, side)[highest] < 50
    return bool(shaped and _on_one_leg(motion, side))


def steps_over(motion: Motion, side: str) -> bool:
    """Lifts one bent knee as over a hurdle, standing on the other leg, and puts the foot down again.

    Args:
        motion (`Motion`): The motion.
        side (`str`): `"left"` or `"right"`.
    """
    lifted = events.ankle_place(motion, side)[:, 1].max() > -0.65
    return bool(lifted and events.knee_bend(motion, side).max() > 75 and _on_one_leg(motion, side))


def dances(motion: Motion) -> bool:
    """Moves arms and legs all the time, stepping about within a few paces: dance or anything as lively; punches and kicks are not."""
    stepping = sum(events.swings(events.foot_lift(motion, side), 0.05) for side in SIDES) / motion.duration > 0.5
    legs = max(events.ankle_speed(motion, side) for side in SIDES) > 1.0
    straight = events.reach(motion) / max(float(events.speed(motion).sum() / motion.fps), 1e-6)
    about = straight < 0.75 or abs(events.turn(motion)) > 120
    lively = events.activity(motion) > 0.35 and legs and stepping
    return bool(lively and about and not kicks(motion) and not events.upside_down(motion).any() and not _flies(motion, 0.2))


def climbs(motion: Motion) -> bool:
    """Ends on its feet a third of a leg higher than it began, as up a few stairs."""
    height = events.pelvis_height(motion)
    return bool(height[0] > 0.9 and _last(height, motion, 0.3).min() - height[0] > 0.33 and events.travel(motion)[0] > 0.4)


def _option(name: str, value: str | None, allowed: tuple) -> str | None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
    return value


def _sides(side: str) -> set[str]:
    return set(SIDES) if _option("side", side, (*SIDES, "both")) == "both" else {side}


def _last(series: np.ndarray, motion: Motion, seconds: float) -> np.ndarray:
    return series[-max(1, round(seconds * motion.fps)) :]


def _raised(motion: Motion) -> set[str]:
    return {side for side in SIDES if events.wrist_height(motion, side).max() > _RAISED}


def _in_place(motion: Motion, legs: float = 0.6) -> bool:
    return events.reach(motion) < legs and not events.upside_down(motion).any()


def _turns(motion: Motion, side: str | None) -> bool:
    turned = events.turn(motion)
    return {None: abs(turned) < 60, "left": turned > _TURN, "right": turned < -_TURN}[_option("turn", side, (None, *SIDES))]


def _flies(motion: Motion, height: float) -> bool:
    return bool(events.jumps(motion).max(initial=0) > height)


def _on_foot(motion: Motion) -> bool:
    return bool(events.pelvis_height(motion).min() > 0.6 and not events.upside_down(motion).any() and not _flies(motion, 0.35))


def _seated(motion: Motion, frame: int) -> bool:
    return all(events.knee_bend(motion, side)[frame] > 55 for side in SIDES)


def _on_one_leg(motion: Motion, lifted: str) -> bool:
    other = {"left": "right", "right": "left"}[_option("side", lifted, SIDES)]
    stays = events.knee_bend(motion, other).max() < 60 and events.ankle_place(motion, other)[:, 1].max() < -0.8
    return bool(stays and _in_place(motion) and not _flies(motion, 0.1))


def _kick(motion: Motion, side: str) -> bool:
    outward, up, forward = events.ankle_place(motion, side).T
    shot = (up > -0.8) & (np.hypot(forward, outward.clip(0)) > 0.5) & (forward > -0.2) & (events.knee_bend(motion, side) < 80)
    return bool(shot.any() and events.ankle_speed(motion, side) > 4.6)
