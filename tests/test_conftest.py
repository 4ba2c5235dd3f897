"""The guards of conftest.py do refuse."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_a_connection_that_leaves_this_machine_is_refused() -> None:
    with socket.socket() as outward, pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
        outward.connect(("192.0.2.1", 80))


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as caller:
        accepted, address = server.accept()
        accepted.close()
        assert address == caller.getsockname()


async def test_the_gateway_may_not_block_the_loop(tmp_path: Path) -> None:
    blocking = compile(f"open({str(tmp_path / 'file')!r}, 'w').close()", str(ROOT / "gateway" / "made_up.py"), "exec")
    with pytest.raises(AssertionError, match="blocks the event loop"):
        exec(blocking)  # noqa: S102 - code that stands in the gateway's folder, as far as Python knows
    await asyncio.to_thread(exec, blocking)
    assert (tmp_path / "file").exists()
