"""The configurations for `accelerate launch`, read by accelerate itself. Only `cpu_2.yaml` can be run without GPUs."""

from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

FOLDER = Path(__file__).parents[1] / "training" / "accelerate"
KINDS = {
    "cpu_2": DistributedType.MULTI_GPU,
    "gpu_multi": DistributedType.MULTI_GPU,
    "gpu_fsdp": DistributedType.FSDP,
    "gpu_deepspeed": DistributedType.DEEPSPEED,
}


def test_every_file_is_read() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_file(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.distributed_type == KINDS[name]
    assert config.mixed_precision == ("no" if name == "cpu_2" else "bf16")
    known = vars(launch_command_parser().parse_args(["script.py"]))
    for option in (*(config.fsdp_config or {}), *(config.deepspeed_config or {})):
        assert option in known, option  # an unknown one would be ignored without a word
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "--num_processes", "2", "script.py"])
    arguments = _validate_launch_command(arguments)[0]
    assert (arguments.use_fsdp, arguments.use_deepspeed) == (name == "gpu_fsdp", name == "gpu_deepspeed")
    assert arguments.num_processes == 2


def test_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit, since the denoiser calls the parts of its blocks, with weights that are put together for checkpoints."""
    arguments = launch_command_parser().parse_args(["--config_file", str(FOLDER / "gpu_fsdp.yaml"), "--num_processes", "2", "script.py"])
    for name, value in prepare_multi_gpu_env(_validate_launch_command(arguments)[0]).items():
        if name.startswith("FSDP_"):
            monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.auto_wrap_policy is None
    assert plugin.state_dict_type == torch.distributed.fsdp.StateDictType.FULL_STATE_DICT


def test_stage() -> None:
    settings = yaml.safe_load((FOLDER / "gpu_deepspeed.yaml").read_text())["deepspeed_config"]
    assert (settings["zero_stage"], settings["zero3_init_flag"]) == (2, False)
