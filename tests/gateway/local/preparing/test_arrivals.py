from __future__ import annotations

import threading
from itertools import count

from adapters.llama_cpp_job import Job, Place
from gateway.local.preparing.arrivals import Arrivals
from gateway.local.preparing.prepare import Handle

NUMBERS = count(1)


def handle(flow: str) -> Handle:
    return Handle(Job(next(NUMBERS), prompt="x", place=Place(flow)))


def test_a_burst_waits_behind_itself() -> None:
    arrivals = Arrivals[Handle]()
    burst, other = [handle("a") for _ in range(3)], [handle("b") for _ in range(2)]
    assert all(arrivals.put(one, 10) for one in (*burst, *other))
    assert [arrivals.get() for _ in range(5)] == [burst[0], other[0], burst[1], other[1], burst[2]]


def test_a_burst_keeps_only_its_own_flow_out() -> None:
    arrivals = Arrivals[Handle]()
    assert [arrivals.put(handle("a"), 4) for _ in range(5)] == [True] * 4 + [False]
    assert [arrivals.put(handle("b"), 4) for _ in range(3)] == [True, True, False]
    assert [arrivals.put(handle("c"), 4) for _ in range(2)] == [True, False]
    arrivals.get()
    assert not arrivals.put(handle("a"), 4)


def test_who_wants_one_waits_until_it_comes() -> None:
    arrivals, got = Arrivals[Handle](), threading.Event()
    found: list[Handle] = []

    def get() -> None:
        found.append(arrivals.get())
        got.set()

    threading.Thread(target=get, daemon=True).start()
    assert not got.is_set()
    one = handle("a")
    assert arrivals.put(one, 1)
    assert got.wait(5)
    assert found == [one]
