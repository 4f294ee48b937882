"""Text encoders of every kind: loading, pooling, adapters, and adapters as text encoders of other systems."""

import json
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from safetensors.torch import load_file
from tiny import CAPTIONS, tiny_pipeline
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
    T5Model,
)

from hf_motion import MotionFeatureExtractor
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.text_encoders import (
    add_text_lora,
    has_lora,
    load_text_encoder,
    load_text_lora,
    load_text_tokenizer,
    merged,
    pooled_text,
    save_text_lora,
    text_width,
    without_lora,
)
from hf_motion.trainers.new_pipeline import new_mdm_pipeline, train_clip_tokenizer

TOKENIZER = train_clip_tokenizer(CAPTIONS, 600)
CLIP = {
    "vocab_size": 600, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "projection_dim": 6,
    "max_position_embeddings": 22, "bos_token_id": 0, "eos_token_id": TOKENIZER.eos_token_id, "pad_token_id": TOKENIZER.pad_token_id,
}  # fmt: skip
T5 = {"vocab_size": 600, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}
BERT = {"vocab_size": 600, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
VISION = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "image_size": 8, "patch_size": 4}
# What is saved, what it is loaded as, width of a text and of a token, adapted layers in a block.
KINDS = {
    "clip": (
        lambda: CLIPModel(CLIPConfig(text_config=CLIP, vision_config=VISION, projection_dim=6)), CLIPTextModelWithProjection, (6, 8), 5
    ),
    "clip text": (lambda: CLIPTextModel(CLIPTextConfig(**CLIP)), CLIPTextModel, (8, 8), 5),
    "clip text with projection": (lambda: CLIPTextModelWithProjection(CLIPTextConfig(**CLIP)), CLIPTextModelWithProjection, (6, 8), 5),
    "bert": (lambda: BertModel(BertConfig(**BERT)), BertModel, (8, 8), 5),
    "distilbert": (
        lambda: DistilBertModel(DistilBertConfig(vocab_size=600, dim=8, n_layers=2, n_heads=2, hidden_dim=16)), DistilBertModel, (8, 8), 5
    ),
    "t5": (lambda: T5Model(T5Config(**T5)), T5EncoderModel, (8, 8), 5),
    "t5 encoder": (lambda: T5EncoderModel(T5Config(**T5)), T5EncoderModel, (8, 8), 5),
}  # fmt: skip


def build(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return KINDS[kind][0]().eval()


def adapted(encoder: PreTrainedModel, rank: int = 2, **options) -> PreTrainedModel:
    """With an adapter that does something."""
    add_text_lora(encoder, rank, **options)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_B." in name:
                parameter.normal_()
    return encoder.eval()


@torch.no_grad()
def states(encoder: PreTrainedModel) -> torch.Tensor:
    tokens = TOKENIZER(["a person walks", "turn"], padding=True, return_tensors="pt")
    output = encoder(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    return output.last_hidden_state[tokens["attention_mask"].bool()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_loaded_as_what_it_is(tmp_path: Path, kind: str) -> None:
    whole = build(kind)
    whole.to(torch.bfloat16).save_pretrained(tmp_path)
    encoder = load_text_encoder(tmp_path)
    _, kept_class, widths, _ = KINDS[kind]
    assert type(encoder) is kept_class
    assert not encoder.training
    saved = whole.state_dict()
    for name, weight in encoder.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, saved[name].float()), name
    assert (text_width(encoder), text_width(encoder, pooled=False)) == widths
    tokens = TOKENIZER(["a person walks", "turn"], padding=True, return_tensors="pt")
    output = encoder(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    assert pooled_text(encoder, output, tokens["attention_mask"]).shape == (2, widths[0])
    assert output.last_hidden_state.shape[-1] == widths[1]


def test_what_is_pooled(tmp_path: Path) -> None:
    tokens = TOKENIZER(["a person walks forward", "turn"], padding=True, return_tensors="pt")
    mask = tokens["attention_mask"]
    for kind in ("bert", "t5 encoder"):
        output = build(kind)(input_ids=tokens["input_ids"], attention_mask=mask)
        hidden, length = output.last_hidden_state[1], int(mask[1].sum())
        torch.testing.assert_close(pooled_text(build(kind), output, mask)[1], hidden[:length].mean(0))
    for kind, name in (("clip text", "pooler_output"), ("clip text with projection", "text_embeds")):
        output = build(kind)(input_ids=tokens["input_ids"], attention_mask=mask)
        assert pooled_text(build(kind), output, mask) is output[name]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("clip", "t5")])
def test_adapter_of_every_kind(tmp_path: Path, kind: str) -> None:
    """On queries, keys, values and the MLP. Untrained it changes nothing; loaded again it gives the same; without it the base is back."""
    base = states(build(kind))
    encoder = build(kind)
    add_text_lora(encoder, 2)
    layers = {name.partition(".lora_A")[0] for name, _ in encoder.named_parameters() if ".lora_A." in name}
    assert len(layers) == KINDS[kind][3] * 2
    assert all(parameter.requires_grad == (".lora_" in name) for name, parameter in encoder.named_parameters())
    torch.testing.assert_close(states(encoder), base)
    encoder = adapted(build(kind))
    changed = states(encoder)
    assert (changed - base).abs().max() > 1e-2
    save_text_lora(encoder, tmp_path)
    names = load_file(tmp_path / "adapter_model.safetensors")
    assert all(name.startswith("base_model.model.") for name in names)
    assert {name.rpartition(".lora_")[0].removeprefix("base_model.model.") for name in names} == layers
    again = load_text_lora(build(kind), tmp_path, "walk")
    assert not any(parameter.requires_grad for parameter in again.parameters())
    torch.testing.assert_close(states(again), changed)
    torch.testing.assert_close(states(without_lora(again)), base)
    torch.testing.assert_close(states(again), changed)


def test_adapter_fits_clip_with_and_without_projection(tmp_path: Path) -> None:
    with_projection = adapted(build("clip text with projection"))
    save_text_lora(with_projection, tmp_path / "with")
    plain = build("clip text")
    weights = build("clip text with projection").text_model.state_dict()
    plain.load_state_dict(weights)
    torch.testing.assert_close(states(load_text_lora(plain, tmp_path / "with")), states(with_projection))
    save_text_lora(plain, tmp_path / "without")
    torch.testing.assert_close(states(load_text_lora(build("clip text with projection"), tmp_path / "without")), states(with_projection))


def test_two_adapters_side_by_side(tmp_path: Path) -> None:
    save_text_lora(adapted(build("bert")), tmp_path)
    alone = load_text_lora(build("bert"), tmp_path, "one")
    first = {name: value.clone() for name, value in alone.state_dict().items() if ".one." in name}
    both = load_text_lora(alone, tmp_path, "two")
    assert list(both.peft_config) == ["one", "two"]
    assert all(torch.equal(both.state_dict()[name], value) for name, value in first.items())
    both.set_adapter("one")
    torch.testing.assert_close(states(both), states(adapted(build("bert"))))
    both.set_adapter(["one", "two"])
    with pytest.raises(ValueError, match="Name one adapter to save"):
        save_text_lora(both, tmp_path / "both")
    save_text_lora(both, tmp_path / "both", "two")
    assert (tmp_path / "both" / "adapter_model.safetensors").is_file()


def test_adapter_that_does_not_fit_leaves_no_trace(tmp_path: Path) -> None:
    save_text_lora(adapted(build("clip text")), tmp_path)
    deeper = CLIPTextModel(CLIPTextConfig(**{**CLIP, "num_hidden_layers": 3}))
    shallower = CLIPTextModel(CLIPTextConfig(**{**CLIP, "num_hidden_layers": 1}))
    wider = CLIPTextModel(CLIPTextConfig(**{**CLIP, "hidden_size": 16}))
    wrong = {"16 wide.*size mismatch": wider, "10 of its weights": deeper, "no counterpart": shallower, "bert, 8 wide": build("bert")}
    for message, encoder in wrong.items():
        before = states(encoder.eval())
        with pytest.raises(ValueError, match=f"does not fit.*{message}.*trained with"):
            load_text_lora(encoder, tmp_path)
        assert not has_lora(encoder)
        assert not any("lora" in name for name, _ in encoder.named_parameters())
        torch.testing.assert_close(states(encoder), before)


def test_adapters_refused(tmp_path: Path) -> None:
    encoder = adapted(build("bert"))
    save_text_lora(encoder, tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"adapters already: \['default'\].*unload them"):
        add_text_lora(encoder)
    with pytest.raises(ValueError, match="called 'default' already; pass another adapter_name"):
        load_text_lora(encoder, tmp_path / "adapter")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        add_text_lora(build("bert"), 0)
    with pytest.raises(ValueError, match="this text encoder is a 'roberta'"):
        add_text_lora(RobertaModel(RobertaConfig(**BERT, pad_token_id=1)))
    with pytest.raises(ValueError, match="wanted the active one, the text encoder has none"):
        save_text_lora(build("bert"), tmp_path / "none")
    with pytest.raises(ValueError, match=r"wanted \['walk'\], the text encoder has \['default'\]"):
        save_text_lora(encoder, tmp_path / "none", "walk")
    with pytest.raises(ValueError, match=r"does not name the model it belongs to.*load_text_lora"):
        load_text_encoder(tmp_path / "adapter")
    with pytest.raises(OSError, match=r"has no inside/adapter_config\.json.*save_lora_weights"):
        load_text_lora(build("bert"), tmp_path / "adapter", subfolder="inside")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match=r"has no adapter_model\.safetensors"):
        load_text_lora(build("bert"), tmp_path / "adapter")


def test_adapter_on_the_hub_finds_its_base(hub: Hub, tmp_path: Path) -> None:
    build("bert").save_pretrained(tmp_path / "base")
    hub.put("org/base", tmp_path / "base")
    encoder = adapted(build("bert"), rank=3, base="org/base")
    save_text_lora(encoder, tmp_path / "adapter")
    TOKENIZER.save_pretrained(tmp_path / "adapter")
    hub.put("org/adaclip", tmp_path / "adapter")
    loaded = load_text_encoder("org/adaclip")
    assert isinstance(loaded, BertModel)
    assert loaded.peft_config["default"].r == 3
    torch.testing.assert_close(states(loaded), states(encoder))
    assert load_text_tokenizer("org/adaclip").encode("a person walks") == TOKENIZER.encode("a person walks")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/base"
    with hub.offline():
        assert has_lora(load_text_encoder("org/adaclip"))


def test_adapter_of_another_base_is_warned_of(hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("org/base", "org/other"):
        build("bert").save_pretrained(tmp_path / name)
        hub.put(name, tmp_path / name)
    save_text_lora(adapted(build("bert"), base="org/base"), tmp_path / "adapter")
    load_text_lora(load_text_encoder("org/base"), tmp_path / "adapter")
    assert not [record for record in caplog.records if "was trained on" in record.getMessage()]
    load_text_lora(load_text_encoder("org/other"), tmp_path / "adapter")
    assert [record for record in caplog.records if "'org/base', this text encoder is 'org/other'" in record.getMessage()]


@pytest.mark.parametrize("kind", ["clip", "distilbert", "t5"])
def test_pipeline_gives_its_text_encoder(hub: Hub, tmp_path: Path, kind: str) -> None:
    pipe = tiny_pipeline(kind)
    plain = states(pipe.text_encoder)
    pipe.save_pretrained(tmp_path / "plain")
    encoder = load_text_encoder(tmp_path / "plain")
    assert type(encoder) is type(pipe.text_encoder)
    torch.testing.assert_close(states(encoder), plain)
    adapted(pipe.text_encoder)
    pipe.push_to_hub("org/adaqf")
    hub.clear_cache()
    torch.testing.assert_close(states(load_text_encoder("org/adaqf")), states(pipe.text_encoder))
    assert load_text_tokenizer("org/adaqf").encode("turn") == pipe.tokenizer.encode("turn")


def test_adapter_whose_base_is_a_pipeline(hub: Hub, tmp_path: Path) -> None:
    """Its tokenizer and its plain text encoder are inside."""
    tiny_pipeline("distilbert").push_to_hub("org/mdm")
    encoder = adapted(load_text_encoder("org/mdm"), base="org/mdm")
    save_text_lora(encoder, tmp_path)
    torch.testing.assert_close(states(load_text_encoder(tmp_path)), states(encoder))


@pytest.mark.parametrize("conditioning", ["pooled", "tokens"])
def test_adapter_drops_into_another_system(hub: Hub, tmp_path: Path, conditioning: str) -> None:
    build("clip text with projection").save_pretrained(tmp_path / "base")
    hub.put("org/clip", tmp_path / "base")
    encoder = adapted(build("clip text with projection"), base="org/clip")
    save_text_lora(encoder, tmp_path / "adapter")
    TOKENIZER.save_pretrained(tmp_path / "adapter")
    hub.put("org/adaclip", tmp_path / "adapter")
    extractor = MotionFeatureExtractor(mean=[0.0] * 263, std=[1.0] * 263, max_frames=40)
    small = {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "arch": "trans_dec"}
    pipes = {}
    for name in ("org/clip", "org/adaclip"):
        if name == "org/clip":
            hub.put(name, {path.name: path.read_bytes() for path in (tmp_path / "adapter").glob("token*")})
        torch.manual_seed(0)
        pipes[name] = new_mdm_pipeline([], extractor, {**small, "text_conditioning": conditioning}, name)
    assert pipes["org/adaclip"].denoiser.config.text_dim == (6 if conditioning == "pooled" else 8)
    plain, adaclip = (pipe.encode_prompt(["a person walks"])[0] for pipe in pipes.values())
    assert (plain - adaclip).abs().max() > 1e-2
    pipes["org/adaclip"].save_pretrained(tmp_path / "mdm")
    again = MotionDiffusionPipeline.load(tmp_path / "mdm")
    torch.testing.assert_close(again.encode_prompt(["a person walks"])[0], adaclip)


def test_captions_are_cut_at_the_encoder_s_limit() -> None:
    pipe = tiny_pipeline()
    pipe.register_to_config(max_text_tokens=500)  # more than its 22 positions
    assert pipe.tokenize(["a person walks " * 50])["input_ids"].shape[1] == 22
    assert len(pipe("a person walks " * 50, num_frames=4).motions[0]) == 4


def test_adapter_added_to_the_weights() -> None:
    encoder = adapted(build("bert"))
    expected = states(encoder)
    plain = merged(encoder)
    assert not has_lora(plain)
    assert not any("lora" in name or "base_layer" in name for name in plain.state_dict())
    torch.testing.assert_close(states(plain), expected, atol=1e-5, rtol=1e-5)
    assert merged(plain) is plain
