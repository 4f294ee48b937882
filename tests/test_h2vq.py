"""HumanTOMATO's motion tokenizer: two streams of codes, of body and hands, or of whatever joints."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scripts import run_script
from tiny import seeded, tiny_generator, tiny_h2vq, tiny_language_model, tiny_vq, whole_body_extractor, whole_body_rows
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer
from typer.testing import CliRunner

from hf_motion import HumanML3DRepresentation, MoMaskConfig, Motion, MotionTokenizer, MotionVQConfig, MotionVQModel, T2MGPTConfig
from hf_motion.cli.app import app
from hf_motion.evaluation.reconstruction import reconstruction_scores
from hf_motion.hands import with_hands
from hf_motion.nn.quantizers import HierarchicalQuantizer
from hf_motion.skeletons import SMPLX_52
from hf_motion.tokenization.codec import MotionCodec
from hf_motion.trainers.tokenizer import save_motion_tokenizer

ROOT = Path(__file__).parents[1]


def features(model: MotionVQModel, *lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.randn(len(lengths), max(lengths), model.config.num_features, generator=seeded(5))
    return padded, (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


@pytest.fixture(params=["hands", "arms"])
def model(request: pytest.FixtureRequest) -> MotionVQModel:
    return tiny_h2vq(request.param)


class TestQuantizer:
    def test_algorithm_1_by_hand(self) -> None:
        """The hands' codes first, projected, beside the body's latents, convolved, quantised; eq. 3's commitment to both."""
        torch.manual_seed(0)
        quantizer = HierarchicalQuantizer(16, 4).train()
        latents = torch.randn(2, 5, 12)
        quantizer(latents)
        quantizer.eval()
        output = quantizer(latents)
        hands, body = latents[..., 8:], latents[..., :8].reshape(2, 10, 4)
        hand_book, body_book = quantizer.hands.books[0].codebook, quantizer.body.books[0].codebook
        hand_codes = (hands[..., None, :] - hand_book).square().sum(-1).argmin(-1)
        known = F.conv1d(hand_book[hand_codes].transpose(1, 2), quantizer.transform.weight, quantizer.transform.bias)
        fused = F.conv1d(
            torch.cat((known.repeat_interleave(2, dim=2), body.transpose(1, 2)), 1), quantizer.fuse.weight, quantizer.fuse.bias, padding=1
        ).transpose(1, 2)
        body_codes = (fused[..., None, :] - body_book).square().sum(-1).argmin(-1)
        assert torch.equal(output.codes[:, 2], hand_codes)
        assert torch.equal(output.codes[:, :2].transpose(1, 2).reshape(2, 10), body_codes)
        expected = torch.cat((body_book[body_codes], hand_book[hand_codes].repeat_interleave(2, dim=1)), -1)
        torch.testing.assert_close(output.latents, expected)
        torch.testing.assert_close(quantizer.lookup(output.codes), expected)
        commitment = F.mse_loss(hands, hand_book[hand_codes]) + F.mse_loss(fused, body_book[body_codes])
        torch.testing.assert_close(output.commitment, commitment)

    def test_both_books_learn(self) -> None:
        torch.manual_seed(0)
        quantizer = HierarchicalQuantizer(8, 4).train()
        quantizer(torch.randn(2, 20, 12))
        before = [book.codebook.clone() for book in (quantizer.hands.books[0], quantizer.body.books[0])]
        quantizer(torch.randn(2, 20, 12))
        after = [book.codebook for book in (quantizer.hands.books[0], quantizer.body.books[0])]
        assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))

    def test_the_body_reads_the_hands_and_not_the_other_way_round(self) -> None:
        model = tiny_h2vq()
        batch, _ = features(model, 40)
        hands = batch.clone()
        hands[..., model.config.hand_features] += 3 * torch.randn(1, 40, len(model.config.hand_features), generator=seeded(1))
        body = batch.clone()
        others = [index for index in range(batch.shape[-1]) if index not in model.config.hand_features]
        body[..., others] += 3
        plain = model.encode(batch)
        assert (model.encode(hands) != plain)[:, :2].any()
        assert torch.equal(model.encode(body)[:, 2], plain[:, 2])


class TestModel:
    def test_two_streams(self, model: MotionVQModel) -> None:
        batch, mask = features(model, 70, 30, 5, 1)
        codes = model.encode(batch.masked_fill(~mask.bool()[..., None], 100.0), mask)
        assert (codes >= 0).sum(-1).tolist() == [[18] * 3, [8] * 3, [2] * 3, [1] * 3]
        decoded = model.decode(codes)
        for row, length in enumerate((70, 30, 5, 1)):
            alone = model.encode(batch[row : row + 1, :length])
            assert torch.equal(alone[0], codes[row, :, : alone.shape[2]])
            one = model.decode(alone)
            torch.testing.assert_close(one[0], decoded[row, : one.shape[1]], atol=1e-5, rtol=1e-5)
            assert not decoded[row, one.shape[1] :].any()
        body, hands = model.split_streams(codes)
        assert (body.shape, hands.shape) == ((4, 36), (4, 18))
        assert torch.equal(model.join_streams(body, hands), codes)
        assert body[0, :4].tolist() == [codes[0, 0, 0], codes[0, 1, 0], codes[0, 0, 1], codes[0, 1, 1]]

    def test_gradient_reaches_every_parameter(self, model: MotionVQModel) -> None:
        model.train()
        output = model(*features(model, 24, 9))
        output.loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        torch.testing.assert_close(output.loss, output.reconstruction_loss + 0.02 * output.commitment_loss)

    def test_it_learns(self) -> None:
        model = tiny_h2vq().train()
        batch, mask = features(model, 16, 16)
        optimizer, curve = torch.optim.Adam(model.parameters(), lr=1e-2), []
        for _ in range(20):
            loss = model(batch, mask).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(float(loss.detach()))
        assert sum(curve[-5:]) < 0.95 * sum(curve[:5]), curve

    @pytest.mark.parametrize(("size", "body_strides"), [(7, [2]), (60, [2]), (9, [2, 2])])
    def test_a_stream_equals_the_whole(self, size: int, body_strides: list[int]) -> None:
        model = tiny_h2vq(body_strides=body_strides)
        codes = torch.randint(32, (2, 4 - len(body_strides), 60), generator=seeded())
        pieces = list(model.stream(iter(codes.split(size, dim=-1))))
        torch.testing.assert_close(torch.cat(pieces, dim=1), model.decode(codes), atol=1e-5, rtol=1e-5)
        assert len(pieces) > 1
        changed = codes.clone()
        changed[..., 30] = (changed[..., 30] + 1) % 32
        moved = (model.decode(codes) - model.decode(changed)).abs().amax(-1)[0].nonzero()[:, 0] // 4
        assert int((moved - 30).abs().max()) <= model.lookahead

    def test_one_body_code_per_hand_code(self) -> None:
        """Equation 2 has a body and a hand code at each step; appendix B.2 two of the body."""
        model = tiny_h2vq(body_strides=[2, 2])
        assert model.config.step_books == [0, 1]
        codes = model.encode(*features(model, 20, 9))
        assert codes.shape == (2, 2, 5)
        assert model.decode(codes).shape == (2, 20, 313)

    def test_a_loaded_book_goes_on(self, tmp_path: Path) -> None:
        model = tiny_h2vq()
        save_motion_tokenizer(tmp_path, model, whole_body_extractor())
        again, tokenizer = AutoModel.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
        batch = features(model, 30, 9)
        assert torch.equal(again.eval().encode(*batch), model.encode(*batch))
        assert (tokenizer.num_quantizers, tokenizer.step_books) == (2, [0, 0, 1])
        assert (again.config.hand_features, again.config.body_strides) == (model.config.hand_features, [2])
        for name, buffer in model.named_buffers():
            assert torch.equal(again.get_buffer(name), buffer), name

    def test_bfloat16(self) -> None:
        model = tiny_h2vq()
        codes = model.encode(*features(model, 40, 20))
        assert model.to(torch.bfloat16).decode(codes).isfinite().all()

    @pytest.mark.parametrize("name", ["humantomato_h2vq", "humantomato_h2vq_small"])
    def test_recipes(self, name: str) -> None:
        recipe = yaml.safe_load((ROOT / "training" / "configs" / f"{name}.yaml").read_text())
        representation = whole_body_extractor().features
        options = {**recipe["model_options"], "hidden_size": 8, "code_dim": 8, "num_features": representation.dim}
        model = MotionVQModel(MotionVQConfig(**options, hand_features=representation.features_of(recipe["hand_joints"]))).eval()
        assert model.encode(torch.zeros(1, 21, representation.dim)).shape == (1, 3, 6)


class TestBadInput:
    @pytest.mark.parametrize(
        ("codes", "message"),
        [
            (torch.full((1, 3, 3), 32), r"codes\[0, 0, 0\] is 32; codes are 0 to 31.*Does this tokenizer belong"),
            (torch.zeros(1, 2, 3, dtype=torch.long), "2 rows of the body and one of the hands"),
            (torch.tensor([[[1, 2], [1, 2], [1, -1]]]), "In clip 0 the streams of body and hands end at different steps"),
            (torch.tensor([[[1, 2], [1, -1], [1, 2]]]), "Cut both to the same time"),
        ],
    )
    def test_codes(self, codes: torch.Tensor, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tiny_h2vq().decode(codes)

    def test_streams_of_different_lengths(self) -> None:
        model = tiny_h2vq()
        with pytest.raises(ValueError, match="there are 2 of the body, got 6 of the body and 4 of the hands"):
            model.join_streams(torch.zeros(1, 6, dtype=torch.long), torch.zeros(1, 4, dtype=torch.long))
        with pytest.raises(ValueError, match="one stream"):
            tiny_vq().split_streams(torch.zeros(1, 1, 4, dtype=torch.long))
        with pytest.raises(ValueError, match=r"got \(1, 2, 4\)"):
            model.split_streams(torch.zeros(1, 2, 4, dtype=torch.long))
        with pytest.raises(ValueError, match="one book each"):
            model.encode(torch.zeros(1, 8, 313), num_quantizers=1)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"hand_features": [1, 300]}, "of the 263 features.*another skeleton"),
            ({"hand_features": []}, "some of the 263"),
            ({"hand_features": [1, 1]}, "each once"),
            ({"hand_features": [9], "body_strides": [2, 2, 2]}, "multiple of the body's 8"),
            ({"hand_features": [9], "num_quantizers": 6}, "one book for each of the two streams"),
            ({"hand_features": [9], "shared_codebook": True}, "residual books"),
            ({"body_strides": [2]}, "beside hand_features"),
        ],
    )
    def test_configuration(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MotionVQConfig(**options)

    def test_models_of_one_stream_refuse_two(self) -> None:
        config = tiny_h2vq().config
        for other in (T2MGPTConfig, MoMaskConfig):
            with pytest.raises(ValueError, match=r"two, of body and hands\. Use HumanTOMATO"):
                other(config)
        language = tiny_language_model()
        with pytest.raises(ValueError, match="two streams of codes"):
            type(language).from_base(
                language.language_model, language.tokenizer, tiny_h2vq(), None, language.feature_extractor, format="motion", max_tokens=12
            )
        gpt = tiny_generator("t2m-gpt")
        with pytest.raises(ValueError, match="num_quantizers 2, the generator was made for 1"):
            type(gpt)(gpt.config, None, tiny_h2vq())

    def test_joints(self) -> None:
        representation = HumanML3DRepresentation()
        with pytest.raises(ValueError, match="no joints called 'hands'; groups are torso"):
            representation.features_of("hands")
        with pytest.raises(ValueError, match="the root's features are the path"):
            representation.features_of([0, 1])


class TestText:
    def test_text_and_ids(self) -> None:
        tokenizer = MotionTokenizer.of(tiny_h2vq().config)
        codes = torch.randint(32, (3, 5), generator=seeded())
        text = tokenizer.encode_motion(codes)
        first = codes[:, 0].tolist()
        assert text.startswith(f"<motion_start><motion_{first[0]}><motion_{first[1]}><motion_1_{first[2]}>")
        assert torch.equal(tokenizer.decode_motion(text).codes, codes)
        ids = tokenizer.codes_to_ids(codes)
        assert ids.tolist() == tokenizer(text)["input_ids"]
        assert torch.equal(tokenizer.ids_to_codes(ids).codes, codes)
        with pytest.raises(ValueError, match="quantizer 1, but one of quantizer 0 must come here"):
            tokenizer.decode_motion("<motion_start><motion_3><motion_1_3><motion_end>")
        lenient = tokenizer.decode_motion("<motion_start><motion_3><motion_4><motion_1_3><motion_3><motion_end>", strict=False)
        assert (lenient.codes.tolist(), lenient.dropped) == ([[3], [4], [3]], 1)
        numbers = tokenizer.encode_motion(codes, format="integers")
        assert numbers.split(",")[:4] == [str(code) for code in [*codes[:, 0].tolist(), int(codes[0, 1])]]
        assert torch.equal(tokenizer.decode_motion(numbers, format="integers").codes, codes)
        with pytest.raises(ValueError, match="motiongpt"):
            tokenizer.encode_motion(codes, format="motiongpt")
        with pytest.raises(ValueError, match="name each of the 2 books"):
            MotionTokenizer(num_quantizers=2, step_books=[0, 0])

    def test_codec_and_command_line(self, tmp_path: Path) -> None:
        save_motion_tokenizer(tmp_path / "model", tiny_h2vq(), whole_body_extractor())
        body = Motion(np.tile(_POSE, (23, 1, 1)))
        motion = with_hands(body)
        codec = MotionCodec.from_pretrained(tmp_path / "model")
        codes = codec.encode([motion, motion[:3]])
        assert [clip.shape for clip in codes] == [(3, -(-(len(motion) - 1) // 4)), (3, 1)]
        made = codec.decode(codes)
        assert [(len(clip), clip.skeleton) for clip in made] == [(4 * codes[0].shape[1], SMPLX_52), (4, SMPLX_52)]
        motion.save(tmp_path / "clip.npz")
        told = CliRunner().invoke(
            app, ["tokenize", str(tmp_path / "clip.npz"), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "a")]
        )
        assert told.exit_code == 0, told.output
        row = json.loads((tmp_path / "a").read_text())
        assert len(row["body"]) == 2 * len(row["hands"]) == 2 * codes[0].shape[1]
        assert row["codes"] == codes[0].tolist()
        back = ["detokenize", str(tmp_path / "a"), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "b.npz")]
        assert CliRunner().invoke(app, back).exit_code == 0
        assert Motion.load(tmp_path / "b.npz").joints.shape == (4 * codes[0].shape[1], 52, 3)


def test_training_script_and_scores(tmp_path: Path) -> None:
    """Two steps on whole bodies; scores of body, hands and all while training and after, and bits per second."""
    rows = whole_body_rows(tmp_path / "rows.parquet")
    run_script("train_tokenizer", [
        "--config", ROOT / "training/configs/humantomato_h2vq_small.yaml", "--dataset", rows, "--output_dir", tmp_path / "run",
        "--model_options", '{"hidden_size": 16, "code_dim": 8, "codebook_size": 16, "position_weight": 0, "reconstruction_loss": "l2"}',
        "--per_device_train_batch_size", "4", "--max_steps", "2", "--save_steps", "2", "--logging_steps", "1", "--report_to", "none",
        "--use_cpu", "true", "--score_steps", "2", "--score_split", "train",
    ])  # fmt: skip
    log = (tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text()
    for name in ("perplexity", "dead_codes", "eval_mpjpe", "eval_mpjpe_body", "eval_pa_mpjpe_hands", "eval_acceleration_error_hands"):
        assert f'"{name}"' in log
    assert "eval_fid" not in log
    model = AutoModel.from_pretrained(tmp_path / "run" / "model")
    assert model.config.step_books == [0, 0, 1]
    command = [
        "evaluate",
        "--reconstruction",
        "--model",
        str(tmp_path / "run"),
        "--dataset",
        str(rows),
        "--split",
        "train",
        "--min-frames",
        "8",
    ]
    told = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "scores")])
    assert told.exit_code == 0, told.output
    content = json.loads((tmp_path / "scores" / "results.json").read_text())
    scores = content["rows"]["model"]
    assert scores["bits_per_second"]["values"] == [3 * 4 / 4 * 20]
    assert {"mpjpe_hands", "pa_mpjpe_body", "acceleration_error_body"} <= set(scores)
    assert "fid" not in scores
    assert "There is no FID" in " ".join(content["notes"])


def test_hands_are_measured_against_their_wrists() -> None:
    """A hand that only goes where the arm takes it is right, however far the arm is off."""
    extractor = whole_body_extractor().without_statistics()
    clip = extractor.encode(with_hands(Motion(np.tile(_POSE, (23, 1, 1)))))[0]

    class Shifted:
        device = torch.device("cpu")

        def reconstruct(self, motion_features: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            moved = motion_features.clone()
            for joint in (20, *range(22, 37)):
                moved[..., 4 + 3 * (joint - 1)] += 0.1
            return moved

    scores = reconstruction_scores(Shifted(), extractor, [clip], None)
    assert scores["mpjpe"] == pytest.approx(100 * 16 / 52, rel=1e-3)
    assert scores["mpjpe_body"] == pytest.approx(100 / 22, rel=1e-3)
    assert scores["mpjpe_hands"] == pytest.approx(0, abs=1e-2)
    assert scores["pa_mpjpe_hands"] == pytest.approx(0, abs=1e-2)


_POSE = SMPLX_52.body_joints[:22] + np.array([0, 1, 0])
