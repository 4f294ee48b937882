"""Model cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard, ModelCardData

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..models.motion_language.modeling_motion_language import MotionLanguageModel
    from ..representation import MotionFeatureExtractor

_TEMPLATE = Path(__file__).parent / "card_template.md"
_ADAPTER_TEMPLATE = Path(__file__).parent / "adapter_card_template.md"
_LANGUAGE_TEMPLATE = Path(__file__).parent / "language_card_template.md"
_FACE_TEMPLATE = Path(__file__).parent / "face_card_template.md"
_GENERATOR_TEMPLATE = Path(__file__).parent / "generator_card_template.md"
_RETRIEVAL_TEMPLATE = Path(__file__).parent / "retrieval_card_template.md"
_VIDEO_TEMPLATE = Path(__file__).parent / "video_retrieval_card_template.md"
_TOKENIZER_TEMPLATE = Path(__file__).parent / "tokenizer_card_template.md"


def write_model_card(folder: Path, repo_id: str | None = None) -> None:
    """Write `README.md` for a saved pipeline, unless it has one.

    Args:
        folder (`pathlib.Path`): A folder with a `model_index.json`.
        repo_id (`str`, *optional*): Where it is going to be, for the examples.
    """
    path = folder / "README.md"
    if path.exists():
        return
    index = json.loads((folder / "model_index.json").read_text())
    extractor = json.loads((folder / "feature_extractor" / "preprocessor_config.json").read_text())
    components = "\n".join(f"| `{name}` | `{value[1]}` |" for name, value in sorted(index.items()) if isinstance(value, list))
    data = ModelCardData(
        library_name="hf_motion",
        pipeline_tag="text-to-motion",
        tags=["text-to-motion", "human-motion", index["_class_name"]],
    )
    ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        pipeline_class=index["_class_name"],
        components=components,
        skeleton=extractor["skeleton"],
        representation=extractor["representation"],
        max_frames=extractor["max_frames"],
        repository=repo_id or "<this repository>",
    ).save(path)


def write_retrieval_card(
    folder: Path, model: PreTrainedModel, feature_extractor: MotionFeatureExtractor | None, repo_id: str | None = None
) -> None:
    """Write `README.md` for a saved retrieval model, unless it has one.

    Args:
        folder (`pathlib.Path`): Where the model is.
        model (`PreTrainedModel`): The model.
        feature_extractor (`MotionFeatureExtractor`, *optional*): Its feature extractor; one that finds videos has none.
        repo_id (`str`, *optional*): Where it is going to be, for the examples.
    """
    path = folder / "README.md"
    if path.exists():
        return
    name = type(model).__name__
    if feature_extractor is None:
        ModelCard.from_template(
            ModelCardData(library_name="hf_motion", tags=["video-retrieval", "human-motion", name]),
            template_path=str(_VIDEO_TEMPLATE),
            model_class=name,
            max_frames=model.config.max_frames,
            objects=model.config.object_config is not None,
            repository=repo_id or "<this repository>",
        ).save(path)
        return
    data = ModelCardData(library_name="hf_motion", tags=["motion-retrieval", "human-motion", name])
    ModelCard.from_template(
        data,
        template_path=str(_RETRIEVAL_TEMPLATE),
        model_class=name,
        role="alignment" if model.config.model_type == "tmr" else "evaluator",
        similarity=model.config.similarity,
        skeleton=feature_extractor.skeleton,
        representation=feature_extractor.representation,
        fps=f"{feature_extractor.fps:g}",
        repository=repo_id or "<this repository>",
    ).save(path)


def write_adapter_card(folder: Path, config_name: str) -> None:
    """Write `README.md` for a saved adapter of a text encoder, unless it has one.

    Args:
        folder (`pathlib.Path`): Where the adapter is.
        config_name (`str`): Name of its configuration's file.
    """
    path = folder / "README.md"
    if path.exists():
        return
    config = json.loads((folder / config_name).read_text())
    base = config["base_model_name_or_path"]
    data = ModelCardData(library_name="peft", base_model=base, tags=["text-to-motion", "human-motion", "lora", "adaclip"])
    ModelCard.from_template(
        data, template_path=str(_ADAPTER_TEMPLATE), base=base or "the text encoder that it was trained with", rank=config["r"]
    ).save(path)


def write_tokenizer_card(
    folder: Path, model: PreTrainedModel, feature_extractor: MotionFeatureExtractor, repo_id: str | None = None
) -> None:
    """Write `README.md` for a saved motion tokenizer, unless it has one.

    Args:
        folder (`pathlib.Path`): Where the model is.
        model (`MotionVQModel`): The model.
        feature_extractor (`MotionFeatureExtractor`): Its feature extractor.
        repo_id (`str`, *optional*): Where it is going to be, for the examples.
    """
    path = folder / "README.md"
    if path.exists():
        return
    data = ModelCardData(library_name="hf_motion", tags=["motion-tokenizer", "human-motion", type(model).__name__])
    ModelCard.from_template(
        data,
        template_path=str(_TOKENIZER_TEMPLATE),
        codebook_size=model.config.codebook_size,
        num_quantizers=model.config.num_quantizers,
        frames_per_token=model.config.frames_per_token,
        skeleton=feature_extractor.skeleton,
        representation=feature_extractor.representation,
        fps=f"{feature_extractor.fps:g}",
        repository=repo_id or "<this repository>",
    ).save(path)


def write_face_card(folder: Path, model: PreTrainedModel, repo_id: str | None = None) -> None:
    """Write `README.md` for a saved generator of faces, unless it has one.

    Args:
        folder (`pathlib.Path`): Where the model is.
        model (`FacialCVAE`): The model.
        repo_id (`str`, *optional*): Where it is going to be, for the examples.
    """
    path = folder / "README.md"
    if path.exists():
        return
    name, config = type(model).__name__, model.config
    data = ModelCardData(library_name="hf_motion", tags=["face-animation", "human-motion", name])
    ModelCard.from_template(
        data,
        template_path=str(_FACE_TEMPLATE),
        model_class=name,
        face_kind=config.face_kind,
        fps=f"{config.fps:g}",
        max_frames=config.max_frames,
        repository=repo_id or "<this repository>",
    ).save(path)


def write_generator_card(folder: Path, model: PreTrainedModel, repo_id: str | None = None) -> None:
    """Write `README.md` for a saved token generator, unless it has one.

    Args:
        folder (`pathlib.Path`): Where the model is.
        model (`TextMotionModel`): The model, with its feature extractor.
        repo_id (`str`, *optional*): Where it is going to be, for the examples.
    """
    path = folder / "README.md"
    if path.exists():
        return
    name = type(model).__name__
    data = ModelCardData(library_name="hf_motion", pipeline_tag="text-to-motion", tags=["text-to-motion", "human-motion", name])
    ModelCard.from_template(
        data,
        template_path=str(_GENERATOR_TEMPLATE),
        model_class=name,
        skeleton=model.feature_extractor.skeleton,
        representation=model.feature_extractor.representation,
        fps=f"{model.feature_extractor.fps:g}",
        max_frames=model.max_frames,
        repository=repo_id or "<this repository>",
    ).save(path)


def write_language_card(folder: Path, model: MotionLanguageModel, repo_id: str | None = None) -> None:
    """Write `README.md` for a saved motion language model, unless it has one.

    Args:
        folder (`pathlib.Path`): Where the model is.
        model (`MotionLanguageModel`): The model; of one with adapters, only these are there.
        repo_id (`str`, *optional*): Where it is going to be, for the examples.
    """
    path = folder / "README.md"
    if path.exists():
        return
    settings, extractor, base = model.config.motion, model.feature_extractor, None
    if model.has_adapters:
        base = next(iter(model.language_model.peft_config.values())).base_model_name_or_path
    architecture = (model.config.architectures or ["language model"])[0]
    data = ModelCardData(
        library_name="peft" if base else "transformers",
        pipeline_tag="text-to-motion",
        base_model=base,
        tags=["text-to-motion", "motion-to-text", "human-motion", "hf_motion", type(model).__name__],
    )
    plain = (
        f'Plain transformers answers with motion tokens as text: `pipeline("text-generation", model="{repo_id or "<this repository>"}")`.'
    )
    codes = f"{settings['codebook_size']}, {settings['num_quantizers']} a token of {model.vq_model.config.frames_per_token} frames"
    ModelCard.from_template(
        data,
        template_path=str(_LANGUAGE_TEMPLATE),
        title=type(model).__name__,
        architecture=architecture,
        base_line=f"These are adapters of `{base}`, which has all the rest." if base else "Motion tokens are words of its vocabulary.",
        plain_line="" if model.config.is_encoder_decoder or model.video_processor is not None else plain,
        sees_videos=model.video_processor is not None,
        format=f"`{settings['format']}`, such as `{model.motion_text([[0]] * settings['num_quantizers'])}`",
        codes=codes,
        skeleton=extractor.skeleton,
        representation=extractor.representation,
        fps=f"{extractor.fps:g}",
        max_frames=model.max_frames,
        repository=repo_id or "<this repository>",
    ).save(path)
