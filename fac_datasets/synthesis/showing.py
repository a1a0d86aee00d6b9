"""What a prompt shows for a target: rows that activate its feature, and the few words in which it fires.

A sample gets the label of the row that leads. Where this is no row of the anchor, as none has a label, that label leads
which was asked for least, so that classes stay balanced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.errors import ColumnError, SynthesisError
from fac_datasets.rows.row import own_texts
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.kinds.labelled_text import least_asked
from fac_datasets.synthesis.prompting import EXAMPLE_CHARACTERS, example_of
from fac_datasets.synthesis.pursuit import Pursuit, Try
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.targets import Target
from fac_datasets.synthesis.turns import few_turns

if TYPE_CHECKING:
    import datasets

EXAMPLES = 3
"""Rows shown for a target."""

PHRASE_WORDS = 4
"""Words of a phrase that ends where a feature peaks, at most."""

BEFORE_PEAK = 40
"""Characters before a peak that tell it from others in a text."""

_TRIED_ROWS = 64
"""Rows of the seed that are looked at for examples."""

_TRIED_FOR_LABELS = 1000
"""Rows of the seed that are looked at for labels which none of those has."""


class Shelf:
    """Rows of the anchor and the seed as samples of a kind.

    Args:
        kind: of the samples.
        anchor: the rows that the spans of targets refer to; None where spans stand for themselves.
        seed: rows of the kind, shown where those of the anchor are of another one.
        label_column: of the kind.
        random: seed of the choice among the seed's rows.
    """

    def __init__(
        self,
        kind: DataKind,
        anchor: datasets.Dataset | None,
        seed: datasets.Dataset | None,
        *,
        label_column: str | None = None,
        random: int = 0,
    ) -> None:
        self._kind, self._anchor, self._of_anchor = kind, anchor, None
        self._asked: Counter[Any] = Counter()
        if anchor is not None:
            try:
                of_anchor = recognise(anchor, kind.name, column=kind.column, label_column=label_column)
            except ColumnError:
                of_anchor = None
            if of_anchor is not None and of_anchor.labels == kind.labels:
                self._of_anchor = of_anchor
        self.seed_rows: list[Sample] = []
        """Rows of the seed, in random order."""
        if seed is not None and len(seed):
            order = np.random.default_rng(random).permutation(len(seed))
            found = [kind.sample_of(seed[int(row)]) for row in order[:_TRIED_ROWS]]
            self.seed_rows = [shortened(sample, kind=kind) for sample in found if sample is not None]
            self._add_labels(seed.select(order[_TRIED_ROWS:_TRIED_FOR_LABELS].tolist()))

    def pursuit(self, target: Target) -> Pursuit:
        """A target at its start.

        Raises:
            SynthesisError: there is no row of the kind that could be shown.
        """
        examples = self._examples(target)
        if not examples:
            raise SynthesisError(
                f"no row has all parts of the kind {self._kind.name!r}, {list(self._kind.parts)}, so that no "
                f"example can be shown; give rows that have them, with schema_of= or examples="
            )
        like = examples[-1]
        self._asked[like.label] += 1
        phrases = [phrase_at(span["text"], span["start"], span["end"]) for span in target.spans]
        return Pursuit(
            target,
            like,
            tuple(examples),
            tuple(dict.fromkeys(filter(None, phrases))),
            real=self._strongest(target, like.label),
        )

    def _examples(self, target: Target) -> list[Sample]:
        """Rows for a target, the best last."""
        found: dict[str, Sample] = {}
        for row, span in self._places(target):
            sample = self._row(row, span, target.feature)
            if sample is not None:
                found.setdefault(sample.whole, sample)
            if len(found) == EXAMPLES:
                break
        if not found and self._are_texts:
            (part,) = self._kind.parts
            found = {span["text"]: Sample({part: span["text"].strip()}) for span in target.spans[:EXAMPLES]}
        others = [sample for sample in self.seed_rows if sample.whole not in found]
        start = target.feature % max(1, len(others))
        others = others[start:] + others[:start]
        if others and not found and self._kind.labels:
            shown = {sample.label for sample in others}
            label = least_asked(tuple(label for label in self._kind.labels if label in shown), self._asked)
            others.sort(key=lambda sample: sample.label != label)
        for sample in others[: EXAMPLES - len(found)]:
            found[sample.whole] = sample
        return list(found.values())[::-1]

    @property
    def _are_texts(self) -> bool:
        """Whether spans can stand for rows: as texts, if short ones."""
        return self._of_anchor is None and len(self._kind.parts) == 1 and not self._kind.labels

    def _add_labels(self, rows: datasets.Dataset) -> None:
        """Take one of some rows of the seed for each label that no row so far has."""
        lacking = {*self._kind.labels} - {sample.label for sample in self.seed_rows}
        for row in rows if lacking else ():
            sample = self._kind.sample_of(row)
            if sample is not None and sample.label in lacking:
                self.seed_rows.append(shortened(sample, kind=self._kind))
                lacking.discard(sample.label)

    def _strongest(self, target: Target, label: Any) -> Try | None:
        """The row of the anchor, of a label, in which the feature is most active; None where none can be shown."""
        for span in target.spans:
            excerpt = str(span["text"])
            if self._are_texts:
                (part,) = self._kind.parts
                sample: Sample | None = Sample({part: excerpt})
            else:
                sample = self._sample(int(span["row"]))
            if sample is None or sample.label != label:
                continue
            for part, text in sample.texts.items():
                place = text.find(excerpt.strip())
                if place >= 0:
                    peak = place + int(span["start"]) - (len(excerpt) - len(excerpt.lstrip()))
                    end = peak + int(span["end"]) - int(span["start"])
                    return Try(sample, float(span["activation"]), part, peak, end)
        return None

    def _sample(self, row: int) -> Sample | None:
        """A row of the anchor."""
        if self._anchor is None or self._of_anchor is None:
            return None
        return self._of_anchor.sample_of(self._anchor[row])

    @staticmethod
    def _places(target: Target) -> list[tuple[int, Mapping[str, Any] | None]]:
        """Rows that activate the feature, the planned one first, with the span of each that is known."""
        spans = {int(span["row"]): span for span in reversed(target.spans)}
        rows = [*([target.row] if target.row is not None else []), *(int(span["row"]) for span in target.spans)]
        return [(row, spans.get(row)) for row in dict.fromkeys(rows)]

    def _row(self, row: int, span: Mapping[str, Any] | None, feature: int) -> Sample | None:
        sample = self._sample(row)
        if sample is None:
            return None
        around = self._peak(row, feature) if span is None else str(span["text"]).strip()
        return shortened(sample, around, kind=self._kind)

    def _peak(self, row: int, feature: int) -> str:
        """The words of a row of the anchor up to where a feature peaks; empty where its columns do not say."""
        assert self._anchor is not None and self._of_anchor is not None
        reader, cells = self._of_anchor.reader, self._anchor[row]
        ids, starts, ends, messages = (
            cells.get(f"{reader.prefix}feature_{name}") or [] for name in ("ids", "starts", "ends", "messages")
        )
        if feature not in ids or not starts:
            return ""
        place = ids.index(feature)
        texts = own_texts(reader.read({name: [cells[name]] for name in reader.columns})[0])
        text = texts[messages[place] if messages else 0]
        return text[max(0, starts[place] - BEFORE_PEAK) : ends[place]].strip()


def shortened(
    sample: Sample, around: str = "", *, kind: DataKind | None = None, most: int = EXAMPLE_CHARACTERS
) -> Sample:
    """A sample of a few turns whose long parts are cut, those that hold a text to what stands around its end.

    Args:
        sample: any.
        around: a text that ends where a feature peaks.
        kind: says with what a part has to end; see `DataKind.ending`.
        most: characters of a part, and a quarter of those of all together.
    """
    texts = few_turns(sample.texts, around)
    most = min(most, 4 * most // len(texts))
    return replace(sample, texts={part: _cut(part, text, around, kind, most) for part, text in texts.items()})


def _cut(part: str, text: str, around: str, kind: DataKind | None, most: int) -> str:
    place = text.find(around) + len(around) - 1 if around in text else 0
    ending = kind.ending(part, text) if kind and len(text) > most else ""
    if not 0 < len(ending) <= 4 * most:
        return example_of(text, max(0, place), most)
    return f"{example_of(text.removesuffix(ending), max(0, place), most)}\n\n{ending}"


def phrase_at(text: str, start: int, end: int) -> str:
    """The few words of a text that end with the token where a feature peaks.

    Example:
        >>> phrase_at("I would like a cup of tea, please.", 15, 18)
        'would like a cup'
    """
    # A token may be a part of a word.
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    return " ".join(text[:end].split()[-PHRASE_WORDS:])
