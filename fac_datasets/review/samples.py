"""Review of synthetic samples: one record a row, and the reviewers' answers and edits back in the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError, OptionError, ReviewError
from fac_datasets.feature_space import dataset_space, require_same_but_threshold, require_same_space
from fac_datasets.review.agreement import CANNOT_TELL, CERTAINTY, consensus_rule, counting
from fac_datasets.review.form import Form, Question, guidelines
from fac_datasets.review.markup import shown, shown_with_peak, two_columns
from fac_datasets.review.records import Answer, PushReport, ReviewDataset, ReviewRecord, Suggestion, require_different
from fac_datasets.rows.tables import add_columns
from fac_datasets.synthesis.synthesize import MARGIN, measure

if TYPE_CHECKING:
    import argilla
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor

KEEP, DROP = "keep", "drop"

_NEEDED = ("text", "synthetic_id", "target_feature", "target_name", "target_activation", "target_threshold")

_PEAKS = ("feature_ids", "feature_starts", "feature_ends")

_VERDICTS = CERTAINTY[::-1]


def push_samples(
    synthetic: datasets.Dataset,
    name: str,
    *,
    client: argilla.Argilla | None = None,
    workspace: str | None = None,
    label_column: str | None = None,
    min_submitted: int = 1,
    extractor: FeatureExtractor | None = None,
) -> PushReport:
    """Send synthetic rows to an Argilla dataset in which people judge and edit them.

    Pushing again updates the same records and keeps all responses. Where a row's text has changed, responses to the
    earlier one are outdated, or count again, as in `push_explanations`.

    Args:
        synthetic: what `synthesize` returned.
        name: of the Argilla dataset, made where there is none.
        client: by default one for `ARGILLA_API_URL` with `ARGILLA_API_KEY`.
        workspace: by default the only one there is.
        label_column: column of labels that reviewers check.
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
    _require(synthetic, *_NEEDED, *([label_column] if label_column is not None else []))
    require_different(synthetic["synthetic_id"], "synthetic row")
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
    if extractor is not None and len(synthetic) and not {*_PEAKS} <= {*synthetic.column_names}:
        require_same_but_threshold(synthetic[0]["feature_space"], extractor.feature_space)
        synthetic = synthetic.map(lambda batch: extractor.extract(batch["text"]), batched=True, desc="extract")
    return dataset.push(_records(synthetic, label_column), len(synthetic))


def pull_samples(
    synthetic: datasets.Dataset,
    name: str,
    *,
    client: argilla.Argilla | None = None,
    workspace: str | None = None,
    consensus: str = "majority",
    extractor: FeatureExtractor | None = None,
) -> datasets.Dataset:
    """Bring the answers and edits of reviewers back into synthetic rows.

    Args:
        synthetic: the rows that were pushed, or some of them.
        name: of the Argilla dataset.
        client: see `push_samples`.
        workspace: see `push_samples`.
        consensus: see `pull_explanations`; decides on keeping or dropping, where as many have answered as are needed.
        extractor: measures edited texts; needed only where there are any.

    Returns:
        The rows with `reviews`, a list of each record's responses of every status: `reviewer`, `status`, `outdated`,
        `shows_concept`, `natural`, `label_right`, `edited`, `keep`, `comment`; with `review_shows_concept`,
        `review_natural` and `review_label_right`, the consensus or null; and with `accepted`: true where the consensus
        is to keep the sample, false where it is to drop it, null where there is no consensus yet. Of the
        texts that reviewers who keep the sample left behind, the most frequent becomes `text` (the earliest of equally
        frequent ones); where that is an edited one, the sample is extracted anew, `target_activation` and feature
        columns are those of the new text, `original_text` has the old one, and `accepted` is false where the new text
        does not exceed `target_threshold`.

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

    _require(synthetic, *_NEEDED)
    rule = consensus_rule(consensus)
    before = _originals(synthetic)
    dataset = ReviewDataset.find(name, client, workspace, _form(None, 1))
    answers = dataset.answers(synthetic["synthetic_id"], before)
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
    return _with_texts(reviewed, before, wanted, extractor)


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


def _records(synthetic: datasets.Dataset, label_column: str | None) -> Iterator[ReviewRecord]:
    for row in synthetic:
        name = row["target_name"]
        fields = {
            "sample": f"<p>{_marked(row)}</p>",
            "feature": two_columns(
                [
                    ("feature", str(row["target_feature"])),
                    ("name", shown(name) if name else "it has none"),
                    ("activation", f"{row['target_activation']:.2f}"),
                    ("threshold", f"{row['target_threshold']:.2f}"),
                ]
            ),
        }
        if label_column is not None:
            fields["label"] = f"<p>{shown(str(row[label_column]))}</p>"
        metadata = {
            "target_feature": row["target_feature"],
            "method": row.get("method"),
            "attempt": row.get("attempt"),
            "excess": row["target_activation"] / row["target_threshold"] if row["target_threshold"] else None,
        }
        agent = row.get("generator")
        yield ReviewRecord(
            row["synthetic_id"],
            row["text"],
            fields,
            metadata,
            [Suggestion("edited", _storable(row["text"]), agent, None)],
        )


def _marked(row: Mapping[str, Any]) -> str:
    """The text with the token marked at which the target feature peaks, where that is known."""
    if all(name in row for name in _PEAKS) and row["target_feature"] in row["feature_ids"]:
        place = row["feature_ids"].index(row["target_feature"])
        return shown_with_peak(row["text"], row["feature_starts"][place], row["feature_ends"][place])
    return shown(row["text"])


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


def _originals(synthetic: datasets.Dataset) -> list[str]:
    """The texts as they were pushed, also of rows that were pulled before."""
    if "original_text" not in synthetic.column_names:
        return list(synthetic["text"])
    pairs = zip(synthetic["original_text"], synthetic["text"], strict=True)
    return [text if original is None else original for original, text in pairs]


def _agreed_text(text: str, counted: Sequence[Mapping[str, Any]]) -> str:
    """The text that most reviewers who keep a sample left behind; an empty one stands for no change."""
    left = Counter(
        text if (edited := (each["edited"] or "").strip()) in ("", _storable(text).strip()) else edited
        for each in counted
        if each["keep"] == KEEP
    )
    return left.most_common(1)[0][0] if left else text


def _with_texts(
    reviewed: datasets.Dataset, before: Sequence[str], wanted: Sequence[str], extractor: FeatureExtractor | None
) -> datasets.Dataset:
    """Rows with the wanted texts; what was measured of the others is measured again."""
    from datasets import Value

    present = list(reviewed["text"])
    changed = [place for place, text in enumerate(wanted) if text != present[place]]
    originals = [old if new != old else None for old, new in zip(before, wanted, strict=True)]
    activations, accepted = list(reviewed["target_activation"]), list(reviewed["accepted"])
    columns: dict[str, tuple[Any, Any]] = {
        "text": (list(wanted), reviewed.features["text"]),
        "original_text": (originals, Value("string")),
    }
    if changed:
        if extractor is None:
            raise ReviewError(
                f"{len(changed)} samples have edited texts, which have to be measured anew; pass extractor= with the "
                "one that verified the samples"
            )
        if "feature_ids" in reviewed.column_names:
            require_same_space(dataset_space(reviewed), extractor.feature_space)
        require_same_but_threshold(reviewed[0]["feature_space"], extractor.feature_space)
        texts, features = [wanted[place] for place in changed], list(reviewed["target_feature"])
        for place, found in zip(changed, measure(extractor, texts), strict=True):
            activations[place] = found.get(features[place], 0.0)
        extracted = extractor.extract(texts)
        for name in set(extracted) & set(reviewed.column_names) - {"feature_space"}:
            values = list(reviewed[name])
            for place, value in zip(changed, extracted[name], strict=True):
                values[place] = value
            columns[name] = (values, reviewed.features[name])
    enough = [value > least + MARGIN for value, least in zip(activations, reviewed["target_threshold"], strict=True)]
    columns["target_activation"] = (activations, reviewed.features["target_activation"])
    columns["accepted"] = (
        [keep and (old is None or holds) for keep, old, holds in zip(accepted, originals, enough, strict=True)],
        Value("bool"),
    )
    return add_columns(reviewed, columns)
