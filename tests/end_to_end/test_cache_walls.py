"""Who is served with whose answers, and what holds when callers leave, gateways restart, and nodes share."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from openai import AuthenticationError

from tests.end_to_end.cached_service import LOGIN, TOKEN, admin, ask, counting, found, metric, policy, sdk, serving
from tests.end_to_end.proving_ground import DONE, ROLE, piece
from tests.gateway_process import KEY, gateway_process, post
from tests.openai_upstream import TEXT
from tests.redis_servers import redis_server
from tests.scripted_upstream import ScriptedUpstream, answer, chunked, forever, request, send, sets, stall, waits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

SHORT = {"exact": {"ttl": "20ms"}}
CHAT = "/v1/chat/completions"
KEYS = {name: f"sk-{name}-0123456789-0123456789" for name in ("ann", "amy", "bob", "out")}
TEAMS: dict[str, dict[str, Any]] = {
    "ann": {"team": "shop"},
    "amy": {"team": "shop"},
    "bob": {"team": "sales"},
    "out": {"cache": False},
}


def keys() -> list[dict[str, Any]]:
    return [{"name": name, "secret": secret, **TEAMS[name]} for name, secret in KEYS.items()]


async def test_a_team_shares_and_nobody_else_does(tmp_path: Path) -> None:
    async with serving(tmp_path, keys=keys()) as (gateway, upstream):
        found, said = {}, {}
        for name in ("ann", "amy", "bob", "out"):
            async with sdk(gateway, KEYS[name]) as client:
                said[name] = await ask(client)
                found[name] = said[name].result
        body = {"id": said["ann"].cache["id"], "verdict": "bad"}
        refused = await gateway.ask(post("/v1/cache/feedback", body, key=KEYS["bob"]))
        taken = await gateway.ask(post("/v1/cache/feedback", body, key=KEYS["amy"]))
        assert len(upstream.requests) == 3
    assert found == {"ann": "miss", "amy": "hit", "bob": "miss", "out": "bypass"}
    assert said["out"].cache == {"reason": "off"}
    assert [reply.split()[1] for reply in (refused, taken)] == [b"404", b"200"]


async def test_a_revoked_key_is_refused_whatever_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path, secrets={"admin_token": TOKEN}) as (gateway, _):
        made = await admin(gateway, "POST", "keys", {"name": "ci"})
        async with sdk(gateway, made["secret"]) as client:
            assert [(await ask(client)).result, (await ask(client)).result] == ["miss", "hit"]
            await admin(gateway, "DELETE", f"keys/{made['key']['id']}")
            with pytest.raises(AuthenticationError):
                await ask(client)


def asked(question: str = LOGIN, *, stream: bool = False) -> bytes:
    return post(CHAT, {"model": "m", "messages": [{"role": "user", "content": question}], "stream": stream})


def whole(text: str = TEXT) -> bytes:
    choices = [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "model": "m-1", "choices": choices, "usage": usage}
    ).encode()


async def test_one_call_is_made_for_a_crowd_though_its_leader_leaves(tmp_path: Path) -> None:
    """The leader is billed for what it began; those who stayed pay nothing."""
    came, onward = asyncio.Event(), asyncio.Event()
    upstream = ScriptedUpstream().then(request(), sets(came), waits(onward), send(answer(whole())))
    async with upstream, gateway_process(policy(upstream.url), tmp_path) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(asked())
        await came.wait()
        following = [asyncio.ensure_future(gateway.ask(asked())) for _ in range(20)]
        async with asyncio.timeout(10.0):
            while await metric(gateway, "inflight_requests") < 21:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.02)
        writer.transport.abort()
        await asyncio.sleep(0.1)
        onward.set()
        replies = await asyncio.gather(*following)
        assert await gateway.stop() == 0
        rows = gateway.ledger()
    assert all(
        b" 200 " in reply.splitlines()[0] and b"x-pointsman-cache: hit; level=exact" in reply for reply in replies
    )
    assert len({reply.partition(b"\r\n\r\n")[2] for reply in replies}) == 1
    made = [row for row in rows if row["cost_nanousd"]]
    assert (len(made), made[0]["output_tokens"], made[0]["outcome"]) == (1, 7, "ok")
    assert len(rows) == 21


async def test_a_leader_without_followers_takes_its_call_along(tmp_path: Path) -> None:
    came = asyncio.Event()
    upstream = ScriptedUpstream().then(request(), sets(came), stall()).otherwise(
        forever(request(), send(answer(whole())))
    )  # fmt: skip
    async with upstream, gateway_process(policy(upstream.url), tmp_path) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(asked())
        await came.wait()
        writer.transport.abort()
        async with asyncio.timeout(5.0):
            await upstream.connections[0].hung_up.wait()
        assert b"x-pointsman-cache: miss" in await gateway.ask(asked())


async def test_a_storm_of_callers_that_come_and_go_gets_nobody_anothers_answer(tmp_path: Path) -> None:
    """Eight questions at once, two of three callers leaving in the middle: who stays has the answer to its own."""

    async def step(peer: Any) -> None:
        await request()(peer)
        body = json.loads(peer.requests[-1].body)
        text = f"about {body['messages'][0]['content']}"
        await asyncio.sleep(0.01)
        stream = chunked(ROLE + piece(text), piece(finish="stop") + DONE)
        await send(stream if body["stream"] else answer(whole(text)))(peer)

    async def one(gateway: GatewayProcess, number: int) -> tuple[int, bytes] | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(asked(f"question {number % 8}", stream=number % 2 == 0))
        if number % 3:
            await asyncio.sleep(number % 11 / 500)
            writer.transport.abort()
            return None
        found = await reader.read()
        writer.close()
        return number % 8, found

    upstream = ScriptedUpstream().otherwise(forever(step))
    async with upstream, gateway_process(policy(upstream.url, SHORT), tmp_path) as gateway:
        found = await asyncio.gather(*(one(gateway, number) for number in range(240)))
        assert await gateway.stop() == 0
    stayed = [pair for pair in found if pair is not None]
    assert len(stayed) == 80
    for number, reply in stayed:
        assert b" 200 " in reply.splitlines()[0]
        assert [other for other in range(8) if f"about question {other}".encode() in reply] == [number]
    assert not [line for line in gateway.text if "Traceback" in line]


async def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    async with counting() as upstream:
        kept = policy(upstream.url) | {"cache": {"file": str(tmp_path / "cache.db")}, "secrets": {"pepper": "p" * 40}}
        async with gateway_process(kept, tmp_path) as gateway, sdk(gateway) as client:
            made = await ask(client)
            assert await gateway.stop() == 0
        async with gateway_process(kept, tmp_path) as gateway, sdk(gateway) as client:
            again = await ask(client)
        assert len(upstream.requests) == 1
    assert (again.result, again.text, again.cache["id"]) == ("hit", TEXT, made.cache["id"])


async def test_two_nodes_share_what_each_has_learnt(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with counting() as upstream:
        shared = policy(upstream.url) | {"state": {"url": f"{redis_server().url}/5"}, "secrets": {"pepper": "p" * 40}}
        async with (
            gateway_process(shared, folders[0]) as one,
            gateway_process(shared, folders[1]) as two,
            sdk(one, KEY) as first,
            sdk(two, KEY) as second,
        ):
            made = await ask(first)
            hit = await found(second, LOGIN)
            told = await two.ask(post("/v1/cache/feedback", {"id": made.cache["id"], "verdict": "bad"}))
            gone = await ask(first)
        assert len(upstream.requests) == 2
    assert (made.result, hit.result, hit.cache["id"], gone.result) == ("miss", "hit", made.cache["id"], "miss")
    assert b" 200 " in told.splitlines()[0]
