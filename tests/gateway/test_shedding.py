from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.keys.virtual_keys import HeldKey
from gateway.lifecycle import Lifecycle
from gateway.secret import Secret
from gateway.shedding import LOOK_EVERY_S, Door
from gateway.signals.metrics import Registry
from policies.route_rules import Priority, ShedRules
from policies.shedding import ShedState
from tests.gateway.stages.a_call import generation

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {priority: f"a-key-of-{priority.name.lower()}-priority-0123456789" for priority in Priority}
HELD = [HeldKey(Secret(key), priority.name, priority=priority) for priority, key in KEYS.items()]


class Ground:
    def __init__(self, rules: ShedRules = ShedRules()) -> None:  # noqa: B008 - a frozen value
        self.lifecycle = Lifecycle()
        self.registry = Registry()
        self.config = SimpleNamespace(server=SimpleNamespace(shed=SimpleNamespace(rules=rules)))
        policy = generation(HELD, config=self.config)
        self.door = Door(lambda: policy, self.lifecycle, self.registry)

    def ask(self, key: str) -> bytes | None:
        headers = CIMultiDictProxy(CIMultiDict({"Authorization": f"Bearer {key}"}))
        return self.door.turns_away(headers, lambda: "")

    def samples(self, name: str) -> list[Any]:
        return next(taken.values for taken in self.registry.snapshot() if taken.family.name == name)

    def shed(self, *shares: float) -> None:
        self.door._state = ShedState(0.5, cast("Any", shares))
        self.door.is_shut = True


@pytest.fixture
def ground() -> Iterator[Ground]:
    made = Ground()
    yield made
    made.door.close()


def test_a_refusal_is_a_whole_answer_with_its_own_id(ground: Ground) -> None:
    ground.shed(0.0, 0.0, 0.0, 0.0)
    ids, waits = set(), set()
    for _ in range(200):
        refusal = ground.ask(KEYS[Priority.NORMAL])
        assert refusal is not None
        top, _, body = refusal.partition(b"\r\n\r\n")
        status, *lines = top.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        error = msgspec.json.decode(body)["error"]
        assert status == "HTTP/1.1 503 Service Unavailable"
        assert int(headers["content-length"]) == len(body)
        assert (error["code"], error["type"]) == ("overloaded", "api_error")
        assert headers["x-request-id"] == error["request_id"]
        assert (headers["x-should-retry"], len(error["request_id"])) == ("true", 32)
        ids.add(error["request_id"])
        waits.add(headers["retry-after"])
    assert (len(ids), waits) == (200, {"1", "2", "3", "4", "5"})


def test_who_has_priority_is_let_in(ground: Ground) -> None:
    ground.shed(0.0, 0.5, 1.0, 1.0)
    let_in = {priority: sum(ground.ask(key) is None for _ in range(1000)) for priority, key in KEYS.items()}
    assert (let_in[Priority.LOW], let_in[Priority.HIGH], let_in[Priority.CRITICAL]) == (0, 1000, 1000)
    assert 400 < let_in[Priority.NORMAL] < 600
    refused = {labels[0]: count for labels, count in ground.samples("pointsman_shed_requests_total")}
    assert refused == {"low": 1000, "normal": 1000 - let_in[Priority.NORMAL], "high": 0, "critical": 0}


@pytest.mark.parametrize("key", ["nobody-has-this-key-0123456789", ""])
def test_who_has_no_good_key_is_refused_first(ground: Ground, key: str) -> None:
    ground.shed(0.0, 1.0, 1.0, 1.0)
    assert ground.ask(key) is not None


def test_calls_beyond_the_stated_number_find_no_room() -> None:
    ground = Ground(ShedRules(calls_max=10))
    ground.door._rules = ShedRules(calls_max=10)
    ground.lifecycle.in_flight = 9
    assert [ground.ask(key) is None for key in KEYS.values()] == [False, False, True, True]
    ground.lifecycle.in_flight = 10
    assert all(ground.ask(key) is not None for key in KEYS.values())


async def look(ground: Ground, late_s: float) -> None:
    """The timer's look at a busy process, so much later than it was due."""
    loop = asyncio.get_running_loop()
    ground.door.close()
    ground.lifecycle.in_flight = 1000
    since_s = LOOK_EVERY_S + late_s
    ground.door._looked_s, ground.door._worked_s = loop.time() - since_s, time.thread_time() - 0.9 * since_s
    ground.door._look(loop, loop.time() - late_s)
    ground.door.close()


async def test_it_shuts_when_the_loop_is_late_again_and_again_and_says_so_once(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await look(ground, 0.4)
    assert not ground.door.is_shut
    for _ in range(5):
        await look(ground, 0.4)
    assert ground.door.is_shut
    while ground.ask(KEYS[Priority.LOW]) is None:
        pass
    for _ in range(200):
        await look(ground, 0.4)
    assert len(caplog.messages) == 1
    assert ground.samples("pointsman_shedding_ratio") == [((), pytest.approx(0.98))]
    while ground.door.is_shut:
        await look(ground, 0.0)
    assert caplog.messages[1:] == ["all calls are let in again; 1 were refused"]


async def test_it_shuts_when_those_who_wait_outside_wait_too_long(ground: Ground) -> None:
    """The loop is in time, as nobody is let into the process who could make it late."""
    ground.door.watch(lambda since_s: 0.4 + 0 * since_s)
    for _ in range(10):
        await look(ground, 0.0)
    assert ground.door.is_shut


async def test_a_stall_shuts_nobody_out(ground: Ground) -> None:
    for _ in range(10):
        await look(ground, 30.0)
        assert not ground.door.is_shut
        for _ in range(20):
            await look(ground, 0.01)


async def test_it_looks_by_itself() -> None:
    ground = Ground(ShedRules(calls_max=1))
    ground.door.start()
    async with asyncio.timeout(2):
        while not ground.door.is_shut:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
    ground.door.close()


def test_every_inference_path_has_a_door(ground: Ground) -> None:
    assert "/v1/chat/completions" in ground.door.paths
    assert "/embeddings" in ground.door.paths
    assert "/v2/rerank" in ground.door.paths
    assert "/v1/models" not in ground.door.paths
