"""HumanML3D's motion features: 263 numbers per frame for 22 joints, 251 for KIT-ML's 21, 623 for 52 with fingers.

Source: Guo et al., *Generating Diverse and Natural 3D Human Motions from Text* (CVPR 2022) and the feature code published with
the data set, whose numbers these are. Everything is batched over leading dimensions; nothing loops over frames or clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..motion import check_fps, resampling_weights
from ..skeletons import Skeleton, get_skeleton
from .rotations import (
    matrix_to_rotation_6d,
    quaternion_between,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_to_matrix,
)

_HEADING_SIGMA = 20
_UP = (0.0, 1.0, 0.0)


class HumanML3DRepresentation:
    """Joint positions to HumanML3D features and back.

    | slice | width | content |
    |---|---|---|
    | `root_rotation` | 1 | half of the root's yaw velocity, radians per frame |
    | `root_velocity` | 2 | root velocity x, z in the heading frame, unit per frame |
    | `root_height` | 1 | root height above the floor |
    | `positions` | 3 (J - 1) | joints without the root, relative to it in x, z, in the heading frame; heights absolute |
    | `rotations` | 6 (J - 1) | parent-relative bone rotations, first two matrix columns |
    | `velocities` | 3 J | joint velocities in the heading frame, unit per frame |
    | `contacts` | 4 | left ankle, left toe, right ankle, right toe rest on the ground (0 or 1) |

    Two habits of the published code are kept, because every published weight depends on them. The heading is smoothed over time
    (Gaussian, 20 frames) and set to +Z in the first frame; and hips are exchanged, but shoulders not, when the heading is taken
    for the rotations. Because of both, and since a bone's shortest turn has no twist, `rotations` are never decoded into
    `Motion.rotations`: against recorded rotations, bones of theirs are off by 1 to 27 degrees in the mean and put joints up to 18 cm
    aside, while those solved from the positions are off by 0.2 to 2.3 and 3 mm at worst (`tests/benchmarks/feature_rotations.py`,
    'hf_motion/formats/README.md'). Solve rotations from positions instead
    (`hf_motion.kinematics.solve_rotations`). One habit is not kept: where two directions are opposite the published code divides
    zero by zero and returns NaN; here the half turn is about the vertical axis, or about any axis orthogonal to the bone.

    On `smplx-52` these are the 623 numbers of HumanTOMATO's published code (4 + 153 + 306 + 156 + 4); its paper leaves some out, see
    `hf_motion.representation.HumanTomatoRepresentation`.

    Args:
        skeleton (`str` or `Skeleton`, defaults to `"humanml3d-22"`): A skeleton with `rest_directions`, `facing` and `feet`.
        uniform_skeleton (`bool`, defaults to `True`): Retarget clips to the skeleton's `rest_lengths` before features are taken,
            as the published data does. Needs `rest_lengths`; without them it is `False`.
        fps (`float`, *optional*): Frame rate of the features, the skeleton's own by default.

    Raises:
        ValueError: If the skeleton is unknown or lacks the fields that the features need.

    Example:
        >>> import numpy as np
        >>> from hf_motion.representation import HumanML3DRepresentation
        >>> representation = HumanML3DRepresentation()
        >>> representation.dim, representation.slices["positions"]
        (263, slice(4, 67, None))
        >>> features = representation.encode(np.random.default_rng(0).normal(size=(2, 41, 22, 3)), fps=20)
        >>> features.shape, representation.decode(features).shape
        (torch.Size([2, 40, 263]), torch.Size([2, 40, 22, 3]))
    """

    def __init__(self, skeleton: str | Skeleton = "humanml3d-22", uniform_skeleton: bool = True, fps: float | None = None) -> None:
        self.skeleton = get_skeleton(skeleton)
        missing = [name for name in ("rest_directions", "chains", "facing", "feet", "leg", "fps") if getattr(self.skeleton, name) is None]
        if missing:
            raise ValueError(
                f"Skeleton {self.skeleton.name!r} lacks {', '.join(missing)}, which HumanML3D features need. "
                "Use 'humanml3d-22' or 'kit-21', or give your skeleton these fields."
            )
        self.uniform_skeleton = uniform_skeleton and self.skeleton.rest_lengths is not None
        self.fps = check_fps(self.skeleton.fps if fps is None else fps)
        joints = len(self.skeleton)
        widths = self._widths(joints)
        ends = np.cumsum(list(widths.values())).tolist()
        self.slices: dict[str, slice] = {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}
        self.dim: int = ends[-1]
        # Row j sums the bones from the root to joint j.
        self._ancestors = torch.eye(joints - 1)
        for joint, parent in enumerate(self.skeleton.parents[1:]):
            if parent:
                self._ancestors[joint] += self._ancestors[parent - 1]
        # KIT-ML is measured in millimetres and published with this threshold; HumanML3D in metres.
        self.contact_threshold = 0.05 if self.skeleton.unit == "mm" else 0.002

    @staticmethod
    def _widths(joints: int) -> dict[str, int]:
        """Numbers in each slice, in their order."""
        return {
            "root_rotation": 1, "root_velocity": 2, "root_height": 1, "positions": 3 * (joints - 1),
            "rotations": 6 * (joints - 1), "velocities": 3 * joints, "contacts": 4,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.skeleton.name!r}, dim={self.dim}, fps={self.fps:g})"

    @cached_property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """Which features describe the root, the body without fingers, the hands and the face; those that there are.

        Root features are the first three slices. What holds a number or a vector per joint belongs where the joint does, contacts and the
        root's entry among the joints' velocities to the body. Each feature is in one group.

        Example:
        >>> from hf_motion.representation import HumanML3DRepresentation
        >>> {name: len(features) for name, features in HumanML3DRepresentation("smplx-52").groups.items()}
        {'root': 4, 'body': 259, 'hands': 360}
        """
        hands = set(self.features_of("hands")) if "hands" in self.skeleton.groups else set()
        groups: dict[str, list[int]] = {"root": [], "body": [], "hands": sorted(hands), "face": []}
        for name, part in self.slices.items():
            kind = "root" if name.startswith("root") else "face" if name == "face" else "body"
            groups[kind] += [feature for feature in range(part.start, part.stop) if feature not in hands]
        return {name: tuple(features) for name, features in groups.items() if features}

    def features_of(self, joints: str | Sequence[int]) -> tuple[int, ...]:
        """Features that describe some joints alone: their positions, rotations and velocities, not the root's path and no contacts.

        Args:
            joints (`str` or `Sequence[int]`): A name of `Skeleton.groups`, such as `"hands"` or `"arms"`, or indices of joints.

        Returns:
            `tuple[int, ...]`: Places in the features, ascending.

        Raises:
            ValueError: If the skeleton has no such group or joint, or it is the root.

        Example:
        >>> from hf_motion.representation import HumanML3DRepresentation
        >>> len(HumanML3DRepresentation("smplx-52").features_of("hands")), HumanML3DRepresentation().features_of([1])[:3]
        (360, (4, 5, 6))
        """
        groups = self.skeleton.groups
        if isinstance(joints, str) and joints not in groups:
            raise ValueError(f"Skeleton {self.skeleton.name!r} has no joints called {joints!r}; groups are {', '.join(groups)}.")
        chosen = groups[joints] if isinstance(joints, str) else tuple(joints)
        if not chosen or not all(0 < joint < len(self.skeleton) for joint in chosen):
            raise ValueError(f"joints must be some of 1 to {len(self.skeleton) - 1}; the root's features are the path. Got {list(chosen)}.")
        features = []
        for name, width, first in (("positions", 3, 1), ("rotations", 6, 1), ("velocities", 3, 0)):
            if name in self.slices:
                start = self.slices[name].start
                features += [start + (joint - first) * width + axis for joint in chosen for axis in range(width)]
        return tuple(sorted(features))

    def encode(self, joints: Tensor | np.ndarray, fps: float | None = None) -> Tensor:
        """Features of joint positions.

        Args:
            joints (`torch.Tensor` or `numpy.ndarray`): (..., frames, joints, 3), Y up, in the skeleton's unit.
            fps (`float`, *optional*): Frame rate of `joints`; resampled to the representation's when it differs.

        Returns:
            `torch.Tensor`: (..., frames - 1, dim) float32, frames counted after resampling. The last pose only serves the
            velocities.

        Raises:
            ValueError: If the shape does not fit, there are fewer than two frames, or a value is NaN or infinite.
        """
        joints = self._resampled(self._checked(joints).flatten(-2), fps).unflatten(-1, (-1, 3))
        if joints.shape[-3] < 2:
            raise ValueError(f"Features need at least two frames at {self.fps:g} fps, got {joints.shape[-3]}; use a longer clip.")
        parts = self._parts(self.canonicalize(joints))
        return torch.cat([parts[name] for name in self.slices if name in parts], dim=-1)

    def canonicalize(self, joints: Tensor) -> Tensor:
        """The clip on the reference skeleton, standing on the floor, starting at the origin and facing +Z.

        Args:
            joints (`torch.Tensor`): (..., frames, joints, 3).

        Returns:
            `torch.Tensor`: Same shape.
        """
        if self.uniform_skeleton:
            joints = self.retarget(joints)
        floor = joints[..., 1].amin(dim=(-2, -1))
        start = joints[..., 0, 0, :]
        joints = joints - torch.stack((start[..., 0], floor, start[..., 2]), dim=-1)[..., None, None, :]
        right_hip, left_hip, right_shoulder, left_shoulder = self.skeleton.facing
        first = joints[..., 0, :, :]
        across = first[..., right_hip, :] - first[..., left_hip, :] + first[..., right_shoulder, :] - first[..., left_shoulder, :]
        return _turn(self._to_forward(_horizontal_normal(across))[..., None, None, :], joints)

    def retarget(self, joints: Tensor) -> Tensor:
        """Bones brought to the reference lengths with their directions kept; the path is scaled with the legs.

        The published code reaches the same joints through inverse and forward kinematics.

        Args:
            joints (`torch.Tensor`): (..., frames, joints, 3).

        Returns:
            `torch.Tensor`: Same shape.
        """
        skeleton = self.skeleton
        lengths = joints.new_tensor(skeleton.rest_lengths)
        parents = list(skeleton.parents[1:])
        bones = joints[..., 1:, :] - joints[..., parents, :]
        bones = F.normalize(bones, dim=-1) * lengths[1:, None]
        leg = list(skeleton.leg)
        source_leg = torch.linalg.vector_norm(
            joints[..., 0, leg, :] - joints[..., 0, [skeleton.parents[joint] for joint in leg], :], dim=-1
        ).sum(-1)
        scale = lengths[leg].sum() / source_leg.clamp_min(1e-6)
        root = joints[..., :1, :] * scale[..., None, None, None]
        return torch.cat((root, root + self._ancestors.to(joints) @ bones), dim=-2)

    def decode(self, features: Tensor | np.ndarray) -> Tensor:
        """Joint positions of features, from the root motion and the `positions` slice.

        Args:
            features (`torch.Tensor` or `numpy.ndarray`): (..., frames, dim), not normalised.

        Returns:
            `torch.Tensor`: (..., frames, joints, 3) float32 in the skeleton's unit, starting at the origin and facing +Z.

        Raises:
            ValueError: If the last dimension is not `dim`.
        """
        features = torch.as_tensor(features)
        if features.ndim < 2 or features.shape[-1] != self.dim:
            raise ValueError(
                f"Features of skeleton {self.skeleton.name!r} are {self.dim} wide, got shape {tuple(features.shape)}. "
                "Features of another data set need the representation of its skeleton."
            )
        features = features.float()
        heading, root = self.root_trajectory(features)
        local = features[..., self.slices["positions"]].unflatten(-1, (-1, 3))
        joints = _turn(quaternion_conjugate(heading)[..., None, :], local)
        joints = joints + F.pad(root[..., [0, 2]], (0, 1))[..., None, [0, 2, 1]]
        return torch.cat((root[..., None, :], joints), dim=-2)

    def root_trajectory(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Heading quaternions (..., frames, 4), world to heading frame, and root positions (..., frames, 3) of features."""
        half_angle = F.pad(features[..., :-1, 0], (1, 0)).cumsum(-1)
        zero = torch.zeros_like(half_angle)
        heading = torch.stack((half_angle.cos(), zero, half_angle.sin(), zero), dim=-1)
        velocity = F.pad(features[..., :-1, 1:3], (0, 0, 1, 0))
        velocity = torch.stack((velocity[..., 0], zero, velocity[..., 1]), dim=-1)
        path = _turn(quaternion_conjugate(heading), velocity).cumsum(-2)
        return heading, torch.stack((path[..., 0], features[..., 3], path[..., 2]), dim=-1)

    def _resampled(self, values: Tensor, fps: float | None) -> Tensor:
        """Values (..., frames, width) at the representation's frame rate."""
        if fps is None or check_fps(fps) == self.fps or values.shape[-2] < 2:
            return values
        left, weights = resampling_weights(values.shape[-2], fps, self.fps)
        weight = torch.from_numpy(weights).to(values)[:, None]
        return values[..., left, :] * (1 - weight) + values[..., left + 1, :] * weight

    def _checked(self, joints: Tensor | np.ndarray) -> Tensor:
        joints = joints if torch.is_tensor(joints) else torch.from_numpy(np.require(joints, requirements="W"))
        if joints.ndim < 3 or joints.shape[-2:] != (len(self.skeleton), 3):
            raise ValueError(
                f"joints must have shape (..., frames, {len(self.skeleton)}, 3) for skeleton {self.skeleton.name!r}, got "
                f"{tuple(joints.shape)}. Map other rigs to its joints first."
            )
        joints = joints.float()
        if not joints.isfinite().all():
            raise ValueError("joints holds NaN or infinity; repair or drop those frames first.")
        return joints

    @staticmethod
    def _to_forward(direction: Tensor) -> Tensor:
        """Rotation about the vertical axis that takes a horizontal direction to +Z."""
        return quaternion_between(direction, direction.new_tensor((0.0, 0.0, 1.0)), half_turn_axis=direction.new_tensor(_UP))

    def _parts(self, joints: Tensor) -> dict[str, Tensor]:
        """The features of each slice, of joints on the reference skeleton."""
        heading = self._heading(joints)
        displacement = joints[..., 1:, :, :] - joints[..., :-1, :, :]
        contacts = displacement[..., list(self.skeleton.feet), :].square().sum(-1) < self.contact_threshold
        rotations = matrix_to_rotation_6d(quaternion_to_matrix(self._bone_rotations(joints, heading)))
        parts = self._motion(joints, displacement, heading)
        return parts | {"rotations": rotations[..., :-1, :, :].flatten(-2), "contacts": contacts.to(joints)}

    def _heading(self, joints: Tensor) -> Tensor:
        """Smoothed heading, world to heading frame, quaternions (..., frames, 4)."""
        # Hips in the other order than in `canonicalize`: see the class docstring.
        left_hip, right_hip, right_shoulder, left_shoulder = self.skeleton.facing
        across = joints[..., right_hip, :] - joints[..., left_hip, :] + joints[..., right_shoulder, :] - joints[..., left_shoulder, :]
        heading = self._to_forward(_gaussian_smooth(_horizontal_normal(across), _HEADING_SIGMA))
        identity = torch.zeros_like(heading[..., :1, :])
        identity[..., 0] = 1
        return torch.cat((identity, heading[..., 1:, :]), dim=-2)

    def _bone_rotations(self, joints: Tensor, heading: Tensor) -> Tensor:
        """Parent-relative bone rotations, quaternions (..., frames, joints - 1, 4)."""
        parents = list(self.skeleton.parents[1:])
        bones = joints[..., 1:, :] - joints[..., parents, :]
        world = quaternion_between(joints.new_tensor(self.skeleton.rest_directions)[1:], bones)
        chain_starts = {chain[1] for chain in self.skeleton.chains}
        parent_world = torch.stack(
            [heading if joint in chain_starts else world[..., parent - 1, :] for joint, parent in enumerate(parents, start=1)], dim=-2
        )
        return quaternion_multiply(quaternion_conjugate(parent_world), world)

    def _motion(self, joints: Tensor, displacement: Tensor, heading: Tensor) -> dict[str, Tensor]:
        """Root motion, positions and velocities."""
        root_turn = quaternion_multiply(heading[..., 1:, :], quaternion_conjugate(heading[..., :-1, :]))
        root_velocity = _turn(heading[..., 1:, :], displacement[..., 0, :])
        offset = joints * joints.new_tensor((1.0, 0.0, 1.0))
        local = _turn(heading[..., None, :], joints - offset[..., :1, :])
        velocities = _turn(heading[..., :-1, None, :], displacement)
        return {
            "root_rotation": root_turn[..., 2:3].clamp(-1, 1).asin(),
            "root_velocity": root_velocity[..., [0, 2]],
            "root_height": local[..., :-1, 0, 1:2],
            "positions": local[..., :-1, 1:, :].flatten(-2),
            "velocities": velocities.flatten(-2),
        }


def _turn(heading: Tensor, vectors: Tensor) -> Tensor:
    """Rotate vectors (..., 3) by quaternions (..., 4) about the vertical axis."""
    w, y = heading[..., 0], heading[..., 2]
    cosine, sine = w * w - y * y, 2 * w * y
    x, height, z = vectors.unbind(-1)
    return torch.stack(torch.broadcast_tensors(cosine * x + sine * z, height, cosine * z - sine * x), dim=-1)


def _horizontal_normal(across: Tensor) -> Tensor:
    """Direction that the body faces, +Y cross the unit vector from its left to its right; shorter the more the body tilts."""
    across = F.normalize(across, dim=-1)
    return torch.stack((across[..., 2], torch.zeros_like(across[..., 0]), -across[..., 0]), dim=-1)


def _gaussian_smooth(values: Tensor, sigma: float) -> Tensor:
    """Gaussian filter over the frames of (..., frames, 3), ends repeated, cut at four sigma (scipy's defaults)."""
    radius = math.ceil(4 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(values)
    flat = values.reshape(-1, *values.shape[-2:]).transpose(1, 2).flatten(0, 1)[:, None]
    smooth = F.conv1d(F.pad(flat, (radius, radius), mode="replicate"), kernel[None, None])
    return smooth.reshape(-1, 3, values.shape[-2]).transpose(1, 2).reshape(values.shape)
