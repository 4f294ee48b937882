"""How what is fixed of a motion meets the denoiser: parts of clips that are kept, and places that a control asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cleanup import foot_contacts, lock_feet
from ..floor import settle_on_floor
from ..motion import Motion
from ..representation import MotionFeatureExtractor
from ..representation.fixed_bones import fixed_bones
from .control import Targets, compile_control
from .kept import Edit, KeptMotion
from .spread import FADE_SECONDS, turn_vectors
from .steering import Steering, in_world, plant_feet
from .way import Way


class Constraint:
    """What is fixed of a batch of motions.

    Clips that are edited and controls are one thing here: poses that are known (`KeptMotion`), a way that is known at some frames (`Way`),
    and places of joints (`Steering`). All of it meets the denoiser alike. After every step of the diffusion but the last, what the model
    predicts of the clean motion is changed as little and as smoothly as it takes, in closed form:

    1. Known poses are put in, and fade into their neighbours.
    2. The root is led through its known places, and faces as it should.
    3. Joints go where they are asked, within their reach; the body goes after what is out of it.
    4. Feet that the model says stand do stand, on the way that the body is led now.

    The next step makes the rest fit. The last prediction stays as the model makes it, and the same is done with it once more, in joints.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        frames (`int`): Frames of the batch, at least those of the longest motion.
        device (`torch.device`): Where the loop runs.
        edits (`list[Edit]`, *optional*): What each motion keeps.
        targets (`list[Targets]`, *optional*): What is asked of each motion; in the world of the clip where it keeps one.
        repeats (`int`, defaults to 1): How often each stands in the batch, in a row.

    Raises:
        ValueError: If a control asks for what a clip that is kept says otherwise.
    """

    def __init__(
        self,
        extractor: MotionFeatureExtractor,
        frames: int,
        device: torch.device,
        edits: Sequence[Edit] | None = None,
        targets: Sequence[Targets] | None = None,
        repeats: int = 1,
    ) -> None:
        self.extractor = extractor
        if edits is not None and targets is not None:
            for edit, one in zip(edits, targets, strict=True):
                _check_agreement(edit, one, extractor)
        self._lengths = [len(one) for one in (edits or targets or ()) for _ in range(repeats)]
        lengths = torch.tensor(self._lengths, device=device)[:, None]
        self._real = (torch.arange(frames, device=device) < lengths)[..., None]
        self._going = (torch.arange(frames, device=device) < lengths - 1)[..., None]
        self._kept = KeptMotion(extractor, edits, frames, device, repeats, targets is not None) if edits is not None else None
        skeleton, fade = extractor.features.skeleton, max(1, round(FADE_SECONDS * extractor.fps))
        unit = torch.full((len(lengths), frames, 1), 1000.0 if skeleton.unit == "mm" else 1.0, device=device)
        self._scale = unit if self._kept is None else self._kept.scale
        self._anchor(targets, fade, repeats)

    def _anchor(self, targets: Sequence[Targets] | None, fade: int, repeats: int) -> None:
        """Bring together where roots are known to be."""
        kept, shape = self._kept, self._scale.shape[:2]
        whole, carried = (self._going.new_zeros(shape) for _ in range(2))
        heading, places = self._scale.new_zeros(shape), self._scale.new_zeros(*shape, 3)
        along = whole[:, 0]
        if kept is not None:
            whole, carried = kept.known[..., 0] & ~kept.carried, kept.carried
            heading, places = kept.yaw, kept.joints[..., 0, :]
        turned = placed = whole if kept is None else whole & ~kept.second
        # Where it is known nowhere, a motion begins at the origin and faces +Z, or where what it carries along begins.
        lost = ~placed.any(1) & (carried.any(1) | (kept is None))
        start = torch.nn.functional.one_hot(carried.float().argmax(1), shape[1]).bool() & lost[:, None]
        self._steering = None
        if targets is not None:
            self._steering = steering = Steering(targets, self.extractor.features.skeleton, self._scale, self._real, fade, repeats, whole)
            along = steering.placed[:, 1:].any(1)
            heading, places = (
                _either(steering.turned, steering.heading, heading),
                _either(steering.placed, steering.places[..., 0, :], places),
            )
            turned, placed = turned | steering.turned, placed | steering.placed
        turned, placed = turned | start & ~along[:, None], placed | start
        plan = (self._scale, self._going, self.extractor.fps, fade, along)
        self._heading, self._places = heading, places
        self._way = self._whole_way = Way(heading, turned, places, placed, *plan)
        if kept is not None and bool(kept.second.any()):
            self._whole_way = Way(heading, turned | kept.second, places, placed | kept.second, *plan)

    def constrain(self, prediction: Tensor) -> Tensor:
        """Predicted clean features with what is fixed in them.

        Args:
            prediction (`torch.Tensor`): (batch, frames, features), normalised.

        Returns:
            `torch.Tensor`: Same shape.
        """
        if self._kept is not None:
            prediction = self._kept.fill(prediction)
        if self._steering is None and not self._way.leads:
            return prediction
        features = self.extractor.denormalize(prediction)
        yaw, root = self._way.lead(features)
        changed = self._way.write(features, yaw, root) if self._steering is None else self._steered(features, yaw, root)
        prediction = self.extractor.normalize(changed)
        return prediction if self._kept is None else self._kept.keep(prediction)

    def _steered(self, features: Tensor, yaw: Tensor, root: Tensor) -> Tensor:
        """Features, in their units, of motions that go on such a way and hit what is asked."""
        slices, local = self.extractor.features.slices, self._local(features)
        before = _steps(*self._way.follow(features), local)
        root, moved = self._reach(features, yaw, root, local)
        changed = self._way.write(features, yaw, root)
        changed[..., slices["positions"]] = (moved[..., 1:, :] * self._scale[..., None]).flatten(-2)
        more = ((_steps(yaw, root, moved) - before) * self._scale[:, :-1, :, None]).flatten(-2)
        changed[:, :-1, slices["velocities"]] += torch.where(self._going[:, :-1], more, 0)
        return changed

    def _local(self, features: Tensor) -> Tensor:
        """Joints relative to root and heading but for heights, (batch, frames, joints, 3), metres."""
        root = torch.nn.functional.pad(features[..., 3:4], (1, 1))[..., None, :]
        positions = features[..., self.extractor.features.slices["positions"]].unflatten(-1, (-1, 3))
        return torch.cat((root, positions), dim=-2) / self._scale[..., None]

    def _reach(self, features: Tensor, yaw: Tensor, root: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        root, local = self._steering.reach(yaw, root, local)
        planted = plant_feet(yaw, root, local, self._contacts(features), self._going, self.extractor.features.skeleton)
        return root, torch.where(self._steering.asks_feet[:, None, None, None], local, planted)

    def _contacts(self, features: Tensor) -> Tensor:
        """(batch, frames, 4), 0 to 1; features that do not hold them hold how fast feet are."""
        representation = self.extractor.features
        slices = representation.slices
        if "contacts" in slices:
            return features[..., slices["contacts"]]
        velocities = features[..., slices["velocities"]].unflatten(-1, (-1, 3))[..., list(representation.skeleton.feet), :]
        return (velocities.square().sum(-1) < representation.contact_threshold).to(features)

    def motions(self, latents: Tensor, texts: Sequence[str], clean: bool = False) -> list[Motion]:
        """Motions that keep what is kept, where it was, and hit what is asked.

        Args:
            latents (`torch.Tensor`): (batch, frames, features), normalised: what the model made, not yet constrained.
            texts (`list[str]`): One per motion.
            clean (`bool`, defaults to `False`): Settle motions on the floor and hold feet where they stand, as far as nothing is asked of
                feet. Edited motions are never touched.

        Returns:
            `list[Motion]`: At the model's frame rate.
        """
        if self._kept is not None:
            return self._as_motions(self._on_clips(latents), texts)
        features = self.extractor.denormalize(latents)
        yaw, root = self._way.lead(features)
        local = self._local(features)
        if clean:
            drop = self._above_floor(self._on_body(in_world(yaw, root, local)))
            root, local = root - drop[:, 0], local - drop
        root, local = self._reach(features, yaw, root, local)
        joints = self._on_body(in_world(yaw, root, local))
        # On a body of fixed bones the pelvis lies a little elsewhere.
        joints = joints + self._way.bend(torch.where(self._steering.placed[..., None], root - joints[..., 0, :], 0))[..., None, :]
        motions = self._as_motions(joints, texts)
        return self._with_feet_held(motions, latents) if clean else motions

    def _on_clips(self, latents: Tensor) -> Tensor:
        """Joints (batch, frames, joints, 3), metres, on the bodies of the clips that are kept."""
        kept, steering = self._kept, self._steering
        features = self.extractor.denormalize(latents)
        if steering is not None:
            own = self.extractor.denormalize(kept.keep_way(latents))
            features = torch.cat((own[..., :3], features[..., 3:]), dim=-1)
        yaw, root = self._way.lead(features)
        joints, known_yaw = kept.place_second(yaw, root)
        heading, places = _either(kept.second, known_yaw, self._heading), _either(kept.second, joints[..., 0, :], self._places)
        yaw, root = self._whole_way.lead(features, heading, places)
        root, local = kept.at_height(root), self._local(features)
        if steering is None:
            return kept.decode(yaw, root, local, joints, known_yaw)
        root, local = self._reach(features, yaw, root, local)
        joints, known_yaw = kept.carry(joints, known_yaw, yaw, root)
        return kept.decode(yaw, root, local, joints, known_yaw, steering.asked.all(-1), steering.places)

    def _on_body(self, joints: Tensor) -> Tensor:
        """Joints, metres, on the body of the features."""
        skeleton = self.extractor.features.skeleton
        if not (self.extractor.features.uniform_skeleton and skeleton.body_offsets is not None):
            return joints
        scale = self._scale[..., None].double()
        return (fixed_bones(joints.double() * scale, skeleton) / scale).to(joints)

    def _as_motions(self, joints: Tensor, texts: Sequence[str]) -> list[Motion]:
        return [
            Motion(clip[:length], fps=self.extractor.fps, skeleton=self.extractor.skeleton, text=text)
            for clip, length, text in zip(joints.float().cpu().numpy(), self._lengths, texts, strict=True)
        ]

    def _above_floor(self, joints: Tensor) -> Tensor:
        """How high each motion stands above the floor, (batch, 1, 1, 3)."""
        motions = self._as_motions(joints, [""] * len(joints))
        drops = [motion.joints[0, 0] - settle_on_floor(motion).joints[0, 0] for motion in motions]
        return torch.from_numpy(np.stack(drops)).to(joints)[:, None, None]

    def _with_feet_held(self, motions: list[Motion], latents: Tensor) -> list[Motion]:
        """Feet held where they stand: in the result, or in what the model made before it was led."""
        lengths = torch.tensor(self._lengths, device=latents.device)[:, None]
        mask = (torch.arange(latents.shape[1], device=latents.device) < lengths).long()
        own = [foot_contacts(settle_on_floor(motion)) for motion in self.extractor.decode(latents, mask)]
        return [
            motion if asked else lock_feet(motion, contacts=stands | foot_contacts(motion))
            for motion, asked, stands in zip(motions, self._steering.asks_feet.tolist(), own, strict=True)
        ]


def plan_constraint(
    extractor: MotionFeatureExtractor,
    edits: Sequence[Edit] | None,
    control: Any,
    lengths: Sequence[int],
    frames: int,
    device: torch.device,
    repeats: int,
    loop: bool,
) -> Constraint | None:
    """The constraint of a call; None if it has none.

    Args:
        extractor (`MotionFeatureExtractor`): The model's.
        edits (`list[Edit]`, *optional*): What is kept, one per prompt.
        control (`MotionControl` or a list, *optional*): One for all, or one per prompt.
        lengths (`list[int]`): Frames of each motion, repetitions included.
        frames (`int`): Frames of the batch.
        device (`torch.device`): Where the loop runs.
        repeats (`int`): How often each motion is made.
        loop (`bool`): The motions are to be loops.

    Raises:
        ValueError: If these do not go together.
    """
    if loop and (edits is not None or control is not None):
        raise ValueError("A loop comes back to its first pose and travels as it likes; leave motion= and control= out with loop=True.")
    if control is None:
        return None if edits is None else Constraint(extractor, frames, device, edits, repeats=repeats)
    count = len(lengths) // repeats
    controls = list(control) if isinstance(control, (list, tuple)) else [control] * count
    if len(controls) != count:
        raise ValueError(f"control is a list of {len(controls)} for {count} prompts; pass one, or one per prompt.")
    skeleton = extractor.features.skeleton
    targets = [compile_control(one, length, extractor.fps, skeleton) for one, length in zip(controls, lengths[::repeats], strict=True)]
    return Constraint(extractor, frames, device, edits, targets, repeats)


def _check_agreement(edit: Edit, targets: Targets, extractor: MotionFeatureExtractor) -> None:
    """A frame that is kept as a whole stays where it is, and a joint that is kept has its place."""
    known = edit.known.copy()
    known[:, 0] = edit.known.all(1)
    clashes = known & targets.asked.any(-1)
    clashes[:, 0] |= known[:, 0] & targets.turned
    if not clashes.any():
        return
    frame, joint = np.argwhere(clashes)[0]
    name = extractor.features.skeleton.joint_names[joint]
    raise ValueError(
        f"control asks for {name!r} at {frame / extractor.fps:g} s, where motion= keeps it. Ask for other frames (a path with times "
        "rather than one at even speed), or keep less of the clip."
    )


def _steps(yaw: Tensor, root: Tensor, local: Tensor) -> Tensor:
    """Steps of the joints in the heading of the frame before, (batch, frames - 1, joints, 3)."""
    joints = in_world(yaw, root, local)
    return turn_vectors(-yaw[:, :-1, None], joints[:, 1:] - joints[:, :-1])


def _either(condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(condition.reshape(*condition.shape, *[1] * (one.ndim - condition.ndim)), one, other)
