from __future__ import annotations

import asyncio

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.records.live_events import WATCHED_FOR_S, LiveEvents


class Clock:
    """Time as a test tells it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def line(number: int) -> bytes:
    return b'{"n":%d}\n' % number


def anything(_: bytes) -> bool:
    return True


async def heard(
    events: LiveEvents, cursor: str | None, most: int = 100, wait_s: float = 0.0
) -> tuple[list[int], str, int]:
    page = await events.after(cursor, anything, most, wait_s)
    return [msgspec.json.decode(event)["n"] for event in page.events], page.cursor, page.missed


async def test_nothing_is_kept_until_somebody_watches() -> None:
    events = LiveEvents("ab", Clock())
    assert not events.is_watched
    assert await heard(events, None) == ([], "ab-0", 0)
    assert events.is_watched


async def test_what_comes_after_a_cursor_is_told_once_and_in_order() -> None:
    events = LiveEvents("ab", Clock())
    _, cursor, _ = await heard(events, None)
    events.add([line(1), line(2), line(3)])
    told, cursor, _ = await heard(events, cursor, most=2)
    assert told == [1, 2]
    told, cursor, _ = await heard(events, cursor)
    assert told == [3]
    assert await heard(events, cursor) == ([], cursor, 0)


async def test_who_waits_hears_at_once_what_comes() -> None:
    events = LiveEvents("ab", asyncio.get_running_loop().time)
    _, cursor, _ = await heard(events, None)
    waiting = [asyncio.create_task(heard(events, cursor, wait_s=20.0)) for _ in range(2)]
    await asyncio.sleep(0)
    events.add([line(7)])
    async with asyncio.timeout(2.0):
        assert [(await one)[0] for one in waiting] == [[7], [7]]


async def test_waiting_ends_where_nothing_comes() -> None:
    events = LiveEvents("ab", asyncio.get_running_loop().time)
    _, cursor, _ = await heard(events, None)
    assert await heard(events, cursor, wait_s=0.02) == ([], cursor, 0)


async def test_what_is_not_wanted_is_passed_over_and_not_waited_for_again() -> None:
    events = LiveEvents("ab", Clock())
    _, cursor, _ = await heard(events, None)
    events.add([line(number) for number in range(5)])
    page = await events.after(cursor, lambda told: b"3" in told, 10, 0.0)
    assert [msgspec.json.decode(event) for event in page.events] == [{"n": 3}]
    assert page.cursor == "ab-5"


async def test_who_comes_too_late_is_told_how_much_was_missed() -> None:
    events = LiveEvents("ab", Clock(), kept_max=3)
    _, cursor, _ = await heard(events, None)
    events.add([line(number) for number in range(10)])
    assert await heard(events, cursor) == ([7, 8, 9], "ab-10", 7)


async def test_it_forgets_when_nobody_has_asked_for_a_while() -> None:
    clock = Clock()
    events = LiveEvents("ab", clock)
    _, cursor, _ = await heard(events, None)
    events.add([line(1)])
    clock.now_s += WATCHED_FOR_S + 1
    events.add([line(2)])
    assert not events.is_watched
    assert (await heard(events, cursor))[0] == []


async def test_a_cursor_of_the_process_before_starts_this_one_from_its_beginning() -> None:
    events = LiveEvents("ab", Clock())
    await heard(events, None)
    events.add([line(1)])
    for cursor in ("cd-9", "ab-x", "ab", "-", "", "ab-99999999999999999999"):
        told, after, missed = await heard(events, cursor)
        assert (after, missed) == ("ab-1", 0)
        assert told == ([1] if not cursor.startswith("ab-9") else [])


@given(st.lists(st.integers(0, 7), max_size=30), st.integers(1, 5), st.integers(1, 9))
def test_nothing_is_told_twice_or_lost_unsaid(sizes: list[int], most: int, kept_max: int) -> None:
    async def follow() -> None:
        events = LiveEvents("ab", Clock(), kept_max)
        _, cursor, _ = await heard(events, None)
        count, seen, missed = 0, 0, 0
        for size in sizes:
            events.add([line(count + at) for at in range(size)])
            count += size
            told, cursor, gone = await heard(events, cursor, most)
            missed += gone
            assert told == list(range(seen + missed, seen + missed + len(told)))
            seen += len(told)
        while (page := await heard(events, cursor, most))[0]:
            told, cursor, gone = page
            missed, seen = missed + gone, seen + len(told)
        assert seen + missed == count

    asyncio.run(follow())
