"""Published evaluators load, and compute what the published code computes.

Measured against the published code, published sizes, random weights and word vectors in the published files, the published vocabulary,
captions of 1 to 30 words, clips of 4 to 196 frames, float32, largest absolute difference (embeddings have a standard deviation of about
0.8): nothing in one batch padded to 196 frames, for HumanML3D and KIT-ML, texts and motions; 1.1e-6 where the batch is padded less.

`fixtures/t2m_evaluator_golden.safetensors` keeps the same comparison for tiny models. Its metadata holds `words`, `captions`; tensors are
`vectors` (one per word) and, for `humanml` and `kit`, `NAME/weights/PART.PUBLISHED NAME` (float16), `NAME/motions`, `NAME/lengths`,
`NAME/text_embeds` and `NAME/motion_embeds`. To make it again:

1. Build the three published modules with widths 12 and 10 (movement), 16 (motion), 14 (text), 8 (embedding) and 6 (words); add noise to
   every parameter, round all to float16, compute in float32.
2. Draw three clips of 24 frames, float16, with zeros behind the lengths 12, 24 and 16, so that they are in no order.
3. Tokenise the captions as the published data set does (`sos`, `eos`, at most 20 words, `unk` behind them) with its word vectorizer over
   `words` and `vectors`; sort by caption length as its loader does; call the published wrapper's `get_co_embeddings`.
4. Undo both sorts, so that row i is of caption and clip i.
"""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from hf_motion import MotionFeatureExtractor
from hf_motion.conversion.t2m_evaluator import (
    convert_t2m_evaluator_checkpoint,
    convert_t2m_evaluator_state_dict,
    main,
    t2m_evaluator_config_from_official,
)
from hf_motion.models.t2m_evaluator.modeling_t2m_evaluator import T2MEvaluator
from hf_motion.tokenization.word_pos import WordPosTokenizer

GOLDEN = Path(__file__).parent / "fixtures" / "t2m_evaluator_golden.safetensors"
PARTS = ("movement_encoder", "motion_encoder", "text_encoder")
Weights = dict[str, dict[str, Tensor]]


def golden(name: str) -> tuple[Weights, dict[str, Tensor], list[str], list[str]]:
    """Weights, other tensors, words and captions of the golden file."""
    with safe_open(GOLDEN, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    parts: Weights = {part: {} for part in PARTS}
    others = {"vectors": tensors["vectors"]}
    for key, value in tensors.items():
        if key.startswith(f"{name}/weights/"):
            part, _, weight = key.removeprefix(f"{name}/weights/").partition(".")
            parts[part][weight] = value.float()
        elif key.startswith(f"{name}/"):
            others[key.removeprefix(f"{name}/")] = value
    return parts, others, json.loads(metadata["words"]), json.loads(metadata["captions"])


def write_glove(folder: Path, words: list[str], vectors: np.ndarray) -> Path:
    """The published vocabulary's three files, the vectors in another order than the words."""
    folder.mkdir(exist_ok=True)
    rows = np.random.default_rng(0).permutation(len(words))
    shuffled = np.empty_like(vectors)
    shuffled[rows] = vectors
    np.save(folder / "our_vab_data.npy", shuffled)
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(words, protocol=2))
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps({word: int(row) for word, row in zip(words, rows, strict=True)}, protocol=2))
    return folder


def write_checkpoint(folder: Path, parts: dict) -> Path:
    """A checkpoint as it is published, states of the optimizers included."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))])
    states = {"opt_text_encoder": optimizer.state_dict(), "opt_motion_encoder": optimizer.state_dict(), "epoch": 27, "iter": 14768}
    path = folder / "finest.tar"
    torch.save({**parts, **states}, path)
    return path


def statistics(width: int) -> dict[str, np.ndarray]:
    return {"mean": np.linspace(-1, 1, width, dtype=np.float32), "std": np.linspace(0.5, 2, width, dtype=np.float32)}


@pytest.fixture(params=["humanml", "kit"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, dict[str, Tensor], list[str]]:
    parts, others, words, captions = golden(request.param)
    return write_checkpoint(tmp_path, parts), write_glove(tmp_path / "glove", words, others["vectors"].float().numpy()), others, captions


def embed(model: T2MEvaluator, tokenizer: WordPosTokenizer, others: dict[str, Tensor], captions: list[str]) -> tuple[Tensor, Tensor]:
    motions, lengths = others["motions"].float(), others["lengths"]
    mask = (torch.arange(motions.shape[1]) < lengths[:, None]).long()
    texts = tokenizer([""] * len(captions), pos_tagged=captions, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.get_text_features(**texts), model.get_motion_features(motions, mask)


def test_embeddings_equal_those_of_the_published_code(published):
    path, glove, others, captions = published
    width = others["motions"].shape[-1]
    model, tokenizer, extractor = convert_t2m_evaluator_checkpoint(path, glove=glove, **statistics(width))
    assert (model.config.num_features, extractor.dim, model.config.max_frames, extractor.max_frames) == (width, width, 196, 196)
    assert not model.training
    # The golden clips were padded to their own 24 frames, as the published ones are to 196.
    model.config.max_frames = 24
    text, motion = embed(model, tokenizer, others, captions)
    torch.testing.assert_close(text, others["text_embeds"], atol=1e-5, rtol=0)
    torch.testing.assert_close(motion, others["motion_embeds"], atol=1e-5, rtol=0)


def test_command_line_writes_a_complete_checkpoint(published, tmp_path):
    path, glove, others, captions = published
    width = others["motions"].shape[-1]
    for name, values in statistics(width).items():
        np.save(tmp_path / f"{name}.npy", values)
    output = tmp_path / "evaluator"
    arguments = [str(tmp_path / f"{name}.npy") for name in ("mean", "std")]
    main([str(path), "--glove", str(glove), "--mean", arguments[0], "--std", arguments[1], "--output", str(output)])
    assert not [file for file in output.iterdir() if file.suffix in (".bin", ".pt", ".pkl", ".tar", ".npy")]

    model, tokenizer = T2MEvaluator.from_pretrained(output), WordPosTokenizer.from_pretrained(output)
    extractor = MotionFeatureExtractor.from_pretrained(output)
    assert extractor.skeleton == ("kit-21" if width == 251 else "humanml3d-22")
    assert extractor.mean == statistics(width)["mean"].astype(float).tolist()
    assert tokenizer.tagger == "spacy"
    trains = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trains == {"motion_encoder", "motion_head", "pos_projection", "text_encoder", "text_head"}
    model.config.max_frames = 24
    text, motion = embed(model, tokenizer, others, captions)
    torch.testing.assert_close(text, others["text_embeds"], atol=1e-5, rtol=0)
    torch.testing.assert_close(motion, others["motion_embeds"], atol=1e-5, rtol=0)


def test_published_sizes_are_the_defaults():
    shapes = {
        "movement_encoder": {
            "main.0.weight": (512, 259, 4), "main.0.bias": (512,), "main.3.weight": (512, 512, 4), "main.3.bias": (512,),
            "out_net.weight": (512, 512), "out_net.bias": (512,),
        },
        "text_encoder": {
            "hidden": (2, 1, 512), "pos_emb.weight": (300, 15), "pos_emb.bias": (300,), "input_emb.weight": (512, 300),
            "input_emb.bias": (512,), "output_net.0.weight": (512, 1024), "output_net.0.bias": (512,), "output_net.1.weight": (512,),
            "output_net.1.bias": (512,), "output_net.3.weight": (512, 512), "output_net.3.bias": (512,),
        },
        "motion_encoder": {
            "hidden": (2, 1, 1024), "input_emb.weight": (1024, 512), "input_emb.bias": (1024,), "output_net.0.weight": (1024, 2048),
            "output_net.0.bias": (1024,), "output_net.1.weight": (1024,), "output_net.1.bias": (1024,), "output_net.3.weight": (512, 1024),
            "output_net.3.bias": (512,),
        },
    }  # fmt: skip
    for part, width in (("text_encoder", 512), ("motion_encoder", 1024)):
        for way in ("", "_reverse"):
            for gate in ("ih", "hh"):
                shapes[part] |= {f"gru.weight_{gate}_l0{way}": (3 * width, width), f"gru.bias_{gate}_l0{way}": (3 * width,)}
    parts = {part: {name: torch.empty(shape, device="meta") for name, shape in found.items()} for part, found in shapes.items()}
    config = t2m_evaluator_config_from_official(parts, np.zeros((4199, 300)))
    defaults = T2MEvaluator.config_class(freeze_movement_encoder=True, published_negatives=True)
    assert config.to_dict() == defaults.to_dict()
    with torch.device("meta"):
        model = T2MEvaluator(config)
    expected = {name: value.shape for name, value in model.state_dict().items() if name != "word_embeddings.weight"}
    assert {name: value.shape for name, value in convert_t2m_evaluator_state_dict(parts).items()} == expected
    assert sum(value.numel() for found in parts.values() for value in found.values()) == 1_842_688 + 4_100_288 + 15_747_584


def test_names_that_are_missing_or_unknown():
    parts, *_ = golden("kit")
    del parts["text_encoder"]["hidden"]
    parts["motion_encoder"]["gru.weight_ih_l1"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"missing: text_encoder\.hidden; unexpected: motion_encoder\.gru\.weight_ih_l1"):
        convert_t2m_evaluator_state_dict(parts)


def test_weights_that_do_not_fit(tmp_path):
    parts, others, words, _ = golden("kit")
    vectors = others["vectors"].float().numpy()
    glove, narrow = write_glove(tmp_path / "glove", words, vectors), write_glove(tmp_path / "narrow", words, vectors[:, :5])
    with pytest.raises(ValueError, match=r"vectors 6 wide.*5 wide"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, parts), glove=narrow, **statistics(251))
    with pytest.raises(ValueError, match="mean must be 251 finite numbers, got 263"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, parts), glove=glove, **statistics(263))
    changed = {**parts, "motion_encoder": {**parts["motion_encoder"], "output_net.0.weight": torch.zeros(16, 3)}}
    with pytest.raises(ValueError, match=r"do not fit each other(.|\n)*motion_head\.0\.weight(.|\n)*\[16, 3\]"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, changed), glove=glove, **statistics(251))
    changed = {**parts, "movement_encoder": {**parts["movement_encoder"], "main.0.weight": torch.zeros(12, 100, 4)}}
    with pytest.raises(ValueError, match="104 wide; known widths are 263 for humanml3d-22, 251 for kit-21"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, changed), glove=glove, **statistics(251))
    changed = {**parts, "text_encoder": {**parts["text_encoder"], "pos_emb.weight": torch.zeros(6)}}
    with pytest.raises(ValueError, match=r"pos_projection\.weight must have 2 dimensions, got shape \(6,\)"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, changed), glove=glove, **statistics(251))


class _Malicious:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_files_that_are_no_evaluators(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts, others, words, _ = golden("kit")
    options = {"glove": write_glove(tmp_path / "glove", words, others["vectors"].float().numpy()), **statistics(251)}
    with pytest.raises(FileNotFoundError, match="no file"):
        convert_t2m_evaluator_checkpoint(tmp_path / "absent.tar", **options)
    with pytest.raises(ValueError, match=r"Refused to load.*could run code"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, {**parts, "text_encoder": _Malicious()}), **options)
    with pytest.raises(ValueError, match=r"lacks movement_encoder, motion_encoder, text_encoder, and holds 'vq_model'"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, {"vq_model": {}}), **options)
    with pytest.raises(ValueError, match="lacks motion_encoder"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, {**parts, "motion_encoder": {"hidden": 3}}), **options)
    with pytest.raises(FileNotFoundError, match="lacks our_vab_data"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, parts), **{**options, "glove": tmp_path})
    (tmp_path / "glove" / "our_vab_words.pkl").write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(ValueError, match=r"Refused to read.*system"):
        convert_t2m_evaluator_checkpoint(write_checkpoint(tmp_path, parts), **options)
    assert not (tmp_path / "pwned").exists()
