"""Keys as an operator makes and takes them back while a gateway serves: through the API, and from a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from tests.gateway_process import ROOT, gateway_process, one_route, post

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

TOKEN = "canary-admin-token-0123456789abcdef"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def ask(gateway: GatewayProcess, method: str, path: str, body: object = None) -> tuple[int, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    head = [
        f"{method} /admin/v1/{path} HTTP/1.1",
        "Host: gateway",
        "Connection: close",
        f"Authorization: Bearer {TOKEN}",
    ]
    head += ["Content-Type: application/json", f"Content-Length: {len(data)}", "", ""]
    answer = await gateway.ask("\r\n".join(head).encode() + data, port=gateway.admin_port)
    start, _, content = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), json.loads(content) if content else None


async def call(gateway: GatewayProcess, key: str) -> int:
    answer = await gateway.ask(post("/v1/chat/completions", CHAT, key=key))
    return int(answer.split()[1])


async def command(gateway: GatewayProcess, *words: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{gateway.admin_port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, "--url", url,
        cwd=ROOT, env=os.environ | {"POINTSMAN_ADMIN_TOKEN": TOKEN}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode().strip()


async def test_a_key_works_from_its_making_to_its_end(tmp_path: Path) -> None:
    policy = one_route("http://127.0.0.1:1/v1") | {"secrets": {"admin_token": TOKEN}}
    async with gateway_process(policy, tmp_path) as gateway:
        status, made = await ask(gateway, "POST", "keys", {"name": "ci"})
        assert status == 201
        first, place = made["secret"], f"keys/{made['key']['id']}"
        assert await call(gateway, first) == 502, "let in; there is nobody behind"
        status, rotated = await ask(gateway, "POST", f"{place}/rotate", {"overlap_s": 60})
        assert status == 200
        assert [await call(gateway, key) for key in (first, rotated["secret"])] == [502, 502]
        assert (await ask(gateway, "DELETE", place))[0] == 200
        assert [await call(gateway, key) for key in (first, rotated["secret"])] == [401, 401]

        code, key = await command(gateway, "keys", "create", "--name", "from-a-terminal")
        assert code == 0
        assert await call(gateway, key) == 502
        assert (await command(gateway, "keys", "revoke", "from-a-terminal"))[0] == 0
        assert await call(gateway, key) == 401
        assert await gateway.stop() == 0
        told = [line["audit"]["outcome"] for line in gateway.lines if "audit" in line]
    assert told == ["done 201", "done 200", "done 200", "done 201", "done 200"]
    whole = "".join(gateway.text)
    for secret in (TOKEN, first, rotated["secret"], key):
        assert secret not in whole
