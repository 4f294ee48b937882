"""Fingers in files: names of every rig that we know, files without them, and files written with them."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hf_motion import Motion, Skeleton
from hf_motion.cli import app
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.formats import write_bvh
from hf_motion.formats.bvh import parse_bvh
from hf_motion.formats.read import inspect_motion, read_motion
from hf_motion.formats.rigs import recognise_fingers
from hf_motion.formats.take import take_motion
from hf_motion.hands import fill_hands, with_hands, without_hands
from hf_motion.skeletons import FINGERS, HUMANML3D_22, SMPLH_52, SMPLX_52

FIXTURES = Path(__file__).parent / "fixtures"
CLIP = read_row(load_motion_rows(str(FIXTURES / "clips.parquet"))[0], "humanml3d-22")[0]
HANDS = list(SMPLX_52.groups["hands"])
WORDS = ["Index", "Middle", "Pinky", "Ring", "Thumb"]
HUMANOID = ("Proximal", "Intermediate", "Distal")


def by_side(pattern: str, words: list[str] = WORDS, bones: tuple[str, ...] = ("1", "2", "3")) -> list[str]:
    """The 30 names in our order."""
    return [
        pattern.format(left=left, Left=long, L=letter, l=letter.lower(), finger=word, bone=bone)
        for left, long, letter in (("left", "Left", "L"), ("right", "Right", "R"))
        for word in words
        for bone in bones
    ]


def thumbs(names: list[str], bones: tuple[str, str, str], pattern: str) -> list[str]:
    """The same names with other ones for the thumbs."""
    names[12:15], names[27:30] = (
        [pattern.format(Left=side, l=side[0].lower() + side[1:], bone=bone) for bone in bones] for side in ("Left", "Right")
    )
    return names


LITTLE = ["Index", "Middle", "Little", "Ring", "Thumb"]
STYLES = {
    "SMPL-X": by_side("{left}_{finger}{bone}", [word.lower() for word in WORDS]),
    "SMPL-H in FBX": by_side("{L}_{finger}{bone}"),
    "Mixamo": by_side("mixamorig:{Left}Hand{finger}{bone}"),
    "Reallusion": by_side("CC_Base_{L}_{finger}{bone}", ["Index", "Mid", "Pinky", "Ring", "Thumb"]),
    "Xsens MVN": thumbs(
        by_side("{Left}{finger}{bone}", ["Second", "Third", "Fifth", "Fourth", "First"], ("PP", "MP", "DP")),
        ("MC", "PP", "DP"), "{Left}First{bone}",
    ),
    "Rokoko": by_side("{Left}{finger}{bone}", WORDS, ("Proximal", "Medial", "Distal")),
    "Rokoko Newton": thumbs(
        by_side("{Left}{finger}{bone}", [f"Finger{number}" for number in (2, 3, 5, 4, 1)], ("Proximal", "Medial", "Distal")),
        ("Metacarpal", "Proximal", "Distal"), "{Left}Finger1{bone}",
    ),
    "VRM 0": by_side("J_Bip_{L}_{finger}{bone}", LITTLE),
    "VRM 0 humanoid": by_side("{left}{finger}{bone}", LITTLE, HUMANOID),
    "VRM 1": thumbs(by_side("{left}{finger}{bone}", LITTLE, HUMANOID), ("Metacarpal", "Proximal", "Distal"), "{l}Thumb{bone}"),
    "Unreal": by_side("{finger}_0{bone}_{l}", [word.lower() for word in WORDS]),
    "Unity": by_side("{Left} {finger} {bone}", LITTLE, HUMANOID),
    "Daz": by_side("{l}{finger}{bone}", ["Index", "Mid", "Pinky", "Ring", "Thumb"]),
    "OptiTrack": by_side("{L}{finger}{bone}"),
    "Biped": [f"Bip01 {side} Finger{finger}{bone}" for side in "LR" for finger in (1, 2, 4, 3, 0) for bone in ("", 1, 2)],
}  # fmt: skip
TIPS_AND_PALMS = [
    "mixamorig:LeftHandIndex4", "LeftInHandIndex", "LeftSecondMC", "LeftFinger2Metacarpal", "index_metacarpal_l", "leftIndexTip",
    "LeftHand", "CC_Base_L_IndexToe1", "lFoot", "Bip01 L Finger0Nub",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_fingers_are_recognised_by_their_names(style: str) -> None:
    names = STYLES[style]
    assert len(set(names)) == 30
    found = recognise_fingers([*TIPS_AND_PALMS, *reversed(names)])
    assert [found[joint] for joint in SMPLX_52.joint_names[22:]] == list(range(len(TIPS_AND_PALMS) + 29, len(TIPS_AND_PALMS) - 1, -1))
    assert list(recognise_fingers([name.upper() for name in names]).values()) == list(range(30))


def test_a_finger_is_whole_or_none() -> None:
    assert recognise_fingers(["LeftFingerBase", "LeftHandIndex1", "LThumb"]) == {}, "CMU's stubs"
    assert set(recognise_fingers(STYLES["Mixamo"][:8])) == {
        f"left_{name}" for name in ("index1", "index2", "index3", "middle1", "middle2", "middle3")
    }
    assert recognise_fingers([]) == {}


def moving(frames: int = 12) -> Motion:
    """A walk whose fingers close, different on each side."""
    motion = with_hands(CLIP[:frames])
    joints = motion.joints.copy()
    for side, amount in (("left", 1.0), ("right", 0.4)):
        hand = list(SMPLX_52.groups[f"{side}_hand"])
        wrist = joints[:, [SMPLX_52.joint(f"{side}_wrist")]]
        share = (np.linspace(0, amount, frames) * 0.3)[:, None, None]
        joints[:, hand] = joints[:, hand] * (1 - share) + wrist * share
    return Motion(joints, motion.fps, SMPLX_52)


@pytest.mark.parametrize("rig", [None, "smpl", "mixamo", "unity", "unreal"])
def test_rigs_with_fingers_are_written_and_read_back(rig: str | None, tmp_path: Path) -> None:
    motion = moving()
    write_bvh(motion, tmp_path / "hands.bvh", rig=rig, keep_proportions=True, tolerance=0.0005)
    source = inspect_motion(tmp_path / "hands.bvh", skeleton="smplx-52")
    assert (source.motion.skeleton, len(source.motion)) == (SMPLX_52, len(motion))
    assert np.linalg.norm(source.motion.joints - motion.joints, axis=-1).mean() < 0.01
    hands = [clip.joints[:, HANDS] - clip.joints[:, np.repeat([20, 21], 15)] for clip in (source.motion, motion)]
    assert np.linalg.norm(hands[0] - hands[1], axis=-1).mean() < 0.006
    body = inspect_motion(tmp_path / "hands.bvh")
    assert body.motion.skeleton is HUMANML3D_22
    np.testing.assert_allclose(body.motion.joints, source.motion.joints[:, :22], atol=1e-5)
    assert "30 finger joints" in body.left_out
    assert read_motion(tmp_path / "hands.bvh", skeleton="smplh-52").skeleton is SMPLH_52


def test_a_rig_that_has_no_names_for_fingers_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Those that have: smpl, mixamo, unity, unreal.*without_hands"):
        write_bvh(moving(), tmp_path / "hands.bvh", rig="cmu")
    assert not list(tmp_path.iterdir())
    write_bvh(without_hands(moving()), tmp_path / "body.bvh", rig="cmu")


def test_glb_has_fingers(tmp_path: Path) -> None:
    path = moving().save(tmp_path / "hands.glb", rig="mixamo")
    content = path.read_bytes()
    assert content.count(b"mixamorig:RightHandPinky3") > 0


def test_a_real_file_with_fingers() -> None:
    """Reallusion's CC_Base skeleton; toes have the names of fingers too."""
    path = FIXTURES / "cmu/02_01_iclone.bvh"
    motion = read_motion(path, skeleton="smplx-52")
    np.testing.assert_allclose(motion.joints[:, :22], read_motion(path).joints, atol=1e-6)
    hands = motion.joints[:, HANDS].reshape(-1, 2, 5, 3, 3)
    reach = np.linalg.norm(hands - motion.joints[:, [20, 21], None, None], axis=-1)
    assert (np.diff(reach, axis=-1) > 0).all(), "fingers go outwards"
    assert 0.1 < reach.max() < 0.25
    assert (reach[..., 1, :] > reach[..., 4, :]).all(), "a middle finger reaches farther than a thumb"


def test_a_file_without_fingers_is_refused_or_gets_relaxed_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in (FIXTURES / "bandai_wave.bvh", CLIP[:20].save(tmp_path / "own.npz")):
        with pytest.raises(ValueError, match=r"does not have any fingers.*--relaxed-hands"):
            read_motion(path, skeleton="smplx-52")
        caplog.clear()
        motion = read_motion(path, skeleton="smplx-52", relaxed_hands=True)
        assert "30 of 30 joints of fingers are not in the file" in caplog.text
        body = read_motion(path)
        np.testing.assert_allclose(motion.joints, with_hands(body).joints, atol=1e-5)
    with pytest.raises(ValueError, match="smplx-52"):
        read_motion(FIXTURES / "bandai_wave.bvh", skeleton="kit-21")


def test_missing_fingers_are_counted_and_filled_as_the_hand_lies() -> None:
    """A hand that was turned about the forearm: the ring finger goes where the other four say."""
    motion = moving()
    wanted = motion.joints.copy()
    lacking = ["left_ring1", "left_ring2", "left_ring3"]
    at = [SMPLX_52.joint(name) for name in lacking]
    broken = wanted.copy()
    broken[:, at] = 9.0
    filled = fill_hands(Motion(broken, motion.fps, SMPLX_52), lacking).joints
    others = np.setdiff1d(np.arange(52), at)
    np.testing.assert_array_equal(filled[:, others], wanted[:, others])
    assert np.linalg.norm(filled[:, at] - wanted[:, at], axis=-1)[0].max() < 1e-4
    assert np.linalg.norm(filled[:, at] - wanted[:, at], axis=-1).max() < 0.06


def test_motions_with_fingers_are_taken_onto_skeletons(caplog: pytest.LogCaptureFixture) -> None:
    motion = moving()
    names = (*[f"mixamorig:{name}" for name in _mixamo()], *STYLES["Mixamo"])
    rigged = Motion(motion.joints, motion.fps, Skeleton("their", names, SMPLX_52.parents))
    np.testing.assert_allclose(take_motion(rigged, "smplx-52").joints, motion.joints, atol=1e-6)
    np.testing.assert_allclose(take_motion(rigged).joints, motion.joints[:, :22], atol=1e-6)
    np.testing.assert_array_equal(take_motion(motion).joints, motion.joints[:, :22])
    bare = Motion(motion.joints[:, :22], motion.fps, Skeleton("their", names[:22], HUMANML3D_22.parents))
    for poor in (bare, without_hands(motion)):
        with pytest.raises(ValueError, match=r"lacks 30 of the 30.*with_hands"):
            take_motion(poor, "smplx-52")
    double = Motion(
        np.concatenate([motion.joints, motion.joints[:, -1:] + 1], axis=1), motion.fps,
        Skeleton("their", (*names, "mixamorig1:RightHandThumb3"), (*SMPLX_52.parents, 50)),
    )  # fmt: skip
    np.testing.assert_allclose(take_motion(double, "smplx-52").joints, motion.joints, atol=1e-6)
    assert "1 finger joints stand in the file twice (mixamorig:RightHandThumb3" in caplog.text


def _mixamo() -> list[str]:
    from hf_motion.formats.rigs import RIGS

    return [name.removeprefix("mixamorig:") for name in RIGS["mixamo"].written]


def test_convert_with_fingers(tmp_path: Path) -> None:
    runner = CliRunner()
    source = FIXTURES / "cmu/02_01_iclone.bvh"
    made = runner.invoke(app, ["convert", str(source), str(tmp_path / "a.bvh"), "--skeleton", "smplx-52", "--rig", "mixamo"])
    assert made.exit_code == 0, made.output
    names = parse_bvh(tmp_path / "a.bvh").joint_names
    assert {f"mixamorig:LeftHand{finger.capitalize()}2" for finger in FINGERS} <= set(names)
    relaxed = ["convert", str(FIXTURES / "bandai_wave.bvh"), str(tmp_path / "b.npz"), "--skeleton", "smplx-52", "--relaxed-hands"]
    made = runner.invoke(app, relaxed)
    assert made.exit_code == 0, made.output
    assert Motion.load(tmp_path / "b.npz").skeleton is SMPLX_52
    for arguments, message in (
        (relaxed[:-1], "--relaxed-hands"), ([*relaxed[:3], "--relaxed-hands"], "needs --skeleton"),
        ([*relaxed[:4], "smpl-9"], "Known skeletons"),
    ):  # fmt: skip
        refused = runner.invoke(app, arguments)
        assert refused.exit_code != 0
        assert message in refused.output


def test_relaxed_hands_keep_the_rotations_of_the_body(tmp_path: Path) -> None:
    body = read_motion(FIXTURES / "bandai_wave.bvh")
    assert body.rotations is not None
    motion = read_motion(FIXTURES / "bandai_wave.bvh", skeleton="smplx-52", relaxed_hands=True)
    assert motion.rotations is not None
    np.testing.assert_allclose(motion.rotations[:, :22], body.rotations, atol=1e-5)
    np.testing.assert_allclose(without_hands(motion).joints, body.joints, atol=1e-6)
    assert without_hands(motion).rotations is not None
    np.testing.assert_allclose(with_hands(body).joints, motion.joints, atol=1e-5)
    fingers = inspect_motion(FIXTURES / "cmu/02_01_iclone.bvh", skeleton="smplx-52").motion
    assert fingers.rotations is not None
    assert fingers.rotations.shape == (len(fingers), 52, 4)


@pytest.mark.parametrize(("model", "first"), [("smplh", 22), ("smplx", 25)])
def test_amass_files_have_the_fingers_of_their_model(model: str, first: int, tmp_path: Path) -> None:
    from test_amass import amass, body_model

    body_model(tmp_path / "model.npz", joints=55 if model == "smplx" else 52)
    values = amass(tmp_path / "a.npz", model, gender=np.array("neutral"))
    options = {"body_models": tmp_path / "model.npz", "unit": "m"}
    whole = read_motion(tmp_path / "a.npz", skeleton=f"{model}-52", **options)
    body = read_motion(tmp_path / "a.npz", **options)
    np.testing.assert_allclose(whole.joints[:, :22], body.joints, atol=1e-5)
    turns = values["poses"].reshape(-1, len(values["poses"][0]) // 3, 3)[:, first : first + 30]
    angles = 2 * np.arccos(np.abs(np.clip(whole.rotations[:, 22:, 0], -1, 1)))
    wanted = np.linalg.norm(turns, axis=-1)
    np.testing.assert_allclose(angles, np.abs((wanted + np.pi) % (2 * np.pi) - np.pi), atol=2e-3)
    amass(tmp_path / "b.npz", "smpl", gender=np.array("neutral"))
    with pytest.raises(ValueError, match="does not have any fingers"):
        read_motion(tmp_path / "b.npz", skeleton="smplx-52", **options)
