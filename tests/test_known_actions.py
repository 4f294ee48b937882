"""What a checkpoint says of sentences that are far from everything it learned."""

import logging

import numpy as np
import pytest
import torch
from tiny import seeded, tiny_pipeline
from typer.testing import CliRunner

from hf_motion import Motion
from hf_motion.cli import app
from hf_motion.data.paraphrases import Paraphrases
from hf_motion.models.known_actions import KnownActions
from hf_motion.pipelines.mdm import MDMPipeline
from hf_motion.pipelines.plan import Plan
from hf_motion.trainers.known_actions import learn_known_actions, pooled_texts


def around(direction: int, count: int = 6) -> torch.Tensor:
    vectors = 0.1 * torch.randn(count, 8, generator=seeded(direction))
    vectors[:, direction] += 3
    return vectors + 5  # all texts have much in common


def plan_of(pipe: MDMPipeline, text: str) -> Plan:
    return Plan([[(text, 4)]], pipe.feature_extractor.fps, pipe.feature_extractor.max_frames, 1, False, torch.device("cpu"))


@pytest.fixture
def actions() -> KnownActions:
    texts = {name: (f"a person {name}", around(axis)) for axis, name in enumerate(("walks", "runs", "jumps"))}
    return KnownActions.from_texts(texts, torch.cat([vectors for _, vectors in texts.values()]), around(6), places=2)


def test_the_nearest_action_is_its_own(actions):
    assert actions.config.places == [2, 2, 2]
    nearness = actions(torch.cat([around(axis, 3) for axis in range(3)]))
    assert nearness.argmax(-1).tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert nearness.amax(-1).min() > 0.9


def test_only_what_is_far_is_told_with_its_nearest_actions(actions):
    far = torch.full((1, 8), 5.0)
    far[0, 7] += 3
    far[0, 1] += 1
    told = actions.far(torch.cat((around(0, 1), far)), ["walking", "plays the tuba"], count=2)
    assert list(told) == ["plays the tuba"]
    assert told["plays the tuba"][0] == "runs"
    assert len(told["plays the tuba"]) == 2


def test_the_threshold_lies_between_what_is_known_and_what_is_not(actions):
    near = torch.quantile(actions(torch.cat([around(axis) for axis in range(3)])).amax(-1), 0.02)
    far = actions(around(6)).amax(-1).median()
    assert far < actions.config.threshold < near
    assert actions.config.threshold == pytest.approx(float(near + far) / 2)


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="1 names, 2 examples and 1 places"):
        KnownActions(["walk"], ["a", "b"], [1], 8)
    with pytest.raises(ValueError, match="every action have a place"):
        KnownActions(["walk"], ["a"], [0], 8)


def test_a_pipeline_warns_once_and_keeps_what_it_knows(tmp_path, caplog):
    pipe = tiny_pipeline("distilbert")
    assert pipe.known_actions is None
    known = ["a person walks", "a person runs", "a person waves"]

    def pooled(texts: list[str]) -> torch.Tensor:
        states, mask = pipe.encode_prompt(texts)
        return ((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).detach()

    texts = {text.split()[-1]: (text, pooled([text])) for text in known}
    pipe.register_modules(known_actions=KnownActions.from_texts(texts, pooled(known), pooled(["zzz qqq xxx", "tuba cathedral"])))
    pipe.save_pretrained(tmp_path)
    loaded = MDMPipeline.from_pretrained(tmp_path)
    assert loaded.known_actions.config.names == ["walks", "runs", "waves"]
    torch.testing.assert_close(loaded.known_actions.embeddings, pipe.known_actions.embeddings)
    with caplog.at_level(logging.WARNING, "hf_motion"):
        loaded(known, num_frames=4, generator=seeded())
        assert "far from everything" not in caplog.text
        loaded(["plays the tuba in a cathedral"] * 2, num_frames=4, generator=seeded())
    assert caplog.text.count("'plays the tuba in a cathedral' is far from everything that this checkpoint learned") == 1
    assert "--list-actions" in caplog.text


def test_contact_cleanup_is_the_checkpoints_or_the_calls(tmp_path):
    pipe = tiny_pipeline()
    plain = pipe("a", num_frames=12, generator=seeded()).motions[0]
    cleaned = pipe("a", num_frames=12, generator=seeded(), contact_cleanup=True).motions[0]
    assert abs(plain.joints - cleaned.joints).max() > 1e-2
    pipe.register_to_config(contact_cleanup=True)
    pipe.save_pretrained(tmp_path)
    loaded = MDMPipeline.from_pretrained(tmp_path)
    again = loaded("a", num_frames=12, generator=seeded()).motions[0].joints
    np.testing.assert_allclose(again, cleaned.joints, atol=1e-4)
    off = loaded("a", num_frames=12, generator=seeded(), contact_cleanup=False).motions[0].joints
    np.testing.assert_allclose(off, plain.joints, atol=1e-4)
    command = ["generate", "a", "--model", str(tmp_path), "--num-frames", "12", "--seed", "3", "-o"]
    for flag, differs in (("--no-contact-cleanup", True), ("--contact-cleanup", False)):
        made = [CliRunner().invoke(app, [*command, str(tmp_path / name), *more]) for name, more in (("a.npz", [flag]), ("b.npz", []))]
        assert [one.exit_code for one in made] == [0, 0]
        assert (abs(Motion.load(tmp_path / "a.npz").joints - Motion.load(tmp_path / "b.npz").joints).max() > 1e-2) == differs
    features = [one("a", num_frames=12, generator=seeded(), output_type="features").motions[0] for one in (tiny_pipeline(), loaded)]
    torch.testing.assert_close(*features)


def test_the_command_line_lists_them(tmp_path):
    texts = {"walk": ("a person walks", around(0)), "jump high": ("someone jumps high", around(1))}
    KnownActions.from_texts(texts, around(0), around(6)).save_pretrained(tmp_path / "known_actions")
    result = CliRunner().invoke(app, ["generate", "--list-actions", "--model", str(tmp_path)])
    assert result.exit_code == 0
    assert result.output.splitlines() == ["walk       a person walks", "jump high  someone jumps high"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    result = CliRunner().invoke(app, ["generate", "--list-actions", "--model", str(tmp_path / "empty")])
    assert result.exit_code == 1
    assert "does not say what it knows" in result.stderr


def test_they_are_learned_from_wordings():
    pipe = tiny_pipeline("distilbert")
    say = Paraphrases({"tiny.yaml": {"actions": [
        {"name": "walk", "example": "a person walks", "captions": ["a person walks"], "wordings": ["/walk", "a walk"]},
        {"name": "bow", "example": "a person bows", "captions": ["a person bows"], "wordings": ["/bow", "a bow"]},
    ]}})  # fmt: skip
    learn_known_actions(pipe, say, ["a person walks", "a person bows"], share=0.0)
    assert pipe.known_actions.config.names == ["bow", "walk"]
    assert pipe.known_actions.config.examples == ["a person bows", "a person walks"]
    nearness = pipe.known_actions(pooled_texts(pipe, ["a person bows", "a person walks"]))
    assert nearness.argmax(-1).tolist() == [0, 1]
    assert pipe.known_actions.config.threshold < nearness.amax(-1).min()


def test_grounded_prompts_are_read_beside_what_they_are_nearest_to(tmp_path, caplog):
    pipe = tiny_pipeline("distilbert")
    say = Paraphrases({"tiny.yaml": {"actions": [
        {"name": "walk", "example": "a person walks", "captions": ["a person walks"], "wordings": ["/walk", "a walk"]},
        {"name": "bow", "example": "a person bows", "captions": ["a person bows"], "wordings": ["/bow", "a bow"]},
    ]}})  # fmt: skip
    learn_known_actions(pipe, say, ["a person walks", "a person bows"], share=0.0, ground_prompts=True)
    near, far = "he walks", "zzz"
    pipe.known_actions.register_to_config(threshold=float(pipe.known_actions(pooled_texts(pipe, [near])).max()) - 1e-3)
    assert pipe.known_actions.nearest(pooled_texts(pipe, [near, "a person bows"])) == ["a person walks", "a person bows"]
    pipe.save_pretrained(tmp_path)
    loaded = MDMPipeline.from_pretrained(tmp_path)
    assert loaded.config.ground_prompts

    def made(prompts, **options):
        motions = loaded(prompts, num_frames=4, generator=[seeded() for _ in prompts], output_type="features", **options).motions
        return list(motions)

    with caplog.at_level(logging.INFO, "hf_motion"):
        alone = made([near])[0]
    assert "'he walks' is read beside 'a person walks'" in caplog.text
    beside_others = made([near, "a person bows", far])
    torch.testing.assert_close(beside_others[0], alone, atol=1e-4, rtol=1e-4)
    states, mask = (part[0] for part in loaded.encode_prompt([near]))
    example, hidden = (part[0] for part in loaded.encode_prompt(["a person walks"]))
    both = torch.cat((states[mask.bool()], example[hidden.bool()]))[None]
    condition = loaded._conditions(plan_of(loaded, near), False)[0]
    expected = loaded.denoiser.encode_condition(both, torch.ones(both.shape[:2], dtype=torch.long))
    noisy = torch.randn(1, 4, loaded.denoiser.config.num_features, generator=seeded())
    outputs = [loaded.denoiser(noisy, torch.tensor(3), condition=one).sample for one in (condition, expected)]
    torch.testing.assert_close(*outputs)
    loaded.register_to_config(ground_prompts=False)
    plain = made([near, "a person bows", far])
    assert (plain[0] - beside_others[0]).abs().max() > 1e-3
    loaded.known_actions.register_to_config(threshold=2.0)
    loaded.register_to_config(ground_prompts=True)
    torch.testing.assert_close(made([near]), plain[:1], atol=1e-4, rtol=1e-4)


def test_prompts_are_grounded_on_known_actions_and_tokens_only():
    pipe = tiny_pipeline("distilbert")
    with pytest.raises(ValueError, match="ground_prompts needs known_actions"):
        MDMPipeline(**pipe.components, ground_prompts=True)


def test_a_sentence_that_says_less_than_a_known_one_is_not_far() -> None:
    names = ["wave the left hand", "act as a monkey"]
    actions = KnownActions(names, ["a person waves", "a monkey"], [1, 1], dim=2, threshold=2.0)
    texts = ["a person waves", "waving at me", "he plays the harp", "act now"]
    assert list(actions.far(torch.ones(4, 2), texts)) == ["he plays the harp", "act now"]
