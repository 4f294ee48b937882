"""Prints what constrained decoding costs a motion language model, beside plain `generate`, and what batches and the cache are worth.

    python tests/benchmarks/motion_language.py [--layers 30] [--batch 32] [--tokens 49] [--rounds 3] [--threads 2]

A Llama of the size of SmolLM2-135M with random weights in float32. Plain `generate` draws from the whole vocabulary with transformers' own
sampling; "alone" makes one motion after the other and runs all tokens again for each new one. Times are of the processor, so that busy
neighbours count little; alternatives are measured in turn, medians are shown.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hf_motion import MotionLanguageModel, MotionVQConfig, MotionVQModel
from hf_motion.trainers.new_pipeline import train_clip_tokenizer

CAPTION = "a person walks forward and waves"


def smollm2_size(layers: int) -> MotionLanguageModel:
    torch.manual_seed(0)
    tokenizer = train_clip_tokenizer([CAPTION], 520)
    config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers, num_attention_heads=9,
                         num_key_value_heads=3, tie_word_embeddings=True, max_position_embeddings=2048)  # fmt: skip
    return MotionLanguageModel.from_base(LlamaForCausalLM(config), tokenizer, MotionVQModel(MotionVQConfig(hidden_size=16)))


def in_turn(rounds: int, actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            start = time.process_time()
            action()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in times.items()}


@torch.no_grad()
def main(layers: int, batch: int, tokens: int, rounds: int, alone: int) -> None:
    model = smollm2_size(layers)
    unit = model.vq_model.config.frames_per_token
    question = model.instructions("text_to_motion", text=CAPTION, seconds=f"{tokens * unit / 20:.1f}")
    inputs = model.prompts.batch([question] * batch, [model.vocabulary.start], tokens, model.device)

    def plain(cache: bool = True, rows: int = batch) -> None:
        part = {name: value[:rows] for name, value in inputs.items()}
        options = {"max_new_tokens": tokens + 1, "min_new_tokens": tokens + 1, "do_sample": True, "pad_token_id": 0, "eos_token_id": 1}
        model.language_model.generate(**part, **options, use_cache=cache)

    def ours() -> None:
        model.generate_motion([CAPTION] * batch, tokens * unit, seed=0, output_type="codes")

    ours()
    times = in_turn(rounds, {"plain": plain, "constrained": ours})
    for name, seconds in times.items():
        print(f"{name:12s} {seconds:7.2f} s, {batch * tokens / seconds:6.0f} tokens/s, {seconds / times['plain']:5.2f} of plain generate")
    if alone:
        seconds = in_turn(1, {"alone": lambda: plain(False, 1)})["alone"] * batch
        print(f"{'alone':12s} {seconds:7.2f} s for {batch} (one measured), {seconds / times['constrained']:5.1f} times as long")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=49)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=1, choices=(0, 1))
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    main(options.layers, options.batch, options.tokens, options.rounds, options.alone)
