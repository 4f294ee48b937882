"""Errors of joint positions: MPJPE, PA-MPJPE and acceleration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..motion import check_fps
from ..skeletons import Skeleton, get_skeleton
from .arrays import Clips, as_clips

Joints = str | Sequence[int | str] | None


def mpjpe(
    predicted: Any, target: Any, *, joints: Joints = None, skeleton: str | Skeleton | None = None, root: int | str | None = None,
    lengths: Any = None,
) -> float | np.ndarray:  # fmt: skip
    """Mean per joint position error: mean over frames and joints of ‖p - t‖, in the unit of the input.

    Nothing is aligned by default, as in CigTime section 4.1. The code of MLD, MotionGPT and HumanTOMATO moves joint 0 of every frame onto
    the target's first: that is `root=0`, and leaves out errors of the path. It also prints millimetres, averages over the frames of all
    clips together, and sums over padded frames while it divides by the true number.

    Args:
        predicted (`numpy.ndarray`, `torch.Tensor` or `list`): One clip (frames, joints, 3), a padded batch (clips, frames, joints, 3), or
            a list of clips.
        target (`numpy.ndarray`, `torch.Tensor` or `list`): The same for the wanted positions.
        joints (`str` or `Sequence[int | str]`, *optional*): Joints to measure, by index or by name, or `"all"`, `"body"` or `"hands"`
            (what hangs on the wrists). All by default.
        skeleton (`str` or `Skeleton`, *optional*): Needed for names.
        root (`int` or `str`, *optional*): Subtract this joint from all, frame by frame, on both sides.
        lengths (`Sequence[int]`, *optional*): Frames per clip of padded batches.

    Returns:
        `float` for one clip, else `numpy.ndarray` (clips,): each clip's mean.

    Raises:
        ValueError: If shapes differ or are others, a joint does not exist, or some clips hold NaN or infinity.

    Example:
    >>> import numpy as np
    >>> from hf_motion.metrics import mpjpe
    >>> mpjpe(np.zeros((10, 22, 3)), np.ones((10, 22, 3)) * [0.3, 0, 0.4])
    0.5
    """
    one, two = _pair(predicted, target, lengths)
    places = [side.joints for side in (one, two)]
    if root is not None:
        origin = _indices([root], skeleton, places[0].shape[2])
        places = [side - side[:, :, origin] for side in places]
    chosen = _indices(joints, skeleton, places[0].shape[2])
    return one.mean(np.linalg.norm(places[0] - places[1], axis=-1)[:, :, chosen].mean(-1))


def pa_mpjpe(
    predicted: Any, target: Any, *, joints: Joints = None, skeleton: str | Skeleton | None = None, lengths: Any = None
) -> float | np.ndarray:
    """MPJPE after the best similarity transform of each frame (Procrustes analysis; Gower 1975), in the unit of the input.

    Every frame of `predicted` is scaled, turned and moved onto the target's: with centred poses X and Y and the singular values of
    XᵀY = U diag(s) Vᵀ, R = U diag(1, 1, d) Vᵀ with d = ±1 so that R is no reflection, and the scale (s₁ + s₂ + d s₃) / ‖X‖². Only `joints`
    take part, so hands are aligned to hands. What it measures is the shape of the pose.

    A predicted frame whose joints all coincide has no shape to align; it is put into the target's centre, where the official code
    divides zero by zero.

    Args:
        predicted (`numpy.ndarray`, `torch.Tensor` or `list`): As for `mpjpe`.
        target (`numpy.ndarray`, `torch.Tensor` or `list`): As for `mpjpe`.
        joints (`str` or `Sequence[int | str]`, *optional*): As for `mpjpe`.
        skeleton (`str` or `Skeleton`, *optional*): As for `mpjpe`.
        lengths (`Sequence[int]`, *optional*): As for `mpjpe`.

    Returns:
        `float` for one clip, else `numpy.ndarray` (clips,).

    Raises:
        ValueError: As for `mpjpe`.
    """
    one, two = _pair(predicted, target, lengths)
    chosen = _indices(joints, skeleton, one.joints.shape[2])
    x, y = (side.joints[:, :, chosen] for side in (one, two))
    x, y = (side - side.mean(2, keepdims=True) for side in (x, y))
    u, s, vt = np.linalg.svd(np.swapaxes(x, -1, -2) @ y)
    turn = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    u[..., 2] *= turn[..., None]
    size = np.square(x).sum((-1, -2))
    scale = (s[..., 0] + s[..., 1] + turn * s[..., 2]) / np.where(size > 0, size, 1)
    return one.mean(np.linalg.norm(scale[..., None, None] * (x @ (u @ vt)) - y, axis=-1).mean(-1))


def acceleration_error(
    predicted: Any, target: Any, *, joints: Joints = None, skeleton: str | Skeleton | None = None, fps: float | None = None,
    lengths: Any = None,
) -> float | np.ndarray:  # fmt: skip
    """Mean over frames and joints of ‖p̈ - ẗ‖, with ẍ = xₜ₋₁ - 2xₜ + xₜ₊₁: jitter that positions do not show.

    In the unit of the input per frame², as in HumanTOMATO's tables (mm) and MotionGPT's code; with `fps`, per second², which can be
    compared between frame rates. HumanTOMATO reports all joints, the body and the hands: `joints="all"`, `"body"` and `"hands"`.

    Args:
        predicted (`numpy.ndarray`, `torch.Tensor` or `list`): As for `mpjpe`; at least three frames per clip.
        target (`numpy.ndarray`, `torch.Tensor` or `list`): As for `mpjpe`.
        joints (`str` or `Sequence[int | str]`, *optional*): As for `mpjpe`.
        skeleton (`str` or `Skeleton`, *optional*): As for `mpjpe`.
        fps (`float`, *optional*): Frames per second, for an error per second².
        lengths (`Sequence[int]`, *optional*): As for `mpjpe`.

    Returns:
        `float` for one clip, else `numpy.ndarray` (clips,).

    Raises:
        ValueError: As for `mpjpe`, or if a clip has fewer than three frames.
    """
    one, two = _pair(predicted, target, lengths, min_frames=3)
    chosen = _indices(joints, skeleton, one.joints.shape[2])
    change = np.diff((one.joints - two.joints)[:, :, chosen], n=2, axis=1)
    scale = 1.0 if fps is None else check_fps(fps) ** 2
    return one.mean(np.linalg.norm(change, axis=-1).mean(-1) * scale, fewer=2)


def _pair(predicted: Any, target: Any, lengths: Any, min_frames: int = 1) -> tuple[Clips, Clips]:
    one, two = (as_clips(name, side, lengths, min_frames=min_frames) for name, side in (("predicted", predicted), ("target", target)))
    if one.joints.shape != two.joints.shape or (one.lengths != two.lengths).any():
        shapes = [side.joints.shape[side.single :] for side in (one, two)]
        raise ValueError(
            f"predicted and target must have the same clips, frames and joints, got {shapes[0]} and {shapes[1]} "
            f"with lengths {one.lengths.tolist()} and {two.lengths.tolist()}. Cut both to their common length first."
        )
    return one, two


def _indices(joints: Joints, skeleton: str | Skeleton | None, count: int) -> list[int]:
    named = None if skeleton is None else get_skeleton(skeleton)
    if named is not None and len(named) != count:
        raise ValueError(f"The arrays have {count} joints but skeleton {named.name!r} has {len(named)}; pass the right `skeleton=`.")
    if joints is None or (isinstance(joints, str) and joints == "all"):
        return list(range(count))
    if named is None and (isinstance(joints, str) or any(isinstance(joint, str) for joint in joints)):
        raise ValueError(f"joints={joints!r} names joints; pass the `skeleton=` that they belong to.")
    chosen = _group(joints, named) if isinstance(joints, str) else [j if not isinstance(j, str) else named.joint(j) for j in joints]
    if not chosen or not all(0 <= joint < count for joint in chosen):
        raise ValueError(f"joints={joints!r} must name at least one of the {count} joints, from 0 to {count - 1}.")
    return [int(joint) for joint in chosen]


def _group(group: str, skeleton: Skeleton) -> list[int]:
    if group not in ("body", "hands"):
        raise ValueError(f"joints must be 'all', 'body', 'hands' or a list of indices and names, got {group!r}.")
    wrists = [joint for joint, name in enumerate(skeleton.joint_names) if name in ("left_wrist", "right_wrist")]
    hands: list[int] = []
    for joint, parent in enumerate(skeleton.parents):
        if parent in wrists or parent in hands:
            hands.append(joint)
    if not hands and group == "hands":
        raise ValueError(f"Skeleton {skeleton.name!r} has no joints behind its wrists, so no hands to measure.")
    return hands if group == "hands" else [joint for joint in range(len(skeleton)) if joint not in hands]
