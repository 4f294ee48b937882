"""What a motion is told to hit: paths on the floor, headings, poses, and places of single joints."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import Motion
from ..skeletons import Skeleton
from ..utils.text import read_text, say

_FASTEST = 8.0
"""Metres a second that a body can be sent; more is warned of."""

_REACH_SPEED = 12.0
"""The same for a hand or a foot."""


@dataclass(frozen=True)
class MotionControl:
    """Where a motion has to be and when.

    Metres, Y up, seconds from the start. The motion begins above the origin and faces +Z, with its left at +X, unless something else is
    asked for: with a path it begins at the path's first point, and with a path or waypoints it goes as its sentence says (forwards,
    backwards, to the side) and faces accordingly; `facing` decides where it is given.

    Args:
        path (sequence, *optional*): The root's way over the floor: points (x, z), passed at even speed over the whole motion, or
            (seconds, x, z). Between points the way is straight.
        waypoints (sequence, *optional*): Points (seconds, x, z) that the root passes; how it gets there is free.
        facing (sequence, *optional*): Headings (seconds, degrees): 0 is +Z, 90 is +X.
        keyframes (sequence, *optional*): Whole poses (seconds, pose): joints (joints, 3) in the world, or a `Motion`, whose first
            frame counts.
        joints (mapping, *optional*): For the name of a joint the places (seconds, x, y, z) that it passes.

    Example:
        >>> MotionControl(path=[(0, 0), (0, 2), (1, 3)], joints={"right_wrist": [(2.0, 0.2, 1.4, 1.5)]}).joints
        {'right_wrist': [(2.0, 0.2, 1.4, 1.5)]}
    """

    path: Sequence[Sequence[float]] | None = None
    waypoints: Sequence[Sequence[float]] | None = None
    facing: Sequence[Sequence[float]] | None = None
    keyframes: Sequence[tuple[float, Any]] | None = None
    joints: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MotionControl:
        """A control from what its JSON file holds.

        Raises:
            ValueError: If it is no object, or has another key than the arguments of this class.
        """
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(values) - set(known)) if isinstance(values, Mapping) else ["no object"]
        if unknown:
            raise ValueError(f"A control has {', '.join(known)}; got {', '.join(map(repr, unknown))}.")
        return cls(**values)

    @classmethod
    def load(cls, path: str | os.PathLike) -> MotionControl:
        """Read a JSON file: an object with the arguments of this class.

        Raises:
            ValueError: If it is no such file; the message names it.
            FileNotFoundError: If there is none.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"No control at {str(path)!r}.")
        try:
            return cls.from_dict(json.loads(read_text(path)))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{str(path)!r} is not a control: {error}") from error


@dataclass(frozen=True, eq=False)
class Targets:
    """A control at the frames of a motion.

    Args:
        places (`numpy.ndarray`): Where joints have to be, (frames, joints, 3) float64, metres, zero where nothing is asked.
        asked (`numpy.ndarray`): Which coordinates are asked, (frames, joints, 3) bool.
        heading (`numpy.ndarray`): Radians, (frames,), zero where nothing is asked.
        turned (`numpy.ndarray`): Frames whose heading is asked, (frames,) bool.
    """

    places: np.ndarray
    asked: np.ndarray
    heading: np.ndarray
    turned: np.ndarray

    def __len__(self) -> int:
        return len(self.turned)

    def errors(self, joints: np.ndarray) -> np.ndarray:
        """Distances in metres by which joints (frames, joints, 3) miss what is asked of them, one for each joint and frame that is."""
        misses = np.linalg.norm((joints - self.places) * self.asked, axis=-1)
        return misses[self.asked.any(axis=-1)]


def compile_control(control: MotionControl, frames: int, fps: float, skeleton: Skeleton) -> Targets:
    """The control at each frame.

    Args:
        control (`MotionControl`): What is asked.
        frames (`int`): Frames of the motion.
        fps (`float`): Their rate.
        skeleton (`Skeleton`): The motion's.

    Raises:
        ValueError: If there is nothing in it, a time is outside of the motion, a joint does not exist, a thing is asked twice at one frame,
            or a number is NaN; the message names the item.
    """
    if not isinstance(control, MotionControl):
        raise ValueError(f"control must be a MotionControl, or a list with one per prompt; got {type(control).__name__}.")
    builder = _Builder(frames, fps, skeleton)
    if control.path is not None:
        builder.path(control.path)
    for point in control.waypoints or ():
        seconds, x, z = builder.numbers("waypoints", point, 3)
        builder.put("waypoints", 0, seconds, (x, None, z))
    for turn in control.facing or ():
        seconds, degrees = builder.numbers("facing", turn, 2)
        builder.face(seconds, math.radians(degrees))
    for item in control.keyframes or ():
        builder.pose(item)
    for name, points in (control.joints or {}).items():
        if name not in skeleton.joint_names:
            raise ValueError(f"There is no joint {name!r} to control. Joints of {skeleton.name!r}: {', '.join(skeleton.joint_names)}.")
        for point in points:
            seconds, x, y, z = builder.numbers(f"joints[{name!r}]", point, 4)
            builder.put(f"joints[{name!r}]", skeleton.joint(name), seconds, (x, y, z))
    return builder.targets()


class _Builder:
    def __init__(self, frames: int, fps: float, skeleton: Skeleton) -> None:
        self.frames, self.fps, self.skeleton = frames, fps, skeleton
        self.places = np.zeros((frames, len(skeleton), 3))
        self.asked = np.zeros((frames, len(skeleton), 3), bool)
        self.heading, self.turned = np.zeros(frames), np.zeros(frames, bool)

    def numbers(self, name: str, item: Any, count: int) -> list[float]:
        try:
            values = [float(value) for value in item]
        except (TypeError, ValueError):
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            raise ValueError(f"{name} holds {item!r}; expected {count} finite numbers, the first of them seconds.")
        return values

    def frame(self, name: str, seconds: float) -> int:
        frame = round(seconds * self.fps)
        if not 0 <= frame < self.frames:
            last = (self.frames - 1) / self.fps
            raise ValueError(f"{name} asks for {seconds:g} s; the motion goes from 0 to {last:g} s. Make it longer, or ask earlier.")
        return frame

    def put(self, name: str, joint: int, seconds: float, place: Sequence[float | None]) -> None:
        frame = self.frame(name, seconds)
        wanted = np.array([value is not None for value in place])
        if (self.asked[frame, joint] & wanted).any():
            raise ValueError(
                f"{name} asks for a second place of {self.skeleton.joint_names[joint]!r} at {seconds:g} s (frame {frame}). Leave one out."
            )
        self.places[frame, joint, wanted] = [value for value in place if value is not None]
        self.asked[frame, joint] |= wanted

    def face(self, seconds: float, angle: float) -> None:
        frame = self.frame("facing", seconds)
        if self.turned[frame]:
            raise ValueError(f"facing asks for a second heading at {seconds:g} s (frame {frame}). Leave one out.")
        self.heading[frame], self.turned[frame] = angle, True

    def path(self, points: Sequence[Sequence[float]]) -> None:
        points = list(points)
        if len(points) < 2:
            raise ValueError(f"path has {len(points)} points; a way needs two. A single place is a waypoint.")
        timed = len(points[0]) == 3
        values = np.array([self.numbers("path", point, 3 if timed else 2) for point in points])
        steps = np.linalg.norm(np.diff(values[:, -2:], axis=0), axis=-1)
        if timed:
            frames = np.array([self.frame("path", seconds) for seconds in values[:, 0]])
            if (np.diff(frames) <= 0).any():
                raise ValueError("path goes back in time, or passes two points at one frame; give its points in their order.")
        elif steps.sum() < 1e-6:
            raise ValueError("path does not go anywhere; a single place is a waypoint.")
        else:
            frames = np.concatenate(([0], np.cumsum(steps))) / steps.sum() * (self.frames - 1)
        at = np.arange(math.ceil(frames[0]), math.floor(frames[-1] + 1e-9) + 1)
        for axis, column in ((0, -2), (2, -1)):
            self.places[at, 0, axis] = np.interp(at, frames, values[:, column])
            self.asked[at, 0, axis] = True

    def pose(self, item: Any) -> None:
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise ValueError(f"keyframes holds {type(item).__name__}; expected (seconds, pose).")
        (seconds,) = self.numbers("keyframes", item[:1], 1)
        pose = item[1].joints[0] if isinstance(item[1], Motion) else np.asarray(item[1], dtype=float)
        if pose.shape != (len(self.skeleton), 3):
            raise ValueError(
                f"The keyframe at {seconds:g} s has shape {pose.shape}; expected the {len(self.skeleton)} joints, each with 3."
            )
        if not np.isfinite(pose).all():
            raise ValueError(f"The keyframe at {seconds:g} s holds NaN or infinity.")
        for joint, place in enumerate(pose):
            self.put("keyframes", joint, seconds, place)
        right_hip, left_hip, right_shoulder, left_shoulder = pose[list(self.skeleton.facing)]
        across = right_hip - left_hip + right_shoulder - left_shoulder
        if not self.turned[self.frame("keyframes", seconds)]:
            self.face(seconds, math.atan2(across[2], -across[0]))

    def targets(self) -> Targets:
        if not (self.asked.any() or self.turned.any()):
            raise ValueError("The control asks for nothing: give it a path, waypoints, facing, keyframes or joints, or leave it out.")
        for joint in np.flatnonzero(self.asked.any(axis=(0, 2))):
            whole = self.asked[:, joint, [0, 2]].all(axis=-1)
            frames = np.flatnonzero(whole)
            if len(frames) < 2:
                continue
            asked = self.asked[frames, joint]
            way = np.linalg.norm(np.diff(self.places[frames, joint], axis=0) * (asked[1:] & asked[:-1]), axis=-1)
            speeds = way / (np.diff(frames) / self.fps)
            if speeds.max() > (_FASTEST if not joint else _REACH_SPEED):
                first = frames[speeds.argmax()] / self.fps
                say(
                    f"The control sends {self.skeleton.joint_names[joint]!r} at {speeds.max():.1f} m/s after {first:g} s, faster than a "
                    "person; it will slide or jump. Give it more time, or a nearer place.",
                    "controls are faster than a person",
                )
        return Targets(self.places, self.asked, self.heading, self.turned)
