"""Contrastive synthesis of the samples that a dataset is missing, each verified by the same SAE.

For each missing feature, candidates are generated from the anchor's texts that activate it, and the extractor measures
them. The strongest and the weakest candidate become the good and the bad example of the next prompt (arXiv 2602.10388,
section 4). Where the generator can be steered, later attempts add the feature's decoder direction while decoding. A
sample counts only when its plain text, encoded by the unsteered backbone, activates its feature above the threshold.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_datasets.coverage.names import reviewed_name
from fac_datasets.coverage.report import CoverageReport
from fac_datasets.errors import OptionError, SynthesisError
from fac_datasets.feature_space import require_same_but_threshold
from fac_datasets.generation.base import Request, Steering, TextGenerator
from fac_datasets.rows.reader import RowReader, row_texts
from fac_datasets.rows.row import Row, plain_text
from fac_datasets.rows.tables import dataset_of
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.prompting import Scored, Told, example_of, prompts_of
from fac_datasets.synthesis.provenance import synthetic_features
from fac_datasets.synthesis.sample_journal import VERIFIED, SampleJournal, Verdict
from fac_datasets.synthesis.samples import Rejected, Sample

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor

logger = logging.getLogger(__name__)

EXAMPLES = 3
"""Anchor texts shown for a feature."""


MARGIN = 1e-4
"""A sample has to exceed its threshold by what float32 may lose when it is extracted in another batch."""


class Round(NamedTuple):
    """One round of attempts at every feature that is still missing."""

    samples: int
    """Samples a feature."""
    strength: float
    """Steering strength, where the generator can be steered."""
    contrastive: bool
    """Show the strongest and the weakest sample so far, where their activations differ."""


ROUNDS = (Round(2, 0.0, False), Round(2, 0.4, True), Round(2, 0.4, True), Round(2, 0.6, True))
"""Tried in turn and from the start again, until a feature is reached or its attempts are used up."""


@dataclass
class _Target:
    """A missing feature on its way."""

    feature: int
    name: str
    threshold: float
    examples: list[str]
    attempts: int = 0
    accepted: int = 0
    tried: list[tuple[float, str]] = field(default_factory=list)
    """Measured activation and text of each sample so far that passed the filters."""


class _Sample(NamedTuple):
    key: str
    text: str | Rejected
    target: _Target
    request: Request
    attempt: int
    contrastive: bool


def synthesize(
    report: CoverageReport,
    table: datasets.Dataset,
    *,
    extractor: FeatureExtractor,
    generator: TextGenerator,
    kind: str = "text",
    examples: datasets.Dataset | None = None,
    column: str | None = None,
    known: Sequence[str] = (),
    features: Sequence[int] | None = None,
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
        report: says which features are missing, and at which threshold.
        table: feature table with spans of those features, usually made from the anchor.
        extractor: the one that made the feature columns.
        generator: writes the samples; one on the extractor's backbone is also steered.
        kind: of data to write, such as `"text"`.
        examples: the dataset whose rows the table's spans refer to, so that whole texts serve as examples; by default
            the spans do.
        column: column of the examples' texts; by default the one known name that is present.
        known: texts that a sample must not copy, besides the examples: the seed, the anchor.
        features: aim at these; by default at the missing ones, those that most anchor rows activate first.
        samples_per_feature: accepted samples a feature.
        max_samples: stop after this many accepted samples.
        max_features: aim at no more features than this.
        max_attempts: samples tried for a feature.
        max_new_tokens: tokens of a sample.
        temperature: of the sampling.
        seed: of the sampling.
        journal: keeps completions and verdicts, so that a killed run goes on; a path or a SampleJournal.

    Returns:
        One row an accepted sample: `text, synthetic_id, target_feature, target_name, target_part,
        target_activation, target_threshold, method, attempt, generator, prompt_digest, steering_strength, seed,
        feature_space`. A feature that no sample reached has no row.

    Raises:
        SynthesisError: there is nothing to aim at.
        OptionError: an option has no meaning.
        FeatureSpaceMismatch: report, table and extractor are of different spaces.

    Example:
        >>> table = feature_table(anchor, features=report.missing)
        >>> synthetic = synthesize(
        ...     report, table, extractor=extractor, generator=LocalGenerator(), max_features=1, max_attempts=1
        ... )
        >>> all(row["target_activation"] > row["target_threshold"] for row in synthetic)
        True
    """
    import datasets
    from tqdm.auto import tqdm

    if max_new_tokens < 1 or (max_features is not None and max_features < 0):
        raise OptionError(
            f"max_new_tokens={max_new_tokens} must be at least 1, and max_features={max_features} not negative"
        )
    targets = _targets(report, table, extractor, examples, column, features, max_features)
    data_format = recognise(datasets.Dataset.from_dict({"text": [""]}), kind)
    shown = row_texts(examples, column) if examples is not None else [t for target in targets for t in target.examples]
    filters = Filters([*known, *shown])
    book = journal if isinstance(journal, SampleJournal) else SampleJournal(journal)
    rows: list[dict[str, object]] = []
    most = len(targets) * samples_per_feature if max_samples is None else max_samples
    quiet = datasets.utils.are_progress_bars_disabled()
    with tqdm(total=len(targets), unit="feature", desc="synthesize", disable=quiet) as bar:
        for number, step in enumerate(itertools.cycle(ROUNDS), start=1):
            waiting = [t for t in targets if t.accepted < samples_per_feature and t.attempts < max_attempts]
            if not waiting or len(rows) >= most:
                break
            batch = [
                sample
                for target in waiting
                for sample in _attempts(target, step, data_format, extractor, generator, seed, max_attempts)
            ]
            completions = book.generate(
                generator,
                [sample.request for sample in batch],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
            batch = [
                sample._replace(key=key, text=_text(data_format.read(completion.text, completion.finished)))
                for sample, (key, completion) in zip(batch, completions, strict=True)
            ]
            rows.extend(
                _row(*accepted, str(extractor.feature_space), generator.name, seed)
                for accepted in _judge(batch, targets, extractor, filters, book, samples_per_feature)
            )
            reached = sum(target.accepted >= samples_per_feature for target in targets)
            bar.update(reached - bar.n)
            logger.info("%s", _describe_round(number, step, batch, book, reached))
    if not isinstance(journal, SampleJournal):
        book.close()
    return dataset_of(rows[:most], synthetic_features())


def _text(found: Sample | Rejected) -> str | Rejected:
    return found if isinstance(found, Rejected) else found.texts["text"]


def _targets(
    report: CoverageReport,
    table: datasets.Dataset,
    extractor: FeatureExtractor,
    examples: datasets.Dataset | None,
    column: str | None,
    features: Sequence[int] | None,
    max_features: int | None,
) -> list[_Target]:
    wanted = list(report.missing_by_anchor_rows if features is None else features)[:max_features]
    if not wanted:
        raise SynthesisError("no feature is missing, so there is nothing to synthesize")
    for space in (report.feature_space, table[0]["feature_space"] if len(table) else report.feature_space):
        # Activations are measured anew here.
        require_same_but_threshold(space, extractor.feature_space)
    thresholds = extractor.thresholds(report.threshold)
    described = {row["feature_id"]: row for row in table if row["spans"]}
    without = [int(feature) for feature in wanted if int(feature) not in described]
    if without:
        raise SynthesisError(
            f"the feature table lacks {len(without)} of the {len(wanted)} features aimed at, the first being "
            f"{without[0]}; make it with feature_table(anchor, features=report.missing)"
        )
    reader = None if examples is None else RowReader(examples.features, column)
    targets = []
    for feature in map(int, wanted):
        spans = described[feature]["spans"][: 2 * EXAMPLES]
        texts = [span["text"] for span in spans]
        if examples is not None and reader is not None:
            texts = [_example_text(examples, reader, span) for span in spans]
        distinct = list(dict.fromkeys(texts))[:EXAMPLES]
        targets.append(
            _Target(feature, reviewed_name(described[feature]) or "", float(thresholds[feature]), distinct[::-1])
        )
    return targets


def _attempts(
    target: _Target,
    step: Round,
    kind: DataKind,
    extractor: FeatureExtractor,
    generator: TextGenerator,
    seed: int,
    max_attempts: int,
) -> list[_Sample]:
    pair = _contrastive_pair(target) if step.contrastive else None
    shown = [Sample({"text": text}) for text in (target.examples if not pair else [*target.examples[1:], pair[0][1]])]
    told = Told(bad=Scored(Sample({"text": pair[1][1]}), pair[1][0])) if pair else None
    messages = prompts_of(kind).messages(kind, shown, shown[0] if shown else Sample({}), told)
    steering = _steering(target, step.strength, extractor, generator)
    samples = []
    for _ in range(min(step.samples, max_attempts - target.attempts)):
        target.attempts += 1
        request = Request(messages, _sample_seed(seed, target.feature, target.attempts), steering)
        samples.append(_Sample("", "", target, request, target.attempts, pair is not None))
    return samples


def _contrastive_pair(target: _Target) -> tuple[tuple[float, str], tuple[float, str]] | None:
    """The strongest and the weakest sample so far; nothing where there are no two different activations."""
    if len(target.tried) < 2:
        return None
    weakest, strongest = min(target.tried), max(target.tried)
    return None if strongest[0] <= weakest[0] else (strongest, weakest)


def _steering(
    target: _Target, strength: float, extractor: FeatureExtractor, generator: TextGenerator
) -> Steering | None:
    space = extractor.feature_space
    same_model = generator.name == f"{space.backbone}@{space.backbone_digest}"
    if not strength or not generator.can_steer or not same_model or not space.layer:
        return None
    direction = extractor.sae.decoder[target.feature].detach().cpu().numpy().astype(np.float32)
    return Steering(space.layer, direction / np.linalg.norm(direction), strength)


def _sample_seed(seed: int, feature: int, attempt: int) -> int:
    return int(np.random.SeedSequence([seed, feature, attempt]).generate_state(1)[0])


def _judge(
    batch: Sequence[_Sample],
    targets: Sequence[_Target],
    extractor: FeatureExtractor,
    filters: Filters,
    book: SampleJournal,
    samples_per_feature: int,
) -> list[tuple[_Sample, _Target, float]]:
    """Measure a round's samples and record their verdicts; those accepted, with their feature and its activation."""
    accepted = []
    for sample, found in zip(
        batch, measure(extractor, [s.text if isinstance(s.text, str) else "" for s in batch]), strict=True
    ):
        outcome = sample.text.reason if isinstance(sample.text, Rejected) else filters.reject(sample.text)
        target, activation = sample.target, found.get(sample.target.feature, 0.0)
        if outcome is None:
            assert isinstance(sample.text, str)
            sample.target.tried.append((activation, sample.text))
            active = [t for t in targets if found.get(t.feature, 0.0) > t.threshold + MARGIN]
            waiting = [t for t in active if t.accepted < samples_per_feature]
            if waiting:
                # Its own feature first, else the one that it activates most in proportion to the threshold.
                target = max(waiting, key=lambda t: (t is sample.target, found[t.feature] / max(t.threshold, 1e-9)))
                activation = found[target.feature]
                target.accepted += 1
                filters.add(sample.text)
                accepted.append((sample, target, activation))
                outcome = VERIFIED
            else:
                outcome = "not needed" if sample.target in active else "feature not active"
        book.judge(sample.key, Verdict(target.feature, activation, outcome))
    return accepted


def _row(
    sample: _Sample, target: _Target, activation: float, space: str, generator: str, seed: int
) -> dict[str, object]:
    assert isinstance(sample.text, str)
    steering = sample.request.steering
    return {
        "text": sample.text,
        "synthetic_id": hashlib.sha256(f"{sample.key}{sample.text}".encode()).hexdigest()[:16],
        "target_feature": target.feature,
        "target_name": target.name,
        "target_part": "text",
        "target_activation": activation,
        "target_threshold": target.threshold,
        "method": _method(sample) + ("" if target is sample.target else f", made for feature {sample.target.feature}"),
        "attempt": sample.attempt,
        "generator": generator,
        "prompt_digest": sample.request.prompt_digest,
        "steering_strength": steering.strength if steering else 0.0,
        "seed": seed,
        "feature_space": space,
    }


def _describe_round(number: int, step: Round, batch: Sequence[_Sample], book: SampleJournal, reached: int) -> str:
    prompted = "contrastive pairs" if step.contrastive else "examples"
    steered = sum(sample.request.steering is not None for sample in batch)
    outcomes = Counter(book.verdicts[sample.key].outcome for sample in batch)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    steering = f", steered at {step.strength}" if steered else ""
    return f"round {number}, {prompted}{steering}: {len(batch)} samples: {counts}; {reached} features reached"


def _method(sample: _Sample) -> str:
    prompt = "contrastive pair" if sample.contrastive else "examples"
    return f"{prompt}, steered" if sample.request.steering else prompt


def measure(extractor: FeatureExtractor, rows: Sequence[Row]) -> list[dict[int, float]]:
    """The pooled activation of each positive feature of each row, before any cut-off."""
    peaks = extractor.peaks(rows)
    found: list[dict[int, float]] = [{} for _ in rows]
    for row, feature, value in zip(peaks.rows.tolist(), peaks.ids.tolist(), peaks.values.tolist(), strict=True):
        found[row][feature] = value
    return found


def _example_text(dataset: datasets.Dataset, reader: RowReader, span: dict[str, object]) -> str:
    """The row of a span, cut to what stands around its peak where it is long."""
    row = int(str(span["row"]))
    text = plain_text(reader.read(dataset[row : row + 1])[0])
    return example_of(text, max(text.find(str(span["text"])), 0))
