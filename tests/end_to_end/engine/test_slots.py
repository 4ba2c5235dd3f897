"""Slots of an engine: busy ones are seen, callers beyond them wait, callers beyond the line are turned away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.conftest import eventually
from tests.end_to_end.engine.house import COMPLETIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.engine.house import House

SLOTS, PLACES = 2, 2
LONG: Any = {"model": "crowded", "prompt": "Go on", "temperature": 0, "max_tokens": 1000}


@contextmanager
def busy(house: House, callers: int) -> Iterator[list[int]]:
    """So many callers who want long answers. They leave at the end; the list then holds how they were answered."""
    leaving, statuses = threading.Event(), []

    def call() -> None:
        while not leaving.is_set():
            with house.http.stream("POST", COMPLETIONS, json=LONG | {"stream": True}) as answer:
                statuses.append(answer.status_code)
                for _ in answer.iter_bytes():
                    if leaving.is_set():
                        return

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        leaving.set()
        for thread in threads:
            thread.join(10)
        house.until_idle("crowded")


def test_operators_see_who_is_at_work(house: House) -> None:
    house.complete("crowded", "x", max_tokens=1)
    house.until_idle("crowded")
    idle = house.live("crowded")
    assert (idle["state"], idle["slots"], idle["context_tokens"]) == ("ready", SLOTS, 1024)
    assert (idle["running"], idle["waiting"], idle["in_engine"]) == (0, 0, 0)
    with busy(house, SLOTS):
        assert eventually(lambda: house.live("crowded")["running"] == SLOTS, 5)
        assert house.live("crowded")["known_cells"] > 0
    assert (house.live("crowded")["running"], house.live("crowded")["in_engine"]) == (0, 0)


def test_callers_beyond_the_slots_wait_and_are_served(house: House) -> None:
    wanted = [40 + number for number in range(SLOTS + PLACES)]
    with ThreadPoolExecutor(len(wanted)) as crowd:
        told = list(crowd.map(lambda count: house.complete("crowded", "all of us", max_tokens=count), wanted))
    assert [answer["usage"]["completion_tokens"] for answer in told] == wanted
    house.until_idle("crowded")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_callers_beyond_the_line_are_told_when_to_come_back(house: House, stream: bool) -> None:  # noqa: FBT001
    with busy(house, SLOTS + PLACES):
        assert eventually(lambda: house.live("crowded")["in_engine"] == SLOTS + PLACES, 5)
        refusals = []
        for _ in range(50):  # between two answers a place may be free for a moment
            answer = house.post(COMPLETIONS, LONG | {"max_tokens": 1, "stream": stream})
            refusals += [answer] if answer.status_code != 200 else []
        assert refusals
        for refused in refusals:
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (503, "engine_busy")
            assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert house.complete("crowded", "again", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_a_request_of_more_choices_than_slots_is_served(house: House) -> None:
    answer = house.complete("crowded", "many", n=SLOTS + 3, max_tokens=8, temperature=1, seed=1)
    assert len({choice["text"] for choice in answer["choices"]}) == SLOTS + 3


def test_others_are_not_kept_waiting_by_a_crowd_elsewhere(house: House) -> None:
    with busy(house, SLOTS + PLACES):
        assert house.complete("thrifty", "alone", max_tokens=4)["usage"]["completion_tokens"] == 4


def test_a_slot_knows_nothing_of_its_last_caller(house: House) -> None:
    """One slot, two callers in turn: each is answered as on an engine of its own."""
    asks = [("one caller's secret " * 4, 12), ("quite another text", 12)]
    first = [house.complete("narrow", prompt, max_tokens=count)["choices"][0]["text"] for prompt, count in asks]
    again = [house.complete("narrow", prompt, max_tokens=count)["choices"][0]["text"] for prompt, count in asks[::-1]]
    assert first == again[::-1]
