"""Biovision Hierarchy (.bvh) files, which Blender, Maya, MotionBuilder, Unity and Unreal import."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch

from ...motion import Motion
from ...representation.rotations import quaternion_to_matrix
from ...skeletons import Skeleton
from ...utils.files import atomic_path
from ..solved import solve

_AXES = "XYZ"
_ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
# Rows are the file's x, y, z axes in ours: Z up, the character faces -Y, its left stays at +X.
Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def write_bvh(
    motion: Motion,
    path: str | os.PathLike,
    *,
    rig: str | None = None,
    units: str | None = None,
    scale: float | None = None,
    euler_order: str = "ZXY",
    up_axis: str = "y",
    tolerance: float | str | None = "auto",
    constant_bones: bool = True,
    keep_proportions: bool = False,
    root_motion: bool = False,
) -> Path:
    """Write a motion as a BVH file.

    Bones get one length each and the joints are turned into rotations by `hf_motion.kinematics.solve_rotations`; only the root moves. A
    motion on the body of its skeleton, as checkpoints make them, is written on exactly that (`Skeleton.body_offsets`): the HIERARCHY is the
    same, byte for byte, for all of them. Bones of any other motion have their median length. The rest pose of our skeletons is a T-pose
    facing +Z.

    A BVH file does not say its unit. Centimetres, the default, are what Maya, MotionBuilder and Unreal take a number for. Blender takes it
    for a metre: with its default settings the person is 180 m tall, so set Scale 0.01 there, or write `units="m"`. In Blender: File >
    Import > Motion Capture (.bvh), the default axes (Forward -Z, Up Y; for a file of `up_axis="z"` Forward Y, Up Z), and tick Update Scene
    FPS, or the motion plays at the scene's 24 frames per second.

    Args:
        motion (`Motion`): The motion, on any skeleton.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.
        rig (`str`, *optional*): Write the joint names of a rig, so that retargeting programs recognise it: `"smpl"`, `"mixamo"`,
            `"cmu"`, `"unity"` or `"unreal"` (`hf_motion.formats.WRITTEN_RIGS`). Needs a motion on `humanml3d-22`. By default the joints
            keep their names.
        units (`str`, *optional*): Unit of the file, `"cm"` or `"m"`; centimetres by default.
        scale (`float`, *optional*): The same as a number of file units in one metre, for any other unit; not together with `units`.
        euler_order (`str`, defaults to `"ZXY"`): Order of the rotation channels, any order of the letters X, Y, Z. The first
            is applied last. Angles are in degrees and continuous over the frames: they may exceed 180.
        up_axis (`str`, defaults to `"y"`): `"y"` for what BVH readers expect, or `"z"`.
        tolerance (`float` or `str`, *optional*, defaults to `"auto"`): In metres. A joint that rotations alone would place farther
            from the constant-length joints than this in any frame gets position channels too. None writes them for the root alone (and
            for what a root carries that has no other child), which is all that retargeting programs read; a warning says so where a
            joint is then more than 1 cm off. `"auto"` is None, or 0.01 with `keep_proportions`.
        constant_bones (`bool`, defaults to `True`): Give every bone one length first, as characters have. `False` writes the joints where
            the motion has them, to 0.5 mm by `"auto"`, with position channels wherever a recorded bone changes its length: for
            archives and round trips, not for retargeting.
        keep_proportions (`bool`, defaults to `False`): Let joints that rotations alone would place more than 1 cm off move besides, by
            position channels: for recordings whose spine slides over the pelvis, or whose body changes.
        root_motion (`bool`, defaults to `False`): Hang the skeleton on a joint `root` on the floor, which carries its travel: engines move
            the character by it ("root motion"), or leave it out and play in place.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ValueError: If `rig`, `units`, `scale`, `euler_order`, `up_axis` or `tolerance` is not one of the above, or a joint's name cannot
            stand in a BVH file.
        OSError: If the file cannot be written.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.formats import write_bvh
    >>> from hf_motion.skeletons import HUMANML3D_22
    >>> joints = np.random.default_rng(0).random((40, 22, 3))
    >>> path = write_bvh(Motion(joints), pathlib.Path(tempfile.mkdtemp()) / "noise.bvh")
    >>> path.read_text().split()[:3]
    ['HIERARCHY', 'ROOT', 'pelvis']
    """
    scale = _file_units(units, scale)
    euler_order, up_axis = _checked_options(euler_order, up_axis)
    _check_names(motion.skeleton)
    solved = solve(motion, rig, tolerance, constant_bones, keep_proportions, root_motion)
    skeleton, moving = solved.skeleton, solved.moving
    positions, rest = solved.translations * scale, solved.rest * scale
    matrices = quaternion_to_matrix(torch.from_numpy(solved.rotations)).numpy()
    if up_axis == "z":
        positions, rest, matrices = positions @ Z_UP.T, rest @ Z_UP.T, Z_UP @ matrices @ Z_UP.T
    angles = np.degrees(euler_angles(matrices, euler_order))
    order = _depth_first(skeleton)
    columns = np.concatenate(
        [np.concatenate((positions[:, j], angles[:, j]), axis=-1) if moving[j] else angles[:, j] for j in order], axis=-1
    )
    text = "\n".join(_hierarchy(skeleton, order, rest, moving, euler_order))
    with atomic_path(path) as temporary:
        temporary.write_text(f"{text}\n{_frames(columns, motion.fps)}", encoding="utf-8", newline="\n")
    return Path(path)


def euler_angles(matrices: np.ndarray, order: str) -> np.ndarray:
    """Angles of rotation matrices over time, continuous from frame to frame.

    Of the two sets of angles that make one rotation, each frame takes the one nearer to the previous frame's, and full turns
    are unwrapped, so that a program that interpolates between frames goes the short way.

    Args:
        matrices (`numpy.ndarray`): Rotations, (frames, ..., 3, 3).
        order (`str`): Three different letters of X, Y, Z; the matrix is the product of the turns from left to right.

    Returns:
        `numpy.ndarray`: Angles in radians, (frames, ..., 3), in the order of the letters.

    Example:
    >>> import numpy as np
    >>> from hf_motion.formats.bvh import euler_angles
    >>> euler_angles(np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]]), "ZXY").round(3).tolist()
    [[1.571, 0.0, 0.0]]
    """
    i, j, k = (_AXES.index(letter) for letter in order)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    first = np.arctan2(-sign * matrices[..., j, k], matrices[..., k, k])
    # The other two are read from the rotation left after the first, so that their sum is right even in gimbal lock.
    cosine, sine = np.cos(first)[..., None], sign * np.sin(first)[..., None]
    row_j = cosine * matrices[..., j, :] + sine * matrices[..., k, :]
    row_k = cosine * matrices[..., k, :] - sine * matrices[..., j, :]
    second = np.arctan2(sign * matrices[..., i, k], row_k[..., k])
    third = np.arctan2(sign * row_j[..., i], row_j[..., j])
    one = np.stack((first, second, third), axis=-1)
    other = np.stack((first + math.pi, math.pi - second, third + math.pi), axis=-1)
    stay, switch = (np.abs(_wrap(angles[1:] - one[:-1])).sum(axis=-1) for angles in (one, other))
    switched = np.cumsum(switch < stay - 1e-9, axis=0) % 2 == 1
    one[1:] = np.where(switched[..., None], other[1:], one[1:])
    return np.unwrap(one, axis=0)


def _wrap(angle: np.ndarray) -> np.ndarray:
    return angle - 2 * math.pi * np.round(angle / (2 * math.pi))


def _file_units(units: str | None, scale: float | None) -> float:
    """File units in one metre."""
    if units is not None and scale is not None:
        raise ValueError(f"Give either units={units!r} or scale={scale!r}, not both.")
    if units not in (None, "cm", "m"):
        raise ValueError(f"units must be 'cm' or 'm', got {units!r}; for another unit pass scale=, the file units in one metre.")
    scale = {None: 100.0, "cm": 100.0, "m": 1.0}[units] if scale is None else scale
    if not (np.isscalar(scale) and not isinstance(scale, str) and np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number of file units per metre (100 for centimetres, 1 for metres), got {scale!r}.")
    return float(scale)


def _checked_options(euler_order: str, up_axis: str) -> tuple[str, str]:
    if str(euler_order).upper() not in _ORDERS:
        raise ValueError(f"euler_order must be one of {', '.join(_ORDERS)}, got {euler_order!r}.")
    if str(up_axis).lower() not in ("y", "z"):
        raise ValueError(f"up_axis must be 'y' or 'z', got {up_axis!r}.")
    return str(euler_order).upper(), str(up_axis).lower()


def _check_names(skeleton: Skeleton) -> None:
    for name in skeleton.joint_names:
        if not name or name != name.strip() or len(name.splitlines()) > 1 or set(name) & set("{}"):
            raise ValueError(
                f"Joint name {name!r} of skeleton {skeleton.name!r} cannot stand in a BVH file. Give the joint a name of one line, "
                "without braces or spaces around it."
            )


def _depth_first(skeleton: Skeleton) -> list[int]:
    order, waiting = [], [0]
    while waiting:
        order.append(waiting.pop())
        waiting.extend(reversed(skeleton.children[order[-1]]))
    return order


def _hierarchy(skeleton: Skeleton, order: list[int], rest: np.ndarray, moving: np.ndarray, euler_order: str) -> list[str]:
    depth = [0] * len(skeleton)
    for parent, joint in skeleton.bones:
        depth[joint] = depth[parent] + 1
    turns = " ".join(f"{letter}rotation" for letter in euler_order)
    lines = ["HIERARCHY"]
    for joint, following in zip(order, [*order[1:], None], strict=True):
        tab = "\t" * depth[joint]
        lines += [f"{tab}{'JOINT' if joint else 'ROOT'} {skeleton.joint_names[joint]}", f"{tab}{{", f"{tab}\tOFFSET {_vector(rest[joint])}"]
        lines.append(f"{tab}\tCHANNELS 6 Xposition Yposition Zposition {turns}" if moving[joint] else f"{tab}\tCHANNELS 3 {turns}")
        if not skeleton.children[joint]:
            lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {_vector(rest[joint] / 2)}", f"{tab}\t}}"]
        below = 0 if following is None else depth[following]
        lines += ["\t" * level + "}" for level in range(depth[joint], below - 1 if following is not None else -1, -1)]
    return lines


def _vector(vector: np.ndarray) -> str:
    return "{:.6f} {:.6f} {:.6f}".format(*(np.round(vector, 6) + 0.0))


def _frames(columns: np.ndarray, fps: float) -> str:
    row = " ".join(["%.6f"] * columns.shape[1]) + "\n"
    # Adding 0.0 turns the -0.0 that rounding leaves into 0.0.
    values = tuple((np.round(columns, 6) + 0.0).ravel().tolist())
    return f"MOTION\nFrames: {len(columns)}\nFrame Time: {1 / fps:.10f}\n" + row * len(columns) % values
