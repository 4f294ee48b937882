"""Words with their parts of speech."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CAPTIONS

from hf_motion.tokenization.glove import load_glove_folder
from hf_motion.tokenization.parts_of_speech import POS_CLASSES, VIP_WORDS, build_lexicon, plain_words, pos_id, split_tagged
from hf_motion.tokenization.word_pos import WordPosTokenizer

TAGS = {
    "a man walks slowly": "a/DET man/NOUN walk/VERB slowly/ADV",
    "the man's left arm is raised": "the/DET man/NOUN left/ADJ arm/NOUN is/AUX raise/VERB",
    "a man is walking": "a/DET man/NOUN is/AUX walk/VERB",
    "walks": "walk/NOUN",
    "he walks": "he/PRON walk/VERB",
}


def classes(ids: list[int]) -> list[str]:
    return [POS_CLASSES[index] for index in ids]


@pytest.fixture
def tokenizer() -> WordPosTokenizer:
    return WordPosTokenizer.from_captions(TAGS, TAGS)


def test_classes_are_the_published_ones() -> None:
    assert POS_CLASSES == (
        "VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV", "Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP", "Desc_VIP", "OTHER",
    )  # fmt: skip
    assert [len(words) for words in VIP_WORDS.values()] == [12, 13, 10, 34, 12]
    assert len({word for words in VIP_WORDS.values() for word in words}) == 81
    assert classes([pos_id("walk", "NOUN"), pos_id("man", "NOUN"), pos_id("Bob", "PROPN")]) == ["Act_VIP", "NOUN", "OTHER"]


def test_tagged_text_follows_the_published_rules(tokenizer: WordPosTokenizer) -> None:
    output = tokenizer("", pos_tagged="a/DET man/NOUN juggle/VERB walk/NOUN slowly/ADV Arm/NOUN arm/X")
    assert tokenizer.convert_ids_to_tokens(output["input_ids"]) == ["sos", "a", "man", "unk", "walk", "slowly", "unk", "arm", "eos"]
    expected = ["OTHER", "DET", "NOUN", "OTHER", "Act_VIP", "Desc_VIP", "OTHER", "Body_VIP", "OTHER"]
    assert classes(output["pos_ids"]) == expected
    assert output["attention_mask"] == [1] * 9
    assert tokenizer("walk/VERB", pos_tagged=True)["input_ids"] == tokenizer("", pos_tagged="walk/VERB")["input_ids"]


@pytest.mark.parametrize("words", [0, 19, 20, 21, 30])
def test_long_captions_are_cut_and_keep_their_end(tokenizer: WordPosTokenizer, words: int) -> None:
    ids = tokenizer(" ".join(["walk/VERB"] * words), pos_tagged=True)["input_ids"]
    assert len(ids) == min(words, 20) + 2
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    shorter = tokenizer(" ".join(["walk/VERB"] * words), pos_tagged=True, truncation=True, max_length=7)["input_ids"]
    assert shorter == (ids if len(ids) <= 7 else [*ids[:6], tokenizer.eos_token_id])


def test_lexicon_brings_raw_text_into_the_tagged_form(tokenizer: WordPosTokenizer) -> None:
    for caption, tagged in TAGS.items():
        raw, ready = tokenizer(caption), tokenizer("", pos_tagged=tagged)
        assert raw["input_ids"] == ready["input_ids"]
        if caption != "walks":  # A verb in two captions of three.
            assert raw["pos_ids"] == ready["pos_ids"]
    assert tokenizer.tag("He WALKS, smiling") == [("he", "PRON"), ("walk", "VERB"), ("smiling", "OTHER")]
    assert tokenizer.tokenize("he hops", add_special_tokens=True) == ["sos", "he", "unk", "eos"]


def test_lexicon_of_captions_that_do_not_match_word_by_word() -> None:
    assert build_lexicon({"it can not move": "it/PRON can/AUX move/VERB"}) == {"can": "can/AUX", "it": "it/PRON", "move": "move/VERB"}
    assert build_lexicon({"b x": "b/ADJ x/NOUN", "b y": "b/NOUN y/NOUN"})["b"] == "b/ADJ"
    assert plain_words("a T-pose; don't stop 2nd time") == ["a", "Tpose", "do", "stop", "nd", "time"]
    assert split_tagged("and/or/CCONJ") == [("and/or", "CCONJ")]


def test_vocabulary_does_not_depend_on_order_and_follows_frequency() -> None:
    tokenizers = [WordPosTokenizer.from_captions(captions, TAGS) for captions in (list(TAGS), list(TAGS)[::-1])]
    assert tokenizers[0].get_vocab() == tokenizers[1].get_vocab()
    words = sorted(tokenizers[0].get_vocab(), key=tokenizers[0].get_vocab().get)
    assert words[:7] == ["sos", "eos", "unk", "walk", "man", "a", "is"]
    assert len(tokenizers[0]) == tokenizers[0].vocab_size == len(words)
    frequent = WordPosTokenizer.from_captions(list(TAGS), TAGS, min_count=2)
    assert set(frequent.get_vocab()) == {"sos", "eos", "unk", "walk", "man", "a", "is"}


def test_vocabulary_of_captions_without_tags_and_of_tagged_ones() -> None:
    raw = WordPosTokenizer.from_captions(CAPTIONS)
    words = raw.decode(raw(CAPTIONS[0])["input_ids"], skip_special_tokens=True)
    assert words == CAPTIONS[0] == "the person raises the left hand"
    assert classes(raw(CAPTIONS[0])["pos_ids"]) == ["OTHER"] * 5 + ["Loc_VIP", "Body_VIP", "OTHER"]
    tagged = WordPosTokenizer.from_captions(TAGS.values(), pos_tagged=True)
    assert tagged.get_vocab() == WordPosTokenizer.from_captions(TAGS, TAGS).get_vocab()
    assert tagged.tag("man walk") == [("man", "NOUN"), ("walk", "VERB")]


def test_batches_are_padded_with_a_mask(tokenizer: WordPosTokenizer) -> None:
    captions = ["a man walks slowly", "walks", ""]
    batch = tokenizer(captions, padding=True, return_tensors="pt")
    assert {name: tuple(value.shape) for name, value in batch.items()} == dict.fromkeys(("input_ids", "attention_mask", "pos_ids"), (3, 6))
    assert batch["attention_mask"].sum(1).tolist() == [6, 3, 2]
    hidden = batch["attention_mask"] == 0
    assert set(batch["input_ids"][hidden].tolist()) == {tokenizer.unk_token_id}
    assert set(classes(batch["pos_ids"][hidden].tolist())) == {"OTHER"}
    assert tokenizer(captions, padding="max_length", max_length=22, return_tensors="np")["pos_ids"].shape == (3, 22)
    assert tokenizer(captions[0], return_tensors="pt")["pos_ids"].shape == (1, 6)
    left = tokenizer(captions, padding=True, padding_side="left")
    assert left["attention_mask"][1] == [0, 0, 0, 1, 1, 1]
    assert classes(left["pos_ids"][1]) == ["OTHER"] * 4 + ["Act_VIP", "OTHER"]
    rows = [tokenizer(caption) for caption in captions]
    assert torch.equal(tokenizer.pad(rows, return_tensors="pt")["pos_ids"], batch["pos_ids"])
    plain = tokenizer(captions[0], add_special_tokens=False)["input_ids"]
    assert plain == tokenizer.encode(captions[0])[1:-1]


def test_some_captions_of_a_batch_may_be_tagged(tokenizer: WordPosTokenizer) -> None:
    batch = tokenizer(["he walks", "he walks"], pos_tagged=["he/PRON man/NOUN", None])
    assert tokenizer.batch_decode(batch["input_ids"]) == ["sos he man eos", "sos he walk eos"]


def test_special_words_inside_a_word_do_not_split_it() -> None:
    tokenizer = WordPosTokenizer.from_captions(["he bends his trunk"])
    assert tokenizer.tokenize("his trunk") == ["his", "trunk"]


def test_save_and_load(tokenizer: WordPosTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lexicon.json", "tokenizer_config.json", "vocab.json"]
    again = WordPosTokenizer.from_pretrained(tmp_path)
    for options in ({}, {"pos_tagged": "he/PRON man/NOUN"}):
        assert dict(again("the man's left arm, he jumps", **options)) == dict(tokenizer("the man's left arm, he jumps", **options))
    assert (again.get_vocab(), again.lexicon, again.model_max_length) == (tokenizer.get_vocab(), tokenizer.lexicon, 22)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert {"vocab", "lexicon", "vocab_file", "lexicon_file"}.isdisjoint(settings)
    assert settings["tokenizer_class"] == "WordPosTokenizer"
    shorter = WordPosTokenizer.from_pretrained(tmp_path, max_text_len=3, tagger=None)
    assert shorter.tagger is None
    assert len(shorter("", pos_tagged=TAGS["a man is walking"])["input_ids"]) == 5


def spacy_folder(folder: Path) -> Path:
    """A real spaCy pipeline whose tags are rules, since trained ones cannot be had everywhere."""
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("attribute_ruler")
    for word, (lemma, tag) in {
        "walks": ("walk", "VERB"), "arms": ("arm", "NOUN"), "left": ("leave", "VERB"), "his": ("he", "PRON"), "lefthand": ("left", "ADJ"),
    }.items():  # fmt: skip
        ruler.add([[{"LOWER": word}]], {"LEMMA": lemma, "POS": tag})
    pipeline.to_disk(folder)
    return folder


def test_spacy_tags_by_the_published_rules(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "tagger")
    tokenizer = WordPosTokenizer.from_captions(["walks left with his arms"], tagger="spacy", spacy_model=str(folder))
    assert set(tokenizer.get_vocab()) == {"sos", "eos", "unk", "walk", "left", "with", "his", "arm"}
    assert tokenizer.tag("Walks LEFT, 2x with his left-hand arms") == [
        ("walk", "VERB"), ("left", "VERB"), ("with", ""), ("his", "PRON"), ("lefthand", "ADJ"), ("arm", "NOUN"),
    ]  # fmt: skip
    tokenizer.save_pretrained(tmp_path / "saved")
    assert WordPosTokenizer.from_pretrained(tmp_path / "saved")("walks left") == tokenizer("walks left")


def test_pipeline_of_spacy_missing() -> None:
    pytest.importorskip("spacy")
    tokenizer = WordPosTokenizer(vocab=["sos", "eos", "unk"], tagger="spacy", spacy_model="no_such_pipeline")
    with pytest.raises(OSError, match=r"no pipeline 'no_such_pipeline'.*pos_tagged"):
        tokenizer("walks")


def test_spacy_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    tokenizer = WordPosTokenizer(vocab=["sos", "eos", "unk"], tagger="spacy", spacy_model="no_such_pipeline")
    assert tokenizer("", pos_tagged="walk/VERB")["input_ids"] == [0, 2, 1]
    with pytest.raises(ImportError, match=r"hf-motion\[spacy\].*pos_tagged"):
        tokenizer("walks")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (["a", None], {}, r"text\[1\] must be a string, got None"),
        (3, {}, "must be a list of strings, got 3"),
        ("a", {"pos_tagged": "walk"}, "'walk' has no slash"),
        (["a", "b"], {"pos_tagged": ["a/DET"]}, "1 entries for 2 texts"),
        (["a", "b"], {"pos_tagged": "a/DET b/X"}, "1 entries for 2 texts"),
        (["a"], {"pos_tagged": [4]}, r"pos_tagged\[0\] must be a string or None, got 4"),
        ("a", {"text_pair": "b"}, "it has no text_pair"),
        (["a"], {"is_split_into_words": True}, "it has no is_split_into_words"),
    ],
)
def test_bad_calls(tokenizer: WordPosTokenizer, text: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer(text, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "sos, eos, unk among them; got 0 words"),
        ({"vocab": ["sos", "eos", "walk"]}, "sos, eos, unk among them"),
        ({"vocab": ["sos", "eos", "unk", "a", "a"]}, "distinct words"),
        ({"vocab": ["sos", "eos", "unk"], "tagger": "nltk"}, "None or one of 'lexicon', 'spacy', got 'nltk'"),
        ({"vocab": ["sos", "eos", "unk"], "max_text_len": 0}, "at least 1, got 0"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordPosTokenizer(**options)


def test_no_tagger_says_so_and_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"without a tagger.*pos_tagged.*'lexicon', 'spacy'"):
        WordPosTokenizer(vocab=["sos", "eos", "unk"])("a man")


def test_bad_captions_and_files(tmp_path: Path) -> None:
    for captions, message in (([], "no captions"), ("a man", "list of strings"), (["a", 3], r"captions\[1\] must be a string, got 3")):
        with pytest.raises(ValueError, match=message):
            WordPosTokenizer.from_captions(captions)
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        WordPosTokenizer(vocab_file=str(tmp_path / "vocab.json"))
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(ValueError, match="must hold a list, got dict"):
        WordPosTokenizer(vocab_file=str(tmp_path / "vocab.json"))


WORDS = ["sos", "eos", "unk", "walk", "man"]


def write_glove(folder: Path, words: object = WORDS, rows: object = None, vectors: object = None) -> Path:
    np.save(folder / "our_vab_data.npy", np.arange(20, dtype=np.float64).reshape(5, 4) if vectors is None else vectors)
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(words, protocol=2))
    rows = {word: 4 - index for index, word in enumerate(WORDS)} if rows is None else rows
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps(rows, protocol=2))
    return folder


def test_published_vocabulary(tmp_path: Path) -> None:
    words, vectors = load_glove_folder(write_glove(tmp_path))
    assert words == WORDS
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[:, 0], [16, 12, 8, 4, 0])
    tokenizer = WordPosTokenizer.from_glove_folder(tmp_path)
    assert (tokenizer.tagger, tokenizer("", pos_tagged="man/NOUN walk/VERB")["input_ids"]) == ("spacy", [0, 4, 3, 1])
    with_lexicon = WordPosTokenizer.from_glove_folder(tmp_path, tags=TAGS)
    assert with_lexicon("a man walks")["input_ids"] == [0, 2, 4, 3, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"words": ["sos", 4]}, "distinct words"),
        ({"words": ["sos", "sos"]}, "distinct words"),
        ({"words": {"sos": 1}}, "must hold a list, got dict"),
        ({"rows": {"sos": 0}}, "no row of the 5 vectors for 'eos'"),
        ({"rows": dict.fromkeys(WORDS, 5)}, "no row of the 5 vectors for 'sos'"),
        ({"vectors": np.zeros((5, 2), dtype=np.int64)}, "finite numbers"),
        ({"vectors": np.full((5, 2), np.nan)}, "finite numbers"),
        ({"vectors": np.array([{}], dtype=object)}, "not a readable .npy file"),
        ({"words": np.float64(3)}, "Refused to read .*numpy"),
    ],
)
def test_vocabulary_files_that_hold_something_else(tmp_path: Path, content: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_glove_folder(write_glove(tmp_path, **content))


def test_vocabulary_files_that_are_torn_or_missing(tmp_path: Path) -> None:
    write_glove(tmp_path)
    (tmp_path / "our_vab_idx.pkl").write_bytes(b"\x80\x02]q")
    with pytest.raises(ValueError, match="Refused to read"):
        load_glove_folder(tmp_path)
    (tmp_path / "our_vab_idx.pkl").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks our_vab_idx\.pkl"):
        load_glove_folder(tmp_path)
