from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai_usage import TOKENS_BELIEVED, read_usage
from policies.vocabulary import Usage

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
        Usage(9, 3, 9),
    ),
    "bad details": (
        {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": "x"}},
        Usage(9, 3),
    ),
    "null": (None, None),
    "text": ("12", None),
    "a list": ([1], None),
    "empty": ({}, None),
    "zeros": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
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
        assert usage.input_tokens + usage.output_tokens > 0
