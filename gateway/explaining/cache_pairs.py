"""Why one request would be served with the answer to another, or why not: the cache's own steps over two requests.

Both are rehearsed, so routes, owners and requirements are as a gateway would find them. What only a running gateway
knows, a route's experience, is as it is at a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from adapters.cache_view import dropped_of
from gateway.caching.asked import asked_of
from gateway.caching.views import Views
from gateway.errors import GatewayError
from policies.cache_curves import curve_of
from policies.cache_rules import Bypass
from policies.caching import Candidate, Experience, decide
from policies.questions.signs import compare
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.caching.asked import Asked
    from gateway.explaining.rehearsal import Question, Rehearsal
    from policies.cache_rules import SemanticRules
    from policies.questions.signs import Signs

LAST: Final = ("messages", "input")
"""Members whose last part is the question."""


class PairTold(Struct, omit_defaults=True):
    """Of the request that asks, and the one whose answer is kept. `served` is the level, None for no; `why` says why
    not. `differs`: the members that keep the two apart. `risk` counts from 0 to 1, `bar` is the highest that is served.
    """

    served: str | None = None
    why: str = ""
    route: str = ""
    stored_route: str = ""
    owner: str = ""
    stored_owner: str = ""
    same_scope: bool | None = None
    differs: list[str] = []
    same_request: bool | None = None
    same_plain_form: bool | None = None
    similarity: float | None = None
    signs: dict[str, float] = {}
    veto: str | None = None
    risk: float | None = None
    bar: float | None = None
    budget: float | None = None
    judged: str | None = None


class Likeness(NamedTuple):
    """How alike two questions are to an embedder; `similarity` is None where that cannot be said, and `why` not."""

    embedder: str
    similarity: float | None
    why: str = "one of the questions does not fit the embedder's window"


class Side(NamedTuple):
    """One request as far as it got."""

    asked: Asked
    route: str
    body: Mapping[str, Any]


async def explain_pair(
    rehearsal: Rehearsal, asking: Question, stored: Question, likeness: Callable[[str, str], Awaitable[Likeness]] | None
) -> PairTold:
    """`likeness` is None where nothing can compare questions here. Raises as `Rehearsal.ask` does."""
    one, other = await _side(rehearsal, asking), await _side(rehearsal, stored)
    if isinstance(one, str):
        return PairTold(why=f"the request that asks {one}")
    if isinstance(other, str):
        return PairTold(why=f"the stored request {other}")
    told = PairTold(route=one.route, stored_route=other.route, owner=one.asked.owner, stored_owner=other.asked.owner)
    told.differs = differing(one, other)
    told.same_scope = one.asked.view.scope == other.asked.view.scope
    told.same_request = one.asked.exact == other.asked.exact
    told.same_plain_form = bool(one.asked.near) and one.asked.near == other.asked.near
    if told.same_request or told.same_plain_form:
        told.served = "exact" if told.same_request else "near"
    elif (why := _apart(told, one, other)) is not None:
        told.why = why
    else:
        await _weigh(told, one.asked, other.asked, likeness)
    return told


async def _side(rehearsal: Rehearsal, question: Question) -> Side | str:
    """Or why the cache has nothing to do with it."""
    call, error, _ = await rehearsal.ask(question)
    if error is not None:
        return f"would be refused: {error.message}"
    route = call.route
    if route is None or route.cache is None:
        return "goes to a route without a cache"
    try:
        asked = asked_of(call, route, route.cache, Views())
    except GatewayError as refused:
        return f"would be refused: {refused.message}"
    if isinstance(asked, Bypass):
        return f"is left alone: {asked.value}"
    asked.look_closer()
    return Side(asked, route.name, msgspec.json.decode(question.body))


def differing(one: Side, other: Side) -> list[str]:
    """The members that keep two requests apart, by name."""
    endpoint = Endpoint(one.asked.view.form.partition(" ")[0])
    ignored = dropped_of(endpoint, one.asked.rules.ignored)
    names = sorted({*one.body, *other.body} - ignored)
    found = [name for name in names if name not in LAST and one.body.get(name) != other.body.get(name)]
    for name in LAST:
        before, after = _before(one.body.get(name)), _before(other.body.get(name))
        if before != after:
            found.append(f"{name} before the last")
    return found


def _before(messages: object) -> object:
    """All but the question, of which only who asks it is a part of the scope."""
    if not isinstance(messages, list) or not messages:
        return None
    last = messages[-1]
    rest = {name: value for name, value in last.items() if name != "content"} if isinstance(last, dict) else None
    return [*messages[:-1], rest]


def _apart(told: PairTold, one: Side, other: Side) -> str | None:
    """Why no other wording would do."""
    if told.owner != told.stored_owner:
        return "the two callers do not share answers"
    if told.route != told.stored_route and (one.asked.rules.group or other.asked.rules.group) == "":
        return "the routes do not share answers"
    if not told.same_scope:
        return "something beside the last question differs"
    if one.asked.scope != other.asked.scope:
        return "the callers require other things of whoever answers"
    return _closed(one.asked, "the question") or _closed(other.asked, "the stored question")


def _closed(asked: Asked, what: str) -> str | None:
    if asked.rules.semantic is None:
        return "the route compares no meanings"
    if asked.closed is not None:
        return f"{what} is served to its exact like only: {asked.closed.value}"
    return None if asked.view.question else f"{what} is not a text of its own"


async def _weigh(
    told: PairTold, one: Asked, other: Asked, likeness: Callable[[str, str], Awaitable[Likeness]] | None
) -> None:
    semantic = one.rules.semantic
    assert semantic is not None  # noqa: S101 - `_apart` has looked
    signs = compare(one.view.question, other.view.question, checks_entities=semantic.checks_entities)
    told.veto = None if signs.veto is None else signs.veto.value
    told.signs = shown_signs(signs)
    told.budget = semantic.false_hits_max
    if likeness is None:
        told.why = (
            "nothing here can compare the two: say how alike they are with --similarity, or install the extra semantic"
        )
        return
    found = await likeness(one.view.question, other.view.question)
    if found.similarity is None:
        told.why = found.why
        return
    told.similarity = round(found.similarity, 4)
    _judge(told, semantic, found, signs)


def _judge(told: PairTold, semantic: SemanticRules, found: Likeness, signs: Signs) -> None:
    candidate = Candidate(found.similarity or 0.0, signs)
    doubtful_max = 0.0 if semantic.judge is None else semantic.judge.risk_max
    verdict = decide([candidate], curve_of(found.embedder), Experience(), semantic.false_hits_max, doubtful_max)
    told.bar = round(verdict.bar, 4)
    if verdict.best is None:
        told.why = f"the words rule it out: {told.veto}"
        return
    told.risk = round(verdict.risk, 4)
    if verdict.serves:
        told.served = "semantic"
    elif verdict.doubtful and semantic.judge is not None:
        told.judged, told.why = semantic.judge.deployment, "the risk is above the bar; the judge would be asked"
    else:
        told.why = "the risk is above the bar"


def shown_signs(signs: Signs) -> dict[str, float]:
    """Those that are there."""
    return {name: round(value, 3) for name, value in signs._asdict().items() if name != "veto" and value}
