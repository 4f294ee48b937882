"""Reading glTF and VRM: values computed by hand, each way of storing them against the plain one, and refusals."""

import json
import re

import numpy as np
import pytest
from gltf_files import HALF, PERSON, Builder, person

from hf_motion import Motion
from hf_motion.formats import inspect_motion, read_gltf, read_motion
from hf_motion.formats.gltf.curves import frame_rate


def arm(between="LINEAR", values=None, times=(0.0, 0.5, 1.0), **options) -> Builder:
    """Two bones of 1 m along Y below a node that is half as large; the second turns a right angle about Z in each half second."""
    file = Builder()
    base = file.node("base", scale=[0.5, 0.5, 0.5])
    upper = file.node("upper", base, translation=[0, 2, 0])
    file.node("lower", upper, translation=[0, 2, 0])
    turns = [[0, 0, 0, 1], [0, 0, HALF, HALF], [0, 0, 1, 0]] if values is None else values
    file.animate(upper, "rotation", times, turns, between, **options)
    return file


def tips(motion: Motion) -> np.ndarray:
    return motion.joints[:, motion.skeleton.joint("lower")].astype(float).round(4)


def test_our_own_file_comes_back_where_it_was(tmp_path):
    motion = read_motion("tests/fixtures/bandai_wave.bvh")
    path = Motion(motion.joints, fps=motion.fps, text="a person waves").save(tmp_path / "wave.glb")
    motion.save(tmp_path / "wave.json")
    back, source = Motion.load(path), inspect_motion(path)
    animation = json.loads((tmp_path / "wave.json").read_text())["animation"]
    assert (back.fps, len(back), back.text, back.skeleton.name) == (30, 40, "a person waves", "humanml3d-22")
    np.testing.assert_allclose(back.joints[:, 0], animation["root"], atol=2e-5)
    np.testing.assert_allclose(source.motion.joints, back.joints, atol=1e-6)
    assert np.abs(back.joints - motion.joints).mean() < 0.01
    assert source.notes == ()
    assert (source.units_per_metre, source.up) == (1, "y")


def degrees(one: np.ndarray, other: np.ndarray) -> float:
    """The largest angle between rotations."""
    return float(np.degrees(2 * np.arccos(np.clip(np.abs((one.astype(float) * other).sum(axis=-1)), 0, 1))).max())


def test_rotations_survive_with_their_rest_pose(tmp_path):
    motion = read_motion("tests/fixtures/bandai_wave.bvh")
    back = Motion.load(motion.save(tmp_path / "wave.glb"))
    assert degrees(motion.rotations, back.rotations) < 0.1
    np.testing.assert_allclose(back.rest_offsets, motion.rest_offsets, atol=1e-4)
    assert back.rest_offsets.shape == (22, 3)
    mapped = read_motion(motion.save(tmp_path / "mixamo.glb", rig="mixamo"), skeleton="humanml3d-22")
    assert degrees(motion.rotations, mapped.rotations) < 0.1


@pytest.mark.parametrize("suffix", ["glb", "gltf", "beside"])
def test_rotations_are_interpolated_the_short_way_at_constant_speed(tmp_path, suffix):
    file = arm()
    file.animate(0, "translation", np.arange(5) / 4, np.zeros((5, 3)))  # makes it 4 frames a second
    path = tmp_path / f"arm.{suffix.replace('beside', 'gltf')}"
    file.glb(path) if suffix == "glb" else file.gltf(path, "an%20arm.bin" if suffix == "beside" else None)
    motion = read_gltf(path, source_fps=4)
    assert motion.skeleton.joint_names == ("base", "upper", "lower")
    corner = round(HALF, 4)
    expected = [[0, 2, 0], [-corner, 1 + corner, 0], [-1, 1, 0], [-corner, 1 - corner, 0], [0, 0, 0]]
    np.testing.assert_allclose(tips(motion), expected, atol=1e-4)


def test_steps_hold_and_splines_follow_their_tangents(tmp_path):
    steps = arm("STEP")
    np.testing.assert_allclose(tips(read_gltf(steps.glb(tmp_path / "a.glb"), source_fps=4))[:, 0], [0, 0, -1, -1, 0], atol=1e-4)
    file = Builder()
    node = file.node("ball")
    file.node("tail", node, translation=[0, 1, 0])
    # x(t) = t^3 over two keys: value 0 and 8, slope 0 and 12.
    values = np.zeros((6, 3))
    values[4, 0], values[3, 0] = 8, 12
    file.animate(node, "translation", [0, 2], values, "CUBICSPLINE")
    motion = read_gltf(file.glb(tmp_path / "b.glb"), source_fps=2)
    np.testing.assert_allclose(motion.joints[:, 0, 0], [0, 0.125, 1, 3.375, 8], atol=1e-5)


def test_spline_of_rotations_meets_its_keys(tmp_path):
    turns = np.zeros((9, 4))
    turns[1::3] = [[0, 0, 0, 1], [0, 0, HALF, HALF], [0, 0, 1, 0]]
    motion = read_gltf(arm("CUBICSPLINE", turns).glb(tmp_path / "a.glb"), source_fps=2)
    np.testing.assert_allclose(tips(motion), [[0, 2, 0], [-1, 1, 0], [0, 0, 0]], atol=1e-4)


def test_normalized_integers_strides_and_sparse_values_are_the_same_numbers(tmp_path):
    plain = read_gltf(arm().glb(tmp_path / "plain.glb"), source_fps=8)
    turns = np.array([[0, 0, 0, 1], [0, 0, HALF, HALF], [0, 0, 1, 0]])
    integers = arm(values=np.round(turns * 32767).astype(int), component=5122, normalized=True)
    np.testing.assert_allclose(read_gltf(integers.glb(tmp_path / "a.glb"), source_fps=8).joints, plain.joints, atol=1e-4)
    strided = arm(stride=32)
    np.testing.assert_allclose(read_gltf(strided.glb(tmp_path / "b.glb"), source_fps=8).joints, plain.joints, atol=1e-6)
    sparse = arm(values=np.tile([0.0, 0, 0, 1], (3, 1)))
    where, what = sparse.view(np.array([[1], [2]]), "<u2"), sparse.view(turns[1:], "<f4")
    sparse.document["accessors"][-1]["sparse"] = {
        "count": 2, "indices": {"bufferView": where, "componentType": 5123}, "values": {"bufferView": what},
    }  # fmt: skip
    np.testing.assert_allclose(read_gltf(sparse.glb(tmp_path / "c.glb"), source_fps=8).joints, plain.joints, atol=1e-6)
    del sparse.document["accessors"][-1]["bufferView"]
    with pytest.raises(ValueError, match="rotation has the length 0, in key 1 of 3"):
        read_gltf(sparse.glb(tmp_path / "c.glb"))


def test_matrices_place_nodes_as_their_parts_do(tmp_path):
    file, plain = arm(), read_gltf(arm().glb(tmp_path / "plain.glb"))
    file.document["nodes"][0] = {"name": "base", "children": [1], "matrix": np.diag([0.5, 0.5, 0.5, 1]).T.ravel().tolist()}
    np.testing.assert_allclose(read_gltf(file.glb(tmp_path / "a.glb")).joints, plain.joints, atol=1e-6)
    file.document["nodes"][1]["matrix"] = np.eye(4).ravel().tolist()
    with pytest.raises(ValueError, match="'upper' is moved and has a matrix"):
        read_gltf(file.glb(tmp_path / "a.glb"))


def test_a_turned_armature_of_centimetres_is_taken_as_it_stands(tmp_path):
    """As exporters of Z-up programs leave it: the armature lies on its back and is a hundredth of the size."""
    plain, file = person(), person()
    armature = file.document["nodes"][0]
    armature |= {"rotation": [-HALF, 0, 0, HALF], "scale": [0.01] * 3}
    for node in file.document["nodes"][1:]:
        x, y, z = node["translation"]
        node["translation"] = [100 * x, -100 * z, 100 * y] if node["name"] == "hips" else [100 * x, 100 * y, 100 * z]
    hips = file.document["nodes"][1]
    hips["rotation"] = [HALF, 0, 0, HALF]
    del file.document["animations"][0]["channels"][1]
    one, other = read_motion(plain.glb(tmp_path / "a.glb")), read_motion(file.glb(tmp_path / "b.glb"))
    np.testing.assert_allclose(other.joints - other.joints[:, :1], one.joints - one.joints[:, :1], atol=1e-5)


@pytest.mark.parametrize("version", [0, 1, "animation"])
def test_bones_of_vrm_files_are_known_whatever_their_nodes_are_called(tmp_path, version):
    file = person(prefix="bone of ")
    named = person()
    listed = {name: {"node": node} for name, node in file.names.items()}
    if version == 0:
        bones = [{"bone": name, **bone} for name, bone in listed.items()]
        file.document["extensions"] = {"VRM": {"humanoid": {"humanBones": bones}}}
    else:
        name = "VRMC_vrm" if version == 1 else "VRMC_vrm_animation"
        file.document["extensions"] = {name: {"specVersion": "1.0", "humanoid": {"humanBones": listed}}}
    if version == "animation":
        del file.document["skins"]
    path = file.glb(tmp_path / ("a.vrma" if version == "animation" else "a.vrm"))
    source = inspect_motion(path)
    assert (source.recognised, source.motion.skeleton.name) == ("unity", "humanml3d-22")
    np.testing.assert_allclose(source.motion.joints, read_motion(named.glb(tmp_path / "b.glb")).joints, atol=1e-6)
    wrist = source.motion.joints[:, 20]
    np.testing.assert_allclose(np.diff(wrist[:, 1]) > 0, True)
    np.testing.assert_allclose(source.motion.joints[-1, 0], [0, 0.95, 7 / 30], atol=1e-5)


def test_the_first_of_several_animations_is_read_and_the_others_are_named(tmp_path):
    file = arm()
    file.animate(1, "translation", [0, 1], np.ones((2, 3)), animation=1)
    file.animate(1, "translation", [0, 1], np.ones((2, 3)), animation=2)
    source = inspect_motion(file.glb(tmp_path / "a.glb"), skeleton=None)
    assert "of 3 animations the first, 'take 0', is read; left out: 'take 1', 'take 2'" in source.notes[0]


def test_skins_of_one_skeleton_are_joined_and_another_character_is_left_out(tmp_path):
    file = person()
    whole = list(file.names.values())
    hair = file.node("hair", file.names["head"], translation=[0, 0.1, 0])
    other = file.node("other", 0)
    file.node("others", other, translation=[0, 1, 0])
    file.document["skins"] = [{"joints": [other, other + 1]}, {"joints": whole[:6]}, {"joints": [hair]}, {"joints": whole[4:]}]
    path = file.glb(tmp_path / "a.glb")
    source = inspect_motion(path, skeleton=None)
    assert set(source.motion.skeleton.joint_names) == {*file.names, "hair"}
    assert "2 joints of other skeletons are left out" in source.notes
    assert inspect_motion(path).recognised == "unity"


def test_nodes_between_joints_count_and_names_are_made_different(tmp_path):
    file = Builder()
    root = file.node("bone")
    helper = file.node("helper", root, translation=[0, 1, 0], rotation=[0, 0, HALF, HALF])
    tip = file.node("bone", helper, translation=[0, 1, 0])
    file.document["skins"] = [{"joints": [root, tip]}]
    file.animate(helper, "translation", [0, 0.1], [[0, 1, 0], [0, 2, 0]])
    source = inspect_motion(file.glb(tmp_path / "a.glb"), skeleton=None)
    assert source.motion.skeleton.joint_names == ("bone", "bone_2")
    np.testing.assert_allclose(source.motion.joints[:, 1], [[-1, 1, 0], [-1, 2, 0]], atol=1e-6)
    assert "1 joints have the name of another and get a number" in source.notes


def test_scales_that_change_and_mirrored_nodes_leave_joints_where_they_are(tmp_path):
    file = arm()
    file.document["nodes"][0]["scale"] = [-0.5, 0.5, 0.5]
    file.animate(2, "scale", [0, 1], [[1, 1, 1], [0, 2, 1]])
    motion = read_gltf(file.glb(tmp_path / "a.glb"))
    np.testing.assert_allclose(tips(motion)[[0, -1]], [[0, 2, 0], [0, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(tips(motion)[len(motion) // 2], [1, 1, 0], atol=0.2)


@pytest.mark.parametrize(
    ("keys", "expected", "said"),
    [
        (np.arange(100) / 60, 60, None),
        ((1 + np.arange(30)) / 24, 24, None),
        (np.arange(100) * 1001 / 30000, 30000 / 1001, None),
        (np.arange(50).astype(np.float32) / np.float32(12.5), 12.5, None),
        ([0, 1, 2, 3], 24, "frames of 24"),
        ([0, 0.1, 0.3333333], 30, "frames of 30"),
        ([0, 0.1234, 1], 30, "no usual rate"),
        ([4.0], 30, "a single pose"),
    ],
)
def test_frame_rates_are_found_from_keys(keys, expected, said):
    fps, note = frame_rate(np.asarray(keys, dtype=np.float64))
    assert fps == pytest.approx(expected, rel=1e-5)
    assert note is None if said is None else said in note


def test_rotations_of_another_length_are_made_right_and_counted(tmp_path):
    turns = 2 * np.array([[0, 0, 0, 1], [0, 0, HALF, HALF], [0, 0, 0.5, 0]])
    source = inspect_motion(arm(values=turns).glb(tmp_path / "a.glb"), skeleton=None)
    assert "2 rotations are not of length 1 and are made so" in source.notes


def test_a_body_in_centimetres_is_told(tmp_path, caplog):
    file = person()
    file.document["nodes"][0]["scale"] = [100.0] * 3
    path = file.glb(tmp_path / "a.glb")
    read_motion(path)
    assert re.search(r"legs measure 82.* m from hip to ankle with m as unit.*unit= \(--unit\)", caplog.text)
    assert read_motion(path, unit="cm").joints[0, 0, 1] == pytest.approx(0.95)


def edited(change) -> Builder:
    file = person()
    change(file.document, file)
    return file


def compressed(document, _):
    document["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {}}


REFUSALS = {
    "version": (lambda d, _: d["asset"].update(version="1.0"), "glTF of version '1.0'"),
    "no animation": (lambda d, _: d.update(animations=[]), "holds no animation"),
    "circle": (lambda d, _: d["nodes"][5].setdefault("children", []).append(1), "hangs on two others"),
    "closed circle": (lambda d, _: (d["nodes"][0].update(children=[]), d["nodes"][5].setdefault("children", []).append(1)), "in a circle"),
    "no such node": (lambda d, _: d["animations"][0]["channels"][0]["target"].update(node=99), "node 99 is named, and there are 23"),
    "no such joint": (lambda d, _: d["skins"][0]["joints"].append(-1), "joint -1"),
    "count": (lambda d, _: d["accessors"][0].update(count=10**9), "does not hold|are read of one file"),
    "view": (lambda d, _: d["bufferViews"][0].update(byteLength=10**8), "does not hold"),
    "negative": (lambda d, _: d["bufferViews"][0].update(byteOffset=-4), "0 or more"),
    "kind": (lambda d, _: d["accessors"][0].update(componentType=5124), "componentType is 5124"),
    "type": (lambda d, _: d["accessors"][1].update(type="VEC3"), "expected 4"),
    "interpolation": (lambda d, _: d["animations"][0]["samplers"][0].update(interpolation="BEZIER"), "'BEZIER'"),
    "NaN": (lambda d, f: setattr(f, "data", f.data[:32] + np.float32("nan").tobytes() + f.data[36:]), "NaN or infinity"),
    "times": (lambda d, f: setattr(f, "data", np.float32(9).tobytes() + f.data[4:]), "not in order"),
    "far": (lambda d, _: d["nodes"][0].update(scale=[1e29] * 3), "beyond all bounds"),
    "text": (lambda d, _: d["nodes"][0].update(translation="here"), "'here'; expected 3 finite numbers"),
    "compression": (compressed, "unpacks it"),
    "no skin joints": (lambda d, _: d["skins"][0].update(joints=[]), "skin has no joints"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSALS)
def test_damage_is_refused_with_the_name_of_the_file(tmp_path, fault):
    change, message = REFUSALS[fault]
    path = edited(change).glb(tmp_path / "person.glb")
    with pytest.raises(ValueError, match=rf"(?s)person\.glb.*({message})"):
        read_motion(path)
    with pytest.raises(ValueError, match=rf"(?s)person\.glb.*({message})"):
        Motion.load(path)


def test_buffers_are_opened_beside_the_file_alone(tmp_path):
    (tmp_path / "secret.bin").write_bytes(b"x" * 10_000)
    folder = tmp_path / "in"
    folder.mkdir()
    for uri, message in (
        ("../secret.bin", "outside of the folder"), ("%2e%2e/secret.bin", "outside of the folder"), ("/etc/passwd", "outside of the"),
        ("gone.bin", "is not there"), ("http://localhost/a.bin", "is not there"), ("a\0b", "no name of one"),
        ("data:text/plain,abc", "another encoding than base64"), ("data:;base64,###", "not base64"), ("data:;base64,AAAA", "is cut off"),
    ):  # fmt: skip
        file = person()
        path = file.gltf(folder / "a.gltf")
        content = json.loads(path.read_text())
        content["buffers"][0]["uri"] = uri
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=rf"(?s)a\.gltf.*{message}"):
            read_motion(path)


def test_headers_that_promise_too_much_do_not_allocate(tmp_path):
    for change, message in (
        (lambda d, _: d["accessors"].extend([{"componentType": 5126, "count": 2**36, "type": "SCALAR"}]), "are read of one file"),
        (lambda d, _: d["animations"][0]["samplers"][0].update(input=len(d["accessors"]) - 1), ""),
    ):  # fmt: skip
        file = edited(change)
        if message:
            file.document["animations"][0]["samplers"][0]["input"] = len(file.document["accessors"]) - 1
            with pytest.raises(ValueError, match=message):
                read_motion(file.glb(tmp_path / "a.glb"))
    slow = person()
    slow.animate(1, "rotation", [0, 9e6], [[0, 0, 0, 1]] * 2)
    with pytest.raises(ValueError, match="at most 1,000,000 are taken"):
        read_motion(slow.glb(tmp_path / "b.glb"))


def test_a_character_without_animation_says_what_to_do(tmp_path):
    file = edited(REFUSALS["no animation"][0])
    with pytest.raises(ValueError, match=r"a\.vrm.*VRM animations are \.vrma files"):
        read_motion(file.glb(tmp_path / "a.vrm"))


def test_every_bone_of_the_person_is_one_of_ours():
    assert len(PERSON) + sum(name.startswith("left") for name in PERSON) == 22
