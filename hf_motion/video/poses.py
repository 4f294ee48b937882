"""From a video to one person's keypoints: a detector, the person who matters, and a file beside the video that remembers them."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from .frames import Video, VideoFrames, open_video, read_frames
from .keypoints import Keypoints, load_keypoints, to_h36m

logger = logging.getLogger(__name__)

_LEAST_OVERLAP = 0.1
_UNSEEN = 0.05


@runtime_checkable
class PoseDetector(Protocol):
    """What finds people in frames: `BlazePoseDetector`, `VitPoseDetector`, or anything that has these three."""

    layout: str
    """Order of its keypoints, one of `hf_motion.video.keypoints.LAYOUTS`."""

    @property
    def name(self) -> str:
        """Says which detector with which weights and settings: another name means other keypoints."""
        ...

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """People in each of (n, height, width, 3) uint8 frames: (people, joints, 3) float32, x and y in pixels and confidence."""
        ...


def read_keypoints(
    video: Video, detector: PoseDetector, num_frames: int | None = 16, sampling: str = "uniform", *, cache: bool = True
) -> Keypoints:
    """Keypoints of the person who matters in a video, see `main_person`.

    They are remembered in `<video>.keypoints.npz` beside it and found there again as long as file, detector and sampling are the same. A
    folder that cannot be written to is said in a log line, once for each video. An `.npz` file of keypoints stands for its video.

    Args:
        video (`str`, `os.PathLike`, `bytes` or `Mapping`): As for `read_frames`; only a file's keypoints are remembered.
        detector (`PoseDetector`): What finds people.
        num_frames (`int`, *optional*, defaults to 16): As for `read_frames`.
        sampling (`str`, defaults to `"uniform"`): As for `read_frames`.
        cache (`bool`, defaults to `True`): Look for the file, and write it.

    Returns:
        `Keypoints`: One entry for each frame; where nobody is found, zeros.

    Raises:
        ValueError: As `read_frames`.
        FileNotFoundError: If there is no such file.
    """
    content, _ = open_video(video)
    if isinstance(content, Path) and content.suffix.lower() == ".npz":
        return load_keypoints(content)[0].sample(num_frames, sampling)
    beside = content.with_name(f"{content.name}.keypoints.npz") if cache and isinstance(content, Path) else None
    key = {}
    if beside is not None:
        key = {"sha1": video_digest(video), "num_frames": num_frames, "sampling": sampling}
        with suppress(FileNotFoundError, ValueError):
            known, about = load_keypoints(beside)
            if known.detector == detector.name and all(about.get(name) == value for name, value in key.items()):
                return known
    keypoints = keypoints_of(read_frames(video, num_frames, sampling), detector)
    if beside is not None:
        try:
            keypoints.save(beside, **key)
        except OSError as error:
            logger.warning("Keypoints are not remembered: %s", error)
    return keypoints


def keypoints_of(read: VideoFrames, detector: PoseDetector) -> Keypoints:
    """Keypoints of the person who matters in frames that were read.

    Args:
        read (`VideoFrames`): Frames.
        detector (`PoseDetector`): What finds people.
    """
    people = detector(read.frames)
    points = main_person([to_h36m(found, detector.layout) for found in people])
    height, width = read.frames.shape[1:3]
    counts = np.array([len(found) for found in people])
    return Keypoints(points, read.times, (width, height), counts, detector.name, read.duration)


def video_digest(video: Video) -> str:
    """sha1 of a video's bytes, in hexadecimal.

    Args:
        video (`str`, `os.PathLike`, `bytes` or `Mapping`): As for `read_frames`.
    """
    content, _ = open_video(video)
    if isinstance(content, bytes):
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()


@dataclass
class _Track:
    """One person over time."""

    points: dict[int, np.ndarray]
    box: np.ndarray
    weight: float


def main_person(people: list[np.ndarray]) -> np.ndarray:
    """Follow everybody from frame to frame and keep the one who is seen longest, largest and best.

    Detections of consecutive frames are one person where their boxes overlap most. Who matters is decided by height times confidence,
    summed over frames.

    Args:
        people (`list[numpy.ndarray]`): (people, 17, 3) for each frame: x, y, confidence.

    Returns:
        `numpy.ndarray`: (frames, 17, 3) float32, zeros where that person is not.

    Example:
        >>> main_person([np.zeros((0, 17, 3)), np.ones((1, 17, 3))])[:, 0].tolist()
        [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    tracks: list[_Track] = []
    for frame, found in enumerate(people):
        boxes = [_box(person) for person in found]
        pairs = [(_overlap(track.box, box), at, index) for at, track in enumerate(tracks) for index, box in enumerate(boxes)]
        followed: dict[int, int] = {}
        for overlap, at, index in sorted(pairs, reverse=True):
            if overlap >= _LEAST_OVERLAP and at not in followed.values() and index not in followed:
                followed[index] = at
        for index, (person, box) in enumerate(zip(found, boxes, strict=True)):
            weight = float((box[3] - box[1]) * person[:, 2].mean())
            if index in followed:
                track = tracks[followed[index]]
                track.points[frame], track.box, track.weight = person, box, track.weight + weight
            else:
                tracks.append(_Track({frame: person}, box, weight))
    result = np.zeros((len(people), 17, 3), dtype=np.float32)
    if tracks:
        for frame, person in max(tracks, key=lambda track: track.weight).points.items():
            result[frame] = person
    return result


def _box(person: np.ndarray) -> np.ndarray:
    seen = person[person[:, 2] > _UNSEEN]
    seen = seen if len(seen) else person
    return np.concatenate([seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)])


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    union = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - common
    return common / union if union > 0 else float(np.array_equal(first, second))
