"""Publishing an augmented dataset: its tables, and a card from which a stranger can judge it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fac_datasets.coverage.names import reviewed_name
from fac_datasets.coverage.report import CoverageReport
from fac_datasets.coverage.shares import counted_by
from fac_datasets.errors import ColumnError, OptionError, PublishError
from fac_datasets.feature_space import dataset_space, require_same_but_threshold
from fac_datasets.files.parquet_layout import SHARD_BYTES, Tables, write_tables
from fac_datasets.publishing.commit import CARD, Content
from fac_datasets.publishing.dataset_card import CardFacts, LeakCheck, dataset_card
from fac_datasets.publishing.leaks import Leak, find_leaks_of_parts
from fac_datasets.publishing.merging import require_room
from fac_datasets.publishing.publication import Published, known_token, publish_files
from fac_datasets.publishing.secrets import Found, require_allowed, secrets_in_rows
from fac_datasets.publishing.target import HubTarget
from fac_datasets.rows.dataset_identity import content_fingerprint, source_columns
from fac_datasets.rows.reader import each_row_parts
from fac_datasets.rows.tables import require_columns
from fac_datasets.synthesis.augment import AugmentedDataset
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.provenance import ID

if TYPE_CHECKING:
    import datasets

REPORT = "report.json"


def publish(
    augmented: AugmentedDataset,
    target: str | HubTarget,
    report: Mapping[str, Any] | CoverageReport,
    *,
    after: CoverageReport | None = None,
    anchor: datasets.Dataset | None = None,
    allow_leaks: bool = False,
    drop_leaks: bool = False,
    allow_secrets: Collection[str] = (),
    reviewed: datasets.Dataset | None = None,
    features: datasets.Dataset | None = None,
    feature_table: datasets.Dataset | None = None,
    files: Mapping[str, str | Path] | None = None,
    card: str | None = None,
    license: str | list[str] | None = None,
    language: str | list[str] | None = None,
    task_categories: Sequence[str] = (),
    not_for_all_audiences: bool = False,
    column: str | None = None,
    dry_run: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> Published:
    """Publish an augmented dataset to the Hub, by one commit.

    Published again, it replaces its own files and its own part of the card; what else stands in the repository stays.
    Killed at any time and called again, it ends in the same state.

    Args:
        augmented: what `augment` returned.
        target: `owner/name`, made where there is none and private; or a HubTarget, which says more.
        report: coverage of the seed: what `coverage` returned, or the content of `report.json` of a run.
        after: coverage of the augmented dataset, where `report` does not tell it; measured with `missing_of=report`,
            it also says how much of what the seed was missing is reached.
        anchor: the anchor's rows, in which no synthetic row may stand verbatim or nearly so.
        allow_leaks: publish although synthetic rows stand in the anchor, or without looking; the card says so.
        drop_leaks: leave such rows out, of the provenance and of `features` too; report and card say that coverage was
            measured with them.
        allow_secrets: digests, as the error shows them, of what looks like a key and is none; the card lists them.
        reviewed: what `review.pull_samples` returned, for the card.
        features: rows of `train` with feature columns, in its order; published as config `features`.
        feature_table: published as a config of that name; it holds excerpts of the anchor. Its names go on the card.
        files: other files by path in the repository, such as plots and journals; pictures are shown on the card.
        card: text of a card to start from where the repository has none.
        license: Hub identifier; by default that of the report, or of the seed's `info`.
        language: codes; by default that of the report.
        task_categories: such as `["text-generation"]`.
        not_for_all_audiences: tag the dataset so, as one that is harmful by intent; also done where the report says so.
        column: of texts or chats; by default the one known name that is present.
        dry_run: send no request; what is returned says what would be published.
        shard_bytes: most bytes of rows in a parquet file.

    Raises:
        OptionError: no licence is known, the anchor is missing or another than the report's, leaks are to be both
            allowed and dropped, or `after` counts otherwise than the report.
        ColumnError: `features` are not of the rows of `train`, or `feature_table` is none.
        FeatureSpaceMismatch: they are of another feature space than the report.
        PublishError: synthetic rows stand in the anchor; something looks like a key; the Hub refuses, cannot be
            reached, or holds somebody else's newer commit.

    Example:
        >>> augmented = augment(seed, synthetic)
        >>> planned = publish(augmented, "me/data", report, anchor=anchor, license="cc-by-4.0", dry_run=True)
        >>> sorted(planned.files)[1:3]
        ['README.md', 'data/seed-00000-of-00001.parquet']
    """
    where = HubTarget.of(target)
    known: Mapping[str, Any] = report.to_dict() if isinstance(report, CoverageReport) else report
    if after is not None and counted_by(after.to_dict()) != counted_by(known):
        raise OptionError(
            f"report is of FAC{counted_by(known)} and after of FAC{counted_by(after.to_dict())}, which do not compare; "
            f"measure both with the same count="
        )
    settings = known.get("settings") or {}
    column = column or settings.get("column")
    inherited = {} if license else {name: settings.get(name) for name in ("license_name", "license_link")}
    given = license or settings.get("license") or augmented.dataset["seed"].info.license or None
    if given is None:
        raise OptionError(
            "no licence is known of the seed, and without one nobody may use the dataset: say which it is (license=, "
            "--license), as a Hub identifier such as 'cc-by-4.0', or 'unknown'"
        )
    if allow_leaks and drop_leaks:
        raise OptionError(
            "leaks are either allowed (allow_leaks=True, --allow-leaks) or dropped; leave out one of them"
        )
    leaks, found = _leaks(
        augmented, known, anchor, column, settings.get("anchor_column") or column, allowed=allow_leaks
    )
    extra = _extra_tables(augmented, str(known["feature_space"]), features, feature_table)
    if leaks is not None and drop_leaks:
        ids = augmented.dataset["synthetic"]["synthetic_id"]
        leaking = {ids[leak.row] for leak in found}
        if "features" in extra:
            kept = [row for row, id in enumerate(augmented.dataset["train"]["synthetic_id"]) if id not in leaking]
            extra["features"] = {"train": extra["features"]["train"].select(kept)}
        augmented = augmented.without(leaking)
        leaks = LeakCheck(0, leaks.seed_rows, len(leaking))
        known = {**known, "leaks_dropped": len(leaking)}
    elif not allow_leaks:
        _require_no_leaks(found, augmented.dataset["synthetic"]["synthetic_id"])
    tables: Tables = {**augmented.tables(), **extra}
    in_rows = _allowed_keys(tables, allow_secrets, known_token(where, dry_run))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        header = _written(tables, folder, shard_bytes)
        contents: dict[str, Content] = {
            path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
        }
        looked_through = [*contents]
        contents[REPORT] = _as_json(known)
        others = {name: _other_file(name, path, contents) for name, path in (files or {}).items()}
        contents |= others
        facts = CardFacts(
            license=given,
            license_name=inherited.get("license_name"),
            license_link=inherited.get("license_link"),
            language=language or settings.get("language"),
            task_categories=task_categories,
            not_for_all_audiences=not_for_all_audiences or bool(settings.get("not_for_all_audiences")),
            kind=_kind(augmented, settings, column),
            leaks=leaks,
            review=None if reviewed is None else _summary(reviewed),
            n_not_accepted=0 if reviewed is None else _not_accepted(augmented, reviewed),
            names=_names(known, feature_table),
            extra_rows={config: len(splits["train"]) for config, splits in extra.items()},
            plots=[name for name in others if name.endswith((".png", ".jpg", ".svg"))],
        )
        return publish_files(
            where,
            "dataset",
            contents,
            dataset_card(known, augmented, header, facts, after=after),
            title=f"Publish {len(augmented.dataset['train']):,} rows with fac-datasets",
            card_to_keep=card,
            computed=_asked(license=license, language=language, task_categories=task_categories),
            has_room=require_room,
            allow_secrets=allow_secrets,
            in_rows=in_rows,
            looked_through=looked_through,
            dry_run=dry_run,
        )


def _leaks(
    augmented: AugmentedDataset,
    report: Mapping[str, Any],
    anchor: datasets.Dataset | None,
    column: str | None,
    anchor_column: str | None,
    *,
    allowed: bool,
) -> tuple[LeakCheck | None, list[Leak]]:
    """How much of the dataset stands in the anchor, and which synthetic rows do; nothing where nobody looked.

    Raises:
        OptionError: there is no anchor to look in, and that is not allowed; or it is another than the report's.
    """
    synthetic = augmented.dataset["synthetic"]
    if anchor is None:
        if allowed or not len(synthetic):
            return None, []
        raise OptionError(
            "synthetic rows must not stand in the anchor: pass it (anchor=, --anchor), or publish without looking "
            "(allow_leaks=True, --allow-leaks)"
        )
    expected = (report.get("given") or {}).get("anchor") or report.get("anchor") or {}
    fingerprint = content_fingerprint(anchor)
    if expected.get("fingerprint") not in (None, fingerprint):
        raise OptionError(
            f"this anchor has the fingerprint {fingerprint}, but the report was made with {expected.get('id')}, whose "
            f"fingerprint is {expected['fingerprint']}"
        )
    in_anchor = anchor_column if anchor_column in anchor.column_names else None
    parts = list(each_row_parts(synthetic, column)) if len(synthetic) else []
    found = find_leaks_of_parts(parts, each_row_parts(anchor, in_anchor))
    # Digests, since the texts of an anchor need not fit into memory.
    known = {_digest(row) for row in each_row_parts(anchor, in_anchor)}
    shared = sum(_digest(row) in known for row in each_row_parts(augmented.dataset["seed"], column))
    return LeakCheck(len(found), shared), found


def _digest(parts: Sequence[str]) -> bytes:
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).digest()


def _kind(augmented: AugmentedDataset, settings: Mapping[str, Any], column: str | None) -> DataKind | None:
    """The kind of data that the rows are of; None of schemas that a caller joined by hand."""
    rows = augmented.dataset["seed"].remove_columns(ID)
    try:
        return recognise(rows, settings.get("kind"), column=column, label_column=settings.get("label_column"))
    except ColumnError:
        return None


def _require_no_leaks(found: Sequence[Leak], synthetic_ids: Sequence[str]) -> None:
    """Raise PublishError, naming every row, where synthetic rows stand in the anchor."""
    if found:
        counted = (
            "a synthetic row stands in the anchor, or holds a row of it"
            if len(found) == 1
            else f"{len(found)} synthetic rows stand in the anchor, or hold a row of it"
        )
        listed = "; ".join(
            f"row {leak.row} ({synthetic_ids[leak.row]}) shares {leak.share:.0%} with anchor row {leak.anchor_row}"
            for leak in found
        )
        raise PublishError(
            f"{counted}, verbatim or nearly so; what is "
            f"trained on them would be measured on what it has seen. Leave them out (drop_leaks=True, "
            f"--drop-leaks), or allow them (allow_leaks=True, --allow-leaks): {listed}"
        )


def _extra_tables(
    augmented: AugmentedDataset,
    feature_space: str,
    features: datasets.Dataset | None,
    feature_table: datasets.Dataset | None,
) -> dict[str, dict[str, datasets.Dataset]]:
    """The optional configs."""
    extra: dict[str, dict[str, datasets.Dataset]] = {}
    if features is not None:
        train = augmented.dataset["train"]
        own = source_columns(features)
        shared = [name for name in own if name in train.column_names and name != "synthetic_id"]
        same = shared and content_fingerprint(features.select_columns(shared)) == content_fingerprint(
            train.select_columns(shared)
        )
        if not same:
            raise ColumnError(
                f"the features are of {len(features):,} rows that are not the {len(train):,} rows of 'train' in their "
                f"order; extract them from that split"
            )
        require_same_but_threshold(dataset_space(features), feature_space)
        extra["features"] = {"train": features.remove_columns(own)}
    if feature_table is not None:
        require_columns(feature_table, "feature_id", "feature_space", "spans")
        if not len(feature_table):
            raise ColumnError("the feature table has no rows; leave it out")
        require_same_but_threshold(feature_table[0]["feature_space"], feature_space)
        extra["feature_table"] = {"train": feature_table}
    return extra


def _allowed_keys(tables: Tables, allowed: Collection[str], own: str | None) -> list[Found]:
    """What looks like a key in the rows and is let through; raises where something else does."""
    found: list[Found] = []
    for config, splits in tables.items():
        for split, rows in splits.items():
            # The rows of `train` are those of the two others.
            if (config, split) != ("default", "train"):
                found += secrets_in_rows(rows, f"config {config!r}, split {split!r}", own)
    return require_allowed(found, allowed)


def _written(tables: Tables, folder: Path, shard_bytes: int) -> dict[str, Any]:
    """Write the tables; what the header says of them."""
    try:
        return write_tables(tables, folder, shard_bytes=shard_bytes)
    except OSError as error:
        raise PublishError(
            f"the files to publish cannot be written to {folder}: {error}; make room, or name another folder by TMPDIR"
        ) from error


def _names(report: Mapping[str, Any], table: datasets.Dataset | None) -> dict[int, str]:
    """Names of features: those of the run's targets, and those of the table."""
    targets = (report.get("targets") or {}).get("names") or {}
    names: dict[int, str | None] = {int(feature): name for feature, name in targets.items()}
    if table is not None and "explanation" in table.column_names:
        names |= {row["feature_id"]: reviewed_name(row) for row in table}
    return {feature: name for feature, name in names.items() if name}


def _summary(reviewed: datasets.Dataset) -> Any:
    from fac_datasets.review import summary

    return summary(reviewed)


def _not_accepted(augmented: AugmentedDataset, reviewed: datasets.Dataset) -> int:
    """Published rows that reviewers dropped or have not decided on."""
    accepted = {
        row["synthetic_id"] for row in reviewed.select_columns(["synthetic_id", "accepted"]) if row["accepted"] is True
    }
    return sum(identifier not in accepted for identifier in augmented.dataset["synthetic"]["synthetic_id"])


def _other_file(name: str, path: str | Path, taken: Collection[str]) -> Path:
    """A file to publish beside the tables."""
    parts = PurePosixPath(name).parts
    if name in (*taken, CARD) or not parts or parts[0] == "/" or {"..", "."} & {*parts} or name.startswith("."):
        raise OptionError(f"files={name!r} is no place for a file of its own in the repository; choose another name")
    if not Path(path).is_file():
        raise OptionError(f"there is no file {path} to publish")
    return Path(path)


def _as_json(report: Mapping[str, Any]) -> bytes:
    return (json.dumps(report, indent=2) + "\n").encode()


def _asked(**fields: Any) -> list[str]:
    """Fields of the header that were asked for, and those that say what is there now."""
    return [*(name for name, value in fields.items() if value), "size_categories", "source_datasets"]
