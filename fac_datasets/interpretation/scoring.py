"""Scores of names on spans that were not used to find them.

Detection asks a judge, who sees the name alone, in which excerpts a feature fires; fuzzing asks in which of them the
right token is marked (Paulo et al. 2024, "Automatically interpreting millions of features in large language models").
AUROC needs no judge: it says how well the words of the name, or its embedding, tell the spans apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.errors import ColumnError
from fac_datasets.feature_space import FeatureSpace, dataset_space, require_same_space
from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal
from fac_datasets.interpretation.excerpts import excerpt, listed, quoted
from fac_datasets.interpretation.questions import ANSWER_TOKENS, Prompt, Unanswered, ask, opened, value_of
from fac_datasets.interpretation.statistics import auroc, balanced_accuracy
from fac_datasets.interpretation.table import feature_table
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.rows.tables import add_columns, require_columns

if TYPE_CHECKING:
    import datasets

EXCERPTS = 10
"""Excerpts in a question, half of them right."""

QUESTIONS = 2
"""Questions a feature and kind of score."""

_FEWEST_WORDS = 2
"""Before the peak, of a span in which another word can be marked."""

_MARKS = {
    "type": "object",
    "properties": {"active": {"type": "array", "items": {"type": "integer", "enum": [0, 1]}}},
    "required": ["active"],
    "additionalProperties": False,
}
"""JSON schema of an answer with a mark for each excerpt."""

_QUOTED = re.compile(r"""(?<!\w)'([^']*"[^']*)'(?!\w)|"([^"]+)\"""")
"""A part of a name in quotation marks: in single ones where it holds double ones."""

Span = Mapping[str, Any]


class Question(NamedTuple):
    """One question to a judge, with what is right."""

    feature: int
    """Place of the feature in the table."""
    request: Request
    right: tuple[bool, ...]
    """For each excerpt, whether the feature fires there as shown."""


def score_explanations(
    table: datasets.Dataset,
    dataset: datasets.Dataset | None = None,
    *,
    generator: TextGenerator | None = None,
    embedding_model: str | None = None,
    column: ColumnChoice = None,
    seed: int = 0,
    journal: str | Path | Journal | None = None,
    answer_tokens: int = ANSWER_TOKENS,
) -> datasets.Dataset:
    """Put scores beside each name.

    Args:
        table: a feature table with names.
        dataset: held-out rows with feature columns of the same space, extracted at threshold 0; by default the spans
            that the table holds out are used.
        generator: judges detection and fuzzing; without one there is AUROC alone.
        embedding_model: ranks spans by the cosine of their embedding and the name's, instead of by the name's words;
            a sentence-transformers model, such as `"all-MiniLM-L6-v2"`.
        column: of the texts of the dataset; by default the one known name that is present.
        seed: decides which spans are shown in which order.
        journal: keeps the answers, so that none is asked for twice; a path or a Journal. Without one, a failure
            loses them.
        answer_tokens: tokens of an answer; a model that reasons before it answers needs thousands.

    Returns:
        The table with `auroc` (chance that a span where the feature fires ranks above one where it does not) and, with
        a generator, `detection` and `fuzzing` (balanced accuracy; 0.5 is chance), with 95 % intervals in
        `detection_low`, `detection_high`, `fuzzing_low`, `fuzzing_high`. Null where there is no name, where no such
        spans are held out, or where no answer could be read or the server refused to give one.

    Raises:
        ColumnError: the table has no names or no held-out spans.
        FeatureSpaceMismatch: the dataset is of another space than the table.
        OptionError: none of the first answers came to its end within `answer_tokens`.
        GenerationError: the generator gives no answers; those until then are in the journal, if there is one.

    Example:
        >>> scored = score_explanations(explain(table, TopTokensExplainer()))
        >>> good = scored.filter(lambda row: row["auroc"] is not None and row["auroc"] > 0.7)
    """
    from datasets import Value

    require_columns(table, "held_out_spans", "silent_spans", "explanation")
    tested = table if dataset is None else held_out_spans(table, dataset, column)
    rank = _by_words if embedding_model is None else _by_embedding(embedding_model)
    names = list(table["explanation"])
    columns: dict[str, tuple[list[float | None], Any]] = {"auroc": (_aurocs(names, tested, rank), Value("float32"))}
    if generator is not None:
        with opened(journal) as book:
            for kind in KINDS:
                asked = scoring_questions(names, tested, kind, seed)
                answers = ask(
                    generator,
                    book,
                    [one.request for one in asked],
                    _read_marks,
                    what=f"score by {kind}",
                    answers_it=partial(_has_length, [len(one.right) for one in asked]),
                    answer_tokens=answer_tokens,
                )
                found = _accuracies(len(table), asked, answers)
                for part, values in zip((kind, f"{kind}_low", f"{kind}_high"), found, strict=True):
                    columns[part] = (values, Value("float32"))
    return add_columns(table, columns)


def scoring_questions(names: Sequence[str | None], tested: datasets.Dataset, kind: str, seed: int) -> list[Question]:
    """The questions for one kind of score.

    Args:
        names: of the features.
        tested: held-out and silent spans of the same features.
        kind: `"detection"` or `"fuzzing"`.
        seed: decides which spans are shown in which order.
    """
    prompt = Prompt.load(kind)
    asked = []
    for place, (name, row) in enumerate(zip(names, tested, strict=True)):
        if not name:
            continue
        generator = np.random.default_rng([seed, row["feature_id"], KINDS.index(kind)])
        right, wrong = _shown[kind](row, generator)
        half = EXCERPTS // 2
        for question in range(QUESTIONS):
            part = slice(question * half, (question + 1) * half)
            shown = [(text, True) for text in right[part]] + [(text, False) for text in wrong[part]]
            if not right[part] or not wrong[part]:
                continue
            shown = [shown[i] for i in generator.permutation(len(shown))]
            request = prompt.request(
                _MARKS,
                name=quoted(name),
                excerpts=listed([text for text, _ in shown]),
                count=str(len(shown)),
            )
            asked.append(Question(place, request, tuple(is_right for _, is_right in shown)))
    return asked


def _detection(row: Mapping[str, Any], generator: np.random.Generator) -> tuple[list[str], list[str]]:
    """Excerpts where the feature fires, over all its activations, and where it does not."""
    wanted = QUESTIONS * EXCERPTS // 2
    right = _spread(row["held_out_spans"], wanted, generator)
    wrong = _drawn(row["silent_spans"], wanted, generator)
    return [excerpt(span, marked=False) for span in right], [excerpt(span, marked=False) for span in wrong]


def _fuzzing(row: Mapping[str, Any], generator: np.random.Generator) -> tuple[list[str], list[str]]:
    """Excerpts with the word of the peak marked, and others with another word marked.

    Each ends with its mark, as spans end with their peak, and has as many words before it in the one kind as in the
    other, so that the place of the mark tells nothing. Spans that end within a word are left out: only a right mark
    could end there.
    """
    wanted = QUESTIONS * EXCERPTS // 2
    spans = [span for span in row["held_out_spans"] if not span.get("cut") and len(_words(span)) > _FEWEST_WORDS]
    spans = _spread(spans, 2 * wanted, generator)
    moved = {int(i) for i in generator.permutation(len(spans))[: min(wanted, (len(spans) + 1) // 2)]}
    shown: tuple[list[str], list[str]] = ([], [])
    for i, span in enumerate(spans):
        *before, peak = _words(span)
        kept = int(generator.integers(1, len(before)))
        (start, end), begin = (before[kept], 0) if i in moved else (peak, before[-kept][0])
        marked = {"text": span["text"][begin:end], "start": start - begin, "end": end - begin}
        shown[i in moved].append(excerpt(marked, marked=True))
    right, wrong = shown
    return right[:wanted], wrong


_shown: dict[str, Callable[[Mapping[str, Any], np.random.Generator], tuple[list[str], list[str]]]] = {
    "detection": _detection,
    "fuzzing": _fuzzing,
}
KINDS = tuple(_shown)
"""Scores by a judge."""


def held_out_spans(table: datasets.Dataset, dataset: datasets.Dataset, column: ColumnChoice) -> datasets.Dataset:
    """Spans of a held-out dataset for the features of a table, in its order; all its spans count as held out."""
    ids = list(table["feature_id"])
    prefix = f"{column}_" if column in ("chosen", "rejected") else ""
    for space in sorted(set(table["feature_space"])):
        require_same_space(FeatureSpace.parse(space), dataset_space(dataset, prefix))
    found = feature_table(dataset, features=ids, column=column)
    place = {feature: i for i, feature in enumerate(found["feature_id"])}
    if len(place) < len(ids):
        raise ColumnError("the table lists a feature twice")
    ordered = found.select([place[feature] for feature in ids])
    joined = [[*row["spans"], *row["held_out_spans"]] for row in ordered]
    return add_columns(ordered, {"held_out_spans": (joined, ordered.features["held_out_spans"])})


def _spread(spans: Sequence[Span], wanted: int, generator: np.random.Generator) -> list[Span]:
    """Spans from all over the activations, in random order."""
    ordered = sorted(spans, key=lambda span: -span["activation"])
    places = np.unique(np.linspace(0, len(ordered) - 1, min(wanted, len(ordered))).round().astype(int))
    return [ordered[i] for i in generator.permutation(places)]


def _drawn(spans: Sequence[Span], wanted: int, generator: np.random.Generator) -> list[Span]:
    return [spans[i] for i in generator.permutation(len(spans))[:wanted]]


def _words(span: Span) -> list[tuple[int, int]]:
    """First and last character of each word up to that of the peak; none where the peak is no word."""
    text, start = span["text"], int(span["start"])
    start += len(text[start:]) - len(text[start:].lstrip())
    words = [match.span() for match in re.finditer(r"\S+", text) if match.start() <= start]
    return words if words and start < words[-1][1] and start < int(span["end"]) else []


def _has_length(lengths: Sequence[int], marks: tuple[bool, ...], place: int) -> bool:
    return len(marks) == lengths[place]


def _read_marks(answer: dict[str, Any]) -> tuple[bool, ...]:
    marks = value_of(answer, "active")
    if not isinstance(marks, list) or any(mark not in (0, 1) for mark in marks):
        raise ValueError(f"{marks!r} is no list of 0 and 1")
    return tuple(map(bool, marks))


def _accuracies(
    n_features: int, asked: Sequence[Question], answers: Sequence[tuple[bool, ...] | Unanswered]
) -> list[list[float | None]]:
    """Balanced accuracy of each feature, and the ends of its interval."""
    # Of each feature: positives told right, positives, negatives told right, negatives.
    counts = np.zeros((n_features, 4), dtype=np.int64)
    for question, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Unanswered):
            continue
        for told, right in zip(answer, question.right, strict=True):
            counts[question.feature, 0 if right else 2] += told == right
            counts[question.feature, 1 if right else 3] += 1
    found = [balanced_accuracy(*row) if row[1] and row[3] else (None, None, None) for row in counts.tolist()]
    return [list(part) for part in zip(*found, strict=True)] if found else [[], [], []]


def _aurocs(
    names: Sequence[str | None],
    tested: datasets.Dataset,
    rank: Callable[[Sequence[str], Sequence[Sequence[str]]], list[list[float]]],
) -> list[float | None]:
    """How well each name ranks spans where its feature fires above others."""
    firing, silent = (
        [[span["text"] for span in spans] for spans in tested[column]] for column in ("held_out_spans", "silent_spans")
    )
    places = [i for i, name in enumerate(names) if name and firing[i] and silent[i]]
    scores = rank([str(names[i]) for i in places], [firing[i] + silent[i] for i in places])
    found: list[float | None] = [None] * len(names)
    for i, values in zip(places, scores, strict=True):
        found[i] = auroc(values[: len(firing[i])], values[len(firing[i]) :])
    return found


def _by_words(names: Sequence[str], texts: Sequence[Sequence[str]]) -> list[list[float]]:
    """The share of a name's terms that occur in each text: of its quoted parts, or of its words where it has none."""
    found = []
    for name, of_name in zip(names, texts, strict=True):
        quoted = [single or double for single, double in _QUOTED.findall(name.lower())]
        terms = {term for term in quoted or re.findall(r"\w{3,}", name.lower()) if term.strip()}
        found.append([sum(term in text.lower() for term in terms) / max(1, len(terms)) for text in of_name])
    return found


def _by_embedding(model: str) -> Callable[[Sequence[str], Sequence[Sequence[str]]], list[list[float]]]:
    from fac_datasets.diversity.embeddings import embeddings_of

    def rank(names: Sequence[str], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        # Silent spans are shared by many features.
        distinct = sorted({*names, *(text for of_name in texts for text in of_name)})
        if not distinct:
            return []
        vectors = embeddings_of(distinct, model)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        place = {text: i for i, text in enumerate(distinct)}
        return [
            (vectors[[place[text] for text in of_name]] @ vectors[place[name]]).tolist()
            for name, of_name in zip(names, texts, strict=True)
        ]

    return rank
