"""Providers as a day brings them: quick and slow models, some that think, hear or bill themselves, bad minutes.

    async with Providers(seed=7) as far:
        far.share = lambda: 0.5             # how much of the run is over; habits are bad for a part of it
        far.told["swift-1", "output"]       # tokens by upstream model and type, as told to the gateway in whole answers

Each upstream model behaves as HABITS says. The usage that a model tells is kept, so that the gateway can be held to it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.observed.policy import SPARE_KEY
from tests.scripted_upstream import ScriptedUpstream, answer, chunk, events, forever, head, request, send, stall

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scripted_upstream import Peer, Received

WORDS = ("the", "signal", "is", "set", "and", "train", "on", "track", "nine", "leaves", "for", "Basel", "at", "noon")
RETRY_AFTER_S = 1
ENGINE_METRICS = "/engine/metrics"
ENGINE_MODEL = "gpu-1"
ENGINE_SLOTS = 4
REVOKED = (0.7, 0.78)


class Habit(NamedTuple):
    """What one model is like. Shares are of its calls; in the part `bad` of the run all fail as `status` says."""

    first_s: float = 0.03
    token_s: float = 0.0015
    tokens: int = 24
    cached: float = 0.0  # of the prompt, on every other call
    thinks: float = 0.0  # reasoning tokens beside those of the text
    hears: int = 0  # audio tokens of the prompt
    miscounts: float = 0.0  # tells more of them than the prompt had tokens
    searches: int = 0
    bills_nanousd: int = 0  # per token, told as usage.cost
    tier: str = "default"
    fails: float = 0.0
    status: int = 500
    bad: tuple[float, float] = (2.0, 2.0)
    cuts: float = 0.0
    stalls: float = 0.0
    tells_usage: bool = True


HABITS = {
    "swift-1": Habit(cached=0.6, bad=(0.45, 0.65), status=503),
    "sturdy-1": Habit(first_s=0.06, token_s=0.002, tokens=30, cached=0.3),
    "spare-1": Habit(first_s=0.06, token_s=0.002, tokens=30),
    "thinker-1": Habit(first_s=0.25, tokens=20, thinks=3.0, fails=0.05),
    "listener-1": Habit(hears=40, miscounts=0.3, tokens=12),
    "seeker-1": Habit(searches=2, tier="priority"),
    "broker-1": Habit(bills_nanousd=900, fails=0.05, status=429),
    "busy-1": Habit(fails=0.35, status=429),
    "shaky-1": Habit(cuts=0.5, tokens=40),
    "mute-1": Habit(tells_usage=False),
    "late-1": Habit(first_s=0.35, tokens=16),
    "stuck-1": Habit(stalls=1.0),
    "mystery-1": Habit(tokens=16),
    "gpu-1": Habit(first_s=0.08, token_s=0.003, cached=0.4),
    "vectors-1": Habit(first_s=0.01),
    "wordy-1": Habit(tokens=4000, token_s=0.004),
}


class Providers:
    """One server for all models; which company a model is of is the policy's word."""

    def __init__(self, seed: int) -> None:
        self.told: Counter[tuple[str, str]] = Counter()
        self.answered: Counter[str] = Counter()
        self.refused: Counter[tuple[str, int]] = Counter()
        self.billed_nanousd = 0
        self.share: Callable[[], float] = lambda: 0.0
        self.working: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._server = ScriptedUpstream().otherwise(forever(self._serve))

    @property
    def url(self) -> str:
        return f"{self._server.url}/v1"

    @property
    def target(self) -> str:
        """Where ENGINE_METRICS are scraped."""
        return f"127.0.0.1:{self._server.port}"

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._server.__aexit__(*failure)

    async def _serve(self, peer: Peer) -> None:
        await request()(peer)
        received = peer.requests[-1]
        del peer.requests[:-1], self._server.requests[:-1]
        if received.method == "GET":
            told = self._engine() if received.path == ENGINE_METRICS else '{"object":"list","data":[]}'
            kind = "text/plain; version=0.0.4" if received.path == ENGINE_METRICS else "application/json"
            await send(answer(told.encode(), headers=[("content-type", kind)]))(peer)
            return
        if SPARE_KEY in received.headers.get("authorization", "") and REVOKED[0] <= self.share() < REVOKED[1]:
            await send(_refusal(401))(peer)
            return
        body = json.loads(received.body)
        self.working[body["model"]] += 1
        try:
            await self._work(peer, received, body)
        finally:
            self.working[body["model"]] -= 1

    async def _work(self, peer: Peer, received: Received, body: dict[str, Any]) -> None:
        habit = HABITS[body["model"]]
        if self._rng.random() < habit.stalls:
            await stall()(peer)
        await asyncio.sleep(habit.first_s * self._rng.lognormvariate(0.0, 0.4))
        if status := self._refuses(habit):
            self.refused[body["model"], status] += 1
            await send(_refusal(status))(peer)
        elif received.path.endswith("/embeddings"):
            await self._embed(peer, body)
        elif body.get("stream"):
            await self._stream(peer, body, habit)
        else:
            await self._answer(peer, body, habit)

    def _engine(self) -> str:
        """What vLLM and llama.cpp's server would tell of the model that is rented, by their names."""
        calls, written = self.working[ENGINE_MODEL], self.told[ENGINE_MODEL, "output"]
        busy = min(calls, ENGINE_SLOTS)
        samples = {
            "vllm:num_requests_running gauge": busy,
            "vllm:num_requests_waiting gauge": calls - busy,
            "vllm:num_preemptions_total counter": written // 1000,
            "vllm:kv_cache_usage_perc gauge": busy / ENGINE_SLOTS * 0.7,
            "llamacpp:requests_processing gauge": busy,
            "llamacpp:requests_deferred gauge": calls - busy,
            "llamacpp:tokens_predicted_total counter": written,
        }
        return "".join(f"# TYPE {name}\n{name.split()[0]} {value}\n" for name, value in samples.items())

    def _refuses(self, habit: Habit) -> int:
        is_bad = habit.bad[0] <= self.share() < habit.bad[1]
        return habit.status if is_bad or self._rng.random() < habit.fails else 0

    async def _embed(self, peer: Peer, body: dict[str, Any]) -> None:
        usage = {"prompt_tokens": _tokens_of(body), "total_tokens": _tokens_of(body)}
        self._keep(body["model"], usage)
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 1.0]}]
        told = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        await send(answer(json.dumps(told).encode()))(peer)

    async def _answer(self, peer: Peer, body: dict[str, Any], habit: Habit) -> None:
        count = self._length(body, habit)
        await asyncio.sleep(count * habit.token_s)
        usage = self._usage(body, habit, count)
        message = {"role": "assistant", "content": " ".join(self._words(count))}
        told: dict[str, Any] = _start(body, "chat.completion", habit)
        told["choices"] = [{"index": 0, "message": message, "finish_reason": _finish(body, count)}]
        if habit.tells_usage:
            told["usage"] = usage
            self._keep(body["model"], usage)
        await send(answer(json.dumps(told).encode()))(peer)

    async def _stream(self, peer: Peer, body: dict[str, Any], habit: Habit) -> None:
        count = self._length(body, habit)
        cut_at = self._rng.randrange(2, count) if self._rng.random() < habit.cuts else None
        start = _start(body, "chat.completion.chunk", habit)
        await send(head(content_type="text/event-stream", transfer_encoding="chunked"))(peer)
        words = self._words(count)
        for begin in range(0, count, 4):
            text = " ".join(words[begin : begin + 4]) + " "
            await send(chunk(_event(start, [{"index": 0, "delta": {"content": text}, "finish_reason": None}])))(peer)
            await asyncio.sleep(4 * habit.token_s)
            if cut_at is not None and begin >= cut_at:
                peer.abort()
                raise ConnectionResetError
        ended = [{"index": 0, "delta": {}, "finish_reason": _finish(body, count)}]
        rest = [_event(start, ended)]
        if habit.tells_usage:
            usage = self._usage(body, habit, count)
            self._keep(body["model"], usage)
            rest.append(_event(start, [], usage=usage))
        await send(b"".join(chunk(piece) for piece in (*rest, events("[DONE]"))) + chunk(b""))(peer)

    def _length(self, body: dict[str, Any], habit: Habit) -> int:
        wanted = round(habit.tokens * self._rng.lognormvariate(0.0, 0.35))
        return max(4, min(wanted, body.get("max_tokens") or body.get("max_completion_tokens") or wanted))

    def _words(self, count: int) -> list[str]:
        return self._rng.choices(WORDS, k=count)

    def _usage(self, body: dict[str, Any], habit: Habit, count: int) -> dict[str, Any]:
        given = _tokens_of(body) + habit.hears
        thought = round(count * habit.thinks * self._rng.random())
        heard = habit.hears if self._rng.random() > habit.miscounts else given + 1
        cached = round(given * habit.cached) if self._rng.random() < 0.5 else 0
        usage: dict[str, Any] = {
            "prompt_tokens": given,
            "completion_tokens": count + thought,
            "total_tokens": given + count + thought,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": heard},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        if habit.searches:
            usage["server_tool_use"] = {"web_search_requests": habit.searches}
        if habit.bills_nanousd:
            cost_nanousd = habit.bills_nanousd * usage["total_tokens"]
            self.billed_nanousd += cost_nanousd
            usage["cost"] = cost_nanousd / 1_000_000_000
        return usage

    def _keep(self, model: str, usage: dict[str, Any]) -> None:
        self.answered[model] += 1
        self.told[model, "input"] += usage["prompt_tokens"]
        self.told[model, "output"] += usage.get("completion_tokens", 0)
        self.told[model, "cached_input"] += usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        self.told[model, "reasoning"] += usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)


def _tokens_of(body: dict[str, Any]) -> int:
    """What the prompt comes to here: as good as any tokeniser's count, and the same each time."""
    texts = body.get("input") or [message.get("content") for message in body["messages"]]
    return 8 + sum(len(str(text)) for text in texts) // 4


def _start(body: dict[str, Any], kind: str, habit: Habit) -> dict[str, Any]:
    made: dict[str, Any] = {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": body["model"]}
    return made | {"service_tier": habit.tier}


def _event(start: dict[str, Any], choices: list[dict[str, Any]], **more: object) -> bytes:
    return events(json.dumps(start | {"choices": choices} | more))


def _finish(body: dict[str, Any], count: int) -> str:
    return "length" if count == body.get("max_tokens") else "stop"


def _refusal(status: int) -> bytes:
    error = {"message": f"no: {status}", "type": "server_error", "param": None, "code": f"code_{status}"}
    headers = [("retry-after", str(RETRY_AFTER_S))] if status == 429 else []
    return answer(json.dumps({"error": error}).encode(), status=status, headers=headers)
