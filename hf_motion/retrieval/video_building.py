"""Building an index: videos embedded shard by shard, by any number of processes, to the same bytes; what cannot be used is counted."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import AutoModel

from ..checkpoints import EMBEDDED_MVR, say_licence
from ..hub.loading import load_part
from ..models.gemini_mvr.modeling_gemini_mvr import GeminiMVR
from ..models.gemini_mvr.processing_gemini_mvr import GeminiMVRProcessor
from ..motion import Motion
from ..utils.faults import reading, reason
from ..utils.files import atomic_path, check_writable, write_json
from ..video.frames import Video
from ..video.poses import video_digest
from .embedder import MotionTextEmbedder, checkpoint_folder, fingerprint
from .video_index import VideoIndex

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".gif", ".npz")


class VideoEmbedder(Protocol):
    """What an index is made with, and what its queries come from."""

    name: str
    digest: str
    parts: tuple[int, ...]
    kind: str

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, width) float32, parts of unit length one after the other."""
        ...

    def embed_items(self, items: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """(items, width) float32 as above, (items, parts) float32 scales, and what is known of each."""
        ...


class GeminiMVREmbedder:
    """Videos and texts by a `GeminiMVR`. Items are whatever its processor takes for a video.

    Args:
        model (`GeminiMVR`): The model.
        processor (`GeminiMVRProcessor`): Its processor.
        digest (`str`): Of the checkpoint, see `hf_motion.retrieval.embedder.fingerprint`.
        name (`str`, defaults to `"GeminiMVR"`): For messages.
    """

    kind = "video"

    def __init__(self, model: GeminiMVR, processor: GeminiMVRProcessor, digest: str, name: str = "GeminiMVR") -> None:
        self.model, self.processor, self.name = model.eval(), processor, name
        self.digest = hashlib.sha256(f"{digest}|{processor.detector.name}|{processor.sampling}|{processor.num_frames}".encode()).hexdigest()
        action = (model.config.hidden_size,) if model.config.use_action else ()
        objects = () if model.config.object_config is None else (int(model.config.object_config.projection_dim),)
        self.parts = (*action, *objects)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> GeminiMVREmbedder:
        """Load a checkpoint with its processor.

        Args:
            name (`str` or `os.PathLike`, *optional*): Folder or Hub repository; the small one inside the package by default.
            device (`str` or `torch.device`, defaults to `"cpu"`): Where to run.

        Raises:
            OSError: If there is no such checkpoint.
            ValueError: If it holds another model.
        """
        name = EMBEDDED_MVR if name is None else name
        folder = checkpoint_folder(name)
        if folder.resolve() == EMBEDDED_MVR.resolve():
            say_licence()
        model = load_part(AutoModel, folder, "model", dtype=torch.float32)
        if not isinstance(model, GeminiMVR):
            raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, which does not embed videos. Use a GeminiMVR.")
        processor = GeminiMVRProcessor.from_pretrained(folder, num_frames=model.config.max_frames)
        return cls(model.to(device), processor, fingerprint(folder), Path(name).name)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """See `VideoEmbedder`."""
        inputs = {name: value.to(self.model.device) for name, value in self.processor(texts=list(texts)).items()}
        options = {"object_input_ids": inputs.get("object_input_ids"), "object_attention_mask": inputs.get("object_text_mask")}
        return self.model.encode_text(inputs.get("input_ids"), inputs.get("text_mask"), **options).float().cpu().numpy()

    @torch.no_grad()
    def embed_items(self, items: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """See `VideoEmbedder`. Videos are embedded one by one, so that none depends on its neighbours."""
        vectors, scales, rows = [], [], []
        action, objects = self.model.config.use_action, self.model.config.object_config is not None
        for item in items:
            keypoints, frames = self.processor.read_video(item)
            inputs = {"motion_features": torch.from_numpy(keypoints.crop_scale()).flatten(1)[None]}
            if frames is not None and self.processor.image_processor is not None:
                inputs["pixel_values"] = self.processor.image_processor(list(frames), return_tensors="pt")["pixel_values"][None]
            parts = self.model.encode_video_parts(**{name: value.to(self.model.device) for name, value in inputs.items()})
            vectors.append(torch.cat([part for part in (parts.action, parts.objects) if part is not None], dim=-1)[0].float().cpu().numpy())
            known = [float(parts.weights[0, 0]) * self.model.config.action_scale] if action else []
            known += [float(parts.weights[0, 1]) * float(self.model.object_scale())] if objects else []
            scales.append(known)
            rows.append({"duration": keypoints.duration, "people": int(keypoints.people.max())})
        return np.stack(vectors), np.array(scales, np.float32), rows


class MotionIndexEmbedder:
    """Motions and texts by a `MotionTextEmbedder`, for an index of motions. Items are `Motion`s.

    Args:
        embedder (`MotionTextEmbedder`): The retrieval model.

    Raises:
        ValueError: If its model does not compare by the cosine.
    """

    kind = "motion"

    def __init__(self, embedder: MotionTextEmbedder) -> None:
        if embedder.model.config.similarity != "cosine":
            raise ValueError(f"{embedder.name} compares by {embedder.model.config.similarity}, an index by inner products. Use a TMR.")
        self.embedder, self.name = embedder, embedder.name
        self.digest = embedder.digest or embedder.name
        self.parts = (int(embedder.embed_texts(["a"]).shape[1]),)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """See `VideoEmbedder`."""
        return _unit(self.embedder.embed_texts(texts))

    def embed_items(self, items: Sequence[Motion]) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """See `VideoEmbedder`."""
        vectors = _unit(self.embedder.embed_motions(self.embedder.encode(items)))
        return vectors, np.ones((len(items), 1), np.float32), [{"duration": item.duration, "fps": item.fps} for item in items]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@dataclass
class BuildReport:
    """What a build made.

    Args:
        index (`VideoIndex`, *optional*): The index; None where other processes have not finished their shards.
        skipped (`list[dict]`): `id` and `reason` of what was left out.
    """

    index: VideoIndex | None
    skipped: list[dict[str, str]] = field(default_factory=list)


def find_videos(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """Videos in a folder and below, by name: rows of `id` and `path`. Files of keypoints (`.npz`) stand for videos.

    Raises:
        FileNotFoundError: If there is no such folder, or no video in it.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    paths = [path for path in paths if not path.name.endswith(".keypoints.npz")]  # what is remembered of a video
    if not paths:
        raise FileNotFoundError(f"There is no video in {str(folder)!r}. Known are {', '.join(VIDEO_SUFFIXES)}.")
    return [{"id": path.relative_to(folder).as_posix(), "path": str(path)} for path in paths]


def build_video_index(
    videos: Sequence[Mapping[str, Any]],
    embedder: VideoEmbedder,
    folder: str | os.PathLike,
    *,
    shard_size: int = 256,
    process_index: int = 0,
    num_processes: int = 1,
    show_progress: bool = True,
) -> BuildReport:
    """Embed videos into an index; run again, it goes on after the last finished shard.

    Process r of W takes shards r, r + W, ...; the one that finds all shards finished writes the index. Bytes do not depend on W.

    Args:
        videos (`list[Mapping]`): Rows with `id`, a video as `path`, `bytes` or `item` (what the embedder takes), and perhaps `start`,
            `fps`, `source` and `license`: of `find_videos`, or of a data set's video column.
        embedder (`VideoEmbedder`): What embeds them.
        folder (`str` or `os.PathLike`): Where to.
        shard_size (`int`, defaults to 256): Videos of a shard.
        process_index (`int`, defaults to 0): Which of several processes this is.
        num_processes (`int`, defaults to 1): How many there are.
        show_progress (`bool`, defaults to `True`): Show a progress bar.

    Returns:
        `BuildReport`: The index and what was left out.

    Raises:
        ValueError: If ids repeat, there is no video at all, or none could be used.
        OSError: If the folder cannot be written.
    """
    ids = [str(row["id"]) for row in videos]
    if not ids or len(set(ids)) < len(ids):
        repeated = sorted({name for name in ids if ids.count(name) > 1})[:3]
        raise ValueError(f"Every video needs an id of its own, got {len(ids)} videos and repeated ids {repeated}.")
    folder = Path(folder)
    work = folder / "shards"
    check_writable(work)
    spans = [(start, min(start + shard_size, len(ids))) for start in range(0, len(ids), shard_size)]
    keys = [_key(videos[begin:end], embedder) for begin, end in spans]
    mine = [
        number
        for number in range(len(spans))
        if number % num_processes == process_index and _read_shard(work, number, keys[number]) is None
    ]
    for number in tqdm(mine, desc="Embedding videos", disable=not show_progress):
        begin, end = spans[number]
        _write_shard(work, number, keys[number], videos[begin:end], embedder)
    done = [_read_shard(work, number, key) for number, key in enumerate(keys)]
    if any(shard is None for shard in done):
        return BuildReport(None)
    skipped = [skip for shard in done if shard for skip in shard["skipped"]]
    rows = [row for shard in done if shard for row in shard["rows"]]
    if not rows:
        raise ValueError(f"None of {len(ids)} videos could be used, the first because: {skipped[0]['reason']}")
    vectors = np.concatenate([np.load(work / f"{number:05d}.npy", allow_pickle=False) for number in range(len(spans))])
    index = VideoIndex.of(vectors, np.array([row["scales"] for row in rows], np.float32), rows, embedder)
    index.save(folder)
    with atomic_path(folder / "skipped.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(skip) + "\n" for skip in skipped), encoding="utf-8")
    if skipped:
        logger.warning("%d of %d videos were left out; %s names them.", len(skipped), len(ids), folder / "skipped.jsonl")
    return BuildReport(VideoIndex.from_pretrained(folder), skipped)


def _key(rows: Sequence[Mapping[str, Any]], embedder: VideoEmbedder) -> str:
    """Of everything that a shard depends on, as far as it can be told without reading videos."""
    parts = [embedder.digest]
    for row in rows:
        path = row.get("path")
        size = os.stat(path).st_size if path and os.path.isfile(path) else len(row.get("bytes") or b"")
        parts.append(repr((str(row["id"]), size, row.get("start"), row.get("source"), row.get("license"))))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _read_shard(work: Path, number: int, key: str) -> dict[str, Any] | None:
    file = work / f"{number:05d}.json"
    if not file.is_file():
        return None
    with reading(file, "a finished shard"):
        content = json.loads(file.read_text(encoding="utf-8"))
    return content if content["key"] == key else None


def _write_shard(work: Path, number: int, key: str, rows: Sequence[Mapping[str, Any]], embedder: VideoEmbedder) -> None:
    vectors, known, skipped = [np.zeros((0, sum(embedder.parts)), np.float16)], [], []
    for row in rows:
        try:
            item: Video | Any = row["item"] if "item" in row else {"bytes": row.get("bytes"), "path": row.get("path")}
            vector, scales, (about,) = embedder.embed_items([item])
            if not np.isfinite(vector).all():
                raise ValueError("Its embedding is not finite.")
            sha1 = None if "item" in row else video_digest(item)
        except (ValueError, OSError) as error:
            skipped.append({"id": str(row["id"]), "reason": reason(error)})
            continue
        vectors.append(vector.astype(np.float16))
        given = {name: row[name] for name in ("path", "start", "fps", "source", "license") if row.get(name) is not None}
        known.append({**about, **given, "id": str(row["id"]), "sha1": sha1, "scales": scales[0].tolist()})
    with atomic_path(work / f"{number:05d}.npy") as temporary:
        np.save(temporary, np.concatenate(vectors))
    write_json(work / f"{number:05d}.json", {"key": key, "rows": known, "skipped": skipped})
