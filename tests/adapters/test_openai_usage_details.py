from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai_usage_details import read_details, service_of
from policies.usage import UsageDetails
from policies.usage_parts import BILLED_MAX_NANOUSD

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = (
    "prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "cache_creation", "server_tool_use",
    "audio_tokens", "image_tokens", "cached_tokens_details", "ephemeral_1h_input_tokens", "web_search_requests", "cost",
    "total_cost", "cost_details", "upstream_inference_cost", "is_byok", "cost_in_usd_ticks", "service_tier",
)  # fmt: skip
NAMES = st.sampled_from(MEMBERS)
INNER = st.dictionaries(NAMES, JSON, max_size=4)


@given(st.dictionaries(NAMES, JSON | INNER | st.dictionaries(NAMES, INNER, max_size=2)), JSON)
def test_whatever_is_reported_no_detail_is_absurd(fields: dict[str, object], service: object) -> None:
    details = read_details(fields, service, 0)
    if details is not None:
        assert details != UsageDetails()
        assert all(part >= 0 for part in details[:7])
        assert details.billed_nanousd is None or 0 <= details.billed_nanousd <= BILLED_MAX_NANOUSD
        assert len(details.service) <= 32


@pytest.mark.parametrize("cost", [10**400, 10**19, -(10**400), float("nan"), float("inf"), 1e308, -1, True])
def test_a_bill_that_no_one_can_owe_is_none(cost: object) -> None:
    """JSON has integers that no float can hold."""
    told: tuple[dict[str, object], ...] = (
        {"cost": cost},
        {"cost": {"total_cost": cost}},
        {"cost": 0.5, "is_byok": True, "cost_details": {"upstream_inference_cost": cost}},
        {"cost_in_usd_ticks": cost if cost != 1e308 else 10**300},
    )
    assert [read_details(fields, None, 0) for fields in told] == [None] * 4


@given(JSON)
def test_a_tier_of_service_is_a_short_word(value: object) -> None:
    name = service_of(value)
    assert name == "" or (name.isascii() and name == name.lower() and not set(name) & set(" \n\"'{}"))
