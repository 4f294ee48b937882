"""Binary glTF: read back from the bytes by a small reader of this file's own, and by the Khronos validator where it is installed."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hf_motion import Motion, Skeleton
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.formats import WRITTEN_RIGS, write_bvh, write_glb
from hf_motion.formats.bvh import read_bvh
from hf_motion.skeletons import HUMANML3D_22, KIT_21

FIXTURES = Path(__file__).parent / "fixtures"
_COMPONENTS = {5126: "<f4", 5123: "<u2", 5125: "<u4", 5121: "u1"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """What a .glb file says."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, size = struct.unpack("<4sII", data[:12])
        assert (magic, version, size) == (b"glTF", 2, len(data))
        length, kind = struct.unpack("<I4s", data[12:20])
        assert (kind, length % 4) == (b"JSON", 0)
        self.document = json.loads(data[20 : 20 + length])
        binary_length, kind = struct.unpack("<I4s", data[20 + length : 28 + length])
        assert kind == b"BIN\0"
        self.binary = data[28 + length :]
        assert len(self.binary) == binary_length == self.document["buffers"][0]["byteLength"]

    def accessor(self, index: int) -> np.ndarray:
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        dtype, width = np.dtype(_COMPONENTS[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        values = np.frombuffer(self.binary, dtype, accessor["count"] * width, view["byteOffset"]).reshape(accessor["count"], width)
        return values / 255.0 if accessor.get("normalized") else values

    @property
    def names(self) -> list[str]:
        return [self.document["nodes"][joint]["name"] for joint in self.document["skins"][0]["joints"]]

    def globals(self, keyframe: int | None) -> np.ndarray:
        """World matrices of all nodes, (nodes, 4, 4), at a keyframe or in the rest pose."""
        nodes = self.document["nodes"]
        place = [np.array(node.get("translation", (0, 0, 0)), float) for node in nodes]
        turn = [np.array(node.get("rotation", (0, 0, 0, 1)), float) for node in nodes]
        if keyframe is not None:
            animation = self.document["animations"][0]
            for channel in animation["channels"]:
                values = self.accessor(animation["samplers"][channel["sampler"]]["output"])
                {"translation": place, "rotation": turn}[channel["target"]["path"]][channel["target"]["node"]] = values[keyframe]
        matrices = np.zeros((len(nodes), 4, 4))

        def visit(node: int, above: np.ndarray) -> None:
            x, y, z, w = turn[node] / np.linalg.norm(turn[node])
            local = np.eye(4)
            local[:3, :3] = [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
            local[:3, 3] = place[node]
            matrices[node] = above @ local
            for child in nodes[node].get("children", ()):
                visit(child, matrices[node])

        for root in self.document["scenes"][0]["nodes"]:
            visit(root, np.eye(4))
        return matrices

    def joints(self, keyframe: int | None) -> dict[str, np.ndarray]:
        matrices = self.globals(keyframe)
        return {name: matrices[joint][:3, 3] for name, joint in zip(self.names, self.document["skins"][0]["joints"], strict=True)}

    def times(self) -> np.ndarray:
        return self.accessor(self.document["animations"][0]["samplers"][0]["input"])[:, 0]

    def vertices(self, keyframe: int | None) -> np.ndarray:
        """Positions of the skinned vertices, (vertices, 3)."""
        attributes = self.document["meshes"][0]["primitives"][0]["attributes"]
        skin = self.document["skins"][0]
        inverse = self.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        bones = self.globals(keyframe)[skin["joints"]] @ inverse
        points = np.pad(self.accessor(attributes["POSITION"]).astype(float), ((0, 0), (0, 1)), constant_values=1)
        joints, weights = self.accessor(attributes["JOINTS_0"]), self.accessor(attributes["WEIGHTS_0"])
        return np.einsum("vk,vkij,vj->vi", weights, bones[joints], points)[:, :3]


def clips() -> dict[str, Motion]:
    return {row["id"]: read_row(row, "humanml3d-22")[0] for row in load_motion_rows(str(FIXTURES / "clips.parquet"))}


@pytest.fixture(scope="module")
def motions() -> dict[str, Motion]:
    return clips()


@pytest.fixture(scope="module")
def jump(motions: dict[str, Motion]) -> Motion:
    motion = motions["cmu_02_04"]
    return Motion(motion.joints[:40], fps=motion.fps, text='a "person" jumps, 跳')


def test_every_clip_stands_where_the_bvh_file_puts_it(motions, tmp_path):
    for motion in motions.values():
        expected = read_bvh(write_bvh(motion, tmp_path / "a.bvh"))
        file = Glb(write_glb(motion, tmp_path / "a.glb"))
        np.testing.assert_allclose(file.times(), np.arange(len(motion)) / motion.fps, atol=1e-6)
        for frame in (0, len(motion) // 2, len(motion) - 1):
            found = file.joints(frame)
            for joint, name in enumerate(expected.skeleton.joint_names):
                assert np.linalg.norm(found[name] - expected.joints[frame, joint]) < 1e-3


@pytest.mark.parametrize("rig", list(WRITTEN_RIGS))
def test_rigs_have_their_names_and_the_same_motion(jump, rig, tmp_path):
    file = Glb(write_glb(jump, tmp_path / "a.glb", rig=rig))
    plain = Glb(write_glb(jump, tmp_path / "b.glb", tolerance=None))
    for frame in (0, 20):
        here, there = file.joints(frame), plain.joints(frame)
        for name, own in zip(WRITTEN_RIGS[rig].written, HUMANML3D_22.joint_names, strict=True):
            assert np.linalg.norm(here[name] - there[own]) < 1e-5
    assert set(file.names) == set(WRITTEN_RIGS[rig].written) | set(WRITTEN_RIGS[rig].between.values())


def test_the_rest_pose_is_a_t_pose_in_metres_on_the_floor(jump, tmp_path):
    file = Glb(write_glb(jump, tmp_path / "a.glb"))
    rest = file.joints(None)
    assert min(place[1] for place in rest.values()) == pytest.approx(0, abs=1e-6)
    assert 1.3 < rest["head"][1] < 1.9
    assert rest["left_wrist"][0] > 0.4
    assert rest["right_wrist"][0] < -0.4
    assert rest["left_foot"][2] > rest["left_ankle"][2] + 0.05
    bones = file.globals(None)[file.document["skins"][0]["joints"]]
    inverse = file.accessor(file.document["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    np.testing.assert_allclose(bones @ inverse, np.tile(np.eye(4), (22, 1, 1)), atol=1e-6)


def test_the_body_is_closed_tinted_and_follows_the_bones(jump, tmp_path):
    file = Glb(write_glb(jump, tmp_path / "a.glb"))
    primitives = file.document["meshes"][0]["primitives"]
    attributes = primitives[0]["attributes"]
    weights, normals = file.accessor(attributes["WEIGHTS_0"]), file.accessor(attributes["NORMAL"])
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    rest = file.accessor(attributes["POSITION"])
    np.testing.assert_allclose(file.vertices(None), rest, atol=1e-6)
    for primitive in primitives:
        corners = rest[file.accessor(primitive["indices"]).reshape(-1, 3)]
        outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        facing = (outward * normals[file.accessor(primitive["indices"]).reshape(-1, 3)].mean(axis=1)).sum(axis=1)
        assert (facing > -1e-9).all(), "triangles are wound counter-clockwise"
        name = file.document["materials"][primitive["material"]]["name"]
        if name != "middle":
            assert (np.sign(corners[..., 0].mean()) > 0) == (name == "left")
    for frame in (0, 25):
        vertices = file.vertices(frame)
        joints = np.stack(list(file.joints(frame).values()))
        nearest = np.linalg.norm(vertices[:, None] - joints, axis=-1).min(axis=1)
        assert nearest.max() < 0.3, "no vertex leaves the body"
        left = np.unique(file.accessor(primitives[1]["indices"]))
        assert np.linalg.norm(vertices[left] - file.joints(frame)["left_wrist"], axis=-1).min() < 0.05


def test_odd_motions_are_written(tmp_path):
    chain = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1))
    wave = read_bvh(FIXTURES / "bandai_wave.bvh")
    odd = {
        "one frame": Motion(np.random.default_rng(0).random((1, 22, 3))), "zero-length bones": Motion(np.zeros((3, 22, 3))),
        "one joint": Motion(np.ones((2, 1, 3)), skeleton=Skeleton("point", ("a",), (-1,))),
        "chain": Motion(np.random.default_rng(0).random((4, 3, 3)), skeleton=chain), "carried": wave[:5],
        "kit": Motion(np.random.default_rng(0).random((4, 21, 3)), skeleton=KIT_21, fps=12.5),
    }  # fmt: skip
    for name, motion in odd.items():
        file = Glb(write_glb(motion, tmp_path / f"{name}.glb"))
        found = np.stack([file.joints(len(motion) - 1)[joint] for joint in motion.skeleton.joint_names])
        assert np.isfinite(file.vertices(0)).all(), name
        if name != "kit":
            bvh = read_bvh(write_bvh(motion, tmp_path / "a.bvh"), scale=100).joints[-1]
            np.testing.assert_allclose(found, bvh, atol=1e-3, err_msg=name)
    assert not validator() or report([tmp_path / f"{name}.glb" for name in odd]) == [(0, 0)] * len(odd)


def validator() -> str | None:
    """Folder of the npm package gltf-validator, where node finds it."""
    if shutil.which("node") is None:
        return None
    found = subprocess.run(["node", "-p", "require.resolve('gltf-validator')"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def report(paths: list[Path]) -> list[tuple[int, int]]:
    """Errors and warnings per file."""
    code = (
        "const v=require('gltf-validator'),fs=require('fs');"
        "Promise.all(process.argv.slice(1).map(f=>v.validateBytes(new Uint8Array(fs.readFileSync(f)))))"
        ".then(r=>console.log(JSON.stringify(r.map(x=>[x.issues.numErrors,x.issues.numWarnings]))))"
    )
    found = subprocess.run(["node", "-e", code, *map(str, paths)], capture_output=True, text=True, check=True)
    return [tuple(counts) for counts in json.loads(found.stdout)]


@pytest.mark.skipif(validator() is None, reason="needs node and the npm package gltf-validator (npm install, NODE_PATH)")
def test_the_khronos_validator_finds_nothing(motions, jump, tmp_path):
    paths = [write_glb(motion, tmp_path / f"{name}.glb") for name, motion in motions.items()]
    paths += [write_glb(jump, tmp_path / f"{rig}.glb", rig=rig) for rig in WRITTEN_RIGS]
    assert report(paths) == [(0, 0)] * len(paths)


def test_the_text_names_the_animation(jump, tmp_path):
    assert Glb(write_glb(jump, tmp_path / "a.glb")).document["animations"][0]["name"] == jump.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rig": "maya"}, "Unknown rig 'maya'. There are: smpl, mixamo, cmu, unity, unreal"), ({"tolerance": "low"}, "'low'"),
        ({"tolerance": -1}, "0 or more"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(jump, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_glb(jump, tmp_path / "a.glb", **options)
    assert not list(tmp_path.iterdir())
