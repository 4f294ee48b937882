"""FBX files for tests: a small one as text, and ways to damage texts and binary files below their surface."""

import re
import struct
from collections.abc import Iterator

import numpy as np

SECOND = 46_186_158_000  # FBX counts time in these
NUMBERS = [
    "nan",
    "-inf",
    "1e999",
    "1e300",
    "-1",
    "0",
    "1e-300",
    "999999999999",
    "9223372036854775807",
    "-9223372036854775808",
    '"x"',
    "",
    "*3",
]
WIDTHS = {b"Y": "<h", b"C": "<b", b"B": "<b", b"I": "<i", b"F": "<f", b"D": "<d", b"L": "<q"}
EXTREMES = {
    "<h": [-1, 0, 32767], "<b": [-1, 0, 127], "<i": [-1, 0, 2**31 - 1, -(2**31)], "<q": [-1, 0, 2**63 - 1, -(2**63), SECOND * 10**6],
    "<f": [np.nan, np.inf, 3e38, -1e30, 0], "<d": [np.nan, -np.inf, 1e300, -1e12, 1e-300, 0],
}  # fmt: skip
_FILE = """; FBX 7.4.0 project file
FBXHeaderExtension:  {{
	FBXHeaderVersion: 1003
	FBXVersion: 7400
}}
GlobalSettings:  {{
	Version: 1000
	Properties70:  {{
		P: "UpAxis", "int", "Integer", "",1
		P: "UpAxisSign", "int", "Integer", "",1
		P: "FrontAxis", "int", "Integer", "",2
		P: "FrontAxisSign", "int", "Integer", "",1
		P: "CoordAxis", "int", "Integer", "",0
		P: "CoordAxisSign", "int", "Integer", "",1
		P: "UnitScaleFactor", "double", "Number", "",1
		P: "TimeMode", "enum", "", "",6
{settings}	}}
}}
Objects:  {{
{models}	AnimationStack: 30000, "AnimStack::Take", "" {{
		Properties70:  {{
			P: "LocalStop", "KTime", "Time", "",{stop}
		}}
	}}
	AnimationLayer: 30001, "AnimLayer::Base", "" {{
	}}
	AnimationCurveNode: 30010, "AnimCurveNode::R", "" {{
		Properties70:  {{
			P: "d|X", "Number", "", "A",0
		}}
	}}
	AnimationCurve: 30020, "AnimCurve::", "" {{
		Default: 0
		KeyVer: 4008
		KeyTime: *{frames} {{
			a: {times}
		}}
		KeyValueFloat: *{frames} {{
			a: {values}
		}}
		KeyAttrFlags: *1 {{
			a: 24836
		}}
		KeyAttrDataFloat: *4 {{
			a: 0,0,0,0
		}}
		KeyAttrRefCount: *1 {{
			a: {frames}
		}}
	}}
}}
Connections:  {{
{links}	C: "OO",30001,30000
	C: "OO",30010,30001
	C: "OP",30010,100, "Lcl Rotation"
	C: "OP",30020,30010, "d|X"
{more}}}
"""


def text_file(
    joints: int = 3, frames: int = 3, *, settings: str = "", scale: str = "1,1,1", more: str = "", names: str = "Joint{}",
    times: str | None = None,
) -> str:  # fmt: skip
    """A chain of joints, the first of which turns, 30 frames a second."""
    at = times or ",".join(str(frame * SECOND // 30) for frame in range(frames))
    values = ",".join(str(10 * frame) for frame in range(frames))
    models = "".join(
        f'\tModel: {100 + joint}, "Model::{names.format(joint)}", "LimbNode" {{\n\t\tVersion: 232\n\t\tProperties70:  {{\n'
        f'\t\t\tP: "Lcl Translation", "Lcl Translation", "", "A",0,{30 if joint else 90},0\n'
        f'\t\t\tP: "Lcl Scaling", "Lcl Scaling", "", "A",{scale}\n\t\t}}\n\t}}\n'
        f'\tNodeAttribute: {10_000 + joint}, "NodeAttribute::", "LimbNode" {{\n\t\tTypeFlags: "Skeleton"\n\t}}\n'
        for joint in range(joints)
    )
    links = "".join(
        f'\tC: "OO",{100 + joint},{99 + joint if joint else 0}\n\tC: "OO",{10_000 + joint},{100 + joint}\n' for joint in range(joints)
    )
    return _FILE.format(
        settings=settings, models=models, links=links, more=more, frames=frames, times=at, values=values, stop=(frames - 1) * SECOND // 30
    )  # fmt: skip


def hand_written() -> dict[str, bytes]:
    """Files that are wrong in one way each, or odd and right."""
    whole = text_file()
    rate = '\t\tP: "CustomFrameRate", "double", "Number", "",{}\n\t\tP: "TimeMode", "enum", "", "",14\n'
    texts = {
        "no objects": whole[: whole.index("Objects")], "no links": whole[: whole.index("Connections")],
        "no settings": whole[: whole.index("GlobalSettings")] + whole[whole.index("Objects") :],
        "no animation": whole.replace("AnimationCurve:", "Other:"), "no header": whole[whole.index("GlobalSettings") :],
        "one frame": text_file(frames=1), "hangs on itself": text_file(more='\tC: "OO",100,100\n'),
        "in a circle": text_file(more='\tC: "OO",100,102\n'), "two parents": text_file(more='\tC: "OO",102,100\n'),
        "no place": text_file(more='\tC: "OO",4711,4712\n'), "deep": text_file(joints=900), "too deep": text_file(joints=3000),
        "same names": text_file(names="Hips"), "no names": text_file(names=""), "long names": text_file(names="x" * 5000 + "{}"),
        "names of lines": text_file(names="a\n{}"), "flat": text_file(scale="0,0,0"), "NaN scale": text_file(scale="nan,1,1"),
        "mirrored": text_file(scale="-1,1,1"), "huge": text_file(scale="1e30,1e30,1e30"),
        "all at once": text_file(times="0,0,0"), "back in time": text_file(times=f"{SECOND},{SECOND // 2},0"),
        "a year": text_file(times=f"0,1,{SECOND * 31_000_000}"), "end of time": text_file(times=f"{-(2**63)},0,{2**63 - 1}"),
        "unit 0": whole.replace('"UnitScaleFactor", "double", "Number", "",1', '"UnitScaleFactor", "double", "Number", "",0'),
        "unit -1": whole.replace('"UnitScaleFactor", "double", "Number", "",1', '"UnitScaleFactor", "double", "Number", "",-1'),
        "unit NaN": whole.replace('"UnitScaleFactor", "double", "Number", "",1', '"UnitScaleFactor", "double", "Number", "",nan'),
        "up nowhere": whole.replace('"UpAxis", "int", "Integer", "",1', '"UpAxis", "int", "Integer", "",7'),
        "left-handed": whole.replace('"CoordAxisSign", "int", "Integer", "",1', '"CoordAxisSign", "int", "Integer", "",-1'),
        "too many said": whole.replace("KeyTime: *3", "KeyTime: *999999999"), "too few said": whole.replace("KeyTime: *3", "KeyTime: *1"),
        "short values": whole.replace("a: 0,10,20", "a: 0"), "open": whole.rstrip()[:-1], "closed twice": whole + "}\n}\n",
        "version 1": whole.replace("FBXVersion: 7400", "FBXVersion: 1"), "version -1": whole.replace("FBXVersion: 7400", "FBXVersion: -1"),
        **{f"rate {value}": text_file(settings=rate.format(value)) for value in ("0", "-1", "nan", "1e9", "1e-9", "29.97")},
        "braces": "; FBX\n" + "a: {" * 100_000, "a long line": "; FBX\nFBXHeaderExtension: " + "1," * 500_000,
    }  # fmt: skip
    magic = b"Kaydara FBX Binary  \x00\x1a\x00"
    record = struct.pack("<IIIB", 2**31, 1, 5, 1) + b"a" + b"I" + b"\0" * 4
    bomb = struct.pack("<IIIB", 27 + 13 + 1 + 1 + 12 + 4, 1, 17, 1) + b"a" + b"d" + struct.pack("<III", 2**31, 1, 4) + b"\0" * 4
    binary = {
        "nothing": b"", "magic": magic, "no records": magic + struct.pack("<I", 7400) + b"\0" * 13, 
        "version": magic + struct.pack("<I", 42),
        "beyond": magic + struct.pack("<I", 7400) + record, "bomb": magic + struct.pack("<I", 7400) + bomb + b"\0" * 13,
        "another format": b"glTF" + b"\0" * 100, "older text": b"; FBX 6.1.0 project file\n",
    }  # fmt: skip
    return {name: text.encode() for name, text in texts.items()} | binary


def broken_text(text: str, seed: int, rounds: int) -> Iterator[bytes]:
    """The same text with one to three numbers replaced, or a line left out, repeated or put elsewhere."""
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        changed = text
        for _ in range(random.integers(1, 4)):
            if random.random() < 0.7:
                spots = list(re.finditer(r"-?\d+", changed))
                spot = spots[random.integers(len(spots))]
                changed = changed[: spot.start()] + NUMBERS[random.integers(len(NUMBERS))] + changed[spot.end() :]
            else:
                lines = changed.splitlines(keepends=True)
                one, other = random.integers(len(lines), size=2)
                line = lines.pop(one) if random.random() < 0.6 else lines[one]
                if random.random() < 0.6:
                    lines.insert(other, line)
                changed = "".join(lines)
        yield changed.encode()


def broken_values(data: bytes, seed: int, rounds: int) -> Iterator[bytes]:
    """A binary file (before version 7.5) whose records stay whole, with one to four of their plain numbers at an extreme."""
    places, at, ends = [], 27, [len(data)]
    while True:
        end, count, size, name = struct.unpack_from("<IIIB", data, at)
        if not end:
            if len(ends) == 1:
                break
            at = ends.pop()
            continue
        value = at + 13 + name
        for _ in range(count):
            kind = data[value : value + 1]
            if kind in WIDTHS:
                places.append((value + 1, WIDTHS[kind]))
                value += 1 + struct.calcsize(WIDTHS[kind])
            elif kind in b"SR":
                value += 5 + struct.unpack_from("<I", data, value + 1)[0]
            else:
                value += 13 + struct.unpack_from("<I", data, value + 9)[0]
        at = at + 13 + name + size
        if at < end:
            ends.append(end)
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        changed = bytearray(data)
        for _ in range(random.integers(1, 5)):
            place, form = places[random.integers(len(places))]
            struct.pack_into(form, changed, place, EXTREMES[form][random.integers(len(EXTREMES[form]))])
        yield bytes(changed)
