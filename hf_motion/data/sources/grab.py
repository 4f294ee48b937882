"""GRAB: people who take hold of objects and use them, as AMASS releases it, in parameters of SMPL-X."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .base import Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips, read_on_floor

_FILE = re.compile(r"(s\d+)/([a-z]+)_([a-z]+)_(\d+)(?:_[a-z]+)*?(?:_stageii|_poses)?\.npz", re.IGNORECASE)
_SHAPE = re.compile(r"(cube|cylinder|pyramid|sphere|torus)(small|medium|large)")
_OBJECTS = {
    "alarmclock": "alarm clock", "fryingpan": "frying pan", "gamecontroller": "game controller", "lightbulb": "light bulb",
    "piggybank": "piggy bank", "stanfordbunny": "Stanford bunny", "waterbottle": "water bottle", "wineglass": "wine glass",
}  # fmt: skip
# What GRAB's recordings are called; `%` is the object.
_ACTIONS = {
    "lift": "lifts the %", "pass": "hands the % over", "inspect": "looks at the % from all sides",
    "offhand": "passes the % from one hand to the other", "use": "uses the %", "eat": "eats the %", "drink": "drinks from the %",
    "pour": "pours from the %", "fly": "flies the %", "play": "plays with the %", "see": "looks at the %", "clean": "cleans the %",
    "wear": "puts on the %", "on": "switches the % on", "cook": "cooks with the %", "browse": "looks through pictures on the %",
    "takepicture": "takes a picture with the %", "screw": "screws in the %", "peel": "peels the %", "chop": "chops with the %",
    "toast": "raises the % for a toast", "call": "makes a call with the %", "stamp": "stamps with the %", "staple": "staples with the %",
    "brush": "brushes the teeth with the %", "squeeze": "squeezes the %", "set": "sets the %", "open": "opens the %",
    "shake": "shakes the %",
}  # fmt: skip
_OF_ONE = {("binoculars", "see"): "looks through the binoculars", ("flute", "play"): "plays the flute"}


@dataclass
class GrabSource(MotionSource):
    """`<subject>/<object>_<action>_<number>_stageii.npz` of AMASS's SMPL-X release, at any depth.

    Captions are written from the names of the files ("a person drinks from the mug"). Objects are not in that release. Parameters become
    positions by the licensed SMPL-X models of all genders (`--body-models`); fingers come with `--skeleton smplx-52`, expressions and
    the jaw where the files have them. Files of GRAB's own release hold pickled objects and are refused.
    """

    title: ClassVar[str] = "GRAB, as in AMASS"
    looks_like: ClassVar[str] = "s1/mug_drink_1_stageii.npz and the like"
    license: ClassVar[str] = "GRAB: non-commercial research, no redistribution"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether a file is called as GRAB's are, and no index of AMASS's names them."""
        indexed = options.index is not None or (folder / "index.csv").is_file()
        return folder.is_dir() and not indexed and any(map(_parts, folder.rglob("*.npz")))

    def items(self) -> Iterator[Item | Skip]:
        """One per file."""
        if self.options.body_models is None:
            raise ValueError(
                "GRAB holds parameters of a body model, not joint positions. Get SMPL-X v1.1 in NPZ format from "
                "https://smpl-x.is.tue.mpg.de under its licence, and give the folder that holds smplx/SMPLX_MALE.npz as --body-models."
            )
        for path in sorted(self.folder.rglob("*.npz")):
            place, parts = path.relative_to(self.folder), _parts(path)
            if parts is None:
                yield Skip(place.as_posix(), "its name is not <subject>/<object>_<action>_<number>")
            else:
                name = place.with_suffix("").as_posix().removesuffix("_stageii").removesuffix("_poses")
                yield Item(name, place.as_posix(), name, payload=parts)

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The recording, cut if it is long."""
        motion = read_on_floor(self.folder / item.path, self.options)
        captions = [caption(sentence(*item.payload), "written from the name of the file")]
        return cut_clips(motion, item, captions, self.options.name or "GRAB", self.licence, self.options.max_frames)


def sentence(thing: str, action: str) -> str:
    """What the name of a recording says.

    Example:
        >>> sentence("waterbottle", "drink"), sentence("cubelarge", "lift"), sentence("phone", "drop")
        ('a person drinks from the water bottle', 'a person lifts the large cube', 'a person uses the phone (drop)')
    """
    shape = _SHAPE.fullmatch(thing)
    called = f"{shape[2]} {shape[1]}" if shape else _OBJECTS.get(thing, thing)
    done = _OF_ONE.get((thing, action)) or _ACTIONS.get(action, f"uses the % ({action})").replace("%", called)
    return f"a person {done}"


def _parts(path: Path) -> tuple[str, str] | None:
    """Object and action that a file's name says."""
    match = _FILE.fullmatch(f"{path.parent.name}/{path.name}")
    return None if match is None else (match[2].lower(), match[3].lower())
