"""The page of `hf-motion correct`: what it holds, and what its buttons do in a real browser."""

import json
import queue
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from correction_clips import raise_arm, standing
from test_rendering import chromium

from hf_motion import Motion
from hf_motion.alignment import align_motions, body_poses
from hf_motion.correction import correction
from hf_motion.deviation import Deviation, measure_deviation
from hf_motion.rendering.correction_report import correction_report_html, laid_over, save_correction_report

# Clicks through the page as a coach would, and sends what the player answers: where it is, and whether it repeats a span.
_PROBE = """<script>
const send = what => fetch("/heard", { method: "POST", body: JSON.stringify(what) });
addEventListener("error", e => send({ error: e.message }));
const heard = {}, element = id => document.getElementById(id);
let last = null;
addEventListener("message", e => { if (e.data && e.data.player) last = e.data; });
const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));
(async () => {
  await pause(600);
  heard.opened = last && { time: last.time, playing: last.playing };
  element("moment").click(); await pause(400);
  heard.moment = { ...last, pressed: element("moment").getAttribute("aria-pressed") };
  element("all").click(); await pause(300);
  heard.all = { ...last, pressed: element("moment").getAttribute("aria-pressed") };
  element("over").click();
  heard.over = element("over").getAttribute("aria-pressed");
  const before = element("map").clientHeight;
  element("joints").click(); await pause(200);
  heard.joints = element("map").clientHeight > before;
  const box = element("map").getBoundingClientRect();
  element("map").dispatchEvent(new MouseEvent("click", { clientX: box.left + LEFT + across() / 2, clientY: box.top + 60 }));
  await pause(300);
  heard.clicked = { time: last.time, playing: last.playing };
  send(heard);
})();
</script></body>"""


def heard_in_browser(page: str, folder: Path) -> dict:
    """What a page sends to `/heard`. Frames of an animation come in real time only, so the page is served to a browser that runs."""
    heard: queue.Queue = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode() if self.path == "/" else b"")

        def do_POST(self) -> None:
            heard.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}"]
        with subprocess.Popen([*command, f"http://127.0.0.1:{server.server_port}/"], stderr=subprocess.DEVNULL) as browser:
            try:
                return heard.get(timeout=90)
            finally:
                browser.terminate()
                server.shutdown()


def deviation_of(one: np.ndarray, two: np.ndarray) -> Deviation:
    return measure_deviation(align_motions(Motion(one), Motion(two)))


@pytest.fixture(scope="module")
def raised() -> Deviation:
    return deviation_of(raise_arm(standing(80), degrees=50), raise_arm(standing(80), degrees=120))


def data_of(page: str) -> dict:
    return json.loads(page.split('<script id="data" type="application/json">')[1].split("</script>")[0])


def test_what_to_do_is_the_headline_and_what_was_seen_stands_below(raised: Deviation) -> None:
    page = correction_report_html(raised, correction(raised), names=("mine", "<teacher>"))
    assert "<h1>Raise your left arm.</h1>" in page
    assert re.search(r'class="because">From [\d.]+ s to [\d.]+ s your left hand is \d+ cm too low', page)
    assert "<teacher>" not in page
    data = data_of(page)
    assert [row["name"] for row in data["rows"]] == ["head", "torso", "left arm", "right arm", "hips", "left leg", "right leg"]
    joints = {row["name"]: (row["part"], max(row["cm"])) for row in data["joints"]}
    assert len(joints) == 20
    assert joints["left wrist"][0] == "left arm"
    assert joints["left wrist"][1] > joints["left elbow"][1] > 10
    assert max(far for name, (_, far) in joints.items() if "left" not in name) < 3
    assert data["marked"] == ["left arm"]


def test_what_is_the_same_or_mirrored_says_so(raised: Deviation) -> None:
    same = deviation_of(standing(40), standing(40))
    page = correction_report_html(same, correction(same))
    assert "<h1>There is nothing to correct.</h1>" in page
    assert "Everywhere the two motions are closer than 10 cm." in page
    assert data_of(page)["silent"]
    motion = Motion(raise_arm(standing(60), "left", 110))
    mirrored = measure_deviation(align_motions(motion, motion.mirror()))
    page = correction_report_html(mirrored, correction(mirrored))
    assert "<h1>Use the other side of the body.</h1>" in page
    assert "mirror image" in page


def test_candidates_are_listed_nearest_first(raised: Deviation) -> None:
    said = ["wave", "raise your left arm", "lower your left arm", "raise your left arm"]
    result = correction(raised, said[1]) | {"candidates": said, "distances": [float("inf"), 0.02, 0.3, 0.02]}
    page = correction_report_html(raised, result, speaker="small")
    items = re.findall(r"<li[^>]*>(.*?)</li>", page)
    assert [re.sub("<.*?>", "", item) for item in items] == [
        "Raise your left arm. lands 2.0 cm from it", "Lower your left arm. lands 30.0 cm from it", "Wave. cannot be done",
    ]  # fmt: skip
    assert "<li class=chosen>Raise your left arm" in page
    assert "Said by small. Measured besides: From" in page
    assert "<ol>" not in correction_report_html(raised, correction(raised, said[1]))


def test_what_was_meant_is_laid_over_in_place(raised: Deviation) -> None:
    alignment = raised.alignment
    ghost = laid_over(alignment)
    np.testing.assert_allclose(ghost.joints[:, 0, [0, 2]], alignment.source.joints[:, 0, [0, 2]], atol=1e-5)
    np.testing.assert_allclose(body_poses(ghost), body_poses(alignment.warped), atol=1e-5)


@pytest.mark.slow  # a real browser, whose start takes its time on a busy machine
@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_the_buttons_in_a_browser(raised: Deviation, tmp_path: Path) -> None:
    result, path = correction(raised), tmp_path / "report.html"
    save_correction_report(raised, result, path)
    before, _, after = path.read_text(encoding="utf-8").rpartition("</body>")
    heard = heard_in_browser(before + _PROBE + after, tmp_path)
    assert "error" not in heard, heard
    start, end = result["seconds"]
    assert heard["opened"]["playing"] is False
    assert heard["opened"]["time"] == pytest.approx(result["peak"], abs=0.02)
    assert heard["moment"]["looping"]
    assert heard["moment"]["playing"]
    assert heard["moment"]["pressed"] == "true"
    assert start - 0.25 <= heard["moment"]["time"] <= end + 0.25
    assert not heard["all"]["looping"]
    assert heard["all"]["pressed"] == "false"
    assert heard["all"]["time"] < start
    assert (heard["over"], heard["joints"]) == ("true", True)
    assert heard["clicked"]["time"] == pytest.approx(79 / 20 / 2, abs=0.05)
    assert heard["clicked"]["playing"] is False
