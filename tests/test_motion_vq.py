"""Motion tokenizers: quantizers, the autoencoder, streaming, and what must not happen to a loaded book."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scripts import run_script
from tiny import FIXTURES, seeded, tiny_vq
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

from hf_motion import MotionFeatureExtractor, MotionTokenizer, MotionVQConfig, MotionVQModel
from hf_motion.nn.quantizers import EMACodebook, ResidualQuantizer
from hf_motion.trainers.tokenizer import save_motion_tokenizer

ROOT = Path(__file__).parents[1]


def features(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.randn(len(lengths), max(lengths), 263, generator=seeded(5))
    return padded, (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


class TestQuantizer:
    def test_moving_averages_by_hand(self) -> None:
        book = EMACodebook(3, 2, decay=0.9, reset_threshold=0.0)
        book.initialize(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]))
        start, latents = book.codebook.clone(), torch.tensor([[0.5, 0.5], [4.0, 1.0], [5.0, 0.0]])
        codes = book.nearest(latents)
        expected = (latents[:, None] - start[None]).square().sum(-1).argmin(1)
        assert torch.equal(codes, expected)
        book.update(latents, codes)
        for code in range(3):
            chosen = latents[codes == code]
            count = 0.9 + 0.1 * len(chosen)
            torch.testing.assert_close(book.codebook[code], (0.9 * start[code] + 0.1 * chosen.sum(0)) / count)

    def test_a_code_that_nobody_chooses_is_replaced(self) -> None:
        book = EMACodebook(2, 1, decay=0.5)
        book.initialize(torch.tensor([[0.0], [100.0]]))
        latents = torch.tensor([[1.0], [2.0], [3.0]])
        lonely = int(book.codebook.argmax())
        book.update(latents, book.nearest(latents))
        assert float(book.codebook[lonely]) in (1.0, 2.0, 3.0)

    def test_residuals_shrink(self) -> None:
        torch.manual_seed(0)
        quantizer = ResidualQuantizer(4, 16, 8).train()
        latents = torch.randn(4, 32, 8)
        for _ in range(5):
            quantizer(latents)
        quantizer.eval()
        errors = [float((quantizer(latents, num_quantizers=n).latents - latents).square().mean()) for n in (1, 2, 3, 4)]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 0.5 * errors[0]

    def test_gradients_pass_straight_through(self) -> None:
        quantizer = ResidualQuantizer(2, 8, 4).train()
        latents = torch.randn(2, 5, 4, requires_grad=True)
        quantizer(latents).latents.sum().backward()
        torch.testing.assert_close(latents.grad, 2 * torch.ones_like(latents))  # once per book, as published

    def test_dropout_leaves_out_the_last_books(self) -> None:
        torch.manual_seed(0)
        quantizer = ResidualQuantizer(4, 8, 4, dropout=0.99).train()
        seen = {int((quantizer(torch.randn(1, 40, 4)).codes[0, :, 0] >= 0).sum()) for _ in range(60)}
        assert seen == {1, 2, 3, 4}
        assert (quantizer.eval()(torch.randn(1, 3, 4)).codes >= 0).all()

    def test_temperature_draws_in_training_only(self) -> None:
        torch.manual_seed(0)
        quantizer = ResidualQuantizer(1, 16, 4, temperature=50.0).train()
        latents = torch.randn(1, 64, 4)
        assert not torch.equal(quantizer(latents).codes, quantizer(latents).codes)
        quantizer.eval()
        assert torch.equal(quantizer(latents).codes, quantizer(latents).codes)

    def test_shared_codebook(self) -> None:
        quantizer = ResidualQuantizer(3, 8, 4, shared_codebook=True)
        assert sum(name.endswith("codebook") for name, _ in quantizer.named_buffers()) == 1
        quantizer.train()(torch.randn(2, 6, 4))
        assert quantizer.lookup(torch.tensor([[[1], [1], [-1]]])).allclose(2 * quantizer.book(2).codebook[1])


class TestModel:
    def test_padding_and_neighbours_do_not_matter(self) -> None:
        model = tiny_vq(num_quantizers=3)
        batch, mask = features(70, 30, 5, 1)
        garbage = batch.masked_fill(~mask.bool()[..., None], 100.0)
        codes = model.encode(garbage, mask)
        assert (codes[:, 0] >= 0).sum(1).tolist() == [18, 8, 2, 1]
        decoded = model.decode(codes)
        for row, length in enumerate((70, 30, 5, 1)):
            alone = model.encode(batch[row : row + 1, :length])
            assert torch.equal(alone[0], codes[row, :, : alone.shape[2]])
            one = model.decode(alone)
            torch.testing.assert_close(one[0], decoded[row, : one.shape[1]], atol=1e-5, rtol=1e-5)
            assert not decoded[row, one.shape[1] :].any()

    def test_losses_count_real_frames_only(self) -> None:
        model = tiny_vq()
        batch, mask = features(40, 12)
        output = model(batch, mask)
        made, position = output.reconstruction, slice(4, 67)
        errors = [torch.nn.functional.smooth_l1_loss(made[row, :n], batch[row, :n], reduction="none") for row, n in ((0, 40), (1, 12))]
        both = torch.cat(errors)
        torch.testing.assert_close(output.reconstruction_loss, both.mean())
        torch.testing.assert_close(output.position_loss, both[:, position].mean())
        total = output.reconstruction_loss + 0.5 * output.position_loss + 0.02 * output.commitment_loss
        torch.testing.assert_close(output.loss, total)

    @pytest.mark.parametrize(("name", "function"), [("l1", torch.nn.functional.l1_loss), ("l2", torch.nn.functional.mse_loss)])
    def test_other_reconstruction_losses(self, name: str, function: Callable[..., torch.Tensor]) -> None:
        """CigTime's is L2, without an extra term for positions."""
        model = tiny_vq(reconstruction_loss=name, position_weight=0.0, commitment_weight=1.0)
        batch, mask = features(40, 12)
        output = model(batch, mask)
        both = torch.cat([output.reconstruction[0], output.reconstruction[1, :12]]), torch.cat([batch[0], batch[1, :12]])
        torch.testing.assert_close(output.reconstruction_loss, function(*both))
        assert output.position_loss is None
        torch.testing.assert_close(output.loss, output.reconstruction_loss + output.commitment_loss)

    @pytest.mark.parametrize("name", ["t2mgpt_vq", "momask_rvq", "cigtime_rvq", "vq_small", "rvq_small"])
    def test_recipes(self, name: str) -> None:
        """What the shipped recipes describe can be built; CigTime's has a token for each frame."""
        options = yaml.safe_load((ROOT / "training" / "configs" / f"{name}.yaml").read_text())["model_options"]
        model = MotionVQModel(MotionVQConfig(**{**options, "hidden_size": 8})).eval()
        tokens = 21 if name == "cigtime_rvq" else 6
        codes = model.encode(torch.zeros(1, 21, 263))
        assert codes.shape == (1, options.get("num_quantizers", 1), tokens)
        assert model.decode(codes).shape == (1, 21 if name == "cigtime_rvq" else 24, 263)

    def test_gradient_reaches_every_parameter(self) -> None:
        model = tiny_vq(num_quantizers=2).train()
        model(*features(24, 9)).loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_it_learns(self) -> None:
        model = tiny_vq().train()
        batch, mask = features(32, 32)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        curve = []
        for _ in range(60):
            loss = model(batch, mask).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(float(loss.detach()))
        assert sum(curve[-5:]) < 0.8 * sum(curve[:5])

    def test_a_loaded_book_is_not_drawn_anew(self, tmp_path: Path) -> None:
        model = tiny_vq()
        model.save_pretrained(tmp_path)
        again = MotionVQModel.from_pretrained(tmp_path).train()
        book, before = again.quantizer.books[0], again.quantizer.books[0].codebook.clone()
        assert torch.equal(before, model.quantizer.books[0].codebook)
        assert torch.equal(book.code_count, model.quantizer.books[0].code_count)
        used = (0.99 * book.code_count >= 1.0).nonzero()[:, 0]
        assert len(used)
        again(*features(40, 40))
        moved = (book.codebook[used] - before[used]).norm(dim=1) / before[used].norm(dim=1)
        assert (moved < 0.1).all()

    @pytest.mark.parametrize("size", [1, 7, 90])
    def test_a_stream_equals_the_whole(self, size: int) -> None:
        model = tiny_vq(num_quantizers=2)
        codes = torch.randint(32, (2, 2, 90), generator=seeded())
        pieces = list(model.stream(iter(codes.split(size, dim=-1))))
        torch.testing.assert_close(torch.cat(pieces, dim=1), model.decode(codes), atol=1e-5, rtol=1e-5)
        assert len(pieces) > 1

    def test_lookahead_is_what_a_frame_depends_on(self) -> None:
        model = tiny_vq()
        codes = torch.zeros(1, 1, 120, dtype=torch.long)
        changed = codes.clone()
        changed[..., 60] = 1
        frames = (model.decode(codes) - model.decode(changed)).abs().amax(-1)[0].nonzero()[:, 0] // 4
        assert 60 - int(frames.min()) <= model.lookahead
        assert int(frames.max()) - 60 <= model.lookahead
        assert model.lookahead - (int(frames.max()) - 60) <= 2

    def test_no_downsampling(self) -> None:
        model = tiny_vq(strides=[1, 1])
        batch, mask = features(9, 4)
        codes = model.encode(batch, mask)
        assert codes.shape == (2, 1, 9)
        assert model.decode(codes).shape == (2, 9, 263)

    def test_bfloat16(self) -> None:
        model = tiny_vq()
        codes = model.encode(*features(40, 20))
        rough = model.to(torch.bfloat16).decode(codes)
        assert rough.dtype == torch.bfloat16
        assert rough.isfinite().all()

    def test_a_quantizer_may_be_passed_in(self) -> None:
        quantizer = ResidualQuantizer(2, 16, 8)
        model = MotionVQModel(MotionVQConfig(hidden_size=16, code_dim=8, codebook_size=16, num_quantizers=2), quantizer)
        assert model.quantizer is quantizer

    def test_checkpoint_is_complete(self, tmp_path: Path) -> None:
        model = tiny_vq(num_quantizers=2)
        save_motion_tokenizer(tmp_path, model, MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263))
        again, tokenizer = AutoModel.from_pretrained(tmp_path).eval(), AutoTokenizer.from_pretrained(tmp_path)
        assert isinstance(tokenizer, MotionTokenizer)
        assert (tokenizer.codebook_size, tokenizer.num_quantizers) == (32, 2)
        assert AutoFeatureExtractor.from_pretrained(tmp_path).mean[0] == pytest.approx(0.1)
        codes = again.encode(*features(20, 20))
        assert torch.equal(codes, model.encode(*features(20, 20)))
        decoded = tokenizer.decode_motion(tokenizer.encode_motion(codes[0])).codes
        np.testing.assert_array_equal(decoded, codes[0])
        assert "motion-tokenizer" in (tmp_path / "README.md").read_text()

    @pytest.mark.parametrize(
        ("codes", "message"),
        [
            (torch.full((1, 1, 3), 32), r"codes\[0, 0, 0\] is 32; codes are 0 to 31"),
            (torch.full((1, 1, 3), -2), "is -2"),
            (torch.zeros(1, 3, 3, dtype=torch.long), "1 to 2 quantizers"),
            (torch.zeros(1, 3, dtype=torch.long), "got shape"),
            (torch.zeros(1, 1, 0, dtype=torch.long), "got shape"),
            (torch.tensor([[[1, -1, 2]]]), "must come behind"),
            (torch.tensor([[[-1, -1]]]), "at least one"),
        ],
    )
    def test_bad_codes(self, codes: torch.Tensor, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tiny_vq(num_quantizers=2).decode(codes)

    def test_bad_features(self) -> None:
        model = tiny_vq()
        with pytest.raises(ValueError, match="frames, 263"):
            model.encode(torch.zeros(1, 8, 251))
        with pytest.raises(ValueError, match="at least one frame"):
            model.encode(torch.zeros(1, 8, 263), torch.zeros(1, 8))
        with pytest.raises(ValueError, match="num_quantizers must be from 1 to 1, got 2"):
            model.encode(torch.zeros(1, 8, 263), num_quantizers=2)
        with pytest.raises(ValueError, match="no padding"):
            list(model.stream(iter([torch.tensor([[[-1]]])])))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"codebook_size": 0}, "codebook_size"),
            ({"strides": [3]}, "strides"),
            ({"dropout": 1.0}, "dropout"),
            ({"num_features": 60}, "position_slice"),
            ({"reconstruction_loss": "huber"}, "'smooth_l1', 'l1', 'l2', got 'huber'"),
        ],
    )
    def test_bad_configuration(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MotionVQConfig(**options)


def test_training_script(tmp_path: Path) -> None:
    """Two steps, then two more from the checkpoint; the finished repository reconstructs."""
    command = [
        "--config", str(ROOT / "training/configs/rvq_small.yaml"),
        "--dataset", str(FIXTURES / "clips.parquet"), "--output_dir", str(tmp_path), "--model_options",
        '{"hidden_size": 16, "code_dim": 8, "codebook_size": 16, "num_quantizers": 2}', "--per_device_train_batch_size", "4",
        "--save_steps", "2", "--logging_steps", "1", "--report_to", "none", "--use_cpu", "true", "--score_steps", "2", "--score_split",
        "train", "--bf16", "false",
    ]  # fmt: skip
    for steps in ("2", "4"):
        run_script("train_tokenizer", [*command, "--max_steps", steps])
    log = (tmp_path / "checkpoint-4" / "trainer_state.json").read_text()
    for name in ("perplexity", "dead_codes", "commitment_loss", "eval_mpjpe", "eval_pa_mpjpe", "eval_acceleration_error", "eval_fid"):
        assert f'"{name}"' in log
    model = AutoModel.from_pretrained(tmp_path / "model").eval()
    assert model.reconstruct(torch.zeros(1, 21, 263)).shape == (1, 21, 263)
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "model").max_frames == 196


_TWO_BOOKS = """
import sys, torch
from torch import distributed as dist
from hf_motion.nn.quantizers import EMACodebook
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
latents = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(7))
book = EMACodebook(4, 4, reset_threshold=0.0)
book.initialize(latents[rank])
for _ in range(3):
    book.update(latents[rank], book.nearest(latents[rank]))
torch.save({"book": book.codebook, "count": book.code_count}, sys.argv[1] + f"/{rank}.pt")
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow  # two processes: half a minute to start and end
def test_two_processes_share_one_book(tmp_path: Path) -> None:
    script = tmp_path / "books.py"
    script.write_text(_TWO_BOOKS)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(first["book"], second["book"])
    # Both processes' 30 latents were counted, three times.
    expected = 4 * 0.99**3 + 60 * (1 - 0.99) * (0.99**2 + 0.99 + 1)
    assert float(first["count"].sum()) == pytest.approx(expected, rel=1e-5)
