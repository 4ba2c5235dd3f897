"""What it costs to find a request's route and what the request needs.

    python -m benchmarks.matching [ROUNDS]

Microseconds per call: `best` and `median` of many short rounds, of which a noisy machine spoils some. The thirty routes
have thirty conditions such as policies have, of which only the last one holds; the library alone is the yardstick.
"""

from __future__ import annotations

import gc
import sys
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from multidict import CIMultiDict, CIMultiDictProxy

from adapters.openai_request import parse
from benchmarks.bodies import request_body
from gateway.call import Call, TraceContext
from gateway.config.cel import Condition, condition_for_route
from gateway.lifecycle import Lifecycle
from gateway.needs import needs_of
from gateway.prompts.estimates import Estimator
from gateway.prompts.tokens import TokenCounter
from gateway.stages.route import RouteStage
from gateway.subjects import subject_of
from policies.matching import compile_routes
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.vocabulary import Predicate, Subject

ROUNDS, CALLS = 60, 200
RECEIVED_AT_NS: Final = 1_800_000_000_000_000_000
DEPLOYMENT: Final = Deployment("a", "openai", "openai", "gpt-4o-mini", context_tokens=128_000)
WHO: Final = Principal("k1", "ci", team="red", user="ada", org="acme", tags=("internal", "batch"))
HEADERS: Final = frozenset({"x-tier", "x-task"})
LAST: Final = "principal.org == 'acme' && request.max_tokens < 4096"
CONDITIONS: Final = (
    "size(request.tools) > 0",
    "request.images > 0 && principal.team != 'red'",
    "request.stream && principal.team == 'blue'",
    "principal.team in ['gold', 'platinum'] && !request.stream",
    "request.tokens > 100000",
    "request.headers['x-tier'] == 'gold'",
    "'x-task' in request.headers && request.headers['x-task'].startsWith('code')",
    "has(request.metadata.tier) && request.metadata.tier == 'gold'",
    "request.metadata.tier == 'free'",
    "principal.key == 'nightly' || principal.user == 'bob'",
    "now.getHours('Europe/Berlin') > 30",
    "now.getDayOfWeek('Europe/Berlin') in [8, 9] && principal.team == 'red'",
    "principal.priority == 'high'",
    "'external' in principal.tags",
    "request.model.endsWith('-large') || request.model.contains('code')",
    "has(request.response_format) && request.response_format.type == 'json_schema'",
    "request.reasoning_effort in ['high', 'medium']",
    "request.max_tokens > 16000",
    "request.n > 1 || request.temperature > 1.5",
    "size(request.tools) > 8 && request.tokens > 20000",
    "principal.org == 'other' && size(request.messages) > 40",
    "has(request.logprobs) && principal.team == 'red'",
    "request.max_tokens * 3 + request.n > 100000",
    "request.endpoint == 'responses' && principal.org == 'acme'",
    "request.user.startsWith('eu-')",
    "principal.tags.size() > 5",
    "!(request.stream || request.max_tokens < 16) && size(request.tools) == 3",
    "request.service_tier == 'priority'",
    "request.stream ? principal.team == 'blue' : principal.team == 'green'",
    LAST,
)


class Part(NamedTuple):
    """What is run once per call, on something made before."""

    name: str
    make: Callable[[], Any]
    run: Callable[[Any], object]


def parts() -> tuple[Part, ...]:
    """The rows of the table, in its order."""
    stage = RouteStage(Lifecycle(), Estimator(TokenCounter()))
    plain, conditional = ground(None), ground(condition_for_route)
    way, ways = plain.index.exact["mock"], conditional.index.asked["mock"]
    conditions = [Condition(when, HEADERS) for when in CONDITIONS]
    one, thirty = partial(call_under, plain), partial(call_under, conditional)

    def asked() -> Subject:
        return subject_of(call_under(conditional))

    return (
        Part("route stage: a plain request, one route", one, partial(staged, stage)),
        Part("route stage: 30 routes, 30 conditions, the last holds", thirty, partial(staged, stage)),
        Part("what a plain request needs", one, lambda call: needs_of(call, way)),
        Part("what conditions are asked about, made", thirty, subject_of),
        Part("30 conditions, the last holds", asked, partial(ask_all, [way.route.when for way in ways])),
        Part("30 conditions, by the library", asked, partial(ask_all, [each.ask_library for each in conditions])),
    )


def staged(stage: RouteStage, call: Call) -> object:
    return stage(call, then)


def then(_call: Call) -> Any:  # noqa: ANN401 - nobody awaits it
    return None


def ask_all(conditions: list[Callable[[Subject], object]], subject: Subject) -> list[object]:
    return [condition(subject) for condition in conditions]


class Ground(NamedTuple):
    """What of a policy in force routing looks at."""

    index: Any


def ground(condition: Callable[..., Predicate] | None) -> Ground:
    whens = [condition(when, HEADERS) for when in CONDITIONS] if condition else [None]
    targets = (Target(DEPLOYMENT),)
    return Ground(compile_routes(Route("mock", ("mock",), Strategy.ORDERED, targets, when=when) for when in whens))


def call_under(generation: Ground) -> Call:
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": "Bearer x", "User-Agent": "OpenAI", "X-Tier": "free"}))
    trace = TraceContext("t", "s", None, sampled=False)
    request = parse(Endpoint.CHAT, request_body("mock"))
    call = Call(
        "req_1", request, cast("Any", None), headers, cast("Any", generation), trace, 0.0, 1_800_000_000_000_000_000
    )
    call.principal = WHO
    return call


def cost_of(part: Part, rounds: int) -> tuple[float, float]:
    taken = []
    for _ in range(rounds):
        made = [part.make() for _ in range(CALLS)]
        gc.disable()
        began_s = time.perf_counter()
        for one in made:
            part.run(one)
        taken.append((time.perf_counter() - began_s) / CALLS * 1e6)
        gc.enable()
    return min(taken), median(taken)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print("| part | best | median |")
    print("| --- | ---: | ---: |")
    for part in parts():
        best, middle = cost_of(part, rounds)
        print(f"| {part.name} | {best:.2f} | {middle:.2f} |", flush=True)


if __name__ == "__main__":
    main()
