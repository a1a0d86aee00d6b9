"""Headers of cards, checked by the double as the Hub documents them, seen through the real client."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.repository import REPOSITORY
from tests.servers.hub_double import Hub

METRICS = sorted((REPOSITORY / "metrics").glob("*/README.md"))


def upload(header: str, kind: str = "dataset") -> None:
    """Upload a card."""
    card = f"---\n{header}\n---\n# Card\n".encode()
    HfApi().upload_file(repo_id="me/talk", repo_type=kind, path_or_fileobj=card, path_in_repo="README.md")


def test_a_card_with_broken_metadata_is_refused(hub: Hub) -> None:
    hub.seed("datasets/me/talk", {})
    with pytest.raises(ValueError, match="Invalid metadata"):
        HfApi().upload_file(
            repo_id="me/talk", repo_type="dataset", path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md"
        )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("- license: mit", "must be a mapping"),
        ("license: my-own", "license. must be one of"),
        ("license: [mit, my-own]", r"license\[1\]. must be one of"),
        ("size_categories: [n<2K]", r"size_categories\[0\]. must be one of"),
        ("language: [en, english]", r"language\[1\]. must be an ISO 639"),
        ("language: en-US", "language. must be an ISO 639"),
        ("language: no", "language. must be an ISO 639"),
        ("configs: {config_name: a}", "configs. must be a list"),
        ("configs: [{data_files: a.csv}]", r"configs\[0\].config_name. is required"),
        ("configs: [{config_name: a, data_files: {train: a.csv}}]", r"configs\[0\].data_files. must be"),
        ("configs: [{config_name: a, data_files: [{split: train}]}]", r"configs\[0\].data_files. must be"),
    ],
)
def test_a_field_out_of_its_bounds_is_refused(hub: Hub, header: str, reason: str) -> None:
    hub.seed("datasets/me/talk", {})
    with pytest.raises(ValueError, match=reason):
        upload(header)
    assert "README.md" not in hub.files("datasets/me/talk")


@pytest.mark.parametrize(
    "header",
    [
        "license: apache-2.0",
        "license: other\nlicense_name: my-own\nlicense_link: LICENSE",
        "size_categories:\n- 1K<n<10K",
        "language: en",
        "language: [en, ckb, code, multilingual]",
        "configs: [{config_name: a, data_files: a.csv}]",
        "configs: [{config_name: a, data_files: [a.csv, b/*.csv]}, {config_name: b, data_dir: b}]",
        "configs: [{config_name: a, data_files: [{split: train, path: a.csv}, {split: test, path: [b, c]}]}]",
        "pretty_name: Talk\ntags: [chat]\ntask_categories: [text-generation]\nannotations_creators: [found]",
    ],
)
def test_a_documented_header_is_taken_without_a_word(hub: Hub, header: str) -> None:
    hub.seed("datasets/me/talk", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        upload(header)
    assert "README.md" in hub.files("datasets/me/talk")


@pytest.mark.parametrize(("header", "field"), [("sdk: gradio", "sdk"), ("licence: mit", "licence")])
def test_a_field_that_is_not_documented_is_warned_of(hub: Hub, header: str, field: str) -> None:
    hub.seed("datasets/me/talk", {})
    with pytest.warns(UserWarning, match=f'"{field}" is not a documented field of a dataset card'):
        upload(header)
    assert "README.md" in hub.files("datasets/me/talk")


def test_a_card_without_a_header_is_warned_of(hub: Hub) -> None:
    hub.seed("me/talk", {})
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        upload("", "model")


@pytest.mark.parametrize("readme", METRICS, ids=lambda path: path.parent.name)
def test_the_cards_of_our_own_metrics_are_taken_without_a_word(hub: Hub, readme: Path) -> None:
    hub.seed("spaces/me/metric", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        HfApi().upload_file(repo_id="me/metric", repo_type="space", path_or_fileobj=readme, path_in_repo="README.md")
