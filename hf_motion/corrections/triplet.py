"""What a correction is: a `Change`, and a `Triplet` of source, target and the sentence between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..motion import Motion

PARTS = (
    "left arm", "right arm", "both arms", "left leg", "right leg", "both legs", "torso", "head", "upper body", "lower body", "whole body",
)  # fmt: skip
"""What a change can be of."""

CHANGE_KINDS: dict[str, tuple[str | None, ...]] = {
    "height": ("up", "down"),
    "width": ("out", "in"),
    "reach": ("forward", "backward"),
    "amplitude": ("more", "less"),
    "speed": ("faster", "slower"),
    "timing": ("earlier", "later"),
    "bend": ("more", "less"),
    "stride": ("more", "less"),
    "lean": ("forward", "backward", "left", "right"),
    "turn": ("left", "right"),
    "action": (None,),
}
"""Kinds of change and their directions."""

UNITS = ("m", "deg", "ratio", "s")
"""Units of amounts."""


@dataclass(frozen=True)
class Change:
    """One change of a motion.

    Args:
        part (`str`): What changes, one of `PARTS`; hands are the ends of arms, feet of legs.
        kind (`str`): How, one of `CHANGE_KINDS`.
        direction (`str`, *optional*): Which way, one of the kind's; None for an action. Left and right are the character's own.
        amount (`float`, *optional*): How much, in `unit`, never negative; None if it is not known. Speed, stride and amplitude are what
            the clip's own is multiplied by: 0.75 is slower by a quarter.
        unit (`str`, *optional*): One of `UNITS`.

    Raises:
        ValueError: If one of them is unknown, or they do not go together.

    Example:
    >>> from hf_motion.corrections import Change
    >>> Change("left arm", "height", "up", 0.2, "m")
    Change(part='left arm', kind='height', direction='up', amount=0.2, unit='m')
    """

    part: str
    kind: str
    direction: str | None
    amount: float | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"Unknown part {self.part!r} of a change. There are: {', '.join(PARTS)}.")
        if self.kind not in CHANGE_KINDS:
            raise ValueError(f"Unknown kind {self.kind!r} of a change. There are: {', '.join(CHANGE_KINDS)}.")
        if self.direction not in CHANGE_KINDS[self.kind]:
            allowed = ", ".join(map(str, CHANGE_KINDS[self.kind]))
            raise ValueError(f"The direction of a change of kind {self.kind!r} must be one of {allowed}, got {self.direction!r}.")
        if self.unit is not None and self.unit not in UNITS:
            raise ValueError(f"Unknown unit {self.unit!r} of a change. There are: {', '.join(UNITS)}.")
        if (self.amount is None) != (self.unit is None) or (self.amount is not None and not self.amount >= 0):
            raise ValueError(f"amount must be a number of at least 0 with its unit, or both None, got {self.amount!r} {self.unit!r}.")

    @property
    def side(self) -> str | None:
        """`"left"` or `"right"` where the part is on one side."""
        side = self.part.partition(" ")[0]
        return side if side in ("left", "right") else None

    @property
    def bare(self) -> Change:
        """The same without its amount: what a sentence says."""
        return replace(self, amount=None, unit=None)


@dataclass(frozen=True)
class Triplet:
    """A correction.

    Args:
        source (`Motion`): What was done.
        target (`Motion`): What was meant; as long as the source, unless the change is of its speed.
        instruction (`str`): The sentence that leads from one to the other.
        change (`Change`): What it says, with the amount that was truly reached.
        source_id (`str`): Name of the source clip.
        caption (`str`): What the source clip shows.
        editor (`str`): `"kinematic"`, `"generate"` (the paper's equation 5) or `"inpaint"`.
        wordings (`tuple[str, ...]`): Other sentences that say the same.
        span (`tuple[int, int]`, *optional*): First frame of the change in the target and the frame behind its last.
    """

    source: Motion
    target: Motion
    instruction: str
    change: Change
    source_id: str
    caption: str
    editor: str
    wordings: tuple[str, ...] = ()
    span: tuple[int, int] | None = None


def mirror_change(change: Change) -> Change:
    """The change that it is in a mirror.

    Example:
    >>> from hf_motion.corrections import Change, mirror_change
    >>> mirror_change(Change("left arm", "height", "up")).part, mirror_change(Change("torso", "lean", "left")).direction
    ('right arm', 'right')
    """
    direction = _OTHER.get(change.direction or "", change.direction)
    side, _, rest = change.part.partition(" ")
    return replace(change, part=f"{_OTHER[side]} {rest}" if side in _OTHER else change.part, direction=direction)


_OTHER = {"left": "right", "right": "left"}
