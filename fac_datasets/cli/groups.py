"""Options that belong together, as one parameter of a command: an option is added in one place, the group."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, get_origin, get_type_hints

import typer


@dataclass(frozen=True)
class Changes:
    """Marks a parameter that takes the settings that a user gave, as a dictionary; others keep their defaults.

    The options are the fields of a dataclass, and their help is what the dataclass says of them.
    """

    of: type[Any]
    """The dataclass."""
    without: tuple[str, ...] = ()
    """Fields that are no options."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Options that are called otherwise than their fields, by field."""


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command for typer whose parameters that are groups have become options, one a field.

    Args:
        command: takes dataclasses, whose fields are annotated as options or have docstrings that serve as help, or
            dictionaries annotated with `Changes`.

    Example:
        >>> from fac_datasets.cli.options import Reading
        >>> def show(reading: Reading) -> None:
        ...     print(reading.column)
        >>> [*inspect.signature(grouped(show)).parameters]
        ['column', 'split']
    """
    makers: dict[str, Callable[[dict[str, Any]], Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        changes = next(
            (mark for mark in getattr(parameter.annotation, "__metadata__", ()) if isinstance(mark, Changes)), None
        )
        if changes is not None:
            options, makers[parameter.name] = _changes(changes)
        elif is_dataclass(parameter.annotation):
            options, makers[parameter.name] = _group(parameter.annotation)
        else:
            options = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += options

    @functools.wraps(command)
    def called(**given: Any) -> Any:
        return command(**{name: make(given) for name, make in makers.items()}, **given)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _group(group: Any) -> tuple[list[inspect.Parameter], Callable[[dict[str, Any]], Any]]:
    """The options of a group, and what makes it from what a user gave, which it takes out."""
    documented, hints = _documented(group), get_type_hints(group, include_extras=True)
    options = [
        _option(
            each.name,
            hints[each.name],
            inspect.Parameter.empty if each.default is MISSING else each.default,
            documented.get(each.name),
        )
        for each in fields(group)
    ]
    return options, lambda given: group(**{each.name: given.pop(each.name) for each in fields(group)})


def _changes(changes: Changes) -> tuple[list[inspect.Parameter], Callable[[dict[str, Any]], Any]]:
    """The same for settings of which only those that a user gave are taken."""
    documented, hints = _documented(changes.of), get_type_hints(changes.of)
    names = {each.name: changes.renamed.get(each.name, each.name) for each in fields(changes.of)}
    names = {name: option for name, option in names.items() if name not in changes.without}
    options = [
        _option(option, _given_or_not(hints[name]), None, documented.get(name)) for name, option in names.items()
    ]

    def made(given: dict[str, Any]) -> dict[str, Any]:
        found = {name: given.pop(option) for name, option in names.items()}
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found.items()
            if value is not None
        }

    return options, made


def _given_or_not(hint: Any) -> Any:
    """The type of an option that may be left out; several values are a list, as typer knows them."""
    several = hint == tuple[str, ...] or hint == tuple[str, ...] | None
    return list[str] | None if several else hint | None


def _option(name: str, hint: Any, default: Any, help: str | None) -> inspect.Parameter:
    annotation = hint if get_origin(hint) is Annotated else Annotated[hint, typer.Option(help=help)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _documented(group: type[Any]) -> dict[str, str]:
    """What stands below each field of a class, which Python itself forgets."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(group))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, below in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[ast.unparse(statement.target)] = " ".join(str(ast.literal_eval(below.value)).split())
    return found
