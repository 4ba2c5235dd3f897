from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import Delta, EmbedJob, Event, Failed, Finished, Job, Started, Vectors
from gateway.local.frames import MAX_FRAME_BYTES, Load
from gateway.local.serving.supervisor import Patience, State, Supervisor
from policies.restarts import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
SOON = RestartPolicy(first_wait_s=0.001, longest_wait_s=0.001)


class Ear:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lost = self.was_preparing = False
        self.change = asyncio.Event()

    def take(self, event: Event) -> None:
        self.events.append(event)
        self.change.set()

    def lose(self, *, was_preparing: bool = False) -> None:
        self.lost = True
        self.was_preparing = was_preparing
        self.change.set()

    async def until(self, end: type | None = None) -> None:
        """Wait for an event of kind `end`, or for the loss of the job."""
        async with asyncio.timeout(10):
            while not (self.lost if end is None else any(isinstance(event, end) for event in self.events)):
                self.change.clear()
                await self.change.wait()


@asynccontextmanager
async def supervised(
    mode: str,
    policy: RestartPolicy = SOON,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(Load("m"), command=[*FAKE, mode], restarts=policy, patience=patience)
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.close()
        assert supervisor.state is State.STOPPED
        assert supervisor.pid is None


async def settled(supervisor: Supervisor) -> State:
    async with asyncio.timeout(10):
        await supervisor.until_settled()
    return supervisor.state


async def restarted(supervisor: Supervisor, times: int) -> None:
    async with asyncio.timeout(10):
        while supervisor.restarts < times:  # noqa: ASYNC110 - nothing tells of a restart that fails again
            await asyncio.sleep(0.005)


async def test_a_job_goes_through() -> None:
    shown: list[int] = []
    supervisor = Supervisor(Load("m"), command=[*FAKE, "good"], on_progress=shown.append)
    supervisor.start()
    assert supervisor.state is State.LOADING
    assert await settled(supervisor) is State.READY
    ear = Ear()
    supervisor.submit(Job(1, prompt="x"), ear)
    await ear.until(Finished)
    assert ear.events == [Started(1, 3, 0), Delta(1, 0, "whole", 1), Finished(1, 0, "stop", 1)]
    assert shown == [50, 100]
    await supervisor.close()


@pytest.mark.parametrize(("mode", "started"), [("dies started", True), ("dies unstarted", False), ("garbage", True)])
async def test_a_death_loses_the_jobs_at_once_and_a_new_worker_comes(mode: str, started: bool) -> None:  # noqa: FBT001
    async with supervised(mode) as supervisor:
        await settled(supervisor)
        first = supervisor.pid
        ears = [Ear(), Ear()]
        for number, ear in enumerate(ears):
            supervisor.submit(Job(number, prompt="x"), ear)
        for ear in ears:
            await ear.until()
        assert any(isinstance(event, Started) for event in ears[0].events) == started
        assert await settled(supervisor) is State.READY
        assert supervisor.pid != first
        assert supervisor.restarts == 1


async def test_a_death_is_told_apart_for_whom_it_may_have_come_from() -> None:
    async with supervised("dies preparing the second") as supervisor:
        for _ in range(2):
            await settled(supervisor)
            ears = [Ear(), Ear(), Ear()]
            for number, ear in enumerate(ears, 1):
                supervisor.submit(Job(number, prompt="x"), ear)
            for ear in ears:
                await ear.until()
            assert [ear.was_preparing for ear in ears] == [False, True, False]


async def test_a_model_that_never_loads_fails_and_is_tried_again_slowly() -> None:
    policy = RestartPolicy(first_wait_s=0.001, longest_wait_s=0.001, deaths_allowed=2)
    async with supervised("dies loading", policy) as supervisor:
        assert await settled(supervisor) is State.FAILED
        assert supervisor.complaint == "exit code 3; its last words: out of memory"
        await restarted(supervisor, 3)
        assert supervisor.state is State.FAILED


async def test_a_processor_that_faults_on_fast_weights_gets_plain_ones() -> None:
    async with supervised("needs plain weights") as supervisor:
        assert await settled(supervisor) is State.READY
        assert supervisor.restarts == 1


async def test_a_model_that_is_refused_has_failed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async with supervised("refuses", RestartPolicy(first_wait_s=60, longest_wait_s=60)) as supervisor:
        assert await settled(supervisor) is State.FAILED
        assert supervisor.complaint == "the model cannot be loaded: no such architecture"
        assert supervisor.restarts == 1
    assert "no such architecture" in caplog.text


async def test_a_model_is_unloaded_and_loaded_again() -> None:
    async with supervised("hangs after text") as supervisor:
        assert await settled(supervisor) is State.READY
        assert supervisor.cold_start_s is not None
        first, ear = supervisor.pid, Ear()
        supervisor.submit(Job(1, prompt="x"), ear)
        await ear.until(Delta)
        stopping = asyncio.ensure_future(supervisor.stop())
        await asyncio.sleep(0)
        assert supervisor.state is State.DRAINING
        late = Ear()
        supervisor.submit(Job(2, prompt="x"), late)
        await stopping
        assert (ear.lost, late.lost) == (True, True)
        assert (supervisor.state, supervisor.pid, supervisor.percent) == (State.UNLOADED, None, 0)
        supervisor.start()
        assert await settled(supervisor) is State.READY
        assert supervisor.pid not in (None, first)
        assert supervisor.restarts == 0


async def test_a_worker_that_will_not_go_is_killed() -> None:
    async with supervised("will not go", patience=Patience(farewell_s=0.05)) as supervisor:
        await settled(supervisor)
        pid = supervisor.pid
        await supervisor.stop()
        assert supervisor.state is State.UNLOADED
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_unloading_while_it_waits_for_another_start_ends_the_starts() -> None:
    async with supervised("dies loading", RestartPolicy(first_wait_s=30)) as supervisor:
        await restarted(supervisor, 1)
        assert supervisor.state is State.RESTARTING
        await supervisor.stop()
        assert (supervisor.state, supervisor.restarts) == (State.UNLOADED, 1)


async def test_vectors_reach_their_job_and_standings_are_kept() -> None:
    async with supervised("measures") as supervisor:
        await settled(supervisor)
        ear = Ear()
        supervisor.submit(EmbedJob(1, ("x",)), ear)
        await ear.until(Vectors)
        async with asyncio.timeout(5):
            while not supervisor.standing.running:  # noqa: ASYNC110 - nothing tells of a standing
                await asyncio.sleep(0.001)
        assert supervisor.standing.waiting == 2


@pytest.mark.parametrize(
    ("mode", "patience", "complaint"),
    [
        ("silent", Patience(heartbeat_s=0.02, load_s=0.05), "silent"),
        ("mute", Patience(heartbeat_s=0.02, stall_s=0.1), "silent"),
        ("stuck", Patience(heartbeat_s=0.02, stall_s=0.1), "stands still"),
    ],
)
async def test_a_worker_that_hangs_is_replaced(mode: str, patience: Patience, complaint: str) -> None:
    async with supervised(mode, RestartPolicy(deaths_allowed=1), patience) as supervisor:
        await restarted(supervisor, 1)
        assert complaint in supervisor.complaint


async def test_an_idle_worker_that_answers_lives_on() -> None:
    async with supervised("good", patience=Patience(heartbeat_s=0.01, stall_s=0.1)) as supervisor:
        await settled(supervisor)
        await asyncio.sleep(0.2)
        assert (supervisor.state, supervisor.restarts) == (State.READY, 0)


async def test_a_cancelled_job_hears_nothing_more() -> None:
    async with supervised("hangs after text") as supervisor:
        await settled(supervisor)
        ear, other = Ear(), Ear()
        supervisor.submit(Job(1, prompt="x"), ear)
        await ear.until(Delta)
        supervisor.cancel(1)
        supervisor.cancel(1)
        supervisor.submit(Job(2, prompt="x"), other)
        await other.until(Delta)
        assert len(ear.events) == 2
    assert other.lost
    assert not ear.lost


async def test_without_a_worker_a_job_is_lost_at_once() -> None:
    supervisor = Supervisor(Load("m"), command=[*FAKE, "good"])
    ear = Ear()
    supervisor.submit(Job(1, prompt="x"), ear)
    assert ear.lost
    await supervisor.close()


async def test_closing_while_it_starts_leaves_no_process() -> None:
    async with supervised("good"):
        await asyncio.sleep(0)


async def test_a_command_that_cannot_be_run_counts_as_a_death() -> None:
    supervisor = Supervisor(Load("m"), command=["/no-such-program"], restarts=RestartPolicy(deaths_allowed=1))
    supervisor.start()
    assert await settled(supervisor) is State.FAILED
    assert "cannot be started" in supervisor.complaint
    await supervisor.close()


@pytest.mark.parametrize(
    ("value", "reason"),
    [(2**70, "out of range"), ("\ud800", "out of range"), ("x" * MAX_FRAME_BYTES, "too long")],
    ids=["number", "half a character", "length"],
)
async def test_a_job_that_cannot_be_sent_is_refused_and_hurts_nobody(value: object, reason: str) -> None:
    """It could be sent to no other worker either; one that got it all the same would end, with all that is in it."""
    async with supervised("good") as supervisor:
        await settled(supervisor)
        ear, other = Ear(), Ear()
        supervisor.submit(Job(1, messages=[{"role": "user", "content": "x", "z": value}]), ear)
        (failed,) = ear.events
        assert isinstance(failed, Failed)
        assert (failed.status, failed.code) == (400, "invalid_request")
        assert reason in failed.message
        supervisor.submit(Job(2, prompt="x"), other)
        await other.until(Finished)
        assert supervisor.restarts == 0


@pytest.mark.parametrize("turns", range(5))
async def test_a_worker_that_dies_just_as_the_gateway_closes_is_not_started_again(turns: int) -> None:
    supervisor = Supervisor(Load("m"), command=[*FAKE, "good"])
    supervisor.start()
    await supervisor.until_settled()
    worker = supervisor._worker
    assert worker is not None
    worker.gone.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await supervisor.close()
    assert supervisor.state is State.STOPPED
    assert supervisor.pid is None
