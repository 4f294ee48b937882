"""A face that was recorded by itself, and how it is put onto a body by time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from ...face import Face
from ...motion import Motion, check_fps
from ...utils.limits import check_face

logger = logging.getLogger("hf_motion")
# Share of a frame that times may be off before a note says so.
_CLOSE = 0.5
# Seconds without a frame that are not filled in any more.
_LONGEST_GAP = 10.0


@dataclass(frozen=True)
class FaceClip:
    """What a file of a face holds.

    Args:
        face (`Face`): The coefficients.
        fps (`float`): Frames per second.
        start (`float`, defaults to 0.0): Time of the first frame as the file counts it, seconds; Live Link Face writes the time of day.
        notes (`tuple[str, ...]`): What was filled in, guessed or left out, in sentences; `read_face` gives them to the logger `hf_motion`.
    """

    face: Face
    fps: float
    start: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.face) / self.fps


def attach_face(motion: Motion, clip: FaceClip, *, offset: float = 0.0) -> Motion:
    """The motion with a face that was recorded beside it.

    Both begin together, unless `offset` says otherwise; the face is interpolated at the times of the body's frames. Where one is longer
    than the other, the face is cut, or its first or last frame is held, which a warning says.

    Args:
        motion (`Motion`): The body.
        clip (`FaceClip`): The face, as `read_face` returns it.
        offset (`float`, defaults to 0.0): Seconds from the body's first frame to the face's, negative if the face began before.

    Returns:
        `Motion`: With a face of as many frames as it has.

    Raises:
        ValueError: If the two do not overlap in time.

    Example:
    >>> import numpy as np
    >>> from hf_motion import Face, Motion
    >>> from hf_motion.formats.faces import FaceClip, attach_face
    >>> face = Face(np.linspace(0, 1, 61)[:, None], ["jawOpen"])
    >>> attach_face(Motion(np.zeros((21, 22, 3)), fps=20), FaceClip(face, 60)).face["jawOpen"][10].round(3)
    np.float32(0.5)
    """
    made, facts = aligned(motion, clip, offset)
    if facts:
        logger.warning("The face of %d frames is put onto a body of %d by time: %s.", len(clip.face), len(motion), facts)
    return made


def aligned(motion: Motion, clip: FaceClip, offset: float = 0.0) -> tuple[Motion, str]:
    """What `attach_face` returns, and what is to be said about it, if anything."""
    last, end = (len(motion) - 1) / motion.fps, offset + (len(clip.face) - 1) / clip.fps
    if not np.isfinite(offset) or offset > last or end < 0:
        raise ValueError(
            f"The face lasts from {offset:.2f} s to {end:.2f} s of a body of {last:.2f} s: they do not overlap. Say with offset= "
            "(--face-offset) how many seconds after the body the face begins."
        )
    facts = []
    if clip.fps != motion.fps:
        facts.append(f"resampled from {clip.fps:g} to {motion.fps:g} fps")
    step = _CLOSE / motion.fps + 0.5 / clip.fps
    if offset > step:
        facts.append(f"its first frame held for {offset:.2f} s at the start")
    elif offset < -step:
        facts.append(f"its first {-offset:.2f} s left out")
    if end < last - step:
        facts.append(f"its last frame held for {last - end:.2f} s at the end")
    elif end > last + step:
        facts.append(f"its last {end - last:.2f} s left out")
    face = clip.face.at((np.arange(len(motion)) / motion.fps - offset) * clip.fps)
    return replace(motion, face=face), ", ".join(facts)


def on_grid(times: np.ndarray, values: np.ndarray, fps: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values at equal distances in time, where a recorder lost frames.

    Args:
        times (`numpy.ndarray`): (frames,) seconds, rising.
        values (`numpy.ndarray`): (frames, coefficients).
        fps (`float`): Frames per second of the recorder.

    Returns:
        `tuple[numpy.ndarray, tuple[str, ...]]`: Values, as they are where no frame is missing, and what to say.

    Raises:
        ValueError: If a gap is longer than ten seconds, or there would be too many frames.
    """
    leaps = np.diff(times)
    if len(leaps) and leaps.max() > _LONGEST_GAP:
        raise ValueError(f"its times leap by {leaps.max():.1f} s after frame {int(leaps.argmax())}; cut the file there.")
    places = (times - times[0]) * fps
    count = round(float(places[-1])) + 1
    if count == len(places) and np.abs(places - np.arange(count)).max() < 1:
        return values, ()
    check_face(count, values.shape[1])
    filled = np.stack([np.interp(np.arange(count), places, column) for column in values.T], axis=1)
    lost = count - len(places)
    if lost > 0:
        return filled, (f"{lost:,} of {count:,} frames are missing; they are filled in between their neighbours, linearly",)
    return filled, (f"its frames come at uneven times, {len(places):,} in the time of {count:,}; resampled to {fps:g} fps",)


def rate_of(times: np.ndarray, fps: float | None) -> tuple[float, tuple[str, ...]]:
    """Frames per second of times that a file tells, or what was asked for, and what to say about it.

    Raises:
        ValueError: If the times do not rise.
    """
    if fps is not None:
        return check_fps(fps), ()
    if len(times) < 2:
        return 60.0, ("a single frame, read as one at 60 fps",)
    step = float(np.median(np.diff(times)))
    rate = 1 / step
    return check_fps(float(round(rate)) if round(rate) and abs(round(rate) * step - 1) < 0.01 else rate), ()
