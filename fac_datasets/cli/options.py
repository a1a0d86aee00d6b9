"""Options that several commands share, alone or in groups."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fac_datasets.errors import OptionError, OutputError
from fac_datasets.files.credentials import without_credentials
from fac_datasets.rows.data_files import short_name

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.generation.base import TextGenerator
    from fac_datasets.generation.journal import Limits
    from fac_datasets.publishing.target import HubTarget


def _folder_to_write(out: Path) -> Path:
    """An output folder that can be made, said before anything is loaded."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise OutputError(f"--out {out} cannot be made: {there} is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"--out {out} cannot be made: {there} cannot be written; name another folder")
    return out


def _file_to_write(path: Path | None) -> Path | None:
    """An output file that can be made."""
    if path is not None:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file to write")
        _folder_to_write(path.absolute().parent)
    return path


def _device_of_this_machine(context: typer.Context, name: str | None) -> str | None:
    # Actors of Ray may run on machines with other devices.
    if name is not None and context.params.get("engine") != "ray":
        from fac_datasets.backbone.pretrained import torch_device

        torch_device(name)
    return name


def _with_line_ends(column: str | None) -> str | None:
    """A column as it is; in a template a line end as shells spell it."""
    return column.replace("\\n", "\n") if column and "{" in column else column


def _known_dtype(name: str) -> str:
    from fac_datasets.backbone.pretrained import require_dtype

    require_dtype(name)
    return name


def _at_least_one(answer_tokens: int) -> int:
    if answer_tokens < 1:
        raise OptionError(f"--answer-tokens {answer_tokens} must be at least 1")
    return answer_tokens


Out = Annotated[Path, typer.Option("--out", help="Folder to write.", callback=_folder_to_write)]
OutIfAny = Annotated[
    Path | None,
    typer.Option("--out", help="Folder to write; default: none.", callback=lambda out: out and _folder_to_write(out)),
]
OutFile = Annotated[Path | None, typer.Option("--json", help="File for the report.", callback=_file_to_write)]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="PAGE", help="Page to write.", callback=_file_to_write)
]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another run in the folder.")]

BackboneName = Annotated[str, typer.Option("--backbone", help="'embedded', a folder or a Hub id.")]
SaeName = Annotated[str, typer.Option("--sae", help="'embedded', a folder or a Hub id.")]
Layer = Annotated[int | None, typer.Option("--layer", help="Decoder blocks before the residual; default: the SAE's.")]
OtherBackbone = Annotated[bool, typer.Option("--other-backbone", help="Accept an SAE of another or unknown backbone.")]
Device = Annotated[
    str | None,
    typer.Option("--device", help="Torch device; default: CUDA where there is one.", callback=_device_of_this_machine),
]
Dtype = Annotated[str, typer.Option("--dtype", help="Of the backbone, such as bfloat16.", callback=_known_dtype)]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Report rows that cannot be read and go on.")]
Column = Annotated[
    str | None,
    typer.Option(
        "--column",
        help="A column, or a template such as '{question}\\n{answer}'; default: the schema that is known.",
        callback=_with_line_ends,
    ),
]
Split = Annotated[str | None, typer.Option("--split", help="Split to read; default: the only one, or train.")]


@dataclass(frozen=True)
class Reading:
    """What is read of a dataset."""

    column: Column = None
    split: Split = None

    def load(self, name: str) -> datasets.Dataset:
        """The rows of a dataset argument; see `load_rows`."""
        from fac_datasets.rows.loading import load_rows

        return load_rows(name, self.split)


@dataclass(frozen=True)
class AnchorReading:
    """What is read of an anchor, where it is not what is read of the dataset."""

    anchor_column: Annotated[
        str | None,
        typer.Option(help="The same of the anchor; default: that of --column.", callback=_with_line_ends),
    ] = None
    anchor_split: Annotated[str | None, typer.Option(help="The same of the anchor; default: that of --split.")] = None

    def reading(self, common: Reading) -> Reading:
        """What is read of the anchor."""
        return Reading(self.anchor_column or common.column, self.anchor_split or common.split)


@dataclass(frozen=True)
class Extraction:
    """The model whose features are measured."""

    backbone: BackboneName = "embedded"
    sae: SaeName = "embedded"
    layer: Layer = None
    other_backbone: OtherBackbone = False
    device: Device = None
    dtype: Dtype = "float32"
    skip_bad: SkipBad = False

    def extractor(self, column: str | None = None, **options: Any) -> FeatureExtractor:
        """The extractor of these features, which stores every activation unless told otherwise."""
        from fac_datasets.features.extractor import FeatureExtractor

        return FeatureExtractor(
            self.backbone,
            self.sae,
            self.layer,
            column=column,
            device=self.device,
            other_backbone=self.other_backbone,
            dtype=self.dtype,
            skip_bad=self.skip_bad,
            **{"threshold": 0, **options},
        )


AnswerTokens = Annotated[
    int,
    typer.Option(
        "--answer-tokens",
        help="Tokens of a judge's answer; one that reasons first needs thousands.",
        callback=_at_least_one,
    ),
]


@dataclass(frozen=True)
class Generation:
    """Who writes or judges texts, and how much it may be asked."""

    model: Annotated[
        str | None, typer.Option("--model", help="'embedded', a folder or a Hub id; with --endpoint, its model there.")
    ] = None
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Address of an OpenAI-compatible server.")] = None
    provider: Annotated[str | None, typer.Option("--provider", help="Of Inference Providers, or 'auto'.")] = None
    concurrency: Annotated[int, typer.Option("--concurrency", help="Requests to an endpoint at once.")] = 8
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Sample from the likeliest tokens of this probability together.")
    ] = None
    max_calls: Annotated[
        int | None,
        typer.Option("--max-calls", help="Stop before more answers than this; failed tries are not counted."),
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="Stop before more tokens than this, of prompts and answers.")
    ] = None
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", help="Stop before more dollars than this; needs prices.")
    ] = None
    price_in: Annotated[float | None, typer.Option("--price-in", help="Dollars a million tokens of prompts.")] = None
    price_out: Annotated[float | None, typer.Option("--price-out", help="Dollars a million tokens of answers.")] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many calls and tokens it would take, and its cost.")
    ] = False

    def __post_init__(self) -> None:
        """Refuse limits without meaning before anything is loaded."""
        _ = self.limits

    def generator(self, device: str | None) -> TextGenerator | None:
        """The generator that these options name; None where they name none."""
        if self.endpoint or self.provider:
            from fac_datasets.generation.endpoint import EndpointGenerator

            return EndpointGenerator(
                self.model,
                base_url=self.endpoint,
                provider=None if self.provider == "auto" else self.provider,
                concurrency=self.concurrency,
                top_p=self.top_p,
            )
        if self.model is None:
            return None
        from fac_datasets.generation.local import LocalGenerator

        return LocalGenerator(self.model, device=device, top_p=self.top_p)

    @property
    def limits(self) -> Limits:
        """What a journal keeps to."""
        from fac_datasets.generation.journal import Limits

        return Limits(self.max_calls, self.max_tokens, self.max_cost, self.price_in, self.price_out)


Public = Annotated[bool, typer.Option("--public", help="Everybody may read it; it is private otherwise.")]
PlanOnly = Annotated[bool, typer.Option("--dry-run", help="Send nothing; list every file and show the card.")]

AllowSecret = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-secret",
        metavar="DIGEST",
        help="Let through what looks like a key and is none, named by the digest in the error; more than once.",
    ),
]


@dataclass(frozen=True)
class Publication:
    """Where on the Hub something goes, and what may."""

    public: Public = False
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, made where there is none; default: main.")
    ] = None
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead.")] = False
    tag: Annotated[str | None, typer.Option("--tag", help="Name for this state, such as v1.0.")] = None
    allow_secret: AllowSecret = None

    def target(self, repository: str) -> HubTarget:
        """The target that these options and a repository name."""
        from fac_datasets.publishing.target import HubTarget

        return HubTarget(repository, self.public, self.revision, self.create_pr, self.tag)

    @property
    def allow_secrets(self) -> list[str]:
        """Digests of what is let through."""
        return self.allow_secret or []


def typed_options(context: typer.Context, *, without: Collection[str]) -> list[str]:
    """The options that a user gave, as words of the command: of a local path the last part, of addresses no keys."""
    words: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name in without or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[str(parameter.name)]
        if isinstance(value, bool):
            words += parameter.opts[:1] if value else parameter.secondary_opts[:1]
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [parameter.opts[0], without_credentials(short_name(str(one)))]
    return words


def kept_report(path: Path, option: str) -> dict[str, Any]:
    """The content of a file with a coverage report, which an option names.

    Raises:
        OptionError: it cannot be read, or holds none.
    """
    import json

    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise OptionError(f"{option} {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{option} {path} holds no report; give the file that --json wrote")
    return content


def with_features(rows: datasets.Dataset, extractor: FeatureExtractor) -> datasets.Dataset:
    """Rows with feature columns: their own, or extracted now, of which those that could not be read are named."""
    from fac_datasets.features.bad_rows import bad_rows, in_words

    prefix = extractor.prefix(rows.features)
    if f"{prefix}feature_ids" in rows.column_names:
        return rows
    extracted = rows.map(extractor, batched=True, desc="extract")
    bad = bad_rows(extracted, prefix)
    if bad:
        print(in_words(bad))
    return extracted
