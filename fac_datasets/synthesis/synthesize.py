"""Synthesis of the samples that a dataset is missing, in its own columns, each verified by the same SAE.

For each missing feature a way of generating writes one sample, and more only where it misses. The extractor measures
them: the strongest and the weakest become the good and the bad example of the next prompt (arXiv 2602.10388, section
4). A sample counts only when its plain text, encoded by the unsteered backbone, activates its feature above the
threshold. After each batch the missing features are counted anew, since a sample often reaches several.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.gap import Gap
from fac_datasets.coverage.report import CoverageReport
from fac_datasets.errors import GenerationError, LimitReached, OptionError
from fac_datasets.feature_space import require_same_but_threshold
from fac_datasets.generation.base import Outcome, TextGenerator, counts_in_words
from fac_datasets.rows.reader import ColumnChoice, row_texts
from fac_datasets.rows.tables import dataset_of
from fac_datasets.synthesis.asking import Asker
from fac_datasets.synthesis.choosing import Chooser
from fac_datasets.synthesis.drafting import drafted
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.base import Demands
from fac_datasets.synthesis.judging import MARGIN, Drafted, Judge, Judged
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.methods import Way, usable, ways_named
from fac_datasets.synthesis.prompting import prompts_of
from fac_datasets.synthesis.provenance import synthetic_features, synthetic_row
from fac_datasets.synthesis.pursuit import Pursuit
from fac_datasets.synthesis.sample_journal import NO_FEATURE, SampleJournal, Verdict
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.showing import Shelf
from fac_datasets.synthesis.targets import ANCHOR_ROWS, Target, chosen_targets
from fac_datasets.synthesis.together import run_together

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.synthesis.fluency import Fluency
    from fac_datasets.synthesis.verifier import Verifier

logger = logging.getLogger(__name__)

_VERIFIER_EXAMPLES = 8

_FEW = 8
"""As many first answers, none of which is a text, are no accident."""

_NO_TEXT = (
    *(Outcome.EMPTY, Outcome.REASONING, Outcome.DECLINED, Outcome.REFUSED),
    *(Outcome.FILTERED, Outcome.ERROR),
)
"""Outcomes of answers that hold no text."""


def synthesize(
    report: CoverageReport | Gap | Mapping[str, Any],
    table: datasets.Dataset,
    *,
    extractor: FeatureExtractor,
    generator: TextGenerator,
    schema_of: datasets.Dataset | None = None,
    kind: str | None = None,
    column: ColumnChoice = None,
    label_column: str | None = None,
    examples: datasets.Dataset | None = None,
    known: Sequence[str] = (),
    targets: str | Sequence[int] | Sequence[Target] = ANCHOR_ROWS,
    methods: str = "auto",
    responder: TextGenerator | None = None,
    verifier: Verifier | None = None,
    prompts: str | Path | None = None,
    language: str | None = None,
    fluency: Fluency | None = None,
    samples_per_feature: int = 1,
    max_samples: int | None = None,
    max_features: int | None = None,
    max_attempts: int = 8,
    max_new_tokens: int = 128,
    temperature: float = 0.8,
    seed: int = 0,
    journal: str | Path | SampleJournal | None = None,
) -> datasets.Dataset:
    """Generate samples for missing features and keep those that are measured to activate them.

    Args:
        report: says which features are missing, and at which threshold: what `coverage` returned, or the content of its
            `report.json`.
        table: feature table with spans of those features, usually made from the anchor.
        extractor: the one that made the feature columns.
        generator: writes the samples; one on the extractor's backbone can also be steered.
        schema_of: the dataset that samples are made for, usually the seed: they get its columns, in its types and
            order. By default that of `examples`, or a `text`.
        kind: of data, such as `"instruction"`; by default the one that the columns of `schema_of` say.
        column: what is measured, as `FeatureExtractor` has it.
        label_column: of labels, where nothing else says which it is.
        examples: the dataset whose rows the table's spans refer to, usually the anchor, so that whole rows serve as
            examples; by default spans and rows of `schema_of` do.
        known: texts that a sample must not copy, besides the examples and `schema_of`.
        targets: `"anchor-rows"`, the missing features that most anchor rows activate; `"planned"`, those whose anchor
            rows bring most others, for which `examples` needs feature columns; or ids, or what `chosen_targets` gave.
        methods: ways of generating, see `fac_datasets.synthesis.methods.ways_named`: joined by `+` where they work
            together, by commas where one is tried after the other; `"auto"` learns which are worth it.
        responder: writes responses in place of the generator.
        verifier: checks labels, responses, or the order of pairs.
        prompts: folder with prompts in place of ours.
        language: code such as `"en"`, of which samples have to be.
        fluency: samples that are less likely are rejected; by default none is. See `calibrated`.
        samples_per_feature: accepted samples a feature.
        max_samples: stop after this many accepted samples.
        max_features: aim at no more features than this.
        max_attempts: samples tried for a feature.
        max_new_tokens: tokens of an answer; of a part where parts are asked for one by one.
        temperature: of the sampling.
        seed: of the sampling.
        journal: keeps completions and verdicts, so that a killed run goes on; a path or a SampleJournal. Where its
            limits are reached, what was accepted until then is returned.

    Returns:
        One row an accepted sample: the columns of `schema_of`, of which those that nobody can invent are None, and
        beside them the provenance: `synthetic_id, target_feature, target_name, target_part, target_activation,
        target_threshold, method, attempt, generator, prompt_digest, steering_strength, seed, feature_space`. A feature
        that no sample reached has no row; where none is missing there is no row at all.

    Raises:
        SynthesisError: the table lacks a feature that is aimed at, or there is no row to show as an example.
        ColumnError: the columns are of no kind of data that can be written.
        OptionError: an option has no meaning.
        FeatureSpaceMismatch: report, table and extractor are of different spaces.
        GenerationError: none of the first answers, whichever way they were asked for, is a text: the generator refuses
            or says nothing.

    Example:
        >>> table = feature_table(anchor, features=report.missing)
        >>> synthetic = synthesize(
        ...     report, table, extractor=extractor, generator=LocalGenerator(), max_features=1, max_attempts=1
        ... )
        >>> all(row["target_activation"] > row["target_threshold"] for row in synthetic)
        True
    """
    for name, value, least in (
        ("max_new_tokens", max_new_tokens, 1),
        ("max_attempts", max_attempts, 1),
        ("samples_per_feature", samples_per_feature, 1),
        ("max_features", max_features, 0),
        ("max_samples", max_samples, 0),
    ):
        if value is not None and value < least:
            raise OptionError(f"{name}={value} is too small; the least is {least}")
    ways_named(methods)
    form, shelf, pursuits = begin(
        report,
        table,
        extractor=extractor,
        schema_of=schema_of,
        kind=kind,
        column=column,
        label_column=label_column,
        examples=examples,
        targets=targets,
        max_features=max_features,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    if not pursuits:
        return dataset_of([], synthetic_features(form.features))
    book = journal if isinstance(journal, SampleJournal) else SampleJournal(journal)
    asker = Asker(
        form,
        prompts_of(form, prompts),
        generator,
        extractor,
        book,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        responder=responder,
        likelihoods=fluency.nll if fluency else None,
    )
    demands = Demands(
        language, fluency.nll if fluency else None, fluency.highest if fluency else None, asker.prompts.wording
    )
    shown = [row_texts(each, column) for each in (schema_of, examples) if each is not None]
    filters = Filters([*known, *(text for texts in shown for text in texts)], demands)
    judge = Judge(form, extractor, filters, verifier, shelf.seed_rows[:_VERIFIER_EXAMPLES])
    most = len(pursuits) * samples_per_feature if max_samples is None else max_samples
    try:
        chooser = Chooser(usable(methods, asker, pursuits))
        loop = _Synthesis(pursuits, asker, chooser, judge, samples_per_feature, max_attempts, most, seed)
        accepted = loop.run()
    finally:
        if not isinstance(journal, SampleJournal):
            book.close()
    return dataset_of([loop.row(one) for one in accepted], synthetic_features(form.features))


def begin(
    report: CoverageReport | Gap | Mapping[str, Any],
    table: datasets.Dataset,
    *,
    extractor: FeatureExtractor,
    schema_of: datasets.Dataset | None = None,
    kind: str | None = None,
    column: ColumnChoice = None,
    label_column: str | None = None,
    examples: datasets.Dataset | None = None,
    targets: str | Sequence[int] | Sequence[Target] = ANCHOR_ROWS,
    max_features: int | None = None,
    max_new_tokens: int = 128,
    seed: int = 0,
) -> tuple[DataKind, Shelf, list[Pursuit]]:
    """The kind of data, the rows that can be shown, and the targets at their start: what can be wrong shows here.

    Args:
        report, table, extractor, schema_of, kind, column, label_column, examples, targets, max_features,
            max_new_tokens, seed: see `synthesize`, which raises the same.
    """
    import datasets

    gap = Gap.of(report)
    rows = schema_of if schema_of is not None else examples
    rows = datasets.Dataset.from_dict({"text": [""]}) if rows is None else rows
    form = recognise(rows, kind, column=column, label_column=label_column)
    # Activations are measured anew here.
    require_same_but_threshold(gap.feature_space, extractor.feature_space)
    shelf = Shelf(form, examples, schema_of, label_column=label_column, random=seed)
    if not len(gap.missing) and isinstance(targets, str):
        logger.info("no feature is missing, so there is nothing to synthesize")
        return form, shelf, []
    aims = chosen_targets(targets, gap, table, examples, most=max_features, column=column, sample_tokens=max_new_tokens)
    return form, shelf, [shelf.pursuit(target) for target in aims]


class _Synthesis:
    """Batches of drafts, one a target that is still missing, until all are reached or given up."""

    def __init__(
        self,
        pursuits: list[Pursuit],
        asker: Asker,
        chooser: Chooser,
        judge: Judge,
        samples_per_feature: int,
        max_attempts: int,
        most: int,
        seed: int,
    ) -> None:
        self._pursuits, self._asker, self._chooser, self._judge = pursuits, asker, chooser, judge
        self._samples_per_feature, self._max_attempts, self._most, self._seed = (
            samples_per_feature, max_attempts, most, seed
        )  # fmt: skip
        self._outcomes: Counter[str] = Counter()

    def run(self) -> list[Judged]:
        """The accepted samples, in the order in which they were accepted."""
        import datasets
        from tqdm.auto import tqdm

        accepted: list[Judged] = []
        quiet = datasets.utils.are_progress_bars_disabled()
        with tqdm(total=len(self._pursuits), unit="feature", desc="synthesize", disable=quiet) as bar:
            for number in range(1, self._max_attempts + 1):
                try:
                    judged = self._round(accepted)
                except LimitReached as limit:
                    logger.warning("%s", limit)
                    break
                if not judged:
                    break
                reached = sum(one.accepted >= self._samples_per_feature for one in self._pursuits)
                bar.update(reached - bar.n)
                logger.info("%s", _in_words(number, judged, reached))
        return accepted[: self._most]

    def _round(self, accepted: list[Judged]) -> list[Judged]:
        """One more draft of each target that is still missing; what is accepted is added to `accepted`.

        They are drafted in batches, since the samples of one often reach targets of the next.
        """
        judged: list[Judged] = []
        for start in range(0, len(self._pursuits), self._asker.generator.batch_size):
            batch = self._pursuits[start : start + self._asker.generator.batch_size]
            waiting = [one for one in batch if one.accepted < self._samples_per_feature]
            if waiting and len(accepted) < self._most:
                of_batch = self._batch(waiting)
                accepted += [one for one in of_batch if one.is_accepted]
                judged += of_batch
                self._outcomes.update(one.outcome for one in of_batch)
                self._require_texts(waiting)
        return judged

    def _require_texts(self, waiting: Sequence[Pursuit]) -> None:
        """Stop before more is asked of a generator that writes nothing, whichever way it is asked."""
        hopeless = self._outcomes.total() >= _FEW and self._outcomes.keys() <= {*_NO_TEXT}
        if hopeless and not self._chooser.untried(waiting, self._asker):
            raise GenerationError(
                f"{self._asker.generator.name} wrote nothing: of its first {self._outcomes.total()} answers "
                f"{counts_in_words(self._outcomes)}; take another model (--model), or other prompts (--prompts)"
            )

    def _batch(self, waiting: Sequence[Pursuit]) -> list[Judged]:
        """One draft of each target, judged together."""
        chosen = [(one, self._chooser.next(one, self._asker)) for one in waiting]
        begun = [(one, way, one.begin(way.name)) for one, way in chosen if way is not None]

        async def written(pursuit: Pursuit, way: Way, attempt: int) -> Drafted:
            seed = _sample_seed(self._seed, pursuit.feature, attempt)
            draft = await drafted(way.wish(pursuit, self._asker), pursuit, self._asker, seed)
            draft, sample = await self._asker.sample(draft, pursuit.like, seed)
            return Drafted(pursuit, way.name, attempt, draft, sample)

        drafts = run_together([written(*each) for each in begun], self._asker.answer)
        judged = self._judge.judge(drafts, self._pursuits, self._samples_per_feature)
        for one in judged:
            self._asker.journal.judge(one.drafted.draft.key, _verdict(one))
            self._chooser.record(one.drafted.method, one.drafted.draft, accepted=one.is_accepted)
            if not one.is_accepted:
                one.drafted.pursuit.miss(one.drafted.method)
        return judged

    def row(self, one: Judged) -> dict[str, Any]:
        """An accepted sample as a row of the result."""
        drafted, target = one.drafted, one.pursuit.target
        assert isinstance(drafted.sample, Sample)
        aimed = "" if one.pursuit is drafted.pursuit else f", made for feature {drafted.pursuit.feature}"
        steering = drafted.draft.wish.steering
        return synthetic_row(
            self._asker.kind.cells(drafted.sample),
            {
                "synthetic_id": hashlib.sha256(f"{drafted.draft.key}{drafted.sample.whole}".encode()).hexdigest()[:16],
                "target_feature": target.feature,
                "target_name": target.name,
                "target_part": one.part,
                "target_activation": one.found.activation,
                "target_threshold": target.threshold,
                "method": drafted.method + aimed,
                "attempt": drafted.attempt,
                "generator": self._asker.generator.name,
                "prompt_digest": drafted.draft.prompt_digest,
                "steering_strength": steering.strength if steering else 0.0,
                "seed": self._seed,
                "feature_space": str(self._asker.extractor.feature_space),
            },
        )


def _verdict(one: Judged) -> Verdict:
    """What the journal keeps of a draft."""
    drafted, wish = one.drafted, one.drafted.draft.wish
    aimed_at = drafted.pursuit
    activation = one.own.activation if one.own else 0.0
    return Verdict(
        aimed_at.feature,
        activation,
        one.outcome,
        drafted.method,
        drafted.draft.decoded_tokens,
        drafted.draft.prompt_tokens,
        None if one.own is None or wish.is_open else activation > aimed_at.threshold + MARGIN,
        wish.steering.strength if wish.steering else 0.0,
        one.pursuit.feature if one.is_accepted else NO_FEATURE,
    )


def _sample_seed(seed: int, feature: int, attempt: int) -> int:
    return int(np.random.SeedSequence([seed, feature, attempt]).generate_state(1)[0])


def _in_words(number: int, judged: Sequence[Judged], reached: int) -> str:
    """What came of a round, in a line."""
    ways = Counter(one.drafted.method for one in judged)
    outcomes = Counter(one.outcome for one in judged)
    return f"round {number}, {counts_in_words(ways)}: {counts_in_words(outcomes)}; {reached} features reached"
