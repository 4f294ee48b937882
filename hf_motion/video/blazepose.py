"""BlazePose: a detector of poses that is small enough to come with the package.

Bazarevsky et al., *BlazePose: On-device Real-time Body Pose Tracking*, CVPR workshops 2020. Steps and constants are those of MediaPipe's
pose graphs (0.10): a detector on the whole frame gives the middle of the hips and a point that tells size and tilt of the body; the square
turned so is cut out; a second network finds landmarks in it, which heat maps refine.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checkpoints import EMBEDDED_BLAZEPOSE
from .blazepose_network import load_networks

_STRIDES = (8, 16, 32, 32, 32)
_OVERLAP = 0.3
_ENLARGE = 1.25
_WINDOW = 7
_REFINE_FROM = 0.5
_LANDMARKS, _SHOWN = 39, 33
_CENTRE, _RIM = 33, 34  # landmarks that the next frame's square is laid by


class BlazePoseDetector:
    """Finds people and their 33 landmarks, offline, in plain torch.

    Args:
        folder (`str` or `os.PathLike`, *optional*): `graph.json` and `model.safetensors` as `hf_motion.conversion.blazepose` writes them;
            the weights inside the package by default ("lite" landmarks).
        max_people (`int`, defaults to 4): Of each frame, the best ones.
        min_score (`float`, defaults to 0.5): From what score on there is a person: of the detector, and of the landmarks.
        tracking (`bool`, defaults to `False`): Follow one person through consecutive frames and ask the detector only where it is lost:
            faster and steadier for dense frames, wrong for frames seconds apart.
        batch_size (`int`, defaults to 16): Frames at once; results do not depend on it.
        device (`str` or `torch.device`, defaults to `"cpu"`): Where to run.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is damaged, or an option is out of range.

    Example:
        >>> BlazePoseDetector()(np.zeros((1, 64, 48, 3), np.uint8))[0].shape
        (0, 33, 3)
    """

    layout = "blazepose-33"

    def __init__(
        self,
        folder: str | os.PathLike | None = None,
        *,
        max_people: int = 4,
        min_score: float = 0.5,
        tracking: bool = False,
        batch_size: int = 16,
        device: str | torch.device = "cpu",
    ) -> None:
        for name, value in (("max_people", max_people), ("batch_size", batch_size)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}.")
        if not 0 < min_score < 1:
            raise ValueError(f"min_score must be between 0 and 1, got {min_score!r}.")
        folder = EMBEDDED_BLAZEPOSE if folder is None else Path(folder)
        self.detector, self.landmarks = (network.to(device) for network in load_networks(folder))
        self.max_people, self.min_score, self.tracking = max_people, min_score, tracking
        self.batch_size, self.device = batch_size, torch.device(device)
        self.anchors = _anchors(self.detector.size)
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]
        self.name = f"blazepose:{digest}:{min_score}:{'tracking' if tracking else max_people}"

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """Find people.

        Args:
            frames (`numpy.ndarray`): (n, height, width, 3) uint8 RGB.

        Returns:
            `list[numpy.ndarray]`: For each frame (people, 33, 3) float32: x, y in pixels, and how likely the landmark is visible.

        Raises:
            ValueError: If the frames have another shape or type.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames must be (n, height, width, 3) uint8, as read_frames gives them, got {frames.shape} {frames.dtype}.")
        if self.tracking:
            return self._track(frames)
        people: list[np.ndarray] = []
        for start in range(0, len(frames), self.batch_size):
            batch = frames[start : start + self.batch_size]
            squares = [found[: self.max_people] for found in self._detect(batch)]
            owners = np.repeat(np.arange(len(batch)), [len(found) for found in squares])
            points, scores = self._look(batch, owners, np.concatenate(squares))
            people += [points[(owners == index) & (scores > self.min_score), :_SHOWN] for index in range(len(batch))]
        return people

    def _track(self, frames: np.ndarray) -> list[np.ndarray]:
        people, square = [], np.zeros((0, 4), np.float32)
        for frame in frames:
            points = np.zeros((0, _LANDMARKS, 3), np.float32)
            for tried in range(2):
                if tried or not len(square):
                    square = self._detect(frame[None])[0][:1]
                found, scores = self._look(frame[None], np.zeros(len(square), np.int64), square)
                if len(found) and scores[0] > self.min_score:
                    points = found
                    break
                if tried or not len(square):
                    break
                square = square[:0]
            square = _square(points[:, _CENTRE, :2], points[:, _RIM, :2])
            people.append(points[:, :_SHOWN])
        return people

    @torch.no_grad()
    def _detect(self, frames: np.ndarray) -> list[np.ndarray]:
        """Squares around people of each frame, best first: (people, 4), centre x, y, side in pixels, and turn in radians."""
        height, width = frames.shape[1:3]
        whole = np.array([[width / 2, height / 2, max(width, height), 0]], dtype=np.float32)
        images = torch.cat([_cut(frame, whole, self.detector.size, "black") for frame in frames])
        outputs = self.detector((images * 2 - 1).to(self.device, memory_format=torch.channels_last))
        scores = outputs["scores"][..., 0].clamp(-100, 100).sigmoid().cpu().numpy()
        boxes = outputs["boxes"].cpu().numpy() / self.detector.size
        found = []
        for box, score in zip(boxes, scores, strict=True):
            good = score > self.min_score
            places = box[good]
            places[:, [0, 1, *range(4, 12)]] += np.tile(self.anchors[good], 5)
            merged = _merge(places, score[good])
            points = (merged[:, 4:8].reshape(-1, 2, 2) - 0.5) * whole[0, 2] + whole[0, :2]
            found.append(_square(points[:, 0], points[:, 1]))
        return found

    @torch.no_grad()
    def _look(self, frames: np.ndarray, owners: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks within squares, (people, 39, 3) in pixels of their frames with visibility, and how likely each is a person."""
        points, scores = [np.zeros((0, _LANDMARKS, 3), np.float32)], [np.zeros(0, np.float32)]
        for start in range(0, len(squares), self.batch_size):
            chosen = slice(start, start + self.batch_size)
            images = torch.cat(
                [_cut(frames[o], s[None], self.landmarks.size, "edge") for o, s in zip(owners[chosen], squares[chosen], strict=True)]
            )
            outputs = self.landmarks(images.to(self.device, memory_format=torch.channels_last))
            raw = outputs["landmarks"].cpu().numpy().reshape(-1, _LANDMARKS, 5)
            places = _refine(raw[..., :2] / self.landmarks.size, outputs["heatmaps"].sigmoid().cpu().numpy())
            visible = 1 / (1 + np.exp(-raw[..., 3:4]))
            points.append(np.concatenate([_place(places, squares[chosen]), visible], axis=-1).astype(np.float32))
            scores.append(outputs["presence"][:, 0].cpu().numpy())
        return np.concatenate(points), np.concatenate(scores)


def _anchors(size: int) -> np.ndarray:
    """Centres that boxes are told relative to, (2254, 2) float32 in [0, 1]: two for each cell and layer, layers of one stride together."""
    centres = []
    for stride in sorted(set(_STRIDES)):
        cells = -(-size // stride)
        y, x = np.mgrid[:cells, :cells]
        grid = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        centres.append(np.repeat(grid, 2 * _STRIDES.count(stride), axis=0))
    return np.concatenate(centres).astype(np.float32)


def _merge(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Boxes that overlap become their mean, weighted by their scores, best first; (people, 12): centre, size, and four points."""
    merged, order = [], np.argsort(-scores, kind="stable")
    low, high = boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2
    areas = np.prod(high - low, axis=1)
    while len(order):
        best = order[0]
        sides = np.minimum(high[best], high[order]) - np.maximum(low[best], low[order])
        common = np.prod(np.maximum(sides, 0), axis=1)
        same = common / np.maximum(areas[best] + areas[order] - common, 1e-9) > _OVERLAP
        same[0] = True
        weights = scores[order[same]]
        merged.append((boxes[order[same]] * weights[:, None]).sum(axis=0) / weights.sum())
        order = order[~same]
    return np.array(merged, dtype=np.float32).reshape(-1, 12)


def _square(centres: np.ndarray, rims: np.ndarray) -> np.ndarray:
    """Squares about centres, as large as the rim is far, turned so that the rim is above: (people, 4)."""
    across = rims - centres
    side = 2 * _ENLARGE * np.linalg.norm(across, axis=-1)
    turn = np.pi / 2 - np.arctan2(-across[:, 1], across[:, 0])
    turn -= 2 * np.pi * np.floor((turn + np.pi) / (2 * np.pi))
    return np.concatenate([centres, side[:, None], turn[:, None]], axis=1).astype(np.float32)


def _place(points: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Points (people, n, 2) in [0, 1] of their squares to pixels of the frames."""
    x, y = np.moveaxis(points - 0.5, -1, 0)
    cos, sin = np.cos(squares[:, 3:]), np.sin(squares[:, 3:])
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) * squares[:, None, 2:3] + squares[:, None, :2]


def _cut(frame: np.ndarray, squares: np.ndarray, side: int, outside: str) -> Tensor:
    """Squares of a frame as (n, 3, side, side) float32 in [0, 1], bilinear; outside the frame it is black, or goes on as its edge."""
    steps = np.arange(side, dtype=np.float32) / side
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(1, -1, 2)
    places = _place(np.repeat(grid, len(squares), axis=0), squares)
    corner = np.floor(places).astype(np.int64)
    part = (places - corner).astype(np.float32)
    limit = np.array([frame.shape[1], frame.shape[0]]) - 1
    total = np.zeros((*places.shape[:2], 3), dtype=np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            at = corner + np.array([dx, dy])
            inside = np.clip(at, 0, limit)
            weight = np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1])
            if outside == "black":
                weight = weight * (at == inside).all(axis=-1)
            total += frame[inside[..., 1], inside[..., 0]] * weight[..., None]
    return torch.from_numpy(total / 255).reshape(len(squares), side, side, 3).permute(0, 3, 1, 2)


def _refine(points: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Move points (people, 39, 2) in [0, 1] to the centre of what heat maps (people, 39, h, w) show within a window around them."""
    people, count, height, width = heatmaps.shape
    half = _WINDOW // 2
    padded = np.pad(heatmaps, ((0, 0), (0, 0), (half, half), (half, half)))
    cells = (points * np.array([width, height])).astype(np.int64)
    inside = ((points >= 0) & (cells < np.array([width, height]))).all(axis=-1)
    cells = np.where(inside[..., None], cells, 0)
    steps = np.arange(_WINDOW)
    rows, columns = cells[..., 1, None] + steps, cells[..., 0, None] + steps
    first, second = np.arange(people)[:, None, None, None], np.arange(count)[None, :, None, None]
    window = padded[first, second, rows[..., :, None], columns[..., None, :]]
    total = window.sum(axis=(2, 3))
    better = inside & (window.max(axis=(2, 3)) >= _REFINE_FROM) & (total > 0)
    safe = np.where(total > 0, total, 1)
    x = (window.sum(axis=2) * (columns - half)).sum(axis=-1) / safe / width
    y = (window.sum(axis=3) * (rows - half)).sum(axis=-1) / safe / height
    return np.where(better[..., None], np.stack([x, y], axis=-1), points)
