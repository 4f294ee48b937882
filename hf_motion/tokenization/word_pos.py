"""`WordPosTokenizer`: words with their parts of speech."""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.tokenization_python import PreTrainedTokenizer
from transformers.tokenization_utils_base import BatchEncoding, PaddingStrategy, TruncationStrategy

from ..utils.files import atomic_path
from .glove import load_glove_folder
from .parts_of_speech import OTHER, build_lexicon, pos_id, split_tagged, tag_with_lexicon, tag_with_spacy

_TAGGERS = ("lexicon", "spacy")
_SPECIAL_WORDS = ("sos", "eos", "unk")


class WordPosTokenizer(PreTrainedTokenizer):
    """Captions as word ids and part-of-speech ids, as Guo et al. (CVPR 2022) feed them to their text encoder.

    `sos` and `eos` are put around at most `max_text_len` words; longer captions are cut, as published. A word outside the vocabulary is
    `unk` of class OTHER; a word with a class of its own (`hf_motion.tokenization.parts_of_speech.VIP_WORDS`) has it whatever its tag.

    A call gives `input_ids`, `attention_mask` and `pos_ids`. Raw text is tagged by `tagger`. Text that is tagged already is passed as
    `pos_tagged`: the `word/POS word/POS` form of each text, None for those that the tokenizer shall tag; or True if the texts themselves
    have that form.

    Args:
        vocab_file (`str`, *optional*): JSON list of words.
        lexicon_file (`str`, *optional*): JSON object of raw words and what they become, `word/POS`.
        vocab (`Sequence[str]`, *optional*): The words themselves; `sos`, `eos` and `unk` must be among them.
        lexicon (`Mapping[str, str]`, *optional*): The lexicon itself.
        tagger (`str`, *optional*): What tags raw text: `"lexicon"` or `"spacy"`. Without one, only tagged text is read.
        spacy_model (`str`, defaults to `"en_core_web_sm"`): The pipeline for `"spacy"`.
        max_text_len (`int`, defaults to 20): Words per caption.
        do_lower_case (`bool`, defaults to `True`): Lower raw text first. Tagged text is taken as it is.

    Raises:
        ValueError: If there is no vocabulary, it lacks a special word or repeats one, or the tagger is unknown.

    Example:
        >>> tokenizer = WordPosTokenizer.from_captions(["a man walks"], tags={"a man walks": "a/DET man/NOUN walk/VERB"})
        >>> output = tokenizer(["A man walks", "a man"], padding=True)
        >>> output["input_ids"], output["attention_mask"]
        ([[0, 3, 4, 5, 1], [0, 3, 4, 1, 2]], [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
        >>> tokenizer("walk man", pos_tagged="walk/NOUN man/NOUN")["pos_ids"]
        [14, 12, 1, 14]
    """

    vocab_files_names = {"vocab_file": "vocab.json", "lexicon_file": "lexicon.json"}
    model_input_names = ["input_ids", "attention_mask", "pos_ids"]

    def __init__(
        self,
        vocab_file: str | None = None,
        lexicon_file: str | None = None,
        vocab: Sequence[str] | None = None,
        lexicon: Mapping[str, str] | None = None,
        tagger: str | None = None,
        spacy_model: str = "en_core_web_sm",
        max_text_len: int = 20,
        do_lower_case: bool = True,
        **kwargs: Any,
    ) -> None:
        words = _read_json(vocab_file, list) if vocab is None and vocab_file is not None else list(vocab or ())
        self.lexicon = _read_json(lexicon_file, dict) if lexicon is None and lexicon_file is not None else dict(lexicon or {})
        missing = [word for word in _SPECIAL_WORDS if word not in words]
        if missing or len(set(words)) != len(words):
            raise ValueError(f"A vocabulary must hold distinct words, {', '.join(_SPECIAL_WORDS)} among them; got {len(words)} words.")
        if tagger not in (None, *_TAGGERS):
            raise ValueError(f"tagger must be None or one of {', '.join(map(repr, _TAGGERS))}, got {tagger!r}.")
        if max_text_len < 1:
            raise ValueError(f"max_text_len must be at least 1, got {max_text_len}.")
        self._words, self._ids = words, {word: index for index, word in enumerate(words)}
        self.tagger, self.spacy_model, self.max_text_len, self.do_lower_case = tagger, spacy_model, max_text_len, do_lower_case
        options = {"tagger": tagger, "spacy_model": spacy_model, "max_text_len": max_text_len, "do_lower_case": do_lower_case}
        special = {"bos_token": "sos", "eos_token": "eos", "unk_token": "unk", "pad_token": "unk", "model_max_length": max_text_len + 2}
        super().__init__(**{**special, **kwargs, **options})

    @classmethod
    def from_captions(
        cls,
        captions: Iterable[str],
        tags: Mapping[str, str] | None = None,
        pos_tagged: bool = False,
        tagger: str = "lexicon",
        min_count: int = 1,
        **kwargs: Any,
    ) -> WordPosTokenizer:
        """Build a vocabulary, and a lexicon for raw text, from training captions; the same captions always give the same.

        Args:
            captions (`Iterable[str]`): Raw captions, or tagged ones with `pos_tagged=True`.
            tags (`Mapping[str, str]`, *optional*): The `word/POS` form of captions that have one, such as `MotionTextDataset.tags`.
            pos_tagged (`bool`, defaults to `False`): `captions` are of the form `word/POS word/POS`.
            tagger (`str`, defaults to `"lexicon"`): What tags raw captions, now and later. A lexicon knows the words of tagged captions;
                all others are OTHER.
            min_count (`int`, defaults to 1): Rarer words are left out.
            **kwargs: Further options of the class.

        Returns:
            `WordPosTokenizer`: The more frequent a word, the lower its id.

        Raises:
            ValueError: If a caption is no string or not tagged as promised, or there is none.
        """
        captions = _strings(captions, "captions")
        if not captions:
            raise ValueError("Got no captions; a vocabulary needs at least one.")
        tags = {caption: caption for caption in captions} if pos_tagged else dict(tags or {})
        lexicon = build_lexicon(tags)
        tokenizer = cls(vocab=_SPECIAL_WORDS, lexicon=lexicon, tagger=tagger, **kwargs)
        tagged = (split_tagged(tags[caption]) if caption in tags else tokenizer.tag(caption) for caption in captions)
        counts = Counter(word for pairs in tagged for word, _ in pairs)
        kept = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
        words = [*_SPECIAL_WORDS, *(word for word in kept if word not in _SPECIAL_WORDS)]
        return cls(vocab=words, lexicon=lexicon, tagger=tagger, **kwargs)

    @classmethod
    def from_glove_folder(
        cls, folder: str | os.PathLike, tags: Mapping[str, str] | None = None, tagger: str | None = None, **kwargs: Any
    ) -> WordPosTokenizer:
        """The published vocabulary; `load_glove_folder` gives its vectors in the order of the ids.

        Args:
            folder (`str` or `os.PathLike`): See `load_glove_folder`.
            tags (`Mapping[str, str]`, *optional*): Captions and their `word/POS` form, for a lexicon.
            tagger (`str`, *optional*): What tags raw text; by default `"lexicon"` with `tags`, else `"spacy"`, which made the published
                tags.
            **kwargs: Further options of the class.

        Returns:
            `WordPosTokenizer`: With the words of that folder.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file holds something else.
        """
        words, _ = load_glove_folder(folder)
        return cls(vocab=words, lexicon=build_lexicon(tags or {}), tagger=tagger or ("lexicon" if tags else "spacy"), **kwargs)

    @property
    def vocab_size(self) -> int:
        """Number of words."""
        return len(self._words)

    def get_vocab(self) -> dict[str, int]:
        """Words and ids."""
        return dict(self._ids)

    def tag(self, caption: str) -> list[tuple[str, str]]:
        """Words and parts of speech of raw text.

        Args:
            caption (`str`): Raw text.

        Returns:
            `list[tuple[str, str]]`: All of its words, also those outside the vocabulary.

        Raises:
            ValueError: If the tokenizer has no tagger.
            ImportError: If its tagger is spaCy, which is not installed.
            OSError: If spaCy lacks the pipeline.
        """
        if self.tagger is None:
            raise ValueError(
                "This tokenizer was saved without a tagger, so it cannot read raw text. Pass captions in 'word/POS' form as pos_tagged, "
                f"or load it with tagger= one of {', '.join(map(repr, _TAGGERS))}."
            )
        caption = caption.lower() if self.do_lower_case else caption
        return list(tag_with_spacy(caption, self.spacy_model)) if self.tagger == "spacy" else tag_with_lexicon(caption, self.lexicon)

    def unread_words(self, text: str, tagged: str | None = None) -> tuple[str, list[str]]:
        """What a call does not see of a text.

        Args:
            text (`str`): Raw text.
            tagged (`str`, *optional*): Its `word/POS word/POS` form; the tokenizer tags it otherwise.

        Returns:
            `tuple[str, list[str]]`: The words behind the limit; and those before it that the vocabulary does not hold, symbols such as
            emoji among them, in quotation marks.
        """
        words = [word for word, _ in (self.tag(text) if tagged is None else split_tagged(tagged))]
        symbols = [character for character in text if unicodedata.category(character) == "So"]
        unknown = dict.fromkeys(word for word in words[: self.max_text_len] if word not in self._ids) | dict.fromkeys(symbols)
        return " ".join(words[self.max_text_len :]), [repr(word) for word in unknown]

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """Words of raw text as the vocabulary writes them, not cut; see `__call__` for tagged text."""
        words = [word if word in self._ids else self.unk_token for word, _ in self.tag(text)]
        return [self.bos_token, *words, self.eos_token] if add_special_tokens else words

    def _encode_plus(
        self,
        text: str | Sequence[str],
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_attention_mask: bool | None = None,
        pos_tagged: bool | str | Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        unknown = sorted(name for name, value in {**kwargs, "text_pair": text_pair}.items() if value and name != "verbose")
        if unknown:
            raise ValueError(f"WordPosTokenizer gives ids, a mask and pos_ids of single captions; it has no {', '.join(unknown)}.")
        single = isinstance(text, str)
        captions = _strings([text] if single else text, "text")
        tagged = _tagged_forms(captions, pos_tagged)
        limit = max_length if truncation_strategy != TruncationStrategy.DO_NOT_TRUNCATE else None
        rows = [self._encode_words(*row, add_special_tokens, limit) for row in zip(captions, tagged, strict=True)]
        columns = {"input_ids": [ids for ids, _ in rows], "pos_ids": [tags for _, tags in rows]}
        output = self.pad(
            columns,
            padding=padding_strategy.value,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_attention_mask=return_attention_mask,
        )
        if single and return_tensors is None:
            output = {name: value[0] for name, value in output.items()}
        return BatchEncoding(dict(output), tensor_type=return_tensors)

    def _encode_words(self, caption: str, tagged: str | None, add_special_tokens: bool, limit: int | None) -> tuple[list[int], list[int]]:
        words = self.tag(caption) if tagged is None else split_tagged(tagged)
        room = self.max_text_len
        if limit is not None:
            room = max(min(room, limit - 2 * add_special_tokens), 0)
        unk = self._ids[self.unk_token]
        pairs = [(self._ids[word], pos_id(word, tag)) if word in self._ids else (unk, OTHER) for word, tag in words[:room]]
        if add_special_tokens:
            pairs = [(self.bos_token_id, OTHER), *pairs, (self.eos_token_id, OTHER)]
        return [word for word, _ in pairs], [tag for _, tag in pairs]

    def _pad(self, encoded_inputs: dict[str, Any], *args: Any, padding_side: str | None = None, **kwargs: Any) -> dict[str, Any]:
        output = super()._pad(encoded_inputs, *args, padding_side=padding_side, **kwargs)
        if "pos_ids" in output:
            filling = [OTHER] * (len(output["input_ids"]) - len(output["pos_ids"]))
            left = (padding_side or self.padding_side) == "left"
            output["pos_ids"] = filling + output["pos_ids"] if left else output["pos_ids"] + filling
        return output

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.get(token, self._ids["unk"])

    def _convert_id_to_token(self, index: int) -> str:
        return self._words[index]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the words and the lexicon.

        Args:
            save_directory (`str`): Folder.
            filename_prefix (`str`, *optional*): Beginning of the file names.

        Returns:
            `tuple[str, ...]`: The files.
        """
        paths = []
        for name, content in (("vocab_file", self._words), ("lexicon_file", self.lexicon)):
            path = Path(save_directory) / "-".join(filter(None, (filename_prefix, self.vocab_files_names[name])))
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
            paths.append(str(path))
        return tuple(paths)


def _read_json(path: str, kind: type) -> Any:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{str(path)!r} must hold a {kind.__name__}, got {type(content).__name__}.")
    return content


def _strings(texts: Iterable[Any], name: str) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise ValueError(f"{name} must be a list of strings, got {texts!r}.")
    texts = list(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{index}] must be a string, got {text!r}.")
    return texts


def _tagged_forms(captions: Sequence[str], pos_tagged: bool | str | Sequence[str | None] | None) -> list[str | None]:
    if pos_tagged is True:
        return list(captions)
    if pos_tagged is None or pos_tagged is False:
        return [None] * len(captions)
    forms = [pos_tagged] if isinstance(pos_tagged, str) else list(pos_tagged)
    if len(forms) != len(captions):
        raise ValueError(f"pos_tagged has {len(forms)} entries for {len(captions)} texts; pass one for each, None where there is none.")
    for index, form in enumerate(forms):
        if form is not None and not isinstance(form, str):
            raise ValueError(f"pos_tagged[{index}] must be a string or None, got {form!r}.")
    return forms
