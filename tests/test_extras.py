"""Packages that are not installed: each error is the command that installs them."""

import ast
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import datasets  # noqa: F401  (it imports pyarrow, which a test hides)
import pytest

from hf_motion import Motion, metrics
from hf_motion.data.motion_text import load_motion_rows
from hf_motion.data.shards import motion_features
from hf_motion.formats.rigs import load_mapping
from hf_motion.metrics.text import bleu, meteor, rouge
from hf_motion.tokenization.parts_of_speech import _spacy_pipeline
from hf_motion.utils.extras import EXTRAS, require

ROOT = Path(__file__).parents[1]
PARQUET = str(ROOT / "tests/fixtures/clips.parquet")
DISTRIBUTIONS = {"PIL": "pillow", "pxr": "usd-core", "rouge_score": "rouge-score", "yaml": "pyyaml"}


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(
    ("package", "use"),
    [
        ("PIL", lambda folder: still().save(folder / "a.png")),
        ("av", lambda folder: still().save(folder / "a.mp4")),
        ("datasets", lambda folder: motion_features()),
        ("datasets", lambda folder: load_motion_rows(PARQUET)),
        ("evaluate", lambda folder: metrics.load("bleu")),
        ("nltk", lambda folder: meteor(["a"], ["a"])),
        ("pyarrow", lambda folder: load_motion_rows(PARQUET)),
        ("rouge_score", lambda folder: rouge(["a"], ["a"])),
        ("sacrebleu", lambda folder: bleu(["a"], ["a"])),
        ("spacy", lambda folder: _spacy_pipeline("none")),
        ("yaml", lambda folder: load_mapping(yaml_file(folder))),
    ],
)
def test_what_is_missing_is_said_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, use: Callable[[Path], object]
) -> None:
    hide(monkeypatch, package)
    with pytest.raises(ImportError, match=re.escape(f"needs {package}: pip install 'hf-motion[{EXTRAS[package]}]'.")):
        use(tmp_path)


def still() -> Motion:
    return Motion([[[0.0, 1.0, 0.0]] * 22] * 4)


def yaml_file(folder: Path) -> Path:
    (folder / "rig.yaml").write_text("names: {}")
    return folder / "rig.yaml"


def test_extras_hold_what_they_are_said_to_hold() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package, extra in EXTRAS.items():
        wanted = DISTRIBUTIONS.get(package, package)
        assert [line for line in extras[extra] if re.match(rf"{wanted}\b", line)], (package, extra)


def test_no_optional_package_is_imported_another_way() -> None:
    found = []
    for path in [*(ROOT / "hf_motion").rglob("*.py"), *(ROOT / "training").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found += [(path.name, name) for name in names if name.partition(".")[0] in EXTRAS]
    # `evaluate` itself runs the metrics' modules, the others ask mypy what a name means.
    assert {name for name, _ in found} <= {"base.py", "__init__.py"}, found


def test_a_package_that_is_there_but_broken_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "spacy.py").write_text("import no_such_thing\n")
    monkeypatch.delitem(sys.modules, "spacy", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="It is installed, but failed with: No module named 'no_such_thing'"):
        require("spacy", "Tagging")
