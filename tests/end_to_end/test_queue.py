"""`queue:` on a route: a caller over its limit waits its fair turn instead of being refused, within bounds."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from tests.end_to_end.proving_ground import GOOD_WHOLE
from tests.gateway_process import gateway_process, one_route, post
from tests.redis_servers import redis_server
from tests.scripted_upstream import ScriptedUpstream, forever, request, send

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer, Step

MESSAGES = [{"role": "user", "content": "How is the weather?"}]
ADA, BOB = "sk-adas-key-for-tests-0123456789", "sk-bobs-key-for-tests-0123456789"
WAIT = {"max_wait": "5s", "max_size": 20}


class Turns:
    """The upstream: answers one call each time the test says so, and notes who asked in which order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.arrived = asyncio.Semaphore(0)
        self.answers = asyncio.Semaphore(0)

    async def step(self, peer: Peer) -> None:
        self.order.append(json.loads(peer.requests[-1].body)["user"])
        self.arrived.release()
        await self.answers.acquire()
        await send(GOOD_WHOLE)(peer)


def scripted(*steps: Step) -> ScriptedUpstream:
    return ScriptedUpstream().otherwise(*steps)


def limited(
    folder: Path, upstream: ScriptedUpstream, queue: dict[str, Any], limit: dict[str, Any]
) -> AbstractAsyncContextManager[GatewayProcess]:
    keys = [{"name": "ada", "secret": ADA, "team": "a"}, {"name": "bob", "secret": BOB, "team": "b"}]
    policy = one_route(f"{upstream.url}/v1", queue=queue) | {"keys": keys, "limits": [limit]}
    return gateway_process(policy, folder)


def ask(gateway: GatewayProcess, user: str, key: str = ADA) -> asyncio.Task[bytes]:
    body = {"model": "m", "messages": MESSAGES, "user": user, "max_tokens": 10}
    return asyncio.create_task(gateway.ask(post("/v1/chat/completions", body, key=key)))


async def waiting(gateway: GatewayProcess, count: int) -> None:
    line = f'pointsman_limit_queue_depth{{route="m"}} {count}'
    async with asyncio.timeout(5.0):
        while line not in (await gateway.admin("/metrics"))[1]:  # noqa: ASYNC110 - another process's number
            await asyncio.sleep(0.01)


async def test_a_burst_of_one_team_does_not_hold_up_another(tmp_path: Path) -> None:
    turns = Turns()
    async with (
        scripted(forever(request(), turns.step)) as upstream,
        limited(tmp_path, upstream, WAIT, {"per": "org", "concurrent": 1}) as gateway,
    ):
        calls = [ask(gateway, "a0")]
        await turns.arrived.acquire()
        for number in range(1, 4):
            calls.append(ask(gateway, f"a{number}"))
            await waiting(gateway, number)
        calls.append(ask(gateway, "b1", BOB))
        await waiting(gateway, 4)
        for _ in calls:
            turns.answers.release()
        answers = await asyncio.gather(*calls)
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert turns.order == ["a0", "a1", "b1", "a2", "a3"]


async def test_a_queue_that_is_full_refuses_with_a_wait(tmp_path: Path) -> None:
    turns = Turns()
    queue = WAIT | {"max_size": 1}
    async with (
        scripted(forever(request(), turns.step)) as upstream,
        limited(tmp_path, upstream, queue, {"per": "key", "concurrent": 1}) as gateway,
    ):
        first = ask(gateway, "a0")
        await turns.arrived.acquire()
        second = ask(gateway, "a1")
        await waiting(gateway, 1)
        refused = await ask(gateway, "a2")
        turns.answers.release()
        turns.answers.release()
        assert (await first).startswith(b"HTTP/1.1 200 ")
        assert (await second).startswith(b"HTTP/1.1 200 ")
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: 1\r\n" in refused
    assert b"wait for this limit already" in refused
    assert b"\r\nx-ratelimit-remaining-" in refused or b"\r\nratelimit: " in refused


async def test_a_rate_that_refills_in_time_is_waited_for(tmp_path: Path) -> None:
    async with (
        scripted(forever(request(), send(GOOD_WHOLE))) as upstream,
        limited(tmp_path, upstream, WAIT, {"per": "key", "requests": "5/s"}) as gateway,
    ):
        answers = await asyncio.gather(*[ask(gateway, str(number)) for number in range(12)])
        await gateway.rows(12)
        _, metrics = await gateway.admin("/metrics")
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    overhead = next(line for line in metrics.splitlines() if line.startswith("pointsman_overhead_seconds_sum"))
    assert float(overhead.split()[-1]) < 1.0  # seven calls waited for four seconds together


async def test_waiting_ends_with_the_caller_and_leaves_the_place_to_the_next(tmp_path: Path) -> None:
    turns = Turns()
    async with (
        scripted(forever(request(), turns.step)) as upstream,
        limited(tmp_path, upstream, WAIT, {"per": "key", "concurrent": 1}) as gateway,
    ):
        first = ask(gateway, "a0")
        await turns.arrived.acquire()
        leaver = ask(gateway, "a1")
        await waiting(gateway, 1)
        stayer = ask(gateway, "a2")
        await waiting(gateway, 2)
        leaver.cancel()
        await waiting(gateway, 1)
        turns.answers.release()
        turns.answers.release()
        assert (await first).startswith(b"HTTP/1.1 200 ")
        assert (await stayer).startswith(b"HTTP/1.1 200 ")
    assert turns.order == ["a0", "a2"]


async def test_a_turn_that_does_not_come_in_time_is_a_429(tmp_path: Path) -> None:
    turns = Turns()
    queue = {"max_wait": "200ms", "max_size": 5}
    async with (
        scripted(forever(request(), turns.step)) as upstream,
        limited(tmp_path, upstream, queue, {"per": "key", "concurrent": 1}) as gateway,
    ):
        first = ask(gateway, "a0")
        await turns.arrived.acquire()
        late = await ask(gateway, "a1")
        turns.answers.release()
        assert (await first).startswith(b"HTTP/1.1 200 ")
    assert late.startswith(b"HTTP/1.1 429 ")
    assert b"took too long" in late


async def test_room_that_another_gateway_gives_back_is_heard_of_at_once(tmp_path: Path) -> None:
    """Both share one Redis; whoever waits asks again when told to, not now and then."""
    turns, org = Turns(), f"queue-{tmp_path.parent.name}"
    async with scripted(forever(request(), turns.step)) as upstream, AsyncExitStack() as running:
        gateways = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            policy = one_route(f"{upstream.url}/v1", queue=WAIT | {"max_wait": "20s"}) | {
                "orgs": {org: {}},
                "keys": [{"name": "ada", "secret": ADA, "org": org}],
                "limits": [{"per": "org", "concurrent": 1}],
                "state": {"url": redis_server().url},
            }
            gateways.append(await running.enter_async_context(gateway_process(policy, tmp_path / name)))
        first = ask(gateways[0], "a0")
        await turns.arrived.acquire()
        second = ask(gateways[1], "a1")
        await waiting(gateways[1], 1)
        turns.answers.release()
        async with asyncio.timeout(5.0):
            await turns.arrived.acquire()
        turns.answers.release()
        assert (await first).startswith(b"HTTP/1.1 200 ")
        assert (await second).startswith(b"HTTP/1.1 200 ")
