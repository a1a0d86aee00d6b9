"""Name the features of the embedded SAE, from text that may be shipped.

    python -m tests.benchmarks.name_features --features FOLDER --sae FOLDER

writes `names.parquet` beside the SAE's weights, and `names` into its `report.json`. The features are those that
`fac-datasets extract --threshold 0` found in texts of the training corpus (see `embedded_corpus.py`), of the kinds
whose sources permit it: opening sections of Wikipedia articles (CC BY-SA 4.0), and Python files and tasks (BSD and
MIT). Rows of other kinds are left out, and with them all harmful text. Excerpts are quoted from Wikipedia alone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fac_datasets.coverage.active_rows import Cutoffs, row_features
from fac_datasets.feature_space import FeatureSpace, dataset_space
from fac_datasets.files.atomic import write_atomically
from fac_datasets.interpretation.explain import explain
from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
from fac_datasets.interpretation.table import feature_table
from fac_datasets.rows.loading import load_rows
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.shipped_names import NAMES_FILE, SAE_DIGEST

KINDS = ("encyclopedia", "code")
"""Kinds of text whose sources permit that it is shipped."""
QUOTABLE = "encyclopedia"
"""The kind that excerpts are quoted from."""
BLANK = "a blank"
"""Name of what peaks at blanks alone, of which the explainer says that it cannot tell."""
LICENCE = "Wikipedia, CC BY-SA 4.0"
QUANTILE = "q90"
LARGEST = 2_000_000
"""Bytes of the file."""

SPAN = pa.struct([("text", pa.string()), ("start", pa.int32()), ("end", pa.int32())])
SCHEMA = pa.schema(
    [
        ("feature_id", pa.int32()),
        ("explanation", pa.string()),
        ("explainer", pa.string()),
        ("spans", pa.list_(SPAN)),
        ("lexical", pa.float32()),
        ("lexical_rows", pa.int32()),
    ]
)


def lexical_shares(rows: datasets.Dataset, space: FeatureSpace) -> dict[int, tuple[float, int]]:
    """Of each feature's activations above `q90`: the share whose token is the commonest one, and how many there are.

    Args:
        rows: `text` and feature columns, one activation a row and feature.
        space: of the columns.
    """
    cutoffs = Cutoffs(space, QUANTILE)
    tokens: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for batch in rows.with_format("arrow").iter(batch_size=500):
        features = row_features(batch)
        above = cutoffs.exceeded(features)
        of_rows = np.repeat(np.arange(len(features.lengths)), features.lengths)[above]
        texts = batch.column("text").to_pylist()
        starts, ends = (
            np.concatenate(batch.column(name).to_numpy(zero_copy_only=False))[above]
            for name in ("feature_starts", "feature_ends")
        )
        for row, feature, start, end in zip(of_rows, features.ids[above].tolist(), starts, ends, strict=True):
            tokens[feature]["".join(texts[row][start:end].split()).casefold()] += 1
    return {
        feature: (counts.most_common(1)[0][1] / counts.total(), counts.total()) for feature, counts in tokens.items()
    }


def names_table(rows: datasets.Dataset) -> datasets.Dataset:
    """Names of all features that the rows activate, as they ship.

    Args:
        rows: `text`, `kind`, and feature columns extracted at threshold 0.
    """
    space = dataset_space(rows)
    table = explain(feature_table(rows), TopTokensExplainer())
    lexical = lexical_shares(rows, space)
    kinds = rows["kind"]
    named = []
    for row in table:
        quotable = [span for span in row["spans"] + row["held_out_spans"] if kinds[span["row"]] == QUOTABLE]
        share, n_rows = lexical.get(row["feature_id"], (None, 0))
        named.append(
            {
                "feature_id": row["feature_id"],
                "explanation": row["explanation"] or BLANK,
                "explainer": row["explainer"],
                "spans": [{part: span[part] for part in ("text", "start", "end")} for span in quotable[:1]],
                "lexical": share,
                "lexical_rows": n_rows,
            }
        )
    return datasets.Dataset(datasets.table.InMemoryTable(pa.Table.from_pylist(named, SCHEMA)))


def main(features: list[str], sae_folder: Path) -> None:
    """Write the names and what is to be said of them."""
    rows = datasets.concatenate_datasets([load_rows(folder) for folder in features])
    kinds = np.array(rows["kind"])
    rows = rows.select(np.flatnonzero(np.isin(kinds, KINDS)))
    sae = find_sae(sae_folder)
    digest = dataset_space(rows).sae_digest
    if digest != sae.digest:
        raise SystemExit(
            f"the features are of the SAE {digest}, and {sae_folder} holds {sae.digest}; extract them anew"
        )
    names = names_table(rows)
    table = names.data.table.replace_schema_metadata({SAE_DIGEST: digest})
    sink = pa.BufferOutputStream()
    # Hardly a text is there twice, so that dictionaries only take room.
    pq.write_table(table, sink, compression="zstd", compression_level=19, use_dictionary=False)
    content = sink.getvalue().to_pybytes()
    if len(content) > LARGEST:
        raise SystemExit(f"the names take {len(content):,} bytes, and at most {LARGEST:,} ship")
    write_atomically(sae_folder / NAMES_FILE, content)
    lexical = np.array([share for share in names["lexical"] if share is not None])
    report = json.loads((sae_folder / "report.json").read_text())
    report["names"] = facts = {
        "features": sum(name is not None for name in names["explanation"]),
        "with_spans": sum(bool(spans) for spans in names["spans"]),
        "with_lexical": len(lexical),
        "lexical_median": float(np.median(lexical)),
        "rows": {kind: int((kinds == kind).sum()) for kind in KINDS},
        "tokens": int(sum(rows["feature_tokens"])),
        "spans_licence": LICENCE,
    }
    write_atomically(sae_folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    print(f"{NAMES_FILE}: {len(content):,} bytes; {facts}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", nargs="+", required=True)
    parser.add_argument("--sae", type=Path, required=True)
    arguments: Any = parser.parse_args()
    main(arguments.features, arguments.sae)
