"""`hf-motion corrections build`: clips and instructions in, an HF data set of triplets out."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..utils.extras import require
from ..utils.files import atomic_path, output_folder, write_json
from ..utils.text import say_once
from ..utils.version import __version__
from .dataset import write_rows
from .editing import Editor
from .filters import FilterSettings
from .instructions import SPLITS, Instruction, load_instructions
from .making import Maker
from .report import write_card, write_report
from .sources import SourceClips

_CHUNK = 32
# A build whose editor is refused so much oftener than it succeeds has been asked for what its clips cannot give.
_ATTEMPTS = 40


@dataclass
class BuildRequest:
    """What to build.

    Args:
        data (`str`): Captioned motion: a parquet file, a folder of them, or a data set on the Hub.
        output (`str`): Folder of the data set, and of what has been made so far.
        count (`int`, defaults to 1000): Triplets, over all splits.
        seed (`int`, defaults to 0): All chance comes from it: attempt number i depends on the seed and i alone.
        splits (`tuple[str, ...]`, *optional*): Take the clips of these splits; all by default.
        held_out_instructions (`bool`, defaults to `False`): Use every instruction in the split that it is marked with only, so that test
            sentences have never been seen. By default all are used everywhere.
        instructions (`str`, *optional*): YAML of instructions; ours by default.
        kinds (`tuple[str, ...]`, *optional*): Make only these kinds of change.
        min_frames (`int`, defaults to 40): Leave shorter clips out.
        max_frames (`int`, defaults to 196): Cut longer ones; no target is longer either.
        filters (`FilterSettings`): Where lines are drawn.
        sheet (`int`, defaults to 8): Pairs on the contact sheet; 0 draws none.
        show_progress (`bool`, defaults to `True`): Show a progress bar.
    """

    data: str
    output: str
    count: int = 1000
    seed: int = 0
    splits: tuple[str, ...] | None = None
    held_out_instructions: bool = False
    instructions: str | None = None
    kinds: tuple[str, ...] | None = None
    min_frames: int = 40
    max_frames: int = 196
    filters: FilterSettings = field(default_factory=FilterSettings)
    sheet: int = 8
    show_progress: bool = True


def build(request: BuildRequest, editor: Editor, judge: Any = None) -> dict[str, Any]:
    """Build a data set of triplets. Called again with the same request, also after it was killed, it goes on where it stopped.

    Args:
        request (`BuildRequest`): What to build.
        editor (`Editor`): What makes targets.
        judge (`Reward`, *optional*): Says how well motions and sentences agree, see `FilterSettings.min_gain`.

    Returns:
        `dict`: What was made, and what was left out and why: the content of `build.json`.

    Raises:
        ValueError: If an option does not fit, the folder holds another build, or hardly anything can be made: the message says why.
        OSError: If something cannot be read or written.
    """
    if request.count < 1:
        raise ValueError(f"count must be at least 1, got {request.count}.")
    if request.filters.min_gain is not None and judge is None:
        raise ValueError("min_gain needs a judge, such as hf_motion.rewards.TMRReward.from_pretrained().")
    instructions = load_instructions(request.instructions)
    start = time.monotonic()
    with output_folder(request.output), say_once():
        folder = Path(request.output)
        clips = SourceClips(request.data, request.splits, request.min_frames, request.max_frames)
        settings = _settings(request, editor, judge, instructions, clips)
        _check_folder(folder, settings)
        maker = Maker(clips, instructions, editor, request, judge)
        chunks = _make(maker, request, folder / "work")
        record = _finish(folder, chunks, request, settings, clips)
        record["seconds"] = round(time.monotonic() - start, 1)
        write_json(folder / "build.json", record)
        write_card(folder, record)
    return record


def _settings(
    request: BuildRequest, editor: Editor, judge: Any, instructions: Sequence[Instruction], clips: SourceClips
) -> dict[str, Any]:  # fmt: skip
    """All that an attempt depends on."""
    words = hashlib.sha256(repr(instructions).encode()).hexdigest()[:24]
    return {
        "hf_motion": __version__, "seed": request.seed, "splits": request.splits and list(request.splits),
        "held_out_instructions": request.held_out_instructions, "instructions": words, "kinds": request.kinds and list(request.kinds),
        "min_frames": request.min_frames, "max_frames": request.max_frames, "filters": asdict(request.filters), "clips": clips.digest,
        "editor": editor.settings, "judge": judge.settings() if judge is not None else None,
    }  # fmt: skip


def _check_folder(folder: Path, settings: dict[str, Any]) -> None:
    file = folder / "work" / "settings.json"
    told = json.loads(json.dumps(settings))
    if not file.is_file():
        write_json(file, told)
        return
    known = json.loads(file.read_text(encoding="utf-8"))
    if known != told:
        other = sorted(name for name in told if known.get(name) != told[name])
        raise ValueError(f"{str(folder)!r} holds a build with other settings ({', '.join(other)}). Choose another output folder.")


def _make(maker: Maker, request: BuildRequest, work: Path) -> list[dict[str, Any]]:
    """Chunks of attempts until there are enough triplets; those that are there already are only read."""
    done: list[dict[str, Any]] = []
    kept = attempts = 0
    with tqdm(total=request.count, desc=f"Editing ({maker.editor.name})", disable=not request.show_progress) as bar:
        while kept < request.count:
            if attempts >= _ATTEMPTS * max(request.count, _CHUNK):
                reasons = sum((Counter(chunk["dropped"]) for chunk in done), Counter[str]())
                raise ValueError(
                    f"Only {kept} triplets came of {attempts} attempts, {request.count} were asked for. Left out: "
                    f"{dict(reasons.most_common(6))}. Ask for fewer, take other kinds or more clips, or loosen the filters."
                )
            chunk = _chunk(maker, work, attempts // _CHUNK)
            done.append(chunk)
            kept, attempts = kept + chunk["kept"], attempts + _CHUNK
            bar.update(min(chunk["kept"], request.count - bar.n))
    return done


def _chunk(maker: Maker, work: Path, number: int) -> dict[str, Any]:
    """What a chunk counted; its rows are a file beside that. The counts are written last: where they are, the rows are whole."""
    counts, file = work / f"{number:06d}.json", work / f"{number:06d}.parquet"
    if counts.is_file() and file.is_file():
        return {**json.loads(counts.read_text(encoding="utf-8")), "file": file}
    rows, dropped, refused = maker.make(range(number * _CHUNK, (number + 1) * _CHUNK))
    with atomic_path(file) as temporary:
        write_rows(temporary, rows)
    content = {"kept": len(rows), "dropped": dict(dropped), "refused": dict(refused)}
    write_json(counts, content)
    return {**content, "file": file}


def _finish(
    folder: Path, chunks: Sequence[dict[str, Any]], request: BuildRequest, settings: dict[str, Any], clips: SourceClips
) -> dict[str, Any]:
    """Write the splits, the report and the sheet of the first `count` triplets."""
    parquet, pyarrow = require("pyarrow.parquet", "Writing triplets"), require("pyarrow", "Writing triplets")
    table = pyarrow.concat_tables([parquet.read_table(chunk["file"]) for chunk in chunks]).slice(0, request.count)
    names = table.column("split").to_pylist()
    counts = {split: names.count(split) for split in SPLITS if split in names}
    for split in SPLITS:
        rows = table.filter(pyarrow.compute.equal(table.column("split"), split)) if split in counts else None
        for old in (folder / "data").glob(f"{split}-*.parquet"):
            old.unlink()
        if rows is not None:
            with atomic_path(folder / "data" / f"{split}-00000.parquet") as temporary:
                parquet.write_table(rows, temporary, compression="zstd", row_group_size=64)
    dropped, refused = (sum((Counter(chunk[name]) for chunk in chunks), Counter[str]()) for name in ("dropped", "refused"))
    record = {
        **settings, "triplets": len(table), "rows": counts, "attempts": len(chunks) * _CHUNK, "dropped": dict(dropped.most_common()),
        "refused": dict(refused.most_common()), "sources": len(set(table.column("source_id").to_pylist())), "source": clips.name,
        "skipped_clips": dict(clips.skipped), "licenses": sorted({name for name in table.column("license").to_pylist() if name}),
    }  # fmt: skip
    return record | write_report(folder, table, request.sheet, request.seed)
