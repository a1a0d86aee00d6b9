"""A card of ours and what people wrote."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets.errors import PublishError
from fac_datasets.publishing.merging import BEGIN, END, merge_card
from fac_datasets.rows.card_header import split_card

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
- config_name: default
  features:
  - name: text
    dtype: string
---

# Ours
"""

ADDED = '<!-- tags that were added: ["fac"] -->'


def with_config(entry: str) -> str:
    return f"---\nconfigs:\n- {entry}\n---\nMine.\n"


def test_without_an_existing_card_ours_is_marked_as_ours() -> None:
    header, text = split_card(merge_card(None, OURS))
    assert header == split_card(OURS)[0]
    assert text.strip() == f"{BEGIN}\n{ADDED}\n# Ours\n{END}"


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60).filter(lambda text: "---" not in text))
def test_a_text_of_peoples_own_stays_and_a_second_merge_changes_nothing(theirs: str) -> None:
    once = merge_card(f"---\nlicense: cc0-1.0\n---\n{theirs}\n", OURS)
    assert theirs.rstrip() in once
    assert merge_card(once, OURS) == once


@pytest.mark.parametrize("ours", [OURS, OURS.replace("- fac\n", "- fac\n- no\n")])
def test_a_first_card_is_not_changed_by_a_second_merge(ours: str) -> None:
    once = merge_card(None, ours)
    assert merge_card(once, ours) == once


def test_comments_order_and_writing_of_a_header_stay() -> None:
    theirs = '---\n# Ours since 2020.\nlicense: "cc0-1.0"  # for now\ntags: [a, fac]\n\npretty_name: >-\n  A\n  name\n'
    assert merge_card(f"{theirs}---\nMine.\n", OURS).startswith(theirs)


@pytest.mark.parametrize("start", ["\ufeff", "\n\n", ""])
def test_a_header_is_found_behind_a_mark_or_blank_lines(start: str) -> None:
    header, text = split_card(merge_card(f"{start}---\r\nlicense: cc0-1.0\r\n---\r\nMine.\r\nToo.\r\n", OURS))
    assert header["license"] == "cc0-1.0"
    assert text.startswith("Mine.\r\nToo.")


def test_a_title_between_rules_is_no_header() -> None:
    assert "---\n# Title\n---\nMine." in merge_card("---\n# Title\n---\nMine.\n", OURS)


def test_norwegian_is_not_false() -> None:
    merged = merge_card("---\nlanguage:\n- no\n- sv\n---\n", OURS)
    assert split_card(merged)[0]["language"] == ["no", "sv"]
    # Also for readers of YAML 1.1, such as the client.
    assert yaml.safe_load(merged.split("---\n")[1])["language"] == ["no", "sv"]


def test_a_config_of_an_earlier_publication_that_is_gone_is_gone_from_the_header() -> None:
    features = "- config_name: features\n  data_files:\n  - split: train\n    path: features/train-*.parquet\n"
    earlier = OURS.replace("dataset_info:\n", f"{features}dataset_info:\n- config_name: features\n  features: []\n")
    assert len(split_card(earlier)[0]["dataset_info"]) == 2
    header, _ = split_card(merge_card(merge_card(None, earlier), OURS))
    assert [entry["config_name"] for entry in header["configs"]] == ["default"]
    assert [entry["config_name"] for entry in header["dataset_info"]] == ["default"]


def test_our_part_stays_where_people_moved_it() -> None:
    card = merge_card(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", OURS)
    assert split_card(card)[1].split() == f"Before. {BEGIN} {ADDED} # Ours {END} After.".split()


def test_fields_of_peoples_own_win_unless_ours_are_computed() -> None:
    theirs = "---\nlicense: cc0-1.0\nsize_categories:\n- n>1T\n---\n"
    assert split_card(merge_card(theirs, OURS))[0]["license"] == "cc0-1.0"
    header = split_card(merge_card(theirs, OURS, computed=["license", "size_categories"]))[0]
    assert (header["license"], header["size_categories"]) == ("mit", ["n<1K"])


def test_tags_are_joined_also_where_there_was_one() -> None:
    assert split_card(merge_card("---\ntags: cooking\n---\n", OURS))[0]["tags"] == ["cooking", "fac"]


def test_tags_that_an_earlier_publication_added_are_gone_with_what_they_told() -> None:
    earlier = merge_card("---\ntags:\n- cooking\n- fac\n---\n", OURS.replace("- fac\n", "- fac\n- synthetic\n"))
    assert split_card(earlier)[0]["tags"] == ["cooking", "fac", "synthetic"]
    without = OURS.replace("tags:\n- fac\n", "")
    assert split_card(merge_card(earlier, OURS))[0]["tags"] == ["cooking", "fac"]
    # Theirs too, so it stays when it is ours no more.
    assert split_card(merge_card(earlier, without))[0]["tags"] == ["cooking", "fac"]
    assert "tags" not in split_card(merge_card(merge_card(None, OURS), without))[0]


@pytest.mark.parametrize("tag", ["a, b", "-->", "<!-- fac-datasets: end -->", "ключ", '"'])
def test_added_tags_are_known_again_whatever_they_hold(tag: str) -> None:
    ours = OURS.replace("- fac\n", f"- {json.dumps(tag)}\n")
    earlier = merge_card("---\ntags: [cooking]\n---\nMine.\n", ours)
    assert split_card(earlier)[0]["tags"] == ["cooking", tag]
    assert split_card(merge_card(earlier, OURS))[0]["tags"] == ["cooking", "fac"]


@pytest.mark.parametrize("listed", ["", "[", "3", "{}", "nothing"])
def test_tags_stay_where_the_comment_that_lists_the_added_ones_was_changed(listed: str) -> None:
    earlier = merge_card(None, OURS).replace('["fac"]', listed)
    assert split_card(merge_card(earlier, OURS.replace("- fac", "- other")))[0]["tags"] == ["fac", "other"]


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        (with_config("config_name: default\n  data_files: data/*.parquet"), "declares a config 'default' that is not"),
        (with_config("config_name: mine\n  data_files: mine/a.parquet\n  default: true"), "makes 'mine' the default"),
        (with_config("config_name: mine\n  data_files: mine/a.csv"), "declares 'mine/a.csv' as data of config 'mine'"),
        ("---\ndataset_info:\n  features: []\n---\n", "describes data of its own as config 'default'"),
        ("---\n- a list\n---\n", "the header of the card that is there cannot be read"),
        ("---\nconfigs: [mine]\n---\n", "the field 'configs' of the card that is there lists no configs"),
        (
            with_config("config_name: mine\n  data_dir: data"),
            r"declares 'data/\*\*' as data of config 'mine', where",
        ),
        (with_config("config_name: mine\n  data_files: features/*.parquet"), "where files of a publication go"),
        ("---\na: [\n---\n", "the header of the card that is there cannot be read"),
    ],
)
def test_what_cannot_stand_beside_ours_is_an_error(theirs: str, problem: str) -> None:
    with pytest.raises(PublishError, match=problem):
        merge_card(theirs, OURS)


def test_other_configs_stay_behind_ours() -> None:
    card = merge_card(with_config("config_name: mine\n  data_files: mine/a.parquet"), OURS)
    assert [config["config_name"] for config in split_card(card)[0]["configs"]] == ["default", "mine"]


def test_a_text_of_peoples_own_survives_publications_without_the_end_of_ours() -> None:
    without_end = merge_card(None, OURS).replace(END, "")
    with pytest.raises(
        PublishError, match=r"'<!-- fac-datasets: this part .*' in line 21 without '.* end -->' behind it"
    ):
        merge_card(f"{without_end}\nMy words.\n", OURS)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{BEGIN}\nold\nMine.\n{BEGIN}\nnew\n{END}\n", 1),
        (f"Mine.\n\n{END}\n", 3),
        (f"{BEGIN}\nold\n{END}\nMine.\n{BEGIN}\n", 5),
        (f"{BEGIN}\nold\n{END}\nMine.\n{END}\n", 5),
        (f"{END}\nMine.\n{BEGIN}\n", 1),
    ],
)
def test_comments_around_our_part_that_do_not_pair_are_an_error_that_says_where(text: str, line: int) -> None:
    with pytest.raises(PublishError, match=f"in line {line} without"):
        merge_card(text, OURS)


@pytest.mark.parametrize(
    "begin", [BEGIN.replace("this part", "this  part"), BEGIN.replace(" this", "\nthis"), BEGIN.upper()]
)
def test_our_part_is_known_by_its_comments_though_their_spaces_and_case_were_changed(begin: str) -> None:
    card = merge_card(f"Before.\n\n{begin}\nold\n<!--fac-datasets:  END-->\n\nAfter.\n", OURS)
    assert split_card(card)[1].split() == f"Before. {BEGIN} {ADDED} # Ours {END} After.".split()


def test_of_several_parts_of_ours_one_is_left() -> None:
    text = f"One.\n{BEGIN}\nold\n{END}\nTwo.\n{BEGIN}\nolder\n{END}\nThree.\n"
    card = merge_card(text, OURS)
    assert split_card(card)[1].split() == f"One. {BEGIN} {ADDED} # Ours {END} Two. Three.".split()
    assert merge_card(card, OURS) == card


def test_what_is_there_of_a_header_stays_as_it_is_written() -> None:
    theirs = (
        "---\n# Ours since 2020.\nviewer: yes  # on\ntags:  # about\n# cooking first\n- cooking  # see below\n"
        "extra_gated_fields:\n  I agree: checkbox # as asked\n---\nMine.\n"
    )
    merged = merge_card(theirs, OURS)
    for line in theirs.splitlines():
        assert line in merged.splitlines()
    assert split_card(merged)[0]["tags"] == ["cooking", "fac"]
    assert merge_card(merged, OURS) == merged


def test_comments_around_a_field_that_is_written_anew_stay() -> None:
    theirs = "---\n# Checked by Ann.\nlicense: cc0-1.0\n# End of licences.\npretty_name: |\n  # A name\n---\nMine.\n"
    merged = merge_card(theirs, OURS, computed=["license"])
    assert "# Checked by Ann.\nlicense: mit\n# End of licences.\npretty_name: |\n  # A name\n" in merged


@pytest.mark.parametrize("tags", ["{cooking: yes}", "[[a, b]]", "[a: 1]"])
def test_tags_that_are_no_list_of_tags_are_an_error(tags: str) -> None:
    with pytest.raises(PublishError, match=r"the field 'tags' of the card that is there holds .*, no tags"):
        merge_card(f"---\ntags: {tags}\n---\n", OURS)


@pytest.mark.parametrize(
    ("theirs", "computed", "expected"),
    [
        ("tags: [a, # c\n  b]\n", [], "tags: [a, # c\n  b, fac]\n"),
        ("tags: [a]  # c\n", [], "tags: [a, fac]  # c\n"),
        ("tags: []  # c\n", [], "tags:\n- fac\n# c\n"),
        ('"license": cc0-1.0 # why\n', [], '"license": cc0-1.0 # why\n'),
        ('"license": cc0-1.0 # why\n', ["license"], '"license": mit # why\n'),
        ("license: cc0-1.0  # why\n", ["license"], "license: mit  # why\n"),
        ("license:  # why\n", ["license"], "license: mit  # why\n"),
        ("license:\n- cc0-1.0  # why\n", ["license"], "license: mit\n# why\n"),
        ("size_categories:\n- n>1T  # many\n# more\n", ["size_categories"],
         "size_categories:\n- n<1K  # many\n# more\n"),
        ("size_categories:\n# two\n- n>1T  # many\n- n<1K  # few\n", ["size_categories"],
         "size_categories:\n# two\n# many\n- n<1K  # few\n"),
        ("license: >  # folded\n  # no comment\n", ["license"], "license: mit\n"),
    ],
)  # fmt: skip
def test_comments_stay_beside_what_is_changed(theirs: str, computed: list[str], expected: str) -> None:
    merged = merge_card(f"---\n# First.\npretty_name: A\n{theirs}---\nMine.\n", OURS, computed=computed)
    assert merged.startswith("---\n# First.\npretty_name: A\n")
    assert expected in merged
    assert merged.count("license") == 1
    assert merge_card(merged, OURS, computed=computed) == merged


def test_languages_are_written_anew_only_where_some_read_them_wrongly() -> None:
    merged = merge_card("---\nlanguage: ['sv', no]  # both\n---\n", OURS)
    assert "language: ['sv', 'no']  # both\n" in merged


def test_a_tag_that_was_added_leaves_peoples_lines_as_they_are() -> None:
    theirs = "tags:\n# about\n- cooking  # see below\n- rice\n"
    once = merge_card(f"---\n{theirs}---\n", OURS.replace("- fac", "- synthetic"))
    assert f"{theirs}- synthetic\n" in once
    again = merge_card(once, OURS)
    assert f"{theirs}- fac\n" in again
    assert "synthetic" not in again


def test_a_table_that_is_added_to_those_that_are_there_can_be_read() -> None:
    more = OURS.replace("---\n\n# Ours", "- config_name: features\n  features: []\n---\n\n# Ours")
    header, _ = split_card(merge_card(merge_card(None, OURS), more))
    assert header["dataset_info"] == split_card(more)[0]["dataset_info"]
