"""Argilla's search engine interface on `Documents`; registered as "documents" when the server imports this module.

Argilla has engines for Elasticsearch and OpenSearch only. A test server gets along without either.
"""

from __future__ import annotations

import os
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any

from argilla_server.search_engine.base import (
    AndFilter,
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    MetadataFilterScope,
    RecordFilterScope,
    ResponseFilterScope,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    SuggestionFilterScope,
    TermsFilter,
    TermsMetrics,
)

from tests.servers.argilla.documents import (
    Document,
    Documents,
    leaves,
    shuffled,
    similarity,
    sort_documents,
    term_counts,
    text_score,
    within,
)

PATH = "DOCUMENTS_PATH"
"""Environment variable with the path of the file of documents."""


@SearchEngine.register(engine_name="documents")
class DocumentsEngine(SearchEngine):  # type: ignore[misc]
    """Search over documents in a SQLite file."""

    def __init__(self) -> None:
        self._documents = Documents(os.environ[PATH])

    @classmethod
    async def new_instance(cls) -> DocumentsEngine:
        return cls()

    async def close(self) -> None:
        self._documents.close()

    async def ping(self) -> bool:
        return True

    async def info(self) -> dict[str, Any]:
        return {"name": "documents", "version": {"number": "1", "distribution": "documents"}}

    async def create_index(self, dataset: Any) -> None:
        self._documents.remove(str(dataset.id))

    async def delete_index(self, dataset: Any) -> None:
        self._documents.remove(str(dataset.id))

    async def configure_metadata_property(self, dataset: Any, metadata_property: Any) -> None:
        """Documents have no schema."""

    async def index_records(self, dataset: Any, records: Any) -> None:
        self._documents.put(str(dataset.id), map(document_of, records))

    async def partial_record_update(self, record: Any, **update: Any) -> None:
        self._edit(record, lambda document: document.update(plain(update)))

    async def delete_records(self, dataset: Any, records: Any) -> None:
        self._documents.remove(str(dataset.id), [str(record.id) for record in records])

    async def update_record_response(self, response: Any) -> None:
        document = response_document(response)
        self._edit(response.record, lambda record: record["responses"].update({document["id"]: document}))

    async def delete_record_response(self, response: Any) -> None:
        self._edit(response.record, lambda record: record["responses"].pop(str(response.id), None))

    async def update_record_suggestion(self, suggestion: Any) -> None:
        document = suggestion_document(suggestion)
        self._edit(suggestion.record, lambda record: record["suggestions"].update({suggestion.question.name: document}))

    async def delete_record_suggestion(self, suggestion: Any) -> None:
        self._edit(suggestion.record, lambda record: record["suggestions"].pop(suggestion.question.name, None))

    async def get_dataset_progress(self, dataset: Any) -> dict[str, int]:
        counts = term_counts(self._documents.of(str(dataset.id)), lambda document: [document["status"]])
        return {"total": counts.total(), **counts}

    async def get_dataset_user_progress(self, dataset: Any, user: Any) -> dict[str, int]:
        scope = ResponseFilterScope(property="status", user=user)
        counts = term_counts(self._documents.of(str(dataset.id)), lambda document: values(document, scope))
        return {"total": counts.total(), **counts}

    async def search(
        self,
        dataset: Any,
        query: Any = None,
        filter: Any = None,
        sort: Any = None,
        offset: int = 0,
        limit: int = 100,
        user_id: Any = None,
    ) -> SearchResponses:
        found = self._found(dataset, query, filter)
        scores = {document["id"]: score for score, document in found}
        documents = [document for _, document in found]
        if query is not None:
            documents.sort(key=lambda document: -scores[document["id"]])
        elif user_id is not None:
            documents = shuffled(documents, str(user_id))
        for order in reversed(sort or []):
            found_by = partial(values, scope=order.scope)
            documents = sort_documents(documents, found_by, descending=plain(order.order) == "desc")
        page = documents[offset : offset + limit]
        items = [SearchResponseItem(record_id=each["id"], score=scores[each["id"]]) for each in page]
        return SearchResponses(items=items, total=len(documents))

    async def compute_metrics_for(self, metadata_property: Any) -> Any:
        scope = MetadataFilterScope(metadata_property=metadata_property.name)
        documents = list(self._documents.of(str(metadata_property.dataset.id)))
        if metadata_property.type == "terms":
            counts = term_counts(documents, lambda document: values(document, scope))
            terms = [TermsMetrics.TermCount(term=term, count=count) for term, count in counts.items()]
            return TermsMetrics(total=counts.total(), values=terms)
        numbers = [number for document in documents for number in values(document, scope)]
        kind = IntegerMetadataMetrics if metadata_property.type == "integer" else FloatMetadataMetrics
        return kind(min=min(numbers, default=None), max=max(numbers, default=None))

    async def similarity_search(
        self,
        dataset: Any,
        vector_settings: Any,
        value: Any = None,
        record: Any = None,
        query: Any = None,
        filter: Any = None,
        max_results: int = 100,
        order: Any = "most_similar",
        threshold: float | None = None,
    ) -> SearchResponses:
        vector = value or record.vector_value_by_vector_settings(vector_settings)
        sign = -1 if plain(order) == "least_similar" else 1
        scored = [
            (similarity([sign * part for part in vector], other), document["id"])
            for _, document in self._found(dataset, query, filter)
            if (other := document["vectors"].get(str(vector_settings.id)))
            and (record is None or document["id"] != str(record.id))
        ]
        scored = [pair for pair in scored if threshold is None or pair[0] >= threshold]
        scored.sort(key=lambda pair: -pair[0])
        items = [SearchResponseItem(record_id=id, score=score) for score, id in scored[:max_results]]
        return SearchResponses(items=items, total=len(items))

    def _edit(self, record: Any, change: Any) -> None:
        self._documents.edit(str(record.dataset.id), str(record.id), change)

    def _found(self, dataset: Any, query: Any, filter: Any) -> list[tuple[float, Document]]:
        """Score and document of each that matches a text query and a filter."""
        text, field = (query, None) if query is None or isinstance(query, str) else (query.q, query.field)
        found = []
        for document in self._documents.of(str(dataset.id)):
            fields = document["fields"] if field is None else document["fields"].get(field)
            score = 1.0 if text is None else text_score(text, map(str, leaves(fields)))
            if score and (filter is None or holds(filter, document)):
                found.append((float(score), document))
        return found


def plain(value: Any) -> Any:
    """A value as JSON holds it: enumerations by value, dates as ISO texts, ids as texts."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def document_of(record: Any) -> Document:
    """A record of the server's database as a document."""
    document: Document = plain(
        {
            "id": record.id,
            "external_id": record.external_id,
            "status": record.status,
            "inserted_at": record.inserted_at,
            "updated_at": record.updated_at,
            "fields": record.fields,
            "metadata": record.metadata_ or {},
            "responses": {str(response.id): response_document(response) for response in record.responses},
            "suggestions": {each.question.name: suggestion_document(each) for each in record.suggestions},
            "vectors": {str(vector.vector_settings.id): vector.value for vector in record.vectors},
        }
    )
    return document


def response_document(response: Any) -> Document:
    """One person's response to a record."""
    answers = {question: answer.get("value") for question, answer in (response.values or {}).items()}
    document: Document = plain(
        {"id": response.id, "status": response.status, "user": response.user_id, "values": answers}
    )
    return document


def suggestion_document(suggestion: Any) -> Document:
    """What was suggested for one question."""
    document: Document = plain({name: getattr(suggestion, name) for name in ("type", "agent", "score", "value")})
    return document


def values(document: Document, scope: Any) -> list[Any]:
    """What a document has where a filter or an order looks."""
    match scope:
        case RecordFilterScope():
            return leaves(document.get(plain(scope.property)))
        case MetadataFilterScope():
            return leaves(document["metadata"].get(scope.metadata_property))
        case SuggestionFilterScope():
            return leaves(document["suggestions"].get(scope.question, {}).get(plain(scope.property)))
        case ResponseFilterScope():
            responses = responses_by(document, scope.user)
            if scope.question:
                return leaves([response["values"].get(scope.question) for response in responses])
            return [response[plain(scope.property)] for response in responses]
    raise ValueError(f"a scope of an unknown kind: {scope}")


def responses_by(document: Document, user: Any) -> list[Document]:
    """Responses to a record: of one user, or of all."""
    return [each for each in document["responses"].values() if user is None or each["user"] == str(user.id)]


def holds(filter: Any, document: Document) -> bool:
    """Whether a document passes a filter."""
    if isinstance(filter, AndFilter):
        return all(holds(part, document) for part in filter.filters)
    found = values(document, filter.scope)
    if isinstance(filter, TermsFilter):
        wanted = {str(plain(value)) for value in filter.values}
        if isinstance(filter.scope, ResponseFilterScope) and "pending" in wanted and not found:
            return True
        return any(str(value) in wanted for value in found)
    return any(within(value, plain(filter.ge), plain(filter.le)) for value in found)
