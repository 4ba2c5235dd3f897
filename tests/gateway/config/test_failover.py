from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

LATE = "must be p95, or a duration such as 800ms: must be a duration such as 250ms, 5s, 2m or 1h"
COMMIT = "must be one of {after: first_token}, {tokens: N} or {ms: T}"
SHARE = "must be a share such as 5%, more than 0% and at most 100%"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("hedge: {after: 800}", f"hedge.after: {LATE}"),
        ("hedge: {after: p99}", f"hedge.after: {LATE}"),
        ("hedge: {at_most: 5}", f"hedge.at_most: {SHARE}"),
        ("hedge: {at_most: 0%}", f"hedge.at_most: {SHARE}"),
        ("hedge: {at_most: 101%}", f"hedge.at_most: {SHARE}"),
        ("hedge: true", "hedge: must be a mapping"),
        ("commit: {}", f"commit: {COMMIT}"),
        ("commit: {tokens: 8, ms: 250}", f"commit: {COMMIT}"),
        ("commit: {after: first_token, ms: 250}", f"commit: {COMMIT}"),
        ("commit: {tokens: null}", f"commit: {COMMIT}"),
        ("commit: {after: frist_token}", "commit.after: must be 'first_token' (did you mean 'first_token'?)"),
        ("commit: {tokens: 0}", "commit.tokens: must be at least 1"),
        ("commit: {tokens: 1001}", "commit.tokens: must be at most 1000"),
        ("commit: {ms: 60001}", "commit.ms: must be at most 60000"),
        ("resume: []", "resume: must not be empty"),
        ("resume: [align, align]", "resume: names the same way twice"),
        ("resume: pref", "resume: must be one of 'prefill' or 'align' (did you mean 'prefill'?)"),
        ("retry: {max_wait: 0s}", "retry.max_wait: must be longer than 0s and at most 24h"),
    ],
)
def test_problems_of_what_a_route_does_about_failures(
    said: str, found: str, problems: Callable[..., list[str]]
) -> None:
    assert problems(routes=f"[{{model: a, targets: [gpt], {said}}}]") == [f"3: routes[0].{found}"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("breaker: {failures: 0}", "breaker.failures: must be at least 1"),
        ("breaker: {cooldown: 30s, max_cooldown: 20s}", "breaker: has a cooldown longer than its max_cooldown"),
        ("breaker: {failure_share: 1}", f"breaker.failure_share: {SHARE}"),
        ("breaker: {coold: 1s}", "breaker.coold: unknown key 'coold' (did you mean 'cooldown'?)"),
        ("health: {interval: 500ms}", "health: has an interval shorter than 1s"),
        ("health: {path: models}", "health.path: must be a path such as /models, without ? and #"),
        ("health: {path: '/a?b'}", "health.path: must be a path such as /models, without ? and #"),
        ('health: {path: "/a\\r\\nx: y"}', "health.path: must be a path such as /models, without ? and #"),
        ("health: {always: 1}", "health.always: must be true or false"),
    ],
)
def test_problems_of_when_a_deployment_is_set_aside(said: str, found: str, problems: Callable[..., list[str]]) -> None:
    lines = problems(deployments=f"{{gpt: {{provider: openai, model: m, {said}}}}}")
    assert lines == [f"2: deployments.gpt.{found}"]
    providers = f"{{openai: {{kind: openai, api_key: none, {said}}}}}"
    assert problems(providers=providers) == [f"1: providers.openai.{found}"]


@pytest.mark.parametrize("kind", ["litellm", "llama_cpp"])
def test_health_is_asked_over_http(kind: str, problems: Callable[..., list[str]]) -> None:
    providers = {"litellm": "{kind: litellm}", "llama_cpp": "{kind: llama_cpp, model_path: x}"}[kind]
    deployments = "{gpt: {provider: openai, model: a/b, health: {}}}"
    lines = problems(providers=f"{{openai: {providers}}}", deployments=deployments)
    told = f"2: deployments.gpt.health: is for providers of kind openai, and this one is {kind}"
    assert [line for line in lines if "warning" not in line] == [told]
