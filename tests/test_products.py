"""The way that products of few rows take is chosen, gives the same numbers, and is given back."""

import pytest
import torch
from tiny import seeded, tiny_generator

from hf_motion.nn.products import quick_products


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [((1, 1, 8), torch.bfloat16, False), ((2, 1, 8), torch.bfloat16, False), ((1, 3, 8), torch.bfloat16, True),
     ((1, 1, 8), torch.float32, True)],
)  # fmt: skip
def test_only_few_rows_in_bfloat16(shape: tuple[int, ...], dtype: torch.dtype, expected: bool) -> None:
    before = torch.backends.mkldnn.enabled
    with quick_products(torch.zeros(shape, dtype=dtype)):
        assert torch.backends.mkldnn.enabled == (before and expected)
    assert torch.backends.mkldnn.enabled == before


def test_errors_leave_the_switch_as_it_was() -> None:
    before = torch.backends.mkldnn.enabled
    with pytest.raises(RuntimeError, match="shapes"), quick_products(torch.zeros(1, 1, 8, dtype=torch.bfloat16)):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert torch.backends.mkldnn.enabled == before


def test_logits_agree() -> None:
    """A single motion in bf16 takes one way, three of them the other; rounding is all that tells them apart."""
    model = tiny_generator("t2m-gpt").to(torch.bfloat16)
    ids = torch.cat((torch.tensor([[model.config.bos_token_id]]), torch.randint(32, (1, 7), generator=seeded())), dim=1)
    text = model.encode_texts(["a person walks"])
    single = [model(ids[:, :1], text).logits[0, -1], model(ids, text).logits[0, 0]]
    several = model(ids[:, :1].expand(3, -1), text.expand(3, -1)).logits[1, -1]
    for logits in single:
        torch.testing.assert_close(logits.float(), several.float(), atol=0.02, rtol=0.02)
