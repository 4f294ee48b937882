"""USD read back with Pixar's own library, and VRM animations against what their specification asks."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hf_motion import Motion, Skeleton
from hf_motion.cli import app
from hf_motion.formats import inspect_motion, read_gltf, read_motion, write_usd, write_vrma
from hf_motion.formats.solved import solve
from hf_motion.formats.vrma import humanoid_bone, in_t_pose
from hf_motion.hands import with_hands
from hf_motion.kinematics import forward_kinematics
from hf_motion.pose import multiply, world_rotations
from hf_motion.representation.rotations import matrix_to_quaternion, quaternion_to_matrix

WAVE = Path(__file__).parent / "fixtures" / "bandai_wave.bvh"


def wave() -> Motion:
    motion = read_motion(WAVE)[:12]
    return Motion(motion.joints, fps=motion.fps, text="a person waves")


def solved_joints(solved) -> np.ndarray:
    translations = torch.from_numpy(solved.translations)
    return forward_kinematics(torch.from_numpy(solved.rotations), translations[:, 0], translations, solved.skeleton).numpy()


@pytest.mark.parametrize("suffix", ["usd", "usda", "usdc", "usdz"])
def test_usd_holds_the_skeleton_of_the_other_formats(tmp_path, suffix):
    from pxr import Usd, UsdGeom, UsdSkel

    motion = wave()
    path = write_usd(motion, tmp_path / "out" / f"wave.{suffix}", rig="mixamo")
    stage = Usd.Stage.Open(str(path))
    assert (UsdGeom.GetStageMetersPerUnit(stage), UsdGeom.GetStageUpAxis(stage)) == (1, "Y")
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (30, 0, 11)
    assert stage.GetDefaultPrim().GetDocumentation() == "a person waves"
    skeleton = UsdSkel.Skeleton.Get(stage, "/Character/Skeleton")
    names = list(skeleton.GetJointNamesAttr().Get())
    assert names[:2] == ["mixamorig:Hips", "mixamorig:LeftUpLeg"]
    query = UsdSkel.Cache().GetSkelQuery(skeleton)
    expected = solved_joints(solve(motion, "mixamo"))
    for frame in (0, 5, 11):
        places = [matrix.ExtractTranslation() for matrix in query.ComputeJointSkelTransforms(frame)]
        np.testing.assert_allclose(places, expected[frame], atol=1e-5)
    meshes = [prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    assert len(meshes) == 3
    cache = UsdSkel.Cache()
    root = UsdSkel.Root.Get(stage, "/Character")
    assert cache.Populate(root, Usd.PrimDefaultPredicate)
    for mesh in meshes:
        skinning = cache.GetSkinningQuery(mesh)
        assert skinning.HasJointInfluences()
        weights = np.array(skinning.ComputeVaryingJointInfluences(len(UsdGeom.Mesh(mesh).GetPointsAttr().Get()))[1])
        np.testing.assert_allclose(weights.reshape(-1, 4).sum(axis=1), 1, atol=1e-5)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_usd_names_are_made_legal_and_different(tmp_path):
    from pxr import Usd, UsdSkel

    odd = Skeleton("odd", ("1 root", "a.b", "a b", "á"), (-1, 0, 0, 1))
    path = write_usd(Motion(np.random.default_rng(0).random((3, 4, 3)), skeleton=odd), tmp_path / "a.usda")
    stage = Usd.Stage.Open(str(path))
    skeleton = UsdSkel.Skeleton.Get(stage, "/Character/Skeleton")
    assert list(skeleton.GetJointsAttr().Get()) == ["_1_root", "_1_root/a_b", "_1_root/a_b_", "_1_root/a_b/_"]
    assert UsdSkel.Topology(skeleton.GetJointsAttr().Get()).Validate()[0]
    with pytest.raises(ValueError, match=r"\.usd, \.usda"):
        write_usd(wave(), tmp_path / "a.udsa")


def test_vrma_is_what_the_specification_asks(tmp_path):
    motion = wave()
    data = write_vrma(motion, tmp_path / "wave.vrma").read_bytes()
    content = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    extension = content["extensions"]["VRMC_vrm_animation"]
    assert (extension["specVersion"], content["extensionsUsed"]) == ("1.0", ["VRMC_vrm_animation"])
    bones = extension["humanoid"]["humanBones"]
    assert len(bones) == 22
    assert {"hips", "spine", "upperChest", "leftUpperLeg", "rightToes", "leftShoulder", "rightHand"} <= bones.keys()
    targets = [channel["target"] for channel in content["animations"][0]["channels"]]
    assert [target["node"] for target in targets if target["path"] == "translation"] == [bones["hips"]["node"]]
    assert {target["path"] for target in targets} == {"translation", "rotation"}
    assert "meshes" not in content
    assert all("rotation" not in node and "scale" not in node for node in content["nodes"])
    source = inspect_motion(tmp_path / "wave.vrma")
    assert source.recognised == "unity"
    np.testing.assert_allclose(source.motion.joints, solved_joints(solve(motion)), atol=1e-4)
    assert source.motion.text == "a person waves"


def test_convert_keeps_fingers_where_there_are_some(tmp_path):
    motion = with_hands(wave())
    for name, options in (("unity.bvh", {"rig": "unity"}), ("own.glb", {}), ("mixamo.bvh", {"rig": "mixamo"})):
        motion.save(tmp_path / name, **options)
        target = tmp_path / name.replace(name[-4:], ".vrma")
        result = CliRunner().invoke(app, ["convert", str(tmp_path / name), str(target)])
        assert result.exit_code == 0, result.output
        assert "finger joints" not in result.output
        back, expected = (read_motion(path, skeleton="smplx-52") for path in (target, tmp_path / name))
        np.testing.assert_allclose(back.joints, expected.joints, atol=2e-3)
    wave().save(tmp_path / "none.bvh")
    for rig, joints in (("mixamo", 52), ("cmu", 25)):
        target = tmp_path / f"{rig}.glb"
        assert CliRunner().invoke(app, ["convert", str(tmp_path / "own.glb"), str(target), "--rig", rig]).exit_code == 0
        assert len(Motion.load(target).skeleton) == joints
    assert CliRunner().invoke(app, ["convert", str(tmp_path / "none.bvh"), str(tmp_path / "none.vrma")]).exit_code == 0
    assert len(Motion.load(tmp_path / "none.vrma").skeleton) == 22
    clean = ["convert", str(tmp_path / "own.glb"), str(tmp_path / "clean.bvh"), "--contact-cleanup"]
    assert CliRunner().invoke(app, clean).exit_code == 0
    assert len(Motion.load(tmp_path / "clean.bvh").skeleton) == 52


def test_vrma_of_a_recording_rests_in_a_t_pose(tmp_path):
    """Its own rest pose has lowered arms; wrists keep the turns that were recorded."""
    motion = read_motion(WAVE)
    back = Motion.load(write_vrma(motion, tmp_path / "wave.vrma"))
    names = back.skeleton.joint_names
    order = [names.index(humanoid_bone(name)) for name in motion.skeleton.joint_names]
    np.testing.assert_allclose(back.joints[:, order], motion.joints, atol=1e-3)
    lower = back.rest_offsets[names.index("rightLowerArm")]
    np.testing.assert_allclose(lower / np.linalg.norm(lower), [-1, 0, 0], atol=1e-4)
    wrist = motion.skeleton.joint("right_wrist")
    worlds = [world_rotations(clip.rotations.astype(float), clip.skeleton) for clip in (motion, back)]
    twist = multiply(worlds[0][:, wrist] * [1, -1, -1, -1], worlds[1][:, order[wrist]])
    between = np.abs((twist * twist[:1]).sum(axis=-1))
    np.testing.assert_allclose(between, 1, atol=1e-6)  # one fixed turn apart, the one between the two rest poses


def test_vrma_needs_the_bones_of_a_humanoid(tmp_path):
    stick = Skeleton("stick", ("pelvis", "tip"), (-1, 0))
    with pytest.raises(ValueError, match=r"needs spine, head, leftUpperLeg.*'stick'.*read_motion"):
        write_vrma(Motion(np.ones((2, 2, 3)), skeleton=stick), tmp_path / "a.vrma")


def test_another_rest_pose_becomes_the_t_pose_and_joints_stay():
    """A rest pose with lowered arms and turned joints, as recordings have it, and the same animation against it."""
    motion = wave()
    solved = solve(motion, tolerance=None)
    parents = [max(parent, 0) for parent in motion.skeleton.parents]
    random = torch.Generator().manual_seed(0)
    axes = torch.randn(22, 4, generator=random, dtype=torch.float64) * 0.4 + torch.tensor([1.0, 0, 0, 0])
    turns = quaternion_to_matrix(torch.nn.functional.normalize(axes, dim=-1))
    above = turns[parents].clone()
    above[0] = torch.eye(3)
    local = above.mT @ quaternion_to_matrix(torch.from_numpy(solved.rotations)) @ turns
    rest = (above.mT @ torch.from_numpy(solved.rest)[..., None])[..., 0].numpy()
    translations = np.broadcast_to(rest, solved.translations.shape).copy()
    translations[:, 0] = solved.translations[:, 0]
    turned = replace(solved, rotations=matrix_to_quaternion(local).numpy(), rest=rest, translations=translations)
    np.testing.assert_allclose(solved_joints(turned), solved_joints(solved), atol=1e-9)
    back = in_t_pose(turned, motion.skeleton)
    np.testing.assert_allclose(solved_joints(back), solved_joints(solved), atol=1e-9)
    wanted = np.array(motion.skeleton.body_directions, float)[1:]
    directions = back.rest[1:] / np.linalg.norm(back.rest[1:], axis=1, keepdims=True)
    cosine = (directions * wanted / np.linalg.norm(wanted, axis=1, keepdims=True)).sum(axis=1)
    limbs = [joint - 1 for joint in range(1, 22) if len(motion.skeleton.children[motion.skeleton.parents[joint]]) == 1]
    np.testing.assert_allclose(cosine[limbs], 1, atol=1e-9)
    assert cosine.min() > 0.9


def test_vrma_in_metres_above_the_floor(tmp_path):
    clip = read_gltf(write_vrma(wave(), tmp_path / "a.vrma"))
    assert clip.joints[:, :, 1].min() == pytest.approx(wave().joints[..., 1].min(), abs=0.03)
