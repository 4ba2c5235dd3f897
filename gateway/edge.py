"""Client routes in; JSON, streams and errors out. Nothing else renders an error or touches a caller's connection."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from functools import partial
from math import ceil
from random import Random
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec
from multidict import istr

from adapters.openai_errors import WireError, error_body, error_event
from adapters.schema import InferenceRequest
from gateway.answer_heads import JSON, REQUEST_ID, answer_head, call_headers
from gateway.call import Call
from gateway.cost_told import StreamCost, body_told
from gateway.errors import DrainingError, GatewayError, InternalError, LimitError, RequestError, UpstreamError
from gateway.limits import refusals
from gateway.scrubbing import printable
from gateway.server import Outbound, Stream, render_head
from gateway.signals.tracing import NEVER, TRACEPARENT, trace_context
from gateway.stages.authenticate import identify
from policies.caller_view import caller_view
from policies.matching import visible_models
from policies.vocabulary import Endpoint, Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.doorstep import Door
    from gateway.drains import Drains
    from gateway.generation import Generation
    from gateway.lifecycle import Lifecycle
    from gateway.pipeline import Handler
    from gateway.server import Headers, Inbound
    from gateway.upstream import Answer

log = logging.getLogger(__name__)

EVENTS: Final = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
# Ready for look-up in whatever case a header came.
CONTENT_TYPE: Final = istr("Content-Type")
UPGRADE: Final = istr("Upgrade")
CLIENT_GONE: Final = 499
STOPPED: Final = "The gateway is shutting down and could not wait for the end of this call."
BROKEN: Final = "Something went wrong inside the gateway."

Resource = tuple[str, "Callable[[Inbound, str], Awaitable[Outbound]]"]


class Edge:
    """The data plane's one entry. SDKs disagree on whether `/v1` is part of their base URL, so both are served."""

    def __init__(
        self,
        current: Callable[[], Generation],
        handler: Handler,
        lifecycle: Lifecycle,
        drains: Drains,
        door: Door | None = None,
    ) -> None:
        self._current = current
        self._handler = handler
        self._lifecycle = lifecycle
        self._drains = drains
        self._door = door
        self._rng = Random(secrets.randbits(256))  # noqa: S311 - ids must be unique, not secret; the system's source is slow
        self.sampled_from = NEVER
        self._resources: dict[str, Resource] = dict.fromkeys(("/models", "/v1/models"), ("GET", self._list_models))
        for endpoint in Endpoint:
            self._resources |= dict.fromkeys(endpoint.paths, ("POST", partial(self._infer, endpoint)))

    def add(self, method: str, path: str, respond: Callable[[Inbound, str], Awaitable[Outbound]]) -> None:
        """Serve one more path, with and without `/v1`. Before calls are taken."""
        self._resources[path] = self._resources[f"/v1{path}"] = (method, respond)

    async def __call__(self, inbound: Inbound) -> Outbound:
        request_id = self._new_id()
        try:
            return await self._find(inbound)(inbound, request_id)
        except GatewayError as error:
            return self._refuse(inbound, error, request_id)

    def _new_id(self) -> str:
        """Ids in the order of time, so that the ledger's index grows at its end; random after the milliseconds.

        Never the caller's: an id that came before would pass for a row that the ledger has already.
        """
        return f"req_{time.time_ns() // 1_000_000:012x}{self._rng.getrandbits(64):016x}"

    def _find(self, inbound: Inbound) -> Callable[[Inbound, str], Awaitable[Outbound]]:
        path, _, _ = inbound.target.partition("?")
        resource = self._resources.get(path)
        if resource is None:
            for prefix in ("/v1/models/", "/models/"):
                if path.startswith(prefix) and len(path) > len(prefix):
                    resource = ("GET", partial(self._show_model, unquote(path[len(prefix) :])))
                    break
            else:
                raise RequestError(f"Unknown path {printable(path, 200)}.", status=404, code="unknown_url")
        method, respond = resource
        if inbound.method != method:
            raise RequestError(f"Use {method} for this path.", status=405, code="method_not_allowed")
        upgrade = inbound.headers.get(UPGRADE)
        if upgrade is not None and upgrade.lower() == "websocket":
            inbound.keep_alive = False
            raise RequestError("WebSockets are not spoken here.", code="upgrade_not_supported")
        return respond

    # -- inference -----------------------------------------------------------------------------------------------

    async def _infer(self, endpoint: Endpoint, inbound: Inbound, request_id: str) -> Outbound:
        if self._lifecycle.draining:
            inbound.keep_alive = False
            raise DrainingError("The gateway is shutting down; try another instance.")
        if self._door is not None and self._door.is_shut and (refusal := self._turned_away(self._door, inbound)):
            return Outbound(inbound, refusal)
        call = self._open(endpoint, inbound, request_id)
        self._lifecycle.enter()
        call.generation.in_use.calls += 1
        try:
            reply = await self._handler(call)
            call.status = 200
            inbound.keep_alive = inbound.keep_alive and not self._lifecycle.draining
            if reply.answer.body is None:
                return await self._stream(call, inbound, reply.answer)
            return self._answer(call, inbound, reply.answer)
        except GatewayError as error:
            return self._refuse_call(call, inbound, error)
        except asyncio.CancelledError:
            if not call.status and (ended := self._ended_by_us(call)) is not None:
                return self._stop(call, inbound, ended)
            self._note_cancellation(call)
            raise
        except ConnectionError:
            self._note_cancellation(call)
            raise
        except Exception:
            log.exception("a call failed inside the gateway")
            return self._refuse_call(call, inbound, InternalError(BROKEN))
        finally:
            call.ended_s = time.monotonic()
            if call.drain is None:
                self._close(call)
            else:
                at_once = not call.cancelled or self._lifecycle.deadline_passed
                self._drains.take_over(call.drain, partial(self._close, call), at_once=at_once)

    def _turned_away(self, door: Door, inbound: Inbound) -> bytes | None:
        """The refusal of a call that was not asked at its connection's doorstep."""
        is_let_in, inbound.protocol.is_let_in = inbound.protocol.is_let_in, False
        return None if is_let_in else door.turns_away(inbound.headers, inbound.peer)

    def _close(self, call: Call) -> None:
        call.scope.close()
        call.generation.in_use.release()
        self._lifecycle.leave(call.route.name if call.route is not None else None)

    def _open(self, endpoint: Endpoint, inbound: Inbound, request_id: str) -> Call:
        generation = self._current()
        return Call(
            id=request_id,
            request=InferenceRequest.unread(endpoint),
            read_body=partial(read_json, inbound, generation.config.server.max_body_bytes),
            headers=inbound.headers,
            generation=generation,
            trace=trace_context(inbound.headers.get(TRACEPARENT), self._rng, self.sampled_from),
            received_s=time.monotonic(),
            received_at_ns=time.time_ns(),
            peer=inbound.peer,
        )

    def _answer(self, call: Call, inbound: Inbound, answer: Answer) -> Outbound:
        body = body_told(call, answer.body or b"")
        if call.route is not None:
            inbound.protocol.write_timeout_s = call.route.timeouts.write_s
        call.sent_bytes = len(body)
        return Outbound(inbound, answer_head(call, answer, close=not inbound.keep_alive) + body)

    async def _stream(self, call: Call, inbound: Inbound, answer: Answer) -> Outbound:
        route = call.route
        write_s = route.timeouts.write_s if route is not None else 30.0
        stream = Stream(inbound, 200, [*EVENTS, *call_headers(call), *answer.headers])
        cost = StreamCost(call)
        self._lifecycle.open_streams += 1
        try:
            while data := await answer.read():
                lags = stream.send(cost.over(data))
                data = b""  # one copy is enough to hold for a caller who takes its time
                if lags:
                    await stream.catch_up(write_s)
            if told := cost.last():
                stream.send(told)
        except GatewayError as error:
            stream.send(self._fail_stream(call, error))
        except asyncio.CancelledError:
            if (ended := self._ended_by_us(call)) is None:
                raise
            stream.send(self._fail_stream(call, ended))
        except ConnectionError:
            raise
        except Exception:  # the head is out, so even a bug must be told in the stream
            log.exception("a stream failed inside the gateway")
            stream.send(self._fail_stream(call, InternalError(BROKEN)))
        finally:
            self._lifecycle.open_streams -= 1
            call.sent_bytes = stream.sent_bytes
        stream.end()
        call.drain = None
        return Outbound(inbound)

    # -- models --------------------------------------------------------------------------------------------------

    async def _list_models(self, inbound: Inbound, request_id: str) -> Outbound:
        generation = self._current()
        principal = identify(inbound.headers, generation, inbound.peer)
        models = [model_object(name) for name in visible_models(generation.index, principal)]
        return whole(inbound, request_id, {"object": "list", "data": models})

    async def _show_model(self, model: str, inbound: Inbound, request_id: str) -> Outbound:
        generation = self._current()
        principal = identify(inbound.headers, generation, inbound.peer)
        if model not in visible_models(generation.index, principal):
            raise RequestError(
                f"The model `{printable(model, 200)}` does not exist or you do not have access to it.",
                status=404,
                code="model_not_found",
                param="model",
            )
        return whole(inbound, request_id, model_object(model))

    # -- errors --------------------------------------------------------------------------------------------------

    def _refuse_call(self, call: Call, inbound: Inbound, error: GatewayError) -> Outbound:
        view = view_of(error)
        inbound.keep_alive = inbound.keep_alive and not self._lifecycle.draining
        call.status, call.error_code = view.status, view.code
        return refusal(inbound, view, call_headers(call))

    def _refuse(self, inbound: Inbound, error: GatewayError, request_id: str) -> Outbound:
        view = view_of(error)
        if view.status in (401, 403):  # a call's own line tells these; nobody may try keys elsewhere unseen
            log.warning("%s refused: %s", request_id, view.code)
        return refusal(inbound, view, [(REQUEST_ID, request_id)])

    def _ended_by_us(self, call: Call) -> GatewayError | None:
        """Why the gateway itself cancelled this call; None where its caller has left."""
        if self._lifecycle.deadline_passed:
            return DrainingError(STOPPED)
        return refusals.reservation_lost() if call.admitted is not None and call.admitted.is_lost else None

    def _stop(self, call: Call, inbound: Inbound, error: GatewayError) -> Outbound:
        """Nothing of an answer has gone out yet."""
        for attempt in call.attempts:
            if attempt.cancelled and attempt.stopped is None:
                attempt.stopped = error.code
        return self._refuse_call(call, inbound, error)

    def _fail_stream(self, call: Call, error: GatewayError) -> bytes:
        attempt = call.decisive
        if attempt is None or attempt.ended_s is not None:
            pass  # another call's answer, or a leg that another was to take up: what became of it is written down
        elif isinstance(error, UpstreamError):
            attempt.failure = error.failure
        else:
            attempt.cancelled, attempt.stopped = True, error.code  # what was generated is paid for all the same
        view = view_of(error)
        call.error_code = view.code
        return error_event(call.request.endpoint, WireError(view.message, view.type, view.code, view.param, call.id))

    def _note_cancellation(self, call: Call) -> None:
        call.cancelled = True
        call.status, call.error_code = call.status or CLIENT_GONE, "client_disconnected"
        for attempt in call.attempts:
            if attempt.ended_s is None and attempt.failure is None:
                attempt.cancelled = True


class View(msgspec.Struct):
    """How a caller sees an error."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    should_retry: bool = True


def view_of(error: GatewayError) -> View:
    if isinstance(error, UpstreamError):
        status, kind, code, retry_after_s = caller_view(error.failure)
        message = error.message or explain(error.failure)
        refused_us = code == "upstream_auth_error"
        if refused_us:  # the provider's words may quote the gateway's own key
            message = "The upstream refused the gateway's credential. The operator of the gateway can mend this."
        param = error.failure.param if kind == "invalid_request_error" else None
        return View(status, kind, code, message, param, retry_after_s, should_retry=not refused_us)
    view = View(error.status, error.type, error.code, error.message, error.param)
    if isinstance(error, LimitError):
        view.retry_after_s, view.should_retry = error.retry_after_s, error.should_retry
    return view


def explain(failure: Failure) -> str:
    """What to say where an upstream said nothing."""
    if failure.kind is FailureKind.STATUS:
        return f"The upstream answered with status {failure.status}."
    return f"The upstream failed: {failure.kind.value.replace('_', ' ')}."


def refusal(inbound: Inbound, view: View, about: Headers) -> Outbound:
    """`about` begins with the request's id."""
    body = error_body(WireError(view.message, view.type, view.code, view.param, about[0][1]))
    headers = [JSON, ("content-length", str(len(body))), *about]
    if view.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, ceil(view.retry_after_s)))))
    if not view.should_retry:  # heeded by OpenAI's and Anthropic's SDKs, which try a 429 again otherwise
        headers.append(("x-should-retry", "false"))
    if view.status == 401:  # RFC 9110 asks for it
        headers.append(("www-authenticate", "Bearer"))
    if view.status == 405:
        headers.append(("allow", "POST" if "POST" in view.message else "GET"))
    return Outbound(inbound, render_head(view.status, headers, close=not inbound.keep_alive) + body)


def whole(inbound: Inbound, request_id: str, value: object) -> Outbound:
    body = msgspec.json.encode(value)
    headers = [JSON, ("content-length", str(len(body))), (REQUEST_ID, request_id)]
    return Outbound(inbound, render_head(200, headers, close=not inbound.keep_alive) + body)


def read_json(inbound: Inbound, max_bytes: int) -> Awaitable[bytes]:
    """The body of a JSON request. Raises `RequestError` 415 for another content type; none at all is let through."""
    content_type = inbound.headers.get(CONTENT_TYPE, "application/json")
    kind = content_type.partition(";")[0].strip().lower() if content_type != "application/json" else content_type
    if kind != "application/json" and not kind.endswith("+json"):
        raise RequestError(
            "Send the body as `Content-Type: application/json`.", status=415, code="unsupported_media_type"
        )
    return inbound.read(max_bytes)


def model_object(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "pointsman"}
