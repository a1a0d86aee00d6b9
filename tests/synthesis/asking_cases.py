"""An asker on the tiny pair, and targets for it."""

from __future__ import annotations

from typing import Any

from fac_datasets.synthesis.asking import Asker
from fac_datasets.synthesis.drafting import drafted as written
from fac_datasets.synthesis.drafts import Draft, Wish
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.methods import ways_named
from fac_datasets.synthesis.prompting import prompts_of
from fac_datasets.synthesis.pursuit import Pursuit, Try
from fac_datasets.synthesis.sample_journal import SampleJournal
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.showing import Shelf
from fac_datasets.synthesis.targets import chosen_targets
from fac_datasets.synthesis.together import run_together
from tests.synthesis.cases import Case


def asker_of(case: Case, **options: Any) -> Asker:
    kind = recognise(case.anchor, column="text")
    defaults: dict[str, Any] = {"generator": case.generator, "max_new_tokens": 16, "temperature": 1.0}
    given = {**defaults, **options}
    return Asker(kind, prompts_of(kind), extractor=case.extractor, journal=SampleJournal(), **given)


def pursuit_of(case: Case, *activations: float, strengths: tuple[float, ...] = ()) -> Pursuit:
    """The first target, with tries of these activations."""
    (target,) = chosen_targets("anchor-rows", case.report, case.table, most=1)
    pursuit = Shelf(recognise(case.anchor, column="text"), case.anchor, None).pursuit(target)
    pursuit.tries = [
        Try(Sample({"text": f"try {place} of it"}), value, "text", 0, 3, strength)
        for place, (value, strength) in enumerate(zip(activations, strengths or (0.0,) * len(activations), strict=True))
    ]
    pursuit.begin("prompted")
    return pursuit


def wish_of(way: str, pursuit: Pursuit, asker: Asker) -> Wish:
    (named,) = ways_named(way)
    return named.wish(pursuit, asker)


def drafted(way: str, pursuit: Pursuit, asker: Asker, seed: int = 0) -> Draft:
    (draft,) = run_together([written(wish_of(way, pursuit, asker), pursuit, asker, seed)], asker.answer)
    return draft


def cannot(way: str, pursuit: Pursuit, asker: Asker) -> str:
    (named,) = ways_named(way)
    return named.cannot(pursuit, asker)
