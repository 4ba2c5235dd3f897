"""What an attempt's cost is made of, line by line, so that it can be added up by hand: so much, at this rate, is that.

A line is exact; each component is the sum of its lines rounded half to even to whole nano-USD, and the total is the sum
of the components, as `policies.pricing` has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.adjusting import WHOLE_PPM
from policies.pricing import RATE_UNIT_TOKENS, Unpriced, UnpricedReason, components_of, cost_of
from policies.rates import NO_RARE, applied
from policies.rounding import half_even
from policies.usage import Cost

if TYPE_CHECKING:
    from policies.rates import Applied
    from policies.tariffs import Price
    from policies.usage import Usage

TOKEN: Final = "token"  # noqa: S105 - what is counted
REQUEST: Final = "request"
SEARCH: Final = "search"
BILLED: Final = "billed"
"""The amount that the provider names, times what a margin makes of it."""
FEMTO_PER_NANO: Final = 1_000_000
_COMPONENTS: Final = (
    ("input", ("input", "input_audio", "input_image")),
    ("cached_input", ("cached_input", "cached_audio")),
    ("cache_write", ("cache_write", "cache_write_1h")),
    ("output", ("output", "reasoning", "output_audio", "output_image")),
)


class BillLine(NamedTuple):
    """`quantity` of a `unit` at a rate for `per` of them. `what` tells the lines of one component apart."""

    component: str
    what: str
    quantity: int
    rate_nanousd: int
    unit: str = TOKEN
    per: int = RATE_UNIT_TOKENS

    @property
    def amount_femtousd(self) -> int:
        """Exactly: no rate has a finer part."""
        return self.quantity * self.rate_nanousd * (FEMTO_PER_NANO // self.per)


class Bill(NamedTuple):
    """The lines, and where their rates stand in the price: in a tariff of a service, in a tier of long prompts."""

    lines: tuple[BillLine, ...]
    service: str = ""
    above_input_tokens: int | None = None
    upstream_nanousd: int | None = None

    @property
    def components(self) -> dict[str, int]:
        """In nano-USD; those without a line are left out."""
        sums: dict[str, int] = {}
        for line in self.lines:
            sums[line.component] = sums.get(line.component, 0) + line.amount_femtousd
        return {name: half_even(femtousd, FEMTO_PER_NANO) for name, femtousd in sums.items()}

    @property
    def total_nanousd(self) -> int:
        return sum(self.components.values())


def bill_of(usage: Usage, price: Price | None) -> Bill | Unpriced:
    """What `usage` costs at the price that was in force for it; lines of nothing are left out."""
    details = usage.details
    if details is not None and details.billed_nanousd is not None:
        return _as_billed(details.billed_nanousd, price)
    if price is None:
        return Unpriced(UnpricedReason.NO_PRICE)
    found = applied(price, usage)
    if found is None:
        return Unpriced(UnpricedReason.NO_SERVICE_RATE)
    lines = _token_lines(usage, found)
    if isinstance(lines, Unpriced):
        return lines
    rare = found.rates.rare or NO_RARE
    if rare.request_nanousd is not None:
        lines.append(BillLine(REQUEST, REQUEST, 1, rare.request_nanousd, REQUEST, 1))
    if details is not None and details.searches:
        if rare.search_nanousd is None:
            return Unpriced(UnpricedReason.NO_SEARCH_RATE)
        lines.append(BillLine("tool", SEARCH, details.searches, rare.search_nanousd, SEARCH, 1))
    upstream = None if price.upstream is None else cost_of(usage, price.upstream)
    upstream_nanousd = upstream.total_nanousd if isinstance(upstream, Cost) else None
    return Bill(tuple(lines), "" if details is None else details.service, found.above_input_tokens, upstream_nanousd)


def _as_billed(billed_nanousd: int, price: Price | None) -> Bill:
    margin_ppm = price.adjusted.margin_ppm if price is not None and price.adjusted is not None else 0
    line = BillLine(REQUEST, BILLED, WHOLE_PPM + margin_ppm, billed_nanousd, BILLED, WHOLE_PPM)
    return Bill((line,), upstream_nanousd=billed_nanousd if margin_ppm else None)


def _token_lines(usage: Usage, found: Applied) -> list[BillLine] | Unpriced:
    lines: list[BillLine] = []
    for (component, names), buckets in zip(_COMPONENTS, components_of(usage, found.rates), strict=True):
        for what, (tokens, rate, missing) in zip(names, buckets, strict=True):
            if tokens and rate is None:
                return Unpriced(missing)
            if tokens:
                lines.append(BillLine(component, what, tokens, rate or 0))
    return lines
