"""Another text encoder for a trained pipeline: it learns to be read as the old one was, from other wordings too.

A diffusion pipeline that learned from a few thousand captions knows their words only. A pretrained language model knows English, but a new
text encoder means to train the denoiser anew. Most of that is not about motion: the denoiser looks at a text through its cross-attention
alone, so a new encoder is as good as the old one if attention reads the same from it. Here it learns that, without any motion in the
loop: hundreds of texts a second rather than a dozen clips.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import BertModel, PreTrainedTokenizerBase, Trainer

from ..data.motion_text import MotionTextDataset, mirror_text
from ..data.paraphrases import Paraphrases
from ..hub.training_card import TrainingRecord
from ..nn.padding import pad_and_mask
from ..pipelines.mdm import MDMPipeline
from ..text_encoders import text_width
from ..utils.training_folder import leave_sign
from .resuming import Resumable


def shrink_bert(
    encoder: BertModel, tokenizer: PreTrainedTokenizerBase, num_layers: int, texts: Iterable[str], vocab_size: int, max_tokens: int
) -> tuple[BertModel, PreTrainedTokenizerBase]:
    """The first layers of a BERT, with fewer words.

    Kept are the special tokens, single ASCII characters, all word pieces of the texts, and then the first of the vocabulary, which has them
    by frequency. Any other word is spelled with these.

    Args:
        encoder (`BertModel`): Left as it is.
        tokenizer (`PreTrainedTokenizerBase`): Its fast wordpiece tokenizer.
        num_layers (`int`): How many layers to keep.
        texts (`Iterable[str]`): Texts whose words are kept whole.
        vocab_size (`int`): Number of tokens to keep.
        max_tokens (`int`): Longest text, special tokens included.

    Returns:
        `tuple[BertModel, PreTrainedTokenizerBase]`: New ones.

    Raises:
        ValueError: If there are not so many layers or tokens, or the texts and single characters need more.
    """
    if not 1 <= num_layers <= encoder.config.num_hidden_layers:
        raise ValueError(f"num_layers must be from 1 to {encoder.config.num_hidden_layers}, got {num_layers}.")
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    used = {token for text in texts for token in tokenizer.tokenize(text)}
    special = set(tokenizer.all_special_tokens)
    needed = [word for word, _ in words if word in special or word in used or _is_letter(word.removeprefix("##"))]
    if not len(needed) <= vocab_size <= len(words):
        raise ValueError(
            f"vocab_size must be from {len(needed)} (special tokens, characters, these texts) to {len(words)}, got {vocab_size}."
        )
    taken = set(needed)
    more = [word for word, _ in words if word not in taken and not word.startswith("[unused")]
    taken.update(more[: vocab_size - len(needed)])
    kept = [(word, index) for word, index in words if word in taken]

    config = copy.deepcopy(encoder.config)
    config.vocab_size, config.num_hidden_layers, config.max_position_embeddings = len(kept), num_layers, max_tokens
    small = BertModel(config, add_pooling_layer=encoder.pooler is not None).to(encoder.dtype)
    state = encoder.state_dict()
    rows = torch.tensor([index for _, index in kept])
    state["embeddings.word_embeddings.weight"] = state["embeddings.word_embeddings.weight"][rows]
    state["embeddings.position_embeddings.weight"] = state["embeddings.position_embeddings.weight"][:max_tokens]
    small.load_state_dict({name: state[name] for name in small.state_dict() if name in state}, strict=False)

    description = json.loads(tokenizer.backend_tokenizer.to_str())
    places = {word: place for place, (word, _) in enumerate(kept)}
    description["model"]["vocab"] = places
    description["padding"] = description["truncation"] = None
    for token in description["added_tokens"]:
        token["id"] = places[token["content"]]
    for token in description.get("post_processor", {}).get("special_tokens", {}).values():
        token["ids"] = [places[name] for name in token["tokens"]]
    backend = Tokenizer.from_str(json.dumps(description))
    names = {name: getattr(tokenizer, name) for name in ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")}
    return small.eval(), type(tokenizer)(tokenizer_object=backend, model_max_length=max_tokens, **names)


def _is_letter(piece: str) -> bool:
    return len(piece) == 1 and piece.isascii()


class TextTransplant(nn.Module):
    """A new text encoder and its projection, and how far attention reads something else from them than from the old ones.

    Args:
        teacher (`MDMPipeline`): A trained pipeline whose denoiser attends to tokens; it is not changed.
        encoder (`PreTrainedModel`): The new text encoder; trained.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        queries (`torch.Tensor`): What frames ask in each layer, (layers, queries, hidden_size), see `collect_queries`.
        queries_per_step (`int`, defaults to 64): How many of them a step looks at.

    Raises:
        ValueError: If the teacher reads pooled text.
    """

    def __init__(
        self, teacher: MDMPipeline, encoder: nn.Module, tokenizer: PreTrainedTokenizerBase, queries: Tensor, queries_per_step: int = 64
    ) -> None:
        super().__init__()
        if teacher.denoiser.config.text_conditioning != "tokens":
            raise ValueError("A text encoder is transplanted into denoisers that attend to tokens (text_conditioning='tokens').")
        self.encoder = encoder
        self.projection = nn.Linear(text_width(encoder, pooled=False), teacher.denoiser.config.hidden_size, bias=False)
        self._teacher = [teacher.to("cpu")]  # in a list: no part of what is trained and saved
        self.tokenizer, self.queries_per_step = tokenizer, queries_per_step
        self.register_buffer("queries", queries, persistent=False)

    @property
    def teacher(self) -> MDMPipeline:
        """The trained pipeline."""
        return self._teacher[0]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, teacher_text: Tensor, teacher_mask: Tensor, picks: Tensor
    ) -> dict[str, Tensor]:
        """How differently a batch of texts is read.

        Args:
            input_ids (`torch.Tensor`): Wordings for the new encoder, (batch, tokens).
            attention_mask (`torch.Tensor`): (batch, tokens).
            teacher_text (`torch.Tensor`): What the old encoder and projection make of the captions, (batch, old tokens, hidden_size).
            teacher_mask (`torch.Tensor`): (batch, old tokens).
            picks (`torch.Tensor`): Which queries, (queries_per_step,).

        Returns:
            `dict`: `loss`, the share of what attention reads in each layer that is not explained, 1 for a text that says nothing.
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        text = self.projection(states) + self.teacher.denoiser.text_projection.bias
        losses = []
        for block, queries in zip(self.teacher.denoiser.blocks, self.queries[:, picks], strict=True):
            with torch.no_grad():
                wanted = _read(block.cross_attention, queries, teacher_text, teacher_mask)
            error = (_read(block.cross_attention, queries, text, attention_mask) - wanted).square().mean()
            losses.append(error / (wanted - wanted.mean(0)).square().mean().clamp_min(1e-8))
        return {"loss": torch.stack(losses).mean()}

    def pipeline(self) -> MDMPipeline:
        """The teacher with the new text encoder in the old one's place."""
        old = self.teacher.denoiser
        denoiser = type(old).from_config(old.config, text_dim=self.projection.in_features)
        state = {name: value for name, value in old.state_dict().items() if name != "text_projection.weight"}
        denoiser.load_state_dict({**state, "text_projection.weight": self.projection.weight.detach()})
        parts = {**self.teacher.components, "denoiser": denoiser.eval(), "text_encoder": self.encoder.eval(), "tokenizer": self.tokenizer}
        options = {name: self.teacher.config[name] for name in ("num_inference_steps", "noise_spacing")}
        return type(self.teacher)(**parts, **options, max_text_tokens=self.encoder.config.max_position_embeddings)


def _read(attention: nn.Module, queries: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    """What frames get from texts, (batch, queries, hidden_size).

    The diffusion step is left out: it adds the same to all keys of a text, which a softmax does not see, and to old and new values alike.
    """
    keys, values = attention.keys_values(text)
    split = (queries[None].expand(len(text), -1, -1), keys, values)
    query, keys, values = (x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for x in split)
    read = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask.bool()[:, None, None])
    return attention.out(read.transpose(1, 2).flatten(2))


@torch.no_grad()
def collect_queries(pipeline: MDMPipeline, dataset: MotionTextDataset, count: int, seed: int = 0, batch_size: int = 16) -> Tensor:
    """What frames of noisy real clips ask of their captions.

    Args:
        pipeline (`MDMPipeline`): A trained pipeline whose denoiser attends to tokens.
        dataset (`MotionTextDataset`): Clips.
        count (`int`): How many queries of each layer.
        seed (`int`, defaults to 0): Which clips, noise and frames.
        batch_size (`int`, defaults to 16): Clips at once; as many frames are taken of each.

    Returns:
        `torch.Tensor`: (layers, count, hidden_size).
    """
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    blocks, taken, chosen = pipeline.denoiser.blocks, [[] for _ in pipeline.denoiser.blocks], []

    def keep(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        # The first token may be the diffusion step's.
        return lambda module, inputs, output: taken[layer].append(output[torch.arange(len(output)), -1 - chosen[-1]])

    hooks = [block.cross_attention.q.register_forward_hook(keep(layer)) for layer, block in enumerate(blocks)]
    for _ in range(-(-count // batch_size)):
        examples = [dataset[draw.randrange(len(dataset)), draw.getrandbits(31)] for _ in range(batch_size)]
        features, mask = pad_and_mask([example["motion_features"] for example in examples])
        chosen.append(features.shape[1] - 1 - (torch.rand(len(features), generator=generator) * mask.sum(1)).long())
        steps = torch.randint(pipeline.scheduler.config.num_train_timesteps, (len(features),), generator=generator)
        noise = torch.randn(features.shape, generator=generator)
        states, text_mask = pipeline.encode_prompt([example["caption"] for example in examples])
        pipeline.denoiser(pipeline.scheduler.add_noise(features, noise, steps), steps, states, text_mask, mask)
    for hook in hooks:
        hook.remove()
    return torch.stack([torch.cat(rows)[:count] for rows in taken])


class WordingDataset(Dataset):
    """Captions and their wordings, each action as often as any other; an index is a seed.

    Args:
        captions (`Sequence[str]`): What the teacher learned from; those without wordings count as actions of their own.
        paraphrases (`Paraphrases`): Wordings.
        size (`int`): Examples of an epoch.
        seed (`int`, defaults to 0): Seed.
        caption_share (`float`, defaults to 0.2): How often the caption itself is the wording.
    """

    def __init__(self, captions: Sequence[str], paraphrases: Paraphrases, size: int, seed: int = 0, caption_share: float = 0.2) -> None:
        self.paraphrases, self.size, self.seed, self.caption_share = paraphrases, size, seed, caption_share
        self.actions: dict[str, list[str]] = {}
        for caption in sorted(set(captions)):
            for name in paraphrases.names(caption) or [caption]:
                self.actions.setdefault(name, []).append(caption)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        draw = random.Random(f"{self.seed} {index}")
        caption = draw.choice(self.actions[draw.choice(list(self.actions))])
        wordings = self.paraphrases(caption)
        wording = caption if not wordings or draw.random() < self.caption_share else draw.choice(wordings)
        if draw.random() < 0.5:
            caption, wording = mirror_text(caption), mirror_text(wording)
        return {"caption": caption, "wording": wording, "index": index}


class WordingCollator:
    """Batches of `WordingDataset` as `TextTransplant` takes them."""

    def __init__(self, transplant: TextTransplant) -> None:
        self.transplant = transplant
        self._cache: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Tokenize wordings, and look up or encode what the teacher makes of the captions."""
        teacher, bank = self.transplant.teacher, self.transplant.queries
        for caption in dict.fromkeys(example["caption"] for example in examples):
            if caption not in self._cache:
                self._cache[caption] = teacher.denoiser.text_projection(teacher.encode_prompt([caption])[0][0])
        text, mask = pad_and_mask([self._cache[example["caption"]] for example in examples])
        limit = self.transplant.encoder.config.max_position_embeddings
        wordings = [example["wording"] for example in examples]
        tokens = self.transplant.tokenizer(wordings, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        generator = torch.Generator().manual_seed(examples[0]["index"])  # of the batch: a run that goes on picks as one that never stopped
        picks = torch.randint(bank.shape[1], (self.transplant.queries_per_step,), generator=generator)
        return {
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            "teacher_text": text,
            "teacher_mask": mask,
            "picks": picks,
        }


class TransplantTrainer(Resumable, Trainer):
    """`transformers.Trainer` of a `TextTransplant` that ends in a pipeline."""

    def save_pipeline(self, folder: Path, record: TrainingRecord) -> None:
        """Save the teacher with its new text encoder as a complete checkpoint.

        Args:
            folder (`pathlib.Path`): Where to.
            record (`TrainingRecord`): What its card tells of the training.

        Raises:
            OSError: If there is no room for it.
        """
        if self.is_world_process_zero():
            self.model.pipeline().save_pretrained(folder)
            record.write(folder)
            leave_sign(Path(self.args.output_dir), folder)
