"""The end of the path: one attempt at one deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.llama_cpp_place import HEADER
from gateway.call import Reply
from gateway.errors import InternalError, RequestError
from gateway.signals.tracing import trace_headers
from gateway.upstream import Exchange
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from gateway.call import Call


class Dispatch:
    """Sends the call's newest attempt and hands back its answer, which the attempt's tally describes as it is read.

    Which is the newest is asked before anything is waited for, so that attempts may go on side by side.
    """

    async def __call__(self, call: Call) -> Reply:
        if call.route is None:
            raise InternalError("a call reached dispatch without a route")
        attempt = call.attempts[-1]
        deployment, caller = attempt.deployment, call.principal
        timeouts = call.route.timeouts
        headers = forwarded(call, names) if (names := call.generation.forwarded[deployment.id]) else ()
        if deployment.takes_trace:
            headers += trace_headers(call, attempt.number)
        exchange = Exchange(
            request=attempt.request or call.request,
            timeouts=attempt.timeouts or timeouts,
            deadline_s=call.received_s + timeouts.total_s,
            request_id=call.id,
            headers=headers,
            caller=caller,
            weight_of=call.generation.weight_of,
            is_suspect=len(call.attempts) > 1 and was_crashed(call),
            told_place=call.headers.get(HEADER) if caller is not None and caller.vouches else None,
        )
        answer = await call.generation.upstreams[deployment.id].send(exchange)
        attempt.tally = answer.tally
        attempt.first_token_s = answer.first_token_s
        return Reply(answer, deployment)


def was_crashed(call: Call) -> bool:
    """Whether an engine died under an attempt of this call."""
    return any(one.failure is not None and one.failure.kind is FailureKind.CRASHED for one in call.attempts)


def forwarded(call: Call, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Those of the caller's headers that this deployment's provider is meant to see.

    Raises `RequestError` for a value that no header can carry onwards.
    """
    headers = call.headers
    found = tuple((name, headers[name]) for name in names if name in headers)
    for name, value in found:
        if not (value.isascii() and value.isprintable()):
            raise RequestError(f"The header '{name}' must hold printable ASCII.", code="invalid_header")
    return found
