"""A provider reached over HTTP: one deployment's pool and wire format behind the `Upstream` seam."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from adapters.base import FailedStream, WireRequest
from gateway.errors import RequestError, UpstreamError
from gateway.http_answer import StreamAnswer, WholeAnswer, shown
from gateway.transport import HeaderError, TransportError
from policies.vocabulary import Failure, FailureKind, Timeouts

if TYPE_CHECKING:
    from adapters.base import Adapter
    from adapters.schema import InferenceRequest
    from gateway.transport import Pool, Response
    from gateway.upstream import Answer, Exchange
    from policies.choosing import Line
    from policies.vocabulary import Deployment

_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_S = 5.0
_MESSAGE_CHARS = 2048


class HttpUpstream:
    """One deployment behind its own connection pool. Adds `x-request-id` to what an exchange sends."""

    def __init__(self, deployment: Deployment, pool: Pool, adapter: Adapter) -> None:
        self._deployment = deployment
        self._pool = pool
        self._adapter = adapter
        self._open = False

    @property
    def ready(self) -> bool:
        return self._open

    @property
    def line(self) -> Line | None:
        return None

    def wake(self) -> None:
        """Nothing here sleeps."""

    def describe(self) -> dict[str, str | int | float | None]:
        return {"connections": self._pool.open_count, "idle_connections": self._pool.idle_count}

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        await self._pool.close()

    async def probe(self, path: str, timeout_s: float) -> Failure | None:
        """Why the provider does not answer a GET of `path` well within this time; None where it does."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        try:
            response = await self._pool.request(
                WireRequest(path, b"", (), "GET"), (), Timeouts(connect_s=timeout_s), deadline_s
            )
        except TransportError as error:
            return error.failure
        await response.read_start(_ERROR_BODY_BYTES, timeout_s)
        return None if 200 <= response.status < 300 else Failure(FailureKind.STATUS, status=response.status)

    async def send(self, exchange: Exchange) -> Answer:
        request = exchange.request
        wire = self._adapter.encode(request, self._deployment.model)
        headers = (("x-request-id", exchange.request_id), *exchange.headers)
        try:
            response = await self._pool.request(
                wire, headers, exchange.timeouts, exchange.deadline_s, first_token=request.stream
            )
            if not 200 <= response.status < 300:
                raise self._error(await self._refusal(response))
            if request.stream:
                return await self._stream(response, request, exchange.timeouts.idle_s)
            body, tally = self._adapter.decode(request, await response.read_all())
        except HeaderError as error:
            raise RequestError(f"A header cannot be forwarded: {error}.", code="invalid_header") from error
        except TransportError as error:
            raise self._error(error.failure) from error
        except FailedStream as error:
            raise self._error(replace(error.failure, maybe_billed=True)) from error
        return WholeAnswer(body, tally, shown(response))

    async def _stream(self, response: Response, request: InferenceRequest, idle_s: float) -> Answer:
        try:
            answer = StreamAnswer(response, self._adapter.decoder(request), idle_s, self._error)
            await answer.open(request, self._adapter)
        except BaseException:
            response.close()
            raise
        return answer

    def _error(self, failure: Failure) -> UpstreamError:
        """The failure as an error that is safe to show: cut to size, without this pool's host and credentials."""
        redact = self._pool.redact
        code, param = failure.code and redact(failure.code), failure.param and redact(failure.param)
        shown = replace(failure, message=redact(failure.message)[:_MESSAGE_CHARS], code=code, param=param)
        return UpstreamError(shown, self._deployment.name)

    async def _refusal(self, response: Response) -> Failure:
        if response.status < 400:
            response.close()
            return Failure(FailureKind.BAD_RESPONSE, "The upstream answered with a redirect.", response.status)
        body = await response.read_start(_ERROR_BODY_BYTES, _ERROR_BODY_S)
        return self._adapter.classify(response.status, response.headers, body)
