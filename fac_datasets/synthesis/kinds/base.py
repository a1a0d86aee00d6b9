"""What a kind of data is: the parts of a sample, how they are shown and found in an answer, and the user's columns."""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from fac_datasets.errors import DatasetError, RowError
from fac_datasets.generation.answers import plain_answer
from fac_datasets.rows.dataset_identity import source_columns
from fac_datasets.rows.manner import Manner
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Row, own_texts
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.sections import (
    Headers,
    as_sections,
    header_of,
    object_in,
    sections_in,
    sections_of_object,
    spells_header,
    unnumbered,
)
from fac_datasets.synthesis.sentences import whole_sentences

if TYPE_CHECKING:
    import datasets

LEARNED_FROM = 1000
"""First rows of a dataset from which its manner of writing is learned."""

NO_TEXT = "no whole sentence"
"""The reason for which an answer is rejected that was cut off before its first sentence ended."""

NO_PLACE = "has no place in the columns"


class DataKind(ABC):
    """A kind of data, bound to the columns of a user's dataset; another kind is another file in this folder.

    Args:
        rows: the dataset, whose types, order of columns and manner of writing are kept; feature columns are left out.
        column: what is measured, as `FeatureExtractor` has it.
    """

    name: ClassVar[str]
    looks_for: ClassVar[str]
    """Columns by which it is recognised, in words."""
    turn: ClassVar[int]
    """Kinds are tried in rising turn, those of more columns first."""

    prompt_sections: ClassVar[tuple[str, ...]] = ()
    """Sections that its file of prompts has beside those of every kind; see `fac_datasets.synthesis.prompting`."""

    claims: ClassVar[str] = ""
    """What of a sample a verifier can check: `label`, `response`, `order`, `behaviour`; empty where nothing."""

    parts: tuple[str, ...] = ()
    """Parts that an answer has to hold, in their order."""
    headers: Headers
    """Of the parts; see `fac_datasets.synthesis.sections`."""
    labels: tuple[Any, ...] = ()
    """Labels that can be asked for, in the seed's type; none where samples have no label."""

    def __init__(self, rows: datasets.Dataset, column: ColumnChoice = None) -> None:
        import datasets

        own = {*source_columns(rows)}
        self.features = datasets.Features(
            {name: filled_type(kind) for name, kind in rows.features.items() if name in own}
        )
        """Columns of the user's dataset, in their order and types; one of nothing but None holds texts."""
        self.column = column
        first = rows.select_columns(list(self.features))[:LEARNED_FROM]
        self._manners = {name: Manner.of(name, kind, first[name]) for name, kind in self.features.items()}
        self._reader: RowReader | None = None

    @classmethod
    @abstractmethod
    def of(
        cls, rows: datasets.Dataset, *, column: ColumnChoice = None, label_column: str | None = None
    ) -> DataKind | None:
        """The kind for a dataset; None where its columns are not of this kind.

        Raises:
            ColumnError: they are, but cannot be written.
        """

    @property
    @abstractmethod
    def written(self) -> tuple[str, ...]:
        """Columns that are filled."""

    @abstractmethod
    def _sample_of(self, cells: Mapping[str, Any]) -> Sample | None:
        """A row as a sample; None where a part of it is missing."""

    @abstractmethod
    def _cells(self, sample: Sample) -> dict[str, Any]:
        """The filled columns of a sample.

        Raises:
            DatasetError: they have no place for it.
            ColumnError: the same.
        """

    @property
    def left_empty(self) -> tuple[str, ...]:
        """Columns that nobody can invent, such as ids, scores and sources; they are None."""
        return tuple(name for name in self.features if name not in self.written)

    @property
    def in_words(self) -> str:
        """What is said of the kind before anything is generated."""
        filled = ", ".join(self.written)
        empty = f"; left empty: {', '.join(self.left_empty)}" if self.left_empty else ""
        return f"kind of data: {self.name}, columns {filled}{empty}"

    def sample_of(self, cells: Mapping[str, Any]) -> Sample | None:
        """A row of the dataset as a sample, for an example in a prompt.

        Args:
            cells: by column, as a row of a `datasets.Dataset` has them.

        Returns:
            The sample; None where the row cannot be read, lacks a part, or spells a header of a section, so that an
            answer like it could not be read.
        """
        try:
            sample = self._sample_of(cells)
        except RowError:
            return None
        texts = {part: text.strip() for part, text in sample.texts.items()} if sample else {}
        if sample is None or not texts or not all(texts.values()):
            return None
        if len(texts) > 1 and any(spells_header(text, self.headers) for text in texts.values()):
            return None
        return replace(sample, texts=texts)

    def show(self, sample: Sample, *, as_json: bool = False) -> str:
        """A sample as an answer: its sections, or its one text; with `as_json` what `json_schema` asks for."""

        if as_json:
            return json.dumps(dict(sample.texts), ensure_ascii=False)
        (first, *others) = sample.texts
        return as_sections(sample.texts, self.headers) if others else sample.texts[first]

    def ending(self, part: str, text: str) -> str:
        """What an example cannot do without at the end of a part, however long this is; empty where that is nothing."""
        return ""

    def begin(self, phrase: str) -> str:
        """The beginning of an answer whose first part begins with a phrase."""
        parts = self.parts
        return f"{header_of(parts[0], self.headers)}:\n{phrase}" if len(parts) > 1 else phrase

    def read(self, answer: str, finished: bool, like: Sample | None = None) -> Sample | Rejected:
        """The sample in an answer.

        Args:
            answer: of a generator, in sections or as JSON, whatever was put around it.
            finished: whether the generator ended it itself; else it is cut back to its last whole line or sentence.
            like: the row that was asked for another of: its label, its system prompt and its parts are the sample's.

        Returns:
            The sample, which reads back equal from the cells that it becomes; or why there is none.
        """
        plain = plain_answer(answer)
        if plain.problem:
            return Rejected(plain.problem)
        found = self._texts_in(plain.text, like)
        if isinstance(found, Rejected):
            return found
        texts = dict(found)
        last = next(reversed(texts))
        if not finished and plain.text.rstrip().endswith(texts[last]):
            texts[last] = self._cut_back(texts[last])
        empty = next((part for part, text in texts.items() if not text.strip()), None)
        if empty is not None:
            return Rejected(NO_TEXT if not finished else f"no {in_words(empty)}")
        sample = Sample(texts, *((like.label, like.system) if like else ()))
        return self._valid(sample)

    def lacking(self, answer: str, finished: bool, like: Sample | None = None) -> str:
        """The beginning from which an answer that lacks parts can be gone on with; empty where it lacks none.

        Args:
            answer, finished, like: as `read` takes them.

        Returns:
            What is whole of the answer, and the header of the part that comes next.
        """
        parts, plain = tuple(like.texts) if like else self.parts, plain_answer(answer)
        if (
            len(parts) < 2
            or plain.problem
            or object_in(plain.text)
            or isinstance(self.read(answer, finished, like), Sample)
        ):
            return ""
        texts = {}
        for part, (found, text) in zip(parts, self._sections_in(plain.text), strict=False):
            if unnumbered(part)[0] != unnumbered(found)[0]:
                break
            is_cut = not finished and plain.text.rstrip().endswith(text)
            texts[part] = self._cut_back(text) if is_cut else text
        whole = dict(itertools.takewhile(lambda item: item[1], texts.items()))
        if not whole or len(whole) == len(parts):
            return ""
        return f"{as_sections(whole, self.headers)}\n\n{header_of(parts[len(whole)], self.headers)}:\n"

    def most_calls(self, like: Sample) -> int:
        """How often a generator that goes on from beginnings is asked for one sample at most."""
        return len(like.texts)

    def changed(self, shown: str, like: Sample) -> Sample | Rejected:
        """The sample that a person made of one that was shown; nothing is taken away around it.

        Args:
            shown: what `show` gave, edited.
            like: the sample that was shown.
        """
        (first, *others) = like.texts
        found = self._texts_in(shown, like) if others else {first: shown.strip()}
        if isinstance(found, Rejected):
            return found
        return self._valid(replace(like, texts=found)) if all(found.values()) else Rejected(f"no {in_words(first)}")

    def cells(self, sample: Sample) -> dict[str, Any]:
        """A sample as a row of the user's dataset: all columns in their order, those of `left_empty` None."""
        return dict.fromkeys(self.features) | self._cells(sample)

    def texts(self, sample: Sample) -> list[str]:
        """The texts of a sample that filters look at, one a part."""
        return list(sample.texts.values())

    def measured(self, sample: Sample) -> Row:
        """What the extractor measures of a sample: what is read of its cells in the column that is measured.

        Raises:
            ColumnError: a side of a preference has to be named with `column=`.
        """
        cells = self.cells(sample)
        return self.reader.read({name: [cells[name]] for name in self.reader.columns})[0]

    @property
    def reader(self) -> RowReader:
        """Reads what is measured."""
        if self._reader is None:
            self._reader = RowReader(self.features, self.column)
        return self._reader

    def part_at(self, sample: Sample, message: int = 0) -> str:
        """The part that one of the texts of what is measured is; empty where it is none, as a system prompt.

        Args:
            sample: that was measured.
            message: which of the texts, as `feature_messages` counts; 0 where there is only one.
        """
        parts = list(sample.texts.items())
        found = ""
        for text in own_texts(self.measured(sample))[: message + 1]:
            place = next((i for i, (_, held) in enumerate(parts) if held.strip() == text.strip()), None)
            found = "" if place is None else parts[place][0]
            parts = parts if place is None else parts[place + 1 :]
        return found

    def json_schema(self, like: Sample | None = None) -> dict[str, Any]:
        """The JSON schema of an answer, for servers that take one.

        Args:
            like: the row that is asked for another of, whose parts the answer has.
        """
        parts = list(like.texts) if like else list(self.parts)
        return {
            "type": "object",
            "properties": {part: {"type": "string"} for part in parts},
            "required": parts,
            "additionalProperties": False,
        }

    @property
    def can_be_opened(self) -> bool:
        """Whether a sample can begin with what a user says, to which a generator then answers or nothing is missing."""
        return len(self.parts) == 1 and not self.labels

    def opened(self, text: str, finished: bool, like: Sample | None = None) -> Sample | Rejected:
        """A sample of which only the first part is written yet; where there is no other, `read` says the same."""
        whole = one_text(text, finished)
        if isinstance(whole, Rejected):
            return whole
        sample = Sample({self.parts[0]: whole}, *((like.label, like.system) if like else ()))
        return self._valid(sample) if len(self.parts) == 1 else sample

    def asks(self, sample: Sample) -> tuple[tuple[str, str], ...]:
        """Messages to which a responder's answer is the response; none where this kind has no responses."""
        return ()

    def answered(self, sample: Sample, answer: str, finished: bool) -> Sample | Rejected:
        """A sample with a responder's answer as its response, see `asks`."""
        raise NotImplementedError(f"samples of the kind {self.name!r} have no response")

    def claim(self, sample: Sample) -> dict[str, str]:
        """What is shown to a verifier of a sample, by place of its prompt; see `fac_datasets.synthesis.verifier`."""
        raise NotImplementedError(f"samples of the kind {self.name!r} claim nothing that can be checked")

    def label_name(self, label: Any) -> str:
        """What a label is called in a prompt."""
        return str(label)

    def _cut_back(self, text: str) -> str:
        """The last part of an answer that was cut off, up to where it is whole; empty where it is not."""
        return whole_sentences(text)

    def _texts_in(self, answer: str, like: Sample | None) -> Mapping[str, str] | Rejected:
        """Texts by part in an answer, as JSON, in sections, or as one text where there is one part."""
        expected = tuple(like.texts) if like else self.parts
        held = object_in(answer)
        sections = self._sections_in(answer)
        if len(expected) == 1 and not (held and sections):
            text = sections[0][1] if len(sections) == 1 and answer.strip().endswith(sections[0][1]) else answer
            return {expected[0]: text.strip()}
        if len({part for part, _ in sections}) < len(sections):
            return Rejected("more parts than asked for")
        return self._in_order(dict(sections), expected)

    def _sections_in(self, answer: str) -> list[tuple[str, str]]:
        """Parts and texts in an answer, as JSON or in sections."""
        held = object_in(answer)
        return (held and sections_of_object(held, self.headers)) or sections_in(answer, self.headers)

    @staticmethod
    def _in_order(texts: Mapping[str, str], expected: Sequence[str]) -> Mapping[str, str] | Rejected:
        missing = next((part for part in expected if not texts.get(part, "").strip()), None)
        if missing is not None:
            return Rejected(f"no {in_words(missing)}")
        return {part: texts[part].strip() for part in expected}

    def _valid(self, sample: Sample) -> Sample | Rejected:
        """The sample, where its cells read back as it is; else why not."""
        try:
            again = self.sample_of(self.cells(sample))
        except (DatasetError, RowError):
            return Rejected(NO_PLACE)
        same = again is not None and _stripped(again) == _stripped(sample) and again.label == sample.label
        return sample if same else Rejected(NO_PLACE)


def quoted(text: Any) -> str:
    """Data as JSON in a prompt, so that where it ends is beyond doubt."""
    return json.dumps(text, ensure_ascii=False)


def in_words(part: str) -> str:
    """The name of a part in words.

    Example:
        >>> in_words("not_matching"), in_words("prompt_2")
        ('not matching', 'prompt 2')
    """
    return part.replace("_", " ")


def one_text(answer: str, finished: bool) -> str | Rejected:
    """The text of an answer that is one, without what stands around it."""
    plain = plain_answer(answer)
    if plain.problem:
        return Rejected(plain.problem)
    text = plain.text if finished else whole_sentences(plain.text)
    return text or Rejected(NO_TEXT)


def _stripped(sample: Sample) -> list[tuple[str, str]]:
    return [*((part, text.strip()) for part, text in sample.texts.items()), ("system", sample.system.strip())]


def filled_type(kind: Any) -> Any:
    """A column of nothing but None becomes a column of texts."""
    from datasets import Value

    return Value("string") if isinstance(kind, Value) and kind.dtype == "null" else kind
