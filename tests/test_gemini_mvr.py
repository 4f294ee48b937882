"""GeminiMVR keeps the contract of retrieval models; its score is one inner product; official names find their places."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mixins.retrieval_model import RetrievalModelMixin
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, CLIPImageProcessor

from hf_motion import GeminiMVR, GeminiMVRConfig, GeminiMVRProcessor
from hf_motion.conversion.gemini_mvr import convert_gemini_mvr_checkpoint, convert_gemini_mvr_state_dict, gemini_mvr_config_from_official
from hf_motion.models.gemini_mvr.networks import KeypointEncoder
from hf_motion.trainers.new_pipeline import train_clip_tokenizer
from hf_motion.video import Keypoints, VideoFrames

VOCABULARY = 40
TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
BERT = {
    "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
VISION = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
CLIP = {"model_type": "clip", "projection_dim": 12, "text_config": TEXT, "vision_config": VISION}
XCLIP = {
    "model_type": "xclip", "projection_dim": 12, "text_config": TEXT, "prompt_num_attention_heads": 2, "prompt_layers": 1,
    "vision_config": {**VISION, "mit_hidden_size": 12, "mit_intermediate_size": 8, "mit_num_hidden_layers": 1,
                      "mit_num_attention_heads": 2, "num_frames": 16},
}  # fmt: skip
SIZE = {
    "encoder_dim": 16, "encoder_depth": 1, "encoder_heads": 2, "encoder_rep_dim": 4, "encoder_frames": 16, "hidden_size": 16,
    "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
}  # fmt: skip


def tiny(**options) -> GeminiMVR:
    torch.manual_seed(0)
    return GeminiMVR(GeminiMVRConfig(**{"text_config": TEXT, **SIZE, **options})).eval()


def make_inputs(batch: int = 2, frames: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, VOCABULARY, (batch, 7), generator=generator)
    tokens[:, 4] = 2  # the end, before what `ragged` takes away
    return {
        "motion_features": torch.randn(batch, frames, 51, generator=generator),
        "attention_mask": torch.ones(batch, frames, dtype=torch.long),
        "input_ids": tokens,
        "text_mask": torch.ones(batch, 7, dtype=torch.long),
    }


def with_objects(batch: int = 2) -> dict[str, Tensor]:
    inputs = make_inputs(batch)
    pixels = torch.randn(batch, 16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return {**inputs, "pixel_values": pixels, "object_input_ids": inputs["input_ids"].flip(0), "object_text_mask": inputs["text_mask"]}


@pytest.mark.parametrize("variant", ["clip", "published", "bert"])
class TestGeminiMVR(RetrievalModelMixin):
    model_class = GeminiMVR
    variants = {
        "clip": {"text_config": TEXT, **SIZE, "action_scale": 10.0},
        "published": {"text_config": TEXT, **SIZE, "pad_to_max_frames": True, "action_scale": 10.0},
        "bert": {"text_config": BERT, **SIZE, "action_scale": 10.0},
    }
    frames, short = 8, 3
    overfit_steps = 30

    def inputs(self, model: GeminiMVR, batch: int = 2) -> dict[str, Tensor]:
        return make_inputs(batch, self.frames)

    def without_gradient(self, model: GeminiMVR) -> set[str]:
        # Of a BERT the mean over tokens is taken, not what its pooler makes.
        return {name for name, _ in model.named_parameters() if ".pooler." in name}


@pytest.mark.parametrize("objects", [CLIP, XCLIP])
def test_the_score_is_one_inner_product(objects: dict) -> None:
    model, inputs = tiny(object_config=objects), with_objects(3)
    inputs["attention_mask"][0, 9:] = 0
    nn.init.normal_(model.router.weight, std=3)
    video = {name: inputs[name] for name in ("motion_features", "attention_mask", "pixel_values")}
    with torch.no_grad():
        parts = model.encode_video_parts(**video)
        texts = model.encode_text(inputs["input_ids"], inputs["text_mask"], inputs["object_input_ids"], inputs["object_text_mask"])
        p, g = texts[:, :16], texts[:, 16:]
        weights = F.softmax(model.router(parts.action), dim=-1)
        scale = model.object_model.logit_scale.exp().clamp(max=100)
        expected = weights[:, 0] * 100 * (p @ parts.action.T) + weights[:, 1] * scale * (g @ parts.objects.T)
        torch.testing.assert_close(texts @ model.encode_video(**video).T, expected, atol=1e-4, rtol=1e-4)
        model.set_stage("router")
        torch.testing.assert_close(model(**inputs).scores, expected, atol=1e-4, rtol=1e-4)
    for unit in (parts.action, parts.objects, p, g):
        torch.testing.assert_close(unit.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(parts.weights.sum(1), torch.ones(3))
    model.object_model.logit_scale.data.fill_(9.0)
    assert model.object_scale() == 100


def test_stages_train_their_part_only(tmp_path: Path) -> None:
    model, inputs = tiny(object_config=CLIP), with_objects(4)
    text = ("text_model.", "text_projection.")
    for stage, prefixes in (("action", None), ("text", text), ("object", ("object_model.",)), ("router", ("router.",))):
        model.set_stage(stage)
        model.zero_grad()
        output = model(**inputs)
        target = torch.arange(4)
        both = (F.cross_entropy(output.scores, target) + F.cross_entropy(output.scores.T, target)) / 2
        torch.testing.assert_close(output.loss, both)
        output.loss.backward()
        trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert trained
        if prefixes:
            assert all(name.startswith(prefixes) for name in trained)
        else:
            assert not any(name.startswith(("object_model.", "router.")) for name in trained)
    model.save_pretrained(tmp_path)
    again = GeminiMVR.from_pretrained(tmp_path)
    assert {name for name, parameter in again.named_parameters() if parameter.requires_grad} == {"router.weight", "router.bias"}


def test_either_level_alone(tmp_path: Path) -> None:
    inputs = with_objects()
    action, objects = tiny(), tiny(use_action=False, object_config=CLIP)
    assert action.encode_video_parts(inputs["motion_features"]).weights.tolist() == [[1, 0]] * 2
    assert objects.encode_video_parts(pixel_values=inputs["pixel_values"]).weights.tolist() == [[0, 1]] * 2
    assert objects.encode_video(pixel_values=inputs["pixel_values"]).shape == (2, 12)
    assert objects(**inputs).loss.isfinite()
    objects.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, GeminiMVR)
    torch.testing.assert_close(again(**inputs).loss, objects(**inputs).loss)
    with pytest.raises(ValueError, match="no action level"):
        objects.get_text_features(inputs["input_ids"])
    with pytest.raises(ValueError, match="no object level"):
        action.get_video_features(inputs["pixel_values"])
    with pytest.raises(ValueError, match="motion_features is missing; GeminiMVRProcessor"):
        action.encode_video()
    with pytest.raises(ValueError, match="at most 16 frames here, got 17"):
        action.get_motion_features(torch.zeros(1, 17, 51))


def test_hidden_frames_do_not_count_for_pictures() -> None:
    model, inputs = tiny(use_action=False, object_config=CLIP), with_objects()
    mask = inputs["attention_mask"].clone()
    mask[:, 5:] = 0
    with torch.no_grad():
        short = model.get_video_features(inputs["pixel_values"][:, :5])
        torch.testing.assert_close(model.get_video_features(inputs["pixel_values"], mask), short)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_action": False}, "needs an object_config"),
        ({"stage": "router"}, "needs both levels"),
        ({"stage": "all"}, "'action', 'text', 'object', 'router'"),
        ({"max_frames": 17}, "from 1 to encoder_frames=16"),
        ({"encoder_heads": 3}, "encoder_heads=3 must divide"),
        ({"action_scale": 0}, "must be positive"),
        ({"object_config": BERT}, "cannot be the object level"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_published_sizes() -> None:
    with torch.device("meta"):
        model = GeminiMVR(GeminiMVRConfig())
    parts = {name: sum(parameter.numel() for parameter in child.parameters()) for name, child in model.named_children()}
    assert parts["keypoint_encoder"] == 42_464_778
    assert len(list(model.keypoint_encoder.parameters())) == 258
    assert parts["temporal_blocks"] == 28_351_488
    assert model.projector.weight.shape == (768, 8704)
    assert parts["text_model"] == pytest.approx(123.7e6, rel=0.01)


def official_weights() -> dict[str, Tensor]:
    """Random weights with the published names, small."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "verb_model.token_embedding.weight": (VOCABULARY, 64), "verb_model.positional_embedding": (12, 64),
        "verb_model.text_projection": (64, 64), "frame_position_embeddings.weight": (16, 64), "action_model.projector.weight": (64, 17 * 8),
        "action_model.projector.bias": (64,), "action_model.encoder.pos_embed": (1, 17, 16),
        "action_model.encoder.temp_embed": (1, 20, 1, 16), "action_model.encoder.joints_embed.weight": (16, 3),
        "action_model.encoder.joints_embed.bias": (16,), "action_model.encoder.pre_logits.fc.weight": (8, 16),
        "action_model.encoder.pre_logits.fc.bias": (8,),
    }  # fmt: skip
    for name, width in (("verb_model.ln_final", 64), ("action_model.encoder.norm", 16)):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    for stack in ("verb_model.transformer", "transformerClip"):
        for layer in range(2):
            at = f"{stack}.resblocks.{layer}"
            shapes |= {f"{at}.attn.in_proj_weight": (192, 64), f"{at}.attn.in_proj_bias": (192,)}
            for name, (outputs, inputs) in {"attn.out_proj": (64, 64), "mlp.c_fc": (256, 64), "mlp.c_proj": (64, 256)}.items():
                shapes |= {f"{at}.{name}.weight": (outputs, inputs), f"{at}.{name}.bias": (outputs,)}
            for name in ("ln_1", "ln_2"):
                shapes |= {f"{at}.{name}.weight": (64,), f"{at}.{name}.bias": (64,)}
    for layer in range(2):
        shapes |= {f"action_model.encoder.ts_attn.{layer}.weight": (2, 32), f"action_model.encoder.ts_attn.{layer}.bias": (2,)}
        for stream in ("blocks_st", "blocks_ts"):
            for side in "st":
                at = f"action_model.encoder.{stream}.{layer}"
                layers = {
                    f"attn_{side}.qkv": (48, 16),
                    f"attn_{side}.proj": (16, 16),
                    f"mlp_{side}.fc1": (32, 16),
                    f"mlp_{side}.fc2": (16, 32),
                }
                for name, (outputs, inputs) in layers.items():
                    shapes |= {f"{at}.{name}.weight": (outputs, inputs), f"{at}.{name}.bias": (outputs,)}
                for name in (f"norm1_{side}", f"norm2_{side}"):
                    shapes |= {f"{at}.{name}.weight": (16,), f"{at}.{name}.bias": (16,)}
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def by_torch(weights: dict[str, Tensor], prefix: str, states: Tensor, mask: Tensor | None) -> Tensor:
    """CLIP's blocks by torch's own layer."""
    for layer in range(2):
        block = nn.TransformerEncoderLayer(64, 1, 256, 0.0, lambda x: x * (1.702 * x).sigmoid(), batch_first=True, norm_first=True).eval()
        names = {"self_attn.in_proj_": "attn.in_proj_", "self_attn.out_proj.": "attn.out_proj.", "linear1.": "mlp.c_fc.",
                 "linear2.": "mlp.c_proj.", "norm1.": "ln_1.", "norm2.": "ln_2."}  # fmt: skip
        block.load_state_dict({a + k: weights[f"{prefix}.resblocks.{layer}.{b}{k}"] for a, b in names.items() for k in ("weight", "bias")})
        states = block(states, src_mask=mask)
    return states


def test_official_weights_give_what_the_official_steps_give(tmp_path: Path) -> None:
    weights = official_weights()
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "pytorch_model.bin")
    model = convert_gemini_mvr_checkpoint(tmp_path / "pytorch_model.bin")
    assert (model.config.num_layers, model.config.encoder_depth, model.config.pad_to_max_frames) == (2, 2, True)
    inputs = make_inputs()
    with torch.no_grad():
        keypoints = F.pad(inputs["motion_features"][:, :8], (0, 0, 0, 8)).unflatten(-1, (17, 3))
        states = F.linear(
            model.keypoint_encoder(keypoints, None).flatten(2),
            weights["action_model.projector.weight"],
            weights["action_model.projector.bias"],
        )[:, :8]
        temporal = by_torch(weights, "transformerClip", states + weights["frame_position_embeddings.weight"][:8], None)
        expected = F.normalize((temporal + states).mean(1), dim=-1)
        torch.testing.assert_close(model.get_motion_features(inputs["motion_features"][:, :8]), expected, atol=1e-4, rtol=1e-4)
        tokens = torch.tensor([[VOCABULARY - 2, 5, 9, VOCABULARY - 1]])
        embedded = weights["verb_model.token_embedding.weight"][tokens] + weights["verb_model.positional_embedding"][:4]
        causal = torch.full((4, 4), -torch.inf).triu(1)
        hidden = by_torch(weights, "verb_model.transformer", embedded, causal)
        hidden = F.layer_norm(hidden, (64,), weights["verb_model.ln_final.weight"], weights["verb_model.ln_final.bias"])
        text = F.normalize(hidden[:, 3] @ weights["verb_model.text_projection"], dim=-1)
        torch.testing.assert_close(model.get_text_features(tokens), text, atol=1e-4, rtol=1e-4)


def test_converter_refuses_other_weights() -> None:
    weights = official_weights()
    config = gemini_mvr_config_from_official(weights)
    assert set(convert_gemini_mvr_state_dict(weights)) == set(GeminiMVR(config).state_dict())
    weights["event_extractor.weight"] = torch.zeros(2, 64)
    with pytest.raises(ValueError, match=r"unexpected: event_extractor\.weight"):
        convert_gemini_mvr_state_dict(weights)
    with pytest.raises(ValueError, match="as it was published"):
        gemini_mvr_config_from_official({})


def test_encoder_by_the_definition_of_attention() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(GeminiMVRConfig(text_config=TEXT, **SIZE)).eval()
    keypoints = torch.randn(1, 5, 17, 3)

    def attention(block: nn.Module, x: Tensor) -> Tensor:
        q, k, v = block.attention.qkv(block.attention_norm(x)).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)
        x = x + block.attention.out((weights @ v).transpose(1, 2).flatten(2))
        return x + block.mlp(block.mlp_norm(x))

    with torch.no_grad():
        x = encoder.input_projection(keypoints) + encoder.joint_positions + encoder.frame_positions[:5, None]
        first, second = encoder.joints_first[0], encoder.frames_first[0]
        a = attention(first.over_frames, attention(first.over_joints, x[0]).transpose(0, 1)).transpose(0, 1)
        b = attention(second.over_joints, attention(second.over_frames, x[0].transpose(0, 1)).transpose(0, 1))
        w = encoder.mixers[0](torch.cat((a, b), -1)).softmax(-1)
        expected = encoder.output_projection(encoder.norm(a * w[..., :1] + b * w[..., 1:])).tanh()
        torch.testing.assert_close(encoder(keypoints, None)[0], expected, atol=1e-5, rtol=1e-5)


class Standing:
    """Finds one person whose joints lie on a line as long as the frame is bright."""

    layout, name = "coco-17", "standing"

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        return [np.stack([np.arange(17), np.arange(17) * frame.mean(), np.ones(17)], axis=-1)[None] for frame in frames]


def test_processor_takes_files_frames_and_keypoints(tmp_path: Path) -> None:
    tokenizer = train_clip_tokenizer(["a person waves", "someone walks"], 520)
    images = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    processor = GeminiMVRProcessor(tokenizer, tokenizer, images, Standing())
    clip = Path(__file__).parent / "fixtures" / "video" / "no.mkv"
    frames = np.random.default_rng(0).integers(0, 255, (5, 20, 30, 3), dtype=np.uint8)
    inputs = processor(["a person waves", "walks"], [clip.read_bytes(), VideoFrames(frames, np.arange(5), 1, 5)])
    assert inputs["motion_features"].shape == (2, 8, 51)
    assert inputs["pixel_values"].shape == (2, 8, 3, 8, 8)
    assert inputs["attention_mask"].sum(1).tolist() == [8, 5]
    model = tiny(
        text_config={**TEXT, "vocab_size": len(tokenizer)}, object_config={**CLIP, "text_config": {**TEXT, "vocab_size": len(tokenizer)}}
    )
    assert model(**inputs).loss.isfinite()
    processor.save_pretrained(tmp_path)
    again = GeminiMVRProcessor.from_pretrained(tmp_path, detector=Standing())
    torch.testing.assert_close(again(videos=[frames])["pixel_values"], processor(videos=[frames])["pixel_values"])
    assert torch.equal(
        again("a person waves")["object_input_ids"], inputs["object_input_ids"][:1, : again("a person waves")["input_ids"].shape[1]]
    )
    empty = Keypoints(np.zeros((4, 17, 3)), np.arange(4), (4, 4), np.zeros(4))
    with pytest.raises(ValueError, match="in 0 of 4 frames"):
        processor(videos=[empty])
    with pytest.raises(ValueError, match="keypoints have none"):
        processor(videos=[Keypoints(np.ones((4, 17, 3)), np.arange(4), (4, 4), np.ones(4))])
    with pytest.raises(ValueError, match="Pass texts, videos"):
        processor()
    with pytest.raises(ValueError, match="no tokenizer"):
        GeminiMVRProcessor()("a")
