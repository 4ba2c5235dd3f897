from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.commands.admin_client import AdminClient, CommandError, NotFoundError, SilentError
from tests.silent_listener import silent_listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def canned(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """Listens on a Unix socket and gives one answer; tells its URL."""
    threads: list[threading.Thread] = []

    def serve(answer: bytes) -> str:
        path, ready = tmp_path / "admin.sock", threading.Event()

        async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)  # else a client may be cut off while it sends
            writer.write(answer)
            writer.close()
            served.set()

        async def listen() -> None:
            async with await asyncio.start_unix_server(answer_once, path):
                ready.set()
                await served.wait()

        served = asyncio.Event()
        threads.append(threading.Thread(target=asyncio.run, args=(listen(),)))
        threads[-1].start()
        ready.wait()
        return f"unix://{path}"

    yield serve
    for thread in threads:
        thread.join()


def http(status: int, body: bytes, *lines: bytes) -> bytes:
    head = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n" % (status, len(body))
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def test_an_answer_comes_over_a_unix_socket(canned: Callable[[bytes], str]) -> None:
    reply = AdminClient(canned(http(200, b'{"a":1}', b'ETag: "7"')), "token").ask("GET", "/x")
    assert (reply.body, reply.etag) == ({"a": 1}, '"7"')


def test_nothing_comes_with_204(canned: Callable[[bytes], str]) -> None:
    assert AdminClient(canned(b"HTTP/1.1 204 X\r\n\r\n"), None).ask("DELETE", "/x").body is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(409, b'{"error":{"message":"Taken."}}'), "Taken."),
        (http(404, b'{"error":{"message":"Gone.\\u001b[2J"}}'), r"Gone.\x1b[2J"),
        (http(301, b"{}", b"Location: http://evil.example/"), "answered 301"),
        (http(200, b"<html>"), "is this the admin listener"),
        (b"SSH-2.0\r\n\r\n", "cannot be asked"),
        (b"", "cannot be asked"),
    ],
)
def test_what_is_refused_or_no_answer_is_said(canned: Callable[[bytes], str], answer: bytes, said: str) -> None:
    with pytest.raises(CommandError) as failed:
        AdminClient(canned(answer), "token").ask("GET", "/x", {"a": 1})
    assert said in str(failed.value)
    assert failed.value.exit_code == 1
    assert isinstance(failed.value, NotFoundError) == (b" 404 " in answer)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("ftp://a", None), ("127.0.0.1:8081", None), ("http://", None), ("http://a:b@c", None), ("http://a?b", None),
        ("http://a:port", None), ("unix://", None), ("http://a", "two\nlines"), ("http://a", "with space"),
    ],
)  # fmt: skip
def test_what_can_be_no_listener_or_token_is_a_wrong_command(url: str, token: str | None) -> None:
    with pytest.raises(CommandError) as failed:
        AdminClient(url, token)
    assert failed.value.exit_code == 2
    assert "lines" not in str(failed.value)


def test_https_is_verified() -> None:
    client = AdminClient("https://gateway.example/prefix/", None)
    context = client._connection._context  # type: ignore[attr-defined]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert client._prefix == "/prefix"


def test_who_takes_the_connection_and_never_answers_is_told_from_who_is_not_there() -> None:
    with silent_listener() as url, pytest.raises(SilentError, match=r"does not answer: nothing for 0\.05 s"):
        AdminClient(url, None, 0.05).ask("GET", "/x")
    with pytest.raises(CommandError, match="cannot be asked") as refused:
        AdminClient("http://127.0.0.1:9", None, 0.05).ask("GET", "/x")
    assert not isinstance(refused.value, SilentError)
