"""The engine under random callers for long: nothing leaks, nobody is answered twice, forgotten, or differently.

`SOAK_SEED=7 pytest ...` repeats a run's choices; what meets what in the engine still depends on the clock.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.local.frames import Tuning
from tests.engine_callers import Callers, engines_policy, footprints
from tests.engine_crowd import CONTEXT_TOKENS, worker_crowd
from tests.gateway_process import gateway_process
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_crowd import Crowd

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed"
)

SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10**6)))
LENGTHS = [pytest.param(12.0, id="short"), pytest.param(900.0, id="long", marks=pytest.mark.slow)]
SLOTS = 4
# Caches fill during the first part; what grows afterwards leaks.
SETTLING = 0.3
# Caches and the allocator take some 10 MB in the first minutes, all that a short run sees; in a long one, with seventy
# times the jobs, a leak of 0.7 kB a job would show.
GROWTH_BYTES = {12.0: 16 * 1024 * 1024, 900.0: 8 * 1024 * 1024}
GATEWAY_GROWTH_BYTES = 24 * 1024 * 1024


@pytest.mark.parametrize("seconds", LENGTHS)
@pytest.mark.parametrize("deterministic", [False, True], ids=["usual", "deterministic"])
async def test_a_worker_outlives_a_crowd(tmp_path: Path, seconds: float, deterministic: bool) -> None:  # noqa: FBT001
    print(f"SOAK_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    tuning = Tuning(slots=SLOTS, context_tokens=CONTEXT_TOKENS, threads=1, deterministic=deterministic)
    async with worker_crowd(tiny_text_model(tmp_path), tuning, SEED) as crowd:
        await crowd.settle()
        await crowd.come_and_go(seconds * SETTLING, per_s=15)
        await crowd.rest()
        before = crowd.footprint()
        await crowd.come_and_go(seconds * (1 - SETTLING), per_s=15)
        standing = await crowd.rest()
        after = crowd.footprint()

        print(dict(sorted(crowd.check().items())))  # noqa: T201 - and how often each way was taken
        assert standing.known_cells <= standing.cells
        assert after[0] <= before[0] + GROWTH_BYTES[seconds]
        assert after[1:] == before[1:]
        await all_slots_work(crowd)
        if deterministic:
            answers = {asked.text() for asked in crowd.asked.values() if asked.kind == "probe" and asked.finished}
            assert len(answers) == 1


async def all_slots_work(crowd: Crowd) -> None:
    """As many runs as there are slots are at work at once: none of them was lost."""
    runs = [crowd.ask("last", prompt=f"{number} hello", max_tokens=400) for number in range(SLOTS)]
    crowd.standings.clear()
    async with asyncio.timeout(20):
        await asyncio.gather(*(run.ended.wait() for run in runs))
    assert max(standing.running for standing in crowd.standings) == SLOTS
    await crowd.rest()


@pytest.mark.parametrize("seconds", LENGTHS)
async def test_a_gateway_outlives_a_crowd(tmp_path: Path, seconds: float) -> None:
    print(f"SOAK_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    async with gateway_process(engines_policy(tmp_path), tmp_path) as gateway:
        callers = Callers(gateway, SEED)
        await callers.come_and_go(seconds * SETTLING, per_s=10)
        before = footprints(gateway.process.pid)
        await callers.come_and_go(seconds * (1 - SETTLING), per_s=10)
        after = footprints(gateway.process.pid)
        print(dict(sorted(callers.check().items())), before, after)  # noqa: T201 - and how often each way was taken

        assert len(before) == 4  # itself and three workers, none of which was started again
        assert before.keys() == after.keys()
        for name, (resident_bytes, threads, files) in after.items():
            assert resident_bytes <= before[name][0] + GATEWAY_GROWTH_BYTES, name
            assert threads <= before[name][1] + 1, name
            assert files <= before[name][2] + 4, name
    rows = Counter(row["request_id"] for row in gateway.ledger())
    answered = [exchange.request_id for exchange in callers.exchanges if not exchange.left and exchange.status == 200]
    assert len(set(answered)) == len(answered)
    assert [request for request in answered if rows[request] != 1] == []
