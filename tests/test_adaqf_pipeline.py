"""`AdaQFPipeline`: MDM's contract with an adapter in the text encoder, and the doors to that adapter."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import Hub
from huggingface_hub import ModelCard, upload_folder
from mixins.pipeline import MotionPipelineMixin
from safetensors.torch import load_file
from tiny import seeded, tiny_pipeline
from transformers import CLIPTextConfig, CLIPTextModel, pipeline

from hf_motion import AdaQFPipeline, MDMPipeline, MotionSystem
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.text_encoders import LORA_FOLDER, add_text_lora, has_lora

OPTIONS = {"arch": "trans_dec", "text_conditioning": "tokens"}


def adaqf(adapted: bool = True) -> AdaQFPipeline:
    """With an adapter that does something."""
    pipe = AdaQFPipeline(**tiny_pipeline(**OPTIONS).components, max_text_tokens=22)
    pipe.set_progress_bar_config(disable=True)
    if adapted:
        add_text_lora(pipe.text_encoder, rank=2)
        torch.manual_seed(1)
        with torch.no_grad():
            for name, parameter in pipe.text_encoder.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_()
        pipe.text_encoder.eval()
    return pipe


def latents(pipe: MDMPipeline) -> torch.Tensor:
    return pipe("a person walks", num_frames=10, generator=seeded(), output_type="latent").motions


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    """What comes out with the adapter and without."""
    found = {"adapted": latents(adaqf()), "base": latents(adaqf(adapted=False))}
    assert (found["adapted"] - found["base"]).abs().max() > 1e-2
    return found


def assert_same(pipe: MDMPipeline, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(latents(pipe), wanted, atol=1e-4, rtol=1e-4)


class TestAdaQFPipeline(MotionPipelineMixin):
    def build(self) -> AdaQFPipeline:
        return adaqf()


def test_saved_pipeline_holds_the_base_and_the_adapter(tmp_path: Path, expected: dict) -> None:
    pipe = adaqf()
    pipe.save_pretrained(tmp_path)
    base, saved = adaqf(adapted=False).text_encoder.state_dict(), load_file(tmp_path / "text_encoder" / "model.safetensors")
    assert saved.keys() == base.keys()
    assert all(torch.equal(saved[name], value) for name, value in base.items())
    assert has_lora(pipe.text_encoder)
    assert_same(pipe, expected["adapted"])
    again = MotionDiffusionPipeline.load(tmp_path)
    assert type(again) is AdaQFPipeline
    lora = {name: value for name, value in pipe.text_encoder.state_dict().items() if ".lora_" in name}
    assert len(lora) == 10
    assert all(torch.equal(again.text_encoder.state_dict()[name], value) for name, value in lora.items())
    assert_same(again, expected["adapted"])
    assert_same(AdaQFPipeline.from_pretrained(tmp_path, text_encoder=adaqf(adapted=False).text_encoder), expected["base"])
    assert str(tmp_path) not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))


def test_dtype(tmp_path: Path) -> None:
    adaqf().save_pretrained(tmp_path)
    pipe = AdaQFPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in pipe.text_encoder.parameters()} == {torch.bfloat16}
    pipe.load_lora_weights(tmp_path / LORA_FOLDER, adapter_name="again")
    assert {parameter.dtype for parameter in pipe.text_encoder.parameters()} == {torch.bfloat16}
    assert len(pipe("a person walks", num_frames=6).motions[0]) == 6


def test_every_door(tmp_path: Path, hub: Hub, expected: dict) -> None:
    """transformers' task and `MotionSystem`, from a folder and from a Hub, saved again on the way."""
    adaqf().save_pretrained(tmp_path / "folder")
    MotionSystem.from_pretrained(tmp_path / "folder").save_pretrained(tmp_path / "again")
    adaqf().push_to_hub("org/adaqf")
    hub.clear_cache()
    for source in (str(tmp_path / "folder"), str(tmp_path / "again"), "org/adaqf"):
        made = pipeline("text-to-motion", model=source)("a person walks", 10, generator=seeded(), output_type="latent")
        torch.testing.assert_close(made[None], expected["adapted"], atol=1e-4, rtol=1e-4)
        assert_same(MotionSystem.from_pretrained(source).pipeline, expected["adapted"])
    assert f"{LORA_FOLDER}/adapter_model.safetensors" in hub.files("org/adaqf")
    assert "AdaQFPipeline" in hub.files("org/adaqf")["README.md"].decode()


def test_adapter_is_a_repository_of_its_own(tmp_path: Path, hub: Hub, expected: dict) -> None:
    pipe = adaqf()
    pipe.text_encoder.peft_config["default"].base_model_name_or_path = "org/clip"
    pipe.save_lora_weights(tmp_path / "adapter")
    files = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= files
    card = ModelCard.load(tmp_path / "adapter" / "README.md")
    assert (card.data.base_model, card.data.library_name) == ("org/clip", "peft")
    assert "rank 2 on org/clip" in card.text
    hub.put("org/adaclip", tmp_path / "adapter")
    hub.put("org/collection", {f"walk/{path.name}": path.read_bytes() for path in (tmp_path / "adapter").iterdir()})
    for source, options in ((tmp_path / "adapter", {}), ("org/adaclip", {}), ("org/collection", {"subfolder": "walk"})):
        plain = adaqf(adapted=False)
        plain.load_lora_weights(source, adapter_name="walk", **options)
        assert plain.get_list_adapters() == {"text_encoder": ["walk"]}
        assert_same(plain, expected["adapted"])
    with hub.offline():
        adaqf(adapted=False).load_lora_weights("org/adaclip")


def test_card_is_kept(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    adaqf().save_lora_weights(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_mdm_takes_it_too(tmp_path: Path, expected: dict) -> None:
    adaqf().save_lora_weights(tmp_path)
    pipe = tiny_pipeline(**OPTIONS)
    pipe.load_lora_weights(tmp_path)
    assert_same(pipe, expected["adapted"])


def test_fused_and_back(expected: dict) -> None:
    pipe = adaqf()
    joints = pipe("a person walks", num_frames=10, generator=seeded()).motions[0].joints
    pipe.fuse_lora()
    assert pipe.fused_loras == {"default"}
    np.testing.assert_allclose(pipe("a person walks", num_frames=10, generator=seeded()).motions[0].joints, joints, atol=1e-4)
    assert_same(pipe, expected["adapted"])
    pipe.unfuse_lora()
    assert_same(pipe, expected["adapted"])
    pipe.disable_lora()
    assert_same(pipe, expected["base"])
    for name, value in adaqf(adapted=False).text_encoder.state_dict().items():
        found = {key.replace(".base_layer", ""): weight for key, weight in pipe.text_encoder.state_dict().items()}[name]
        torch.testing.assert_close(found, value, atol=1e-6, rtol=1e-5)
    pipe.enable_lora()
    pipe.fuse_lora(lora_scale=0.0)
    assert_same(pipe, expected["base"])


@pytest.mark.parametrize("unload", [False, True])
def test_fused_encoder_is_saved_without_an_adapter(tmp_path: Path, hub: Hub, expected: dict, unload: bool) -> None:
    """Over an earlier save and an earlier push that had one: it would be added twice."""
    pipe = adaqf()
    pipe.save_pretrained(tmp_path)
    pipe.push_to_hub("org/adaqf")
    assert (tmp_path / LORA_FOLDER).is_dir()
    pipe.fuse_lora()
    if unload:
        pipe.unload_lora_weights()
    pipe.save_pretrained(tmp_path)
    assert not (tmp_path / LORA_FOLDER).exists()
    pipe.push_to_hub("org/adaqf")
    assert not [name for name in hub.files("org/adaqf") if name.startswith(LORA_FOLDER)]
    hub.clear_cache()
    for source in (tmp_path, "org/adaqf"):
        again = AdaQFPipeline.from_pretrained(source)
        assert not has_lora(again.text_encoder)
        assert_same(again, expected["adapted"])


def test_new_adapter_on_a_fused_encoder_is_saved(tmp_path: Path) -> None:
    pipe = adaqf()
    pipe.save_lora_weights(tmp_path / "adapter")
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    pipe.load_lora_weights(tmp_path / "adapter")
    pipe.save_pretrained(tmp_path / "pipeline")
    assert_same(AdaQFPipeline.from_pretrained(tmp_path / "pipeline"), latents(pipe))


@pytest.mark.parametrize("remove", ["unload_lora_weights", "delete_adapters"])
def test_without_its_adapter(tmp_path: Path, expected: dict, remove: str) -> None:
    pipe = adaqf()
    getattr(pipe, remove)(*(["default"] if remove == "delete_adapters" else []))
    assert_same(pipe, expected["base"])
    pipe.save_pretrained(tmp_path)
    assert not (tmp_path / LORA_FOLDER).exists()
    assert_same(AdaQFPipeline.from_pretrained(tmp_path), expected["base"])


def test_adapters_are_weighed(tmp_path: Path, expected: dict) -> None:
    adaqf().save_lora_weights(tmp_path)
    pipe = adaqf(adapted=False)
    for name in ("first", "second"):
        pipe.load_lora_weights(tmp_path, adapter_name=name)
    pipe.set_adapters(["first", "second"], [0.25, 0.75])
    assert_same(pipe, expected["adapted"])
    pipe.set_adapters("first", 0.0)
    assert_same(pipe, expected["base"])


def test_wrong_adapters(tmp_path: Path, hub: Hub) -> None:
    adaqf().save_lora_weights(tmp_path / "adapter")
    wide = tiny_pipeline(**OPTIONS)
    config = {**wide.text_encoder.config.to_dict(), "hidden_size": 16}
    wide.register_modules(text_encoder=CLIPTextModel(CLIPTextConfig(**config)))
    with pytest.raises(ValueError, match=r"adapter' does not fit CLIPTextModel \(clip_text_model, 16 wide\).*trained with"):
        wide.load_lora_weights(tmp_path / "adapter")
    assert wide.get_list_adapters() == {}
    with pytest.raises(ValueError, match="distilbert, 8 wide"):
        tiny_pipeline("distilbert").load_lora_weights(tmp_path / "adapter")
    with pytest.raises(ValueError, match="'default' already; pass another adapter_name or unload it"):
        adaqf().load_lora_weights(tmp_path / "adapter")
    with pytest.raises(OSError, match="save_lora_weights"):
        adaqf(adapted=False).load_lora_weights(tmp_path)
    with pytest.raises(OSError, match="org/nothing"):
        adaqf(adapted=False).load_lora_weights("org/nothing")
    with pytest.raises(ValueError, match="the text encoder has none"):
        adaqf(adapted=False).save_lora_weights(tmp_path / "none")


def test_uploaded_as_any_folder(tmp_path: Path, hub: Hub, expected: dict) -> None:
    """As the documentation says: `save_lora_weights`, then `upload_folder`."""
    adaqf().save_lora_weights(tmp_path)
    hub.put("org/adaclip", {".gitattributes": ""})
    upload_folder(repo_id="org/adaclip", folder_path=tmp_path)
    pipe = adaqf(adapted=False)
    pipe.load_lora_weights("org/adaclip")
    assert_same(pipe, expected["adapted"])
    assert json.loads(hub.files("org/adaclip")["adapter_config.json"])["r"] == 2
