"""An interactive player in one HTML file, for browsers and notebooks."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..motion import Motion
from ..utils.files import atomic_path
from .figure import (
    LEFT,
    MIDDLE,
    RIGHT,
    bone_radii,
    bone_sides,
    check_motions,
    drawn_bones,
    facing,
    floor_height,
    head_capsule,
    with_finger_tips,
)
from .head import drawn_weights, head_frames, plain_head
from .page import filled_page

HEAT = ((150, 159, 171), (238, 196, 92), (236, 120, 48), (200, 30, 30))
"""RGB from no heat to full heat."""

_AZIMUTH = np.radians(35)


def player_html(
    motions: Motion | Sequence[Motion], *, height: int = 420, heat: Sequence[np.ndarray] | None = None,
    ghosts: Sequence[Motion | None] | None = None,
) -> str:  # fmt: skip
    """HTML that plays motions side by side, to be put into a page or a notebook cell, any number of times.

    Drag turns the view, the wheel zooms after a click or with Ctrl held (before, it scrolls the page), a double-click resets;
    there are play (space), single frames (arrow keys), scrub and speed. Everything is inside, in an `<iframe srcdoc>` of its
    own: nothing is fetched, and nothing touches the page around it.

    Args:
        motions (`Motion` or a sequence of `Motion`): What to show; texts become captions.
        height (`int`, defaults to 420): Height in pixels; the width is that of the page.
        heat (`Sequence[numpy.ndarray]`, *optional*): For each motion (frames, joints) from 0 to 1: bones are coloured from grey to red by
            it rather than by their side.
        ghosts (`Sequence[Motion or None]`, *optional*): For each motion one that the page around may lay over it, see-through.

    Returns:
        `str`: One `<iframe>` element. Positions are rounded to 1 mm (motions that span more than 65 m: to 1/65,534 of it).

    Raises:
        ValueError: If there is no motion, `height` is less than 100, or a heat has another shape than the joints.
        TypeError: If something in the list is not a `Motion`.
    """
    if not height >= 100:
        raise ValueError(f"height must be at least 100 pixels, got {height!r}. The default is 420.")
    document = html.escape(_document(check_motions(motions), heat, ghosts))
    style = f"width:100%;height:{int(height)}px;border:1px solid #e3e8ee;border-radius:6px"
    return f'<iframe srcdoc="{document}" sandbox="allow-scripts" title="Motion player" style="{style}"></iframe>'


def save_player(motions: Motion | Sequence[Motion], path: str | os.PathLike) -> None:
    """Write the player as a page of its own, which any browser opens without a network.

    Args:
        motions (`Motion` or a sequence of `Motion`): What to show.
        path (`str` or `os.PathLike`): File to write; missing folders are made. It appears whole or not at all.

    Raises:
        ValueError: If there is no motion.
        TypeError: If something in the list is not a `Motion`.
        OSError: If the file cannot be written.
    """
    document = _document(check_motions(motions))
    with atomic_path(path) as temporary:
        temporary.write_text(document, encoding="utf-8")


def _document(
    motions: list[Motion], heat: Sequence[np.ndarray] | None = None, ghosts: Sequence[Motion | None] | None = None
) -> str:  # fmt: skip
    colours = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
    packed = [_packed(motion if heat else with_finger_tips(motion)) for motion in motions]
    for motion, content, values in zip(motions, packed, heat or (), strict=heat is not None):
        if values.shape != motion.joints.shape[:2]:
            raise ValueError(
                f"heat has shape {values.shape} for joints {motion.joints.shape}; it needs a number for each joint of each frame."
            )
        content["heat"] = base64.b64encode(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8).tobytes()).decode()
    for content, ghost in zip(packed, ghosts or (), strict=ghosts is not None):
        content["ghost"] = None if ghost is None else _packed(ghost)
    data = json.dumps({"colours": colours, "ramp": HEAT, "motions": packed}, separators=(",", ":"))
    title = next((motion.text for motion in motions if motion.text), "Motion")
    return filled_page("player.html", {"title": html.escape(title), "data": data.replace("<", "\\u003c")})


def _packed(motion: Motion) -> dict[str, Any]:
    joints = motion.joints.astype(np.float64)
    low, high = joints.min(axis=(0, 1)), joints.max(axis=(0, 1))
    origin, step = (low + high) / 2, max(0.001, float((high - low).max()) / 65534)
    whole = np.round((joints - origin) / step).astype("<i2")
    radii, size = bone_radii(motion)
    side = bone_sides(motion.skeleton)
    bones = [
        [*motion.skeleton.bones[index], *(round(float(radius), 4) for radius in radii[index]), int(side[index])]
        for index in drawn_bones(motion.skeleton)
    ]
    forward = facing(motion)[0]
    return {
        "text": motion.text or "", "fps": motion.fps, "frames": len(motion), "step": step, "origin": origin.round(4).tolist(),
        "joints": base64.b64encode(whole.tobytes()).decode(), "bones": bones, "head": head_capsule(motion.skeleton, size),
        "floor": floor_height(motion), "heading": float(np.arctan2(forward[0], forward[1]) + _AZIMUTH), "face": _packed_face(motion),
    }  # fmt: skip


def _packed_face(motion: Motion) -> dict[str, Any] | None:
    """What moves on the plain head, in whole numbers: points in 1/1000 radii, weights in 1/255, axes in 1/32767."""
    if motion.face is None:
        return None
    head, weights, placed = plain_head(), drawn_weights(motion.face), head_frames(motion)
    targets = []
    for name in weights:
        moved = np.flatnonzero(head.targets[name].any(axis=1))
        targets.append([moved.tolist(), np.round(head.targets[name][moved] * 1000).astype(int).ravel().tolist()])
    amounts = np.stack([*weights.values()], axis=1) if weights else np.zeros((len(motion), 0))
    axes = None if placed is None else np.round(placed[1] * 32767).astype("<i2")
    return {
        "parts": [[part.colour, part.outline.tolist()] for part in head.parts], "targets": targets,
        "points": np.round(head.points * 1000).astype(int).ravel().tolist(),
        "weights": base64.b64encode(np.round(amounts * 255).astype(np.uint8).tobytes()).decode(),
        "axes": None if axes is None else base64.b64encode(axes.tobytes()).decode(),
    }  # fmt: skip
