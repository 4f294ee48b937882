"""Published MotionGPT checkpoints load: the T5 computes what transformers' own does with the same weights.

The names were read in the published code: `MLM.language_model` is a `T5ForConditionalGeneration`, `VQVae` has the modules of T2M-GPT's
autoencoder, which `test_conversion_motion_vq.py` compares with published code, and the model keeps them as `lm` and `vae`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from published import Malicious, statistics
from test_conversion_motion_vq import CODES, FEATURES, converted
from test_conversion_motion_vq import official_weights as official_vq_weights
from tiny import CAPTIONS
from transformers import T5Config, T5ForConditionalGeneration

from hf_motion import AutoMotionModel
from hf_motion.conversion import convert_motiongpt_checkpoint, convert_motiongpt_state_dict
from hf_motion.conversion.motiongpt import main
from hf_motion.trainers.new_pipeline import train_clip_tokenizer


def base(vocab_size: int | None = None) -> tuple:
    """Configuration and tokenizer of a T5 with a head of its own, as flan-t5's."""
    tokenizer = train_clip_tokenizer(CAPTIONS, 600)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu"}
    options = {"decoder_start_token_id": 0, "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    return T5Config(vocab_size=vocab_size or len(tokenizer) + 8, tie_word_embeddings=False, **sizes, **options), tokenizer


def published_t5(rows: int) -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    config, _ = base(rows)
    model = T5ForConditionalGeneration(config).eval()
    model.lm_head.weight = torch.nn.Parameter(torch.randn(rows, 16))
    return model


def write_checkpoint(folder: Path, model: T5ForConditionalGeneration, prefix: str = "vae.") -> Path:
    vq = {name.removeprefix("vqvae."): value for name, value in official_vq_weights().items()}
    weights = {f"lm.language_model.{name}": value for name, value in model.state_dict().items()}
    weights |= {f"{prefix}{name}": value for name, value in vq.items()} | {"metrics.TM2TMetrics.count": torch.tensor(1)}
    torch.save({"state_dict": weights, "epoch": 3}, folder / "motiongpt.tar")
    return folder / "motiongpt.tar"


@pytest.mark.parametrize("prefix", ["vae.", "motion_vae."])
def test_a_checkpoint_converts_saves_and_loads(tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str) -> None:
    published = published_t5(600 + CODES + 3)
    path = write_checkpoint(tmp_path, published, prefix)
    model = convert_motiongpt_checkpoint(path, **statistics(FEATURES), base=base())
    assert "1 weights of 'metrics'" in caplog.text
    model.save_pretrained(tmp_path / "saved")
    again = AutoMotionModel.from_pretrained(tmp_path / "saved")
    ids = {"input_ids": torch.tensor([[5, 6, 7, 600]]), "decoder_input_ids": torch.tensor([[0, 600 + CODES, 603]])}
    expected = published(**ids).logits
    for made in (model, again):
        assert torch.equal(made.language_model(**ids).logits, expected)
        assert torch.equal(made.vq_model.quantizer.books[0].codebook, converted(official_vq_weights()).quantizer.books[0].codebook)
        assert (made.vocabulary.first, made.vocabulary.start, made.vocabulary.end) == (600, 600 + CODES, 601 + CODES)
    motion = again.generate_motion("a person walks", 12, seed=0)[0]
    assert (len(motion), motion.skeleton.name) == (12, "kit-21")
    assert again.prompts.question("Generate motion with 12 frames: a") == again.prompts.question(again.instructions(
        "text_to_motion", text="a", frames="12"
    ))  # fmt: skip
    with pytest.raises(ValueError, match="no wording of 'prediction'"):
        again.continue_motion(motion)


def test_command_line(tmp_path: Path) -> None:
    config, tokenizer = base()
    config.save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    path = write_checkpoint(tmp_path, published_t5(600 + CODES + 3))
    options = {"mean": "mean.npy", "std": "std.npy"}
    for name, values in statistics(FEATURES).items():
        np.save(tmp_path / options[name], values)
    words = [word for name, file in options.items() for word in (f"--{name}", str(tmp_path / file))]
    main([str(path), *words, "--output", str(tmp_path / "out"), "--base", str(tmp_path / "t5")])
    assert len(AutoMotionModel.from_pretrained(tmp_path / "out").generate_motion("a", 8, seed=0)[0]) == 8


def test_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_checkpoint(tmp_path, published_t5(600 + CODES + 2))
    with pytest.raises(ValueError, match="has 626 words; 600 of the base and 27 for motion"):
        convert_motiongpt_checkpoint(path, **statistics(FEATURES), base=base())
    small, tokenizer = base()
    small.d_ff = 8
    path = write_checkpoint(tmp_path, published_t5(600 + CODES + 3))
    with pytest.raises(ValueError, match="The base has other sizes"):
        convert_motiongpt_checkpoint(path, **statistics(FEATURES), base=(small, tokenizer))
    with pytest.raises(ValueError, match=r"begin with 'lm\.language_model\.' and 'vae\.'; these begin with net"):
        convert_motiongpt_state_dict({"net.weight": torch.zeros(1)})
    torch.save({"state_dict": Malicious()}, tmp_path / "bad.tar")
    with pytest.raises(ValueError, match="could run code"):
        convert_motiongpt_checkpoint(tmp_path / "bad.tar", **statistics(FEATURES), base=base())
    assert not (tmp_path / "pwned").exists()
