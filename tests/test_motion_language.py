"""Motion language models: making, describing, doors of a repository, adapters, and what does not fit."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import seeded, tiny_generator, tiny_language_model, tiny_pipeline
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5ForConditionalGeneration,
    pipeline,
)

from hf_motion import AutoMotionModel, Motion, MotionLanguageModel, MotionTokenizer
from hf_motion.models.motion_language.grammar import MotionGrammar
from hf_motion.models.motion_language.instructions import TASKS, Instructions
from hf_motion.models.motion_language.new_tokens import cut_layers, cut_vocabulary
from hf_motion.models.motion_language.spelled import SpelledGrammar
from hf_motion.models.motion_language.vocabulary import MotionVocabulary

ROOT = Path(__file__).parents[1]
KINDS = {
    "llama": {"kind": "llama"},
    "llama with a head of its own": {"kind": "llama", "tied": False},
    "llama, two books": {"kind": "llama", "quantizers": 2},
    "llama, numbers": {"kind": "llama", "format": "integers"},
    "t5, as MotionGPT": {"kind": "t5", "format": "motiongpt", "tied": False},
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> MotionLanguageModel:
    return tiny_language_model(**KINDS[request.param])


class TestAllKinds:
    def test_makes_motions_of_the_wanted_lengths(self, model: MotionLanguageModel) -> None:
        motions = model.generate_motion(["a person walks", "someone jumps high"], num_frames=[4, 30], seed=0)
        assert [(len(motion), motion.text) for motion in motions] == [(4, "a person walks"), (30, "someone jumps high")]
        assert all(np.isfinite(motion.joints).all() for motion in motions)

    def test_chooses_a_length_and_neighbours_do_not_matter(self, model: MotionLanguageModel) -> None:
        texts = ["a person walks", "someone runs far away and jumps", "x"]
        together = model.generate_motion(texts, generator=[seeded(seed) for seed in range(3)], output_type="codes")
        alone = [model.generate_motion(text, generator=[seeded(seed)], output_type="codes")[0] for seed, text in enumerate(texts)]
        assert all(torch.equal(one, two) for one, two in zip(alone, together, strict=True))
        books, size = model.vq_model.config.num_quantizers, model.vq_model.config.codebook_size
        assert all(len(clip) == books and 1 <= clip.shape[1] <= 12 and 0 <= clip.min() <= clip.max() < size for clip in together)
        other = model.generate_motion(texts, 40, seed=5, output_type="codes")
        assert not torch.equal(other[0], model.generate_motion(texts, 40, seed=6, output_type="codes")[0])
        pair = model.generate_motion(texts[0], 40, temperature=0, output_type="codes") * 2
        assert torch.equal(*pair)

    def test_save_and_load_are_the_same_to_the_last_bit(self, model: MotionLanguageModel, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        assert not [path for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
        again = AutoMotionModel.from_pretrained(tmp_path)
        assert isinstance(again, MotionLanguageModel)
        assert not again.training
        weights = again.state_dict()
        assert weights.keys() == model.state_dict().keys()
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
        one, two = (m.generate_motion("a person walks", 32, seed=1, output_type="codes")[0] for m in (model, again))
        assert torch.equal(one, two)

    def test_describes_goes_on_and_fills_gaps(self, model: MotionLanguageModel) -> None:
        clips = model.generate_motion(["a person walks", "a person runs"], [16, 12], seed=0)
        captions = model.caption_motion(clips, max_new_tokens=5)
        assert captions == [model.caption_motion(clip, max_new_tokens=5)[0] for clip in clips]
        assert all(captions)
        assert not any("motion_" in caption for caption in captions)
        assert captions == model.caption_motion(clips, max_new_tokens=5, temperature=0)
        # A motion of n poses has n - 1 frames of features, and these are filled up to whole tokens.
        shown = model.encode_motions(clips)
        longer = model.continue_motion(clips, 8, texts=["a walk", "a run"], seed=0, output_type="codes")
        assert all(torch.equal(clip, new[:, : clip.shape[1]]) for clip, new in zip(shown, longer, strict=True))
        assert [new.shape[1] for new in longer] == [clip.shape[1] + 2 for clip in shown]
        assert [len(motion) for motion in model.continue_motion(clips, [5, 6], seed=0)] == [21, 18]
        filled = model.in_between(clips[:1], clips[1:], 8, seed=0, output_type="codes")[0]
        assert torch.equal(torch.cat((filled[:, :4], filled[:, 6:]), 1), torch.cat(shown, 1))
        assert len(model.in_between(clips[0], clips[1], seed=0)) == 1


class TestDoors:
    def test_three_pipelines_of_one_repository(self, tmp_path: Path) -> None:
        model = tiny_language_model()
        expected = model.generate_motion("a person walks", 32, seed=0)[0]
        model.save_pretrained(tmp_path)
        made = pipeline("text-to-motion", model=str(tmp_path))("a person walks", num_frames=32, seed=0)
        np.testing.assert_allclose(made.joints, expected.joints, atol=1e-5)
        described = pipeline("motion-to-text", model=str(tmp_path))
        made.save(tmp_path / "walk.npz")
        assert described([made, tmp_path / "walk.npz"]) == [{"generated_text": text} for text in model.caption_motion([made] * 2)]
        assert described(made, batch_size=1, temperature=1.0, seed=3) == described(made, temperature=1.0, seed=3)
        plain = pipeline("text-generation", model=str(tmp_path))
        assert type(plain.model) is LlamaForCausalLM
        prompt = "Generate motion: a person walks\n<motion_start>"
        said = plain(prompt, max_new_tokens=4, do_sample=False, return_full_text=False)[0]["generated_text"]
        ids = model.tokenizer(prompt, return_tensors="pt")
        greedy = model.language_model.generate(**ids, max_new_tokens=4, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert said == model.tokenizer.decode(greedy, skip_special_tokens=True)

    @pytest.mark.slow
    def test_trust_remote_code_without_import(self, tmp_path: Path) -> None:
        tiny_language_model().save_pretrained(tmp_path / "model")
        code = (
            "from transformers import AutoModel; import sys; assert 'hf_motion' not in sys.modules; "
            f"m = AutoModel.from_pretrained({str(tmp_path / 'model')!r}, trust_remote_code=True); "
            "print(len(m.generate_motion('a person walks', 8)[0]))"
        )
        environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "PATH": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.stdout.strip() == "8", done.stderr[-2000:]

    def test_push_and_reload(self, hub) -> None:
        model = tiny_language_model()
        model.push_to_hub("org/motion-lm")
        again = AutoMotionModel.from_pretrained("org/motion-lm")
        assert again.feature_extractor.mean == model.feature_extractor.mean
        assert torch.equal(*(m.generate_motion("a", 8, seed=0, output_type="codes")[0] for m in (model, again)))

    def test_other_models_come_through_the_same_door(self, tmp_path: Path) -> None:
        tiny_generator("t2m-gpt").save_pretrained(tmp_path / "t2m")
        tiny_pipeline().save_pretrained(tmp_path / "mdm")
        assert [type(AutoMotionModel.from_pretrained(tmp_path / name)).__name__ for name in ("t2m", "mdm")] == ["T2MGPT", "MotionSystem"]
        with pytest.raises(ValueError, match="MotionSystem, which has no caption_motion"):
            pipeline("motion-to-text", model=str(tmp_path / "mdm"))

    def test_card_and_configuration(self, tmp_path: Path) -> None:
        tiny_language_model().save_pretrained(tmp_path)
        card = (tmp_path / "README.md").read_text()
        assert "`<motion_start><motion_0><motion_end>`" in card
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["architectures"] == ["LlamaForCausalLM"]
        assert config["motion"]["first_token_id"] == 600
        assert set(config["motion"]["instructions"]) == set(TASKS)

    def test_a_chat_base_is_asked_in_turns(self) -> None:
        model = tiny_language_model(chat=True)
        assert model.config.motion["chat"]
        assert model.tokenizer.decode(model.prompts.question("walk")).strip() == "user : walk answer :"
        assert len(model.generate_motion("a person walks", 8, seed=0)[0]) == 8


class TestAdapters:
    def test_saved_alone_and_merged(self, tmp_path: Path) -> None:
        tiny_language_model().save_pretrained(tmp_path / "base")
        model = MotionLanguageModel.from_pretrained(tmp_path / "base")
        rows = list(range(model.vocabulary.first, model.vocabulary.first + model.vocabulary.size))
        config = LoraConfig(r=2, target_modules="all-linear", trainable_token_indices=rows, task_type="CAUSAL_LM")
        model.language_model = get_peft_model(model.language_model, config).eval()
        with torch.no_grad():
            for name, weight in model.language_model.named_parameters():
                if weight.requires_grad:
                    weight.add_(0.3 * torch.randn(weight.shape, generator=seeded(len(name))))
        model.save_pretrained(tmp_path / "adapters")
        names = {path.name for path in (tmp_path / "adapters").iterdir()}
        assert names == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
        again = AutoMotionModel.from_pretrained(tmp_path / "adapters")
        question = torch.tensor([model.prompts.question("a person walks")])
        logits = [m.language_model(question).logits for m in (model, again)]
        assert torch.equal(*logits)
        base = MotionLanguageModel.from_pretrained(tmp_path / "base").language_model(question).logits
        assert (base - logits[0]).abs().max() > 1e-2
        made = pipeline("text-to-motion", model=str(tmp_path / "adapters"))("a person walks", num_frames=16, seed=0)
        np.testing.assert_array_equal(made.joints, model.generate_motion("a person walks", 16, seed=0)[0].joints)
        again.merge_adapters().save_pretrained(tmp_path / "merged")
        merged = MotionLanguageModel.from_pretrained(tmp_path / "merged")
        assert merged.config.tie_word_embeddings
        torch.testing.assert_close(merged.language_model(question).logits, logits[0], atol=1e-5, rtol=1e-5)
        assert torch.equal(merged.language_model(question).logits, again.language_model(question).logits)
        with pytest.raises(ValueError, match="no adapters to merge"):
            merged.merge_adapters()

    def test_a_pickle_of_adapters_is_refused(self, tmp_path: Path) -> None:
        tiny_language_model().save_pretrained(tmp_path / "base")
        (tmp_path / "adapters").mkdir()
        content = {"base_model_name_or_path": str(tmp_path / "base"), "peft_type": "LORA"}
        (tmp_path / "adapters" / "adapter_config.json").write_text(json.dumps(content))
        (tmp_path / "adapters" / "adapter_model.bin").write_bytes(b"x")
        with pytest.raises(ValueError, match=r"no adapter_model\.safetensors"):
            AutoMotionModel.from_pretrained(tmp_path / "adapters")


class TestNewRows:
    @pytest.mark.parametrize("tied", [True, False])
    def test_rows_spread_as_the_old_ones_and_these_stay(self, tied: bool) -> None:
        model = tiny_language_model(tied=tied)
        table, head = model.language_model.get_input_embeddings().weight, model.language_model.get_output_embeddings().weight
        assert (table is head) is tied
        for weight in (table, head):
            assert len(weight) == 636
            assert 0.6 < float((weight[600:].std(0).mean() / weight[:600].std(0).mean()).detach()) < 1.4

    def test_a_head_of_its_own_survives_in_t5(self, tmp_path: Path) -> None:
        """transformers' `T5Config` says that every T5 is tied, and whoever believes it throws the head away."""
        model = tiny_language_model("t5", tied=False)
        head = model.language_model.lm_head.weight
        assert not torch.equal(head, model.language_model.shared.weight)
        model.save_pretrained(tmp_path)
        again = MotionLanguageModel.from_pretrained(tmp_path).language_model
        assert torch.equal(again.lm_head.weight, head)
        plain = T5ForConditionalGeneration.from_pretrained(tmp_path)
        assert plain.config.tie_word_embeddings  # the upstream trap, still there
        again.resize_token_embeddings(len(head) + 1)
        assert torch.equal(again.lm_head.weight[:-1], head)

    def test_wide_vocabularies_are_not_cut(self) -> None:
        model = tiny_language_model()
        base = LlamaForCausalLM(type(model.language_model.config)(**{**model.language_model.config.to_dict(), "vocab_size": 700}))
        tokenizer = tiny_language_model().tokenizer
        grown = MotionLanguageModel.from_base(base, tokenizer, model.vq_model, max_tokens=12)
        assert grown.language_model.get_input_embeddings().weight.shape[0] == 700

    def test_fewer_layers(self) -> None:
        for kind in ("llama", "t5"):
            language_model = tiny_language_model(kind).language_model
            cut_layers(language_model, 1)
            assert language_model.config.num_hidden_layers == 1
            one = torch.ones(1, 3, dtype=torch.long)
            more = {"decoder_input_ids": one} if kind == "t5" else {}
            again = type(language_model)(language_model.config)
            again.load_state_dict(language_model.state_dict())
            torch.testing.assert_close(again.eval()(one, **more).logits, language_model.eval()(one, **more).logits)
        with pytest.raises(ValueError, match="from 1 to the 1 layers"):
            cut_layers(language_model, 2)

    def test_fewer_words(self) -> None:
        letters = {letter: place for place, letter in enumerate(["<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
        merges = [("w", "a"), ("wa", "l"), ("wal", "k"), ("j", "u"), ("ju", "m"), ("jum", "p")]
        words = {**letters, **{"".join(pair): len(letters) + place for place, pair in enumerate(merges)}}
        backend = Tokenizer(models.BPE(words, merges))
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")
        for kind in ("llama", "t5"):
            model = tiny_language_model(kind).language_model
            model.resize_token_embeddings(len(words))
            rows = model.get_input_embeddings().weight.detach().clone()
            smaller = cut_vocabulary(model, tokenizer, len(letters) + 3)
            assert (len(tokenizer), len(smaller)) == (len(words), len(letters) + 3)
            assert smaller.tokenize("walk jump") == ["walk", "Ġ", "j", "u", "m", "p"]
            assert smaller.decode(smaller("walk jump").input_ids) == "walk jump"
            assert torch.equal(model.get_input_embeddings().weight, rows[: len(smaller)])
            assert model.get_output_embeddings().weight.shape[0] == model.config.vocab_size == len(smaller)
        for size in (len(letters) - 1, len(words) + 1):
            with pytest.raises(ValueError, match=f"from {len(letters)}, which its letters and special tokens take, to the {len(words)}"):
                cut_vocabulary(model, tokenizer, size)
        backend.model = models.BPE({**words, "ju": words["jump"], "jump": words["ju"]}, merges)
        with pytest.raises(ValueError, match="not in the order of its merges"):
            cut_vocabulary(model, PreTrainedTokenizerFast(tokenizer_object=backend), len(letters) + 4)
        whole = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0})))
        with pytest.raises(ValueError, match="is WordLevel"):
            cut_vocabulary(model, whole, 1)


class TestGrammar:
    VOCABULARY = MotionVocabulary(first=10, size=12, codebook_size=4, num_quantizers=2, format="motion")

    def allowed(self, made: list[int], **options) -> list[int]:
        grammar = MotionGrammar(self.VOCABULARY, [3], **options)
        grammar(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 30))
        ids = torch.tensor([[0, 0, *made]])
        return grammar(ids, torch.zeros(1, 30)).isfinite().nonzero()[:, 1].tolist()

    def test_books_take_turns_and_the_end_comes_between_steps(self) -> None:
        first, second, end = [10, 11, 12, 13], [18, 19, 20, 21], 15
        assert (self.VOCABULARY.book(0), self.VOCABULARY.book(1)) == ((10, 14), (18, 22))
        assert self.allowed([]) == first
        assert self.allowed([10]) == second
        assert self.allowed([10, 18]) == [*first, end]
        assert self.allowed([10, 18] * 3) == [end]
        assert self.allowed([10, 18], counts=[2]) == first
        assert self.allowed([10, 18] * 2, counts=[2]) == [end]

    def test_ids_and_codes(self) -> None:
        codes = torch.tensor([[0, 3], [1, 2]])
        ids = self.VOCABULARY.ids(codes)
        assert ids == MotionTokenizer(4, 2).codes_to_ids(codes).add(10).tolist()
        assert torch.equal(self.VOCABULARY.codes(ids), codes)
        with pytest.raises(ValueError, match="codes are 0 to 3, got 0 to 4"):
            self.VOCABULARY.ids(torch.tensor([[0, 4], [1, 2]]))
        with pytest.raises(ValueError, match="At token 1, 11 is no motion code"):
            self.VOCABULARY.codes([10, 11])

    @pytest.mark.parametrize(("format", "text"), [("integers", "12,3,31"), ("list", "[12, 3, 31]")])
    def test_numbers(self, format: str, text: str) -> None:
        """A tokenizer of single letters, two digits at once, and of pieces across the comma."""
        pieces = {**{letter: place for place, letter in enumerate("0123456789,[] ")}, "12": 14, ",3": 15, "31": 16, ", ": 17, "32": 18}

        class Letters:
            eos_token_id, all_special_ids = 19, [19]

            def get_vocab(self) -> dict[str, int]:
                return pieces

        grammar = SpelledGrammar(Letters(), format, 32, [3], [3])
        empty = torch.zeros(1, 0, dtype=torch.long)
        grammar(empty, torch.zeros(1, 20))
        said: list[int] = []
        while True:
            allowed = grammar(torch.tensor([said], dtype=torch.long).reshape(1, -1), torch.zeros(1, 20)).isfinite()[0]
            rest = text.removeprefix("".join(grammar.pieces[index] for index in said))
            if not rest:
                break
            assert bool(allowed[19]) == (text.removesuffix(rest) == "12,3,3")
            assert not allowed[18]
            fitting = [index for piece, index in pieces.items() if rest.startswith(piece)]
            assert allowed[fitting].all(), (rest, allowed)
            said.append(max(fitting))
        assert allowed.nonzero()[:, 0].tolist() == [19]


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"texts": []}, "at least one"),
            ({"num_frames": 0}, "from 1 to 48, got 0"),
            ({"num_frames": 49}, "from 1 to 48, got 49"),
            ({"num_frames": [4, 5]}, "2 entries for 1 prompts"),
            ({"temperature": -1}, "temperature"),
            ({"output_type": "pil"}, "'motion', 'features', 'codes'"),
            ({"generator": [seeded()] * 2}, "2 generators for 1"),
            ({"texts": "walk " * 300}, "tokens; with what is to be made of it .* 256 at most"),
        ],
    )
    def test_options(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tiny_language_model().generate_motion(**{"texts": "a", **options})

    def test_motions(self) -> None:
        model = tiny_language_model()
        clip = model.generate_motion("a", 48, seed=0)[0]
        for bad in ([], ["walk.bvh"]):
            with pytest.raises(ValueError, match="Pass a Motion"):
                model.caption_motion(bad)
        with pytest.raises(ValueError, match="12 tokens of 4 frames, and 2 more are wanted"):
            model.continue_motion(clip, 8)
        with pytest.raises(ValueError, match="1 starts and 2 ends"):
            model.in_between(clip, [clip, clip])
        with pytest.raises(ValueError, match="2 texts for 1 motions"):
            model.continue_motion(Motion(clip.joints[:9], fps=clip.fps), texts=["a", "b"])

    def test_long_motions_are_cut_aloud(self, caplog: pytest.LogCaptureFixture) -> None:
        model = tiny_language_model()
        model.caption_motion(Motion(np.random.default_rng(0).normal(size=(70, 22, 3)), fps=20), max_new_tokens=1)
        assert "reads the first 48" in caplog.text

    def test_a_base_without_chat_template(self) -> None:
        model = tiny_language_model()
        with pytest.raises(ValueError, match=r"no chat template.*chat=False"):
            MotionLanguageModel.from_base(model.language_model, model.tokenizer, model.vq_model, chat=True)

    def test_tokens_that_are_missing_or_moved(self, tmp_path: Path) -> None:
        model = tiny_language_model()
        model.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        config["motion"]["first_token_id"] = 590
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"have moved: '<motion_0>' has id 600.*learned it as 590.*from_base"):
            AutoMotionModel.from_pretrained(tmp_path)
        # The plain model loads, so transformers would go on with that.
        with pytest.raises(ValueError, match="have moved"):
            pipeline("text-to-motion", model=str(tmp_path))
        vocabulary = {
            "text_tokenizer": AutoTokenizer.from_pretrained(tmp_path),
            "motion_tokenizer": MotionTokenizer(64),
            "format": "motion",
        }
        with pytest.raises(ValueError, match="32 of the 68 motion tokens"):
            MotionVocabulary.find(**vocabulary)

    def test_a_repository_without_motion_tokenizer(self, tmp_path: Path) -> None:
        model = tiny_language_model()
        model.language_model.save_pretrained(tmp_path)
        model.tokenizer.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="no folder motion_tokenizer/"):
            pipeline("text-to-motion", model=str(tmp_path))
        AutoModelForCausalLM.from_pretrained(tmp_path).config.motion = None
        with pytest.raises(OSError, match="nothing-here"):
            AutoMotionModel.from_pretrained(tmp_path / "nothing-here")

    def test_a_motion_tokenizer_of_another_size(self, tmp_path: Path) -> None:
        model = tiny_language_model()
        model.save_pretrained(tmp_path)
        tiny_language_model(quantizers=2).save_pretrained(tmp_path / "other")
        (tmp_path / "motion_tokenizer").rename(tmp_path / "old")
        (tmp_path / "other" / "motion_tokenizer").rename(tmp_path / "motion_tokenizer")
        with pytest.raises(ValueError, match=r"num_quantizers is 2 in the motion tokenizer's model, 2 .* and 1 in"):
            MotionLanguageModel.from_pretrained(tmp_path)

    @pytest.mark.parametrize(
        ("templates", "message"),
        [
            ({}, "Instructions are wordings by task"),
            ({"dance": ["{text}"]}, "Unknown task 'dance'"),
            ({"text_to_motion": []}, "at least one wording"),
            ({"text_to_motion": ["Move"]}, "lacks {text}"),
            ({"text_to_motion": ["{text} {speed}"]}, "placeholder {speed}; it may have {frames}, {seconds}, {text}"),
        ],
    )
    def test_instructions(self, templates: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Instructions(templates)
