"""`Face`, and the face of a `Motion`."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_motion import standing

from hf_motion import Face, Motion
from hf_motion.face import FACE_SETS, known_names
from hf_motion.formats.read import read_motion
from hf_motion.motion import joined_faces
from hf_motion.utils.limits import MAX_COEFFICIENTS


def talking(frames: int = 20, names="arkit-52") -> Face:
    count = len(FACE_SETS[names]) if isinstance(names, str) else len(names)
    return Face(np.random.default_rng(0).random((frames, count)), names)


def test_known_sets() -> None:
    assert [len(names) for names in FACE_SETS.values()] == [52, 61, 50, 53, 100, 103]
    assert all(len(set(names)) == len(names) for names in FACE_SETS.values())
    assert talking().kind == "arkit-52"
    assert Face(torch.zeros(3, 50, dtype=torch.bfloat16), "flame-50").coefficients.dtype == np.float32
    assert known_names(["jaw_x", "expression_3"]) == (("jaw_x", "expression_3"), "flame-53")
    assert known_names(["HeadYaw", "tongue_out"]) == (("headYaw", "tongueOut"), "livelink-61")
    assert Face(np.zeros((1, 2)), ["a", "b"], "own").kind == "own"


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        (np.zeros((3, 51)), "arkit-52", r"51 coefficients and 52 names"),
        (np.full((3, 52), np.nan), "arkit-52", r"NaN or infinity in 3 of 3 frames, first in frame 0"),
        (np.zeros((0, 52)), "arkit-52", r"frames >= 1"),
        (np.zeros(52), "arkit-52", r"got \(52,\)"),
        ([["a"]], ["jawOpen"], r"array of numbers"),
        (np.zeros((1, 2)), ["jawOpne", "mouthSmileLeft"], r"'jawOpne'. The nearest are jawOpen"),
        (np.zeros((1, 1)), ["zzz"], r"It could be eyeBlinkLeft.*kind='own'"),
        (np.zeros((1, 2)), ["jawOpen", "JawOpen"], r"repeat: 'jawOpen'"),
        (np.zeros((1, 2)), ["jawOpen", "jaw_x"], r"different kinds"),
        (np.zeros((1, 0)), [], r"no coefficients|coefficients >= 1"),
        (np.zeros((1, 1)), "arkit", r"Unknown kind of face 'arkit'. Use one of arkit-52"),
        (np.zeros((1, MAX_COEFFICIENTS + 1)), [str(n) for n in range(MAX_COEFFICIENTS + 1)], r"at most 4,096"),
        (np.broadcast_to(np.float32(0), (10**7, 52)), "arkit-52", r"10,000,000 frames, and at most"),
    ],
)
def test_what_is_no_face(values, names, message) -> None:
    with pytest.raises(ValueError, match=message):
        Face(values, names)


def test_values_outside_are_counted_once(caplog) -> None:
    values = np.zeros((4, 52))
    values[2, 0], values[3, 17] = -0.5, 1.25
    with caplog.at_level(logging.WARNING, "hf_motion"):
        face = Face(values, "arkit-52")
        _ = face[1:], face.mirrored(), face.at(np.arange(2))
    assert [record.message for record in caplog.records] == [
        "2 of 208 coefficients of the face are outside 0 to 1 (-0.5 to 1.25, first eyeBlinkLeft in frame 2); they are kept."
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hf_motion"):
        Face(np.full((2, 53), -3), "flame-53")
        Face(np.eye(61)[60:] * -2, "livelink-61")
    assert not caplog.records


def test_parts_of_a_face() -> None:
    face = talking()
    np.testing.assert_array_equal(face[5:7]["jawOpen"], face["jawOpen"][5:7])
    assert face.select(["jawOpen"]).select("arkit-52", fill=0.0).coefficients[:, 0].tolist() == [0] * 20
    assert face.rename({"jawOpen": "mouth"}, kind="own") == Face(
        face.coefficients, [name.replace("jawOpen", "mouth") for name in face.names], "own"
    )
    with pytest.raises(ValueError, match=r"no 'jawOpne'. The nearest are jawOpen"):
        face.select(["jawOpne"])
    with pytest.raises(ValueError, match="nearest are jawOpen"):
        face.rename({"jawOpne": "a"})
    with pytest.raises(KeyError, match="jawOpen"):
        face["jawOpne"]
    with pytest.raises(ValueError, match="empty"):
        face[30:]
    with pytest.raises(TypeError, match="slice"):
        face[3]


def test_resampling_is_linear() -> None:
    face = Face(np.arange(5)[:, None] / 4, ["jawOpen"])
    np.testing.assert_allclose(face.resample(10, 20)["jawOpen"], np.arange(9) / 8, atol=1e-6)
    assert len(face.resample(10, 3)) == 2
    assert len(face[:1].resample(10, 20)) == 1
    with pytest.raises(ValueError, match="10 fps right"):
        face.resample(10, 1e9)


def test_mirror_image_of_a_face() -> None:
    face = talking(names="livelink-61")
    there = face.mirrored()
    assert there.mirrored() == face
    for name, other, sign in [
        ("mouthLeft", "mouthRight", 1), ("eyeLookInLeft", "eyeLookInRight", 1), ("jawOpen", "jawOpen", 1), ("headYaw", "headYaw", -1),
        ("headPitch", "headPitch", 1), ("leftEyeRoll", "rightEyeRoll", -1),
    ]:  # fmt: skip
        np.testing.assert_array_equal(there[other], sign * face[name])
    flame = talking(names="flame-53")
    np.testing.assert_array_equal(flame.mirrored().coefficients, flame.coefficients * ([1] * 51 + [-1] * 2))
    own = Face([[1, 2, 3]], ["brow_L", "brow_R", "nose"], "own")
    assert own.mirrored().coefficients.tolist() == [[2, 1, 3]]


def test_a_motion_keeps_its_face(tmp_path) -> None:
    motion = replace(standing(), face=talking())
    assert "face with 52 coefficients of arkit-52" in repr(motion)
    assert motion != standing()
    assert motion == replace(motion)
    assert motion != replace(motion, face=replace(motion.face, coefficients=motion.face.coefficients * 0.5))
    assert motion[4:8].face == motion.face[4:8]
    assert motion[::2].face == motion.face[::2]
    assert motion.in_place().face == motion.face
    assert motion.resample(10).face == motion.face[::2]
    assert len(motion.resample(30).face) == len(motion.resample(30))
    assert motion.mirror().face == motion.face.mirrored()
    for name in ("a.npz", "a.json"):
        path = motion.save(tmp_path / name)
        assert Motion.load(path).face == motion.face
        assert read_motion(path).face == motion.face
        assert len(read_motion(path, fps=10).face) == 10
    assert Motion.load(standing().save(tmp_path / "b.npz")).face is None
    assert Motion.load(standing().save(tmp_path / "b.json")).face is None


def test_a_face_of_another_length() -> None:
    with pytest.raises(ValueError, match=r"face has 19 frames and the body 20.*face=None"):
        replace(standing(), face=talking(19))
    with pytest.raises(ValueError, match=r"must be a Face or None, got ndarray"):
        replace(standing(), face=np.zeros((20, 52)))


def test_joining(caplog) -> None:
    motion = replace(standing(), face=talking())
    both = Motion.concatenate([motion, motion.resample(40)], fps=20)
    assert both.face == Face.concatenate([motion.face, motion.face[:20]])
    with caplog.at_level(logging.WARNING, "hf_motion"):
        assert not Motion.concatenate([standing(), motion]).face[:20].coefficients.any()
    assert "1 of 2 motions have no face" in caplog.text
    with pytest.raises(ValueError, match=r"Face 1 has 50 coefficients of flame-50.*select\(\)"):
        Motion.concatenate([motion, replace(motion, face=talking(names="flame-50"))])
    with pytest.raises(ValueError, match="neutral is not known"):
        Motion.concatenate([standing(), replace(motion, face=Face(np.zeros((20, 1)), ["a"], "own"))])
    with pytest.raises(ValueError, match="no face to concatenate"):
        Face.concatenate([])
    ends = [replace(standing(2), face=Face(np.full((2, 1), value), ["jawOpen"])) for value in (0, 1)]
    np.testing.assert_allclose(joined_faces(ends, [3])["jawOpen"], [0, 0, 0.25, 0.5, 0.75, 1, 1])


def test_damaged_faces_in_our_files(tmp_path) -> None:
    motion = replace(standing(), face=talking())
    content = json.loads(motion.save(tmp_path / "a.json").read_text())
    for damage in ({"coefficients": []}, {"names": ["jawOpen"]}, {"kind": "x"}, {"coefficients": [[None] * 52] * 20}):
        (tmp_path / "a.json").write_text(json.dumps(content | {"face": content["face"] | damage}))
        with pytest.raises(ValueError, match=r"a.json.*damaged motion file"):
            Motion.load(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps(content | {"face": [1]}))
    with pytest.raises(ValueError, match=r"a.json"):
        Motion.load(tmp_path / "a.json")
    arrays = dict(np.load(motion.save(tmp_path / "a.npz")))
    for damage in ({"face": arrays["face"][:5]}, {"face_names": arrays["face_names"][:5]}, {"face_kind": np.array("x")}):
        np.savez(tmp_path / "a.npz", **(arrays | damage))
        with pytest.raises(ValueError, match=r"a.npz"):
            Motion.load(tmp_path / "a.npz")
