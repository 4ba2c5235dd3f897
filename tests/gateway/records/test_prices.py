from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from gateway.records.prices import FORMAT, Line, PriceTable, Source, TableFile, newest_table, provider_of, spellings

if TYPE_CHECKING:
    from pathlib import Path

USD = 1_000_000_000


@pytest.fixture(scope="module")
def shipped() -> PriceTable:
    return PriceTable.load()


def table(*lines: Line) -> PriceTable:
    sources = {"s": Source("package", "1.0", "MIT", "2026-01-02")}
    return PriceTable(TableFile(FORMAT, "2026-01-03", "unit", sources, list(lines)))


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
    price = PriceTable.load().price_of(kind, base_url, model)
    assert price is not None
    assert price.input_nanousd == round(input_usd * USD)
    assert price.output_nanousd == (None if output_usd is None else round(output_usd * USD))


def test_a_price_says_where_it_is_from(shipped: PriceTable) -> None:
    price = shipped.price_of("litellm", None, "anthropic/claude-sonnet-4-5")
    assert price is not None
    assert price.id.startswith("anthropic/claude-sonnet-4-5@20")
    assert price.source.startswith("genai-prices ")
    assert price.source.endswith("base of several rates")
    assert price.as_of.startswith("20")
    assert (price.cached_input_nanousd, price.cache_write_nanousd) == (3 * USD // 10, 15 * USD // 4)


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
    lines = table(Line("openai", "m", "s", input=1), Line("openai", "m-2024-05-13", "s", input=2))
    found = [lines.line_of("openai", name) for name in ("m-2024-05-13", "m-2024-08-06")]
    assert [line and line.input for line in found] == [2, 1]


def test_an_alias_never_hides_a_model() -> None:
    lines = table(Line("openai", "m", "s", input=1), Line("openai", "n", "s", input=2, aliases=("m",)))
    found = lines.line_of("openai", "m")
    assert found is not None
    assert found.input == 1


def test_rates_that_are_absent_stay_unknown_and_zero_stays_zero() -> None:
    price = table(Line("openai", "free", "s", input=0)).price_of("openai", None, "free")
    assert price is not None
    assert (price.input_nanousd, price.output_nanousd) == (0, None)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("gpt-4o", []),
        ("gpt-4o-2024-08-06", ["gpt-4o"]),
        ("claude-opus-4-20250514", ["claude-opus-4"]),
        ("claude-opus-4@20250514", ["claude-opus-4"]),
        ("command-r-08-2024", ["command-r"]),
        ("gemini-1.5-pro-002", ["gemini-1.5-pro"]),
        ("anthropic.claude-3-haiku-20240307-v1:0", ["anthropic.claude-3-haiku-20240307", "anthropic.claude-3-haiku"]),
        ("ft:gpt-4o-2024-08-06:acme::id", ["ft:gpt-4o-2024-08-06", "ft:gpt-4o"]),
        ("gpt-4-32k", []),
        ("gpt-3.5-turbo-1106", []),
        ("llama-3.1-70b", []),
    ],
)
def test_spellings(name: str, others: list[str]) -> None:
    assert list(spellings(name)) == [name, *others]


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "provider"),
    [
        ("openai", None, "x", "openai"),
        ("openai", "https://EU.api.openai.com/v1", "x", "openai"),
        ("openai", "https://acme.openai.azure.com", "x", "azure"),
        ("openai", "https://user:secret@api.groq.com:443/openai/v1", "x", "groq"),
        ("litellm", None, "together_ai/x", "together"),
        ("litellm", "https://europe-west4-aiplatform.googleapis.com", "vertex_ai/x", "vertex_ai"),
        ("litellm", "https://bedrock-runtime.eu-west-1.amazonaws.com", "bedrock/x", "aws"),
        ("litellm", "https://api.deepinfra.com/v1/openai", "openai/x", "deepinfra"),
    ],
)
def test_whose_prices(kind: str, base_url: str | None, model: str, provider: str) -> None:
    assert provider_of(kind, base_url, model) == provider


def test_the_shipped_table_is_sorted_one_line_per_model_and_quick_to_load() -> None:
    lines = newest_table().read_text().splitlines()
    models = [json.loads(line.rstrip(",")) for line in lines[1:-1]]
    names = [(model["provider"], model["model"]) for model in models]
    assert names == sorted(set(names))
    assert len(names) > 3000
    assert all(
        rate is None or isinstance(rate, int) for model in models for rate in (model.get("input"), model.get("output"))
    )
    best_s = min(_load_s() for _ in range(5))
    assert best_s < 0.03


def _load_s() -> float:
    started_s = time.perf_counter()
    PriceTable.load()
    return time.perf_counter() - started_s


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not a price table"),
        (b"[]", "not a price table"),
        (b'{"format":9,"date":"d","unit":"u","sources":{},"models":[]}', "format 9"),
        (
            b'{"format":1,"date":"d","unit":"u","sources":{},"models":[{"provider":"p","model":"m","source":"s","input":1.5}]}',
            "models",
        ),
    ],
)
def test_a_broken_table_is_refused_with_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "prices-x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        PriceTable.load(path)
    assert str(path) in str(raised.value)
