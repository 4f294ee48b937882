"""Skating ratio: how often a foot slides over the ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..motion import check_fps
from ..skeletons import Skeleton, get_skeleton
from .arrays import as_clips, check_option

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def skating_ratio(
    joints: Any,
    *,
    fps: float,
    skeleton: str | Skeleton = "humanml3d-22",
    feet: Sequence[int] | None = None,
    lengths: Any = None,
    unit: str = "m",
    max_speed: float = 0.5,
    max_height: float = 0.05,
    floor: float = 0.0,
    window: int | None = None,
) -> float | np.ndarray:
    """Share of frames in which a foot moves along the ground while it touches it.

    A step from one frame to the next slides if a foot is lower than 5 cm in both frames, moves horizontally by more than 2.5 cm per
    1/20 s, that is faster than 0.5 m/s, and does so on average over a quarter of a second around the step. The ratio counts steps in which
    either foot slides (AdaQF section 4.3, after Karunratanakul et al. 2023, "Guided Motion Diffusion"). 0 ... 1, lower is better.

    The papers' sentence has no average over time; the code that their numbers come from has, and so it is the default here. `window=1`
    is the plain sentence. That code also assumes 20 frames per second, takes joints 10 and 11, divides by the padded length, and counts
    the time before and behind the clip as standing still in the average, which is kept here.

    Args:
        joints (`numpy.ndarray`, `torch.Tensor` or `list`): Positions of one clip (frames, joints, 3), a padded batch
            (clips, frames, joints, 3), or a list of clips. Y up. At least two frames per clip.
        fps (`float`): Frames per second; thresholds are per second, so that a clip scores alike at another rate.
        skeleton (`str` or `Skeleton`, defaults to `"humanml3d-22"`): Tells which joints are the toes.
        feet (`Sequence[int]`, *optional*): The joints to watch, instead of the skeleton's toes.
        lengths (`Sequence[int]`, *optional*): Frames per clip of a padded batch.
        unit (`str`, defaults to `"m"`): Unit of `joints`: `"m"`, `"cm"` or `"mm"` (KIT-ML).
        max_speed (`float`, defaults to 0.5): Metres per second above which a foot slides.
        max_height (`float`, defaults to 0.05): Metres above the floor below which a foot touches the ground.
        floor (`float`, defaults to 0.0): Height of the floor in metres.
        window (`int`, *optional*): Steps to average the speed over; a quarter of a second by default, 5 at 20 fps.

    Returns:
        `float` for one clip, else `numpy.ndarray` (clips,).

    Raises:
        ValueError: If the shape is another one, a clip has fewer than two frames or holds NaN or infinity, the skeleton has other joints
            or no feet, or an option is out of range.

    Example:
    >>> import numpy as np
    >>> from hf_motion.metrics import skating_ratio
    >>> slide = np.zeros((40, 22, 3))
    >>> slide[..., 2] = np.arange(40)[:, None] * 0.05
    >>> round(skating_ratio(slide, fps=20, window=1), 3), skating_ratio(slide * 0.4, fps=20)
    (1.0, 0.0)
    """
    check_option("unit", unit, tuple(_METRES))
    fps = check_fps(fps)
    window = max(1, round(fps / 4)) if window is None else window
    if window < 1:
        raise ValueError(f"window must be at least 1 step, got {window}.")
    clips = as_clips("joints", joints, lengths, min_frames=2)
    places = clips.joints[:, :, _toes(skeleton, feet, clips.joints.shape[2])] * _METRES[unit]
    grounded = places[..., 1] - floor < max_height
    speed = np.linalg.norm(np.diff(places[..., [0, 2]], axis=1), axis=-1) * fps
    speed[np.arange(speed.shape[1]) >= clips.lengths[:, None] - 1] = 0
    around = np.pad(speed, ((0, 0), (window // 2, window - window // 2 - 1), (0, 0)))
    steady = np.lib.stride_tricks.sliding_window_view(around, window, axis=1).mean(-1)
    slides = grounded[:, :-1] & grounded[:, 1:] & (speed > max_speed) & (steady > max_speed)
    return clips.mean(slides.any(-1), fewer=1)


def _toes(skeleton: str | Skeleton, feet: Sequence[int] | None, joints: int) -> list[int]:
    if feet is None:
        skeleton = get_skeleton(skeleton)
        if skeleton.feet is None:
            raise ValueError(f"Skeleton {skeleton.name!r} does not tell which joints are feet; pass them as `feet=(left, right)`.")
        if len(skeleton) != joints:
            raise ValueError(f"joints has {joints} joints but skeleton {skeleton.name!r} has {len(skeleton)}; pass the right `skeleton=`.")
        feet = skeleton.feet[1::2]
    if not len(feet) or not all(0 <= foot < joints for foot in feet):
        raise ValueError(f"feet must be indices of joints, from 0 to {joints - 1}, got {list(feet)}.")
    return list(feet)
