"""The shipped price table is what its script makes of the packages it names."""

from __future__ import annotations

import datetime as dt
import importlib.util
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec
import pytest

from gateway.records.prices import PriceTable, TableFile, newest_table
from scripts.make_prices import build, litellm_lines, litellm_map, render

if any(importlib.util.find_spec(name) is None for name in ("genai_prices", "litellm")):
    pytest.skip("genai-prices and litellm are not installed", allow_module_level=True)

TODAY = dt.date(2026, 11, 22)


@pytest.fixture(scope="module")
def made() -> TableFile:
    return build(TODAY, litellm_map())


def test_the_shipped_table_is_reproducible() -> None:
    shipped = msgspec.json.decode(newest_table().read_bytes(), type=TableFile)
    if any(version(source.package) != source.version for source in shipped.sources.values()):
        pytest.skip("other versions of the sources are installed than the table was made from")
    as_shipped = build(dt.date.fromisoformat(shipped.date), litellm_map())
    assert render(as_shipped) == newest_table().read_bytes()


def test_genai_prices_goes_before_litellm(made: TableFile) -> None:
    found = PriceTable(made).line_of("openai", "gpt-4o")
    assert found is not None
    assert found.source == "genai-prices"


@pytest.mark.parametrize("key", ["gpt-4o-mini", "text-embedding-3-small", "claude-sonnet-4-5", "command-a-03-2025"])
def test_lines_agree_with_litellms_map(made: TableFile, key: str) -> None:
    """Two sources that were compiled apart say the same of well-known models."""
    entry = litellm_map()[key]
    provider = str(entry["litellm_provider"]).removesuffix("_chat")
    line = PriceTable(made).line_of(provider, key)
    assert line is not None
    assert line.input == Decimal(entry["input_cost_per_token"]) * 10**15
    assert (line.output or 0) == Decimal(entry["output_cost_per_token"]) * 10**15


def test_rates_by_the_hour_are_the_dearest_and_marked(made: TableFile) -> None:
    line = PriceTable(made).line_of("deepseek", "deepseek-chat")
    assert line is not None
    assert (line.input, line.output, line.tiered) == (270_000_000, 1_100_000_000, True)


def test_a_price_that_changes_later_is_todays() -> None:
    def sol(today: dt.date) -> Any:
        return PriceTable(build(today, {})).line_of("aws", "global.openai.gpt-5.6-sol")

    before, after = sol(dt.date(2026, 8, 20)), sol(dt.date(2026, 8, 21))
    assert before is not None
    assert after is not None
    assert before != after


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"mode": "chat", "input_cost_per_token": Decimal("3e-06"), "output_cost_per_token": Decimal("1.5e-05")},
            (3 * 10**9, 15 * 10**9),
        ),
        ({"mode": "embedding", "input_cost_per_token": Decimal("2e-08"), "output_cost_per_token": 0}, (20_000_000, 0)),
        ({"mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0}, None),
        ({"mode": "chat"}, None),
        ({"mode": "image_generation", "input_cost_per_token": Decimal("3e-06")}, None),
    ],
)
def test_litellms_entries(entry: dict[str, Any], expected: tuple[int, int] | None) -> None:
    lines = list(litellm_lines({"made-up/model": {**entry, "litellm_provider": "made-up"}}))
    assert [(line.provider, line.model, line.input, line.output) for line in lines] == (
        [("made-up", "model", *expected)] if expected else []
    )
