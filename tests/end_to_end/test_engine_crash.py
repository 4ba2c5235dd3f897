"""The engine's worker is killed at random instants under many streams: what callers, the gateway and the ledger see."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway_process import gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.xdist_group("engine_crash")

CALLERS = 16
ENGINE, BACKUP = "engine", "backup"
SIGNALS = (signal.SIGKILL, signal.SIGABRT)


@dataclass(frozen=True)
class Told:
    """What one caller got."""

    status: int
    headers: dict[str, str]
    events: list[str]

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def text(self) -> str:
        return "".join(choice["delta"].get("content") or "" for event in self._parsed() for choice in event["choices"])

    @property
    def error(self) -> dict[str, Any] | None:
        last = {} if self.is_whole else json.loads(self.events[-1])
        return last.get("error")

    @property
    def is_whole(self) -> bool:
        return self.events[-1] == "[DONE]"

    @property
    def reasons(self) -> list[str]:
        return [choice["finish_reason"] for event in self._parsed() for choice in event["choices"]
                if choice["finish_reason"]]  # fmt: skip

    def _parsed(self) -> Iterable[dict[str, Any]]:
        parsed = (json.loads(event) for event in self.events if event != "[DONE]")
        return (event for event in parsed if "choices" in event)


def told(data: bytes) -> Told:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    text = (dechunked(body) if headers.get("transfer-encoding") == "chunked" else body).decode()
    events = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return Told(int(first.split()[1]), headers, events or [text])


def dechunked(body: bytes) -> bytes:
    data, at = b"", 0
    while at < len(body):
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        data += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return data


def policy(model_path: Path, backup_url: str) -> dict[str, Any]:
    return {
        "providers": {
            "local": {
                "kind": "llama_cpp",
                "model_path": str(model_path),
                "slots": CALLERS,
                "context_tokens": 512,
                "threads": 1,
            },
            "far": {"kind": "openai", "base_url": f"{backup_url}/v1", "api_key": "sk-upstream-canary-000"},
        },
        "deployments": {
            ENGINE: {"provider": "local", "model": "tiny"},
            BACKUP: {"provider": "far", "model": "gpt-5-mini", "price": {"input": 0.25, "output": 2.0}},
        },
        "routes": [{"model": "safe", "targets": [ENGINE, BACKUP]}, {"model": "alone", "targets": [ENGINE]}],
    }


def body(model: str, number: int, max_tokens: int) -> dict[str, Any]:
    message = {"role": "user", "content": f"Caller {number} wants a story."}
    return {"model": model, "messages": [message], "max_tokens": max_tokens, "stream": True}


async def worker_pid(gateway: GatewayProcess) -> int:
    status, text = await gateway.admin("/deployments")
    assert status == 200
    live = {one["name"]: one["live"] for one in json.loads(text)["deployments"] if one["name"] == ENGINE}
    return int(live[ENGINE]["pid"])


class Wreck:
    """Kills the worker again and again, and keeps what everybody was told."""

    def __init__(self, gateway: GatewayProcess, rng: random.Random) -> None:
        self.answers: list[Told] = []
        self.refused: list[Told] = []
        self.recovery_s: list[float] = []
        self._gateway = gateway
        self._rng = rng

    async def ask(self, model: str, number: int, max_tokens: int = 300) -> Told:
        return told(await self._gateway.ask(post("/v1/chat/completions", body(model, number, max_tokens)), within_s=60))

    async def kill_under_load(self, within_s: float) -> None:
        asked = [asyncio.create_task(self.ask("safe", number)) for number in range(CALLERS)]
        pid = await worker_pid(self._gateway)
        await asyncio.sleep(self._rng.uniform(0.0, within_s))
        os.kill(pid, self._rng.choice(SIGNALS))
        killed_s = time.monotonic()
        # Who comes before the death is noticed shares it, and nobody else is there to serve this route.
        while not (after := await self.ask("alone", 99, max_tokens=1)).is_whole:
            self.refused.append(after)
        self.recovery_s.append(time.monotonic() - killed_s)
        self.answers += [*await asyncio.gather(*asked), after]

    def check_answers(self) -> None:
        for answer in self.answers:
            assert answer.status == 200, answer
            if answer.is_whole:
                assert answer.error is None
                assert answer.reasons in (["length"], ["stop"]), answer
            else:
                assert answer.error is not None, answer
                assert (answer.error["code"], answer.error["type"]) == ("engine_crashed", "api_error")
                assert answer.text, "without a token it should have failed over"
                assert answer.reasons == []

        for answer in self.refused:
            assert answer.status in (502, 503)
            assert answer.error is not None
            assert answer.error["code"].startswith("engine_"), answer

    def check_ledger(self) -> None:
        """One row for each attempt: nothing is lost with the worker, and nothing is written twice."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in self._gateway.ledger():
            rows.setdefault(row["request_id"], []).append(row)
        assert set(rows) == {answer.request_id for answer in self.answers + self.refused}
        for answer in self.answers:
            attempts = rows[answer.request_id]
            assert sorted(row["attempt"] for row in attempts) == list(range(1, len(attempts) + 1))
            *failed, last = sorted(attempts, key=lambda row: row["attempt"])
            assert (last["outcome"] == "ok") == answer.is_whole
            assert last["deployment"] == answer.headers["x-pointsman-deployment"]
            assert all((row["deployment"], row["output_tokens"]) == (ENGINE, 0) for row in failed)
            if not answer.is_whole:
                assert (last["outcome"], last["deployment"]) == ("crashed", ENGINE)
                assert last["output_tokens"] > 0


async def wrecked(folder: Path, model_path: Path, kills: int, rng: random.Random) -> Wreck:
    upstream = ScriptedUpstream().otherwise(forever(speaks_openai(asyncio.Event())))
    async with upstream, gateway_process(policy(model_path, upstream.url), folder) as gateway:
        wreck = Wreck(gateway, rng)
        first = await wreck.ask("alone", 0, max_tokens=1)
        began_s = time.monotonic()
        wreck.answers += [first, *await asyncio.gather(*[wreck.ask("safe", number) for number in range(CALLERS)])]
        usual_s = time.monotonic() - began_s
        for _ in range(kills):
            await wreck.kill_under_load(usual_s)
        assert await gateway.stop() == 0
    return wreck


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    return tiny_text_model(tmp_path)


async def test_killed_thrice_under_16_streams(tmp_path: Path, model_path: Path) -> None:
    wreck = await wrecked(tmp_path, model_path, 3, random.Random(5))
    wreck.check_answers()
    wreck.check_ledger()
    whole = [answer for answer in wreck.answers if answer.is_whole]
    times = " ".join(f"{time_s:.2f}" for time_s in wreck.recovery_s)
    sys.stdout.write(f"{len(whole)} of {len(wreck.answers)} answers whole, recovered after {times} s\n")
    assert max(wreck.recovery_s) < 10.0


@pytest.mark.slow
async def test_killed_a_hundred_times_under_16_streams(tmp_path: Path, model_path: Path) -> None:
    """A worker that dies too often counts as failed for a while, so each gateway sees four deaths."""
    recovery_s: list[float] = []
    broken = over = 0
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        wreck = await wrecked(folder, model_path, 4, random.Random(number))
        wreck.check_answers()
        wreck.check_ledger()
        recovery_s += wreck.recovery_s
        broken += sum(not answer.is_whole for answer in wreck.answers)
        over += sum(answer.headers["x-pointsman-deployment"] == BACKUP for answer in wreck.answers)
    recovery_s.sort()
    times = f"recovery p50 {recovery_s[50]:.2f} s, p95 {recovery_s[95]:.2f} s"
    sys.stdout.write(f"{times}; {broken} streams broken, {over} answered elsewhere\n")
    assert broken > 0
    assert over > 0
    assert len(recovery_s) == 100
