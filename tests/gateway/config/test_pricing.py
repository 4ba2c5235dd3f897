"""What a policy file may say of prices, and how it is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gateway.config.pricing import PriceSettings, RateSettings, ppm
from gateway.prices.lines import RATE_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

PRICE = "{gpt: {provider: openai, model: m, price: %s}}"
PART = "must be a percentage such as 10%, from 0% to"
BARE = "only parts below 1 may stand without %"
CHANGE = "a change is from: 2026-12-01 and then: {input: ...}"
NO_DAY = "must be a date or time such as 2027-01-31 or 2027-01-31T12:00:00Z"
STANDARD = "is the standard service, whose rates stand beside services"
LONG = "has long prompts at rates of their own, and services.flex says nothing of them"
NO_SERVICE = "is not a service tier as answers name them, such as flex, priority or batch"


def price_of(config: Config) -> PriceSettings:
    price = config.deployments["gpt"].price
    assert price is not None
    return price


def test_a_deployments_words_are_those_of_tables() -> None:
    assert {field.alias for field in RateSettings.model_fields.values()} == set(RATE_WORDS)


def test_every_rate_is_taken_in_nano_dollars(made: Callable[..., Config]) -> None:
    told = ", ".join(f"{word}: {number}" for number, word in enumerate(RATE_WORDS, 1))
    config = made(deployments=PRICE % f"{{{told}}}")
    assert price_of(config).rates == {word: number * 10**9 for number, word in enumerate(RATE_WORDS, 1)}


def test_tiers_services_and_changes_are_taken(made: Callable[..., Config]) -> None:
    config = made(
        deployments=PRICE % "{input: 1, above: [{tokens: 200000, output: 2}], services: {batch: {input: 5, above: []}, "
        "flex: {input: 3, above: [{tokens: 5, input: 4}]}}, from: 2026-12-01, "
        "then: {input: 6, from: 2027-01-01T12:00:00Z, then: {input: 7}}}"
    )
    price = price_of(config)
    assert [(tier.tokens, tier.rates) for tier in price.above] == [(200_000, {"output": 2 * 10**9})]
    flex, batch = price.services["flex"], price.services["batch"]
    assert [tier.tokens for tier in flex.above or ()] == [5]
    assert (batch.rates, batch.above) == ({"input": 5 * 10**9}, ())
    assert price.begins == datetime(2026, 12, 1, tzinfo=UTC)
    assert price.then is not None
    assert price.then.begins == datetime(2027, 1, 1, 12, tzinfo=UTC)
    assert price.then.then is not None
    assert price.then.then.rates == {"input": 7 * 10**9}


@pytest.mark.parametrize(
    ("price", "found"),
    [
        (
            "{input: 1, cache_write_1hr: 2}",
            ".cache_write_1hr: unknown key 'cache_write_1hr' (did you mean 'cache_write_1h'?)",
        ),
        ("{input: 1, search: 2000000}", ".search: must be from 0 to 1,000,000 USD for one"),
        ("{input: 1, above: {tokens: 5}}", ".above: must be a list"),
        ("{input: 1, above: [{input: 2}]}", ".above[0].tokens: is missing"),
        ("{input: 1, above: [{tokens: 0}]}", ".above[0].tokens: must be at least 1"),
        ("{input: 1, above: [{tokens: 5, inptu: 1}]}", ".above[0].inptu: unknown key 'inptu' (did you mean 'input'?)"),
        ("{input: 1, above: [{tokens: 5}, {tokens: 5}]}", ": has two entries above the same number of tokens"),
        (
            "{input: 1, services: {flex: {otput: 1}}}",
            ".services.flex.otput: unknown key 'otput' (did you mean 'output'?)",
        ),
        ("{input: 1, services: {default: {input: 1}}}", f".services.default: {STANDARD}"),
        ("{input: 1, services: {'a b': {input: 1}}}", f".services.a b: {NO_SERVICE}"),
        (
            "{input: 1, above: [{tokens: 5, input: 2}], services: {flex: {input: 1}}}",
            f": {LONG}; give it an above too, or above: [] where they cost the same",
        ),
        ("{input: 1, from: 2026-12-01}", f": has from without then; {CHANGE}"),
        ("{input: 1, then: {input: 2}}", f": has then without from; {CHANGE}"),
        ("{input: 1, from: soon, then: {input: 1}}", f".from: {NO_DAY}"),
        ("{input: 1, from: 2026-12-01, then: {}}", ".then.input: is missing"),
        (
            "{input: 1, from: 2026-12-01, then: {input: 1, from: 2026-11-01, then: {input: 2}}}",
            ": has a then whose own change is not later than from",
        ),
    ],
)
def test_what_is_no_price_is_refused_where_it_stands(
    price: str, found: str, problems: Callable[..., list[str]]
) -> None:
    assert problems(deployments=PRICE % price) == [f"2: deployments.gpt.price{found}"]


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("{unknown: price_as}", "prices: has unknown: price_as and no price_as: {input: ..., output: ...}"),
        ("{price_as: {input: 1, output: 2}}", "prices: has price_as, which says nothing with unknown: auto"),
        ("{unknown: price_as, price_as: {input: 1}}", "prices.price_as.output: is missing"),
        ("{file: ''}", "prices.file: must be a path"),
        ("{fiel: x}", "prices.fiel: unknown key 'fiel' (did you mean 'file'?)"),
    ],
)
def test_what_is_wrong_with_prices_is_said(section: str, found: str, problems: Callable[..., list[str]]) -> None:
    assert problems(prices=section) == [f"4: {found}"]


@pytest.mark.parametrize(
    ("value", "most_percent", "expected"),
    [
        ("10%", 100, 100_000),
        ("2.5 %", 100, 25_000),
        ("0.0001%", 100, 1),
        ("0%", 100, 0),
        ("100%", 100, 1_000_000),
        ("1000%", 1000, 10_000_000),
        (0.1, 100, 100_000),
        (0, 100, 0),
        (0.000001, 100, 1),
    ],
)
def test_parts_in_millionths(value: object, most_percent: int, expected: int) -> None:
    assert ppm(value, most_percent) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("100.0001%", PART),
        ("-1%", PART),
        ("10", PART),
        ("", PART),
        (None, PART),
        (True, PART),
        (float("nan"), PART),
        (10, BARE),
        (1, BARE),
        (-0.1, BARE),
        (float("inf"), PART),
        (0.0000001, "must not be finer than 0.0001%"),
    ],
)
def test_what_is_no_part_is_refused(value: object, message: str) -> None:
    """A bare 5 may mean 5% or five times: nobody is to guess."""
    with pytest.raises(ValueError, match=message):
        ppm(value, 100)


@pytest.mark.parametrize(
    ("providers", "found"),
    [
        ("{openai: {kind: openai, api_key: none, discount: 10}}", f"providers.openai.discount: {PART} 100%; {BARE}"),
        ("{openai: {kind: openai, api_key: none, discount: 101%}}", f"providers.openai.discount: {PART} 100%"),
        ("{openai: {kind: litellm, margin: 1001%}}", f"providers.openai.margin: {PART} 1000%"),
        (
            "{openai: {kind: openai, api_key: none, disount: 1%}}",
            "providers.openai.disount: unknown key 'disount' (did you mean 'discount'?)",
        ),
    ],
)
def test_what_is_no_discount_or_margin_is_refused(
    providers: str, found: str, problems: Callable[..., list[str]]
) -> None:
    assert found in {problem.removeprefix("1: ") for problem in problems(providers=providers)}
