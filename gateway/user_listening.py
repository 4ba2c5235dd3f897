"""A socket by which the user who started a gateway may look at it without a token: the file system keeps others out.

Only where the policy sets no admin token, and only for looking. A token in a file would be known to whoever listened on
the admin port at a time when no gateway did; a socket has nothing to find out.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway.server import Server
from gateway.user_socket import bound, inode_of, is_answered, take_away

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.operations import Operations

log = logging.getLogger(__name__)

CLOSED_WITHIN_S: Final = 0.1


@asynccontextmanager
async def listening_for_user(path: Path | None, operations: Operations) -> AsyncIterator[bool]:
    """Whether it is open, as long as this lasts. What stands in its way is logged: calls are served all the same."""
    listening = None if path is None else _opened(path)
    if path is None or listening is None:
        yield False
        return
    loop, made = asyncio.get_running_loop(), inode_of(path)
    server = Server(operations, loop)
    accepting = await loop.create_unix_server(server, sock=listening)
    try:
        yield True
    finally:
        accepting.close()
        await server.shutdown(CLOSED_WITHIN_S)
        take_away(path, made)


def _opened(path: Path) -> socket.socket | None:
    if is_answered(path):
        log.warning("%s belongs to another gateway, which runs; top, tail and trace ask that one", path)
        return None
    try:
        return bound(path)
    except OSError as error:
        log.warning("%s cannot be listened on: %s", path, error.strerror or error)
        return None
