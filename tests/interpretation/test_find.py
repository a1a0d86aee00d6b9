"""Rows by feature: compared with the definition, row by row."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets import FeatureExtractor, find_rows
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, RowError
from fac_datasets.feature_space import feature_columns
from fac_datasets.interpretation.find import CONTEXT, LIKE, found_in_words
from tests.comparing import features_of
from tests.coverage.cases import space, table

NAMES = {3: '"tea" after "hot"', 4: "cold TEA", 5: "teapot, C++", 6: "rain"}


def spanned(rows: list[dict[int, float]], texts: list[str], peaks: list[dict[int, tuple[int, int]]]) -> Any:
    """Texts with feature columns, in which each feature peaks at the characters given, by default the first."""
    found = table(rows).add_column("text", texts)
    for number, part in enumerate(("starts", "ends")):
        places = [[at.get(i, (0, 1))[number] for i in sorted(row)] for row, at in zip(rows, peaks, strict=True)]
        found = found.add_column(f"feature_{part}", places, feature=datasets.List(datasets.Value("int32")))
    return found


ROWS = spanned(
    [{3: 1.0, 4: 2.0}, {3: 5.0}, {3: 5.0, 5: 0.7}, {}],
    ["a cup of tea", "hot tea", "tea", ""],
    [{3: (8, 12)}, {3: (3, 7)}, {}, {}],
)


def test_rows_are_those_of_the_columns_by_falling_activation(rows: datasets.Dataset) -> None:
    active = features_of(rows.to_dict())
    features = sorted({feature for row in active for feature in row})[:12]
    found = find_rows(rows, features, top=4)
    for feature in features:
        fires = {number: row[feature] for number, row in enumerate(active) if feature in row}
        strongest = sorted(fires, key=lambda number: (-fires[number], number))[:4]
        of_feature = [row for row in found if row["feature_id"] == feature]
        assert [row["row"] for row in of_feature] == strongest
        assert [row["activation"] for row in of_feature] == [fires[number] for number in strongest]
        assert {row["n_rows"] for row in of_feature} == {len(fires)}


def test_a_span_is_cut_from_the_row_around_the_token_where_the_feature_peaks(rows: datasets.Dataset) -> None:
    features = sorted({feature for row in rows["feature_ids"] for feature in row})
    for found in find_rows(rows, features, top=5):
        stored, span = rows[found["row"]], found["span"]
        place = stored["feature_ids"].index(found["feature_id"])
        start, end = stored["feature_starts"][place], stored["feature_ends"][place]
        assert span["text"][span["start"] : span["end"]] == stored["text"][start:end]
        first = start - span["start"]
        assert stored["text"][first : first + len(span["text"])] == span["text"]


def test_a_long_text_is_cut_between_words() -> None:
    text = "word " * 100
    found = find_rows(spanned([{3: 1.0}], [text], [{3: (254, 259)}]), 3)
    span = found[0]["span"]
    assert span["text"][span["start"] : span["end"]] == " word"
    before, behind = span["text"][: span["start"]], span["text"][span["end"] :]
    assert {*before.split(), *behind.split()} == {"word"}
    assert CONTEXT - 5 <= len(before) <= CONTEXT
    assert CONTEXT - 5 <= len(behind) <= CONTEXT


def test_a_word_longer_than_the_context_is_cut() -> None:
    span = find_rows(spanned([{3: 1.0}], ["x" * 1000], [{3: (500, 501)}]), 3)[0]["span"]
    assert (span["start"], span["end"], len(span["text"])) == (CONTEXT, CONTEXT + 1, 2 * CONTEXT + 1)


def test_of_equal_activations_the_lower_row_comes_first() -> None:
    assert find_rows(ROWS, 3)["row"] == [1, 2, 0]
    assert find_rows(ROWS, 3, top=1)["row"] == [1]
    assert find_rows(ROWS.select([2, 1, 0]), 3, top=1)["row"] == [0]


def test_the_batches_that_rows_are_read_in_do_not_matter(
    rows: datasets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = sorted({feature for row in rows["feature_ids"] for feature in row})
    whole = find_rows(rows, features, top=3).to_list()
    monkeypatch.setattr("fac_datasets.interpretation.find._ROWS", 7)
    assert find_rows(rows, features, top=3).to_list() == whole


def test_features_stand_in_the_order_given_and_once() -> None:
    found = find_rows(ROWS, np.array([5, 3, 5]), top=1, feature_names=NAMES)
    assert list(zip(found["feature_id"], found["name"], found["row"], strict=True)) == [
        (5, "teapot, C++", 2),
        (3, '"tea" after "hot"', 1),
    ]


def test_a_feature_that_no_row_has_is_told() -> None:
    found = find_rows(ROWS, [9, 2**31 - 1, 4])
    assert found.to_list()[:2] == [
        {"feature_id": feature, "name": None, "n_rows": 0, "row": None, "activation": None, "span": None}
        for feature in (9, 2**31 - 1)
    ]
    assert found_in_words(found)[:2] == ["9: fires in no row", f"{2**31 - 1}: fires in no row"]


@pytest.mark.parametrize(
    ("words", "features"),
    [
        ("tea", [3, 4]),
        ("Hot Tea", [3]),
        (["tea", "HOT"], [3]),
        ("c++", [5]),
        ("teapot,", [5]),
        ("RAIN", [6]),
    ],
)
def test_all_words_occur_in_a_name_as_whole_words(words: Any, features: list[int]) -> None:
    assert [*dict.fromkeys(find_rows(ROWS, words, feature_names=NAMES)["feature_id"])] == features


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("tee", r"with the word 'tee'; near are 3 \(\"tea\" after \"hot\"\), 4 \(cold TEA\)"),
        ("hot rain", r"with all the words 'hot rain'; near are 3 \(\"tea\" after \"hot\"\), 6 \(rain\)"),
        ("qqqqq", r"'qqqqq'; none comes near"),
        (" ", "holds no word"),
    ],
)
def test_words_that_no_name_has_are_answered_with_the_nearest_names(words: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        find_rows(ROWS, words, feature_names=NAMES)


def test_without_names_there_are_no_words() -> None:
    with pytest.raises(OptionError, match=r"no names are known of these features, in which 'tea' could occur"):
        find_rows(ROWS, "tea")


def test_names_come_from_a_table_of_the_same_space() -> None:
    named = datasets.Dataset.from_dict({"feature_id": [4], "feature_space": [space()], "explanation": ["tea"]})
    assert find_rows(ROWS, "tea", feature_names=named)["feature_id"] == [4]
    other = named.remove_columns("feature_space").add_column("feature_space", [space(layer=4)])
    with pytest.raises(FeatureSpaceMismatch):
        find_rows(ROWS, "tea", feature_names=other)


def test_messages_of_chats_are_shown(tiny_extractor: FeatureExtractor) -> None:
    chat = [{"role": "user", "content": "Who wrote this?"}, {"role": "assistant", "content": "A woman from Norway."}]
    found = datasets.Dataset.from_dict({"messages": [chat]}).map(tiny_extractor, batched=True)
    features, messages = found[0]["feature_ids"], found[0]["feature_messages"]
    assert {*messages} == {0, 1}
    spans = find_rows(found, features)["span"]
    assert [span["text"] for span in spans] == [chat[message]["content"] for message in messages]


def test_parts_of_texts_are_shown(tiny_extractor: FeatureExtractor) -> None:
    texts = {"title": "Pears", "body": "They are ripe."}
    tiny_extractor.column = "{title}: {body}"
    found = datasets.Dataset.from_list([texts]).map(tiny_extractor, batched=True)
    features, parts = found[0]["feature_ids"], found[0]["feature_messages"]
    assert {*parts} == {0, 1}
    spans = find_rows(found, features, column="{title}: {body}")["span"]
    assert [span["text"] for span in spans] == [[*texts.values()][part] for part in parts]


def test_a_side_of_a_preference_is_named_by_its_column(tiny_extractor: FeatureExtractor) -> None:
    pairs = datasets.Dataset.from_dict({"chosen": ["I would like two cups."], "rejected": ["No."]})
    tiny_extractor.column = "chosen"
    found = pairs.map(tiny_extractor, batched=True)
    feature = found[0]["chosen_feature_ids"][0]
    assert find_rows(found, feature, column="chosen")[0]["span"]["text"] == "I would like two cups."
    with pytest.raises(ColumnError, match="preference"):
        find_rows(found, feature)


def test_an_example_s_features_are_those_it_activates_most_beside_the_rows(
    rows: datasets.Dataset, tiny_extractor: FeatureExtractor
) -> None:
    text = "two cups of coffee in Madrid"
    (example,) = features_of(tiny_extractor.extract([text]))
    active = features_of(rows.to_dict())

    def score(feature: int) -> float:
        values = [row[feature] for row in active if feature in row]
        if not values:
            return 0.0
        return example[feature] / float(np.mean(values)) * math.log((len(rows) + 1) / len(values))

    expected = sorted(example, key=lambda feature: (-score(feature), -example[feature], feature))[:LIKE]
    found = find_rows(rows, like=text, extractor=tiny_extractor, top=2)
    assert [*dict.fromkeys(found["feature_id"])] == expected


def test_a_feature_of_nearly_all_rows_does_not_win_by_its_strength() -> None:
    example: Any = SimpleNamespace(
        feature_space=space(),
        extract=lambda _: {"feature_ids": [np.array([1, 2, 7])], "feature_activations": [np.array([50.0, 1.0, 9.0])]},
    )
    many = spanned([{1: 5.0}] * 97 + [{1: 5.0, 2: 1.0}] * 2 + [{}], ["a"] * 100, [{}] * 100)
    found = find_rows(many, like="a", extractor=example, top=1)
    assert found["feature_id"] == [2, 1, 7]
    assert found[-1]["row"] is None


def test_an_example_needs_the_extractor_of_the_columns_and_a_text_with_features(
    rows: datasets.Dataset, tiny_extractor: FeatureExtractor, tiny_backbone: str, tiny_sae: str
) -> None:
    with pytest.raises(OptionError, match="like= needs extractor="):
        find_rows(rows, like="tea")
    with pytest.raises(FeatureSpaceMismatch):
        find_rows(rows, like="tea", extractor=FeatureExtractor(tiny_backbone, tiny_sae, render="raw"))
    with pytest.raises(OptionError, match="like='' activates no feature"):
        find_rows(rows, like="", extractor=tiny_extractor)


def test_marks_and_lines_are_those_of_the_library_and_control_characters_are_left_out() -> None:
    text = "one **two**\x1b[31m\nthree"
    rows = spanned([{3: 1.25}, {3: 1.0}], [text, "x"], [{3: (0, 3)}, {}])
    words = found_in_words(find_rows(rows, 3, feature_names={3: "a\x1bb"}))
    assert words == [
        "3 (a b): fires in 2 rows",
        "  row 0, 1.25: **one** * *two* *\N{REPLACEMENT CHARACTER}[31m three",
        "  row 1, 1.00: **x**",
    ]


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (None, {}, "one of them"),
        (3, {"like": "tea"}, "one of them"),
        ([], {}, "features= names none"),
        ([-1], {}, "negative"),
        ([3, "tea"], {}, "features"),
        ([1.5], {}, "features"),
        (True, {}, "features"),
        (None, {"like": 3}, "like= is of type int"),
        (3, {"top": 0}, "top=0"),
        (3, {"top": True}, "top=True"),
        (3, {"top": 1.5}, "top=1.5"),
        (3, {"feature_names": ["tea"]}, "feature_names"),
    ],
)
def test_options_without_meaning_are_named(features: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        find_rows(ROWS, features, **options)


def test_what_is_no_dataset_with_spans_is_refused() -> None:
    with pytest.raises(ColumnError, match="feature_starts"):
        find_rows(ROWS.remove_columns("feature_starts"), 3)
    with pytest.raises(DatasetError, match="stream"):
        find_rows(ROWS.to_iterable_dataset(), 3)
    with pytest.raises(DatasetError, match="splits"):
        find_rows(datasets.DatasetDict({"train": ROWS}), 3)
    with pytest.raises(FeatureSpaceMismatch):
        find_rows(datasets.concatenate_datasets([ROWS, ROWS.map(lambda _: {"feature_space": space(layer=4)})]), 3)


def test_spans_that_do_not_belong_to_the_text_are_refused() -> None:
    changed = ROWS.map(lambda row: {"text": row["text"][:2]})
    with pytest.raises(RowError, match=r"row 1 has a feature that peaks at characters 3 to 7 of a text of 2"):
        find_rows(changed, 3)
    lists = feature_columns()["feature_ends"]
    fewer = ROWS.remove_columns("feature_ends").add_column("feature_ends", [[1, 1], [], [1, 1], []], feature=lists)
    with pytest.raises(RowError, match=r"row 1 has 1 features and 0 numbers in feature_ends"):
        find_rows(fewer, 3)
