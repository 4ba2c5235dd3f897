from __future__ import annotations

import asyncio
import time

from gateway.state.redis.connections import Command
from gateway.state.redis.dialing import Timings
from gateway.state.redis.unsent import Unsent

TIMINGS = Timings(backoff_s=0.005, backoff_max_s=0.02)


def commands(count: int) -> list[Command]:
    return [Command(b"%d" % number, "t:x") for number in range(count)]


async def test_what_failed_is_sent_again_in_order_after_a_pause() -> None:
    sent = asyncio.Queue[Command]()
    unsent = Unsent(sent.put_nowait, TIMINGS, most=10, age_max_s=60.0)
    given = commands(3)
    for each in given:
        each.moves = 3
        unsent.add(each, time.monotonic())
    assert sent.empty()
    assert [await asyncio.wait_for(sent.get(), 1.0) for _ in given] == given
    assert (len(unsent), unsent.lost, [each.moves for each in given]) == (0, 0, [0, 0, 0])


async def test_a_server_that_came_back_is_told_at_once() -> None:
    sent: list[Command] = []
    unsent = Unsent(sent.append, Timings(backoff_s=60.0), most=10, age_max_s=60.0)
    given = commands(2)
    for each in given:
        unsent.add(each, time.monotonic())
    unsent.flush()
    assert sent == given


async def test_the_oldest_beyond_the_number_and_the_age_are_given_up_and_said_once() -> None:
    sent: list[Command] = []
    unsent = Unsent(sent.append, Timings(backoff_s=60.0), most=2, age_max_s=10.0)
    now = time.monotonic()
    given = commands(4)
    for each, age_s in zip(given, (0, 0, 11, 0), strict=True):
        unsent.add(each, now - age_s)
    assert (len(unsent), unsent.lost) == (2, 2)
    unsent.flush()
    assert (sent, unsent.lost) == (given[3:], 3)


async def test_what_is_left_at_the_end_is_counted() -> None:
    unsent = Unsent(lambda _: None, TIMINGS, most=5, age_max_s=10.0)
    unsent.add(commands(1)[0], time.monotonic())
    unsent.told()
    unsent.close()
    assert (len(unsent), unsent.lost) == (0, 1)
