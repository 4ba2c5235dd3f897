"""`on_disconnect: drain`: the caller leaves, the upstream is read to its end, and its own count is what is paid."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.end_to_end.proving_ground import DONE, GOOD_WHOLE, ROLE, piece, usage_piece
from tests.gateway_process import gateway_process, one_route, post
from tests.scripted_upstream import ScriptedUpstream, chunk, head, request, send, stall, waits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Step

SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
BEGUN = SSE + chunk(ROLE + piece("one two three"))
REST = chunk(piece(" four") + piece(finish="stop") + usage_piece({"prompt_tokens": 11, "completion_tokens": 7}) + DONE)
END = b"0\r\n\r\n"
MESSAGES = [{"role": "user", "content": "How is the weather?"}]


def draining(base_url: str, **policy: Any) -> dict[str, Any]:
    found = one_route(f"{base_url}/v1") | policy
    found["deployments"]["a"]["on_disconnect"] = "drain"
    return found


async def leave(gateway: GatewayProcess, *, stream: bool, after: bytes, upstream: asyncio.Event | None = None) -> None:
    """Ask, wait for `after` of the answer (or for the upstream to have the request), and hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(post("/v1/chat/completions", {"model": "m", "messages": MESSAGES, "stream": stream}))
    if after:
        await asyncio.wait_for(reader.readuntil(after), 5.0)
    if upstream is not None:
        await asyncio.wait_for(upstream.wait(), 5.0)
    writer.transport.abort()


async def in_flight(gateway: GatewayProcess, count: int) -> None:
    line = f'pointsman_inflight_requests{{route="m"}} {count}'
    async with asyncio.timeout(5.0):
        while line not in (await gateway.admin("/metrics"))[1]:  # noqa: ASYNC110 - another process's number
            await asyncio.sleep(0.01)


def scripted(*steps: Step) -> ScriptedUpstream:
    return ScriptedUpstream().then(*steps)


def arrives(event: asyncio.Event) -> Step:
    async def step(_: object) -> None:
        event.set()

    return step


async def test_a_stream_is_read_to_its_end_and_paid_by_the_upstream_s_count(tmp_path: Path) -> None:
    goes_on = asyncio.Event()
    async with (
        scripted(request(), send(BEGUN), waits(goes_on), send(REST + END), stall()) as upstream,
        gateway_process(draining(upstream.url), tmp_path) as gateway,
    ):
        await leave(gateway, stream=True, after=b"three")
        goes_on.set()
        (row,) = await gateway.rows(1)
    assert (row["outcome"], row["cancelled"], row["estimated"]) == ("client_cancelled", 1, 0)
    assert (row["input_tokens"], row["output_tokens"]) == (11, 7)


async def test_a_whole_answer_is_waited_for_and_paid_by_the_upstream_s_count(tmp_path: Path) -> None:
    goes_on, arrived = asyncio.Event(), asyncio.Event()
    async with (
        scripted(request(), arrives(arrived), waits(goes_on), send(GOOD_WHOLE), stall()) as upstream,
        gateway_process(draining(upstream.url), tmp_path) as gateway,
    ):
        await leave(gateway, stream=False, after=b"", upstream=arrived)
        await in_flight(gateway, 1)
        goes_on.set()
        (row,) = await gateway.rows(1)
        await in_flight(gateway, 0)
    assert (row["outcome"], row["cancelled"], row["estimated"]) == ("client_cancelled", 1, 0)
    assert (row["input_tokens"], row["output_tokens"]) == (3, 2)


async def test_what_breaks_on_the_way_is_estimated_and_moves_nowhere_else(tmp_path: Path) -> None:
    goes_on = asyncio.Event()
    async with scripted(request(), send(BEGUN), waits(goes_on)) as upstream:
        policy = draining(upstream.url)
        policy["deployments"]["b"] = {"provider": "scripted", "model": "gpt-4o-mini"}
        policy["routes"][0]["fallbacks"] = ["b"]
        async with gateway_process(policy, tmp_path) as gateway:
            await leave(gateway, stream=True, after=b"three")
            goes_on.set()
            (row,) = await gateway.rows(1)
    assert (row["cancelled"], row["estimated"]) == (1, 1)
    assert row["output_tokens"] >= 3


async def test_the_hold_stays_while_the_upstream_goes_on(tmp_path: Path) -> None:
    """Somebody who hangs up and asks again does not get twice the concurrency."""
    goes_on = asyncio.Event()
    async with scripted(request(), send(BEGUN), waits(goes_on), send(REST + END), stall()) as upstream:
        policy = draining(upstream.url, limits=[{"per": "key", "concurrent": 1}])
        async with gateway_process(policy, tmp_path) as gateway:
            await leave(gateway, stream=True, after=b"three")
            ask = post("/v1/chat/completions", {"model": "m", "messages": MESSAGES})
            assert (await gateway.ask(ask)).startswith(b"HTTP/1.1 429 ")
            goes_on.set()
            await gateway.rows(1)
            await in_flight(gateway, 0)


async def test_a_gateway_that_stops_waits_no_longer_than_its_drain(tmp_path: Path) -> None:
    async with scripted(request(), send(BEGUN), stall()) as upstream:
        policy = draining(upstream.url, server={"drain": "200ms"})
        async with gateway_process(policy, tmp_path) as gateway:
            await leave(gateway, stream=True, after=b"three")
            assert await gateway.stop(within_s=10.0) == 0
            (row,) = gateway.ledger()
    assert (row["cancelled"], row["estimated"]) == (1, 1)
