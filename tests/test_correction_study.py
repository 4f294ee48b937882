"""`training/cigtime_study.py`: tables of rows that are scored already, and what it would not start."""

import json
from pathlib import Path

import pytest
import yaml
from correction_clips import make_triplets
from scripts import ROOT, run_script, script

from hf_motion.evaluation.corrections import score_corrections

SETTINGS = ROOT / "training" / "configs" / "cigtime_study.yaml"


def write_scores(folder: Path) -> None:
    triplets = make_triplets(3)
    for name, said in (("truth", [one.instruction for one in triplets]), ("ours", ["lower the right arm"] * 3)):
        path = script("cigtime_study").scores_of(folder, name, "held-out sources", "kinematic")
        path.parent.mkdir()
        path.write_text(json.dumps({"scores": score_corrections({name: said}, triplets)}))


def test_tables_of_rows_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    study = {
        "settings": "training/configs/cigtime_smollm2.yaml", "runs": {"truth": {"method": "truth"}, "ours": {"model": "x"}},
        "tables": {"Table 1": {"runs": ["truth", "ours"], "editors": ["kinematic"]}},
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    write_scores(tmp_path)
    words = ["--config", tmp_path / "study.yaml", "--triplets", "t", "--sets", '{"held-out sources": "t"}', "--output", tmp_path]
    run_script("cigtime_study", words)  # nothing has to be started
    tables = (tmp_path / "tables.md").read_text()
    assert tables.startswith("## Table 1: held-out sources, done by kinematic")
    rows = [line.split("|")[1].strip() for line in tables.splitlines() if line.startswith("|")]
    assert rows == ["method", "---", "truth", "ours"]
    study["tables"]["Table 1"]["runs"].append("theirs")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(ValueError, match="Tables name theirs, which are no runs"):
        run_script("cigtime_study", words)


def test_every_row_of_the_shipped_study_is_a_run_that_can_be_started() -> None:
    study = yaml.safe_load(SETTINGS.read_text())
    known = {field.name for field in script("train_sft").ScriptArguments.__dataclass_fields__.values()}
    known |= set(script("train_sft").MotionSFTConfig.__dataclass_fields__)
    for name, row in study["runs"].items():
        assert set(row or {}) - {"method", "model", "of"} <= known, name
    assert {name for table in study["tables"].values() for name in table["runs"]} == set(study["runs"])
