"""Finding variants of one thing, such as formats or filters: one file each in a folder, and no list of them to keep."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def instances_in(package: str, kind: type[T]) -> list[T]:
    """The objects of a kind that the files of a package define, by file name.

    Args:
        package: dotted name; its file `base.py` is left out.
        kind: of the objects.

    Example:
        >>> from fac_datasets.sae.formats.base import SAEFormat
        >>> [format.name for format in instances_in("fac_datasets.sae.formats", SAEFormat)][:2]
        ['gemma_scope', 'native']
    """
    return [value for module in _files_of(package) for value in vars(module).values() if isinstance(value, kind)]


def subclasses_in(package: str, base: type[Any]) -> list[type[Any]]:
    """The classes on a base that the files of a package define, by file name; see `instances_in`.

    Example:
        >>> from fac_datasets.synthesis.filters.base import Filter
        >>> [filter.__name__ for filter in subclasses_in("fac_datasets.synthesis.filters", Filter)][:3]
        ['AboutItself', 'Copy', 'Echo']
    """
    return [
        value
        for module in _files_of(package)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]


def _files_of(package: str) -> list[ModuleType]:
    names = sorted(module.name for module in iter_modules(import_module(package).__path__))
    return [import_module(f"{package}.{name}") for name in names if name != "base"]
