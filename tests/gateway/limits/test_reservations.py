from __future__ import annotations

import pytest

from gateway.errors import LimitError
from gateway.limits.reservations import Reservations
from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.store import StoreUnavailable
from policies.limits import Ask, Granted, Kind, Unknown
from tests.gateway.limited_calls import NOW_S, Spent

ASK = Ask("a:b", Kind.CALENDAR, 5, 100, 0.0, (NOW_S - 10.0, NOW_S + 10.0, NOW_S + 20.0))


class Away(InProcessLimitStore):
    async def reserve(self, *_: object) -> Granted:
        raise StoreUnavailable


class Forgetful(InProcessLimitStore):
    asked = 0

    async def reserve(self, *_: object) -> Unknown:
        self.asked += 1
        return Unknown((0,))


class Lost(Spent):
    async def spent(self, account: str, window_start_s: float) -> int:
        raise OSError(account, window_start_s)


def clock() -> float:
    return NOW_S


async def test_what_the_store_does_not_know_is_looked_up_once() -> None:
    ledger = Spent(before=95)
    reservations = Reservations(InProcessLimitStore(clock), ledger, clock)
    answer = await reservations.reserve("t", "r", [ASK])
    assert isinstance(answer, Granted)
    assert answer.accounts[0][:3] == (95.0, NOW_S - 10.0, 5)
    assert ledger.asked == [("t|a:b", NOW_S - 10.0)]
    await reservations.reserve("t", "s", [ASK])
    assert len(ledger.asked) == 1


@pytest.mark.parametrize(
    ("reservations", "code"),
    [
        (Reservations(Away(clock), Spent(), clock), "limits_unavailable"),
        (Reservations(Forgetful(clock), Spent(), clock), "limits_unavailable"),
        (Reservations(InProcessLimitStore(clock), Lost(), clock), "ledger_unavailable"),
    ],
)
async def test_what_cannot_be_asked_refuses(reservations: Reservations, code: str) -> None:
    with pytest.raises(LimitError) as caught:
        await reservations.reserve("t", "r", [ASK])
    assert (caught.value.status, caught.value.code) == (503, code)
