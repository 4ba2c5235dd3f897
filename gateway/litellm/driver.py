"""The other way out: one deployment at a provider that only litellm speaks, behind the `Upstream` seam.

litellm opens its own connections, so it is no adapter. The driver keeps what the gateway promises: deadlines, no
retry of its own, no success for a stream that was cut short, and a connection that is dropped as soon as nobody
wants the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

from adapters.base import FailedStream
from gateway.errors import StartError, UpstreamError
from gateway.litellm.failure import classify, failure_of
from gateway.litellm.loading import load_bedrock, load_litellm
from gateway.litellm.names import is_setting, provider_of
from gateway.litellm.reply import embeddings_answer, whole_answer
from gateway.litellm.request import RefusedRequest, chat_arguments, embedding_arguments, require_endpoint, wants_base64
from gateway.litellm.stream import LitellmAnswer, LitellmStream
from policies.vocabulary import Endpoint, Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Mapping

    from gateway.litellm.http import Seen
    from gateway.upstream import Answer, Exchange
    from policies.choosing import Line
    from policies.vocabulary import Deployment

# litellm reaches these by an HTTP client that can be lent; the others' go through the OpenAI SDK or their own.
_LENDABLE: Final = frozenset({"anthropic", "gemini", "bedrock", "cohere", "cohere_chat"})
_COHERE: Final = frozenset({"cohere", "cohere_chat"})

# Where litellm looks besides PROVIDER_API_BASE, PROVIDER_BASE_URL and PROVIDER_API_KEY.
_AMBIENT_ADDRESSES: Final = {"bedrock": ("AWS_BEDROCK_RUNTIME_ENDPOINT",), "cohere_chat": ("COHERE_API_BASE",)}
_AMBIENT_KEYS: Final = {
    "anthropic": ("ANTHROPIC_AUTH_TOKEN",),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
    "cohere": ("CO_API_KEY",),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "gemini": ("GOOGLE_API_KEY",),
}


class LitellmUpstream:
    """One deployment reached through litellm. `deployment.model` is litellm's `provider/model`."""

    def __init__(
        self, deployment: Deployment, settings: Mapping[str, str], api_key: str | None, base_url: str | None
    ) -> None:
        """Raises `ValueError` for settings that litellm would not take for credentials or places."""
        self._deployment = deployment
        provider = provider_of(deployment.model)
        if provider is None:
            raise ValueError(f"a litellm model is written provider/model, and {deployment.model!r} is not")
        self._provider = provider
        for name in settings:
            if not is_setting(name):
                raise ValueError(f"{name!r} is not a setting of litellm's providers")
        self._fixed: dict[str, Any] = {**settings, "model": deployment.model, "max_retries": 0, "num_retries": 0}
        if api_key is not None:
            self._fixed["api_key"] = api_key
        self._base_url = base_url and base_url.rstrip("/")
        self._hidden = tuple(text for text in (api_key, *settings.values(), base_url) if text and len(text) >= 8)
        self._litellm: Any = None
        self._http: Any = None
        self._client: Any = None
        self._takes_extra = False
        self._dropping: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        return self._litellm is not None

    async def start(self) -> None:
        """Import litellm in a thread. Raises `StartError`."""
        self._refuse_ambient()
        await asyncio.to_thread(self._load)

    @property
    def line(self) -> Line | None:
        return None

    def wake(self) -> None:
        """Nothing here sleeps."""

    def describe(self) -> dict[str, str | int | float | None]:
        """Nothing: litellm keeps its connections to itself."""
        return {}

    async def close(self) -> None:
        while self._dropping:
            await asyncio.gather(*self._dropping, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def send(self, exchange: Exchange) -> Answer:
        if self._http is None:
            raise UpstreamError(Failure(FailureKind.CONNECT, "litellm is not loaded yet."), self._deployment.name)
        loop = asyncio.get_running_loop()
        streams = exchange.request.stream and exchange.request.endpoint is Endpoint.CHAT
        first_token_s = loop.time() + exchange.timeouts.first_token_s
        limit_s = min(first_token_s, exchange.deadline_s) if streams else exchange.deadline_s
        late = FailureKind.FIRST_TOKEN if limit_s < exchange.deadline_s else FailureKind.TOTAL
        seen = self._http.Seen()
        token = self._http.SEEN.set(seen)
        try:
            async with asyncio.timeout_at(limit_s) as timeout:
                return await self._open(exchange, seen)
        except RefusedRequest as refused:
            raise UpstreamError(refused.failure, self._deployment.name) from None
        except BaseException as error:
            self.drop(seen)
            if timeout.expired():
                raise UpstreamError(failure_of(late), self._deployment.name) from None
            if not isinstance(error, Exception):
                raise
            raise self.failed(error, seen) from error
        finally:
            self._http.SEEN.reset(token)

    def failed(self, error: Exception, seen: Seen) -> UpstreamError:
        """What an exception out of litellm, or out of the translation of its answer, means."""
        if isinstance(error, UpstreamError):
            return error
        failure = error.failure if isinstance(error, FailedStream) else classify(error, seen.status, self._hidden)
        return UpstreamError(failure, self._deployment.name)

    def drop(self, seen: Seen, also: Coroutine[Any, Any, None] | None = None) -> None:
        """Close an attempt's connections without waiting for it."""
        closing = [body.aclose() for body in seen.bodies]
        seen.bodies.clear()
        for each in [*closing, also] if also is not None else closing:
            task = asyncio.get_running_loop().create_task(_quietly(each))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

    async def _open(self, exchange: Exchange, seen: Seen) -> Answer:
        require_endpoint(exchange.request.endpoint)
        if exchange.request.endpoint is Endpoint.EMBEDDINGS:
            return await self._embed(exchange)
        arguments = self._arguments(exchange, chat_arguments(exchange.request, takes_extra=self._takes_extra))
        # Otherwise it wants the mcp package as soon as a request has tools, and calls MCP servers itself.
        reply = await self._litellm.acompletion(**arguments, _skip_mcp_handler=True)
        if exchange.request.stream:
            answer = LitellmStream(self, reply, seen, exchange)
            await answer.open()
            return answer
        body, tally = whole_answer(reply.model_dump(exclude_none=True), calls_stop=self._provider in _COHERE)
        return LitellmAnswer(body, tally)

    async def _embed(self, exchange: Exchange) -> Answer:
        arguments = self._arguments(exchange, embedding_arguments(exchange.request))
        reply = await self._litellm.aembedding(**arguments)
        body, tally = embeddings_answer(reply.model_dump(), as_base64=wants_base64(exchange.request))
        return LitellmAnswer(body, tally)

    def _arguments(self, exchange: Exchange, arguments: dict[str, Any]) -> dict[str, Any]:
        """A call's arguments. The operator's come last: nothing a caller sends can take their place."""
        arguments |= self._fixed
        arguments["timeout"] = self._http.timeout_of(exchange.timeouts.connect_s, exchange.timeouts.write_s)
        if exchange.headers:
            arguments["extra_headers"] = dict(exchange.headers)
        if self._client is not None:
            arguments["client"] = self._client.lend()
        if self._base_url is not None:
            name = "aws_bedrock_runtime_endpoint" if self._provider == "bedrock" else "api_base"
            arguments[name] = self._address(exchange.request.endpoint)
        return arguments

    def _address(self, endpoint: Endpoint) -> str:
        """The base URL as litellm wants it: for Cohere alone the whole address of the endpoint."""
        path = "/v2/embed" if endpoint is Endpoint.EMBEDDINGS else "/v2/chat"
        if self._provider in _COHERE:
            return f"{(self._base_url or '').removesuffix('/v2')}{path}"
        return self._base_url or ""

    def _load(self) -> None:
        litellm = load_litellm()
        if self._provider == "bedrock":
            load_bedrock()
        from gateway.litellm import http as litellm_http  # noqa: PLC0415 - httpx comes with litellm's extra

        self._http = litellm_http
        if self._provider in _LENDABLE:
            self._client = litellm_http.LentClient(for_cohere=self._provider in _COHERE)
        self._takes_extra = self._provider in {"openai", "azure", *litellm.openai_compatible_providers}
        self._litellm = litellm

    def _refuse_ambient(self) -> None:
        """litellm would go and sign in as these variables say; both are the policy file's to say."""
        stem = self._provider.upper()
        addresses = (f"{stem}_API_BASE", f"{stem}_BASE_URL", *_AMBIENT_ADDRESSES.get(self._provider, ()))
        keys = (f"{stem}_API_KEY", *_AMBIENT_KEYS.get(self._provider, ()))
        wanted = [(name, "base_url") for name in addresses if self._base_url is None]
        wanted += [(name, "api_key") for name in keys if "api_key" not in self._fixed]
        for name, setting in wanted:
            if os.environ.get(name):
                raise StartError(
                    f"{name} is set in the environment, where litellm would find it: "
                    f"write {setting}: ${{env:{name}}} in the policy file, or unset it"
                )


async def _quietly(closing: Awaitable[None]) -> None:
    """Close something that may be broken already."""
    with contextlib.suppress(Exception):
        await closing
