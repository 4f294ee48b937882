"""Prints how fast HumanTOMATO makes 196 frames of body and hands, beside a plain loop, everything in one run.

    python tests/benchmarks/humantomato.py [--only gpt codec] [--sampled] [--batch 1 32] [--clips 100] [--threads 2]

Published size (18 layers x 1,024, 149 tokens), random weights, float32. The plain loop takes one sample after the other and runs all tokens
through the model again for each new one. For batches it is timed on one sample and multiplied, which is what it does. With `--sampled`, for
busy machines, CPU seconds of one thread are taken at five lengths and summed up over all; tokens are then compared on 8 frames. H2VQ of
the published size encodes and decodes clips one by one and in batches of 16.
"""

import argparse
import time

import numpy as np
import torch
from run import in_turn
from tokens import CAPTION, bandwidth, draws
from transformers import CLIPTextConfig, DynamicCache

from hf_motion import HumanTomatoGPT, HumanTomatoGPTConfig, MotionFeatureExtractor, MotionVQModel
from hf_motion.models.humantomato.layout import LayoutLogitsProcessor
from hf_motion.nn.sampling import gumbel_noise
from hf_motion.trainers.new_pipeline import train_clip_tokenizer

FRAMES = 196


def published_size() -> HumanTomatoGPT:
    """A model of published size whose text encoder is small: texts are encoded once in both ways."""
    torch.manual_seed(0)
    tokenizer = train_clip_tokenizer([CAPTION], 520)
    text = CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=512, num_hidden_layers=1, num_attention_heads=8,
                          eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    model = HumanTomatoGPT(HumanTomatoGPTConfig(text_config=text)).eval()
    extractor = MotionFeatureExtractor("humantomato", "smplx-52", mean=[0.0] * 313, std=[1.0] * 313, fps=20)
    model.tokenizer, model.feature_extractor = tokenizer, extractor
    return model


def read_each_token(model: HumanTomatoGPT) -> int:
    """Bytes of weights that a new token needs."""
    parts = ("blocks.", "body_head.", "hand_head.")
    return 4 * sum(parameter.numel() for name, parameter in model.named_parameters() if name.startswith(parts))


@torch.no_grad()
def plain(model: HumanTomatoGPT, generator: torch.Generator, steps: int = 49) -> torch.Tensor:
    """One sample, no cache."""
    layout, text = model.config.token_layout, model.encode_texts([CAPTION])
    processor = LayoutLogitsProcessor(layout, model.config.max_tokens, [steps])
    ids = torch.tensor([[model.config.bos_token_id]])
    for _ in range(layout.count(steps)):
        logits = processor(ids, model(ids, text).logits[:, -1])
        token = (logits + gumbel_noise(logits.shape[1:], [generator], logits.device)).argmax(1, keepdim=True)
        ids = torch.cat((ids, token), dim=1)
    return layout.read(ids[0, 1:])


@torch.no_grad()
def bench_sampled(batches: list[int]) -> None:
    torch.set_num_threads(1)
    model = published_size()
    layout, text = model.config.token_layout, model.encode_texts([CAPTION])
    tokens = layout.count(model.config.max_tokens)
    slow = plain(model, draws(1)[0], steps=2)
    fast = model.generate_motion(CAPTION, 8, generator=draws(1), output_type="codes")[0]
    print(
        f"\nHierarchical GPT, 18 layers x 1024, {tokens} tokens, CPU seconds; tokens of 8 frames equal: {torch.equal(slow, fast)}",
        flush=True,
    )
    lengths = np.linspace(1, tokens, 5).astype(int).tolist()

    def cpu(batch: int, length: int, cached: bool) -> float:
        ids = torch.full((batch, length), model.config.bos_token_id)
        cache = DynamicCache(config=model.config) if cached else None
        if cached and length > 1:
            shape = (batch, model.config.num_attention_heads, length - 1, model.config.hidden_size // model.config.num_attention_heads)
            for layer in range(model.config.num_hidden_layers):
                cache.update(torch.randn(shape), torch.randn(shape), layer)
            ids = ids[:, -1:]
        start = time.process_time()
        model(ids, text.expand(batch, -1), past_key_values=cache, use_cache=cached, logits_to_keep=1)
        return time.process_time() - start

    cpu(1, 2, False)  # warms up
    alone = np.interp(np.arange(1, tokens + 1), lengths, [cpu(1, length, False) for length in lengths]).sum()
    matrix, vector = torch.randn(8192, 16384), torch.randn(16384)
    reads = []
    for _ in range(5):
        start = time.process_time()
        matrix @ vector
        reads.append(time.process_time() - start)
    speed = matrix.numel() * 4 / min(reads)
    print(f"  plain loop: {alone:.1f} s a sample", flush=True)
    for batch in batches:
        seconds = np.interp(np.arange(1, tokens + 1), lengths, [cpu(batch, length, True) for length in lengths]).sum()
        print(f"  batch {batch:3d}: {seconds:.1f} s, {batch * alone / seconds:.1f} x", flush=True)
        if batch == 1:
            bound = tokens * read_each_token(model) / speed
            print(f"  bound by reading weights at {speed / 1e9:.1f} GB/s: {bound:.1f} s, {bound / seconds:.0%} reached", flush=True)


def bench_gpt(batches: list[int], rounds: int) -> None:
    model = published_size()
    tokens = model.config.token_layout.count(model.config.max_tokens)
    print(f"\nHierarchical GPT, 18 layers x 1024, {tokens} tokens for {FRAMES} frames, float32")
    start = time.perf_counter()
    slow = plain(model, draws(1)[0])
    alone = time.perf_counter() - start
    print(f"  plain loop: {alone:.1f} s a sample", flush=True)
    for batch in batches:
        made: list[list[torch.Tensor]] = []

        def fast(batch: int = batch, made: list = made) -> None:
            made.append(model.generate_motion([CAPTION] * batch, FRAMES, generator=draws(batch), output_type="codes"))

        seconds = in_turn(rounds, warm_up=False, fast=fast)["fast"]
        equal = torch.equal(made[0][0], slow)
        print(
            f"  batch {batch:3d}: {seconds:.1f} s, {batch * alone / seconds:.1f} x; tokens of the first sample equal: {equal}", flush=True
        )
        if batch == 1:
            speed = bandwidth()
            bound = speed / read_each_token(model)
            rate = tokens / seconds
            print(f"  bound by reading weights at {speed / 1e9:.1f} GB/s: {bound:.1f} tokens/s, reached {rate:.1f}, {rate / bound:.0%}")


@torch.no_grad()
def bench_codec(clips: int) -> None:
    torch.manual_seed(0)
    model = MotionVQModel(HumanTomatoGPTConfig().vq_config).eval()
    for quantizer in (model.quantizer.body, model.quantizer.hands):
        quantizer.books[0].codebook.normal_()
    lengths = torch.randint(10, 50, (clips,), generator=torch.Generator().manual_seed(0)).mul(4).sort().values.tolist()
    motions = [torch.randn(length, model.config.num_features) for length in lengths]

    def each() -> None:
        for motion in motions:
            model.decode(model.encode(motion[None]))

    def together() -> None:
        for start in range(0, clips, 16):
            batch = motions[start : start + 16]
            mask = (torch.arange(len(batch[-1])) < torch.tensor([len(motion) for motion in batch])[:, None]).long()
            model.decode(model.encode(torch.nn.utils.rnn.pad_sequence(batch, batch_first=True), mask))

    times = in_turn(1, warm_up=False, each=each, together=together)
    print(f"\nH2VQ of published size, {clips} clips of 40 to 196 frames, encoded and decoded, float32")
    for name, seconds in times.items():
        print(f"  {name:9s} {seconds:7.2f} s  {times['each'] / seconds:5.2f} x", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=["gpt", "codec"], choices=["gpt", "codec"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--sampled", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if "codec" in options.only:
        bench_codec(options.clips)
    if "gpt" in options.only and options.sampled:
        bench_sampled(options.batch)
    elif "gpt" in options.only:
        bench_gpt(options.batch, options.rounds)
