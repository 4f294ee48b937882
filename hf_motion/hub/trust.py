"""What a checkpoint may name: an allow-list that is asked before anything of the checkpoint is loaded."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

PIPELINES = {
    "AdaQFPipeline": "hf_motion.pipelines.adaqf",
    "MDMPipeline": "hf_motion.pipelines.mdm",
    "MLDPipeline": "hf_motion.pipelines.mld",
    "SALADPipeline": "hf_motion.pipelines.salad",
}
"""Pipeline classes that a `model_index.json` may name, and the module of each."""

_BASES = {
    "diffusers": ("ModelMixin", "SchedulerMixin"),
    "transformers": ("PreTrainedModel", "PreTrainedTokenizerBase", "FeatureExtractionMixin"),
    "hf_motion.components": (),
}
"""Libraries that a part may come from, and what it must be there; of ours, every name in `hf_motion.components` will do."""


def check_model_index(folder: Path, pipeline: str) -> None:
    """Refuse a `model_index.json` that names other code than that of transformers, diffusers and hf_motion.

    diffusers imports what the file names, up to version 0.42.0 whatever that is; the file comes with the checkpoint, from anybody.

    Args:
        folder (`pathlib.Path`): Folder of the checkpoint.
        pipeline (`str`): Name of the class that is being loaded; `model_index.json` may name it, or another one of ours.

    Raises:
        OSError: If there is no `model_index.json`.
        ValueError: If it is not what `save_pretrained` writes, or names something else.
    """
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not readable JSON: {error}. Save or download the checkpoint again.") from error
    name = index.get("_class_name") if isinstance(index, dict) else None
    if not isinstance(name, str) or name not in (pipeline, *PIPELINES):
        raise ValueError(f"{str(path)!r} names the pipeline class {name!r}; this version of hf_motion knows {', '.join(PIPELINES)}.")
    for part, named in index.items():
        if not part.startswith("_") and isinstance(named, (list, tuple)) and any(item is not None for item in named):
            _check_part(path, part, list(named))


def _check_part(path: Path, part: str, named: list[Any]) -> None:
    library, name = named if len(named) == 2 else (None, None)
    if not isinstance(library, str) or not isinstance(name, str) or library not in _BASES:
        raise ValueError(
            f"{str(path)!r} takes its {part} from {named}; a checkpoint may only name {', '.join(_BASES)}, so nothing of it was loaded. "
            "If you trust that code, load the parts yourself and build the pipeline of them: MDMPipeline(denoiser=..., ...)."
        )
    module = import_module(library)
    found = getattr(module, name, None) if not name.startswith("_") else None
    allowed = name in module.__all__ if not _BASES[library] else _is_kind(found, module, _BASES[library])
    if not allowed:
        kinds = " or ".join(_BASES[library]) or "part"
        raise ValueError(f"{str(path)!r} names {library}.{name} as its {part}, which is no {kinds} that this installation has.")


def _is_kind(found: Any, module: Any, bases: tuple[str, ...]) -> bool:
    return isinstance(found, type) and issubclass(found, tuple(getattr(module, base) for base in bases))
