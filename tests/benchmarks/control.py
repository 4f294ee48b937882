"""Timelines, loops and controls of a diffusion checkpoint: what the seams look like, what is hit, and what it costs.

    python tests/benchmarks/control.py seams [--count 50]
    python tests/benchmarks/control.py loops [--count 60]
    python tests/benchmarks/control.py judged [--count 48]
    python tests/benchmarks/control.py lengths
    python tests/benchmarks/control.py control --dataset PARQUET_OR_FOLDER [--count 400] [--output FOLDER] [--evaluator FOLDER]
    python tests/benchmarks/control.py pictures

`--model FOLDER` takes another checkpoint than the one inside the package, `--seed` other chance. Every table is made in one run, with the
uncontrolled or pasted motions beside it. `--output FOLDER` keeps what is measured, piece by piece: the same command goes on where a run was
cut short. A folder belongs to one model and data set.

seams: two to four training captions in a row. Peak acceleration (mean of all joints) within a quarter of a second around a border, over the
peak inside the segments, and over the median of the peaks in stretches as long inside them.
loops: captions with three seeds each: distance of the last pose from the first, and how much the mean speed of the joints, and their
velocities as vectors, change over the seam; judges, skating and accelerations beside the same captions and seeds unlooped.
judged: pairs of training captions whose actions have a judge (wordings.yaml); each segment, cut out, and the same caption alone.
lengths: peak memory of timelines of 8, 60 and 180 seconds, and how long the first frame of a stream takes.
control: places taken from real clips of the test split, at 1, 2, 5, 49 or all frames: mean error, share of these frames off by more than
20 and 50 cm, skating ratio, FID on the motions of the row against the real clips, CPU seconds a motion. --count takes so many clips, all if
there are fewer. --joint none makes the uncontrolled motions alone. --output also gets the table as results.json, and belongs to one seed.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm, trange
from wordings import judge_of, load_actions

from hf_motion import Motion, MotionControl, load_embedded_pipeline
from hf_motion.alignment import headings
from hf_motion.cleanup import foot_slide
from hf_motion.metrics.skating import skating_ratio
from hf_motion.pipelines.control import compile_control
from hf_motion.pipelines.loops import SEAM_CHANGE, seam_change
from hf_motion.pipelines.mdm import MDMPipeline
from hf_motion.utils.files import atomic_path, write_json

_BATCH, _SEEDS = 16, 3
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


def remembered(arguments: argparse.Namespace, name: str, make: Callable[[], Any]) -> Any:
    """What `make` gives, or gave in an earlier run with the same --output."""
    path = arguments.output / f"{arguments.table}-{arguments.seed}-{name}.json" if arguments.output else None
    if path is not None and path.is_file():
        return json.loads(path.read_text())["value"]
    value = make()
    if path is not None:
        write_json(path, {"value": value})
    return value


def seams(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Borders of timelines beside those of clips that are played one after the other."""
    fps, timelines = pipe.feature_extractor.fps, draw_timelines(arguments.count, arguments.seed)

    def make(index: int) -> dict[str, Any]:
        timeline = timelines[index]
        borders = np.round(np.cumsum([length for _, length in timeline])[:-1] * fps).astype(int).tolist()
        start = time.perf_counter()
        motion = pipe(timeline=timeline, seed=index).motions[0]
        middle = time.perf_counter()
        clips = pipe([text for text, _ in timeline], seconds=[length for _, length in timeline], seed=index).motions
        seconds = middle - start, time.perf_counter() - middle
        pasted = seam_ratios(Motion.concatenate(clips), np.cumsum([len(clip) for clip in clips])[:-1].tolist())
        return {"timeline": (seam_ratios(motion, borders), seconds[0]), "pasted": (pasted, seconds[1])}

    found = [remembered(arguments, f"{index:03d}", partial(make, index)) for index in trange(len(timelines), leave=False, disable=None)]
    made = {name: [ratio for one in found for ratio in one[name][0]] for name in ("timeline", "pasted")}
    print(f"{arguments.count} timelines, {len(made['timeline'])} borders, seed {arguments.seed}")
    print(
        "| made | over the peak inside, median (90 % below) | over the median inside (90 % below) | seconds a timeline |\n|---|---|---|---|"
    )
    for name, ratios in made.items():
        cells = [f"{np.median(one):.2f} ({np.percentile(one, 90):.2f})" for one in zip(*ratios, strict=True)]
        print(f"| {name} | {' | '.join(cells)} | {np.mean([one[name][1] for one in found]):.1f} |")


def loops(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Loops of single sentences beside the same sentences and seeds unlooped."""
    actions = captions()
    draw = np.random.default_rng(arguments.seed).permutation(len(actions))[: -(-arguments.count // _SEEDS)]
    wanted = sorted((float(actions[at]["seconds"]), int(at), seed) for at in draw for seed in range(_SEEDS))[: arguments.count]

    def make(start: int, looped: bool) -> list[list[float]]:
        part = wanted[start : start + _BATCH]
        texts, seconds = [actions[at]["training"] for _, at, _ in part], [length for length, _, _ in part]
        generators = [torch.Generator().manual_seed(1000 * at + seed) for _, at, seed in part]
        motions = pipe(texts, seconds=seconds, generator=generators, loop=looped).motions
        rows = []
        for (_, at, _), motion in zip(part, motions, strict=True):
            seam = [pose_error(motion), speed_change(motion), seam_change(motion)] if looped else [0.0] * 3
            harm = [skates(motion), foot_slide(motion), *np.percentile(accelerations(motion), (50, 95)).tolist()]
            rows.append([*seam, float(judge_of(actions[at])(motion)), *harm])
        return rows

    made: dict[str, Any] = {"looped": [], "unlooped": []}
    for start in range(0, len(wanted), _BATCH):
        for name, rows in made.items():
            rows += remembered(arguments, f"{name}-{start:03d}-of-{len(wanted)}", partial(make, start, name == "looped"))
    made = {name: np.array(rows) for name, rows in made.items()}
    poses, speeds, changes = made["looped"][:, :3].T
    print(f"{len(wanted)} loops, seed {arguments.seed}: last pose off the first {poses.max():.2f} cm at most")
    for name, values in (("mean speed of the joints", speeds), ("velocities of the joints", changes)):
        print(f"{name} over the seam: {np.median(values):.1%} in the median, {np.percentile(values, 90):.1%} 90 % below, "
              f"{values.max():.1%} at most, {(values > SEAM_CHANGE).sum()} over {SEAM_CHANGE:.0%}")  # fmt: skip
    print("\n| made | judged right | skating | slide of feet, cm/s | acceleration, m/s^2: median | 95 % below |\n|---|---|---|---|---|---|")
    for name, rows in made.items():
        skating, slide, middle, high = rows[:, 4:].mean(0)
        print(f"| {name} | {rows[:, 3].sum():.0f} of {len(rows)} | {skating:.3f} | {100 * slide:.1f} | {middle:.2f} | {high:.2f} |")


def pose_error(loop: Motion) -> float:
    """Centimetres by which a joint of the last pose misses the first pose, where travel and heading go on."""
    angles = headings(loop.joints[[0, -1]].astype(float), loop.skeleton)
    first = loop[:1].turn(float(angles[1] - angles[0])).joints[0]
    return 100 * float(np.linalg.norm(loop.joints[-1] - first - (loop.joints[-1, 0] - first[0]) * [1, 0, 1], axis=-1).max())


def speed_change(loop: Motion) -> float:
    """How much the mean speed of the joints changes over the seam, of that of the whole loop."""
    speeds = np.linalg.norm(np.diff(loop.joints.astype(float), axis=0), axis=-1).mean(-1)
    return float(abs(speeds[0] - speeds[-1]) / speeds.mean())


def skates(motion: Motion) -> float:
    """The skating ratio."""
    return float(skating_ratio(motion.joints, fps=motion.fps))


def judged(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Whether the segments of timelines show what they should."""
    draw, actions = np.random.default_rng(arguments.seed), captions()
    pairs = [[actions[at] for at in draw.choice(len(actions), 2, replace=False)] for _ in range(arguments.count // 2)]

    def make(index: int) -> dict[str, list[bool]]:
        pair = pairs[index]
        timeline = [(action["training"], float(action["seconds"])) for action in pair]
        motion = pipe(timeline=timeline, seed=index).motions[0]
        border = round(timeline[0][1] * pipe.feature_extractor.fps)
        alone = pipe([text for text, _ in timeline], seconds=[length for _, length in timeline], seed=index).motions
        made = {"segment": (motion[:border], motion[border:]), "alone": alone}
        return {name: [bool(judge_of(action)(one)) for action, one in zip(pair, motions, strict=True)] for name, motions in made.items()}

    found = [remembered(arguments, f"{index:03d}", partial(make, index)) for index in trange(len(pairs), leave=False, disable=None)]
    for name in ("segment", "alone"):
        verdicts = [verdict for one in found for verdict in one[name]]
        print(f"{name}: {sum(verdicts)} of {len(verdicts)} judged right")


def lengths(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """Peak memory of timelines of any length, each made in a process of its own, and the first frame of a stream."""
    if arguments.seconds is not None:
        timeline = [(action["training"], 4.0) for action, _ in zip(cycle(captions()), range(round(arguments.seconds / 4)), strict=False)]
        start = time.perf_counter()
        made = pipe(timeline=timeline, seed=arguments.seed).motions[0]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {len(made) / made.fps:g} | {peak:.0f} | {time.perf_counter() - start:.1f} |")
        return
    print("| timeline, s | peak memory of the process, MB | made in, s |\n|---|---|---|", flush=True)
    for seconds in (8, 60, 180):
        subprocess.run([sys.executable, *sys.argv, "--seconds", str(seconds)], check=True)
    waits = []
    for seed in range(6):
        start, spent = time.perf_counter(), time.process_time()
        next(pipe.stream([("a person walks forward", 3.0), ("a person waves the right hand", 3.0)], seed=seed))
        waits.append((time.perf_counter() - start, time.process_time() - spent))
    (first, _), *others = waits
    wait, spent = np.median(others, axis=0)
    print(f"first frame of a stream after {first:.2f} s, of later ones after {wait:.2f} s, which take {spent:.2f} s of CPUs")


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
    parts = [slice(at, min(at + _BATCH, len(clips))) for at in range(0, len(clips), _BATCH)]
    rows = [("none", None), *((joint, frames) for joint in arguments.joint if joint != "none" for frames in (1, 2, 5, 49, None))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        real = np.concatenate([embedder.embed_motions(embedder.encode(clips[part])) for part in parts])
        print(f"{len(clips)} clips, seed {arguments.seed}\n\n| controlled | frames | {' | '.join(_COLUMNS)} |\n{'|---' * 8}|")
        table = []
        for joint, frames in rows:
            name = "" if joint == "none" else "all" if frames is None else frames
            found = []
            for part in tqdm(parts, desc=f"{joint} {name}", leave=False, disable=None):
                path = folder / f"{joint}-{name}-{part.start:04d}-of-{len(clips)}.npz"
                found.append(measured(pipe, embedder, path, clips[part], texts[part], joint, frames, arguments.seed + part.start))
            *values, embeddings = (np.concatenate(one) for one in zip(*found, strict=True))
            row = [*(float(one.mean()) for one in values), float(frechet_distance(real, embeddings))]
            table.append({"controlled": joint, "frames": name, **dict(zip(_COLUMNS, row, strict=True))})
            cells = ["", "", ""] if joint == "none" else [f"{row[0]:.1f}", f"{row[1]:.1%}", f"{row[2]:.1%}"]
            print(f"| {joint} | {name} | {' | '.join(cells)} | {row[3]:.3f} | {row[4]:.2f} | {row[5]:.2f} |", flush=True)
        (folder / "results.json").write_text(json.dumps({"clips": len(clips), "seed": arguments.seed, "rows": table}, indent=1))


def recorded(pipe: MDMPipeline, arguments: argparse.Namespace) -> tuple[list[Motion], list[str]]:
    """Clips of the test split with their first captions, chosen by chance and sorted by length, so that batches hold little padding."""
    from hf_motion.canonical import face_forward, start_at_origin
    from hf_motion.data.motion_text import load_motion_rows, read_row

    extractor = pipe.feature_extractor
    rows = [row for row in load_motion_rows(arguments.dataset, "test") if 40 <= row["n_frames"] <= extractor.max_frames]
    chosen = np.random.default_rng(arguments.seed).permutation(len(rows)).tolist()[: arguments.count]
    found = [read_row(rows[at], extractor.skeleton) for at in sorted(chosen, key=lambda at: (rows[at]["n_frames"], at))]
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
    """What `_MEASURED` names, of each motion of one batch; of an earlier run if there is one."""
    if path.is_file():
        with np.load(path) as kept:
            return [kept[name] for name in _MEASURED]
    controls = controls_of(clips, joint, frames, seed) if joint != "none" else None
    generators = [torch.Generator().manual_seed(seed + index) for index in range(len(clips))]
    options = {} if controls is None else {"control": controls}
    start = time.process_time()
    made = pipe(texts, [len(clip) for clip in clips], generator=generators, **options).motions
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
    values["skating"] = np.array([skates(motion) for motion in made])
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **values)
    return [values[name] for name in _MEASURED]


def pictures(pipe: MDMPipeline, arguments: argparse.Namespace) -> None:
    """What the pages about timelines, loops and controls show."""
    timeline = [("a person walks forward", 3.0), ("a person waves the right hand", 3.0), ("a person runs forward", 3.0)]
    control = MotionControl(path=[(0, 0), (0, 2), (2, 4)], joints={"right_wrist": [(4.3, 1.6, 1.85, 3.9)]})
    asked = {
        "timeline": {"timeline": timeline, "seed": 0},
        "loop": {"prompt": "a person walks forward", "loop": True, "seconds": 2, "seed": 1},
        "control": {"prompt": "a person walks forward", "seconds": 5, "control": control, "seed": 0},
    }
    for name, options in asked.items():
        print(pipe(**options).motions[0].save((arguments.output or Path("hf_motion/pipelines/pictures")) / f"{name}.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["seams", "loops", "judged", "lengths", "control", "pictures"])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dataset")
    parser.add_argument("--evaluator")
    parser.add_argument("--seconds", type=float, help="lengths: of one timeline alone")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--joint", action="append", help="pelvis and right_wrist by default, or none; repeatable")
    arguments = parser.parse_args()
    arguments.joint = arguments.joint or ["pelvis", "right_wrist"]
    pipe = load_embedded_pipeline() if arguments.model is None else MDMPipeline.from_pretrained(arguments.model)
    pipe.set_progress_bar_config(disable=True)
    tables = (seams, loops, judged, lengths, control, pictures)
    next(table for table in tables if table.__name__ == arguments.table)(pipe, arguments)


if __name__ == "__main__":
    main()
