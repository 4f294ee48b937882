"""Exact edits of real clips: what was asked for is measured again, everything else stays."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from tiny import FIXTURES

from hf_motion import Motion
from hf_motion.canonical import face_forward, start_at_origin, uniform_skeleton
from hf_motion.corrections import Change, NotApplicable, edit_motion, measure_change, mirror_change
from hf_motion.data.motion_text import mirror_motion
from hf_motion.floor import level_floor
from hf_motion.skeletons import HUMANML3D_22 as BODY

WALK, WAVE, STAND, RAISE = "walk_masculine_015", "wave-left-hand_active_021", "idle_012", "raise-up-left-hand_feminine"


@cache
def clip(name: str) -> Motion:
    for row in pd.read_parquet(FIXTURES / "evaluation_clips.parquet").itertuples():
        if name in row.id:
            motion = Motion(np.asarray(row.joints, np.float32).reshape(row.n_frames, 22, 3), 20, text=row.captions[0]["text"])
            return face_forward(start_at_origin(level_floor(uniform_skeleton(motion))))
    raise KeyError(name)


def at(motion: Motion, name: str) -> np.ndarray:
    return motion.joints[:, BODY.joint(name)].astype(float)


def lengths(motion: Motion) -> np.ndarray:
    return np.stack([np.linalg.norm(motion.joints[:, joint] - motion.joints[:, parent], axis=-1) for parent, joint in BODY.bones], axis=-1)


def moved(edit: Motion, source: Motion) -> set[str]:
    return {BODY.joint_names[joint] for joint in np.flatnonzero(np.abs(edit.joints - source.joints).max((0, 2)) > 2e-4)}


def angle(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    cosine = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def bend(motion: Motion, *names: str) -> np.ndarray:
    first, second, third = (at(motion, name) for name in names)
    return angle(second - first, third - second)


def test_hands_go_up_and_nothing_else_moves() -> None:
    source = clip(WALK)
    edit = edit_motion(source, Change("left arm", "height", "up", 0.15, "m"))
    np.testing.assert_allclose(at(edit.motion, "left_wrist")[:, 1] - at(source, "left_wrist")[:, 1], 0.15, atol=1e-3)
    assert moved(edit.motion, source) == {"left_elbow", "left_wrist"}
    assert edit.change == Change("left arm", "height", "up", 0.15, "m")
    assert edit.motion.text == source.text


@pytest.mark.parametrize(
    ("kind", "direction", "axis", "sign"), [("width", "out", 0, 1), ("reach", "forward", 2, 1), ("reach", "backward", 2, -1)]
)
def test_hands_go_along_the_axes_of_the_body(kind: str, direction: str, axis: int, sign: int) -> None:
    source = clip(STAND)
    edit = edit_motion(source, Change("left arm", kind, direction, 0.1, "m"))
    way = at(edit.motion, "left_wrist") - at(source, "left_wrist")
    across = at(source, "left_hip") - at(source, "right_hip") + at(source, "left_shoulder") - at(source, "right_shoulder")
    across[:, 1] = 0
    left = across / np.linalg.norm(across, axis=-1, keepdims=True)
    axes = {0: left, 2: np.cross(left, [0, 1, 0])}
    np.testing.assert_allclose((way * axes[axis]).sum(-1), sign * 0.1, atol=1e-3)


def test_a_span_comes_and_goes_softly() -> None:
    source = clip(STAND)
    edit = edit_motion(source, Change("both arms", "height", "up", 0.15, "m"), span=(20, 60))
    rise = at(edit.motion, "right_wrist")[:, 1] - at(source, "right_wrist")[:, 1]
    assert edit.span == (20, 60)
    assert np.abs(rise[:20]).max() < 1e-3
    assert np.abs(rise[60:]).max() < 1e-3
    np.testing.assert_allclose(rise[30:50], 0.15, atol=1e-3)
    assert np.abs(np.diff(rise)).max() < 0.04


def test_elbows_and_knees_bend_by_degrees() -> None:
    source = clip(WALK)
    edit = edit_motion(source, Change("right arm", "bend", "more", 30, "deg")).motion
    names = ("right_shoulder", "right_elbow", "right_wrist")
    np.testing.assert_allclose(bend(edit, *names) - bend(source, *names), 30, atol=0.1)
    assert moved(edit, source) == {"right_elbow", "right_wrist"}
    edit = edit_motion(source, Change("both legs", "bend", "more", 20, "deg")).motion
    legs = [(f"{side}_hip", f"{side}_knee", f"{side}_ankle") for side in ("left", "right")]
    assert np.mean([bend(edit, *leg) - bend(source, *leg) for leg in legs]) == pytest.approx(20, abs=0.1)
    assert not moved(edit, source) & {"left_ankle", "right_ankle", "left_foot", "right_foot"}
    sunk = at(source, "pelvis")[:, 1] - at(edit, "pelvis")[:, 1]
    assert sunk.min() == pytest.approx(sunk.max(), abs=1e-4)
    assert sunk.min() > 0.01


@pytest.mark.parametrize(("direction", "factor"), [("more", 1.25), ("less", 0.7)])
def test_steps_scale_and_feet_do_not_slide(direction: str, factor: float) -> None:
    source = clip(WALK)
    edit = edit_motion(source, Change("both legs", "stride", direction, factor, "ratio"))
    reached = edit.change.amount
    assert abs(reached - 1) >= 0.6 * abs(factor - 1)
    way = [at(motion, "pelvis")[-1] - at(motion, "pelvis")[0] for motion in (source, edit.motion)]
    assert np.hypot(*way[1][[0, 2]]) / np.hypot(*way[0][[0, 2]]) == pytest.approx(reached, abs=5e-3)
    axis = way[0] / np.linalg.norm(way[0])
    for side in ("left", "right"):
        speeds = [np.linalg.norm(np.diff(at(motion, f"{side}_foot"), axis=0), axis=-1) for motion in (source, edit.motion)]
        stands = speeds[0] < 0.01
        assert stands.sum() > 5
        assert speeds[1][stands].max() < 0.015
        runs = np.split(np.flatnonzero(stands), np.flatnonzero(np.diff(np.flatnonzero(stands)) > 3) + 1)
        middles = [run[len(run) // 2] for run in runs if len(run) > 2]
        if len(middles) > 1:
            steps = [np.diff(at(motion, f"{side}_ankle")[middles] @ axis) for motion in (source, edit.motion)]
            np.testing.assert_allclose(steps[1] / steps[0], reached, atol=0.06)


def test_feet_are_lifted_and_stand_where_they_stood() -> None:
    source = clip(WALK)
    edit = edit_motion(source, Change("right leg", "height", "up", 0.08, "m"))
    rise = at(edit.motion, "right_ankle")[:, 1] - at(source, "right_ankle")[:, 1]
    assert rise.max() == pytest.approx(edit.change.amount, abs=1e-3)
    assert (rise < 1e-3).sum() > 10
    assert moved(edit.motion, source) == {"right_knee", "right_ankle", "right_foot"}


def test_speed_scales_time() -> None:
    source = clip(WALK)
    edit = edit_motion(source, Change("whole body", "speed", "slower", 0.8, "ratio"))
    assert (len(source) - 1) / (len(edit.motion) - 1) == pytest.approx(edit.change.amount)
    np.testing.assert_allclose(edit.motion.joints[[0, -1]], source.joints[[0, -1]], atol=1e-3)
    pace = [np.linalg.norm(np.diff(at(motion, "pelvis"), axis=0), axis=-1).mean() for motion in (source, edit.motion)]
    assert pace[1] / pace[0] == pytest.approx(edit.change.amount, rel=0.03)
    np.testing.assert_allclose(lengths(edit.motion).mean(0), lengths(source).mean(0), atol=1e-3)


def test_torso_and_head_turn_and_lean() -> None:
    source = clip(STAND)
    trunk = [
        at(motion, "neck") - at(motion, "pelvis")
        for motion in (source, edit_motion(source, Change("torso", "lean", "forward", 20, "deg")).motion)
    ]
    np.testing.assert_allclose(angle(*trunk), 20, atol=1.0)
    assert (trunk[1] - trunk[0])[:, 2].mean() > 0.1
    edit = edit_motion(source, Change("torso", "turn", "left", 30, "deg")).motion
    lines = [(at(motion, "left_shoulder") - at(motion, "right_shoulder"))[:, [0, 2]] for motion in (source, edit)]
    np.testing.assert_allclose(angle(*lines), 30, atol=0.1)
    assert not moved(edit, source) & {"pelvis", "left_hip", "left_foot", "right_knee"}
    edit = edit_motion(source, Change("head", "lean", "left", 15, "deg")).motion
    assert moved(edit, source) == {"head"}
    assert (at(edit, "head") - at(source, "head"))[:, 0].min() > 0.01


def test_swings_scale_about_their_mean() -> None:
    source = clip(WALK)
    for direction, factor in (("more", 1.5), ("less", 0.5)):
        edit = edit_motion(source, Change("left arm", "amplitude", direction, factor, "ratio"))
        spreads = []
        for motion in (source, edit.motion):
            arm = at(motion, "left_wrist") - at(motion, "left_shoulder")
            arm /= np.linalg.norm(arm, axis=-1, keepdims=True)
            spreads.append(np.sqrt((angle(arm, np.broadcast_to(arm.mean(0), arm.shape)) ** 2).mean()))
        assert spreads[1] / spreads[0] == pytest.approx(edit.change.amount, rel=0.15)
        assert measure_change(source, edit.motion, edit.change) == pytest.approx(edit.change.amount, abs=1e-3)
        assert moved(edit.motion, source) == {"left_elbow", "left_wrist"}


def test_an_arm_comes_later() -> None:
    frame = np.arange(90)
    source = clip(STAND)
    source = Motion(np.repeat(source.joints[:1], 90, axis=0), 20)
    raised = edit_motion(source, Change("left arm", "height", "up", 0.3, "m"), span=(35, 55)).motion
    edit = edit_motion(raised, Change("left arm", "timing", "later", 0.25, "s"))
    tops = [at(motion, "left_wrist")[:, 1] for motion in (raised, edit.motion)]
    centres = [((top - top.min()) * frame).sum() / (top - top.min()).sum() for top in tops]
    assert centres[1] - centres[0] == pytest.approx(5, abs=0.3)
    assert moved(edit.motion, raised) == {"left_elbow", "left_wrist"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (WALK, Change("left arm", "height", "up", 0.15, "m")), (WALK, Change("right arm", "amplitude", "less", 0.6, "ratio")),
        (WALK, Change("both legs", "stride", "more", 1.15, "ratio")), (WALK, Change("left leg", "height", "up", 0.08, "m")),
        (STAND, Change("torso", "lean", "left", 10, "deg")), (STAND, Change("torso", "turn", "right", 20, "deg")),
        (STAND, Change("right arm", "bend", "more", 20, "deg")), (WALK, Change("both legs", "bend", "more", 15, "deg")),
    ],
)  # fmt: skip
def test_mirrored_edits_are_edits_of_mirrored_clips(name: str, change: Change) -> None:
    edit = edit_motion(clip(name), change)
    mirrored = edit_motion(mirror_motion(clip(name)), mirror_change(change))
    np.testing.assert_allclose(mirror_motion(edit.motion).joints, mirrored.motion.joints, atol=2e-4)
    assert edit.change.amount == pytest.approx(mirrored.change.amount, rel=1e-3)
    np.testing.assert_allclose(lengths(edit.motion), lengths(clip(name)), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (STAND, Change("both legs", "stride", "more"), "the clip goes nowhere"),
        (STAND, Change("left leg", "height", "up"), "the foot stays on the floor"),
        (STAND, Change("left arm", "timing", "later"), "the arm hardly moves"),
        (STAND, Change("left arm", "height", "down", 0.3, "m"), "a hand cannot go further down"),
        (STAND, Change("both legs", "bend", "less", 30, "deg"), "the legs are straight already"),
        (STAND, Change("left arm", "action", None), "there is no exact edit"),
        (WALK, Change("whole body", "speed", "slower", 0.05, "ratio"), "the clip would be too long"),
    ],
)
def test_refuses_what_has_no_meaning(name: str, change: Change, reason: str) -> None:
    with pytest.raises(NotApplicable, match=reason) as error:
        edit_motion(clip(name), change, max_frames=196)
    assert error.value.reason.startswith(reason[:20])


def test_hands_that_are_up_cannot_be_higher() -> None:
    source = clip(STAND)
    up = source.joints.copy()
    for joint, height in ((18, 0.25), (20, 0.5)):
        up[:, joint] = up[:, 16] + [0, height, 0]
    with pytest.raises(NotApplicable, match="a hand cannot go further up"):
        edit_motion(Motion(up, 20), Change("left arm", "height", "up", 0.2, "m"))


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="span must be frames from 0 to 73"):
        edit_motion(clip(WALK), Change("left arm", "height", "up"), span=(5, 500))
    with pytest.raises(ValueError, match="is in 'm', got 'deg'"):
        edit_motion(clip(WALK), Change("left arm", "height", "up", 3, "deg"))
    with pytest.raises(ValueError, match="must have as many"):
        measure_change(clip(WALK), clip(WALK)[:40], Change("left arm", "height", "up"))
    with pytest.raises(ValueError, match="kit-21"):
        edit_motion(Motion(np.zeros((20, 21, 3)), 20, "kit-21"), Change("left arm", "height", "up"))
