"""`fac-datasets synthesize`: samples for missing features, from a table and a report that one has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import Extraction, Generation, Out, Overwrite, Reading, Seed
from fac_datasets.cli.writing import Others, Writing

JOURNAL, UNGUIDED, RECORD, LOCK, FEATURES = "journal.jsonl", "unguided.jsonl", "run.json", ".lock", "feature_table"


@grouped
def synthesize(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Feature table with spans: a folder, or of the Hub.")],
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="What is missing: the file of coverage --json.")],
    out: Out,
    extraction: Extraction,
    reading: Reading,
    writing: Writing,
    generation: Generation,
    others: Others,
    schema_of: Annotated[
        str | None, typer.Option(metavar="DATA", help="Dataset whose columns samples get, usually the seed.")
    ] = None,
    examples: Annotated[
        str | None, typer.Option(metavar="DATA", help="Rows that the table's spans are of, usually the anchor.")
    ] = None,
    fluency: Annotated[
        bool, typer.Option("--fluency", help="Reject what 95 % of 32 unguided samples are likelier than; for guided.")
    ] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write samples for missing features; each is kept only where it is measured to activate one."""
    import json
    from contextlib import closing
    from importlib.metadata import version

    from fac_datasets.coverage.gap import Gap
    from fac_datasets.errors import OptionError
    from fac_datasets.files.output_folder import TABLE, alone_in, claim, write_table
    from fac_datasets.files.parquet_layout import write_tables
    from fac_datasets.generation.base import counts_in_words
    from fac_datasets.generation.journal import limit_together
    from fac_datasets.generation.local import LocalGenerator
    from fac_datasets.progress import progress_said
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.rows.dataset_identity import content_fingerprint
    from fac_datasets.rows.loading import load_rows
    from fac_datasets.rows.reader import row_texts
    from fac_datasets.synthesis.bounds import most_asked
    from fac_datasets.synthesis.fluency import CALIBRATION_SAMPLES, calibrated, likelihood_under
    from fac_datasets.synthesis.sample_journal import SampleJournal
    from fac_datasets.synthesis.sensitivity import with_sensitivity
    from fac_datasets.synthesis.showing import Shelf
    from fac_datasets.synthesis.synthesize import begin
    from fac_datasets.synthesis.synthesize import synthesize as write_samples
    from fac_datasets.synthesis.unguided import synthesize_unguided
    from fac_datasets.synthesis.verifier import Verifier

    require_present(table, schema_of, examples)
    try:
        gap = Gap.of(json.loads(report.read_text()))
    except (OSError, ValueError) as error:
        raise OptionError(f"the report {report} cannot be read: {error}; give the file of coverage --json") from error
    features = load_rows(table)
    columns = None if schema_of is None else reading.load(schema_of)
    shown = None if examples is None else load_rows(examples)
    extractor = extraction.extractor(reading.column)
    device = extraction.device
    generator = generation.generator(device) or LocalGenerator(
        extraction.backbone, device=device, dtype=extraction.dtype
    )
    responder, verifier = others.responder(device), others.verifier(device)
    options = writing.settings()
    # Before the folder is claimed: whatever is wrong with what is given shows here.
    kind, _, pursuits = begin(
        gap,
        features,
        extractor=extractor,
        schema_of=columns,
        column=reading.column,
        examples=shown,
        seed=seed,
        **{name: options[name] for name in ("kind", "label_column", "targets", "max_features", "max_new_tokens")},
    )
    rows_shown = Shelf(kind, None, columns if columns is not None else shown, random=seed).seed_rows if fluency else []
    if fluency and not rows_shown:
        raise OptionError("--fluency shows rows as examples, and there are none; give --schema-of or --examples")
    plan = most_asked(
        pursuits,
        kind,
        generator,
        generation.limits,
        responder=responder is not None,
        verifier=verifier is not None,
        **{name: options[name] for name in ("methods", "prompts", "samples_per_feature", "max_attempts")},
        max_new_tokens=options["max_new_tokens"],
        answer_tokens=others.answer_tokens,
        calibration=CALIBRATION_SAMPLES if fluency else 0,
    )
    if generation.dry_run:
        print(f"{generator.name}: at most {plan}")
        return
    effort = ("max_features", "max_attempts", "max_samples")
    identity = {
        "command": "synthesize",
        "version": version("fac-datasets"),
        "features": content_fingerprint(features),
        "missing": [gap.missing_by_anchor_rows.tolist(), gap.threshold, gap.feature_space],
        "rows": [None if rows is None else content_fingerprint(rows) for rows in (columns, shown)],
        "writers": [None if one is None else one.key for one in (generator, responder, verifier)],
        "options": {name: value for name, value in options.items() if name not in effort},
        "answer_tokens": others.answer_tokens,
        "fluency": fluency,
        "seed": seed,
    }
    parts = ("data", FEATURES, JOURNAL, UNGUIDED)
    claimed = claim(out, RECORD, identity, parts=parts, kept=(LOCK,), overwrite=overwrite)
    language = options.pop("sample_language")
    # Chosen above, which can take long where they are planned.
    options["targets"] = [one.target for one in pursuits]
    with (
        alone_in(out, RECORD, claimed=claimed, lock=LOCK, parts=parts, dear=(JOURNAL, UNGUIDED)),
        closing(SampleJournal(out / JOURNAL, generation.limits)) as journal,
        closing(SampleJournal(out / UNGUIDED if fluency else None, generation.limits)) as unguided,
        progress_said(print),
    ):
        limit_together([journal, unguided])
        fluent = None
        if fluency and pursuits:
            known = [text for rows in (columns, shown) if rows is not None for text in row_texts(rows, reading.column)]
            plain = synthesize_unguided(
                kind,
                rows_shown,
                known=known,
                most=CALIBRATION_SAMPLES,
                extractor=extractor,
                generator=generator,
                seed=seed,
                journal=unguided,
                **{name: options[name] for name in ("prompts", "max_new_tokens", "temperature")},
            )
            nll = likelihood_under(
                extractor.feature_space, extraction.backbone, generator, device=device, dtype=extraction.dtype
            )
            fluent = calibrated(nll, kind, plain)
        found = write_samples(
            gap,
            features,
            extractor=extractor,
            generator=generator,
            schema_of=columns,
            column=reading.column,
            examples=shown,
            responder=responder,
            verifier=None
            if verifier is None
            else Verifier(verifier, journal, options["prompts"], answer_tokens=others.answer_tokens),
            language=language,
            fluency=fluent,
            seed=seed,
            journal=journal,
            **options,
        )
        outcomes, ways = journal.outcomes(), journal.by_way()
        decoded, read = (
            journal.decoded_tokens() + unguided.decoded_tokens(),
            journal.prompt_tokens() + unguided.prompt_tokens(),
        )
        told = with_sensitivity(features, journal.tries())
    write_tables({"feature_table": {"train": told}}, out)
    write_table(out, found)
    reached = len(set(found["target_feature"]))
    if not len(gap.missing):
        print("no feature is missing, so there is nothing to synthesize")
    print(
        f"{out / TABLE}: {len(found):,} samples for {reached:,} features; {decoded:,} tokens decoded and {read:,} of "
        f"prompts; {counts_in_words(outcomes)}"
    )
    for way, tally in ways.items():
        print(f"{way}: {tally}")
