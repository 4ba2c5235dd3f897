"""`server.workers`: several processes behind one port share limits, answer operators as one, and survive each other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.proving_ground import GOOD_WHOLE
from tests.gateway_process import KEY, gateway_process, one_route, post
from tests.redis_servers import redis_server
from tests.scripted_upstream import ScriptedUpstream, forever, request, send, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_process import GatewayProcess

MESSAGES = [{"role": "user", "content": "How is the weather?"}]
OK = 'pointsman_requests_total{route="m",model="m",outcome="ok"}'
ASK = post("/v1/chat/completions", {"model": "m", "messages": MESSAGES, "max_tokens": 5})


@asynccontextmanager
async def workers(folder: Path, upstream: ScriptedUpstream, **policy: Any) -> AsyncIterator[GatewayProcess]:
    """A gateway of two workers, its limits in a Redis of the session under a name of its own."""
    org = folder.name[-40:]
    keys = [{"name": "tests", "secret": KEY, "org": org}]
    whole = one_route(f"{upstream.url}/v1") | {"keys": keys, "orgs": {org: {}}} | policy
    whole["server"] = {"workers": 2} | policy.get("server", {})
    async with gateway_process(whole | {"state": {"url": redis_server().url}}, folder) as gateway:
        yield gateway


async def shown(gateway: GatewayProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await gateway.admin("/workers"))[1])
    return found


async def restarted(gateway: GatewayProcess, slot: int) -> dict[str, Any]:
    async with asyncio.timeout(20.0):
        while True:
            worker = (await shown(gateway))[slot]
            if worker["ready"] and worker["restarts"]:
                return worker
            await asyncio.sleep(0.02)


def counts(sample: str) -> bool:
    name = sample.partition("{")[0]
    return name.endswith(("_total", "_bucket", "_count", "_sum"))


async def told(gateway: GatewayProcess, least: dict[str, float]) -> dict[str, float]:
    """The samples of a scrape, once these have come so far: workers push each second."""
    async with asyncio.timeout(20.0):
        while True:
            _, text = await gateway.admin("/metrics")
            lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
            samples = {name: float(value) for name, _, value in lines}
            if all(samples.get(name, -1.0) >= value for name, value in least.items()):
                return samples
            await asyncio.sleep(0.05)


async def test_both_answer_on_one_port_and_count_as_one(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream().otherwise(forever(request(), send(GOOD_WHOLE))) as upstream,
        workers(tmp_path, upstream) as gateway,
    ):
        answers = await asyncio.gather(*[gateway.ask(ASK) for _ in range(40)])
        await gateway.rows(40)
        metrics = await told(gateway, {OK: 40.0})
        status, ready = await gateway.admin("/health/ready")
        pids = {worker["pid"] for worker in await shown(gateway)}
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert metrics["pointsman_workers_ready"] == 2
    assert metrics['pointsman_worker_up{worker="0"}'] == metrics['pointsman_worker_up{worker="1"}'] == 1
    assert 0 <= metrics['pointsman_worker_last_push_age_seconds{worker="1"}'] < 5
    starts = {metrics[f'process_start_time_seconds{{worker="{one}"}}'] for one in ("0", "1", "supervisor")}
    assert len(starts) == 3
    assert (status, json.loads(ready)["status"]) == (200, "ready")
    assert len(pids) == 2
    assert len({row["request_id"] for row in gateway.ledger()}) == 40


async def test_a_limit_holds_for_all_workers_together(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream().otherwise(forever(request(), send(GOOD_WHOLE))) as upstream,
        workers(tmp_path, upstream, limits=[{"per": "key", "requests": "10/h"}]) as gateway,
    ):
        answers = await asyncio.gather(*[gateway.ask(ASK) for _ in range(40)])
    assert sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers) == 10
    assert sum(answer.startswith(b"HTTP/1.1 429 ") for answer in answers) == 30


async def test_a_worker_that_is_killed_is_replaced_and_takes_no_call_of_another_along(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream().otherwise(forever(request(), send(GOOD_WHOLE))) as upstream,
        workers(tmp_path, upstream) as gateway,
    ):
        first = (await shown(gateway))[0]["pid"]
        os.kill(first, signal.SIGKILL)
        worker = await restarted(gateway, 0)
        answers = await asyncio.gather(*[gateway.ask(ASK) for _ in range(20)])
        metrics = await told(gateway, {OK: 20.0})
    assert worker["pid"] != first
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert metrics['pointsman_worker_restarts_total{worker="0"}'] == 1


async def test_no_counter_goes_back_when_workers_are_killed_and_what_they_had_told_stays(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream().otherwise(forever(request(), send(GOOD_WHOLE))) as upstream,
        workers(tmp_path, upstream) as gateway,
    ):
        await asyncio.gather(*[gateway.ask(ASK) for _ in range(40)])
        before = await told(gateway, {OK: 40.0})
        for slot in (0, 1):
            os.kill((await shown(gateway))[slot]["pid"], signal.SIGKILL)
            await restarted(gateway, slot)
        between = await told(gateway, {OK: 40.0})
        await asyncio.gather(*[gateway.ask(ASK) for _ in range(10)])
        after = await told(gateway, {OK: 50.0})
    for earlier, later in ((before, between), (between, after)):
        gone_back = {name for name, value in earlier.items() if counts(name) and later.get(name, 0.0) < value}
        assert not gone_back
    assert after[OK] == 50
    assert after['pointsman_worker_up{worker="0"}'] == after['pointsman_worker_up{worker="1"}'] == 1


async def test_a_worker_that_hangs_is_seen_to(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream().otherwise(forever(request(), send(GOOD_WHOLE))) as upstream,
        workers(tmp_path, upstream) as gateway,
    ):
        await told(gateway, {'pointsman_worker_up{worker="0"}': 1.0})
        pid = (await shown(gateway))[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            metrics = await told(gateway, {'pointsman_worker_last_push_age_seconds{worker="0"}': 3.0})
        finally:
            os.kill(pid, signal.SIGCONT)
    assert metrics['pointsman_worker_up{worker="0"}'] == 0
    assert metrics['pointsman_worker_up{worker="1"}'] == 1


async def test_a_stop_drains_every_worker(tmp_path: Path) -> None:
    goes_on = asyncio.Event()

    async def rest(peer: Any) -> None:
        await goes_on.wait()
        await send(GOOD_WHOLE)(peer)

    async with (
        ScriptedUpstream().otherwise(request(), rest, stall()) as upstream,
        workers(tmp_path, upstream) as gateway,
    ):
        calls = [asyncio.create_task(gateway.ask(ASK)) for _ in range(6)]
        async with asyncio.timeout(5.0):
            while len(upstream.requests) < 6:  # noqa: ASYNC110 - they come on connections of their own
                await asyncio.sleep(0.01)
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5.0):
            while (await gateway.admin("/health/ready"))[0] != 503:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.01)
        goes_on.set()
        answers = await asyncio.gather(*calls)
        assert await gateway.stop() == 0
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def test_a_reload_reaches_every_worker(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream().otherwise(forever(request(), send(GOOD_WHOLE))) as upstream,
        workers(tmp_path, upstream) as gateway,
    ):
        text = gateway.policy_file.read_text()
        gateway.policy_file.write_text(text.replace("model: m\n", "model: renamed\n"))
        gateway.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10.0):
            while True:
                views = json.loads((await gateway.admin("/deployments"))[1])["workers"].values()
                if [view["generation"] for view in views] == [2, 2]:
                    break
                await asyncio.sleep(0.02)
        answers = await asyncio.gather(*[gateway.ask(ASK) for _ in range(10)])
    assert all(answer.startswith(b"HTTP/1.1 404 ") for answer in answers)


async def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream().otherwise(request(), stall()) as upstream,
        workers(tmp_path, upstream, server={"drain": "200ms"}) as gateway,
    ):
        pids = [worker["pid"] for worker in await shown(gateway)]
        gateway.process.kill()
        async with asyncio.timeout(15.0):
            while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110 - others' children cannot be waited for
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"server": {"workers": 2}}, r"server.workers: .* need a shared state"),
        ({"state": {"url": "redis://127.0.0.1:1", "nodes": 2}}, r"state.nodes: .* need a ledger in postgresql"),
        ({"state": {"url": "memory://", "nodes": 2}}, r"state.nodes: .* need a shared state"),
    ],
)
async def test_what_would_multiply_limits_or_split_a_ledger_does_not_start(
    tmp_path: Path, policy: dict[str, Any], why: str
) -> None:
    with pytest.raises(AssertionError, match=why):
        async with gateway_process(one_route("http://127.0.0.1:1/v1") | policy, tmp_path):
            pytest.fail("it started")


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
