"""`Idempotency-Key`: a caller who asks again gets the answer that is there, or on its way, and is billed once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.proving_ground import DONE, ROLE, piece, usage_piece, whole
from tests.gateway_process import gateway_process, one_route, post
from tests.redis_servers import redis_server
from tests.scripted_upstream import ScriptedUpstream, answer, chunk, head, request, send, sets, waits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Step

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
BEGUN = head(content_type="text/event-stream", transfer_encoding="chunked") + chunk(ROLE + piece("one "))
COST = b": x-pointsman-cost-usd 0.00000585\n\n"
REST = chunk(piece("two") + piece(finish="stop") + usage_piece(USAGE) + DONE) + b"0\r\n\r\n"


def asked(key: str = "k-1", *, stream: bool = False, text: str = "hi") -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}
    return post(CHAT, body, f"Idempotency-Key: {key}")


def parts(answered: bytes) -> tuple[int, dict[str, str], bytes]:
    top, _, body = answered.partition(b"\r\n\r\n")
    status, *lines = top.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


def made_once(*steps: Step) -> ScriptedUpstream:
    """One call is answered; a second one would wait for ever."""
    return ScriptedUpstream().then(request(), *steps)


async def one_row(gateway: GatewayProcess) -> dict[str, Any]:
    """The only row of the ledger, once the gateway has stopped."""
    assert await gateway.stop() == 0
    (row,) = gateway.ledger()
    return row


def policy(upstream: ScriptedUpstream) -> dict[str, Any]:
    return one_route(f"{upstream.url}/v1")


async def test_the_same_call_again_is_answered_as_it_was_and_billed_once(tmp_path: Path) -> None:
    async with (
        made_once(send(answer(whole("hello")))) as upstream,
        gateway_process(policy(upstream), tmp_path) as gateway,
    ):
        first, again = parts(await gateway.ask(asked())), parts(await gateway.ask(asked()))
        other = parts(await gateway.ask(asked(text="ho")))
        metrics = (await gateway.admin("/metrics"))[1]
        row = await one_row(gateway)
    assert again[2] == first[2]
    assert "idempotency-replayed" not in first[1]
    assert again[1]["idempotency-replayed"] == "true"
    assert again[1]["x-pointsman-original-request"] == first[1]["x-request-id"] == row["request_id"]
    assert again[1]["x-request-id"] != first[1]["x-request-id"]
    assert (other[0], json.loads(other[2])["error"]["code"]) == (422, "idempotency_key_reused")
    assert 'pointsman_idempotent_replays_total{outcome="replayed"} 1' in metrics
    lines = [line for line in gateway.lines if line.get("replay_of")]
    assert [(line["status"], line["outcome"], line["timing_ms"]["overhead"]) for line in lines] == [(200, "ok", 0.0)]


async def test_who_asks_again_while_a_stream_runs_gets_it_from_its_beginning(tmp_path: Path) -> None:
    begun, onward = asyncio.Event(), asyncio.Event()
    upstream = made_once(send(BEGUN), sets(begun), waits(onward), send(REST))
    async with upstream, gateway_process(policy(upstream), tmp_path) as gateway:
        first = asyncio.ensure_future(gateway.ask(asked(stream=True)))
        await begun.wait()
        joined = asyncio.ensure_future(gateway.ask(asked(stream=True)))
        await asyncio.sleep(0.1)
        onward.set()
        told, joined_told = parts(await first), parts(await joined)
        later = parts(await gateway.ask(asked(stream=True)))
        row = await one_row(gateway)
    assert joined_told[1]["idempotency-replayed"] == "true"
    texts = [b"".join(body.split(b"\r\n")[1::2]) for _, _, body in (told, joined_told, later)]
    assert COST in texts[0]  # only the call that it was made for has to pay
    texts[0] = texts[0].replace(COST, b"")
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].endswith(b"data: [DONE]\n\n")
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == (11, 7, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_who_lost_the_connection_gets_the_answer_with_the_next_try(tmp_path: Path, stream: bool) -> None:  # noqa: FBT001 - a parameter
    asked_for, onward = asyncio.Event(), asyncio.Event()
    rest = send(BEGUN + REST) if stream else send(answer(whole("hello", usage=USAGE)))
    upstream = made_once(sets(asked_for), waits(onward), rest)
    async with upstream, gateway_process(policy(upstream), tmp_path) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(asked(stream=stream))
        await asked_for.wait()
        writer.transport.abort()
        await asyncio.sleep(0.1)
        again = asyncio.ensure_future(gateway.ask(asked(stream=stream)))
        await asyncio.sleep(0.1)
        onward.set()
        status, headers, body = parts(await again)
        row = await one_row(gateway)
    assert (status, headers["idempotency-replayed"]) == (200, "true")
    assert (b"[DONE]" if stream else b"hello") in body
    assert (row["input_tokens"], row["output_tokens"], row["estimated"], row["outcome"]) == (11, 7, 0, "ok")


async def test_two_nodes_make_a_call_once(tmp_path: Path) -> None:
    asked_for, onward = asyncio.Event(), asyncio.Event()
    upstream = made_once(sets(asked_for), waits(onward), send(answer(whole("hello"))))
    shared = {
        "state": {"url": f"{redis_server().url}/3"},
        "secrets": {"pepper": "the-same-on-both-0123456789-0123456789"},
    }
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with (
        upstream,
        gateway_process(policy(upstream) | shared, folders[0]) as one,
        gateway_process(policy(upstream) | shared, folders[1]) as two,
    ):
        first = asyncio.ensure_future(one.ask(asked("two-nodes")))
        await asked_for.wait()
        waiting = asyncio.ensure_future(two.ask(asked("two-nodes")))
        await asyncio.sleep(0.1)
        other = parts(await two.ask(asked("two-nodes", text="ho")))
        onward.set()
        found = [parts(await first), parts(await waiting), parts(await two.ask(asked("two-nodes")))]
        assert [await node.stop() for node in (one, two)] == [0, 0]
    assert [status for status, _, _ in found] == [200] * 3
    assert found[0][2] == found[1][2] == found[2][2]
    assert other[0] == 422
    assert (len(one.ledger()), len(two.ledger())) == (1, 0)


async def test_without_the_shared_store_no_call_with_a_key_is_made(tmp_path: Path) -> None:
    """The others are."""
    async with ScriptedUpstream().then(request(), send(answer(whole("hello")))) as upstream:
        shared = policy(upstream) | {"state": {"url": "redis://127.0.0.1:1"}}
        async with gateway_process(shared, tmp_path) as gateway:
            status, headers, body = parts(await gateway.ask(asked()))
            plain = await gateway.ask(post(CHAT, {"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
    assert (status, json.loads(body)["error"]["code"]) == (503, "idempotency_unavailable")
    assert headers["retry-after"] == "1"
    assert parts(plain)[0] == 200
