"""Rows are measured below the stored cut-off, and each peak has its place."""

from __future__ import annotations

from fac_datasets import FeatureExtractor
from fac_datasets.rows.row import Chat
from fac_datasets.synthesis.measuring import measure
from tests.synthesis.cases import Case
from tests.tiny import TEXTS


def test_activations_below_the_stored_cut_off_are_there(case: Case, tiny_backbone: str, tiny_sae: str) -> None:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae)
    found = measure(extractor, [TEXTS[0]])[0]
    stored = extractor.extract([TEXTS[0]])["feature_ids"][0]
    assert set(stored) < set(found)


def test_places_are_those_of_the_feature_columns(case: Case) -> None:
    chat = Chat([{"role": "user", "content": TEXTS[0]}, {"role": "assistant", "content": TEXTS[1]}])
    columns = case.extractor.extract([chat], chat=True)
    found = measure(case.extractor, [chat])[0]
    assert [*found] == columns["feature_ids"][0].tolist()
    for name, values in (("activation", "activations"), ("message", "messages"), ("start", "starts"), ("end", "ends")):
        assert [getattr(one, name) for one in found.values()] == columns[f"feature_{values}"][0].tolist()


def test_of_no_rows_nothing_is_measured(case: Case) -> None:
    assert measure(case.extractor, []) == []
