"""Draws what a checkpoint makes of fixed prompts, and measures what can be measured: the named hand, the turn, speed and direction.

    python tests/benchmarks/prompts.py [--model FOLDER] [--seeds 4] [--output outputs/prompts]

Sheets are for the eye. The table counts, over seeds, motions whose joints say what the prompt says.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hf_motion import Motion, load_embedded_pipeline
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.rendering import save_contact_sheet

FPS = 20


def wrist_lift(motion: Motion, side: str) -> float:
    """Highest point of a wrist above its shoulder, metres."""
    joint, shoulder = (motion.skeleton.joint(f"{side}_{part}") for part in ("wrist", "shoulder"))
    return float((motion.joints[:, joint, 1] - motion.joints[:, shoulder, 1]).max())


def raised(motion: Motion) -> set[str]:
    """Sides whose wrist comes higher than 10 cm below the shoulder."""
    return {side for side in ("left", "right") if wrist_lift(motion, side) > -0.1}


def path(motion: Motion) -> np.ndarray:
    """The root seen from above, (frames, 2): to the left, forward."""
    return motion.joints[:, 0, [0, 2]]


def speed(motion: Motion) -> float:
    """Metres per second along the path."""
    return float(np.linalg.norm(np.diff(path(motion)[:: FPS // 4], axis=0), axis=-1).sum() / motion.duration)


def turn(motion: Motion) -> float:
    """Change of heading in degrees, left positive."""
    names = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
    left_hip, right_hip, left_shoulder, right_shoulder = (motion.joints[:, motion.skeleton.joint(name)] for name in names)
    across = left_hip - right_hip + left_shoulder - right_shoulder
    return float(np.degrees(np.unwrap(np.arctan2(across[:, 2], across[:, 0]))[[0, -1]] @ [1, -1]))


def forward(motion: Motion) -> float:
    """Metres travelled the way the body faces (negative: backward)."""
    left_hip, right_hip = (motion.joints[:-1, motion.skeleton.joint(f"{side}_hip")] for side in ("left", "right"))
    across = (left_hip - right_hip)[:, [0, 2]]
    facing = np.stack((-across[:, 1], across[:, 0]), axis=-1) / np.linalg.norm(across, axis=-1, keepdims=True).clip(1e-6)
    return float((np.diff(path(motion), axis=0) * facing).sum())


def airborne(motion: Motion) -> float:
    """How high the lower foot gets, metres."""
    feet = [motion.skeleton.joint(f"{side}_foot") for side in ("left", "right")]
    height = motion.joints[:, feet, 1].min(axis=1)
    return float(height.max() - height.min())


def upside_down(motion: Motion) -> bool:
    head, pelvis = motion.skeleton.joint("head"), 0
    return bool((motion.joints[:, head, 1] < motion.joints[:, pelvis, 1] - 0.1).any())


def kick(motion: Motion) -> float:
    """How high an ankle gets above the pelvis, metres; negative below it."""
    ankles = [motion.skeleton.joint(f"{side}_ankle") for side in ("left", "right")]
    return float((motion.joints[:, ankles, 1].max(axis=1) - motion.joints[:, 0, 1]).max())


def lean(motion: Motion) -> float:
    """How far the head comes down from its highest, metres."""
    height = motion.joints[:, motion.skeleton.joint("head"), 1]
    return float(height.max() - height.min())


Check = Callable[[Motion], bool]
PROMPTS: list[tuple[str, int, str, Check | None]] = [
    ("a person walks forward", 80, "forward over 1 m", lambda m: forward(m) > 1),
    ("a person runs", 60, "faster than 2 m/s", lambda m: speed(m) > 2),
    ("a person walks backward", 80, "backward over 0.5 m", lambda m: forward(m) < -0.5),
    ("a person walks and turns left", 80, "left over 30 degrees", lambda m: turn(m) > 30),
    ("a person walks and turns right", 80, "right over 30 degrees", lambda m: turn(m) < -30),
    ("a person waves the left hand", 60, "left wrist only", lambda m: raised(m) == {"left"}),
    ("a person waves the right hand", 60, "right wrist only", lambda m: raised(m) == {"right"}),
    ("a person waves both hands", 60, "both wrists", lambda m: raised(m) == {"left", "right"}),
    ("a person raises the left hand", 50, "left wrist only", lambda m: raised(m) == {"left"}),
    ("someone raises the right arm", 50, "right wrist only", lambda m: raised(m) == {"right"}),
    ("a person raises both hands", 50, "both wrists", lambda m: raised(m) == {"left", "right"}),
    ("a person bows", 80, "head down over 0.2 m", lambda m: lean(m) > 0.2),
    ("a person waves goodbye", 80, "a wrist", lambda m: bool(raised(m))),
    ("a person jumps", 60, "both feet over 0.1 m", lambda m: airborne(m) > 0.1),
    ("a person does a cartwheel", 80, "head below pelvis", upside_down),
    ("a person does a backflip", 70, "head below pelvis", upside_down),
    ("a person dances salsa", 180, "", None),
    ("a person performs karate kicks and punches", 120, "an ankle at the hips", lambda m: kick(m) > -0.1),
    ("a person walks in a tired way", 120, "", None),
    ("a person walks energetically", 120, "", None),
    ("a person walks angrily", 80, "", None),
    ("an old person walks forward", 120, "", None),
    ("a person stands idle in place", 180, "stays within 0.5 m", lambda m: np.abs(path(m)).max() < 0.5),
    ("someone is boxing", 100, "", None),
]


def generate(pipe: MotionDiffusionPipeline, seeds: int) -> list[list[Motion]]:
    """Motions of each prompt, one per seed; the seed decides, whatever else is in the batch."""
    made = []
    for text, frames, _, _ in PROMPTS:
        generators = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
        made.append(pipe([text] * seeds, frames, generator=generators).motions)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--output", type=Path, default=Path("outputs/prompts"))
    arguments = parser.parse_args()
    pipe = MotionDiffusionPipeline.load(arguments.model) if arguments.model else load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    made = generate(pipe, arguments.seeds)
    print("| prompt | what is measured | right | speed m/s |\n|---|---|---|---|")
    for (text, _, what, check), motions in zip(PROMPTS, made, strict=True):
        right = f"{sum(map(check, motions))} of {len(motions)}" if check else ""
        print(f"| {text} | {what} | {right} | {np.mean([speed(motion) for motion in motions]):.2f} |")
    for start in range(0, len(made), 8):
        save_contact_sheet([motions[0] for motions in made[start : start + 8]], arguments.output / f"sheet-{start // 8}.png")
    print(f"Sheets of seed 0 are in {arguments.output}.")


if __name__ == "__main__":
    main()
