"""Denoisers that were distilled to make a motion in a few steps: what they learned, and what does not go with that."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from diffusers.schedulers import SchedulerMixin

from ..utils.text import say

SCHEDULE = (
    "num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type", "original_inference_steps", "timestep_scaling",
)  # fmt: skip
"""What of a scheduler's configuration a distilled denoiser depends on."""


def lcm_scheduler(scheduler: SchedulerMixin, original_inference_steps: int, timestep_scaling: float = 10.0) -> SchedulerMixin:
    """`LCMScheduler` of diffusers with the noise of a teacher's scheduler.

    Args:
        scheduler (`SchedulerMixin`): The teacher's.
        original_inference_steps (`int`): Noise levels of the distillation.
        timestep_scaling (`float`, defaults to 10.0): See `LCMScheduler`.

    Example:
        >>> from diffusers import DDPMScheduler
        >>> few = lcm_scheduler(DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample"), 50)
        >>> few.set_timesteps(4)
        >>> few.timesteps.tolist()
        [999, 759, 499, 259]
    """
    from diffusers import LCMScheduler  # seconds, for those alone who take few steps

    taken = {name: scheduler.config[name] for name in inspect.signature(LCMScheduler.__init__).parameters if name in scheduler.config}
    own = {"original_inference_steps": original_inference_steps, "timestep_scaling": timestep_scaling}
    return LCMScheduler(**{**taken, **own})


@dataclass(frozen=True)
class FewSteps:
    """How a distilled denoiser is sampled: `few_steps` in a checkpoint's `model_index.json`.

    Args:
        num_inference_steps (`tuple[int, ...]`): Step counts that it was distilled for.
        guidance_range (`tuple[float, float]`): Guidance scales that the teacher had meanwhile.
        guidance_scale (`float`): The one that a call takes by default.
        guidance_embedded (`bool`): Whether the denoiser reads the scale; otherwise it has learned the mean of the range.
        schedule (`dict`): The scheduler's values of `SCHEDULE`.

    Raises:
        ValueError: If there is no step count, or the range is not one.
    """

    num_inference_steps: tuple[int, ...]
    guidance_range: tuple[float, float]
    guidance_scale: float
    guidance_embedded: bool
    schedule: dict[str, Any]

    def __post_init__(self) -> None:
        low, high = self.guidance_range
        if not 1 <= low <= self.guidance_scale <= high:
            raise ValueError(
                f"Guidance scales of a distillation are at least 1 and in order, got the range {low:g} to {high:g} and "
                f"{self.guidance_scale:g} as what a call takes."
            )
        if not self.num_inference_steps or min(self.num_inference_steps) < 1:
            raise ValueError(f"A distillation is for one or more counts of at least 1 step, got {list(self.num_inference_steps)}.")

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> FewSteps:
        """What `model_index.json` holds.

        Raises:
            ValueError: If a value is missing or of another kind.
        """
        try:
            return cls(
                tuple(int(count) for count in values["num_inference_steps"]),
                (float(values["guidance_range"][0]), float(values["guidance_range"][1])),
                float(values["guidance_scale"]),
                bool(values["guidance_embedded"]),
                dict(values["schedule"]),
            )
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(
                f"few_steps in model_index.json is {dict(values) if isinstance(values, Mapping) else values!r}, which does not tell how a "
                f"distilled denoiser is sampled ({error}). Put back what training/train_distillation.py wrote."
            ) from error

    def to_config(self) -> dict[str, Any]:
        """For `model_index.json`."""
        return {**asdict(self), "num_inference_steps": list(self.num_inference_steps), "guidance_range": list(self.guidance_range)}

    @property
    def most_steps(self) -> int:
        """The largest count that it was distilled for."""
        return max(self.num_inference_steps)

    def check_scheduler(self, scheduler: SchedulerMixin) -> None:
        """Refuse a scheduler that does other steps than the distillation.

        Raises:
            ValueError: If it is no `LCMScheduler`, or has other noise levels; the message names what differs.
        """
        way_out = "Take LCMScheduler.from_config(pipe.scheduler.config, ...) with the values of the distillation"
        if type(scheduler).__name__ != "LCMScheduler":
            raise ValueError(
                f"This denoiser was distilled for the steps of diffusers' LCMScheduler; {type(scheduler).__name__} makes noise of it. "
                f"{way_out}: {self.schedule}."
            )
        others = {name: getattr(scheduler.config, name, None) for name, value in self.schedule.items()}
        others = {name: value for name, value in others.items() if value != self.schedule[name]}
        if others:
            wanted = {name: self.schedule[name] for name in others}
            raise ValueError(f"The scheduler has {others}, the denoiser was distilled with {wanted}. {way_out}.")

    def check_steps(self, count: int) -> None:
        """Warn of a number of steps that the distillation was not for.

        Raises:
            ValueError: If there are not so many noise levels.
        """
        most = self.schedule.get("original_inference_steps", self.most_steps)
        known = ", ".join(map(str, self.num_inference_steps))
        if count > most:
            raise ValueError(f"num_inference_steps={count}: this denoiser was distilled on {most} noise levels, for {known} steps.")
        if count not in self.num_inference_steps:
            say(
                f"num_inference_steps={count}: this denoiser was distilled for {known} steps; with others motions may be worse.",
                "were made in a number of steps that the distillation never saw",
            )

    def guidance(self, asked: float | None) -> float:
        """The guidance scale of a call, 1 where the denoiser does not read it.

        Raises:
            ValueError: If one is asked for that the weights hold already.
        """
        low, high = self.guidance_range
        if not self.guidance_embedded:
            if asked not in (None, 1):
                raise ValueError(
                    f"guidance_scale={asked:g}: guidance is in the weights of this denoiser already, it was distilled with {low:g} to "
                    f"{high:g}, and would be given twice. Leave guidance_scale out."
                )
            return 1.0
        if asked is None:
            return self.guidance_scale
        if not low <= asked <= high:
            say(
                f"guidance_scale={asked:g}: this denoiser was distilled with {low:g} to {high:g}; with others motions may be worse.",
                "were made with a guidance that the distillation never saw",
            )
        return asked
