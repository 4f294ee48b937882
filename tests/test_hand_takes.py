"""Recordings of hands alone, and bodies that get them: real hands, real captioned bodies, together a composite."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from hf_motion import Motion
from hf_motion.cli import app
from hf_motion.data.build import BuildSettings, build_dataset
from hf_motion.data.check import check_dataset
from hf_motion.data.check_hands import measure_hands
from hf_motion.data.composite import attach_hands, take_of_clip, takes_of_split
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.data.sources import SourceOptions
from hf_motion.formats.hand_takes import SIDES, HandTake, find_hand_takes, read_hand_take
from hf_motion.hands import finger_bends, with_hands
from hf_motion.skeletons import SMPLX_52

FIXTURES = Path(__file__).parent / "fixtures"
HANDS = FIXTURES / "hands"
CLIPS = [read_row(row, "humanml3d-22")[0] for row in load_motion_rows(str(FIXTURES / "clips.parquet"))]


@pytest.fixture(scope="module")
def takes() -> dict[str, HandTake]:
    return {name: read_hand_take(files, name=name, fps=20) for name, files in find_hand_takes(HANDS).items()}


def test_real_hands_of_both_kinds(takes: dict[str, HandTake]) -> None:
    assert list(takes) == ["grab", "mug1"]
    assert [len(take) for take in takes.values()] == [10, 8]
    assert (set(takes["mug1"].hands), set(takes["grab"].hands)) == ({"left", "right"}, {"right"})
    assert (takes["mug1"].wrists_recorded, takes["grab"].wrists_recorded) == (True, False)
    for take in takes.values():
        for side, joints in take.hands.items():
            assert joints.shape == (len(take), 16, 3)
            fingers = joints[:, 1:].reshape(-1, 5, 3, 3) - joints[:, None, :1]
            reach = np.linalg.norm(fingers, axis=-1)
            assert 0.06 < np.median(reach[:, 1, 0]) < 0.14, "a palm"
            lengths = np.linalg.norm(np.diff(fingers, axis=2), axis=-1)
            assert ((lengths > 0.012) & (lengths < 0.065)).all(), "bones of fingers"
            assert np.degrees(finger_bends(joints[:, 1:], side)).min() > -10, "no finger bends back"


def test_left_handed_axes_are_told_by_the_fingers(caplog: pytest.LogCaptureFixture) -> None:
    """ManipNet's files come out of Unity, whose axes are left-handed; read as they are, every finger bends backward."""
    read_hand_take(HANDS / "mug1")
    assert "axes are left-handed; x is turned round" in caplog.text
    caplog.clear()
    read_hand_take(HANDS / "grab.json.gz")
    assert not caplog.text


def test_recordings_at_their_own_rate_and_unpacked(tmp_path: Path) -> None:
    assert read_hand_take(HANDS / "mug1").fps == pytest.approx(120, abs=0.01)
    assert read_hand_take(HANDS / "grab.json.gz").fps == pytest.approx(108.6, abs=0.1)
    (tmp_path / "mug").mkdir()
    (tmp_path / "mug/leftHand.bvh").write_bytes(gzip.decompress((HANDS / "mug1/leftHand.bvh.gz").read_bytes()))
    take = read_hand_take(tmp_path / "mug")
    np.testing.assert_array_equal(take.hands["left"], read_hand_take(HANDS / "mug1").hands["left"])
    assert find_hand_takes(tmp_path) == {"mug": (tmp_path / "mug/leftHand.bvh",)}


def leap(path: Path, change: str) -> Path:
    content = json.loads(gzip.decompress((HANDS / "grab.json.gz").read_bytes()))
    if change == "no frames":
        content = {"name": "package"}
    elif change == "no hands":
        content["frames"] = [{**frame, "hands": []} for frame in content["frames"]]
    elif change == "four fingers":
        content["frames"] = [{**frame, "pointables": frame["pointables"][:4]} for frame in content["frames"]]
    elif change == "words":
        content["frames"][3]["timestamp"] = "noon"
    elif change == "a gap":
        content["frames"][20]["hands"] = []
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [("no frames", "leapjs-playback"), ("no hands", "five whole fingers"), ("four fingers", "five whole fingers"), ("words", "a.json")],
)
def test_bad_recordings_are_named(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read_hand_take(leap(tmp_path / "a.json", change))
    assert "a.json" in str(error.value)


def test_of_a_recording_with_gaps_the_longest_stretch_is_read(tmp_path: Path) -> None:
    whole, part = (read_hand_take(leap(tmp_path / f"{name}.json", name), fps=100) for name in ("whole", "a gap"))
    assert len(part) / len(whole) == pytest.approx(28 / 49, abs=0.05)


def test_bvh_hands_that_cannot_be(tmp_path: Path) -> None:
    text = gzip.decompress((HANDS / "mug1/leftHand.bvh.gz").read_bytes()).decode()
    for name, content, message in (
        ("other", text.replace("INDEX_PIP_FE", "FINGER_X"), "15 of 15 joints of the left hand"), ("short", text[:3000], "leftHand.bvh"),
        ("empty", "", "leftHand.bvh"),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "leftHand.bvh").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_hand_take(tmp_path / name)
    same = tmp_path / "same"
    same.mkdir()
    for side in ("left", "right"):
        shutil.copy(HANDS / "mug1/leftHand.bvh.gz", same / f"{side}Hand.bvh.gz")
    with pytest.raises(ValueError, match="both files of the same hand"):
        read_hand_take(same)
    with pytest.raises(ValueError, match=r"holds none of leftHand\.bvh"):
        read_hand_take(tmp_path)
    with pytest.raises(FileNotFoundError, match="No recording of hands"):
        read_hand_take(tmp_path / "none")


@pytest.mark.parametrize("name", ["mug1", "grab"])
def test_hands_are_attached_as_they_were_recorded(name: str, takes: dict[str, HandTake]) -> None:
    take, body = takes[name], CLIPS[2]
    made = attach_hands(body, take)
    joints = made.motion.joints
    assert (made.motion.skeleton, made.take, made.motion.text) == (SMPLX_52, name, body.text)
    np.testing.assert_array_equal(joints[:, :22], body.joints)
    forearm = np.median(np.linalg.norm(body.joints[:, 20] - body.joints[:, 18], axis=-1))
    for side, wrist in (("left", 20), ("right", 21)):
        hand = joints[:, list(SMPLX_52.groups[f"{side}_hand"])]
        assert np.degrees(finger_bends(hand, side)).min() > -10
        reach = np.linalg.norm(hand - joints[:, [wrist]], axis=-1)
        assert 0.25 < np.median(reach[:, 3]) / forearm < 0.5
        source = take.hands.get({"left": "right", "right": "left"}[side] if made.mirrored else side, next(iter(take.hands.values())))
        was = np.linalg.norm(source[:, None, 1:] - source[:, 1:, None], axis=-1)
        now = np.linalg.norm(hand[:, None] - hand[:, :, None], axis=-1)
        scale = now.mean() / was.mean()
        first = round(made.start * 20)
        np.testing.assert_allclose(now[0], scale * was[first % len(was)], atol=0.02), "one pose, in another size"
    with pytest.raises(ValueError, match="read them with fps=20"):
        attach_hands(body, replace(take, fps=30.0))


def test_hands_begin_where_wrists_move_alike() -> None:
    """A take whose wrists are the body's own from frame 30 on, mirrored or not."""
    body = next(clip for clip in CLIPS if len(clip) >= 60)[:40]
    noise = np.random.default_rng(0).normal(0, 0.02, (120, 2, 3)).cumsum(axis=0)
    for mirrored in (False, True):
        wrists = noise.copy()
        wrists[30:70] = body.joints[:, [21, 20] if mirrored else [20, 21]]
        hand = {
            side: wrists[:, [index]] + SMPLX_52.body_joints[[20 + index, *SMPLX_52.groups[f"{side}_hand"]]]
            for index, side in enumerate(("left", "right"))
        }
        made = attach_hands(body, HandTake("a", body.fps, hand))
        assert (round(made.start * body.fps), made.mirrored) == (30, mirrored)


def test_no_recording_of_hands_is_in_two_splits() -> None:
    names = [f"take {number}" for number in range(8)]
    parts = [takes_of_split(names, split) for split in ("train", "val", "test")]
    assert sorted(name for part in parts for name in part) == names
    assert [len(part) for part in parts] == [6, 1, 1]
    assert takes_of_split(names[:2], "val") == takes_of_split(names[:2], "train")
    assert {take_of_clip(f"clip {number}", names) for number in range(60)} == set(names)


def test_a_composite_is_built_marked_and_checked(tmp_path: Path) -> None:
    hands = tmp_path / "hands"
    for name in ("one", "two"):
        shutil.copytree(HANDS / "mug1", hands / name)
    shutil.copy(HANDS / "grab.json.gz", hands / "three.json.gz")
    arguments = ["data", "build", str(FIXTURES / "clips.parquet"), "--output", str(tmp_path / "set"), "--hands", str(hands)]
    made = CliRunner().invoke(app, [*arguments, "--hands-license", "CC BY-NC"])
    assert made.exit_code == 0, made.output
    rows = pd.concat([pd.read_parquet(path) for path in sorted((tmp_path / "set/data").glob("*.parquet"))])
    before = pd.read_parquet(FIXTURES / "clips.parquet").set_index("id")
    assert len(rows) == len(before)
    assert rows["source"].str.fullmatch(r"composite: .* \+ hands (one|two|three)").all()
    assert rows["license"].str.fullmatch(r"body: .*; hands: CC BY-NC").all()
    assert set(rows["skeleton"]) == {"smplx-52"}
    used = rows.groupby(rows["source"].str.rpartition(" ")[2])["split"].agg(set)
    assert all(len(splits) == 1 for splits in used), "no hands in two splits"
    for row in rows.itertuples():
        joints = row.joints.reshape(row.n_frames, 52, 3)
        np.testing.assert_allclose(joints[:, :22], before.loc[row.id].joints.reshape(-1, 22, 3), atol=1e-5)
        assert all("(of the body; hands: " in record["origin"] for record in row.captions)
    card = (tmp_path / "set/README.md").read_text()
    assert "**Composite.**" in card
    report = check_dataset(str(tmp_path / "set"), show_progress=False)
    assert not set(report.counts) & {"backward_fingers", "frozen_hands", "finger_jump"}
    motion, _ = read_row(load_motion_rows(str(tmp_path / "set"), "train")[0], "smplx-52")
    assert isinstance(motion, Motion)
    bare = CliRunner().invoke(app, [*arguments[:4], str(tmp_path / "other"), "--hands", str(FIXTURES / "cases")])
    assert bare.exit_code != 0
    assert "no leftHand.bvh" in bare.output


def test_a_forearm_that_turns_fast_is_no_finger_that_jumps() -> None:
    joints = with_hands(CLIPS[0]).joints[:20].astype(float)
    calm = measure_hands(joints, 30, SMPLX_52)
    turned = joints.copy()
    for side in SIDES:
        hand, wrist = list(SMPLX_52.groups[f"{side}_hand"]), joints[:, [SMPLX_52.joint(f"{side}_wrist")]]
        turns = Rotation.from_rotvec(np.outer(np.arange(20), [0, 0, 3.0])).as_matrix()
        turned[:, hand] = wrist + (joints[:, hand] - wrist) @ turns.swapaxes(-1, -2)
    assert np.linalg.norm(np.diff(turned[:, 25] - turned[:, 20], axis=0), axis=-1).max() * 30 > 4
    assert measure_hands(turned, 30, SMPLX_52) == pytest.approx(calm, abs=1e-3)
    turned[10, SMPLX_52.joint("left_middle3")] += 0.3
    assert measure_hands(turned, 30, SMPLX_52)["finger_speed"] > 8
    assert measure_hands(turned, 30, SMPLX_52)["finger_leap"] > 0.2


def test_hands_alone_become_rows(takes: dict[str, HandTake], tmp_path: Path) -> None:
    report = build_dataset(HANDS, tmp_path / "set", SourceOptions(hands_license="CC BY-NC"), BuildSettings(show_progress=False))
    assert (report.layout, sum(report.clips.values())) == ("hands alone, on a body that stands still", 2)
    rows = {row["id"]: row for row in load_motion_rows(str(tmp_path / "set"))}
    row = rows["hands/mug1"]
    assert (row["skeleton"], row["license"], row["source"]) == ("smplx-52", "CC BY-NC", "hands alone: mug1 (left and right)")
    assert row["captions"][0]["text"] == "hands: mug1"
    for name, take in takes.items():
        joints = read_row(rows[f"hands/{name}"], "smplx-52")[0].joints
        assert len(joints) == len(take)
        assert np.ptp(joints[:, :22], axis=0).max() == 0
        assert joints[:, :, 1].min() == pytest.approx(0, abs=1e-5)
        for side in SIDES:
            fingers = joints[:, list(SMPLX_52.groups[f"{side}_hand"])]
            if side in take.hands:
                np.testing.assert_allclose(finger_bends(fingers, side), finger_bends(take.hands[side][:, 1:], side), atol=1e-4)
            else:
                assert np.ptp(fingers, axis=0).max() == 0
    with pytest.raises(ValueError, match="leave --skeleton out"):
        build_dataset(HANDS, tmp_path / "other", SourceOptions(skeleton="humanml3d-22"))
