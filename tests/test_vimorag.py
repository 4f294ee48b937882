"""VimoRAG: a language model that sees videos, whatever form it is saved in, and what finds videos for it."""

import copy
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_gemini_mvr import Standing, tiny
from test_video_index import Numbers
from tiny import seeded, tiny_language_model, tiny_pipeline
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    Phi3Config,
    Phi3ForCausalLM,
    VideoMAEConfig,
    VideoMAEModel,
    pipeline,
)
from video_clips import clip_bytes

from hf_motion import AutoMotionModel, MotionLanguageModel, MotionSystem, VimoRAGConfig, VimoRAGForCausalLM, VimoRAGProcessor
from hf_motion.models.vimorag.from_retriever import add_video_prefix
from hf_motion.retrieval.retrieved import RetrievedVideos
from hf_motion.retrieval.video_index import VideoIndex
from hf_motion.retrieval.video_retriever import RandomVideos, VideoRetriever
from hf_motion.trainers.motion_language import add_adapters
from hf_motion.video import Keypoints, VideoFrames

TEXTS = ["a person walks", "someone runs far away and jumps", "x"]
VISION = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}


def person(frames: int, seed: int = 0) -> Keypoints:
    points = np.random.default_rng(seed).random((frames, 17, 3)) * [64, 48, 0.3] + [0, 0, 0.7]
    return Keypoints(points, np.arange(frames), (64, 48), np.ones(frames), duration=float(frames))


def tiny_vimorag(**options: Any) -> MotionLanguageModel:
    """One of its own of what `made_vimorag` makes once."""
    return copy.deepcopy(made_vimorag(**options))


@functools.cache
def made_vimorag(towers: bool = False, **options: Any) -> MotionLanguageModel:
    """Sees keypoints, or with `towers` pictures, chunks of pictures and keypoints; large weights, so that what it sees matters."""
    more: dict[str, Any] = {}
    if towers:
        torch.manual_seed(0)
        more = {"image_tower": CLIPVisionModel(CLIPVisionConfig(**VISION)), "image_pooling": 4, "video_pooling": 4, "chunk_frames": 2}
        more["video_tower"] = VideoMAEModel(VideoMAEConfig(**VISION, num_frames=2, tubelet_size=2))
    model = tiny_language_model(**{"context": 512, **options})
    torch.manual_seed(1)
    made = add_video_prefix(model, tiny(), generator=seeded(), **more).eval()
    for parameter in made.language_model.model.video_prefix.projectors.parameters():
        torch.nn.init.normal_(parameter)
    for parameter in made.language_model.model.language_model.layers.parameters():
        torch.nn.init.normal_(parameter)
    if towers:
        images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        made.video_processor = VimoRAGProcessor(made.config, images, images, detector=Standing())
    return made


def codes(model: Any, texts: Sequence[str], videos: Any, **options: Any) -> list[torch.Tensor]:
    return model.generate_motion(
        texts,
        videos=videos,
        generator=[seeded(seed) for seed in range(len(texts))],
        output_type="codes",
        **{"temperature": 0.02, **options},
    )


def same(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


class TestModel:
    def test_a_language_model_is_itself_without_a_video(self) -> None:
        plain = tiny_language_model()
        before = codes(plain, TEXTS, None)
        ids = torch.arange(9)[None]
        logits = plain.language_model(ids).logits
        seeing = add_video_prefix(plain, tiny(), generator=seeded()).eval()
        torch.testing.assert_close(seeing.language_model(ids).logits[..., : logits.shape[-1]], logits)
        assert same(codes(seeing, TEXTS, None), before)
        assert "video" not in seeing.instructions("text_to_motion", text="x")

    def test_what_is_shown_matters_and_neighbours_do_not(self) -> None:
        model, videos = tiny_vimorag(), [person(8), person(12, 1), person(16, 2)]
        together = codes(model, TEXTS, videos)
        alone = [
            model.generate_motion(text, videos=video, generator=[seeded(seed)], output_type="codes", temperature=0.02)[0]
            for seed, (text, video) in enumerate(zip(TEXTS, videos, strict=True))
        ]
        assert same(alone, together)
        assert not same(codes(model, TEXTS, videos[::-1]), together)
        assert not same(codes(model, TEXTS, None), together)
        exact = model.generate_motion(TEXTS, [8, 12, 4], videos=person(10), seed=0)
        assert [len(motion) for motion in exact] == [8, 12, 4]
        cached = codes(model, TEXTS[:1], videos[:1], temperature=0.0)
        model.language_model.generation_config.use_cache = False
        uncached = codes(model, TEXTS[:1], videos[:1], temperature=0.0)
        assert same(cached, uncached)

    @pytest.mark.parametrize("options", [{"tied": False}, {"format": "integers", "context": 1024}, {"quantizers": 2}])
    def test_other_formats_see_too(self, options: dict[str, Any]) -> None:
        model = tiny_vimorag(**options)
        first, second = codes(model, TEXTS[:2], [person(8), person(9)]), codes(model, TEXTS[:2], [person(8), person(9)])
        assert same(first, second)
        assert all(clip.shape[0] == model.vq_model.config.num_quantizers and clip.shape[1] for clip in first)

    def test_saved_whole_as_adapters_and_merged_it_is_the_same(self, tmp_path: Path) -> None:
        model, videos = tiny_vimorag(), [person(8), person(12, 1), person(16, 2)]
        model.save_pretrained(tmp_path / "whole")
        assert "retriever=VideoIndex.from_pretrained" in (tmp_path / "whole" / "README.md").read_text()
        whole = AutoMotionModel.from_pretrained(tmp_path / "whole")
        assert same(codes(whole, TEXTS, videos), codes(model, TEXTS, videos))
        prefix = whole.language_model.model.video_prefix
        assert not any(parameter.requires_grad for parameter in prefix.towers.parameters())
        assert all(parameter.requires_grad for parameter in prefix.projectors.parameters())
        add_adapters(whole, 2)
        torch.manual_seed(0)
        for name, parameter in whole.language_model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
            if "modules_to_save" in name:
                parameter.data.mul_(1.5)
        trained = {name for name, parameter in whole.language_model.named_parameters() if parameter.requires_grad}
        assert not any("towers" in name for name in trained)
        assert sum("projectors.keypoints" in name for name in trained) == 4
        made = codes(whole.eval(), TEXTS, videos)
        assert not same(made, codes(model, TEXTS, videos))
        whole.save_pretrained(tmp_path / "adapters")
        assert not (tmp_path / "adapters" / "model.safetensors").exists()
        adapted = MotionLanguageModel.from_pretrained(tmp_path / "adapters")
        assert adapted.has_adapters
        assert same(codes(adapted, TEXTS, videos), made)
        merged = adapted.merge_adapters()
        assert same(codes(merged, TEXTS, videos), made)
        merged.save_pretrained(tmp_path / "merged")
        assert same(codes(MotionLanguageModel.from_pretrained(tmp_path / "merged"), TEXTS, videos), made)
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        assert isinstance(plain, VimoRAGForCausalLM)
        door = json.loads((tmp_path / "merged" / "config.json").read_text())["auto_map"]
        assert door["AutoModelForCausalLM"] == "hf_motion_remote.VimoRAGForCausalLM"

    def test_published_towers_take_the_same_way(self, tmp_path: Path) -> None:
        model = tiny_vimorag(towers=True)
        assert model.config.towers == ("images", "videos", "keypoints")
        assert model.config.prefix_length(8) == 16 + 16 // 2 + 8
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(clip_bytes(20))
        made = codes(model, TEXTS[:2], [clip, clip.read_bytes()])
        model.save_pretrained(tmp_path / "whole")
        again = MotionLanguageModel.from_pretrained(tmp_path / "whole")
        again.video_processor.detector = Standing()
        assert same(codes(again, TEXTS[:2], [clip, clip.read_bytes()]), made)
        with pytest.raises(ValueError, match=r"and motions have none\. Pass a video"):
            codes(again, TEXTS[:1], [person(8)])
        pixels = torch.zeros(1, 16, 3, 32, 32)
        prefix = model.language_model.model.video_prefix
        with pytest.raises(ValueError, match="wrong for videos and keypoints"):
            prefix(pixel_values=pixels)
        with pytest.raises(ValueError, match=r"Frames must be \(videos, 16, 3"):
            prefix(torch.zeros(1, 8, 51), None, pixels[:, :3], pixels)

    def test_published_counts(self) -> None:
        image = CLIPVisionConfig(image_size=336, patch_size=14, hidden_size=1024, num_attention_heads=16)
        video = CLIPVisionConfig(image_size=224, patch_size=14, hidden_size=1408, num_attention_heads=16)
        config = VimoRAGConfig(Phi3Config(), image_config=image, video_config=video)
        assert config.prefix_length(0) == 16 * 144 + 16 * 64 == 3328

    def test_other_decoders_are_taken_over_and_odd_heads_refused(self) -> None:
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 30}
        phi = Phi3ForCausalLM(Phi3Config(**sizes, num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=2))
        ids = torch.arange(5)[None]
        expected = phi.eval()(ids).logits
        made = VimoRAGForCausalLM.from_language_model(phi, keypoint_config=tiny_vimorag().config.keypoint_config, video_token_id=29)
        torch.testing.assert_close(made(ids).logits, expected)
        phi.lm_head.weight.data.add_(1)
        scaled = Phi3ForCausalLM(phi.config)
        scaled.lm_head = torch.nn.Linear(16, 30, bias=True)
        with pytest.raises(ValueError, match="does more than a product"):
            VimoRAGForCausalLM.from_language_model(scaled, keypoint_config=made.config.keypoint_config)
        with pytest.raises(ValueError, match="is an encoder-decoder"):
            add_video_prefix(tiny_language_model("t5"), tiny())

    def test_configurations_that_do_not_fit(self) -> None:
        action = tiny_vimorag().config.keypoint_config
        with pytest.raises(ValueError, match="needs a tower"):
            VimoRAGConfig()
        with pytest.raises(ValueError, match="num_frames is 20"):
            VimoRAGConfig(keypoint_config=action, num_frames=20)
        with pytest.raises(ValueError, match="chunk_frames=3 must divide"):
            VimoRAGConfig(keypoint_config=action, chunk_frames=3)
        with pytest.raises(ValueError, match="sees 8 frames at a time"):
            VimoRAGConfig(video_config={"model_type": "videomae", **VISION, "num_frames": 8})
        with pytest.raises(ValueError, match="by 3 must divide the tower's 4"):
            VimoRAGConfig(image_config=VISION, image_pooling=3)
        assert isinstance(AutoConfig.for_model("vimorag", keypoint_config=action.to_dict()), VimoRAGConfig)


class TestBadVideos:
    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"nothing", "bad.mp4"), (b"", "is empty"), (None, "There is no file"), ("blank", "shows a person in 0 of 8"),
         ("one", "shows a person in 0 of 1 frames")],
    )  # fmt: skip
    def test_files_are_named(self, tmp_path: Path, content: Any, message: str) -> None:
        model, path = tiny_vimorag(), tmp_path / "bad.mp4"
        if content is not None:
            path.write_bytes(clip_bytes({"blank": 20, "one": 1}[content]) if isinstance(content, str) else content)
        with pytest.raises((ValueError, OSError), match=message):
            model.generate_motion("a person walks", videos=path)

    def test_other_mistakes(self) -> None:
        model = tiny_vimorag()
        with pytest.raises(ValueError, match="2 videos for 1 texts"):
            model.generate_motion("x", videos=[person(8), person(8)])
        with pytest.raises(ValueError, match="holds '<video>'"):
            model.generate_motion("a <video> plays", videos=person(8))
        with pytest.raises(ValueError, match="frames, Keypoints or a Motion, got a int"):
            model.generate_motion("x", videos=3)
        with pytest.raises(ValueError, match="does not see videos"):
            tiny_language_model().generate_motion("x", videos=person(8))
        with pytest.raises(ValueError, match="sees videos already"):
            add_video_prefix(model, tiny())
        ids = torch.full((1, 5), model.config.video_token_id)
        with pytest.raises(ValueError, match=r"places for \[5\] vectors of videos, the videos have \[8\]"):
            model.language_model(ids, motion_features=torch.zeros(1, 8, 51))
        with pytest.raises(ValueError, match=r"The prompt .* tokens"):
            tiny_vimorag(context=100).generate_motion("a person walks", videos=person(16))
        frames = np.zeros((3, 48, 64, 3), np.uint8)
        model.video_processor.detector = Standing()
        shown = model.video_processor.read(frames)
        assert shown.length == model.video_processor.read(VideoFrames(frames, np.arange(3.0), 1.0, 3.0)).length == 3
        assert model.video_processor.read(person(40)).length == 16


@dataclass
class Sentences(Numbers):
    """Embeds sentences by their length, so that queries and entries are numbers of one kind."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed_items([len(text) * 7 for text in texts])[0]


def index_of(folder: Path, count: int = 4) -> VideoIndex:
    """Files of keypoints, one of which is missing and one empty of people."""
    embedder, made = Sentences(), []
    numbers = [len(text) * 7 for text in TEXTS] + [700 + 7 * number for number in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        person(8, number).save(folder / f"{number}.npz")
        made.append({"id": f"{number}.npz", "path": str(folder / f"{number}.npz"), "start": 1.5})
    vectors, scales, _ = embedder.embed_items(numbers)
    return VideoIndex.of(vectors, scales / scales * 10, made, embedder)


class TestRetriever:
    def test_pipeline_shows_what_it_finds(self, tmp_path: Path) -> None:
        model, index = tiny_vimorag(), index_of(tmp_path)
        model.save_pretrained(tmp_path / "model")
        retriever = VideoRetriever(index, Sentences())
        pipe = pipeline("text-to-motion", model=str(tmp_path / "model"), retriever=retriever)
        told = pipe(TEXTS, num_frames=8, seed=0, return_retrieved=True)
        for text, one in zip(TEXTS, told, strict=True):
            assert one["motion"].text == text
            first = one["retrieved"][0]
            assert first["id"] == f"{len(text) * 7}.npz"
            assert (first["start"], first["shown"]) == (1.5, True)
            assert first["score"] == pytest.approx(20, abs=0.1)
            assert not any(video["shown"] for video in one["retrieved"][1:])
        shown = [Path(one["retrieved"][0]["path"]) for one in told]
        direct = pipe(TEXTS, num_frames=8, seed=0, retriever=None, videos=shown)
        assert all(np.array_equal(one["motion"].joints, two.joints) for one, two in zip(told, direct, strict=True))
        without = pipe(TEXTS[0], num_frames=8, seed=0, retriever=None, return_retrieved=True)
        assert without["retrieved"] == []
        by_chance = pipe(TEXTS, num_frames=8, seed=0, retriever=RandomVideos(index, 3), return_retrieved=True)
        again = pipe(TEXTS[1], num_frames=8, seed=0, retriever=RandomVideos(index, 3), return_retrieved=True)
        assert [video["id"] for video in again["retrieved"]] == [video["id"] for video in by_chance[1]["retrieved"]]
        assert len({video["id"] for video in again["retrieved"]}) == 5

    def test_videos_that_cannot_be_used_are_passed_over(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        model, index = tiny_vimorag(), index_of(tmp_path / "videos")
        pipe = pipeline("text-to-motion", model=model, retriever=VideoRetriever(index, Sentences()))
        (tmp_path / "videos" / f"{len(TEXTS[0]) * 7}.npz").unlink()
        told = pipe(TEXTS[0], num_frames=8, seed=0, return_retrieved=True)
        assert [video["shown"] for video in told["retrieved"]] == [False, True, False, False, False]
        assert "is passed over" in caplog.text
        moved = (tmp_path / "videos").rename(tmp_path / "moved")
        with pytest.raises(ValueError, match=r"None of 5 videos found .* VideoRetriever\(index, videos=folder\)"):
            pipe(TEXTS[1], num_frames=8, seed=0)
        found = pipe(TEXTS[1], num_frames=8, seed=0, retriever=VideoRetriever(index, Sentences(), moved), return_retrieved=True)
        assert found["retrieved"][0]["shown"]

    def test_what_does_not_fit_is_said(self, tmp_path: Path) -> None:
        index, model = index_of(tmp_path), tiny_vimorag()
        pipe = pipeline("text-to-motion", model=model)
        with pytest.raises(ValueError, match="not with the retriever inside the package"):
            pipe(TEXTS[0], retriever=index)
        with pytest.raises(ValueError, match="the index is empty"):
            RandomVideos(VideoIndex.empty(Sentences()))
        with pytest.raises(ValueError, match="the index is empty"):
            VideoRetriever(VideoIndex.empty(Sentences()), Sentences()).retrieve(TEXTS)
        with pytest.raises(ValueError, match="a dict does not"):
            pipe(TEXTS[0], retriever={})
        with pytest.raises(ValueError, match="finds videos for texts"):
            pipe(TEXTS[0], retriever=VideoRetriever(index, Sentences()), videos=person(8))
        system = pipeline("text-to-motion", model=MotionSystem.from_pipeline(tiny_pipeline()))
        with pytest.raises(ValueError, match="does not see videos"):
            system(TEXTS[0], retriever=VideoRetriever(index, Sentences()))

    def test_pairs_of_texts_and_videos_are_a_data_set(self, tmp_path: Path) -> None:
        retriever = VideoRetriever(index_of(tmp_path / "videos"), Sentences())
        found = RetrievedVideos.of(retriever, [*TEXTS, TEXTS[0]], k=2, show_progress=False)
        found.save(tmp_path / "found")
        again = RetrievedVideos.load(tmp_path / "found")
        assert again.rows == found.rows
        assert len(again) == 3
        assert Path(again.paths(TEXTS[0])[0]).name == f"{len(TEXTS[0]) * 7}.npz"
        assert again.videos(TEXTS[0])[0]["start"] == 1.5
        with pytest.raises(ValueError, match="No video was looked for with 'y'"):
            again.videos("y")
        with pytest.raises(FileNotFoundError, match="holds no parquet file"):
            RetrievedVideos.load(tmp_path / "videos")
