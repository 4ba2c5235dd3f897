import asyncio

from gateway.lifecycle import Lifecycle


async def test_the_first_request_to_stop_drains_and_the_second_hurries() -> None:
    lifecycle = Lifecycle()
    lifecycle.request_stop()
    assert lifecycle.stop_requested.is_set()
    assert not lifecycle.stop_now.is_set()
    lifecycle.request_stop()
    assert lifecycle.stop_now.is_set()


async def test_calls_are_counted_as_a_whole_and_by_route() -> None:
    lifecycle = Lifecycle()
    for _ in range(2):
        lifecycle.enter()
        lifecycle.enter_route("r")
    lifecycle.enter()
    assert (lifecycle.in_flight, lifecycle.in_flight_by_route) == (3, {"r": 2})
    lifecycle.leave("r")
    lifecycle.leave(None)
    assert (lifecycle.in_flight, lifecycle.in_flight_by_route) == (1, {"r": 1})


async def test_without_calls_there_is_nothing_to_wait_for() -> None:
    assert await Lifecycle().until_idle(0)


async def test_draining_ends_with_the_last_call() -> None:
    lifecycle = Lifecycle()
    lifecycle.enter()
    lifecycle.enter()
    lifecycle.draining = True
    waiting = asyncio.create_task(lifecycle.until_idle(5))
    await asyncio.sleep(0)
    lifecycle.leave(None)
    await asyncio.sleep(0)
    assert not waiting.done()
    lifecycle.leave(None)
    assert await waiting


async def test_draining_ends_without_the_last_call_when_time_is_up() -> None:
    lifecycle = Lifecycle()
    lifecycle.enter()
    lifecycle.draining = True
    assert not await lifecycle.until_idle(0.01)
