"""A source motion, a target motion, and the instruction that leads from one to the other."""

from __future__ import annotations

from dataclasses import dataclass

from ..motion import Motion


@dataclass(frozen=True)
class Change:
    """What an instruction changes.

    Args:
        part (`str`): Part of the body.
        kind (`str`): What about it.
        direction (`str`, *optional*): Which way; None for an action.
        amount (`float`, *optional*): How much, in `unit`.
        unit (`str`, *optional*): `"m"`, `"deg"`, `"ratio"` or `"s"`.
    """

    part: str
    kind: str
    direction: str | None
    amount: float | None
    unit: str | None


@dataclass(frozen=True)
class Triplet:
    """Source, target and instruction.

    Args:
        source (`Motion`): What was done.
        target (`Motion`): What was meant.
        instruction (`str`): What to change.
        change (`Change`): The same, as data.
        source_id (`str`): Name of the source.
        caption (`str`): What the source shows.
        editor (`str`): What made the target: `"kinematic"`, `"generate"` or `"inpaint"`.
        wordings (`tuple[str, ...]`): Other sentences that say the same.
    """

    source: Motion
    target: Motion
    instruction: str
    change: Change
    source_id: str
    caption: str
    editor: str
    wordings: tuple[str, ...] = ()
