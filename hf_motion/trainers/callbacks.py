"""Callbacks for `transformers.Trainer`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..checkpoints import EMBEDDED_EVALUATOR, EMBEDDED_TMR
from ..pipelines.motion_diffusion import MotionDiffusionPipeline
from ..rendering import require_video
from ..retrieval.embedder import MotionTextEmbedder
from .averaging import averaged_weights

_WATCHED = ("fid", "r_precision_top1", "r_precision_top3", "tmr_r_precision_top3", "skating_ratio")


class SampleMotionsCallback(TrainerCallback):
    """Draws what the model makes of a few prompts while it trains: a contact sheet and a video in `output_dir/samples`.

    Args:
        pipeline (`MotionDiffusionPipeline`): The pipeline in training.
        prompts (`list[str]`): Prompts.
        every (`int`): Steps between samples; 0 draws none.
        num_frames (`int`, *optional*): Length, the pipeline's default if not given.
    """

    def __init__(self, pipeline: MotionDiffusionPipeline, prompts: Sequence[str], every: int, num_frames: int | None = None) -> None:
        self.pipeline, self.prompts, self.every, self.num_frames = pipeline, list(prompts), every, num_frames
        if every and prompts:
            require_video()  # now rather than at the first drawing, hours later
        self.trainer: Any = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: torch.nn.Module, **kwargs: Any
    ) -> None:
        """Draw when the step has come."""
        if not self.every or state.global_step % self.every or not state.is_world_process_zero or not self.prompts:
            return
        from ..rendering import save_contact_sheet, save_video

        folder = Path(args.output_dir) / "samples"
        with _as_finished(self.pipeline, model, self.trainer.ema):
            motions = self.pipeline(self.prompts, num_frames=self.num_frames, generator=torch.Generator().manual_seed(0)).motions
        save_contact_sheet(motions, folder / f"step-{state.global_step:07d}.png")
        save_video(motions, folder / f"step-{state.global_step:07d}.mp4")


class EvaluateMotionsCallback(TrainerCallback):
    """Scores the model on real clips while it trains, and logs `eval_fid`, `eval_r_precision_top3`, `eval_skating_ratio`, ...

    One replication of the `strict` protocol: enough for a curve, not for a table. Every process makes a part of the motions.

    Args:
        system (`MotionDiffusionPipeline` or `PreTrainedModel`): What is in training: a pipeline, or a model with `generate_motion`.
        rows (`datasets.Dataset`): Clips that it does not learn from.
        every (`int`): Steps between evaluations; 0 for none.
        max_clips (`int`, *optional*): Use the first ones only.
        num_inference_steps (`int`, *optional*): Steps of sampling, the system's default if not given.
        evaluator (`str`, *optional*): Folder or repository of a `T2MEvaluator`, the one inside the package by default.
        alignment (`str`, *optional*): The same of a `TMR`.
        show_progress (`bool`, defaults to `True`): Show progress bars.
    """

    def __init__(
        self,
        system: MotionDiffusionPipeline | PreTrainedModel,
        rows: Any,
        every: int,
        max_clips: int | None = None,
        num_inference_steps: int | None = None,
        evaluator: str | None = None,
        alignment: str | None = None,
        show_progress: bool = True,
    ) -> None:
        from ..evaluation.clips import EvaluationClips
        from ..evaluation.generation import GenerationScorer
        from ..evaluation.protocol import get_protocol

        self.system, self.every, self.num_inference_steps = system, every, num_inference_steps
        self.trainer: Any = None
        judge = MotionTextEmbedder.from_pretrained(evaluator or EMBEDDED_EVALUATOR)
        aligner = MotionTextEmbedder.from_pretrained(alignment or EMBEDDED_TMR)
        longest = min(system.feature_extractor.max_frames, 196)
        clips = EvaluationClips.from_rows(rows, judge.feature_extractor, min(40, longest), max_clips=max_clips)
        pools = {"pool_size": min(32, len(clips)), "alignment_pool_size": min(256, len(clips))}
        protocol = get_protocol("strict", replications=1, max_frames=longest, min_frames=min(40, longest), **pools)
        self.scorer = GenerationScorer(clips, protocol, judge, aligner, drop_non_finite=True, show_progress=show_progress)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any) -> None:
        """Score when the step has come."""
        if not self.every or state.global_step % self.every:
            return
        from ..evaluation.generations import system_generator

        options = {"num_inference_steps": self.num_inference_steps} if self.num_inference_steps else {}
        name, folder = "model", Path(args.output_dir) / f".scored-motions-{state.global_step:07d}"
        with _as_finished(self.system, model, self.trainer.ema):
            generate = system_generator(self._generator(), self.scorer.evaluator.feature_extractor, options)
            rows = self.scorer.score({name: generate}, folder, {name: {"step": state.global_step, **options}})
        self.scorer.forget(name)
        self.trainer.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            shutil.rmtree(folder)
        logs = control.should_log
        self.trainer.log({f"eval_{metric}": values[0] for metric, values in rows[name].items() if metric in _WATCHED})
        control.should_log = logs  # or this would stand for the log of the step

    def _generator(self) -> PreTrainedModel:
        from ..pipelines.motion_system.modeling_motion_system import MotionSystem

        return self.system if isinstance(self.system, PreTrainedModel) else MotionSystem.from_pipeline(self.system)


@contextmanager
def _as_finished(system: MotionDiffusionPipeline | PreTrainedModel, model: nn.Module, ema: EMAModel | None) -> Iterator[None]:
    """The system as it would be if training ended now: averaged weights, evaluation mode, no progress bar."""
    training = model.training
    model.eval()
    if isinstance(system, MotionDiffusionPipeline):
        system.set_progress_bar_config(disable=True)
    try:
        with averaged_weights(ema, model):
            yield
    finally:
        model.train(training)
