"""One step carried out: chunks are read, tokens written, events made of them; and what is done when llama.cpp fails."""

from __future__ import annotations

import sys
import time
from array import array
from typing import TYPE_CHECKING, NamedTuple

from gateway.local.binding.context import BrokenContext, NoRoom, Part
from gateway.local.binding.llama import DecodeFailed
from gateway.local.choosing.sampling import UNCHOSEN, StepChooser
from gateway.local.mishaps import origin_of
from gateway.local.scheduling.gauges import NANO
from policies.compute_share import shares_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from adapters.llama_cpp_job import ChosenLogprob, Event
    from gateway.local.binding.context import Context
    from gateway.local.binding.llama import Model
    from gateway.local.scheduling.guessing import Guessing
    from gateway.local.scheduling.runs import Run
    from gateway.local.scheduling.slots import Slot, SlotTable
    from policies.batching import Chunk, Step

# On a processor a prompt's chunk of so many tokens has a call of its own: llama.cpp would cut a call with unequal ones
# into pieces, each of which costs a pass over the weights. A device has too much to do with one alone.
LONE_CHUNK_TOKENS = 64
# So many failed calls in a row, and the context is made anew.
MOST_FAILURES = 2


class Served(NamedTuple):
    """What a call does for one slot: it reads so many more of its tokens, and then `guesses`."""

    slot: Slot
    reads: int
    guesses: Sequence[int] = ()

    @property
    def width(self) -> int:
        return self.reads + len(self.guesses)

    @property
    def rows(self) -> int:
        """How many rows of logits it leads to."""
        return 1 + len(self.guesses) if self.slot.known + self.reads == len(self.slot.tokens) else 0


class Ended(NamedTuple):
    """A run whose text is known to its end now, and the rows after it and after each guess."""

    slot: Slot
    run: Run
    rows: NDArray[np.float32]
    guesses: Sequence[int]

    def held(self, turn: int) -> bool:
        """Whether the token that was chosen last is what was guessed, and more is wanted."""
        is_guessed = turn < len(self.guesses) and self.run.tokens[-1] == self.guesses[turn]
        return is_guessed and self.slot.run is self.run


class Computing:
    """What happens with runs that have a slot. `computed_s` sums the time that calls took."""

    def __init__(
        self,
        model: Model,
        context: Context,
        slots: SlotTable,
        guessing: Guessing,
        emit: Callable[[list[Event]], None],
    ) -> None:
        self.computed_s = 0.0
        self._model = model
        self._context = context
        self._slots = slots
        self._guessing = guessing
        self._gauges = guessing.gauges
        self._emit = emit
        self._events: list[Event] = []
        self._failures = 0
        self._chooser = StepChooser()

    def report(self, events: Sequence[Event]) -> None:
        """Events that go out before the next call."""
        self._events += events

    def flush(self) -> None:
        if self._events:
            events, self._events = self._events, []
            self._emit(events)

    def compute(self, step: Step) -> None:
        writers = [self._slots[number] for number in step.writers]
        if self._context.unified:
            self._call([self._chunk(one) for one in step.chunks] + self._writing(writers, step.chunks))
            return
        for chunks in _calls(step.chunks, self._lone_from_tokens()):
            if not self._call([self._chunk(one) for one in chunks]):
                return
        if writers and step.chunks:
            # Whoever began to write in this step goes on with the others, instead of waiting for the next one's chunks.
            begun = [slot for chunk in step.chunks if (slot := self._slots[chunk.slot]).is_writing]
            writers = sorted(writers + begun, key=lambda slot: slot.number)
        served = self._writing(writers, step.chunks)
        for part in ([one for one in served if not one.guesses], [one for one in served if one.guesses]):
            if part and not self._call(part):
                return

    def _writing(self, writers: list[Slot], chunks: Sequence[Chunk]) -> list[Served]:
        # Beside prompts there is nothing to gain by guesses: the rows of a step are many enough.
        guesses = self._guessing.guesses(writers) if self._guessing.is_on and not chunks else {}
        return [Served(slot, 1, guesses.get(slot.number, ())) for slot in writers]

    def _lone_from_tokens(self) -> int:
        if self._slots.is_deterministic:
            return 0
        return self._context.batch_tokens + 1 if self._context.is_offloaded else LONE_CHUNK_TOKENS

    def _chunk(self, chunk: Chunk) -> Served:
        return Served(self._slots[chunk.slot], chunk.end - chunk.start)

    def _call(self, served: list[Served]) -> bool:
        """One call, and the tokens that its rows lead to; False where the step must be planned anew."""
        self.flush()
        wanted = [one.rows for one in served]
        try:
            rows = self._decode(served, wanted)
        except NoRoom:
            self._charge(served)
            self._yield_room([one.slot for one in served])
            return False
        except DecodeFailed as error:
            self._charge(served)
            self._recover([one.slot for one in served], error)
            return False
        self._failures = 0
        writing_s = self._account(served)
        ended, at = [], 0
        for one, count in zip(served, wanted, strict=True):
            if count and one.slot.run is not None:
                ended.append(Ended(one.slot, one.slot.run, rows[at : at + count], one.guesses))
            at += count
        accepted = self._choose(ended)
        if writing_s:
            self._gauges.wrote(sum(one.reads == 1 for one in served) + accepted, writing_s)
        return True

    def _decode(self, served: list[Served], wanted: list[int]) -> NDArray[np.float32]:
        if all(one.width == count == 1 for one, count in zip(served, wanted, strict=True)):
            slots = [one.slot for one in served]
            return self._context.write([slot.number for slot in slots], [slot.tokens[slot.known] for slot in slots])
        parts = []
        for (slot, reads, guesses), rows in zip(served, wanted, strict=True):
            text = slot.tokens[slot.known : slot.known + reads]
            parts.append(Part(slot.number, text + array("i", guesses) if guesses else text, rows))
        return self._context.read(parts)

    def _charge(self, served: list[Served]) -> list[int]:
        """Whose the call's time was, also that of one that failed: all runs together have what was computed."""
        duration_s = self._context.call_s
        self.computed_s += duration_s
        duration_ns = round(duration_s * NANO)
        self._gauges.busy_ns += duration_ns
        shares = shares_ns(duration_ns, [one.width if one.slot.run is not None else 0 for one in served])
        for one, share_ns in zip(served, shares, strict=True):
            if one.slot.run is not None:
                one.slot.run.compute_ns += share_ns
        return shares

    def _account(self, served: list[Served]) -> float:
        """What the call made known, and whose its time was. How much of it went by for writers."""
        duration_s, shares = self._context.call_s, self._charge(served)
        widths = [one.width for one in served]
        if self._guessing.is_on and (self._context.unified or _is_one_pass(served, widths)):
            self._gauges.call_times.note(sum(widths), duration_s)
        read, writing_s = 0, 0.0
        for one, share_ns in zip(served, shares, strict=True):
            slot, run = one.slot, one.slot.run
            if run is None:
                continue
            slot.known += one.reads
            if not run.is_writing:
                slot.on_grid = slot.known
            if one.reads > 1:
                read += one.reads
            else:
                writing_s += share_ns / NANO
        if read:
            self._gauges.read(read, duration_s - writing_s)
        return writing_s

    def _choose(self, ended: list[Ended]) -> int:
        """Tokens for all runs whose text is known to its end now: one, and one more after each guess that held.

        How many did.
        """
        for _, run, rows, _ in ended:
            family = run.family
            if family.open_runs > 1 and family.row is None and not run.is_writing:
                family.row = rows[0].copy()
        accepted, turn = 0, 0
        pending = ended
        while pending:
            self._write([(one.slot, one.run) for one in pending], [one.rows[turn] for one in pending])
            pending = [one for one in pending if one.held(turn)]
            for one in pending:
                one.slot.known += 1
            accepted += len(pending)
            turn += 1
        self._gauges.accepted_tokens += accepted
        for slot, _, _, guesses in ended:
            if guesses:
                self._gauges.guessed_tokens += len(guesses)
                slot.known = self._context.rewind(slot.number, slot.known)
        return accepted

    def write_from_sibling(self, slot: Slot, run: Run) -> None:
        """The first token of a choice whose prompt another choice has read."""
        if run.family.row is not None:
            self._write([(slot, run)], [run.family.row])

    def _write(self, ended: list[tuple[Slot, Run]], rows: Iterable[NDArray[np.float32]]) -> None:
        pairs = [(run.chooser, row) for (_, run), row in zip(ended, rows, strict=True)]
        try:
            tokens = self._chooser.choose_many(pairs)
            logprobs = [chooser.logprob(row, token) for (chooser, row), token in zip(pairs, tokens, strict=True)]
        except Exception as error:  # noqa: BLE001 - what is wrong with these rows is no reason to end others
            sys.stderr.write(f"tokens could not be chosen: {origin_of(error)}\n")
            for slot, run in ended:
                self._fail(slot, run, "engine_failure", "the next token could not be chosen")
            return
        now = time.monotonic()
        for (slot, run), token, logprob in zip(ended, tokens, logprobs, strict=True):
            if token in UNCHOSEN:
                self._fail(slot, run, *UNCHOSEN[token])
            elif self._model.ends_text(token):
                self._finish(slot, run, "stop", now)
            else:
                self._add(slot, run, token, logprob, now)

    def _add(self, slot: Slot, run: Run, token: int, logprob: ChosenLogprob | None, now: float) -> None:
        gauges = self._gauges
        gauges.written_tokens += 1
        if run.written and now - run.last_token_s > gauges.longest_gap_s:
            gauges.longest_gap_s = now - run.last_token_s
        run.last_token_s = now
        if self._guessing.is_on:
            self._guessing.note(run, token)
        delta = run.add(token, self._model.piece(token), logprob, now)
        if delta is not None:
            self._events.append(delta)
        if run.reason is not None:
            self._finish(slot, run, run.reason, now)

    def _finish(self, slot: Slot, run: Run, reason: str, now: float) -> None:
        self._events += run.finish(reason, now)
        self._gauges.ended(now - run.slot_s, self._slots.running)
        self.leave(slot, run)

    def leave(self, slot: Slot, run: Run) -> None:
        """The run is over, in whatever way; its slot is free."""
        if run.family.reading == slot.number and run.family.row is None:
            run.family.reading = None
        self._slots.release(slot, time.monotonic())
        run.family.leave()

    def _fail(self, slot: Slot, run: Run, code: str, message: str) -> None:
        self._events += run.family.fail(500, code, message)
        self.leave(slot, run)

    def _yield_room(self, wanted: list[Slot]) -> None:
        """The cells are full. Nobody is lost while somebody can give way."""
        if self._slots.yield_room() is None:
            for slot in wanted:
                if slot.run is not None:
                    self._fail(slot, slot.run, "engine_failure", "the engine's cells are full")

    def _recover(self, failed: list[Slot], error: DecodeFailed) -> None:
        """Those in the failed call end; a context that keeps failing is made anew, and the others read theirs again."""
        self._failures += 1
        for slot in failed:
            if slot.run is not None:
                self._fail(slot, slot.run, "engine_failure", str(error))
            self._slots.forget(slot)
        if isinstance(error, BrokenContext) and self._failures >= MOST_FAILURES:
            self._renew()

    def _renew(self) -> None:
        self._context.renew()
        self._slots.forget_all()
        self._failures = 0

    def fail_all(self) -> None:
        """After a bug: nothing is known for certain any more."""
        for slot, run in self._slots.runs():
            self._fail(slot, run, "engine_failure", "the engine failed")
        self._renew()


def _calls(chunks: Sequence[Chunk], lone_from_tokens: int) -> list[list[Chunk]]:
    """Which chunks share a call: short ones, which come first."""
    short = [one for one in chunks if one.end - one.start < lone_from_tokens]
    lone = [[one] for one in chunks if one.end - one.start >= lone_from_tokens]
    return [short, *lone] if short else lone


def _is_one_pass(served: list[Served], widths: list[int]) -> bool:
    """Whether llama.cpp computes the call in one: neighbours of one length."""
    first, last = served[0].slot.number, served[-1].slot.number
    return last - first == len(served) - 1 and widths.count(widths[0]) == len(widths)
