"""`hf-motion data check`: what is wrong with a data set, clip by clip and as a whole."""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..skeletons import Skeleton, get_skeleton
from ..utils.extras import require
from .check_faces import judge_face, measure_face
from .check_hands import measure_hands
from .face_columns import face_of_row
from .motion_text import load_motion_rows
from .sources.rows import plain_value

_ROWS = 64
_POSES = 8
# One frame in so many is remembered for finding copies; which ones depends on what they show, so that a part finds its whole.
_SAMPLED = 8
_ONE_HAND = re.compile(r"\b(left|right) (?:hand|arm)\b", re.IGNORECASE)
_TURN = re.compile(r"\bturn(?:s|ing)?(?: to the)? (left|right)\b|\b(left|right) turn\b", re.IGNORECASE)

KINDS = {
    "unreadable": "numbers that do not fit together",
    "nan": "NaN or infinity",
    "no_caption": "no caption",
    "short": "shorter than the shortest that loaders take",
    "long": "longer than the longest that loaders take",
    "jump": "a joint moves faster than a body can, or leaps for one frame",
    "below_floor": "a joint is below the floor",
    "floating": "off the floor all the time, or far off it half of the time",
    "skating": "feet slide along the floor",
    "toes": "a foot points backward on its leg",
    "bones": "a bone changes its length",
    "finger_jump": "a finger moves faster than a hand can, or leaps for one frame",
    "frozen_hands": "no finger moves against its hand",
    "backward_fingers": "a finger bends toward the back of the hand",
    "sides": "the other side moves than the caption says",
    "face_frozen": "nothing in the face changes for a long time",
    "face_jump": "the face leaps for one frame",
    "face_range": "coefficients of the face are beyond what they can be",
    "duplicate_id": "an id that another row has",
    "duplicate_clip": "the same motion as another row",
    "overlap": "frames of another take",
    "straddle": "its take is in another split too, or its motion is",
    "repeated_caption": "the same caption twice in one clip",
}


@dataclass(frozen=True)
class CheckSettings:
    """Limits beyond which a clip is reported.

    Args:
        min_frames (`int`, defaults to 40): Shortest clip that the published loaders take, at 20 fps.
        max_frames (`int`, defaults to 200): Clips must be shorter than this.
        speed (`float`, defaults to 20.0): Metres per second that no joint reaches.
        leap (`float`, defaults to 0.2): Metres off its course that a joint is in one frame and in none around it.
        below (`float`, defaults to 0.02): Metres below the floor (y = 0).
        above (`float`, defaults to 0.05): Metres above the floor that a clip's lowest joint may keep.
        hover (`float`, defaults to 0.25): Metres above the floor in half of the frames.
        skating (`float`, defaults to 0.3): Share of frames in which a planted foot slides faster than 0.5 m/s.
        toes (`float`, defaults to 0.5): Share of frames in which a foot points backward on its leg.
        bones (`float`, defaults to 0.1): Change of a bone's length, as a share of its median.
        face_still (`float`, defaults to 2.0): Seconds in which no coefficient of a face changes.
        face_jump (`float`, defaults to 0.2): How far a face is off its course in one frame, root mean square over coefficients that go
            from 0 to 1; three times as far for FLAME.
        face_range (`float`, defaults to 0.01): Share of the coefficients that are out of range.
        finger_speed (`float`, defaults to 8.0): Metres per second that no joint of a finger reaches against its palm.
        finger_leap (`float`, defaults to 0.05): Metres off its course that such a joint is in one frame and in none around it.
        frozen (`float`, defaults to 0.001): Metres by which the distances within a hand change at least.
        backward (`float`, defaults to 0.05): Share of frames in which a finger bends back by more than 30 degrees.
        skeleton (`str`, defaults to `"humanml3d-22"`): Skeleton of rows that do not say theirs.
    """

    min_frames: int = 40
    max_frames: int = 200
    speed: float = 20.0
    leap: float = 0.2
    below: float = 0.02
    above: float = 0.05
    hover: float = 0.25
    skating: float = 0.3
    toes: float = 0.5
    bones: float = 0.1
    face_still: float = 2.0
    face_jump: float = 0.2
    face_range: float = 0.01
    finger_speed: float = 8.0
    finger_leap: float = 0.05
    frozen: float = 0.001
    backward: float = 0.05
    skeleton: str = "humanml3d-22"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one row.

    Args:
        kind (`str`): A key of `KINDS`.
        id (`str`): The row.
        detail (`str`): What exactly.
        value (`float`): How bad, greater is worse.
    """

    kind: str
    id: str
    detail: str
    value: float = 1.0


@dataclass
class CheckReport:
    """What a check found.

    Args:
        source (`str`): The data set.
        clips (`int`): Rows.
        seconds (`float`): Length of all.
        splits (`dict[str, int]`): Rows per split.
        captions (`int`): Captions.
        unique_captions (`int`): Different ones.
        common_captions (`list[tuple[str, int]]`): Those of most clips.
        findings (`list[Finding]`): In the order of the rows.
        values (`dict[str, list[float]]`): A measure per clip, for the plots.
        worst (`dict[str, list[tuple[Finding, numpy.ndarray]]]`): The worst clips of each kind and poses of them.
        skeleton (`str`): Skeleton of those poses.
    """

    source: str
    clips: int = 0
    seconds: float = 0.0
    splits: Counter = field(default_factory=Counter)
    captions: int = 0
    unique_captions: int = 0
    common_captions: list[tuple[str, int]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    worst: dict[str, list[tuple[Finding, np.ndarray]]] = field(default_factory=dict)
    skeleton: str = "humanml3d-22"

    @property
    def counts(self) -> dict[str, int]:
        """Rows per kind of finding, in the order of `KINDS`."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS if found[kind]}


def check_dataset(source: str, split: str | None = None, settings: CheckSettings | None = None, show_progress: bool = True) -> CheckReport:
    """Look at every row of a data set.

    Args:
        source (`str`): Parquet file, folder of them, or data set on the Hub, as for training.
        split (`str`, *optional*): Look at one split only. Clips that straddle splits are then not found.
        settings (`CheckSettings`, *optional*): Limits.
        show_progress (`bool`, defaults to `True`): Show a progress bar.

    Returns:
        `CheckReport`: Findings and measures. Memory grows by a few numbers per clip, not with the frames.

    Raises:
        ValueError: As `load_motion_rows`.
    """
    rows = _rows(source, split)
    checker = _Checker(source, settings or CheckSettings())
    for row in tqdm(_plain_rows(rows), total=len(rows), desc="Checking", unit="clip", disable=not show_progress):
        checker.look_at(row)
    return checker.finished()


def _rows(source: str, split: str | None) -> Any:
    """Rows of one split or, from the Hub too, of all."""
    if split is not None or Path(source).exists():
        rows = load_motion_rows(source, split)
    else:
        datasets = require("datasets", "Reading data sets")
        rows = datasets.concatenate_datasets([load_motion_rows(source, name) for name in datasets.get_dataset_split_names(source)])
    return rows.remove_columns([name for name in rows.column_names if name == "features"])


def _plain_rows(rows: Any) -> Iterator[dict[str, Any]]:
    for table in rows.with_format("arrow").iter(_ROWS):
        for index in range(table.num_rows):
            yield {name: plain_value(table[name][index]) for name in table.column_names}


class _Checker:
    def __init__(self, source: str, settings: CheckSettings) -> None:
        self.settings = settings
        self.report = CheckReport(source, skeleton=settings.skeleton)
        self.texts: Counter[str] = Counter()
        self.ids: set[str] = set()
        self.takes: dict[str, set[str]] = defaultdict(set)
        self.rows_of_takes: dict[str, list[str]] = defaultdict(list)
        # Name, take, split and length of the first clip with this motion, and of the first with this frame.
        self.clips: dict[int, tuple[str, str, str, int]] = {}
        self.frames: dict[int, tuple[str, str, str, int]] = {}
        self.heaps: dict[str, list[tuple[float, int, Finding, np.ndarray]]] = defaultdict(list)

    def look_at(self, row: dict[str, Any]) -> None:
        """Add one row."""
        report, name, split = self.report, row["id"], row.get("split") or ""
        report.clips += 1
        report.splits[split or "(none)"] += 1
        if name in self.ids:
            self._found("duplicate_id", name, "the id is not unique")
        self.ids.add(name)
        take = row.get("take") or name
        self.takes[take].add(split)
        self.rows_of_takes[take].append(name)
        texts = self._captions(row)
        joints = self._joints(row)
        if joints is None:
            return
        skeleton, fps = get_skeleton(row.get("skeleton") or self.settings.skeleton), float(row["fps"])
        report.skeleton = skeleton.name
        report.seconds += len(joints) / fps
        self._lengths(name, joints, fps)
        self._copies(name, take, split, joints)
        measures = measure(joints, fps, skeleton) | measure_hands(joints, fps, skeleton)
        for kind, value in measures.items():
            report.values[kind].append(value)
        for finding in _judge(name, measures, texts, joints, skeleton, self.settings):
            self._add(finding, joints)
        self._face(row, joints, fps)

    def finished(self) -> CheckReport:
        """The report, with what only all rows together show."""
        report = self.report
        for take, splits in self.takes.items():
            if len(splits) > 1:
                for name in self.rows_of_takes[take]:
                    self._found("straddle", name, f"take {take!r} is in {' and '.join(sorted(splits))}")
        report.unique_captions = len(self.texts)
        report.common_captions = self.texts.most_common(10)
        report.worst = {kind: [(item[2], item[3]) for item in sorted(heap, key=lambda item: -item[0])] for kind, heap in self.heaps.items()}
        return report

    def _found(self, kind: str, name: str, detail: str, value: float = 1.0) -> None:
        self.report.findings.append(Finding(kind, name, detail, value))

    def _add(self, finding: Finding, joints: np.ndarray) -> None:
        self.report.findings.append(finding)
        heap = self.heaps[finding.kind]
        poses = joints[np.linspace(0, len(joints) - 1, _POSES).round().astype(int)]
        entry = (finding.value, len(self.report.findings), finding, poses)
        if len(heap) < 3:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)

    def _captions(self, row: dict[str, Any]) -> list[str]:
        texts = [record["text"].strip() for record in row["captions"] or () if record and (record.get("text") or "").strip()]
        self.report.captions += len(texts)
        self.texts.update(set(texts))
        if not texts:
            self._found("no_caption", row["id"], "no caption")
        repeated = [text for text, count in Counter(texts).items() if count > 1]
        if repeated:
            self._found("repeated_caption", row["id"], repr(repeated[0]))
        return texts

    def _joints(self, row: dict[str, Any]) -> np.ndarray | None:
        skeleton = row.get("skeleton") or self.settings.skeleton
        try:
            shape = (row["n_frames"], len(get_skeleton(skeleton)), 3)
            joints = np.asarray(row["joints"], np.float32)
            if not shape[0] or not row["fps"] > 0:
                raise ValueError(f"{shape[0]} frames at {row['fps']} fps")
            if joints.size != np.prod(shape):
                raise ValueError(f"{joints.size} numbers for {shape[0]} frames of {shape[1]} joints")
        except (TypeError, ValueError) as error:
            self._found("unreadable", row["id"], str(error))
            return None
        joints = joints.reshape(shape)
        broken = int((~np.isfinite(joints)).any(axis=(1, 2)).sum())
        if broken:
            self._found("nan", row["id"], f"{broken} of {shape[0]} frames", broken)
            return None
        return joints

    def _face(self, row: dict[str, Any], joints: np.ndarray, fps: float) -> None:
        try:
            face = face_of_row(row)
        except (TypeError, ValueError) as error:
            self._found("unreadable", row["id"], str(error))
            return
        if face is None:
            return
        measures, limits = measure_face(face, fps), self.settings
        for kind, value in measures.items():
            self.report.values[kind].append(value)
        for kind, detail, value in judge_face(measures, face, limits.face_still, limits.face_jump, limits.face_range):
            self._add(Finding(kind, row["id"], detail, value), joints)

    def _lengths(self, name: str, joints: np.ndarray, fps: float) -> None:
        frames = len(joints) * 20 / fps
        self.report.values["frames"].append(frames)
        if frames < self.settings.min_frames:
            self._found("short", name, f"{len(joints)} frames at {fps:g} fps", self.settings.min_frames - frames)
        elif frames >= self.settings.max_frames:
            self._found("long", name, f"{len(joints)} frames at {fps:g} fps", frames)

    def _copies(self, name: str, take: str, split: str, joints: np.ndarray) -> None:
        """Clips and parts of clips that were seen before, wherever they stand."""
        hashes = pose_hashes(joints)
        sampled = {key for key in hashes if key % _SAMPLED == 0}
        matches = Counter(self.frames[key] for key in sampled if key in self.frames)
        exact = self.clips.setdefault(hash(tuple(hashes)), (name, take, split, len(joints)))
        other, shared = (exact, len(sampled)) if exact[0] != name else matches.most_common(1)[0] if matches else (exact, 0)
        for key in sampled:
            self.frames.setdefault(key, (name, take, split, len(joints)))
        if other[0] == name or (exact[0] == name and shared < max(2, len(sampled) / 2)):
            return
        if other[3] == len(joints):
            self._found("duplicate_clip", name, f"the same motion as {other[0]!r}")
        elif other[1] != take:
            self._found("overlap", name, f"shares frames with {other[0]!r} of take {other[1]!r}", shared / len(sampled))
        if other[1] != take and other[2] != split:
            self._found("straddle", name, f"shows the same motion as {other[0]!r} of {other[2]}")


def pose_hashes(joints: np.ndarray) -> list[int]:
    """A number per frame that is the same for the same pose, to two millimetres, wherever on the floor it stands."""
    poses = joints - joints[:, :1] * np.array([1, 0, 1], np.float32)
    poses = np.round(poses.reshape(len(joints), -1) * 500).astype(np.int64).astype(np.uint64)
    factors = np.random.default_rng(0).integers(2**63, size=poses.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    with np.errstate(over="ignore"):
        return ((poses * factors).sum(1, dtype=np.uint64) >> np.uint64(16)).tolist()


def measure(joints: np.ndarray, fps: float, skeleton: Skeleton) -> dict[str, float]:
    """Measures of a clip.

    Args:
        joints (`numpy.ndarray`): (frames, joints, 3), metres, Y up, floor at y = 0.
        fps (`float`): Frames per second.
        skeleton (`Skeleton`): With hips, knees, ankles and feet called as in `humanml3d-22`.

    Returns:
        `dict[str, float]`: `speed` (fastest joint, m/s), `leap` (farthest that a joint is off its course in one frame alone, m), `lowest`
        (lowest joint, m), `hover` (median over the frames of the lowest joint, m), `skating` (share of frames), `toes` (share of frames in
        which the worse foot points backward on its leg), `bones` (largest change of a bone over its median).
    """
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
    # How far each joint is from the middle between where it was and where it will be, against two frames before and after.
    off = np.linalg.norm(joints[1:-1] - (joints[:-2] + joints[2:]) / 2, axis=-1)
    off = np.pad(off, ((2, 2), (0, 0)))
    leaps = np.where(off[2:-2] > 4 * np.maximum(off[:-4], off[4:]), off[2:-2], 0)
    lowest = joints[..., 1].min(1)
    parents, children = zip(*skeleton.bones, strict=True)
    lengths = np.linalg.norm(joints[:, list(children)] - joints[:, list(parents)], axis=-1)
    low, middle, high = np.percentile(lengths, [1, 50, 99], axis=0)
    return {
        "speed": float(steps.max() * fps) if len(steps) else 0.0,
        "leap": float(leaps.max(initial=0)),
        "lowest": float(lowest.min()),
        "hover": float(np.median(lowest)),
        "skating": _skating(joints, fps, skeleton),
        "toes": float((_forwardness(joints, skeleton) < 0).mean(0).max()),
        "bones": float(((high - low) / np.maximum(middle, 1e-3))[middle > 0.02].max(initial=0)),
    }


def _skating(joints: np.ndarray, fps: float, skeleton: Skeleton) -> float:
    """Share of frames in which a toe at its lowest level moves along the floor."""
    if len(joints) < 2:
        return 0.0
    toes = joints[:, [skeleton.joint("left_foot"), skeleton.joint("right_foot")]]
    planted = toes[..., 1] < toes[..., 1].min(0) + 0.02
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * fps
    return float((planted[:-1] & planted[1:] & (speed > 0.5)).any(1).mean())


def _forwardness(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Cosine between each foot and what is forward for its shin, (frames, 2).

    Forward is at a right angle to the shin and to the line through the hips. A leg that swings back in a run lifts its foot behind the
    body, toes down or back; measured against the walking direction it would look flipped.
    """
    left = _unit(joints[:, skeleton.joint("left_hip")] - joints[:, skeleton.joint("right_hip")])
    cosines = []
    for side in ("left", "right"):
        knee, ankle, foot = (joints[:, skeleton.joint(f"{side}_{part}")] for part in ("knee", "ankle", "foot"))
        forward = _unit(np.cross(_unit(ankle - knee), left))
        cosines.append((_unit(foot - ankle) * forward).sum(-1))
    return np.stack(cosines, axis=-1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _judge(
    name: str, measures: dict[str, float], texts: list[str], joints: np.ndarray, skeleton: Skeleton, limits: CheckSettings
) -> Iterator[Finding]:
    if measures["speed"] > limits.speed:
        yield Finding("jump", name, f"a joint moves at {measures['speed']:.1f} m/s", measures["speed"])
    elif measures["leap"] > limits.leap:
        yield Finding("jump", name, f"a joint is {100 * measures['leap']:.0f} cm off its course in one frame", measures["leap"])
    if measures["lowest"] < -limits.below:
        yield Finding("below_floor", name, f"{-100 * measures['lowest']:.1f} cm below the floor", -measures["lowest"])
    if measures["lowest"] > limits.above:
        yield Finding("floating", name, f"never closer to the floor than {100 * measures['lowest']:.0f} cm", measures["lowest"])
    elif measures["hover"] > limits.hover:
        yield Finding("floating", name, f"half of the time {100 * measures['hover']:.0f} cm above the floor or more", measures["hover"])
    if measures["skating"] > limits.skating:
        yield Finding("skating", name, f"feet slide in {100 * measures['skating']:.0f} % of the frames", measures["skating"])
    if measures["toes"] > limits.toes:
        yield Finding("toes", name, f"a foot points backward in {100 * measures['toes']:.0f} % of the frames", measures["toes"])
    if measures["bones"] > limits.bones:
        yield Finding("bones", name, f"a bone changes by {100 * measures['bones']:.0f} %", measures["bones"])
    yield from _judge_hands(name, measures, limits)
    detail = wrong_side(texts, joints, skeleton)
    if detail:
        yield Finding("sides", name, detail)


def _judge_hands(name: str, measures: dict[str, float], limits: CheckSettings) -> Iterator[Finding]:
    if "finger_travel" not in measures:
        return
    speed, leap, share = measures["finger_speed"], measures["finger_leap"], measures["backward"]
    if speed > limits.finger_speed:
        yield Finding("finger_jump", name, f"a finger moves at {speed:.1f} m/s against its palm", speed)
    elif leap > limits.finger_leap:
        yield Finding("finger_jump", name, f"a finger is {100 * leap:.1f} cm off its course in one frame", leap)
    if measures["finger_travel"] < limits.frozen:
        yield Finding("frozen_hands", name, f"no finger moves by {1000 * limits.frozen:.1f} mm against its hand")
    if share > limits.backward:
        yield Finding("backward_fingers", name, f"a finger bends back in {100 * share:.0f} % of the frames", share)


def wrong_side(texts: list[str], joints: np.ndarray, skeleton: Skeleton) -> str | None:
    """What contradicts the sides in the captions, if all of them name one side and the motion clearly shows the other.

    A hand is told by which wrist travels farther about the chest, a turn by the change of heading from the first to the last frame.

    Args:
        texts (`list[str]`): Captions.
        joints (`numpy.ndarray`): (frames, joints, 3).
        skeleton (`Skeleton`): Their skeleton.

    Returns:
        `str` or None: What the motion shows.
    """
    hands, turns = _sides(_ONE_HAND, texts), _sides(_TURN, texts)
    if len(hands) == 1:
        side = hands.pop()
        chest = (joints[:, skeleton.joint("left_shoulder")] + joints[:, skeleton.joint("right_shoulder")]) / 2
        wrists = {name: joints[:, skeleton.joint(f"{name}_wrist")] - chest for name in ("left", "right")}
        travels = {name: np.linalg.norm(np.diff(path, axis=0), axis=-1).sum() for name, path in wrists.items()}
        other = "right" if side == "left" else "left"
        if travels[other] > 2 * travels[side] and travels[other] > 0.5:
            return f"captions name the {side} hand, the {other} one moves {travels[other] / max(travels[side], 1e-3):.1f} times as far"
    if len(turns) == 1:
        side = turns.pop()
        left = joints[:, skeleton.joint("left_hip")] - joints[:, skeleton.joint("right_hip")]
        heading = np.unwrap(np.arctan2(-left[:, 2], left[:, 0]))
        angle = np.degrees(heading[-1] - heading[0])
        if (angle if side == "left" else -angle) < -30:
            return f"captions say {side}, the body turns {abs(angle):.0f} degrees to the {'right' if side == 'left' else 'left'}"
    return None


def _sides(pattern: re.Pattern[str], texts: list[str]) -> set[str]:
    """The sides that a pattern's groups find in captions."""
    return {word.lower() for text in texts for match in pattern.finditer(text) for word in match.groups() if word}
