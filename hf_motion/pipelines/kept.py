"""Holds a part of a motion fixed while a diffusion model makes the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..motion import Motion
from ..representation import MotionFeatureExtractor
from .spread import FADE_SECONDS, Spread, turn_vectors
from .steering import padded
from .way import ON_FLOOR

# Frames beside a border whose poses are drawn anew between those around them: a model that disagrees with the clip jumps there.
_HEALED_FRAMES = 2
_ATTACH_ROUNDS = 48


@dataclass
class Edit:
    """What one motion keeps.

    Args:
        clips (`list[Motion]`): One clip at the model's frame rate, or two. The second is placed by what is made before it.
        source (`numpy.ndarray`): For each frame of the result the frame that it is taken from, counted through both clips, or -1; (frames,)
            int64.
        known (`numpy.ndarray`): Which joints are kept, (frames, joints) bool, false where `source` is -1.
    """

    clips: list[Motion]
    source: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


class KeptMotion:
    """Poses of clips that a batch of motions keeps.

    Inside a diffusion loop predictions of clean features are overwritten with what is known, as published for MDM, and what that changes
    fades out over half a second of the neighbouring frames, so that no jump forms at the border. After it `decode` does the same in
    joints, on the body of the clip, and puts the kept joints where they were.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        edits (`list[Edit]`): One per motion.
        frames (`int`): Frames of the batch, at least those of the longest edit.
        device (`torch.device`): Where the loop runs.
        repeats (`int`, defaults to 1): How often each edit stands in the batch, in a row.
        carried (`bool`, defaults to `False`): A frame that is kept in part keeps its pose, but is carried along the way of a control.

    Raises:
        ValueError: If a clip has another skeleton, or NaN.
    """

    def __init__(
        self,
        extractor: MotionFeatureExtractor,
        edits: Sequence[Edit],
        frames: int,
        device: torch.device,
        repeats: int = 1,
        carried: bool = False,
    ) -> None:
        self.extractor = extractor
        self._parents = list(extractor.features.skeleton.parents[1:])
        rows = [_row(edit, clips) for edit, clips in zip(edits, _encode_clips(extractor, edits), strict=True)]
        tensors = (padded(values, frames).repeat_interleave(repeats, dim=0).to(device) for values in zip(*rows, strict=True))
        self._features, self.joints, self.yaw, scale, lengths, self.known, self.second, self._real = tensors
        self._lengths = lengths[:, :1]
        self.scale = torch.where(scale > 0, scale, 1.0)[..., None]
        """Units of the features in a metre of the clip, (batch, frames, 1)."""
        # A frame that keeps any joint keeps the root: what is kept hangs on it.
        self.known[..., 0] |= self.known.any(-1)
        self.carried = self.known[..., 0] & ~self.known.all(-1) & carried
        """Frames whose place and heading are led, (batch, frames) bool."""
        self._prepare(max(1, round(FADE_SECONDS * extractor.fps)))

    def _prepare(self, fade: int) -> None:
        root = self.known[..., :1]
        bones = self.known[..., 1:] & self.known[..., self._parents]
        self._rooted = Spread(root, fade, bridge=True)
        self._posed = Spread(bones, fade)
        self._sized = Spread(bones, fade, bridge=True)
        near = F.max_pool1d(bones.mT.float(), 2 * _HEALED_FRAMES + 1, stride=1, padding=_HEALED_FRAMES).mT > 0
        self._healed = Spread(bones | ~near & self._real[..., None], fade, bridge=True)
        self._mask = self._feature_mask()
        self._faded = Spread(self._mask, fade)
        slices = self.extractor.features.slices
        self._firm = self._mask.clone()
        for name in ("root_rotation", "root_velocity", "velocities"):
            self._firm[..., slices[name]] &= ~self.carried[..., None]

    def _feature_mask(self) -> Tensor:
        """(batch, frames, features) bool. Velocities and contacts of a frame depend on the next frame too."""
        known, slices = self.known, self.extractor.features.slices
        moving = known & F.pad(known[:, 1:], (0, 0, 0, 1))
        above = [0, *self._parents]
        turned = known & known[..., above] & known[..., above][..., above]
        parts = {
            "root_rotation": moving[..., :1], "root_velocity": moving[..., :1], "root_height": known[..., :1], "positions": known[..., 1:],
            "rotations": turned[..., 1:], "velocities": moving, "contacts": moving[..., list(self.extractor.features.skeleton.feet)],
        }  # fmt: skip
        widths = {name: slices[name].stop - slices[name].start for name in parts}
        return torch.cat([part.repeat_interleave(widths[name] // part.shape[-1], dim=-1) for name, part in parts.items()], dim=-1)

    def fill(self, features: Tensor) -> Tensor:
        """Normalised features (batch, frames, features) with the known ones in place, and those around them bent to meet them."""
        return features + self._faded((self._features - features)[..., None])[..., 0]

    def keep(self, features: Tensor) -> Tensor:
        """Normalised features with the known ones in place again, but for ways and headings that are led."""
        return torch.where(self._firm, self._features, features)

    def keep_way(self, features: Tensor) -> Tensor:
        """Normalised features in which frames that are carried turn and travel as their clip does."""
        return torch.where(self._mask & self.carried[..., None], self._features, features)

    def place_second(self, yaw: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
        """Known joints and headings, second clips turned and moved to where the made motion arrives."""
        if not self.second.any():
            return self.joints, self.yaw
        first = self.second.float().argmax(1)
        rows = torch.arange(len(first), device=first.device)
        turn = (yaw - self.yaw)[rows, first][:, None]
        origin = self.joints[rows, first, 0] * self.joints.new_tensor(ON_FLOOR)
        ground = root[rows, first] * root.new_tensor(ON_FLOOR)
        moved = turn_vectors(turn[..., None], self.joints - origin[:, None, None]) + ground[:, None, None]
        joints = torch.where(self.second[..., None, None], moved, self.joints)
        return joints, torch.where(self.second, self.yaw + turn, self.yaw)

    def at_height(self, root: Tensor) -> Tensor:
        """Roots (batch, frames, 3), metres, led through the heights of the known ones."""
        height = root[..., 1:2]
        height = height + self._rooted((self.joints[..., :1, 1] - height)[..., None])[..., 0]
        return torch.cat((root[..., :1], height, root[..., 2:]), dim=-1)

    def carry(self, joints: Tensor, known_yaw: Tensor, yaw: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
        """Known joints and headings, those of frames that are led turned and moved to where these are led."""
        moved = turn_vectors((yaw - known_yaw)[..., None], joints - joints[..., :1, :]) + root[..., None, :]
        return torch.where(self.carried[..., None, None], moved, joints), torch.where(self.carried, yaw, known_yaw)

    def decode(
        self,
        yaw: Tensor,
        root: Tensor,
        local: Tensor,
        joints: Tensor,
        known_yaw: Tensor,
        asked: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Joints in the world of the clip.

        Args:
            yaw (`torch.Tensor`): Headings, (batch, frames).
            root (`torch.Tensor`): Roots, (batch, frames, 3), metres.
            local (`torch.Tensor`): What the model made, not overwritten: joints relative to both but for heights.
            joints (`torch.Tensor`): Known joints where they are, (batch, frames, joints, 3).
            known_yaw (`torch.Tensor`): Their headings, (batch, frames).
            asked (`torch.Tensor`, *optional*): Other joints that have a place, (batch, frames, joints) bool.
            places (`torch.Tensor`, *optional*): These, (batch, frames, joints, 3).

        Returns:
            `torch.Tensor`: (batch, frames, joints, 3), metres.
        """
        made = F.normalize(local[..., 1:, :] - local[..., self._parents, :], dim=-1)
        bones = joints[..., 1:, :] - joints[..., self._parents, :]
        lengths = bones.norm(dim=-1)
        known = turn_vectors(-known_yaw[..., None], F.normalize(bones, dim=-1))
        directions = F.normalize(self._healed(made + self._posed(known - made)), dim=-1)
        lengths = self._lengths + self._sized((lengths - self._lengths)[..., None])[..., 0]
        bones = turn_vectors(yaw[..., None], directions) * lengths[..., None]
        held = self.known
        if asked is not None and places is not None:
            held, joints = held | asked, torch.where(asked[..., None], places, joints)
        return self._attach(joints, root, bones, lengths, held)

    def _attach(self, joints: Tensor, root: Tensor, bones: Tensor, lengths: Tensor, fixed: Tensor) -> Tensor:
        """Joints from the root outwards: known ones where they are, others at the end of their bones.

        Where a joint that is not kept lies between kept ones, as the spine does between pelvis and hands, bones are made to reach by
        going inwards and outwards in turn (FABRIK; Aristidou and Lasenby 2011).
        """
        known = fixed[..., None]
        out = [torch.where(known[..., 0, :], joints[..., 0, :], root)]
        for joint, parent in enumerate(self._parents, start=1):
            out.append(torch.where(known[..., joint, :], joints[..., joint, :], out[parent] + bones[..., joint - 1, :]))
        held = list(fixed.unbind(-1))
        for joint, parent in reversed(list(enumerate(self._parents, start=1))):
            held[parent] = held[parent] | held[joint]
        between = [held_ & ~known_ for held_, known_ in zip(held, fixed.unbind(-1), strict=True)]
        if torch.stack(between).any():
            for _ in range(_ATTACH_ROUNDS):
                self._reach_inwards(out, held, between, lengths)
                self._reach_outwards(out, between, bones, lengths, fixed)
        return torch.stack(out, dim=-2)

    def _reach_inwards(self, out: list[Tensor], held: list[Tensor], between: list[Tensor], lengths: Tensor) -> None:
        for joint in range(len(out) - 1, 0, -1):
            children = self.extractor.features.skeleton.children[joint]
            if not children or not between[joint].any():
                continue
            weights = torch.stack([held[child] for child in children], dim=-1)[..., None].to(lengths)
            ends = torch.stack([out[child] for child in children], dim=-2)
            sizes = lengths[..., [child - 1 for child in children], None]
            wanted = ends + F.normalize(out[joint][..., None, :] - ends, dim=-1) * sizes
            mean = (weights * wanted).sum(-2) / weights.sum(-2).clamp_min(1)
            out[joint] = torch.where(between[joint][..., None], mean, out[joint])

    def _reach_outwards(self, out: list[Tensor], between: list[Tensor], bones: Tensor, lengths: Tensor, fixed: Tensor) -> None:
        for joint, parent in enumerate(self._parents, start=1):
            bone = F.normalize(out[joint] - out[parent], dim=-1) * lengths[..., joint - 1, None]
            bone = torch.where(between[joint][..., None], bone, bones[..., joint - 1, :])
            out[joint] = torch.where(fixed[..., joint, None], out[joint], out[parent] + bone)


class _Clip(NamedTuple):
    """One clip on the CPU: normalised features, joints, heading in its world (frames,), feature units per metre (frames,), bone lengths."""

    features: Tensor
    joints: Tensor
    yaw: Tensor
    scale: Tensor
    lengths: Tensor


def _encode_clips(extractor: MotionFeatureExtractor, edits: Sequence[Edit]) -> list[list[_Clip]]:
    """Clips of each edit; each is encoded once, all of them together."""
    representation = extractor.features
    skeleton = representation.skeleton
    distinct = {id(clip): clip for edit in edits for clip in edit.clips}
    # The last pose stands twice, because features take one frame more than they give.
    held = [replace(clip, joints=np.concatenate((clip.joints, clip.joints[-1:])), face=None) for clip in distinct.values()]
    encoded = {}
    for key, clip, features in zip(distinct, distinct.values(), extractor.encode(held), strict=True):
        joints = torch.from_numpy(clip.joints)
        raw = extractor.denormalize(features)
        bones = joints[:, 1:] - joints[:, list(skeleton.parents[1:])]
        positions = F.pad(raw[0, representation.slices["positions"]].unflatten(-1, (-1, 3)), (0, 0, 1, 0))
        positions[0, 1] = raw[0, 3]
        reference = positions[1:] - positions[list(skeleton.parents[1:])]
        # Retargeting keeps directions, so the turn between the two first poses is that between clip and features.
        one, other = F.normalize(reference, dim=-1), F.normalize(bones[0], dim=-1)
        sine, cosine = (one[:, 2] * other[:, 0] - one[:, 0] * other[:, 2]).sum(), (one * other)[:, [0, 2]].sum()
        yaw = torch.atan2(sine, cosine) - 2 * F.pad(raw[:-1, 0], (1, 0)).cumsum(0)
        lengths = bones.norm(dim=-1)
        scale = torch.tensor(1000.0 if skeleton.unit == "mm" else 1.0)
        if representation.uniform_skeleton:
            leg = [joint - 1 for joint in skeleton.leg]
            scale = torch.tensor(skeleton.rest_lengths)[list(skeleton.leg)].sum() / lengths[0, leg].sum().clamp_min(1e-6)
        encoded[key] = _Clip(features, joints, yaw, scale.expand(len(joints)), lengths.median(0).values)
    return [[encoded[id(clip)] for clip in edit.clips] for edit in edits]


def _row(edit: Edit, clips: Sequence[_Clip]) -> tuple[Tensor, ...]:
    """Per frame of an edit: what `_Clip` holds, which joints are known, whether the second clip gives it, and that it is there."""
    source = torch.from_numpy(np.maximum(edit.source, 0))
    features, joints, yaw, scale = (torch.cat(values)[source] for values in list(zip(*clips, strict=True))[:4])
    second = torch.from_numpy(edit.source >= len(edit.clips[0]))
    return (
        features,
        joints,
        yaw,
        scale,
        clips[0].lengths.expand(len(edit), -1),
        torch.from_numpy(edit.known),
        second,
        torch.ones_like(second),
    )
