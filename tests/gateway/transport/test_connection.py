from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from adapters.base import WireRequest
from gateway.transport import TransportError
from policies.vocabulary import FailureKind, Timeouts
from tests.gateway.transport.conftest import Ask, until
from tests.scripted_upstream import answer, deaf, request, reset, send, serve, sets, stall, waits

if TYPE_CHECKING:
    from gateway.transport import Pool
    from tests.scripted_upstream import ScriptedUpstream

MIB = 1024 * 1024
HUGE = WireRequest("/v1/chat/completions", b"x" * (32 * MIB))


async def test_a_request_goes_out_whole_and_in_order(upstream: ScriptedUpstream, pool: Pool) -> None:
    body = bytes(range(256)) * 20_000
    upstream.then(request(), send(answer(b"thanks")))
    response = await Ask(wire=WireRequest("/v1/embeddings", body))(pool)
    assert await response.read_all() == b"thanks"
    received = upstream.requests[0]
    assert received.body == body
    assert (
        received.raw_head
        == (
            f"POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1:{upstream.port}\r\naccept-encoding: identity\r\n"
            "authorization: Bearer sk-upstream-secret\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode()
    )


async def test_an_upstream_that_does_not_take_the_request_is_a_write_timeout(
    upstream: ScriptedUpstream, pool: Pool
) -> None:
    upstream.then(deaf())
    with pytest.raises(TransportError) as late:
        await Ask(Timeouts(write_s=0.1), wire=HUGE)(pool)
    assert late.value.failure.kind is FailureKind.WRITE
    assert not late.value.failure.maybe_billed
    assert pool.open_count == 0


async def test_a_request_that_was_taken_in_time_has_no_write_limit_left(upstream: ScriptedUpstream, pool: Pool) -> None:
    taken, go_on = asyncio.Event(), asyncio.Event()
    upstream.then(request(), sets(taken), waits(go_on), send(answer()))
    task = asyncio.ensure_future(Ask(Timeouts(write_s=0.15), wire=WireRequest("/v1/x", b"x" * (4 * MIB)))(pool))
    await taken.wait()
    await asyncio.sleep(0.2)
    go_on.set()
    assert (await task).status == 200


async def test_a_reset_before_the_request_is_through_bills_nothing(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(reset())
    with pytest.raises(TransportError) as failed:
        await Ask(wire=HUGE)(pool)
    assert failed.value.failure.kind is FailureKind.RESET
    assert not failed.value.failure.maybe_billed


async def test_a_death_long_after_the_request_is_not_staleness(
    upstream: ScriptedUpstream, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upstream worked on it and may bill it: no second request goes out behind the ledger's back."""
    monkeypatch.setattr("gateway.transport.connection._STALE_WITHIN_S", 0.0)
    upstream.then(request(), send(answer()), request(), reset())
    await (await Ask()(pool)).read_all()
    with pytest.raises(TransportError) as failed:
        await Ask()(pool)
    assert failed.value.failure.kind is FailureKind.RESET
    assert failed.value.failure.maybe_billed
    assert len(upstream.connections) == 1


async def test_one_timer_serves_many_exchanges(
    upstream: ScriptedUpstream, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.otherwise(serve(answer()))
    loop, armed = asyncio.get_running_loop(), []
    call_at = loop.call_at

    def count(when: float, *rest: object) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, *rest)  # type: ignore[arg-type]  # passed on as it came

    await (await Ask()(pool)).read_all()
    monkeypatch.setattr(type(loop), "call_at", lambda _, *rest: count(*rest))
    for _ in range(50):
        await (await Ask()(pool)).read_all()
    assert armed == []


async def test_a_timer_armed_for_an_earlier_exchange_waits_for_the_later_one(
    upstream: ScriptedUpstream, pool: Pool
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    upstream.then(request(), send(answer()), request(), sets(arrived), waits(go_on), send(answer(b"late, but in time")))
    await (await Ask(total_s=0.05)(pool)).read_all()
    task = asyncio.ensure_future(Ask(total_s=5)(pool))
    await arrived.wait()
    await asyncio.sleep(0.1)
    go_on.set()
    assert await (await task).read_all() == b"late, but in time"


async def test_a_closed_connection_leaves_nothing_behind(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(request(), stall())
    task = asyncio.ensure_future(Ask(total_s=600)(pool))
    await until(lambda: upstream.requests)
    (connection,) = pool._open
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert connection._timer is None
    assert connection._response is None
