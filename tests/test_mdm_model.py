"""The MDM denoiser."""

from typing import Any

import pytest
import torch
from mixins.model import DenoiserMixin

from hf_motion import MDMDenoiser

TINY = {"num_features": 263, "hidden_size": 16, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "text_dim": 8}
VARIANTS = {
    "trans_enc": {"arch": "trans_enc"},
    "trans_dec": {"arch": "trans_dec"},
    "trans_dec_time_token": {"arch": "trans_dec", "time_token": True},
    "tokens": {"arch": "trans_dec", "text_conditioning": "tokens"},
    "tokens_concat": {"arch": "trans_dec", "text_conditioning": "tokens", "condition_merge": "concat"},
    "patches": {"arch": "trans_dec", "text_conditioning": "tokens", "time_token": True, "patch_size": 4},
    "patches_after_the_condition": {"arch": "trans_enc", "patch_size": 2},
}


@pytest.mark.parametrize("variant", VARIANTS)
class TestMDMDenoiser(DenoiserMixin):
    model_class = MDMDenoiser
    variants = {name: {**TINY, **options, "dropout": 0.0, "attention_dropout": 0.0} for name, options in VARIANTS.items()}

    def inputs(self, model: MDMDenoiser, batch: int = 2, frames: int = 9) -> dict[str, torch.Tensor]:
        draw = torch.Generator().manual_seed(1)
        inputs: dict[str, Any] = {
            "sample": torch.randn(batch, frames, 263, generator=draw),
            "timestep": torch.tensor([3, 40])[:batch],
            "encoder_hidden_states": torch.randn(batch, 8, generator=draw),
        }
        if model.config.text_conditioning == "tokens":
            inputs["encoder_hidden_states"] = torch.randn(batch, 4, 8, generator=draw)
            inputs["encoder_attention_mask"] = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])[:batch]
        return inputs

    def without_gradient(self, model: MDMDenoiser) -> set[str]:
        # One key: the softmax is one, so queries cannot matter (and keys get a zero gradient).
        if model.config.arch == "trans_dec" and model.config.text_conditioning == "pooled":
            return {f"blocks.{index}.cross_attention.q.{kind}" for index in range(2) for kind in ("weight", "bias")}
        return set()

    def test_condition_computed_once_equals_computed_each_time(self, model: MDMDenoiser) -> None:
        inputs = self.inputs(model)
        expected = model(**inputs).sample
        condition = model.encode_condition(inputs.pop("encoder_hidden_states"), inputs.pop("encoder_attention_mask", None))
        torch.testing.assert_close(model(**inputs, condition=condition).sample, expected, atol=1e-6, rtol=1e-5)

    def test_texts_on_the_same_sample_equal_a_repeated_batch(self, model: MDMDenoiser) -> None:
        inputs = self.inputs(model)
        inputs["attention_mask"] = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
        text, mask = inputs.pop("encoder_hidden_states"), inputs.pop("encoder_attention_mask", None)
        both = model.encode_condition(torch.cat((torch.zeros_like(text), text)), mask.repeat(2, 1) if mask is not None else None)
        shared = model(**inputs, condition=both).sample
        repeated = model(**{name: torch.cat((value, value)) for name, value in inputs.items()}, condition=both).sample
        torch.testing.assert_close(shared, repeated, atol=1e-6, rtol=1e-5)
        with pytest.raises(ValueError, match="4 texts, which is not a multiple of 3"):
            model(torch.zeros(3, 9, 263), 0, condition=both)

    def test_text_and_step_matter(self, model: MDMDenoiser) -> None:
        inputs = self.inputs(model)
        output = model(**inputs).sample
        for name, other in (("encoder_hidden_states", inputs["encoder_hidden_states"] + 1), ("timestep", torch.tensor([4, 41]))):
            assert not torch.allclose(model(**{**inputs, name: other}).sample, output), name

    def test_hidden_tokens_do_not_matter(self, model: MDMDenoiser) -> None:
        if model.config.text_conditioning != "tokens":
            return
        inputs = self.inputs(model)
        output = model(**inputs).sample
        inputs["encoder_hidden_states"][1, 2:] = 50
        torch.testing.assert_close(model(**inputs).sample, output)

    def test_state_dict_names(self, model: MDMDenoiser) -> None:
        blocks = {"self_attention.qkv", "self_attention.out", "self_attention_norm", "mlp.0", "mlp.3", "mlp_norm"}
        if model.config.arch == "trans_dec":
            blocks |= {"cross_attention.q", "cross_attention.kv", "cross_attention.out", "cross_attention_norm"}
        outside = {"input_projection", "time_projection.0", "time_projection.2", "text_projection", "output_projection"}
        modules = outside | {f"blocks.{index}.{name}" for index in range(2) for name in blocks}
        assert set(model.state_dict()) == {f"{name}.{kind}" for name in modules for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "gru"}, "'trans_enc', 'trans_dec'"),
        ({"text_conditioning": "tokens"}, "need arch='trans_dec'"),
        ({"arch": "trans_dec", "condition_merge": "concat"}, "needs text_conditioning='tokens'"),
        ({"hidden_size": 30, "num_attention_heads": 4}, "divisible"),
        ({"patch_size": 0}, "patch_size must be 1 frame or more, got 0"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MDMDenoiser(**options)


def test_missing_text_and_wrong_text_width() -> None:
    model = MDMDenoiser(**TINY)
    with pytest.raises(ValueError, match="encoder_hidden_states"):
        model(torch.zeros(1, 4, 263), 0)
    with pytest.raises(ValueError, match="text_dim=8"):
        model(torch.zeros(1, 4, 263), 0, torch.zeros(1, 9))


def test_timestep_scale() -> None:
    """A model trained with 50 steps means the same by every twentieth of 1,000, and has something to say between them."""
    coarse = MDMDenoiser(**TINY).eval()
    fine = MDMDenoiser(**TINY, timestep_scale=0.05).eval()
    fine.load_state_dict(coarse.state_dict())
    sample, text = torch.randn(1, 9, 263), torch.randn(1, 8)
    for step in (0, 7, 49):
        torch.testing.assert_close(fine(sample, 20 * step + 19, text).sample, coarse(sample, step, text).sample, atol=1e-5, rtol=1e-5)
    between, above, below = (fine(sample, step, text).sample for step in (970, 979, 959))
    assert 0 < (between - above).abs().max() < (below - above).abs().max()
    with pytest.raises(ValueError, match="timestep_scale must be positive, got 0"):
        MDMDenoiser(**TINY, timestep_scale=0)
