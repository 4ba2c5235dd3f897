"""Request heads for one origin: rendered once per path, with a length and a few per-call headers added."""

from __future__ import annotations

import re
from functools import lru_cache
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


class HeaderError(ValueError):
    """A header that must not go out. The message names it but does not repeat its value."""


def _lines(headers: Iterable[tuple[str, str]], besides: frozenset[str] = frozenset()) -> bytes:
    """`headers` as they go out, but for those that are named in `besides`."""
    lines = []
    for name, value in headers:
        if name in besides:
            continue
        if not _may_be_set(name):
            raise HeaderError(f"{name!r} is not a header that may be set")
        if not value.isprintable():
            raise HeaderError(f"the value of the header {name!r} holds control characters")
        lines.append(f"{name}: {value}\r\n")
    try:
        return "".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise HeaderError("the value of a header holds characters beyond latin-1") from None


@lru_cache(maxsize=256)
def _may_be_set(name: str) -> bool:
    """Names come from adapters and the policy file: few, and the same ones for every call."""
    return _NAME.fullmatch(name) is not None and name not in _OURS


class RequestHeads:
    """Renders heads. The pool's own headers (credentials among them) win over a request's."""

    def __init__(self, origin: Origin, headers: Headers) -> None:
        self._origin = origin
        self._names = frozenset(name.lower() for name, _ in headers)
        fixed = f"host: {origin.authority}\r\naccept-encoding: identity\r\n".encode("ascii")
        self._fixed = fixed + _lines((name.lower(), value) for name, value in headers)
        self._blocks: dict[tuple[str, str, Headers], bytes] = {}

    def render(self, wire: WireRequest, extra: Headers) -> bytes:
        """The head for `wire`, blank line included. Raises `HeaderError` rather than send a doubtful header."""
        block = self._blocks.get((wire.method, wire.path, wire.headers)) or self._block(wire)
        if extra:
            return b"%b%bcontent-length: %d\r\n\r\n" % (block, _lines(extra, self._names), len(wire.body))
        return b"%bcontent-length: %d\r\n\r\n" % (block, len(wire.body))

    def _block(self, wire: WireRequest) -> bytes:
        start = f"{wire.method} {self._origin.target(wire.path)} HTTP/1.1\r\n".encode("ascii")
        block = start + self._fixed + _lines(wire.headers, self._names)
        if len(self._blocks) >= _KEPT_BLOCKS:
            self._blocks.clear()
        self._blocks[wire.method, wire.path, wire.headers] = block
        return block
