"""Preference data: prompts, pairs that are certain, scores that survive a kill, chosen pairs, and agreement."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chat_server import chat_server, text_of
from tiny import FIXTURES, tiny_language_model, tiny_pipeline

from hf_motion import HumanML3DRepresentation, Motion
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.preferences import BuildRequest, Pair, Prompt, accuracy, build, certain_pairs, load_pairs, make_prompts
from hf_motion.preferences.agreement import Agreement, pairwise_accuracy, table
from hf_motion.preferences.building import Candidate, choose_pairs
from hf_motion.preferences.certain import KINDS, LONGEST, Action, find_actions
from hf_motion.preferences.pairs import LABELS, save_pairs
from hf_motion.preferences.prompts import EVENT_NUMBERS, event_numbers, with_chat, words
from hf_motion.preferences.scores import Score, ScoreFile, score_all
from hf_motion.rewards import ChatClient, Specification, VerifierReward, VisionJudge
from hf_motion.rewards.base import Reward

JUMP = Specification.from_dict({"task": "frequency", "events": [{"event": "jump", "count": 1}]})


class Length(Reward):
    """Longer is better; clips of a NaN length have no score. Says how many it was asked for."""

    name = "length"

    def __init__(self, unknown: Sequence[int] = ()) -> None:
        self.unknown, self.asked = unknown, 0

    def __call__(self, motions: Sequence[Motion], texts: Sequence[str], specifications: object = None) -> list[float]:
        self.asked += len(motions)
        return [math.nan if len(motion) in self.unknown else float(len(motion)) for motion in motions]

    def rationale(self, motion: Motion, text: str, specification: object = None) -> str:
        return f"{len(motion)} frames"


def still(frames: int) -> Motion:
    return Motion(np.zeros((frames, 22, 3)))


@pytest.fixture(scope="module")
def actions() -> list[Action]:
    return find_actions(load_motion_rows(str(FIXTURES / "evaluation_clips.parquet")), min_clips=1)


def test_integrity_prompts_have_the_papers_shares_of_events() -> None:
    assert Counter(event_numbers(2500)) == Counter(EVENT_NUMBERS)
    for count in (1, 7, 99):
        assert len(event_numbers(count)) == count
    prompts = make_prompts("integrity", 50, seed=1)
    assert Counter(len(one.specification.events) for one in prompts) == {2: 5, 3: 30, 4: 10, 5: 5}
    assert len({one.text for one in prompts}) == 50


@pytest.mark.parametrize("task", ["integrity", "temporal", "frequency"])
def test_prompts_say_what_their_specification_asks_for(task: str) -> None:
    prompts = make_prompts(task, 40, seed=3)
    assert prompts == make_prompts(task, 40, seed=3) != make_prompts(task, 40, seed=4)
    said = {one["says"][0]: one["says"] for one in words()["actions"]}
    for one in prompts:
        places = [min(one.text.find(f" {clause}") % 10**6 for clause in said[label]) for label in one.labels]
        assert places == sorted(places)
        assert places[-1] < len(one.text)
        assert len(one.labels) == len(one.specification.events)
        assert one.specification.task == task
        assert 1 <= one.seconds <= 14
        assert len({wanted.event for wanted in one.specification.events} & {"walk", "run"}) < 3
    if task == "frequency":
        assert {one.specification.events[0].count for one in prompts} == {1, 2, 3, 4, 5}
        assert all(any(f" {often}" in one.text for often in words()["frequencies"][one.specification.events[0].count]) for one in prompts)


def test_prompts_that_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="task must be one of"):
        make_prompts("speed", 3)
    with pytest.raises(ValueError, match="count must be at least 1"):
        make_prompts("temporal", 0)
    with pytest.raises(ValueError, match=r"There are no 100000 different frequency prompts.* Ask for fewer"):
        make_prompts("frequency", 100000)


def test_a_chat_model_words_prompts_and_what_fails_is_left_out_and_counted() -> None:
    drafts = make_prompts("temporal", 4)

    def answer(request: dict, number: int) -> str | int:
        assert "in order of time: " + ", ".join(drafts[min(number, 3)].labels) in text_of(request) or number > 3
        return ['"First she walks, later she waves, finally she bows."', 503, "Line one\nline two", "Sure."][min(number, 3)]

    with chat_server(answer) as server:
        client = ChatClient(server.url, "writer", attempts=1, wait=0)
        worded, outcomes = with_chat(drafts, client, attempts=1)
    assert [one.text for one in worded] == ["First she walks, later she waves, finally she bows."]
    assert worded[0].specification == drafts[0].specification
    assert outcomes == {"worded": 1, "busy": 1, "nonsense": 2}


def test_actions_are_found_by_captions_and_cut(actions: list[Action]) -> None:
    found = {action.says: action for action in actions}
    assert {"walks forward", "raises the left hand", "raises both hands", "waves the right hand", "bows"} <= set(found)
    assert all(motion.duration <= 3.5 for _, motion in found["waves the right hand"].clips)
    assert found["raises the left hand"].once
    assert not found["walks forward"].once


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_certain_by_construction(actions: list[Action], kind: str) -> None:
    pairs = certain_pairs(actions, 12, seed=5, kinds=[kind])
    again = certain_pairs(actions, 12, seed=5, kinds=[kind])
    for pair, other in zip(pairs, again, strict=True):
        assert pair.text == other.text
        assert (pair.chosen, pair.rejected) == (other.chosen, other.rejected)
        assert max(pair.chosen.duration, pair.rejected.duration) <= LONGEST
        assert pair.chosen.joints.shape != pair.rejected.joints.shape or (pair.chosen.joints != pair.rejected.joints).any()
        assert (pair.kind, pair.chosen.text) == (kind, pair.text)
        count = pair.specification.events[0].count
        assert (count is not None) == (kind == "wrong count")
    if kind == "wrong order":
        assert all(pair.specification.task == "temporal" and len(pair.chosen) == len(pair.rejected) for pair in pairs)
    if kind == "wrong count":
        assert all(len(pair.chosen) != len(pair.rejected) for pair in pairs)
    if kind == "broken motion":
        assert all(len(pair.chosen) == len(pair.rejected) for pair in pairs)


def test_verifiers_see_what_was_made_wrong(actions: list[Action]) -> None:
    gestures = [action for action in actions if action.says.startswith(("raises", "bows"))]
    result = accuracy(certain_pairs(gestures, 45, seed=2, kinds=KINDS[:3]), VerifierReward("share"))
    assert (result.opposed, result.unjudged) == (0, 0)
    assert result.accuracy > 0.8


def test_actions_that_are_not_there(tmp_path: Path, actions: list[Action]) -> None:
    rows = load_motion_rows(str(FIXTURES / "clips.parquet"))
    with pytest.raises(ValueError, match=r"not enough name an action.*min_clips"):
        find_actions(rows, min_clips=50)
    (tmp_path / "a.yaml").write_text("- {event: fly, says: flies, caption: fl.}")
    with pytest.raises(ValueError, match="There is no event 'fly'"):
        find_actions(rows, tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("- {event: jump, caption: '('}")
    with pytest.raises(ValueError, match=r"does not name actions as certain.yaml does"):
        find_actions(rows, tmp_path / "b.yaml")
    with pytest.raises(ValueError, match=r"do not suffice for 'wrong order'.*bows"):
        certain_pairs([action for action in actions if action.says == "bows"], 4)
    with pytest.raises(ValueError, match="kinds must be some of"):
        certain_pairs(actions, 4, kinds=["ugly"])


def test_pairs_keep_themselves_in_parquet(tmp_path: Path, actions: list[Action]) -> None:
    pairs = certain_pairs(actions, 4)
    save_pairs(pairs, tmp_path / "pairs" / "train.parquet")
    for source in (tmp_path, tmp_path / "pairs" / "train.parquet"):
        for pair, read in zip(pairs, load_pairs(source), strict=True):
            assert (read.id, read.text, read.kind, read.specification) == (pair.id, pair.text, pair.kind, pair.specification)
            np.testing.assert_array_equal(read.chosen.joints, pair.chosen.joints)
            np.testing.assert_array_equal(read.rejected.joints, pair.rejected.joints)
            assert read.details == pair.details
    with pytest.raises(FileNotFoundError, match=r"neither pairs/\*.parquet nor preference_labels.jsonl"):
        load_pairs(tmp_path / "pairs")
    with pytest.raises(ValueError, match=r"lacks the columns .*'chosen_frames'"):
        load_pairs(FIXTURES / "clips.parquet")


def annotate(folder: Path, *records: dict) -> None:
    (folder / LABELS).write_text("\n".join(map(json.dumps, records)) + "\n")


def test_instructmotions_layout(tmp_path: Path) -> None:
    motion, _ = read_row(next(iter(load_motion_rows(str(FIXTURES / "clips.parquet")))), "humanml3d-22")
    features = HumanML3DRepresentation().encode(torch.from_numpy(motion.joints))
    np.save(tmp_path / "joints.npy", motion.joints[None, :20])
    np.save(tmp_path / "features.npy", features.numpy())
    one, two = {"array": "joints.npy", "from": "a", "seed": 1}, {"features": "features.npy", "from": "b", "seed": 2}
    record = {"id": 7, "prompt": "a man waves", "sample_1": one, "sample_2": two}

    def said(choice: str, degree: str = "Better") -> dict:
        return {"choice": choice, "degree of preference": degree, "user": "u"}

    annotate(
        tmp_path, record | {"chosen": [said("skipped"), said("sample_2")]}, record | {"chosen": [said("sample_1"), said("skipped")]},
        record | {"chosen": [said("sample_1", "Negligibly better/unsure")]}, record | {"chosen": [said("sample_1", "Much better")]},
    )  # fmt: skip
    skipped: Counter[str] = Counter()
    pairs = load_pairs(tmp_path, skipped=skipped)
    assert [(pair.id, pair.kind, len(pair.rejected)) for pair in pairs] == [("7", "Better", 20), ("7", "Much better", len(features))]
    np.testing.assert_allclose(pairs[0].chosen.joints, HumanML3DRepresentation().decode(features.float()).numpy(), atol=1e-6)
    assert skipped == {"skipped": 1, "Negligibly better/unsure": 1}
    for broken, message in (
        ({"chosen": [said("sample_3")]}, "line 1: KeyError: 'sample_3'"),
        ({"chosen": []}, "line 1: IndexError"),
        ({"chosen": [said("sample_1")], "sample_1": {"array": "none.npy"}}, "none.npy"),
    ):
        annotate(tmp_path, record | broken)
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            load_pairs(tmp_path)
    np.save(tmp_path / "features.npy", features.numpy() * 40)
    annotate(tmp_path, record | {"chosen": [said("sample_2")]})
    with pytest.raises(ValueError, match="its features may be normalised"):
        load_pairs(tmp_path)
    annotate(tmp_path, record | {"chosen": [said("skipped")]})
    with pytest.raises(ValueError, match=r"holds no pair to compare; left out: {'skipped': 1}"):
        load_pairs(tmp_path)


def test_agreement_counts_ties_and_missing_scores_apart() -> None:
    lengths = [(9, 5), (5, 9), (9, 9), (3, 9), (9, 5)]
    pairs = [Pair(str(i), "a", still(a), still(b), kind="xy"[i % 2]) for i, (a, b) in enumerate(lengths)]
    result = accuracy(pairs, Length(unknown=[3]))
    assert (result.aligned, result.opposed, result.tied, result.unjudged, result.total) == (2, 1, 1, 1, 5)
    assert result.accuracy == 0.4
    assert result.decided_accuracy == 2 / 3
    assert (result.kinds["x"].aligned, result.kinds["y"].aligned) == (2, 0)
    low, high = result.interval
    assert 0.117 < low < 0.118 < 0.768 < high < 0.770
    assert json.loads(json.dumps(result.to_dict()))["kinds"]["y"]["decided_accuracy"] == 0
    assert "| length | 40.00 | 11.8 ... 76.9 | 2 of 5 | 1 | 1 | 66.7 of 3 | 0.0 of 2 |" in table({"length": result})
    assert math.isnan(Agreement().accuracy)


def test_a_judge_compares_pairs_in_turning_order() -> None:
    pairs = [Pair(str(number), "a", still(9), still(5)) for number in range(4)]
    with chat_server("Rating: 1\nRationale: The first.") as server:
        result = pairwise_accuracy(pairs, VisionJudge(ChatClient(server.url, "m"), frames=1, size=(64, 64)))
    assert (result.aligned, result.opposed) == (2, 2)


def test_scores_survive_a_kill_and_what_has_none_is_asked_for_again(tmp_path: Path) -> None:
    motions, texts, asked = [still(frames) for frames in (4, 5, 6, 4)], ["a"] * 4, [JUMP] * 4
    reward = Length(unknown=[5])
    scores = score_all(reward, motions, texts, asked, tmp_path, show_progress=False)
    np.testing.assert_equal([score.value for score in scores], [4, math.nan, 6, 4])
    assert (reward.asked, scores[0].rationale) == (3, "4 frames")
    file = ScoreFile(tmp_path, reward.settings())
    with file.path.open("a") as half:
        half.write('{"key": "half a li')
    second = Length()
    assert [one.value for one in score_all(second, motions, texts, asked, tmp_path, show_progress=False)] == [4, 5, 6, 4]
    assert second.asked == 1
    assert len(ScoreFile(tmp_path, reward.settings())) == 3
    file.path.write_text("no scores\n")
    with pytest.raises(ValueError, match="is not a file of scores, delete it to score anew"):
        ScoreFile(tmp_path, reward.settings())


def candidates(*scores: float, text: str = "a") -> list[Candidate]:
    prompt = Prompt(text, JUMP, ("jumps",), 2)
    return [Candidate(f"{text}{i}", prompt, still(5), i, Score(score, None)) for i, score in enumerate(scores)]


def test_pairs_are_chosen_by_score_gap() -> None:
    request = BuildRequest("x", {"frequency": 1})
    made = [
        *candidates(3, 1, 2, text="a"), *candidates(2, 2, text="b"), *candidates(3, math.nan, text="c"), *candidates(2.5, 2, text="d"),
    ]  # fmt: skip
    pairs, left_out = choose_pairs(made, request, "r", "g")
    assert [pair.id for pair in pairs] == ["a0-a1"]
    assert left_out == {"all scores equal": 1, "fewer than two scores": 1, "no gap": 1}
    assert (pairs[0].details["chosen_rating"], pairs[0].details["rejected_seed"]) == (3, 1)
    every, _ = choose_pairs(made, replace(request, pairs="all"), "r", "g")
    assert [pair.id for pair in every] == ["a0-a2", "a0-a1", "a2-a1"]
    zero, _ = choose_pairs(made, replace(request, min_gap=0), "r", "g")
    assert "b0-b1" not in [pair.id for pair in zero]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("generator")
    tiny_pipeline(steps=2).save_pretrained(folder)
    return str(folder)


def test_a_build_is_a_data_set_that_says_where_everything_comes_from(tmp_path: Path, model: str) -> None:
    from datasets import load_dataset

    ratings = ["Rating: 3\nRationale: As asked.", "Rating: 1\nRationale: It lies down.", "No idea."]
    with chat_server(lambda request, number: ratings[number % 3]) as server:
        judge = VisionJudge(ChatClient(server.url, "tiny-vlm", wait=0), frames=2, size=(64, 64), attempts=1, workers=1)
        request = BuildRequest(str(tmp_path), {"frequency": 2}, model, 3, images="trajectory", price=(10, 100), show_progress=False)
        record = build(request, judge)
        assert record["cost"]["outcomes"] == {"rated": 4, "nonsense": 2, "asked again": 0}
        assert record["cost"]["price"] == round(6 * (300 * 10 + 20 * 100) / 1e6, 6)
        assert (record["motions"], record["unjudged"], record["pairs"]) == (6, 2, 2)
        motions = load_dataset("parquet", data_files=str(tmp_path / "motions" / "train.parquet"), split="train")
        assert motions[0]["images"][0].size == (400, 240)
        judge.counts.clear()
        again = build(replace(request, images=None), judge)
        assert len(server.requests) == 8  # only what had no score
        assert again["cost"]["outcomes"] == {"rated": 2, "asked again": 0}
    assert {"rating", "rationale", "seed", "generator", "specification", "labels"} <= set(motions.column_names)
    assert len(set(motions["seed"])) == 6
    pairs = load_pairs(tmp_path)
    assert all(pair.details["chosen_rating"] > pair.details["rejected_rating"] for pair in pairs)
    assert pairs[0].details["generator"] == motions[0]["generator"]
    first = {one["id"]: one for one in motions}[pairs[0].details["chosen_id"]]
    np.testing.assert_array_equal(np.float32(first["joints"]), pairs[0].chosen.joints.ravel())
    card = (tmp_path / "README.md").read_text()
    assert "config_name: pairs" in card
    assert "2 frequency prompts" in card


def test_builds_that_cannot_be(tmp_path: Path, model: str) -> None:
    request = BuildRequest(str(tmp_path), {"frequency": 2}, model, 2, show_progress=False)
    for changes, message in (
        ({"tasks": {"frequency": 0}}, "tasks must say how many prompts"),
        ({"tasks": {"speed": 1}}, "tasks must say how many prompts"),
        ({"motions_per_prompt": 1}, "motions_per_prompt must be at least 2"),
        ({"pairs": "some"}, "pairs must be 'best' or 'all'"),
        ({"min_gap": -1}, "min_gap must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            build(replace(request, **changes), VerifierReward())
    with pytest.raises(ValueError, match=r"No pair of 2 prompts: {'all scores equal': 2}. Lower min_gap"):
        build(request, Length())
    with pytest.raises(ValueError, match="Choose another output folder"):
        build(replace(request, seed=1), Length())


class Sum(Length):
    """Of all coordinates: hardly ever the same for two motions."""

    def __call__(self, motions: Sequence[Motion], texts: Sequence[str], specifications: object = None) -> list[float]:
        return [float(motion.joints.sum()) for motion in motions]


def test_language_models_are_generators_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They make what their training allowed, which is less than their motion tokenizer could."""
    tiny_language_model().save_pretrained(tmp_path / "model")
    request = BuildRequest(str(tmp_path / "out"), {"temporal": 2}, str(tmp_path / "model"), 3, show_progress=False, min_gap=0.0)
    assert build(request, Sum())["motions"] == 6
    assert "2 prompts are given the 48 frames that model makes at most" in caplog.text
    assert {len(pair.chosen) for pair in load_pairs(tmp_path / "out")} == {48}
