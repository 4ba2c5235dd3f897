"""The shape of limits, of all (`limits:` at the top) and of one owner, and what they are in the policies' vocabulary.

An entry may limit several resources; each is a limit of its own. A limit's id leaves its amount out, so that usage
outlives an edit of the amount: it is made of the entry's name, or else of the scope, and of what is counted over which
window and when.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.config import amounts
from gateway.config.fields import Shape
from policies.vocabulary import Limit, LimitScope, Period, Predicate, Resource

OWN: Final = "own"
WHEN_CHARS_MAX: Final = 2000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
RESERVED: Final = frozenset({OWN, *LimitScope})


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 40 letters, digits, _ and - and begin with a letter or digit")
    if text in RESERVED:
        raise ValueError("is a word that the ids of unnamed limits begin with; choose another")
    return text


def one_or_more_limits(value: object) -> object:
    """A single entry may stand without its list."""
    return [value] if isinstance(value, dict | OwnLimits) else value


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)})


Count = Annotated[
    amounts.Quota, BeforeValidator(amounts.count_quota), _text(amounts.COUNT, "60/min", "100k/min", "1.5M/day")
]
Money = Annotated[amounts.Quota, BeforeValidator(amounts.money_quota), _text(amounts.MONEY, "20 USD/month", "$5/day")]
AtOnce = Annotated[
    amounts.Quota, BeforeValidator(amounts.concurrent_quota), WithJsonSchema({"type": "integer", "minimum": 1})
]


class OwnLimits(Shape):
    """The most that one owner may use."""

    name: Annotated[str, AfterValidator(_name)] | None = Field(
        default=None, description="What usage is kept under; without one it is what the entry limits."
    )
    when: str | None = Field(
        default=None, max_length=WHEN_CHARS_MAX, description="CEL over request and principal; counts only such calls."
    )
    requests: Count | None = Field(default=None, description="Calls, such as 60/min.")
    tokens: Count | None = Field(default=None, description="Input and output tokens together, such as 100k/min.")
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    concurrent: AtOnce | None = Field(default=None, description="Calls at once.")
    cost: Money | None = Field(default=None, description="A budget, such as 20 USD/month.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(True for _ in quotas(self)):
            raise ValueError(f"limits nothing: give one or more of {', '.join(Resource)}")
        return self


class LimitSettings(OwnLimits):
    """The most that each holder of a scope may use."""

    per: LimitScope = Field(description="Whose use is counted, each apart.")


OneOrMoreLimits = Annotated[
    tuple[OwnLimits, ...],
    BeforeValidator(one_or_more_limits, json_schema_input_type=OwnLimits | tuple[OwnLimits, ...]),
]


def quotas(entry: OwnLimits) -> Iterator[tuple[Resource, amounts.Quota]]:
    """What an entry limits."""
    for resource in Resource:
        quota = getattr(entry, resource)
        if quota is not None:
            yield resource, quota


class Identity(NamedTuple):
    """What an entry's limits are known by. `scope` is `own.key` and the like for an owner's own limits."""

    scope: str
    name: str | None
    when: str | None

    def limit_id(self, resource: Resource, window: float | Period | None) -> str:
        if self.name is not None:
            stem = f"{self.scope}.{self.name}" if self.scope.startswith(OWN) else self.name
            # A calendar window's usage means nothing to a rate. Among rates it does, and the name says that it shall.
            return f"{stem}.{resource}.{window}" if isinstance(window, Period) else f"{stem}.{resource}"
        counted = f"{self.scope}.{resource}"
        if window is not None:
            counted += f".{amounts.window_name(window)}"
        return counted if self.when is None else f"{counted}.{hashlib.sha256(self.when.encode()).hexdigest()[:8]}"


Compiled = Callable[[str], Predicate]
"""Turns a `when` that was checked into a predicate."""


def limits_for_all(entries: Iterable[LimitSettings], compiled: Compiled) -> Iterator[Limit]:
    """The limits of the list at the top, which bind every holder of their scope."""
    for entry in entries:
        identity = Identity(entry.per, entry.name, entry.when)
        applies = None if entry.when is None else compiled(entry.when)
        for resource, (amount, window) in quotas(entry):
            yield Limit(identity.limit_id(resource, window), entry.per, resource, amount, window, applies)


def limits_of_owner(
    entries: Iterable[OwnLimits], scope: LimitScope, holder: str, compiled: Compiled
) -> Iterator[Limit]:
    """The limits of one owner, which bind nobody else."""
    for entry in entries:
        identity = Identity(f"{OWN}.{scope}", entry.name, entry.when)
        applies = None if entry.when is None else compiled(entry.when)
        for resource, (amount, window) in quotas(entry):
            told = identity.limit_id(resource, window)
            yield Limit(told, scope, resource, amount, window, applies, holder)
