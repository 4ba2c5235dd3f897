from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import compile as compiled
from gateway.config.compile_routes import routing
from policies.route_rules import (
    Affinity,
    AffinityBy,
    CommitRules,
    HedgeRules,
    QueueRules,
    Requirements,
    Resume,
    SpillRules,
)
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Subject, Target, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

DEPLOYMENTS = (
    "{gpt: {provider: openai, model: m}, own: {provider: openai, model: m}, llama: {provider: openai, model: m}, "
    "nova: {provider: openai, model: m}}"
)


@pytest.fixture
def routes_of(made: Callable[..., Config]) -> Callable[[str], tuple[Route, ...]]:
    """The routes of a policy with these `routes`."""

    def compile_them(routes: str) -> tuple[Route, ...]:
        config = made(deployments=DEPLOYMENTS, routes=f"[{routes}, {{model: z, targets: [gpt, own, llama, nova]}}]")
        return routing(config, compiled.deployments(config, lambda *_: None))

    return compile_them


@pytest.fixture
def config(made: Callable[..., Config]) -> Config:
    return made(
        deployments=DEPLOYMENTS,
        routes="[{model: [smart, 'smart-*'], strategy: weighted, targets: [{deployment: gpt, weight: 3}, own], "
        "fallbacks: [llama], retry: {attempts: 1}, "
        "timeouts: {connect: 1s, first_token: 2s, idle: 3s, total: 4s, write: 5s}}, "
        "{model: rest, targets: [nova]}]",
    )


def test_routes_come_in_the_files_order_with_what_they_say(config: Config) -> None:
    known = compiled.deployments(config, lambda *_: None)
    assert routing(config, known) == (
        Route(
            "smart",
            ("smart", "smart-*"),
            Strategy.WEIGHTED,
            (Target(known["gpt"], 3), Target(known["own"], 1)),
            (known["llama"],),
            1,
            Timeouts(1.0, 2.0, 3.0, 4.0, 5.0),
        ),
        Route("rest", ("rest",), Strategy.ORDERED, (Target(known["nova"]),), learns_first_token=True),
    )


def test_a_policys_defaults_are_the_vocabularys(made: Callable[..., Config]) -> None:
    config = made()
    (route,) = routing(config, compiled.deployments(config, lambda *_: None))
    assert route == Route("smart", ("smart",), Strategy.ORDERED, route.targets, learns_first_token=True)


def test_a_route_says_what_limits_need(routes_of: Callable[[str], tuple[Route, ...]]) -> None:
    route, _ = routes_of("{model: a, targets: [gpt], queue: {max_wait: 2s}, max_output_tokens: 8}")
    assert (route.queue, route.output_tokens_default) == (QueueRules(2.0, 200), 8)


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ("strategy: sticky", "affinity", Affinity(AffinityBy.PREFIX)),
        ("strategy: sticky, by: key", "affinity", Affinity(AffinityBy.KEY)),
        ("strategy: weighted, by: user", "affinity", Affinity(AffinityBy.USER)),
        ("strategy: weighted", "affinity", None),
        ("strategy: sticky, by: {header: X-Session}", "affinity", Affinity(AffinityBy.HEADER, "x-session")),
        ("strategy: spill, spill: {max_wait: 2s}", "spill", SpillRules(2.0)),
        (
            "strategy: spill, spill: {max_wait: 2s, max_cost: 0.02 USD}",
            "spill",
            SpillRules(2.0, 20_000_000),
        ),
        ("hedge: {}", "hedge", HedgeRules(0.05, None)),
        ("hedge: {after: p95, at_most: 2.5%}", "hedge", HedgeRules(0.025, None)),
        ("hedge: {after: 800ms}", "hedge", HedgeRules(0.05, 0.8)),
        ("strategy: ordered", "commit", CommitRules(1, 0.0)),
        ("commit: {after: first_token}", "commit", CommitRules(1, 0.0)),
        ("commit: {tokens: 8}", "commit", CommitRules(8, 0.0)),
        ("commit: {ms: 250}", "commit", CommitRules(1, 0.25)),
        ("resume: align", "resume", (Resume.ALIGN,)),
        ("resume: [prefill, align]", "resume", (Resume.PREFILL, Resume.ALIGN)),
        ("require: {region: eu}", "requires", Requirements(frozenset({"eu"}))),
        ("require: {data_class: phi}", "requires", Requirements(data_classes=frozenset({"phi"}))),
        ("retry: {max_wait: 9s}", "retry_wait_max_s", 9.0),
        ("strategy: fastest", "strategy", Strategy.FASTEST),
        ("timeouts: {total: 9s}", "learns_first_token", True),
        ("timeouts: {first_token: 9s}", "learns_first_token", False),
    ],
)
def test_what_a_route_says_becomes_a_value(
    said: str, field: str, value: object, routes_of: Callable[[str], tuple[Route, ...]]
) -> None:
    route, _ = routes_of(f"{{model: a, targets: [gpt], {said}}}")
    assert getattr(route, field) == value


def test_a_name_is_a_deployments_and_else_a_routes(routes_of: Callable[[str], tuple[Route, ...]]) -> None:
    outer, gpt, fast, _ = routes_of(
        "{model: a, targets: [gpt, {route: gpt, weight: 2}], fallbacks: [fast], context_fallbacks: [nova], "
        "content_fallbacks: [{route: fast}]}, {model: gpt, targets: [own]}, {name: fast, targets: [llama]}"
    )
    assert [(type(target.to), target.weight) for target in outer.targets] == [(Deployment, 1), (Route, 2)]
    assert outer.targets[1].to is gpt
    assert outer.fallbacks == outer.content_fallbacks == (fast,)
    assert [to.name for to in outer.context_fallbacks] == ["nova"]
    assert (fast.name, fast.models) == ("fast", ())


def test_a_deployment_with_several_credentials_is_several_targets(made: Callable[..., Config]) -> None:
    config = made(
        providers="{openai: {kind: openai, api_keys: [{name: a, key: x}, {name: b, key: y}]}}",
        routes="[{model: smart, targets: [{deployment: gpt, weight: 3}], content_fallbacks: [gpt]}]",
    )
    known = compiled.deployments(config, lambda *_: None)
    (route,) = routing(config, known)
    assert route.targets == (Target(known["gpt@a"], 3), Target(known["gpt@b"], 3))
    assert route.content_fallbacks == (known["gpt@a"], known["gpt@b"])


def test_a_when_reads_the_headers_that_the_file_names(made: Callable[..., Config]) -> None:
    when = "request.headers['x-tier'] == 'gold'"
    config = made(
        server="{when_headers: [X-Tier]}",
        routes=f'[{{model: a, when: "{when}", targets: [gpt]}}, {{model: a, targets: [gpt]}}]',
    )
    route, _ = routing(config, compiled.deployments(config, lambda *_: None))
    assert route.when is not None
    for headers, met in (({"x-tier": "gold"}, True), ({"x-tier": "blue"}, False), ({}, False)):
        assert route.when(Subject(Principal("k", "k"), Endpoint.CHAT, "a", False, {}, headers)) is met


def test_a_when_is_asked_of_each_call(routes_of: Callable[[str], tuple[Route, ...]]) -> None:
    route, last, _ = routes_of(
        "{model: a, when: 'size(request.tools) > 0', targets: [gpt]}, {model: a, targets: [own]}"
    )
    assert (route.name, last.name, last.when) == ("a", "a#2", None)
    assert route.when is not None
    for tools, met in ((b"[{}]", True), (b"[]", False), (b"4", False)):
        subject = Subject(Principal("k", "k"), Endpoint.CHAT, "a", False, {"tools": tools})
        assert route.when(subject) is met
