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
from .spread import Spread, turn_vectors

_FADE_SECONDS = 0.5
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
    """Known parts of a batch of motions, as a diffusion loop over HumanML3D features needs them.

    `constrain` serves inside the loop. As published for MDM it overwrites predictions of clean features with what is known. Two things
    are added. What the overwriting changes fades out over half a second of the neighbouring frames, so that no jump forms at the
    border. And turns and steps of the root, of which the features know only differences, are corrected so that they lead from one kept
    part to the next. `decode` serves after the loop: it does the same in joints, on the skeleton of the input, and puts the kept joints
    where they were.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        edits (`list[Edit]`): One per motion.
        frames (`int`): Frames of the batch, at least those of the longest edit.
        device (`torch.device`): Where the loop runs.
        repeats (`int`, defaults to 1): How often each edit stands in the batch, in a row.

    Raises:
        ValueError: If a clip has another skeleton, or NaN.
    """

    def __init__(
        self, extractor: MotionFeatureExtractor, edits: Sequence[Edit], frames: int, device: torch.device, repeats: int = 1
    ) -> None:
        self.extractor = extractor
        self._parents = list(extractor.features.skeleton.parents[1:])
        rows = [_row(edit, clips) for edit, clips in zip(edits, _encode_clips(extractor, edits), strict=True)]
        tensors = (_padded(values, frames).repeat_interleave(repeats, dim=0).to(device) for values in zip(*rows, strict=True))
        self._features, self._joints, self._yaw, self._scale, lengths, self._known, self._second, self._real = tensors
        self._lengths = lengths[:, :1]
        self._scale = torch.where(self._scale > 0, self._scale, 1.0)[..., None]
        # A frame that keeps any joint keeps the root: what is kept hangs on it.
        self._known[..., 0] |= self._known.any(-1)
        fade = max(1, round(_FADE_SECONDS * extractor.fps))
        self._prepare(fade)

    def _prepare(self, fade: int) -> None:
        root = self._known[..., :1]
        bones = self._known[..., 1:] & self._known[..., self._parents]
        self._anchored = Spread(root & ~self._second[..., None], fade, bridge=True)
        self._rooted = Spread(root, fade, bridge=True)
        self._posed = Spread(bones, fade)
        self._sized = Spread(bones, fade, bridge=True)
        near = F.max_pool1d(bones.mT.float(), 2 * _HEALED_FRAMES + 1, stride=1, padding=_HEALED_FRAMES).mT > 0
        self._healed = Spread(bones | ~near & self._real[..., None], fade, bridge=True)
        self._mask = self._feature_mask()
        self._faded = Spread(self._mask, fade)

    def _feature_mask(self) -> Tensor:
        """(batch, frames, features) bool. Velocities and contacts of a frame depend on the next frame too."""
        known, slices = self._known, self.extractor.features.slices
        moving = known & F.pad(known[:, 1:], (0, 0, 0, 1))
        above = [0, *self._parents]
        turned = known & known[..., above] & known[..., above][..., above]
        parts = {
            "root_rotation": moving[..., :1], "root_velocity": moving[..., :1], "root_height": known[..., :1], "positions": known[..., 1:],
            "rotations": turned[..., 1:], "velocities": moving, "contacts": moving[..., list(self.extractor.features.skeleton.feet)],
        }  # fmt: skip
        widths = {name: slices[name].stop - slices[name].start for name in parts}
        return torch.cat([part.repeat_interleave(widths[name] // part.shape[-1], dim=-1) for name, part in parts.items()], dim=-1)

    def constrain(self, prediction: Tensor) -> Tensor:
        """Predicted clean features with the known ones in place.

        Args:
            prediction (`torch.Tensor`): (batch, frames, features), normalised.

        Returns:
            `torch.Tensor`: Same shape.
        """
        features = prediction + self._faded((self._features - prediction)[..., None])[..., 0]
        if not self._anchored.bridges:
            return features
        features = self.extractor.denormalize(features)
        yaw, ground = self._root(features, self._anchored)
        step = (ground[:, 1:] - ground[:, :-1]) * self._scale[:, 1:]
        step = turn_vectors(-yaw[:, 1:], step)
        features[:, :-1, 0] = (yaw[:, :-1] - yaw[:, 1:]) / 2
        features[:, :-1, 1:3] = step[..., [0, 2]]
        return torch.where(self._mask, self._features, self.extractor.normalize(features))

    def decode(self, latents: Tensor) -> Tensor:
        """Joints in the world of the input.

        Args:
            latents (`torch.Tensor`): (batch, frames, features), normalised: what the model made, not yet overwritten.

        Returns:
            `torch.Tensor`: (batch, frames, joints, 3), metres.
        """
        features = self.extractor.denormalize(latents)
        joints, known_yaw = self._place_second(features)
        yaw, root = self._root(features, self._rooted, joints[..., 0, :], known_yaw)
        height = features[..., 3:4] / self._scale
        height = height + self._rooted((joints[..., :1, 1] - height)[..., None])[..., 0]
        root = torch.cat((root[..., :1], height, root[..., 2:]), dim=-1)

        local = features[..., self.extractor.features.slices["positions"]].unflatten(-1, (-1, 3))
        local = torch.cat((F.pad(features[..., 3:4], (1, 1))[..., None, :], local), dim=-2)
        made = F.normalize(local[..., 1:, :] - local[..., self._parents, :], dim=-1)
        bones = joints[..., 1:, :] - joints[..., self._parents, :]
        lengths = bones.norm(dim=-1)
        known = turn_vectors(-known_yaw[..., None], F.normalize(bones, dim=-1))
        directions = F.normalize(self._healed(made + self._posed(known - made)), dim=-1)
        lengths = self._lengths + self._sized((lengths - self._lengths)[..., None])[..., 0]
        bones = turn_vectors(yaw[..., None], directions) * lengths[..., None]
        return self._attach(joints, root, bones, lengths)

    def motions(self, latents: Tensor, attention_mask: Tensor, texts: Sequence[str]) -> list[Motion]:
        """What `decode` gives, as motions of their own lengths.

        Args:
            latents (`torch.Tensor`): As for `decode`.
            attention_mask (`torch.Tensor`): (batch, frames), 1 on real frames, which come first.
            texts (`list[str]`): One per motion.

        Returns:
            `list[Motion]`: At the model's frame rate.
        """
        return [
            Motion(clip[:length], fps=self.extractor.fps, skeleton=self.extractor.skeleton, text=text)
            for clip, length, text in zip(self.decode(latents), attention_mask.sum(1).tolist(), texts, strict=True)
        ]

    def _root(
        self, features: Tensor, spread: Spread, joints: Tensor | None = None, known_yaw: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Heading (batch, frames), and path (batch, frames, 3), height zero, of denormalised features, led through what is known."""
        joints = self._joints[..., 0, :] if joints is None else joints
        known_yaw = self._yaw if known_yaw is None else known_yaw
        yaw = -2 * F.pad(features[:, :-1, 0], (1, 0)).cumsum(1)
        yaw = yaw + spread(spread.unwrap((known_yaw - yaw)[..., None])[..., None])[..., 0, 0]
        velocity = F.pad(features[:, :-1, 1:3] / self._scale[:, 1:], (0, 0, 1, 0))
        velocity = torch.stack((velocity[..., 0], torch.zeros_like(yaw), velocity[..., 1]), dim=-1)
        path = turn_vectors(yaw, velocity).cumsum(1)
        known = joints * joints.new_tensor((1.0, 0.0, 1.0))
        return yaw, path + spread((known - path)[..., None, :])[..., 0, :]

    def _place_second(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Known joints and headings, second clips turned and moved to where the made motion arrives."""
        if not self._second.any():
            return self._joints, self._yaw
        yaw, root = self._root(features, self._anchored)
        first = self._second.float().argmax(1)
        rows = torch.arange(len(first), device=first.device)
        turn = (yaw - self._yaw)[rows, first][:, None]
        origin = self._joints[rows, first, 0] * self._joints.new_tensor((1.0, 0.0, 1.0))
        moved = turn_vectors(turn[..., None], self._joints - origin[:, None, None]) + root[rows, first][:, None, None]
        joints = torch.where(self._second[..., None, None], moved, self._joints)
        return joints, torch.where(self._second, self._yaw + turn, self._yaw)

    def _attach(self, joints: Tensor, root: Tensor, bones: Tensor, lengths: Tensor) -> Tensor:
        """Joints from the root outwards: known ones where they are, others at the end of their bones.

        Where a joint that is not kept lies between kept ones, as the spine does between pelvis and hands, bones are made to reach by
        going inwards and outwards in turn (FABRIK; Aristidou and Lasenby 2011).
        """
        known = self._known[..., None]
        out = [torch.where(known[..., 0, :], joints[..., 0, :], root)]
        for joint, parent in enumerate(self._parents, start=1):
            out.append(torch.where(known[..., joint, :], joints[..., joint, :], out[parent] + bones[..., joint - 1, :]))
        held = list(self._known.unbind(-1))
        for joint, parent in reversed(list(enumerate(self._parents, start=1))):
            held[parent] = held[parent] | held[joint]
        between = [held_ & ~known_ for held_, known_ in zip(held, self._known.unbind(-1), strict=True)]
        if torch.stack(between).any():
            for _ in range(_ATTACH_ROUNDS):
                self._reach_inwards(out, held, between, lengths)
                self._reach_outwards(out, between, bones, lengths)
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

    def _reach_outwards(self, out: list[Tensor], between: list[Tensor], bones: Tensor, lengths: Tensor) -> None:
        for joint, parent in enumerate(self._parents, start=1):
            bone = F.normalize(out[joint] - out[parent], dim=-1) * lengths[..., joint - 1, None]
            bone = torch.where(between[joint][..., None], bone, bones[..., joint - 1, :])
            out[joint] = torch.where(self._known[..., joint, None], out[joint], out[parent] + bone)


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


def _padded(values: Sequence[Tensor], frames: int) -> Tensor:
    """(batch, frames, ...), zero behind each end."""
    batch = values[0].new_zeros(len(values), frames, *values[0].shape[1:])
    for row, value in zip(batch, values, strict=True):
        row[: len(value)] = value
    return batch
