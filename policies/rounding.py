"""How money is rounded wherever it must be: to the nearest whole, halves to the even one, in integers alone.

So the parts of many calls err as often up as down, and nobody's amounts depend on how a machine divides.
"""

from __future__ import annotations


def half_even(numerator: int, denominator: int) -> int:
    """The quotient as a whole number. `denominator` is positive."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest + (whole & 1) > denominator)
