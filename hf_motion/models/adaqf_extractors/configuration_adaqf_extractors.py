"""Configuration of `AdaQFExtractors`."""

from __future__ import annotations

from typing import Any

from ..checked import CheckedConfig


class AdaQFExtractorsConfig(CheckedConfig):
    """Sizes and loss of `AdaQFExtractors`. The paper gives no sizes; defaults are those of the evaluator of Guo et al. where it has them.

    Args:
        num_features (`int`, defaults to 263): Width of a frame.
        hidden_size (`int`, defaults to 512): Width of both GRUs.
        bidirectional (`bool`, defaults to `True`): Read both ways, as Guo et al. do; an embedding is then twice `hidden_size` wide.
        downsample (`bool`, defaults to `True`): Make one vector of every four frames first, as Guo et al. do; otherwise the GRU reads
            frames.
        vocab_size (`int`, defaults to 4199): Tokens of whatever tokenizer is used.
        word_dim (`int`, defaults to 300): Width of the token vectors, which are trained.
        num_pos_classes (`int`, defaults to 0): Parts of speech that are read beside the tokens, 15 for `WordPosTokenizer`; with 0 they are
            ignored.
        dropout (`float`, defaults to 0.1): Dropout of token vectors and of the convolutions.
        temperature_init (`float`, defaults to 0.07): The temperature tau of eq. 2, or where it starts.
        learn_temperature (`bool`, defaults to `False`): Train the temperature, kept at 0.01 or more as CLIP's.
        cosine_weight (`float`, defaults to 1.0): Weight of the cosine term of eq. 2.

    Raises:
        ValueError: If a number is out of its range.
    """

    model_type = "adaqf-extractors"
    similarity = "cosine"
    """How embeddings are compared."""

    def __init__(
        self,
        num_features: int = 263,
        hidden_size: int = 512,
        bidirectional: bool = True,
        downsample: bool = True,
        vocab_size: int = 4199,
        word_dim: int = 300,
        num_pos_classes: int = 0,
        dropout: float = 0.1,
        temperature_init: float = 0.07,
        learn_temperature: bool = False,
        cosine_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if temperature_init <= 0:
            raise ValueError(f"temperature_init must be positive, got {temperature_init}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}.")
        if cosine_weight < 0:
            raise ValueError(f"cosine_weight must be at least 0, got {cosine_weight}.")
        self.num_features = num_features
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.downsample = downsample
        self.vocab_size = vocab_size
        self.word_dim = word_dim
        self.num_pos_classes = num_pos_classes
        self.dropout = dropout
        self.temperature_init = temperature_init
        self.learn_temperature = learn_temperature
        self.cosine_weight = cosine_weight
        super().__init__(**kwargs)

    @property
    def embed_dim(self) -> int:
        """Width of the embeddings."""
        return self.hidden_size * (1 + self.bidirectional)
