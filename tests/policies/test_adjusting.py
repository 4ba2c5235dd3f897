from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.adjusting import WHOLE_PPM, adjusted, mark
from policies.tariffs import Adjustment, Price, RareRates, Rates, Tariff, Tier

RARE = RareRates(*range(1_000, 1_000 + 100 * len(RareRates._fields), 100))
RATES = Rates(100, 200, 300, 400, RARE)
PRICE = Price(
    *("openai/m@d.h", "table", "2026-01-01", *RATES),
    tiers=(Tier(7, RATES),),
    services=(("flex", Tariff(RATES, (Tier(8, RATES),))),),
    version="v",
    later=(50.0, Price("openai/m@d.i", "table", "", 1_000)),
)
HALF_MORE = Rates(150, 300, 450, 600, RareRates(*(rate * 3 // 2 for rate in RARE if rate is not None)))


def test_every_rate_of_all_times_is_changed() -> None:
    found = adjusted(PRICE, Adjustment(0, 500_000))
    assert (
        found.input_nanousd,
        found.cached_input_nanousd,
        found.cache_write_nanousd,
        found.output_nanousd,
        found.rare,
    ) == HALF_MORE
    assert found.tiers == (Tier(7, HALF_MORE),)
    assert found.services == (("flex", Tariff(HALF_MORE, (Tier(8, HALF_MORE),))),)
    assert found.later is not None
    begins_s, later = found.later
    assert (begins_s, later.input_nanousd, later.id) == (50.0, 1_500, "openai/m@d.i+50%")
    assert later.upstream is not None
    assert later.upstream.input_nanousd == 1_000


def test_a_margin_keeps_what_the_provider_bills() -> None:
    found = adjusted(PRICE, Adjustment(100_000, 500_000))
    assert (found.id, found.input_nanousd, found.adjusted) == (
        "openai/m@d.h-10%+50%",
        135,
        Adjustment(100_000, 500_000),
    )
    assert found.upstream is not None
    assert (found.upstream.id, found.upstream.input_nanousd) == ("openai/m@d.h-10%", 90)
    assert (found.upstream.adjusted, found.upstream.later) == (Adjustment(100_000, 0), None)


def test_a_discount_alone_is_what_the_provider_bills() -> None:
    found = adjusted(PRICE, Adjustment(1_000_000, 0))
    assert (found.input_nanousd, found.upstream, found.id) == (0, None, "openai/m@d.h-100%")


def test_no_adjustment_leaves_a_price_alone() -> None:
    assert adjusted(PRICE, Adjustment()) is PRICE


def test_what_nobody_published_stays_unknown() -> None:
    found = adjusted(Price("p", "table", "", 1), Adjustment(0, 1))
    assert (found.cached_input_nanousd, found.output_nanousd, found.rare) == (None, None, None)


@pytest.mark.parametrize(
    ("adjustment", "written"),
    [
        (Adjustment(), ""),
        (Adjustment(100_000), "-10%"),
        (Adjustment(0, 25_000), "+2.5%"),
        (Adjustment(1, 10_000_000), "-0.0001%+1000%"),
    ],
)
def test_ids_say_the_adjustment(adjustment: Adjustment, written: str) -> None:
    assert mark(adjustment) == written


@given(st.integers(0, 10**15), st.integers(0, WHOLE_PPM), st.integers(0, 10 * WHOLE_PPM))
def test_a_rate_is_rounded_once(rate: int, discount_ppm: int, margin_ppm: int) -> None:
    found = adjusted(Price("p", "table", "", rate), Adjustment(discount_ppm, margin_ppm)).input_nanousd
    exact = rate * Fraction(WHOLE_PPM - discount_ppm, WHOLE_PPM) * Fraction(WHOLE_PPM + margin_ppm, WHOLE_PPM)
    assert found == round(exact)


@given(
    st.integers(0, WHOLE_PPM), st.integers(0, 10 * WHOLE_PPM), st.integers(0, WHOLE_PPM), st.integers(0, 10 * WHOLE_PPM)
)
def test_ids_of_two_adjustments_are_two(discount: int, margin: int, other: int, more: int) -> None:
    one, two = Adjustment(discount, margin), Adjustment(other, more)
    assert (mark(one) == mark(two)) == (one == two)
