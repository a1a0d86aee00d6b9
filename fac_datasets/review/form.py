"""What a reviewer sees and is asked: the settings of a review's dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ReviewError
from fac_datasets.review.server import repeated

if TYPE_CHECKING:
    import argilla

_FOLDER = Path(__file__).parent / "guidelines"

SHOWN = 10
"""Spans shown where a feature is active, and again where it is silent."""

_LONGEST_GUIDELINES, _LONGEST_HELP = 10_000, 1_000
"""Characters that a server takes."""


@dataclass(frozen=True)
class Question:
    """One question about each record."""

    name: str
    title: str
    labels: tuple[str, ...] = ()
    """Answers to choose from; a text is asked for where there are none."""
    several: bool = False
    """More than one label may be chosen."""
    required: bool = False
    help: str | None = None

    @property
    def shape(self) -> tuple[str, tuple[str, ...]]:
        """What makes answers to two questions comparable: its kind and its labels."""
        kind = "text" if not self.labels else "multi_label_selection" if self.several else "label_selection"
        return kind, self.labels


@dataclass(frozen=True)
class Form:
    """Fields, questions, metadata and guidelines of a review."""

    fields: Mapping[str, str]
    """Titles by name; their texts are HTML."""
    questions: Sequence[Question]
    metadata: Mapping[str, str]
    """`terms`, `integer` or `float`, by name."""
    guidelines: str
    min_submitted: int
    """Reviewers that a record needs."""
    task: str | None = None
    """What the guidelines end with; answers to another task are to other questions."""

    def begin(self, client: argilla.Argilla, name: str, workspace: argilla.Workspace) -> None:
        """Make an empty dataset, unless there is one of this name.

        Raises:
            ReviewError: the server refuses.
        """
        content = {"name": name, "workspace_id": str(workspace.id), **self._frame()}

        def make() -> None:
            answer = client.http_client.post("/api/v1/datasets", json=content)
            # Another push may have made it since, or this one, whose answer was lost.
            if answer.status_code != 409:
                answer.raise_for_status()

        repeated(make)

    def finish(self, dataset: argilla.Dataset, client: argilla.Argilla) -> None:
        """Give a dataset that is not published yet what it lacks, and publish it.

        Another push may be doing the same: what it has done first is refused here, and there all the same.

        Raises:
            ReviewError: it has anything that this form would not have made, or the server refuses.
        """
        self._require_begun(dataset)
        ours, theirs, path = self._settings(client), dataset.settings, f"/api/v1/datasets/{dataset.id}"
        if not theirs.guidelines:
            # It was made by its name alone; a push gives it the rest of these at once.
            repeated(lambda: client.http_client.patch(path, json=self._frame()).raise_for_status())
        refusals = []
        for parts, there in (
            (ours.fields, theirs.fields),
            (ours.questions, theirs.questions),
            (ours.metadata, theirs.metadata),
        ):
            for part in parts:
                if part.name not in {each.name for each in there}:
                    part.dataset = dataset
                    refusals.append(_refusal(part.create))
        refusals.append(_refusal(lambda: client.api.datasets.publish(dataset.id)))
        if repeated(lambda: client.api.datasets.get(dataset.id)).status == "draft":
            raise ReviewError(f"dataset {dataset.name!r} could not be published: {next(filter(None, refusals))}")
        repeated(theirs.get)

    def require_same(self, dataset: argilla.Dataset) -> None:
        """Raise ReviewError where a dataset asks or shows something else than this form.

        Titles, help and the guidelines before the task may differ: a team may have changed them.
        """
        settings = dataset.settings
        theirs: dict[str, Any] = {
            "fields": sorted(each.name for each in settings.fields),
            "questions": {each.name: _shape(each) for each in settings.questions},
            "metadata": {each.name: _kind(each) for each in settings.metadata if each.name in self.metadata},
            "min_submitted": settings.distribution.min_submitted,
        }
        ours: dict[str, Any] = {
            "fields": sorted(self.fields),
            "questions": {each.name: each.shape for each in self.questions},
            "metadata": dict(self.metadata),
            "min_submitted": self.min_submitted,
        }
        different = [part for part in ours if ours[part] != theirs[part]]
        if different:
            part = different[0]
            raise ReviewError(
                f"dataset {dataset.name!r} is there already with other settings: its {part} are {theirs[part]}, and "
                f"this push needs {ours[part]}; push under another name, or with the options of the first push"
            )
        if self.task is not None and not _words(settings.guidelines).endswith(_words(self.task)):
            raise ReviewError(
                f"dataset {dataset.name!r} is there already with other settings: its guidelines do not end with "
                f"{self.task.splitlines()[0]!r} and this push's words for it; push under another name, or with the "
                "guideline of the first push"
            )

    def require_kind(self, dataset: argilla.Dataset) -> None:
        """Raise ReviewError where a dataset does not show and ask at least what this form does."""
        fields = {each.name for each in dataset.settings.fields}
        questions = {each.name: _shape(each) for each in dataset.settings.questions}
        lacking = sorted({*self.fields} - fields)
        lacking += [each.name for each in self.questions if questions.get(each.name) != each.shape]
        if lacking:
            raise ReviewError(
                f"dataset {dataset.name!r} is of something else than these rows: it shows {sorted(fields)}, asks "
                f"{sorted(questions)}, and lacks {lacking}; name the one that they were pushed to"
            )

    def _require_begun(self, dataset: argilla.Dataset) -> None:
        """Raise ReviewError where an unfinished dataset has anything that this form would not have made."""
        settings = dataset.settings
        ours = (
            {each.name for each in settings.fields} <= {*self.fields}
            and {(each.name, _shape(each)) for each in settings.questions}
            <= {(each.name, each.shape) for each in self.questions}
            and _words(settings.guidelines) in ("", _words(self.guidelines))
        )
        if not ours:
            raise ReviewError(
                f"dataset {dataset.name!r} is there already with other settings, and not published yet: somebody else "
                "is making it; push under another name, or delete it"
            )

    def _frame(self) -> dict[str, Any]:
        """What a dataset has besides fields, questions and metadata."""
        return {
            "guidelines": self.guidelines,
            "allow_extra_metadata": True,
            "distribution": {"strategy": "overlap", "min_submitted": self.min_submitted},
        }

    def _settings(self, client: argilla.Argilla) -> argilla.Settings:
        import argilla

        return argilla.Settings(
            fields=[
                argilla.TextField(name=name, title=title, use_markdown=True, client=client)
                for name, title in self.fields.items()
            ],
            questions=[_question(question, client) for question in self.questions],
            metadata=[
                getattr(argilla, f"{kind.capitalize()}MetadataProperty")(name, client=client)
                for name, kind in self.metadata.items()
            ],
        )


def guidelines(name: str, task: str | None = None) -> str:
    """What reviewers are told, with the description of the task behind it.

    Raises:
        ReviewError: it is longer than a server takes.
    """
    text = (_FOLDER / f"{name}.md").read_text(encoding="utf-8")
    if task is not None:
        text = f"{text}\n{task}\n"
    if len(text) > _LONGEST_GUIDELINES:
        raise ReviewError(f"the guidelines have {len(text):,} characters, and Argilla takes {_LONGEST_GUIDELINES:,}")
    return text


def _refusal(request: Callable[[], Any]) -> str | None:
    """What a server says against a request that another push may have made first."""
    from argilla._exceptions import ConflictError, UnprocessableEntityError

    def attempt() -> str | None:
        try:
            request()
        except (ConflictError, UnprocessableEntityError) as error:
            return str(error)
        return None

    return repeated(attempt)


def _question(question: Question, client: argilla.Argilla) -> Any:
    import argilla

    told = question.help
    if told is not None and len(told) > _LONGEST_HELP:
        more = " … (the guidelines have all of it)"
        told = told[: _LONGEST_HELP - len(more)] + more
    common = {
        "name": question.name,
        "title": question.title,
        "required": question.required,
        "description": told,
        "client": client,
    }
    if not question.labels:
        return argilla.TextQuestion(**common)
    if question.several:
        return argilla.MultiLabelQuestion(labels=list(question.labels), visible_labels=len(question.labels), **common)
    return argilla.LabelQuestion(labels=list(question.labels), **common)


def _words(text: str | None) -> str:
    """A text whose spaces and lines make no difference."""
    return " ".join((text or "").split())


def _kind(metadata_property: Any) -> str:
    return type(metadata_property).__name__.removesuffix("MetadataProperty").lower()


def _shape(question: Any) -> tuple[str, tuple[str, ...]]:
    labels = getattr(question, "labels", None)
    return question.type, tuple(labels or ())
