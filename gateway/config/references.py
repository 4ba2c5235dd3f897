"""`${env:NAME}` and `${file:PATH}`: what stands outside the policy file and is read when it is loaded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_BYTES_MAX: Final = 64 << 10
_REFERENCE: Final = re.compile(r"\$\{([^{}]*)\}?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FORMS: Final = "write ${env:NAME} or ${file:PATH}"


class References:
    """Resolves the references in one file's texts. `base` is the folder that relative file names start from."""

    def __init__(self, environ: Mapping[str, str], base: Path) -> None:
        self._environ = environ
        self._base = base

    def resolve(self, text: str) -> str:
        """`text` with its references replaced; what they hold is not looked at again. Raises `ValueError`."""
        return _REFERENCE.sub(self._replace, text)

    def _replace(self, found: re.Match[str]) -> str:
        if not found[0].endswith("}"):
            raise ValueError(f"a reference is not closed: {FORMS}")
        kind, _, name = found[1].partition(":")
        if kind == "env" and _VARIABLE.fullmatch(name):
            if name not in self._environ:
                raise ValueError(f"environment variable {name} is not set")
            return self._environ[name]
        if kind == "file" and name:
            return self._read(name)
        raise ValueError(f"this reference is not understood: {FORMS}")

    def _read(self, name: str) -> str:
        try:
            path = self._base / name
            # A pipe or device would block the start, or never end.
            if path.exists() and not path.is_file():
                raise ValueError(f"{name} is not a regular file")
            with path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise ValueError(f"cannot read {name}: {error.strerror}") from None
        if len(content) > FILE_BYTES_MAX:
            raise ValueError(f"{name} is larger than {FILE_BYTES_MAX >> 10} KiB")
        try:
            return content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(f"{name} is not UTF-8 text") from None
