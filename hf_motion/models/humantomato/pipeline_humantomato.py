"""`HumanTOMATOPipeline`: a sentence to body, hands and face."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import create_repo, upload_folder
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModel

from ...face import Face
from ...formats.solved import solve
from ...hands import without_hands
from ...hub.loading import load_part
from ...motion import Motion
from ...nn.generators import spawn_generators
from ...pose import place_joints
from ...representation import MotionFeatureExtractor
from ...skeletons import Skeleton
from ...utils.asked import asked_frames, asked_generator
from ...utils.faults import writing
from ...utils.text import check_prompts
from ...utils.training_folder import checkpoint_in
from ..motion_decoding import OUTPUT_TYPES
from ..text_motion_model import TextMotionModel
from .configuration_pipeline import HumanTOMATOPipelineConfig
from .emotions import NEUTRAL, split_emotion
from .modeling_facial_cvae import FacialCVAE

logger = logging.getLogger("hf_motion")

PARTS = ("body", "hands", "face")
"""What can be asked for."""

MOTION_FOLDER, FACE_FOLDER = "motion", "face"
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token")


class HumanTOMATOPipeline(PreTrainedModel):
    """One sentence to one motion of body and hands, and of a face where the checkpoint has that part.

    A checkpoint is a folder with the parts' checkpoints in `motion` and, if there is one, `face`. `pipeline("text-to-motion", model=...)`,
    `AutoModel.from_pretrained` and this class load it.

    Args:
        config (`HumanTOMATOPipelineConfig`, *optional*): Configuration; follows from the parts.
        motion_model (`TextMotionModel`): Makes body and hands: `HumanTomatoGPT`, or another generator of motion tokens on joints with
            fingers.
        face_model (`FacialCVAE`, *optional*): Makes faces.

    Raises:
        ValueError: If there is no motion model, or it makes no fingers.

    Example:
        ```python
        pipe = HumanTOMATOPipeline(motion_model=gpt, face_model=cvae)
        pipe.save_pretrained("tomato")
        pipeline("text-to-motion", model="tomato")("a person plays the violin, happily", seed=0).save("violin.glb")
        ```
    """

    config_class = HumanTOMATOPipelineConfig
    main_input_name = "texts"

    def __init__(
        self,
        config: HumanTOMATOPipelineConfig | None = None,
        motion_model: TextMotionModel | None = None,
        face_model: FacialCVAE | None = None,
    ) -> None:
        super().__init__(config or HumanTOMATOPipelineConfig())
        if motion_model is None:
            raise ValueError("A HumanTOMATOPipeline is loaded with from_pretrained, or made of its parts: motion_model=, face_model=.")
        skeleton = motion_model.feature_extractor.features.skeleton if motion_model.feature_extractor is not None else None
        if skeleton is None or "hands" not in skeleton.groups:
            raise ValueError(
                f"The motion model must make fingers, this one makes {'nothing known' if skeleton is None else skeleton.name}. Train it on "
                "smplx-52 (train_tokenizer.py --skeleton smplx-52), or use it alone."
            )
        self.motion_model, self.face_model = motion_model, face_model
        self.config.has_face = face_model is not None
        self.eval()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> HumanTOMATOPipeline:
        """Load the parts.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder or repository.
            *args: Ignored.
            **kwargs: `dtype` (float32 by default), `revision`, `token`, `cache_dir`, `local_files_only`.

        Raises:
            OSError: If there is no such checkpoint, or a part of it is missing.
            ValueError: If a part is damaged or of another kind.
        """
        name = checkpoint_in(pretrained_model_name_or_path)
        options = {key: kwargs[key] for key in _HUB_OPTIONS if kwargs.get(key) is not None}
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        weights = {**options, **({"dtype": dtype} if dtype is not None else {})}
        config = HumanTOMATOPipelineConfig.from_pretrained(name, **options)
        parts = [load_part(AutoModel, name, "model", subfolder=MOTION_FOLDER, **weights)]
        if not isinstance(parts[0], TextMotionModel):
            raise ValueError(f"{str(name)!r} has a {type(parts[0]).__name__} in {MOTION_FOLDER!r}, which makes no motion tokens of text.")
        if config.has_face:
            parts.append(FacialCVAE.from_pretrained(name, subfolder=FACE_FOLDER, use_safetensors=True, **weights))
        return cls(config, *parts)

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save each part into its folder, a card and the door for `trust_remote_code`.

        Args:
            save_directory (`str` or `os.PathLike`): Where to.
            *args: Ignored.
            **kwargs: `push_to_hub` and `repo_id`; others are transformers' own.
        """
        from ...hub.card import write_generator_card
        from ...hub.remote import write_model_door

        folder = Path(save_directory)
        with writing(folder):
            self.motion_model.save_pretrained(folder / MOTION_FOLDER)
            if self.face_model is not None:
                self.face_model.save_pretrained(folder / FACE_FOLDER)
            self.config.architectures = [type(self).__name__]
            self.config.save_pretrained(folder)
        write_model_door(folder, type(self).__name__)
        write_generator_card(folder, self)
        if kwargs.get("push_to_hub"):
            self.push_to_hub(kwargs.get("repo_id") or folder.name)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Push all parts to the Hub.

        Args:
            repo_id (`str`): Repository; it is made if it is not there.
            **kwargs: `private`, `token`, `commit_message`, `create_pr`.

        Returns:
            `str`: The commit's address.
        """
        token, private = kwargs.pop("token", None), kwargs.pop("private", None)
        repo_id = create_repo(repo_id, token=token, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            kwargs.setdefault("commit_message", f"Upload {type(self).__name__}")
            return upload_folder(repo_id=repo_id, folder_path=folder, token=token, **kwargs)

    @property
    def feature_extractor(self) -> MotionFeatureExtractor:
        """The motion model's: statistics, skeleton and frame rate of what is made."""
        return self.motion_model.feature_extractor

    @property
    def max_frames(self) -> int:
        """The longest motion that is made."""
        return self.motion_model.max_frames

    @property
    def parts(self) -> tuple[str, ...]:
        """What this checkpoint makes."""
        return PARTS if self.face_model is not None else PARTS[:2]

    def forward(self, *args: Any, **kwargs: Any) -> list[Motion] | list[Tensor]:
        """As `generate_motion`."""
        return self.generate_motion(*args, **kwargs)

    def generate_motion(
        self,
        texts: str | Sequence[str],
        num_frames: int | Sequence[int] | None = None,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        parts: str | Sequence[str] | None = None,
        emotions: str | Sequence[str | None] | None = None,
        rotations: bool = True,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        output_type: str = "motion",
        seconds: float | Sequence[float] | None = None,
        seed: int | None = None,
    ) -> list[Motion] | list[Tensor]:
        """Make one motion per sentence.

        Args:
            texts (`str` or `list[str]`): Sentences. Body and hands are made of all of it, the face of the emotion at its end: "a person
                waves, happily". Where there is none the face is neutral, which is said.
            num_frames (`int` or `list[int]`, *optional*): Lengths; by default the motion model ends a motion when it finds it complete.
            generator (`torch.Generator` or list, *optional*): For reproducible results. A face changes nothing of body and hands.
            parts (`str` or `list[str]`, *optional*): Some of `"body"`, `"hands"` and `"face"`, all that there are by default. A body alone
                is on 22 joints; hands or a face without a body are on one that stands still in a T-pose.
            emotions (`str` or `list[str]`, *optional*): What faces show, in place of the sentences' ends; one for all, or one per sentence
                with None for those that say it themselves.
            rotations (`bool`, defaults to `True`): Give motions the joints' rotations; joints are then where these put them.
            temperature (`float`, defaults to 1.0): Of sampling the codes; 0 takes the likeliest.
            top_k (`int`, *optional*): Draw from so many likeliest codes only.
            top_p (`float`, *optional*): Draw from the likeliest codes that have this probability together.
            output_type (`str`, defaults to `"motion"`): `"motion"`; `"features"` or `"codes"` of the motion model.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            seed (`int`, *optional*): In place of `generator`.

        Returns:
            `list[Motion]`: In the order of the sentences.

        Raises:
            ValueError: If an argument is of the wrong kind or out of range, or a part is asked for that the checkpoint does not have.
        """
        wanted = self._wanted(parts, output_type)
        prompts = check_prompts(texts)
        shown = _emotions(prompts, emotions) if "face" in wanted else []
        fps = self.feature_extractor.fps
        num_frames = asked_frames(num_frames, seconds, fps) if seconds is not None else num_frames
        generators = spawn_generators(asked_generator(generator, seed), len(prompts), self.device)
        # Before the codes, of which a generator gives more or fewer as the batch goes on.
        chances = [int(torch.randint(2**62, (), generator=one, device=one.device)) for one in generators]
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "output_type": output_type}
        made = self.motion_model.generate_motion(prompts, num_frames, generator=generators, **options)
        if output_type != "motion":
            return made
        faces: list[Face | None] = [None] * len(made)
        if "face" in wanted:
            faces = list(self._faces(shown, [len(motion) for motion in made], fps, chances))
        return [_with_parts(motion, face, wanted, rotations) for motion, face in zip(made, faces, strict=True)]

    def _wanted(self, parts: str | Sequence[str] | None, output_type: str) -> tuple[str, ...]:
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type must be one of {', '.join(map(repr, OUTPUT_TYPES))}, got {output_type!r}.")
        wanted = self.parts if parts is None else (parts,) if isinstance(parts, str) else tuple(parts)
        unknown = [part for part in wanted if part not in PARTS]
        if unknown or not wanted:
            raise ValueError(f"parts must be some of {', '.join(map(repr, PARTS))}, got {parts!r}.")
        if "face" in wanted and self.face_model is None:
            raise ValueError(
                f"This checkpoint has no face part; it makes {' and '.join(self.parts)}. Leave 'face' out, or add a FacialCVAE."
            )
        return wanted

    def _faces(self, emotions: Sequence[str], lengths: Sequence[int], fps: float, seeds: Sequence[int]) -> list[Face]:
        """Faces at the body's frame rate, one frame for each of its."""
        ratio = self.face_model.config.fps / fps
        counts = [max(1, int(np.ceil((length - 1) * ratio - 1e-6)) + 1) for length in lengths]
        most = self.face_model.config.max_frames
        if max(counts) > most:
            logger.warning("The face part makes up to %d frames; longer motions hold the last of its expressions.", most)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        faces = self.face_model.generate_face(emotions, [min(count, most) for count in counts], generator=generators)
        return [face.at(np.arange(length) * ratio) for face, length in zip(faces, lengths, strict=True)]


def _emotions(prompts: Sequence[str], emotions: str | Sequence[str | None] | None) -> list[str]:
    """What each face shows."""
    given = [emotions] * len(prompts) if emotions is None or isinstance(emotions, str) else list(emotions)
    if len(given) != len(prompts):
        raise ValueError(f"emotions has {len(given)} entries for {len(prompts)} texts; pass one for all, or one per text.")
    found = [own or split_emotion(text)[1] for text, own in zip(prompts, given, strict=True)]
    without = [text for text, emotion in zip(prompts, found, strict=True) if emotion is None]
    if without:
        logger.warning(
            "%d of %d texts end with no emotion, such as %r; their faces are neutral. Say it at the end (', happily') or with emotions=.",
            len(without), len(prompts), without[0],
        )  # fmt: skip
    return [emotion or NEUTRAL for emotion in found]


def _with_parts(motion: Motion, face: Face | None, parts: Sequence[str], rotations: bool) -> Motion:
    """The parts of a motion with fingers that were asked for."""
    if "body" in parts:
        motion = motion if "hands" in parts else without_hands(motion)
        return replace(_with_rotations(motion) if rotations else motion, face=face)
    still = _standing_still(motion, fingers="hands" in parts)
    return replace(still if rotations else replace(still, rotations=None, rest_offsets=None), face=face)


def _with_rotations(motion: Motion) -> Motion:
    """The motion as rotations put it, bones of one length each."""
    solved = solve(motion)
    root, rest = solved.translations[:, 0], solved.rest
    joints = place_joints(solved.rotations, root, rest, motion.skeleton)
    return replace(motion, joints=joints, rotations=solved.rotations, rest_offsets=rest)


def _standing_still(motion: Motion, fingers: bool) -> Motion:
    """The reference body in its T-pose, for as long; with the fingers as they turn against their wrists, or without hands."""
    skeleton: Skeleton = motion.skeleton
    solved = solve(motion)
    rotations = np.zeros_like(solved.rotations)
    rotations[..., 0] = 1
    if fingers:
        hands = list(skeleton.groups["hands"])
        rotations[:, hands] = solved.rotations[:, hands]
    rest = skeleton.body_offsets
    root = np.tile([0.0, -float(skeleton.body_joints[:, 1].min()), 0.0], (len(motion), 1))
    joints = place_joints(rotations, root, rest, skeleton)
    still = replace(motion, joints=joints, rotations=rotations, rest_offsets=rest)
    return still if fingers else without_hands(still)
