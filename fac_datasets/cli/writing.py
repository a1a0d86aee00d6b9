"""Options of what writes samples: kind of data, targets, ways, limits, and who answers and checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fac_datasets.cli.options import AnswerTokens, Generation

if TYPE_CHECKING:
    from fac_datasets.generation.base import TextGenerator


@dataclass(frozen=True)
class Writing:
    """What samples are written, and how."""

    kind: Annotated[
        str | None,
        typer.Option(help="Of data: text, labelled-text, instruction, preference, ab-question; default: by columns."),
    ] = None
    label_column: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of labels.")] = None
    targets: Annotated[
        str, typer.Option(help="What to aim at: anchor-rows, planned, or a FILE: a table, or one id a line.")
    ] = "anchor-rows"
    methods: Annotated[str, typer.Option(help="Ways of generating, joined by commas; auto chooses among all.")] = "auto"
    prompts: Annotated[Path | None, typer.Option(metavar="DIR", help="Prompts in place of ours, a file a kind.")] = None
    sample_language: Annotated[str | None, typer.Option(help="Code of the language of samples, such as en.")] = None
    samples_per_feature: Annotated[int, typer.Option(min=1, help="Accepted samples a feature.")] = 1
    max_features: Annotated[int, typer.Option(min=0, help="Missing features to aim at.")] = 50
    max_attempts: Annotated[int, typer.Option(min=1, help="Samples tried for a feature.")] = 8
    max_samples: Annotated[int | None, typer.Option(min=0, help="Accepted samples in all.")] = None
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer, or of each of its parts.")] = 64
    temperature: Annotated[float, typer.Option(min=0, help="Of the sampling.")] = 0.8

    def settings(self) -> dict[str, Any]:
        """The same for `fac_datasets.pipeline.Settings`, and by name for `synthesize`."""
        from fac_datasets.synthesis.targets import ANCHOR_ROWS, PLANNED, read_targets

        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["prompts"] = None if self.prompts is None else str(self.prompts)
        if self.targets not in (ANCHOR_ROWS, PLANNED):
            values["targets"] = tuple(read_targets(self.targets))
        return values


@dataclass(frozen=True)
class Others:
    """Who answers and checks beside the one that writes."""

    responder_model: Annotated[str | None, typer.Option(help="Writes responses; as --model.")] = None
    responder_endpoint: Annotated[str | None, typer.Option(help="Its server; as --endpoint.")] = None
    verifier_model: Annotated[
        str | None, typer.Option(help="Checks labels, responses or the order of pairs; as --model.")
    ] = None
    verifier_endpoint: Annotated[str | None, typer.Option(help="Its server; as --endpoint.")] = None
    answer_tokens: AnswerTokens = 256

    def responder(self, device: str | None) -> TextGenerator | None:
        """Who writes responses; None where nobody is named."""
        return _named(self.responder_model, self.responder_endpoint, device)

    def verifier(self, device: str | None) -> TextGenerator | None:
        """Who checks; None where nobody is named."""
        return _named(self.verifier_model, self.verifier_endpoint, device)


def _named(model: str | None, endpoint: str | None, device: str | None) -> TextGenerator | None:
    return Generation(model, endpoint).generator(device)
