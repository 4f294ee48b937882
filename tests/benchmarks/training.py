"""Prints how fast MDM and AdaQF train and sample at the published size, everything in one run.

    python tests/benchmarks/training.py [--only training sampling] [--batch 64] [--rounds 3] [--frames 100 196] [--threads 2]

Weights and motion are random. Alternatives are measured in turn, after one unmeasured round; numbers are medians. On a CPU they are seconds
of this process's own work, so that a busy machine does not matter; on a GPU seconds of the clock.
"""

import argparse
import copy
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from run import cpu_flags, published_size
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from hf_motion import AdaQFExtractors, AdaQFExtractorsConfig, MDMDenoiser, MDMPipeline, MotionTextEmbedder
from hf_motion.data.motion_text import LengthBucketSampler
from hf_motion.text_encoders import add_text_lora
from hf_motion.tokenization.word_pos import WordPosTokenizer
from hf_motion.trainers.averaging import trained_parameters
from hf_motion.trainers.diffusion import DiffusionCollator, DiffusionObjective
from hf_motion.trainers.feedback import QualityFeedback

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MOST_FRAMES, MOST_TOKENS = 196, 77
SENTENCE = "a person walks forward slowly then turns left and waves the right hand before sitting down on the floor again"


def spent(action: Callable[[], object]) -> float:
    """Seconds, of the process on a CPU and of the clock on a GPU."""
    clock = time.perf_counter if DEVICE == "cuda" else time.process_time
    start = clock()
    action()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def in_turn(rounds: int, actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each, measured in turn, after one unmeasured round."""
    times = [{name: spent(action) for name, action in actions.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(turn[name] for turn in times) for name in actions}


def pipeline() -> MDMPipeline:
    """As published for AdaQF: a decoder that reads CLIP's tokens."""
    pipe = published_size(50)
    pipe.register_modules(denoiser=MDMDenoiser(arch="trans_dec", text_conditioning="tokens"))
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(DEVICE)


def captions(count: int) -> list[str]:
    """Different ones of 5 to 20 words."""
    words = SENTENCE.split()
    return [" ".join(words[: 5 + index % 16]) + f" {index}" for index in range(count)]


def batch_lengths(batch: int, frames: list[int]) -> list[int]:
    """Of the batch in the middle of those that our sampler makes of clips of evenly spread lengths."""
    lengths = np.linspace(*frames, 64 * batch).round().astype(int).tolist()
    drawn = [lengths[clip] for clip, _ in LengthBucketSampler(lengths, [1.0] * len(lengths), batch)]
    batches = sorted((drawn[start : start + batch] for start in range(0, len(drawn), batch)), key=max)
    return batches[len(batches) // 2]


def feedback(pipe: MDMPipeline) -> QualityFeedback:
    """Extractors of the default size."""
    tokenizer = WordPosTokenizer.from_captions(captions(64))
    model = AdaQFExtractors(AdaQFExtractorsConfig(vocab_size=tokenizer.vocab_size, num_pos_classes=15))
    return QualityFeedback(MotionTextEmbedder(model, tokenizer, pipe.feature_extractor), pipe.feature_extractor).to(DEVICE)


def training_step(pipe: MDMPipeline, batch: int, frames: list[int], adaqf: bool, half: bool) -> Callable[[], None]:
    """One step as `DiffusionTrainer` takes it: loss, gradients, AdamW and averaged weights."""
    judge = feedback(pipe) if adaqf else None
    if adaqf:
        add_text_lora(pipe.text_encoder, rank=16)
    objective = DiffusionObjective(pipe, 0.1, adaqf, feedback=judge).to(DEVICE).train()
    texts = captions(batch)
    draw = torch.Generator().manual_seed(0)
    examples = [
        {"motion_features": torch.randn(length, 263, generator=draw), "caption": text, "seed": index, "clip": index}
        for index, (length, text) in enumerate(zip(batch_lengths(batch, frames), texts, strict=True))
    ]
    embeds = real = None
    if judge is not None:  # once for a whole training
        embeds = judge.embed_captions(texts)
        clips = [pipe.feature_extractor.denormalize(example["motion_features"]) for example in examples]
        real = list(torch.from_numpy(judge.embedder.embed_motions(clips)).float())
    collate = DiffusionCollator(pipe, None if adaqf else texts, embeds, real)
    parameters = trained_parameters(objective)
    optimizer, average = torch.optim.AdamW(parameters, lr=1e-4, fused=True), EMAModel(parameters, foreach=True)

    def step() -> None:
        inputs = {name: value.to(DEVICE) for name, value in collate(examples).items()}
        with torch.autocast(DEVICE, torch.bfloat16) if half else nullcontext():
            loss = objective(**inputs)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average.step(parameters)

    return step


class PlainDecoder(nn.Module):
    """The transformer decoder the plain way: torch's own layers, no mask, one vector of step and text to attend to."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(512, 4, 1024, 0.1, activation="gelu")
        self.decoder = nn.TransformerDecoder(layer, 8)
        self.first, self.last = nn.Linear(263, 512), nn.Linear(512, 263)
        self.time = nn.Sequential(nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 512))
        self.text = nn.Linear(512, 512)
        self.positions = nn.Parameter(torch.randn(MOST_FRAMES, 1, 512), requires_grad=False)

    def forward(self, noisy: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        memory = (self.time(self.positions[timesteps, 0]) + self.text(text))[None]
        frames = self.first(noisy.transpose(0, 1)) + self.positions
        return self.last(self.decoder(frames, memory)).transpose(0, 1)


def plain_step(pipe: MDMPipeline, batch: int) -> Callable[[], None]:
    """One step with the published loop's habits: CLIP run on 77 tokens each time, every clip padded to 196 frames, float32."""
    model, encoder = PlainDecoder().to(DEVICE), pipe.text_encoder.requires_grad_(False)
    optimizer = torch.optim.AdamW(trained_parameters(model), lr=1e-4)
    tokens = pipe.tokenizer(captions(batch), padding="max_length", max_length=MOST_TOKENS, truncation=True, return_tensors="pt").to(DEVICE)
    target = torch.randn(batch, MOST_FRAMES, 263, generator=torch.Generator().manual_seed(0)).to(DEVICE)

    def step() -> None:
        with torch.no_grad():
            text = encoder(**tokens).text_embeds
        timesteps = torch.randint(50, (batch,), device=DEVICE)
        noisy = pipe.scheduler.add_noise(target, torch.randn_like(target), timesteps)
        (model(noisy, timesteps, text) - target).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def bench_training(batch: int, rounds: int, frames: list[int], profiled: bool) -> None:
    print(f"\nTraining, 8 layers x 512 and CLIP of 12 x 512, batch {batch}, {frames[0]} to {frames[1]} frames")
    steps = {
        "published habits": plain_step(pipeline(), batch),
        "MDM, float32": training_step(pipeline(), batch, frames, adaqf=False, half=False),
        "MDM, bfloat16": training_step(pipeline(), batch, frames, adaqf=False, half=True),
        "AdaQF, bfloat16": training_step(pipeline(), batch, frames, adaqf=True, half=True),
    }
    times = in_turn(rounds, steps)
    for name, value in times.items():
        print(f"  {name:17} {value:7.3f} s a step, {1 / value:7.3f} steps a second")
    print(f"  AdaQF costs {times['AdaQF, bfloat16'] / times['MDM, bfloat16']:.2f} times MDM (aim: at most 1.35)")
    print(f"  MDM is {times['published habits'] / times['MDM, bfloat16']:.2f} times faster than the published habits (aim: at least 2.5)")
    if profiled:
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if DEVICE == "cuda" else [])]) as result:
            steps["AdaQF, bfloat16"]()
        print(result.key_averages().table(sort_by=f"self_{DEVICE}_time_total", row_limit=25, max_name_column_width=50))


def bench_sampling(rounds: int, steps: int) -> None:
    print(f"\nSampling 196 frames, {steps} steps, guidance 2.5, float32")
    pipes = {"MDM": pipeline()}
    pipes["AdaQF, adapter loaded"] = copy.deepcopy(pipes["MDM"])
    add_text_lora(pipes["AdaQF, adapter loaded"].text_encoder, rank=16)
    pipes["AdaQF, fused"] = copy.deepcopy(pipes["AdaQF, adapter loaded"])
    pipes["AdaQF, fused"].fuse_lora()
    for pipe in pipes.values():
        pipe.text_encoder.eval()
        pipe.denoiser.eval()

    def sample(pipe: MDMPipeline) -> None:
        pipe("a person walks forward and waves", MOST_FRAMES, steps, generator=torch.Generator().manual_seed(0), output_type="latent")

    times = in_turn(rounds, {name: lambda pipe=pipe: sample(pipe) for name, pipe in pipes.items()})
    for name, value in times.items():
        print(f"  {name:22} {value:7.3f} s   {value / times['MDM']:5.3f} times MDM (aim: within 3 %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("training", "sampling"), default=["training", "sampling"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, nargs=2, default=[100, 196], help="shortest and longest clip")
    parser.add_argument("--threads", type=int, help="torch's default if not given")
    parser.add_argument("--steps", type=int, default=50, help="diffusion steps of the sampling benchmark")
    parser.add_argument("--profile", action="store_true", help="also list where the time of an AdaQF step goes")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    flags = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in cpu_flags()]
    device = (
        torch.cuda.get_device_name() if DEVICE == "cuda" else f"{platform.machine()} {' '.join(flags)}, {torch.get_num_threads()} threads"
    )
    print(f"{device}, torch {torch.__version__}\nload before: {os.getloadavg()[0]:.1f}")
    if "training" in arguments.only:
        bench_training(arguments.batch, arguments.rounds, arguments.frames, arguments.profile)
    if "sampling" in arguments.only:
        bench_sampling(arguments.rounds, arguments.steps)


if __name__ == "__main__":
    main()
