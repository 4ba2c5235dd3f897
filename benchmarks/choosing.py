"""What it costs to put a call's candidates in order, strategy by strategy: microseconds a decision, of one core.

    python -m benchmarks.choosing [ROUNDS]

Twenty targets with prices, latencies and load, and two fallbacks. The goal is less than 50 microseconds.
"""

from __future__ import annotations

import gc
import sys
import time
from random import Random
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from policies.balancing import choose
from policies.capabilities import filter_candidates
from policies.choosing import Asked, Caller, Line, Seen
from policies.latency import UNKNOWN_LATENCY, Sample, observe, ttft_quantile_s
from policies.route_plan import fresh
from policies.route_rules import NO_REQUIREMENTS, Affinity, AffinityBy, Capability, Needs, SpillRules
from policies.tariffs import Price
from policies.vocabulary import Deployment, Route, Strategy, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from policies.choosing import LiveNumbers

ROUNDS, CALLS, TARGETS = 60, 200, 20
NOW_S = 1_000.0
SMART = "smart"
NEEDS = Needs(frozenset({Capability.STREAM}), 6_000, 500)
BY_USER = Affinity(AffinityBy.USER)


class Case(NamedTuple):
    """One row of the table. Without `live` numbers, as for a route that needs none of them."""

    name: str
    route: Route
    live: LiveNumbers
    capable: tuple[Deployment, ...]


def deployment(number: int, credential: str = "") -> Deployment:
    price = Price("p", "override", "", (100 + number) * 10**6, 10**7, None, (900 - number) * 10**6)
    return Deployment(
        f"deployment-{number}",
        "provider",
        "openai",
        "model",
        region="eu-west-1",
        context_tokens=128_000,
        price=price,
        credential=credential,
    )


def seen(number: int) -> Seen:
    latency = UNKNOWN_LATENCY
    rng = Random(number)
    for at_s in range(100):
        input_tokens = rng.randrange(100, 8_000)
        sample = Sample(input_tokens, 0.2 + input_tokens / 10_000 * rng.random(), 0.01 * rng.random(), 3.0, 200)
        latency = observe(latency, sample, NOW_S - 100 + at_s)
    line = (None, Line(number % 3), Line(0, number % 5, 4, 0.3 if number % 5 == 4 else 0.0))[number % 3]
    return Seen(number % 5, number % 7 * 1_000, line, latency, frozenset({"prefix"}) if number % 2 else ())


def cases() -> Iterator[Case]:
    deployments = tuple(deployment(number) for number in range(TARGETS))
    fallbacks = (deployment(100), deployment(101))
    everyone = (*deployments, *fallbacks)
    live = {each.id: seen(number) for number, each in enumerate(everyone)}
    targets = tuple(Target(each, number % 4 + 1) for number, each in enumerate(deployments))
    for strategy in Strategy:
        route = Route(SMART, (SMART,), strategy, targets, fallbacks, affinity=BY_USER)
        if strategy is Strategy.WEIGHTED:
            plain = Route(SMART, (SMART,), strategy, targets, fallbacks)
            yield Case("weighted", plain, {}, everyone)
            yield Case("weighted, stable by user", route, {}, everyone)
            yield Case("weighted, one target incapable", plain, {}, everyone[1:])
            aside = {deployments[0].id: Seen(set_aside_until_s=NOW_S + 9)}
            yield Case("weighted, one target set aside", plain, aside, everyone)
        elif strategy is Strategy.SPILL:
            guarded = Route(SMART, (SMART,), strategy, targets, fallbacks, spill=SpillRules(0.5, 10**9))
            yield Case("spill, with a guard", guarded, live, everyone)
        else:
            yield Case(strategy.value, route, {} if strategy is Strategy.ORDERED else live, everyone)
    yield nested(everyone, live)
    yield credentials()
    one = Route("one", ("one",), Strategy.ORDERED, targets[:1])
    yield Case("a route of one", one, {}, deployments[:1])


def nested(everyone: tuple[Deployment, ...], live: LiveNumbers) -> Case:
    inner = tuple(
        Target(Route(f"inner-{at}", ("inner",), Strategy.FASTEST, tuple(map(Target, everyone[at : at + 4]))))
        for at in range(0, TARGETS, 4)
    )
    return Case(
        "cheapest of 5 routes of 4", Route("outer", ("outer",), Strategy.CHEAPEST, inner), live, everyone[:TARGETS]
    )


def credentials() -> Case:
    every = tuple(deployment(number, name) for number in range(5) for name in "abcd")
    return Case(
        "weighted, 5 with 4 credentials",
        Route("keys", ("keys",), Strategy.WEIGHTED, tuple(map(Target, every))),
        {},
        every,
    )


def decide(case: Case) -> Callable[[int], None]:
    rng = Random(1)

    def run(calls: int) -> None:
        state = fresh(case.route)
        asked = Asked(
            case.route, case.capable, NEEDS, Caller("key", "user", "team"), prefix="prefix", prefix_tokens=900
        )
        for _ in range(calls):
            _, state = choose(asked, case.live, state, NOW_S, rng)

    return run


def around(everyone: tuple[Deployment, ...]) -> Iterator[tuple[str, Callable[[int], None]]]:
    """What choosing takes before and after it."""
    route = Route(SMART, (SMART,), Strategy.ORDERED, tuple(map(Target, everyone)))
    resident = NEEDS._replace(requires=NO_REQUIREMENTS._replace(regions=frozenset({"eu"})))

    def filter_all(candidates: tuple[Deployment, ...], needs: Needs) -> Callable[[int], None]:
        def run(calls: int) -> None:
            for _ in range(calls):
                filter_candidates(route, candidates, needs)

        return run

    def observe_all(calls: int) -> None:
        latency = UNKNOWN_LATENCY
        sample = Sample(1_000, 0.4, 0.01, 3.0, 200)
        for call in range(calls):
            latency = observe(latency, sample, call / 10)

    def late(calls: int) -> None:
        latency = seen(1).latency
        for _ in range(calls):
            ttft_quantile_s(latency, 0.95, NOW_S)

    yield "filter 20, all can", filter_all(everyone, NEEDS)
    yield "filter 3, all can", filter_all(everyone[:3], NEEDS)
    yield "filter 20 by region", filter_all(everyone, resident)
    yield "observe a sample", observe_all
    yield "95th percentile of TTFT", late


def measure(run: Callable[[int], None], rounds: int) -> tuple[float, float]:
    """Best and median of many short rounds, in microseconds."""
    run(CALLS)
    taken = []
    for _ in range(rounds):
        gc.disable()
        began_s = time.perf_counter()
        run(CALLS)
        taken.append((time.perf_counter() - began_s) / CALLS * 1e6)
        gc.enable()
    return min(taken), median(taken)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print("| decision | best | median |")
    print("| --- | ---: | ---: |")
    dearest = (0.0, 0.0)
    for case in cases():
        best, middle = measure(decide(case), rounds)
        print(f"| {case.name} | {best:.2f} | {middle:.2f} |", flush=True)
        if case.route.name == SMART:
            dearest = max(dearest, (best, middle), key=lambda taken: taken[1])
    print(f"| the dearest strategy | {dearest[0]:.2f} | {dearest[1]:.2f} |")
    for name, run in around(tuple(deployment(number) for number in range(TARGETS))):
        best, middle = measure(run, rounds)
        print(f"| {name} | {best:.2f} | {middle:.2f} |", flush=True)


if __name__ == "__main__":
    main()
