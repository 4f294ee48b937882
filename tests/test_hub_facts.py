"""How transformers and diffusers treat code that is not theirs: one test per fact that this project is built on.

The classes are toys, so that only upstream behaviour is pinned. Where a test pins an upstream failure, its docstring names the
workaround that can go once the test starts to fail.
"""

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ConfigMixin, DiffusionPipeline, ModelMixin
from diffusers.configuration_utils import register_to_config
from hub_server import Hub
from huggingface_hub import PyTorchModelHubMixin, model_info, snapshot_download
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoTokenizer,
    FeatureExtractionMixin,
    Pipeline,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizer,
    pipeline,
)
from transformers.pipelines import PIPELINE_REGISTRY

torch.set_num_threads(1)

TASK = "toy-hub-facts"
REPO = "org/toy"
COMPONENTS = "toy_library.components"
DOOR = "toy_remote"


class ToyConfig(PreTrainedConfig):
    model_type = "toy_hub_facts"

    def __init__(self, width: int = 3, **kwargs: Any):
        self.width = width
        super().__init__(**kwargs)


class ToyModel(PreTrainedModel):
    config_class = ToyConfig

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        self.layer = torch.nn.Linear(config.width, config.width)
        self.post_init()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class ToyTokenizer(PreTrainedTokenizer):
    vocab_size = 256

    def get_vocab(self) -> dict[str, int]:
        return {chr(code): code for code in range(256)} | self.added_tokens_encoder

    def _tokenize(self, text: str) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return ord(token)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        return ()


class ToyExtractor(FeatureExtractionMixin):
    def __init__(self, mean: float = 0.0, **kwargs: Any):
        self.mean = mean
        super().__init__(**kwargs)


class ToyTask(Pipeline):
    _load_processor = _load_image_processor = _load_video_processor = _load_feature_extractor = _load_tokenizer = False

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        return {}, {}, {}

    def preprocess(self, text: str) -> dict[str, torch.Tensor]:
        return {"x": torch.full((1, 3), float(len(text)))}

    def _forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.model(**inputs)

    def postprocess(self, output: torch.Tensor) -> list[float]:
        return output[0].tolist()


AutoConfig.register(ToyConfig.model_type, ToyConfig)
AutoModel.register(ToyConfig, ToyModel)
AutoTokenizer.register(ToyConfig, slow_tokenizer_class=ToyTokenizer)
AutoFeatureExtractor.register(ToyConfig, ToyExtractor)
PIPELINE_REGISTRY.register_pipeline(TASK, ToyTask, pt_model=AutoModel)


class ToyDenoiser(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self, width: int = 3):
        super().__init__()
        self.layer = torch.nn.Linear(width, width)


class ToyNormalizer(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self, width: int = 3):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))


class ToyHubMixin(torch.nn.Module, PyTorchModelHubMixin):
    def __init__(self, width: int = 3):
        super().__init__()
        self.layer = torch.nn.Linear(width, width)


class ToyPipeline(DiffusionPipeline):
    def __init__(self, denoiser: ModelMixin):
        super().__init__()
        self.register_modules(denoiser=denoiser)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.denoiser.layer(x)


class ToyHubPipeline(ToyPipeline):
    """The recipe: whole snapshots, and component names that do not depend on where a class lives."""

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        known = ("cache_dir", "force_download", "local_files_only", "token", "revision")
        return snapshot_download(pretrained_model_name, **{name: kwargs[name] for name in known if name in kwargs})

    def register_modules(self, **kwargs: Any) -> None:
        super().register_modules(**kwargs)
        for name, module in kwargs.items():
            if module is not None:
                self.register_to_config(**{name: (COMPONENTS, type(module).__name__)})


@pytest.fixture
def components(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that checkpoints of `ToyHubPipeline` name."""
    module = types.ModuleType(COMPONENTS)
    module.ToyDenoiser, module.ModelMixin = ToyDenoiser, ModelMixin
    monkeypatch.setitem(sys.modules, COMPONENTS, module)
    return module


def same_weights(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(one.state_dict()[name], tensor) for name, tensor in two.state_dict().items())


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def index_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model_index.json").read_text())


# transformers


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    ToyModel(ToyConfig()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("where", ["local", "hub"])
def test_registering_is_enough_for_the_auto_classes_and_pipeline(where: str, hub: Hub, model_folder: Path):
    hub.put(REPO, model_folder)
    name = REPO if where == "hub" else str(model_folder)
    assert isinstance(AutoConfig.from_pretrained(name), ToyConfig)
    assert same_weights(AutoModel.from_pretrained(name), ToyModel.from_pretrained(model_folder))
    assert len(pipeline(TASK, model=name)("four")) == 3


def test_pushed_model_reloads_online_and_offline(hub: Hub):
    model = ToyModel(ToyConfig())
    model.push_to_hub(REPO)
    assert {"config.json", "model.safetensors"} <= set(hub.files(REPO))
    assert same_weights(AutoModel.from_pretrained(REPO), model)
    with hub.offline():
        assert len(pipeline(TASK, model=REPO)("four")) == 3


def test_load_flags_set_to_false_ask_the_hub_for_no_processor_files(hub: Hub, model_folder: Path):
    """All five flags: one left at None costs requests at every start, and tens of seconds of retries when the network is down."""
    hub.put(REPO, model_folder)
    pipeline(TASK, model=REPO)
    asked = {request.rsplit("/")[-1] for request in hub.requests}
    assert "config.json" in asked
    assert not {name for name in asked if "processor" in name or "token" in name}


def test_tokenizer_and_feature_extractor_can_be_registered(hub: Hub, model_folder: Path):
    ToyTokenizer().save_pretrained(model_folder)
    ToyExtractor(mean=2.5).save_pretrained(model_folder)
    hub.put(REPO, model_folder)
    tokenizer = AutoTokenizer.from_pretrained(REPO)
    assert isinstance(tokenizer, ToyTokenizer)
    assert tokenizer("ab")["input_ids"] == [97, 98]
    extractor = AutoFeatureExtractor.from_pretrained(REPO)
    assert isinstance(extractor, ToyExtractor)
    assert extractor.mean == 2.5


def test_task_is_not_inferred_for_a_local_folder(model_folder: Path):
    """When this fails, examples may leave the task out."""
    with pytest.raises(RuntimeError, match="without a task"):
        pipeline(model=str(model_folder))


@pytest.mark.parametrize("library", [None, "diffusers", "hf_motion", "transformers"])
def test_task_is_inferred_only_if_the_card_names_transformers(library: str | None, hub: Hub, model_folder: Path):
    """When this fails, a card that names another library no longer needs the task in its example.

    The local Hub reports what the card says and nothing else; the real one may guess the library that a card leaves out.
    """
    hub.put(REPO, model_folder)
    name = f"library_name: {library}\n" if library else ""
    hub.put(REPO, {"README.md": f"---\npipeline_tag: {TASK}\n{name}---\n"})
    if library == "transformers":
        assert isinstance(pipeline(model=REPO), ToyTask)
    else:
        with pytest.raises(RuntimeError, match=f"meant to be used with {library} not with transformers"):
            pipeline(model=REPO)


def test_pipeline_needs_a_root_config(hub: Hub, tmp_path: Path):
    """When this fails, a diffusion checkpoint no longer needs the root `config.json` that our `save_pretrained` writes."""
    ToyPipeline(ToyDenoiser()).save_pretrained(tmp_path)
    hub.put(REPO, tmp_path)
    for name in (REPO, str(tmp_path)):
        with pytest.raises((OSError, ValueError), match=r"config\.json"):
            pipeline(TASK, model=name)


def test_pipeline_takes_a_diffusion_pipeline_object_as_long_as_the_task_asks_little_of_it():
    """The object is passed through unchecked; when the second half fails, `MotionSystem` need not answer `can_generate`."""
    pipe = ToyPipeline(ToyDenoiser())
    assert len(pipeline(TASK, model=pipe)("four")) == 3
    generating = type("Generating", (ToyTask,), {"_pipeline_calls_generate": True})
    with pytest.raises(AttributeError, match="can_generate"):
        pipeline(TASK, model=pipe, pipeline_class=generating)


def test_saving_a_registered_pipeline_copies_its_code_and_then_demands_trust(model_folder: Path, tmp_path: Path):
    """When the first half fails, our task pipelines need not override `save_pretrained`; trust is asked for a registered task."""
    pipeline(TASK, model=str(model_folder)).save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["custom_pipelines"][TASK]["impl"] == "test_hub_facts.ToyTask"
    assert (tmp_path / "saved" / "test_hub_facts.py").exists()
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        pipeline(TASK, model=str(tmp_path / "saved"))


FRESH = """
import importlib, json, sys
from transformers import pipeline

def attempt(repo, **options):
    try:
        return pipeline("toy-hub-facts", model=repo, **options)("four")
    except Exception as error:
        return f"{type(error).__name__}: {error}"

facts = {"not installed, trusted": attempt("org/door", trust_remote_code=True)}
sys.path.append(sys.argv[1])
importlib.invalidate_caches()
facts["installed, not imported"] = attempt("org/toy")
facts["installed, not trusted"] = attempt("org/door", trust_remote_code=False)
facts["installed, trusted"] = attempt("org/door", trust_remote_code=True)
print("\\n" + json.dumps(facts))
"""


def with_door(hub: Hub, model_folder: Path) -> None:
    """The one-line door: a config that names our config class through one file of remote code."""
    edit_json(model_folder / "config.json", auto_map={"AutoConfig": f"{DOOR}.ToyConfig"})
    hub.put("org/door", model_folder)
    hub.put("org/door", {f"{DOOR}.py": "from test_hub_facts import ToyConfig\n"})


def test_one_line_door_in_a_fresh_interpreter(hub: Hub, model_folder: Path, tmp_path: Path):
    """Four facts share one interpreter, because importing transformers takes seconds.

    When "installed, not imported" works, transformers has a plugin hook, and the door can go.
    """
    hub.put(REPO, model_folder)
    with_door(hub, model_folder)
    command = [sys.executable, "-c", FRESH, str(Path(__file__).parent)]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["not installed, trusted"].startswith("ImportError")
    assert "Run `pip install test_hub_facts`" in facts["not installed, trusted"]
    assert "`toy_hub_facts`" in facts["installed, not imported"]
    assert "trust_remote_code=True" in facts["installed, not trusted"]
    assert len(facts["installed, trusted"]) == 3


@pytest.mark.parametrize("trust", [None, True])
def test_door_needs_no_trust_after_the_import_and_is_lost_on_saving(trust: bool | None, hub: Hub, model_folder: Path, tmp_path: Path):
    """When the last line fails, our `save_pretrained` need not write the remote file: today `auto_map` survives, the file does not."""
    with_door(hub, model_folder)
    model = pipeline(TASK, model="org/door", trust_remote_code=trust).model
    assert type(model) is ToyModel
    model.save_pretrained(tmp_path / "again")
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config["auto_map"] == {"AutoConfig": f"{DOOR}.ToyConfig"}
    assert not (tmp_path / "again" / f"{DOOR}.py").exists()


def test_remote_code_with_a_parent_relative_import_cannot_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """When this fails, our classes could travel as remote code themselves, and the door need not be one absolute import."""
    (tmp_path / "toy_nested" / "models").mkdir(parents=True)
    (tmp_path / "toy_nested" / "models" / "x.py").write_text("from test_hub_facts import ToyConfig, ToyModel\n")
    (tmp_path / "toy_nested" / "remote").mkdir()
    code = "from ..models.x import ToyConfig, ToyModel\n\nclass Nested(ToyModel):\n    config_class = ToyConfig\n"
    (tmp_path / "toy_nested" / "remote" / "code.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    nested = importlib.import_module("toy_nested.remote.code").Nested
    nested.register_for_auto_class("AutoModel")
    with pytest.raises(FileNotFoundError, match="models"):
        nested(ToyConfig()).save_pretrained(tmp_path / "saved")


# diffusers


def test_own_pipeline_loads_from_a_local_folder(tmp_path: Path):
    pipe = ToyPipeline(ToyDenoiser())
    pipe.save_pretrained(tmp_path)
    assert index_of(tmp_path)["denoiser"] == ["test_hub_facts", "ToyDenoiser"]
    assert same_weights(ToyPipeline.from_pretrained(tmp_path).denoiser, pipe.denoiser)


def test_stock_download_refuses_our_components_on_the_hub(hub: Hub, tmp_path: Path):
    """When this fails, our pipelines need not override `download()`."""
    ToyPipeline(ToyDenoiser()).save_pretrained(tmp_path)
    hub.put(REPO, tmp_path)
    with pytest.raises(ValueError, match=r"denoiser/test_hub_facts\.py as defined in `model_index\.json` does not exist"):
        ToyPipeline.from_pretrained(REPO)


def test_overridden_download_works_online_and_offline(hub: Hub, components: types.ModuleType):
    pipe = ToyHubPipeline(ToyDenoiser())
    pipe.push_to_hub(REPO)
    assert same_weights(ToyHubPipeline.from_pretrained(REPO).denoiser, pipe.denoiser)
    before = len(hub.requests)
    assert same_weights(ToyHubPipeline.from_pretrained(REPO, local_files_only=True).denoiser, pipe.denoiser)
    assert len(hub.requests) == before
    with hub.unplugged():
        assert same_weights(ToyHubPipeline.from_pretrained(REPO).denoiser, pipe.denoiser)


def test_overridden_download_keeps_revision_variant_and_swapped_components(hub: Hub, components: types.ModuleType):
    first, second = ToyHubPipeline(ToyDenoiser()), ToyHubPipeline(ToyDenoiser())
    first.push_to_hub(REPO)
    sha = model_info(REPO).sha
    second.push_to_hub(REPO, variant="fp16")
    assert same_weights(ToyHubPipeline.from_pretrained(REPO, revision=sha).denoiser, first.denoiser)
    assert same_weights(ToyHubPipeline.from_pretrained(REPO, variant="fp16").denoiser, second.denoiser)
    swapped = ToyDenoiser()
    assert ToyHubPipeline.from_pretrained(REPO, denoiser=swapped).denoiser is swapped


def test_bare_diffusion_pipeline_does_not_know_our_class(hub: Hub, tmp_path: Path):
    """When this fails, a card may show `DiffusionPipeline.from_pretrained`."""
    ToyPipeline(ToyDenoiser()).save_pretrained(tmp_path)
    hub.put(REPO, tmp_path)
    with pytest.raises(AttributeError, match="module diffusers has no attribute ToyPipeline"):
        DiffusionPipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"as defined in `model_index\.json` does not exist"):
        DiffusionPipeline.from_pretrained(REPO)


def test_code_shims_make_our_own_class_demand_trust(hub: Hub, tmp_path: Path):
    """When this fails, code shims for bare `DiffusionPipeline` can be offered without closing our own door."""
    ToyPipeline(ToyDenoiser()).save_pretrained(tmp_path)
    edit_json(tmp_path / "model_index.json", _class_name=["pipeline", "ToyPipeline"], denoiser=["shim", "ToyDenoiser"])
    (tmp_path / "pipeline.py").write_text("from test_hub_facts import ToyPipeline\n")
    (tmp_path / "denoiser" / "shim.py").write_text("from test_hub_facts import ToyDenoiser\n")
    hub.put(REPO, tmp_path)
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        DiffusionPipeline.from_pretrained(REPO)
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        ToyPipeline.from_pretrained(REPO)
    assert DiffusionPipeline.from_pretrained(REPO, trust_remote_code=True)


def test_component_library_must_be_imported_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """When this fails, `hf_motion.components` need not be imported before a checkpoint is loaded."""
    ToyPipeline(ToyDenoiser()).save_pretrained(tmp_path)
    (tmp_path / "toy_waiting.py").write_text("from test_hub_facts import ModelMixin, ToyDenoiser\n")
    edit_json(tmp_path / "model_index.json", denoiser=["toy_waiting", "ToyDenoiser"])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="has not been imported"):
        ToyPipeline.from_pretrained(tmp_path)
    importlib.import_module("toy_waiting")
    assert ToyPipeline.from_pretrained(tmp_path)


def test_component_library_must_expose_the_base_classes(tmp_path: Path, components: types.ModuleType):
    """When this fails, `hf_motion.components` need not re-export the base classes of diffusers and transformers."""
    ToyHubPipeline(ToyDenoiser()).save_pretrained(tmp_path)
    assert index_of(tmp_path)["denoiser"] == [COMPONENTS, "ToyDenoiser"]
    assert ToyHubPipeline.from_pretrained(tmp_path)
    del components.ModelMixin
    with pytest.raises(ValueError, match="does not seem to have any of the loading methods"):
        ToyHubPipeline.from_pretrained(tmp_path)


RESERVED = ["dit", "flux", "wan", "latte", "ddpm", "animatediff", "controlnet", "pag", "latent_diffusion", "deprecated"]
RESERVED += ["consistency_models"]


def living_in(folder: str) -> type[ToyDenoiser]:
    return type("Placed", (ToyDenoiser,), {"__module__": f"toy_library.{folder}.modeling"})


@pytest.mark.parametrize("folder", RESERVED)
def test_class_in_a_folder_named_like_a_diffusers_pipeline_cannot_be_loaded(folder: str, tmp_path: Path):
    """When this fails, our source folders may have these names without going through `hf_motion.components`."""
    ToyPipeline(living_in(folder)()).save_pretrained(tmp_path)
    assert index_of(tmp_path)["denoiser"] == [folder, "Placed"]
    with pytest.raises(AttributeError, match="Placed"):
        ToyPipeline.from_pretrained(tmp_path)


def test_component_names_of_the_recipe_hide_the_folder(tmp_path: Path, components: types.ModuleType):
    components.Placed = living_in("dit")
    ToyHubPipeline(components.Placed()).save_pretrained(tmp_path)
    assert index_of(tmp_path)["denoiser"] == [COMPONENTS, "Placed"]
    assert isinstance(ToyHubPipeline.from_pretrained(tmp_path).denoiser, components.Placed)


class NoneDefault(DiffusionPipeline):
    def __init__(self, denoiser: ModelMixin, normalizer: ModelMixin | None = None):
        super().__init__()
        self.register_modules(denoiser=denoiser, normalizer=normalizer)


class NoneDefaultDeclared(NoneDefault):
    _optional_components = ["normalizer"]


def test_component_that_defaults_to_none_is_lost(tmp_path: Path):
    """When this fails, `_optional_components` need not repeat the signature.

    Saving drops the weights without a word, the index still names them, and loading passes that entry as if it were the component.
    """
    NoneDefault(ToyDenoiser(), ToyNormalizer()).save_pretrained(tmp_path)
    assert not (tmp_path / "normalizer").exists()
    assert index_of(tmp_path)["normalizer"] == ["test_hub_facts", "ToyNormalizer"]
    with pytest.raises(AttributeError, match="'list' object"):
        NoneDefault.from_pretrained(tmp_path)


def test_declared_optional_component_is_saved(tmp_path: Path):
    NoneDefaultDeclared(ToyDenoiser(), ToyNormalizer()).save_pretrained(tmp_path)
    assert isinstance(NoneDefaultDeclared.from_pretrained(tmp_path).normalizer, ToyNormalizer)
    NoneDefaultDeclared(ToyDenoiser()).save_pretrained(tmp_path / "without")
    assert NoneDefaultDeclared.from_pretrained(tmp_path / "without").normalizer is None


def test_normalizer_round_trips_as_feature_extractor_and_as_buffers(tmp_path: Path):
    buffers = ToyNormalizer()
    buffers.mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    ToyPipeline(buffers).save_pretrained(tmp_path / "buffers")
    assert torch.equal(ToyPipeline.from_pretrained(tmp_path / "buffers").denoiser.mean, buffers.mean)
    ToyPipeline(ToyExtractor(mean=2.5)).save_pretrained(tmp_path / "extractor")
    assert ToyPipeline.from_pretrained(tmp_path / "extractor").denoiser.mean == 2.5


def test_hub_mixin_component_is_lost(tmp_path: Path):
    """When this fails, `PyTorchModelHubMixin` would do for small components; today they are `ModelMixin`."""
    ToyPipeline(ToyHubMixin()).save_pretrained(tmp_path)
    assert index_of(tmp_path)["denoiser"] == [None, None]
    with pytest.raises(ValueError, match="expected"):
        ToyPipeline.from_pretrained(tmp_path)
