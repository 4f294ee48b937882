"""Configuration of `MotionVQModel`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..checked import CheckedConfig

RECONSTRUCTION_LOSSES = {"smooth_l1": "smooth_l1_loss", "l1": "l1_loss", "l2": "mse_loss"}
"""By name, the functions in `torch.nn.functional`."""


class MotionVQConfig(CheckedConfig):
    """Sizes and losses of `MotionVQModel`. The defaults are T2M-GPT's; MoMask's, CigTime's and HumanTOMATO's differ by values only.

    Args:
        num_features (`int`, defaults to 263): Width of a frame.
        hidden_size (`int`, defaults to 512): Channels of the convolutions.
        code_dim (`int`, defaults to 512): Width of a code.
        codebook_size (`int`, defaults to 512): Codes per book.
        num_quantizers (`int`, defaults to 1): Books: 1 quantises, more quantise residuals (MoMask: 6).
        shared_codebook (`bool`, defaults to `False`): One book does for all quantizers.
        strides (`list[int]`, defaults to `[2, 2]`): How much each stage shortens time, each 1 or 2; their product is the frames per token.
        residual_depth (`int`, defaults to 3): Residual blocks per stage; dilations are powers of `dilation_growth`, the largest first.
        dilation_growth (`int`, defaults to 3): See above.
        dropout (`float`, defaults to 0.0): In residual blocks (MoMask: 0.2).
        ema_decay (`float`, defaults to 0.99): Decay of the codebook's moving averages.
        reset_threshold (`float`, defaults to 1.0): A code that stands for fewer latents per batch is replaced.
        quantize_dropout (`float`, defaults to 0.0): Probability of leaving out the last books in training (MoMask: 0.2).
        sample_temperature (`float`, defaults to 0.0): Temperature of drawing codes in training (MoMask: 0.5); 0 takes the nearest.
        reconstruction_loss (`str`, defaults to `"smooth_l1"`): Or `"l1"`, or `"l2"` (CigTime, equation 7).
        commitment_weight (`float`, defaults to 0.02): Weight of the commitment loss.
        position_weight (`float`, defaults to 0.5): Weight of the extra loss on joint positions. Published as a loss on velocities.
        position_slice (`list[int]`, *optional*, defaults to `[4, 67]`): Where joint positions are in the features; `[4, 64]` for KIT-ML.
        hand_features (`list[int]`, *optional*): Makes two streams of codes (HumanTOMATO's H2VQ): features that the hands' encoder reads,
            or whatever joints shall have a book of their own, such as arms on 22 joints; see
            `HumanML3DRepresentation.features_of`. The body's encoder reads the others. `strides` are then the hands', and
            `num_quantizers` is 2, one book for each stream.
        body_strides (`list[int]`, *optional*): With `hand_features`, the body's strides, `[2]` by default: two codes for each of the
            hands (appendix B.2). The same as `strides` gives one for one (equation 2).

    Raises:
        ValueError: If a number is out of its range, the loss is unknown, or the streams do not fit together.
    """

    model_type = "motion-vq"

    def __init__(
        self,
        num_features: int = 263,
        hidden_size: int = 512,
        code_dim: int = 512,
        codebook_size: int = 512,
        num_quantizers: int = 1,
        shared_codebook: bool = False,
        strides: Sequence[int] = (2, 2),
        residual_depth: int = 3,
        dilation_growth: int = 3,
        dropout: float = 0.0,
        ema_decay: float = 0.99,
        reset_threshold: float = 1.0,
        quantize_dropout: float = 0.0,
        sample_temperature: float = 0.0,
        reconstruction_loss: str = "smooth_l1",
        commitment_weight: float = 0.02,
        position_weight: float = 0.5,
        position_slice: Sequence[int] | None = (4, 67),
        hand_features: Sequence[int] | None = None,
        body_strides: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        sizes = {"num_features": num_features, "hidden_size": hidden_size, "code_dim": code_dim, "codebook_size": codebook_size,
                 "num_quantizers": num_quantizers, "residual_depth": residual_depth, "dilation_growth": dilation_growth}  # fmt: skip
        shares = {"dropout": dropout, "ema_decay": ema_decay, "quantize_dropout": quantize_dropout}
        _check_ranges(sizes, {"strides": strides, "body_strides": body_strides}, shares)
        if hand_features is not None:
            body_strides = [2] if body_strides is None else body_strides
            num_quantizers = _checked_streams(hand_features, num_features, strides, body_strides, num_quantizers)
            if shared_codebook or quantize_dropout:
                raise ValueError("shared_codebook and quantize_dropout are for residual books; leave them out with hand_features.")
        elif body_strides is not None:
            raise ValueError(f"body_strides={list(body_strides)} are the body's beside hand_features; without these give strides.")
        _check_losses(reconstruction_loss, position_weight, position_slice, num_features)
        self.num_features = num_features
        self.hidden_size = hidden_size
        self.code_dim = code_dim
        self.codebook_size = codebook_size
        self.num_quantizers = num_quantizers
        self.shared_codebook = shared_codebook
        self.strides = list(strides)
        self.residual_depth = residual_depth
        self.dilation_growth = dilation_growth
        self.dropout = dropout
        self.ema_decay = ema_decay
        self.reset_threshold = reset_threshold
        self.quantize_dropout = quantize_dropout
        self.sample_temperature = sample_temperature
        self.reconstruction_loss = reconstruction_loss
        self.commitment_weight = commitment_weight
        self.position_weight = position_weight
        self.position_slice = list(position_slice) if position_slice is not None else None
        self.hand_features = list(map(int, hand_features)) if hand_features is not None else None
        self.body_strides = list(body_strides) if body_strides is not None else None
        super().__init__(**kwargs)

    @property
    def frames_per_token(self) -> int:
        """How many frames one token stands for."""
        return prod(self.strides)

    @property
    def body_codes(self) -> int:
        """Codes of the body for each of the hands; 1 where there is one stream."""
        return 1 if self.body_strides is None else self.frames_per_token // prod(self.body_strides)

    @property
    def step_books(self) -> list[int]:
        """The book of each code of a step, in order: the body's is 0 and the hands' 1 where there are two streams."""
        return list(range(self.num_quantizers)) if self.hand_features is None else [0] * self.body_codes + [1]


def _check_ranges(sizes: dict[str, int], strides: dict[str, Sequence[int] | None], shares: dict[str, float]) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}.")
    for name, values in strides.items():
        if values is not None and (not values or not set(values) <= {1, 2}):
            raise ValueError(f"{name} must be a list of 1 and 2, got {list(values)}.")
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be in [0, 1), got {share}.")


def _check_losses(reconstruction_loss: str, position_weight: float, position_slice: Sequence[int] | None, num_features: int) -> None:
    if reconstruction_loss not in RECONSTRUCTION_LOSSES:
        allowed = ", ".join(map(repr, RECONSTRUCTION_LOSSES))
        raise ValueError(f"reconstruction_loss must be one of {allowed}, got {reconstruction_loss!r}.")
    if position_weight and (position_slice is None or not 0 <= position_slice[0] < position_slice[1] <= num_features):
        raise ValueError(
            f"position_slice must lie within the {num_features} features, got {position_slice}. Set position_weight=0 where there "
            "are no positions."
        )


def _checked_streams(
    hand_features: Sequence[int], num_features: int, strides: Sequence[int], body_strides: Sequence[int], num_quantizers: int
) -> int:
    """Number of books of two streams that fit together."""
    chosen = set(hand_features)
    if not 0 < len(chosen) < num_features or not chosen <= set(range(num_features)) or len(chosen) < len(hand_features):
        raise ValueError(
            f"hand_features must be some of the {num_features} features, each once, and leave some to the body; got {len(hand_features)}, "
            f"from {min(chosen, default=None)} to {max(chosen, default=None)}. Are they of another skeleton?"
        )
    if prod(strides) % prod(body_strides):
        raise ValueError(
            f"strides={list(strides)} shorten the hands' stream {prod(strides)} times, which must be a multiple of the body's "
            f"{prod(body_strides)} (body_strides={list(body_strides)})."
        )
    if num_quantizers not in (1, 2):
        raise ValueError(f"With hand_features there is one book for each of the two streams, got num_quantizers={num_quantizers}.")
    return 2
