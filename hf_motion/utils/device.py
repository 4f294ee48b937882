"""Where networks run: one answer for every command and script."""

from __future__ import annotations

import functools
import logging

import torch

logger = logging.getLogger("hf_motion")


def choose_device(wanted: str | torch.device | None = None) -> str:
    """The device to run on.

    Args:
        wanted (`str` or `torch.device`, *optional*): Such as `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`. By default the accelerator that is
            there, else the CPU; if torch was built for an accelerator that is not there, that is said once.

    Returns:
        `str`: A device that works here.

    Raises:
        ValueError: If the wanted device is not there; the message names those that are.

    Example:
        >>> choose_device("cpu")
        'cpu'
    """
    if wanted is None:
        found = torch.accelerator.current_accelerator(check_available=True)
        if found is None:
            _say_cpu(torch.accelerator.current_accelerator())
        return str(found or "cpu")
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(
            f"Device {str(wanted)!r} is not usable here: {reason}. There is: {', '.join(_usable())}. Leave --device (device=) out for "
            "the fastest of them."
        ) from error
    return str(wanted)


def _usable() -> list[str]:
    found = torch.accelerator.current_accelerator(check_available=True)
    indices = range(torch.accelerator.device_count()) if found is not None else ()
    return [*(f"{found}:{index}" for index in indices), "cpu"]


@functools.cache
def _say_cpu(built_for: torch.device | None) -> None:
    """`torch.accelerator.current_accelerator()` says what torch was built for, whether it is there or not."""
    if built_for is not None:
        logger.warning("This torch is built for %s, which is not usable here (no device, or no driver): running on the CPU.", built_for)
