"""Motion codes as text and token ids."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedConfig

from hf_motion.tokenization.motion_formats import FORMATS
from hf_motion.tokenization.motion_tokenizer import MotionTokenizer


class TinyMotionConfig(PreTrainedConfig):
    model_type = "tiny-motion-tokenizer-test"


AutoTokenizer.register(TinyMotionConfig, slow_tokenizer_class=MotionTokenizer, exist_ok=True)

EXAMPLES = {
    "motion": "<motion_start><motion_12><motion_511><motion_3><motion_end>",
    "motiongpt": "<motion_id_512><motion_id_12><motion_id_511><motion_id_3><motion_id_513>",
    "integers": "12,511,3",
    "list": "[12, 511, 3]",
}
FRAMES = (
    "{}", "Here you are:\n{}\nEnjoy it", '"{}".', "<s> {}</s>", "In 2 steps: {} !", "{}<|end|>", "Motion:{}", "(walks, turns) {}\n\n### 3",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> MotionTokenizer:
    return MotionTokenizer()


@pytest.fixture(scope="module")
def residual() -> MotionTokenizer:
    return MotionTokenizer(codebook_size=16, num_quantizers=3)


def test_ids_of_codes_and_special_tokens(tokenizer: MotionTokenizer) -> None:
    vocab = tokenizer.get_vocab()
    assert len(tokenizer) == tokenizer.vocab_size == len(vocab) == 516
    assert [vocab[f"<motion_{code}>"] for code in range(512)] == list(range(512))
    assert [vocab[f"<motion_{name}>"] for name in ("start", "end", "mask", "pad")] == [512, 513, 514, 515]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id, tokenizer.pad_token_id) == (512, 513, 514, 515)
    assert tokenizer.convert_ids_to_tokens([0, 511, 512]) == ["<motion_0>", "<motion_511>", "<motion_start>"]
    assert tokenizer.convert_tokens_to_ids(["<motion_7>", "<motion_pad>"]) == [7, 515]


def test_more_quantizers_move_no_ids() -> None:
    vocabs = [MotionTokenizer(codebook_size=16, num_quantizers=count).get_vocab() for count in (1, 2, 6)]
    for smaller, larger in pairwise(vocabs):
        assert smaller.items() < larger.items()
    assert [len(vocab) for vocab in vocabs] == [20, 36, 100]
    assert (vocabs[2]["<motion_1_0>"], vocabs[2]["<motion_2_0>"], vocabs[2]["<motion_5_15>"]) == (20, 36, 99)


def test_calls_and_decoding_as_of_any_tokenizer(tokenizer: MotionTokenizer) -> None:
    texts = ["<motion_start><motion_3><motion_7><motion_end>", " <motion_start> <motion_9>\n<motion_end>"]
    assert tokenizer(texts[0]) == {"input_ids": [512, 3, 7, 513], "attention_mask": [1, 1, 1, 1]}
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == [[512, 3, 7, 513], [512, 9, 513, 515]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert tokenizer.decode(batch["input_ids"][0]) == texts[0]
    assert tokenizer.decode(batch["input_ids"], skip_special_tokens=True) == ["<motion_3><motion_7>", "<motion_9>"]
    assert tokenizer(texts, padding=True, padding_side="left")["input_ids"][1] == [515, 512, 9, 513]
    assert tokenizer(texts[0], truncation=True, max_length=3)["input_ids"] == [512, 3, 7]
    assert tokenizer("")["input_ids"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a man walks", "At character 0, 'a' is no token.*decode_motion"),
        ("<motion_3> walks<motion_4>", "At character 11, 'walks' is no token"),
        ("<motion_3><motion_512>", "At character 10, '<motion_512>' is no token"),
        ("<motion_3><motion_007>", "At character 10, '<motion_007>'"),
        ("<motion_3><motion_1_4>", "At character 10, '<motion_1_4>'"),
        ("<motion_3><motion_4", "At character 10, '<motion_4'"),
        ("<motion_3><motion_id_4>", "At character 10, '<motion_id_4>'"),
    ],
)
def test_unknown_text_is_an_error_and_no_unk(tokenizer: MotionTokenizer, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer(text)


def test_unknown_tokens_and_ids_and_pairs(tokenizer: MotionTokenizer) -> None:
    assert tokenizer.unk_token is None
    with pytest.raises(ValueError, match=r"'walk' is no token.*decode_motion"):
        tokenizer.convert_tokens_to_ids(["walk"])
    for index in (-100, 516):
        with pytest.raises(ValueError, match=rf"{index} is no token id.*0 to 515"):
            tokenizer.decode([index])
    with pytest.raises(ValueError, match="single texts, got the pair"):
        tokenizer.tokenize("<motion_3>", pair="<motion_4>")


def test_save_and_load(residual: MotionTokenizer, tmp_path: Path) -> None:
    residual.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer_config.json"]
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (settings["tokenizer_class"], settings["codebook_size"], settings["num_quantizers"]) == ("MotionTokenizer", 16, 3)
    for loader in (MotionTokenizer, AutoTokenizer):
        again = loader.from_pretrained(tmp_path)
        assert type(again) is MotionTokenizer
        assert again.get_vocab() == residual.get_vocab()
        assert (again.all_special_tokens, again.bos_token_id) == (residual.all_special_tokens, 16)
        again.save_pretrained(tmp_path / "twice")
        assert settings.items() <= json.loads((tmp_path / "twice" / "tokenizer_config.json").read_text()).items()


def test_load_beside_a_model_config(residual: MotionTokenizer, tmp_path: Path) -> None:
    residual.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": TinyMotionConfig.model_type}))
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == residual.get_vocab()


def test_options_that_would_move_ids_are_refused_on_loading(residual: MotionTokenizer, tmp_path: Path) -> None:
    residual.save_pretrained(tmp_path)
    assert MotionTokenizer.from_pretrained(tmp_path, num_quantizers=4).get_vocab().items() > residual.get_vocab().items()
    for size in (8, 17, 32):
        with pytest.raises(ValueError, match=rf"saved with id 16.*codebook_size {size}.*Ids never move"):
            MotionTokenizer.from_pretrained(tmp_path, codebook_size=size)
    extended = MotionTokenizer(codebook_size=16)
    extended.add_tokens(["<walk>"])
    assert extended("<motion_3><walk>")["input_ids"] == [3, 20]
    assert len(extended) == extended.vocab_size + 1 == 21
    extended.save_pretrained(tmp_path)
    assert MotionTokenizer.from_pretrained(tmp_path).get_vocab() == extended.get_vocab()
    with pytest.raises(ValueError, match="'<walk>' was saved with id 20"):
        MotionTokenizer.from_pretrained(tmp_path, num_quantizers=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codebook_size": 0}, "codebook_size must be an integer of at least 1, got 0"),
        ({"codebook_size": 2.0}, "codebook_size must be an integer of at least 1, got 2.0"),
        ({"num_quantizers": True}, "num_quantizers must be an integer of at least 1, got True"),
        ({"bos_token": "<s>"}, "bos_token is always '<motion_start>', got '<s>'; leave it out"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MotionTokenizer(**options)


@pytest.mark.parametrize("layout", FORMATS)
def test_every_format_writes_as_published_and_reads_it_back(tokenizer: MotionTokenizer, layout: str) -> None:
    text = tokenizer.encode_motion([12, 511, 3], format=layout)
    assert text == EXAMPLES[layout]
    decoded = tokenizer.decode_motion(text, format=layout)
    assert (decoded.codes.tolist(), decoded.codes.dtype, decoded.dropped, decoded.truncated) == ([12, 511, 3], torch.int64, 0, False)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("frame", FRAMES)
def test_random_codes_come_back_from_longer_texts(layout: str, frame: str) -> None:
    generator = np.random.default_rng(3)
    for size in (1, 2, 7, 512, 1024):
        tokenizer = MotionTokenizer(codebook_size=size)
        for length in (2, 3, 50):
            codes = generator.integers(size, size=length)
            text = frame.format(tokenizer.encode_motion(codes, format=layout))
            for strict in (True, False):
                decoded = tokenizer.decode_motion(text, strict=strict, format=layout)
                assert (decoded.codes.tolist(), decoded.dropped, decoded.truncated) == (codes.tolist(), 0, False)


def test_one_code_comes_back_and_none_keeps_its_shape(tokenizer: MotionTokenizer, residual: MotionTokenizer) -> None:
    assert residual.decode_motion("nothing", strict=False).codes.shape == (3, 0)
    for layout in FORMATS:
        assert tokenizer.decode_motion(tokenizer.encode_motion([5], format=layout), format=layout).codes.tolist() == [5]


@pytest.mark.parametrize("kind", [torch.int64, torch.int16, np.int32, np.uint8, list])
def test_random_codes_of_several_quantizers_come_back(residual: MotionTokenizer, kind: object) -> None:
    codes = np.random.default_rng(4).integers(16, size=(3, 9))
    given = codes.tolist() if kind is list else torch.tensor(codes, dtype=kind) if isinstance(kind, torch.dtype) else codes.astype(kind)
    text = residual.encode_motion(given)
    assert text.startswith(f"<motion_start><motion_{codes[0, 0]}><motion_1_{codes[1, 0]}><motion_2_{codes[2, 0]}><motion_{codes[0, 1]}>")
    assert residual.decode_motion(f"It walks: {text}.").codes.tolist() == codes.tolist()
    ids = residual.codes_to_ids(given)
    assert type(ids) is (np.ndarray if isinstance(given, np.ndarray) else torch.Tensor)
    assert ids.tolist() == residual(text)["input_ids"]
    assert residual.ids_to_codes(ids).codes.tolist() == codes.tolist()


def test_pieces_of_the_longest_residual_motion_are_found_in_any_cut(residual: MotionTokenizer) -> None:
    """However a text is cut, strict reading refuses it and lenient reading gives the whole steps before the cut."""
    codes = np.random.default_rng(5).integers(16, size=(3, 4))
    text = residual.encode_motion(codes)
    for length in range(len(text)):
        with pytest.raises(ValueError, match=r"^At character \d+,"):
            residual.decode_motion(text[:length])
        found = residual.decode_motion(text[:length], strict=False).codes
        assert found.tolist() == codes[:, : found.shape[1]].tolist()


def test_shapes_of_one_quantizer(tokenizer: MotionTokenizer) -> None:
    assert tokenizer.encode_motion(torch.tensor([[1, 2]])) == tokenizer.encode_motion((1, 2))
    assert tokenizer.codes_to_ids([1, 2]).tolist() == [512, 1, 2, 513]
    assert tokenizer.codes_to_ids(np.array([[1, 2], [3, 4]])).tolist() == [[512, 1, 2, 513], [512, 3, 4, 513]]
    assert tokenizer.codes_to_ids(torch.tensor([[[1, 2]], [[3, 4]]])).tolist() == [[512, 1, 2, 513], [512, 3, 4, 513]]
    assert tokenizer.codes_to_ids(torch.tensor([1, 2]), delimiters=False).tolist() == [1, 2]
    assert tokenizer.ids_to_codes(torch.tensor([1, 2]), delimiters=False).codes.tolist() == [1, 2]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("delimiters", [True, False])
@pytest.mark.parametrize("quantizers", [1, 3])
def test_padded_batches(side: str, delimiters: bool, quantizers: int) -> None:
    tokenizer = MotionTokenizer(codebook_size=16, num_quantizers=quantizers, padding_side=side)
    codes = np.random.default_rng(6).integers(16, size=(3, quantizers, 6))
    codes = codes[:, 0] if quantizers == 1 else codes
    lengths = [6, 1, 4]
    mask = np.arange(6) < np.array(lengths)[:, None]
    padded = np.where(mask if quantizers == 1 else mask[:, None], codes, -1)
    expected = [row[..., :length].tolist() for row, length in zip(codes, lengths, strict=True)]
    ids = tokenizer.codes_to_ids(torch.tensor(padded), torch.tensor(mask), delimiters=delimiters)
    assert ids.shape == (3, 6 * quantizers + 2 * delimiters)
    assert (ids[1] == tokenizer.pad_token_id).sum() == 5 * quantizers
    assert ids[1, 0 if side == "left" else -1] == tokenizer.pad_token_id
    ragged = [torch.tensor(row) for row in expected]
    assert torch.equal(tokenizer.codes_to_ids(ragged, delimiters=delimiters), ids)
    for attention_mask in (None, ids != tokenizer.pad_token_id):
        decoded = tokenizer.ids_to_codes(ids, attention_mask, delimiters=delimiters)
        assert [motion.codes.tolist() for motion in decoded] == expected
        assert [(motion.dropped, motion.truncated) for motion in decoded] == [(0, False)] * 3
    arrays = tokenizer.ids_to_codes(tokenizer.codes_to_ids(padded, mask, delimiters), delimiters=delimiters)
    assert all(isinstance(motion.codes, np.ndarray) for motion in arrays)
    unknown = torch.where(ids == tokenizer.pad_token_id, -100, ids)
    masked = tokenizer.ids_to_codes(unknown, ids != tokenizer.pad_token_id, delimiters=delimiters)
    assert [motion.codes.tolist() for motion in masked] == expected


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([0, 512], r"512 at position 1 of quantizer 0 is no code; codes are 0 to 511.*attention_mask.*codebook_size"),
        ([3, -1], r"-1 at position 1"),
        ([0.5], r"must be integers, got float64.*astype"),
        (torch.ones(3), r"must be integers, got float32.*long"),
        ([True, False], "must be integers, got bool"),
        ("12,3", "must be integers, got <U4"),
        (None, "must be integers, got object"),
        ([], "holds no codes; a motion has at least one"),
        (3, r"shape \(tokens,\) or \(1, tokens\) for 1 quantizer\(s\), got \(\)"),
        (np.zeros((6, 4), int), r"for 1 quantizer\(s\), got \(6, 4\).*codes\[:num_quantizers\].*num_quantizers"),
        ([[1, 2], [3]], "must be an array of integers, got list"),
    ],
)
def test_bad_codes(tokenizer: MotionTokenizer, codes: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer.encode_motion(codes)


def test_bad_codes_and_ids_of_batches(tokenizer: MotionTokenizer, residual: MotionTokenizer) -> None:
    for codes in (np.zeros((2, 4), int), np.zeros(4, int), [[1, 2], [3, 4]]):
        for call in (residual.encode_motion, residual.codes_to_ids):
            with pytest.raises(ValueError, match=r"shape \(3, tokens\) for 3 quantizer\(s\)"):
                call(codes)
    with pytest.raises(ValueError, match=r"codes\[1\]: 600 at position 2 of quantizer 0"):
        tokenizer.codes_to_ids([[1, 2, 3], [4, 5, 600]])
    with pytest.raises(ValueError, match=r"codes\[0\] must have shape.*got \(6, 4\)"):
        tokenizer.codes_to_ids(np.zeros((2, 6, 4), int))
    with pytest.raises(ValueError, match=r"codes\[0\]: 700 at position 2"):
        tokenizer.codes_to_ids([[-1, 3, 700]], attention_mask=[[0, 1, 1]])
    with pytest.raises(ValueError, match=r"codes\[1\] holds no codes"):
        tokenizer.codes_to_ids(np.ones((2, 3), int), attention_mask=[[1, 1, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"attention_mask must have one entry for each position.*\(3,\).*\(2,\)"):
        tokenizer.codes_to_ids(np.ones((2, 3), int), attention_mask=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"attention_mask must have one entry"):
        tokenizer.ids_to_codes([512, 3, 513], attention_mask=1)
    with pytest.raises(ValueError, match=r"ids must have shape \(ids,\) or \(batch, ids\), got \(1, 1, 1\)"):
        tokenizer.ids_to_codes([[[3]]])


# What is wrong, where strict reading says so, and what lenient reading gives: codes, dropped, truncated.
BROKEN = [
    ("motion", "<motion_start><motion_3><motion_512><motion_end>", "character 24, '<motion_512>' is.*out of range", [3], 1, False),
    ("motion", "<motion_start><motion_3><motion_x><motion_4><motion_end>", "character 24, '<motion_x>' is malformed", [3, 4], 1, False),
    ("motion", "<motion_start><motion_03><motion_4><motion_end>", "character 14, '<motion_03>' is malformed", [4], 1, False),
    ("motion", "<motion_start><motion_id_3><motion_4><motion_end>", "character 14, '<motion_id_3>'.*another format", [4], 1, False),
    ("motion", "<motion_start><motion_3><motion_4", "character 24, '<motion_4' is cut off", [3], 1, True),
    ("motion", "<motion_start><motion_3<motion_4><motion_end>", "character 14, '<motion_3' is cut off or malformed", [4], 1, False),
    ("motion", "<motion_start><motion_3><motion_4>", "character 34, the end of the motion is missing", [3, 4], 0, True),
    ("motion", "<motion_start><motion_3> and <motion_4><motion_end>", "character 25, 'and' is text between codes", [3, 4], 1, False),
    ("motion", "<motion_start><motion_mask><motion_4><motion_end>", "character 14, '<motion_mask>' is no code but a mask", [4], 1, False),
    ("motion", "<motion_start><motion_pad><motion_4><motion_end>", "character 14, '<motion_pad>' is no code but a pad", [4], 1, False),
    ("motion", "<motion_start><motion_start><motion_4><motion_end>", "character 14, '<motion_start>' is no code", [4], 1, False),
    ("motion", "so: <motion_3><motion_4><motion_end>", "character 4, '<motion_3>' is a code, but no start", [3, 4], 0, False),
    ("motion", "<motion_9><motion_start><motion_4><motion_end>", "character 0, '<motion_9>' is outside.*before", [4], 1, False),
    ("motion", "<motion_start><motion_4><motion_end><motion_9>", "character 36, '<motion_9>' is outside.*in parts", [4], 1, False),
    ("motion", "<motion_start><motion_end>", "character 26, all is read and there was no code", [], 0, False),
    ("motion", "I cannot do that", "character 16, all is read and there was no code", [], 0, False),
    ("motion", "", "character 0, all is read", [], 0, False),
    ("motiongpt", "<motion_id_512><motion_id_514><motion_id_3><motion_id_513>", "character 15, .* is no code but a mask", [3], 1, False),
    ("motiongpt", "<motion_id_512><motion_id_515><motion_id_3><motion_id_513>", "character 15, .*_515>' is malformed", [3], 1, False),
    ("motiongpt", "<motion_id_512><motion_3><motion_id_3><motion_id_513>", "character 15, '<motion_3>'.*another format", [3], 1, False),
    ("motiongpt", "<motion_id_512><motion_id_3>", "character 28, the end of the motion is missing", [3], 0, True),
    ("integers", "12,512,3", "character 3, '512' is malformed, out of range", [12, 3], 1, False),
    ("integers", "12, -1,3", "character 4, '-1' is malformed", [12, 3], 1, False),
    ("integers", "12,1.5,3", "character 3, '1.5' is malformed", [12, 3], 1, False),
    ("integers", "12,x,3", "character 3, 'x' is malformed", [12, 3], 1, False),
    ("integers", "12,,3", "character 3, '' is malformed", [12, 3], 1, False),
    ("integers", "12,511,", "character 7, the end of the motion is missing", [12, 511], 0, True),
    ("integers", "12,3, which walks", "character 6, 'which' is malformed", [12, 3], 1, False),
    ("integers", "12,3,4 or 5,6", "character 10, '5' is outside of the motion, after it", [12, 3, 4], 2, False),
    ("integers", "5,6 or 12,3,4", "character 0, '5' is outside of the motion, before it", [12, 3, 4], 2, False),
    ("integers", "1 2 3", "character 2, '2' is outside", [1], 2, False),
    ("integers", "12," + "9" * 5000, "character 3, '9+' is malformed, out of range", [12], 1, False),
    ("integers", "\u0661,\u0662", "character 3, all is read and there was no code", [], 0, False),
    ("integers", "it walks, then turns", "character 20, all is read", [], 0, False),
    ("list", "[12, 512, 3]", "character 5, '512' is malformed, out of range", [12, 3], 1, False),
    ("list", "so [12, x, 3] then", "character 8, 'x' is malformed", [12, 3], 1, False),
    ("list", "[12, 3,]", "character 7, '' is malformed", [12, 3], 1, False),
    ("list", "[12, 3", "character 6, the end of the motion is missing", [12, 3], 0, True),
    ("list", "[12, 3, ", "character 8, the end of the motion is missing", [12, 3], 0, True),
    ("list", "[12, 3 walks", "character 5, '3 walks' is malformed", [12], 1, True),
    ("list", "Action 1: [12, 3] Action 2: [4, 5]", "character 29, '4' is outside.*in parts", [12, 3], 2, False),
    ("list", "12, 511, 3", "character 10, all is read", [], 0, False),
    ("list", "[]", "character 2, all is read", [], 0, False),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "text", "message", "codes", "dropped", "truncated"), BROKEN)
def test_broken_texts(
    tokenizer: MotionTokenizer, layout: str, text: str, message: str, codes: list[int], dropped: int, truncated: bool
) -> None:
    with pytest.raises(ValueError, match=rf"^At {message}.*codes 0 to 511.*strict=False"):
        tokenizer.decode_motion(text, format=layout)
    decoded = tokenizer.decode_motion(text, strict=False, format=layout)
    assert (decoded.codes.tolist(), decoded.dropped, decoded.truncated) == (codes, dropped, truncated)
    assert decoded.codes.dtype == torch.int64


@pytest.mark.parametrize(
    ("tokens", "message", "codes", "dropped"),
    [
        ("0 1_1 2_2 3 2_4 1_5", "character 58, '<motion_2_4>' is of quantizer 2, but one of quantizer 1 must", [[0], [1], [2]], 3),
        ("0 1_1 3 1_4 2_5", "character 36, step 0 is over with 2 of 3 codes", [[3], [4], [5]], 2),
        ("1_1 0 1_2 2_3", "character 14, '<motion_1_1>' is of quantizer 1, but one of quantizer 0", [[0], [2], [3]], 1),
        ("0 1_1 2_2 3", "character 58, step 1 is over with 1 of 3", [[0], [1], [2]], 1),
        ("0 1_1 2_2 3_3", "character 48, '<motion_3_3>' is malformed, out of range", [[0], [1], [2]], 1),
        ("0 1_16 1_1 2_2", "character 24, '<motion_1_16>' is malformed, out of range", [[0], [1], [2]], 1),
    ],
)
def test_quantizers_out_of_turn(residual: MotionTokenizer, tokens: str, message: str, codes: list, dropped: int) -> None:
    text = "".join(["<motion_start>", *(f"<motion_{token}>" for token in tokens.split()), "<motion_end>"])
    with pytest.raises(ValueError, match=rf"^At {message}.*<motion_0><motion_1_0><motion_2_0>.*strict=False"):
        residual.decode_motion(text)
    decoded = residual.decode_motion(text, strict=False)
    assert (decoded.codes.tolist(), decoded.dropped, decoded.truncated) == (codes, dropped, False)


def test_lenient_reading_takes_anything(residual: MotionTokenizer) -> None:
    generator = np.random.default_rng(8)
    parts = [*"[],7-", " a ", *(f"<motion_{name}" for name in ("start>", "end>", "pad>", "3>", "1_4>", "2_5>", ""))]
    single = MotionTokenizer(codebook_size=16)
    for _ in range(300):
        text = "".join(generator.choice(parts, size=generator.integers(1, 20)))
        for reader, layout in ((residual, "motion"), *((single, layout) for layout in FORMATS)):
            lenient = reader.decode_motion(text, strict=False, format=layout)
            if lenient.dropped or lenient.truncated or not lenient.codes.numel():
                with pytest.raises(ValueError, match=r"^At character \d+, "):
                    reader.decode_motion(text, format=layout)


@pytest.mark.parametrize(
    ("ids", "message", "codes", "dropped", "truncated"),
    [
        ([512, 3, 4], "token 3 of the ids, the end of the motion is missing", [3, 4], 0, True),
        ([512, 3, 4, 515], "token 4 of the ids, the end of the motion is missing", [3, 4], 0, True),
        ([3, 4, 513], "token 0 of the ids, '<motion_3>' is a code, but no start", [3, 4], 0, False),
        ([512, 3, 515, 4, 513], "token 2 of the ids, '<motion_pad>' is no code but a pad", [3, 4], 1, False),
        ([512, 3, 516, 513], "token 2 of the ids, '516' is malformed, out of range", [3], 1, False),
        ([512, -100, 3, 513], "token 1 of the ids, '-100' is malformed", [3], 1, False),
        ([512, 3, 513, 512, 4, 513], "token 3 of the ids, '<motion_start>' is outside of the motion, after", [3], 3, False),
        ([515, 515, 515], "token 3 of the ids, all is read", [], 0, False),
    ],
)
def test_broken_ids(tokenizer: MotionTokenizer, ids: list[int], message: str, codes: list[int], dropped: int, truncated: bool) -> None:
    with pytest.raises(ValueError, match=rf"^At {message}.*strict=False"):
        tokenizer.ids_to_codes(ids)
    decoded = tokenizer.ids_to_codes(np.array(ids), strict=False)
    assert (decoded.codes.tolist(), decoded.dropped, decoded.truncated) == (codes, dropped, truncated)
    with pytest.raises(ValueError, match=f"^At {message.replace('the ids', 'row 1')}"):
        tokenizer.ids_to_codes([[512, 3, 513] + [515] * (len(ids) - 3), ids])


def test_ids_without_delimiters_hold_codes_only(tokenizer: MotionTokenizer) -> None:
    with pytest.raises(ValueError, match=r"^At token 0 of the ids, '<motion_start>' is no code but a start.*codes only"):
        tokenizer.ids_to_codes([512, 3, 513], delimiters=False)


def test_several_books_as_numbers(residual: MotionTokenizer) -> None:
    codes = np.array([[1, 4], [2, 5], [3, 6]])
    for layout, text in (("integers", "1,2,3,4,5,6"), ("list", "[1, 2, 3, 4, 5, 6]")):
        assert residual.encode_motion(codes, format=layout) == text
        assert np.array_equal(residual.decode_motion(f"Here: {text}", format=layout).codes, codes)
        with pytest.raises(ValueError, match="step 1 is over with 2 of 3 codes"):
            residual.decode_motion(text.replace("6", "").replace(", ]", "]").rstrip(","), format=layout)
    kept = residual.decode_motion("[1, 2, x, 4, 5, 6]", strict=False, format="list")
    assert kept.codes.tolist() == [[4], [5], [6]]
    assert kept.dropped == 3


def test_unknown_formats_and_texts(tokenizer: MotionTokenizer, residual: MotionTokenizer) -> None:
    for call in (lambda: tokenizer.encode_motion([3], format="t5"), lambda: tokenizer.decode_motion("", format="t5")):
        with pytest.raises(ValueError, match="one of 'motion', 'motiongpt', 'integers', 'list', got 't5'"):
            call()
    with pytest.raises(ValueError, match=r"'motiongpt' has one quantizer, this tokenizer has 3\. Use format='motion'"):
        residual.encode_motion(np.zeros((3, 2), int), format="motiongpt")
    with pytest.raises(TypeError, match=r"text must be a string, got list.*once for each"):
        tokenizer.decode_motion(["<motion_3>"])
