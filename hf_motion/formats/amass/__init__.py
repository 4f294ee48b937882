"""AMASS and what else holds rotations of SMPL, SMPL-H or SMPL-X (`.npz`)."""

from .reading import KEYS, amass_animation, amass_face, read_amass
from .writing import smpl_rest_joints, write_amass

__all__ = ["KEYS", "amass_animation", "amass_face", "read_amass", "smpl_rest_joints", "write_amass"]
