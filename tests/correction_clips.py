"""Motions that differ in one known thing, for the tests of corrections."""

import numpy as np

from hf_motion import Motion
from hf_motion.corrections import Change, Triplet
from hf_motion.skeletons import HUMANML3D_22

_ARM = {"left": (16, 18, 20), "right": (17, 19, 21)}


def standing(frames: int = 40, sway: float = 0.02) -> np.ndarray:
    """Joints of somebody who stands, arms hanging, and sways a little, so that no two moments are the same."""
    joints = HUMANML3D_22.body_joints.copy()
    for side in _ARM.values():
        shoulder, elbow, wrist = side
        joints[elbow] = joints[shoulder] - [0, 0.26, 0]
        joints[wrist] = joints[elbow] - [0, 0.26, 0]
    joints[:, 1] -= joints[:, 1].min()
    time = np.linspace(0, 1, frames)[:, None]
    moved = np.tile(joints, (frames, 1, 1))
    moved[:, 15, 2] += sway * np.sin(2 * np.pi * time[:, 0])
    return moved


def raise_arm(joints: np.ndarray, side: str = "left", degrees: float = 90.0, first: float = 0.25, last: float = 0.75) -> np.ndarray:
    """The same with one straight arm lifted to the front between two shares of the time, and lowered again."""
    joints = joints.copy()
    shoulder, elbow, wrist = _ARM[side]
    time = (np.linspace(0, 1, len(joints)) - first) / (last - first)
    angle = np.radians(degrees) * np.sin(np.pi * np.clip(time, 0, 1)) ** 2
    way = np.stack((np.zeros_like(angle), -np.cos(angle), np.sin(angle)), axis=-1)
    joints[:, elbow] = joints[:, shoulder] + 0.26 * way
    joints[:, wrist] = joints[:, shoulder] + 0.52 * way
    return joints


def bend_knees(joints: np.ndarray, depth: float = 0.2) -> np.ndarray:
    """The same going down and up again: all above the knees sinks, and the knees go forward."""
    joints = joints.copy()
    down = depth * np.sin(np.pi * np.linspace(0, 1, len(joints))) ** 2
    below = [7, 8, 10, 11]
    above = [joint for joint in range(22) if joint not in below]
    joints[:, above, 1] -= down[:, None]
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        joints[:, knee] = (joints[:, hip] + joints[:, ankle]) / 2
        joints[:, knee, 2] += np.sqrt(np.maximum(0.41**2 - ((joints[:, hip] - joints[:, ankle]) ** 2).sum(-1) / 4, 0))
    return joints


def make_triplets(count: int, frames: int = 41) -> list[Triplet]:
    """Arms raised by some degrees, left and right in turn."""
    found = []
    for number in range(count):
        side, degrees = ("left", "right")[number % 2], 40.0 + 10 * number
        source, target = Motion(standing(frames)), Motion(raise_arm(standing(frames), side, degrees))
        change = Change(f"{side} arm", "height", "up", degrees, "deg")
        said = f"raise the {side} arm higher"
        found.append(Triplet(source, target, said, change, f"clip{number}", "a person stands", "kinematic", (f"lift your {side} arm",)))
    return found
