"""Configuration of `FacialCVAE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.configuration_utils import PreTrainedConfig

from ...face import FACE_SETS
from ...motion import check_fps
from ..checked import CheckedConfig
from ..tmr.configuration_tmr import text_model_config


class FacialCVAEConfig(CheckedConfig):
    """Sizes, text model, statistics and loss of `FacialCVAE`; layers and weights are the published ones (appendix B.4).

    Args:
        face_kind (`str`, defaults to `"flame-50"`): Coefficients, a key of `hf_motion.face.FACE_SETS`; the paper's are 50 of FLAME.
        fps (`float`, defaults to 20.0): Frames per second of the faces.
        max_frames (`int`, defaults to 196): Longest face.
        mean (`list[float]`, *optional*): Mean of each coefficient in the training data. Without it they are not shifted.
        std (`list[float]`, *optional*): Standard deviations, all positive. Without them coefficients are not scaled.
        hidden_size (`int`, defaults to 256): Width of the transformers and of the latents. Even. The paper does not say; TEMOS's.
        num_layers (`int`, defaults to 6): Blocks of each encoder and of the decoder.
        num_attention_heads (`int`, defaults to 4): Heads; must divide `hidden_size`.
        intermediate_size (`int`, defaults to 1024): Width of the feed-forward layers.
        dropout (`float`, defaults to 0.1): Dropout, in [0, 1).
        text_config (`PreTrainedConfig` or `dict`, *optional*): The text model's under the text encoder, DistilBERT's by default.
        freeze_text_model (`bool`, defaults to `True`): Keep the text model as it is.
        kl_weight (`float`, defaults to 1e-5): Weight of the four divergences, lambda 1.
        latent_weight (`float`, defaults to 1e-5): Weight of the distance of the latents, lambda 2.
        contrastive_weight (`float`, defaults to 0.0): Weight of InfoNCE between faces and texts. HumanTOMATO has none; above 0 the model
            learns to tell faces apart, and can judge others (`hf_motion.evaluation.faces`).
        contrastive_temperature (`float`, defaults to 0.1): Its temperature.
        **kwargs: Options of every configuration.

    Raises:
        ValueError: If the kind is unknown, an option is out of range, or the statistics do not fit the coefficients.
    """

    model_type = "facial-cvae"
    sub_configs = {"text_config": PreTrainedConfig}

    def __init__(
        self,
        face_kind: str = "flame-50",
        fps: float = 20.0,
        max_frames: int = 196,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        hidden_size: int = 256,
        num_layers: int = 6,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        freeze_text_model: bool = True,
        kl_weight: float = 1e-5,
        latent_weight: float = 1e-5,
        contrastive_weight: float = 0.0,
        contrastive_temperature: float = 0.1,
        **kwargs: Any,
    ) -> None:
        if face_kind not in FACE_SETS:
            raise ValueError(f"face_kind must be one of {', '.join(map(repr, FACE_SETS))}, got {face_kind!r}.")
        if hidden_size % 2 or hidden_size % num_attention_heads:
            raise ValueError(f"hidden_size={hidden_size} must be even and divisible by num_attention_heads={num_attention_heads}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}.")
        if max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, got {max_frames}.")
        count = len(FACE_SETS[face_kind])
        for name, values in (("mean", mean), ("std", std)):
            if values is not None and (len(values) != count or not np.isfinite(values).all() or (name == "std" and min(values) <= 0)):
                raise ValueError(f"{name} must be {count} numbers, one for each coefficient of {face_kind}; a std is positive.")
        self.face_kind = face_kind
        self.fps = check_fps(fps)
        self.max_frames = max_frames
        self.mean = None if mean is None else [float(value) for value in mean]
        self.std = None if std is None else [float(value) for value in std]
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.text_config = text_model_config(text_config)
        self.freeze_text_model = freeze_text_model
        self.kl_weight = kl_weight
        self.latent_weight = latent_weight
        self.contrastive_weight = contrastive_weight
        self.contrastive_temperature = contrastive_temperature
        super().__init__(**kwargs)

    @property
    def num_features(self) -> int:
        """Coefficients of a frame."""
        return len(FACE_SETS[self.face_kind])
