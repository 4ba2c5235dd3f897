"""Limits as callers meet them: told with every answer, refused exactly, given back before the next request."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
import yaml

from tests.gateway_process import complete, gateway_process, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICE = {"input": 0.25, "output": 2.0}
CHAT, EMBEDDINGS, RESPONSES = "/v1/chat/completions", "/v1/embeddings", "/v1/responses"
MESSAGES = [{"role": "user", "content": "How is the weather in Geneva?"}]
LIMITS: dict[str, Any] = {
    "counted": {"requests": "2/h", "tokens": "5k/h"},
    "streams": {"requests": "9/h"},
    "spent": {"cost": "0.0001 USD/month"},
    "small": {"tokens": "100/min"},
    "steady": {"tokens": "100k/day"},
    "single": {"concurrent": 1, "tokens": "1M/min"},
    "free": {},
    "edited": {"requests": "2/day"},
}


def policy(url: str) -> dict[str, Any]:
    def served(model: str, **more: Any) -> dict[str, Any]:
        return {"provider": "p", "model": model, "price": PRICE, **more}

    once = {"requests": "1/h"}
    return {
        "providers": {"p": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-upstream-canary-000"}},
        "deployments": {
            "a": served("gpt-5-mini"),
            "broken": served("status-500"),
            "vectors": served("text-embedding-3-small"),
            "endless": served("endless"),
            "narrow": served("gpt-5-mini", limits=once),
            "full": served("gpt-5-mini", limits=once),
        },
        "routes": [
            {"model": "m", "targets": ["a"], "retry": {"attempts": 1}},
            {"model": "falls", "targets": ["broken"], "fallbacks": ["a"], "retry": {"attempts": 1}},
            {"model": "vectors", "targets": ["vectors"]},
            {"model": "endless", "targets": ["endless"]},
            {"model": "moves", "targets": ["narrow"], "fallbacks": ["a"]},
            {"model": "fills", "targets": ["full"]},
        ],
        "keys": [
            {"name": name, "secret": secret_of(name)} | ({"limits": limits} if limits else {})
            for name, limits in LIMITS.items()
        ],
    }


def secret_of(name: str) -> str:
    return f"sk-a-key-for-tests-only-{name}-0123456789"


class Told(NamedTuple):
    """One answer: its status, headers by lower-case name, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found

    @property
    def left_tokens(self) -> int:
        return int(self.headers["x-ratelimit-remaining-tokens"])


class Ground(NamedTuple):
    gateway: GatewayProcess
    upstream: ScriptedUpstream

    async def ask(self, key: str, model: str = "m", path: str = CHAT, **body: Any) -> Told:
        default = {"messages": MESSAGES} if path == CHAT else {"input": "How is the weather?"}
        answer = await self.gateway.ask(post(path, {"model": model, **default, **body}, key=secret_of(key)))
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return Told(int(lines[0].split()[1]), headers, rest)

    def log_of(self, request_id: str) -> list[dict[str, Any]]:
        return [line for line in self.gateway.lines if line.get("request_id") == request_id]

    def last_body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.upstream.requests[-1].body)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        async with gateway_process(policy(upstream.url), tmp_path_factory.mktemp("admission")) as gateway:
            yield Ground(gateway, upstream)


async def test_every_answer_tells_what_is_left(ground: Ground) -> None:
    first = await ground.ask("counted", max_tokens=10)
    assert first.status == 200
    told = first.headers
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert told["x-ratelimit-reset-requests"] == "30m0s"
    assert (told["x-ratelimit-limit-tokens"], int(told["x-ratelimit-remaining-tokens"]) < 5000) == ("5000", True)
    policy_ = '"own.key.requests.h";q=2;w=3600;qu="requests", "own.key.tokens.h";q=5000;w=3600;qu="tokens"'
    assert told["ratelimit-policy"] == policy_
    assert re.fullmatch(r'"own\.key\.requests\.h";r=1;t=1800, "own\.key\.tokens\.h";r=\d+;t=\d+', told["ratelimit"])
    await ground.ask("counted", max_tokens=10)
    sent = len(ground.upstream.requests)
    refused = await ground.ask("counted", max_tokens=10)
    assert (refused.status, refused.error["code"], refused.error["type"]) == (429, "rate_limit_exceeded", "requests")
    assert 1795 <= int(refused.headers["retry-after"]) <= 1800
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in refused.headers
    assert len(ground.upstream.requests) == sent


async def test_the_head_of_a_stream_tells_it_too(ground: Ground) -> None:
    told = await ground.ask("streams", stream=True)
    assert (told.status, told.headers["x-ratelimit-remaining-requests"]) == (200, "8")
    assert b"[DONE]" in told.body


async def test_who_has_no_limit_is_told_nothing(ground: Ground) -> None:
    told = await ground.ask("free")
    assert told.status == 200
    assert not [name for name in told.headers if "ratelimit" in name]
    assert "max_tokens" not in ground.last_body()


async def test_a_spent_budget_is_no_matter_of_waiting(ground: Ground) -> None:
    assert (await ground.ask("spent", max_tokens=40)).status == 200
    refused = await ground.ask("spent", max_tokens=47)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    assert "per month" in refused.error["message"]


async def test_what_never_fits_is_a_bad_request(ground: Ground) -> None:
    refused = await ground.ask("small", max_tokens=500)
    assert (refused.status, refused.error["code"]) == (400, "request_too_large_for_limit")


async def test_a_limit_that_the_caller_left_out_is_sent_upstream(ground: Ground) -> None:
    assert (await ground.ask("small")).status == 200
    assert 25 in (ground.last_body().get("max_tokens"), ground.last_body().get("max_completion_tokens"))


@pytest.mark.parametrize(
    ("model", "path", "tokens"),
    [("m", CHAT, 18), ("falls", CHAT, 18), ("vectors", EMBEDDINGS, 6), ("m", RESPONSES, 18)],
)
async def test_what_was_used_is_what_is_gone(ground: Ground, model: str, path: str, tokens: int) -> None:
    """The second answer tells what the first call came to: both reserve the same."""
    first, second = [await ground.ask("steady", model, path) for _ in range(2)]
    assert (first.status, second.status) == (200, 200)
    assert first.left_tokens - second.left_tokens == tokens


async def test_a_place_is_free_before_its_answer_is_there(ground: Ground) -> None:
    for _ in range(20):
        assert (await ground.ask("single", max_tokens=5)).status == 200
    for _ in range(5):
        assert (await ground.ask("single", max_tokens=5, stream=True)).status == 200


async def test_a_stream_keeps_its_place_until_its_caller_leaves(ground: Ground) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ground.gateway.port)
    body = {"model": "endless", "messages": MESSAGES, "stream": True, "max_tokens": 5}
    writer.write(post(CHAT, body, key=secret_of("single")))
    await reader.readuntil(b"data: ")
    refused = await ground.ask("single", max_tokens=5)
    assert (refused.status, refused.error["type"], refused.headers["retry-after"]) == (429, "concurrent", "1")
    writer.close()
    async with asyncio.timeout(5.0):
        while (await ground.ask("single", max_tokens=5)).status != 200:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)


async def test_a_deployment_at_its_limit_is_left_for_the_next(ground: Ground) -> None:
    went = [(await ground.ask("free", "moves")).headers["x-pointsman-deployment"] for _ in range(3)]
    assert went == ["narrow", "a", "a"]
    status, metrics = await ground.gateway.admin("/metrics")
    assert status == 200
    assert 'pointsman_ratelimit_decisions_total{scope="deployment",limit="requests",decision="denied"} 2' in metrics
    assert 'pointsman_circuit_state{deployment="narrow"} 0' in metrics


async def test_full_is_another_answer_than_over(ground: Ground) -> None:
    assert (await ground.ask("free", "fills")).status == 200
    refused = await ground.ask("free", "fills")
    assert (refused.status, refused.error["code"]) == (503, "service_full")
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600
    assert not [name for name in refused.headers if "ratelimit" in name], "others use it too"


async def test_refusals_are_told_in_the_log_and_leave_no_row(ground: Ground) -> None:
    refused = await ground.ask("small", max_tokens=70)
    await ground.ask("small", max_tokens=70)
    over = await ground.ask("small", max_tokens=70)
    assert over.status == 429
    assert refused.status in (200, 429)
    request_id = over.headers["x-request-id"]
    async with asyncio.timeout(5.0):
        while not (lines := ground.log_of(request_id)):  # noqa: ASYNC110 - another process writes them
            await asyncio.sleep(0.01)
    assert (lines[0]["limit"], lines[0]["outcome"]) == ("own.key.tokens.min", "denied_rate")
    assert not [row for row in ground.gateway.ledger() if row["request_id"] == request_id]


async def test_an_edit_of_a_limit_keeps_what_was_used(ground: Ground) -> None:
    for _ in range(2):
        assert (await ground.ask("edited")).status == 200
    assert (await ground.ask("edited")).status == 429
    changed = policy(ground.upstream.url)
    next(key for key in changed["keys"] if key["name"] == "edited")["limits"] = {"requests": "3/day"}
    ground.gateway.policy_file.write_text(yaml.safe_dump(complete(changed, ground.gateway.folder)))
    ground.gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(10.0):
        while (told := await ground.ask("edited")).status == 429:  # noqa: ASYNC110 - another process reloads
            await asyncio.sleep(0.02)
    assert (told.headers["x-ratelimit-limit-requests"], told.headers["x-ratelimit-remaining-requests"]) == ("3", "0")
