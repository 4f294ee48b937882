"""Configuration of `GeminiMVR`."""

from __future__ import annotations

import inspect
from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from ..checked import CheckedConfig

STAGES = ("action", "text", "object", "router")
NUM_KEYPOINTS = 17


class GeminiMVRConfig(CheckedConfig):
    """Sizes and scales of `GeminiMVR`; the defaults are the published ones, without the object level.

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*): The text tower of the action level: any text encoder of transformers; a
            dictionary names its `model_type`, `"clip_text_model"` by default. By default CLIP L/14's with its projection.
        object_config (`PreTrainedConfig` or `dict`, *optional*): The object level: a model of transformers with `get_text_features` and
            `get_video_features` or `get_image_features`, such as `"clip"` or `"xclip"`. None leaves the object level out.
        use_action (`bool`, defaults to `True`): Have the action level. Without it there must be an object level.
        encoder_dim (`int`, defaults to 512): Width of the keypoint encoder.
        encoder_depth (`int`, defaults to 5): Pairs of blocks in each of its two streams.
        encoder_heads (`int`, defaults to 8): Heads; must divide `encoder_dim`.
        encoder_mlp_ratio (`int`, defaults to 2): Width of its feed-forward layers, in units of `encoder_dim`. MotionBERT-Lite's is 4.
        encoder_rep_dim (`int`, defaults to 512): Width of what it says of each joint.
        encoder_frames (`int`, defaults to 243): Frames that it has positions for; at least `max_frames`.
        hidden_size (`int`, defaults to 768): Width of the temporal transformer and of both embeddings of the action level.
        num_layers (`int`, defaults to 4): Its blocks.
        num_attention_heads (`int`, defaults to 12): Heads; must divide `hidden_size`.
        intermediate_size (`int`, defaults to 3072): Width of its feed-forward layers.
        max_frames (`int`, defaults to 16): Frames of a video.
        pad_to_max_frames (`bool`, defaults to `False`): Let the keypoint encoder, and an object level that reads videos, see zero frames up
            to `max_frames` as the published code does. Otherwise missing frames are hidden from the former and not shown to the latter.
        action_scale (`float`, defaults to 100.0): What the cosine of the action level is multiplied by. A constant, as published.
        stage (`str`, defaults to `"action"`): What training trains: `"action"` or `"object"` alone, the `"text"` tower of the action level
            alone, so that videos keep their embeddings, or the `"router"` over both levels, frozen.
        freeze_text_model (`bool`, defaults to `False`): Keep the text tower of the action level as it is.
        similarity (`str`, defaults to `"cosine"`): How embeddings of the action level compare; nothing else is possible.
        **kwargs: Options of every configuration.

    Raises:
        ValueError: If an option is out of range, or both levels are left out.

    Example:
        >>> from hf_motion.models.gemini_mvr.configuration_gemini_mvr import GeminiMVRConfig
        >>> GeminiMVRConfig(max_frames=8).num_features
        51
    """

    model_type = "gemini-mvr"
    sub_configs = {"text_config": PreTrainedConfig, "object_config": PreTrainedConfig}

    def __init__(
        self,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        object_config: PreTrainedConfig | dict[str, Any] | None = None,
        use_action: bool = True,
        encoder_dim: int = 512,
        encoder_depth: int = 5,
        encoder_heads: int = 8,
        encoder_mlp_ratio: int = 2,
        encoder_rep_dim: int = 512,
        encoder_frames: int = 243,
        hidden_size: int = 768,
        num_layers: int = 4,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        max_frames: int = 16,
        pad_to_max_frames: bool = False,
        action_scale: float = 100.0,
        stage: str = "action",
        freeze_text_model: bool = False,
        similarity: str = "cosine",
        **kwargs: Any,
    ) -> None:
        _check_sizes(encoder_dim, encoder_heads, hidden_size, num_attention_heads, max_frames, encoder_frames)
        if action_scale <= 0:
            raise ValueError(f"action_scale must be positive, got {action_scale}.")
        if similarity != "cosine":
            raise ValueError(f"similarity must be 'cosine', got {similarity!r}.")
        if not use_action and object_config is None:
            raise ValueError("use_action=False needs an object_config: one of the two levels must be there.")
        self.text_config = _sub_config(text_config, "clip_text_model") if use_action else None
        self.object_config = None if object_config is None else _sub_config(object_config, "clip")
        self.use_action = use_action
        self.encoder_dim, self.encoder_depth, self.encoder_heads = encoder_dim, encoder_depth, encoder_heads
        self.encoder_mlp_ratio, self.encoder_rep_dim, self.encoder_frames = encoder_mlp_ratio, encoder_rep_dim, encoder_frames
        self.hidden_size, self.num_layers, self.num_attention_heads = hidden_size, num_layers, num_attention_heads
        self.intermediate_size, self.max_frames = intermediate_size, max_frames
        self.pad_to_max_frames, self.action_scale = pad_to_max_frames, action_scale
        self.stage = check_stage(stage, use_action, object_config is not None)
        self.freeze_text_model, self.similarity = freeze_text_model, similarity
        # transformers would reset it in the text tower's own configuration otherwise, which then no longer hides padding.
        parts = {"text_config": self.text_config, "object_config": self.object_config}
        kwargs.setdefault("attn_implementation", {name: part._attn_implementation for name, part in parts.items() if part is not None})
        super().__init__(**kwargs)

    @property
    def num_features(self) -> int:
        """Width of a frame of keypoints: x, y and confidence of 17 joints."""
        return 3 * NUM_KEYPOINTS

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """This configuration: the name would suggest the text tower's to transformers."""
        return self


class ActionLevelConfig(CheckedConfig):
    """Sizes of the action level's networks alone, for models that look at a person's joints through them: see `GeminiMVRConfig`.

    Args:
        encoder_dim (`int`, defaults to 512): As for `GeminiMVRConfig`, and so are the others.
        encoder_depth (`int`, defaults to 5): The same.
        encoder_heads (`int`, defaults to 8): The same.
        encoder_mlp_ratio (`int`, defaults to 2): The same.
        encoder_rep_dim (`int`, defaults to 512): The same.
        encoder_frames (`int`, defaults to 243): The same.
        hidden_size (`int`, defaults to 768): The same.
        num_layers (`int`, defaults to 4): The same.
        num_attention_heads (`int`, defaults to 12): The same.
        intermediate_size (`int`, defaults to 3072): The same.
        max_frames (`int`, defaults to 16): The same.
        pad_to_max_frames (`bool`, defaults to `False`): The same.
        **kwargs: Options of every configuration.

    Raises:
        ValueError: If sizes do not fit each other.
    """

    model_type = "gemini-mvr-action"

    def __init__(
        self,
        encoder_dim: int = 512,
        encoder_depth: int = 5,
        encoder_heads: int = 8,
        encoder_mlp_ratio: int = 2,
        encoder_rep_dim: int = 512,
        encoder_frames: int = 243,
        hidden_size: int = 768,
        num_layers: int = 4,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        max_frames: int = 16,
        pad_to_max_frames: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_sizes(encoder_dim, encoder_heads, hidden_size, num_attention_heads, max_frames, encoder_frames)
        self.encoder_dim, self.encoder_depth, self.encoder_heads = encoder_dim, encoder_depth, encoder_heads
        self.encoder_mlp_ratio, self.encoder_rep_dim, self.encoder_frames = encoder_mlp_ratio, encoder_rep_dim, encoder_frames
        self.hidden_size, self.num_layers, self.num_attention_heads = hidden_size, num_layers, num_attention_heads
        self.intermediate_size, self.max_frames, self.pad_to_max_frames = intermediate_size, max_frames, pad_to_max_frames
        super().__init__(**kwargs)

    @classmethod
    def of(cls, config: GeminiMVRConfig) -> ActionLevelConfig:
        """Those of a retriever.

        Raises:
            ValueError: If it has no action level.
        """
        if not config.use_action:
            raise ValueError("This GeminiMVR has no action level (use_action=False), so it sees no keypoints. Name one that has it.")
        names = list(inspect.signature(cls.__init__).parameters)[1:-1]
        return cls(**{name: getattr(config, name) for name in names})


def check_stage(stage: str, has_action: bool, has_objects: bool) -> str:
    """The stage, if the model has what it trains.

    Raises:
        ValueError: If it is unknown or needs a level that is not there.
    """
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(map(repr, STAGES))}, got {stage!r}.")
    needed = {"action": has_action, "text": has_action, "object": has_objects, "router": has_action and has_objects}
    if not needed[stage]:
        if stage == "action" and has_objects:
            return "object"
        wanted = {"object": "the object level", "router": "both levels"}.get(stage, "the action level")
        raise ValueError(f"stage={stage!r} needs {wanted}; see object_config.")
    return stage


def _check_sizes(dim: int, dim_heads: int, width: int, width_heads: int, max_frames: int, encoder_frames: int) -> None:
    for size, heads, name in ((dim, dim_heads, "encoder_heads"), (width, width_heads, "num_attention_heads")):
        if size % heads:
            raise ValueError(f"{name}={heads} must divide the width {size}.")
    if not 1 <= max_frames <= encoder_frames:
        raise ValueError(f"max_frames must be from 1 to encoder_frames={encoder_frames}, got {max_frames}.")


def _sub_config(value: PreTrainedConfig | dict[str, Any] | None, model_type: str) -> PreTrainedConfig:
    # Here rather than above, since this module is imported in order to be put into that very registry.
    from transformers.models.auto.configuration_auto import AutoConfig

    if isinstance(value, PreTrainedConfig):
        return value
    if value is None:
        value = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "projection_dim": 768,
                 "architectures": ["CLIPTextModelWithProjection"]}  # fmt: skip
    options = {"model_type": model_type, **value}
    return AutoConfig.for_model(options.pop("model_type"), **options)
