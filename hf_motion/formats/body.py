"""A simple body around a skeleton: one rounded, tapered tube per bone, with soft joints."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..motion import Motion
from ..rendering.figure import FINGER, bone_radii, bone_sides, head_capsule, is_carrier, sides

_AROUND = 10
# Along a tube: the angle of each ring of the round ends, and the places of the rings between them.
_CAP = np.radians([-90.0, -60.0, -30.0])
_ALONG = np.array([0.0, 0.14, 0.3, 0.7, 0.86, 1.0])
_SOFT = 0.3
_TORSO = re.compile(r"spine|chest|thorax|torso|back|neck")
_TORSO_WIDTH = 1.7
# Where the torso meets a limb of another colour its round end is that much smaller, so that the two do not flicker.
_INSIDE = 0.8
_HAND, _TOE, _TIP_SHARE, _FINGER_TIP = 0.1, 0.05, 0.35, 0.85


@dataclass(frozen=True, eq=False)
class Body:
    """A triangle mesh in the rest pose, bound to joints.

    Args:
        vertices (`numpy.ndarray`): (vertices, 3) float32, metres.
        normals (`numpy.ndarray`): (vertices, 3) float32 unit vectors.
        joints (`numpy.ndarray`): (vertices, 4) int64, joints that move each vertex.
        weights (`numpy.ndarray`): (vertices, 4) float64, their shares; each row sums to 1.
        triangles (`dict[int, numpy.ndarray]`): (triangles, 3) int64, counter-clockwise seen from outside, by side: 0 middle, 1 left,
            -1 right.
    """

    vertices: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    triangles: dict[int, np.ndarray]


@dataclass(frozen=True, eq=False)
class _Tube:
    start: np.ndarray
    end: np.ndarray
    radii: np.ndarray
    joint: int
    above: int
    below: int
    side: int
    width: float = 1.0


def build_body(motion: Motion, rest: np.ndarray, loose: np.ndarray) -> Body:
    """The body of a motion's skeleton.

    Args:
        motion (`Motion`): Its first pose and joint names say how thick the bones are.
        rest (`numpy.ndarray`): Joint positions in the rest pose, (joints, 3), metres.
        loose (`numpy.ndarray`): Joints that are not held by their parent, (joints,) bool. Where the root only carries the body
            about, no bone is drawn to what it carries.

    Returns:
        `Body`: The mesh; joints are numbered as in the motion's skeleton.
    """
    tubes = [*_bones(motion, rest, loose), *_ends(motion, rest)]
    parts = [_tube_mesh(tube) for tube in tubes]
    size = len(parts[0][0])
    faces = _faces(size)
    triangles = {
        side: np.concatenate([faces + index * size for index, tube in enumerate(tubes) if tube.side == side])
        for side in (0, 1, -1)
        if any(tube.side == side for tube in tubes)
    }
    vertices, normals, joints, weights = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Body(vertices.astype(np.float32), normals.astype(np.float32), joints, weights, triangles)


def _bones(motion: Motion, rest: np.ndarray, loose: np.ndarray) -> list[_Tube]:
    skeleton = motion.skeleton
    radii, _ = bone_radii(motion)
    side = sides(skeleton)
    tubes = []
    for (parent, child), ends, tint in zip(skeleton.bones, radii, bone_sides(skeleton), strict=True):
        if not parent and (is_carrier(skeleton) or (loose[child] and len(skeleton.children[0]) == 1)):
            continue
        if side[child] and not side[parent]:
            ends = ends * np.array([1.0, _INSIDE])
        wide = skeleton.rest_directions is not None and not tint and _TORSO.search(skeleton.joint_names[child])
        above = max(skeleton.parents[parent], 0)
        tubes.append(_Tube(rest[parent], rest[child], ends, parent, above, child, int(tint), _TORSO_WIDTH if wide else 1.0))
    return tubes


def _ends(motion: Motion, rest: np.ndarray) -> list[_Tube]:
    """What lies beyond the last joints: head, hands and toes; a ball where the skeleton is a single joint."""
    skeleton = motion.skeleton
    radii, size = bone_radii(motion)
    side = sides(skeleton)
    head = head_capsule(skeleton, size)
    tubes = []
    for joint in range(len(skeleton)):
        parent = max(skeleton.parents[joint], 0)
        bone = rest[joint] - rest[parent]
        length = float(np.linalg.norm(bone))
        if skeleton.children[joint] or (head is not None and joint == head[0]):
            continue
        name = skeleton.joint_names[joint].lower()
        finger = re.search(FINGER, name)
        reach = (
            _FINGER_TIP * length
            if finger
            else size * _HAND
            if re.search("wrist|hand", name)
            else size * _TOE
            if re.search("foot|toe", name)
            else _TIP_SHARE * length
        )
        radius = radii[joint - 1][1] if joint else np.float32(0.05)
        tip = rest[joint] + bone * (reach / length if length > 1e-6 else 0)
        tubes.append(_Tube(rest[joint], tip, np.array([radius, 0.8 * radius]), joint, parent, joint, int(side[joint])))
    if head is not None:
        joint, neck, radius, length = head
        tip = rest[joint] + np.array([0.0, length, 0.0])
        tubes.append(_Tube(rest[joint], tip, np.array([radius, radius]), joint, neck, joint, 0))
    return tubes


def _tube_mesh(tube: _Tube) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, normals, joints and weights of one tube, ring by ring from the start."""
    axis = tube.end - tube.start
    length = np.linalg.norm(axis)
    axis = axis / length if length > 1e-6 else np.array([0.0, 1.0, 0.0])
    across = np.cross(axis, np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([0.0, 1.0, 0.0]))
    across /= np.linalg.norm(across)
    tilt = np.concatenate((_CAP, np.zeros(len(_ALONG)), -_CAP[::-1]))
    place = np.concatenate((np.zeros(len(_CAP)), _ALONG, np.ones(len(_CAP))))
    radius = tube.radii[0] + place * (tube.radii[1] - tube.radii[0])
    turn = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    round_ = np.cos(turn)[:, None] * across * tube.width + np.sin(turn)[:, None] * np.cross(axis, across)
    outward = np.cos(turn)[:, None] * across / tube.width + np.sin(turn)[:, None] * np.cross(axis, across)
    ring = radius * np.cos(tilt)
    middle = tube.start + (place * length + radius * np.sin(tilt))[:, None] * axis
    vertices = middle[:, None] + ring[:, None, None] * round_
    normals = np.cos(tilt)[:, None, None] * outward + np.sin(tilt)[:, None, None] * axis
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    near, far = (0.5 * _smooth(1 - distance / _SOFT) for distance in (place, 1 - place))
    shares = np.repeat(np.stack((1 - near - far, near, far, np.zeros_like(near)), axis=-1), _AROUND, axis=0)
    joints = np.broadcast_to([tube.joint, tube.above, tube.below, 0], shares.shape)
    return vertices.reshape(-1, 3), normals.reshape(-1, 3), *_merged(joints, shares)


def _smooth(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def _merged(joints: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """No joint twice in a row, and joint 0 where the share is zero, as glTF wants it."""
    weights = weights.copy()
    for column in (1, 2):
        for earlier in range(column):
            same = joints[:, column] == joints[:, earlier]
            weights[same, earlier] += weights[same, column]
            weights[same, column] = 0
    return np.where(weights > 0, joints, 0), weights


def _faces(size: int) -> np.ndarray:
    """Triangles between the rings of one tube, (triangles, 3)."""
    grid = np.arange(size).reshape(-1, _AROUND)
    here, after = grid[:-1], grid[1:]
    corners = (here, np.roll(here, -1, axis=1), np.roll(after, -1, axis=1), after)
    quads = np.stack(corners, axis=-1).reshape(-1, 4)
    return np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]))
