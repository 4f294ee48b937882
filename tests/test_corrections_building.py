"""Building data sets of corrections, and editing by models."""

import json
import time
from collections import Counter
from pathlib import Path

import forks
import numpy as np
import pytest
from test_corrections_kinematic import STAND, WALK, clip
from tiny import FIXTURES, tiny_generator, tiny_pipeline
from typer.testing import CliRunner

from hf_motion import Motion
from hf_motion.cli import app
from hf_motion.corrections import (
    BuildRequest,
    Change,
    GenerateEditor,
    InpaintEditor,
    KinematicEditor,
    apply_instruction,
    build,
    edit_motion,
    load_instructions,
    load_triplets,
    measure_change,
    read_instruction,
)  # fmt: skip
from hf_motion.corrections.editing import combine
from hf_motion.corrections.filters import FilterSettings, fault
from hf_motion.skeletons import HUMANML3D_22 as BODY

CLIPS = FIXTURES / "evaluation_clips.parquet"


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["corrections", "build", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output + str(result.exception)
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corrections") / "made"
    request = BuildRequest(str(CLIPS), str(folder), count=36, seed=3, sheet=2, show_progress=False)
    record = build(request, KinematicEditor())
    assert record["triplets"] == 36
    return folder


def test_triplets_come_back(built: Path) -> None:
    triplets = load_triplets(built, "test")
    assert len(triplets) == 36
    assert len(triplets[:5]) == 5
    sentences = {sentence: one for one in load_instructions() for sentence in one.sentences}
    for one in triplets:
        assert one.editor == "kinematic"
        assert sentences[one.instruction].change == one.change.bare
        assert {one.instruction, *one.wordings} == set(sentences[one.instruction].sentences)
        assert one.source.text == one.caption
        assert (one.source.fps, one.target.fps, one.source.skeleton) == (20, 20, BODY)
        assert one.change.kind == "speed" or len(one.source) == len(one.target)
        assert read_instruction(one.instruction).change == one.change.bare
        np.testing.assert_allclose(one.source.joints[0, 0, [0, 2]], 0, atol=1e-5)
        if one.span == (0, len(one.target)) and one.change.kind not in ("timing", "amplitude"):
            assert measure_change(one.source, one.target, one.change) == pytest.approx(one.change.amount, rel=0.05, abs=0.01)
    assert len({one.change.kind for one in triplets}) >= 6
    assert max(Counter(one.source_id for one in triplets).values()) > 1


def test_card_report_and_sheet(built: Path) -> None:
    record = json.loads((built / "build.json").read_text())
    assert record["rows"] == {"test": 36}
    assert sum(record["changes"].values()) == sum(record["kinds"].values()) == 36
    assert record["refused"]
    card = (built / "README.md").read_text()
    assert "36 triplets" in card
    assert "data/test-*" in card
    assert (built / "pairs.png").stat().st_size > 10_000


def test_rows_depend_on_seed_and_number_alone(built: Path, tmp_path: Path) -> None:
    request = BuildRequest(str(CLIPS), str(tmp_path / "again"), count=10, seed=3, sheet=0, show_progress=False)
    build(request, KinematicEditor())
    first, second = (load_triplets(folder, "test").rows for folder in (built, tmp_path / "again"))
    assert first.select(range(10)).to_list() == second.to_list()
    with pytest.raises(ValueError, match=r"other settings \(seed\)"):
        build(BuildRequest(str(CLIPS), str(tmp_path / "again"), count=10, seed=4, sheet=0), KinematicEditor())


def test_goes_on_after_a_kill(built: Path, tmp_path: Path) -> None:
    request = BuildRequest(str(CLIPS), str(tmp_path / "made"), count=36, seed=3, sheet=0, show_progress=False)
    process = forks.start(build, request, KinematicEditor())
    while process.is_alive() and not (tmp_path / "made" / "work" / "000000.json").exists():
        time.sleep(0.02)
    forks.kill(process)
    assert not (tmp_path / "made" / "build.json").exists()
    before = (tmp_path / "made" / "work" / "000000.parquet").stat().st_mtime_ns
    build(request, KinematicEditor())
    assert (tmp_path / "made" / "work" / "000000.parquet").stat().st_mtime_ns == before
    assert load_triplets(tmp_path / "made", "test").rows.to_list() == load_triplets(built, "test").rows.to_list()


def test_held_out_instructions_stay_in_their_split(tmp_path: Path) -> None:
    output = run(CLIPS, "-o", tmp_path / "made", "--count", 6, "--held-out-instructions", "--sheet", 0, "--kind", "lean", "--kind", "bend")
    assert "6 triplets (test 6)" in output
    assert {row["instruction_split"] for row in load_triplets(tmp_path / "made", "test").rows} == {"test"}


def test_refusals(tmp_path: Path) -> None:
    assert "--model and --option are for" in run(CLIPS, "-o", tmp_path / "x", "--model", "m", code=1)
    assert "--judge needs --min-gain" in run(CLIPS, "-o", tmp_path / "x", "--judge", "m", code=1)
    assert "Unknown kinds ['size']" in run(CLIPS, "-o", tmp_path / "x", "--kind", "size", code=1)
    assert "Is the split right?" in run(CLIPS, "-o", tmp_path / "x", "--split", "train", code=1)
    assert "No instruction is left" in run(CLIPS, "-o", tmp_path / "y", "--kind", "action", code=1)
    with pytest.raises(FileNotFoundError, match="holds no triplets of split 'train'"):
        load_triplets(tmp_path, "train")
    with pytest.raises(ValueError, match="lacks the columns"):
        load_triplets(CLIPS)


def test_generating_takes_the_masked_joints_alone() -> None:
    source, pipe = clip(STAND)[:40], tiny_pipeline(steps=2)
    made = apply_instruction(source, "Raise your left hand higher.", GenerateEditor(pipe), seed=1)
    changed = np.flatnonzero(np.abs(made.joints - source.joints).max((0, 2)) > 1e-4)
    assert {BODY.joint_names[joint] for joint in changed} == {"left_shoulder", "left_elbow", "left_wrist"}
    again = apply_instruction(source, "Raise your left hand higher.", GenerateEditor(pipe), seed=1)
    np.testing.assert_array_equal(made.joints, again.joints)


def test_a_lower_body_that_is_made_takes_the_upper_body_along() -> None:
    source, walk = clip(STAND)[:60], clip(WALK)[:60]
    mixed = combine(source, walk, ["lower_body"])
    legs = [motion.joints[:, 7] - motion.joints[:, 0] for motion in (walk, mixed)]
    assert np.linalg.norm(mixed.joints[-1, 0] - mixed.joints[0, 0]) > 0.5
    np.testing.assert_allclose(np.linalg.norm(legs[0], axis=-1), np.linalg.norm(legs[1], axis=-1), atol=2e-3)
    arms = [motion.joints[:, 20] - motion.joints[:, 16] for motion in (source, mixed)]
    np.testing.assert_allclose(arms[0][:, 1], arms[1][:, 1], atol=2e-3)
    same = combine(walk, walk, ["upper_body"])
    np.testing.assert_allclose(same.joints, walk.joints, atol=1e-4)
    with pytest.raises(ValueError, match="must have as many"):
        combine(source, walk[:50], ["head"])
    with pytest.raises(ValueError, match="Unknown body part 'tail'"):
        combine(source, walk, ["tail"])


def test_editors_and_what_they_cannot_do() -> None:
    source, pipe = clip(STAND)[:40], tiny_pipeline(steps=2)
    painted = apply_instruction(source, "Wave with your right hand.", pipe, seed=0)
    changed = np.flatnonzero(np.abs(painted.joints - source.joints).max((0, 2)) > 1e-4)
    assert set(changed) <= set(BODY.body_parts["upper_body"])
    assert len(changed) > 5
    assert painted.text == source.text
    exact = apply_instruction(source, "Lean forward more.", KinematicEditor())
    assert measure_change(source, exact, Change("torso", "lean", "forward")) == pytest.approx(15, abs=0.1)
    with pytest.raises(ValueError, match=r"names no part of the body.*mask="):
        apply_instruction(source, "Do it better.", pipe)
    with pytest.raises(ValueError, match="does not name one change"):
        apply_instruction(source, "Do it better.", KinematicEditor())
    with pytest.raises(ValueError, match="Cut it"):
        apply_instruction(clip(STAND), "Raise your left hand higher.", pipe)
    with pytest.raises(ValueError, match="needs an MDM"):
        InpaintEditor(tiny_generator("t2m-gpt"))
    with pytest.raises(ValueError, match="makes no motion"):
        apply_instruction(source, "Raise your left hand higher.", "mdm")


def test_data_edited_by_a_model(tmp_path: Path) -> None:
    tiny_pipeline(steps=2, max_frames=73).save_pretrained(tmp_path / "model")
    filters = FilterSettings(max_sink=9, max_jerk=9, max_slide=99, max_rest=9)
    pipe = tiny_pipeline(steps=2, max_frames=73)
    record = build(
        BuildRequest(str(CLIPS), str(tmp_path / "made"), count=4, kinds=("action",), filters=filters, sheet=0, show_progress=False),
        GenerateEditor(pipe, "tiny"),
    )
    assert record["editors"] == {"generate": 4}
    (one, *_) = load_triplets(tmp_path / "made", "test")
    assert one.change.kind == "action"
    assert one.change.amount is None


def test_faults_are_found() -> None:
    source, change = clip(WALK), Change("left arm", "height", "up")
    good = edit_motion(source, change).motion
    check = {"change": change, "mask": ("left_arm",), "exact": False}
    assert fault(source, good, **check) is None
    assert fault(source, source, **check) == "changes too little"
    assert fault(good, source, **check) == "goes the other way"
    other = edit_motion(good, Change("right arm", "bend", "more", 60, "deg")).motion
    assert fault(source, other, **check) == "other parts move"
    shaken = good.joints + np.random.default_rng(0).normal(0, 0.08, good.joints.shape)
    assert fault(source, Motion(shaken.clip(0), 20), **check) == "jerks"
    assert fault(source, Motion(good.joints - [0, 0.2, 0], 20), **check) == "below the floor"
    action = Change("left arm", "action", None)
    assert fault(source, source, action, ("left_arm",), False) == "the part hardly moves"
