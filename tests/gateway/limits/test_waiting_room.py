from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.limits.waiting_room import QueueRefusal, WaitingRoom
from policies.limits import Account, Answer, Denied, Granted
from policies.queueing import Applicant
from policies.route_rules import QueueRules

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = QueueRules(max_wait_s=5.0, max_size=3)
SHORT_RULES = QueueRules(max_wait_s=0.05, max_size=3)


class Slots:
    """A limit on what is held at once, and in which order it was given out."""

    def __init__(self, free: int = 0, wait_s: float | None = None) -> None:
        self.free = free
        self.wait_s = wait_s
        self.order: list[str] = []
        self.given_back: list[str] = []
        self.asked = 0

    def claim(self, name: str, account: str = "x", before_answer: Callable[[], None] | None = None) -> SlotClaim:
        return SlotClaim(self, name, account, before_answer)


class SlotClaim:
    def __init__(self, slots: Slots, name: str, account: str, before_answer: Callable[[], None] | None) -> None:
        self._slots = slots
        self._name = name
        self._account = account
        self._before_answer = before_answer

    async def reserve(self) -> Answer:
        self._slots.asked += 1
        await asyncio.sleep(0)
        if self._before_answer is not None:
            self._before_answer()
        if not self._slots.free:
            return Denied((0,), (Account(),), self._slots.wait_s)
        self._slots.free -= 1
        self._slots.order.append(self._name)
        return Granted((), ())

    def give_back(self, granted: Granted) -> None:
        assert granted == Granted((), ())
        self._slots.free += 1
        self._slots.given_back.append(self._name)

    def short(self, denied: Denied) -> frozenset[str]:
        assert denied.short == (0,)
        return frozenset({self._account})


def room() -> WaitingRoom:
    return WaitingRoom(asyncio.get_running_loop().time)


def waiting(
    here: WaitingRoom, claim: SlotClaim, flow: str, *, account: str = "x", wait_s: float | None = None
) -> asyncio.Task[Granted]:
    applicant = Applicant(flow, 1.0, 100, frozenset({account}))
    return asyncio.create_task(here.wait("r", RULES, applicant, claim, wait_s))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_calls_go_on_in_fair_order_as_others_end() -> None:
    here, slots = room(), Slots()
    tasks = [waiting(here, slots.claim(flow), flow) for flow in "aab"]
    await settled()
    assert here.depths() == {"r": 3}
    for done in range(1, 4):
        slots.free += 1
        here.freed("default")
        await settled()
        assert len(slots.order) == done
    assert slots.order == ["a", "b", "a"]
    assert all(task.done() for task in tasks)
    assert here.depths() == {}


async def test_a_limit_that_refills_moves_the_line_by_itself() -> None:
    here, slots = room(), Slots(wait_s=0.02)
    task = waiting(here, slots.claim("a"), "a", wait_s=0.02)
    await settled()
    slots.free = 1
    await asyncio.wait_for(task, 2.0)
    assert slots.order == ["a"]
    assert slots.asked <= 3


async def test_a_full_line_says_so_with_an_honest_wait() -> None:
    here, slots = room(), Slots()
    tasks = [waiting(here, slots.claim("a"), "a") for _ in range(RULES.max_size)]
    await settled()
    with pytest.raises(QueueRefusal) as refused:
        await here.wait("r", RULES, Applicant("b", 1.0, 1, frozenset({"x"})), slots.claim("b"), 3.5)
    assert refused.value.full
    assert refused.value.retry_after_s == 3.5
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert here.depths() == {}


async def test_a_wait_that_cannot_be_met_is_refused_at_once() -> None:
    with pytest.raises(QueueRefusal) as refused:
        await room().wait("r", RULES, Applicant("a", 1.0, 1, frozenset({"x"})), Slots().claim("a"), 60.0)
    assert not refused.value.full
    assert refused.value.retry_after_s == 60.0


async def test_waiting_ends_at_the_deadline() -> None:
    here = room()
    with pytest.raises(QueueRefusal) as refused:
        await here.wait("r", SHORT_RULES, Applicant("a", 1.0, 1, frozenset({"x"})), Slots().claim("a"), None)
    assert not refused.value.full
    assert here.depths() == {}


async def test_who_leaves_gives_up_the_place_and_the_next_may_try() -> None:
    here, slots = room(), Slots()
    first, second = (waiting(here, slots.claim(flow), flow) for flow in "ab")
    await settled()
    first.cancel()
    slots.free = 1
    await settled()
    assert second.done()
    assert slots.order == ["b"]
    assert slots.given_back == []


async def test_a_grant_that_comes_too_late_is_given_back() -> None:
    here, slots = room(), Slots(free=1)
    leaving: list[asyncio.Task[Granted]] = []

    def leave() -> None:
        leaving[0].cancel()

    leaving.append(waiting(here, slots.claim("a", before_answer=leave), "a"))
    await settled()
    here.freed("default")
    await settled()
    assert leaving[0].cancelled()
    assert slots.free == 1
    assert slots.given_back == ["a"]


async def test_one_account_that_is_short_does_not_hold_up_another() -> None:
    here, empty, open_ = room(), Slots(), Slots(free=1)
    stuck = waiting(here, empty.claim("a", "x"), "a", account="x")
    free = waiting(here, open_.claim("b", "y"), "b", account="y")
    await settled()
    here.freed("default")
    await settled()
    assert free.done()
    assert not stuck.done()
    assert here.must_line_up("r", frozenset({"x"}))
    assert not here.must_line_up("r", frozenset({"y"}))
    assert not here.must_line_up("other", frozenset({"x"}))
    stuck.cancel()
    await settled()


async def test_one_waiter_s_trouble_is_its_own() -> None:
    here, slots = room(), Slots()

    def fail() -> None:
        raise OSError("the store is gone")

    failing = waiting(here, slots.claim("a", before_answer=fail), "a")
    other = waiting(here, slots.claim("b"), "b")
    await settled()
    slots.free = 1
    here.freed("default")
    await settled()
    with pytest.raises(OSError, match="store is gone"):
        await failing
    assert other.done()


async def test_nobody_asks_while_nothing_changes() -> None:
    here, slots = room(), Slots()
    task = waiting(here, slots.claim("a"), "a")
    await asyncio.sleep(0.1)
    assert slots.asked == 0
    task.cancel()
    await settled()
