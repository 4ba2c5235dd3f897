"""What few answers report: tokens that are no text, how long a cache shall hold, the tier of service, searches, a bill.

Whose words these are: OpenAI's `*_tokens_details` and `service_tier`; Anthropic's `cache_creation` and
`server_tool_use`; what litellm makes of both; bills of OpenRouter (`cost` in USD, and beside it, for a key of the
caller's own, what that key pays), Perplexity (`cost.total_cost`), xAI (`cost_in_usd_ticks`) and of another Pointsman
(`cost`). Formats read 2026-11.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from adapters.usage_fields import count, details_in, first
from policies.usage import UsageDetails

STANDARD: Final = frozenset(("default", "standard", "auto", "on_demand", ""))
"""Names of the service that prices are published for."""
UNREADABLE: Final = "unknown"
TICKS_PER_NANOUSD: Final = 10
_READABLE: Final = re.compile(r"[a-z0-9_-]{1,32}\Z").match
_NANO: Final = 1_000_000_000
_BELIEVED_USD: Final = 10_000
_NONE: Final = UsageDetails()


def read_details(value: dict[str, object], service: object, searches: int) -> UsageDetails | None:
    """None where there is nothing of the kind. `service` is what the answer names beside its usage."""
    read = details_in(value, "prompt_tokens_details", "input_tokens_details")
    written = details_in(value, "completion_tokens_details", "output_tokens_details")
    found = UsageDetails(
        _written_for_an_hour(value, read),
        count(read.get("audio_tokens")) or 0,
        count(details_in(read, "cached_tokens_details").get("audio_tokens")) or 0,
        count(read.get("image_tokens")) or 0,
        count(written.get("audio_tokens")) or 0,
        count(written.get("image_tokens")) or 0,
        searches or _searches(value, read),
        service_of(service) or service_of(value.get("service_tier")),
        _billed(value),
    )
    return found if found != _NONE else None


def service_of(value: object) -> str:
    """A tier of service as prices name it, "" for the standard one. What cannot be read has no price, and is not it."""
    if not isinstance(value, str):
        return ""
    name = value.strip().lower()
    if name in STANDARD:
        return ""
    return name if _READABLE(name) else UNREADABLE


def _written_for_an_hour(value: dict[str, object], read: dict[str, object]) -> int:
    for made in (details_in(value, "cache_creation"), details_in(read, "cache_creation_token_details")):
        if found := first(made, "ephemeral_1h_input_tokens"):
            return found
    return 0


def _searches(value: dict[str, object], read: dict[str, object]) -> int:
    for one in (details_in(value, "server_tool_use"), read, details_in(value, "server_side_tool_usage_details")):
        if found := first(one, "web_search_requests", "web_search_calls"):
            return found
    return first(value, "num_search_queries") or 0


def _billed(value: dict[str, object]) -> int | None:
    """What the provider says that it bills, in nano-USD."""
    ticks = value.get("cost_in_usd_ticks")
    if type(ticks) is int and 0 <= ticks <= _BELIEVED_USD * _NANO * TICKS_PER_NANOUSD:
        return round(Fraction(ticks, TICKS_PER_NANOUSD))
    cost = value.get("cost")
    if isinstance(cost, dict):
        return _nanousd(cost.get("total_cost")) if cost.get("currency", "USD") == "USD" else None
    charged = _nanousd(cost)
    if charged is None or value.get("is_byok") is not True:
        return charged
    theirs = _nanousd(details_in(value, "cost_details").get("upstream_inference_cost"))
    return None if theirs is None else charged + theirs


def _nanousd(usd: object) -> int | None:
    if isinstance(usd, bool) or not isinstance(usd, int | float):
        return None
    return round(usd * _NANO) if 0 <= usd <= _BELIEVED_USD else None  # no NaN is within anything
