"""Damaged glTF files, seeded: a motion comes out, or a ValueError that names the file. Nothing else, in bounded time."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from gltf_files import person
from test_fuzz_readers import damaged, outcomes

VALUES = [None, -1, 0, 10**9, 2**63, 1e300, float("nan"), True, "", "a", [], {}, [[]], [0] * 3, {"node": 3}, "data:;base64,"]


def broken(content: dict, seed: int, rounds: int) -> Iterator[bytes]:
    """The same JSON with one to three of its values, wherever they stand, replaced, removed or swapped."""
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        copy = json.loads(json.dumps(content))
        for _ in range(random.integers(1, 4)):
            holder, key = spot(copy, random)
            choice = random.integers(len(VALUES) + 2)
            if choice < len(VALUES):
                holder[key] = VALUES[choice]
            elif choice == len(VALUES):
                del holder[key]
            else:
                value = json.dumps(holder[key])
                other, place = spot(copy, random)
                other[place] = json.loads(value)
        yield json.dumps(copy).encode()


def spot(content, random):
    """A place in the JSON, reached by chance from the top."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = keys[random.integers(len(keys))]
        if not isinstance(content[key], (dict, list)) or not content[key] or random.random() < 0.15:
            return content, key
        content = content[key]


@pytest.mark.parametrize("suffix", ["glb", "gltf", "vrma"])
def test_bytes(tmp_path, suffix):
    file = person(frames=3)
    bones = {name: {"node": node} for name, node in file.names.items()}
    file.document["extensions"] = {"VRMC_vrm_animation": {"specVersion": "1.0", "humanoid": {"humanBones": bones}}}
    path = tmp_path / f"a.{suffix}"
    data = (file.gltf(path) if suffix == "gltf" else file.glb(path)).read_bytes()
    assert outcomes(path, damaged(data, 11, len(data), rounds=4)) == {"read", "refused"}


def test_values(tmp_path):
    file = person(frames=3)
    content = json.loads(file.gltf(tmp_path / "a.gltf").read_text())
    assert outcomes(tmp_path / "a.gltf", broken(content, 12, 40)) == {"read", "refused"}
