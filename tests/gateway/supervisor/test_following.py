from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import msgspec

from gateway.admin.event_routes import EventQuery
from gateway.supervisor.following import cursors_of, follow, path_of


def page(cursor: str, *times: str, missed: int = 0) -> bytes:
    return json.dumps({"events": [{"ts": ts} for ts in times], "cursor": cursor, "missed": missed}).encode()


class Workers:
    """What each worker answers; None never comes."""

    def __init__(self, **answers: bytes | None) -> None:
        self._answers = {slot.removeprefix("w"): answer for slot, answer in answers.items()}
        self.asked: dict[str, str] = {}
        self.left: list[str] = []

    async def __call__(self, slot: str, path: str, within_s: float) -> bytes | None:
        del within_s
        self.asked[slot] = path
        if self._answers[slot] is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.append(slot)
        return self._answers[slot]


async def test_events_of_all_stand_in_the_order_of_time() -> None:
    workers = Workers(w0=page("ab-3", "10:02", "10:04", missed=1), w1=page("cd-9", "10:01", "10:03", missed=2))
    told = await follow(["0", "1"], EventQuery(after="0:ab-1,1:cd-7"), workers)
    assert [msgspec.json.decode(event)["ts"] for event in told.events] == ["10:01", "10:02", "10:03", "10:04"]
    assert (told.cursor, told.missed) == ("0:ab-3,1:cd-9", 3)


async def test_who_has_nothing_is_not_waited_for_once_another_has_something() -> None:
    workers = Workers(w0=page("ab-3", "10:02"), w1=None)
    async with asyncio.timeout(5.0):
        told = await follow(["0", "1"], EventQuery(after="0:ab-1,1:cd-7", wait_s=20), workers)
    assert told.cursor == "0:ab-3,1:cd-7"  # what it has to tell, it tells next time
    assert workers.left == ["1"]


async def test_a_worker_that_is_new_is_followed_from_now_and_one_that_is_gone_is_left_out() -> None:
    workers = Workers(w0=page("ab-1"), w2=page("ef-0"))
    told = await follow(["0", "2"], EventQuery(after="0:ab-1,1:cd-7", wait_s=3), workers)
    assert told.cursor == "0:ab-1,2:ef-0"
    asked = {slot: parse_qs(urlsplit(path).query) for slot, path in workers.asked.items()}
    assert asked["0"]["after"] == ["ab-1"]
    assert "after" not in asked["2"]
    assert asked["2"]["wait_s"] == ["0"]


async def test_nonsense_from_a_worker_is_as_if_it_were_silent() -> None:
    workers = Workers(w0=b"<html>", w1=page("cd-9", "10:01"))
    told = await follow(["0", "1"], EventQuery(after="0:ab-1,1:cd-7"), workers)
    assert (len(told.events), told.cursor) == (1, "0:ab-1,1:cd-9")


async def test_without_workers_there_is_nothing_to_tell() -> None:
    assert await follow([], EventQuery(), Workers()) == ([], "", 0)


def test_cursors_that_are_none_are_left_out() -> None:
    assert cursors_of("0:ab-1,1:cd-2,x:3,4,,:9") == {"0": "ab-1", "1": "cd-2"}


def test_filters_are_passed_on() -> None:
    asked = parse_qs(urlsplit(path_of(EventQuery(route="a b&c", errors=True, min_cost=0.5, wait_s=9), "ab-1")).query)
    assert (asked["route"], asked["errors"], asked["min_cost"], asked["after"]) == (
        ["a b&c"],
        ["true"],
        ["0.5"],
        ["ab-1"],
    )
