from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import pytest

from gateway.state.limit_store_in_process import InProcessLimitStore
from tests.limit_machine import LimitMachine
from tests.limit_store_suite import START_S, LimitStoreSuite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.limit_store import LimitStore


class InProcessRig:
    def __init__(self) -> None:
        self.now = START_S
        self.store = InProcessLimitStore(lambda: self.now)
        self.stores: Sequence[LimitStore] = (self.store,)

    def move(self, seconds: float) -> None:
        self.now += seconds

    async def renew(self, store: LimitStore) -> None:
        cast("InProcessLimitStore", store).renew()

    async def arrived(self) -> None:
        """Settlements arrive before they return."""

    async def flush(self) -> None:
        await self.rewind(({}, [], []))

    async def save(self) -> object:
        return copy.deepcopy((self.store._tenants, self.store._to_sweep, self.store._to_forget))

    async def rewind(self, saved: object) -> None:
        tenants, to_sweep, to_forget = copy.deepcopy(
            cast("tuple[dict[str, object], list[object], list[object]]", saved)
        )
        for whole, part in ((self.store._to_sweep, to_sweep), (self.store._to_forget, to_forget)):
            whole.clear()
            whole.extend(part)  # type: ignore[arg-type]
        self.store._tenants = tenants  # type: ignore[assignment]


class TestInProcessLimitStore(LimitStoreSuite):
    @pytest.fixture
    def rig(self) -> InProcessRig:
        return InProcessRig()


class InProcessMachine(LimitMachine):
    renews_what_it_finds = True

    async def open_rig(self) -> InProcessRig:
        return InProcessRig()


TestInProcessHistories = InProcessMachine.TestCase
