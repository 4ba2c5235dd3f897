"""What newcomers are told to type works as it stands, in the README and in the greeting; only host and port differ."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.gateway_process import KEY, ROOT, gateway_process
from tests.openai_upstream import TEXT, speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

README = ROOT / "README.md"
ADVERTISED = "127.0.0.1:8080"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway that serves the route `local`; its key lies in `.run/key` below its folder, as `make run` puts it."""
    (tmp_path / ".run").mkdir()
    (tmp_path / ".run" / "key").write_text(f"{KEY}\n")
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        policy = {
            "providers": {"far": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "none"}},
            "deployments": {"far": {"provider": "far", "model": "gpt-5-mini"}},
            "routes": [{"model": "local", "targets": ["far"]}],
        }
        async with gateway_process(policy, tmp_path) as process:
            yield process


def block(language: str, word: str) -> str:
    """The README's first block in this language that has this word in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    found = [text for text in blocks if word in text]
    assert found, f"README.md has no ```{language} block with {word!r} in it"
    return str(found[0])


async def output(folder: Path, *command: str, environ: dict[str, str] | None = None) -> str:
    """What a command writes. Fails the test, with what it complained of, unless it exits with 0."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()} | (environ or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def with_curl() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")


def said(answer: str) -> object:
    return json.loads(answer)["choices"][0]["message"]["content"]


async def test_the_curl_line_gets_an_answer(gateway: GatewayProcess) -> None:
    line = block("sh", "curl ")
    assert ADVERTISED in line
    with_curl()

    assert said(await output(gateway.folder, "sh", "-c", line.replace(ADVERTISED, f"127.0.0.1:{gateway.port}"))) == TEXT


async def test_the_python_snippet_prints_an_answer(gateway: GatewayProcess) -> None:
    snippet = block("python", "OpenAI")
    assert ADVERTISED in snippet
    snippet = snippet.replace(ADVERTISED, f"127.0.0.1:{gateway.port}")

    assert await output(gateway.folder, sys.executable, "-c", snippet, environ={"PYTHONUTF8": "1"}) == TEXT


async def test_the_policy_is_a_good_one(tmp_path: Path) -> None:
    policy = block("yaml", "routes:")
    (tmp_path / "policy.yaml").write_text(policy)
    made_up = {name: f"made-up-{name.lower()}-0123456789" for name in re.findall(r"\$\{env:(\w+)\}", policy)}

    await output(ROOT, sys.executable, "-m", "gateway", "check", str(tmp_path / "policy.yaml"), environ=made_up)


def test_the_commands_exist() -> None:
    told = re.findall(r"^make (\w+)", block("sh", "make "), re.MULTILINE)

    assert told[:2] == ["run", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in told if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


async def test_the_greeting_works_as_printed(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(5):
        while "The key:" not in "".join(gateway.text):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    greeting = "".join(gateway.text)
    curl = re.search(r"^  (curl .*?)\n\n", greeting, re.MULTILINE | re.DOTALL)
    snippet = re.search(r"^  (from openai .*?)\n\n", greeting, re.MULTILINE | re.DOTALL)
    assert curl is not None
    assert snippet is not None
    program = re.sub(r"^  ", "", snippet[1], flags=re.MULTILINE).replace("$POINTSMAN_KEY", KEY)

    assert await output(gateway.folder, sys.executable, "-c", program, environ={"PYTHONUTF8": "1"}) == f"{TEXT}\n"
    with_curl()
    assert said(await output(gateway.folder, "sh", "-c", curl[1], environ={"POINTSMAN_KEY": KEY})) == TEXT
