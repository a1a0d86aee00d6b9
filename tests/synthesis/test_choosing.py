"""`auto` begins with what is cheap, and goes to what hits."""

from __future__ import annotations

from fac_datasets.generation.base import Completion
from fac_datasets.synthesis.choosing import Chooser
from fac_datasets.synthesis.drafts import Draft
from fac_datasets.synthesis.methods import ways_named
from tests.synthesis.asking_cases import asker_of, pursuit_of
from tests.synthesis.cases import Case


def draft(tokens: int) -> Draft:
    return Draft(Completion("A text.", tokens, True), ("key",), "digest", tokens, 0)


def test_the_cheapest_way_comes_first(case: Case) -> None:
    chooser = Chooser(ways_named("magpie,span_seeded,prompted"))
    way = chooser.next(pursuit_of(case), asker_of(case))
    assert way is not None and way.name == "prompted"


def test_what_does_not_hit_gives_way_to_what_does(case: Case) -> None:
    chooser = Chooser(ways_named("prompted,span_seeded"))
    for _ in range(20):
        chooser.record("prompted", draft(30), accepted=False)
        chooser.record("prompted+span_seeded", draft(30), accepted=True)
    way = chooser.next(pursuit_of(case), asker_of(case))
    assert way is not None and way.name == "prompted+span_seeded"


def test_of_two_that_hit_alike_the_one_that_decodes_less_is_taken(case: Case) -> None:
    chooser = Chooser(ways_named("prompted,span_seeded"))
    for _ in range(20):
        chooser.record("prompted", draft(300), accepted=True)
        chooser.record("prompted+span_seeded", draft(30), accepted=True)
    way = chooser.next(pursuit_of(case), asker_of(case))
    assert way is not None and way.name == "prompted+span_seeded"


def test_a_way_that_missed_for_a_feature_is_tried_less_for_it(case: Case) -> None:
    chooser, pursuit = Chooser(ways_named("prompted,span_seeded")), pursuit_of(case)
    for _ in range(3):
        pursuit.miss("prompted")
    way = chooser.next(pursuit, asker_of(case))
    assert way is not None and way.name == "prompted+span_seeded"


def test_of_many_targets_together_only_some_try_what_nothing_is_known_of(case: Case) -> None:
    chooser, pursuit = Chooser(ways_named("prompted,span_seeded")), pursuit_of(case)
    for _ in range(40):
        chooser.record("prompted", draft(30), accepted=True)
    ways = [chooser.next(pursuit, asker_of(case)) for _ in range(32)]
    names = [way.name for way in ways if way is not None]
    assert 0 < names.count("prompted+span_seeded") < 8


def test_what_was_recorded_is_pending_no_more(case: Case) -> None:
    chooser, pursuit = Chooser(ways_named("prompted,span_seeded")), pursuit_of(case)
    for _ in range(32):
        way = chooser.next(pursuit, asker_of(case))
        assert way is not None and way.name == "prompted"
        chooser.record("prompted", draft(10), accepted=True)


def test_where_no_way_can_be_used_there_is_none(case: Case) -> None:
    assert Chooser(ways_named("edited")).next(pursuit_of(case), asker_of(case)) is None
