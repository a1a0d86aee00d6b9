"""A linear head over vectors that are known, as a model of transformers whose tokens are numbers of rows.

Trainers of transformers and trl take it for a sequence classifier, so that a frozen backbone need not run again.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class HeadOverStates(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A linear layer over one vector a row.

    Args:
        states: float32 [n_rows, d_model]; a text of the one token i has the vector i.
        n_labels: numbers that the head gives.

    Example:
        >>> head = HeadOverStates(torch.zeros(4, 8), n_labels=1)
        >>> head(torch.tensor([[3], [0]])).logits.tolist()
        [[0.0], [0.0]]
    """

    config_class = PretrainedConfig
    known: torch.Tensor

    def __init__(self, states: torch.Tensor, n_labels: int) -> None:
        config: Any = PretrainedConfig()
        config.num_labels, config.pad_token_id = n_labels, 0
        super().__init__(config)
        self.register_buffer("known", states, persistent=False)
        self.score = torch.nn.Linear(states.shape[1], n_labels, bias=False)
        # As transformers starts the heads of sequence classifiers.
        torch.nn.init.normal_(self.score.weight, std=0.02)

    def forward(self, input_ids: torch.Tensor, **_: Any) -> SequenceClassifierOutput:
        """The numbers of each row.

        Args:
            input_ids: [n_rows, 1 or more], of which the first is read.
        """
        return SequenceClassifierOutput(logits=self.score(self.known[input_ids[:, 0]]))
