"""Poses by two models of transformers: RT-DETR finds people, ViTPose their joints."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from ..hub.loading import load_part
from ..utils.faults import reading

_DETECTOR, _POSE = "PekingU/rtdetr_r50vd_coco_o365", "usyd-community/vitpose-base-simple"


class VitPoseDetector:
    """Finds people with RT-DETR and their 17 COCO keypoints with ViTPose.

    Args:
        detector (`PreTrainedModel`): An object detector of transformers that knows the label `person`.
        detector_processor (`BaseImageProcessor`): Its image processor.
        pose (`PreTrainedModel`): A `VitPoseForPoseEstimation`.
        pose_processor (`BaseImageProcessor`): Its image processor.
        min_score (`float`, defaults to 0.5): From what score on a box is a person.
        max_people (`int`, defaults to 8): Boxes of each frame that are looked into, the best ones.
        batch_size (`int`, defaults to 8): Frames at once.
        name (`str`, *optional*): For files that remember keypoints; from the models' names by default.

    Raises:
        ValueError: If the detector knows no persons, or `min_score` is not between 0 and 1.

    Example:
        >>> detector = VitPoseDetector.from_pretrained()  # doctest: +SKIP
        >>> read_keypoints("clip.mp4", detector)  # doctest: +SKIP
    """

    layout = "coco-17"

    def __init__(
        self,
        detector: Any,
        detector_processor: Any,
        pose: Any,
        pose_processor: Any,
        *,
        min_score: float = 0.5,
        max_people: int = 8,
        batch_size: int = 8,
        name: str | None = None,
    ) -> None:
        labels = [int(label) for label, word in detector.config.id2label.items() if word.lower() == "person"]
        if not labels:
            raise ValueError(f"This {type(detector).__name__} has no label 'person'. Use one trained on COCO, such as {_DETECTOR!r}.")
        if not 0 < min_score < 1:
            raise ValueError(f"min_score must be between 0 and 1, got {min_score!r}.")
        self.person, self.min_score, self.max_people, self.batch_size = labels[0], min_score, max_people, batch_size
        self.detector, self.detector_processor = detector.eval(), detector_processor
        self.pose, self.pose_processor = pose.eval(), pose_processor
        own = f"{detector.config.name_or_path or 'unnamed'}+{pose.config.name_or_path or 'unnamed'}"
        self.name = f"vitpose:{name or own}:{min_score}:{max_people}"

    @classmethod
    def from_pretrained(
        cls,
        pose: str | os.PathLike = _POSE,
        detector: str | os.PathLike = _DETECTOR,
        device: str | torch.device = "cpu",
        **options: Any,
    ) -> VitPoseDetector:
        """Load both models from folders or the Hub.

        Args:
            pose (`str` or `os.PathLike`): A ViTPose; `"usyd-community/vitpose-base-simple"` by default.
            detector (`str` or `os.PathLike`): An object detector; `"PekingU/rtdetr_r50vd_coco_o365"` by default.
            device (`str` or `torch.device`, defaults to `"cpu"`): Where to run.
            **options: As for the class.

        Raises:
            OSError: If there is no such model.
            ValueError: As for the class.
        """
        from transformers import AutoImageProcessor, AutoModelForObjectDetection, VitPoseForPoseEstimation

        finder = load_part(AutoModelForObjectDetection, detector, "model").to(device)
        poser = load_part(VitPoseForPoseEstimation, pose, "model").to(device)
        processors = []
        for name in (detector, pose):
            with reading(name, "a checkpoint with an image processor"):
                processors.append(AutoImageProcessor.from_pretrained(name))
        return cls(finder, processors[0], poser, processors[1], **options)

    @torch.no_grad()
    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """People in each frame: (people, 17, 3) float32; see `PoseDetector`."""
        people: list[np.ndarray] = []
        for start in range(0, len(frames), self.batch_size):
            batch = list(frames[start : start + self.batch_size])
            boxes = self._boxes(batch)
            shown = [index for index, found in enumerate(boxes) if len(found)]
            found_there = dict(zip(shown, self._poses([batch[index] for index in shown], [boxes[index] for index in shown]), strict=True))
            people += [found_there.get(index, np.zeros((0, 17, 3), np.float32)) for index in range(len(batch))]
        return people

    @torch.no_grad()
    def _boxes(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Boxes of people, (people, 4): left, top, width, height, which is what ViTPose wants."""
        inputs = self.detector_processor(images=images, return_tensors="pt").to(self.detector.device)
        sizes = torch.tensor([image.shape[:2] for image in images])
        results = self.detector_processor.post_process_object_detection(self.detector(**inputs), self.min_score, target_sizes=sizes)
        boxes = []
        for result in results:
            chosen = result["labels"] == self.person
            order = result["scores"][chosen].argsort(descending=True)[: self.max_people]
            corners = result["boxes"][chosen][order].cpu().numpy()
            boxes.append(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1))
        return boxes

    def _poses(self, images: list[np.ndarray], boxes: list[np.ndarray]) -> list[np.ndarray]:
        if not images:
            return []
        inputs = self.pose_processor(images, boxes=[found.tolist() for found in boxes], return_tensors="pt").to(self.pose.device)
        several = getattr(self.pose.config.backbone_config, "num_experts", 1) > 1
        experts = {"dataset_index": torch.zeros(len(inputs["pixel_values"]), dtype=torch.long)} if several else {}
        outputs = self.pose(**inputs, **experts)
        # Without a threshold: with one, joints below it would be left out and the others change their places.
        results = self.pose_processor.post_process_pose_estimation(outputs, boxes=[found.tolist() for found in boxes])
        return [
            np.stack([np.concatenate([person["keypoints"].cpu(), person["scores"].cpu()[:, None]], axis=1) for person in found]).astype(
                np.float32
            )
            for found in results
        ]
