"""Building data sets: shards, splits, statistics, resumption, failure."""

import json
import resource
import time
from pathlib import Path

import forks
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import load_dataset
from typer.testing import CliRunner

from hf_motion import MotionFeatureExtractor
from hf_motion.cli import app
from hf_motion.data.build import BuildSettings, build_dataset, push_dataset, split_of
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.data.sources import SourceOptions
from hf_motion.data.statistics import (
    CONVENTIONS,
    RunningStatistics,
    convention_std,
    load_statistics,
    merged,
    save_statistics,
)

CLIPS = Path(__file__).parent / "fixtures" / "clips.parquet"


def quiet(**settings) -> BuildSettings:
    return BuildSettings(show_progress=False, **settings)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def many(path: Path, count: int, **columns) -> Path:
    """Copies of the fixture clips under other names, without splits."""
    frame = pd.read_parquet(CLIPS).drop(columns=["split"])
    frame = pd.concat([frame] * -(-count // len(frame)), ignore_index=True).iloc[:count]
    frame["id"] = frame["take"] = [f"clip_{number:04d}" for number in range(count)]
    frame.assign(**columns).to_parquet(path)
    return path


def test_plain_load_dataset_reads_it_with_declared_columns(tmp_path: Path):
    output = run("build", CLIPS, "-o", tmp_path / "set", "--clips-per-shard", 3)
    assert "train 8, test 1 clips" in output
    assert [path.name for path in sorted((tmp_path / "set" / "data").iterdir())] == [
        "test-00000-of-00001.parquet", *(f"train-0000{number}-of-00003.parquet" for number in range(3)),
    ]  # fmt: skip
    sets = load_dataset(str(tmp_path / "set"))
    assert {name: len(rows) for name, rows in sets.items()} == {"train": 8, "test": 1}
    assert sets["train"].features["joints"].feature.dtype == sets["train"].features["fps"].dtype == "float32"
    frame = pd.read_parquet(CLIPS).set_index("id")
    for row in sets["train"]:
        np.testing.assert_array_equal(np.float32(row["joints"]), frame.loc[row["id"], "joints"])
        assert [caption["text"] for caption in row["captions"]] == [caption["text"] for caption in frame.loc[row["id"], "captions"]]
        assert row["features"] is None
    card = (tmp_path / "set" / "README.md").read_text()
    assert "path: data/train-*" in card
    assert "CC BY-NC 4.0" in card
    assert MotionTextDataset(load_motion_rows(str(tmp_path / "set"), "train"), MotionFeatureExtractor(), show_progress=False)


def test_the_same_build_again_does_nothing_and_another_is_refused(tmp_path: Path):
    first = build_dataset(CLIPS, tmp_path / "set", settings=quiet())
    before = contents(tmp_path / "set")
    assert build_dataset(CLIPS, tmp_path / "set", settings=quiet(num_proc=4)) == first
    assert contents(tmp_path / "set") == before
    with pytest.raises(ValueError, match="another data set"):
        build_dataset(CLIPS, tmp_path / "set", settings=quiet(min_frames=80))
    assert contents(tmp_path / "set") == before
    report = build_dataset(CLIPS, tmp_path / "set", settings=quiet(min_frames=80, overwrite=True))
    assert sum(report.clips.values()) == len(load_motion_rows(str(tmp_path / "set"))) == 9 - len(report.skipped) > 0
    assert all("fewer than 80" in skip.reason for skip in report.skipped)
    with pytest.raises(ValueError, match="within the source"):
        build_dataset(tmp_path / "set", tmp_path / "set" / "again", settings=quiet())


def test_several_processes_write_the_same_bytes(tmp_path: Path):
    source = many(tmp_path / "rows.parquet", 9)
    for processes in (1, 2):
        build_dataset(source, tmp_path / str(processes), settings=quiet(num_proc=processes, clips_per_shard=3))
    assert contents(tmp_path / "1") | {"README.md": b""} == contents(tmp_path / "2") | {"README.md": b""}


def test_splits_are_drawn_by_take_and_never_move(tmp_path: Path):
    takes = [f"take_{number // 3}" for number in range(60)]
    source = many(tmp_path / "rows.parquet", 60, take=takes)
    build_dataset(source, tmp_path / "set", settings=quiet(split_ratios=(0.5, 0.25, 0.25), seed=3))
    rows = load_motion_rows(str(tmp_path / "set"))
    splits = dict(zip(rows["take"], rows["split"], strict=True))
    assert all(splits[take] == split for take, split in zip(rows["take"], rows["split"], strict=True))
    assert splits == {take: split_of(take, (0.5, 0.25, 0.25), 3) for take in set(takes)}
    assert set(splits.values()) == {"train", "val", "test"}
    with pytest.raises(ValueError, match="sum to 1"):
        quiet(split_ratios=(0.5, 0.1, 0.1))


def test_given_split_files(tmp_path: Path):
    source = many(tmp_path / "rows.parquet", 6, take=["a", "a", "b", "b", "c", "d"])
    folder = tmp_path / "splits"
    folder.mkdir()
    (folder / "train.txt").write_text("a\nclip_0002\n")
    (folder / "test.txt").write_text("clip_0003\nc\n")
    with pytest.raises(ValueError, match=r"1 takes are in more than one split: b \(test and train\)"):
        build_dataset(source, tmp_path / "set", settings=quiet(split_files=folder))
    (folder / "test.txt").write_text("c\n")
    (folder / "train.txt").write_text("a\nb\n")
    report = build_dataset(source, tmp_path / "set", settings=quiet(split_files=folder))
    assert report.clips == {"train": 4, "test": 1}
    assert [skip.reason for skip in report.skipped] == ["it is in no split file"]
    (folder / "val.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"'a' is in train\.txt and in val\.txt"):
        build_dataset(source, tmp_path / "other", settings=quiet(split_files=folder))


def test_strict_stops_and_leaves_nothing(tmp_path: Path):
    frame = pd.read_parquet(CLIPS)
    frame.at[4, "joints"] = np.full_like(frame.at[4, "joints"], np.inf)
    frame.to_parquet(tmp_path / "rows.parquet")
    message = run("build", tmp_path / "rows.parquet", "-o", tmp_path / "set", "--strict", code=1)
    assert frame.loc[4, "id"] in message
    assert "NaN or infinity" in message
    assert not (tmp_path / "set" / "data").exists()
    output = run("build", tmp_path / "rows.parquet", "-o", tmp_path / "set")
    assert "1 left out" in output
    (line,) = (tmp_path / "set" / "skipped.jsonl").read_text().splitlines()
    assert frame.loc[4, "id"] in json.loads(line)["path"]


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path):
    frame = pd.read_parquet(CLIPS)
    frame["captions"] = [[] for _ in range(len(frame))]
    frame.to_parquet(tmp_path / "rows.parquet")
    assert "no caption" in run("build", tmp_path / "rows.parquet", "-o", tmp_path / "set", code=1)
    assert not (tmp_path / "set" / "data").exists()
    assert "--output" in run("build", CLIPS, code=1)


def test_a_killed_build_goes_on_and_ends_the_same(tmp_path: Path):
    source = many(tmp_path / "rows.parquet", 160)
    parts = tmp_path / "killed" / ".build"
    process = forks.start(build_dataset, source, tmp_path / "killed", settings=quiet(clips_per_shard=4))
    while len(list(parts.glob("[!.]*.json"))) < 2 and process.is_alive():
        time.sleep(0.005)
    forks.kill(process)
    finished = len(list(parts.glob("[!.]*.json")))
    assert 2 <= finished < 40
    assert not (tmp_path / "killed" / "data").exists()
    times = {path: path.stat().st_mtime_ns for path in parts.glob("[!.]*.json")}
    report = build_dataset(source, tmp_path / "killed", settings=quiet(clips_per_shard=4))
    build_dataset(source, tmp_path / "whole", settings=quiet(clips_per_shard=4))
    assert report.reused_shards == len(times)
    skipped = {"README.md": b"", "build.json": b""}
    assert contents(tmp_path / "killed") | skipped == contents(tmp_path / "whole") | skipped


def test_a_changed_source_is_read_again(tmp_path: Path):
    source = many(tmp_path / "rows.parquet", 8)
    (tmp_path / "set" / "data").parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hf_motion.data.build.write_json", lambda *arguments: (_ for _ in ()).throw(OSError("pulled plug")))
        with pytest.raises(OSError, match="pulled plug"):
            build_dataset(source, tmp_path / "set", settings=quiet())
    assert list((tmp_path / "set" / ".build").glob("*.part"))
    many(tmp_path / "rows.parquet", 4)
    report = build_dataset(source, tmp_path / "set", settings=quiet())
    assert (sum(report.clips.values()), report.reused_shards) == (4, 0)
    assert len(load_motion_rows(str(tmp_path / "set"))) == 4


def test_a_full_disk_leaves_only_finished_shards(tmp_path: Path):
    source = many(tmp_path / "rows.parquet", 60)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    settings = quiet(clips_per_shard=30, split_ratios=(1.0, 0.0, 0.0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match=r"(?i)file too large|writing"):
            build_dataset(source, tmp_path / "set", settings=settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(tmp_path / "set") == {}
    assert build_dataset(source, tmp_path / "set", settings=settings).clips == {"train": 60}


def test_an_unwritable_output_is_said_at_once(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "Cannot write into" in run("build", CLIPS, "-o", tmp_path / "file", code=1)


def test_statistics_are_those_of_all_train_frames(tmp_path: Path):
    build_dataset(CLIPS, tmp_path / "set", settings=quiet(clips_per_shard=2))
    extractor = MotionFeatureExtractor()
    rows = load_motion_rows(str(tmp_path / "set"), "train")
    dataset = MotionTextDataset(rows, extractor, min_frames=1, show_progress=False)
    frames = torch.cat(dataset.features).double().numpy()
    plain = load_statistics(tmp_path / "set")
    np.testing.assert_allclose(plain.mean, frames.mean(0), atol=1e-6)
    dataset.fit_statistics()
    np.testing.assert_allclose(plain.std, extractor.std, rtol=1e-4)
    assert plain.frames == len(frames)
    given = MotionFeatureExtractor(mean=plain.mean, std=plain.std)
    normalised = MotionTextDataset(rows, given, min_frames=1, show_progress=False)
    torch.testing.assert_close(normalised.features[0], dataset.features[0], rtol=1e-3, atol=1e-3)


def test_the_three_conventions_and_published_numbers(tmp_path: Path):
    counted = RunningStatistics()
    counted.update(np.random.default_rng(0).normal(size=(500, 263)) * np.linspace(0.5, 3, 263))
    published = np.zeros(263), np.full(263, 7.0)
    save_statistics(tmp_path / "statistics.safetensors", counted, "humanml3d-22", published)
    loaded = {name: np.array(load_statistics(tmp_path, name).std) for name in CONVENTIONS}
    slices = MotionFeatureExtractor().features.slices
    for name, part in slices.items():
        np.testing.assert_allclose(loaded["humanml3d"][part], counted.std[part].mean())
        factor = 1 if name in ("positions", "rotations", "velocities") else 5
        np.testing.assert_allclose(loaded["momask"][part] * factor, loaded["humanml3d"][part])
        np.testing.assert_allclose(loaded["evaluator"][part] * factor**2, loaded["humanml3d"][part])
    assert load_statistics(tmp_path, "published").std == published[1].tolist()
    with pytest.raises(ValueError, match="Unknown convention 'zscore'"):
        load_statistics(tmp_path, "zscore")
    with pytest.raises(ValueError, match="251 wide"):
        convention_std(counted.std, "momask", "kit-21")
    (tmp_path / "statistics.safetensors").write_bytes(b"not that")
    with pytest.raises(ValueError, match="not a readable statistics file"):
        load_statistics(tmp_path)
    with pytest.raises(FileNotFoundError, match="No statistics"):
        load_statistics(tmp_path / "nowhere")


def test_running_statistics_do_not_depend_on_the_parts():
    frames = 1000 + 1e-3 * np.random.default_rng(1).normal(size=(4000, 5))
    for sizes in ([4000], [1] * 50 + [3950], [1999, 0, 2001]):
        parts = []
        for part in np.split(frames, np.cumsum(sizes)[:-1]):
            parts.append(RunningStatistics())
            parts[-1].update(part)
        total = RunningStatistics.from_dict(json.loads(json.dumps(merged(parts).to_dict())))
        np.testing.assert_allclose(total.mean, frames.mean(0), rtol=1e-13)
        np.testing.assert_allclose(total.std, frames.std(0), rtol=1e-7)
    with pytest.raises(ValueError, match="cannot be counted together"):
        total.update(np.ones((3, 4)))


def test_published_features_are_what_training_sees(tmp_path: Path):
    frame = pd.read_parquet(CLIPS)
    extractor = MotionFeatureExtractor()
    frame["joints"] = [joints[: 66 * 40] if len(joints) > 66 * 40 else joints for joints in frame["joints"]]
    frame["n_frames"] = [len(joints) // 66 for joints in frame["joints"]]
    frame["features"] = [
        np.random.default_rng(number).normal(size=263 * count).astype(np.float32) for number, count in enumerate(frame["n_frames"])
    ]
    frame["mirror"] = [number == 1 for number in range(len(frame))]
    frame.to_parquet(tmp_path / "rows.parquet")
    build_dataset(tmp_path / "rows.parquet", tmp_path / "set", settings=quiet())
    rows = load_motion_rows(str(tmp_path / "set"))
    dataset = MotionTextDataset(rows, extractor, mirror=True, min_frames=1, show_progress=False)
    assert len(dataset) == len(rows)
    for row, features in zip(rows, dataset.features, strict=True):
        np.testing.assert_array_equal(features.numpy().ravel(), np.float32(row["features"]))
    report = build_dataset(tmp_path / "rows.parquet", tmp_path / "bare", SourceOptions(keep_features=False), quiet())
    assert load_motion_rows(str(report.folder))[0]["features"] is None


def test_to_the_hub_and_back(hub, tmp_path: Path):
    output = run("build", CLIPS, "--push-to-hub", "someone/clips", "--clips-per-shard", 4)
    assert "someone/clips" in output
    files = hub.files("someone/clips", "dataset")
    assert {"README.md", "statistics.safetensors", "data/test-00000-of-00001.parquet", "data/train-00001-of-00002.parquet"} <= set(files)
    assert len(load_motion_rows("someone/clips", "train")) == 8
    assert "9 clips (test 1, train 8)" in run("check", "someone/clips")
    with pytest.raises(ValueError, match="not a built data set"):
        push_dataset(tmp_path, "someone/clips")
