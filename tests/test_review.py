"""Reviews, as far as they need no server: markup, forms, consensus, agreement, and errors that say what to do."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fac_datasets import review
from fac_datasets.cli.main import app
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, MissingExtra, OptionError, ReviewError
from fac_datasets.feature_space import require_same_but_threshold
from fac_datasets.interpretation.relevance import Guideline
from fac_datasets.interpretation.table import reviewed_name
from fac_datasets.review.agreement import krippendorff_alpha, majority, median, unanimous
from fac_datasets.review.form import guidelines
from fac_datasets.review.markup import shown, shown_with_peak
from fac_datasets.review.server import connect
from fac_datasets.rows.tables import add_columns
from tests.argilla.conftest import SPACE, feature, table_of

# --- text from data as text ------------------------------------------------------------------------------------------


class _Tags(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[str, Any]] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, attrs))


@given(st.text())
def test_markup_of_data_never_survives(text: str) -> None:
    content = shown(text)
    assert {tag for tag, _ in _Tags(content).found} <= {"br"}
    # What is left of ASCII punctuation is our own.
    own = re.sub(r"&#\d+;|&nbsp;|&emsp;|<br>", "", content)
    assert re.fullmatch(r"[^!-/:-@\[-`{-~]*", own)


@given(st.text(st.characters(exclude_categories=["C", "Z"])), st.data())
def test_the_text_that_is_shown_is_the_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    content = shown_with_peak(text, start, end)
    marked = re.search("<mark><b>(.*)</b></mark>", content)
    assert marked and html.unescape(marked[1]) == text[start:end]
    assert html.unescape(re.sub("</?(mark|b)>", "", content)) == text


@pytest.mark.parametrize("text", ["\u0645\u06cc\u200c\u062e", "\U0001f468\u200d\U0001f469"])
def test_what_scripts_and_emoji_are_joined_with_stays(text: str) -> None:
    assert shown(text) == text


def test_characters_that_are_not_seen_are_replaced() -> None:
    assert shown("a\x00b\u202ec\x1b[0m") == "a\ufffdb\ufffdc\ufffd&#91;0m"


def test_spaces_and_lines_are_seen() -> None:
    assert shown("  a  b\r\n\tc") == "&nbsp;&nbsp;a &nbsp;b<br>&emsp;c"


# --- consensus and agreement -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "by_majority", "by_all", "by_median"),
    [
        ([], None, None, None),
        (["yes"], "yes", "yes", "yes"),
        (["yes", "no"], None, None, "no"),
        (["yes", "yes", "no"], "yes", None, "yes"),
        (["yes", "probably", "no"], None, None, "probably"),
        (["yes", "probably", "maybe", "no"], None, None, "maybe"),
        (["yes", "cannot tell"], None, None, "yes"),
        (["cannot tell", "cannot tell"], "cannot tell", "cannot tell", "cannot tell"),
        (["keep", "keep", "drop"], "keep", None, "keep"),
        (["keep", "drop"], None, None, None),
    ],
)
def test_rules_of_consensus(
    answers: list[str], by_majority: str | None, by_all: str | None, by_median: str | None
) -> None:
    assert (majority(answers), unanimous(answers), median(answers)) == (by_majority, by_all, by_median)


def test_alpha_of_a_published_example() -> None:
    # K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section B.
    units = [[one, other] for one, other in zip("aabbdcccedda", "babbbccceddd", strict=True)]
    assert krippendorff_alpha(units, "abcde", "nominal").alpha == pytest.approx(0.692, abs=5e-4)


def test_alpha_counts_only_what_two_answered() -> None:
    found = krippendorff_alpha([["yes", "yes"], ["no", "no"], ["no"], []], ("no", "yes"), "nominal")
    assert (found.alpha, found.overlaps, found.answers) == (1.0, 2, 5)


@pytest.mark.parametrize("units", [[], [["yes"], ["no"]], [["yes", "yes"], ["yes", "yes"]]])
def test_alpha_is_undefined_where_nobody_could_disagree(units: list[list[str]]) -> None:
    assert krippendorff_alpha(units, ("no", "yes"), "nominal").alpha is None


def test_farther_answers_count_more_on_a_scale() -> None:
    scale = ("no", "maybe", "probably", "yes")
    rest = [[answer, answer] for answer in scale]
    near = krippendorff_alpha([["yes", "probably"], *rest], scale, "ordinal").alpha
    far = krippendorff_alpha([["yes", "no"], *rest], scale, "ordinal").alpha
    assert near is not None and far is not None and near > far


def test_a_summary_says_what_there_is_in_plain_lines() -> None:
    kinds = datasets.Features(
        {
            "reviews": datasets.List(
                {
                    **{part: datasets.Value("string") for part in ("reviewer", "status", "keep", "comment")},
                    "outdated": datasets.Value("bool"),
                }
            )
        }
    )

    def by(reviewer: str, status: str, keep: str | None, outdated: bool = False) -> dict[str, Any]:
        return {"reviewer": reviewer, "status": status, "keep": keep, "comment": None, "outdated": outdated}

    reviews = [
        [by("ada", "submitted", "keep"), by("bob", "submitted", "keep")],
        [by("ada", "submitted", "drop"), by("bob", "submitted", "drop"), by("cyd", "draft", "keep")],
        [by("ada", "discarded", None), by("bob", "submitted", "keep", outdated=True)],
    ]
    assert str(review.summary(datasets.Dataset.from_dict({"reviews": reviews}, features=kinds))) == (
        "2 of 3 records reviewed: 5 responses submitted, 1 drafts, 1 discarded, 1 about an earlier version\n"
        "keep: Krippendorff's alpha 1.00 over 2 overlaps, 4 answers"
    )


def test_only_spans_that_were_shown_count_for_agreement() -> None:
    def by(reviewer: str, misfits: list[int]) -> dict[str, Any]:
        return {"reviewer": reviewer, "status": "submitted", "outdated": False, "misfits": misfits}

    def agreement(spans: int) -> Any:
        rows = {"reviews": [[by("ada", [1, 2]), by("bob", [2, 3])]], "spans": [["a text"] * spans]}
        return review.summary(datasets.Dataset.from_dict(rows)).agreement["misfits"]

    assert agreement(20) == agreement(10)
    # Of twenty marks on ten spans four are set, two of them on the same: observed (2 * 2) / 20, expected
    # 2 * 4 * 16 / (20 * 19).
    assert agreement(20).alpha == pytest.approx(1 - (4 / 20) / (128 / 380))


def test_a_summary_is_of_what_was_pulled() -> None:
    with pytest.raises(ColumnError, match="there is no column 'reviews'; pass what pull_explanations"):
        review.summary(datasets.Dataset.from_dict({"text": ["a"]}))


# --- what people are asked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["toxicity", "helpfulness", "instruction_following", "sycophancy", "survival_instinct"]
)
def test_every_guideline_fits_into_a_form(name: str) -> None:
    task = Guideline.load(name)
    assert task.text in guidelines("explanations", task.text)


def test_a_guideline_that_no_server_takes_is_refused() -> None:
    with pytest.raises(ReviewError, match=r"the guidelines have 1\d,\d+ characters, and Argilla takes 10,000"):
        guidelines("explanations", "x" * 10_000)


@pytest.mark.parametrize("min_submitted", [0, -1])
def test_a_record_needs_a_reviewer(min_submitted: int) -> None:
    with pytest.raises(OptionError, match=f"min_submitted={min_submitted} is less than 1"):
        review.push_explanations(table_of(feature(1)), "name", min_submitted=min_submitted)


def test_a_table_without_names_is_refused() -> None:
    unnamed = table_of(feature(1)).remove_columns(["explanation"])
    with pytest.raises(ColumnError, match="explanation"):
        review.push_explanations(unnamed, "name")


def test_a_report_of_another_kind_or_space_is_refused() -> None:
    table = table_of(feature(1))
    with pytest.raises(OptionError, match=r"the coverage report lacks \['covered'\]"):
        review.push_explanations(table, "name", report={"missing": [1], "feature_space": SPACE})
    other = SPACE.replace("layer1", "layer2")
    with pytest.raises(FeatureSpaceMismatch):
        review.push_explanations(table, "name", report={"missing": [1], "covered": [], "feature_space": other})


# --- connections -----------------------------------------------------------------------------------------------------


@contextmanager
def answering(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """A server on loopback with fixed answers by path; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.get(self.path, (404, {"detail": "Not Found"}))
            body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


ME = {
    "id": "00000000-0000-0000-0000-000000000000",
    "username": "me",
    "first_name": "me",
    "role": "owner",
    "api_key": "key",
    "inserted_at": "2026-01-01T00:00:00",
    "updated_at": "2026-01-01T00:00:00",
}


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(url: str | None, key: str | None = "a-secret-key") -> None:
        for name, value in (("ARGILLA_API_URL", url), ("ARGILLA_API_KEY", key)):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return give


def test_no_server(credentials: Any) -> None:
    credentials("http://127.0.0.1:9")
    with pytest.raises(ReviewError, match=r"no Argilla server answers at http://127.0.0.1:9 .*review demo"):
        connect()


def test_no_key(credentials: Any) -> None:
    credentials("http://127.0.0.1:9", None)
    with pytest.raises(ReviewError, match=r"no API key .*; set ARGILLA_API_KEY to the one that the web UI shows"):
        connect()


@pytest.mark.parametrize(
    "answers",
    [{}, {"/api/v1/me": (200, "<html>")}, {"/api/v1/me": (200, ME), "/api/v1/version": (200, {"name": "x"})}],
    ids=["nothing of Argilla", "a page", "no version"],
)
def test_a_server_of_something_else(credentials: Any, answers: dict[str, tuple[int, Any]]) -> None:
    with answering(answers) as url:
        credentials(url)
        with pytest.raises(
            ReviewError, match=r"is no Argilla server, or one that is too old; check ARGILLA_API_URL, .* 2\.1 or later"
        ) as refused:
            connect()
    assert "a-secret-key" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "taken"),
    [("2.0.1", False), ("1.29.0", False), ("dev", False), ("2.1.0", True), ("2.9rc1", True), ("10.0", True)],
)
def test_a_server_that_is_too_old(credentials: Any, version: str, taken: bool) -> None:
    with answering({"/api/v1/me": (200, ME), "/api/v1/version": (200, {"version": version})}) as url:
        credentials(url)
        if taken:
            assert connect().api_url == url
        else:
            with pytest.raises(ReviewError, match=rf"is version {version}; review needs version 2\.1 or later"):
                connect()


def test_the_library_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argilla", None)
    with pytest.raises(MissingExtra, match=r"pip install 'fac-datasets\[review\]'"):
        connect()


def test_without_a_server_the_demo_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fac_datasets.review.local_server.installed_server", lambda: None)
    result = CliRunner().invoke(app, ["review", "demo"])
    assert result.exit_code == 0
    for way in ("argilla/argilla-template-space", "docker compose up", "make argilla", "ARGILLA_API_KEY"):
        assert way in result.output


def test_a_report_that_cannot_be_read_is_told_of(tmp_path: Any) -> None:
    table_of(feature(1)).to_parquet(tmp_path / "table.parquet")
    arguments = ["review", "push", "explanations", str(tmp_path / "table.parquet"), "--name", "n"]
    result = CliRunner().invoke(app, [*arguments, "--report", str(tmp_path / "none.json")])
    assert isinstance(result.exception, OptionError) and "none.json cannot be read" in str(result.exception)


# --- what reviews are used for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("review_fits", "review_explanation", "name"),
    [
        (None, None, "by a model"),
        ("yes", None, "by a model"),
        ("maybe", None, "by a model"),
        ("no", None, None),
        ("cannot tell", None, None),
        ("no", "by people", "by people"),
        ("maybe", "by people", "by people"),
    ],
)
def test_people_have_the_last_word_on_a_name(
    review_fits: str | None, review_explanation: str | None, name: str | None
) -> None:
    row = {"explanation": "by a model", "review_fits": review_fits, "review_explanation": review_explanation}
    assert reviewed_name(row) == name
    assert reviewed_name({"explanation": "by a model"}) == "by a model"


def test_spaces_that_differ_in_their_cut_off_alone_are_the_same() -> None:
    require_same_but_threshold(SPACE, SPACE.replace(">0", ">q50"))
    with pytest.raises(FeatureSpaceMismatch):
        require_same_but_threshold(SPACE, SPACE.replace("/raw/", "/chat/"))


def test_a_column_that_is_replaced_keeps_its_place() -> None:
    table = datasets.Dataset.from_dict({"a": [1], "b": [2]})
    changed = add_columns(table, {"a": ([3], datasets.Value("int64")), "c": ([4], datasets.Value("int64"))})
    assert (changed.column_names, changed[0]) == (["a", "b", "c"], {"a": 3, "b": 2, "c": 4})
