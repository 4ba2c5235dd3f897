"""How many shadow checks a route may still make: a share of hits by chance, so many an hour, so much money a day.

Hours and days are those of UTC. Money is set aside before a check by what the stored answer cost, and corrected after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from policies.cache_rules import ShadowRules

_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a route has used: `checks` in the hour of that number, nano-USD in the day of that number."""

    hour: int = 0
    checks: int = 0
    day: int = 0
    spent_nanousd: int = 0

    def taken(self, rules: ShadowRules, now_s: float, cost_nanousd: int | None) -> Allowance | None:
        """One more check, of about this cost; None where it may not be made. Where money is bounded, a check whose cost
        nobody knows may not.
        """
        now = self.at(now_s)
        if now.checks >= rules.hourly_max:
            return None
        most = rules.cost_max_nanousd
        if most is not None and (cost_nanousd is None or now.spent_nanousd + cost_nanousd > most):
            return None
        return replace(now, checks=now.checks + 1, spent_nanousd=now.spent_nanousd + (cost_nanousd or 0))

    def corrected(self, now_s: float, guessed_nanousd: int, cost_nanousd: int) -> Allowance:
        """The check has cost this, in place of what was set aside for it."""
        now = self.at(now_s)
        return replace(now, spent_nanousd=max(0, now.spent_nanousd - guessed_nanousd) + cost_nanousd)

    def at(self, now_s: float) -> Allowance:
        """As it stands now: a new hour and a new day begin with nothing used."""
        hour, day = int(now_s // _HOUR_S), int(now_s // _DAY_S)
        checks = self.checks if hour == self.hour else 0
        spent_nanousd = self.spent_nanousd if day == self.day else 0
        return Allowance(hour, checks, day, spent_nanousd)
