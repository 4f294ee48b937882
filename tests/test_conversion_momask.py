"""Published MoMask checkpoints load, and compute what the published code computes.

Measured against the published code with the same random weights in float32 and published sizes (8 blocks of width 384, six books), texts of
four motions of up to 49 tokens, largest absolute difference: logits of the masked transformer, whose standard deviation is 1.1, 2.6e-6; of
the residual transformer 1.7e-7 for every book with shared weights and 3.6e-7 without; of the length estimator 0. A whole generation with
the same draws (lengths, 10 steps with guidance 4, five books with guidance 5) gives the same 312 tokens, with shared weights and without.

Where ours differs from the published code:

* It may estimate a length of no tokens; here a motion has at least one. Lengths that are given are rounded up to whole tokens, and the
  motion is cut; there they are rounded down.
* It decodes all motions of a batch at the length of the longest, so that a shorter one depends on what lies behind its end; here each is
  decoded as if alone.

`fixtures/momask_golden.safetensors` keeps the comparison for tiny models, `shared` and `own` (residual weights). Weights are those of
`official_weights`, made anew each time. To make it again, for each model:

1. Import the published `MaskTransformer`, `ResidualTransformer` and `LengthEstimator`, without loading their CLIP, and `RVQVAE` (see
   `test_conversion_motion_vq.py`). Build them with the sizes below; load `official_weights` strictly, but for `position_enc.pe`, in
   evaluation mode. Let `encode_text` return `text`.
2. Draw `text` (3, 8), and from a Gumbel distribution `length_noise` (3, 10), `masked_noise` (10, 3, 9, 3), `residual_noise`
   (2, 3, 9, 3), in float16; `ids` (3, 9), codes and masks, and `codes` (3, 3, 9), codes, with lengths 9, 6 and 1, then padding.
3. Store `trans_forward` of `ids` as `masked_logits`; of each book, `forward_with_cond_scale` of the sum of the embeddings of `codes` below
   it, with `cond_scale=1`, as `MODEL_residual_logits`; what the estimator makes of `text` as `length_logits`; all as (..., tokens, codes).
4. Replace `Categorical` and `gumbel_sample` of the published module by ones that, place by place, add the next noise to the logarithms of
   the probabilities, or to the logits, of the likeliest codes in descending order, and take the largest. Draw lengths of the estimator's
   probabilities, and let both transformers `generate` with 10 `timesteps`, `cond_scale` 4 and 5. Store `lengths`, the tokens as
   `MODEL_codes`, and, for shared weights, what `forward_decoder` makes of the longest motion as `features`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from published import TEXTS, Malicious, linear, norm, stable_weights, statistics, tiny_clip
from safetensors.torch import load_file
from test_conversion_motion_vq import BOOKS, CODES, FEATURES, write_checkpoint
from test_conversion_motion_vq import official_weights as official_vq_weights
from torch import Tensor
from transformers import AutoModel

from hf_motion import MoMask
from hf_motion.conversion import convert_momask_checkpoint, convert_momask_state_dict, momask_config_from_official
from hf_motion.conversion.momask import main

GOLDEN = Path(__file__).parent / "fixtures" / "momask_golden.safetensors"
WIDTH, TOKEN_DIM, FEED_FORWARD, LAYERS, HEADS, TEXT_WIDTH = 12, 12, 24, 2, 2, 8
MAX_TOKENS = 9
Parts = dict[str, dict[str, Tensor]]


def _transformer(text_width: int) -> dict[str, tuple[int, ...]]:
    shapes = linear("input_process.poseEmbedding", WIDTH, TOKEN_DIM)
    for layer in (f"seqTransEncoder.layers.{index}" for index in range(LAYERS)):
        shapes |= linear(f"{layer}.self_attn.in_proj", 3 * WIDTH, WIDTH, joint="_") | linear(f"{layer}.self_attn.out_proj", WIDTH, WIDTH)
        shapes |= linear(f"{layer}.linear1", FEED_FORWARD, WIDTH) | linear(f"{layer}.linear2", WIDTH, FEED_FORWARD)
        shapes |= norm(f"{layer}.norm1", WIDTH) | norm(f"{layer}.norm2", WIDTH)
    shapes |= linear("cond_emb", WIDTH, text_width) | linear("output_process.dense", WIDTH, WIDTH)
    return shapes | norm("output_process.LayerNorm", WIDTH) | {"position_enc.pe": (5000, 1, WIDTH)}


def official_weights(shared: bool = True, codes: int = CODES, books: int = BOOKS, text_width: int = TEXT_WIDTH, seed: int = 20) -> Parts:
    """Random weights under the published names."""
    rows, base = codes + 1, _transformer(text_width)
    masked = base | linear("output_process.poseFinal", codes, WIDTH) | {"token_emb.weight": (codes + 2, TOKEN_DIM)}
    residual = base | linear("output_process.poseFinal", TOKEN_DIM, WIDTH) | linear("quant_emb", WIDTH, books)
    if shared:
        residual |= dict.fromkeys(("token_embed_weight_", "output_proj_weight_"), (1, rows, TOKEN_DIM))
        residual |= {"embed_proj_shared_weight": (books - 2, rows, TOKEN_DIM)}
    else:
        residual |= dict.fromkeys(("token_embed_weight", "output_proj_weight"), (books - 1, rows, TOKEN_DIM))
        residual |= {"output_proj_bias": (books, rows)}
    estimator = {}
    for index, (out, inp) in zip((0, 4, 8, 11), ((512, text_width), (256, 512), (128, 256), (MAX_TOKENS + 1, 128)), strict=True):
        estimator |= linear(f"output.{index}", out, inp) | (norm(f"output.{index + 1}", out) if index < 11 else {})
    shapes = {"t2m_transformer": masked, "res_transformer": residual, "estimator": estimator}
    return {part: stable_weights(each, seed + index) for index, (part, each) in enumerate(shapes.items())}


def write_files(folder: Path, parts: Parts | None = None, vq_books: int = BOOKS) -> dict[str, Path]:
    parts = parts or official_weights()
    files = {"path": "t2m_transformer", "residual_path": "res_transformer", "length_path": "estimator"}
    paths = {name: write_checkpoint(folder, parts[part], f"{part}.tar", part) for name, part in files.items()}
    return paths | {"vq_path": write_checkpoint(folder, official_vq_weights(vq_books), "rvq.tar", "vq_model")}


def converted(folder: Path, parts: Parts | None = None) -> MoMask:
    options = {**statistics(FEATURES), "text_encoder": tiny_clip(TEXT_WIDTH), "num_attention_heads": HEADS}
    return convert_momask_checkpoint(**write_files(folder, parts), **options)


@pytest.mark.parametrize("shared", [True, False])
def test_logits_equal_the_published_code(shared, tmp_path):
    golden, model = load_file(GOLDEN), converted(tmp_path, official_weights(shared))
    text, codes = golden["text"].float(), golden["codes"].long()
    real = codes[:, 0] >= 0
    with torch.no_grad():
        masked = model.masked_transformer(golden["ids"].long(), text, real)
        torch.testing.assert_close(masked[real], golden["masked_logits"][real], rtol=0, atol=1e-5)
        torch.testing.assert_close(model.length_estimator(text), golden["length_logits"], rtol=0, atol=1e-5)
        for layer, expected in enumerate(golden["shared_residual_logits" if shared else "own_residual_logits"], start=1):
            layers = torch.full((len(codes),), layer)
            below = model.residual_transformer.sum_below(codes, layers)
            for which in (layers, layer):
                logits = model.residual_transformer(below, which, text, real)
                torch.testing.assert_close(logits[real], expected[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_a_whole_generation_equals_the_published_code(shared, tmp_path, monkeypatch):
    golden, model = load_file(GOLDEN), converted(tmp_path, official_weights(shared))
    draws = iter([golden["length_noise"], *golden["masked_noise"], *golden["residual_noise"]])

    def next_draw(shape, generators, device):
        draw = next(draws).float()
        assert draw.shape == (len(generators), *shape)
        return draw

    monkeypatch.setattr("hf_motion.models.momask.modeling_momask.gumbel_noise", next_draw)
    monkeypatch.setattr(model, "encode_texts", lambda texts: golden["text"].float())
    codes = model.generate_motion(["a"] * 3, num_inference_steps=10, guidance_scale=4, residual_guidance_scale=5, output_type="codes")
    assert [clip.shape[1] for clip in codes] == golden["lengths"].tolist()
    for clip, expected in zip(codes, golden["shared_codes" if shared else "own_codes"].long(), strict=True):
        assert torch.equal(clip, expected[:, : clip.shape[1]])
    assert next(draws, None) is None
    longest = int(golden["lengths"].argmax())
    if shared:
        assert (codes[longest] < 0).any()  # the residual transformer may leave a book out
        with torch.no_grad():
            features = model.vq_model.decode(codes[longest][None])[0]
        torch.testing.assert_close(features, golden["features"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_files_convert_save_and_reload(shared, tmp_path):
    model = converted(tmp_path, official_weights(shared))
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (WIDTH, LAYERS, HEADS)
    assert (config.intermediate_size, config.token_dim, config.max_tokens) == (FEED_FORWARD, TOKEN_DIM, MAX_TOKENS)
    assert (config.share_weights, config.double_logits) == (shared, not shared)
    assert (config.vq_config.num_quantizers, config.text_dim) == (BOOKS, TEXT_WIDTH)
    assert not model.training

    model.save_pretrained(tmp_path / "saved")
    again = AutoModel.from_pretrained(tmp_path / "saved")
    assert isinstance(again, MoMask)
    assert again.feature_extractor.mean == statistics(FEATURES)["mean"].astype(float).tolist()
    vectors = model.encode_texts(TEXTS)
    assert torch.equal(again.encode_texts(TEXTS), vectors)
    torch.testing.assert_close(model.encode_texts(TEXTS[1:]), vectors[1:])  # the shorter text, without padding
    motions = [each.generate_motion(TEXTS, generator=torch.Generator().manual_seed(0)) for each in (model, again)]
    for ours, reloaded in zip(*motions, strict=True):
        np.testing.assert_array_equal(ours.joints, reloaded.joints)


def test_a_file_as_training_wrote_it(tmp_path):
    """Optimizer and schedule lie beside the weights; both are read as data."""
    files = write_files(tmp_path)
    content = torch.load(files["path"], weights_only=True)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])
    content["opt_t2m_transformer"] = optimizer.state_dict()
    content["scheduler"] = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 9]).state_dict()
    content["t2m_transformer"]["clip_model.logit_scale"] = torch.zeros(())
    torch.save({**content, "ep": 3, "total_it": 7}, files["path"])
    options = {**statistics(FEATURES), "text_encoder": tiny_clip(TEXT_WIDTH), "num_attention_heads": HEADS}
    model = convert_momask_checkpoint(**files, **options)
    expected = official_weights()["t2m_transformer"]["token_emb.weight"]
    assert torch.equal(model.masked_transformer.token_embedding.weight, expected)


def test_command_line(tmp_path):
    files = write_files(tmp_path)
    for part in tiny_clip(TEXT_WIDTH):
        part.save_pretrained(tmp_path / "clip")
    for name, values in statistics(FEATURES).items():
        np.save(tmp_path / f"{name}.npy", values)
    options = {"residual": files["residual_path"], "length": files["length_path"], "vq": files["vq_path"], "heads": HEADS}
    options |= {"mean": tmp_path / "mean.npy", "std": tmp_path / "std.npy", "text-encoder": tmp_path / "clip", "output": tmp_path / "out"}
    main([str(files["path"]), *(str(word) for name, value in options.items() for word in (f"--{name}", value))])
    model = AutoModel.from_pretrained(tmp_path / "out")
    assert model.config.num_attention_heads == HEADS
    assert not [file for file in (tmp_path / "out").glob("*.json") if os.fspath(tmp_path) in file.read_text()]


def test_heads_are_published_ones_unless_given():
    assert momask_config_from_official(official_weights())["num_attention_heads"] == 6
    assert momask_config_from_official(official_weights(), 4)["num_attention_heads"] == 4


def test_unknown_and_missing_names_are_listed():
    parts = official_weights()
    del parts["res_transformer"]["quant_emb.bias"]
    parts["res_transformer"]["adapter.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"res_transformer: missing: quant_emb\.bias; unexpected: adapter\.weight.*as it was published"):
        convert_momask_state_dict(parts)
    parts = official_weights(shared=False)
    del parts["res_transformer"]["output_proj_bias"]
    with pytest.raises(ValueError, match=r"missing: output_proj_bias\."):
        convert_momask_state_dict(parts)
    del parts["t2m_transformer"]["cond_emb.weight"]
    with pytest.raises(ValueError, match=r"no 'cond_emb\.weight'"):
        momask_config_from_official(parts)
    del parts["estimator"]
    for convert in (convert_momask_state_dict, momask_config_from_official):
        with pytest.raises(ValueError, match="Expected the weights of t2m_transformer, res_transformer, estimator, got those of res"):
            convert(parts)


def test_weights_of_one_table_for_all_books_are_refused():
    """The published code did not save the table that `shared_codebook` gives its residual transformer."""
    parts = official_weights()
    for name in ("token_embed_weight_", "output_proj_weight_", "embed_proj_shared_weight"):
        del parts["res_transformer"][name]
    with pytest.raises(ValueError, match="missing: embed_proj_shared_weight, output_proj_weight_, token_embed_weight_"):
        convert_momask_state_dict(parts)


def test_files_must_fit_each_other(tmp_path):
    options = {**statistics(FEATURES), "text_encoder": tiny_clip(TEXT_WIDTH), "num_attention_heads": HEADS}
    with pytest.raises(ValueError, match=r"for 3 books of 30 codes.* has 3 of 24.*tokenizer that they were trained with"):
        convert_momask_checkpoint(**write_files(tmp_path, official_weights(codes=30)), **options)
    with pytest.raises(ValueError, match=r"for 3 books of 24 codes.* has 1 of 24"):
        convert_momask_checkpoint(**write_files(tmp_path, vq_books=1), **options)
    parts = official_weights()
    parts["estimator"]["output.9.bias"] = torch.zeros(7)
    with pytest.raises(ValueError, match="do not fit each other"):
        convert_momask_checkpoint(**write_files(tmp_path, parts), **options)
    with pytest.raises(ValueError, match=r"text vectors 8 wide, CLIPTextModelWithProjection gives 12"):
        convert_momask_checkpoint(**write_files(tmp_path), **{**options, "text_encoder": tiny_clip(12)})
    with pytest.raises(ValueError, match="mean must be 251 finite numbers, got 263"):
        convert_momask_checkpoint(**write_files(tmp_path), **{**options, **statistics(263)})


@pytest.mark.parametrize("part", ["t2m_transformer", "res_transformer", "estimator"])
def test_parts_of_different_models_are_seen(part):
    parts = {**official_weights(), part: official_weights(text_width=10)[part]}
    with pytest.raises(ValueError, match=r"equal sizes and the length estimator equal text vectors, got .*'text vectors': .*of one model"):
        momask_config_from_official(parts)


def test_files_that_are_no_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, options = write_files(tmp_path), statistics(FEATURES)
    for name, what, found in (
        ("path", "masked transformer", "res_transformer"),
        ("residual_path", "residual transformer", "t2m_transformer"),
        ("length_path", "length estimator", "res_transformer"),
    ):
        wrong = files["path"] if found == "t2m_transformer" else files["residual_path"]
        with pytest.raises(ValueError, match=f"holds no weights of MoMask's {what}.*found '{found}'"):
            convert_momask_checkpoint(**{**files, name: wrong}, **options)
        with pytest.raises(FileNotFoundError, match=r"absent\.tar"):
            convert_momask_checkpoint(**{**files, name: tmp_path / "absent.tar"}, **options)
    with pytest.raises(ValueError, match=r"Refused to load.*could run code"):
        convert_momask_checkpoint(**{**files, "path": write_checkpoint(tmp_path, Malicious())}, **options)
    assert not (tmp_path / "pwned").exists()
