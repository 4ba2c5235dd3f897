import asyncio

from gateway.generation import InUse


async def test_a_generation_that_nobody_uses_is_over_at_once() -> None:
    in_use = InUse()
    in_use.calls += 1
    in_use.release()
    async with asyncio.timeout(1):
        await in_use.until_over()


async def test_a_generation_is_over_when_its_last_call_is() -> None:
    in_use = InUse()
    in_use.calls += 2
    waiting = asyncio.create_task(in_use.until_over())
    await asyncio.sleep(0)
    in_use.release()
    await asyncio.sleep(0)
    assert not waiting.done()
    in_use.release()
    async with asyncio.timeout(1):
        await waiting
