from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from policies.adjusting import adjusted
from policies.bills import BILLED, Bill, BillLine, bill_of
from policies.pricing import Unpriced, UnpricedReason, billed_price, cost_of
from policies.tariffs import Adjustment, Price, PriceSource, RareRates, Rates, Tariff, Tier
from policies.usage import Cost, Usage, UsageDetails

USD = 1_000_000_000
counts = st.integers(-100, 300_000)
rates = st.integers(0, 100 * USD)
some = st.none() | rates
details = st.builds(
    UsageDetails, counts, counts, counts, counts, counts, counts, st.integers(0, 9),
    st.sampled_from(("", "flex", "scale")), st.none() | st.none() | st.integers(0, 10**12),
)  # fmt: skip
usages = st.builds(Usage, counts, counts, counts, counts, counts, st.booleans(), st.none() | details)
rare = st.none() | st.builds(RareRates, *[some] * 9)
holed = st.builds(Rates, some, some, some, some, rare)
whole = st.builds(Rates, rates, rates, rates, rates, st.builds(RareRates, *[rates] * 9))
tiers = st.just(()) | st.tuples(st.builds(Tier, st.integers(0, 200_000), whole | holed))
tariffs = st.builds(Tariff, whole | holed, tiers)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    base = draw(whole | holed)
    price = Price(
        "p", draw(st.sampled_from(PriceSource)).value, "2026-11-01", *base,
        tiers=draw(tiers), services=draw(st.just(()) | st.tuples(st.tuples(st.just("flex"), tariffs))),
    )  # fmt: skip
    return adjusted(price, Adjustment(draw(st.integers(0, 500_000)), draw(st.sampled_from((0, 50_000, 333_333)))))


@given(usages, st.none() | prices())
def test_the_lines_add_up_to_the_cost_whatever_was_used(usage: Usage, price: Price | None) -> None:
    bill, cost = bill_of(usage, price), cost_of(usage, price)
    if isinstance(cost, Unpriced):
        assert bill == cost
        return
    assert isinstance(bill, Bill)
    by_name = (cost.input_nanousd, cost.cached_input_nanousd, cost.cache_write_nanousd, cost.output_nanousd)
    names = ("input", "cached_input", "cache_write", "output", "request", "tool")
    expected = dict(zip(names, (*by_name, cost.request_nanousd, cost.tool_nanousd), strict=True))
    assert {name: bill.components.get(name, 0) for name in names} == expected
    assert bill.total_nanousd == cost.total_nanousd
    assert bill.upstream_nanousd == cost.upstream_nanousd


@given(usages, st.none() | prices())
def test_what_is_recomputed_by_the_price_that_a_cost_names_is_the_same(usage: Usage, price: Price | None) -> None:
    cost = cost_of(usage, price)
    if isinstance(cost, Cost):
        bill = bill_of(usage, cost.price)
        assert isinstance(bill, Bill)
        assert bill.total_nanousd == cost.total_nanousd


@given(usages, prices())
def test_components_are_their_lines_by_hand_and_rounded_once(usage: Usage, price: Price) -> None:
    bill = bill_of(usage, price)
    if isinstance(bill, Unpriced):
        return
    for name, nanousd in bill.components.items():
        of_it = [line for line in bill.lines if line.component == name]
        exact = sum((Fraction(line.quantity * line.rate_nanousd, line.per) for line in of_it), Fraction())
        assert nanousd == round(exact)
        assert sum(line.amount_femtousd for line in of_it) == exact * 1_000_000


def test_a_bill_reads_as_one_would_write_it() -> None:
    sonnet = Price("sonnet", "table", "2026-11-01", 3 * USD, USD // 5, 15 * USD // 4, 15 * USD)
    bill = bill_of(Usage(1_000, 200, 600, 100), sonnet)
    assert isinstance(bill, Bill)
    assert bill.lines == (
        BillLine("input", "input", 300, 3 * USD),
        BillLine("cached_input", "cached_input", 600, USD // 5),
        BillLine("cache_write", "cache_write", 100, 15 * USD // 4),
        BillLine("output", "output", 200, 15 * USD),
    )
    assert bill.components == {"input": 900_000, "cached_input": 120_000, "cache_write": 375_000, "output": 3_000_000}


def test_which_tier_and_service_were_charged_is_said() -> None:
    dear = Tier(200_000, Rates(6 * USD, None, None, 20 * USD))
    flex = Tariff(Rates(USD, USD, USD, USD), (dear,))
    price = Price("p", "table", "", 3 * USD, output_nanousd=15 * USD, services=(("flex", flex),))
    bill = bill_of(Usage(200_001, 1, details=UsageDetails(service="flex")), price)
    assert isinstance(bill, Bill)
    assert (bill.service, bill.above_input_tokens) == ("flex", 200_000)
    assert [line.rate_nanousd for line in bill.lines] == [6 * USD, 20 * USD]
    assert bill_of(Usage(1, 1, details=UsageDetails(service="scale")), price) == Unpriced(
        UnpricedReason.NO_SERVICE_RATE
    )


def test_what_the_provider_bills_is_one_line_with_its_margin() -> None:
    usage = Usage(10, 10, details=UsageDetails(billed_nanousd=1_000_001))
    bill = bill_of(usage, billed_price(50_000))
    assert isinstance(bill, Bill)
    assert bill.lines == (BillLine("request", BILLED, 1_050_000, 1_000_001, BILLED, 1_000_000),)
    assert (bill.total_nanousd, bill.upstream_nanousd) == (1_050_001, 1_000_001)


def test_what_has_no_rate_is_no_line_of_zero() -> None:
    price = Price("p", "table", "", 3 * USD)
    assert bill_of(Usage(5, 0), price) == Bill((BillLine("input", "input", 5, 3 * USD),))
    assert bill_of(Usage(5, 1), price) == Unpriced(UnpricedReason.NO_OUTPUT_RATE)
    assert bill_of(Usage(5, 1), replace(price, output_nanousd=0)) != Unpriced(UnpricedReason.NO_OUTPUT_RATE)
