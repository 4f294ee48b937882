"""`hf-motion convert`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..formats.blender import one_blender
from ..formats.table import BY_SUFFIX, WRITTEN, function, listing, suffixes, taking, writing_step
from .app import app, user_errors
from .generate import ContactCleanup, Format, Fps, InPlace, Rig, RootMotion, Units

if TYPE_CHECKING:
    from ..finishing import Finish
    from ..formats.read import MotionSource
    from ..motion import Motion

_TOGETHER = suffixes(lambda row: row.several)


class Layout(StrEnum):
    """What a .npz file holds."""

    hf_motion = "hf_motion"
    amass = "amass"


@dataclass(frozen=True)
class _Wishes:
    finish: Finish
    fps: float | None
    layout: str | None
    mapping: Path | None
    texts: list[str]
    recorded_bones: bool
    keep_proportions: bool
    skeleton: str | None
    reading: dict[str, Any]
    faces: list[Path]
    face_fps: float | None
    face_offset: float


def _show_formats(wanted: bool) -> None:
    if wanted:
        typer.echo(listing())
        raise typer.Exit


KeepProportions = Annotated[
    bool,
    typer.Option(
        "--keep-proportions",
        help=f"Let joints of {', '.join(taking('keep_proportions'))} move where rotations alone are over 1 cm off.",
    ),
]
ListFormats = Annotated[
    bool, typer.Option("--list-formats", callback=_show_formats, is_eager=True, help="Show what is read and written, and end.")
]


@app.command()
def convert(
    paths: Annotated[list[Path], typer.Argument(metavar="IN... OUT", help="Motion files, and last the file or folder to write.")],
    format_: Annotated[Format | None, typer.Option("--format", "-f", help="Format of the files in a folder.")] = None,
    rig: Rig = None,
    fps: Fps = None,
    layout: Annotated[Layout | None, typer.Option(help="Content of .npz: joints as they are, or SMPL-H poses as in AMASS.")] = None,
    contact_cleanup: ContactCleanup = False,
    in_place: InPlace = False,
    units: Units = None,
    root_motion: RootMotion = False,
    mapping: Annotated[Path | None, typer.Option(help="JSON file that says which joints are which, for unknown rigs.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Caption; repeat it for several files, in their order.")] = None,
    recorded_bones: Annotated[
        bool, typer.Option("--recorded-bones", help="Write the joints of .bvh where they are, though bones change their lengths.")
    ] = False,
    keep_proportions: KeepProportions = False,
    unit: Annotated[
        str | None, typer.Option(help="Unit of the files, if it is not found out: m, dm, cm, mm, ft, inch, cmu, or a number per metre.")
    ] = None,
    up: Annotated[str | None, typer.Option(help="Axis that points up in the files, if it is not found out: y or z.")] = None,
    source_fps: Annotated[float | None, typer.Option(help="Frames per second of the files, where they do not say or say it wrong.")] = None,
    asf: Annotated[Path | None, typer.Option(help="Skeleton of .amc files, if it does not lie beside them.")] = None,
    face: Annotated[
        list[Path] | None,
        typer.Option(help="File of a face (.csv, .json, .npz) for the body; repeat it for several, in their order."),
    ] = None,
    face_fps: Annotated[float | None, typer.Option(help="Frames per second of the faces, where they do not say or say it wrong.")] = None,
    face_offset: Annotated[float, typer.Option(help="Seconds from the beginning of the body to that of the face.")] = 0.0,
    body_models: Annotated[Path | None, typer.Option(help="Folder of the licensed SMPL, SMPL-H or SMPL-X models, for AMASS files.")] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Joints of the result: humanml3d-22, smplx-52 or smplh-52 (with fingers); the file's by default.")
    ] = None,
    relaxed_hands: Annotated[
        bool, typer.Option("--relaxed-hands", help="Put relaxed fingers in the place of those that --skeleton has and a file has not.")
    ] = False,
    list_formats: ListFormats = False,
) -> None:
    """Convert motion files; several stand side by side in one .html, .mp4, .gif or .png, or go to a folder one by one."""
    reading = {"unit": unit, "up": up, "source_fps": source_fps, "asf": asf, "body_models": body_models}
    reading["relaxed_hands"] = relaxed_hands
    with user_errors():
        from ..finishing import Finish

        finish = Finish(rig=rig, contact_cleanup=contact_cleanup, in_place=in_place, units=units and units.value, root_motion=root_motion)
        wishes = _Wishes(
            finish, fps, layout and layout.value, mapping, list(text or ()), recorded_bones, keep_proportions, skeleton, reading,
            list(face or ()), face_fps, face_offset,
        )  # fmt: skip
        with one_blender():
            written = _convert(paths, format_ and format_.value, wishes)
        for path in written:
            typer.echo(path)


def _convert(paths: list[Path], format_: str | None, wishes: _Wishes) -> list[Path]:
    from ..utils.files import check_writable

    *sources, target = paths
    if not sources:
        raise ValueError(f"One file is not enough, got {str(target)!r} alone: give the files to read and then the file or folder to write.")
    targets = _targets(sources, target, format_)
    _check(sources, targets, wishes)
    for folder in {path.parent for path in targets}:
        check_writable(folder)
    # All are read before anything is written, so that a bad file among many leaves nothing behind.
    read = [_read(source, targets[0].suffix.lower(), wishes) for source in sources]
    for source in read:
        typer.echo(source, err=True)
    motions = [source.motion for source in read]
    if wishes.texts:
        motions = [replace(motion, text=text) for motion, text in zip(motions, wishes.texts, strict=True)]
    if wishes.faces:
        motions = [_with_face(motion, face, wishes) for motion, face in zip(motions, wishes.faces, strict=True)]
    motions = [_finished(motion, source, wishes.finish) for motion, source in zip(motions, sources, strict=True)]
    if len(targets) < len(motions):
        _save_together(motions, targets[0])
        return targets
    written = [motion.save(path, **_options(path, wishes)) for motion, path in zip(motions, targets, strict=True)]
    if note := wishes.finish.unit_note(written):
        typer.echo(note, err=True)
    return written


def _targets(sources: list[Path], target: Path, format_: str | None) -> list[Path]:
    """One file per source, or one file for all."""
    if not target.is_dir() and target.suffix.lower() in WRITTEN:
        if format_ is not None:
            raise ValueError(f"{str(target)!r} names a format already; leave out --format, or give a folder.")
        if len(sources) > 1 and target.suffix.lower() not in _TOGETHER:
            raise ValueError(
                f"{len(sources)} motions do not fit into one {target.suffix} file. Give a folder with --format, "
                f"or one of {', '.join(_TOGETHER)}, where they stand side by side."
            )
        return [target]
    if not target.is_dir() and target.suffix and format_ is None:
        step = writing_step(target.suffix.lower())
        raise ValueError(f"Cannot write {target.suffix!r} files. Use one of {', '.join(WRITTEN)}, or a folder with --format.{step}")
    if format_ is None:
        raise ValueError(f"{str(target)!r} is a folder: say which format to write into it with --format, such as --format bvh.")
    targets = [target / f"{source.stem}.{format_}" for source in sources]
    repeated = sorted({path.name for path in targets if targets.count(path) > 1})
    if repeated:
        raise ValueError(f"Several files would become {', '.join(repeated)} in {str(target)!r}; convert them into different folders.")
    return targets


def _check(sources: list[Path], targets: list[Path], wishes: _Wishes) -> None:
    """Refuse what cannot be done before anything is read."""
    from ..motion import check_fps
    from ..skeletons import get_skeleton

    suffix = targets[0].suffix.lower()
    wishes.finish.check([suffix])
    for flag, given, option in (
        ("--layout", wishes.layout, "layout"), ("--recorded-bones", wishes.recorded_bones, "constant_bones"),
        ("--keep-proportions", wishes.keep_proportions, "keep_proportions"),
    ):  # fmt: skip
        if given and suffix not in taking(option):
            raise ValueError(f"{flag} is for {', '.join(taking(option))} files, not for {suffix}; leave it out.")
    if wishes.texts and len(wishes.texts) != len(sources):
        raise ValueError(f"{len(wishes.texts)} texts for {len(sources)} files; give --text once for each, or not at all.")
    if wishes.faces and len(wishes.faces) != len(sources):
        raise ValueError(f"{len(wishes.faces)} faces for {len(sources)} files; give --face once for each, or not at all.")
    if wishes.faces and ("face" not in BY_SUFFIX[suffix].keeps or wishes.layout == "amass"):
        keeping = ", ".join(suffixes(lambda row: "face" in row.keeps))
        raise ValueError(f"Such a {suffix} file has no place for a face; write one of {keeping}, or leave out --face.")
    if not wishes.faces and (wishes.face_fps is not None or wishes.face_offset):
        raise ValueError("--face-fps and --face-offset are about the files of --face; give one, or leave them out.")
    for rate in (wishes.fps, wishes.face_fps):
        if rate is not None:
            check_fps(rate)
    if wishes.skeleton is not None:
        get_skeleton(wishes.skeleton)
    if wishes.reading["relaxed_hands"] and wishes.skeleton is None:
        raise ValueError("--relaxed-hands needs --skeleton smplx-52 or smplh-52, which have fingers.")
    same = [source for source in sources for path in targets if source.resolve() == path.resolve()]
    if same:
        raise ValueError(f"{str(same[0])!r} would be overwritten by its own conversion; write to another file or folder.")


def _read(path: Path, suffix: str, wishes: _Wishes) -> MotionSource:
    """The motion on the joints that were asked for, else with its own, or on the 22, and fingers that it has, where wishes need those."""
    from ..formats.read import inspect_motion
    from ..formats.rigs import WRITTEN_RIGS

    mapped = wishes.finish.rig is not None or wishes.layout == "amass" or wishes.finish.contact_cleanup or wishes.mapping is not None
    mapped = mapped or suffix == ".vrma"
    skeleton = wishes.skeleton or ("humanml3d-22" if mapped else None)
    named = wishes.finish.rig is None or bool(WRITTEN_RIGS[wishes.finish.rig].fingers)
    keep = wishes.skeleton is None and mapped and named
    return inspect_motion(path, fps=wishes.fps, mapping=wishes.mapping, skeleton=skeleton, keep_fingers=keep, **wishes.reading)


def _with_face(motion: Motion, path: Path, wishes: _Wishes) -> Motion:
    from ..formats.faces import attach_face, read_face

    return attach_face(motion, read_face(path, fps=wishes.face_fps), offset=wishes.face_offset)


def _finished(motion: Motion, source: Path, finish: Finish) -> Motion:
    motion, told = finish.apply(motion)
    if told:
        typer.echo(f"{source}: {told}", err=True)
    return motion


def _save_together(motions: list[Motion], path: Path) -> None:
    function(BY_SUFFIX[path.suffix.lower()].writes)(motions, path)


def _options(path: Path, wishes: _Wishes) -> dict[str, Any]:
    options = wishes.finish.options(path)
    if wishes.layout:
        options["layout"] = wishes.layout
    if wishes.recorded_bones:
        options["constant_bones"] = False
    if wishes.keep_proportions:
        options["keep_proportions"] = True
    return options
