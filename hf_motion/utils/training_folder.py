"""Finding the checkpoint in the folder that a training wrote."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from pathlib import Path

from .files import write_json

logger = logging.getLogger("hf_motion")

FINISHED = ("pipeline", "model")
"""Folders that our trainings put their finished checkpoints into."""


def checkpoint_in(name: str | os.PathLike) -> str | os.PathLike:
    """The checkpoint that a name means: in a training's output folder the finished one in it, otherwise what the name says.

    Where nothing is finished yet, the newest of the training's states is taken if it is a checkpoint of its own, as those of token models
    are. One line says what was taken.

    Args:
        name (`str` or `os.PathLike`): Folder or Hub repository.

    Raises:
        OSError: If the folder is that of a training that has nothing to load yet, or holds nothing of a checkpoint, or if the name can only
            be a folder's and there is none.

    Example:
        >>> from hf_motion.checkpoints import EMBEDDED
        >>> checkpoint_in(EMBEDDED) == EMBEDDED, checkpoint_in("org/model")
        (True, 'org/model')
    """
    folder = Path(name)
    check_place(name, "a checkpoint's folder")
    if not folder.is_dir() or _is_checkpoint(folder):
        return name
    finished = [folder / part for part in FINISHED if _is_checkpoint(folder / part)]
    if finished:
        newest = max(finished, key=lambda path: max(file.stat().st_mtime for file in path.glob("*config.json")))
        _say(f"{str(folder)!r} is the folder of a training; its finished checkpoint is taken: {str(newest)!r}.")
        return newest
    states = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    states.sort(key=lambda path: int(path.name.rpartition("-")[2]))
    whole = [path for path in states if _is_checkpoint(path) and (path / "preprocessor_config.json").is_file()]
    if whole:
        _say(f"{str(folder)!r} is the folder of a training that is not finished; its newest state is taken: {str(whole[-1])!r}.")
        return whole[-1]
    if states or (folder / "trainer_state.json").is_file():
        newest = states[-1] if states else folder
        raise OSError(
            f"{str(folder)!r} is the folder of a training that is not finished: {str(newest)!r} is a state to go on from, not a checkpoint "
            "to load. Run the training's command again, with fewer --max_steps if need be; at its end it saves one."
        )
    if not any(any(folder.glob(pattern)) for pattern in ("*.json", "*/*.json", "*.safetensors")):
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise OSError(f"{str(folder)!r} holds no checkpoint; in it: {found}. Give the folder with its config.json or model_index.json.")
    return name


def check_place(name: str | os.PathLike, what: str) -> None:
    """Refuse the name of a folder that is not there, before anybody asks the Hub for it.

    Args:
        name (`str` or `os.PathLike`): A folder or file, or a repository.
        what (`str`): What it should be, for the message.

    Raises:
        FileNotFoundError: If it does not exist and is no possible repository: `user/name` or `name`, and no folder `user` beside it.

    Example:
        >>> check_place("org/model", "a checkpoint's folder")
        >>> check_place("./model", "a checkpoint's folder")
        Traceback (most recent call last):
        ...
        FileNotFoundError: There is nothing at './model', which should be a checkpoint's folder, and it is no repository's name either ...
    """
    path = Path(name)
    if path.exists():
        return
    text = str(name)
    repository = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text) and not text.startswith(".") and not Path(text.partition("/")[0]).is_dir()
    if isinstance(name, os.PathLike) or not repository:
        above = next((str(parent) for parent in path.parents if parent.exists()), ".")
        raise FileNotFoundError(
            f"There is nothing at {text!r}, which should be {what}, and it is no repository's name either (user/name); {above!r} is there."
        )


def leave_sign(folder: Path, checkpoint: Path) -> None:
    """Let `transformers` find a finished checkpoint of a generator by the training's folder, as `checkpoint_in` does.

    `pipeline("text-to-motion", model=folder)` reads a `config.json` before anything of ours is asked.

    Args:
        folder (`pathlib.Path`): The training's.
        checkpoint (`pathlib.Path`): In it; elsewhere, nothing is left.
    """
    if checkpoint.resolve().parent != folder.resolve():
        return
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config.pop("auto_map", None)  # leads to a file beside it
    write_json(folder / "config.json", config)


def _is_checkpoint(folder: Path) -> bool:
    described = any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
    return (folder / "model_index.json").is_file() or (described and any(folder.glob("*.safetensors")))


@functools.cache
def _say(line: str) -> None:
    logger.warning(line)
