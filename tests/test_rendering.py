"""Rendering: what is drawn, on which side, in which files, and what is refused."""

import base64
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_motion import Motion, Skeleton
from hf_motion.rendering import player_html, render_frames, save_contact_sheet, save_player, save_video
from hf_motion.rendering.figure import LEFT, RIGHT, bone_sides, build_figure, drawn_bones, facing, head_capsule, sides
from hf_motion.rendering.scene import Scene
from hf_motion.skeletons import HUMANML3D_22, KIT_21

av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")

_T_POSE = {
    "pelvis": (0, 0.95, 0), "hip": (0.1, 0.9, 0), "knee": (0.1, 0.5, 0), "ankle": (0.1, 0.1, 0), "foot": (0.1, 0.03, 0.12),
    "spine1": (0, 1.08, 0), "spine2": (0, 1.2, 0), "spine3": (0, 1.3, 0), "neck": (0, 1.5, 0), "head": (0, 1.6, 0.02),
    "collar": (0.08, 1.42, 0), "shoulder": (0.18, 1.42, 0), "elbow": (0.45, 1.42, 0), "wrist": (0.7, 1.42, 0),
}  # fmt: skip


def t_pose() -> np.ndarray:
    joints = []
    for name in HUMANML3D_22.joint_names:
        x, y, z = _T_POSE[name.split("_")[-1]]
        joints.append((-x if name.startswith("right_") else x, y, z))
    return np.array(joints, dtype=np.float32)


def turned(joints: np.ndarray, angle: float) -> np.ndarray:
    sin, cos = np.sin(angle), np.cos(angle)
    return joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=np.float32)


def walking(frames: int = 24, speed: float = 1.2, fps: float = 20, text: str | None = "a person walks") -> Motion:
    joints = np.repeat(t_pose()[None], frames, axis=0)
    joints[..., 2] += np.arange(frames)[:, None] * speed / fps
    joints[:, HUMANML3D_22.joint("left_wrist"), 1] += 0.1 * np.sin(np.arange(frames))
    return Motion(joints, fps=fps, text=text)


def coloured(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """x of the pixels whose hue is that of `colour`."""
    pixels, wanted = image.astype(float), np.array(colour, dtype=float)
    cosine = pixels @ wanted / (np.linalg.norm(pixels, axis=-1) * np.linalg.norm(wanted))
    return np.flatnonzero((cosine > 0.995).any(axis=0))


@pytest.mark.parametrize("angle", [0.0, np.pi / 2, np.pi, -2.0])
def test_left_and_right_limbs_have_their_colours_on_their_sides(angle):
    motion = Motion(turned(t_pose(), angle)[None])
    image = render_frames(motion, size=(200, 240))[0][:220]
    scene = Scene(motion, (200, 240))
    left, right = (scene.ends[0, HUMANML3D_22.joint(name) - 1, 0] for name in ("left_wrist", "right_wrist"))
    assert left > right + 60
    assert coloured(image, LEFT).max() == pytest.approx(left, abs=8)
    assert coloured(image, RIGHT).min() == pytest.approx(right, abs=8)
    assert coloured(image, LEFT).min() > coloured(image, RIGHT).min() + 40


def test_facing_follows_the_body():
    for angle in (0.0, 1.0, 3.0):
        forward = facing(Motion(turned(t_pose(), angle)[None]))[0]
        assert np.allclose(forward, [np.sin(angle), np.cos(angle)], atol=1e-5)


def test_sides_of_other_skeletons():
    assert sides(KIT_21).sum() == 0
    assert head_capsule(KIT_21, 1.0)[0] == KIT_21.joint("upper_neck")
    assert head_capsule(HUMANML3D_22, 1.0)[:2] == (15, 12)
    names = ("root", "lowerback", "lfemur", "ltibia", "rfemur", "rtibia")
    skeleton = Skeleton("cmu", names, (-1, 0, 0, 2, 0, 4))
    assert sides(skeleton).tolist() == [0, 0, 1, 1, -1, -1]
    assert bone_sides(skeleton).tolist() == [0, 0, 1, 0, -1]
    assert sides(Skeleton("mixamo", ("Hips", "mixamorig:LeftLeg", "mixamorig:RightLeg"), (-1, 0, 0))).tolist() == [0, 1, -1]


def test_frames_of_several_motions_hold_the_last_pose():
    frames = render_frames([walking(6), walking(10, text=None)], size=(96, 128))
    assert frames.shape == (10, 128, 192, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames[5, :, :96], frames[9, :, :96])
    assert not np.array_equal(frames[5, :, 96:], frames[9, :, 96:])
    alone = render_frames(walking(10, text=None), size=(96, 128))
    assert np.array_equal(frames[:, :, 96:], alone)
    assert np.array_equal(alone, render_frames(walking(10, text=None), size=(96, 128)))


def test_five_motions_fill_two_rows():
    frames = render_frames([walking(2)] * 5, size=(64, 80))
    assert frames.shape == (2, 160, 256, 3)
    assert (frames[:, 80:, 64:] == 255).all()


def test_a_long_walk_stays_in_view():
    motion = walking(200)
    scene = Scene(motion, (160, 160))
    assert scene.moves
    assert (scene.ends > 0).all()
    assert (scene.ends < 160).all()
    assert np.ptp(scene.ends[100, :, 1]) > 80
    assert not Scene(walking(4), (160, 160)).moves


@pytest.mark.parametrize(
    "motion",
    [
        Motion(np.zeros((3, 22, 3))),
        Motion(t_pose()[None] + np.float32([1e4, 300, -1e4])),
        Motion(np.linspace(-40, 40, 2 * 21 * 3).reshape(2, 21, 3), skeleton=KIT_21, fps=12.5),
        Motion(np.ones((2, 1, 3)), skeleton=Skeleton("point", ("a",), (-1,))),
    ],
    ids=["zeros", "far", "huge", "point"],
)
def test_odd_motions_are_drawn(motion, tmp_path):
    frames = render_frames(motion, size=(64, 64))
    assert len(frames) == len(motion)
    save_contact_sheet(motion, tmp_path / "sheet.png", columns=2, size=(64, 80))
    assert "iframe" in player_html(motion)


def test_mp4_decodes_with_its_frames_and_rate(tmp_path):
    save_video([walking(30), walking(20)], tmp_path / "new" / "walk.mp4", size=(96, 112))
    with av.open(str(tmp_path / "new" / "walk.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 20
        assert stream.codec_context.pix_fmt == "yuv420p"
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.shape(decoded) == (30, 112, 192, 3)
    drawn = render_frames([walking(30), walking(20)], size=(96, 112))
    assert np.abs(np.stack(decoded).astype(int) - drawn).mean() < 6


def test_mp4_at_another_rate(tmp_path):
    walking(21).save(tmp_path / "walk.mp4", fps=12.5, size=(64, 64))
    with av.open(str(tmp_path / "walk.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == 12.5
        assert sum(1 for _ in container.decode(video=0)) == 13


def test_gif_frames_and_durations(tmp_path):
    save_video(walking(12, fps=30), tmp_path / "walk.gif", size=(65, 81))
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.size == (65, 81)
        assert gif.n_frames == 12
        durations = []
        for frame in range(12):
            gif.seek(frame)
            durations.append(gif.info["duration"])
    assert sum(durations) == 400


def test_contact_sheet_sizes(tmp_path):
    save_contact_sheet(walking(24), tmp_path / "one.png", columns=4, size=(80, 100))
    save_contact_sheet(walking(160), tmp_path / "long.png", columns=4, size=(80, 100))
    save_contact_sheet([walking(24), walking(2)], tmp_path / "two.png", columns=4, size=(80, 100))
    one, long, two = (Image.open(tmp_path / f"{name}.png").size for name in ("one", "long", "two"))
    assert one[0] == long[0] == two[0] == 2 * 16 + 5 * 84 - 4
    assert long[1] == one[1] + 104
    assert two[1] == 2 * one[1] - 16


def test_contact_sheet_map_bends_to_the_side_of_the_turn(tmp_path):
    def column_of_end(turn: float) -> float:
        angles = np.linspace(0, turn, 30)
        steps = np.stack([np.sin(angles), np.zeros(30), np.cos(angles)], axis=-1) * 0.06
        joints = np.stack([turned(t_pose(), angle) for angle in angles]) + np.cumsum(steps, axis=0)[:, None]
        save_contact_sheet(Motion(joints), tmp_path / "turn.png", columns=1, size=(150, 150))
        picture = np.asarray(Image.open(tmp_path / "turn.png"))[:, 16 + 154 :][40:170].astype(int)
        black, green = (picture.max(axis=-1) < 70), (picture[..., 1] > picture[..., 0] + 50)
        return np.flatnonzero(black.any(axis=0)).mean() - np.flatnonzero(green.any(axis=0)).mean()

    assert column_of_end(np.pi / 2) < -20
    assert column_of_end(-np.pi / 2) > 20


def player_data(document: str) -> dict:
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', document, re.DOTALL)[1])


def test_player_holds_all_motions_and_fetches_nothing(tmp_path):
    motions = [walking(7, text="first"), walking(9, text=None)]
    page = player_html(motions, height=300)
    document = html.unescape(re.search(r'srcdoc="([^"]*)"', page)[1])
    save_player(motions, tmp_path / "walk.html")
    assert (tmp_path / "walk.html").read_text(encoding="utf-8") == document
    assert "http" not in document
    assert "src=" not in document
    assert "height:300px" in page
    packed = player_data(document)["motions"]
    assert [motion["text"] for motion in packed] == ["first", ""]
    for motion, values in zip(motions, packed, strict=True):
        whole = np.frombuffer(base64.b64decode(values["joints"]), dtype="<i2").reshape(motion.joints.shape)
        assert np.allclose(whole * values["step"] + values["origin"], motion.joints, atol=0.001)


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow  # a real browser, whose start takes its time on a busy machine
@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_player_draws_every_motion_in_a_browser(tmp_path):
    """Opened from a file, without a network: the page says itself, in its title, what it drew and how the wheel behaves."""
    motions = [walking(7, text="first"), walking(9, text="second"), walking(9, text="third")]
    save_player(motions, tmp_path / "page.html")
    probe = """<script>
    addEventListener("error", e => { document.title = "error: " + e.message; });
    setTimeout(() => {
      const turn = new WheelEvent("wheel", { deltaY: -100, cancelable: true });
      view.dispatchEvent(turn);
      const shown = data.motions.map((m, i) => {
        const box = boxOf(i, stage.clientWidth, stage.clientHeight), k = window.devicePixelRatio || 1;
        const pixels = context.getImageData(box.x * k, box.y * k, box.width * k, box.height * k).data;
        let blue = 0;
        for (let p = 0; p < pixels.length; p += 4) blue += pixels[p + 3] > 200 && pixels[p + 2] > pixels[p] + 80;
        return blue > 20;
      });
      const captions = [...document.querySelectorAll(".caption")].map(c => c.textContent).join();
      document.title = JSON.stringify({ shown, captions, alone: turn.defaultPrevented, zoom: zoom > 1 });
    }, 300);</script></body>"""
    page = (tmp_path / "page.html").read_text(encoding="utf-8").replace("</body>", probe)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"]
    dump = subprocess.run([*command, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, check=True, timeout=60).stdout
    title = html.unescape(re.search("<title>(.*?)</title>", dump)[1])
    assert json.loads(title) == {"shown": [True] * 3, "captions": "first,second,third", "alone": True, "zoom": True}


@pytest.mark.slow  # a real browser, whose start takes its time on a busy machine
@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_player_in_a_notebook_leaves_the_wheel_to_the_page_until_clicked(tmp_path):
    probe = """<script>
      const wheel = options => {
        const e = new WheelEvent("wheel", { deltaY: -100, cancelable: true, ...options });
        view.dispatchEvent(e);
        return e.defaultPrevented;
      };
      const found = [wheel({}), wheel({ ctrlKey: true })];
      view.dispatchEvent(new PointerEvent("pointerdown", { pointerId: 1 }));
      found.push(wheel({}));
      view.dispatchEvent(new PointerEvent("pointerleave"));
      found.push(wheel({}));
      parent.postMessage(found.join(), "*");
    </script></body>"""
    cell = player_html(walking(7)).replace(html.escape("</body>"), html.escape(probe))
    listen = '<script>addEventListener("message", e => { document.title = e.data; });</script>'
    (tmp_path / "notebook.html").write_text(f"<html><title>none</title><body>{listen}{cell}</body></html>", encoding="utf-8")
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"]
    dump = subprocess.run([*command, (tmp_path / "notebook.html").as_uri()], capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search("<title>(.*?)</title>", dump)[1] == "false,true,true,false"


def test_player_escapes_texts(tmp_path):
    text = "</script><script>alert(1)</script> \"quoted\" & {{data}} 'x'"
    save_player(walking(3, text=text), tmp_path / "walk.html")
    document = (tmp_path / "walk.html").read_text(encoding="utf-8")
    assert "<script>alert" not in document
    assert "&lt;script&gt;alert(1)" in document
    assert document.count("<script") == 2
    assert player_data(document)["motions"][0]["text"] == text
    assert player_html(walking(3, text=text)).count("<") == 2
    assert "srcdoc" in walking(3)._repr_html_()


@pytest.mark.parametrize("name", ["walk.mp4", "walk.gif", "walk.png"])
def test_a_failing_write_leaves_no_file(name, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("PIL.Image.Image.save", fail)
    if name.endswith("mp4"):
        monkeypatch.setattr("hf_motion.rendering.video.Film.paint", fail)
    with pytest.raises(OSError, match="disk full"):
        walking(3).save(tmp_path / name, size=(64, 64))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [save_video, save_contact_sheet, save_player])
def test_an_empty_list_is_refused(write, tmp_path):
    with pytest.raises(ValueError, match="list is empty"):
        write([], tmp_path / "walk.mp4")
    with pytest.raises(TypeError, match="ndarray"):
        write([np.zeros((3, 22, 3))], tmp_path / "walk.mp4")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: save_video(walking(2), path / "a.mp4", size=(97, 64)), r"\(97, 64\).*\(98, 64\)"),
        (lambda path: save_video(walking(2), path / "a.avi"), r"\.avi.*\.mp4 or \.gif"),
        (lambda path: save_video(walking(2), path / "a.mp4", fps=0), "fps must be a positive"),
        (lambda path: render_frames(walking(2), size=(10, 64)), r"from 64 to 4096, got \(10, 64\)"),
        (lambda path: render_frames(walking(2), size=480), "got 480"),
        (lambda path: save_contact_sheet(walking(2), path / "a.png", columns=0), "columns .* got 0"),
        (lambda path: save_contact_sheet(walking(2), path / "a.jpg"), r"\.png, not as .\.jpg"),
        (lambda path: player_html(walking(2), height=5), "height .* got 5"),
    ],
)
def test_bad_arguments_name_the_value_and_the_way_out(call, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("missing", "name"), [("av", "walk.mp4"), ("PIL", "walk.gif"), ("PIL", "walk.png")])
def test_missing_packages_are_named_with_the_extra(missing, name, tmp_path, monkeypatch):
    for module in (missing, *(name for name in sys.modules if name.startswith(f"{missing}."))):
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    with pytest.raises(ImportError, match=re.escape("pip install 'hf-motion[render]'")):
        walking(2).save(tmp_path / name)


def test_importing_rendering_imports_neither_pillow_nor_av():
    code = (
        "import sys, numpy; from hf_motion import Motion; from hf_motion.rendering import save_video, player_html; "
        "player_html(Motion(numpy.zeros((2, 22, 3)))); print({'PIL', 'av'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_a_root_that_only_carries_the_body_is_not_drawn(tmp_path):
    motion = Motion.load(Path(__file__).parent / "fixtures" / "bandai_wave.bvh")
    assert motion.skeleton.joint_names[0] == "joint_Root"
    assert not (build_figure(motion).starts == motion.joints[:, :1]).all(-1).any()
    assert len(drawn_bones(motion.skeleton)) == len(motion.skeleton.bones) - 1
    assert len(drawn_bones(HUMANML3D_22)) == 21
