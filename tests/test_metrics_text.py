"""BLEU, ROUGE, METEOR and CLIPScore, beside their formulas."""

import sys
from pathlib import Path

import nltk
import numpy as np
import pytest
import torch
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.corpus.util import LazyCorpusLoader
from tiny import CAPTIONS
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, DistilBertConfig

from hf_motion.metrics import bleu, clip_score, load, meteor, rouge
from hf_motion.trainers.new_pipeline import train_clip_tokenizer

SAID = ["the person walks slowly to the left side", "a man jumps"]
MEANT = ["the person walks slowly to the right side", "a man jumps over a box"]


def counts(text: str, size: int) -> dict[tuple[str, ...], int]:
    words = text.split()
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return {gram: grams.count(gram) for gram in grams}


def shared(said: str, meant: str, size: int) -> tuple[int, int, int]:
    one, two = counts(said, size), counts(meant, size)
    return sum(min(number, two.get(gram, 0)) for gram, number in one.items()), sum(one.values()), sum(two.values())


class TestBleu:
    def test_is_the_formula(self):
        precisions = []
        for size in (1, 2, 3):
            matches, said, _ = np.sum([shared(s, m, size) for s, m in zip(SAID, MEANT, strict=True)], axis=0)
            precisions.append(matches / said)
        said, meant = (sum(len(text.split()) for text in texts) for texts in (SAID, MEANT))
        expected = np.exp(1 - meant / said) * np.exp(np.log(precisions).mean())
        result = bleu(SAID, MEANT, max_order=3)
        assert result["bleu"] == pytest.approx(expected, abs=1e-6)
        assert "tok:13a" in result["bleu_signature"]

    def test_several_references_and_bounds(self):
        assert bleu(SAID, [[other, said] for other, said in zip(MEANT, SAID, strict=True)])["bleu"] == pytest.approx(1)
        assert bleu(SAID, [MEANT[:1], [MEANT[1], SAID[1]]])["bleu"] > bleu(SAID, MEANT)["bleu"]
        assert bleu(["x y"], ["p q"])["bleu"] == 0
        assert bleu([""], ["p q"])["bleu"] == 0


class TestRouge:
    def test_is_the_formula(self):
        result = rouge(SAID, MEANT)
        for size in (1, 2):
            scores = []
            for matches, said, meant in (shared(s, m, size) for s, m in zip(SAID, MEANT, strict=True)):
                scores.append(2 * matches / (said + meant))
            assert result[f"rouge{size}"] == pytest.approx(np.mean(scores), abs=1e-6)
        assert result["rougeL"] == pytest.approx((2 * 7 / 16 + 2 * 3 / 9) / 2, abs=1e-6)

    def test_stems_several_references_and_empty(self):
        assert rouge(["he walks"], ["he walked"])["rouge1"] == pytest.approx(0.5)
        assert rouge(["he walks"], ["he walked"], stem=True) == {**dict.fromkeys(("rouge1", "rouge2", "rougeL"), 1), **_settings("stems")}
        assert rouge(SAID, [[other, said] for other, said in zip(MEANT, SAID, strict=True)])["rouge2"] == 1
        assert rouge([""], ["he walks"])["rougeL"] == 0


def _settings(words: str) -> dict[str, str]:
    return {"rouge_settings": rouge(["a"], ["a"], stem=words == "stems")["rouge_settings"]}


@pytest.fixture
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    monkeypatch.setattr(nltk.corpus, "wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))


@pytest.fixture
def small_wordnet(no_wordnet: None, tmp_path: Path) -> None:
    """WordNet's files with one entry: stride and walk mean the same."""
    folder = tmp_path / "corpora" / "wordnet"
    folder.mkdir(parents=True)
    kinds = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
    for kind, letter in kinds.items():
        head = "  1 Princeton WordNet 3.0 Copyright 2006, which this is a made-up part of.\n"
        entry = f"{len(head):08d} 00 {letter} 02 stride 0 walk 0 000 | to move on foot\n" if kind == "verb" else ""
        (folder / f"data.{kind}").write_text(head + entry)
        index = "".join(f"{word} v 1 0 1 0 {len(head):08d}  \n" for word in ("stride", "walk")) if kind == "verb" else ""
        (folder / f"index.{kind}").write_text("  1 head\n" + index)
        (folder / f"{kind}.exc").write_text("")
    (folder / "lexnames").write_text("00\tverb.all\t2\n")
    for name in ("index.sense", "cntlist.rev"):
        (folder / name).write_text("")


class TestMeteor:
    def test_is_the_formula(self, no_wordnet: None):
        """Seven matches in two chunks, of 8 words and 8; three matches of 3 and 6, in two chunks as NLTK takes the last "a" of two."""
        scores = []
        for matches, chunks, said, meant in ((7, 2, 8, 8), (3, 2, 3, 6)):
            precision, recall = matches / said, matches / meant
            scores.append(precision * recall / (0.9 * precision + 0.1 * recall) * (1 - 0.5 * (chunks / matches) ** 3))
        assert meteor(SAID, MEANT) == {"meteor": pytest.approx(np.mean(scores), abs=1e-6), "meteor_matching": "exact, stem"}

    def test_equal_empty_stems_and_several(self, no_wordnet: None):
        assert meteor(["a b c d"], ["A b c d"])["meteor"] == pytest.approx(1 - 0.5 / 4**3)
        assert meteor([""], ["a"])["meteor"] == meteor(["x"], ["a"])["meteor"] == 0
        assert meteor(["he walks"], ["he walked"])["meteor"] == meteor(["he walks"], ["he walks"])["meteor"]
        assert meteor(["a b"], [["x y", "a b"]])["meteor"] == meteor(["a b"], ["a b"])["meteor"]

    def test_without_wordnet_synonyms_are_refused(self, no_wordnet: None):
        with pytest.raises(LookupError, match=r"nltk.downloader wordnet.*synonyms=False"):
            meteor(SAID, MEANT, synonyms=True)

    @pytest.mark.filterwarnings("ignore:The multilingual functions")
    def test_with_wordnet_synonyms_match_and_the_result_says_so(self, small_wordnet: None):
        said, meant = ["they stride home"], ["they walk home"]
        without = meteor(said, meant, synonyms=False)
        found = meteor(said, meant)
        assert found == meteor(said, meant, synonyms=True)
        assert found == {"meteor": pytest.approx(1 - 0.5 / 27), "meteor_matching": "exact, stem, wordnet 3.0"}
        assert without["meteor"] < 0.5
        assert without["meteor_matching"] == "exact, stem"


@pytest.fixture(scope="module")
def tiny_clip() -> tuple[CLIPModel, object]:
    tokenizer = train_clip_tokenizer(CAPTIONS, 600)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 24, **ends}
    config = CLIPConfig(text_config={**size, **words}, vision_config={**size, "image_size": 8, "patch_size": 8}, projection_dim=8)
    return CLIPModel(config).eval(), tokenizer


class TestClipScore:
    def test_is_the_mean_cosine_of_text_embeddings(self, tiny_clip: tuple, tmp_path: Path):
        model, tokenizer = tiny_clip
        cosines = []
        for pair in zip(SAID, MEANT, strict=True):
            with torch.no_grad():
                one, two = (model.get_text_features(**tokenizer(text, return_tensors="pt")).pooler_output[0] for text in pair)
            cosines.append(float(one @ two / (one.norm() * two.norm())))
        result = clip_score(SAID, MEANT, model=model, tokenizer=tokenizer)
        assert result["clip_score"] == pytest.approx(np.mean(cosines), abs=1e-6)
        assert clip_score(SAID, MEANT, model=model, tokenizer=tokenizer, batch_size=1)["clip_score"] == pytest.approx(
            result["clip_score"], abs=1e-6
        )
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        by_name = clip_score(SAID, MEANT, model=str(tmp_path))
        assert by_name == {"clip_score": pytest.approx(result["clip_score"], abs=1e-6), "clip_model": str(tmp_path), "clip_truncated": 0}
        assert load("clip_score").compute(predictions=SAID, references=MEANT, model=str(tmp_path)) == by_name

    def test_a_text_model_alone_gives_the_same(self, tiny_clip: tuple, tmp_path: Path):
        model, tokenizer = tiny_clip
        expected = clip_score(SAID, MEANT, model=model, tokenizer=tokenizer)["clip_score"]
        config = CLIPTextConfig(**{**model.config.text_config.to_dict(), "projection_dim": 8})
        alone = CLIPTextModelWithProjection(config).eval()
        alone.text_model.load_state_dict(model.text_model.state_dict())
        alone.text_projection.load_state_dict(model.text_projection.state_dict())
        assert clip_score(SAID, MEANT, model=alone, tokenizer=tokenizer)["clip_score"] == pytest.approx(expected, abs=1e-6)
        alone.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        assert clip_score(SAID, MEANT, model=str(tmp_path))["clip_score"] == pytest.approx(expected, abs=1e-6)

    def test_random_weights_and_other_models_are_refused(self, tiny_clip: tuple, tmp_path: Path):
        """A text model without projection would score with a random matrix."""
        model, tokenizer = tiny_clip
        tokenizer.save_pretrained(tmp_path)
        CLIPTextModel(model.config.text_config).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"would be random: text_projection.weight"):
            clip_score(SAID, MEANT, model=str(tmp_path))
        DistilBertConfig().save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="type 'distilbert'; CLIPScore needs one of: clip, clip_text_model"):
            clip_score(SAID, MEANT, model=str(tmp_path))

    def test_equal_sentences_several_references_and_long_ones(self, tiny_clip: tuple):
        model, tokenizer = tiny_clip
        assert clip_score(SAID, SAID, model=model, tokenizer=tokenizer)["clip_score"] == pytest.approx(1)
        several = [[MEANT[0], SAID[0]], [SAID[1]]]
        assert clip_score(SAID, several, model=model, tokenizer=tokenizer)["clip_score"] == pytest.approx(1)
        long = ["a person walks and " * 20]
        assert clip_score(long, long, model=model, tokenizer=tokenizer)["clip_truncated"] == 1

    def test_refuses_a_model_without_tokenizer(self, tiny_clip: tuple):
        with pytest.raises(ValueError, match="CLIPModel was given without its tokenizer"):
            clip_score(SAID, MEANT, model=tiny_clip[0])


@pytest.mark.parametrize("metric", [bleu, rouge, meteor, clip_score])
@pytest.mark.parametrize(("said", "meant"), [([], []), (["a"], ["a", "b"]), (["a"], [[]]), ("a", ["a"]), (["a"], "a")])
def test_refuses_sentences_without_references(metric, said, meant):
    with pytest.raises(ValueError, match=r"at least one reference|single string"):
        metric(said, meant)


@pytest.mark.parametrize(("metric", "module"), [(bleu, "sacrebleu.metrics"), (rouge, "rouge_score.rouge_scorer"), (meteor, "nltk.corpus")])
def test_missing_library_names_the_extra(metric, module: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"hf-motion\[eval\]"):
        metric(SAID, MEANT)
