"""A crowd of random callers before one worker: what each asks for, when it leaves, and what must be true of the answer.

    async with worker_crowd(model, tuning, seed) as crowd:
        await crowd.come_and_go(seconds=60, per_s=20)
        crowd.check()

`Crowd.told` holds every event of every job in its order: the worker is watched at its socket, where nothing is hidden.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.llama_cpp_job import Delta, Failed, Finished, Job, Place, Sampling, Started, ToolSpec
from gateway.local.frames import Cancel, Load, Ready, Standing, Submit, Tuning
from gateway.local.serving.process import WORKER_COMMAND, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from adapters.llama_cpp_job import Event
    from gateway.local.frames import Report

CONTEXT_TOKENS = 1024
ANSWERED_WITHIN_S = 30.0
BURST = 24
SHARED = "you are a patient and careful clerk in the archive of a small town by the sea. " * 6
PROBE = {"prompt": SHARED + "hello", "max_tokens": 24}
"""A request that is asked again and again: in `deterministic` mode its answer never changes."""


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(("hello", "the", "lantern", "sea", "and", "7", "übel", "📎")) for _ in range(count))


def short(rng: random.Random) -> dict[str, Any]:
    return {"messages": says(words(rng, 5)), "max_tokens": rng.randrange(1, 60)}


def long(rng: random.Random) -> dict[str, Any]:
    return {"prompt": words(rng, rng.randrange(60, 130)), "max_tokens": rng.randrange(1, 40)}


def shared(rng: random.Random) -> dict[str, Any]:
    return {"messages": says(SHARED + words(rng, 4)), "max_tokens": rng.randrange(1, 30)}


def several(rng: random.Random) -> dict[str, Any]:
    return {**short(rng), "choices": rng.randrange(2, 5)}


def stopped(rng: random.Random) -> dict[str, Any]:
    return {**short(rng), "stop": ("e", "an", "ou")[: rng.randrange(1, 4)]}


def explained(rng: random.Random) -> dict[str, Any]:
    return {
        **short(rng),
        "sampling": Sampling(temperature=0.8, seed=rng.randrange(9), top_logprobs=rng.randrange(0, 6)),
    }


def ruled(rng: random.Random) -> dict[str, Any]:
    schema = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
    return {**short(rng), "schema": rng.choice(("{}", schema)), "strict": True, "max_tokens": 60}


def called(rng: random.Random) -> dict[str, Any]:
    return {**short(rng), "forced_tools": (ToolSpec("look", "Look.", None), ToolSpec("listen", "Listen.", "{}"))}


def bad_grammar(rng: random.Random) -> dict[str, Any]:
    broken = ('{"type": "nonsense"}', "{", '{"$ref": "#/nowhere"}', '{"type": "string", "pattern": "(?<=a)b"}')
    return {**short(rng), "schema": rng.choice(broken), "strict": True}


def bad_template(rng: random.Random) -> dict[str, Any]:
    """Messages that the chat template cannot render, and members of them that it does not expect."""
    broken: tuple[list[dict[str, Any]], ...] = ([{}], [{"role": "user"}], [{"role": 5, "content": {"a": 1}}], [])
    return {"messages": rng.choice(broken), "max_tokens": 20}


def too_long(rng: random.Random) -> dict[str, Any]:
    return {"prompt": words(rng, 3000)}


def bad_tokens(rng: random.Random) -> dict[str, Any]:
    return {"prompt_tokens": (rng.choice((-1, 10**6)), 2), "max_tokens": 4}


def impatient(rng: random.Random) -> dict[str, Any]:
    return {**short(rng), "place": Place(flow="impatient", patience_s=rng.choice((0.0, 0.02)))}


ASKS: tuple[tuple[Callable[[random.Random], dict[str, Any]], int], ...] = (
    (short, 8), (long, 4), (shared, 6), (several, 2), (stopped, 3), (explained, 3), (ruled, 2), (called, 1),
    (bad_grammar, 2), (bad_template, 2), (too_long, 1), (bad_tokens, 1), (impatient, 1),
)  # fmt: skip
REFUSED = {bad_grammar.__name__, too_long.__name__, bad_tokens.__name__}
"""Requests that cannot be answered: whoever gets text for one has found a hole."""


def sampling(rng: random.Random) -> Sampling:
    if rng.random() < 0.4:
        return Sampling(temperature=0)
    return Sampling(
        temperature=rng.choice((0.3, 1.0, 2.0)),
        top_p=rng.choice((1.0, 0.9)),
        top_k=rng.choice((0, 5, 1000)),
        min_p=rng.choice((0.0, 0.1)),
        frequency_penalty=rng.choice((0.0, 0.5)),
        logit_bias=rng.choice(((), ((5, 4.0), (7, -100.0)))),
        seed=rng.choice((None, 7)),
    )


@dataclass
class Asked:
    """A job, what kind it is, and when its caller left, if so."""

    job: Job
    kind: str
    left_s: float | None = None
    events: list[tuple[float, Event]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> list[Finished]:
        return [event for _, event in self.events if isinstance(event, Finished)]

    @property
    def failure(self) -> Failed | None:
        return next((event for _, event in self.events if isinstance(event, Failed)), None)

    def text(self, choice: int = 0) -> str:
        return "".join(event.text for _, event in self.events if isinstance(event, Delta) and event.choice == choice)


class Crowd:
    """Callers of one worker."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.asked: dict[int, Asked] = {}
        self.standings: list[Standing] = []
        self.news = asyncio.Event()
        self.ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.worker: WorkerProcess | None = None
        self.strangers: list[Event] = []

    def take(self, reports: list[Report]) -> None:
        now_s = time.monotonic()
        for report in reports:
            if isinstance(report, Ready):
                self.ready.set_result(report)
            elif isinstance(report, Standing):
                self.standings.append(report)
                self.news.set()
            elif isinstance(report, Started | Delta | Finished | Failed):
                self._note(report, now_s)

    def _note(self, event: Event, now_s: float) -> None:
        asked = self.asked.get(event.job)
        if asked is None:
            self.strangers.append(event)
            return
        asked.events.append((now_s, event))
        if isinstance(event, Failed) or len(asked.finished) == asked.job.answers:
            asked.ended.set()

    def ask(self, kind: str, **members: Any) -> Asked:
        number = len(self.asked) + 1
        members.setdefault("sampling", sampling(self.rng))
        members.setdefault("place", Place(flow=f"tenant {self.rng.randrange(4)}", priority=self.rng.randrange(3)))
        asked = self.asked[number] = Asked(Job(id=number, **members), kind)
        self._send(Submit(asked.job))
        return asked

    def leave(self, asked: Asked) -> None:
        asked.left_s = time.monotonic()
        self._send(Cancel(asked.job.id))

    def _send(self, order: Submit | Cancel) -> None:
        assert self.worker is not None
        self.worker.send(order)

    def probe(self) -> Asked:
        return self.ask("probe", **PROBE, sampling=Sampling(temperature=0))

    async def settle(self, jobs: int = 1500) -> None:
        """Small jobs, one after the other: what the worker keeps of jobs up to some number, it keeps by then."""
        for _ in range(jobs):
            await self.ask("first", prompt="hello", max_tokens=2).ended.wait()

    async def come_and_go(self, seconds: float, per_s: float) -> None:
        """Random callers at random times; returns when the last one that stayed has its answer."""
        until_s = time.monotonic() + seconds
        makers, weights = zip(*ASKS, strict=True)
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until_s:
                await asyncio.sleep(self.rng.expovariate(per_s))
                at_once = BURST if self.rng.random() < 0.04 else 1
                for make in self.rng.choices(makers, weights, k=at_once):
                    asked = self.ask(make.__name__, **make(self.rng)) if self.rng.random() < 0.9 else self.probe()
                    group.create_task(self._stay(asked, self.rng.random() < 0.25))

    async def _stay(self, asked: Asked, leaves_early: bool) -> None:  # noqa: FBT001 - drawn, not chosen
        if leaves_early:
            await asyncio.sleep(self.rng.choice((0.0, 0.005, 0.05, 0.2)))
            if not asked.ended.is_set():
                self.leave(asked)
        else:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await asked.ended.wait()

    async def rest(self) -> Standing:
        """What the worker says of itself once it has nothing to do."""
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            while not self.standings or self.standings[-1].running or self.standings[-1].waiting:
                self.news.clear()
                await self.news.wait()
        return self.standings[-1]

    def footprint(self) -> tuple[int, int, int]:
        """Of the worker: resident bytes, threads, open files."""
        assert self.worker is not None
        proc = Path(f"/proc/{self.worker.pid}")
        pages = int((proc / "statm").read_text().split()[1])
        return pages * 4096, len(list((proc / "task").iterdir())), len(list((proc / "fd").iterdir()))

    def check(self) -> Counter[str]:
        """Every job ended exactly once, and as it had to. How often each way was taken."""
        assert self.strangers == []
        return Counter(f"{asked.kind}: {check_one(asked)}" for asked in self.asked.values())


def check_one(asked: Asked) -> str:
    """How it ended. Raises `AssertionError` where its events make no sense."""
    about = f"{asked.kind} {asked.job.id}: {[event for _, event in asked.events][-4:]}"
    choices = Counter(finished.choice for finished in asked.finished)
    assert all(count == 1 for count in choices.values()), about
    if asked.failure:
        assert isinstance(asked.events[-1][1], Failed), about
        assert sum(isinstance(event, Failed) for _, event in asked.events) == 1, about
        assert asked.failure.status in {400, 503} or asked.left_s is not None, about
        return f"{asked.failure.status} {asked.failure.code}"
    if len(choices) < asked.job.answers:
        assert asked.left_s is not None, about
        return "left"
    assert asked.kind not in REFUSED, about
    assert isinstance(asked.events[-1][1], Finished), about
    for finished in asked.finished:
        check_answer(asked, finished)
    return "answered"


def check_answer(asked: Asked, finished: Finished) -> None:
    deltas = [event for _, event in asked.events if isinstance(event, Delta) and event.choice == finished.choice]
    assert sum(delta.tokens for delta in deltas) <= finished.completion_tokens
    assert finished.reason in {"stop", "length"}
    if asked.job.max_tokens is not None:
        assert finished.completion_tokens <= asked.job.max_tokens
    text = asked.text(finished.choice)
    assert not any(stop in text for stop in asked.job.stop), f"{text!r} holds one of {asked.job.stop}"
    if asked.job.schema and finished.reason == "stop":
        assert isinstance(json.loads(text), dict)


@asynccontextmanager
async def worker_crowd(model: Path, tuning: Tuning, seed: int, max_waiting: int = 64) -> AsyncIterator[Crowd]:
    """A worker of its own, and its crowd."""
    crowd = Crowd(seed)
    with ThreadPoolExecutor(1) as starter:
        crowd.worker = await WorkerProcess.spawn(WORKER_COMMAND, crowd.take, starter)
        try:
            crowd.worker.send(Load(str(model), tuning=tuning, max_waiting=max_waiting))
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await crowd.ready
            yield crowd
        finally:
            await crowd.worker.reap()
