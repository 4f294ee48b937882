"""Editing with `MDMPipeline`: what is kept, what is made, and the borders between them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks.prompts import raised
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler
from tiny import FIXTURES, seeded, tiny_pipeline
from transformers import pipeline

from hf_motion import MDMDenoiser, MDMPipeline, Motion, MotionFeatureExtractor, load_embedded_pipeline
from hf_motion.pipelines.editing import edit_mask, join_motions
from hf_motion.skeletons import HUMANML3D_22, KIT_21

CLIPS = {
    row.id: Motion(row.joints.reshape(-1, 22, 3), fps=row.fps, text=row.captions[0]["text"])
    for row in pd.read_parquet(FIXTURES / "clips.parquet").itertuples()
}
WALK = CLIPS["cmuact_test_walking_6_c0"]
TURN = CLIPS["bnr_dataset-2_walk-turn-left_normal_001"]
WAVE = CLIPS["bnr_dataset-2_wave-right-hand_active_002"]
CARTWHEEL = CLIPS["cmu_49_06"]
MILLIMETRE = 1e-3


@pytest.fixture(scope="module")
def pipe() -> MDMPipeline:
    pipe = tiny_pipeline(steps=4)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def trained() -> MDMPipeline:
    pipe = load_embedded_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def edit(pipe: MDMPipeline, motion: Motion, **options: Any) -> Motion:
    return pipe("a person walks", motion=motion, generator=seeded(), **options).motions[0]


def error(motion: Motion, clip: Motion, mask: np.ndarray) -> float:
    """Largest distance of a kept joint from where it was, metres."""
    return float(np.linalg.norm(motion.joints - clip.joints, axis=-1)[mask].max())


def bones(motion: Motion) -> np.ndarray:
    return np.linalg.norm(motion.joints[:, 1:] - motion.joints[:, list(motion.skeleton.parents[1:])], axis=-1)


def stretch(motion: Motion, clip: Motion) -> float:
    """Largest difference of a bone from its median length in the clip, metres."""
    return float(np.abs(bones(motion) - np.median(bones(clip), axis=0)).max())


def turned(motion: Motion, angle: float, shift: tuple[float, float, float] = (0, 0, 0), scale: float = 1) -> Motion:
    matrix = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return replace(motion, joints=scale * motion.joints @ matrix.T + np.array(shift))


def acceleration(motion: Motion) -> np.ndarray:
    """Of the fastest changing joint, m/s^2; entry i belongs to frame i + 1."""
    return np.linalg.norm(np.diff(motion.joints, 2, axis=0), axis=-1).max(-1) * motion.fps**2


def plain_loop(pipe: MDMPipeline, prompt: str, frames: int, scale: float) -> torch.Tensor:
    """Guided ancestral sampling and nothing else."""
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=seeded())))
    states, _ = pipe.encode_prompt([prompt])
    condition = pipe.denoiser.encode_condition(torch.cat((torch.zeros_like(states), states)), None)
    latents = torch.randn(1, pipe.feature_extractor.max_frames, 263, generator=generator)
    pipe.scheduler.set_timesteps(pipe.scheduler.config.num_train_timesteps)
    for timestep in pipe.scheduler.timesteps:
        free, guided = pipe.denoiser(latents[:, :frames], timestep, condition=condition).sample.chunk(2)
        prediction = torch.nn.functional.pad(free + scale * (guided - free), (0, 0, 0, latents.shape[1] - frames))
        latents = pipe.scheduler.step(prediction, timestep, latents, generator=[generator]).prev_sample
    return latents[:, :frames]


def test_generation_without_editing_is_bit_for_bit_the_plain_loop(pipe: MDMPipeline) -> None:
    with torch.no_grad():
        expected = plain_loop(pipe, "a person walks", 30, 2.5)
    made = pipe("a person walks", 30, generator=seeded(), output_type="latent").motions
    assert torch.equal(made, expected)


@pytest.mark.parametrize("skeleton", [HUMANML3D_22, KIT_21])
def test_body_parts(skeleton: Any) -> None:
    parts = skeleton.body_parts
    assert set(parts) == {"upper_body", "lower_body", "torso", "head", "left_arm", "right_arm", "left_leg", "right_leg"}
    assert sorted(parts["upper_body"] + parts["lower_body"]) == list(range(1, len(skeleton)))
    assert set(parts["upper_body"]) == {*parts["torso"], *parts["head"], *parts["left_arm"], *parts["right_arm"]}
    for limb in ("arm", "leg"):
        assert sorted(skeleton.mirror[joint] for joint in parts[f"left_{limb}"]) == sorted(parts[f"right_{limb}"])
    assert skeleton.joint("left_wrist") in parts["left_arm"]


def test_masks_add_up() -> None:
    mask = edit_mask(40, body_part=["left_arm", "head"], keep_start=0.5, keep_end=0.25)
    assert mask.dtype == bool
    assert mask[:10].all()
    assert mask[-5:].all()
    edited = sorted(HUMANML3D_22.joint(name) for name in ("left_shoulder", "left_elbow", "left_wrist", "head"))
    assert np.flatnonzero(~mask[20]).tolist() == edited
    assert not edit_mask(40, keep_end=1)[:20].any()


SCATTERED = np.isin(np.arange(36), [3, 4, 5, 12, 20, 21, 35])
EDITS: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "in-between": ({}, np.isin(np.arange(36), [*range(9), *range(27, 36)])),
    "start": ({"keep_start": 0.5}, np.arange(36) < 10),
    "end": ({"keep_end": 0.5}, np.arange(36) >= 26),
    "both": ({"keep_start": 0.25, "keep_end": 1}, (np.arange(36) < 5) | (np.arange(36) >= 16)),
    "frames": ({"mask": SCATTERED}, SCATTERED),
    "a part for some frames": ({"body_part": "left_arm", "keep_start": 1}, edit_mask(36, body_part="left_arm", keep_start=1)),
    **{part: ({"body_part": part}, edit_mask(36, body_part=part)) for part in HUMANML3D_22.body_parts},
}


@pytest.mark.parametrize("clip", [WALK[:36], TURN[10:46], CARTWHEEL[20:56]], ids=["walk", "turn", "cartwheel"])
@pytest.mark.parametrize("name", EDITS)
def test_what_is_kept_stays_and_bones_hold(pipe: MDMPipeline, name: str, clip: Motion) -> None:
    options, mask = EDITS[name]
    mask = np.broadcast_to(mask.reshape(36, -1), (36, 22))
    motion = edit(pipe, clip, **options)
    assert len(motion) == 36
    assert error(motion, clip, mask) < MILLIMETRE
    assert np.linalg.norm(motion.joints - clip.joints, axis=-1)[~mask].max() > 0.05
    # The spine between pelvis, arms and head is brought to length by iteration, other bones exactly.
    assert stretch(motion, clip) < (0.01 if name == "torso" else 0.002) + stretch(clip, clip)


def test_longer_and_shorter(pipe: MDMPipeline) -> None:
    longer = edit(pipe, WALK[:20], num_frames=40, keep_start=0.5, keep_end=0.5)
    np.testing.assert_allclose(longer.joints[:10], WALK.joints[:10], atol=MILLIMETRE)
    np.testing.assert_allclose(longer.joints[-10:], WALK.joints[10:20], atol=MILLIMETRE)
    extended = edit(pipe, WALK, num_frames=30, keep_start=0.5)
    np.testing.assert_allclose(extended.joints[:10], WALK.joints[:10], atol=MILLIMETRE)
    pose = edit(pipe, WALK[:1], num_frames=12, keep_start=0.05)
    np.testing.assert_allclose(pose.joints[0], WALK.joints[0], atol=MILLIMETRE)
    assert len(pose) == 12


def test_place_heading_and_size_of_the_clip_are_kept(pipe: MDMPipeline) -> None:
    """The same clip elsewhere, facing another way, or of a bigger person, gives the same motion there."""
    for options in ({}, {"keep_start": 0.5}, {"keep_end": 0.5}, {"body_part": "upper_body"}):
        motion = edit(pipe, TURN[:40], **options)
        for angle in (2.0, np.pi):
            moved = edit(pipe, turned(TURN[:40], angle, (30, 1, -20)), **options)
            np.testing.assert_allclose(moved.joints, turned(motion, angle, (30, 1, -20)).joints, atol=2e-3)
        bigger = edit(pipe, turned(TURN[:40], 0, scale=1.5), **options)
        np.testing.assert_allclose(bigger.joints, 1.5 * motion.joints, atol=2e-3)


def test_other_frame_rate(pipe: MDMPipeline) -> None:
    fast = Motion(np.repeat(WALK.joints[:20], 3, axis=0), fps=60)
    motion = edit(pipe, fast)
    resampled = fast.resample(20)
    assert motion.fps == 20
    assert len(motion) == len(resampled)
    np.testing.assert_allclose(motion.joints[:5], resampled.joints[:5], atol=MILLIMETRE)


def test_everything_known_comes_back(pipe: MDMPipeline) -> None:
    clip = TURN[:36]
    np.testing.assert_array_equal(edit(pipe, clip, mask=np.ones(36, dtype=bool)).joints, clip.joints)


def test_a_kept_joint_keeps_the_root(pipe: MDMPipeline) -> None:
    mask = np.zeros((36, 22), dtype=bool)
    mask[:, [20, 21]] = True
    motion = edit(pipe, WALK[:36], mask=torch.from_numpy(mask))
    mask[:, 0] = True
    assert error(motion, WALK[:36], mask) < MILLIMETRE


def test_known_features(pipe: MDMPipeline) -> None:
    clip = WALK[:36]
    latents = edit_latents(pipe, clip)
    known = pipe.feature_extractor(clip)["motion_features"][0]
    torch.testing.assert_close(latents[0, :8], known[:8], atol=1e-5, rtol=1e-4)
    features = pipe("a person walks", motion=clip, generator=seeded(), output_type="features").motions[0]
    torch.testing.assert_close(features, pipe.feature_extractor.denormalize(latents)[0])
    decoded = pipe.feature_extractor.features.decode(pipe.feature_extractor.denormalize(latents))[0].numpy()
    start = pipe.feature_extractor.features.canonicalize(torch.from_numpy(clip.joints))
    # Root steps of the made part lead to where the clip ends.
    np.testing.assert_allclose(decoded[27:], start[27:], atol=2e-3)


def edit_latents(pipe: MDMPipeline, clip: Motion) -> torch.Tensor:
    return pipe("a person walks", motion=clip, generator=seeded(), output_type="latent").motions


def test_seed_decides_and_neighbours_do_not(pipe: MDMPipeline) -> None:
    clips = [WALK[:20], TURN[:38], CARTWHEEL[:30]]
    masks = [edit_mask(20, keep_start=0.3), edit_mask(38, body_part="torso"), edit_mask(30, body_part="left_leg", keep_end=0.5)]
    texts = ["a person walks", "someone turns", "x"]
    alone = [
        pipe(text, motion=clip, mask=mask, generator=[seeded(index)]).motions[0]
        for index, (text, clip, mask) in enumerate(zip(texts, clips, masks, strict=True))
    ]
    for _ in range(2):
        together = pipe(texts, motion=clips, mask=masks, generator=[seeded(index) for index in range(3)]).motions
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one.joints, other.joints, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_short_new_ends_do_not_see_the_padding(pipe: MDMPipeline, frames: int) -> None:
    clips, mask = [WALK[:20], TURN[:38]], np.arange(20) < 20 - frames
    masks = [mask, edit_mask(38, body_part="head")]
    alone = pipe("a", motion=WALK[:20], mask=mask, generator=[seeded()]).motions[0]
    among = pipe(["a", "b"], motion=clips, mask=masks, generator=[seeded(), seeded(1)]).motions[0]
    np.testing.assert_allclose(among.joints, alone.joints, atol=1e-4)
    assert stretch(among, WALK[:20]) < 0.002 + stretch(WALK[:20], WALK[:20])


def test_repetitions(pipe: MDMPipeline) -> None:
    motions = pipe(["a", "b"], motion=[WALK[:20], TURN[:30]], keep_start=0.5, num_motions_per_prompt=2, generator=seeded()).motions
    assert [(len(motion), motion.text) for motion in motions] == [(20, "a"), (20, "a"), (30, "b"), (30, "b")]
    for motion, clip in zip(motions, (WALK, WALK, TURN, TURN), strict=True):
        np.testing.assert_allclose(motion.joints[:10], clip.joints[:10], atol=MILLIMETRE)
    assert np.abs(motions[0].joints - motions[1].joints).max() > 1e-2


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler])
def test_other_schedulers(scheduler: Any) -> None:
    pipe = tiny_pipeline(steps=50)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    motion = edit(pipe, WALK[:36], num_inference_steps=4)
    assert error(motion, WALK[:36], np.broadcast_to(EDITS["in-between"][1][:, None], (36, 22))) < MILLIMETRE


def test_a_data_set_in_millimetres() -> None:
    """KIT-ML's skeleton: other joints, 12.5 frames per second, features in millimetres, no retargeting."""
    tiny = tiny_pipeline(steps=2)
    extractor = MotionFeatureExtractor(skeleton="kit-21", std=[100.0] * 251, max_frames=40)
    size = {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 24, "text_dim": 8}
    denoiser = MDMDenoiser(num_features=251, **size).eval()
    pipe = MDMPipeline(denoiser, tiny.text_encoder, tiny.tokenizer, tiny.scheduler, extractor, 22)
    rng = np.random.default_rng(0)
    pose = np.zeros((21, 3))
    for joint, parent in enumerate(KIT_21.parents[1:], start=1):
        pose[joint] = pose[parent] + 0.2 * np.array(KIT_21.rest_directions[joint])
    clip = Motion(pose + rng.normal(size=(1, 21, 3)) / 20 + np.linspace(0, 1, 30)[:, None, None], fps=12.5, skeleton="kit-21")
    motion = edit(pipe, clip)
    kept = np.isin(np.arange(30), [*range(7), *range(23, 30)])
    assert error(motion, clip, np.broadcast_to(kept[:, None], (30, 21))) < MILLIMETRE
    assert stretch(motion, clip) < 0.002
    arm = edit(pipe, clip, body_part="left_arm")
    assert error(arm, clip, edit_mask(30, KIT_21, body_part="left_arm")) < MILLIMETRE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motion": WALK[:36], "body_part": "tail"}, "Unknown body part 'tail'. .* has: upper_body, lower_body, torso, head"),
        ({"motion": WALK[:36], "body_part": []}, "body_part is empty"),
        ({"motion": WALK[:36].joints}, "must hold Motion objects, got ndarray"),
        ({"motion": [WALK[:36]] * 2}, "2 clips for 1 prompts"),
        ({"motion": Motion(np.zeros((9, 21, 3)), skeleton="kit-21")}, "'kit-21'. Map its joints first"),
        ({"motion": WALK}, r"motion\[0\] has 60 frames at 20 fps, this model makes up to 40"),
        ({"motion": WALK, "body_part": "head"}, "60 frames at 20 fps, this model makes up to 40"),
        ({"mask": np.ones(36, dtype=bool)}, "mask need motion="),
        ({"keep_start": 1, "body_part": "head"}, "body_part, keep_start need motion="),
        ({"motion": WALK[:36], "mask": np.ones(35, dtype=bool)}, r"shape \(35,\).* must be \(36,\) or \(36, 22\)"),
        ({"motion": WALK[:36], "mask": np.ones((36, 21), dtype=bool)}, r"shape \(36, 21\)"),
        ({"motion": WALK[:36], "mask": np.ones(36)}, "array of bool.* got float64"),
        ({"motion": WALK[:36], "mask": [np.ones(36, dtype=bool)] * 2}, "list of 2 for 1 prompts"),
        ({"motion": WALK[:36], "mask": [True] * 36}, "list of 36 for 1 prompts"),
        ({"motion": WALK[:36], "mask": np.zeros(36, dtype=bool)}, "keeps nothing"),
        ({"motion": WALK[:36], "mask": np.ones(36, dtype=bool), "body_part": "head"}, "leave out body_part"),
        ({"motion": WALK[:36], "body_part": "head", "num_frames": 20}, "num_frames is 20, .* 36 frames"),
        ({"motion": WALK[:36], "keep_start": 0, "keep_end": 0}, "both 0"),
        ({"motion": WALK[:36], "keep_start": 1, "keep_end": 1}, "20 and 20 frames at 20 fps, .* has 36"),
        ({"motion": WALK[:36], "keep_start": 1.8}, "nothing is left to make"),
        ({"motion": WALK[:36], "keep_start": 1, "num_frames": 20}, "nothing is left to make"),
        ({"motion": WALK[:36], "keep_start": -1}, "keep_start must be a number of seconds of at least 0, got -1"),
        ({"motion": WALK[:36], "keep_end": float("nan")}, "keep_end must be a number"),
        ({"motion": WALK[:36], "keep_end": "1"}, "keep_end must be a number"),
        ({"motion": WALK[:36], "num_frames": 41, "keep_start": 1}, "from 1 to 40, got 41"),
        ({"motion": WALK[:36], "end_motion": TURN, "body_part": "head"}, "body_part edits one clip"),
        ({"motion": WALK[:36], "end_motion": [TURN] * 2}, "end_motion has 2 clips for 1"),
    ],
)
def test_bad_input(pipe: MDMPipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe("a person walks", generator=seeded(), **options)


def test_broken_clip(pipe: MDMPipeline) -> None:
    clip = WALK[:36]
    clip.joints[3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 36 frames, first in frame 3"):
        edit(pipe, clip)


def rigid_error(part: np.ndarray, clip: np.ndarray) -> float:
    """How far joints are from those of a clip after the best turn about the vertical and move over the floor, metres."""
    one, other = (joints - joints.reshape(-1, 3).mean(0) * (1, 0, 1) for joints in (part, clip))
    plane = [joints[..., 0] + 1j * joints[..., 2] for joints in (one, other)]
    turn = (plane[0] * plane[1].conj()).sum()
    return float(max(np.abs(plane[0] - plane[1] * turn / abs(turn)).max(), np.abs(one[..., 1] - other[..., 1]).max()))


def test_transition(pipe: MDMPipeline) -> None:
    motion = pipe("a", 40, motion=WALK, end_motion=TURN, keep_start=0.5, keep_end=0.75, generator=seeded()).motions[0]
    np.testing.assert_allclose(motion.joints[:10], WALK.joints[-10:], atol=MILLIMETRE)
    assert rigid_error(motion.joints[-15:], TURN.joints[:15]) < MILLIMETRE
    assert len(pipe("a", motion=WALK[:5], end_motion=TURN[:5], generator=seeded()).motions[0]) == 40


def test_joined_clips_are_whole(pipe: MDMPipeline) -> None:
    clips = [WALK, CARTWHEEL, Motion(np.repeat(TURN.joints, 2, axis=0), fps=40, text=TURN.text), WAVE[:4]]
    joined = join_motions(pipe, clips, ["x", "y", "z"], [0.5, 1, 0.25], context_seconds=0.5, generator=seeded())
    resampled = [clip.resample(20) for clip in clips]
    assert len(joined) == sum(map(len, resampled)) + 10 + 20 + 5
    assert joined.text == ", then ".join([WALK.text, "x", CARTWHEEL.text, "y", TURN.text, "z", WAVE.text])
    np.testing.assert_array_equal(joined.joints[:60], WALK.joints)
    start = 0
    for clip, gap in zip(resampled, (10, 20, 5, 0), strict=True):
        assert rigid_error(joined.joints[start : start + len(clip)], clip.joints) < MILLIMETRE
        start += len(clip) + gap
    again = join_motions(pipe, clips, ["x", "y", "z"], [0.5, 1, 0.25], context_seconds=0.5, generator=seeded(), batch_size=2)
    np.testing.assert_allclose(again.joints, joined.joints, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pipe: join_motions(pipe, [WALK], "a"), "at least two clips, got 1"),
        (lambda pipe: join_motions(pipe, [WALK, TURN], ["a", "b"]), "1 transitions between them, texts has 2"),
        (lambda pipe: join_motions(pipe, [WALK, TURN], "a", [1, 1]), "transition_seconds has 2"),
        (lambda pipe: join_motions(pipe, [WALK, TURN], "a", 0), "above 0"),
        (lambda pipe: join_motions(pipe, [WALK, TURN], "a", 10), "200 frames at 20 fps leaves no room .* up to 40 frames"),
        (lambda pipe: edit_mask(20, keep_start=0.6, keep_end=0.6), "24 frames at 20 fps, the clip has 20"),
    ],
)
def test_bad_joins_and_masks(pipe: MDMPipeline, call: Callable[[MDMPipeline], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(pipe)


def test_task_takes_one_clip_per_text(pipe: MDMPipeline, tmp_path: Any) -> None:
    pipe.save_pretrained(tmp_path)
    task = pipeline("text-to-motion", model=str(tmp_path))
    clips = [WALK[:30], TURN[:20], CARTWHEEL[:25]]
    motions = task(["a", "b", "c"], motion=clips, keep_start=0.5, generator=seeded(), batch_size=2)
    for motion, clip in zip(motions, clips, strict=True):
        assert len(motion) == len(clip)
        np.testing.assert_allclose(motion.joints[:10], clip.joints[:10], atol=MILLIMETRE)
    with pytest.raises(ValueError, match="motion has 3 entries for 2 texts"):
        task(["a", "b"], motion=clips)


def test_no_jump_at_the_borders(trained: MDMPipeline) -> None:
    """The trained model in-betweens and joins no more abruptly than the clip, or what it makes itself, moves."""
    clips = [WALK, TURN, CARTWHEEL]
    for clip, motion in zip(clips, trained([clip.text for clip in clips], motion=clips, generator=seeded()).motions, strict=True):
        start, end = len(clip) // 4, len(clip) - len(clip) // 4
        made = acceleration(motion)
        seams = max(made[start - 3 : start + 3].max(), made[end - 4 : end + 2].max())
        assert seams < 1.2 * max(acceleration(clip).max(), made[start + 3 : end - 4].max())
    joined = acceleration(join_motions(trained, [WALK, TURN], "a person walks forward", generator=seeded()))
    assert max(joined[57:63].max(), joined[76:82].max()) < 1.2 * max(acceleration(WALK).max(), acceleration(TURN).max())


def test_the_new_part_follows_the_text(trained: MDMPipeline) -> None:
    prompts = ["a person waves the left hand", "a person waves the right hand"] * 2
    motions = trained(prompts, motion=WALK, body_part="upper_body", generator=seeded()).motions
    assert raised(WALK) == set()
    named = [{"left"}, {"right"}] * 2
    found = [raised(motion) for motion in motions]
    assert all(side <= both for side, both in zip(named, found, strict=True)), found
    assert sum(side == both for side, both in zip(named, found, strict=True)) >= 3, found
    mask = edit_mask(60, body_part="upper_body")
    assert max(error(motion, WALK, mask) for motion in motions) < MILLIMETRE
