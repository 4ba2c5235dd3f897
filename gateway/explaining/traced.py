"""All that is known of one call: where it went and why, how long each part took, and what every attempt cost, line by
line. Of recent calls from memory and ledger together, of older ones from the ledger alone, which says what it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Struct

from gateway.explaining.attempt_bills import AttemptTold, attempt_told
from gateway.explaining.decisions import Decision, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.explaining.decisions import Kept
    from gateway.state.ledger.lookup import Found
    from gateway.state.ledger.schema import LedgerRow

NOT_IN_MEMORY: Final = "the decision and the times of stages: the latest calls only have them, in the serving process"
_PREFIX: Final = "pointsman."


class StageTold(Struct):
    """Milliseconds since the call came in."""

    stage: str
    began_ms: float
    ended_ms: float


class TimingsTold(Struct):
    total_ms: float
    stages: list[StageTold]


class CallTold(Struct, omit_defaults=True):
    """Who asked for what, as far as it was served by anyone."""

    at_ms: int
    endpoint: str
    model: str
    key: str | None = None
    team: str | None = None
    user: str | None = None
    org: str | None = None
    tags: list[str] = []
    route: str | None = None
    stream: bool = False


class TracedCall(Struct, omit_defaults=True):
    """`attempts` and `cost_nanousd` are the ledger's; `unknown` says what is not known, or not any more. `disagreeing`:
    attempts of which the ledger has something else than it was handed.
    """

    request_id: str
    call: CallTold
    outcome: str | None = None
    cost_nanousd: int | None = None
    decision: Decision | None = None
    timings: TimingsTold | None = None
    attempts: list[AttemptTold] = []
    disagreeing: list[int] = []
    unknown: list[str] = []


class Sources(NamedTuple):
    """What memory has of a call, and the ledger; `trouble` is why the ledger cannot be asked."""

    kept: Kept | None
    ledger: Found
    trouble: str = ""


def traced(request_id: str, sources: Sources) -> TracedCall | None:
    """None where nobody knows the call."""
    kept, ledger = sources.kept, sources.ledger
    handed = {} if kept is None else {row.attempt: row for row in kept.rows}
    has = {row.attempt: row for row in ledger.rows}
    rows = [row for _, row in sorted((handed | has).items())]
    if kept is None and not rows:
        return None
    # What was charged is what the process meant; the ledger's copy stands in for what it has forgotten.
    in_memory = [] if kept is None else [one.price for one in kept.attempts if one.price is not None]
    prices = ledger.prices | {price.id: price for price in in_memory}
    first_ms = min((row.started_at_ms for row in rows), default=0)
    attempts = [attempt_told(row, first_ms, prices) for row in rows]
    costs = [row.cost_nanousd for row in rows if row.cost_nanousd is not None]
    told = TracedCall(
        request_id,
        _call(kept, rows),
        cost_nanousd=sum(costs) if costs else None,
        attempts=attempts,
        disagreeing=[number for number, row in handed.items() if number in has and has[number] != row],
        unknown=list(_unknown(sources, attempts, len(handed.keys() - has.keys()))),
    )
    if kept is not None:
        told.outcome, told.decision, told.timings = kept.outcome or None, written(kept), _timings(kept)
    return told


def _call(kept: Kept | None, rows: Sequence[LedgerRow]) -> CallTold:
    """Of the first row, which all rows agree with; of a call without one, what memory has."""
    if not rows:
        assert kept is not None  # noqa: S101 - one of both is there
        who, route = kept.principal, None if kept.route is None else kept.route.name
        at_ms = kept.received_at_ns // 1_000_000
        if who is None:
            return CallTold(at_ms, kept.endpoint, written(kept).model, route=route)
        tags = list(who.tags)
        return CallTold(
            at_ms, kept.endpoint, written(kept).model, who.key_name, who.team, who.user, who.org, tags, route
        )
    row = rows[0]
    at_ms = row.started_at_ms if kept is None else kept.received_at_ns // 1_000_000
    asked = (at_ms, row.endpoint, row.model_requested, row.key_name, row.team, row.user, row.org)
    return CallTold(*asked, _tags(row.tags), row.route, bool(row.stream))


def _tags(text: str | None) -> list[str]:
    try:
        return [] if text is None else msgspec.json.decode(text, type=list[str])
    except msgspec.MsgspecError:
        return []


def _timings(kept: Kept) -> TimingsTold:
    """Each stage from where the one before ended, in the order of time."""
    stages, began_s = [], kept.received_s
    for name, ended_s in kept.marks:
        since = (round((at - kept.received_s) * 1000, 3) for at in (began_s, ended_s))
        stages.append(StageTold(name.removeprefix(_PREFIX), *since))
        began_s = ended_s
    return TimingsTold(round(max(0.0, kept.ended_s - kept.received_s) * 1000, 3), stages)


def _unknown(sources: Sources, attempts: Sequence[AttemptTold], unwritten: int) -> list[str]:
    found = []
    if sources.kept is None:
        found.append(NOT_IN_MEMORY)
    elif sources.kept.attempts and not sources.kept.rows:
        found.append("what it used and cost: it could not be recorded, and the log says why")
    if sources.trouble:
        found.append(f"what the ledger has of it: {sources.trouble}")
    elif unwritten:
        found.append(f"whether the ledger has {unwritten} of its rows: it has not written them yet")
    lacking = ((one.attempt, one.price.id) for one in attempts if one.price is not None and not one.price.is_known)
    return found + [
        f"the rates of attempt {number}: the ledger does not have the price {name}" for number, name in lacking
    ]
