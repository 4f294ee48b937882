"""Recorded hands without a body, as rows of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...formats.hand_takes import SIDES, find_hand_takes, read_hand_take
from ...hands import relaxed_hands
from ...motion import Motion
from ...skeletons import SMPLX_52
from ..composite import local_hands
from .base import Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips


@dataclass
class HandsSource(MotionSource):
    """A folder of recorded hands (`hf_motion.formats.hand_takes`), on `smplx-52` at the wrists of a body that stands still in a T-pose.

    So every part that knows whole bodies takes them: features, checks, players and models. A skeleton of hands alone would fit none of
    these. What the fingers do is kept, and how the hand is turned and carried is not, which a body without arms that move cannot show; a
    hand that was not recorded is relaxed. Captions say the name of the take, or what `--caption` says.
    """

    title: ClassVar[str] = "hands alone, on a body that stands still"
    looks_like: ClassVar[str] = "leftHand.bvh, rightHand.bvh or Leap recordings (.json), packed or not"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether there is a recording of hands."""
        return folder.is_dir() and bool(find_hand_takes(folder))

    def __post_init__(self) -> None:
        self.skeleton = SMPLX_52.name
        self.keep_own_skeleton()
        self.takes = find_hand_takes(self.folder)

    def items(self) -> Iterator[Item | Skip]:
        """One per take."""
        if not self.takes:
            raise ValueError(f"{str(self.folder)!r} holds no {self.looks_like}.")
        for name, files in self.takes.items():
            yield Item(f"hands/{name}", files[0].relative_to(self.folder).as_posix(), name, payload=(name,))

    def files(self, item: Item) -> list[Path]:
        """Both hands."""
        return list(self.takes[item.payload[0]])

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The take, cut if it is long."""
        (name,) = item.payload
        take = read_hand_take(self.takes[name], name=name, fps=self.options.fps)
        body = SMPLX_52.body_joints - [0, SMPLX_52.body_joints[:, 1].min(), 0]
        joints = np.tile(body, (len(take), 1, 1))
        recorded = local_hands(take)
        for side, resting in zip(SIDES, relaxed_hands(), strict=True):
            joints[:, SMPLX_52.groups[f"{side}_hand"]] = body[SMPLX_52.joint(f"{side}_wrist")] + recorded.get(side, resting)
        said = caption(self.options.caption or f"hands: {name}", "given" if self.options.caption else "name of the take")
        source = f"{self.options.name or 'hands alone'}: {name} ({' and '.join(take.hands)})"
        licence = self.options.hands_license or self.licence
        motion = Motion(joints, take.fps, SMPLX_52)
        return cut_clips(motion, item, [said], source, licence, self.options.max_frames)
