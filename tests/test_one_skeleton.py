"""Files of one checkpoint have one skeleton; files of other motions have rigid bodies that only their roots move."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_convert import run
from test_export_glb import Glb

from hf_motion import Motion, MotionFeatureExtractor
from hf_motion.cleanup import lock_feet
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.formats import write_bvh, write_glb
from hf_motion.formats.bvh import parse_bvh, read_bvh
from hf_motion.skeletons import HUMANML3D_22

ROWS = load_motion_rows(str(Path(__file__).parent / "fixtures" / "clips.parquet"))
CLIPS = [read_row(row, "humanml3d-22")[0] for row in ROWS]


@pytest.fixture(scope="module")
def made() -> list[Motion]:
    """Decoded features whose joints wobble by centimetres, as those of models do."""
    extractor = MotionFeatureExtractor()
    draw = np.random.default_rng(0)
    motions = []
    for clip in CLIPS[:4]:
        features = extractor.encode(clip)[0]
        wobble = 0.01 * np.sin(np.arange(len(features))[:, None] / 7 + 6 * draw.random(63))
        features[:, 4:67] += torch.from_numpy(wobble).float()
        motions.append(extractor.decode(features)[0])
    return motions


def hierarchy(motion: Motion, path: Path, **options: str) -> str:
    return write_bvh(motion, path, **options).read_text().split("MOTION")[0]


@pytest.mark.parametrize("rig", [None, "mixamo", "cmu"])
def test_the_hierarchy_is_byte_equal_and_only_the_root_moves(made, rig, tmp_path):
    heads = {hierarchy(motion, tmp_path / "a.bvh", rig=rig) for motion in made}
    # Other frame rates, held feet and another place are the same body.
    moved = replace(made[0], joints=made[0].joints + np.float32(3))
    heads |= {hierarchy(motion, tmp_path / "a.bvh", rig=rig) for motion in (made[0].resample(30), lock_feet(made[1]), moved)}
    assert len(heads) == 1
    assert heads.pop().count("position") == 3


def test_joints_are_read_back_where_they_were(made, tmp_path):
    for motion in made:
        misses = np.linalg.norm(read_bvh(write_bvh(motion, tmp_path / "a.bvh")).joints - motion.joints, axis=-1)
        assert misses.mean() < 1e-3
        assert misses.max() < 5e-3
        glb = Glb(write_glb(motion, tmp_path / "a.glb"))
        last = glb.joints(len(motion) - 1)
        assert max(np.linalg.norm(last[name] - motion.joints[-1, index]) for index, name in enumerate(HUMANML3D_22.joint_names)) < 5e-3
        paths = [channel["target"]["path"] for channel in glb.document["animations"][0]["channels"]]
        assert paths.count("translation") == 1


def test_the_rest_pose_is_that_of_the_skeleton(made, tmp_path):
    offsets = parse_bvh(write_bvh(made[0], tmp_path / "a.bvh", scale=1)).offsets
    names = parse_bvh(tmp_path / "a.bvh").joint_names
    for name, offset in zip(names[1:], offsets[1:], strict=True):
        np.testing.assert_allclose(offset, HUMANML3D_22.body_offsets[HUMANML3D_22.joint(name)], atol=1e-6)
    left, right = (HUMANML3D_22.body_directions[HUMANML3D_22.joint(f"{side}_hip")] for side in ("left", "right"))
    assert left[2] == right[2] == 0
    np.testing.assert_allclose(left, np.multiply(right, (-1, 1, 1)))


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_recordings_are_rigid_and_upright(clip, tmp_path):
    file = parse_bvh(write_bvh(CLIPS[clip], tmp_path / "a.bvh"))
    assert {channels[0] for channels in file.channels[1:]} == {"Zrotation"}
    places = dict(zip(file.joint_names, file.offsets, strict=True))
    assert abs(places["left_hip"][2]) < 3.5
    assert abs(places["left_hip"][2] + places["right_hip"][2] - 2 * places["spine1"][2]) < 0.1, "the spine stands above the hips"
    glb = Glb(write_glb(CLIPS[clip], tmp_path / "a.glb"))
    assert sum(channel["target"]["path"] == "translation" for channel in glb.document["animations"][0]["channels"]) == 1


def test_a_body_that_changes_is_said_and_can_be_kept(tmp_path, caplog):
    joints = CLIPS[0].joints.copy()
    upper = list(HUMANML3D_22.body_parts["upper_body"])
    joints[:, upper, 0] += 0.05 * np.sin(np.arange(len(joints)) / 5)[:, None].astype(np.float32)
    sliding = Motion(joints)
    with caplog.at_level(logging.WARNING, "hf_motion"):
        write_bvh(sliding, tmp_path / "a.bvh")
    assert len(caplog.records) == 1
    assert "cm from where the motion has it; keep_proportions=True (--keep-proportions)" in caplog.text
    caplog.clear()
    kept = sliding.save(tmp_path / "b.bvh", keep_proportions=True)
    assert not caplog.records
    assert kept.read_text().count("Xposition") > 1
    errors = [np.linalg.norm(read_bvh(path).joints - joints, axis=-1).mean() for path in (kept, tmp_path / "a.bvh")]
    assert errors[0] < errors[1]


def test_convert_keeps_proportions_if_asked(tmp_path):
    source = CLIPS[0].save(tmp_path / "a.npz")
    run(source, tmp_path / "b.bvh", "--keep-proportions")
    run(source, tmp_path / "c.glb", "--keep-proportions")
    said = run(source, tmp_path / "d.csv", "--keep-proportions", code=1)
    assert "--keep-proportions is for .bvh, .glb, .fbx, .usd, .usda, .usdc, .usdz files, not for .csv" in said
