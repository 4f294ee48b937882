"""What is done to motions between being made or read and being written: for `hf-motion generate`, `edit` and `convert`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .formats.rigs import WRITTEN_RIGS
from .formats.table import check_needs, taking
from .motion import Motion, check_fps


@dataclass(frozen=True)
class Finish:
    """Wishes for written motions.

    Args:
        rig (`str`, *optional*): Joint names of files that have some, one of `hf_motion.formats.WRITTEN_RIGS`.
        fps (`float`, *optional*): Frames per second of the files; those of the motion by default.
        contact_cleanup (`bool`, defaults to `False`): Hold feet still while they touch the floor.
        in_place (`bool`, defaults to `False`): Keep the root above where it starts.
        units (`str`, *optional*): Unit of .bvh files, `"cm"` or `"m"`.
        root_motion (`bool`, defaults to `False`): Hang skeletons on a joint on the floor that carries their travel.
    """

    rig: str | None = None
    fps: float | None = None
    contact_cleanup: bool = False
    in_place: bool = False
    units: str | None = None
    root_motion: bool = False

    def check(self, suffixes: Sequence[str]) -> None:
        """Refuse what cannot be done, before anything is made or read.

        Args:
            suffixes (`Sequence[str]`): Of the files to write, in small letters.

        Raises:
            ValueError: If the rig is unknown or no format takes one, no format has `units`, or the frame rate is not positive.
            ImportError: If a format needs Blender or an extra, and that is not there.
        """
        if self.rig is not None and not set(suffixes) & set(taking("rig")):
            raise ValueError(f"--rig names the joints of {', '.join(taking('rig'))} files, not of {', '.join(suffixes)}; leave it out.")
        if self.rig is not None and self.rig not in WRITTEN_RIGS:
            raise ValueError(
                f"Unknown rig {self.rig!r}. There are: {', '.join(WRITTEN_RIGS)}; leave --rig out for the joint names of the motion."
            )
        if self.units is not None and not set(suffixes) & set(taking("units")):
            there = ", ".join(taking("units"))
            raise ValueError(f"--units is the unit of {there} files, which do not say theirs, not of {', '.join(suffixes)}; leave it out.")
        if self.root_motion and not set(suffixes) <= set(taking("root_motion")):
            raise ValueError(
                f"--root-motion adds a joint to {', '.join(taking('root_motion'))} files, not to {', '.join(suffixes)}; leave it out."
            )
        if self.root_motion and self.in_place:
            raise ValueError("--in-place drops the travel, --root-motion keeps it in a joint of its own; choose one.")
        if self.fps is not None:
            check_fps(self.fps)
        check_needs(suffixes)

    def apply(self, motion: Motion) -> tuple[Motion, str | None]:
        """The motion as it is to be written, and what the clean-up of contacts did, in words."""
        told = None
        if self.contact_cleanup:
            motion, told = _cleaned(motion)
        if self.in_place:
            motion = motion.in_place()
        return motion if self.fps is None else motion.resample(self.fps), told

    def options(self, path: Path) -> dict[str, Any]:
        """What the writer of that file is told."""
        wishes = {"rig": self.rig, "units": self.units, "root_motion": self.root_motion}
        return {name: value for name, value in wishes.items() if value and path.suffix.lower() in taking(name)}

    def unit_note(self, paths: Sequence[Path]) -> str | None:
        """What to say once about the unit of written files; None where they say it themselves."""
        if self.units is not None or not any(path.suffix.lower() == ".bvh" for path in paths):
            return None
        return ".bvh files count in centimetres, as Maya and Unreal do; in Blender import them with Scale 0.01, or write --units m"


def _cleaned(motion: Motion) -> tuple[Motion, str]:
    from .cleanup import foot_slide, lock_feet
    from .metrics.skating import skating_ratio

    cleaned = lock_feet(motion)
    slides = [100 * foot_slide(part, like=motion) for part in (motion, cleaned)]
    ratios = [
        100 * skating_ratio(part.joints, fps=motion.fps, skeleton=motion.skeleton) if len(motion) > 1 else 0.0 for part in (motion, cleaned)
    ]
    return cleaned, f"feet in contact slide {slides[0]:.1f} -> {slides[1]:.1f} cm/s, skating ratio {ratios[0]:.1f} -> {ratios[1]:.1f} %"
