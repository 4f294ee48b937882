"""Training of retrieval models: the script for two steps and resumed, what a batch holds, and what does not fit."""

from pathlib import Path

import pytest
import torch
from hub_server import Hub
from scripts import run_script
from tiny import CAPTIONS, FIXTURES

from hf_motion import MotionFeatureExtractor, MotionTextEmbedder
from hf_motion.data.motion_text import MotionTextDataset, load_motion_rows
from hf_motion.trainers.new_retrieval import new_retrieval_model
from hf_motion.trainers.resuming import last_checkpoint
from hf_motion.trainers.retrieval import RetrievalCollator, RetrievalTrainer, RetrievalTrainingArguments, frozen_text_states

CLIPS = FIXTURES / "clips.parquet"
ROOT = Path(__file__).parents[1]
SMALL = {
    "t2m-evaluator": {
        "movement_hidden_size": 8, "movement_size": 8, "motion_hidden_size": 8, "text_hidden_size": 8, "embed_dim": 8, "word_dim": 8,
        "dropout": 0.0,
    },
    "adaqf-extractors": {"hidden_size": 8, "word_dim": 8, "dropout": 0.0},
    "tmr": {"hidden_size": 8, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "dropout": 0.0},
}  # fmt: skip
TEXT = {"vocab_size": 600, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
KINDS = list(SMALL)


def make_trainer(folder: Path, kind: str, model_options: dict | None = None, **options) -> RetrievalTrainer:
    torch.manual_seed(0)
    extractor = MotionFeatureExtractor(max_frames=40)
    dataset = MotionTextDataset(load_motion_rows(str(CLIPS), "train"), extractor, mirror=True, show_progress=False)
    dataset.fit_statistics()
    text_model = TEXT if kind == "tmr" else None
    model, tokenizer = new_retrieval_model(kind, CAPTIONS, dataset.tags, extractor, {**SMALL[kind], **(model_options or {})}, text_model)
    settings = {
        "max_steps": 4, "save_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 8, "report_to": "none", "use_cpu": True,
        "disable_tqdm": True, "learning_rate": 1e-2, "epoch_size": 24,
    }  # fmt: skip
    arguments = RetrievalTrainingArguments(output_dir=str(folder), **{**settings, **options})
    return RetrievalTrainer(model, arguments, dataset, tokenizer, eval_dataset=dataset)


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_equals_uninterrupted(tmp_path: Path, kind: str) -> None:
    whole = make_trainer(tmp_path, kind)
    before = [weight.clone() for weight in whole.model.parameters()]
    whole.train()
    assert not any(torch.equal(*pair) for pair in zip(before, whole.model.parameters(), strict=True))
    (tmp_path / "checkpoint-4" / "trainer_state.json").unlink()
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    resumed = make_trainer(tmp_path, kind)
    resumed.train(resume_from_checkpoint=str(last_checkpoint(tmp_path)))
    for (name, weight), other in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(weight, other), name
    assert whole.evaluate()["eval_loss"] == whole.evaluate()["eval_loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoint_is_complete(tmp_path: Path, kind: str) -> None:
    trainer = make_trainer(tmp_path, kind)
    trainer.save_checkpoint(tmp_path / "model")
    embedder = MotionTextEmbedder.from_pretrained(tmp_path / "model")
    dataset = trainer.train_dataset
    features, texts = [clip[:40] for clip in dataset.features[:3]], [captions[0] for captions in dataset.captions[:3]]
    clips = [trainer.feature_extractor.denormalize(clip) for clip in features]
    examples = [{"motion_features": clip, "caption": text, "seed": 0} for clip, text in zip(features, texts, strict=True)]
    batch = trainer.data_collator(examples)
    with torch.no_grad():
        output = trainer.model.eval()(**batch)
    torch.testing.assert_close(torch.from_numpy(embedder.embed_motions(clips)).float(), output.motion_embeds, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        torch.from_numpy(embedder.embed_texts(texts, dataset.tags)).float(), output.text_embeds, atol=1e-5, rtol=1e-4
    )
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"# {type(trainer.model).__name__}" in card
    assert "library_name: hf_motion" in card
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "model").glob("*.json"))


def test_push(hub: Hub, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, "tmr")
    trainer.save_checkpoint(tmp_path / "model", "someone/tmr")
    embedder = MotionTextEmbedder.from_pretrained("someone/tmr")
    assert embedder.model.config.model_type == "tmr"
    assert embedder.digest == MotionTextEmbedder.from_pretrained(tmp_path / "model").digest


def test_equal_captions_are_no_negatives() -> None:
    extractor = MotionFeatureExtractor()
    _, tokenizer = new_retrieval_model("tmr", CAPTIONS, {}, extractor, SMALL["tmr"], TEXT)
    examples = [
        {"motion_features": torch.zeros(8, 263), "seed": 0, "caption": text} for text in ("a person walks", "a man runs", "A person walks")
    ]
    batch = RetrievalCollator(tokenizer)(examples)
    assert batch["similar"].int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert {"motion_features", "attention_mask", "input_ids", "text_mask", "seeds"} <= batch.keys()
    examples[1] |= {"caption": "on foot", "original": "a person walks"}
    assert RetrievalCollator(tokenizer)(examples)["similar"].all()


def test_frozen_text_is_encoded_once(tmp_path: Path) -> None:
    trained, frozen = (make_trainer(tmp_path, "tmr", model_options={"freeze_text_model": freeze}) for freeze in (False, True))
    assert trained.data_collator.states is None
    frozen.model.load_state_dict(trained.model.state_dict())
    frozen.data_collator.states = frozen_text_states(frozen.model, frozen.tokenizer, sorted(frozen.data_collator.states))
    examples = [frozen.train_dataset[index, index] for index in range(4)]
    batches = [trainer.data_collator(examples) for trainer in (trained, frozen)]
    assert "input_ids" not in batches[1]
    one, other = (trainer.model.eval()(**batch) for trainer, batch in zip((trained, frozen), batches, strict=True))
    torch.testing.assert_close(one.text_embeds, other.text_embeds)
    torch.testing.assert_close(one.loss, other.loss)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bert", CAPTIONS, {}), "model_type must be one of 't2m-evaluator', 'tmr', 'adaqf-extractors', 'gemini-mvr', got 'bert'"),
        (("tmr", CAPTIONS, {}, MotionFeatureExtractor(), None, None, "vectors"), "glove is for models that read words"),
        (("t2m-evaluator", CAPTIONS, {}, MotionFeatureExtractor(), None, "bert"), "text_model is for 'tmr'"),
    ],
)
def test_what_does_not_fit(arguments: tuple, message: str) -> None:
    arguments = (*arguments, MotionFeatureExtractor()) if len(arguments) == 3 else arguments
    with pytest.raises(ValueError, match=message):
        new_retrieval_model(*arguments)


def test_bad_threshold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="similarity_threshold"):
        RetrievalTrainingArguments(output_dir=str(tmp_path), use_cpu=True, similarity_threshold=1.5)


def test_script(tmp_path: Path) -> None:
    config = ROOT / "training" / "configs" / "t2m_evaluator_small.yaml"
    line = [
        "--config", str(config), "--dataset", str(CLIPS), "--eval_split",
        "test", "--output_dir", str(tmp_path), "--per_device_train_batch_size", "4", "--report_to", "none", "--eval_steps", "2",
        "--save_steps", "2", "--logging_steps", "1", "--use_cpu", "true",
    ]  # fmt: skip
    for steps in ("2", "4"):
        run_script("train_retrieval", [*line, "--max_steps", steps])
        assert last_checkpoint(tmp_path).name == f"checkpoint-{steps}"
    assert MotionTextEmbedder.from_pretrained(tmp_path / "model").model.config.embed_dim == 128
