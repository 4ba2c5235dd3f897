"""Calls of a route with a cache, for the tests of the stage and of its parts: a store in process, an embedder that a
test tells what is like what, and an upstream that counts.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from adapters.base import Tally
from adapters.openai_request import parse
from gateway.caching.flights import Flights
from gateway.caching.keeping import Keeper
from gateway.caching.learning import Learning
from gateway.caching.lookup import Lookup, Means
from gateway.caching.served import Served
from gateway.call import Attempt, Reply
from gateway.embedding.embedder import EmbedderUnavailable
from gateway.generation import InUse
from gateway.stages.cache import Aside, CacheStage, Tools
from gateway.state.answers.in_process import InProcessAnswers
from policies.cache_curves import SHIPPED
from policies.cache_rules import CacheRules, SemanticRules
from policies.usage import Usage
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Target
from tests.gateway.stages.a_call import a_call

if TYPE_CHECKING:
    from gateway.caching.shadow import Hit
    from gateway.call import Call
    from gateway.embedding.embedder import Vector
    from gateway.signals.cache_metrics import CacheMetrics
    from gateway.state.answers.store import AnswerStore
    from policies.cache_rules import JudgeRules

ANN = Principal("k_ann", "ann", team="shop", org="acme")
AMY = Principal("k_amy", "amy", team="shop", org="acme")
BOB = Principal("k_bob", "bob", team="sales", org="acme")
CHATTY = Deployment("chatty", "p", "openai", "gpt")
EXACT = CacheRules()
SEMANTIC = CacheRules(semantic=SemanticRules(0.2))
NOW_S = 1_000_000.0
LOGIN = "How do I log in?"
FORWARDED = {"chatty": ("openai-beta", "x-mode")}


def said(text: str = "Hello.", finish: str = "stop") -> bytes:
    """A whole answer of chat."""
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt",
            "choices": choices,
            "usage": usage,
        }
    ).encode()


def streamed(*words: str, finish: str | None = "stop") -> list[bytes]:
    """The events of one, the last of them `[DONE]`, unless it has no finish."""
    head: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in words]
    deltas += [({}, finish)] if finish else []
    found = [
        b"data: "
        + json.dumps(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}).encode()
        + b"\n\n"
        for delta, reason in deltas
    ]
    return [*found, b"data: [DONE]\n\n"] if finish else found


class Told:
    """An upstream's answer: whole, or in pieces; an exception among them breaks it."""

    def __init__(self, body: bytes | None = None, pieces: list[bytes | Exception] | None = None) -> None:
        self.body = body
        self.headers: tuple[tuple[str, str], ...] = (("openai-version", "1"), ("openai-processing-ms", "7"))
        self.first_token_s: float | None = None
        self.tally = Tally(usage=Usage(11, 7))
        self._pieces = pieces or []

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self._pieces.clear()


class Behind:
    """What stands behind the stage. Each call gets `answers`' next, else `Hello.`; `gate` holds all of them back."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[Told | Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        attempt = Attempt(len(call.attempts) + 1, CHATTY, 0.0)
        call.attempts.append(attempt)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            attempt.cancelled, attempt.ended_s = True, 1.0
            raise
        if self.answers:
            answer = self.answers.pop(0)
        else:
            events: list[bytes | Exception] = [*streamed("Hel", "lo.")]
            answer = Told(pieces=events) if call.request.stream else Told(said())
        if isinstance(answer, Exception):
            attempt.ended_s = 1.0
            raise answer
        attempt.tally = answer.tally
        call.answering = attempt
        return Reply(answer, CHATTY)


class Likeness:
    """An embedder: texts have the angles that a test gives them, in radians; others are at right angles to all."""

    id = SHIPPED[0].embedder  # whose curve is known
    dimensions = 64

    def __init__(self, **angles: float) -> None:
        self.angles: dict[str, float] = dict(angles)
        self.others: list[str] = []
        self.asked: list[str] = []
        self.is_away = False
        self.delay_s = 0.0

    async def embed(self, text: str) -> Vector | None:
        import numpy as np  # noqa: PLC0415 - an extra

        self.asked.append(text)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.is_away:
            raise EmbedderUnavailable("away")
        if len(text) > 1000:
            return None
        vector = np.zeros(self.dimensions, np.float32)
        if text in self.angles:
            vector[0], vector[1] = np.cos(self.angles[text]), np.sin(self.angles[text])
            return vector
        if text not in self.others:
            self.others.append(text)
        vector[2 + self.others.index(text)] = 1.0
        return vector

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Signals:
    """What a lookup tells metrics."""

    def __init__(self) -> None:
        self.away: list[str] = []
        self.embeddings = 0

    def unavailable(self, part: str) -> None:
        self.away.append(part)

    def embedded(self, _: str, duration_s: float) -> None:
        assert duration_s >= 0.0
        self.embeddings += 1


class Bystander:
    """A judge, and a shadow, that only hear of things. `says` is the judge's word."""

    def __init__(self) -> None:
        self.says = False
        self.asked: list[tuple[str, str]] = []
        self.hits: list[Hit] = []

    async def says_same(self, _: Call, question: str, stored: str, rules: JudgeRules) -> bool:
        assert rules.deployment
        self.asked.append((question, stored))
        return self.says

    def consider(self, hit: Hit, semantic: SemanticRules) -> bool:
        assert semantic.shadow is not None
        self.hits.append(hit)
        return True


class CacheGround:
    """The stage over `store`, with all that it works with; `now_s` is everybody's clock."""

    def __init__(self, rules: CacheRules = EXACT, store: AnswerStore | None = None, *, embeds: bool = True) -> None:
        self.rules = rules
        self.now_s = NOW_S
        self.store = store or InProcessAnswers(clock=lambda: self.now_s)
        self.embedder: Likeness | None = Likeness() if embeds else None
        self.learning = Learning(self.store)
        self.not_stored: list[tuple[str, str]] = []
        self.keeper = Keeper(self.store, lambda: self.embedder, lambda *why: self.not_stored.append(why))
        self.flights, self.served = Flights(lambda: self.keeper.is_busy), Served()
        self.signals = Signals()
        metrics = cast("CacheMetrics", self.signals)
        self.lookup = Lookup(
            Means(self.store, lambda: self.embedder, self.learning, lambda: metrics, 0.05, lambda: self.now_s)
        )
        self.aside = Bystander()
        aside = Aside(cast("Any", self.aside), cast("Any", self.aside))
        tools = Tools(self.lookup, self.keeper, self.flights, self.served, aside, Random(1), lambda: self.now_s)
        self.stage = CacheStage(tools)
        self.behind = Behind()
        self._number = 0

    def route(self) -> Route:
        return Route("faq", ("faq",), Strategy.ORDERED, (Target(CHATTY),), cache=self.rules)

    def call(
        self,
        question: str = LOGIN,
        *headers: tuple[str, str],
        principal: Principal = ANN,
        stream: bool = False,
        **members: object,
    ) -> Call:
        self._number += 1
        call = a_call(*headers)
        call.id = f"req_{self._number:04}"
        said_before = members.pop("before", [])
        messages = [*cast("list[object]", said_before), {"role": "user", "content": question}]
        body = {"model": "faq", "messages": messages, "stream": stream, **members}
        call.request = parse(Endpoint.CHAT, json.dumps(body).encode())
        call.principal, call.route, call.candidates = principal, self.route(), (CHATTY,)
        call.received_s = asyncio.get_running_loop().time()
        call.generation = cast("Any", SimpleNamespace(routes=(call.route,), in_use=InUse(), forwarded=FORWARDED))
        return call

    async def ask(self, call: Call) -> bytes:
        """The whole answer's bytes, once it has been kept if it is."""
        reply = await self.stage(call, self.behind)
        body = await read_all(reply) if reply.answer.body is None else reply.answer.body
        await self.settled()
        return body

    async def settled(self) -> None:
        while self.keeper._tasks:
            await asyncio.wait(self.keeper._tasks)

    def asking(self, call: Call) -> asyncio.Task[Reply]:
        return asyncio.ensure_future(self.stage(call, self.behind))


def outcome(call: Call) -> str:
    """What became of it, in a word: a level, why it was left alone, or `miss`."""
    cached = call.cached
    assert cached is not None
    word = cached.level or cached.bypass
    return "miss" if word is None else word.value


async def outcomes(ground: CacheGround, *calls: Call) -> list[str]:
    """What becomes of calls that are made one after the other."""
    for call in calls:
        await ground.ask(call)
    return [outcome(call) for call in calls]


def text_of(body: bytes) -> str:
    """The text of a whole answer or of a stream's events."""
    if body.startswith(b"{"):
        return str(json.loads(body)["choices"][0]["message"]["content"])
    found = [json.loads(line[6:]) for line in body.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(choice["delta"].get("content") or "" for event in found for choice in event["choices"])


async def read_all(reply: Reply) -> bytes:
    found = b""
    while piece := await reply.answer.read():
        found += piece
    return found


def with_rules(ground: CacheGround, **changes: Any) -> CacheGround:
    ground.rules = replace(ground.rules, **changes)
    return ground
