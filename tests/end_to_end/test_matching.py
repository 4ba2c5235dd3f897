"""Which deployment a request comes to: by conditions, by what it needs, and by where it may go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, answer, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER_KEY = "a-key-that-is-bound-to-the-eu-0123456789"
KEY = "a-key-for-everything-0123456789"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
GOOD = answer(
    json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [CHOICE], "usage": USAGE}).encode()
)
HELLO = [{"role": "user", "content": "Hello"}]
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}]
LONG = [{"role": "user", "content": "word " * 600}]


def policy(base_url: str) -> dict[str, Any]:
    names: dict[str, dict[str, Any]] = {
        "tools": {}, "gold": {}, "pictures": {}, "usual": {"lacks": ["images"], "region": "us-east-1"},
        "seeing": {"region": "eu-west-1", "data_classes": ["pii"]}, "tiny": {"context_tokens": 200}, "roomy": {},
    }  # fmt: skip
    routes: list[dict[str, Any]] = [
        {"model": "smart", "name": "with-tools", "when": "size(request.tools) > 0", "targets": ["tools"]},
        {"model": "smart", "name": "gold", "when": "request.headers['x-tier'] == 'gold'", "targets": ["gold"]},
        {"model": "smart", "name": "pictures", "when": "request.images > 1 && now.getHours('Europe/Berlin') < 24",
         "targets": ["pictures"]},
        {"model": ["smart", "plain"], "name": "usual", "targets": ["usual"], "fallbacks": ["seeing"]},
        {"model": "blind", "targets": ["usual"]},
        {"model": "sized", "targets": ["tiny"], "fallbacks": ["roomy"]},
        {"model": "tiny", "targets": ["tiny"]},
    ]  # fmt: skip
    return {
        "server": {"when_headers": ["X-Tier"]},
        "providers": {"scripted": {"kind": "openai", "base_url": base_url, "api_key": "sk-upstream-canary-000"}},
        "deployments": {
            name: {"provider": "scripted", "model": "gpt-4o-mini", "price": {"input": 1}, **known}
            for name, known in names.items()
        },
        "routes": routes,
        "keys": [
            {"name": "all", "secret": KEY},
            {"name": "eu", "secret": OTHER_KEY, "require": {"region": "eu"}},
        ],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(serve(GOOD))
        base_url = f"http://127.0.0.1:{upstream.port}/v1"
        async with gateway_process(policy(base_url), tmp_path_factory.mktemp("matching")) as running:
            yield running


async def ask(gateway: GatewayProcess, body: dict[str, Any], *headers: str, key: str = KEY) -> str:
    """The deployment that answered, or the code of the refusal."""
    sent = post("/v1/chat/completions", {"messages": HELLO, **body}, *headers, key=key)
    head, _, text = (await gateway.ask(sent)).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        error = json.loads(text)["error"]
        return f"{head.split()[1].decode()} {error['code']}"
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return lines["x-pointsman-deployment"]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"model": "smart", "tools": [{"type": "function", "function": {"name": "f"}}]}, (), "tools"),
        ({"model": "smart", "tools": []}, (), "usual"),
        ({"model": "smart", "tools": None}, ("X-Tier: gold",), "gold"),
        ({"model": "smart"}, ("x-tier: silver",), "usual"),
        ({"model": "smart", "messages": PICTURE}, (), "seeing"),
        ({"model": "smart", "messages": PICTURE * 2}, (), "pictures"),
        ({"model": "plain"}, ("X-Tier: gold",), "usual"),
        ({"model": "plain"}, ("X-Pointsman-Require: region=eu, data_class=pii",), "seeing"),
        ({"model": "plain"}, ("X-Pointsman-Require: region=mars",), "403 no_compliant_deployment"),
        ({"model": "plain"}, ("X-Pointsman-Require: everything",), "400 invalid_header"),
        ({"model": "plain"}, ("X-Pointsman-Requires: region=eu",), "400 invalid_header"),
        ({"model": "plain"}, ("x_pointsman_require: region=eu",), "400 invalid_header"),
        ({"model": "blind", "messages": PICTURE}, (), "400 no_capable_deployment"),
        ({"model": "sized"}, (), "tiny"),
        ({"model": "sized", "messages": LONG}, (), "roomy"),
        ({"model": "tiny", "messages": LONG}, (), "400 context_length_exceeded"),
        ({"model": "with-tools"}, (), "404 model_not_found"),
    ],
)
async def test_a_request_comes_to(
    gateway: GatewayProcess, body: dict[str, Any], headers: tuple[str, ...], expected: str
) -> None:
    assert await ask(gateway, body, *headers) == expected


async def test_what_a_key_requires_binds_its_calls(gateway: GatewayProcess) -> None:
    assert await ask(gateway, {"model": "plain"}, key=OTHER_KEY) == "seeing"
    assert await ask(gateway, {"model": "plain"}, "X-Pointsman-Require: region=us-east-1", key=OTHER_KEY) == (
        "403 no_compliant_deployment"
    )
    assert await ask(gateway, {"model": "blind"}, key=OTHER_KEY) == "403 no_compliant_deployment"


async def test_each_name_is_listed_once(gateway: GatewayProcess) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nHost: g\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    _, _, body = (await gateway.ask(head.encode())).partition(b"\r\n\r\n")
    assert [model["id"] for model in json.loads(body)["data"]] == ["smart", "plain", "blind", "sized", "tiny"]
