"""Controls: what is asked of a motion, and that it is hit."""

import json

import numpy as np
import pytest
import torch
from tiny import seeded, tiny_pipeline

from hf_motion import MDMPipeline, Motion, MotionControl, MotionFeatureExtractor, load_embedded_pipeline
from hf_motion.alignment import headings
from hf_motion.checkpoints import EMBEDDED
from hf_motion.pipelines.control import compile_control
from hf_motion.pipelines.steering import in_world, plant_feet
from hf_motion.skeletons import HUMANML3D_22

POSE = HUMANML3D_22.body_joints + np.array([0, 0.95, 0])


def ignorant_pipeline() -> MDMPipeline:
    """A model that knows nothing but what people look like on average: the constraint alone has to do it."""
    pipe = tiny_pipeline()
    known = MotionFeatureExtractor.from_pretrained(EMBEDDED / "feature_extractor")
    pipe.feature_extractor = MotionFeatureExtractor(mean=known.mean, std=[0.1 * value for value in known.std], max_frames=40)
    return pipe


def compiled(frames: int = 41, **control):
    return compile_control(MotionControl(**control), frames, 20.0, HUMANML3D_22)


def test_paths_are_passed_at_even_speed_or_at_their_times() -> None:
    even = compiled(path=[(0, 0), (0, 1), (1, 1)])
    assert even.asked[:, 0].tolist() == [[True, False, True]] * 41
    np.testing.assert_allclose(even.places[[0, 10, 20, 30, 40], 0][:, [0, 2]], [[0, 0], [0, 0.5], [0, 1], [0.5, 1], [1, 1]], atol=1e-9)
    timed = compiled(path=[(0.5, 0, 0), (1.5, 2, 0)])
    assert timed.asked[:, 0, 0].nonzero()[0].tolist() == list(range(10, 31))
    np.testing.assert_allclose(timed.places[20, 0], [1, 0, 0])


def test_points_headings_and_poses_stand_at_their_frames() -> None:
    targets = compiled(waypoints=[(1, 2, 3)], facing=[(2, 90)], joints={"left_wrist": [(0.5, 1, 2, 3)]}, keyframes=[(1.5, POSE)])
    assert targets.places[20, 0].tolist() == [2, 0, 3]
    assert targets.heading[40] == pytest.approx(np.pi / 2)
    assert targets.places[10, 20].tolist() == [1, 2, 3]
    assert targets.asked[30].all()
    assert targets.heading[30] == pytest.approx(0, abs=1e-9)
    missed = np.zeros((41, 22, 3))
    assert sorted(targets.errors(missed))[-1] == pytest.approx(np.sqrt(14))
    assert len(targets.errors(missed)) == 24


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ({}, "asks for nothing"), ({"path": [(0, 0)]}, "path has 1 points"), ({"path": [(0, 0), (0, 0)]}, "does not go anywhere"),
        ({"path": [(1, 0, 0), (0.5, 1, 1)]}, "goes back in time"),
        ({"waypoints": [(9, 0, 0)]}, "asks for 9 s; the motion goes from 0 to 2 s"),
        ({"waypoints": [(-1, 0, 0)]}, "asks for -1 s"), ({"waypoints": [(1, float("nan"), 0)]}, "expected 3 finite numbers"),
        ({"waypoints": [(1, 0, 0), (1.01, 2, 2)]}, r"second place of 'pelvis' at 1.01 s \(frame 20\)"),
        ({"facing": [(1, 0), (1, 90)]}, "second heading at 1 s"), ({"joints": {"tail": [(0, 0, 0, 0)]}}, "no joint 'tail' .* left_wrist"),
        ({"joints": {"head": [(0, 0, 0)]}}, "expected 4 finite numbers"), ({"keyframes": [(1, np.zeros((3, 3)))]}, r"shape \(3, 3\)"),
        ({"keyframes": [(1, POSE * np.nan)]}, "holds NaN"), ({"keyframes": [POSE]}, "expected .seconds, pose."),
        ({"path": [(0, 0, 0), (3, 0, 1)]}, "path asks for 3 s; the motion goes from 0 to 2 s"),
        ({"path": [(0, 0), (float("nan"), 1)]}, "path holds .*nan.*; expected 2 finite numbers"),
        ({"facing": [(2.1, 0)]}, "facing asks for 2.1 s"), ({"facing": [(1, float("inf"))]}, "expected 2 finite numbers"),
        ({"joints": {"head": [(5, 0, 1, 0)]}}, r"joints\['head'\] asks for 5 s"),
        ({"joints": {"head": [(1, 0, 1, float("nan"))]}}, r"joints\['head'\] holds .*nan.*; expected 4 finite numbers"),
        ({"joints": {"head": [(1, 0, 1, 0), (1, 0, 2, 0)]}}, r"joints\['head'\] asks for a second place of 'head' at 1 s"),
        ({"keyframes": [(1, POSE), (1, POSE)]}, "keyframes asks for a second place of 'pelvis' at 1 s"),
        ({"path": [(0, 0), (0, 1)], "waypoints": [(1, 0, 5)]}, "waypoints asks for a second place of 'pelvis' at 1 s"),
    ],
)  # fmt: skip
def test_wrong_controls_name_the_item(control, message) -> None:
    with pytest.raises(ValueError, match=message):
        compiled(**control)


def test_faster_than_a_person_is_said(caplog) -> None:
    compiled(waypoints=[(0, 0, 0), (1, 0, 30)])
    assert "sends 'pelvis' at 30.0 m/s after 0 s, faster than a person" in caplog.text
    compiled(joints={"right_wrist": [(1.0, 0, 0.4, 0), (1.05, 0, 1.4, 0)]})
    assert "sends 'right_wrist' at 20.0 m/s after 1 s" in caplog.text
    caplog.clear()
    compiled(keyframes=[(1, POSE)], waypoints=[(1.5, 0, 1)])  # of a point on the floor no height is asked
    assert not caplog.text


def test_controls_are_files_too(tmp_path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"waypoints": [[1, 0, 1]], "joints": {"head": [[0, 0, 1.6, 0]]}}))
    assert MotionControl.load(path).joints == {"head": [[0, 0, 1.6, 0]]}
    path.write_text(json.dumps({"waypoint": []}))
    with pytest.raises(ValueError, match=r"is not a control: A control has path, waypoints, .*; got 'waypoint'"):
        MotionControl.load(path)
    path.write_text("[1")
    with pytest.raises(ValueError, match=r"a.json' is not a control"):
        MotionControl.load(path)
    with pytest.raises(FileNotFoundError, match="No control"):
        MotionControl.load(tmp_path / "none.json")


CONTROLS = [
    MotionControl(path=[(1, 0), (1, 2), (3, 2)]),
    MotionControl(waypoints=[(1.0, 0.5, 1), (1.9, -1, 2)]),
    MotionControl(path=[(0, 0), (0, 1)], facing=[(0, 90), (1.9, 90)]),
    MotionControl(keyframes=[(1.0, POSE + np.array([1, 0, 1]))]),
    MotionControl(joints={"right_wrist": [(1.0, -0.4, 1.4, 0.3)], "left_ankle": [(1.5, 0.2, 0.3, 0.2)]}),
    MotionControl(joints={"head": [(1.0, 0.3, 1.2, 0.5)], "left_wrist": [(1.9, 3, 1.0, 3)]}),
]


@pytest.mark.parametrize("number", range(len(CONTROLS)))
def test_what_is_asked_is_hit(number) -> None:
    pipe, control = ignorant_pipeline(), CONTROLS[number]
    motion = pipe("a person walks", 40, control=control, generator=seeded()).motions[0]
    targets = compile_control(control, 40, 20.0, HUMANML3D_22)
    errors = targets.errors(motion.joints)
    assert errors.max() < (0.05 if number > 2 else 0.005), errors
    facing = np.flatnonzero(targets.turned)
    if number == 2:
        found = headings(motion.joints[facing].astype(float), HUMANML3D_22)
        assert np.abs(np.angle(np.exp(1j * (found - targets.heading[facing])))).max() < 1.0


def test_neighbours_in_a_batch_do_not_matter() -> None:
    pipe = ignorant_pipeline()
    alone = pipe("a person walks", 30, control=CONTROLS[0], generator=[seeded()]).motions[0]
    both = pipe(["a person walks", "a person runs"], [30, 40], control=[CONTROLS[0], CONTROLS[4]], generator=[seeded(), seeded()]).motions
    np.testing.assert_allclose(alone.joints, both[0].joints, atol=1e-4)
    with pytest.raises(ValueError, match="list of 1 for 2 prompts"):
        pipe(["a", "b"], 30, control=CONTROLS[:1])
    with pytest.raises(ValueError, match="leave motion= and control= out with loop=True"):
        pipe("a", control=CONTROLS[0], loop=True)
    with pytest.raises(ValueError, match="must be a MotionControl"):
        pipe("a", control={"path": []})


def walking_on_the_spot(frames: int = 40) -> Motion:
    joints = np.repeat(POSE[None], frames, axis=0)
    joints[:, 20, 1] += 0.3 * np.sin(np.arange(frames) / 5)
    return Motion(joints + np.array([2, 0, 1]), fps=20.0)


def test_what_is_kept_of_a_clip_goes_along_a_path() -> None:
    pipe, clip = ignorant_pipeline(), walking_on_the_spot()
    for body_part, joints in (("lower_body", {}), ("left_arm", {"left_wrist": [(1.0, 2.4, 1.3, 3.2)]})):
        control = MotionControl(path=[(2, 1), (2, 3), (3, 3)], joints=joints)
        motion = pipe("a person walks", motion=clip, body_part=body_part, control=control, generator=seeded()).motions[0]
        errors = compile_control(control, 40, 20.0, HUMANML3D_22).errors(motion.joints)
        assert errors.mean() < 0.01, errors
        # The arm that is kept swings as it did, from the shoulder that goes along.
        kept = clip.joints[:, 21] - clip.joints[:, 17], motion.joints[:, 21] - motion.joints[:, 17]
        np.testing.assert_allclose(*(np.linalg.norm(arm, axis=-1) for arm in kept), atol=2e-3)
        np.testing.assert_allclose(kept[1][..., 1], kept[0][..., 1], atol=0.02)


def test_kept_frames_stay_and_controls_rule_the_others() -> None:
    pipe, clip = ignorant_pipeline(), walking_on_the_spot()
    control = MotionControl(waypoints=[(1.9, 3, 2)], joints={"head": [(1.5, 2.6, 1.4, 1.6)]})
    motion = pipe("a person walks", motion=clip, keep_start=0.5, control=control, generator=seeded()).motions[0]
    np.testing.assert_allclose(motion.joints[:10], clip.joints[:10], atol=1e-3)
    assert compile_control(control, 40, 20.0, HUMANML3D_22).errors(motion.joints).max() < 0.03
    with pytest.raises(ValueError, match="control asks for 'pelvis' at 0 s, where motion= keeps it"):
        pipe("a", motion=clip, keep_start=0.5, control=CONTROLS[0])
    with pytest.raises(ValueError, match="control asks for 'left_wrist' at 1 s"):
        pipe("a", motion=clip, body_part="lower_body", control=MotionControl(joints={"left_wrist": [(1.0, 0, 1, 0)]}))


def test_feet_stand_while_the_body_is_led() -> None:
    frames = 40
    local = torch.from_numpy(POSE).float().expand(1, frames, -1, -1)
    root = torch.zeros(1, frames, 3)
    root[0, :, 2] = torch.linspace(0, 1, frames)
    stands = (torch.arange(frames) // 10 % 2 == 0).float()
    contacts = torch.stack((stands, stands, 1 - stands, 1 - stands), dim=-1)[None]
    going = (torch.arange(frames) < frames - 1)[None, :, None]
    moved = in_world(torch.zeros(1, frames), root, plant_feet(torch.zeros(1, frames), root, local, contacts, going, HUMANML3D_22))
    steps = (moved[0, 1:, [10, 11]] - moved[0, :-1, [10, 11]]).norm(dim=-1)
    assert float(steps[stands[:-1] > 0, 0].max()) < 0.2 / frames  # of 1 / 39 before
    assert float(steps[stands[:-1] == 0, 1].max()) < 0.2 / frames
    assert float((moved[0, :, [7, 8]] - moved[0, :, [10, 11]] - local[0, :, [7, 8]] + local[0, :, [10, 11]]).abs().max()) < 1e-5


def test_without_a_sentence_and_over_a_timeline() -> None:
    pipe = tiny_pipeline()
    motion = pipe(num_frames=30, control=CONTROLS[0], generator=seeded()).motions[0]
    assert motion.text is None
    motion = pipe(timeline="a person walks: 2; a person runs: 2", control=CONTROLS[0], generator=seeded()).motions[0]
    assert compile_control(CONTROLS[0], 80, 20.0, HUMANML3D_22).errors(motion.joints).max() < 0.005


def test_a_real_walk_follows_a_path_and_faces_along_it() -> None:
    pipe = load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    angle = np.linspace(0, np.pi / 2, 12)
    control = MotionControl(path=np.stack((2 * (1 - np.cos(angle)), 2 * np.sin(angle)), axis=-1).tolist())
    motion = pipe("a person walks forward", seconds=4, control=control, seed=0).motions[0]
    assert compile_control(control, 80, 20.0, HUMANML3D_22).errors(motion.joints).mean() < 0.025
    facing = headings(motion.joints[[10, -10]].astype(float), HUMANML3D_22)
    assert facing[1] - facing[0] == pytest.approx(np.pi / 2 * 60 / 79, abs=0.5)
