"""JSON files for web players."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_motion import standing

from hf_motion import Motion, Skeleton
from hf_motion.formats import WRITTEN_RIGS, read_json, write_json
from hf_motion.formats.read import read_motion
from hf_motion.formats.rigs import rigged
from hf_motion.kinematics import forward_kinematics

README = Path(__file__).parents[1] / "hf_motion" / "formats" / "README.md"


def walking() -> Motion:
    motion = standing(12)
    angle = np.linspace(0, 1.5, 12)
    for joint, parent in ((18, 16), (20, 18)):  # the left arm is raised to the side
        length = np.linalg.norm(motion.joints[0, joint] - motion.joints[0, parent])
        motion.joints[:, joint] = motion.joints[:, parent] + length * np.stack((np.sin(angle), -np.cos(angle), 0 * angle), axis=-1)
    return motion


@pytest.mark.parametrize("rig", [None, *WRITTEN_RIGS])
def test_rotations_put_the_joints_where_they_are(tmp_path: Path, rig: str | None) -> None:
    motion = walking()
    content = json.loads(write_json(motion, tmp_path / "a.json", rig=rig).read_text())
    animation = content["animation"]
    skeleton = Skeleton("web", tuple(animation["joints"]), tuple(animation["parents"]))
    rotations = torch.tensor(animation["rotations"])[..., [3, 0, 1, 2]]
    joints = forward_kinematics(rotations, torch.tensor(animation["root"]), torch.tensor(animation["rest"]), skeleton).numpy()
    source = np.array(rigged(motion.skeleton, rig)[1])
    assert np.abs(joints[:, source >= 0] - motion.joints[:, source[source >= 0]]).max() < 0.02
    np.testing.assert_allclose(content["positions"], motion.joints, atol=5.1e-6)


def test_read_back(tmp_path: Path) -> None:
    motion = walking()
    path = motion.save(tmp_path / "a.json")
    for again in (Motion.load(path), read_motion(path)):
        np.testing.assert_allclose(again.joints, motion.joints, atol=5.1e-6)
        assert (again.fps, again.text, again.skeleton) == (motion.fps, motion.text, motion.skeleton)
    assert len(read_motion(path, fps=40)) == 23
    own = Motion(np.ones((1, 2, 3)), fps=12.5, skeleton=Skeleton("mine", ("root", "tip"), (-1, 0)))
    assert Motion.load(own.save(tmp_path / "b.json")) == own


def test_positions_alone(tmp_path: Path) -> None:
    whole, alone = walking().to_bytes("json"), walking().to_bytes("json", rotations=False)
    assert len(alone) < 0.6 * len(whole)
    assert "animation" not in json.loads(alone)
    with pytest.raises(ValueError, match="rig='mixamo' names the joints of the rotations"):
        write_json(walking(), tmp_path / "a.json", rig="mixamo", rotations=False)


_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}


def misfits(value: Any, schema: dict, root: dict, place: str = "") -> list[str]:
    """Places where a value is not what the schema says, for the words of JSON schema that ours uses."""
    schema = root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    kinds = schema.get("type", [])
    checks = [
        not kinds or any(isinstance(value, _TYPES[kind]) for kind in ([kinds] if isinstance(kinds, str) else kinds)),
        value == schema.get("const", value),
        "minimum" not in schema or value >= schema["minimum"],
        "exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"],
        schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)) if isinstance(value, list) else True,
        not schema.get("uniqueItems") or len(set(value)) == len(value),
        set(schema.get("required", ())) <= set(value) if isinstance(value, dict) else True,
        set(value) <= set(schema["properties"]) if "properties" in schema else True,
    ]
    found = [] if all(checks) else [place]
    for name, part in schema.get("properties", {}).items():
        found += misfits(value[name], part, root, f"{place}/{name}") if name in value else []
    for index, item in enumerate(value if "items" in schema else ()):
        found += misfits(item, schema["items"], root, f"{place}/{index}")
    return found


def test_the_schema_of_the_documentation() -> None:
    schema = json.loads(README.read_text(encoding="utf-8").partition("```json schema\n")[2].partition("```")[0])
    for options in ({}, {"rig": "mixamo"}, {"rotations": False}):
        assert misfits(json.loads(walking().to_bytes("json", **options)), schema, schema) == []
    damaged = json.loads(walking().to_bytes("json"))
    damaged["animation"]["rotations"][0][2].pop()
    damaged["skeleton"].pop("parents")
    assert misfits(damaged, schema, schema) == ["/skeleton", "/animation/rotations/0/2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, '"version": 1'),
        ({"format": None}, "another layout"),
        ({"frames": 3}, "says 3 frames and holds 12"),
        ({"fps": "fast"}, "fps must be"),
        ({"positions": [[0]]}, "damaged motion file"),
        ({"positions": [[[0, 0, float("nan")]] * 22]}, "NaN"),
        ({"skeleton": {"name": "humanml3d-22"}}, "has no entry 'joints'"),
        ({"skeleton": None}, "damaged motion file"),
        ({"skeleton": {"name": "x", "joints": ["a"], "parents": [1e999]}}, "damaged motion file"),
    ],
)
def test_damaged_files(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**json.loads(walking().to_bytes("json", rotations=False)), **change}))
    for read in (read_json, read_motion):
        with pytest.raises(ValueError, match=message) as error:
            read(path)
        assert "a.json" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"{", b"\xff\xfe{", b"[" * 100000, b"3"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json"):
        Motion.load(path)
