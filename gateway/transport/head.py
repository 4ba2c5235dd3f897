"""Request heads for one origin: rendered once per path, with a length and a few per-call headers added."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adapters.base import WireRequest
    from gateway.transport.origin import Origin

Headers = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_FRAMING = ("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect")
_OURS = frozenset((*_FRAMING, "accept-encoding", "keep-alive", "proxy-connection", "proxy-authorization"))
_KEPT_BLOCKS = 256


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    lines = []
    for name, value in headers:
        if not _NAME.fullmatch(name) or name in _OURS:
            raise ValueError(f"{name!r} is not a header that may be set")
        if not value.isprintable():
            raise ValueError(f"the value of the header {name!r} holds control characters")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines)


class RequestHeads:
    """Renders heads. The pool's own headers (credentials among them) win over a request's; names are lower-case."""

    def __init__(self, origin: Origin, headers: Headers) -> None:
        self._origin = origin
        self._names = frozenset(name for name, _ in headers)
        self._fixed = f"host: {origin.authority}\r\naccept-encoding: identity\r\n{_lines(headers)}"
        self._fixed.encode("latin-1")
        self._blocks: dict[tuple[str, Headers], bytes] = {}

    def render(self, wire: WireRequest, extra: Headers) -> bytes:
        """The head for `wire`, blank line included. Raises `ValueError` rather than send a doubtful header."""
        block = self._blocks.get((wire.path, wire.headers)) or self._block(wire)
        if extra:
            lines = _lines(header for header in extra if header[0] not in self._names)
            return b"%b%bcontent-length: %d\r\n\r\n" % (block, lines.encode("latin-1"), len(wire.body))
        return b"%bcontent-length: %d\r\n\r\n" % (block, len(wire.body))

    def _block(self, wire: WireRequest) -> bytes:
        own = _lines(header for header in wire.headers if header[0] not in self._names)
        block = f"POST {self._origin.target(wire.path)} HTTP/1.1\r\n{self._fixed}{own}".encode("latin-1")
        if len(self._blocks) >= _KEPT_BLOCKS:
            self._blocks.clear()
        self._blocks[wire.path, wire.headers] = block
        return block
