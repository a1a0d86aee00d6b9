"""All measures side by side."""

from __future__ import annotations

import pytest

from fac_datasets import diversity
from fac_datasets.diversity import all_measures as module
from fac_datasets.diversity.all_measures import all_measures, measures_table
from fac_datasets.errors import MissingExtra
from tests.tiny import TEXTS


@pytest.mark.slow
def test_every_measure_has_its_usual_value() -> None:
    values = all_measures({"seed": TEXTS, "other": TEXTS[:3]})
    for measure in (diversity.distinct_n, diversity.compression_ratio, diversity.pair_cosdist, diversity.vendi_score):
        found = measure(TEXTS)
        assert {name: values["seed"][name] for name in found} == pytest.approx(found)
    assert (values["seed"]["n_rows"], values["other"]["n_rows"]) == (len(TEXTS), 3)
    assert values["other"]["pair_cosdist"] == pytest.approx(diversity.pair_cosdist(TEXTS[:3])["pair_cosdist"])
    assert not any(isinstance(value, str) for value in values["seed"].values())


def test_of_many_texts_some_are_drawn() -> None:
    first, again = (all_measures({"seed": TEXTS}, most_rows=5)["seed"] for _ in range(2))
    assert first["n_rows"] == 5
    assert first == again


def test_what_is_not_installed_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingExtra("embeddings of texts need a library")

    monkeypatch.setattr(module, "embeddings_of", missing)
    values = all_measures({"seed": TEXTS, "train": TEXTS})
    assert values["seed"]["vendi_score"] == "embeddings of texts need a library"
    table = measures_table(values)
    assert table.count("embeddings of texts need a library") == 1
    assert "| `vendi_score` |  |  |" in table
