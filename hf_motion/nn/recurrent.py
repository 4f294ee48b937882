"""A sequence as the last states of a GRU, whatever its padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from transformers import initialization as init

_EMBEDDING_STD = 0.4


class RecurrentEncoder(nn.Module):
    """A linear layer, then a GRU that starts from learned states; the embedding is its last states (Guo et al., CVPR 2022).

    Args:
        input_size (`int`): Width of the sequence.
        hidden_size (`int`): Width of the GRU and of its input.
        bidirectional (`bool`, defaults to `True`): Also read backwards.
    """

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool = True) -> None:
        super().__init__()
        self.input_projection = nn.Linear(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True, bidirectional=bidirectional)
        self.initial_state = nn.Parameter(torch.randn(1 + bidirectional, 1, hidden_size))
        self.output_size = hidden_size * (1 + bidirectional)

    def forward(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """Read each row up to its length.

        Args:
            sequence (`torch.Tensor`): (batch, steps, input_size).
            lengths (`torch.Tensor`): (batch,) real steps, which come first; at least one each.

        Returns:
            `torch.Tensor`: (batch, output_size), in the caller's order; forward state, then backward state.

        Raises:
            ValueError: If a row has no step.
        """
        lengths = lengths.cpu()
        if (lengths < 1).any():
            raise ValueError(f"Row {int(lengths.argmin())} is empty; every row needs at least one real step.")
        packed = pack_padded_sequence(self.input_projection(sequence), lengths, batch_first=True, enforce_sorted=False)
        # cuDNN keeps what the backward pass needs in training mode only; a GRU without dropout does not differ otherwise.
        self.gru.train(torch.is_grad_enabled())
        _, states = self.gru(packed, self.initial_state.expand(-1, len(sequence), -1).contiguous())
        return torch.cat(tuple(states), dim=-1)


def real_lengths(mask: Tensor | None, like: Tensor, name: str = "attention_mask") -> Tensor:
    """How many steps of each row are real.

    Args:
        mask (`torch.Tensor`, *optional*): (batch, steps), 1 on real steps, which come first. Without one all are real.
        like (`torch.Tensor`): What it masks, (batch, steps, ...).
        name (`str`, defaults to `"attention_mask"`): What errors call it.

    Returns:
        `torch.Tensor`: (batch,) int64.

    Raises:
        ValueError: If the shape is wrong, or padding comes before a real step.
    """
    if mask is None:
        return torch.full(like.shape[:1], like.shape[1], device=like.device)
    if mask.shape != like.shape[:2]:
        raise ValueError(f"{name} must be {tuple(like.shape[:2])}, (batch, steps) of what it masks, got shape {tuple(mask.shape)}.")
    mask = mask.bool()
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise ValueError(f"{name} must be 1 on the first steps of each row and 0 behind them. Pad on the right.")
    return mask.sum(1)


def init_recurrent_weights(module: nn.Module) -> None:
    """Draw the weights of one module as Guo et al. do: Xavier for layers, PyTorch's own for the GRU, N(0, 1) for its first states.

    For `PreTrainedModel._init_weights`: weights that were loaded stay as they are. Word vectors are drawn as wide as GloVe's.
    """
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        init.xavier_normal_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        init.normal_(module.weight, std=_EMBEDDING_STD)
    elif isinstance(module, nn.GRU):
        for parameter in module.parameters():
            init.uniform_(parameter, -(module.hidden_size**-0.5), module.hidden_size**-0.5)
    elif isinstance(module, RecurrentEncoder):
        init.normal_(module.initial_state)
