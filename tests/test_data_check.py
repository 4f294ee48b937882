"""Faults put into clips on purpose, and found again."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hf_motion import Motion
from hf_motion.cli import app
from hf_motion.data.check import KINDS, CheckReport, CheckSettings, check_dataset, measure, pose_hashes, wrong_side
from hf_motion.data.check_report import save_report, summary
from hf_motion.data.motion_text import mirror_motion
from hf_motion.skeletons import HUMANML3D_22 as SKELETON

CLIPS = Path(__file__).parent / "fixtures" / "clips.parquet"
JOINT = SKELETON.joint


def frame() -> pd.DataFrame:
    rows = pd.read_parquet(CLIPS)
    rows["joints"] = [joints.reshape(-1, 22, 3).astype(np.float64) for joints in rows["joints"]]
    return rows


def check(rows: pd.DataFrame, folder: Path, **settings) -> dict[str, list[str]]:
    """Ids by kind of finding."""
    rows = rows.assign(joints=[np.float32(joints).ravel() for joints in rows["joints"]])
    rows.to_parquet(folder / "rows.parquet")
    found: dict[str, list[str]] = {}
    report = check_dataset(str(folder / "rows.parquet"), settings=CheckSettings(**{"min_frames": 2, **settings}), show_progress=False)
    for finding in report.findings:
        found.setdefault(finding.kind, []).append(finding.id)
    assert list(report.counts) == [kind for kind in KINDS if kind in found]
    return found


def test_clean_clips_have_no_findings(tmp_path: Path):
    assert check(frame(), tmp_path) == {}


def leap(joints: np.ndarray) -> np.ndarray:
    joints[10, JOINT("left_wrist")] += (0, 0.6, 0)
    return joints


def fast(joints: np.ndarray) -> np.ndarray:
    joints[15:, :, 0] += 3
    return joints


def sink(joints: np.ndarray) -> np.ndarray:
    return joints - np.array([0, 0.05, 0])


def hang(joints: np.ndarray) -> np.ndarray:
    return joints + np.array([0, 0.2, 0])


def hover(joints: np.ndarray) -> np.ndarray:
    joints[3:, :, 1] += 0.5
    return joints


def slide(joints: np.ndarray) -> np.ndarray:
    return joints + np.linspace(0, 3, len(joints))[:, None, None] * np.array([0, 0, 1])


def flip_toe(joints: np.ndarray) -> np.ndarray:
    ankle, foot = JOINT("right_ankle"), JOINT("right_foot")
    joints[:, foot] = joints[:, ankle] - (joints[:, foot] - joints[:, ankle]) * (1, -1, 1)
    return joints


def stretch(joints: np.ndarray) -> np.ndarray:
    elbow, wrist = JOINT("left_elbow"), JOINT("left_wrist")
    joints[:, wrist] += (joints[:, wrist] - joints[:, elbow]) * np.linspace(0, 0.4, len(joints))[:, None]
    return joints


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("jump", leap), ("jump", fast), ("below_floor", sink), ("floating", hang), ("floating", hover), ("skating", slide),
        ("toes", flip_toe), ("bones", stretch),
    ],
)  # fmt: skip
def test_a_fault_is_found_in_its_clip_alone(kind: str, fault, tmp_path: Path):
    rows = frame()
    index = rows["id"].str.startswith("idle").idxmax()
    rows.at[index, "joints"] = fault(rows.at[index, "joints"].copy())
    found = check(rows, tmp_path)
    assert found[kind] == [rows.at[index, "id"]]
    assert {name for names in found.values() for name in names} == {rows.at[index, "id"]}


def test_feet_that_swing_back_in_a_run_are_not_flipped():
    rows = frame()
    measures = [measure(joints, 20, SKELETON)["toes"] for joints in rows["joints"]]
    assert max(measures) < 0.1
    lying = rows["joints"][0][..., [0, 2, 1]] * (1, 1, -1)
    assert measure(lying, 20, SKELETON)["toes"] == pytest.approx(measures[0], abs=0.02)


def test_rows_that_are_broken_or_alike(tmp_path: Path):
    rows = frame()
    rows.at[0, "joints"][4, 3, 1] = np.nan
    rows.loc[1, "n_frames"] = 7
    rows.at[2, "captions"] = []
    rows.at[3, "captions"] = [{"text": "twice"}, {"text": "twice "}]
    copy = rows.iloc[[4]].assign(id="copy", take="another", split="test")
    copy["joints"] = [rows.at[4, "joints"] + (3, 0, 1)]
    half = rows.iloc[[5]].assign(id="half", take="other", split="test", n_frames=40)
    half["joints"] = [rows.at[5, "joints"][20:60]]
    same_take = rows.iloc[[6]].assign(id="sub", split="val", n_frames=30)
    same_take["joints"] = [rows.at[6, "joints"][:30] * (1, 1.01, 1)]
    rows = pd.concat([rows, copy, half, same_take, rows.iloc[[7]]], ignore_index=True)
    found = check(rows, tmp_path)
    ids = rows["id"]
    assert (found["nan"], found["unreadable"], found["no_caption"], found["repeated_caption"]) == ([ids[0]], [ids[1]], [ids[2]], [ids[3]])
    assert found["duplicate_clip"] == ["copy"]
    assert found["duplicate_id"] == [ids[7]]
    assert found["overlap"] == ["half"]
    assert set(found["straddle"]) == {"copy", "half", "sub", ids[6]}


def test_lengths_are_counted_at_20_fps(tmp_path: Path):
    rows = frame().iloc[:3].copy()
    rows["fps"] = [20, 20, 5]
    lengths = rows["n_frames"].tolist()
    found = check(rows, tmp_path, min_frames=lengths[0] + 1, max_frames=4 * lengths[2])
    assert (found["short"], found["long"]) == ([rows["id"][0]], [rows["id"][2]])


def test_sides_in_words_against_the_motion():
    for row in frame().itertuples():
        texts = [caption["text"] for caption in row.captions]
        motion = Motion(row.joints, fps=20)
        assert wrong_side(texts, motion.joints, SKELETON) is None
        named = "left-hand" in row.id or "right-hand" in row.id
        mirrored = wrong_side(texts, mirror_motion(motion).joints, SKELETON)
        assert bool(mirrored) == (named or (mirrored is not None and "turns" in mirrored)), row.id
    turn = Motion(frame().set_index("id").loc["bnr_dataset-2_walk-turn-left_normal_001", "joints"])
    assert "to the left" in wrong_side(["someone turns right"], turn.joints, SKELETON)
    assert wrong_side(["turns left and then turns right"], turn.joints, SKELETON) is None


def test_pose_hashes_do_not_see_the_place_and_stay_the_same():
    joints = np.random.default_rng(0).normal(size=(5, 22, 3)).astype(np.float32).round(2)
    assert pose_hashes(joints) == pose_hashes(joints + np.float32([4, 0, -2]))
    assert len({*pose_hashes(joints), *pose_hashes(joints + np.float32([0, 0.01, 0]))}) == 10
    assert pose_hashes(np.zeros((1, 22, 3), np.float32)) == [0]


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    rows = frame()
    rows.at[0, "joints"] = sink(rows.at[0, "joints"])
    rows.loc[1, "id"] = "<script>&"
    rows.at[1, "joints"] = stretch(rows.at[1, "joints"].copy())
    rows["joints"] = [np.float32(joints).ravel() for joints in rows["joints"]]
    rows.to_parquet(tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def test_reports_in_three_formats(faulty: Path, tmp_path: Path):
    report = check_dataset(str(faulty), settings=CheckSettings(min_frames=2), show_progress=False)
    assert report.counts == {"below_floor": 1, "bones": 1}
    page = save_report(report, tmp_path / "report.html").read_text()
    assert page.count("<svg") == 6 + 2
    assert "&lt;script&gt;&amp;" in page
    assert "<script>" not in page.replace("&lt;script&gt;", "")
    assert "<!--" not in page
    assert "| bones | 1 |" in save_report(report, tmp_path / "report.md").read_text()
    content = json.loads(save_report(report, tmp_path / "report.json").read_text())
    assert content["findings"][0]["kind"] == "below_floor"
    assert content["counts"] == report.counts
    with pytest.raises(ValueError, match=r"Cannot write a report as '\.pdf'"):
        save_report(report, tmp_path / "report.pdf")
    assert "nothing found" in summary(CheckReport("empty"))


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["data", "check", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_command(faulty: Path, tmp_path: Path):
    output = run(faulty, "-o", tmp_path / "deep" / "report.html")
    assert "below_floor" in output
    assert (tmp_path / "deep" / "report.html").is_file()
    run(faulty, "--strict", code=1)
    run(CLIPS, "--strict", "--min-frames", 2)
    assert "Cannot write a report" in run(faulty, "-o", "report.docx", code=1)
    assert "no rows of split" in run(faulty, "--split", "dev", code=1)
    (tmp_path / "torn.parquet").write_bytes(faulty.read_bytes()[:-30])
    assert "not a readable parquet file" in run(tmp_path / "torn.parquet", code=1)
