"""Tiny real pipelines, made on the spot."""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import CLIPTextConfig, CLIPTextModel, DistilBertConfig, DistilBertModel, T5Config, T5EncoderModel

from hf_motion import MDMDenoiser, MDMPipeline, MotionFeatureExtractor
from hf_motion.trainers.new_pipeline import mdm_scheduler, train_clip_tokenizer

FIXTURES = Path(__file__).parent / "fixtures"
CAPTIONS = [caption["text"] for row in pd.read_parquet(FIXTURES / "clips.parquet").itertuples() for caption in row.captions]


def tiny_pipeline(encoder: str = "clip", steps: int = 5, max_frames: int = 40, **denoiser: Any) -> MDMPipeline:
    """An MDM pipeline of a few thousand weights, always the same."""
    torch.manual_seed(0)
    tokenizer = train_clip_tokenizer(CAPTIONS, 600)
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


def seeded(seed: int = 0) -> torch.Generator:
    """A generator."""
    return torch.Generator().manual_seed(seed)
