"""Configuration of `VimoRAGForCausalLM`."""

from __future__ import annotations

from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..checked import CheckedConfig
from ..gemini_mvr.configuration_gemini_mvr import ActionLevelConfig

TOWERS = ("images", "videos", "keypoints")
"""Parts of a prefix, in their order: single frames, chunks of frames, and the person's joints."""


class VimoRAGConfig(CheckedConfig):
    """A language model and what it sees of a video; the defaults around the towers are the published ones.

    Args:
        text_config (`PreTrainedConfig` or `dict`): The language model, any decoder of transformers; a dictionary names its `model_type`.
        image_config (`PreTrainedConfig` or `dict`, *optional*): Tower that sees each frame alone; published: CLIP L/14-336's.
        video_config (`PreTrainedConfig` or `dict`, *optional*): Tower that sees `chunk_frames` frames at a time, such as a VideoMAE;
            published: InternVideo2, which transformers does not have.
        keypoint_config (`ActionLevelConfig` or `dict`, *optional*): Action level of a `GeminiMVR`, which gives one vector a frame.
        num_frames (`int`, defaults to 16): Frames of a video. Towers of pictures see zero frames where it has fewer, as published; frames
            without keypoints have no vector.
        sampling (`str`, defaults to `"vimorag"`): Which frames, as for `hf_motion.video.read_frames`.
        chunk_frames (`int`, defaults to 4): Frames that the video tower sees at a time; must divide `num_frames`.
        image_pooling (`int`, defaults to 2): Side of the squares of patches that are averaged into one vector, behind the projector.
        video_pooling (`int`, defaults to 2): The same for the video tower.
        feature_layer (`int`, defaults to -2): Which hidden states of picture towers are taken; their first vector, a class token, is not.
        freeze_towers (`bool`, defaults to `True`): Never train the towers.
        video_token_id (`int`, *optional*): Id whose places in a question a prefix takes.
        **kwargs: Options of every configuration; `motion` as of every motion language model.

    Raises:
        ValueError: If there is no tower, or sizes do not fit each other.

    Example:
        >>> from transformers import LlamaConfig
        >>> from hf_motion.models.gemini_mvr.configuration_gemini_mvr import ActionLevelConfig
        >>> config = VimoRAGConfig(LlamaConfig(), keypoint_config=ActionLevelConfig())
        >>> config.towers, config.prefix_length(frames=8)
        (('keypoints',), 8)
    """

    model_type = "vimorag"
    sub_configs = {
        "text_config": PreTrainedConfig,
        "image_config": PreTrainedConfig,
        "video_config": PreTrainedConfig,
        "keypoint_config": ActionLevelConfig,
    }

    def __init__(
        self,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        image_config: PreTrainedConfig | dict[str, Any] | None = None,
        video_config: PreTrainedConfig | dict[str, Any] | None = None,
        keypoint_config: ActionLevelConfig | dict[str, Any] | None = None,
        num_frames: int = 16,
        sampling: str = "vimorag",
        chunk_frames: int = 4,
        image_pooling: int = 2,
        video_pooling: int = 2,
        feature_layer: int = -2,
        freeze_towers: bool = True,
        video_token_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.text_config = _sub_config(text_config or {}, "llama")
        self.image_config = None if image_config is None else _sub_config(image_config, "clip_vision_model")
        self.video_config = None if video_config is None else _sub_config(video_config, "videomae")
        if isinstance(keypoint_config, dict):
            keypoint_config = ActionLevelConfig(**{name: value for name, value in keypoint_config.items() if name != "model_type"})
        self.keypoint_config = keypoint_config
        self.num_frames, self.sampling, self.chunk_frames = num_frames, sampling, chunk_frames
        self.image_pooling, self.video_pooling, self.feature_layer = image_pooling, video_pooling, feature_layer
        self.freeze_towers, self.video_token_id = freeze_towers, video_token_id
        if not self.towers:
            raise ValueError("A video needs a tower that sees it: give an image_config, a video_config or a keypoint_config.")
        if keypoint_config is not None and keypoint_config.max_frames < num_frames:
            raise ValueError(f"The keypoint tower reads {keypoint_config.max_frames} frames, num_frames is {num_frames}. Take as many.")
        if num_frames < 1 or num_frames % chunk_frames:
            raise ValueError(f"chunk_frames={chunk_frames} must divide num_frames={num_frames}.")
        if self.video_config is not None and getattr(self.video_config, "num_frames", chunk_frames) != chunk_frames:
            raise ValueError(f"The video tower sees {self.video_config.num_frames} frames at a time, chunk_frames is {chunk_frames}.")
        for name in ("images", "videos"):
            if name in self.towers and self.grid(name) % self.pooling(name):
                raise ValueError(f"Pooling of {name} by {self.pooling(name)} must divide the tower's {self.grid(name)} patches a side.")
        kwargs.setdefault("tie_word_embeddings", bool(getattr(self.text_config, "tie_word_embeddings", False)))
        parts = {"text_config": self.text_config, "image_config": self.image_config, "video_config": self.video_config}
        kwargs.setdefault("attn_implementation", {name: part._attn_implementation for name, part in parts.items() if part is not None})
        super().__init__(**kwargs)

    @property
    def towers(self) -> tuple[str, ...]:
        """Names of the towers that there are, in the order of their vectors."""
        parts = (self.image_config, self.video_config, self.keypoint_config)
        return tuple(name for name, part in zip(TOWERS, parts, strict=True) if part is not None)

    def tower_config(self, name: str) -> PreTrainedConfig:
        """Configuration of the tower `"images"` or `"videos"`."""
        return self.image_config if name == "images" else self.video_config

    def grid(self, name: str) -> int:
        """Patches on a side of a frame, before pooling."""
        config = self.tower_config(name)
        return int(config.image_size) // int(config.patch_size)

    def pooling(self, name: str) -> int:
        """`image_pooling` or `video_pooling`."""
        return self.image_pooling if name == "images" else self.video_pooling

    def steps(self, name: str) -> int:
        """Grids of patches that a tower makes of what it sees at a time: one of a frame; of a chunk one for each tube of frames."""
        return 1 if name == "images" else self.chunk_frames // int(getattr(self.video_config, "tubelet_size", 1))

    def prefix_length(self, frames: int) -> int:
        """Vectors of a video with so many frames; published: 16 * 144 of single frames, then 16 * 64 of chunks, 3328 in all.

        Args:
            frames (`int`): Frames with keypoints.
        """
        lengths = {"keypoints": frames}
        for name in ("images", "videos"):
            if name in self.towers:
                seen = self.num_frames // (1 if name == "images" else self.chunk_frames)
                lengths[name] = seen * self.steps(name) * (self.grid(name) // self.pooling(name)) ** 2
        return sum(lengths[name] for name in self.towers)


def _sub_config(value: PreTrainedConfig | dict[str, Any], model_type: str) -> PreTrainedConfig:
    # Here rather than above, since this module is imported in order to be put into that very registry.
    from transformers.models.auto.configuration_auto import AutoConfig

    if isinstance(value, PreTrainedConfig):
        return value
    options = {"model_type": model_type, **value}
    return AutoConfig.for_model(options.pop("model_type"), **options)
