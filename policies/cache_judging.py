"""What a judge's yes is worth: evidence beside the curve's, and no more than that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from policies.cache_accounts import cost_of
from policies.cache_curves import risk_of
from policies.cache_lessons import STEP

if TYPE_CHECKING:
    from policies.caching import Experience, Verdict

_YES_TO_WRONG: Final = 0.05
_YES_TO_RIGHT: Final = 0.9
YES_LOG_ODDS: Final = math.log(_YES_TO_WRONG / _YES_TO_RIGHT)
"""By how much a yes changes the log odds of a wrong hit. Published judges say yes to 1 to 2 % of traps and to 98 to
100 % of what means the same; ours may be a cheaper one, so it is given less.
"""


def after_yes(verdict: Verdict, experience: Experience, false_hits_max: float) -> Verdict:
    """The verdict on a doubtful candidate to which a judge has said yes: it is served where the budget bears it."""
    log_odds = verdict.log_odds + YES_LOG_ODDS
    risk = risk_of(log_odds + experience.lessons.shift * STEP)
    serves = risk <= max(verdict.bar, false_hits_max) and experience.can_spend(risk, false_hits_max)
    cost = cost_of(risk, false_hits_max)
    return verdict._replace(log_odds=log_odds, risk=risk, serves=serves, doubtful=False, cost=cost)
