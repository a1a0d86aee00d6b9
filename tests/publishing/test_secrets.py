"""What looks like a key is found in rows and files, wherever it stands, and only what was named is let through."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fac_datasets.errors import OptionError, PublishError
from fac_datasets.publishing.secrets import Found, require_allowed, secrets_in_files, secrets_in_rows

# Put together here, so that no scanner takes this file for a leak.
KEY = "ghp" + "_" + "aB3" * 12
GITHUB = "a token of GitHub"


def test_a_key_is_found_in_rows_however_nested() -> None:
    rows = datasets.Dataset.from_dict(
        {"n": [0, 1, 2], "messages": [[], [{"role": "user", "content": f"It is {KEY}."}], []]}
    )
    (found,) = secrets_in_rows(rows, "config 'x'")
    assert found[:2] == ("row 1, column 'messages' of config 'x'", GITHUB)
    assert str(found) == f"row 1, column 'messages' of config 'x' holds what looks like {GITHUB} ({found.digest})"


def test_rows_are_numbered_through_all_batches_and_chunks() -> None:
    texts = ["fine"] * 25_000
    texts[3] = texts[12_345] = texts[24_999] = KEY
    parts = [datasets.Dataset.from_dict({"text": texts[i : i + 7_000]}) for i in range(0, 25_000, 7_000)]
    found = secrets_in_rows(datasets.concatenate_datasets(parts), "rows")
    assert [one.place for one in found] == [f"row {row}, column 'text' of rows" for row in (3, 12_345, 24_999)]


def test_a_key_that_is_known_is_found_whatever_it_looks_like() -> None:
    rows = datasets.Dataset.from_dict({"text": ["fine", "a+b(c"]})
    assert secrets_in_rows(rows, "rows", own="a+b(c") == [
        Found("row 1, column 'text' of rows", "the token in use", None)
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([None, ["x", KEY]], pa.list_(pa.string(), 2)),
        pa.array([None, KEY.encode()], pa.binary()),
        pa.array(["x", KEY]).dictionary_encode(),
        pa.array([None, [{"a": ["x", None, KEY]}]]),
        pa.array(["x", KEY], pa.large_string()),
        pa.array(["x", KEY], pa.string_view()),
        pa.array([b"x", KEY.encode()], pa.binary_view()),
        pa.array([[], [("x", KEY)]], pa.map_(pa.string(), pa.string())),
    ],
    ids=lambda column: str(column.type),
)
def test_a_key_is_found_in_columns_of_any_type(column: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": column}), tmp_path / "x.parquet", store_schema=True)
    (found,) = secrets_in_files({"x.parquet": tmp_path / "x.parquet"})
    assert found.place == "row 1, column 'x' of x.parquet"


def test_a_key_is_found_in_the_names_of_columns_and_classes_which_are_not_shown() -> None:
    features = datasets.Features({"label": datasets.ClassLabel(names=["good", KEY])})
    (found,) = secrets_in_rows(datasets.Dataset.from_dict({"label": [0]}, features=features), "rows")
    assert found.place == "a name in the columns of rows"
    places = [found.place for found in secrets_in_rows(datasets.Dataset.from_dict({KEY: [KEY]}), "rows")]
    assert places == ["a name in the columns of rows", "row 0, column '***' of rows"]


def test_a_key_is_found_in_a_file_that_a_cell_holds() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", KEY)
    rows = datasets.Dataset.from_dict({"file": [b"", KEY.encode("utf-16"), packed.getvalue()]})
    assert [found.place for found in secrets_in_rows(rows, "rows")] == [
        "line 1 of row 1, column 'file' of rows",
        "line 1 of a.txt in row 2, column 'file' of rows",
    ]


def test_all_places_are_counted_and_some_named() -> None:
    found = secrets_in_rows(datasets.Dataset.from_dict({"text": [KEY] * 9}), "rows")
    with pytest.raises(
        PublishError, match=r"row 0, .*; row 4, column 'text' of rows .*, and 4 more\. Nothing was"
    ) as one:
        require_allowed(found)
    assert KEY not in str(one.value)
    assert require_allowed([]) == []


def test_what_was_named_is_let_through_and_nothing_else() -> None:
    first, second = secrets_in_files({"a.txt": f"{KEY}\nghp_{'Zq7L' * 9}".encode()})
    assert require_allowed([first], [str(first.digest)]) == [first]
    with pytest.raises(PublishError, match=rf"^line 2 of a.txt holds what looks like {GITHUB} \({second.digest}\)\. "):
        require_allowed([first, second], [str(first.digest)])


def test_the_token_in_use_is_never_let_through() -> None:
    with pytest.raises(PublishError, match="holds what looks like the token in use"):
        require_allowed([Found("line 1 of a", "the token in use", None)], ["0" * 12])


def test_a_digest_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(OptionError, match="is named by the 12 hexadecimal digits") as refused:
        require_allowed([], [KEY])
    assert KEY not in str(refused.value)
