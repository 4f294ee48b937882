"""What a language model sees of a video: vectors of frozen towers, put into its width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.auto.modeling_auto import AutoModel

from ..gemini_mvr.configuration_gemini_mvr import ActionLevelConfig
from ..gemini_mvr.networks import ActionLevel
from .configuration_vimorag import VimoRAGConfig


class KeypointTower(ActionLevel):
    """The action level of a `GeminiMVR` without its text tower; weights have the same names.

    Args:
        config (`ActionLevelConfig`): Sizes.
    """

    def __init__(self, config: ActionLevelConfig) -> None:
        super().__init__()
        self.build_action_level(config)


class VideoPrefix(nn.Module):
    """Towers, each with a projector of two layers into the language model's width; squares of patches are averaged behind it.

    Vectors of a video are those of single frames, then those of chunks of frames, then those of keypoints, as far as there are towers.

    Args:
        config (`VimoRAGConfig`): Configuration.
    """

    def __init__(self, config: VimoRAGConfig) -> None:
        super().__init__()
        self.config = config
        self.towers, self.projectors = nn.ModuleDict(), nn.ModuleDict()
        hidden = config.text_config.hidden_size
        for name in config.towers:
            if name == "keypoints":
                tower: nn.Module = KeypointTower(config.keypoint_config)
                width = config.keypoint_config.hidden_size
            else:
                tower = AutoModel.from_config(config.tower_config(name))
                width = config.tower_config(name).hidden_size
            self.towers[name] = tower.requires_grad_(not config.freeze_towers)
            self.projectors[name] = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))

    def train(self, mode: bool = True) -> VideoPrefix:
        """As of every module, but frozen towers never drop anything out."""
        super().train(mode)
        if self.config.freeze_towers:
            self.towers.eval()
        return self

    def forward(
        self,
        motion_features: Tensor | None = None,
        frame_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
    ) -> list[Tensor]:
        """Vectors of videos.

        Args:
            motion_features (`torch.Tensor`, *optional*): (videos, frames, 51), for the keypoint tower.
            frame_mask (`torch.Tensor`, *optional*): (videos, frames), 1 on frames that there are.
            pixel_values (`torch.Tensor`, *optional*): (videos, num_frames, 3, height, width), for the tower of single frames.
            pixel_values_videos (`torch.Tensor`, *optional*): The same, for that of chunks.

        Returns:
            `list[torch.Tensor]`: (`config.prefix_length(frames)`, hidden_size) of each video.

        Raises:
            ValueError: If a tower gets nothing, something has no tower, or a shape is wrong.
        """
        given = {"images": pixel_values, "videos": pixel_values_videos, "keypoints": motion_features}
        missing = [name for name, value in given.items() if (value is not None) != (name in self.towers)]
        if missing:
            raise ValueError(
                f"This model looks at {' and '.join(self.towers)} of videos; what it was given is wrong for {' and '.join(missing)}. "
                "VimoRAGProcessor makes all that it reads."
            )
        parts: list[list[Tensor]] = []
        for name in self.towers:
            if name == "keypoints":
                parts.append(self._of_keypoints(given[name], frame_mask))
            else:
                parts.append(list(self._of_pixels(name, given[name])))
        return [torch.cat(vectors) for vectors in zip(*parts, strict=True)]

    def _of_keypoints(self, features: Any, mask: Tensor | None) -> list[Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_towers):
            states, mask = self.towers["keypoints"].segments(features, mask)
        projected = self.projectors["keypoints"](states)
        return [row[kept.bool()] for row, kept in zip(projected, mask, strict=True)]

    def _of_pixels(self, name: str, pixels: Any) -> Tensor:
        """(videos, vectors, hidden_size)."""
        config, frames = self.config, self.config.num_frames
        if pixels.ndim != 5 or pixels.shape[1] != frames:
            raise ValueError(f"Frames must be (videos, {frames}, 3, height, width), got {tuple(pixels.shape)}.")
        tower, steps, grid = self.towers[name], config.steps(name), config.grid(name)
        seen = pixels.flatten(0, 1) if name == "images" else pixels.unflatten(1, (-1, config.chunk_frames)).flatten(0, 1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not config.freeze_towers):
            options = {tower.main_input_name: seen.to(tower.dtype), "output_hidden_states": True}
            states = tower(**options).hidden_states[config.feature_layer]
        patches = steps * grid * grid
        if states.shape[1] not in (patches, patches + 1):
            raise ValueError(
                f"A {type(tower).__name__} gives {states.shape[1]} vectors, and {patches} patches, perhaps with a class token, were "
                "expected. Look at chunk_frames and the tower's image_size and patch_size."
            )
        projected = self.projectors[name](states[:, -patches:])
        squares = projected.reshape(-1, grid, grid, projected.shape[-1]).permute(0, 3, 1, 2)
        pooled = F.avg_pool2d(squares, config.pooling(name)).flatten(2).transpose(1, 2)
        return pooled.reshape(len(pixels), -1, pooled.shape[-1])
