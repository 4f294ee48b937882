"""What a trained pipeline knows, from the wordings that it learned."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from ..data.paraphrases import Paraphrases
from ..models.known_actions import KnownActions
from ..pipelines.mdm import MDMPipeline
from ..text_encoders import mean_over_tokens


def learn_known_actions(
    pipeline: MDMPipeline,
    paraphrases: Paraphrases,
    captions: Sequence[str],
    share: float = 0.02,
    wordings: int = 48,
    seed: int = 0,
    ground_prompts: bool = False,
) -> None:
    """Give a pipeline the actions of its training captions, so that it warns of sentences that are far from all.

    Args:
        pipeline (`MDMPipeline`): Changed in place.
        paraphrases (`Paraphrases`): Wordings of the captions that it learned.
        captions (`list[str]`): Captions that it did not learn, but should know: those of the validation split. With sentences of random
            words they say how far is far.
        share (`float`, defaults to 0.02): Share of these captions that is left out of account, see `KnownActions.from_texts`.
        wordings (`int`, defaults to 48): Of each action so many wordings are looked at.
        seed (`int`, defaults to 0): Which.
        ground_prompts (`bool`, defaults to `False`): Let the pipeline read its prompts beside what it knows, for a denoiser that was
            trained so, with `example_share`.
    """
    draw = random.Random(seed)
    texts = {}
    for action in paraphrases.actions():
        said = paraphrases.of_action(action.name)
        texts[action.name] = (action.example, pooled_texts(pipeline, draw.sample(said, min(len(said), wordings))))
    words = sorted(word for word in pipeline.tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 3)
    nonsense = [" ".join(draw.choices(words, k=5)) for _ in range(256)]
    actions = KnownActions.from_texts(texts, pooled_texts(pipeline, captions), pooled_texts(pipeline, nonsense), share, seed=seed)
    pipeline.register_modules(known_actions=actions.to(pipeline.device).eval())
    pipeline.register_to_config(ground_prompts=ground_prompts)


@torch.no_grad()
def pooled_texts(pipeline: MDMPipeline, texts: Sequence[str], batch_size: int = 256) -> Tensor:
    """Means over the tokens of texts, (texts, dim) float32, as a pipeline reads them."""
    rows = []
    for start in range(0, len(texts), batch_size):
        states, mask = pipeline.encode_prompt(texts[start : start + batch_size])
        rows.append(states if mask is None else mean_over_tokens(states, mask))
    return torch.cat(rows).float()
