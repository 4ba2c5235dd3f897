"""The keys under which the hashes of stored virtual keys are made, each known by its version.

A pepper's version is a fingerprint of it: nobody can number two peppers alike, or put another in the place of one under
which keys were made and not be told. New secrets are hashed under the newest; those under former ones keep working, and
are hashed anew when their key is next rotated: nothing is written while a request waits. Without a configured pepper
one is generated beside a SQLite ledger, for its owner's eyes only. A copy of the ledger alone is worthless.
"""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.keys.virtual_keys import Hmac
from gateway.state.keys.records import KeyStoreError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# One secret, several uses: each gets a key of its own, so that no digest of one use means anything in another.
STORED_KEYS: Final = b"pointsman/stored-keys/1"
VERSION: Final = b"pointsman/pepper-version/1"
DIGESTS: Final = b"pointsman/digests-in-telemetry/1"
GENERATED_CHARS: Final = 64


class PepperError(KeyStoreError):
    """No pepper can be had, and what to do about it."""


class Pepper(NamedTuple):
    """One pepper as it is used: its version, and the MAC of stored keys under it."""

    version: str
    mac: Hmac


class Peppers:
    """The peppers of this process: those configured, the newest first, and the one generated at `path`, if any.

    `path` None: none may be generated, since other machines would not have it.
    """

    def __init__(self, configured: Iterable[str], path: Path | None) -> None:
        self._path = path
        self._known = [pepper_of(text) for text in configured]
        self._generated: Pepper | None = None

    def mac_of(self, version: str) -> Hmac | None:
        """The MAC under that pepper; None for one that is not configured (any more)."""
        for pepper in self._known:
            if pepper.version == version:
                return pepper.mac
        generated = self._generated
        return generated.mac if generated is not None and generated.version == version else None

    def load(self) -> None:
        """Take up the pepper generated earlier, if there is one. Blocks. Raises `PepperError`."""
        if self._path is not None and self._generated is None and (text := read_pepper(self._path)) is not None:
            self._generated = pepper_of(text)

    def for_new_keys(self) -> Pepper:
        """The newest. Blocks where one must be generated. Raises `PepperError`."""
        if self._known:
            return self._known[0]
        if self._path is None:
            raise PepperError("set secrets.pepper: keys in a shared database need one that every node has")
        if self._generated is None:
            self._generated = pepper_of(generate_pepper(self._path))
        return self._generated


def pepper_of(text: str) -> Pepper:
    master = Hmac(text.encode())
    return Pepper(master.digest(VERSION).hex()[:12], Hmac(master.digest(STORED_KEYS)))


def digests_of(text: str) -> Hmac:
    """The MAC by which telemetry tells equal names and texts apart from others without showing them."""
    return Hmac(Hmac(text.encode()).digest(DIGESTS))


def pepper_file(ledger: Path) -> Path:
    """Where the generated pepper of a SQLite ledger lies."""
    return ledger.with_name(ledger.name + ".pepper")


def read_pepper(path: Path) -> str | None:
    """A pepper generated earlier, None where there is none. Blocks. Raises `PepperError` for a file others can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PepperError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise PepperError(f"{path}: must be a file that nobody but its owner can read (chmod 600)")
        text = os.read(descriptor, GENERATED_CHARS + 2).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    if len(text) != GENERATED_CHARS:
        raise PepperError(f"{path}: holds no pepper of ours; restore it, since stored keys are worthless without it")
    return text


def generate_pepper(path: Path) -> str:
    """The pepper in this file, generated where there is none yet. Blocks. Raises `PepperError`.

    Whole or not at all, and the first of two that do it at once wins: keys made under a lost pepper would be lost too.
    """
    if (known := read_pepper(path)) is not None:
        return known
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(GENERATED_CHARS // 2) + "\n")
                file.flush()
                os.fsync(descriptor)
            os.link(draft, path)
        finally:
            draft.unlink()
    except FileExistsError:
        pass
    except OSError as error:
        raise PepperError(f"{path}: cannot be written: {error.strerror}") from error
    generated = read_pepper(path)
    if generated is None:
        raise PepperError(f"{path}: was taken away again")
    return generated
