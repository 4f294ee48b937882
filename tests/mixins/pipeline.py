"""What holds for every pipeline that makes motion."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline


class MotionPipelineMixin:
    """Subclasses build a tiny pipeline in `build`."""

    def build(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def pipe(self) -> Any:
        pipe = self.build()
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @staticmethod
    def seeded(seed: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def test_makes_motions_of_the_wanted_lengths(self, pipe: Any) -> None:
        motions = pipe(["a person walks", "someone jumps"], num_frames=[12, 30], generator=self.seeded()).motions
        assert [(len(motion), motion.text) for motion in motions] == [(12, "a person walks"), (30, "someone jumps")]
        assert motions[0].fps == pipe.feature_extractor.fps
        assert len(pipe("a person walks", generator=self.seeded(), return_dict=False)[0]) == 1

    def test_seed_decides(self, pipe: Any) -> None:
        first, second, other = (pipe("a person walks", num_frames=10, generator=self.seeded(seed)).motions[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.joints, second.joints)
        assert np.abs(first.joints - other.joints).max() > 1e-3

    def test_a_motion_does_not_depend_on_its_neighbours(self, pipe: Any) -> None:
        alone = pipe("a person walks", num_frames=10, generator=self.seeded()).motions[0]
        among = pipe(["a person walks", "someone runs far away", "x"], num_frames=[10, 37, 1], generator=self.seeded()).motions[0]
        np.testing.assert_allclose(among.joints, alone.joints, atol=1e-4)
        ones = [pipe(text, num_frames=10, generator=self.seeded(seed)).motions[0] for seed, text in enumerate(("a", "b"))]
        both = pipe(["a", "b"], num_frames=10, generator=[self.seeded(0), self.seeded(1)]).motions
        singles = [pipe(text, num_frames=10, generator=[self.seeded(seed)]).motions[0] for seed, text in enumerate(("a", "b"))]
        for one, two in zip(singles, both, strict=True):
            np.testing.assert_allclose(one.joints, two.joints, atol=1e-4)
        assert len(ones) == 2

    def test_repetitions(self, pipe: Any) -> None:
        motions = pipe(["a", "b"], num_frames=[5, 8], num_motions_per_prompt=2, generator=self.seeded()).motions
        assert [(len(motion), motion.text) for motion in motions] == [(5, "a"), (5, "a"), (8, "b"), (8, "b")]
        assert np.abs(motions[0].joints - motions[1].joints).max() > 1e-3

    def test_save_and_load(self, pipe: Any, tmp_path: Path) -> None:
        pipe.save_pretrained(tmp_path)
        assert not [path for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
        again = type(pipe).from_pretrained(tmp_path)
        again.set_progress_bar_config(disable=True)
        expected = pipe("a person walks", num_frames=10, generator=self.seeded()).motions[0]
        # Loaded weights may lie otherwise in memory, which changes the last bit of a matrix product.
        motion = again("a person walks", num_frames=10, generator=self.seeded()).motions[0]
        np.testing.assert_allclose(motion.joints, expected.joints, atol=1e-5)

    def test_bfloat16(self, pipe: Any) -> None:
        exact = pipe("a person walks", num_frames=10, generator=self.seeded(), output_type="features").motions[0]
        rough = pipe.to(torch.bfloat16)("a person walks", num_frames=10, generator=self.seeded(), output_type="features").motions[0]
        assert rough.dtype == torch.float32
        assert (rough - exact).abs().max() < 0.2 * exact.abs().max()

    def test_callback(self, pipe: Any) -> None:
        seen = []

        def callback(pipe: DiffusionPipeline, step: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
            seen.append(step)
            return {"latents": torch.zeros_like(tensors["latents"])}

        latents = pipe("a", num_frames=4, callback_on_step_end=callback, output_type="latent", generator=self.seeded()).motions
        assert seen == list(range(len(seen)))
        assert not latents.any()

    @pytest.mark.parametrize(
        ("prompt", "options", "message"),
        [
            ([], {}, "at least one"),
            (3, {}, "sentence or a list"),
            (["a", None], {}, r"prompt\[1\] must be a string, got None"),
            ("a", {"num_frames": 0}, "from 1 to 40, got 0"),
            ("a", {"num_frames": -4}, "from 1 to 40, got -4"),
            ("a", {"num_frames": 41}, "from 1 to 40, got 41"),
            ("a", {"num_frames": 4.0}, "whole numbers"),
            ("a", {"num_frames": True}, "whole numbers"),
            ("a", {"num_frames": [4, 5]}, "2 entries for 1 prompts"),
            ("a", {"num_motions_per_prompt": 0}, "num_motions_per_prompt"),
            ("a", {"num_inference_steps": 0}, "num_inference_steps"),
            ("a", {"guidance_scale": -1}, "guidance_scale"),
            ("a", {"guidance_scale": float("nan")}, "guidance_scale"),
            ("a", {"generator": 3}, "torch.Generator"),
            ("a", {"output_type": "pil"}, "'motion', 'features', 'latent'"),
            ("a", {"generator": [torch.Generator()] * 2}, "2 generators for 1"),
            ("a", {"latents": torch.zeros(1, 4, 263)}, r"latents must have shape \(1, 40, 263\)"),
            ("a", {"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}, "'latents' only"),
        ],
    )
    def test_bad_input(self, pipe: Any, prompt: Any, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pipe(prompt, **options)
