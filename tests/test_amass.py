import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from hf_motion.data.amass import read_amass
from hf_motion.data.read import inspect_motion, read_motion
from hf_motion.skeletons import HUMANML3D_22

PARENTS = HUMANML3D_22.parents
WIDTHS = {"smpl": 72, "smplh": 156, "smplx": 165}


def body_model(path: Path, seed: int = 0, joints: int = 24, shapes: int = 12) -> dict[str, np.ndarray]:
    """A body model of 60 vertices in the published layout. The real ones may not be shipped."""
    random = np.random.default_rng(seed)
    template = random.normal(0, 0.5, (60, 3))
    weights = random.random((joints, 60))
    model = {
        "v_template": template, "shapedirs": random.normal(0, 0.02, (60, 3, shapes)),
        "J_regressor": weights / weights.sum(axis=1, keepdims=True), "part2num": np.array([{"a": 1}], dtype=object),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **model)
    return model


def amass(path: Path, model: str = "smplh", frames: int = 12, **changes) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    values = {
        "poses": random.normal(0, 0.7, (frames, WIDTHS[model])), "trans": random.normal(0, 1, (frames, 3)),
        "betas": random.normal(0, 1, 16), "gender": np.array("male"), "mocap_framerate": np.array(120.0),
    }  # fmt: skip
    values = {key: value for key, value in (values | changes).items() if value is not None}
    np.savez(path, **values)
    return values


def expected_joints(model: dict[str, np.ndarray], poses: np.ndarray, trans: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Joints of SMPL models, frame by frame and joint by joint, with scipy's rotations; file axes."""
    count = min(len(betas), model["shapedirs"].shape[-1])
    rest = model["J_regressor"] @ (model["v_template"] + model["shapedirs"][..., :count] @ betas[:count])
    result = np.zeros((len(poses), 22, 3))
    for frame, pose in enumerate(poses):
        turned = {}
        for joint, parent in enumerate(PARENTS):
            local = Rotation.from_rotvec(pose[3 * joint : 3 * joint + 3])
            turned[joint] = turned[parent] * local if joint else local
            bone = turned[parent].apply(rest[joint] - rest[parent]) if joint else rest[0] + trans[frame]
            result[frame, joint] = result[frame, parent] + bone if joint else bone
    return result


def y_up(joints: np.ndarray) -> np.ndarray:
    return np.stack((joints[..., 0], joints[..., 2], -joints[..., 1]), axis=-1)


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("smplh", "smplh/male/model.npz"),
        ("smplx", "smplx/SMPLX_MALE.npz"),
        ("smpl", "smpl/SMPL_MALE.npz"),
        ("smplh", "SMPLH_MALE.npz"),
    ],
)
def test_joints_match_an_independent_computation(tmp_path, model, place):
    body = body_model(tmp_path / "models" / place)
    values = amass(tmp_path / "a_poses.npz", model)
    expected = y_up(expected_joints(body, values["poses"], values["trans"], values["betas"]))
    motion = read_amass(tmp_path / "a_poses.npz", tmp_path / "models")
    assert (motion.fps, motion.skeleton) == (120, HUMANML3D_22)
    np.testing.assert_allclose(motion.joints, expected, atol=1e-5)
    source = inspect_motion(tmp_path / "a_poses.npz", body_models=tmp_path / "models")
    assert (source.up, source.units_per_metre, source.fps, source.frames) == ("z", 1.0, 120.0, 12)
    np.testing.assert_allclose(source.motion.joints, motion.joints, atol=1e-6)
    np.testing.assert_array_equal(read_amass(tmp_path / "a_poses.npz", tmp_path / "models" / place).joints, motion.joints)


def test_shape_gender_and_rate(tmp_path):
    male, female, neutral = (
        body_model(tmp_path / "smplh" / gender / "model.npz", seed) for seed, gender in enumerate(("male", "female", "neutral"))
    )
    path = tmp_path / "a.npz"
    for body, changes in (
        (female, {"gender": np.array(b"female")}), (female, {"gender": np.array(["Female"])}), (neutral, {"gender": None}),
        (male, {"betas": None}), (male, {"betas": np.zeros((1, 10))}),
    ):  # fmt: skip
        values = amass(path, **changes)
        expected = expected_joints(body, values["poses"], values["trans"], values.get("betas", np.zeros(0)).ravel())
        np.testing.assert_allclose(read_amass(path, tmp_path).joints, y_up(expected), atol=1e-5)
    values = amass(path)
    expected = expected_joints(male, values["poses"], values["trans"], values["betas"][:10])
    np.testing.assert_allclose(read_amass(path, tmp_path, num_betas=10).joints, y_up(expected), atol=1e-5)
    np.testing.assert_allclose(read_motion(path, body_models=tmp_path, fps=20).joints, read_amass(path, tmp_path).joints[::6], atol=1e-6)
    amass(path, mocap_framerate=None, mocap_frame_rate=np.array(60))
    assert read_amass(path, tmp_path).fps == 60
    assert read_motion(path, body_models=tmp_path, source_fps=30).fps == 30


def test_resampling_is_by_slerp(tmp_path):
    body = body_model(tmp_path / "smplh/male/model.npz")
    values = amass(tmp_path / "a.npz", frames=3, mocap_framerate=np.array(2.0))
    turns = [Rotation.from_rotvec(values["poses"][:, at : at + 3]) for at in range(0, 66, 3)]
    between = np.concatenate([Slerp([0, 1, 2], turn)([0, 0.5, 1, 1.5, 2]).as_rotvec() for turn in turns], axis=1)
    trans = np.stack([np.interp([0, 0.5, 1, 1.5, 2], [0, 1, 2], values["trans"][:, axis]) for axis in range(3)], axis=-1)
    expected = y_up(expected_joints(body, between, trans, values["betas"]))
    np.testing.assert_allclose(read_amass(tmp_path / "a.npz", tmp_path, fps=4).joints, expected, atol=1e-5)


def test_the_message_says_which_model_to_get_and_where_to_put_it(tmp_path):
    amass(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a.npz' holds SMPLH poses.*male body model.*mano.is.tue.mpg.de.*`body_models=`"):
        read_motion(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"No male SMPLH body model.*smplh/male/model.npz.*SMPLH_MALE.npz.*mano.is.tue.mpg.de"):
        read_motion(tmp_path / "a.npz", body_models=tmp_path)
    (tmp_path / "SMPLH_MALE.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match="pickles are not loaded"):
        read_motion(tmp_path / "a.npz", body_models=tmp_path / "SMPLH_MALE.pkl")
    np.savez(tmp_path / "SMPLH_MALE.npz", v_template=np.zeros((5, 3)), shapedirs=np.zeros((4, 3, 2)), J_regressor=np.zeros((22, 5)))
    with pytest.raises(ValueError, match=r"SMPLH_MALE.npz' is no body model: v_template \(5, 3\)"):
        read_motion(tmp_path / "a.npz", body_models=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((12, 100))}, r"key 'poses' has shape \(12, 100\).*72 \(smpl\), 156"),
        ({"poses": np.zeros((0, 156))}, "frames >= 1"),
        ({"poses": np.full((12, 156), np.nan)}, "key 'poses' holds NaN"),
        ({"trans": np.zeros((11, 3))}, r"key 'trans' has shape \(11, 3\)"),
        ({"trans": np.array(["a"])}, "key 'trans' holds <U1"), ({"gender": np.array("robot")}, "key 'gender' is 'robot'"),
        ({"mocap_framerate": None}, "no frame rate"), ({"mocap_framerate": np.array(0)}, "'mocap_framerate' is 0.0"),
        ({"mocap_framerate": np.array([1, 2])}, "positive number"), ({"betas": np.array([np.inf])}, "key 'betas' holds NaN or infinity"),
        ({"gender": np.array({"a": 1}, dtype=object)}, "key 'gender': it holds pickled Python objects"),
        ({"trans": None}, "no key 'trans'"),
    ],
)  # fmt: skip
def test_broken_files_are_explained(tmp_path, changes, message):
    body_model(tmp_path / "smplh/male/model.npz")
    amass(tmp_path / "a.npz", **changes)
    for read in (lambda: read_amass(tmp_path / "a.npz", tmp_path), lambda: read_motion(tmp_path / "a.npz", body_models=tmp_path)):
        with pytest.raises(ValueError, match=message) as error:
            read()
        assert "a.npz" in str(error.value)


def test_archives_with_tricks_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    values = amass(path)
    for name in ("../poses.npy", "/etc/poses.npy", "c:\\poses.npy", "a\\..\\..\\poses.npy"):
        amass(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"")
        with pytest.raises(ValueError, match=r"a.npz.*points out of the archive"):
            read_motion(path, body_models=tmp_path)
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 156), }".ljust(127) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", header + values["poses"].tobytes())
    with pytest.raises(ValueError, match=r"a.npz.*key 'poses': it promises"):
        read_amass(path, tmp_path)
    huge = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 22, 3), }".ljust(127) + b"\n"
    (tmp_path / "a.npy").write_bytes(huge)
    with pytest.raises(ValueError, match=r"a.npy' is not a readable .npy file"):
        read_motion(tmp_path / "a.npy")
