from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai_usage import gone_on_with, read_usage
from adapters.usage_fields import TOKENS_BELIEVED
from policies.usage import Correction, Usage, UsageDetails

REPORTS = {
    "chat": ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, Usage(9, 3)),
    "details": (
        {
            "prompt_tokens": 90,
            "completion_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        Usage(90, 30, 64, 16, 20),
    ),
    "responses": (
        {
            "input_tokens": 90,
            "output_tokens": 30,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens_details": {"reasoning_tokens": 20},
        },
        Usage(90, 30, 64, 0, 20),
    ),
    "embeddings": ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5, 0)),
    "DeepSeek": ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 8}, Usage(9, 3, 8)),
    "Moonshot": ({"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 8}, Usage(9, 3, 8)),
    "cache written": (
        {"prompt_tokens": 9, "completion_tokens": 3, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 5},
        Usage(9, 3, 2, 5),
    ),
    "xAI, reasoning beside the completion": (
        {
            "prompt_tokens": 12,
            "completion_tokens": 50,
            "total_tokens": 92,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        Usage(12, 80, 0, 0, 30),
    ),
    "null details": ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None}, Usage(9, 3)),
    "whole numbers as floats": ({"prompt_tokens": 9.0, "completion_tokens": 3.0}, Usage(9, 3)),
    "output from the total": ({"prompt_tokens": 9, "total_tokens": 12}, Usage(9, 3)),
    "more cached than sent": (
        {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 50}},
        Usage(9, 3, 9, details=UsageDetails(corrected=(Correction.PART_ABOVE_WHOLE,))),
    ),
    "more cached and written than sent": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 1},
        },
        Usage(9, 3, 9, details=UsageDetails(corrected=(Correction.PART_ABOVE_WHOLE,) * 2)),
    ),
    "counts below nothing, and beyond belief": (
        {
            "prompt_tokens": 9,
            "completion_tokens": -3,
            "total_tokens": 12,
            "tokens_per_hour": 10**9,
            "prompt_tokens_details": {"cached_tokens": 10**9, "audio_tokens": "7"},
        },
        Usage(9, 3, details=UsageDetails(corrected=(Correction.NEGATIVE, Correction.TOO_LARGE))),
    ),
    "Google's thoughts below nothing": (
        {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": -1},
        Usage(9, 3, details=UsageDetails(corrected=(Correction.NEGATIVE,))),
    ),
    "bad details": (
        {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": "x"}},
        Usage(9, 3),
    ),
    "null": (None, None),
    "text": ("12", None),
    "a list": ([1], None),
    "empty": ({}, None),
    "explicit zeros": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage()),
    "zeros of a server that counts nothing": ({"prompt_tokens": 0, "total_tokens": 0}, None),
    "Google, thoughts in the total alone": (
        {"prompt_tokens": 66, "completion_tokens": 6, "total_tokens": 100},
        Usage(66, 34, 0, 0, 28),
    ),
    "Google's own names": (
        {
            "promptTokenCount": 1000,
            "toolUsePromptTokenCount": 24,
            "candidatesTokenCount": 10,
            "thoughtsTokenCount": 30,
            "cachedContentTokenCount": 500,
            "totalTokenCount": 1064,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 900}, {"modality": "AUDIO", "tokenCount": 100}],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 7}, 5, {"modality": "IMAGE"}],
        },
        Usage(1024, 40, 500, 0, 30, details=UsageDetails(0, 100, 40, 0, 0, 7)),
    ),
    "Anthropic's own form, caches beside the input": (
        {
            "input_tokens": 5,
            "output_tokens": 7,
            "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 300,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "server_tool_use": {"web_search_requests": 2},
            "service_tier": "priority",
        },
        Usage(1305, 7, 1000, 300, details=UsageDetails(200, searches=2, service="priority")),
    ),
    "caches beside a renamed input": (
        {"prompt_tokens": 5, "completion_tokens": 7, "cache_read_input_tokens": 1000},
        Usage(1005, 7, 1000),
    ),
    "litellm's translation of Anthropic": (
        {
            "prompt_tokens": 1305,
            "completion_tokens": 7,
            "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 300,
            "prompt_tokens_details": {
                "cached_tokens": 1000,
                "cache_creation_tokens": 300,
                "cache_creation_token_details": {"ephemeral_1h_input_tokens": 200},
                "web_search_requests": 1,
            },
        },
        Usage(1305, 7, 1000, 300, details=UsageDetails(200, searches=1)),
    ),
    "audio": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {
                "cached_tokens": 64,
                "audio_tokens": 80,
                "cached_tokens_details": {"audio_tokens": 60},
            },
            "completion_tokens_details": {"audio_tokens": 40, "image_tokens": 3},
        },
        Usage(100, 50, 64, details=UsageDetails(0, 80, 60, 0, 40, 3)),
    ),
    "OpenRouter": (
        {"prompt_tokens": 9, "completion_tokens": 3, "cost": 0.00482, "is_byok": False},
        Usage(9, 3, details=UsageDetails(billed_nanousd=4_820_000)),
    ),
    "OpenRouter with a key of one's own": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "cost": 0.0001,
            "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.002},
        },
        Usage(9, 3, details=UsageDetails(billed_nanousd=2_100_000)),
    ),
    "OpenRouter that does not say what the own key pays": (
        {"prompt_tokens": 9, "completion_tokens": 3, "cost": 0.0001, "is_byok": True},
        Usage(9, 3),
    ),
    "Perplexity": (
        {"prompt_tokens": 9, "completion_tokens": 3, "cost": {"total_cost": 0.005012}, "num_search_queries": 3},
        Usage(9, 3, details=UsageDetails(searches=3, billed_nanousd=5_012_000)),
    ),
    "a bill in another currency": (
        {"prompt_tokens": 9, "completion_tokens": 3, "cost": {"total_cost": 5, "currency": "EUR"}},
        Usage(9, 3),
    ),
    "xAI's ticks": (
        {"prompt_tokens": 9, "completion_tokens": 3, "cost_in_usd_ticks": 94_005},
        Usage(9, 3, details=UsageDetails(billed_nanousd=9_400)),  # half to even
    ),
    "nothing to pay": (
        {"prompt_tokens": 9, "completion_tokens": 3, "cost": 0},
        Usage(9, 3, details=UsageDetails(billed_nanousd=0)),
    ),
    **{
        f"no bill: {cost!r}": ({"prompt_tokens": 9, "completion_tokens": 3, "cost": cost}, Usage(9, 3))
        for cost in (-0.1, 1e300, float("inf"), float("nan"), "0.1", True, [0.1], {"total_cost": "1"}, {})
    },
    "negative": ({"prompt_tokens": -1, "completion_tokens": 3}, None),
    "huge": ({"prompt_tokens": TOKENS_BELIEVED + 1, "completion_tokens": 3}, None),
    "text inside": ({"prompt_tokens": "9", "completion_tokens": "3"}, None),
    "booleans": ({"prompt_tokens": True, "completion_tokens": True}, None),
}


@pytest.mark.parametrize(("report", "usage"), REPORTS.values(), ids=REPORTS)
def test_usage_is_read_as_each_server_means_it(report: object, usage: Usage | None) -> None:
    assert read_usage(report) == usage


NAMES = st.sampled_from(
    ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens",
     "reasoning_tokens", "cache_creation_input_tokens", "prompt_cache_hit_tokens"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2)
FIELDS = st.dictionaries(NAMES, SCALARS)
DETAILS = st.sampled_from(["prompt_tokens_details", "completion_tokens_details", "input_tokens_details"])


@given(FIELDS, st.dictionaries(DETAILS, FIELDS | SCALARS))
def test_whatever_is_reported_usage_is_sane(fields: dict[str, object], details: dict[str, object]) -> None:
    usage = read_usage(fields | details)
    if usage is not None:
        assert 0 <= usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens <= TOKENS_BELIEVED
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens <= 2 * TOKENS_BELIEVED
        assert usage.input_tokens + usage.output_tokens > 0 or usage._replace(details=None) == Usage()


@pytest.mark.parametrize(
    ("service", "expected"),
    [(None, ""), ("default", ""), ("standard", ""), ("auto", ""), ("on_demand", ""), ("Flex", "flex"), (7, ""),
     ("batch", "batch"), ("priority", "priority"), ("a b", "unknown"), ("x" * 33, "unknown"), ("fl\u00e9x", "unknown"),
     ("flex\n", "flex")],
)  # fmt: skip
def test_the_tier_of_service_is_named_as_prices_name_it(service: object, expected: str) -> None:
    usage = read_usage({"prompt_tokens": 9, "completion_tokens": 3}, service)
    assert usage == Usage(9, 3, details=UsageDetails(service=expected) if expected else None)


def test_what_an_answer_looked_up_is_counted_beside_its_usage() -> None:
    usage = read_usage({"input_tokens": 9, "output_tokens": 3}, None, 2)
    assert usage == Usage(9, 3, details=UsageDetails(searches=2))


@pytest.mark.parametrize(
    ("before", "now", "both"),
    [
        (Usage(9, 1, 4), Usage(0, 5, reasoning_tokens=2), Usage(9, 5, 4, 0, 2)),
        (Usage(9, 5), Usage(9, 0, 4), Usage(9, 0, 4)),
        (Usage(9, 5), Usage(8, 4), Usage(8, 4)),
        (Usage(), Usage(8, 4), Usage(8, 4)),
    ],
)
def test_a_prompt_that_a_later_usage_leaves_out_stands(before: Usage, now: Usage, both: Usage) -> None:
    assert gone_on_with(before, now) == both
