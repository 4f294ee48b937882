"""The parts of an evaluation that need no evaluator: protocols, motions in files, results, cards."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from tiny import FIXTURES, tiny_pipeline

from hf_motion import MotionFeatureExtractor, MotionSystem
from hf_motion.data.motion_text import load_motion_rows
from hf_motion.evaluation.card import update_card
from hf_motion.evaluation.clips import EvaluationClips
from hf_motion.evaluation.compare import merge, save_bars, settings_table, tell_apart
from hf_motion.evaluation.generations import make_or_load, requests_for, system_generator
from hf_motion.evaluation.protocol import get_protocol
from hf_motion.evaluation.result import REAL, EvaluationResult

CLIPS = FIXTURES / "evaluation_clips.parquet"


@pytest.fixture(scope="module")
def rows():
    return load_motion_rows(str(CLIPS), "test")


@pytest.fixture(scope="module")
def clips(rows) -> EvaluationClips:
    return EvaluationClips.from_rows(rows, MotionFeatureExtractor())


class TestClips:
    def test_features_are_in_units(self, rows, clips: EvaluationClips) -> None:
        assert len(clips) == 32
        assert clips.features[0].shape == (rows[0]["n_frames"] - 1, 263)
        normalised = EvaluationClips.from_rows(rows, MotionFeatureExtractor(mean=[1.0] * 263, std=[2.0] * 263))
        assert torch.equal(normalised.features[3], clips.features[3]), "the evaluator's statistics are applied when embedding, once"
        assert normalised.digest == clips.digest

    def test_tags_are_those_of_the_captions(self, clips: EvaluationClips) -> None:
        assert clips.tags["someone dances"] == "someone/PRON dance/VERB"
        assert "forward jump" not in clips.tags

    def test_left_out_is_counted(self, rows) -> None:
        short = EvaluationClips.from_rows(rows, MotionFeatureExtractor(), min_frames=60)
        assert len(short) + short.skipped["under 60 frames"] == 32
        long = EvaluationClips.from_rows(rows, MotionFeatureExtractor(), leave_out_from=60)
        assert len(long) + long.skipped["60 frames or more"] == 32

    def test_limits_count_frames_of_features(self, rows) -> None:
        """As published: 40 <= frames < 200."""
        clip = rows[0]
        cut = [{**clip, "id": str(poses), "n_frames": poses, "joints": clip["joints"][: poses * 66]} for poses in (40, 41, 60, 61)]
        kept = EvaluationClips.from_rows(cut, MotionFeatureExtractor(), min_frames=40, leave_out_from=60)
        assert kept.ids == ["41", "60"]

    def test_published_features_are_taken_as_they_are(self, rows) -> None:
        clip = dict(rows[0])
        values = np.random.default_rng(0).normal(size=(clip["n_frames"], 263)).astype(np.float32)
        clip["features"] = values.ravel().tolist()
        taken = EvaluationClips.from_rows([clip], MotionFeatureExtractor(mean=[1.0] * 263, std=[2.0] * 263))
        np.testing.assert_array_equal(taken.features[0], values)
        other = EvaluationClips.from_rows([clip], MotionFeatureExtractor(fps=10), min_frames=10)
        assert len(other.features[0]) < clip["n_frames"] / 2

    def test_nothing_left(self, rows) -> None:
        with pytest.raises(ValueError, match="No clip to evaluate among 32 rows"):
            EvaluationClips.from_rows(rows, MotionFeatureExtractor(), min_frames=500)

    def test_missing_captions(self, rows) -> None:
        bad = rows.select(range(3)).to_list()
        bad[1]["captions"] = []
        with pytest.raises(ValueError, match="no caption"):
            EvaluationClips.from_rows(bad, MotionFeatureExtractor())
        assert EvaluationClips.from_rows(bad, MotionFeatureExtractor(), strict=False).skipped["unreadable"] == 1


class TestProtocol:
    def test_strict_leaves_nothing_to_chance(self, clips: EvaluationClips) -> None:
        protocol = get_protocol("strict")
        samples = protocol.samples(clips, (0, 0))
        assert samples == protocol.samples(clips, (7, 1))
        assert [sample.clip for sample in samples] == list(range(32))
        assert all(sample.start == 0 and sample.length % 4 == 0 for sample in samples)
        assert sorted(protocol.order(33, 0, 0)) == list(range(33)), "every clip is scored"

    def test_guo_cuts_as_published(self, clips: EvaluationClips) -> None:
        protocol = get_protocol("guo")
        draws = [protocol.samples(clips, (replication, 0)) for replication in range(60)]
        lengths = np.array([[sample.length for sample in draw] for draw in draws])
        full = np.array([len(features) // 4 * 4 for features in clips.features])
        assert set(np.unique(full - lengths)) == {0, 4}
        assert (full - lengths == 4).mean() == pytest.approx(1 / 3, abs=0.04)
        for draw in draws[:3]:
            for sample in draw:
                assert 0 <= sample.start <= len(clips.features[sample.clip]) - sample.length
                assert sample.caption < len(clips.captions[sample.clip])
        assert len({sample.start for draw in draws for sample in draw if sample.clip == 0}) > 1
        assert len(protocol.order(70, 0, 0)) == 64, "what does not fill a batch of 32 is dropped"
        assert protocol.generations == protocol.replications == 20

    def test_all_captions(self, clips: EvaluationClips) -> None:
        samples = get_protocol("strict", captions="all").samples(clips, (0, 0))
        assert len(samples) == sum(map(len, clips.captions)) > 32

    def test_seed(self, clips: EvaluationClips) -> None:
        first, again, other = (get_protocol("guo", seed=seed).samples(clips, (0, 0)) for seed in (1, 1, 2))
        assert first == again != other

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"captions": "second"}, "captions must be one of"),
            ({"lengths": "long"}, "lengths must be one of"),
            ({"replications": 0}, "replications must be at least 1"),
            ({"pool_size": 2}, r"pool_size must be at least 2 and top_k \(3\)"),
            ({"alignment_pool_size": 1}, "alignment_pool_size must be at least 2"),
            ({"max_frames": 30}, "max_frames must be at least min_frames"),
            ({"generations": 3, "replications": 2}, "cannot take turns"),
            ({"min_frames": 3}, "at least one unit"),
        ],
    )
    def test_errors(self, changes: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            get_protocol("strict", **changes)

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match="'strict', 'guo'"):
            get_protocol("loose")


def counting_generator(calls: list):
    def generate(texts, lengths, seeds):
        calls.append(len(texts))
        return [torch.randn(length, 3, generator=torch.Generator().manual_seed(seed)) for length, seed in zip(lengths, seeds, strict=True)]

    return generate


class TestGenerations:
    def test_made_once(self, tmp_path: Path) -> None:
        calls: list[int] = []
        requests = requests_for(["a"] * 70, list(range(10, 80)), (0, 0))
        first = make_or_load(requests, counting_generator(calls), tmp_path, {"model": "x"}, show_progress=False)
        assert calls == [32, 32, 6]
        again = make_or_load(requests, counting_generator(calls), tmp_path, {"model": "x"}, show_progress=False)
        assert len(calls) == 3
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
        assert [len(clip) for clip in first] == list(range(10, 80))
        make_or_load(requests, counting_generator(calls), tmp_path, {"model": "y"}, show_progress=False)
        assert len(calls) == 6, "motions of another model are not taken for this one's"

    def test_interrupted(self, tmp_path: Path) -> None:
        requests = requests_for(["a"] * 70, [12] * 70, (0, 0))
        whole = make_or_load(requests, counting_generator([]), tmp_path / "whole", {}, show_progress=False)
        calls: list[int] = []
        generate = counting_generator(calls)

        def stops(texts, lengths, seeds):
            if calls:
                raise KeyboardInterrupt
            return generate(texts, lengths, seeds)

        with pytest.raises(KeyboardInterrupt):
            make_or_load(requests, stops, tmp_path / "parts", {}, show_progress=False)
        made = [path for path in (tmp_path / "parts").iterdir() if path.suffix == ".safetensors"]
        assert len(made) == 1
        resumed = make_or_load(requests, generate, tmp_path / "parts", {}, show_progress=False)
        assert calls == [32, 32, 6]
        assert all(torch.equal(*pair) for pair in zip(whole, resumed, strict=True))

    def test_torn_file_is_made_again(self, tmp_path: Path) -> None:
        requests = requests_for(["a"] * 4, [12] * 4, (0, 0))
        calls: list[int] = []
        make_or_load(requests, counting_generator(calls), tmp_path, {}, show_progress=False)
        path = next(tmp_path.iterdir())
        path.write_bytes(path.read_bytes()[:100])
        make_or_load(requests, counting_generator(calls), tmp_path, {}, show_progress=False)
        assert calls == [4, 4]

    def test_wrong_number_of_motions(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="returned 1 motions for 2 texts"):
            make_or_load(requests_for(["a", "b"], [8, 8], (0,)), lambda *_: [torch.zeros(8, 3)], tmp_path, {}, show_progress=False)

    def test_seeds_differ(self) -> None:
        seeds = {request.seed for key in ((0, 0), (0, 1), (1, 0)) for request in requests_for(["a"] * 50, None, key)}
        assert len(seeds) == 150


class TestSystems:
    def test_features_of_a_system(self) -> None:
        pipeline = tiny_pipeline()
        pipeline.set_progress_bar_config(disable=True)
        generate = system_generator(MotionSystem.from_pipeline(pipeline), MotionFeatureExtractor(), {"guidance_scale": 1.0})
        made = generate(["a person walks", "a person jumps"], [12, 9], [1, 2])
        assert [clip.shape for clip in made] == [(12, 263), (9, 263)]
        expected = pipeline(["a person jumps"], 9, guidance_scale=1.0, generator=[torch.Generator().manual_seed(2)], output_type="features")
        torch.testing.assert_close(made[1], expected.motions[0], atol=1e-5, rtol=1e-5)

    def test_other_frame_rate_goes_through_joints(self) -> None:
        pipeline = tiny_pipeline()
        pipeline.set_progress_bar_config(disable=True)
        generate = system_generator(MotionSystem.from_pipeline(pipeline), MotionFeatureExtractor(fps=10))
        made = generate(["a person walks"] * 3, [10, 11, 19], [1, 2, 3])
        assert [clip.shape for clip in made] == [(10, 263), (11, 263), (19, 263)]
        assert all(clip.isfinite().all() for clip in made)

    def test_on_one_body_all_have_the_same_bones(self, rows) -> None:
        extractor = MotionFeatureExtractor(max_frames=12)
        pipeline = tiny_pipeline()
        pipeline.set_progress_bar_config(disable=True)
        made = system_generator(MotionSystem.from_pipeline(pipeline), extractor, one_body=True)(["a person walks"] * 2, [12, 9], [1, 2])
        real = EvaluationClips.from_rows(rows.select(range(2)), extractor, one_body=True).features
        bones = []
        for clip in (*made, *real):
            joints = extractor.features.decode(clip[: len(clip) // 4 * 4])
            bones.append((joints[:, 1:] - joints[:, list(extractor.features.skeleton.parents[1:])]).norm(dim=-1))
            assert clip.isfinite().all()
        assert [len(clip) for clip in made] == [12 if pipeline.feature_extractor.max_frames > 12 else 11, 9]
        for one in bones:
            torch.testing.assert_close(one, bones[-1][:1].expand_as(one), atol=1e-3, rtol=0)

    def test_a_motion_that_is_not_finite_stays_one_of_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pipeline = tiny_pipeline()
        pipeline.set_progress_bar_config(disable=True)
        forward = pipeline.denoiser.forward

        def breaks(sample: torch.Tensor, *args, **kwargs):
            output = forward(sample, *args, **kwargs)
            output.sample[0, 2, 5] = torch.nan
            return output

        monkeypatch.setattr(pipeline.denoiser, "forward", breaks)
        for fps in (20, 10):
            generate = system_generator(MotionSystem.from_pipeline(pipeline), MotionFeatureExtractor(fps=fps), {"guidance_scale": 1.0})
            made = generate(["a person walks", "a person jumps"], [12, 12], [1, 2])
            assert [bool(clip.isfinite().all()) for clip in made] == [False, True]

    def test_other_skeleton(self) -> None:
        with pytest.raises(ValueError, match="'humanml3d-22', the evaluator reads 'kit-21'"):
            system_generator(MotionSystem.from_pipeline(tiny_pipeline()), MotionFeatureExtractor(skeleton="kit-21"))

    def test_no_statistics(self) -> None:
        pipeline = tiny_pipeline()
        pipeline.feature_extractor.mean = None
        with pytest.raises(ValueError, match="no mean and std"):
            system_generator(MotionSystem.from_pipeline(pipeline), MotionFeatureExtractor())


SETTINGS = {"model": "m", "dataset": "d", "split": "test", "protocol": "strict", "evaluator": "e", "seed": 0}


def result(fid: float = 1.0, **settings) -> EvaluationResult:
    rows = {
        REAL: {"fid": [0.0, 0.0], "diversity": [3.0, 3.2]},
        "mdm": {"fid": [fid, fid + 0.2], "diversity": [2.0, 2.0], "non_finite": [0.0, 0.0]},
    }
    return EvaluationResult("generation", rows, {**SETTINGS, **settings}, ["a note"])


class TestResult:
    def test_mean_and_interval(self) -> None:
        made = result()
        assert made.mean("mdm", "fid") == pytest.approx(1.1)
        assert made.interval("mdm", "fid") == pytest.approx(1.96 * 0.1 / np.sqrt(2))
        assert made.cell("mdm", "fid") == "1.100 ± 0.139"
        assert made.cell(REAL, "non_finite") == "-"

    def test_round_trip(self, tmp_path: Path) -> None:
        made = result()
        made.rows["mdm"]["fid"][0] = float("nan")
        path, table = made.save(tmp_path)
        assert json.loads(path.read_text())["rows"]["mdm"]["fid"]["mean"] is None
        again = EvaluationResult.load(tmp_path)
        assert np.isnan(again.rows["mdm"]["fid"][0])
        assert again.rows[REAL] == made.rows[REAL]
        assert again.settings == made.settings
        assert "| mdm | nan ± nan |" in table.read_text()

    @pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 99, "kind": "generation"}'])
    def test_not_a_result(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(ValueError, match=r"is not a result|later version"):
            EvaluationResult.load(tmp_path)

    def test_compare(self, tmp_path: Path) -> None:
        merged = merge({"a": result(), "b": result(2.0, seed=1)})
        assert list(merged.rows) == [REAL, "mdm (a)", "mdm (b)"]
        assert any("Settings differ in seed**" in note for note in merged.notes)
        assert not any("protocol" in note for note in merged.notes)
        drawn = save_bars(merged, tmp_path / "bars.svg").read_text()
        assert drawn.count("<rect") >= 6
        assert "mdm (b)" in drawn

    def test_only_settings_that_differ_are_shown(self) -> None:
        other = result(seed=1)
        for made, version in ((first := result(), "1"), (other, "2")):
            made.settings |= {"packages": {"torch": version, "numpy": "2"}, "seconds": float(version)}
        assert settings_table({"a": first, "b": other}).splitlines()[2:] == ["| seed | 0 | 1 |", "| packages: torch | 1 | 2 |"]
        assert settings_table({"a": first, "b": first}) == "All settings are the same."

    @pytest.mark.parametrize(
        ("paths", "names"),
        [
            (["runs/a/eval", "runs/b/eval/results.json"], ["a", "b"]),
            (["runs/a", "runs/a/best"], ["a", "a/best"]),
            (["runs/a"], ["a"]),
            (["a", "a/results.json"], ["1: a", "2: a/results.json"]),
        ],
    )
    def test_names_that_tell_apart(self, paths: list[str], names: list[str]) -> None:
        assert tell_apart([Path(path) for path in paths]) == names

    def test_compare_other_kinds(self) -> None:
        other = result()
        other.kind = "retrieval"
        with pytest.raises(ValueError, match="different kinds"):
            merge({"a": result(), "b": other})

    def test_card(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("---\nlicence: x\ntags:\n- motion\n---\n\n# Title\n\nText.\n")
        update_card(result(), tmp_path)
        update_card(result(3.0), tmp_path)
        card = ModelCard.load(tmp_path / "README.md")
        assert "# Title\n\nText." in card.text
        assert card.data.tags == ["motion"]
        fids = [entry.metric_value for entry in card.data.eval_results if entry.metric_type == "fid"]
        assert fids == [3.1]
        update_card(result(5.0, dataset="another"), tmp_path)
        entries = ModelCard.load(tmp_path / "README.md").data.eval_results
        assert {entry.dataset_name: entry.metric_value for entry in entries if entry.metric_type == "fid"} == {"d": 3.1, "another": 5.1}

    def test_no_card(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"no README\.md"):
            update_card(result(), tmp_path)
