"""The local generator samples the same text for the same request, and steers only what it decodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from fac_datasets import LocalGenerator
from fac_datasets.errors import SynthesisError
from fac_datasets.generation import Outcome, Request, Steering
from tests.tiny import TINY_LAYER, TINY_WIDTH


@pytest.fixture(scope="module")
def generator(tiny_backbone: str) -> LocalGenerator:
    return LocalGenerator(tiny_backbone, batch_size=4)


def request(text: str, seed: int = 0, steering: Steering | None = None) -> Request:
    return Request((("user", text),), seed, steering)


def test_greedy_decoding_equals_that_of_transformers(generator: LocalGenerator, tiny_backbone: str) -> None:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(tiny_backbone)
    prompts = ["The cat", "Water boils at one hundred", "A"]
    ours = generator.generate([request(prompt) for prompt in prompts], max_new_tokens=12, temperature=0)
    for prompt, completion in zip(prompts, ours, strict=True):
        tokens = torch.tensor([generator._encode((("user", prompt),))])
        whole = model.generate(tokens, max_new_tokens=12, do_sample=False, pad_token_id=1)[0, tokens.shape[1] :]
        assert (completion.n_tokens, completion.prompt_tokens) == (len(whole), tokens.shape[1])
        assert completion.text == generator.tokenizer.decode(whole, skip_special_tokens=True).strip()


def test_a_text_depends_on_its_request_alone(generator: LocalGenerator) -> None:
    requests = [request(text, seed) for text in ("The cat", "Dogs") for seed in range(5)]
    together = generator.generate(requests, max_new_tokens=10, temperature=0.9)
    alone = [generator.generate([one], max_new_tokens=10, temperature=0.9)[0] for one in requests]
    assert together == alone
    assert len({completion.text for completion in together[:5]}) > 1


def test_what_changes_a_text_is_part_of_its_key(generator: LocalGenerator, tiny_backbone: str) -> None:
    others = [LocalGenerator(tiny_backbone, top_k=5), LocalGenerator(tiny_backbone, dtype="bfloat16")]
    assert len({generator.key, *(other.key for other in others)}) == 3
    assert LocalGenerator(tiny_backbone, batch_size=1).key == generator.key
    assert {other.name for other in others} == {generator.name}


def test_no_text_is_longer_than_asked_for(generator: LocalGenerator) -> None:
    completions = generator.generate([request("The cat", seed) for seed in range(8)], max_new_tokens=3, temperature=1)
    assert all(completion.n_tokens <= 3 for completion in completions)
    assert all(completion.finished or completion.n_tokens == 3 for completion in completions)


def test_steering_moves_the_residual_stream_of_decoded_tokens_only(generator: LocalGenerator) -> None:
    direction = np.zeros(TINY_WIDTH, dtype=np.float32)
    direction[0] = 1
    seen: list[torch.Tensor] = []
    handle = generator.model.model.layers[TINY_LAYER].register_forward_pre_hook(
        lambda _module, inputs, kwargs: seen.append((inputs[0] if inputs else kwargs["hidden_states"]).clone()),
        with_kwargs=True,
    )
    runs = []
    for strength in (None, 5.0):
        seen.clear()
        steering = None if strength is None else Steering(TINY_LAYER, direction, strength)
        generator.generate([request("The cat", 1, steering)], max_new_tokens=2, temperature=0)
        runs.append(list(seen))
    handle.remove()
    plain, steered = runs
    assert torch.equal(plain[0], steered[0])
    added = steered[1] - plain[1]
    torch.testing.assert_close(added[0, 0, 0], 5.0 * plain[1].norm())
    assert added[0, 0, 1:].abs().max() < 1e-4


def test_steering_one_request_leaves_the_others_alone(generator: LocalGenerator) -> None:
    direction = np.full(TINY_WIDTH, TINY_WIDTH**-0.5, dtype=np.float32)
    plain, steered = request("The cat", 3), request("Dogs", 4, Steering(TINY_LAYER, direction, 3.0))
    alone = generator.generate([plain], max_new_tokens=10, temperature=0.9)
    assert generator.generate([plain, steered], max_new_tokens=10, temperature=0.9)[0] == alone[0]


def test_a_direction_of_another_width_is_refused(generator: LocalGenerator) -> None:
    with pytest.raises(SynthesisError, match="width 32"):
        generator.generate([request("Hi.", steering=Steering(1, np.ones(5), 0.4))], max_new_tokens=2, temperature=0)


def test_an_answer_that_was_begun_is_continued(generator: LocalGenerator, tiny_backbone: str) -> None:
    plain, begun = request("The cat"), Request((("user", "The cat"),), 0, prefix="It sat on the")
    assert generator.can_prefill
    first, second = generator.generate([plain, begun], max_new_tokens=6, temperature=0)
    assert second.text.startswith("It sat on the")
    assert second.n_tokens <= 6
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(tiny_backbone)
    tokens = torch.tensor(
        [generator._encode((("user", "The cat"),)) + generator.tokenizer("It sat on the")["input_ids"]]
    )
    whole = model.generate(tokens, max_new_tokens=6, do_sample=False, pad_token_id=1)[0, tokens.shape[1] :]
    assert second.text == ("It sat on the" + generator.tokenizer.decode(whole, skip_special_tokens=True)).strip()
    assert not first.text.startswith("It sat on the")
    assert plain.prompt_digest != begun.prompt_digest


def test_a_nucleus_leaves_out_what_is_unlikely(tiny_backbone: str) -> None:
    requests = [request("The cat", seed) for seed in range(12)]
    nearly_greedy = LocalGenerator(tiny_backbone, top_p=1e-6)
    (likeliest,) = nearly_greedy.generate([request("The cat")], max_new_tokens=6, temperature=0)
    found = nearly_greedy.generate(requests, max_new_tokens=6, temperature=1)
    assert {completion.text for completion in found} == {likeliest.text}
    free, all_of_it = LocalGenerator(tiny_backbone), LocalGenerator(tiny_backbone, top_p=1.0)
    assert free.key != all_of_it.key
    texts = [one.generate(requests, max_new_tokens=6, temperature=1) for one in (free, all_of_it)]
    assert texts[0] == texts[1]
    assert len({completion.text for completion in texts[0]}) > 1


def test_a_begun_answer_counts_as_prompt(generator: LocalGenerator) -> None:
    messages = (("user", "The cat"),)
    asked = [Request(messages, 0), Request(messages, 0, prefix="It is said that")]
    plain, begun = generator.generate(asked, max_new_tokens=4, temperature=0)
    assert begun.prompt_tokens > plain.prompt_tokens > 0
    assert begun.n_tokens <= 4


def test_a_prompt_that_leaves_no_room_in_the_context_is_refused_and_others_are_answered(tiny_backbone: str) -> None:
    generator = LocalGenerator(tiny_backbone)
    assert generator.context == 8192
    generator.context = 60
    asked = [Request((("user", text),), seed=0) for text in ("Hi.", "word " * 200, "Ho.")]
    short, long, also = generator.generate(asked, max_new_tokens=8, temperature=1.0)
    assert short.n_tokens > 0 < also.n_tokens
    assert long.outcome is Outcome.REFUSED
    assert "tokens and 8 new ones exceed the context of 60" in long.refusal
