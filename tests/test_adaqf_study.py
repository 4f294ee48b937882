"""AdaQF's training in several processes, and its study: both by their scripts."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_feedback import CLIPS, ROOT, history
from tiny import save_tiny_retrieval_model, tiny_pipeline

from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.text_encoders import has_lora

TINY_YAML = """
pipeline_class: AdaQFPipeline
denoiser: {hidden_size: 16, num_layers: 1, num_attention_heads: 2, intermediate_size: 16, dropout: 0.0, attention_dropout: 0.0,
  arch: trans_dec, text_conditioning: tokens}
text_encoder_tuning: lora
lora_rank: 2
max_steps: 4
save_steps: 4
logging_steps: 1
learning_rate: 0.01
use_cpu: true
report_to: none
"""


def run(line: list[str], folder: Path | None = None) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow  # three processes, each of which imports everything
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    extractors = save_tiny_retrieval_model(tmp_path / "extractors", "adaqf-extractors", mean=-0.2, std=0.8)
    tiny_pipeline().save_pretrained(tmp_path / "encoder")
    (tmp_path / "tiny.yaml").write_text(TINY_YAML)
    options = [
        str(ROOT / "training" / "train_diffusion.py"), "--config", str(tmp_path / "tiny.yaml"), "--dataset", str(CLIPS), "--extractors",
        str(extractors), "--text_encoder", str(tmp_path / "encoder"),
    ]  # fmt: skip
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / "training" / "accelerate" / "cpu_2.yaml")]
    run([sys.executable, *options, "--output_dir", str(tmp_path / "one"), "--per_device_train_batch_size", "4"])
    launch = [*accelerate, "--main_process_port", "0", *options]
    run([*launch, "--output_dir", str(tmp_path / "two"), "--per_device_train_batch_size", "2"])
    one, two = ([entry for entry in history(tmp_path / name) if "loss" in entry] for name in ("one", "two"))
    assert len(one) == 4
    for first, second in zip(one, two, strict=True):
        for name in ("loss", "mse", "motion_consistency", "text_consistency", "text_encoder_grad_norm"):
            assert second[name] == pytest.approx(first[name], rel=1e-3), name
    assert has_lora(MotionDiffusionPipeline.load(tmp_path / "two" / "pipeline").text_encoder)


STUDY_YAML = """
settings: {folder}/tiny.yaml
extractors: {folder}/extractors.yaml
score: [--split, train, --replications, "1", --pool-size, "4", --alignment-pool-size, "4", --num-inference-steps, "1"]
runs:
  adaqf: {{seed: 0}}
  mdm: {{seed: 0, pipeline_class: MDMPipeline, text_encoder_tuning: none, feedback: false, text_encoder_of: adaqf}}
tables:
  Both of them: [mdm, adaqf]
  Not yet: [another]
"""


@pytest.mark.slow  # the whole study: seven processes
def test_study(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "encoder")
    (tmp_path / "tiny.yaml").write_text(TINY_YAML.replace("steps: 4", "steps: 2"))
    (tmp_path / "extractors.yaml").write_text(
        "model_type: adaqf-extractors\nmodel_options: {hidden_size: 8, word_dim: 8}\nmax_steps: 2\nsave_steps: 2\nuse_cpu: true\n"
        "per_device_train_batch_size: 4\n"
    )
    (tmp_path / "study.yaml").write_text(STUDY_YAML.format(folder=tmp_path))
    script = [sys.executable, str(ROOT / "training" / "adaqf_study.py"), "--config", str(tmp_path / "study.yaml"), "--dataset", str(CLIPS)]
    line = [*script, "--text_encoder", str(tmp_path / "encoder"), "--output", str(tmp_path / "runs")]
    run(line, ROOT)
    table = (tmp_path / "runs" / "tables.md").read_text()
    assert table.startswith("## Both of them")
    assert "Not yet" not in table
    rows = [row.split("|")[1].strip(" `*") for row in table.splitlines() if row.startswith("|")]
    assert {"mdm", "adaqf"} <= set(rows)
    picture = ElementTree.parse(tmp_path / "runs" / "both-of-them.svg")
    assert picture.getroot().tag.endswith("svg")
    assert has_lora(MotionDiffusionPipeline.load(tmp_path / "runs" / "mdm" / "pipeline").text_encoder)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    run(line, ROOT)  # nothing is done twice
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")} == written
