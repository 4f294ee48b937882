"""`MotionTokenizer`: motion codes as text and token ids, and back."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.tokenization_python import PreTrainedTokenizer
from transformers.tokenization_utils_base import AddedToken, PreTrainedTokenizerBase

from ..hub.loading import loading
from ..models.motion_vq.configuration_motion_vq import MotionVQConfig
from .motion_formats import (
    FORMATS,
    SPECIAL_TOKENS,
    DecodedMotion,
    Meaning,
    Piece,
    check_codes,
    codes_to_text,
    gather_codes,
    integer_pieces,
    list_pieces,
    motion_tokens,
    motiongpt_tokens,
    to_array,
    token_pieces,
)

_SPECIAL_NAMES = {"bos_token": "start", "eos_token": "end", "mask_token": "mask", "pad_token": "pad"}


class MotionTokenizer(PreTrainedTokenizer):
    """Codes of a VQ model as text and as token ids, and back.

    Code `i` has id `i`; start, end, mask and pad follow, `codebook_size + 0` to `codebook_size + 3`. The codes of further quantizers
    (residual VQ), `<motion_{quantizer}_{code}>`, follow these, so that no id depends on `num_quantizers`. With several quantizers, the
    codes of a time step stand together, quantizer 0 first. Of two streams (HumanTOMATO), a step has two codes of the body, of book 0, and
    one of the hands, of book 1: `<motion_12><motion_3><motion_1_7>`.

    There are four formats of text:

    | `format` | a motion | source |
    |---|---|---|
    | `"motion"` | `<motion_start><motion_12><motion_3><motion_end>` | ours |
    | `"motiongpt"` | `<motion_id_512><motion_id_12><motion_id_3><motion_id_513>` | Jiang et al., MotionGPT (NeurIPS 2023) |
    | `"integers"` | `12,3` | VimoRAG, with the codes of T2M-GPT |
    | `"list"` | `[12, 3]` | CigTime, inside of an Alpaca prompt |

    All but `"motiongpt"` write the codes of several quantizers too, in `"integers"` and `"list"` as so many numbers for each time step.

    Reading is strict, then anything that does not fit is an error that names its position; or lenient (`strict=False`), then it is left
    out and counted. In the format `"integers"`, a motion that was cut inside of a number or before a comma looks whole; and the last
    number of a truncated `"list"` may be half of one.

    Args:
        codebook_size (`int`, defaults to 512): Codes per codebook.
        num_quantizers (`int`, defaults to 1): Codebooks.
        step_books (`list[int]`, *optional*): The book of each code of a time step, in order, such as `[0, 0, 1]` of two streams; each book
            once by default. Where this says `num_quantizers` rows of codes, there are as many as codes in a step.

    Raises:
        ValueError: If an option is no positive integer, a book has no place in a step, a special token is renamed, or the tokens of a saved
            tokenizer would move.

    Example:
        >>> tokenizer = MotionTokenizer()
        >>> text = tokenizer.encode_motion([3, 7])
        >>> text, tokenizer(text)["input_ids"]
        ('<motion_start><motion_3><motion_7><motion_end>', [512, 3, 7, 513])
        >>> tokenizer.encode_motion([3, 7], format="motiongpt")
        '<motion_id_512><motion_id_3><motion_id_7><motion_id_513>'
        >>> tokenizer.decode_motion("Here you are: [3, 7, oops]", format="list", strict=False)
        DecodedMotion(codes=tensor([3, 7]), dropped=1, truncated=False)
        >>> MotionTokenizer(num_quantizers=2, step_books=[0, 0, 1]).encode_motion([[12], [3], [7]])
        '<motion_start><motion_12><motion_3><motion_1_7><motion_end>'
    """

    vocab_files_names: dict[str, str] = {}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, codebook_size: int = 512, num_quantizers: int = 1, step_books: Sequence[int] | None = None, **kwargs: Any) -> None:
        options: dict[str, Any] = {"codebook_size": codebook_size, "num_quantizers": num_quantizers}
        for name, value in options.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
        self.step_books = list(range(num_quantizers)) if step_books is None else list(step_books)
        if sorted(set(self.step_books)) != list(range(num_quantizers)) or self.step_books[0] != 0:
            raise ValueError(
                f"step_books must begin with 0 and name each of the {num_quantizers} books, 0 to {num_quantizers - 1}, got {step_books}."
            )
        if self.step_books != list(range(num_quantizers)):
            options["step_books"] = self.step_books
        self.codebook_size, self.num_quantizers = codebook_size, num_quantizers
        self._meanings = motion_tokens(codebook_size, num_quantizers)
        self._tokens = list(self._meanings)
        self._ids = {token: index for index, token in enumerate(self._tokens)}
        special = {name: SPECIAL_TOKENS[kind] for name, kind in _SPECIAL_NAMES.items()}
        for name, token in special.items():
            if str(kwargs.get(name, token)) != token:
                raise ValueError(f"{name} is always {token!r}, got {str(kwargs[name])!r}; leave it out.")
        super().__init__(**{**kwargs, **special, **options})
        for index, token in self._added_tokens_decoder.items():
            if self._ids.get(token.content, index) != index or (index < len(self._tokens) and self._tokens[index] != token.content):
                raise ValueError(
                    f"{token.content!r} was saved with id {index}, which does not fit codebook_size {codebook_size} and num_quantizers "
                    f"{num_quantizers}. Ids never move: load with the saved options, or make a new MotionTokenizer."
                )

    @classmethod
    def of(cls, config: MotionVQConfig) -> MotionTokenizer:
        """The one that writes the codes of a motion tokenizer's model.

        Args:
            config (`MotionVQConfig`): The model's.
        """
        return cls(config.codebook_size, config.num_quantizers, config.step_books)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> MotionTokenizer:
        """Load one; see `transformers.PreTrainedTokenizerBase.from_pretrained` for the arguments.

        Raises:
            OSError: If there is none.
            ValueError: If a file of it is damaged; the message names it.
        """
        with loading(pretrained_model_name_or_path, "tokenizer", kwargs.get("subfolder") or ""):
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @property
    def vocab_size(self) -> int:
        """Number of codes and special tokens, without tokens that were added later."""
        return len(self._tokens)

    def get_vocab(self) -> dict[str, int]:
        """Tokens and ids."""
        return {**self._ids, **self._added_tokens_encoder}

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """Cut text of the format `"motion"` into tokens; white space between them is none.

        Args:
            text (`str`): Nothing but tokens.
            pair (`str`, *optional*): Has to be None.
            add_special_tokens (`bool`, defaults to `False`): Changes nothing: start and end are in the text.
            **kwargs: Not used.

        Returns:
            `list[str]`: The tokens.

        Raises:
            ValueError: If there is a pair, or anything but tokens in the text.
        """
        if pair is not None:
            raise ValueError(f"MotionTokenizer reads single texts, got the pair {pair!r}. Call it once for each.")
        known = self.get_vocab()
        added = sorted(set(self._added_tokens_encoder) - set(self._ids), key=len, reverse=True)
        pattern = re.compile("|".join([*map(re.escape, added), r"<motion_[^<>\s]*>?", r"\S+?(?=<motion_|\s|$)"]))
        tokens = []
        for match in pattern.finditer(text):
            if match[0] not in known:
                raise ValueError(f"At character {match.start()}, {match[0]!r} {_NO_TOKEN}")
            tokens.append(match[0])
        return tokens

    def encode_motion(self, codes: Any, format: str = "motion") -> str:
        """Write one motion as text.

        Args:
            codes (`torch.Tensor`, `np.ndarray` or lists): Integers of shape `(tokens,)` or `(num_quantizers, tokens)`.
            format (`str`, defaults to `"motion"`): `"motion"`, `"motiongpt"`, `"integers"` or `"list"`; see the class.

        Returns:
            `str`: The text.

        Raises:
            ValueError: If a code is out of range, the shape or the number of quantizers does not fit, or the format is unknown.
        """
        self._check_format(format)
        checked = check_codes(codes, self.codebook_size, len(self.step_books))
        return codes_to_text(checked, format, self.codebook_size, self.step_books)

    def decode_motion(self, text: str, strict: bool = True, format: str = "motion") -> DecodedMotion:
        """Read one motion from a text, which may say other things before and after it.

        Of several runs of integers, or lists of them, the longest is the motion; single numbers beside it are taken for prose.

        Args:
            text (`str`): What a language model answered, for example.
            strict (`bool`, defaults to `True`): Refuse what does not fit: malformed tokens, codes out of range, text between codes,
                quantizers out of turn, a start or an end that is missing, a second motion, no codes. Otherwise it is left out and
                counted, and a motion without start or end is kept.
            format (`str`, defaults to `"motion"`): As for `encode_motion`.

        Returns:
            `DecodedMotion`: `codes` is a `torch.long` tensor of shape `(tokens,)`, or `(num_quantizers, tokens)` if there are several.

        Raises:
            ValueError: If something does not fit, with its position (the first character is 0); or the format is unknown.
            TypeError: If `text` is no string.
        """
        self._check_format(format)
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, got {type(text).__name__}. Call decode_motion once for each text.")
        if format in ("motion", "motiongpt"):
            pieces = token_pieces(text, self._format_tokens(format))
        else:
            pieces = (integer_pieces if format == "integers" else list_pieces)(text, self.codebook_size, self.step_books)
        end = f"At character {len(text)}"
        codes, dropped, truncated = gather_codes(pieces, self.codebook_size, self.step_books, strict, format, end)
        return DecodedMotion(torch.from_numpy(self._squeeze(codes)), dropped, truncated)

    def codes_to_ids(self, codes: Any, attention_mask: Any = None, delimiters: bool = True) -> Any:
        """Token ids of codes, the same as those of their text.

        Args:
            codes (`torch.Tensor`, `np.ndarray` or list): One motion as for `encode_motion`; or a batch, `(batch, tokens)` for one
                quantizer, `(batch, num_quantizers, tokens)`; or a list of motions of any length.
            attention_mask (`torch.Tensor`, `np.ndarray` or list, *optional*): 1 (or True) for codes, 0 for padding, which may be of any
                value; shape `(tokens,)` or `(batch, tokens)`.
            delimiters (`bool`, defaults to `True`): Put start and end around each motion.

        Returns:
            `torch.Tensor` or `np.ndarray`: Shape `(ids,)` or `(batch, ids)`, of type int64, filled up with `pad_token_id` on
            `padding_side`; an array if the codes are one, else a tensor, on the device of the codes.

        Raises:
            ValueError: If a code is out of range, or a shape or the number of quantizers does not fit.
        """
        batch, single = self._motions(codes)
        masks = self._masks(attention_mask, batch, single)
        start, end = ([self.bos_token_id], [self.eos_token_id]) if delimiters else ([], [])
        offsets = np.array([book * self.codebook_size + len(SPECIAL_TOKENS) if book else 0 for book in self.step_books])
        rows = []
        for index, (motion, mask) in enumerate(zip(batch, masks, strict=True)):
            checked = check_codes(motion, self.codebook_size, len(self.step_books), mask, "codes" if single else f"codes[{index}]")
            checked += offsets[:, None]
            rows.append([*start, *checked.T.reshape(-1).tolist(), *end])
        width = max((len(row) for row in rows), default=0)
        fill = [[self.pad_token_id] * (width - len(row)) for row in rows]
        rows = [gap + row if self.padding_side == "left" else row + gap for row, gap in zip(rows, fill, strict=True)]
        ids = np.array(rows[0] if single else rows, dtype=np.int64)
        return _like(ids, codes)

    def ids_to_codes(
        self, ids: Any, attention_mask: Any = None, delimiters: bool = True, strict: bool = True
    ) -> DecodedMotion | list[DecodedMotion]:
        """Codes of token ids.

        Args:
            ids (`torch.Tensor`, `np.ndarray` or list): Integers of shape `(ids,)`, or `(batch, ids)`. Padding around a motion does not
                count.
            attention_mask (`torch.Tensor`, `np.ndarray` or list, *optional*): Of the shape of `ids`; where it is 0, ids are not read.
            delimiters (`bool`, defaults to `True`): Each motion stands between start and end.
            strict (`bool`, defaults to `True`): As for `decode_motion`.

        Returns:
            `DecodedMotion`, or a list of them for a batch: `codes` is int64 of shape `(tokens,)`, or `(num_quantizers, tokens)`; an
            array if the ids are one, else a tensor on their device.

        Raises:
            ValueError: If something does not fit, with its position; or a shape does not fit.
        """
        array = to_array(ids, "ids")
        if array.ndim not in (1, 2):
            raise ValueError(f"ids must have shape (ids,) or (batch, ids), got {array.shape}.")
        rows = list(array) if array.ndim == 2 else [array]
        decoded = []
        for index, (row, mask) in enumerate(zip(rows, self._masks(attention_mask, rows, array.ndim == 1), strict=True)):
            source = f"row {index}" if array.ndim == 2 else "the ids"
            places = range(len(row)) if mask is None else np.flatnonzero(mask).tolist()
            pieces = [self._piece(f"At token {place} of {source}", int(row[place])) for place in places]
            layout = "ids of start, codes, end" if delimiters else "ids of codes only"
            end = f"At token {len(row)} of {source}"
            codes, dropped, truncated = gather_codes(pieces, self.codebook_size, self.step_books, strict, layout, end, delimiters)
            decoded.append(DecodedMotion(_like(self._squeeze(codes), ids), dropped, truncated))
        return decoded if array.ndim == 2 else decoded[0]

    def extend(self, text_tokenizer: PreTrainedTokenizerBase, format: str = "motiongpt") -> dict[str, int]:
        """Add the motion tokens to the vocabulary of a text tokenizer, always in the same order, with ids that follow each other.

        A tokenizer that has them stays as it is. Enlarge the embeddings of its model afterwards.

        Args:
            text_tokenizer (`PreTrainedTokenizerBase`): Any tokenizer of transformers; it is changed.
            format (`str`, defaults to `"motiongpt"`): `"motiongpt"` (515 tokens for 512 codes) or `"motion"` (all of this tokenizer's).

        Returns:
            `dict[str, int]`: Tokens and their ids in `text_tokenizer`; the first is code 0 of quantizer 0.

        Raises:
            ValueError: If the format has no tokens, or `text_tokenizer` has some of them only, or has them in another order.
            TypeError: If `text_tokenizer` is no tokenizer.

        Example:
            >>> from transformers import T5Config, T5ForConditionalGeneration
            >>> from hf_motion.trainers.new_pipeline import train_clip_tokenizer
            >>> text_tokenizer = train_clip_tokenizer(["a man walks"], 514)
            >>> ids = MotionTokenizer(codebook_size=8).extend(text_tokenizer)
            >>> ids["<motion_id_0>"], ids["<motion_id_10>"]
            (514, 524)
            >>> options = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
            >>> model = T5ForConditionalGeneration(T5Config(vocab_size=514, **options))
            >>> model.resize_token_embeddings(len(text_tokenizer)).num_embeddings
            525
        """
        self._check_format(format)
        if format not in ("motion", "motiongpt"):
            raise ValueError(f"The format {format!r} is plain text and has no tokens to add. Use the text tokenizer as it is.")
        if not isinstance(text_tokenizer, PreTrainedTokenizerBase):
            raise TypeError(f"text_tokenizer must be a tokenizer of transformers, got {type(text_tokenizer).__name__}.")
        tokens = list(self._format_tokens(format))
        vocab = {**text_tokenizer.get_vocab(), **text_tokenizer.get_added_vocab()}
        missing = [token for token in tokens if token not in vocab]
        if len(missing) == len(tokens):
            text_tokenizer.add_tokens([AddedToken(token, normalized=False) for token in tokens])
            vocab = {**text_tokenizer.get_vocab(), **text_tokenizer.get_added_vocab()}
        elif missing:
            raise ValueError(
                f"The text tokenizer has {len(tokens) - len(missing)} of the {len(tokens)} motion tokens, but not {missing[0]!r}, so "
                "adding the others would mix up their order. Begin with a text tokenizer without motion tokens, or set codebook_size and "
                "num_quantizers to what it was extended with."
            )
        for index, token in enumerate(tokens):
            if vocab[token] != vocab[tokens[0]] + index:
                raise ValueError(
                    f"The text tokenizer has the motion tokens in another order: {token!r} has id {vocab[token]}, not "
                    f"{vocab[tokens[0]] + index}. Begin with a text tokenizer without motion tokens."
                )
        return {token: vocab[token] for token in tokens}

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Join tokens without spaces.

        Args:
            tokens (`list[str]`): Tokens.

        Returns:
            `str`: Text of the format `"motion"`.
        """
        return "".join(tokens)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write nothing; the options in `tokenizer_config.json` say all.

        Args:
            save_directory (`str`): Folder.
            filename_prefix (`str`, *optional*): Beginning of the file names.

        Returns:
            `tuple[str, ...]`: No files.
        """
        return ()

    def _check_format(self, format: str) -> None:
        if format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(map(repr, FORMATS))}, got {format!r}.")
        if format == "motiongpt" and self.num_quantizers > 1:
            raise ValueError(f"The format {format!r} has one quantizer, this tokenizer has {self.num_quantizers}. Use format='motion'.")

    def _format_tokens(self, format: str) -> dict[str, Meaning]:
        return self._meanings if format == "motion" else motiongpt_tokens(self.codebook_size)

    def _squeeze(self, codes: np.ndarray) -> np.ndarray:
        return codes[0] if self.num_quantizers == 1 else codes

    def _piece(self, where: str, index: int) -> Piece:
        if not 0 <= index < len(self._tokens):
            return Piece(where, str(index), "bad")
        token = self._tokens[index]
        return Piece(where, token, *self._meanings[token])

    def _motions(self, codes: Any) -> tuple[list[np.ndarray], bool]:
        """Codes of each motion, and whether there is just one, outside of a batch."""
        if isinstance(codes, (list, tuple)) and codes and not isinstance(codes[0], (int, np.integer)):
            batch = [to_array(row, f"codes[{index}]") for index, row in enumerate(codes)]
            single = self.num_quantizers > 1 and all(row.ndim == 1 for row in batch)
            return ([to_array(batch, "codes")], True) if single else (batch, False)
        array = to_array(codes, "codes")
        single = array.ndim <= min(self.num_quantizers, 2)
        return ([array] if single else list(array)), single

    def _masks(self, attention_mask: Any, rows: Sequence[np.ndarray], single: bool) -> list[np.ndarray | None]:
        if attention_mask is None:
            return [None] * len(rows)
        masks = attention_mask.detach().cpu().numpy() if isinstance(attention_mask, torch.Tensor) else np.asarray(attention_mask)
        masks = masks[None] if single else masks
        shapes, wanted = [mask.shape for mask in masks], [row.shape[-1:] for row in rows]
        if shapes != wanted:
            raise ValueError(f"attention_mask must have one entry for each position, {wanted} for each row, got {shapes}.")
        return list(masks != 0)

    def _convert_token_to_id(self, token: str) -> int:
        if token not in self._ids:
            raise ValueError(f"{token!r} {_NO_TOKEN}")
        return self._ids[token]

    def _convert_id_to_token(self, index: int) -> str:
        if not 0 <= index < len(self._tokens):
            raise ValueError(f"{index} is no token id of this MotionTokenizer; they are 0 to {len(self) - 1}.")
        return self._tokens[index]


def _like(array: np.ndarray, sample: Any) -> Any:
    """The array itself if `sample` is one or a list of them, else a tensor on the device of `sample`."""
    first = sample[0] if isinstance(sample, (list, tuple)) and sample else sample
    if isinstance(first, np.ndarray):
        return array
    return torch.from_numpy(array).to(first.device if isinstance(first, torch.Tensor) else "cpu")


_NO_TOKEN = "is no token of this MotionTokenizer, which reads no other text. decode_motion finds a motion inside of a longer text."
