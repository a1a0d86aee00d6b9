"""The extractor attaches the right features, whatever the batch, and stops on what it cannot read."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from datasets.fingerprint import Hasher
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans, characters, integers, lists, sampled_from, text

from fac_datasets import FeatureExtractor, SparseAutoencoder
from fac_datasets.backbone import batching
from fac_datasets.backbone.batching import Batch
from fac_datasets.errors import BackboneError, CalibrationMissing, ColumnError, OptionError, RowError, SAEMismatch
from fac_datasets.feature_space import FeatureSpace
from fac_datasets.sae.calibration import find_calibration
from tests.comparing import assert_same_features, dense_features, features_of
from tests.tiny import TEXTS, TINY_LAYER


@pytest.mark.parametrize("activation", ["sae", "relu"])
@pytest.mark.parametrize("render", ["chat", "raw"])
def test_features_equal_the_dense_definition(tiny_backbone: str, tiny_sae: str, activation: str, render: str) -> None:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, activation=activation, render=render)
    assert_same_features(features_of(extractor.extract(TEXTS)), [dense_features(extractor, text) for text in TEXTS])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=lists(text(alphabet=characters(exclude_categories=["Cs"]), max_size=60) | sampled_from(TEXTS), max_size=40),
    batch_tokens=integers(1, 400),
    render=sampled_from(["chat", "raw"]),
    backwards=booleans(),
)
@pytest.mark.slow
def test_features_do_not_depend_on_batch_order_padding_or_shared_prefixes(
    tiny_backbone: str, tiny_sae: str, texts: list[str], batch_tokens: int, render: str, backwards: bool
) -> None:
    whole, alone = (extractor_of(tiny_backbone, tiny_sae, render, size) for size in (batch_tokens, 1))
    rows = [*texts, *TEXTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "WORTH_SHARING", 1)
        assert all(batch.prefix for batch in whole.backbone.batches(whole.windows(rows), batch_tokens))
        found_there = whole.extract(rows[::-1] if backwards else rows)
    found = features_of(found_there)
    singly = [features_of(alone.extract([row]))[0] for row in rows]
    assert_same_features(found[::-1] if backwards else found, singly)


@lru_cache
def extractor_of(backbone: str, sae: str, render: str, batch_tokens: int) -> FeatureExtractor:
    return FeatureExtractor(backbone, sae, threshold=0, render=render, batch_tokens=batch_tokens)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(None, "nothing"), ("a" * 10_000_000, "10,000,000 characters"), ("\ud800", "no valid text")],
)
def test_a_row_that_cannot_be_read_stops_with_its_index_or_is_reported(
    tiny_backbone: str, tiny_sae: str, bad: str | None, message: str
) -> None:
    rows = {"text": [*TEXTS[:3], bad, *TEXTS[3:5]]}
    with pytest.raises(RowError, match=f"row 3 of the batch .*{message}"):
        FeatureExtractor(tiny_backbone, tiny_sae)(rows)
    with pytest.raises(RowError, match="row 103 "):
        FeatureExtractor(tiny_backbone, tiny_sae)(rows, list(range(100, 106)))
    columns = FeatureExtractor(tiny_backbone, tiny_sae, skip_bad=True)(rows)
    assert [message in problem for problem in columns["feature_error"]] == [False] * 3 + [True] + [False] * 2
    assert columns["feature_tokens"][3] == len(columns["feature_ids"][3]) == 0
    without = FeatureExtractor(tiny_backbone, tiny_sae)({"text": TEXTS[:5]})
    assert features_of(columns)[4] == pytest.approx(features_of(without)[3], abs=1e-4)


@pytest.mark.parametrize(
    "message",
    [{"role": None, "content": "a"}, {"role": "user", "content": [["a"]]}, {"role": "user"}, {"content": "a"}],
)
def test_a_message_that_is_none_stops_with_its_row(
    tiny_extractor: FeatureExtractor, message: dict[str, object]
) -> None:
    with pytest.raises(RowError, match="row 1 of the batch has a message"):
        tiny_extractor({"messages": [[{"role": "user", "content": "a"}], [message]]})


def test_an_error_of_a_row_keeps_its_index_between_processes() -> None:
    for error in (RowError(3, "is bad"), RowError(3, "is bad").at(103)):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_no_rows_have_no_features(tiny_extractor: FeatureExtractor) -> None:
    assert {len(column) for column in tiny_extractor.extract([]).values()} == {0}


def test_columns_that_would_not_be_replaced_are_an_error(tiny_backbone: str, tiny_sae: str) -> None:
    rows = datasets.Dataset.from_dict({"text": TEXTS}).map(FeatureExtractor(tiny_backbone, tiny_sae), batched=True)
    with pytest.raises(ColumnError, match="feature_starts"):
        rows.map(FeatureExtractor(tiny_backbone, tiny_sae, spans=False), batched=True)
    again = rows.with_format("arrow").map(FeatureExtractor(tiny_backbone, tiny_sae, threshold="q95"), batched=True)
    assert len(again.features) == len(rows.features)
    assert sum(map(len, again.with_format(None)["feature_ids"])) < sum(map(len, rows["feature_ids"]))


def test_vectors_that_are_not_finite_are_an_error(tiny_extractor: FeatureExtractor) -> None:
    tiny_extractor.backbone.model.get_input_embeddings().weight.data[:] = float("nan")
    with pytest.raises(BackboneError, match="not finite"):
        tiny_extractor.extract(TEXTS)


def test_an_error_in_a_map_with_indices_names_the_row_of_the_dataset(tiny_extractor: FeatureExtractor) -> None:
    rows = datasets.Dataset.from_dict({"text": [*TEXTS[:5], None]})
    with pytest.raises(RowError, match="row 5 holds nothing"):
        rows.map(tiny_extractor, batched=True, batch_size=4, with_indices=True)


def test_too_little_memory_halves_the_batch_with_one_warning(
    tiny_backbone: str, tiny_sae: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    expected = features_of(extractor.extract(TEXTS))
    own_vectors, most = extractor.backbone.own_vectors, 100

    def limited(batch: Batch) -> torch.Tensor:
        if sum(len(window.token_ids) for window in batch.windows) > most:
            raise torch.OutOfMemoryError("the test's memory is full")
        return own_vectors(batch)

    monkeypatch.setattr(extractor.backbone, "own_vectors", limited)
    with pytest.warns(UserWarning, match="going on with smaller batches") as warned:
        assert_same_features(features_of(extractor.extract(TEXTS)), expected)
    assert len(warned) == 1
    assert 50 <= extractor._budget <= most
    most = 5
    with pytest.raises(OptionError, match="memory is not enough for one window"):
        extractor.extract(TEXTS)


def test_a_planted_feature_peaks_at_its_token(tiny_backbone: str, tiny_sae: str, tmp_path: Path) -> None:
    """A feature whose direction is one token's own residual vector is strongest there, and its offsets say where."""
    text = "The train to Madrid leaves at nine o'clock."
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    (window,) = extractor.backbone.windows([text], render="chat", max_length=512)
    token = int(np.flatnonzero(window.own)[5])
    residual = extractor.backbone.residual([window])[0, token]
    sae = SparseAutoencoder.from_pretrained(tiny_sae)
    with torch.no_grad():
        sae.W_enc[:, 7] = 100 * residual / residual.norm()
    sae.save_pretrained(tmp_path)
    columns = FeatureExtractor(tiny_backbone, str(tmp_path), threshold=0).extract(["Dogs bark.", text])
    place = columns["feature_ids"][1].tolist().index(7)
    assert columns["feature_starts"][1][place] == window.starts[token]
    assert columns["feature_ends"][1][place] == window.ends[token]


def test_windows_of_a_long_text_pool_over_the_whole_text(tiny_backbone: str, tiny_sae: str) -> None:
    text = " ".join(TEXTS * 3)
    windows = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, max_length=64).extract([text])
    cut = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, max_length=64, truncate=True).extract([text])
    assert windows["feature_ends"][0].max() > cut["feature_ends"][0].max()
    assert windows["feature_tokens"][0] > cut["feature_tokens"][0]


def test_map_adds_the_columns_of_the_design(tiny_extractor: FeatureExtractor) -> None:
    rows = datasets.Dataset.from_dict({"text": [*TEXTS[:3], " \n", ""]}).map(tiny_extractor, batched=True, batch_size=2)
    assert rows.features["feature_ids"] == datasets.List(datasets.Value("int32"))
    assert rows.features["feature_activations"] == datasets.List(datasets.Value("float32"))
    assert rows.features["feature_starts"] == datasets.List(datasets.Value("int32"))
    assert rows.features["feature_ends"] == datasets.List(datasets.Value("int32"))
    assert rows.features["feature_tokens"] == datasets.Value("int32")
    assert all(np.all(np.diff(ids) > 0) for ids in rows["feature_ids"] if ids)
    assert rows["feature_ids"][3] == rows["feature_ids"][4] == []
    assert FeatureSpace.parse(rows["feature_space"][0]) == tiny_extractor.feature_space


def test_columns_survive_parquet_filter_and_concatenation(tiny_extractor: FeatureExtractor, tmp_path: object) -> None:
    rows = datasets.Dataset.from_dict({"text": TEXTS[:4]}).map(tiny_extractor, batched=True)
    rows.to_parquet(f"{tmp_path}/rows.parquet")
    back = datasets.load_dataset("parquet", data_files=f"{tmp_path}/rows.parquet", split="train")
    assert back.features == rows.features
    joined = datasets.concatenate_datasets([rows.filter(lambda row: "cat" in row["text"]), back])
    assert joined[0]["feature_ids"] == rows[0]["feature_ids"]


def test_chats_say_in_which_message_a_feature_peaks(tiny_extractor: FeatureExtractor) -> None:
    chat = [{"role": "user", "content": "The cat?"}, {"role": "assistant", "content": "Two cups of coffee."}]
    row = datasets.Dataset.from_dict({"messages": [chat]}).map(tiny_extractor, batched=True)[0]
    for message, start, end in zip(row["feature_messages"], row["feature_starts"], row["feature_ends"], strict=True):
        assert 0 <= start < end <= len(chat[message]["content"])
    assert set(row["feature_messages"]) == {0, 1}


def test_preference_data_needs_a_column_and_prefixes_it(tiny_backbone: str, tiny_sae: str) -> None:
    rows = datasets.Dataset.from_dict({"chosen": ["The cat."], "rejected": ["Dogs bark."]})
    with pytest.raises(ColumnError, match="column='chosen'"):
        rows.map(FeatureExtractor(tiny_backbone, tiny_sae, threshold=0), batched=True)
    chosen = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, column="chosen")
    assert "chosen_feature_ids" in rows.map(chosen, batched=True).column_names


def test_an_instruction_is_read_with_its_input_and_output(tiny_extractor: FeatureExtractor) -> None:
    parts = {"instruction": ["Add."], "input": ["1 and 2"], "output": ["3"]}
    together = features_of(tiny_extractor(parts))
    chat = [{"role": "user", "content": "Add.\n\n1 and 2"}, {"role": "assistant", "content": "3"}]
    assert together == features_of(tiny_extractor({"messages": [chat]}))


def test_chat_columns_do_not_depend_on_what_a_batch_holds(tiny_backbone: str, tiny_sae: str) -> None:
    chat = [{"role": "user", "content": "The cat?"}]
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, column="chosen", skip_bad=True)
    for rows in ([None, chat], [chat, None]):
        mapped = datasets.Dataset.from_dict({"chosen": rows}).map(extractor, batched=True, batch_size=1)
        assert len(mapped["chosen_feature_messages"]) == 2


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"text": ["fine", "\ud800"]}, "row 1 of the batch is no valid text"),
        ({"text": [[1, 2]]}, "list of int"),
        ({"instruction": ["Add."], "input": [["3"]]}, "holds list in column 'input'"),
    ],
)
def test_rows_that_cannot_be_read_are_named(
    tiny_extractor: FeatureExtractor, batch: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(ColumnError, match=message):
        tiny_extractor(batch)


def test_a_special_token_spelled_in_a_text_is_not_pooled(tiny_extractor: FeatureExtractor) -> None:
    plain, spelled = tiny_extractor.extract(["ab", "a<|im_end|>b"])["feature_tokens"]
    assert spelled == 2 >= plain


def test_an_extractor_works_with_another_cache(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pickle.dumps(FeatureExtractor(tiny_backbone, tiny_sae))
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path))
    assert pickle.loads(content).extract(["The cat."])["feature_tokens"][0] > 0


@pytest.mark.parametrize("options", [{"device": "abacus"}, {"dtype": "int8"}])
def test_devices_and_dtypes_that_do_not_exist_are_errors(
    tiny_backbone: str, tiny_sae: str, options: dict[str, str]
) -> None:
    with pytest.raises(OptionError, match="is no"):
        FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, **options).extract(["a"])  # type: ignore[arg-type]


def test_spans_can_be_left_out(tiny_backbone: str, tiny_sae: str) -> None:
    columns = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, spans=False).extract(["The cat."])
    assert "feature_starts" not in columns


def test_quantile_thresholds_come_from_the_calibration(tiny_backbone: str, tiny_sae: str) -> None:
    low, high = (
        FeatureExtractor(tiny_backbone, tiny_sae, threshold=threshold).extract(TEXTS) for threshold in ("q50", "q95")
    )
    thresholds = find_calibration(FeatureExtractor(tiny_backbone, tiny_sae).feature_space).thresholds("q95")
    for many, few in zip(features_of(low), features_of(high), strict=True):
        assert set(few) < set(many)
        assert all(value > thresholds[i] for i, value in few.items())


def test_a_threshold_without_calibration_names_the_command(tiny_backbone: str, tiny_sae: str) -> None:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold="q50", activation="relu")
    with pytest.raises(CalibrationMissing, match="fac-datasets sae calibrate"):
        extractor.extract(["The cat."])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"number": [1]}, "no known schema"),
        ({"text": ["a"], "prompt": ["b"]}, "several columns could be meant"),
    ],
)
def test_columns_that_cannot_be_told_are_listed(
    tiny_extractor: FeatureExtractor, columns: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(ColumnError, match=message):
        datasets.Dataset.from_dict(columns).map(tiny_extractor, batched=True)


def test_a_missing_or_wrongly_typed_column_is_named(tiny_backbone: str, tiny_sae: str) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"], "number": [1]})
    for column, message in (("txt", "no column 'txt'"), ("number", "holds int64")):
        with pytest.raises(ColumnError, match=message):
            rows.map(FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, column=column), batched=True)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["🙂🙂 ok", "مرحبا بالعالم", "\u200b", "a" * 3000, "word " * 50_000])
def test_unusual_texts_have_features_inside_the_text(tiny_extractor: FeatureExtractor, text: str) -> None:
    columns = tiny_extractor.extract([text])
    assert len(columns["feature_ids"][0])
    assert columns["feature_ends"][0].max() <= len(text)
    assert columns["feature_starts"][0].min() >= 0


def test_a_layer_past_the_end_or_another_layer_is_refused(tiny_backbone: str, tiny_sae: str) -> None:
    with pytest.raises(BackboneError, match="past the end"):
        _ = FeatureExtractor(tiny_backbone, tiny_sae, layer=9).feature_space
    with pytest.raises(SAEMismatch, match="trained on layer 2"):
        _ = FeatureExtractor(tiny_backbone, tiny_sae, layer=TINY_LAYER + 1).feature_space


def test_a_backbone_of_another_width_or_digest_is_refused(
    plain_backbone: str, stripping_backbone: str, tiny_sae: str
) -> None:
    with pytest.raises(SAEMismatch, match=r"width 32.*width 48"):
        _ = FeatureExtractor(plain_backbone, tiny_sae).feature_space
    with pytest.raises(SAEMismatch, match="was trained on"):
        _ = FeatureExtractor(stripping_backbone, tiny_sae).feature_space


def test_the_space_names_no_local_path(tiny_extractor: FeatureExtractor) -> None:
    assert "/tmp" not in str(tiny_extractor.feature_space)
    assert FeatureSpace.parse(str(tiny_extractor.feature_space)) == tiny_extractor.feature_space


def test_a_loaded_extractor_pickles_small_and_works(tiny_extractor: FeatureExtractor) -> None:
    before = features_of(tiny_extractor.extract(TEXTS[:2]))
    content = pickle.dumps(tiny_extractor)
    assert len(content) < 5_000
    assert features_of(pickle.loads(content).extract(TEXTS[:2])) == before


@pytest.mark.slow
def test_an_extractor_hashes_the_same_in_every_process(
    tiny_extractor: FeatureExtractor, tiny_backbone: str, tiny_sae: str
) -> None:
    tiny_extractor.extract(["The cat."])
    program = (
        "import sys; from datasets.fingerprint import Hasher; from fac_datasets import FeatureExtractor; "
        "print(Hasher.hash(FeatureExtractor(sys.argv[1], sys.argv[2], threshold=0)))"
    )
    command = [sys.executable, "-c", program, tiny_backbone, tiny_sae]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert Hasher.hash(tiny_extractor) == other
