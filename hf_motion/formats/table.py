"""The one table of motion files: what reads and writes each suffix, which options it takes, and what becomes of a motion in it.

`read_motion`, `Motion.load`, `Motion.save`, the commands, their help and refusals, and the tables of the documentation are made from it.
Modules are named, and imported when a file of theirs is met, since most need torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FileFormat:
    """One row: files of one or several suffixes.

    Functions are named as `"module:function"`, the module as seen from `hf_motion`.

    Args:
        suffixes (`tuple[str, ...]`): In small letters, with the point.
        used_by (`str`): Programs, or what such files are for.
        holds (`str`): What is in a file.
        opens (`str`, *optional*): Opens a file for `read_motion`: takes its path and what is wanted of it, see
            `hf_motion.formats.opening`.
        loads (`str`, *optional*): Reads a file for `Motion.load`.
        writes (`str`, *optional*): Writes a file for `Motion.save`: takes a motion, a path and `options`.
        options (`tuple[str, ...]`): What `Motion.save` passes on to the writer.
        reading (`tuple[str, ...]`): Options of `read_motion` that are for these files alone.
        keeps (`tuple[str, ...]`): Which of a motion's rotations, face and text are in a file that was written.
        needs (`str`, *optional*): Key of `NEEDS`: what must be there besides this package.
        several (`bool`): Whether one file shows several motions side by side.
        instead (`str`, *optional*): Suffix to write in the place of files that are only read.
    """

    suffixes: tuple[str, ...]
    used_by: str
    holds: str
    opens: str | None = None
    loads: str | None = None
    writes: str | None = None
    options: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    needs: str | None = None
    several: bool = False
    instead: str | None = None


NEEDS = {
    "blender": "Blender, see below",
    "usd": "`hf-motion[usd]`",
    "render": "`hf-motion[render]`",
}
"""What some formats need, in words."""

_NODES = ("formats.opening:open_nodes", "formats.gltf:read_gltf")
_ALL = ("rotations", "face", "text")

FORMATS: tuple[FileFormat, ...] = (
    FileFormat(
        (".bvh",), "Blender, Maya, MotionBuilder, Unity, Unreal", "skeleton and rotations, centimetres or metres, Y up",
        "formats.opening:open_bvh", "formats.bvh:read_bvh", "formats.bvh:write_bvh",
        ("rig", "units", "scale", "euler_order", "up_axis", "tolerance", "constant_bones", "keep_proportions", "root_motion"),
        keeps=("rotations",),
    ),
    FileFormat(
        (".amc",), "Acclaim, CMU's database", "a skeleton in its .asf file, and rotations", "formats.opening:open_amc",
        reading=("asf",), instead=".bvh",
    ),
    FileFormat(
        (".glb",), "Blender, three.js, Unity, Godot, viewers",
        "skeleton with a simple skinned body, metres, Y up; a face as morph targets", *_NODES, "formats.glb:write_glb",
        ("rig", "tolerance", "keep_proportions", "root_motion"), keeps=_ALL,
    ),
    FileFormat((".gltf",), "viewers, exchange", "glTF 2.0 as text", *_NODES, instead=".glb"),
    FileFormat((".vrm",), "VRM characters", "VRM 0 and 1, whose joints are known by their bones' names", *_NODES, instead=".vrma"),
    FileFormat(
        (".vrma",), "VRM characters: three-vrm, UniVRM, VRoid Hub", "bones of VRM's humanoid, fingers where there are some, no body",
        *_NODES, "formats.vrma:write_vrma", keeps=("rotations", "text"),
    ),
    FileFormat(
        (".fbx",), "Unity, Unreal, Maya, MotionBuilder, Cinema 4D", "what .glb holds, a key in every frame",
        "formats.opening:open_fbx", "formats.fbx:read_fbx", "formats.fbx:write_fbx", ("rig", "keep_proportions", "root_motion"),
        keeps=("rotations", "face"), needs="blender",
    ),
    FileFormat(
        (".usd", ".usda", ".usdc", ".usdz"), "Omniverse, Houdini, Maya, Blender, phones", "skeleton and body as UsdSkel, metres, Y up",
        writes="formats.usd:write_usd", options=("rig", "tolerance", "keep_proportions", "root_motion"), keeps=("rotations", "text"),
        needs="usd",
    ),
    FileFormat(
        (".json",), "web pages, anything that reads JSON", "joint positions and the rotations that make them, metres, Y up; see below",
        "formats.opening:open_json", "formats.json:read_json", "formats.json:write_json", ("rig", "rotations"), keeps=_ALL,
    ),
    FileFormat(
        (".npz",), "this library; AMASS", 'joints as they are, lossless; with `layout="amass"` SMPL-H poses, Z up, average shape',
        "formats.opening:open_npz", "formats.npz:read_npz", "formats.dispatch:write_arrays", ("layout", "pose_width", "rest_joints"),
        ("body_models", "num_betas"), keeps=_ALL,
    ),
    FileFormat(
        (".npy",), "HumanML3D, KIT-ML", "joint positions, frames x 22 x 3 or frames x 21 x 3", "formats.opening:open_npy", instead=".npz",
    ),
    FileFormat(
        (".csv",), "spreadsheets, pandas, R", "joint positions, metres", writes="formats.csv:write_csv", options=("rig",),
    ),
    FileFormat(
        (".mp4", ".gif"), "looking", "video", writes="rendering:save_video", options=("size", "fps"), keeps=("face", "text"),
        needs="render", several=True,
    ),
    FileFormat(
        (".png",), "looking", "a contact sheet: poses over time", writes="rendering:save_contact_sheet", options=("columns", "size"),
        keeps=("face", "text"), needs="render", several=True,
    ),
    FileFormat(
        (".html",), "looking", "a player, in one file", writes="rendering:save_player", keeps=("face", "text"), several=True,
    ),
)  # fmt: skip

BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}
"""The row of each suffix."""


def suffixes(wanted: Callable[[FileFormat], Any]) -> tuple[str, ...]:
    """Suffixes of the formats that something is true of.

    Example:
        >>> from hf_motion.formats.table import suffixes
        >>> suffixes(lambda row: row.several)
        ('.mp4', '.gif', '.png', '.html')
    """
    return tuple(suffix for row in FORMATS if wanted(row) for suffix in row.suffixes)


READ = suffixes(lambda row: row.opens)
"""What `read_motion` reads."""

LOADED = suffixes(lambda row: row.loads)
"""What `Motion.load` reads."""

WRITTEN = suffixes(lambda row: row.writes)
"""What `Motion.save` writes."""


def taking(option: str) -> tuple[str, ...]:
    """Suffixes of the files whose writers take an option.

    Example:
        >>> from hf_motion.formats.table import taking
        >>> taking("units")
        ('.bvh',)
    """
    return suffixes(lambda row: option in row.options)


def format_of(path: Path) -> FileFormat | None:
    """The row of a file's suffix, in whatever letters; None where there is none."""
    return BY_SUFFIX.get(path.suffix.lower())


def function(name: str | None) -> Callable[..., Any]:
    """What a row names, its module imported."""
    module, _, attribute = str(name).partition(":")
    found: Callable[..., Any] = getattr(import_module(f"hf_motion.{module}"), attribute)
    return found


def writing_step(suffix: str) -> str:
    """What to write in the place of a suffix that is only read, a sentence with a space before it; else empty."""
    row = BY_SUFFIX.get(suffix)
    return f" {suffix} files are only read; write {row.instead}." if row is not None and row.instead else ""


def check_needs(wanted: Iterable[str]) -> None:
    """Refuse to write suffixes for which something is not installed.

    Raises:
        ImportError: If so; the message says how to get it.
        ValueError: If the variable that names Blender is wrong.
    """
    from ..utils.extras import require
    from .blender import find_blender

    for suffix in sorted(set(wanted) & set(WRITTEN)):
        needs = BY_SUFFIX[suffix].needs
        if needs == "blender":
            find_blender()
        elif needs == "usd":
            require("pxr", "Writing USD files")
        elif needs == "render":
            require("PIL", "Drawing")
            if suffix == ".mp4":
                require("av", "Writing .mp4", "Or write a .gif.")


def markdown() -> str:
    """The table for the documentation, in Markdown: one line per row."""
    lines = ["| file | read, written | for | what is in it | keeps | options of `save` | needs |", "|" + "---|" * 7]
    for row in FORMATS:
        names = ", ".join(f"`{suffix}`" for suffix in row.suffixes)
        ways = ", ".join(word for word, there in (("read", row.opens), ("written", row.writes)) if there)
        options = ", ".join(f"`{option}`" for option in row.options)
        keeps = ", ".join(row.keeps) if row.writes else ""
        lines.append(f"| {names} | {ways} | {row.used_by} | {row.holds} | {keeps} | {options} | {NEEDS.get(row.needs or '', '')} |")
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines)


def listing() -> str:
    """The table for a terminal: suffix, read or written, what is in it."""
    width = max(len(suffix) for suffix in BY_SUFFIX)
    lines = []
    for suffix, row in BY_SUFFIX.items():
        ways = ", ".join(word for word, there in (("read", row.opens), ("written", row.writes)) if there)
        needs = f"; needs {NEEDS[row.needs].replace('`', '').removesuffix(', see below')}" if row.needs else ""
        lines.append(f"{suffix:{width}}  {ways:13}  {row.used_by}: {row.holds.replace('`', '').removesuffix('; see below')}{needs}")
    return "\n".join(lines)
