"""What limits and the write-ahead journal cost a call in this process, part by part.

    python -m benchmarks.admission [ROUNDS]

Microseconds of CPU per call: `best` and `median` of many short rounds, of which a noisy machine spoils some,
and `whole`, the mean of a long run with the collector as `pointsman serve` sets it. No limit is near its end.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import uvloop
from multidict import CIMultiDict, CIMultiDictProxy

from adapters.openai_request import parse
from benchmarks.bodies import request_body
from gateway.call import Attempt, Call, Reply, TraceContext
from gateway.limits.admission import Admission
from gateway.limits.reservations import Reservations
from gateway.prompts.estimates import Estimator
from gateway.prompts.tokens import TokenCounter
from gateway.records.intents import IntentLog, Intents
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.signals.metrics import Registry
from gateway.stages.admit import Admit
from gateway.state.journal.journal import Journal
from gateway.state.journal.slots import claim
from gateway.state.limits.in_process import InProcessLimitStore
from policies import limits
from policies.calendars import Calendars
from policies.limit_index import LimitIndex
from policies.limits import Account, Ask, Granted, Kind, Phase
from policies.tariffs import Price
from policies.usage import Usage
from policies.vocabulary import (
    Deployment,
    Endpoint,
    Limit,
    LimitScope,
    Period,
    Principal,
    Resource,
    Route,
    Strategy,
    Target,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from gateway.state.ledger.schema import LedgerRow

ROUNDS, CALLS, LONG = 60, 200, 30_000
SLICE = 64
PRICE = Price("gpt-4o-mini", "override", "", 150_000_000, None, None, 600_000_000)
DEPLOYMENT = Deployment("a", "openai", "openai", "gpt-4o-mini", price=PRICE)
ROUTE = Route("mock", ("mock",), Strategy.ORDERED, (Target(DEPLOYMENT),), (), 1)
WHO = Principal("k1", "ci", team="red", user="ada", org="acme")
LIMITS = (
    Limit("key.requests", LimitScope.KEY, Resource.REQUESTS, 10**12, 60.0),
    Limit("key.tokens", LimitScope.KEY, Resource.TOKENS, 10**15, 60.0),
    Limit("key.concurrent", LimitScope.KEY, Resource.CONCURRENT, 10**9, None),
)
BUDGET = Limit("team.cost", LimitScope.TEAM, Resource.COST, 10**15, Period.MONTH)
ASKS = (
    Ask("key.requests:ci", Kind.RATE, 1, 10**12, 1e10),
    Ask("key.tokens:ci", Kind.RATE, 1500, 10**15, 1e13),
    Ask("key.concurrent:ci", Kind.CONCURRENT, 1, 10**9),
)
USAGE = Usage(200, 100)


class Cost(NamedTuple):
    """Microseconds of CPU per call."""

    best: float
    median: float
    whole: float


class Part(NamedTuple):
    """`run` does so many calls' worth, after `prepare` has made what that takes, which is not counted."""

    name: str
    prepare: Callable[[int], Any]
    run: Callable[[Any], None]


class Ledger:
    """Takes everything and has spent nothing."""

    takes_billable = True

    def __init__(self) -> None:
        self.rows: list[LedgerRow] = []

    async def spent(self, _account: str, _window_start_s: float) -> int:
        return 0

    def intend(self, row: LedgerRow) -> None:
        self.rows = [row]


class Ground:
    """The stage `admit` under some limits, and calls for it."""

    def __init__(self, *bound: Limit) -> None:
        self.ledger = Ledger()
        self.store = InProcessLimitStore(time.time)
        self.estimator = Estimator(TokenCounter())
        reservations = Reservations(self.store, self.ledger)
        self.admission = Admission(reservations, self.estimator, Registry())
        self.stage = Admit(self.admission, self.ledger)
        self.generation = cast("Any", Generation(LimitIndex(bound)))
        self.request = parse(Endpoint.CHAT, request_body("mock"))
        self._ids = count()

    def calls(self, number: int) -> list[Call]:
        return [self._call() for _ in range(number)]

    def _call(self) -> Call:
        call = Call(
            f"req_{next(self._ids):028x}",
            self.request,
            cast("Any", None),
            CIMultiDictProxy(CIMultiDict()),
            self.generation,
            TraceContext("t", "s", None, sampled=False),
            0.0,
            time.time_ns(),
        )
        call.principal, call.route, call.candidates = WHO, ROUTE, (DEPLOYMENT,)
        call.status = 200
        attempt = Attempt(1, DEPLOYMENT, 0.0, ended_s=1.0, sent=True, usage=USAGE)
        call.attempts.append(attempt)
        return call

    def pass_through(self, calls: list[Call]) -> None:
        """Admit, attempt, give back: what the path does for limits, and nothing else."""
        for call in calls:
            drive(self.stage(call, self.attempt))
            call.scope.close()

    def admitted(self, number: int) -> list[Call]:
        calls = self.calls(number)
        self.pass_through(calls)
        return calls

    async def attempt(self, call: Call) -> Reply:
        """What the stage `attempt` does for limits."""
        if call.admitted is not None:
            self.admission.begin(call, call.attempts[0])
        return cast("Reply", None)


class Generation(NamedTuple):
    """What of a policy in force admission looks at."""

    limits: LimitIndex
    calendars: Calendars = Calendars(lambda _: UTC)
    unpriced: str = "auto"
    when_full: str = "open"
    drains: bool = False

    def weight_of(self, _principal: Principal) -> int:
        return 1


def drive(awaitable: Awaitable[Any]) -> None:
    """Run what never waits, at what an await costs."""
    try:
        next(awaitable.__await__())
    except StopIteration:
        return
    raise TypeError("it waits")


async def parts(journal: Journal) -> AsyncIterator[Part]:
    """The rows of the table, in its order."""
    for part in (*model(), *store()):
        yield part
    free, limited, budgeted = Ground(), Ground(*LIMITS), Ground(*LIMITS, BUDGET)
    await begun(budgeted)
    for name, ground in (("no limit", free), ("3 limits", limited), ("3 limits and a budget", budgeted)):
        yield Part(f"admit, begin, finish: {name}", ground.calls, ground.pass_through)
    yield Part("headers: 3 limits", limited.admitted, headers)
    yield Part("headers: 3 limits and a budget", budgeted.admitted, headers)
    for name, ground in (("no limit", free), ("3 limits", limited), ("3 limits and a budget", budgeted)):
        yield intents(name, ground, ground.ledger)
    yield intents("no limit, to the journal", free, journal)
    yield Part("outcome to the journal", lambda number: rows(free, number), lambda made: outcomes(journal, made))
    for name, ground in (("no limit", free), ("3 limits and a budget", budgeted)):
        yield Part(f"settled row: {name}", ground.admitted, settled_rows)


async def begun(ground: Ground) -> None:
    """The first call looks up what was spent; those after it do not wait."""
    call = ground.calls(1)[0]
    await ground.stage(call, ground.attempt)
    call.scope.close()


def model() -> Iterator[Part]:
    now = 1_795_305_600.0
    before = [Account(5.0, now - 1, 7)] * 3
    granted = cast("Granted", limits.reserve(ASKS, before, now))
    pairs = list(zip(before, granted.holds, strict=True))

    def reserve(number: int) -> None:
        for _ in range(number):
            limits.reserve(ASKS, before, now)

    def settle_all(number: int) -> None:
        for _ in range(number):
            for account, hold in pairs:
                limits.settle(account, hold, 1, Phase.HELD, now)

    yield Part("model: reserve, 3 accounts", int, reserve)
    yield Part("model: settle, 3 accounts", int, settle_all)


def store() -> Iterator[Part]:
    kept = InProcessLimitStore(time.time)
    ids = count()

    def reserve_and_settle(names: list[str]) -> None:
        for name in names:
            coroutine: Any = kept.reserve("acme", name, ASKS)
            try:
                coroutine.send(None)
            except StopIteration as done:
                kept.settle("acme", name, done.value.holds, (1, 300, 0))

    def names(number: int) -> list[str]:
        return [f"req_{next(ids):028x}" for _ in range(number)]

    yield Part("store: reserve and settle, 3 accounts", names, reserve_and_settle)


def headers(calls: list[Call]) -> None:
    for call in calls:
        if call.admitted is not None:
            call.admitted.header_lines(1_795_305_600.0)


def intents(name: str, ground: Ground, ledger: IntentLog) -> Part:
    begin = Intents(ledger, ground.estimator.quick).begin

    def run(calls: list[Call]) -> None:
        for call in calls:
            begin(call, call.attempts[0])

    return Part(f"intent: {name}", ground.admitted, run)


def rows(ground: Ground, number: int) -> list[list[LedgerRow]]:
    return [ledger_rows(settle(call)) for call in ground.admitted(number)]


def outcomes(journal: Journal, made: list[list[LedgerRow]]) -> None:
    for start in range(0, len(made), SLICE):
        journal.add([row for one in made[start : start + SLICE] for row in one])
        journal.committed(1 << 62)


def settled_rows(calls: list[Call]) -> None:
    for call in calls:
        ledger_rows(settle(call))


def cost_of(part: Part, rounds: int) -> Cost:
    taken = []
    for _ in range(rounds):
        made = part.prepare(CALLS)
        gc.disable()
        began_s = time.perf_counter()
        part.run(made)
        taken.append((time.perf_counter() - began_s) / CALLS * 1e6)
        gc.enable()
    made = part.prepare(LONG)
    began_s = time.process_time()
    part.run(made)
    return Cost(min(taken), median(taken), (time.process_time() - began_s) / LONG * 1e6)


@contextmanager
def a_journal() -> Iterator[Journal]:
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as folder:
        slot = claim(Path(folder) / "journal")
        journal = Journal(slot)
        journal.start()
        yield journal
        journal.close()
        slot.release()


async def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print("| part | best | median | whole |")
    print("| --- | ---: | ---: | ---: |")
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with a_journal() as journal:
        async for part in parts(journal):
            best, middle, whole = cost_of(part, rounds)
            print(f"| {part.name} | {best:.2f} | {middle:.2f} | {whole:.2f} |", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
