"""The errors that fac-datasets raises: each says which value, which limit and what to do."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any


class FacDatasetsError(Exception):
    """Base of every error that fac-datasets raises on purpose."""


class OptionError(FacDatasetsError, ValueError):
    """An option whose value has no meaning."""


class BackboneError(FacDatasetsError, ValueError):
    """A language model that cannot serve as a backbone, or a layer it does not have."""


class EmbeddedModelMissing(FacDatasetsError, FileNotFoundError):
    """The embedded backbone is not in the cache and could not be fetched."""


class SAEFormatError(FacDatasetsError, ValueError):
    """A folder or file that holds no sparse autoencoder in a known format."""


class SAEMismatch(FacDatasetsError, ValueError):
    """A sparse autoencoder that does not belong to the backbone or layer it is used with."""


class CalibrationMissing(FacDatasetsError, LookupError):
    """A quantile threshold was asked for, but the SAE has no calibration for this feature space."""


class TrainingError(FacDatasetsError, RuntimeError):
    """SAE training that cannot start or go on; the last good checkpoint is kept."""


class ColumnError(FacDatasetsError, ValueError):
    """A column that is missing, ambiguous or of the wrong type, or a row in it that cannot be read."""


class RowError(ColumnError):
    """A row that cannot be read.

    Args:
        row: its index in what was given.
        problem: what is wrong with it, as a phrase whose subject is the row.
        of_batch: whether the index counts from the start of a batch and not of the dataset.
    """

    def __init__(self, row: int, problem: str, *, of_batch: bool = True) -> None:
        self.row, self.problem, self.of_batch = row, problem, of_batch
        super().__init__(f"row {row}{' of the batch' if of_batch else ''} {problem}")

    def at(self, row: int) -> "RowError":
        """The same error with the row's index in the dataset."""
        return RowError(row, self.problem, of_batch=False)

    def in_batch(self) -> "RowError":
        """The same error, with how to learn the row's index in the dataset."""
        hint = "counted from the start of the batch; map(..., with_indices=True) names the row of the dataset"
        return RowError(self.row, f"{self.problem} ({hint})", of_batch=self.of_batch)

    def __reduce__(self) -> tuple[Callable[..., "RowError"], tuple[int, str]]:
        # Worker processes send their errors to the parent.
        return partial(RowError, of_batch=self.of_batch), (self.row, self.problem)


class MissingExtra(OptionError):
    """A measure whose library or model is not installed."""


class DatasetError(FacDatasetsError, ValueError):
    """A dataset that cannot be loaded or that has nothing to measure."""


class FeatureSpaceMismatch(FacDatasetsError, ValueError):
    """Two sets of features from different backbones, layers, SAEs or settings."""


class ThresholdBelowStored(FacDatasetsError, ValueError):
    """A coverage threshold below the cut-off with which the feature columns were stored."""


class GenerationError(FacDatasetsError, RuntimeError):
    """A text generator that gives no answers, or was not allowed to ask for more."""


class LimitReached(GenerationError):
    """What a run may ask for is used up."""


class SynthesisError(FacDatasetsError, ValueError):
    """A synthesis that cannot start: nothing to aim at, or a generator that does not fit."""


class OutputError(FacDatasetsError, OSError):
    """An output folder that cannot be written or that holds another run."""


class DownstreamError(FacDatasetsError, ValueError):
    """A task that cannot be trained or measured on the rows that it was given."""


class ReviewError(FacDatasetsError, RuntimeError):
    """A review that an Argilla server cannot serve as asked."""


class PublishError(FacDatasetsError, OSError):
    """Something that the Hub did not take."""


def exit_with(command: Callable[[], Any]) -> None:
    """Run a command; an expected error becomes one line and exit code 1."""
    try:
        command()
    except FacDatasetsError as error:
        print(f"fac-datasets: {error}", file=sys.stderr)
        sys.exit(1)
