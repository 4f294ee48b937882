"""The face in binary glTF: targets, names, weights, and where it sits."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from gltf_files import person
from test_export_glb import Glb, report, validator
from test_face import talking

from hf_motion import Face, Motion, Skeleton
from hf_motion.formats import read_motion
from hf_motion.rendering.head import plain_head
from hf_motion.skeletons import HUMANML3D_22


def standing(face: Face) -> Motion:
    body = HUMANML3D_22.body_joints
    return Motion(np.tile(body - [0, body[:, 1].min(), 0], (len(face), 1, 1)), face=face)


@pytest.mark.parametrize("kind", ["arkit-52", "livelink-61", "flame-53"])
def test_a_face_is_written_with_all_its_coefficients(tmp_path, kind) -> None:
    face = talking(7, kind)
    glb = Glb(standing(face).save(tmp_path / "a.glb"))
    document = glb.document
    body, mesh = document["meshes"]
    node = next(index for index, node in enumerate(document["nodes"]) if node.get("mesh") == 1)
    assert (body["name"], mesh["name"], document["nodes"][node]["skin"]) == ("body", "face", 0)
    assert node in document["scenes"][0]["nodes"]
    assert mesh["extras"] == {"targetNames": list(face.names), "faceKind": kind}
    assert mesh["weights"] == [0] * len(face.names)
    (channel,) = [one for one in document["animations"][0]["channels"] if one["target"]["path"] == "weights"]
    sampler = document["animations"][0]["samplers"][channel["sampler"]]
    assert channel["target"]["node"] == node
    assert document["accessors"][sampler["output"]]["type"] == "SCALAR"
    np.testing.assert_array_equal(glb.accessor(sampler["output"]).reshape(7, -1), face.coefficients)
    assert document["accessors"][sampler["input"]]["count"] == 7
    points = glb.accessor(mesh["primitives"][0]["attributes"]["POSITION"])
    assert len(points) == len(plain_head().points)
    head = Motion(HUMANML3D_22.body_joints[None]).joints[0, 15, 1] - HUMANML3D_22.body_joints[:, 1].min()
    assert abs(points[:, 1].mean() - head) < 0.1
    assert points[:, 2].min() > 0  # in front of the head, which rests facing +Z
    for primitive in mesh["primitives"]:
        assert len(primitive["targets"]) == len(face.names)
        assert glb.accessor(primitive["indices"]).max() < len(points)
        assert primitive["material"] < len(document["materials"])
        for target in primitive["targets"]:
            accessor = document["accessors"][target["POSITION"]]
            assert (accessor["count"], accessor["type"], len(accessor["min"])) == (len(points), "VEC3", 3)
    opening = glb.accessor(
        mesh["primitives"][0]["targets"][face.names.index("jawOpen" if "jawOpen" in face.names else "jaw_x")]["POSITION"]
    )
    assert -0.15 < opening[:, 1].min() < -0.02
    joints = glb.accessor(mesh["primitives"][0]["attributes"]["JOINTS_0"])
    assert {glb.names[joint] for joint in joints[:, 0]} == {"head"}


@pytest.mark.parametrize("kind", ["arkit-52", "livelink-61", "flame-53", "flame-50"])
def test_a_face_comes_back(tmp_path, kind, caplog) -> None:
    motion = standing(talking(20, kind))
    path = motion.save(tmp_path / "a.glb")
    for back in (Motion.load(path), read_motion(path)):
        assert (back.face.names, back.face.kind) == (motion.face.names, kind)
        np.testing.assert_allclose(back.face.coefficients, motion.face.coefficients, atol=1e-5)
    slow = read_motion(path, fps=10)
    np.testing.assert_allclose(slow.face.coefficients, motion.face.coefficients[::2], atol=1e-5)
    assert not caplog.text
    again = Motion.load(motion[3:9].save(tmp_path / "b.glb"))
    np.testing.assert_allclose(again.face.coefficients, motion.face.coefficients[3:9], atol=1e-5)


def test_faces_of_others(tmp_path, caplog) -> None:
    """Names in other spellings, on cubic curves, beside targets that are no coefficients; or none that is known."""
    file = person(frames=4)
    face = file.node("Face", mesh=0)
    names = ["JawOpen", "Blush", "browDown_L", "jawOpen"]
    file.document["meshes"] = [{"primitives": [{"attributes": {}, "targets": [{}] * 4}], "extras": {"targetNames": names}}]
    values = np.arange(16.0).reshape(4, 4) / 16
    tangents = np.zeros_like(values)
    file.animate(face, "weights", np.arange(4) / 30, np.stack((tangents, values, tangents), axis=1).reshape(-1), between="CUBICSPLINE")
    with caplog.at_level(logging.WARNING, "hf_motion"):
        found = read_motion(file.glb(tmp_path / "a.glb")).face
    assert (found.names, found.kind) == (("jawOpen", "browDownLeft"), "arkit-52")
    np.testing.assert_allclose(found.coefficients, values[:, [0, 2]], atol=1e-6)
    assert "2 of 4 morph targets have no names of arkit-52 or repeat" in caplog.text
    file.document["meshes"][0]["extras"] = {"targetNames": ["a", "b", "c", "d"]}
    found = read_motion(file.glb(tmp_path / "a.glb")).face
    assert (found.names, found.kind) == (("a", "b", "c", "d"), "own")
    file.document["meshes"][0]["extras"] = {}
    with caplog.at_level(logging.WARNING, "hf_motion"):
        assert read_motion(file.glb(tmp_path / "a.glb")).face is None
    assert "4 morph targets that are animated have no names" in caplog.text
    file.document["meshes"][0]["primitives"][0]["targets"].pop()
    file.document["meshes"][0]["extras"] = {"targetNames": names[:3]}
    with pytest.raises(ValueError, match=r"a\.glb.*weights of 3 morph targets have 4 keys and 48 values"):
        read_motion(file.glb(tmp_path / "a.glb"))


def test_triangles_look_outwards(tmp_path) -> None:
    glb = Glb(standing(talking(2)).save(tmp_path / "a.glb"))
    mesh = glb.document["meshes"][1]
    points = glb.accessor(mesh["primitives"][0]["attributes"]["POSITION"])
    for primitive in mesh["primitives"]:
        one, two, three = points[glb.accessor(primitive["indices"])[:, 0].reshape(-1, 3)].transpose(1, 0, 2)
        assert (np.cross(two - one, three - one)[:, 2] > -1e-9).all()


def test_a_body_without_a_face_or_a_head_has_none(tmp_path, caplog) -> None:
    assert len(Glb(replace(standing(talking(2)), face=None).save(tmp_path / "a.glb")).document["meshes"]) == 1
    stick = Motion(np.tile([[0, 0, 0], [0, 1, 0]], (2, 1, 1)), skeleton=Skeleton("stick", ("root", "tip"), (-1, 0)), face=talking(2))
    with caplog.at_level(logging.WARNING, "hf_motion"):
        assert len(Glb(stick.save(tmp_path / "b.glb")).document["meshes"]) == 1
    assert "'stick' has no head, so that the face is left out" in caplog.text


@pytest.mark.skipif(validator() is None, reason="needs node and the npm package gltf-validator (npm install, NODE_PATH)")
def test_the_khronos_validator_finds_nothing(tmp_path) -> None:
    kinds = ("arkit-52", "livelink-61", "flame-53")
    assert report([standing(talking(3, kind)).save(tmp_path / f"{kind}.glb") for kind in kinds]) == [(0, 0)] * 3
