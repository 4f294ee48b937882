"""Imports that generation does not need, put off until somebody does.

transformers and diffusers import, on behalf of a model of a few layers, torch's compiler, tensors that are spread over machines, and every
autoencoder of diffusers with all that these need: more than half of the time from a command to its first motion. Nothing here changes what
a function does, only when its module is imported.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .importing import when_imported

_MARKS = ("disable", "allow_in_graph", "assume_constant_result")
"""Of the compiler: decorators that only mark functions."""

_STAND_INS = {
    "torch._dynamo": ("eval_frame",),
    "torch._dynamo._trace_wrapped_higher_order_op": (),
    "torch._dynamo.eval_frame": ("OptimizedModule",),
    "peft": ("PeftModel",),
    "peft.tuners": (),
    "peft.tuners.tuners_utils": ("BaseTunerLayer",),
}
"""Modules that are put off, and the classes of theirs that objects are asked whether they are of: none is, before they are imported."""

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
        models.AutoencoderKL = _class_of("AutoencoderKL", "diffusers.models.autoencoders.autoencoder_kl")
    try:
        yield
    finally:
        if not loaded:
            del models.AutoencoderKL


def _class_of(name: str, module: str) -> type:
    class Asked(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, getattr(importlib.import_module(module), name))

    return Asked(name, (), {})


def lighten_process() -> None:
    """Make this process one that only generates motions: for `hf-motion generate` and `edit`, whose process is theirs.

    A library must not do that to the programs that it is used in. What transformers and diffusers import for other purposes waits:

    - the compiler, which both import to mark functions as not to be compiled, and PEFT, which they import to ask whether an object is of
      it. A stand-in answers, and makes room for the real module when anything else is asked of it.
    - tensors that are spread over machines, by way of `torch.distributed.is_available`, as in builds of torch without them.
    - packages that losses and assisted decoding use where they are installed.
    """
    for name in _STAND_INS:
        if name not in sys.modules:
            sys.modules[name] = _StandIn(name)
    sys.meta_path.append(_Below())
    for name in _NOT_FOR_GENERATION:
        sys.modules.setdefault(name, None)
    # Both read the list of all files of all packages for it.
    importlib.metadata.packages_distributions = functools.cache(importlib.metadata.packages_distributions)
    when_imported("torch", lambda torch: setattr(torch.distributed, "is_available", lambda: False))


class _StandIn(ModuleType):
    """Stands for a module, and all of its package, until more is asked of it than to mark functions or to own no object."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name in _MARKS and self.__name__ == "torch._dynamo":
            return _unmarked
        if name == "TransformGetItemToIndex":  # imported by transformers, used only while it compiles
            return lambda: getattr(self._real(), name)()
        if f"{self.__name__}.{name}" in _STAND_INS:
            return sys.modules[f"{self.__name__}.{name}"]
        if name in _STAND_INS[self.__name__]:
            return type(name, (), {})
        return getattr(self._real(), name)

    def _real(self) -> ModuleType:
        package = "torch._dynamo" if self.__name__.startswith("torch.") else self.__name__.partition(".")[0]
        for name in [name for name in _STAND_INS if name.startswith(package) and isinstance(sys.modules.get(name), _StandIn)]:
            del sys.modules[name]
        return importlib.import_module(self.__name__)


class _Below(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Is asked last: a module below a stand-in is wanted, so the real package is."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        above = sys.modules.get(fullname.rpartition(".")[0])
        if not isinstance(above, _StandIn):
            return None
        above._real()
        importlib.import_module(fullname)
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has been run already."""


def _unmarked(function: Callable | None = None, *_: Any, **options: Any) -> Any:
    return function if function is not None else functools.partial(_unmarked, **options)
