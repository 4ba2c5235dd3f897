"""The shipped price table is what its script makes of the packages it names."""

from __future__ import annotations

import datetime as dt
import importlib.util
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec
import pytest

from gateway.data_files import newest_table
from gateway.prices.lines import Above, Line, Service, Table, TableFile, render
from gateway.prices.table import PriceTable
from scripts.make_prices import build, genai_document, litellm_map, supplemented

if any(importlib.util.find_spec(name) is None for name in ("genai_prices", "litellm")):
    pytest.skip("genai-prices and litellm are not installed", allow_module_level=True)

TODAY = dt.date(2026, 11, 22)


@pytest.fixture(scope="module")
def entries() -> dict[str, dict[str, Any]]:
    return litellm_map()


@pytest.fixture(scope="module")
def made(entries: dict[str, dict[str, Any]]) -> Table:
    return build(TODAY, genai_document(), entries)


def test_the_shipped_table_is_reproducible(made: Table) -> None:
    shipped = msgspec.json.decode(newest_table("prices").read_bytes(), type=TableFile)
    if any(version(source.package) != source.version for source in shipped.sources.values()):
        pytest.skip("other versions of the sources are installed than the table was made from")
    assert shipped.date == made.date
    assert render(made) == newest_table("prices").read_bytes()


def test_genai_prices_goes_before_litellm_which_adds_what_it_alone_knows(made: Table) -> None:
    (line,) = made.models["anthropic"]["claude-sonnet-4-5"]
    assert line.source == "genai-prices+litellm"
    assert [tier.tokens for tier in line.above] == [200_000]
    assert line.services["batch"].output == Decimal("7.5")


@pytest.mark.parametrize("key", ["gpt-4o-mini", "text-embedding-3-small", "claude-sonnet-4-5", "command-a-03-2025"])
def test_lines_agree_with_litellms_map(made: Table, entries: dict[str, dict[str, Any]], key: str) -> None:
    """Two sources that were compiled apart say the same of well-known models."""
    entry = entries[key]
    provider = str(entry["litellm_provider"]).removesuffix("_chat")
    found = PriceTable.of_bytes(render(made)).model_of(provider, key)
    assert found is not None
    (line,) = found.lines
    assert line.input == Decimal(entry["input_cost_per_token"]) * 10**6
    assert (line.output or 0) == Decimal(entry["output_cost_per_token"]) * 10**6


def test_changes_are_kept_with_their_days(made: Table) -> None:
    before, after = made.models["anthropic"]["claude-opus-4-6"]
    assert (before.begins, [tier.tokens for tier in before.above]) == (None, [200_000])
    assert (after.begins, after.above) == ("2026-03-13", ())
    assert [line.begins for line in made.models["google"]["gemini-4-argon"]] == [None, "2026-12-01"]


def test_rates_by_the_hour_are_the_dearest_and_marked(made: Table) -> None:
    (line,) = made.models["deepseek"]["deepseek-chat"]
    assert (line.input, line.output, line.lacks) == (Decimal("0.27"), Decimal("1.1"), ("hours",))


PLAIN = Line(source="a", input=Decimal(3), output=Decimal(15))
TIERED = Line(source="a", input=Decimal(3), output=Decimal(15), above=(Above(tokens=200_000, input=Decimal(6)),))
OTHER = Line(
    source="b",
    input=Decimal(3),
    output=Decimal(15),
    cache_write_1h=Decimal(6),
    above=(Above(tokens=272_000, input=Decimal(9)),),
    services={"batch": Service(input=Decimal(1))},
)
NOW = msgspec.structs.replace(PLAIN, begins="2026-03-13")


def test_what_only_one_source_knows_is_added_where_both_agree_on_the_plain_rates() -> None:
    assert supplemented((PLAIN,), OTHER, TODAY) == (msgspec.structs.replace(OTHER, source="a+b"),)
    dearer = msgspec.structs.replace(OTHER, output=Decimal(16))
    assert supplemented((PLAIN,), dearer, TODAY) == (PLAIN,)
    assert supplemented((PLAIN,), msgspec.structs.replace(PLAIN, source="b"), TODAY) == (PLAIN,)


def test_tiers_are_the_first_sources_and_one_that_it_says_has_ended_stays_ended() -> None:
    (line,) = supplemented((TIERED,), OTHER, TODAY)
    assert (line.above, list(line.services)) == (TIERED.above, ["batch"])
    before, now = supplemented((TIERED, NOW), OTHER, TODAY)
    assert before == TIERED
    assert (now.above, list(now.services), now.begins) == ((), ["batch"], "2026-03-13")


def test_only_what_is_in_force_is_added_to() -> None:
    coming = msgspec.structs.replace(PLAIN, begins="2026-12-01")
    assert supplemented((PLAIN, coming), OTHER, TODAY)[1] == coming
