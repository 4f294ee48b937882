"""Prints how fast motion tokens are made and read, beside the published way of computing, everything in one run.

    python tests/benchmarks/tokens.py [--only gpt momask codec] [--batch 1 32] [--rounds 3] [--threads 2]

Published sizes, random weights. The published way: T2M-GPT takes one sample after the other, in float32, and runs all tokens through the
model again for each new one; MoMask runs guidance as two passes in float32, and copies a table of codes per sample; clips are encoded and
decoded one by one. Alternatives are measured in turn; times are medians, ratios are of medians.
"""

import argparse
import copy
import math

import torch
from run import in_turn
from transformers import CLIPTextConfig

from hf_motion import T2MGPT, MoMask, MoMaskConfig, MotionFeatureExtractor, MotionVQConfig, MotionVQModel, T2MGPTConfig
from hf_motion.models.text_motion_model import TextMotionModel
from hf_motion.nn.sampling import gumbel_noise
from hf_motion.trainers.new_pipeline import train_clip_tokenizer

CAPTION, TOKENS = "a person walks forward and waves", 50


def published_size(kind: type[TextMotionModel]) -> TextMotionModel:
    """A model of published size whose text encoder is small: texts are encoded once in both ways."""
    torch.manual_seed(0)
    tokenizer = train_clip_tokenizer([CAPTION], 520)
    text = CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=512, num_hidden_layers=1, num_attention_heads=8,
                          eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    config = T2MGPTConfig(MotionVQConfig(), text) if kind is T2MGPT else MoMaskConfig(MotionVQConfig(num_quantizers=6), text)
    model = kind(config).eval()
    model.tokenizer, model.feature_extractor = tokenizer, MotionFeatureExtractor(mean=[0.0] * 263, std=[1.0] * 263)
    return model


def draws(batch: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(batch)]


@torch.no_grad()
def plain_gpt(model: T2MGPT, batch: int) -> list[list[int]]:
    """One sample after the other, no cache."""
    texts, made = model.encode_texts([CAPTION] * batch), []
    for row, generator in enumerate(draws(batch)):
        ids = torch.tensor([[model.config.bos_token_id]])
        for _ in range(TOKENS):
            logits = model(ids, texts[row : row + 1]).logits[:, -1]
            logits[:, model.config.eos_token_id] = -torch.inf
            token = (logits + gumbel_noise(logits.shape[1:], [generator], logits.device)).argmax(1, keepdim=True)
            ids = torch.cat((ids, token), dim=1)
        made.append(ids[0, 1:].tolist())
    return made


@torch.no_grad()
def plain_momask(model: MoMask, batch: int, tokens: int = 49, steps: int = 10) -> torch.Tensor:
    """Guidance as two passes, and the residual tables gathered per sample."""
    text, size, generators = model.encode_texts([CAPTION] * batch), model.config.vq_config.codebook_size, draws(batch)
    real, none = torch.ones(batch, tokens, dtype=torch.bool), torch.zeros_like(text)

    def draw(logits: torch.Tensor) -> torch.Tensor:
        kept = logits.topk(math.ceil(0.1 * logits.shape[-1]), dim=-1)
        noise = gumbel_noise((model.config.max_tokens, kept.values.shape[-1]), generators, logits.device)[:, :tokens]
        return kept.indices.gather(2, (kept.values + noise).argmax(-1, keepdim=True))[..., 0]

    ids, scores = torch.full((batch, tokens), size), torch.zeros(batch, tokens)
    for share in torch.linspace(0, 1, steps).tolist():
        wanted = max(1, round(math.cos(math.pi * share / 2) * tokens))
        masked = scores.argsort(dim=1, stable=True).argsort(dim=1) < wanted
        ids = torch.where(masked, size, ids)
        conditional, unconditional = (model.masked_transformer(ids, condition, real) for condition in (text, none))
        logits = unconditional + 4 * (conditional - unconditional)
        drawn = draw(logits)
        ids = torch.where(masked, drawn, ids)
        scores = torch.where(masked, logits.softmax(-1).gather(2, drawn[..., None])[..., 0], 1e5)
    residual, codes, below = model.residual_transformer, [ids], 0
    for layer in range(1, model.config.vq_config.num_quantizers):
        table = residual.input_table(layer - 1).repeat(batch, 1, 1)
        below = below + table.gather(1, codes[-1][..., None].expand(-1, -1, table.shape[-1]))
        layers, passes = torch.full((batch,), layer), []
        for condition in (text, none):
            prefix = torch.stack((residual.text_projection(condition), residual.layer_embedding(torch.eye(6)[layers])), dim=1)
            hidden = residual.head(residual.trunk(below, prefix, real))
            passes.append(torch.einsum("bnc,bsc->bsn", residual.output_table(layer).repeat(batch, 1, 1), hidden))
        codes.append(draw(passes[1] + 5 * (passes[0] - passes[1])))
    return torch.stack(codes, dim=1)


def bandwidth() -> float:
    """Bytes per second that are read, by whichever is faster: a sum or a matrix-vector product, on far more than the last cache holds."""
    matrix, vector = torch.randn(8192, 16384), torch.randn(16384)
    return matrix.numel() * 4 / min(in_turn(5, sum=matrix.sum, product=lambda: matrix @ vector).values())


def bench_gpt(batches: list[int], rounds: int) -> None:
    model = published_size(T2MGPT)
    rough = copy.deepcopy(model).to(torch.bfloat16)
    weights = sum(parameter.numel() for name, parameter in model.named_parameters() if name.startswith(("blocks.", "head.")))
    print(f"\nT2M-GPT, 18 layers x 1024, {TOKENS} tokens")
    for batch in batches:
        made: dict[str, list] = {}

        def fast(which: TextMotionModel, name: str, batch: int = batch, made: dict = made) -> None:
            made[name] = which.generate_motion([CAPTION] * batch, 4 * TOKENS, generator=draws(batch), output_type="codes")

        actions = {
            "published": lambda batch=batch, made=made: made.update(published=plain_gpt(model, batch)),
            "float32": lambda fast=fast: fast(model, "float32"),
            "bfloat16": lambda fast=fast: fast(rough, "bfloat16"),
        }
        times = in_turn(rounds if batch == 1 else 1, warm_up=batch == 1, **actions)
        equal = made["published"] == [clip[0].tolist() for clip in made["float32"]]
        for name, seconds in times.items():
            ratio, rate = times["published"] / seconds, batch * TOKENS / seconds
            print(f"  batch {batch:3d}  {name:9s} {seconds:7.2f} s  {ratio:5.2f} x  {rate:7.0f} tokens/s")
        print(f"  batch {batch:3d}  tokens equal in float32: {equal}")
        if batch == 1:
            speed = bandwidth()
            for name, size in (("float32", 4), ("bfloat16", 2)):
                bound = speed / (weights * size)
                reached = TOKENS / times[name] / bound
                print(f"  bound by reading weights at {speed / 1e9:.1f} GB/s, {name}: {bound:.0f} tokens/s, reached {reached:.0%}")


def bench_momask(batches: list[int], rounds: int) -> None:
    model = published_size(MoMask)
    rough = copy.deepcopy(model).to(torch.bfloat16)
    print("\nMoMask, 8 layers x 384, 49 tokens, 10 steps and 5 residual layers")
    for batch in batches:
        made: dict[str, torch.Tensor] = {}

        def fast(which: TextMotionModel, name: str, batch: int = batch, made: dict = made) -> None:
            made[name] = torch.stack(which.generate_motion([CAPTION] * batch, 196, generator=draws(batch), output_type="codes"))

        actions = {
            "published": lambda batch=batch, made=made: made.update(published=plain_momask(model, batch)),
            "float32": lambda fast=fast: fast(model, "float32"),
            "bfloat16": lambda fast=fast: fast(rough, "bfloat16"),
        }
        times = in_turn(rounds, **actions)
        same = (made["published"] == made["float32"]).float().mean()
        for name, seconds in times.items():
            print(f"  batch {batch:3d}  {name:9s} {seconds:7.3f} s  {times['published'] / seconds:5.2f} x")
        print(f"  batch {batch:3d}  tokens equal in float32: {same:.2%}")


@torch.no_grad()
def bench_codec(clips: int) -> None:
    torch.manual_seed(0)
    model = MotionVQModel(MotionVQConfig()).eval()
    for book in model.quantizer.books:
        book.codebook.normal_()
    lengths = torch.randint(10, 50, (clips,), generator=torch.Generator().manual_seed(0)).mul(4).sort().values.tolist()
    motions = [torch.randn(length, 263) for length in lengths]

    def each() -> None:
        for motion in motions:
            model.decode(model.encode(motion[None]))

    def together(which: MotionVQModel) -> None:
        for start in range(0, clips, 16):
            batch = [motion.to(which.dtype) for motion in motions[start : start + 16]]
            mask = (torch.arange(len(batch[-1])) < torch.tensor([len(motion) for motion in batch])[:, None]).long()
            which.decode(which.encode(torch.nn.utils.rnn.pad_sequence(batch, batch_first=True), mask))

    rough = copy.deepcopy(model).to(torch.bfloat16)
    times = in_turn(1, warm_up=False, each=each, float32=lambda: together(model), bfloat16=lambda: together(rough))
    print(f"\nVQ of published size, {clips} clips of 40 to 196 frames, encoded and decoded")
    for name, seconds in times.items():
        print(f"  {name:9s} {seconds:7.2f} s  {times['each'] / seconds:5.2f} x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=["gpt", "momask", "codec"], choices=["gpt", "momask", "codec"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if "gpt" in options.only:
        bench_gpt(options.batch, options.rounds)
    if "momask" in options.only:
        bench_momask(options.batch, options.rounds)
    if "codec" in options.only:
        bench_codec(options.clips)
