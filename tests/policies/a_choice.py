"""Routes, and choices among their targets, as the tests of choosing make them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from policies.balancing import choose
from policies.choosing import Asked, Choice, Line, Seen
from policies.latency import UNKNOWN_LATENCY, Sample, observe
from policies.matching import candidates
from policies.route_plan import fresh
from policies.route_rules import Needs
from policies.tariffs import Price
from policies.vocabulary import Deployment, Route, Strategy, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.route_plan import RouteState

NOW_S = 1_000.0


def deployment(name: str, input_usd: float | None = None, output_usd: float | None = None) -> Deployment:
    """`name@credential` for one of several credentials; prices in USD per million tokens."""
    price = None
    if input_usd is not None:
        output = None if output_usd is None else int(output_usd * 10**9)
        price = Price("p", "override", "", int(input_usd * 10**9), None, None, output)
    name, _, credential = name.partition("@")
    return Deployment(name, "provider", "openai", "model", credential=credential, price=price)


def route(
    weights: Mapping[str, int], fallbacks: str = "", strategy: Strategy = Strategy.WEIGHTED, name: str = "smart"
) -> Route:
    targets = tuple(Target(deployment(each), weight) for each, weight in weights.items())
    return Route(name, (name,), strategy, targets, tuple(deployment(each) for each in fallbacks))


def quick(ttft_s: float, seen_s: float = NOW_S, **known: int) -> Seen:
    """A deployment whose first token took so long when it was last seen."""
    latency = observe(UNKNOWN_LATENCY, Sample(1_000, ttft_s, 0.0, ttft_s, 100), seen_s)
    line = Line(known["queued"]) if "queued" in known else None
    return Seen(known.get("in_flight", 0), known.get("in_flight_tokens", 0), line, latency)


def aside(until_s: float = NOW_S + 10) -> Seen:
    return Seen(set_aside_until_s=until_s)


NEEDS = Needs(input_tokens=4_000, output_tokens=1_000)  # a likely prompt of 1,000 tokens


def priced(strategy: Strategy, *targets: Deployment | Route) -> Route:
    return Route("smart", ("smart",), strategy, tuple(map(Target, targets)))


def asked(of: Route, needs: Needs = NEEDS, prefix: str = "", prefix_tokens: int = 0) -> Asked:
    return Asked(of, candidates(of), needs, prefix=prefix, prefix_tokens=prefix_tokens)


class Choosing:
    """One route's choices, call after call."""

    def __init__(self, of: Route, seed: int = 1) -> None:
        self.route = of
        self.state: RouteState = fresh(of)
        self.rng = Random(seed)
        self.live: dict[str, Seen] = {}
        self.now = NOW_S

    def choose(self, asked: Asked | None = None) -> Choice:
        asked = Asked(self.route, candidates(self.route)) if asked is None else asked
        choice, self.state = choose(asked, self.live, self.state, self.now, self.rng)
        return choice

    def leaders(self, calls: int) -> str:
        """Who would be tried first: attempts pass over those set aside."""
        led = []
        for _ in range(calls):
            order = self.choose().candidates
            free = [d for d in order if (self.live.get(d.id, Seen()).set_aside_until_s or 0.0) <= self.now]
            led.append((free or order)[0].id)
        return "".join(led)


def ids(choice: Choice) -> str:
    return " ".join(candidate.id for candidate in choice.candidates)
