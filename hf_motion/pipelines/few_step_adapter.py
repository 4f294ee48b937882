"""Few steps as an adapter (LCM-LoRA): small files that go beside any copy of the denoiser that they were distilled from."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelCardData, snapshot_download
from safetensors.torch import load_file

from ..hub.loading import check_config
from ..representation import MotionFeatureExtractor
from ..text_encoders import ADAPTER_CONFIG
from ..utils.faults import reading, writing
from ..utils.files import write_json
from .few_steps import FewSteps, lcm_scheduler

if TYPE_CHECKING:
    from peft import PeftModel

    from .text_diffusion import TextDiffusionPipeline

FEW_STEPS_FILE = "few_steps.json"
"""What tells a few-step adapter from one of a text encoder."""

_WEIGHTS = "adapter_model.safetensors"
_CARD = """# A motion in few steps

An adapter (LCM-LoRA) of `{denoiser}` that makes a motion in {steps} steps, distilled with guidance scales of {low:g} to {high:g}, which are
in its weights. It goes beside the pipeline that it was distilled from:

```python
from hf_motion import {pipeline}

pipe = {pipeline}.from_pretrained("<the teacher's repository>")
pipe.load_lora_weights("<this repository>")
motion = pipe("a person walks forward", num_inference_steps={most}, seed=0).motions[0]
```
"""


def save_few_step_adapter(model: PeftModel, few: FewSteps, feature_extractor: MotionFeatureExtractor, folder: str | os.PathLike) -> None:
    """Save an adapter of a denoiser in PEFT's format, with how it is sampled and a card.

    Args:
        model (`PeftModel`): The denoiser with its adapter.
        few (`FewSteps`): How it is sampled.
        feature_extractor (`MotionFeatureExtractor`): The teacher's: of which features it is, is kept.
        folder (`str` or `os.PathLike`): Where to.
    """
    folder, denoiser = Path(folder), type(model.get_base_model()).__name__
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder, safe_serialization=True)
        features = {
            "skeleton": feature_extractor.skeleton,
            "representation": feature_extractor.representation,
            "dim": feature_extractor.dim,
        }
        write_json(folder / FEW_STEPS_FILE, {"denoiser": denoiser, "features": features, **few.to_config()})
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        config.update(base_model_name_or_path=None, auto_mapping=None, inference_mode=True)
        write_json(folder / ADAPTER_CONFIG, config)
        low, high = few.guidance_range
        data = ModelCardData(library_name="peft", tags=["text-to-motion", "human-motion", "lora", "lcm-lora"])
        steps, pipeline = ", ".join(map(str, few.num_inference_steps)), f"{denoiser.removesuffix('Denoiser')}Pipeline"
        text = _CARD.format(denoiser=denoiser, steps=steps, low=low, high=high, pipeline=pipeline, most=few.most_steps)
        ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}").save(folder / "README.md")


def few_step_folder(name: str | os.PathLike, **options: Any) -> Path | None:
    """Where a few-step adapter lies, fetched if need be; None if the name is of another adapter.

    Args:
        name (`str` or `os.PathLike`): Folder or repository.
        **options (`Any`): `subfolder`, and as for `snapshot_download`.
    """
    subfolder = options.pop("subfolder", None) or ""
    files = [f"{subfolder}/{file}" if subfolder else file for file in (FEW_STEPS_FILE, ADAPTER_CONFIG, _WEIGHTS)]
    folder = Path(name) if Path(name).is_dir() else Path(snapshot_download(str(name), allow_patterns=files, **options))
    return folder / subfolder if (folder / subfolder / FEW_STEPS_FILE).is_file() else None


def load_few_step_adapter(pipe: TextDiffusionPipeline, folder: Path) -> None:
    """Put a copy of the denoiser, the adapter added to its weights, beside the denoiser of a pipeline.

    Args:
        pipe (`TextDiffusionPipeline`): Changed in place: calls with as few steps as the adapter was distilled for take it.
        folder (`pathlib.Path`): See `few_step_folder`.

    Raises:
        OSError: If a file is missing.
        ValueError: If it was distilled from another kind or size of denoiser, for other features, or other noise; or the pipeline takes few
            steps already.
    """
    if pipe.config.few_steps is not None:
        raise ValueError("This pipeline takes few steps already; load the adapter into the pipeline that it was distilled from.")
    with reading(folder / FEW_STEPS_FILE, "how a distilled denoiser is sampled"):
        told = json.loads((folder / FEW_STEPS_FILE).read_text(encoding="utf-8"))
    few, extractor = FewSteps.from_config(told), pipe.feature_extractor
    own = {"skeleton": extractor.skeleton, "representation": extractor.representation, "dim": extractor.dim}
    if told.get("denoiser") != type(pipe.denoiser).__name__ or told.get("features") != own:
        raise ValueError(
            f"{str(folder)!r} was distilled from a {told.get('denoiser')} over {told.get('features')}; this pipeline has a "
            f"{type(pipe.denoiser).__name__} over {own}. An adapter works beside its teacher."
        )
    scheduler = lcm_scheduler(pipe.scheduler, few.schedule["original_inference_steps"], few.schedule["timestep_scaling"])
    few.check_scheduler(scheduler)
    denoiser = _merged(pipe.denoiser, folder)
    pipe.register_modules(few_step_denoiser=denoiser, few_step_scheduler=scheduler)
    pipe.register_to_config(few_steps=few.to_config())


def _merged(denoiser: Any, folder: Path) -> Any:
    """A copy of a denoiser with an adapter added to its weights."""
    for file in (ADAPTER_CONFIG, _WEIGHTS):
        if not (folder / file).is_file():
            raise OSError(f"{str(folder)!r} has no {file}. training/train_distillation.py saves an adapter whole.")
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

    with reading(folder / ADAPTER_CONFIG, "an adapter's configuration"):
        check_config(json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")), repr(str(folder / ADAPTER_CONFIG)))
        config = PeftConfig.from_pretrained(folder)
    with reading(folder / _WEIGHTS, "a readable safetensors file"):
        state = load_file(folder / _WEIGHTS)
    try:
        model = get_peft_model(copy.deepcopy(denoiser), config)
        report = set_peft_model_state_dict(model, state)
    except (ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{str(folder)!r} does not fit this {type(denoiser).__name__}: {str(error).splitlines()[0]}") from error
    missing = [name for name in report.missing_keys if ".lora_" in name]
    if missing or report.unexpected_keys:
        raise ValueError(
            f"{str(folder)!r} does not fit this {type(denoiser).__name__}: {len(missing)} of its layers get nothing and "
            f"{len(report.unexpected_keys)} weights have no counterpart. An adapter works beside its teacher."
        )
    return model.merge_and_unload().requires_grad_(False).eval()
