"""The feature table shows where features fire: compared with the definition, row by row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets import FeatureExtractor, feature_table
from fac_datasets.errors import ColumnError, DatasetError, OptionError, RowError
from fac_datasets.feature_space import dataset_space
from fac_datasets.interpretation import spans
from fac_datasets.interpretation.spans import FeatureSpans
from fac_datasets.interpretation.table import KEPT, LOWER, SILENT, spans_table
from tests.comparing import features_of
from tests.interpretation.texts import texts


def firing(rows: datasets.Dataset) -> dict[int, dict[int, float]]:
    """Of each feature, its activation in each row where it fires."""
    found: dict[int, dict[int, float]] = {}
    for row, active in enumerate(features_of(rows.to_dict())):
        for feature, value in active.items():
            found.setdefault(feature, {})[row] = value
    return found


def test_rates_and_maxima_are_those_of_the_columns(rows: datasets.Dataset, table: datasets.Dataset) -> None:
    expected = firing(rows)
    assert table["feature_id"] == sorted(expected)
    for row in table:
        values = expected[row["feature_id"]]
        assert row["firing_rate"] == pytest.approx(len(values) / len(rows))
        assert row["max_activation"] == max(values.values())


def test_quantiles_are_exact_for_features_that_fire_rarely(rows: datasets.Dataset, table: datasets.Dataset) -> None:
    distinct = {text: i for i, text in reversed(list(enumerate(rows["text"])))}.values()
    checked = 0
    for row in table:
        values = [value for i, value in firing(rows)[row["feature_id"]].items() if i in distinct]
        if len(values) <= spans.SAMPLED:
            assert row["quantiles"] == pytest.approx(np.quantile(values, [0.1, 0.25, 0.5, 0.75, 0.9]), abs=1e-5)
            checked += 1
        assert row["quantiles"] == sorted(row["quantiles"])
    assert checked > 10


def test_spans_are_the_strongest_and_end_with_the_peak(rows: datasets.Dataset, table: datasets.Dataset) -> None:
    for row in table:
        values = firing(rows)[row["feature_id"]]
        activations = [span["activation"] for span in row["spans"]]
        assert activations == sorted(activations, reverse=True)
        assert activations[0] == max(values.values())
        for span in (*row["spans"], *row["held_out_spans"]):
            assert span["activation"] == values[span["row"]]
            assert span["end"] == len(span["text"])
            assert 0 <= span["start"] < span["end"]
            stored = rows[span["row"]]
            place = stored["feature_ids"].index(row["feature_id"])
            peak = stored["text"][stored["feature_starts"][place] : stored["feature_ends"][place]]
            assert span["text"][span["start"] :] == peak
            assert stored["text"][: stored["feature_ends"][place]].endswith(span["text"])


def test_no_stronger_row_is_left_out_but_for_an_equal_span(rows: datasets.Dataset, table: datasets.Dataset) -> None:
    for row in table:
        shown = [*row["spans"], *row["held_out_spans"]][:KEPT]
        least = min(span["activation"] for span in row["spans"])
        for number, value in firing(rows)[row["feature_id"]].items():
            if value > least:
                stored = rows[number]
                place = stored["feature_ids"].index(row["feature_id"])
                before = stored["text"][: stored["feature_ends"][place]]
                assert any(before.endswith(span["text"]) for span in shown)


def test_equal_spans_stand_once_and_held_out_ones_were_not_shown(table: datasets.Dataset) -> None:
    for row in table:
        shown, held_out = ([span["text"] for span in row[name]] for name in ("spans", "held_out_spans"))
        assert len(shown) == len(set(shown)) <= 10
        assert len(held_out) == len(set(held_out)) <= KEPT - 10 + LOWER
        assert not {*shown} & {*held_out}


def test_held_out_spans_reach_down_to_weak_activations(rows: datasets.Dataset, table: datasets.Dataset) -> None:
    often = [row for row in table if row["firing_rate"] > 0.6]
    assert often
    for row in often:
        values = sorted(firing(rows)[row["feature_id"]].values())
        assert min(span["activation"] for span in row["held_out_spans"]) < values[len(values) // 4]


def test_silent_spans_come_from_rows_where_the_feature_does_not_fire(
    rows: datasets.Dataset, table: datasets.Dataset
) -> None:
    found = firing(rows)
    assert any(row["silent_spans"] for row in table)
    for row in table:
        assert len(row["silent_spans"]) <= SILENT
        for span in row["silent_spans"]:
            assert span["row"] not in found[row["feature_id"]]
            assert span["activation"] == 0
            assert span["text"] and span["text"] in rows[span["row"]]["text"]
        assert len({span["text"] for span in row["silent_spans"]}) == len(row["silent_spans"])
        if len(found[row["feature_id"]]) < 75:
            assert len(row["silent_spans"]) == SILENT


@pytest.mark.parametrize("span_tokens", [1, 4, 10])
def test_a_span_has_as_many_tokens_as_asked_for(
    rows: datasets.Dataset, tiny_backbone: str, tiny_extractor: FeatureExtractor, span_tokens: int
) -> None:
    table = feature_table(rows, span_tokens=span_tokens)
    tokenizer = tiny_extractor.backbone.tokenizer
    for row in table.select(range(20)):
        for span in row["spans"]:
            text = rows[span["row"]]["text"]
            n_tokens = len(tokenizer(span["text"], add_special_tokens=False)["input_ids"])
            assert n_tokens <= span_tokens + 3  # a word without the space before it may be other tokens
            if not text.startswith(span["text"]):
                assert n_tokens >= span_tokens - 1


@pytest.mark.slow
def test_a_text_that_stands_in_many_rows_counts_once_among_the_spans(
    tiny_backbone: str, tiny_extractor: FeatureExtractor
) -> None:
    many = ["the rain of Madrid is quiet and the dogs are naïve"] * 300 + texts(40)
    rows = datasets.Dataset.from_dict({"text": many}).map(tiny_extractor, batched=True)
    table = feature_table(rows)
    fired = firing(rows)
    for row in table:
        others = {rows[i]["text"] for i in fired[row["feature_id"]]}
        assert len(row["spans"]) >= min(len(others), 10) - 3
        assert row["firing_rate"] == pytest.approx(len(fired[row["feature_id"]]) / len(many))


def test_a_feature_with_one_span_in_its_strongest_rows_still_shows_others(rows: datasets.Dataset) -> None:
    # In the 60 strongest rows the peak is the first word; in 100 weaker ones it stands behind different words.
    texts = [f"coffee {i}" for i in range(60)] + [f"{i} cups of coffee" for i in range(100)]
    starts = [[text.index("coffee")] for text in texts]
    columns = {
        "text": texts,
        "feature_ids": [[3]] * 160,
        "feature_activations": [[5.0]] * 60 + [[1.0 + i / 100] for i in range(100)],
        "feature_starts": starts,
        "feature_ends": [[start + len("coffee")] for (start,) in starts],
        "feature_token_starts": [[match.start() for match in re.finditer(r"\S+", text)] for text in texts],
        "feature_tokens": [len(text.split()) for text in texts],
        "feature_space": [rows[0]["feature_space"]] * 160,
    }
    kinds = datasets.Features({name: rows.features[name] for name in columns})
    (row,) = feature_table(datasets.Dataset.from_dict(columns, features=kinds))
    assert row["spans"][0]["text"] == "coffee"
    assert len({one["text"] for one in row["spans"]}) == 10
    activations = [one["activation"] for one in row["spans"]]
    assert activations == sorted(activations, reverse=True)
    assert len(row["held_out_spans"]) == LOWER
    assert not {one["text"] for one in row["spans"]} & {one["text"] for one in row["held_out_spans"]}


def test_chats_give_spans_of_the_message_where_the_feature_peaks(tiny_backbone: str, tiny_sae: str) -> None:
    chats = [
        [{"role": "user", "content": first}, {"role": "assistant", "content": second}]
        for first, second in zip(texts(30), texts(60)[30:], strict=True)
    ]
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    rows = datasets.Dataset.from_dict({"messages": chats}).map(extractor, batched=True)
    table = feature_table(rows)
    seen = set()
    for row in table:
        for span in row["spans"]:
            stored = rows[span["row"]]
            place = stored["feature_ids"].index(row["feature_id"])
            message = stored["feature_messages"][place]
            content = stored["messages"][message]["content"]
            assert content[: stored["feature_ends"][place]].endswith(span["text"])
            seen.add(message)
    assert seen == {0, 1}
    contents = {message["content"] for chat in chats for message in chat}
    assert all(any(span["text"] in text for text in contents) for row in table for span in row["silent_spans"])


def test_preference_columns_have_spans_of_their_own(tiny_backbone: str, tiny_sae: str) -> None:
    rows = datasets.Dataset.from_dict({"chosen": texts(10), "rejected": texts(20)[10:]})
    for column in ("chosen", "rejected"):
        rows = rows.map(FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, column=column), batched=True)
    table = feature_table(rows, column="rejected")
    assert all(span["text"] in rows[span["row"]]["rejected"] for row in table for span in row["spans"])


def test_features_asked_for_have_a_row_even_where_they_never_fire(
    rows: datasets.Dataset, table: datasets.Dataset, tiny_backbone: str
) -> None:
    chosen = feature_table(rows, features=[500, 3, 4])
    assert chosen["feature_id"] == [3, 4, 500]
    never = chosen[2]
    assert (never["firing_rate"], never["max_activation"], never["spans"]) == (0, 0, [])
    assert len(never["silent_spans"]) == SILENT
    known = {row["feature_id"]: row for row in table}
    assert chosen[0] == known[3]


def test_columns_without_every_activation_are_refused(tiny_backbone: str, tiny_sae: str) -> None:
    rows = datasets.Dataset.from_dict({"text": texts(3)}).map(FeatureExtractor(tiny_backbone, tiny_sae), batched=True)
    with pytest.raises(ColumnError, match=r"above q50.*FeatureExtractor\(threshold=0\)"):
        feature_table(rows)


def test_what_a_table_needs_is_said(rows: datasets.Dataset, tiny_backbone: str) -> None:
    with pytest.raises(ColumnError, match="spans=True"):
        feature_table(rows.remove_columns("feature_token_starts"))
    for options in ({"top": 0}, {"top": KEPT + 1}, {"span_tokens": 0}):
        with pytest.raises(OptionError):
            feature_table(rows, **options)  # type: ignore[arg-type]
    state = FeatureSpans(dataset_space(rows)).update(rows[:5], 0)
    with pytest.raises(ColumnError, match="5 rows"):
        spans_table(state, rows)


def test_a_table_survives_the_disk(table: datasets.Dataset, tmp_path: Path) -> None:
    table.to_parquet(tmp_path / "table.parquet")
    back: Any = datasets.load_dataset("parquet", data_files=str(tmp_path / "table.parquet"), split="train")
    assert back.features == table.features
    assert back.to_list() == table.to_list()


def test_what_is_no_dataset_is_refused(rows: datasets.Dataset) -> None:
    given: Any
    for given in (datasets.DatasetDict(train=rows), rows.to_iterable_dataset(), None):
        with pytest.raises(DatasetError, match=r"the dataset (is|holds)"):
            feature_table(given)


@pytest.mark.parametrize("features", ["12", [-1], [0.5], [None], 3])
def test_features_that_are_no_ids_are_refused(rows: datasets.Dataset, features: Any) -> None:
    with pytest.raises(OptionError, match="features"):
        feature_table(rows, features=features)


def test_rows_that_were_added_without_extraction_are_refused(rows: datasets.Dataset) -> None:
    more = datasets.Dataset.from_dict({"text": ["never extracted"]})
    mixed = datasets.concatenate_datasets([rows, more])
    with pytest.raises(ColumnError, match="'feature_space' is null in some rows"):
        feature_table(mixed)
    filled = mixed.remove_columns("feature_space").add_column("feature_space", [rows[0]["feature_space"]] * len(mixed))
    with pytest.raises(RowError, match=f"row {len(rows)} has no features"):
        feature_table(filled)
