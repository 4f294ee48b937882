"""Gemini-MVR: finding videos of people by text, on an action level (keypoints) and an object level (pictures).

Xu et al., *VimoRAG: Video-based Retrieval-augmented 3D Motion Generation for Motion Language Models*, 2025, section 3.2. Weights published
by its authors load through `hf_motion.conversion.gemini_mvr`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.models.auto.modeling_auto import AutoModel

from ...nn.contrastive import symmetric_info_nce
from ...text_encoders import pooled_text, text_encoder_from_config, text_width
from ..checked_model import CheckedModel
from ..motion_text_output import MotionTextOutput
from .configuration_gemini_mvr import GeminiMVRConfig, check_stage
from .networks import ActionLevel, init_action_weights

_LARGEST_SCALE = 100.0


class VideoParts(NamedTuple):
    """What is known of videos: enough to score them with any router.

    Args:
        action (`torch.Tensor`, *optional*): (batch, hidden_size), of unit length.
        objects (`torch.Tensor`, *optional*): (batch, width of the object level), of unit length.
        weights (`torch.Tensor`): (batch, 2), the router's, of action and objects; they sum to 1.
    """

    action: Tensor | None
    objects: Tensor | None
    weights: Tensor


@dataclass
class GeminiMVROutput(MotionTextOutput):
    """Output of `GeminiMVR`: `loss`, `motion_embeds` and `text_embeds` as of every retrieval model, whole vectors of `encode_*` here.

    Args:
        scores (`torch.Tensor`): (batch, batch), texts by videos, that the loss is computed from.
    """

    scores: Tensor | None = None


class GeminiMVR(ActionLevel, CheckedModel):
    """Embeds texts and videos of people so that one inner product is the score of equation 2.

    The action level reads 17 keypoints of up to 16 frames (DSTformer, projector, positions, temporal transformer with a residual, mean) and
    has a text tower of its own. The object level is any model of transformers that puts texts and pictures or videos in one space. A linear
    router looks at the action embedding and weighs the two:

        score = w0 * action_scale * <p, a> + w1 * exp(logit_scale) * <g, o> = <[p, g], [w0 * action_scale * a, w1 * exp(logit_scale) * o]>

    with w the softmax of the router's two numbers, as in the published code; equation 2 divides them by their sum. Either level works
    alone, with weight 1.

    Args:
        config (`GeminiMVRConfig`): Configuration.

    Example:
        >>> text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}
        >>> sizes = {"encoder_dim": 16, "encoder_depth": 1, "encoder_heads": 2, "encoder_rep_dim": 4, "hidden_size": 16}
        >>> config = GeminiMVRConfig(text, **sizes, num_layers=1, num_attention_heads=2, intermediate_size=16)
        >>> GeminiMVR(config).eval().encode_video(torch.zeros(2, 8, 51)).shape
        torch.Size([2, 16])
    """

    config_class = GeminiMVRConfig
    main_input_name = "motion_features"
    _no_split_modules = ["EncoderBlock", "StreamBlock"]
    _supports_sdpa = True

    def __init__(self, config: GeminiMVRConfig) -> None:
        super().__init__(config)
        if config.use_action:
            width = config.hidden_size
            self.text_model = text_encoder_from_config(config.text_config)
            text_dim = text_width(self.text_model)
            self.text_projection = nn.Identity() if text_dim == width else nn.Linear(text_dim, width)
            self.build_action_level(config)
        if config.object_config is not None:
            self.object_model = AutoModel.from_config(config.object_config)
            wanting = not hasattr(self.object_model, "get_text_features") or not (
                hasattr(self.object_model, "get_video_features") or hasattr(self.object_model, "get_image_features")
            )
            if wanting:
                raise ValueError(
                    f"{type(self.object_model).__name__} cannot be the object level: it needs get_text_features and get_video_features or "
                    "get_image_features, as CLIP, SigLIP and X-CLIP have them."
                )
            if config.use_action:
                self.router = nn.Linear(config.hidden_size, 2)
        self.set_stage(config.stage)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """See `CheckedModel.from_pretrained`; what the stage freezes is frozen again, which loading forgets."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.set_stage(model.config.stage)
        return loaded

    def set_stage(self, stage: str) -> None:
        """Choose what training trains and what the loss looks at; the rest is frozen.

        Args:
            stage (`str`): `"action"`, `"object"` (each tower with its text tower), `"text"` (the action level's text tower alone) or
                `"router"` (over both levels, frozen).

        Raises:
            ValueError: If it is unknown, or the model lacks a level for it.
        """
        self.config.stage = check_stage(stage, self.config.use_action, self.config.object_config is not None)
        for name, parameter in self.named_parameters():
            part = name.partition(".")[0]
            own = {"router": ("router",), "object_model": ("object",)}.get(part, ("action",))
            own += ("text",) if part in ("text_model", "text_projection") else ()
            kept = part == "text_model" and self.config.freeze_text_model
            parameter.requires_grad_(self.config.stage in own and not kept)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What a text says of action, p.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens) of the text tower's tokenizer.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.

        Returns:
            `torch.Tensor`: (batch, hidden_size), of unit length.

        Raises:
            ValueError: If the model has no action level.
        """
        self._needs_action()
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        output = self.text_model(input_ids=input_ids, attention_mask=mask)
        return F.normalize(self.text_projection(pooled_text(self.text_model, output, mask)), dim=-1)

    def get_motion_features(self, motion_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What a video shows of action, a.

        Args:
            motion_features (`torch.Tensor`): (batch, frames, 51), keypoints in Human3.6M's order as `crop_scale` gives them, x, y and
                confidence of each joint after the other.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.

        Returns:
            `torch.Tensor`: (batch, hidden_size), of unit length.

        Raises:
            ValueError: If the model has no action level, a shape is wrong, or there are more than `max_frames` frames.
        """
        self._needs_action()
        states, mask = self.segments(motion_features, attention_mask)
        weights = mask[..., None].to(states.dtype)
        return F.normalize((states * weights).sum(1) / weights.sum(1).clamp(min=1), dim=-1)

    def get_object_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What a text says of objects, g: (batch, width of the object level), of unit length.

        Args:
            input_ids (`torch.Tensor`): (batch, tokens) of the object level's tokenizer.
            attention_mask (`torch.Tensor`, *optional*): (batch, tokens), 1 on real tokens.

        Raises:
            ValueError: If the model has no object level.
        """
        self._needs_objects()
        return F.normalize(_features(self.object_model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)), dim=-1)

    def get_video_features(self, pixel_values: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What a video shows of objects, o: (batch, width of the object level), of unit length.

        Args:
            pixel_values (`torch.Tensor`): (batch, frames, 3, height, width), as the object level's image processor gives them.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames. A model of pictures gives the mean over these. A
                model of videos has no mask: it sees all frames, zeros where the mask is 0.

        Raises:
            ValueError: If the model has no object level, or a shape is wrong.
        """
        self._needs_objects()
        if pixel_values.ndim != 5:
            raise ValueError(f"pixel_values must be (batch, frames, 3, height, width), got {tuple(pixel_values.shape)}.")
        mask = pixel_values.new_ones(pixel_values.shape[:2]) if attention_mask is None else attention_mask.to(pixel_values.dtype)
        if mask.shape != pixel_values.shape[:2]:
            raise ValueError(f"attention_mask must be {tuple(pixel_values.shape[:2])}, as its input, got {tuple(mask.shape)}.")
        if hasattr(self.object_model, "get_video_features"):
            shown = pixel_values * mask[..., None, None, None]
            if self.config.pad_to_max_frames:
                shown = F.pad(shown, (0, 0, 0, 0, 0, 0, 0, self.config.max_frames - shown.shape[1]))
            return F.normalize(_features(self.object_model.get_video_features(shown)), dim=-1)
        each = _features(self.object_model.get_image_features(pixel_values.flatten(0, 1))).unflatten(0, pixel_values.shape[:2])
        each = F.normalize(each, dim=-1) * mask[..., None]
        return F.normalize(each.sum(1), dim=-1)

    def encode_text(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        object_input_ids: Tensor | None = None,
        object_attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Texts as vectors [p, g], whose inner products with those of `encode_video` are the scores.

        Args:
            input_ids (`torch.Tensor`, *optional*): (batch, tokens), for the action level.
            attention_mask (`torch.Tensor`, *optional*): Its mask.
            object_input_ids (`torch.Tensor`, *optional*): (batch, tokens), for the object level.
            object_attention_mask (`torch.Tensor`, *optional*): Its mask.

        Returns:
            `torch.Tensor`: (batch, width), the levels that the model has, one after the other.

        Raises:
            ValueError: If the input of a level is missing.
        """
        parts = []
        if self.config.use_action:
            parts.append(self.get_text_features(_given(input_ids, "input_ids"), attention_mask))
        if self.config.object_config is not None:
            parts.append(self.get_object_text_features(_given(object_input_ids, "object_input_ids"), object_attention_mask))
        return torch.cat(parts, dim=-1)

    def encode_video_parts(
        self, motion_features: Tensor | None = None, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None
    ) -> VideoParts:
        """Videos as a, o and w apart, which an index keeps so that a new router needs no new embedding.

        Args:
            motion_features (`torch.Tensor`, *optional*): (batch, frames, 51), see `get_motion_features`.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.
            pixel_values (`torch.Tensor`, *optional*): (batch, frames, 3, height, width), see `get_video_features`.

        Raises:
            ValueError: If the input of a level is missing.
        """
        action = objects = None
        if self.config.use_action:
            action = self.get_motion_features(_given(motion_features, "motion_features"), attention_mask)
        if self.config.object_config is not None:
            objects = self.get_video_features(_given(pixel_values, "pixel_values"), attention_mask)
        return VideoParts(action, objects, self.route(action, objects))

    def route(self, action: Tensor | None, objects: Tensor | None) -> Tensor:
        """The router's weights of action and objects, (batch, 2)."""
        if action is None or objects is None:
            known = action if objects is None else objects
            return known.new_tensor([[float(action is not None), float(objects is not None)]]).expand(len(known), 2)
        return self.router(action).softmax(-1)

    def join(self, parts: VideoParts) -> Tensor:
        """Vectors [w0 * action_scale * a, w1 * exp(logit_scale) * o] of videos, (batch, width).

        Their lengths differ from video to video and are part of the score: do not normalise them.
        """
        vectors = []
        if parts.action is not None:
            vectors.append(parts.weights[:, :1] * self.config.action_scale * parts.action)
        if parts.objects is not None:
            vectors.append(parts.weights[:, 1:] * self.object_scale() * parts.objects)
        return torch.cat(vectors, dim=-1)

    def encode_video(
        self, motion_features: Tensor | None = None, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None
    ) -> Tensor:
        """Videos as vectors, see `join` and `encode_video_parts`."""
        return self.join(self.encode_video_parts(motion_features, attention_mask, pixel_values))

    def object_scale(self) -> Tensor | float:
        """What the cosine of the object level is multiplied by: its own learnt scale, at most 100."""
        scale = getattr(self.object_model, "logit_scale", None)
        return _LARGEST_SCALE if scale is None else scale.exp().clamp(max=_LARGEST_SCALE)

    def forward(
        self,
        motion_features: Tensor | None = None,
        attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        text_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        object_input_ids: Tensor | None = None,
        object_text_mask: Tensor | None = None,
        similar: Tensor | None = None,
        seeds: Tensor | None = None,
        return_dict: bool = True,
    ) -> GeminiMVROutput | tuple[Tensor, ...]:
        """Embed pairs and compute the loss of the stage: cross entropy of the scores, the mean of both directions (equations 1 and 3).

        Args:
            motion_features (`torch.Tensor`, *optional*): (batch, frames, 51), see `get_motion_features`.
            attention_mask (`torch.Tensor`, *optional*): (batch, frames), 1 on real frames.
            input_ids (`torch.Tensor`, *optional*): (batch, tokens), for the action level.
            text_mask (`torch.Tensor`, *optional*): Its mask.
            pixel_values (`torch.Tensor`, *optional*): (batch, frames, 3, height, width), see `get_video_features`.
            object_input_ids (`torch.Tensor`, *optional*): (batch, tokens), for the object level.
            object_text_mask (`torch.Tensor`, *optional*): Its mask.
            similar (`torch.Tensor`, *optional*): (batch, batch) bool, see `hf_motion.nn.contrastive.symmetric_info_nce`.
            seeds (`torch.Tensor`, *optional*): Not used: nothing is drawn.
            return_dict (`bool`, defaults to `True`): Return a `GeminiMVROutput` rather than a tuple.

        Returns:
            `GeminiMVROutput`: Loss, embeddings and scores. In the stages of one level they are of that level alone.

        Raises:
            ValueError: If an input that the stage needs is missing, a shape is wrong, or there are not as many texts as videos.
        """
        if self.config.stage in ("action", "text"):
            texts = self.get_text_features(_given(input_ids, "input_ids"), text_mask)
            videos = self.get_motion_features(_given(motion_features, "motion_features"), attention_mask)
            scale: Tensor | float = self.config.action_scale
        elif self.config.stage == "object":
            texts = self.get_object_text_features(_given(object_input_ids, "object_input_ids"), object_text_mask)
            videos = self.get_video_features(_given(pixel_values, "pixel_values"), attention_mask)
            scale = self.object_scale()
        else:
            texts = self.encode_text(input_ids, text_mask, object_input_ids, object_text_mask)
            videos = self.encode_video(motion_features, attention_mask, pixel_values)
            scale = 1.0
        if len(texts) != len(videos):
            raise ValueError(f"Pass as many texts as videos, got {len(texts)} and {len(videos)}.")
        scores = scale * (texts.float() @ videos.float().T)
        output = GeminiMVROutput(loss=symmetric_info_nce(scores, similar), motion_embeds=videos, text_embeds=texts, scores=scores)
        return output if return_dict else output.to_tuple()

    def _needs_action(self) -> None:
        if not self.config.use_action:
            raise ValueError("This model has no action level (use_action=False). Use get_object_text_features and get_video_features.")

    def _needs_objects(self) -> None:
        if self.config.object_config is None:
            raise ValueError("This model has no object level. Give its configuration an object_config, such as that of a CLIP.")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        else:
            init_action_weights(module)


def _features(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.pooler_output


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"{name} is missing; GeminiMVRProcessor makes all that the levels of a model read.")
    return value
