from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits import (
    EXACT_MAX,
    Account,
    Ask,
    Denied,
    Granted,
    Hold,
    Kind,
    Phase,
    Unknown,
    as_of,
    drained,
    reap,
    remaining,
    reserve,
    reset_s,
    settle,
)

NOW = 1_700_000_000.0
DAY = (NOW, NOW + 86_400, NOW + 2 * 86_400)


def rate(amount: int, limit: int = 100, per_s: float = 1.0) -> Ask:
    return Ask("tokens", Kind.RATE, amount, limit, per_s)


def at_once(amount: int = 1, limit: int = 2) -> Ask:
    return Ask("calls", Kind.CONCURRENT, amount, limit)


def budget(amount: int, limit: int = 100) -> Ask:
    return Ask("budget", Kind.CALENDAR, amount, limit, 0.0, DAY)


def held(ask: Ask, account: Account | None, now: float = NOW) -> tuple[Hold, Account]:
    answer = reserve((ask,), (account,), now)
    assert isinstance(answer, Granted), answer
    return answer.holds[0], answer.accounts[0]


def settled(account: Account | None, hold: Hold, actual: int, phase: Phase = Phase.HELD, now: float = NOW) -> Account:
    after = settle(account, hold, actual, phase, now)
    assert after is not None
    return after


# --- T2 to T6 ---


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1), st.integers(0, 5)), max_size=40), st.integers(0, 99))
def test_t2_t3_no_more_is_spent_or_held_than_the_limit(calls: list[tuple[int, float, int]], seed: int) -> None:
    shuffle = random.Random(seed).shuffle
    state: tuple[Account | None, Account | None] = (Account(0.0, NOW), None)
    live: list[tuple[tuple[Hold, ...], int]] = []
    for amount, part, endings in calls:
        answer = reserve((budget(amount), at_once()), state, NOW)
        if isinstance(answer, Granted):
            state = (answer.accounts[0], answer.accounts[1])
            live.append((answer.holds, int(amount * part)))
        assert state[0] is not None
        assert state[0].used + state[0].held <= 100
        assert len(live) <= 2
        shuffle(live)
        for holds, actual in live[:endings]:
            state = (settled(state[0], holds[0], actual), settled(state[1], holds[1], 1))
        del live[:endings]


@given(
    st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 120), st.integers(0, 120)), min_size=1, max_size=5),
    st.integers(0, 100),
)
def test_t4_a_refusal_names_what_is_short_and_holds_nothing(accounts: list[tuple[Kind, int, int]], amount: int) -> None:
    asks = [Ask(f"a{i}", kind, amount, 100, 1.0, DAY) for i, (kind, _, _) in enumerate(accounts)]
    before = [Account(0.0 if kind == Kind.CONCURRENT else float(used), NOW, h) for kind, used, h in accounts]
    short = tuple(i for i, a in enumerate(before) if a.used + a.held + amount > 100)
    answer = reserve(asks, before, NOW)
    if short:
        assert isinstance(answer, Denied)
        assert (answer.short, list(answer.accounts)) == (short, before)
    else:
        assert isinstance(answer, Granted)
        assert [a.held for a in answer.accounts] == [a.held + amount for a in before]


@given(st.integers(0, 100), st.integers(0, 150), st.booleans())
def test_t5_after_a_crash_the_estimate_is_charged_and_a_late_count_puts_money_right(
    amount: int,
    actual: int,
    is_late: bool,  # noqa: FBT001 - hypothesis gives it by position
) -> None:
    money_hold, money = held(budget(amount), Account(0.0, NOW))
    rate_hold, tokens = held(rate(amount), None)
    money_after, tokens_after = reap(money, money_hold, NOW), reap(tokens, rate_hold, NOW)
    assert money_after == Account(amount, NOW, 0)
    assert tokens_after == Account(amount, NOW, 0)
    if is_late:
        assert settled(money_after, money_hold, actual, Phase.REAPED).used == actual
        assert settled(tokens_after, rate_hold, actual, Phase.REAPED).used == max(amount, actual)


@given(st.lists(st.integers(1, 60), max_size=10), st.lists(st.integers(1, 60), max_size=10))
def test_t6_after_a_loss_the_excess_is_one_capacity_and_what_was_held(before: list[int], after: list[int]) -> None:
    account: Account | None = None
    holds = []
    for amount in before:
        answer = reserve((rate(amount),), (account,), NOW)
        if isinstance(answer, Granted):
            holds.append(answer.holds[0])
            account = answer.accounts[0]
    held_then = sum(hold.amount for hold in holds)
    account = None
    total = 0
    for hold in holds[: len(holds) // 2]:
        account = settled(account, hold, hold.amount, Phase.MISSING)
        total += hold.amount
    for amount in after:
        answer = reserve((rate(amount),), (account,), NOW)
        if isinstance(answer, Granted):
            account = settled(answer.accounts[0], answer.holds[0], amount)
            total += amount
    for hold in holds[len(holds) // 2 :]:
        account = settled(account, hold, hold.amount, Phase.MISSING)
        total += hold.amount
    assert total <= 100 + held_then


def test_t6_lost_money_is_asked_for_not_taken_for_unspent() -> None:
    assert reserve((rate(1), budget(1), at_once()), (None, None, None), NOW) == Unknown((1,))
    assert settle(None, Hold("budget", Kind.CALENDAR, 5, 0.0, NOW), 5, Phase.MISSING, NOW) is None


# --- waits, remainders and clocks ---


@given(
    st.floats(0, 2e9),
    st.integers(0, 10**15),
    st.integers(1, 10**15),
    st.sampled_from([1.0, 60.0, 3600.0, 86_400.0]),
)
def test_who_waits_as_long_as_told_is_let_in(now: float, used: int, limit: int, window_s: float) -> None:
    ask = rate(1 + limit // 3, limit, limit / window_s)
    account = Account(float(min(used, 2 * limit)), now, 0)
    answer = reserve((ask,), (account,), now)
    if isinstance(answer, Denied):
        assert answer.wait_s is not None
        assert isinstance(reserve((ask,), (account,), now + answer.wait_s), Granted)


@given(st.floats(0, 86_400 - 1), st.integers(1, 100))
def test_a_budget_is_there_again_when_its_window_begins(into_s: float, amount: int) -> None:
    now = NOW + into_s
    answer = reserve((budget(amount),), (Account(100.0, NOW),), now)
    assert isinstance(answer, Denied)
    assert answer.wait_s is not None
    later = reserve((budget(amount),), (Account(100.0, NOW),), now + answer.wait_s)
    assert isinstance(later, Granted)
    assert later.holds[0].window_s == DAY[1]


def test_a_wait_is_that_of_the_slowest_and_none_where_only_calls_stand_in_the_way() -> None:
    full = (Account(100.0, NOW), Account(0.0, 0.0, 2))
    both = reserve((rate(50), at_once()), full, NOW)
    one = reserve((at_once(),), full[1:], NOW)
    assert isinstance(both, Denied)
    assert isinstance(one, Denied)
    assert both.wait_s == pytest.approx(50)
    assert one.wait_s is None


@given(st.floats(0, 500), st.integers(0, 100), st.floats(0, 1e6))
def test_what_remains_can_be_reserved_and_nothing_more(used: float, held_tokens: int, later_s: float) -> None:
    account = drained(Account(used, NOW, held_tokens), 1.0, NOW + later_s)
    left = remaining(rate(0), account)
    if left:
        assert isinstance(reserve((rate(left),), (account,), NOW + later_s), Granted)
    assert isinstance(reserve((rate(left + 1),), (account,), NOW + later_s), Denied)


def test_a_reset_is_when_all_of_the_limit_is_there_again() -> None:
    assert reset_s(rate(0, 100, 2.0), Account(30.0, NOW, 10), NOW) == 20
    assert [reset_s(budget(0), Account(5.0, NOW), DAY[i] + 10) for i in (0, 1)] == [86_390, 86_390]
    assert reset_s(at_once(), Account(0.0, 0.0, 2), NOW) == 0


@given(st.floats(0, 1000), st.floats(0, 1e6))
def test_a_clock_that_went_back_drains_on_from_there(used: float, back_s: float) -> None:
    account = drained(Account(used, NOW, 3), 1.0, NOW - back_s)
    assert account == Account(used, NOW - back_s, 3)
    assert drained(account, 1.0, NOW - back_s + 1.0).used == pytest.approx(max(0.0, used - 1.0), abs=1e-3)


@pytest.mark.parametrize(
    ("account", "now", "expected"),
    [
        (Account(5.0, NOW, 1), NOW + 1, Account(5.0, NOW, 1)),
        (Account(5.0, NOW - 86_400, 1), NOW, Account(0.0, NOW, 1)),
        (Account(5.0, NOW, 1), DAY[1], Account(0.0, DAY[1], 1)),
        (Account(5.0, NOW, 1), DAY[2] + 9, Account(0.0, DAY[1], 1)),  # a caller far behind still knows no later one
        (Account(5.0, DAY[2], 1), DAY[2] + 9, Account(5.0, DAY[2], 1)),  # and takes nobody back
        (Account(5.0, NOW - 86_400, 1), NOW - 1, Account(5.0, NOW - 86_400, 1)),  # a caller ahead begins nothing
        (Account(5.0, DAY[1], 1), NOW, Account(5.0, DAY[1], 1)),  # the clock was a little ahead
        (Account(5.0, DAY[2], 1), NOW, Account(5.0, NOW, 1)),  # the clock was far ahead
    ],
)
def test_a_budget_is_in_the_window_of_the_store_s_clock(account: Account, now: float, expected: Account) -> None:
    assert as_of(account, budget(0), now) == expected


def test_the_last_window_is_not_charged_to_this_one() -> None:
    hold, account = held(budget(60), Account(20.0, NOW))
    account = held(budget(40), account, DAY[1])[1]
    assert settled(account, hold, 60, now=DAY[1]) == Account(0.0, DAY[1], 40)


def test_a_changed_limit_keeps_what_is_used_and_held() -> None:
    account = Account(60.0, NOW, 30)
    assert isinstance(reserve((rate(1, limit=50),), (account,), NOW), Denied)
    assert held(rate(10), account)[1] == Account(60.0, NOW, 40)


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.REAPED, Phase.MISSING])
@pytest.mark.parametrize("kind", list(Kind))
def test_no_count_of_an_upstream_gives_back_more_than_was_reserved(kind: Kind, phase: Phase) -> None:
    hold = Hold("a", kind, 10, 1.0, NOW)
    after = settled(Account(50.0, NOW, 10), hold, -(10**6), phase)
    assert after.used == (40.0 if kind == Kind.CALENDAR and phase == Phase.REAPED else 50.0)
    assert after.held == (0 if phase == Phase.HELD else 10)


def test_settling_twice_changes_nothing() -> None:
    account = Account(50.0, NOW, 10)
    assert settle(account, Hold("a", Kind.RATE, 10, 1.0), 10, Phase.SETTLED, NOW) is account


def test_of_an_account_that_has_drained_away_a_reaped_call_is_charged_for_its_overrun_only() -> None:
    hold = Hold("tokens", Kind.RATE, 10, 1.0)
    assert settled(None, hold, 8, Phase.REAPED) == Account(0.0, NOW, 0)
    assert settled(None, hold, 13, Phase.REAPED) == Account(3.0, NOW, 0)
    assert settled(None, hold, 13, Phase.MISSING) == Account(13.0, NOW, 0)


def test_the_largest_budget_is_exact() -> None:
    limit = EXACT_MAX - 1
    account = Account(float(limit - 2), NOW)
    assert isinstance(reserve((budget(3, limit),), (account,), NOW), Denied)
    assert settled(held(budget(2, limit), account)[1], held(budget(2, limit), account)[0], 2).used == limit
