"""Review of feature explanations: one record a feature, and the reviewers' answers back in the table."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.report import CoverageReport
from fac_datasets.errors import OptionError
from fac_datasets.feature_space import FeatureSpace, require_same_but_threshold
from fac_datasets.interpretation.evidence import with_evidence
from fac_datasets.interpretation.relevance import Guideline
from fac_datasets.review.agreement import CANNOT_TELL, CERTAINTY, HOLDS, consensus_rule, counting
from fac_datasets.review.form import SHOWN, Form, Question, guidelines
from fac_datasets.review.markup import numbered, shown, shown_with_peak, two_columns
from fac_datasets.review.records import Answer, PushReport, ReviewDataset, ReviewRecord, Suggestion, require_different
from fac_datasets.rows.tables import add_columns, require_columns

if TYPE_CHECKING:
    import argilla
    import datasets

_VERDICTS = CERTAINTY[::-1]

_STATES = ("missing", "covered")
"""Of a feature, in a coverage report and on a record."""

_SCORES = {
    "detection": "detection: texts told apart by the name, 0.5 is chance",
    "fuzzing": "fuzzing: marked tokens told apart by the name, 0.5 is chance",
    "auroc": "ranking: active texts above silent ones by the name, 0.5 is chance",
}


def push_explanations(
    table: datasets.Dataset,
    name: str,
    *,
    client: argilla.Argilla | None = None,
    workspace: str | None = None,
    guideline: str | Path | Guideline | None = None,
    report: CoverageReport | Mapping[str, Any] | None = None,
    min_submitted: int = 1,
) -> PushReport:
    """Send features to an Argilla dataset in which people judge their explanations.

    Pushing again updates the same records and keeps all responses. Where the explanation or the spans shown have
    changed, responses to the earlier ones are marked as outdated, also those given while this push is on its way, and
    those submitted are drafts again: their reviewers find the record under 'Draft', with all that they answered. Where
    explanation and spans are again what they were before, untouched answers to them count again. A discarded record
    stays discarded. A page that a reviewer has open shows the earlier record until it is loaded anew, and the server
    does not tell what is submitted from it afterwards from an answer to the present one.

    Args:
        table: a feature table with names.
        name: of the Argilla dataset, made where there is none.
        client: by default one for `ARGILLA_API_URL` with `ARGILLA_API_KEY`.
        workspace: by default the only one there is.
        guideline: the task that relevance is asked for; without one it is not asked. A Guideline, or what
            `Guideline.load` reads. Another task, or the same in other words, needs a dataset of its own.
        report: says which features are missing and which are covered, so that reviewers can filter by it. A
            CoverageReport, or what its `to_dict` gives and `report.json` holds.
        min_submitted: reviewers that each record needs.

    Raises:
        ReviewError: no server, key or workspace, or a dataset of this name with other settings.
        ColumnError: the table has no names, or a feature twice.
        OptionError: the guideline or the report cannot be used.
        FeatureSpaceMismatch: the report is of another space than the table.

    Example:
        >>> review.push_explanations(table, "toxic-features", guideline="toxicity").added == len(table)
        True
    """
    require_columns(table, "feature_id", "feature_space", "spans", "silent_spans", "explanation", "fits")
    require_different(table["feature_id"], "feature")
    if min_submitted < 1:
        raise OptionError(f"min_submitted={min_submitted} is less than 1")
    task = guideline if isinstance(guideline, Guideline | None) else Guideline.load(guideline)
    states = _states(table, report)
    dataset = ReviewDataset.open(name, client, workspace, _form(task, min_submitted))
    return dataset.push(_records(table, task, states), len(table))


def pull_explanations(
    table: datasets.Dataset,
    name: str,
    *,
    client: argilla.Argilla | None = None,
    workspace: str | None = None,
    consensus: str = "majority",
) -> datasets.Dataset:
    """Bring the answers of reviewers back into the table.

    Args:
        table: the one that was pushed, or one with some of its features. Answers to another explanation or other spans
            than its own are outdated.
        name: of the Argilla dataset.
        client: see `push_explanations`.
        workspace: see `push_explanations`.
        consensus: `"majority"` (more than half of the reviewers), `"unanimous"`, or `"median"` (the middle answer from
            no to yes, of two the more doubtful; "cannot tell" is left out). Only submitted answers to the present
            explanation and spans count, and there is no consensus before there are as many of them as `min_submitted`
            of the push.

    Returns:
        The table with `reviews`, a list of each record's responses of every status: `reviewer`, `status`, `outdated`,
        `fits`, `corrected`, `relevant`, `misfits` (numbers of spans, from 1), `comment`; with `review_fits` and
        `review_relevant`, the consensus or null; with `review_explanation`, the correction that most reviewers wrote
        (the earliest of equally frequent ones) where there is a consensus that the name does not fully fit, else null;
        and with `review` among the `evidence` of features whose name, as corrected, and relevance people agree on. What
        people agree is no evidence of relevance is none by a language model either.

    Raises:
        ReviewError: no server, key, workspace or dataset; or a dataset of something else than these features.
        OptionError: there is no such rule of consensus.

    Example:
        >>> _ = review.push_explanations(table, "my-features", guideline="toxicity")
        >>> reviewed = review.pull_explanations(table, "my-features", consensus="median")
        >>> review.summary(reviewed).reviewed, relevant_features(reviewed, evidence=["review"]).tolist()
        (0, [])
    """
    from datasets import List, Value

    require_columns(table, "feature_id", "feature_space", "spans", "explanation", "fits")
    rule = consensus_rule(consensus)
    ids = [_id(space, feature) for space, feature in zip(table["feature_space"], table["feature_id"], strict=True)]
    dataset = ReviewDataset.find(name, client, workspace, _form(None, 1))
    answers = dataset.answers(ids, map(_subject, table.select_columns(["explanation", "spans"])))
    reviews = [[_review(answer) for answer in of_feature] for of_feature in answers]
    counted = [counting(of_feature, dataset.min_submitted) for of_feature in reviews]
    fits = [rule([each["fits"] for each in of_feature if each["fits"]]) for of_feature in counted]
    relevant = [rule([each["relevant"] for each in of_feature if each["relevant"]]) for of_feature in counted]
    corrected = [
        _most_frequent([each["corrected"] for each in of_feature]) if verdict not in (None, "yes") else None
        for of_feature, verdict in zip(counted, fits, strict=True)
    ]
    review = {
        "reviewer": Value("string"),
        "status": Value("string"),
        "outdated": Value("bool"),
        "fits": Value("string"),
        "corrected": Value("string"),
        "relevant": Value("string"),
        "misfits": List(Value("int32")),
        "comment": Value("string"),
    }
    table = add_columns(
        table,
        {
            "reviews": (reviews, List(review)),
            "review_fits": (fits, Value("string")),
            "review_relevant": (relevant, Value("string")),
            "review_explanation": (corrected, Value("string")),
        },
    )
    named = np.array([verdict in HOLDS or bool(name) for verdict, name in zip(fits, corrected, strict=True)], bool)
    wanted = np.array([verdict in HOLDS for verdict in relevant], bool)
    refused = np.array([v is not None for v in fits], bool) & ~named
    refused |= np.array([v is not None for v in relevant], bool) & ~wanted
    if "relevant" in table.column_names:
        both = zip(table["fits"], table["relevant"], strict=True)
        by_model = np.array([fit in HOLDS and judged in HOLDS for fit, judged in both], bool)
        table = with_evidence(table, "llm", by_model & ~refused)
    return with_evidence(table, "review", named & wanted)


def _form(task: Guideline | None, min_submitted: int) -> Form:
    numbers = tuple(str(number) for number in range(1, SHOWN + 1))
    questions = [
        Question("fits", "Does the name fit?", (*_VERDICTS, CANNOT_TELL), required=True),
        Question("corrected", "A better name"),
        Question("misfits", "Texts that do not fit", numbers, several=True, help="Numbers of active texts."),
        Question("comment", "Comment"),
    ]
    if task is not None:
        title = f"Is it relevant for the task? ({task.name})"
        questions.insert(2, Question("relevant", title, _VERDICTS, required=True, help=task.text))
    told = None if task is None else f"# The task: {task.name}\n\n{task.text}"
    return Form(
        {
            "explanation": "Name",
            "numbers": "Numbers",
            "spans": "Where it is active",
            "silent_spans": "Where it is silent",
        },
        questions,
        {"feature_id": "integer", "state": "terms", "task": "terms", "firing_rate": "float", "detection": "float"},
        guidelines("explanations", told),
        min_submitted,
        told,
    )


def _records(table: datasets.Dataset, task: Guideline | None, states: Mapping[int, str]) -> Iterator[ReviewRecord]:
    for row in table:
        name = row["explanation"]
        yield ReviewRecord(
            _id(row["feature_space"], row["feature_id"]),
            _subject(row),
            {
                "explanation": f"<p><b>{shown(name)}</b></p>" if name else "<p>It has no name.</p>",
                "numbers": two_columns(_numbers(row, states)),
                "spans": numbered(
                    [f"{_peaked(span)} &nbsp;({span['activation']:.2f})" for span in row["spans"][:SHOWN]]
                ),
                "silent_spans": numbered([shown(span["text"]) for span in row["silent_spans"][:SHOWN]]),
            },
            {
                "feature_id": row["feature_id"],
                "state": states.get(row["feature_id"]),
                "task": task.name if task is not None else None,
                "firing_rate": row["firing_rate"],
                "detection": row.get("detection"),
            },
            _suggestions(row, task),
        )


def _subject(row: Mapping[str, Any]) -> list[Any]:
    """What is judged: the name by the spans shown, whose numbers are answers too."""
    return [row["explanation"] or "", *([span["text"], span["start"], span["end"]] for span in row["spans"][:SHOWN])]


def _peaked(span: Mapping[str, Any]) -> str:
    return shown_with_peak(span["text"], span["start"], span["end"])


def _suggestions(row: Mapping[str, Any], task: Guideline | None) -> list[Suggestion]:
    """Verdicts of models, with the score where one was measured for what they say."""
    found = []
    if row["fits"] in (*_VERDICTS, CANNOT_TELL):
        agent = row.get("verifier") if row["explanation"] else row.get("explainer")
        # Texts that the name tells apart speak for a yes; they are no score of a no.
        score = row.get("detection") if row["fits"] in HOLDS else None
        found.append(Suggestion("fits", row["fits"], agent, score))
    if task is not None and row.get("relevant") in _VERDICTS and row.get("guideline") == task.name:
        found.append(Suggestion("relevant", row["relevant"], row.get("judge"), None))
    return found


def _numbers(row: Mapping[str, Any], states: Mapping[int, str]) -> list[tuple[str, str]]:
    lines = [
        ("feature", str(row["feature_id"])),
        ("active in", f"{100 * row['firing_rate']:.3g} % of the rows"),
        ("strongest activation", f"{row['max_activation']:.2f}"),
    ]
    if row["feature_id"] in states:
        lines.append(("in the dataset", states[row["feature_id"]]))
    if row.get("explainer"):
        lines.append(("named by", shown(row["explainer"])))
    lines += [(title, f"{row[score]:.2f}") for score, title in _SCORES.items() if row.get(score) is not None]
    return lines


def _states(table: datasets.Dataset, report: CoverageReport | Mapping[str, Any] | None) -> dict[int, str]:
    """Whether a dataset has each of the features that its task needs."""
    if report is None:
        return {}
    content = report.to_dict() if isinstance(report, CoverageReport) else report
    lacking = [name for name in (*_STATES, "feature_space") if name not in content]
    if lacking:
        raise OptionError(f"the coverage report lacks {lacking}; write it with 'fac-datasets coverage --json FILE'")
    if len(table):
        require_same_but_threshold(table[0]["feature_space"], content["feature_space"])
    return {feature: state for state in _STATES for feature in content[state]}


def _id(space: str, feature: int) -> str:
    """The same for every table of a feature space, whatever its cut-off."""
    comparable = dataclasses.replace(FeatureSpace.parse(space), backbone="", sae="", threshold=0.0)
    return f"{hashlib.sha256(str(comparable).encode()).hexdigest()[:12]}-{feature}"


def _review(answer: Answer) -> dict[str, Any]:
    values = answer.values
    return {
        "reviewer": answer.reviewer,
        "status": answer.status,
        "outdated": answer.outdated,
        "fits": values.get("fits"),
        "corrected": " ".join(str(values.get("corrected") or "").split()) or None,
        "relevant": values.get("relevant"),
        "misfits": [int(number) for number in values.get("misfits") or []],
        "comment": values.get("comment"),
    }


def _most_frequent(texts: Sequence[str | None]) -> str | None:
    written = Counter(text for text in texts if text)
    return written.most_common(1)[0][0] if written else None
