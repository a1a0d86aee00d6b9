"""A language model of transformers on this machine as text generator, with steering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError

from fac_datasets.backbone.identity import EMBEDDED, backbone_info
from fac_datasets.backbone.left_padding import pad_left, positions_of
from fac_datasets.backbone.pretrained import decoder_blocks, load_model, load_tokenizer, torch_device
from fac_datasets.errors import SynthesisError
from fac_datasets.generation.base import Completion, Request, Steering, TextGenerator, require_top_p

_Prompt = tuple[tuple[tuple[str, str], ...], str]
"""Messages, and the start of the answer."""


class LocalGenerator(TextGenerator):
    """Samples from a causal language model in batches.

    Requests with the same prompt share one pass over it, each samples with a seed of its own, and each may be steered:
    the direction is added to the residual stream of decoded tokens, never of the prompt. A prompt that leaves no room
    for the answer in the model's context is a completion with its `refusal`.

    Args:
        model: `"embedded"`, a local folder or a Hub id.
        batch_size: texts decoded together.
        top_k: only this many of the likeliest tokens are sampled from.
        top_p: of these, the likeliest that have this probability together; by default all.
        device: torch device; by default CUDA where there is one.
        dtype: torch dtype, by name.

    Example:
        >>> generator = LocalGenerator()
        >>> request = Request((("user", "Name a fruit."),), seed=0)
        >>> completion = generator.generate([request], max_new_tokens=8, temperature=0.8)[0]
        >>> 0 < completion.n_tokens <= 8
        True
    """

    can_steer = True

    def __init__(
        self,
        model: str = EMBEDDED,
        *,
        batch_size: int = 32,
        top_k: int = 50,
        top_p: float | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> None:
        from transformers import AutoModelForCausalLM

        self.info = backbone_info(model)
        self.name = f"{self.info.name}@{self.info.digest}"
        self.batch_size = batch_size
        self.top_k = top_k
        self.top_p = require_top_p(top_p)
        self.dtype = dtype
        self.tokenizer = load_tokenizer(self.info.path)
        self.model = load_model(AutoModelForCausalLM, self.info.path, dtype).to(torch_device(device))
        self.end_tokens = self._end_tokens()
        config = self.model.config.get_text_config()
        self.context: int | None = getattr(config, "max_position_embeddings", None)
        """Tokens of prompt and answer together at most; None where the model does not say."""

    @property
    def key(self) -> str:
        """See `TextGenerator.key`."""
        nucleus = "" if self.top_p is None else f"/top_p{self.top_p}"
        return f"{self.name}/top{self.top_k}/{self.dtype}{nucleus}"

    @property
    def can_prefill(self) -> bool:
        """See `TextGenerator.can_prefill`."""
        return True

    @property
    def can_open_turn(self) -> bool:
        """See `TextGenerator.can_open_turn`."""
        return self.info.has_template

    def complete(
        self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Iterator[tuple[int, Completion]]:
        """See `TextGenerator.complete`.

        Raises:
            SynthesisError: a steering has another width than the model, or a layer that it does not have.
        """
        for request in requests:
            if request.steering is not None and request.steering.direction.shape != (self.info.d_model,):
                raise SynthesisError(
                    f"a steering direction of shape {request.steering.direction.shape} does not fit {self.info.name}, "
                    f"whose residual stream has width {self.info.d_model}"
                )
            if request.steering is not None and not 1 <= request.steering.layer <= self.info.n_layers:
                raise SynthesisError(
                    f"steering at layer={request.steering.layer} is not possible in {self.info.name}; its blocks are "
                    f"1 to {self.info.n_layers}"
                )
        encoded = {prompt: self._encode(*prompt) for prompt in {*map(_prompt, requests)}}
        lengths = [len(encoded[_prompt(request)]) for request in requests]
        too_long = [i for i, length in enumerate(lengths) if not self._has_room(length, max_new_tokens)]
        for i in too_long:
            reason = (
                f"a prompt of {lengths[i]:,} tokens and {max_new_tokens:,} new ones exceed the context of "
                f"{self.context:,}"
            )
            yield i, Completion("", 0, False, refusal=reason)
        # Requests of one prompt stand together so that a batch shares as many prompt passes as it can.
        order = sorted({*range(len(requests))} - {*too_long}, key=lambda i: (_prompt(requests[i]), i))
        for start in range(0, len(order), self.batch_size):
            indices = order[start : start + self.batch_size]
            decoded = self._decode([requests[i] for i in indices], encoded, max_new_tokens, temperature)
            for i, token_ids in zip(indices, decoded, strict=True):
                text = requests[i].prefix + self.tokenizer.decode(token_ids, skip_special_tokens=True)
                yield i, Completion(text.strip(), len(token_ids), token_ids[-1] in self.end_tokens, lengths[i])

    def _has_room(self, prompt_tokens: int, max_new_tokens: int) -> bool:
        return self.context is None or prompt_tokens + max_new_tokens <= self.context

    @torch.inference_mode()
    def _decode(
        self, requests: Sequence[Request], encoded: Mapping[_Prompt, list[int]], max_new_tokens: int, temperature: float
    ) -> list[list[int]]:
        prompts = sorted(set(map(_prompt, requests)))
        tokens, mask = pad_left([encoded[prompt] for prompt in prompts], self.model.device)
        output = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions_of(mask),
            use_cache=True,
            logits_to_keep=1,
        )
        rows = torch.tensor([prompts.index(_prompt(request)) for request in requests], device=self.model.device)
        cache, logits, mask = output.past_key_values, output.logits[rows, -1], mask[rows]
        cache.reorder_cache(rows)
        uniforms = np.stack([np.random.default_rng(request.seed).random(max_new_tokens) for request in requests])
        running = np.arange(len(requests))
        decoded: list[list[int]] = [[] for _ in requests]
        with self._steered(requests) as steer:
            for step in range(max_new_tokens):
                chosen = _sample(logits, uniforms[running, step], temperature, self.top_k, self.top_p)
                for index, token in zip(running, chosen.tolist(), strict=True):
                    decoded[index].append(token)
                going = torch.tensor([token not in self.end_tokens for token in chosen.tolist()], device=mask.device)
                if step + 1 == max_new_tokens or not going.any():
                    break
                if not going.all():
                    kept = going.nonzero()[:, 0]
                    cache.reorder_cache(kept)
                    chosen, mask, running = chosen[kept], mask[kept], running[going.cpu().numpy()]
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
                steer(running)
                output = self.model(
                    input_ids=chosen[:, None],
                    attention_mask=mask,
                    position_ids=positions_of(mask)[:, -1:],
                    past_key_values=cache,
                    use_cache=True,
                )
                logits = output.logits[:, -1]
        return decoded

    def _encode(self, prompt: tuple[tuple[str, str], ...], prefix: str = "") -> list[int]:
        if not self.info.has_template:
            text = "\n\n".join(content for _, content in prompt) + "\n\n" + prefix
            return list(self.tokenizer(text)["input_ids"])
        if not prompt:
            return list(self.tokenizer(self._opened_turn() + prefix, add_special_tokens=False)["input_ids"])
        messages = [{"role": role, "content": content} for role, content in prompt]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError:
            # Some templates know no system role; its text then opens the first message.
            first, second, *rest = messages
            merged = {"role": second["role"], "content": f"{first['content']}\n\n{second['content']}"}
            text = self.tokenizer.apply_chat_template([merged, *rest], tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text + prefix, add_special_tokens=False)["input_ids"])

    def _opened_turn(self) -> str:
        """The template up to where a user's words begin (Magpie's pre-query template, arXiv 2406.08464)."""
        place = "\N{REPLACEMENT CHARACTER}"
        text = self.tokenizer.apply_chat_template([{"role": "user", "content": place}], tokenize=False)
        return str(text).partition(place)[0]

    def _end_tokens(self) -> set[int]:
        configured = self.model.generation_config.eos_token_id
        tokens = configured if isinstance(configured, list) else [configured, self.tokenizer.eos_token_id]
        return {token for token in tokens if token is not None}

    @contextmanager
    def _steered(self, requests: Sequence[Request]) -> Iterator[Any]:
        """While open, add each request's direction behind its layer; yields a setter of the requests still running."""
        layers = {request.steering.layer for request in requests if request.steering is not None}
        running = np.arange(len(requests))

        def set_running(now: np.ndarray[Any, Any]) -> None:
            nonlocal running
            running = now

        def hook_for(layer: int) -> Any:
            additions = torch.zeros(len(requests), self.info.d_model)
            for i, request in enumerate(requests):
                if request.steering is not None and request.steering.layer == layer:
                    additions[i] = _scaled_direction(request.steering)
            additions = additions.to(self.model.device, self.model.dtype)

            def add(_module: Any, _inputs: Any, output: Any) -> Any:
                residual = output[0] if isinstance(output, tuple) else output
                step = additions[torch.from_numpy(running)][:, None]
                steered = residual + step * residual.norm(dim=-1, keepdim=True)
                return (steered, *output[1:]) if isinstance(output, tuple) else steered

            return add

        blocks = decoder_blocks(self.model)
        handles = [blocks[layer - 1].register_forward_hook(hook_for(layer)) for layer in layers]
        try:
            yield set_running
        finally:
            for handle in handles:
                handle.remove()


def _prompt(request: Request) -> _Prompt:
    return request.messages, request.prefix


def _scaled_direction(steering: Steering) -> torch.Tensor:
    return torch.from_numpy(np.asarray(steering.direction, dtype=np.float32)) * steering.strength


def _sample(
    logits: torch.Tensor, uniforms: np.ndarray[Any, Any], temperature: float, top_k: int, top_p: float | None
) -> torch.Tensor:
    """One token a row by inverse transform sampling from its top-k, [n, vocabulary] -> [n]."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    values, ids = logits.float().topk(min(top_k, logits.shape[-1]), dim=-1)
    cumulative = (values / temperature).softmax(dim=-1).cumsum(dim=-1)
    total = cumulative[:, -1:]
    if top_p is not None:
        # Up to the first token with which the share is reached (Holtzman et al. 2020).
        total = cumulative.gather(-1, (cumulative < top_p * total).sum(dim=-1, keepdim=True))
    draws = torch.from_numpy(uniforms).to(cumulative)[:, None]
    place = (cumulative < draws * total).sum(dim=-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    return ids.gather(-1, place)[:, 0]
