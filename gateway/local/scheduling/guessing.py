"""Whose next tokens are guessed in a step, and how guesses are learnt about while none are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.local.scheduling.lookup import Lookup
from policies.guessing import MOST_GUESSES, NOTHING, Able, Trust, learn, plan_guesses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.local.binding.context import Context
    from gateway.local.scheduling.gauges import Gauges
    from gateway.local.scheduling.runs import Run
    from gateway.local.scheduling.slots import Slot

# So many tokens of prompts are looked into in a step, for all runs together: a tenth of a millisecond.
STEP_LOOKUP_TOKENS: Final = 256


class RunGuesses:
    """What is known of one run's repetitions."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._lookup = Lookup(tokens)
        self._fresh, self._kept_up = Trust(), Trust()
        self._has_held = False
        self.catch_up = self._lookup.catch_up
        self.guess = self._lookup.guess

    def note(self, token: int) -> None:
        """A token came: learn from it whether it would have been guessed."""
        guess = self._lookup.next
        if guess is not None:
            held = guess == token
            if self._has_held:
                self._kept_up = learn(self._kept_up, held=held)
            else:
                self._fresh = learn(self._fresh, held=held)
            self._has_held = held
        else:
            self._has_held = False
        self._lookup.add(token)

    def able(self, slot: int, most: int) -> Able | None:
        """The chances of guesses for its next tokens; None where there is nothing to guess."""
        if self._lookup.next is None:
            return None
        then = self._kept_up.share
        return Able(slot, then if self._has_held else self._fresh.share, then, most)


class Guessing:
    """Guesses for all runs of an engine. `is_on` is false where nothing is guessed at all."""

    def __init__(self, context: Context, gauges: Gauges, *, is_on: bool) -> None:
        # What a recurrent model has read it cannot take back.
        self.is_on = is_on and context.can_copy
        self._context = context
        self.gauges = gauges

    def note(self, run: Run, token: int) -> None:
        """A token was written; `run` does not hold it yet."""
        if run.guesses is None:
            run.guesses = RunGuesses(run.tokens)
        run.guesses.note(token)

    def guesses(self, writers: Sequence[Slot]) -> dict[int, list[int]]:
        """What is guessed for these slots, which are all that the step serves; each that guesses has equally many."""
        able, left = [], STEP_LOOKUP_TOKENS
        known: dict[int, RunGuesses] = {}
        for slot in writers:
            run = slot.run
            if run is None or run.guesses is None:
                continue
            left -= run.guesses.catch_up(left)
            room = self._context.context_tokens - slot.known - 1
            one = run.guesses.able(slot.number, min(MOST_GUESSES, room, run.max_tokens - run.written - 1))
            if one is not None:
                able.append(one)
                known[slot.number] = run.guesses
        if not able:
            return {}
        numbers, times_s = [slot.number for slot in writers], self.gauges.call_times.by_rows()
        plan = plan_guesses(numbers, able, times_s, self._context.most_rows, is_mixed=self._context.unified)
        return {} if plan is NOTHING else {slot: known[slot].guess(plan.guesses) for slot in plan.slots}
