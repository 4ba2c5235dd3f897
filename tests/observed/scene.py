"""The whole picture: providers, two gateways, a collector and a Prometheus, and a while of mixed traffic over all.

    async with observed(folder, Pace(60, seed=7)) as seen:
        seen.prometheus.instant(query, seen.end_s)

When it is handed over, traffic and gateways have ended; Prometheus keeps what it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml

from tests.end_to_end.proving_ground import parsed
from tests.gateway.otlp_receiver import OtlpReceiver
from tests.gateway_process import ROOT, complete, gateway_process
from tests.observed.policy import TOKEN, crew, everything
from tests.observed.prometheus_server import Job, prometheus
from tests.observed.provider import ENGINE_METRICS, Providers
from tests.observed.traffic import CREW_KINDS, KINDS, Seen, run
from tests.redis_servers import redis_server
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.observed.prometheus_server import Prometheus
    from tests.observed.traffic import Pace

EVERY_S = 1.0
BILLED = 1.01  # of what the ledger has: the provider counts a little more
RULES = sorted((ROOT / "dashboards" / "rules").glob("*.yml"))


@dataclass
class Observed:
    """What was seen, by whom. Times are Unix seconds; `start_s` to `end_s` is the run as boards show it."""

    folder: Path
    prometheus: Prometheus
    far: Providers
    collector: OtlpReceiver
    callers: Seen
    crew_callers: Seen
    start_s: float
    end_s: float
    main: str
    crew: str
    ledger: list[dict[str, Any]] = field(default_factory=list)
    crew_ledger: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)


@asynccontextmanager
async def observed(folder: Path, pace: Pace, every_s: float = EVERY_S) -> AsyncIterator[Observed]:
    minutes = pace.seconds / 60 * pace.factor  # of spending as in tests
    async with AsyncExitStack() as stack:
        collector = stack.enter_context(OtlpReceiver())
        far = await stack.enter_async_context(Providers(pace.seed))
        gateways = await stack.enter_async_context(AsyncExitStack())
        main = await _start(
            gateways, folder / "main", everything(far.url, tiny_text_model(folder), collector.endpoint, minutes)
        )
        both = await _start(gateways, folder / "crew", crew(far.url, redis_server().url, minutes))
        jobs = [
            Job("pointsman", f"127.0.0.1:{main.admin_port}", TOKEN),
            Job("pointsman-crew", f"127.0.0.1:{both.admin_port}", TOKEN),
            Job("engines", far.target, labels={"deployment": "rented"}, path=ENGINE_METRICS),
        ]
        server = await stack.enter_async_context(prometheus(folder, jobs, rules=RULES, every_s=every_s))
        callers, crew_callers = Seen(), Seen()
        await _scraped(server)
        await asyncio.sleep(every_s)  # so that what begins has a zero before it
        start_s = time.time()
        far.share = lambda: (time.time() - start_s) / pace.seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run(main, KINDS, pace, callers))
            tasks.create_task(run(both, CREW_KINDS, pace, crew_callers))
            tasks.create_task(_incidents(main, both, pace))
        await _quiet(main)
        await _settled(server, every_s)
        seen = Observed(
            folder=folder,
            prometheus=server,
            far=far,
            collector=collector,
            callers=callers,
            crew_callers=crew_callers,
            start_s=start_s,
            end_s=time.time(),
            main=jobs[0].target,
            crew=jobs[1].target,
        )
        seen.rules = await asyncio.to_thread(server.rules)
        await asyncio.gather(main.stop(), both.stop())
        seen.ledger, seen.crew_ledger, seen.lines = main.ledger(), both.ledger(), main.lines
        await gateways.aclose()
        yield seen


async def _start(stack: AsyncExitStack, folder: Path, policy: dict[str, Any]) -> GatewayProcess:
    await asyncio.to_thread(folder.mkdir)
    return await stack.enter_async_context(gateway_process(policy, folder))


async def _scraped(server: Prometheus) -> None:
    """Both gateways have been; a Prometheus takes its time to find its targets."""
    async with asyncio.timeout(30.0):
        while len(await asyncio.to_thread(server.instant, "pointsman_build_info", time.time())) < 2:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.1)


async def _quiet(gateway: GatewayProcess) -> None:
    """Nothing is under way any more, what the cache asks by itself included."""
    async with asyncio.timeout(30.0):
        while any(one["in_flight"] for one in (await _admin(gateway, "GET", "/deployments"))["deployments"]):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.1)


async def _settled(server: Prometheus, every_s: float) -> None:
    """What was settled last is scraped, too: nothing has grown for three scrapes."""
    growing = "sum(pointsman_requests_total) + sum(pointsman_upstream_attempts_total) + sum(pointsman_tokens_total)"
    same: list[float] = []
    async with asyncio.timeout(30.0 + 3 * every_s):
        while len(same) < 3:
            await asyncio.sleep(every_s)
            (found,) = await asyncio.to_thread(server.instant, growing, time.time())
            same = [*same, found.last] if not same or same[-1] == found.last else [found.last]


async def _incidents(main: GatewayProcess, both: GatewayProcess, pace: Pace) -> None:
    """A third into the run the policy changes, at its half a worker dies, and near its end an invoice comes."""
    await asyncio.sleep(pace.seconds * 0.33)
    policy = yaml.safe_load(main.policy_file.read_text())
    policy["routes"][0]["retry"] = {"attempts": 3, "max_wait": "1ms"}
    main.policy_file.write_text(yaml.safe_dump(complete(policy, main.folder)))
    main.process.send_signal(signal.SIGHUP)
    await asyncio.sleep(pace.seconds * 0.17)
    with contextlib.suppress(ProcessLookupError):
        os.kill((await _admin(both, "GET", "/workers"))[0]["pid"], signal.SIGKILL)
    await asyncio.sleep(pace.seconds * 0.42)
    bill: dict[str, Any] = {"provider": "broker", "nanousd": 1, "month": f"{datetime.now(UTC):%Y-%m}"}
    reckoned = (await _admin(main, "PUT", "/admin/v1/invoices", bill))["ledger_nanousd"]
    await _admin(main, "PUT", "/admin/v1/invoices", bill | {"nanousd": round(reckoned * BILLED)})


async def _admin(gateway: GatewayProcess, method: str, path: str, body: object = None) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    reply = parsed(await gateway.ask(head.encode() + data, port=gateway.admin_port))
    assert reply.status == 200, reply
    return json.loads(reply.body)
