"""The word classes of Guo et al., and raw captions brought into their form.

Guo et al. (CVPR 2022) tag captions with spaCy: hyphens vanish, what is not all letters is dropped, nouns and verbs become lemmas (except
"left"). Words that matter for motion have classes of their own, whatever their part of speech.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..utils.extras import require

VIP_WORDS = {
    "Loc_VIP": (
        "left", "right", "clockwise", "counterclockwise", "anticlockwise", "forward", "back", "backward", "up", "down", "straight", "curve",
    ),
    "Body_VIP": (
        "arm", "chin", "foot", "feet", "face", "hand", "mouth", "leg", "waist", "eye", "knee", "shoulder", "thigh",
    ),
    "Obj_VIP": (
        "stair", "dumbbell", "chair", "window", "floor", "car", "ball", "handrail", "baseball", "basketball",
    ),
    "Act_VIP": (
        "walk", "run", "swing", "pick", "bring", "kick", "put", "squat", "throw", "hop", "dance", "jump", "turn", "stumble", "stop", "sit",
        "lift", "lower", "raise", "wash", "stand", "kneel", "stroll", "rub", "bend", "balance", "flap", "jog", "shuffle", "lean", "rotate",
        "spin", "spread", "climb",
    ),
    "Desc_VIP": (
        "slowly", "carefully", "fast", "careful", "slow", "quickly", "happy", "angry", "sad", "happily", "angrily", "sadly",
    ),
}  # fmt: skip
"""Words of the published vocabulary that have a class of their own."""

POS_CLASSES = ("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV", *VIP_WORDS, "OTHER")
"""The published classes in their order; a part of speech that is none of them is OTHER."""

OTHER = POS_CLASSES.index("OTHER")
_POS_IDS = {name: index for index, name in enumerate(POS_CLASSES)}
_VIP_IDS = {word: _POS_IDS[name] for name, words in VIP_WORDS.items() for word in words}
# An ending that spaCy splits off and the letters-only rule then drops: "person's" is "person", "doesn't" is "does".
_DROPPED_ENDING = re.compile(r"n['\u2019]t\b|['\u2019]\w*")
_WORD = re.compile(r"[^\W\d_]+")


def pos_id(word: str, tag: str) -> int:
    """The class of a word of the vocabulary: its own if it has one, else its part of speech.

    Example:
        >>> POS_CLASSES[pos_id("walk", "NOUN")], POS_CLASSES[pos_id("person", "NOUN")], POS_CLASSES[pos_id("and", "CCONJ")]
        ('Act_VIP', 'NOUN', 'OTHER')
    """
    return _VIP_IDS.get(word, _POS_IDS.get(tag, OTHER))


def split_tagged(tagged: str) -> list[tuple[str, str]]:
    """Words and tags of HumanML3D's `word/POS word/POS` form.

    Raises:
        ValueError: If a token has no slash.

    Example:
        >>> split_tagged("a/DET man/NOUN walk/VERB")
        [('a', 'DET'), ('man', 'NOUN'), ('walk', 'VERB')]
    """
    pairs = []
    for token in tagged.split():
        word, slash, tag = token.rpartition("/")
        if not slash:
            raise ValueError(f"{tagged!r} is not of the form 'word/POS word/POS': {token!r} has no slash.")
        pairs.append((word, tag))
    return pairs


def plain_words(caption: str) -> list[str]:
    """Words as the published rules cut them, without a model: hyphens vanish, only words of letters stay.

    Example:
        >>> plain_words("the man's left-hand doesn't move, 2 times")
        ['the', 'man', 'lefthand', 'does', 'move', 'times']
    """
    return _WORD.findall(_DROPPED_ENDING.sub("", caption.replace("-", "")))


def build_lexicon(tags: Mapping[str, str]) -> dict[str, str]:
    """What each word of raw captions most often becomes in their tagged form.

    Words are matched one by one where a caption and its tagged form have as many of them; where not, the tagged words stand for themselves.

    Args:
        tags (`Mapping[str, str]`): Captions and their `word/POS` form.

    Returns:
        `dict[str, str]`: Lower-case words and their `word/POS`; equally frequent ones in alphabetical order.

    Example:
        >>> build_lexicon({"a man walks": "a/DET man/NOUN walk/VERB"})
        {'a': 'a/DET', 'man': 'man/NOUN', 'walks': 'walk/VERB'}
    """
    counts: dict[str, Counter[str]] = {}
    for caption, tagged in tags.items():
        pairs, words = split_tagged(tagged), plain_words(caption.lower())
        if len(words) != len(pairs):
            words = [word.lower() for word, _ in pairs]
        for word, (lemma, tag) in zip(words, pairs, strict=True):
            counts.setdefault(word, Counter())[f"{lemma}/{tag}"] += 1
    return {word: min(found, key=lambda tagged: (-found[tagged], tagged)) for word, found in sorted(counts.items())}


def tag_with_lexicon(caption: str, lexicon: Mapping[str, str]) -> list[tuple[str, str]]:
    """Words and tags of a caption; words that the lexicon does not hold keep their form and are OTHER.

    Example:
        >>> tag_with_lexicon("A man walks, smiling", {"a": "a/DET", "man": "man/NOUN", "walks": "walk/VERB"})
        [('a', 'DET'), ('man', 'NOUN'), ('walk', 'VERB'), ('smiling', 'OTHER')]
    """
    return split_tagged(" ".join(lexicon.get(word, f"{word}/OTHER") for word in plain_words(caption.lower())))


@lru_cache(maxsize=2**16)
def tag_with_spacy(caption: str, model: str) -> tuple[tuple[str, str], ...]:
    """Words and tags of a caption by the published rules, kept for the next time that it is asked for.

    Args:
        caption (`str`): Raw text.
        model (`str`): Name or folder of a spaCy pipeline with tagger and lemmatizer; published is `"en_core_web_sm"`.

    Raises:
        ImportError: If spaCy is not installed.
        OSError: If the pipeline is not.
    """
    tokens = [token for token in _spacy_pipeline(model)(caption.replace("-", "")) if token.text.isalpha()]
    return tuple((token.lemma_ if token.pos_ in ("NOUN", "VERB") and token.text != "left" else token.text, token.pos_) for token in tokens)


@lru_cache(maxsize=2)
def _spacy_pipeline(model: str) -> Any:
    otherwise = "Then python -m spacy download en_core_web_sm. Or pass captions in 'word/POS' form as pos_tagged."
    spacy = require("spacy", "tagger='spacy'", otherwise)
    try:
        return spacy.load(model)
    except OSError as error:
        raise OSError(f"spaCy has no pipeline {model!r}: python -m spacy download {model}. Or pass captions as pos_tagged.") from error
