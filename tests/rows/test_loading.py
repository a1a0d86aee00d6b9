"""Dataset arguments: every form of file and folder that `load_dataset` reads, and what is said where nothing is."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from fac_datasets.errors import DatasetError
from fac_datasets.rows.data_files import absolute_name, require_present, short_name
from fac_datasets.rows.loading import header_of, load_rows, stream_rows

TEXTS = ["Boil the rice.", "Drain it, and wait."]
JSONL = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()


def zstd(content: bytes) -> bytes:
    compressed: bytes = pytest.importorskip("zstandard").compress(content)
    return compressed


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts_of(name: str, split: str | None = None) -> list[str]:
    """The texts of an argument, which must be the same as a stream."""
    texts = list(load_rows(name, split)["text"])
    assert [row["text"] for row in stream_rows(name, split)] == texts
    return texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", JSONL),
        ("rows.JSONL", JSONL),
        ("rows.json", json.dumps([{"text": text} for text in TEXTS]).encode()),
        ("rows.csv", b'text,id\nBoil the rice.,1\n"Drain it, and wait.",2\n'),
        ("rows.tsv", b"text\tid\nBoil the rice.\t1\nDrain it, and wait.\t2\n"),
        ("rows.txt", "\n".join(TEXTS).encode()),
        ("rows.TXT", "\n".join(TEXTS).encode()),
        ("[odd] *name?.jsonl", JSONL),
    ],
)
def test_a_file_is_read_by_its_suffix(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    assert texts_of(name) == TEXTS


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)]
)
def test_files_of_texts_may_be_compressed(suffix: str, compress: Callable[[bytes], bytes]) -> None:
    for name in (f"rows.jsonl{suffix}", f"ROWS2.JSONL{suffix.upper()}"):
        Path(name).write_bytes(compress(JSONL))
        assert texts_of(name) == TEXTS
    Path(f"rows.tsv{suffix}").write_bytes(compress(b"text\tid\nBoil the rice.\t1\n"))
    assert texts_of(f"rows.tsv{suffix}") == TEXTS[:1]


def test_tables_of_arrow_are_read() -> None:
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    rows.to_parquet("rows.parquet")
    rows.save_to_disk("saved")
    (arrow,) = Path("saved").glob("*.arrow")
    assert texts_of("rows.parquet") == texts_of(str(arrow)) == TEXTS


@pytest.fixture
def letters() -> None:
    """Files `a` to `c`, each with its letter as the only text; `c` is compressed."""
    for letter in "cab":
        line = json.dumps({"text": letter}).encode()
        Path(f"{letter}.jsonl").write_bytes(line)
    Path("c.jsonl").unlink()
    Path("c.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "c"}).encode()))


@pytest.mark.usefixtures("letters")
def test_a_glob_names_files_in_order_and_a_list_in_its_own() -> None:
    assert texts_of("*.jsonl*") == ["a", "b", "c"]
    assert texts_of("b.jsonl, a.jsonl") == ["b", "a"]
    assert texts_of("b.jsonl,*.jsonl") == ["b", "a"]
    Path("a.jsonl,b.jsonl").write_text('{"text": "a comma in the name"}')
    assert texts_of("a.jsonl,b.jsonl") == ["a comma in the name"]


@pytest.mark.usefixtures("letters")
def test_the_tilde_of_a_quoted_glob_is_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert texts_of("~/*.jsonl") == ["a", "b"]


@pytest.mark.usefixtures("letters")
def test_files_of_several_formats_are_refused() -> None:
    Path("d.csv").write_text("text\nd\n")
    with pytest.raises(DatasetError, match=r"'a.jsonl' and 'd.csv' are of different formats"):
        load_rows("*.jsonl,d.csv")


def test_folders_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plain/train.jsonl.gz", "upper/TRAIN.JSONL.GZ"):
        Path(name).parent.mkdir()
        Path(name).write_bytes(gzip.compress(JSONL))
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    rows.save_to_disk("saved")
    datasets.DatasetDict({"one": rows, "two": rows.select([1])}).save_to_disk("several")
    assert texts_of("plain") == texts_of("upper") == texts_of("saved") == TEXTS
    assert texts_of("several", "two") == TEXTS[1:]
    monkeypatch.chdir("plain")
    assert texts_of(".") == TEXTS


@pytest.mark.parametrize(
    "name",
    ["gone.jsonl", "GONE.CSV.GZ", "./gone", "/gone", "~/gone", "a/b/gone", "data/*.jsonl", "rows.jsonl,gone.jsonl"],
)
def test_a_missing_file_is_said_to_be_missing_and_the_hub_is_not_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("rows.jsonl").write_bytes(JSONL)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("something was loaded"))
    for use in (load_rows, stream_rows, require_present, header_of):
        with pytest.raises(DatasetError, match=r"^(there is no file|no file is named)"):
            use(name)


def test_names_that_may_be_of_the_hub_are_not_looked_for_here() -> None:
    require_present("me/cooking", "me/cooking-v1.1:default@refs/pr/3", "cooking", None)


def test_what_is_no_dataset_is_said_in_a_sentence() -> None:
    Path("rows.docx").write_text("x")
    Path("empty.jsonl").touch()
    Path("empty.jsonl.gz").write_bytes(gzip.compress(b""))
    Path("empty.txt").touch()
    Path("header.csv").write_text("text,id\n")
    Path("cut.jsonl.gz").write_bytes(gzip.compress(JSONL * 100)[:-30])
    Path("cut.jsonl.xz").write_bytes(lzma.compress(JSONL * 100)[:-30])
    Path("cut.jsonl.bz2").write_bytes(bz2.compress(JSONL * 100)[:-30])
    Path("folder").mkdir()
    for name, problem in {
        "rows.docx": "is no .jsonl, ",
        "empty.jsonl": "has no rows",
        "empty.jsonl.gz": "has no rows",
        "empty.txt": "has no rows",
        "header.csv": "has no rows",
        "cut.jsonl.gz": "cannot be read",
        "cut.jsonl.xz": "cannot be read",
        "cut.jsonl.bz2": "cannot be read",
        "folder": "cannot be read",
        "rows.docx,folder": "is a folder",
        "https://example.org/rows.jsonl": "is an address",
    }.items():
        with pytest.raises(DatasetError, match=problem):
            load_rows(name)


def test_a_split_that_is_not_there_is_refused() -> None:
    Path("rows.jsonl").write_bytes(JSONL)
    with pytest.raises(DatasetError, match=r"no split 'test'; it has \['train'\]"):
        load_rows("rows.jsonl", "test")


@pytest.mark.usefixtures("letters")
def test_names_for_other_processes_and_for_reports(folder: Path) -> None:
    assert absolute_name("*.jsonl") == f"{folder}/a.jsonl,{folder}/b.jsonl"
    assert absolute_name("me/cooking") == "me/cooking"
    assert short_name(f"{folder}/*.jsonl") == "*.jsonl"
    assert short_name(f"{folder}/a.jsonl") == "a.jsonl"
    assert short_name(f"{folder}/a.jsonl,{folder}/b.jsonl") == "a.jsonl,b.jsonl"
    assert short_name("me/cooking") == "me/cooking"
    assert short_name("http://host:8000/v1?a=b") == "http://host:8000/v1?a=b"
