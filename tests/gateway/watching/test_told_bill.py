from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from hypothesis import assume, given
from hypothesis.errors import UnsatisfiedAssumption

from gateway.explaining.attempt_bills import AttemptTold, attempt_told
from gateway.records.ledger_rows import details_of
from gateway.watching.told_bill import told_bill
from policies.pricing import billed_price, cost_of, source_of
from policies.tariffs import Adjustment, Price
from policies.usage import Cost, Usage, UsageDetails
from policies.usage_parts import sane
from tests.gateway.state.ledger_rows import PLAIN as ROW
from tests.policies.test_bills import prices, usages

USD = 1_000_000_000
UNITS = "(tokens?|requests?|search|searches)"
LINE = re.compile(rf" +[a-z0-9 ]*? +([0-9,]+) {UNITS} x ([0-9.]+) USD/(M tokens|request|search) += +([0-9.]+) USD")


def told(usage: Usage, price: Price) -> AttemptTold:
    usage = sane(usage).usage
    cost = cost_of(usage, price)
    if not isinstance(cost, Cost):
        raise UnsatisfiedAssumption
    service, details = details_of(usage)
    row = ROW._replace(
        input_tokens=usage.input_tokens, cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens, output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens, estimated=int(usage.estimated),
        cost_nanousd=cost.total_nanousd, input_nanousd=cost.input_nanousd,
        cached_input_nanousd=cost.cached_input_nanousd,
        cache_write_nanousd=cost.cache_write_nanousd, output_nanousd=cost.output_nanousd,
        request_nanousd=cost.request_nanousd, tool_nanousd=cost.tool_nanousd, upstream_nanousd=cost.upstream_nanousd,
        price_id=cost.price.id, price_source=source_of(cost, usage), service=service, usage_details=details,
    )  # fmt: skip
    return attempt_told(row, row.started_at_ms, {cost.price.id: cost.price})


@given(usages, prices())
def test_a_person_who_multiplies_and_adds_what_is_printed_comes_to_the_sum(usage: Usage, price: Price) -> None:
    one = told(usage, price)
    text = list(told_bill(one))
    exact = Fraction(0)
    for line in text:
        if found := LINE.fullmatch(line):
            amount = int(found[1].replace(",", "")) * Fraction(found[3]) / (1_000_000 if found[4] == "M tokens" else 1)
            assert amount == Fraction(found[5])
            exact += amount
    assume(not any("says the provider" in line for line in text))
    (said,) = [Fraction(line.split("=")[1].split()[0]) for line in text if line.strip().startswith("sum")]
    roundings = sum("rounded" in line for line in text)
    assert abs(said - exact) <= roundings * Fraction(1, 2 * USD)
    assert said == Fraction(one.cost_nanousd or 0, USD)
    assert not any("MISMATCH" in line for line in text)


@given(usages, prices())
def test_no_line_is_much_wider_than_a_terminal_and_points_stand_under_each_other(usage: Usage, price: Price) -> None:
    amounts = [line for line in told_bill(told(usage, price)) if " = " in line]
    assert all(len(line) <= 110 for line in amounts)
    ends = {line.index("=") + len(line.split("=")[1].partition(".")[0].removesuffix(" USD")) for line in amounts}
    assert len(ends) == 1


def test_what_a_provider_bills_is_said_to_be_its_word() -> None:
    usage = Usage(10, 10, details=UsageDetails(billed_nanousd=1_000_000))
    plain = list(told_bill(told(usage, billed_price(0))))
    assert any("0.001 USD, says the provider = 0.001 USD" in line for line in plain)
    margin = list(told_bill(told(usage, Price("p", "table", "", adjusted=Adjustment(0, 50_000)))))
    assert any("0.001 USD, says the provider, x 1.05 = 0.00105 USD" in line for line in margin)
    assert any("the provider bills 0.001 USD; the rest is margin" in line for line in margin)


def one_of(**change: Any) -> str:
    row = ROW._replace(price_id=None, price_source=None, price_as_of=None, **change)
    return "\n".join(told_bill(attempt_told(row, 0, {})))


def test_what_has_no_price_is_told_as_such() -> None:
    assert "UNPRICED: no_price" in one_of(cost_nanousd=None, unpriced_reason="no_price")


def test_an_attempt_that_used_nothing_says_so() -> None:
    zeros = dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens"), 0)
    assert one_of(cost_nanousd=None, **zeros).strip() == "nothing was used"


def test_a_kept_answer_says_what_it_saved() -> None:
    hit = {"attempt": 0, "cache_level": "exact", "cost_nanousd": 0}
    assert "saved 0.00000035 USD and 110 tokens" in one_of(**hit, saved_nanousd=350, saved_tokens=110)
    assert "saved an unknown amount" in one_of(**hit)


def test_hardware_of_ones_own_and_estimates_are_told() -> None:
    text = one_of(gpu_us=1_250_000, estimated=1)
    assert "1.25 GPU seconds" in text
    assert "ESTIMATED: nobody reported them" in text


def test_a_mismatch_says_both_amounts() -> None:
    row = ROW._replace(cost_nanousd=351)
    price = Price("p_1", "list", "2026-11-01", 3_125_000, 2_500_000, None, 5_000_000)
    text = "\n".join(told_bill(attempt_told(row, 0, {"p_1": price})))
    assert "MISMATCH in total: the ledger has 0.000000351 USD, tokens and rates make 0.00000035 USD" in text
