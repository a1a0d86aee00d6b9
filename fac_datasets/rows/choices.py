"""The choices of a question in every form: listed in a text, found there again, and which of them is right."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fac_datasets.errors import RowError

_TEXT_KEYS = ("text", "choice", "content")
_LABEL_KEYS = ("label", "key", "letter")


def choices_of(held: Any, column: str, index: int) -> tuple[list[str], list[str]]:
    """Letters and texts of the choices in a cell.

    Args:
        held: a list of texts, or of mappings with `label` and `text`; a mapping of such lists, or by letter; JSON of
            these.
        column: of the cell, for errors.
        index: of the row, for errors.

    Raises:
        RowError: it holds something else.

    Example:
        >>> choices_of({"text": ["Plum", "Pear"], "label": ["1", "2"]}, "choices", 0)
        (['1', '2'], ['Plum', 'Pear'])
    """
    if isinstance(held, str):
        with contextlib.suppress(ValueError, RecursionError):
            held = json.loads(held)
    if isinstance(held, Mapping) and isinstance(held.get("text"), list | tuple):
        labels = held.get("label") or letters_of(held["text"])
        if len(labels) != len(held["text"]):
            raise RowError(index, f"holds {len(labels)} labels for {len(held['text'])} choices in column {column!r}")
        return [str(label) for label in labels], [str(choice) for choice in held["text"]]
    if isinstance(held, Mapping):
        present = {str(letter): str(choice) for letter, choice in held.items() if choice is not None}
        return list(present), list(present.values())
    if isinstance(held, list | tuple) and all(isinstance(choice, str | int | float) for choice in held):
        return letters_of(held), [str(choice) for choice in held]
    if isinstance(held, list | tuple) and all(isinstance(choice, Mapping) for choice in held):
        texts = [_first(choice, _TEXT_KEYS) for choice in held]
        if None not in texts:
            pairs = zip(held, letters_of(held), strict=True)
            return [_first(choice, _LABEL_KEYS) or letter for choice, letter in pairs], [text or "" for text in texts]
    raise RowError(index, f"holds {type(held).__name__} in column {column!r}; expected a list of texts")


def letters_of(choices: Sequence[Any]) -> list[str]:
    """Letters, and numbers behind the 26th, for choices that have no labels."""
    return [chr(ord("A") + number) if number < 26 else str(number) for number in range(len(choices))]


def right_choice(held: Any, letters: Sequence[str], texts: Sequence[str], column: str, index: int) -> str | None:
    """The text of the choice that a number from 0, a letter or a text names; None where the answer is withheld.

    Raises:
        RowError: it names none of them.

    Example:
        >>> right_choice("(B)", ["A", "B"], ["Plum", "Pear"], "answer", 0)
        'Pear'
    """
    if isinstance(held, float) and held.is_integer():
        # So numbers come out of pandas where one of the column is missing.
        held = int(held)
    if held is None or held == "" or (isinstance(held, int) and held < 0):
        return None
    if isinstance(held, str):
        bare = held.strip().strip("().").strip()
        for names in (letters, [letter.casefold() for letter in letters], [text.strip() for text in texts]):
            for name in (held.strip(), bare, bare.casefold()):
                if name in names:
                    return texts[names.index(name)]
        held = int(bare) if bare.isdecimal() else held
    if isinstance(held, int) and held < len(texts):
        return texts[held]
    raise RowError(index, f"names {held!r} in column {column!r}, which is none of its {len(texts)} choices")


def listed(letters: Sequence[str], texts: Sequence[str]) -> str:
    """Choices a line each, behind their letters."""
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(letters, texts, strict=True))


def unlisted(asked: str) -> tuple[str, list[str], list[str]]:
    """The question, letters and choices of a text in which `listed` stands last, behind a blank line; else no choices.

    Example:
        >>> unlisted("Which fruit is green?\\n\\nA. Plum\\nB. Pear")
        ('Which fruit is green?', ['A', 'B'], ['Plum', 'Pear'])
    """
    for first in ("A", "1"):
        question, found, rest = asked.rpartition(f"\n\n{first}. ")
        if not found:
            continue
        letters, texts = [first], []
        while True:
            following = _following(letters)
            text, parted, rest_behind = rest.partition(f"\n{following}. ")
            texts.append(text)
            if not parted:
                return question, letters, texts
            letters.append(following)
            rest = rest_behind
    return asked, [], []


def choices_in(feature: Any, letters: Sequence[str], texts: Sequence[str]) -> Any:
    """Choices as a cell of a column of this type of `datasets`; a list of texts where it is not known."""
    message = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    if isinstance(feature, dict) and "text" in feature:
        held = {**dict.fromkeys(feature), "text": list(texts), "label": list(letters)}
        return {name: value for name, value in held.items() if name in feature}
    if isinstance(feature, dict):
        return {**dict.fromkeys(feature), **dict(zip(letters, texts, strict=True))}
    if isinstance(message, dict):
        label = next((key for key in _LABEL_KEYS if key in message), None)
        text = next(key for key in _TEXT_KEYS if key in message)
        return [
            {**dict.fromkeys(message), **({label: letter} if label else {}), text: choice}
            for letter, choice in zip(letters, texts, strict=True)
        ]
    if getattr(feature, "dtype", None) in ("string", "large_string"):
        return json.dumps(list(texts), ensure_ascii=False)
    return list(texts)


def _first(choice: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first value that a mapping has under one of some keys, as a text."""
    return next((str(choice[key]) for key in keys if choice.get(key) is not None), None)


def _following(letters: Sequence[str]) -> str:
    if re.fullmatch(r"\d+", letters[0]):
        return str(int(letters[0]) + len(letters))
    return letters_of(range(len(letters) + 1))[-1]
