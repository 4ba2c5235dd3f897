from __future__ import annotations

from dataclasses import replace

import pytest

from policies.rates import all_rates, applied, base_rates, price_at
from policies.tariffs import Price, RareRates, Rates, Tariff, Tier
from policies.usage import Usage, UsageDetails

LOW, MIDDLE, HIGH, FLEX, LONG_FLEX = (Rates(rate, rate, rate, rate) for rate in range(1, 6))
PRICE = Price(
    "p", "table", "", *LOW[:4], tiers=(Tier(100, MIDDLE), Tier(200, HIGH)),
    services=(("flex", Tariff(FLEX, (Tier(100, LONG_FLEX),))), ("scale", Tariff(Rates()))),
)  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "service", "expected"),
    [
        (0, "", (LOW, None)),
        (100, "", (LOW, None)),  # the boundary itself is not above it
        (101, "", (MIDDLE, 100)),
        (200, "", (MIDDLE, 100)),
        (201, "", (HIGH, 200)),
        (100, "flex", (FLEX, None)),
        (10_000, "flex", (LONG_FLEX, 100)),
        (5, "scale", (Rates(), None)),
        (5, "priority", None),
    ],
)
def test_the_tier_is_of_the_whole_request_and_the_service_of_the_answer(
    tokens: int, service: str, expected: object
) -> None:
    usage = Usage(tokens, cached_input_tokens=tokens, details=UsageDetails(service=service))
    assert applied(PRICE, usage) == expected


def test_a_stand_in_fills_what_has_no_rate_and_leaves_the_others() -> None:
    price = Price("a", "assumed", "", 3, None, None, 7, rare=RareRates(output_audio_nanousd=9))
    found = applied(price, Usage(details=UsageDetails(service="any")))
    assert found is not None
    assert found.rates[:4] == (3, 3, 3, 7)
    assert found.rates.rare == RareRates(3, None, 3, None, None, 9, 7, None, 0)


def test_all_rates_are_those_of_every_tier_service_and_time() -> None:
    price = replace(PRICE, upstream=Price("u", "table", "", 8), later=(1.0, Price("l", "table", "", 9)))
    found = {rates.input_nanousd for rates in all_rates(price)}
    assert found == {1, 2, 3, 4, 5, 8, 9, None}
    assert base_rates(price) == LOW


def test_the_price_of_a_moment_is_the_last_that_has_begun() -> None:
    last = Price("c", "table", "")
    price = Price("a", "table", "", later=(10.0, Price("b", "table", "", later=(20.0, last))))
    assert [price_at(price, now_s).id for now_s in (9.9, 10.0, 20.0, 99.0)] == ["a", "b", "c", "c"]
