"""A chat endpoint as text generator: Inference Providers, TGI, vLLM or any server that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

from httpx2 import AsyncClient, TransportError
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, OfflineModeIsEnabled

from fac_datasets.errors import GenerationError, OptionError
from fac_datasets.files.credentials import credential, hub_token, server_address, without_credentials
from fac_datasets.files.retrying import growing_wait, wait_after
from fac_datasets.generation.base import Completion, Request, TextGenerator, estimated_tokens

_OWN_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Names of one's own machine."""

_REFUSED = (400, 413, 422)
"""Statuses of a request that a server will not answer for what it says or how long it is."""

_ALL_REFUSED = 5
"""As many requests, all refused, are refused for another reason than what they say."""


class EndpointGenerator(TextGenerator):
    """Asks a chat endpoint, several requests at a time.

    What fails for a passing reason (busy, broken connection, time-out, an answer that is no completion) is tried again,
    after a growing wait or the one that the server asks for. A prompt that the server refuses (HTTP 400, 413, 422: too
    long, or caught by a filter) is a completion with its `refusal`, and not asked again. Steering is not possible.

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

    Raises:
        OptionError: neither a model nor an address is given, or both an address and a provider; or the address or the
            token is none.

    Example:
        >>> generator = EndpointGenerator("my-model", base_url="http://localhost:8000/v1")
        >>> generator.name
        'my-model@localhost'
    """

    batch_size = 256

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

    @property
    def key(self) -> str:
        """See `TextGenerator.key`."""
        where = f"provider {self.provider or 'auto'}" if self.base_url is None else self.base_url
        if self.base_url is not None:
            parts = urlsplit(self.base_url)
            port = "" if parts.hostname in _OWN_HOSTS and self.model is not None else f":{parts.port}"
            where = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        return f"{self.model or 'model'}@{where}"

    def complete(
        self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Iterator[tuple[int, Completion]]:
        """See `TextGenerator.complete`.

        Raises:
            OptionError: a request is steered, or the token that is logged in is none.
            GenerationError: a request failed for good, and those that were under way are finished first; or the server
                has answered nothing yet and refuses all of several requests, which is hardly for what they say.
        """
        if any(request.steering is not None for request in requests):
            raise OptionError(f"{self.name} cannot be steered; use LocalGenerator")
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
        try:
            while (item := found.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                if item[1].refusal and not self._has_answered:
                    refused.append(item)
                    continue
                self._has_answered = True
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
        return AsyncInferenceClient(provider=self.provider, token=self._sent_token, timeout=self.timeout)  # type: ignore[arg-type]

    async def _ask(
        self, client: AsyncInferenceClient, pause: _Pause, request: Request, max_new_tokens: int, temperature: float
    ) -> Completion:
        messages = [{"role": role, "content": content} for role, content in request.messages]
        for attempt in range(self.retries + 1):
            await pause.over()
            try:
                # The client's own time-out is one of each piece of an answer.
                async with asyncio.timeout(self.timeout):
                    answer = await client.chat_completion(
                        messages,
                        model=self.model,
                        max_tokens=max_new_tokens,
                        temperature=temperature,
                        seed=request.seed,
                    )
                return _completion(answer, request)
            except OfflineModeIsEnabled as error:
                raise GenerationError(f"{self.name} is not asked: {error}") from None
            except _FAILURES as error:
                status = f"HTTP {error.response.status_code}, " if isinstance(error, HfHubHTTPError) else ""
                late = f"no answer within {self.timeout:g} seconds" if isinstance(error, TimeoutError) else ""
                reason = self._without_token(f"{status}{late or error}")
                if isinstance(error, HfHubHTTPError) and error.response.status_code in _REFUSED:
                    return Completion("", 0, False, refusal=reason)
                wait = _wait(error, attempt)
                if wait is None or attempt == self.retries:
                    raise GenerationError(
                        f"{self.name} did not answer after {attempt + 1} of {self.retries + 1} tries: {reason}"
                    ) from None
                pause.until(wait, shared=isinstance(error, HfHubHTTPError))
                await asyncio.sleep(wait)
            except ValueError as error:
                # Such as a provider that there is not, or that does not serve the model.
                raise GenerationError(f"{self.name} cannot be asked: {self._without_token(str(error))}") from None
        raise AssertionError("unreachable")

    def _without_token(self, text: str) -> str:
        return without_credentials(text.replace(self._sent_token, "***") if self._sent_token else text)


def _place(base_url: str) -> str:
    """What tells a server from others, for provenance."""
    parts = urlsplit(base_url)
    # On one's own machine the port differs from run to run.
    port = "" if parts.hostname in _OWN_HOSTS or parts.port is None else f":{parts.port}"
    return f"{parts.hostname}{port}{parts.path.rstrip('/').removesuffix('/v1')}"


class _OwnServerClient(AsyncInferenceClient):
    """A client of a server other than the Hub's, which HF_HUB_OFFLINE does not shut off."""

    async def _get_async_client(self) -> AsyncClient:
        if self._async_client is None:
            self._async_client = await self.exit_stack.enter_async_context(AsyncClient(timeout=None))
        return self._async_client


class _NoCompletion(Exception):
    """An answer that is not what the protocol says."""


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


_FAILURES = (HfHubHTTPError, TransportError, InferenceTimeoutError, TimeoutError, JSONDecodeError, _NoCompletion)
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


def _completion(answer: Any, request: Request) -> Completion:
    """What was answered; servers need not say how many tokens it took, which are then estimated."""
    try:
        choice = answer.choices[0]
        text = (choice.message.content or "").strip()
        usage = getattr(answer, "usage", None)
        decoded, read = (getattr(usage, name, None) for name in ("completion_tokens", "prompt_tokens"))
        return Completion(
            text=text,
            n_tokens=estimated_tokens(text) if decoded is None else int(decoded),
            finished=choice.finish_reason != "length",
            prompt_tokens=sum(estimated_tokens(part) for _, part in request.messages) if read is None else int(read),
        )
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise _NoCompletion(f"the answer is no chat completion ({error})") from error


def _wait(error: Exception, attempt: int) -> float | None:
    """Seconds until another try; None where none would help."""
    if not isinstance(error, HfHubHTTPError):
        return growing_wait(attempt)
    return wait_after(error.response.status_code, error.response.headers.get("Retry-After"), attempt)
