"""Cards of datasets and SAEs, filled by what a run knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fac_datasets.comparison import measures_table
from fac_datasets.resources import resource_folder

if TYPE_CHECKING:
    from fac_datasets.sae.model import SAEConfig
    from fac_datasets.synthesis.augment import AugmentedDataset


def dataset_card(
    report: dict[str, Any], augmented: AugmentedDataset, *, license: str | None = None, language: str | None = None
) -> str:
    """The card of an augmented dataset, from `cards/dataset.md`.

    Args:
        report: content of `report.json`.
        augmented: the dataset.
        license: of the seed, as a Hub identifier.
        language: of the texts, as a language code.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    rows = len(augmented.dataset["train"])
    data = DatasetCardData(
        license=license,
        language=language,
        size_categories=[_size_category(rows)],
        tags=["synthetic", "sparse-autoencoder", "fac", "fac-datasets"],
        configs=[
            {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in splits.items()]}
            | ({"default": True} if name == "default" else {})
            for name, splits in augmented.files().items()
        ],
    )
    template = str(resource_folder("cards") / "dataset.md")
    card = DatasetCard.from_template(
        data,
        template_path=template,
        report=report,
        rows=augmented.dataset.num_rows,
        measures=measures_table(report["measures"]),
    )
    return str(card) + "\n"


def sae_card(
    config: SAEConfig,
    report: dict[str, Any] | None = None,
    *,
    backbone: str | None = None,
    name: str | None = None,
    commands: str = "",
    license: str | None = None,
) -> str:
    """The card of an SAE, from `cards/sae.md`.

    Args:
        config: of the SAE.
        report: of `evaluate_sae`.
        backbone: under which the backbone is loaded; by default the name that the SAE knows.
        name: under which the SAE is loaded, such as its Hub id.
        commands: that made it.
        license: as a Hub identifier.
    """
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        license=license,
        base_model=config.backbone if "/" in config.backbone else None,
        tags=["sparse-autoencoder", "interpretability", "fac-datasets"],
    )
    card = ModelCard.from_template(
        data,
        template_path=str(resource_folder("cards") / "sae.md"),
        config=config,
        report=report or {},
        commands=commands,
        backbone_argument=repr(backbone or config.backbone or "backbone"),
        sae_argument=repr(name or config.name),
    )
    return str(card) + "\n"


def _size_category(rows: int) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M" if rows < 10_000_000 else "n>10M")
