"""The upstream with a worker that has no model: what a real one seldom does."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.errors import RequestError, UpstreamError
from gateway.local.frames import Load
from gateway.local.serving.engine_check import MissingModel
from gateway.local.serving.engines import Engines
from gateway.local.serving.keeping import EngineSpec, Keeping
from gateway.local.serving.supervisor import Supervisor
from gateway.local.serving.upstream import LocalUpstream
from policies.caller_view import caller_view
from policies.choosing import Line
from policies.restarts import RestartPolicy
from policies.vocabulary import Deployment, Endpoint, Failure, FailureKind, Timeouts
from tests.gateway.local.serving.upstream_calls import DEPLOYMENT, exchange, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from adapters.llama_cpp_job import Job
    from gateway.local.serving.supervisor import Sink

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


@asynccontextmanager
async def faked(mode: str, keeping: Keeping | None = None, **load: Any) -> AsyncIterator[LocalUpstream]:
    """With a worker that does as its mode says; it fails for good at its first death."""

    def made(spec: EngineSpec) -> Supervisor:
        return Supervisor(spec.load, command=[*FAKE, mode], restarts=RestartPolicy(deaths_allowed=1))

    engines = Engines(made)
    spec = EngineSpec("bundled", Load("m", **load), keeping or Keeping())
    upstream = LocalUpstream(DEPLOYMENT, spec, engines)
    upstream._engine = engines.hold(spec)  # as `start` does, but for the look at the file
    yield upstream
    await upstream.close()


async def refusal(upstream: LocalUpstream, **asked: Any) -> Failure:
    with pytest.raises(UpstreamError) as refused:
        await upstream.send(exchange(**asked))
    assert upstream.describe()["in_engine"] == 0
    return refused.value.failure


async def test_a_line_that_is_too_long_says_when_to_come_back() -> None:
    async with faked("busy") as upstream:
        failure = await refusal(upstream)
        assert (failure.kind, failure.status, failure.code) == (FailureKind.BUSY, 503, "engine_busy")
        assert (failure.retry_after_s, failure.maybe_billed) == (7.0, False)
        assert caller_view(failure) == (503, "api_error", "engine_busy", 7.0)


async def test_a_model_that_does_not_come_in_time_is_told_apart_from_one_that_never_does() -> None:
    async with faked("silent") as upstream:
        late = await refusal(upstream, timeouts=Timeouts(total_s=0.2))
        assert (late.kind, late.code, late.retry_after_s) == (FailureKind.BUSY, "engine_loading", 1.0)
        streaming = await refusal(upstream, timeouts=Timeouts(first_token_s=0.05), stream=True)
        assert streaming.code == "engine_loading"
        assert upstream.line is not None
        assert upstream.line.is_cold
        assert not upstream.ready
    async with faked("dies loading") as upstream:
        down = await refusal(upstream)
        assert (down.kind, down.status, down.code) == (FailureKind.STATUS, 503, "engine_down")


async def test_a_model_on_demand_can_be_called_and_is_something_to_wait_for() -> None:
    async with faked("good", Keeping(on_demand=True)) as upstream:
        assert (upstream.ready, upstream.describe()["state"]) == (True, "unloaded")
        assert upstream.line == Line(0, 0, 4, 0.0, is_cold=True)  # of a model of no bytes
        assert (await whole(upstream))["choices"][0]["message"]["content"] == "whole"
        assert (upstream.ready, upstream.describe()["state"]) == (True, "ready")
        assert upstream.line == Line(0, 0, 1, 0.0)


async def test_a_call_that_went_elsewhere_has_the_model_loaded() -> None:
    async with faked("good", Keeping(on_demand=True)) as upstream:
        upstream.wake()
        upstream.wake()
        async with asyncio.timeout(10):
            while upstream.describe()["state"] != "ready":  # noqa: ASYNC110 - nobody waits for it, so nobody is told
                await asyncio.sleep(0.005)
        assert upstream.describe()["loads"] == 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("dies started", FailureKind.CRASHED),
        ("dies preparing", FailureKind.CRASHED),
        ("dies unstarted", FailureKind.LOST),
    ],
)
async def test_a_death_before_the_first_token_can_move_elsewhere(mode: str, kind: FailureKind) -> None:
    async with faked(mode) as upstream:
        failure = await refusal(upstream, stream=True)
        assert (failure.kind, failure.maybe_billed) == (kind, mode == "dies started")


async def test_second_tries_are_made_one_by_one_and_hold_nobody_else_up() -> None:
    async with faked("says nothing") as upstream:
        await upstream.engine.until_ready(asyncio.get_running_loop().time() + 10)
        seated = upstream.engine.supervisor._sinks
        suspect, another = (msgspec.structs.replace(exchange(), is_suspect=True) for _ in range(2))
        first = asyncio.ensure_future(upstream.send(suspect))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(upstream.send(another))
        usual = asyncio.ensure_future(upstream.send(exchange()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (len(seated), upstream.describe()["in_engine"]) == (2, 3)
        first.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert (len(seated), upstream.describe()["in_engine"]) == (2, 2)
        late = msgspec.structs.replace(exchange(timeouts=Timeouts(total_s=0.05)), is_suspect=True)
        with pytest.raises(UpstreamError) as busy:
            await upstream.send(late)
        assert (busy.value.failure.kind, busy.value.failure.code) == (FailureKind.BUSY, "engine_busy")
        for call in (second, usual):
            call.cancel()
        await asyncio.gather(first, second, usual, return_exceptions=True)
        assert upstream.describe()["in_engine"] == 0
        await upstream.engine.second_tries.enter(asyncio.get_running_loop().time() + 1)
        upstream.engine.second_tries.leave()


async def test_vectors_come_back_as_they_were_measured() -> None:
    async with faked("measures", task="embed") as upstream:
        reply = await whole(upstream, Endpoint.EMBEDDINGS, input="x")
        assert reply["data"][0]["embedding"] == [1.0, 1.0]
        assert (upstream.describe()["in_engine"], upstream.describe()["served"]) == (0, 1)


async def test_a_request_that_cannot_be_read_takes_no_place() -> None:
    async with faked("good", Keeping(on_demand=True)) as upstream:
        with pytest.raises(RequestError):
            await upstream.send(exchange(logit_bias={"x": 1}))
        assert (upstream.describe()["in_engine"], upstream.describe()["state"]) == (0, "unloaded")


async def test_a_place_that_cannot_be_read_is_refused_and_takes_none() -> None:
    async with faked("good") as upstream:
        with pytest.raises(RequestError) as refused:
            await upstream.send(msgspec.structs.replace(exchange(), told_place="flow=me"))
        assert refused.value.code == "invalid_header"
        assert upstream.describe()["in_engine"] == 0


async def test_an_adapter_is_asked_for_by_the_deployments_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async with faked("says nothing", adapters=(("support", "s.gguf"),)) as upstream:
        adapted = Deployment("local", "bundled", "llama_cpp", "smollm2:support")
        beside = LocalUpstream(adapted, upstream.engine.spec, upstream._engines)
        beside._engine = upstream._engines.hold(upstream.engine.spec)
        assert beside.engine is upstream.engine
        sent: list[Job] = []

        def lose(job: Job, sink: Sink) -> None:
            sent.append(job)
            sink.lose()

        monkeypatch.setattr(upstream.engine.supervisor, "submit", lose)
        for one in (beside, upstream):
            assert (await refusal(one)).kind is FailureKind.LOST
        assert [job.adapter for job in sent] == ["support", None]
        assert sent[0].id != sent[1].id
        await beside.close()


async def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    spec = EngineSpec("bundled", Load(str(tmp_path / "none.gguf")))
    with pytest.raises(MissingModel, match="no model file"):
        await LocalUpstream(DEPLOYMENT, spec, Engines(lambda made_from: Supervisor(made_from.load))).start()


async def test_what_fails_after_a_place_was_taken_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no shape")

    async with faked("good") as upstream:
        monkeypatch.setattr("gateway.local.serving.upstream.Shape.of", broken)
        with pytest.raises(RuntimeError, match="no shape"):
            await upstream.send(exchange())
        assert upstream.describe()["in_engine"] == 0
