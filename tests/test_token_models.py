"""Generators of motion tokens: T2M-GPT and MoMask."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import run_script
from tiny import FIXTURES, seeded, tiny_generator, tiny_pipeline, tiny_vq
from torch.nn import functional as F
from transformers import AutoModel, DynamicCache, pipeline

from hf_motion import T2MGPT, TMR, MoMask, MoMaskConfig, Motion, MotionFeatureExtractor, T2MGPTConfig
from hf_motion.models.text_motion_model import TextMotionModel
from hf_motion.text_encoders import add_text_lora
from hf_motion.trainers.tokenizer import save_motion_tokenizer
from hf_motion.trainers.tokens import new_token_model

ROOT = Path(__file__).parents[1]
KINDS = ("t2m-gpt", "momask")
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> TextMotionModel:
    return tiny_generator(request.param)


@pytest.mark.slow  # an interpreter of its own; the fast suite opens T2M-GPT's door in test_doors.py
def test_trust_remote_code_without_import(tmp_path: Path) -> None:
    tiny_generator("momask").save_pretrained(tmp_path / "model")
    code = (
        "from transformers import AutoModel; import sys; assert 'hf_motion' not in sys.modules; "
        f"m = AutoModel.from_pretrained({str(tmp_path / 'model')!r}, trust_remote_code=True); "
        "print(len(m.generate_motion('a person walks', 8)[0]))"
    )
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "PATH": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.strip() == "8", done.stderr[-2000:]


class TestBoth:
    def test_makes_motions_of_the_wanted_lengths(self, model: TextMotionModel) -> None:
        motions = model.generate_motion(["a person walks", "someone jumps"], num_frames=[12, 30], generator=seeded())
        assert [(len(motion), motion.text) for motion in motions] == [(12, "a person walks"), (30, "someone jumps")]
        assert all(np.isfinite(motion.joints).all() for motion in motions)

    def test_chooses_a_length(self, model: TextMotionModel) -> None:
        motions = model.generate_motion([f"a person walks {index}" for index in range(6)], generator=seeded())
        assert all(4 <= len(motion) <= model.max_frames and len(motion) % 4 == 0 for motion in motions)

    def test_seed_decides_and_neighbours_do_not(self, model: TextMotionModel) -> None:
        first, again, other = (model.generate_motion("a person walks", 32, generator=seeded(seed))[0].joints for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1e-3
        alone = model.generate_motion("a person walks", 32, generator=seeded(), output_type="codes")[0]
        texts, lengths = ["a person walks", "someone runs far away", "x"], [32, 48, 4]
        among = model.generate_motion(texts, lengths, generator=seeded(), output_type="codes")[0]
        assert torch.equal(alone, among)

    def test_free_lengths_do_not_depend_on_neighbours(self, model: TextMotionModel) -> None:
        pairs = [(text, seeded(seed)) for seed, text in enumerate(("a person walks", "someone runs", "a jump"))]
        alone = [model.generate_motion(text, generator=[g], output_type="codes")[0] for text, g in pairs]
        generators = [seeded(seed) for seed in range(3)]
        together = model.generate_motion([text for text, _ in pairs], generator=generators, output_type="codes")
        assert all(torch.equal(one, two) for one, two in zip(alone, together, strict=True))

    def test_save_and_load(self, model: TextMotionModel, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        assert not [path for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
        again = AutoModel.from_pretrained(tmp_path)
        assert type(again) is type(model)
        assert not again.training
        expected = model.generate_motion("a person walks", 32, generator=seeded())[0]
        np.testing.assert_allclose(again.generate_motion("a person walks", 32, generator=seeded())[0].joints, expected.joints, atol=1e-5)
        made = pipeline("text-to-motion", model=str(tmp_path))("a person walks", num_frames=32, generator=seeded())
        np.testing.assert_allclose(made.joints, expected.joints, atol=1e-5)
        rough = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
        assert len(rough.generate_motion("a person walks", 32, generator=seeded())[0]) == 32

    def test_push_and_reload(self, model: TextMotionModel, hub) -> None:
        model.push_to_hub("org/tokens")
        again = AutoModel.from_pretrained("org/tokens")
        assert again.feature_extractor.mean == model.feature_extractor.mean
        assert len(again.generate_motion("a person walks", 8)[0]) == 8

    def test_checkpoint_without_feature_extractor(self, model: TextMotionModel, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        (tmp_path / "preprocessor_config.json").unlink()
        with pytest.raises(ValueError, match="mean and std"):
            AutoModel.from_pretrained(tmp_path)

    def test_training_batches(self, model: TextMotionModel) -> None:
        books = model.config.vq_config.num_quantizers
        codes = [torch.randint(32, (books, count), generator=seeded(count)) for count in (3, 12, 7)]
        texts = model.encode_texts(["a", "b", "c"])
        batch = model.prepare_batch(codes, texts, [1, 2, 3])
        alone = model.prepare_batch(codes[2:], texts[2:], [3])
        for name, value in alone.items():
            width = value.shape[-1] if value.ndim > 1 else None
            ours = batch[name][2:] if width is None or name in ("text_embeds", "keep_text") else batch[name][2:][..., :width]
            assert torch.equal(ours, value), name
        model.train()
        output = model(**batch)
        output.loss.backward()
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert trained == {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert not any(name.startswith(("text_encoder.", "vq_model.")) for name in trained)
        assert not model.vq_model.training
        assert not model.text_encoder.training

    def test_it_learns(self, model: TextMotionModel) -> None:
        books = model.config.vq_config.num_quantizers
        codes = [torch.randint(32, (books, 10), generator=seeded(index)) for index in range(4)]
        texts = torch.randn(4, model.config.text_dim, generator=seeded(9))
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        curve = []
        for step in range(50):
            loss = model(**model.prepare_batch(codes, texts, range(4 * step, 4 * step + 4))).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(float(loss.detach()))
        assert sum(curve[-10:]) < 0.75 * sum(curve[:10])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"texts": []}, "at least one"),
            ({"num_frames": 0}, "from 1 to 48, got 0"),
            ({"num_frames": 49}, "from 1 to 48, got 49"),
            ({"num_frames": 4.0}, "whole numbers"),
            ({"num_frames": [4, 5]}, "2 entries for 1 prompts"),
            ({"temperature": -1}, "temperature"),
            ({"output_type": "pil"}, "'motion', 'features', 'codes'"),
            ({"generator": [seeded()] * 2}, "2 generators for 1"),
        ],
    )
    def test_bad_input(self, model: TextMotionModel, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            model.generate_motion(**{"texts": "a", **options})

    def test_options_of_others_are_refused(self, model: TextMotionModel, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="num_motions_per_prompt"):
            pipeline("text-to-motion", model=str(tmp_path))("a", num_motions_per_prompt=2)

    def test_texts_do_not_depend_on_their_padding(self, model: TextMotionModel) -> None:
        """Also around a text encoder that exists already: transformers would reset how it attends."""
        again = type(model)(
            type(model.config)(model.vq_model.config, model.text_encoder.config, **SIZES), model.text_encoder, model.vq_model
        )
        again.tokenizer = model.tokenizer
        texts = ["a", "a person walks forward and waves the left hand for a while"]
        torch.testing.assert_close(again.encode_texts(texts)[:1], again.encode_texts(texts[:1]), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(again.encode_texts(texts), model.encode_texts(texts))

    def test_wrong_tokenizer(self, model: TextMotionModel) -> None:
        """A motion tokenizer with another book than the generator's vocabulary is refused where they are put together."""
        other = tiny_vq(codebook_size=16, num_quantizers=model.config.vq_config.num_quantizers)
        with pytest.raises(ValueError, match="codebook_size 16, the generator was made for 32"):
            type(model)(model.config, None, other)


class TestT2MGPT:
    def test_the_cache_changes_nothing(self) -> None:
        model = tiny_generator("t2m-gpt")
        text = torch.randn(2, model.config.text_dim, generator=seeded())
        ids = torch.cat((torch.full((2, 1), model.config.bos_token_id), torch.randint(32, (2, 9), generator=seeded())), dim=1)
        whole = model(ids, text).logits
        for sizes in ([1] * 10, [4, 1, 5], [10]):
            output, parts = None, []
            for part in ids.split(sizes, dim=1):
                cache = output.past_key_values if output is not None else DynamicCache(config=model.config)
                output = model(part, text, past_key_values=cache, use_cache=True)
                parts.append(output.logits)
            torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)

    def test_the_future_does_not_matter(self) -> None:
        model = tiny_generator("t2m-gpt")
        ids = torch.tensor([[model.config.bos_token_id, 1, 2, 3, 4]])
        changed = ids.clone()
        changed[0, 3] = 9
        text = torch.zeros(1, model.config.text_dim)
        torch.testing.assert_close(model(ids, text).logits[:, :3], model(changed, text).logits[:, :3])
        assert (model(ids, text).logits[:, 3:] - model(changed, text).logits[:, 3:]).abs().max() > 1e-4

    def test_generation_equals_a_plain_loop(self) -> None:
        """Batched, with a cache, and with different ends: the tokens of a loop over samples that runs the whole model each time."""
        model = tiny_generator("t2m-gpt")
        with torch.no_grad():
            model.head.weight[model.config.eos_token_id] += 0.05  # so that motions end here and there
        texts = [f"a person walks {index}" for index in range(5)]
        made = model.generate_motion(texts, generator=[seeded(index) for index in range(5)], output_type="codes")
        embeds = model.encode_texts(texts)
        for row in range(5):
            generator, ids = seeded(row), [model.config.bos_token_id]
            for step in range(model.config.max_tokens):
                logits = model(torch.tensor([ids]), embeds[row : row + 1]).logits[0, -1]
                if step == 0:
                    logits[model.config.eos_token_id] = -torch.inf
                uniform = torch.rand(len(logits), generator=generator).clamp_min(1e-20)
                noise = -torch.log(-torch.log(uniform))
                token = int((logits + noise).argmax())
                if token == model.config.eos_token_id:
                    break
                ids.append(token)
            assert made[row][0].tolist() == ids[1:]
        assert len({clip.shape[1] for clip in made}) > 1

    def test_a_model_that_never_ends(self) -> None:
        model = tiny_generator("t2m-gpt")
        with torch.no_grad():
            model.head.weight[model.config.eos_token_id] = 0
            model.head.weight[:5] += 10 * torch.sign(model.norm.bias + 1)
        codes = model.generate_motion("a", generator=seeded(), output_type="codes")[0]
        assert codes.shape[1] <= model.config.max_tokens
        greedy = model.generate_motion(["a", "b"], temperature=0, output_type="codes")
        assert all(1 <= clip.shape[1] <= model.config.max_tokens for clip in greedy)

    def test_loss_by_hand(self) -> None:
        model = tiny_generator("t2m-gpt", keep_probability=1.0)
        codes = [torch.randint(32, (1, count), generator=seeded(count)) for count in (4, 9)]
        text = torch.randn(2, model.config.text_dim, generator=seeded())
        batch = model.prepare_batch(codes, text, [5, 6])
        expected = []
        for row in range(2):
            labels = batch["labels"][row][batch["labels"][row] >= 0]
            assert labels[-1] == model.config.eos_token_id
            assert torch.equal(batch["input_ids"][row, 1 : len(labels)], labels[:-1])
            logits = model(batch["input_ids"][row : row + 1, : len(labels)], text[row : row + 1]).logits[0]
            expected.append(F.cross_entropy(logits, labels))
        torch.testing.assert_close(model(**batch).loss, torch.stack(expected).mean())

    def test_top_k_and_top_p(self) -> None:
        model = tiny_generator("t2m-gpt")
        greedy = model.generate_motion("a person walks", 48, temperature=0, output_type="codes")[0]
        assert torch.equal(model.generate_motion("a person walks", 48, top_k=1, generator=seeded(), output_type="codes")[0], greedy)
        assert torch.equal(model.generate_motion("a person walks", 48, top_p=1e-6, generator=seeded(), output_type="codes")[0], greedy)

    def test_bad_input(self) -> None:
        model = tiny_generator("t2m-gpt")
        text = torch.zeros(1, model.config.text_dim)
        with pytest.raises(ValueError, match="up to 12 tokens behind the text, got 13"):
            model(torch.zeros(1, 14, dtype=torch.long), text)
        with pytest.raises(ValueError, match="on the right"):
            model(torch.zeros(1, 2, dtype=torch.long), text, attention_mask=torch.tensor([[0, 1]]))
        with pytest.raises(ValueError, match=r"3 quantizers\. Use MoMask"):
            T2MGPTConfig({"num_quantizers": 3})
        with pytest.raises(ValueError, match="divisible"):
            T2MGPTConfig(hidden_size=10, num_attention_heads=4)


class TestMoMask:
    def test_masking_is_as_published(self) -> None:
        model = tiny_generator("momask")
        codes = [torch.randint(32, (3, 12), generator=seeded(index)) for index in range(2000)]
        batch = model.prepare_batch(codes, torch.zeros(2000, 16), range(2000))
        truth = torch.stack([clip[0] for clip in codes])
        wanted = batch["masked_labels"] >= 0
        assert torch.equal(batch["masked_labels"][wanted], truth[wanted])
        assert torch.equal(batch["masked_ids"][~wanted], truth[~wanted])
        shares = [max(1, round(12 * math.cos(math.pi * u / 2))) for u in (np.arange(20000) + 0.5) / 20000]
        assert float(wanted.sum(1).float().mean()) == pytest.approx(np.mean(shares), rel=0.02)
        shown = batch["masked_ids"][wanted]
        assert float((shown == 32).float().mean()) == pytest.approx(0.9 * 0.88, abs=0.01)
        assert float((shown == truth[wanted]).float().mean()) == pytest.approx(0.9 * 0.12 + 0.1 / 32, abs=0.01)
        assert float(batch["keep_text"][:, 0].float().mean()) == pytest.approx(0.9, abs=0.02)
        assert float(batch["keep_text"][:, 1].float().mean()) == pytest.approx(0.8, abs=0.03)
        assert set(batch["layers"].tolist()) == {1, 2}

    def test_losses_by_hand(self) -> None:
        model = tiny_generator("momask")
        codes = [torch.randint(32, (3, count), generator=seeded(count)) for count in (12, 5)]
        batch = model.prepare_batch(codes, torch.randn(2, 16, generator=seeded()), [3, 4])
        output = model(**batch)
        masked, residual, lengths = [], [], []
        for row, clip in enumerate(codes):
            count, text = clip.shape[1], batch["text_embeds"][row : row + 1]
            real = torch.ones(1, count, dtype=torch.bool)
            keep = batch["keep_text"][row]
            logits = model.masked_transformer(batch["masked_ids"][row : row + 1, :count], text * keep[0], real)[0]
            labels = batch["masked_labels"][row, :count]
            masked += [F.cross_entropy(logits[labels >= 0], labels[labels >= 0], reduction="none")]
            layer = int(batch["layers"][row])
            below = sum(model.residual_transformer.embed(clip[None, book], book) for book in range(layer))
            logits = model.residual_transformer(below, layer, text * keep[1], real)[0]
            residual += [F.cross_entropy(logits, clip[layer], reduction="none")]
            lengths += [F.cross_entropy(model.length_estimator(text), torch.tensor([count]))]
        torch.testing.assert_close(output.masked_loss, torch.cat(masked).mean(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(output.residual_loss, torch.cat(residual).mean(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(output.length_loss, torch.stack(lengths).mean())
        torch.testing.assert_close(output.loss, output.masked_loss + output.residual_loss + output.length_loss)

    def test_fewer_books(self) -> None:
        model = tiny_generator("momask")
        all_books = model.generate_motion("a", 40, generator=seeded(), output_type="codes")[0]
        for books in (1, 2):
            some = model.generate_motion("a", 40, generator=seeded(), num_quantizers=books, output_type="codes")[0]
            assert torch.equal(some, all_books[:books])

    def test_guidance_is_one_batch(self) -> None:
        model = tiny_generator("momask")
        sizes = []
        model.masked_transformer.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
        model.generate_motion(["a", "b"], 40, generator=seeded(), num_inference_steps=3)
        assert sizes == [4, 4, 4]
        sizes.clear()
        model.generate_motion(["a", "b"], 40, generator=seeded(), num_inference_steps=3, guidance_scale=1)
        assert sizes == [2, 2, 2]

    def test_every_place_is_filled_once_per_step_count(self) -> None:
        model = tiny_generator("momask")
        for steps in (1, 2, 10, 30):
            codes = model.generate_motion("a", 48, generator=seeded(), num_inference_steps=steps, output_type="codes")[0]
            assert ((codes[0] >= 0) & (codes[0] < 32)).all()

    def test_editing_keeps_the_rest(self) -> None:
        model = tiny_generator("momask")
        rng = np.random.default_rng(0)
        clip = Motion(rng.normal(size=(41, 22, 3)).astype(np.float32), fps=20)
        batch = model.feature_extractor([clip])
        codes = model.vq_model.encode(batch["motion_features"], batch["attention_mask"])[0, 0]
        edited = model.generate_motion("a jump", motion=clip, edit_frames=(10, 21), generator=seeded(), output_type="codes")[0]
        outside = [index for index in range(10) if not 2 <= index < 6]
        assert torch.equal(edited[0, outside], codes[outside])
        assert len(model.generate_motion("a jump", motion=clip, edit_frames=(10, 21), generator=seeded())[0]) == 40

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_quantizers": 4}, "from 1 to 3, got 4"),
            ({"num_inference_steps": 0}, "num_inference_steps"),
            ({"guidance_scale": float("nan")}, "guidance_scale"),
            ({"keep_share": 1.0}, "keep_share"),
            ({"edit_frames": (0, 4)}, "pass motion"),
        ],
    )
    def test_bad_input(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tiny_generator("momask").generate_motion("a", **options)

    def test_bad_edit(self) -> None:
        model, clip = tiny_generator("momask"), Motion(np.random.default_rng(0).normal(size=(21, 22, 3)), fps=20)
        with pytest.raises(ValueError, match="within the clip's 20 frames"):
            model.generate_motion("a", motion=clip, edit_frames=(4, 40))
        with pytest.raises(ValueError, match="keeps its length"):
            model.generate_motion("a", 8, motion=clip, edit_frames=(4, 8))

    def test_bad_configuration(self) -> None:
        with pytest.raises(ValueError, match="Use T2M-GPT"):
            MoMaskConfig({"num_quantizers": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_adaclip_drops_in(kind: str, tmp_path: Path) -> None:
    """The adapter of a diffusion pipeline's text encoder, added to the weights: the same vectors in a model of tokens."""
    pipe = tiny_pipeline()
    add_text_lora(pipe.text_encoder, rank=2)
    plain = pipe.encode_prompt(["a person walks"])[0]
    for name, parameter in pipe.text_encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    pipe.save_pretrained(tmp_path / "adaqf")
    extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263)
    save_motion_tokenizer(tmp_path / "vq", tiny_vq(num_quantizers=3 if kind == "momask" else 1), extractor)
    model = new_token_model(kind, str(tmp_path / "vq"), str(tmp_path / "adaqf"), SIZES).eval()
    texts = ["a person walks", "someone jumps high"]
    adapted = pipe.encode_prompt(texts)[0]
    assert (adapted[:1] - plain).abs().max() > 1e-2
    torch.testing.assert_close(model.encode_texts(texts), adapted, atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path / "model")
    torch.testing.assert_close(AutoModel.from_pretrained(tmp_path / "model").encode_texts(texts), adapted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_tmr_reads_the_texts(kind: str, tmp_path: Path) -> None:
    """The text half of a retrieval model as text encoder: its own embeddings, before and after saving, and padding is hidden."""
    folder = ROOT / "hf_motion" / "checkpoints" / "tmr-small"
    extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263)
    save_motion_tokenizer(tmp_path / "vq", tiny_vq(num_quantizers=3 if kind == "momask" else 1), extractor)
    model = new_token_model(kind, str(tmp_path / "vq"), str(folder), SIZES).eval()
    texts = ["a person walks", "someone waves the left hand twice and then walks away"]
    tokens = model.tokenizer(texts, padding=True, return_tensors="pt")
    wanted = TMR.from_pretrained(folder, dtype=torch.float32).get_text_features(tokens["input_ids"], tokens["attention_mask"])
    torch.testing.assert_close(model.encode_texts(texts), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.encode_texts(texts[:1]), wanted[:1], atol=1e-5, rtol=1e-5)
    assert not any(name.startswith(("motion_encoder", "motion_decoder")) for name, _ in model.text_encoder.named_parameters())
    model.save_pretrained(tmp_path / "model")
    again = AutoModel.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(again.encode_texts(texts), wanted, atol=1e-5, rtol=1e-5)
    assert len(again.generate_motion(texts, 20, generator=seeded())[1]) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_training_script(kind: str, tmp_path: Path) -> None:
    """Two steps, then two more from the checkpoint; the finished repository generates."""
    extractor = MotionFeatureExtractor(mean=[0.1] * 263, std=[0.5] * 263)
    save_motion_tokenizer(tmp_path / "vq", tiny_vq(num_quantizers=3 if kind == "momask" else 1), extractor)
    text = tiny_generator(kind)
    text.text_encoder.save_pretrained(tmp_path / "text")
    text.tokenizer.save_pretrained(tmp_path / "text")
    options = '{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}'
    name = {"t2m-gpt": "t2mgpt", "momask": "momask"}[kind]
    command = [
        "--config", str(ROOT / f"training/configs/{name}_small.yaml"),
        "--dataset", str(FIXTURES / "clips.parquet"), "--output_dir", str(tmp_path / "run"), "--model_options", options,
        "--motion_tokenizer", str(tmp_path / "vq"), "--text_encoder", str(tmp_path / "text"), "--per_device_train_batch_size", "4",
        "--save_steps", "2", "--logging_steps", "1", "--report_to", "none", "--use_cpu", "true", "--score_steps", "4", "--score_split",
        "train", "--bf16", "false", "--min_frames", "24",
    ]  # fmt: skip
    for steps in ("2", "4"):
        run_script("train_tokens", [*command, "--max_steps", steps])
    assert '"eval_fid"' in (tmp_path / "run" / "checkpoint-4" / "trainer_state.json").read_text()
    model = AutoModel.from_pretrained(tmp_path / "run" / "model")
    assert isinstance(model, {"t2m-gpt": T2MGPT, "momask": MoMask}[kind])
    assert len(model.generate_motion("a person walks", 20, generator=seeded())[0]) == 20
