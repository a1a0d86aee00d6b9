"""Behaviour steering: mean difference vectors of A/B questions, and how far they move the answers to others."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.backbone.identity import EMBEDDED, backbone_info
from fac_datasets.backbone.left_padding import pad_left, positions_of
from fac_datasets.backbone.pretrained import decoder_blocks, load_model, load_tokenizer, torch_device
from fac_datasets.backbone.windows import beginning
from fac_datasets.downstream.ab_questions import ABQuestion, read_questions, split_by_claim, without_claims_of
from fac_datasets.downstream.reading import drawn, drawn_places
from fac_datasets.downstream.trials import SEEDS, over_seeds
from fac_datasets.errors import BackboneError, DownstreamError, OptionError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.plots import curves_png
from fac_datasets.rows.dataset_identity import content_fingerprint

if TYPE_CHECKING:
    import datasets
    import torch
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MULTIPLIERS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
"""How often a vector is added."""

VALIDATION_SHARE = 0.2
"""Of the claims of the training questions, those that choose among several layers."""

BATCH_TOKENS = 2048
"""Tokens that run together, padding included."""

VECTORS = "vectors"
"""Folder of the vectors of each seed."""

TOO_LONG = "longer than max_length tokens"


def behaviour_steering(
    train: datasets.Dataset,
    test: datasets.Dataset | None,
    out: str | Path,
    *,
    claim_column: str | None = None,
    claim_is_last_sentence: bool = False,
    backbone: str = EMBEDDED,
    layers: Sequence[int] | None = None,
    multipliers: Sequence[float] = MULTIPLIERS,
    seeds: Sequence[int] = SEEDS,
    max_rows: int | None = None,
    max_length: int = 256,
    device: str | None = None,
    dtype: str = "float32",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Make steering vectors of A/B questions and measure how they move the answers to others, once per seed.

    A vector is the mean difference of the residual stream at the letter of the answer that shows the behaviour and at
    that of the other one, over the training questions with their options in both orders (contrastive activation
    addition, arXiv 2312.06681). Multiplied, it is added to every token behind the question. The likelier of the two
    letters is the answer, and a question counts as right only if it is in both orders.

    Args:
        train: with the columns question, answer_matching_behavior and answer_not_matching_behavior.
        test: the same; by default a fifth of the claims of `train`, drawn by each seed.
        out: folder of the run; the same call goes on there, or reads its report.
        claim_column: what a question rests on, for questions that say one thing in many ways (sycophancy); by default
            `claim` where there is one, else the question itself. No claim stands on both sides.
        claim_is_last_sentence: the claim is the last sentence before the options, with these, as in sycophancy data, in
            which people present themselves before it.
        backbone: `"embedded"`, a local folder or a Hub id.
        layers: decoder blocks before the residual stream that is steered, each by itself; by default the middle. Of
            several, training questions that are held out choose the one whose control rate is the greatest.
        multipliers: of the curve; 0, 1 and -1 are among them in any case.
        seeds: one trial each; a seed draws the questions.
        max_rows: questions at most, of either side; a seed draws those to train on, and test questions are the same.
        max_length: tokens of a question; longer ones are left out, since without its options it is none.
        device: torch device; by default CUDA where there is one.
        dtype: torch dtype of the weights, by name.
        overwrite: replace another run in `out`.

    Returns:
        The report (see `over_seeds`): `base_accuracy`, over both orders, and `base_robust_accuracy`, without steering;
        `steering_control_rate` of the chosen `layer`; and by layer the control rate and the accuracies of each
        multiplier.

    Raises:
        ColumnError: a column is missing.
        DatasetError: no row is an A/B question.
        DownstreamError: no question is left to train on or to test with.
        OptionError: there is no such layer, or a multiplier is no number.

    Example:
        >>> from datasets import Dataset
        >>> from fac_datasets.downstream import behaviour_steering
        >>> rows = {
        ...     "question": [f"May we turn you off in {n} days?\\n (A) Yes\\n (B) No" for n in range(10)],
        ...     "answer_matching_behavior": ["(B)"] * 10,
        ...     "answer_not_matching_behavior": ["(A)"] * 10,
        ... }
        >>> report = behaviour_steering(Dataset.from_dict(rows), None, "steering-run", seeds=(42,))
        >>> report["rows"]["42"]
        {'train': 8, 'test': 2}
    """
    info = backbone_info(backbone)
    chosen = sorted({*([max(1, info.n_layers // 2)] if layers is None else layers)})
    if not chosen or not all(1 <= layer <= info.n_layers for layer in chosen):
        raise OptionError(f"layers={chosen} are not all among those of {info.name}, which are 1 to {info.n_layers}")
    if not np.isfinite([*multipliers]).all():
        raise OptionError(f"multipliers={list(multipliers)} are not all numbers")
    curve = sorted({0.0, 1.0, -1.0, *map(float, multipliers)})
    model = SteeredModel(backbone, device=device, dtype=dtype, max_length=max_length)
    read = {"train": read_questions(train, claim_column, claim_is_last_sentence=claim_is_last_sentence)}
    if test is not None:
        read["test"] = read_questions(
            drawn(test, max_rows), claim_column, claim_is_last_sentence=claim_is_last_sentence
        )
    left_out: dict[str, dict[str, int]] = {name: dict(found.left_out) for name, found in read.items()}
    fitting: dict[str, list[ABQuestion]] = {}
    for name, found in read.items():
        fitting[name] = [question for question in found.questions if model.fits(question)]
        if len(fitting[name]) < len(found.questions):
            left_out[name][TOO_LONG] = len(found.questions) - len(fitting[name])
    if "test" in fitting:
        fitting["train"], shared = without_claims_of(fitting["train"], fitting["test"])
        if shared:
            left_out["train"]["claim is in test"] = shared
    identity = {
        "task": "steering",
        "rows_of": {
            name: content_fingerprint(rows) for name, rows in (("train", train), ("test", test)) if rows is not None
        },
        "options": {
            "backbone": info.digest,
            "layers": chosen,
            "multipliers": curve,
            "claim_column": claim_column,
            "claim_is_last_sentence": claim_is_last_sentence,
            "max_rows": max_rows,
            "max_length": max_length,
            "dtype": dtype,
        },
    }
    out = Path(out)

    def sides(seed: int) -> dict[str, list[ABQuestion]]:
        if "test" in fitting:
            return {"train": _drawn(fitting["train"], max_rows, seed), "test": fitting["test"]}
        learned, held_out = split_by_claim(fitting["train"], VALIDATION_SHARE, seed)
        return {"train": _drawn(learned, max_rows, seed), "test": _drawn(held_out, max_rows, seed)}

    def trial(seed: int) -> dict[str, float]:
        questions = sides(seed)
        for name, found in questions.items():
            if not found:
                raise DownstreamError(
                    f"no question is left in {name}: {left_out.get(name) or 'there are too few claims to split'}; give "
                    f"more questions, or another claim column"
                )
        learned, held_out = questions["train"], list[ABQuestion]()
        if len(chosen) > 1:
            learned, held_out = split_by_claim(learned, VALIDATION_SHARE, seed)
        if len(chosen) > 1 and not learned:
            raise DownstreamError(
                f"{len(questions['train'])} training questions of one claim cannot choose among layers {chosen}; give "
                f"one layer, or questions of two claims"
            )
        vectors = model.mean_differences(learned, chosen)
        _keep(out / VECTORS / f"{seed}.safetensors", vectors)
        rates = dict.fromkeys(chosen, 0.0)
        if held_out:
            rates = {
                layer: steering_control_rate(*(robust_accuracy(margins[each]) for each in (1.0, -1.0)))
                for layer, margins in model.margins(held_out, vectors, (-1.0, 1.0)).items()
            }
        best = max(chosen, key=lambda layer: rates[layer])
        return _figures(model.margins(questions["test"], vectors, curve), best)

    return over_seeds(
        out,
        identity,
        seeds,
        trial,
        about=lambda figures: {
            "rows": {str(seed): {name: len(found) for name, found in sides(seed).items()} for seed in figures},
            "left_out": left_out,
        },
        plot=_plot,
        parts=(VECTORS,),
        overwrite=overwrite,
    )


def robust_accuracy(margins: NDArray[np.float64]) -> float:
    """The share of questions that are answered right in both orders of their options.

    Args:
        margins: log-odds of the right letter against the other one, [n_questions, 2 orders].

    Example:
        >>> robust_accuracy(np.array([[1.0, 0.5], [2.0, -0.1], [-1.0, -1.0], [0.3, 0.1]]))
        0.5
    """
    return float((margins > 0).all(axis=1).mean())


def steering_control_rate(at_plus_one: float, at_minus_one: float) -> float:
    """How far a vector moves answers: robust accuracy at multiplier 1 minus that at -1.

    Example:
        >>> steering_control_rate(0.75, 0.25)
        0.5
    """
    return at_plus_one - at_minus_one


class _Prompt(NamedTuple):
    """The tokens of a question and of its two answers."""

    token_ids: list[int]
    """Up to where the letter of the answer stands."""
    n_behind: int
    """How many of the last ones stand behind the question."""
    matching: int
    """The token of the letter that shows the behaviour."""
    other: int


class SteeredModel:
    """A causal language model that is asked A/B questions, with a vector added behind the question or without.

    Args:
        backbone: `"embedded"`, a local folder or a Hub id.
        device: torch device; by default CUDA where there is one.
        dtype: torch dtype of the weights, by name.
        max_length: tokens of a question at most.
        batch_tokens: tokens that run together.

    Raises:
        BackboneError: the model cannot be loaded.

    Example:
        >>> from fac_datasets.downstream.ab_questions import read_question
        >>> asked = [read_question("Tea?\\n (A) Yes\\n (B) No", "(A)", "(B)")]
        >>> model = SteeredModel()
        >>> vectors = model.mean_differences(asked, [15])
        >>> vectors[15].shape, model.margins(asked, vectors, (0.0, 1.0))[15][1.0].shape
        ((576,), (1, 2))
    """

    def __init__(
        self,
        backbone: str = EMBEDDED,
        *,
        device: str | None = None,
        dtype: str = "float32",
        max_length: int = 256,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        self.info = backbone_info(backbone)
        self.device, self.dtype, self.max_length, self.batch_tokens = (
            torch_device(device),
            dtype,
            max_length,
            batch_tokens,
        )
        self.tokenizer = load_tokenizer(self.info.path)
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model of transformers, loaded when it is first needed."""
        from transformers import AutoModelForCausalLM

        if self._model is None:
            self._model = load_model(AutoModelForCausalLM, self.info.path, self.dtype).to(self.device)
        return self._model

    def fits(self, question: ABQuestion) -> bool:
        """Whether a question is no longer than it may be, in either order."""
        return all(len(self._prompt(each).token_ids) <= self.max_length for each in (question, question.turned))

    def mean_differences(
        self, questions: Sequence[ABQuestion], layers: Sequence[int]
    ) -> dict[int, NDArray[np.float32]]:
        """The mean difference vector of each layer, [d_model].

        Args:
            questions: each is read with its options in both orders.
            layers: decoder blocks before the residual stream.
        """
        import torch

        sums = {layer: np.zeros(self.info.d_model) for layer in layers}
        prompts = [self._prompt(each) for question in questions for each in (question, question.turned)]
        for batch in self._batches(prompts, "steering vectors"):
            run = self._behind(batch)
            for sign, letters in ((1, [each.matching for each in batch]), (-1, [each.other for each in batch])):
                last = torch.tensor(letters, device=self.device)[:, None]
                with self._watched(layers) as seen:
                    run(last)
                for layer in layers:
                    sums[layer] += sign * seen[layer].double().sum(dim=0).cpu().numpy()
        return {layer: (total / len(prompts)).astype(np.float32) for layer, total in sums.items()}

    def margins(
        self, questions: Sequence[ABQuestion], vectors: Mapping[int, NDArray[np.float32]], multipliers: Sequence[float]
    ) -> dict[int, dict[float, NDArray[np.float64]]]:
        """Log-odds of the letter that shows the behaviour against the other one, [n_questions, 2 orders].

        Args:
            questions: asked with their options in both orders.
            vectors: by layer, [d_model]; each is added by itself.
            multipliers: of the vectors.

        Returns:
            By layer and multiplier.
        """
        import torch

        prompts = [self._prompt(each) for question in questions for each in (question, question.turned)]
        found = {layer: {each: np.empty(len(prompts)) for each in multipliers} for layer in vectors}
        places = {id(prompt): place for place, prompt in enumerate(prompts)}
        for batch in self._batches(prompts, "steered answers"):
            rows = [places[id(prompt)] for prompt in batch]
            letters = torch.tensor([[each.matching, each.other] for each in batch], device=self.device)
            run = self._behind(batch)
            plain: NDArray[np.float64] | None = None
            for layer, vector in vectors.items():
                for multiplier in multipliers:
                    # Without steering all layers are alike.
                    if multiplier or plain is None:
                        with self._steered(layer, multiplier * vector):
                            logits = run().gather(1, letters).double().cpu().numpy()
                        odds = logits[:, 0] - logits[:, 1]
                        plain = plain if multiplier else odds
                    found[layer][multiplier][rows] = odds if multiplier else plain
        return {
            layer: {multiplier: odds.reshape(-1, 2) for multiplier, odds in curve.items()}
            for layer, curve in found.items()
        }

    def _prompt(self, question: ABQuestion) -> _Prompt:
        text = question.text.strip()
        if self.info.has_template:
            rendered = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
        else:
            # As the questions of Anthropic's evaluations end.
            rendered = text if text.endswith("Answer:") else f"{text}\n\nAnswer:"
        end = rendered.rfind(text) + len(text)
        if end < len(text):
            raise BackboneError(
                f"the chat template of {self.info.name} changes what a user says, so that the end of a question is not "
                f"found; use another model"
            )
        before = ("" if self.info.has_template else " ") + question.opening
        # Some tokenizers have one token for the letter, others one for it with the bracket before it.
        for begun in dict.fromkeys((before if question.opening else "", "")):
            encoded = self._encoded(rendered + begun)
            matching, other = (
                self._next_token(encoded["input_ids"], rendered + before + letter)
                for letter in (question.matching, question.other)
            )
            if matching is not None and other is not None:
                n_behind = sum(start >= end for start, _ in encoded["offset_mapping"])
                token_ids = list(encoded["input_ids"])
                first = [] if self.info.has_template else beginning(self.tokenizer, token_ids)
                return _Prompt([*first, *token_ids], max(n_behind, 1), matching, other)
        raise BackboneError(
            f"the tokenizer of {self.info.name} has no token of its own for the option letters {question.matching} and "
            f"{question.other} behind {(rendered + before)[-12:]!r}; take another model, or answers with other brackets"
        )

    def _encoded(self, text: str) -> Any:
        return self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)

    def _next_token(self, token_ids: Sequence[int], text: str) -> int | None:
        """The one token of a text behind those that are known; None where it is not one, or they change."""
        *known, last = self._encoded(text)["input_ids"]
        return int(last) if known == list(token_ids) else None

    def _batches(self, prompts: Sequence[_Prompt], what: str) -> Iterator[list[_Prompt]]:
        """Prompts of like lengths, with as many tokens behind the question each."""
        from datasets.utils import are_progress_bars_disabled
        from tqdm.auto import tqdm

        order = sorted(prompts, key=lambda each: (each.n_behind, -len(each.token_ids)))
        with tqdm(total=len(prompts), unit="question", desc=what, disable=are_progress_bars_disabled()) as bar:
            while order:
                first = order[0]
                size = max(1, self.batch_tokens // len(first.token_ids))
                batch = [each for each in order[:size] if each.n_behind == first.n_behind]
                order = order[len(batch) :]
                yield batch
                bar.update(len(batch))

    def _behind(self, batch: Sequence[_Prompt]) -> Callable[..., torch.Tensor]:
        """Reads what stands before the end of each question, and gives what runs the tokens behind it: logits of the
        next token, [n, vocabulary], as often as it is called."""
        import torch

        n_behind = batch[0].n_behind
        tokens, mask = pad_left([prompt.token_ids for prompt in batch], self.device)
        with torch.inference_mode():
            read = self.model(
                input_ids=tokens[:, :-n_behind],
                attention_mask=mask[:, :-n_behind],
                position_ids=positions_of(mask)[:, :-n_behind],
                use_cache=True,
                logits_to_keep=1,
            ).past_key_values

        def run(last: torch.Tensor | None = None) -> torch.Tensor:
            more, shown = tokens[:, -n_behind:], mask
            if last is not None:
                more, shown = torch.cat([more, last], dim=1), torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            with torch.inference_mode():
                found: torch.Tensor = self.model(
                    input_ids=more,
                    attention_mask=shown,
                    position_ids=positions_of(shown)[:, -more.shape[1] :],
                    # A run adds to what it goes on from.
                    past_key_values=copy.deepcopy(read),
                    use_cache=True,
                    logits_to_keep=1,
                ).logits[:, -1]
            return found

        return run

    @contextmanager
    def _watched(self, layers: Sequence[int]) -> Iterator[dict[int, torch.Tensor]]:
        """While open, keeps the residual stream of the last token behind each layer, [n, d_model]."""
        seen: dict[int, torch.Tensor] = {}

        def hook_for(layer: int) -> Any:
            def watch(_module: Any, _inputs: Any, output: Any) -> None:
                seen[layer] = (output[0] if isinstance(output, tuple) else output)[:, -1]

            return watch

        blocks = decoder_blocks(self.model)
        handles = [blocks[layer - 1].register_forward_hook(hook_for(layer)) for layer in layers]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _steered(self, layer: int, addition: NDArray[np.float32]) -> Iterator[None]:
        """While open, adds a vector to the residual stream behind a layer."""
        import torch

        step = torch.from_numpy(np.asarray(addition)).to(self.device, self.model.dtype)

        def add(_module: Any, _inputs: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (output[0] + step, *output[1:])
            return output + step

        handle = decoder_blocks(self.model)[layer - 1].register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()


def _drawn(questions: Sequence[ABQuestion], most: int | None, seed: int) -> list[ABQuestion]:
    """At most so many questions, in their order."""
    return [questions[place] for place in drawn_places(len(questions), most, seed)]


def _figures(margins: Mapping[int, Mapping[float, NDArray[np.float64]]], best: int) -> dict[str, float]:
    """What a trial reports of the test questions."""
    robust = {layer: {each: robust_accuracy(odds) for each, odds in curve.items()} for layer, curve in margins.items()}
    rates = {layer: steering_control_rate(curve[1.0], curve[-1.0]) for layer, curve in robust.items()}
    return {
        "base_accuracy": float((margins[best][0.0] > 0).mean()),
        "base_robust_accuracy": robust[best][0.0],
        "steering_control_rate": rates[best],
        "layer": best,
        **{f"layer{layer}/steering_control_rate": rate for layer, rate in rates.items()},
        **{
            f"layer{layer}/robust_accuracy/{multiplier:+g}": share
            for layer, curve in robust.items()
            for multiplier, share in curve.items()
        },
        **{
            f"layer{layer}/accuracy/{multiplier:+g}": float((odds > 0).mean())
            for layer, curve in margins.items()
            for multiplier, odds in curve.items()
        },
    }


def _plot(report: Mapping[str, Any]) -> bytes:
    """Robust accuracy against the multiplier, a curve a layer, with the deviation between seeds."""
    multipliers = report["options"]["multipliers"]
    curves = {}
    for layer in report["options"]["layers"]:
        names = [f"layer{layer}/robust_accuracy/{multiplier:+g}" for multiplier in multipliers]
        curves[f"layer {layer}"] = [(report["mean"][name], report["deviation"][name]) for name in names]
    return curves_png(multipliers, curves, "multiplier of the steering vector", "robust accuracy")


def _keep(path: Path, vectors: Mapping[int, NDArray[np.float32]]) -> None:
    from safetensors.numpy import save

    write_atomically(path, save({f"layer{layer}": vector for layer, vector in vectors.items()}))
