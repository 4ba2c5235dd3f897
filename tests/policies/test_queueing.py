from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.queueing import (
    Applicant,
    Entry,
    FairQueue,
    is_full,
    join,
    leave,
    must_line_up,
    retry_after_s,
    serve,
    turns,
)
from policies.route_rules import QueueRules

LATE = 1e9


def joined(queue: FairQueue, flow: str, tokens: int, *, weight: float = 1.0, accounts: str = "") -> FairQueue:
    return join(queue, Applicant(flow, weight, tokens, frozenset(accounts.split())), LATE)[0]


def served(queue: FairQueue) -> list[Entry]:
    order = []
    while queue.entries:
        entry = next(turns(queue, set(), 0.0))
        order.append(entry)
        queue = serve(queue, entry)
    return order


def flows(entries: list[Entry]) -> str:
    return "".join(entry.flow for entry in entries)


def test_one_flow_is_served_in_the_order_of_coming() -> None:
    queue = FairQueue()
    for tokens in (300, 10, 200):
        queue = joined(queue, "a", tokens)
    assert [entry.tokens for entry in served(queue)] == [300, 10, 200]


def test_a_burst_waits_behind_itself_and_not_in_front_of_others() -> None:
    queue = FairQueue()
    for _ in range(5):
        queue = joined(queue, "a", 100)
    for _ in range(2):
        queue = joined(queue, "b", 100)
    assert flows(served(queue)) == "ababaaa"


def test_twice_the_weight_gets_twice_the_tokens() -> None:
    queue = FairQueue()
    for _ in range(6):
        queue = joined(joined(queue, "a", 100, weight=2), "b", 100)
    assert flows(served(queue))[:9].count("a") == 6


def test_idle_flows_earn_no_credit() -> None:
    queue = FairQueue()
    for _ in range(4):
        queue = joined(queue, "a", 100)
    for _ in range(2):
        queue = serve(queue, queue.entries[0])
    for _ in range(3):
        queue = joined(queue, "b", 100)
    assert flows(served(queue)) == "ababb"


def test_whoever_waits_for_something_else_is_not_held_up() -> None:
    queue = joined(joined(joined(FairQueue(), "a", 1, accounts="x z"), "b", 1, accounts="x"), "c", 1, accounts="y")
    blocked: set[str] = set()
    asked = []
    for entry in turns(queue, blocked, 0.0):
        asked.append(entry.flow)
        if entry.flow == "a":
            blocked.add("x")
    assert asked == ["a", "c"]


def test_who_is_too_late_gets_no_turn() -> None:
    queue, early = join(FairQueue(), Applicant("a", 1.0, 1, frozenset()), deadline_s=10.0)
    queue, late = join(queue, Applicant("b", 1.0, 1, frozenset()), deadline_s=20.0)
    assert list(turns(queue, set(), 9.9)) == [early, late]
    assert list(turns(queue, set(), 10.0)) == [late]


def test_newcomers_line_up_only_behind_those_who_wait_for_the_same() -> None:
    queue = joined(FairQueue(), "a", 1, accounts="x y")
    assert must_line_up(queue, frozenset({"y", "z"}))
    assert not must_line_up(queue, frozenset({"z"}))
    assert not must_line_up(FairQueue(), frozenset({"x"}))


def test_size_is_bounded() -> None:
    rules = QueueRules(max_wait_s=10.0, max_size=2)
    queue = joined(FairQueue(), "a", 1)
    assert not is_full(queue, rules)
    assert is_full(joined(queue, "a", 1), rules)


def test_an_empty_queue_owes_nothing() -> None:
    queue = joined(FairQueue(), "a", 1_000_000)
    queue = leave(queue, queue.entries[0])
    assert flows(served(joined(joined(queue, "a", 100), "b", 200))) == "ab"


def test_giving_up_does_not_pay() -> None:
    queue = joined(joined(joined(FairQueue(), "a", 100), "a", 100), "b", 150)
    queue = leave(queue, queue.entries[0])
    assert flows(served(queue)) == "ba"


def test_retry_after_counts_those_in_front_for_the_same_accounts() -> None:
    queue = joined(joined(FairQueue(), "a", 300, accounts="x"), "b", 700, accounts="y")
    assert retry_after_s(queue, frozenset({"x"}), 2.0, 100.0) == pytest.approx(5.0)
    assert retry_after_s(queue, frozenset({"x", "y"}), 2.0, 100.0) == pytest.approx(12.0)
    assert retry_after_s(queue, frozenset({"x"}), 2.0, 0.0) == 2.0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 1000)), min_size=1, max_size=60),
    st.fixed_dictionaries({flow: st.sampled_from([0.5, 1.0, 2.0, 3.0]) for flow in "abc"}),
)
def test_while_two_flows_are_backlogged_their_shares_differ_by_a_request_each(
    requests: list[tuple[str, int]], weights: dict[str, float]
) -> None:
    queue = FairQueue()
    for flow, tokens in requests:
        queue = joined(queue, flow, tokens, weight=weights[flow])
    largest = {flow: max((t for f, t in requests if f == flow), default=0) for flow in "abc"}
    waiting = {flow: sum(f == flow for f, _ in requests) for flow in "abc"}
    got: defaultdict[str, float] = defaultdict(float)
    for entry in served(queue):
        got[entry.flow] += entry.tokens / weights[entry.flow]
        waiting[entry.flow] -= 1
        backlogged = [flow for flow in "abc" if waiting[flow]]
        for one in backlogged:
            for other in backlogged:
                apart = largest[one] / weights[one] + largest[other] / weights[other]
                assert abs(got[one] - got[other]) <= apart * (1 + 1e-9)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 500), st.sampled_from(["join", "serve", "leave"]))))
def test_nobody_is_lost_or_served_twice(steps: list[tuple[str, int, str]]) -> None:
    queue = FairQueue()
    inside: set[int] = set()
    for flow, tokens, step in steps:
        if step == "join":
            queue, entry = join(queue, Applicant(flow, 1.0, tokens, frozenset()), LATE)
            assert entry.number not in inside
            inside.add(entry.number)
        elif queue.entries:
            entry = queue.entries[tokens % len(queue.entries)]
            queue = serve(queue, entry) if step == "serve" else leave(queue, entry)
            inside.remove(entry.number)
        assert {entry.number for entry in queue.entries} == inside
        assert list(queue.entries) == sorted(queue.entries)
