"""Options of scripts that are mappings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def as_mapping(value: Any) -> Any:
    """A mapping that came as text from a command line; whatever else it is stays as it is.

    Args:
        value (`Any`): Such as `'{"hidden_size": 64}'`, a name, a mapping or None.

    Raises:
        ValueError: If text that begins like a mapping is not JSON.

    Example:
        >>> as_mapping('{"hidden_size": 64}'), as_mapping("org/model")
        ({'hidden_size': 64}, 'org/model')
    """
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"{value!r} is not a JSON object: {error}. Write it as '{{\"name\": 1}}'.") from error


def parse_assignments(texts: Sequence[str], option: str) -> dict[str, Any]:
    """Options that came as text, NAME=VALUE; values are read as JSON where they are, and are text otherwise.

    Args:
        texts (`list[str]`): Such as `["num_quantizers=1", "mode=fast"]`.
        option (`str`): The command line's option, for errors.

    Raises:
        ValueError: If a text is not of that form, or a name comes twice.

    Example:
        >>> parse_assignments(["num_quantizers=1", "top_p=0.9", "mode=fast"], "--option")
        {'num_quantizers': 1, 'top_p': 0.9, 'mode': 'fast'}
    """
    parsed: dict[str, Any] = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not found or not name.isidentifier():
            raise ValueError(f"{option} takes NAME=VALUE, such as num_quantizers=1, got {text!r}.")
        if name in parsed:
            raise ValueError(f"{option} got {name} twice; pass it once.")
        try:
            parsed[name] = json.loads(value)
        except json.JSONDecodeError:
            parsed[name] = value
    return parsed
