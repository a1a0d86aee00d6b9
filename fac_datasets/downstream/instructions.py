"""Instruction following: LoRA on instructions and responses, the loss of responses held out, and a judge's win rate."""

from __future__ import annotations

import hashlib
import json
import logging
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fac_datasets.backbone.identity import EMBEDDED, BackboneInfo, backbone_info
from fac_datasets.backbone.left_padding import pad_left
from fac_datasets.backbone.pretrained import load_model, load_tokenizer, torch_device
from fac_datasets.backbone.windows import beginning
from fac_datasets.downstream.judge import (
    ANSWER_TOKENS,
    JudgeCheck,
    JudgedPairs,
    Pair,
    judge_pairs,
    judge_requests,
    judged_win_rate,
)
from fac_datasets.downstream.reading import NO_TEXT, UNREADABLE, drawn, drawn_places, read_rows
from fac_datasets.downstream.training import (
    BATCH_ROWS,
    lora_config,
    require_downstream,
    require_enough,
    run,
    trainer_arguments,
)
from fac_datasets.downstream.trials import SEEDS, over_seeds
from fac_datasets.errors import BackboneError, DownstreamError, GenerationError, OptionError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.generation.base import BYTES_A_TOKEN
from fac_datasets.generation.journal import Journal, Limits, limit_together
from fac_datasets.plots import figures_png
from fac_datasets.rows.dataset_identity import content_fingerprint
from fac_datasets.rows.messages import NOT_POOLED
from fac_datasets.rows.row import Chat, Row
from fac_datasets.rows.schemas import SCHEMAS

if TYPE_CHECKING:
    import datasets
    import torch

    from fac_datasets.generation.base import Request, TextGenerator
    from fac_datasets.rows.reader import ColumnChoice

EPOCHS, LEARNING_RATE = 1, 2e-4
"""How the adapters train."""

BATCH_TOKENS = 1024
"""Tokens whose loss is measured together; their logits take 4 bytes a token and word of the vocabulary."""

ANSWERS, MAX_NEW_TOKENS = 50, 256
"""Test rows that a trained model answers, and that a judge compares, and the tokens of such an answer."""

MAX_LENGTH = 256
"""Tokens of instruction and response."""

LOSSES, OUTPUTS, REFERENCES, JUDGED, JOURNAL = "losses", "outputs", "reference_outputs.json", "judged", "judge.jsonl"
"""What trials leave in the folder of a run."""

NO_RESPONSE, NO_ROOM = "without a response", "with a prompt that leaves no room for a response"

logger = logging.getLogger(__name__)

_IGNORED = -100
"""The label of tokens whose loss does not count."""


def instruction_following(
    train: datasets.Dataset,
    test: datasets.Dataset,
    out: str | Path,
    *,
    column: ColumnChoice = None,
    backbone: str = EMBEDDED,
    judge: TextGenerator | None = None,
    known: Sequence[Pair] = (),
    limits: Limits | None = None,
    answer_tokens: int = ANSWER_TOKENS,
    answers: int = ANSWERS,
    max_new_tokens: int = MAX_NEW_TOKENS,
    epochs: float = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    seeds: Sequence[int] = SEEDS,
    max_rows: int | None = None,
    max_length: int = MAX_LENGTH,
    device: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train adapters on instructions and responses with `trl.SFTTrainer`, and measure them on others, once per seed.

    Args:
        train: instructions with responses, or chats that end with an assistant's message, in any schema that is known.
        test: the same, of which figures are.
        out: folder of the run; the same call goes on there, or reads its report. `outputs/<seed>.json` and
            `reference_outputs.json` hold answers in AlpacaEval's format.
        column: what is read of a row; by default what the schema says.
        backbone: `"embedded"`, a local folder or a Hub id.
        judge: compares the trained model's answers with the responses of the test rows; by default nobody does. It is
            asked about the known pairs, or without any one question, before anything is trained.
        known: pairs by which the judge is checked; see `judged_win_rate`.
        limits: of what the judge is asked; its answers are kept in `out`, so that with higher limits the run goes on.
        answer_tokens: tokens of the judge's answers, which like limits may be raised later.
        answers: test rows that the trained model answers, drawn at random, always the same.
        max_new_tokens: tokens of such an answer; the likeliest one each time.
        epochs: how often each training row is seen.
        learning_rate: the highest, of a linear decay.
        seeds: one trial each.
        max_rows: most rows of each set, drawn at random, always the same.
        max_length: tokens of instruction and response, behind which the response is cut.
        device: torch device; by default CUDA where there is one.
        overwrite: replace another run in `out`.

    Returns:
        The report (see `over_seeds`): `response_loss` on the test rows, in nats a token of the responses, and
        `response_loss_before`, that of the backbone; with a judge `win_rate`, either its verdict `uninformative` and
        why, or mean and deviation of the rates, with what was judged for each seed.

    Raises:
        ColumnError: nothing is known to read.
        DownstreamError: fewer training rows with a response are left than a batch has, or no test row.
        GenerationError: the judge cannot be reached, or a limit is reached; what was trained and answered is kept.
        MissingExtra: the extra `downstream` is not installed.

    Example:
        >>> from datasets import Dataset
        >>> from fac_datasets.downstream import instruction_following
        >>> rows = Dataset.from_dict({"instruction": ["Name a fruit."] * 8, "output": ["A pear."] * 8})
        >>> report = instruction_following(rows, rows, "instructions-run", seeds=(42,), answers=1, max_new_tokens=8)
        >>> report["mean"]["response_loss"] < report["mean"]["response_loss_before"]
        True
    """
    require_downstream()
    if answers < 0 or max_new_tokens < 1 or epochs <= 0 or learning_rate <= 0:
        raise OptionError(
            f"answers={answers} must not be negative, max_new_tokens={max_new_tokens} at least 1, epochs={epochs} and "
            f"learning_rate={learning_rate} above 0"
        )
    if judge is not None and not answers:
        raise OptionError("answers=0 leaves a judge nothing to compare; give at least 1, or no judge")
    out, model = Path(out), _Model(backbone, max_length, device)
    sets = {name: drawn(rows, max_rows) for name, rows in (("train", train), ("test", test))}
    read = {name: _Instructions.read(name, rows, model, column) for name, rows in sets.items()}
    for name, least in (("train", BATCH_ROWS), ("test", 1)):
        require_enough(name, len(read[name].rows), len(sets[name]), least, read[name].left_out, "rows with a response")
    asked = _asked(read["test"].rows, answers)
    identity = {
        "task": "instructions",
        "rows_of": {name: content_fingerprint(rows) for name, rows in sets.items()},
        "options": {
            "backbone": model.info.digest,
            "column": column,
            "answers": len(asked),
            "max_new_tokens": max_new_tokens,
            "epochs": epochs,
            "learning_rate": learning_rate,
            "max_rows": max_rows,
            "max_length": max_length,
            **({"judge": judge.key, "known": _digest(known)} if judge else {}),
        },
    }
    before: list[float] = []
    checked: list[JudgeCheck] = []

    @contextmanager
    def asking() -> Iterator[Journal]:
        journal = Journal(out / JOURNAL, limits)
        # With what it holds already, for it is opened anew for each seed.
        limit_together([journal])
        try:
            yield journal
        except OptionError as error:
            # Of the tokens of its answers, which may be raised while what was trained stays.
            raise GenerationError(str(error)) from error
        finally:
            journal.close()

    def trial(seed: int) -> dict[str, float]:
        # Before training, so that a judge that cannot be reached, or does not count, is told of at once.
        if judge is not None and not checked:
            with asking() as journal:
                found = judge_pairs(_checking(known, asked), judge, journal, answer_tokens=answer_tokens)
            checked.append(JudgeCheck(found if known else JudgedPairs((), {})))
            if checked[0].why_not:
                logger.warning("the win rate by %s will be uninformative: %s", judge.name, checked[0].why_not)
        losses, outputs = out / LOSSES / f"{seed}.json", out / OUTPUTS / f"{seed}.json"
        # What is trained and answered is not lost where a judge fails.
        if not losses.exists():
            if not before:
                before.append(response_loss(model.load(), read["test"].rows))
            trained = model.trained(read["train"].rows, seed, epochs, learning_rate)
            after = response_loss(trained, read["test"].rows)
            answered = model.answers(trained, asked, max_new_tokens)
            _write(outputs, _in_alpaca_format(asked, answered, f"{model.info.name}-lora-seed{seed}"))
            _write(losses, {"response_loss": after, "response_loss_before": before[0]})
        if judge is not None:
            pairs = _pairs(asked, [each["output"] for each in _load(outputs)])
            with asking() as journal:
                judged = judged_win_rate(pairs, known, judge, journal, answer_tokens=answer_tokens)
            _write(out / JUDGED / f"{seed}.json", judged.to_dict())
        figures: dict[str, float] = _load(losses)
        return figures

    def about(figures: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
        _write(out / REFERENCES, _in_alpaca_format(asked, [row.response for row in asked], "reference"))
        said = {str(seed): _load(out / JUDGED / f"{seed}.json") for seed in figures} if judge else {}
        return {
            "rows": {name: len(each.rows) for name, each in read.items()},
            "left_out": {name: dict(each.left_out) for name, each in read.items()},
            "cut": {name: sum(row.is_cut for row in each.rows) for name, each in read.items()},
            **({"win_rate": _over_judged(said)} if said else {}),
        }

    return over_seeds(
        out,
        identity,
        seeds,
        trial,
        about=about,
        plot=lambda report: figures_png(report["seeds"], {}),
        parts=(LOSSES, OUTPUTS, REFERENCES, JUDGED, JOURNAL),
        overwrite=overwrite,
    )


def questions_to_judge(
    test: datasets.Dataset,
    known: Sequence[Pair],
    out: str | Path,
    *,
    column: ColumnChoice = None,
    backbone: str = EMBEDDED,
    answers: int = ANSWERS,
    max_new_tokens: int = MAX_NEW_TOKENS,
    seeds: Sequence[int] = SEEDS,
    max_rows: int | None = None,
    max_length: int = MAX_LENGTH,
) -> list[Request]:
    """What `instruction_following` asks a judge, where answers that there are none yet take all their tokens.

    Args:
        test: see `instruction_following`, as all others.
        known: pairs by which the judge is checked.
        out: folder of the run, which may hold answers.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"instruction": ["Name a fruit."], "output": ["A pear."]})
        >>> len(questions_to_judge(rows, [Pair("Name a fruit.", "No.", "A pear.")], "instructions-run"))
        8
    """
    rows = _Instructions.read("test", drawn(test, max_rows), _Model(backbone, max_length, None), column).rows
    asked = _asked(rows, answers)
    pairs = _checking(known, asked)
    for seed in seeds:
        path = Path(out) / OUTPUTS / f"{seed}.json"
        kept = _load(path) if path.exists() else []
        if [each["instruction"] for each in kept] == [row.instruction for row in asked]:
            pairs += _pairs(asked, [each["output"] for each in kept])
        else:
            pairs += _pairs(asked, [_longest(f"{seed}/{place} ", max_new_tokens) for place in range(len(asked))])
    return judge_requests(pairs)


class _Row(NamedTuple):
    """An instruction and its response."""

    instruction: str
    response: str
    dataset: str
    prompt_ids: list[int]
    """Tokens of what is asked, with the template up to where the response begins."""
    token_ids: list[int]
    """The same with the response and its end."""
    is_cut: bool
    """Whether the response goes on behind the last token."""

    @property
    def labels(self) -> list[int]:
        """The tokens of the response, in the places of all tokens."""
        return [_IGNORED] * len(self.prompt_ids) + self.token_ids[len(self.prompt_ids) :]


class _Instructions(NamedTuple):
    """The rows of a set that can be used."""

    rows: list[_Row]
    left_out: Mapping[str, int]

    @classmethod
    def read(cls, name: str, rows: datasets.Dataset, model: _Model, column: ColumnChoice) -> _Instructions:
        found, unread = read_rows(rows, column)
        named = rows["dataset"] if "dataset" in rows.column_names else [name] * len(rows)
        left_out: Counter[str] = Counter()
        kept = []
        for place, (row, dataset) in enumerate(zip(found, named, strict=True)):
            encoded = UNREADABLE if place in unread else model.encode(row, str(dataset))
            if isinstance(encoded, str):
                left_out[encoded] += 1
            else:
                kept.append(encoded)
        if not kept and left_out[NO_RESPONSE]:
            known = "; ".join(schema.name for schema in SCHEMAS if schema.answers)
            raise DownstreamError(
                f"none of {len(rows)} rows of {name} has a response; looked for: chats that end with an assistant's "
                f"message, or the columns {known} among {rows.column_names}; name a column of chats with column= "
                f"(--column), or rename those of instructions and responses"
            )
        return cls(kept, left_out)


class _Model:
    """A backbone that is trained on instructions and answers them."""

    def __init__(self, backbone: str, max_length: int, device: str | None) -> None:
        self.info: BackboneInfo = backbone_info(backbone)
        self.max_length, self.device = max_length, torch_device(device)
        self.tokenizer = load_tokenizer(self.info.path)
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        if self.tokenizer.eos_token is None:
            raise BackboneError(f"the tokenizer of {self.info.name} has no end token, with which a response would end")

    def load(self) -> Any:
        """The backbone as it is."""
        from transformers import AutoModelForCausalLM

        return load_model(AutoModelForCausalLM, self.info.path, "float32").to(self.device)

    def encode(self, row: Row, dataset: str) -> _Row | str:
        """A row in tokens, or why it cannot be used."""
        if not isinstance(row, Chat):
            return NO_RESPONSE if row else NO_TEXT
        *asked, last = row
        if last["role"] != "assistant" or not last["content"].strip():
            return NO_RESPONSE
        if not any(message["content"].strip() for message in asked if message["role"] not in NOT_POOLED):
            return NO_TEXT
        response = str(last["content"])
        prompt, behind = self._rendered([dict(message) for message in asked], response)
        prompt_ids, response_ids = (self._tokens(text) for text in (prompt, behind))
        if not self.info.has_template:
            prompt_ids = beginning(self.tokenizer, prompt_ids) + prompt_ids
        token_ids = [*prompt_ids, *response_ids]
        if len(prompt_ids) >= self.max_length:
            return NO_ROOM
        instruction = "\n\n".join(message["content"] for message in asked if message["role"] not in NOT_POOLED)
        is_cut = len(token_ids) > self.max_length
        return _Row(instruction, response, dataset, prompt_ids, token_ids[: self.max_length], is_cut)

    def trained(self, rows: Sequence[_Row], seed: int, epochs: float, learning_rate: float) -> Any:
        """The backbone with adapters that were trained on rows."""
        import datasets
        import trl

        encoded = datasets.Dataset.from_dict(
            {"input_ids": [row.token_ids for row in rows], "labels": [row.labels for row in rows]}
        )
        with trainer_arguments(
            trl.SFTConfig,
            seed=seed,
            device=str(self.device),
            learning_rate=learning_rate,
            epochs=epochs,
            max_length=self.max_length,
        ) as arguments:
            trainer = trl.SFTTrainer(
                model=self.load(),
                args=arguments,
                train_dataset=encoded,
                processing_class=self.tokenizer,
                peft_config=lora_config("CAUSAL_LM"),
            )
            run(trainer)
        return trainer.model.eval()

    def answers(self, model: Any, rows: Sequence[_Row], max_new_tokens: int) -> list[str]:
        """The likeliest answer of a model to each row's instruction."""
        import torch

        found = [""] * len(rows)
        order = sorted(range(len(rows)), key=lambda place: len(rows[place].prompt_ids))
        for first in range(0, len(order), BATCH_ROWS):
            places = order[first : first + BATCH_ROWS]
            tokens, mask = pad_left([rows[place].prompt_ids for place in places], self.device)
            with torch.inference_mode():
                written = model.generate(
                    input_ids=tokens,
                    attention_mask=mask,
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    pad_token_id=self.tokenizer.pad_token_id,
                )
            for place, text in zip(
                places,
                self.tokenizer.batch_decode(written[:, tokens.shape[1] :], skip_special_tokens=True),
                strict=True,
            ):
                found[place] = text.strip()
        return found

    def _rendered(self, asked: list[dict[str, Any]], response: str) -> tuple[str, str]:
        """What stands before a response, and the response with its end."""
        if not self.info.has_template:
            return "\n\n".join([*(message["content"] for message in asked), ""]), response + self.tokenizer.eos_token
        prompt = self.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        whole = self.tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": response}], tokenize=False)
        # Some templates open an answer in other words than they write one.
        behind = whole[len(prompt) :] if whole.startswith(prompt) else response + self.tokenizer.eos_token
        return prompt, behind

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def response_loss(model: Any, rows: Sequence[_Row]) -> float:
    """The mean negative log-likelihood of the tokens of all responses together, in nats."""
    import torch

    total, count = 0.0, 0
    order = sorted(rows, key=lambda row: -len(row.token_ids))
    while order:
        batch, order = _batch(order)
        longest = len(batch[0].token_ids)
        tokens = torch.zeros(len(batch), longest, dtype=torch.int64)
        labels = torch.full_like(tokens, _IGNORED)
        mask = torch.zeros_like(tokens)
        for line, row in enumerate(batch):
            tokens[line, : len(row.token_ids)] = torch.tensor(row.token_ids)
            labels[line, : len(row.token_ids)] = torch.tensor(row.labels)
            mask[line, : len(row.token_ids)] = 1
        tokens, labels, mask = (each.to(model.device) for each in (tokens, labels, mask))
        with torch.inference_mode():
            logits: torch.Tensor = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
            wanted = labels[:, 1:] != _IGNORED
            losses = torch.nn.functional.cross_entropy(logits[wanted].float(), labels[:, 1:][wanted], reduction="none")
        total, count = total + float(losses.double().sum()), count + int(wanted.sum())
    return total / count


def _batch(rows: list[_Row]) -> tuple[list[_Row], list[_Row]]:
    """The first rows that run together, the longest first, and the rest."""
    size = max(1, BATCH_TOKENS // len(rows[0].token_ids))
    return rows[:size], rows[size:]


def _asked(rows: Sequence[_Row], answers: int) -> list[_Row]:
    """The test rows that the trained model answers."""
    return [rows[place] for place in drawn_places(len(rows), answers)]


def _checking(known: Sequence[Pair], asked: Sequence[_Row]) -> list[Pair]:
    """Pairs that a judge is asked about first; without known ones a response against itself, which is one question."""
    return [*known] or [Pair(row.instruction, row.response, row.response) for row in asked[:1]]


def _pairs(asked: Sequence[_Row], answers: Sequence[str]) -> list[Pair]:
    """The answers of a trained model against the responses."""
    return [Pair(row.instruction, row.response, answer) for row, answer in zip(asked, answers, strict=True)]


def _longest(start: str, n_tokens: int) -> str:
    """A text that is estimated to have so many tokens."""
    return start.ljust(BYTES_A_TOKEN * n_tokens, "x")


def _in_alpaca_format(rows: Sequence[_Row], outputs: Sequence[str], generator: str) -> list[dict[str, str]]:
    """Answers as the files of AlpacaEval have them."""
    return [
        {"instruction": row.instruction, "output": output, "generator": generator, "dataset": row.dataset}
        for row, output in zip(rows, outputs, strict=True)
    ]


def _digest(pairs: Sequence[Pair]) -> str:
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]


def _over_judged(judged: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a judge says of all seeds: uninformative where it is of one of them."""
    why = {seed: found["why"] for seed, found in judged.items() if found["verdict"] != "counts"}
    if why:
        return {"verdict": "uninformative", "why": next(iter(why.values())), "seeds": dict(judged)}
    rates: dict[str, Any] = {}
    for name in ("raw", "length_controlled"):
        values = [found["win_rate"][name] for found in judged.values() if found["win_rate"][name] is not None]
        rates[name] = {
            "mean": statistics.fmean(values) if values else None,
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "seeds": len(values),
        }
    return {"verdict": "counts", "why": "", **rates, "seeds": dict(judged)}


def _write(path: Path, content: Any) -> None:
    write_atomically(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
