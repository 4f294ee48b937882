"""What happens when in a motion: each jump, step, wave, turn, squat, punch ... with its first and last frame.

`hf_motion.metrics.judges` say whether a whole clip shows an action; these find every time that it does, so that events can be counted and
put in order. The lines are drawn on `hf_motion.metrics.events`, in leg lengths, arm lengths, seconds and degrees;
`tests/benchmarks/verifiers.py` says on real clips how often each finder is right, and `hf_motion/rewards/README.md` holds its table.

Example:
>>> import numpy as np
>>> from hf_motion import Motion
>>> from hf_motion.metrics.occurrences import occurrences
>>> from hf_motion.skeletons import HUMANML3D_22
>>> pose = np.zeros((22, 3))
>>> for parent, joint in HUMANML3D_22.bones:
...     pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint]
>>> hop = np.concatenate([np.zeros(10), 0.4 * np.sin(np.linspace(0, np.pi, 12)), np.zeros(10)])
>>> twice = Motion(np.tile(pose, (64, 1, 1)) + np.concatenate([hop, hop])[:, None, None] * [0, 1, 0])
>>> occurrences(twice, "jump")
[Occurrence(start=11, end=21), Occurrence(start=43, end=53)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..motion import Motion
from . import events
from .events import SIDES

# Leg lengths per second: see `hf_motion.metrics.judges`.
_RUN = 2.4
_WALK = 0.25


class Occurrence(NamedTuple):
    """One time that an event happens.

    Args:
        start (`int`): Its first frame.
        end (`int`): The frame behind its last.
    """

    start: int
    end: int

    @property
    def middle(self) -> float:
        """The frame in its middle."""
        return (self.start + self.end) / 2


class Event(NamedTuple):
    """What can be found.

    Args:
        find (`Callable`): The finder: a motion and options in, occurrences in order of time out.
        options (`dict[str, tuple]`): Names of the options and their values, the default first.
        counted (`bool`): Whether it makes sense to ask how often.
    """

    find: Callable[..., list[Occurrence]]
    options: dict[str, tuple[Any, ...]]
    counted: bool


def occurrences(motion: Motion, event: str, **options: Any) -> list[Occurrence]:
    """Find every time that an event happens.

    Args:
        motion (`Motion`): On a skeleton with the joint names of `humanml3d-22`.
        event (`str`): One of `EVENTS`.
        **options: Those of the event, such as `side="left"`.

    Returns:
        `list[Occurrence]`: In order of time.

    Raises:
        ValueError: If there is no such event, or it has no such option or value.
    """
    check_event(event, options)
    return sorted(EVENTS[event].find(motion, **options))


def check_event(event: str, options: dict[str, Any]) -> None:
    """See whether an event is known and takes these options.

    Raises:
        ValueError: If not; the message names what there is.
    """
    if event not in EVENTS:
        raise ValueError(f"There is no event {event!r}. Events are: {', '.join(EVENTS)}.")
    allowed = EVENTS[event].options
    for name, value in options.items():
        if name not in allowed:
            raise ValueError(f"Event {event!r} has no option {name!r}. It has: {', '.join(allowed) or 'none'}.")
        if value not in allowed[name]:
            raise ValueError(f"{name} of {event!r} must be one of {', '.join(map(repr, allowed[name]))}, got {value!r}.")


def _walk(motion: Motion, direction: str = "any") -> list[Occurrence]:
    """Goes on foot by more than 0.6 leg lengths, slower than a run, in two steps or more."""
    speed = _smooth(events.speed(motion), motion, 0.3)
    found = _kept(_moving(motion, speed, direction), motion, 0.4)
    return [span for span in found if _way(motion, span) > 0.6 and _walks(motion, speed, span)]


def _walks(motion: Motion, speed: np.ndarray, span: Occurrence) -> bool:
    part = slice(span.start, span.end)
    low = events.pelvis_height(motion)[part].min() < 0.6
    return bool(np.percentile(speed[part], 75) < _RUN and not low and _alternates(motion, span))


def _run(motion: Motion) -> list[Occurrence]:
    """Goes forward faster than any real walk for a third of a second or more."""
    speed = _smooth(events.speed(motion), motion, 0.3)
    fast = (speed > _RUN) & _heads(motion, "forward") & (events.pelvis_height(motion) > 0.6)
    return [span for span in _kept(fast, motion, 0.33, gap=0.4) if _alternates(motion, span, 1)]


def _stand(motion: Motion) -> list[Occurrence]:
    """Stays on its feet and hardly moves for a second or more."""
    still = (_smooth(events.speed(motion), motion, 0.5) < 0.15) & (events.pelvis_height(motion) > 0.85)
    for side in SIDES:
        still &= (events.foot_lift(motion, side) < 0.15) & (_rate(events.wrist_place(motion, side), motion) < 0.4)
    return _kept(still, motion, 1.0)


def _step(motion: Motion, side: str = "any") -> list[Occurrence]:
    """A foot leaves its place and comes down a fifth of a leg length or more away."""
    found = []
    for each in _chosen(side):
        way = events.ankle_way(motion, each)
        moving = _rate(way, motion) > 0.6
        found += [span for span in _kept(moving, motion, 0.1, gap=0.05) if np.linalg.norm(way[span.end - 1] - way[span.start]) > 0.2]
    return found


def _turn(motion: Motion, direction: str = "any") -> list[Occurrence]:
    """The body's heading changes to one side by more than 45 degrees without a pause."""
    heading = _smooth(events.heading(motion), motion, 0.6)
    rate = np.gradient(heading) * motion.fps if len(motion) > 1 else np.zeros(1)
    found = []
    for side, sign in (("left", 1), ("right", -1)):
        if direction in (side, "any"):
            spans = _kept(sign * rate > 20, motion, 0.3, gap=0.25)
            found += [span for span in spans if sign * (heading[span.end - 1] - heading[span.start]) > 45]
    return found


def _jump(motion: Motion, direction: str = "any") -> list[Occurrence]:
    """Both feet leave the floor by more than 0.12 leg lengths, otherwise than running."""
    lower = np.minimum(*(events.foot_lift(motion, side) for side in SIDES))
    height, speed = events.pelvis_height(motion), _smooth(events.speed(motion), motion, 0.3)
    inverted = events.upside_down(motion)
    found = []
    for span in _spans(lower > 0.05):
        around = slice(max(0, span.start - round(0.4 * motion.fps)), span.end + round(0.4 * motion.fps))
        running = np.median(speed[around]) > _RUN and lower[span.start : span.end].max() < 0.25
        high = lower[span.start : span.end].max() > 0.12 and np.ptp(height[around]) > 0.15
        way = np.linalg.norm(_root(motion)[span.end - 1] - _root(motion)[span.start])
        headed = {"any": True, "up": way < 0.35, "forward": way >= 0.35}[direction]
        if high and headed and not running and not inverted[around].any():
            found.append(span)
    return found


def _squat(motion: Motion) -> list[Occurrence]:
    """Lowers the pelvis below 0.8 leg lengths over two bent knees and two feet side by side, and rises again."""
    height = events.pelvis_height(motion)
    _, ahead = events.feet_apart(motion)
    knees = np.minimum(*(events.knee_bend(motion, side) for side in SIDES))
    flies = np.minimum(*(events.foot_lift(motion, side) for side in SIDES)) > 0.12
    dips = _peaks(-height, motion, 0.2)
    return [
        span
        for top, span in dips
        if height[top] < 0.8
        and knees[top] > 70
        and abs(ahead[top]) < 0.3
        and not flies[span.start : span.end + round(0.3 * motion.fps)].any()
    ]


def _lunge(motion: Motion, side: str = "any", direction: str = "any") -> list[Occurrence]:
    """Sinks onto one bent leg, feet wide apart, in place, and rises again."""
    height = events.pelvis_height(motion)
    across, ahead = events.feet_apart(motion)
    knees = {each: events.knee_bend(motion, each) for each in SIDES}
    found = []
    for top, span in _peaks(-height, motion, 0.1):
        shapes = set()
        for each, sign, other in (("left", 1, "right"), ("right", -1, "left")):
            bent, straight = knees[each][top], knees[other][top]
            if across[top] > 0.5 and abs(ahead[top]) < 0.45 and bent - straight > 25 and bent > 45:
                shapes.add((each, "side"))
            elif sign * ahead[top] > 0.45 and min(bent, straight) > 45:
                shapes.add((each, "forward"))
        wanted = {(each, way) for each, way in shapes if side in (each, "any") and direction in (way, "any")}
        if wanted and height[top] < 0.92:
            found.append(span)
    return found


def _bow(motion: Motion) -> list[Occurrence]:
    """Leans the trunk forward by more than 20 degrees over legs that stay nearly straight, in place, and comes up again."""
    lean, height = events.trunk_lean(motion), events.pelvis_height(motion)
    wrists = np.maximum(*(events.wrist_height(motion, side) for side in SIDES))
    knees = np.maximum(*(events.knee_bend(motion, side) for side in SIDES))
    found = []
    for top, span in _peaks(_smooth(lean, motion, 0.2), motion, 15):
        part = slice(span.start, span.end)
        still = np.ptp(height[part]) < 0.2 and height[part].min() > 0.8 and _way(motion, span) < 0.4
        if lean[top] > 20 and still and knees[part].max() < 50 and wrists[part].max() < 0.3:
            found.append(span)
    return found


def _wave(motion: Motion, side: str = "any") -> list[Occurrence]:
    """A raised wrist goes to and fro; each time that it does is one occurrence."""
    if side == "both":
        pairs = zip(*(_strokes(motion, each) for each in SIDES), strict=False)
        return [Occurrence(min(a.start, b.start), max(a.end, b.end)) for a, b in pairs]
    return max((_strokes(motion, each) for each in _chosen(side)), key=len)


def _strokes(motion: Motion, side: str) -> list[Occurrence]:
    """To and fro of a wrist near its shoulder's height or above, standing, along the axis with the most of it; three swings or more."""
    raised, places = events.wrist_height(motion, side) > -0.35, events.wrist_place(motion, side)
    raised &= _smooth(events.speed(motion), motion, 0.5) < 0.6
    found = []
    for span in _kept(raised, motion, 0.4, gap=0.2):
        axes = (_swings(places[span.start : span.end, axis], 0.06) for axis in range(3))
        ends = [span.start + frame for frame in max(axes, key=len)]
        if len(ends) >= 3:
            found += [Occurrence(first, last) for first, last in zip(ends[:-1:2], [*ends[2::2], ends[-1]], strict=False) if last > first]
    return found


def _raise_hand(motion: Motion, side: str = "any") -> list[Occurrence]:
    """A wrist comes up to the shoulder or above it from below, standing; one hand only where a side is named."""
    tops = {each: _raised(motion, each) for each in SIDES}
    if side == "both":
        return [Occurrence(min(a.start, b.start), max(a.end, b.end)) for a in tops["left"] for b in tops["right"] if _share(a, b) > 0.5]
    found = []
    for each, other in (("left", "right"), ("right", "left")):
        if side in (each, "any"):
            found += [a for a in tops[each] if side == "any" or not any(_share(a, b) > 0.3 for b in tops[other])]
    return _apart(found)


def _raised(motion: Motion, side: str) -> list[Occurrence]:
    series = _smooth(events.wrist_height(motion, side), motion, 0.15)
    moves = events.speed(motion) > 0.6
    tops = _peaks(series, motion, 0.35, once=True)
    return [span for top, span in tops if series[top] > -0.2 and not moves[span.start : span.end].mean() > 0.5]


def _punch(motion: Motion, side: str = "any") -> list[Occurrence]:
    """Shoots a fist forward at the height of the chest, where it ends too: an arm that is raised goes on; on its feet and not running."""
    speed, inverted, after = _smooth(events.speed(motion), motion, 0.5), events.upside_down(motion), round(0.3 * motion.fps)
    found = []
    for each in _chosen(side):
        up = events.wrist_place(motion, each)[:, 1]
        for span in _kept(events.punching(motion, each), motion, 0, gap=0.1):
            around = slice(span.start, span.end + after)
            if -0.3 < up[around].max() < 0.4 and speed[around].max() < 1.5 and not inverted[around].any():
                found.append(span)
    return found


def _kick(motion: Motion, side: str = "any") -> list[Occurrence]:
    """Shoots a stretched leg out to the front or the side, faster than a step."""
    found = []
    for each in _chosen(side):
        outward, up, forward = events.ankle_place(motion, each).T
        shot = (up > -0.8) & (np.hypot(forward, outward.clip(0)) > 0.5) & (forward > -0.2) & (events.knee_bend(motion, each) < 80)
        fast = events.ankle_speeds(motion, each)
        around = round(0.3 * motion.fps)
        spans = _kept(shot & ~events.upside_down(motion), motion, 0, gap=0.15)
        found += [span for span in spans if fast[max(0, span.start - around) : span.end + around].max() > 4.6]
    return found


def _sit_down(motion: Motion) -> list[Occurrence]:
    """Lowers the pelvis from standing onto bent knees, and stays down for 0.3 seconds or to the end."""
    height = events.pelvis_height(motion)
    return [
        Occurrence(max(0, span.start - round(0.6 * motion.fps)), min(span.end, span.start + round(0.5 * motion.fps)))
        for span in _seats(motion)
        if height[: span.start + 1].max() > 0.9 and span.start > 0
    ]


def _stand_up(motion: Motion) -> list[Occurrence]:
    """Raises the pelvis from a seat to standing."""
    height = events.pelvis_height(motion)
    return [
        Occurrence(max(span.start, span.end - round(0.3 * motion.fps)), min(len(motion), span.end + round(0.7 * motion.fps)))
        for span in _seats(motion)
        if height[span.end - 1 :].max() > 0.9 and span.end < len(motion)
    ]


def _seats(motion: Motion) -> list[Occurrence]:
    height = events.pelvis_height(motion)
    bent = np.minimum(*(events.knee_bend(motion, side) for side in SIDES))
    lifted = np.minimum(*(events.foot_lift(motion, side) for side in SIDES)) > 0.12
    spans = _kept((height < 0.85) & ~lifted, motion, 0.3, gap=0.2)
    return [span for span in spans if np.median(bent[span.start : span.end]) > 55]


EVENTS: dict[str, Event] = {
    "walk": Event(_walk, {"direction": ("any", "forward", "backward")}, False),
    "run": Event(_run, {}, False),
    "stand": Event(_stand, {}, False),
    "sit_down": Event(_sit_down, {}, True),
    "stand_up": Event(_stand_up, {}, True),
    "step": Event(_step, {"side": ("any", *SIDES)}, True),
    "turn": Event(_turn, {"direction": ("any", *SIDES)}, True),
    "jump": Event(_jump, {"direction": ("any", "up", "forward")}, True),
    "squat": Event(_squat, {}, True),
    "lunge": Event(_lunge, {"side": ("any", *SIDES), "direction": ("any", "forward", "side")}, True),
    "bow": Event(_bow, {}, True),
    "wave": Event(_wave, {"side": ("any", *SIDES, "both")}, True),
    "raise_hand": Event(_raise_hand, {"side": ("any", *SIDES, "both")}, True),
    "punch": Event(_punch, {"side": ("any", *SIDES)}, True),
    "kick": Event(_kick, {"side": ("any", *SIDES)}, True),
}
"""What `occurrences` can find, by name."""


def _chosen(side: str) -> tuple[str, ...]:
    return SIDES if side == "any" else (side,)


def _root(motion: Motion) -> np.ndarray:
    return motion.joints[:, motion.skeleton.joint("pelvis")][:, [0, 2]].astype(np.float64) / events.leg_length(motion)


def _way(motion: Motion, span: Occurrence) -> float:
    """How far the pelvis gets within a span, leg lengths."""
    way = _root(motion)[span.start : span.end]
    return float(np.linalg.norm(way - way[0], axis=-1).max())


def _heads(motion: Motion, direction: str) -> np.ndarray:
    """Frames in which the pelvis moves in a direction against the facing, (frames,), bool."""
    root, half = _root(motion), max(1, round(0.25 * motion.fps))
    frames = np.arange(len(root))
    steps = root[(frames + half).clip(max=len(root) - 1)] - root[(frames - half).clip(0)]
    ahead = (steps * events.facing(motion)).sum(-1) / np.linalg.norm(steps, axis=-1).clip(1e-6)
    return np.asarray({"any": np.full(len(root), True), "forward": ahead > 0.7, "backward": ahead < -0.7}[direction])


def _moving(motion: Motion, speed: np.ndarray, direction: str) -> np.ndarray:
    return np.asarray((speed > _WALK) & _heads(motion, direction))


def _alternates(motion: Motion, span: Occurrence, times: int = 1) -> bool:
    """Whether one foot passes the other that often."""
    _, ahead = events.feet_apart(motion)
    across, _ = events.feet_apart(motion)
    return max(events.swings(part[span.start : span.end], 0.15) for part in (ahead, across)) >= times


def _smooth(series: np.ndarray, motion: Motion, seconds: float) -> np.ndarray:
    """Mean over a time around each frame, the ends held."""
    width = max(1, round(seconds * motion.fps)) | 1
    padded = np.pad(series, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _rate(points: np.ndarray, motion: Motion) -> np.ndarray:
    """Speed of points (frames, dims), (frames,), units per second."""
    if len(points) < 2:
        return np.zeros(len(points))
    return np.asarray(np.linalg.norm(np.gradient(points, axis=0), axis=-1) * motion.fps)


def _spans(flags: np.ndarray) -> list[Occurrence]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(int))).tolist()
    return [Occurrence(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _kept(flags: np.ndarray, motion: Motion, seconds: float, gap: float = 0.3) -> list[Occurrence]:
    """Runs of True, those less than `gap` seconds apart joined, those shorter than `seconds` left out."""
    joined: list[Occurrence] = []
    for span in _spans(flags):
        near = joined and span.start - joined[-1].end < gap * motion.fps
        joined = [*joined[:-1], Occurrence(joined[-1].start, span.end)] if near else [*joined, span]
    return [span for span in joined if span.end - span.start >= seconds * motion.fps]


def _peaks(series: np.ndarray, motion: Motion, amount: float, once: bool = False) -> Iterator[tuple[int, Occurrence]]:
    """Tops that rise by `amount` or more and fall by as much again, or to the end where `once`, with the frames above half of it."""
    lowest, top, rising = 0, -1, False
    for frame, value in enumerate(series):
        if not rising:
            lowest = frame if value < series[lowest] else lowest
            if value - series[lowest] >= amount:
                rising, top = True, frame
            continue
        top = frame if value > series[top] else top
        if series[top] - value >= amount:
            yield top, _above(series, top, amount / 2)
            rising, lowest = False, frame
    if rising and once:
        yield top, _above(series, top, amount / 2)


def _above(series: np.ndarray, top: int, drop: float) -> Occurrence:
    low = np.flatnonzero(series < series[top] - drop)
    before, after = low[low < top], low[low > top]
    return Occurrence(int(before[-1]) + 1 if len(before) else 0, int(after[0]) if len(after) else len(series))


def _swings(series: np.ndarray, amount: float) -> list[int]:
    """Frames in which a series changes direction, ways of `amount` or less aside; see `events.swings`."""
    ends: list[int] = []
    low = high = direction = 0
    for frame, value in enumerate(series):
        low, high = (frame if value < series[low] else low), (frame if value > series[high] else high)
        if direction <= 0 and value - series[low] > amount:
            ends += [low] if direction else []
            direction, high = 1, frame
        elif direction >= 0 and series[high] - value > amount:
            ends += [high] if direction else []
            direction, low = -1, frame
    return ends


def _share(a: Occurrence, b: Occurrence) -> float:
    """How much of the shorter one two spans have in common."""
    return max(0, min(a.end, b.end) - max(a.start, b.start)) / max(1, min(a.end - a.start, b.end - b.start))


def _apart(spans: list[Occurrence]) -> list[Occurrence]:
    """Spans that overlap as one."""
    joined: list[Occurrence] = []
    for span in sorted(spans):
        if joined and span.start < joined[-1].end:
            joined[-1] = Occurrence(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined
