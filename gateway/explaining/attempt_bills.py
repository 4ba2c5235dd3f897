"""One attempt as the ledger has it, its cost taken apart and worked out anew: where that differs, both are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.usd import usd_text_of_femto
from policies.bills import Bill, bill_of
from policies.tariffs import COMPONENTS
from policies.usage import Usage, UsageDetails

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.state.ledger.schema import LedgerRow
    from policies.bills import BillLine
    from policies.tariffs import Price


class TokensTold(Struct, omit_defaults=True):
    """Inclusive, as the ledger counts: input holds what was cached and written to a cache, output holds reasoning.
    `details` are counts that few answers have.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False
    details: dict[str, int] = {}


class LineTold(Struct):
    """`quantity` times `rate_nanousd` by `per` is `usd`, exactly. Of a unit `billed`, the rate is what the provider
    says that it bills, and the quantity what a margin makes of it, in millionths.
    """

    component: str
    what: str
    quantity: int
    unit: str
    rate_nanousd: int
    per: int
    usd: str


class PriceTold(Struct, omit_defaults=True):
    """Where the rates come from; all of them are as charged, the discount off and the margin on. `source` is the
    amount's, `estimated` where nobody reported the tokens; `rates_from` that of the rates. `is_known`: what it is made
    of is known.
    """

    id: str
    source: str = ""
    rates_from: str = ""
    version: str = ""
    as_of: str = ""
    discount_ppm: int = 0
    margin_ppm: int = 0
    service: str = ""
    above_input_tokens: int | None = None
    is_known: bool = True


class Mismatch(Struct):
    """A part of the ledger's cost that the usage and the price do not come to; null for what has none."""

    part: str
    ledger_nanousd: int | None
    worked_out_nanousd: int | None


class AttemptTold(Struct, omit_defaults=True):
    """Attempt 0 is an answer from a cache. `after_ms` is since the first attempt began. `cost_nanousd` is null, with
    `unpriced` saying why, where nobody knows it, and without where nothing was used. `lines` add up to the cost.
    """

    attempt: int
    deployment: str
    provider: str
    model: str
    outcome: str
    status: int = 0
    error: str | None = None
    after_ms: int = 0
    ttft_ms: int | None = None
    duration_ms: int = 0
    tokens: TokensTold = msgspec.field(default_factory=TokensTold)
    cost_nanousd: int | None = None
    components: dict[str, int] = {}
    upstream_nanousd: int | None = None
    unpriced: str | None = None
    price: PriceTold | None = None
    lines: list[LineTold] = []
    mismatches: list[Mismatch] = []
    gpu_us: int | None = None
    engine_ms: int | None = None
    cache: str | None = None
    saved_nanousd: int | None = None
    saved_tokens: int | None = None


def attempt_told(row: LedgerRow, first_ms: int, prices: Mapping[str, Price]) -> AttemptTold:
    """`prices` are those by which it may have been charged, by id."""
    usage = usage_of(row)
    price = None if row.price_id is None else prices.get(row.price_id)
    bill = None if price is None else bill_of(usage, price)
    found = bill if isinstance(bill, Bill) else None
    return AttemptTold(
        attempt=row.attempt,
        deployment=row.deployment,
        provider=row.provider,
        model=row.model,
        outcome=row.outcome,
        status=row.status,
        error=row.error_code,
        after_ms=max(0, row.started_at_ms - first_ms),
        ttft_ms=row.ttft_ms,
        duration_ms=row.duration_ms,
        tokens=_tokens(usage),
        cost_nanousd=row.cost_nanousd,
        components=_components(row),
        upstream_nanousd=row.upstream_nanousd,
        unpriced=row.unpriced_reason,
        price=None if row.price_id is None else _price(row, price, found),
        lines=[] if found is None else [_line(line) for line in found.lines],
        mismatches=[] if price is None else _mismatches(row, found),
        gpu_us=row.gpu_us,
        engine_ms=row.engine_ms,
        cache=row.cache_level,
        saved_nanousd=row.saved_nanousd,
        saved_tokens=row.saved_tokens,
    )


def usage_of(row: LedgerRow) -> Usage:
    """As it was charged; details that cannot be read are none."""
    return Usage(
        row.input_tokens,
        row.output_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
        bool(row.estimated),
        _details(row),
    )


def _details(row: LedgerRow) -> UsageDetails | None:
    if row.service is None and row.usage_details is None:
        return None
    try:
        told: Any = {} if row.usage_details is None else msgspec.json.decode(row.usage_details, type=dict[str, int])
        return UsageDetails(**told)._replace(service=row.service or "")
    except (msgspec.MsgspecError, TypeError):
        return UsageDetails(service=row.service or "")


def _tokens(usage: Usage) -> TokensTold:
    details = {} if usage.details is None else usage.details._asdict()
    counts = {name: count for name, count in details.items() if name not in ("service", "billed_nanousd") and count}
    return TokensTold(
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.estimated,
        counts,
    )


def _price(row: LedgerRow, price: Price | None, bill: Bill | None) -> PriceTold:
    as_of, service = row.price_as_of or "", row.service or ""
    told = PriceTold(row.price_id or "", row.price_source or "", as_of=as_of, service=service)
    if price is None:
        told.is_known = False
        return told
    told.version, told.rates_from = price.version, price.source
    if price.adjusted is not None:
        told.discount_ppm, told.margin_ppm = price.adjusted
    if bill is not None:
        told.service, told.above_input_tokens = bill.service, bill.above_input_tokens
    return told


def _line(line: BillLine) -> LineTold:
    amount = usd_text_of_femto(line.amount_femtousd)
    return LineTold(line.component, line.what, line.quantity, line.unit, line.rate_nanousd, line.per, amount)


def _components(row: LedgerRow) -> dict[str, int]:
    return {name: value for name in COMPONENTS if (value := getattr(row, f"{name}_nanousd"))}


def _mismatches(row: LedgerRow, bill: Bill | None) -> list[Mismatch]:
    """Rows of before a cost had parts are held to their total."""
    if bill is None:
        return [Mismatch("total", row.cost_nanousd, None)]
    worked_out, found = bill.components, []
    if row.input_nanousd is not None:
        for name in COMPONENTS:
            ledger, anew = getattr(row, f"{name}_nanousd") or 0, worked_out.get(name, 0)
            if ledger != anew:
                found.append(Mismatch(name, ledger, anew))
    if row.cost_nanousd != bill.total_nanousd:
        found.append(Mismatch("total", row.cost_nanousd, bill.total_nanousd))
    if row.upstream_nanousd != bill.upstream_nanousd and row.request_nanousd is not None:
        found.append(Mismatch("upstream", row.upstream_nanousd, bill.upstream_nanousd))
    return found
