"""Prints how fast every system is, and how good where it is trained: one table, one run.

    python tests/benchmarks/systems.py [NAME=FOLDER ...] [--only mdm mld ...] [--frames 120] [--batch 32] [--dataset FILE --clips 64]

Systems of the published sizes have random weights, which cost as much as trained ones and have no quality. A checkpoint that is named
NAME=FOLDER (or NAME=FOLDER@4 for 4 steps) is scored on the data set's test split as well, if one is given: FID and R-precision in one
replication of the strict protocol, good for comparing the rows alone. The sentence is read anew each time; loading is not counted.
"""

import argparse
import copy
import platform
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from plain_mdm import PlainMDM, sample
from run import in_turn, published_size
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from hf_motion import (
    MDMPipeline,
    MLDAutoencoder,
    MLDDenoiser,
    MLDPipeline,
    MotionSystem,
    SALADAutoencoder,
    SALADDenoiser,
    SALADPipeline,
    load_embedded_pipeline,
)
from hf_motion.data.motion_text import load_motion_rows
from hf_motion.pipelines.few_steps import SCHEDULE, FewSteps, lcm_scheduler
from hf_motion.pipelines.motion_diffusion import MotionDiffusionPipeline
from hf_motion.trainers.callbacks import EvaluateMotionsCallback

Make = Callable[[list[str], int], Any]
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}


def latent(kind: str) -> Any:
    """MLD or SALAD of the published size with random weights."""
    torch.manual_seed(0)
    small = load_embedded_pipeline()
    width = 768 if kind == "mld" else 512
    ends = {"eos_token_id": small.tokenizer.sep_token_id, "pad_token_id": small.tokenizer.pad_token_id}
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": 12, "num_attention_heads": width // 64}
    encoder = CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=len(small.tokenizer), projection_dim=width, **sizes, **ends)).eval()
    parts = {"text_encoder": encoder, "tokenizer": small.tokenizer, "feature_extractor": small.feature_extractor, "max_text_tokens": 77}
    if kind == "mld":
        scheduler = DDIMScheduler(**NOISE, set_alpha_to_one=False, steps_offset=1)
        return MLDPipeline(MLDAutoencoder().eval(), MLDDenoiser().eval(), scheduler=scheduler, **parts)
    scheduler = DDIMScheduler(**NOISE, prediction_type="v_prediction")
    return SALADPipeline(SALADAutoencoder().eval(), SALADDenoiser().eval(), scheduler=scheduler, **parts)


def distilled(pipe: Any) -> Any:
    """The same in four steps, as if it had been distilled."""
    student = type(pipe.denoiser).from_config(pipe.denoiser.config, time_cond_proj_dim=256).eval()
    scheduler = lcm_scheduler(pipe.scheduler, 50)
    guidance = pipe.default_guidance
    few = FewSteps((1, 2, 4), (1.0, 2 * guidance), guidance, True, {name: scheduler.config[name] for name in SCHEDULE})
    names = ("max_text_tokens", "noise_spacing", "contact_cleanup")
    parts = {**pipe.components, "denoiser": student, "scheduler": scheduler, **{name: pipe.config[name] for name in names}}
    return type(pipe)(**parts, num_inference_steps=4, few_steps=few.to_config())


def published_way(pipe: MDMPipeline, prompts: list[str], frames: int) -> Any:
    """MDM's plain loop: two passes a step, the text projected anew each time."""
    plain = PlainMDM(pipe.denoiser).eval()
    draws = [torch.Generator().manual_seed(seed) for seed in range(len(prompts))]
    with torch.no_grad():
        text, _ = pipe.encode_prompt(prompts)
    noise = torch.randn(len(prompts), frames, 263)
    return pipe.feature_extractor.decode(sample(plain, copy.deepcopy(pipe.scheduler), noise, text, 2.5, draws))


def ours(pipe: Any, prompts: list[str], frames: int, **options: Any) -> Any:
    return pipe(prompts, frames, seed=0, **options).motions


def systems(only: list[str] | None, named: list[str]) -> dict[str, tuple[Make, Any, dict[str, Any]]]:
    """Of each system how it makes motions, its pipeline where it can be scored, and its options."""
    found: dict[str, tuple[Make, Any, dict[str, Any]]] = {}

    def wanted(name: str) -> bool:
        return only is None or name in only

    def add(name: str, pipe: Any, trained: bool = False, **options: Any) -> None:
        pipe.set_progress_bar_config(disable=True)
        found[name] = (partial(ours, pipe, **options), pipe if trained else None, options)

    if wanted("embedded"):
        add("embedded mdm-small, 35 steps", load_embedded_pipeline(), trained=True)
    if wanted("mdm"):
        pipe = published_size(50)
        add("MDM, 50 steps", pipe)
        found["MDM, 50 steps, the published way"] = (partial(published_way, pipe), None, {})
        add("MDM distilled, 4 steps", distilled(pipe))
    for kind in ("mld", "salad"):
        if wanted(kind):
            pipe = latent(kind)
            add(f"{kind.upper()}, 50 steps", pipe)
            add(f"{kind.upper()} distilled, 4 steps", distilled(pipe))
    for item in named:
        name, _, place = item.partition("=")
        folder, _, steps = place.partition("@")
        options = {"num_inference_steps": int(steps)} if steps else {}
        add(f"{name}{f', {steps} steps' if steps else ''}", MotionDiffusionPipeline.load(folder), trained=True, **options)
    return found


def quality(pipe: Any, rows: Any, clips: int, options: dict[str, Any]) -> str:
    """FID and R-precision of a trained pipeline."""
    from hf_motion.evaluation.generations import system_generator

    scorer = EvaluateMotionsCallback(pipe, rows, 1, clips, show_progress=False).scorer
    generate = system_generator(MotionSystem.from_pipeline(pipe), scorer.evaluator.feature_extractor, options)
    with tempfile.TemporaryDirectory() as folder:
        scores = scorer.score({"model": generate}, Path(folder), {"model": options})["model"]
    return f"FID {scores['fid'][0]:.2f}, R-precision top 3 {scores['r_precision_top3'][0]:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER[@STEPS]")
    parser.add_argument("--only", nargs="*", choices=("embedded", "mdm", "mld", "salad"))
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dataset", help="of captioned motion, with a test split, for the quality of trained ones")
    parser.add_argument("--clips", type=int, default=64)
    arguments = parser.parse_args()
    rows = load_motion_rows(arguments.dataset, "test") if arguments.dataset else None
    found = systems(arguments.only, arguments.models)
    one = ["a person walks forward and turns left"]
    many = [f"a person walks {index} steps" for index in range(arguments.batch)]
    alone = in_turn(arguments.rounds, **{name: partial(make, one, arguments.frames) for name, (make, _, _) in found.items()})
    together = in_turn(1, warm_up=False, **{name: partial(make, many, arguments.frames) for name, (make, _, _) in found.items()})
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {arguments.frames} frames, float32\n")
    print(f"| system | seconds a sentence | sentences a second, {arguments.batch} at once | quality |\n|---|---|---|---|")
    for name, (_, pipe, options) in found.items():
        told = (
            quality(pipe, rows, arguments.clips, options)
            if pipe is not None and rows is not None
            else "trained"
            if pipe
            else "random weights"
        )
        print(f"| {name} | {alone[name]:.3f} | {arguments.batch / together[name]:.2f} | {told} |")


if __name__ == "__main__":
    main()
