"""Hardware of one's own behind a real gateway: the charge price, whose the time was, and what idled."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gateway.__main__ import main
from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, forever, request, send, sets, waits
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

BODY = json.dumps({"model": "big", "messages": [{"role": "user", "content": "hi"}]}).encode()
ANSWER = json.dumps({
    "id": "1", "object": "chat.completion", "created": 1, "model": "llama",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hey"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
}).encode()  # fmt: skip
# 7.2 USD an hour at 2,000 tokens a second, half of the time: 2 USD for a million of them.
GPU = {"usd_per_hour": 3.6, "gpus": 2, "tokens_per_s": 2000, "utilisation": "50%"}


def policy(url: str) -> dict[str, Any]:
    return {
        "providers": {"vllm": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "none"}},
        "deployments": {"llama": {"provider": "vllm", "model": "llama", "gpu": GPU}},
        "routes": [{"model": "big", "targets": ["llama"]}],
    }


def sample(metrics: str, name: str, state: str) -> float:
    start = f'{name}{{deployment="llama",state="{state}"}} '
    return float(next(line for line in metrics.splitlines() if line.startswith(start)).removeprefix(start))


async def test_three_numbers_of_one_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrived, onward = asyncio.Event(), asyncio.Event()
    upstream = ScriptedUpstream()
    upstream.then(request(), sets(arrived), waits(onward), send(answer(ANSWER)))
    upstream.otherwise(forever(request(), send(answer(ANSWER))))
    async with upstream, gateway_process(policy(upstream.url), tmp_path) as gateway:
        slow = asyncio.create_task(gateway.ask(post("/v1/chat/completions", BODY)))
        await arrived.wait()
        assert b"200 OK" in await gateway.ask(post("/v1/chat/completions", BODY))
        onward.set()
        assert b"200 OK" in await slow
        rows = await gateway.rows(2)
        _, metrics = await gateway.admin("/metrics")
        await gateway.stop()
    assert [row["cost_nanousd"] for row in rows] == [3_000_000] * 2
    assert {row["price_source"] for row in rows} == {"local_standard"}
    assert {row["price_id"] for row in rows} == {
        "local/llama@7200000000/h,2000,-,-/s,0.5=2000000000,2000000000,2000000000"
    }
    busy_s, idle_s = (sample(metrics, "pointsman_local_gpu_seconds_total", state) for state in ("busy", "idle"))
    assert abs(sum(row["gpu_us"] for row in rows) / 1e6 - busy_s) < 1e-5
    assert busy_s > 0
    assert idle_s > 0
    for state, gpu_s in (("busy", busy_s), ("idle", idle_s)):
        cost = sample(metrics, "pointsman_local_gpu_cost_usd_total", state)
        assert abs(cost - gpu_s * 0.001) < 1e-4  # two samples of one scrape, a moment apart
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        columns = "sum(busy_us), sum(idle_us), sum(busy_nanousd), sum(idle_nanousd)"
        (hours,) = ledger.execute(f"SELECT {columns} FROM hardware_hours WHERE deployment = 'llama'")  # noqa: S608 - our words
    assert hours[0] / 1e6 >= busy_s - 1e-5
    assert hours[1] / 1e6 >= idle_s - 1e-5
    words = ["usage", "--ledger", str(tmp_path / "ledger.db"), "--by", "deployment", "--json"]
    assert await asyncio.to_thread(main, words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["total"]["gpu_us"] == sum(row["gpu_us"] for row in rows)
    assert told["hardware"]["charged_nanousd"] == told["total"]["cost_nanousd"] == 6_000_000
    assert told["idle"][0]["name"] == "_idle llama"
    assert told["idle"][0]["idle_nanousd"] == hours[3]
    assert told["hardware"]["variance_nanousd"] == hours[2] + hours[3] - 6_000_000


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
async def test_our_own_engine_tells_its_time_itself(tmp_path: Path) -> None:
    """Whole, streamed, and with a caller who leaves: the parts of all are what the engine was busy for, at most."""
    gpu = {"usd_per_hour": 3.6, "tokens_per_s": 100, "utilisation": "100%"}
    own = {"kind": "llama_cpp", "model_path": str(tiny_text_model(tmp_path)), "threads": 1, "slots": 4, "gpu": gpu}
    tree = {
        "providers": {"own": own | {"context_tokens": 512, "gpu_layers": 0}},
        "deployments": {"llama": {"provider": "own"}},
        "routes": [{"model": "big", "targets": ["llama"]}],
    }
    body = {"model": "big", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 60}
    async with gateway_process(tree, tmp_path) as gateway:
        bodies = [body | {"stream": number % 2 == 0} for number in range(6)]
        answers = await asyncio.gather(
            *(gateway.ask(post("/v1/chat/completions", json.dumps(one).encode())) for one in bodies)
        )
        assert all(b"200 OK" in one for one in answers)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(post("/v1/chat/completions", json.dumps(body | {"stream": True, "max_tokens": 400}).encode()))
        await reader.readuntil(b"data: ")
        writer.close()
        rows = await gateway.rows(7)
        settled_s, busy_s, idle_s = sum(row["gpu_us"] or 0 for row in rows) / 1e6, -1.0, 0.0
        async with asyncio.timeout(10):  # the engine's numbers are a moment old, and what is young is not called idle
            while busy_s < settled_s or not idle_s:
                _, metrics = await gateway.admin("/metrics")
                busy_s, idle_s = (sample(metrics, "pointsman_local_gpu_seconds_total", one) for one in ("busy", "idle"))
    finished = [row for row in rows if not row["cancelled"]]
    assert len(finished) == 6
    assert all(row["gpu_us"] > 0 for row in finished)
    assert all(abs(row["gpu_us"] / 1000 - row["engine_ms"]) <= 0.51 for row in finished)
    assert {row["price_source"] for row in finished} == {"local_standard"}
    assert abs(sample(metrics, "pointsman_local_gpu_cost_usd_total", "busy") - busy_s * 0.001) < 1e-4
