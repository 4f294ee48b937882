"""What holds for every denoiser."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ModelMixin


class DenoiserMixin:
    """Subclasses set `model_class` and `variants`, and say how to make inputs."""

    model_class: type[ModelMixin]
    variants: dict[str, dict[str, Any]]

    def inputs(self, model: ModelMixin, batch: int = 2, frames: int = 9) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    @pytest.fixture
    def model(self, variant: str) -> ModelMixin:
        torch.manual_seed(0)
        return self.model_class(**self.variants[variant]).eval()

    def test_shape_and_determinism(self, model: ModelMixin) -> None:
        inputs = self.inputs(model)
        output = model(**inputs).sample
        assert output.shape == inputs["sample"].shape
        assert torch.equal(output, model(**inputs).sample)
        assert torch.equal(output, model(**inputs, return_dict=False)[0])

    def test_save_and_load(self, model: ModelMixin, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        assert list(tmp_path.glob("*.safetensors"))
        again = self.model_class.from_pretrained(tmp_path).eval()
        inputs = self.inputs(model)
        assert torch.equal(model(**inputs).sample, again(**inputs).sample)
        half = self.model_class.from_pretrained(tmp_path, dtype=torch.bfloat16)
        for (name, buffer), exact in zip(half.named_buffers(), model.buffers(), strict=True):
            torch.testing.assert_close(buffer.float(), exact, atol=4e-3, rtol=0, msg=f"{name} was made in bf16")

    def test_padding_does_not_change_valid_frames(self, model: ModelMixin) -> None:
        inputs = self.inputs(model, frames=9)
        inputs["attention_mask"] = torch.tensor([[1] * 9, [1] * 6 + [0] * 3])
        whole = model(**inputs).sample
        garbage = {**inputs, "sample": inputs["sample"].clone()}
        garbage["sample"][1, 6:] = 100
        torch.testing.assert_close(model(**garbage).sample[1, :6], whole[1, :6])
        alone = {name: value[1:] for name, value in inputs.items() if name != "attention_mask"}
        alone["sample"] = alone["sample"][:, :6]
        torch.testing.assert_close(model(**alone).sample[0], whole[1, :6], atol=1e-5, rtol=1e-5)
        assert not whole[1, 6:].any()

    def test_batch_of_two_is_two_of_one(self, model: ModelMixin) -> None:
        inputs = self.inputs(model)
        both = model(**inputs).sample
        for row in range(2):
            one = model(**{name: value[row : row + 1] for name, value in inputs.items()}).sample
            torch.testing.assert_close(one[0], both[row], atol=1e-5, rtol=1e-5)

    def test_eager_attention_equals_fused(self, model: ModelMixin) -> None:
        inputs = self.inputs(model)
        model.attention_implementation = "sdpa"
        fused = model(**inputs).sample
        model.attention_implementation = "eager"
        torch.testing.assert_close(model(**inputs).sample, fused, atol=1e-5, rtol=1e-5)

    def test_gradient_reaches_every_parameter(self, model: ModelMixin) -> None:
        model.train()
        model(**self.inputs(model)).sample.square().sum().backward()
        missing = {name for name, parameter in model.named_parameters() if parameter.grad is None}
        assert missing == self.without_gradient(model)

    def without_gradient(self, model: ModelMixin) -> set[str]:
        return set()

    def test_bfloat16(self, model: ModelMixin) -> None:
        inputs = self.inputs(model)
        exact = model(**inputs).sample
        rough = model.to(torch.bfloat16)(**inputs).sample
        assert rough.dtype == torch.bfloat16
        assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()

    def test_compiles_as_one_graph(self, model: ModelMixin) -> None:
        inputs = self.inputs(model)
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(**inputs).sample, model(**inputs).sample)

    def test_wrong_width(self, model: ModelMixin) -> None:
        inputs = self.inputs(model)
        inputs["sample"] = inputs["sample"][..., :-1]
        with pytest.raises(ValueError, match="sample must be"):
            model(**inputs)
