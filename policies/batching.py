"""What an engine computes next: who of those that wait gets a slot, and what one step puts into the batch.

A *run* is one choice of one request. It waits, then a *slot* (a sequence of the context) is its until it ends: first it
*reads* its prompt, in chunks, then it *writes*, one token a step. Nothing here knows tokens or text: a step is made of
numbers of slots and borders of chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# Under this many tokens a chunk costs hardly less than a whole one would.
LEAST_CHUNK_TOKENS = 32
# So much waiting is worth one priority: nobody is starved by those above.
AGING_S = 10.0


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
    """A run that has a slot and still reads: its prompt is known up to `start`, and ends at `end`."""

    slot: int
    start: int
    end: int
    priority: int
    number: int


class Budget(NamedTuple):
    """What a step may hold. `grid_tokens` other than 0: chunks end at its multiples or at the prompt's end, nowhere
    else, so that a prompt is cut in the same places whoever else is there.
    """

    batch_tokens: int
    max_decode_gap_s: float
    grid_tokens: int = 0


class Pace(NamedTuple):
    """How fast the engine was of late. 0 where nothing was measured yet."""

    read_tokens_per_s: float = 0.0
    write_step_s: float = 0.0


class Chunk(NamedTuple):
    """A part of a prompt that one step reads."""

    slot: int
    start: int
    end: int


class Step(NamedTuple):
    """One step: chunks of prompts, in order, and the slots that write one token each."""

    chunks: tuple[Chunk, ...]
    writers: tuple[int, ...]


def aged(priority: int, waited_s: float) -> int:
    """The priority that counts after so much waiting, for candidates and readers alike."""
    return priority + int(max(0.0, waited_s) / AGING_S)


def next_candidate(waiting: Sequence[Candidate], now: float) -> Candidate | None:
    """Who gets the next free slot; None where nobody can use it now."""
    ready = [one for one in waiting if not one.is_held and now < one.deadline_s]
    return min(ready, key=lambda one: (-one.priority, one.finish, one.number), default=None)


def plan_step(readers: Sequence[Reader], writers: Sequence[int], budget: Budget, pace: Pace) -> Step:
    """What the next step computes. Every writer writes; what is read besides keeps the gap between two of their tokens
    within `max_decode_gap_s`, as far as the pace foretells it, yet is never nothing.
    """
    room = budget.batch_tokens - len(writers)
    if writers and pace.read_tokens_per_s > 0.0:
        time_s = max(0.0, budget.max_decode_gap_s - pace.write_step_s)
        room = min(room, max(LEAST_CHUNK_TOKENS, budget.grid_tokens, int(time_s * pace.read_tokens_per_s)))
    chunks = []
    for reader in sorted(readers, key=lambda one: (-one.priority, one.number)):
        end = _border(reader, room, budget.grid_tokens)
        if end > reader.start:
            chunks.append(Chunk(reader.slot, reader.start, end))
            room -= end - reader.start
        if room <= 0:
            break
    return Step(tuple(chunks), tuple(writers))


def _border(reader: Reader, room: int, grid_tokens: int) -> int:
    """Where a chunk of at most `room` tokens ends. On a grid each chunk is one cell of it."""
    if not grid_tokens:
        return min(reader.end, reader.start + max(0, room))
    end = min(reader.end, reader.start - reader.start % grid_tokens + grid_tokens)
    return end if end - reader.start <= room else reader.start
