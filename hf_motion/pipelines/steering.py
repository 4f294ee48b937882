"""Makes a motion hit what a control asks for while a diffusion model draws it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..cleanup import lock_feet
from ..floor import settle_on_floor
from ..motion import Motion
from ..representation import MotionFeatureExtractor
from ..representation.fixed_bones import fixed_bones
from .control import Targets
from .spread import Spread, turn_vectors

_FADE_SECONDS = 0.5
_DIRECTION_SECONDS = 0.4
"""Over so long the direction of travel is averaged: a root sways with every step."""

_WALKING = 0.15
"""Metres a second below which a motion stands, and faces as it likes."""

_REACH = 0.97
"""Share of a limb's length that it is stretched to at most before the body goes after it."""

_LIMBS = {f"{side}_{end}": f"{side}_{start}" for side in ("left", "right") for end, start in (("wrist", "shoulder"), ("ankle", "hip"))}
_FOLLOWS = {f"{side}_foot": f"{side}_ankle" for side in ("left", "right")}


class Steering:
    """Targets of a batch of motions, as a diffusion loop over HumanML3D features needs them.

    `constrain` serves inside the loop: it changes a prediction of clean features as little and as smoothly as it takes to hit what is
    asked, in closed form. The root's way is led through its points; the heading turns with it, so that the motion goes as it went relative
    to its body; a hand or foot moves within its reach, and the body goes after what is out of reach. The next step of the diffusion then
    makes the rest fit. `motions` serves after the loop and does the same once more, in joints, in the world of the control.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        targets (`list[Targets]`): One per motion.
        frames (`int`): Frames of the batch, at least those of the longest motion.
        device (`torch.device`): Where the loop runs.
        repeats (`int`, defaults to 1): How often each stands in the batch, in a row.
    """

    def __init__(
        self, extractor: MotionFeatureExtractor, targets: Sequence[Targets], frames: int, device: torch.device, repeats: int = 1
    ) -> None:
        self.extractor = extractor
        skeleton = extractor.features.skeleton
        self._unit = 1000.0 if skeleton.unit == "mm" else 1.0
        self._names = skeleton.joint_names
        columns = [_padded([getattr(one, name) for one in targets], frames) for name in ("places", "asked", "heading", "turned")]
        columns = [column.repeat_interleave(repeats, dim=0).to(device) for column in columns]
        self._places, self._asked, self._heading, self._turned = columns[0].float() * self._unit, columns[1], columns[2].float(), columns[3]
        self._lengths = [len(one.turned) for one in targets for _ in range(repeats)]
        lengths = torch.tensor(self._lengths, device=device)[:, None]
        self._going = (torch.arange(frames, device=device) < lengths - 1)[..., None]  # frames of a motion that another one follows
        self._fade = max(1, round(_FADE_SECONDS * extractor.fps))
        self._prepare()

    def _prepare(self) -> None:
        self._root = self._asked[..., 0, [0, 2]].all(-1)
        self._steered = (self._root[:, 1:]).any(1)
        self._root[:, 0] = True  # where nothing else is asked of it, a motion begins at the origin ...
        faces = self._turned.any(1)
        self._turned[:, 0] |= ~self._steered  # ... and faces +Z
        self._led = Spread(self._root[..., None], self._fade, bridge=True)
        self._faced = Spread(self._turned[..., None], self._fade, bridge=True)
        self._faces = faces | ~self._steered
        self._raised = Spread(self._asked[..., 0, 1:2], self._fade)
        whole = self._asked.all(-1)
        limbs = [self._names.index(end) for end in _LIMBS if end in self._names]
        others = [joint for joint in range(1, len(self._names)) if joint not in limbs]
        # A joint of the trunk takes the body with it, unless the body has a place of its own in that frame.
        free = ~self._root[..., None]
        self._body = torch.zeros_like(whole)
        self._body[..., others] = whole[..., others] & free
        self._stretched = torch.zeros_like(whole)
        self._stretched[..., limbs] = whole[..., limbs] & free
        self._local = whole.clone()
        self._local[..., others] &= ~free
        self._local[..., 0] = False
        self._moved = Spread(self._local, self._fade)
        pulled = (self._body | self._stretched).any(-1)
        anchors = pulled | self._root
        self._pulled = Spread(anchors[..., None], self._fade, bridge=True) if bool(pulled.any()) else None
        self._pulled_up = Spread(pulled[..., None], self._fade) if bool(pulled.any()) else None

    def constrain(self, prediction: Tensor) -> Tensor:
        """Predicted clean features that hit the targets.

        Args:
            prediction (`torch.Tensor`): (batch, frames, features), normalised.

        Returns:
            `torch.Tensor`: Same shape.
        """
        features = self.extractor.denormalize(prediction)
        slices = self.extractor.features.slices
        old_yaw, old_root, local = self._parts(features)
        yaw, root, moved = self._hit(features, old_yaw, local)
        changed = features.clone()
        changed[:, :-1, 0] = (yaw[:, :-1] - yaw[:, 1:]) / 2
        changed[:, :-1, 1:3] = turn_vectors(-yaw[:, 1:], root[:, 1:] - root[:, :-1])[..., [0, 2]]
        changed[..., :3] = torch.where(self._going, changed[..., :3], features[..., :3])
        changed[..., 3] = root[..., 1]
        changed[..., slices["positions"]] = moved[..., 1:, :].flatten(-2)
        before, after = _velocities(old_yaw, old_root, local), _velocities(yaw, root, moved)
        kept = [joint for joint, name in enumerate(self._names) if not name.endswith(("_ankle", "_foot", "_heel"))]
        velocities = changed[:, :-1, slices["velocities"]].unflatten(-1, (-1, 3))
        velocities[..., kept, :] += (after - before)[..., kept, :]  # what feet do is left to the model: they stand or step, and never glide
        changed[:, :-1, slices["velocities"]] = velocities.flatten(-2)
        changed[..., slices["velocities"]] = torch.where(
            self._going, changed[..., slices["velocities"]], features[..., slices["velocities"]]
        )
        return self.extractor.normalize(changed)

    def motions(self, latents: Tensor, texts: Sequence[str]) -> list[Motion]:
        """Motions in the world of the control.

        Args:
            latents (`torch.Tensor`): (batch, frames, features), normalised: what the model made.
            texts (`list[str]`): One per motion.

        Returns:
            `list[Motion]`: At the model's frame rate.
        """
        features = self.extractor.denormalize(latents)
        yaw, _, local = self._parts(features)
        yaw, root, local = self._hit(features, yaw, local)
        joints = self._on_body(_world(yaw, root, local))
        ground = (self._places[..., 0, :] - joints[..., 0, :]) * joints.new_tensor((1.0, 0.0, 1.0))
        joints = joints + self._led(ground[..., None, :])  # on a body of fixed bones the pelvis lies a little elsewhere
        joints = joints.float().cpu().numpy() / self._unit
        return [
            Motion(clip[:length], fps=self.extractor.fps, skeleton=self.extractor.skeleton, text=text)
            for clip, length, text in zip(joints, self._lengths, texts, strict=True)
        ]

    def cleaned(self, motion: Motion, index: int) -> Motion:
        """A motion of `motions` settled on the floor and with its feet held still, as far as nothing is asked of heights and of feet."""
        asked = self._asked[index].any(0)
        if not bool(asked[:, 1].any()):
            motion = settle_on_floor(motion)
        feet = [joint for joint, name in enumerate(self._names) if name.endswith(("_ankle", "_foot", "_heel"))]
        return motion if bool(asked[feet].any()) else lock_feet(motion)

    def _on_body(self, joints: Tensor) -> Tensor:
        skeleton = self.extractor.features.skeleton
        fits = self.extractor.features.uniform_skeleton and skeleton.body_offsets is not None
        return fixed_bones(joints.double(), skeleton).to(joints) if fits else joints

    def _parts(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Heading (batch, frames), root (batch, frames, 3), and joints relative to both but for heights, (batch, frames, joints, 3)."""
        yaw = -2 * F.pad(features[:, :-1, 0], (1, 0)).cumsum(1)
        local = features[..., self.extractor.features.slices["positions"]].unflatten(-1, (-1, 3))
        own = torch.stack((torch.zeros_like(yaw), features[..., 3], torch.zeros_like(yaw)), dim=-1)[..., None, :]
        return yaw, self._path(features, yaw), torch.cat((own, local), dim=-2)

    def _hit(self, features: Tensor, yaw: Tensor, local: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `_parts` gives, changed so that it hits the targets."""
        wanted_yaw = self._faced((self._faced.unwrap((self._heading - yaw)[..., None]))[..., None])[..., 0, 0]
        yaw = yaw + torch.where(self._faces[:, None], wanted_yaw, 0)
        root = self._path(features, yaw)
        ground = self._places[..., 0, :] - root
        root = root + self._led((ground * ground.new_tensor((1.0, 0.0, 1.0)))[..., None, :])[..., 0, :]
        yaw = self._turned_along(features, yaw, root)
        rise = self._raised((self._places[..., 0, 1] - root[..., 1])[..., None, None])[..., 0, 0]
        root = root + torch.stack((torch.zeros_like(rise), rise, torch.zeros_like(rise)), dim=-1)
        local = local + torch.stack((torch.zeros_like(rise), rise, torch.zeros_like(rise)), dim=-1)[..., None, :]
        root, local = self._pull(yaw, root, local)
        misses = self._places - _world(yaw, root, local)
        shift = self._moved(misses)
        for follower, leader in _FOLLOWS.items():
            if follower in self._names and leader in self._names:
                one, other = self._names.index(follower), self._names.index(leader)
                asked = self._local[..., one].any(1)[:, None, None]
                shift[..., one, :] = torch.where(asked, shift[..., one, :], shift[..., other, :])
        return yaw, root, local + turn_vectors(-yaw[..., None], shift)

    def _path(self, features: Tensor, yaw: Tensor) -> Tensor:
        velocity = F.pad(features[:, :-1, 1:3], (0, 0, 1, 0))
        path = turn_vectors(yaw, torch.stack((velocity[..., 0], torch.zeros_like(yaw), velocity[..., 1]), dim=-1)).cumsum(1)
        return torch.stack((path[..., 0], features[..., 3], path[..., 2]), dim=-1)

    def _turned_along(self, features: Tensor, yaw: Tensor, root: Tensor) -> Tensor:
        """Headings that keep the direction of travel relative to the body, where the way is led."""
        if not bool(self._steered.any()):
            return yaw
        own = F.pad(features[:, :-1, 1:3], (0, 0, 0, 1))
        way = F.pad((root[:, 1:] - root[:, :-1])[..., [0, 2]], (0, 0, 0, 1))
        own, way = self._smoothed(own), self._smoothed(way)
        least = _WALKING * self._unit / self.extractor.fps
        moves = (own.norm(dim=-1) > least) & (way.norm(dim=-1) > least)
        angle = torch.atan2(way[..., 0], way[..., 1]) - torch.where(own.norm(dim=-1) > least, torch.atan2(own[..., 0], own[..., 1]), 0)
        known = moves[..., None] & self._going
        if not bool(known.any()):
            return yaw
        # Between stretches of walking, and where headings are asked besides, turns run on smoothly.
        led = Spread(known, self._fade, bridge=True)
        turn = led(led.unwrap((angle - yaw)[..., None])[..., None])[..., 0, 0]
        turn = self._smoothed(turn[..., None])[..., 0]
        along = torch.where(self._steered[:, None] & known.any(1), yaw + turn, yaw)
        asked = self._faced(self._faced.unwrap((self._heading - along)[..., None])[..., None])[..., 0, 0]
        return along + torch.where(self._faces[:, None], asked, 0)

    def _smoothed(self, values: Tensor) -> Tensor:
        """Means over `_DIRECTION_SECONDS` on either side of each frame, (batch, frames, n), over frames that another one follows."""
        radius = max(1, round(_DIRECTION_SECONDS * self.extractor.fps))
        frames = values.shape[1]
        real = self._going.to(values)
        kernel = values.new_ones(1, 1, 2 * radius + 1)
        rows = (values * real).mT.reshape(-1, 1, frames)
        total = F.conv1d(rows, kernel, padding=radius).reshape(values.shape[0], values.shape[2], frames).mT
        count = F.conv1d(real.mT, kernel, padding=radius).mT
        return total / count.clamp(min=1)

    def _pull(self, yaw: Tensor, root: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        """The body moved after joints that it must take along, or that are out of its reach."""
        if self._pulled is None or self._pulled_up is None:
            return root, local
        joints = _world(yaw, root, local)
        misses = (self._places - joints) * self._body[..., None]
        for end, start in _LIMBS.items():
            if end in self._names:
                tip, base = self._names.index(end), self._names.index(start)
                reach = _REACH * self._limb(tip, base)
                away = self._places[..., tip, :] - joints[..., base, :]
                size = away.norm(dim=-1, keepdim=True)
                over = away * ((size - reach).clamp(min=0) / size.clamp(min=1e-6)) * self._stretched[..., tip, None]
                misses[..., tip, :] = over
        asked = (self._body | self._stretched)[..., None].to(misses)
        mean = (misses * asked).sum(-2) / asked.sum(-2).clamp(min=1)
        ground = self._pulled((mean * mean.new_tensor((1.0, 0.0, 1.0)))[..., None, :])[..., 0, :]
        rise = self._pulled_up((mean * mean.new_tensor((0.0, 1.0, 0.0)))[..., None, :])[..., 0, :]
        return root + ground + rise, local + rise[..., None, :]

    def _limb(self, tip: int, base: int) -> float:
        skeleton, total, joint = self.extractor.features.skeleton, 0.0, tip
        while joint != base:
            total += (skeleton.rest_lengths or (0.3 * self._unit,) * len(skeleton))[joint]
            joint = skeleton.parents[joint]
        return total


def _world(yaw: Tensor, root: Tensor, local: Tensor) -> Tensor:
    return turn_vectors(yaw[..., None], local) + (root * root.new_tensor((1.0, 0.0, 1.0)))[..., None, :]


def _velocities(yaw: Tensor, root: Tensor, local: Tensor) -> Tensor:
    """Steps of the joints in the heading of the frame before, (batch, frames - 1, joints, 3)."""
    joints = _world(yaw, root, local)
    return turn_vectors(-yaw[:, :-1, None], joints[:, 1:] - joints[:, :-1])


def _padded(values: Sequence[np.ndarray], frames: int) -> Tensor:
    batch = torch.zeros((len(values), frames, *values[0].shape[1:]), dtype=torch.from_numpy(values[0]).dtype)
    for row, value in zip(batch, values, strict=True):
        row[: len(value)] = torch.from_numpy(value)
    return batch
