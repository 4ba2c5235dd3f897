"""A policy that changes while calls are in flight: taken over whole or not at all, and nothing is dropped."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.end_to_end.proving_ground import DONE, ROLE, USAGE, good, parsed, piece, proving_ground, usage_piece
from tests.gateway_process import post
from tests.scripted_upstream import chunk, forever, head, request, send, waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.end_to_end.proving_ground import Ground, Reply

BEGUN = head(content_type="text/event-stream", transfer_encoding="chunked") + chunk(ROLE + piece("hel"))
REST = chunk(piece("lo") + piece(finish="stop") + usage_piece(USAGE) + DONE) + chunk(b"")


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with proving_ground(tmp_path, lanes=3) as ground:
        yield ground


def rewrite(ground: Ground, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the policy file as editors do: a new file in place of the old one."""
    file = ground.gateway.policy_file
    policy = yaml.safe_load(file.read_text())
    change(policy)
    put(file, yaml.safe_dump(policy))


def put(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


async def generation(ground: Ground) -> int:
    _, body = await ground.gateway.admin("/deployments")
    return int(json.loads(body)["generation"])


async def reloaded(ground: Ground, number: int, *, by_signal: bool = True) -> None:
    """Ask for a reload and wait until this generation is in force."""
    if by_signal:
        ground.gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(10):
        while await generation(ground) < number:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)
    assert await generation(ground) == number


async def line_with(ground: Ground, text: str) -> str:
    """The first log line that holds `text`, once there is one."""
    async with asyncio.timeout(10):
        while not (found := [line for line in ground.gateway.text if text in line]):  # noqa: ASYNC110 - a pipe's
            await asyncio.sleep(0.01)
    return found[0]


def add_route(model: str, target: str) -> Callable[[dict[str, Any]], object]:
    return lambda policy: policy["routes"].append({"model": model, "targets": [target]})


def remove(*deployments: str) -> Callable[[dict[str, Any]], object]:
    """Take these deployments away, and every route to them."""

    def change(policy: dict[str, Any]) -> None:
        policy["routes"] = [route for route in policy["routes"] if route["targets"][0] not in deployments]
        for name in deployments:
            del policy["deployments"][name]

    return change


@pytest.mark.parametrize("by_signal", [True, False], ids=["SIGHUP", "file change"])
async def test_a_new_route_appears(ground: Ground, by_signal: bool) -> None:  # noqa: FBT001 - a parameter
    lane = ground.lane(forever(good(), request()))
    assert (await ground.ask("new")).status == 404
    rewrite(ground, add_route("new", lane.name))
    await reloaded(ground, 2, by_signal=by_signal)
    reply = await ground.ask("new", stream=True)
    assert (reply.status, reply.text, reply.headers["x-pointsman-route"]) == (200, "hello", "new")
    await line_with(ground, "the policy file was reloaded")


async def test_calls_in_flight_end_on_the_policy_they_began_with(ground: Ground) -> None:
    """Two reloads later still: the second one must not close what a call of before the first one uses."""
    goes_on = asyncio.Event()
    lane = ground.lane(send(BEGUN), waits(goes_on), send(REST))
    caller = await ground.open(lane.alone)
    await caller.read_until(b"hel")
    rewrite(ground, add_route("second", lane.name))
    await reloaded(ground, 2)
    rewrite(ground, lambda policy: (policy["routes"].pop(), remove(lane.name)(policy)))
    await reloaded(ground, 3)
    assert (await ground.ask(lane.alone)).status == 404
    goes_on.set()
    reply = await caller.rest()
    assert (reply.text, reply.events[-1], reply.ended) == ("hello", "[DONE]", True)
    (row,) = await ground.rows(reply.id, 1)
    assert (row["outcome"], row["route"], row["deployment"]) == ("ok", lane.alone, lane.name)
    peer = await ground.peer(lane)
    async with asyncio.timeout(5):
        assert await peer.reader.read() == b"", "what nobody can call any more is closed"


async def test_what_did_not_change_stays_as_it_is(ground: Ground) -> None:
    """Connections, counts and breakers go on; a reload is no restart."""
    lane, broken = ground.lane(forever(good(), request())), ground.lane()
    await ground.ask(lane.alone)
    for _ in range(5):
        await ground.ask(broken.alone)
    opened = len(ground.far.connections)
    rewrite(ground, add_route("new", lane.name))
    await reloaded(ground, 2)
    assert (await ground.ask(lane.alone)).text == "hello"
    assert len(ground.far.connections) == opened
    deployments = await ground.deployments()
    assert deployments[lane.name]["attempts"] == 2
    assert deployments[broken.name]["breaker"] == "open"


@pytest.mark.parametrize("name", ["not YAML", "an unknown key", "a dangling name", "no file"])
async def test_a_bad_file_keeps_the_old_policy_and_says_why(ground: Ground, name: str) -> None:
    lane = ground.lane(forever(good(), request()))
    file = ground.gateway.policy_file
    kept = file.read_text()
    if name == "no file":
        file.unlink()
        why = "policy.yaml"
    elif name == "not YAML":
        put(file, "routes: [")
        why = "policy.yaml:2"
    elif name == "an unknown key":
        rewrite(ground, lambda policy: policy.update(fallback_routes=[]))
        why = "fallback_routes"
    else:
        rewrite(ground, add_route("new", "nobody"))
        why = "nobody"
    ground.gateway.process.send_signal(signal.SIGHUP)
    assert why in await line_with(ground, "was not reloaded, the old policy stays")
    assert await generation(ground) == 1
    assert (await ground.gateway.admin("/health/ready"))[0] == 200
    assert (await ground.ask(lane.alone)).text == "hello"
    assert (await state(ground))["reload_failed"] is True
    put(file, kept + "# and now a good one again\n")
    await reloaded(ground, 2)
    assert (await state(ground))["reload_failed"] is False


async def state(ground: Ground) -> dict[str, Any]:
    _, body = await ground.gateway.admin("/deployments")
    found: dict[str, Any] = json.loads(body)
    return found


async def test_a_key_taken_away_opens_nothing_any_more(ground: Ground) -> None:
    lane = ground.lane(forever(good(), request()))
    other = "sk-another-key-for-tests-0123456789"
    rewrite(ground, lambda policy: policy.update(keys=[{"name": "other", "secret": other}]))
    await reloaded(ground, 2)
    refused = await ground.ask(lane.alone)
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
    body = {"model": lane.alone, "messages": [{"role": "user", "content": "hi"}]}
    allowed = parsed(await ground.gateway.ask(post("/v1/chat/completions", body, key=other)))
    assert allowed.text == "hello"


async def test_reloads_under_load_drop_nothing(ground: Ground) -> None:
    """A good file, then a bad one, ten times a second; every call in between is answered, every one is on record."""
    lane, dying = ground.lane(forever(good(), request())), ground.lane(forever(good(), request()))
    over = asyncio.Event()

    async def call_on(stream: bool) -> list[Reply]:  # noqa: FBT001 - a parameter
        replies = []
        while not over.is_set():
            replies.append(await ground.ask(lane.alone, stream=stream))
        return replies

    callers = [asyncio.ensure_future(call_on(bool(number % 2))) for number in range(6)]
    for number in range(20):
        if number % 4 == 3:
            put(ground.gateway.policy_file, ground.gateway.policy_file.read_text() + "nonsense: 1\n")
        else:
            rewrite(ground, lambda policy: policy.pop("nonsense", None))
            rewrite(ground, add_route(f"new-{number}", dying.name))
        ground.gateway.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.1)
    over.set()
    replies = [reply for each in await asyncio.gather(*callers) for reply in each]
    assert len(replies) > 100
    assert {(reply.status, reply.text, reply.ended) for reply in replies} == {(200, "hello", True)}
    assert await generation(ground) > 5
    async with asyncio.timeout(10):
        while len(ground.gateway.ledger()) < len(replies):  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.05)
    assert {row["outcome"] for row in ground.gateway.ledger()} == {"ok"}
    await ground.quiet()
