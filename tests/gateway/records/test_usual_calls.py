from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Cached
from gateway.limits.admitted import Admitted
from gateway.records.call_metrics import CallMetrics
from gateway.records.ledger_rows import ledger_rows
from gateway.records.recorder import nobody_asks
from gateway.records.request_log import request_event
from gateway.records.settlement import settle
from gateway.records.usual_calls import MOST_KINDS, UsualCalls
from gateway.signals.exposition import render
from gateway.signals.metrics import Registry
from gateway.state.answers.store import Used
from policies.cache_rules import Bypass
from policies.tariffs import Price
from policies.usage import Correction, Usage, UsageDetails
from policies.vocabulary import Deployment, Failure, FailureKind, Principal
from tests.gateway.calls import (
    DEAR,
    FREE_OF_PRICE,
    ROUTE,
    answered,
    attempt,
    bystanders,
    cached_hit,
    call,
    errand,
    from_an_engine,
)

if TYPE_CHECKING:
    from gateway.call import Attempt, Call

WORDS = st.sampled_from(("stop", "100%", "%s", '"\\', "\u00e9\U0001f600"))
COUNTS = st.integers(0, 30_000_000)
SECONDS = st.one_of(st.floats(0, 1), st.floats(0, 900))
PRICES = st.sampled_from((DEAR.price, Price("free", "override", "", 0, None, None, 0)))
PLACES = st.sampled_from((DEAR, replace(DEAR, name="100%", model="m%s")))


class Told:
    """What row, line and metrics say of calls, in the short form and in the general one."""

    def __init__(self) -> None:
        self.short, self.general = Registry(), Registry()
        self.usual = UsualCalls(CallMetrics(self.short), nobody_asks)
        self._metrics = CallMetrics(self.general)

    def same(self, finished: Call) -> None:
        taken = self.usual.take(finished)
        assert taken is not None
        settled = settle(finished)
        self._metrics.add(settled)
        row, line = taken
        assert [row] == ledger_rows(settled)
        assert type(row) is type(ledger_rows(settled)[0])
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        assert json.loads(line) == json.loads(msgspec.json.encode(request_event(settled)))

    def same_metrics(self) -> None:
        assert render(self.short.snapshot()) == render(self.general.snapshot())


@st.composite
def missed(draw: st.DrawFn) -> Cached:
    """What the words of a request found nothing for, or a cache left alone."""
    if draw(st.booleans()):
        return Cached(bypass=draw(st.sampled_from(Bypass)))
    took_s = draw(st.one_of(st.just(0.0), st.floats(0.00001, 60)))
    saved = draw(st.sampled_from((None, Used(1, 2, cost_nanousd=3))))
    closed = draw(st.none() | st.sampled_from(Bypass))
    return Cached(closed=closed, entry_id=f"ce_{draw(COUNTS)}", lookup_s=took_s, saved=saved)


@st.composite
def usual_calls(draw: st.DrawFn) -> Call:
    cached = draw(COUNTS)
    output = draw(COUNTS)
    usage = Usage(cached + draw(COUNTS), output, cached, 0, draw(st.integers(0, output)))
    where = replace(draw(PLACES), price=draw(PRICES))
    tried = attempt(usage, deployment=where, finish=(draw(WORDS),) if draw(st.booleans()) else ())
    tried.gpu_us = draw(st.none() | COUNTS)
    tried.started_s = 1000.0 + draw(SECONDS)
    tried.ended_s = tried.started_s + draw(SECONDS)
    principal = Principal(draw(WORDS), draw(WORDS), draw(st.none() | WORDS), draw(st.none() | WORDS))
    headers = draw(st.sampled_from(({"User-Agent": "50% off"}, {"X-Other": ""})))
    made = call(tried, model=draw(WORDS), principal=principal, headers=headers)
    made.ended_s = tried.ended_s + draw(SECONDS)
    made.cached = draw(st.none() | missed())
    draw(bystanders()).beside(made)
    return made


@given(st.lists(usual_calls(), min_size=1, max_size=4))
def test_the_short_form_says_what_the_general_form_says(finished: list[Call]) -> None:
    told = Told()
    for one in finished:
        told.same(one)
    told.same_metrics()


def test_calls_of_one_kind_share_no_number() -> None:
    told = Told()
    second = answered(Usage(99, 1, 5))
    second.sent_bytes, second.status = 7, 201
    for one in (answered(Usage(12, 34)), second, answered(Usage(12, 34))):
        told.same(one)
    told.same_metrics()


def test_a_reload_that_keeps_every_name_makes_another_kind() -> None:
    told = Told()
    dearer = Price("gpt-4o", "table", "2026-11-02", 1, 1, 1, 1)
    for deployment in (DEAR, replace(DEAR, price=dearer), replace(DEAR, model="other"), DEAR):
        told.same(call(attempt(Usage(2_000_000, 5_000_000), deployment=deployment)))
    told.same(call(attempt(Usage(1, 1)), route=replace(ROUTE, models=("elsewhere",))))
    told.same_metrics()


def test_every_other_call_is_left_to_the_general_form() -> None:
    usage = Usage(1, 1)
    counted, begun, stopped, endless = attempt(), attempt(usage, first_token_s=1000.1), attempt(usage), attempt(usage)
    counted.usage, stopped.stopped, endless.ended_s = usage, "refused", None
    unread = attempt(usage)
    unread.tally = None
    failed = attempt(failure=Failure(FailureKind.STATUS, status=500))
    no_rate = Deployment("a", "p", "openai", "m", price=Price("p", "table", "", 1, None, None, None))
    others = (
        call(),
        call(failed, status=502, error_code="upstream_error"),
        call(attempt(usage), attempt(usage, number=2)),
        call(attempt(usage, cancelled=True)),
        call(attempt(usage), cancelled=True),
        call(attempt(usage), error_code="upstream_incomplete"),
        call(attempt(usage), stream=True),
        call(attempt(usage), principal=None),
        call(attempt(usage), route=None),
        call(attempt(usage, deployment=FREE_OF_PRICE)),
        call(attempt(usage, deployment=no_rate)),
        call(attempt(Usage(1, 1, 2))),
        call(attempt(Usage(1, 1, estimated=True))),
        *(call(one) for one in (counted, begun, stopped, endless, unread)),
    )
    told = Told()
    assert [told.usual.take(other) for other in others] == [None] * len(others)
    told.same_metrics()


def test_what_callers_vary_at_will_does_not_pile_up() -> None:
    told = Told()
    for number in range(MOST_KINDS + 1):
        assert told.usual.take(call(attempt(Usage(1, 1)), model=f"m{number}")) is not None
    assert len(told.usual._kinds) == 1


class Charged(Admitted):
    """A call under limits, charged as a test says."""

    def __init__(self, charges: str | None) -> None:
        self._said = charges
        self.waited_s = 0.0

    def charges(self, _: Attempt) -> str | None:
        return self._said


@given(st.lists(st.none() | WORDS, min_size=1, max_size=3), st.lists(WORDS, max_size=2))
def test_whom_a_call_is_charged_to_is_said_alike(charges: list[str | None], tags: list[str]) -> None:
    told = Told()
    principal = Principal("k", "n", org="acme", tags=tuple(tags))
    for said in charges:
        finished, twin = [call(attempt(Usage(1, 1), finish=("stop",)), principal=principal) for _ in range(2)]
        finished.admitted = twin.admitted = Charged(said)
        told.same(finished)
        taken = told.usual.take(twin)
        assert taken is not None
        assert (taken[0].org, taken[0].charges) == ("acme", said)
        assert json.loads(taken[0].tags or "[]") == tags


def test_a_call_of_an_engine_takes_the_general_form() -> None:
    usual = UsualCalls(CallMetrics(Registry()), nobody_asks)
    assert usual.take(answered()) is not None
    assert usual.take(from_an_engine()) is None


def test_a_call_whose_counts_were_corrected_takes_the_general_form() -> None:
    usual = UsualCalls(CallMetrics(Registry()), nobody_asks)
    details = UsageDetails(billed_nanousd=7, corrected=(Correction.NEGATIVE,))
    assert usual.take(answered(Usage(1, 1, details=details))) is None
    assert usual.take(answered(Usage(1, 1, details=details._replace(corrected=())))) is not None


def test_a_call_whose_question_was_compared_takes_the_general_form() -> None:
    usual = UsualCalls(CallMetrics(Registry()), nobody_asks)
    missed = answered()
    missed.cached = Cached(similarity=0.8)
    assert usual.take(missed) is None
    assert usual.take(cached_hit()) is None
    assert usual.take(errand(attempt(Usage(1, 1), finish=("stop",)))) is None
