"""Prints how fast things are, everything in one run.

    python tests/benchmarks/run.py [--only sampling embedded import features video] [--rounds 3] [--steps 50]

Alternatives are measured in turn, so that a noisy machine is noisy to all of them; times are medians, ratios are of medians.
"""

import argparse
import copy
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from plain_mdm import PlainMDM, sample
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from hf_motion import HumanML3DRepresentation, MDMDenoiser, MDMPipeline, Motion, load_embedded_pipeline
from hf_motion.trainers.new_pipeline import mdm_scheduler


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_turn(rounds: int, warm_up: bool = True, **actions: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each action, measured in turn, by default after one unmeasured round."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for index in range(rounds + warm_up):
        for name, action in actions.items():
            elapsed = seconds(action)
            if index >= warm_up:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def published_size(steps: int) -> MDMPipeline:
    """A pipeline of the published size with random weights, on the embedded checkpoint's tokenizer and statistics."""
    torch.manual_seed(0)
    small = load_embedded_pipeline()
    options = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
    ends = {"eos_token_id": small.tokenizer.sep_token_id, "pad_token_id": small.tokenizer.pad_token_id}
    encoder = CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=len(small.tokenizer), projection_dim=512, **options, **ends)).eval()
    return MDMPipeline(MDMDenoiser().eval(), encoder, small.tokenizer, mdm_scheduler(steps), small.feature_extractor, max_text_tokens=22)


def bench_sampling(rounds: int, steps: int) -> None:
    print(f"\nSampling, 8 layers x 512, 196 frames, {steps} steps, guidance 2.5, random weights")
    exact = published_size(steps)
    exact.set_progress_bar_config(disable=True)
    rough = copy.deepcopy(exact).to(torch.bfloat16)
    plain = PlainMDM(exact.denoiser).eval()
    for batch, turns in ((1, rounds), (32, 1)):
        prompts = [f"a person walks {index} steps" for index in range(batch)]
        noise = torch.randn(batch, 196, 263, generator=torch.Generator().manual_seed(1))
        latents: dict[str, torch.Tensor] = {}

        def run(name: str, pipe: MDMPipeline, prompts: list[str] = prompts, noise: torch.Tensor = noise, made: dict = latents) -> None:
            draws = [torch.Generator().manual_seed(seed) for seed in range(len(prompts))]
            if name == "reference":
                with torch.no_grad():
                    text, _ = exact.encode_prompt(prompts)
                made[name] = sample(plain, pipe.scheduler, noise, text, 2.5, draws)
            else:
                made[name] = pipe(prompts, 196, latents=noise, generator=draws, output_type="latent").motions

        actions = {
            "reference": lambda: run("reference", exact),
            "float32": lambda: run("float32", exact),
            "bfloat16": lambda: run("bfloat16", rough),
        }
        times = in_turn(turns, warm_up=batch == 1, **actions)
        for name, value in times.items():
            print(f"  batch {batch}: {name:10} {value:7.2f} s   {times['reference'] / value:5.2f} x the reference")
        apart = (latents["float32"] - latents["reference"]).abs().max()
        print(f"  batch {batch}: float32 differs from the reference by {apart:.1e} (normalised features)")
        joints = [exact.feature_extractor.decode(latents[name]) for name in ("float32", "bfloat16")]
        apart = np.mean([np.linalg.norm(a.joints - b.joints, axis=-1).mean() for a, b in zip(*joints, strict=True)])
        print(f"  batch {batch}: bfloat16 is {apart * 100:.2f} cm from float32, mean over joints and frames")


def bench_embedded(rounds: int) -> None:
    print("\nThe embedded checkpoint, one prompt to a Motion of 6 s, after loading")
    pipes = {name: load_embedded_pipeline(dtype=getattr(torch, name)) for name in ("float32", "bfloat16")}
    for pipe in pipes.values():
        pipe.set_progress_bar_config(disable=True)

    def run(name: str) -> Motion:
        return pipes[name]("a person walks forward and turns left", 120, generator=torch.Generator().manual_seed(0)).motions[0]

    exact, rough = run("float32"), run("bfloat16")
    for name, value in in_turn(2 * rounds, **{name: lambda name=name: run(name) for name in pipes}).items():
        print(f"  {name:10} {value:6.3f} s")
    print(f"  bfloat16 is {100 * np.linalg.norm(exact.joints - rough.joints, axis=-1).mean():.2f} cm from float32 on the same noise")


def bench_import(rounds: int, before: Path | None) -> None:
    print("\nStarting, each in a fresh interpreter; x is the time of `import torch` in the same rounds")
    motion = 'import hf_motion; from transformers import pipeline; pipeline("text-to-motion")("a person walks forward", num_frames=80)'
    command = "import sys; from hf_motion.cli import main; sys.argv = ['hf-motion', 'generate', 'a person walks forward', {}]; main()"
    with tempfile.TemporaryDirectory() as folder:
        statements = {
            "import torch": "import torch",
            "from transformers import AutoModel": "from transformers import AutoModel",
            "import hf_motion": "import hf_motion",
            "hf-motion generate, refused for its suffix": command.format(f"'-o', '{folder}/a.dae'"),
            "hf-motion generate, 8 s to a .bvh": command.format(f"'-o', '{folder}/a.bvh', '--seconds', '8'"),
            "first motion in Python, 4 s": motion,
        }
        places = {"": Path(__file__).parents[2], **({", before": before} if before is not None else {})}

        def run(code: str, place: Path) -> None:
            subprocess.run(
                [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, check=False
            )

        actions = {
            f"{name}{when}": lambda code=code, place=place: run(code, place)
            for name, code in statements.items()
            for when, place in places.items()
            if "motion" in code or not when
        }
        times = in_turn(rounds, **actions)
    for name, value in times.items():
        print(f"  {value:6.2f} s  {value / times['import torch']:5.2f} x  {name}")


def bench_features(rounds: int) -> None:
    print("\nFeatures (the published code takes 16 ms to encode 170 frames)")
    representation = HumanML3DRepresentation()
    joints = torch.randn(1, 170, 22, 3, generator=torch.Generator().manual_seed(0)).cumsum(1) * 0.02
    many = joints.expand(64, -1, -1, -1).contiguous()
    features, many_features = representation.encode(joints), representation.encode(many)
    actions = {
        "encode, one clip": (lambda: representation.encode(joints), 170),
        "encode, 64 clips": (lambda: representation.encode(many), 64 * 170),
        "decode, one clip": (lambda: representation.decode(features), 169),
        "decode, 64 clips": (lambda: representation.decode(many_features), 64 * 169),
    }
    times = in_turn(10 * rounds, **{name: action for name, (action, _) in actions.items()})
    for name, value in times.items():
        frames = actions[name][1]
        print(f"  {name}: {1000 * value * 170 / frames:6.2f} ms per 170 frames, {1e6 * value / frames:6.1f} ms per 1,000 frames")


def bench_video(rounds: int) -> None:
    print("\nWriting a motion of 196 frames")
    pipe = load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    motion = pipe("a person walks forward", 196, generator=torch.Generator().manual_seed(0)).motions[0]
    with tempfile.TemporaryDirectory() as folder:
        suffixes = (".mp4", ".gif", ".png", ".html", ".bvh", ".npz")
        times = in_turn(rounds, **{suffix: lambda suffix=suffix: motion.save(Path(folder) / f"m{suffix}") for suffix in suffixes})
    for suffix, value in times.items():
        print(f"  {suffix:6} {value:6.3f} s")


BENCHMARKS = {
    "sampling": bench_sampling,
    "embedded": bench_embedded,
    "import": bench_import,
    "features": bench_features,
    "video": bench_video,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="diffusion steps of the sampling benchmark")
    parser.add_argument("--before", type=Path, help="another checkout, whose starting times are measured in the same rounds")
    arguments = parser.parse_args()
    flags = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in cpu_flags()]
    print(f"{platform.machine()} {' '.join(flags)}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"load before: {os.getloadavg()[0]:.1f}")
    for name in arguments.only:
        options = {"sampling": {"steps": arguments.steps}, "import": {"before": arguments.before}}.get(name, {})
        BENCHMARKS[name](arguments.rounds, **options)


def cpu_flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    return set(path.read_text().split()) if path.exists() else set()


if __name__ == "__main__":
    main()
