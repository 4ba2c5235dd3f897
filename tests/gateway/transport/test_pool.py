from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from adapters.base import WireRequest
from gateway.errors import CancelledUnsent
from gateway.transport import Pool, TransportError
from gateway.transport.pool import WAITING_MIN
from policies.vocabulary import FailureKind, Timeouts
from tests.gateway.transport.conftest import Ask, until
from tests.scripted_upstream import (
    ScriptedUpstream,
    answer,
    close,
    half_close,
    request,
    reset,
    send,
    serve,
    sets,
    stall,
    waits,
)

if TYPE_CHECKING:
    from tests.scripted_upstream import Step

ask = Ask()


async def failure_of(pool: Pool, how: Ask = ask) -> FailureKind:
    with pytest.raises(TransportError) as failed:
        await how(pool)
    return failed.value.failure.kind


async def test_five_hundred_requests_in_a_row_use_one_connection(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(serve(answer(b"hello")))
    for _ in range(500):
        assert await (await ask(pool)).read_all() == b"hello"
    assert len(upstream.connections) == 1
    assert (pool.open_count, pool.idle_count) == (1, 1)


async def test_the_connection_used_last_is_used_first(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(serve(answer()))
    await asyncio.gather(ask(pool), ask(pool))
    for _ in range(3):
        await ask(pool)
    first, second = sorted(len(peer.requests) for peer in upstream.connections)
    assert (first, second) == (1, 4)


async def test_a_connection_closed_while_idle_leaves_the_pool(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(answer()), close())
    await (await ask(pool)).read_all()
    await until(lambda: not pool.open_count)
    assert pool.idle_count == 0


async def test_bytes_nobody_asked_for_close_an_idle_connection(upstream: ScriptedUpstream, pool: Pool) -> None:
    go_on = asyncio.Event()
    upstream.then(request(), send(answer()), waits(go_on), send(answer(b"unasked")), stall())
    upstream.then(request(), send(answer(b"fresh")))
    await (await ask(pool)).read_all()
    go_on.set()
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 2)
    assert pool.open_count == 0
    assert await (await ask(pool)).read_all() == b"fresh"


@pytest.mark.parametrize("death", [close(), reset(), half_close()], ids=["FIN", "RST", "half-close"])
async def test_a_reused_connection_that_dies_unanswered_is_retried_once_on_a_fresh_one(
    upstream: ScriptedUpstream, pool: Pool, death: Step
) -> None:
    upstream.then(request(), send(answer()), request(), death)
    upstream.then(request(), send(answer(b"fresh")))
    await (await ask(pool)).read_all()
    assert await (await ask(pool)).read_all() == b"fresh"
    assert [received.connection for received in upstream.requests] == [0, 0, 1]


async def test_the_retry_happens_once(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(answer()), request(), reset())
    upstream.otherwise(request(), reset())
    await (await ask(pool)).read_all()
    assert await failure_of(pool) is FailureKind.RESET
    assert len(upstream.connections) == 2


async def test_the_retry_does_not_try_another_idle_connection(upstream: ScriptedUpstream) -> None:
    """After an upstream's restart everything idle is stale; only a fresh connection is worth a second try."""
    small = Pool(upstream.url, max_connections=2)
    upstream.then(request(), send(answer()), request(), reset())
    upstream.then(request(), send(answer()), request(), reset())
    upstream.then(request(), send(answer(b"fresh")))
    await asyncio.gather(ask(small), ask(small))
    assert small.idle_count == 2
    assert await (await ask(small)).read_all() == b"fresh"
    await small.close()


async def test_a_fresh_connection_that_dies_is_a_failure(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), close())
    with pytest.raises(TransportError) as failed:
        await ask(pool)
    assert failed.value.failure.kind is FailureKind.RESET
    assert failed.value.failure.maybe_billed
    assert len(upstream.connections) == 1


async def test_a_reused_connection_that_dies_after_a_byte_is_a_failure(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(answer()), request(), send(b"HTTP/1.1 2"), half_close(), stall())
    await (await ask(pool)).read_all()
    assert await failure_of(pool) is FailureKind.RESET
    assert len(upstream.connections) == 1


async def test_an_expired_connection_is_not_used(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(serve(answer()))
    await (await ask(pool)).read_all()
    pool._idle[0].expires_s = 0.0
    await (await ask(pool)).read_all()
    assert len(upstream.connections) == 2
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 2)
    assert pool.open_count == 1


async def test_the_reaper_closes_what_expired_and_comes_again(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(serve(answer()))
    await asyncio.gather(ask(pool), ask(pool))
    pool._idle[0].expires_s = 0.0
    pool._reap()
    assert (pool.open_count, pool.idle_count) == (1, 1)
    assert pool._reaper
    pool._idle[0].expires_s = 0.0
    pool._reap()
    assert pool.open_count == 0
    assert not pool._reaper


async def test_an_exhausted_pool_says_so_within_its_wait(upstream: ScriptedUpstream) -> None:
    async with ScriptedUpstream() as other:
        other.otherwise(serve(answer(b"unharmed")))
        stalled = Pool(upstream.url, max_connections=5, wait_s=0.05)
        neighbour = Pool(other.url, max_connections=5, wait_s=0.05)
        stuck = [asyncio.ensure_future(ask(stalled)) for _ in range(5)]
        await asyncio.sleep(0)
        kinds = await asyncio.gather(*(failure_of(stalled) for _ in range(20)))
        assert set(kinds) == {FailureKind.POOL}
        assert await (await ask(neighbour)).read_all() == b"unharmed"
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert stalled.open_count == 0
        await neighbour.close()


async def test_those_who_wait_are_served_in_turn(upstream: ScriptedUpstream) -> None:
    upstream.otherwise(serve(answer()))
    small, order = Pool(upstream.url, max_connections=1), []

    async def one(number: int) -> None:
        await (await ask(small)).read_all()
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))
    assert order == list(range(10))
    assert len(upstream.connections) == 1
    await small.close()


async def test_a_waiter_gets_the_slot_of_a_connection_that_died(upstream: ScriptedUpstream) -> None:
    small, die = Pool(upstream.url, max_connections=1), asyncio.Event()
    upstream.then(request(), waits(die), reset())
    upstream.then(request(), send(answer(b"fresh")))
    first = asyncio.ensure_future(failure_of(small))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(ask(small))
    await asyncio.sleep(0)
    die.set()
    assert await first is FailureKind.RESET
    assert await (await second).read_all() == b"fresh"
    await small.close()


async def test_a_cancelled_waiter_passes_its_turn_on(upstream: ScriptedUpstream) -> None:
    small = Pool(upstream.url, max_connections=1)
    small._free_slots = 0
    first, second = (asyncio.ensure_future(ask(small)) for _ in range(2))
    await asyncio.sleep(0)
    upstream.otherwise(serve(answer(b"served")))
    small._free_slot()
    first.cancel()
    assert await (await second).read_all() == b"served"
    assert first.cancelled()
    await small.close()
    assert small.open_count == 0


async def test_a_cancelled_waiter_passes_on_the_connection_it_was_handed(upstream: ScriptedUpstream) -> None:
    small = Pool(upstream.url, max_connections=1)
    upstream.otherwise(serve(answer(b"served")))
    await (await ask(small)).read_all()
    connection = small._take(0.0)
    assert connection is not None
    first, second = (asyncio.ensure_future(ask(small)) for _ in range(2))
    await asyncio.sleep(0)
    small.release(connection)
    first.cancel()
    assert await (await second).read_all() == b"served"
    assert len(upstream.connections) == 1
    await small.close()


async def test_cancelling_gives_the_slot_back_whenever_it_comes(pool: Pool) -> None:
    for turns in range(12):
        task = asyncio.ensure_future(ask(pool))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert pool.open_count == 0


async def test_cancelling_closes_the_upstreams_socket_at_once(upstream: ScriptedUpstream, pool: Pool) -> None:
    asked = asyncio.Event()
    upstream.then(request(), sets(asked), stall())
    task = asyncio.ensure_future(ask(pool))
    await asked.wait()
    task.cancel()
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 1)
    assert pool.open_count == 0


async def test_a_cancellation_tells_whether_anything_was_sent(upstream: ScriptedUpstream) -> None:
    small = Pool(upstream.url, max_connections=1)
    asked = asyncio.Event()
    upstream.then(request(), sets(asked), stall())
    ended: list[type[BaseException]] = []

    async def note() -> None:
        try:
            await ask(small)
        except asyncio.CancelledError as cancelled:
            ended.append(type(cancelled))
            raise

    sent = asyncio.ensure_future(note())
    await asked.wait()
    waiting = asyncio.ensure_future(note())
    await asyncio.sleep(0)
    for task in (waiting, sent):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert ended == [CancelledUnsent, asyncio.CancelledError]
    await small.close()


async def test_a_refused_connection_is_a_connect_failure_that_names_no_host() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(TransportError) as failed:
            await ask(Pool(f"http://127.0.0.1:{port}"))
    assert failed.value.failure.kind is FailureKind.CONNECT
    assert not failed.value.failure.maybe_billed
    assert "127" not in failed.value.failure.message
    assert str(port) not in failed.value.failure.message


async def test_a_name_that_does_not_exist_is_a_connect_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert await failure_of(Pool("http://no-such-host.invalid")) is FailureKind.CONNECT


async def test_after_a_wait_for_nothing_the_next_ones_are_turned_away_at_once_until_one_comes_free(
    upstream: ScriptedUpstream,
) -> None:
    small, go_on = Pool(upstream.url, max_connections=1, wait_s=0.05), asyncio.Event()
    upstream.then(request(), waits(go_on), send(answer(b"late")))
    upstream.otherwise(serve(answer()))
    first = asyncio.ensure_future(ask(small))
    await asyncio.sleep(0)
    assert await failure_of(small) is FailureKind.POOL
    started_s = asyncio.get_running_loop().time()
    for _ in range(200):
        assert await failure_of(small) is FailureKind.POOL
    assert asyncio.get_running_loop().time() - started_s < 2, "waits would be ten seconds"
    go_on.set()
    assert await (await first).read_all() == b"late"
    assert (await ask(small)).status == 200
    await small.close()


async def test_no_more_than_so_many_wait(upstream: ScriptedUpstream) -> None:
    small = Pool(upstream.url, max_connections=1, wait_s=60)
    upstream.then(request(), stall())
    waiting = [asyncio.ensure_future(failure_of(small)) for _ in range(1 + WAITING_MIN)]
    await until(lambda: small.waiting_count == WAITING_MIN)
    assert await failure_of(small) is FailureKind.POOL
    waiting[-1].cancel()
    await asyncio.gather(waiting[-1], return_exceptions=True)
    assert small.waiting_count == WAITING_MIN - 1, "who leaves makes room"
    await small.close()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert small.waiting_count == 0


async def test_a_get_has_no_body(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(serve(answer(b"[]")))
    response = await ask(pool)
    await response.read_all()
    await (await Ask(wire=WireRequest("/models", b"", (), method="GET"))(pool)).read_all()
    asked = upstream.requests[-1]
    assert (asked.method, asked.path, asked.body) == ("GET", "/models", b"")


async def test_connecting_takes_no_longer_than_it_may() -> None:
    with FullBacklog() as port:
        slow = Pool(f"http://127.0.0.1:{port}")
        assert await failure_of(slow, Ask(Timeouts(connect_s=0.1))) is FailureKind.CONNECT
        assert await failure_of(slow, Ask(total_s=0.1)) is FailureKind.TOTAL
        assert slow.open_count == 0


class FullBacklog:
    """A listener that accepts nothing more: its queue is full, so the kernel drops every further SYN."""

    def __enter__(self) -> int:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self._queued = []
        for _ in range(4):
            queued = socket.socket()
            queued.setblocking(False)
            queued.connect_ex(self._listener.getsockname())
            self._queued.append(queued)
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        for sock in (*self._queued, self._listener):
            sock.close()


async def test_a_closed_pool_fails_what_is_under_way_and_takes_nothing_more(
    upstream: ScriptedUpstream, pool: Pool
) -> None:
    asked = asyncio.Event()
    upstream.then(request(), sets(asked), stall())
    under_way = asyncio.ensure_future(failure_of(pool))
    await asked.wait()
    await pool.close()
    assert await under_way is FailureKind.RESET
    assert await failure_of(pool) is FailureKind.POOL
    assert pool.open_count == 0


async def test_closing_wakes_those_who_wait_for_a_connection(upstream: ScriptedUpstream) -> None:
    small, asked = Pool(upstream.url, max_connections=1, wait_s=60), asyncio.Event()
    upstream.then(request(), sets(asked), stall())
    first = asyncio.ensure_future(failure_of(small))
    await asked.wait()
    second = asyncio.ensure_future(failure_of(small))
    await asyncio.sleep(0)
    await small.close()
    assert {await first, await second} == {FailureKind.RESET, FailureKind.POOL}


async def test_a_call_whose_time_is_up_sends_nothing(upstream: ScriptedUpstream, pool: Pool) -> None:
    assert await failure_of(pool, Ask(total_s=0.0)) is FailureKind.TOTAL
    assert upstream.connections == []


async def test_nagle_is_off(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(serve(answer()))
    await (await ask(pool)).read_all()
    sock = pool._idle[0]._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_message_is_freed_of_host_and_credentials() -> None:
    pool = Pool("https://llm.internal:8443/v1", (("authorization", "Bearer sk-secret-1"), ("x-flag", "on")))
    said = "on llm.internal:8443 (llm.internal) sk-secret-1 and Bearer sk-secret-1 fail"
    assert pool.redact(said) == "on *** (***) *** and *** fail"
