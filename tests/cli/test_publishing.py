"""`fac-datasets publish`: from the folder of a run to the Hub, as a user does it."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from fac_datasets.errors import DatasetError, OptionError, PublishError
from fac_datasets.pipeline import Settings, run
from fac_datasets.rows.card_header import split_card
from fac_datasets.synthesis.augment import AugmentedDataset, load_synthetic
from tests.command_line import command
from tests.servers.hub_double import Hub
from tests.servers.hub_double.card_header import check
from tests.tiny import TEXTS

pytestmark = pytest.mark.slow

REPOSITORY = "datasets/me/data"


@pytest.fixture(scope="module")
def finished(tiny_backbone: str, tiny_sae: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, and the anchor beside it."""
    folder = tmp_path_factory.mktemp("run")
    seed, anchor = (datasets.Dataset.from_dict({"text": texts}) for texts in (TEXTS[:2], TEXTS[1:8]))
    anchor.to_json(folder / "anchor.jsonl")
    settings = Settings(
        backbone=tiny_backbone,
        sae=tiny_sae,
        threshold="q75",
        max_features=5,
        max_new_tokens=24,
        temperature=1.0,
        license="mit",
        language="en",
    )
    names = ("seed.jsonl", "me/anchor")
    run(seed, anchor, folder / "out", settings, names=names, command="fac-datasets run ...", say=lambda _line: None)
    return folder


@pytest.fixture
def published(hub: Hub, finished: Path) -> Hub:
    """The Hub after the run was published."""
    command("publish", "data", finished / "out", "me/data", "--anchor", finished / "anchor.jsonl", "--tag", "v1")
    return hub


def test_a_run_is_published_as_it_lies_in_its_folder(published: Hub, finished: Path) -> None:
    files = published.files(REPOSITORY)
    assert files["coverage.png"] == (finished / "out" / "coverage.png").read_bytes()
    assert json.loads(files["report.json"]) == json.loads((finished / "out" / "report.json").read_text())
    ours = AugmentedDataset.load(finished / "out")
    for split, rows in ours.dataset.items():
        assert datasets.load_dataset("me/data", split=split).to_list() == rows.to_list()
    assert datasets.load_dataset("me/data", "provenance")["train"].to_list() == ours.provenance.to_list()
    assert published.repositories[REPOSITORY].tags.keys() == {"v1"}


def test_its_card_tells_what_the_run_knows(published: Hub, finished: Path) -> None:
    card = published.files(REPOSITORY)["README.md"].decode()
    report = json.loads((finished / "out" / "report.json").read_text())
    assert check(card, "dataset") == ([], [])
    assert (split_card(card)[0]["license"], split_card(card)[0]["language"]) == ("mit", "en")
    for scores in (report["before"]["A2"], report["after"]["guided"]["A2"]):
        assert f"{scores['fac']:.3f} [{scores['low']:.3f}, {scores['high']:.3f}]" in card
    for outcome, count in report["samples"]["guided"].items():
        assert f"| {outcome} | {count} |" in card
    for way, tally in report["by_way"]["guided"].items():
        counted = f"| {way} | {tally['drafts']} | {tally['accepted']} | {tally['decoded_tokens']:,} |"
        assert f"{counted} {tally['prompt_tokens']:,} |" in card
    assert f"{len(report['still_missing'])} features stay missing" in card
    assert "fac-datasets run ..." in card
    assert f"torch {report['versions']['torch']}" in card
    assert "Seed rows that also stand in the anchor: 1" in card
    assert str(finished) not in card
    assert card.count("## Coverage") == 1


def test_only_what_reviewers_accepted_is_published(hub: Hub, finished: Path, tmp_path: Path) -> None:
    ours = AugmentedDataset.load(finished / "out")
    texts = ours.dataset["synthetic"]["text"]
    reviews = [
        [{"reviewer": name, "status": "submitted", "outdated": False, "keep": "keep"} for name in "ab"] for _ in texts
    ]
    accepted = [place == 0 for place in range(len(texts))]
    rows = load_synthetic(str(finished / "out"))
    reviewed = rows.add_column("reviews", reviews).add_column("accepted", accepted)
    reviewed.to_parquet(tmp_path / "kept.parquet")
    command(
        "publish", "data", finished / "out", "me/data", "--anchor", finished / "anchor.jsonl",
        "--reviewed", tmp_path / "kept.parquet",
    )  # fmt: skip
    assert datasets.load_dataset("me/data", split="synthetic")["text"] == texts[:1]
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert f"The figures are of all {len(texts)} rows that were generated; 1 of them are in this dataset." in card
    assert "## Human review" in card


def test_a_dry_run_prints_files_sizes_and_card_and_asks_nothing(hub: Hub, finished: Path) -> None:
    shown = command("publish", "data", finished / "out", "me/data", "--anchor", finished / "anchor.jsonl", "--dry-run")
    assert "me/data: 8 files, nothing was sent" in shown
    assert "bytes  data/train-00000-of-00001.parquet" in shown
    assert "augmented by feature activation coverage" in shown
    assert hub.requests() == []


def test_words_that_people_put_on_the_card_in_the_folder_are_published(
    hub: Hub, finished: Path, tmp_path: Path
) -> None:
    folder = finished / "out"
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("license: mit", "license: mit\npretty_name: Ours") + "\nBy us.\n")
    try:
        command("publish", "data", folder, "me/data", "--anchor", finished / "anchor.jsonl")
    finally:
        (folder / "README.md").write_text(card)
    header, text = split_card(hub.files(REPOSITORY)["README.md"].decode())
    assert header["pretty_name"] == "Ours"
    assert text.rstrip().endswith("By us.")
    assert text.count("## Coverage") == 1


def test_what_is_no_run_is_an_error(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"holds no finished run, whose report is report\.json"):
        command("publish", "data", tmp_path, "me/data")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(DatasetError, match="holds no augmented dataset"):
        command("publish", "data", tmp_path, "me/data")


def test_the_anchor_is_asked_for(finished: Path) -> None:
    with pytest.raises(OptionError, match="--anchor"):
        command("publish", "data", finished / "out", "me/data", "--dry-run")


def test_a_public_repository_needs_the_option(published: Hub, finished: Path) -> None:
    published.repositories[REPOSITORY].visibility = "public"
    options = ("publish", "data", finished / "out", "me/data", "--anchor", finished / "anchor.jsonl")
    with pytest.raises(PublishError, match="--public"):
        command(*options)
    assert "all of it was there already" in command(*options, "--public")


def test_what_the_seeds_card_says_is_inherited_and_the_command_makes_it_again(
    hub: Hub, tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    header = "license: other\nlicense_name: mine\nlicense_link: https://x\nlanguage:\n- no\n"
    header += "tags:\n- not-for-all-audiences\n"
    texts = {"question": TEXTS[:2], "prompt": ["x", "y"]}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(texts)}).push_to_hub("me/seed")
    card = hub.files("datasets/me/seed")["README.md"].decode()
    commit = hub.seed("datasets/me/seed", {"README.md": card.replace("---\n", f"---\n{header}", 1).encode()})
    (tmp_path / "anchor").mkdir()
    datasets.Dataset.from_dict({"question": TEXTS[2:8]}).to_json(tmp_path / "anchor" / "anchor.jsonl")
    anchor = tmp_path / "anchor" / "anchor.jsonl"
    command(
        "run", "me/seed", anchor, "--out", tmp_path / "out", "--backbone", tiny_backbone, "--sae", tiny_sae,
        "--max-features", 0, "--threshold", "q75", "--split", "train", "--column", "question",
    )  # fmt: skip
    command("publish", "data", tmp_path / "out", "me/data", "--anchor", anchor)
    card = hub.files(REPOSITORY)["README.md"].decode()
    inherited = split_card(card)[0]
    assert (inherited["license"], inherited["license_name"], inherited["license_link"]) == (
        "other",
        "mine",
        "https://x",
    )
    assert inherited["language"] == ["no"]
    assert "not-for-all-audiences" in inherited["tags"]
    assert inherited["source_datasets"] == ["me/seed"]
    assert f"| seed | me/seed at `{commit}`, split `train` |" in card
    assert (
        "fac-datasets run me/seed anchor.jsonl --out FOLDER "
        f"--backbone {Path(tiny_backbone).name} --sae {Path(tiny_sae).name} --column question --split train "
        "--max-features 0 --threshold q75\n"
    ) in card
