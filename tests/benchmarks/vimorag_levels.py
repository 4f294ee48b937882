"""A small object level over drawn figures, and a router over it and the embedded action level: both trained, for Table 4.

No model that knows pictures and words can be had without the Hub, so that the object level is a tiny CLIP that learns from nothing to tell
figures of 32 x 32 pixels. What can be shown is what a trained router makes of a weak level beside a good one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm.auto import tqdm
from transformers import CLIPConfig

from hf_motion import GeminiMVR, GeminiMVRProcessor
from hf_motion.checkpoints import EMBEDDED_MVR
from hf_motion.models.gemini_mvr.configuration_gemini_mvr import GeminiMVRConfig
from hf_motion.models.gemini_mvr.modeling_gemini_mvr import VideoParts
from hf_motion.nn.contrastive import symmetric_info_nce
from hf_motion.nn.padding import pad_and_mask
from hf_motion.retrieval.text_similarity import similar_captions
from hf_motion.video import Keypoints
from hf_motion.video.keypoints import H36M_BONES

_SIDE, _BATCH = 32, 64
_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


def draw(video: Keypoints) -> Tensor:
    """(frames, 3, side, side) of a figure, from 0 to 1."""
    frames = []
    for points in video.points:
        picture = Image.new("L", (_SIDE, _SIDE))
        for first, second in H36M_BONES:
            if points[first, 2] and points[second, 2]:
                places = points[[first, second], :2] * _SIDE / max(video.size)
                ImageDraw.Draw(picture).line([tuple(place) for place in places.tolist()], fill=255, width=2)
        frames.append(np.asarray(picture, np.float32) / 255)
    return torch.from_numpy(np.stack(frames))[:, None].expand(-1, 3, -1, -1)


class TwoLevels:
    """Both levels and the router, trained on filmed clips.

    Args:
        videos (`list[Keypoints]`): Clips to learn from.
        texts (`list[str]`): What they show.
        steps (`int`): Steps of the object level; the router learns as many.
        seed (`int`): All chance.
    """

    def __init__(self, videos: Sequence[Keypoints], texts: Sequence[str], steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        known, self.processor = (
            GeminiMVR.from_pretrained(EMBEDDED_MVR, dtype=torch.float32),
            GeminiMVRProcessor.from_pretrained(EMBEDDED_MVR),
        )
        vision = {**_SIZES, "image_size": _SIDE, "patch_size": 8}
        words = {**_SIZES, "vocab_size": known.config.text_config.vocab_size, "eos_token_id": self.processor.tokenizer.sep_token_id}
        clip = CLIPConfig(text_config=words, vision_config=vision, projection_dim=64)
        self.model = GeminiMVR(GeminiMVRConfig(**{**known.config.to_dict(), "object_config": clip, "stage": "object"}))
        self.model.load_state_dict(known.state_dict(), strict=False)
        self.draws, self.seed = np.random.default_rng(seed), seed
        self._train("object", videos, texts, steps)
        self._train("router", videos, texts, steps)
        self.model.eval()

    def _train(self, stage: str, videos: Sequence[Keypoints], texts: Sequence[str], steps: int) -> None:
        self.model.set_stage(stage)
        self.model.train()
        if stage == "router":
            spoken, parts = self.embed(videos, texts)
        optimizer = torch.optim.AdamW([value for value in self.model.parameters() if value.requires_grad], lr=1e-3)
        for _ in tqdm(range(steps), desc=f"Training the {stage}"):
            rows = self.draws.permutation(len(videos))[:_BATCH]
            said = [texts[row] for row in rows]
            similar = similar_captions(said)
            if stage == "object":
                loss = self.model(**self.inputs([videos[row] for row in rows], said), similar=similar).loss
            else:
                action, objects = parts.action[rows], parts.objects[rows]
                joined = self.model.join(VideoParts(action, objects, self.model.route(action, objects)))
                loss = symmetric_info_nce(spoken[rows] @ joined.T, similar)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def inputs(self, videos: Sequence[Keypoints], texts: Sequence[str]) -> dict[str, Tensor]:
        """What the model reads."""
        words = self.processor.read_texts(texts)
        words |= {f"object_{name}": value for name, value in list(words.items())}
        features, mask = pad_and_mask([torch.from_numpy(video.crop_scale()).flatten(1) for video in videos])
        return {
            **words,
            "motion_features": features,
            "attention_mask": mask,
            "pixel_values": pad_and_mask([draw(one) for one in videos])[0],
        }

    @torch.no_grad()
    def embed(self, videos: Sequence[Keypoints], texts: Sequence[str]) -> tuple[Tensor, VideoParts]:
        """Texts (n, width) and parts of videos."""
        self.model.eval()
        spoken, parts = [], []
        for start in range(0, len(videos), _BATCH):
            inputs = self.inputs(videos[start : start + _BATCH], texts[start : start + _BATCH])
            words = (inputs["input_ids"], inputs["text_mask"], inputs["object_input_ids"], inputs["object_text_mask"])
            spoken.append(self.model.encode_text(*words))
            parts.append(self.model.encode_video_parts(inputs["motion_features"], inputs["attention_mask"], inputs["pixel_values"]))
        return torch.cat(spoken), VideoParts(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def scores(self, videos: Sequence[Keypoints], texts: Sequence[str]) -> dict[str, np.ndarray]:
        """(texts, videos) of either level and of both."""
        spoken, parts = self.embed(videos, texts)
        rows = {"object level (tiny stand-in)": (0.0, 1.0), "action level": (1.0, 0.0), "both, untrained router": (0.5, 0.5)}
        weights = {name: torch.tensor([pair]).expand(len(videos), 2) for name, pair in rows.items()}
        weights["both, trained router"] = parts.weights
        return {name: (spoken @ self.model.join(parts._replace(weights=one)).T).detach().numpy() for name, one in weights.items()}
