"""Configuration of `TMR`."""

from __future__ import annotations

from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..checked import CheckedConfig


class TMRConfig(CheckedConfig):
    """Sizes, text model and loss of `TMR`; the defaults are the published ones.

    Args:
        num_features (`int`, defaults to 263): Width of a motion frame.
        hidden_size (`int`, defaults to 256): Width of the transformers and of the embeddings. Even.
        num_layers (`int`, defaults to 6): Blocks of each of the two encoders and of the decoder. HumanTOMATO's has 4.
        num_attention_heads (`int`, defaults to 4): Heads; must divide `hidden_size`.
        intermediate_size (`int`, defaults to 1024): Width of the feed-forward layers.
        dropout (`float`, defaults to 0.1): Dropout, in [0, 1).
        text_config (`PreTrainedConfig` or `dict`, *optional*): The text model under the text encoder: any transformers encoder whose tokens
            have a `hidden_size`; a dictionary names its `model_type`. DistilBERT's by default.
        freeze_text_model (`bool`, defaults to `True`): Keep the text model as it is, in evaluation mode too.
        reconstruction_weight (`float`, defaults to 1.0): Weight of the motions decoded from either latent.
        kl_weight (`float`, defaults to 1e-5): Weight of the Kullback-Leibler divergences.
        latent_weight (`float`, defaults to 1e-5): Weight of the distance between the two latents.
        contrastive_weight (`float`, defaults to 0.1): Weight of InfoNCE.
        noise_scale (`float`, defaults to 1.0): Standard deviations of noise that latents get while training; 0 trains on the means (`fact`
            and `sample_mean` in the published code).
        contrastive_temperature (`float`, defaults to 0.1): Temperature of InfoNCE.
        similarity (`str`, defaults to `"cosine"`): How embeddings compare; nothing else is possible.
        **kwargs: Options of every configuration.

    Raises:
        ValueError: If an option is out of range, or the text model is unknown or has no `hidden_size`.

    Example:
        >>> from hf_motion.models.tmr.configuration_tmr import TMRConfig
        >>> TMRConfig(text_config={"model_type": "bert", "hidden_size": 384}).text_config.hidden_size
        384
    """

    model_type = "tmr"
    sub_configs = {"text_config": PreTrainedConfig}

    def __init__(
        self,
        num_features: int = 263,
        hidden_size: int = 256,
        num_layers: int = 6,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        freeze_text_model: bool = True,
        reconstruction_weight: float = 1.0,
        kl_weight: float = 1e-5,
        latent_weight: float = 1e-5,
        contrastive_weight: float = 0.1,
        noise_scale: float = 1.0,
        contrastive_temperature: float = 0.1,
        similarity: str = "cosine",
        **kwargs: Any,
    ) -> None:
        if hidden_size % 2 or hidden_size % num_attention_heads:
            raise ValueError(f"hidden_size={hidden_size} must be even and divisible by num_attention_heads={num_attention_heads}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}.")
        if contrastive_temperature <= 0:
            raise ValueError(f"contrastive_temperature must be positive, got {contrastive_temperature}.")
        if noise_scale < 0:
            raise ValueError(f"noise_scale must not be negative, got {noise_scale}.")
        if similarity != "cosine":
            raise ValueError(f"similarity must be 'cosine', which InfoNCE trains, got {similarity!r}.")
        self.num_features = num_features
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.text_config = text_model_config(text_config)
        self.freeze_text_model = freeze_text_model
        self.reconstruction_weight = reconstruction_weight
        self.kl_weight = kl_weight
        self.latent_weight = latent_weight
        self.contrastive_weight = contrastive_weight
        self.noise_scale = noise_scale
        self.contrastive_temperature = contrastive_temperature
        self.similarity = similarity
        super().__init__(**kwargs)


def text_model_config(value: PreTrainedConfig | dict[str, Any] | None) -> PreTrainedConfig:
    """The configuration of one text model, DistilBERT's by default; a dictionary names its `model_type`.

    Raises:
        ValueError: If the text model is unknown or has no `hidden_size`.
    """
    # Here rather than above, since this module is imported in order to be put into that very registry.
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if not isinstance(value, PreTrainedConfig):
        options = dict(value or {})
        model_type = options.pop("model_type", "distilbert")
        if model_type not in CONFIG_MAPPING:
            raise ValueError(f"text_config names model_type {model_type!r}, which transformers does not know; 'distilbert' is one it does.")
        value = CONFIG_MAPPING[model_type](**options)
    if not isinstance(getattr(value, "hidden_size", None), int):
        raise ValueError(
            f"{type(value).__name__} has no hidden_size, so it is not the configuration of one text model. "
            "Pass that of an encoder; of a CLIP model its text_config."
        )
    return value
