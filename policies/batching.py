"""What an engine computes next: who of those that wait gets a slot, and what one step puts into the batch.

A *run* is one choice of one request. It waits, then a *slot* (a sequence of the context) is its until it ends: first it
*reads* its prompt, in chunks, then it *writes*, one token a step. Nothing here knows tokens or text: a step is made of
numbers of slots and borders of chunks.

What is computed with different adapters cannot share a call, and changing to another one costs time. So a step is of
one adapter's runs, and adapters take turns (`next_turn`): long enough to be worth the change, short enough for all to
keep the gap between two tokens.

Nobody is starved. Waiting raises a priority (`aged`), so that sooner or later no newcomer goes first. Among readers of
one priority, steps take turns: one serves them in the order of coming, the next the shortest first. A long prompt gets
every other step at least, and a short one is not kept behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Under this many tokens a chunk costs hardly less than a whole one would.
LEAST_CHUNK_TOKENS: Final = 32
# So many are read beside writers while nobody knows yet how long that takes.
CAUTIOUS_CHUNK_TOKENS: Final = 128
# So much waiting is worth one priority: nobody is starved by those above.
AGING_S: Final = 10.0
# An adapter's turn lasts so many times what changing to it cost, where that leaves the others in time.
TURN_PER_CHANGE: Final = 8.0


class Candidate(NamedTuple):
    """A run that waits for a slot. `finish` is its virtual finish in the fair queue; `priority` goes first if higher.

    `is_held`: what it shares with another prompt is being read at this moment, so a slot would be wasted on it now.
    """

    priority: int
    finish: float
    number: int
    deadline_s: float
    is_held: bool = False


class Reader(NamedTuple):
    """A run that has a slot and still reads: its prompt is known up to `start`, and ends at `end`. `priority` has aged;
    `number` is the order of coming.
    """

    slot: int
    start: int
    end: int
    priority: int
    number: int


class Budget(NamedTuple):
    """What a step may hold. `grid_tokens` other than 0: chunks end at its multiples or at the prompt's end, nowhere
    else, so that a prompt is cut in the same places whoever else is there; the batch has room for one at least.

    `is_mixed`: writers' tokens take room of the same batch; otherwise they have a batch of their own. `adapters` take
    turns, so that others wait for the end of this step.
    """

    batch_tokens: int
    max_decode_gap_s: float
    grid_tokens: int = 0
    is_mixed: bool = True
    adapters: int = 1


class Pace(NamedTuple):
    """How fast the engine was of late. 0 where nothing was measured yet."""

    read_tokens_per_s: float = 0.0
    write_step_s: float = 0.0


class Chunk(NamedTuple):
    """A part of a prompt that one step reads."""

    slot: int
    start: int
    end: int


class Turn(NamedTuple):
    """Whose steps these are, and since when. Without an adapter, the model's own."""

    adapter: str | None
    began_s: float


class Step(NamedTuple):
    """One step: chunks of prompts, in order, and the slots that write one token each."""

    chunks: tuple[Chunk, ...]
    writers: tuple[int, ...]


def aged(priority: int, waited_s: float) -> int:
    """The priority that counts after so much waiting, for candidates and readers alike."""
    return priority + int(max(0.0, waited_s) / AGING_S)


def next_turn(
    served_s: Mapping[str | None, float], turn: Turn, now: float, change_s: float, max_decode_gap_s: float
) -> Turn:
    """Whose step is next of those that have something to compute: `served_s` says when each was served last.

    Who has the turn keeps it until it was worth the change, or until its part of the gap is over; then it goes to
    whoever was served longest ago.
    """
    others = [adapter for adapter in served_s if adapter != turn.adapter]
    if turn.adapter in served_s:
        lasts_s = min(change_s * TURN_PER_CHANGE, part_of_gap_s(max_decode_gap_s, len(served_s)))
        if not others or now - turn.began_s < lasts_s:
            return turn
    return Turn(min(others, key=lambda adapter: (served_s[adapter], adapter or "")), now)


def part_of_gap_s(max_decode_gap_s: float, adapters: int) -> float:
    """How long one adapter's turn may last, and each of its steps: its last one begins within the turn."""
    return max_decode_gap_s / (2 * adapters) if adapters > 1 else max_decode_gap_s


def next_candidate(waiting: Sequence[Candidate], now: float, free_slots: int = 1) -> Candidate | None:
    """Who gets the next free slot; None where nobody can use it now.

    Who is held keeps a free slot for itself: a hold is short, and those behind would have the slot for long.
    """
    held = 0
    for one in sorted(waiting, key=lambda one: (-one.priority, one.finish, one.number)):
        if now < one.deadline_s:
            if not one.is_held:
                return one
            held += 1
            if held >= free_slots:
                break
    return None


def plan_step(readers: Sequence[Reader], writers: Sequence[int], budget: Budget, pace: Pace, turn: int = 0) -> Step:
    """What the next step computes. Every writer writes; what is read besides keeps the gap between two of their tokens
    within `max_decode_gap_s`, as far as the pace foretells it, yet is never nothing. `turn` counts steps.
    """
    if not readers:
        return Step((), tuple(writers))
    room = _room(len(writers), budget, pace)
    chunks: list[Chunk] = []
    for reader in _in_turn(readers, turn):
        end = _border(reader, room, budget.grid_tokens)
        if end > reader.start and (not chunks or end == reader.end or end - reader.start >= LEAST_CHUNK_TOKENS):
            chunks.append(Chunk(reader.slot, reader.start, end))
            room -= end - reader.start
            if room <= 0:
                break
    return Step(tuple(chunks), tuple(writers))


def _room(writers: int, budget: Budget, pace: Pace) -> int:
    """How many tokens of prompts the step may read."""
    room = budget.batch_tokens - writers * budget.is_mixed
    if not writers and budget.adapters == 1:
        return room
    if pace.read_tokens_per_s <= 0.0:
        return min(room, max(CAUTIOUS_CHUNK_TOKENS, budget.grid_tokens))
    time_s = max(0.0, part_of_gap_s(budget.max_decode_gap_s, budget.adapters) - pace.write_step_s)
    return min(room, max(LEAST_CHUNK_TOKENS, budget.grid_tokens, int(time_s * pace.read_tokens_per_s)))


def _in_turn(readers: Sequence[Reader], turn: int) -> Sequence[Reader]:
    if len(readers) == 1:
        return readers
    if turn % 2:
        return sorted(readers, key=lambda one: (-one.priority, one.end - one.start, one.number))
    return sorted(readers, key=lambda one: (-one.priority, one.number))


def _border(reader: Reader, room: int, grid_tokens: int) -> int:
    """Where a chunk of at most `room` tokens ends. On a grid each chunk is one cell of it."""
    if not grid_tokens:
        return min(reader.end, reader.start + max(0, room))
    end = min(reader.end, reader.start - reader.start % grid_tokens + grid_tokens)
    return end if end - reader.start <= room else reader.start
