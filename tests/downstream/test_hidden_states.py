"""Hidden states: the vectors that the model itself gives, kept by the content of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from fac_datasets.backbone.batching import Batch
from fac_datasets.backbone.model import Backbone
from fac_datasets.backbone.windows import Window
from fac_datasets.downstream.hidden_states import HiddenStates
from fac_datasets.errors import OptionError, OutputError
from fac_datasets.rows.row import Answer
from tests.tiny import TEXTS

ROWS = TEXTS[:8]


def states_of(backbone: str, text: str, layer: int) -> NDArray[np.float32]:
    """What transformers gives of a text alone, behind a beginning-of-text token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbone)
    model = transformers.AutoModelForCausalLM.from_pretrained(backbone)
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]])
    with torch.inference_mode():
        hidden = model(ids, output_hidden_states=True).hidden_states[layer]
    found: NDArray[np.float32] = hidden[0, 1:].numpy()
    return found


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_states_are_those_of_one_text_at_a_time(pooling: str, tiny_backbone: str) -> None:
    found = HiddenStates(tiny_backbone, layer=2, pooling=pooling, render="raw")(ROWS)
    for row, text in enumerate(ROWS):
        own = states_of(tiny_backbone, text, 2)
        np.testing.assert_allclose(found[row], own[-1] if pooling == "last" else own.mean(axis=0), atol=1e-5)


def test_all_layers_run_unless_one_is_named(tiny_backbone: str) -> None:
    assert HiddenStates(tiny_backbone).layer == 3


def test_long_rows_are_cut(tiny_backbone: str) -> None:
    text = " ".join(ROWS)
    long = HiddenStates(tiny_backbone, layer=1, render="raw", max_length=16)
    assert long([text])[0] == pytest.approx(states_of(tiny_backbone, text, 1)[14], abs=1e-5)


def test_rows_without_own_tokens_have_no_state(tiny_backbone: str) -> None:
    chat = Answer([{"role": "user", "content": "Why? " * 20}, {"role": "assistant", "content": "So."}])
    found = HiddenStates(tiny_backbone, max_length=16)(["", "It rains.", None, chat])
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True, True]


def test_kept_states_are_read_and_no_model_is_loaded(
    tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = HiddenStates(tiny_backbone, cache=tmp_path)(ROWS)
    monkeypatch.setattr(Backbone, "__init__", lambda *_, **__: pytest.fail("the model was loaded"))
    again = HiddenStates(tiny_backbone, cache=tmp_path)
    assert (again(ROWS[::-2]) == first[::-2]).all()


def test_only_rows_that_are_new_are_computed(
    tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HiddenStates(tiny_backbone, cache=tmp_path)(ROWS[:5])
    run: list[Window] = []
    own_vectors = Backbone.own_vectors

    def counted(self: Backbone, batch: Batch) -> torch.Tensor:
        run.extend(batch.windows)
        return own_vectors(self, batch)

    monkeypatch.setattr(Backbone, "own_vectors", counted)
    HiddenStates(tiny_backbone, cache=tmp_path)([*ROWS, ROWS[7]])
    assert len(run) == 3


@pytest.mark.parametrize("other", [{"layer": 1}, {"pooling": "mean"}, {"max_length": 16}, {"render": "raw"}])
def test_states_of_other_settings_are_never_read(other: dict[str, Any], tiny_backbone: str, tmp_path: Path) -> None:
    HiddenStates(tiny_backbone, cache=tmp_path)(ROWS)
    kept = HiddenStates(tiny_backbone, cache=tmp_path, **other)(ROWS)
    np.testing.assert_allclose(kept, HiddenStates(tiny_backbone, **other)(ROWS), atol=1e-5)


def test_a_damaged_file_is_named(tiny_backbone: str, tmp_path: Path) -> None:
    HiddenStates(tiny_backbone, cache=tmp_path)(ROWS)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(OutputError, match="remove it"):
        HiddenStates(tiny_backbone, cache=tmp_path)(ROWS)


@pytest.mark.parametrize(("name", "value"), [("pooling", "max"), ("max_length", 3), ("render", "html")])
def test_options_without_meaning_are_refused(name: str, value: object, tiny_backbone: str) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(OptionError, match=str(value)):
        HiddenStates(tiny_backbone, **options)
