"""HumanTOMATO's hierarchical GPT: layouts, decoding within them, and alignment with texts."""

import functools
import itertools
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import yaml
from scripts import parser, run_script, script
from tiny import save_tiny_retrieval_model, seeded, tiny_h2vq, tiny_tomato, tiny_vq, whole_body_rows
from torch.nn import functional as F
from transformers import AutoModel, DynamicCache, pipeline
from typer.main import get_command
from typer.testing import CliRunner

from hf_motion import HumanTomatoGPT, HumanTomatoGPTConfig, MotionFeatureExtractor, MotionTextEmbedder, MotionVQConfig
from hf_motion.cli.app import app
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.models.humantomato.layout import LayoutLogitsProcessor, TokenLayout
from hf_motion.skeletons import SMPLX_52
from hf_motion.trainers.text_alignment import TextMotionAlignment
from hf_motion.trainers.tokenizer import save_motion_tokenizer
from hf_motion.trainers.tokens import TokenDataset

ROOT = Path(__file__).parents[1]
LAYOUTS = list(itertools.product(("steps", "streams"), (1, 2)))
WHOLE_BODY = {"representation": "humantomato", "skeleton": "smplx-52", "fps": 20}


def sentences(layout: TokenLayout, steps: int) -> list[tuple[int, ...]]:
    """Every motion of that many steps, written out by the table of `TokenLayout`, independently of its code."""
    size, count = layout.codebook_size, layout.body_codes
    found = []
    for codes in itertools.product(range(size), repeat=steps * (count + 1)):
        body, hands = list(codes[: steps * count]), [size + 1 + code for code in codes[steps * count :]]
        if layout.kind == "steps":
            row = [token for step in range(steps) for token in (*body[step * count : (step + 1) * count], hands[step])] + [size]
        else:
            row = [*body, size, *hands]
        found.append((*row, 2 * size + 1))
    return found


class TestLayout:
    @pytest.mark.parametrize(("kind", "body_codes"), LAYOUTS)
    def test_every_prefix(self, kind: str, body_codes: int) -> None:
        """After each prefix the processor allows exactly what goes on to a motion of one or two steps."""
        layout = TokenLayout(kind, 2, body_codes)
        motions = sentences(layout, 1) + sentences(layout, 2)
        after: dict[tuple[int, ...], set[int]] = {}
        for motion in motions:
            for place, token in enumerate(motion):
                after.setdefault(motion[:place], set()).add(token)
        processor = LayoutLogitsProcessor(layout, max_steps=2)
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for prefix in after:
            by_length.setdefault(len(prefix), []).append(prefix)
        for prefixes in by_length.values():  # all prefixes of one length at once: rows do not look at one another
            ids = torch.tensor([[9, *prefix] for prefix in prefixes])
            for prefix, allowed in zip(prefixes, processor.allowed(ids), strict=True):
                assert set(allowed.nonzero()[:, 0].tolist()) == after[prefix], prefix
        for motion in motions:
            assert layout.write(layout.read(motion)).tolist() == list(motion)
            assert len(motion) == layout.count(layout.read(motion).shape[1])

    @pytest.mark.parametrize(("kind", "body_codes"), LAYOUTS)
    def test_wanted_lengths(self, kind: str, body_codes: int) -> None:
        """With lengths, only motions of that length can be made, each row its own."""
        layout = TokenLayout(kind, 2, body_codes)
        processor = LayoutLogitsProcessor(layout, max_steps=3, counts=[1, 3])
        ids, generator = torch.full((2, 1), 9), seeded()
        for _ in range(layout.count(3)):
            drawn = torch.multinomial(processor.allowed(ids).float(), 1, generator=generator)
            ids = torch.cat((ids, drawn), dim=1)
        assert [layout.read(row[1:]).shape[1] for row in ids] == [1, 3]

    @pytest.mark.parametrize("ids", [[0, 1], [0, 3, 1, 2, 5], [3, 0, 0, 2, 5], [0, 0, 3, 2], [2, 5], [0, 0, 3, 0, 0, 2, 5]])
    def test_what_is_no_motion(self, ids: list[int]) -> None:
        with pytest.raises(ValueError, match="no motion in the layout 'steps'"):
            TokenLayout("steps", 2, 2).read(ids)

    def test_published_lengths(self) -> None:
        assert TokenLayout("steps", 512, 2).count(49) == 149


@pytest.fixture(params=LAYOUTS, ids=lambda param: f"{param[0]}-{param[1]}")
def model(request: pytest.FixtureRequest) -> HumanTomatoGPT:
    kind, body_codes = request.param
    return tiny_tomato(layout=kind, body_strides=(2,) if body_codes == 2 else (2, 2))


class TestGeneration:
    def test_generation_equals_a_plain_loop(self, model: HumanTomatoGPT) -> None:
        """Batched, with a cache, and with different ends: the tokens of a loop over samples that runs the whole model each time."""
        layout, end = model.config.token_layout, model.config.token_layout.body_end
        with torch.no_grad():
            model.body_head.weight[end] += 0.05  # so that motions end here and there
        texts = [f"a person walks {index}" for index in range(4)]
        made = model.generate_motion(texts, generator=[seeded(index) for index in range(4)], output_type="codes")
        embeds, processor = model.encode_texts(texts), LayoutLogitsProcessor(layout, model.config.max_tokens)
        for row in range(4):
            generator, ids = seeded(row), [model.config.bos_token_id]
            while ids[-1] != layout.hand_end:
                logits = model(torch.tensor([ids]), embeds[row : row + 1]).logits[0, -1]
                logits = logits.masked_fill(~processor.allowed(torch.tensor([ids]))[0], -torch.inf)
                noise = -torch.log(-torch.log(torch.rand(len(logits), generator=generator).clamp_min(1e-20)))
                ids.append(int((logits + noise).argmax()))
            assert torch.equal(made[row], layout.read(ids[1:]))

    def test_the_cache_changes_nothing(self) -> None:
        model = tiny_tomato()
        text = torch.randn(2, model.config.text_dim, generator=seeded())
        ids = torch.cat((torch.full((2, 1), model.config.bos_token_id), torch.randint(60, (2, 9), generator=seeded())), dim=1)
        whole = model(ids, text).logits
        for sizes in ([1] * 10, [4, 1, 5]):
            output, parts = None, []
            for part in ids.split(sizes, dim=1):
                cache = output.past_key_values if output is not None else DynamicCache(config=model.config)
                output = model(part, text, past_key_values=cache, use_cache=True)
                parts.append(output.logits)
            torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)

    def test_transformers_own_generate_stays_in_the_layout(self) -> None:
        model = tiny_tomato()
        torch.manual_seed(0)
        start = torch.full((6, 1), model.config.bos_token_id)
        made = model.generate(start, text_embeds=model.encode_texts(["a"] * 6), do_sample=True, top_k=5, max_new_tokens=30)[:, 1:]
        assert all(1 <= model.config.token_layout.read(row).shape[1] <= 8 for row in made)

    def test_one_motion_of_52_joints(self, model: HumanTomatoGPT, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        pipe = pipeline("text-to-motion", model=str(tmp_path))
        motions = pipe(["a person walks", "someone jumps"], num_frames=[12, 30], seed=0)
        assert [(len(motion), motion.skeleton) for motion in motions] == [(12, SMPLX_52), (30, SMPLX_52)]
        alone = pipe(["a person walks"], num_frames=[12], seed=0)[0]
        np.testing.assert_allclose(alone.joints, motions[0].joints, atol=1e-5)
        assert len(AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16).generate_motion("a", 8, generator=seeded())[0]) == 8

    def test_arms_on_22_joints(self) -> None:
        model = tiny_tomato("arms")
        assert model.generate_motion("a person waves", 9, seed=0)[0].joints.shape == (9, 22, 3)


class TestTraining:
    def test_loss_by_hand(self, model: HumanTomatoGPT) -> None:
        """Each label within its own stream's head: mean over places, then over motions."""
        model.config.keep_probability = 1.0
        layout = model.config.token_layout
        codes = [torch.randint(32, (layout.body_codes + 1, count), generator=seeded(count)) for count in (3, 8)]
        text = torch.randn(2, model.config.text_dim, generator=seeded())
        batch = model.prepare_batch(codes, text, [5, 6])
        expected = []
        for row in range(2):
            labels = batch["labels"][row][batch["labels"][row] >= 0]
            kept = layout.read(labels)
            assert kept.shape[1] >= codes[row].shape[1] - 1
            assert torch.equal(batch["input_ids"][row, 1 : len(labels)], labels[:-1])
            logits = model(batch["input_ids"][row : row + 1, : len(labels)], text[row : row + 1]).logits[0]
            body = labels <= layout.body_end
            errors = [F.cross_entropy(logits[body, :33], labels[body], reduction="sum")]
            errors.append(F.cross_entropy(logits[~body, 33:], labels[~body] - 33, reduction="sum"))
            expected.append(sum(errors) / len(labels))
        torch.testing.assert_close(model(**batch).loss, torch.stack(expected).mean())

    def test_examples_depend_on_their_seed_alone(self) -> None:
        model = tiny_tomato()
        codes = [torch.randint(32, (3, count), generator=seeded(count)) for count in (3, 8, 7)]
        texts = model.encode_texts(["a", "b", "c"])
        batch, alone = model.prepare_batch(codes, texts, [1, 2, 3]), model.prepare_batch(codes[2:], texts[2:], [3])
        for name in ("input_ids", "labels"):
            assert torch.equal(batch[name][2:, : alone[name].shape[1]], alone[name])
        shown, said = batch["input_ids"][:, 1:], batch["labels"][:, :-1]
        real = said >= 0
        assert ((shown[real] > 32) == (said[real] > 32)).all(), "a random code is one of the same stream"
        model.train()
        model(**batch).loss.backward()
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert trained == {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert not any(name.startswith(("text_encoder.", "vq_model.")) for name in trained)

    def test_recipes(self) -> None:
        published = yaml.safe_load((ROOT / "training/configs/humantomato_gpt.yaml").read_text())["model_options"]
        config = HumanTomatoGPTConfig(**published)
        sizes = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.max_tokens)
        assert sizes == (18, 1024, 16, 49)
        assert (config.vq_config.num_features, config.vq_config.step_books) == (313, [0, 0, 1])
        small = yaml.safe_load((ROOT / "training/configs/humantomato_gpt_small.yaml").read_text())["model_options"]
        assert HumanTomatoGPTConfig(**small).layout == "steps"

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match=r"two streams of codes; this tokenizer has one.*hand_joints"):
            HumanTomatoGPTConfig(MotionVQConfig())
        with pytest.raises(ValueError, match="'steps', 'streams', got 'both'"):
            HumanTomatoGPTConfig(layout="both")
        model = tiny_tomato()
        with pytest.raises(ValueError, match="codebook_size 16, the generator was made for 32"):
            HumanTomatoGPT(model.config, None, tiny_h2vq(codebook_size=16))
        with pytest.raises(ValueError, match=r"step_books \[0, 1\], the generator was made for \[0, 0, 1\]"):
            HumanTomatoGPT(model.config, None, tiny_h2vq(body_strides=[2, 2]))
        with pytest.raises(ValueError, match="num_quantizers 1, the generator was made for 2"):
            HumanTomatoGPT(model.config, None, tiny_vq())
        with pytest.raises(ValueError, match="up to 26 tokens behind the text, got 27"):
            model(torch.zeros(1, 28, dtype=torch.long), torch.zeros(1, 16))
        with pytest.raises(ValueError, match="from 1 to 32, got 33"):
            model.generate_motion("a", 33)

    def test_clips_too_short_for_a_code_of_the_hands(self, tmp_path: Path) -> None:
        rows = load_motion_rows(str(whole_body_rows(tmp_path / "rows.parquet", clips=1)))
        short = rows.map(lambda row: {"n_frames": 4, "joints": row["joints"][: 4 * 52 * 3]})
        extractor = MotionFeatureExtractor(**{**tiny_tomato().feature_extractor.to_dict(), "max_frames": 10**9})
        clips = MotionTextDataset(short, extractor, min_frames=1, show_progress=False)
        with pytest.raises(ValueError, match="Clip 0 is shorter than a token of 4 frames; raise min_frames"):
            TokenDataset(clips, tiny_h2vq(), 8, show_progress=False)


@pytest.fixture(scope="module")
def tmr(tmp_path_factory: pytest.TempPathFactory) -> MotionTextEmbedder:
    return MotionTextEmbedder.from_pretrained(save_tiny_retrieval_model(tmp_path_factory.mktemp("tmr"), "tmr", **WHOLE_BODY))


class TestAlignment:
    @pytest.mark.parametrize("kind", ["steps", "streams"])
    def test_certain_logits_decode_to_the_codes(self, kind: str, tmr: MotionTextEmbedder) -> None:
        """Where the model is sure, every estimator sees the motion that the tokenizer decodes of the codes."""
        model = tiny_tomato(layout=kind)
        codes = [torch.randint(32, (3, count), generator=seeded(count)) for count in (8, 5)]
        rows = [model.config.token_layout.write(clip) for clip in codes]
        labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
        logits = 1e4 * F.one_hot(labels.clamp_min(0), 66).float()
        for estimator in ("straight-through", "gumbel", "soft"):
            features, lengths = TextMotionAlignment(model, tmr, estimator).predicted_motion(logits, labels)
            assert lengths.tolist() == [32, 20]
            for row, clip in enumerate(codes):
                expected = model.vq_model.decode(clip[None])[0]
                torch.testing.assert_close(features[row, : len(expected)], expected, atol=1e-4, rtol=1e-4)
            assert not features[1, 20:].any()

    @pytest.mark.parametrize("estimator", ["straight-through", "gumbel", "soft"])
    def test_gradients_pass_the_codes(self, estimator: str, tmr: MotionTextEmbedder) -> None:
        """The gradient reaches both heads, and a step along it lowers the loss of soft codes."""
        model = tiny_tomato()
        alignment = TextMotionAlignment(model, tmr, estimator)
        codes = [torch.randint(32, (3, 8), generator=seeded(index)) for index in range(4)]
        batch = model.prepare_batch(codes, torch.randn(4, 16, generator=seeded()), [1, 2, 3, 4])
        texts = alignment.embed_texts(["a person walks", "someone jumps", "a kick", "sit down"])
        logits = model(**batch).logits.detach().requires_grad_()
        loss = alignment(logits, batch["labels"], texts, torch.arange(4), [1, 2, 3, 4])
        loss.backward()
        assert logits.grad[..., :32].abs().sum() > 0
        assert logits.grad[..., 33:65].abs().sum() > 0
        assert not logits.grad[..., 32].any(), "an end is no code"
        if estimator == "soft":
            step = logits.detach() - 0.3 * logits.grad / logits.grad.abs().max()
            assert alignment(step, batch["labels"], texts, torch.arange(4)) < loss
        assert not any(parameter.requires_grad for parameter in tmr.model.parameters())

    def test_the_same_caption_is_no_negative(self, tmr: MotionTextEmbedder) -> None:
        model = tiny_tomato()
        alignment = TextMotionAlignment(model, tmr)
        batch = model.prepare_batch([torch.randint(32, (3, 8), generator=seeded(i)) for i in range(2)], torch.zeros(2, 16), [1, 2])
        texts = alignment.embed_texts(["a", "a"])
        logits = model(**batch).logits.detach()
        assert float(alignment(logits, batch["labels"], texts, torch.tensor([0, 0]))) == 0
        assert float(alignment(logits, batch["labels"], texts, torch.tensor([0, 1]))) > 0

    def test_bad_input(self, tmr: MotionTextEmbedder, tmp_path: Path) -> None:
        body = MotionTextEmbedder.from_pretrained(save_tiny_retrieval_model(tmp_path, "tmr"))
        with pytest.raises(ValueError, match=r"humantomato features of smplx-52.*humanml3d features of humanml3d-22.*Train a TMR"):
            TextMotionAlignment(tiny_tomato(), body)
        with pytest.raises(ValueError, match="'straight-through', 'gumbel', 'soft', got 'hard'"):
            TextMotionAlignment(tiny_tomato(), tmr, "hard")


def test_training_script_and_evaluation(tmp_path: Path) -> None:
    """Two steps with a TMR's texts and alignment; whole-body judges score it, and those of 22 joints its body."""
    rows = whole_body_rows(tmp_path / "rows.parquet", clips=12)
    save_motion_tokenizer(tmp_path / "vq", tiny_h2vq(), tiny_tomato().feature_extractor)
    tmr = save_tiny_retrieval_model(tmp_path / "tmr", "tmr", **WHOLE_BODY)
    command = [
        "--config", ROOT / "training/configs/humantomato_gpt_small.yaml", "--dataset", rows, "--motion_tokenizer", tmp_path / "vq",
        "--text_encoder", tmr, "--alignment_model", tmr, "--output_dir", tmp_path / "run", "--model_options",
        '{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_tokens": 12}',
        "--per_device_train_batch_size", "4", "--save_steps", "2", "--logging_steps", "1", "--report_to", "none", "--use_cpu", "true",
        "--min_frames", "8", "--score_steps", "0",
    ]  # fmt: skip
    run_script("train_tokens", [*command, "--max_steps", "2"])
    log = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())["log_history"]
    first = next(row for row in log if "alignment_loss" in row)
    assert first["loss"] == pytest.approx(first["token_loss"] + 0.1 * first["alignment_loss"], rel=1e-3)
    model = AutoModel.from_pretrained(tmp_path / "run" / "model")
    assert type(model.text_encoder).__name__ == "TMRTextEncoder"
    evaluator = save_tiny_retrieval_model(tmp_path / "judge", "t2m-evaluator", **WHOLE_BODY)
    wide = ["--evaluator", str(evaluator), "--alignment", str(tmr)]
    for number, judges in enumerate((wide, ["--alignment", "none"])):
        told = CliRunner().invoke(app, [
            "evaluate", "--model", str(tmp_path / "run"), "--dataset", str(rows), "--split", "train", "--min-frames", "8", "--max-frames",
            "28", "--pool-size", "4", "--replications", "1", "-o", str(tmp_path / f"scores{number}"), *judges,
        ])  # fmt: skip
        assert told.exit_code == 0, told.output
    content = [json.loads((tmp_path / f"scores{number}" / "results.json").read_text()) for number in range(2)]
    assert {"tmr_r_precision_top1", "tmr_matching_score", "fid"} <= set(content[0]["rows"]["model"])
    assert "bodies are scored, fingers are not" in " ".join(content[1]["notes"])


@pytest.mark.slow
def test_every_run_of_the_study_is_a_command(tmp_path: Path) -> None:
    """Programs are not started, only their options read: each run is launched once, after those that it builds on."""
    module = script("humantomato_study")
    words = ["--config", ROOT / "training/configs/humantomato_study.yaml", "--output", tmp_path, "--seeds", "0", "--text_encoder", "minilm"]
    words += ["--sets", '{"composite": "a", "hands": "b", "bodies": "c"}', "--max_steps", "2"]
    small = ROOT / "training/configs/humantomato_study_small.yaml"
    words += ["--budget", small]
    budget = yaml.safe_load(small.read_text())
    study = parser("humantomato_study").parse([str(word) for word in words])[0]
    for key in ("runs", "tables"):
        value = getattr(study, key)
        setattr(study, key, yaml.safe_load(value) if isinstance(value, str) else value)
    trained, scored, parsers, evaluate = [], [], functools.cache(parser), get_command(app).commands["evaluate"]

    def launched(command: list[str], check: bool) -> None:
        name = Path(command[1]).stem
        if name.startswith("train_"):
            options = parsers(name).parse(command[2:])[1]
            assert options.max_steps == 2
            assert options.lr_drop_steps == budget.get(name, {}).get("lr_drop_steps", options.lr_drop_steps)
            if name == "train_tokenizer":
                assert json.loads(command[command.index("--model_options") + 1])["hidden_size"] == 64
            folder = Path(options.output_dir) / "model"
            folder.mkdir(parents=True)
            (folder / "README.md").write_text("")
            trained.append((folder.parent.name, options.seed))
        else:
            context = evaluate.make_context("evaluate", command[4:])
            scored.append(Path(context.params["model"]).parent.name)

    with mock.patch.object(subprocess, "run", launched):
        module.main(study)
    assert [name for name, _ in trained] == [f"{name}-s0" for name in study.runs]
    assert sorted(scored) == sorted(name for name, _ in trained)
    assert dict(trained)["bodies-prior-s0"] == 100
    assert {name for names in study.tables.values() for name in names} <= set(study.runs)


_TWO = """
import sys, torch
from pathlib import Path
from torch import distributed as dist
folder, tests = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, tests)
from tiny import seeded, tiny_tomato
from hf_motion import MotionTextEmbedder
from hf_motion.trainers.text_alignment import TextMotionAlignment
dist.init_process_group("gloo")
rank = dist.get_rank()
model = tiny_tomato()
alignment = TextMotionAlignment(model, MotionTextEmbedder.from_pretrained(folder / "tmr"))
data = torch.load(folder / "data.pt")
part = slice(2 * rank, 2 * rank + 2)
logits = data["logits"][part].requires_grad_()
loss = alignment(logits, data["labels"][part], data["texts"][part], data["captions"][part])
loss.backward()
torch.save({"loss": loss.detach(), "grad": logits.grad}, folder / f"{rank}.pt")
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_align_as_one(tmp_path: Path) -> None:
    """All texts are compared with all motions: the loss of each process is that of one, and the mean of gradients, as DDP takes it, too."""
    model = tiny_tomato()
    tmr = MotionTextEmbedder.from_pretrained(save_tiny_retrieval_model(tmp_path / "tmr", "tmr", **WHOLE_BODY))
    alignment = TextMotionAlignment(model, tmr)
    codes = [torch.randint(32, (3, 8), generator=seeded(index)) for index in range(4)]
    batch = model.prepare_batch(codes, torch.randn(4, 16, generator=seeded()), [1, 4, 6, 8])
    logits = model(**batch).logits.detach()
    texts = alignment.embed_texts(["a person walks", "someone jumps", "a kick", "sit down"])
    data = {"logits": logits.clone(), "labels": batch["labels"], "texts": texts, "captions": torch.arange(4)}
    torch.save(data, tmp_path / "data.pt")
    logits.requires_grad_()
    loss = alignment(logits, batch["labels"], texts, torch.arange(4))
    loss.backward()
    (tmp_path / "two.py").write_text(_TWO)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(tmp_path / "two.py")]
    done = subprocess.run([*run, str(tmp_path), str(ROOT / "tests")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(2):
        made = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(made["loss"], loss.detach())
        torch.testing.assert_close(made["grad"] / 2, logits.grad[2 * rank : 2 * rank + 2])
