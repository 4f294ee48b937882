"""`MotionFeatureExtractor`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoFeatureExtractor

from hf_motion import Motion, MotionFeatureExtractor

CLIPS = [
    Motion(row.joints.reshape(-1, 22, 3), fps=row.fps)
    for row in pd.read_parquet(Path(__file__).parent / "fixtures" / "clips.parquet").itertuples()
]


@pytest.fixture
def extractor() -> MotionFeatureExtractor:
    draw = np.random.default_rng(0)
    return MotionFeatureExtractor(mean=draw.normal(size=263), std=draw.uniform(0.5, 2, size=263))


def test_a_clip_does_not_depend_on_its_neighbours(extractor: MotionFeatureExtractor) -> None:
    together = extractor(CLIPS)
    for index, clip in enumerate(CLIPS):
        alone = extractor(clip)["motion_features"][0]
        torch.testing.assert_close(together["motion_features"][index, : len(alone)], alone, atol=1e-4, rtol=1e-4)
        assert not together["motion_features"][index, len(alone) :].any()
        assert together["attention_mask"][index].sum() == len(alone) == len(clip) - 1


def test_there_and_back(extractor: MotionFeatureExtractor) -> None:
    batch = extractor(CLIPS)
    for clip, again in zip(CLIPS, extractor.decode(batch["motion_features"], batch["attention_mask"], ["a"] * len(CLIPS)), strict=True):
        expected = extractor.features.canonicalize(torch.from_numpy(clip.joints)).numpy()[:-1]
        features = extractor.denormalize(extractor.encode(clip)[0])
        assert np.linalg.norm(extractor.features.decode(features).numpy() - expected, axis=-1).max() < 2e-3
        # Decoding ends on the reference body, whose pelvis is no more than some centimetres away from that of the clip; feet stay.
        assert np.linalg.norm(again.joints - expected, axis=-1)[:, [7, 8, 10, 11]].mean() < 2e-3
        assert (again.fps, again.text) == (20, "a")


def test_save_load_and_auto_class(extractor: MotionFeatureExtractor, tmp_path: Path) -> None:
    extractor.save_pretrained(tmp_path)
    for again in (MotionFeatureExtractor.from_pretrained(tmp_path), AutoFeatureExtractor.from_pretrained(tmp_path)):
        assert type(again) is MotionFeatureExtractor
        assert again.to_dict() == extractor.to_dict()
        assert torch.equal(again(CLIPS[0])["motion_features"], extractor(CLIPS[0])["motion_features"])


def test_other_rates_arrays_and_long_clips() -> None:
    extractor = MotionFeatureExtractor(max_frames=25)
    assert extractor(CLIPS[4].joints, fps=60)["motion_features"].shape == (1, 25, 263)
    assert extractor([CLIPS[0].resample(30), CLIPS[4]])["attention_mask"].sum(1).tolist() == [25, 25]
    assert len(extractor.decode(torch.zeros(7, 263))[0]) == 7


def test_kit_is_measured_in_millimetres() -> None:
    extractor = MotionFeatureExtractor(skeleton="kit-21")
    rest = np.zeros((30, 21, 3), np.float32)
    rest[:, :, 1] = np.linspace(0.1, 1.8, 21)
    rest[:, [16, 17, 18, 8], 0] = -0.1
    batch = extractor(Motion(rest, fps=12.5, skeleton="kit-21"))
    assert extractor.fps == 12.5
    assert batch["motion_features"][..., 4:64].abs().max() > 1000
    assert extractor.decode(batch["motion_features"])[0].joints.max() < 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [0.0] * 251}, "263 finite numbers, got 251"),
        ({"std": [1.0] * 262 + [0.0]}, "std must be positive, got 0.0 for feature 262"),
        ({"std": [float("nan")] * 263}, "of which 0 are finite"),
        ({"representation": "xyz"}, "Known ones: humanml3d"),
        ({"skeleton": "smpl"}, "Known skeletons"),
        ({"max_frames": 0}, "at least 1"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MotionFeatureExtractor(**options)


def test_bad_motions(extractor: MotionFeatureExtractor) -> None:
    with pytest.raises(ValueError, match="empty list"):
        extractor([])
    with pytest.raises(ValueError, match="Motion 1 has a single frame"):
        extractor([CLIPS[0], CLIPS[0][:1]])
    with pytest.raises(ValueError, match="'kit-21'"):
        extractor(Motion(np.zeros((4, 21, 3)), skeleton="kit-21"))
    with pytest.raises(ValueError, match="NaN"):
        extractor(np.full((4, 22, 3), np.nan))
    with pytest.raises(ValueError, match="2 texts for 1 motions"):
        extractor.decode(torch.zeros(1, 4, 263), texts=["a", "b"])
    with pytest.raises(ValueError, match="263 wide"):
        extractor.decode(torch.zeros(1, 4, 251))
