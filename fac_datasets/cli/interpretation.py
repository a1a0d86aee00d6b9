"""`fac-datasets table`, `explain`, `relevance`, `score`: from feature columns to named and judged features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fac_datasets.cli.given import Given, identity_of
from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import (
    AnswerTokens,
    Device,
    Extraction,
    Generation,
    Out,
    Overwrite,
    Reading,
    Seed,
    kept_report,
    with_features,
)
from fac_datasets.cli.plans import say_plan
from fac_datasets.rows.tables import without_prefix

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.generation.journal import Journal, Limits

RECORD, JOURNAL, ABLATION, LOCK = "table.json", "journal.jsonl", "ablation.jsonl", ".lock"
PART = ".part"
"""Stands in the folder while its table is one that a limit stopped."""

Table = Annotated[str, typer.Argument(metavar="TABLE", help="Feature table: a folder of one of these commands.")]


@grouped
def table(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Dataset: a file, a folder or a Hub id.")],
    out: Out,
    extraction: Extraction,
    reading: Reading,
    top: Annotated[int, typer.Option(help="Strongest spans shown of a feature.")] = 10,
    span_tokens: Annotated[int, typer.Option(help="Tokens of a span.")] = 10,
    report: Annotated[
        Path | None,
        typer.Option(help="Of coverage --json, or report.json of a run: only the features that it says are missing."),
    ] = None,
    max_features: Annotated[
        int | None, typer.Option(min=1, help="Only so many of them, those that most anchor rows activate.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make a feature table: where each feature fires; columns of an extraction at threshold 0 are used if there."""
    from fac_datasets.coverage.gap import Gap
    from fac_datasets.errors import OptionError
    from fac_datasets.feature_space import require_same_but_threshold
    from fac_datasets.interpretation.table import feature_table
    from fac_datasets.rows.data_files import require_present

    if max_features is not None and report is None:
        raise OptionError(f"--max-features {max_features} counts the features of a report: give --report")
    require_present(data)
    gap = None if report is None else Gap.of(kept_report(report, "--report"))
    extractor = extraction.extractor(reading.column)
    rows = reading.load(data)
    if gap is not None:
        require_same_but_threshold(gap.feature_space, Given(data, reading, None).space(rows, extractor))
    wanted = None if gap is None else gap.missing_by_anchor_rows[:max_features].tolist()
    identity = {
        "rows": identity_of(rows, extractor),
        "options": [top, span_tokens, reading.column, seed],
        **({"missing": gap.missing_by_anchor_rows.tolist()} if gap else {}),
    }

    def make(_journal: Journal) -> datasets.Dataset:
        extracted = with_features(rows, extractor)
        return feature_table(
            extracted, top=top, span_tokens=span_tokens, features=wanted, column=reading.column, seed=seed
        )

    def in_words(found: datasets.Dataset) -> str:
        return f"{len(found):,} features, {sum(map(len, found['spans'])):,} spans"

    # What --max-features left out is made where it is raised.
    _finish(
        out, "table", identity, make, in_words, overwrite,
        is_whole=lambda found: {*(wanted or ())} <= {*found["feature_id"]},
    )  # fmt: skip


@grouped
def explain(
    table_name: Table,
    out: Out,
    generation: Generation,
    explainer: Annotated[
        str | None, typer.Option(help="Who finds the names; default: llm where a model is named, else top_tokens.")
    ] = None,
    answer_tokens: AnswerTokens = 256,
    device: Device = None,
    overwrite: Overwrite = False,
) -> None:
    """Name each feature: by its peak tokens, or by a model (--model, --endpoint, --provider) that checks itself."""
    from fac_datasets.errors import OptionError
    from fac_datasets.interpretation.explain import explain as name_features
    from fac_datasets.interpretation.explain import naming_requests, verification_requests, verify_explanations
    from fac_datasets.interpretation.explainers import EXPLAINERS

    source = _rows(table_name)
    generator = generation.generator(device)
    chosen = explainer or ("top_tokens" if generator is None else "llm")
    if chosen not in EXPLAINERS:
        raise OptionError(f"--explainer {chosen} is not known; known: {', '.join(EXPLAINERS)}")
    kind = EXPLAINERS[chosen]
    if kind.asks and generator is None:
        raise OptionError(f"--explainer {chosen} needs a model: give --model, --endpoint or --provider")
    if generation.dry_run:
        say_plan(
            generator,
            out / JOURNAL,
            generation.limits,
            answer_tokens,
            lambda judge, journal: (
                naming_requests(source, judge, journal, answer_tokens=answer_tokens)
                if kind.asks
                else verification_requests(name_features(source, kind.made(judge, journal, answer_tokens)))
            ),
        )
        return

    def make(journal: Journal) -> datasets.Dataset:
        named = name_features(source, kind.made(generator, journal, answer_tokens))
        if generator is None:
            return named
        return verify_explanations(named, generator, journal, answer_tokens=answer_tokens)

    identity = {
        "table": identity_of_table(source),
        "generator": generator.key if generator else None,
        **({"explainer": explainer} if explainer else {}),
        **_other_answers(answer_tokens),
    }

    def in_words(found: datasets.Dataset) -> str:
        named = sum(bool(name) for name in found["explanation"])
        return f"{named:,} of {len(found):,} features have a name; fits: {_counts(found['fits'])}"

    _finish(out, "explain", identity, make, in_words, overwrite, generation.limits)


@grouped
def relevance(
    table_name: Table,
    out: Out,
    extraction: Extraction,
    reading: Reading,
    generation: Generation,
    guideline: Annotated[str | None, typer.Option(help="Name of a guideline, or a file; needs a model.")] = None,
    contrast: Annotated[str | None, typer.Option(metavar="DATA", help="Labelled rows, or rows of the task.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of --contrast that holds the labels.")] = None,
    label: Annotated[str, typer.Option(help="Label of the task's rows.")] = "1",
    background: Annotated[
        str | None, typer.Option(metavar="DATA", help="Other rows, where there are no labels.")
    ] = None,
    background_column: Annotated[str | None, typer.Option(help="Of --background; default: that of --column.")] = None,
    background_split: Annotated[str | None, typer.Option(help="Of --background; default: that of --split.")] = None,
    measure: Annotated[str, typer.Option(help="Of the contrast: auroc or log_odds.")] = "auroc",
    alpha: Annotated[float, typer.Option(help="False discovery rate of the contrast.")] = 0.05,
    effect: Annotated[str | None, typer.Option(metavar="DATA", help="Rows on which to ablate candidates.")] = None,
    question: Annotated[
        str | None, typer.Option(help="Asked behind each row; its answers Yes and No are compared.")
    ] = None,
    most: Annotated[int, typer.Option(help="Candidates ablated.")] = 50,
    answer_tokens: AnswerTokens = 256,
    overwrite: Overwrite = False,
) -> None:
    """Judge which features matter for a task: by a guideline, by contrast, by ablation, or by several of them.

    Names that were never verified, such as those from peak tokens, are verified before the guideline is asked about.
    """
    from fac_datasets.coverage.relevant import relevant_features
    from fac_datasets.errors import OptionError
    from fac_datasets.interpretation.ablation import Question, ablation_relevance
    from fac_datasets.interpretation.contrast import contrast_relevance, split_by_label
    from fac_datasets.interpretation.explain import unverified, verification_requests, verify_explanations
    from fac_datasets.interpretation.relevance import Guideline, judge_relevance, relevance_requests
    from fac_datasets.rows.data_files import require_present

    generator = generation.generator(extraction.device)
    if not (guideline or contrast or effect):
        raise OptionError("nothing to judge by: give --guideline, --contrast or --effect, or several of them")
    if guideline and generator is None:
        raise OptionError("--guideline needs a model that judges: give --model, --endpoint or --provider")
    if contrast and (label_column is None) == (background is None):
        raise OptionError("--contrast needs either --label-column or --background")
    if question and label_column is None:
        raise OptionError("--question needs --label-column, which says what the right answer is")
    require_present(table_name, contrast, background, effect)
    source = _rows(table_name)
    rules = Guideline.load(guideline) if guideline else None
    if generation.dry_run:
        verification = verification_requests(source) if rules and unverified(source) else []
        judgement = relevance_requests(source, rules) if rules else []
        questions = [*verification, *judgement]
        say_plan(generator, out / JOURNAL, generation.limits, answer_tokens, lambda _judge, _journal: questions)
        return
    extractor = extraction.extractor(reading.column)
    readings = {
        "contrast": reading,
        "background": Reading(background_column or reading.column, background_split or reading.split),
        "effect": reading,
    }
    named = {"contrast": contrast, "background": background, "effect": effect}
    given = {name: readings[name].load(data) for name, data in named.items() if data}

    def extractor_of(name: str) -> FeatureExtractor:
        # One extractor, and so one model, reads all of them.
        extractor.column = readings[name].column
        return extractor

    def make(journal: Journal) -> datasets.Dataset:
        found = source
        # What costs nothing comes first, so that what is wrong with it costs nothing either; ablation comes last, for
        # its candidates are those of the others.
        if contrast:
            rows = {}
            for name in [name for name in given if name != "effect"]:
                extracted = with_features(given[name], extractor_of(name))
                rows[name] = without_prefix(extracted, extractor.prefix(given[name].features))
            sides = (
                split_by_label(rows["contrast"], label_column, label)
                if label_column
                else (rows["contrast"], rows["background"])
            )
            found = contrast_relevance(found, *sides, measure=measure, alpha=alpha)
        if rules and generator:
            if unverified(found):
                found = verify_explanations(found, generator, journal, answer_tokens=answer_tokens)
            found = judge_relevance(found, rules, generator, journal, answer_tokens=answer_tokens)
        # A part of the verdicts gives other candidates than all of them.
        if effect and journal.limit_reached is None:
            asked = Question(question, label_column, label) if question and label_column else None
            found = ablation_relevance(
                found,
                given["effect"],
                extractor_of("effect"),
                question=asked,
                most=most,
                column=reading.column,
                journal=out / ABLATION,
            )
        return found

    identity = {
        "table": identity_of_table(source),
        "generator": generator.key if generator else None,
        "guideline": [rules.name, rules.text] if rules else None,
        "rows": {name: identity_of(rows, extractor_of(name)) for name, rows in given.items()},
        "options": [label_column, label, measure, alpha, question, most, *(each.column for each in readings.values())],
        **_other_answers(answer_tokens),
    }

    def in_words(found: datasets.Dataset) -> str:
        verdicts = f"; by the guideline: {_counts(found['relevant'])}" if rules else ""
        kinds = _counts([kind for kinds in found["evidence"] for kind in kinds])
        relevant = len(relevant_features(found))
        return f"{relevant:,} of {len(found):,} features are relevant; evidence: {kinds}{verdicts}"

    _finish(out, "relevance", identity, make, in_words, overwrite, generation.limits)


@grouped
def score(
    table_name: Table,
    out: Out,
    extraction: Extraction,
    reading: Reading,
    generation: Generation,
    held_out: Annotated[
        str | None, typer.Option(metavar="DATA", help="Rows to score on; default: held-out spans.")
    ] = None,
    embedding_model: Annotated[str | None, typer.Option(help="Ranks spans by embedding instead of by words.")] = None,
    answer_tokens: AnswerTokens = 256,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Score each name on spans that it was not made from: AUROC, and with a model detection and fuzzing."""
    from fac_datasets.interpretation.scoring import KINDS, held_out_spans, score_explanations, scoring_questions
    from fac_datasets.rows.data_files import require_present

    require_present(table_name, held_out)
    source = _rows(table_name)
    generator = generation.generator(extraction.device)
    extractor = extraction.extractor(reading.column)
    rows = reading.load(held_out) if held_out else None
    if generation.dry_run:
        tested = source if rows is None else held_out_spans(source, with_features(rows, extractor), reading.column)
        asked = [scoring_questions(source["explanation"], tested, kind, seed) for kind in KINDS]
        questions = [question.request for kind in asked for question in kind]
        say_plan(generator, out / JOURNAL, generation.limits, answer_tokens, lambda _judge, _journal: questions)
        return

    def make(journal: Journal) -> datasets.Dataset:
        return score_explanations(
            source,
            None if rows is None else with_features(rows, extractor),
            generator=generator,
            embedding_model=embedding_model,
            column=reading.column,
            seed=seed,
            journal=journal,
            answer_tokens=answer_tokens,
        )

    identity = {
        "table": identity_of_table(source),
        "generator": generator.key if generator else None,
        "rows": None if rows is None else identity_of(rows, extractor),
        "options": [embedding_model, reading.column, seed],
        **_other_answers(answer_tokens),
    }

    def in_words(found: datasets.Dataset) -> str:
        scores = [name for name in ("auroc", *KINDS) if name in found.column_names]
        return f"median {', '.join(f'{name} {_median(found[name])}' for name in scores)}"

    _finish(out, "score", identity, make, in_words, overwrite, generation.limits)


def _rows(name: str) -> datasets.Dataset:
    from fac_datasets.rows.loading import load_rows

    return load_rows(name)


def _other_answers(answer_tokens: int) -> dict[str, int]:
    """What the length of answers decides, where it is not the usual one."""
    from fac_datasets.interpretation.questions import ANSWER_TOKENS

    return {} if answer_tokens == ANSWER_TOKENS else {"answer_tokens": answer_tokens}


def identity_of_table(table: datasets.Dataset) -> list[str]:
    """What decides what is made of a feature table: its content, and the spaces of its features."""
    from fac_datasets.rows.dataset_identity import content_fingerprint

    spaces = set(table["feature_space"]) if "feature_space" in table.column_names else set()
    return [content_fingerprint(table), *sorted(map(str, spaces))]


def _finish(
    out: Path,
    command: str,
    identity: dict[str, Any],
    make: Callable[[Journal], datasets.Dataset],
    in_words: Callable[[datasets.Dataset], str],
    overwrite: bool,
    limits: Limits | None = None,
    is_whole: Callable[[datasets.Dataset], bool] = lambda _found: True,
) -> None:
    """Make a table in a folder, or read it where it is finished, and say what it holds.

    Args:
        out: the folder.
        command: makes it.
        identity: what decides the table, without limits.
        make: makes it.
        in_words: says what it holds.
        overwrite: whether another table may be replaced.
        limits: of what may be asked; one that is reached leaves a part of the table, with which the same command goes
            on.
        is_whole: whether a finished table holds all that is wanted now.

    Raises:
        LimitReached: the table is a part.
    """
    from contextlib import closing
    from importlib.metadata import version

    from filelock import FileLock, Timeout

    from fac_datasets.errors import FacDatasetsError, GenerationError, LimitReached, OutputError
    from fac_datasets.files.output_folder import TABLE, claim, kept_table, write_table
    from fac_datasets.generation.journal import Journal

    identity = {"command": command, "version": version("fac-datasets"), **identity}
    # Answers belong to their questions, not to a run: what was paid for serves the next one too.
    kept = (JOURNAL, ABLATION, LOCK)
    claimed = claim(out, RECORD, identity, parts=("data", PART), kept=kept, overwrite=overwrite)
    if (out / TABLE).exists() and not (out / PART).exists():
        found = kept_table(out)
        if is_whole(found):
            print(f"{out} holds this finished run\n{out}: {in_words(found)}")
            return
    try:
        with (
            FileLock(out / LOCK, timeout=0),
            closing(Journal(out / JOURNAL, limits, takes_part=True)) as journal,
        ):
            found = make(journal)
            if journal.limit_reached is not None:
                (out / PART).touch()
            write_table(out, found)
            if journal.limit_reached is None:
                (out / PART).unlink(missing_ok=True)
    except Timeout as error:
        raise OutputError(f"another process is at work in {out}; wait for it, or choose another folder") from error
    except (OutputError, GenerationError):
        raise
    except FacDatasetsError:
        if claimed:
            _give_up(out)
        raise
    if journal.limit_reached is not None:
        raise LimitReached(f"{out} holds a part: {in_words(found)}; {journal.limit_reached}")
    print(f"{out}: {in_words(found)}")


def _give_up(out: Path) -> None:
    """Leave nothing behind but answers: with other options the run may succeed."""
    for name in (LOCK, JOURNAL, ABLATION):
        if (out / name).exists() and not (out / name).stat().st_size:
            (out / name).unlink()
    (out / RECORD).unlink()
    if not any(out.iterdir()):
        out.rmdir()


def _counts(values: Sequence[str | None]) -> str:
    from collections import Counter

    counts = Counter(value for value in values if value is not None)
    return ", ".join(f"{count:,} {value}" for value, count in counts.most_common()) or "none"


def _median(values: Sequence[float | None]) -> str:
    import statistics

    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.3f} of {len(known):,}" if known else "of none"
