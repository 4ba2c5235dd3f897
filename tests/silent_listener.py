"""A listener that takes every connection and never answers, as a stopped process or a hung one does."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def silent_listener() -> Iterator[str]:
    """Its URL. The kernel completes the connections; nobody ever reads from them."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
