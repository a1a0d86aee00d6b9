"""Review of synthetic samples: one record a row, and the reviewers' answers and edits back in the dataset."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError, OptionError, ReviewError
from fac_datasets.feature_space import dataset_space, require_same_but_threshold, require_same_space
from fac_datasets.review.agreement import CANNOT_TELL, CERTAINTY, consensus_rule, counting
from fac_datasets.review.form import Form, Question, guidelines
from fac_datasets.review.markup import shown, shown_with_peak, two_columns
from fac_datasets.review.records import Answer, PushReport, ReviewDataset, ReviewRecord, Suggestion, require_different
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.rows.row import own_texts
from fac_datasets.rows.tables import add_columns
from fac_datasets.synthesis.judging import MARGIN
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind, in_words
from fac_datasets.synthesis.kinds.labelled_text import LabelledText
from fac_datasets.synthesis.measuring import NOT_ACTIVE, measure
from fac_datasets.synthesis.provenance import beside, contents_of
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.sections import header_of

if TYPE_CHECKING:
    import argilla
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor

logger = logging.getLogger(__name__)

KEEP, DROP = "keep", "drop"

_PEAKS = ("feature_ids", "feature_starts", "feature_ends")

_PREFIXES = ("", "chosen_", "rejected_")
"""Of the feature columns."""

_ANSWERS = ("reviews", "accepted", "original_text")
"""What pulled rows have beside the consensus of each question."""

_VERDICTS = CERTAINTY[::-1]


def push_samples(
    synthetic: datasets.Dataset,
    name: str,
    *,
    client: argilla.Argilla | None = None,
    workspace: str | None = None,
    kind: str | None = None,
    column: ColumnChoice = None,
    label_column: str | None = None,
    min_submitted: int = 1,
    extractor: FeatureExtractor | None = None,
) -> PushReport:
    """Send synthetic rows to an Argilla dataset in which people judge and edit them, with all their parts.

    Pushing again updates the same records and keeps all responses. Where a row's text has changed, responses to the
    earlier one are outdated, or count again, as in `push_explanations`.

    Args:
        synthetic: what `synthesize` returned.
        name: of the Argilla dataset, made where there is none.
        client: by default one for `ARGILLA_API_URL` with `ARGILLA_API_KEY`.
        workspace: by default the only one there is.
        kind: of data; by default recognised by the columns.
        column: what was measured, as `FeatureExtractor` has it.
        label_column: column of labels that reviewers check; by default that of a kind with labels.
        min_submitted: reviewers that each record needs.
        extractor: finds the token that activates the target feature, which is then marked; not needed where the rows
            have feature columns. Without either nothing is marked.

    Raises:
        ReviewError: no server, key or workspace; a dataset of this name with other settings; or rows that a review has
            edited already.
        ColumnError: these are no synthetic rows, one is there twice, or there is no such column of labels.
        FeatureSpaceMismatch: the extractor is not the one that verified the samples.

    Example:
        >>> report = review.push_samples(synthetic, "toxic-samples", min_submitted=2, extractor=extractor)
        >>> report.added == len(synthetic)
        True
    """
    rows = _Rows(synthetic, kind, column)
    label_column = label_column or rows.label_column
    if label_column is not None and label_column not in synthetic.column_names:
        raise ColumnError(f"there is no column {label_column!r} of labels; the columns are {synthetic.column_names}")
    require_different(rows.column("synthetic_id"), "synthetic row")
    if min_submitted < 1:
        raise OptionError(f"min_submitted={min_submitted} is less than 1")
    if "original_text" in synthetic.column_names:
        edited = sum(text is not None for text in synthetic["original_text"])
        if edited:
            raise ReviewError(
                f"{edited} of these rows have texts that reviewers edited; push the rows as synthesize returned them, "
                "or those whose original_text is null"
            )
    dataset = ReviewDataset.open(name, client, workspace, _form(label_column, min_submitted))
    if extractor is not None and len(synthetic) and rows.prefix is None:
        require_same_but_threshold(rows.column("feature_space")[0], extractor.feature_space)
        rows = rows.extracted(extractor)
    return dataset.push(_records(rows, label_column), len(synthetic))


def pull_samples(
    synthetic: datasets.Dataset,
    name: str,
    *,
    client: argilla.Argilla | None = None,
    workspace: str | None = None,
    kind: str | None = None,
    column: ColumnChoice = None,
    consensus: str = "majority",
    extractor: FeatureExtractor | None = None,
) -> datasets.Dataset:
    """Bring the answers and edits of reviewers back into synthetic rows.

    Args:
        synthetic: the rows that were pushed, or some of them.
        name: of the Argilla dataset.
        client: see `push_samples`.
        workspace: see `push_samples`.
        kind: see `push_samples`.
        column: see `push_samples`.
        consensus: see `pull_explanations`; decides on keeping or dropping, where as many have answered as are needed.
        extractor: measures edited texts; needed only where there are any.

    Returns:
        The rows with `reviews`, a list of each record's responses of every status: `reviewer`, `status`, `outdated`,
        `shows_concept`, `natural`, `label_right`, `edited`, `keep`, `comment`; with `review_shows_concept`,
        `review_natural` and `review_label_right`, the consensus or null; and with `accepted`: true where the consensus
        is to keep the sample, false where it is to drop it, null where there is no consensus yet. Of the
        texts that reviewers who keep the sample left behind, the most frequent becomes the row's (the earliest of
        equally frequent ones), in all columns that hold its parts; where that is an edited one, the sample is
        extracted anew, `target_activation`, `target_part` and feature columns are those of the new text,
        `original_text` has the old one as it was shown, and `accepted` is false where the new text does not exceed
        `target_threshold`, and null where a part can no longer be found in it.

    Raises:
        ReviewError: no server, key, workspace or dataset; a dataset of something else than these samples; or edited
            texts and no extractor.
        OptionError: there is no such rule of consensus.
        FeatureSpaceMismatch: the extractor is not the one that verified the samples.

    Example:
        >>> _ = review.push_samples(synthetic, "my-samples", extractor=extractor)
        >>> reviewed = review.pull_samples(synthetic, "my-samples", extractor=extractor)
        >>> len(augment(seed, reviewed, keep="accepted").dataset["synthetic"])  # nobody has answered yet
        0
    """
    from datasets import List, Value

    rows = _Rows(synthetic, kind, column)
    rule = consensus_rule(consensus)
    before = rows.originals()
    dataset = ReviewDataset.find(name, client, workspace, _form(None, 1))
    answers = dataset.answers(rows.column("synthetic_id"), before)
    reviews = [[_review(answer) for answer in of_sample] for of_sample in answers]
    counted = [counting(of_sample, dataset.min_submitted) for of_sample in reviews]

    def agreed(question: str) -> list[str | None]:
        return [rule([each[question] for each in of_sample if each[question]]) for of_sample in counted]

    accepted = [None if decision is None else decision == KEEP for decision in agreed("keep")]
    review = {
        "reviewer": Value("string"),
        "status": Value("string"),
        "outdated": Value("bool"),
        **{part: Value("string") for part in ("shows_concept", "natural", "label_right", "edited", "keep", "comment")},
    }
    reviewed = add_columns(
        synthetic,
        {
            "reviews": (reviews, List(review)),
            **{
                f"review_{question}": (agreed(question), Value("string"))
                for question in ("shows_concept", "natural", "label_right")
            },
            "accepted": (accepted, Value("bool")),
        },
    )
    wanted = [
        _agreed_text(text, of_sample) if keep else text
        for text, of_sample, keep in zip(before, counted, accepted, strict=True)
    ]
    return _with_texts(_Rows(reviewed, kind, column), before, wanted, extractor)


class _Rows:
    """Synthetic rows as samples of their kind."""

    def __init__(self, rows: datasets.Dataset, kind: str | None, column: ColumnChoice) -> None:
        own = (
            rows.column_names[: rows.column_names.index("synthetic_id")] if "synthetic_id" in rows.column_names else []
        )
        self.names = beside(own)
        """What the columns of the provenance are called."""
        _require(rows, *self.names.values())
        taken = [name for name in own if name in _ANSWERS or name.startswith("review_")]
        if taken:
            raise ColumnError(f"the columns {taken} are named as those of a review; rename them")
        self.rows = rows
        self._arguments = (kind, column)
        self.prefix = next((prefix for prefix in _PREFIXES if f"{prefix}feature_ids" in rows.column_names), None)
        """Of the feature columns; None where there are none."""
        self.kind = recognise(contents_of(rows), kind, column=column or (self.prefix or "").rstrip("_") or None)
        self.samples = [self._sample(place, row) for place, row in enumerate(contents_of(rows))]

    @property
    def label_column(self) -> str | None:
        """The column of labels, of a kind that has them."""
        return self.kind.label_column if isinstance(self.kind, LabelledText) else None

    def column(self, name: str) -> list[Any]:
        """A column of the provenance."""
        return list(self.rows[self.names[name]])

    def originals(self) -> list[str]:
        """The samples as they were shown when they were pushed, also of rows that were pulled before."""
        shown = [self.kind.show(sample) for sample in self.samples]
        if "original_text" not in self.rows.column_names:
            return shown
        pairs = zip(self.rows["original_text"], shown, strict=True)
        return [now if original is None else original for original, now in pairs]

    def extracted(self, extractor: FeatureExtractor) -> _Rows:
        """The same with feature columns."""
        measured = [self.kind.measured(sample) for sample in self.samples]
        reader = self.kind.reader
        found = extractor.extract(measured, chat=reader.has_parts)
        types = extractor.columns(self.kind.features)
        added = {name: (found[name.removeprefix(reader.prefix)], kind) for name, kind in types.items()}
        return _Rows(add_columns(self.rows, added), *self._arguments)

    def peak(self, place: int) -> tuple[str, int, int] | None:
        """Part, begin and end of the token where the target feature of a row peaks, where that is known."""
        row = self.rows[place]
        names = [f"{self.prefix}{name}" for name in _PEAKS]
        if self.prefix is None or any(name not in row for name in names):
            return None
        ids, starts, ends = (row[name] for name in names)
        feature = row[self.names["target_feature"]]
        if feature not in ids:
            return None
        found, sample = ids.index(feature), self.samples[place]
        message = row[f"{self.prefix}feature_messages"][found] if f"{self.prefix}feature_messages" in row else 0
        part = self.kind.part_at(sample, message)
        text = own_texts(self.kind.measured(sample))[message]
        blanks = len(text) - len(text.lstrip())
        return (part, starts[found] - blanks, ends[found] - blanks) if part else None

    def _sample(self, place: int, row: Mapping[str, Any]) -> Sample:
        sample = self.kind.sample_of(row)
        if sample is None:
            raise ColumnError(f"row {place} lacks a part of the kind {self.kind.name!r}, {', '.join(self.kind.parts)}")
        return sample


def _require(synthetic: datasets.Dataset, *names: str) -> None:
    lacking = [name for name in names if name not in synthetic.column_names]
    if lacking:
        raise ColumnError(
            f"the rows lack the columns {lacking}; pass what synthesize returned, whose columns these are not: "
            f"{synthetic.column_names}"
        )


def _form(label_column: str | None, min_submitted: int) -> Form:
    questions = [
        Question("shows_concept", "Does it show the concept?", (*_VERDICTS, CANNOT_TELL), required=True),
        Question("natural", "Is it natural?", _VERDICTS, required=True),
        Question("edited", "Edited text", help="Change it only where a small change makes the sample good."),
        Question("keep", "Keep it?", (KEEP, DROP), required=True),
        Question("comment", "Comment"),
    ]
    fields = {"sample": "Text", "feature": "Feature"}
    if label_column is not None:
        questions.insert(2, Question("label_right", "Is the label right?", ("yes", "no"), required=True))
        fields["label"] = "Label"
    metadata = {"target_feature": "integer", "method": "terms", "attempt": "integer", "excess": "float"}
    return Form(fields, questions, metadata, guidelines("samples"), min_submitted)


def _records(rows: _Rows, label_column: str | None) -> Iterator[ReviewRecord]:
    for place, (held, sample) in enumerate(zip(rows.rows, rows.samples, strict=True)):
        row = {name: held[there] for name, there in rows.names.items()}
        peak = rows.peak(place)
        several = [("it peaks in", shown(in_words(row["target_part"])))] if len(sample.texts) > 1 else []
        fields = {
            "sample": _shown_sample(rows.kind, sample, peak),
            "feature": two_columns(
                [
                    ("feature", str(row["target_feature"])),
                    ("name", shown(row["target_name"]) if row["target_name"] else "it has none"),
                    ("activation", f"{row['target_activation']:.2f}"),
                    ("threshold", f"{row['target_threshold']:.2f}"),
                    *several,
                ]
            ),
        }
        if label_column is not None:
            label = held[label_column]
            named = rows.kind.label_name(label) if label_column == rows.label_column else str(label)
            fields["label"] = f"<p>{shown(named)}</p>"
        metadata = {
            "target_feature": row["target_feature"],
            "method": row["method"],
            "attempt": row["attempt"],
            "excess": row["target_activation"] / row["target_threshold"] if row["target_threshold"] else None,
        }
        text = rows.kind.show(sample)
        suggestion = Suggestion("edited", _storable(text), row["generator"], None)
        yield ReviewRecord(row["synthetic_id"], text, fields, metadata, [suggestion])


def _shown_sample(kind: DataKind, sample: Sample, peak: tuple[str, int, int] | None) -> str:
    """The parts of a sample, with the token marked at which the target feature peaks, where that is known."""
    paragraphs = []
    for part, text in sample.texts.items():
        html = shown_with_peak(text, *peak[1:]) if peak is not None and peak[0] == part else shown(text)
        header = f"<b>{shown(header_of(part, kind.headers))}</b><br>" if len(sample.texts) > 1 else ""
        paragraphs.append(f"<p>{header}{html}</p>")
    return "".join(paragraphs)


def _storable(text: str) -> str:
    """A text that every database can hold."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _review(answer: Answer) -> dict[str, Any]:
    return {
        "reviewer": answer.reviewer,
        "status": answer.status,
        "outdated": answer.outdated,
        **{
            name: answer.values.get(name)
            for name in ("shows_concept", "natural", "label_right", "edited", "keep", "comment")
        },
    }


def _agreed_text(text: str, counted: Sequence[Mapping[str, Any]]) -> str:
    """The text that most reviewers who keep a sample left behind; an empty one stands for no change."""
    left = Counter(
        text if (edited := (each["edited"] or "").strip()) in ("", _storable(text).strip()) else edited
        for each in counted
        if each["keep"] == KEEP
    )
    return left.most_common(1)[0][0] if left else text


def _with_texts(
    reviewed: _Rows, before: Sequence[str], wanted: Sequence[str], extractor: FeatureExtractor | None
) -> datasets.Dataset:
    """Rows with the wanted texts; what was measured of the others is measured again."""
    from datasets import Value

    kind, rows = reviewed.kind, reviewed.rows
    changed: dict[int, Sample] = {}
    unreadable: set[int] = set()
    for place, (text, sample) in enumerate(zip(wanted, reviewed.samples, strict=True)):
        if text == kind.show(sample):
            continue
        found = kind.changed(text, sample)
        if isinstance(found, Rejected):
            unreadable.add(place)
            logger.warning("the edited text of %s cannot be read: %s", rows[place]["synthetic_id"], found.reason)
        else:
            changed[place] = found
    originals = [
        old if new != old and place not in unreadable else None
        for place, (old, new) in enumerate(zip(before, wanted, strict=True))
    ]
    activations, parts = reviewed.column("target_activation"), reviewed.column("target_part")
    columns: dict[str, tuple[Any, Any]] = {"original_text": (originals, Value("string"))}
    if changed:
        if extractor is None:
            raise ReviewError(
                f"{len(changed)} samples have edited texts, which have to be measured anew; pass extractor= with the "
                "one that verified the samples"
            )
        if "feature_ids" in rows.column_names:
            require_same_space(dataset_space(rows), extractor.feature_space)
        require_same_but_threshold(reviewed.column("feature_space")[0], extractor.feature_space)
        cells = {place: kind.cells(sample) for place, sample in changed.items()}
        for name in kind.written:
            values = list(rows[name])
            for place in changed:
                values[place] = cells[place][name]
            columns[name] = (values, rows.features[name])
        measured = [kind.measured(sample) for sample in changed.values()]
        features = reviewed.column("target_feature")
        for place, found_there in zip(changed, measure(extractor, measured), strict=True):
            activations[place] = found_there.get(features[place], NOT_ACTIVE).activation
        reader = kind.reader
        extracted = extractor.extract(measured, chat=reader.has_parts)
        for name in extracted:
            column = f"{reader.prefix}{name}"
            if column not in rows.column_names or name == "feature_space":
                continue
            values = list(rows[column])
            for place, value in zip(changed, extracted[name], strict=True):
                values[place] = value
            columns[column] = (values, rows.features[column])
        for place, peak in zip(changed, _parts_of_peaks(kind, changed, extracted, features), strict=True):
            parts[place] = peak or parts[place]
    enough = [
        value > least + MARGIN for value, least in zip(activations, reviewed.column("target_threshold"), strict=True)
    ]
    accepted = [
        None if place in unreadable else keep and (old is None or holds)
        for place, (keep, old, holds) in enumerate(zip(rows["accepted"], originals, enough, strict=True))
    ]
    for name, values in (("target_activation", activations), ("target_part", parts)):
        columns[reviewed.names[name]] = (values, rows.features[reviewed.names[name]])
    columns["accepted"] = (accepted, Value("bool"))
    return add_columns(rows, columns)


def _parts_of_peaks(
    kind: DataKind, changed: Mapping[int, Sample], extracted: Mapping[str, Any], features: Sequence[int]
) -> Iterator[str]:
    """The part in which the target feature of each changed sample peaks; empty where it is not active."""
    for number, (place, sample) in enumerate(changed.items()):
        ids = list(extracted["feature_ids"][number])
        if features[place] not in ids:
            yield ""
            continue
        found = ids.index(features[place])
        message = int(extracted["feature_messages"][number][found]) if "feature_messages" in extracted else 0
        yield kind.part_at(sample, message)
