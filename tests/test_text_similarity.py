"""Captions that say the same are found, by a sentence model or by their text."""

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertModel, BertTokenizer

from hf_motion.retrieval.text_similarity import SentenceEncoder, cosine_threshold, equal_captions, similar_captions, similar_pairs

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "person", "walks", "runs", "slowly"]
CAPTIONS = ["a man walks", "a person walks slowly", "a man runs", "a man walks"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sentence model as one lies on the Hub."""
    folder = tmp_path_factory.mktemp("sentences")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 8}
    BertModel(BertConfig(vocab_size=len(WORDS), initializer_range=0.3, **sizes)).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_embeddings_are_means_of_tokens(folder):
    encoder = SentenceEncoder(folder)
    embeddings = encoder(CAPTIONS)
    assert embeddings.shape == (4, 16)
    for caption, embedding in zip(CAPTIONS, embeddings, strict=True):
        tokens = encoder.tokenizer(caption, return_tensors="pt")
        with torch.no_grad():
            mean = encoder.model(**tokens).last_hidden_state[0].mean(0)
        torch.testing.assert_close(embedding, mean / mean.norm(), atol=1e-6, rtol=1e-5)


def test_each_caption_is_encoded_once(folder):
    encoder = SentenceEncoder(folder, batch_size=2)
    seen = []
    encoder.model.register_forward_pre_hook(lambda model, args, inputs: seen.append(len(inputs["input_ids"])), with_kwargs=True)
    first = encoder(CAPTIONS)
    assert seen == [2, 1]
    assert torch.equal(first[0], first[3])
    assert torch.equal(encoder(CAPTIONS[::-1]), first.flip(0))
    assert seen == [2, 1]
    encoder([*CAPTIONS, "a person runs"])
    assert seen == [2, 1, 1]


def test_batches_do_not_matter_and_long_captions_are_cut(folder):
    whole = SentenceEncoder(folder)(CAPTIONS)
    torch.testing.assert_close(SentenceEncoder(folder, batch_size=1)(CAPTIONS), whole, atol=1e-6, rtol=1e-5)
    long = SentenceEncoder(folder)(["a man walks " * 20, "a man walks " * 30])
    assert torch.equal(long[0], long[1])


def test_a_loaded_model_needs_its_tokenizer(folder):
    encoder = SentenceEncoder(folder)
    again = SentenceEncoder(encoder.model, encoder.tokenizer)
    assert torch.equal(again(CAPTIONS), encoder(CAPTIONS))
    with pytest.raises(ValueError, match="Pass the tokenizer of this BertModel"):
        SentenceEncoder(encoder.model)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        SentenceEncoder(folder, batch_size=0)


def test_pairs_above_the_threshold():
    angles = torch.tensor([0.0, 0.3, 0.9])  # cosines 0.955 (0, 1), 0.825 (1, 2), 0.622 (0, 2)
    embeddings = torch.stack((angles.cos(), angles.sin()), 1) * torch.tensor([[1.0], [5.0], [0.1]])
    for threshold, pairs in ((0.97, set()), (0.85, {(0, 1)}), (0.7, {(0, 1), (1, 2)}), (cosine_threshold(0.8), {(0, 1), (1, 2), (0, 2)})):
        similar = similar_pairs(embeddings, threshold)
        assert similar.dtype == torch.bool
        assert torch.equal(similar, similar.T)
        assert similar.diagonal().all()
        assert {(i, j) for i, j in similar.nonzero().tolist() if i < j} == pairs


def test_the_two_published_thresholds():
    """TMR says 0.8 of (cosine + 1) / 2, HumanTOMATO 0.85 of the cosine."""
    assert cosine_threshold(0.8) == pytest.approx(0.6)
    cosines = torch.linspace(-1, 1, 41)
    assert torch.equal((cosines + 1) / 2 > 0.8 + 1e-6, cosines > cosine_threshold(0.8) + 1e-6)
    with pytest.raises(ValueError, match=r"scores are in \[0, 1\], got 1.2"):
        cosine_threshold(1.2)


def test_equal_captions_differ_by_case_spaces_and_full_stop_only():
    captions = ["A man  walks. ", "a man walks", "a man walks backwards", "a man walks!"]
    similar = equal_captions(captions)
    assert similar.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [3, 3]]


def test_similar_captions_with_and_without_a_model(folder):
    assert torch.equal(similar_captions(CAPTIONS), equal_captions(CAPTIONS))
    encoder = SentenceEncoder(folder)
    embeddings = encoder(CAPTIONS)
    cosines = F.cosine_similarity(embeddings[:, None], embeddings[None], dim=-1)
    between = cosines[0, [1, 2]].mean().item()  # above one of them, below the other
    similar = similar_captions(CAPTIONS, encoder, between)
    assert similar[0, 3]
    assert similar[0, 1] != similar[0, 2]
    assert torch.equal(similar, similar_pairs(embeddings, between))


@pytest.mark.parametrize("captions", [[], "a man walks"])
def test_captions_must_be_a_list(captions, folder):
    for function in (equal_captions, SentenceEncoder(folder)):
        with pytest.raises(ValueError, match="captions must be a list of at least one text"):
            function(captions)


@pytest.mark.parametrize(
    ("embeddings", "threshold", "message"),
    [
        (torch.ones(3), 0.5, r"\(captions, width\) and finite, got shape \(3,\)"),
        (torch.full((2, 2), torch.nan), 0.5, "finite"),
        (torch.ones(2, 2), 1.5, r"cosine in \[-1, 1\], got 1.5"),
    ],
)
def test_what_cannot_be_compared(embeddings, threshold, message):
    with pytest.raises(ValueError, match=message):
        similar_pairs(embeddings, threshold)
