"""SAEs are judged on held-out text: what they explain, how sparsely, and what the model loses by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import transformers

from fac_datasets import Backbone, FeatureExtractor, SparseAutoencoder, evaluate_sae
from fac_datasets.cli.main import app
from fac_datasets.errors import ColumnError, DatasetError, OutputError, SAEMismatch
from fac_datasets.plots import evaluation_png
from fac_datasets.sae.evaluation import misfit
from fac_datasets.sae.model import SAEConfig
from tests.tiny import TEXTS, TINY_LAYER, TINY_WIDTH


@pytest.fixture
def texts() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS, "kind": ["even", "odd"] * (len(TEXTS) // 2)})


def identity_sae(folder: Path, layer: int, scale: float = 1.0) -> str:
    """An SAE whose features are the axes and their opposites, so that it reconstructs everything (times `scale`)."""
    sae = SparseAutoencoder(SAEConfig(d_in=TINY_WIDTH, d_sae=2 * TINY_WIDTH, architecture="relu", layer=layer))
    with torch.no_grad():
        axes = torch.eye(TINY_WIDTH)
        sae.W_enc.copy_(torch.cat([axes, -axes], dim=1))
        sae.W_dec.copy_(scale * torch.cat([axes, -axes]))
    sae.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_a_perfect_sae_explains_everything_and_costs_nothing(
    layer: int, tiny_backbone: str, texts: datasets.Dataset, tmp_path: Path
) -> None:
    report = evaluate_sae(tiny_backbone, identity_sae(tmp_path, layer), texts, other_backbone=True)
    assert report["fvu"] == pytest.approx(0, abs=1e-9)
    assert report["cosine"] == pytest.approx(1)
    assert report["loss_recovered"] == pytest.approx(1, abs=1e-5)
    assert report["loss"]["zero"] != pytest.approx(report["loss"]["original"])
    assert report["l0"] == pytest.approx(TINY_WIDTH)


def test_an_sae_that_says_nothing_recovers_nothing(tiny_backbone: str, texts: datasets.Dataset, tmp_path: Path) -> None:
    report = evaluate_sae(tiny_backbone, identity_sae(tmp_path, 2, scale=0.0), texts, other_backbone=True)
    assert report["loss_recovered"] == pytest.approx(0, abs=1e-5)
    assert report["loss"]["spliced"] == pytest.approx(report["loss"]["zero"])
    assert report["fvu"] >= 1


def test_the_original_loss_is_that_of_the_model(tiny_backbone: str, tiny_sae: str) -> None:
    text = datasets.Dataset.from_dict({"text": TEXTS[:1]})
    report = evaluate_sae(tiny_backbone, tiny_sae, text, renders=["raw"])
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(tiny_backbone)
    (window,) = Backbone(tiny_backbone, TINY_LAYER).windows(TEXTS[:1], render="raw", max_length=512)
    token_ids = torch.from_numpy(window.token_ids)[None]
    # The text's own tokens are all but the first, and each is predicted from those before it.
    assert window.own.tolist() == [False] + [True] * (len(window.own) - 1)
    expected = model(input_ids=token_ids, labels=token_ids).loss.item()
    assert report["loss"]["original"] == pytest.approx(expected, rel=1e-5)


def test_fvu_and_l0_are_those_of_the_vectors_at_once(tiny_backbone: str, tiny_sae: str) -> None:
    report = evaluate_sae(tiny_backbone, tiny_sae, datasets.Dataset.from_dict({"text": TEXTS}), renders=["raw"])
    backbone, sae = Backbone(tiny_backbone, TINY_LAYER), SparseAutoencoder.from_pretrained(tiny_sae)
    vectors = torch.cat(
        [
            backbone.residual([window])[0][torch.from_numpy(window.own)]
            for window in backbone.windows(TEXTS, render="raw", max_length=512)
        ]
    ).double()
    activations = sae.double().encode(vectors)
    error = (vectors - sae(vectors)).square().sum() / (vectors - vectors.mean(dim=0)).square().sum()
    assert report["outliers"] == 0
    assert report["fvu"] == pytest.approx(error.item(), rel=1e-4)
    assert report["l0"] == pytest.approx((activations > 0).sum(dim=-1).double().mean().item(), rel=1e-3)
    assert report["dead_share"] == pytest.approx((activations <= 0).all(dim=0).double().mean().item(), abs=0.02)
    assert sum(report["density"]["features"]) == round((1 - report["dead_share"]) * 96)


def test_measures_are_broken_down_by_kind(tiny_backbone: str, tiny_sae: str, texts: datasets.Dataset) -> None:
    report = evaluate_sae(tiny_backbone, tiny_sae, texts, kind_column="kind")
    assert set(report["kinds"]) == {"even", "odd"}
    assert sum(part["tokens"] for part in report["kinds"].values()) == report["tokens"]
    losses = [(part["loss"]["original"], part["tokens"]) for part in report["kinds"].values()]
    assert min(losses)[0] <= report["loss"]["original"] <= max(losses)[0]


def test_the_tokens_of_a_kind_can_be_limited(tiny_backbone: str, tiny_sae: str, texts: datasets.Dataset) -> None:
    whole = evaluate_sae(tiny_backbone, tiny_sae, texts, kind_column="kind")
    part = evaluate_sae(tiny_backbone, tiny_sae, texts, kind_column="kind", max_tokens=30)
    assert all(30 <= kind["tokens"] < whole["kinds"][name]["tokens"] for name, kind in part["kinds"].items())


def test_texts_and_chats_are_judged_together(tiny_backbone: str, tiny_sae: str, texts: datasets.Dataset) -> None:
    chats = datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": TEXTS[0]}]], "kind": ["chat"]})
    assert set(evaluate_sae(tiny_backbone, tiny_sae, [texts, chats], kind_column="kind")["kinds"]) == {
        "even",
        "odd",
        "chat",
    }


def test_text_without_tokens_is_an_error(tiny_backbone: str, tiny_sae: str) -> None:
    with pytest.raises(DatasetError, match="no tokens"):
        evaluate_sae(tiny_backbone, tiny_sae, datasets.Dataset.from_dict({"text": ["", " "]}))


def test_an_sae_of_another_backbone_is_refused_unless_allowed(
    stripping_backbone: str, tiny_sae: str, texts: datasets.Dataset
) -> None:
    with pytest.raises(SAEMismatch, match="other_backbone"):
        evaluate_sae(stripping_backbone, tiny_sae, texts)
    assert evaluate_sae(stripping_backbone, tiny_sae, texts, other_backbone=True)["tokens"]


def test_the_plot_is_a_picture(tiny_backbone: str, tiny_sae: str, texts: datasets.Dataset) -> None:
    report = evaluate_sae(tiny_backbone, tiny_sae, texts, kind_column="kind")
    assert evaluation_png(report).startswith(b"\x89PNG")


def test_the_command_writes_report_and_plot_once(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text, "kind": "all of it"}) + "\n" for text in TEXTS))
    command = [
        "sae", "evaluate", str(path), "--backbone", tiny_backbone, "--sae", tiny_sae, "--out", str(tmp_path / "out"),
        "--kind-column", "kind",
    ]  # fmt: skip
    app(command, standalone_mode=False)
    printed = capsys.readouterr().out
    assert "all of it: " in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"fvu", "dead_share", "l0", "loss_recovered"} <= set(report)
    assert report["datasets"][0]["rows"] == len(TEXTS)
    assert (tmp_path / "out" / "report.png").exists()
    written = (tmp_path / "out" / "report.json").stat().st_mtime_ns
    app(command, standalone_mode=False)
    assert capsys.readouterr().out == printed
    assert (tmp_path / "out" / "report.json").stat().st_mtime_ns == written
    with pytest.raises(OutputError, match="of other max_tokens"):
        app([*command, "--max-tokens", "50"], standalone_mode=False)
    with pytest.raises(OutputError, match="of other renders"):
        app([*command, "--render", "raw"], standalone_mode=False)
    app([*command, "--max-tokens", "50", "--overwrite"], standalone_mode=False)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["tokens"] < report["tokens"]


def test_a_kind_column_that_is_not_there_is_an_error(
    tiny_backbone: str, tiny_sae: str, texts: datasets.Dataset
) -> None:
    with pytest.raises(ColumnError, match="no column 'topic'"):
        evaluate_sae(tiny_backbone, tiny_sae, texts, kind_column="topic")


def stated(sae: str, folder: Path, **training: float) -> str:
    """A copy of an SAE that says certain things of itself."""
    copy = SparseAutoencoder.from_pretrained(sae)
    copy.config.training = dict(training)
    copy.save_pretrained(folder)
    return str(folder)


def test_an_sae_that_explains_far_less_than_it_says_is_a_warning(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    sae = stated(tiny_sae, tmp_path, fvu=0.1, l0=8)
    extractor = FeatureExtractor(tiny_backbone, sae, threshold=0)
    with pytest.warns(UserWarning, match="its card says 0.10"):
        extractor.extract(TEXTS)


def test_the_comparison_is_made_once(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    extractor = FeatureExtractor(tiny_backbone, stated(tiny_sae, tmp_path, fvu=0.1), threshold=0)
    for _ in range(3):
        extractor.extract(TEXTS)
    assert len([warning for warning in recwarn if "its card says" in str(warning.message)]) == 1


def test_an_sae_as_good_as_it_says_is_no_warning(tmp_path: Path) -> None:
    sae = SparseAutoencoder.from_pretrained(identity_sae(tmp_path, 2))
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(300, TINY_WIDTH)).astype(np.float32))
    sae.config.training = {"fvu": 0.0, "l0": TINY_WIDTH}
    assert misfit(sae, vectors) is None
    sae.config.training = {"l0": 4}
    assert "32.0 active features a token, where its card says 4.0" in (misfit(sae, vectors) or "")
