"""Published MDM checkpoints load, and compute what the published code computes.

Measured against the published code, same random weights, same noise, float32, 8 layers of width 512, largest absolute difference:

* one forward pass (outputs have a standard deviation of about 0.6), with and without padded frames, with and without text, with and
  without the text projected beforehand: trans_enc 1.1e-6; trans_dec 1.3e-6; trans_dec with emb_trans_dec 1.5e-6; trans_dec with DistilBERT
  1.4e-6 (emb_policy add), 1.0e-6 (concat), 1.3e-6 (add, emb_trans_dec); KIT-ML's trans_enc 1.2e-6;
* 50 guided steps (scale 2.5, 60 frames, the whole `MDMPipeline` with `DDPMScheduler`): trans_enc 5.0e-6, with padded frames 4.4e-6;
  trans_dec with emb_trans_dec 4.2e-6; trans_dec with DistilBERT 3.7e-6 (padded, add) and 3.5e-6 (concat);
* 1000 guided steps of a small trans_enc 1.0e-4 (the scheduler's coefficients are float32, not float64); 50 linear ones 3.1e-6.

`fixtures/mdm_golden.safetensors` keeps the same comparison for tiny models. Its metadata maps each model to its `args.json`; tensors are
`MODEL/weights/PUBLISHED NAME` (float16) and `MODEL/INPUT OR OUTPUT`. To make it again:

1. Import the published model class with stand-ins for its text encoders and body model, none of which a forward pass needs. Build each
   architecture with 2 layers, width 16, feed-forward width 32, text width 8 and 12 features; add noise to biases and norms so that
   none is zero or one; round all weights to float16 and compute in float32.
2. For each, draw `sample` (2, 10, 12), `text` (2, 8), or (2, 5, 8) with `text_mask` for DistilBERT; set `timestep` to 3 and 41,
   `attention_mask` to lengths 10 and 6, and `mask_frames` on. Pass the text as the cached embedding, with its mask inverted. Store the
   output as `conditional`, and as `unconditional` with the flag that drops the text. Transpose from (batch, features, 1, frames).
3. `kit_sampling`: a trans_enc with 251 features, 10 cosine steps, 8 frames, no mask. Draw `noise` (11, 1, 8, 251) in float16; the first
   is the start, the others replace, in order, what the sampling loop draws. Run the guided sampler with scale 2.5 without clipping.
   Store the result as `latents`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import BertTokenizer, CLIPTextConfig, CLIPTextModelWithProjection, DistilBertConfig, DistilBertModel

from hf_motion.conversion import convert_mdm_checkpoint, convert_mdm_state_dict, mdm_config_from_official
from hf_motion.conversion.mdm import main
from hf_motion.models.mdm import MDMDenoiser
from hf_motion.pipelines.mdm import MDMPipeline
from hf_motion.trainers.new_pipeline import train_clip_tokenizer

GOLDEN = Path(__file__).parent / "fixtures" / "mdm_golden.safetensors"
CAPTIONS = ["a person walks forward", "someone jumps"]
WIDTH, FEED_FORWARD, LAYERS = 16, 32, 2
CLIP_WIDTH, BERT_WIDTH = 8, 24

CLIP_ARGS = {"text_encoder_type": "clip", "dataset": "humanml", "diffusion_steps": 50, "noise_schedule": "cosine", "cond_mask_prob": 0.1}
BERT_ARGS = {**CLIP_ARGS, "text_encoder_type": "bert", "mask_frames": True}
VARIANTS = {
    "trans_enc": ("trans_enc", {**CLIP_ARGS, "arch": "trans_enc"}),
    "trans_enc masked": ("trans_enc", {**CLIP_ARGS, "arch": "trans_enc", "mask_frames": True, "pred_len": 0, "context_len": 0}),
    "trans_dec": ("trans_dec", {**CLIP_ARGS, "arch": "trans_dec", "emb_trans_dec": False}),
    "trans_dec emb": ("trans_dec", {**CLIP_ARGS, "arch": "trans_dec", "emb_trans_dec": True}),
    "trans_dec bert": ("trans_dec", {**BERT_ARGS, "arch": "trans_dec"}),
    "trans_dec bert concat": ("trans_dec", {**BERT_ARGS, "arch": "trans_dec", "emb_policy": "concat"}),
    "kit": ("trans_enc", {**CLIP_ARGS, "arch": "trans_enc", "dataset": "kit"}),
}


def official_weights(arch: str, text_dim: int = CLIP_WIDTH, num_features: int = 263, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the published names."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out: int, inp: int, joint: str = ".") -> None:
        shapes.update({f"{name}{joint}weight": (out, inp), f"{name}{joint}bias": (out,)})

    linear("input_process.poseEmbedding", WIDTH, num_features)
    shapes["sequence_pos_encoder.pe"] = shapes["embed_timestep.sequence_pos_encoder.pe"] = (50, 1, WIDTH)
    stack = {"trans_enc": "seqTransEncoder", "trans_dec": "seqTransDecoder"}[arch]
    for layer in (f"{stack}.layers.{index}" for index in range(LAYERS)):
        attentions = ("self_attn", "multihead_attn")[: 1 + (arch == "trans_dec")]
        for attention in attentions:
            linear(f"{layer}.{attention}.in_proj", 3 * WIDTH, WIDTH, "_")
            linear(f"{layer}.{attention}.out_proj", WIDTH, WIDTH)
        linear(f"{layer}.linear1", FEED_FORWARD, WIDTH)
        linear(f"{layer}.linear2", WIDTH, FEED_FORWARD)
        for index in range(1, 2 + len(attentions)):
            shapes.update({f"{layer}.norm{index}.weight": (WIDTH,), f"{layer}.norm{index}.bias": (WIDTH,)})
    for index in (0, 2):
        linear(f"embed_timestep.time_embed.{index}", WIDTH, WIDTH)
    linear("embed_text", WIDTH, text_dim)
    linear("output_process.poseFinal", num_features, WIDTH)
    shapes["clip_model.positional_embedding"] = (3, 4)
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def weights_of(variant: str, **options) -> dict[str, Tensor]:
    arch, args = VARIANTS[variant]
    options.setdefault("num_features", 251 if args["dataset"] == "kit" else 263)
    return official_weights(arch, BERT_WIDTH if args["text_encoder_type"] == "bert" else CLIP_WIDTH, **options)


def write_checkpoint(folder: Path, content: object, args: dict | None) -> Path:
    path = folder / "model000050000.pt"
    torch.save(content, path)
    if args is not None:
        (folder / "args.json").write_text(json.dumps(args))
    return path


def statistics(width: int = 263) -> dict[str, np.ndarray]:
    return {"mean": np.linspace(-1, 1, width, dtype=np.float32), "std": np.linspace(0.5, 2, width, dtype=np.float32)}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def clip() -> tuple:
    tokenizer = train_clip_tokenizer(CAPTIONS, 600)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": CLIP_WIDTH}
    config = CLIPTextConfig(vocab_size=len(tokenizer), **sizes, **special)
    return CLIPTextModelWithProjection(config), tokenizer


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    vocabulary = tmp_path_factory.mktemp("bert") / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "walks", "forward", "someone", "jumps"]))
    tokenizer = BertTokenizer(str(vocabulary))
    return DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer), dim=BERT_WIDTH, hidden_dim=16, n_layers=1, n_heads=2)), tokenizer


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_published_variant_converts_saves_and_reloads(variant, clip, bert, tmp_path):
    _, args = VARIANTS[variant]
    kit, tokens = args["dataset"] == "kit", args["text_encoder_type"] == "bert"
    path = write_checkpoint(tmp_path, weights_of(variant), args)
    numbers = statistics(251 if kit else 263)
    pipe = convert_mdm_checkpoint(path, **numbers, text_encoder=bert if tokens else clip)

    config = pipe.denoiser.config
    assert (config.hidden_size, config.num_layers, config.intermediate_size, config.num_attention_heads) == (16, 2, 32, 4)
    assert (config.arch, config.time_token) == (args["arch"], args.get("emb_trans_dec", False))
    assert (config.text_conditioning, config.condition_merge) == ("tokens" if tokens else "pooled", args.get("emb_policy", "add"))
    assert config.mask_frames is args.get("mask_frames", False)
    assert pipe.config.max_text_tokens == (None if tokens else 22)
    assert pipe.feature_extractor.skeleton == ("kit-21" if kit else "humanml3d-22")
    assert pipe.feature_extractor.mean == numbers["mean"].astype(float).tolist()
    assert pipe.scheduler.config.num_train_timesteps == 50
    assert not pipe.denoiser.training
    assert not pipe.text_encoder.training

    pipe.save_pretrained(tmp_path / "saved")
    again = MDMPipeline.from_pretrained(tmp_path / "saved")
    outputs = []
    for each in (pipe, again):
        each.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        outputs.append(each(CAPTIONS, num_frames=[6, 4], num_inference_steps=2, generator=generator).motions)
    for ours, reloaded in zip(*outputs, strict=True):
        np.testing.assert_array_equal(ours.joints, reloaded.joints)
    assert [len(motion) for motion in outputs[0]] == [6, 4]


def golden(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
    """Weights, other tensors and args of a model of the golden file."""
    with safe_open(GOLDEN, "pt") as file:
        args = json.loads(file.metadata()[name])
        tensors = {key.removeprefix(f"{name}/"): file.get_tensor(key) for key in file.keys() if key.startswith(f"{name}/")}  # noqa: SIM118
    weights = {key.removeprefix("weights/"): value.float() for key, value in tensors.items() if key.startswith("weights/")}
    return weights, {key: value for key, value in tensors.items() if not key.startswith("weights/")}, args


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("name", ["enc_clip", "dec_clip", "dec_clip_emb", "dec_bert_add", "dec_bert_concat", "dec_bert_emb"])
def test_forward_equals_the_published_code(name, cached, implementation):
    weights, tensors, args = golden(name)
    denoiser = MDMDenoiser(**mdm_config_from_official(weights, args)).eval()
    denoiser.load_state_dict(convert_mdm_state_dict(weights))
    denoiser.attention_implementation = implementation
    mask = tensors["attention_mask"]
    for kind, text in (("conditional", tensors["text"]), ("unconditional", torch.zeros_like(tensors["text"]))):
        text = {"encoder_hidden_states": text, "encoder_attention_mask": tensors.get("text_mask")}
        options = {"condition": denoiser.encode_condition(**text)} if cached else text
        with torch.no_grad():
            output = denoiser(tensors["sample"], tensors["timestep"], attention_mask=mask, **options).sample
        torch.testing.assert_close(output, tensors[kind] * mask[..., None], rtol=0, atol=1e-5)


def test_guided_sampling_equals_the_published_code(clip, tmp_path, monkeypatch):
    weights, tensors, args = golden("kit_sampling")
    pipe = convert_mdm_checkpoint(write_checkpoint(tmp_path, weights, args), **statistics(251), text_encoder=clip)
    pipe.set_progress_bar_config(disable=True)
    pipe.feature_extractor.max_frames = tensors["noise"].shape[2]
    start, *draws = tensors["noise"].float()
    draws = iter(draws)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *args, **kwargs: next(draws))
    monkeypatch.setattr(pipe, "encode_prompt", lambda prompts: (tensors["text"], None))
    latents = pipe("a walk", num_frames=start.shape[1], latents=start, guidance_scale=2.5, output_type="latent").motions
    torch.testing.assert_close(latents, tensors["latents"], rtol=0, atol=1e-5)


def test_prefers_averaged_weights(clip, tmp_path):
    raw, averaged = official_weights("trans_enc", seed=1), official_weights("trans_enc", seed=2)
    path = write_checkpoint(tmp_path, {"model": raw, "model_avg": averaged}, VARIANTS["trans_enc"][1])
    for use_ema, expected in ((True, averaged), (False, raw)):
        pipe = convert_mdm_checkpoint(path, **statistics(), text_encoder=clip, use_ema=use_ema)
        torch.testing.assert_close(pipe.denoiser.output_projection.bias, expected["output_process.poseFinal.bias"], rtol=0, atol=0)
    path = write_checkpoint(tmp_path, {"model": raw}, None)
    pipe = convert_mdm_checkpoint(path, **statistics(), text_encoder=clip)
    torch.testing.assert_close(pipe.denoiser.output_projection.bias, raw["output_process.poseFinal.bias"], rtol=0, atol=0)


def test_old_checkpoints_without_args_take_old_options_and_say_so(clip, tmp_path, caplog):
    path = write_checkpoint(tmp_path, official_weights("trans_enc"), None)
    pipe = convert_mdm_checkpoint(path, **statistics(), text_encoder=clip)
    assert "no args.json" in caplog.text
    assert pipe.scheduler.config.num_train_timesteps == 1000
    assert pipe.denoiser.config.mask_frames is False


def test_old_args_keep_old_defaults():
    config = mdm_config_from_official(official_weights("trans_dec"), {"arch": "trans_dec", "dataset": "humanml", "cond_mode": "text"})
    assert (config["mask_frames"], config["condition_merge"], config["time_token"], config["text_conditioning"]) == (
        False,
        "add",
        False,
        "pooled",
    )


def test_wide_text_of_a_decoder_is_distilbert():
    assert mdm_config_from_official(official_weights("trans_dec", 768))["text_conditioning"] == "tokens"
    assert mdm_config_from_official(official_weights("trans_dec", 512))["text_conditioning"] == "pooled"


def test_linear_schedule(clip, tmp_path):
    args = {"diffusion_steps": 100, "noise_schedule": "linear", "sigma_small": False}
    pipe = convert_mdm_checkpoint(write_checkpoint(tmp_path, official_weights("trans_enc"), args), **statistics(), text_encoder=clip)
    torch.testing.assert_close(pipe.scheduler.betas, torch.linspace(0.001, 0.2, 100))
    assert pipe.scheduler.config.variance_type == "fixed_large"


def test_warns_where_guidance_means_nothing(clip, tmp_path, caplog):
    args = {**VARIANTS["trans_enc"][1], "cond_mask_prob": 0}
    convert_mdm_checkpoint(write_checkpoint(tmp_path, official_weights("trans_enc"), args), **statistics(), text_encoder=clip)
    assert "guidance_scale=1" in caplog.text


def test_command_line(clip, tmp_path):
    encoder, tokenizer = clip
    encoder.save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    for name, values in statistics().items():
        np.save(tmp_path / f"{name}.npy", values)
    path = write_checkpoint(tmp_path, official_weights("trans_enc"), None)
    (tmp_path / "options.json").write_text(json.dumps(VARIANTS["trans_enc masked"][1]))
    mean, std, out = (str(tmp_path / name) for name in ("mean.npy", "std.npy", "out"))
    options = ["--text-encoder", str(tmp_path / "clip"), "--args", str(tmp_path / "options.json"), "--no-ema"]
    main([str(path), "--mean", mean, "--std", std, "--output", out, *options])
    pipe = MDMPipeline.from_pretrained(out)
    assert pipe.denoiser.config.mask_frames
    assert isinstance(pipe.text_encoder, CLIPTextModelWithProjection)
    assert pipe.feature_extractor.std == statistics()["std"].astype(float).tolist()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"pred_len": 40, "context_len": 20}, "prefix completion (DiP: pred_len=40, context_len=20)"),
        ({"multi_target_cond": True}, "target joints"),
        ({"arch": "gru"}, "arch 'gru'"),
        ({"unconstrained": True}, "no conditioning"),
        ({"cond_mode": "no_cond"}, "no conditioning"),
        ({"dataset": "humanact12"}, "dataset 'humanact12'"),
        ({"text_encoder_type": "t5"}, "text_encoder_type 't5'"),
        ({"noise_schedule": "sqrt"}, "noise_schedule 'sqrt'"),
        ({"arch": "trans_dec"}, "The weights are of arch 'trans_enc', args.json says 'trans_dec'"),
        ({"text_encoder_type": "bert"}, "needs arch 'trans_dec'"),
        ({"emb_policy": "concat"}, "emb_policy must be 'add'"),
    ],
)
def test_options_that_are_not_supported(args, named):
    with pytest.raises(ValueError, match=r"(?i)supported|args.json|must be|needs") as error:
        mdm_config_from_official(official_weights("trans_enc"), args)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("embed_target_cond.mlp.0.weight", "target joints"),
        ("embed_action.action_embedding", "actions"),
        ("gru.weight_ih_l0", "'gru'"),
        ("input_process.velEmbedding.weight", "'rot_vel'"),
    ],
)
def test_weights_that_are_not_supported(extra, named):
    with pytest.raises(ValueError, match="Supported are the text-conditioned") as error:
        convert_mdm_state_dict({**official_weights("trans_enc"), extra: torch.zeros(1)})
    assert named in str(error.value)


def test_unconditional_weights_are_refused():
    weights = {name: value for name, value in official_weights("trans_enc").items() if not name.startswith("embed_text")}
    with pytest.raises(ValueError, match="unconditional"):
        convert_mdm_state_dict(weights)


def test_unknown_and_missing_names_are_listed():
    weights = official_weights("trans_dec")
    del weights["seqTransDecoder.layers.1.norm3.bias"]
    weights["seqTransDecoder.layers.0.adapter.weight"] = torch.zeros(1)
    with pytest.raises(
        ValueError, match=r"missing: seqTransDecoder\.layers\.1\.norm3\.bias; unexpected: seqTransDecoder\.layers\.0\.adapter\.weight"
    ):
        convert_mdm_state_dict(weights)
    with pytest.raises(ValueError, match=r"Expected MDM weights.*net\.weight"):
        convert_mdm_state_dict({"net.weight": torch.zeros(1)})
    del weights["embed_text.weight"]
    with pytest.raises(ValueError, match=r"no 'embed_text\.weight'"):
        mdm_config_from_official(weights)


def test_weights_that_do_not_fit_each_other(clip, tmp_path):
    weights = {**official_weights("trans_enc"), "seqTransEncoder.layers.1.norm1.bias": torch.zeros(7)}
    with pytest.raises(ValueError, match="do not fit each other"):
        convert_mdm_checkpoint(write_checkpoint(tmp_path, weights, {}), **statistics(), text_encoder=clip)


class _Malicious:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("content", [_Malicious(), {"model": _Malicious()}])
def test_code_in_a_checkpoint_is_refused_and_not_run(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"Refused to load.*could run code"):
        convert_mdm_checkpoint(write_checkpoint(tmp_path, content, None), **statistics())
    assert not (tmp_path / "pwned").exists()


def test_files_that_are_no_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        convert_mdm_checkpoint(tmp_path / "absent.pt", **statistics())
    for content, found in (({"state": {0: torch.zeros(1)}, "param_groups": []}, "'state', 'param_groups'"), ([1], "list"), ({}, "None")):
        with pytest.raises(ValueError, match=f"holds no MDM weights.*{found}"):
            convert_mdm_checkpoint(write_checkpoint(tmp_path, content, None), **statistics())
    for content in (b"", b"hello", b"PK\x03\x04 cut off"):
        (tmp_path / "other.pt").write_bytes(content)
        with pytest.raises(ValueError, match="Refused to load"):
            convert_mdm_checkpoint(tmp_path / "other.pt", **statistics())


def test_args_statistics_and_text_encoder_must_fit(clip, bert, tmp_path):
    path = write_checkpoint(tmp_path, official_weights("trans_enc"), VARIANTS["trans_enc"][1])
    with pytest.raises(ValueError, match="mean must be 263 finite numbers, got 251"):
        convert_mdm_checkpoint(path, **statistics(251), text_encoder=clip)
    with pytest.raises(ValueError, match="text vectors 8 wide, DistilBertModel gives 24"):
        convert_mdm_checkpoint(path, **statistics(), text_encoder=bert)
    with pytest.raises(FileNotFoundError, match="Mean"):
        convert_mdm_checkpoint(path, mean=tmp_path / "Mean.npy", std=statistics()["std"], text_encoder=clip)
    (tmp_path / "Mean.npy").write_text("0.1 0.2")
    with pytest.raises(ValueError, match="Cannot read mean"):
        convert_mdm_checkpoint(path, mean=tmp_path / "Mean.npy", std=statistics()["std"], text_encoder=clip)
    for args in ("{", "[1]"):
        (tmp_path / "bad.json").write_text(args)
        with pytest.raises(ValueError, match="JSON"):
            convert_mdm_checkpoint(path, **statistics(), text_encoder=clip, args_path=tmp_path / "bad.json")
    with pytest.raises(FileNotFoundError, match="absent"):
        convert_mdm_checkpoint(path, **statistics(), text_encoder=clip, args_path=tmp_path / "absent.json")


@pytest.mark.parametrize(("width", "dataset"), [(150, "humanml"), (251, "humanml"), (263, "kit")])
def test_widths_that_are_of_no_known_data_set(width, dataset, clip, tmp_path):
    path = write_checkpoint(tmp_path, official_weights("trans_enc", num_features=width), {"dataset": dataset})
    with pytest.raises(ValueError, match=f"{width} wide.*263 for humanml, 251 for kit"):
        convert_mdm_checkpoint(path, **statistics(width), text_encoder=clip)
