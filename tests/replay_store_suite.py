"""What every store of outcomes must do, whatever keeps them: `ReplayStoreSuite` is collected by a test class for each.

A `ReplayRig` makes gateways over one state: one in process, two on Redis. `pass_time` lets what is kept grow older.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gateway.state.replays.store import Busy, Claimed, Kept, Outcome, Refusal, Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.replays.store import ReplayStore
    from policies.route_rules import ReplayRules

ROOM_BYTES = 64 * 1024


class ReplayRig(Protocol):
    """`rules` may be changed at any time."""

    stores: Sequence[ReplayStore]
    rules: ReplayRules

    async def pass_time(self, seconds: float) -> None: ...

    async def arrived(self) -> None:
        """Returns when every release so far has been carried out."""


def slot(name: str = "a", tenant: str = "acme", asked: bytes = b"q") -> Slot:
    return Slot(tenant, name, asked.ljust(32, b"."))


def whole(text: bytes = b"{}", request_id: str = "req_1") -> Outcome:
    return Outcome(request_id, "smart", (("openai-version", "2"),), body=text)


async def made(store: ReplayStore, one: Slot, outcome: Outcome) -> None:
    assert isinstance(await store.claim(one), Claimed)
    await store.keep(one, outcome)


class ReplayStoreSuite:
    async def test_the_first_claims_and_others_hear_that_it_is_busy(self, rig: ReplayRig) -> None:
        first, last = rig.stores[0], rig.stores[-1]
        assert isinstance(await first.claim(slot()), Claimed)
        assert await first.claim(slot()) == Busy(slot().fingerprint)
        assert await last.claim(slot(asked=b"other")) == Busy(slot().fingerprint)

    async def test_of_many_at_once_one_claims(self, rig: ReplayRig) -> None:
        found = await asyncio.gather(*(store.claim(slot()) for store in rig.stores for _ in range(20)))
        assert sum(isinstance(one, Claimed) for one in found) == 1

    async def test_what_is_kept_is_found_as_it_was(self, rig: ReplayRig) -> None:
        outcomes = (
            whole(b'{"a": 1}'),
            Outcome("req_2", "smart", events=b"data: {}\n\ndata: [DONE]\n\n"),
            Outcome("req_3", refusal=Refusal(400, "invalid_value", "no", "n")),
            Outcome("req_4"),
        )
        for number, outcome in enumerate(outcomes):
            await made(rig.stores[0], slot(f"k{number}"), outcome)
            assert await rig.stores[-1].claim(slot(f"k{number}")) == Kept(slot().fingerprint, outcome)

    async def test_tenants_and_names_are_apart(self, rig: ReplayRig) -> None:
        await made(rig.stores[0], slot(), whole())
        assert isinstance(await rig.stores[0].claim(slot(tenant="other}{")), Claimed)
        assert isinstance(await rig.stores[0].claim(slot("b")), Claimed)

    async def test_what_is_released_is_free(self, rig: ReplayRig) -> None:
        assert isinstance(await rig.stores[0].claim(slot()), Claimed)
        rig.stores[0].release(slot())
        await rig.arrived()
        assert isinstance(await rig.stores[-1].claim(slot()), Claimed)

    async def test_only_who_claims_keeps_and_releases(self, rig: ReplayRig) -> None:
        assert isinstance(await rig.stores[0].claim(slot()), Claimed)
        rig.stores[-1].release(slot("b"))
        await rig.stores[-1].keep(slot("b"), whole())
        await rig.arrived()
        assert isinstance(await rig.stores[0].claim(slot("b")), Claimed)

    async def test_what_is_kept_cannot_be_released(self, rig: ReplayRig) -> None:
        await made(rig.stores[0], slot(), whole())
        rig.stores[0].release(slot())
        await rig.arrived()
        assert isinstance(await rig.stores[0].claim(slot()), Kept)

    async def test_it_is_kept_for_its_time_and_no_longer(self, rig: ReplayRig) -> None:
        rig.rules = replace(rig.rules, ttl_s=0.3)
        await made(rig.stores[0], slot(), whole())
        assert isinstance(await rig.stores[0].claim(slot()), Kept)
        await rig.pass_time(0.35)
        assert isinstance(await rig.stores[0].claim(slot()), Claimed)
        await rig.stores[0].keep(slot(), whole(request_id="req_2"))
        assert await rig.stores[0].claim(slot()) == Kept(slot().fingerprint, whole(request_id="req_2"))

    async def test_where_there_is_no_room_the_oldest_lose_their_text_and_not_their_mark(self, rig: ReplayRig) -> None:
        for number in range(6):
            await made(rig.stores[0], slot(f"k{number}"), whole(b"x" * (ROOM_BYTES // 4), f"req_{number}"))
        found = [await rig.stores[-1].claim(slot(f"k{number}")) for number in range(6)]
        outcomes = [one.outcome for one in found if isinstance(one, Kept)]
        assert [outcome.is_spent for outcome in outcomes] == [True, True, True, False, False, False]
        assert [outcome.request_id for outcome in outcomes] == [f"req_{number}" for number in range(6)]

    async def test_marks_are_bounded_too(self, rig: ReplayRig) -> None:
        most = ROOM_BYTES // 1024
        for number in range(most + 5):
            await made(rig.stores[0], slot(f"k{number}"), Outcome(f"req_{number}"))
        free = [isinstance(await rig.stores[-1].claim(slot(f"k{number}")), Claimed) for number in range(most + 5)]
        assert free == [True] * 5 + [False] * most
