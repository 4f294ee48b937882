import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hf_motion.formats.asf_amc import find_asf, parse_asf, read_amc

CMU = Path(__file__).parent / "fixtures" / "cmu"
ASF, AMC = CMU / "02.asf", CMU / "02_01.amc"


def reference_ends(frame: int) -> dict[str, np.ndarray]:
    """Where the bones end, by another reading of the two files: regular expressions, recursion, scipy's rotations."""
    text = ASF.read_text()
    bones = {}
    for block in re.findall(r"begin\s+id.*?end", text, re.DOTALL):
        values = {key: re.search(rf"\b{key} +([^\n]*)", block) for key in ("name", "direction", "length", "axis", "dof")}
        values = {key: match[1].split() for key, match in values.items() if match}
        bones[values["name"][0]] = values
    children = {line.split()[0]: line.split()[1:] for line in text.split(":hierarchy")[1].splitlines() if len(line.split()) > 1}
    body = re.split(r"\n\d+\n", AMC.read_text())[frame + 1]
    pose = {line.split()[0]: np.array(line.split()[1:], float) for line in body.splitlines() if line.strip()}
    ends = {"root": pose["root"][:3]}

    def walk(name: str, turned: Rotation) -> None:
        for child in children.get(name, []):
            bone = bones[child]
            axis = Rotation.from_euler("xyz", [float(angle) for angle in bone["axis"][:3]], degrees=True)
            angles = dict(zip(bone.get("dof", []), pose.get(child, []), strict=True))
            turn = Rotation.from_euler("xyz", [angles.get(freedom, 0) for freedom in ("rx", "ry", "rz")], degrees=True)
            here = turned * axis * turn * axis.inv()
            ends[child] = ends[name] + here.apply(np.array(bone["direction"], float) * float(bone["length"][0]))
            walk(child, here)

    walk("root", Rotation.from_euler("xyz", pose["root"][3:], degrees=True))
    return ends


def rewritten(folder: Path, amc: tuple[str, str] = ("", ""), asf: tuple[str, str] = ("", "")) -> Path:
    (folder / ASF.name).write_text(ASF.read_text().replace(*asf, 1))
    path = folder / AMC.name
    path.write_text(AMC.read_text().replace(*amc, 1))
    return path


@pytest.mark.parametrize("frame", [0, 1, 71])
def test_positions_match_an_independent_reading(frame):
    motion = read_amc(AMC)
    positions, skeleton = motion.joint_positions()[frame], motion.skeleton()
    ends = reference_ends(frame)
    assert set(ends) == set(motion.asf.bone_names)
    for bone, name in enumerate(motion.asf.bone_names):
        end = skeleton.children[bone][0] if bone else 0
        np.testing.assert_allclose(positions[end], ends[name], atol=1e-9)


def test_what_a_real_pair_of_files_holds():
    motion = read_amc(AMC)
    assert (motion.frames, motion.fps, motion.asf.length, motion.degrees) == (72, 120.0, 0.45, True)
    assert motion.asf.bone_names[:3] == ("root", "lhipjoint", "lfemur")
    assert len(motion.asf.bone_names) == 31
    assert len(motion.skeleton()) == 31 + 7
    assert read_amc(AMC, fps=60).fps == 60
    assert motion.joint_positions(fps=20).shape == (12, 38, 3)
    np.testing.assert_allclose(motion.joint_positions(fps=20), motion.joint_positions()[::6], atol=1e-12)


def test_rotations_are_interpolated_on_the_sphere():
    """Half-way between frames, bones keep their length, which linear interpolation of positions does not."""
    motion = read_amc(AMC, fps=4)
    between = motion.joint_positions(fps=8)
    skeleton = motion.skeleton()
    parents = [max(parent, 0) for parent in skeleton.parents]
    lengths = np.linalg.norm(between - between[:, parents], axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-9)
    np.testing.assert_allclose(between[::2], motion.joint_positions(), atol=1e-9)
    np.testing.assert_allclose(between[1, 0], motion.joint_positions()[:2, 0].mean(axis=0))


def test_radians(tmp_path):
    def in_radians(match: re.Match) -> str:
        words = match[0].split()
        start = 3 if words[0] == "root" else 0
        values = [*words[1 : 1 + start], *(f"{np.radians(float(word)):.12f}" for word in words[1 + start :])]
        return " ".join([words[0], *values])

    path = rewritten(tmp_path)
    path.write_text(re.sub(r"^[a-z]+ .*$", in_radians, AMC.read_text(), flags=re.MULTILINE).replace(":DEGREES", ":RADIANS"))
    np.testing.assert_allclose(read_amc(path).joint_positions(), read_amc(AMC).joint_positions(), atol=1e-8)


def test_layout_does_not_matter(tmp_path):
    path = rewritten(tmp_path, (":DEGREES", ":degrees # comment\r\n\n"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(read_amc(path).joint_positions(), read_amc(AMC).joint_positions())


def test_bones_that_never_turn_may_be_left_out(tmp_path):
    path = rewritten(tmp_path)
    path.write_text(re.sub(r"^[lr]thumb .*\n", "", AMC.read_text(), flags=re.MULTILINE))
    ours, full = read_amc(path), read_amc(AMC)
    same = [name for name in full.skeleton().joint_names if name not in ("lthumb_end", "rthumb_end")]
    index = [full.skeleton().joint(name) for name in same]
    np.testing.assert_array_equal(ours.joint_positions()[:, index], full.joint_positions()[:, index])


def test_the_skeleton_is_found_by_name(tmp_path):
    for name in ("02_01.amc", "02.asf", "7_01.amc", "7.asf", "walk.amc"):
        shutil.copy(ASF if name.endswith("asf") else AMC, tmp_path / name)
    assert find_asf(tmp_path / "02_01.amc") == tmp_path / "02.asf"
    assert find_asf(tmp_path / "7_01.amc") == tmp_path / "7.asf"
    with pytest.raises(FileNotFoundError, match=r"expected 'walk.asf'.*it has 02.asf, 7.asf.*`asf=`"):
        read_amc(tmp_path / "walk.amc")
    shutil.copy(ASF, tmp_path / "walk.ASF")
    assert find_asf(tmp_path / "walk.amc") == tmp_path / "walk.ASF"
    (tmp_path / "alone").mkdir()
    shutil.copy(AMC, tmp_path / "alone" / "x.amc")
    with pytest.raises(FileNotFoundError, match="it has none"):
        read_amc(tmp_path / "alone" / "x.amc")
    shutil.copy(ASF, tmp_path / "alone" / "y.asf")
    assert read_amc(tmp_path / "alone" / "x.amc").frames == 72
    assert read_amc(tmp_path / "alone" / "x.amc", asf=ASF).frames == 72


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n2\nroot", "\n3\nroot", "line 34: expected frame 2, found '3'"),
        ("head 2.97226", "head nan", "line 11: expected finite numbers, found 'nan'"),
        ("head 2.97226", "head 1.#QNAN", "line 11: expected"),
        ("rradius 46.2257", "rradius 46.2257 3", "line 14: expected 1 numbers for rradius (rx), found 2"),
        ("rradius 46.2257", "rradios 46.2257", "line 14: expected bones of the skeleton"),
        ("rradius 46.2257", "head 1 2 3", "line 14: expected bones of the skeleton, each once a frame"),
        ("\nroot 10.4194", "\nlhipjoint 10.4194", "line 5: expected 0 numbers for lhipjoint"),
        ("\n1\nroot", "\nroot", "line 4: expected the number of a frame, found 'root 10.4194"),
        ("\n2\nroot 10.4117", "\n2\nhead 10.4117", "line 35: expected 'root' and 6 numbers, in the order of the first frame"),
    ],
)
def test_a_broken_motion_is_explained(tmp_path, old, new, message):
    assert old in AMC.read_text()
    path = rewritten(tmp_path, (old, new))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_amc(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":hierarchy", ":hierarchi", "expected :hierarchy, found the end of the file"),
        ("length 0.45", "length 0", "line 7: expected a positive length of the units, found '0'"),
        ("angle deg", "angle grad", "line 8: expected angle deg or angle rad"),
        ("axis XYZ", "axis XXZ", "line 14: expected an order of the axes"),
        ("TX TY TZ", "TX TY TY", "line 13: expected an order of TX TY TZ"),
        ("name lhipjoint", "name root", "expected a bone name that occurs once, found 'root'"),
        ("name rtibia", "name ltibia", "expected a bone name that occurs once, found 'ltibia'"),
        ("direction 0.655637", "direction inf", "line 21: expected 3 finite numbers for the direction"),
        ("length 2.52691", "size 2.52691", "expected length of the bone that begins in line 18"),
        ("dof rx ry rz", "dof tx ry rz", "expected degrees of freedom of rx, ry, rz, the only ones supported"),
        ("lhipjoint lfemur\n", "lhipjoint lfemur ltibia\n", "every bone has one parent, found 'ltibia' again"),
        ("root lhipjoint rhipjoint lowerback", "root lhipjoint rhipjoint", "found 'lowerback' apart or in a circle"),
        ("    lhand lfingers\n", "    lhand lfingerz\n", "expected names of bones, found 'lfingerz'"),
        ("    rhand rfingers\n", "    rhand rfingers\n    rfingers root\n", "one parent, found 'root' again"),
        ("  end\n  begin\n     id 2", "  begin\n     id 2", "expected 'end' of the bone before the next"),
    ],
)  # fmt: skip
def test_a_broken_skeleton_is_explained(tmp_path, old, new, message):
    assert old in ASF.read_text()
    rewritten(tmp_path, asf=(old, new))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        parse_asf(tmp_path / ASF.name)
    assert str(tmp_path / ASF.name) in str(error.value)


def test_empty_and_binary_files_are_refused(tmp_path):
    path = rewritten(tmp_path)
    for content, message in ((b"", "expected the number of a frame"), (AMC.read_text().encode("utf-16"), "expected text")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_amc(path)
    circle = ASF.read_text().replace("root lhipjoint rhipjoint lowerback", "root rhipjoint lowerback\n    ltoes lhipjoint")
    (tmp_path / ASF.name).write_text(circle)
    with pytest.raises(ValueError, match="in a circle"):
        parse_asf(tmp_path / ASF.name)
