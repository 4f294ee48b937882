"""Text tokenizers that get motion tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import CAPTIONS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5Tokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from hf_motion.tokenization.motion_formats import motiongpt_tokens
from hf_motion.tokenization.motion_tokenizer import MotionTokenizer
from hf_motion.tokenization.word_pos import WordPosTokenizer
from hf_motion.trainers.new_pipeline import train_clip_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> MotionTokenizer:
    return MotionTokenizer()


@pytest.fixture(scope="module")
def residual() -> MotionTokenizer:
    return MotionTokenizer(codebook_size=16, num_quantizers=3)


def text_tokenizers() -> dict[str, PreTrainedTokenizerBase]:
    """A byte-level BPE, a SentencePiece-like Unigram and a word-level one, and one of ours, all real and small."""
    letters = "abcdefghijklmnopqrstuvwxyz<>_0123456789"
    pieces = [(piece, -3.0) for piece in ("<pad>", "</s>", "<unk>", "▁", *letters)]
    words = Tokenizer(WordLevel({"[UNK]": 0, "a": 1, "man": 2, "walks": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return {
        "clip": train_clip_tokenizer(CAPTIONS, 520),
        "t5": T5Tokenizer(vocab=pieces, extra_ids=2),
        "words": PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]"),
        "ours": WordPosTokenizer.from_captions(CAPTIONS),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["clip", "t5", "words"])
@pytest.mark.parametrize("layout", ["motiongpt", "motion"])
def test_extended_text_tokenizers_read_and_write_motions(tokenizer: MotionTokenizer, name: str, layout: str, tmp_path: Path) -> None:
    text_tokenizer = text_tokenizers()[name]
    before, size = text_tokenizer.get_vocab(), len(text_tokenizer)
    ids = tokenizer.extend(text_tokenizer, format=layout)
    assert list(ids.values()) == list(range(size, size + (515 if layout == "motiongpt" else 516)))
    assert len(text_tokenizer) == size + len(ids)
    assert before.items() < text_tokenizer.get_vocab().items()
    assert tokenizer.extend(text_tokenizer, format=layout) == ids
    assert len(text_tokenizer) == size + len(ids)
    codes = np.random.default_rng(7).integers(512, size=20)
    text = tokenizer.encode_motion(codes, format=layout)
    sentence = f"a man walks {text} a man"
    text_tokenizer.save_pretrained(tmp_path)
    for read in (text_tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        tokens = read(sentence)["input_ids"]
        assert [index for index in tokens if index >= size] == [size + code for code in tokenizer_ids(tokenizer, codes, layout)]
        assert tokenizer.decode_motion(read.decode(tokens), format=layout).codes.tolist() == codes.tolist()
        assert tokenizer.extend(read, format=layout) == ids


def tokenizer_ids(tokenizer: MotionTokenizer, codes: np.ndarray, layout: str) -> list[int]:
    """Ids from code 0 on: start and end follow the codes in either format."""
    assert [meaning.kind for meaning in motiongpt_tokens(512).values()][512:] == ["start", "end", "mask"]
    return tokenizer.codes_to_ids(codes).tolist()


def test_extend_with_several_quantizers_and_tokenizers_of_ours(residual: MotionTokenizer) -> None:
    text_tokenizer = text_tokenizers()["ours"]
    size = len(text_tokenizer)
    ids = residual.extend(text_tokenizer, format="motion")
    assert list(ids) == list(residual.get_vocab())
    assert ids["<motion_0>"] == size
    assert ids["<motion_2_15>"] == size + 51
    assert residual.extend(residual, format="motion") == residual.get_vocab()


def test_extend_refuses_what_would_mix_up_ids(tokenizer: MotionTokenizer) -> None:
    tokens = list(motiongpt_tokens(512))
    partly = text_tokenizers()["words"]
    partly.add_tokens(tokens[:7])
    size = len(partly)
    with pytest.raises(ValueError, match=r"has 7 of the 515 motion tokens, but not '<motion_id_7>'.*without motion tokens.*codebook_size"):
        tokenizer.extend(partly)
    assert len(partly) == size
    swapped = text_tokenizers()["words"]
    swapped.add_tokens([tokens[1], tokens[0], *tokens[2:]])
    with pytest.raises(ValueError, match=r"in another order: '<motion_id_1>' has id 4, not 6.*without motion tokens"):
        tokenizer.extend(swapped)
    torn = text_tokenizers()["words"]
    torn.add_tokens([*tokens[:9], "jumps", *tokens[9:]])
    with pytest.raises(ValueError, match=r"in another order: '<motion_id_9>' has id 14, not 13"):
        tokenizer.extend(torn)


def test_extend_refuses_other_things(tokenizer: MotionTokenizer, residual: MotionTokenizer) -> None:
    for layout in ("integers", "list"):
        with pytest.raises(ValueError, match=f"'{layout}' is plain text and has no tokens to add"):
            tokenizer.extend(text_tokenizers()["words"], format=layout)
    with pytest.raises(ValueError, match="one quantizer, this tokenizer has 3"):
        residual.extend(text_tokenizers()["words"])
    with pytest.raises(TypeError, match="must be a tokenizer of transformers, got str"):
        tokenizer.extend("t5-small")
