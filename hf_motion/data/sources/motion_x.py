"""Motion-X: SMPL-X parameters with faces, semantic labels and texts about the face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ...utils.text import read_text
from .base import Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips

_MOTIONS = ("motion_data/smplx_322", "smplx_322")
_LABELS, _FACES = "texts/semantic_labels", "texts/face_texts"


@dataclass
class MotionXSource(MotionSource):
    """`motion_data/smplx_322/<subset>/<name>.npy` and, of the same names, `texts/semantic_labels/` and `texts/face_texts/` (`.txt`).

    A label becomes the caption, what a text says about the face the column `face_text`. Parameters become positions by the licensed SMPL-X
    model (`--body-models`); fingers come with `--skeleton smplx-52`.
    """

    title: ClassVar[str] = "Motion-X"
    looks_like: ClassVar[str] = "motion_data/smplx_322/ beside texts/semantic_labels/"
    license: ClassVar[str] = "Motion-X: non-commercial research, no redistribution; see the licences of its subsets"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether both folders are there."""
        return any((folder / name).is_dir() for name in _MOTIONS) and (folder / _LABELS).is_dir()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.fits(self.folder, self.options):
            raise ValueError(f"{str(self.folder)!r} is no folder of Motion-X; it needs {self.looks_like}.")
        self.root = next(self.folder / name for name in _MOTIONS if (self.folder / name).is_dir())

    def items(self) -> Iterator[Item | Skip]:
        """One per motion that has a label."""
        if self.options.body_models is None:
            raise ValueError(
                "Motion-X holds parameters of a body model, not joint positions. Get SMPL-X v1.1 in NPZ format from "
                "https://smpl-x.is.tue.mpg.de under its licence, and give the folder that holds smplx/SMPLX_NEUTRAL.npz as --body-models."
            )
        for path in sorted(self.root.rglob("*.npy")):
            name = path.relative_to(self.root).with_suffix("").as_posix()
            place = path.relative_to(self.folder).as_posix()
            if self._text(_LABELS, name).is_file():
                yield Item(name, place, name, payload=(name,))
            else:
                yield Skip(place, f"no caption: there is no {_LABELS}/{name}.txt")

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The pieces of a motion."""
        from ...canonical import put_on_floor, start_at_origin
        from ...formats.motion_x import read_motion_x
        from ...formats.rigs import has_fingers
        from ...skeletons import get_skeleton

        (name,) = item.payload
        labels = [line.strip() for line in read_text(self._text(_LABELS, name)).splitlines() if line.strip()]
        if not labels:
            raise ValueError("no caption: its file of semantic labels is empty")
        options = self.options
        motion = read_motion_x(
            self.folder / item.path, options.body_models, fps=options.fps, source_fps=options.source_fps, up=options.up,
            fingers=has_fingers(get_skeleton(self.skeleton)),
        )  # fmt: skip
        about = self._text(_FACES, name)
        face_text = " ".join(read_text(about).split()) or None if about.is_file() else None
        captions = [caption(label, "semantic_labels") for label in labels]
        source = options.name or f"Motion-X/{name.partition('/')[0]}"
        motion = start_at_origin(put_on_floor(replace(motion, skeleton=get_skeleton(self.skeleton))))
        for clip in cut_clips(motion, item, captions, source, self.licence, options.max_frames):
            yield replace(clip, face_text=face_text)

    def files(self, item: Item) -> list[Path]:
        """The parameters and the texts."""
        texts = [self._text(folder, item.payload[0]) for folder in (_LABELS, _FACES)]
        return [self.folder / item.path, *(path for path in texts if path.is_file())]

    def _text(self, folder: str, name: str) -> Path:
        return self.folder / folder / f"{name}.txt"
