"""Amounts in USD as decimal numbers: exact, and without zeros that say nothing."""

from __future__ import annotations

from typing import Final

from policies.bills import FEMTO_PER_NANO

NANO: Final = 1_000_000_000
_FEMTO: Final = NANO * FEMTO_PER_NANO


def usd_text(nanousd: int) -> str:
    """`0.00123`."""
    if 0 < nanousd < NANO:  # what nearly every answer's header says
        return f"0.{nanousd:09d}".rstrip("0")
    if nanousd < 0:
        return f"-{usd_text(-nanousd)}"
    whole, rest = divmod(nanousd, NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def usd_text_of_femto(femtousd: int) -> str:
    """The same of a part of an amount, before it is rounded to nano-USD."""
    if femtousd < 0:
        return f"-{usd_text_of_femto(-femtousd)}"
    whole, rest = divmod(femtousd, _FEMTO)
    return f"{whole}.{rest:015d}".rstrip("0").rstrip(".")
