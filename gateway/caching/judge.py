"""A cheap model's word on whether two questions want the same answer, where the curve is in doubt."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from adapters.cache_questions import judge_request, says_yes
from gateway.caching.errands import ErrandFailed
from gateway.signals.cache_telemetry import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.caching.errands import Errands
    from gateway.call import Call
    from policies.cache_rules import JudgeRules


class Judgement(StrEnum):
    """What came of a question to a judge; the value is counted. Only the first serves."""

    YES = "yes"
    NO = "no"
    LONG = "long"
    LATE = "late"
    CROWDED = "crowded"
    FAILED = "failed"


class Judge:
    """Process scope. `told` hears the route and what came of each question."""

    def __init__(self, errands: Errands, told: Callable[[str, str], object]) -> None:
        self._errands = errands
        self._told = told

    async def says_same(self, call: Call, question: str, stored: str, rules: JudgeRules) -> bool:
        """Whether `stored`'s answer will do for `question`; anything but a clear yes in time is no."""
        return await self.judgement(call, question, stored, rules) is Judgement.YES

    async def judgement(self, call: Call, question: str, stored: str, rules: JudgeRules) -> Judgement:
        found = await self._ask(call, question, stored, rules)
        self._told("" if call.route is None else call.route.name, found.value)
        return found

    async def _ask(self, call: Call, question: str, stored: str, rules: JudgeRules) -> Judgement:
        request = judge_request(rules.deployment, question, stored)
        if request is None:
            return Judgement.LONG
        try:
            errand = self._errands.to(Purpose.JUDGE, call, rules.deployment, request, rules.within_s)
            told = await self._errands.run(errand)
        except ErrandFailed as failed:
            return _WHY.get(str(failed), Judgement.FAILED)
        return Judgement.YES if says_yes(told.body) else Judgement.NO


_WHY = {"late": Judgement.LATE, "crowded": Judgement.CROWDED}
