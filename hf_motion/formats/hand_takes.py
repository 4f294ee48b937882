"""Recordings of hands alone: BVH files of one hand each, and recordings of a Leap Motion sensor.

| files | what is read |
|---|---|
| `<take>/leftHand.bvh`, `<take>/rightHand.bvh` | a hand each, ManipNet's joints (`INDEX_PIP_FE`) or of `hf_motion.formats.rigs.fingers` |
| `<take>.json` | frames of leapjs-playback: hands and their pointables, millimetres |

All may be packed with gzip (`.gz`). Finger tips are recorded by some, and are no joints of ours.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..hands import finger_bends, turn_onto
from ..motion import check_fps
from ..skeletons import FINGERS, SMPLX_52
from ..utils.faults import reading
from ..utils.limits import MAX_TEXT_BYTES, check_clip
from ..utils.text import read_text
from .bvh import parse_bvh
from .rigs import recognise_fingers
from .units import UNITS

logger = logging.getLogger("hf_motion")

SIDES = ("left", "right")
_FILES = tuple(f"{side}Hand.bvh{packed}" for side in SIDES for packed in ("", ".gz"))
# ManipNet's joints: the thumb's root turns about two axes that lie apart; the outer one is where others have the joint.
_MANIPNET = {
    f"{finger}{number}": f"{finger.upper()}_{bone}"
    for finger in FINGERS
    for number, bone in enumerate(("CMC_AA", "MCP_FE", "IP_FE") if finger == "thumb" else ("MCP", "PIP_FE", "DIP_FE"), start=1)
}
_LEAP_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_LEAP_JOINTS = ("mcpPosition", "pipPosition", "dipPosition")
_PALM = 0.095  # metres from the wrist to the middle finger's knuckle
_PALMS = (0.06, 0.14)
_KNUCKLES = [0, 3, 6, 9]
_BENT_BACK = 3.0  # degrees, in the median, that no hand's fingers bend back
_BEGINNING = 2**16
_LONGEST_GAP = 0.1  # seconds without a hand over which a recording is not joined


@dataclass(frozen=True, eq=False)
class HandTake:
    """One or two hands over time, without a body.

    Args:
        name (`str`): Name of the take.
        fps (`float`): Frames per second.
        hands (`dict[str, numpy.ndarray]`): For `"left"` and `"right"`, where recorded, wrist and 15 joints of fingers in the order of
            `smplx-52`, (frames, 16, 3) float64, metres, in the recording's axes.
        wrists_recorded (`bool`, defaults to `True`): Whether wrists are in the file; they are placed where our hand has them otherwise.
    """

    name: str
    fps: float
    hands: dict[str, np.ndarray]
    wrists_recorded: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.hands.values())))


def find_hand_takes(folder: str | os.PathLike) -> dict[str, tuple[Path, ...]]:
    """Takes in a folder, at any depth: name to files, in order of names. JSON files count where they begin as Leap recordings do."""
    root = Path(folder)
    takes: dict[str, tuple[Path, ...]] = {}
    for path in sorted(root.rglob("*")):
        if path.name in _FILES:
            parent = path.parent.relative_to(root).as_posix()
            takes[parent] = (*takes.get(parent, ()), path)
        elif path.is_file() and path.name.removesuffix(".gz").endswith(".json") and _looks_like_leap(path):
            takes[path.relative_to(root).as_posix().removesuffix(".gz").removesuffix(".json")] = (path,)
    return takes


def _looks_like_leap(path: Path) -> bool:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return b'"pointables"' in file.read(_BEGINNING)
    except (OSError, EOFError, zlib.error):
        return False


def read_hand_take(files: str | os.PathLike | tuple[Path, ...], *, name: str | None = None, fps: float | None = None) -> HandTake:
    """Read a recording of hands.

    Args:
        files (`str`, `os.PathLike` or `tuple[pathlib.Path, ...]`): A folder with `leftHand.bvh` or `rightHand.bvh` or both, a Leap
            recording, or what `find_hand_takes` found.
        name (`str`, *optional*): Name of the take, that of the folder or file by default.
        fps (`float`, *optional*): Resample to this rate; by default that of the BVH files, or the mean one of a Leap recording.

    Returns:
        `HandTake`: The hands. Of a Leap recording, the longest stretch in which hands are seen all the time. Where all fingers bend toward
        the back of their hands, the recording's axes are left-handed, as Unity's and ManipNet's are, and x is turned round, which a line
        in the log says.

    Raises:
        ValueError: If a file is damaged or of another kind, lacks joints, has no hand's size in any unit, or fingers of one of two hands
            bend toward the back of the hand.
        FileNotFoundError: If there is no such file.
    """
    if not isinstance(files, tuple):
        path = Path(files)
        if not path.exists():
            raise FileNotFoundError(f"No recording of hands at {str(path)!r}.")
        files = tuple(sorted(found for found in path.iterdir() if found.name in _FILES)) if path.is_dir() else (path,)
        if not files:
            raise ValueError(f"{str(path)!r} holds none of {', '.join(_FILES)}.")
    fps = None if fps is None else check_fps(fps)
    first = files[0]
    with reading(first, "a recording of hands"):
        if first.name in _FILES:
            take = _read_bvh_hands(files, name or first.parent.name, fps)
        else:
            take = _read_leap(first, name or first.name.partition(".")[0], fps)
        return _right_handed(take)


def _read_bvh_hands(files: tuple[Path, ...], name: str, fps: float | None) -> HandTake:
    hands, rate = {}, fps
    for path in files:
        side = "left" if path.name.startswith("left") else "right"
        with reading(path, "a BVH file of a hand"):
            bvh = _parse(path)
            joints = bvh.animation(fps).joints[:, _hand_joints(bvh.joint_names, side)]
            hands[side] = joints / _units(joints)
        rate = rate or bvh.fps
    frames = min(map(len, hands.values()))
    if max(map(len, hands.values())) > frames + 2:
        raise ValueError(
            f"the two hands of {name!r} have {' and '.join(str(len(hand)) for hand in hands.values())} frames; they must be one take."
        )
    return HandTake(name, float(rate), {side: joints[:frames] for side, joints in hands.items()})


def _parse(path: Path) -> Any:
    if path.suffix != ".gz":
        return parse_bvh(path)
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / path.name.removesuffix(".gz")
        unpacked.write_bytes(_unpacked(path))
        return parse_bvh(unpacked)


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_TEXT_BYTES:,} bytes, which is no recording of hands")
    return content


def _hand_joints(names: tuple[str, ...], side: str) -> list[int]:
    """The file's wrist, and its joints of the fingers in our order."""
    if set(_MANIPNET.values()) <= set(names):
        return [0, *(names.index(_MANIPNET[f"{finger}{number}"]) for finger in FINGERS for number in (1, 2, 3))]
    found = recognise_fingers(names)
    ours = [SMPLX_52.joint_names[joint] for joint in SMPLX_52.groups[f"{side}_hand"]]
    missing = [name for name in ours if name not in found]
    if missing:
        raise ValueError(
            f"{len(missing)} of 15 joints of the {side} hand are not there ({', '.join(missing[:4])}, ...); it has {', '.join(names[:20])}."
        )
    return [0, *(found[name] for name in ours)]


def _units(joints: np.ndarray) -> float:
    """Units in one metre by the size of the palm."""
    palm = float(np.median(np.linalg.norm(joints[:, 4] - joints[:, 0], axis=-1)))
    unit = min(UNITS.values(), key=lambda units: abs(np.log(max(palm, 1e-9) / units / _PALM)))
    if not _PALMS[0] < palm / unit < _PALMS[1]:
        raise ValueError(f"its palm is {palm:.3g} units long, which is no hand's size in any of {', '.join(UNITS)}")
    return unit


def _read_leap(path: Path, name: str, fps: float | None) -> HandTake:
    text = _unpacked(path).decode() if path.suffix == ".gz" else read_text(path)
    content = json.loads(text)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames or not isinstance(frames[0], dict) or "pointables" not in frames[0]:
        raise ValueError("it has no `frames` with `hands` and `pointables`, as leapjs-playback writes them")
    check_clip(len(frames), 32)
    seen = [_leap_hands(frame) for frame in frames]
    times = np.array([frame["timestamp"] for frame in frames], np.float64) * 1e-6
    sides, start, end = _longest_stretch(seen, times)
    times = times[start:end] - times[start]
    rate = fps or float(round((len(times) - 1) / times[-1], 3))
    check_clip(int(times[-1] * rate) + 1, 32)
    wanted = np.arange(int(times[-1] * rate + 1e-6) + 1) / rate
    hands = {}
    for side in sides:
        fingers = np.stack([hand[side] for hand in seen[start:end]])
        flat = fingers.reshape(len(times), -1)
        fingers = np.stack([np.interp(wanted, times, column) for column in flat.T], axis=-1).reshape(-1, 15, 3)
        hands[side] = _with_wrist(fingers / UNITS["mm"], side)
    return HandTake(name, rate, hands, wrists_recorded=False)


def _leap_hands(frame: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Joints of the fingers (15, 3) of each hand that is whole in a frame; of several on one side the first."""
    found: dict[str, np.ndarray] = {}
    for hand in frame["hands"]:
        fingers = {
            _LEAP_FINGERS[pointable["type"]]: [pointable[joint] for joint in _LEAP_JOINTS]
            for pointable in frame["pointables"]
            if pointable.get("handId") == hand["id"]
            and pointable.get("type") in range(5)
            and all(joint in pointable for joint in _LEAP_JOINTS)
        }
        if hand.get("type") in SIDES and len(fingers) == 5:
            joints = np.array([fingers[finger] for finger in FINGERS], np.float64).reshape(15, 3)
            if np.isfinite(joints).all():
                found.setdefault(hand["type"], joints)
    return found


def _longest_stretch(seen: list[dict[str, np.ndarray]], times: np.ndarray) -> tuple[tuple[str, ...], int, int]:
    """Which hands, first frame and frame behind the last; both hands if they are seen half as long as one."""
    best: dict[tuple[str, ...], tuple[int, int]] = {}
    for sides in (SIDES, SIDES[:1], SIDES[1:]):
        start = longest = 0
        best[sides] = (0, 0)
        for frame, hands in enumerate(seen):
            whole = set(sides) <= hands.keys() and (frame == start or 0 < times[frame] - times[frame - 1] < _LONGEST_GAP)
            start = start if whole else frame if set(sides) <= hands.keys() else frame + 1
            if frame + 1 - start > longest:
                longest, best[sides] = frame + 1 - start, (start, frame + 1)
    single = max(SIDES, key=lambda side: best[(side,)][1] - best[(side,)][0])
    length = {sides: end - start for sides, (start, end) in best.items()}
    chosen = SIDES if 2 * length[SIDES] >= length[(single,)] else (single,)
    if length[chosen] < 2:
        raise ValueError("no hand with five whole fingers is seen in two frames on end")
    return chosen, *best[chosen]


def _with_wrist(fingers: np.ndarray, side: str) -> np.ndarray:
    """A wrist before the joints of fingers (frames, 15, 3): where our hand has it, moved, turned and scaled onto the knuckles."""
    ours = _our_hand(side)[_KNUCKLES]
    theirs = fingers[:, _KNUCKLES]
    centre, middle = ours.mean(axis=0), theirs.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(theirs - middle, axis=-1).mean() / np.linalg.norm(ours - centre, axis=-1).mean()
    turns = turn_onto(np.broadcast_to(ours - centre, theirs.shape), theirs - middle)
    wrist = middle - scale * np.einsum("fij,j->fi", turns, centre)[:, None]
    return np.concatenate([wrist, fingers], axis=1)


def _our_hand(side: str) -> np.ndarray:
    body = SMPLX_52.body_joints
    return body[list(SMPLX_52.groups[f"{side}_hand"])] - body[SMPLX_52.joint(f"{side}_wrist")]


def _right_handed(take: HandTake) -> HandTake:
    """The take in right-handed axes, told by which way fingers bend."""
    if not all(np.isfinite(joints).all() for joints in take.hands.values()):
        raise ValueError("it holds NaN or infinity; repair or drop the file.")
    bends = {side: float(np.degrees(np.median(finger_bends(joints[:, 1:], side)))) for side, joints in take.hands.items()}
    backward = [side for side, bend in bends.items() if bend < -_BENT_BACK]
    if not backward:
        return take
    if any(bend > 0 for bend in bends.values()):
        raise ValueError(
            f"the fingers of its {backward[0]} hand bend by {-bends[backward[0]]:.0f} degrees toward the back of the hand, those of the "
            "other do not; are both files of the same hand?"
        )
    logger.warning("%s: fingers bend toward the back of the hand, so that its axes are left-handed; x is turned round.", take.name)
    return replace(take, hands={side: joints * [-1, 1, 1] for side, joints in take.hands.items()})
