"""The words of `hf_motion.corrections.reading`, as patterns over lower-case text."""

from __future__ import annotations

import re


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b")


_ARM_NOUNS = "(?:forearm|arm|hand|wrist|elbow|fist|palm)s?"
_LEG_NOUNS = "(?:leg|knee|ankle|heel|toe|thigh|shin)s?|foot|feet|stance"
_BODY_NOUNS = "body|side|middle|chest|torso|trunk|waist|hips?|shoulders?|head|ears?|chin|face|back|floor|ground"

ARM, LEG = _words(_ARM_NOUNS), _words(_LEG_NOUNS)
TORSO = _words("torso", "trunk", "chest", "spine", "upper body", "shoulders?", "waist", "your back", "hips?")
HEAD = _words("head", "chin", "face", "gaze", "eyes", "neck", "look", "looking")
PART_WORD = _words(_ARM_NOUNS, _LEG_NOUNS, "steps?", "strides?", "head", "chin", "torso", "trunk", "chest", "upper body", "lower body")
STEPS = _words("steps?", "strides?")
MOVING = _words("motion", "movement", "whole", "everything", "overall")

ADVERBS = re.compile(r"\bright (?:away|now|there|after|before|from the start)\b")
CLAUSES = re.compile(r"[.;!?]+\s*|,?\s+(?:and then|and also|and|then|while|but)\s+|,\s+")
# A part that only says where: "above your head", "with your elbow close to the ribs".
REFERENCES = re.compile(
    r"\b(?:above|over|below|under|beneath|behind|past|near|beside|level with|at the height of|in front of|across|to(?:ward|wards)?|from|off)"  # noqa: E501
    rf" (?:your|the|his|her|their) (?:(?:left|right) )?(?:own )?(?:{_ARM_NOUNS}|{_LEG_NOUNS}|{_BODY_NOUNS})\b"
)
# What turns the direction of a clause round, and what does so to the word behind it.
UNDO = re.compile(r"\b(?:do not|don't|avoid|stop|never|not (?:so|as|that|quite so))\b(?!.*\benough\b)")
TOO = re.compile(r"\b(?:(?:far |much |a little |a bit |slightly )?too(?: far| much)?|less(?! so)) $")

# Per kind: what must be there at all, and what says which way. Patterns are tried in order, and what one has found the next do not see.
KINDS: dict[str, tuple[re.Pattern[str], dict[str, re.Pattern[str]]]] = {
    "timing": (
        _words("earlier", "sooner", "early", "soon", "later", "late", "delay", "wait", "postpone", "hold off", "ahead of time"),
        {
            "earlier": _words("earlier", "sooner", "early", "soon", "ahead of time"),
            "later": _words("later", "late", "delay", "wait", "postpone", "hold off"),
        },
    ),
    "speed": (
        _words("fast(?:er)?", "quick(?:er|ly|en)?", "rapid(?:ly)?", "speed", "hurry", "pace", "tempo", "slow(?:er|ly)?",
               "brisk(?:ly)?", "time"),
        {
            "slower": _words(
                "slow(?:er|ly)?", "take (?:your|more|some more) time", "(?:lower|reduce|drop|cut) (?:your|the) (?:speed|pace|tempo)"
            ),
            "faster": _words(
                "fast(?:er)?", "quick(?:er|ly|en)?", "rapid(?:ly)?", "speed up", "speed it up", "hurry", "brisk(?:ly)?",
                "(?:pick up|increase|raise) (?:your|the) (?:speed|pace|tempo)",
            ),
        },
    ),
    "stride": (
        _words("steps?", "strides?"),
        {
            "more": _words("long(?:er)?", "larger?", "big(?:ger)?", "lengthen", "farther", "further"),
            "less": _words("short(?:er)?", "small(?:er)?", "tiny", "shorten"),
        },
    ),
    "amplitude": (
        _words("swings?", "swinging", "movements?", "range", "gestures?", "arcs?"),
        {
            "less": _words("small(?:er)?", "less", "(?:to a )?minimum", "hardly any", "tight(?:er)?", "reduce", "limit", "narrower"),
            "more": _words("big(?:ger)?", "larger?", "more", "wider", "widely", "further", "farther", "increase", "full(?:er)?"),
        },
    ),
    "bend": (
        re.compile(
            rf"^(?!.*\b(?:forwards?|backwards?|sideways|torso|trunk|waist|back|chest|upper body|head|neck)\b)"
            rf"(?=.*\b(?:{_ARM_NOUNS}|{_LEG_NOUNS}|squat)\b)"
            r".*\b(?:bend|bending|bent|flex|straight(?:en|er)?|sink (?:\w+ ){0,3}into|deeper|squat)\b"
        ),
        {
            "less": _words("bend (?:\\w+ ){1,4}less", "less bent", "(?:less|shallower) (?:of a )?bend", "straighten",
                           "straighter", "straight"),
            "more": _words("bend", "bending", "bent", "flex", "sink (?:\\w+ ){0,3}into", "deeper"),
        },
    ),
    "lean": (
        _words("lean", "leans", "leaning", "tilt", "tilts", "bend", "tip", "incline", "hunch", "bow (?=forward)", "look", "chin", "head"),
        {
            "forward": _words("forwards?", "ahead", "look (?:\\w+ ){0,3}down", "(?:lower|drop|tuck) (?:\\w+ ){0,2}(?:chin|head)",
                              "head (?:\\w+ ){0,3}down", "(?:chin|head) (?:is|should be) (?:\\w+ ){0,2}(?:lower|too high)"),
            "backward": _words("backwards?", "back(?! straight)", "look (?:\\w+ ){0,3}up", "(?:raise|lift) (?:\\w+ ){0,2}(?:chin|head)",
                               "head (?:\\w+ ){0,3}up", "(?:chin|head) (?:is|should be) (?:\\w+ ){0,2}(?:higher|too low)"),
            "left": re.compile(r"\b(?:to (?:the|your) left|left(?:ward|wards)|(?:sideways|over) left)\b"),
            "right": re.compile(r"\b(?:to (?:the|your) right|right(?:ward|wards)|(?:sideways|over) right)\b"),
        },
    ),
    "turn": (
        _words("turn", "turned", "rotate", "rotated", "twist", "twisted", "swivel", "look", "face"),
        {
            "left": re.compile(r"\b(?:to (?:the|your) left|left(?:ward|wards)|(?:turn|look|face) left)\b"),
            "right": re.compile(r"\b(?:to (?:the|your) right|right(?:ward|wards)|(?:turn|look|face) right)\b"),
        },
    ),
    "width": (
        re.compile(r"."),
        {
            "in": _words("clos(?:e|er)(?: together)?", "together", "inwards?", "in(?! front)", "narrow(?:er)?"),
            "out": _words("outwards?", "out(?! in front)", "wide(?:r)?", "widen", "apart", "away", "spread", "open"),
        },
    ),
    "reach": (
        re.compile(r"."),
        {
            "forward": _words("forwards?", "(?:out )?in front", "to the front", "ahead"),
            "backward": _words("backwards?", "back"),
        },
    ),
    "height": (
        re.compile(r"."),
        {
            "down": _words("lower", "low", "down", "downwards?", "drop", "sink", "(?:lift|raise) (?:\\w+ ){1,3}less"),
            "up": _words("raise", "lift", "higher", "high", "up", "upwards?", "elevate"),
        },
    ),
}  # fmt: skip

ACTIONS = {
    "upper body": _words(
        "wav(?:e|ing)",
        "clap(?:ping)?",
        "applau(?:d|se)",
        "punch(?:es)?",
        "fist as a boxer",
        "box with",
        "boxer",
        "shadow box",
        "(?:throw|hurl|toss) (?:a|some)\\w*",
        "catch",
        "salute",
        "point(?: your \\w+ hand)? (?:at|with)",
        "beckon(?:ing)?",
        "drink",
        "eat(?:ing)?",
        "phone",
        "knock",
        "hammer(?:ing)?",
        "scratch",
        "teeth",
        "guitar",
        "violin",
        "piano",
        "drum(?:s|ming)?",
        "conduct",
        "paint",
        "wipe",
        "wash(?:ing)?",
        "stir",
        "shoot",
        "archer",
        "tennis",
        "golf",
        "baseball",
        "swim(?:ming)?",
        "flap",
        "row(?:ing)?(?! of)",
        "(?:pull|pulling) (?:on )?a",
        "(?:push|pushing) (?:a|something)",
        "steer",
        "steering",
        "shrug",
        "(?:cross|fold|folded) (?:your )?arms",
        "hug",
        "on your hips",
        "akimbo",
        "circles?",
        "cheer(?:ing)?",
        "juggle",
        "dumbbells",
        "curls",
        "ladder",
        "climbing",
        "climb a rope",
        "bow (?:politely|to the)",
        "take a bow",
    ),
    "lower body": _words(
        "kicks?",
        "hops?",
        "balance",
        "stomp",
        "stamp",
        "lunge",
        "tap",
        "jump(?:ing)?",
        "leap",
        "do squats",
        "squat with",
        "into a squat",
        "march",
        "tiptoe",
        "jog",
        "run",
        "skip",
        "sneak",
        "creep",
        "limp",
        "side steps?",
        "sidestep",
        "(?:step|steps) from side",
        "sit",
        "take a seat",
        "kneel",
        "wade",
        "wading",
        "stairs",
        "upstairs",
        "climb steps",
        "pedal",
        "bicycle",
        "skat(?:e|ing)",
        "moonwalk",
        "shuffle",
        "curtsy",
        "crouch with",
        "crouch as",
        "into a crouch",
        "runway",
        "strut",
        "stagger",
        "gallop",
    ),
}
