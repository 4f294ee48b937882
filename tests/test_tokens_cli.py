"""`hf-motion tokenize` and `hf-motion detokenize`."""

import json
from pathlib import Path

import pytest
from tiny import FIXTURES, tiny_generator, tiny_vq
from typer.testing import CliRunner

from hf_motion import Motion, MotionFeatureExtractor
from hf_motion.cli import app
from hf_motion.trainers.tokenizer import save_motion_tokenizer

CLIP = FIXTURES / "bandai_wave.bvh"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("vq")
    save_motion_tokenizer(folder, tiny_vq(), MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263))
    return str(folder)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_there_and_back(tokenizer: str, tmp_path: Path) -> None:
    lines = run("tokenize", CLIP, CLIP, "--model", tokenizer).strip().splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(rows) == 2
    assert rows[0]["codes"] == rows[1]["codes"]
    assert rows[0]["text"].startswith("<motion_start><motion_")
    run("tokenize", CLIP, CLIP, "--model", tokenizer, "-o", tmp_path / "tokens.jsonl")
    run("detokenize", tmp_path / "tokens.jsonl", "--model", tokenizer, "-o", tmp_path / "out", "--to", "npz")
    motions = [Motion.load(path) for path in sorted((tmp_path / "out").glob("*.npz"))]
    assert [len(motion) for motion in motions] == [4 * len(row["codes"][0]) for row in rows]
    run("detokenize", rows[0]["text"], "--model", tokenizer, "-o", tmp_path / "one.bvh")
    long = "<motion_start>" + "<motion_3>" * 400 + "<motion_end>"  # longer than a file's name may be
    run("detokenize", long, "--model", tokenizer, "-o", tmp_path / "long.npz")
    assert len(Motion.load(tmp_path / "long.npz")) == 1600
    assert Motion.load(tmp_path / "one.bvh").joints.shape[1] == 22


@pytest.mark.parametrize("layout", ["motiongpt", "integers", "list"])
def test_other_layouts(layout: str, tokenizer: str, tmp_path: Path) -> None:
    text = json.loads(run("tokenize", CLIP, "--model", tokenizer, "--format", layout).strip().splitlines()[-1])["text"]
    run("detokenize", text, "--model", tokenizer, "--format", layout, "-o", tmp_path / "one.npz")
    assert len(Motion.load(tmp_path / "one.npz")) % 4 == 0


def test_a_generator_brings_its_tokenizer(tmp_path: Path) -> None:
    tiny_generator("t2m-gpt").save_pretrained(tmp_path / "gpt")
    assert "<motion_start>" in run("tokenize", CLIP, "--model", tmp_path / "gpt")


def test_malformed(tokenizer: str, tmp_path: Path) -> None:
    bad = "<motion_start><motion_3>and then<motion_4><motion_end>"
    assert "and then" in run("detokenize", bad, "--model", tokenizer, "-o", tmp_path / "one.bvh", code=1)
    assert not (tmp_path / "one.bvh").exists()
    assert "Dropped 1" in run("detokenize", bad, "--model", tokenizer, "--lenient", "-o", tmp_path / "one.bvh")
    (tmp_path / "rows.jsonl").write_text('{"codes": 3}\n')
    assert "not a file that" in run("detokenize", tmp_path / "rows.jsonl", "--model", tokenizer, "-o", tmp_path / "x.bvh", code=1)
    assert "give a folder" in run("detokenize", bad, bad, "--lenient", "--model", tokenizer, "-o", tmp_path / "x.bvh", code=1)
    assert "no motion tokens" in run("tokenize", CLIP, "--model", Path(__file__).parents[1] / "hf_motion/checkpoints/tmr-small", code=1)
