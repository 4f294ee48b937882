"""A text encoder that takes another's place, and what is left of a BERT whose words and layers are cut."""

import shutil
from pathlib import Path

import pytest
import torch
from scripts import ROOT, run_script
from test_full_disk import largest_file
from test_gemini_mvr import tiny
from tiny import FIXTURES, tiny_pipeline
from transformers import BertConfig, BertModel, BertTokenizerFast

from hf_motion.data.motion_text import mirror_text
from hf_motion.data.paraphrases import Paraphrases
from hf_motion.pipelines.mdm import MDMPipeline
from hf_motion.trainers.borrowed_words import borrow_words, give_words
from hf_motion.trainers.text_transplant import TextTransplant, WordingCollator, WordingDataset, shrink_bert
from hf_motion.utils.faults import NoRoomError

LETTERS = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
WORDS = ["a", "person", "walks", "runs", "left", "right", "turns", "##ing", "walk", "tuba", "cathedral", "the"]


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    vocab = dict.fromkeys(["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{x}" for x in LETTERS), *WORDS])
    tokenizer = BertTokenizerFast(vocab={word: index for index, word in enumerate(vocab)})
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16, pad_token_id=0
    )
    return BertModel(config, add_pooling_layer=False).eval(), tokenizer


def test_what_is_left_reads_kept_words_as_before(bert):
    encoder, tokenizer = bert
    small, words = shrink_bert(encoder, tokenizer, 3, ["a person walks left"], len(tokenizer) - 3, 12)
    assert "[unused0]" not in words.get_vocab()
    assert "tuba" in words.get_vocab()
    assert "the" not in words.get_vocab()  # the last of the vocabulary
    text = "A person walks, turning left"
    before, after = tokenizer(text, return_tensors="pt"), words(text, return_tensors="pt")
    assert words.convert_ids_to_tokens(after["input_ids"][0]) == tokenizer.convert_ids_to_tokens(before["input_ids"][0])
    with torch.no_grad():
        torch.testing.assert_close(small(**after).last_hidden_state, encoder(**before).last_hidden_state, atol=1e-6, rtol=1e-6)
        two = shrink_bert(encoder, tokenizer, 2, [], len(tokenizer) - 3, 12)[0](**after).last_hidden_state
        torch.testing.assert_close(two, encoder(**before, output_hidden_states=True).hidden_states[2], atol=1e-6, rtol=1e-6)


def test_words_are_borrowed(bert):
    encoder, tokenizer = bert
    count = len(tokenizer) - 1
    table, words = borrow_words(encoder, tokenizer, ["a tuba walks"], count, 16)
    assert table.shape == (count, 16)
    assert not table[words.all_special_ids].any()
    places = [words.convert_tokens_to_ids(word) for word in ("tuba", "person", "##ing")]
    with torch.no_grad():
        ids = [tokenizer.convert_tokens_to_ids(word) for word in ("tuba", "person", "##ing")]
        rows = torch.tensor([[tokenizer.cls_token_id, place, tokenizer.sep_token_id] for place in ids])
        states = encoder(input_ids=rows).last_hidden_state.mean(1)
    # All components are kept, so that vectors are as far from each other as states are, but for one factor.
    ratio = torch.pdist(table[places]) / torch.pdist(states)
    torch.testing.assert_close(ratio, ratio[:1].expand(3), rtol=1e-3, atol=1e-3)
    model = tiny().eval()
    own = give_words(model, encoder, tokenizer, ["a tuba walks"], count)
    videos = torch.rand(2, 8, 51)
    before = model.get_motion_features(videos)
    inputs = own(["a tuba walks", "a person"], padding=True, return_tensors="pt")
    assert model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).shape == before.shape
    model.set_stage("text")
    trained = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"text_model"}
    with pytest.raises(ValueError, match="from 1 to 16 numbers, those of the sentence model, got 17"):
        borrow_words(encoder, tokenizer, [], count, 17)


def test_an_impossible_size_is_refused(bert):
    with pytest.raises(ValueError, match="num_layers must be from 1 to 3, got 4"):
        shrink_bert(*bert, 4, [], 100, 12)
    with pytest.raises(ValueError, match="vocab_size must be from"):
        shrink_bert(*bert, 1, [], 10, 12)


def test_the_new_encoder_learns_to_be_read_as_the_old_one(bert, tmp_path):
    teacher = tiny_pipeline("distilbert")
    say = Paraphrases({"tiny.yaml": {"actions": [{"name": "walk", "example": "a person walks", "captions": ["a person walks"],
                                                  "wordings": ["/walk", "/take a walk", "a walk"]}]}})  # fmt: skip
    data = WordingDataset(["a person walks", "a person turns left", "a person turns left"], say, 400, seed=1)
    assert {name: len(captions) for name, captions in data.actions.items()} == {"walk": 1, "a person turns left": 1}
    assert data[3] == data[3]
    drawn = [data[index] for index in range(200)]
    assert {"a person turns right", "a person turns left"} <= {one["caption"] for one in drawn}
    assert all(one["wording"] in (one["caption"], *say(one["caption"])) or one["caption"] == mirror_text(one["caption"]) for one in drawn)

    torch.manual_seed(0)
    encoder, tokenizer = shrink_bert(*bert, 2, [], 150, 12)
    queries = torch.randn(len(teacher.denoiser.blocks), 32, teacher.denoiser.config.hidden_size)
    transplant = TextTransplant(teacher, encoder, tokenizer, queries, queries_per_step=16)
    before = {name: value.clone() for name, value in teacher.denoiser.state_dict().items()}
    collate = WordingCollator(transplant)
    optimizer = torch.optim.Adam(transplant.parameters(), lr=3e-3)
    batch, losses = collate([data[index] for index in range(32)]), []
    for _ in range(160):
        loss = transplant(**batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[0] > 2
    assert losses[-1] < 0.4
    assert all(torch.equal(value, before[name]) for name, value in teacher.denoiser.state_dict().items())

    transplant.pipeline().save_pretrained(tmp_path)
    pipe = MDMPipeline.from_pretrained(tmp_path)
    assert pipe.denoiser.config.text_dim == 16
    old = teacher("a person walks", num_frames=10, generator=torch.Generator().manual_seed(0)).motions[0]
    new = pipe("a person walks", num_frames=10, generator=torch.Generator().manual_seed(0)).motions[0]
    assert new.joints.shape == old.joints.shape


def test_pooled_texts_are_refused(bert):
    with pytest.raises(ValueError, match="attend to tokens"):
        TextTransplant(tiny_pipeline(), *bert, torch.zeros(2, 4, 16))


def test_the_script_stops_goes_on_and_tells_how_the_text_side_came_about(bert, tmp_path, monkeypatch, capsys):
    tiny_pipeline("distilbert").save_pretrained(tmp_path / "teacher")
    for part in bert:
        part.save_pretrained(tmp_path / "bert")
    words = "num_layers: 2\ntrained_layers: 1\nvocab_size: 150\nmax_text_tokens: 12\nnum_queries: 16\nparaphrases: {}\n"
    settings = "per_device_train_batch_size: 2\nsave_steps: 1\nuse_cpu: true\nreport_to: none\ndisable_tqdm: true\n"
    (tmp_path / "tiny.yaml").write_text(words.format(ROOT / "training" / "paraphrases") + settings)
    places = {"--config": "tiny.yaml", "--pipeline": "teacher", "--text_encoder": "bert", "--dataset": str(FIXTURES / "clips.parquet")}
    monkeypatch.chdir(tmp_path)

    def train(folder: str, steps: int = 2) -> dict[str, torch.Tensor]:
        command = [*sum(places.items(), ()), "--output_dir", folder, "--max_steps", str(steps)]
        run_script("train_text_side", command)
        return MDMPipeline.from_pretrained(folder).text_encoder.state_dict()

    whole = train("runs")
    said = capsys.readouterr().out
    assert f"Finished: {Path('runs') / 'pipeline'}\nNext: python training/train_diffusion.py --pipeline runs --dataset" in said
    shutil.rmtree("runs/checkpoint-2")
    shutil.rmtree("runs/pipeline")
    assert all(torch.equal(value, whole[name]) for name, value in train("runs").items())
    card = Path("runs/pipeline/README.md").read_text()
    assert "| data | `clips.parquet`, split `train` |" in card
    assert "python training/train_text_side.py --config tiny.yaml" in card

    with largest_file(2_000), pytest.raises(NoRoomError, match="Make room; the same command goes on"):
        train("full", 1)
