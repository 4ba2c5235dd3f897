"""What reading somebody else's price file has in common: names and rates are theirs, and may be anything."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.prices.lines import NAME_CHARS_MAX, NANO, usd
from gateway.scrubbing import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.prices.lines import Line

RATE_MAX_USD: Final = 10_000
"""Per million tokens, or for one request. The dearest that was ever published is below a tenth of it."""
LACKS_MAX: Final = 12
_KEY: Final = re.compile(r"[a-z0-9_]{1,60}")


class Found(NamedTuple):
    """By provider: lines by model, and models by what else they are called."""

    models: dict[str, dict[str, tuple[Line, ...]]]
    aliases: dict[str, dict[str, str]]


def rate(value: object, what: str, divided_by: int = 1, times: int = 1) -> Decimal:
    """A rate in USD, whole in nano-USD. Raises `ValueError` for what is negative, absurd or no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{printable(what)} is no number")  # noqa: TRY004 - all that is wrong with a file is one kind of error
    amount = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{printable(what)} is negative or no amount: {amount:.12}")
    # Compared before it is multiplied, as the exponent may be anything.
    if amount > RATE_MAX_USD * divided_by:
        raise ValueError(f"{printable(what)} is absurd: {amount:.6e} USD")
    exact = amount * times / divided_by
    if exact > RATE_MAX_USD:
        raise ValueError(f"{printable(what)} is absurd: {exact:.6} USD, and {RATE_MAX_USD:,} is the most")
    return usd(round(exact * NANO))


def text(value: object, what: str) -> str:
    """A name of a provider or a model. Raises `ValueError`."""
    good = isinstance(value, str) and 0 < len(value) <= NAME_CHARS_MAX and value.isprintable()
    if not good:
        raise ValueError(f"{printable(what)} is not a name of 1 to {NAME_CHARS_MAX} printable characters")
    return str(value)


def lacking(keys: Iterable[str]) -> tuple[str, ...]:
    """What is charged for that no line can hold, in the words of who said it."""
    return tuple(sorted(key for key in keys if _KEY.fullmatch(key)))[:LACKS_MAX]
