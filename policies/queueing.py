"""Who of those that wait goes next: weighted fair queueing, by virtual finish time in tokens.

Each flow (a team, a user, a key) gets service in proportion to its weight, whatever the others send: a burst of one
flow lines up behind itself. A request's finish is its flow's last finish, or the queue's virtual time where the flow
has been away, plus its tokens over the flow's weight; lowest finish goes first. So an idle flow earns no credit, and
none waits longer than its share entitles it to by more than one request of each other flow. Source: Demers, Keshav and
Shenker 1989; virtual time as in self-clocked fair queueing (Golestani 1994): the finish of what was served last.

A queue is a value: joining and leaving give a new one. Queues are short (`max_size`), so copying is cheap.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from policies.route_rules import QueueRules
    from policies.vocabulary import Principal


class Entry(NamedTuple):
    """One request in the queue. `number` is the order of coming and breaks ties; `accounts` are what it waits for."""

    finish: float
    number: int
    flow: str
    tokens: int
    accounts: frozenset[str]
    deadline_s: float


class FairQueue(NamedTuple):
    """Who waits, in the order of service. `finishes` are the last finishes of flows that are ahead of `virtual`."""

    entries: tuple[Entry, ...] = ()
    virtual: float = 0.0
    finishes: Mapping[str, float] = {}
    joined: int = 0


class Applicant(NamedTuple):
    """A request that would wait. `tokens` is its estimate, `weight` its flow's share (1 is the usual one)."""

    flow: str
    weight: float
    tokens: int
    accounts: frozenset[str]


def flow_of(principal: Principal) -> str:
    """Whose burst waits behind itself: a team's, else a user's, else a key's."""
    who = principal.team or principal.user or principal.key_id
    return f"{principal.org}/{who}"


def is_full(queue: FairQueue, rules: QueueRules) -> bool:
    return len(queue.entries) >= rules.max_size


def join(queue: FairQueue, applicant: Applicant, deadline_s: float) -> tuple[FairQueue, Entry]:
    """The queue with the applicant in its place, and the entry it got. For a queue that is not full."""
    flow, tokens = applicant.flow, max(1, applicant.tokens)
    start = max(queue.virtual, queue.finishes.get(flow, queue.virtual))
    finish = start + tokens / applicant.weight
    entry = Entry(finish, queue.joined, flow, tokens, applicant.accounts, deadline_s)
    entries = list(queue.entries)
    insort(entries, entry)
    finishes = {**queue.finishes, flow: finish}
    return FairQueue(tuple(entries), queue.virtual, finishes, queue.joined + 1), entry


def serve(queue: FairQueue, entry: Entry) -> FairQueue:
    """The queue after `entry` has got what it waited for: virtual time moves on to its finish."""
    virtual = max(queue.virtual, entry.finish)
    finishes = {flow: finish for flow, finish in queue.finishes.items() if finish > virtual}
    return _without(queue, entry)._replace(virtual=virtual, finishes=finishes)


def leave(queue: FairQueue, entry: Entry) -> FairQueue:
    """The queue after `entry` gave up. The last one to leave takes the past with it: nothing is owed to an empty queue.

    A flow's own later entries keep their places: giving up must not pay.
    """
    left = _without(queue, entry)
    return left if left.entries else FairQueue(joined=queue.joined)


def turns(queue: FairQueue, blocked: set[str], now: float) -> Iterator[Entry]:
    """Entries in the order of service, without those too late and those that wait for an account found short.

    The caller adds accounts to `blocked` as it finds them short. Whoever waits for nothing of that is not held up;
    whoever does must not slip past one that came first, be it ever so small.
    """
    for entry in queue.entries:
        if now < entry.deadline_s and blocked.isdisjoint(entry.accounts):
            yield entry


def must_line_up(queue: FairQueue, accounts: frozenset[str]) -> bool:
    """Whether a newcomer would overtake somebody who waits for one of the same accounts."""
    return any(not accounts.isdisjoint(entry.accounts) for entry in queue.entries)


def retry_after_s(queue: FairQueue, accounts: frozenset[str], wait_s: float, tokens_per_s: float) -> float:
    """How long until one more would get through: the limit's own wait, then those in front at the pace of late.

    `wait_s` is the limit's wait for the first in line; `tokens_per_s` is how fast the queue was served, 0 where it was
    not yet.
    """
    ahead_tokens = sum(entry.tokens for entry in queue.entries if not accounts.isdisjoint(entry.accounts))
    return wait_s + ahead_tokens / tokens_per_s if tokens_per_s > 0.0 else wait_s


def _without(queue: FairQueue, entry: Entry) -> FairQueue:
    return queue._replace(entries=tuple(other for other in queue.entries if other.number != entry.number))
