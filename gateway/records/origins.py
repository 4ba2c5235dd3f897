"""Where a call came from and where it was served, told without telling who it was: networks, keyed digests of the
names that callers give their users, the process.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.keys.virtual_keys import Hmac

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.call import Call

DIGEST_CHARS: Final = 16
"""64 bits: enough to tell the users of one key apart, too few to be a fingerprint of anything else."""
_IPV4_BITS: Final = 24
_IPV6_BITS: Final = 48
_NULL: Final = "null"
_USERS_KEPT: Final = 4_096
_NO_MAC: Final = Hmac(b"")


class Origins:
    """`mac` makes the digests of end users' names. `quoted_*` are JSON, for lines that are put together from pieces."""

    __slots__ = ("_quoted_digest", "instance", "worker")

    def __init__(self, instance: str = "", worker: int = 0, mac: Hmac = _NO_MAC) -> None:
        self.instance = instance
        self.worker = worker
        # The same few users come again and again, and a digest costs more than the rest of this.
        self._quoted_digest = lru_cache(_USERS_KEPT)(lambda name: f'"{digest_of(name, mac)}"')

    def end_user(self, request: InferenceRequest) -> str | None:
        """The digest of the user that the request names itself; None where it names none."""
        quoted = self.quoted_end_user(request)
        return None if quoted is _NULL else quoted[1:-1]

    def quoted_end_user(self, request: InferenceRequest) -> str:
        members = request.members
        raw = members.get("user") or members.get("safety_identifier")
        if raw is None:
            return _NULL
        name = bytes(raw)
        return self._quoted_digest(name) if len(name) > 2 and name.startswith(b'"') else _NULL


def this_process() -> str:
    """The instance as telemetry names it: the same on spans and in the log."""
    return f"{socket.gethostname()}:{os.getpid()}"


def digest_of(quoted: bytes, mac: Hmac) -> str:
    """Of a JSON string: however it was escaped, the same name has the same digest."""
    try:
        name = msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        name = quoted.decode("utf-8", "replace")
    return mac.digest(name.encode("utf-8", "surrogatepass")).hex()[:DIGEST_CHARS]


def network_of(call: Call) -> str | None:
    """The network of whoever is connected: /24, or /48 of IPv6; None for a peer without an address."""
    quoted = quoted_network(call.peer())
    return None if quoted is _NULL else quoted[1:-1]


@lru_cache(maxsize=4_096)
def quoted_network(peer: str) -> str:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return _NULL
    if not isinstance(address, IPv4Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = _IPV4_BITS if isinstance(address, IPv4Address) else _IPV6_BITS
    return f'"{ip_network((address, bits), strict=False)}"'


ANYWHERE: Final = Origins()
"""For lines that need not say which process wrote them."""
