"""Feast is imported without what makes that slow: type checks compiled into it each time, and PyTorch."""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Final

FEAST: Final = "feast"
TORCH: Final = "feast.torch_wrapper"  # Feast's one module that imports PyTorch


class LeanFeast(MetaPathFinder):
    """Finds Feast for Python, whoever imports it.

    It is the same, but that it no longer refuses arguments of a wrong type before it stumbles over them.
    Every command and every worker would wait 9 seconds for it. 5 of them are typeguard's, which rewrites Feast's
    classes to check types at run time (it does nothing in a Python that optimises, for production), and 2, with 200 MB
    of memory, PyTorch's, which Feast needs for `to_tensor` alone.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for any module but those two."""
        if name == TORCH:
            return ModuleSpec(name, _TorchWhenAsked())
        if name != FEAST:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Unchecked(spec.loader.name, spec.loader.path)
        return spec

    @classmethod
    def install(cls) -> None:
        """From now on, once."""
        if not any(isinstance(one, cls) for one in sys.meta_path):
            sys.meta_path.insert(0, cls())


class _Unchecked(SourceFileLoader):
    """Runs a package while typeguard's decorator leaves its classes as they are."""

    def exec_module(self, module: ModuleType) -> None:
        import typeguard

        names = vars(typeguard)
        decorator: Callable[..., object] = typeguard.typechecked

        def but_for_feast(target: object = None, **options: object) -> object:
            return target if str(getattr(target, "__module__", "")).startswith(FEAST) else decorator(target, **options)

        names["typechecked"] = but_for_feast  # others who are imported meanwhile are checked as ever
        try:
            super().exec_module(module)
        finally:
            names["typechecked"] = decorator


class _TorchWhenAsked(Loader):
    """Makes the module that hands PyTorch to Feast."""

    def create_module(self, spec: ModuleSpec) -> None:
        """As Python does by default."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(get_torch=_torch, TORCH_AVAILABLE=PathFinder.find_spec("torch") is not None)


def _torch() -> ModuleType:
    return importlib.import_module("torch")
