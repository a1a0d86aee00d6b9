"""Relevance by effect: what becomes of the task when a feature is taken out of the backbone's residual stream?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_datasets.backbone.batching import batches_by_tokens, pad
from fac_datasets.backbone.identity import backbone_info
from fac_datasets.backbone.pretrained import torch_device
from fac_datasets.backbone.windows import Window
from fac_datasets.errors import DatasetError, FeatureSpaceMismatch, OptionError, OutputError
from fac_datasets.feature_space import FeatureSpace
from fac_datasets.files.atomic import write_atomically
from fac_datasets.interpretation.contrast import split_by_label
from fac_datasets.interpretation.evidence import with_evidence
from fac_datasets.interpretation.statistics import adjusted_p, student_quantile, student_z, two_sided_p
from fac_datasets.rows.dataset_identity import content_fingerprint
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import plain_text
from fac_datasets.rows.tables import add_columns, require_columns

if TYPE_CHECKING:
    import datasets
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.sae.model import SparseAutoencoder

_BATCH_TOKENS = 1024
"""Tokens of a padded batch: the logits of a whole vocabulary stand beside them."""

FEWEST_ROWS = 5
"""Rows in which a feature must fire for its effect to be evidence."""


class Question(NamedTuple):
    """What a backbone is asked behind each text, so that its answer can be compared with the text's label."""

    text: str
    """Such as `"Is this message harmful? Answer Yes or No."`."""
    column: str
    """Holds the labels."""
    positive: str
    """The label for which `yes` is right; compared as text."""
    yes: str = "Yes"
    """Right answer to a text with that label, of which the first token counts."""
    no: str = "No"
    """Right answer to the others."""


def ablation_relevance(
    table: datasets.Dataset,
    dataset: datasets.Dataset,
    extractor: FeatureExtractor,
    *,
    question: Question | None = None,
    features: Sequence[int] | NDArray[np.int64] | None = None,
    most: int = 50,
    alpha: float = 0.05,
    column: ColumnChoice = None,
    journal: str | Path | None = None,
) -> datasets.Dataset:
    """Measure how much the task suffers when a feature is ablated.

    A feature is ablated by subtracting its decoded contribution from the residual stream at every own token where it
    fires. The rest of the residual stream, with what the SAE does not explain, stays.

    Args:
        table: a feature table.
        dataset: rows of the task.
        extractor: of the table's feature space; gives backbone and SAE.
        question: with it, the effect is the loss of log-odds of the right answer; without, the rise of the mean
            cross-entropy of a row's own tokens (of the assistant's alone, in a chat that has such), in nats.
        features: candidates; by default those with evidence of any kind, strongest contrast first.
        most: candidates measured.
        alpha: false discovery rate across the features measured (Benjamini and Hochberg).
        column: of the texts; by default the one known name that is present.
        journal: a file that keeps what was measured, so that a killed run goes on from its last batch of rows.

    Returns:
        The table with `effect` (mean over the rows where the feature fires, above 0 where ablation harms the task; null
        for features that were not measured or fire in no row), `effect_low` and `effect_high` (95 % interval of the
        mean, by Student's t), `effect_rows`, `effect_p` (of no effect, adjusted for the features measured; null for
        those that fire in fewer than 5 rows), `effect_measure`, and `effect` among the `evidence` of features whose
        ablation harms, with an adjusted p of at most alpha.

    Raises:
        OptionError: nothing says which features are candidates, or the two answers start with the same token.
        FeatureSpaceMismatch: table and extractor are of different spaces.
        DatasetError: the rows hold no tokens to predict.
        OutputError: the journal cannot be written.

    Example:
        >>> found = ablation_relevance(table, texts, extractor, features=table["feature_id"][:2])
        >>> found["effect_measure"][0]
        'loss'
    """
    from datasets import Value

    require_columns(table, "feature_id", "feature_space")
    for space in sorted(set(table["feature_space"])):
        _require_same_sae(FeatureSpace.parse(space), extractor.feature_space)
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha} is not in (0, 1)")
    if question is not None:
        # Rows without a label have no right answer.
        dataset = _labelled(dataset, question)
    wanted = _candidates(table, features)[:most]
    identity = [
        version("fac-datasets"),
        wanted,
        str(extractor.feature_space),
        extractor.roles,
        content_fingerprint(dataset),
        column,
        question,
        _BATCH_TOKENS,
    ]
    found = _Ablation(extractor, dataset, column, question).effects(wanted, _Measured(journal, identity))
    effects = {feature: _effect(values) for feature, values in zip(wanted, found, strict=True)}
    adjusted = _adjusted(effects)
    ids = list(table["feature_id"])
    ordered = [effects.get(feature, _Effect()) for feature in ids]
    table = add_columns(
        table,
        {
            "effect": ([effect.mean for effect in ordered], Value("float32")),
            "effect_low": ([effect.low for effect in ordered], Value("float32")),
            "effect_high": ([effect.high for effect in ordered], Value("float32")),
            "effect_rows": ([effect.rows for effect in ordered], Value("int32")),
            "effect_p": ([adjusted.get(feature) for feature in ids], Value("float64")),
            "effect_measure": (["loss" if question is None else "log-odds"] * len(table), Value("string")),
        },
    )
    harms = [(e.mean or 0) > 0 and adjusted.get(feature, 1.0) <= alpha for feature, e in zip(ids, ordered, strict=True)]
    return with_evidence(table, "effect", np.array(harms, dtype=bool))


def _candidates(table: datasets.Dataset, features: Sequence[int] | NDArray[np.int64] | None) -> list[int]:
    known = list(table["feature_id"])
    if features is not None:
        missing = sorted({int(feature) for feature in features} - {*known})
        if missing:
            raise OptionError(f"features {missing[:10]} are not in the table")
        return [int(feature) for feature in features]
    if "evidence" not in table.column_names:
        raise OptionError(
            "there is no candidate to ablate: name features=..., or judge the table first with judge_relevance or "
            "contrast_relevance"
        )
    strength = table["contrast"] if "contrast" in table.column_names else [0.0] * len(table)
    ranked = sorted(zip(known, table["evidence"], strength, strict=True), key=lambda row: (-row[2], row[0]))
    return [feature for feature, kinds, _ in ranked if kinds]


def _require_same_sae(first: FeatureSpace, second: FeatureSpace) -> None:
    def key(space: FeatureSpace) -> tuple[object, ...]:
        return space.backbone_digest, space.layer, space.render, space.sae_digest, space.activation

    if key(first) != key(second):
        raise FeatureSpaceMismatch(f"the table is of {first}, the extractor of {second}")


class _Effect(NamedTuple):
    """What ablating a feature does over the rows where it fires."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int | None = None
    p: float | None = None
    """Two-sided, of no effect; not adjusted."""


def _effect(values: NDArray[np.float64]) -> _Effect:
    """Mean and its 95 % interval by Student's t; no interval of fewer than two rows, no p of fewer than FEWEST_ROWS."""
    rows = len(values)
    if not rows:
        return _Effect(rows=0)
    mean = float(values.mean())
    if rows < 2:
        return _Effect(mean, rows=rows)
    error = float(values.std(ddof=1)) / math.sqrt(rows)
    half = student_quantile(rows - 1) * error
    p = None
    if rows >= FEWEST_ROWS:
        z = student_z(mean / error, rows - 1) if error else math.copysign(math.inf, mean) if mean else 0.0
        p = float(two_sided_p(np.array([z]))[0])
    return _Effect(mean, mean - half, mean + half, rows, p)


def _adjusted(effects: Mapping[int, _Effect]) -> dict[int, float]:
    """p-values of the features that have one, adjusted for their number."""
    known = {feature: effect.p for feature, effect in effects.items() if effect.p is not None}
    adjusted = adjusted_p(np.array(list(known.values())))
    return dict(zip(known, adjusted.tolist(), strict=True))


class _Measured:
    """What was measured of each batch of rows, in memory and in a file of JSON lines that says of what it is.

    Args:
        path: of the file; what it holds of something else is replaced.
        identity: what decides the measurements.
    """

    def __init__(self, path: str | Path | None, identity: object) -> None:
        self.batches: list[list[tuple[int, int, float, float]]] = []
        """Of each batch: place of the feature, row, summed harm and weight."""
        self.path = None if path is None else Path(path)
        if self.path is None:
            return
        first = json.dumps(identity).encode() + b"\n"
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
            # A kill can cut the last line off.
            whole = content[: content.rfind(b"\n") + 1] if content.startswith(first) else first
            self.batches = [[tuple(one) for one in json.loads(line)] for line in whole.splitlines()[1:]]
            write_atomically(self.path, whole)
        except (OSError, ValueError) as error:
            raise OutputError(f"the journal {path} cannot be used: {error}; remove it to start anew") from error

    def add(self, batch: list[tuple[int, int, float, float]]) -> None:
        """Keep what was measured of the next batch."""
        self.batches.append(batch)
        if self.path is not None:
            try:
                with self.path.open("ab") as stream:
                    stream.write(json.dumps(batch).encode() + b"\n")
            except OSError as error:
                raise OutputError(f"the journal {self.path} cannot be written: {error}; make room and go on") from error


class _Ablation:
    """A whole backbone, the rows of a task, and what is measured of them."""

    def __init__(
        self, extractor: FeatureExtractor, dataset: datasets.Dataset, column: ColumnChoice, question: Question | None
    ) -> None:
        from fac_datasets.sae.splicing import SplicedModel

        info = backbone_info(extractor.backbone_name)
        self.device: torch.device = torch_device(extractor.device)
        self.sae: SparseAutoencoder = extractor.sae.to(self.device)
        self.activation = extractor.activation
        self.model = SplicedModel(info.path, extractor.feature_space.layer, device=self.device)
        reader = RowReader(dataset.features, column)
        rows = reader.read(dataset.select_columns(list(reader.columns)).with_format("arrow")[:])
        self.signs: Tensor | None = None
        if question is None:
            self.windows = extractor.windows(rows)
            self.targets = _targets(self.windows, extractor, rows)
        else:
            tokenizer = extractor.backbone.tokenizer
            self.answers = _answer_tokens(tokenizer, question)
            self.windows = _questions(extractor, [plain_text(row) for row in rows], question.text)
            self.targets = [np.zeros(len(window.own), dtype=bool) for window in self.windows]
            self.signs = _signs(dataset, question)
        if not self.windows:
            raise DatasetError("the rows hold no tokens to measure an effect on")

    def effects(self, features: Sequence[int], measured: _Measured) -> list[NDArray[np.float64]]:
        """For each feature, how much worse each row gets in which it fires."""
        import datasets
        import torch
        from tqdm.auto import tqdm

        found: list[dict[int, list[tuple[float, float]]]] = [{} for _ in features]
        quiet = datasets.utils.are_progress_bars_disabled()
        with torch.inference_mode(), tqdm(total=len(self.windows), unit="row", desc="ablate", disable=quiet) as bar:
            for number, batch in enumerate(batches_by_tokens(self.windows, _BATCH_TOKENS, share_prefixes=False)):
                if number == len(measured.batches):
                    measured.add(list(self._of_batch(batch.indices, features)))
                for place, row, total, weight in measured.batches[number]:
                    found[place].setdefault(row, []).append((total, weight))
                bar.update(len(batch.indices))
        return [
            np.array([sum(t for t, _ in parts) / sum(w for _, w in parts) for parts in rows.values()]) for rows in found
        ]

    def _of_batch(self, indices: list[int], features: Sequence[int]) -> Iterator[tuple[int, int, float, float]]:
        """Place of the feature, row, summed harm and weight, of each row of a batch in which a feature fires."""
        import torch

        windows = [self.windows[i] for i in indices]
        token_ids, own = (torch.from_numpy(part).to(self.device) for part in pad(windows))
        target = torch.zeros_like(own)
        for i, index in enumerate(indices):
            target[i, : len(self.targets[index])] = torch.from_numpy(self.targets[index]).to(self.device)
        plain = self._losses(token_ids, target, windows, None)
        residual = self.model.residual.float().clone()
        vectors = residual[own]
        pre = self.sae.pre_activations(vectors)
        codes = pre.relu() if self.activation == "relu" else self.sae.architecture.encode(pre, self.sae.threshold)
        for place, feature in enumerate(features):
            fires = torch.zeros_like(own)
            fires[own] = codes[:, feature] > 0
            chosen = fires.any(dim=1).nonzero()[:, 0]
            if not len(chosen):
                continue
            replaced = residual[chosen].clone()
            firing = fires[chosen]
            replaced[firing] -= self._contribution(replaced[firing], codes[fires[own], feature], feature)
            of_rows = [windows[i] for i in chosen.tolist()]
            ablated = self._losses(token_ids[chosen], target[chosen], of_rows, replaced)
            weights = target[chosen, 1:].sum(dim=1).double() if self.signs is None else torch.ones(len(chosen)).double()
            harms = ablated - plain[chosen]
            for window, harm, weight in zip(of_rows, harms.tolist(), weights.tolist(), strict=True):
                if weight:
                    yield place, window.row, harm, weight

    def _contribution(self, vectors: Tensor, values: Tensor, feature: int) -> Tensor:
        """What a feature adds to residual vectors in which it has these activations."""
        import torch

        alone = torch.zeros(len(vectors), self.sae.config.d_sae, device=vectors.device)
        nothing = self.sae.decode(alone, vectors)
        alone[:, feature] = values
        return self.sae.decode(alone, vectors) - nothing

    def _losses(
        self, token_ids: Tensor, target: Tensor, windows: Sequence[Window], replacement: Tensor | None
    ) -> Tensor:
        """Of each row the summed cross-entropy of its targets, or the log-odds of the wrong answer."""
        import torch

        logits = self.model.logits(token_ids, replacement)
        if self.signs is not None:
            last = torch.tensor([len(window.token_ids) - 1 for window in windows], device=self.device)
            at_end = logits[torch.arange(len(windows), device=self.device), last].double()
            signs = self.signs[[window.row for window in windows]].to(self.device)
            return -signs * (at_end[:, self.answers[0]] - at_end[:, self.answers[1]])
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2).float(), token_ids[:, 1:], reduction="none"
        )
        return (losses.double() * target[:, 1:]).sum(dim=1)


def _targets(windows: Sequence[Window], extractor: FeatureExtractor, rows: Sequence[object]) -> list[NDArray[np.bool_]]:
    """The tokens of each window that a model is to predict: the assistant's, or all own ones."""
    found = []
    for window in windows:
        row = rows[window.row]
        roles = [message.get("role", message.get("from")) for message in row] if isinstance(row, list) else []
        answers = [i for i, role in enumerate(roles) if role in ("assistant", "gpt")]
        found.append(window.own & np.isin(window.messages, answers) if answers else window.own)
    return found


def _questions(extractor: FeatureExtractor, texts: Sequence[str], question: str) -> list[Window]:
    """Each text with the question behind it, up to where the answer begins; the text's tokens are its own."""
    tokenizer, space = extractor.backbone.tokenizer, extractor.feature_space
    windows = []
    for row, text in enumerate(texts):
        asked = f"{text}\n\n{question}"
        if space.render == "chat":
            messages = [{"role": "user", "content": asked}]
            rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        else:
            rendered = f"{asked}\n"
        found = tokenizer(rendered, add_special_tokens=space.render != "chat", return_offsets_mapping=True)
        # Templates may strip what they are given; the text begins where the rest of it is found.
        begin = rendered.rindex(asked.strip())
        end = begin + len(text.strip())
        inside = [first < end and last > max(first, begin) for first, last in found["offset_mapping"]]
        # A longer text keeps its end, where the question stands.
        kept = [0, *range(max(1, len(inside) - extractor.max_length + 1), len(inside))]
        ids = np.array(found["input_ids"], dtype=np.int64)[kept]
        own = np.array(inside, dtype=bool)[kept]
        own[0] = False
        nowhere = np.zeros(len(ids), dtype=np.int32)
        windows.append(Window(row, ids, own, nowhere, nowhere, nowhere))
    return windows


def _answer_tokens(tokenizer: object, question: Question) -> tuple[int, int]:
    first = [tokenizer(answer, add_special_tokens=False)["input_ids"][:1] for answer in (question.yes, question.no)]  # type: ignore[operator]
    if not all(first) or first[0] == first[1]:
        raise OptionError(
            f"the answers {question.yes!r} and {question.no!r} start with the same token or with none; choose others"
        )
    return first[0][0], first[1][0]


def _labelled(dataset: datasets.Dataset, question: Question) -> datasets.Dataset:
    """The rows that have a label, in their order; see `split_by_label`."""
    split_by_label(dataset, question.column, question.positive)
    return dataset.select([i for i, label in enumerate(dataset[question.column]) if label is not None])


def _signs(dataset: datasets.Dataset, question: Question) -> Tensor:
    """1 where yes is right, -1 where no is."""
    import torch

    labels = [str(label) == str(question.positive) for label in dataset[question.column]]
    return torch.tensor([1.0 if label else -1.0 for label in labels], dtype=torch.float64)
