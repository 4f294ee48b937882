"""Few steps: what is learned, how it is sampled, adapters, and what does not go together."""

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler
from scripts import run_script
from tiny import FIXTURES, seeded, tiny_pipeline
from tiny_latent import tiny_mld, tiny_salad
from transformers import pipeline

from hf_motion import MDMPipeline, MotionFeatureExtractor
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.nn.predictions import clean_and_noise
from hf_motion.pipelines.few_steps import FewSteps
from hf_motion.trainers.distillation import DistillationArguments, DistillationTrainer, check_teacher
from hf_motion.trainers.resuming import last_checkpoint

CLIPS = FIXTURES / "clips.parquet"
SETTINGS = {
    "report_to": "none", "use_cpu": True, "disable_tqdm": True, "max_steps": 2, "per_device_train_batch_size": 2, "epoch_size": 4,
    "original_inference_steps": 10, "guidance_embedding_dim": 8, "logging_steps": 1, "num_inference_steps": [1, 2, 4],
}  # fmt: skip


def teacher_of(kind: str) -> Any:
    latent = {"mld": tiny_mld, "salad": tiny_salad}
    pipe = latent[kind]() if kind in latent else tiny_pipeline(steps=50, dropout=0.0, attention_dropout=0.0)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def dataset() -> MotionTextDataset:
    return MotionTextDataset(load_motion_rows(str(CLIPS), "train"), tiny_mld().feature_extractor, show_progress=False)


def trainer_of(teacher: Any, dataset: MotionTextDataset, folder: Path, **options: Any) -> DistillationTrainer:
    arguments = DistillationArguments(output_dir=str(folder), **{**SETTINGS, **options})
    return DistillationTrainer(teacher, arguments, dataset)


@pytest.mark.parametrize("kind", ["mdm", "mld"])
def test_the_loss_is_that_of_latent_consistency(kind: str, dataset: MotionTextDataset, tmp_path: Path) -> None:
    """Written out once more for one example: student at one level, averaged student at the next, where the guided teacher leads."""
    teacher = teacher_of(kind)
    trainer = trainer_of(teacher, dataset, tmp_path, loss="l2")
    objective = trainer.model.eval()
    torch.nn.init.normal_(objective.student.guidance_projection.weight, std=0.1)
    torch.nn.init.normal_(objective.target.guidance_projection.weight, std=0.1)
    batch = trainer.data_collator([dataset[1, 7]])
    clean, mask = batch["motion_features"], {"attention_mask": batch["attention_mask"]} if kind == "mdm" else {}
    noise, index, scale = objective._draw(clean, mask.get("attention_mask"), batch["seeds"])
    start = (index + 1) * 5 - 1
    end = (start - 5).clamp(min=0)
    alphas, kind_of = teacher.scheduler.alphas_cumprod, teacher.scheduler.config.prediction_type
    noisy = alphas[start].sqrt() * clean + (1 - alphas[start]).sqrt() * noise
    states = batch["text_states"]
    nothing = torch.zeros_like(states) if kind == "mdm" else teacher.encode_prompt([""])[0]
    with torch.no_grad():
        with_text, without = (teacher.denoiser(noisy, start, text, None, **mask).sample for text in (states, nothing))
        guided = with_text + (scale - 1) * (with_text - without)
        found, found_noise = clean_and_noise(guided, noisy, start, alphas, kind_of)
        before = alphas[end].sqrt() * found + (1 - alphas[end]).sqrt() * found_noise

        def consistent(denoiser: torch.nn.Module, sample: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            from hf_motion.nn.guidance import guidance_embedding

            made = denoiser(sample, at, states, None, **mask, timestep_cond=guidance_embedding(scale - 1, 8)).sample
            made = clean_and_noise(made, sample, at, alphas, kind_of)[0]
            skip, out = LCMScheduler().get_scalings_for_boundary_condition_discrete(int(at))
            return skip * sample + out * made

        expected = (consistent(objective.student, noisy, start) - consistent(objective.target, before, end)).square().mean()
        torch.testing.assert_close(objective(**batch)["loss"], expected, atol=1e-5, rtol=1e-4)


def test_resumed_equals_uninterrupted_and_learns(dataset: MotionTextDataset, tmp_path: Path) -> None:
    """Student and average are both in a checkpoint; the teacher stays as it is."""
    from safetensors.torch import load_file

    teacher = teacher_of("mdm")
    before = copy.deepcopy(teacher.denoiser.state_dict())
    whole = trainer_of(teacher, dataset, tmp_path / "whole", max_steps=4, save_steps=2, learning_rate=1e-2)
    whole.train()
    (tmp_path / "parts").mkdir()
    (tmp_path / "whole" / "checkpoint-2").rename(tmp_path / "parts" / "checkpoint-2")
    parts = trainer_of(teacher_of("mdm"), dataset, tmp_path / "parts", max_steps=4, save_steps=2, learning_rate=1e-2)
    parts.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "parts")))
    one, other = (load_file(tmp_path / run / "checkpoint-4" / "model.safetensors") for run in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    name = "blocks.0.mlp.0.weight"
    assert torch.equal(teacher.denoiser.state_dict()[name], before[name])
    student, target = one[f"student.{name}"], one[f"target.{name}"]
    assert 0 < (target - before[name]).abs().max() < (student - before[name]).abs().max()
    assert any(key.startswith("student.guidance_projection") for key in one)


@pytest.mark.parametrize("kind", ["mdm", "mld", "salad"])
def test_a_distilled_pipeline(kind: str, dataset: MotionTextDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One, two and four steps of LCMScheduler, one pass a step, through every door; other counts and guidances are warned of."""
    trainer = trainer_of(teacher_of(kind), dataset, tmp_path / "run")
    trainer.train()
    trainer.save_pipeline(tmp_path / "pipeline")
    pipe = type(trainer.teacher).from_pretrained(tmp_path / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    assert isinstance(pipe.scheduler, LCMScheduler)
    assert (pipe.default_steps, pipe.default_guidance) == (4, trainer.teacher.default_guidance)
    rows: list[int] = []
    pipe.denoiser.register_forward_pre_hook(lambda module, args, kwargs: rows.append(len(kwargs["condition"].text)), with_kwargs=True)
    for steps in (1, 2, 4):
        rows.clear()
        assert len(pipe("a person walks", 12, num_inference_steps=steps, generator=seeded()).motions[0]) == 12
        assert rows == [1] * steps
    assert not caplog.records
    weak, strong = (pipe("a person walks", 12, guidance_scale=scale, generator=seeded(), output_type="latent").motions for scale in (2, 5))
    assert torch.equal(weak, strong) != bool(pipe.denoiser.guidance_projection.weight.any())
    with caplog.at_level(logging.WARNING, logger="hf_motion"):
        pipe("a person walks", 12, num_inference_steps=3)
        pipe("a person walks", 12, guidance_scale=100.0)
    assert "distilled for 1, 2, 4 steps" in caplog.text
    assert "guidance_scale=100" in caplog.text
    motion = pipeline("text-to-motion", model=str(tmp_path / "pipeline"))("a person walks", 12, generator=seeded())
    np.testing.assert_allclose(motion.joints, pipe("a person walks", 12, generator=seeded()).motions[0].joints, atol=1e-4)


def test_what_does_not_go_together(dataset: MotionTextDataset, tmp_path: Path) -> None:
    trainer = trainer_of(teacher_of("mdm"), dataset, tmp_path)
    pipe = trainer.pipeline
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(ValueError, match="distilled on 10 noise levels, for 1, 2, 4 steps"):
        pipe("a", 12, num_inference_steps=11)
    own = pipe.scheduler
    pipe.scheduler = DDIMScheduler.from_config(own.config)
    with pytest.raises(ValueError, match=r"DDIMScheduler makes noise of it\. Take LCMScheduler\.from_config"):
        pipe("a", 12)
    pipe.scheduler = LCMScheduler.from_config(own.config, original_inference_steps=25)
    with pytest.raises(ValueError, match=r"has \{'original_inference_steps': 25\}, the denoiser was distilled with"):
        pipe("a", 12)
    pipe.scheduler = own
    with pytest.raises(ValueError, match="guidance is in its weights, and would be given twice"):
        check_teacher(pipe, 10)
    with pytest.raises(ValueError, match="51 is more than the 50 levels"):
        check_teacher(teacher_of("mdm"), 51)
    other = MDMPipeline(**{**teacher_of("mdm").components, "feature_extractor": MotionFeatureExtractor(skeleton="kit-21")})
    with pytest.raises(ValueError, match=r"'kit-21' with 21 joints, the data set's have 22"):
        check_teacher(other, 10, load_motion_rows(str(CLIPS), "train"))
    with pytest.raises(ValueError, match="does not tell how a distilled denoiser is sampled"):
        FewSteps.from_config({"num_inference_steps": [4]})
    for options, message in (
        ({"loss": "l1"}, "loss must be one of"),
        ({"num_inference_steps": [20]}, "from 1 to original_inference_steps=10"),
        ({"guidance_range": [3.0]}, "the lowest and the highest"),
        ({"lora_rank": 2, "beside_teacher": True}, "saved alone"),
    ):
        with pytest.raises(ValueError, match=message):
            DistillationArguments(output_dir=str(tmp_path), **{**SETTINGS, **options})
    with pytest.raises(ValueError, match="in order, got the range 3 to 2"):
        trainer_of(teacher_of("mdm"), dataset, tmp_path, guidance_range=[3.0, 2.0])


def test_an_adapter_goes_beside_its_teacher(dataset: MotionTextDataset, tmp_path: Path) -> None:
    """LCM-LoRA: few steps take it, many the teacher; it holds its guidance, so that none can be asked for."""
    trainer = trainer_of(teacher_of("mdm"), dataset, tmp_path / "run", lora_rank=2, learning_rate=0.1)
    trainer.train()
    trainer.save_pipeline(tmp_path / "adapter")
    assert "num_inference_steps=4" in (tmp_path / "adapter" / "README.md").read_text()
    assert str(tmp_path) not in (tmp_path / "adapter" / "adapter_config.json").read_text()
    plain, pipe = teacher_of("mdm"), teacher_of("mdm")
    pipe.load_lora_weights(tmp_path / "adapter")
    latents = {"output_type": "latent", "num_frames": 12}
    same = {"num_inference_steps": 10, "generator": seeded()}
    expected = plain("a person walks", **latents, **{**same, "generator": seeded()}).motions
    torch.testing.assert_close(pipe("a person walks", **latents, **same).motions, expected)
    few = pipe("a person walks", **latents, num_inference_steps=4, generator=seeded()).motions
    student = trainer.pipeline("a person walks", **latents, num_inference_steps=4, generator=seeded()).motions
    torch.testing.assert_close(few, student, atol=1e-4, rtol=1e-4)
    assert isinstance(pipe.scheduler, type(plain.scheduler))  # of the pipeline itself
    with pytest.raises(ValueError, match=r"guidance_scale=2: guidance is in the weights .* given twice"):
        pipe("a", 12, num_inference_steps=2, guidance_scale=2.0)
    pipe.save_pretrained(tmp_path / "both")
    again = MDMPipeline.from_pretrained(tmp_path / "both")
    again.set_progress_bar_config(disable=True)
    torch.testing.assert_close(again("a person walks", **latents, num_inference_steps=4, generator=seeded()).motions, few)
    with pytest.raises(ValueError, match="takes few steps already"):
        pipe.load_lora_weights(tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"distilled from a MDMDenoiser .* this pipeline has a MLDDenoiser"):
        tiny_mld().load_lora_weights(tmp_path / "adapter")
    with pytest.raises(ValueError, match="does not fit this MDMDenoiser"):
        tiny_pipeline(steps=50, num_layers=1).load_lora_weights(tmp_path / "adapter")
    with pytest.raises(ValueError, match="The scheduler has"):
        tiny_pipeline(steps=20).load_lora_weights(tmp_path / "adapter")


def test_the_script_saves_both_as_one(tmp_path: Path) -> None:
    """One folder, shared parts once: few steps take the student, more the teacher."""
    teacher_of("mdm").save_pretrained(tmp_path / "teacher")
    words = ["--pipeline", tmp_path / "teacher", "--dataset", CLIPS, "--output_dir", tmp_path / "run", "--beside_teacher", "true"]
    settings = {name: value for name, value in SETTINGS.items() if name != "num_inference_steps"}
    more = [word for name, value in settings.items() for word in (f"--{name}", str(value).lower())]
    run_script("train_distillation", [*words, *more, "--num_inference_steps", 1, 4])
    pipe = MDMPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    index = MDMPipeline.load_config(tmp_path / "run" / "pipeline")
    assert index["few_step_scheduler"] == ["diffusers", "LCMScheduler"]
    assert index["scheduler"] == ["diffusers", "DDPMScheduler"]
    seen: list[str] = []
    pipe.denoiser.register_forward_pre_hook(lambda *_: seen.append("teacher"))
    pipe.few_step_denoiser.register_forward_pre_hook(lambda *_: seen.append("student"))
    for steps in (1, 4, 5):
        pipe("a person walks", 12, num_inference_steps=steps)
    assert seen == ["student"] * 5 + ["teacher"] * 5
    assert pipe.default_guidance == 2.5
