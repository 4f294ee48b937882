"""What the task pipelines of `transformers.pipeline` have in common: models that take and give whole motions and sentences."""

from __future__ import annotations

import os
from typing import Any

from transformers import Pipeline

_BATCH_SIZE = 16


class MotionPipeline(Pipeline):
    """A pipeline around one method of a model, which does all the reading and writing itself.

    Raises:
        ValueError: If the model has no such method.
    """

    _method: str
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_processor = False
    _load_video_processor = False
    _pipeline_calls_generate = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _check_model(self.model, self._method)

    def _answer(self, *inputs: Any, **options: Any) -> Any:
        try:
            return getattr(self.model, self._method)(*inputs, **options)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                name = type(self.model).__name__
                raise ValueError(f"{name}: {error}. See help({name}.{self._method}) for its options.") from error
            raise

    def _checked_batch_size(self, batch_size: int | None) -> int:
        batch_size = batch_size or self._batch_size or _BATCH_SIZE
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        return batch_size

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save the model. transformers' own method would add an entry to `config.json` that makes every later load demand trust."""
        self.model.save_pretrained(save_directory, **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Push the model to the Hub."""
        return self.model.push_to_hub(repo_id, **kwargs)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        return {}, options, {}

    def preprocess(self, inputs: Any, **parameters: Any) -> Any:
        """Not needed: the model takes what it is given."""
        return inputs

    def _forward(self, inputs: Any, **parameters: Any) -> Any:
        return self._answer(inputs, **parameters)

    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        """Not needed: the model gives what is wanted."""
        return model_outputs


def _check_model(model: Any, method: str) -> None:
    """Refuse a model that cannot do it, with the reason.

    When a checkpoint of a language model does not load as one with motion tokens, `transformers.pipeline` swallows why and takes the plain
    language model instead.

    Args:
        model (`PreTrainedModel`): What was loaded.
        method (`str`): What it has to answer.

    Raises:
        ValueError: If it does not, or does not load.
    """
    if hasattr(model, method):
        return
    name = getattr(model, "name_or_path", "")
    if name and not type(model).__module__.startswith("hf_motion"):
        from ..models.motion_language.auto import AutoMotionModel

        try:
            AutoMotionModel.from_pretrained(name)
        except OSError as error:
            raise ValueError(str(error)) from error
    raise ValueError(f"{name!r} holds a {type(model).__name__}, which has no {method}. Name a checkpoint of another model.")
