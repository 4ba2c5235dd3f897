"""Policy tests: given a request, its caller and what is down, expect who is asked.

A case is held against the rehearsed decision; every difference is told, not only the first.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from gateway.config.owners import moment
from gateway.explaining.decisions import Decision, decision_of
from gateway.explaining.rehearsal import NoSuchDeployment, NoSuchKey, Question, Rehearsal, body_of
from policies.vocabulary import Endpoint

Share = Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3})?%$")]
SHARE_SLACK: Final = 2.0
"""Percentage points: shares of a hundred calls are whole numbers, and callers are not spread evenly."""


class Given(Struct, forbid_unknown_fields=True):
    """One request. `calls`: how often it is made; `callers`: by so many, whose numbers go into the request's `user`."""

    request: dict[str, Any]
    endpoint: Endpoint = Endpoint.CHAT
    key: str | None = None
    headers: dict[str, str] = {}
    at: Any = None
    down: list[str] = []
    calls: Annotated[int, Meta(ge=1, le=10_000)] = 1
    callers: Annotated[int, Meta(ge=0, le=10_000)] = 0


class Expect(Struct, forbid_unknown_fields=True):
    """What must hold; what is left out may be anything. `refused`: deployments and why they are no candidates."""

    route: str | UnsetType = UNSET
    first: str | list[str] | UnsetType = UNSET
    order: list[str] | UnsetType = UNSET
    never: list[str] | UnsetType = UNSET
    refused: dict[str, str] | UnsetType = UNSET
    share: dict[str, Share] | UnsetType = UNSET
    status: int | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Case(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    given: Given
    expect: Expect


class Cases(Struct, forbid_unknown_fields=True):
    """A file of cases. `config`: the policy, from the folder of this file; the command line's goes before it."""

    cases: Annotated[list[Case], Meta(min_length=1)]
    version: int = 1
    config: str | None = None


_SHAPES: Final[dict[str, type[Struct]]] = {"given`": Given, "expect`": Expect}


class Result(Struct, forbid_unknown_fields=True):
    """`wrong`: every expectation that did not hold, with what was there instead."""

    name: str
    wrong: list[str] = field(default_factory=list)


def cases_of(values: object) -> Cases:
    """Raises `ValueError`, naming the place, for what is no file of cases."""
    try:
        cases = msgspec.convert(values, Cases)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}{_words_there(str(error))}") from None
    if cases.version != 1:
        raise ValueError(f"version {cases.version} is not known - at `$.version`")
    for number, case in enumerate(cases.cases):
        if all(wish is UNSET for wish in msgspec.structs.astuple(case.expect)):
            raise ValueError(f"expects nothing - at `$.cases[{number}].expect`")
        _when(case.given, number)
    return cases


def _words_there(problem: str) -> str:
    """Which words are known where one that is not was found."""
    if "unknown field" not in problem:
        return ""
    _, inside, place = problem.rpartition(" - at ")
    shape = _SHAPES.get(place.rpartition(".")[2], Case) if inside else Cases
    return f"; known there: {', '.join(shape.__struct_fields__)}"


async def run_case(case: Case, rehearsal: Rehearsal) -> Result:
    """Raises nothing for a case that fails."""
    try:
        rehearsal.check_deployments(_named(case.expect))
        decisions = [decision_of((await rehearsal.ask(question)).call) for question in _questions(case.given)]
    except (NoSuchKey, NoSuchDeployment) as error:
        return Result(case.name, [str(error)])
    return Result(case.name, list(_differences(case.expect, decisions)))


def _named(expect: Expect) -> Iterator[str]:
    """The deployments of an expectation: with a slip in its name, one that is never to be asked never would be."""
    for names in (expect.first, expect.order, expect.never, expect.refused, expect.share):
        if isinstance(names, str):
            yield names
        elif not isinstance(names, UnsetType):
            yield from names


def _questions(given: Given) -> Iterator[Question]:
    at_s = _when(given, 0)
    headers = tuple(given.headers.items())
    for number in range(given.calls):
        request = given.request
        if given.callers:
            request = request | {"user": f"{request.get('user', 'caller')}-{number % given.callers}"}
        yield Question(body_of(request), given.endpoint, given.key, headers, at_s, frozenset(given.down))


def _when(given: Given, number: int) -> float | None:
    if given.at is None:
        return None
    try:
        # YAML makes dates and times of what looks like them.
        at = given.at.isoformat() if isinstance(given.at, date) else given.at
        return moment(at).timestamp()
    except ValueError as error:
        raise ValueError(f"{error} - at `$.cases[{number}].given.at`") from None


def _differences(expect: Expect, decisions: list[Decision]) -> Iterator[str]:
    last = decisions[-1]
    order = [c.deployment for c in last.candidates if c.place is not None and c.part in ("target", "fallback")]
    order = list(dict.fromkeys(order))
    for name, wished, found in (
        ("route", expect.route, last.route),
        ("order", expect.order, order),
        ("status", expect.status, last.status),
        ("error", expect.error, last.error),
    ):
        if wished is not UNSET and wished != found:
            yield f"{name}: expected {_text(wished)}, found {_text(found)}"
    firsts = Counter(_first(decision) for decision in decisions)
    yield from _wrong_firsts(expect, firsts)
    if expect.never is not UNSET:
        asked = {c.deployment for decision in decisions for c in decision.candidates if c.place is not None}
        for name in sorted(asked.intersection(expect.never)):
            yield f"never: {name} may be asked"
    yield from _wrong_refusals(expect, last)


def _wrong_firsts(expect: Expect, firsts: Counter[str]) -> Iterator[str]:
    if expect.first is not UNSET:
        wished = [expect.first] if isinstance(expect.first, str) else expect.first
        for name in firsts:
            if name not in wished:
                yield f"first: expected {' or '.join(wished)}, found {name}"
    total = sum(firsts.values())
    for name, share in ({} if expect.share is UNSET else expect.share).items():
        found = 100 * firsts[name] / total
        if abs(found - float(share[:-1])) > SHARE_SLACK:
            yield f"share: expected {share} for {name}, found {found:g}% of {total}"


def _wrong_refusals(expect: Expect, last: Decision) -> Iterator[str]:
    reasons = {candidate.deployment: candidate.refused for candidate in last.candidates if candidate.refused}
    for name, reason in ({} if expect.refused is UNSET else expect.refused).items():
        found = reasons.get(name)
        if found is None:
            yield f"refused: {name} is not refused"
        elif found != reason:
            yield f"refused: expected {name} for its {reason}, found {found}"


def _first(decision: Decision) -> str:
    placed = (c for c in decision.candidates if c.place == 1 and c.part in ("target", "fallback"))
    return next((candidate.deployment for candidate in placed), f"nobody ({decision.error})")


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nobody"
    return "none" if value is None else str(value)
