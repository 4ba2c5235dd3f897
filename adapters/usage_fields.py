"""Reading counts out of JSON that anybody may have written: a wrong shape is nothing, never an error."""

from __future__ import annotations

from typing import Final

TOKENS_BELIEVED: Final = 100_000_000  # no request has had a hundredth of it


def first(fields: dict[str, object], *names: str) -> int | None:
    """The first of these fields that is a count."""
    for name in names:
        if (found := count(fields.get(name))) is not None:
            return found
    return None


def details_in(value: dict[str, object], *names: str) -> dict[str, object]:
    """The first of these fields that is an object; else an empty one."""
    for name in names:
        details = value.get(name)
        if isinstance(details, dict):
            return details
    return {}


def count(value: object) -> int | None:
    """A whole number that may be a count of tokens."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_BELIEVED:
        return None
    return value
