"""Packages whose names are imported when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562) that imports its modules when one of their names is asked for.

    Type checkers see nothing of it: the package also imports its names under `if TYPE_CHECKING`.

    Args:
        package (`str`): The package's `__name__`.
        modules (`Mapping[str, str]`): For each name, the module in the package that has it, such as `{"Motion": "motion"}`.

    Returns:
        `tuple[Callable, Callable]`: Both functions.

    Example:
        >>> __getattr__, __dir__ = lazy_names("hf_motion.utils", {"quoted": "text"})
        >>> __getattr__("quoted")("a person walks")
        "'a person walks'"
        >>> __getattr__("quote")
        Traceback (most recent call last):
        ...
        AttributeError: module 'hf_motion.utils' has no attribute 'quote'; it has: quoted
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has: {', '.join(modules)}")
        value = getattr(import_module(f".{modules[name]}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, names
