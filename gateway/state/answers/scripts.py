"""The shared store's operations as scripts that Redis runs, and the keys they touch.

All keys of one owner carry one hash tag, so that a script sees them together in a Cluster. The version in every key
changes with what is kept, so that nodes of two releases do not read each other's entries.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final, NamedTuple

from gateway.state.redis.scripts import Script, tag_of, tenant_of

VERSION: Final = 1
OPERATIONS: Final = ("keep", "find", "fetch", "note", "walk", "prune", "vector", "vectors")
FLEET_TAG: Final = "answers"
KNOWN: Final = b"}:answers:known"
GLOB: Final = str.maketrans({letter: f"\\{letter}" for letter in "\\*?[]^-"})


class Scripts(NamedTuple):
    """All operations, one script each."""

    keep: Script
    find: Script
    fetch: Script
    note: Script
    walk: Script
    prune: Script
    vector: Script
    vectors: Script


def _text(name: str) -> bytes:
    return (resources.files("gateway.state.answers") / "answer_scripts" / f"{name}.lua").read_bytes()


def _script(name: str) -> Script:
    text = _text("shared") + _text(name)
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


SCRIPTS: Final = Scripts(*(_script(name) for name in OPERATIONS))


class Keys:
    """The names of keys. `namespace` begins each."""

    def __init__(self, namespace: str) -> None:
        self._start = f"{namespace}:{VERSION}:"
        self.feed = f"{self._start}{{{FLEET_TAG}}}:feed".encode()
        self.sums = f"{self._start}{{{FLEET_TAG}}}:sums".encode()
        self.tending = f"{self._start}{{{FLEET_TAG}}}:tending".encode()
        self.known_pattern = f"{self._start.translate(GLOB)}{{t:*{KNOWN.decode()}".encode()

    def known(self, owner: str) -> bytes:
        """What the scripts are called with."""
        return f"{self._start}{{{tag_of(owner)}".encode() + KNOWN

    def shelf(self, owner: str, name: str) -> bytes:
        """An owner's vector set."""
        return f"{self._start}{{{tag_of(owner)}}}:answers:v:{name}".encode()

    def owner_of_id(self, entry_id: str) -> bytes:
        """Where is said whose an entry is. It lies anywhere: who asks for it knows the id alone."""
        return f"{self._start}{{{tag_of(entry_id)}}}:answers:owner".encode()

    def learnt(self, name: str) -> bytes:
        return f"{self._start}{{{tag_of(name)}}}:answers:learnt".encode()

    def owner_in(self, known: bytes) -> str | None:
        """Whose key this is; None for one that is nobody's."""
        start = f"{self._start}{{t:".encode()
        if not known.startswith(start) or not known.endswith(KNOWN):
            return None
        try:
            owner = tenant_of("t:" + known[len(start) : -len(KNOWN)].decode())
        except UnicodeDecodeError:
            return None
        return owner if self.known(owner) == known else None
