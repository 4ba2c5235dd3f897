"""Deployments, routes and keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gateway.config.routing import Destination

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

STRATEGIES = "'ordered', 'weighted', 'cheapest', 'fastest', 'least_busy', 'sticky' or 'spill'"
CAPABILITIES = (
    "'tools', 'images', 'audio', 'files', 'json_mode', 'json_schema', 'stream', 'n', 'logprobs', "
    "'reasoning' or 'prefill'"
)
NO_DURATION = "must be a duration such as 250ms, 5s, 2m or 1h"
DURATION = "must be longer than 0s and at most 24h"


def test_a_full_policy_is_taken(made: Callable[..., Config], environ: dict[str, str]) -> None:
    environ["KEY"] = "k" * 20
    config = made(
        deployments="{gpt: {provider: openai, model: m, region: eu, context_tokens: 8, "
        "price: {input: 0.4, output: 0.6}}}",
        routes="[{model: [a, 'b*'], strategy: weighted, targets: [{deployment: gpt, weight: 3}], fallbacks: [gpt], "
        "retry: {attempts: 3}, timeouts: {connect: 1s, first_token: 2s, idle: 3s, total: 4m, write: 500ms}}]",
        keys="[{name: ci, secret: '${env:KEY}', team: t, user: u, routes: [a], expires: 2099-01-01}]",
    )
    price = config.deployments["gpt"].price
    assert price is not None
    assert (price.input_nanousd, price.output_nanousd, price.cached_input_nanousd) == (400_000_000, 600_000_000, None)
    route = config.routes[0]
    assert (route.model, route.strategy, route.fallbacks, route.retry.attempts) == (
        ("a", "b*"),
        "weighted",
        (Destination(deployment="gpt"),),
        3,
    )
    assert (route.targets[0].deployment, route.targets[0].weight) == ("gpt", 3)
    assert list(route.timeouts.model_dump().values()) == [1.0, 2.0, 3.0, 240.0, 0.5]
    assert config.keys[0].secret.reveal() == "k" * 20
    assert config.keys[0].expires == datetime(2099, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("x", ["routes[0]: must be a mapping"]),
        ("{targets: [gpt]}", ["routes[0].model: is missing"]),
        ("{model: [], targets: [gpt]}", ["routes[0].model: must not be empty"]),
        ("{model: 4, targets: [gpt]}", ["routes[0].model: must be a list"]),
        ("{model: 'a b', targets: [gpt]}", ["routes[0].model: must be 1 to 200 visible ASCII characters"]),
        ("{model: [a, ''], targets: [gpt]}", ["routes[0].model[1]: must be 1 to 200 visible ASCII characters"]),
        ("{model: a}", ["routes[0].targets: is missing"]),
        ("{model: a, targets: []}", ["routes[0].targets: must not be empty"]),
        ("{model: a, targets: gpt}", ["routes[0].targets: must be a list"]),
        (
            "{model: a, targets: [5]}",
            ["routes[0].targets[0]: must be a deployment's or a route's name, or a mapping with one"],
        ),
        ("{model: a, targets: [{weight: 1}]}", ["routes[0].targets[0]: must name either a deployment or a route"]),
        ("{model: a, targets: [{deployment: gpt, weight: -1}]}", ["routes[0].targets[0].weight: must be at least 0"]),
        (
            "{model: a, targets: [{deployment: gpt, wieght: 1}]}",
            ["routes[0].targets[0].wieght: unknown key 'wieght' (did you mean 'weight'?)"],
        ),
        ("{model: a, targets: [gpt], fallbacks: gpt}", ["routes[0].fallbacks: must be a list"]),
        ("{model: a, targets: [gpt], retry: 2}", ["routes[0].retry: must be a mapping"]),
        ("{model: a, targets: [gpt], retry: {attempts: 0}}", ["routes[0].retry.attempts: must be at least 1"]),
        ("{model: a, targets: [gpt], timeouts: {total: 48h}}", [f"routes[0].timeouts.total: {DURATION}"]),
        (
            "{model: a, targets: [gpt], timeouts: {frist_token: 1s}}",
            ["routes[0].timeouts.frist_token: unknown key 'frist_token' (did you mean 'first_token'?)"],
        ),
        (
            "{model: a, targets: [gpt], queue: {max_wait: 5}}",
            [f"routes[0].queue.max_wait: {NO_DURATION}"],
        ),
        ("{model: a, targets: [gpt], queue: {max_size: 0}}", ["routes[0].queue.max_size: must be at least 1"]),
        (
            "{model: a, targets: [gpt], strategy: order}",
            [
                f"routes[0].strategy: must be one of {STRATEGIES} (did you mean 'ordered'?)",
            ],
        ),
        (
            "{model: a, targets: [gpt], strategy: sticky, by: kye}",
            ["routes[0].by: must be key, user, prefix or {header: NAME} (did you mean 'key'?)"],
        ),
        (
            "{model: a, targets: [gpt], strategy: sticky, by: {header: cookie}}",
            ["routes[0].by: is the caller's credential, which nothing else reads"],
        ),
        (
            "{model: a, targets: [gpt], strategy: sticky, by: {}}",
            ["routes[0].by: must be key, user, prefix or {header: NAME}"],
        ),
        (
            "{model: a, targets: [gpt], strategy: spill, spill: {max_wait: 2s, max_cost: 2 USD/day}}",
            ["routes[0].spill.max_cost: is an amount for one call and has no window; write 0.02 USD"],
        ),
    ],
)
def test_problems_of_routes(route: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert [problem for problem in problems(routes=f"[{route}]") if "no route uses" not in problem] == [
        f"3: {problem}" for problem in found
    ]


@pytest.mark.parametrize(
    ("deployment", "found"),
    [
        (
            "{provider: openai, model: m, supports: [tool]}",
            [
                f"supports[0]: must be one of {CAPABILITIES} (did you mean 'tools'?)",
            ],
        ),
        (
            "{provider: openai, model: m, supports: [tools, images], lacks: [images]}",
            [": both supports and lacks images"],
        ),
        ("{model: m}", ["provider: is missing"]),
        ("{provider: openai, model: m, region: no}", []),
        ("{provider: openai, model: m, region: true}", ["region: must be text; put it in quotes"]),
        ("{provider: openai, model: 4.1}", ["model: must be text; put it in quotes"]),
        ("{provider: openai, model: m, context_tokens: 0}", ["context_tokens: must be at least 1"]),
        ("{provider: openai, model: m, max_output_tokens: 0}", ["max_output_tokens: must be at least 1"]),
        (
            "{provider: openai, model: m, on_disconnect: drian}",
            ["on_disconnect: must be one of 'cancel' or 'drain' (did you mean 'drain'?)"],
        ),
        ("{provider: openai, model: m, price: 5}", ["price: must be a mapping"]),
        ("{provider: openai, model: m, price: {output: 5}}", ["price.input: is missing"]),
        (
            "{provider: openai, model: m, price: {input: -1, output: free}}",
            [
                "price.input: must be from 0 to 1,000,000 USD per million tokens",
                "price.output: must be an amount in USD such as 0.15",
            ],
        ),
        (
            "{provider: openai, model: m, price: {input: 1, ouput: 2}}",
            ["price.ouput: unknown key 'ouput' (did you mean 'output'?)"],
        ),
    ],
)
def test_problems_of_deployments(deployment: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert problems(deployments=f"{{gpt: {deployment}}}") == [
        f"2: deployments.gpt.{problem}".replace(".:", ":") for problem in found
    ]


def test_what_limits_need_is_taken(made: Callable[..., Config]) -> None:
    config = made(
        deployments="{gpt: {provider: openai, model: m, max_output_tokens: 64, on_disconnect: drain, "
        "limits: [{tokens: 5/s}, {tokens: 9/day}]}}",
        routes="[{model: a, targets: [gpt], max_output_tokens: 32, limits: {requests: 1/s}, queue: {max_wait: 2s}}]",
    )
    route, deployment = config.routes[0], config.deployments["gpt"]
    assert (deployment.max_output_tokens, deployment.on_disconnect, len(deployment.limits)) == (64, "drain", 2)
    assert (route.max_output_tokens, len(route.limits)) == (32, 1)
    assert route.queue is not None
    assert (route.queue.max_wait_s, route.queue.max_size) == (2.0, 200)
