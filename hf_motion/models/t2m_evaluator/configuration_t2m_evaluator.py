"""Configuration of `T2MEvaluator`."""

from __future__ import annotations

from typing import Any

from ..checked import CheckedConfig

_LOSSES = ("margin", "infonce")


class T2MEvaluatorConfig(CheckedConfig):
    """Sizes and loss of `T2MEvaluator`. Defaults are those published for HumanML3D; KIT-ML differs in `num_features=251`.

    Args:
        num_features (`int`, defaults to 263): Width of a frame, foot contacts included.
        num_contacts (`int`, defaults to 4): Foot contacts, the last numbers of a frame, which are not looked at.
        max_frames (`int`, defaults to 196): The longest clip, a multiple of 4. Shorter ones see zeros, the mean, behind their end.
        movement_hidden_size (`int`, defaults to 512): Width inside the movement encoder.
        movement_size (`int`, defaults to 512): Width of what it gives, one vector for every four frames.
        motion_hidden_size (`int`, defaults to 1024): Width of the motion encoder's GRU.
        text_hidden_size (`int`, defaults to 512): Width of the text encoder's GRU.
        embed_dim (`int`, defaults to 512): Width of the embeddings.
        vocab_size (`int`, defaults to 4199): Words.
        word_dim (`int`, defaults to 300): Width of the word vectors.
        num_pos_classes (`int`, defaults to 15): Parts of speech.
        dropout (`float`, defaults to 0.2): Dropout of a movement encoder that trains.
        freeze_movement_encoder (`bool`, defaults to `False`): Leave the movement encoder as it was loaded, without dropout; the published
            recipe does, after training it as an autoencoder.
        freeze_word_embeddings (`bool`, defaults to `True`): Leave the word vectors as they were loaded; for GloVe. Without pretrained
            vectors, set it to `False`.
        loss (`str`, defaults to `"margin"`): `"margin"` as published, or `"infonce"`, which tells each pair from all others of its batch.
        negative_margin (`float`, defaults to 10.0): Distance that `"margin"` wants between texts and wrong motions.
        published_negatives (`bool`, defaults to `False`): Draw the shift that makes negatives for `"margin"` as published, from 0 to
            batch - 2. A shift of 0 pushes pairs apart that belong together; by default it is drawn from 1 to batch - 1.
        distance_temperature (`float`, defaults to 1.0): `"infonce"` divides squared distances by it.

    Raises:
        ValueError: If the loss is unknown or a size does not fit.
    """

    model_type = "t2m-evaluator"
    similarity = "euclidean"
    """How embeddings are compared."""

    def __init__(
        self,
        num_features: int = 263,
        num_contacts: int = 4,
        max_frames: int = 196,
        movement_hidden_size: int = 512,
        movement_size: int = 512,
        motion_hidden_size: int = 1024,
        text_hidden_size: int = 512,
        embed_dim: int = 512,
        vocab_size: int = 4199,
        word_dim: int = 300,
        num_pos_classes: int = 15,
        dropout: float = 0.2,
        freeze_movement_encoder: bool = False,
        freeze_word_embeddings: bool = True,
        loss: str = "margin",
        negative_margin: float = 10.0,
        published_negatives: bool = False,
        distance_temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if loss not in _LOSSES:
            raise ValueError(f"loss must be one of {', '.join(map(repr, _LOSSES))}, got {loss!r}.")
        if max_frames < 4 or max_frames % 4:
            raise ValueError(f"max_frames must be a multiple of 4, the frames of one movement, got {max_frames}.")
        if not 0 <= num_contacts < num_features:
            raise ValueError(f"num_contacts must be at least 0 and less than num_features={num_features}, got {num_contacts}.")
        if distance_temperature <= 0:
            raise ValueError(f"distance_temperature must be positive, got {distance_temperature}.")
        self.num_features = num_features
        self.num_contacts = num_contacts
        self.max_frames = max_frames
        self.movement_hidden_size = movement_hidden_size
        self.movement_size = movement_size
        self.motion_hidden_size = motion_hidden_size
        self.text_hidden_size = text_hidden_size
        self.embed_dim = embed_dim
        self.vocab_size = vocab_size
        self.word_dim = word_dim
        self.num_pos_classes = num_pos_classes
        self.dropout = dropout
        self.freeze_movement_encoder = freeze_movement_encoder
        self.freeze_word_embeddings = freeze_word_embeddings
        self.loss = loss
        self.negative_margin = negative_margin
        self.published_negatives = published_negatives
        self.distance_temperature = distance_temperature
        super().__init__(**kwargs)
