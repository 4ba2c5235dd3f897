from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.records.request_log import request_event
from gateway.records.settlement import settle
from gateway.records.usual_lines import MOST_TEMPLATES, UsualLines
from policies.tariffs import Price, RareRates
from policies.usage import Usage, UsageDetails
from policies.vocabulary import Deployment, Failure, FailureKind, Principal
from tests.gateway.calls import FREE_OF_PRICE, Unlimited, answered, attempt, bystanders, call

if TYPE_CHECKING:
    from gateway.call import Call

SOME = UsualLines(request_event)
WORDS = st.sampled_from(("stop", "100%", "%s", '"\\', "\u00e9\U0001f600"))
ENDINGS = st.sampled_from(("stop", "content_filter", '"%s'))
COUNTS = st.integers(0, 100_000_000)
SECONDS = st.one_of(st.floats(0, 1), st.floats(0, 900))
RARE = RareRates(cache_write_1h_nanousd=5_000_000_000, search_nanousd=10_000_000)
PRICE = Price("p", "table", "2026-11-01", 2_500_000_000, 1_250_000_000, 3_000_000_000, 10_000_000_000, RARE)


def general(finished: Call) -> object:
    return json.loads(msgspec.json.encode(request_event(settle(finished))))


def usual(lines: UsualLines, finished: Call) -> object:
    line = lines.line(settle(finished))
    assert line is not None
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


@st.composite
def good_calls(draw: st.DrawFn) -> Call:
    cached = draw(COUNTS)
    written = draw(COUNTS)
    hour, billed = draw(st.integers(0, written)), draw(st.none() | COUNTS)
    some = UsageDetails(cache_write_1h_tokens=hour, searches=draw(st.integers(0, 9)), billed_nanousd=billed)
    details = draw(st.sampled_from((None, some)))
    usage = Usage(cached + written + draw(COUNTS), draw(COUNTS), cached, written, 0, draw(st.booleans()), details)
    deployment = Deployment(draw(WORDS), draw(WORDS), "openai", "gpt-4o", price=PRICE)
    begun_s = 1000.0 + draw(SECONDS)
    tried = attempt(usage, deployment=deployment, finish=tuple(draw(st.lists(ENDINGS, max_size=2))))
    tried.started_s, tried.ended_s = begun_s, begun_s + draw(SECONDS)
    tried.first_token_s = draw(st.none() | st.just(begun_s))
    principal = Principal(draw(WORDS), draw(WORDS), draw(st.none() | WORDS))
    headers = draw(st.sampled_from(({"User-Agent": "50% off"}, {"X-Other": ""})))
    made = call(tried, stream=draw(st.booleans()), model=draw(WORDS), principal=principal, headers=headers)
    made.ended_s = tried.ended_s + draw(SECONDS)
    draw(bystanders()).beside(made)
    return made


@given(good_calls())
def test_a_filled_in_template_says_what_the_general_line_says(finished: Call) -> None:
    assert usual(UsualLines(request_event), finished) == general(finished)
    assert usual(SOME, finished) == general(finished)


def test_calls_of_one_kind_share_a_template_and_no_number() -> None:
    lines = UsualLines(request_event)
    first, second = answered(Usage(12, 34)), answered(Usage(99, 1, 5))
    second.sent_bytes, second.status = 7, 201
    assert usual(lines, first) == general(first)
    assert usual(lines, second) == general(second)


def waited() -> Call:
    queued = answered()
    queued.admitted = Unlimited()
    queued.admitted.waited_s = 0.1
    return queued


def test_other_calls_are_left_to_the_general_line() -> None:
    lines = UsualLines(request_event)
    failed = attempt(failure=Failure(FailureKind.STATUS, status=500))
    others = (
        call(),
        call(failed, status=502, error_code="upstream_error"),
        call(failed, attempt(Usage(1, 1), number=2)),
        call(attempt(Usage(1, 1)), cancelled=True),
        call(attempt(Usage(1, 1), deployment=FREE_OF_PRICE)),
        call(attempt(Usage(1, 1)), principal=None),
        waited(),
    )
    assert [lines.line(settle(other)) for other in others] == [None] * len(others)


def test_what_callers_vary_at_will_does_not_pile_up() -> None:
    lines = UsualLines(request_event)
    for number in range(MOST_TEMPLATES + 1):
        usual(lines, call(attempt(Usage(1, 1)), model=f"m{number}"))
    assert len(lines._templates) == 1
