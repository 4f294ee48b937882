"""AMASS's `.npz` layout: SMPL-H poses that the SMPL tools for Blender, Unity, Unreal and Python read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ...hands import without_hands
from ...kinematics import constant_bone_lengths, forward_kinematics, solve_rotations
from ...motion import Motion
from ...pose import local_rotations, multiply, place_joints, without_jumps, world_rotations
from ...representation.rotations import quaternion_multiply, quaternion_to_axis_angle
from ...skeletons import HUMANML3D_22, SMPLX_52, Skeleton
from ...utils.files import atomic_path
from ..rigs import has_fingers

_WIDTHS = (156, 66)
# Centimetres from each joint's parent, left side, of an average adult in SMPL's rest pose: a T-pose facing +Z whose bones are not
# straight (thighs lean outwards, feet down, collars up). The pelvis stands where SMPL's model space puts it.
_REST_CM = {
    "pelvis": (0, -23, 3), "hip": (6, -8, -1), "spine1": (0, 12, -3), "knee": (4, -38, 0), "spine2": (0, 14, 2), "ankle": (-1, -42, -4),
    "spine3": (0, 5, 1), "foot": (3, -6, 12), "neck": (0, 21, -4), "collar": (8, 12, -2), "head": (0, 8, 5), "shoulder": (11, 4, -2),
    "elbow": (26, -1, -2), "wrist": (26, 1, 0),
}  # fmt: skip
_HALF_TURN = 2**-0.5
_RESTS_ALIKE = np.radians(15)  # rest poses that differ by less are one pose of two bodies


def write_amass(motion: Motion, path: str | os.PathLike, *, pose_width: int = 156, rest_joints: np.ndarray | None = None) -> Path:
    """Write a motion in AMASS's layout.

    | array | shape | content |
    |---|---|---|
    | `poses` | (frames, 156) float64 | rotation vectors of SMPL-H's 52 joints: global orientation, 21 body joints, 30 hand joints |
    | `trans` | (frames, 3) float64 | translation of the body, metres |
    | `betas` | (16,) float64 | body shape, zero: the average body |
    | `dmpls` | (frames, 8) float64 | soft tissue, zero |
    | `gender` | str | `"neutral"` |
    | `mocap_framerate` | float64 | frames per second |

    As in AMASS, Z is up and a body that faces our +Z faces -Y; left stays left.

    Fingers are those of a motion on 52 joints; of one without, they are zero, which is a flat hand.

    SMPL's body is not in this package, since its licence does not let it be. Rotations are solved for rest bones known to about a
    centimetre; then limbs point where those of the motion do, to 2 degrees (0.01 with `rest_joints`), and hips, spine and
    collars as near as that body's torso allows. Turns that joints do not show (wrists, head, feet about their own axis) are those of
    the parent. The root is lifted or lowered by one amount per clip, so that feet stand on the floor. Since the average body has other
    bones than the motion, its joints are then about 6 cm from those of motions on the reference skeleton, which are all that models make,
    and 7 to 9 cm from those of recordings of other people.

    Args:
        motion (`Motion`): A motion on `humanml3d-22`, or with fingers on `smplx-52` or `smplh-52`.
        path (`str` or `os.PathLike`): `.npz` file to write; missing folders are made. It appears whole or not at all.
        pose_width (`int`, defaults to 156): Numbers per frame in `poses`: 156 for SMPL-H as in AMASS, 66 without the hands, for SMPL
            and SMPL-X bodies.
        rest_joints (`numpy.ndarray`, *optional*): Rest positions of the body model's joints, (at least 22, 3), metres, Y up, those of
            hands where there are 52 (SMPL-H) or 55 (SMPL-X): with the `smplx` package `model().joints[0]` of a model without pose or
            `model.J_regressor @ model.v_template`.

    Returns:
        `pathlib.Path`: The written file.

    Raises:
        ValueError: If the motion is on another skeleton, or `pose_width` or `rest_joints` is not usable.
        OSError: If the file cannot be written.

    Example:
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from hf_motion import Motion
    >>> from hf_motion.formats import write_amass
    >>> path = write_amass(Motion(np.random.default_rng(0).random((40, 22, 3))), pathlib.Path(tempfile.mkdtemp()) / "a.npz")
    >>> file = np.load(path)
    >>> file["poses"].shape, file["trans"].shape, str(file["gender"]), float(file["mocap_framerate"])
    ((40, 156), (40, 3), 'neutral', 20.0)
    """
    skeleton = motion.skeleton
    if not has_fingers(skeleton) and (skeleton.joint_names, skeleton.parents) != (HUMANML3D_22.joint_names, HUMANML3D_22.parents):
        raise ValueError(
            f"AMASS's layout needs a motion on {HUMANML3D_22.name!r}, or on smplx-52 or smplh-52, this one is on {skeleton.name!r}; "
            "map its joints first."
        )
    if pose_width not in _WIDTHS:
        raise ValueError(f"pose_width must be 156 (SMPL-H, with hands) or 66 (body alone), got {pose_width!r}.")
    motion = without_hands(motion) if has_fingers(skeleton) and pose_width < _WIDTHS[0] else motion
    skeleton = motion.skeleton
    rest = smpl_rest_joints(skeleton) if rest_joints is None else _checked(rest_joints, skeleton)
    joints = torch.from_numpy(motion.joints).double()
    with torch.no_grad():
        rotations, root = _fitted(joints, torch.from_numpy(rest), skeleton) if motion.rotations is None else _recorded(motion, rest)
        root = root + _lift(joints, rotations, root, torch.from_numpy(rest), skeleton)
        upright = torch.tensor([_HALF_TURN, _HALF_TURN, 0, 0], dtype=torch.float64)
        rotations[:, 0] = quaternion_multiply(upright, rotations[:, 0])
        poses = quaternion_to_axis_angle(rotations).flatten(1).numpy()
    trans = torch.stack((root[:, 0], -root[:, 2], root[:, 1]), dim=-1).numpy() - rest[0]
    poses = np.pad(poses, ((0, 0), (0, pose_width - poses.shape[1])))
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, poses=poses, trans=trans, betas=np.zeros(16), dmpls=np.zeros((len(motion), 8)), gender="neutral",
            mocap_framerate=motion.fps,
        )  # fmt: skip
    return Path(path)


def smpl_rest_joints(skeleton: Skeleton = HUMANML3D_22) -> np.ndarray:
    """Rest positions of SMPL's 22 body joints to about a centimetre, and flat hands with fingers: (22 or 52, 3) float64, metres, Y up."""
    rest = np.zeros((len(HUMANML3D_22), 3))
    for joint, (name, parent) in enumerate(zip(HUMANML3D_22.joint_names, HUMANML3D_22.parents, strict=True)):
        side, _, part = name.rpartition("_")
        rest[joint] = np.multiply(_REST_CM[part], (-0.01 if side == "right" else 0.01, 0.01, 0.01))
        if joint:
            rest[joint] += rest[parent]
    return rest if len(skeleton) == len(rest) else _with_flat_hands(rest)


def _with_flat_hands(rest: np.ndarray) -> np.ndarray:
    whole = np.concatenate((rest, np.zeros((len(SMPLX_52) - len(rest), 3))))
    for joint in range(len(rest), len(SMPLX_52)):
        whole[joint] = whole[SMPLX_52.parents[joint]] + SMPLX_52.body_offsets[joint]
    return whole


def _checked(rest_joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    if hasattr(rest_joints, "detach"):
        rest_joints = rest_joints.detach().cpu().numpy()
    rest = np.asarray(rest_joints, dtype=np.float64)
    if rest.ndim != 2 or rest.shape[0] < len(HUMANML3D_22) or rest.shape[1] != 3 or not np.isfinite(rest).all():
        raise ValueError(
            f"rest_joints must be finite rest positions of at least 22 joints in SMPL's order, (22, 3), got shape {rest.shape}."
        )
    if len(skeleton) > len(HUMANML3D_22) and len(rest) < len(skeleton):
        return _with_flat_hands(rest[: len(HUMANML3D_22)])
    # SMPL-X has the jaw and both eyes before the hands.
    order = [*range(22), *range(25, 55)] if len(rest) == 55 else [*range(len(rest))]
    return rest[order[: len(skeleton)]]


def _fitted(joints: torch.Tensor, rest: torch.Tensor, skeleton: Skeleton) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations that turn bones with the rest directions of a body into those of the motion, and its root."""
    parents = [max(parent, 0) for parent in skeleton.parents]
    targets = constant_bone_lengths(joints, skeleton)
    bones = targets - targets[:, parents]
    offsets = F.normalize(rest - rest[parents], dim=-1) * bones.norm(dim=-1)[:1, :, None]
    # Hips and collars stand elsewhere on that body. Limbs move along with them, or thighs and feet would tilt to make up for it.
    first = forward_kinematics(*solve_rotations(targets, skeleton, offsets), skeleton)
    places = [targets[:, 0]]
    for joint, parent in enumerate(skeleton.parents[1:], start=1):
        branches = len(skeleton.children[parent]) > 1
        places.append(places[parent] + (first[:, joint] - first[:, parent] if branches else bones[:, joint]))
    rotations, root, _ = solve_rotations(torch.stack(places, dim=1), skeleton, offsets)
    return rotations, root


def _recorded(motion: Motion, rest: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The motion's rotations, counted from a body's rest pose instead of its own, and its root.

    Where both rest alike they stay as they are, body and hands each: bodies of other shapes share the poses of SMPL.
    """
    skeleton = motion.skeleton
    still = np.zeros((1, len(skeleton), 4))
    still[..., 0] = 1
    own = motion.rest_offsets if motion.rest_offsets.ndim == 2 else motion.rest_offsets.mean(axis=0)
    resting = place_joints(still, np.zeros((1, 3)), own.astype(np.float64), skeleton)
    turned, _ = _fitted(torch.from_numpy(resting), torch.from_numpy(rest), skeleton)
    turned = world_rotations(turned.numpy(), skeleton)
    rotations = motion.rotations.astype(np.float64)
    groups = (slice(len(HUMANML3D_22)), slice(len(HUMANML3D_22), len(skeleton)))
    alike = [2 * np.arccos(np.abs(turned[:, group, 0]).min(initial=1).clip(0, 1)) <= _RESTS_ALIKE for group in groups]
    for group, same in zip(groups, alike, strict=True):
        turned[:, group] = still[:, group] if same else turned[:, group]
    if not all(alike):
        rotations = local_rotations(multiply(world_rotations(rotations, skeleton), turned), skeleton)
    return torch.from_numpy(without_jumps(rotations)), torch.from_numpy(motion.joints[:, 0].astype(np.float64))


def _lift(joints: torch.Tensor, rotations: torch.Tensor, root: torch.Tensor, rest: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """How much higher a body must stand, (3,), for its feet to be where those of the motion are."""
    feet = list(HUMANML3D_22.feet)
    body = forward_kinematics(rotations, root, rest - rest[[max(parent, 0) for parent in skeleton.parents]], skeleton)
    height = (joints[:, feet, 1].amin(dim=-1) - body[:, feet, 1].amin(dim=-1)).median()
    return torch.tensor([0.0, 1.0, 0.0]) * height
