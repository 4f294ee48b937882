"""The drawn head: what moves, where it is seen, and what the files hold."""

import base64
import html
import json
import logging
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from test_face import talking
from test_rendering import chromium, t_pose, turned

from hf_motion import Face, Motion
from hf_motion.face import FACE_SETS
from hf_motion.pose import place_joints
from hf_motion.rendering import save_contact_sheet, save_player
from hf_motion.rendering.head import drawn_weights, head_frames, head_points, plain_head
from hf_motion.rendering.portrait import paint_portrait
from hf_motion.rendering.scene import Scene
from hf_motion.skeletons import HUMANML3D_22

NAMES = FACE_SETS["arkit-52"]


def doing(**values: float) -> Face:
    return Face(np.array([[*values.values()]]), [*values]).select("arkit-52", fill=0.0)


def portrait(face: Face) -> np.ndarray:
    image = np.full((120, 120, 3), 120, np.uint8)
    paint_portrait(image, head_points(face)[0], (0, 0), 120)
    return image


def area(face: Face, name: str) -> int:
    """Pixels that a part shows."""
    colour = next(part.colour for part in plain_head().parts if part.name == name)
    return int((np.abs(portrait(face).astype(int) - colour).max(-1) < 8).sum())


def test_every_coefficient_moves_something_on_its_side() -> None:
    head = plain_head()
    for name, moves in head.targets.items():
        moved = np.abs(moves).max(axis=1) > 0.004
        assert moved.any(), name
        side = name.endswith("Left") - name.endswith("Right")
        if side and name not in ("mouthLeft", "mouthRight", "jawLeft", "jawRight"):
            reach = np.abs(moves) * side * np.sign(head.points[:, :1])
            assert reach.sum() > 0, f"{name} moves the other side more"


def test_a_mirrored_face_is_drawn_mirrored() -> None:
    face = talking(1)
    one, other = head_points(face)[0, :, :2], head_points(face.mirrored())[0, :, :2] * [-1, 1]
    assert np.linalg.norm(one[:, None] - other, axis=-1).min(axis=1).max() < 1e-6


def test_what_the_coefficients_show() -> None:
    rest = doing(jawOpen=0)
    assert area(rest, "inside") == 0 < 30 < area(doing(jawOpen=1), "inside")
    assert area(doing(eyeBlinkLeft=1, eyeBlinkRight=1), "white_left") < 0.1 * area(rest, "white_left")
    assert area(doing(jawOpen=1, mouthClose=1), "inside") < 0.2 * area(doing(jawOpen=1), "inside")
    assert area(doing(tongueOut=1, jawOpen=0.5), "tongue") > 20 > area(rest, "tongue")
    eyes = {look: portrait(doing(**{f"eyeLook{look}Left": 1, f"eyeLook{other}Right": 1})) for look, other in (("In", "Out"), ("Out", "In"))}
    pupils = {look: np.argwhere(np.abs(image.astype(int) - (24, 26, 32)).max(-1) < 12)[:, 1].mean() for look, image in eyes.items()}
    assert pupils["In"] < pupils["Out"] - 3  # its left eye looks in: to its right, which is the left of the picture


def test_flame_shows_its_jaw_alone(caplog) -> None:
    values = np.zeros((2, 53))
    values[1] = 0.4
    with caplog.at_level(logging.WARNING, "hf_motion"):
        weights = drawn_weights(Face(values, "flame-53"))
    assert sorted(weights) == ["jawLeft", "jawOpen"]
    assert weights["jawOpen"].tolist() == pytest.approx([0, 1])
    assert "does not show 50 of 53 coefficients: expression_0" in caplog.text


def turning(frames: int = 9) -> Motion:
    joints = np.stack([turned(t_pose()[None], angle)[0] for angle in np.linspace(0, np.pi, frames)])
    return Motion(joints, face=Face(np.linspace(0, 1, frames)[:, None], ["jawOpen"]).select("arkit-52", fill=0.0))


def test_the_head_looks_where_the_body_does() -> None:
    middle, axes, radius = head_frames(turning(3))
    np.testing.assert_allclose(axes[:, 2, [0, 2]] @ [1, 1j], [1j, 1, -1j], atol=0.2)
    np.testing.assert_allclose(np.cross(axes[:, 1], axes[:, 2]), axes[:, 0], atol=1e-6)
    assert 0.07 < radius < 0.13
    assert (np.abs(middle - turning(3).joints[:, 15]).max(axis=-1) < 0.05).all()
    assert head_frames(Motion(np.zeros((2, 22, 3)), face=talking(2))) is not None


def test_the_head_turns_as_its_rotation_says() -> None:
    rotations = np.zeros((2, 22, 4))
    rotations[..., 0] = 1
    rotations[1, HUMANML3D_22.joint("head")] = rotations[1, HUMANML3D_22.joint("neck")] = [np.cos(np.pi / 8), 0, np.sin(np.pi / 8), 0]
    offsets = HUMANML3D_22.body_offsets.astype(np.float32)
    joints = place_joints(rotations, np.zeros((2, 3)), offsets, HUMANML3D_22)
    motion = Motion(joints, rotations=rotations, rest_offsets=offsets, face=talking(2))
    assert motion.rotations is not None
    np.testing.assert_allclose(head_frames(motion)[1][:, 2], [[0, 0, 1], [1, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(head_frames(motion)[1][:, 1], [[0, 1, 0], [0, 1, 0]], atol=1e-5)


def test_a_face_is_seen_from_the_front_only() -> None:
    motion = turning()
    seen = Scene(motion, (200, 200))._seen_faces(np.arange(len(motion)))
    assert set(seen) >= {0, 1, 2}
    assert not set(seen) & {7, 8}
    with_face, without = (np.empty((1, 200, 200, 3), np.uint8) for _ in range(2))
    Scene(motion, (200, 200)).paint(with_face, np.array([8]))
    Scene(replace(motion, face=None), (200, 200)).paint(without, np.array([8]))
    changed = np.argwhere((with_face != without).any(-1)[0])
    assert changed[:, 1].min() >= 130  # the portrait in the corner, and nothing on the back of the head
    assert changed[:, 0].max() <= 70


def test_sheets_and_players_have_the_face(tmp_path) -> None:
    motion = turning()
    save_contact_sheet(motion, tmp_path / "a.png")
    save_contact_sheet(replace(motion, face=None), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    save_player([motion, replace(motion, face=None)], tmp_path / "a.html")
    found = re.search(r'<script id="data"[^>]*>(.*?)</script>', (tmp_path / "a.html").read_text(encoding="utf-8"))[1]
    packed = [values["face"] for values in json.loads(found)["motions"]]
    assert packed[1] is None
    assert list(base64.b64decode(packed[0]["weights"])) == [round(255 * n / 8) for n in range(9)]
    assert len(base64.b64decode(packed[0]["axes"])) == 9 * 9 * 2
    moved, shifts = packed[0]["targets"][0]
    assert len(shifts) == 3 * len(moved) > 30


@pytest.mark.slow  # a real browser, whose start takes its time on a busy machine
@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_the_player_opens_the_mouth(tmp_path) -> None:
    save_player(turning(), tmp_path / "page.html")
    probe = """<script>
    addEventListener("error", e => { document.title = "error: " + e.message; });
    setTimeout(() => {
      const dark = [0, duration].map(at => {
        setPlaying(false); time = at; draw();
        const pixels = context.getImageData(0, 0, view.width, view.height).data;
        let count = 0;
        for (let p = 0; p < pixels.length; p += 4) count += pixels[p] === 84 && pixels[p + 1] === 26 && pixels[p + 2] === 34;
        return count;
      });
      document.title = JSON.stringify(dark);
    }, 300);</script></body>"""
    page = (tmp_path / "page.html").read_text(encoding="utf-8").replace("</body>", probe)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"]
    dump = subprocess.run([*command, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, check=True, timeout=60).stdout
    closed, opened = json.loads(html.unescape(re.search("<title>(.*?)</title>", dump)[1]))
    assert closed < 30 < opened - 100
