"""HumanTOMATO whole: one sentence to body, hands and face, and the facial cVAE alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scripts import run_script
from tiny import seeded, tiny_face_model, tiny_generator, tiny_tomato, whole_body_rows
from torch.nn import functional as F
from transformers import AutoModel, pipeline
from typer.testing import CliRunner

from hf_motion import Face, FacialCVAE, FacialCVAEConfig, HumanTOMATOPipeline, Motion
from hf_motion.cli.app import app
from hf_motion.data.motion_text import load_motion_rows
from hf_motion.evaluation.generations import load_system
from hf_motion.kinematics import forward_kinematics
from hf_motion.models.humantomato.emotions import split_emotion
from hf_motion.skeletons import HUMANML3D_22, SMPLX_52
from hf_motion.trainers.faces import FaceTextDataset

ROOT = Path(__file__).parents[1]
SENTENCE = "a person waves, happily"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tomato")
    HumanTOMATOPipeline(motion_model=tiny_tomato(), face_model=tiny_face_model()).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def pipe(folder: Path):
    return pipeline("text-to-motion", model=str(folder))


class TestPipeline:
    def test_each_part_is_a_subfolder(self, folder: Path) -> None:
        for part, kind in (("motion", "HumanTomatoGPT"), ("face", "FacialCVAE")):
            assert type(AutoModel.from_pretrained(folder, subfolder=part)).__name__ == kind
            assert (folder / part / "model.safetensors").is_file()
        assert "text-to-motion" in (folder / "README.md").read_text()
        assert load_system(folder).generate_motion("a, sadly", 8, seed=0, output_type="features")[0].shape == (8, 313)

    def test_one_motion_with_everything(self, pipe, tmp_path: Path) -> None:
        motions = pipe([SENTENCE, "someone jumps, sadly"], num_frames=[12, 30], seed=0)
        assert [(len(motion), motion.skeleton) for motion in motions] == [(12, SMPLX_52), (30, SMPLX_52)]
        motion = motions[0]
        assert (motion.face.kind, len(motion.face), motion.text) == ("flame-50", 12, SENTENCE)
        placed = forward_kinematics(
            torch.from_numpy(motion.rotations), torch.from_numpy(motion.joints[:, 0]), torch.from_numpy(motion.rest_offsets), SMPLX_52
        )
        np.testing.assert_allclose(placed, motion.joints, atol=1e-4)
        alone = pipe([SENTENCE, "someone jumps, sadly"], num_frames=[12, 30], seed=0, batch_size=1)[0]
        np.testing.assert_allclose(alone.joints, motion.joints, atol=1e-5)
        np.testing.assert_allclose(alone.face.coefficients, motion.face.coefficients, atol=1e-5)
        again = Motion.load(motion.save(tmp_path / "wave.glb"))  # fingers and face in one line
        assert (again.skeleton, again.face.kind) == (SMPLX_52, "flame-50")
        np.testing.assert_allclose(again.joints, motion.joints, atol=1e-3)

    def test_parts_alone(self, pipe) -> None:
        whole = pipe(SENTENCE, num_frames=12, seed=0)
        body = pipe(SENTENCE, num_frames=12, seed=0, parts="body")
        assert (body.skeleton, body.face) == (HUMANML3D_22, None)
        np.testing.assert_allclose(body.joints, whole.joints[:, :22], atol=1e-5)
        without = pipe(SENTENCE, num_frames=12, seed=0, parts=["body", "hands"])
        np.testing.assert_array_equal(without.joints, whole.joints)
        assert without.face is None
        hands = pipe(SENTENCE, num_frames=12, seed=0, parts="hands")
        np.testing.assert_allclose(hands.joints[:, :22], np.broadcast_to(hands.joints[:1, :22], (12, 22, 3)), atol=1e-6)
        np.testing.assert_allclose(hands.rotations[:, 22:], whole.rotations[:, 22:], atol=1e-5)
        face = pipe(SENTENCE, num_frames=12, seed=0, parts="face")
        assert (face.skeleton, face.face) == (HUMANML3D_22, whole.face)
        assert np.ptp(face.joints, axis=0).max() < 1e-6
        assert pipe(SENTENCE, num_frames=12, seed=0, rotations=False).rotations is None

    def test_emotions(self, pipe, caplog: pytest.LogCaptureFixture) -> None:
        happy, plain = (pipe(text, num_frames=12, seed=0).face for text in (SENTENCE, "a person waves"))
        assert "1 of 1 texts end with no emotion, such as 'a person waves'; their faces are neutral" in caplog.text
        assert happy != plain
        given = pipe(["a person waves"] * 2, num_frames=12, generator=[seeded(), seeded()], emotions=["happily", "sadly"])
        assert given[0].face != given[1].face
        assert pipe("a person waves", num_frames=12, seed=0, emotions="neutrally").face == plain
        with pytest.raises(ValueError, match="emotions has 1 entries for 2 texts"):
            pipe(["a", "b"], emotions=["sadly"])

    def test_without_a_face(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        HumanTOMATOPipeline(motion_model=tiny_tomato()).save_pretrained(tmp_path)
        assert not (tmp_path / "face").exists()
        pipe = pipeline("text-to-motion", model=str(tmp_path))
        motion = pipe("a person waves", seconds=0.6, seed=0)
        assert (len(motion), motion.face, motion.skeleton) == (12, None, SMPLX_52)
        assert "emotion" not in caplog.text
        with pytest.raises(ValueError, match="has no face part; it makes body and hands"):
            pipe("a", parts=["face"])

    def test_a_face_at_another_rate_ends_with_the_body(self) -> None:
        model = HumanTOMATOPipeline(motion_model=tiny_tomato(), face_model=tiny_face_model(fps=30.0))
        assert [len(motion.face) for motion in model.generate_motion([SENTENCE] * 2, [12, 20], seed=0)] == [12, 20]

    def test_long_motions_hold_the_last_expression(self, caplog: pytest.LogCaptureFixture) -> None:
        model = HumanTOMATOPipeline(motion_model=tiny_tomato(), face_model=tiny_face_model(max_frames=9))
        values = model.generate_motion(SENTENCE, 12, seed=0)[0].face.coefficients
        assert "makes up to 9 frames" in caplog.text
        np.testing.assert_array_equal(values[8:], np.broadcast_to(values[8], (4, 50)))

    def test_bad_input(self, pipe, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="'body', 'hands', 'face', got 'feet'"):
            pipe(SENTENCE, parts="feet")
        with pytest.raises(ValueError, match="must make fingers, this one makes humanml3d-22"):
            HumanTOMATOPipeline(motion_model=tiny_generator("t2m-gpt"))
        with pytest.raises(ValueError, match="made of its parts"):
            HumanTOMATOPipeline()
        with pytest.raises(ValueError, match="guidance_scale"):
            pipe(SENTENCE, guidance_scale=2)

    def test_push_and_reload(self, hub) -> None:
        HumanTOMATOPipeline(motion_model=tiny_tomato(), face_model=tiny_face_model()).push_to_hub("org/tomato")
        assert pipeline("text-to-motion", model="org/tomato")(SENTENCE, num_frames=8).face is not None

    @pytest.mark.slow
    def test_trust_remote_code_without_import(self, folder: Path, tmp_path: Path) -> None:
        code = (
            "from transformers import AutoModel; import sys; assert 'hf_motion' not in sys.modules; "
            f"m = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True); print(len(m.generate_motion('a, sadly', 8)[0].face))"
        )
        environment = {"HF_MODULES_CACHE": str(tmp_path), "PATH": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.stdout.strip() == "8", done.stderr[-2000:]


class TestFacialCVAE:
    def batch(self, model: FacialCVAE, *lengths: int) -> dict[str, torch.Tensor]:
        count = model.config.num_features
        features = torch.randn(len(lengths), max(lengths), count, generator=seeded(3))
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        texts = ["happily", "a sad and tired face"] * len(lengths)
        return {"face_features": features * mask[..., None], "attention_mask": mask, **model.tokens_of(texts[: len(lengths)])}

    def test_loss_by_hand(self) -> None:
        """Smooth L1 of both decoded faces, the four divergences in closed form, smooth L1 of the latents; lambdas 1e-5."""
        model = tiny_face_model()
        batch = self.batch(model, 20, 9)
        output = model(**batch)
        face = model._encode_face(batch["face_features"], batch["attention_mask"])
        text = model._encode_text(batch["input_ids"], batch["text_mask"])
        distributions = [torch.distributions.Normal(one.mean, (0.5 * one.log_variance).exp()) for one in (face, text)]
        normal = torch.distributions.Normal(torch.zeros_like(face.mean), torch.ones_like(face.mean))
        pairs = [(distributions[0], normal), (distributions[1], normal), tuple(distributions), tuple(distributions[::-1])]
        divergences = sum(torch.distributions.kl_divergence(*pair).mean() for pair in pairs)
        torch.testing.assert_close(output.kl_loss, divergences)
        torch.testing.assert_close(output.latent_loss, F.smooth_l1_loss(face.mean, text.mean))
        expected = 0
        for latents in (face.mean, text.mean):
            made = model.decode(latents, batch["attention_mask"])
            errors = [F.smooth_l1_loss(made[row, :n], batch["face_features"][row, :n]) for row, n in ((0, 20), (1, 9))]
            expected = expected + torch.stack(errors).mean()
        torch.testing.assert_close(output.reconstruction_loss, expected)
        torch.testing.assert_close(output.loss, expected + 1e-5 * output.kl_loss + 1e-5 * output.latent_loss)

    def test_gradients_and_noise(self) -> None:
        model = tiny_face_model(contrastive_weight=0.1).train()
        batch = self.batch(model, 20, 9)
        output = model(**batch, seeds=torch.tensor([1, 2]))
        output.loss.backward()
        missing = {name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None}
        assert not missing
        assert not any(parameter.requires_grad for parameter in model.text_model.parameters())
        model.eval()
        one, two = (model(**batch, seeds=torch.tensor(seeds)).loss for seeds in ([1, 2], [1, 3]))
        assert one != two

    def test_faces_depend_on_text_length_and_chance(self, tmp_path: Path) -> None:
        model = tiny_face_model(mean=[2.0] * 50, std=[0.5] * 50)
        faces = model.generate_face(["happily", "sadly"], [9, 20], generator=[seeded(1), seeded(2)])
        assert [(len(face), face.kind) for face in faces] == [(9, "flame-50"), (20, "flame-50")]
        alone = model.generate_face("sadly", 20, generator=[seeded(2)])[0]
        np.testing.assert_allclose(alone.coefficients, faces[1].coefficients, atol=1e-5)
        assert model.generate_face("sadly", 20, seed=1)[0] != model.generate_face("sadly", 20, seed=2)[0]
        calm = [model.generate_face("sadly", 20, seed=seed, noise_scale=0)[0] for seed in (1, 2)]
        assert calm[0] == calm[1]
        model.save_pretrained(tmp_path)
        again = AutoModel.from_pretrained(tmp_path)
        np.testing.assert_allclose(again.generate_face("sadly", 20, generator=[seeded(2)])[0].coefficients, alone.coefficients, atol=1e-5)
        assert "flame-50 at 20 fps" in (tmp_path / "README.md").read_text()

    def test_published_sizes(self) -> None:
        options = yaml.safe_load((ROOT / "training/configs/humantomato_face.yaml").read_text())["model_options"]
        config = FacialCVAEConfig(**options)
        assert (config.num_layers, config.num_features, config.text_config.model_type) == (6, 50, "distilbert")
        assert (config.kl_weight, config.latent_weight, config.contrastive_weight) == (1e-5, 1e-5, 0.0)

    def test_faces_of_another_set(self, tmp_path: Path) -> None:
        model = tiny_face_model()
        with pytest.raises(ValueError, match=r"Face 0 has 52 coefficients of arkit-52, this model reads flame-50"):
            model.features_of([Face(np.zeros((9, 52)), "arkit-52")])
        rows = load_motion_rows(str(whole_body_rows(tmp_path / "rows.parquet", clips=2, face=True)))
        arkit = FacialCVAEConfig("arkit-52")
        with pytest.raises(ValueError, match=r"has no face of arkit-52.*skip and count"):
            FaceTextDataset(rows, arkit)
        with pytest.raises(ValueError, match=r"No usable face among 2 rows; left out: \{'unreadable': 2\}"):
            FaceTextDataset(rows, arkit, strict=False)
        assert FaceTextDataset(rows, model.config).texts == [["a happy face"]] * 2
        silent = rows.remove_columns("face_text")  # and no caption ends with an emotion
        with pytest.raises(ValueError, match=r"\{'no text about the face': 2\}. See the columns face and face_text"):
            FaceTextDataset(silent, model.config)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"face_kind": "face"}, "'flame-50'"),
            ({"mean": [0.0]}, "50 numbers"),
            ({"std": [0.0] * 50}, "positive"),
            ({"dropout": 1}, "dropout"),
        ],
    )
    def test_bad_configuration(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            FacialCVAEConfig(**options)

    def test_bad_lengths(self) -> None:
        model = tiny_face_model()
        with pytest.raises(ValueError, match="from 1 to 32, got 33"):
            model.generate_face("a", 33)
        with pytest.raises(ValueError, match="up to 32 frames, got 40"):
            model(**self.batch(model, 40))


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("stand and shush, angrily.", "angrily"),
        ("Flying Kick, concentratingly.", "concentratingly"),
        ("ancient drum in disgust.", "in disgust"),
        ("a man grabs an object, sadly", "sadly"),
        ("stick figure stood still, unsure.", "unsure"),
        ("Play Banhu, bothered.", "bothered"),
        ("a person dodges to his left, before squatting down, neutrally.", "neutrally"),
        ("a person walks, then runs", None),
        ("a person turns, quickly", None),
        ("a person waves", None),
        (", happily", None),
    ],
)
def test_emotions_at_the_ends_of_sentences(text: str, emotion: str | None) -> None:
    """The sentences of the paper's figures, and some that name none."""
    assert split_emotion(text)[1] == emotion


def test_training_script_and_table_9(tmp_path: Path) -> None:
    rows = whole_body_rows(tmp_path / "rows.parquet", face=True)
    small = {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_frames": 24}
    for name, options in (("face", {}), ("judge", {"contrastive_weight": 0.1})):
        run_script("train_face", [
            "--config", ROOT / "training/configs/humantomato_face_small.yaml", "--dataset", rows, "--output_dir", tmp_path / name,
            "--model_options", json.dumps({**small, **options}), "--text_model",
            '{"vocab_size": 540, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}', "--per_device_train_batch_size", "4",
            "--max_steps", "2", "--save_steps", "2", "--logging_steps", "1", "--report_to", "none", "--use_cpu", "true",
            "--min_frames", "8",
        ])  # fmt: skip
    log = (tmp_path / "face" / "checkpoint-2" / "trainer_state.json").read_text()
    assert all(f'"{name}"' in log for name in ("reconstruction_loss", "kl_loss", "latent_loss"))
    model = AutoModel.from_pretrained(tmp_path / "face" / "model")
    assert len(model.config.mean) == 50
    assert "How it was trained" in (tmp_path / "face" / "model" / "README.md").read_text()
    command = ["evaluate", "--faces", "--model", tmp_path / "face", "--dataset", rows, "--split", "train", "-o", tmp_path / "t"]
    command = [str(word) for word in command]
    many = ["--replications", "2", "--multimodality", "1", "--multimodality-samples", "3"]
    judged = [*command, *many, "--evaluator", str(tmp_path / "judge")]
    told = CliRunner().invoke(app, judged)
    assert told.exit_code == 0, told.output
    scores = json.loads((tmp_path / "t" / "results.json").read_text())["rows"]["model"]
    wanted = ("fid", "r_precision_top1", "r_precision_top2", "r_precision_top3", "matching_score", "multimodality", "diversity")
    assert all(np.isfinite(scores[name]["mean"]) for name in wanted)
    told = CliRunner().invoke(app, [*command, "--evaluator", str(tmp_path / "face")])
    assert "trained without contrastive_weight" in told.output
