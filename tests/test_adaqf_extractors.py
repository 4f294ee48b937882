"""AdaQF's text and motion extractors."""

from __future__ import annotations

import pytest
import torch
from mixins.retrieval_model import RetrievalModelMixin
from torch import Tensor

from hf_motion.models.adaqf_extractors.configuration_adaqf_extractors import AdaQFExtractorsConfig
from hf_motion.models.adaqf_extractors.modeling_adaqf_extractors import AdaQFExtractors
from hf_motion.nn.contrastive import symmetric_info_nce
from hf_motion.trainers.new_pipeline import train_clip_tokenizer

TINY = {"num_features": 13, "hidden_size": 16, "vocab_size": 30, "word_dim": 6, "dropout": 0.0}


def draw_inputs(batch: int = 2, frames: int = 24) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {
        "motion_features": torch.randn(batch, frames, 13, generator=draw),
        "attention_mask": torch.ones(batch, frames, dtype=torch.long),
        "input_ids": torch.randint(30, (batch, 7), generator=draw),
        "text_mask": torch.ones(batch, 7, dtype=torch.long),
        "pos_ids": torch.randint(15, (batch, 7), generator=draw),
    }


@pytest.mark.parametrize("variant", ["default", "pos", "frames", "learned"])
class TestAdaQFExtractors(RetrievalModelMixin):
    model_class = AdaQFExtractors
    variants = {
        "default": TINY,
        "pos": {**TINY, "num_pos_classes": 15},
        "frames": {**TINY, "downsample": False, "bidirectional": False},
        "learned": {**TINY, "learn_temperature": True},
    }
    short = 11

    def inputs(self, model: AdaQFExtractors, batch: int = 2) -> dict[str, Tensor]:
        return draw_inputs(batch, self.frames)

    def test_width_of_embeddings(self, model: AdaQFExtractors) -> None:
        assert self.embed(model, self.inputs(model))[0].shape == (2, model.config.embed_dim)
        assert model.config.embed_dim == (16 if model.config.downsample is False else 32)

    def test_part_of_speech_matters_if_it_is_read(self, model: AdaQFExtractors) -> None:
        inputs = self.text_inputs(self.inputs(model))
        expected = model.get_text_features(**inputs)
        other = model.get_text_features(**{**inputs, "pos_ids": (inputs["pos_ids"] + 1) % 15})
        assert torch.equal(other, expected) is (model.config.num_pos_classes == 0)

    def test_every_length_embeds_as_if_alone(self, model: AdaQFExtractors) -> None:
        features = self.inputs(model, batch=9)["motion_features"]
        lengths = torch.arange(1, 10)
        mask = (torch.arange(24) < lengths[:, None]).long()
        together = model.get_motion_features(features, mask)
        for row, length in enumerate(lengths.tolist()):
            alone = model.get_motion_features(features[row : row + 1, :length])
            torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


@pytest.fixture
def model() -> AdaQFExtractors:
    torch.manual_seed(0)
    return AdaQFExtractors(AdaQFExtractorsConfig(**TINY)).eval()


def test_loss_is_the_equation_with_its_sign_put_right(model: AdaQFExtractors) -> None:
    inputs = draw_inputs(3)
    output = model(**inputs)
    scores = torch.nn.functional.cosine_similarity(output.text_embeds[:, None], output.motion_embeds[None], dim=-1).double()
    exponentials = (scores / 0.07).exp()
    pairs = exponentials.diagonal()
    info_nce = -(pairs / exponentials.sum(1)).log().mean() / 2 - (pairs / exponentials.sum(0)).log().mean() / 2
    torch.testing.assert_close(output.loss.double(), info_nce + (1 - scores.diagonal()).mean(), atol=1e-5, rtol=1e-5)
    model.config.cosine_weight = 0.0
    torch.testing.assert_close(model(**inputs).loss.double(), info_nce, atol=1e-5, rtol=1e-5)


def test_as_many_texts_as_motions() -> None:
    with pytest.raises(ValueError, match=r"scores must be \(batch, batch\).*\(3, 4\)"):
        symmetric_info_nce(torch.zeros(3, 4))


def test_motion_can_be_led_towards_a_text(model: AdaQFExtractors) -> None:
    """What AdaQF uses it for: a frozen extractor in evaluation mode, and a motion that follows its gradient."""
    model.requires_grad_(False)
    inputs = draw_inputs(2)
    mask = inputs["attention_mask"]
    mask[0, 10:] = 0
    text = model.get_text_features(inputs["input_ids"], inputs["text_mask"])
    motion = inputs["motion_features"].requires_grad_()
    cosines = []
    for _ in range(20):
        cosine = torch.cosine_similarity(model.get_motion_features(motion, mask), text)
        (gradient,) = torch.autograd.grad(-cosine.sum(), motion)
        assert not gradient[0, 10:].any()
        motion = (motion - 10 * gradient).detach().requires_grad_()
        cosines.append(cosine)
    assert (cosines[-1] > cosines[0] + 0.05).all()


def test_learned_temperature_starts_where_told_and_is_saved(tmp_path) -> None:
    model = AdaQFExtractors(AdaQFExtractorsConfig(**TINY, learn_temperature=True, temperature_init=0.2))
    assert model.temperature.item() == pytest.approx(0.2)
    with torch.no_grad():
        model.log_temperature.fill_(-50)
    assert model.temperature.item() == pytest.approx(0.01)
    model.save_pretrained(tmp_path)
    assert AdaQFExtractors.from_pretrained(tmp_path).log_temperature.item() == -50
    assert AdaQFExtractors(AdaQFExtractorsConfig(**TINY)).temperature == 0.07


def test_reads_the_tokens_of_clip() -> None:
    captions = ["a person walks forward", "someone jumps"]
    tokenizer = train_clip_tokenizer(captions, 600)
    torch.manual_seed(0)
    model = AdaQFExtractors(AdaQFExtractorsConfig(**{**TINY, "vocab_size": len(tokenizer)})).eval()
    batch = tokenizer(captions, padding=True, return_tensors="pt")
    both = model.get_text_features(batch["input_ids"], batch["attention_mask"])
    alone = model.get_text_features(**tokenizer(captions[1], return_tensors="pt"))
    torch.testing.assert_close(both[1], alone[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature_init": 0}, "must be positive, got 0"), ({"dropout": 1}, r"\[0, 1\), got 1"), ({"cosine_weight": -1}, "at least 0")],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaQFExtractorsConfig(**options)


def test_bad_input(model: AdaQFExtractors) -> None:
    inputs = draw_inputs()
    with pytest.raises(ValueError, match="as many texts"):
        model(inputs["motion_features"])
    empty = inputs["attention_mask"].clone()
    empty[1] = 0
    with pytest.raises(ValueError, match="Row 1 is empty"):
        model.get_motion_features(inputs["motion_features"], empty)
    with pytest.raises(ValueError, match="Pad on the right"):
        model.get_motion_features(inputs["motion_features"], inputs["attention_mask"] - torch.eye(2, 24, dtype=torch.long))
    reader = AdaQFExtractors(AdaQFExtractorsConfig(**TINY, num_pos_classes=15))
    with pytest.raises(ValueError, match=r"pos_ids must be \(2, 7\).*none"):
        reader.get_text_features(inputs["input_ids"])
