"""Travel in a joint of its own, for engines."""

from pathlib import Path

import numpy as np
import pytest
from test_export_glb import Glb
from test_rotations_kept import turning

from hf_motion import Motion
from hf_motion.finishing import Finish
from hf_motion.formats import read_bvh, read_motion


@pytest.mark.parametrize("rig", [None, "mixamo"])
def test_a_root_on_the_floor_carries_the_travel(tmp_path: Path, rig: str | None) -> None:
    motion = turning()
    file = read_bvh(motion.save(tmp_path / "a.bvh", root_motion=True, rig=rig), scale=100)
    assert file.skeleton.joint_names[0] == "root"
    np.testing.assert_allclose(file.joints[:, 0], motion.joints[:, 0] * [1, 0, 1], atol=1e-4)
    np.testing.assert_allclose(file.joints[:, 1], motion.joints[:, 0], atol=1e-4)
    again = read_motion(tmp_path / "a.bvh", unit="cm")
    np.testing.assert_allclose(again.joints, motion.joints, atol=1e-4)
    glb = Glb(motion.save(tmp_path / "a.glb", root_motion=True, rig=rig))
    for keyframe in (0, 29):
        joints = list(glb.joints(keyframe).values())
        np.testing.assert_allclose(joints[0], motion.joints[keyframe, 0] * [1, 0, 1], atol=1e-4)
        np.testing.assert_allclose(joints[1], motion.joints[keyframe, 0], atol=1e-4)


def test_what_has_no_root_joint_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not to \.npz; leave it out"):
        Finish(root_motion=True).check([".npz"])
    with pytest.raises(ValueError, match="choose one"):
        Finish(root_motion=True, in_place=True).check([".bvh"])
    with pytest.raises(TypeError):
        Motion(np.zeros((2, 22, 3))).to_bytes("csv", root_motion=True)
