"""What an augmented dataset is on the Hub: its tables, its card, its branch, and who may see it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard, HfApi

from fac_datasets import feature_table
from fac_datasets.coverage.interval import ONE_ROW
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, OptionError, PublishError
from fac_datasets.interpretation.explain import explain
from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
from fac_datasets.publishing import publish
from fac_datasets.publishing.commit import MANIFEST
from fac_datasets.publishing.dataset_card import size_category
from fac_datasets.rows.dataset_identity import content_fingerprint
from fac_datasets.synthesis.augment import AugmentedDataset, augment
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.provenance import provenance_of, synthetic_features, synthetic_row
from tests.publishing.conftest import NEW_TEXTS, Case, synthetic_rows
from tests.servers.hub_double import WRITE_TOKEN, Hub
from tests.servers.hub_double.card_header import SIZE_CATEGORIES
from tests.synthesis.kinds.seeds import ALL
from tests.tiny import TEXTS

pytestmark = pytest.mark.slow

REPOSITORY = "datasets/me/data"


def loaded(config: str | None = None, **options: Any) -> Any:
    """The published dataset, read back."""
    return datasets.load_dataset("me/data", config, **options)


def header(hub: Hub, name: str = REPOSITORY) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(hub.files(name)["README.md"].decode().split("---\n")[1])
    return found


# What lands


def test_what_is_loaded_equals_what_was_published(hub: Hub, case: Case) -> None:
    case.publish()
    for split, rows in case.augmented.dataset.items():
        assert loaded(split=split).to_list() == rows.to_list()
    assert loaded("provenance", split="train").to_list() == case.augmented.provenance.to_list()


def test_it_can_be_streamed(hub: Hub, case: Case) -> None:
    case.publish()
    for split, rows in case.augmented.dataset.items():
        assert list(loaded(split=split, streaming=True)) == rows.to_list()
    assert list(loaded("provenance", split="train", streaming=True)) == case.augmented.provenance.to_list()


def test_the_header_declares_configs_splits_and_sizes(hub: Hub, case: Case) -> None:
    case.publish()
    declared = header(hub)
    assert [config["config_name"] for config in declared["configs"]] == ["default", "provenance"]
    sizes = {info["config_name"]: info for info in declared["dataset_info"]}
    assert {split["name"]: split["num_examples"] for split in sizes["default"]["splits"]} == {
        "seed": 2, "synthetic": 2, "train": 4,
    }  # fmt: skip
    files = {path: len(content) for path, content in hub.files(REPOSITORY).items()}
    assert sizes["default"]["download_size"] == sum(size for path, size in files.items() if path.startswith("data/"))
    assert sizes["provenance"]["download_size"] == files["provenance/train-00000-of-00001.parquet"]


def test_large_tables_are_split_into_shards(hub: Hub, case: Case) -> None:
    case.publish(shard_bytes=100)
    shards = [path for path in hub.files(REPOSITORY) if path.startswith("data/train-")]
    assert shards == [f"data/train-{shard:05}-of-{len(shards):05}.parquet" for shard in range(len(shards))]
    assert len(shards) > 1
    assert loaded(split="train").to_list() == case.augmented.dataset["train"].to_list()


def test_shards_of_an_earlier_state_are_removed(hub: Hub, case: Case) -> None:
    case.publish(shard_bytes=100)
    published = case.publish()
    assert "data/train-00000-of-00001.parquet" in published.changed
    assert [path for path in hub.files(REPOSITORY) if path.startswith("data/train-")] == [
        "data/train-00000-of-00001.parquet"
    ]


def test_features_and_feature_table_are_configs_of_their_own(hub: Hub, case: Case) -> None:
    features = case.augmented.dataset["train"].map(case.extractor, batched=True)
    table = explain(feature_table(case.anchor.map(case.extractor, batched=True)), TopTokensExplainer())
    case.publish(features=features, feature_table=table)
    assert loaded("features", split="train")["feature_ids"] == features["feature_ids"]
    assert "text" not in loaded("features", split="train").column_names
    assert loaded("feature_table", split="train").to_list() == table.to_list()
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert "The feature table holds excerpts of the anchor." in card
    assert [config["config_name"] for config in header(hub)["configs"]] == [
        "default", "feature_table", "features", "provenance",
    ]  # fmt: skip


def test_features_of_other_rows_are_refused(hub: Hub, case: Case) -> None:
    features = case.seed.map(case.extractor, batched=True)
    with pytest.raises(ColumnError, match="are of 2 rows that are not the 4 rows of 'train'"):
        case.publish(features=features)
    assert hub.requests() == []


def test_a_feature_table_of_another_space_is_refused(hub: Hub, case: Case) -> None:
    table = feature_table(case.anchor.map(case.extractor, batched=True))
    other = str(case.extractor.feature_space).replace("/layer2/", "/layer1/")
    table = table.remove_columns("feature_space").add_column("feature_space", [other] * len(table))
    with pytest.raises(FeatureSpaceMismatch):
        case.publish(feature_table=table)


def test_a_dataset_without_synthetic_rows_can_be_published(hub: Hub, case: Case) -> None:
    bare = augment(case.seed, case.synthetic.select([]))
    case.publish(augmented=bare, after=None)
    assert list(loaded()) == ["seed", "train"]
    assert "to which no synthetic row was added" in hub.files(REPOSITORY)["README.md"].decode()


def test_a_dataset_whose_synthetic_rows_are_gone_is_tagged_as_synthetic_no_more(hub: Hub, case: Case) -> None:
    case.publish()
    assert "synthetic" in header(hub)["tags"]
    case.publish(augmented=augment(case.seed, case.synthetic.select([])), after=None)
    assert header(hub)["tags"] == ["sparse-autoencoder", "fac", "fac-datasets"]


def test_a_dataset_whose_synthetic_rows_were_all_dropped_has_no_tag_of_the_runs_card(hub: Hub, case: Case) -> None:
    leaking = synthetic_rows(TEXTS[1:3], str(case.report.feature_space))
    augmented = augment(case.seed, leaking)
    of_the_run = case.publish("me/other", augmented=augmented, allow_leaks=True, dry_run=True).card
    assert "- synthetic\n" in of_the_run
    case.publish(augmented=augmented, card=of_the_run, drop_leaks=True)
    assert header(hub)["tags"] == ["sparse-autoencoder", "fac", "fac-datasets"]


def test_other_files_go_along(hub: Hub, case: Case, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_bytes(b"\x89PNG")
    (tmp_path / "journal.jsonl").write_text("{}\n")
    case.publish(files={"coverage.png": tmp_path / "plot.png", "journal.jsonl": tmp_path / "journal.jsonl"})
    files = hub.files(REPOSITORY)
    assert (files["coverage.png"], files["journal.jsonl"]) == (b"\x89PNG", b"{}\n")
    assert "![Coverage](coverage.png)" in files["README.md"].decode()


@pytest.mark.parametrize("name", ["../x", "/x", "README.md", "report.json", "data/train-00000-of-00001.parquet", ".x"])
def test_a_file_in_a_place_of_ours_is_an_error(hub: Hub, case: Case, tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(OptionError, match="is no place for a file of its own in the repository"):
        case.publish(files={name: tmp_path / "x"})


def test_a_file_that_is_not_there_is_an_error(hub: Hub, case: Case, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"there is no file .*plot\.png to publish"):
        case.publish(files={"plot.png": tmp_path / "plot.png"})


# The card


def test_the_card_passes_the_clients_own_validation(hub: Hub, case: Case) -> None:
    case.publish(task_categories=["text-generation"])
    card = DatasetCard.load("me/data")
    card.validate()
    assert card.data.license == "cc-by-4.0"
    assert card.data.language == "en"
    assert card.data.task_categories == ["text-generation"]
    assert card.data.source_datasets == ["me/seed"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.tags == ["synthetic", "sparse-autoencoder", "fac", "fac-datasets"]


def test_the_card_tells_coverage_before_and_after_with_intervals(hub: Hub, case: Case) -> None:
    case.publish()
    card = hub.files(REPOSITORY)["README.md"].decode()
    for rows, report in ((2, case.report), (4, case.after)):
        assert f"| {rows} | {report.fac:.3f} [{report.low:.3f}, {report.high:.3f}] |" in card
    assert f"{len(case.report.missing)} of the anchor's {len(case.report.relevant)} features were missing" in card
    assert f"{len(case.after.missing)} features stay missing" in card
    assert f"`{case.report.feature_space}`" in card


def test_the_card_tells_the_denominators_apart(hub: Hub, case: Case) -> None:
    case.publish()
    card = hub.files(REPOSITORY)["README.md"].decode()
    for name, report in (("seed", case.report), ("augmented", case.after)):
        share = report.of_anchor
        value = f"{share.share:.3f} [{share.low:.3f}, {share.high:.3f}]"
        assert f"| {name} | of all the anchor's features | {share.covered} | {share.of} | {value} |" in card
    assert "| of the relevant ones |" not in card


@pytest.mark.parametrize("count", ["rows", "activation"])
def test_the_card_says_what_counts_where_it_is_not_active_features(hub: Hub, case: Case, count: Any) -> None:
    report, after = (replace(measured, count=count) for measured in (case.report, case.after))
    publish(case.augmented, "me/data", report, after=after, anchor=case.anchor, license="mit")
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert f"activates too. By {count}, a feature counts as far as " in card
    assert f"| dataset | rows | FAC by {count} |" in card
    assert f"| dataset | features | covered | of | share by {count} |" in card


def test_coverages_of_which_other_things_count_do_not_stand_side_by_side(hub: Hub, case: Case) -> None:
    by_rows = replace(case.report, count="rows")
    with pytest.raises(OptionError, match=r"report is of FAC by rows and after of FAC, which do not compare"):
        publish(case.augmented, "me/data", by_rows, after=case.after, anchor=case.anchor, license="mit")


def test_names_that_the_report_knows_are_on_the_card(hub: Hub, case: Case) -> None:
    worst = case.after.missing_by_anchor_rows[0]
    report = {**case.report.to_dict(), "names": {str(worst): "peaks at *tea*"}}
    publish(case.augmented, "me/data", report, after=case.after, anchor=case.anchor, license="mit")
    assert rf"{worst} (peaks at \*tea\*)" in hub.files(REPOSITORY)["README.md"].decode()


def test_the_card_names_what_stays_missing_and_shows_names_as_text(hub: Hub, case: Case) -> None:
    table = feature_table(case.anchor.map(case.extractor, batched=True), features=case.after.missing)
    table = explain(table, TopTokensExplainer())
    names = ["<script>alert(1)</script> ![x](http://x/x.png)"] * len(table)
    table = table.remove_columns("explanation").add_column("explanation", names)
    case.publish(feature_table=table)
    card = hub.files(REPOSITORY)["README.md"].decode()
    worst = case.after.missing_by_anchor_rows[0]
    assert f"{worst} (&lt;script&gt;alert\\(1\\)&lt;/script&gt; \\!\\[x\\]" in card
    assert "<script>" not in card


def test_the_card_tells_how_the_rows_were_made(hub: Hub, case: Case) -> None:
    case.publish()
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert "Generator: `tiny@0`." in card
    assert "Prompts: 2 different ones" in card
    assert "Methods: 2 by examples." in card
    assert case.report.dataset.fingerprint in card
    assert case.report.anchor.fingerprint in card


def test_seed_rows_that_stand_in_the_anchor_are_counted(hub: Hub, case: Case) -> None:
    case.publish()
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert "Seed rows that also stand in the anchor: 1" in card
    assert "verbatim or nearly so: 0." in card


def test_leaks_are_looked_for_in_the_column_that_the_run_read_of_its_anchor(hub: Hub, case: Case) -> None:
    anchor = case.anchor.rename_column("text", "body")
    report = {**case.report.to_dict(), "settings": {"anchor_column": "body"}}
    report["anchor"] = {**report["anchor"], "fingerprint": content_fingerprint(anchor)}
    publish(case.augmented, "me/data", report, anchor=anchor, license="mit")
    assert "Seed rows that also stand in the anchor: 1" in hub.files(REPOSITORY)["README.md"].decode()


def test_reviews_are_told_with_their_agreement(hub: Hub, case: Case) -> None:
    answers = [("yes", "keep"), ("yes", "keep"), ("no", "drop")]
    reviews = [
        [
            {"reviewer": name, "status": "submitted", "outdated": False, "natural": natural, "keep": keep}
            for name, (natural, keep) in zip("ab", pair, strict=True)
        ]
        for pair in (answers[:2], answers[1:])
    ]
    reviewed = case.synthetic.add_column("reviews", reviews).add_column("accepted", [True, False])
    case.publish(augmented=augment(case.seed, reviewed), reviewed=reviewed, after=None)
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert "2 of 2 records were reviewed: 4 answers, 0 drafts, 0 discarded" in card
    # Two records, answers keep+keep and keep+drop: one disagreement of two pairs, where chance gives as much.
    assert "| keep | 0.00 | 2 | 4 |" in card
    assert loaded(split="synthetic")["text"] == NEW_TEXTS[:1]


def test_rows_that_were_not_accepted_are_told(hub: Hub, case: Case) -> None:
    reviews = [[{"reviewer": "a", "status": "submitted", "outdated": False, "keep": "drop"}]] * 2
    reviewed = case.synthetic.add_column("reviews", reviews).add_column("accepted", [False, None])
    case.publish(augmented=augment(case.seed, reviewed, keep="all"), reviewed=reviewed, after=None)
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert "2 of the synthetic rows here were dropped by reviewers or not decided on." in card


def test_a_report_of_merged_shards_has_no_intervals(hub: Hub, case: Case) -> None:
    report = replace(case.report, low=None, high=None)
    publish(case.augmented, "me/data", report, anchor=case.anchor, license="mit")
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert f"| seed | 2 | {report.fac:.3f} |" in card
    assert "bootstrap" not in card


def test_the_card_tells_why_a_single_row_has_no_interval(hub: Hub, case: Case) -> None:
    report = replace(case.report, low=None, high=None, no_interval=ONE_ROW)
    publish(case.augmented, "me/data", report, anchor=case.anchor, license="mit")
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert f"| {report.fac:.3f} (no interval: {ONE_ROW}) |" in card


def test_names_of_datasets_are_shown_as_text(hub: Hub, case: Case) -> None:
    report = replace(case.report, dataset=case.report.dataset._replace(id="my|seed_*x*.jsonl"))
    publish(case.augmented, "me/data", report, anchor=case.anchor, license="mit")
    assert "| seed | my\\|seed\\_\\*x\\*.jsonl |" in hub.files(REPOSITORY)["README.md"].decode()


@pytest.mark.parametrize("rows", [0, 999, 1_000, 99_999, 10**6, 10**9, 10**11, 10**12, 10**15])
def test_sizes_are_those_that_the_hub_knows(rows: int) -> None:
    assert size_category(rows) in SIZE_CATEGORIES


def test_harmful_data_is_marked(hub: Hub, case: Case) -> None:
    case.publish(not_for_all_audiences=True)
    assert "not-for-all-audiences" in header(hub)["tags"]
    assert "holds harmful text on purpose" in hub.files(REPOSITORY)["README.md"].decode()


def test_without_a_licence_it_asks_for_one(hub: Hub, case: Case) -> None:
    with pytest.raises(OptionError, match=r"no licence is known of the seed.*'cc-by-4\.0', or 'unknown'"):
        case.publish(license=None)
    assert hub.requests() == []


def test_the_licence_of_the_seed_is_inherited(hub: Hub, case: Case) -> None:
    seed = case.augmented.dataset["seed"].select([0, 1])
    seed.info.license = "odc-by"
    splits = datasets.DatasetDict({**case.augmented.dataset, "seed": seed})
    case.publish(augmented=AugmentedDataset(splits, case.augmented.provenance), license=None)
    assert header(hub)["license"] == "odc-by"


# What people put there


PEOPLES = """---
pretty_name: My data
license: mit
tags:
- cooking
configs:
- config_name: extra
  data_files: extra/*.parquet
dataset_info:
- config_name: extra
  features:
  - name: a
    dtype: int64
---

# Mine

Written by hand. $1 \\1
"""


@pytest.fixture
def peoples(hub: Hub) -> Hub:
    """A Hub with a repository that somebody has written a card for."""
    content = io.BytesIO()
    datasets.Dataset.from_dict({"a": [1]}).to_parquet(content)
    hub.seed(REPOSITORY, {"README.md": PEOPLES.encode(), "extra/one.parquet": content.getvalue()}, private=True)
    return hub


def test_a_card_and_data_of_peoples_own_stay(peoples: Hub, case: Case) -> None:
    theirs = peoples.files(REPOSITORY)["extra/one.parquet"]
    case.publish()
    for _ in range(2):
        files = peoples.files(REPOSITORY)
        card = files["README.md"].decode()
        assert "# Mine\n\nWritten by hand. $1 \\1\n" in card
        assert card.count("# me/seed, augmented by feature activation coverage") == 1
        declared = header(peoples)
        assert declared["pretty_name"] == "My data"
        assert declared["tags"][0] == "cooking"
        assert {config["config_name"] for config in declared["configs"]} == {"default", "provenance", "extra"}
        assert {info["config_name"] for info in declared["dataset_info"]} == {"default", "provenance", "extra"}
        assert files["extra/one.parquet"] == theirs
        assert loaded("extra", split="train").to_list() == [{"a": 1}]
        assert loaded(split="train").to_list() == case.augmented.dataset["train"].to_list()
        case.publish(augmented=augment(case.seed, case.synthetic.select([0])))
        case.publish()


def test_a_licence_that_people_chose_stays_unless_another_is_asked_for(peoples: Hub, case: Case) -> None:
    seed = case.augmented.dataset["seed"].select([0, 1])
    seed.info.license = "odc-by"
    splits = datasets.DatasetDict({**case.augmented.dataset, "seed": seed})
    case.publish(augmented=AugmentedDataset(splits, case.augmented.provenance), license=None)
    assert header(peoples)["license"] == "mit"
    case.publish(license="cc0-1.0")
    assert header(peoples)["license"] == "cc0-1.0"


@pytest.mark.parametrize(
    ("path", "card", "problem"),
    [
        (
            "data/train-00000-of-00002.parquet",
            None,
            "holds data of its own, such as 'data/train-00000-of-00002.parquet'",
        ),
        ("train.csv", "Mine.\n", "holds data of its own, such as 'train.csv', that no config declares"),
        ("report.json", None, "holds a file 'report.json' that was not published by fac-datasets"),
        ("provenance/train-00000-of-00001.parquet", "MINE", "holds a file 'provenance/train-00000-of-00001.parquet'"),
        ("mine/a.csv", "MINE", "holds 'mine/a.csv' as data of a config"),
    ],
)
def test_a_file_of_peoples_own_is_neither_overwritten_nor_hidden(
    hub: Hub, case: Case, path: str, card: str | None, problem: str
) -> None:
    declared = "---\nconfigs:\n- config_name: mine\n  data_dir: mine\n---\n"
    files = {path: b"theirs"} | ({} if card is None else {"README.md": card.replace("MINE", declared).encode()})
    hub.seed(REPOSITORY, files, private=True)
    before = hub.files(REPOSITORY)
    with pytest.raises(PublishError, match=re.escape(problem)):
        case.publish()
    assert hub.files(REPOSITORY) == before


def test_a_file_that_the_repository_ignores_is_told_before_anything_is_committed(hub: Hub, case: Case) -> None:
    hub.seed(REPOSITORY, {".gitignore": b"data/*\n"}, private=True)
    with pytest.raises(PublishError, match=r"the \.gitignore of me/data keeps 'data/seed-00000-of-00001\.parquet' out"):
        case.publish()
    assert set(hub.files(REPOSITORY)) == {".gitattributes", ".gitignore"}


def test_a_damaged_list_of_files_is_told(hub: Hub, case: Case) -> None:
    hub.seed(REPOSITORY, {MANIFEST: b"{"}, private=True)
    with pytest.raises(PublishError, match="which lists the files of the earlier publication, is damaged"):
        case.publish()


def test_configs_that_are_published_no_more_are_gone_from_card_and_repository(hub: Hub, case: Case) -> None:
    case.publish(features=case.augmented.dataset["train"].map(case.extractor, batched=True))
    for augmented, configs in (
        (case.augmented, {"default", "provenance"}),
        (augment(case.seed, case.synthetic.select([])), {"default"}),
    ):
        for _ in range(2):
            published = case.publish(augmented=augmented, after=None)
        assert published.changed == ()
        assert {config["config_name"] for config in header(hub)["configs"]} == configs
        folders = {path.partition("/")[0] for path in hub.files(REPOSITORY) if path.endswith(".parquet")}
        assert folders == {"data" if config == "default" else config for config in configs}
        for config in configs:
            assert loaded(config)


def test_a_config_of_somebody_elses_is_not_taken_over(hub: Hub, case: Case) -> None:
    datasets.Dataset.from_dict({"a": [1]}).push_to_hub("me/data", private=True)
    before = hub.files(REPOSITORY)
    with pytest.raises(PublishError, match="declares a config 'default' that is not of an earlier publication"):
        case.publish()
    assert hub.files(REPOSITORY) == before


# Where it goes, and who may see it


def test_a_new_repository_is_private_unless_it_is_meant_to_be_public(hub: Hub, case: Case) -> None:
    case.publish()
    assert hub.repositories[REPOSITORY].private
    case.publish("me/open", public=True)
    assert not hub.repositories["datasets/me/open"].private


def test_nothing_is_published_to_a_public_repository_by_accident(hub: Hub, case: Case) -> None:
    hub.seed(REPOSITORY, {"notes.txt": b""}, private=False)
    with pytest.raises(PublishError, match=r"me/data is public, .* \(--public, public=True; private=False of push"):
        case.publish()
    assert set(hub.files(REPOSITORY)) == {".gitattributes", "notes.txt"}


def test_a_repository_becomes_public_after_there_is_something_in_it(hub: Hub, case: Case) -> None:
    case.publish(public=True)
    asked = hub.requests("POST .*/commit/|PUT .*/settings")
    assert [line.split("/")[-1] for line in asked] == ["main", "settings"]


def test_a_name_alone_is_a_repository_of_ones_own(hub: Hub, case: Case) -> None:
    case.publish("data")
    assert REPOSITORY in hub.repositories


def test_one_publication_is_one_commit(hub: Hub, case: Case) -> None:
    published = case.publish()
    history = HfApi().list_repo_commits("me/data", repo_type="dataset")
    assert [commit.title for commit in history] == ["Publish 4 rows with fac-datasets", "initial commit"]
    assert published.commit == history[0].commit_id
    assert published.url == f"{hub.url}/datasets/me/data/commit/{published.commit}"


def test_the_same_again_is_no_commit_and_uploads_nothing(hub: Hub, case: Case) -> None:
    first = case.publish()
    hub.log.clear()
    again = case.publish()
    assert (again.commit, again.changed) == (first.commit, ())
    assert hub.requests("POST|PUT") == []


def test_blobs_that_are_there_are_not_sent_again(hub: Hub, case: Case) -> None:
    case.publish()
    hub.log.clear()
    case.publish("me/copy")
    assert hub.requests("PUT /large-files") == []


def test_it_goes_to_a_branch_of_its_own(hub: Hub, case: Case) -> None:
    case.publish()
    case.publish(augmented=augment(case.seed, case.synthetic.select([0])), revision="smaller")
    assert len(loaded(split="train")) == 4
    assert len(loaded(split="train", revision="smaller")) == 3


def test_a_pull_request_leaves_the_branch_alone(hub: Hub, case: Case) -> None:
    case.publish()
    before = hub.files(REPOSITORY)
    published = case.publish(augmented=augment(case.seed, case.synthetic.select([0])), create_pr=True)
    assert published.url == f"{hub.url}/datasets/me/data/discussions/1"
    assert hub.files(REPOSITORY) == before
    assert len(loaded(split="train", revision="refs/pr/1")) == 3


def test_a_pull_request_is_opened_once(hub: Hub, case: Case) -> None:
    case.publish()
    smaller = augment(case.seed, case.synthetic.select([0]))
    first, again = (case.publish(augmented=smaller, create_pr=True) for _ in range(2))
    assert first.url == again.url
    assert list(hub.repositories[REPOSITORY].pull_requests) == ["refs/pr/1"]


def test_a_pull_request_that_is_open_is_brought_up_to_date(hub: Hub, case: Case) -> None:
    case.publish()
    case.publish(augmented=augment(case.seed, case.synthetic.select([0])), create_pr=True)
    case.publish(augmented=augment(case.seed, case.synthetic.select([1])), revision="refs/pr/1")
    assert loaded(split="synthetic", revision="refs/pr/1")["text"] == NEW_TEXTS[1:]
    assert loaded(split="synthetic")["text"] == NEW_TEXTS
    with pytest.raises(PublishError, match="me/data has no revision 'refs/pr/2' to publish to"):
        case.publish(revision="refs/pr/2")


def test_a_pull_request_does_not_make_a_repository_public(hub: Hub, case: Case) -> None:
    case.publish()
    smaller = augment(case.seed, case.synthetic.select([0]))
    case.publish(augmented=smaller, create_pr=True, public=True)
    case.publish(augmented=smaller, revision="refs/pr/1", public=True)
    assert hub.repositories[REPOSITORY].private


def test_a_proposal_to_others_can_be_opened_and_brought_up_to_date(hub: Hub, case: Case) -> None:
    hub.seed("datasets/other/data", {"notes.md": b"Theirs."}, private=False)
    case.publish("other/data", create_pr=True)
    case.publish("other/data", augmented=augment(case.seed, case.synthetic.select([0])), revision="refs/pr/1")
    assert len(datasets.load_dataset("other/data", revision="refs/pr/1", split="train")) == 3
    assert set(hub.files("datasets/other/data")) == {".gitattributes", "notes.md"}


def test_a_version_gets_a_tag(hub: Hub, case: Case) -> None:
    published = case.publish(tag="v1.0")
    assert hub.repositories[REPOSITORY].tags == {"v1.0": published.commit}
    assert case.publish(tag="v1.0").commit == published.commit


def test_a_tag_that_is_taken_meanwhile_is_told_with_what_was_published(hub: Hub, case: Case) -> None:
    def take() -> None:
        hub.repositories[REPOSITORY].tags["v1"] = next(iter(hub.repositories[REPOSITORY].commits))

    hub.before("PUT .*/settings", take)
    with pytest.raises(
        PublishError, match=r"published as .*/commit/.*, but it has no tag 'v1': it is at .* run this again"
    ):
        case.publish(public=True, tag="v1")
    assert not hub.repositories[REPOSITORY].private
    assert case.publish(public=True, tag="v2").changed == ()


def test_a_history_that_is_rewritten_meanwhile_is_told(hub: Hub, case: Case) -> None:
    case.publish()
    repository = hub.repositories[REPOSITORY]
    files = repository.find("main").files

    def rewrite() -> None:
        repository.append("main", files, "another start")

    hub.before("POST .*/commit/", rewrite)
    with pytest.raises(PublishError, match="the history of me/data was rewritten meanwhile; main is at"):
        case.publish(augmented=augment(case.seed, case.synthetic.select([0])))
    case.publish(augmented=augment(case.seed, case.synthetic.select([0])))
    assert len(loaded(split="train")) == 3


def test_a_tag_is_never_moved(hub: Hub, case: Case) -> None:
    published = case.publish(tag="v1.0")
    with pytest.raises(PublishError, match=f"the tag 'v1.0' of me/data is at {str(published.commit)[:12]} already"):
        case.publish(augmented=augment(case.seed, case.synthetic.select([0])), tag="v1.0")
    assert hub.repositories[REPOSITORY].branches["main"] == published.commit


def test_a_dry_run_lists_every_file_and_asks_the_hub_nothing(hub: Hub, case: Case) -> None:
    planned = case.publish(dry_run=True)
    assert hub.requests() == []
    case.publish()
    files = {path: len(content) for path, content in hub.files(REPOSITORY).items() if path != ".gitattributes"}
    assert planned.files == files
    assert planned.card == hub.files(REPOSITORY)["README.md"].decode()
    assert "data/train-00000-of-00001.parquet" in str(planned)
    assert planned.url is None


def test_contradicting_options_are_an_error(case: Case) -> None:
    for options in ({"revision": "draft"}, {"tag": "v1"}):
        with pytest.raises(OptionError, match="a pull request goes to the main branch and gets no tag"):
            case.publish(create_pr=True, **options)
    with pytest.raises(OptionError, match="'me//data' is no id of a repository"):
        case.publish("me//data")


# What must not be published


def test_rows_that_stand_in_the_anchor_stop_it(hub: Hub, case: Case) -> None:
    leaking = synthetic_rows([NEW_TEXTS[0], "I would like two cups of coffee!"], case.report.feature_space)
    augmented = augment(case.seed, leaking)
    with pytest.raises(
        PublishError,
        match=r"^a synthetic row stands .*: row 1 \(s1\) shares 88% with anchor row 2$",
    ):
        case.publish(augmented=augmented)
    assert hub.requests() == []
    case.publish(augmented=augmented, allow_leaks=True)
    assert "verbatim or nearly so: 1." in hub.files(REPOSITORY)["README.md"].decode()


def test_all_rows_that_stand_in_the_anchor_are_listed(case: Case) -> None:
    leaking = synthetic_rows([TEXTS[3], NEW_TEXTS[0], TEXTS[5].upper()], case.report.feature_space)
    with pytest.raises(PublishError, match=r"2 synthetic rows .*: row 0 \(s0\) .* row 2; row 2 \(s2\) .* row 4$"):
        case.publish(augmented=augment(case.seed, leaking), dry_run=True)


def test_rows_that_stand_in_the_anchor_are_left_out_where_that_is_asked_for(hub: Hub, case: Case) -> None:
    leaking = synthetic_rows([TEXTS[3], NEW_TEXTS[0]], case.report.feature_space)
    augmented = augment(case.seed, leaking)
    features = augmented.dataset["train"].map(case.extractor, batched=True)
    case.publish(augmented=augmented, features=features, drop_leaks=True)
    assert loaded(split="synthetic")["text"] == NEW_TEXTS[:1]
    assert loaded(split="train")["text"] == [*TEXTS[:2], NEW_TEXTS[0]]
    assert loaded("provenance", split="train")["synthetic_id"] == ["s1"]
    assert loaded("features", split="train")["feature_ids"][2] == features["feature_ids"][3]
    files = hub.files(REPOSITORY)
    assert json.loads(files["report.json"])["leaks_dropped"] == 1
    card = files["README.md"].decode()
    assert "Coverage was measured before a synthetic row that stands in the anchor was left out." in card
    assert "verbatim or nearly so: 0; 1 such row was left out." in card


def test_leaks_are_either_allowed_or_dropped(case: Case) -> None:
    with pytest.raises(OptionError, match=r"either allowed .* or dropped"):
        case.publish(allow_leaks=True, drop_leaks=True, dry_run=True)


def test_without_the_anchor_it_is_not_published_unless_that_is_meant(hub: Hub, case: Case) -> None:
    with pytest.raises(OptionError, match=r"pass it \(anchor=, --anchor\)"):
        case.publish(anchor=None)
    case.publish(anchor=None, allow_leaks=True)
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert "Whether synthetic rows stand in the anchor was not checked." in card


def test_another_anchor_than_the_reports_is_refused(case: Case) -> None:
    with pytest.raises(OptionError, match="but the report was made with me/anchor"):
        case.publish(anchor=case.anchor.select([0]), dry_run=True)


FAKE_KEY = "hf_" + "a1B2" * 9


@pytest.mark.parametrize("where", ["text", "journal", "card"])
def test_what_looks_like_a_key_stops_it_and_is_not_repeated(hub: Hub, case: Case, where: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {}
    if where == "text":
        leaking = synthetic_rows([NEW_TEXTS[0], f"My token is {FAKE_KEY}."], case.report.feature_space)
        options["augmented"] = augment(case.seed, leaking)
    elif where == "journal":
        (tmp_path / "journal.jsonl").write_text(f'{{"a": 1}}\n{{"text": "{FAKE_KEY}"}}\n')
        options["files"] = {"journal.jsonl": tmp_path / "journal.jsonl"}
    else:
        options["card"] = f"---\nlicense: mit\n---\nMy key: {FAKE_KEY}\n"
    place = {
        "text": r"row 1, column 'text' of config 'default', split 'synthetic'",
        "journal": r"line 2 of journal\.jsonl",
        "card": r"line \d+ of README\.md",
    }[where]
    with pytest.raises(PublishError, match=f"{place} holds what looks like a token of the Hugging Face") as refused:
        case.publish(**options)
    assert FAKE_KEY not in str(refused.value)
    assert hub.requests() == []


def test_the_token_in_use_is_found_wherever_it_stands(hub: Hub, case: Case) -> None:
    leaking = synthetic_rows([NEW_TEXTS[0], "My password is hunter2-of-mine."], case.report.feature_space)
    with pytest.raises(PublishError, match="holds what looks like the token in use"):
        case.publish(augmented=augment(case.seed, leaking), token="hunter2-of-mine")
    logged_in = synthetic_rows([f"It is {WRITE_TOKEN}."], case.report.feature_space)
    with pytest.raises(PublishError, match=r"row 0, column 'text' .* holds what looks like the token in use"):
        case.publish(augmented=augment(case.seed, logged_in))
    assert hub.requests() == []


CLAIMS = {
    "labelled-text: class label": "Labels asked for, not checked.",
    "instruction: prompt and response": "Responses: not checked.",
    "preference: transcripts": "Order of the pairs: not checked.",
    "ab-question: letters": "Matching answers: not checked.",
}


@pytest.mark.parametrize("name", CLAIMS)
def test_every_kind_is_published_with_what_is_known_of_it(hub: Hub, case: Case, name: str) -> None:
    kind_name, seed = ALL[name]
    column = "chosen" if kind_name == "preference" else None
    kind = recognise(seed, column=column)
    sample = kind.sample_of(seed[0])
    assert sample is not None
    parts = [*sample.texts, *sample.texts]
    rows = [
        synthetic_row(kind.cells(sample), {**of, "target_part": part})
        for part, of in zip(parts, provenance_of(case.synthetic), strict=False)
    ]
    synthetic = datasets.Dataset.from_list(rows, features=synthetic_features(kind.features))
    case.publish(augmented=augment(seed, synthetic), column=column)
    card = hub.files(REPOSITORY)["README.md"].decode()
    assert f"Kind of data: {kind_name}." in card
    assert CLAIMS[name] in card
    assert all(f"`{column}`" in card for column in kind.left_empty)
    if len(sample.texts) > 1:
        assert f"Where the target feature peaks: 1 in the {parts[0]}, 1 in the {parts[1]}." in card


def test_a_part_that_stands_in_the_anchor_is_a_leak(hub: Hub, case: Case) -> None:
    seed = datasets.Dataset.from_dict({"prompt": ["Hi."], "chosen": ["Hello."], "rejected": ["What?"]})
    row = {"prompt": "And then?", "chosen": "It left.", "rejected": case.anchor[2]["text"]}
    rows = [synthetic_row(row, dict(of)) for of in provenance_of(case.synthetic)]
    augmented = augment(seed, datasets.Dataset.from_list(rows))
    with pytest.raises(PublishError, match="2 synthetic rows stand in the anchor, or hold a row of it"):
        case.publish(augmented=augmented)
    assert hub.requests() == []
