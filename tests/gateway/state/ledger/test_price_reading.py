from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given

from gateway.state.ledger.price_reading import price_from
from gateway.state.ledger.prices import rates_of
from policies.bills import bill_of
from policies.pricing import billed_price
from tests.policies.test_bills import prices, usages

if TYPE_CHECKING:
    from policies.tariffs import Price
    from policies.usage import Usage


@given(prices(), usages)
def test_a_price_that_was_kept_bills_as_it_did(price: Price, usage: Usage) -> None:
    kept = price_from(price.id, msgspec.json.decode(rates_of(price)))
    assert kept is not None
    assert bill_of(usage, kept) == bill_of(usage, price)
    assert (kept.id, kept.source, kept.as_of, kept.adjusted) == (price.id, price.source, price.as_of, price.adjusted)


def test_versions_and_margins_on_what_providers_bill_are_kept() -> None:
    price = replace(billed_price(50_000), version="2026.11")
    assert price_from(price.id, msgspec.json.decode(rates_of(price))) == price


@pytest.mark.parametrize(
    "told",
    [
        {"input_nanousd": "3"},
        {"input_nanousd": -1},
        {"input_nanousd": True},
        {"tiers": [{"input_nanousd": 1}]},
        {"tiers": 7},
        {"services": []},
        {"adjusted": {"bribe_ppm": 1}},
        {"upstream": {"source": "table"}},
        [],
    ],
)
def test_what_is_no_price_is_none(told: Any) -> None:
    assert price_from("p", told) is None
