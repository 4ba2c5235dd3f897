"""The path of a call: what a handler and a stage are, and how stages compose.

    observe -> authenticate -> read -> replay -> route -> admit -> cache -> attempt -> dispatch

`observe` sees the end of every call, `authenticate` says who calls before a body is read, `read` parses it, `replay`
answers what was asked before under the same `Idempotency-Key`, `route` finds the candidates, `admit` holds the call to
its limits, `cache` answers from what was answered before where the route says so, `attempt` carries out retry and
fallback, `dispatch` asks one deployment. The tuple itself is `gateway.app.stages`, the only list of stages anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from gateway.call import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

Handler = Callable[[Call], Awaitable[Reply]]


class Stage(Protocol):
    """One step of the path: does its work, then hands on to `then`, or refuses by raising a `GatewayError`.

    A stage that waits for nothing is a plain function which returns what `then` returns: each coroutine on the path
    is paid for when it begins, when it resumes and when it ends.
    """

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]: ...


def compose(stages: Sequence[Stage], last: Handler) -> Handler:
    """One handler that runs `stages` in their order, then `last`."""
    handler = last
    for stage in reversed(stages):
        handler = _link(stage, handler)
    return handler


def _link(stage: Stage, then: Handler) -> Handler:
    enter = stage.__call__  # bound once, not for every call

    def handler(call: Call) -> Awaitable[Reply]:
        return enter(call, then)

    return handler
