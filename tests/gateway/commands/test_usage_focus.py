from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.commands.usage_focus import FOCUS_COLUMNS, focus_lines
from tests.gateway.state.ledger_rows import PLAIN, a_hit, unpriced

MANDATORY = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
]
NULLABLE = {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}
"""The mandatory columns of FOCUS 1.2, and which of them may be empty."""

TYPES = {"text": str, "decimal": Decimal, "number": int, "time": datetime}


def lines(row: object = PLAIN) -> list[dict[str, object]]:
    return [dict(zip(FOCUS_COLUMNS, line, strict=True)) for line in focus_lines(row)]  # type: ignore[arg-type]


def test_the_columns_that_focus_demands_are_there_typed_and_filled() -> None:
    for line in lines() + lines(unpriced(PLAIN)) + lines(a_hit(PLAIN)):
        for name in MANDATORY:
            assert line[name] is not None or name in NULLABLE, name
        for name, value in line.items():
            assert value is None or type(value) is TYPES[FOCUS_COLUMNS[name]], name
    assert all(name.startswith("x_") for name in list(FOCUS_COLUMNS)[-11:])


def test_an_attempt_is_one_line_per_kind_of_token_and_no_token_twice() -> None:
    told = {line["SkuMeter"]: (line["ConsumedQuantity"], line["BilledCost"]) for line in lines()}
    assert told == {
        "Input Tokens": (80, Decimal("0.00000025")),
        "Cached Input Tokens": (20, Decimal("0.00000005")),
        "Output Tokens": (10, Decimal("0.00000005")),
    }
    assert sum(cost for _, cost in told.values()) * 10**9 == PLAIN.cost_nanousd  # type: ignore[misc]


def test_an_answer_from_a_cache_is_one_line_that_cost_nothing_and_says_what_it_saved() -> None:
    (line,) = lines(a_hit(PLAIN))
    assert [line[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")] == [0] * 4
    assert (line["SkuMeter"], line["ConsumedQuantity"], line["ConsumedUnit"]) == ("Cached Answer", 1, "Requests")
    assert (line["PricingQuantity"], line["PricingUnit"]) == (1, "Requests")
    assert (line["x_CacheLevel"], line["x_SavedTokens"]) == ("semantic", 110)
    assert line["x_SavedCost"] == Decimal("0.00000035")
    (unknown,) = lines(a_hit(PLAIN, saved_nanousd=None, saved_tokens=None))
    assert (unknown["x_SavedCost"], unknown["x_SavedTokens"]) == (None, None)
    assert all(other["x_CacheLevel"] is None for other in lines())


def test_quantity_times_price_is_the_cost() -> None:
    for line in lines():
        product = line["PricingQuantity"] * line["ContractedUnitPrice"]  # type: ignore[operator]
        assert product == pytest.approx(line["ContractedCost"], abs=Decimal("1e-12"))
        assert line["PricingUnit"] == "1000000 Tokens"


def test_periods_begin_within_and_end_without() -> None:
    first = lines()[0]
    assert first["ChargePeriodStart"] == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert first["ChargePeriodEnd"] == datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC)
    assert first["BillingPeriodStart"] == datetime(2026, 11, 1, tzinfo=UTC)
    assert first["BillingPeriodEnd"] == datetime(2026, 12, 1, tzinfo=UTC)


def test_owners_and_tags_are_named() -> None:
    first = lines(PLAIN._replace(tags='["blue","cost-center=42"]'))[0]
    assert (first["BillingAccountId"], first["SubAccountId"], first["ResourceId"]) == ("acme", "platform", "gpt-4o")
    assert json.loads(str(first["Tags"])) == {
        "blue": True,
        "cost-center": "42",
        "pointsman:key": "ci",
        "pointsman:user": "ada",
        "pointsman:route": "smart",
    }


def test_what_has_no_price_costs_nothing_known_and_says_so() -> None:
    first = lines(unpriced(PLAIN))[0]
    assert (first["BilledCost"], first["ListUnitPrice"], first["x_UnpricedReason"]) == (0, None, "unknown_model")
    assert first["SkuPriceId"] is None


def test_an_attempt_without_tokens_makes_no_line() -> None:
    nothing = unpriced(PLAIN)._replace(input_tokens=0, cached_input_tokens=0, output_tokens=0)
    assert lines(nothing) == []


def test_what_is_paid_by_the_piece_has_lines_of_its_own_and_all_add_up() -> None:
    row = PLAIN._replace(
        cost_nanousd=5_000_350, request_nanousd=3_000_000, tool_nanousd=2_000_000, usage_details='{"searches":4}'
    )
    told = {line["SkuMeter"]: line for line in lines(row)}
    assert sum(line["BilledCost"] for line in told.values()) * 10**9 == 5_000_350  # type: ignore[misc]
    request, tools = told["Requests"], told["Tool Calls"]
    assert (request["ConsumedQuantity"], request["PricingUnit"], request["ListUnitPrice"]) == (
        1,
        "Requests",
        Decimal("0.003"),
    )
    assert (tools["ConsumedQuantity"], tools["ConsumedUnit"], tools["ListUnitPrice"]) == (
        4,
        "Tool Calls",
        Decimal("0.0005"),
    )


@pytest.mark.parametrize("details", [None, "{", "[]", '{"searches":-1}', '{"searches":"2"}'])
def test_details_that_say_nothing_are_one_call(details: str | None) -> None:
    row = PLAIN._replace(tool_nanousd=2, usage_details=details)
    (tools,) = [line for line in lines(row) if line["SkuMeter"] == "Tool Calls"]
    assert tools["ConsumedQuantity"] == 1


def test_what_belongs_to_the_attempt_stands_once_so_that_columns_add_up() -> None:
    told = lines(PLAIN._replace(upstream_nanousd=300, gpu_us=2_500_000, service="flex"))
    assert len(told) == 3
    assert [line["x_UpstreamCost"] for line in told] == [Decimal("3e-7"), None, None]
    assert [line["x_GpuSeconds"] for line in told] == [Decimal("2.5"), None, None]
    assert {line["x_ServiceTier"] for line in told} == {"flex"}
