"""A `when` as a predicate: written in CEL, checked when the policy is loaded, evaluated as closures or by a library.

What cannot be told of a call (a member of an unexpected type, an item that is not there) is never an error of the call:
a limit then applies, and a route then does not match. What is not needed for an answer is not asked: one side of `||`
that says yes decides, whatever the other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.config.cel_check import check
from gateway.config.cel_closures import Elsewhere
from gateway.config.cel_quick import quick
from gateway.config.cel_readings import UNTOLD, reader
from gateway.config.cel_syntax import CelError, Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.config.cel_syntax import Node
    from policies.vocabulary import Predicate, Subject

ITEMS_MAX: Final = 10_000
"""Of what a caller sent, at any depth, that the library is given; more cannot be told. Each takes it 2 us."""
MAPPED_MAX: Final = 600
"""The same where a condition maps or filters: the library copies what it has made so far for each further item."""

_SAYS: Final = re.compile(r"(?:ERROR: <input>:[0-9]+:[0-9]+|^error): (?:Syntax error: )?([^\n.]+)", re.MULTILINE)


class Condition:
    """A compiled `when`. `doubt` is what might be a mistake in it, or nothing; `headers` are those it may read (None:
    any). Raises `CelError` when made.
    """

    def __init__(self, text: str, headers: Collection[str] | None = ()) -> None:
        from cel import compile as compiled  # noqa: PLC0415 - only a policy with a `when` needs it

        checked = check(text, headers)
        try:
            for pattern in checked.patterns:
                compiled(f"''.matches({pattern})").execute({})
            self._program = compiled(checked.text)
            self.quick = quick(checked, lambda literal: compiled(literal).execute({}))
        except (ValueError, RuntimeError) as error:
            raise CelError(f"is not understood: {_gist(str(error))}") from None
        self.doubt = checked.doubt
        self._readers = tuple((reading.variable, reader(reading)) for reading in checked.readings)
        self._items_max = MAPPED_MAX if _makes_lists(checked.tree) else ITEMS_MAX

    def ask(self, subject: Subject) -> object:
        """True, False, or `UNTOLD`."""
        if self.quick is not None:
            try:
                return self.quick(subject)
            except Elsewhere:
                pass
        return self.ask_library(subject)

    def ask_library(self, subject: Subject) -> object:
        """The same, the long way. A variable that is not there is missed by the library only where it is needed."""
        try:
            values = {name: value for name, read in self._readers if (value := read(subject)) is not UNTOLD}
            if _more_than(self._items_max, values):
                return UNTOLD
            found = self._program.execute(values)
        except Exception:  # noqa: BLE001 - the library raises a dozen kinds, each meaning that it cannot be told
            return UNTOLD
        return found if isinstance(found, bool) else UNTOLD


def condition_for_limit(text: str, headers: Collection[str] | None = ()) -> Predicate:
    """Whether a limit applies; it does where that cannot be told. Raises `CelError`."""
    condition = Condition(text, headers)
    ask, ask_library = condition.quick or condition.ask_library, condition.ask_library

    def applies(subject: Subject) -> bool:
        try:
            return ask(subject) is not False
        except Exception:  # noqa: BLE001 - whatever it is, it is not for the caller to escape a limit by it
            return ask_library(subject) is not False

    return applies


def condition_for_route(text: str, headers: Collection[str] | None = ()) -> Predicate:
    """Whether a route matches; it does not where that cannot be told. Raises `CelError`."""
    condition = Condition(text, headers)
    ask, ask_library = condition.quick or condition.ask_library, condition.ask_library

    def matches(subject: Subject) -> bool:
        try:
            return ask(subject) is True
        except Exception:  # noqa: BLE001 - as for a limit
            return ask_library(subject) is True

    return matches


def _makes_lists(node: Node) -> bool:
    made = node.kind is Kind.MACRO and node.name in ("map", "filter")
    return made or any(_makes_lists(part) for part in node.parts)


def _more_than(most: int, values: object) -> bool:
    """Whether there are more items than that in lists and maps, and in those inside them."""
    left, waiting = most, [values]
    while waiting:
        holder = waiting.pop()
        left -= len(holder)  # type: ignore[arg-type]  # only lists and maps wait
        if left < 0:
            return True
        items = holder.values() if isinstance(holder, dict) else holder
        waiting += [item for item in items if isinstance(item, dict | list)]  # type: ignore[attr-defined]  # as above
    return False


def _gist(message: str) -> str:
    """What of the library's message says it."""
    found = _SAYS.search(message)
    return (found[1] if found else message.partition("\n")[0])[:100]
