"""A real gateway between a caller who counts every byte and a provider that does exactly what a test says.

    async with proving_ground(folder, lanes=40) as ground:
        lane = ground.lane(request_is_read, reset())    # a deployment of its own, so that no breaker remembers others
        reply = await ground.ask(lane.alone)            # the route without a fallback; `lane.backed` has one
        rows = await ground.settled(reply)              # its ledger rows, one per attempt, nothing left in flight

`trials` runs a whole table at once. Replies and log lines are held to never naming a provider's address or key.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.end_to_end.lanes import UPSTREAM_KEY, Lane, lane_of, policy_of
from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, chunked, events, forever, request, send, waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer, Step

CHAT = "/v1/chat/completions"
SPARE_TEXT = "the spare answers"
MESSAGES = [{"role": "user", "content": "How is the weather?"}]
WITHIN_S = 10.0
AT_ONCE = 16
REREAD_S = 0.02
Key = TypeVar("Key")


def piece(content: str | None = None, finish: str | None = None, **more: object) -> bytes:
    """One event of a chat stream."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return events(
        json.dumps({"id": "c-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice]} | more)
    )


def usage_piece(usage: object) -> bytes:
    return events(json.dumps({"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": usage}))


def whole(content: str, **more: object) -> bytes:
    """The body of a chat answer in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps(
        {"id": "c-1", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": USAGE} | more
    ).encode()


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ROLE = events('{"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant"}}]}')
DONE = events("[DONE]")
GOOD_STREAM = ROLE + piece("hel") + piece("lo") + piece(finish="stop") + usage_piece(USAGE) + DONE
GOOD_WHOLE = answer(whole("hello"))


def good(text: str = "hello") -> Step:
    """Answer the last request well, as a stream where one was asked for."""

    async def step(peer: Peer) -> None:
        if json.loads(peer.requests[-1].body).get("stream"):
            await send(chunked(ROLE, piece(text), piece(finish="stop"), usage_piece(USAGE), DONE))(peer)
        else:
            await send(answer(whole(text)))(peer)

    return step


class Stage:
    """Who does what: each deployment's script by the model that the gateway asks for, and its newest connection."""

    def __init__(self) -> None:
        self.scripts: dict[str, tuple[Step, ...]] = {}
        self.peers: dict[str, Peer] = {}

    async def play(self, peer: Peer) -> None:
        """Do what the deployment does that was asked for."""
        model = json.loads(peer.requests[-1].body)["model"]
        self.peers[model] = peer
        for step in self.scripts[model]:
            await step(peer)


@dataclass(frozen=True)
class Reply:
    """What a caller got. `ended` says that the answer was framed to its end, so a client takes it for complete."""

    status: int
    headers: dict[str, str]
    body: bytes
    ended: bool

    @property
    def id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def attempts(self) -> int:
        return int(self.headers.get("x-pointsman-attempts", "0"))

    @property
    def error(self) -> dict[str, Any]:
        found = json.loads(self.body)["error"]
        assert isinstance(found, dict)
        return found

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events, parsed but for `[DONE]`."""
        blocks = [block.split("\n") for block in self.body.decode().split("\n\n")]
        data = ["\n".join(line[5:].strip() for line in lines if line.startswith("data:")) for lines in blocks]
        return [text if text == "[DONE]" else json.loads(text) for text in data if text]

    @property
    def text(self) -> str:
        """The content of a good answer, whole or streamed."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        choices = [event["choices"][0] for event in self.events if isinstance(event, dict) and event.get("choices")]
        return "".join((choice.get("delta") or {}).get("content") or "" for choice in choices)


@dataclass(frozen=True)
class Ask:
    """One call of a table: what its upstream does once it has read the request, and how the caller asks.

    With `begun`, bytes that hold some content, the upstream sends those first and goes on when the caller has some.
    """

    steps: tuple[Step, ...]
    backed: bool = False
    stream: bool = False
    begun: bytes = b""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What came of an `Ask`."""

    lane: Lane
    reply: Reply
    rows: list[dict[str, Any]]


def judged(found: Trial | BaseException) -> Trial:
    if isinstance(found, BaseException):
        raise found
    return found


@dataclass
class Ground:
    """`far` is the provider under test, `near` the good one that stands behind every fallback."""

    gateway: GatewayProcess
    far: ScriptedUpstream
    near: ScriptedUpstream
    lanes: list[Lane]
    stage: Stage
    elsewhere: dict[str, Lane]
    _seen_lines: int = 0
    _read_s: float = 0.0
    _known: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def lane(self, *steps: Step) -> Lane:
        """A lane that nobody used. Its deployment does `steps` after each request that opens a connection."""
        lane = self.lanes.pop()
        self.stage.scripts[lane.name] = steps
        return lane

    async def ask(self, model: str, *, stream: bool = False, **more: object) -> Reply:
        """One chat completion, read until the gateway closes the connection."""
        return parsed(await self.gateway.ask(chat(model, stream=stream, **more), within_s=30.0))

    async def open(self, model: str, *, stream: bool = True, **more: object) -> Caller:
        """A chat completion under way, to be read piece by piece or left."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        writer.write(chat(model, stream=stream, **more))
        return Caller(reader, writer)

    async def settled(self, reply: Reply) -> list[dict[str, Any]]:
        """The ledger rows of `reply`, one per attempt, once nothing of it is left behind."""
        self.check_secrets(reply)
        rows = await self.rows(reply.id, reply.attempts)
        await self.quiet()
        return rows

    async def trials(self, asks: Mapping[Key, Ask]) -> dict[Key, Trial | BaseException]:
        """Every one of `asks` on a lane of its own, some at once, and its ledger rows; or what it raised."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(ask: Ask) -> Trial:
            goes_on = asyncio.Event()
            lane = self.lane(*((send(ask.begun), waits(goes_on)) if ask.begun else ()), *ask.steps)
            async with turns:
                caller = await self.open(lane.backed if ask.backed else lane.alone, stream=ask.stream, **ask.more)
                if ask.begun:
                    await caller.read_until(b'"content"')
                goes_on.set()
                reply = await caller.rest()
            self.check_secrets(reply)
            return Trial(lane, reply, await self.rows(reply.id, reply.attempts))

        found = await asyncio.gather(*[one(ask) for ask in asks.values()], return_exceptions=True)
        await self.quiet()
        return dict(zip(asks, found, strict=True))

    async def peer(self, lane: Lane) -> Peer:
        """The upstream's side of this lane's newest connection, once the request has arrived there."""
        async with asyncio.timeout(WITHIN_S):
            while lane.name not in self.stage.peers:  # noqa: ASYNC110 - what is waited for is in many places
                await asyncio.sleep(0.005)
        return self.stage.peers[lane.name]

    async def rows_at(self, lane: Lane, count: int) -> list[dict[str, Any]]:
        """All rows of this lane's deployment in the order of their beginning, once there are `count`; never more."""
        async with asyncio.timeout(WITHIN_S):
            while len(found := self._at(lane)) < count:  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)
        assert len(found) == count
        return found

    async def left(self, lane: Lane) -> dict[str, Any]:
        """The one row of a call whose caller left this lane, once nothing of it is left behind."""
        (row,) = await self.rows_at(lane, 1)
        await self.quiet()
        self.check_secrets()
        return row

    async def rows(self, request_id: str, count: int) -> list[dict[str, Any]]:
        """The rows of one request in the order of its attempts, once there are `count`; never more."""
        async with asyncio.timeout(WITHIN_S):
            while len(rows := self._ledger().get(request_id, [])) < count:  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)
        rows = sorted(rows, key=lambda row: int(row["attempt"]))
        assert [row["attempt"] for row in rows] == list(range(1, count + 1))
        return rows

    async def quiet(self) -> None:
        """No attempt is under way and no connection taken, as a gateway says that lives."""
        async with asyncio.timeout(WITHIN_S):
            while busy := [state for state in (await self.deployments()).values() if is_busy(state)]:
                assert all(state["in_flight"] >= 0 for state in busy), busy
                await asyncio.sleep(0.01)

    def resident_bytes(self) -> int:
        """The memory that the gateway's process holds."""
        return int(Path(f"/proc/{self.gateway.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def in_flight(self) -> dict[str, int]:
        return {name: state["in_flight"] for name, state in (await self.deployments()).items()}

    async def deployments(self) -> dict[str, dict[str, Any]]:
        status, body = await self.gateway.admin("/deployments")
        assert status == 200
        return {state["name"]: state for state in json.loads(body)["deployments"]}

    def check_secrets(self, reply: Reply | None = None) -> None:
        """Neither a reply nor a log line names the providers' addresses or keys."""
        told = "" if reply is None else f"{reply.headers}{reply.body.decode(errors='replace')}"
        log = "".join(self.gateway.text[self._seen_lines :])
        self._seen_lines = len(self.gateway.text)
        for secret in (UPSTREAM_KEY, f":{self.far.port}", f":{self.near.port}"):
            assert secret not in told, secret
            assert secret not in log, secret
        assert "Traceback" not in told + log

    def _at(self, lane: Lane) -> list[dict[str, Any]]:
        return [row for rows in self._ledger().values() for row in rows if row["deployment"] == lane.name]

    def _ledger(self) -> dict[str, list[dict[str, Any]]]:
        """Rows by request, read anew no more often than they can change much."""
        now_s = time.monotonic()
        if now_s - self._read_s > REREAD_S:
            self._read_s = now_s
            self._known.clear()
            for row in self.gateway.ledger():
                self._known.setdefault(row["request_id"], []).append(row)
        return self._known


def is_busy(state: dict[str, Any]) -> bool:
    return bool(state["in_flight"] or state["live"]["connections"] != state["live"]["idle_connections"])


class Caller:
    """A caller who reads as far as a test says, and may leave."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.got = b""

    async def read_until(self, needle: bytes) -> bytes:
        """Everything so far, once `needle` is in it."""
        async with asyncio.timeout(WITHIN_S):
            while needle not in self.got:
                data = await self.reader.read(1 << 16)
                assert data, self.got
                self.got += data
        return self.got

    async def rest(self) -> Reply:
        """The whole reply, once the gateway has closed the connection."""
        async with asyncio.timeout(30):
            self.got += await self.reader.read()
        self.writer.close()
        return parsed(self.got)

    def leave(self) -> None:
        self.writer.transport.abort()


def chat(model: str, *, stream: bool, **more: object) -> bytes:
    return post(CHAT, {"model": model, "messages": MESSAGES, "stream": stream} | more)


def parsed(answer: bytes) -> Reply:
    """An HTTP answer taken apart; chunks are joined, and only the last one ends it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") != "chunked":
        return Reply(int(status.split()[1]), headers, body, len(body) == int(headers.get("content-length", -1)))
    joined = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return Reply(int(status.split()[1]), headers, joined, ended=True)
        joined, body = joined + body[:length], body[length + 2 :]
    return Reply(int(status.split()[1]), headers, joined, ended=False)


@asynccontextmanager
async def proving_ground(
    folder: Path,
    *,
    lanes: int = 0,
    elsewhere: Mapping[str, str] | None = None,
    route: dict[str, Any] | None = None,
    far_settings: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
) -> AsyncIterator[Ground]:
    """`lanes` to the provider under test, and one of its own to each base URL of `elsewhere`.

    `route` is added to every route, `far_settings` to the provider, `server` to the server's settings.
    """
    async with ScriptedUpstream() as far, ScriptedUpstream() as near:
        near.otherwise(forever(request(), good(SPARE_TEXT)))
        stage = Stage()
        far.otherwise(request(), stage.play)
        made = [lane_of(str(number)) for number in range(lanes)]
        others = {name: lane_of(name) for name in elsewhere or ()}
        urls = {"far": far.url, "near": near.url, **(elsewhere or {})}
        policy = policy_of([*made, *others.values()], urls, {"retry": {"attempts": 1}} | (route or {}))
        for provider in policy["providers"].values():
            if provider["base_url"].startswith(far.url):
                provider.update(far_settings or {})
        async with gateway_process(policy | {"server": server or {}}, folder) as gateway:
            ground = Ground(gateway, far, near, made, stage, others)
            yield ground
        ground.check_secrets()
