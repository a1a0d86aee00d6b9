"""A chat endpoint as text generator: Inference Providers, TGI, vLLM or any server that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
from httpx2 import AsyncClient, TransportError
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, OfflineModeIsEnabled

from fac_datasets.errors import GenerationError, OptionError
from fac_datasets.files.credentials import credential, hub_token, server_address, without_credentials
from fac_datasets.files.retrying import PASSING, growing_wait, wait_after
from fac_datasets.generation.base import Completion, Outcome, Request, TextGenerator, require_top_p
from fac_datasets.generation.dialect import Dialect, response_format
from fac_datasets.generation.protocol import ErrorBody, NoCompletion, body_of, is_filtered, read_completion

_OWN_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Names of one's own machine."""

_REFUSED = (400, 413, 422)
"""Statuses of a request that a server will not answer for what it says or how long it is."""

_ALL_REFUSED = 5
"""As many requests, all refused, are refused for another reason than what they say."""

_ALL_FAILED = 5
"""As many errors in place of answers, one after the other, are no matter of single requests."""

_CONTINUING = ("vllm", "sglang", "llamacpp")
"""Servers that continue an answer that was begun, as they call themselves in their list of models."""


class EndpointGenerator(TextGenerator):
    """Asks a chat endpoint, several requests at a time.

    What fails for a passing reason (busy, broken connection, time-out, an answer that is no completion) is tried again,
    after a growing wait or the one that the server asks for. A prompt that the server refuses (HTTP 400, 413, 422: too
    long, or caught by a filter) is a completion with its `refusal`, and not asked again; a parameter that it refuses,
    such as the temperature, is said once and left out from then on. Steering is not possible.

    A journal keeps the answers of different servers, models and providers apart. On one's own machine the port counts
    only where no model is named: there it changes from run to run.

    Args:
        model: id of the model on the Hub or on the server; servers of one model need none.
        base_url: of an OpenAI-compatible server, such as `http://localhost:8000/v1`; by default the Hub's providers.
        provider: of Inference Providers; by default the first that serves the model.
        token: by default that of `huggingface_hub`, or the environment's `OPENAI_API_KEY` for other servers.
        concurrency: requests under way at once.
        retries: tries of a request after the first.
        timeout: seconds that a whole answer may take.
        top_p: samples from the likeliest tokens that have this probability together; by default the server's own.

    Raises:
        OptionError: neither a model nor an address is given, or both an address and a provider; or the address or the
            token is none.

    Example:
        >>> generator = EndpointGenerator("my-model", base_url="http://localhost:8000/v1")
        >>> generator.name
        'my-model@localhost'
    """

    batch_size = 256
    takes_schema = True

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        provider: str | None = None,
        token: str | None = None,
        concurrency: int = 8,
        retries: int = 6,
        timeout: float = 120.0,
        top_p: float | None = None,
    ) -> None:
        if (model is None and base_url is None) or (base_url is not None and provider is not None):
            raise OptionError(
                f"model={model!r}, base_url={base_url!r} and provider={provider!r} name no endpoint: give a model of "
                f"the Hub with or without a provider, or the address of a server"
            )
        if concurrency < 1 or retries < 0 or timeout <= 0:
            raise OptionError(
                f"concurrency={concurrency} must be at least 1, retries={retries} not negative, timeout={timeout} "
                f"above 0"
            )
        self.top_p = require_top_p(top_p)
        self.model = model
        self.base_url = None if base_url is None else server_address(base_url, "base_url", "http://localhost:8000/v1")
        self.provider = provider
        self.concurrency = concurrency
        self.retries = retries
        self.timeout = timeout
        self.name = f"{model or 'model'}@{_place(self.base_url) if self.base_url is not None else provider or 'auto'}"
        given = token or (os.environ.get("OPENAI_API_KEY") if base_url else None)
        self._token = credential(given, "the token for the endpoint")
        self._sent_token = self._token
        self._has_answered = False
        self._dialect = Dialect(self.name)
        self._continues: bool | None = None

    @property
    def can_prefill(self) -> bool:
        """See `TextGenerator.can_prefill`: whether the server says that it is one of those that continue an answer."""
        if self._continues is None and self.base_url is not None:
            parts = urlsplit(self.base_url)
            address = parts._replace(path=f"{parts.path.rstrip('/')}/models").geturl()
            headers = {"Authorization": f"Bearer {self._token or 'none'}"}
            try:
                found = httpx2.get(address, headers=headers, timeout=10).json()
                self._continues = any(model["owned_by"] in _CONTINUING for model in found["data"])
            except TransportError:
                return False
            except (ValueError, LookupError, TypeError):
                self._continues = False
        return bool(self._continues)

    @property
    def key(self) -> str:
        """See `TextGenerator.key`."""
        where = f"provider {self.provider or 'auto'}" if self.base_url is None else self.base_url
        if self.base_url is not None:
            parts = urlsplit(self.base_url)
            port = "" if parts.hostname in _OWN_HOSTS and self.model is not None else f":{parts.port}"
            where = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        sampled = "" if self.top_p is None else f"/top_p{self.top_p}"
        return f"{self.model or 'model'}@{where}{sampled}"

    def complete(
        self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Iterator[tuple[int, Completion]]:
        """See `TextGenerator.complete`.

        Raises:
            OptionError: a request is steered, or has a prefix that the server does not continue, or the token that is
                logged in is none.
            GenerationError: a request failed for good, and those that were under way are finished first; or the server
                has answered nothing yet and refuses all of several requests, which is hardly for what they say; or it
                sends errors in place of several answers in a row.
        """
        if any(request.steering is not None for request in requests):
            raise OptionError(f"{self.name} cannot be steered; use LocalGenerator")
        if any(request.prefix for request in requests) and not self.can_prefill:
            raise OptionError(
                f"{self.name} continues no answer that was begun; use LocalGenerator, or a server of {_CONTINUING}"
            )
        if self.base_url is None:
            # Asked for each time, since the one that is logged in may have been renewed.
            self._sent_token = hub_token(self._token)
        found: queue.SimpleQueue[tuple[int, Completion] | BaseException | None] = queue.SimpleQueue()

        async def ask_all() -> None:
            waiting = iter(enumerate(requests))
            pause, failed = _Pause(), asyncio.Event()
            async with self._client() as client:

                async def work() -> None:
                    for index, request in waiting:
                        if failed.is_set():
                            return
                        try:
                            found.put((index, await self._ask(client, pause, request, max_new_tokens, temperature)))
                        except BaseException:
                            failed.set()
                            raise

                results = await asyncio.gather(*(work() for _ in range(self.concurrency)), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

        # A thread of its own, since notebooks already run an event loop in theirs.
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=(loop, ask_all(), found), name="endpoint", daemon=True)
        thread.start()
        refused: list[tuple[int, Completion]] = []
        failed = 0
        try:
            while (item := found.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                outcome = item[1].outcome
                failed = failed + 1 if outcome is Outcome.ERROR else 0
                if failed >= _ALL_FAILED:
                    raise GenerationError(
                        f"{self.name} sends errors in place of answers, {failed} in a row: {item[1].refusal}"
                    )
                if outcome is Outcome.REFUSED and not self._has_answered:
                    refused.append(item)
                    continue
                self._has_answered = self._has_answered or outcome is not Outcome.ERROR
                yield item
            if len(refused) >= _ALL_REFUSED and not self._has_answered:
                raise GenerationError(f"{self.name} refuses all of {len(refused)} requests: {refused[0][1].refusal}")
            yield from refused
        finally:
            # Where the reader has lost interest (Ctrl-C), nobody waits for what is under way.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_cancel_all, loop)
            thread.join()

    def _client(self) -> AsyncInferenceClient:
        if self.base_url is not None:
            # A key must be given, or the token for the Hub would be sent to somebody else.
            return _OwnServerClient(base_url=self.base_url, api_key=self._sent_token or "none", timeout=self.timeout)
        return _Client(provider=self.provider, token=self._sent_token, timeout=self.timeout)  # type: ignore[arg-type]

    async def _ask(
        self, client: AsyncInferenceClient, pause: _Pause, request: Request, max_new_tokens: int, temperature: float
    ) -> Completion:
        messages = [{"role": role, "content": content} for role, content in request.messages]
        continued: dict[str, Any] = {}
        if request.prefix:
            messages.append({"role": "assistant", "content": request.prefix})
            continued = {"continue_final_message": True, "add_generation_prompt": False}
        attempt = 0
        while True:
            await pause.over()
            sent = self._dialect.parameters(
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=self.top_p,
                seed=request.seed,
                schema=request.schema,
            )
            try:
                # The client's own time-out is one of each piece of an answer.
                async with asyncio.timeout(self.timeout):
                    answer = await client.chat_completion(messages, model=self.model, extra_body={**sent, **continued})
                return read_completion(answer["body"], request, max_new_tokens)
            except OfflineModeIsEnabled as error:
                raise GenerationError(f"{self.name} is not asked: {error}") from None
            except _FAILURES as error:
                status, said = _status(error), _said(error)
                reason = self._without_token(self._reason(error, status))
                if _is_refusal(status, said):
                    if self._dialect.learn(sent, said):
                        continue
                    problem = Outcome.FILTERED if is_filtered(said) else Outcome.REFUSED
                    return Completion("", 0, False, refusal=reason, problem=problem)
                wait = _wait(error, status, attempt)
                if wait is not None and attempt < self.retries:
                    pause.until(wait, shared=isinstance(error, HfHubHTTPError))
                    await asyncio.sleep(wait)
                    attempt += 1
                    continue
                if wait is not None and isinstance(error, ErrorBody):
                    return Completion("", 0, False, refusal=reason, problem=Outcome.ERROR)
                raise GenerationError(
                    f"{self.name} did not answer after {attempt + 1} of {self.retries + 1} tries: {reason}"
                ) from None
            except ValueError as error:
                # Such as a provider that there is not, or that does not serve the model.
                raise GenerationError(f"{self.name} cannot be asked: {self._without_token(str(error))}") from None

    def _reason(self, error: Exception, status: int) -> str:
        """What is said of a failure."""
        if isinstance(error, ErrorBody):
            return f"an error in place of an answer: {error}"
        if isinstance(error, TimeoutError):
            return f"no answer within {self.timeout:g} seconds"
        return f"HTTP {status}, {error}" if status else str(error)

    def _without_token(self, text: str) -> str:
        return without_credentials(text.replace(self._sent_token, "***") if self._sent_token else text)


def _place(base_url: str) -> str:
    """What tells a server from others, for provenance."""
    parts = urlsplit(base_url)
    # On one's own machine the port differs from run to run.
    port = "" if parts.hostname in _OWN_HOSTS or parts.port is None else f":{parts.port}"
    return f"{parts.hostname}{port}{parts.path.rstrip('/').removesuffix('/v1')}"


class _Client(AsyncInferenceClient):
    """Hands over what a server answers as it came: the library's own reader knows no streams but those it asked for,
    and stops at answers that are odd."""

    async def _inner_post(self, request_parameters: Any, *, stream: bool = False) -> bytes:  # type: ignore[override]
        content = await super()._inner_post(request_parameters, stream=False)
        return json.dumps({"body": body_of(content)}).encode()


class _OwnServerClient(_Client):
    """A client of a server other than the Hub's, which HF_HUB_OFFLINE does not shut off."""

    async def _get_async_client(self) -> AsyncClient:
        if self._async_client is None:
            self._async_client = await self.exit_stack.enter_async_context(AsyncClient(timeout=None))
        return self._async_client

    async def _inner_post(self, request_parameters: Any, *, stream: bool = False) -> bytes:  # type: ignore[override]
        form = request_parameters.json.get("response_format")
        if form is not None:
            # The library puts a schema as early versions of TGI took it, which other servers do not know.
            request_parameters.json["response_format"] = response_format(form["value"])
        return await super()._inner_post(request_parameters, stream=stream)


class _Pause:
    """Time that all requests wait after the server has asked one of them to."""

    def __init__(self) -> None:
        self._end = 0.0

    def until(self, seconds: float, *, shared: bool) -> None:
        if shared:
            self._end = max(self._end, asyncio.get_running_loop().time() + seconds)

    async def over(self) -> None:
        # Another request may have been told to wait longer meanwhile.
        while (left := self._end - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left)


_FAILURES = (HfHubHTTPError, TransportError, InferenceTimeoutError, TimeoutError, ErrorBody, NoCompletion)
"""What asking an endpoint may end with."""


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], found: queue.SimpleQueue[Any]) -> None:
    """Run to the end; the reader learns of an error, and of the end."""
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(work)
    except BaseException as error:  # noqa: BLE001 - handed on to the thread that reads
        found.put(error)
    found.put(None)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _status(error: Exception) -> int:
    """The HTTP status of a failure; 0 where it has none."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code
    return error.status if isinstance(error, ErrorBody) else 0


def _said(error: Exception) -> str:
    """The body of a failure, where the server sent one."""
    if isinstance(error, HfHubHTTPError):
        return error.response.text
    return json.dumps(error.body) if isinstance(error, ErrorBody) else ""


def _is_refusal(status: int, said: str) -> bool:
    """Whether a server will not answer a request for what it says, how long it is, or how it is put."""
    unspecified = status == 0 and "invalid_request" in said
    filtered = status < 500 and status not in PASSING and is_filtered(said)
    return status in _REFUSED or unspecified or filtered


def _wait(error: Exception, status: int, attempt: int) -> float | None:
    """Seconds until another try; None where none would help."""
    if not status:
        return growing_wait(attempt)
    asked = error.response.headers.get("Retry-After") if isinstance(error, HfHubHTTPError) else None
    return wait_after(status, asked, attempt)
