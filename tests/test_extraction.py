"""The extractor attaches the right features, whatever the batch, and stops on what it cannot read."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from datasets.fingerprint import Hasher

from fac_datasets import FeatureExtractor, SparseAutoencoder
from fac_datasets.errors import BackboneError, CalibrationMissing, ColumnError, OptionError, SAEMismatch
from fac_datasets.feature_space import FeatureSpace
from fac_datasets.sae.calibration import find_calibration
from tests.conftest import TEXTS, TINY_LAYER

Features = dict[int, float]


def features_of(columns: dict[str, object]) -> list[Features]:
    ids, values = columns["feature_ids"], columns["feature_activations"]
    assert isinstance(ids, list) and isinstance(values, list)
    return [dict(zip(i.tolist(), v.tolist(), strict=True)) for i, v in zip(ids, values, strict=True)]


def dense_features(extractor: FeatureExtractor, text: str) -> Features:
    """The definition, spelled out: one text, no batch, dense encoding, maximum over own tokens."""
    space = extractor.feature_space
    (window,) = extractor.backbone.windows([text], render=space.render, max_length=space.max_length)
    residual = extractor.backbone.residual([window])[0][torch.from_numpy(window.own)]
    sae = extractor.sae
    pre = (residual * sae.config.input_scale - sae.b_dec) @ sae.W_enc + sae.b_enc
    if space.activation == "sae":
        kept = torch.zeros_like(pre).scatter(-1, pre.topk(sae.config.k or 1).indices, 1.0)
        pre = pre * kept
    pooled = pre.relu().max(dim=0).values
    return {i: value for i, value in enumerate(pooled.tolist()) if value > 0}


def differences(first: Features, second: Features) -> int:
    """Features in one only, or of different activation; the design allows differences within 1e-4 of a decision."""
    return sum(abs(first.get(i, 0.0) - second.get(i, 0.0)) > 1e-4 for i in {*first, *second})


@pytest.mark.parametrize("activation", ["sae", "relu"])
@pytest.mark.parametrize("render", ["chat", "raw"])
def test_features_equal_the_dense_definition(tiny_backbone: str, tiny_sae: str, activation: str, render: str) -> None:
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, activation=activation, render=render)
    for text, found in zip(TEXTS, features_of(extractor.extract(TEXTS)), strict=True):
        assert differences(found, dense_features(extractor, text)) == 0


def test_features_do_not_depend_on_batch_order_or_padding(tiny_backbone: str, tiny_sae: str) -> None:
    texts = [*TEXTS[:8], " ".join(TEXTS), "Hi.", " ".join(TEXTS[:3])]
    whole = features_of(FeatureExtractor(tiny_backbone, tiny_sae, threshold=0).extract(texts))
    narrow = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, batch_tokens=16)
    singly = [features_of(narrow.extract([text]))[0] for text in texts]
    backwards = features_of(narrow.extract(texts[::-1]))[::-1]
    entries = sum(len(row) for row in whole)
    for other in (singly, backwards):
        changed = sum(differences(a, b) for a, b in zip(whole, other, strict=True))
        assert changed <= entries / 10_000


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
    rows = datasets.Dataset.from_dict({"text": [*TEXTS[:3], None, ""]}).map(tiny_extractor, batched=True, batch_size=2)
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
    assert together == features_of(tiny_extractor({"text": ["Add.\n\n1 and 2\n\n3"]}))


def test_chat_columns_do_not_depend_on_what_a_batch_holds(tiny_backbone: str, tiny_sae: str) -> None:
    chat = [{"role": "user", "content": "The cat?"}]
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, column="chosen")
    for rows in ([None, chat], [chat, None]):
        mapped = datasets.Dataset.from_dict({"chosen": rows}).map(extractor, batched=True, batch_size=1)
        assert len(mapped["chosen_feature_messages"]) == 2


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"text": ["fine", "\ud800"]}, "row 1 of the batch is no valid text"),
        ({"text": [["a list", "of texts"]]}, "list of str"),
        ({"instruction": ["Add."], "input": [3]}, "holds int in column 'input'"),
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
        ({"number": [1]}, "none of"),
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
    for column, message in (("txt", "no column 'txt'"), ("number", "row 0 of the batch holds int")):
        with pytest.raises(ColumnError, match=message):
            rows.map(FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, column=column), batched=True)


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
