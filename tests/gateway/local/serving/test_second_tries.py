from __future__ import annotations

import asyncio

import pytest

from gateway.local.serving.second_tries import SecondTries


def by_s(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_they_go_one_by_one_in_the_order_of_coming() -> None:
    tries, order = SecondTries(), []

    async def go(number: int) -> None:
        await tries.enter(by_s(5))
        order.append(number)
        await asyncio.sleep(0)
        order.append(number)
        tries.leave()

    await asyncio.gather(*map(go, range(3)))
    assert order == [0, 0, 1, 1, 2, 2]


async def test_who_waits_too_long_or_leaves_is_passed_over() -> None:
    tries = SecondTries()
    await tries.enter(by_s(1))
    with pytest.raises(TimeoutError):
        await tries.enter(by_s(0.01))
    gone = asyncio.ensure_future(tries.enter(by_s(5)))
    stays = asyncio.ensure_future(tries.enter(by_s(5)))
    await asyncio.sleep(0)
    gone.cancel()
    tries.leave()
    await stays
    assert gone.cancelled()
