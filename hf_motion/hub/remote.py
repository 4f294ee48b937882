"""The two small files that make a saved pipeline loadable by transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..utils.files import atomic_path, write_json

_ORIGIN = {"_name_or_path", "name_or_path", "is_local", "local_files_only"}

_DOOR = '''"""Lets transformers load this checkpoint with trust_remote_code=True when hf_motion is installed but not imported."""

from hf_motion import MotionSystem, MotionSystemConfig, TextToMotionPipeline  # noqa: F401
'''


def write_model_door(folder: Path, model_class: str) -> None:
    """The same for a transformers model of ours: its own `config.json` leads to the one-line module.

    Args:
        folder (`pathlib.Path`): A folder with the model's `config.json`.
        model_class (`str`): Its class name; the configuration's is that and `Config`.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoConfig": f"hf_motion_remote.{model_class}Config", "AutoModel": f"hf_motion_remote.{model_class}"}
    write_json(folder / "config.json", config)
    names = f"MotionSystem, {model_class}, {model_class}Config, TextToMotionPipeline"
    with atomic_path(folder / "hf_motion_remote.py") as temporary:
        temporary.write_text(_DOOR.replace("MotionSystem, MotionSystemConfig, TextToMotionPipeline", names), encoding="utf-8")


def write_language_door(folder: Path, own: str | None = None) -> None:
    """The same for a language model with a motion tokenizer: trusted, `AutoModel` makes a `MotionLanguageModel` of it.

    Everything else, and everybody who does not trust, gets the architecture that `config.json` names.

    Args:
        folder (`pathlib.Path`): A folder with the language model's `config.json`.
        own (`str`, *optional*): What the names of its classes begin with, where transformers does not have its architecture.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModel": "hf_motion_remote.MotionLanguageModel"}
    names = ["MotionLanguageModel"]
    if own is not None:
        config["auto_map"] |= {"AutoConfig": f"hf_motion_remote.{own}Config", "AutoModelForCausalLM": f"hf_motion_remote.{own}ForCausalLM"}
        names += [f"{own}Config", f"{own}ForCausalLM"]
    write_json(folder / "config.json", config)
    with atomic_path(folder / "hf_motion_remote.py") as temporary:
        temporary.write_text(_DOOR.replace("MotionSystem, MotionSystemConfig", ", ".join(names)), encoding="utf-8")


def forget_origin(path: Path) -> None:
    """Drop from a JSON file where its content, or a part of it, was loaded from: often a path of somebody's machine."""
    content = json.loads(path.read_text(encoding="utf-8"))
    kept = _without_origin(content)
    if kept != content:
        write_json(path, kept)


def _without_origin(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {name: _without_origin(value) for name, value in content.items() if name not in _ORIGIN}


def write_remote_door(folder: Path, pipeline_class: str) -> None:
    """Write `config.json` and `hf_motion_remote.py` next to a saved pipeline.

    transformers needs a root `config.json` with a `model_type`; its `auto_map` leads to the one-line module when hf_motion has not been
    imported. There is no `custom_pipelines` entry: with one, transformers demands trust even from those who imported hf_motion.

    Args:
        folder (`pathlib.Path`): A folder with a `model_index.json`.
        pipeline_class (`str`): The pipeline's class name.
    """
    write_json(
        folder / "config.json",
        {
            "architectures": ["MotionSystem"],
            "auto_map": {
                "AutoConfig": "hf_motion_remote.MotionSystemConfig",
                "AutoModel": "hf_motion_remote.MotionSystem",
            },
            "model_type": "motion-diffusion",
            "pipeline_class": pipeline_class,
        },
    )
    with atomic_path(folder / "hf_motion_remote.py") as temporary:
        temporary.write_text(_DOOR, encoding="utf-8")
