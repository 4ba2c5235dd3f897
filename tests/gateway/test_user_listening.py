"""The socket by which a user looks at the gateway that he has started."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from gateway.admin.answers import Answer, as_json
from gateway.admin.gate import gate_of_user
from gateway.admin.routes import Permission, Route
from gateway.commands.admin_client import AdminClient, CommandError
from gateway.operations import Operations
from gateway.user_listening import listening_for_user
from gateway.user_socket import bound
from tests.gateway_process import ROOT, complete, one_route, pointsman_process, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from gateway.admin.routes import Asked

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
TOKEN = "the-operators-own-token-0123456789"


async def hello(_: Asked) -> Answer:
    return as_json({"hello": 1})


OPERATIONS = Operations(
    [Route("GET", f"/{one.name.lower()}", one, hello, "Say hello") for one in Permission], gate_of_user()
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("s")


def asked(path: Path, what: str) -> object:
    return AdminClient(f"unix://{path.absolute()}", None).ask("GET", what).body


async def test_whoever_may_open_it_may_look_and_no_more(path: Path) -> None:
    async with listening_for_user(path, OPERATIONS) as is_open:
        assert is_open
        assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240 - a test may look
        for may in ("known", "ops_read", "limits_read", "usage_read", "decisions_read"):
            assert await asyncio.to_thread(asked, path, f"/{may}") == {"hello": 1}
        for may_not in ("keys_read", "keys_write", "owners_write", "usage_write", "models_write", "cache_read_text"):
            with pytest.raises(CommandError, match="needs an admin token, and none is configured"):
                await asyncio.to_thread(asked, path, f"/{may_not}")
    assert not path.exists()  # noqa: ASYNC240 - as above


async def test_where_nobody_asked_for_it_there_is_none() -> None:
    async with listening_for_user(None, OPERATIONS) as is_open:
        assert not is_open


async def test_another_gateway_keeps_its_own(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with listening_for_user(path, OPERATIONS):
        async with listening_for_user(path, OPERATIONS) as is_open:
            assert not is_open
        assert await asyncio.to_thread(asked, path, "/ops_read") == {"hello": 1}
    assert "belongs to another gateway" in caplog.text


async def test_a_socket_that_took_its_place_is_not_taken_away(path: Path) -> None:
    async with listening_for_user(path, OPERATIONS):
        path.rename("first")  # noqa: ASYNC240 - as above
        later = bound(path)
    with later:
        assert path.exists()  # noqa: ASYNC240 - as above


async def test_a_place_that_cannot_be_is_no_reason_not_to_serve(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with listening_for_user(path / "missing" / "s", OPERATIONS) as is_open:
        assert not is_open
    assert "cannot be listened on" in caplog.text


async def run(folder: Path, *words: str) -> tuple[int | None, str]:
    """A command as it is typed in that folder."""
    environ = {name: value for name, value in os.environ.items() if name != "POINTSMAN_ADMIN_TOKEN"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, cwd=folder, env=environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.parametrize("token", [None, TOKEN])
async def test_seen(tmp_path: Path, token: str | None) -> None:
    """Without a token in the policy `top` and `trace --last` need no more words; the port tells no more than before."""
    (tmp_path / ".run").mkdir()
    socket, file = tmp_path / ".run" / "admin.sock", tmp_path / "policy.yaml"
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        policy = one_route(f"{upstream.url}/v1") | ({} if token is None else {"secrets": {"admin_token": token}})
        file.write_text(yaml.safe_dump(complete(policy, tmp_path)))
        words = ["serve", "--config", str(file), "--user-socket", str(socket)]
        async with pointsman_process(words, tmp_path) as gateway:
            await gateway.ask(post("/v1/chat/completions", QUESTION))
            assert socket.exists() is (token is None)
            status, _ = await gateway.admin("/metrics")
            assert status == (200 if token is None else 401)
            status, _ = await gateway.admin("/admin/v1/decisions")
            assert status == (403 if token is None else 401)
            assert any("pointsman trace --last" in line for line in gateway.text) is (token is None)
            if token is None:
                code, told = await run(tmp_path, "trace", "--last")
                assert (code, "COST OF THE CALL" in told) == (0, True)
                code, told = await run(tmp_path, "top", "--json")
                assert (code, '"missing": ""' in told) == (0, True)
                code, told = await run(tmp_path, "keys", "list")
                assert (code, "needs an admin token" in told) == (1, True)
    assert not socket.exists()
