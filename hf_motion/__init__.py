"""Human motion, the Hugging Face way.

Importing this package registers its models, feature extractors and tasks with transformers. Everything else is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import registration
from .utils.lazy import lazy_names
from .utils.version import __version__ as __version__

_PUBLIC = {
    "AutoMotionModel": "models.motion_language.auto",
    "AdaQFExtractors": "models.adaqf_extractors.modeling_adaqf_extractors",
    "AdaQFExtractorsConfig": "models.adaqf_extractors.configuration_adaqf_extractors",
    "AdaQFPipeline": "pipelines.adaqf",
    "Face": "face",
    "FacialCVAE": "models.humantomato.modeling_facial_cvae",
    "FacialCVAEConfig": "models.humantomato.configuration_facial_cvae",
    "GeminiMVR": "models.gemini_mvr.modeling_gemini_mvr",
    "GeminiMVRConfig": "models.gemini_mvr.configuration_gemini_mvr",
    "GeminiMVRProcessor": "models.gemini_mvr.processing_gemini_mvr",
    "HumanML3DRepresentation": "representation",
    "HumanTOMATOPipeline": "models.humantomato.pipeline_humantomato",
    "HumanTOMATOPipelineConfig": "models.humantomato.configuration_pipeline",
    "HumanTomatoGPT": "models.humantomato.modeling_humantomato",
    "HumanTomatoGPTConfig": "models.humantomato.configuration_humantomato",
    "MDMDenoiser": "models.mdm",
    "MDMPipeline": "pipelines.mdm",
    "MLDAutoencoder": "models.mld",
    "MLDDenoiser": "models.mld",
    "MLDPipeline": "pipelines.mld",
    "SALADAutoencoder": "models.salad",
    "SALADDenoiser": "models.salad",
    "SALADPipeline": "pipelines.salad",
    "Motion": "motion",
    "MotionControl": "pipelines.control",
    "MotionCorrectionPipeline": "corrections.pipeline",
    "MotionFeatureExtractor": "representation",
    "MotionVQConfig": "models.motion_vq.configuration_motion_vq",
    "MotionVQModel": "models.motion_vq.modeling_motion_vq",
    "MotionTokenizer": "tokenization.motion_tokenizer",
    "MotionLanguageModel": "models.motion_language.modeling_motion_language",
    "MotionToTextPipeline": "pipelines.motion_to_text",
    "MotionSystem": "pipelines.motion_system.modeling_motion_system",
    "MotionSystemConfig": "pipelines.motion_system.configuration_motion_system",
    "MotionTextEmbedder": "retrieval.embedder",
    "SKELETONS": "skeletons",
    "Skeleton": "skeletons",
    "T2MEvaluator": "models.t2m_evaluator.modeling_t2m_evaluator",
    "T2MEvaluatorConfig": "models.t2m_evaluator.configuration_t2m_evaluator",
    "MoMask": "models.momask.modeling_momask",
    "MoMaskConfig": "models.momask.configuration_momask",
    "T2MGPT": "models.t2m_gpt.modeling_t2m_gpt",
    "T2MGPTConfig": "models.t2m_gpt.configuration_t2m_gpt",
    "TMR": "models.tmr.modeling_tmr",
    "TMRConfig": "models.tmr.configuration_tmr",
    "TMRTextEncoder": "models.tmr.modeling_tmr",
    "TextToMotionPipeline": "pipelines.text_to_motion",
    "VimoRAGConfig": "models.vimorag.configuration_vimorag",
    "VimoRAGForCausalLM": "models.vimorag.modeling_vimorag",
    "VimoRAGProcessor": "models.vimorag.processing_vimorag",
    "WordPosTokenizer": "tokenization.word_pos",
    "align_motions": "alignment",
    "edit_mask": "pipelines.editing",
    "get_skeleton": "skeletons",
    "join_motions": "pipelines.editing",
    "load_embedded_pipeline": "pipelines.embedded",
    "read_motion": "formats.read",
}

__all__ = list(_PUBLIC)

if TYPE_CHECKING:
    from .alignment import align_motions as align_motions
    from .corrections.pipeline import MotionCorrectionPipeline as MotionCorrectionPipeline
    from .face import Face as Face
    from .formats.read import read_motion as read_motion
    from .models.adaqf_extractors.configuration_adaqf_extractors import AdaQFExtractorsConfig as AdaQFExtractorsConfig
    from .models.adaqf_extractors.modeling_adaqf_extractors import AdaQFExtractors as AdaQFExtractors
    from .models.gemini_mvr.configuration_gemini_mvr import GeminiMVRConfig as GeminiMVRConfig
    from .models.gemini_mvr.modeling_gemini_mvr import GeminiMVR as GeminiMVR
    from .models.gemini_mvr.processing_gemini_mvr import GeminiMVRProcessor as GeminiMVRProcessor
    from .models.humantomato.configuration_facial_cvae import FacialCVAEConfig as FacialCVAEConfig
    from .models.humantomato.configuration_humantomato import HumanTomatoGPTConfig as HumanTomatoGPTConfig
    from .models.humantomato.configuration_pipeline import HumanTOMATOPipelineConfig as HumanTOMATOPipelineConfig
    from .models.humantomato.modeling_facial_cvae import FacialCVAE as FacialCVAE
    from .models.humantomato.modeling_humantomato import HumanTomatoGPT as HumanTomatoGPT
    from .models.humantomato.pipeline_humantomato import HumanTOMATOPipeline as HumanTOMATOPipeline
    from .models.mdm import MDMDenoiser as MDMDenoiser
    from .models.mld import MLDAutoencoder as MLDAutoencoder
    from .models.mld import MLDDenoiser as MLDDenoiser
    from .models.momask.configuration_momask import MoMaskConfig as MoMaskConfig
    from .models.momask.modeling_momask import MoMask as MoMask
    from .models.motion_language.auto import AutoMotionModel as AutoMotionModel
    from .models.motion_language.modeling_motion_language import MotionLanguageModel as MotionLanguageModel
    from .models.motion_vq.configuration_motion_vq import MotionVQConfig as MotionVQConfig
    from .models.motion_vq.modeling_motion_vq import MotionVQModel as MotionVQModel
    from .models.salad import SALADAutoencoder as SALADAutoencoder
    from .models.salad import SALADDenoiser as SALADDenoiser
    from .models.t2m_evaluator.configuration_t2m_evaluator import T2MEvaluatorConfig as T2MEvaluatorConfig
    from .models.t2m_evaluator.modeling_t2m_evaluator import T2MEvaluator as T2MEvaluator
    from .models.t2m_gpt.configuration_t2m_gpt import T2MGPTConfig as T2MGPTConfig
    from .models.t2m_gpt.modeling_t2m_gpt import T2MGPT as T2MGPT
    from .models.tmr.configuration_tmr import TMRConfig as TMRConfig
    from .models.tmr.modeling_tmr import TMR as TMR
    from .models.tmr.modeling_tmr import TMRTextEncoder as TMRTextEncoder
    from .models.vimorag.configuration_vimorag import VimoRAGConfig as VimoRAGConfig
    from .models.vimorag.modeling_vimorag import VimoRAGForCausalLM as VimoRAGForCausalLM
    from .models.vimorag.processing_vimorag import VimoRAGProcessor as VimoRAGProcessor
    from .motion import Motion as Motion
    from .pipelines.adaqf import AdaQFPipeline as AdaQFPipeline
    from .pipelines.control import MotionControl as MotionControl
    from .pipelines.editing import edit_mask as edit_mask
    from .pipelines.editing import join_motions as join_motions
    from .pipelines.embedded import load_embedded_pipeline as load_embedded_pipeline
    from .pipelines.mdm import MDMPipeline as MDMPipeline
    from .pipelines.mld import MLDPipeline as MLDPipeline
    from .pipelines.motion_system.configuration_motion_system import MotionSystemConfig as MotionSystemConfig
    from .pipelines.motion_system.modeling_motion_system import MotionSystem as MotionSystem
    from .pipelines.motion_to_text import MotionToTextPipeline as MotionToTextPipeline
    from .pipelines.salad import SALADPipeline as SALADPipeline
    from .pipelines.text_to_motion import TextToMotionPipeline as TextToMotionPipeline
    from .representation import HumanML3DRepresentation as HumanML3DRepresentation
    from .representation import MotionFeatureExtractor as MotionFeatureExtractor
    from .retrieval.embedder import MotionTextEmbedder as MotionTextEmbedder
    from .skeletons import SKELETONS as SKELETONS
    from .skeletons import Skeleton as Skeleton
    from .skeletons import get_skeleton as get_skeleton
    from .tokenization.motion_tokenizer import MotionTokenizer as MotionTokenizer
    from .tokenization.word_pos import WordPosTokenizer as WordPosTokenizer

__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)

registration.register()
