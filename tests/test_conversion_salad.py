"""Published SALAD checkpoints load, and compute what the published code computes, edits included.

Measured against the published code, same random weights, float32, largest absolute difference (and standard deviation of the output):

* autoencoder as published (width 32), 60 frames: means and log-variances 4.8e-7 (0.7), decoded features 3.1e-5 (17.6: unpooling adds up
  over parts, so that random weights make large numbers); denoiser (5 layers of width 256), padded, 1.7e-6 (0.8);
* 10 guided steps of DDIM (scale 7.5) and decoding 2e-4 (96); the same with each of the four edits 4e-4 to 5e-4, which are up to 578 away
  from their source; KIT-ML's skeleton alike.

`fixtures/salad_golden.safetensors` keeps the same comparison for tiny models, `t2m` and `kit`. Its metadata holds the shapes of their
weights by published names; the weights are `published.stable_weights(shapes, 11)`. To make it again:

1. Build the published autoencoder (width 4, GELU) and denoiser (width 16, feed-forward width 24, 3 layers, 8 heads) with a stand-in for
   CLIP that gives `words`, (3, 6, 8) for "source", "edit" and no text, of which the first 4, 6 and 2 are real. Load the weights, in
   evaluation mode.
2. Draw `features` (1, 12, dim), `latents` (1, 3, 7, 4) and `noisy` (2, 3, 7, 4), normal. Store `mean` and `log_variance` of the encoder,
   `decoded` of `latents`, and `predicted`, the denoiser's output on `noisy` at steps 3 and 741, of 3 and 2 real steps, zero behind.
3. For t2m: `generate` "source" in 10 steps from `latents` with scale 7.5 and store it as `source`; then `edit` it to "edit" with
   `src_proportion=0.2`: `word_swap` (`swap_src_proportion=0.5`), `refine`, `mirror_lower`, `mirror_all`, and to "source" `reweight` (tokens
   1 and 2 times 3). Tokens are 0 5 6 1 and 0 5 9 6 8 1. Hand each edit a copy of the source's maps: a mirror changes them in place.
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

from hf_motion import SALADPipeline
from hf_motion.conversion import convert_salad_checkpoint, convert_salad_state_dict, salad_config_from_official
from hf_motion.conversion.salad import main

GOLDEN = Path(__file__).parent / "fixtures" / "salad_golden.safetensors"
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6, [1, 1, 0, 0, 0, 0]])
NAMES = ["source", "edit", ""]


def golden(kind: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights under their published names, and what the published code made with them."""
    with safe_open(GOLDEN, "pt") as file:
        values = {name.partition("/")[2]: file.get_tensor(name) for name in file.keys() if name.startswith(f"{kind}/")}  # noqa: SIM118
        return stable_weights(json.loads(file.metadata()[kind]), 11), values


def part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def write(folder: Path, kind: str = "t2m") -> tuple[Path, Path]:
    """Both files and their options as they are published."""
    weights, paths = golden(kind)[0], []
    computed = {"conv_enc.layers.0.0.layers.2.adj_matrix": torch.eye(22), "conv_enc.layers.0.2.skeleton_pool": torch.zeros(12, 22)}
    contents = {"denoiser": {"pos_emb.pe": torch.zeros(1, 5, 16)}, "vae": computed}
    for name, more in contents.items():
        (folder / name / "model").mkdir(parents=True)
        (folder / name / "opt.txt").write_text(
            "--- Options ---\nactivation: gelu\nn_heads: 8\nprediction_type: v_prediction\n--- End ---\n"
        )
        torch.save({name: {**part(weights, name), **more}, "epoch": 3}, folder / name / "model" / "net_best_fid.tar")
        paths.append(folder / name / "model" / "net_best_fid.tar")
    return paths[0], paths[1]


def text_encoder(width: int = 8) -> tuple[Any, Any]:
    """A CLIP whose token states, rather than its projection, are that wide."""
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = tiny_clip(8)[1]
    sizes = {"hidden_size": width, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    return CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), **sizes, eos_token_id=tokenizer.eos_token_id)).eval(), tokenizer


def converted(folder: Path, kind: str = "t2m") -> SALADPipeline:
    path, vae = write(folder, kind)
    width = 263 if kind == "t2m" else 251
    pipe = convert_salad_checkpoint(path, autoencoder=vae, **statistics(width), text_encoder=text_encoder(), max_frames=12)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("kind", ["t2m", "kit"])
def test_it_computes_what_the_published_code_computes(kind: str, tmp_path: Path) -> None:
    pipe, (_, values) = converted(tmp_path, kind), golden(kind)
    close = {"atol": 1e-5, "rtol": 1e-4}
    with torch.no_grad():
        posterior = pipe.vae.encode(values["features"])
        torch.testing.assert_close(posterior.mean, values["mean"], **close)
        torch.testing.assert_close(posterior.log_variance, values["log_variance"], **close)
        torch.testing.assert_close(pipe.vae.decode(values["latents"], torch.ones(1, 12)), values["decoded"], atol=1e-3, rtol=1e-4)
        inputs = {"encoder_hidden_states": values["words"][:2], "encoder_attention_mask": MASK[:2]}
        mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
        made = pipe.denoiser(values["noisy"], torch.tensor([3, 741]), **inputs, attention_mask=mask).sample
        torch.testing.assert_close(made, values["predicted"], **close)


def test_it_samples_and_edits_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, (_, values) = converted(tmp_path), golden("t2m")

    def states(texts: list[str]) -> tuple[Tensor, Tensor]:
        rows = [NAMES.index(text) for text in texts]
        return values["words"][rows], MASK[rows]

    def tokens(text: Any, **options: Any) -> dict[str, Any]:
        ids = {"source": [0, 5, 6, 1], "edit": [0, 5, 9, 6, 8, 1]}[text]
        return {"input_ids": ids, "offset_mapping": [(0, 0), *[(0, 6)] * (len(ids) - 2), (0, 0)]}

    monkeypatch.setattr(pipe, "encode_prompt", states)
    pipe.__dict__["tokenizer"] = tokens
    monkeypatch.setattr("hf_motion.pipelines.text_diffusion.warn_of_unread", lambda *_: None)
    assert (pipe.default_steps, pipe.default_guidance) == (50, 7.5)
    options = {"num_frames": 12, "num_inference_steps": 10, "latents": values["latents"], "output_type": "features"}
    edits: dict[str, dict[str, Any]] = {
        "source": {},
        "word_swap": {"edit_prompt": "edit", "edit_mode": "word_swap"},
        "refine": {"edit_prompt": "edit", "edit_mode": "refine"},
        "reweight": {"word_weights": {"source": 3.0}},
        "mirror_lower": {"edit_prompt": "edit", "edit_mode": "mirror", "mirror": "lower"},
        "mirror_all": {"edit_prompt": "edit", "edit_mode": "mirror", "mirror": "all"},
    }
    for name, edit in edits.items():
        made = pipe.feature_extractor.normalize(pipe("source", **options, **edit).motions[0])
        torch.testing.assert_close(made, values[name][0], atol=1e-2, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_command_line(tmp_path: Path) -> None:
    import numpy as np

    path, vae = write(tmp_path)
    for name, values in statistics(263).items():
        np.save(tmp_path / f"{name}.npy", values)
    for piece in text_encoder():
        piece.save_pretrained(tmp_path / "clip")
    options = {"--autoencoder": vae, "--mean": "mean.npy", "--std": "std.npy", "--text-encoder": "clip", "--output": "out"}
    main([str(path), *(str(word) for name, file in options.items() for word in (name, tmp_path / file))])
    assert SALADPipeline.from_pretrained(tmp_path / "out").vae.config.activation == "gelu"


def test_other_weights(tmp_path: Path) -> None:
    weights, _ = golden("t2m")
    vae, denoiser = part(weights, "vae"), part(weights, "denoiser")
    with pytest.raises(ValueError, match="unexpected: extra"):
        convert_salad_state_dict({**vae, "extra": torch.zeros(2)}, denoiser)
    with pytest.raises(ValueError, match=r"missing: timestep_emb\.mlp\.0\.bias"):
        convert_salad_state_dict(vae, {name: value for name, value in denoiser.items() if name != "timestep_emb.mlp.0.bias"})
    with pytest.raises(ValueError, match="norm='layer'"):
        salad_config_from_official(vae, denoiser, autoencoder_options={"norm": "layer"})
    with pytest.raises(ValueError, match=r"has no 'word_emb.weight'"):
        salad_config_from_official(vae, {})
    path, file = write(tmp_path)
    with pytest.raises(ValueError, match="expect text vectors 8 wide"):
        convert_salad_checkpoint(path, autoencoder=file, **statistics(263), text_encoder=text_encoder(12))
    (tmp_path / "vae" / "opt.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"opt\.txt"):
        convert_salad_checkpoint(path, autoencoder=file, **statistics(263))
    torch.save({"denoiser": Malicious()}, path)
    with pytest.raises(ValueError, match="could run code"):
        convert_salad_checkpoint(path, autoencoder=file, **statistics(263))
