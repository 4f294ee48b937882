"""Editors: what turns a motion into another one after a sentence. By generating (the paper's equation 5), in-painting, or kinematics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..motion import Motion
from ..pipelines.editing import edit_mask
from ..skeletons import HUMANML3D_22, Skeleton
from .instructions import default_mask
from .kinematic import edit_motion
from .limbs import Clip, chest_axes, clip_of, rotate
from .reading import read_instruction

_HANGS_ON_CHEST = ("left_arm", "right_arm", "head")


class Editor(ABC):
    """Applies sentences to motions. `name` is what `Triplet.editor` says."""

    name: str

    @abstractmethod
    def __call__(
        self, sources: Sequence[Motion], instructions: Sequence[str], masks: Sequence[tuple[str, ...]], seeds: Sequence[int]
    ) -> list[Motion]:
        """Edit motions.

        Args:
            sources (`list[Motion]`): Motions at the editor's frame rate, or any that it resamples.
            instructions (`list[str]`): A sentence for each.
            masks (`list[tuple[str, ...]]`): Body parts of each that are made anew.
            seeds (`list[int]`): One for each; a result depends on its own alone.

        Returns:
            `list[Motion]`: One for each.
        """

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What the results depend on besides the arguments of a call, as JSON takes it."""


class GenerateEditor(Editor):
    """The paper's equation 5 in joints: a motion is generated from the sentence, and the masked joints are taken from it.

    See `combine` for how the two are put together.

    Args:
        system (`Any`): What makes motion from text: a model with `generate_motion`, or a diffusion pipeline.
        digest (`str`, *optional*): Of its weights, for the record.
        **options: Passed on, such as `guidance_scale`.
    """

    name = "generate"

    def __init__(self, system: Any, digest: str | None = None, **options: Any) -> None:
        self.system, self.digest, self.options = system, digest, options

    def __call__(
        self, sources: Sequence[Motion], instructions: Sequence[str], masks: Sequence[tuple[str, ...]], seeds: Sequence[int]
    ) -> list[Motion]:
        """See `Editor`."""
        extractor = self.system.feature_extractor
        clips = [_fitting(source, extractor) for source in sources]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        lengths = [len(clip) for clip in clips]
        if hasattr(self.system, "generate_motion"):
            made = self.system.generate_motion(list(instructions), lengths, generator=generators, **self.options)
        else:
            made = self.system(list(instructions), lengths, generator=generators, **self.options).motions
        return [combine(clip, one, mask) for clip, one, mask in zip(clips, made, masks, strict=True)]

    @property
    def settings(self) -> dict[str, Any]:
        """See `Editor.settings`."""
        return {"editor": self.name, "model": self.digest, "options": self.options}


class InpaintEditor(Editor):
    """In-painting: all joints but the masked ones are kept at every step of the diffusion (`hf-motion edit --body-part`).

    Args:
        pipeline (`Any`): An `MDMPipeline`, or a `MotionSystem` that holds one.
        digest (`str`, *optional*): Of its weights, for the record.
        **options: Passed on, such as `guidance_scale`.

    Raises:
        ValueError: If it cannot keep a part of a motion.
    """

    name = "inpaint"

    def __init__(self, pipeline: Any, digest: str | None = None, **options: Any) -> None:
        pipeline = getattr(pipeline, "pipeline", pipeline)
        if not _inpaints(pipeline):
            raise ValueError(
                f"{type(pipeline).__name__} cannot keep a part of a motion while it makes the rest. In-painting needs an MDM; other models "
                "can edit with GenerateEditor."
            )
        self.pipeline, self.digest, self.options = pipeline, digest, options

    def __call__(
        self, sources: Sequence[Motion], instructions: Sequence[str], masks: Sequence[tuple[str, ...]], seeds: Sequence[int]
    ) -> list[Motion]:
        """See `Editor`."""
        clips = [_fitting(source, self.pipeline.feature_extractor) for source in sources]
        kept = [edit_mask(len(clip), clip.skeleton, body_part=mask) for clip, mask in zip(clips, masks, strict=True)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        made = self.pipeline(list(instructions), motion=clips, mask=kept, generator=generators, **self.options).motions
        return [replace(one, text=clip.text) for one, clip in zip(made, clips, strict=True)]

    @property
    def settings(self) -> dict[str, Any]:
        """See `Editor.settings`."""
        return {"editor": self.name, "model": self.digest, "options": self.options}


class KinematicEditor(Editor):
    """Exact edits of what `read_instruction` reads in a sentence, by a typical amount; masks and seeds are not used."""

    name = "kinematic"

    def __call__(
        self, sources: Sequence[Motion], instructions: Sequence[str], masks: Sequence[tuple[str, ...]], seeds: Sequence[int]
    ) -> list[Motion]:
        """See `Editor`.

        Raises:
            ValueError: If a sentence names no change, or several.
            NotApplicable: If it has no exact edit, or none for the motion.
        """
        made = []
        for source, instruction in zip(sources, instructions, strict=True):
            change = read_instruction(instruction).change
            if change is None:
                raise ValueError(f"{instruction!r} does not name one change that we know. Say part and direction: 'raise your left hand'.")
            made.append(edit_motion(source, change).motion)
        return made

    @property
    def settings(self) -> dict[str, Any]:
        """See `Editor.settings`."""
        return {"editor": self.name}


def apply_instruction(
    source: Motion, instruction: str, editor_pipeline: Any, seed: int = 0, *, mask: str | Sequence[str] | None = None
) -> Motion:
    """Let an editor do to a motion what a sentence says.

    Args:
        source (`Motion`): On `humanml3d-22`.
        instruction (`str`): A corrective sentence.
        editor_pipeline (`Any`): An `Editor`; or an `MDMPipeline`, which in-paints, or a model that makes motion from text, which
            generates.
        seed (`int`, defaults to 0): All chance comes from it.
        mask (`str` or `Sequence[str]`, *optional*): Body parts that are made anew, see `Skeleton.body_parts`; by default those that
            `read_instruction` reads in the sentence.

    Returns:
        `Motion`: At the editor's frame rate; as long as the source, unless a `KinematicEditor` changed its speed.

    Raises:
        ValueError: If the sentence names no part and no mask is given, a part is unknown, or the motion is too long for the editor.

    Example:
    >>> from hf_motion import load_embedded_pipeline
    >>> from hf_motion.corrections import apply_instruction
    >>> pipe = load_embedded_pipeline()
    >>> clip = pipe("a person stands", 30, num_inference_steps=2, seed=0).motions[0]
    >>> made = apply_instruction(clip, "Raise your left hand higher.", pipe, seed=1)
    >>> moved = abs(made.joints - clip.joints).max((0, 2)) > 1e-4
    >>> [name for name, one in zip(clip.skeleton.joint_names, moved) if one]
    ['left_shoulder', 'left_elbow', 'left_wrist']
    """
    editor = as_editor(editor_pipeline)
    parts = mask_of(instruction) if mask is None else (mask,) if isinstance(mask, str) else tuple(mask)
    if parts is None:
        if not isinstance(editor, KinematicEditor):
            raise ValueError(f"{instruction!r} names no part of the body that we know. Say which to make anew: mask='upper_body'.")
        parts = ()
    _part_joints(parts, source.skeleton)
    return editor([source], [instruction], [parts], [seed])[0]


def as_editor(editor: Any) -> Editor:
    """An editor, or what is one of a pipeline or model: in-painting where it can, generating otherwise.

    Raises:
        ValueError: If it makes no motion.
    """
    if isinstance(editor, Editor):
        return editor
    if _inpaints(getattr(editor, "pipeline", editor)):
        return InpaintEditor(editor)
    if hasattr(editor, "generate_motion"):
        return GenerateEditor(editor)
    raise ValueError(f"{type(editor).__name__} makes no motion. Pass an MDMPipeline, a model with generate_motion, or a KinematicEditor.")


def mask_of(instruction: str) -> tuple[str, ...] | None:
    """The body parts that a sentence names, None if it names none; those of an action are its whole half of the body."""
    reading = read_instruction(instruction)
    if not reading.parts:
        return None
    if reading.kinds == ("action",):
        return ("lower_body" if any("leg" in part or "lower" in part for part in reading.parts) else "upper_body",)
    return tuple(dict.fromkeys(one for part in reading.parts for one in default_mask(part)))


def combine(source: Motion, made: Motion, parts: Sequence[str]) -> Motion:
    """Equation 5 in joints: the joints of some parts from one motion, all others from another, on one body.

    Positions cannot be mixed as they are: the made body is elsewhere and looks elsewhere. So it is bones that are mixed, and joints are
    set up again from the root. Bones of arms and head are turned from the one chest to the other, all other bones about the vertical
    from the one heading to the other. Bones keep the source's lengths. The root is the source's, unless the whole lower body is made
    anew: then it is the made one, set onto the source's start, and the source's upper body rides on it. Features are those of the
    joints that come out.

    Args:
        source (`Motion`): What is kept.
        made (`Motion`): As long, on the same skeleton.
        parts (`Sequence[str]`): Body parts that are taken from `made`.

    Returns:
        `Motion`: The mixture, with the source's text.

    Raises:
        ValueError: If a part is unknown, or the motions differ in length.
    """
    if len(source) != len(made):
        raise ValueError(f"The motions to combine have {len(source)} and {len(made)} frames; they must have as many.")
    taken = _part_joints(parts, source.skeleton)
    one, other = clip_of(source, None), clip_of(made, None)
    vertical = np.broadcast_to([0.0, 1.0, 0.0], one.left.shape)
    turn = _heading(one) - _heading(other)
    root = one.joints[:, 0].copy()
    moves_root = set(source.skeleton.body_parts["lower_body"]) <= taken
    if moves_root:
        start = np.full(len(made), turn[0])
        way = rotate(other.joints[:, 0] - other.joints[0, 0] * [1, 0, 1], vertical, start)
        root = way + one.joints[0, 0] * [1, 0, 1]
    bones = {"source": _bones(one.joints, source.skeleton), "made": _bones(other.joints, source.skeleton)}
    if moves_root:
        new, kept = rotate(bones["made"], vertical, start), rotate(bones["source"], vertical, start - turn)
    else:
        new, kept = rotate(bones["made"], vertical, turn), bones["source"]
    onto_chest = np.einsum("tij,tik->tjk", chest_axes(one), chest_axes(other))
    lengths = np.linalg.norm(bones["source"], axis=-1, keepdims=True)
    hangs = {joint for part in _HANGS_ON_CHEST for joint in source.skeleton.body_parts[part]}
    torso_kept = not taken & set(source.skeleton.body_parts["torso"])
    joints = np.empty_like(one.joints)
    joints[:, 0] = root
    for parent, joint in source.skeleton.bones:
        bone = kept[:, joint]
        if joint in taken and joint in hangs and torso_kept:
            bone = np.einsum("tij,tj->ti", onto_chest, bones["made"][:, joint])
            bone = rotate(bone, vertical, start - turn) if moves_root else bone
        elif joint in taken:
            bone = new[:, joint]
        size = np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9)
        joints[:, joint] = joints[:, parent] + bone / size * lengths[:, joint]
    return replace(source, joints=joints)


def _heading(clip: Clip) -> np.ndarray:
    return np.unwrap(np.arctan2(clip.forward[:, 0], clip.forward[:, 2]))


def _bones(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    return joints - joints[:, [max(parent, 0) for parent in skeleton.parents]]


def _part_joints(parts: Sequence[str], skeleton: Skeleton) -> set[int]:
    if skeleton != HUMANML3D_22:
        raise ValueError(f"Motions are edited on 'humanml3d-22', got {skeleton.name!r}. Map the motion with read_motion first.")
    unknown = [part for part in parts if part not in skeleton.body_parts]
    if unknown:
        raise ValueError(f"Unknown body part {unknown[0]!r}. There are: {', '.join(skeleton.body_parts)}.")
    return {joint for part in parts for joint in skeleton.body_parts[part]}


def _fitting(source: Motion, extractor: Any) -> Motion:
    clip = source.resample(extractor.fps)
    if len(clip) > extractor.max_frames:
        raise ValueError(
            f"The motion has {len(clip)} frames at {extractor.fps:g} fps, the editor makes {extractor.max_frames}: "
            f"{math.floor(extractor.max_frames / extractor.fps * 10) / 10} s. Cut it."
        )
    return clip


def _inpaints(pipeline: Any) -> bool:
    from ..pipelines.text_diffusion import TextDiffusionPipeline

    return isinstance(pipeline, TextDiffusionPipeline)
