from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.call import TraceContext
from gateway.records.settlement import settle
from gateway.signals.sampling import SampledBy, Sampling, outlook
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import answered, attempt, call

if TYPE_CHECKING:
    from gateway.call import Call

NOTHING = Sampling(0.0, slow_s=10.0)
REFUSED = Failure(FailureKind.STATUS, status=503)
TRACE = "0" * 18 + "7fffffffffffff"  # just below the half


def slow() -> Call:
    made = answered()
    made.ended_s += 10
    return made


def of_a_trusted_caller(*, sampled: bool = True) -> Call:
    made = answered()
    made.trace = TraceContext(TRACE, "5" * 16, "7" * 16, sampled)
    return made


KEPT = [
    (call(attempt(failure=REFUSED), status=502, error_code="upstream_error"), SampledBy.ERROR),
    (call(status=500, error_code="internal_error"), SampledBy.ERROR),
    (call(attempt(failure=REFUSED), attempt(Usage(1, 1), number=2)), SampledBy.FALLBACK),
    (slow(), SampledBy.SLOW),
    (of_a_trusted_caller(), SampledBy.CALLER),
]


@pytest.mark.parametrize(("one", "why"), KEPT)
def test_what_is_out_of_the_ordinary_is_kept_whatever_the_share(one: Call, why: SampledBy) -> None:
    assert NOTHING.keeps(settle(one)) is why
    assert outlook([NOTHING]).may_keep(one)


@pytest.mark.parametrize(
    "one",
    [
        answered(),
        of_a_trusted_caller(sampled=False),
        call(status=401, error_code="invalid_api_key"),
        call(attempt(cancelled=True), status=499, error_code="client_disconnected", cancelled=True),
    ],
)
def test_the_rest_is_not(one: Call) -> None:
    assert NOTHING.keeps(settle(one)) is None


def test_what_went_wrong_is_kept_by_its_share_where_nobody_asks_for_more() -> None:
    rules = Sampling(0.0, errors=False)
    assert [rules.keeps(settle(one)) for one, _ in KEPT[:3]] == [None] * 3
    assert not any(outlook([rules]).may_keep(one) for one, _ in KEPT[:3])


def test_a_dear_call_is_kept() -> None:
    rules = Sampling(0.0, cost_nanousd=350_000)
    cheap, dear = settle(answered(Usage(99, 10))), settle(answered(Usage(100, 10)))
    assert [rules.keeps(cheap), rules.keeps(dear)] == [None, SampledBy.COST]
    told = outlook([rules])
    for settled in (cheap, dear):
        settled.call.attempts[0].cost = settled.attempts[0].cost
    assert [told.is_dear(cheap.call), told.is_dear(dear.call)] == [False, True]
    assert not outlook([NOTHING]).is_dear(dear.call)


@pytest.mark.parametrize(("ratio", "why"), [(0.49, None), (0.51, SampledBy.RATIO), (1.0, SampledBy.RATIO)])
def test_the_share_is_drawn_from_the_trace_id_so_that_a_trace_is_kept_whole(
    ratio: float, why: SampledBy | None
) -> None:
    one = answered()
    one.trace = TraceContext(TRACE, "5" * 16, None, sampled=False)
    assert Sampling(ratio).keeps(settle(one)) is why


def test_a_stranger_cannot_buy_a_place_with_a_flag() -> None:
    one = answered()
    one.trace = replace(one.trace, linked=(TRACE, "7" * 16))
    assert NOTHING.keeps(settle(one)) is None


RULES = st.builds(
    Sampling,
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.1, 1.0, 60.0]),
    st.sampled_from([None, 1, 350_000, 10**9]),
    st.booleans(),
)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    usage = Usage(draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6)))
    attempts = [attempt(usage), attempt(usage, number=2)][: draw(st.integers(0, 2))]
    status, code = draw(
        st.sampled_from([(200, None), (500, "internal_error"), (429, "rate_limit_exceeded"), (502, "x")])
    )
    made = call(*attempts, status=status, error_code=code, cancelled=draw(st.booleans()))
    made.ended_s = made.received_s + draw(st.floats(0, 100))
    parent = draw(st.sampled_from([None, "7" * 16]))
    trace_id = f"{draw(st.integers(1, (1 << 128) - 1)):032x}"
    made.trace = TraceContext(trace_id, "5" * 16, parent, sampled=parent is not None and draw(st.booleans()))
    return made


@given(st.lists(RULES, min_size=1, max_size=3), calls())
def test_the_look_ahead_misses_nothing_that_is_kept(rules: list[Sampling], one: Call) -> None:
    """A call that takes the short form is never one that somebody keeps for anything but its cost."""
    told = outlook(rules)
    is_expected = told.may_keep(one)
    settled = settle(one)
    for settlement in settled.attempts:
        settlement.attempt.cost = settlement.cost
    reasons = [rule.keeps(settled) for rule in rules]
    if not is_expected:
        assert set(reasons) <= {None, SampledBy.COST}
    if SampledBy.COST in reasons:
        assert told.is_dear(one)
