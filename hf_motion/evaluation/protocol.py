"""Which clip, which caption and which frames are scored: the published protocol, and one without chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..metrics import r_precision
from .clips import EvaluationClips

CAPTION_POLICIES = ("first", "all", "random")
LENGTH_POLICIES = ("given", "generated")


@dataclass(frozen=True)
class Sample:
    """One thing that is scored: frames `start` to `start + length` of a clip, with one of its captions."""

    clip: int
    caption: int
    start: int
    length: int


@dataclass(frozen=True)
class Protocol:
    """Settings of an evaluation; every one of them is written into the result.

    Args:
        name (`str`): `"strict"` or `"guo"`.
        captions (`str`): Which caption a clip is scored with: its `"first"`, `"all"` of them (one sample each), or one at `"random"`.
        lengths (`str`): `"given"`: a model is told the length of the real clip, as MDM, MoMask and most others are. `"generated"`: it
            chooses. These are two tasks; their numbers do not compare.
        jitter (`bool`): Cut clips at random as the published loaders do, at test time too: a whole number of units, one unit shorter in
            one of three draws, from a random offset. Otherwise clips are cut to whole units from their first frame.
        drop_last (`bool`): Leave out what does not fill the last pool. Otherwise it is scored in a pool filled up with other samples.
        equal_captions_hit (`bool`): Whether retrieving another motion with the very same caption is a hit.
        unit_length (`int`): Frames per unit.
        min_frames (`int`): Shorter clips are left out.
        max_frames (`int`): Longer clips are cut to this many frames.
        leave_out_from (`int`, *optional*): Clips with so many frames are left out altogether.
        pool_size (`int`): Motions that a text is to be told from, in R-precision.
        alignment_pool_size (`int`): The same for TMR's R-precision.
        top_k (`int`): R-precision is given for 1 to `top_k`.
        diversity_pairs (`int`): Pairs of samples for diversity.
        replications (`int`): How often everything is drawn and scored.
        generations (`int`): How often motions are generated; replications take turns in using them.
        seed (`int`): All chance comes from it.
        one_body (`bool`): Put real clips and made motion on the body that decoding ends on, lest FID measure bodies too; not as published.
    """

    name: str
    captions: str = "first"
    lengths: str = "given"
    jitter: bool = False
    drop_last: bool = False
    equal_captions_hit: bool = True
    unit_length: int = 4
    min_frames: int = 40
    max_frames: int = 196
    leave_out_from: int | None = None
    pool_size: int = 32
    alignment_pool_size: int = 256
    top_k: int = 3
    diversity_pairs: int = 300
    replications: int = 20
    generations: int = 1
    seed: int = 0
    one_body: bool = False

    def __post_init__(self) -> None:
        if self.captions not in CAPTION_POLICIES:
            raise ValueError(f"captions must be one of {', '.join(map(repr, CAPTION_POLICIES))}, got {self.captions!r}.")
        if self.lengths not in LENGTH_POLICIES:
            raise ValueError(f"lengths must be one of {', '.join(map(repr, LENGTH_POLICIES))}, got {self.lengths!r}.")
        for name in ("replications", "generations", "pool_size", "alignment_pool_size", "top_k", "unit_length", "diversity_pairs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("pool_size", "alignment_pool_size"):
            if getattr(self, name) < max(2, self.top_k):
                raise ValueError(f"{name} must be at least 2 and top_k ({self.top_k}), got {getattr(self, name)}.")
        if self.max_frames < self.min_frames:
            raise ValueError(f"max_frames must be at least min_frames ({self.min_frames}), got {self.max_frames}.")
        if self.generations > self.replications:
            raise ValueError(f"{self.generations} generations cannot take turns in {self.replications} replications; lower generations.")
        if self.min_frames < (2 if self.jitter else 1) * self.unit_length:
            raise ValueError(f"min_frames must leave at least one unit of {self.unit_length} frames, got {self.min_frames}.")

    def to_dict(self) -> dict[str, Any]:
        """All settings."""
        return asdict(self)

    def samples(self, clips: EvaluationClips, draw: Sequence[int]) -> list[Sample]:
        """The samples of one draw, in the order of the clips.

        Args:
            clips (`EvaluationClips`): What there is.
            draw (`Sequence[int]`): Numbers that, with the seed, name this draw.
        """
        random = np.random.default_rng((self.seed, *draw))
        samples = []
        for clip, (features, captions) in enumerate(zip(clips.features, clips.captions, strict=True)):
            frames = min(len(features), self.max_frames)
            units = frames // self.unit_length
            if self.jitter and random.integers(3) == 2:
                units -= 1
            length = units * self.unit_length
            start = int(random.integers(len(features) - length + 1)) if self.jitter else 0
            chosen = {"first": [0], "all": range(len(captions))}.get(self.captions) or [int(random.integers(len(captions)))]
            samples += [Sample(clip, caption, start, length) for caption in chosen]
        return samples

    def fitted(self, clips: EvaluationClips, fixed: Sequence[str] = ()) -> Protocol:
        """The same protocol with pools no larger than the set.

        Args:
            clips (`EvaluationClips`): What there is.
            fixed (`Sequence[str]`): Pools that stay as they are: `"pool_size"`, `"alignment_pool_size"`.
        """
        count = max(len(self.samples(clips, (0, 0))), 2, self.top_k)
        sizes = {name: min(getattr(self, name), count) for name in ("pool_size", "alignment_pool_size") if name not in fixed}
        return replace(self, **sizes)

    def order(self, count: int, replication: int, draw: int) -> np.ndarray:
        """In which order samples fill the pools of a replication; the same for real and for generated motion where both are the same
        samples, so that they are told from the same others.
        """
        order = self.random(replication, draw).permutation(count)
        return order[: count // self.pool_size * self.pool_size] if self.drop_last else order

    def r_precision(
        self, queries: np.ndarray, answers: np.ndarray, similarity: str, labels: Sequence[str], clips: Sequence[int], pool_size: int
    ) -> np.ndarray:
        """R-precision for 1 to `top_k`, with ties and a rest of the pools as the protocol has them.

        Args:
            queries (`numpy.ndarray`): Embeddings (samples, dim), of texts or motions.
            answers (`numpy.ndarray`): Those of what they are to find.
            similarity (`str`): `"cosine"` or `"euclidean"`.
            labels (`list[str]`): Each sample's text.
            clips (`list[int]`): Each sample's clip.
            pool_size (`int`): Samples in a pool.
        """
        return r_precision(
            queries, answers, top_k=self.top_k, pool_size=pool_size, metric=similarity, clips=clips, drop_last=self.drop_last,
            labels=labels if self.equal_captions_hit else None,
        )  # fmt: skip

    def random(self, replication: int, draw: int) -> np.random.Generator:
        """The chance of a replication: of its own for each draw where draws differ."""
        return np.random.default_rng((self.seed, replication, draw if self.jitter else 0, 1))


PROTOCOLS = {
    "strict": Protocol("strict"),
    "guo": Protocol("guo", captions="random", jitter=True, drop_last=True, equal_captions_hit=False, leave_out_from=200, generations=20),
}
"""`"strict"`: no chance in what is scored, every clip is. `"guo"`: as published by Guo et al. (CVPR 2022) and used ever since."""


def get_protocol(name: str, **changes: Any) -> Protocol:
    """A protocol with some settings changed; None leaves a setting as it is.

    `"guo"` generates anew for each replication, as published, unless `generations` says otherwise.

    Raises:
        ValueError: If there is no such protocol, or a setting does not fit.

    Example:
        >>> get_protocol("strict", seed=3).seed
        3
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(map(repr, PROTOCOLS))}, got {name!r}.")
    changes = {key: value for key, value in changes.items() if value is not None}
    if name == "guo" and "generations" not in changes:
        changes["generations"] = changes.get("replications", PROTOCOLS[name].replications)
    return replace(PROTOCOLS[name], **changes)
