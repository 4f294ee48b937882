"""Several sentences in a row, loops, and motion that is made while it is watched."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tiny import seeded, tiny_pipeline

from hf_motion import Motion
from hf_motion.pipelines.timeline import Segment, as_timeline, split_sentence
from hf_motion.pipelines.windows import Windows, plan_windows

WALK_WAVE = [("a person walks forward", 1.5), ("a person waves", 1.0)]


@pytest.mark.parametrize(
    ("timeline", "expected"),
    [
        ("walks: 3; waves the right hand:2.5s", [("walks", 3.0), ("waves the right hand", 2.5)]),
        ([("walks", 3), Segment("waves", 1.0)], [("walks", 3.0), ("waves", 1.0)]),
        ("at 10:30 he walks: 2;", [("at 10:30 he walks", 2.0)]),
    ],
)
def test_timelines_are_written_in_three_ways(timeline, expected) -> None:
    assert [(one.text, one.seconds) for one in as_timeline(timeline)] == expected


@pytest.mark.parametrize(
    ("timeline", "message"),
    [
        ([], "list of sentences with seconds"), (5, "list of sentences with seconds"), 
        ("walks: 2; waves", "Segment 2 of the timeline is 'waves'; write"),
        ("walks: fast", 'write "sentence: seconds"'), ([("walks", -1)], r"Segment 1 .*'walks'.* lasts -1 s; the shortest"),
        ([("walks", 2), ("waves", 0)], "Segment 2"), ([("walks", 0.2)], "0.5 s"), (["walks"], "Segment 1 .* give a sentence and seconds"),
        ([("walks", True)], "lasts True"), ([("walks", float("inf"))], "lasts inf"), ([("walks", float("nan"))], "lasts nan"),
    ],
)  # fmt: skip
def test_wrong_timelines_name_the_segment(timeline, message) -> None:
    with pytest.raises(ValueError, match=message):
        as_timeline(timeline)


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("a person walks, then turns left and finally waves", ["a person walks", "a person turns left", "a person waves"]),
        ("A man sits down. After that he stands up.", ["A man sits down", "he stands up"]),
        ("walks and waves", ["walks and waves"]),
        ("someone jumps; someone claps", ["someone jumps", "someone claps"]),
        ("the young woman bows and then the young woman leaves", ["the young woman bows", "the young woman leaves"]),
        ("she dances then", ["she dances"]),
    ],
)
def test_sentences_are_cut_where_time_goes_on(sentence, parts) -> None:
    assert [segment.text for segment in split_sentence(sentence)] == parts
    assert sum(segment.seconds for segment in split_sentence(sentence, 6.0)) == pytest.approx(6.0)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("lengths", [[30, 50, 40], [300], [15, 12]])
def test_windows_cover_every_frame_once(lengths, cyclic) -> None:
    planned = [window for _, window in plan_windows(lengths, 20, 100, cyclic)]
    assert max(window.length for window in planned) <= 100
    windows, total = Windows(planned, sum(lengths)), sum(lengths)
    motions = torch.randn(1, total, 3)
    torch.testing.assert_close(windows.merge(windows.cut(motions)), motions)  # weights add up to one
    ones = windows.merge(torch.ones_like(windows.cut(motions)) * torch.arange(len(planned)).reshape(-1, 1, 1))
    steps = (ones[0, 1:] - ones[0, :-1]).abs()
    assert float(steps.max()) < 0.35  # one window goes over into the next


def test_what_fits_is_made_at_once() -> None:
    assert [window.length for _, window in plan_windows([100], 20, 100)] == [100]
    assert [window.length for _, window in plan_windows([90, 90], 20, 100)] == [100, 100]
    assert len(plan_windows([91, 90], 20, 100)) == 3


def test_a_timeline_is_one_motion_as_long_as_it_says() -> None:
    pipe = tiny_pipeline()
    motion = pipe(timeline=[*WALK_WAVE, ("a person walks", 3.0)], generator=seeded()).motions[0]
    assert (len(motion), motion.text) == (110, "a person walks forward, then a person waves, then a person walks")
    again = pipe(timeline="a person walks forward: 1.5; a person waves: 1; a person walks: 3", seed=0).motions[0]
    np.testing.assert_array_equal(motion.joints, again.joints)
    other = pipe(timeline=[*WALK_WAVE, ("a person jumps", 3.0)], generator=seeded()).motions[0]
    early, late = (np.abs(motion.joints[part] - other.joints[part]).max() for part in (slice(0, 15), slice(-20, None)))
    assert late > 10 * early
    two = pipe(timeline=WALK_WAVE, num_motions_per_prompt=2, generator=[seeded(), seeded()]).motions
    np.testing.assert_allclose(two[0].joints, two[1].joints, atol=1e-5)


def test_one_segment_is_the_plain_motion() -> None:
    pipe = tiny_pipeline()
    plain = pipe("a person walks", num_frames=30, generator=seeded()).motions[0]
    np.testing.assert_array_equal(pipe(timeline=[("a person walks", 1.5)], generator=seeded()).motions[0].joints, plain.joints)


def test_split_sentences_through_the_task_pipeline() -> None:
    from transformers import pipeline

    from hf_motion.pipelines.motion_system.modeling_motion_system import MotionSystem

    task = pipeline("text-to-motion", model=MotionSystem.from_pipeline(tiny_pipeline()))
    motion = task("a person walks, then waves", split=True, seconds=3.0, seed=0)
    assert (len(motion), motion.text) == (60, "a person walks, then a person waves")
    assert len(task(timeline=WALK_WAVE, seed=0)) == 50
    assert isinstance(task(["a person walks, then waves"], split=True, seed=0), list)
    assert isinstance(next(task.stream(WALK_WAVE, seed=0, chunk_seconds=0.5)), np.ndarray)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "a", "timeline": WALK_WAVE}, "leave out prompt"), ({"timeline": WALK_WAVE, "seconds": 3}, "leave out seconds"),
        ({}, "Say what to make"), ({"prompt": "a, then b", "split": True, "num_frames": 30}, "length of the whole as seconds="),
        ({"timeline": WALK_WAVE, "motion": Motion(np.zeros((30, 22, 3)))}, "leave it out with timeline="),
        ({"prompt": "a", "loop": True, "num_frames": 12}, "A loop lasts 1 s or more; 'a' has 12 frames"),
        ({"prompt": "a", "loop": True, "motion": Motion(np.zeros((30, 22, 3)))}, "leave motion= and control= out with loop=True"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_pipeline()(**options)


def test_frames_are_streamed_in_one_world() -> None:
    pipe = tiny_pipeline()
    frames = np.stack(list(pipe.stream(WALK_WAVE, seed=0, chunk_seconds=0.6, context_seconds=0.3)))
    assert frames.shape == (50, 22, 3)
    np.testing.assert_array_equal(frames, np.stack(list(pipe.stream(WALK_WAVE, seed=0, chunk_seconds=0.6, context_seconds=0.3))))
    asked = []

    def live() -> Iterator[tuple[str, float]]:
        for segment in WALK_WAVE:
            asked.append(segment)
            yield segment

    stream = pipe.stream(live(), seed=0, chunk_seconds=0.6)
    next(stream)
    assert asked == WALK_WAVE[:1]  # a segment is taken when it is needed
    with pytest.raises(ValueError, match="together at most the 2 s"):
        pipe.stream(WALK_WAVE, chunk_seconds=5)
