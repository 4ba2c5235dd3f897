"""Attempts as lines of FOCUS 1.2, the FinOps Foundation's columns for cost and usage (focus.finops.org, May 2025).

An attempt makes one line per kind of token that it used, and one for what it paid as a request and for tools: FOCUS
knows one quantity and one unit price a line. An answer
from a cache makes one line that cost nothing, of one request; what it saved stands in columns of ours. The line's
sub-account is the team, its billing account the org, and its tags name key, user, route and the key's own tags.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.ledger.schema import FROM_CACHE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.state.ledger.schema import LedgerRow

_NANO: Final = Decimal(10) ** 9
_MILLION: Final = Decimal(10) ** 6
_PLACES: Final = Decimal(10) ** -15

# In the order of the specification's index: what it demands, and what applies to us of the rest; then what is ours.
FOCUS_COLUMNS: Final = {
    "BilledCost": "decimal",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingAccountType": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "time",
    "BillingPeriodStart": "time",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "time",
    "ChargePeriodStart": "time",
    "ConsumedQuantity": "decimal",
    "ConsumedUnit": "text",
    "ContractedCost": "decimal",
    "ContractedUnitPrice": "decimal",
    "EffectiveCost": "decimal",
    "InvoiceIssuerName": "text",
    "ListCost": "decimal",
    "ListUnitPrice": "decimal",
    "PricingCategory": "text",
    "PricingQuantity": "decimal",
    "PricingUnit": "text",
    "ProviderName": "text",
    "PublisherName": "text",
    "ResourceId": "text",
    "ResourceName": "text",
    "ResourceType": "text",
    "ServiceCategory": "text",
    "ServiceName": "text",
    "ServiceSubcategory": "text",
    "SkuId": "text",
    "SkuMeter": "text",
    "SkuPriceId": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "SubAccountType": "text",
    "Tags": "text",
    "x_RequestId": "text",
    "x_Attempt": "number",
    "x_Estimated": "number",
    "x_UnpricedReason": "text",
    "x_CacheLevel": "text",
    "x_SavedCost": "decimal",
    "x_SavedTokens": "number",
    "x_UpstreamCost": "decimal",
    "x_ServiceTier": "text",
    "x_UsageDetails": "text",
    "x_GpuSeconds": "decimal",
}
CACHED: Final = "Cached Answer"
REQUESTS: Final = "Requests"
TOOLS: Final = "Tool Calls"


_ONE: Final = Decimal(1)
_REQUEST: Final[dict[str, object]] = {
    **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), _ONE),
    **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Requests"),
    **dict.fromkeys(("ContractedUnitPrice", "ListUnitPrice"), Decimal(0).quantize(_PLACES)),
}
_NOTHING: Final[dict[str, object]] = {}


class Part(NamedTuple):
    """One kind of token of an attempt; `cost_nanousd` None where it has no price."""

    meter: str
    tokens: int
    cost_nanousd: int | None


def focus_lines(row: LedgerRow) -> Iterator[tuple[object, ...]]:
    """The lines of one attempt, none for one that used no tokens and cost nothing. A cache's answer has one."""
    if row.attempt == FROM_CACHE:
        yield tuple(_line(row, Part(CACHED, 0, 0), _REQUEST).values())
        return
    whole = _of_attempt(row)
    for part in parts(row):
        if part.tokens or part.cost_nanousd:
            yield tuple(_line(row, part, _counted(row, part) | whole).values())
            whole = _NOTHING  # stands once, so that columns add up


def parts(row: LedgerRow) -> tuple[Part, ...]:
    """What an attempt used, each token in one part: the row's input includes what was cached or written to a cache.
    What is paid for by the piece has no tokens.
    """
    fresh = max(0, row.input_tokens - row.cached_input_tokens - row.cache_write_tokens)
    return (
        Part("Input Tokens", fresh, row.input_nanousd),
        Part("Cached Input Tokens", row.cached_input_tokens, row.cached_input_nanousd),
        Part("Cache Write Tokens", row.cache_write_tokens, row.cache_write_nanousd),
        Part("Output Tokens", row.output_tokens, row.output_nanousd),
        Part(REQUESTS, 0, row.request_nanousd),
        Part(TOOLS, 0, row.tool_nanousd),
    )


def _of_attempt(row: LedgerRow) -> dict[str, object]:
    gpu_s = None if row.gpu_us is None else (Decimal(row.gpu_us) / _MILLION).quantize(_PLACES)
    return {"x_UpstreamCost": _usd(row.upstream_nanousd), "x_GpuSeconds": gpu_s}


def _counted(row: LedgerRow, part: Part) -> dict[str, object]:
    """What is paid for by the piece, and no tokens: the request as such, and what it looked up."""
    if part.meter not in (REQUESTS, TOOLS):
        return _NOTHING
    pieces = Decimal(_searches(row) if part.meter == TOOLS else 1)
    price = (Decimal(part.cost_nanousd or 0) / _NANO / pieces).quantize(_PLACES)
    return {
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), pieces),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), part.meter),
        **dict.fromkeys(("ContractedUnitPrice", "ListUnitPrice"), price),
    }


def _searches(row: LedgerRow) -> int:
    try:
        details = json.loads(row.usage_details or "{}")
    except ValueError:
        return 1
    searches = details.get("searches") if isinstance(details, dict) else None
    return searches if isinstance(searches, int) and searches > 0 else 1


def _line(row: LedgerRow, part: Part, instead: dict[str, object] = _NOTHING) -> dict[str, object]:
    told = _costs(part) | _period(row) | _place(row, part) | _owner(row) | instead
    return {name: told[name] for name in FOCUS_COLUMNS}


def _costs(part: Part) -> dict[str, object]:
    """The gateway knows of no discount, so all four costs are one. What has no price costs 0, and ours say why.

    Unit prices are the cost over the quantity, to fifteen places: with the rounding that the cost has.
    """
    cost = (Decimal(part.cost_nanousd or 0) / _NANO).quantize(_PLACES)
    millions = (Decimal(part.tokens) / _MILLION).quantize(_PLACES)
    price = (cost / millions).quantize(_PLACES) if part.cost_nanousd is not None and part.tokens else None
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        **dict.fromkeys(("ContractedUnitPrice", "ListUnitPrice"), price),
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": Decimal(part.tokens),
        "ConsumedUnit": "Tokens",
        "PricingCategory": "Standard",
        "PricingQuantity": millions,
        "PricingUnit": "1000000 Tokens",
    }


def _period(row: LedgerRow) -> dict[str, object]:
    """Whole seconds around the attempt, and the calendar month in UTC that it began in; ends are exclusive."""
    start_s = row.started_at_ms // 1000
    end_s = max(start_s + 1, -(-(row.started_at_ms + row.duration_ms) // 1000))
    start = datetime.fromtimestamp(start_s, UTC)
    month = start.replace(day=1, hour=0, minute=0, second=0)
    return {
        "ChargePeriodStart": start,
        "ChargePeriodEnd": datetime.fromtimestamp(end_s, UTC),
        "BillingPeriodStart": month,
        "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
    }


def _place(row: LedgerRow, part: Part) -> dict[str, object]:
    return {
        **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), row.provider),
        **dict.fromkeys(("ResourceId", "ResourceName"), row.deployment),
        "ResourceType": "Deployment",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": f"{row.provider} inference",
        "ChargeDescription": f"{part.meter} of {row.model} at {row.deployment}",
        "SkuId": f"{row.model}/{part.meter}",
        "SkuMeter": part.meter,
        "SkuPriceId": f"{row.price_id}/{part.meter}" if row.price_id is not None else None,
    }


def _owner(row: LedgerRow) -> dict[str, object]:
    org = row.org or "default"
    return {
        "BillingAccountId": org,
        "BillingAccountName": org,
        "BillingAccountType": "Organization",
        "SubAccountId": row.team,
        "SubAccountName": row.team,
        "SubAccountType": "Team" if row.team is not None else None,
        "Tags": json.dumps(_tags(row), ensure_ascii=False),
        "x_RequestId": row.request_id,
        "x_Attempt": row.attempt,
        "x_Estimated": row.estimated,
        "x_UnpricedReason": row.unpriced_reason,
        "x_CacheLevel": row.cache_level,
        "x_SavedCost": _usd(row.saved_nanousd),
        "x_SavedTokens": row.saved_tokens,
        "x_UpstreamCost": None,
        "x_ServiceTier": row.service,
        "x_UsageDetails": row.usage_details,
        "x_GpuSeconds": None,
    }


def _usd(nanousd: int | None) -> Decimal | None:
    return None if nanousd is None else (Decimal(nanousd) / _NANO).quantize(_PLACES)


def _tags(row: LedgerRow) -> dict[str, object]:
    """`name=value` is a pair, another tag is one without a value, which FOCUS writes as true."""
    tags: dict[str, object] = {}
    for tag in json.loads(row.tags) if row.tags is not None else ():
        name, is_pair, value = str(tag).partition("=")
        tags[name] = value if is_pair else True
    owners = {"key": row.key_name or row.key_id, "user": row.user, "route": row.route}
    return tags | {f"pointsman:{name}": owner for name, owner in owners.items() if owner is not None}
