"""The evaluator of Guo et al."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mixins.retrieval_model import RetrievalModelMixin
from torch import Tensor

from hf_motion.models.t2m_evaluator.configuration_t2m_evaluator import T2MEvaluatorConfig
from hf_motion.models.t2m_evaluator.modeling_t2m_evaluator import T2MEvaluator

TINY = {
    "num_features": 263, "max_frames": 40, "movement_hidden_size": 12, "movement_size": 10, "motion_hidden_size": 16,
    "text_hidden_size": 14, "embed_dim": 8, "vocab_size": 30, "word_dim": 6, "dropout": 0.0,
}  # fmt: skip
FROZEN_WORDS = {"word_embeddings.weight"}


def draw_inputs(batch: int, frames: int, width: int = 263) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {
        "motion_features": torch.randn(batch, frames, width, generator=draw),
        "attention_mask": torch.ones(batch, frames, dtype=torch.long),
        "input_ids": torch.randint(3, 30, (batch, 7), generator=draw),
        "text_mask": torch.ones(batch, 7, dtype=torch.long),
        "pos_ids": torch.randint(15, (batch, 7), generator=draw),
    }


@pytest.mark.parametrize("variant", ["margin", "infonce", "kit", "recipe"])
class TestT2MEvaluator(RetrievalModelMixin):
    model_class = T2MEvaluator
    variants = {
        "margin": TINY,
        "infonce": {**TINY, "loss": "infonce", "freeze_word_embeddings": False},
        "kit": {**TINY, "num_features": 251},
        "recipe": {**TINY, "freeze_movement_encoder": True, "dropout": 0.2, "published_negatives": True},
    }
    overfit_steps, overfit_rate = 70, 1e-2

    def inputs(self, model: T2MEvaluator, batch: int = 2) -> dict[str, Tensor]:
        return draw_inputs(batch, self.frames, model.config.num_features)

    def without_gradient(self, model: T2MEvaluator) -> set[str]:
        names = FROZEN_WORDS if model.config.freeze_word_embeddings else set()
        if model.config.freeze_movement_encoder:
            names = names | {name for name, _ in model.named_parameters() if name.startswith("movement_encoder.")}
        return names

    def test_contacts_do_not_matter(self, model: T2MEvaluator) -> None:
        inputs = self.motion_inputs(self.inputs(model))
        expected = model.get_motion_features(**inputs)
        inputs["motion_features"][..., -4:] = 7
        assert torch.equal(model.get_motion_features(**inputs), expected)

    def test_part_of_speech_matters(self, model: T2MEvaluator) -> None:
        inputs = self.text_inputs(self.inputs(model))
        expected = model.get_text_features(**inputs)
        other = model.get_text_features(**{**inputs, "pos_ids": (inputs["pos_ids"] + 1) % 15})
        assert (other - expected).abs().max() > 1e-4


@pytest.fixture
def model() -> T2MEvaluator:
    torch.manual_seed(0)
    return T2MEvaluator(T2MEvaluatorConfig(**TINY)).eval()


def plain_embedding(model: T2MEvaluator, clip: Tensor) -> Tensor:
    """One clip as published: cut to whole movements, zeros up to `max_frames`, and no packing."""
    steps = len(clip) // 4
    padded = torch.zeros(1, model.config.max_frames, 259)
    padded[0, : 4 * steps] = clip[: 4 * steps, :259]
    encoder = model.motion_encoder
    sequence = encoder.input_projection(model.movement_encoder(padded)[:, :steps])
    _, last = encoder.gru(sequence, encoder.initial_state)
    return model.motion_head(torch.cat((last[0], last[1]), -1))[0]


def test_every_length_embeds_as_published_whatever_its_batch(model: T2MEvaluator) -> None:
    lengths = torch.tensor([40, 4, 39, 7, 36, 12, 5, 43])
    clips = torch.randn(8, 43, 263, generator=torch.Generator().manual_seed(2))
    mask = (torch.arange(43) < lengths[:, None]).long()
    together = model.get_motion_features(clips, mask)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(together[row], plain_embedding(model, clips[row, :length]), atol=1e-5, rtol=1e-5)
    few = mask.sum(1) < 13
    torch.testing.assert_close(model.get_motion_features(clips[few, :12], mask[few, :12]), together[few], atol=1e-5, rtol=1e-5)


def test_what_lies_behind_the_end_is_seen_by_the_last_movement(model: T2MEvaluator) -> None:
    """Why the zeros matter: without them the last movement would be another one."""
    clip = torch.randn(1, 36, 263, generator=torch.Generator().manual_seed(2))
    exact = model.get_motion_features(clip)
    steps = torch.tensor([9])
    unpadded = model.motion_head(model.motion_encoder(model.movement_encoder(clip[..., :259]), steps))
    assert (exact - unpadded).abs().max() > 1e-3


def margin_loss(text: Tensor, motion: Tensor, shift: int, margin: float = 10.0) -> Tensor:
    """The published loss, written out."""
    pull = torch.stack([(t - m).square().sum() for t, m in zip(text, motion, strict=True)]).mean()
    wrong = [motion[(row + shift) % len(motion)] for row in range(len(motion))]
    gaps = torch.stack([margin - (t - m).norm() for t, m in zip(text, wrong, strict=True)])
    return pull + gaps.clamp_min(0).square().mean()


def test_margin_loss_is_the_published_one(model: T2MEvaluator) -> None:
    inputs = draw_inputs(5, 24)
    seen = set()
    for seed in range(40):
        output = model(**inputs, seeds=torch.full((5,), seed))
        candidates = [margin_loss(output.text_embeds, output.motion_embeds, shift) for shift in range(5)]
        gaps = [abs(candidate - output.loss).item() for candidate in candidates]
        assert min(gaps) < 1e-3
        seen.add(gaps.index(min(gaps)))
    assert seen == {1, 2, 3, 4}
    model.config.published_negatives = True
    gaps = []
    for seed in range(40):
        loss = model(**inputs, seeds=torch.full((5,), seed)).loss
        gaps.append([abs(candidate - loss).item() for candidate in candidates])
    assert {gap.index(min(gap)) for gap in gaps} == {0, 1, 2, 3}


def test_negatives_follow_from_the_seeds(model: T2MEvaluator) -> None:
    inputs = draw_inputs(8, 24)
    model.train()
    first, again = (model(**inputs, seeds=torch.arange(8)).loss for _ in range(2))
    assert torch.equal(first, again)
    assert len({model(**inputs, seeds=torch.full((8,), seed)).loss.item() for seed in range(20)}) > 1
    assert len({model(**inputs).loss.item() for _ in range(20)}) > 1


def test_infonce_ranks_squared_distances() -> None:
    torch.manual_seed(0)
    model = T2MEvaluator(T2MEvaluatorConfig(**TINY, loss="infonce", distance_temperature=2.0)).eval()
    output = model(**draw_inputs(4, 24))
    scores = (-torch.cdist(output.text_embeds.double(), output.motion_embeds.double()).square() / 2).exp()
    expected = -((scores.diagonal() / scores.sum(1)).log().mean() + (scores.diagonal() / scores.sum(0)).log().mean()) / 2
    torch.testing.assert_close(output.loss.double(), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("loss", ["margin", "infonce"])
def test_a_single_pair_has_no_negatives(loss: str) -> None:
    for published in (False, True):
        model = T2MEvaluator(T2MEvaluatorConfig(**TINY, loss=loss, published_negatives=published)).eval()
        output = model(**draw_inputs(1, 24))
        pull = (output.text_embeds - output.motion_embeds).square().sum() if loss == "margin" else torch.tensor(0.0)
        torch.testing.assert_close(output.loss, pull, atol=1e-3, rtol=1e-4)


def test_frozen_parts_stay_frozen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {**TINY, "dropout": 0.5}
    T2MEvaluator(T2MEvaluatorConfig(**options, freeze_movement_encoder=True)).save_pretrained(tmp_path)
    model = T2MEvaluator.from_pretrained(tmp_path).train()
    assert model.training
    assert not any(module.training for module in model.movement_encoder.modules())
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == FROZEN_WORDS | {name for name, _ in model.named_parameters() if name.startswith("movement_encoder.")}
    free = T2MEvaluator.from_pretrained(tmp_path, freeze_movement_encoder=False, freeze_word_embeddings=False).train()
    assert all(parameter.requires_grad for parameter in free.parameters())
    inputs = draw_inputs(2, 24)
    motion = (inputs["motion_features"], inputs["attention_mask"])
    assert torch.equal(model.get_motion_features(*motion), model.get_motion_features(*motion))
    assert not torch.equal(free.get_motion_features(*motion), free.get_motion_features(*motion))


def test_word_vectors_can_be_put_in(model: T2MEvaluator) -> None:
    vectors = torch.randn(30, 6)
    model.get_input_embeddings().weight.data.copy_(vectors)
    assert torch.equal(model.word_embeddings.weight, vectors)
    assert not model.word_embeddings.weight.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "triplet"}, "'margin', 'infonce', got 'triplet'"),
        ({"max_frames": 30}, "multiple of 4, the frames of one movement, got 30"),
        ({"num_contacts": 263}, "less than num_features=263, got 263"),
        ({"distance_temperature": 0}, "must be positive, got 0"),
    ],
)
def test_options_that_do_not_fit(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        T2MEvaluatorConfig(**options)


def test_bad_input(model: T2MEvaluator) -> None:
    inputs = draw_inputs(3, 24)
    short = inputs["attention_mask"].clone()
    short[1, 3:] = 0
    with pytest.raises(ValueError, match="Clip 1 has fewer than 4 frames"):
        model.get_motion_features(inputs["motion_features"], short)
    with pytest.raises(ValueError, match="Clip 0 is longer than max_frames=40"):
        model.get_motion_features(torch.zeros(1, 44, 263))
    with pytest.raises(ValueError, match=r"pos_ids must be \(3, 7\) like input_ids, got none"):
        model.get_text_features(inputs["input_ids"])
    with pytest.raises(ValueError, match=r"got shape \(3, 6\)"):
        model.get_text_features(inputs["input_ids"], pos_ids=inputs["pos_ids"][:, 1:])
    empty = inputs["text_mask"].clone()
    empty[2] = 0
    with pytest.raises(ValueError, match="Row 2 is empty"):
        model.get_text_features(inputs["input_ids"], empty, inputs["pos_ids"])
    with pytest.raises(ValueError, match="as many texts"):
        model(inputs["motion_features"])
