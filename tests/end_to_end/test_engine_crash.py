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
from dataclasses import dataclass, field
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


@dataclass
class Progress:
    """How many pieces of text have come so far, all callers together; `reached` once there are `wanted`."""

    pieces: int = 0
    wanted: int = 1 << 30
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, data: bytes) -> None:
        self.pieces += data.count(b'"content"')
        if self.pieces >= self.wanted:
            self.reached.set()


class Wreck:
    """Kills the worker again and again, and keeps what everybody was told."""

    def __init__(self, gateway: GatewayProcess, rng: random.Random) -> None:
        self.answers: list[Told] = []
        self.refused: list[Told] = []
        self.recovery_s: list[float] = []
        self._gateway = gateway
        self._rng = rng

    async def ask(self, model: str, number: int, progress: Progress, max_tokens: int = 200) -> Told:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
        writer.write(post("/v1/chat/completions", body(model, number, max_tokens)))
        data = b""
        async with asyncio.timeout(60):
            while part := await reader.read(65536):
                progress.add(part)
                data += part
        writer.close()
        return told(data)

    async def serve_all(self) -> int:
        """Once without an accident; how many pieces of text that takes."""
        progress = Progress()
        self.answers.append(await self.ask("alone", 0, Progress(), max_tokens=1))
        self.answers += await asyncio.gather(*[self.ask("safe", number, progress) for number in range(CALLERS)])
        return progress.pieces

    async def kill_under_load(self, pieces: int, early_s: float | None = None) -> None:
        """After `early_s`, when few have got a token yet; or after a random number of pieces of text."""
        progress = Progress(wanted=self._rng.randrange(1, pieces))
        pid = await worker_pid(self._gateway)
        asked = asyncio.gather(*[self.ask("safe", number, progress) for number in range(CALLERS)])
        if early_s is not None:
            await asyncio.sleep(early_s)
        else:
            # All may be through with fewer pieces than usual.
            asked.add_done_callback(lambda _: progress.reached.set())
            await progress.reached.wait()
        os.kill(pid, self._rng.choice(SIGNALS))
        killed_s = time.monotonic()
        # Who comes before the death is noticed shares it, and nobody else is there to serve this route.
        while not (after := await self.ask("alone", 99, Progress(), max_tokens=1)).is_whole:
            self.refused.append(after)
        self.recovery_s.append(time.monotonic() - killed_s)
        self.answers += [*await asked, after]

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


async def wrecked(folder: Path, model_path: Path, rng: random.Random, *early_s: float | None) -> Wreck:
    """What is left after one death for each of `early_s`."""
    upstream = ScriptedUpstream().otherwise(forever(speaks_openai(asyncio.Event())))
    async with upstream, gateway_process(policy(model_path, upstream.url), folder) as gateway:
        wreck = Wreck(gateway, rng)
        pieces = await wreck.serve_all()
        for each_s in early_s:
            await wreck.kill_under_load(pieces, each_s)
        assert await gateway.stop() == 0
    return wreck


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    return tiny_text_model(tmp_path)


async def test_killed_thrice_under_16_streams(tmp_path: Path, model_path: Path) -> None:
    wreck = await wrecked(tmp_path, model_path, random.Random(5), 0.0, None, None)
    wreck.check_answers()
    wreck.check_ledger()
    broken = [answer for answer in wreck.answers if not answer.is_whole]
    over = [answer for answer in wreck.answers if answer.headers["x-pointsman-deployment"] == BACKUP]
    times = " ".join(f"{time_s:.2f}" for time_s in wreck.recovery_s)
    sys.stdout.write(f"{len(broken)} streams broken, {len(over)} answered elsewhere; recovered after {times} s\n")
    assert broken
    assert over
    assert max(wreck.recovery_s) < 10.0


@pytest.mark.slow
async def test_killed_a_hundred_times_under_16_streams(tmp_path: Path, model_path: Path) -> None:
    """A worker that dies too often counts as failed for a while, so each gateway sees four deaths."""
    recovery_s: list[float] = []
    broken = over = 0
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        rng = random.Random(number)
        wreck = await wrecked(folder, model_path, rng, rng.uniform(0.0, 0.1), None, None, None)
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
