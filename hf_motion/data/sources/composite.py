"""Any source of bodies with recorded hands at their wrists, see `hf_motion.data.composite`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from ...formats.hand_takes import HandTake, find_hand_takes, read_hand_take
from ...motion import Motion
from ..composite import attach_hands, take_of_clip, takes_of_split
from .base import Clip, Item, MotionSource, Skip, SourceOptions


@dataclass
class CompositeSource(MotionSource):
    """The clips of another source on `smplx-52`, with the fingers of recordings in `--hands`."""

    bodies: MotionSource = field(kw_only=True)
    title: ClassVar[str] = "composite: captioned bodies with recorded hands of other people at their wrists"
    looks_like: ClassVar[str] = "any other layout, and --hands"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether hands are wanted."""
        return options.hands is not None

    def __post_init__(self) -> None:
        if self.bodies.skeleton != "humanml3d-22":
            raise ValueError(f"Hands are put on bodies of 'humanml3d-22'; {str(self.folder)!r} has {self.bodies.skeleton!r}.")
        if not self.options.hands.is_dir():
            raise FileNotFoundError(f"No folder of hands at {str(self.options.hands)!r}.")
        self.takes = find_hand_takes(self.options.hands)
        if not self.takes:
            raise ValueError(f"{str(self.options.hands)!r} holds no leftHand.bvh, rightHand.bvh or Leap recording (.json), packed or not.")
        self.skeleton = "smplx-52"
        self.keep_own_skeleton()

    def items(self) -> Iterator[Item | Skip]:
        """Those of the bodies."""
        yield from self.bodies.items()

    def files(self, item: Item) -> list[Path]:
        """Those of the body, and all recordings of hands."""
        return [*self.bodies.files(item), *(path for files in self.takes.values() for path in files)]

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The body's clips, each with a part of one of the takes of hands that its split may have."""
        for clip in self.bodies.clips(item):
            yield clip if isinstance(clip, Skip) else self._with_hands(clip, takes_of_split(list(self.takes), item.split or "train"))

    def _with_hands(self, clip: Clip, names: list[str]) -> Clip:
        name = take_of_clip(clip.id, names)
        attached = attach_hands(Motion(clip.joints, clip.fps), _take(self.takes[name], name, clip.fps))
        part = f"{name} from {attached.start:.2f} s{', mirrored' if attached.mirrored else ''}"
        return replace(
            clip, joints=attached.motion.joints, features=None, source=f"composite: {clip.source} + hands {name}",
            license=f"body: {clip.license}; hands: {self.options.hands_license or 'unknown'}",
            captions=[{**record, "origin": f"{record['origin']} (of the body; hands: {part})"} for record in clip.captions],
        )  # fmt: skip


@lru_cache(maxsize=64)
def _take(files: tuple[Path, ...], name: str, fps: float) -> HandTake:
    return read_hand_take(files, name=name, fps=fps)
