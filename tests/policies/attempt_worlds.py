"""Plans, failures and whole worlds of them: routes drawn at random with everything that may go wrong on them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import strategies as st

from policies.attempts import (
    ATTEMPTS_MAX,
    AttemptPlan,
    Decision,
    GiveUp,
    Hedge,
    History,
    Live,
    Outcome,
    Running,
    Try,
    Wait,
    decide,
)
from policies.route_rules import Capability, HedgeRules
from policies.vocabulary import Deployment, Failure, FailureKind

ENDLESS_S = 1e9


def chance(seed: int) -> random.Random:
    return random.Random(seed)


def deployment(name: str) -> Deployment:
    return Deployment(name, "provider", "openai", "model")


def status(number: int, code: str | None = None, retry_after_s: float | None = None) -> Failure:
    return Failure(FailureKind.STATUS, status=number, code=code, retry_after_s=retry_after_s)


def failed(name: str, failure: Failure, *, committed: bool = False) -> Outcome:
    return Outcome(name, failure, 0.0, 1.0, committed)


def plan(names: str, *, primaries: int | None = None, retries: int = 2, deadline_s: float = ENDLESS_S) -> AttemptPlan:
    candidates = tuple(deployment(name) for name in names)
    return AttemptPlan(candidates, len(candidates) if primaries is None else primaries, retries, deadline_s)


def keyed(name: str, credential: str) -> Deployment:
    return Deployment(name, "provider", "openai", "model", credential=credential)


def credentials(*more: str, names: str = "12") -> AttemptPlan:
    """Deployment `a` under several credentials, then others."""
    candidates = (*(keyed("a", name) for name in names), *(deployment(name) for name in more))
    return AttemptPlan(candidates, len(candidates), 2, ENDLESS_S)


def step(of: AttemptPlan, *history: Outcome, now: float = 0.0, live: Live | None = None) -> Decision:
    return decide(of, History(history), now, chance(1), live or Live())


def shape(decision: Decision) -> str:
    match decision:
        case Try(candidate, forced):
            return f"{'force' if forced else 'try'} {candidate.id}"
        case Wait(_, candidate):
            return f"again {candidate.id}"
        case Hedge(delay_s, candidate):
            return f"hedge {candidate.id} in {delay_s}"
        case GiveUp(_, reason):
            return reason.value


failures = st.builds(
    Failure,
    kind=st.sampled_from(FailureKind),
    message=st.sampled_from(["", "This model does not support tools.", "Invalid schema for tool."]),
    status=st.none() | st.sampled_from([200, 302, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 520, 529]),
    code=st.none() | st.sampled_from(["content_filter", "context_length_exceeded", "insufficient_quota"]),
    retry_after_s=st.none() | st.floats(),
)


@dataclass(frozen=True)
class World:
    """A route and everything that may go wrong on it."""

    plan: AttemptPlan
    script: tuple[tuple[Failure, float, bool], ...]
    live: Live
    seed: int


CAN = st.sampled_from([frozenset[Capability](), frozenset({Capability.TOOLS})])


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Deployment, ...]:
    """Some deployments, some of them under several credentials."""
    found: list[Deployment] = []
    for name in "abcdef"[: draw(st.integers(1, 6))]:
        has = draw(CAN)
        lacks = draw(CAN) - has
        for credential in draw(st.sampled_from([("",), ("",), ("1", "2"), ("1", "2", "3", "4")])):
            found.append(  # noqa: PERF401 - two loops in one comprehension tell less
                Deployment(name, "p", "openai", "m", credential=credential, has=has, lacks=lacks)
            )
    return tuple(found)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    everyone = draw(candidates())
    some = st.lists(st.sampled_from(everyone), max_size=3, unique=True)
    of = AttemptPlan(
        everyone,
        draw(st.integers(0, len(everyone))),
        draw(st.integers(1, 5)),
        draw(st.floats(0.1, 60.0)),
        draw(st.floats(0.0, 10.0)),
        tuple(draw(some)),
        (*draw(some), *draw(st.sampled_from([(), (deployment("x"),)]))),
        draw(CAN),
        draw(st.none() | st.builds(HedgeRules, st.just(0.5), st.none() | st.floats(0.0, 5.0))),
    )
    mishap = st.tuples(failures, st.floats(0.0, 5.0), st.sampled_from([False, False, False, True]))
    ends_within = ATTEMPTS_MAX + len(of.everyone) + 1  # each deployment may turn the call away at its limit besides
    script = draw(st.lists(mishap, min_size=ends_within, max_size=ends_within))
    ids = st.sampled_from([candidate.id for candidate in of.everyone])
    live = Live(
        draw(st.dictionaries(ids, st.floats(0.0, 100.0))),
        draw(st.frozensets(ids)),
        draw(st.dictionaries(ids, st.floats(0.0, 3.0))),
        draw(st.booleans()),
    )
    return World(of, tuple(script), live, draw(st.integers(0, 2**32)))


@dataclass
class Life:
    """What became of one call: every decision with its time, what ended, and what was under way beside what."""

    decisions: list[tuple[float, Decision]]
    history: list[Outcome]
    beside: list[tuple[str, str]]


def live_through(world: World) -> Life:
    """One call in this world; each attempt fails after its time, those with a hedge beside them as well."""
    rng, now = chance(world.seed), 0.0
    life = Life([], [], [])
    script = iter(world.script)
    while True:
        decision = decide(world.plan, History(tuple(life.history)), now, rng, world.live)
        life.decisions.append((now, decision))
        if not isinstance(decision, Try | Wait):
            return life
        now += decision.delay_s if isinstance(decision, Wait) else 0.0
        here = Running(decision.deployment.id, now)
        company = decide(world.plan, History(tuple(life.history), (here,)), now, rng, world.live)
        failure, lasts_s, committed = next(script)
        ended = [(here.started_s + lasts_s, Outcome(here.deployment, failure, now, now + lasts_s, committed))]
        if isinstance(company, Hedge) and company.delay_s < lasts_s and failure.kind is not FailureKind.LIMITED:
            started_s = now + company.delay_s
            life.beside.append((here.deployment, company.deployment.id))
            other, other_lasts_s, _ = next(script)
            ends_s = started_s + other_lasts_s
            ended.append((ends_s, Outcome(company.deployment.id, other, started_s, ends_s)))
        for ended_s, outcome in sorted(ended, key=lambda pair: pair[0]):
            now = max(now, ended_s)
            life.history.append(outcome)
