"""One table of formats: what it says is so, and what is documented is what it says."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_face import talking
from test_rotations_kept import turning
from typer.testing import CliRunner

from hf_motion import Motion, read_motion
from hf_motion.cli import app
from hf_motion.cli.generate import Format
from hf_motion.formats.dispatch import write_arrays
from hf_motion.formats.table import BY_SUFFIX, FORMATS, LOADED, READ, WRITTEN, function, markdown, taking

PAGE = Path(__file__).parents[1] / "hf_motion" / "formats" / "README.md"
ROWS = [pytest.param(row, id=row.suffixes[0]) for row in FORMATS]


@pytest.mark.parametrize("row", ROWS)
def test_functions_are_there_and_take_the_options(row) -> None:
    for name in (row.opens, row.loads, row.writes):
        assert name is None or callable(function(name))
    assert set(row.reading) <= set(inspect.signature(read_motion).parameters)
    assert (row.instead is None) == (row.writes is not None)
    if row.writes is None:
        assert row.options == row.keeps == ()
        assert row.instead in WRITTEN
        return
    parameters = inspect.signature(function(row.writes)).parameters.values()
    named = tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
    if function(row.writes) is write_arrays:
        amass = inspect.signature(function("formats.amass:write_amass")).parameters.values()
        named += tuple(parameter.name for parameter in amass if parameter.kind is parameter.KEYWORD_ONLY)
    assert named == row.options


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITTEN if suffix in LOADED and BY_SUFFIX[suffix].needs is None])
def test_what_is_kept_comes_back(tmp_path, suffix, caplog) -> None:
    motion = replace(turning(), face=talking(30, "arkit-52"))
    keeps = BY_SUFFIX[suffix].keeps
    again = Motion.load(motion.save(tmp_path / f"a{suffix}"))
    assert ("face" in keeps) == (again.face is not None)
    assert ("text" in keeps) == (again.text == "turns")
    assert again.rotations is not None
    turned = np.abs((again.rotations[-1] * again.rotations[0]).sum(-1)) < 0.99
    assert {again.skeleton.joint_names[joint] for joint in np.flatnonzero(turned)} >= {"head", "left_wrist"} or suffix == ".vrma"
    assert ("the face is left out" in caplog.text) == ("face" not in keeps)
    if "face" not in keeps:
        assert ".glb, .fbx, .json, .npz keep it" in caplog.text


def test_pages_and_help_say_what_the_table_says() -> None:
    assert markdown() in PAGE.read_text(), "put what hf_motion.formats.table.markdown() returns into the page"
    for text, suffixes in ((Motion.save.__doc__, WRITTEN), (read_motion.__doc__, READ), (Motion.load.__doc__, LOADED)):
        table = [line for line in text.splitlines() if line.strip().startswith("| .")] or re.findall(r"`\.\w+`", text)
        assert sorted(set(re.findall(r"\.[a-z]+\d?\b", " ".join(line.strip("| ").split(" | ")[0] for line in table)))) == sorted(suffixes)
    assert [f".{item.value}" for item in Format] == list(WRITTEN)
    shown = CliRunner().invoke(app, ["convert", "--list-formats"]).output
    assert [line.split()[0] for line in shown.splitlines()] == list(BY_SUFFIX)
    told = CliRunner().invoke(app, ["convert", "--help"], env={"COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"}).output
    for option in ("rig", "keep_proportions"):
        assert ", ".join(taking(option)) in told


def test_refusals_name_the_way_out(tmp_path) -> None:
    motion = turning()
    with pytest.raises(ValueError, match=r"save a motion as '\.gltf'.*\.glb, .*\.gltf files are only read; write \.glb\."):
        motion.save(tmp_path / "a.gltf")
    with pytest.raises(ValueError, match=r"Unknown format 'npy'.*write \.npz\."):
        motion.to_bytes("npy")
    with pytest.raises(ValueError, match=r"load a motion from '\.npy'.*read_motion does"):
        Motion.load(tmp_path / "a.npy")
    with pytest.raises(TypeError, match=r"\.csv files are written without units=; options are rig\. units= is for \.bvh\."):
        motion.save(tmp_path / "a.csv", units="m")
    with pytest.raises(TypeError, match=r"\.html files are written without colour=; options are none\.$"):
        motion.to_bytes("html", colour="red")
    assert not list(tmp_path.iterdir())
