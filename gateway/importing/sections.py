"""Reading a foreign file so that nothing of it gets lost: each key is taken once, and what is left over is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

NO_COUNTERPART: Final = "has no counterpart"
_BY_ENVIRONMENT: Final = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._:@/-]+")
_NOT_IN_VARIABLES: Final = re.compile(r"[^A-Z0-9]+")


class Note(NamedTuple):
    """Something of the foreign file that is not in the policy, or is there in another way. `where` is its path."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Notes:
    """What whoever imports a file must know, in the order of the file; nothing is told twice."""

    def __init__(self) -> None:
        self._found: dict[Note, None] = {}

    def add(self, where: str, what: str) -> None:
        self._found[Note(where, what)] = None

    def all(self) -> tuple[Note, ...]:
        return tuple(self._found)


class Section:
    """A mapping of the foreign file. `take` a key and it is dealt with; `leave` tells of those that nobody took."""

    def __init__(self, where: str, value: object, notes: Notes) -> None:
        self.where = where
        self.notes = notes
        self._values: dict[str, Any] = {}
        if isinstance(value, Mapping):
            self._values = {str(key): item for key, item in value.items() if item is not None}
        elif value is not None:
            notes.add(where, "is not a mapping and was left out")

    def take(self, key: str) -> Any:  # noqa: ANN401 - whatever the foreign file holds
        return self._values.pop(key, None)

    def keys(self) -> tuple[str, ...]:
        """What nobody took yet."""
        return tuple(self._values)

    def peek(self, key: str) -> Any:  # noqa: ANN401 - as above
        return self._values.get(key)

    def text(self, key: str) -> str | None:
        """A text or number as text, `os.environ/NAME` as a reference."""
        value = self.take(key)
        if value is None or isinstance(value, str | int | float):
            return None if value is None or value == "" else reference(str(value))
        self.notes.add(f"{self.where}.{key}", "is not a text and was left out")
        return None

    def number(self, key: str) -> float | None:
        """A number above zero."""
        value = self.take(key)
        if value is None:
            return None
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = -1.0
        if isinstance(value, bool) or not 0 < found < 1e15:
            self.notes.add(f"{self.where}.{key}", f"{value!r} is no number above zero and was left out")
            return None
        return found

    def count(self, key: str) -> int | None:
        found = self.number(key)
        return None if found is None else max(1, round(found))

    def names(self, key: str) -> list[str]:
        """One text or a list of them."""
        value = self.take(key)
        items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return [str(item) for item in items]

    def inner(self, key: str) -> Section:
        return Section(f"{self.where}.{key}", self.take(key), self.notes)

    def leave(self, reasons: Mapping[str, str]) -> None:
        for key in self._values:
            self.notes.add(f"{self.where}.{key}", reasons.get(key, NO_COUNTERPART))
        self._values = {}


def reference(text: str) -> str:
    """`os.environ/NAME` as this policy's `${env:NAME}`; anything else as it is."""
    found = _BY_ENVIRONMENT.fullmatch(text.strip())
    return f"${{env:{found[1]}}}" if found else text


def is_reference(text: str) -> bool:
    return text.startswith("${env:")


def variables_in(values: object) -> frozenset[str]:
    """The environment variables that a foreign file names, anywhere in it."""
    found, seen, left = set[str](), set[int](), [values]
    while left:
        value = left.pop()
        if isinstance(value, str):
            found.update(_BY_ENVIRONMENT.findall(value))
        elif id(value) not in seen:  # what YAML's aliases repeat is read once
            seen.add(id(value))
            left += value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return frozenset(found)


def variable(*words: str) -> str:
    """A name for an environment variable that a secret goes into."""
    return _NOT_IN_VARIABLES.sub("_", "_".join(words).upper()).strip("_") or "SECRET"


def name_of(text: str, taken: Mapping[str, object]) -> str:
    """A name as the policy has them, made of `text`, that none of `taken` has."""
    base = _NOT_IN_NAMES.sub("-", text).strip("-._:@/")[:90] or "unnamed"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name
