"""Other wordings of training captions, written by hand (`training/paraphrases`) and put together here."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ..utils.extras import require
from ..utils.text import read_text

_SUBJECTS = (
    "a person", "the person", "someone", "somebody", "he", "she", "they", "a man", "the man", "a woman", "the woman", "a guy", "the guy",
    "the girl", "a boy", "an athlete", "my friend", "the figure", "a human", "the character", "this person", "the actor", "a student",
    "my boss", "the coach", "a player", "a soldier", "the hero", "the teacher", "my brother", "my sister", "a worker", "a tourist",
    "the neighbor", "the guard", "a visitor", "an officer", "dad", "mom", "the goalkeeper", "a performer", "a model", "the stranger",
)  # fmt: skip
_FORMS = ("present", "present", "progressive", "ing", "ing", "participle", "past", "imperative", "third", "relative")
_VARIANTS = 4  # of each clause
_HIS = {"he", "man", "guy", "boy", "grandpa", "thug", "king", "grandfather", "brother", "dad", "cowboy"}
_HER = {"she", "woman", "girl", "lady", "grandma", "princess", "queen", "ballerina", "sister", "mom", "mother", "grandmother", "widow"}
_DOUBLED = frozenset((
    "bid", "chop", "clap", "control", "cup", "cut", "dip", "drag", "drop", "flap", "flip", "get", "grab", "grip", "hit", "hop", "hug",
    "jab", "jog", "let", "lob", "mop", "nap", "nod", "plod", "plop", "pop", "put", "rub", "run", "scrub", "shrug", "sidestep", "sip",
    "sit", "slap", "slip", "slug", "snap", "spar", "spin", "squat", "step", "stop", "swab", "tip", "trek", "trot", "whip", "win",
    "wrap",
))  # fmt: skip
_PAST = {
    "arise": "arose", "be": "was", "bear": "bore", "beat": "beat", "become": "became", "begin": "began", "bend": "bent", "bid": "bade",
    "break": "broke", "bring": "brought", "build": "built", "burst": "burst", "cast": "cast", "catch": "caught", "come": "came",
    "creep": "crept", "cut": "cut", "do": "did", "draw": "drew", "drink": "drank", "drive": "drove", "eat": "ate", "fall": "fell",
    "feed": "fed", "feel": "felt", "fight": "fought", "find": "found", "fling": "flung", "fly": "flew", "freeze": "froze",
    "get": "got", "give": "gave", "go": "went", "hang": "hung", "have": "had", "hit": "hit", "hold": "held", "keep": "kept",
    "kneel": "knelt", "lead": "led", "let": "let", "lie": "lay", "make": "made", "overdo": "overdid", "put": "put", "ride": "rode",
    "rise": "rose", "run": "ran", "say": "said", "see": "saw", "send": "sent", "shake": "shook", "shoot": "shot", "shrink": "shrank",
    "show": "showed", "sing": "sang", "sink": "sank", "sit": "sat", "sleep": "slept", "slink": "slunk", "speed": "sped", "spin": "spun",
    "spread": "spread", "spring": "sprang", "stand": "stood", "steal": "stole", "stick": "stuck", "stride": "strode",
    "strike": "struck", "sweep": "swept", "swing": "swung", "take": "took", "tear": "tore", "tell": "told", "think": "thought",
    "throw": "threw", "thrust": "thrust", "tread": "trod", "win": "won", "wind": "wound", "withdraw": "withdrew",
}  # fmt: skip
_VERB = re.compile(r"/([a-z]+)")
_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeio]|u[^sn])(?!one\b)")


class Action(NamedTuple):
    """Something that training captions say.

    Args:
        name (`str`): Short name, such as "turn left while walking".
        example (`str`): A plain sentence for it.
        wordings (`int`): How many wordings there are.
    """

    name: str
    example: str
    wordings: int


@dataclass(frozen=True, eq=False)
class _Group:
    name: str
    example: str
    key: str  # the same on both sides, so that their wordings mirror each other
    captions: tuple[str, ...]
    wordings: tuple[str, ...]
    who: tuple[str, ...]


class Paraphrases:
    """Wordings by caption; see `load_paraphrases`.

    Captions are compared lower-cased, stripped and without a final full stop. `len` counts the different wordings.

    Args:
        files (`dict[str, dict]`): Parsed YAML by name of the file, see the README beside the files for what they hold.

    Raises:
        ValueError: If something in a file has the wrong form; the message names the file.
    """

    def __init__(self, files: dict[str, dict[str, Any]]) -> None:
        self._said_by: dict[str, list[tuple[_Group, int]]] = {}
        self._parts: dict[str, list[tuple[_Group, int]]] = {}
        self._styles: list[dict[str, Any]] = []
        self._composed: dict[tuple[_Group, int], list[str]] = {}
        for file, content in files.items():
            self._add(file, content)

    def __call__(self, caption: str) -> list[str]:
        """All wordings of a training caption, in a fixed order; none of an unknown one."""
        return self._compose(self._said_by.get(_plain(caption), []))

    def __len__(self) -> int:
        return len(self._compose([part for parts in self._parts.values() for part in parts]))

    @property
    def captions(self) -> list[str]:
        """The captions that have wordings, as they are compared."""
        return list(self._said_by)

    def actions(self) -> list[Action]:
        """Everything there are wordings for, by name."""
        return [Action(name, self._parts[name][0][0].example, len(self.of_action(name))) for name in sorted(self._parts)]

    def names(self, caption: str) -> list[str]:
        """Short names of the actions that a training caption says; none of an unknown one."""
        return list(dict.fromkeys(group.name for group, _ in self._said_by.get(_plain(caption), [])))

    def examples(self, caption: str) -> list[str]:
        """A plain sentence for each action that a training caption says; none of an unknown one."""
        return list(dict.fromkeys(group.example for group, _ in self._said_by.get(_plain(caption), [])))

    def of_action(self, name: str) -> list[str]:
        """All wordings of an action.

        Raises:
            KeyError: If there is none of that name.
        """
        return self._compose(self._parts[name])

    def _add(self, file: str, content: dict[str, Any]) -> None:
        first = len(self._styles)
        try:
            self._styles += content.get("styles", [{"captions": None}])
            for group, style in product((one for action in content["actions"] for one in _groups(action)), range(first, len(self._styles))):
                self._parts.setdefault(group.name, []).append((group, style))
                for caption in _captions(group, self._styles[style]["captions"], content.get("caption_subjects")):
                    self._said_by.setdefault(_plain(caption), []).append((group, style))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file!r} does not hold paraphrases as their README says: {type(error).__name__}: {error}.") from error

    def _compose(self, parts: Sequence[tuple[_Group, int]]) -> list[str]:
        for part in parts:
            if part not in self._composed:
                self._composed[part] = list(_compose(part[0], self._styles[part[1]]))
        return list(dict.fromkeys(wording for part in parts for wording in self._composed[part]))


def load_paraphrases(folder: str | Path) -> Paraphrases:
    """Read the wordings of training captions.

    Args:
        folder (`str` or `pathlib.Path`): With YAML files, such as `training/paraphrases`.

    Returns:
        `Paraphrases`: A callable: caption in, wordings out.

    Raises:
        FileNotFoundError: If the folder has no YAML file.
        ValueError: If a file is not YAML, or has the wrong form.

    Example:
        >>> say = load_paraphrases("training/paraphrases")
        >>> "some steps backwards" in say("a person steps backward")
        True
        >>> say("a person plays the tuba")
        []
    """
    files = sorted(Path(folder).glob("*.yaml"))
    if not files:
        raise FileNotFoundError(f"No .yaml file in {str(folder)!r}; paraphrases are read from a folder such as training/paraphrases.")
    return Paraphrases({str(file): _read(file) for file in files})


def _read(file: Path) -> Any:
    yaml = require("yaml", "Reading paraphrases")
    text = read_text(file)
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"{str(file)!r} is not YAML: {error}") from error


def _plain(caption: str) -> str:
    return caption.strip().lower().removesuffix(".")


def _captions(group: _Group, endings: Sequence[str] | None, subjects: Sequence[str] | None) -> Iterator[str]:
    """Captions of a group as they are, or those of templates: subject, what, and how it is done."""
    if subjects is None:
        yield from group.captions
        return
    for subject, what in product(subjects, group.captions):
        for how in endings or [""]:
            yield f"{subject} {what} {how}".strip()


def _groups(action: dict[str, Any]) -> Iterator[_Group]:
    """A group of each value of its placeholders."""
    whole = " ".join(action["captions"])
    sides = (("left", "right"), ("right", "left")) if "{side}" in whole else (("", ""),)
    for value, (side, other) in product(action.get("each", [""]), sides):

        def fill(text: str, words: tuple[tuple[str, str], ...] = (("x", value), ("side", side), ("other", other))) -> str:
            for name, word in words:
                text = text.replace(f"{{{name}}}", word)
            return _BEFORE_VOWEL.sub(r"\1n ", text)

        captions = tuple(map(fill, action["captions"]))
        example = fill(action.get("example") or next((one for one in captions if one.startswith(("a ", "someone "))), captions[0]))
        key = action["captions"][0].replace("{x}", value)
        yield _Group(fill(action["name"]), example, key, captions, tuple(map(fill, action["wordings"])), tuple(action.get("who", ())))


def _compose(group: _Group, style: dict[str, Any]) -> Iterator[str]:
    """Every line of a group in some persons and tenses, in a style."""
    draw = random.Random(f"{group.key}/{style.get('name')}")
    count = 0
    for line in group.wordings:
        forms = draw.sample(_FORMS, _VARIANTS) if line.startswith("/") else ["label"]
        for form in forms:
            count += 1
            text = _say(line, form, group, style, draw)
            yield text[0].upper() + text[1:] + "." if count % 12 == 5 else text


def _say(line: str, form: str, group: _Group, style: dict[str, Any], draw: random.Random) -> str:
    how = draw.choice(style["how"]) if "how" in style else ""
    if form == "label":
        word = draw.choice(style["adjective"]) if "adjective" in style else ""
        if "~" not in line:
            word, line = "", f"{line} {how}".strip()
        return _BEFORE_VOWEL.sub(r"\1n ", " ".join(line.replace("~", word).split()))
    if form == "progressive" and line.startswith("/be "):
        form = "present"
    subjects: Sequence[str] = _SUBJECTS
    if group.who and draw.random() < 0.4:
        subjects = group.who
    if form in ("ing", "imperative", "third"):
        subject = ""
    else:
        if "who" in style and draw.random() < 0.35:
            subjects, how = style["who"], ""
        subject = draw.choice([one for one in subjects if form not in ("participle", "relative") or one not in ("he", "she", "they")])
    plural = subject == "they"
    kind = {"present": "base" if plural else "third", "progressive": "ing", "participle": "ing", "imperative": "base", "relative": "third"}
    kind = kind.get(form, form)
    be = {"progressive": "are" if plural else "is", "relative": "who"}.get(form, "")
    said = _VERB.sub(lambda verb: _conjugate(verb[1], kind, plural), line)
    last = subject.split()[-1] if subject else ""
    their = "your" if form == "imperative" else "his" if last in _HIS else "her" if last in _HER else "their" if subject else "the"
    return " ".join(f"{subject} {be} {said} {how}".replace("{their}", their).split())


def _conjugate(verb: str, form: str, plural: bool = False) -> str:
    """A verb as `"base"`, `"third"` person, `"ing"` or `"past"`.

    Example:
        >>> [_conjugate(verb, form) for verb, form in (("carry", "third"), ("jog", "ing"), ("swing", "past"), ("lie", "ing"))]
        ['carries', 'jogging', 'swung', 'lying']
    """
    if form == "base":
        return "are" if verb == "be" and plural else verb
    soft = verb[-1] == "y" and verb[-2] not in "aeiou"
    stem = verb + verb[-1] if verb in _DOUBLED else verb + "k" if verb[-1] == "c" else verb
    if form == "third":
        if verb in ("be", "have"):
            return {"be": "is", "have": "has"}[verb]
        return verb[:-1] + "ies" if soft else verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")
    if form == "ing":
        if verb.endswith("ie"):
            return verb[:-2] + "ying"
        return (verb[:-1] if verb[-1] == "e" and verb[-2:] not in ("ee", "oe", "ye", "be") else stem) + "ing"
    if verb in _PAST:
        return "were" if verb == "be" and plural else _PAST[verb]
    return verb[:-1] + "ied" if soft else verb + "d" if verb[-1] == "e" else stem + "ed"
