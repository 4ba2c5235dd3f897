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
from typing import TYPE_CHECKING, Any

import yaml

from tests.gateway.otlp_receiver import OtlpReceiver
from tests.gateway_process import ROOT, complete, gateway_process
from tests.observed.policy import crew, everything
from tests.observed.prometheus_server import prometheus
from tests.observed.provider import Providers
from tests.observed.traffic import CREW_KINDS, KINDS, Seen, run
from tests.redis_servers import redis_server
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.observed.prometheus_server import Prometheus
    from tests.observed.traffic import Pace

JOB = "pointsman"
EVERY_S = 1.0
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
async def observed(folder: Path, pace: Pace) -> AsyncIterator[Observed]:
    minutes = pace.seconds / 60
    async with AsyncExitStack() as stack:
        collector = stack.enter_context(OtlpReceiver())
        far = await stack.enter_async_context(Providers(pace.seed))
        gateways = await stack.enter_async_context(AsyncExitStack())
        main = await _start(
            gateways, folder / "main", everything(far.url, tiny_text_model(folder), collector.endpoint, minutes)
        )
        both = await _start(gateways, folder / "crew", crew(far.url, redis_server().url, minutes))
        targets = {JOB: [f"127.0.0.1:{gateway.admin_port}" for gateway in (main, both)]}
        server = await stack.enter_async_context(prometheus(folder, targets, rules=RULES, every_s=EVERY_S))
        callers, crew_callers = Seen(), Seen()
        await asyncio.sleep(2 * EVERY_S)  # so that what begins has a zero before it
        start_s = time.time()
        far.share = lambda: (time.time() - start_s) / pace.seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run(main, KINDS, pace, callers))
            tasks.create_task(run(both, CREW_KINDS, pace, crew_callers))
            tasks.create_task(_incidents(main, both, pace))
        await asyncio.sleep(2.5 * EVERY_S)  # what was settled last is scraped, too
        seen = Observed(
            folder=folder,
            prometheus=server,
            far=far,
            collector=collector,
            callers=callers,
            crew_callers=crew_callers,
            start_s=start_s,
            end_s=time.time(),
            main=targets[JOB][0],
            crew=targets[JOB][1],
        )
        seen.rules = await asyncio.to_thread(server.rules)
        await asyncio.gather(main.stop(), both.stop())
        seen.ledger, seen.crew_ledger, seen.lines = main.ledger(), both.ledger(), main.lines
        await gateways.aclose()
        yield seen


async def _start(stack: AsyncExitStack, folder: Path, policy: dict[str, Any]) -> GatewayProcess:
    await asyncio.to_thread(folder.mkdir)
    return await stack.enter_async_context(gateway_process(policy, folder))


async def _incidents(main: GatewayProcess, both: GatewayProcess, pace: Pace) -> None:
    """A third into the run the policy changes, and at its half a worker dies."""
    await asyncio.sleep(pace.seconds * 0.33)
    policy = yaml.safe_load(main.policy_file.read_text())
    policy["routes"][0]["retry"] = {"attempts": 3, "max_wait": "1ms"}
    main.policy_file.write_text(yaml.safe_dump(complete(policy, main.folder)))
    main.process.send_signal(signal.SIGHUP)
    await asyncio.sleep(pace.seconds * 0.17)
    workers = json.loads((await both.admin("/workers"))[1])
    with contextlib.suppress(ProcessLookupError):
        os.kill(workers[0]["pid"], signal.SIGKILL)
