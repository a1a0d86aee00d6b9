"""`fac-datasets synthesize`: samples for missing features, from a table and a report that one has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import Extraction, Generation, Out, Overwrite, Reading, Seed
from fac_datasets.cli.writing import Others, Writing

JOURNAL, RECORD, LOCK, FEATURES = "journal.jsonl", "run.json", ".lock", "feature_table"


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
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write samples for missing features; each is kept only where it is measured to activate one."""
    import json
    from contextlib import closing
    from importlib.metadata import version

    from filelock import FileLock, Timeout

    from fac_datasets.coverage.gap import Gap
    from fac_datasets.errors import OptionError, OutputError
    from fac_datasets.files.output_folder import TABLE, claim, write_table
    from fac_datasets.files.parquet_layout import write_tables
    from fac_datasets.generation.base import counts_in_words
    from fac_datasets.generation.journal import limit_together
    from fac_datasets.generation.local import LocalGenerator
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.rows.dataset_identity import content_fingerprint
    from fac_datasets.rows.loading import load_rows
    from fac_datasets.synthesis.bounds import most_asked
    from fac_datasets.synthesis.sample_journal import SampleJournal
    from fac_datasets.synthesis.sensitivity import with_sensitivity
    from fac_datasets.synthesis.synthesize import begin
    from fac_datasets.synthesis.synthesize import synthesize as write_samples
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
        "seed": seed,
    }
    claim(out, RECORD, identity, parts=("data", FEATURES, JOURNAL), kept=(LOCK,), overwrite=overwrite)
    language = options.pop("sample_language")
    # Chosen above, which can take long where they are planned.
    options["targets"] = [one.target for one in pursuits]
    try:
        with FileLock(out / LOCK, timeout=0), closing(SampleJournal(out / JOURNAL, generation.limits)) as journal:
            limit_together([journal])
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
                seed=seed,
                journal=journal,
                **options,
            )
            outcomes, ways = journal.outcomes(), journal.by_way()
            decoded, read = journal.decoded_tokens(), journal.prompt_tokens()
            told = with_sensitivity(features, journal.tries())
    except Timeout as error:
        raise OutputError(f"another process is at work in {out}; wait for it, or choose another folder") from error
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
