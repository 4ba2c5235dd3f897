"""What an attempt cost, as lines that a person adds up by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.usd import usd_text
from policies.adjusting import WHOLE_PPM
from policies.bills import BILLED, REQUEST, SEARCH, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.explaining.attempt_bills import AttemptTold, LineTold, PriceTold, TokensTold

SPACES: Final = "     "
MANY: Final[Mapping[str, str]] = {TOKEN: "tokens", REQUEST: "requests", SEARCH: "searches"}


def told_bill(told: AttemptTold) -> Iterator[str]:
    """Tokens, price, a line for each rate, the sum; and what does not add up."""
    if told.cache is not None:
        yield SPACES + _saved(told)
        return
    if any((told.tokens.input, told.tokens.output, told.cost_nanousd)):
        yield SPACES + _tokens(told.tokens)
    if told.gpu_us is not None:
        yield f"{SPACES}hardware of one's own: {told.gpu_us / 1e6:.6g} GPU seconds"
    if told.cost_nanousd is None:
        is_unpriced = told.unpriced is not None
        yield SPACES + (f"UNPRICED: {told.unpriced}; its cost is not known" if is_unpriced else "nothing was used")
        return
    if told.price is not None:
        yield from _price(told.price)
    yield from _sums(told)
    if told.upstream_nanousd is not None:
        yield f"{SPACES}of which the provider bills {usd_text(told.upstream_nanousd)} USD; the rest is margin"
    for one in told.mismatches:
        yield (
            f"{SPACES}MISMATCH in {one.part}: the ledger has {_nano(one.ledger_nanousd)} USD, "
            f"tokens and rates make {_nano(one.worked_out_nanousd)} USD"
        )


def _nano(nanousd: int | None) -> str:
    return "no amount in" if nanousd is None else usd_text(nanousd)


def _tokens(tokens: TokensTold) -> str:
    parts = {"cached": tokens.cached_input, "written to a cache": tokens.cache_write}
    read = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
    more = f" ({read})" if read else ""
    thought = f" ({tokens.reasoning:,} reasoning)" if tokens.reasoning else ""
    told = f"tokens {tokens.input:,} in{more}, {tokens.output:,} out{thought}"
    return f"{told}; ESTIMATED: nobody reported them" if tokens.estimated else told


def _price(price: PriceTold) -> Iterator[str]:
    about = [f"price {price.id}", f"source {price.source}" if price.source else ""]
    if price.rates_from not in ("", price.source):
        about.append(f"rates of {price.rates_from}")
    about.append(f"version {price.version}" if price.version else "")
    about.append(f"as of {price.as_of}" if price.as_of else "")
    yield SPACES + ", ".join(filter(None, about))
    applied = [
        f"service {price.service}" if price.service else "",
        f"tier above {price.above_input_tokens:,} input tokens" if price.above_input_tokens is not None else "",
        f"discount {price.discount_ppm / 10_000:g}% taken off" if price.discount_ppm else "",
        f"margin {price.margin_ppm / 10_000:g}% put on" if price.margin_ppm else "",
    ]
    if any(applied):
        yield f"{SPACES}rates are as charged: {', '.join(filter(None, applied))}"


def _sums(told: AttemptTold) -> Iterator[str]:
    """Lines are exact; a component is rounded once, half to even, to a billionth of a dollar."""
    rows = [(line.what.replace("_", " "), _times(line), line.usd, line.component) for line in told.lines]
    if not rows:
        rows = [(name.replace("_", " "), "", usd_text(amount), name) for name, amount in told.components.items()]
    counts = max((len(times) for _, times, _, _ in rows), default=0)
    whole = usd_text(told.cost_nanousd or 0)
    width = max(_whole(amount) for amount in (whole, *(amount for _, _, amount, _ in rows)))
    for at, (what, times, amount, component) in enumerate(rows):
        yield f"{SPACES}  {what:<14} {times:<{counts}} = {_aligned(amount, width)} USD"
        is_last = at + 1 == len(rows) or rows[at + 1][3] != component
        if is_last and component in (rounded := _rounded(told)):
            yield f"{SPACES}  {'':<14} {'rounded':>{counts}} = {_aligned(rounded[component], width)} USD"
    yield f"{SPACES}  {'sum':<14} {'':<{counts}} = {_aligned(whole, width)} USD"


def _aligned(amount: str, width: int) -> str:
    """With its decimal point under the others'."""
    return " " * (width - _whole(amount)) + amount


def _whole(amount: str) -> int:
    return len(amount.partition(".")[0])


def _rounded(told: AttemptTold) -> dict[str, str]:
    """Components whose lines do not come to a whole number of nano-USD, as the ledger has them."""
    has_rest = {line.component for line in told.lines if len(line.usd.partition(".")[2]) > 9}
    return {name: usd_text(told.components.get(name, 0)) for name in has_rest}


def _times(line: LineTold) -> str:
    if line.unit == BILLED:
        margin = line.quantity - WHOLE_PPM
        said = f"{usd_text(line.rate_nanousd)} USD, says the provider"
        return f"{said}, x {line.quantity / WHOLE_PPM:g}" if margin else said
    per = "M tokens" if line.unit == TOKEN else line.unit
    unit = line.unit if line.quantity == 1 else MANY[line.unit]
    return f"{line.quantity:,} {unit} x {usd_text(line.rate_nanousd)} USD/{per}"


def _saved(told: AttemptTold) -> str:
    cost = "" if told.saved_nanousd is None else f"{usd_text(told.saved_nanousd)} USD"
    tokens = "" if told.saved_tokens is None else f"{told.saved_tokens:,} tokens"
    saved = " and ".join(filter(None, (cost, tokens))) or "an unknown amount"
    return f"from the cache ({told.cache}): it cost nothing, and saved {saved}"
