"""Price tables: what a model costs, since when and until when, and what nobody knows."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.data_files import newest_table
from gateway.prices.lines import Above, Line, Service, Source, Table, render
from gateway.prices.table import PriceTable, PriceTables, day_s
from policies.tariffs import RareRates, Rates, Tariff, Tier

if TYPE_CHECKING:
    from pathlib import Path

    from policies.tariffs import Price

USD = 1_000_000_000
NOW_S = day_s("2026-11-22")
SOURCES = {"s": Source("package", "1.0", "MIT", "2026-01-02"), "t": Source("other", "2", "MIT", "2026-01-01")}


@pytest.fixture(scope="module")
def shipped() -> PriceTable:
    return PriceTable.load(now_s=NOW_S)


def line(text: str) -> Line:
    return msgspec.json.decode(text, type=Line)


def table(
    models: dict[str, str | list[str]],
    aliases: dict[str, str] | None = None,
    provider: str = "openai",
    now_s: float = NOW_S,
) -> PriceTable:
    """A table of one provider's models, as the file would have them."""
    lines = {name: tuple(map(line, [told] if isinstance(told, str) else told)) for name, told in models.items()}
    made = Table("2026-01-03", SOURCES, {provider: lines}, {provider: aliases or {}})
    return PriceTable.of_bytes(render(made), now_s)


def price_of(found: PriceTable, model: str) -> Price:
    price = found.price_of("openai", None, model)
    assert price is not None
    return price


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "input_usd", "output_usd"),
    [
        # As published by the providers in November 2026.
        ("openai", None, "gpt-4o", 2.5, 10),
        ("openai", "https://api.openai.com/v1", "gpt-4o-mini-2024-07-18", 0.15, 0.6),
        ("openai", None, "gpt-4o-2024-05-13", 5, 15),
        ("openai", None, "text-embedding-3-small", 0.02, None),
        ("litellm", None, "anthropic/claude-sonnet-4-5-20250929", 3, 15),
        ("litellm", None, "anthropic/claude-sonnet-4-20250514", 3, 15),
        ("litellm", None, "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", 3, 15),
        ("litellm", None, "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3.3, 16.5),
        ("litellm", None, "bedrock/converse/global.anthropic.claude-sonnet-4-5-20250929-v1:0", 3, 15),
        ("litellm", None, "gemini/gemini-2.5-pro", 1.25, 10),
        ("litellm", None, "vertex_ai/gemini-2.5-pro", 1.25, 10),
        ("litellm", None, "cohere/command-a-03-2025", 2.5, 10),
        ("openai", "https://api.deepseek.com/v1", "deepseek-chat", 0.27, 1.1),
    ],
)
def test_known_public_prices(
    kind: str, base_url: str | None, model: str, input_usd: float, output_usd: float | None
) -> None:
    price = PriceTable.load(now_s=NOW_S).price_of(kind, base_url, model)
    assert price is not None
    assert price.input_nanousd == round(input_usd * USD)
    assert price.output_nanousd == (None if output_usd is None else round(output_usd * USD))


def test_a_price_says_where_it_is_from_and_an_hour_of_cache_and_a_long_prompt_cost_what_they_do(
    shipped: PriceTable,
) -> None:
    price = shipped.price_of("litellm", None, "anthropic/claude-sonnet-4-5")
    assert price is not None
    assert price.id.startswith("anthropic/claude-sonnet-4-5@20")
    assert (price.source, price.version.split(" ")[0], price.as_of[:2]) == ("table", "genai-prices", "20")
    assert (price.cached_input_nanousd, price.cache_write_nanousd) == (3 * USD // 10, 15 * USD // 4)
    assert price.rare is not None
    assert price.rare.cache_write_1h_nanousd == 6 * USD
    (tier,) = price.tiers
    assert (tier.above_input_tokens, tier.rates[:4]) == (
        200_000,
        (6 * USD, 6 * USD // 10, 15 * USD // 2, 45 * USD // 2),
    )
    batch = dict(price.services)["batch"]
    assert batch.rates[:4] == (3 * USD // 2, 15 * USD // 100, 15 * USD // 8, 15 * USD // 2)


def test_priority_has_tiers_of_its_own(shipped: PriceTable) -> None:
    priority = dict(price_of(shipped, "gpt-5.6-sol").services)["priority"]
    assert priority.rates[:4] == (8 * USD, 8 * USD // 10, 10 * USD, 40 * USD)
    assert [(tier.above_input_tokens, tier.rates.input_nanousd) for tier in priority.tiers] == [(272_000, 16 * USD)]


@pytest.mark.parametrize(
    ("kind", "base_url", "model"),
    [
        ("openai", None, "no-such-model"),
        ("openai", None, ""),
        ("openai", "http://10.0.0.7:8000/v1", "gpt-4o"),
        ("openai", "http://localhost/v1", "gpt-4o"),
        ("openai", "https://api.openai.com.evil.example/v1", "gpt-4o"),
        ("openai", "https://evil.example/api.openai.com", "gpt-4o"),
        ("openai", "http://[", "gpt-4o"),
        ("openai", "com", "gpt-4o"),
        ("litellm", None, "gpt-4o"),
        ("litellm", None, "made-up/gpt-4o"),
        ("litellm", "http://10.0.0.7:8000", "anthropic/claude-sonnet-4-5"),
        ("llama_cpp", None, "gpt-4o"),
    ],
)
def test_what_nobody_published_has_no_price(shipped: PriceTable, kind: str, base_url: str | None, model: str) -> None:
    assert shipped.price_of(kind, base_url, model) is None


def test_an_exact_name_goes_before_the_name_it_is_a_snapshot_of() -> None:
    found = table({"m": '{"source":"s","input":1}', "m-2024-05-13": '{"source":"s","input":2}'})
    assert [price_of(found, name).input_nanousd for name in ("m-2024-05-13", "m-2024-08-06")] == [2 * USD, USD]


def test_an_alias_never_hides_a_model() -> None:
    found = table({"m": '{"source":"s","input":1}', "n": '{"source":"s","input":2}'}, {"m": "n", "o": "n"})
    assert [price_of(found, name).input_nanousd for name in ("m", "o")] == [USD, 2 * USD]


def test_rates_that_are_absent_stay_unknown_and_zero_stays_zero() -> None:
    price = price_of(table({"free": '{"source":"s","input":0}'}), "free")
    assert (price.input_nanousd, price.output_nanousd, price.rare) == (0, None, None)


def test_every_rate_of_a_line_reaches_the_price() -> None:
    words = (*Rates._fields[:4], *RareRates._fields)
    told = {field.removesuffix("_nanousd"): number / 100 for number, field in enumerate(words, 1)}
    price = price_of(table({"m": json.dumps({"source": "s+t", **told})}), "m")
    found = {**{field: getattr(price, field) for field in words[:4]}, **(price.rare or RareRates())._asdict()}
    assert found == {field: number * USD // 100 for number, field in enumerate(words, 1)}
    assert (price.version, price.as_of) == ("package 1.0 + other 2", "2026-01-02")


DATED = [
    '{"source":"s","input":1,"output":1,"above":[{"tokens":10,"input":9}]}',
    '{"source":"s","from":"2026-03-13","input":2,"output":2}',
    '{"source":"s","from":"2026-12-01","input":3,"output":3}',
    '{"source":"s","from":"2027-01-01","input":4,"output":4}',
]


@pytest.mark.parametrize(
    ("at", "chain"),
    [
        ("2020-01-01", [1, 2, 3, 4]),
        ("2026-03-12", [1, 2, 3, 4]),
        ("2026-03-13", [2, 3, 4]),
        ("2026-11-30", [2, 3, 4]),
        ("2026-12-01", [3, 4]),
        ("2030-01-01", [4]),
    ],
)
def test_the_price_in_force_is_followed_by_those_to_come(at: str, chain: list[int]) -> None:
    price: Price | None = price_of(table({"m": DATED}, now_s=day_s(at)), "m")
    found = []
    begins = [None, day_s("2026-03-13"), day_s("2026-12-01"), day_s("2027-01-01")]
    while price is not None:
        assert price.input_nanousd is not None
        found.append(price.input_nanousd // USD)
        begins_s, price = price.later or (None, None)
        assert price is None or begins_s == begins[(price.input_nanousd or 0) // USD - 1]
    assert found == chain


def test_what_is_yet_to_begin_holds_already_where_nothing_was_before() -> None:
    assert price_of(table({"m": '{"source":"s","from":"2027-01-01","input":5}'}), "m").input_nanousd == 5 * USD


def test_an_id_never_means_two_sets_of_rates() -> None:
    lines = [
        '{"source":"s","input":1}',
        '{"source":"s","input":1,"output":0}',
        '{"source":"s","input":1,"search":0.01}',
        '{"source":"s","input":1,"above":[{"tokens":5,"input":2}]}',
        '{"source":"s","input":1,"above":[{"tokens":6,"input":2}]}',
        '{"source":"s","input":1,"services":{"flex":{"input":2}}}',
        '{"source":"s","input":1,"services":{"batch":{"input":2}}}',
        '{"source":"s","input":1,"services":{"batch":{"input":2,"above":[{"tokens":5,"input":2}]}}}',
    ]
    ids = [price_of(table({"m": told}), "m").id for told in lines]
    assert len(set(ids)) == len(lines)
    assert ids[0] == price_of(table({"m": '{"source":"t","input":1,"lacks":["hours"]}'}), "m").id
    assert all(one.startswith("openai/m@2026-01-03.") for one in ids)


def test_anthropics_own_models_have_rates_for_its_cache_where_a_line_has_none() -> None:
    told = '{"source":"s","input":3,"output":15,"above":[{"tokens":200000,"input":6}]}'
    price = table({"m": told}, provider="anthropic").price_of("litellm", None, "anthropic/m")
    assert price is not None
    assert (price.cached_input_nanousd, price.cache_write_nanousd) == (3 * USD // 10, 15 * USD // 4)
    assert price.rare == RareRates(cache_write_1h_nanousd=6 * USD)
    assert price.tiers[0].rates[1:3] == (6 * USD // 10, 15 * USD // 2)
    assert price_of(table({"m": told}), "m").cache_write_nanousd is None


def test_a_service_without_tiers_has_no_rates_for_prompts_that_cost_more_elsewhere() -> None:
    tiers = '"above":[{"tokens":10,"input":2}]'
    services = '"services":{"batch":{"input":3},"flex":{"input":4,"above":[]}}'
    told = f'{{"source":"s","input":1,"output":7,"request":5,{tiers},{services}}}'
    price = price_of(table({"m": told}), "m")
    rare = RareRates(request_nanousd=5 * USD)
    assert price.services == (
        ("batch", Tariff(Rates(3 * USD, rare=rare), (Tier(10, Rates()),))),
        ("flex", Tariff(Rates(4 * USD, rare=rare))),
    )
    assert price.tiers == (Tier(10, Rates(2 * USD, None, None, 7 * USD, rare)),)


def test_the_shipped_table_is_sorted_one_line_per_model_and_whole() -> None:
    content = newest_table("prices").read_text()
    document = json.loads(content)
    for provider in document["providers"].values():
        assert list(provider["models"]) == sorted(provider["models"])
        assert set(provider.get("aliases", {}).values()) <= set(provider["models"])
    models = list(PriceTable.load().models())
    assert len(models) > 4000
    assert sum(each.startswith('"') for each in content.splitlines()) >= len(models)
    assert all(PriceTable.load().price(model) for model in models[::100])


def test_a_start_decodes_only_what_it_asks_for() -> None:
    """What costs a gateway time at its start: reading the file, and the lines of the models that it has."""
    best_s = min(_load_s() for _ in range(5))
    assert best_s < 0.03


def _load_s() -> float:
    started_s = time.perf_counter()
    PriceTable.load().price_of("openai", None, "gpt-4o")
    return time.perf_counter() - started_s


OLD = (
    '{"format":1,"date":"2026-01-01","unit":"u","sources":{"s":{"package":"p","version":"1","licence":"MIT",'
    '"as_of":"2026-01-01"}},"models":[{"provider":"openai","model":"m","source":"s","input":2500000000,'
    '"cached_input":1,"output":0,"tiered":true,"aliases":["n"]}]}'
)


def test_a_table_of_format_1_is_read_too() -> None:
    found = PriceTable.of_bytes(OLD.encode())
    price = price_of(found, "n")
    assert (price.input_nanousd, price.cached_input_nanousd, price.output_nanousd) == (2_500_000_000, 1, 0)
    (model,) = found.models()
    assert model.lines[0].lacks == ("tiers",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a price table"),
        ("[]", "not a price table"),
        ('{"format":9,"date":"d"}', "format 9"),
        ('{"format":2,"date":"d","unit":"u","sources":{},"providers":[]}', "providers"),
        ('{"format":1,"date":"d","unit":"u","sources":{},"models":[{"provider":"p"}]}', "not a price table"),
        ('{"format":2,"date":"d","unit":"u","sources":{},"providers":{"p":' + "[" * 100_000, "not a price table"),
    ],
)
def test_a_broken_table_is_refused_with_its_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "prices-x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        PriceTable.load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("5", "broken list of openai's models"),
        ('{"m":5}', "broken line for openai/m"),
        ('{"m":{"source":"s","inptu":1}}', "broken line for openai/m: .*inptu"),
        ('{"m":{"source":"s","input":-1}}', "cannot be: input -1"),
        ('{"m":{"source":"s","input":1e999999}}', "cannot be: input"),
        ('{"m":{"source":"s","input":"NaN"}}', "cannot be: input NaN"),
        ('{"m":[{"source":"s","input":1},{"source":"s","input":1,"from":"soon"}]}', "a day that is none"),
        ('{"m":[]}', "broken line for openai/m: has no rates"),
        (
            '{"m":[{"source":"s","input":2,"from":"2027-01-01"},{"source":"s","input":1,"from":"2026-01-01"}]}',
            "order of the days",
        ),
        ('{"m":[{"source":"s","input":2},{"source":"s","input":1}]}', "order of the days"),
    ],
)
def test_a_broken_line_is_refused_when_it_is_asked_for(models: str, message: str) -> None:
    content = f'{{"format":2,"date":"d","unit":"u","sources":{{}},"providers":{{"openai":{{"models":{models}}}}}}}'
    found = PriceTable.of_bytes(content.encode())
    assert found.price_of("litellm", None, "cohere/m") is None
    with pytest.raises(ValueError, match=message):
        found.price_of("openai", None, "m")


def test_the_operators_table_goes_before_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(OLD.replace('"m"', '"gpt-4o"').replace("2500000000", "1"))
    tables = PriceTables.load(path, NOW_S)
    own, listed = (tables.price_of("openai", None, name) for name in ("gpt-4o", "gpt-4o-mini"))
    assert own is not None
    assert listed is not None
    assert (own.input_nanousd, own.version, tables.date) == (1, "p 1", "2026-01-01")
    assert listed.version.startswith("genai-prices")
    assert PriceTables.load().date == PriceTable.load().date


@pytest.mark.parametrize("day", ["2026-02-30", "20261201", "2026-W01-1", "2026-1-001", "", "today", "2026-12-01T00"])
def test_what_is_no_day_is_refused(day: str) -> None:
    with pytest.raises(ValueError, match="a day that is none"):
        day_s(day)


def test_days_begin_at_midnight_utc() -> None:
    assert day_s("1970-01-02") == 86_400.0


def test_words_of_tiers_and_services_are_those_of_lines() -> None:
    assert set(Above.__struct_fields__) >= set(Service.__struct_fields__) - {"above"}
