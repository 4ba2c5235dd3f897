"""A call as a stage meets it, over a policy of two routes and two keys, and a next handler that notes who came."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict, CIMultiDictProxy

from adapters.base import Tally
from adapters.schema import InferenceRequest
from gateway.call import Call, Reply, TraceContext
from gateway.keys.peppers import Peppers
from gateway.keys.stored_rules import StoredRules
from gateway.keys.view import KeyView, StoredKeys
from gateway.keys.virtual_keys import HeldKey, KeyRing
from gateway.secret import Secret
from gateway.state.keys.records import Changes, ManagedOwners
from policies.matching import compile_routes
from policies.route_rules import NO_REQUIREMENTS
from policies.vocabulary import Deployment, Endpoint, Route, Strategy, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.generation import Generation

KEY = "a-key-for-everything-0123456789"
LIMITED = "a-key-for-one-route-0123456789"
EXPIRED = "a-key-of-yesterday-0123456789"
CHATTY = Deployment("chatty", "p", "openai", "gpt", endpoints=frozenset({Endpoint.CHAT}))
OPEN = Route("open", ("open", "open-*"), Strategy.ORDERED, (Target(CHATTY),))
CLOSED = Route("closed", ("closed",), Strategy.ORDERED, (Target(CHATTY),))
HELD = (
    HeldKey(Secret(KEY), "all"),
    HeldKey(Secret(LIMITED), "limited", routes=frozenset({"open"})),
    HeldKey(Secret(EXPIRED), "expired", expires_s=1.0),
)


class Answer:
    body: bytes | None = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    first_token_s: float | None = 7.0

    def __init__(self) -> None:
        self.tally = Tally()

    async def read(self) -> bytes:
        return b""

    def close(self) -> None: ...


class Next:
    """The handler behind a stage."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        return Reply(Answer(), CHATTY)


def generation(keys: KeyView | Iterable[HeldKey] | None = HELD, **more: Any) -> Generation:
    """A policy in force, as far as stages look at it; `more` adds to it."""
    routes = (OPEN, CLOSED)
    view = keys if isinstance(keys, KeyView) else key_view(keys or ())
    made = SimpleNamespace(keys=view, **{"index": compile_routes(routes), "weight_of": lambda _: 1.0, **more})
    return cast("Generation", made)


def key_view(keys: Iterable[HeldKey]) -> KeyView:
    """The keys of a policy file beside a store that never had one."""
    stored = StoredKeys(Peppers((), None), lambda _: ())
    stored.take(Changes(0, whole=True, had_keys=False, keys=[], orgs=[]))
    rules = StoredRules({}, lambda *_: NO_REQUIREMENTS)
    return KeyView(KeyRing(keys, b"pepper"), stored, rules, ManagedOwners(), is_open=True)


def a_call(
    *headers: tuple[str, str], model: str = "open", body: bytes = b"{}", endpoint: Endpoint = Endpoint.CHAT
) -> Call:
    async def read_body() -> bytes:
        return body

    return Call(
        id="req_1",
        request=InferenceRequest(endpoint, model, stream=False, include_usage=False, members={}, body_bytes=0),
        read_body=read_body,
        headers=CIMultiDictProxy(CIMultiDict(headers)),
        generation=generation(),
        trace=TraceContext("7" * 32, "5" * 16, None, sampled=False),
        received_s=100.0,
        received_at_ns=0,
    )
