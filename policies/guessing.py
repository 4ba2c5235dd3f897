"""How many tokens to guess ahead, and for whom, so that checking the guesses pays.

Text that repeats itself (quotations, code, tables) can be guessed from what was written before. A guess costs a row in
a call, whether it holds or not, and so delays everybody in the step; right guesses save whole steps. How often guesses
hold is learnt for nothing: before every token the engine looks what it would have guessed, and counts.
Source: prompt lookup decoding; the acceptance argument is that of Leviathan et al. 2023, section 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Kernels compute rows in fours or eights: a ninth row costs a processor as much as the four before it.
GUESSES: Final = (1, 3, 7)
MOST_GUESSES: Final = GUESSES[-1]
# A decayed mean over the last twenty tokens or so: text turns from prose to a quotation within a sentence.
_MEMORY = 0.95
# Noise in the measured times must not make the engine guess for nothing.
_LEAST_GAIN = 1.1
# Guesses that hold less often are not even thought about.
_LEAST_SHARE = 0.25


class Trust(NamedTuple):
    """How often guesses held of late: `right` of `tried`, both decayed."""

    right: float = 0.0
    tried: float = 0.0

    @property
    def share(self) -> float:
        """Careful while little is known: the first two tries count as wrong ones."""
        return self.right / (self.tried + 2.0)


class Able(NamedTuple):
    """A writer with a guess at hand: it holds with the chance `first`, and each token after it with `then`, provided
    that those before held. At most `most` tokens can be guessed.
    """

    slot: int
    first: float
    then: float
    most: int

    def expected(self, guesses: int) -> float:
        """How many of so many guesses will hold."""
        if self.then >= 1.0:
            return self.first * guesses
        return self.first * (1.0 - self.then**guesses) / (1.0 - self.then)


class Plan(NamedTuple):
    """So many `guesses` for each of `slots`."""

    slots: frozenset[int] = frozenset()
    guesses: int = 0


NOTHING: Final = Plan()


def learn(trust: Trust, *, held: bool) -> Trust:
    """The trust after one more guess was compared with the token that came."""
    return Trust(trust.right * _MEMORY + held, trust.tried * _MEMORY + 1.0)


def call_s(times_s: Mapping[int, float], rows: int) -> float | None:
    """How long a call of so many rows takes, on the lines through what was measured; None where that tells nothing."""
    if rows in times_s:
        return times_s[rows]
    sizes = sorted(times_s)
    if len(sizes) < 2:
        return None
    above = next((at for at, size in enumerate(sizes) if size > rows), len(sizes) - 1)
    low, high = (sizes[0], sizes[1]) if not above else (sizes[above - 1], sizes[above])
    slope = max(0.0, (times_s[high] - times_s[low]) / (high - low))
    return max(1e-9, times_s[low] + slope * (rows - low))


def plan_guesses(
    writers: Sequence[int], able: Sequence[Able], times_s: Mapping[int, float], most_rows: int, *, is_mixed: bool
) -> Plan:
    """Whose next tokens to guess, in a step of these writers (slots in order); `NOTHING` where that costs all of them
    more than it saves, or nobody can tell.

    `times_s` are measured calls by rows. `is_mixed`: rows of all lengths share a call; otherwise only neighbours with
    equal ones do.
    """
    able = sorted((one for one in able if one.first >= _LEAST_SHARE), key=lambda one: -one.first)
    usual_s = _step_s(writers, NOTHING, times_s, is_mixed=is_mixed) if able else None
    if usual_s is None:
        return NOTHING
    best, best_pace = NOTHING, len(writers) / usual_s * _LEAST_GAIN
    for guesses in GUESSES:
        slots: set[int] = set()
        expected = float(len(writers))
        for one in able:
            if one.most < guesses or (len(slots) + 1) * guesses + len(writers) > most_rows:
                continue
            slots.add(one.slot)
            expected += one.expected(guesses)
            plan = Plan(frozenset(slots), guesses)
            step_s = _step_s(writers, plan, times_s, is_mixed=is_mixed)
            if step_s is not None and expected / step_s > best_pace:
                best, best_pace = plan, expected / step_s
    return best


def _step_s(writers: Sequence[int], plan: Plan, times_s: Mapping[int, float], *, is_mixed: bool) -> float | None:
    if is_mixed:
        return call_s(times_s, len(writers) + len(plan.slots) * plan.guesses)
    total_s = 0.0
    for length, is_guessing in _neighbours(writers, plan.slots):
        part_s = call_s(times_s, length * (1 + plan.guesses * is_guessing))
        if part_s is None:
            return None
        total_s += part_s
    return total_s


def _neighbours(writers: Sequence[int], guessing: frozenset[int]) -> list[tuple[int, bool]]:
    """Lengths of rows of slots side by side that guess, and of those that do not."""
    groups: list[tuple[int, bool]] = []
    for is_guessing in (False, True):
        last = -2
        for slot in writers:
            if (slot in guessing) is is_guessing:
                if slot == last + 1:
                    groups[-1] = (groups[-1][0] + 1, is_guessing)
                else:
                    groups.append((1, is_guessing))
                last = slot
    return groups
