"""`hf-motion data build`: a data set on disk in, an HF data set of parquet shards out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..utils.faults import reading
from ..utils.files import atomic_path, check_writable, write_json
from ..utils.text import read_lines, read_text, say_once
from .shards import Shard, ShardSettings, build_shard, read_result, start_worker
from .sources import Item, MotionSource, Skip, SourceOptions, open_source
from .statistics import STATISTICS_FILE, RunningStatistics, merged, save_statistics

SPLITS = ("train", "val", "test")
_VERSION = 2
_PARTS = ".build"
_RECORD = "build.json"
_SPECIFIC = re.compile(r"'[^']*'|\S*\d\S*|(?<=; ).*")


@dataclass(frozen=True)
class BuildSettings:
    """How a data set is built.

    Args:
        layout (`str`, *optional*): Layout of the source, a key of `hf_motion.data.sources.SOURCES`; found out by default.
        split_ratios (`tuple[float, float, float]`, defaults to `(0.8, 0.05, 0.15)`): Shares of train, val and test, where the source does
            not say; takes are drawn, not clips.
        seed (`int`, defaults to 0): Seed of that draw. A take's split depends on its name and the seed alone.
        split_files (`pathlib.Path`, *optional*): Folder with `train.txt`, `val.txt`, `test.txt` that name ids or takes, to use instead.
        min_frames (`int`, defaults to 2): Leave shorter clips out.
        clips_per_shard (`int`, defaults to 256): Files of the source in one parquet shard.
        num_proc (`int`, defaults to 1): Processes.
        strict (`bool`, defaults to `False`): Stop at the first thing that cannot be used, rather than skip and count it.
        overwrite (`bool`, defaults to `False`): Replace another data set in the output folder.
        show_progress (`bool`, defaults to `True`): Show a progress bar.

    Raises:
        ValueError: If a number is out of range.
    """

    layout: str | None = None
    split_ratios: tuple[float, float, float] = (0.8, 0.05, 0.15)
    seed: int = 0
    split_files: Path | None = None
    min_frames: int = 2
    clips_per_shard: int = 256
    num_proc: int = 1
    strict: bool = False
    overwrite: bool = False
    show_progress: bool = True

    def __post_init__(self) -> None:
        ratios = self.split_ratios
        if len(ratios) != 3 or min(ratios) < 0 or abs(sum(ratios) - 1) > 1e-6:
            raise ValueError(f"split_ratios must be three shares for train, val and test that sum to 1, got {ratios}.")
        for name in ("min_frames", "clips_per_shard", "num_proc"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")


@dataclass(frozen=True)
class BuildReport:
    """What came of a build.

    Args:
        folder (`pathlib.Path`): The data set.
        layout (`str`): What the source was taken for.
        clips (`dict[str, int]`): Rows per split.
        seconds (`float`): Length of all clips.
        captions (`int`): Captions of all clips.
        skipped (`list[Skip]`): What was left out and why; `skipped.jsonl` holds the same.
        reused_shards (`int`): Shards that an earlier, stopped build had finished.
        sources (`dict[str, dict]`): Clips, seconds and licence per source.
    """

    folder: Path
    layout: str
    clips: dict[str, int]
    seconds: float
    captions: int
    skipped: list[Skip]
    reused_shards: int
    sources: dict[str, dict[str, Any]]

    @property
    def reasons(self) -> dict[str, int]:
        """How many were left out for each kind of reason, the most frequent first; names and numbers in it become `...`."""
        return dict(Counter(_SPECIFIC.sub("...", skip.reason.partition("\n")[0]) for skip in self.skipped).most_common())


def build_dataset(
    source: str | Path, output: str | Path, options: SourceOptions | None = None, settings: BuildSettings | None = None
) -> BuildReport:
    """Build an HF data set.

    `output` gets `data/<split>-00000-of-00003.parquet`, `README.md` (the card), `statistics.safetensors` (of the train split, see
    `load_statistics`), `skipped.jsonl` and `build.json`. `datasets.load_dataset(output)` reads it.

    A build that was stopped goes on where it was: shards are finished one by one in `<output>/.build`, and appear under `data/` only
    when all are. Building the same thing again does nothing.

    Args:
        source (`str` or `pathlib.Path`): Folder or file, see `hf_motion/data/README.md` for the layouts.
        output (`str` or `pathlib.Path`): Folder to write.
        options (`SourceOptions`, *optional*): About the source.
        settings (`BuildSettings`, *optional*): About the build.

    Returns:
        `BuildReport`: Counts, and what was left out.

    Raises:
        ValueError: If the layout is not recognised, the output folder holds something else, a take is in two splits, nothing can be
            used, or (`strict`) something cannot.
        OSError: If the output cannot be written, a full disk included. Nothing half-written is left but finished shards.
    """
    settings, folder = settings or BuildSettings(), Path(output)
    reader = open_source(Path(source), settings.layout, options or SourceOptions())
    with say_once():
        items, skipped = _plan(reader, settings)
    digest = _digest(
        _VERSION, type(reader).__name__, reader.skeleton, asdict(reader.options), asdict(settings), str(reader.folder.resolve())
    )
    shards = _shards(reader, items, settings, digest)
    whole = _digest(digest, [shard.digest for shard in shards], [asdict(skip) for skip in skipped])
    if folder.resolve().is_relative_to(reader.folder.resolve()):
        raise ValueError(f"The output {str(folder)!r} lies within the source {str(reader.folder)!r}; choose a folder outside.")
    check_writable(folder)
    if _is_built(folder, whole, settings.overwrite):
        return _read_report(folder)
    parts = folder / _PARTS
    parts.mkdir(exist_ok=True)
    waiting = [shard for shard in shards if read_result(parts, shard) is None]
    _run(reader, waiting, parts, settings)
    return _finish(reader, folder, shards, skipped, whole, len(shards) - len(waiting))


def push_dataset(folder: str | Path, repo_id: str, private: bool = False, token: str | None = None) -> str:
    """Upload a built data set to the Hub.

    Args:
        folder (`str` or `pathlib.Path`): What `build_dataset` wrote.
        repo_id (`str`): Where to, `owner/name`; made if it does not exist.
        private (`bool`, defaults to `False`): Whether a new repository is private.
        token (`str`, *optional*): Access token, the stored one by default.

    Returns:
        `str`: Address of the commit.
    """
    from huggingface_hub import HfApi

    if not (Path(folder) / _RECORD).is_file():
        raise ValueError(f"{str(folder)!r} is not a built data set; it has no {_RECORD}.")
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True).repo_id
    return api.upload_folder(
        folder_path=folder, repo_id=repo_id, repo_type="dataset", ignore_patterns=[f"{_PARTS}/*"], delete_patterns=["data/*.parquet"]
    ).commit_url


def split_of(take: str, ratios: Sequence[float], seed: int) -> str:
    """The split of a take, the same on every machine.

    Example:
        >>> from collections import Counter
        >>> counts = Counter(split_of(f"take {number}", (0.8, 0.05, 0.15), seed=0) for number in range(20000))
        >>> [round(counts[split] / 20000, 2) for split in ("train", "val", "test")]
        [0.8, 0.05, 0.15]
    """
    draw = int.from_bytes(hashlib.blake2b(f"{seed}:{take}".encode(), digest_size=8).digest(), "big") / 2**64
    return SPLITS[0] if draw < ratios[0] else SPLITS[1] if draw < ratios[0] + ratios[1] else SPLITS[2]


def _plan(reader: MotionSource, settings: BuildSettings) -> tuple[list[Item], list[Skip]]:
    """Everything to read, with its split, and what is left out already."""
    given = _given_splits(settings.split_files) if settings.split_files else None
    items: dict[str, Item] = {}
    skipped: list[Skip] = []
    for found in reader.items():
        if isinstance(found, Skip):
            skipped.append(found)
        elif found.name in items:
            skipped.append(Skip(found.path, f"duplicate id {found.name!r}; the first is {items[found.name].path}"))
        else:
            split = found.split if given is None else given.get(found.name, given.get(found.take))
            if split is None and given is not None:
                skipped.append(Skip(found.path, "it is in no split file"))
                continue
            items[found.name] = replace(found, split=split or split_of(found.take, settings.split_ratios, settings.seed))
        if settings.strict and skipped:
            raise ValueError(f"{skipped[0].path}: {skipped[0].reason}.")
    _check_takes(items.values())
    if not items:
        raise ValueError(_nothing(reader, skipped))
    return list(items.values()), skipped


def _given_splits(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    files = {split: folder / f"{split}.txt" for split in SPLITS if (folder / f"{split}.txt").is_file()}
    if not files:
        raise FileNotFoundError(f"No train.txt, val.txt or test.txt in {str(folder)!r}.")
    for split, file in files.items():
        for _, name in read_lines(file):
            if found.setdefault(name, split) != split:
                raise ValueError(f"{name!r} is in {found[name]}.txt and in {split}.txt; leave it in one.")
    return found


def _check_takes(items: Sequence[Item]) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for item in items:
        splits[item.take].add(item.split)
    straddling = {take: sorted(names) for take, names in splits.items() if len(names) > 1}
    if straddling:
        shown = ", ".join(f"{take} ({' and '.join(names)})" for take, names in list(straddling.items())[:5])
        raise ValueError(
            f"{len(straddling)} takes are in more than one split: {shown}. Clips of one take are near copies of each other; "
            "put them into one split, or name their takes apart."
        )


def _shards(reader: MotionSource, items: list[Item], settings: BuildSettings, digest: str) -> list[Shard]:
    """Items of each split in their order, cut into shards; a shard's digest tells what it is made of."""
    by_split: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_split[item.split].append(item)
    order = [*(split for split in SPLITS if split in by_split), *sorted(by_split.keys() - {*SPLITS})]
    shards = []
    for split in order:
        for number, start in enumerate(range(0, len(by_split[split]), settings.clips_per_shard)):
            part = by_split[split][start : start + settings.clips_per_shard]
            state = [[asdict(item), [_state(path) for path in reader.files(item)]] for item in part]
            shards.append(Shard(f"{split}-{number:05d}", split, part, _digest(digest, state)))
    return shards


def _state(path: Path) -> list[Any]:
    try:
        found = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), found.st_size, found.st_mtime_ns]


def _digest(*values: Any) -> str:
    """Of everything that decides what a shard holds; how it is made does not."""
    neutral = {"num_proc", "strict", "overwrite", "show_progress"}
    values = [{key: item for key, item in value.items() if key not in neutral} if isinstance(value, dict) else value for value in values]
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()


def _is_built(folder: Path, digest: str, overwrite: bool) -> bool:
    """Whether the folder holds this very data set.

    Raises:
        ValueError: If it holds another one, or other data.
    """
    record = folder / _RECORD
    if record.is_file():
        with reading(record, "the record of a build; give --overwrite, or another --output"):
            if json.loads(read_text(record))["digest"] == digest:
                return True
    if (record.is_file() or ((folder / "data").exists() and not (folder / _PARTS).exists())) and not overwrite:
        raise ValueError(
            f"{str(folder)!r} holds another data set (other source files, options or an older build). "
            "Choose another --output, or replace it with --overwrite."
        )
    if record.is_file():
        record.unlink()
        shutil.rmtree(folder / "data", ignore_errors=True)
    return False


def _run(reader: MotionSource, shards: list[Shard], parts: Path, settings: BuildSettings) -> None:
    options = ShardSettings(settings.min_frames, settings.strict)
    total = sum(len(shard.items) for shard in shards)
    with tqdm(total=total, desc="Building", unit="file", disable=not settings.show_progress) as progress:
        for done in _finished(reader, shards, parts, options, settings.num_proc):
            progress.update(done)


def _finished(reader: MotionSource, shards: list[Shard], parts: Path, options: ShardSettings, num_proc: int) -> Iterator[int]:
    """Files done, shard by shard."""
    if num_proc == 1 or len(shards) < 2:
        for shard in shards:
            build_shard(reader, shard, parts, options)
            yield len(shard.items)
        return
    # Not forked from this process: what was forked can hang in the thread pools of numerical libraries.
    forkserver = "forkserver" in get_all_start_methods()
    context = get_context("forkserver" if forkserver else "spawn")
    if forkserver:
        context.set_forkserver_preload([build_shard.__module__])
    pool = ProcessPoolExecutor(min(num_proc, len(shards)), context, start_worker)
    try:
        futures = {pool.submit(build_shard, reader, shard, parts, options): shard for shard in shards}
        for future in as_completed(futures):
            future.result()
            yield len(futures[future].items)
    except BrokenProcessPool as error:
        raise OSError(
            "A process ended by itself, for want of memory perhaps. Run the same command again to go on, with a lower --num-proc."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _finish(reader: MotionSource, folder: Path, shards: list[Shard], skipped: list[Skip], digest: str, reused: int) -> BuildReport:
    """Move the shards to where they belong, and write what goes with them."""
    from .dataset_card import write_dataset_card

    parts = folder / _PARTS
    results = [read_result(parts, shard) for shard in shards]
    skipped = [*skipped, *(Skip(**skip) for result in results for skip in result["skipped"])]
    kept = [(shard, result) for shard, result in zip(shards, results, strict=True) if result["clips"]]
    if not kept:
        raise ValueError(_nothing(reader, skipped))
    counts = Counter(shard.split for shard, _ in kept)
    numbers: Counter[str] = Counter()
    (folder / "data").mkdir(exist_ok=True)
    for stale in (folder / "data").glob("*.parquet"):
        stale.unlink()
    for shard, _ in kept:
        target = folder / "data" / f"{shard.split}-{numbers[shard.split]:05d}-of-{counts[shard.split]:05d}.parquet"
        numbers[shard.split] += 1
        _link(parts / f"{shard.name}.part", target)
    statistics = merged(RunningStatistics.from_dict(result["statistics"]) for _, result in kept)
    if statistics.count:
        kinds = sorted({kind for result in results for kind in result["faces"]})
        faces = {kind: merged(RunningStatistics.from_dict(r["faces"][kind]) for r in results if kind in r["faces"]) for kind in kinds}
        save_statistics(folder / STATISTICS_FILE, statistics, reader.skeleton, reader.published_statistics(), faces)
    record = _record(reader, kept, digest, reused)
    with atomic_path(folder / "skipped.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(asdict(skip)) + "\n" for skip in skipped), encoding="utf-8")
    write_dataset_card(folder, record, len(skipped))
    write_json(folder / _RECORD, record)
    shutil.rmtree(parts)
    return _read_report(folder)


def _link(part: Path, target: Path) -> None:
    """Let a finished part appear under another name. It stays where it was too: a build stopped here can go on."""
    try:
        os.link(part, target)
    except OSError:
        with atomic_path(target) as temporary:
            shutil.copyfile(part, temporary)


def _record(reader: MotionSource, kept: list[tuple[Shard, dict[str, Any]]], digest: str, reused: int) -> dict[str, Any]:
    clips: Counter[str] = Counter()
    sources: dict[str, dict[str, Any]] = {}
    for shard, result in kept:
        clips[shard.split] += result["clips"]
        for name, values in result["sources"].items():
            total = sources.setdefault(name, {"clips": 0, "seconds": 0.0, "licenses": []})
            total["clips"] += values["clips"]
            total["seconds"] += values["seconds"]
            total["licenses"] = sorted({*total["licenses"], *values["licenses"]})
    layout = type(reader).title
    return {
        "digest": digest, "layout": layout, "skeleton": reader.skeleton, "clips": dict(clips), "sources": sources,
        "seconds": sum(values["seconds"] for values in sources.values()), "captions": sum(result["captions"] for _, result in kept),
        "reused_shards": reused,
    }  # fmt: skip


def _read_report(folder: Path) -> BuildReport:
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    lines = (folder / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    skipped = [Skip(**json.loads(line)) for line in lines]
    names = ("layout", "clips", "seconds", "captions", "reused_shards", "sources")
    return BuildReport(folder, skipped=skipped, **{name: record[name] for name in names})


def _nothing(reader: MotionSource, skipped: list[Skip]) -> str:
    shown = "".join(f"\n  {skip.path}: {skip.reason}" for skip in skipped[:5])
    return f"Nothing in {str(reader.folder)!r} can be used ({type(reader).title}); left out: {len(skipped)}.{shown}"
