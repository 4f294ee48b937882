"""AMASS files against computations that are not ours: scipy's rotations joint by joint, and the `smplx` package.

`fixtures/amass_golden.safetensors` holds, for `smpl`, `smplh` and `smplx`, a made-up body model of eight vertices, four frames of an AMASS
file, and the joints that `smplx` 0.1.28 places (float64, on numpy 2.4 and torch 2.14); ours differ by at most 2e-7 m. To make it again:
`pip install smplx`, draw the arrays that `joints_by_smplx` reads from a normal distribution (`J_regressor` with rows that add up to one,
`shapedirs` 8 x 3 x 10, or 20 for `smplx`), and store what it returns as `joints`. With `smplx` installed, the last test does the same.
"""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.spatial.transform import Rotation, Slerp

from hf_motion.formats.amass import read_amass
from hf_motion.formats.read import inspect_motion, read_motion
from hf_motion.skeletons import HUMANML3D_22

PARENTS = HUMANML3D_22.parents
GOLDEN = Path(__file__).parent / "fixtures" / "amass_golden.safetensors"
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


def golden(model: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{model}."): values for name, values in load_file(GOLDEN).items() if name.startswith(f"{model}.")}


@pytest.mark.parametrize("model", WIDTHS)
def test_joints_are_those_of_the_smplx_package(tmp_path, model):
    """Its SMPL-X of this size has ten directions of shape, and then ten of expression, which 16 betas must not reach."""
    values = golden(model)
    np.savez(tmp_path / "model.npz", **{name: values[name] for name in ("v_template", "shapedirs", "J_regressor")})
    np.savez(tmp_path / "a.npz", poses=values["poses"], trans=values["trans"], betas=values["betas"], mocap_framerate=np.array(120.0))
    assert len(values["betas"]) > 10
    np.testing.assert_allclose(read_amass(tmp_path / "a.npz", tmp_path / "model.npz").joints, y_up(values["joints"]), atol=1e-6)


def joints_by_smplx(values: dict[str, np.ndarray], model: str, folder: Path) -> np.ndarray:
    """The 22 joints (frames, 22, 3) in the file's axes, by the `smplx` package with what else it wants of a model made up."""
    smplx = pytest.importorskip("smplx")
    count, vertices = values["J_regressor"].shape[0], len(values["v_template"])
    fingers = [
        [at for first in range(start, start + 15, 3) for at in (wrist, first, first + 1)]
        for wrist, start in ((20, count - 30), (21, count - 15))
    ]
    parents = [*PARENTS, *{24: [20, 21], 52: fingers[0] + fingers[1], 55: [15, 15, 15, *fingers[0], *fingers[1]]}[count]]
    parts = {
        "posedirs": np.zeros((vertices, 3, 9 * (count - 1))), "weights": np.full((vertices, count), 1 / count), "f": np.zeros((1, 3), int),
        "kintree_table": np.array([parents, range(count)]), "lmk_faces_idx": np.zeros(51, int), "lmk_bary_coords": np.zeros((51, 3)),
        "dynamic_lmk_faces_idx": np.zeros((79, 17), int), "dynamic_lmk_bary_coords": np.zeros((79, 17, 3)),
        **{f"hands_mean{side}": np.zeros(45) for side in "lr"}, **{f"hands_components{side}": np.eye(45) for side in "lr"},
    } | {name: values[name] for name in ("v_template", "shapedirs", "J_regressor")}  # fmt: skip
    for points in smplx.body_models.VERTEX_IDS.values():
        points.update(dict.fromkeys(points, 0))
    path = folder / ("model.pkl" if model == "smpl" else "model.npz")
    if model == "smpl":
        path.write_bytes(pickle.dumps(parts))
    else:
        np.savez(path, **parts)
    options = {} if model == "smpl" else {"ext": "npz", "use_pca": False}
    body = getattr(smplx, model.upper())(str(path), batch_size=len(values["poses"]), num_betas=16, dtype=torch.float64, **options)
    turns, trans, betas = (torch.from_numpy(values[name]).double() for name in ("poses", "trans", "betas"))
    shape = betas[: body.num_betas].expand(len(turns), -1)
    pose = turns[:, 3 : 72 if model == "smpl" else 66]
    return body(global_orient=turns[:, :3], body_pose=pose, transl=trans, betas=shape).joints[:, :22].detach().numpy()


@pytest.mark.parametrize("model", WIDTHS)
def test_the_golden_joints_are_still_those_of_the_installed_smplx(tmp_path, model):
    values = golden(model)
    np.testing.assert_allclose(joints_by_smplx(values, model, tmp_path), values["joints"], atol=1e-6)
