"""Loading a checkpoint: one at a time, sizes looked at before anything is built, and every error names the file."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from ..utils.faults import reading, reason
from ..utils.limits import MAX_LAYERS, MAX_MODEL_FRAMES, MAX_NOISE_LEVELS, MAX_TENSOR_SIDE, MAX_UNSEEN_SIDE

LOADING = RLock()
"""Held while weights are loaded: transformers and diffusers build modules without memory by changing what all threads see."""

_CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json")
_SCHEDULER = ("scheduler_config.json",)
_FEATURES = ("preprocessor_config.json",)
_TOKENIZER = ("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
              "vocab.txt", "lexicon.json", "spiece.model")  # fmt: skip
_WEIGHTS = "*.safetensors"
_LIBRARY_FILES = {
    "config": ("config.json",),
    "model": ("config.json", _WEIGHTS),
    "tokenizer": _TOKENIZER,
    "feature_extractor": _FEATURES,
    "scheduler": _SCHEDULER,
}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.tar")
_LONGEST_HEADER = 100 * 2**20

# Whole numbers of a configuration by their names: how often something is built, and how wide it is.
_COUNTS = re.compile(r"(^|_)(layers?|blocks|depth|quantizers|heads|kv)$|^n_(layers?|heads?)$|^num_.*(layers|heads|blocks|quantizers)$")
_SIDES = re.compile(r"(^|_)(size|dim|width|features|model|ff|tokens|channels)$|^d_\w+$")
_OWN_LIMITS = {
    "r": MAX_TENSOR_SIDE, "max_position_embeddings": MAX_UNSEEN_SIDE, "max_frames": MAX_MODEL_FRAMES,
    "num_train_timesteps": MAX_NOISE_LEVELS,
}  # fmt: skip
_NO_SIDES = ("chunk_size_feed_forward", "max_text_tokens")


@contextmanager
def building() -> Iterator[None]:
    """Build modules only to fill them from files: one thread at a time, and nothing counted or drawn for tensors without memory.

    Random numbers have no value there, and torch counts both by its symbolic shapes: sympy, a second's import.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutMemory(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in (torch.nn.init.normal_, torch.nn.init.uniform_):
                tensor = args[0] if args else kwargs["tensor"]
                return tensor if tensor.is_meta else func(*args, **kwargs)
            if func is torch.empty_like and args[0].is_meta and args[0].is_contiguous():
                kwargs = {name: value for name, value in kwargs.items() if name != "memory_format"}
                return torch.empty(args[0].shape, **{"dtype": args[0].dtype, "device": "meta", **kwargs})
            if func is torch.arange and torch.device(kwargs.get("device") or "cpu").type == "meta":
                return func(*args, **{**kwargs, "device": "cpu"}).to("meta")
            return func(*args, **kwargs)

    with LOADING, WithoutMemory():
        yield


@contextmanager
def loading(name: str | os.PathLike, kind: str = "model", subfolder: str = "") -> Iterator[None]:
    """Load a part of a checkpoint: no other thread loads meanwhile, sizes are looked at first, and every error names the file.

    Args:
        name (`str` or `os.PathLike`): Folder or repository. Only a folder's files are looked into.
        kind (`str`, defaults to `"model"`): What is loaded: `"model"`, `"tokenizer"`, `"feature_extractor"` or `"scheduler"`.
        subfolder (`str`, defaults to `""`): Where in it.

    Raises:
        OSError: If a model's folder has weights as pickles only.
        ValueError: If a size is beyond all bounds or does not fit the weights, or the block raises because a file is damaged.
    """
    folder = Path(name) / subfolder
    with building() if kind == "model" else LOADING:
        if folder.is_dir():
            check_sizes(folder)
            if kind == "model":
                _check_weights(folder)
        try:
            yield
        except ImportError:
            raise
        except Exception as error:
            files = _files(folder, kind)
            missing = isinstance(error, OSError) and (str(name) in str(error) or not files)  # the library's words are good then
            if missing or (isinstance(error, ValueError) and _names(error, folder)):
                raise
            for file in files:
                _check_readable(file)
            shown = " or ".join(repr(str(file)) for file in files) or repr(str(folder))
            raise ValueError(f"{shown} is damaged, of another kind, or does not take these options: {reason(error)}") from error


def load_part(auto_class: Any, name: str | os.PathLike, kind: str, **options: Any) -> Any:
    """`auto_class.from_pretrained(name, **options)` within `loading`; a model's weights as safetensors.

    Args:
        auto_class (`type`): `AutoModel`, `AutoTokenizer`, `AutoFeatureExtractor`, `AutoConfig`, ...
        name (`str` or `os.PathLike`): Folder or repository.
        kind (`str`): See `loading`.
        **options: As for `from_pretrained`.
    """
    if kind == "model":
        options = {"use_safetensors": True, **options}
    with loading(name, kind, options.get("subfolder") or ""):
        return auto_class.from_pretrained(name, **options)


def check_sizes(folder: Path) -> None:
    """Refuse configurations whose sizes are beyond all bounds, or larger than any side of the weights beside them.

    Args:
        folder (`pathlib.Path`): One part of a checkpoint, or a whole.

    Raises:
        ValueError: If one is, or a configuration is no JSON object; the message names file, value and limit.
    """
    for file in (folder / config for config in _CONFIGS):
        if file.is_file():
            with reading(file, "a JSON object"):
                content = json.loads(file.read_text(encoding="utf-8"))
            check_config(content, repr(str(file)), folder)


def check_config(content: Any, where: str, folder: Path | None = None) -> None:
    """Refuse a configuration whose sizes are beyond all bounds.

    Args:
        content (`dict`): The configuration.
        where (`str`): What it is, for the message.
        folder (`pathlib.Path`, *optional*): Where its weights are: then no size may be larger than these allow.

    Raises:
        ValueError: If one is, or the configuration is no mapping.

    Example:
        >>> check_config({"num_layers": 4}, "config.json")
        >>> check_config({"num_layers": 10**9}, "config.json")
        Traceback (most recent call last):
        ...
        ValueError: config.json: num_layers is 1,000,000,000, at most 1,024 are built. ...
    """
    if not isinstance(content, dict):
        raise ValueError(f"{where} must hold an object, it holds a {type(content).__name__}.")
    for name, value in _whole_numbers(content):
        if _OWN_LIMITS.get(name, 0) and value > _OWN_LIMITS[name]:
            _refuse(where, name, value, f"at most {_OWN_LIMITS[name]:,} are taken")
        if _COUNTS.search(name) and value > MAX_LAYERS:
            _refuse(where, name, value, f"at most {MAX_LAYERS:,} are built")
        if _SIDES.search(name) and name not in _NO_SIDES and value > (MAX_UNSEEN_SIDE if folder is None else MAX_TENSOR_SIDE):
            largest = 0 if folder is None else max(MAX_TENSOR_SIDE, _longest_side(folder))
            if value > largest:
                _refuse(where, name, value, f"at most {largest or MAX_UNSEEN_SIDE:,} is taken")


def blame_part(folder: Path, part: str, error: Exception) -> ValueError:
    """What to raise when a part of a pipeline could not be loaded.

    Args:
        folder (`pathlib.Path`): The pipeline's folder.
        part (`str`): Name of the part and of its folder.
        error (`Exception`): What came of it.
    """
    if isinstance(error, ValueError) and _names(error, folder / part):
        return error
    files = [*_files(folder / part, part if part in _LIBRARY_FILES else "model"), folder / "model_index.json"]
    try:
        for file in files:
            _check_readable(file)
    except ValueError as found:
        return found
    shown = " or ".join(repr(str(file)) for file in files)
    return ValueError(f"{shown} is damaged, of another kind, or does not take these options: {reason(error)}")


def check_loaded(name: str | os.PathLike, info: dict[str, Any]) -> None:
    """Refuse a model that got no weights, or weights of another shape, for a part of it.

    Args:
        name (`str` or `os.PathLike`): Folder or repository.
        info (`dict`): What `output_loading_info=True` gives.

    Raises:
        ValueError: If so.
    """
    for key, what in (("missing_keys", "are not there"), ("mismatched_keys", "have another shape")):
        found = sorted(str(item[0] if isinstance(item, tuple) else item) for item in info.get(key) or ())
        if found:
            raise ValueError(
                f"{str(Path(name) / 'config.json')!r} asks for {len(found)} weights that {what} in the safetensors beside it, such as "
                f"{found[0]}. Use the config.json that the weights were saved with."
            )


def _refuse(where: str, name: str, value: int, limit: str) -> None:
    raise ValueError(f"{where}: {name} is {value:,}, {limit}. Put the number back that the weights were saved with, or load another copy.")


def _whole_numbers(content: Any) -> Iterator[tuple[str, int]]:
    waiting = [content]
    while waiting:
        found = waiting.pop()
        items = found.items() if isinstance(found, dict) else ((None, value) for value in found)
        for name, value in items:
            if isinstance(value, (dict, list)):
                waiting.append(value)
            elif name is not None and isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
                yield str(name), int(value)


def _longest_side(folder: Path) -> int:
    """Of all weights in a folder, by their headers alone."""
    headers = [_header(file) for file in sorted(folder.glob(_WEIGHTS))]
    shapes = [entry["shape"] for header in headers for name, entry in header.items() if name != "__metadata__"]
    return max((side for shape in shapes for side in shape), default=0)


def _header(file: Path) -> dict[str, Any]:
    with reading(file, "a readable safetensors file"):
        size = file.stat().st_size
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _LONGEST_HEADER):
                raise ValueError(f"its header promises {length:,} bytes, the file has {size:,}")
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if max(ends, default=0) != size - 8 - length:
            raise ValueError(f"its header promises {max(ends, default=0):,} bytes of weights, the file has {size - 8 - length:,}")
        return header


def _check_weights(folder: Path) -> None:
    if any(folder.glob(_WEIGHTS)) or not (folder / "config.json").is_file() or (folder / "model_index.json").is_file():
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise OSError(
            f"{str(folder)!r} has its weights as {pickles[0]!r} only, a pickle, which can run code when it is loaded; weights load from "
            "safetensors only. Convert published files with `python -m hf_motion.conversion.<system>` (see --help), and save others again "
            "as safetensors with save_pretrained where they come from."
        )


def _files(folder: Path, kind: str) -> list[Path]:
    return [path for pattern in _LIBRARY_FILES[kind] for path in sorted(folder.glob(pattern))] if folder.is_dir() else []


def _check_readable(file: Path) -> None:
    if file.suffix == ".safetensors":
        _header(file)
    elif file.suffix == ".json":
        with reading(file, "readable JSON"):
            json.loads(file.read_text(encoding="utf-8"))


def _names(error: Exception, folder: Path) -> bool:
    """Whether an error names a file of the folder, not just the folder."""
    return any(f"{folder!s}{os.sep}{path.name}" in str(error) or repr(path.name) in str(error) for path in folder.glob("*"))
