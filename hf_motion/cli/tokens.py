"""`hf-motion tokenize` and `hf-motion detokenize`."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .app import app, user_errors
from .generate import Device, Format


class TokenFormat(StrEnum):
    """How codes are written: ours, or as the named systems write them."""

    motion = "motion"
    motiongpt = "motiongpt"
    integers = "integers"
    list = "list"


Tokenizer = Annotated[str, typer.Option("--model", help="Folder or Hub repository of a motion tokenizer, or of a model that has one.")]
Written = Annotated[
    TokenFormat, typer.Option("--format", "-f", help="motion: <motion_3>...; motiongpt: <motion_id_3>...; integers: 3,1; list: [3, 1].")
]


@app.command()
def tokenize(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Motion files.")],
    model: Tokenizer,
    written: Written = TokenFormat.motion,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File for JSON lines; printed by default.")] = None,
    device: Device = None,
) -> None:
    """Turn motion files into tokens: one JSON object per file, with its codes and their text.

    Of two streams, body and hands, the codes are those of each step, and each stream is given beside them.
    """
    from transformers.utils import logging

    from ..formats.read import read_motion
    from ..tokenization.codec import MotionCodec
    from ..utils.device import choose_device
    from ..utils.files import atomic_path

    logging.disable_progress_bar()
    with user_errors():
        codec = MotionCodec.from_pretrained(model, choose_device(device))
        extractor = codec.feature_extractor
        motions = [read_motion(path, fps=extractor.fps, skeleton=extractor.skeleton) for path in paths]
        lines = []
        for path, codes in zip(paths, codec.encode(motions), strict=True):
            row = {"file": str(path), "codes": codes.tolist(), "text": codec.tokenizer.encode_motion(codes, format=written.value)}
            if codec.model.config.hand_features is not None:
                row["body"], row["hands"] = (stream.tolist() for stream in codec.model.split_streams(codes))
            lines.append(json.dumps(row))
        if output is None:
            for line in lines:
                typer.echo(line)
            return
        with atomic_path(output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    typer.echo(output)


@app.command()
def detokenize(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT|FILE...", help="Texts with motion tokens, or files that tokenize wrote.")],
    model: Tokenizer,
    output: Annotated[Path, typer.Option("--output", "-o", help="A motion file, or a folder for several.")] = Path("outputs"),
    written: Written = TokenFormat.motion,
    lenient: Annotated[bool, typer.Option("--lenient", help="Drop and count what does not belong, rather than stop at it.")] = False,
    suffix: Annotated[Format, typer.Option("--to", help="Format of the files in a folder.")] = Format.bvh,
    device: Device = None,
) -> None:
    """Turn tokens into motion files."""
    import torch
    from transformers.utils import logging

    from ..tokenization.codec import MotionCodec
    from ..utils.device import choose_device
    from ..utils.files import check_writable

    logging.disable_progress_bar()
    with user_errors():
        codec = MotionCodec.from_pretrained(model, choose_device(device))
        codes = []
        for text in texts:
            if os.path.isfile(text):  # a text may be longer than any path, at which pathlib raises
                codes += [torch.tensor(row["codes"]) for row in _rows(Path(text))]
                continue
            decoded = codec.tokenizer.decode_motion(text, strict=not lenient, format=written.value)
            if decoded.dropped:
                typer.secho(f"Dropped {decoded.dropped} piece(s) that are no motion tokens.", err=True)
            codes.append(decoded.codes)
        folder = not output.suffix
        if not folder and len(codes) > 1:
            raise ValueError(f"{len(codes)} motions cannot all be {str(output)!r}; give a folder.")
        check_writable(output if folder else output.parent)
        paths = [output / f"{index:03d}.{suffix.value}" for index in range(len(codes))] if folder else [output]
        written_paths = [motion.save(path) for motion, path in zip(codec.decode(codes), paths, strict=True)]
    for path in written_paths:
        typer.echo(path)


def _rows(path: Path) -> list[dict]:
    from ..utils.faults import reading
    from ..utils.text import read_lines

    with reading(path, "a file that `hf-motion tokenize` wrote"):
        rows = [json.loads(line) for _, line in read_lines(path)]
        if not all(isinstance(row["codes"], list) for row in rows):
            raise TypeError("codes must be lists")
    return rows
