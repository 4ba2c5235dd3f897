from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.__main__ import parser
from gateway.commands.admin_client import AdminClient, CommandError, Reply
from gateway.commands.tail import Follower, command, words_of
from tests.gateway_process import KEY, gateway_process, one_route, post
from tests.openai_upstream import speaks_openai
from tests.redis_servers import redis_server
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "the-operators-own-token-0123456789"

# A shell's background jobs, and what they start, ignore SIGINT unless they say otherwise.
RUN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from gateway.__main__ import main; sys.exit(main())"
)


class ToldClient(AdminClient):
    """Answers with these pages, or fails where one is an error."""

    def __init__(self, *pages: dict[str, Any] | CommandError) -> None:
        super().__init__("http://127.0.0.1:9", None)
        self._pages = list(pages)
        self.asked: list[dict[str, list[str]]] = []

    def ask(self, method: str, path: str, body: object = None, etag: str | None = None) -> Reply:
        del method, body, etag
        self.asked.append(parse_qs(urlsplit(path).query))
        page = self._pages.pop(0)
        if isinstance(page, CommandError):
            raise page
        return Reply(page, None)


def page(cursor: str, *events: str, missed: int = 0) -> dict[str, Any]:
    return {"events": [{"outcome": event} for event in events], "cursor": cursor, "missed": missed}


def test_it_asks_on_from_where_it_was_over_what_cuts_the_connection(capsys: pytest.CaptureFixture[str]) -> None:
    pages = (page("a-0"), page("a-2", "one", "two"), CommandError("cannot be asked"), page("a-9", "ten", missed=6))
    client, waits = ToldClient(*pages), list[float]()
    told = list(islice(Follower(client, {"route": "m"}, waits.append).events(), 3))
    assert [event["outcome"] for event in told] == ["one", "two", "ten"]
    assert [asked.get("after") for asked in client.asked] == [None, ["a-0"], ["a-2"], ["a-2"]]
    assert all(asked["route"] == ["m"] for asked in client.asked)
    assert waits == [0.5]
    said = capsys.readouterr().err
    assert "trying again" in said
    assert "6 calls went by" in said


def test_a_question_that_is_wrong_is_not_asked_again() -> None:
    with pytest.raises(CommandError):
        next(Follower(ToldClient(page("a-0"), CommandError("no such outcome", 2)), {}).events())


def test_filters_are_what_the_api_calls_them() -> None:
    asked = parser().parse_args(["tail", "--team", "red", "--min-cost", "0.5", "--errors", "--min-ms", "100"])
    assert words_of(asked) == {"team": "red", "min_cost": "0.5", "min_ms": "100.0", "errors": "true"}


def test_a_gateway_that_is_not_there_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(parser().parse_args(["tail", "--url", "http://127.0.0.1:9"])) == 1
    assert "cannot be asked" in capsys.readouterr().err


@pytest.mark.parametrize(("workers", "log"), [(1, "json"), (1, "text"), (2, "json")])
async def test_calls_are_seen_as_they_end(tmp_path: Path, workers: int, log: str) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        org = tmp_path.name[-40:]
        policy = one_route(f"{upstream.url}/v1") | {
            "secrets": {"admin_token": TOKEN}, "telemetry": {"log": log}, "server": {"workers": workers},
            "keys": [{"name": "tests", "secret": KEY, "org": org}], "orgs": {org: {}},
        }  # fmt: skip
        if workers > 1:
            policy["state"] = {"url": redis_server().url}
        async with gateway_process(policy, tmp_path) as gateway:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", RUN, "tail", "--json", "--route", "m",
                "--url", f"http://127.0.0.1:{gateway.admin_port}",
                stdout=asyncio.subprocess.PIPE, env=os.environ | {"POINTSMAN_ADMIN_TOKEN": TOKEN},
            )  # fmt: skip
            assert process.stdout is not None
            first = asyncio.create_task(process.stdout.readline())
            async with asyncio.timeout(30):
                while not first.done():  # a call may end before it watches
                    await call_once(gateway.port)
                event = json.loads(await first)
                process.send_signal(signal.SIGINT)
                rest = await process.stdout.read()
                assert await process.wait() == 0
    assert (event["outcome"], event["route"], event["key_alias"]) == ("ok", "m", "tests")
    assert event["cost"]["total_nano_usd"] > 0
    assert all(json.loads(line)["route"] == "m" for line in rest.splitlines())


async def call_once(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}))
    await reader.read()
    writer.close()


async def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        policy = one_route(f"{upstream.url}/v1") | {"secrets": {"admin_token": TOKEN}}
        async with gateway_process(policy, tmp_path) as gateway:
            process = await asyncio.create_subprocess_shell(
                f"{sys.executable} -m gateway tail --url http://127.0.0.1:{gateway.admin_port} | head -n 1",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env=os.environ | {"POINTSMAN_ADMIN_TOKEN": TOKEN},
            )  # fmt: skip
            ended = asyncio.create_task(process.communicate())
            async with asyncio.timeout(30):
                while not ended.done():
                    await call_once(gateway.port)
            out, err = await ended
    assert b"200 ok  m > a" in out
    assert err == b""
