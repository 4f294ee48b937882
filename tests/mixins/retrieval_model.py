"""What holds for every model that puts motions and texts in one space."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel


class RetrievalModelMixin:
    """Subclasses set `model_class` and `variants` (options of the config, without dropout), and say how to make inputs.

    `inputs` makes what `forward` takes: `motion_features`, `attention_mask`, `input_ids`, `text_mask` and whatever else the model reads.
    The masks are ones; the tests below shorten clips and texts themselves. Every pair must be another one.
    """

    model_class: type[PreTrainedModel]
    variants: dict[str, dict[str, Any]]
    frames = 24
    short = 12
    """A number of frames, smaller than `frames`, that a clip may have."""
    overfit_steps, overfit_rate = 60, 3e-3

    def inputs(self, model: PreTrainedModel, batch: int = 2) -> dict[str, Tensor]:
        raise NotImplementedError

    def without_gradient(self, model: PreTrainedModel) -> set[str]:
        """Names of parameters that training leaves alone."""
        return set()

    @pytest.fixture
    def model(self, variant: str) -> PreTrainedModel:
        torch.manual_seed(0)
        return self.model_class(self.model_class.config_class(**self.variants[variant])).eval()

    @staticmethod
    def text_inputs(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """What `get_text_features` takes."""
        seen_by_text = {name: value for name, value in inputs.items() if name not in ("motion_features", "attention_mask", "text_mask")}
        return {**seen_by_text, "attention_mask": inputs["text_mask"]}

    @staticmethod
    def motion_inputs(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """What `get_motion_features` takes."""
        return {name: inputs[name] for name in ("motion_features", "attention_mask")}

    def embed(self, model: PreTrainedModel, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return model.get_motion_features(**self.motion_inputs(inputs)), model.get_text_features(**self.text_inputs(inputs))

    def ragged(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """Two pairs, of which the first has the shorter clip and the second the shorter text, as in no sorted batch."""
        inputs = {name: value.clone() for name, value in self.inputs(model).items()}
        inputs["attention_mask"][0, self.short :] = 0
        inputs["text_mask"][1, -2:] = 0
        return inputs

    def test_shapes_and_determinism(self, model: PreTrainedModel) -> None:
        inputs = self.inputs(model)
        output, again = model(**inputs), model(**inputs)
        assert output.loss.ndim == 0
        assert torch.equal(output.loss, again.loss)
        assert output.motion_embeds.shape == output.text_embeds.shape
        assert output.motion_embeds.shape[0] == 2
        for ours, theirs in zip((output.motion_embeds, output.text_embeds), self.embed(model, inputs), strict=True):
            torch.testing.assert_close(ours, theirs)
            assert (ours[0] - ours[1]).abs().max() > 1e-4
        assert model.config.similarity in ("euclidean", "cosine")
        torch.testing.assert_close(model(**inputs, return_dict=False)[0], output.loss)

    def test_missing_masks_mean_no_padding(self, model: PreTrainedModel) -> None:
        inputs = self.inputs(model)
        motion, text = self.embed(model, inputs)
        torch.testing.assert_close(model.get_motion_features(inputs["motion_features"]), motion)
        text_inputs = self.text_inputs(inputs)
        del text_inputs["attention_mask"]
        torch.testing.assert_close(model.get_text_features(**text_inputs), text)

    def test_save_and_load(self, model: PreTrainedModel, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        assert list(tmp_path.glob("*.safetensors"))
        assert not [path for path in tmp_path.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]
        again = self.model_class.from_pretrained(tmp_path).eval()
        inputs = self.ragged(model)
        for ours, theirs in zip(self.embed(model, inputs), self.embed(again, inputs), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
        trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert {name for name, parameter in again.named_parameters() if parameter.requires_grad} == trains

    def test_padding_does_not_change_motions(self, model: PreTrainedModel) -> None:
        inputs = self.motion_inputs(self.ragged(model))
        with torch.no_grad():
            expected = model.get_motion_features(**inputs)
            garbage = inputs["motion_features"].clone()
            garbage[0, self.short :] = 100
            torch.testing.assert_close(model.get_motion_features(garbage, inputs["attention_mask"]), expected)
            alone = model.get_motion_features(inputs["motion_features"][:1, : self.short])
            torch.testing.assert_close(alone, expected[:1], atol=1e-5, rtol=1e-5)
            wider = {name: torch.cat((value, value.new_zeros(value[:, :8].shape)), 1) for name, value in inputs.items()}
            torch.testing.assert_close(model.get_motion_features(**wider), expected, atol=1e-5, rtol=1e-5)

    def test_padding_does_not_change_texts(self, model: PreTrainedModel) -> None:
        inputs = self.text_inputs(self.ragged(model))
        with torch.no_grad():
            expected = model.get_text_features(**inputs)
            garbage = inputs["input_ids"].clone()
            garbage[1, -2:] = garbage[1, 0]
            torch.testing.assert_close(model.get_text_features(**{**inputs, "input_ids": garbage}), expected)
            alone = {name: value[1:, :-2] for name, value in inputs.items()}
            torch.testing.assert_close(model.get_text_features(**alone), expected[1:], atol=1e-5, rtol=1e-5)

    def test_batch_of_two_is_two_of_one(self, model: PreTrainedModel) -> None:
        inputs = self.ragged(model)
        both = self.embed(model, inputs)
        for row in range(2):
            one = self.embed(model, {name: value[row : row + 1] for name, value in inputs.items()})
            for ours, theirs in zip(one, both, strict=True):
                torch.testing.assert_close(ours[0], theirs[row], atol=1e-5, rtol=1e-5)

    def test_gradient_reaches_every_parameter_that_trains(self, model: PreTrainedModel) -> None:
        model.train()
        model(**self.inputs(model, batch=4)).loss.backward()
        assert {name for name, parameter in model.named_parameters() if parameter.grad is None} == self.without_gradient(model)
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)

    def test_gradient_reaches_real_frames_only(self, model: PreTrainedModel) -> None:
        inputs = self.motion_inputs(self.ragged(model))
        inputs["motion_features"].requires_grad_()
        model.get_motion_features(**inputs).square().sum().backward()
        reached = inputs["motion_features"].grad.abs().sum(-1) > 0
        assert torch.equal(reached, inputs["attention_mask"].bool())

    def test_pairs_that_say_the_same_are_no_negatives(self, model: PreTrainedModel) -> None:
        inputs = self.inputs(model, batch=4)
        loss = model(**inputs).loss
        torch.testing.assert_close(model(**inputs, similar=torch.eye(4, dtype=torch.bool)).loss, loss)
        torch.testing.assert_close(model(**inputs, similar=torch.zeros(4, 4, dtype=torch.bool)).loss, loss)
        everything = model(**inputs, similar=torch.ones(4, 4, dtype=torch.bool)).loss
        assert everything.isfinite()
        assert everything < loss
        with pytest.raises(ValueError, match=r"similar must be \(4, 4\)"):
            model(**inputs, similar=torch.ones(4, 3, dtype=torch.bool))

    def test_learns_a_few_pairs(self, model: PreTrainedModel) -> None:
        inputs = self.inputs(model, batch=4)
        model.train()
        optimizer = torch.optim.Adam((parameter for parameter in model.parameters() if parameter.requires_grad), lr=self.overfit_rate)
        losses = []
        for step in range(self.overfit_steps):
            loss = model(**inputs, seeds=torch.arange(4) + step).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
        motion, text = self.embed(model.eval(), inputs)
        if model.config.similarity == "cosine":
            nearest = torch.nn.functional.cosine_similarity(text[:, None], motion[None], dim=-1).argmax(1)
        else:
            nearest = torch.cdist(text, motion).argmin(1)
        assert nearest.tolist() == [0, 1, 2, 3]

    def test_bfloat16(self, model: PreTrainedModel) -> None:
        inputs = self.ragged(model)
        exact = self.embed(model, inputs)
        for rough, ours in zip(self.embed(model.to(torch.bfloat16), inputs), exact, strict=True):
            assert rough.isfinite().all()
            assert (rough.float() - ours).abs().max() < 0.1 * ours.abs().max()
        model.train()
        assert model(**inputs).loss.isfinite()

    def test_wrong_input(self, model: PreTrainedModel) -> None:
        inputs = self.inputs(model)
        with pytest.raises(ValueError, match="motion_features must be"):
            model.get_motion_features(inputs["motion_features"][..., :-1])
        with pytest.raises(ValueError, match="attention_mask must be"):
            model.get_motion_features(inputs["motion_features"], inputs["attention_mask"][:, :-1])
        with pytest.raises(ValueError, match="as many"):
            model(**{**inputs, **{name: inputs[name][:1] for name in ("motion_features", "attention_mask")}})
