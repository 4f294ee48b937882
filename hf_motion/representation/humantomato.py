"""HumanTOMATO's whole-body features: root motion, joint positions and velocities of body and hands, and a face.

Source: Lu et al., *HumanTOMATO: Text-aligned Whole-body Motion Generation* (2023), section 3.2 and appendix B.1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..skeletons import Skeleton
from .humanml3d import HumanML3DRepresentation


class HumanTomatoRepresentation(HumanML3DRepresentation):
    """Joint positions, and if wanted a face, to HumanTOMATO's features and back.

    They are `HumanML3DRepresentation`'s without `rotations` and `contacts`: 313 numbers for 52 joints, 4 + 3 * 51 + 3 * 52.

    | slice | width | content |
    |---|---|---|
    | `root_rotation` | 1 | half of the root's yaw velocity, radians per frame |
    | `root_velocity` | 2 | root velocity x, z in the heading frame, unit per frame |
    | `root_height` | 1 | root height above the floor |
    | `positions` | 3 (J - 1) | joints without the root, relative to it in x, z, in the heading frame; heights absolute |
    | `velocities` | 3 J | joint velocities in the heading frame, unit per frame |
    | `face` | `face_dim` | coefficients of the face, as they come; only with `face_dim` |

    The paper writes the width of the positions as 3N-1. It is taken as 3 (N - 1), a vector for each joint but the root, as in HumanML3D's
    features, which it extends. It names neither rotations (its table 4 finds that they harm) nor contacts. The code published with it
    keeps both and has no face: 623 numbers, which are `HumanML3DRepresentation("smplx-52")`. The paper's faces are 50 coefficients of
    FLAME. Neither decodes into `Motion.rotations`: these features hold none, and those of the 623 are further from the truth than the ones
    that are solved from the positions, see `HumanML3DRepresentation`.

    Args:
        skeleton (`str` or `Skeleton`, defaults to `"smplx-52"`): A skeleton with `rest_directions`, `facing` and `feet`.
        uniform_skeleton (`bool`, defaults to `True`): Retarget clips to the skeleton's `rest_lengths` before features are taken. Needs
            `rest_lengths`; without them it is `False`.
        fps (`float`, *optional*): Frame rate of the features, the skeleton's own by default.
        face_dim (`int`, defaults to 0): Coefficients of the face behind the other features, 50 in the paper; 0 keeps faces apart.

    Raises:
        ValueError: If the skeleton is unknown or lacks the fields that the features need, or `face_dim` is negative.

    Example:
        >>> import numpy as np
        >>> from hf_motion.representation import HumanTomatoRepresentation
        >>> representation = HumanTomatoRepresentation(face_dim=50)
        >>> representation.dim, representation.slices["velocities"], representation.slices["face"]
        (363, slice(157, 313, None), slice(313, 363, None))
        >>> rng = np.random.default_rng(0)
        >>> features = representation.encode(rng.normal(size=(41, 52, 3)), face=rng.normal(size=(41, 50)))
        >>> features.shape, representation.decode(features).shape, representation.decode_face(features).shape
        (torch.Size([40, 363]), torch.Size([40, 52, 3]), torch.Size([40, 50]))
    """

    def __init__(
        self, skeleton: str | Skeleton = "smplx-52", uniform_skeleton: bool = True, fps: float | None = None, face_dim: int = 0
    ) -> None:
        if face_dim < 0:
            raise ValueError(f"face_dim must be 0 (faces apart) or the number of coefficients, got {face_dim}.")
        super().__init__(skeleton, uniform_skeleton, fps)
        self.face_dim = face_dim
        if face_dim:
            self.slices["face"] = slice(self.dim, self.dim + face_dim)
            self.dim += face_dim

    @staticmethod
    def _widths(joints: int) -> dict[str, int]:
        widths = HumanML3DRepresentation._widths(joints)
        return {name: width for name, width in widths.items() if name not in ("rotations", "contacts")}

    def encode(self, joints: Tensor | np.ndarray, fps: float | None = None, face: Tensor | np.ndarray | None = None) -> Tensor:
        """Features of joint positions and coefficients of the face.

        Args:
            joints (`torch.Tensor` or `numpy.ndarray`): (..., frames, joints, 3), Y up, in the skeleton's unit.
            fps (`float`, *optional*): Frame rate of `joints` and `face`; resampled to the representation's when it differs.
            face (`torch.Tensor` or `numpy.ndarray`, *optional*): (..., frames, face_dim), needed where the features hold a face.

        Returns:
            `torch.Tensor`: (..., frames - 1, dim) float32, frames counted after resampling.

        Raises:
            ValueError: If a shape does not fit, there are fewer than two frames, a value is NaN or infinite, or a face is missing or has
                no place.
        """
        features = super().encode(joints, fps)
        if face is None and not self.face_dim:
            return features
        if face is None or not self.face_dim:
            raise ValueError(
                f"These features have {self.face_dim} coefficients of a face, got {'none' if face is None else 'some'}. Pass `face=` with "
                "features that were made with `face_dim=`, and only with those."
            )
        face = torch.as_tensor(face).to(features)
        if face.shape != (*joints.shape[:-2], self.face_dim):
            raise ValueError(
                f"face must have shape (..., frames, {self.face_dim}) with the leading dimensions and frames of joints "
                f"{tuple(joints.shape)}, got {tuple(face.shape)}."
            )
        if not face.isfinite().all():
            raise ValueError("face holds NaN or infinity; repair or drop those frames first.")
        return torch.cat((features, self._resampled(face, fps)[..., :-1, :]), dim=-1)

    def decode_face(self, features: Tensor | np.ndarray) -> Tensor:
        """Coefficients of the face, (..., frames, face_dim) float32.

        Raises:
            ValueError: If the last dimension is not `dim`, or the features hold no face.
        """
        features = torch.as_tensor(features)
        if not self.face_dim or features.shape[-1] != self.dim:
            raise ValueError(f"Features of {self!r} hold {self.face_dim} coefficients of a face, got shape {tuple(features.shape)}.")
        return features.float()[..., self.slices["face"]]

    def _parts(self, joints: Tensor) -> dict[str, Tensor]:
        return self._motion(joints, joints[..., 1:, :, :] - joints[..., :-1, :, :], self._heading(joints))
