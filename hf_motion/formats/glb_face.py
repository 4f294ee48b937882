"""The plain head in glTF files: a mesh with one morph target per coefficient, and their weights over time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..motion import Motion
from ..rendering.figure import bone_radii, head_capsule
from ..rendering.head import coefficient_targets, head_frames, plain_head
from .gltf.binary import FLOAT, INDICES, UBYTE, USHORT, VERTICES, BinaryFile

logger = logging.getLogger("hf_motion")


@dataclass(frozen=True, eq=False)
class FaceMesh:
    """The parts of a file that make up a face.

    Args:
        mesh (`dict`): The mesh; `extras.targetNames` are the names of the coefficients, `extras.faceKind` is their kind.
        colours (`list[tuple[int, int, int]]`): RGB of its materials, in the order in which its primitives count them.
        weights (`int`): Accessor of the weights over time, frame by frame.
    """

    mesh: dict[str, Any]
    colours: list[tuple[int, int, int]]
    weights: int


def face_mesh(file: BinaryFile, motion: Motion, rest: np.ndarray, joints: list[int], first_material: int) -> FaceMesh | None:
    """Store the head of a motion that has a face.

    The mesh is bound to the head's joint. Its targets are called as the coefficients, all of them, so that no weight is lost; those that
    the plain head does not show (`hf_motion.rendering.head.drawn_weights`) move nothing.

    Args:
        file (`BinaryFile`): Where arrays go.
        motion (`Motion`): With a face.
        rest (`numpy.ndarray`): Joint positions of the rest pose, (joints, 3), metres.
        joints (`list[int]`): For each joint of the motion its number in the file's skin.
        first_material (`int`): Number of the first material that is added.

    Returns:
        `FaceMesh` or None: None where the skeleton has no head, which a warning says.
    """
    capsule = head_capsule(motion.skeleton, bone_radii(motion)[1])
    placed = head_frames(Motion(rest[None], skeleton=motion.skeleton))
    if motion.face is None or capsule is None or placed is None:
        logger.warning("The skeleton %r has no head, so that the face is left out.", motion.skeleton.name)
        return None
    head, (middle, axes, _), radius = plain_head(), placed, capsule[2]
    normals = head.points / np.linalg.norm(head.points, axis=-1, keepdims=True)
    count, joint = len(head.points), joints[capsule[0]]
    attributes = {
        "POSITION": file.add(middle[0] + radius * head.points @ axes[0], FLOAT, target=VERTICES, bounds=True),
        "NORMAL": file.add(normals @ axes[0], FLOAT, target=VERTICES),
        "JOINTS_0": file.add(np.tile([joint, 0, 0, 0], (count, 1)), UBYTE if joint < 200 else USHORT, target=VERTICES),
        "WEIGHTS_0": file.add(np.tile([255, 0, 0, 0], (count, 1)), UBYTE, target=VERTICES, normalized=True),
    }
    shifts = coefficient_targets(motion.face)
    still = None
    targets = []
    for name in motion.face.names:
        if name in shifts:
            index = file.add(radius * shifts[name] @ axes[0], FLOAT, target=VERTICES, bounds=True)
        else:
            index = still = file.add(np.zeros((count, 3)), FLOAT, target=VERTICES, bounds=True) if still is None else still
        targets.append({"POSITION": index})
    colours = list(dict.fromkeys(part.colour for part in head.parts))
    primitives = []
    for number, colour in enumerate(colours):
        faces = np.concatenate([part.triangles for part in head.parts if part.colour == colour])
        primitives.append(
            {
                "attributes": attributes, "material": first_material + number, "targets": targets,
                "indices": file.add(faces.ravel(), USHORT, target=INDICES),
            }
        )  # fmt: skip
    extras = {"targetNames": list(motion.face.names), "faceKind": motion.face.kind}
    mesh = {"name": "face", "primitives": primitives, "weights": [0.0] * len(targets), "extras": extras}
    return FaceMesh(mesh, colours, file.add(motion.face.coefficients.ravel(), FLOAT))
