"""Makes transformers know our models, feature extractors and tasks: the only place that does.

Neither transformers nor diffusers looks for plug-ins, so `import hf_motion` has to register them. Registering needs the modules that hold
the registries, and those take seconds to import; a program that only draws a motion should not pay for them. So each registration waits
until its registry is imported by whoever needs it, and happens at once where it already is.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

from .utils.importing import when_imported

_MODELS = {
    ("pipelines.motion_system", "MotionSystemConfig"): ("configuration_motion_system", "modeling_motion_system", "MotionSystem"),
    ("models.t2m_evaluator", "T2MEvaluatorConfig"): ("configuration_t2m_evaluator", "modeling_t2m_evaluator", "T2MEvaluator"),
    ("models.motion_vq", "MotionVQConfig"): ("configuration_motion_vq", "modeling_motion_vq", "MotionVQModel"),
    ("models.motion_latents", "MotionLatentsConfig"): ("configuration_motion_latents", "modeling_motion_latents", "MotionLatentsModel"),
    ("models.momask", "MoMaskConfig"): ("configuration_momask", "modeling_momask", "MoMask"),
    ("models.t2m_gpt", "T2MGPTConfig"): ("configuration_t2m_gpt", "modeling_t2m_gpt", "T2MGPT"),
    ("models.humantomato", "HumanTomatoGPTConfig"): ("configuration_humantomato", "modeling_humantomato", "HumanTomatoGPT"),
    ("models.humantomato", "FacialCVAEConfig"): ("configuration_facial_cvae", "modeling_facial_cvae", "FacialCVAE"),
    ("models.humantomato", "HumanTOMATOPipelineConfig"): ("configuration_pipeline", "pipeline_humantomato", "HumanTOMATOPipeline"),
    ("models.gemini_mvr", "GeminiMVRConfig"): ("configuration_gemini_mvr", "modeling_gemini_mvr", "GeminiMVR"),
    ("models.vimorag", "VimoRAGConfig"): ("configuration_vimorag", "modeling_vimorag", "VimoRAGModel"),
    ("models.tmr", "TMRConfig"): ("configuration_tmr", "modeling_tmr", "TMR"),
    ("models.adaqf_extractors", "AdaQFExtractorsConfig"): (
        "configuration_adaqf_extractors",
        "modeling_adaqf_extractors",
        "AdaQFExtractors",
    ),
}
"""Packages below `hf_motion` and configurations; in which modules those and their models stand, and the models."""

_WORD_MODELS = ("T2MEvaluatorConfig", "AdaQFExtractorsConfig")
"""Configurations of models that read words with their parts of speech."""


def register() -> None:
    """Register everything, each thing as soon as the module that holds its registry is there."""
    when_imported("transformers.models.auto.configuration_auto", _register_configs)
    when_imported("transformers.models.auto.modeling_auto", _register_models)
    when_imported("transformers.models.auto.feature_extraction_auto", _register_feature_extractors)
    when_imported("transformers.models.auto.tokenization_auto", _register_tokenizers)
    when_imported("transformers.pipelines", _register_tasks)


def _configs() -> dict[str, type]:
    """Configuration classes by name; they import little."""
    modules = {name: importlib.import_module(f".{package}.{module}", __package__) for (package, name), (module, *_) in _MODELS.items()}
    return {name: getattr(module, name) for name, module in modules.items()}


def _register_configs(module: ModuleType) -> None:
    for config in _configs().values():
        module.AutoConfig.register(config.model_type, config, exist_ok=True)


def _register_models(module: ModuleType) -> None:
    configs = _configs()
    heads = _lazy_class("models.vimorag.modeling_vimorag", "VimoRAGForCausalLM", config_class=configs["VimoRAGConfig"])
    module.AutoModelForCausalLM.register(configs["VimoRAGConfig"], heads, exist_ok=True)
    for (package, config), (_, path, name) in _MODELS.items():
        model = _lazy_class(f"{package}.{path}", name, config_class=configs[config])
        module.AutoModel.register(configs[config], model, exist_ok=True)
    latents = configs["MotionLatentsConfig"]
    reader = _lazy_class("models.motion_latents.modeling_motion_latents", "MotionLatentsForCausalLM", config_class=latents)
    module.AutoModelForCausalLM.register(latents, reader, exist_ok=True)


def _register_feature_extractors(module: ModuleType) -> None:
    extractor = _lazy_class("representation.feature_extractor", "MotionFeatureExtractor")
    for config in _configs().values():
        module.AutoFeatureExtractor.register(config, extractor, exist_ok=True)


def _register_tokenizers(module: ModuleType) -> None:
    from .tokenization.motion_tokenizer import MotionTokenizer
    from .tokenization.word_pos import WordPosTokenizer

    tokenizers = {**dict.fromkeys(_WORD_MODELS, WordPosTokenizer), "MotionVQConfig": MotionTokenizer}
    for name, tokenizer in tokenizers.items():
        module.AutoTokenizer.register(_configs()[name], slow_tokenizer_class=tokenizer, exist_ok=True)


def _register_tasks(module: ModuleType) -> None:
    from .checkpoints import EMBEDDED

    module.logger.addFilter(_is_news)
    if "text-to-motion" not in module.PIPELINE_REGISTRY.supported_tasks:
        module.PIPELINE_REGISTRY.register_pipeline(
            "text-to-motion",
            pipeline_class=_lazy_class("pipelines.text_to_motion", "TextToMotionPipeline"),
            pt_model=_lazy_class("models.motion_language.auto", "AutoMotionModel"),
            default={"model": (str(EMBEDDED), None)},
            type="text",
        )
    for task, path, name in (
        ("motion-to-text", "pipelines.motion_to_text", "MotionToTextPipeline"),
        ("motion-correction", "corrections.pipeline", "MotionCorrectionPipeline"),
    ):
        if task not in module.PIPELINE_REGISTRY.supported_tasks:
            module.PIPELINE_REGISTRY.register_pipeline(
                task,
                pipeline_class=_lazy_class(path, name),
                pt_model=_lazy_class("models.motion_language.auto", "AutoMotionModel"),
                type="multimodal",
            )


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of transformers tells something: not that our own checkpoint was taken where none was named, which it is for."""
    text = record.getMessage()
    return not (text.startswith("No model was supplied") and str(Path(__file__).parent) in text)


def _lazy_class(module: str, name: str, **attributes: Any) -> type:
    """Stands for a class until something is asked of it.

    Model code imports much that a registry does not need; and the registry may be imported in the middle of importing that very code.
    """

    class Lazy(type):
        def __getattr__(cls, attribute: str) -> Any:
            return getattr(_real(), attribute)

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return _real()(*args, **kwargs)

    def _real() -> type:
        return getattr(importlib.import_module(f".{module}", __package__), name)

    return Lazy(name, (), {"__module__": f"{__package__}.{module}", **attributes})
