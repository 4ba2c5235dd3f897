"""A `when` as a predicate: written in CEL, checked when the policy is loaded, evaluated by a library in Rust.

What cannot be told of a request (a member of an unexpected type, an item that is not there) is never an error of the
call: a limit then applies, and a route then does not match.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from gateway.config.cel_check import check
from gateway.config.cel_syntax import CelError
from gateway.config.cel_types import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sized

    from gateway.config.cel_check import Reading
    from policies.vocabulary import Predicate, Subject

_PYTHON: Final[Mapping[str, Any]] = {
    "bool": bool,
    "int": int,
    "double": float,
    "string": str,
    "list": list[Any],
    "map": dict[str, Any],
    "dyn": Any,
}
_SAYS: Final = re.compile(r"(?:ERROR: <input>:[0-9]+:[0-9]+|^error): (?:Syntax error: )?([^\n.]+)", re.MULTILINE)
_UNREAD: Final[Mapping[str, Any]] = {"list": list[msgspec.Raw], "map": dict[str, msgspec.Raw]}
_OF_SUBJECT: Final[Mapping[tuple[str, str], Callable[[Subject], object]]] = {
    ("request", "endpoint"): lambda subject: subject.endpoint.value,
    ("request", "model"): lambda subject: subject.model,
    ("request", "stream"): lambda subject: subject.stream,
    ("principal", "key_id"): lambda subject: subject.principal.key_id,
    ("principal", "key"): lambda subject: subject.principal.key_name,
    ("principal", "team"): lambda subject: subject.principal.team,
    ("principal", "user"): lambda subject: subject.principal.user,
    ("principal", "org"): lambda subject: subject.principal.org,
    ("principal", "tags"): lambda subject: subject.principal.tags,
}


class Condition:
    """A compiled `when`. `doubt` is what might be a mistake in it, or nothing. Raises `CelError` when made."""

    def __init__(self, text: str) -> None:
        from cel import compile as compiled  # noqa: PLC0415 - only a policy with a `when` needs it

        checked = check(text)
        try:
            for pattern in checked.patterns:
                compiled(f"''.matches({pattern})").execute({})
            self._program = compiled(checked.text)
        except (ValueError, RuntimeError) as error:
            raise CelError(f"is not understood: {_gist(str(error))}") from None
        self.doubt = checked.doubt
        self._readers = tuple((reading.variable, _reader(reading)) for reading in checked.readings)

    def ask(self, subject: Subject) -> bool:
        """Raises whatever the evaluation raises."""
        found = self._program.execute({name: read(subject) for name, read in self._readers})
        if not isinstance(found, bool):
            raise TypeError("a condition that gave neither yes nor no")
        return found


def condition_for_limit(text: str) -> Predicate:
    """Whether a limit applies; it does where that cannot be told. Raises `CelError`."""
    return _otherwise(Condition(text), unknown=True)


def condition_for_route(text: str) -> Predicate:
    """Whether a route matches; it does not where that cannot be told. Raises `CelError`."""
    return _otherwise(Condition(text), unknown=False)


def _otherwise(condition: Condition, *, unknown: bool) -> Predicate:
    ask = condition.ask

    def predicate(subject: Subject) -> bool:
        try:
            return ask(subject)
        except Exception:  # noqa: BLE001 - the library raises a dozen kinds, each meaning that it cannot be told
            return unknown

    return predicate


def _gist(message: str) -> str:
    """What of the library's message says it."""
    found = _SAYS.search(message)
    return (found[1] if found else message.partition("\n")[0])[:100]


def _reader(reading: Reading) -> Callable[[Subject], object]:
    of_subject = _OF_SUBJECT.get((reading.root, reading.member))
    if of_subject is None:
        return _of_body(reading)
    if reading.what == "has":
        return lambda subject: of_subject(subject) is not None
    if reading.what == "size":
        return lambda subject: len(cast("Sized", of_subject(subject)))
    empty = EMPTY[reading.type.name]
    return lambda subject: empty if (value := of_subject(subject)) is None else value


def _of_body(reading: Reading) -> Callable[[Subject], object]:
    """A member of the body, decoded when asked for. One that is null counts as not sent."""
    member, kind = reading.member, reading.type.name
    if reading.what == "has":
        return lambda subject: (raw := subject.members.get(member)) is not None and raw != b"null"
    types = _UNREAD if reading.what == "size" else _PYTHON
    decode = msgspec.json.Decoder(types[kind] | None).decode
    empty = EMPTY[kind]

    def value(subject: Subject) -> object:
        raw = subject.members.get(member)
        found = None if raw is None else decode(raw)
        return empty if found is None else found

    return value if reading.what == "value" else lambda subject: len(cast("Sized", value(subject)))
