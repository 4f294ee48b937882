"""Motion files that were once read wrong without a word: the right value, or an error with the way out. `fixtures/cases/` holds them."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from test_amass import amass, body_model, expected_joints, y_up
from typer.testing import CliRunner

from hf_motion import Motion
from hf_motion.cli import app
from hf_motion.data.sources import SourceOptions
from hf_motion.data.sources.base import read_on_floor
from hf_motion.formats.bvh import read_bvh
from hf_motion.formats.read import inspect_motion, read_motion

FIXTURES = Path(__file__).parent / "fixtures"
CASES = FIXTURES / "cases"
DECIMETRES = CASES / "units" / "person_172cm_in_decimetres.bvh"
INCHES = CASES / "units" / "person_172cm_in_inches_unknown_names.bvh"


def height(motion: Motion) -> float:
    """From the lowest to the highest joint in the first frame, metres."""
    return float(np.ptp(motion.joints[0, :, 1]))


def scaled(path: Path, units: float) -> str:
    """The person in decimetres with other units in a metre."""
    head, body = DECIMETRES.read_text().split("MOTION")
    numbers = re.compile(r"-?\d+\.\d+")

    def times(text: str) -> str:
        return numbers.sub(lambda match: f"{float(match[0]) * units / 10:.6f}", text)

    rows = body.strip().splitlines()
    rows[2:] = [" ".join([times(" ".join(row.split()[:3])), *row.split()[3:]]) for row in rows[2:]]
    path.write_text("\n".join([times(head) + "MOTION", *rows, ""]))
    return str(path)


def timed(path: Path, frame_time: str, frames: int = 6) -> Path:
    text = DECIMETRES.read_text().replace("Frame Time: 0.0333333", f"Frame Time: {frame_time}").replace("Frames: 6", f"Frames: {frames}")
    path.write_text(text)
    return path


@pytest.mark.parametrize("unit", ["m", "dm", "cm", "mm", "ft", "inch", "cmu"])
@pytest.mark.parametrize("options", [{}, {"skeleton": None}, {"skeleton": None, "rename": True}])
def test_a_person_has_one_size_in_every_unit_and_by_every_detector(tmp_path, unit, options):
    units = {"m": 1, "dm": 10, "cm": 100, "mm": 1000, "ft": 1 / 0.3048, "inch": 1 / 0.0254, "cmu": 0.45 / 0.0254}[unit]
    path = tmp_path / "a.bvh"
    scaled(path, units)
    if options.get("rename"):
        path.write_text(path.read_text().replace("UpLeg", "Limb").replace("Spine", "Vertebra"))
    source = inspect_motion(path, **{key: value for key, value in options.items() if key != "rename"})
    assert height(source.motion) == pytest.approx(1.408, abs=0.002)
    assert source.units_per_metre == pytest.approx(units, rel=1e-3)
    assert height(read_bvh(path)) == pytest.approx(1.408, abs=0.002)
    if not options:
        np.save(tmp_path / "a.npy", source.motion.joints * units)
        assert height(read_motion(tmp_path / "a.npy")) == pytest.approx(1.408, abs=0.002)


@pytest.mark.parametrize("options", [{"skeleton": None}, {"mapping": CASES / "units" / "mapping.json"}])
def test_inches_under_unknown_names(options):
    assert height(read_motion(INCHES, **options)) == pytest.approx(1.408, abs=0.002)


@pytest.mark.parametrize("units", [5, 0.2, 25_000])
def test_a_body_of_no_persons_size_is_an_error_that_names_the_way_out(tmp_path, units):
    scaled(tmp_path / "a.bvh", units)
    with pytest.raises(ValueError, match=r"a.bvh.*the legs measure [\d.e+]+ file units.*--unit"):
        read_motion(tmp_path / "a.bvh")
    source = inspect_motion(tmp_path / "a.bvh", unit=units)
    assert (height(source.motion), source.notes) == (pytest.approx(1.408, abs=0.002), ())
    (note,) = inspect_motion(tmp_path / "a.bvh", unit="cm").notes
    assert "--unit" in note


def test_what_is_no_person_is_read_with_a_warning(tmp_path, caplog):
    scaled(tmp_path / "a.bvh", 4)
    path = tmp_path / "a.bvh"
    path.write_text(path.read_text().replace("Arm", "Wing").replace("UpLeg", "Claw"))
    read_motion(path, skeleton=None)
    assert any("--unit" in record.getMessage() for record in caplog.records)
    assert any("--up" in record.getMessage() for record in caplog.records)


def test_amass_paths_in_centimetres(tmp_path):
    """The body model is in metres whatever the path is in."""
    body_model(tmp_path / "model.npz")
    values = amass(tmp_path / "m.npz")
    amass(tmp_path / "cm.npz", trans=100 * values["trans"])
    metres, centimetres = (read_motion(tmp_path / f"{name}.npz", body_models=tmp_path / "model.npz", unit=name) for name in ("m", "cm"))
    np.testing.assert_allclose(metres.joints, centimetres.joints, atol=1e-5)


def test_the_size_of_amc_files(tmp_path):
    """A declared unit in which the body is a giant's is refused, unless --unit says another."""
    for name in ("02.asf", "02_01.amc"):
        (tmp_path / name).write_bytes((FIXTURES / "cmu" / name).read_bytes())
    usual = read_motion(tmp_path / "02_01.amc")
    asf = tmp_path / "02.asf"
    asf.write_text(asf.read_text().replace("length 0.45", "length 0.05"))
    with pytest.raises(ValueError, match=r"02_01.amc.*--unit"):
        read_motion(tmp_path / "02_01.amc")
    np.testing.assert_allclose(read_motion(tmp_path / "02_01.amc", unit="cmu").joints, usual.joints, atol=1e-5)


@pytest.mark.parametrize(
    ("frame_time", "fps", "note"),
    [
        ("30", 30, "read as 30 fps"), ("120", 120, "read as 120 fps"), ("0.017", 60, "read as 60 fps"),
        ("0.008", 125, "120 fps is written"),
        ("0.016", 60, "read as 60 fps"), ("0.0333333", 30, None), ("0.0083333", 120, None), ("0.04", 25, None), ("0.5", 2, "is 2 fps"),
    ],
)  # fmt: skip
def test_frame_times(tmp_path, frame_time, fps, note, caplog):
    path = timed(tmp_path / "a.bvh", frame_time)
    source = inspect_motion(path)
    assert (source.fps, len(source.motion)) == (fps, 6)
    assert bool(source.notes) == bool(note)
    with caplog.at_level(logging.WARNING, logger="hf_motion"):
        assert read_motion(path, source_fps=48).fps == 48
        assert not caplog.records, "what was said is not guessed"
        assert read_motion(path).fps == read_bvh(path).fps == fps
    for record in caplog.records:
        assert note in record.getMessage()
        assert "--source-fps" in record.getMessage()
    assert len(caplog.records) == 2 * bool(note)


def test_frame_times_that_cannot_be(tmp_path):
    for frame_time in ("0", "-1", "0.0001"):
        with pytest.raises(ValueError, match=r"a.bvh.*line 134.*--source-fps"):
            read_motion(timed(tmp_path / "a.bvh", frame_time))
        assert read_motion(tmp_path / "a.bvh", source_fps=30).fps == 30
    body_model(tmp_path / "model.npz")
    amass(tmp_path / "a.npz", mocap_framerate=np.array(1e6))
    with pytest.raises(ValueError, match=r"a.npz.*--source-fps"):
        read_motion(tmp_path / "a.npz", body_models=tmp_path / "model.npz")


def test_single_poses():
    for source in (inspect_motion(CASES / "single" / "frame_time_0_single_pose.bvh"),):
        assert (len(source.motion), source.fps) == (1, 30)
        assert height(source.motion) == pytest.approx(1.408, abs=0.002)
        assert "single pose" in source.notes[0]


@pytest.mark.parametrize(("said", "frames"), [(7, 6), (5, 6), (6, 6)])
def test_one_row_more_or_fewer(tmp_path, said, frames):
    source = inspect_motion(timed(tmp_path / "a.bvh", "0.0333333", said))
    assert len(source.motion) == frames
    assert [f"says {said}, the file has 6" in note for note in source.notes] == [True] * (said != 6)
    with pytest.raises(ValueError, match="expected 8 frames"):
        inspect_motion(timed(tmp_path / "a.bvh", "0.0333333", 8))


def test_position_channels_that_are_displacements(tmp_path):
    path = CASES / "channels" / "displacements_all_zero.bvh"
    source = inspect_motion(path)
    np.testing.assert_allclose(source.motion.joints, np.load(CASES / "channels" / "right_joints_m.npy"), atol=1e-6)
    assert "displacements from the OFFSETs" in source.notes[0]
    text = path.read_text()
    (tmp_path / "flat.bvh").write_text(re.sub(r"(?<=\t)OFFSET .*", "OFFSET 0 0 0", text))
    with pytest.raises(ValueError, match=r"flat.bvh.*these bones have no length: left_hip to left_knee"):
        read_motion(tmp_path / "flat.bvh")


def test_position_channels_in_the_place_of_offsets_stay_that(tmp_path):
    motion = read_motion(FIXTURES / "bandai_wave.bvh")
    jittered = Motion(motion.joints + np.random.default_rng(0).normal(0, 0.02, motion.joints.shape), fps=30)
    source = inspect_motion(jittered.save(tmp_path / "a.bvh", constant_bones=False))
    assert "position" in (tmp_path / "a.bvh").read_text().partition("JOINT")[2]
    assert source.notes == ()
    np.testing.assert_allclose(source.motion.joints, jittered.joints, atol=1e-3)


def test_two_people_under_one_root(tmp_path, caplog):
    path = CASES / "people" / "two_people_one_root.bvh"
    motion = read_motion(path)
    (record,) = caplog.records
    assert "2 bodies; 'A:Hips' is read, left out: B:Hips (22 joints)" in record.getMessage()
    alone = tmp_path / "b.bvh"
    alone.write_text(path.read_text().replace("A:", "C:").replace("B:", "A:").replace("C:", "B:"))
    assert "'B:Hips' is read" in inspect_motion(alone).notes[0]
    np.testing.assert_array_equal(read_motion(alone).joints, motion.joints)
    alone.write_text(path.read_text().replace("A:LeftToeBase", "A:LeftTip"))
    other = inspect_motion(alone)
    assert "'B:Hips' is read, left out: A:Hips" in other.notes[0], "never the toes of one on the legs of the other"
    assert np.abs(other.motion.joints - motion.joints).max() > 0.1
    assert inspect_motion(path, skeleton=None).notes == ("the file holds 2 bodies, and all are kept: --rig takes the first alone",)


def test_a_wrong_rate_is_put_right(tmp_path):
    path = timed(tmp_path / "a.bvh", "0.041667")
    assert read_motion(path).fps == 24
    options = SourceOptions(source_fps=120, fps=60)
    assert (len(read_on_floor(path, options)), read_on_floor(path, options).fps) == (3, 60)
    with pytest.raises(ValueError, match="source_fps must be a positive number"):
        SourceOptions(source_fps=0)


def test_results_of_mdm_are_not_opened_and_the_way_out_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"results.npy.*never opened") as error:
        read_motion(CASES / "results_npy" / "results.npy")
    exec(str(error.value).partition('python -c "')[2].rstrip('"'), {})
    assert read_motion("motion.npy", unit="m", up="y").joints.shape == (20, 22, 3)


def test_results_of_romp_are_not_opened_and_the_way_out_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    joints = read_motion(FIXTURES / "bandai_wave.bvh").joints
    people = {
        f"{frame:08d}.jpg": {"joints": (pose * [1, -1, -1])[None, [*range(22), 21, 21]], "cam_trans": np.zeros((1, 3))}
        for frame, pose in enumerate(joints)
    }
    np.savez("video_results.npz", results=np.array(people, dtype=object))
    with pytest.raises(ValueError, match=r"video_results.npz.*never opened") as error:
        read_motion("video_results.npz")
    exec(str(error.value).partition('python -c "')[2].rstrip('"'), {})
    np.testing.assert_allclose(read_motion("motion.npy", source_fps=30).joints, joints, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("frame000.obj", "J_regressor"), ("a.dae", "Blender"), ("a.usda", "Blender"), ("a.pkl", "numpy.savez"), ("a.c3d", "Solve them"),
        ("02.asf", "read the .amc file"),
    ],
)  # fmt: skip
def test_other_formats_end_with_the_next_step(tmp_path, name, step):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=f"Use one of: .bvh, .amc, .*, .npz, .npy.*{step}"):
        read_motion(tmp_path / name)
    if name.endswith(".obj"):
        with pytest.raises(ValueError, match=step):
            read_motion(tmp_path)


@pytest.mark.parametrize(
    ("shape", "step"), [((3, 22, 3, 60), r"array\[0\].transpose"), ((22, 3, 60), "array.transpose"), ((22, 3, 22), "array.transpose"),
                        ((60, 24, 3), r"array\[:, :22\]")],
)  # fmt: skip
def test_arrays_of_other_shapes_end_with_the_next_step(tmp_path, shape, step):
    np.save(tmp_path / "a.npy", np.ones(shape))
    with pytest.raises(ValueError, match=step):
        read_motion(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", keypoints=np.ones(shape))
    with pytest.raises(ValueError, match=r"holds keypoints; expected a motion of ours.*numpy.save"):
        read_motion(tmp_path / "a.npz")


def test_a_shape_per_frame(tmp_path):
    model = body_model(tmp_path / "model.npz")
    betas = np.random.default_rng(2).normal(0, 1, (12, 10))
    values = amass(tmp_path / "a.npz", betas=betas)
    expected = np.concatenate(
        [expected_joints(model, values["poses"][[frame]], values["trans"][[frame]], betas[frame]) for frame in range(12)]
    )
    motion = read_motion(tmp_path / "a.npz", body_models=tmp_path / "model.npz")
    np.testing.assert_allclose(motion.joints, y_up(expected), atol=1e-5)
    for shape in ((1, 10), (10,), (12, 10)):
        amass(tmp_path / "b.npz", betas=np.broadcast_to(betas[0].reshape((-1, 10)[: len(shape)] if len(shape) == 2 else 10), shape))
        same = read_motion(tmp_path / "b.npz", body_models=tmp_path / "model.npz")
        np.testing.assert_allclose(same.joints, y_up(expected_joints(model, values["poses"], values["trans"], betas[0])), atol=1e-5)
    for shape in ((5, 10), (2, 3, 10)):
        amass(tmp_path / "c.npz", betas=np.zeros(shape))
        with pytest.raises(ValueError, match=r"c.npz.*'betas' has shape.*expected \(parameters,\)"):
            read_motion(tmp_path / "c.npz", body_models=tmp_path / "model.npz")


def test_convert_says_in_one_line_what_it_read(tmp_path):
    def run(*arguments: object) -> list[str]:
        result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.output.splitlines()

    line, _ = run(CASES / "people" / "two_people_one_root.bvh", tmp_path / "a.npz", "--contact-cleanup", "--source-fps", 60, "--fps", 30)[
        ::2
    ]
    assert re.search(r"rig mixamo, unit cm, up y, 60 fps, 6 frames, resampled to 3 frames at 30 fps; left out: B:Hips \(22 joints\)", line)
    line, unit, written = run(DECIMETRES, tmp_path / "b.bvh")
    assert unit == ".bvh files count in centimetres, as Maya and Unreal do; in Blender import them with Scale 0.01, or write --units m"
    assert len(run(DECIMETRES, tmp_path / "b.bvh", "--units", "m")) == 2
    assert line == f"{DECIMETRES}: rig mixamo, unit dm, up y, 30 fps, 6 frames"
    assert written == str(tmp_path / "b.bvh")
    line, _ = run(INCHES, tmp_path / "c.npz", "--unit", "39.37", "--up", "y")
    assert line == f"{INCHES}: joints of hips-22, unit 1/39.37 m, up y, 30 fps, 6 frames"
    line, _ = run(FIXTURES / "cmu" / "12_01_cgspeed.bvh", tmp_path / "d.bvh", "--rig", "smpl", "--units", "m")
    assert "placed between others: spine1, spine2, spine3, left_collar, right_collar; left out: " in line
    assert line.endswith("the T-pose in frame 1")
