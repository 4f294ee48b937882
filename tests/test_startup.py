"""What a command imports before it answers: each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_pipeline

from hf_motion import Motion
from hf_motion.generation import GenerationRequest, run

SPARE = ("datasets", "pandas", "peft.tuners.lora", "scipy", "sklearn", "sympy", "torch._dynamo.utils", "torch.distributed.tensor", "trl")
CODE = """
import sys
from hf_motion.cli import main
try:
    main()
finally:
    print([name for name in {names!r} if sys.modules.get(name) is not None], file=sys.stderr)
"""


def command(*arguments: object, names: tuple[str, ...]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", CODE.format(names=names), *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "-o", "x.dae"], "Cannot write '.dae' files"),
        (["a", "--seconds", "15"], "--seconds 15 is more than the 9.8 s"),
    ],
)
def test_refusals_come_before_torch_is_imported(arguments: list[str], message: str) -> None:
    result = command("generate", *arguments, names=("torch", "transformers", "diffusers"))
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.endswith("[]\n")


def test_generating_imports_no_spare_package_and_makes_the_same(tmp_path: Path) -> None:
    tiny_pipeline(steps=2).save_pretrained(tmp_path / "model")
    model, made = str(tmp_path / "model"), tmp_path / "made.npz"
    result = command("generate", "a", "--model", model, "-o", made, "--num-frames", 8, "--seed", 3, names=SPARE)
    assert result.returncode == 0, result.stderr
    assert result.stderr.endswith("[]\n"), result.stderr
    run(GenerationRequest(["a"], model=model, outputs=[str(tmp_path / "again.npz")], num_frames=8, seed=3))
    np.testing.assert_allclose(Motion.load(made).joints, Motion.load(tmp_path / "again.npz").joints, atol=1e-5)
