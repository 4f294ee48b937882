"""Other wordings of captions: what they must keep, and how training draws them."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from tiny import CAPTIONS, FIXTURES, tiny_pipeline

from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, mirror_text
from hf_motion.data.paraphrases import Paraphrases, load_paraphrases
from hf_motion.trainers import diffusion
from hf_motion.trainers.diffusion import DiffusionCollator, DiffusionTrainer, DiffusionTrainingArguments

FOLDER = Path(__file__).parents[1] / "training" / "paraphrases"
SIDES = re.compile(r"(?<!energy )\b(left|right|both)(?:wards?)?\b|\b(one)[- ](?:hand|arm)")
HELD_OUT = Path(__file__).parent / "benchmarks" / "wordings.yaml"
FORBIDDEN = {
    r"^(walk|stride|turn \w+ while walking|veer \w+ while walking|sneak|walk (back|diag|like|on|a|slow|sad|quick|in place).*)$":
        "run jog jump hop leap sprint sit crawl kick punch danc wav",
    r"^walk backward$": "forward ahead diagonal",
    r"^(walk|stride|run|jog|sprint)$": "backward retreat revers diagonal turn veer curv",
    r"^(run|jog|sprint|(turn|veer) .* while (running|jogging))$": "walk jump hop leap stroll kick crawl danc",
    r"^sprint$": "jog slow",
    r"^(jump|high jump|jump forward|jump and turn.*)$": "run jog walk kick punch danc",
    r"^wave": "walk run jump kick punch clap bow danc",
    r"^raise .* (hand|hands)$": "wav walk run jump kick punch leg knee",
    r"^(bow|call out)$": "walk run jump kick punch danc wav sit",
    r"^dance$": "walk run jump kick punch sit",
    r"^(punch|punches|jab.*|punch .*)$": "kick jump walk run danc",
    r"^(kicks|.* kick)$": "punch walk run danc",
    r"^kick a ball$": "punch walk run danc dribbl basketball",
    r"^(slash|swing a sword|swordplay)": "kick punch walk run jump",
    r"^stand idle$": "walk run jog jump sit kick punch danc wav",
    r"^sit down$": "up jump walk run kick",
    r"^stand up$": "down jump walk run kick",
    r"^(squats|deep squat)$": "lunge jump jog walk sit",
    r"^(side lunge|lunge).*": "squats jump jog walk sit",
    r"^(raise the (left|right) arm|rotate|swing the) .*": "leg knee wav walk",
    r"^(raise the straight|step over a hurdle).*": "arm wav run jump",
    r"^(cartwheel|cartwheels)$": "somersault backflip roll run",
    r"^(backflip|side flip)$": "cartwheel roll",
    r"^(drink|eat|clap|nod|shrug|laugh|mop the floor|wash windows)$": "walk run jump kick punch danc",
    r"^act like": "walk run jump",
}  # fmt: skip


@pytest.fixture(scope="module")
def say() -> Paraphrases:
    return load_paraphrases(FOLDER)


@cache
def sides(text: str) -> set[str]:
    return {one or other for one, other in SIDES.findall(text.lower())}


def plain(text: str) -> str:
    return text.lower().removesuffix(".")


def test_every_caption_has_wordings_that_keep_its_sides(say: Paraphrases) -> None:
    # Of a template's captions, those of one subject: the others have the same wordings.
    other = re.compile(r"^(the person|a human|the figure|someone|a man)\b")
    known = set(say.captions)
    checked = [one for one in say.captions if not other.match(one) or other.sub("a person", one) not in known]
    for caption in checked:
        wordings = say(caption)
        assert len(wordings) >= 8, caption
        assert len({wording.lower() for wording in wordings}) >= 0.95 * len(wordings), caption
        assert [wording for wording in wordings if sides(wording) != sides(caption)] == [], caption
    assert len(checked) > 2000


def test_wordings_name_no_other_action(say: Paraphrases) -> None:
    used = set()
    for action in say.actions():
        for pattern, words in FORBIDDEN.items():
            if re.search(pattern, action.name):
                used.add(pattern)
                wrong = re.compile(rf"\b(?:{'|'.join(words.split())})")
                assert [wording for wording in say.of_action(action.name) if wrong.search(wording.lower())] == [], action.name
    assert used == set(FORBIDDEN)


def test_wordings_are_no_caption_of_another_action(say: Paraphrases) -> None:
    for action in say.actions():
        for wording in say.of_action(action.name):
            names = say.names(wording)
            assert not names or action.name in names or {action.name, *names} <= {"run", "jog"}, (action.name, wording)


def test_wordings_are_short_plain_english_and_not_held_out(say: Paraphrases) -> None:
    wordings = {wording for action in say.actions() for wording in say.of_action(action.name)}
    assert len(wordings) == len(say)
    for wording in wordings:
        assert wording.isascii()
        assert re.fullmatch(r"[A-Za-z0-9' ,.-]+", wording), wording
        assert 1 <= len(wording.split()) <= 25
        assert not re.search(r"\ba [aeio](?!ne\b)|\b(?!bye)(\w+) \1\b", wording), wording
    held_out = {plain(wording) for action in yaml.safe_load(HELD_OUT.read_text()) for wording in action["wordings"]}
    assert len(held_out) == 148
    assert not {plain(wording) for wording in wordings} & held_out


def test_sides_mirror_each_other(say: Paraphrases) -> None:
    sided = [caption for caption in say.captions if sides(caption) & {"left", "right"}]
    assert len(sided) > 1000
    for caption in sided[:: len(sided) // 200]:
        mirrored = [mirror_text(wording) for wording in say(caption)]
        assert mirrored == say(mirror_text(caption))
        assert [mirror_text(wording) for wording in mirrored] == say(caption)


def test_lookup_and_actions(say: Paraphrases) -> None:
    assert say(" A person RUNS. ") == say("a person runs") != []
    assert say("a person plays the tuba") == say.names("a person plays the tuba") == []
    assert say("someone leaps over something while running") == load_paraphrases(FOLDER)("someone leaps over something while running")
    actions = {action.name: action for action in say.actions()}
    assert list(actions) == sorted(actions)
    assert actions["backflip"].example == "a person does a backflip"
    assert actions["turn left while walking"].wordings == len(say.of_action("turn left while walking")) > 500
    assert say.names("a person walks and veers to the left") == ["veer left while walking"]


def test_wordings_hold_persons_tenses_and_styles(say: Paraphrases) -> None:
    wordings = set(map(plain, say.of_action("wave the left hand")))
    assert "a wave with the left hand" in wordings
    assert any(re.match("wave your left hand", wording) for wording in wordings)
    assert any(re.search(r" who waves\b", wording) for wording in wordings)
    everything = [text.lower() for action in say.actions() for text in say.of_action(action.name)]
    assert any(re.match(r"(he|the man|a man|the guy|a guy|a boy) .*\bhis\b", text) for text in everything)
    assert not any(re.match(r"(he|the man|a man|the guy|a guy|a boy) .*\b(her|their|your)\b", text) for text in everything)
    styled = say("a person walks forward like an old person")
    assert sum(bool(re.search("old|elderly|grand|senior|ninety|frail|age", wording.lower())) for wording in styled) == len(styled)


CONTENT = {
    "actions": [
        {
            "name": "move the {side} way",
            "captions": ["moves to the {side}"],
            "wordings": ["/go {side}", "/carry a {x} off to the {side}", "{side} it is"],
            "each": ["urn", "box"],
        }
    ]
}


def test_words_are_put_together() -> None:
    say = Paraphrases({"a": CONTENT})
    assert [action.name for action in say.actions()] == ["move the left way", "move the right way"]
    assert {"left it is"} < set(map(plain, say("moves to the left")))
    assert any("an urn" in wording for wording in say("moves to the left"))
    assert len(say("moves to the left")) == len(set(say("moves to the left"))) <= 2 * 9


@pytest.mark.parametrize(
    ("text", "message"), [("actions: [{name: walk}]", "KeyError: 'captions'"), ("a: [", "is not YAML"), ("- 1", "AttributeError")]
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"No .yaml file in .* such as training/paraphrases"):
        load_paraphrases(tmp_path)
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"bad.yaml.*{message}"):
        load_paraphrases(tmp_path)


@pytest.fixture(scope="module")
def own() -> Paraphrases:
    """Wordings for the first captions of the fixture's clips."""
    actions = [
        {"name": str(index), "captions": [caption], "wordings": [f"/say {number} {index}" for number in ("one", "two")]}
        for index, caption in enumerate(dict.fromkeys(CAPTIONS[:40]))
    ]
    return Paraphrases({"own": {"actions": actions}})


def dataset(own: Paraphrases | None, share: float = 0.5) -> MotionTextDataset:
    rows = load_motion_rows(str(FIXTURES / "clips.parquet"), "train")
    return MotionTextDataset(
        rows, tiny_pipeline().feature_extractor, mirror=True, show_progress=False, paraphrases=own, paraphrase_share=share
    )


def test_training_draws_wordings_by_seed(own: Paraphrases) -> None:
    without, half, never, always = dataset(None), dataset(own), dataset(own, 0), dataset(own, 1)
    clip = next(index for index, captions in enumerate(half.captions) if all(caption in half.wordings for caption in captions))
    texts = set(half.texts())
    drawn = 0
    for seed in range(100):
        before, example = without[clip, seed], half[clip, seed]
        assert example["caption"] == half[clip, seed]["caption"]
        assert torch.equal(before["motion_features"], example["motion_features"])
        assert never[clip, seed]["caption"] == before["caption"]
        assert always[clip, seed]["caption"] in half.wordings[before["caption"]]
        assert example["caption"] in {before["caption"], *half.wordings[before["caption"]]}
        assert example["caption"] in texts
        drawn += example["caption"] != before["caption"]
    assert 30 < drawn < 70
    assert without.texts() == never.texts() == sorted({caption for captions in without.captions for caption in captions})
    assert len(texts) == len(half.texts()) > len(without.texts())


def test_mirrored_captions_get_mirrored_wordings() -> None:
    caption = next(text for text in CAPTIONS if sides(text) == {"left"})
    say = Paraphrases({"own": {"actions": [{"name": "a", "captions": [caption], "wordings": ["/go left", "a move left"]}]}})
    wordings = dataset(say).wordings
    assert set(wordings) == {caption, mirror_text(caption)}
    assert wordings[mirror_text(caption)] == [mirror_text(wording) for wording in wordings[caption]]


def test_examples_of_the_action_are_drawn_beside_captions(tmp_path: Path) -> None:
    caption = next(text for text in CAPTIONS if sides(text) == {"left"})
    say = Paraphrases(
        {"own": {"actions": [{"name": "a", "example": "left!", "captions": [caption], "wordings": ["/go left", "a move left"]}]}}
    )
    rows = load_motion_rows(str(FIXTURES / "clips.parquet"), "train")
    pipeline = tiny_pipeline("distilbert")
    clips = MotionTextDataset(rows, pipeline.feature_extractor, mirror=True, show_progress=False, paraphrases=say, example_share=0.5)
    of = {text: next(index for index, texts in enumerate(clips.captions) if text in texts) for text in (caption, mirror_text(caption))}
    for text, example in ((caption, "left!"), (mirror_text(caption), "right!")):
        drawn = [clips[of[text], seed] for seed in range(60)]
        own = {text, *clips.wordings[text]}
        assert {one["example"] for one in drawn if "example" in one} == {example}
        assert all(one["caption"] in own for one in drawn if "example" in one)
        assert 5 < sum("example" in one for one in drawn) < 55
    with_it = next(one for seed in range(60) if "example" in (one := clips[of[caption], seed]))
    batch = DiffusionCollator(pipeline, clips.texts())([with_it, {**with_it, "caption": "left!"}])
    states, mask = pipeline.encode_prompt([with_it["caption"], "left!"])
    tokens = mask.sum(1).tolist()
    assert batch["text_mask"].sum(1).tolist() == [sum(tokens), 2 * tokens[1]]
    torch.testing.assert_close(batch["text_states"][0][: tokens[0]], states[0][: tokens[0]])
    torch.testing.assert_close(batch["text_states"][0][tokens[0] : sum(tokens)], states[1][: tokens[1]])
    with pytest.raises(ValueError, match="sets the tokens of two sentences beside each other"):
        DiffusionTrainer(tiny_pipeline(), DiffusionTrainingArguments(output_dir=str(tmp_path)), clips)


def test_a_grounded_pipeline_says_that_it_learns_of_prompts_alone(
    tmp_path: Path, own: Paraphrases, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline, arguments = tiny_pipeline("distilbert"), DiffusionTrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    DiffusionTrainer(pipeline, arguments, dataset(own))
    assert "ground_prompts" not in caplog.text
    pipeline.register_to_config(ground_prompts=True)
    DiffusionTrainer(pipeline, arguments, dataset(own))
    assert "is trained on prompts alone now" in caplog.text


def test_options_that_cannot_be(own: Paraphrases) -> None:
    with pytest.raises(ValueError, match=r"paraphrase_share must be a probability, from 0 to 1, got 1\.5"):
        dataset(own, 1.5)
    with pytest.raises(ValueError, match="example_share takes its examples from other wordings"):
        MotionTextDataset(load_motion_rows(str(FIXTURES / "clips.parquet"), "train"), tiny_pipeline().feature_extractor, example_share=0.5)
    with pytest.raises(ValueError, match=r"None of the captions has other wordings"):
        dataset(Paraphrases({"a": CONTENT}))


def test_many_texts_are_kept_in_half_precision(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, own: Paraphrases) -> None:
    clips, pipeline = dataset(own), tiny_pipeline("distilbert")
    batch = [clips[clip, 7] for clip in range(3)]
    exact = DiffusionCollator(pipeline, clips.texts())(batch)
    monkeypatch.setattr(diffusion, "_HALF_ABOVE", 10)
    collator = DiffusionCollator(pipeline, clips.texts())
    assert f"Token states of {len(clips.texts())} texts are kept in half precision." in caplog.text
    assert {state.dtype for state in collator.cache.values()} == {torch.float16}
    states = collator(batch)["text_states"]
    assert states.dtype == torch.float32
    torch.testing.assert_close(states, exact["text_states"], atol=2e-3, rtol=2e-3)
