"""Callers of every kind, seeded and paced, and what each of them saw.

seen = Seen()
await run(gateway, KINDS, Pace(seconds=60, seed=7), seen)
seen.outcomes["ok"]             # by what the caller was told, in the words of the metrics
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.signals.telemetry import Outcome
from tests.end_to_end.proving_ground import parsed
from tests.gateway_process import post
from tests.observed.policy import secret_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.end_to_end.proving_ground import Reply
    from tests.gateway_process import GatewayProcess

WITHIN_S = 20.0
LEAVES_AFTER_S = 0.3
TELLS = 0.8
CUT_SHORT = 0.1
QUESTIONS = (
    "How do I reset my password?", "Where is the invoice of last month?", "When does the night train leave?",
    "How can I change my seat?", "What does a dog cost on board?", "Is there a discount for students?",
    "How long is a ticket valid?", "Can I take my bicycle along?", "Where do I find lost property?",
    "How do I delete my account?",
)  # fmt: skip
THINGS = (
    "password", "router", "phone", "alarm", "watch", "oven", "camera", "printer", "kettle", "boiler", "scooter",
    "radio", "tablet", "heater", "scanner", "charger", "speaker", "lock", "lamp", "modem",
)  # fmt: skip
CODES = {
    "rate_limit_exceeded": Outcome.DENIED_RATE,
    "queue_full": Outcome.DENIED_RATE,
    "insufficient_quota": Outcome.DENIED_BUDGET,
}
STATUSES = {401: Outcome.DENIED_AUTH, 403: Outcome.DENIED_AUTH, 504: Outcome.TIMEOUT}


class Kind(NamedTuple):
    """Calls of one kind: their model, how many come a second, who makes them, and what is odd about them."""

    name: str
    model: str
    per_s: float
    keys: tuple[str, ...] = ("search-app", "notebook", "helpdesk")
    streams: float = 0.4
    oddity: str = ""
    at_once: int = 1
    headers: tuple[str, ...] = ()
    trouble: bool = False
    until: float = 1.0  # the part of the run after which no more come
    tokens: int | None = None


KINDS = (
    Kind("chat", "smart", 3.0, ("search-app", "search-app", "search-batch", "helpdesk")),
    Kind("research", "smart", 0.5, ("notebook",)),
    Kind("trial", "smart", 0.4, ("demo",), trouble=True),
    Kind("questions", "faq", 2.0, ("helpdesk", "search-app"), oddity="asked before"),
    Kind("fresh questions", "faq", 0.3, ("helpdesk",), oddity="asked before", headers=("Cache-Control: no-store",)),
    Kind("sent twice", "smart", 0.2, ("search-batch",), oddity="sent twice"),
    Kind("thoughts", "thinking", 0.5, ("search-app", "notebook")),
    Kind("audio", "audio", 0.3),
    Kind("searches", "search", 0.3, ("search-app",)),
    Kind("brokered", "broker", 0.6, ("search-batch", "helpdesk")),
    Kind("busy", "busy", 0.6),
    Kind("cut", "shaky", 0.3, streams=1.0, trouble=True),
    Kind("resumed", "resumed", 0.3, streams=1.0),
    Kind("mute", "mute", 1.2, streams=1.0),
    Kind("late", "hedged", 0.5, ("search-app",), streams=1.0),
    Kind("stuck", "stuck", 0.15, trouble=True),
    Kind("unpriced", "mystery", 0.3, ("helpdesk",)),
    Kind("lucky", "lucky", 0.4),
    Kind("hopeless", "hopeless", 0.2, trouble=True),
    Kind("patient", "patient", 1.2, ("search-app",)),
    Kind("rented", "rented", 0.8),
    Kind("vectors", "vectors", 0.8, streams=0.0, oddity="vectors"),
    Kind("local", "local", 0.6, ("search-app", "helpdesk")),
    Kind("leaving", "wordy", 0.25, streams=1.0, oddity="leaves", trouble=True),
    Kind("essays", "wordy", 0.08, ("search-app",), streams=0.5, until=0.7, tokens=2600),
    Kind("stranger", "smart", 0.25, ("nobody",), trouble=True),
    Kind("unknown model", "gpt-99", 0.25, trouble=True),
    Kind("malformed", "smart", 0.2, oddity="malformed", trouble=True),
    Kind("eager", "smart", 0.5, ("eager",), trouble=True),
    Kind("crowded", "rented", 0.15, ("crowded",), oddity="", at_once=3, trouble=True),
    Kind("bulk", "rented", 0.4, ("bulk",)),
)
CREW_KINDS = (
    Kind("chat", "smart", 2.0, ("search-app", "notebook", "helpdesk")),
    Kind("busy", "busy", 0.6),
    Kind("stranger", "smart", 0.1, ("nobody",), trouble=True),
)


class Pace(NamedTuple):
    """How long, from which seed, and how much of each kind's rate; of those in trouble, `trouble` of that."""

    seconds: float
    seed: int
    factor: float = 1.0
    trouble: float = 1.0


@dataclass
class Seen:
    """What callers were told; `lost` are calls whose connection broke before an answer, as when a worker is killed."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    by_kind: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)
    lost: int = 0

    def note(self, kind: Kind, outcome: Outcome, reply: Reply | None = None) -> None:
        self.outcomes[outcome] += 1
        self.by_kind[kind.name, outcome] += 1
        if reply is not None:
            self.ids.add(reply.headers.get("x-request-id", ""))


async def run(gateway: GatewayProcess, kinds: Sequence[Kind], pace: Pace, seen: Seen) -> None:
    """Every kind's callers for so long, and until the last has its answer."""
    async with asyncio.TaskGroup() as callers:
        for kind in kinds:
            callers.create_task(_arrivals(gateway, kind, pace, seen, callers))


async def _arrivals(gateway: GatewayProcess, kind: Kind, pace: Pace, seen: Seen, callers: asyncio.TaskGroup) -> None:
    """A Poisson process whose rate swells and ebbs."""
    rng = random.Random(f"{pace.seed}/{kind.name}")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    per_s = kind.per_s * pace.factor * (pace.trouble if kind.trouble else 1.0)
    phase = rng.random() * 2 * math.pi
    at_s = 0.0
    while True:
        swell = 1.0 + 0.4 * math.sin(at_s / pace.seconds * 4 * math.pi + phase)
        at_s += rng.expovariate(per_s * swell)
        if at_s >= pace.seconds * kind.until:
            return
        await asyncio.sleep(began_s + at_s - loop.time())
        for _ in range(kind.at_once):
            callers.create_task(_call(gateway, kind, random.Random(rng.random()), seen))


async def _call(gateway: GatewayProcess, kind: Kind, rng: random.Random, seen: Seen) -> None:
    stream = rng.random() < kind.streams
    path, body = _body(kind, stream, rng)
    key = secret_of(rng.choice(kind.keys))
    twice = kind.oddity == "sent twice"
    headers = (*kind.headers, f"Idempotency-Key: {rng.random()}") if twice else kind.headers
    data = post(path, body, *headers, key=key)
    try:
        if kind.oddity == "leaves":
            seen.note(kind, await _leave(gateway, data))
            return
        for _ in range(1 + twice):
            reply = parsed(await gateway.ask(data, within_s=WITHIN_S))
            seen.note(kind, outcome_of(reply, stream=stream), reply)
        if "level=semantic" in reply.headers.get("x-pointsman-cache", ""):
            await _judge(gateway, reply, key, rng)
    except (OSError, IndexError):
        seen.lost += 1


async def _judge(gateway: GatewayProcess, reply: Reply, key: str, rng: random.Random) -> None:
    """Some of those who got an answer to another wording say whether it was right."""
    if rng.random() < TELLS:
        verdict = "good" if rng.random() < 0.8 else "bad"
        await gateway.ask(post("/v1/cache/feedback", {"request_id": reply.id, "verdict": verdict}, key=key))


def _body(kind: Kind, stream: bool, rng: random.Random) -> tuple[str, object]:  # noqa: FBT001 - both are plain words
    if kind.oddity == "malformed":
        return "/v1/chat/completions", b'{"model": "smart", "messages": ['
    if kind.oddity == "vectors":
        return "/v1/embeddings", {"model": kind.model, "input": _prompt(rng)}
    body: dict[str, Any] = {"model": kind.model, "stream": stream, "messages": [_message(_prompt(rng))]}
    if kind.oddity == "asked before":
        body |= {"messages": [_message(_question(rng))], "temperature": 0}
        if rng.random() < CUT_SHORT:
            body["max_tokens"] = 4
    if kind.model == "local":
        body["max_tokens"] = rng.randrange(8, 48)
    if kind.tokens is not None:
        body["max_tokens"] = kind.tokens
    return "/v1/chat/completions", body


def _message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _prompt(rng: random.Random) -> str:
    return " ".join(f"platform {rng.randrange(1000)}" for _ in range(rng.randrange(4, 24)))


def _question(rng: random.Random) -> str:
    if rng.random() < 0.4:
        return f"How {rng.choice(('do', 'can'))} I reset my {rng.choice(THINGS)}?"
    asked = QUESTIONS[min(int(rng.expovariate(0.4)), len(QUESTIONS) - 1)]
    return f"{asked[:-1]} on line {rng.randrange(10_000)}?" if rng.random() < 0.15 else asked


async def _leave(gateway: GatewayProcess, data: bytes) -> Outcome:
    """Hang up in the middle of the answer, if there is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(data)
    got = b""
    try:
        async with asyncio.timeout(WITHIN_S):
            while b'"content"' not in got:
                if not (more := await reader.read(1 << 16)):
                    return outcome_of(parsed(got), stream=True)
                got += more
        await asyncio.sleep(LEAVES_AFTER_S)
        return Outcome.CLIENT_CANCELLED
    finally:
        writer.transport.abort()


def outcome_of(reply: Reply, *, stream: bool) -> Outcome:
    """The outcome that a caller would name, as far as an answer tells."""
    if reply.status == 200:
        is_whole = reply.ended and (not stream or reply.body.rstrip().endswith(b"[DONE]"))
        return Outcome.OK if is_whole else Outcome.UPSTREAM_ERROR
    code = str(json.loads(reply.body)["error"].get("code"))
    if code in CODES:
        return CODES[code]
    if reply.status in STATUSES:
        return STATUSES[reply.status]
    return Outcome.CLIENT_ERROR if reply.status < 500 else Outcome.UPSTREAM_ERROR
