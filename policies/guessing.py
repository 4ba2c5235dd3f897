"""How many tokens to guess ahead, so that checking the guesses pays.

Text that repeats itself (quotations, code, tables) can be guessed from what was written before. A guess costs a row in
the batch, whether it holds or not, and so delays everybody in the step; right guesses save whole steps. How often
guesses hold is learnt for nothing: before every token the engine looks what it would have guessed, and counts.
Source: prompt lookup decoding; the acceptance argument is that of Leviathan et al. 2023, section 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_GUESSES = 8
# A decayed mean over the last twenty tokens or so: text turns from prose to a quotation within a sentence.
_MEMORY = 0.95
# Noise in the measured costs must not make the engine guess for nothing.
_LEAST_GAIN = 1.1


class Trust(NamedTuple):
    """How often guesses held of late: `right` of `tried`, both decayed."""

    right: float = 0.0
    tried: float = 0.0

    @property
    def share(self) -> float:
        """Careful while little is known: the first two tries count as wrong ones."""
        return self.right / (self.tried + 2.0)


class StepCost(NamedTuple):
    """What a step costs: `pass_s` for each pass over the weights and `row_s` for each token in it."""

    pass_s: float
    row_s: float

    def step_s(self, rows: int, guesses: int, *, in_one_pass: bool) -> float:
        passes = 2 if guesses and not in_one_pass else 1
        return passes * self.pass_s + (rows + guesses) * self.row_s


def learn(trust: Trust, *, held: bool) -> Trust:
    """The trust after one more guess was compared with the token that came."""
    return Trust(trust.right * _MEMORY + held, trust.tried * _MEMORY + 1.0)


def guesses_worth(trust: Trust, writers: int, cost: StepCost, *, in_one_pass: bool) -> int:
    """How many tokens to guess for one of `writers` runs; 0 where guessing would cost all of them more than it saves.

    `in_one_pass`: the guesses share the pass of the other rows; else they need one of their own.
    """
    best, best_pace = 0, writers / cost.step_s(writers, 0, in_one_pass=in_one_pass) * _LEAST_GAIN
    expected, chance = 0.0, 1.0
    for guesses in range(1, MOST_GUESSES + 1):
        chance *= trust.share
        expected += chance
        pace = (writers + expected) / cost.step_s(writers, guesses, in_one_pass=in_one_pass)
        if pace > best_pace:
            best, best_pace = guesses, pace
    return best


def fitted_cost(by_rows: dict[int, float]) -> StepCost | None:
    """The straight line through measured step times (seconds by rows); None where one size alone was seen."""
    if len(by_rows) < 2:
        return None
    mean_rows = sum(by_rows) / len(by_rows)
    mean_s = sum(by_rows.values()) / len(by_rows)
    spread = sum((rows - mean_rows) ** 2 for rows in by_rows)
    slope = sum((rows - mean_rows) * (step_s - mean_s) for rows, step_s in by_rows.items()) / spread
    row_s = max(0.0, slope)
    return StepCost(max(1e-9, mean_s - row_s * mean_rows), row_s)
