"""What a set of limits asks of each call under it, worked out once: accounts, kinds, rates, and the words of headers.

Keys and routes are few and calls are many. What a plan cannot know, the amounts and where a calendar window begins, is
filled in per call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.limits.headers import LimitWords
from gateway.subjects import subject_of
from policies.estimate import Amounts
from policies.limits import Ask, Kind
from policies.vocabulary import Period, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Call
    from gateway.signals.metrics import Cell
    from policies.limit_index import Bound
    from policies.limits import Denied
    from policies.vocabulary import Limit, Subject

log = logging.getLogger(__name__)

PLANS_MAX: Final = 10_000
FIELD: Final = {resource: Amounts._fields.index(resource.value) for resource in Resource}
"""Where each resource stands in `Amounts`."""
PROMPT_COUNTS: Final = frozenset({Resource.TOKENS, Resource.INPUT_TOKENS, Resource.COST})
OUTPUT_COUNTS: Final = frozenset({Resource.TOKENS, Resource.OUTPUT_TOKENS, Resource.COST})
PER_CALL: Final = frozenset({Resource.REQUESTS, Resource.CONCURRENT})
NO_EDGES: Final = (0.0, 0.0, 0.0)
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long

EdgesOf = Callable[[Period], tuple[float, float, float]]


def no_edges(_: Period) -> tuple[float, float, float]:
    """For plans in which nothing has a calendar window."""
    return NO_EDGES


class Term(NamedTuple):
    """One limit as a call meets it. `field` is its resource's place in `Amounts`; `ask` is ready where all is known."""

    limit: Limit
    holder: str
    account: str
    kind: Kind
    field: int
    rate_per_s: float
    ask: Ask | None


class Plan:
    """All that applies to calls of one kind. `bounds` keeps alive what the plan is remembered by. `grants` counts what
    is granted under it, once somebody has counted.
    """

    __slots__ = (
        "_further",
        "_shapes",
        "bounds",
        "caps_output",
        "fields",
        "grants",
        "has_budget",
        "has_calendar",
        "smallest_output",
        "terms",
        "weighs",
        "words",
    )

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self.bounds = bounds
        self.terms = tuple(term_of(limit, holder) for limit, holder in bounds)
        self.fields = tuple(term.field for term in self.terms)
        self.words = LimitWords(self.terms)
        self._shapes = [(term, term.limit.amount, term.field, term.ask) for term in self.terms]
        resources = {limit.resource for limit, _ in bounds}
        self.weighs = not resources <= PER_CALL
        self.caps_output = bool(resources & OUTPUT_COUNTS)
        self.has_budget = Resource.COST in resources
        self.has_calendar = any(term.kind is Kind.CALENDAR for term in self.terms)
        generated = (Resource.TOKENS, Resource.OUTPUT_TOKENS)
        self._further: Plan | None = None
        self.grants: Cell | None = None
        self.smallest_output = min((limit.amount for limit, _ in bounds if limit.resource in generated), default=None)

    def asks(self, amounts: Amounts, edges_of: EdgesOf) -> list[Ask] | None:
        """None where one of them is beyond its limit, which `too_large` names."""
        asks = []
        for term, most, field, ask in self._shapes:
            amount: int = amounts[field]
            if amount > most:
                return None
            asks.append(ask or ask_of(term, amount, edges_of))
        return asks

    def looks(self, edges_of: EdgesOf) -> list[Ask]:
        """Asks for nothing of each limit, whose answer tells how full they are."""
        return [ask_of(term, 0, edges_of) for term in self.terms]

    def too_large(self, amounts: Amounts) -> Term | None:
        """The first limit that such a call can never fit under."""
        for term in self.terms:
            if amounts[term.field] > term.limit.amount:
                return term
        return None

    def could_fit(self, denied: Denied) -> bool:
        """Whether a smaller prompt might be granted what was denied."""
        return all(self.terms[number].limit.resource in PROMPT_COUNTS for number in denied.short)

    def further(self) -> Plan | None:
        """What a further attempt must reserve, where the call itself is counted already; None for nothing."""
        if self._further is None and self.weighs:
            self._further = Plan([bound for bound in self.bounds if bound[0].resource not in PER_CALL])
        return self._further


class Plans:
    """Plans by the limits they are made of. A call under limits without conditions costs one look-up."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Sequence[Bound], Plan | None]] = {}

    def of(self, bounds: Sequence[Bound], call: Call) -> Plan | None:
        """The plan of those limits whose condition this call meets; None where it meets none."""
        found = self._known.get((id(bounds), -1))
        if found is not None and found[1] is not None:
            return found[1]
        conditional = [limit for limit, _ in bounds if limit.applies is not None]
        return self._plan(bounds, _met(bounds, call) if conditional else -1)

    def _plan(self, bounds: Sequence[Bound], mask: int) -> Plan | None:
        found = self._known.get((id(bounds), mask))
        if found is None:
            if len(self._known) >= PLANS_MAX:
                self._known.clear()
            applying = tuple(bound for number, bound in enumerate(bounds) if mask >> number & 1)
            # The bounds are kept beside the plan: an id stays theirs for as long as they live.
            found = self._known[id(bounds), mask] = bounds, Plan(applying) if applying else None
        return found[1]


def term_of(limit: Limit, holder: str) -> Term:
    account, field = f"{limit.id}:{holder}", FIELD[limit.resource]
    kind, rate_per_s = Kind.CONCURRENT, 0.0
    if isinstance(limit.window, Period):
        kind = Kind.CALENDAR
    elif limit.window is not None:
        kind, rate_per_s = Kind.RATE, limit.amount / limit.window
    is_known = limit.resource in PER_CALL and kind is not Kind.CALENDAR
    ask = Ask(account, kind, 1, limit.amount, rate_per_s) if is_known else None
    return Term(limit, holder, account, kind, field, rate_per_s, ask)


def ask_of(term: Term, amount: int, edges_of: EdgesOf) -> Ask:
    """So much of one limit; `edges_of` says where calendar windows begin."""
    limit, _, account, kind, _, rate_per_s, _ = term
    edges = edges_of(limit.window) if isinstance(limit.window, Period) else NO_EDGES
    return _new(Ask, (account, kind, amount, limit.amount, rate_per_s, edges))


def _met(bounds: Sequence[Bound], call: Call) -> int:
    """A bit for each limit that applies to this call."""
    subject = subject_of(call)
    met = 0
    for number, (limit, _) in enumerate(bounds):
        if limit.applies is None or _holds(limit, subject):
            met |= 1 << number
    return met


def _holds(limit: Limit, subject: Subject) -> bool:
    """A condition that cannot be told counts as met: a limit must not be escaped by what its author did not foresee."""
    try:
        return limit.applies is None or limit.applies(subject)
    except Exception:
        log.exception("the condition of the limit %s failed", limit.id)
        return True
