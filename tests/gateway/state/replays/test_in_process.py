from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.state.replays.in_process import InProcessReplays
from gateway.state.replays.store import Outcome, Refusal
from policies.route_rules import ReplayRules
from tests.replay_store_suite import ROOM_BYTES, ReplayStoreSuite, made, slot, whole

if TYPE_CHECKING:
    from collections.abc import Sequence


class Rig:
    def __init__(self) -> None:
        self.rules = ReplayRules(bytes_max=ROOM_BYTES)
        self.now_s = 100.0
        self.store = InProcessReplays(lambda: self.rules, lambda: self.now_s)
        self.stores: Sequence[InProcessReplays] = [self.store]

    async def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    async def arrived(self) -> None: ...


class TestInProcess(ReplayStoreSuite):
    @pytest.fixture
    def rig(self) -> Rig:
        return Rig()


async def test_what_is_over_leaves_nothing_behind() -> None:
    rig = Rig()
    rig.rules = replace(rig.rules, ttl_s=5.0)
    for number in range(3):
        await made(rig.store, slot(f"k{number}"), whole())
    await rig.pass_time(6.0)
    await made(rig.store, slot("new"), whole(b"four"))
    assert (len(rig.store), rig.store.kept_bytes) == (1, whole(b"four").size_bytes)


async def test_a_smaller_room_counts_from_the_next_outcome_on() -> None:
    rig = Rig()
    for number in range(4):
        await made(rig.store, slot(f"k{number}"), whole(b"x" * 10_000))
    rig.rules = replace(rig.rules, bytes_max=20_000)
    await made(rig.store, slot("new"), whole(b"x" * 5_000))
    assert rig.store.kept_bytes <= 20_000


async def test_the_words_of_a_refusal_take_room_like_those_of_an_answer() -> None:
    rig = Rig()
    refused = Outcome("req_1", refusal=Refusal(400, "invalid_request", "no" * 1_000))
    for number in range(200):
        await made(rig.store, slot(f"k{number}"), refused)
    kept = sum(entry.kept.outcome.refusal is not None for entry in rig.store._kept.values())
    assert kept * 2_000 <= ROOM_BYTES
    assert rig.store.kept_bytes <= ROOM_BYTES
