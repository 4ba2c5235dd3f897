"""A real gateway under siege: bad requests over raw sockets, and proof that none of them did anything.

    async with besieged(folder) as siege:
        await siege.refuses(Case(37, "empty body", post(CHAT, b""), {400}, "invalid_json"))

Every refusal is checked whole: status, an error body in OpenAI's form, the connection closed, nothing sent upstream,
and a good call answered right after. When the block ends, the ledger holds the good calls alone, and neither it nor the
log holds a secret or a traceback.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.gateway_process import KEY, gateway_process, one_route, post
from tests.scripted_upstream import ScriptedUpstream, answer, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
INFERENCE = (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES)
MESSAGES = [{"role": "user", "content": "hi"}]
GOOD_BODY: dict[str, Any] = {"model": "m", "messages": MESSAGES}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
COMPLETED = answer(json.dumps(COMPLETION).encode())
UPSTREAM_KEY = "sk-upstream-canary-000"
LIMITED_KEY = "sk-a-key-for-one-route-only-0123456789"
EXPIRED_KEY = "sk-a-key-that-has-expired-0123456789"
# What a key looks like that somebody tries without owning it; it is looked for in the log like a real one.
TRIED_KEY = "sk-canary-tried-by-a-stranger-0123456789"
SECRETS = (KEY, LIMITED_KEY, EXPIRED_KEY, TRIED_KEY, UPSTREAM_KEY)


@dataclass(frozen=True)
class Answered:
    """One HTTP answer. Header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        found = json.loads(self.body)["error"]
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True)
class Case:
    """One bad request of the catalogue. `code` None leaves the error code open; `parsed` is whether HTTP was sound."""

    item: int
    name: str
    data: bytes
    statuses: Collection[int]
    code: str | None = None
    param: str | None = None
    parsed: bool = True

    def __str__(self) -> str:
        return f"{self.item}-{self.name}".replace(" ", "_")


def answers_in(raw: bytes) -> list[Answered]:
    """Every answer that came over one connection; the bytes must be nothing but whole answers."""
    found = []
    while raw:
        head, blank, raw = raw.partition(b"\r\n\r\n")
        assert blank, f"an answer without an end: {head[:200]!r}"
        start, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = start.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert len(headers) == len(lines), f"a header came twice: {lines}"
        length = int(headers["content-length"])
        assert len(raw) >= length, f"an answer was cut short: {start}"
        found.append(Answered(int(status), headers, raw[:length]))
        raw = raw[length:]
    return found


def the_answer(raw: bytes) -> Answered:
    (only,) = answers_in(raw)
    return only


def check_error(case: Case, got: Answered) -> None:
    """The refusal is one that OpenAI's SDKs understand, and it tells nothing of the inside."""
    shown = f"{got.status} {got.body[:300]!r}"
    assert got.status in case.statuses, shown
    assert got.headers["content-type"] == "application/json"
    error = got.error
    assert {"message", "type", "param", "code"} <= error.keys() <= {"message", "type", "param", "code", "request_id"}
    assert error["message"], shown
    assert error["type"] in {"invalid_request_error", "authentication_error", "permission_error"}, shown
    if case.code is not None:
        assert error["code"] == case.code, shown
    if case.param is not None:
        assert error["param"] == case.param, shown
    assert b"Traceback" not in got.body
    for secret in SECRETS:
        assert secret.encode() not in got.body
    if case.parsed:
        assert error["request_id"] == got.headers["x-request-id"]
    assert got.headers["connection"] == "close"


@dataclass
class Siege:
    """The gateway, the upstream behind it, and how many calls were answered well (which a fuzzed one does not know)."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream
    good_calls: int = 0
    is_fuzzed: bool = False
    admin_token: str | None = None
    secrets: list[str] = field(default_factory=lambda: list(SECRETS))

    async def ask(self, data: bytes, within_s: float = 10.0) -> Answered:
        return the_answer(await self.gateway.ask(data, within_s=within_s))

    async def refuses(self, case: Case) -> Answered:
        before = len(self.upstream.requests)
        got = await self.ask(case.data)
        check_error(case, got)
        assert len(self.upstream.requests) == before, "something was sent upstream"
        await self.is_well()
        return got

    async def is_well(self) -> None:
        await self.accepts(post(CHAT, GOOD_BODY))

    async def accepts(self, data: bytes) -> Answered:
        before = len(self.upstream.requests)
        got = await self.ask(data)
        assert got.status == 200, got.body[:300]
        assert len(self.upstream.requests) == before + 1
        self.good_calls += 1
        return got

    def completed(self) -> list[dict[str, Any]]:
        """The log's lines about calls, so far."""
        return [line for line in self.gateway.lines if line.get("event") == "request.completed"]

    async def line_about(self, answered: Answered) -> dict[str, Any]:
        """The one log line about this answer's call."""
        return await self.line_with("request_id", answered.headers["x-request-id"])

    async def line_with(self, name: str, value: str, within_s: float = 5.0) -> dict[str, Any]:
        """The one line about a call whose field `name` is `value`."""
        async with asyncio.timeout(within_s):
            while True:
                found = [line for line in self.completed() if line.get(name) == value]
                if found:
                    (only,) = found
                    return only
                await asyncio.sleep(0.01)

    async def ask_operations(self, path: str) -> Answered:
        """A GET on the admin listener, with the token where there is one."""
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
        lines += [f"Authorization: Bearer {self.admin_token}"] if self.admin_token else []
        data = "\r\n".join([*lines, "", ""]).encode()
        return the_answer(await self.gateway.ask(data, port=self.gateway.admin_port))

    async def end(self) -> None:
        """Stop the gateway and look at what is left behind."""
        metrics = (await self.ask_operations("/metrics")).body
        assert b"pointsman_" in metrics
        assert await self.gateway.stop() == 0
        rows = self.gateway.ledger()
        assert len(rows) == sum(len(line.get("attempts", [])) for line in self.completed())
        if not self.is_fuzzed:
            assert len(rows) == self.good_calls, "the ledger holds exactly the good calls"
        log = "".join(self.gateway.text)
        assert "Traceback" not in log
        files = (file for found in self.gateway.folder.glob("ledger.db*") for file in (found, *found.glob("*")))
        ledger = b"".join(file.read_bytes() for file in files if file.is_file())
        for secret in self.secrets:
            assert secret not in log
            assert secret.encode() not in metrics
            assert secret.encode() not in ledger


def policy(base_url: str) -> dict[str, Any]:
    """One upstream behind `m`, which both keys may use, and behind `secret/model`, which the limited one may not."""
    made = one_route(base_url)
    made["routes"].append({"model": "secret/model", "targets": ["a"], "retry": {"attempts": 1}})
    made["keys"] = [
        {"name": "tests", "secret": KEY},
        {"name": "limited", "secret": LIMITED_KEY, "routes": ["m"]},
        {"name": "expired", "secret": EXPIRED_KEY, "expires": "2020-01-01T00:00:00Z"},
    ]
    return made


@asynccontextmanager
async def besieged(folder: Path, more: dict[str, Any] | None = None) -> AsyncIterator[Siege]:
    """`more` adds to the policy. What `Siege.end` finds is raised when the block has ended well."""
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(serve(COMPLETED))
        async with gateway_process(policy(f"{upstream.url}/v1") | (more or {}), folder) as gateway:
            siege = Siege(gateway, upstream)
            yield siege
            await siege.end()
