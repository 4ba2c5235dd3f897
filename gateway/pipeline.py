"""The path of a call: handlers, stages, and how they compose. The one ordered tuple of stages is in `app.py`'s reach here.

A handler takes a `Call` and awaits a `Reply`. A stage takes a `Call` and the next handler. Stages run in the order of
the tuple given to `compose`: observe, authenticate, route, admit, cache, attempt, dispatch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.call import Call, Reply

type_ = type

Handler = Callable[["Call"], Awaitable["Reply"]]


class Stage(Protocol):
    """One step of the path: does its work, then awaits `then`, or refuses by raising a `GatewayError`."""

    async def __call__(self, call: Call, then: Handler) -> Reply: ...
