"""Reports of `hf-motion data check`: text, Markdown, JSON and a self-contained page with plots."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..skeletons import get_skeleton
from ..utils.files import atomic_path
from .check import KINDS, CheckReport, CheckSettings, Finding

_TEMPLATE = Path(__file__).parent / "check_report.html"
_SHOWN = 200
# Plotted measures: title, unit, factor, the limits that a value is reported beyond.
_PLOTS = {
    "frames": ("Length", "frames at 20 fps", 1, ("min_frames", "max_frames")),
    "speed": ("Fastest joint", "m/s", 1, ("speed",)),
    "lowest": ("Lowest joint above the floor", "cm", 100, ("below", "above")),
    "skating": ("Frames in which feet slide", "%", 100, ("skating",)),
    "toes": ("Frames in which a foot points backward", "%", 100, ("toes",)),
    "bones": ("Change of a bone's length", "%", 100, ("bones",)),
    "face_still": ("Longest time in which nothing in a face changes", "s", 1, ("face_still",)),
    "face_jump": ("Farthest that a face is off its course in one frame", "", 1, ("face_jump",)),
    "face_range": ("Coefficients of a face out of range", "%", 100, ("face_range",)),
    "finger_speed": ("Fastest finger against its palm", "m/s", 1, ("finger_speed",)),
    "backward": ("Frames in which a finger bends back", "%", 100, ("backward",)),
}


def save_report(report: CheckReport, path: str | os.PathLike, settings: CheckSettings | None = None) -> Path:
    """Write a report in the format that the suffix of `path` names: .html, .md or .json.

    Args:
        report (`CheckReport`): What was found.
        path (`str` or `os.PathLike`): The file; it appears whole or not at all.
        settings (`CheckSettings`, *optional*): Limits, to be drawn into the plots.

    Returns:
        `pathlib.Path`: The file.

    Raises:
        ValueError: If the suffix is another one.
    """
    path = Path(path)
    writers = {".html": _page, ".md": _markdown, ".json": _json}
    if path.suffix.lower() not in writers:
        raise ValueError(f"Cannot write a report as {path.suffix or path.name!r}. Use one of: {', '.join(writers)}.")
    content = writers[path.suffix.lower()](report, settings or CheckSettings())
    with atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path


def summary(report: CheckReport) -> str:
    """A few lines for the terminal."""
    splits = ", ".join(f"{name} {count}" for name, count in sorted(report.splits.items()))
    lines = [
        f"{report.source}: {report.clips} clips ({splits}), {report.seconds / 3600:.2f} h",
        f"{report.captions} captions, {report.unique_captions} different",
    ]
    width = max(map(len, KINDS))
    lines += [f"  {kind:{width}} {count:6d}  {KINDS[kind]}" for kind, count in report.counts.items()]
    return "\n".join(lines if report.findings else [*lines, "  nothing found"])


def _markdown(report: CheckReport, settings: CheckSettings) -> str:
    lines = [f"# Check of {report.source}", "", *summary(report).splitlines()[:2], "", "| finding | rows | meaning |", "|---|---|---|"]
    lines += [f"| {kind} | {count} | {KINDS[kind]} |" for kind, count in report.counts.items()]
    lines += ["", "| measure | least | median | 95 % | greatest |", "|---|---|---|---|---|"]
    for name, values in report.values.items():
        if values:
            numbers = np.percentile(values, [0, 50, 95, 100])
            lines.append(f"| {name} | {' | '.join(f'{number:.3g}' for number in numbers)} |")
    for kind in report.counts:
        found = [finding for finding in report.findings if finding.kind == kind]
        lines += ["", f"## {kind}", ""]
        lines += [f"- `{finding.id}`: {finding.detail}" for finding in found[:_SHOWN]]
        lines += [f"- and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "\n".join(lines) + "\n"


def _json(report: CheckReport, settings: CheckSettings) -> str:
    content = {
        "source": report.source, "clips": report.clips, "seconds": report.seconds, "splits": dict(report.splits),
        "captions": report.captions, "unique_captions": report.unique_captions, "counts": report.counts,
        "settings": asdict(settings), "findings": [asdict(finding) for finding in report.findings],
    }  # fmt: skip
    return json.dumps(content, indent=1) + "\n"


def _page(report: CheckReport, settings: CheckSettings) -> str:
    parts = {
        "title": html.escape(f"Check of {report.source}"),
        "summary": "<br>".join(html.escape(line) for line in summary(report).splitlines()[:2]),
        "counts": _counts(report),
        "plots": "".join(_plot(name, report.values.get(name, []), settings) for name in _PLOTS if report.values.get(name)),
        "worst": "".join(_worst(report, kind) for kind in KINDS if kind in report.worst),
        "captions": "".join(f"<tr><td>{html.escape(text)}</td><td class=n>{count}</td></tr>" for text, count in report.common_captions),
        "findings": "".join(_list(kind, [item for item in report.findings if item.kind == kind]) for kind in report.counts),
    }
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, content in parts.items():
        page = page.replace(f"<!-- {name} -->", content)
    return page


def _counts(report: CheckReport) -> str:
    if not report.counts:
        return "<tr><td colspan=4>nothing found</td></tr>"
    most = max(report.counts.values())
    rows = (
        f"<tr><td><a href='#{kind}'>{kind}</a></td><td class=n>{count}</td>"
        f"<td class=bar><i style='width:{100 * count / most:.1f}%'></i></td><td>{html.escape(KINDS[kind])}</td></tr>"
        for kind, count in report.counts.items()
    )
    return "".join(rows)


def _plot(name: str, values: list[float], settings: CheckSettings) -> str:
    """A histogram with a logarithmic count axis, so that a few bad clips among thousands can be seen."""
    title, unit, factor, limits = _PLOTS[name]
    numbers = np.asarray(values) * factor
    marks = [getattr(settings, limit) * factor * (-1 if limit == "below" else 1) for limit in limits]
    low, high = min(numbers.min(), *marks, 0.0), max(numbers.max(), *marks) * 1.02 + 1e-9
    counts, edges = np.histogram(numbers, bins=60, range=(low, high))
    heights = np.log1p(counts) / np.log1p(max(counts.max(), 1)) * 90
    x = (edges - low) / (high - low) * 300 + 5
    bars = "".join(
        f"<rect x='{left:.1f}' y='{100 - height:.1f}' width='{right - left - 0.6:.1f}' height='{height:.1f}'/>"
        for left, right, height in zip(x[:-1], x[1:], heights, strict=True)
        if height
    )
    places = [5 + 300 * (mark - low) / (high - low) for mark in marks]
    lines = "".join(f"<line x1='{place:.1f}' x2='{place:.1f}' y1='6' y2='100'/>" for place in places)
    axis = f"<text x='5' y='114'>{low:.3g}</text><text x='305' y='114' text-anchor='end'>{high:.3g} {unit}</text>"
    return f"<figure><svg viewBox='0 0 310 120'>{bars}{lines}{axis}</svg><figcaption>{title}</figcaption></figure>"


def _worst(report: CheckReport, kind: str) -> str:
    strips = "".join(
        f"<figure class=strip>{_strip(poses, report.skeleton)}<figcaption><b>{html.escape(finding.id)}</b> {html.escape(finding.detail)}"
        "</figcaption></figure>"
        for finding, poses in report.worst[kind]
    )
    return f"<h3>{kind}</h3>{strips}"


def _strip(poses: np.ndarray, skeleton_name: str) -> str:
    """Poses side by side over the floor line, left limbs in another colour than right ones, seen from ahead and a little from the side."""
    skeleton = get_skeleton(skeleton_name)
    first = poses[0]
    left = first[skeleton.joint("left_hip")] - first[skeleton.joint("right_hip")]
    angle = np.arctan2(left[2], left[0]) + 0.6
    across = np.cos(angle) * poses[..., 0] + np.sin(angle) * poses[..., 2]
    across = across - across[:, :1] + np.arange(len(poses))[:, None] * 1.3 + 0.65
    height = max(2.0, float(poses[..., 1].max()) + 0.1)
    bottom = min(-0.1, float(poses[..., 1].min()) - 0.05)
    sides = [name.partition("_")[0] for name in skeleton.joint_names]
    kinds = [side if side in ("left", "right") else "middle" for side in sides]
    points = np.stack((across, height - poses[..., 1]), axis=-1)
    lines = [
        f"<line class={kinds[child]} x1='{start[0]:.3f}' y1='{start[1]:.3f}' x2='{end[0]:.3f}' y2='{end[1]:.3f}'/>"
        for pose in points
        for parent, child in skeleton.bones
        for start, end in [(pose[parent], pose[child])]
    ]
    width = 1.3 * len(poses)
    floor = f"<line class=floor x1='0' x2='{width}' y1='{height}' y2='{height}'/>"
    return f"<svg viewBox='0 0 {width:.2f} {height - bottom:.2f}'>{floor}{''.join(lines)}</svg>"


def _list(kind: str, findings: Iterable[Finding]) -> str:
    findings = list(findings)
    rows = "".join(f"<tr><td>{html.escape(item.id)}</td><td>{html.escape(item.detail)}</td></tr>" for item in findings[:_SHOWN])
    more = f"<p>and {len(findings) - _SHOWN} more</p>" if len(findings) > _SHOWN else ""
    return f"<details id='{kind}'><summary>{kind}: {len(findings)}</summary><table>{rows}</table>{more}</details>"
