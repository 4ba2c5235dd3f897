from __future__ import annotations

import asyncio

import pytest

from gateway.state.answers import reach as module
from gateway.state.answers.reach import REST_S, Reach
from gateway.state.answers.store import StoreUnavailable


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def answer() -> int:
    return 7


async def fail() -> int:
    raise OSError("gone")


async def hang() -> int:
    await asyncio.Event().wait()
    return 0


def made(clock: Clock | None = None) -> Reach:
    return Reach("a database", (KeyError,), 0.05, clock or Clock())


async def test_what_answers_is_answered() -> None:
    assert await made().ask(answer) == 7


@pytest.mark.parametrize("work", [fail, hang])
async def test_what_fails_or_hangs_is_away_and_left_alone_for_a_moment(work: object) -> None:
    clock = Clock()
    reach = made(clock)
    with pytest.raises(StoreUnavailable, match=r"a database: (OSError|TimeoutError)"):
        await reach.ask(work)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="is away"):
        await reach.ask(answer)
    clock.now += REST_S
    assert await reach.ask(answer) == 7


async def test_what_is_no_failure_of_the_database_is_not_hidden() -> None:
    async def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await made().ask(wrong)


async def test_things_are_told_one_after_another() -> None:
    reach, done = made(), list[int]()

    def work(number: int) -> object:
        async def told() -> None:
            await asyncio.sleep(0.002 * (5 - number))
            done.append(number)

        return told

    for number in range(5):
        reach.tell(work(number))  # type: ignore[arg-type]
    assert reach.unsent == 5
    await reach.settled()
    assert done == [0, 1, 2, 3, 4]


async def test_what_waits_is_bounded_and_given_up_where_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    reach = made()
    for _ in range(5):
        reach.tell(fail)
    assert reach.unsent == 3
    await reach.settled()
    assert reach.unsent == 0


async def test_closing_waits_no_longer_than_an_answer_takes() -> None:
    reach = Reach("a database", (), 0.05)
    reach.tell(hang)
    async with asyncio.timeout(1.0):
        await reach.close()
