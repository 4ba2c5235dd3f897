"""Whose the engine's time is: each call's duration is shared among those that it served, by tokens.

That is processor sharing: a request that ran alone has all of the time, and one that shared its steps with fifteen
others a sixteenth of each. The shares of all requests add up to the time that the engine computed, to the nanosecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def shares_ns(duration_ns: int, tokens: Sequence[int]) -> list[int]:
    """The part of each, for so many tokens of each; equal parts where nobody had any."""
    total = sum(tokens)
    if not total:
        tokens, total = [1] * len(tokens), len(tokens)
    parts, reached, given_ns = [], 0, 0
    for count in tokens:
        reached += count
        until_ns = duration_ns * reached // total
        parts.append(until_ns - given_ns)
        given_ns = until_ns
    return parts
