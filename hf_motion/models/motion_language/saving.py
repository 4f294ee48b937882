"""Writing a motion language model as a repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...hub.card import write_language_card
from ...hub.remote import forget_origin, write_language_door
from ...utils.faults import writing
from .repository import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MOTION_FOLDER

if TYPE_CHECKING:
    from .modeling_motion_language import MotionLanguageModel


def save_motion_language_model(model: MotionLanguageModel, folder: Path, repo_id: str | None = None, **kwargs: Any) -> None:
    """Save the language model as a plain repository, the motion tokenizer in a folder in it, a card and the door for remote code.

    Args:
        model (`MotionLanguageModel`): The model; of one with adapters, these are saved alone.
        folder (`pathlib.Path`): Where to.
        repo_id (`str`, *optional*): Where it is going to be, for the card's examples.
        **kwargs: As for `transformers.PreTrainedModel.save_pretrained` of the language model.
    """
    with writing(folder):
        model.language_model.save_pretrained(folder, **kwargs)
        if not model.has_adapters:
            model.tokenizer.save_pretrained(folder)
            for part in (model.vq_model, model.motion_tokenizer, model.feature_extractor):
                part.save_pretrained(folder / MOTION_FOLDER)
            if model.video_processor is not None:
                model.video_processor.save_pretrained(folder)
            for path in (*folder.glob("*.json"), *(folder / MOTION_FOLDER).glob("*.json")):
                if path.name != "tokenizer.json":
                    forget_origin(path)
            write_language_door(folder, "VimoRAG" if model.video_processor is not None else None)
            for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):  # of an earlier save, and they would be loaded in place of this
                (folder / name).unlink(missing_ok=True)
        else:
            (folder / "README.md").unlink(missing_ok=True)  # that of peft, which says nothing
        write_language_card(folder, model, repo_id)
