from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.prices.from_litellm import found_in, line_of, looks_like, name_of
from gateway.prices.lines import Above, Line, Service


def per_token(usd_per_million: str) -> Decimal:
    return Decimal(usd_per_million) / 1_000_000


def test_a_key_says_what_a_rate_is_for() -> None:
    entry = {
        "input_cost_per_token": per_token("4"),
        "output_cost_per_token": per_token("20"),
        "cache_creation_input_token_cost_above_1hr": per_token("8"),
        "input_cost_per_token_above_272k_tokens": per_token("8"),
        "cache_creation_input_token_cost_above_1hr_above_272k_tokens": per_token("16"),
        "input_cost_per_token_priority": per_token("9"),
        "output_cost_per_token_priority": per_token("40"),
        "input_cost_per_token_above_272k_tokens_priority": per_token("18"),
        "input_cost_per_token_batches": per_token("2"),
        "output_cost_per_reasoning_token": per_token("20"),
        "output_cost_per_audio_token": per_token("80"),
        "input_cost_per_image_token": per_token("4"),
        "search_context_cost_per_query": {
            "search_context_size_low": Decimal("0.03"),
            "search_context_size_medium": Decimal("0.035"),
        },
        "input_cost_per_image": Decimal("0.1"),
        "input_cost_per_token_decisions": 5,
        "output_cost_per_second": 0,
        "max_tokens": 5,
    }
    assert line_of("m", entry) == Line(
        source="litellm",
        input=Decimal(4),
        output=Decimal(20),
        cache_write_1h=Decimal(8),
        output_audio=Decimal(80),
        search=Decimal("0.035"),
        above=(Above(tokens=272_000, input=Decimal(8), cache_write_1h=Decimal(16)),),
        services={
            "batch": Service(input=Decimal(2)),
            "priority": Service(
                input=Decimal(9), output=Decimal(40), above=(Above(tokens=272_000, input=Decimal(18)),)
            ),
        },
        lacks=("input_cost_per_image", "input_cost_per_token_decisions"),
    )


def test_a_ranking_costs_by_the_request() -> None:
    line = line_of(
        "rerank", {"input_cost_per_query": Decimal("0.002"), "input_cost_per_token": 0, "output_cost_per_token": 0}
    )
    assert line is not None
    assert (line.request, line.input, line.output) == (Decimal("0.002"), Decimal(0), Decimal(0))


@pytest.mark.parametrize(
    "entry", [{}, {"input_cost_per_token": 0, "output_cost_per_token": 0}, {"input_cost_per_token": None}]
)
def test_zero_throughout_stands_for_an_unknown_price(entry: dict[str, Any]) -> None:
    assert line_of("m", entry) is None


@pytest.mark.parametrize(
    ("key", "provider", "named"),
    [
        ("gpt-4o", "openai", ("openai", "gpt-4o")),
        ("vertex_ai/claude", "vertex_ai-anthropic_models", ("vertex_ai", "claude")),
        ("bedrock/us/nova", "bedrock_converse", ("aws", "us/nova")),
        ("xai/grok-4", "xai", ("x-ai", "grok-4")),
    ],
)
def test_models_are_listed_without_litellms_prefix(key: str, provider: str, named: tuple[str, str]) -> None:
    assert name_of(key, provider) == named


def test_only_what_is_paid_by_token_or_request_is_taken() -> None:
    entry = {"litellm_provider": "made-up", "input_cost_per_token": per_token("1")}
    modes = {f"made-up/{mode}": entry | {"mode": mode} for mode in ("chat", "embedding", "image_generation")}
    found = found_in({**modes, "sample_spec": entry | {"mode": "chat"}, "other": 5, "untold": entry})
    assert list(found.models["made-up"]) == ["chat", "embedding"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"input_cost_per_token": -1}, "m: input_cost_per_token is negative"),
        ({"input_cost_per_token": 1}, "m: input_cost_per_token is absurd"),
        ({"input_cost_per_token": "1"}, "m: input_cost_per_token is no number"),
        (
            {"search_context_cost_per_query": {"search_context_size_medium": "x"}},
            "search_context_cost_per_query is no number",
        ),
        ({"litellm_provider": 5}, "m: provider is not a name"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found_in({"m": {"mode": "chat", "litellm_provider": "p", **entry}})


@pytest.mark.parametrize(
    ("document", "is_like"), [({"m": {"litellm_provider": "p"}}, True), ({}, False), ({"m": 5}, False), ([], False)]
)
def test_it_is_known_by_its_shape(document: object, is_like: bool) -> None:  # noqa: FBT001 - a table's column
    assert looks_like(document) is is_like
