from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given

from gateway.explaining.attempt_bills import Mismatch, attempt_told, usage_of
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.ledger.price_reading import price_from
from gateway.state.ledger.prices import rates_of
from policies.usage import Usage, UsageDetails
from tests.gateway.calls import PRICE, answered, attempt, call
from tests.gateway.records.test_four_sinks import calls
from tests.gateway.state.ledger_rows import PLAIN

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.state.ledger.schema import LedgerRow
    from policies.tariffs import Price

PRICES = {PRICE.id: PRICE}


def row_of(usage: Usage | None = None) -> LedgerRow:
    (row,) = ledger_rows(settle(answered(usage)))
    return row


@given(calls())
def test_whatever_is_charged_is_worked_out_the_same_by_prices_in_memory_and_kept(made: Call) -> None:
    settled = settle(made)
    rows = ledger_rows(settled)
    prices: dict[str, Price] = {}
    settled.note_prices(lambda price: prices.update({price.id: price}))
    kept = {name: price_from(name, msgspec.json.decode(rates_of(price))) for name, price in prices.items()}
    for row in rows:
        told = attempt_told(row, row.started_at_ms, prices)
        assert told == attempt_told(row, row.started_at_ms, {name: price for name, price in kept.items() if price})
        assert told.mismatches == []
        assert told.cost_nanousd == row.cost_nanousd
        assert (told.price is None) is (row.price_id is None)
        if told.price is not None:
            assert told.price.is_known
            assert sum(told.components.values()) == row.cost_nanousd


def test_lines_are_tokens_times_rates() -> None:
    told = attempt_told(row_of(Usage(100, 10, cached_input_tokens=40)), 0, PRICES)
    assert [(line.what, line.quantity, line.rate_nanousd, line.usd) for line in told.lines] == [
        ("input", 60, 2_500_000_000, "0.00015"),
        ("cached_input", 40, 1_250_000_000, "0.00005"),
        ("output", 10, 10_000_000_000, "0.0001"),
    ]
    assert told.components == {"input": 150_000, "cached_input": 50_000, "output": 100_000}
    assert told.price is not None
    assert (told.price.id, told.price.source, told.price.as_of) == ("gpt-4o", "table", "2026-11-01")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"output_nanousd": 1}, [Mismatch("output", 1, 340_000)]),
        ({"cost_nanousd": 1}, [Mismatch("total", 1, 370_000)]),
        ({"tool_nanousd": 5}, [Mismatch("tool", 5, 0)]),
        ({"upstream_nanousd": 5}, [Mismatch("upstream", 5, None)]),
        ({"output_tokens": 35}, [Mismatch("output", 340_000, 350_000), Mismatch("total", 370_000, 380_000)]),
        ({"service": "flex"}, [Mismatch("total", 370_000, None)]),
        ({"usage_details": '{"input_audio_tokens": 3}'}, [Mismatch("total", 370_000, None)]),
    ],
)
def test_what_does_not_add_up_is_told_and_never_hidden(change: dict[str, Any], found: list[Mismatch]) -> None:
    assert attempt_told(row_of()._replace(**change), 0, PRICES).mismatches == found


def test_a_price_that_nobody_has_any_more_is_said_so() -> None:
    told = attempt_told(row_of(), 0, {})
    assert told.price is not None
    assert (told.price.is_known, told.lines, told.mismatches) == (False, [], [])
    assert told.components == {"input": 30_000, "output": 340_000}


def test_rows_of_before_there_were_parts_are_held_to_their_total() -> None:
    old = row_of()._replace(
        input_nanousd=None, cached_input_nanousd=None, cache_write_nanousd=None, output_nanousd=None,
        request_nanousd=None, tool_nanousd=None,
    )  # fmt: skip
    assert attempt_told(old, 0, PRICES).mismatches == []
    assert attempt_told(old._replace(cost_nanousd=7), 0, PRICES).mismatches == [Mismatch("total", 7, 370_000)]


def test_estimates_say_whose_rates_they_take() -> None:
    lost = call(attempt(Usage(5, 5, estimated=True)))
    (row,) = ledger_rows(settle(lost))
    told = attempt_told(row, 0, PRICES)
    assert told.tokens.estimated
    assert told.price is not None
    assert (told.price.source, told.price.rates_from) == ("estimated", "table")


@pytest.mark.parametrize("text", ["{", "[]", '{"bribe": 1}', '{"searches": "1"}'])
def test_details_that_cannot_be_read_are_none(text: str) -> None:
    assert usage_of(PLAIN._replace(usage_details=text, service="flex")).details == UsageDetails(service="flex")
