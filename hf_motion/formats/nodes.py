"""Animations of scenes, where every joint is a node that stands somewhere in the world: what glTF and FBX files are read through."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..face import Face
from ..motion import Motion
from ..representation.rotations import matrix_to_quaternion
from ..skeletons import Skeleton
from ..utils.faults import reading
from ..utils.limits import check_clip
from .animation import Animation, sample

logger = logging.getLogger("hf_motion")

# How far from orthogonal a matrix may be, scale taken out, before its nearest rotation is worth a decomposition.
_SKEW = 1e-5
# Share of the longest bone by which a bone may differ from what it is in the rest pose and still count as the same.
_STIFF = 1e-4
_DEEPEST = 2048


@dataclass(frozen=True, eq=False)
class NodeClip:
    """Joints of a scene over time, in its own units and axes.

    Args:
        joint_names (`tuple[str, ...]`): Root first, every parent before its children.
        parents (`tuple[int, ...]`): Parent index per joint, -1 for the root.
        rest (`numpy.ndarray`): Matrix from each joint to the world in the rest pose, (joints, 4, 4) float64.
        worlds (`Callable`): Takes frame numbers (int64 array); returns such matrices over time, (frames, joints, 4, 4) float64.
        fps (`float`): Frames per second.
        frames (`int`): Frames there are.
        text (`str`, *optional*): A caption.
        notes (`tuple[str, ...]`, defaults to `()`): What had to be guessed or left out, in sentences for the user.
        face (`Face`, *optional*): The face, as many frames.

    Raises:
        ValueError: If there are too many frames or joints (`hf_motion.utils.limits`).
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray
    worlds: Callable[[np.ndarray], np.ndarray]
    fps: float
    frames: int
    text: str | None = None
    notes: tuple[str, ...] = ()
    face: Face | None = None

    def __post_init__(self) -> None:
        check_clip(self.frames, len(self.joint_names))

    @cached_property
    def skeleton(self) -> Skeleton:
        """The joints, called `<root>-<number of joints>`."""
        return Skeleton(f"{self.joint_names[0].lower()}-{len(self.joint_names)}", self.joint_names, self.parents)

    @cached_property
    def rest_offsets(self) -> np.ndarray:
        """From each joint's parent to the joint in the rest pose, (joints, 3) float64, the root's zero."""
        places = self.rest[:, :3, 3]
        return places - places[self._above]

    def local_pose(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """Rotations relative to the rest pose, as if no joint were turned in that, and offsets from the parent.

        Args:
            frames (`numpy.ndarray`): Frame numbers, (frames,) int64.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: Unit quaternions (frames, joints, 4), real part first, and offsets (frames, joints, 3),
            the root's being its place in the world; float64.
        """
        worlds = self.worlds(frames)
        turned, places = nearest_rotations(worlds[..., :3, :3] @ self._to_rest), worlds[..., :3, 3]
        above = np.swapaxes(turned[:, self._above], -1, -2)
        above[:, 0] = np.eye(3)
        offsets = (above @ (places - places[:, self._above])[..., None])[..., 0]
        offsets[:, 0] = places[:, 0]
        # Numbers of a file are rounded: a bone that does not change its length should not seem to.
        near = np.abs(offsets - self.rest_offsets) <= _STIFF * max(float(np.abs(self.rest_offsets).max()), 1e-9)
        offsets[:, 1:] = np.where(near.all(axis=-1, keepdims=True), self.rest_offsets, offsets)[:, 1:]
        return matrix_to_quaternion(torch.from_numpy(above @ turned)), torch.from_numpy(offsets)

    def animation(self, fps: float | None = None) -> Animation:
        """World positions with the rotations and offsets that make them, at another frame rate if wanted; see `sample`."""
        return sample(self.local_pose, self.skeleton, self.frames, self.fps, fps)

    def motion(self) -> Motion:
        """All joints over time, on the skeleton of ours that has the same, if one has. The scene is taken to be in metres, Y up."""
        made, skeleton = self.animation().on_known(self.skeleton)
        return Motion(
            made.joints, fps=self.fps, skeleton=skeleton, text=self.text, rotations=made.rotations, rest_offsets=made.rest_offsets,
            face=self.face,
        )  # fmt: skip

    @cached_property
    def _above(self) -> list[int]:
        return [max(parent, 0) for parent in self.parents]

    @cached_property
    def _to_rest(self) -> np.ndarray:
        bases = self.rest[:, :3, :3].copy()
        size = np.linalg.norm(bases, axis=-2).prod(axis=-1)
        bases[np.abs(np.linalg.det(bases)) <= 1e-6 * size] = np.eye(3)  # flat in the rest pose: nothing to measure turns from
        return np.linalg.inv(bases)


def read_clip(path: str | os.PathLike, kind: str, open_clip: Callable[[Path], NodeClip]) -> Motion:
    """The motion of a file, and what was left out of it said by the logger `hf_motion`.

    Args:
        path (`str` or `os.PathLike`): The file.
        kind (`str`): What it should be, such as `"a readable glTF file"`.
        open_clip (`Callable`): Opens it.

    Raises:
        ValueError: If the file is damaged; the message names it.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No motion file at {str(path)!r}.")
    with np.errstate(all="ignore"), reading(path, kind):
        clip = open_clip(path)
        motion = clip.motion()
    for note in clip.notes:
        logger.warning("%s: %s.", path, note)
    return motion


def nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """The rotation in each matrix (..., 3, 3) of a turn and a scale, or of anything near to that.

    Example:
    >>> import numpy as np
    >>> from hf_motion.formats.nodes import nearest_rotations
    >>> nearest_rotations(np.diag([0.01, 0.01, 0.01])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    sizes = np.linalg.norm(matrices, axis=-2, keepdims=True)
    turns = matrices / np.where(sizes > 0, sizes, 1)
    skewed = np.abs(np.swapaxes(turns, -1, -2) @ turns - np.eye(3)).max(axis=(-1, -2)) > _SKEW
    skewed |= np.linalg.det(turns) < 0
    if skewed.any():
        left, _, right = np.linalg.svd(matrices[skewed])
        left[..., 2] *= np.sign(np.linalg.det(left @ right))[..., None]
        turns[skewed] = left @ right
    return turns


def joint_tree(chosen: set[int], parents: list[int], children: list[list[int]]) -> tuple[list[int], list[int]]:
    """Chosen nodes of a scene as one tree.

    Args:
        chosen (`set[int]`): Nodes; those between them count as part of the way.
        parents (`list[int]`): Parent of every node, -1 where there is none.
        children (`list[list[int]]`): Children of every node.

    Returns:
        `tuple[list[int], list[int]]`: The nodes of the tree that has most of them, depth first, joined by their nearest common ancestor if
        they have no root of their own; and for each the place in that list of its parent, -1 for the root.
    """
    tops: dict[int, list[int]] = {}
    for node in chosen:
        line = ancestors(node, parents)
        tops.setdefault(line[-1], []).append(node)
    top = max(tops, key=lambda node: (len(tops[node]), -node))
    members = set(tops[top])
    lines = [ancestors(node, parents)[::-1] for node in members]
    shared = [nodes[0] for nodes in zip(*lines, strict=False) if len(set(nodes)) == 1]
    members.add(shared[-1])
    order: list[int] = []
    above: list[int] = []
    waiting = [(shared[-1], -1)]
    while waiting:
        node, parent = waiting.pop()
        if node in members:
            order.append(node)
            above.append(parent)
            parent = len(order) - 1
        waiting += [(child, parent) for child in reversed(children[node])]
    return order, above


def ancestors(node: int, parents: list[int]) -> list[int]:
    """A node and those above it, up to the top.

    Raises:
        ValueError: If the nodes hang on each other in a circle, or too many on one line.
    """
    line = [node]
    while parents[line[-1]] >= 0:
        line.append(parents[line[-1]])
        if len(line) > _DEEPEST:
            raise ValueError(f"its nodes hang on each other in a circle, or {_DEEPEST:,} deep.")
    return line


def unique_names(names: list[str]) -> tuple[tuple[str, ...], int]:
    """The names with numbers behind those that repeat (`Hand`, `Hand_2`), and how many that were."""
    taken, seen = set(names), set[str]()
    result = []
    for name in names:
        fresh, number = name, 2
        while fresh in seen or (fresh != name and fresh in taken):
            fresh, number = f"{name}_{number}", number + 1
        seen.add(fresh)
        result.append(fresh)
    return tuple(result), sum(one != other for one, other in zip(names, result, strict=True))
