"""TMR keeps the contract of retrieval models, and its loss is the published one."""

import math
from collections.abc import Iterator

import pytest
import torch
from mixins.retrieval_model import RetrievalModelMixin
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, BertConfig, BertModel, CLIPConfig, CLIPModel, T5Config, T5EncoderModel

from hf_motion.models.tmr.configuration_tmr import TMRConfig
from hf_motion.models.tmr.modeling_tmr import TMR, Gaussian, TMROutput

VOCABULARY = 40
DISTILBERT = {
    "model_type": "distilbert", "vocab_size": VOCABULARY, "dim": 12, "n_layers": 1, "n_heads": 2, "hidden_dim": 16,
    "dropout": 0.0, "attention_dropout": 0.0, "max_position_embeddings": 16,
}  # fmt: skip
BERT = {
    "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
CLIP_TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
T5 = {"vocab_size": VOCABULARY, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
SIZE = {"num_features": 10, "hidden_size": 16, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "dropout": 0.0}

# Four pairs of noise are learned in sixty steps only if contrast matters and latents are not drowned in noise of their own.
LEARNS = {"contrastive_weight": 1.0, "noise_scale": 0.1}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_inputs(batch: int = 2, frames: int = 24) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "motion_features": torch.randn(batch, frames, SIZE["num_features"], generator=generator),
        "attention_mask": torch.ones(batch, frames, dtype=torch.long),
        "input_ids": torch.randint(3, VOCABULARY, (batch, 7), generator=generator),
        "text_mask": torch.ones(batch, 7, dtype=torch.long),
    }


def tiny(**options) -> TMR:
    torch.manual_seed(0)
    return TMR(TMRConfig(**{**SIZE, "text_config": DISTILBERT, **options})).eval()


@pytest.mark.parametrize("variant", ["frozen", "trained", "bert"])
class TestTMR(RetrievalModelMixin):
    model_class = TMR
    variants = {
        "frozen": {**SIZE, **LEARNS, "text_config": DISTILBERT},
        "trained": {**SIZE, **LEARNS, "text_config": DISTILBERT, "freeze_text_model": False},
        "bert": {**SIZE, **LEARNS, "text_config": BERT, "freeze_text_model": False},
    }

    def inputs(self, model: TMR, batch: int = 2) -> dict[str, Tensor]:
        return make_inputs(batch, self.frames)

    def without_gradient(self, model: TMR) -> set[str]:
        frozen = model.config.freeze_text_model
        return {name for name, _ in model.named_parameters() if frozen and name.startswith("text_model.")}


def test_the_terms_are_those_of_the_paper():
    model, inputs = tiny(contrastive_weight=0.3, kl_weight=0.02, latent_weight=0.05), make_inputs(3)
    inputs["attention_mask"][1, 15:] = 0
    with torch.no_grad():
        output = model(**inputs)
        motion, text = output.motion_embeds, output.text_embeds
        mask = inputs["attention_mask"]
        distributions = (
            model.text_encoder(model.get_text_states(inputs["input_ids"], inputs["text_mask"]), None, model.positions[:9]),
            model.motion_encoder(inputs["motion_features"], mask, model.positions[:26]),
        )
        decoded = [model.decode(latents, mask) for latents in (motion, text)]

    def smooth_l1(a: Tensor, b: Tensor) -> Tensor:
        gap = (a - b).abs()
        return torch.where(gap < 1, gap**2 / 2, gap - 0.5).mean()

    lengths = mask.sum(1).tolist()
    reconstruction = sum(
        smooth_l1(prediction[row, :length], inputs["motion_features"][row, :length]) / 3
        for prediction in decoded
        for row, length in enumerate(lengths)
    )
    gaussians = [torch.distributions.Normal(mean, (log_variance / 2).exp()) for mean, log_variance in distributions]
    normal = torch.distributions.Normal(torch.zeros_like(motion), 1.0)
    pairs = [(gaussians[0], gaussians[1]), (gaussians[1], gaussians[0]), (gaussians[0], normal), (gaussians[1], normal)]
    kl = sum(torch.distributions.kl_divergence(first, second).mean() for first, second in pairs)
    exponentials = torch.exp(F.cosine_similarity(text[:, None], motion[None], dim=-1) / 0.1)
    share = exponentials.diag() / exponentials.sum(1), exponentials.diag() / exponentials.sum(0)
    contrastive = -(share[0].log().mean() + share[1].log().mean()) / 2

    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(output.reconstruction_loss, reconstruction, **close)
    torch.testing.assert_close(output.kl_loss, kl, **close)
    torch.testing.assert_close(output.latent_loss, smooth_l1(motion, text), **close)
    torch.testing.assert_close(output.contrastive_loss, contrastive, **close)
    torch.testing.assert_close(
        output.loss, reconstruction + 0.02 * kl + 0.05 * smooth_l1(motion, text) + 0.3 * contrastive, atol=1e-5, rtol=1e-5
    )
    assert list(TMROutput.__dataclass_fields__)[:3] == ["loss", "motion_embeds", "text_embeds"]


def test_published_weights_of_the_terms():
    config = TMRConfig()
    weights = (
        config.reconstruction_weight,
        config.kl_weight,
        config.latent_weight,
        config.contrastive_weight,
        config.contrastive_temperature,
    )
    assert weights == (1.0, 1e-5, 1e-5, 0.1, 0.1)
    assert config.text_config.model_type == "distilbert"
    assert config.text_config.hidden_size == 768


def test_a_pair_that_says_the_same_is_as_if_it_were_not_there():
    model, inputs = tiny(), make_inputs(3)
    similar = torch.zeros(3, 3, dtype=torch.bool)
    similar[0, 1] = similar[1, 0] = True
    with torch.no_grad():
        filtered = model(**inputs, similar=similar)
        scores = F.cosine_similarity(filtered.text_embeds[:, None], filtered.motion_embeds[None], dim=-1) / 0.1
    expected = 0.0
    for row, kept in ((0, [0, 2]), (1, [1, 2]), (2, [0, 1, 2])):
        for own in (scores[row], scores[:, row]):
            expected += (own[kept].logsumexp(0) - own[row]) / 6
    torch.testing.assert_close(filtered.contrastive_loss, expected, atol=1e-5, rtol=1e-5)


def test_noise_of_an_example_comes_from_its_seed_alone():
    model, inputs = tiny(), make_inputs(3)
    seeds = torch.tensor([5, 6, 5])
    noise = model._noise(torch.zeros(3, 16), seeds)
    assert torch.equal(noise[:, 0], noise[:, 2])
    assert torch.equal(model._noise(torch.zeros(1, 16), seeds[1:2])[:, 0], noise[:, 1])
    assert not torch.equal(noise[0, 0], noise[1, 0])
    assert torch.equal(model(**inputs, seeds=seeds).loss, model(**inputs, seeds=seeds).loss)
    assert not torch.equal(model(**inputs, seeds=seeds).loss, model(**inputs, seeds=seeds + 1).loss)

    # Terms that do not compare the examples of a batch are means of what each gives alone, whatever its padding.
    inputs["attention_mask"][1, 15:] = 0
    whole = model(**inputs, seeds=seeds)
    alone = [model(**{name: value[row : row + 1] for name, value in inputs.items()}, seeds=seeds[row : row + 1]) for row in range(3)]
    for term in ("reconstruction_loss", "kl_loss", "latent_loss"):
        torch.testing.assert_close(whole[term], torch.stack([one[term] for one in alone]).mean(), atol=1e-5, rtol=1e-5)

    means = model(**inputs).loss
    assert torch.equal(means, model(**inputs).loss)
    model.train()
    assert not torch.equal(model(**inputs).loss, model(**inputs).loss)
    with pytest.raises(ValueError, match="Got 2 seeds for 3 examples"):
        model(**inputs, seeds=seeds[:2])


def test_noise_is_standard_normal_times_its_scale():
    noise = tiny()._noise(torch.zeros(4000, 16), torch.arange(4000))
    assert noise.mean().abs() < 4 / math.sqrt(noise.numel())
    assert abs(noise.std() - 1) < 0.02
    mean, log_variance = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, math.log(4.0)]])
    torch.testing.assert_close(Gaussian(mean, log_variance).sample(torch.tensor([[3.0, 3.0]])), torch.tensor([[4.0, 8.0]]))

    inputs, seeds = make_inputs(2), torch.tensor([1, 2])
    assert torch.equal(tiny(noise_scale=0.0)(**inputs, seeds=seeds).loss, tiny()(**inputs).loss)
    assert not torch.equal(tiny(noise_scale=0.5)(**inputs, seeds=seeds).loss, tiny()(**inputs, seeds=seeds).loss)


def test_reconstruction_has_the_asked_lengths():
    model = tiny()
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    latents = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    motions = model.decode(latents, mask)
    features = torch.randn(2, mask.shape[1], model.config.num_features)
    torch.testing.assert_close(model.reconstruct(features, mask), model.decode(model.get_motion_features(features, mask), mask))
    assert motions.shape == (2, 9, 10)
    assert not motions[1, 5:].any()
    torch.testing.assert_close(model.decode(latents[1:], mask[1:, :5])[0], motions[1, :5], atol=1e-5, rtol=1e-5)
    for wrong in (latents[:1], latents[:, :-1], latents[0]):
        with pytest.raises(ValueError, match=r"latents must be \(batch, 16\)"):
            model.decode(wrong, mask)
    with pytest.raises(ValueError, match="longer than the 5000 positions"):
        model.decode(latents, torch.ones(2, 5001))


def test_a_frozen_text_model_neither_learns_nor_drops_out():
    noisy = {**DISTILBERT, "dropout": 0.5, "attention_dropout": 0.5}
    for frozen in (True, False):
        model = tiny(text_config=noisy, freeze_text_model=frozen).train()
        inputs = make_inputs(4)
        states = [model.get_text_states(inputs["input_ids"]) for _ in range(2)]
        assert torch.equal(*states) is frozen
        before = {name: value.clone() for name, value in model.text_model.state_dict().items()}
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        model(**inputs).loss.backward()
        optimizer.step()
        same = [torch.equal(value, before[name]) for name, value in model.text_model.state_dict().items()]
        assert all(same) is frozen
        assert model.training
        assert model.text_model.training is not frozen


def test_text_states_can_be_computed_before():
    model, inputs = tiny(), make_inputs(2)
    inputs["text_mask"][1, 4:] = 0
    expected = model(**inputs, seeds=torch.tensor([1, 2])).loss
    states = model.get_text_states(inputs.pop("input_ids"), inputs["text_mask"])
    assert torch.equal(model(**inputs, text_states=states, seeds=torch.tensor([1, 2])).loss, expected)
    with pytest.raises(ValueError, match="Pass input_ids, or text_states"):
        model(**inputs)
    with pytest.raises(ValueError, match=r"text_states must be \(batch, tokens, 12\)"):
        model(**inputs, text_states=states[..., :-1])


def test_over_pretrained_text_models(tmp_path):
    torch.manual_seed(0)
    bert = BertModel(BertConfig(**{name: value for name, value in BERT.items() if name != "model_type"}))
    vision = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
    clip = CLIPModel(CLIPConfig(text_config=CLIP_TEXT, vision_config=vision, projection_dim=8))
    t5 = T5EncoderModel(T5Config(**T5))
    ids = make_inputs()["input_ids"]
    for name, text_model, states in (
        ("bert", bert, lambda: bert.eval()(ids).last_hidden_state),
        ("clip", clip, lambda: clip.eval().text_model(ids).last_hidden_state),
        ("t5", t5, lambda: t5.eval()(ids).last_hidden_state),
    ):
        text_model.save_pretrained(tmp_path / name)
        model = TMR.from_text_model(tmp_path / name, **SIZE)
        torch.testing.assert_close(model.get_text_states(ids), states())
        model.save_pretrained(tmp_path / f"tmr-{name}")
        again = TMR.from_pretrained(tmp_path / f"tmr-{name}")
        torch.testing.assert_close(again.get_text_features(ids), model.get_text_features(ids))
        assert not any(parameter.requires_grad for parameter in again.text_model.parameters())
        assert not any(name.startswith("text_model.pooler") for name in again.state_dict())


def test_untrained_weights_are_spread_as_published():
    """As `torch.nn.Transformer` and `torch.nn.Linear` make them."""
    model = tiny(hidden_size=64, num_attention_heads=4)
    model.requires_grad_(False)
    block = model.motion_encoder.blocks[0]
    assert block.self_attention.qkv.weight.abs().max() <= math.sqrt(6 / 256)
    assert block.self_attention.qkv.weight.std() == pytest.approx(math.sqrt(2 / 256), rel=0.05)
    assert not block.self_attention.out.bias.any()
    assert block.mlp[0].weight.std() == pytest.approx(1 / math.sqrt(3 * 64), rel=0.05)
    assert model.text_encoder.distribution_tokens.std() == pytest.approx(1, rel=0.2)
    assert torch.equal(block.mlp_norm.weight, torch.ones(64))


def test_auto_classes_find_a_nested_text_model_of_any_type(tmp_path):
    tiny(text_config=BERT).save_pretrained(tmp_path)
    config = TMRConfig.from_pretrained(tmp_path)
    assert isinstance(config.text_config, BertConfig)
    assert isinstance(AutoModel.from_config(config.text_config), BertModel)
    assert config.to_diff_dict()["text_config"]["model_type"] == "bert"


def test_embeddings_compile_as_one_graph():
    model, inputs = tiny(), make_inputs()
    compiled = torch.compile(model.get_motion_features, backend="eager", fullgraph=True)
    with torch.no_grad():
        expected = model.get_motion_features(inputs["motion_features"], inputs["attention_mask"])
        torch.testing.assert_close(compiled(inputs["motion_features"], inputs["attention_mask"]), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, "divisible by num_attention_heads=4"),
        ({"hidden_size": 15, "num_attention_heads": 3}, "must be even"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"contrastive_temperature": 0}, "contrastive_temperature must be positive, got 0"),
        ({"noise_scale": -1}, "noise_scale must not be negative, got -1"),
        ({"similarity": "euclidean"}, "similarity must be 'cosine'"),
        ({"text_config": {"model_type": "nothing"}}, "'nothing', which transformers does not know"),
        ({"text_config": CLIPConfig()}, "CLIPConfig has no hidden_size"),
    ],
)
def test_options_that_are_not_possible(options, message):
    with pytest.raises(ValueError, match=message):
        TMRConfig(**options)


def test_texts_longer_than_the_text_model_reads():
    with pytest.raises(ValueError, match=r"reads 16 tokens, got 17\. Tokenize with truncation=True"):
        tiny().get_text_features(torch.ones(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match="longer than the 5000 positions"):
        tiny().get_motion_features(torch.zeros(1, 4999, 10))
