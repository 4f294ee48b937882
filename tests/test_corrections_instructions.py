"""Corrective instructions, and what is read in sentences."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_motion.cli import app
from hf_motion.corrections import Change, load_instructions, mirror_change, read_instruction
from hf_motion.data.motion_text import mirror_text


def test_there_are_enough_of_every_kind() -> None:
    instructions = load_instructions()
    entries = {one.entry: one for one in instructions}
    assert len(entries) >= 150
    assert all(3 <= len(one.sentences) <= 6 for one in instructions)
    assert {one.split for one in instructions} == {"train", "val", "test"}
    kinds = {(one.change.kind, one.change.direction) for one in instructions}
    assert {("height", "up"), ("amplitude", "less"), ("speed", "slower"), ("timing", "later"), ("stride", "more")} <= kinds
    parts = {one.change.part for one in instructions}
    assert {"left arm", "right arm", "both arms", "left leg", "right leg", "both legs", "torso", "head", "upper body"} <= parts
    sides = [[one for one in instructions if one.change.side == side] for side in ("left", "right")]
    assert [mirror_change(one.change) for one in sides[0]] == [one.change for one in sides[1]]
    by_sentence = {one.sentences[0]: one for one in instructions}
    for one in instructions:
        twin = by_sentence[mirror_text(one.sentences[0])]
        assert (twin.entry, twin.split, twin.change) == (one.entry, one.split, mirror_change(one.change))


def test_every_wording_gives_its_change_back_and_its_mirror_too() -> None:
    wrong = []
    for one in load_instructions():
        for sentence in one.sentences:
            for text, change in ((sentence, one.change), (mirror_text(sentence), mirror_change(one.change))):
                reading = read_instruction(text)
                if reading.change != change or reading.side != change.side or not all(reading.names(change).values()):
                    wrong.append((text, change, reading))
    assert not wrong


@pytest.mark.parametrize(
    ("sentence", "change"),
    [
        ("raise your left hand higher", ("left arm", "height", "up")),
        ("lift the hand on the left side more", ("left arm", "height", "up")),
        ("Please try to lift that LEFT arm up right away!", ("left arm", "height", "up")),
        ("Don't raise your right hand so high", ("right arm", "height", "down")),
        ("your left hand isn't high enough", ("left arm", "height", "up")),
        ("Your right hand is much too low.", ("right arm", "height", "up")),
        ("Lift your left hand above your head", ("left arm", "height", "up")),
        ("Move your right hand closer to your chest", ("right arm", "width", "in")),
        ("slow your arms down", ("both arms", "speed", "slower")),
        ("squat deeper", ("both legs", "bend", "more")),
        ("Take bigger strides, please.", ("both legs", "stride", "more")),
        ("Please turn your upper body more to the right", ("torso", "turn", "right")),
        ("Your right arm is not bent enough.", ("right arm", "bend", "more")),
        ("look right", ("head", "turn", "right")),
    ],
)
def test_everyday_sentences(sentence: str, change: tuple[str, str, str]) -> None:
    assert read_instruction(sentence).change == Change(*change)


@pytest.mark.parametrize(
    "sentence", ["", "left", "Lovely weather today.", "Do it better.", "put your hand up", "Sing louder, with feeling."]
)
def test_says_nothing_rather_than_guess(sentence: str) -> None:
    reading = read_instruction(sentence)
    assert reading.change is None
    assert not reading.kinds


def test_two_changes_are_both_read() -> None:
    reading = read_instruction("Bend your left knee and raise your right arm.")
    assert (reading.parts, reading.kinds, reading.directions) == (("left leg", "right arm"), ("bend", "height"), ("more", "up"))
    assert reading.side is None
    assert reading.change is None


def _file(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text)
    return path


def test_contradictions_are_named_with_the_way_out(tmp_path: Path) -> None:
    text = "- {change: ['{side} arm', height, up], says: ['Move your {side} hand.']}\n"
    text += "- {change: ['{side} arm', height, down], says: ['Lower your {side} hand.', 'move your {side}  hand']}\n"
    with pytest.raises(ValueError, match=r"contradict each other.*'move your left hand' \(001-left: left arm height up; 002-left") as error:
        load_instructions(_file(tmp_path, text))
    assert "move your right hand" in str(error.value)
    assert "reword it" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {change: [head, turn, left], says: ['Look.']}\n- {change: [head, turn, left], says: ['look']}", "come twice: 'look'"),
        ("- {change: [tail, turn, left], says: ['Wag.']}", "entry 1: .*Unknown part 'tail'"),
        ("- {change: [head, turn, up], says: ['Look.']}", "must be one of left, right"),
        ("- {change: [head, turn, left], says: [Look.], mask: tail}", "mask names .*upper_body"),
        ("- {change: [head, turn, left], says: [Look.], split: later}", "split must be one of train, val, test"),
        ("- {change: ['{side} arm', height, up], says: ['Raise it.']}", "must stand in every sentence"),
        ("- {change: [head, turn, left], says: []}", "at least one sentence"),
        ("head: left", "must be a list"),
        ("- {", "is not YAML"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_instructions(_file(tmp_path, text))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("tail", "height", "up", None, None), "Unknown part"), (("head", "size", "up", None, None), "Unknown kind"),
        (("head", "turn", "up", None, None), "must be one of left, right"), (("head", "turn", "left", 3, None), "both None"),
        (("head", "turn", "left", -3, "deg"), "at least 0"), (("head", "turn", "left", 3, "feet"), "Unknown unit"),
    ],
)  # fmt: skip
def test_changes_are_checked(values: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Change(*values)


def test_command_reads() -> None:
    result = CliRunner().invoke(app, ["corrections", "read", "Raise your left hand higher."])
    assert '"parts": ["left arm"], "side": "left", "directions": ["up"], "kinds": ["height"]' in result.output
