from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.call import Cached
from gateway.explaining.decisions import decision_of
from gateway.signals.conventions import Attr, Happened, Mark
from gateway.signals.span_values import Event, Kind
from gateway.signals.stage_spans import stage_spans
from policies.choosing import Choice, Refused, Rejection
from tests.gateway.calls import DEAR, FREE_OF_PRICE, RECEIVED_AT_NS, RECEIVED_S, answered, call

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.limits.admitted import Admitted

MS = 1_000_000


def marked(one: Call, *marks: tuple[str, float]) -> Call:
    """`marks` in milliseconds since the call came in."""
    one.marks = [(name, RECEIVED_S + at_ms / 1000) for name, at_ms in marks]
    return one


def test_each_mark_is_a_span_from_where_the_one_before_ended() -> None:
    one = marked(answered(), (Mark.AUTH, 0.25), (Mark.READ, 1.0), (Mark.ROUTE, 1.5))
    spans = list(stage_spans(one, None))
    told = [(span.name, (span.start_ns - RECEIVED_AT_NS) / MS, (span.end_ns - RECEIVED_AT_NS) / MS) for span in spans]
    assert told == [("pointsman.auth", 0.0, 0.25), ("pointsman.read", 0.25, 1.0), ("pointsman.route", 1.0, 1.5)]
    assert {(span.kind, span.parent_id, span.trace_id) for span in spans} == {
        (Kind.INTERNAL, one.trace.span_id, one.trace.trace_id)
    }
    assert len({span.span_id for span in spans} | {one.trace.span_id}) == 4


def test_the_route_says_whom_it_had_to_choose_from_and_why_not_the_others() -> None:
    one = marked(answered(), (Mark.AUTH, 1), (Mark.ROUTE, 2))
    one.choice = Choice((DEAR,), 1, (Rejection(FREE_OF_PRICE, Refused.REGION, "eu"),), scores=((DEAR.id, 1.25),))
    _, route = stage_spans(one, decision_of(one))
    assert route.attributes == {
        Attr.ROUTE: "smart",
        Attr.STRATEGY: "ordered",
        Attr.CANDIDATES: ("gpt-4o",),
        Attr.SCORES: ("gpt-4o=1.25",),
        Attr.REJECTIONS: ("llama-eu: region",),
    }


def test_a_wait_for_ones_turn_is_an_event_of_the_limits() -> None:
    one = marked(answered(), (Mark.LIMITS, 2_000))
    one.admitted = cast("Admitted", SimpleNamespace(waited_s=1.5))
    (limits,) = stage_spans(one, None)
    assert limits.attributes == {Attr.WAITED_S: 1.5}
    assert limits.events == (Event(Happened.WAITED, RECEIVED_AT_NS + 2_000 * MS, {Attr.WAITED_S: 1.5}),)


BEGUN = ((Mark.AUTH, 1.0), (Mark.READ, 2.0))


@pytest.mark.parametrize(
    ("one", "refused_by"),
    [
        (call(status=401, error_code="invalid_api_key", principal=None, route=None), Mark.AUTH),
        (marked(call(status=413, error_code="too_large", route=None), BEGUN[0]), Mark.READ),
        (marked(call(status=404, error_code="model_not_found", route=None), *BEGUN), Mark.ROUTE),
        (marked(call(status=429, error_code="rate_limit_exceeded"), *BEGUN, (Mark.ROUTE, 3.0)), Mark.LIMITS),
    ],
)
def test_the_stage_that_refuses_a_call_ends_with_it(one: Call, refused_by: str) -> None:
    last = list(stage_spans(one, None))[-1]
    assert (last.name, last.attributes[Attr.ERROR_TYPE]) == (refused_by, one.error_code)
    assert last.end_ns == RECEIVED_AT_NS + 503 * MS
    assert last.error is None, "a refusal is not the gateway's failure"


def test_an_idempotency_key_is_told_only_of_who_sent_one() -> None:
    one = marked(call(status=422, error_code="idempotency_key_reused", route=None), *BEGUN)
    one.headers = CIMultiDictProxy(CIMultiDict({"Idempotency-Key": "a"}))
    assert list(stage_spans(one, None))[-1].name == Mark.REPLAY


@pytest.mark.parametrize("one", [answered(), call(status=502, error_code="upstream_error")])
def test_what_no_stage_refused_has_no_span_of_a_refusal(one: Call) -> None:
    """An upstream's failure, and a call that passed no stages, which the cache makes by itself."""
    assert list(stage_spans(one, None)) == []


def test_a_cache_that_has_nothing_for_who_wants_nothing_else_refused_it() -> None:
    one = marked(call(status=504, error_code="cache_miss"), *BEGUN, (Mark.ROUTE, 3.0), (Mark.LIMITS, 4.0))
    one.cached = Cached()
    assert list(stage_spans(one, None))[-1].name == Mark.CACHE
    one.cached = None
    assert list(stage_spans(one, None))[-1].name == Mark.LIMITS
