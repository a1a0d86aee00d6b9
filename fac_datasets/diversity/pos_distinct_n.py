"""Distinct-n of part-of-speech tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fac_datasets.diversity.distinct_n import distinct_values
from fac_datasets.diversity.ngrams import tokens_of_lists
from fac_datasets.diversity.values import Values, lengths_of, text_sizes


def pos_distinct_n(texts: Any, n: int | Sequence[int] = 2, *, pipeline: str | None = None) -> Values:
    """Distinct-n of part-of-speech tags: how varied the sentences are built.

    Args:
        texts: any number; see `distinct_n`.
        n: one length or several.
        pipeline: see `fac_datasets.diversity.part_of_speech.tags_of`.

    Returns:
        `pos_distinct_n` and `pos_distinct_n_per_text` for each n; see `distinct_n`. Tokens are those of the pipeline.

    Raises:
        OptionError: the pipeline is not installed or does not tag; and see `distinct_n`.
        ColumnError, DatasetError, RowError: see `distinct_n`.

    Example:
        >>> pos_distinct_n(["The cat sat.", "The dog ran."])["pos_distinct_2"]
        0.5
    """
    from fac_datasets.diversity.part_of_speech import tags_of

    lengths = lengths_of(n)
    tokens = tokens_of_lists(tags_of(texts, pipeline))
    return {**distinct_values(tokens, lengths, "pos_distinct"), **text_sizes(tokens)}
