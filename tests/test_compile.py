"""Compiled pipelines: the same motions, and no compilation for sizes that have had one."""

from typing import Any

import pytest
import torch
from tiny import seeded, tiny_pipeline
from tiny_latent import tiny_mld, tiny_salad

from hf_motion.pipelines.buckets import Buckets, as_buckets


class Compiler:
    """A backend of `torch.compile` that counts what it is given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Any:
        self.graphs += 1
        return graph.forward


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mdm", "mld", "salad"])
def test_one_compilation_serves_many_sizes(kind: str) -> None:
    torch._dynamo.reset()
    make = {"mdm": lambda: tiny_pipeline("distilbert", steps=3), "mld": tiny_mld, "salad": tiny_salad}[kind]
    plain, pipe, compiler = make(), make(), Compiler()
    assert pipe.compile(frames=[20, 40], rows=[1, 4], backend=compiler) is pipe
    for one in (plain, pipe):
        one.set_progress_bar_config(disable=True)

    def same(prompts: list[str], frames: list[int]) -> None:
        expected, made = (one(prompts, frames, generator=seeded(), output_type="features").motions for one in (plain, pipe))
        for clip, other in zip(made, expected, strict=True):
            torch.testing.assert_close(clip, other, atol=1e-4, rtol=1e-4)

    same(["a person walks"], [12])
    first = compiler.graphs
    assert first >= 1
    for frames in (20, 7):
        same(["someone jumps high and far"], [frames])
    assert compiler.graphs == first
    same(["a person walks", "someone jumps"], [12, 17])
    assert compiler.graphs <= 2 * first
    more = compiler.graphs
    same(["a", "a person walks", "someone jumps"], [5, 20, 3])
    assert compiler.graphs == more


def test_buckets() -> None:
    buckets = Buckets((10, 20), (1, 4))
    assert [buckets.length(frames) for frames in (1, 10, 11, 30)] == [10, 10, 20, 30]
    assert [len(buckets.pad_rows(torch.zeros(rows, 2))) for rows in (1, 2, 4, 5)] == [1, 4, 4, 5]
    states, mask = buckets.pad_tokens(torch.ones(2, 5, 3), torch.ones(2, 5))
    assert (states.shape, mask.sum().item()) == ((2, 16, 3), 10)
    with pytest.raises(ValueError, match=r"holds 20 frames, this pipeline makes 40 at once\. Add 40"):
        as_buckets([10, 20], None, 40)
    with pytest.raises(ValueError, match=r"must be positive and rise, got \[20, 10\]"):
        as_buckets([20, 10], None, 10)
