"""Timelines, loops and controls of a diffusion checkpoint: what the seams look like, what is hit, and what it costs.

    python tests/benchmarks/control.py seams [--count 50]
    python tests/benchmarks/control.py loops [--count 24]
    python tests/benchmarks/control.py judged [--count 48]
    python tests/benchmarks/control.py control --dataset PARQUET_OR_FOLDER [--count 400] [--output FOLDER] [--evaluator FOLDER]

`--model FOLDER` takes another checkpoint than the one inside the package, `--seed` other chance. Every table is made in one run, with the
uncontrolled or pasted motions beside it.

seams: two to four training captions in a row. Peak acceleration (mean of all joints) within a quarter of a second around a border, over the
peak inside the segments, and over the median of the peaks in stretches as long inside them.
loops: distance of the last pose from the first, and how much the mean speed of the joints, and their velocities as vectors, change over the
seam.
judged: pairs of training captions whose actions have a judge (wordings.yaml); each segment, cut out, and the same caption alone.
control: places taken from real clips of the test split, at 1, 2, 5, 49 or all frames: mean error, share of these frames off by more than
20 and 50 cm, skating ratio, FID on the motions of the row against the real clips, CPU seconds a motion. --count takes so many clips, all if
there are fewer; --output keeps what is measured, 64 clips at a time: a run that was cut short goes on, also with more clips, and
results.json holds the table. A folder belongs to one model, data set and seed.
"""

import argparse
import json
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from wordings import judge_of, load_actions

from hf_motion import Motion, MotionControl, load_embedded_pipeline
from hf_motion.metrics.skating import skating_ratio
from hf_motion.pipelines.control import compile_control
from hf_motion.pipelines.mdm import MDMPipeline

_BATCH, _CHUNK = 16, 64
_MEASURED = ("error", "off20", "off50", "skating", "seconds", "embeddings")
_COLUMNS = ("error, cm", "> 20 cm", "> 50 cm", "skating", "CPU seconds a motion", "FID")


def captions() -> list[dict]:
    """Actions with a training caption, those that begin and end on their feet."""
    lying = ("flip", "cartwheel", "sit", "stands up", "stand up", "dive", "roll")
    return [action for action in load_actions() if not any(word in action["training"] for word in lying)]


def draw_timelines(count: int, seed: int) -> list[list[tuple[str, float]]]:
    """Two to four captions each, of 3 to 4 seconds."""
    draw, actions = np.random.default_rng(seed), captions()
    texts = [action["training"] for action in actions]
    return [
        [(str(text), float(draw.uniform(3, 4))) for text in draw.choice(texts, draw.integers(2, 5), replace=False)] for _ in range(count)
    ]


def accelerations(motion: Motion) -> np.ndarray:
    """Mean over the joints, m/s^2, (frames - 2,)."""
    return np.linalg.norm(np.diff(motion.joints.astype(float), n=2, axis=0), axis=-1).mean(-1) * motion.fps**2


def seam_ratios(motion: Motion, borders: list[int]) -> list[tuple[float, float]]:
    """Peak around each border over the highest and over the median peak of stretches as long elsewhere."""
    peaks, half = accelerations(motion), round(motion.fps / 4)
    around = [peaks[max(border - half - 1, 0) : border + half].max() for border in borders]
    starts = range(0, len(peaks) - 2 * half, half)
    inside = [peaks[at : at + 2 * half].max() for at in starts if all(abs(at + half - border) > 2 * half for border in borders)]
    return [(peak / max(inside), peak / np.median(inside)) for peak in around]


def seams(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Borders of timelines beside those of clips that are played one after the other."""
    fps, made = pipe.feature_extractor.fps, {"timeline": [], "pasted": []}
    seconds = {"timeline": 0.0, "pasted": 0.0}
    for index, timeline in enumerate(draw_timelines(arguments.count, arguments.seed)):
        borders = np.round(np.cumsum([length for _, length in timeline])[:-1] * fps).astype(int).tolist()
        start = time.perf_counter()
        motion = pipe(timeline=timeline, seed=index).motions[0]
        middle = time.perf_counter()
        clips = pipe([text for text, _ in timeline], seconds=[length for _, length in timeline], seed=index).motions
        seconds["timeline"] += middle - start
        seconds["pasted"] += time.perf_counter() - middle
        made["timeline"] += seam_ratios(motion, borders)
        pasted = Motion.concatenate(clips)
        made["pasted"] += seam_ratios(pasted, np.cumsum([len(clip) for clip in clips])[:-1].tolist())
    print(f"{arguments.count} timelines, {len(made['timeline'])} borders, seed {arguments.seed}")
    print(
        "| made | over the peak inside, median (90 % below) | over the median inside (90 % below) | seconds a timeline |\n|---|---|---|---|"
    )
    for name, ratios in made.items():
        cells = [f"{np.median(one):.2f} ({np.percentile(one, 90):.2f})" for one in zip(*ratios, strict=True)]
        print(f"| {name} | {' | '.join(cells)} | {seconds[name] / arguments.count:.1f} |")


def loops(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Loops of single sentences of 2 to 6 seconds."""
    draw, rows = np.random.default_rng(arguments.seed), []
    for index, action in zip(range(arguments.count), cycle(captions()), strict=False):
        motion = pipe(action["training"], loop=True, seconds=float(draw.uniform(2, 6)), seed=index).motions[0]
        played = motion.joints[-1] - motion.joints[-1, 0] * [1, 0, 1]
        turn = heading(motion, -1) - heading(motion, 0)
        first = motion.turn(turn).joints
        pose = np.linalg.norm(played - (first[0] - first[0, 0] * [1, 0, 1]), axis=-1).max()
        steps = np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1).mean(-1)
        jump = abs(steps[0] - steps[-1]) / steps.mean()
        vector = np.linalg.norm(first[1] - first[0] - motion.joints[-1] + motion.joints[-2], axis=-1).mean() / steps.mean()
        rows.append((100 * pose, jump, vector, np.percentile(np.abs(np.diff(steps)), 90) / steps.mean()))
    pose, jump, vector, inside = np.array(rows).T
    print(f"{len(rows)} loops, seed {arguments.seed}: last pose off the first {pose.max():.2f} cm at most")
    for name, values in (("mean speed of the joints", jump), ("their velocities", vector)):
        print(f"{name}, changes over the seam by {np.median(values):.1%} in the median, {np.percentile(values, 90):.1%} 90 % below, "
              f"{values.max():.1%} at most")  # fmt: skip
    print(f"inside, the speed changes from one frame to the next by up to {np.median(inside):.1%}")


def heading(motion: Motion, frame: int) -> float:
    """Radians from +Z to where a frame faces."""
    from hf_motion.alignment import headings

    return float(headings(motion.joints[[frame]].astype(float), motion.skeleton)[0])


def judged(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Whether the segments of timelines show what they should."""
    draw, actions = np.random.default_rng(arguments.seed), captions()
    fps, right = pipe.feature_extractor.fps, {"segment": [], "alone": []}
    for index in range(arguments.count // 2):
        pair = [actions[at] for at in draw.choice(len(actions), 2, replace=False)]
        timeline = [(action["training"], float(action["seconds"])) for action in pair]
        motion = pipe(timeline=timeline, seed=index).motions[0]
        border = round(timeline[0][1] * fps)
        alone = pipe([text for text, _ in timeline], seconds=[length for _, length in timeline], seed=index).motions
        for action, segment, single in zip(pair, (motion[:border], motion[border:]), alone, strict=True):
            right["segment"].append(judge_of(action)(segment))
            right["alone"].append(judge_of(action)(single))
    for name, verdicts in right.items():
        print(f"{name}: {sum(verdicts)} of {len(verdicts)} judged right")


def controls_of(clips: list[Motion], joint: str, frames: int | None, seed: int) -> list[MotionControl]:
    """Places of a joint of real clips at so many frames, all if None; for the pelvis on the floor."""
    draw, controls = np.random.default_rng(seed), []
    for clip in clips:
        at = np.arange(len(clip)) if frames is None else np.sort(draw.choice(len(clip), min(frames, len(clip)), replace=False))
        places = clip.joints[at, clip.skeleton.joint(joint)].astype(float)
        points = [(frame / clip.fps, *place) for frame, place in zip(at.tolist(), places.tolist(), strict=True)]
        if joint == "pelvis":
            controls.append(MotionControl(waypoints=[(seconds, x, z) for seconds, x, _, z in points]))
        else:
            controls.append(MotionControl(joints={joint: points}))
    return controls


def control(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Controls of real clips of the test split."""
    from hf_motion.checkpoints import EMBEDDED_EVALUATOR
    from hf_motion.metrics.fid import frechet_distance
    from hf_motion.retrieval.embedder import MotionTextEmbedder

    clips, texts = recorded(pipe, arguments)
    embedder = MotionTextEmbedder.from_pretrained(arguments.evaluator or EMBEDDED_EVALUATOR)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        real = np.concatenate([embedder.embed_motions(embedder.encode(clips[at : at + _CHUNK])) for at in range(0, len(clips), _CHUNK)])
        print(f"{len(clips)} clips, seed {arguments.seed}\n\n| controlled | frames | {' | '.join(_COLUMNS)} |\n{'|---' * 8}|")
        table = []
        for joint, frames in [("none", None), *((joint, frames) for joint in arguments.joint for frames in (1, 2, 5, 49, None))]:
            name = "" if joint == "none" else "all" if frames is None else frames
            parts = [measured(pipe, embedder, folder / f"{joint}-{name}-{at:04d}.npz", clips[at : at + _CHUNK], texts[at : at + _CHUNK],
                              joint, frames, arguments.seed + at) for at in range(0, len(clips), _CHUNK)]  # fmt: skip
            *values, embeddings = (np.concatenate(one) for one in zip(*parts, strict=True))
            row = [*(float(one.mean()) for one in values), float(frechet_distance(real, embeddings))]
            table.append({"controlled": joint, "frames": name, **dict(zip(_COLUMNS, row, strict=True))})
            cells = ["", "", ""] if joint == "none" else [f"{row[0]:.1f}", f"{row[1]:.1%}", f"{row[2]:.1%}"]
            print(f"| {joint} | {name} | {' | '.join(cells)} | {row[3]:.3f} | {row[4]:.2f} | {row[5]:.2f} |", flush=True)
        (folder / "results.json").write_text(json.dumps({"clips": len(clips), "seed": arguments.seed, "rows": table}, indent=1))


def recorded(pipe: MDMPipeline, arguments: argparse.Namespace) -> tuple[list[Motion], list[str]]:
    """Clips of the test split with their first captions, by chance, but sorted by length within what is measured at once."""
    from hf_motion.canonical import face_forward, start_at_origin
    from hf_motion.data.motion_text import load_motion_rows, read_row

    extractor = pipe.feature_extractor
    rows = [row for row in load_motion_rows(arguments.dataset, "test") if 40 <= row["n_frames"] <= extractor.max_frames]
    order = np.random.default_rng(arguments.seed).permutation(len(rows)).tolist()[: arguments.count]
    order = [
        at for start in range(0, len(order), _CHUNK) for at in sorted(order[start : start + _CHUNK], key=lambda at: rows[at]["n_frames"])
    ]
    found = [read_row(rows[at], extractor.skeleton) for at in order]
    clips = [extractor.decode(features)[0] for features in extractor.encode([motion for motion, _ in found])]
    return [start_at_origin(face_forward(clip)) for clip in clips], [captions[0] for _, captions in found]


def measured(
    pipe: MDMPipeline,
    embedder: Any,
    path: Path,
    clips: list[Motion],
    texts: list[str],
    joint: str,
    frames: int | None,
    seed: int,
) -> list[np.ndarray]:
    """What `_MEASURED` names, of each motion; of an earlier run if there is one."""
    if path.is_file():
        with np.load(path) as kept:
            if len(kept["error"]) == len(clips):
                return [kept[name] for name in _MEASURED]
    controls = controls_of(clips, joint, frames, seed) if joint != "none" else None
    made, start = [], time.process_time()
    for at in range(0, len(texts), _BATCH):
        part = slice(at, at + _BATCH)
        generators = [torch.Generator().manual_seed(seed + index) for index in range(at, min(at + _BATCH, len(texts)))]
        options = {} if controls is None else {"control": controls[part]}
        made += pipe(texts[part], [len(clip) for clip in clips[part]], generator=generators, **options).motions
    values = {
        "seconds": np.full(len(made), (time.process_time() - start) / len(made)),
        "embeddings": embedder.embed_motions(embedder.encode(made)),
    }
    skeleton = pipe.feature_extractor.features.skeleton
    errors = [np.zeros(1)] * len(made) if controls is None else [
        compile_control(one, len(motion), motion.fps, skeleton).errors(motion.joints) for one, motion in zip(controls, made, strict=True)
    ]  # fmt: skip
    values["error"] = np.array([100 * error.mean() for error in errors])
    values |= {name: np.array([(error > limit).mean() for error in errors]) for name, limit in (("off20", 0.2), ("off50", 0.5))}
    values["skating"] = np.array([skating_ratio(motion.joints, fps=motion.fps) for motion in made])
    np.savez(path, **values)
    return [values[name] for name in _MEASURED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["seams", "loops", "judged", "control"])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dataset")
    parser.add_argument("--evaluator")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--joint", action="append", help="pelvis and right_wrist by default; repeatable")
    arguments = parser.parse_args()
    arguments.joint = arguments.joint or ["pelvis", "right_wrist"]
    pipe = load_embedded_pipeline() if arguments.model is None else MDMPipeline.from_pretrained(arguments.model)
    pipe.set_progress_bar_config(disable=True)
    {"seams": seams, "loops": loops, "judged": judged, "control": control}[arguments.table](pipe, arguments)


if __name__ == "__main__":
    main()
