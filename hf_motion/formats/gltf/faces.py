"""Faces in glTF files: meshes whose morph targets have the names of coefficients, and the weights of these over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...face import FACE_SETS, OWN, Face, recognised_names
from ...utils.limits import check_face
from .curves import Curve, key_times, values_between
from .document import Document, as_object, objects, pick

_MAX_TARGETS = 1000


def read_face(document: Document, animation: dict[str, Any], times: np.ndarray, fps: float) -> tuple[Face | None, list[str]]:
    """The face of an animation.

    Of several meshes whose weights are animated, the one with the most known names (`hf_motion.face.FACE_SETS`) is taken, and of its
    targets those with names of one kind: `extras.faceKind`, or the kind that most belong to. Where no name is known, all are kept as names
    of their own.

    Args:
        document (`Document`): The file.
        animation (`dict`): One of its animations.
        times (`numpy.ndarray`): Of the frames, (frames,) seconds.
        fps (`float`): Frames per second.

    Returns:
        `tuple[Face | None, list[str]]`: The face, None where no named target is animated, and what was left out.

    Raises:
        ValueError: If a mesh, channel or sampler is damaged.
    """
    samplers, nodes, meshes = objects(animation.get("samplers", []), "samplers"), document.items("nodes"), document.items("meshes")
    found: list[tuple[dict[int, str], str, Curve]] = []
    notes: list[str] = []
    for channel in objects(animation.get("channels", []), "channels"):
        target = as_object(channel.get("target"), "target of a channel")
        if target.get("path") != "weights" or target.get("node") is None:
            continue
        mesh = pick(meshes, pick(nodes, target["node"], "node").get("mesh"), "mesh")
        names, kind = _names(mesh)
        count = _targets(mesh)
        if len(names) != count:
            notes.append(f"{count} morph targets that are animated have no names and are left out")
            continue
        check_face(len(times), count)
        chosen, kind = known_targets(names, kind)
        found.append((chosen, kind, _curve(document, pick(samplers, channel.get("sampler"), "sampler"), count)))
        if len(chosen) < count:
            notes.append(f"{count - len(chosen)} of {count} morph targets have no names of {kind} or repeat, and are left out")
    if not found:
        return None, notes
    chosen, kind, curve = max(found, key=lambda one: (one[1] != OWN, len(one[0])))
    if len(found) > 1:
        notes.append(f"the weights of {len(found)} meshes are animated; the face is that with most coefficients")
    return Face(curve.at(times, fps)[:, list(chosen)], tuple(chosen.values()), kind), notes


def _targets(mesh: dict[str, Any]) -> int:
    primitives = objects(mesh.get("primitives", []), "primitives")
    targets = primitives[0].get("targets") if primitives else None
    if not isinstance(targets, list) or not 1 <= len(targets) <= _MAX_TARGETS:
        raise ValueError(f"the weights of a mesh are animated that has not 1 to {_MAX_TARGETS:,} morph targets.")
    return len(targets)


def _names(mesh: dict[str, Any]) -> tuple[list[str], str | None]:
    """Names of the morph targets, where they are a list of texts, and the kind of face that the file says."""
    extras = mesh.get("extras")
    extras = extras if isinstance(extras, dict) else {}
    names, kind = extras.get("targetNames"), extras.get("faceKind")
    named = isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names)
    return (names if named else []), kind if isinstance(kind, str) and kind in (*FACE_SETS, OWN) else None


def known_targets(names: list[str], kind: str | None = None) -> tuple[dict[int, str], str]:
    """Which targets are coefficients of what name, and of what kind.

    Args:
        names (`list[str]`): Of all targets.
        kind (`str`, *optional*): The kind that the file says; the one that most names belong to by default.

    Returns:
        `tuple[dict[int, str], str]`: Target to known name, and the kind; all under their own names where none is known.
    """
    kinds = [*FACE_SETS] if kind is None else [kind] if kind != OWN else []
    found = {one: recognised_names(names, one) for one in kinds}
    best = max(found, key=lambda one: len(found[one]), default=OWN)
    if best != OWN and found[best]:
        return found[best], best
    first: dict[str, int] = {}
    for target, name in enumerate(names):
        first.setdefault(name, target)
    return {target: name for name, target in first.items()}, OWN


def _curve(document: Document, sampler: dict[str, Any], targets: int) -> Curve:
    times, between = key_times(document, sampler)
    values = document.accessor(sampler.get("output"))
    rows = (3 if between == "CUBICSPLINE" else 1) * len(times)
    if values.shape != (rows * targets, 1):
        raise ValueError(f"the weights of {targets} morph targets have {len(times)} keys and {values.size} values.")
    values, tangents = values_between(values.reshape(rows, targets), between)
    return Curve(times, values, between, False, tangents)
