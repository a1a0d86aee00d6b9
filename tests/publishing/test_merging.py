"""A card of ours and what people wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets.card import split_card
from fac_datasets.errors import PublishError
from fac_datasets.publishing.merging import BEGIN, END, merge_card

OURS = """---
license: mit
size_categories:
- n<1K
tags:
- fac
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
  default: true
dataset_info:
  features:
  - name: text
    dtype: string
---

# Ours
"""


def with_config(entry: str) -> str:
    return f"---\nconfigs:\n- {entry}\n---\nMine.\n"


def test_without_an_existing_card_ours_is_marked_as_ours() -> None:
    header, text = split_card(merge_card(None, OURS))
    assert header == split_card(OURS)[0]
    assert text.strip() == f"{BEGIN}\n# Ours\n{END}"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60).filter(lambda text: "---" not in text))
def test_a_text_of_peoples_own_stays_and_a_second_merge_changes_nothing(theirs: str) -> None:
    once = merge_card(f"---\nlicense: cc0-1.0\n---\n{theirs}\n", OURS)
    assert theirs.rstrip() in once
    assert merge_card(once, OURS) == once


def test_our_part_stays_where_people_moved_it() -> None:
    card = merge_card(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", OURS)
    assert split_card(card)[1].split() == f"Before. {BEGIN} # Ours {END} After.".split()


def test_fields_of_peoples_own_win_unless_ours_are_computed() -> None:
    theirs = "---\nlicense: cc0-1.0\nsize_categories:\n- n>1T\n---\n"
    assert split_card(merge_card(theirs, OURS))[0]["license"] == "cc0-1.0"
    header = split_card(merge_card(theirs, OURS, computed=["license", "size_categories"]))[0]
    assert (header["license"], header["size_categories"]) == ("mit", ["n<1K"])


def test_tags_are_joined_also_where_there_was_one() -> None:
    assert split_card(merge_card("---\ntags: cooking\n---\n", OURS))[0]["tags"] == ["cooking", "fac"]


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        (with_config("config_name: default\n  data_files: data/*.parquet"), "declares a config 'default' that is not"),
        (with_config("config_name: mine\n  data_files: mine/a.parquet\n  default: true"), "makes 'mine' the default"),
        (with_config("config_name: mine\n  data_files: mine/a.csv"), "declares 'mine/a.csv' as data of config 'mine'"),
        ("---\ndataset_info:\n  features: []\n---\n", "describes data of its own as config 'default'"),
        ("---\n- a list\n---\n", "the header of the card that is there cannot be read"),
        ("---\na: [\n---\n", "the header of the card that is there cannot be read"),
    ],
)
def test_what_cannot_stand_beside_ours_is_an_error(theirs: str, problem: str) -> None:
    with pytest.raises(PublishError, match=problem):
        merge_card(theirs, OURS)


def test_other_configs_stay_behind_ours() -> None:
    card = merge_card(with_config("config_name: mine\n  data_files: mine/a.parquet"), OURS)
    assert [config["config_name"] for config in split_card(card)[0]["configs"]] == ["default", "mine"]
