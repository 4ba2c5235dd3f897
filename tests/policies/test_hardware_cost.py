from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.hardware_cost import (
    HOURS_PER_YEAR,
    MILLI,
    NS_PER_HOUR,
    PPM,
    Account,
    Hardware,
    Owned,
    Throughput,
    booked,
    divided,
    gpu_us,
    local_rates,
    of_all_gpus,
    owned_nanousd_per_hour,
    spent,
)

USD = 10**9
amounts = st.integers(0, 10**6 * USD)


@pytest.mark.parametrize(("utilisation", "usd_per_mtok"), [("1", "0.277777778"), ("0.2", "1.388888889")])
def test_two_dollars_an_hour_at_two_thousand_tokens(utilisation: str, usd_per_mtok: str) -> None:
    """The example of the paper: $0.28 per million tokens at full work, $1.40 (rounded up) at a fifth of it."""
    rates = local_rates(2 * USD, Throughput(2_000 * MILLI, int(Decimal(utilisation) * PPM)))
    assert rates == (int(Decimal(usd_per_mtok) * USD),) * 3


def test_prompts_have_paces_of_their_own() -> None:
    rates = local_rates(36 * USD, Throughput(1_000 * MILLI, PPM, 10_000 * MILLI, 100_000 * MILLI))
    assert rates == (USD, USD // 10, 10 * USD)
    assert local_rates(36 * USD, Throughput(1_000 * MILLI, PPM, 10_000 * MILLI)).cached_input_nanousd == USD


def test_an_owned_gpu_is_written_off_and_takes_power() -> None:
    """(30,000 - 3,000) / (26,280 h x 0.95) + 0.7 kW x 1.3 x $0.20 + $0.10."""
    owned = Owned(30_000 * USD, 3_000 * USD, 3 * HOURS_PER_YEAR, 950_000, 700 * MILLI, 1_300_000, USD // 5, USD // 10)
    expected = Decimal(27_000) / (Decimal(26_280) * Decimal("0.95")) + Decimal("0.182") + Decimal("0.1")
    assert owned_nanousd_per_hour(owned) == int((expected * USD).quantize(Decimal(1), ROUND_HALF_EVEN))


@given(amounts, st.integers(1, 10**7), st.integers(1, PPM))
def test_rates_are_the_formula_rounded_half_to_even(per_hour: int, millitokens_per_s: int, utilisation: int) -> None:
    rates = local_rates(per_hour, Throughput(millitokens_per_s, utilisation))
    whole, part = 3600 * millitokens_per_s * utilisation, per_hour * MILLI * PPM * 10**6
    assert abs(2 * (rates.output_nanousd * whole - part)) <= whole


looks = st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**13), amounts), max_size=20)


@given(looks, st.integers(1, 64))
def test_an_account_loses_nothing_between_looks_and_never_shrinks(
    history: list[tuple[int, int, int]], shares: int
) -> None:
    account, before, cost = Account(), spent(Account()), 0
    for busy_ns, idle_ns, per_hour in history:
        account = booked(account, busy_ns, idle_ns, Hardware("box", 2_500, per_hour))
        cost += (busy_ns + idle_ns) * per_hour
        now = spent(account, shares)
        assert all(told >= (earlier or 0) for told, earlier in zip(now, before, strict=True) if told is not None)
        before = now
    if history:
        together = (before.busy_nanousd or 0) + (before.idle_nanousd or 0)
        assert 0 <= cost // (NS_PER_HOUR * shares) - together <= 1


def test_an_hour_costs_what_it_costs() -> None:
    hardware = Hardware("box", 2 * MILLI, 2 * USD)
    account = booked(Account(), NS_PER_HOUR // 4, NS_PER_HOUR * 3 // 4, hardware)
    assert spent(account) == (NS_PER_HOUR // 2, NS_PER_HOUR * 3 // 2, USD // 2, 3 * USD // 2)
    assert spent(account, 2) == (NS_PER_HOUR // 4, NS_PER_HOUR * 3 // 4, USD // 4, 3 * USD // 4)
    assert of_all_gpus(2 * USD, 8 * MILLI) == 16 * USD
    assert of_all_gpus(3, 500) == 2
    assert gpu_us(10**9, 8 * MILLI) == 8 * 10**6
    assert gpu_us(10**9, 8 * MILLI, 4) == 2 * 10**6


def test_what_nobody_has_priced_has_no_cost_until_somebody_does() -> None:
    account = booked(Account(), 5, 5, Hardware("box"))
    assert spent(account)[2:] == (None, None)
    assert spent(booked(account, 0, NS_PER_HOUR, Hardware("box", MILLI, 7)))[2:] == (0, 7)


@given(st.integers(0, 10**12), st.integers(1, 20))
def test_parts_are_equal_and_add_up(amount: int, parts: int) -> None:
    each = divided(amount, parts)
    assert sum(each) == amount
    assert max(each) - min(each) <= 1
