"""`pointsman trace` against real gateways of one worker and of two, and out of their ledger: both say the same."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.end_to_end.proving_ground import parsed
from tests.gateway_process import KEY, gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.redis_servers import redis_server
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

TOKEN = "the-operators-own-token-0123456789"
PROMPT = "a-prompt-that-nobody-may-see"
PRICE = {"input": 2.5, "cached_input": 1.25, "output": 10}


class Told(NamedTuple):
    code: int
    out: str
    err: str


def policy(base_url: str, folder: Path, workers: int) -> dict[str, Any]:
    org = folder.name[-40:]
    provider = {
        "kind": "openai",
        "base_url": base_url,
        "api_key": "sk-upstream-canary-000",
        "breaker": {"failures": 99},
    }
    priced = {"price": PRICE}
    told = {
        "secrets": {"admin_token": TOKEN},
        "server": {"workers": workers},
        "providers": {"up": provider, "resold": provider | {"discount": "10%", "margin": "5%"}},
        "deployments": {
            "broken": {"provider": "up", "model": "status-503", **priced},
            "well": {"provider": "resold", "model": "gpt-5-mini", **priced},
            "unlisted": {"provider": "up", "model": "nobody-lists-this"},
        },
        "routes": [
            {"model": "smart", "targets": ["broken"], "fallbacks": ["well"], "retry": {"attempts": 1}},
            {"model": "alone", "targets": ["broken"], "retry": {"attempts": 1}},
            {"model": "dear", "targets": ["unlisted"]},
            {"model": "kept", "targets": ["well"], "cache": True},
        ],
        "keys": [{"name": "tests", "secret": KEY, "org": org}],
        "orgs": {org: {}},
    }
    return told | ({"state": {"url": redis_server().url}} if workers > 1 else {})


@asynccontextmanager
async def ground(folder: Path, workers: int) -> AsyncIterator[GatewayProcess]:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        async with gateway_process(policy(f"{upstream.url}/v1", folder, workers), folder) as gateway:
            yield gateway


async def ask(gateway: GatewayProcess, model: str, **more: Any) -> str:
    """The id of a call that is over."""
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
    return parsed(await gateway.ask(post("/v1/chat/completions", body))).id


async def hit(gateway: GatewayProcess) -> str:
    """The id of the first call that the cache answers: what is kept is written behind the answer."""
    question = post("/v1/chat/completions", {"model": "kept", "messages": [{"role": "user", "content": PROMPT}]})
    for _ in range(200):
        reply = parsed(await gateway.ask(question))
        if reply.headers["x-pointsman-cache"].startswith("hit"):
            return reply.id
    raise AssertionError("the cache answers nothing")


async def written(gateway: GatewayProcess, request_id: str, count: int) -> None:
    async with asyncio.timeout(10):
        while sum(row["request_id"] == request_id for row in gateway.ledger()) < count:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.02)


async def trace(gateway: GatewayProcess, *words: str, offline: bool = False) -> Told:
    where = (
        ("--ledger", str(gateway.folder / "ledger.db"))
        if offline
        else ("--url", f"http://127.0.0.1:{gateway.admin_port}")
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "trace", *words, *where,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"POINTSMAN_ADMIN_TOKEN": TOKEN},
    )  # fmt: skip
    out, err = await process.communicate()
    return Told(process.returncode or 0, out.decode(), err.decode())


async def traced(gateway: GatewayProcess, *words: str, offline: bool = False) -> dict[str, Any]:
    told = await trace(gateway, *words, "--json", offline=offline)
    assert told.code == 0, told.err
    found: dict[str, Any] = json.loads(told.out)
    return found


@pytest.mark.parametrize("workers", [1, 2])
async def test_every_kind_of_call_is_told_whole_and_the_ledger_alone_tells_the_same_of_its_cost(
    tmp_path: Path, workers: int
) -> None:
    async with ground(tmp_path, workers) as gateway:
        asked = {
            "fallback": await ask(gateway, "smart"),
            "stream": await ask(gateway, "smart", stream=True),
            "failure": await ask(gateway, "alone"),
            "unpriced": await ask(gateway, "dear"),
            "miss": await ask(gateway, "kept"),
            "hit": await hit(gateway),
        }
        for name, request_id in asked.items():
            await written(gateway, request_id, 2 if name in ("fallback", "stream") else 1)
        online = dict(zip(asked, await asyncio.gather(*(traced(gateway, one) for one in asked.values())), strict=True))
        by_ledger = [traced(gateway, one, offline=True) for one in asked.values()]
        offline = dict(zip(asked, await asyncio.gather(*by_ledger), strict=True))
        told = await asyncio.gather(*(trace(gateway, asked[name]) for name in ("fallback", "unpriced")))
        text = "".join(one.out for one in told)
        away = await ask(gateway, "nowhere")
        nobody = await traced(gateway, away)
        unwritten = await trace(gateway, away, offline=True)
    for name, call in online.items():
        assert "unknown" not in call, name
        assert not call.get("disagreeing")
        assert call["attempts"] == offline[name]["attempts"]
        assert call.get("cost_nanousd") == offline[name].get("cost_nanousd")
        assert {**call["call"], "at_ms": 0} == {**offline[name]["call"], "at_ms": 0}
        assert "decision" not in offline[name]
        assert "the decision" in offline[name]["unknown"][0]
        assert all("mismatches" not in one for one in call["attempts"])
        stages = [stage["stage"] for stage in call["timings"]["stages"]]
        assert stages[:3] == ["auth", "read", "route"]
    # 7 tokens are new at 2.3625, 4 cached at 1.18125, 7 out at 9.45 USD per million: 10 % off and 5 % on.
    fallen = online["fallback"]
    assert [one["deployment"] for one in fallen["attempts"]] == ["broken", "well"]
    assert [(line["quantity"], line["rate_nanousd"]) for line in fallen["attempts"][1]["lines"]] == [
        (7, 2_362_500_000), (4, 1_181_250_000), (7, 9_450_000_000),
    ]  # fmt: skip
    assert fallen["cost_nanousd"] == 16_538 + 4_725 + 66_150
    assert fallen["attempts"][1]["price"]["discount_ppm"] == 100_000
    assert online["stream"]["attempts"][1]["ttft_ms"] is not None
    assert online["failure"]["outcome"] == "upstream_error"
    assert "cost_nanousd" not in online["failure"]["attempts"][0] or not online["failure"]["cost_nanousd"]
    assert online["unpriced"]["attempts"][0]["unpriced"] == "no_price"
    assert online["hit"]["cost_nanousd"] == 0
    assert online["hit"]["attempts"][0]["saved_nanousd"] == online["miss"]["cost_nanousd"]
    assert (nobody["outcome"], nobody.get("attempts")) == ("client_error", None)
    assert unwritten.code == 2
    assert "MISMATCH" not in text
    assert "UNPRICED: no_price" in text
    assert "7 tokens x 9.45 USD/M tokens" in text
    assert PROMPT not in text
    assert max(map(len, text.splitlines())) <= 80


async def test_the_last_call_and_the_last_that_failed_are_found(tmp_path: Path) -> None:
    async with ground(tmp_path, 1) as gateway:
        assert (await trace(gateway, "--last", "--errors")).code == 2
        failed, good = await ask(gateway, "alone"), await ask(gateway, "smart")
        await written(gateway, good, 2)
        for offline in (False, True):
            assert (await traced(gateway, "--last", offline=offline))["request_id"] == good
            assert (await traced(gateway, "--last", "--errors", offline=offline))["request_id"] == failed


async def test_after_a_restart_the_ledger_still_tells_and_what_is_gone_is_said(tmp_path: Path) -> None:
    async with ground(tmp_path, 1) as gateway:
        request_id = await ask(gateway, "smart")
        before = await traced(gateway, request_id)
    async with ground(tmp_path, 1) as gateway:
        after = await traced(gateway, request_id)
        told = await trace(gateway, request_id)
    assert after["attempts"] == before["attempts"]
    assert "decision" not in after
    assert "NOT KNOWN" in told.out


async def test_a_ledger_that_was_changed_by_hand_is_told_as_a_mismatch(tmp_path: Path) -> None:
    async with ground(tmp_path, 1) as gateway:
        request_id = await ask(gateway, "smart")
        await written(gateway, request_id, 2)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger, ledger:
            ledger.execute("UPDATE attempts SET cost_nanousd = 1, output_nanousd = 0 WHERE attempt = 2")
        online, offline = await trace(gateway, request_id), await trace(gateway, request_id, offline=True)
        found = await traced(gateway, request_id)
    for told in (online, offline):
        assert "MISMATCH in output: the ledger has 0 USD" in " ".join(told.out.split())
    assert "not the one that this process handed it" in " ".join(online.out.split())
    assert found["disagreeing"] == [2]
    assert {one["part"] for one in found["attempts"][1]["mismatches"]} == {"output", "total"}


async def test_a_call_that_nobody_knows_is_said_so(tmp_path: Path) -> None:
    names = (f"req_{7:028x}", "req_nonsense", "../../metrics", "\x1b[2Jreq")
    async with ground(tmp_path, 1) as gateway:
        ways = [trace(gateway, name, offline=offline) for name in names for offline in (False, True)]
        found = await asyncio.gather(*ways)
    for told in found:
        assert (told.code, told.out) == (2, "")
        assert told.err.startswith("pointsman trace: ")
        assert "\x1b" not in told.err
        assert len(told.err.splitlines()) == 1
