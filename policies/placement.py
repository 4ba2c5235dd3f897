"""Which slot a prompt goes to, and how much of it need not be read again.

What slots know of earlier texts is worth keeping: a prompt that begins like one of them starts where the two part. A
free slot that shares most is taken over in place; what a busy slot shares is copied; and where the shared part is being
read at this very moment, waiting for it is cheaper than reading it twice. Prompts of different scopes share nothing:
how fast an answer begins would tell one tenant what another asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class SlotText(NamedTuple):
    """What one slot knows. `tokens` are in its cells; `coming` is how many of a prompt there will be once it is read
    (equal to their number when it does not read). `used_s` is when it was last at work.
    """

    slot: int
    scope: str
    tokens: Sequence[int]
    coming: Sequence[int]
    is_free: bool
    used_s: float


class Placement(NamedTuple):
    """Where a prompt goes: `kept_tokens` of it are known in `source`, which is `slot` itself or one to copy from."""

    slot: int
    source: int
    kept_tokens: int


class Hold(NamedTuple):
    """Wait: `slot` will soon know `shared_tokens` of the prompt."""

    slot: int
    shared_tokens: int


class Terms(NamedTuple):
    """`grid_tokens`: only whole cells of the reading grid can be kept (1: any number). Copies and waits are worth it
    from so many tokens on.
    """

    grid_tokens: int = 1
    copy_from_tokens: int = 32
    hold_from_tokens: int = 64
    can_copy: bool = True


def common_tokens(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two texts begin with together."""
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def place(prompt: Sequence[int], scope: str, slots: Sequence[SlotText], terms: Terms) -> Placement | Hold | None:
    """Where the prompt goes; None where no slot is free. The last token is always read anew: its row is wanted."""
    free = [one for one in slots if one.is_free]
    if not free:
        return None
    most = len(prompt) - 1
    own = [one for one in slots if one.scope == scope]
    known = {one.slot: _whole(min(most, common_tokens(one.tokens, prompt)), terms) for one in own}
    for one in own:
        shared = _whole(min(most, common_tokens(one.coming, prompt)), terms)
        if not one.is_free and shared - max(known.values(), default=0) >= terms.hold_from_tokens:
            return Hold(one.slot, shared)
    best_free = max(free, key=lambda one: (known.get(one.slot, 0), -one.used_s, -one.slot))
    kept = known.get(best_free.slot, 0)
    source = max(own, key=lambda one: known[one.slot], default=None)
    if source is not None and terms.can_copy and known[source.slot] - kept >= terms.copy_from_tokens:
        target = min(free, key=lambda one: (one.used_s, one.slot))
        return Placement(target.slot, source.slot, known[source.slot])
    return Placement(best_free.slot, best_free.slot, kept)


def _whole(tokens: int, terms: Terms) -> int:
    return tokens - tokens % terms.grid_tokens
