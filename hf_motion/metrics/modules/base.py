"""What the modules share. Scripts import it as a module: `evaluate` takes the first metric class that it finds in a script."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import evaluate
import numpy as np
from datasets import Features, List, Value

EMBEDDING = List(Value("float64"))
SEVERAL = List(EMBEDDING)
JOINTS = List(List(EMBEDDING))
SENTENCES = [
    {"predictions": Value("string"), "references": Value("string")},
    {"predictions": Value("string"), "references": List(Value("string"))},
]


class MotionMetric(evaluate.Metric):
    """A metric that hands its columns and options to a function of `hf_motion.metrics`.

    A number is returned under the script's name; of an array, one number per clip, the mean is. A dictionary stays as it is.
    """

    function: ClassVar[Callable[..., Any]]
    columns: ClassVar[Any]

    def _info(self) -> evaluate.MetricInfo:
        choices = self.columns if isinstance(self.columns, list) else [self.columns]
        return evaluate.MetricInfo(
            description=inspect.getdoc(type(self)),
            citation="",
            inputs_description=inspect.getdoc(self.function) or "",
            features=[Features(columns) for columns in choices] if len(choices) > 1 else Features(choices[0]),
        )

    def _compute(self, predictions: Any, references: Any = None, **options: Any) -> dict[str, Any]:
        columns = (predictions,) if references is None else (predictions, references)
        result = type(self).function(*columns, **options)
        return result if isinstance(result, dict) else {type(self).__module__.rsplit(".", 1)[-1]: float(np.mean(result))}
