"""Published T2M-GPT checkpoints load, and compute what the published code computes.

Measured against the published code with the same random weights in float32 and published sizes (18 blocks of width 1024), two texts of 50
tokens: logits, whose standard deviation is 1.1, differ by at most 2.4e-6; both choose the same 100 tokens, the likeliest ones and
those drawn with the same noise.

Where ours differs from the published code: when the end is drawn as the very first token, the published `sample` raises an error, which
its evaluation catches to go on with the code 1; here the first token is drawn from the others.

`fixtures/t2m_gpt_golden.safetensors` keeps the comparison for a tiny model. Weights are those of `official_weights`, made anew each time.
To make it again:

1. Import the published `Text2Motion_Transformer` and build it with the sizes below, a feed-forward rate of 4 and a block size of
   `MAX_TOKENS + 1`; load `official_weights` strictly, in evaluation mode.
2. Draw `text` (3, 8) and `ids` (3, 12), codes, at random, and `noise` (13, 3, 25) from a Gumbel distribution; round to float16 and compute
   in float32. Store the published logits of `ids` as `logits`.
3. Store what the published `sample` returns, text by text, as `greedy`; and, with its `Categorical` replaced by one that adds the next
   step's noise of that text to the logarithm of the probabilities and takes the largest, as `sampled`; padded with -1.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from published import TEXTS, Malicious, linear, norm, stable_weights, statistics, tiny_clip
from safetensors.torch import load_file
from test_conversion_motion_vq import CODES, FEATURES, write_checkpoint
from test_conversion_motion_vq import official_weights as official_vq_weights
from torch import Tensor
from transformers import AutoModel

from hf_motion import T2MGPT
from hf_motion.conversion import convert_t2m_gpt_checkpoint, convert_t2m_gpt_state_dict, t2m_gpt_config_from_official
from hf_motion.conversion.t2m_gpt import main
from hf_motion.nn.embeddings import sinusoidal_table

GOLDEN = Path(__file__).parent / "fixtures" / "t2m_gpt_golden.safetensors"
WIDTH, LAYERS, TEXT_WIDTH, HEADS, MAX_TOKENS = 16, 2, 8, 4, 12
POSITIONS = "trans_base.pos_embed.embed"


def official_weights(codes: int = CODES, width: int = WIDTH, seed: int = 3) -> dict[str, Tensor]:
    """Random weights under the published names; `LAYERS` blocks in each of the two stacks."""
    steps = MAX_TOKENS + 1
    shapes = {"trans_base.tok_emb.weight": (codes + 2, width), "trans_base.pos_embedding.weight": (steps, width)}
    shapes |= linear("trans_base.cond_emb", width, TEXT_WIDTH)
    for block in (f"{stack}.blocks.{index}" for stack in ("trans_base", "trans_head") for index in range(LAYERS)):
        shapes |= norm(f"{block}.ln1", width) | norm(f"{block}.ln2", width)
        for name in ("key", "query", "value", "proj"):
            shapes |= linear(f"{block}.attn.{name}", width, width)
        shapes |= linear(f"{block}.mlp.0", 4 * width, width) | linear(f"{block}.mlp.2", width, 4 * width)
    shapes |= norm("trans_head.ln_f", width) | {"trans_head.head.weight": (codes + 1, width)}
    weights = stable_weights(shapes, seed)
    mask = torch.ones(steps, steps).tril()[None, None]
    weights |= {f"{stack}.blocks.{index}.attn.mask": mask for stack in ("trans_base", "trans_head") for index in range(LAYERS)}
    return weights | {POSITIONS: sinusoidal_table(steps, width)[:, None]}


def write_files(folder: Path, weights: object = None, **vq_options) -> dict[str, Path]:
    weights = official_weights() if weights is None else weights
    vq_path = write_checkpoint(folder, official_vq_weights(**vq_options))
    return {"path": write_checkpoint(folder, weights, "net_best_fid.pth", "trans"), "vq_path": vq_path}


def converted(folder: Path, weights: object = None) -> T2MGPT:
    options = {**statistics(FEATURES), "text_encoder": tiny_clip(TEXT_WIDTH), "num_attention_heads": HEADS}
    return convert_t2m_gpt_checkpoint(**write_files(folder, weights), **options)


def test_logits_equal_the_published_code(tmp_path):
    golden, model = load_file(GOLDEN), converted(tmp_path)
    start = torch.full((3, 1), model.config.bos_token_id)
    with torch.no_grad():
        logits = model(torch.cat((start, golden["ids"].long()), dim=1), text_embeds=golden["text"].float()).logits
    torch.testing.assert_close(logits, golden["logits"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
def test_generated_codes_equal_the_published_code(kind, tmp_path, monkeypatch):
    golden, model = load_file(GOLDEN), converted(tmp_path)
    noise = iter(golden["noise"].float())
    monkeypatch.setattr("hf_motion.nn.sampling.gumbel_noise", lambda *args: next(noise))
    monkeypatch.setattr(model, "encode_texts", lambda texts: golden["text"].float())
    codes = model.generate_motion(["a"] * 3, temperature=float(kind == "sampled"), output_type="codes")
    expected = [row[row >= 0][None].long() for row in golden[kind]]
    assert [clip.tolist() for clip in codes] == [clip.tolist() for clip in expected]
    assert len({clip.shape[1] for clip in codes}) > 1


def test_files_convert_save_and_reload(tmp_path):
    model = converted(tmp_path)
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (WIDTH, 2 * LAYERS, HEADS)
    assert (config.intermediate_size, config.max_tokens, config.vq_config.codebook_size) == (4 * WIDTH, MAX_TOKENS, CODES)
    assert (config.text_dim, config.text_config.architectures) == (TEXT_WIDTH, ["CLIPTextModelWithProjection"])
    assert model.feature_extractor.skeleton == "kit-21"
    assert not model.training

    model.save_pretrained(tmp_path / "saved")
    again = AutoModel.from_pretrained(tmp_path / "saved")
    assert isinstance(again, T2MGPT)
    assert again.feature_extractor.mean == statistics(FEATURES)["mean"].astype(float).tolist()
    vectors = model.encode_texts(TEXTS)
    assert torch.equal(again.encode_texts(TEXTS), vectors)
    torch.testing.assert_close(model.encode_texts(TEXTS[1:]), vectors[1:])  # the shorter text, without padding
    motions = [each.generate_motion(TEXTS, generator=torch.Generator().manual_seed(0)) for each in (model, again)]
    for ours, reloaded in zip(*motions, strict=True):
        np.testing.assert_array_equal(ours.joints, reloaded.joints)


def test_command_line(tmp_path):
    files = write_files(tmp_path)
    for part in tiny_clip(TEXT_WIDTH):
        part.save_pretrained(tmp_path / "clip")
    for name, values in statistics(FEATURES).items():
        np.save(tmp_path / f"{name}.npy", values)
    options = {"vq": files["vq_path"], "mean": tmp_path / "mean.npy", "std": tmp_path / "std.npy", "output": tmp_path / "out"}
    options |= {"text-encoder": tmp_path / "clip", "heads": HEADS}
    main([str(files["path"]), *(str(word) for name, value in options.items() for word in (f"--{name}", value))])
    model = AutoModel.from_pretrained(tmp_path / "out")
    assert model.config.num_attention_heads == HEADS
    assert not [file for file in (tmp_path / "out").glob("*.json") if os.fspath(tmp_path) in file.read_text()]


def test_heads_are_published_ones_unless_given():
    assert t2m_gpt_config_from_official(official_weights())["num_attention_heads"] == 16
    assert t2m_gpt_config_from_official(official_weights(), 8)["num_attention_heads"] == 8


def test_learned_positions_are_refused():
    weights = official_weights()
    weights[POSITIONS] = weights[POSITIONS] + 1e-6
    convert_t2m_gpt_state_dict(weights)
    weights[POSITIONS] = weights[POSITIONS] + 0.01
    with pytest.raises(ValueError, match=r"pos_embed\.embed is up to 0\.01 from the sines.*learned positions are not supported"):
        convert_t2m_gpt_state_dict(weights)


def test_the_table_that_was_never_used_may_be_absent():
    weights = {name: value for name, value in official_weights().items() if "pos_embedding" not in name and not name.endswith(".mask")}
    assert convert_t2m_gpt_state_dict(weights).keys() == convert_t2m_gpt_state_dict(official_weights()).keys()


def test_unknown_and_missing_names_are_listed():
    weights = official_weights()
    del weights["trans_head.blocks.1.attn.key.bias"], weights["trans_head.ln_f.bias"]
    weights["trans_base.adapter"] = torch.zeros(1)
    message = r"missing: trans_head\.blocks\.1\.attn\.key\.bias, trans_head\.ln_f\.bias; unexpected: trans_base\.adapter"
    with pytest.raises(ValueError, match=message):
        convert_t2m_gpt_state_dict(weights)
    for name in (POSITIONS, "trans_base.tok_emb.weight"):
        with pytest.raises(ValueError, match=f"no '{name}'"):
            t2m_gpt_config_from_official({key: value for key, value in official_weights().items() if key != name})


def test_files_must_fit_each_other(tmp_path):
    options = {**statistics(FEATURES), "text_encoder": tiny_clip(TEXT_WIDTH), "num_attention_heads": HEADS}
    with pytest.raises(ValueError, match=r"for one book of 30 codes.* has 1 of 24.*tokenizer that it was trained with"):
        convert_t2m_gpt_checkpoint(**write_files(tmp_path, official_weights(codes=30)), **options)
    with pytest.raises(ValueError, match=r"for one book of 24 codes.* has 3 of 24"):
        convert_t2m_gpt_checkpoint(**write_files(tmp_path, books=3), **options)
    weights = {**official_weights(), "trans_head.ln_f.bias": torch.zeros(7)}
    with pytest.raises(ValueError, match="do not fit each other"):
        convert_t2m_gpt_checkpoint(**write_files(tmp_path, weights), **options)
    with pytest.raises(ValueError, match=r"text vectors 8 wide, CLIPTextModelWithProjection gives 12.*'openai/clip-vit-base-patch32'"):
        convert_t2m_gpt_checkpoint(**write_files(tmp_path), **{**options, "text_encoder": tiny_clip(12)})
    with pytest.raises(ValueError, match="mean must be 251 finite numbers, got 263"):
        convert_t2m_gpt_checkpoint(**write_files(tmp_path), **{**options, **statistics(263)})
    with pytest.raises(ValueError, match="hidden_size=16 must be even and divisible by num_attention_heads=5"):
        convert_t2m_gpt_checkpoint(**write_files(tmp_path), **{**options, "num_attention_heads": 5})


def test_files_that_are_no_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, options = write_files(tmp_path), statistics(FEATURES)
    with pytest.raises(ValueError, match=r"holds no weights of a T2M-GPT: expected tensors, or those under 'trans', found 'net'"):
        convert_t2m_gpt_checkpoint(files["vq_path"], vq_path=files["vq_path"], **options)
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        convert_t2m_gpt_checkpoint(files["path"], vq_path=tmp_path / "absent.pth", **options)
    with pytest.raises(ValueError, match=r"Refused to load.*could run code"):
        convert_t2m_gpt_checkpoint(**write_files(tmp_path, Malicious()), **options)
    assert not (tmp_path / "pwned").exists()
