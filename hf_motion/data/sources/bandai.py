"""The Bandai-Namco-Research-Motiondataset repository as it is published."""

from __future__ import annotations

import random
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from ...utils.limits import MAX_TEXT_BYTES
from .bandai_captions import CONTENTS, STYLES, SUBJECTS
from .base import Caption, Clip, Item, MotionSource, Skip, SourceOptions, caption, cut_clips, read_on_floor

_FILE = re.compile(r"dataset-[12]_([a-z-]+)_([a-z-]+)_(\d+)\.bvh")


@dataclass
class BandaiNamcoSource(MotionSource):
    """`dataset-1_<content>_<style>_<number>.bvh` and `dataset-2_...`, in folders or in the repository's `data.zip` files.

    Three captions per take are written from its labels (`bandai_captions.py`): three ways to say the content, each with its way to
    say the style. Left and right are those of the content. A take that lies both in a folder and in a zip is read once.
    """

    title: ClassVar[str] = "Bandai-Namco-Research-Motiondataset"
    looks_like: ClassVar[str] = "dataset-1_<content>_<style>_<number>.bvh, in folders or in data.zip"
    license: ClassVar[str] = "CC BY-NC 4.0"

    @classmethod
    def fits(cls, folder: Path, options: SourceOptions) -> bool:
        """Whether a file or a zip member has such a name."""
        return options.captions is None and folder.is_dir() and any(_FILE.fullmatch(name) for name, _ in _members(folder))

    def items(self) -> Iterator[Item | Skip]:
        """One per take."""
        seen = set()
        for name, payload in _members(self.folder):
            reason = None
            match, path, take = _FILE.fullmatch(name), "!".join(payload), name.removesuffix(".bvh")
            if not name:
                reason = "the archive is damaged"
            elif ".." in PurePosixPath(payload[-1]).parts or PurePosixPath(payload[-1]).is_absolute():
                reason = "its path leaves the archive"
            elif match is None:
                reason = "its name is not dataset-<1 or 2>_<content>_<style>_<number>"
            elif name not in seen:
                reason = unknown_label(match[1], match[2])
                if reason is None:
                    yield Item(f"bnr_{take}", path, take, payload=payload)
            seen.add(name)
            if reason is not None:
                yield Skip(path, reason)

    def files(self, item: Item) -> list[Path]:
        """The BVH file, or the zip that holds it."""
        return [self.folder / item.payload[0]]

    def clips(self, item: Item) -> Iterator[Clip | Skip]:
        """The take, cut if it is long."""
        content, style, _ = _FILE.fullmatch(f"{item.take}.bvh").groups()
        captions = label_captions(content, style, item.take)
        if len(item.payload) == 1:
            motion = read_on_floor(self.folder / item.payload[0], self.options)
        else:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{item.take}.bvh"
                path.write_bytes(_member_bytes(self.folder / item.payload[0], item.payload[1]))
                motion = read_on_floor(path, self.options)
        source = self.options.name or f"bandai-namco-{item.take[8]}"
        yield from cut_clips(motion, item, captions, source, self.licence, self.options.max_frames)


def label_captions(content: str, style: str, take: str) -> list[Caption]:
    """Three captions for a take.

    Args:
        content (`str`): Its content label.
        style (`str`): Its style label.
        take (`str`): Its name; who acts ("a person", "someone", ...) is drawn from it, so it stays the same.

    Raises:
        ValueError: If a label is unknown.

    Example:
        >>> [record["text"] for record in label_captions("wave-left-hand", "happy", "a")][0].endswith("waves the left hand happily")
        True
    """
    reason = unknown_label(content, style)
    if reason is not None:
        raise ValueError(reason)
    draw = random.Random(take)
    sentences = zip(CONTENTS[content], STYLES[style], strict=True)
    return [caption(f"{draw.choice(SUBJECTS)} {what} {how}".strip(), "template_from_label") for what, how in sentences]


def unknown_label(content: str, style: str) -> str | None:
    """What is wrong with a pair of labels, if there are no words for it."""
    for kind, label, known in (("content", content, CONTENTS), ("style", style, STYLES)):
        if label not in known:
            return f"unknown {kind} label {label!r}; there are words for {', '.join(known)}"
    return None


def _members(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of BVH files and where they are: (path,) or (path of the zip, member), relative to `folder`. A damaged zip has no name."""
    for path in sorted(folder.rglob("*.bvh")):
        yield path.name, (path.relative_to(folder).as_posix(),)
    for path in sorted(folder.rglob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                members = sorted(name for name in archive.namelist() if name.endswith(".bvh"))
        except (OSError, zipfile.BadZipFile):
            yield "", (path.relative_to(folder).as_posix(),)
            continue
        for member in members:
            yield PurePosixPath(member).name, (path.relative_to(folder).as_posix(), member)


def _member_bytes(archive: Path, member: str) -> bytes:
    """The content of a zip member.

    Raises:
        ValueError: If the archive is damaged or the member too large to be a motion.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            if file.getinfo(member).file_size > MAX_TEXT_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_TEXT_BYTES >> 20} MiB")
            return file.read(member)
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise ValueError(f"the archive is damaged: {error}") from error
