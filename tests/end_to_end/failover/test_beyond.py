"""Faults beyond the catalogue: each is survived, in the stream too, and what a caller leaves behind is let go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.end_to_end.failover.running import call
from tests.end_to_end.failover.scoring import Ended
from tests.end_to_end.proving_ground import chat
from tests.failure_wall import FailureWall
from tests.gateway_process import gateway_process
from tests.wall_faults import FAST, STALLED_AFTER, TEXT, TOKENS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICE = {"input": 1, "output": 2}
FAULTS = ("complaining", "complaining-first", "limited-long", "crowded", "page", "zipped", "bloated", "cut", "stalled")
AFTER_COMMIT = {"complaining": "upstream_error", "zipped": "upstream_bad_response", "bloated": "upstream_incomplete"}
WAYS: dict[str, tuple[str, ...]] = {"none": (), "prefill": ("prefill",), "align": ("align",)}
Rig = tuple["GatewayProcess", FailureWall]


def policy_of(url: str) -> dict[str, Any]:
    """For each fault and way to resume a route whose fallback is well; and two whose fallback belies what is said."""
    provider = {"kind": "openai", "base_url": url, "api_key": "sk-wall-0123456789"}
    deployments: dict[str, Any] = {}
    routes = []

    def add(name: str, ways: tuple[str, ...], fault: str, *spares: str) -> None:
        deployments[name] = {"provider": "wall", "model": f"{fault}.{name}", "price": PRICE}
        names = [f"{name}-spare-{number}" for number in range(len(spares))]
        for spare, model in zip(names, spares, strict=True):
            deployments[spare] = {"provider": "wall", "model": f"{model}.{name}", "price": PRICE}
            if "prefill" in ways:
                deployments[spare]["supports"] = ["prefill"]
        resume = {"resume": list(ways)} if ways else {}
        routes.append({"model": name, "targets": [name], "fallbacks": names, **resume})

    for fault in FAULTS:
        for way, ways in WAYS.items():
            add(f"{fault}-{way}", ways, fault, "ok")
    add("belied", ("prefill", "align"), "cut", "ok-without-prefill")
    add("belied-alone", ("prefill",), "cut", "ok-without-prefill")
    add("again", ("prefill",), "complaining", "complaining")
    add("again-and-well", ("prefill",), "complaining", "complaining", "ok")
    add("leaving", ("align",), "cut", "stalled")
    return {"providers": {"wall": provider}, "deployments": deployments, "routes": routes}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with (
        FailureWall(FAST) as wall,
        gateway_process(policy_of(wall.url), tmp_path_factory.mktemp("beyond")) as gateway,
    ):
        yield gateway, wall


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("cut", "stalled")])
async def test_what_can_be_answered_is(rig: Rig, fault: str, way: str) -> None:
    heard = await call(*rig, f"{fault}-{way}", within_s=10)
    if way == "none" and fault in AFTER_COMMIT:
        assert (heard.ended, heard.error, heard.done) == (Ended.ERROR, AFTER_COMMIT[fault], False)
        assert TEXT.startswith(heard.text)
        assert heard.text
    else:
        assert (heard.ended, heard.error, heard.text, heard.done) == (Ended.ANSWERED, "", TEXT, True)
    went_on = [attempt.did.split(" after ")[0] for attempt in rig[1].attempts_at(f"ok.{fault}-{way}")]
    if fault in AFTER_COMMIT:
        assert went_on == {"none": [], "prefill": ["continued"], "align": ["answered"]}[way]
    else:
        assert went_on == ["answered"]


async def test_an_hours_wait_is_not_waited_for(rig: Rig) -> None:
    heard = await call(*rig, "limited-long-none", within_s=10)
    assert heard.text == TEXT
    assert heard.took_s < 3


async def test_who_refuses_a_prefill_against_its_word_is_asked_afresh(rig: Rig) -> None:
    heard = await call(*rig, "belied", within_s=10)
    assert (heard.text, heard.done) == (TEXT, True)
    assert [attempt.did for attempt in rig[1].attempts_at("ok-without-prefill.belied")] == [
        "400 invalid_prefill",
        "answered",
    ]


async def test_the_callers_error_is_the_break_and_not_the_refused_prefill(rig: Rig) -> None:
    heard = await call(*rig, "belied-alone", within_s=10)
    assert (heard.ended, heard.error, heard.done) == (Ended.ERROR, "upstream_incomplete", False)
    assert TEXT.startswith(heard.text)


async def test_a_stream_may_break_twice(rig: Rig) -> None:
    heard = await call(*rig, "again-and-well", within_s=10)
    assert (heard.text, heard.done) == (TEXT, True)
    assert rig[1].attempts_at("ok.again-and-well")[0].did == f"continued after {2 * STALLED_AFTER} words"


async def test_where_nobody_is_left_to_go_on_the_caller_has_what_there_was_once_and_an_error(rig: Rig) -> None:
    heard = await call(*rig, "again", within_s=10)
    assert (heard.ended, heard.error, heard.done) == (Ended.ERROR, "upstream_error", False)
    assert TEXT.startswith(heard.text)
    assert len(heard.text.split()) >= 2 * STALLED_AFTER


@pytest.mark.parametrize("way", ["prefill", "align"])
async def test_each_attempt_is_billed_and_the_usage_covers_all(rig: Rig, way: str) -> None:
    gateway, _ = rig
    heard = await call(*rig, f"stalled-{way}", within_s=10)
    assert heard.text == TEXT
    async with asyncio.timeout(5):
        while len(rows := [row for row in gateway.ledger() if row["deployment"].startswith(f"stalled-{way}")]) < 2:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.02)
    broke, went_on = sorted(rows, key=lambda row: int(row["attempt"]))
    assert (broke["estimated"], broke["outcome"] != "ok", went_on["outcome"]) == (1, True, "ok")
    assert broke["request_id"] == went_on["request_id"]
    assert went_on["output_tokens"] == (len(TOKENS) - STALLED_AFTER if way == "prefill" else len(TOKENS))
    assert min(row["cost_nanousd"] for row in rows) > 0
    assert heard.usage is not None
    assert heard.usage["prompt_tokens"] == sum(row["input_tokens"] for row in rows)
    assert heard.usage["completion_tokens"] == sum(row["output_tokens"] for row in rows)


async def test_who_leaves_while_it_goes_on_leaves_nothing_running(rig: Rig) -> None:
    """The second attempt has aligned and stalls; its caller hangs up."""
    gateway, wall = rig
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(chat("leaving", stream=True))
    async with asyncio.timeout(10):
        assert await reader.read(1 << 16)
        while not wall.attempts_at("stalled.leaving"):  # noqa: ASYNC110 - the wall's log
            await asyncio.sleep(0.01)
        writer.transport.abort()
        (second,) = wall.attempts_at("stalled.leaving")
        while second.left_s is None:  # noqa: ASYNC110 - the wall's log
            await asyncio.sleep(0.01)
        while len(rows := [row for row in gateway.ledger() if row["deployment"].startswith("leaving")]) < 2:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.02)
    broke, left = sorted(rows, key=lambda row: int(row["attempt"]))
    assert (broke["cancelled"], left["cancelled"]) == (0, 1)
    assert second.left_s - second.at_s < FAST.stall_s
