"""Imports that generation does not need, put off until somebody does.

transformers and diffusers import, on behalf of a model of a few layers, torch's compiler, tensors that are spread over machines, and every
autoencoder of diffusers with all that these need: more than half of the time from a command to its first motion. Nothing here changes what
a function does, only when its module is imported.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from ..registration import when_imported

_COMPILER = "torch._dynamo"
_NOT_FOR_GENERATION = ("scipy", "sklearn", "pandas")


@contextmanager
def light_diffusers() -> Iterator[None]:
    """While diffusers' pipelines are imported, a stand-in for the autoencoder that they ask `isinstance` of.

    `diffusers.pipelines.pipeline_utils` imports `AutoencoderKL` for one method that motion pipelines do not have; with it come 250 modules
    of image models, PEFT and, where it is installed, scipy. The stand-in answers `isinstance` by the real class.
    """
    import diffusers.models as models

    loaded = "AutoencoderKL" in vars(models) or "diffusers.pipelines.pipeline_utils" in sys.modules
    if not loaded:
        models.AutoencoderKL = _stand_in("AutoencoderKL", "diffusers.models.autoencoders.autoencoder_kl")
    try:
        yield
    finally:
        if not loaded:
            del models.AutoencoderKL


def _stand_in(name: str, module: str) -> type:
    class StandIn(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, getattr(importlib.import_module(module), name))

    return StandIn(name, (), {})


def lighten_process() -> None:
    """Make this process one that only generates motions: for `hf-motion generate` and `edit`, whose process is theirs.

    A library must not do that to the programs that it is used in. Three things are left out of what transformers imports:

    - the compiler: importing transformers marks functions as not to be compiled, and that alone imports `torch._dynamo` with sympy. A
      stand-in takes the marks, and becomes the real module when anything else is asked of it.
    - tensors that are spread over machines, by way of `torch.distributed.is_available`, as in builds of torch without them.
    - packages that losses and assisted decoding use where they are installed.
    """
    if _COMPILER not in sys.modules:
        for name in (_COMPILER, f"{_COMPILER}._trace_wrapped_higher_order_op"):
            sys.modules[name] = _Compiler(name)
    for name in _NOT_FOR_GENERATION:
        sys.modules.setdefault(name, None)
    when_imported("torch", lambda torch: setattr(torch.distributed, "is_available", lambda: False))


class _Compiler(ModuleType):
    """Stands for a module of the compiler; decorators that only mark functions leave them as they are."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("disable", "allow_in_graph", "assume_constant_result"):
            return _unmarked
        if name == "TransformGetItemToIndex":
            return lambda: getattr(_real_compiler(self.__name__), name)()
        if name == "eval_frame":  # diffusers asks whether a module has been compiled; none has while this stands here
            return SimpleNamespace(OptimizedModule=_Compiled)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(_real_compiler(self.__name__), name)


class _Compiled:
    """What no module is an instance of."""


def _real_compiler(name: str) -> ModuleType:
    for stand_in in [key for key, module in sys.modules.items() if isinstance(module, _Compiler)]:
        del sys.modules[stand_in]
    return importlib.import_module(name)


def _unmarked(function: Callable | None = None, *_: Any, **options: Any) -> Any:
    return function if function is not None else functools.partial(_unmarked, **options)
