"""How two aligned motions differ: which part of the body, on which side, how far, when; in numbers and in one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from .alignment import Alignment, align_motions, body_poses
from .motion import Motion
from .skeletons import Skeleton

_SIDES = ("left", "right")
# A part: the joint that it hangs on, and its joints. What the torso does is not counted again against the arms and the head.
_ANCHORED: dict[str, tuple[str, tuple[str, ...]]] = {
    "head": ("neck", ("head",)),
    "left arm": ("left_shoulder", ("left_elbow", "left_wrist")),
    "right arm": ("right_shoulder", ("right_elbow", "right_wrist")),
    "torso": ("pelvis", ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar", "left_shoulder", "right_shoulder")),
    "hips": ("pelvis", ("pelvis",)),
    "left leg": ("left_hip", ("left_knee", "left_ankle", "left_foot")),
    "right leg": ("right_hip", ("right_knee", "right_ankle", "right_foot")),
}
PARTS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in _ANCHORED},
    "both arms": ("left arm", "right arm"),
    "both legs": ("left leg", "right leg"),
    "upper body": ("head", "left arm", "right arm", "torso"),
    "lower body": ("hips", "left leg", "right leg"),
    "whole body": tuple(_ANCHORED),
}
"""Parts of the body that can be named, and what each is made of."""

THRESHOLD = 0.1
"""Metres, averaged over a quarter of a second, that no part must be apart for two motions to count as the same, where a model has not
learned another number (`learn_threshold`; it is kept in `config.motion["nothing_to_correct"]`): half of 33 pairs of repetitions of one
exercise by one person (UI-PRMD) are closer."""

_SMOOTHING = 0.25
_TEMPO, _LAG, _TRAVEL = 0.1, 0.35, 0.25  # what is worth saying: share of the length, seconds, metres
_BEND, _TOGETHER = 12.0, 0.6  # degrees of a knee that are said rather than metres; share of the other side for both


def joints_of(part: str) -> tuple[str, ...]:
    """Names of the joints that make up a part, without what they hang on.

    Args:
        part (`str`): One of `PARTS` that is not made of others, such as `"left arm"`.

    Example:
        >>> joints_of("left arm")
        ('left_elbow', 'left_wrist')
    """
    return _ANCHORED[part][1]


@dataclass(frozen=True)
class Span:
    """Frames of the first motion.

    Args:
        start (`int`): The first.
        end (`int`): The one behind the last.
        peak (`int`): Where the two are farthest apart.
    """

    start: int
    end: int
    peak: int


@dataclass(frozen=True, eq=False)
class Deviation:
    """How far apart two aligned motions are.

    Args:
        alignment (`Alignment`): The motions.
        joints (`numpy.ndarray`): (frames of the source, joints) float64, metres. Every joint is measured from where its part of the body
            hangs: hands from the shoulder, feet from the hip, in the frame of the body. The pelvis is measured in height.
        parts (`dict[str, numpy.ndarray]`): (frames,) each: the farthest joint of each part, averaged over a quarter of a second.
    """

    alignment: Alignment
    joints: np.ndarray
    parts: Mapping[str, np.ndarray]

    def of(self, part: str) -> np.ndarray:
        """(frames,) metres: how far apart a part of `PARTS` is, at its farthest.

        Raises:
            ValueError: If there is no such part.
        """
        if part not in PARTS:
            raise ValueError(f"Unknown part {part!r}; parts are: {', '.join(PARTS)}.")
        return np.max([self.parts[name] for name in PARTS[part] if name in self.parts], axis=0)

    def span(self, part: str) -> Span:
        """The frames in which a part is farthest apart: around its peak, where it is more than half as far."""
        series = self.of(part)
        peak = int(series.argmax())
        near = np.flatnonzero(series < series[peak] / 2)
        before, after = near[near < peak], near[near > peak]
        return Span(int(before[-1]) + 1 if len(before) else 0, int(after[0]) if len(after) else len(series), peak)

    @cached_property
    def largest(self) -> str:
        """The part that is farthest apart; both arms or both legs where these are nearly equally far."""
        peaks = {name: float(series.max()) for name, series in self.parts.items()}
        part = max(peaks, key=lambda name: peaks[name])
        limb = part.partition(" ")[2]
        pair = [peaks.get(f"{side} {limb}", 0.0) for side in _SIDES]
        return f"both {limb}s" if limb and min(pair) > _TOGETHER * max(pair) else part

    @property
    def distance(self) -> float:
        """How far apart the farthest part is at its farthest, metres."""
        return float(self.of("whole body").max())


def measure_deviation(alignment: Alignment) -> Deviation:
    """Measure two aligned motions against each other.

    Args:
        alignment (`Alignment`): The motions, on a skeleton with the joint names of `humanml3d-22`.

    Raises:
        ValueError: If the skeleton lacks one of these joints.

    Example:
        >>> import numpy as np
        >>> from hf_motion import Motion
        >>> from hf_motion.alignment import align_motions
        >>> from hf_motion.skeletons import HUMANML3D_22
        >>> standing = np.tile(HUMANML3D_22.body_joints, (40, 1, 1))
        >>> raised = standing.copy()
        >>> raised[:, 20, 1] += 0.1  # the left wrist
        >>> deviation = measure_deviation(align_motions(Motion(standing), Motion(raised)))
        >>> deviation.largest, round(deviation.distance, 2)
        ('left arm', 0.1)
    """
    source, target = alignment.source, alignment.warped
    skeleton = source.skeleton
    difference = body_poses(target) - body_poses(source)
    joints = np.zeros(difference.shape[:2])
    parts = {}
    for part, (anchor, names) in _ANCHORED.items():
        members = [skeleton.joint(name) for name in names]
        moved = difference[:, members] - difference[:, [skeleton.joint(anchor)]]
        if part == "hips":
            moved = (_above_floor(target) - _above_floor(source))[:, None, None]
        joints[:, members] = np.linalg.norm(moved, axis=-1)
        parts[part] = _smooth(joints[:, members].max(axis=1), source.fps)
    return Deviation(alignment, joints, parts)


def learn_threshold(pairs: Sequence[tuple[Motion, Motion]], share: float = 0.95) -> float:
    """How far apart two motions are that nobody would correct: repetitions of one exercise by one person, or two recordings of a take.

    Args:
        pairs (`Sequence[tuple[Motion, Motion]]`): Such pairs.
        share (`float`, defaults to 0.95): How many of them count as the same.

    Returns:
        `float`: That quantile of `Deviation.distance`, metres: what `config.motion["nothing_to_correct"]` of a model holds.

    Raises:
        ValueError: If there are no pairs, the share is not in (0, 1], or two motions cannot be aligned.
    """
    if not pairs or not 0 < share <= 1:
        raise ValueError(f"A threshold is learned from at least one pair and a share in (0, 1], got {len(pairs)} pairs and {share}.")
    return float(np.quantile([measure_deviation(align_motions(*pair)).distance for pair in pairs], share))


def is_same(deviation: Deviation, threshold: float = THRESHOLD) -> bool:
    """Whether there is nothing to correct: no part is farther apart than the threshold, and neither pace nor way differs."""
    alignment = deviation.alignment
    calm = abs(np.log(alignment.tempo)) < _TEMPO and np.abs(alignment.lag).max() < _LAG and abs(_travel(alignment)) < _TRAVEL
    return bool(deviation.distance <= threshold and calm)


def describe(deviation: Deviation, threshold: float = THRESHOLD) -> str:
    """One plain sentence of what differs most, from measurements alone.

    Args:
        deviation (`Deviation`): The two motions.
        threshold (`float`, defaults to `THRESHOLD`): Metres below which poses count as the same.

    Returns:
        `str`: Such as `"From 0.4 s to 1.9 s your left hand is 18 cm lower than in the second motion: raise your left arm."`
    """
    alignment = deviation.alignment
    if alignment.mirrored:
        return "The second looks like the mirror image of the first: use the other side of the body."
    if is_same(deviation, threshold):
        return f"There is nothing to correct: everywhere the two motions are closer than {max(100 * threshold, 0.1):.3g} cm."
    if deviation.distance > threshold:
        return _of_part(deviation, deviation.largest)
    return _of_pace(alignment)


def _of_pace(alignment: Alignment) -> str:
    tempo, lag, travel = alignment.tempo, alignment.lag, _travel(alignment)
    if abs(np.log(tempo)) >= _TEMPO:
        slower = tempo > 1
        share = round(100 * (tempo - 1 if slower else 1 - tempo))
        change, way = ("longer", "slow down") if slower else ("less time", "speed up")
        return f"The poses agree, but the second motion takes {share} % {change}: {way}."
    late = int(np.abs(lag).argmax())
    if abs(lag[late]) >= _LAG:
        when, word = late / alignment.source.fps, "later" if lag[late] > 0 else "earlier"
        return f"The poses agree, but around {when:.1f} s the second motion comes {abs(lag[late]):.1f} s {word}: move {word} there."
    word = "farther" if travel > 0 else "less far"
    return f"The poses agree, but the second motion goes {abs(travel):.1f} m {word} over the floor: go {word}."


def _of_part(deviation: Deviation, part: str) -> str:
    span, fps = deviation.span(part), deviation.alignment.source.fps
    when = f"From {span.start / fps:.1f} s to {span.end / fps:.1f} s" if span.end - span.start < len(deviation.joints) else "All the time"
    half = round(_SMOOTHING * fps / 2)
    around = slice(max(0, span.peak - half), span.peak + half + 1)  # as long as deviations are averaged over
    poses = [body_poses(motion)[around].mean(axis=0) for motion in (deviation.alignment.source, deviation.alignment.warped)]
    skeleton = deviation.alignment.source.skeleton
    sides = _SIDES if part.startswith("both") else [side for side in _SIDES if part.startswith(side)]
    if part == "hips":
        heights = [_above_floor(motion)[around].mean() for motion in (deviation.alignment.source, deviation.alignment.warped)]
        return _said(when, "your hips are", np.array([0, heights[1] - heights[0], 0]), ("rise", "go down lower"), "")
    if part.endswith(("leg", "legs")):
        bends = np.mean([[_bend(pose, skeleton, side) for pose in poses] for side in sides], axis=0)
        if abs(bends[1] - bends[0]) > _BEND:
            more, owner = bends[1] > bends[0], _owner(sides, "knee")
            words, do = ("less", f"bend {owner} more") if more else ("more", f"stretch {owner}")
            return f"{when} {owner} {_be(sides)} bent {abs(bends[1] - bends[0]):.0f} degrees {words} than in the second motion: {do}."
    anchor, end, noun = {"arm": ("shoulder", "wrist", "hand"), "leg": ("hip", "ankle", "foot")}.get(
        part.split()[-1].rstrip("s"), ("pelvis", "neck", "shoulders") if part == "torso" else ("neck", "head", "head")
    )
    names = [(f"{side}_{anchor}", f"{side}_{end}", side) for side in sides] or [(anchor, end, "left")]
    moves = [_outward(_reach(poses[1], skeleton, one, two) - _reach(poses[0], skeleton, one, two), side) for one, two, side in names]
    if len(moves) > 1 and np.linalg.norm(np.mean(moves, axis=0)) < _TOGETHER * np.mean(np.linalg.norm(moves, axis=1)):
        farther = int(np.argmax(np.linalg.norm(moves, axis=1)))  # each side has to do something else
        return _of_part(deviation, f"{sides[farther]} {part.split()[-1].rstrip('s')}")
    raised = ("raise", "lower") if part != "torso" else ("straighten", "lower")
    owner = "your shoulders" if noun == "shoulders" else _owner(sides, noun)
    verb = "are" if len(sides) > 1 or noun == "shoulders" else "is"
    limb = "your upper body" if part == "torso" else "your head" if part == "head" else _owner(sides, part.split()[-1].rstrip("s"))
    return _said(when, f"{owner} {verb}", np.mean(moves, axis=0), raised, limb, sided=bool(sides))


def _said(when: str, who: str, move: np.ndarray, up_down: tuple[str, str], limb: str, sided: bool = False) -> str:
    """What to do about a difference `move`, target less source: outward (or left), up, forward."""
    axis = int(np.abs(move).argmax())
    outward = (("too far in", "move {} outward"), ("too far out", "bring {} in"))
    sideways = outward if sided else (("too far right", "move {} to the left"), ("too far left", "move {} to the right"))
    vertical = (("too low", f"{up_down[0]} {{}}"), ("too high", f"{up_down[1]} {{}}"))
    words, do = (sideways, vertical, (("too far back", "bring {} forward"), ("too far forward", "bring {} back")))[axis][
        int(move[axis] < 0)
    ]
    advice = " ".join(do.format(limb).split())
    return f"{when} {who} {100 * abs(move[axis]):.0f} cm {words} compared with the second motion: {advice}."


def _owner(sides: Sequence[str], noun: str) -> str:
    plural = {"foot": "feet"}.get(noun, f"{noun}s")
    return f"both {plural}" if len(sides) > 1 else f"your {sides[0]} {noun}" if sides else f"your {noun}"


def _be(sides: Sequence[str]) -> str:
    return "are" if len(sides) > 1 else "is"


def _reach(pose: np.ndarray, skeleton: Skeleton, anchor: str, end: str) -> np.ndarray:
    return np.asarray(pose[skeleton.joint(end)] - pose[skeleton.joint(anchor)])


def _outward(move: np.ndarray, side: str) -> np.ndarray:
    return move * [1 if side == "left" else -1, 1, 1]


def _bend(pose: np.ndarray, skeleton: Skeleton, side: str) -> float:
    """Degrees that a knee is bent, 0 when straight."""
    hip, knee, ankle = (pose[skeleton.joint(f"{side}_{name}")] for name in ("hip", "knee", "ankle"))
    one, two = ((end - start) / max(float(np.linalg.norm(end - start)), 1e-6) for start, end in pairwise((hip, knee, ankle)))
    return float(np.degrees(np.arccos(np.clip(one @ two, -1, 1))))


def _above_floor(motion: Motion) -> np.ndarray:
    """Height of the pelvis above the lowest joint of the motion, (frames,), metres."""
    return np.asarray(motion.joints[:, 0, 1].astype(np.float64) - float(motion.joints[..., 1].min()))


def _travel(alignment: Alignment) -> float:
    """Metres that the target gets farther from its start than the source."""
    far = [
        float(np.linalg.norm((motion.joints[:, 0] - motion.joints[0, 0])[:, [0, 2]], axis=-1).max())
        for motion in (alignment.source, alignment.target)
    ]
    return far[1] - far[0]


def _smooth(series: np.ndarray, fps: float) -> np.ndarray:
    width = min(max(1, round(_SMOOTHING * fps)) | 1, len(series) - 1 | 1)
    return np.convolve(np.pad(series, width // 2, mode="edge"), np.full(width, 1 / width), mode="valid")
