"""What a motion language model answers: motions of texts, texts of motions, and what is missing of motions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from ...motion import Motion
from ...nn.generators import spawn_generators
from ...representation import MotionFeatureExtractor
from ...tokenization.codec import MotionCodec
from ...tokenization.motion_tokenizer import MotionTokenizer
from ...utils.asked import asked_frames, asked_generator
from ...utils.text import check_prompts, say
from ..motion_decoding import OUTPUT_TYPES, decode_codes, token_counts
from ..motion_vq.modeling_motion_vq import MotionVQModel
from ..vimorag.processing_vimorag import ShownVideo, VideoInput, VimoRAGProcessor, shown_videos
from .corrections import check_corrects, correct_motions
from .grammar import MotionGrammar, WordsOnly, sampling
from .instructions import Instructions
from .prompts import PromptWriter
from .shared_prefix import read_prefix_once
from .vocabulary import CONTINUOUS, MotionVocabulary, latent_text


class MotionAnswers:
    """The tasks of `MotionLanguageModel`, which has the parts that they need."""

    config: Any
    device: torch.device
    language_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    vq_model: MotionVQModel
    motion_tokenizer: MotionTokenizer
    feature_extractor: MotionFeatureExtractor
    instructions: Instructions
    prompts: PromptWriter
    vocabulary: MotionVocabulary | None
    video_processor: VimoRAGProcessor | None

    @property
    def max_tokens(self) -> int:
        """Time steps of the longest motion."""
        return self.config.motion["max_tokens"]

    @property
    def max_frames(self) -> int:
        """Frames of the longest motion."""
        return self.max_tokens * self.vq_model.config.frames_per_token

    @torch.no_grad()
    def generate_motion(
        self,
        texts: str | Sequence[str],
        num_frames: int | Sequence[int] | None = None,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        output_type: str = "motion",
        seconds: float | Sequence[float] | None = None,
        seed: int | None = None,
        videos: VideoInput | ShownVideo | Sequence[VideoInput | ShownVideo] | None = None,
    ) -> list[Motion] | list[Tensor]:
        """Make one motion per text.

        Args:
            texts (`str` or `list[str]`): Sentences.
            num_frames (`int` or `list[int]`, *optional*): Lengths. By default the model ends a motion when it finds it complete; with
                lengths the question says them, and the motion has exactly these.
            generator (`torch.Generator` or list, *optional*): For reproducible results. A motion depends on its text and its generator,
                not on the others.
            temperature (`float`, defaults to 1.0): Of sampling; 0 takes the likeliest token.
            top_k (`int`, *optional*): Draw from so many likeliest tokens only.
            top_p (`float`, *optional*): Draw from the likeliest tokens that have this probability together.
            output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` or `"codes"`.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            seed (`int`, *optional*): In place of `generator`: `seed=0` is `generator=torch.Generator().manual_seed(0)`.
            videos (*optional*): What a model that sees videos may move like: a file, its bytes, frames or `Keypoints`, or a list of one
                for each text. A `VideoIndex` finds some.

        Returns:
            `list[Motion]`: In the order of the texts.

        Raises:
            ValueError: If an argument is of the wrong kind or out of range, or a text does not fit into the context.
        """
        prompts = check_prompts(texts)
        _check_output(output_type)
        lengths = self._lengths(num_frames, seconds, len(prompts))
        shown = shown_videos(self, videos, prompts)
        questions = [
            self.instructions("text_to_motion", text=text, **self._length_values(length), **({"video": video.text} if video else {}))
            for text, length, video in zip(prompts, lengths or [None] * len(prompts), shown or [None] * len(prompts), strict=True)
        ]
        draws = (temperature, top_k, top_p, asked_generator(generator, seed))
        codes = self._make(questions, lengths, [self.max_tokens] * len(questions), draws, shown)
        return decode_codes(self.vq_model, self.feature_extractor, codes, prompts, lengths, output_type)

    @torch.no_grad()
    def caption_motion(
        self,
        motions: Motion | Sequence[Motion],
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        max_new_tokens: int = 40,
        seed: int | None = None,
    ) -> list[str]:
        """Say what motions show.

        Args:
            motions (`Motion` or `list[Motion]`): At any frame rate. What is longer than the model reads is cut, and a warning says so.
            generator (`torch.Generator` or list, *optional*): For reproducible draws.
            temperature (`float`, defaults to 0.0): Of sampling; 0 takes the likeliest token.
            top_k (`int`, *optional*): Draw from so many likeliest tokens only.
            top_p (`float`, *optional*): Draw from the likeliest tokens that have this probability together.
            max_new_tokens (`int`, defaults to 40): Longest answer.
            seed (`int`, *optional*): In place of `generator`.

        Returns:
            `list[str]`: A sentence for each.

        Raises:
            ValueError: If there is no motion, or one does not fit the model.
        """
        codes = [self._cut(clip, place) for place, clip in enumerate(self.encode_motions(motions))]
        questions = [self.instructions("motion_to_text", motion=self.motion_text(clip)) for clip in codes]
        generators = spawn_generators(asked_generator(generator, seed), len(codes), self.device)
        return self.say_words(questions, max_new_tokens, sampling(temperature, top_k, top_p, generators), codes)

    @torch.no_grad()
    def continue_motion(
        self,
        motions: Motion | Sequence[Motion],
        num_frames: int | Sequence[int] | None = None,
        *,
        texts: str | Sequence[str] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        output_type: str = "motion",
        seconds: float | Sequence[float] | None = None,
        seed: int | None = None,
    ) -> list[Motion] | list[Tensor]:
        """Go on with motions.

        Args:
            motions (`Motion` or `list[Motion]`): Beginnings.
            num_frames (`int` or `list[int]`, *optional*): How many frames to add; by default the model decides.
            texts (`str` or `list[str]`, *optional*): What happens, one for each.
            generator (`torch.Generator` or list, *optional*): For reproducible results.
            temperature (`float`, defaults to 1.0): Of sampling; 0 takes the likeliest token.
            top_k (`int`, *optional*): Draw from so many likeliest tokens only.
            top_p (`float`, *optional*): Draw from the likeliest tokens that have this probability together.
            output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` or `"codes"`.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            seed (`int`, *optional*): In place of `generator`.

        Returns:
            `list[Motion]`: The beginnings, as the motion tokenizer sees them, and what follows.

        Raises:
            ValueError: If a beginning is as long as the longest motion already, or an argument does not fit.
        """
        shown = self.encode_motions(motions)
        said = _texts_for(texts, len(shown))
        _check_output(output_type)
        lengths = self._lengths(num_frames, seconds, len(shown))
        questions = [
            self.instructions("prediction", motion=self.motion_text(clip), **_said(text), **self._length_values(length))
            for clip, text, length in zip(shown, said, lengths or [None] * len(shown), strict=True)
        ]
        draws = (temperature, top_k, top_p, asked_generator(generator, seed))
        made = self._make(questions, lengths, self._room(shown, lengths), draws)
        codes = [torch.cat((clip.to(new.device), new), dim=1) for clip, new in zip(shown, made, strict=True)]
        whole = None if lengths is None else [clip.shape[1] * self._unit + n for clip, n in zip(shown, lengths, strict=True)]
        return decode_codes(self.vq_model, self.feature_extractor, codes, said, whole, output_type)

    @torch.no_grad()
    def in_between(
        self,
        starts: Motion | Sequence[Motion],
        ends: Motion | Sequence[Motion],
        num_frames: int | Sequence[int] | None = None,
        *,
        texts: str | Sequence[str] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        output_type: str = "motion",
        seconds: float | Sequence[float] | None = None,
        seed: int | None = None,
    ) -> list[Motion] | list[Tensor]:
        """Fill gaps between motions.

        Args:
            starts (`Motion` or `list[Motion]`): What comes before the gaps.
            ends (`Motion` or `list[Motion]`): What comes behind them.
            num_frames (`int` or `list[int]`, *optional*): Lengths of the gaps, filled up to whole tokens; by default the model decides.
            texts (`str` or `list[str]`, *optional*): What happens, one for each.
            generator (`torch.Generator` or list, *optional*): For reproducible results.
            temperature (`float`, defaults to 1.0): Of sampling; 0 takes the likeliest token.
            top_k (`int`, *optional*): Draw from so many likeliest tokens only.
            top_p (`float`, *optional*): Draw from the likeliest tokens that have this probability together.
            output_type (`str`, defaults to `"motion"`): `"motion"`, `"features"` or `"codes"`.
            seconds (`float` or `list[float]`, *optional*): In place of `num_frames`.
            seed (`int`, *optional*): In place of `generator`.

        Returns:
            `list[Motion]`: Starts, what fills the gaps, and ends, as the motion tokenizer sees them.

        Raises:
            ValueError: If there are not as many ends as starts, both together are as long as the longest motion, or an argument does not
                fit.
        """
        before, behind = self.encode_motions(starts), self.encode_motions(ends)
        if len(before) != len(behind):
            raise ValueError(f"Got {len(before)} starts and {len(behind)} ends; pass one end for each start.")
        said = _texts_for(texts, len(before))
        _check_output(output_type)
        lengths = self._lengths(num_frames, seconds, len(before))
        questions = [
            self.instructions(
                "in_between", start=self.motion_text(one), end=self.motion_text(two), **_said(text), **self._length_values(length)
            )
            for one, two, text, length in zip(before, behind, said, lengths or [None] * len(before), strict=True)
        ]
        shown = [torch.cat(pair, dim=1) for pair in zip(before, behind, strict=True)]
        draws = (temperature, top_k, top_p, asked_generator(generator, seed))
        made = self._make(questions, lengths, self._room(shown, lengths), draws)
        codes = [torch.cat((a.to(m.device), m, b.to(m.device)), dim=1) for a, m, b in zip(before, made, behind, strict=True)]
        return decode_codes(self.vq_model, self.feature_extractor, codes, said, None, output_type)

    @torch.no_grad()
    def correct_motion(
        self,
        sources: Motion | Sequence[Motion],
        targets: Motion | Sequence[Motion],
        num_candidates: int = 1,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        max_new_tokens: int = 60,
        seed: int | None = None,
    ) -> list[str] | list[list[str]]:
        """Say what somebody who moves as the sources has to change to move as the targets: CigTime (Fang et al., NeurIPS 2024).

        Args:
            sources (`Motion` or `list[Motion]`): What was done, at any frame rate. What is longer than the model reads is cut, and a
                warning says so.
            targets (`Motion` or `list[Motion]`): What was meant, one for each source.
            num_candidates (`int`, defaults to 1): How many sentences for each pair.
            generator (`torch.Generator` or list, *optional*): For reproducible draws; a list has one for each candidate of each pair.
            temperature (`float`, *optional*): Of sampling; by default 0, the likeliest words, for one candidate and 1 for several.
            top_k (`int`, *optional*): Draw from so many likeliest tokens only.
            top_p (`float`, *optional*): Draw from the likeliest tokens that have this probability together.
            max_new_tokens (`int`, defaults to 60): Longest answer.
            seed (`int`, *optional*): In place of `generator`.

        Returns:
            `list[str]`: A sentence for each pair; with several candidates a list of them for each.

        Raises:
            ValueError: If there are not as many targets as sources, the model did not learn the task, two motions together do not fit
                into the context, or an argument does not fit.
        """
        check_corrects(self)
        return correct_motions(
            self, self.encode_motions(sources), self.encode_motions(targets), num_candidates, max_new_tokens,
            temperature=temperature, top_k=top_k, top_p=top_p, generator=asked_generator(generator, seed),
        )  # fmt: skip

    def encode_motions(self, motions: Motion | Sequence[Motion]) -> list[Tensor]:
        """Codes of motions, (quantizers, tokens) int64 each; of the layout `"continuous"` latents, (width, tokens) float32.

        Raises:
            ValueError: If there is none, or something is no motion.
        """
        motions = [motions] if isinstance(motions, Motion) else list(motions)
        if not motions or not all(isinstance(motion, Motion) for motion in motions):
            kinds = ", ".join(sorted({type(motion).__name__ for motion in motions})) or "nothing"
            raise ValueError(f"Pass a Motion or a list of at least one, got {kinds}. hf_motion.read_motion reads files.")
        codec = MotionCodec(self.vq_model, self.feature_extractor)
        return codec.encode_latents(motions) if self.reads_latents else codec.encode(motions)

    def say_words(
        self, questions: Sequence[str], max_new_tokens: int, processors: Sequence[LogitsProcessor] = (), shown: Sequence[Tensor] = (),
        **messages: str,
    ) -> list[str]:  # fmt: skip
        """Answer questions in words: no motion tokens, and not nothing.

        Args:
            questions (`Sequence[str]`): Whole questions; those of the tasks are `instructions`.
            max_new_tokens (`int`): Longest answer.
            processors (`Sequence[LogitsProcessor]`, defaults to `()`): How to draw, the likeliest words by default.
            shown (`Sequence[torch.Tensor]`, *optional*): What `encode_motions` gave of the motions in the questions, in order: read where
                latents stand in the place of tokens.
            **messages: `way_out`: what to do where a question does not fit into the context, a sentence.

        Returns:
            `list[str]`: An answer for each.

        Raises:
            ValueError: If a question does not fit into the context.
        """
        words = WordsOnly(self.vocabulary, [self.tokenizer.eos_token_id])
        latents = torch.cat([clip.T for clip in shown]).to(self.device) if self.reads_latents and len(shown) else None
        end = self.tokenizer.eos_token_id
        ids = self._generate(list(questions), [], max_new_tokens, [words, *processors], end, latents=latents, **messages)
        return [" ".join(self.tokenizer.decode(row, skip_special_tokens=True).split()) for row in ids]

    def motion_text(self, codes: Tensor | Sequence[Sequence[int]]) -> str:
        """How the model writes codes, (quantizers, tokens), or latents, (width, tokens)."""
        if self.reads_latents:
            return latent_text(len(codes[0]))
        return self.motion_tokenizer.encode_motion(codes[0] if len(codes) == 1 else codes, self.config.motion["format"])

    def answer_ids(self, codes: Tensor) -> list[int]:
        """What the model answers where codes, (quantizers, tokens), are asked for: token ids with the end."""
        if self.vocabulary is not None:
            return self.prompts.answer(ids=self.vocabulary.ids(codes))
        return self.prompts.answer(self.motion_text(codes))

    @property
    def reads_latents(self) -> bool:
        """Whether latents stand in the place of tokens, so that it makes no motions."""
        return self.config.motion["format"] == CONTINUOUS

    @property
    def _unit(self) -> int:
        return self.vq_model.config.frames_per_token

    def _lengths(self, num_frames: Any, seconds: Any, count: int) -> list[int] | None:
        if seconds is not None:
            num_frames = asked_frames(num_frames, seconds, self.feature_extractor.fps)
        token_counts(num_frames, count, self._unit, self.max_frames)
        return [num_frames] * count if isinstance(num_frames, int) else None if num_frames is None else list(num_frames)

    def _length_values(self, length: int | None) -> dict[str, str]:
        return {} if length is None else length_values(length, self.feature_extractor.fps)

    def _room(self, shown: Sequence[Tensor], lengths: Sequence[int] | None) -> list[int]:
        """Time steps that may be made of each."""
        room = [self.max_tokens - clip.shape[1] for clip in shown]
        for place, left in enumerate(room):
            wanted = 1 if lengths is None else -(-lengths[place] // self._unit)
            if left < wanted:
                raise ValueError(
                    f"Motion {place} has {shown[place].shape[1]} tokens of {self._unit} frames, and {wanted} more are wanted; the model "
                    f"was trained on {self.max_tokens} together. Cut the motion, or ask for fewer frames."
                )
        return room

    def _cut(self, codes: Tensor, place: int) -> Tensor:
        if codes.shape[1] > self.max_tokens:
            say(
                f"Motion {place} has {codes.shape[1] * self._unit} frames, of which the model reads the first {self.max_frames}.",
                "were longer than the model reads, and were cut",
            )
        return codes[:, : self.max_tokens]

    def _make(
        self, questions: list[str], lengths: list[int] | None, most: list[int], draws: tuple, shown: list[ShownVideo] | None = None
    ) -> list[Tensor]:
        """Codes that answer questions, (quantizers, tokens) each."""
        if self.reads_latents:
            raise ValueError(
                "This model reads latents of motions (format 'continuous') and makes no motions. Take one that writes them, such as one of "
                "format 'motion'."
            )
        temperature, top_k, top_p, generator = draws
        warpers = sampling(temperature, top_k, top_p, spawn_generators(generator, len(questions), self.device))
        counts = None if lengths is None else [-(-length // self._unit) for length in lengths]
        if self.vocabulary is None:
            from .spelled import make_spelled_motions

            return make_spelled_motions(self, questions, counts, most, warpers, shown)
        grammar = MotionGrammar(self.vocabulary, most, counts, warpers)
        steps = max(counts or most) * self.vocabulary.num_quantizers + 1
        ids = self._generate(questions, [self.vocabulary.start], steps, [grammar], self.vocabulary.end, shown)
        return [self.vocabulary.codes(row).to(self.device) for row in ids]

    def _generate(
        self, questions: list[str], tail: list[int], steps: int, processors: Sequence[LogitsProcessor], end: int | list[int],
        shown_videos: list[ShownVideo] | None = None, latents: Tensor | None = None, **messages: str,
    ) -> list[list[int]]:  # fmt: skip
        """Ids that were made for each question, up to the end."""
        inputs = self.prompts.batch(questions, tail, steps, self.device, **messages)
        if self.video_processor is not None and shown_videos:
            inputs |= {name: value.to(self.device) for name, value in self.video_processor.collate(shown_videos).items()}
        elif self.video_processor is None and not self.config.is_encoder_decoder:
            own = self.config.latent_token_id if self.reads_latents else None
            inputs = read_prefix_once(self.language_model, inputs, self.prompts.pad, own)
        shown = 0 if self.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        if self.config.is_encoder_decoder:
            begin = [self.language_model.generation_config.decoder_start_token_id, *tail]
            inputs["decoder_input_ids"] = torch.tensor([begin] * len(questions), device=self.device)
            shown = len(begin)
        if latents is not None:
            inputs["motion_latents"] = latents
        made = self.language_model.generate(
            **inputs,
            max_new_tokens=steps,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            logits_processor=LogitsProcessorList(processors),
            eos_token_id=end,
            pad_token_id=self.prompts.pad,
        )[:, shown:].tolist()
        ends = {end} if isinstance(end, int) else set(end)
        return [row[: next((place for place, index in enumerate(row) if index in ends), len(row))] for row in made]


def length_values(frames: int, fps: float) -> dict[str, str]:
    """What instructions say of a length: `{seconds}` and `{frames}`.

    Example:
        >>> length_values(50, 20.0)
        {'seconds': '2.5', 'frames': '50'}
    """
    return {"seconds": f"{frames / fps:.1f}", "frames": str(frames)}


def _said(text: str | None) -> dict[str, str]:
    return {} if text is None else {"text": text}


def _texts_for(texts: str | Sequence[str] | None, count: int) -> list[str | None]:
    if texts is None:
        return [None] * count
    prompts = check_prompts(texts)
    if len(prompts) != count:
        raise ValueError(f"Got {len(prompts)} texts for {count} motions; pass one for each, or none.")
    return list(prompts)


def _check_output(output_type: str) -> None:
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type must be one of {', '.join(map(repr, OUTPUT_TYPES))}, got {output_type!r}.")
