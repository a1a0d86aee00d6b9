"""The card of an SAE, filled by what training and evaluation measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fac_datasets.files.resources import resource_folder

if TYPE_CHECKING:
    from fac_datasets.sae.model import SAEConfig


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
