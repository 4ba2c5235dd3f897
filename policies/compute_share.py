"""Whose the engine's time is: each call's duration is shared among those that it served, by tokens.

That is processor sharing: a request that ran alone has all of the time, and one that shared its steps with fifteen
others a sixteenth of each. The shares of all requests add up to the time that the engine computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def shares_s(duration_s: float, tokens: Sequence[int]) -> list[float]:
    """The part of each, for so many tokens of each; equal parts where nobody had any."""
    total = sum(tokens)
    if not total:
        return [duration_s / len(tokens)] * len(tokens)
    per_token_s = duration_s / total
    return [count * per_token_s for count in tokens]
