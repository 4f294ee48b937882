"""Published MLD and MotionLCM checkpoints load, and compute what the published code computes.

Measured against the published code, same random weights, float32, largest absolute difference (outputs have a standard deviation of 1):

* MLD as published (one token, 9 layers of width 256, text 768 wide), 60 and 56 frames: means 1.7e-6, log-variances 1.7e-6, decoded features
  2.0e-6, one denoising step 4.2e-6, 50 guided steps of DDIM (scale 7.5) and decoding 3.2e-5;
* MotionLCM-v2 (16 tokens of 32, projections, guidance embedded): 1.9e-6, 1.9e-6, 1.9e-6 and 2.0e-6.

`fixtures/mld_golden.safetensors` keeps the same comparison for tiny models, `one_token` (MLD) and `more_tokens` (MotionLCM-v2). Its
metadata holds the shapes of their weights by published names; the weights are `published.stable_weights(shapes, 7)`. To make it again:

1. Build the published autoencoder (`encoder_decoder`) and denoiser with 3 layers, width 16, feed-forward width 24, 4 heads, 263 features,
   text width 8 and latents (1, 16); of MotionLCM with (3, 8), `force_pre_post_proj`, `text_act_fn=None` and `time_cond_proj_dim=16`. Load
   the weights, in evaluation mode.
2. Draw `features` (2, 10, 263) of lengths 10 and 6, `latents`, `text` (2, 8) and for MotionLCM `timestep_cond` (2, 16), normal. Store
   `mean` and `log_variance` of the encoder, `decoded` of `latents`, and `noise`, the denoiser's output at steps 3 and 741.
3. For MLD draw `nothing` (1, 8), the text of unconditional passes; sample 50 steps of DDIM (`steps_offset=1`,
   `set_alpha_to_one=False`) from `latents` with scale 7.5, decode, and store `sampled`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from published import Malicious, stable_weights, statistics, tiny_clip
from safetensors import safe_open
from torch import Tensor

from hf_motion import MLDPipeline
from hf_motion.conversion import convert_mld_checkpoint, convert_mld_state_dict, mld_config_from_official
from hf_motion.conversion.mld import main

GOLDEN = Path(__file__).parent / "fixtures" / "mld_golden.safetensors"
LENGTHS = [10, 6]


def golden(kind: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights under their published names, and what the published code made with them."""
    with safe_open(GOLDEN, "pt") as file:
        values = {name.partition("/")[2]: file.get_tensor(name) for name in file.keys() if name.startswith(f"{kind}/")}  # noqa: SIM118
        return stable_weights(json.loads(file.metadata()[kind]), 7), values


def converted(kind: str, folder: Path, **more: Any) -> MLDPipeline:
    weights, _ = golden(kind)
    noise = {"text_encoder.text_model.weight": torch.zeros(2), "t2m_moveencoder.main.0.weight": torch.zeros(2), **more}
    torch.save({"state_dict": {**weights, **noise}, "epoch": 3}, folder / "model.ckpt")
    pipe = convert_mld_checkpoint(folder / "model.ckpt", **statistics(263), text_encoder=tiny_clip(8))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("kind", ["one_token", "more_tokens"])
def test_it_computes_what_the_published_code_computes(kind: str, tmp_path: Path) -> None:
    pipe, (_, values) = converted(kind, tmp_path), golden(kind)
    mask = (torch.arange(10) < torch.tensor(LENGTHS)[:, None]).long()
    close = {"atol": 1e-5, "rtol": 1e-4}
    with torch.no_grad():
        posterior = pipe.vae.encode(values["features"], mask)
        torch.testing.assert_close(posterior.mean, values["mean"], **close)
        torch.testing.assert_close(posterior.log_variance, values["log_variance"], **close)
        torch.testing.assert_close(pipe.vae.decode(values["latents"], mask), values["decoded"], **close)
        noise = pipe.denoiser(values["latents"], torch.tensor([3, 741]), values["text"], timestep_cond=values.get("timestep_cond")).sample
        torch.testing.assert_close(noise, values["noise"], **close)


def test_it_samples_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, (_, values) = converted("one_token", tmp_path), golden("one_token")
    states = torch.cat((values["text"], values["nothing"]))
    monkeypatch.setattr(pipe, "encode_prompt", lambda texts: (states, None))
    made = pipe(["a", "b"], LENGTHS, latents=values["latents"], output_type="features").motions
    assert (pipe.default_steps, pipe.default_guidance) == (50, 7.5)
    for clip, expected, length in zip(made, values["sampled"], LENGTHS, strict=True):
        torch.testing.assert_close(clip, pipe.feature_extractor.denormalize(expected[:length]), atol=1e-4, rtol=1e-4)


def test_motionlcm_takes_few_steps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = converted("more_tokens", tmp_path, **{"controlnet.norm.weight": torch.zeros(2)})
    assert "control encoder, which is left out" in caplog.text
    assert (type(pipe.scheduler).__name__, pipe.default_steps, pipe.default_guidance) == ("LCMScheduler", 4, 8.0)
    pipe.save_pretrained(tmp_path / "saved")
    again = MLDPipeline.from_pretrained(tmp_path / "saved")
    assert len(again("a person walks", 12, num_inference_steps=1).motions[0]) == 12


def test_command_line(tmp_path: Path) -> None:
    import numpy as np

    weights, _ = golden("one_token")
    torch.save({"state_dict": weights}, tmp_path / "model.ckpt")
    for name, values in statistics(263).items():
        np.save(tmp_path / f"{name}.npy", values)
    encoder, tokenizer = tiny_clip(8)
    encoder.save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    words = [
        "--mean",
        tmp_path / "mean.npy",
        "--std",
        tmp_path / "std.npy",
        "--text-encoder",
        tmp_path / "clip",
        "--output",
        tmp_path / "out",
    ]
    main([str(word) for word in (tmp_path / "model.ckpt", *words)])
    assert MLDPipeline.from_pretrained(tmp_path / "out").vae.config.hidden_size == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vae.dist_layer.weight": torch.zeros(2)}, "MLP_DIST"),
        ({"denoiser.decoder.norm.weight": torch.zeros(2)}, "arch 'trans_dec'"),
        ({"vae.decoder.middle_block.norm3.weight": None}, "arch 'all_encoder'"),
        ({"vae.encoder.extra": torch.zeros(2)}, "unexpected: encoder.extra"),
        ({"denoiser.encoder.norm.bias": None}, "missing: encoder.norm.bias"),
        ({"denoiser.emb_proj.1.weight": None}, "has no 'denoiser.emb_proj.1.weight'"),
    ],
)
def test_other_weights(change: dict[str, Tensor | None], message: str) -> None:
    weights, _ = golden("one_token")
    weights = {name: value for name, value in {**weights, **change}.items() if value is not None}

    def convert() -> None:
        mld_config_from_official(weights)
        convert_mld_state_dict(weights)

    with pytest.raises(ValueError, match=message):
        convert()


def test_other_files(tmp_path: Path) -> None:
    weights, _ = golden("one_token")
    torch.save({"state_dict": {name: value for name, value in weights.items() if name.startswith("vae.")}}, tmp_path / "vae.ckpt")
    with pytest.raises(ValueError, match=r"found vae. Pass the checkpoint of both stages"):
        convert_mld_checkpoint(tmp_path / "vae.ckpt", **statistics(263))
    torch.save({"state_dict": Malicious()}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match="could run code"):
        convert_mld_checkpoint(tmp_path / "bad.ckpt", **statistics(263))
    torch.save({"state_dict": weights}, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="expect text vectors 8 wide"):
        convert_mld_checkpoint(tmp_path / "model.ckpt", **statistics(263), text_encoder=tiny_clip(12))
