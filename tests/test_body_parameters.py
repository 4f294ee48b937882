"""Fingers and faces of SMPL-H and SMPL-X parameters: AMASS, GRAB and Motion-X, in and out, and rows with fingers."""

from pathlib import Path

import numpy as np
import pytest
from test_amass import amass, body_model
from test_face_data import built, motion_x

from hf_motion import Motion
from hf_motion.data.build import BuildSettings, build_dataset
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.data.sources import SourceOptions, open_source
from hf_motion.formats import read_amass, read_motion, write_amass
from hf_motion.formats.amass import smpl_rest_joints
from hf_motion.formats.motion_x import read_motion_x
from hf_motion.hands import with_hands, without_hands
from hf_motion.pose import multiply, place_joints
from hf_motion.skeletons import SMPLX_52

WAVE = Path(__file__).parent / "fixtures" / "bandai_wave.bvh"


def closing(frames: int = 10) -> Motion:
    """The wave with fingers that close, one after another."""
    motion = with_hands(read_motion(WAVE)[:frames])
    rotations = np.array(motion.rotations)
    for number, joint in enumerate(SMPLX_52.groups["hands"]):
        half = np.linspace(0, 0.02 * number, frames) / 2
        turn = np.stack((np.cos(half), 0 * half, 0 * half, np.sin(half)), axis=-1).astype(np.float32)
        rotations[:, joint] = multiply(turn, rotations[:, joint])
    joints = place_joints(rotations, motion.joints[:, 0], motion.rest_offsets, SMPLX_52)
    return Motion(joints, motion.fps, SMPLX_52, rotations=rotations, rest_offsets=motion.rest_offsets)


def bones(joints: np.ndarray) -> np.ndarray:
    """Directions of the bones of fingers."""
    fingers = np.diff(joints[:, list(SMPLX_52.groups["hands"])].reshape(len(joints), 10, 3, 3), axis=2)
    return fingers / np.linalg.norm(fingers, axis=-1, keepdims=True)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("count", [52, 55])
def test_fingers_come_back_from_amass(tmp_path, recorded, count):
    motion = closing()
    motion = motion if recorded else Motion(motion.joints, motion.fps, motion.skeleton)
    rest = smpl_rest_joints(SMPLX_52)
    rest = rest if count == 52 else np.insert(rest, 22, 0, axis=0).repeat([1] * 22 + [3] + [1] * 30, axis=0)
    np.savez(tmp_path / "model.npz", v_template=rest, J_regressor=np.eye(count), shapedirs=np.zeros((count, 3, 16)))
    path = write_amass(motion, tmp_path / "a.npz", rest_joints=rest)
    poses = np.load(path)["poses"]
    assert poses.shape == (10, 156)
    turns = np.linalg.norm(poses.reshape(10, 52, 3)[:, 1:], axis=-1)
    assert np.median(turns[:, 21:], axis=0).reshape(10, 3)[:, : 3 if recorded else 2].min() > 1e-3  # positions say nothing of the last bone
    assert turns[:, [joint - 1 for joint in (3, 6, 9, 20, 21)]].max() < 0.8, "no spine and no hand is turned round"
    if count == 52:
        back = read_amass(path, tmp_path / "model.npz", fingers=True)
        assert back.skeleton.name == "smplh-52"
        assert np.degrees(np.arccos(np.clip((bones(back.joints) * bones(motion.joints)).sum(-1), -1, 1))).max() < 2
        np.testing.assert_allclose(read_amass(path, tmp_path / "model.npz").joints, back.joints[:, :22], atol=1e-6)
        np.testing.assert_allclose(np.load(write_amass(back, tmp_path / "b.npz"))["poses"], poses, atol=1e-5)
    body = np.load(write_amass(motion, tmp_path / "c.npz", pose_width=66))["poses"]
    np.testing.assert_allclose(body[:, :60], poses[:, :60], atol=1e-6)
    alone = np.load(write_amass(without_hands(motion), tmp_path / "d.npz", rest_joints=rest))["poses"]
    np.testing.assert_allclose(alone[:, :60], poses[:, :60], atol=1e-6)
    assert not alone[:, 66:].any()


def test_smpl_has_no_fingers(tmp_path):
    body_model(tmp_path / "model.npz")
    amass(tmp_path / "a.npz", "smpl")
    with pytest.raises(ValueError, match=r"a\.npz' holds SMPL poses, and that body has no fingers"):
        read_amass(tmp_path / "a.npz", tmp_path / "model.npz", fingers=True)


def test_motion_x_with_fingers(tmp_path):
    values = motion_x(tmp_path / "set")
    values[:, 66:156] = 0.1 * np.random.default_rng(3).normal(size=(len(values), 90))
    path = next((tmp_path / "set").rglob("*.npy"))
    np.save(path, values)
    body_model(tmp_path / "models" / "smplx" / "SMPLX_NEUTRAL.npz", joints=55, shapes=400)
    whole = read_motion_x(path, tmp_path / "models", up="y", fingers=True)
    body = read_motion_x(path, tmp_path / "models", up="y")
    assert (whole.skeleton.name, body.skeleton.name) == ("smplx-52", "humanml3d-22")
    np.testing.assert_allclose(whole.joints[:, :22], body.joints, atol=1e-6)
    assert whole.face == body.face
    angles = 2 * np.arccos(np.clip(np.abs(whole.rotations[:, 22:, 0]), 0, 1))
    np.testing.assert_allclose(angles, np.linalg.norm(values[:, 66:156].reshape(-1, 30, 3), axis=-1), atol=1e-3)
    for skeleton, joints in (("smplx-52", 52), ("smplh-52", 52), (None, 22)):
        options = {"body_models": tmp_path / "models", "up": "y", "skeleton": skeleton}
        (row,) = built(tmp_path / "set", tmp_path / f"built-{skeleton}", **options)
        assert read_row(row, skeleton or "humanml3d-22")[0].joints.shape[1] == joints
        assert row["face_kind"] == "flame-53"


def test_grab_as_amass_has_it(tmp_path):
    folder = tmp_path / "GRAB" / "s1"
    folder.mkdir(parents=True)
    body_model(tmp_path / "models" / "smplx" / "SMPLX_MALE.npz", joints=55, shapes=400)
    expression = np.random.default_rng(2).normal(size=(12, 10))
    amass(folder / "waterbottle_drink_1_stageii.npz", "smplx", expression=expression)
    values = amass(folder / "cubelarge_lift_2_Retake_stageii.npz", "smplx")
    np.savez(folder / "mug_toast_1.npz", body=np.array({}, object), rhand=np.array({}, object), obj_name=np.array("mug"))
    options = SourceOptions(body_models=tmp_path / "models", fps=None, skeleton="smplx-52", up="z", unit="m")
    report = build_dataset(tmp_path / "GRAB", tmp_path / "set", options, BuildSettings(show_progress=False))
    assert (report.layout, sum(report.clips.values())) == ("GRAB, as in AMASS", 2)
    (skip,) = report.skipped
    assert "is of GRAB's own release" in skip.reason
    assert "AMASS" in skip.reason
    rows = {row["id"]: row for row in _rows(tmp_path / "set")}
    row = rows["s1/waterbottle_drink_1"]
    assert row["captions"][0]["text"] == "a person drinks from the water bottle"
    face = read_row(row, "smplx-52")[0].face
    np.testing.assert_allclose(face.coefficients[:, :10], expression, atol=1e-6)
    assert face.names[-1] == "jaw_z"
    jaw = read_row(rows["s1/cubelarge_lift_2_Retake"], "smplx-52")[0].face
    np.testing.assert_allclose(jaw.coefficients, values["poses"][:, 66:69], atol=1e-6)
    amass(folder / "mug_toast_1.npz", "smplx", expression=expression[:5])
    with pytest.raises(ValueError, match=r"key 'expression' has shape \(5, 10\); expected \(12, 1 to 100\)"):
        read_amass(folder / "mug_toast_1.npz", tmp_path / "models")


def _rows(folder: Path) -> list[dict]:
    return list(load_motion_rows(str(folder)))


def test_rows_with_fingers(tmp_path):
    folder = tmp_path / "takes"
    folder.mkdir()
    closing().save(folder / "whole.bvh", rig="mixamo")
    read_motion(WAVE)[:10].save(folder / "body.bvh")
    (folder / "captions.csv").write_text("file,text\nwhole.bvh,a person waves\nbody.bvh,a person waves\n")
    settings = BuildSettings(show_progress=False)
    report = build_dataset(folder, tmp_path / "set", SourceOptions(skeleton="smplx-52"), settings)
    assert (sum(report.clips.values()), [skip.path for skip in report.skipped]) == (1, ["body.bvh"])
    assert "--relaxed-hands" in report.skipped[0].reason
    assert _rows(tmp_path / "set")[0]["skeleton"] == "smplx-52"
    report = build_dataset(folder, tmp_path / "all", SourceOptions(skeleton="smplx-52", relaxed_hands=True), settings)
    assert sum(report.clips.values()) == 2
    with pytest.raises(ValueError, match="holds joints of 'smplx-52', which do not become those of 'humanml3d-22'"):
        open_source(tmp_path / "all" / "data", None, SourceOptions(skeleton="humanml3d-22"))
    for wrong, message in (
        ({"skeleton": "kit-21"}, "one of humanml3d-22, smplx-52, smplh-52"),
        ({"relaxed_hands": True}, "needs skeleton"),
    ):
        with pytest.raises(ValueError, match=message):
            SourceOptions(**wrong)
