"""Looking into videos of people: frames, detectors of poses, and the keypoints that retrieval reads.

PyAV (`pip install 'hf-motion[render]'`) is imported when a video is read, torch when a detector is built, never before.
"""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_names

if TYPE_CHECKING:
    from .blazepose import BlazePoseDetector
    from .frames import VideoFrames, read_frames
    from .keypoints import H36M_JOINTS, Keypoints, crop_scale, to_h36m
    from .poses import PoseDetector, main_person, read_keypoints
    from .sheet import save_pose_sheet
    from .vitpose import VitPoseDetector

_MODULES = {
    "BlazePoseDetector": "blazepose", "H36M_JOINTS": "keypoints", "Keypoints": "keypoints", "PoseDetector": "poses",
    "VideoFrames": "frames", "VitPoseDetector": "vitpose", "crop_scale": "keypoints", "main_person": "poses",
    "read_frames": "frames", "read_keypoints": "poses", "save_pose_sheet": "sheet", "to_h36m": "keypoints",
}  # fmt: skip

__all__ = [
    "H36M_JOINTS",
    "BlazePoseDetector",
    "Keypoints",
    "PoseDetector",
    "VideoFrames",
    "VitPoseDetector",
    "crop_scale",
    "main_person",
    "read_frames",
    "read_keypoints",
    "save_pose_sheet",
    "to_h36m",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
