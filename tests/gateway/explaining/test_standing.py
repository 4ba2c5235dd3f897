from pathlib import Path

import pytest

from gateway.explaining.rehearsal import Rehearsal
from gateway.explaining.standing import standing
from tests.gateway.explaining.a_policy import POLICY, policy


def between(folder: Path, *replaced: tuple[str, str]) -> list[str]:
    text = POLICY
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return standing(Rehearsal(policy(folder)), Rehearsal(policy(folder, text, "other.yaml")))


def test_nothing_changes(tmp_path: Path) -> None:
    assert between(tmp_path) == []


def test_deployments_are_compared_whoever_calls(tmp_path: Path) -> None:
    assert between(
        tmp_path, ("region: us}", "region: eu}"), ("input: 1,", "input: 3,"), ("model: small,", "model: tiny,")
    ) == [
        "deployment small: model was small, becomes tiny",
        "deployment big: price was 1/2 USD per million in/out, becomes 3/2 USD per million in/out",
        "deployment far: region was us, becomes eu",
    ]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("hedge: {after: p95, at_most: 1%}", "hedge was none, becomes at_most 0.01"),
        ("resume: [prefill, align]", "resume was none, becomes prefill, align"),
        ("retry: {attempts: 3}", "retry.attempts was 2, becomes 3"),
        ("timeouts: {first_token: 8s}", "timeouts.first_token was none, becomes 8"),
        ("commit: {tokens: 4}", "commit was none, becomes tokens 4"),
        ("content_fallbacks: [big]", "content_fallbacks was none, becomes deployment big"),
        ("queue: {max_wait: 2s}", "queue was none, becomes max_wait 2, max_size 200"),
    ],
)
def test_what_a_route_does_when_something_fails_is_compared(setting: str, told: str, tmp_path: Path) -> None:
    assert between(tmp_path, ("targets: [small, far]}", f"targets: [small, far], {setting}}}")) == [
        f"route fixed: {told}"
    ]


def test_a_condition_of_another_wording_is_told(tmp_path: Path) -> None:
    assert between(tmp_path, ("now.getHours() < 12", "now.getHours() < 13")) == [
        "route fixed: when was now.getHours() < 12, becomes now.getHours() < 13"
    ]


def test_providers_and_keys_are_compared_without_their_secrets(tmp_path: Path) -> None:
    keys = "api_keys: [{name: a, key: twenty-secret-characters}]"
    lines = between(
        tmp_path,
        ("api_key: none", f"{keys}, breaker: {{failures: 3}}"),
        ("secret: twenty-characters-at-least", "secret: others-of-the-same-length, priority: high"),
    )
    assert lines == [
        "provider one: breaker was none, becomes failures 3",
        "provider one: api_keys was none, becomes a",
        "key ci: priority was normal, becomes high",
    ]


def test_deployments_and_routes_come_and_go(tmp_path: Path) -> None:
    lines = between(tmp_path, ("  far: {", "  near: {"), ("fallbacks: [far]", ""), ("[small, far]", "[small, near]"))
    assert lines == ["deployment far is gone", "deployment near is new"]
