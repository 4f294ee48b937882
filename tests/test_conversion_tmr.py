"""Published TMR runs load, and compute what the published code computes.

Measured against the published code on the same random weights in float32 (published sizes; clips of 196, 120, 60 and 40 frames; texts of
20, 12, 8 and 5 tokens), largest absolute difference: means and log-variances of motions and texts 1.2e-6 (their standard deviation is 1),
decoded motions 9.5e-7, terms of the loss with filtered negatives 1.9e-6.

`fixtures/tmr_golden/tiny.safetensors` keeps the same comparison for a tiny model. Tensors are `weights/PART/PUBLISHED NAME` (float16), and
inputs and outputs by name. To make it again:

1. Import the published `TMR`, `ACTORStyleEncoder` and `ACTORStyleDecoder` with `torch.nn.Module` in place of Lightning's module. Build them
   with 10 features, text width 12, width 16, feed-forward width 24, 2 layers, 4 heads, `vae=True`, `sample_mean=True`, temperature 0.1,
   threshold 0.8 and the published weights of the terms; add noise to biases and norms; round all weights to float16, compute in float32.
2. Draw `motion` (3, 9, 10) with `motion_mask` of 9, 6 and 4 frames, `text_states` (3, 5, 12) with `text_mask` of 5, 3 and 4 tokens, both
   zero where padded, and `sentences` (3, 4) of unit length of which the first and the last are closer than a cosine of 0.6.
3. Store both encoders' outputs as `motion_mean`, `motion_log_variance`, `text_mean`, `text_log_variance`; what the decoder makes of
   `text_mean` under `motion_mask` as `decoded`; and what `compute_loss` returns, with all nine frames of every clip taken for real, as
   `loss_TERM`.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, BertTokenizer, DistilBertConfig, DistilBertModel

from hf_motion import MotionFeatureExtractor
from hf_motion.conversion.tmr import convert_tmr_checkpoint, convert_tmr_state_dict, main, tmr_config_from_official
from hf_motion.models.tmr.configuration_tmr import TMRConfig
from hf_motion.models.tmr.modeling_tmr import TMR
from hf_motion.retrieval.text_similarity import cosine_threshold, similar_pairs

GOLDEN = Path(__file__).parent / "fixtures" / "tmr_golden" / "tiny.safetensors"
WIDTH, FEED_FORWARD, LAYERS, TEXT_WIDTH = 16, 24, 2, 12
RUN = {
    "model": {
        "vae": True,
        "temperature": 0.2,
        "lmd": {"recons": 1.0, "latent": 1e-5, "kl": 2e-5, "contrastive": 0.3},
        **{part: {"num_heads": 2, "dropout": 0.3, "activation": "gelu"} for part in ("motion_encoder", "text_encoder", "motion_decoder")},
    }
}
Parts = dict[str, dict[str, Tensor]]


def official_weights(num_features: int = 263, text_width: int = TEXT_WIDTH, layers: int = LAYERS, seed: int = 0) -> Parts:
    """Random weights under the published names."""
    generator = torch.Generator().manual_seed(seed)

    def linear(name: str, out: int, inp: int, joint: str = ".") -> dict[str, tuple[int, ...]]:
        return {f"{name}{joint}weight": (out, inp), f"{name}{joint}bias": (out,)}

    def stack(name: str, attentions: list[str]) -> dict[str, tuple[int, ...]]:
        shapes = {}
        for layer in (f"{name}.layers.{index}" for index in range(layers)):
            for attention in attentions:
                shapes |= linear(f"{layer}.{attention}.in_proj", 3 * WIDTH, WIDTH, "_") | linear(
                    f"{layer}.{attention}.out_proj", WIDTH, WIDTH
                )
            shapes |= linear(f"{layer}.linear1", FEED_FORWARD, WIDTH) | linear(f"{layer}.linear2", WIDTH, FEED_FORWARD)
            for index in range(1, 2 + len(attentions)):
                shapes |= {f"{layer}.norm{index}.weight": (WIDTH,), f"{layer}.norm{index}.bias": (WIDTH,)}
        return shapes

    encoder = {"tokens": (2, WIDTH), **stack("seqTransEncoder", ["self_attn"])}
    parts = {
        "motion_encoder": encoder | linear("projection", WIDTH, num_features),
        "text_encoder": encoder | linear("projection", WIDTH, text_width),
        "motion_decoder": stack("seqTransDecoder", ["self_attn", "multihead_attn"]) | linear("final_layer", num_features, WIDTH),
    }
    return {part: {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()} for part, shapes in parts.items()}


def write_run(folder: Path, parts: Parts, run: object = RUN) -> Path:
    (folder / "last_weights").mkdir(exist_ok=True)
    for part, weights in parts.items():
        torch.save(weights, folder / "last_weights" / f"{part}.pt")
    if run is not None:
        (folder / "config.json").write_text(json.dumps(run))
    return folder


def statistics(width: int = 263) -> dict[str, Tensor]:
    return {"mean": torch.linspace(-1, 1, width), "std": torch.linspace(0.5, 2, width)}


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distilbert")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "walks", "jumps"]))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    DistilBertModel(DistilBertConfig(vocab_size=9, dim=TEXT_WIDTH, hidden_dim=16, n_layers=1, n_heads=2)).save_pretrained(folder)
    return folder


def golden() -> tuple[Parts, dict[str, Tensor]]:
    tensors = load_file(GOLDEN)
    parts: Parts = {}
    for key in [key for key in tensors if key.startswith("weights/")]:
        _, part, name = key.split("/")
        parts.setdefault(part, {})[name] = tensors.pop(key).float()
    return parts, tensors


def test_equals_the_published_code():
    parts, tensors = golden()
    text = {"model_type": "distilbert", "vocab_size": 9, "dim": TEXT_WIDTH, "n_layers": 1, "n_heads": 2, "hidden_dim": 8}
    model = TMR(TMRConfig(**tmr_config_from_official(parts), text_config=text)).eval()
    loaded = model.load_state_dict(convert_tmr_state_dict(parts), strict=False)
    assert not loaded.unexpected_keys
    assert all(name.startswith("text_model.") for name in loaded.missing_keys)

    motion, motion_mask = tensors["motion"], tensors["motion_mask"].long()
    states, text_mask = tensors["text_states"], tensors["text_mask"].long()
    similar = similar_pairs(tensors["sentences"], cosine_threshold(0.8))
    assert similar.nonzero().tolist() == [[0, 0], [0, 2], [1, 1], [2, 0], [2, 2]]
    with torch.no_grad():
        ours = {
            "motion_mean": model.get_motion_features(motion, motion_mask),
            "motion_log_variance": model._encode_motion(motion, motion_mask).log_variance,
            "text_mean": model._encode_text(states, text_mask).mean,
            "text_log_variance": model._encode_text(states, text_mask).log_variance,
            "decoded": model.decode(tensors["text_mean"], motion_mask),
        }
        output = model(motion, text_states=states, text_mask=text_mask, similar=similar)
    ours |= {"loss_loss": output.loss, "loss_recons": output.reconstruction_loss, "loss_kl": output.kl_loss}
    ours |= {"loss_latent": output.latent_loss, "loss_contrastive": output.contrastive_loss}
    for name, value in ours.items():
        torch.testing.assert_close(value, tensors[name], rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_a_run_converts_saves_and_reloads(distilbert, tmp_path):
    numbers = statistics()
    model, tokenizer, extractor = convert_tmr_checkpoint(write_run(tmp_path, official_weights()), **numbers, text_model=distilbert)
    config = model.config
    assert (config.num_features, config.hidden_size, config.num_layers, config.intermediate_size) == (263, WIDTH, LAYERS, FEED_FORWARD)
    assert (config.num_attention_heads, config.dropout, config.contrastive_temperature) == (2, 0.3, 0.2)
    weights = (config.reconstruction_weight, config.kl_weight, config.latent_weight, config.contrastive_weight)
    assert weights == (1.0, 2e-5, 1e-5, 0.3)
    assert config.freeze_text_model
    assert not model.training
    expected = DistilBertModel.from_pretrained(distilbert).eval()
    tokens = tokenizer(["a person walks", "a person"], padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(
            model.get_text_states(tokens["input_ids"], tokens["attention_mask"]), expected(**tokens).last_hidden_state
        )

    for part in (model, tokenizer, extractor):
        part.save_pretrained(tmp_path / "saved")
    again = TMR.from_pretrained(tmp_path / "saved")
    motion = torch.randn(2, 7, 263, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.get_motion_features(motion), model.get_motion_features(motion))
    assert torch.equal(again.get_text_features(tokens["input_ids"]), model.get_text_features(tokens["input_ids"]))
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("a person")["input_ids"] == tokenizer("a person")["input_ids"]
    reloaded = MotionFeatureExtractor.from_pretrained(tmp_path / "saved")
    assert reloaded.mean == numbers["mean"].double().tolist()
    assert (reloaded.fps, reloaded.max_frames) == (20, 200)


def test_without_the_runs_options_published_ones_are_taken(distilbert, tmp_path, caplog):
    model, *_ = convert_tmr_checkpoint(write_run(tmp_path, official_weights(), None), **statistics(), text_model=distilbert)
    assert "config.json: taking the published options" in caplog.text
    assert model.config.num_attention_heads == 4
    assert (model.config.contrastive_temperature, model.config.contrastive_weight, model.config.kl_weight) == (0.1, 0.1, 1e-5)


@pytest.mark.parametrize("kind", ["pt", "npy"])
def test_command_line(kind, distilbert, tmp_path):
    write_run(tmp_path, official_weights())
    for name, values in statistics().items():
        torch.save(values, tmp_path / f"{name}.pt")
        np.save(tmp_path / f"{name}.npy", values.numpy())
    mean, std, out = (str(tmp_path / name) for name in (f"mean.{kind}", f"std.{kind}", "out"))
    main([str(tmp_path), "--mean", mean, "--std", std, "--text-model", str(distilbert), "--output", out])
    names = {path.name for path in Path(out).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"} <= names
    assert not [name for name in names if name.endswith((".pt", ".bin"))]
    assert not [path for path in Path(out).glob("*.json") if str(distilbert) in path.read_text()]
    assert MotionFeatureExtractor.from_pretrained(out).std == statistics()["std"].double().tolist()


def test_queries_and_keys_of_the_decoders_one_latent_change_nothing():
    """They are dropped, which the golden file shows to be right; here: nothing else is."""
    parts = official_weights()
    converted = convert_tmr_state_dict(parts)
    kept, published = sum(x.numel() for x in converted.values()), sum(x.numel() for part in parts.values() for x in part.values())
    assert published - kept == LAYERS * 2 * (WIDTH * WIDTH + WIDTH)
    layer = "seqTransDecoder.layers.1.multihead_attn.in_proj_weight"
    assert torch.equal(converted["motion_decoder.blocks.1.latent_value.weight"], parts["motion_decoder"][layer][2 * WIDTH :])


def test_unknown_and_missing_names_are_listed():
    parts = official_weights()
    del parts["motion_decoder"]["seqTransDecoder.layers.1.norm3.bias"]
    parts["motion_decoder"]["adapter.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"motion_decoder: missing: seqTransDecoder\.layers\.1\.norm3\.bias; unexpected: adapter\.weight"):
        convert_tmr_state_dict(parts)
    del parts["text_encoder"]
    with pytest.raises(ValueError, match="got those of motion_decoder, motion_encoder"):
        convert_tmr_state_dict(parts)
    parts = official_weights()
    del parts["motion_encoder"]["projection.weight"]
    with pytest.raises(ValueError, match=r"no 'projection\.weight'"):
        tmr_config_from_official(parts)


def test_models_that_are_not_supported():
    parts = official_weights()
    with pytest.raises(ValueError, match="says vae=False; supported is vae=True"):
        tmr_config_from_official(parts, {"model": {"vae": False}})
    with pytest.raises(ValueError, match="says activation='relu'"):
        tmr_config_from_official(parts, {"model": {"text_encoder": {"activation": "relu"}}})
    with pytest.raises(ValueError, match=r"different num_heads, \[4, 8\]"):
        tmr_config_from_official(parts, {"model": {"text_encoder": {"num_heads": 8}}})
    with pytest.raises(ValueError, match=r"motion_encoder \(3, 16, 24\), text_encoder \(2, 16, 24\)"):
        tmr_config_from_official({**parts, "motion_encoder": official_weights(layers=3)["motion_encoder"]})
    parts["text_encoder"]["tokens"] = torch.zeros(1, WIDTH)
    with pytest.raises(ValueError, match="other than two tokens"):
        tmr_config_from_official(parts)


def test_weights_statistics_and_text_model_must_fit(distilbert, tmp_path):
    run = write_run(tmp_path, official_weights())
    with pytest.raises(ValueError, match="mean must be 263 finite numbers, got 251"):
        convert_tmr_checkpoint(run, **statistics(251), text_model=distilbert)
    with pytest.raises(FileNotFoundError, match=r"mean\.pt"):
        convert_tmr_checkpoint(run, mean=tmp_path / "mean.pt", std=statistics()["std"], text_model=distilbert)
    torch.save({"a": torch.zeros(1)}, tmp_path / "mean.pt")
    (tmp_path / "mean.npy").write_text("0.1 0.2")
    for name, message in (("mean.pt", "holds no mean: .*found a dict"), ("mean.npy", "Cannot read mean")):
        with pytest.raises(ValueError, match=message):
            convert_tmr_checkpoint(run, mean=tmp_path / name, std=statistics()["std"], text_model=distilbert)
    write_run(tmp_path, official_weights(text_width=13))
    with pytest.raises(ValueError, match=r"text tokens 13 wide, .* gives 12"):
        convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)
    write_run(tmp_path, official_weights(num_features=64))
    with pytest.raises(ValueError, match="features 64 wide; known are those of 263"):
        convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)
    parts = official_weights()
    parts["motion_encoder"]["seqTransEncoder.layers.1.norm1.bias"] = torch.zeros(7)
    write_run(tmp_path, parts)
    with pytest.raises(ValueError, match="do not fit each other"):
        convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)
    for text in ("{", "[1]"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match="JSON"):
            convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)


class _Malicious:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_code_in_a_file_is_refused_and_not_run(distilbert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path, official_weights())
    torch.save(_Malicious(), tmp_path / "std.pt")
    with pytest.raises(ValueError, match=r"Refused to load.*could run code"):
        convert_tmr_checkpoint(run, mean=statistics()["mean"], std=tmp_path / "std.pt", text_model=distilbert)
    torch.save({"tokens": _Malicious()}, run / "last_weights" / "text_encoder.pt")
    with pytest.raises(ValueError, match=r"Refused to load.*could run code"):
        convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)
    assert not (tmp_path / "pwned").exists()


def test_folders_that_are_no_runs(distilbert, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)no folder .*last_weights.*extract\.py"):
        convert_tmr_checkpoint(tmp_path, **statistics(), text_model=distilbert)
    run = write_run(tmp_path, official_weights())
    for content, found in (([1], "list"), ({}, "None"), ({"epoch": 3}, "'epoch'")):
        torch.save(content, run / "last_weights" / "motion_encoder.pt")
        with pytest.raises(ValueError, match=f"holds no weights: .*found {found}"):
            convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)
    (run / "last_weights" / "motion_encoder.pt").write_bytes(b"hello")
    with pytest.raises(ValueError, match="Refused to load"):
        convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)
    (run / "last_weights" / "motion_encoder.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"motion_encoder\.pt"):
        convert_tmr_checkpoint(run, **statistics(), text_model=distilbert)
