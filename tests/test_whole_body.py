"""52 joints: skeletons, relaxed hands, features, bones of one length, inverse kinematics."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.transform import Rotation

from hf_motion import Face, HumanML3DRepresentation, Motion, MotionFeatureExtractor, Skeleton
from hf_motion.data.check import check_dataset
from hf_motion.data.check_report import save_report
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.data.statistics import RunningStatistics, load_statistics, save_statistics
from hf_motion.hands import relaxed_hands, with_hands, without_hands
from hf_motion.kinematics import forward_kinematics, solve_rotations
from hf_motion.rendering.figure import bone_radii, build_figure, with_finger_tips
from hf_motion.representation import HumanTomatoRepresentation
from hf_motion.representation.fixed_bones import fixed_bones
from hf_motion.skeletons import FINGERS, HUMANML3D_22, KIT_21, SMPLH_52, SMPLX_52, get_skeleton

CLIPS = [read_row(row, "humanml3d-22")[0] for row in load_motion_rows(str(Path(__file__).parent / "fixtures" / "clips.parquet"))]
WRISTS, HANDS = [20, 21], list(SMPLX_52.groups["hands"])


def fidgeting(motion: Motion) -> Motion:
    """The motion with hands whose wrists and finger joints turn, each on its own, on a smooth course."""
    hands = with_hands(motion)
    joints = torch.from_numpy(hands.joints).double()
    rotations, root, offsets = solve_rotations(joints, SMPLX_52)
    time = np.linspace(0, len(motion) / 20, len(motion))[:, None, None]
    phase = np.random.default_rng(0).random((1, 32, 3))
    turns = Rotation.from_rotvec((0.4 * np.sin(2 * np.pi * (time + phase))).reshape(-1, 3)).as_quat(scalar_first=True)
    rotations[:, WRISTS + HANDS] = torch.from_numpy(turns.reshape(len(motion), 32, 4))
    moved = forward_kinematics(rotations, root, offsets, SMPLX_52).numpy()
    moved[:, HANDS] += np.repeat(hands.joints[:, WRISTS] - moved[:, WRISTS], 15, axis=1)
    return Motion(np.concatenate([hands.joints[:, :22], moved[:, HANDS]], axis=1), motion.fps, SMPLX_52, motion.text)


@pytest.fixture(scope="module")
def clips() -> list[Motion]:
    return [fidgeting(clip) for clip in CLIPS[:3]]


def test_whole_body_skeletons_are_the_body_and_amass_hands() -> None:
    for skeleton in (SMPLX_52, SMPLH_52):
        assert get_skeleton(skeleton.name) is skeleton
        assert skeleton.joint_names[:22] == HUMANML3D_22.joint_names
        assert skeleton.joint_names[22:25] == ("left_index1", "left_index2", "left_index3")
        assert [name[5:-1] for name in skeleton.joint_names[22:37:3]] == list(FINGERS) == ["index", "middle", "pinky", "ring", "thumb"]
        assert [skeleton.mirror[joint] for joint in (20, 22, 36, 15)] == [21, 37, 51, 15]
        for joint in range(22, 52):
            first = skeleton.joint_names[joint].endswith("1")
            assert skeleton.parents[joint] == ((20 if joint < 37 else 21) if first else joint - 1)
        np.testing.assert_allclose(skeleton.body_joints[:22], HUMANML3D_22.body_joints)
        np.testing.assert_allclose(np.linalg.norm(skeleton.body_offsets, axis=-1), skeleton.rest_lengths)
    hand = SMPLX_52.body_joints[22:37] - SMPLX_52.body_joints[20]
    tallest = dict(zip(FINGERS, hand.reshape(5, 3, 3)[:, 2, 0], strict=True))
    assert max(tallest, key=tallest.get) == "middle"
    assert hand.reshape(5, 3, 3)[4, :, 2].min() > 0, "thumbs point forward in a T-pose with the palms down"


@pytest.mark.parametrize("skeleton", [HUMANML3D_22, KIT_21, SMPLX_52, SMPLH_52], ids=lambda skeleton: skeleton.name)
def test_groups_share_out_the_joints(skeleton: Skeleton) -> None:
    groups = skeleton.groups
    everything = list(range(len(skeleton)))
    parts = [groups.get(name, ()) for name in ("torso", "head", "left_arm", "right_arm", "left_leg", "right_leg", "hands")]
    assert sorted(sum(parts, ())) == everything
    assert sorted(groups["upper_body"] + groups["lower_body"]) == everything
    assert sorted(groups["body"] + groups.get("hands", ())) == everything
    assert groups["arms"] == tuple(sorted(groups["left_arm"] + groups["right_arm"]))
    assert {skeleton.mirror[joint] for joint in groups["left_leg"]} == set(groups["right_leg"])
    assert ("left_hand" in groups) == (len(skeleton) == 52)


def test_groups_of_unknown_joints_are_left_out() -> None:
    assert Skeleton("stick", ("a", "b"), (-1, 0)).groups == {"torso": (0,), "body": (0, 1), "lower_body": (0,)}


def test_an_arm_takes_its_fingers_along_when_edited() -> None:
    assert set(SMPLX_52.body_parts["left_arm"]) == {16, 18, 20, *range(22, 37)}
    assert SMPLX_52.body_parts["left_hand"] == tuple(range(22, 37))
    assert "left_hand" not in HUMANML3D_22.body_parts


@pytest.mark.parametrize("clip", range(len(CLIPS)))
def test_relaxed_hands_hang_on_the_wrists_and_can_be_taken_off(clip: int) -> None:
    motion = CLIPS[clip]
    handed = with_hands(motion)
    assert (handed.skeleton, handed.text, handed.fps) == (SMPLX_52, motion.text, motion.fps)
    assert without_hands(handed) == motion
    assert with_hands(handed) == handed
    assert with_hands(handed, "smplh-52").skeleton is SMPLH_52
    hands = handed.joints[:, HANDS].reshape(-1, 2, 15, 3) - handed.joints[:, WRISTS, None]
    sizes = np.linalg.norm(hands, axis=-1)
    np.testing.assert_allclose(sizes, np.broadcast_to(sizes[0], sizes.shape), atol=1e-5)
    forearms = motion.joints[:, WRISTS] - motion.joints[:, [18, 19]]
    assert 0.5 < sizes.max() / np.median(np.linalg.norm(forearms, axis=-1)) < 0.7
    cosine = (hands[:, :, 3] * forearms).sum(-1) / np.linalg.norm(hands[:, :, 3], axis=-1) / np.linalg.norm(forearms, axis=-1)
    assert cosine.min() > 0.95, "a relaxed hand goes on where the forearm points"


def test_fingers_at_rest_bend_towards_the_palm() -> None:
    left, right = relaxed_hands().reshape(2, 5, 3, 3)
    np.testing.assert_allclose(left * [-1, 1, 1], right)
    assert (np.diff(left[:4, :, 1], axis=1) < -0.01).all()


def test_hands_need_a_known_body() -> None:
    with pytest.raises(ValueError, match="maps its joints"):
        with_hands(Motion(np.zeros((2, 21, 3)), skeleton=KIT_21))
    with pytest.raises(ValueError, match="smplh-52, smplx-52"):
        with_hands(CLIPS[0], "kit-21")
    with pytest.raises(ValueError, match="cannot be left out"):
        without_hands(Motion(np.zeros((2, 21, 3)), skeleton=KIT_21))


@pytest.mark.parametrize(
    "representation", [HumanTomatoRepresentation(fps=20), HumanML3DRepresentation("smplx-52", fps=20)], ids=("313", "623")
)
def test_whole_body_features_decode_to_the_joints(representation: HumanML3DRepresentation, clips: list[Motion]) -> None:
    assert representation.dim == (623 if "rotations" in representation.slices else 313)
    for clip in clips:
        joints = torch.from_numpy(clip.joints)
        expected = representation.canonicalize(joints)[:-1]
        decoded = representation.decode(representation.encode(joints, clip.fps))
        assert (decoded - expected).norm(dim=-1).max() < 1e-3


def test_the_papers_features_are_the_published_ones_without_rotations_and_contacts(clips: list[Motion]) -> None:
    paper, published = HumanTomatoRepresentation(fps=20), HumanML3DRepresentation("smplx-52", fps=20)
    assert [paper.slices[name] for name in ("root_height", "positions", "velocities")] == [slice(3, 4), slice(4, 157), slice(157, 313)]
    frames = min(map(len, clips))
    batch = torch.stack([torch.from_numpy(clip.joints[:frames]) for clip in clips])
    few, many = paper.encode(batch), published.encode(batch)
    assert (few.shape, many.shape) == ((3, frames - 1, 313), (3, frames - 1, 623))
    for name, part in paper.slices.items():
        torch.testing.assert_close(few[..., part], many[..., published.slices[name]])
    torch.testing.assert_close(few[1], paper.encode(batch[1]), atol=1e-5, rtol=1e-4)
    # What a body's features say does not change with hands that stay above the floor.
    body = HumanML3DRepresentation("humanml3d-22").encode(batch[..., :22, :])
    torch.testing.assert_close(body[..., 4:67], many[..., 4:67], atol=1e-4, rtol=1e-4)


def test_features_of_each_group() -> None:
    for representation, root, body, hands in (
        (HumanTomatoRepresentation(face_dim=50), 4, 129, 180),
        (HumanML3DRepresentation(), 4, 259, 0),
    ):
        groups = representation.groups
        assert sorted(sum(groups.values(), ())) == list(range(representation.dim))
        assert [len(groups.get(name, ())) for name in ("root", "body", "hands")] == [root, body, hands]
    groups = HumanTomatoRepresentation(face_dim=50).groups
    assert groups["face"] == tuple(range(313, 363))
    moved = torch.zeros(9, 52, 3)
    representation = HumanTomatoRepresentation(uniform_skeleton=False)
    still = torch.from_numpy(SMPLX_52.body_joints).float() + torch.tensor([0, 2.0, 0])
    moved = still.repeat(9, 1, 1)
    moved[:, HANDS] += torch.linspace(0, 0.1, 9)[:, None, None]
    changed = (representation.encode(moved) - representation.encode(still.repeat(9, 1, 1))).abs().amax(0) > 1e-6
    assert set(torch.nonzero(changed)[:, 0].tolist()) == set(representation.groups["hands"])


def test_faces_are_appended_or_apart(clips: list[Motion]) -> None:
    representation = HumanTomatoRepresentation(fps=20, face_dim=50)
    joints, face = clips[0].joints, np.random.default_rng(0).random((len(clips[0]), 50))
    features = representation.encode(joints, face=face)
    np.testing.assert_allclose(representation.decode_face(features), face[:-1], atol=1e-6)
    torch.testing.assert_close(representation.decode(features), HumanTomatoRepresentation(fps=20).decode(features[:, :313]))
    twice = representation.encode(joints, fps=40, face=face)
    np.testing.assert_allclose(representation.decode_face(twice), face[::2][: len(twice)], atol=1e-6)
    with pytest.raises(ValueError, match="got none"):
        representation.encode(joints)
    with pytest.raises(ValueError, match="`face_dim=`"):
        HumanTomatoRepresentation(fps=20).encode(joints, face=face)
    with pytest.raises(ValueError, match=r"\(\.\.\., frames, 50\)"):
        representation.encode(joints, face=face[:-1])
    with pytest.raises(ValueError, match="NaN"):
        representation.encode(joints, face=np.full_like(face, np.nan))
    with pytest.raises(ValueError, match="hold 0 coefficients"):
        HumanTomatoRepresentation().decode_face(features[:, :313])
    with pytest.raises(ValueError, match="face_dim"):
        HumanTomatoRepresentation(face_dim=-1)


@pytest.mark.parametrize("representation", ["humantomato", "humanml3d"])
def test_extractors_have_whole_bodies(representation: str, clips: list[Motion], tmp_path: Path) -> None:
    extractor = MotionFeatureExtractor(representation, "smplx-52", fps=20)
    extractor.save_pretrained(tmp_path)
    extractor = MotionFeatureExtractor.from_pretrained(tmp_path)
    batch = extractor(clips)
    motions = extractor.decode(batch["motion_features"], batch["attention_mask"])
    for motion, clip in zip(motions, clips, strict=True):
        assert (len(motion), motion.skeleton) == (len(clip) - 1, SMPLX_52)
        bones = motion.joints[:, 1:] - motion.joints[:, list(SMPLX_52.parents[1:])]
        np.testing.assert_allclose(np.linalg.norm(bones, axis=-1), np.tile(SMPLX_52.rest_lengths[1:], (len(motion), 1)), atol=1e-5)
        raw = extractor.features.canonicalize(torch.from_numpy(clip.joints))[:-1].numpy()
        fingers = [
            hand.joints[:, HANDS].reshape(-1, 2, 15, 3) - hand.joints[:, WRISTS, None] for hand in (motion, Motion(raw, 20, SMPLX_52))
        ]
        assert np.linalg.norm(fingers[0] - fingers[1], axis=-1).mean() < 0.01, "hands keep their poses"


def test_hands_on_the_body_already_stay() -> None:
    generator = torch.Generator().manual_seed(0)
    quaternions = torch.nn.functional.normalize(
        torch.tensor([1.0, 0, 0, 0]) + 0.15 * torch.randn(30, 52, 4, generator=generator), dim=-1
    ).double()
    joints = forward_kinematics(quaternions, torch.zeros(30, 3).double(), torch.from_numpy(SMPLX_52.body_offsets), SMPLX_52)
    placed = fixed_bones(joints, SMPLX_52)
    assert (placed - joints).norm(dim=-1)[:, HANDS].max() < 0.005
    one = fixed_bones(joints[7], SMPLX_52)
    assert torch.equal(one, placed[7])
    nothing = fixed_bones(torch.zeros(2, 52, 3).double(), SMPLX_52)
    assert torch.isfinite(nothing).all()


def test_fingers_are_solved_from_a_flat_hand(clips: list[Motion]) -> None:
    for clip in clips:
        joints = torch.from_numpy(clip.joints).double()
        rotations, root, offsets = solve_rotations(joints, SMPLX_52)
        found = forward_kinematics(rotations, root, offsets, SMPLX_52)
        miss = (found - joints)[:, HANDS].reshape(-1, 2, 15, 3) - (found - joints)[:, WRISTS, None]
        assert miss.norm(dim=-1).max() < 1e-3
        cosine = torch.nn.functional.cosine_similarity(offsets[0, HANDS], torch.from_numpy(SMPLX_52.body_offsets)[HANDS], dim=-1)
        assert cosine.min() > 0.99, "knuckles and fingers rest in the skeleton's T-pose"


def test_wrists_and_fingers_turn_as_they_were_turned() -> None:
    """A wrist that rolls by 80 degrees and a finger that bends by 60, and nothing else."""
    rotations = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).repeat(40, 52, 1)
    share = np.sin(np.linspace(0, 3, 40))[:, None]
    middle = SMPLX_52.joint("right_middle2")
    for joint, axis in ((20, [np.radians(80), 0, 0]), (middle, [0, 0, np.radians(60)])):
        rotations[:, joint] = torch.from_numpy(Rotation.from_rotvec(share * axis).as_quat(scalar_first=True))
    joints = forward_kinematics(rotations, torch.zeros(40, 3).double(), torch.from_numpy(SMPLX_52.body_offsets), SMPLX_52)
    found, _, _ = solve_rotations(joints, SMPLX_52, torch.from_numpy(SMPLX_52.body_offsets))
    angles = torch.rad2deg(2 * torch.acos((found * rotations).sum(-1).abs().clamp(max=1)))
    assert angles[:, [20, middle]].max() < 0.1
    assert angles.max() < 1


def test_long_clips_are_solved_in_a_moment() -> None:
    clip = CLIPS[0].joints
    joints = torch.from_numpy(with_hands(Motion(np.concatenate([clip] * 10)[:196])).joints)
    times = []
    for _ in range(5):
        start = time.process_time()
        solve_rotations(joints, SMPLX_52)
        times.append(time.process_time() - start)
    assert min(times) < 0.12 * max(1, torch.get_num_threads())


def test_fingers_are_drawn_in_proportion(clips: list[Motion], tmp_path: Path) -> None:
    whole, body = build_figure(clips[0]), build_figure(without_hands(clips[0]))
    assert whole.starts.shape[1] == body.starts.shape[1] + 40, "30 bones and 10 tips"
    assert bone_radii(clips[0])[1] == pytest.approx(bone_radii(without_hands(clips[0]))[1]), "hands do not make a body thicker"
    thin = (whole.radii < 0.7 * body.radii.min()).any(axis=1)
    assert thin.sum() == 40
    np.testing.assert_array_equal(whole.starts[:, -1], body.starts[:, -1])
    tips = with_finger_tips(clips[0])
    assert with_finger_tips(without_hands(clips[0])).skeleton is HUMANML3D_22
    assert (len(tips.skeleton), tips.skeleton.parents[-1]) == (62, 51)
    player = clips[0].save(tmp_path / "a.html").read_text()
    packed = json.loads(re.search(r'"bones":(\[\[.*?\]\])', player)[1])
    assert len(packed) == 61
    assert clips[0].save(tmp_path / "a.png").stat().st_size > 1000


def hands_of(motion: Motion, change: str) -> np.ndarray:
    """Faults put into hands."""
    joints = motion.joints.copy()
    if change == "finger_jump":
        joints[10, SMPLX_52.joint("left_index3")] += 0.15
    elif change == "frozen_hands":
        joints = with_hands(without_hands(motion)).joints
    elif change == "backward_fingers":
        for side in ("left", "right"):
            for finger in FINGERS[:4]:
                one, two, three = (SMPLX_52.joint(f"{side}_{finger}{number}") for number in (1, 2, 3))
                across = joints[:, SMPLX_52.joint(f"{side}_pinky1")] - joints[:, SMPLX_52.joint(f"{side}_index1")]
                turn = Rotation.from_rotvec(across / np.linalg.norm(across, axis=-1, keepdims=True) * (-1.2 if side == "left" else 1.2))
                size = np.linalg.norm(joints[:, three] - joints[:, two], axis=-1, keepdims=True)
                bone = joints[:, two] - joints[:, one]
                joints[:, three] = joints[:, two] + turn.apply(bone / np.linalg.norm(bone, axis=-1, keepdims=True)) * size
    return joints


@pytest.mark.parametrize("change", [None, "finger_jump", "frozen_hands", "backward_fingers"])
def test_faults_of_hands_are_found(change: str | None, tmp_path: Path) -> None:
    clip = CLIPS[2]
    relaxed = with_hands(clip).joints
    share = 0.15 * np.sin(np.linspace(0, 6, len(clip)))[:, None, None]
    joints = relaxed.copy()
    joints[:, HANDS] += share * (np.repeat(relaxed[:, WRISTS], 15, axis=1) - relaxed[:, HANDS])
    joints = hands_of(Motion(joints, 20, SMPLX_52), change) if change else joints
    row = {"id": "a", "fps": 20.0, "n_frames": len(joints), "skeleton": "smplx-52", "joints": joints.ravel().astype(np.float32)}
    row["captions"] = [{"text": "a person waves", "pos_tagged": None, "f_tag": 0.0, "to_tag": 0.0, "origin": ""}]
    pd.DataFrame([row]).to_parquet(tmp_path / "rows.parquet")
    report = check_dataset(str(tmp_path / "rows.parquet"), show_progress=False)
    assert set(report.counts) & {"finger_jump", "frozen_hands", "backward_fingers"} == ({change} if change else set())
    page = save_report(report, tmp_path / "report.html").read_text()
    assert "Fastest finger" in page


def test_the_extractor_takes_and_gives_faces(tmp_path):
    rng = np.random.default_rng(0)
    motions = [with_hands(clip[:frames]) for clip, frames in zip(CLIPS, (30, 21), strict=False)]
    motions = [replace(motion, face=Face(rng.normal(size=(len(motion), 53)), "flame-53")) for motion in motions]
    extractor = MotionFeatureExtractor("humantomato", "smplx-52", face_dim=50, fps=20)
    batch = extractor(motions)
    assert batch["motion_features"].shape == (2, len(motions[0]) - 1, 363)
    alone = extractor([motions[1]])["motion_features"][0]
    torch.testing.assert_close(batch["motion_features"][1, : len(alone)], alone)
    for back, motion in zip(extractor.decode(batch["motion_features"], batch["attention_mask"]), motions, strict=True):
        assert (back.face.kind, len(back.face)) == ("flame-50", len(back))
        np.testing.assert_allclose(back.face.coefficients, motion.face.coefficients[:-1, :50], atol=1e-6)
    extractor.save_pretrained(tmp_path)
    again = MotionFeatureExtractor.from_pretrained(tmp_path)
    assert (again.face_dim, again.dim, extractor.without_statistics().dim) == (50, 363, 363)
    with pytest.raises(ValueError, match="hold a face of flame-50, and the motion has none"):
        extractor([replace(motions[0], face=None)])
    with pytest.raises(ValueError, match="has no 'expression_0'"):
        extractor([replace(motions[0], face=motions[0].face.select(["jaw_x"]))])
    for arguments in (("humantomato", 7), ("humanml3d", 50)):
        with pytest.raises(ValueError, match="face_dim must be 0, or with representation 'humantomato' one of 52, 61, 50"):
            MotionFeatureExtractor(arguments[0], "smplx-52", face_dim=arguments[1])


def test_statistics_per_group_are_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    frames, faces = rng.normal(size=(200, 623)) * np.linspace(0.5, 3, 623), rng.normal(2, 3, size=(200, 53))
    counted, seen = RunningStatistics(), RunningStatistics()
    counted.update(frames)
    seen.update(faces)
    save_statistics(tmp_path / "statistics.safetensors", counted, "smplx-52", faces={"flame-53": seen})
    whole = HumanML3DRepresentation("smplx-52")
    groups, plain = load_statistics(tmp_path, "groups"), load_statistics(tmp_path)
    std = frames.std(axis=0)
    for name, part in whole.slices.items():
        for group in ("root", "body", "hands"):
            both = sorted(set(range(part.start, part.stop)) & set(whole.groups[group]))
            if both:
                np.testing.assert_allclose(np.array(groups.std)[both], std[both].mean(), err_msg=f"{name} of {group}")
        np.testing.assert_allclose(np.array(plain.std)[part], std[part].mean())
    with_face = load_statistics(tmp_path, "groups", representation="humantomato", face_dim=50)
    part = HumanTomatoRepresentation(face_dim=50)
    assert len(with_face.mean) == part.dim == 363
    for name in ("root_rotation", "positions", "velocities"):
        np.testing.assert_array_equal(np.array(with_face.std)[part.slices[name]], np.array(groups.std)[whole.slices[name]])
        np.testing.assert_array_equal(np.array(with_face.mean)[part.slices[name]], np.array(groups.mean)[whole.slices[name]])
    np.testing.assert_allclose(np.array(with_face.mean)[313:], faces.mean(axis=0)[:50])
    np.testing.assert_allclose(np.array(with_face.std)[313:], faces.std(axis=0)[:50].mean())
    MotionFeatureExtractor("humantomato", "smplx-52", face_dim=50, mean=with_face.mean, std=with_face.std)
    with pytest.raises(ValueError, match=r"no statistics of a face of 52 coefficients; it holds \['flame-53'\]"):
        load_statistics(tmp_path, representation="humantomato", face_dim=52)
    with pytest.raises(ValueError, match="with faces of humantomato"):
        load_statistics(tmp_path, face_dim=50)
