"""Finished calls as the recorder gets them, for every test of what is told about them."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from adapters.base import EngineTimes, Tally
from adapters.schema import InferenceRequest
from gateway.call import Attempt, Cached, Call, MadeFor
from gateway.limits.admitted import Admitted
from gateway.signals.cache_telemetry import Purpose
from gateway.signals.conventions import Mark
from gateway.signals.tracing import trace_context
from gateway.state.answers.store import Used
from policies.cache_rules import Level
from policies.tariffs import Price
from policies.usage import Usage
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Target

if TYPE_CHECKING:
    from gateway.generation import Generation
    from policies.vocabulary import Failure

PRICE = Price(
    id="gpt-4o",
    source="table",
    as_of="2026-11-01",
    input_nanousd=2_500_000_000,
    cached_input_nanousd=1_250_000_000,
    cache_write_nanousd=3_000_000_000,
    output_nanousd=10_000_000_000,
)
DEAR = Deployment("gpt-4o", "openai", "openai", "gpt-4o-2024-08-06", price=PRICE)
FREE_OF_PRICE = Deployment("llama-eu", "vllm-eu", "openai", "llama-3.1-70b")
ROUTE = Route("smart", ("smart", "gpt-*"), Strategy.ORDERED, (Target(DEAR),), (FREE_OF_PRICE,))
PRINCIPAL = Principal("k_1234", "ci", team="platform", user="ada")
RECEIVED_AT_NS = 1_795_305_600_000_000_000  # 2026-11-22T00:00:00Z
RECEIVED_S = 1000.0

RNG = Random(7)
TELEMETRY = SimpleNamespace(cost_header=True)
GENERATION = cast("Generation", SimpleNamespace(config=SimpleNamespace(telemetry=TELEMETRY, providers={})))


def attempt(
    usage: Usage | None = None,
    *,
    number: int = 1,
    deployment: Deployment = DEAR,
    failure: Failure | None = None,
    cancelled: bool = False,
    sent: bool = True,
    text: tuple[str, ...] = (),
    finish: tuple[str, ...] = (),
    first_token_s: float | None = None,
) -> Attempt:
    tally = Tally(usage=usage, finish_reasons=list(finish), model="gpt-4o-2024-08-06", id="chatcmpl-1", text=list(text))
    made = Attempt(number, deployment, RECEIVED_S + 0.002, first_token_s=first_token_s, ended_s=RECEIVED_S + 0.5)
    made.failure, made.cancelled, made.sent, made.tally = failure, cancelled, sent, tally
    return made


def call(
    *attempts: Attempt,
    status: int = 200,
    error_code: str | None = None,
    cancelled: bool = False,
    stream: bool = False,
    model: str = "smart",
    route: Route | None = ROUTE,
    principal: Principal | None = PRINCIPAL,
    headers: dict[str, str] | None = None,
) -> Call:
    made = Call(
        id=f"req_{next(_ids):024x}",
        request=InferenceRequest(Endpoint.CHAT, model, stream, include_usage=False, members={}, body_bytes=120),
        read_body=_no_body,
        headers=CIMultiDictProxy(CIMultiDict(headers or {"User-Agent": "OpenAI/Python 2.0"})),
        generation=GENERATION,
        trace=trace_context(None, RNG),
        received_s=RECEIVED_S,
        received_at_ns=RECEIVED_AT_NS,
    )
    made.principal, made.route, made.attempts = principal, route, list(attempts)
    made.status, made.error_code, made.cancelled = status, error_code, cancelled
    made.ended_s, made.sent_bytes = RECEIVED_S + 0.503, 900
    return made


def from_an_engine(number: int = 1, queue_s: float = 0.25, *, stream: bool = False) -> Call:
    """A call that the bundled engine answered: 0.25 s in its line, 0.5 s to read, 2 s to write, 1.25 s of its time."""
    made = answered(stream=stream)
    made.attempts = [attempt(Usage(12, 34), finish=("stop",), number=number, first_token_s=1000.3 if stream else None)]
    tally = made.attempts[0].tally
    assert tally is not None
    tally.engine = EngineTimes(queue_s=queue_s, read_s=0.5, write_s=2.0, compute_s=1.25)
    return made


def cached_hit(joined: str | None = None, *, stream: bool = False, judged: bool = False) -> Call:
    """A call that a cache answered by its question's like, with what had cost 350,000 nano-USD."""
    made = call(stream=stream)
    made.cached = Cached(
        level=Level.SEMANTIC,
        entry_id="ce_1",
        age_s=31.04,
        risk=0.0042,
        bar=0.01,
        similarity=0.97123,
        saved=Used(100, 10, cost_nanousd=350_000),
        deployment="gpt-4o",
        model="gpt-4o-2024-08-06",
        joined=joined,
        lookup_s=0.0121,
        judged=judged,
    )
    return made


def errand(*attempts: Attempt, purpose: Purpose = Purpose.JUDGE, status: int = 200) -> Call:
    """A call that a cache made by itself, for a request `req_1` of the route `faq`."""
    name = f"cache:{purpose}"
    made = call(*attempts, status=status, principal=Principal(name, name, uses_cache=False))
    made.made_for = MadeFor(purpose, "req_1", "faq")
    return made


def answered(usage: Usage | None = None, *, stream: bool = False) -> Call:
    """A call that went well at the first attempt."""
    return call(attempt(usage or Usage(12, 34), finish=("stop",)), stream=stream)


@st.composite
def bystanders(draw: st.DrawFn) -> Bystander:
    """What lines tell of a call beside its route and answer: where it came from, for whom, whether limits applied."""
    return Bystander(
        draw(st.sampled_from(("", "203.0.113.77", "2001:db8::1", "100%"))),
        draw(st.none() | st.sampled_from((b'"ada"', b'"100%s"', b"null"))),
        draw(st.none() | st.floats(0, 60)),
        draw(st.booleans()),
    )


class Bystander(NamedTuple):
    peer: str
    user: bytes | None
    auth_s: float | None
    is_limited: bool

    def beside(self, made: Call) -> None:
        made.peer = lambda: self.peer
        if self.user is not None:
            made.request.members["user"] = msgspec.Raw(self.user)
        if self.auth_s is not None:
            made.marks = [(Mark.AUTH, made.received_s + self.auth_s), (Mark.READ, made.received_s + 99)]
        if self.is_limited:
            made.admitted = Unlimited()


class Unlimited(Admitted):
    """What a call holds that its limits let pass at once, and that is charged to nobody."""

    def __init__(self) -> None:
        self.waited_s = 0.0

    def charges(self, _: Attempt) -> str | None:
        return None

    def hit_charges(self) -> str | None:
        return None


async def _no_body() -> bytes:
    return b""


_ids = iter(range(1, 1 << 62))
