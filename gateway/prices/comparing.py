"""What became dearer or cheaper between two states of prices, rate by rate as tables write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.prices.lines import rate_words
from gateway.prices.table import day_s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from decimal import Decimal

    from gateway.prices.lines import Above, Line, Model, Words

GREAT_FACTOR: Final = 10
"""A rate that becomes so many times another was more likely mistyped than changed."""

ModelName = tuple[str, str]
"""Provider and model."""


class RateChange(NamedTuple):
    """One rate in USD; None where there is none. `word` as in `flex output above 200,000`."""

    word: str
    before: Decimal | None
    after: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        """By how much it changed; None where that cannot be said."""
        if not self.before or self.after is None:
            return None
        return (self.after - self.before) * 100 / self.before

    @property
    def is_great(self) -> bool:
        """Whether somebody should look at it twice; what is free now belongs to that."""
        if not self.before or self.after is None:
            return False
        return self.after > self.before * GREAT_FACTOR or self.after * GREAT_FACTOR < self.before


class Change(NamedTuple):
    """What changed of one model: its rates, or that it is `new` or `gone` as a whole."""

    provider: str
    model: str
    kind: str
    rates: tuple[RateChange, ...]


def in_force(models: Iterable[Model], at_s: float) -> dict[ModelName, Line]:
    """The lines that hold at a moment; of a model all of whose lines are to come, the first."""
    found: dict[ModelName, Line] = {}
    for model in models:
        past = [line for line in model.lines if line.begins is None or day_s(line.begins) <= at_s]
        found[model.provider, model.name] = (past or model.lines[:1])[-1]
    return found


def compared(
    old: Mapping[ModelName, Line], new: Mapping[ModelName, Line], only: Collection[ModelName] | None = None
) -> list[Change]:
    """What changed, by provider and model; `only`: of these."""
    names = sorted(old.keys() | new.keys() if only is None else (old.keys() | new.keys()) & set(only))
    return [change for name in names if (change := _compared(name, old.get(name), new.get(name))) is not None]


def _compared(name: ModelName, old: Line | None, new: Line | None) -> Change | None:
    before, after = ({} if line is None else flat(line) for line in (old, new))
    words = [*before, *(word for word in after if word not in before)]
    rates = tuple(RateChange(word, before.get(word), after.get(word)) for word in words)
    changed = tuple(rate for rate in rates if rate.before != rate.after)
    if old is None or new is None:
        return Change(*name, "new" if old is None else "gone", changed)
    return Change(*name, kind_of(changed), changed) if changed else None


def kind_of(rates: Iterable[RateChange]) -> str:
    """`dearer` or `cheaper` where all that changed went one way, else `changed`."""
    ways = {_way(rate) for rate in rates}
    return ways.pop() if len(ways) == 1 else "changed"


def _way(rate: RateChange) -> str:
    if rate.before is None or rate.after is None:
        return "changed"
    return "dearer" if rate.after > rate.before else "cheaper"


def flat(line: Line) -> dict[str, Decimal]:
    """All rates of a line, each under a name that says when it holds."""
    found = dict(_flat("", line, line.above))
    for name, service in sorted(line.services.items()):
        found |= _flat(f"{name} ", service, service.above or ())
    return found


def _flat(prefix: str, words: Words, above: Iterable[Above]) -> dict[str, Decimal]:
    found = {f"{prefix}{word}": rate for word, rate in rate_words(words).items()}
    for tier in above:
        found |= {f"{prefix}{word} above {tier.tokens:,}": rate for word, rate in rate_words(tier).items()}
    return found
