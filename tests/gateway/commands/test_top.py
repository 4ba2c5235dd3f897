from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.commands import top
from gateway.commands.admin_client import AdminClient, CommandError, Reply
from gateway.commands.top import Looks, command
from gateway.errors import MissingExtra
from gateway.watching.frame import Beside
from tests.gateway_process import gateway_process, one_route, post
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever
from tests.silent_listener import silent_listener

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.extras import Extra

ONCE = Namespace(url="http://127.0.0.1:9", config=None, token_file=None, json=False, once=True, every=2.0)
TOKEN = "the-operators-own-token-0123456789"
ENVIRON = {"TERM": "xterm", "POINTSMAN_ADMIN_TOKEN": TOKEN}
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


class ToldClient(AdminClient):
    """Answers what a test says; `away` refuses everything but metrics."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", None)
        self.served = 0
        self.away = False
        self.is_gone = False
        self.asked: list[str] = []

    def text(self, path: str) -> str:
        assert path == "/metrics"
        if self.is_gone:
            raise CommandError("cannot be asked")
        self.served += 10
        return f'pointsman_requests_total{{outcome="ok"}} {self.served}\n'

    def ask(self, method: str, path: str, body: object = None, etag: str | None = None) -> Reply:
        del body, etag
        self.asked.append(f"{method} {path}")
        if self.away:
            raise CommandError("not for you")
        if path.startswith("/admin/v1/usage"):
            return Reply({"total": {"cost_nanousd": 1_500_000_000}}, None)
        level = {"scope": "key", "holder": "ci", "resource": "requests", "window": 60.0, "reset_s": 1.0}
        return Reply({"limits": [{**level, "amount": 10, "used": 9, "held": 0}]}, None)


def looks_of(client: AdminClient, *times_s: float) -> Looks:
    return Looks(client, iter(times_s).__next__)


def test_each_look_tells_what_happened_within_the_last_seconds() -> None:
    looks = looks_of(ToldClient(), 0.0, 4.0, 6.0, 8.0, 108.0)
    assert looks.look().per_s == {}
    assert looks.look().per_s == {"ok": 10 / 4}
    assert looks.look().per_s == {"ok": 20 / 6}
    assert looks.look().per_s == {"ok": 20 / 4}
    assert looks.look().per_s == {"ok": 10 / 100}


def test_a_gateway_that_comes_back_is_looked_at_anew() -> None:
    client = ToldClient()
    looks = looks_of(client, 0.0, 100.0, 101.0)
    looks.look()
    client.is_gone = True
    with pytest.raises(CommandError):
        looks.look()
    client.is_gone = False
    assert looks.look().per_s == {}
    assert looks.look().per_s == {"ok": 10.0}


def test_limits_and_the_sum_of_the_day_are_asked_for_now_and_then() -> None:
    client = ToldClient()
    looks = looks_of(client, 0.0, 1.0, 2.0, 6.0)
    frames = [looks.look() for _ in range(4)]
    assert [path.partition("?")[0] for path in client.asked] == ["GET /admin/v1/limits", "GET /admin/v1/usage"] * 2
    assert frames[1].beside.spent_today_usd == 1.5
    assert frames[1].beside.limits[0].used_share == 0.9


def test_who_may_read_metrics_only_sees_those() -> None:
    client = ToldClient()
    client.away = True
    looks = looks_of(client, 0.0, 1.0)
    looks.look()
    frame = looks.look()
    assert frame.beside == Beside(missing="no limits and sums: not for you")


@pytest.mark.parametrize("body", [None, [], {}, {"limits": 5}, {"limits": [{}]}, {"limits": [{"amount": "x"}]}, "x"])
def test_whoever_answers_with_something_else_is_said_to(body: object, monkeypatch: pytest.MonkeyPatch) -> None:
    client = ToldClient()
    monkeypatch.setattr(client, "ask", lambda *_: Reply(body, None))
    looks = looks_of(client, 0.0, 100.0)
    looks.look()
    assert looks.look().beside == Beside((), None, "no limits and sums: what came is not a gateway's answer")


def test_a_gateway_that_is_not_there_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(ONCE) == 1
    assert "cannot be asked" in capsys.readouterr().err


def test_without_rich_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(extra: Extra) -> None:
        raise MissingExtra(f"{extra.title} is not installed")

    monkeypatch.setattr(top, "require", missing)
    assert command(ONCE) == 2
    assert "rich is not installed" in capsys.readouterr().err


def policy(base_url: str) -> dict[str, Any]:
    return {**one_route(f"{base_url}/v1"), "secrets": {"admin_token": TOKEN}}


async def run_top(port: int, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "top", "--url", f"http://127.0.0.1:{port}", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | ENVIRON,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_gateway_at_work_is_seen_from_outside(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        async with gateway_process(policy(upstream.url), tmp_path) as gateway:

            async def call_on() -> None:
                while True:
                    await gateway.ask(post("/v1/chat/completions", QUESTION))

            calling = asyncio.create_task(call_on())
            try:
                text, told = await asyncio.gather(
                    run_top(gateway.admin_port, "--once"),
                    run_top(gateway.admin_port, "--json"),
                )
            finally:
                calling.cancel()
    assert "requests/s" in text
    assert "closed" in text
    frame = json.loads(told)
    assert frame["per_s"]["ok"] > 0
    assert frame["usd_per_hour"] > 0
    assert frame["deployments"][0]["name"] == "a"
    assert frame["beside"]["spent_today_usd"] > 0


async def test_in_a_terminal_it_goes_on_until_q(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        async with gateway_process(policy(upstream.url), tmp_path) as gateway:
            ours, theirs = pty.openpty()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "top", "--url", f"http://127.0.0.1:{gateway.admin_port}",
                "--every", "200ms", stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | ENVIRON,
            )  # fmt: skip
            os.close(theirs)
            seen = await asyncio.to_thread(read_until, ours, b"by load")
            seen += await asyncio.to_thread(read_until, ours, b"deployment")
            os.write(ours, b"ss")
            seen += await asyncio.to_thread(read_until, ours, b"by cost")
            os.write(ours, b"sq")
            draining = asyncio.create_task(asyncio.to_thread(read_until, ours, b"there is no such text"))
            async with asyncio.timeout(10):
                assert await process.wait() == 0
            await draining
            os.close(ours)
    assert b"looking" in seen


async def test_a_gateway_that_never_answers_is_said_to_be_so_and_can_be_left() -> None:
    with silent_listener() as url:
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "top", "--url", url,
            stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | ENVIRON,
        )  # fmt: skip
        os.close(theirs)
        seen = await asyncio.to_thread(read_until, ours, b"does not answer")
        seen += await asyncio.to_thread(read_until, ours, b"(3 s)")
        pressed_s = time.monotonic()
        os.write(ours, b"q")
        draining = asyncio.create_task(asyncio.to_thread(read_until, ours, b"there is no such text"))
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        assert time.monotonic() - pressed_s < top.PATIENCE_S / 2
        await draining
        os.close(ours)
    assert b"since" in seen
    assert b"Traceback" not in seen


def read_until(terminal: int, text: bytes) -> bytes:
    """What the terminal shows up to and with `text`, or to its end."""
    seen = b""
    try:
        while text not in seen:
            seen += os.read(terminal, 65_536)
    except OSError:  # Linux's way to say that nobody writes there any more
        pass
    return seen
