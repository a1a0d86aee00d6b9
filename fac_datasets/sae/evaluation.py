"""Judging an SAE on text it has not seen: what it explains, how sparsely, and whether the model still works on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fac_datasets.backbone.batching import batches_by_tokens, pad
from fac_datasets.backbone.identity import backbone_info
from fac_datasets.backbone.pretrained import load_tokenizer, torch_device
from fac_datasets.backbone.windows import Window, row_windows
from fac_datasets.errors import DatasetError
from fac_datasets.rows.dataset_identity import identify
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.sae.activations import of_usual_norm
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.model import require_match
from fac_datasets.sae.splicing import SplicedModel

if TYPE_CHECKING:
    from fac_datasets.sae.model import SparseAutoencoder

_BATCH_TOKENS = 1024
"""Tokens of a padded batch: the logits of a whole vocabulary stand beside them."""


@dataclass
class _Sums:
    """What is added up over tokens of one kind."""

    d_in: int
    d_sae: int
    tokens: int = 0
    outliers: int = 0
    squared_error: float = 0.0
    squared_norm: float = 0.0
    cosine: float = 0.0
    active: int = 0
    predicted: int = 0
    losses: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    total: Tensor = field(init=False)
    firings: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.total = torch.zeros(self.d_in, dtype=torch.float64)
        self.firings = torch.zeros(self.d_sae, dtype=torch.int64)

    def add(self, vectors: Tensor, reconstruction: Tensor, ids: Tensor) -> None:
        self.tokens += len(vectors)
        self.squared_error += (vectors - reconstruction).double().square().sum().item()
        self.squared_norm += vectors.double().square().sum().item()
        self.total += vectors.double().sum(dim=0).cpu()
        self.cosine += torch.cosine_similarity(vectors, reconstruction, dim=-1).sum().item()
        self.active += len(ids)
        self.firings += torch.bincount(ids.cpu(), minlength=self.d_sae)

    def merged(self, other: _Sums) -> _Sums:
        result = _Sums(self.d_in, self.d_sae)
        for name in vars(self):
            if name not in ("d_in", "d_sae"):
                setattr(result, name, getattr(self, name) + getattr(other, name))
        return result

    def measures(self) -> dict[str, Any]:
        """The measures under the names of the report."""
        variance = self.squared_norm - (self.total.square().sum().item() / max(self.tokens, 1))
        original, spliced, zero = (self.losses / max(self.predicted, 1)).tolist()
        return {
            "tokens": self.tokens,
            "outliers": self.outliers,
            "fvu": self.squared_error / variance if variance else float("nan"),
            "l0": self.active / max(self.tokens, 1),
            "dead_share": (self.firings == 0).float().mean().item(),
            "cosine": self.cosine / max(self.tokens, 1),
            "loss_recovered": (zero - spliced) / (zero - original) if zero != original else float("nan"),
            "loss": {"original": original, "spliced": spliced, "zero": zero},
        }


def evaluate_sae(
    backbone: str,
    sae: str | Path,
    texts: datasets.Dataset | Sequence[datasets.Dataset],
    *,
    column: ColumnChoice = None,
    kind_column: str | None = None,
    renders: Sequence[str] | None = None,
    max_tokens: int | None = None,
    max_length: int = 512,
    other_backbone: bool = False,
    device: str | None = None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Measure an SAE on held-out text.

    Every row's own tokens pass the whole model three times: as they are, with their residual vectors replaced by the
    SAE's reconstruction, and with zeros in their place. Loss recovered is (zero - spliced) / (zero - original), in mean
    cross-entropy of the own tokens (Bricken et al. 2023, "Towards Monosemanticity"). Attention sinks, whose norm is
    more than five times the median, are counted and left as they are; so is the context that a window of a long row
    repeats.

    Args:
        backbone: `"embedded"`, a local folder or a Hub id.
        sae: what `load_sae` reads.
        texts: one or several datasets of texts or chats.
        column: the column that holds them; by default the one known name that is present.
        kind_column: column by whose values the measures are broken down.
        renders: how texts are rendered, taking turns by row; by default chat and raw where there is a template.
        max_tokens: own tokens measured of each kind, in the order of the rows; by default all.
        max_length: tokens in a window.
        other_backbone: accept an SAE that was trained on another backbone of the same width, or does not say on which.
        device: torch device; by default CUDA where there is one.
        dtype: of the model.

    Returns:
        `fvu` (fraction of variance unexplained), `l0` (active features a token), `dead_share` (features that never
        fire on this text), `cosine` (of reconstruction and input), `loss_recovered`, `loss`, `tokens`, `outliers`; the
        same for each kind under `kinds`; `density`, the histogram of features over log10 of their firing rate; and
        what was measured.

    Raises:
        DatasetError: the texts hold no tokens.
        SAEMismatch: the SAE is of another backbone.

    Example:
        >>> evaluate_sae("embedded", "embedded", texts)["l0"] <= 64
        True
    """
    found, info = find_sae(sae), backbone_info(backbone)
    require_match(found.config, info, found.config.layer, other_backbone=other_backbone)
    several = [texts] if isinstance(texts, datasets.Dataset) else list(texts)
    turns = tuple(renders) if renders else info.renders
    identity = evaluation_identity(
        backbone,
        sae,
        several,
        column=column,
        kind_column=kind_column,
        renders=turns,
        max_tokens=max_tokens,
        max_length=max_length,
        dtype=dtype,
    )
    tokenizer = load_tokenizer(info.path)
    windows, kinds = _windows(tokenizer, several, column, kind_column, turns, max_length, max_tokens)
    if not windows:
        raise DatasetError("the rows hold no tokens to measure the SAE on")
    place = torch_device(device)
    judge = _Judge(info.path, dtype, found.load().to(place), place)
    sums: dict[str, _Sums] = {}
    quiet = datasets.utils.are_progress_bars_disabled()
    with tqdm(total=sum(int(w.own.sum()) for w in windows), unit="tok", desc="evaluate SAE", disable=quiet) as bar:
        for kind in dict.fromkeys(kinds):
            group = [window for window, of_kind in zip(windows, kinds, strict=True) if of_kind == kind]
            sums[kind] = _Sums(found.config.d_in, found.config.d_sae)
            for batch in batches_by_tokens(group, _BATCH_TOKENS, share_prefixes=False):
                judge.measure(batch.windows, sums[kind])
                bar.update(sum(int(window.own.sum()) for window in batch.windows))
    whole = next(iter(sums.values()))
    for other in list(sums.values())[1:]:
        whole = whole.merged(other)
    return {
        "sae": found.config.name,
        "backbone": info.name,
        "layer": found.config.layer,
        **identity,
        **whole.measures(),
        "kinds": {kind: part.measures() for kind, part in sums.items()} if kind_column else {},
        "density": _density(whole),
    }


def evaluation_identity(
    backbone: str,
    sae: str | Path,
    texts: Sequence[datasets.Dataset],
    *,
    column: ColumnChoice = None,
    kind_column: str | None = None,
    renders: Sequence[str] | None = None,
    max_tokens: int | None = None,
    max_length: int = 512,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Everything that decides what `evaluate_sae` measures, which stands in its report; loads no weights.

    Args:
        backbone: as of `evaluate_sae`, like all others.
    """
    info = backbone_info(backbone)
    return {
        "version": version("fac-datasets"),
        "sae_digest": find_sae(sae).digest,
        "backbone_digest": info.digest,
        "renders": list(renders or info.renders),
        "datasets": [identify(source)._asdict() for source in texts],
        "columns": [list(RowReader(source.features, column).columns) for source in texts],
        "kind_column": kind_column,
        "max_tokens": max_tokens,
        "max_length": max_length,
        "dtype": dtype,
    }


def misfit(sae: SparseAutoencoder, vectors: Tensor) -> str | None:
    """How an SAE's FVU and L0 on some residual vectors differ widely from what its configuration says, in words.

    Args:
        sae: with `fvu` or `l0` in the `training` of its configuration; without them there is nothing to compare.
        vectors: residual vectors, [n_tokens, d_in].

    Returns:
        A sentence, or None where they agree: FVU within 0.3, L0 within a factor of 3.
    """
    stated = sae.config.training
    vectors = vectors[of_usual_norm(vectors)]
    differences = []
    if "fvu" in stated:
        variance = (vectors - vectors.mean(dim=0)).square().sum()
        fvu = ((vectors - sae(vectors)).square().sum() / variance).item()
        if not fvu <= stated["fvu"] + 0.3:
            differences.append(f"leaves {fvu:.2f} of the variance unexplained, where its card says {stated['fvu']:.2f}")
    if "l0" in stated:
        l0 = len(sae.active_features(vectors).ids) / len(vectors)
        if not stated["l0"] / 3 <= l0 <= stated["l0"] * 3:
            differences.append(f"has {l0:.1f} active features a token, where its card says {stated['l0']:.1f}")
    if not differences:
        return None
    return f"on the first {len(vectors)} tokens SAE {sae.config.name} {' and '.join(differences)}"


def _windows(
    tokenizer: Any,
    texts: Sequence[datasets.Dataset],
    column: ColumnChoice,
    kind_column: str | None,
    turns: tuple[str, ...],
    max_length: int,
    max_tokens: int | None,
) -> tuple[list[Window], list[str]]:
    """The windows of all rows and the kind of each, up to `max_tokens` own tokens of a kind."""
    windows: list[Window] = []
    kinds: list[str] = []
    measured: dict[str, int] = {}
    for source in texts:
        if kind_column is not None:
            RowReader(source.features, kind_column)
        reader = RowReader(source.features, column)
        rows = reader.read(source.select_columns(list(reader.columns)).with_format("arrow")[:])
        of_rows = [str(kind) for kind in source[kind_column]] if kind_column else ["all"] * len(rows)
        renders = ["chat" if isinstance(row, list) else turns[number % len(turns)] for number, row in enumerate(rows)]
        found: list[Window] = []
        for render in sorted(set(renders)):
            # Rows of the other render are left empty, so that errors count rows as the dataset does.
            shown = [row if of_row == render else None for row, of_row in zip(rows, renders, strict=True)]
            found += row_windows(tokenizer, shown, render=render, max_length=max_length)
        for window in sorted(found, key=lambda window: window.row):
            kind = of_rows[window.row]
            if max_tokens is None or measured.get(kind, 0) < max_tokens:
                windows.append(window)
                kinds.append(kind)
                measured[kind] = measured.get(kind, 0) + int(window.own.sum())
    return windows, kinds


def _density(sums: _Sums) -> dict[str, list[float]]:
    """Histogram of log10 of the firing rates of the features that fired."""
    rates = sums.firings[sums.firings > 0].double().numpy() / max(sums.tokens, 1)
    counts, edges = np.histogram(np.log10(rates), bins=np.arange(-8, 0.25, 0.25))
    return {"log10_rate": edges.round(2).tolist(), "features": counts.tolist()}


class _Judge:
    """An SAE and the whole model that it is spliced into."""

    def __init__(self, path: str, dtype: str, sae: SparseAutoencoder, device: torch.device) -> None:
        self.sae, self.device = sae, device
        self.model = SplicedModel(path, sae.config.layer, device=device, dtype=dtype)

    @torch.inference_mode()
    def measure(self, windows: Sequence[Window], sums: _Sums) -> None:
        """Add what a batch of windows measures."""
        token_ids, own = (torch.from_numpy(part).to(self.device) for part in pad(windows))
        losses = [self._loss(token_ids, own, None)]
        residual = self.model.residual.float()
        replaced = own.clone()
        replaced[own] = of_usual_norm(residual[own])
        vectors = residual[replaced]
        reconstruction = self.sae(vectors)
        sums.add(vectors, reconstruction, self.sae.active_features(vectors).ids)
        sums.outliers += int((own & ~replaced).sum())
        for content in (reconstruction, torch.zeros_like(reconstruction)):
            spliced = residual.clone()
            spliced[replaced] = content
            losses.append(self._loss(token_ids, own, spliced))
        sums.losses += torch.stack(losses).cpu()
        sums.predicted += int(own[:, 1:].sum())

    def _loss(self, token_ids: Tensor, own: Tensor, replacement: Tensor | None) -> Tensor:
        """Summed cross-entropy of the own tokens, each predicted from those before it."""
        logits = self.model.logits(token_ids, replacement)[:, :-1]
        wanted = own[:, 1:]
        return torch.nn.functional.cross_entropy(
            logits[wanted].float(), token_ids[:, 1:][wanted], reduction="sum"
        ).double()
