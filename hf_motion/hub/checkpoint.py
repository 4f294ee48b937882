"""A model and what belongs to it as one repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import create_repo, upload_folder

from ..utils.faults import writing
from .remote import forget_origin


def save_checkpoint(
    folder: str | Path,
    parts: list[Any],
    write_card: Callable[[Path, str | None], None],
    repo_id: str | None = None,
    token: str | None = None,
) -> None:
    """Save all that a model needs into one folder, with a card unless it has one, and perhaps push it to the Hub.

    Args:
        folder (`str` or `pathlib.Path`): Where to.
        parts (`list`): The model, its tokenizer, its feature extractor: whatever has `save_pretrained`.
        write_card (`Callable`): Called with the folder and the repository.
        repo_id (`str`, *optional*): Repository to push to; made if it is not there.
        token (`str`, *optional*): Access token.
    """
    if repo_id is not None:
        repo_id = create_repo(repo_id, token=token, exist_ok=True).repo_id
    with writing(folder):
        for part in parts:
            part.save_pretrained(folder)
        for path in Path(folder).glob("*.json"):
            forget_origin(path)
        write_card(Path(folder), repo_id)
    if repo_id is not None:
        upload_folder(repo_id=repo_id, folder_path=folder, token=token, commit_message=f"Upload {type(parts[0]).__name__}")
