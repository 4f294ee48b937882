"""AdaQF's training: feedback of frozen extractors, what of the text encoder learns from it, and what is logged and scored meanwhile."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from tiny import FIXTURES, save_tiny_retrieval_model, tiny_pipeline
from transformers import TrainerCallback

from hf_motion import AdaQFPipeline, MotionFeatureExtractor, MotionTextEmbedder
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows, take_rows
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.text_encoders import has_lora, without_lora
from hf_motion.trainers.callbacks import EvaluateMotionsCallback
from hf_motion.trainers.curves import read_history
from hf_motion.trainers.diffusion import DiffusionTrainer, DiffusionTrainingArguments
from hf_motion.trainers.feedback import QualityFeedback
from hf_motion.trainers.resuming import last_checkpoint

CLIPS = FIXTURES / "clips.parquet"
ROOT = Path(__file__).parents[1]
EXAMPLES = ((0, 1100), (3, 120000), (5, 13000000), (2, 1400000000))


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return load_motion_rows(str(CLIPS), "train")


@pytest.fixture(scope="module")
def extractors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With other statistics than the generator's."""
    return save_tiny_retrieval_model(tmp_path_factory.mktemp("extractors"), "adaqf-extractors", mean=-0.2, std=0.8)


def adaqf(encoder: str = "clip", max_frames: int = 40) -> AdaQFPipeline:
    parts = tiny_pipeline(encoder, max_frames=max_frames, dropout=0.0, attention_dropout=0.0, arch="trans_dec", text_conditioning="tokens")
    return AdaQFPipeline(**parts.components, max_text_tokens=22)


@pytest.fixture
def make_trainer(rows: Dataset, extractors: Path, tmp_path: Path) -> Callable[..., DiffusionTrainer]:
    def make(folder: str = "run", pipeline: AdaQFPipeline | None = None, callbacks: list | None = None, **options) -> DiffusionTrainer:
        pipeline = pipeline or adaqf()
        dataset = MotionTextDataset(rows, pipeline.feature_extractor, mirror=True, show_progress=False)
        settings = {
            "max_steps": 4, "save_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True,
            "disable_tqdm": True, "learning_rate": 1e-2, "ema_decay": 0.9, "epoch_size": 6, "text_encoder_tuning": "lora", "lora_rank": 2,
            "extractors": str(extractors),
        }  # fmt: skip
        arguments = DiffusionTrainingArguments(output_dir=str(tmp_path / folder), **{**settings, **options})
        return DiffusionTrainer(pipeline, arguments, dataset, callbacks=callbacks)

    return make


def history(folder: Path) -> list[dict[str, float]]:
    return json.loads((last_checkpoint(folder) / "trainer_state.json").read_text())["log_history"]


def batch_of(trainer: DiffusionTrainer, examples: tuple = EXAMPLES) -> dict[str, torch.Tensor]:
    return trainer.data_collator([trainer.train_dataset[index] for index in examples])


def feedback(extractors: Path, **options) -> QualityFeedback:
    extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263, max_frames=40)
    return QualityFeedback(MotionTextEmbedder.from_pretrained(extractors), extractor, **options)


def draw(frames: tuple[int, ...] = (24, 17, 30)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Predicted and real motion, and the mask."""
    generator = torch.Generator().manual_seed(3)
    predicted, target = torch.randn(2, len(frames), max(frames), 263, generator=generator)
    return predicted, target, (torch.arange(max(frames)) < torch.tensor(frames)[:, None]).long()


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)


def test_losses_are_the_paper_s(make_trainer: Callable, extractors: Path) -> None:
    """Equations 3 to 5 in numpy, on embeddings that `MotionTextEmbedder` makes of features with their units."""
    trainer = make_trainer(condition_dropout=0.5)
    batch = batch_of(trainer)
    predictions = []
    trainer.model.denoiser.register_forward_hook(lambda module, inputs, output: predictions.append(output.sample.detach()))
    output = trainer.model.eval()(**batch)
    embedder, mask = MotionTextEmbedder.from_pretrained(extractors), batch["attention_mask"]
    mine = trainer.pipeline.feature_extractor
    made, real = (
        embedder.embed_motions([clip[: int(valid.sum())] for clip, valid in zip(mine.denormalize(features), mask, strict=True)])
        for features in (predictions[0], batch["motion_features"])
    )
    captions = [trainer.train_dataset[index]["caption"] for index in EXAMPLES]
    # Each example's own seed draws its step first, then whether it keeps its caption.
    draws = [torch.Generator().manual_seed(seed) for _, seed in EXAMPLES]
    keep = np.array([(torch.randint(5, (), generator=draw), torch.rand((), generator=draw) >= 0.5)[1].item() for draw in draws])
    assert 0 < keep.sum() < 4
    motion = np.mean(1 - cosine(made, real))
    text = np.mean((1 - cosine(made, embedder.embed_texts(captions))) * keep)
    squares = ((predictions[0] - batch["motion_features"]).numpy().astype(float) ** 2).mean(-1) * mask.numpy()
    mse = np.mean(squares.sum(1) / mask.numpy().sum(1))
    assert output["mse"].item() == pytest.approx(mse, rel=1e-5)
    assert output["motion_consistency"].item() == pytest.approx(motion, rel=1e-4)
    assert output["text_consistency"].item() == pytest.approx(text, rel=1e-4)
    assert output["loss"].item() == pytest.approx(mse + 10 * motion + 2 * text, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "names"),
    [((3.0, 0.0), ["motion_consistency"]), ((0.0, 5.0), ["text_consistency"]), ((3.0, 5.0), ["motion_consistency", "text_consistency"])],
)
def test_weights(extractors: Path, weights: tuple, names: list[str]) -> None:
    judge = feedback(extractors, motion_weight=weights[0], text_weight=weights[1])
    text = torch.randn(3, judge.extractors.config.embed_dim, generator=torch.Generator().manual_seed(0))
    losses = judge(*draw(), text, torch.ones(3, dtype=torch.bool))
    assert list(losses) == names
    expected = sum(
        losses[name] * weight for name, weight in zip(["motion_consistency", "text_consistency"], weights, strict=True) if weight
    )
    torch.testing.assert_close(judge.weighted(losses), expected)


def test_padding_does_not_count(extractors: Path) -> None:
    judge = feedback(extractors)
    predicted, target, mask = draw()
    text, keep = torch.ones(3, judge.extractors.config.embed_dim), torch.ones(3, dtype=torch.bool)
    expected = judge(predicted, target, mask, text, keep)
    behind = ~mask.bool()
    predicted[behind], target[behind] = 7.0, -7.0
    predicted.requires_grad_()
    losses = judge(predicted, target, mask, text, keep)
    torch.testing.assert_close(losses, expected)
    judge.weighted(losses).backward()
    assert not predicted.grad[behind].any()
    assert all(predicted.grad[row][: int(mask[row].sum())].any() for row in range(3))
    shorter = judge(predicted[1:2, :17], target[1:2, :17], mask[1:2, :17], text[1:2], keep[1:2])
    rest = judge(predicted[::2], target[::2], mask[::2], text[::2], keep[::2])
    for name, value in losses.items():
        torch.testing.assert_close((shorter[name] + 2 * rest[name]) / 3, value, atol=1e-5, rtol=1e-5)


def test_dropped_captions_do_not_count(extractors: Path) -> None:
    judge = feedback(extractors)
    motions = draw()
    text = torch.randn(3, judge.extractors.config.embed_dim, generator=torch.Generator().manual_seed(0))
    alone = [judge(*(part[row : row + 1] for part in motions), text[row : row + 1], torch.tensor([True])) for row in range(3)]
    losses = judge(*motions, text, torch.tensor([True, False, True]))
    torch.testing.assert_close(losses["text_consistency"], (alone[0]["text_consistency"] + alone[2]["text_consistency"]) / 3)
    torch.testing.assert_close(losses["motion_consistency"], sum(loss["motion_consistency"] for loss in alone) / 3)


def test_loss_does_not_depend_on_the_batch(make_trainer: Callable) -> None:
    trainer = make_trainer(condition_dropout=0.5)
    trainer.model.eval()
    together = trainer.model(**batch_of(trainer))
    alone = [trainer.model(**batch_of(trainer, (example,))) for example in EXAMPLES]
    for name, value in together.items():
        torch.testing.assert_close(torch.stack([loss[name] for loss in alone]).mean(), value, atol=1e-5, rtol=1e-4)


def test_who_learns_from_the_feedback(make_trainer: Callable) -> None:
    trainer = make_trainer()
    objective = trainer.model
    output = objective.train()(**batch_of(trainer))
    (output["loss"] - output["mse"]).backward()
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters()}
    assert gradients["denoiser.input_projection.weight"].any()
    adapter = {name: value for name, value in gradients.items() if ".lora_B." in name}
    assert len(adapter) == 5
    assert all(value.any() for value in adapter.values())
    assert all(value is None for name, value in gradients.items() if "text_encoder" in name and ".lora_" not in name)
    judge = objective._feedback[0]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in judge.extractors.parameters())
    assert not judge.extractors.training
    assert not judge.train().extractors.training
    assert not objective.text_encoder.training
    assert not any("extractors" in name for name in objective.state_dict())


@pytest.mark.parametrize("tuning", ["none", "lora", "full"])
def test_what_of_the_text_encoder_is_trained(make_trainer: Callable, tmp_path: Path, tuning: str) -> None:
    trainer = make_trainer(text_encoder_tuning=tuning, max_steps=2)
    before = {name: value.clone() for name, value in without_lora(trainer.pipeline.text_encoder).state_dict().items()}
    trainer.train()
    trainer.save_pipeline(tmp_path / "pipeline")
    for encoder in (trainer.pipeline.text_encoder, MotionDiffusionPipeline.load(tmp_path / "pipeline").text_encoder):
        after = without_lora(encoder).state_dict()
        kept = [torch.equal(after[name], value) for name, value in before.items()]
        assert all(kept) if tuning != "full" else not any(kept[1:])
        adapter = [value for name, value in encoder.state_dict().items() if ".lora_B." in name]
        assert (len(adapter), all(value.any() for value in adapter)) == ((5, True) if tuning == "lora" else (0, True))
    assert ("text_states" in batch_of(trainer)) is (tuning == "none")
    assert all(("text_encoder_grad_norm" in entry) is (tuning != "none") for entry in history(tmp_path / "run") if "loss" in entry)
    assert [name for name in load_file(tmp_path / "run" / "checkpoint-2" / "ema.safetensors") if "base_layer" in name] == []


def test_resumed_equals_uninterrupted(make_trainer: Callable, tmp_path: Path) -> None:
    whole = make_trainer("whole", text_encoder_learning_rate=3e-3, lr_drop_steps=[3])
    whole.train()
    whole.save_pipeline(tmp_path / "pipeline")
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "parts" / "checkpoint-2")
    torch.manual_seed(99)  # the adapter starts elsewhere, and must come from the checkpoint
    resumed = make_trainer("parts", text_encoder_learning_rate=3e-3, lr_drop_steps=[3])
    resumed.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "parts")))
    for name in ("model", "ema"):
        first, second = (load_file(tmp_path / run / "checkpoint-4" / f"{name}.safetensors") for run in ("whole", "parts"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    logs = [[{key: entry[key] for key in entry if "runtime" not in key and "per_second" not in key} for entry in history(tmp_path / run)]
            for run in ("whole", "parts")]  # fmt: skip
    assert logs[0][:4] == logs[1][:4]
    adapter = load_file(tmp_path / "pipeline" / "text_encoder_lora" / "adapter_model.safetensors")
    averages = load_file(tmp_path / "whole" / "checkpoint-4" / "ema.safetensors")
    for name, value in adapter.items():
        part, _, rest = name.removeprefix("base_model.model.").rpartition(".weight")
        assert torch.equal(value, averages[f"text_encoder.{part}.default.weight{rest}"]), name


def test_resuming_with_another_tuning(make_trainer: Callable, tmp_path: Path) -> None:
    make_trainer(max_steps=2).train()
    with pytest.raises(ValueError, match=r"another text_encoder_tuning.*start anew in another folder"):
        make_trainer(text_encoder_tuning="full").train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "run")))


@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("encoder", ["distilbert", "t5"])
def test_every_text_encoder_is_trained_and_saved(make_trainer: Callable, tmp_path: Path, encoder: str, tuning: str) -> None:
    """T5 has its word embeddings under two names."""
    make_trainer(pipeline=adaqf(encoder), text_encoder_tuning=tuning, max_steps=1, save_steps=1, bf16=True).train()
    again = make_trainer(pipeline=adaqf(encoder), text_encoder_tuning=tuning, max_steps=2, save_steps=1, bf16=True)
    again.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "run")))
    assert all(parameter.dtype == torch.float32 and parameter.isfinite().all() for parameter in again.model.parameters())
    again.save_pipeline(tmp_path / "pipeline")
    loaded = MotionDiffusionPipeline.load(tmp_path / "pipeline")
    assert type(loaded.text_encoder) is type(again.pipeline.text_encoder)
    assert has_lora(loaded.text_encoder) is (tuning == "lora")


def test_adapter_goes_on_learning(make_trainer: Callable, tmp_path: Path) -> None:
    """A pipeline with an adapter, loaded for more training, trains that one and not a second."""
    make_trainer(max_steps=2).train()
    first = make_trainer()
    first.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "run")))
    first.save_pipeline(tmp_path / "pipeline")
    pipeline = MotionDiffusionPipeline.load(tmp_path / "pipeline")
    before = {name: value.clone() for name, value in pipeline.text_encoder.named_parameters()}
    more = DiffusionTrainer(pipeline, make_trainer("more", max_steps=1, ema_decay=0.0).args, first.train_dataset)
    more.train()
    assert list(pipeline.text_encoder.peft_config) == ["default"]
    for name, value in pipeline.text_encoder.named_parameters():
        assert torch.equal(value, before[name]) is (".lora_" not in name), name


def test_learning_rate_drops(make_trainer: Callable) -> None:
    trainer = make_trainer(learning_rate=1e-3, warmup_steps=1, lr_drop_steps=[4, 2], lr_drop_factor=0.1, text_encoder_learning_rate=5e-4)
    trainer.create_optimizer_and_scheduler(6)
    rates = []
    for _ in range(6):
        rates.append({group["lr"] for group in trainer.optimizer.param_groups})
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    for found, factor in zip(rates, (0.5, 1, 0.1, 0.1, 0.01, 0.01), strict=True):
        assert sorted(found) == pytest.approx([5e-4 * factor, 1e-3 * factor], rel=1e-9)
    with pytest.raises(ValueError, match=r"lr_drop_factor must be in \(0, 1\], got 0"):
        make_trainer(lr_drop_factor=0)


@pytest.mark.parametrize(("tuning", "rate", "found"), [("lora", 5e-4, {1e-2, 5e-4}), ("lora", None, {1e-2}), ("none", 5e-4, {1e-2})])
def test_text_encoder_has_a_rate_of_its_own(make_trainer: Callable, tuning: str, rate: float | None, found: set) -> None:
    trainer = make_trainer(text_encoder_tuning=tuning, text_encoder_learning_rate=rate, weight_decay=0.1)
    groups = trainer.create_optimizer().param_groups
    assert {group["lr"] for group in groups} == found
    texts = {id(parameter) for parameter in trainer.pipeline.text_encoder.parameters()}
    for group in groups:
        inside = [id(parameter) in texts for parameter in group["params"]]
        assert rate is None or all(inside) if group["lr"] == 5e-4 else rate is None or not any(inside)
    parameters = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(parameters) == sorted(id(parameter) for parameter in trainer.model.parameters() if parameter.requires_grad)
    assert {group["weight_decay"] for group in groups} == {0.1, 0.0}


def test_subsets_are_nested(rows: Dataset) -> None:
    names = [take_rows(rows, count)["id"] for count in (2, 5, 8)]
    assert [len(part) for part in names] == [2, 5, 8]
    assert set(names[0]) < set(names[1]) < set(names[2]) == set(rows["id"])
    assert list(names[0]) == list(take_rows(rows, 2)["id"])
    assert list(names[2]) != list(take_rows(rows, 8, seed=1)["id"])
    assert take_rows(rows, None) is rows
    for count in (0, -1, 9):
        with pytest.raises(ValueError, match=f"Cannot take {count} clips of 8; take from 1 to 8"):
            take_rows(rows, count)


def test_curves_that_are_logged(make_trainer: Callable, tmp_path: Path) -> None:
    trainer = make_trainer(logging_steps=2)
    seen: list[dict[str, float]] = []
    trainer.model.register_forward_hook(lambda module, inputs, output: seen.append({name: value.item() for name, value in output.items()}))
    trainer.train()
    logged = [entry for entry in history(tmp_path / "run") if "loss" in entry]
    assert [entry["step"] for entry in logged] == [2, 4]
    for entry, pair in zip(logged, (seen[:2], seen[2:]), strict=True):
        for name in ("mse", "motion_consistency", "text_consistency"):
            assert entry[name] == pytest.approx(np.mean([losses[name] for losses in pair]), rel=1e-5)
        assert entry["loss"] == pytest.approx(entry["mse"] + 10 * entry["motion_consistency"] + 2 * entry["text_consistency"], rel=1e-4)
        assert 0 < entry["text_encoder_grad_norm"] < entry["grad_norm"]
    assert set(read_history(tmp_path / "run")) >= {"loss", "mse", "motion_consistency", "text_consistency", "text_encoder_grad_norm"}


def test_scores_while_training(make_trainer: Callable, tmp_path: Path) -> None:
    """Every so many steps, with this step's averages, leaving no folder and not moving the training."""
    judges = [str(save_tiny_retrieval_model(tmp_path / kind, kind)) for kind in ("t2m-evaluator", "tmr")]
    clips = load_motion_rows(str(FIXTURES / "evaluation_clips.parquet"), "test")
    pipeline = adaqf()
    score = EvaluateMotionsCallback(pipeline, clips, 2, 6, 1, *judges, show_progress=False)
    trainer = make_trainer("scored", pipeline, [score])
    updates = []
    generate, step = trainer.pipeline.encode_prompt, trainer.ema.step
    trainer.ema.step = lambda parameters: (updates.append("average"), step(parameters))
    trainer.pipeline.encode_prompt = lambda prompts: (updates.append("generate"), generate(prompts))[1]
    trainer.train()
    assert updates[:3] == ["average", "average", "generate"]
    logged = read_history(tmp_path / "scored")
    for name in ("eval_fid", "eval_r_precision_top1", "eval_r_precision_top3", "eval_tmr_r_precision_top3", "eval_skating_ratio"):
        assert [at for at, _ in logged[name]] == [2, 4], name
        assert all(math.isfinite(value) for _, value in logged[name])
    assert logged["eval_fid"][0][1] != logged["eval_fid"][1][1]
    assert [at for at, _ in logged["mse"]] == [1, 2, 3, 4]
    assert sorted(path.name for path in (tmp_path / "scored").iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert trainer.model.denoiser.training is False
    make_trainer("plain").train()
    first, second = (load_file(tmp_path / run / "checkpoint-4" / "model.safetensors") for run in ("scored", "plain"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (
            {"skeleton": "kit-21"},
            {},
            "humanml3d of kit-21 at 12.5 fps, the generator makes humanml3d of humanml3d-22 at 20 fps.*Train",
        ),
        ({"fps": 30.0}, {}, "at 30 fps, the generator makes .* at 20 fps"),
        ({"max_frames": 24}, {}, "reads up to 24 frames, the generator makes up to 40. Lower"),
        ({}, {"motion_weight": -1.0}, "must not be negative, got motion -1.0 and text 2.0"),
    ],
)
def test_extractors_refused(tmp_path: Path, features: dict, options: dict, message: str) -> None:
    folder = save_tiny_retrieval_model(tmp_path, "adaqf-extractors", **features)
    with pytest.raises(ValueError, match=message):
        feedback(folder, **options)


@pytest.mark.parametrize("kind", ["t2m-evaluator", "tmr"])
def test_other_retrieval_models_judge_too(tmp_path: Path, kind: str) -> None:
    """Table 7 of the paper."""
    judge = feedback(save_tiny_retrieval_model(tmp_path, kind))
    predicted, target, mask = draw()
    embeds = judge.embed_captions(["a person walks", "turn", "jump"])
    losses = judge(predicted.requires_grad_(), target, mask, torch.stack(list(embeds.values())), torch.ones(3, dtype=torch.bool))
    judge.weighted(losses).backward()
    assert all(predicted.grad[row][: int(mask[row].sum()) // 4 * 4].any() for row in range(3))
    assert not predicted.grad[~mask.bool()].any()


def test_feedback_needs_predicted_motion(make_trainer: Callable) -> None:
    trainer = make_trainer(max_steps=1)
    pipeline = trainer.pipeline
    pipeline.scheduler = pipeline.scheduler.from_config(pipeline.scheduler.config, prediction_type="epsilon")
    with pytest.raises(ValueError, match="prediction_type='sample', got 'epsilon'"):
        DiffusionTrainer(pipeline, trainer.args, trainer.train_dataset)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of 'none', 'lora', 'full', got 'half'"):
        DiffusionTrainingArguments(output_dir=str(tmp_path), use_cpu=True, text_encoder_tuning="half")


def test_real_motions_are_embedded_once(make_trainer: Callable, rows: Dataset) -> None:
    trainer = make_trainer(pipeline=adaqf(max_frames=196))
    batch = batch_of(trainer)
    assert batch["real_embeds"].shape == (4, trainer.model._feedback[0].extractors.config.embed_dim)
    trainer.model.eval()
    known = trainer.model(**batch)
    anew = trainer.model(**{name: value for name, value in batch.items() if name != "real_embeds"})
    torch.testing.assert_close(known["motion_consistency"], anew["motion_consistency"], atol=1e-6, rtol=1e-5)
    # A batch with a clip that is cut at random is embedded as it comes.
    trainer.data_collator.real[EXAMPLES[0][0]] = None
    assert "real_embeds" not in batch_of(trainer)


def test_a_loss_that_is_no_number_names_its_clips(make_trainer: Callable, tmp_path: Path) -> None:
    trainer = make_trainer(per_device_train_batch_size=3, max_steps=40, epoch_size=3)
    bad = 1
    trainer.train_dataset.ids[bad] = "the-bad-clip"

    class Spoil(TrainerCallback):
        def on_save(self, *args, **kwargs) -> None:
            trainer.train_dataset.features[bad][:] = torch.nan

    trainer.add_callback(Spoil())
    with pytest.raises(FloatingPointError, match=r"is nan\. Its clips: .*the-bad-clip.*checkpoint-") as error:
        trainer.train()
    step = int(str(error.value).split("step ")[1].split(" ")[0])
    assert step > 2
    weights = load_file(last_checkpoint(tmp_path / "run") / "model.safetensors")
    assert all(value.isfinite().all() for value in weights.values())
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_long_captions_are_warned_of_once(make_trainer: Callable, rows: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = adaqf()
    pipeline.register_to_config(max_text_tokens=4)
    trainer = make_trainer(pipeline=pipeline, max_steps=1)
    trainer.train()
    warnings = [record.getMessage() for record in caplog.records if "are cut" in record.getMessage()]
    assert len(warnings) == 1
    assert "longer than 4 tokens" in warnings[0]
    assert batch_of(trainer)["input_ids"].shape[1] <= 4


def test_lora_targets(make_trainer: Callable) -> None:
    with pytest.raises(ValueError, match=r"\['query'\] match nothing; .*'fc1', 'fc2', 'k_proj'"):
        make_trainer(lora_target_modules=["query", "fc1"])
    trainer = make_trainer(lora_target_modules=["v_proj"])
    trained = [name for name, parameter in trainer.model.text_encoder.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".v_proj.lora_" in name for name in trained)
