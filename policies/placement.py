"""Which slot a prompt goes to, and how much of it need not be read again.

What slots know of earlier texts is worth keeping: a prompt that begins like one of them starts where the two part. A
free slot that shares most is taken over in place; what a busy slot shares is copied; and where the shared part is being
read at this very moment, waiting for it is cheaper than reading it twice. Prompts of different scopes share nothing:
how fast an answer begins would tell one tenant what another asks.

What a slot is about to forget may be kept beside the slots, as a copy of its cells. That pays where copying is so much
faster than reading that it is worth it though most of what is kept is never asked for again (`keeping_pays`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

# Most prompts part from most slots within so many tokens; what goes on together is compared in ever larger parts.
_FIRST_LOOK_TOKENS: Final = 64
# What is shorter is read again as fast as anything.
KEEP_FROM_TOKENS: Final = 128
# So many copies are made for one that is asked for again.
_COPIES_PER_USE: Final = 4.0


class SlotText(NamedTuple):
    """What one slot knows. `tokens` are in its cells; `coming` is how many of a prompt there will be once it is read
    (equal to their number when it does not read). `used_s` is when it was last at work, `adapter` what it works with.
    """

    slot: int
    scope: str
    tokens: Sequence[int]
    coming: Sequence[int]
    is_free: bool
    used_s: float
    adapter: str | None = None


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
    from so many tokens on. `is_packed`: only neighbours are computed together, so busy slots of one adapter should be
    neighbours.
    """

    grid_tokens: int = 1
    copy_from_tokens: int = 32
    hold_from_tokens: int = 64
    can_copy: bool = True
    is_packed: bool = True


class CopyPace(NamedTuple):
    """How many tokens a second were read of late, and copied from a slot and back into one; 0 where unknown."""

    read: float = 0.0
    kept: float = 0.0
    restored: float = 0.0


def keeping_pays(known_tokens: int, lost_tokens: int, pace: CopyPace) -> bool:
    """Whether to copy all that a slot knows, of which so much will not be known anywhere any more."""
    if lost_tokens < KEEP_FROM_TOKENS:
        return False
    if not (pace.read and pace.kept and pace.restored):
        return True  # not measured yet: one copy tells
    copies_s = known_tokens * (_COPIES_PER_USE / pace.kept + 1.0 / pace.restored)
    return copies_s <= lost_tokens / pace.read


def restoring_pays(copied_tokens: int, gained_tokens: int, pace: CopyPace, terms: Terms) -> bool:
    """Whether to copy so much back into a slot, to read so much less."""
    if gained_tokens < terms.copy_from_tokens:
        return False
    if not (pace.read and pace.restored):
        return True
    return copied_tokens / pace.restored <= gained_tokens / pace.read


def common_tokens(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two texts begin with together. Both must be of one type; slices of arrays compare fastest."""
    low, size, end = 0, _FIRST_LOOK_TOKENS, min(len(left), len(right))
    high = min(end, size)
    while left[low:high] == right[low:high]:
        if high == end:
            return end
        size *= 4
        low, high = high, min(end, high + size)
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


def place(
    prompt: Sequence[int], scope: str, slots: Sequence[SlotText], terms: Terms, adapter: str | None = None
) -> Placement | Hold | None:
    """Where the prompt goes; None where no slot is free. The last token is always read anew: its row is wanted."""
    free = [one for one in slots if one.is_free]
    if not free:
        return None
    known: dict[int, int] = {}
    hold = Hold(-1, 0)
    most = len(prompt) - 1
    for one in slots:
        if one.scope == scope:
            # What is in the cells is the beginning of what is coming: one comparison tells both.
            reads = not one.is_free and len(one.coming) > len(one.tokens)
            shared = min(most, common_tokens(one.coming if reads else one.tokens, prompt))
            known[one.slot] = _whole(min(shared, len(one.tokens)), terms)
            if reads and _whole(shared, terms) > hold.shared_tokens:
                hold = Hold(one.slot, _whole(shared, terms))
    source = max(known, key=lambda slot: known[slot], default=-1)
    most_known = known.get(source, 0)
    if hold.shared_tokens - most_known >= terms.hold_from_tokens:
        return hold
    busy = {one.slot for one in slots if not one.is_free and one.adapter == adapter}
    target = _target(free, busy if terms.is_packed else set(), known, terms)
    kept = known.get(target, 0)
    if terms.can_copy and most_known - kept >= terms.copy_from_tokens:
        return Placement(target, source, most_known)
    return Placement(target, target, kept)


def _target(free: Sequence[SlotText], busy: AbstractSet[int], known: Mapping[int, int], terms: Terms) -> int:
    """The free slot to take. Where copying is possible a place among neighbours counts more than what the slot knows;
    after both, the one that was at work longest ago.
    """

    def cost(one: SlotText) -> tuple[int, int, float, int]:
        neighbours = (one.slot - 1 in busy) + (one.slot + 1 in busy)
        kept = known.get(one.slot, 0)
        if not terms.can_copy:
            return -kept, -neighbours, one.used_s, one.slot
        return -neighbours, -kept if kept >= terms.copy_from_tokens else 0, one.used_s, one.slot

    return min(free, key=cost).slot


def _whole(tokens: int, terms: Terms) -> int:
    return tokens - tokens % terms.grid_tokens
