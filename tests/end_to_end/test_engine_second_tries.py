"""An engine dies under calls that can go nowhere else: who is answered, how often they are tried, what is told."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.local.serving.supervisor import Supervisor
from policies.restarts import RestartPolicy
from tests.end_to_end.poisoned_worker import COMPUTING, PREPARING
from tests.gateway.admin.listening import FILE_KEY, listening
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from gateway.local.frames import Load
    from tests.gateway.admin.listening import Listening, Told

pytest.importorskip("llama_cpp")
# Nobody has ended before everybody is there.
LONG = 450
POISONED = (sys.executable, "-P", str(Path(__file__).with_name("poisoned_worker.py")))


def one_engine(folder: Path, slots: int) -> dict[str, Any]:
    model_path = str(tiny_text_model(folder))
    engine = {"kind": "llama_cpp", "model_path": model_path, "slots": slots, "context_tokens": 512, "threads": 1}
    return {
        "providers": {"local": engine},
        "deployments": {"engine": {"provider": "local", "model": "tiny"}},
        "routes": [{"model": "alone", "targets": ["engine"]}],
    }


@pytest.fixture(autouse=True)
def dies_of_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(load: Load, on_progress: object) -> Supervisor:  # noqa: ARG001 - as it is called
        return Supervisor(load, command=POISONED, restarts=RestartPolicy(first_wait_s=0.01))

    monkeypatch.setattr("gateway.local.serving.supervisor.Supervisor", made)


def asking(text: str, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {"model": "alone", "messages": [message], "max_tokens": 60, "ignore_eos": True} | more


async def say(here: Listening, text: str, **more: Any) -> Told:
    async with asyncio.timeout(60):
        return await here.call("POST", "/v1/chat/completions", FILE_KEY, asking(text, **more))


async def live(here: Listening) -> dict[str, Any]:
    told = await here.ask("GET", "/deployments")
    numbers: dict[str, Any] = told.body["deployments"][0]["live"]
    return numbers


async def until(here: Listening, name: str, least: int) -> None:
    async with asyncio.timeout(10):
        while (await live(here))[name] < least:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.005)


def rows(folder: Path) -> dict[str, list[str]]:
    """How each call's attempts ended."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        found = connection.execute("SELECT request_id, attempt, outcome FROM attempts ORDER BY request_id, attempt")
        ended: dict[str, list[str]] = {}
        for request_id, attempt, outcome in found:
            ended.setdefault(request_id, []).append(outcome)
            assert attempt == len(ended[request_id])
    return ended


async def test_all_who_were_there_when_the_worker_was_killed_are_answered_once(tmp_path: Path) -> None:
    async with listening(tmp_path, **one_engine(tmp_path, slots=2)) as here:
        await say(here, "warm", max_tokens=1)
        asked = [asyncio.ensure_future(say(here, f"caller {number}", max_tokens=LONG)) for number in range(18)]
        await until(here, "in_engine", 18)
        os.kill((await live(here))["pid"], signal.SIGKILL)
        told = await asyncio.gather(*asked)
        assert Counter(one.status for one in told) == {200: 18}
        assert {one.body["usage"]["completion_tokens"] for one in told} == {LONG}
        assert (await live(here))["restarts"] == 1
    ended = rows(tmp_path)
    assert len(ended) == 19
    assert all(outcomes[-1] == "ok" and outcomes.count("ok") == 1 for outcomes in ended.values())
    tries = Counter(outcome for outcomes in ended.values() for outcome in outcomes)
    assert tries["crashed"] <= 3  # in the two slots, and the one that was made ready last
    assert tries["lost"] >= 12


@pytest.mark.parametrize("poison", [PREPARING, COMPUTING])
async def test_poison_kills_twice_at_most_and_takes_nobody_along_twice(tmp_path: Path, poison: str) -> None:
    async with listening(tmp_path, **one_engine(tmp_path, slots=4)) as here:
        await say(here, "warm", max_tokens=1)
        first = [asyncio.ensure_future(say(here, f"caller {number}", max_tokens=LONG)) for number in range(8)]
        await until(here, "in_engine", 4)
        deadly = asyncio.ensure_future(say(here, poison))
        await until(here, "in_engine", 9)
        later = [asyncio.ensure_future(say(here, f"later {number}")) for number in range(8)]
        killer = await deadly
        assert (killer.status, killer.code) == (502, "engine_crashed")
        told = await asyncio.gather(*first, *later)
        assert Counter(one.status for one in told) == {200: 16}
        await until(here, "restarts", 2)  # it is counted once the dead worker is buried, which nobody waits for
        assert (await live(here))["restarts"] == 2
        poisoned = killer.headers["x-request-id"]
    ended = rows(tmp_path)
    assert [outcome for outcome in ended.pop(poisoned) if outcome != "lost"] == ["crashed", "crashed"]
    assert all(outcomes.count("crashed") <= 1 and outcomes[-1] == "ok" for outcomes in ended.values())
    assert len(ended) == 17


async def test_a_stream_that_has_begun_ends_in_the_open(tmp_path: Path) -> None:
    async with listening(tmp_path, **one_engine(tmp_path, slots=2)) as here:
        head = {"Authorization": f"Bearer {FILE_KEY}"}
        url = f"{here.data_url}/v1/chat/completions"
        async with here.session.post(url, json=asking("a story", stream=True, max_tokens=400), headers=head) as stream:
            assert stream.status == 200  # so its first token is here
            killer = await say(here, COMPUTING, max_tokens=1)
            assert killer.status == 502
            text = await stream.text()
        assert "engine_crashed" in text
        assert "[DONE]" not in text
    assert sorted(rows(tmp_path).values()) == [["crashed"], ["crashed", "crashed"]]
