"""Columns that say again what others hold, such as Alpaca's `text`: how they are made, learned from the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fac_datasets.errors import DatasetError


class Template(NamedTuple):
    """Parts, and what stands before, between and behind them: one piece more than there are parts."""

    parts: tuple[str, ...]
    pieces: tuple[str, ...]

    def filled(self, texts: Mapping[str, str]) -> str:
        """The template with texts in its places."""
        held = (texts[part] + behind for part, behind in zip(self.parts, self.pieces[1:], strict=True))
        return self.pieces[0] + "".join(held)


@dataclass(frozen=True)
class Derived:
    """How a column is made of the parts of a row, by the parts that a row has.

    Example:
        >>> rows = [{"prompt": "Name a fruit.", "response": "Pear."}, {"prompt": "And a bird?", "response": "Wren."}]
        >>> cells = ["Q: Name a fruit.\\nA: Pear.", "Q: And a bird?\\nA: Wren."]
        >>> Derived.of(rows, cells).cell({"prompt": "A colour?", "response": "Blue."})
        'Q: A colour?\\nA: Blue.'
    """

    templates: Mapping[tuple[str, ...], Template]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]], cells: Sequence[Any]) -> Derived:
        """Learn how cells are made: what two rows agree on, or a single row where nothing of it is left over.

        Args:
            rows: texts by part; empty for rows that cannot be read.
            cells: of the column, one a row.
        """
        found: dict[tuple[str, ...], Counter[Template]] = {}
        for texts, cell in zip(rows, cells, strict=True):
            template = _template(texts, cell) if texts and isinstance(cell, str) else None
            if template is not None:
                found.setdefault(tuple(texts), Counter())[template] += 1
        best = {parts: counted.most_common(1)[0] for parts, counted in found.items()}
        return cls(
            {
                parts: template
                for parts, (template, count) in best.items()
                if count > 1 or template.parts == parts or not any(template.pieces)
            }
        )

    def cell(self, texts: Mapping[str, str]) -> str:
        """The column's cell of a row with these texts.

        Raises:
            DatasetError: no row with these parts showed how it is made.
        """
        template = self.templates.get(tuple(texts))
        if template is None:
            raise DatasetError(f"no row with the parts {list(texts)} shows how the column is made")
        return template.filled(texts)


def _template(texts: Mapping[str, str], cell: str) -> Template | None:
    parts, pieces, begin = [], [], 0
    for part, text in texts.items():
        place = cell.find(text.strip(), begin)
        if place < 0:
            continue
        parts.append(part)
        pieces.append(cell[begin:place])
        begin = place + len(text.strip())
    return Template(tuple(parts), (*pieces, cell[begin:])) if parts else None
