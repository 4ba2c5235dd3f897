"""Where a pool connects: a provider's base URL, taken apart and checked once."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_TARGET = re.compile(r"[!-~]*")
_PORTS = {"http": 80, "https": 443}


@cache
def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Verified TLS 1.2 or newer, by the system's authorities or only those of `ca_file`. Slow to make, so made once."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, host and port, and what every path begins (`prefix`) and ends (`query`) with."""

    host: str
    port: int
    secure: bool
    prefix: str = ""
    query: str = ""

    @classmethod
    def parse(cls, base_url: str) -> Origin:
        """Raises `ValueError` for anything but a plain http or https URL; the message does not repeat the URL."""
        parts = urlsplit(base_url)
        if parts.scheme not in _PORTS:
            raise ValueError("a base URL begins with http:// or https://")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a base URL holds no user name or password; use the provider's api_key")
        if parts.fragment:
            raise ValueError("a base URL has no fragment")
        host = (
            (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode("ascii")
        )
        if not _HOST.fullmatch(host):
            raise ValueError("a base URL needs a host name or an address")
        if not (_TARGET.fullmatch(parts.path) and _TARGET.fullmatch(parts.query)):
            raise ValueError("a base URL's path and query must be percent-encoded")
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        return cls(host, port, parts.scheme == "https", parts.path.rstrip("/"), parts.query)

    @property
    def authority(self) -> str:
        """The `Host` header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"

    def target(self, path: str) -> str:
        """The request target for `path`. Raises `ValueError` when it could break out of the request line."""
        if not path.startswith("/") or not _TARGET.fullmatch(path):
            raise ValueError("a request path begins with / and is percent-encoded")
        if not self.query:
            return self.prefix + path
        return f"{self.prefix}{path}{'&' if '?' in path else '?'}{self.query}"
