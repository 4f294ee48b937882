"""The index of videos: exact, the same bytes for one and two processes, edited without surprises, opened only by its own model."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from test_gemini_mvr import CLIP, TEXT, Standing, tiny
from typer.testing import CliRunner
from video_clips import clip_bytes

from hf_motion import GeminiMVRProcessor, MotionTextEmbedder
from hf_motion.checkpoints import EMBEDDED_EVALUATOR, EMBEDDED_MVR, EMBEDDED_TMR
from hf_motion.cli import app
from hf_motion.data.motion_text import load_motion_rows, read_row
from hf_motion.retrieval.index_card import write_index_card
from hf_motion.retrieval.video_building import GeminiMVREmbedder, MotionIndexEmbedder, build_video_index, find_videos
from hf_motion.retrieval.video_codes import VideoCodes
from hf_motion.retrieval.video_index import VideoIndex
from hf_motion.retrieval.video_retriever import VideoRetriever
from hf_motion.trainers.new_pipeline import train_clip_tokenizer
from hf_motion.video import Keypoints
from hf_motion.video.cameras import film_motion

ROOT = Path(__file__).parents[1]
CLIPS, EVALUATION = ROOT / "tests" / "fixtures" / "clips.parquet", ROOT / "tests" / "fixtures" / "evaluation_clips.parquet"
FIXTURES = Path(__file__).parent / "fixtures" / "video"
SENTENCES = ["a person waves", "someone walks forward", "a man jumps"]


class Numbers:
    """Embeds numbers: two parts of 8 and 4, drawn from the number."""

    name, digest, parts, kind = "numbers", "1" * 64, (8, 4), "video"

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed_items([int(text) for text in texts])[0]

    def embed_items(self, items: Sequence[int]) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
        vectors, scales = np.zeros((len(items), 12), np.float32), np.zeros((len(items), 2), np.float32)
        for row, item in enumerate(items):
            if item % 7 == 6:
                raise ValueError(f"{item} cannot be used.")
            generator = np.random.default_rng(item)
            for part in (slice(0, 8), slice(8, 12)):
                vector = generator.normal(size=part.stop - part.start)
                vectors[row, part] = vector / np.linalg.norm(vector)
            scales[row] = generator.uniform(0.2, 50, 2)
        return vectors, scales, [{"duration": 2.0}] * len(items)


def rows(count: int = 20, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": f"v{number}", "item": number, "source": "even" if number % 2 == 0 else "odd"} for number in range(first, first + count)]


def built(folder: Path, count: int = 20, **options: Any) -> VideoIndex:
    return build_video_index(rows(count), Numbers(), folder, shard_size=6, show_progress=False, **options).index


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_scores_are_equation_two_and_exact(tmp_path: Path) -> None:
    index, embedder = built(tmp_path), Numbers()
    queries = embedder.embed_texts(["100", "101"])
    used = [number for number in range(20) if number % 7 != 6]
    vectors, scales, _ = embedder.embed_items(used)
    vectors = vectors.astype(np.float16).astype(np.float64)
    expected = (queries[:, :8] @ vectors[:, :8].T) * scales[:, 0] + (queries[:, 8:] @ vectors[:, 8:].T) * scales[:, 1]
    for hits, scores in zip(index.search(queries, k=5), expected, strict=True):
        assert [hit.about["id"] for hit in hits] == [f"v{used[row]}" for row in np.argsort(-scores)[:5]]
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:5], rtol=1e-4, atol=1e-3)
    assert len(index.search(queries, k=100)[0]) == len(index) == 18
    odd = index.search(queries, k=3, keep=index.where(source="odd"))[0]
    assert {hit.about["source"] for hit in odd} == {"odd"}
    assert odd[0].score == max(hit.score for hit in index.search(queries, k=100)[0] if hit.about["source"] == "odd")


def test_two_processes_and_a_restart_write_the_same_bytes(tmp_path: Path) -> None:
    built(tmp_path / "one")
    two = tmp_path / "two"
    assert built(two, process_index=0, num_processes=2) is None
    finished = {path: path.stat().st_mtime_ns for path in (two / "shards").iterdir()}
    assert built(two, process_index=1, num_processes=2) is not None
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert content(two) == content(tmp_path / "one")
    (two / "shards" / "00001.json").unlink()
    built(two)
    assert content(two)["embeddings-00001-1.npy"] == content(tmp_path / "one")["embeddings-00000-1.npy"]
    skipped = [json.loads(line) for line in (two / "skipped.jsonl").read_text().splitlines()]
    assert skipped == [{"id": "v6", "reason": "6 cannot be used."}, {"id": "v13", "reason": "13 cannot be used."}]


def test_entries_are_added_removed_merged_and_counted_once(tmp_path: Path) -> None:
    index, embedder = built(tmp_path), Numbers()
    more = index.add(*embedder.embed_items([50, 51])[:2], [{"id": "a", "sha1": "x"}, {"id": "b", "sha1": "x"}], embedder)
    assert len(more) == 20
    assert more.search(embedder.embed_texts(["51"]), k=20)[0][0].about["id"] in ("b", *more.table["id"].to_pylist())
    assert more.deduplicate().table["id"].to_pylist() == [*index.table["id"].to_pylist(), "a"]
    less = more.remove(["v0", "a"])
    assert len(less) == 18
    np.testing.assert_array_equal(less.rows(np.arange(17)), index.rows(np.arange(1, 18)))
    assert len(index.merge(index)) == 36
    less.save(tmp_path)
    assert VideoIndex.from_pretrained(tmp_path).table.equals(less.table)
    assert len(list(tmp_path.glob("embeddings-*.npy"))) == 2
    with pytest.raises(ValueError, match=r"no entries \['nobody'\]"):
        index.remove(["nobody"])
    with pytest.raises(ValueError, match="no column 'colour'"):
        index.where(colour="red")


def test_other_models_empty_indices_and_bad_queries_are_refused(tmp_path: Path) -> None:
    index, embedder = built(tmp_path), Numbers()
    embedder.digest = "2" * 64
    with pytest.raises(ValueError, match=r"do not compare\. Use the same model"):
        index.check_embedder(embedder)
    with pytest.raises(ValueError, match="Build one of them anew"):
        index.merge(VideoIndex.empty(embedder))
    with pytest.raises(ValueError, match="the index is empty"):
        VideoIndex.empty(embedder).search(np.zeros((1, 12)))
    with pytest.raises(ValueError, match=r"queries must be \(n, 12\)"):
        index.search(np.zeros((1, 11)))
    with pytest.raises(ValueError, match="k must be at least 1"):
        index.search(np.zeros((1, 12)), k=0)
    with pytest.raises(ValueError, match="None of 1 videos could be used, the first because: 6 cannot"):
        build_video_index(rows(1, 6), Numbers(), tmp_path / "none", show_progress=False)
    with pytest.raises(ValueError, match="an id of its own"):
        build_video_index(rows(2) + rows(1), Numbers(), tmp_path / "none", show_progress=False)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    built(tmp_path)
    with pytest.raises(FileNotFoundError, match="no finished index"):
        VideoIndex.from_pretrained(FIXTURES)
    about = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**about, "version": 9}))
    with pytest.raises(ValueError, match="version 9, known is 2"):
        VideoIndex.from_pretrained(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps(about))
    np.save(tmp_path / "embeddings-00000-0.npy", np.zeros((3, 8), np.float16))
    with pytest.raises(ValueError, match=r"the embeddings 3 of"):
        VideoIndex.from_pretrained(tmp_path)
    (tmp_path / "embeddings-00000-1.npy").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"embeddings-00000-1\.npy"):
        VideoIndex.from_pretrained(tmp_path)


def test_index_goes_to_the_hub_and_back(tmp_path: Path, hub: Any) -> None:
    index = built(tmp_path)
    index.push_to_hub("me/videos")
    again = VideoIndex.from_pretrained("me/videos")
    assert again.table.equals(index.table)
    with pytest.raises(ValueError, match="lies in no folder"):
        index.merge(index).push_to_hub("me/videos")


def test_codes_find_what_the_exact_search_finds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("faiss")
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(20, 12))
    vectors = centres[generator.integers(20, size=2000)] + 0.3 * generator.normal(size=(2000, 12))
    for part in (slice(0, 8), slice(8, 12)):
        vectors[:, part] /= np.linalg.norm(vectors[:, part], axis=1, keepdims=True)
    scales = generator.uniform(0.7, 1.3, (2000, 2))
    VideoIndex.of(vectors, scales, [{"id": str(number)} for number in range(2000)], Numbers()).save(tmp_path)
    index = VideoIndex.from_pretrained(tmp_path)
    codes = VideoCodes.build(index)
    known = VideoIndex.from_pretrained(tmp_path).about["recall"]
    assert known["share"] >= 0.99
    assert known["candidates"] == codes.candidates <= 400
    exact, found = index.search(index.rows(np.arange(50)).astype(np.float32)), codes.search(index.rows(np.arange(50)).astype(np.float32))
    hits = [len({hit.row for hit in one} & {hit.row for hit in other}) for one, other in zip(exact, found, strict=True)]
    assert np.mean(hits) > 9.8
    assert not caplog.text
    query = vectors[:1].astype(np.float32)
    loaded = VideoCodes.load(VideoIndex.from_pretrained(tmp_path))
    assert loaded.search(query) == codes.search(query)
    assert codes.search(query)[0][0].row == index.search(query)[0][0].row
    keep = np.arange(2000) % 2 == 1
    assert all(hit.row % 2 for hit in codes.search(query, keep=keep)[0])
    with pytest.raises(ValueError, match=r"never added to.* make codes anew with VideoCodes\.build"):
        loaded.add(vectors)
    with pytest.raises(ValueError, match="of 2000 entries, the index has 4000"):
        VideoCodes(index.merge(index), codes.codes)
    with pytest.raises(ValueError, match="at least 1000 entries"):
        VideoCodes.build(index.keep(np.arange(10)))
    with pytest.raises(ValueError, match="least_recall must be above 0 and at most 1, got 2"):
        VideoCodes.build(index, least_recall=2)
    few = VideoCodes.build(index.keep(np.arange(1500)), candidates=10)
    assert few.candidates == 10
    assert few.index.about["recall"]["share"] < 0.99
    assert "Search without codes, which is exact." in caplog.text


def test_an_older_indexs_codes_go_and_the_card_says_what_lies_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = built(tmp_path)
    (tmp_path / "codes.faiss").write_bytes(b"of other entries")
    index.about["recall"] = {"at": 10, "candidates": 100, "share": 0.5}
    index.keep(np.arange(7)).save(tmp_path)
    assert not (tmp_path / "codes.faiss").exists()
    assert "VideoCodes.build makes it anew" in caplog.text
    again = VideoIndex.from_pretrained(tmp_path)
    assert "recall" not in again.about
    card = (tmp_path / "README.md").read_text()
    assert "7 videos that sentences find" in card
    assert "even (3), odd (4)" in card
    assert "search by codes" not in card
    again.about["recall"] = {"at": 10, "candidates": 100, "share": 0.99}
    write_index_card(again, tmp_path, "me/videos")
    card = (tmp_path / "README.md").read_text()
    assert "finds 0.9900 (re-ranking 100) of the exact ten best" in card
    assert 'from_pretrained("me/videos")' in card
    (tmp_path / "README.md").write_text("mine")
    again.save(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_motions_find_motions_and_sentences_do(tmp_path: Path) -> None:
    motions = [read_row(row, "humanml3d-22")[0] for row in load_motion_rows(str(CLIPS)).select(range(4))]
    embedder = MotionIndexEmbedder(MotionTextEmbedder.from_pretrained(EMBEDDED_TMR))
    index = build_video_index(
        [{"id": str(number), "item": motion} for number, motion in enumerate(motions)], embedder, tmp_path / "index", show_progress=False
    ).index
    assert index.about["kind"] == "motion"
    for number, hits in enumerate(VideoRetriever(index, embedder).retrieve_like(motions, 2)):
        assert hits[0].about["id"] == str(number)
        assert hits[0].score == pytest.approx(1, abs=1e-3)
        assert hits[0].about["duration"] == pytest.approx(motions[number].duration)
    assert len(VideoRetriever(index, embedder).retrieve(SENTENCES, 2)) == 3
    assert "4 motions that sentences find" in (tmp_path / "index" / "README.md").read_text()
    with pytest.raises(ValueError, match="compares by euclidean"):
        MotionIndexEmbedder(MotionTextEmbedder.from_pretrained(EMBEDDED_EVALUATOR))


def test_the_embedded_retriever_finds_what_captions_and_motions_show(tmp_path: Path) -> None:
    folder = EMBEDDED_MVR
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
    assert (folder / "README.md").read_text() == (ROOT / "hub_cards" / f"{folder.name}.md").read_text()
    assert ModelCard.load(folder / "README.md").data.license == "cc-by-nc-4.0"
    rows = [row for row in load_motion_rows(str(EVALUATION)) if row["n_frames"] > 40][:80]
    clips = [read_row(row, "humanml3d-22") for row in rows]
    (tmp_path / "videos").mkdir()
    for number, (motion, _) in enumerate(clips):
        film_motion(motion, np.random.default_rng(number)).save(tmp_path / "videos" / f"{number}.npz")
    (tmp_path / "videos" / "0.npz.keypoints.npz").write_bytes(b"remembered")
    embedder = GeminiMVREmbedder.from_pretrained()
    index = build_video_index(find_videos(tmp_path / "videos"), embedder, tmp_path / "index", show_progress=False).index
    assert len(index) == len(clips)
    texts = [captions[0] for _, captions in clips]
    found = [
        any(texts[int(Path(hit.about["id"]).stem)] == text for hit in hits)
        for text, hits in zip(texts, index.retrieve(texts, 5), strict=True)
    ]
    assert np.mean(found) > 0.6
    retriever = VideoRetriever(index)
    like = retriever.retrieve_like([motion for motion, _ in clips[:20]], 5)
    same = [any(texts[int(Path(hit.about["id"]).stem)] == texts[number] for hit in hits) for number, hits in enumerate(like)]
    assert np.mean(same) > 0.6


def test_videos_find_themselves_and_broken_ones_are_counted(tmp_path: Path) -> None:
    tokenizer = train_clip_tokenizer(SENTENCES, 520)
    text = {**TEXT, "vocab_size": len(tokenizer)}
    processor = GeminiMVRProcessor(tokenizer, detector=Standing())
    embedder = GeminiMVREmbedder(tiny(text_config=text), processor, "3" * 64)
    videos = tmp_path / "videos"
    (videos / "below").mkdir(parents=True)
    for number, frames in enumerate((6, 12, 20)):
        (videos / "below" / f"{number}.mp4").write_bytes(clip_bytes(frames))
    (videos / "broken.mp4").write_bytes(b"nothing")
    report = build_video_index(find_videos(videos), embedder, tmp_path / "index", show_progress=False)
    assert [skip["id"] for skip in report.skipped] == ["broken.mp4"]
    assert report.index.table["id"].to_pylist() == [f"below/{number}.mp4" for number in range(3)]
    assert report.index.scales.tolist() == [[100.0]] * 3
    points = [Keypoints(np.random.default_rng(n).random((8, 17, 3)), np.arange(8), (64, 48), np.ones(8)) for n in range(3)]
    known = build_video_index([{"id": str(n), "item": item} for n, item in enumerate(points)], embedder, tmp_path / "known").index
    for number, hits in enumerate(known.search(embedder.embed_items(points)[0], k=3)):
        assert hits[0].about["id"] == str(number)
        assert hits[0].score == pytest.approx(100, abs=0.1)
        assert hits[1].score < 99.9
    assert len(report.index.search(embedder.embed_texts(SENTENCES), k=2)) == 3
    with pytest.raises(FileNotFoundError, match="no video in"):
        find_videos(tmp_path / "index")
    both = GeminiMVREmbedder(tiny(text_config=text, object_config={**CLIP, "text_config": text}), processor, "3" * 64)
    assert both.parts == (16, 12)


def test_commands_index_and_search(tmp_path: Path) -> None:
    tokenizer = train_clip_tokenizer(SENTENCES, 520)
    model = tiny(text_config={**TEXT, "vocab_size": len(tokenizer)})
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(FIXTURES / "no.mkv", videos)
    (videos / "grey.mp4").write_bytes(clip_bytes(3))
    runner, sheet = CliRunner(), tmp_path / "hits.png"
    made = runner.invoke(app, ["video", "index", str(videos), "-o", str(tmp_path / "index"), "--model", str(tmp_path / "model")])
    assert made.exit_code == 0, made.output
    assert "1 videos" in made.output
    assert "grey.mp4" in made.output
    arguments = ["video", "search", str(tmp_path / "index"), "--model", str(tmp_path / "model")]
    found = runner.invoke(app, [*arguments, "a person waves", "--like", str(videos / "no.mkv"), "--sheet", str(sheet)])
    assert found.exit_code == 0, found.output
    assert found.output.count("no.mkv") == 3
    assert "100.0" in found.output
    assert "Say what to look for" in runner.invoke(app, arguments).output
    other = runner.invoke(app, ["video", "search", str(tmp_path / "index"), "a person waves"])
    assert other.exit_code == 1
    assert "do not compare" in other.output
    assert sheet.read_bytes().startswith(b"\x89PNG")
