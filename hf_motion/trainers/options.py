"""Options of training scripts: one parser for the command line and YAML files that takes nothing it does not know."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..utils.extras import require
from ..utils.options import meant

TrlParser = require("trl", "Training").TrlParser
yaml = require("yaml", "Training")


class TrainingParser(TrlParser):
    """`trl.TrlParser` that refuses options it does not know, shortened ones too, and names those that were meant.

    Args:
        dataclass_types (`tuple[type, ...]`): Dataclasses whose fields are the options.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Options:
        ...     max_steps: int = 10
        >>> TrainingParser((Options,)).parse(["--max_steps", "3"])
        (Options(max_steps=3),)
    """

    def __init__(self, dataclass_types: Iterable[type]) -> None:
        super().__init__(dataclass_types, allow_abbrev=False)

    def parse(self, words: Sequence[str] | None = None) -> tuple[Any, ...]:
        """The dataclasses, from `--config FILE` and the options beside it, which win.

        Args:
            words (`list[str]`, *optional*): The command line, that of the process by default.

        Raises:
            SystemExit: If an option is unknown, missing, or of the wrong type, or the file cannot be read: one line says which.
        """
        words = [part for word in (sys.argv[1:] if words is None else words) for part in _config_apart(word)]
        if "--config" in words:
            self._check_config(words[words.index("--config") + 1 : words.index("--config") + 2])
        *parsed, unknown = self.parse_args_and_config(words, return_remaining_strings=True)
        if unknown:
            self.error("; ".join(self._unknown(word) for word in unknown if word.startswith("-")) or f"unexpected: {' '.join(unknown)}.")
        return tuple(parsed)

    def error(self, message: str) -> NoReturn:
        """Say it in one line rather than under hundreds of options."""
        self.exit(2, f"{self.prog}: {message}\n")

    def _check_config(self, paths: Sequence[str]) -> None:
        try:
            content = yaml.safe_load(Path(*paths).read_text(encoding="utf-8")) if paths else None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            self.error(f"cannot read --config {paths[0]}: {error}")
        if not isinstance(content, dict):
            self.error(f"--config takes a YAML file of options such as max_steps: 1000, got {' '.join(paths) or 'nothing'}.")
        known = {action.dest for action in self._actions} | {"env"}
        unknown = [str(name) for name in content if name not in known]
        if unknown:
            self.error(f"{paths[0]}: " + "; ".join(self._unknown(name) for name in unknown))

    def _unknown(self, word: str) -> str:
        dashes, name = "-" * (len(word) - len(word.lstrip("-"))), word.lstrip("-").partition("=")[0].replace("-", "_")
        known = sorted({action.dest for action in self._actions})
        return f"unknown option {word.partition('=')[0]!r}{meant(name, known, dashes) or '; --help lists all.'}"


def _config_apart(word: str) -> list[str]:
    return ["--config", word.removeprefix("--config=")] if word.startswith("--config=") else [word]
