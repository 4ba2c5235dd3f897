"""An engine elsewhere is asked how it stands, apart from calls; what it says is bounded, its silence no failure."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from adapters.llama_cpp_place import decode_place
from adapters.openai import OpenAIAdapter
from gateway import remote_engine
from gateway.remote_engine import FRESH_S, EngineWatch, RemoteEngine, Silent, Told, pause_s, read_told
from gateway.transport import Pool
from policies.choosing import Line
from policies.route_rules import Priority
from policies.vocabulary import Principal
from tests.gateway.http_provider import DEPLOYMENT, WHOLE, exchange
from tests.scripted_upstream import ScriptedUpstream, answer, forever, request, reset, send, serve, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = (("authorization", "Bearer sk-engine-0123456789"),)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def told(**numbers: Any) -> bytes:
    return answer(json.dumps({"object": "engine", "ready": True, "queued": 0, "slots": 4} | numbers).encode())


@pytest.fixture
async def far() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def watch(far: ScriptedUpstream, clock: Clock) -> AsyncIterator[EngineWatch]:
    watch = EngineWatch("gpu", Pool(f"{far.url}/v1", KEY, max_connections=1), clock)
    yield watch
    await watch.close()


@pytest.fixture
async def engine(far: ScriptedUpstream, watch: EngineWatch) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(DEPLOYMENT, Pool(f"{far.url}/v1", KEY), OpenAIAdapter(), watch, "a secret")
    await engine._http.start()  # not the watch: these tests ask by hand
    yield engine
    await engine.close()


async def test_the_engine_is_asked_by_its_key_at_its_own_path(far: ScriptedUpstream, watch: EngineWatch) -> None:
    far.then(serve(told(queued=3, live={"state": "ready"})))
    await watch.ask()
    assert watch.told == Told(ready=True, queued=3, slots=4, live={"state": "ready"})
    assert far.requests[0].path == "/v1/engine"
    assert far.requests[0].headers["authorization"] == KEY[0][1]


async def test_calls_wait_as_the_engine_says(far: ScriptedUpstream, watch: EngineWatch, engine: RemoteEngine) -> None:
    assert engine.line is None
    far.then(serve(told(queued=7, running=4, wait_s=1.5)))
    await watch.ask()
    assert engine.line == Line(7, 4, 4, 1.5)
    engine.wake()  # it does not sleep


async def test_a_model_that_is_not_loaded_there_is_waited_for(
    far: ScriptedUpstream, watch: EngineWatch, engine: RemoteEngine
) -> None:
    far.then(serve(told(ready=False, is_cold=True, wait_s=20.0)))
    await watch.ask()
    assert engine.line == Line(0, 0, 4, 20.0, is_cold=True)


async def test_a_burst_of_ours_counts_before_the_engine_is_asked_again(
    far: ScriptedUpstream, watch: EngineWatch, engine: RemoteEngine
) -> None:
    far.then(serve(told(queued=0, slots=1, wait_s=0.0, live={"run_s": 2.0})))
    await watch.ask()
    assert engine.line == Line(0, 0, 1, 0.0)
    far.otherwise(request(), stall())
    calls = [asyncio.ensure_future(engine.send(exchange())) for _ in range(3)]
    while len(far.requests) < 4:  # noqa: ASYNC110 - the scripted side has no event for it
        await asyncio.sleep(0.001)
    assert engine.line == Line(2, 1, 1, (2 + 1) * 2.0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_numbers_grow_old(far: ScriptedUpstream, watch: EngineWatch, engine: RemoteEngine, clock: Clock) -> None:
    far.then(serve(told(queued=5, ready=False)))
    await watch.ask()
    assert not engine.ready
    clock.now += FRESH_S + 0.1
    assert engine.ready
    assert engine.line == Line(0, 0, 4)  # none of ours beyond its slots: all that is known
    assert engine.describe()["told_s_ago"] == pytest.approx(FRESH_S + 0.1)


async def test_an_engine_that_tells_nothing_is_called_all_the_same(
    far: ScriptedUpstream, watch: EngineWatch, engine: RemoteEngine, caplog: pytest.LogCaptureFixture
) -> None:
    far.otherwise(forever(request(), send(answer(b"{}", status=404))))
    await watch.ask()
    await watch.ask()
    assert (engine.ready, engine.line, watch.silence) == (True, None, "status_404")
    assert len(caplog.records) == 1  # once, not every second
    assert far.url.removeprefix("http://") not in caplog.text


async def test_the_engine_hears_whose_call_it_is_and_not_who_that_is(
    far: ScriptedUpstream, engine: RemoteEngine
) -> None:
    far.otherwise(forever(request(), send(answer(WHOLE))))
    for org, team in (("acme", "shop"), ("acme", "lab"), ("acme", "shop"), ("else", "shop")):
        caller = Principal("k", "key-of-theirs", team=team, org=org, priority=Priority.HIGH)
        await engine.send(msgspec.structs.replace(exchange(), caller=caller, weight_of=lambda _: 2.0))
    told = [one.headers["x-pointsman-place"] for one in far.requests]
    assert not any(word in text for text in told for word in ("acme", "shop", "lab", "else", "key-of"))
    shop, lab, again, other = map(decode_place, told)
    assert shop.flow == again.flow != lab.flow != other.flow != shop.flow
    assert shop.scope == lab.scope != other.scope
    assert (shop.weight, shop.priority) == (2.0, 2)
    assert 0 < shop.patience_s <= exchange().timeouts.total_s


async def test_an_answer_is_the_engines(far: ScriptedUpstream, engine: RemoteEngine) -> None:
    far.then(serve(answer(WHOLE)))
    reply = await engine.send(exchange())
    assert reply.body is not None
    assert reply.tally.usage is not None


@pytest.mark.parametrize(
    ("steps", "silence"),
    [
        ((request(), reset()), "reset"),
        ((request(), send(answer(b"x" * 20_000))), "bad_response"),
        ((request(), send(answer(b"[]"))), "not_an_engine"),
        ((request(), send(answer(b'{"ready": "yes"}'))), "not_an_engine"),
        ((request(), send(answer(b"{}", status=302))), "status_302"),
        ((request(), send(answer(b"{}", status=401))), "status_401"),
    ],
)
async def test_silence_has_a_reason_and_is_no_error(
    far: ScriptedUpstream, watch: EngineWatch, steps: tuple[Any, ...], silence: str
) -> None:
    far.otherwise(*steps)
    await watch.ask()
    assert watch.silence == silence
    assert watch.told is None


async def test_an_engine_that_hangs_is_given_up(
    far: ScriptedUpstream, watch: EngineWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "PATIENCE_S", 0.1)
    far.then(request(), stall())
    await watch.ask()
    assert watch.silence == "total_timeout"


async def test_it_is_asked_again_and_again_until_it_is_closed(
    far: ScriptedUpstream, watch: EngineWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "INTERVAL_S", 0.001)
    far.otherwise(forever(request(), send(told())))
    watch.start()
    async with asyncio.timeout(2):
        while len(far.requests) < 3:  # noqa: ASYNC110 - the scripted side has no event for it
            await asyncio.sleep(0.001)
    await watch.close()
    count = len(far.requests)
    await asyncio.sleep(0.02)
    assert len(far.requests) == count


def test_questions_without_answers_become_rare() -> None:
    assert [pause_s(failures) for failures in (0, 1, 2, 5, 100)] == [1.0, 2.0, 4.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("line", "numbers", "wait_s"),
    [
        (Line(0, 1, 2), {}, 0.0),
        (Line(0, 2, 2), {"running": 2, "wait_s": 1.0}, 1.0),
        (Line(3, 2, 2), {"running": 2, "wait_s": 1.0}, 4.0),
        (Line(3, 2, 2), {"queued": 1, "running": 2, "wait_s": 1.0}, 2.0),
        (Line(0, 2, 2), {"running": 1, "wait_s": 0.0, "live": {"run_s": 3.0}}, 1.5),
        (Line(0, 2, 2), {"running": 1, "wait_s": 0.0, "live": {"run_s": "x"}}, None),
        (Line(0, 2, 2), {"running": 1, "wait_s": 0.0}, None),
        (Line(0, 2, 2), {"running": 2}, None),
    ],
)
def test_the_wait_grows_with_the_line(line: Line, numbers: dict[str, Any], wait_s: float | None) -> None:
    assert remote_engine._wait_s(line, Told(ready=True, slots=2, **numbers)) == wait_s


@pytest.mark.parametrize(("told_s", "known_s"), [(-1.0, 0.0), (1e300, 86_400.0), (2, 2.0), (None, None)])
def test_a_wait_that_is_told_is_bounded(told_s: float | None, known_s: float | None) -> None:
    assert read_told(json.dumps({"ready": True, "wait_s": told_s}).encode()).wait_s == known_s


def test_what_is_told_is_bounded() -> None:
    body = {"ready": True, "queued": -5, "slots": 1 << 40, "live": {f"n{n}": "x" * 1000 for n in range(1000)}}
    found = read_told(json.dumps(body).encode())
    assert (found.queued, found.slots, len(found.live)) == (0, 1 << 31, remote_engine.NUMBERS_MAX)
    assert {len(str(value)) for value in found.live.values()} == {remote_engine.TEXT_CHARS}


@pytest.mark.parametrize("body", [b"", b"null", b'{"ready": 1}', b'{"ready": true, "live": {"a": []}}', b"[" * 100_000])
def test_what_is_no_engine_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises(Silent, match="not_an_engine"):
        read_told(body)


def test_no_number_and_no_name_that_is_told_can_do_harm() -> None:
    live = {"run_s": int("9" * 4000), "low": -(10**30), "state": "ready\n\x1b[2J", "a\nb": 1, "x" * 500: 2}
    told = read_told(msgspec.json.encode({"ready": True, "slots": 1, "running": 1, "live": live}))
    assert told.live == {"run_s": 1 << 53, "low": -(1 << 53), "state": "ready[2J"}
