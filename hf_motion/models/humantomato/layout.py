"""In which order the codes of body and hands are written, and what may follow what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessor

LAYOUTS = ("steps", "streams")
"""Names of the orders, see `TokenLayout`."""

_BODY, _BODY_OR_END, _BODY_END, _HAND, _HAND_END = range(5)


@dataclass(frozen=True)
class TokenLayout:
    """Codes of two streams as one sequence of token ids, and back.

    Ids: the body's codes are their own numbers and its end is `codebook_size`; the hands' codes follow, and their end.

    | `kind` | a motion of two steps | source |
    |---|---|---|
    | `"steps"` | body, body, hand, body, body, hand, body's end, hands' end | section 2.3: the body's and then the hands' at each step |
    | `"streams"` | body, body, body, body, body's end, hand, hand, hands' end | appendix B.3: "simply concat the tokens" |

    With one code of the body for each of the hands, `"steps"` is equation 2. In both a motion of n steps has
    `n * (body_codes + 1) + 2` tokens: 149 for 196 frames as published.

    Args:
        kind (`str`): `"steps"` or `"streams"`.
        codebook_size (`int`): Codes of each book.
        body_codes (`int`): Codes of the body for each of the hands.

    Example:
        >>> import torch
        >>> layout = TokenLayout("steps", codebook_size=10, body_codes=2)
        >>> layout.write(torch.tensor([[1, 2], [3, 4], [5, 6]])).tolist()
        [1, 3, 16, 2, 4, 17, 10, 21]
        >>> layout.read([1, 3, 16, 2, 4, 17, 10, 21]).tolist()
        [[1, 2], [3, 4], [5, 6]]
    """

    kind: str
    codebook_size: int
    body_codes: int

    @property
    def body_end(self) -> int:
        """Id of the end of the body's stream."""
        return self.codebook_size

    @property
    def hand_end(self) -> int:
        """Id of the end of the hands' stream, the last of a motion."""
        return 2 * self.codebook_size + 1

    def count(self, steps: int) -> int:
        """Tokens of a motion of that many steps."""
        return steps * (self.body_codes + 1) + 2

    def write(self, codes: Tensor) -> Tensor:
        """Codes (body_codes + 1, steps), as from `MotionVQModel.encode`, to ids (tokens,)."""
        body, hands = codes[:-1].T, codes[-1:].T + self.codebook_size + 1
        ends = torch.tensor([self.body_end, self.hand_end], device=codes.device)
        if self.kind == "steps":
            return torch.cat((torch.cat((body, hands), dim=1).flatten(), ends))
        return torch.cat((body.flatten(), ends[:1], hands.flatten(), ends[1:]))

    def read(self, ids: Sequence[int] | Tensor) -> Tensor:
        """Ids (tokens,) to codes (body_codes + 1, steps).

        Args:
            ids (`list[int]` or `torch.Tensor`): A whole motion, its ends included; what follows the last end is not read.

        Raises:
            ValueError: If they are not written in this layout.
        """
        row = torch.as_tensor(ids)
        whole = (row == self.hand_end).nonzero()
        row = row[: int(whole[0]) + 1] if len(whole) else row
        body, hands = row[row < self.body_end], row[(row > self.body_end) & (row < self.hand_end)] - self.codebook_size - 1
        if len(hands) and len(body) == self.body_codes * len(hands):
            codes = torch.cat((body.reshape(-1, self.body_codes).T, hands[None]))
            if torch.equal(self.write(codes), row):
                return codes
        raise ValueError(
            f"These {len(row)} tokens are no motion in the layout {self.kind!r} with {self.body_codes} codes of the body a step: they have "
            f"{len(body)} of the body and {len(hands)} of the hands, or stand in another order."
        )

    def books(self, ids: Tensor) -> Tensor:
        """The first id of the book that each id (tokens,) is of, -1 for an end."""
        is_end = (ids == self.body_end) | (ids == self.hand_end)
        return torch.where(ids > self.body_end, self.body_end + 1, 0).masked_fill(is_end, -1)

    def processor(self, max_steps: int, counts: Sequence[int] | None = None) -> LayoutLogitsProcessor:
        """See `LayoutLogitsProcessor`."""
        return LayoutLogitsProcessor(self, max_steps, counts)


class LayoutLogitsProcessor(LogitsProcessor):
    """Forbids every token that would leave the layout, so that what is generated can always be read.

    Args:
        layout (`TokenLayout`): The order.
        max_steps (`int`): Longest motion.
        counts (`list[int]`, *optional*): Steps that each row shall have; by default it ends where it wants to, after at least one.
        prompt (`int`, defaults to 1): Ids before the first token: the place of the text.
    """

    def __init__(self, layout: TokenLayout, max_steps: int, counts: Sequence[int] | None = None, prompt: int = 1) -> None:
        self.layout, self.max_steps, self.counts, self.prompt = layout, max_steps, counts, prompt
        size = layout.codebook_size
        allowed = torch.zeros(5, 2 * size + 2, dtype=torch.bool)
        allowed[_BODY, :size] = allowed[_BODY_OR_END, : size + 1] = True
        allowed[_HAND, size + 1 : -1] = True
        allowed[_BODY_END, layout.body_end] = allowed[_HAND_END, layout.hand_end] = True
        self.table = allowed

    def allowed(self, input_ids: Tensor) -> Tensor:
        """Which tokens may follow, (rows, tokens) bool, of ids (rows, prompt and tokens so far)."""
        layout, made = self.layout, input_ids[:, self.prompt :]
        count = made.shape[1]
        is_end = made == layout.body_end
        ended = is_end.any(1)
        # Of a row that has ended, how many tokens there are before its body's end; of another, how many there are.
        before_end = torch.where(is_end.cumsum(1) > 0, 0, 1).sum(1)
        width = layout.body_codes + 1 if layout.kind == "steps" else layout.body_codes
        steps, place = before_end // width, before_end % width
        kinds = torch.where(place < layout.body_codes, _BODY, _HAND)
        wanted = steps.new_tensor(self.counts) if self.counts is not None else None
        may_end = (steps >= 1) if wanted is None else (steps >= wanted)
        must_end = (steps >= self.max_steps) if wanted is None else may_end
        at_start = place == 0
        kinds = torch.where(at_start & may_end, _BODY_OR_END, kinds)
        kinds = torch.where(at_start & must_end, _BODY_END, kinds)
        hands = count - before_end - 1 if layout.kind == "streams" else steps
        kinds = torch.where(ended, torch.where(hands < steps, _HAND, _HAND_END), kinds)
        return self.table.to(input_ids.device)[kinds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, tokens) logits, those of what must not follow at minus infinity."""
        return scores.masked_fill(~self.allowed(input_ids), -torch.inf)
