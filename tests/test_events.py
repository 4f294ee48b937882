"""Events and judges: on a stick figure that does one thing at a time, on real clips, and the held-out wordings that they judge."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import CAPTIONS, FIXTURES

from hf_motion import Motion
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.metrics import events, judges
from hf_motion.skeletons import HUMANML3D_22, KIT_21

_SPEC = importlib.util.spec_from_file_location("wordings", Path(__file__).parent / "benchmarks" / "wordings.py")
wordings = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(wordings)

JOINT = HUMANML3D_22.joint
TIME = np.linspace(0, 1, 61)[:, None]


def standing(frames: int = 61) -> np.ndarray:
    pose = np.zeros((22, 3))
    for parent, joint in HUMANML3D_22.bones:
        pose[joint] = pose[parent] + HUMANML3D_22.rest_offsets[joint]
    pose[:, 1] -= pose[:, 1].min()
    return np.tile(pose, (frames, 1, 1))


def spun(joints: np.ndarray, degrees: np.ndarray, axis: str) -> np.ndarray:
    """Turned about the pelvis: `"y"` to the left, `"x"` forward, `"z"` to the right."""
    angle = np.radians(degrees).reshape(-1, 1)
    one, two = {"y": (2, 0), "x": (1, 2), "z": (1, 0)}[axis]
    offset = joints - joints[:, :1]
    turned = offset.copy()
    turned[..., one] = offset[..., one] * np.cos(angle) - offset[..., two] * np.sin(angle)
    turned[..., two] = offset[..., one] * np.sin(angle) + offset[..., two] * np.cos(angle)
    return turned + joints[:, :1]


def moved(metres: np.ndarray, axis: int = 2, joints: np.ndarray | None = None) -> np.ndarray:
    joints = standing() if joints is None else joints
    joints[..., axis] += metres
    return joints


def bump(peak: float = 0.5, width: float = 0.2) -> np.ndarray:
    return np.exp(-(((TIME - peak) / width) ** 2))


def arm(side: str, outward: np.ndarray, up: np.ndarray, forward: np.ndarray, joints: np.ndarray | None = None) -> np.ndarray:
    """A straight arm along a direction, (frames, 1) each."""
    joints = standing() if joints is None else joints
    sign = 1 if side == "left" else -1
    aim = np.concatenate(np.broadcast_arrays(sign * outward, up, forward), axis=-1) + np.zeros((len(joints), 3))
    aim /= np.linalg.norm(aim, axis=-1, keepdims=True)
    joints[:, JOINT(f"{side}_elbow")] = joints[:, JOINT(f"{side}_shoulder")] + 0.26 * aim
    joints[:, JOINT(f"{side}_wrist")] = joints[:, JOINT(f"{side}_shoulder")] + 0.53 * aim
    return joints


def hands_up() -> np.ndarray:
    return arm("left", 0 * TIME, 1 + 0 * TIME, 0 * TIME, arm("right", 0 * TIME, 1 + 0 * TIME, 0 * TIME))


def leg(side: str, degrees: np.ndarray) -> np.ndarray:
    """A straight leg swung to the front."""
    joints = standing()
    chain = [JOINT(f"{side}_{part}") for part in ("knee", "ankle", "foot")]
    hip = joints[:, [JOINT(f"{side}_hip")]]
    offset, angle = joints[:, chain] - hip, np.radians(degrees).reshape(-1, 1)
    swung = offset.copy()
    swung[..., 1] = offset[..., 1] * np.cos(angle) + offset[..., 2] * np.sin(angle)
    swung[..., 2] = offset[..., 2] * np.cos(angle) - offset[..., 1] * np.sin(angle)
    joints[:, chain] = swung + hip
    return joints


def crouched(drop: np.ndarray) -> np.ndarray:
    """The pelvis and all above it lowered by metres (frames, 1), knees bent forward over feet that stay."""
    joints = standing()
    legs = {JOINT(f"{side}_{part}") for side in events.SIDES for part in ("knee", "ankle", "foot")}
    joints[:, [joint for joint in range(22) if joint not in legs], 1] -= drop
    for side in events.SIDES:
        hip, knee, ankle = (JOINT(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
        joints[:, knee] = (joints[:, hip] + joints[:, ankle]) / 2
        half = (joints[:, hip, 1] - joints[:, ankle, 1]) / 2
        joints[:, knee, 2] += np.sqrt((0.41**2 - half**2).clip(0))
    return joints


def bent(degrees: np.ndarray) -> np.ndarray:
    """All but the legs turned forward about the pelvis."""
    joints = standing()
    above = [joint for joint, name in enumerate(HUMANML3D_22.joint_names) if not name.endswith(("hip", "knee", "ankle", "foot"))]
    joints[:, above] = spun(joints, degrees, "x")[:, above]
    return joints


def hop(height: float, way: float = 0.0) -> np.ndarray:
    return moved(way * TIME.clip(0.4, 0.6), joints=moved(height * bump(width=0.08), axis=1))


FIGURES: dict[str, tuple[np.ndarray, set[str]]] = {
    "stands": (standing(), {"stands_still"}),
    "walks": (moved(3 * TIME), {"walks"}),
    "walks backward": (moved(-3 * TIME), {"walks backward"}),
    "walks, turning left": (moved(3 * TIME, joints=spun(standing(), 50 * TIME, "y")), {"walks", "walks left turn"}),
    "runs": (moved(9 * TIME), {"runs"}),
    "walks and stops": (moved(3 * TIME.clip(max=0.6)), {"walks", "stops"}),
    "runs and stops": (moved(8 * TIME.clip(max=0.7)), {"runs", "stops run"}),
    "raises the left arm sideways": (arm("left", bump(), 1 - 2 * TIME.clip(0.1, 0.9), 0 * TIME), {"raises left", "arm left side"}),
    "raises the right arm in front": (arm("right", 0 * TIME, bump() - 1, bump()), {"raises right", "arm right front"}),
    "waves the right hand": (arm("right", 0.5 + 0.5 * np.sin(30 * TIME), 1 + 0 * TIME, 0 * TIME), {"raises right", "waves", "waves right"}),
    "bows": (bent(50 * bump()), {"bows"}),
    "squats": (crouched(0.4 * bump()), {"squats", "sit, stand"}),
    "sits down": (crouched(0.4 * TIME), {"sits_down"}),
    "stands up": (crouched(0.4 * (1 - TIME)), {"stands_up"}),
    "jumps": (hop(0.3), {"jumps", "jumps high", "jumps up"}),
    "jumps forward": (hop(0.15, 6.0), {"jumps", "jumps forward"}),
    "flips backward": (moved(1.0 * bump(), axis=1, joints=spun(standing(), -360 * TIME, "x")), {"flips"}),
    "turns a cartwheel": (spun(hands_up(), 360 * TIME, "z"), {"cartwheels"}),
    "kicks with the right leg": (leg("right", 80 * bump(width=0.06)), {"kicks", "kicks right"}),
    "lifts the left leg slowly": (leg("left", 60 * bump(width=0.3)), {"leg left"}),
    "punches with the right hand": (
        arm("right", 0 * TIME, bump(width=0.05) - 1, bump(width=0.05)),
        {"punches", "punches right", "raises right", "arm right front"},
    ),
}
JUDGES: dict[str, Callable[[Motion], bool]] = {
    "stands_still": judges.stands_still,
    "walks": judges.walks,
    "walks backward": lambda m: judges.walks(m, direction="backward"),
    "walks left turn": lambda m: judges.walks(m, turn="left"),
    "runs": judges.runs,
    "stops": judges.stops,
    "stops run": lambda m: judges.stops(m, gait="run"),
    "raises left": lambda m: judges.raises_hands(m, side="left"),
    "raises right": lambda m: judges.raises_hands(m, side="right"),
    "raises both": lambda m: judges.raises_hands(m, side="both"),
    "arm left side": lambda m: judges.raises_arm(m, side="left", direction="side"),
    "arm right front": lambda m: judges.raises_arm(m, side="right", direction="front"),
    "waves": judges.waves,
    "waves right": lambda m: judges.waves(m, side="right"),
    "bows": judges.bows,
    "squats": judges.squats,
    "sit, stand": lambda m: judges.stands_up(m, first="sit"),
    "sits_down": judges.sits_down,
    "stands_up": judges.stands_up,
    "jumps": judges.jumps,
    "jumps high": lambda m: judges.jumps(m, height=0.25),
    "jumps up": lambda m: judges.jumps(m, direction="up"),
    "jumps forward": lambda m: judges.jumps(m, direction="forward"),
    "flips": judges.flips,
    "cartwheels": judges.cartwheels,
    "kicks": judges.kicks,
    "kicks right": lambda m: judges.kicks(m, side="right"),
    "leg left": lambda m: judges.raises_leg(m, side="left"),
    "punches": judges.punches,
    "punches right": lambda m: judges.punches(m, side="right"),
    "lunges": lambda m: judges.lunges(m, side="left"),
    "steps over": lambda m: judges.steps_over(m, side="left"),
    "dances": judges.dances,
    "jumping_jacks": judges.jumping_jacks,
    "climbs": judges.climbs,
}


def accepted(motion: Motion) -> set[str]:
    return {name for name, judge in JUDGES.items() if judge(motion)}


class TestJudges:
    @pytest.mark.parametrize("name", FIGURES)
    def test_a_stick_figure_shows_what_it_does_and_nothing_else(self, name: str):
        joints, shown = FIGURES[name]
        assert accepted(Motion(joints, fps=20)) == shown

    @pytest.mark.parametrize("name", FIGURES)
    def test_size_frame_rate_place_and_heading_do_not_matter(self, name: str):
        joints, shown = FIGURES[name]
        doubled = Motion(joints, fps=20).resample(40).joints
        cosine, sine = np.cos(2.3), np.sin(2.3)
        other = doubled * 0.6
        other[..., [0, 2]] = other[..., [0, 2]] @ np.array([[cosine, -sine], [sine, cosine]]) + [3, -2]
        assert accepted(Motion(other, fps=40)) == shown

    def test_real_clips(self):
        rows = load_motion_rows(str(FIXTURES / "clips.parquet"))
        seen = {row["id"]: accepted(read_row(row, "humanml3d-22")[0]) for row in rows}
        assert "raises left" in seen["bnr_dataset-2_raise-up-left-hand_normal_001"]
        assert "walks left turn" in seen["bnr_dataset-2_walk-turn-left_normal_001"]
        assert {"waves", "waves right"} <= seen["bnr_dataset-2_wave-right-hand_active_002"]
        assert "cartwheels" in seen["cmu_49_06"]
        assert "jumps" in seen["cmuact_train_jumping_1_c0"]
        assert seen["idle_009_acted_c6"] == {"stands_still"}
        assert seen["cmuact_test_walking_6_c0"] == {"walks"}

    def test_one_frame_is_judged(self):
        assert accepted(Motion(standing(1))) <= {"stands_still"}

    def test_a_wrong_option_names_those_there_are(self):
        with pytest.raises(ValueError, match="side must be one of 'left', 'right', 'any', got 'both'"):
            judges.kicks(Motion(standing()), side="both")

    def test_another_skeleton_is_refused(self):
        with pytest.raises(ValueError, match="has no joint 'neck'"):
            judges.bows(Motion(np.zeros((20, 21, 3)), skeleton=KIT_21))


class TestEvents:
    def test_travel_and_turn(self):
        motion = Motion(moved(1.5 * TIME, axis=0, joints=moved(3 * TIME)))
        forward, left = np.array(events.travel(motion)) * events.leg_length(motion)
        assert (forward, left) == pytest.approx((3, 1.5), abs=1e-4)
        assert events.turn(Motion(spun(standing(), -540 * TIME, "y"))) == pytest.approx(-540, abs=0.01)

    def test_speed_is_per_second(self):
        motion = Motion(moved(3 * TIME), fps=30)
        assert events.speed(motion) * events.leg_length(motion) == pytest.approx(1.5, rel=1e-4)

    def test_somersaults_have_a_direction(self):
        assert events.rotations(Motion(spun(standing(), 360 * TIME, "x")))[0] == pytest.approx(360, abs=0.1)
        assert events.rotations(Motion(spun(standing(), -360 * TIME, "x")))[0] == pytest.approx(-360, abs=0.1)
        assert events.rotations(Motion(spun(standing(), 360 * TIME, "z"))) == pytest.approx((0, 360), abs=1)

    def test_jumps_are_counted_and_measured(self):
        motion = Motion(moved(0.2 * bump(0.3, 0.05) + 0.4 * bump(0.7, 0.05), axis=1))
        assert events.jumps(motion) * events.leg_length(motion) == pytest.approx([0.2, 0.4], abs=0.01)

    @pytest.mark.parametrize(
        ("series", "count"), [([0, 1], 0), ([0, 1, 0], 1), ([1, 0, 0.1, 0, 1], 1), ([0.5] * 4, 0), ([0, 1, 0, 1, 0], 3)]
    )
    def test_swings(self, series: list[float], count: int):
        assert events.swings(np.array(series), 0.2) == count

    def test_arms_and_knees(self):
        assert events.arm_direction(Motion(arm("left", 1 + 0 * TIME, 0 * TIME, 0 * TIME)), "left") == pytest.approx(90, abs=0.1)
        assert events.arm_direction(Motion(arm("right", 0 * TIME, 0 * TIME, 1 + 0 * TIME)), "right") == pytest.approx(0, abs=0.1)
        assert events.wrist_height(Motion(arm("left", 0 * TIME, 1 + 0 * TIME, 0 * TIME)), "left") == pytest.approx(1, abs=0.05)
        assert events.knee_bend(Motion(crouched(0.4 * TIME)), "left")[-1] == pytest.approx(120, abs=5)


class TestWordings:
    actions = wordings.load_actions()
    texts = [text for action in actions for text in action["wordings"]]

    def test_there_are_enough_and_all_are_different(self):
        assert len(self.texts) >= 100
        assert len({text.lower() for text in self.texts}) == len(self.texts)

    def test_none_is_a_caption(self):
        known = {caption.lower().rstrip(".") for caption in CAPTIONS + [action["training"] for action in self.actions]}
        assert not [text for text in self.texts if text.lower().rstrip(".") in known]

    def test_none_was_trained_on(self):
        files = sorted((Path(__file__).parents[1] / "training" / "paraphrases").glob("*.yaml"))
        lines = {line.strip(" -'\"").lower().rstrip(".") for file in files for line in file.read_text(encoding="utf-8").splitlines()}
        assert files
        assert not [text for text in self.texts if text.lower().rstrip(".") in lines]

    def test_every_action_is_complete_and_judged(self):
        for action in self.actions:
            assert set(action) - {"with"} == {"action", "seconds", "judge", "training", "real", "unclear", "wordings"}
            assert 2 <= action["seconds"] <= 9.5
            assert wordings.judge_of(action)(Motion(standing())) == (action["action"] == "stand idle"), action["action"]
