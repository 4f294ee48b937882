"""Checkpoints that are damaged, hostile, or loaded and used by several threads at once."""

import json
import os
import random
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from tiny import save_tiny_retrieval_model, seeded, tiny_generator, tiny_pipeline
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

from hf_motion import MDMDenoiser, load_embedded_pipeline
from hf_motion.checkpoints import EMBEDDED, EMBEDDED_EVALUATOR, EMBEDDED_TMR
from hf_motion.data.captions import read_table
from hf_motion.evaluation.result import EvaluationResult
from hf_motion.hub.loading import check_config
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.retrieval.embedder import MotionTextEmbedder
from hf_motion.text_encoders import load_text_encoder, load_text_tokenizer
from hf_motion.utils.arrays import load_array

CASES = Path(__file__).parent / "fixtures" / "cases" / "damaged"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of a few thousand weights."""
    folder = tmp_path_factory.mktemp("saved")
    tiny_pipeline().save_pretrained(folder / "mdm")
    tiny_generator("t2m-gpt").save_pretrained(folder / "t2m-gpt")
    return {
        "mdm": folder / "mdm", "t2m-gpt": folder / "t2m-gpt", "tmr": save_tiny_retrieval_model(folder / "tmr", "tmr"),
        "judge": save_tiny_retrieval_model(folder / "judge", "t2m-evaluator"),
    }  # fmt: skip


def refused(load: Callable[[], Any], file: Path) -> str:
    """The words of an error that names the file, in bounded time."""
    start = time.perf_counter()
    with pytest.raises((ValueError, OSError)) as error:
        load()
    assert file.name in str(error.value), f"{error.value} does not name {file.name}"
    assert time.perf_counter() - start < 30
    return str(error.value)


@pytest.mark.parametrize(
    ("case", "kind", "file"),
    [
        ("11270_mdm_config.json", "mdm", "denoiser/config.json"),
        ("13112_mdm_auto_tokenizer.json", "mdm", "tokenizer/tokenizer.json"),
        ("16114_mdm_config.json", "mdm", "text_encoder/config.json"),
        ("4446_mdm_config.json", "mdm", "text_encoder/config.json"),
        ("6571_mdm_scheduler_config.json", "mdm", "scheduler/scheduler_config.json"),
        ("16625_t2mgpt_config.json", "t2m-gpt", "config.json"),
        ("7364_t2mgpt_tokenizer_config.json", "t2m-gpt", "tokenizer_config.json"),
        ("18105_tmr_config.json", "tmr", "config.json"),
        ("2651_tmr_config.json", "tmr", "config.json"),
    ],
)
def test_damaged_checkpoints_name_the_file(saved: dict[str, Path], tmp_path: Path, case: str, kind: str, file: str) -> None:
    folder = Path(shutil.copytree(saved[kind], tmp_path / kind))
    shutil.copyfile(CASES / case, folder / file)
    load = {"mdm": MotionDiffusionPipeline.load, "t2m-gpt": AutoModel.from_pretrained, "tmr": AutoModel.from_pretrained}[kind]
    refused(lambda: load(folder), folder / file)
    if kind == "mdm" and file.startswith("tok"):
        refused(lambda: load_text_tokenizer(folder), folder / file)
    if kind == "mdm" and file.startswith("text"):
        refused(lambda: load_text_encoder(folder), folder / file)


def test_damaged_results_captions_and_arrays_name_the_file(tmp_path: Path) -> None:
    shutil.copyfile(CASES / "8315_eval_results.json", tmp_path / "results.json")
    assert "settings must be a dict" in refused(lambda: EvaluationResult.load(tmp_path), tmp_path / "results.json")
    shutil.copyfile(CASES / "539_h3d_000001.npy", tmp_path / "000001.npy")
    refused(lambda: load_array(tmp_path / "000001.npy"), tmp_path / "000001.npy")
    lines = list(read_table(Path(shutil.copyfile(CASES / "15119_csv_captions.jsonl", tmp_path / "captions.jsonl"))))
    assert "captions.jsonl:1: start must be seconds" in str(lines[0])
    assert lines[1].text == "x"


def change(folder: Path, file: str, **values: Any) -> Path:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("denoiser/config.json", {"num_layers": 10**7}, "num_layers is 10,000,000, at most 1,024 are built"),
        ("denoiser/config.json", {"hidden_size": 10**7}, "hidden_size is 10,000,000, at most 65,536 is taken"),
        ("denoiser/config.json", {"num_layers": 3}, "asks for .* weights that are not there"),
        ("text_encoder/config.json", {"num_hidden_layers": 10**6}, "num_hidden_layers is 1,000,000, at most 1,024"),
        ("text_encoder/config.json", {"vocab_size": 10**9}, "vocab_size is 1,000,000,000, at most 65,536"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}, "at most 1,000,000 are taken"),
        ("feature_extractor/preprocessor_config.json", {"max_frames": 10**9}, "at most 100,000 are taken"),
        ("feature_extractor/preprocessor_config.json", {"fps": 1e9}, "fps must be from 0.001 to 10,000"),
        ("model_index.json", {"scheduler": 3}, "must give library and class of 'scheduler'"),
        ("model_index.json", {"_class_name": None}, "names the pipeline class None"),
        ("model_index.json", {"denoiser": ["hf_motion.components", "Nothing"]}, "no part that this installation has"),
    ],
)
def test_sizes_are_looked_at_before_anything_is_built(saved: dict[str, Path], tmp_path: Path, file: str, values: dict, words: str) -> None:
    folder = Path(shutil.copytree(saved["mdm"], tmp_path / "mdm"))
    path = change(folder, file, **values)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=words) as error:
        MotionDiffusionPipeline.load(folder)
    assert path.name in str(error.value)
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("kind", ["tmr", "judge", "t2m-gpt"])
def test_every_model_of_ours_checks_sizes_and_files(saved: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(saved[kind], tmp_path / kind))
    sizes = {"tmr": "num_layers", "judge": "motion_hidden_size", "t2m-gpt": "num_hidden_layers"}
    config = (folder / "config.json").read_text()
    path = change(folder, "config.json", **{sizes[kind]: 10**9})
    assert "1,000,000,000" in refused(lambda: AutoModel.from_pretrained(folder), path)
    path.write_text(config)
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    for damaged in (data[:-10], data[: len(data) // 2], b"", struct.pack("<Q", 2**62) + data[8:]):
        weights.write_bytes(damaged)
        refused(lambda: AutoModel.from_pretrained(folder), weights)
    weights.write_bytes(data)
    extractor = change(folder, "preprocessor_config.json", mean="many")
    refused(lambda: AutoFeatureExtractor.from_pretrained(folder), extractor)
    if kind == "judge":
        (folder / "vocab.json").write_text('["sos", 3]')
        refused(lambda: AutoTokenizer.from_pretrained(folder), folder / "vocab.json")


@pytest.mark.parametrize("kind", ["tmr", "judge", "t2m-gpt"])
def test_pickled_weights_are_never_loaded(saved: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(saved[kind], tmp_path / kind))
    state = AutoModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    for load in (AutoModel.from_pretrained, type(AutoModel.from_pretrained(saved[kind])).from_pretrained):
        with pytest.raises(OSError, match=r"pytorch_model.bin.*python -m hf_motion.conversion"):
            load(folder)
    with pytest.raises(ValueError, match="safetensors only, got use_safetensors=False"):
        AutoModel.from_pretrained(folder, use_safetensors=False)
    if kind == "judge":
        with pytest.raises(OSError, match=r"pytorch_model.bin.*hf_motion.conversion"):
            MotionTextEmbedder.from_pretrained(folder)


def test_what_is_not_there_is_still_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"holds no checkpoint; in it: nothing"):
        MotionDiffusionPipeline.load(tmp_path)
    with pytest.raises(OSError, match="empty"):
        AutoModel.from_pretrained(Path(shutil.copytree(EMBEDDED_TMR, tmp_path / "empty", ignore=lambda *_: ["model.safetensors"])))


def test_honest_configurations_pass() -> None:
    check_config({"vocab_size": 250_000, "num_hidden_layers": 96, "max_position_embeddings": 131_072, "bos_token_id": 10**12}, "a")
    with pytest.raises(ValueError, match=r"a: d_model is 1,000,000,000, at most 16,777,216 is taken"):
        check_config({"deep": [{"d_model": 10**9}]}, "a")
    with pytest.raises(ValueError, match="a must hold an object, it holds a list"):
        check_config([], "a")


NASTY = [None, -1, 0, 1, 3.5, 10**18, float("inf"), float("nan"), "", "x", "torch.nn", "9" * 400, [], [[]], {}, {"a": 1}, True, [1, "a"]]


def places(content: Any, path: tuple = ()) -> Iterator[tuple]:
    for key, value in content.items() if isinstance(content, dict) else enumerate(content[:3]):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def mutated(data: bytes, suffix: str, seed: int) -> bytes:
    """One value or one piece of a JSON text or of a safetensors header is another."""
    draw = random.Random(seed)
    start, end = (0, len(data)) if suffix == ".json" else (0, 8 + struct.unpack("<Q", data[:8])[0])
    if suffix == ".json" and draw.random() < 0.7:
        content = json.loads(data)
        *way, last = draw.choice(list(places(content)))
        inside = content
        for key in way:
            inside = inside[key]
        if draw.random() < 0.2:
            del inside[last]
        else:
            inside[last] = draw.choice(NASTY)
        return json.dumps(content).encode()
    at, length = draw.randrange(start, end), draw.randrange(1, 40)
    flipped = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    return draw.choice([flipped, data[:at], data[:at] + data[at + length :], data[: at + length] + data[at:]])


def fuzz(folder: Path, load: Callable[[Path], Any], files: list[Path], rounds: range) -> dict[str, int]:
    outcomes = {"loaded": 0, "refused": 0}
    for seed in rounds:
        file = files[seed % len(files)]
        data = file.read_bytes()
        file.write_bytes(mutated(data, file.suffix, seed))
        start = time.perf_counter()
        try:
            load(file)
        except (ValueError, OSError) as error:
            assert file.name in str(error), f"{file} {seed}: {error} does not name it"  # noqa: PT017
            outcomes["refused"] += 1
        else:
            outcomes["loaded"] += 1
        finally:
            file.write_bytes(data)
        assert time.perf_counter() - start < 30, (file, seed)
    return outcomes


def fuzz_all(tmp_path: Path, rounds: Callable[[int], range]) -> None:
    """Every JSON file and every header of the checkpoints inside the package."""
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / "mdm"))
    parts = load_embedded_pipeline().components

    def load_pipeline(file: Path) -> None:
        MotionDiffusionPipeline.load(folder, **{name: part for name, part in parts.items() if name != file.parent.name})

    def files(root: Path, pattern: str = "*.json") -> list[Path]:
        return sorted(path for path in root.rglob(pattern) if path.name not in ("config.json",) or path.parent.name != "mdm")

    found = fuzz(folder, load_pipeline, [*files(folder), *files(folder, "*.safetensors")], rounds(0))
    assert min(found.values()) > 0
    for number, source in enumerate((EMBEDDED_EVALUATOR, EMBEDDED_TMR), 1):
        folder = Path(shutil.copytree(source, tmp_path / source.name))

        def load(file: Path, folder: Path = folder) -> None:
            kind = AutoFeatureExtractor if file.name.startswith("prep") else AutoModel if file.stem in ("config", "model") else None
            (load_text_tokenizer if kind is None else kind.from_pretrained)(folder)

        # What `model_type` names, transformers looks up before any code of ours: MotionTextEmbedder stands before it there.
        found = fuzz(folder, load, [path for path in files(folder) if path.name != "config.json"], rounds(number))
        assert min(found.values()) > 0
        weights = [folder / "config.json", folder / "model.safetensors"]
        found = fuzz(folder, lambda _, folder=folder: MotionTextEmbedder.from_pretrained(folder), weights, rounds(number))
        assert found["refused"] > 0


def test_mutated_checkpoints_name_the_file(tmp_path: Path) -> None:
    fuzz_all(tmp_path, lambda number: range(0, 50 if number == 0 else 12))


@pytest.mark.slow
def test_many_mutated_checkpoints_name_the_file(tmp_path: Path) -> None:
    fuzz_all(tmp_path, lambda number: range(1000, 1600 if number == 0 else 1150))


def test_mutated_results_name_the_file(tmp_path: Path) -> None:
    rows = {"real motion": {"fid": [0.1, 0.2], "diversity": [float("nan"), 1.0]}}
    path, _ = EvaluationResult("generation", rows, {"seed": 0, "protocol": {"a": 1}}, ["a note"]).save(tmp_path)
    found = fuzz(tmp_path, lambda file: EvaluationResult.load(file).markdown(), [path], range(300))
    assert min(found.values()) > 0


def together(work: Callable[[int], Any], count: int) -> list[Any]:
    """What `work` gives in each of several threads."""
    found: list[Any] = [None] * count

    def note(number: int) -> None:
        try:
            found[number] = work(number)
        except BaseException as error:
            found[number] = error

    threads = [threading.Thread(target=note, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_four_threads_load_and_generate() -> None:
    """Failed in three of four runs: weights of one thread ended on the meta device of another."""

    def work(number: int) -> np.ndarray:
        pipe = load_embedded_pipeline()
        pipe.set_progress_bar_config(disable=True)
        return pipe("a person walks", 20, num_inference_steps=2, generator=seeded()).motions[0].joints

    first, *others = together(work, 4)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_threads_load_models_of_every_kind(saved: dict[str, Path]) -> None:
    kinds = ["tmr", "judge", "t2m-gpt", "mdm"] * 2
    loads = {"mdm": MotionDiffusionPipeline.load}
    found = together(lambda number: loads.get(kinds[number], AutoModel.from_pretrained)(saved[kinds[number]]), len(kinds))
    for model in found:
        assert not isinstance(model, BaseException), model
        networks = (
            [part for part in model.components.values() if isinstance(part, torch.nn.Module)] if hasattr(model, "components") else [model]
        )
        assert not any(weight.is_meta for network in networks for weight in network.parameters())


def test_one_pipeline_in_two_threads_with_different_steps() -> None:
    """Raised IndexError: the scheduler kept the steps of the call that came last."""
    pipe = tiny_pipeline(steps=40)
    pipe.set_progress_bar_config(disable=True)
    steps = [3, 40, 7, 20]

    def work(number: int) -> list[np.ndarray]:
        options = {"num_frames": 12, "num_inference_steps": steps[number]}
        return [pipe("a person walks", generator=seeded(), **options).motions[0].joints for _ in range(4)]

    alone = [work(number) for number in range(len(steps))]
    for made, wanted in zip(together(work, len(steps)), alone, strict=True):
        np.testing.assert_array_equal(made, wanted)


def test_callbacks_see_the_scheduler_of_their_call() -> None:
    pipe = tiny_pipeline(steps=40)
    seen = []

    def note(called: Any, index: int, timestep: Any, tensors: dict) -> dict:
        seen.append((len(called.scheduler.timesteps), called.denoiser is pipe.denoiser, type(called) is type(pipe)))
        return {}

    pipe("a person walks", 8, num_inference_steps=3, callback_on_step_end=note)
    assert seen == [(3, True, True)] * 3
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe("a person walks", 8, num_inference_steps=4, callback_on_step_end=note)
    assert seen[3:] == [(4, True, True)] * 4
    assert pipe.config["scheduler"] == ("diffusers", "DPMSolverMultistepScheduler")


def test_a_denoiser_alone_is_checked_too(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["mdm"] / "denoiser", tmp_path / "denoiser"))
    assert MDMDenoiser.from_pretrained(folder).config.num_layers == 2
    refused(lambda: MDMDenoiser.from_pretrained(folder), change(folder, "config.json", num_layers=10**8))
    os.remove(folder / "config.json")
    with pytest.raises(OSError, match=r"config.json"):
        MDMDenoiser.from_pretrained(folder)
