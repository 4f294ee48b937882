"""SALAD: its autoencoder, its denoiser, its pipeline, and edits by words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mixins.model import DenoiserMixin
from tiny import seeded
from tiny_latent import SIZES, tiny_salad
from transformers import pipeline

from hf_motion import MotionControl, MotionFeatureExtractor, SALADAutoencoder, SALADDenoiser, SALADPipeline
from hf_motion.models.salad.body_parts import groups, joint_features
from hf_motion.pipelines.attention_edit import AttentionChange, AttentionMaps, new_tokens
from hf_motion.skeletons import get_skeleton


@pytest.mark.parametrize("variant", ["tokens"])
class TestSALADDenoiser(DenoiserMixin):
    model_class = SALADDenoiser
    variants = {"tokens": {**SIZES, "latent_dim": 4, "text_dim": 8, "time_dim": 16}}
    test_compiles_as_one_graph = None  # type: ignore[assignment]  # seconds; MLD's and MDM's are tried

    def inputs(self, model: SALADDenoiser, batch: int = 2, frames: int = 9) -> dict[str, torch.Tensor]:
        draw = torch.Generator().manual_seed(1)
        return {
            "sample": torch.randn(batch, frames, 7, 4, generator=draw),
            "timestep": torch.tensor([3, 40])[:batch],
            "encoder_hidden_states": torch.randn(batch, 4, 8, generator=draw),
            "encoder_attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])[:batch],
        }

    def test_attention_that_is_looked_at_is_the_same(self, model: SALADDenoiser) -> None:
        """Recording changes nothing, neither does giving back what was recorded; other weights do."""
        inputs = self.inputs(model)
        expected, maps = model(**inputs).sample, AttentionMaps()
        torch.testing.assert_close(model(**inputs, attention_edit=maps).sample, expected, atol=1e-5, rtol=1e-5)
        shapes = {kind: [tuple(weights.shape) for weights in found] for kind, found in maps.seen.items()}
        assert shapes == {"temporal": [(2, 7, 2, 9, 9)] * 3, "skeletal": [(2, 9, 2, 7, 7)] * 3, "cross": [(2, 1, 2, 63, 4)] * 3}
        again = model(**inputs, attention_edit=AttentionMaps(maps.seen)).sample
        torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-5)
        none = {"cross": [torch.zeros_like(weights) for weights in maps.seen["cross"]]}
        assert not torch.allclose(model(**inputs, attention_edit=AttentionMaps(none)).sample, expected)


@pytest.mark.parametrize("skeleton", ["humanml3d-22", "kit-21"])
def test_autoencoder(skeleton: str, tmp_path: Path) -> None:
    """Padding changes nothing, lengths that are no multiple of four are held, what is saved comes back, gradients reach every weight."""
    torch.manual_seed(0)
    width = MotionFeatureExtractor(skeleton=skeleton).dim
    model = SALADAutoencoder(num_features=width, skeleton=skeleton, latent_dim=4, dropout=0.0).eval()
    features, mask = torch.randn(2, 14, width), torch.tensor([[1] * 14, [1] * 6 + [0] * 8])
    made, posterior = model(features, mask)
    assert (made.shape, posterior.mean.shape, model.latent_mask(mask.sum(1)).tolist()) == (
        (2, 14, width),
        (2, 4, 7, 4),
        [[1] * 4, [1, 1, 0, 0]],
    )
    assert not made[1, 6:].any()
    assert not posterior.mean[1, 2:].any()
    garbage = features.clone()
    garbage[1, 6:] = 100
    torch.testing.assert_close(model.encode(garbage, mask).mean, posterior.mean)
    alone, own = model(features[1:, :6])
    torch.testing.assert_close(own.mean[0], posterior.mean[1, :2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone[0], made[1, :6], atol=1e-4, rtol=1e-4)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(SALADAutoencoder.from_pretrained(tmp_path).eval()(features, mask)[0], made, atol=1e-5, rtol=1e-5)
    made, posterior = model.train()(features, mask, noise=torch.randn(2, 4, 7, 4))
    (made.square().sum() + posterior.divergence().sum()).backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None]


def test_body_parts() -> None:
    """Every feature of a frame belongs to one joint, every joint to a part, and parts mirror each other."""
    for skeleton in ("humanml3d-22", "kit-21"):
        bones = get_skeleton(skeleton)
        places = [place for joint in joint_features(bones) for place in joint]
        assert sorted(places) == list(range(12 * len(bones) - 1))
        first, second = groups(skeleton)
        assert (second @ first).sum(0).min() >= 1
    first, second = groups("humanml3d-22")
    reach = (second @ first) > 0
    legs = [{joint for joint in range(22) if reach[part, joint]} for part in (1, 2)]
    assert {4, 7, 10} <= legs[0]
    assert {5, 8, 11} <= legs[1]


@pytest.fixture(scope="module")
def pipe() -> SALADPipeline:
    pipe = tiny_salad()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_a_motion_does_not_depend_on_its_neighbours(pipe: SALADPipeline) -> None:
    alone = pipe("a person walks", num_frames=10, generator=seeded()).motions[0]
    among = pipe(["a person walks", "someone runs far away", "x"], num_frames=[10, 37, 1], generator=seeded()).motions
    np.testing.assert_allclose(among[0].joints, alone.joints, atol=1e-4)
    assert [len(motion) for motion in among] == [10, 37, 1]


def test_every_door_and_every_option(pipe: SALADPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    expected = pipe("a person walks", 12, generator=seeded()).motions[0]
    motion = pipeline("text-to-motion", model=str(tmp_path))("a person walks", 12, generator=seeded())
    np.testing.assert_allclose(motion.joints, expected.joints, atol=1e-4)
    assert len(pipe(timeline=[("a person walks", 2.0), ("someone jumps", 1.5)], generator=seeded()).motions[0]) == 70
    made = pipe("a person walks", 30, control=MotionControl(path=[(0, 0), (0, 1)]), generator=seeded()).motions[0]
    np.testing.assert_allclose(made.joints[-1, 0, [0, 2]], [0, 1], atol=1e-3)
    kept = pipe("someone jumps", motion=expected, body_part="left_arm", generator=seeded()).motions[0]
    np.testing.assert_allclose(kept.joints[:, 4], expected.joints[:, 4], atol=1e-4)


def test_edits(pipe: SALADPipeline, tmp_path: Path) -> None:
    """The source is what it would be alone; an edit that changes nothing is the source; others are something else, each its own."""
    source = {"prompt": "a person walks", "num_frames": 12, "output_type": "features"}
    alone = pipe(**source, generator=seeded()).motions[0]
    same = pipe(**source, edit_prompt="a person walks", edit_mode="word_swap", swap_share=1.0, self_share=1.0, generator=seeded())
    torch.testing.assert_close(same.source_motions[0], alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(same.motions[0], alone, atol=1e-4, rtol=1e-4)
    edits = [
        {"edit_prompt": "someone jumps"}, {"edit_prompt": "a person walks slowly"}, {"word_weights": {"walks": 5.0}}, {"mirror": "lower"},
        {"mirror": "all"},
    ]  # fmt: skip
    made = [pipe(**source, **edit, generator=seeded()) for edit in edits]
    for index, one in enumerate(made):
        torch.testing.assert_close(one.source_motions[0], alone, atol=1e-4, rtol=1e-4)
        for other in [alone, *(another.motions[0] for another in made[:index])]:
            assert not torch.allclose(one.motions[0], other, atol=1e-6)
    both = pipe(["a person walks", "someone jumps"], 12, edit_prompt="a person runs", edit_mode="word_swap", generator=seeded())
    assert [motion.text for motion in (*both.source_motions, *both.motions)] == ["a person walks", "someone jumps", *["a person runs"] * 2]
    single = pipe("a person walks", 12, edit_prompt="a person runs", edit_mode="word_swap", generator=seeded()).motions[0]
    np.testing.assert_allclose(both.motions[0].joints, single.joints, atol=1e-4)


def test_new_tokens_and_words(pipe: SALADPipeline) -> None:
    assert new_tokens([0, 5, 6, 1], [0, 5, 9, 6, 8, 1]) == [2, 4]
    assert new_tokens([0, 1], [0, 1]) == []
    change = AttentionChange("reweight", weights={"walks": 3.0})
    values = change.token_changes(["a person walks, and walks"], [""], 20, pipe.tokenizer)
    ids = pipe.tokenizer("a person walks, and walks")["input_ids"]
    walks = pipe.tokenizer("walks")["input_ids"][1:-1]
    inside = [values[0, place].item() for place in range(len(ids)) if ids[place] in walks]
    assert inside == [3.0] * (2 * len(walks))
    assert values.sum() == 20 + 2.0 * 2 * len(walks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edit_prompt": ["a", "b"]}, "edit_prompt is a list of 2 for 1 prompts"),
        ({"edit_prompt": "a", "loop": True}, "leave out loop"),
        ({"edit_prompt": "a", "edit_mode": "swap"}, "edit_mode must be one of 'word_swap'"),
        ({"word_weights": {"fly": 2.0}}, "word_weights names \\['fly'\\]"),
        ({"edit_prompt": "b", "edit_mode": "refine", "word_weights": {"a": 2.0}}, 'goes with edit_mode="reweight"'),
        ({"mirror": "left"}, "mirror must be one of 'lower'"),
        ({"edit_prompt": "b", "self_share": 2.0}, "self_share is a share"),
        ({"edit_prompt": "b", "output_type": "pil"}, "output_type must be one of"),
        ({"edit_prompt": "b", "num_inference_steps": 0}, "num_inference_steps must be a whole number of at least 1, got 0"),
        ({"edit_prompt": "b", "guidance_scale": -1.0}, "guidance_scale must be 0 or more"),
    ],
)
def test_bad_edits(pipe: SALADPipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe("a person walks", 12, **options)


def test_parts_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="SALAD has parts for the skeletons 'humanml3d-22', 'kit-21'"):
        SALADAutoencoder(skeleton="smplx-52", num_features=623)
    with pytest.raises(ValueError, match="Features of 'kit-21' are 251 wide"):
        SALADAutoencoder(skeleton="kit-21")
    with pytest.raises(ValueError, match="activation must be one of"):
        SALADAutoencoder(activation="tanh")
    with pytest.raises(ValueError, match=r"latents of 8 frames must be \(batch, 2, 7, 32\)"):
        SALADAutoencoder().decode(torch.zeros(1, 3, 7, 32), torch.ones(1, 8))
