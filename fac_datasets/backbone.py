"""The backbone: a tokenizer and a language model cut after L decoder blocks.

It renders texts and chats, tells a row's own tokens from template and special tokens, splits long rows into windows and
computes the residual stream. A layer L is the residual stream after L decoder blocks; 0 is the embedding.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.caching import cache_folder, write_atomically
from fac_datasets.columns import as_text, normalise_message
from fac_datasets.errors import BackboneError, ColumnError, OptionError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

EMBEDDED = "embedded"
"""The name under which the default backbone and its SAE are loaded."""

Message = Mapping[str, Any]
Row = str | Sequence[Message] | None
"""What a row holds: a text, a list of chat messages, or nothing."""

WINDOW_OVERLAP = 4
"""One part in this many of a window repeats the end of the window before, as context only."""


class Window(NamedTuple):
    """A stretch of one row's tokens that fits the backbone."""

    row: int
    """Index of the row in the batch."""
    token_ids: NDArray[np.int64]
    """Tokens to run, [n_tokens]."""
    own: NDArray[np.bool_]
    """Whether a token belongs to the row's own text and is pooled from this window, [n_tokens]."""
    starts: NDArray[np.int32]
    """First character of each token, in the text or in its message, [n_tokens]; meaningful for own tokens."""
    ends: NDArray[np.int32]
    """Character behind each token, [n_tokens]; meaningful for own tokens."""
    messages: NDArray[np.int32]
    """Index of the message of each token, [n_tokens]; 0 for a text."""


class RenderedRow(NamedTuple):
    """A row as the backbone reads it."""

    text: str
    """The whole rendered string."""
    contents: list[tuple[int, int, int, int]]
    """Of each pooled content: message index, first and last character in `text`, and the characters that the template
    stripped from the content's start."""


@dataclass(frozen=True)
class BackboneInfo:
    """What identifies a backbone without loading its weights into memory."""

    name: str
    """A name for people, never a local path."""
    digest: str
    """First 16 hex digits of the sha256 over weights, vocabulary and chat template."""
    path: str
    """Where transformers loads it from."""
    n_layers: int
    """Number of decoder blocks."""
    d_model: int
    """Width of the residual stream."""
    has_template: bool
    """Whether the tokenizer has a chat template."""

    @property
    def renders(self) -> tuple[str, ...]:
        """The ways in which it can read a text, the usual one first."""
        return ("chat", "raw") if self.has_template else ("raw",)


class Backbone:
    """A tokenizer and a causal language model cut after `layer` decoder blocks.

    Args:
        name: `"embedded"`, a local folder or a Hub id of a causal language model of transformers.
        layer: number of decoder blocks that run, in [0, number of blocks].
        device: torch device; by default CUDA where there is one, else the CPU.
        dtype: torch dtype of the weights, by name.

    Raises:
        BackboneError: the model cannot be loaded, has another structure than a decoder, or has fewer blocks.

    Example:
        >>> backbone = Backbone("embedded", layer=15)
        >>> windows = backbone.windows(["Hello."], render="raw", max_length=512)
        >>> backbone.residual(windows).shape
        torch.Size([1, 3, 576])
    """

    def __init__(self, name: str, layer: int, *, device: str | None = None, dtype: str = "float32") -> None:

        self.info = backbone_info(name)
        if not 0 <= layer <= self.info.n_layers:
            raise BackboneError(
                f"layer={layer} is past the end of {self.info.name}, which has {self.info.n_layers} decoder blocks; "
                f"choose a layer in [0, {self.info.n_layers}]"
            )
        self.layer = layer
        self.tokenizer = load_tokenizer(self.info.path)
        self.device = torch_device(device)
        self.model = _load_cut_model(self.info.path, layer, dtype).to(self.device)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.info.d_model

    def windows(
        self,
        rows: Sequence[Row],
        *,
        render: str,
        max_length: int,
        roles: Sequence[str] | None = None,
        truncate: bool = False,
    ) -> list[Window]:
        """Render, tokenize and split rows; see `row_windows`."""
        return list(
            row_windows(self.tokenizer, rows, render=render, max_length=max_length, roles=roles, truncate=truncate)
        )

    def residual(self, windows: Sequence[Window]) -> torch.Tensor:
        """Run windows as one right-padded batch and return the residual stream after `layer` blocks.

        Attention is causal, so padding on the right never reaches a real token and needs no mask.

        Args:
            windows: at least one window.

        Returns:
            Float tensor [len(windows), longest window, d_model] on the backbone's device.
        """
        import torch

        token_ids, _ = pad_windows(windows, self.tokenizer.pad_token_id or 0, self.device)
        with torch.inference_mode():
            output = self.model(input_ids=token_ids, use_cache=False)
        residual: torch.Tensor = output.last_hidden_state
        return residual


def torch_device(name: str | None) -> torch.device:
    """A torch device by name; without one, CUDA where there is one, else the CPU.

    Of several processes that were launched together, each takes the CUDA device of its local rank.
    """
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise OptionError(f"device={name!r} is no torch device such as 'cpu' or 'cuda:0'") from error
    if str(device) == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def require_render(render: str) -> None:
    """Raise OptionError unless this is a way to render text."""
    if render not in ("chat", "raw"):
        raise OptionError(f"render={render!r} is neither 'chat' nor 'raw'")


def torch_dtype(name: str) -> torch.dtype:
    """A floating-point torch dtype by name."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise OptionError(f"dtype={name!r} is no floating-point dtype such as 'float32' or 'bfloat16'")
    return dtype


def batches_by_tokens(windows: Sequence[Window], batch_tokens: int) -> Iterator[list[int]]:
    """Group windows of similar length so that a padded batch holds at most `batch_tokens` tokens.

    Yields:
        Indices into `windows`, longest windows first; a window longer than the budget is a batch of its own.
    """
    order = sorted(range(len(windows)), key=lambda i: (-len(windows[i].token_ids), i))
    start = 0
    while start < len(order):
        longest = len(windows[order[start]].token_ids)
        size = max(1, batch_tokens // max(longest, 1))
        yield order[start : start + size]
        start += size


def pad_windows(windows: Sequence[Window], pad_token: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows as one right-padded batch: token ids and whether each is an own token, both [n_windows, longest]."""
    import torch

    longest = max(len(window.token_ids) for window in windows)
    token_ids = np.full((len(windows), longest), pad_token, dtype=np.int64)
    own = np.zeros((len(windows), longest), dtype=bool)
    for i, window in enumerate(windows):
        token_ids[i, : len(window.token_ids)] = window.token_ids
        own[i, : len(window.own)] = window.own
    return torch.from_numpy(token_ids).to(device), torch.from_numpy(own).to(device)


def own_vectors(residual: torch.Tensor, group: Sequence[Window]) -> torch.Tensor:
    """Residual vectors of the own tokens, [n_own, d_model], in the order of the group."""
    _, own = pad_windows(group, 0, residual.device)
    return residual[own]


def row_windows(
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    render: str,
    max_length: int,
    roles: Sequence[str] | None = None,
    truncate: bool = False,
) -> Iterator[Window]:
    """Turn rows into windows of at most `max_length` tokens, with the own tokens of each marked.

    A rendered row that fits is one window. A longer one becomes several: each starts with the tokens before the first
    own token (template and beginning-of-text), so that no own token stands where attention sinks form, and repeats a
    quarter of the window before as context. Every own token is pooled from exactly one window.

    Args:
        tokenizer: a fast tokenizer of transformers.
        rows: texts, lists of messages, or None.
        render: `"chat"` or `"raw"`.
        max_length: tokens in a window, at least 16.
        roles: roles whose messages are the row's own; None means all but `system`.
        truncate: keep only the first window.

    Yields:
        Windows in the order of the rows; a row without own tokens yields none.

    Raises:
        ColumnError: a row that is no text and no list of messages, or a chat where `render` is `"raw"`.
    """
    if max_length < 16:
        raise OptionError(f"max_length={max_length} leaves no room for text; the least is 16 tokens")
    require_render(render)
    rendered = [render_row(tokenizer, row, render=render, roles=roles, index=i) for i, row in enumerate(rows)]
    filled = [i for i, row in enumerate(rendered) if row.contents]
    if not filled:
        return
    encodings = tokenizer(
        [rendered[i].text for i in filled],
        add_special_tokens=render == "raw",
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    for i, token_ids, offsets in zip(filled, encodings["input_ids"], encodings["offset_mapping"], strict=True):
        whole = _mark_own_tokens(i, rendered[i], np.asarray(token_ids, np.int64), np.asarray(offsets, np.int64))
        # A text may spell a special token; that never pools either.
        whole.own[np.isin(whole.token_ids, tokenizer.all_special_ids)] = False
        if render == "raw":
            whole = _with_beginning(tokenizer, whole)
        if whole.own.any():
            yield from _split(whole, max_length, truncate)


def render_row(tokenizer: Any, row: Row, *, render: str, roles: Sequence[str] | None, index: int) -> RenderedRow:
    """Render one row and locate the contents that are its own; see `row_windows`."""
    text = as_text(row, index)
    if not text.strip():
        return RenderedRow("", [])
    if not text.isascii():
        _require_unicode(text, index)
    if isinstance(row, str):
        if render == "raw":
            return RenderedRow(row, [(0, 0, len(row), 0)])
        row = [{"role": "user", "content": row}]
    elif render == "raw":
        raise ColumnError(f'row {index} of the batch is a chat, which render="raw" cannot read; use render="chat"')
    messages = [normalise_message(message, index) for message in row or ()]
    pooled = [
        bool(message["content"].strip()) and (message["role"] in roles if roles else message["role"] != "system")
        for message in messages
    ]
    if not any(pooled):
        return RenderedRow("", [])
    return _render_chat(tokenizer, messages, pooled, index)


def _require_unicode(text: str, index: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ColumnError(
            f"row {index} of the batch is no valid text: {error.reason} at character {error.start}; repair it or "
            f"leave it out"
        ) from error


def _render_chat(tokenizer: Any, messages: list[dict[str, Any]], pooled: list[bool], index: int) -> RenderedRow:
    """Apply the chat template and locate each content by the template's own text around it."""
    text = _apply_template(tokenizer, messages)
    pieces = _template_pieces(tokenizer, messages)
    contents: list[tuple[int, int, int, int]] = []
    position = len(pieces[0])
    exact = text.startswith(pieces[0])
    for i, (message, piece) in enumerate(zip(messages, pieces[1:], strict=True)):
        verbatim = message["content"]
        # Many templates strip the content; the template's next piece tells which form it kept.
        for form in (verbatim, verbatim.strip()):
            end = position + len(form)
            if text.startswith(form, position) and text.startswith(piece, end):
                break
        else:
            exact = False
            break
        if pooled[i]:
            stripped = len(verbatim) - len(verbatim.lstrip()) if form != verbatim else 0
            contents.append((i, position, end, stripped))
        position = end + len(piece)
    if not exact or position != len(text):
        raise ColumnError(
            f"row {index} of the batch: the chat template changes the text of a message, so its own tokens cannot be "
            f'told from the template\'s; use render="raw" on a text column'
        )
    return RenderedRow(text, contents)


def _apply_template(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except (ValueError, TemplateError) as error:
        raise BackboneError(f'the chat template cannot render this chat ({error}); use render="raw"') from error


def _template_pieces(tokenizer: Any, messages: list[dict[str, Any]]) -> list[str]:
    """The template's text before, between and behind the contents, found by rendering placeholders in their place."""
    marks = [f"\ue000{i}\ue001" for i in range(len(messages))]
    placed = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
    rest = _apply_template(tokenizer, placed)
    pieces = []
    for mark in marks:
        piece, _, rest = rest.partition(mark)
        pieces.append(piece)
    return [*pieces, rest]


def _mark_own_tokens(
    row: int, rendered: RenderedRow, token_ids: NDArray[np.int64], offsets: NDArray[np.int64]
) -> Window:
    own = np.zeros(len(token_ids), dtype=bool)
    starts = np.zeros(len(token_ids), dtype=np.int32)
    ends = np.zeros(len(token_ids), dtype=np.int32)
    messages = np.zeros(len(token_ids), dtype=np.int32)
    for message, begin, end, stripped in rendered.contents:
        inside = (offsets[:, 0] < end) & (offsets[:, 1] > begin) & (offsets[:, 1] > offsets[:, 0])
        own |= inside
        starts[inside] = np.maximum(offsets[inside, 0], begin) - begin + stripped
        ends[inside] = np.minimum(offsets[inside, 1], end) - begin + stripped
        messages[inside] = message
    return Window(row, token_ids, own, starts, ends, messages)


def _with_beginning(tokenizer: Any, window: Window) -> Window:
    """Put a special token first: the first position is an attention sink, whose features say nothing of the text."""
    beginning = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if beginning is None or not len(window.token_ids) or window.token_ids[0] in tokenizer.all_special_ids:
        return window
    zero = np.zeros(1, dtype=np.int32)
    return Window(
        window.row,
        np.concatenate([np.array([beginning], dtype=np.int64), window.token_ids]),
        np.concatenate([np.array([False]), window.own]),
        np.concatenate([zero, window.starts]),
        np.concatenate([zero, window.ends]),
        np.concatenate([zero, window.messages]),
    )


def _split(whole: Window, max_length: int, truncate: bool) -> Iterator[Window]:
    n_tokens = len(whole.token_ids)
    if n_tokens <= max_length or truncate:
        first = _take(whole, np.arange(min(n_tokens, max_length)), pooled_from=0)
        if first.own.any():
            yield first
        return
    head = min(int(np.argmax(whole.own)), max_length // 2)
    body = max_length - head
    overlap = body // WINDOW_OVERLAP
    done = head
    while done < n_tokens:
        begin = head if done == head else done - overlap
        end = min(begin + body, n_tokens)
        window = _take(whole, np.concatenate([np.arange(head), np.arange(begin, end)]), pooled_from=head + done - begin)
        if window.own.any():
            yield window
        done = end


def _take(whole: Window, positions: NDArray[np.int64], pooled_from: int) -> Window:
    own = whole.own[positions].copy()
    own[:pooled_from] = False
    return Window(
        whole.row,
        whole.token_ids[positions],
        own,
        whole.starts[positions],
        whole.ends[positions],
        whole.messages[positions],
    )


# --- identity and loading -------------------------------------------------------------------------------------------


def load_tokenizer(path: str) -> Any:
    """The fast tokenizer in a folder or Hub id; raises BackboneError where it gives no character offsets."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise BackboneError(f"no tokenizer in {path!r}: {error}") from error
    if not tokenizer.is_fast:
        raise BackboneError(f"the tokenizer of {path!r} gives no character offsets; a fast tokenizer is needed")
    return tokenizer


def load_model(kind: Any, path: str, dtype: str) -> Any:
    """A frozen model of one of transformers' auto classes, without the report on weights that the class leaves out."""
    import transformers

    logging: Any = transformers.utils.logging
    weights = torch_dtype(dtype)
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(path, dtype=weights).eval().requires_grad_(False)
    except (OSError, ValueError) as error:
        raise BackboneError(f"no language model in {path!r}: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load_cut_model(path: str, layer: int, dtype: str) -> Any:
    """The decoder without head and final norm, with its first `layer` blocks."""
    import torch
    from transformers import AutoModel

    model = load_model(AutoModel, path, dtype)
    blocks_name, norm_name = _decoder_parts(model, path)
    setattr(model, blocks_name, getattr(model, blocks_name)[:layer])
    setattr(model, norm_name, torch.nn.Identity())
    model.config.num_hidden_layers = layer
    return model


def decoder_blocks(model: Any) -> Any:
    """The module list of decoder blocks of a causal language model (whole or cut)."""
    base = getattr(model, model.base_model_prefix, model)
    return getattr(base, _decoder_parts(base, type(model).__name__)[0])


def _decoder_parts(model: Any, name: str) -> tuple[str, str]:
    blocks = ("layers", "h", "blocks")
    norms = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f")
    blocks_name = next((part for part in blocks if hasattr(model, part)), None)
    norm_name = next((part for part in norms if hasattr(model, part)), None)
    if blocks_name is None or norm_name is None:
        raise BackboneError(
            f"{name!r} ({type(model).__name__}) is not built as a decoder: looked for blocks in {blocks} and a final "
            f"norm in {norms}"
        )
    return blocks_name, norm_name


def backbone_info(name: str) -> BackboneInfo:
    """Identify a backbone by the content of its files, without loading it into memory.

    Args:
        name: `"embedded"`, a local folder, or a Hub id.

    Raises:
        BackboneError: no configuration, tokenizer or safetensors weights are found.
        EmbeddedModelMissing: the embedded backbone is absent and cannot be fetched.
    """
    if name == EMBEDDED:
        from fac_datasets.embedded import EMBEDDED_BACKBONE_NAME, embedded_backbone_folder

        return _folder_info(str(embedded_backbone_folder()), EMBEDDED_BACKBONE_NAME)
    if Path(name).is_dir():
        return _folder_info(str(Path(name).resolve()), Path(name).resolve().name)
    return _folder_info(_hub_folder(name), name)


def _hub_folder(name: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        return str(snapshot_download(name, allow_patterns=patterns))
    except HFValidationError as error:
        raise BackboneError(f"{name!r} is neither a folder nor a Hub id: {error}") from error
    except (RepositoryNotFoundError, LocalEntryNotFoundError, OSError) as error:
        raise BackboneError(f"backbone {name!r} is no local folder, and the Hub did not give it: {error}") from error


@lru_cache(maxsize=16)
def _folder_info(path: str, name: str) -> BackboneInfo:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise BackboneError(f"no language model in {name!r}: {error}") from error
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    weights = sorted(Path(path).glob("*.safetensors"))
    if not weights:
        raise BackboneError(f"{name!r} has no *.safetensors; save the model with save_pretrained first")
    tokenizer = load_tokenizer(path)
    digest = hashlib.sha256()
    digest.update(remembered_digest(weights, tensors_digest).encode())
    # The behaviour of the tokenizer is hashed, not its file: releases of transformers write the same one differently.
    digest.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    digest.update(json.dumps(tokenizer(_TOKENIZER_PROBE)["input_ids"]).encode())
    template = tokenizer.chat_template or ""
    digest.update((template if isinstance(template, str) else json.dumps(template, sort_keys=True)).encode())
    return BackboneInfo(
        name=name,
        digest=digest.hexdigest()[:16],
        path=path,
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        has_template=bool(tokenizer.chat_template),
    )


_TOKENIZER_PROBE = "It's 3,141.59 ≈ π;\n\n\tdef f(x): return x  # naïve 漢字 🙂\r\n  UPPER lower"


def remembered_digest(files: Sequence[Path], digest_of: Callable[[Sequence[Path]], str]) -> str:
    """A digest of files, remembered while their sizes and times are unchanged."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:32]
    remembered = cache_folder("digests") / key
    if remembered.exists():
        return remembered.read_text()
    digest = digest_of(files)
    write_atomically(remembered, digest.encode())
    return digest


def tensors_digest(files: Sequence[Path]) -> str:
    """sha256 over the tensors of safetensors files by name, whatever their sharding and metadata."""
    headers: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for file in files:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
        header.pop("__metadata__", None)
        headers.update({name: (file, 8 + size, entry) for name, entry in header.items()})
    digest = hashlib.sha256()
    for name in sorted(headers):
        file, base, entry = headers[name]
        begin, end = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        with file.open("rb") as stream:
            stream.seek(base + begin, os.SEEK_SET)
            remaining = end - begin
            while remaining:
                block = stream.read(min(remaining, 1 << 24))
                if not block:
                    raise BackboneError(f"{file.name} ends inside tensor {name!r}; download it again")
                digest.update(block)
                remaining -= len(block)
    return digest.hexdigest()
