"""What a format of SAE files is, and the words that all of them share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import SAEFormatError

if TYPE_CHECKING:
    from torch import Tensor

    from fac_datasets.sae.model import SAEConfig


@dataclass(frozen=True)
class SAEFormat:
    """One way in which SAEs are stored."""

    name: str
    """Under which `load_sae(format=...)` knows it."""
    weights_file: str
    """Name of the file with the weights, or a pattern."""
    config_file: str | None
    """Name of the file beside it that says what the SAE is, where there is one."""
    config: Callable[[Path], SAEConfig]
    """What the SAE is, read without its weights. Gets the file with the weights."""
    tensors: Callable[[Path], dict[str, Tensor]]
    """The weights under this project's names. Gets the file with the weights."""

    def find(self, place: Path) -> Path | None:
        """The file with the weights in a folder of this format, or None where the folder is of another one.

        Raises:
            SAEFormatError: the folder holds several SAEs.
        """
        folder = place.parent if place.is_file() else place
        found = [path for path in sorted(folder.glob(self.weights_file)) if place in (folder, path)]
        if not found or not (self.config_file is None or (folder / self.config_file).is_file()):
            return None
        if len(found) > 1:
            raise SAEFormatError(
                f"{folder} holds several SAEs; name the file of one of them: {', '.join(path.name for path in found)}"
            )
        return found[0]

    @property
    def looks_for(self) -> str:
        """What a folder of this format holds, in words."""
        return f"{self.config_file} and {self.weights_file}" if self.config_file else self.weights_file


def read_json(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """A JSON object that must have certain keys.

    Raises:
        SAEFormatError: it is damaged, or a key is missing.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        missing = [name for name in needed if name not in content]
    except (ValueError, TypeError) as error:
        raise SAEFormatError(f"{path} is no JSON object: {error}") from error
    if missing:
        raise SAEFormatError(f"{path} lacks {missing}")
    return content


_RESIDUAL_HOOKS = (
    # Name of the hook point, and what is added to the number in it: blocks that have run.
    (re.compile(r"blocks\.(\d+)\.hook_resid_pre"), 0),
    (re.compile(r"blocks\.(\d+)\.hook_resid_post"), 1),
    (re.compile(r"(?:(?:model|transformer|gpt_neox)\.)*(?:layers|h|blocks)\.(\d+)(?:\.output)?"), 1),
    (re.compile(r"hidden_states\[(\d+)\]"), 0),
    # In the names of the paper's checkpoints.
    (re.compile(r"l(\d+)"), 0),
)


def layer_of_hook(hook: str) -> int:
    """The number of decoder blocks that have run where a foreign hook reads the residual stream.

    Args:
        hook: `blocks.N.hook_resid_pre`, `blocks.N.hook_resid_post`, `layers.N` (a block's output),
            `hidden_states[N]`, or the paper's `lN`.

    Raises:
        SAEFormatError: it reads something else than the residual stream.

    Example:
        >>> layer_of_hook("blocks.7.hook_resid_post")
        8
    """
    for pattern, added in _RESIDUAL_HOOKS:
        found = pattern.fullmatch(hook)
        if found:
            return int(found[1]) + added
    raise SAEFormatError(
        f"the SAE reads {hook!r}, which is not the residual stream; supported are blocks.N.hook_resid_pre, "
        f"blocks.N.hook_resid_post, layers.N, hidden_states[N] and lN"
    )
