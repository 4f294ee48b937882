"""Published motion tokenizers of T2M-GPT and MoMask load, and compute what the published code computes.

Measured against the published code with the same random weights in float32 and published sizes, on two clips of 196 frames: all codes are
equal (98 of one book; 588 of six), decoded motions, whose standard deviation is 0.93, differ by at most 1.9e-6. Of tiny models in training
mode, without dropout, losses, perplexities and, after one step from the same statistics, codebooks are equal to 2e-7.

Where ours differs from the published code:

* Published code has no mask: a clip that was padded is encoded, and decoded, as if the padding were motion. Here it gives what the
  published code gives of the clip alone, which is what `short` compares.
* Counts of the codebooks are part of a checkpoint here; the published code draws new codes from the first batch after loading.

`fixtures/motion_vq_golden.safetensors` keeps the comparison for tiny models, `t2m_gpt` and `momask`. Weights are those of
`official_weights`, made anew each time. To make it again, for each model:

1. Import the published autoencoder (`HumanVQVAE`, `RVQVAE`) with `torch.Tensor.cuda` replaced by one that returns the tensor. Build it
   for KIT-ML with the sizes below, a depth of 3, down_t 2 and one book or `BOOKS`; load `official_weights` strictly, in evaluation mode.
2. Draw `features` (2, 20, 251) in float16. Store what the published `encode` makes of them as `codes`, (batch, books, tokens), and what
   `forward_decoder` makes of these, of a clip at a time for T2M-GPT, as `decoded`. Store the same of the first 12 frames of the second
   clip alone as `short_codes` and `short_decoded`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from published import Malicious, linear, stable_weights, statistics
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

from hf_motion import MotionVQConfig, MotionVQModel
from hf_motion.conversion import convert_motion_vq_checkpoint, convert_motion_vq_state_dict, motion_vq_config_from_official
from hf_motion.conversion.motion_vq import main

GOLDEN = Path(__file__).parent / "fixtures" / "motion_vq_golden.safetensors"
WIDTH, CODE_DIM, CODES, BOOKS, DEPTH, FEATURES = 16, 12, 24, 3, 3, 251


def official_weights(books: int = 1, num_features: int = FEATURES, width: int = WIDTH, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the published names: T2M-GPT's with one book, MoMask's with several."""
    shapes = linear("encoder.model.0", width, num_features, 3) | linear("decoder.model.0", width, CODE_DIM, 3)
    for stage in (2, 3):
        shapes |= linear(f"encoder.model.{stage}.0", width, width, 4) | linear(f"decoder.model.{stage}.2", width, width, 3)
        for block in range(DEPTH):
            for name in (f"encoder.model.{stage}.1.model.{block}", f"decoder.model.{stage}.0.model.{block}"):
                shapes |= linear(f"{name}.conv1", width, width, 3) | linear(f"{name}.conv2", width, width, 1)
    shapes |= linear("encoder.model.4", CODE_DIM, width, 3) | linear("decoder.model.4", width, width, 3)
    shapes |= linear("decoder.model.6", num_features, width, 3)
    names = ["quantizer.codebook"] if books == 1 else [f"quantizer.layers.{index}.codebook" for index in range(books)]
    shapes |= dict.fromkeys(names, (CODES, CODE_DIM))
    weights = stable_weights(shapes, seed)
    return {f"vqvae.{name}": value for name, value in weights.items()} if books == 1 else weights


def write_checkpoint(folder: Path, weights: object, name: str = "net_last.pth", key: str = "net") -> Path:
    torch.save({key: weights}, folder / name)
    return folder / name


def converted(weights: dict[str, Tensor]) -> MotionVQModel:
    model = MotionVQModel(MotionVQConfig(**motion_vq_config_from_official(weights))).eval()
    model.load_state_dict(convert_motion_vq_state_dict(weights))
    return model


@pytest.mark.parametrize(("name", "books"), [("t2m_gpt", 1), ("momask", BOOKS)])
def test_equals_the_published_code(name, books):
    golden = {key.removeprefix(f"{name}/"): value for key, value in load_file(GOLDEN).items() if key.startswith(f"{name}/")}
    model, features = converted(official_weights(books)), golden["features"].float()
    codes = model.encode(features)
    assert torch.equal(codes.int(), golden["codes"])
    assert min(len(book.unique()) for book in codes.transpose(0, 1)) > 3
    mask = torch.ones(features.shape[:2]).index_fill(1, torch.arange(12, 20), 0)
    mask[0] = 1
    short = model.encode(features, mask)
    assert torch.equal(short[1:, :, :3].int(), golden["short_codes"])
    with torch.no_grad():
        torch.testing.assert_close(model.decode(codes), golden["decoded"], rtol=0, atol=1e-5)
        torch.testing.assert_close(model.decode(short)[1:, :12], golden["short_decoded"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("books", "num_features", "key"), [(1, 263, "net"), (1, 251, "net"), (BOOKS, 263, "vq_model")])
def test_a_checkpoint_converts_saves_and_reloads(books, num_features, key, tmp_path):
    path, numbers = write_checkpoint(tmp_path, official_weights(books, num_features), key=key), statistics(num_features)
    model, tokenizer, extractor = convert_motion_vq_checkpoint(path, **numbers)
    config = model.config
    assert (config.num_features, config.hidden_size, config.code_dim, config.codebook_size) == (num_features, WIDTH, CODE_DIM, CODES)
    assert (config.num_quantizers, config.shared_codebook, config.strides, config.residual_depth) == (books, False, [2, 2], DEPTH)
    assert (config.dropout, config.quantize_dropout, config.sample_temperature) == ((0, 0, 0) if books == 1 else (0.2, 0.2, 0.5))
    assert config.position_slice == ([4, 67] if num_features == 263 else [4, 64])
    assert extractor.skeleton == ("humanml3d-22" if num_features == 263 else "kit-21")
    assert extractor.mean == numbers["mean"].astype(float).tolist()
    assert not model.training

    for part in (model, tokenizer, extractor):
        part.save_pretrained(tmp_path / "saved")
    again = AutoModel.from_pretrained(tmp_path / "saved")
    features = torch.randn(1, 9, num_features, generator=torch.Generator().manual_seed(0))
    codes = model.encode(features)
    assert torch.equal(again.encode(features), codes)
    with torch.no_grad():
        assert torch.equal(again.decode(codes), model.decode(codes))
    text = AutoTokenizer.from_pretrained(tmp_path / "saved").encode_motion(codes[0])
    assert torch.equal(tokenizer.decode_motion(text).codes.reshape(books, -1), codes[0])
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "saved").std == numbers["std"].astype(float).tolist()


def test_names_may_have_their_prefix_or_not():
    weights = official_weights()
    bare = {name.removeprefix("vqvae."): value for name, value in weights.items()}
    assert bare.keys().isdisjoint(weights)
    assert motion_vq_config_from_official(bare) == motion_vq_config_from_official(weights)
    ours, expected = convert_motion_vq_state_dict(bare), convert_motion_vq_state_dict(weights)
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in ours)


def test_one_book_for_all_quantizers_is_seen():
    weights = official_weights(BOOKS)
    for index in range(BOOKS):
        weights[f"quantizer.layers.{index}.codebook"] = weights["quantizer.layers.0.codebook"].clone()
    model = converted(weights)
    assert model.config.shared_codebook
    assert len(model.quantizer.books) == 1
    assert model.encode(torch.zeros(1, 8, FEATURES)).shape == (1, BOOKS, 2)


@pytest.mark.parametrize("books", [1, BOOKS])
def test_training_goes_on_where_it_ended(books):
    """No code is drawn anew, though one batch uses few of them, and codes in use move a little."""
    model = converted(official_weights(books)).train()
    before = [book.codebook.clone() for book in model.quantizer.books]
    with torch.no_grad():
        output = model(torch.randn(2, 16, FEATURES, generator=torch.Generator().manual_seed(0)))
    used = [set(codes.flatten().tolist()) - {-1} for codes in output.codes.transpose(0, 1)]
    assert 0 < len(used[0]) < CODES
    for book, old, codes in zip(model.quantizer.books, before, used, strict=True):
        kept = [code for code in range(CODES) if code not in codes]
        torch.testing.assert_close(book.codebook[kept], old[kept])
        assert not torch.equal(book.codebook, old) or not codes
        assert float((book.codebook - old).norm(dim=1).max()) < 0.1
    assert output.dead_codes == 0


def test_another_growth_of_dilations(tmp_path):
    path = write_checkpoint(tmp_path, official_weights())
    model, *_ = convert_motion_vq_checkpoint(path, **statistics(FEATURES), dilation_growth=2)
    assert [block.dilated.dilation[0] for block in model.encoder.blocks[0]] == [4, 2, 1]


def test_command_line(tmp_path):
    path = write_checkpoint(tmp_path, official_weights(BOOKS), "net_best_fid.tar", "vq_model")
    for name, values in statistics(FEATURES).items():
        np.save(tmp_path / f"{name}.npy", values)
    mean, std, out = (str(tmp_path / name) for name in ("mean.npy", "std.npy", "out"))
    main([str(path), "--mean", mean, "--std", std, "--output", out])
    names = {file.name for file in Path(out).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer_config.json", "preprocessor_config.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".pt", ".pth", ".tar", ".bin"))]
    assert AutoModel.from_pretrained(out).config.num_quantizers == BOOKS


def test_unknown_and_missing_names_are_listed():
    weights = official_weights(BOOKS)
    del weights["decoder.model.3.2.bias"]
    weights["encoder.model.2.1.model.0.norm1.weight"] = torch.zeros(WIDTH)
    message = r"missing: decoder\.model\.3\.2\.bias; unexpected: encoder\.model\.2\.1\.model\.0\.norm1\.weight.*as it was published"
    with pytest.raises(ValueError, match=message):
        convert_motion_vq_state_dict(weights)
    for name in ("encoder.model.0.weight", "encoder.model.3.0.weight"):
        with pytest.raises(ValueError, match=f"no '{name}'"):
            motion_vq_config_from_official({key: value for key, value in official_weights(BOOKS).items() if key != name})
    books = {name: value for name, value in official_weights(BOOKS).items() if "codebook" not in name}
    for convert in (convert_motion_vq_state_dict, motion_vq_config_from_official):
        with pytest.raises(ValueError, match=r"no 'quantizer\.codebook'"):
            convert(books)


def test_models_that_are_not_supported():
    with pytest.raises(ValueError, match=r"features 150 wide; known widths are 263 \(humanml3d-22\), 251 \(kit-21\)"):
        motion_vq_config_from_official(official_weights(num_features=150))
    weights = official_weights(BOOKS)
    weights["encoder.model.3.0.weight"] = torch.zeros(WIDTH, WIDTH, 2)
    with pytest.raises(ValueError, match=r"convolutions 4 wide \(stride 2\), as published; these have widths \[4, 2\]"):
        motion_vq_config_from_official(weights)


def test_weights_and_statistics_must_fit(tmp_path):
    path = write_checkpoint(tmp_path, official_weights())
    with pytest.raises(ValueError, match="mean must be 251 finite numbers, got 263"):
        convert_motion_vq_checkpoint(path, **statistics(263))
    with pytest.raises(FileNotFoundError, match=r"mean\.npy"):
        convert_motion_vq_checkpoint(path, mean=tmp_path / "mean.npy", std=statistics(FEATURES)["std"])
    path = write_checkpoint(tmp_path, {**official_weights(), "vqvae.decoder.model.4.bias": torch.zeros(7)})
    with pytest.raises(ValueError, match="do not fit each other"):
        convert_motion_vq_checkpoint(path, **statistics(FEATURES))


def test_files_that_are_no_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no file"):
        convert_motion_vq_checkpoint(tmp_path / "absent.pth", **statistics(FEATURES))
    for content, found in (({"trans": {}, "epoch": 3}, "'trans', 'epoch'"), ([1], "list"), ({}, "None"), ({"net": {}}, "None")):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=f"holds no weights of a motion tokenizer.*'net' or 'vq_model', found {found}"):
            convert_motion_vq_checkpoint(tmp_path / "other.pth", **statistics(FEATURES))
    with pytest.raises(ValueError, match=r"Refused to load.*could run code"):
        convert_motion_vq_checkpoint(write_checkpoint(tmp_path, Malicious()), **statistics(FEATURES))
    assert not (tmp_path / "pwned").exists()
