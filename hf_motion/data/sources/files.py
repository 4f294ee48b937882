"""A folder of motion files and a table of captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ...motion import Motion
from ..captions import CaptionLine, find_table, read_table
from .base import Caption, Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips, face_beside, inside, read_on_floor

SUFFIXES = (".bvh", ".amc", ".npz", ".npy")


@dataclass
class FilesSource(MotionSource):
    """BVH, ASF/AMC, npz and npy files at any depth, and `captions.csv`, `captions.jsonl` or `--captions`.

    Lines with start and end seconds cut a part out of the file; lines of the same part are captions of one clip. A face that lies beside
    a body under the same name (Live Link Face's `.csv`, ARKit's `.json`) comes with it.
    """

    title: ClassVar[str] = "folder of motion files"
    looks_like: ClassVar[str] = (
        "motion files (.bvh, .amc with .asf, .npz, .npy) and captions.csv or captions.jsonl (or --captions, --caption)"
    )

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether there are motion files and something to call them."""
        said = options.captions is not None or options.caption is not None
        return folder.is_dir() and (said or find_table(folder) is not None) and bool(_motion_files(folder))

    def items(self) -> Iterator[Item | Skip]:
        """One per file that has a caption."""
        files = _motion_files(self.folder)
        if not files:
            raise ValueError(f"No {', '.join(SUFFIXES)} file in {str(self.folder)!r}.")
        table = self.options.captions or find_table(self.folder)
        if table is None and self.options.caption is None:
            raise ValueError(
                f"No captions for {str(self.folder)!r}: it has no captions.csv or captions.jsonl; give --captions or --caption."
            )
        if table is not None and not table.is_file():
            raise FileNotFoundError(f"No captions table at {str(table)!r}.")
        lines: dict[str, list[CaptionLine]] = {}
        for line in read_table(table) if table is not None else ():
            found = line if isinstance(line, ValueError) else self._find(line, files)
            if isinstance(found, str):
                lines.setdefault(found, []).append(line)
            else:
                place, _, reason = str(found).partition(": ")
                yield Skip(place, reason)
        for name in files:
            yield self._item(name, lines.get(name, []))

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The parts of a file that its captions name."""
        motion = read_on_floor(self.folder / item.path, self.options)
        parts: dict[tuple[float, float], list[Caption]] = {}
        for text, start, end, tags in item.payload:
            parts.setdefault((start, end), []).append(caption(text, "captions_table", tags, start, end))
        for (start, end), captions in parts.items():
            if not (start or end):
                yield from self._cut(motion, item, captions)
                continue
            first, last = round(start * motion.fps), min(round(end * motion.fps) if end else len(motion), len(motion))
            if last <= first:
                yield Skip(f"{item.path} [{start:g}-{end:g} s]", f"this part lies outside its {motion.duration:.2f} s")
                continue
            part = replace(item, name=f"{item.name}_{first:04d}_{last:04d}")
            for clip in self._cut(motion[first:last], part, captions):
                yield replace(clip, start_frame=clip.start_frame + first)

    def files(self, item: Item) -> list[Path]:
        """The motion file, the face beside it, and the skeleton that an AMC file needs."""
        path = self.folder / item.path
        faces = [face] if (face := face_beside(path)) is not None else []
        return [path, *faces, *(sorted(path.parent.glob("*.asf")) if path.suffix.lower() == ".amc" else ())]

    def _cut(self, motion: Motion, item: Item, captions: list[Caption]) -> Iterator[Clip]:
        source = self.options.name or self.folder.resolve().name
        return cut_clips(motion, item, captions, source, self.licence, self.options.max_frames)

    def _find(self, line: CaptionLine, files: dict[str, Path]) -> str | ValueError:
        try:
            path = inside(self.folder, line.file if line.file in files else self._with_suffix(line.file, files))
        except (OSError, ValueError) as error:
            return ValueError(f"{line.place}: {line.file!r}: {error}")
        name = path.relative_to(self.folder.resolve()).as_posix()
        return name if name in files else ValueError(f"{line.place}: {line.file!r} is no motion file ({', '.join(SUFFIXES)})")

    @staticmethod
    def _with_suffix(name: str, files: dict[str, Path]) -> str:
        return next((name + suffix for suffix in SUFFIXES if name + suffix in files), name)

    def _item(self, name: str, lines: list[CaptionLine]) -> Item | Skip:
        if not lines and self.options.caption is None:
            return Skip(name, "no caption names it")
        splits, takes = ({value for line in lines if (value := getattr(line, field))} for field in ("split", "take"))
        if len(splits) > 1 or len(takes) > 1:
            return Skip(name, f"its captions disagree: splits {sorted(splits)}, takes {sorted(takes)}")
        captions = tuple((line.text, line.start, line.end, line.pos_tagged) for line in lines) or ((self.options.caption, 0.0, 0.0, None),)
        return Item(Path(name).with_suffix("").as_posix(), name, next(iter(takes), name), next(iter(splits), None), captions)


def _motion_files(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    }
