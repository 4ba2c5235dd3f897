"""Why a call went where it went: in the answer for who asks, on the operators' listener, and rehearsed beforehand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.failure_wall import FailureWall
from tests.gateway_process import gateway_process, post
from tests.wall_faults import FAST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-for-everything-0123456789"
TOKEN = "the-operators-own-token-0123456789"
ASK = "x-pointsman-decision: 1"


def policy(base_url: str) -> dict[str, Any]:
    models = {"broken": "overloaded", "well": "ok", "far": "ok"}
    return {
        "secrets": {"admin_token": TOKEN},
        "providers": {
            "wall": {
                "kind": "openai",
                "base_url": base_url,
                "api_key": "sk-upstream-canary-000",
                "breaker": {"failures": 1000},  # what one test breaks is as well as ever for the next
            }
        },
        "deployments": {
            name: {"provider": "wall", "model": model, "region": "us" if name == "far" else "eu", "price": {"input": 1}}
            for name, model in models.items()
        },
        "routes": [
            {"model": "smart", "require": {"region": "eu"}, "targets": ["broken"], "fallbacks": ["far", "well"]}
        ],
        "keys": [{"name": "app", "secret": KEY}],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    async with (
        FailureWall(FAST) as wall,
        gateway_process(policy(wall.url), tmp_path_factory.mktemp("decisions")) as running,
    ):
        yield running


async def ask(gateway: GatewayProcess, *headers: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    body = {"model": "smart", "messages": [{"role": "user", "content": "a secret prompt"}], **more}
    sent = post("/v1/chat/completions", body, *headers, key=KEY)
    head, _, text = (await gateway.ask(sent, within_s=30)).partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return int(head.split()[1]), lines, text


async def decision(gateway: GatewayProcess, path: str) -> tuple[int, dict[str, Any]]:
    lines = [f"GET /admin/v1/decisions{path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    asked = "\r\n".join([*lines, f"Authorization: Bearer {TOKEN}", "", ""]).encode()
    head, _, body = (await gateway.ask(asked, port=gateway.admin_port)).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("stream", [False, True])
async def test_whoever_asks_is_told_in_the_answer_and_the_operator_later(
    gateway: GatewayProcess, *, stream: bool
) -> None:
    status, headers, _ = await ask(gateway, ASK, stream=stream)
    assert status == 200
    told = json.loads(headers["x-pointsman-decision"])
    assert [(c["deployment"], c.get("place"), c.get("refused")) for c in told["candidates"]] == [
        ("broken", 1, None),
        ("well", 2, None),
        ("far", None, "region"),
    ]
    steps = [(step["deployment"], step.get("kind", "first"), step.get("status")) for step in told["attempts"]]
    assert steps[0] == ("broken", "first", 503)
    assert steps[-1] == ("well", "fallback", None)
    request_id = headers["x-request-id"]
    async with asyncio.timeout(5):
        while (found := await decision(gateway, f"/{request_id}"))[0] == 404:  # noqa: ASYNC110 - it is recorded off the path
            await asyncio.sleep(0.02)
    kept = found[1]
    assert (kept["candidates"], kept["route"], kept["key"]) == (told["candidates"], "smart", "app")
    assert kept["status"] == 200
    assert "secret prompt" not in json.dumps(kept) + json.dumps(told)
    assert request_id in {one["request_id"] for one in (await decision(gateway, "?limit=50&key=app"))[1]["decisions"]}


async def test_nobody_is_told_who_did_not_ask(gateway: GatewayProcess) -> None:
    _, headers, _ = await ask(gateway)
    assert "x-pointsman-decision" not in headers


async def test_a_refusal_says_who_was_ruled_out(gateway: GatewayProcess) -> None:
    status, headers, body = await ask(gateway, ASK, "x-pointsman-require: region=mars")
    assert (status, json.loads(body)["error"]["code"]) == (403, "no_compliant_deployment")
    told = json.loads(headers["x-pointsman-decision"])
    assert {c["deployment"]: c["refused"] for c in told["candidates"]} == dict.fromkeys(
        ("broken", "well", "far"), "region"
    )
    assert "attempts" not in told


async def test_the_rehearsal_says_the_same_as_the_gateway(gateway: GatewayProcess, tmp_path: Path) -> None:
    _, headers, _ = await ask(gateway, ASK)
    told = json.loads(headers["x-pointsman-decision"])
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"model": "smart", "messages": [{"role": "user", "content": "a secret prompt"}]}))
    words = ["explain", str(request), "--config", str(gateway.folder / "policy.yaml"), "--key", "app", "--json"]
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, stdout=asyncio.subprocess.PIPE, env=os.environ.copy()
    )
    out, _ = await command.communicate()
    assert command.returncode == 0
    rehearsed = json.loads(out)
    assert rehearsed["candidates"] == told["candidates"]
    assert (rehearsed["route"], rehearsed["strategy"]) == (told["route"], told["strategy"])
