"""Emotions in sentences: what a face is told of "a person waves, happily"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...utils.text import tidy_text

NEUTRAL = "neutrally"
"""What a face is told where a sentence names no emotion."""

_STEMS = (
    "afraid", "amazed", "amused", "anger", "angr", "annoy", "anxious", "asham", "astonish", "bored", "bother", "calm", "cheer",
    "concentrat", "confident", "confus", "content", "curious", "delight", "depress", "desperat", "determin", "disappoint", "disgust",
    "displeas", "doubt", "embarrass", "enjoy", "enthusias", "excit", "fear", "focus", "frighten", "frustrat", "furious", "glad",
    "gloom", "happ", "hopeful", "interest", "joy", "laugh", "lonely", "love", "mad", "melanchol", "nervous", "neutral", "panic",
    "peaceful", "pleas", "proud", "relax", "relie", "sad", "satisf", "scare", "serious", "shame", "shock", "shy", "smil", "sorrow",
    "stress", "surpris", "tens", "terrif", "tired", "uncertain", "unhapp", "unsure", "upset", "worr",
)  # fmt: skip
_WORD = rf"(?:{'|'.join(_STEMS)})\w*"
_EMOTION = re.compile(rf"(?:(?:and|in|with|very|a bit|a little|feeling|looking|being) )*{_WORD}(?: and \w+)?")
_IN_EMOTION = re.compile(rf"(.*\S) (in {_WORD})[.!?]*", re.IGNORECASE | re.DOTALL)


def split_emotion(text: str) -> tuple[str, str | None]:
    """A sentence without the emotion at its end, and the emotion, or None if it names none.

    The emotion is what follows the last comma, as in the texts of Motion-X: an adverb, an adjective, or "in" and a noun, which needs no
    comma. Words of how something is done, such as "slowly", are no emotions.

    Args:
        text (`str`): A sentence.

    Example:
        >>> split_emotion("Play electric guitar, happily.")
        ('Play electric guitar', 'happily')
        >>> split_emotion("a person walks slowly, holding something, in disgust")
        ('a person walks slowly, holding something', 'in disgust')
        >>> split_emotion("a person turns, slowly")
        ('a person turns, slowly', None)
    """
    before, comma, tail = text.rpartition(",")
    emotion = tail.strip().rstrip(".!?").strip()
    if comma and before.strip() and _EMOTION.fullmatch(emotion.lower()):
        return before.strip(), emotion
    found = _IN_EMOTION.fullmatch(text.strip())
    return (found[1], found[2]) if found else (text, None)


def face_texts(row: Mapping[str, Any]) -> list[str]:
    """What a row of a data set says about its face: its `face_text` or, without one, the emotions at the ends of its captions.

    Example:
        >>> face_texts({"captions": [{"text": "a person bows, sadly"}, {"text": "a person bows"}]})
        ['sadly']
    """
    if text := tidy_text(row.get("face_text") or ""):
        return [text]
    found = (split_emotion(tidy_text(caption["text"] or ""))[1] for caption in row["captions"])
    return sorted({emotion for emotion in found if emotion})
