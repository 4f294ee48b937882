"""Options of scripts that are mappings."""

from __future__ import annotations

import json
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
