"""Tiny real pipelines, made on the spot."""

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    DistilBertConfig,
    DistilBertModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from hf_motion import (
    T2MGPT,
    FacialCVAE,
    FacialCVAEConfig,
    HumanTomatoGPT,
    HumanTomatoGPTConfig,
    MDMDenoiser,
    MDMPipeline,
    MoMask,
    MoMaskConfig,
    Motion,
    MotionFeatureExtractor,
    MotionLanguageModel,
    MotionVQConfig,
    MotionVQModel,
    T2MGPTConfig,
)
from hf_motion.face import FACE_SETS
from hf_motion.hands import with_hands
from hf_motion.models.text_motion_model import TextMotionModel
from hf_motion.trainers.new_pipeline import mdm_scheduler, train_clip_tokenizer
from hf_motion.trainers.new_retrieval import new_retrieval_model
from hf_motion.trainers.retrieval import save_retrieval_checkpoint

FIXTURES = Path(__file__).parent / "fixtures"
CAPTIONS = [caption["text"] for row in pd.read_parquet(FIXTURES / "clips.parquet").itertuples() for caption in row.captions]
_EVALUATOR_WIDTHS = ("movement_hidden_size", "movement_size", "motion_hidden_size", "text_hidden_size", "embed_dim", "word_dim")


def made_once(make: Callable[..., Any]) -> Callable[..., Any]:
    """For what is made from its arguments alone: copies of what was made first. torch's generator ends where making would leave it."""
    kept: dict[str, tuple[Any, torch.Tensor]] = {}

    @functools.wraps(make)
    def copied(*args: Any, **options: Any) -> Any:
        key = repr((args, sorted(options.items())))
        if key not in kept:
            kept[key] = make(*args, **options), torch.get_rng_state()
        made, state = kept[key]
        torch.set_rng_state(state)
        return copy.deepcopy(made)

    return copied


@functools.cache
def _words() -> dict[str, Any]:
    return json.loads(train_clip_tokenizer(CAPTIONS, 600).backend_tokenizer.to_str())["model"]


def tiny_tokenizer() -> CLIPTokenizer:
    """`train_clip_tokenizer(CAPTIONS, 600)`, trained once. A copy of a `CLIPTokenizer` would decode differently."""
    tokenizer = CLIPTokenizer(vocab=dict(_words()["vocab"]), merges=[tuple(pair) for pair in _words()["merges"]])
    tokenizer.model_max_length = 77
    return tokenizer


def tiny_pipeline(encoder: str = "clip", steps: int = 5, max_frames: int = 40, **denoiser: Any) -> MDMPipeline:
    """An MDM pipeline of a few thousand weights, always the same."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    size = {"vocab_size": len(tokenizer), "num_hidden_layers": 1}
    if encoder == "clip":
        options = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "max_position_embeddings": 22}
        model = CLIPTextModel(CLIPTextConfig(**size, **options, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    elif encoder == "distilbert":
        model = DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer), dim=8, n_layers=1, n_heads=2, hidden_dim=16))
    else:
        model = T5EncoderModel(T5Config(vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2))
    if encoder != "clip":
        denoiser = {"arch": "trans_dec", "text_conditioning": "tokens", **denoiser}
    options = {"hidden_size": 16, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "text_dim": 8, **denoiser}
    return MDMPipeline(
        denoiser=MDMDenoiser(**options).eval(),
        text_encoder=model.eval(),
        tokenizer=tokenizer,
        scheduler=mdm_scheduler(steps),
        feature_extractor=MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263, max_frames=max_frames),
        max_text_tokens=22,
    )


def save_tiny_retrieval_model(folder: Path, kind: str, mean: float = 0.1, std: float = 0.5, **extractor: Any) -> Path:
    """A retrieval checkpoint of a few thousand weights (`"adaqf-extractors"`, `"t2m-evaluator"` or `"tmr"`), always the same."""
    torch.manual_seed(0)
    widths = {
        "adaqf-extractors": {"hidden_size": 8, "word_dim": 8, "dropout": 0.0},
        "t2m-evaluator": dict.fromkeys(_EVALUATOR_WIDTHS, 8),
        "tmr": {"hidden_size": 8, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 8},
    }
    text_model = {"vocab_size": 600, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2} if kind == "tmr" else None
    dim = MotionFeatureExtractor(**extractor).dim
    features = MotionFeatureExtractor(mean=[mean] * dim, std=[std] * dim, **extractor)
    model, tokenizer = new_retrieval_model(kind, CAPTIONS, {}, features, widths[kind], text_model)
    save_retrieval_checkpoint(folder, model, tokenizer, features)
    return folder


def seeded(seed: int = 0) -> torch.Generator:
    """A generator."""
    return torch.Generator().manual_seed(seed)


@made_once
def tiny_vq(**options: Any) -> MotionVQModel:
    """A motion tokenizer of a few thousand weights whose books have seen a few batches, always the same."""
    torch.manual_seed(0)
    model = MotionVQModel(MotionVQConfig(**{"hidden_size": 16, "code_dim": 8, "codebook_size": 32, **options}))
    model.train()
    for _ in range(3):
        model(torch.randn(8, 64, 263))
    return model.eval()


def tiny_generator(kind: str, **options: Any) -> TextMotionModel:
    """A T2M-GPT or a MoMask of a few thousand weights, with its processors, always the same."""
    size = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    tokenizer = tiny_tokenizer()
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    text = {"vocab_size": len(tokenizer), "num_hidden_layers": 1, "max_position_embeddings": 22, **ids, **size}
    config_class, model_class, special = {
        "t2m-gpt": (T2MGPTConfig, T2MGPT, {"max_tokens": 12}),
        "momask": (MoMaskConfig, MoMask, {"max_tokens": 12, "token_dim": 12}),
    }[kind]
    vq_model = tiny_vq(num_quantizers=3 if kind == "momask" else 1)
    torch.manual_seed(0)
    model = model_class(config_class(vq_model.config, text, **{"num_hidden_layers": 2, **special, **size, **options}), None, vq_model)
    model.tokenizer = tokenizer
    model.feature_extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263, max_frames=48)
    return model.eval()


def tiny_language_model(
    kind: str = "llama", format: str = "motion", quantizers: int = 1, tied: bool = True, context: int = 256, chat: bool = False
) -> MotionLanguageModel:
    """A motion language model of a few thousand weights (`"llama"` or `"t5"`), always the same."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 512
    if chat:
        tokenizer.chat_template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + ' ' }}{% endfor %}answer: "
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    if kind == "t5":
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
        config = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=ids["pad_token_id"], dropout_rate=0.0, **sizes, **ids)
        language_model: Any = T5ForConditionalGeneration(config)
        if not tied:
            language_model.lm_head.weight = torch.nn.Parameter(torch.randn(language_model.lm_head.weight.shape))
    else:
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=context, tie_word_embeddings=tied, **sizes, **ids)
        language_model = LlamaForCausalLM(config)
    extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263, max_frames=48)
    options = {"format": format, "max_tokens": 12, "generator": seeded()}
    return MotionLanguageModel.from_base(language_model, tokenizer, tiny_vq(num_quantizers=quantizers), None, extractor, **options)


@made_once
def tiny_h2vq(joints: str = "hands", **options: Any) -> MotionVQModel:
    """H2VQ of a few thousand weights whose books have seen a few batches, always the same: of whole bodies, or of 22 joints with arms."""
    torch.manual_seed(0)
    extractor = whole_body_extractor() if joints == "hands" else MotionFeatureExtractor()
    sizes = {"num_features": extractor.dim, "hidden_size": 16, "code_dim": 8, "codebook_size": 32, "position_weight": 0.0}
    hands = extractor.features.features_of(joints)
    model = MotionVQModel(MotionVQConfig(**{**sizes, "reconstruction_loss": "l2", "hand_features": hands, **options})).train()
    for _ in range(3):
        model(torch.randn(8, 64, extractor.dim))
    return model.eval()


def whole_body_extractor(**options: Any) -> MotionFeatureExtractor:
    """Features of 52 joints without rotations, with statistics, at most 48 frames."""
    options = {"representation": "humantomato", "skeleton": "smplx-52", "fps": 20, "max_frames": 48, **options}
    dim = MotionFeatureExtractor(**options).dim
    return MotionFeatureExtractor(mean=[0.1] * dim, std=[0.5] * dim, **options)


def whole_body_rows(path: Path, clips: int = 8, face: bool = False) -> Path:
    """A parquet file of captioned clips on 52 joints, real bodies with relaxed hands; with a face that nods on if wanted."""
    rows = pd.read_parquet(FIXTURES / "clips.parquet").head(clips)
    motions = [with_hands(Motion(np.stack(row.joints).reshape(row.n_frames, 22, 3), row.fps)) for row in rows.itertuples()]
    rows = rows.assign(joints=[motion.joints.reshape(-1) for motion in motions], skeleton="smplx-52", split="train")
    rows = rows.drop(columns=[name for name in ("features", "f_tag") if name in rows])
    if face:
        waves = [np.sin(np.arange(len(motion))[:, None] / 5 + np.arange(50)).astype(np.float32) for motion in motions]
        rows = rows.assign(face=[wave.reshape(-1) for wave in waves], face_kind="flame-50", face_text="a happy face")
        rows["face_names"] = [list(FACE_SETS["flame-50"])] * len(rows)
    rows.to_parquet(path)
    return path


def tiny_tomato(joints: str = "hands", body_strides: tuple[int, ...] = (2,), **options: Any) -> HumanTomatoGPT:
    """A hierarchical GPT of a few thousand weights, with its processors, always the same; at most eight steps."""
    size = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    tokenizer = tiny_tokenizer()
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    text = {"vocab_size": len(tokenizer), "num_hidden_layers": 1, "max_position_embeddings": 22, **ids, **size}
    vq_model = tiny_h2vq(joints, body_strides=list(body_strides))
    torch.manual_seed(0)
    config = HumanTomatoGPTConfig(vq_model.config, text, **{"num_hidden_layers": 2, "max_tokens": 8, **size, **options})
    model = HumanTomatoGPT(config, None, vq_model)
    model.tokenizer = tokenizer
    model.feature_extractor = whole_body_extractor(max_frames=32)
    if joints != "hands":
        model.feature_extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263, max_frames=32)
    return model.eval()


def tiny_face_model(**options: Any) -> FacialCVAE:
    """A facial cVAE of a few thousand weights, with its tokenizer, always the same; at most 32 frames."""
    tokenizer = train_clip_tokenizer([*CAPTIONS, "happily", "sadly", "a happy face"], 600)
    text = {"model_type": "distilbert", "vocab_size": len(tokenizer), "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    sizes = {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_frames": 32}
    torch.manual_seed(0)
    model = FacialCVAE(FacialCVAEConfig(text_config=text, **{**sizes, **options}))
    model.tokenizer = tokenizer
    return model.eval()
