"""The store's operations as scripts that Redis runs: their texts, the keys they touch, and a call as bytes.

What is sent and answered is msgpack, whose doubles and whole numbers arrive as they left; Redis would cut a number that
a script returns down to an integer. Calls are packed here since a client that takes arguments one by one costs more
than all the rest. The version in every key changes with what the scripts keep, so that nodes of two releases do not
read each other's accounts.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION: Final = 1
OPERATIONS: Final = ("reserve", "settle", "release", "renew", "reap", "hydrate", "correct", "view", "wait")


class Script(NamedTuple):
    """One operation. `sha` is how Redis knows the text once it has seen it."""

    text: bytes
    sha: bytes


class Scripts(NamedTuple):
    """All operations, one script each."""

    reserve: Script
    settle: Script
    release: Script
    renew: Script
    reap: Script
    hydrate: Script
    correct: Script
    view: Script
    wait: Script


def read_texts() -> dict[str, str]:
    """Every text by its name, as shipped beside this module."""
    folder = resources.files("gateway.state.redis") / "limit_scripts"
    return {name: (folder / f"{name}.lua").read_text() for name in ("clock", "accounts", *OPERATIONS)}


def assembled(texts: dict[str, str]) -> Scripts:
    """Each operation with the clock and what all of them share in front of it."""
    return Scripts(*(_script(texts["clock"] + texts["accounts"] + texts[name]) for name in OPERATIONS))


def _script(text: str) -> Script:
    return Script(text.encode(), hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode())


SCRIPTS: Final = assembled(read_texts())


def tag_of(tenant: str) -> str:
    """The hash tag that keeps a tenant's keys on one node: never empty, and no brace in a name ends it early."""
    if "%" in tenant or "{" in tenant or "}" in tenant:
        tenant = tenant.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
    return f"t:{tenant}"


def tenant_of(tag: str) -> str:
    return tag.removeprefix("t:").replace("%7D", "}").replace("%7B", "{").replace("%25", "%")


def channel_of(namespace: str) -> str:
    """Where is said whose use was given back."""
    return f"{namespace}:{VERSION}:freed"


def command(*parts: bytes) -> bytes:
    """A command in Redis' protocol."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def call(script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
    """A script that Redis has, by its sum."""
    return command(b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *arguments)


def with_text(packed: bytes, script: Script) -> bytes:
    """The same call for a Redis that has forgotten the script: a flush or a failover takes them along."""
    by_sum = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % script.sha
    by_text = b"$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (len(script.text), script.text)
    return packed.replace(by_sum, by_text, 1)
