"""Prices of the policy file, as policies reckon with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import compile as compiled
from gateway.config.compile_prices import tables_of, unpriced_of
from gateway.data_files import newest_table
from gateway.errors import StartError
from gateway.prices.table import day_s
from policies.pricing import billed_price
from policies.tariffs import Adjustment, Price, RareRates, Rates, Tariff, Tier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config

USD = 10**9
NOW_S = day_s("2026-11-22")
LISTED = Price("openai/m@d.h", "table", "2026-01-01", 100, None, None, 300)


def price_in(config: Config, listed: Price | None = None, now_s: float = NOW_S) -> Price | None:
    return compiled.deployments(config, lambda *_: listed, now_s=now_s)["gpt"].price


def stated(made: Callable[..., Config], price: str, now_s: float = NOW_S) -> Price:
    found = price_in(made(deployments=f"{{gpt: {{provider: openai, model: m, price: {price}}}}}"), LISTED, now_s)
    assert found is not None
    return found


def test_a_stated_price_is_whole(made: Callable[..., Config]) -> None:
    price = stated(
        made,
        "{input: 1, output: 2, search: 0.5, above: [{tokens: 9, output: 4}], "
        "services: {flex: {input: 3, above: []}, batch: {input: 4, above: [{tokens: 7, input: 5}]}}}",
    )
    rare = RareRates(search_nanousd=USD // 2)
    assert (price.source, price.input_nanousd, price.output_nanousd, price.rare) == ("override", USD, 2 * USD, rare)
    assert price.tiers == (Tier(9, Rates(USD, None, None, 4 * USD, rare)),)
    assert price.services == (
        ("batch", Tariff(Rates(4 * USD, rare=rare), (Tier(7, Rates(5 * USD, rare=rare)),))),
        ("flex", Tariff(Rates(3 * USD, rare=rare))),
    )


def test_an_id_holds_the_rates(made: Callable[..., Config]) -> None:
    one, same, other = (stated(made, price) for price in ("{input: 1}", "{input: 1.0}", "{input: 1, output: 0}"))
    assert one.id.startswith("override/gpt@")
    assert one.id == same.id != other.id


@pytest.mark.parametrize(("day", "chain"), [("2026-11-22", [1, 2, 3]), ("2026-12-01", [2, 3]), ("2027-06-01", [3])])
def test_a_stated_change_comes_to_pass(day: str, chain: list[int], made: Callable[..., Config]) -> None:
    told = "{input: 1, from: 2026-12-01, then: {input: 2, from: 2027-01-01, then: {input: 3}}}"
    price: Price | None = stated(made, told, day_s(day))
    found = []
    while price is not None:
        found.append((price.input_nanousd or 0) // USD)
        price = None if price.later is None else price.later[1]
    assert found == chain


def test_a_discount_and_a_margin_are_in_the_rates_whoever_stated_them(made: Callable[..., Config]) -> None:
    providers = "{openai: {kind: openai, api_key: none, discount: 10%, margin: 50%}}"
    price = price_in(made(providers=providers), LISTED)
    assert price is not None
    assert (price.id, price.input_nanousd, price.output_nanousd) == ("openai/m@d.h-10%+50%", 135, 405)
    assert price.adjusted == Adjustment(100_000, 500_000)
    assert price.upstream is not None
    assert (price.upstream.id, price.upstream.input_nanousd) == ("openai/m@d.h-10%", 90)
    own = "{gpt: {provider: openai, model: m, discount: 0%, price: {input: 2}}}"
    mixed = price_in(made(providers=providers, deployments=own), LISTED)
    assert mixed is not None
    assert (mixed.input_nanousd, mixed.adjusted) == (3 * USD, Adjustment(0, 500_000))


def test_a_margin_is_put_on_what_a_provider_bills_for_models_that_nobody_lists(made: Callable[..., Config]) -> None:
    providers = "{openai: {kind: openai, api_key: none, margin: 50%}}"
    unlisted, listed = (
        compiled.deployments(made(providers=providers), lambda *_, found=found: found, now_s=NOW_S)["gpt"]
        for found in (None, LISTED)
    )
    assert (unlisted.price, unlisted.billed_price) == (None, billed_price(500_000))
    assert listed.billed_price is None
    assert compiled.deployments(made(), lambda *_: None, now_s=NOW_S)["gpt"].billed_price is None


def test_a_stand_in_is_for_those_without_a_price_and_says_so(made: Callable[..., Config]) -> None:
    config = made(prices="{unknown: price_as, price_as: {input: 3, output: 15, request: 1}}")
    assumed = price_in(config)
    assert assumed is not None
    assert (assumed.source, assumed.input_nanousd, assumed.output_nanousd) == ("assumed", 3 * USD, 15 * USD)
    assert assumed.rare == RareRates(request_nanousd=USD)
    assert price_in(config, LISTED) == LISTED
    assert price_in(made()) is None


@pytest.mark.parametrize(
    ("prices", "word"),
    [
        ("{}", "auto"),
        ("{unknown: allow}", "allow"),
        ("{unknown: deny}", "deny"),
        ("{unknown: price_as, price_as: {input: 1, output: 1}}", "auto"),
    ],
)
def test_half_a_price_is_not_made_whole_by_a_stand_in(prices: str, word: str, made: Callable[..., Config]) -> None:
    assert unpriced_of(made(prices=prices)) == word


def test_the_operators_table_goes_first_and_a_broken_one_stops_the_start(
    made: Callable[..., Config], tmp_path: Path
) -> None:
    path = tmp_path / "own.json"
    config = made(prices="{file: own.json}")
    path.write_bytes(newest_table("prices").read_bytes().replace(b'"gpt-4o":{"input":2.5', b'"gpt-4o":{"input":9.5'))
    price = tables_of(config, NOW_S).price_of("openai", None, "gpt-4o")
    assert price is not None
    assert price.input_nanousd == 95 * USD // 10
    path.write_text("{}")
    with pytest.raises(StartError, match=r"prices\.file: .*own\.json is not a price table"):
        tables_of(config)
    path.unlink()
    with pytest.raises(StartError, match=r"prices\.file: .*own\.json"):
        tables_of(config)
