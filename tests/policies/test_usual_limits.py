from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies import limits, usual_limits
from policies.limits import Account, Ask, Granted, Kind, Phase

NOW_S = 1000.0
EDGES = (960.0, 1024.0, 1088.0)
RATES = (0.1, 0.5, 3.0, 7.3)
moments = st.sampled_from((900.0, 960.0, 999.9, 1000.0, 1023.9, 1024.0, 1050.0, 1088.0, 1100.0))
usage = st.one_of(st.just(0.0), st.floats(0, 2000), st.integers(0, 2000).map(float))
accounts = st.builds(Account, usage, moments, st.integers(0, 1500))


def ask(number: int) -> st.SearchStrategy[Ask]:
    rated = st.builds(
        Ask,
        st.just(f"a{number}"),
        st.just(Kind.RATE),
        st.integers(0, 900),
        st.integers(1, 2000),
        st.sampled_from(RATES),
    )
    budget = rated.map(lambda one: one._replace(kind=Kind.CALENDAR, rate_per_s=0.0, edges=EDGES))
    return st.one_of(rated, budget, rated.map(lambda one: one._replace(kind=Kind.CONCURRENT, rate_per_s=0.0)))


asks = st.integers(1, 4).flatmap(lambda size: st.tuples(*map(ask, range(size))))


@given(asks, st.lists(st.none() | accounts, min_size=4, max_size=4), moments)
def test_what_is_granted_is_what_the_model_grants_to_the_bit(
    asked: tuple[Ask, ...], states: list[Account | None], now: float
) -> None:
    known = {one.account: state for one, state in zip(asked, states, strict=False) if state is not None}
    model = limits.reserve(asked, [known.get(one.account) for one in asked], now)
    found = usual_limits.granted(asked, known, now)
    if found is not None:
        assert repr(found) == repr(model)
    elif isinstance(model, Granted):  # only where a window begins, or the store's clock was beyond the next
        assert any(one.kind is Kind.CALENDAR and known[one.account].at_s != limits.window_of(one, now) for one in asked)


@given(
    asks, st.lists(accounts, min_size=4, max_size=4), st.lists(st.integers(-5, 3000), min_size=4, max_size=4), moments
)
def test_what_is_settled_is_what_the_model_settles_to_the_bit(
    asked: tuple[Ask, ...], states: list[Account], charges: list[int], now: float
) -> None:
    holds = [limits.hold_of(one, state) for one, state in zip(asked, states, strict=False)]
    actual = charges[: len(holds)]
    known = {one.account: state for one, state in zip(asked, states, strict=False)}
    found = usual_limits.settled(holds, actual, known, now)
    model = [
        limits.settle(known[hold.account], hold, used, Phase.HELD, now)
        for hold, used in zip(holds, actual, strict=True)
    ]
    assert repr(found) == repr(model)


def test_a_hold_of_an_account_that_is_gone_is_left_to_the_model() -> None:
    one = Ask("a", Kind.RATE, 5, 10, 1.0)
    grant = usual_limits.granted((one,), {}, NOW_S)
    assert grant is not None
    assert usual_limits.settled(grant.holds, (5,), {}, NOW_S) is None


def test_what_is_not_known_of_a_budget_is_left_to_the_model() -> None:
    budget = Ask("a", Kind.CALENDAR, 5, 10, 0.0, EDGES)
    assert usual_limits.granted((budget,), {}, NOW_S) is None
