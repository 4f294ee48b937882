"""The metrics as modules of the `evaluate` library, one script each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.extras import require

if TYPE_CHECKING:
    from evaluate import Metric

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the modules."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem not in ("__init__", "base"))


def load(name: str, **options: Any) -> Metric:
    """Load a metric as a module of `evaluate`, from this package and without a network.

    The same as `evaluate.load` with the path of the script, `hf_motion/metrics/modules/<name>.py`. `compute` takes `predictions`, mostly
    `references`, and the options of the function; it returns a dictionary.

    Args:
        name (`str`): `"fid"`, `"r_precision"`, `"mpjpe"` ...; an unknown name is answered with all of them.
        **options: Passed to `evaluate.load`, such as `num_process` and `process_id`.

    Raises:
        ImportError: If `evaluate` is not installed.
        ValueError: If there is no such module.

    Example:
    >>> from hf_motion.metrics import load
    >>> load("r_precision").compute(predictions=[[1.0, 0.0], [0.0, 1.0]], references=[[1.0, 0.0], [0.0, 1.0]], top_k=1, pool_size=2)
    {'r_precision_top1': 1.0}
    """
    if name not in names():
        raise ValueError(f"There is no metric called {name!r}. There are: {', '.join(names())}.")
    return require("evaluate", "A metric as a module").load(str(_FOLDER / f"{name}.py"), **options)
