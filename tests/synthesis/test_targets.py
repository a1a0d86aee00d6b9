"""What synthesis aims at: by anchor rows, as planned, or as a list says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from fac_datasets import CoverageReport, coverage
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, SynthesisError
from fac_datasets.sae.shipped_names import _file
from fac_datasets.synthesis.targets import (
    Target,
    listed_targets,
    planned_targets,
    read_targets,
    targets_by_anchor_rows,
)
from tests.coverage.cases import space, table

ANCHOR = table([{0: 2.0, 1: 2.0, 2: 2.0}, {0: 2.0, 3: 2.0}, {3: 2.0, 4: 2.0}, {0: 2.0}, {3: 2.0}, {1: 2.0}, {1: 2.0}])
SEED = table([{9: 2.0}])


def report(anchor: datasets.Dataset = ANCHOR, **options: Any) -> CoverageReport:
    return coverage(SEED, anchor, threshold=1, **options)


def features_of(*ids: int, feature_space: str | None = None, **columns: Any) -> datasets.Dataset:
    """A feature table with a span of each feature."""
    spans = [[{"text": f"text {i}", "start": 0, "end": 4, "activation": 2.0, "row": 0, "cut": False}] for i in ids]
    return datasets.Dataset.from_dict(
        {"feature_id": ids, "feature_space": [feature_space or space()] * len(ids), "spans": spans, **columns}
    )


TABLE = features_of(0, 1, 2, 3, 4)


def aimed_at(targets: list[Target]) -> list[int]:
    return [target.feature for target in targets]


def test_those_that_most_anchor_rows_activate_come_first() -> None:
    assert aimed_at(targets_by_anchor_rows(report(), TABLE)) == [0, 1, 3, 2, 4]
    assert aimed_at(targets_by_anchor_rows(report(), TABLE, most=2)) == [0, 1]


def test_a_list_is_aimed_at_in_its_order_and_each_feature_once() -> None:
    assert aimed_at(listed_targets(report(), TABLE, [4, 0, 4])) == [4, 0]


def test_planned_targets_name_the_row_and_what_occurs_together() -> None:
    targets = planned_targets(report(), TABLE, ANCHOR)
    assert [(target.feature, target.row) for target in targets] == [(0, 0), (3, 2), (1, 0), (4, 2), (2, 0)]
    assert {target.together for target in targets} == {()}
    pairs = table([{0: 2.0, 1: 2.0}, {0: 2.0, 1: 2.0}, {1: 2.0}])
    (only,) = planned_targets(report(pairs), TABLE, pairs)
    assert (only.feature, only.together, only.row) == (1, (0,), 0)


def test_a_target_has_threshold_spans_and_name() -> None:
    (target,) = listed_targets(report(), features_of(3, explanation=["three"]), [3])
    assert (target.threshold, target.name, target.row, target.together) == (1.0, "three", None, ())
    assert target.spans[0]["text"] == "text 3"


def test_a_name_is_what_people_gave_or_what_the_report_knows() -> None:
    named = report(feature_names={3: "known", 4: "known"})
    judged = features_of(
        3, 4, explanation=["three", "four"], review_explanation=["better", None], review_fits=["no", "no"]
    )
    assert [target.name for target in listed_targets(named, judged, [3, 4])] == ["better", "known"]
    assert [target.name for target in listed_targets(report(), features_of(3), [3])] == [""]


def test_lexical_features_come_last_from_0_8_on() -> None:
    lexical = features_of(0, 1, 2, 3, 4, lexical=[0.8, 0.79, None, 1.0, 0.9])
    assert aimed_at(planned_targets(report(), lexical, ANCHOR)) == [1, 2, 3, 0, 4]


def test_relevant_features_come_first_then_those_that_people_named_then_named_ones() -> None:
    anchor = table([{0: 2.0}, {1: 2.0}, {2: 2.0}, {3: 2.0}])
    judged = features_of(
        0, 1, 2, 3,
        evidence=[[], [], [], ["llm"]],
        explanation=[None, "one", "two", None],
        review_fits=[None, None, "yes", None],
    )  # fmt: skip
    assert aimed_at(planned_targets(report(anchor), judged, anchor, most=40)) == [3, 2, 1, 0]


def test_a_name_that_people_found_not_to_fit_is_none() -> None:
    anchor = table([{0: 2.0}, {1: 2.0}])
    judged = features_of(0, 1, explanation=["zero", "one"], review_fits=["no", None])
    assert aimed_at(planned_targets(report(anchor), judged, anchor)) == [1, 0]


def test_a_table_that_nobody_judged_will_do() -> None:
    assert TABLE.column_names == ["feature_id", "feature_space", "spans"]
    assert sorted(aimed_at(planned_targets(report(), TABLE, ANCHOR))) == [0, 1, 2, 3, 4]


def test_lexical_features_of_the_embedded_sae_are_known_from_what_ships_with_it() -> None:
    digest, names = _file()
    shares = dict(zip(names["feature_id"], names["lexical"], strict=True))
    lexical = next(feature for feature, share in shares.items() if share is not None and share >= 0.8)
    other = next(
        feature for feature, share in shares.items() if share is not None and share < 0.5 and feature > lexical
    )
    embedded = space().replace("/s@0123456789abcdef/", f"/s@{digest}/")
    anchor = table([{lexical: 2.0}, {other: 2.0}], embedded)
    seed = table([{9: 2.0} if 9 not in (lexical, other) else {10: 2.0}], embedded)
    of_embedded = coverage(seed, anchor, threshold=1)
    features = features_of(lexical, other, feature_space=embedded)
    assert aimed_at(planned_targets(of_embedded, features, anchor)) == [other, lexical]


def test_only_features_that_the_table_describes_are_planned() -> None:
    assert aimed_at(planned_targets(report(), features_of(3), ANCHOR)) == [3]
    with pytest.raises(SynthesisError, match="lacks 5 of the 5"):
        planned_targets(report(), features_of(7), ANCHOR)


def test_only_features_that_are_still_missing_are_planned() -> None:
    assert aimed_at(planned_targets(report(), TABLE, ANCHOR, features=[4, 2])) == [2, 4]


def test_a_row_longer_than_a_sample_counts_for_a_part() -> None:
    anchor = table([{0: 2.0, 1: 2.0, 2: 2.0}, {3: 2.0, 4: 2.0}])
    long = anchor.remove_columns("feature_tokens").add_column("feature_tokens", [900, 100])
    assert planned_targets(report(long), TABLE, long)[0].row == 1
    assert planned_targets(report(long), TABLE, long, sample_tokens=900)[0].row == 0


def test_chosen_and_rejected_columns_are_read_by_their_prefix() -> None:
    pairs = ANCHOR.rename_columns({name: f"chosen_{name}" for name in ANCHOR.column_names})
    assert planned_targets(report(), TABLE, pairs, prefix="chosen_") == planned_targets(report(), TABLE, ANCHOR)


def test_another_anchor_than_the_reports_is_refused() -> None:
    with pytest.raises(SynthesisError, match="no row of the anchor activates 4 of 5 missing features, first 1"):
        planned_targets(report(), TABLE, table([{0: 2.0}]))
    with pytest.raises(FeatureSpaceMismatch):
        planned_targets(report(), TABLE, table([{0: 2.0}], space(layer=4)))


def test_a_table_of_another_space_or_without_a_feature_is_refused() -> None:
    with pytest.raises(FeatureSpaceMismatch):
        listed_targets(report(), features_of(1, feature_space=space(layer=4)), [1])
    with pytest.raises(SynthesisError, match="lacks 1 of the 2 features aimed at, the first being 8"):
        listed_targets(report(), TABLE, [1, 8])
    for name in ("feature_id", "feature_space", "spans"):
        with pytest.raises(ColumnError, match=name):
            listed_targets(report(), TABLE.remove_columns(name), [1])


def test_without_missing_features_there_is_nothing_to_aim_at() -> None:
    covered = coverage(ANCHOR, ANCHOR, threshold=1)
    with pytest.raises(SynthesisError, match="no feature is missing"):
        targets_by_anchor_rows(covered, TABLE)
    with pytest.raises(SynthesisError, match="no feature is missing"):
        planned_targets(covered, TABLE, ANCHOR)
    with pytest.raises(SynthesisError, match="no feature is missing"):
        listed_targets(covered, TABLE, [])


@pytest.mark.parametrize("name", ["ids.txt", "ids", "ids.csv", "ids.jsonl"])
def test_a_list_is_read_from_a_file_of_one_id_a_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("12\n\n 7 \n3", encoding="utf-8")
    assert read_targets(path) == [12, 7, 3]


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl", "table.parquet"])
def test_a_list_is_read_from_a_table(tmp_path: Path, name: str) -> None:
    missing = report().missing_features().remove_columns("span")
    {"csv": missing.to_csv, "jsonl": missing.to_json, "parquet": missing.to_parquet}[name[6:]](tmp_path / name)
    assert read_targets(tmp_path / name) == report().missing_by_anchor_rows.tolist()


def test_files_that_hold_no_ids_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("12\nseven\n", encoding="utf-8")
    with pytest.raises(OptionError, match=r"ids\.txt is no list of feature ids: it holds 'seven'"):
        read_targets(tmp_path / "ids.txt")
    (tmp_path / "table.csv").write_text("feature,name\n1,one\n", encoding="utf-8")
    with pytest.raises(ColumnError, match="no column 'feature_id'"):
        read_targets(tmp_path / "table.csv")
    with pytest.raises(DatasetError):
        read_targets(tmp_path / "none.txt")
