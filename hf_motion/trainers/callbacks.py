"""Callbacks for `transformers.Trainer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..pipelines.motion_diffusion import MotionDiffusionPipeline
from ..rendering import require_video
from .averaging import averaged_weights


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
        self.ema: EMAModel | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: torch.nn.Module, **kwargs: Any
    ) -> None:
        """Draw when the step has come."""
        if not self.every or state.global_step % self.every or not state.is_world_process_zero or not self.prompts:
            return
        from ..rendering import save_contact_sheet, save_video

        folder = Path(args.output_dir) / "samples"
        training = model.training
        model.eval()
        self.pipeline.set_progress_bar_config(disable=True)
        with averaged_weights(self.ema, model):
            motions = self.pipeline(self.prompts, num_frames=self.num_frames, generator=torch.Generator().manual_seed(0)).motions
        model.train(training)
        save_contact_sheet(motions, folder / f"step-{state.global_step:07d}.png")
        save_video(motions, folder / f"step-{state.global_step:07d}.mp4")
