"""The actions that a checkpoint knows, as places in the space of its text encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torch.nn import functional as F

_SAY_LITTLE = {"act", "arm", "be", "call", "deep", "direct", "front", "high", "long", "show", "side", "small", "tell", "touch"}
"""First words of names of actions that many other sentences have too."""


class KnownActions(ModelMixin, ConfigMixin):
    """The actions that a checkpoint learned, and how near a sentence is to them.

    A sentence and an action are as near as the cosine between their texts, means over the tokens of the checkpoint's own text encoder from
    which the mean of all known texts is taken off. An action has some places, since it is said in several ways.

    Means over tokens come from `MDMPipeline.encode_prompt`. A pipeline that has this part warns of sentences that are far from all actions.

    Args:
        names (`list[str]`): Short names of the actions.
        examples (`list[str]`): A sentence for each.
        places (`list[int]`): How many places each action has.
        dim (`int`): Width of the text encoder.
        threshold (`float`, defaults to 0.0): A sentence that is less near than this to all actions is far from everything that is known.

    Raises:
        ValueError: If the lists have different lengths, or an action has no place.
    """

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(self, names: list[str], examples: list[str], places: list[int], dim: int, threshold: float = 0.0) -> None:
        super().__init__()
        if not len(names) == len(examples) == len(places) or not names or min(places) < 1:
            raise ValueError(
                f"names, examples and places must be of one length and every action have a place, got {len(names)} names, "
                f"{len(examples)} examples and {len(places)} places."
            )
        self.register_buffer("center", torch.zeros(dim))
        self.register_buffer("embeddings", torch.zeros(sum(places), dim))
        self.register_buffer("_action", torch.arange(len(names)).repeat_interleave(torch.tensor(places)), persistent=False)

    @classmethod
    def from_texts(
        cls, texts: dict[str, tuple[str, Tensor]], known: Tensor, unknown: Tensor, share: float = 0.02, places: int = 4, seed: int = 0
    ) -> KnownActions:
        """Find the places of actions.

        Args:
            texts (`dict[str, tuple[str, torch.Tensor]]`): By name of the action an example sentence, and the embeddings of its wordings,
                (wordings, dim).
            known (`torch.Tensor`): Embeddings of sentences that should count as known, (sentences, dim).
            unknown (`torch.Tensor`): Embeddings of sentences that say nothing of the kind, (sentences, dim).
            share (`float`, defaults to 0.02): The threshold lies half-way between how near the median of `unknown` is and how near all but
                this share of `known` are.
            places (`int`, defaults to 4): Most places of an action, found by k-means over its wordings.
            seed (`int`, defaults to 0): For k-means.

        Returns:
            `KnownActions`: With its threshold.
        """
        center = torch.cat([vectors for _, vectors in texts.values()]).mean(0)
        found = [_means(F.normalize(vectors - center, dim=-1), places, seed) for _, vectors in texts.values()]
        actions = cls(list(texts), [example for example, _ in texts.values()], [len(one) for one in found], len(center))
        actions.center.copy_(center)
        actions.embeddings.copy_(F.normalize(torch.cat(found), dim=-1))
        near, far = torch.quantile(actions(known).amax(-1), share), actions(unknown).amax(-1).median()
        actions.register_to_config(threshold=float((near + far) / 2))
        return actions

    def forward(self, embeddings: Tensor) -> Tensor:
        """How near texts are to each action.

        Args:
            embeddings (`torch.Tensor`): Means over tokens, (batch, dim).

        Returns:
            `torch.Tensor`: Cosines of the nearest place of each action, (batch, actions), float32.
        """
        centered = F.normalize(embeddings.float() - self.center.float(), dim=-1)
        nearness = centered @ self.embeddings.float().T
        actions = torch.full((len(embeddings), len(self.config.names)), -1.0, device=nearness.device)
        return actions.scatter_reduce(1, self._action.expand(len(embeddings), -1), nearness, "amax")

    def nearest(self, embeddings: Tensor) -> list[str | None]:
        """The example of the action that each text is nearest to, None for a text that is far from all.

        Args:
            embeddings (`torch.Tensor`): Means over tokens, (batch, dim).
        """
        nearness, action = self(embeddings).max(-1)
        known = (nearness >= self.config.threshold).tolist()
        return [self.config.examples[index] if near else None for index, near in zip(action.tolist(), known, strict=True)]

    def far(self, embeddings: Tensor, texts: Sequence[str], count: int = 3) -> dict[str, list[str]]:
        """Texts that are far from everything known, each with the names of the nearest actions.

        One that says what an action begins with, such as "waves" where "wave the left hand" is known, is not far: it may just say less.

        Args:
            embeddings (`torch.Tensor`): Means over tokens, (batch, dim).
            texts (`list[str]`): The texts.
            count (`int`, defaults to 3): How many names.
        """
        nearness = self(embeddings)
        order = nearness.argsort(-1, descending=True)[:, :count].tolist()
        unknown = (nearness.amax(-1) < self.config.threshold).tolist()
        return {
            text: [self.config.names[action] for action in best]
            for text, best, far in zip(texts, order, unknown, strict=True)
            if far and not self._names_one(text)
        }

    def _names_one(self, text: str) -> bool:
        verbs = {name.split()[0].lower() for name in self.config.names} - _SAY_LITTLE
        return any(verbs & _forms(word) for word in re.findall(r"[a-z]{3,}", text.lower()))


def _forms(word: str) -> set[str]:
    """A word, and what it may be a form of: "waving" of "wave", "hops" and "hopping" of "hop"."""
    stems = {word.removesuffix(ending) for ending in ("s", "es", "d", "ed", "ing")}
    halved = {stem[:-1] for stem in stems if stem[-1:] == stem[-2:-1]}
    return {word, *stems, *halved, *(f"{stem}e" for stem in stems)}


def _means(vectors: Tensor, count: int, seed: int) -> Tensor:
    """k-means on the sphere: (at most count, dim)."""
    if len(vectors) <= count:
        return vectors
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    means = vectors[order[:count]]
    for _ in range(20):
        nearest = (vectors @ F.normalize(means, dim=-1).T).argmax(-1)
        taken = [vectors[nearest == place] for place in range(len(means))]
        means = torch.stack([one.mean(0) for one in taken if len(one)])
    return means
