"""Options of scripts that are mappings."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Mapping, Sequence
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


def check_options(options: Mapping[str, Any], taken_by: type, option: str) -> None:
    """Find out whether a class takes all options of a mapping; configurations of transformers keep any without a word.

    Args:
        options (`Mapping`): Options.
        taken_by (`type`): The class, whose constructor names what it takes.
        option (`str`): The training's option, for the error.

    Raises:
        ValueError: If one is unknown; the message names the nearest.

    Example:
        >>> from hf_motion import MotionVQConfig
        >>> check_options({"hiden_size": 64}, MotionVQConfig, "model_options")
        Traceback (most recent call last):
        ...
        ValueError: model_options: MotionVQConfig has no 'hiden_size'; is 'hidden_size' meant?
    """
    known = [name for name in inspect.signature(taken_by).parameters if name not in ("self", "args", "kwargs")]
    for name in options:
        if name not in known:
            hint = meant(name, known) or f". There are: {', '.join(known)}."
            raise ValueError(f"{option}: {taken_by.__name__} has no {name!r}{hint}")


def meant(name: str, known: Sequence[str], dashes: str = "") -> str:
    """The end of a sentence about an unknown option: which known one it resembles; empty where it resembles none.

    Args:
        name (`str`): What was written.
        known (`list[str]`): Names of all options.
        dashes (`str`): What stands before names on a command line.
    """
    close = [option for option in known if option.startswith(name)][:3] or difflib.get_close_matches(name, known, 1)
    return f"; is {' or '.join(repr(dashes + option) for option in close)} meant?" if close else ""
