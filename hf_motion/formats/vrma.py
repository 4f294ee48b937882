"""VRM animations (.vrma): motions for any VRM character (VRM Consortium, VRMC_vrm_animation 1.0)."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..motion import Motion
from ..pose import without_jumps
from ..representation.rotations import matrix_to_quaternion, quaternion_between, quaternion_to_matrix
from ..skeletons import Skeleton
from ..utils.files import atomic_path
from .glb import animation, joint_nodes, rest_positions
from .gltf.binary import BinaryFile, container
from .solved import SolvedMotion, solve

logger = logging.getLogger("hf_motion")

_BODY = {
    "pelvis": "hips", "spine1": "spine", "spine2": "chest", "spine3": "upperChest", "neck": "neck", "head": "head",
    "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes", "collar": "Shoulder", "shoulder": "UpperArm",
    "elbow": "LowerArm", "wrist": "Hand",
}  # fmt: skip
_FINGERS = {"thumb": "Thumb", "index": "Index", "middle": "Middle", "ring": "Ring", "pinky": "Little"}
_PHALANGES = {"1": "Proximal", "2": "Intermediate", "3": "Distal"}
_THUMB = {"1": "Metacarpal", "2": "Proximal", "3": "Distal"}
_REQUIRED = ("hips", "spine", "head", *(f"{side}{part}" for side in ("left", "right") for part in (
    "UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand",
)))  # fmt: skip
_NEAR, _MOVES = 0.02, 0.01


def write_vrma(motion: Motion, path: str | os.PathLike) -> Path:
    """Write a motion as a VRM animation, which plays on any VRM character.

    The file is binary glTF with one animation and no mesh. As the specification asks: the nodes rest in a T-pose that faces +Z and stands
    on the floor, `humanBones` says which of them is which bone of VRM's humanoid, bones turn, and only the hips move, at the height at
    which they are above the floor. Fingers are written where the skeleton has them; a face is left out. A motion whose rest pose is another
    is written against the T-pose of its skeleton; no joint comes to stand elsewhere by that.

    Args:
        motion (`Motion`): A motion on `humanml3d-22`, or on a skeleton with fingers of the same names.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ValueError: If the skeleton lacks a bone that VRM requires.
        OSError: If the file cannot be written.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.formats import write_vrma
    >>> path = write_vrma(Motion(np.random.default_rng(0).random((40, 22, 3))), pathlib.Path(tempfile.mkdtemp()) / "noise.vrma")
    >>> path.read_bytes()[:4]
    b'glTF'
    """
    bones = {bone: joint for joint, name in enumerate(motion.skeleton.joint_names) if (bone := humanoid_bone(name))}
    missing = [bone for bone in _REQUIRED if bone not in bones]
    if missing or motion.skeleton.body_directions is None:
        raise ValueError(
            f"A VRM animation needs {', '.join(missing) or 'a known T-pose'}, which skeleton {motion.skeleton.name!r} does not have. "
            "Map it to 'humanml3d-22' first: read files with hf_motion.read_motion."
        )
    solved = in_t_pose(solve(motion, tolerance=None), motion.skeleton)
    solved = replace(solved, skeleton=replace(solved.skeleton, joint_names=_node_names(solved.skeleton)))
    file = BinaryFile()
    document = {
        "asset": {"version": "2.0", "generator": "hf_motion"},
        "extensionsUsed": ["VRMC_vrm_animation"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": joint_nodes(solved, rest_positions(solved)[0]),
        "animations": [animation(file, solved, motion)],
        "accessors": file.accessors,
        "bufferViews": file.views,
        "extensions": {
            "VRMC_vrm_animation": {
                "specVersion": "1.0",
                "humanoid": {"humanBones": {bone: {"node": joint} for bone, joint in bones.items()}},
            }
        },
    }
    data = file.data()
    document["buffers"] = [{"byteLength": len(data)}]
    with atomic_path(path) as temporary:
        temporary.write_bytes(container(document, data))
    return Path(path)


def humanoid_bone(name: str) -> str | None:
    """What VRM calls a joint of ours; None for one that it does not have.

    Example:
    >>> from hf_motion.formats.vrma import humanoid_bone
    >>> humanoid_bone("left_wrist"), humanoid_bone("right_pinky2"), humanoid_bone("left_thumb1")
    ('leftHand', 'rightLittleIntermediate', 'leftThumbMetacarpal')
    """
    side, _, part = name.partition("_")
    if side not in ("left", "right"):
        return _BODY.get(name)
    if part in _BODY:
        return f"{side}{_BODY[part]}"
    finger, number = part[:-1], part[-1:]
    phalanx = (_THUMB if finger == "thumb" else _PHALANGES).get(number)
    return f"{side}{_FINGERS[finger]}{phalanx}" if finger in _FINGERS and phalanx else None


def _node_names(skeleton: Skeleton) -> tuple[str, ...]:
    return tuple(humanoid_bone(name) or name for name in skeleton.joint_names)


def in_t_pose(solved: SolvedMotion, skeleton: Skeleton) -> SolvedMotion:
    """The same animation, resting in the T-pose of a skeleton with the bone lengths that it has; joints but the root only turn.

    A joint with one child rests pointing where the T-pose does, without a turn about that bone; one with several as near as it can; one
    without any as its parent does.

    Args:
        solved (`SolvedMotion`): The animation, in the order of the skeleton's joints.
        skeleton (`Skeleton`): With `body_directions`.
    """
    if solved.moving[1:].any():
        worst = np.abs(solved.translations - solved.rest)[:, 1:].max()
        if worst > _MOVES:
            logger.warning("Only the hips move in a VRM animation; other joints of this one do by up to %.1f cm, left out.", 100 * worst)
    wanted, rest = torch.tensor(skeleton.body_directions, dtype=torch.float64), torch.from_numpy(np.asarray(solved.rest, np.float64))
    wanted = torch.nn.functional.normalize(wanted, dim=-1) * rest.norm(dim=-1, keepdim=True)
    moving = np.zeros(len(skeleton), dtype=bool)
    moving[0] = True
    translations = np.broadcast_to(solved.rest, solved.translations.shape).copy()
    translations[:, 0] = solved.translations[:, 0]
    if (wanted - rest)[1:].norm(dim=-1).max() > _NEAR:
        turns = _from_t_pose(skeleton, wanted, rest)
        parents = [max(parent, 0) for parent in skeleton.parents]
        local = quaternion_to_matrix(torch.from_numpy(solved.rotations))
        above = turns[parents].clone()
        above[0] = torch.eye(3, dtype=torch.float64)
        rotations = without_jumps(matrix_to_quaternion(above.mT @ local @ turns).numpy())
        rest = (above.mT @ rest[..., None])[..., 0]
        translations[:, 1:] = rest.numpy()[1:]
        solved = replace(solved, rotations=rotations, rest=rest.numpy())
    return replace(solved, translations=translations, moving=moving)


def _from_t_pose(skeleton: Skeleton, wanted: Tensor, rest: Tensor) -> Tensor:
    """Turn of each joint from the T-pose to the pose at rest, (joints, 3, 3)."""
    turns = torch.eye(3, dtype=torch.float64).repeat(len(skeleton), 1, 1)
    for joint, children in enumerate(skeleton.children):
        ends = [child for child in children if rest[child].norm() > 1e-6]
        if len(ends) == 1:
            turns[joint] = quaternion_to_matrix(quaternion_between(wanted[ends[0]], rest[ends[0]]))
        elif ends:
            left, _, right = torch.linalg.svd(rest[ends].mT @ wanted[ends])
            left[:, 2] *= torch.det(left @ right).sign()
            turns[joint] = left @ right
        elif joint:
            turns[joint] = turns[skeleton.parents[joint]]
    return turns
