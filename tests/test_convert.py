"""`hf-motion convert`."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hf_motion import Face, Motion
from hf_motion.cli import app
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.formats import write_face
from hf_motion.formats.bvh import parse_bvh
from hf_motion.formats.rigs import RIGS

FIXTURES = Path(__file__).parent / "fixtures"
WAVE = FIXTURES / "bandai_wave.bvh"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    rows = list(load_motion_rows(str(FIXTURES / "clips.parquet")))[4:6]
    return [read_row(row, "humanml3d-22")[0][:20].save(folder / f"{name}.npz") for name, row in zip("ab", rows, strict=True)]


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


@pytest.mark.parametrize("suffix", [".bvh", ".glb", ".npz", ".csv", ".html"])
def test_every_format(clips, suffix, tmp_path):
    target = tmp_path / "deep" / f"out{suffix}"
    assert str(target) in run(clips[0], target)
    assert target.stat().st_size > 500
    if suffix in (".bvh", ".npz"):
        joints = Motion.load(target).joints
        assert np.linalg.norm(joints - Motion.load(clips[0]).joints, axis=-1).max() < (0.025 if suffix == ".bvh" else 1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".png"])
def test_pictures(clips, suffix, tmp_path):
    pytest.importorskip("av")
    run(clips[0], tmp_path / f"out{suffix}")
    assert (tmp_path / f"out{suffix}").stat().st_size > 500


def test_a_file_of_another_rig_keeps_its_joints_unless_a_rig_is_asked_for(tmp_path):
    run(WAVE, tmp_path / "own.bvh")
    assert set(parse_bvh(tmp_path / "own.bvh").joint_names) == set(parse_bvh(WAVE).joint_names)
    run(WAVE, tmp_path / "mixamo.bvh", "--rig", "mixamo", "--fps", 20)
    file = parse_bvh(tmp_path / "mixamo.bvh")
    assert "mixamorig:LeftForeArm" in file.joint_names
    assert file.fps == 20


def test_a_round_trip_between_rigs_stays_within_a_millimetre(tmp_path):
    run(WAVE, tmp_path / "a.npz", "--mapping", mapping(tmp_path))
    run(tmp_path / "a.npz", tmp_path / "b.bvh")
    run(tmp_path / "b.bvh", tmp_path / "c.bvh")
    first, second = (Motion.load(tmp_path / name).joints for name in ("b.bvh", "c.bvh"))
    assert np.linalg.norm(first - second, axis=-1).max() < 1e-3


def mapping(folder: Path) -> Path:
    path = folder / "mapping.json"
    path.write_text(json.dumps({"name": "wave", "joints": dict(RIGS["bandai-namco"].joints)}))
    return path


def test_several_into_one_page_with_their_texts(clips, tmp_path):
    run(*clips, tmp_path / "both.html", "--text", "one jumps", "--text", "one cartwheels")
    page = (tmp_path / "both.html").read_text()
    assert "one jumps" in page
    assert "one cartwheels" in page


def test_several_into_a_folder(clips, tmp_path):
    run(*clips, tmp_path / "out", "--format", "bvh", "--rig", "smpl")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.bvh", "b.bvh"]
    assert parse_bvh(tmp_path / "out" / "a.bvh").joint_names[0] == "Pelvis"


def test_amass_layout_and_rate(clips, tmp_path):
    run(clips[0], tmp_path / "a.npz", "--layout", "amass", "--fps", 30)
    file = np.load(tmp_path / "a.npz")
    assert file["poses"].shape == (29, 156)
    assert float(file["mocap_framerate"]) == 30


def test_contact_cleanup_says_what_it_did(clips, tmp_path):
    output = run(clips[0], tmp_path / "a.npz", "--contact-cleanup")
    assert "cm/s, skating ratio" in output
    assert not np.array_equal(Motion.load(tmp_path / "a.npz").joints, Motion.load(clips[0]).joints)


def test_a_bad_file_among_good_ones_leaves_nothing(clips, tmp_path):
    (tmp_path / "bad.bvh").write_text("HIERARCHY\n")
    output = run(*clips, tmp_path / "bad.bvh", tmp_path / "out", "-f", "glb", code=1)
    assert "bad.bvh" in output
    assert len(output.strip().splitlines()) == 1
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}"], "One file is not enough"),
        (["{a}", "x.dae"], "Cannot write '.dae' files. Use one of .bvh, .glb"),
        (["{a}", "{b}", "x.bvh"], "2 motions do not fit into one .bvh"),
        (["{a}", "folder"], "say which format"),
        (["{a}", "{a}", "folder", "-f", "bvh"], "Several files would become a.bvh"),
        (["{a}", "x.bvh", "-f", "glb"], "names a format already"),
        (["{a}", "x.bvh", "--rig", "maya"], "Unknown rig 'maya'. There are: smpl"),
        (["{a}", "x.npz", "--rig", "smpl"], "--rig names the joints of .bvh, .glb, .fbx"),
        (["{a}", "x.bvh", "--layout", "amass"], "--layout is for .npz files, not for .bvh"),
        (["{a}", "x.bvh", "--fps", "-1"], "fps must be a positive number"),
        (["{a}", "{b}", "x.html", "--text", "one"], "1 texts for 2 files"),
        (["{a}", "{a}"], "overwritten by its own conversion"),
        (["none.bvh", "x.glb"], "No motion file at 'none.bvh'"),
        (["x.doc", "x.glb"], "Cannot read a motion from '.doc'"),
        (["{a}", "/dev/null/x.glb"], "Cannot write into"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(clips, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = run(*(part.format(a=clips[0], b=clips[1]) for part in arguments), code=1)
    assert message in output
    assert len(output.strip().splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_is_not_found_out_can_be_said(tmp_path):
    run(WAVE, tmp_path / "a.npz", "--unit", "m", "--up", "y")
    run(WAVE, tmp_path / "b.npz")
    first, second = (Motion.load(tmp_path / name).joints for name in ("a.npz", "b.npz"))
    np.testing.assert_allclose(first, 100 * second, rtol=1e-4, atol=1e-3)
    amc, asf = FIXTURES / "cmu" / "02_01.amc", FIXTURES / "cmu" / "02.asf"
    run(amc, tmp_path / "c.npz", "--asf", asf)
    assert "UNKNOWN" in run(WAVE, tmp_path / "d.npz", "--unit", "UNKNOWN", code=1)


def test_a_face_is_put_onto_the_body(clips, tmp_path):
    face = write_face(Face(np.zeros((61, 52)), "arkit-52"), tmp_path / "face.csv", fps=60)
    run(clips[0], tmp_path / "out.npz", "--face", face)
    assert Motion.load(tmp_path / "out.npz").face.kind == "livelink-61"
    run(tmp_path / "out.npz", tmp_path / "again.npz")
    assert len(Motion.load(tmp_path / "again.npz").face) == 20
    for options, words in [
        (("out.bvh", "--face", face), "no place for a face"), (("out.npz", "--face", face, "--face", face), "2 faces for 1 files"),
        (("out.npz", "--face-offset", 1), "give one, or leave"), (("out.npz", "--face", face, "--face-offset", 9), "do not overlap"),
        (("out.npz", "--face", tmp_path / "none.csv"), "No file of a face"),
    ]:  # fmt: skip
        assert words in " ".join(run(clips[0], tmp_path / options[0], *options[1:], code=1).split())
