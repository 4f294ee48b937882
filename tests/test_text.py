"""Text from the outside: files in any encoding, characters that nothing can hold, and what a model does not read."""

import codecs
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import save_tiny_retrieval_model, tiny_generator, tiny_pipeline
from transformers import pipeline

from hf_motion import Motion, load_embedded_pipeline
from hf_motion.data.motion_text import read_row, read_tags
from hf_motion.generation import GenerationRequest, _prompts
from hf_motion.pipelines.editing import join_motions
from hf_motion.retrieval.embedder import MotionTextEmbedder
from hf_motion.tokenization.word_pos import WordPosTokenizer
from hf_motion.utils.text import check_prompts, clean_text, read_lines, read_text, say_once, warn_of_unread

LONG = "a person walks forward and then turns around and walks back and sits down on a chair and then stands up again and "
ENDS = ("waves the left hand and walks away", "lies down on the floor and sleeps there")


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "hf_motion")
    return caplog


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "hf_motion" and "licensed" not in record.getMessage()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_files_with_any_byte_order_mark_are_the_same(tmp_path: Path, encoding: str) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    text = "a person walks\r\n\r\n  a café \u2028 here\rrun\n"
    (tmp_path / "a.txt").write_bytes(marks.get(encoding, b"") + text.encode(encoding))
    assert read_text(tmp_path / "a.txt") == "a person walks\n\n  a café \u2028 here\nrun\n"
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "a person walks"), (3, "a café \u2028 here"), (4, "run")]


@pytest.mark.parametrize(
    ("content", "line"),
    [("a\nb\ncafé".encode("latin-1"), 3), ("a person\nwalks".encode("utf-16-le"), 1), (codecs.BOM_UTF16_LE + b"a\0\n\0b", 2)],
)
def test_other_encodings_name_file_and_line(tmp_path: Path, content: bytes, line: int) -> None:
    (tmp_path / "prompts.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"prompts\.txt', line {line}: this is not UTF.*Save the file as UTF-8"):
        read_text(tmp_path / "prompts.txt")


@pytest.mark.parametrize(
    ("text", "cleaned", "message"),
    [
        ("a person walks", "a person walks", None),
        ("  a\tperson\n walks ", "a person walks", None),
        ("cafe\u0301", "café", None),
        ("\ufeffa person walks", "a person walks", "U+FEFF (byte order mark)"),
        ("a per\ud800son\0 walks\x1b", "a person walks", "U+D800 (half of a character), U+0000 (control character), U+001B (control"),
        ("می\u200cرود 👩\u200d🚀", "می\u200cرود 👩\u200d🚀", None),
        ("walk\u202e back", "walk back", "U+202E (invisible character)"),
    ],
)
def test_cleaning(caplog: pytest.LogCaptureFixture, text: str, cleaned: str, message: str | None) -> None:
    assert clean_text(text) == clean_text(clean_text(text)) == cleaned
    assert len(said(caplog)) == 2 * (message is not None)  # once for each of the two calls on the raw text
    assert message is None or message in said(caplog)[0]


@pytest.mark.parametrize("text", ["", " \n", "\ufeff", "\ud800\0"])
def test_nothing_left_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"prompt\[1\] is empty.*Say what happens"):
        check_prompts(["a person walks", text])


def test_many_warnings_of_a_kind_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with say_once():
        for index in range(12):
            for _ in range(2):
                clean_text(f"walk {index}\0")
    assert len(said(caplog)) == 6
    assert said(caplog)[-1] == "7 more sentences had characters that were left out."


def test_a_motion_is_written_whatever_its_text_holds(tmp_path: Path) -> None:
    motion = Motion(np.zeros((4, 22, 3), np.float32), text="a\ud800 person\0\n walks \x1b👋")
    assert motion.text == "a person walks 👋"
    for suffix in (".npz", ".html", ".png", ".bvh", ".csv"):
        motion.save(tmp_path / f"a{suffix}")
    assert Motion.load(tmp_path / "a.npz").text == motion.text
    assert Motion(motion.joints, text="\0").text is None


def test_rows_of_a_data_set(caplog: pytest.LogCaptureFixture) -> None:
    captions = [{"text": "\ufeffa man  walks", "pos_tagged": "a/DET man/NOUN walk/VERB"}, {"text": "\0"}]
    row = {"id": "a", "fps": 20, "n_frames": 1, "joints": [0.0] * 66, "captions": captions}
    assert read_row(row, "humanml3d-22")[1] == ["a man walks"]
    assert read_tags(row) == {"a man walks": "a/DET man/NOUN walk/VERB"}


@pytest.mark.parametrize("kind", ["mdm", "t2m-gpt", "momask"])
def test_what_is_cut_and_what_is_unknown_is_said_once(caplog: pytest.LogCaptureFixture, kind: str) -> None:
    model = tiny_pipeline(steps=1) if kind == "mdm" else tiny_generator(kind)
    if kind == "mdm":
        model.set_progress_bar_config(disable=True)
    make = model if kind == "mdm" else model.generate_motion
    prompts = [LONG + end for end in ENDS] + [LONG + ENDS[0], "一个人 walks 🏃", "a person walks"]
    made = make(prompts, 8, generator=torch.Generator().manual_seed(0))
    motions = made.motions if kind == "mdm" else made
    assert [motion.text for motion in motions] == prompts
    messages = said(caplog)
    assert len(messages) == 3, messages
    for message, end in zip(messages, ENDS, strict=False):
        assert message.startswith("These words were left out of 'a person walks")
        assert f"{end}'. The model reads " in message
    assert "does not know '一个人', '🏃' in '一个人 walks 🏃'" in messages[2]
    assert ": 'sits down on a chair" in messages[0]  # whole words, although the limit lies within one


def test_a_byte_order_mark_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    pipe = load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    made = [
        pipe(prompt, 8, 2, generator=torch.Generator().manual_seed(0)).motions[0]
        for prompt in ("a person walks", "\ufeffa  person\nwalks\0")
    ]
    np.testing.assert_array_equal(made[0].joints, made[1].joints)
    assert len(said(caplog)) == 1


def test_batches_and_joins_say_it_once_too(caplog: pytest.LogCaptureFixture) -> None:
    pipe = tiny_pipeline(steps=1)
    pipe.set_progress_bar_config(disable=True)
    clips = pipe(["walk", "run", "walk"], 12, generator=torch.Generator().manual_seed(0)).motions
    join_motions(pipe, clips, "行く", 0.2, context_seconds=0.2, batch_size=1)
    assert len(said(caplog)) == 1


@pytest.mark.parametrize("kind", ["t2m-evaluator", "tmr"])
def test_evaluators_say_what_they_do_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    embedder = MotionTextEmbedder.from_pretrained(save_tiny_retrieval_model(tmp_path / kind, kind))
    long = "a person walks " * 40
    rows = embedder.embed_texts(["a person\0 walks", "a person  walks", long + "and stops", "一 walks"])
    np.testing.assert_array_equal(rows[0], rows[1])
    messages = said(caplog)
    assert [message.split(" ")[0] for message in messages] == ["Left", "These", "The"], messages
    assert "walks and stops'. The model reads" in messages[1]
    assert "'一'" in messages[2]
    with pytest.raises(ValueError, match="is empty"):
        embedder.embed_texts(["walk", " "])


def test_word_lists_name_words_cut_and_words_unknown(caplog: pytest.LogCaptureFixture) -> None:
    tags = {"a man walks": "a/DET man/NOUN walk/VERB"}
    tokenizer = WordPosTokenizer.from_captions(list(tags), tags=tags, max_text_len=3)
    assert tokenizer.unread_words("a man walks slowly home") == ("slowly home", [])
    assert tokenizer.unread_words("a man moonwalks 💃") == ("", ["'moonwalks'", "'💃'"])
    warn_of_unread(["a man walks home"], tokenizer, None, {"a man walks home": "a/DET man/NOUN walk/VERB home/NOUN back/ADV"})
    assert said(caplog) == ["These words were left out of 'a man walks home': 'home back'. The model reads 3 words at most."]


ODD = {
    "другой язык": "человек идёт вперёд",
    "中文": "一个人向前走",
    "日本語": "人が歩く",
    "emoji": "👩‍🚀🏃💨",
    "500 words": "a person walks and turns " * 100,
    "stop words": "the of and to a in that",
    "contradiction": "a person stands still while running forward backward",
    "punctuation": "?!...",
    "a word of other letters": "relax, then walk",
}
SAID = {
    "другой язык": "'человек', 'идёт', 'вперёд'",
    "中文": "'一个人向前走'",
    "日本語": "'人が歩く'",
    "emoji": "'👩‍🚀🏃💨'",
}


def test_the_embedded_checkpoint_takes_any_sentence(caplog: pytest.LogCaptureFixture) -> None:
    text_to_motion = pipeline("text-to-motion")
    text_to_motion.model.pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(0)}
    motions = text_to_motion(list(ODD.values()), 20, batch_size=4, **options)
    assert all(np.isfinite(motion.joints).all() and len(motion) == 20 for motion in motions)
    assert [motion.text for motion in motions] == [clean_text(text) for text in ODD.values()]
    messages = said(caplog)
    for name, words in SAID.items():
        assert any(f"does not know {words} in '{ODD[name]}'" in message for message in messages), messages
    assert sum("does not know" in message for message in messages) == len(SAID)
    assert ["turns a person" in message for message in messages if "left out" in message] == [True]
    assert any(f"'{ODD['emoji']}' is far from everything that this checkpoint learned" in message for message in messages)
    assert not any("a person stands still" in message for message in messages)


def test_prompt_files(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffa person walks\r\n\0\r\nrun\x1b\r\n".encode("utf-16"))
    assert _prompts(GenerationRequest(prompt_file=path)) == ["a person walks", "run"]
    path.write_bytes(b"walk\nun pas chass\xe9\n")
    with pytest.raises(ValueError, match=r"prompts\.txt', line 2"):
        _prompts(GenerationRequest(prompts=["a"], prompt_file=path))
