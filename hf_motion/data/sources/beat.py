"""BEAT: people who speak, with body (BVH), face (ARKit JSON) and words (TextGrid)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...utils.text import read_text
from .base import Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips, face_beside, pieces, read_on_floor

_INTERVAL = re.compile(r'xmin\s*=\s*([\d.eE+-]+)\s+xmax\s*=\s*([\d.eE+-]+)\s+text\s*=\s*"((?:[^"]|"")*)"')
_TIER = re.compile(r'name\s*=\s*"([^"]*)"')


@dataclass
class BeatSource(MotionSource):
    """`<speaker>/<take>.bvh` with `.json` (the face) and `.TextGrid` (the words) of the same name, at any depth.

    The caption of a clip is what is said in it: "a person says: ...".
    """

    title: ClassVar[str] = "BEAT"
    looks_like: ClassVar[str] = ".bvh files with .json and .TextGrid of the same names"
    license: ClassVar[str] = "BEAT: non-commercial research; see its licence"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether a body has face and words."""
        bodies = folder.rglob("*.bvh") if folder.is_dir() else ()
        return any(path.with_suffix(".TextGrid").is_file() and path.with_suffix(".json").is_file() for path in bodies)

    def items(self) -> Iterator[Item | Skip]:
        """One per body."""
        for path in sorted(self.folder.rglob("*.bvh")):
            place = path.relative_to(self.folder)
            if not path.with_suffix(".TextGrid").is_file():
                yield Skip(place.as_posix(), f"no caption: there is no {place.with_suffix('.TextGrid').name}")
            elif face_beside(path) is None:
                yield Skip(place.as_posix(), f"no face: there is no {place.with_suffix('.json').name} of an ARKit face")
            else:
                name = place.with_suffix("").as_posix()
                yield Item(name, place.as_posix(), name)

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The pieces of a take in which something is said."""
        path = self.folder / item.path
        words = read_words(path.with_suffix(".TextGrid"))
        motion = read_on_floor(path, self.options)
        parts = pieces(len(motion), self.options.max_frames)
        for number, (start, end) in enumerate(parts):
            said = " ".join(word for begin, stop, word in words if start <= (begin + stop) / 2 * motion.fps < end)
            name = item.name if len(parts) == 1 else f"{item.name}_c{number}"
            if not said:
                yield Skip(f"{item.path} ({name})", "no caption: nothing is said in it")
                continue
            part = Item(name, item.path, item.take)
            captions = [caption(f"a person says: {said}", "speech")]
            for clip in cut_clips(motion[start:end], part, captions, self.options.name or "BEAT", self.licence, None):
                clip.start_frame = start
                yield clip

    def files(self, item: Item) -> list[Path]:
        """Body, face and words."""
        path = self.folder / item.path
        return [path, path.with_suffix(".json"), path.with_suffix(".TextGrid")]


def read_words(path: Path) -> list[tuple[float, float, str]]:
    """Words of Praat's TextGrid (long form): begin and end in seconds and the word, of the tier `words` or else the first.

    Raises:
        ValueError: If it has no tier of intervals.
    """
    text = read_text(path)
    tiers = [(match[1], match.end()) for match in _TIER.finditer(text)]
    if not tiers:
        raise ValueError(f"{str(path)!r} is no TextGrid in Praat's long form: it names no tier.")
    chosen = next((number for number, (name, _) in enumerate(tiers) if name == "words"), 0)
    end = tiers[chosen + 1][1] if chosen + 1 < len(tiers) else len(text)
    found = [(match[1], match[2], match[3].replace('""', '"').strip()) for match in _INTERVAL.finditer(text, tiers[chosen][1], end)]
    try:
        return [(float(begin), float(stop), word) for begin, stop, word in found if word]
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is no readable TextGrid: {error}.") from error
