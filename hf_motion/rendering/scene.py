"""A motion in front of a camera: fits the view, projects, and paints frames in batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..motion import Motion
from .figure import build_figure, facing, floor_height
from .head import head_frames, head_points
from .portrait import paint_polygons, paint_portrait
from .raster import Floor, add_shadows, darken, paint_capsules

SKY_TOP, SKY_BOTTOM, FLOOR = (252, 253, 254), (240, 243, 247), (229, 234, 240)
_TRAIL = (128, 141, 160)
_AZIMUTH, _ELEVATION = np.radians(35), np.radians(17)
_FOCAL = 1.9
_BATCH = 16
_FOLLOW_RATIO = 1.5
_NEAR = 0.2
_LIGHT_LEAN = (-0.28, 0.12)
# Side of the picture of a face over that of the whole picture, and how far from its front it is not drawn on the body any more.
_PORTRAIT, _AVERTED = 0.3, 0.3


@dataclass
class Camera:
    """A perspective camera of fixed direction that slides along with a target.

    Args:
        rotation (`numpy.ndarray`): (3, 3) float32, rows right, up and forward.
        shift (`numpy.ndarray`): (3,) float32, the target in camera coordinates, metres; the third is the distance.
        focal (`float`): Focal length in pixels.
        centre (`numpy.ndarray`): (2,) float32, pixel that the axis meets.
    """

    rotation: np.ndarray
    shift: np.ndarray
    focal: float
    centre: np.ndarray

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) and depths (...) in metres of points (..., 3) relative to the target."""
        points = points @ self.rotation.T + self.shift
        depth = np.maximum(points[..., 2], _NEAR)
        flipped = points[..., :2] * np.float32([1, -1])
        return (flipped * (self.focal / depth)[..., None] + self.centre).astype(np.float32), points[..., 2]

    def floor_points(self, size: tuple[int, int]) -> np.ndarray:
        """Where each pixel's ray meets the floor y = 0, (height, width, 2) float32 (x, z) relative to the target; NaN above it."""
        x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
        rays = np.stack([x - self.centre[0], self.centre[1] - y, np.full_like(x, self.focal)], axis=-1) / self.focal @ self.rotation
        position = -self.shift @ self.rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = -position[1] / rays[..., 1]
        distance = np.where((rays[..., 1] < -1e-4) & (distance > 0), distance, np.nan)
        return (position[[0, 2]] + rays[..., [0, 2]] * distance[..., None]).astype(np.float32)


def fit_camera(points: np.ndarray, direction: np.ndarray, size: tuple[int, int], top: int = 0, pad: float = 0.0) -> Camera:
    """A three-quarter camera that sees all points.

    Args:
        points (`numpy.ndarray`): (count, 3), metres, relative to the target.
        direction (`numpy.ndarray`): (2,) horizontal direction (x, z) that the body faces.
        size (`tuple[int, int]`): Width and height of the image, pixels.
        top (`int`, defaults to 0): Rows at the top kept free for text.
        pad (`float`, defaults to 0): Space around every point, metres.
    """
    width, height = size
    angle = np.arctan2(direction[0], direction[1]) + _AZIMUTH
    sin, cos, rise, level = np.sin(angle), np.cos(angle), np.sin(_ELEVATION), np.cos(_ELEVATION)
    forward = np.array([-sin * level, -rise, -cos * level])
    right = np.array([cos, 0, -sin])
    rotation = np.stack([right, np.cross(right, forward), forward]).astype(np.float32)
    focal = _FOCAL * min(width, height)
    half = np.array([width * 0.46, (height - top) * 0.45])
    seen = points @ rotation.T
    middle = (seen[:, :2].min(axis=0) + seen[:, :2].max(axis=0)) / 2
    for _ in range(4):
        distance = np.max(focal * (np.abs(seen[:, :2] - middle) + pad) / half - seen[:, 2:])
        distance = max(distance, focal * 0.5 / half.min() - seen[:, 2].min())
        flat = (seen[:, :2] - middle) / (seen[:, 2:] + distance)
        middle = middle + (flat.min(axis=0) + flat.max(axis=0)) / 2 * distance
    shift = np.array([-middle[0], -middle[1], distance], dtype=np.float32)
    return Camera(rotation, shift, focal, np.array([width / 2, (height + top) / 2], dtype=np.float32))


class Scene:
    """A motion with its floor, trajectory, shadow and camera, ready to be painted. A face is drawn on the head, and larger in a corner.

    Args:
        motion (`Motion`): What to show.
        size (`tuple[int, int]`): Width and height in pixels.
        top (`int`, defaults to 0): Rows at the top that stay free of figure and floor.
        centred (`bool`, defaults to `False`): Keep the root in the middle of every frame. Otherwise the camera stands still
            where the whole clip fits well, and glides along where it would have to stand too far away.
        still (`bool`, defaults to `False`): Let the camera never glide, however far away it has to stand.
    """

    def __init__(self, motion: Motion, size: tuple[int, int], top: int = 0, centred: bool = False, still: bool = False) -> None:
        origin = np.array([*motion.joints[:, 0].mean(axis=0), floor_height(motion)])[[0, 3, 2]]
        motion = replace(motion, joints=motion.joints - origin)
        self.motion, self.size, self.figure = motion, size, build_figure(motion)
        self.path = motion.joints[:, 0][:, [0, 2]]
        direction = facing(motion)[0]
        pad = float(self.figure.radii.max())
        if centred:
            self.targets, self.camera = self.path, self._fit(self.path, direction, top, pad)
        else:
            middle, glide = np.broadcast_to(self.path.mean(axis=0), self.path.shape), _smooth(self.path, 0.5 * motion.fps)
            cameras = [self._fit(targets, direction, top, pad) for targets in (middle, glide)]
            follow = not still and cameras[0].shift[2] > _FOLLOW_RATIO * cameras[1].shift[2]
            self.targets, self.camera = (glide, cameras[1]) if follow else (middle, cameras[0])
        self.moves = bool(np.ptp(self.targets, axis=0).any())
        distance = float(self.camera.shift[2])
        self.reach = max(1.15 * distance, 3.0)
        tile = 0.5 * 2.0 ** max(0, round(np.log2(distance / 6)))
        self.floor = Floor(self.camera.floor_points(size), top, self.reach, tile, contrast=7.0)
        slope = self.camera.shift @ self.camera.rotation
        self.squash = float(distance / max(-slope[1], 0.1 * distance))
        self.top, self.face = top, None if motion.face is None else _Face(motion)
        self._project()
        self.base = self._background()

    def paint(self, images: np.ndarray, frames: np.ndarray) -> None:
        """Paint frames of the motion.

        Args:
            images (`numpy.ndarray`): (images, height, width, 3) uint8, overwritten; may be a view of larger images.
            frames (`numpy.ndarray`): (images,) int64, which frame of the motion goes where.
        """
        for begin in range(0, len(images), _BATCH):
            batch, chosen = images[begin : begin + _BATCH], frames[begin : begin + _BATCH]
            for image, target in zip(batch, self.targets[chosen], strict=True):
                image[:] = self.base
                if self.moves:
                    self.floor.paint(image, target, FLOOR)
            if self.moves:
                self._paint_trail(batch, self.targets[chosen])
            self._paint_shadow(batch, chosen)
            self._paint_body(batch, chosen)
            if self.face is not None:
                side = round(_PORTRAIT * min(self.size))
                for image, points in zip(batch, self.face.points[chosen], strict=True):
                    paint_portrait(image, points, (self.size[0] - side - 4, self.top + 4), side)

    def paint_together(self, image: np.ndarray, frames: np.ndarray, faintest: float = 0.35) -> None:
        """Paint several frames of the motion into one picture, the earlier ones fainter. For scenes that are `still`.

        Args:
            image (`numpy.ndarray`): (height, width, 3) uint8, overwritten.
            frames (`numpy.ndarray`): (poses,) int64, which frames, in order of time.
            faintest (`float`, defaults to 0.35): How opaque the first pose is.
        """
        image[:] = self.base
        for frame, opacity in zip(frames, np.linspace(faintest, 1, len(frames)) if len(frames) > 1 else [1.0], strict=True):
            drawn, chosen = image[None].copy(), np.array([frame])
            self._paint_shadow(drawn, chosen)
            self._paint_body(drawn, chosen)
            image[:] = (image * (1 - opacity) + drawn[0] * opacity + 0.5).astype(np.uint8)

    def _fit(self, targets: np.ndarray, direction: np.ndarray, top: int, pad: float) -> Camera:
        points = self.motion.joints - np.stack([targets[:, 0], np.zeros(len(targets)), targets[:, 1]], axis=-1)[:, None]
        feet = points[:, :1] * np.float32([1, 0, 1])
        ends = self.figure.ends[:, -1:] - self.motion.joints[:, :1] + points[:, :1]
        return fit_camera(np.concatenate([points, feet, ends], axis=1).reshape(-1, 3), direction, self.size, top, pad)

    def _project(self) -> None:
        offset = np.stack([self.targets[:, 0], np.zeros(len(self.targets)), self.targets[:, 1]], axis=-1)[:, None]
        figure, focal = self.figure, self.camera.focal
        starts, ends = figure.starts - offset, figure.ends - offset
        (self.starts, near), (self.ends, far) = self.camera.project(starts), self.camera.project(ends)
        depths = np.maximum(np.stack([near, far], axis=-1), _NEAR)
        self.radii = (figure.radii * focal / depths).astype(np.float32)
        self.order = np.argsort(-depths.mean(axis=-1), axis=1, kind="stable")
        fallen = [self.camera.project(self._fall(points)) for points in (starts, ends)]
        (self.shadow_starts, near), (self.shadow_ends, far) = fallen
        depths = np.maximum(np.stack([near, far], axis=-1), _NEAR)
        self.shadow_radii = (figure.radii * 0.9 * focal / depths).astype(np.float32)

    def _fall(self, points: np.ndarray) -> np.ndarray:
        """Points along the light onto the floor."""
        right, ahead = self.camera.rotation[0], np.cross(self.camera.rotation[0], np.float32([0, 1, 0]))
        lean = _LIGHT_LEAN[0] * right - _LIGHT_LEAN[1] * ahead
        fallen = points + np.maximum(points[..., 1:2], 0) * -lean
        fallen[..., 1] = 0
        return fallen

    def _background(self) -> np.ndarray:
        """Everything that is the same in all frames, (height, width, 3) uint8."""
        image = np.empty((1, self.size[1], self.size[0], 3), dtype=np.uint8)
        ramp = np.linspace(0, 1, self.size[1])[:, None, None]
        image[:] = SKY_TOP + np.subtract(SKY_BOTTOM, SKY_TOP) * ramp + 0.5
        if not self.moves:
            self.floor.paint(image[0], self.targets[0], FLOOR)
            self._paint_trail(image, self.targets[:1])
        return image[0]

    def _paint_trail(self, images: np.ndarray, targets: np.ndarray) -> None:
        corners = _thin(self.path, 0.012 * float(self.camera.shift[2]), limit=48)
        points = np.stack([corners[:, 0], np.zeros(len(corners)), corners[:, 1]], axis=-1)
        points = points - np.stack([targets[:, 0], np.zeros(len(targets)), targets[:, 1]], axis=-1)[:, None]
        pixels, depths = self.camera.project(points.astype(np.float32))
        fade = np.clip(1 - (np.hypot(points[..., 0], points[..., 2]) / self.reach) ** 2, 0, 1)
        opacity = (np.minimum(fade[:, 1:], fade[:, :-1]) * 0.9).astype(np.float32)
        inside = ((pixels > 0) & (pixels < self.size)).all(axis=-1) & (depths > _NEAR)
        opacity *= inside[:, 1:] | inside[:, :-1]
        radii = (0.016 * self.camera.focal / np.maximum(depths, _NEAR)).astype(np.float32)
        colours = np.broadcast_to(np.float32(_TRAIL), (len(images), 3))
        for i in range(len(corners) - 1):
            seen = opacity[:, i, None] > 0.02
            if seen.any():
                start, end = np.where(seen, pixels[:, i], 0), np.where(seen, pixels[:, i + 1], 0)
                width = np.where(seen, radii[:, i : i + 2], 0)
                paint_capsules(images, start, end, width, colours, opacity[:, i] * seen[:, 0], self.squash)

    def _paint_shadow(self, images: np.ndarray, frames: np.ndarray) -> None:
        masks = np.zeros(images.shape[:3], dtype=np.uint8)
        starts, ends, radii = self.shadow_starts[frames], self.shadow_ends[frames], self.shadow_radii[frames]
        for bone in range(starts.shape[1]):
            add_shadows(masks, starts[:, bone], ends[:, bone], radii[:, bone], softness=0.7, squash=self.squash)
        darken(images, masks, strength=0.3)

    def _paint_body(self, images: np.ndarray, frames: np.ndarray) -> None:
        order = self.order[frames]
        pick = np.arange(len(images))
        starts, ends, radii = self.starts[frames], self.ends[frames], self.radii[frames]
        faces = {} if self.face is None else self._seen_faces(frames)
        for rank in range(order.shape[1]):
            bone = order[:, rank]
            paint_capsules(images, starts[pick, bone], ends[pick, bone], radii[pick, bone], self.figure.colours[bone])
            for index in np.flatnonzero(bone == self.starts.shape[1] - 1):
                if index in faces:
                    paint_polygons(images[index], faces[index])

    def _seen_faces(self, frames: np.ndarray) -> dict[int, np.ndarray]:
        """Pixels of the face's points in those of some frames in which it looks towards the camera, by their place."""
        found = {}
        for index, frame in enumerate(frames):
            target = np.array([self.targets[frame, 0], 0, self.targets[frame, 1]])
            points, ahead = self.face.placed(frame)
            pixels, depth = self.camera.project((points - target).astype(np.float32))
            eye = -(self.camera.shift @ self.camera.rotation) + target - points.mean(axis=0)
            if depth.min() > _NEAR and ahead @ eye > _AVERTED * np.linalg.norm(eye):
                found[index] = pixels
        return found


class _Face:
    """The points of a motion's face, and where its head carries them."""

    def __init__(self, motion: Motion) -> None:
        self.points = head_points(motion.face)
        self.head = head_frames(motion)

    def placed(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (points, 3) in metres, and where the face looks, (3,)."""
        if self.head is None:
            return np.full((1, 3), -np.inf), np.zeros(3)
        middle, axes, radius = self.head
        return middle[frame] + radius * self.points[frame] @ axes[frame], axes[frame, 2]


def _smooth(path: np.ndarray, width: float) -> np.ndarray:
    """A path (frames, 2) blurred over time by a Gaussian of `width` frames."""
    half = int(np.ceil(2.5 * width))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / max(width, 1e-3)) ** 2)
    padded = np.pad(path, ((half, half), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, axis], kernel / kernel.sum(), mode="valid") for axis in range(2)], axis=-1).astype(np.float32)


def _thin(path: np.ndarray, step: float, limit: int) -> np.ndarray:
    """Corners of a path (frames, 2) that are at least `step` apart, both ends included, `limit` of them at most."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    step = max(step, length[-1] / limit)
    kept = [0]
    for frame in range(1, len(path)):
        if length[frame] - length[kept[-1]] >= step:
            kept.append(frame)
    return path[[*kept[:-1], len(path) - 1]] if len(kept) > 1 else path[[0]]
