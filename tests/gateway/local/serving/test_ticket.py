from __future__ import annotations

import asyncio

import pytest

from adapters.llama_cpp_job import Delta, Failed, Finished, Scores, Started, Vectors
from gateway.local.serving.ticket import Ticket
from policies.usage import Usage


def never(_: Ticket) -> None:
    raise AssertionError("closed")


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_events_are_handed_over_once_and_wake_the_waiter() -> None:
    ticket = Ticket(1, never)
    waiting = asyncio.create_task(ticket.wait(soon()))
    await asyncio.sleep(0)
    ticket.take(Started(1, 10, 4, ("tools",)))
    ticket.take(Delta(1, 0, "a", 2))
    ticket.take(Finished(1, 0, "stop", 2))
    assert await waiting == [Delta(1, 0, "a", 2), Finished(1, 0, "stop", 2)]
    assert await ticket.wait(soon()) == []
    assert ticket.is_complete
    assert ticket.ignored == ("tools",)
    assert ticket.usage() == Usage(10, 2, cached_input_tokens=4)


async def test_what_several_prompts_bring_is_added_up() -> None:
    ticket = Ticket(2, never)
    ticket.take(Started(1, 10, 4, queue_s=0.2, truncated_tokens=5))
    ticket.take(Started(1, 20, 6, queue_s=0.7, truncated_tokens=1))
    assert (ticket.prompt_tokens, ticket.cached_tokens, ticket.truncated_tokens) == (30, 10, 6)
    assert ticket.queue_s == 0.7


@pytest.mark.parametrize("outcome", [Vectors(1, (b"1234",), 3), Scores(1, (0.5,), 3)])
async def test_vectors_and_scores_end_a_job(outcome: Vectors | Scores) -> None:
    ticket = Ticket(1, never)
    ticket.take(Started(1, 3, 0))
    ticket.take(outcome)
    assert await ticket.wait(soon()) == []
    assert ticket.is_complete
    assert ticket.outcome == outcome
    assert ticket.usage() == Usage(3, 0)


async def test_usage_is_an_estimate_until_all_choices_are_complete() -> None:
    ticket = Ticket(2, never)
    ticket.take(Started(1, 3, 0))
    ticket.take(Delta(1, 0, "a", 1))
    ticket.take(Finished(1, 0, "stop", 1))
    assert not ticket.is_over
    assert ticket.usage() == Usage(3, 1, estimated=True)


@pytest.mark.parametrize("ending", ["lost", "failed"])
async def test_an_ending_wakes_the_waiter(ending: str) -> None:
    ticket = Ticket(1, never)
    waiting = asyncio.create_task(ticket.wait(soon()))
    await asyncio.sleep(0)
    if ending == "lost":
        ticket.lose()
    else:
        ticket.take(Failed(1, 500, "c", "m"))
    assert await waiting == []
    assert ticket.is_over
    assert not ticket.is_complete


async def test_waiting_has_an_end() -> None:
    with pytest.raises(TimeoutError):
        await Ticket(1, never).wait(asyncio.get_running_loop().time() + 0.01)


async def test_a_place_is_given_back_once() -> None:
    closed: list[Ticket] = []
    ticket = Ticket(1, closed.append)
    ticket.close()
    ticket.close()
    assert closed == [ticket]


async def test_a_choice_that_is_over_or_was_never_asked_for_has_no_events() -> None:
    """A worker is not trusted: what it says twice ends nothing else."""
    ticket = Ticket(2, never)
    end = Finished(1, 0, "stop", 1)
    for event in (end, end, Delta(1, 0, "late", 1), Delta(1, 2, "whose?", 1), Finished(1, 2, "stop", 1)):
        ticket.take(event)
    assert not ticket.is_over
    ticket.take(Finished(1, 1, "stop", 1))
    assert ticket.is_complete
    assert await ticket.wait(soon()) == [end, Finished(1, 1, "stop", 1)]
    assert ticket.output_tokens == 0


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), -1.0])
async def test_times_that_cannot_be_stop_no_clock(time_s: float) -> None:
    ticket = Ticket(1, never)
    ticket.take(Started(1, 3, 0, queue_s=time_s))
    ticket.take(Finished(1, 0, "stop", 1, time_s, time_s, time_s))
    (end,) = await ticket.wait(soon())
    assert isinstance(end, Finished)
    assert all(0 <= one <= 1e7 for one in (ticket.queue_s, end.read_s, end.write_s, end.compute_s))


async def test_what_the_engine_has_spent_is_known_of_who_leaves_too() -> None:
    ticket = Ticket(2, never)
    for event in (Delta(1, 0, "a", 1, compute_s=0.5), Delta(1, 1, "b", 1, compute_s=0.25)):
        ticket.take(event)
    assert ticket.compute_s == 0.75
    for less in (Delta(1, 0, "a", 1, compute_s=0.4), Finished(1, 1, "stop", 1, compute_s=float("nan"))):
        ticket.take(less)  # it takes nothing back
    assert ticket.compute_s == 0.75
