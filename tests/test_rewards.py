"""Rewards: what happens when, verifiers on stick figures and real clips, embeddings, and judges that answer over a local server."""

import importlib.util
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from chat_server import chat_server, pictures, text_of
from tiny import FIXTURES

from hf_motion import Motion, MotionTextEmbedder
from hf_motion.checkpoints import EMBEDDED_EVALUATOR, EMBEDDED_TMR
from hf_motion.data.motion_text import load_motion_rows, mirror_motion, read_row
from hf_motion.metrics.occurrences import EVENTS, Occurrence, occurrences
from hf_motion.rewards import (
    ChatClient,
    ContrastiveReward,
    LocalChat,
    Specification,
    TMRReward,
    VerifierReward,
    VisionJudge,
    Wanted,
    motion_images,
    verify,
)
from hf_motion.rewards.chat import ChatFailure, say
from hf_motion.rewards.vision_judge import criteria, instruction, parse
from hf_motion.skeletons import HUMANML3D_22

GOOD = "Rating: 5\nRationale: All motions appear."
JOINT = HUMANML3D_22.joint


@cache
def real(name: str) -> Motion:
    """A real clip of the fixtures whose id has this in it."""
    for file in ("clips", "evaluation_clips"):
        for row in load_motion_rows(str(FIXTURES / f"{file}.parquet")):
            if name in row["id"]:
                return read_row(row, "humanml3d-22")[0]
    raise KeyError(name)


def standing(frames: int = 60) -> Motion:
    pose = np.zeros((22, 3))
    for parent, joint in HUMANML3D_22.bones:
        pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint]
    pose[:, 1] -= pose[:, 1].min()
    return Motion(np.tile(pose, (frames, 1, 1)))


def hops(times: int, frames: int = 30) -> Motion:
    one = np.concatenate([np.zeros(frames - 12), 0.4 * np.sin(np.linspace(0, np.pi, 12))])
    height = np.concatenate([np.tile(one, times), np.zeros(10)])
    return replace(standing(len(height)), joints=standing(len(height)).joints + height[:, None, None] * [0, 1, 0])


def spun(*turns: float) -> Motion:
    """Turns about the vertical by so many degrees, left positive, with a second of rest between."""
    angles = np.zeros(20)
    for degrees in turns:
        angles = np.concatenate(
            [angles, angles[-1] + np.linspace(0, np.radians(degrees), 25), np.full(20, angles[-1] + np.radians(degrees))]
        )
    x, y, z = np.moveaxis(standing(len(angles)).joints, -1, 0)
    sine, cosine = np.sin(angles)[:, None], np.cos(angles)[:, None]
    return Motion(np.stack((cosine * x + sine * z, y, cosine * z - sine * x), axis=-1))


def punching(side: str, times: int) -> Motion:
    motion = standing(30 * times)
    for start in range(0, 30 * times, 30):
        reach = np.interp(np.arange(30), [0, 10, 13, 17, 22, 29], [0.2, 0.2, 1, 1, 0.2, 0.2])[:, None]
        shoulder = motion.joints[start : start + 30, JOINT(f"{side}_shoulder")]
        motion.joints[start : start + 30, JOINT(f"{side}_elbow")] = shoulder + 0.26 * reach * [0, 0, 1]
        motion.joints[start : start + 30, JOINT(f"{side}_wrist")] = shoulder + 0.53 * reach * [0, 0, 1]
    return motion


def joined(*names: str) -> Motion:
    return Motion.concatenate([real(name) for name in names])


def asks(task: str, *events: str | dict) -> Specification:
    return Specification.from_dict({"task": task, "events": events})


RAISE_LEFT = {"event": "raise_hand", "side": "left"}
RAISE_RIGHT = {"event": "raise_hand", "side": "right"}
WALK_WAVE_JUMP = asks("temporal", "walk", RAISE_LEFT, RAISE_RIGHT)


@pytest.mark.parametrize("times", [0, 1, 2, 4])
def test_jumps_are_counted(times: int) -> None:
    motion = hops(times) if times else standing()
    assert len(occurrences(motion, "jump")) == times
    assert len(occurrences(motion, "jump", direction="up")) == times
    assert occurrences(motion, "jump", direction="forward") == []


def test_turns_are_counted_by_side_and_cut_by_pauses() -> None:
    motion = spun(90, 90, -120)
    assert [len(occurrences(motion, "turn", direction=side)) for side in ("left", "right", "any")] == [2, 1, 3]
    assert occurrences(spun(20, -20), "turn") == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_punches_are_counted_by_hand(side: str) -> None:
    other = {"left": "right", "right": "left"}[side]
    motion = punching(side, 3)
    assert len(occurrences(motion, "punch", side=side)) == 3
    assert occurrences(motion, "punch", side=other) == []


@pytest.mark.parametrize(
    ("name", "event", "options", "count"),
    [
        ("raise-up-left-hand_feminine_064", "raise_hand", {"side": "left"}, 1),
        ("raise-up-right-hand_youthful_050", "raise_hand", {"side": "right"}, 1),
        ("raise-up-both-hands_feminine_040", "raise_hand", {"side": "both"}, 1),
        ("bow_proud_001", "bow", {}, 1),
        ("cmu_16_10", "jump", {"direction": "forward"}, 1),
        ("walk-turn-left_normal_001", "turn", {"direction": "left"}, 1),
    ],
)
def test_real_clips_alone_and_in_a_row(name: str, event: str, options: dict, count: int) -> None:
    motion = real(name)
    assert len(occurrences(motion, event, **options)) == count
    assert len(occurrences(Motion.concatenate([motion] * 3), event, **options)) == 3 * count
    assert occurrences(real("idle_012"), event, **options) == []


def test_the_mirror_image_does_it_with_the_other_hand() -> None:
    motion = mirror_motion(real("raise-up-left-hand_feminine_064"))
    assert occurrences(motion, "raise_hand", side="left") == []
    assert len(occurrences(motion, "raise_hand", side="right")) == 1
    waves = real("wave-right-hand_active_004")
    assert len(occurrences(waves, "wave", side="right")) == len(occurrences(mirror_motion(waves), "wave", side="left")) > 2


def test_walking_is_not_running_and_the_other_way_round() -> None:
    assert occurrences(real("walk_masculine_015"), "walk", direction="forward")
    assert occurrences(real("walk-back_proud"), "walk", direction="backward")
    assert occurrences(real("dash_tired"), "run")
    for name, event, options in [
        ("walk_masculine_015", "run", {}),
        ("walk_masculine_015", "walk", {"direction": "backward"}),
        ("dash_tired", "walk", {}),
        ("walk-back_proud", "walk", {"direction": "forward"}),
        ("idle_012", "walk", {}),
    ]:
        assert occurrences(real(name), event, **options) == [], (name, event)


def test_steps_are_those_of_both_feet() -> None:
    motion = real("walk_masculine_015")
    left, right = (len(occurrences(motion, "step", side=side)) for side in ("left", "right"))
    assert left + right == len(occurrences(motion, "step"))
    assert abs(left - right) <= 1 < left


@pytest.mark.parametrize("event", EVENTS)
def test_single_frames_and_other_frame_rates(event: str) -> None:
    assert occurrences(standing(1), event) == []
    motion = joined("walk_masculine_015", "raise-up-left-hand_feminine_064", "cmu_16_10")
    slow, fast = (len(occurrences(motion.resample(fps), event)) for fps in (20, 60))
    assert abs(slow - fast) <= 1


def test_unknown_events_options_and_skeletons() -> None:
    with pytest.raises(ValueError, match=r"There is no event 'fly'. Events are: walk,"):
        occurrences(standing(), "fly")
    with pytest.raises(ValueError, match=r"'jump' has no option 'side'. It has: direction"):
        occurrences(standing(), "jump", side="left")
    with pytest.raises(ValueError, match="side of 'wave' must be one of 'any', 'left', 'right', 'both', got 'up'"):
        occurrences(standing(), "wave", side="up")


def test_specifications_keep_themselves_as_json() -> None:
    specification = asks("integrity", "walk", {"event": "turn", "direction": "left"}, {"event": "jump", "count": 2})
    assert Specification.from_json(specification.to_json()) == specification
    assert len({specification, Specification.from_json(specification.to_json())}) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"task": "speed", "events": ["walk"]}, "task must be one of"),
        ({"task": "frequency", "events": ["jump"]}, "needs a count of 'jump'"),
        ({"task": "frequency", "events": ["jump", "walk"]}, "takes one event"),
        ({"task": "temporal", "events": ["jump"]}, "takes 2 events or more, got 1"),
        ({"task": "integrity", "events": [{"event": "walk", "count": 2}]}, "cannot be counted. These can: sit_down,"),
        ({"task": "integrity", "events": [{"event": "jump", "count": 0}]}, "whole number from 1 on"),
        ({"task": "integrity", "events": [{"side": "left"}]}, "A specification is a mapping such as"),
        ({"events": ["jump"]}, "A specification is a mapping such as"),
    ],
)
def test_specifications_that_make_no_sense(content: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Specification.from_dict(content)


def test_ratings_follow_the_criteria_of_each_task() -> None:
    walk, left, right = "walk_masculine_015", "raise-up-left-hand_feminine_064", "raise-up-right-hand_youthful_050"
    temporal = WALK_WAVE_JUMP
    motions = [joined(walk, left, right), joined(left, right, walk), joined(walk, right), joined(walk), real("idle_012")]
    assert VerifierReward()(motions, [""] * 5, [temporal] * 5) == [5, 4, 3, 2, 1]
    shares = VerifierReward("share")(motions, [""] * 5, [temporal] * 5)
    assert shares == sorted(shares, reverse=True)
    assert (shares[0], shares[-1]) == (1.0, 0.0)
    integrity = replace(temporal, task="integrity")
    assert VerifierReward()(motions, [""] * 5, [integrity] * 5) == [5, 5, 0, 0, 0]
    twice = asks("frequency", {"event": "jump", "count": 2})
    assert VerifierReward()([hops(2), hops(3), standing()], [""] * 3, [twice] * 3) == [3, 2, 1]
    assert VerifierReward("share")([hops(2), hops(3), hops(5)], [""] * 3, [twice] * 3) == [1, 0.5, 0.25]
    assert verify(hops(3), twice).rationale() == "jump 3 of 2 times"


def test_an_event_that_is_wanted_twice_has_to_happen_twice() -> None:
    specification = asks("temporal", RAISE_LEFT, RAISE_RIGHT, RAISE_LEFT)
    left, right = "raise-up-left-hand_feminine_064", "raise-up-right-hand_youthful_050"
    assert verify(joined(left, right, left), specification).correct
    verdict = verify(joined(left, right), specification)
    assert (verdict.missing, verdict.rating) == ((Wanted("raise_hand", {"side": "left"}),), 3)


def test_verifiers_do_not_guess() -> None:
    with pytest.raises(ValueError, match=r"no specification of 'a person jumps twice'.* Pass specifications"):
        VerifierReward()([hops(2)], ["a person jumps twice"])
    known = VerifierReward(specifications={"a person jumps twice": asks("frequency", {"event": "jump", "count": 2})})
    assert known([hops(2)], ["a person jumps twice"]) == [3]
    with pytest.raises(ValueError, match="one text per motion"):
        known([hops(2)], "a person jumps twice")
    with pytest.raises(ValueError, match="scale must be one of"):
        VerifierReward("best")


def test_embedding_rewards_are_the_models_own_distances_and_independent_of_the_batch() -> None:
    motions, texts = [real("walk_masculine_015"), real("bow_proud_001"), standing(3)], ["a person walks", "a man bows", "a man bows"]
    contrastive, tmr = ContrastiveReward.from_pretrained(), TMRReward.from_pretrained()
    scores = contrastive(motions, texts)
    embedder = MotionTextEmbedder.from_pretrained(EMBEDDED_EVALUATOR)
    made, said = embedder.embed_motions(embedder.encode(motions[:2])), embedder.embed_texts(texts[:2])
    np.testing.assert_allclose(scores[:2], -np.sqrt(((made - said) ** 2).sum(1)), atol=1e-5)
    assert math.isnan(scores[2])
    cosines = tmr(motions[:2], texts[:2])
    np.testing.assert_allclose(tmr(motions[1:2], texts[1:2]), cosines[1:], atol=1e-5)
    assert all(-1 <= cosine <= 1 for cosine in cosines)
    assert cosines[0] > tmr([motions[1]], ["a person walks"])[0]
    assert contrastive([], []) == []
    with pytest.raises(ValueError, match="Use TMRReward"):
        ContrastiveReward.from_pretrained(EMBEDDED_TMR)


def test_motions_longer_than_the_model_reads_are_said(caplog: pytest.LogCaptureFixture) -> None:
    TMRReward.from_pretrained()([Motion.concatenate([real("walk_masculine_015")] * 3)], ["a person walks"])
    assert "the ends of 1 longer motions are not judged" in caplog.text


@pytest.mark.parametrize(("form", "count", "size"), [("full", 1, (404, 96)), ("trajectory", 1, (128, 96)), ("frames", 6, (64, 96))])
def test_injection_forms_show_the_motion_but_not_its_text(form: str, count: int, size: tuple[int, int]) -> None:
    images = motion_images(real("walk_masculine_015"), form, frames=6, size=(64, 96))
    assert [image.size for image in images] == [size] * count
    named, plain = (
        motion_images(replace(real("walk_masculine_015"), text=text), form, frames=6, size=(64, 96)) for text in ("a secret", None)
    )
    assert [np.array(image).tolist() for image in named] == [np.array(image).tolist() for image in plain]
    assert np.array(plain[0]).std() > 5


def test_a_trajectory_shows_every_pose() -> None:
    one, many = (np.array(motion_images(real("walk_masculine_015"), "trajectory", frames=frames)[0]) for frames in (1, 6))
    blue = [((image[..., 2].astype(int) - image[..., 0]) > 60).sum() for image in (one, many)]
    assert blue[1] > 2 * blue[0] > 0


def test_criteria_are_those_of_the_tables() -> None:
    tasks = criteria()["tasks"]
    assert {task: sorted(words["ratings"]) for task, words in tasks.items()} == {
        "integrity": [0, 5], "temporal": [1, 2, 3, 4, 5], "frequency": [1, 2, 3],
    }  # fmt: skip
    assert tasks["temporal"]["ratings"][4] == "Three motions appear in wrong order."
    text = instruction("integrity", "a man bows", "frames")
    assert "Rating: [0 or 5]" in text
    assert "no more than 20 words" in text
    assert 'T = "a man bows"' in text


@pytest.mark.parametrize(
    ("answer", "rating"),
    [
        (GOOD, 5), ("**Rating:** [5]\n**Rationale:** Fine.", 5), ("  Rating: 0\r\nRationale: One is missing.\n", 0),
        ("Rating: 4\nRationale: So so.", None), ("Rating: 5", None), ("5", None), ("Rating: 5 or 0\nRationale: Hm.", None),
        ("Rating: 5\nRating: 0\nRationale: Both.", None), ("Rating: 5.0\nRationale: x", None), ("", None),
        ("rating: 5\nrationale: x", None), ("Rating: 55\nRationale: x", None), ('{"rating": 5, "rationale": "x"}', None),
    ],
)  # fmt: skip
def test_answers_are_read_strictly(answer: str, rating: int | None) -> None:
    assert parse(answer, (0, 5))[0] == rating


def judge(url: str, **options: object) -> VisionJudge:
    """A judge that does not wait long."""
    client = ChatClient(url, "tiny-vlm", timeout=0.3, wait=0.0, attempts=3)
    return VisionJudge(client, "integrity", frames=2, size=(64, 64), **options)


def test_a_judge_is_shown_pictures_and_the_criteria() -> None:
    with chat_server(GOOD) as server:
        for form, count in (("full", 1), ("trajectory", 1), ("frames", 2)):
            one = judge(server.url, form=form)
            assert one([real("bow_proud_001")], ["a man bows"]) == [5]
            assert one.rationale(real("bow_proud_001"), "a man bows") == "All motions appear."
            assert len(pictures(server.requests[-1])) == count
        request = server.requests[-1]
        assert (request["model"], request["temperature"], request["max_tokens"]) == ("tiny-vlm", 0.0, 100)
        assert "Some motions are missing or incomplete in the frames." in text_of(request)
        assert os.environ["HF_TOKEN"]
        assert server.headers[-1].get("authorization", "") == ""
        ChatClient(server.url, "m", api_key="secret")([say("hello")])
        assert server.headers[-1]["authorization"] == "Bearer secret"


def test_the_specification_chooses_the_criteria() -> None:
    with chat_server("Rating: 3\nRationale: Counted.") as server:
        specification = asks("frequency", {"event": "bow", "count": 1})
        assert judge(server.url)([real("bow_proud_001")], ["a man bows once"], [specification]) == [3]
        assert "the frequency is accurate" in text_of(server.requests[0])
        with pytest.raises(ValueError, match="Nothing says which criteria"):
            VisionJudge(ChatClient(server.url, "m"))([standing()], ["a man bows"])


@pytest.mark.parametrize(
    ("answers", "rating", "counts", "requests"),
    [
        (["I like it.", GOOD], 5, {"rated": 1, "asked again": 1}, 2),
        (["I like it."], math.nan, {"nonsense": 1, "asked again": 2}, 3),
        (["I'm sorry, I can't assist with that."], math.nan, {"refusal": 1, "asked again": 2}, 3),
        ([{"choices": [{"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}]}],
         math.nan, {"refusal": 1, "asked again": 2}, 3),
        ([429, 503, GOOD], 5, {"rated": 1, "asked again": 0}, 3),
        ([503], math.nan, {"busy": 1, "asked again": 0}, 3),
        ([0.8, GOOD], 5, {"rated": 1, "asked again": 0}, 2),
        ([0.8], math.nan, {"timeout": 1, "asked again": 0}, 3),
        ([{"output": "Rating: 5"}], math.nan, {"format": 1, "asked again": 0}, 3),
    ],
    ids=["nonsense-once", "nonsense", "refusal", "filter", "busy-twice", "busy", "late-once", "silent", "format"],
)  # fmt: skip
def test_what_goes_wrong_is_counted_and_never_a_rating(answers: list, rating: float, counts: dict, requests: int) -> None:
    with chat_server(*answers) as server:
        one = judge(server.url)
        np.testing.assert_equal(one([real("bow_proud_001")], ["a man bows"]), [rating])
        assert dict(one.counts) == counts
        assert len(server.requests) == requests


def test_after_nonsense_the_judge_is_reminded_of_the_format() -> None:
    with chat_server("Five stars!", GOOD) as server:
        result = judge(server.url).judge([real("bow_proud_001")], ["a man bows"])[0]
        assert (result.attempts, result.prompt_tokens, result.completion_tokens) == (2, 600, 40)
        assert [message["role"] for message in server.requests[1]["messages"]] == ["user", "assistant", "user"]
        assert "one of the numbers 0, 5" in text_of(server.requests[1])


def test_errors_that_stay_stop_the_work() -> None:
    with chat_server(401) as server, pytest.raises(ChatFailure, match="answers 401") as caught:
        judge(server.url)([standing()], ["a man bows"])
    assert (caught.value.kind, len(server.requests)) == ("rejected", 1)
    with pytest.raises(ChatFailure, match="Is the server running") as caught:
        judge(server.url)([standing()], ["a man bows"])
    assert caught.value.kind == "unreachable"


def test_many_motions_keep_their_order_whatever_the_workers() -> None:
    def answer(request: dict, number: int) -> str:
        return f"Rating: {5 if 'bows' in text_of(request) else 0}\nRationale: {number}."

    with chat_server(answer) as server:
        texts = ["a man bows", "a man sits"] * 4
        assert judge(server.url, workers=4)([standing()] * 8, texts) == [5, 0] * 4


def test_two_motions_side_by_side() -> None:
    with chat_server("Rating: 2\nRationale: The second bows.") as server:
        assert judge(server.url).compare(standing(), real("bow_proud_001"), "a man bows").rating == 2
        words = [part["text"] for part in server.requests[0]["messages"][0]["content"] if part["type"] == "text"]
        assert words.index("The first motion:") < words.index("The second motion:")
        assert len(pictures(server.requests[0])) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChatClient("localhost:8000", "m"), "must begin with http"),
        (lambda: ChatClient("http://127.0.0.1:1", "m", attempts=0), "attempts and max_tokens must be at least 1"),
        (lambda: VisionJudge(ChatClient("http://127.0.0.1:1", "m"), "speed"), "task must be one of"),
        (lambda: VisionJudge(ChatClient("http://127.0.0.1:1", "m"), form="film"), "form must be one of"),
        (lambda: motion_images(standing(), frames=0), "frames must be a number of poses"),
    ],
)
def test_options_of_judges(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_offline_mode_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
        ChatClient("http://127.0.0.1:1", "m")


def test_a_local_vision_language_model_is_asked_in_the_same_way(tmp_path: Path) -> None:
    one = VisionJudge(LocalChat(tiny_llava(tmp_path), "cpu", max_tokens=3), "integrity", form="frames", frames=2, size=(64, 64), attempts=1)
    assert math.isnan(one([standing()], ["a man bows"])[0])
    assert sum(one.counts[outcome] for outcome in ("nonsense", "refusal")) == 1
    assert one.workers == 1


def tiny_llava(folder: Path) -> Path:
    """The smallest vision-language model that transformers loads without torchvision."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(0)
    vocabulary = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "<pad>", "<image>", "Rating", ":", "5"])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    template = (
        "{% for m in messages %}{{ m['role'] }} {% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %} {% endfor %}{% endfor %}"
    )
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    options = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1, "chat_template": template}
    LlavaProcessor(images, tokenizer, **options).save_pretrained(folder)
    widths = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**widths, image_size=16, patch_size=8)
    text = LlamaConfig(**widths, num_key_value_heads=2, vocab_size=len(tokenizer), pad_token_id=3)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=4, image_seq_length=4, vision_feature_layer=-1)
    LlavaForConditionalGeneration(config).eval().save_pretrained(folder)
    return folder


def test_the_measured_events_are_known_and_their_patterns_read() -> None:
    folder = Path(__file__).parent / "benchmarks"
    truth = yaml.safe_load((folder / "verifiers.yaml").read_text(encoding="utf-8"))
    for one in truth:
        assert occurrences(standing(), one["event"], **one.get("with", {})) == [] or one["event"] == "stand"
    assert {one["event"] for one in truth} | {"step"} == set(EVENTS)
    spec = importlib.util.spec_from_file_location("verifiers", folder / "verifiers.py")
    assert spec is not None
    assert json.dumps(truth)


def test_occurrences_sort_and_have_middles() -> None:
    assert sorted([Occurrence(5, 9), Occurrence(1, 3)])[0].middle == 2
