from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.state.answers.in_process import InProcessAnswers
from tests.answer_store_suite import AnswerStoreSuite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.cache_eviction import Bounds


class Rig:
    has_vectors = True

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.now_s = 1_800_000_000.0
        self.store = InProcessAnswers(bounds, lambda: self.now_s)
        self.stores: Sequence[InProcessAnswers] = [self.store]

    async def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    async def arrived(self) -> None: ...


class TestInProcess(AnswerStoreSuite):
    @pytest.fixture
    def rig(self) -> Rig:
        return Rig()
