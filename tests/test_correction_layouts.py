"""Every way of showing motions to a model of corrections, from triplets to a sentence: tokenizers and layouts (CigTime, Tables 2 and 3)."""

from pathlib import Path

import pytest
import torch
from correction_clips import make_triplets
from test_correction_training import make_trainer
from tiny import tiny_language_model, tiny_vq
from transformers import AutoModelForCausalLM, pipeline

from hf_motion import MotionLanguageModel
from hf_motion.models.motion_language.corrections import correction_question
from hf_motion.models.motion_language.shared_prefix import read_prefix_once
from hf_motion.models.motion_latents.modeling_motion_latents import MotionLatentsForCausalLM
from hf_motion.trainers.corrections import correction_rows, note_tasks
from hf_motion.trainers.motion_language import add_adapters

T2MGPT, CIGTIME = {}, {"num_quantizers": 2, "strides": [1, 1]}


def make_model(tokenizer: dict, format: str, context: int = 1200) -> MotionLanguageModel:
    plain = tiny_language_model(format="list", context=context)
    parts = (plain.language_model, plain.tokenizer, tiny_vq(**tokenizer), None, plain.feature_extractor)
    generator = torch.Generator().manual_seed(0)
    return MotionLanguageModel.from_base(*parts, format=format, max_tokens=12, generator=generator)


@pytest.mark.parametrize("format", ["list", "motion", "continuous"])
@pytest.mark.parametrize("tokenizer", [T2MGPT, CIGTIME], ids=["t2mgpt", "cigtime"])
def test_from_triplets_to_a_sentence(tokenizer: dict, format: str, tmp_path: Path) -> None:
    model, triplets = make_model(tokenizer, format), make_triplets(4, frames=13)
    rows = correction_rows(model, triplets, show_progress=False)
    before = {name: weight.detach().clone() for name, weight in model.language_model.named_parameters()}
    note_tasks(model, ["motion_correction"])
    make_trainer(tmp_path / "run", model, rows, anchor=0.1, max_steps=1, save_strategy="no").train()
    assert all(not torch.equal(weight, before[name]) for name, weight in model.language_model.named_parameters())
    sources, targets = [one.source for one in triplets[:2]], [one.target for one in triplets[:2]]
    said = model.eval().correct_motion(sources, targets, max_new_tokens=4)
    assert said[1:] == model.correct_motion(sources[1:], targets[1:], max_new_tokens=4)
    model.save_pretrained(tmp_path / "model")
    correct = pipeline("motion-correction", model=str(tmp_path / "model"))
    assert correct.model.correct_motion(sources, targets, max_new_tokens=4) == said
    assert correct(sources[0], targets[0], threshold=0.0, max_new_tokens=4)["said_by"] == "model"


def test_a_beginning_that_questions_share_is_read_once() -> None:
    model = make_model(T2MGPT, "motion")
    clips = [model.encode_motions(make_triplets(1, frames=frames)[0].target)[0] for frames in (9, 33, 21)]
    questions = [correction_question(model, clips[0], clip) for clip in clips]
    inputs = model.prompts.batch(questions, [], 1, model.device)
    once = read_prefix_once(model.language_model, inputs, model.prompts.pad)
    assert once["past_key_values"].get_seq_length() > 60
    assert once["attention_mask"].sum(1).tolist() == inputs["attention_mask"].sum(1).tolist()
    options = {"max_new_tokens": 2, "do_sample": False, "output_scores": True, "return_dict_in_generate": True}
    plain, shared = (model.language_model.generate(**one, **options).scores for one in (inputs, once))
    torch.testing.assert_close(torch.stack(plain), torch.stack(shared), rtol=1e-4, atol=1e-5)
    alone = {name: value[:1] for name, value in inputs.items()}
    assert read_prefix_once(model.language_model, alone, model.prompts.pad) is alone


class TestContinuous:
    def test_the_answer_depends_on_both_motions(self) -> None:
        model = make_model(T2MGPT, "continuous")
        one, two = (model.encode_motions(clip)[0] for clip in (make_triplets(1)[0].source, make_triplets(1)[0].target))
        assert one.shape == two.shape == (model.vq_model.config.code_dim, 10)
        latents = torch.cat((one, two), dim=1).T.clone().requires_grad_()
        question = model.instructions("motion_correction", source=model.motion_text(one), target=model.motion_text(two))
        ids = torch.tensor([model.prompts.question(question)])
        model.language_model(ids, motion_latents=latents).logits[0, -1].sum().backward()
        assert (latents.grad.abs().sum(1) > 0).all()
        with pytest.raises(ValueError, match="20 places for latents of motion, and there are 19"):
            model.language_model(ids, motion_latents=latents[1:])

    def test_with_and_without_cache(self) -> None:
        model, clip = make_model(T2MGPT, "continuous"), make_triplets(1)[0]
        said = model.correct_motion(clip.source, clip.target, max_new_tokens=5)
        model.language_model.generation_config.use_cache = False
        assert model.correct_motion(clip.source, clip.target, max_new_tokens=5) == said

    def test_adapters_leave_the_new_layer_whole_and_can_be_merged(self, tmp_path: Path) -> None:
        make_model(T2MGPT, "continuous").save_pretrained(tmp_path / "base")
        model, clips = MotionLanguageModel.from_pretrained(tmp_path / "base"), make_triplets(2, frames=13)
        rows = correction_rows(model, clips, show_progress=False)
        projector = model.language_model.model.projector.weight.detach().clone()
        add_adapters(model, 2)
        make_trainer(tmp_path / "run", model, rows, max_steps=1, save_strategy="no").train()
        pairs = [one.source for one in clips], [one.target for one in clips]
        said = model.eval().correct_motion(*pairs, max_new_tokens=4)
        model.save_pretrained(tmp_path / "adapters")
        again = MotionLanguageModel.from_pretrained(tmp_path / "adapters")
        assert again.correct_motion(*pairs, max_new_tokens=4) == said
        merged = again.merge_adapters().language_model
        assert isinstance(merged, MotionLatentsForCausalLM)
        assert not torch.equal(merged.model.projector.weight, projector)

    def test_it_makes_no_motions_and_wants_a_causal_base(self, tmp_path: Path) -> None:
        model = make_model(T2MGPT, "continuous")
        with pytest.raises(ValueError, match=r"reads latents of motions .* and makes no motions"):
            model.generate_motion("a person walks")
        assert isinstance(model.caption_motion(make_triplets(1)[0].source, max_new_tokens=3)[0], str)
        with pytest.raises(ValueError, match=r"built like Llama .* got a T5ForConditionalGeneration"):
            tiny_language_model("t5", format="continuous")
        model.save_pretrained(tmp_path)
        assert type(AutoModelForCausalLM.from_pretrained(tmp_path)) is MotionLatentsForCausalLM
