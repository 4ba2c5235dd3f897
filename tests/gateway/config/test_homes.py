"""A word that stands where the language does not have it is told where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.homes import WORDS, belongs, homes
from gateway.config.tree import compose, unfold
from gateway.config.wording import known_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.problems import Place

POLICY = """
providers:
  vllm: {kind: openai, gpu: {}}
  unused: {kind: openai, gpu: {}}
  hidden: {kind: openai, gpu: {}}
deployments:
  big: {provider: vllm, trace: true, price: {discount: 10%}}
  small: {provider: vllm, gpu: {}}
  secret: {provider: "${env:PROVIDER}", trace: true}
routes:
  - {model: m, targets: [big], content: full}
teams: {red: {margin: 5%}}
telemetry: {sample: 5%}
"""
CONTENT = "telemetry.content, orgs.NAME.content, teams.NAME.content or keys[].content"
TRACE = "; whether a caller's trace is gone on with is trust_trace_context of keys and teams"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (("providers", "vllm", "gpu"), "deployments.big.gpu or providers.NAME.gpu (kind: llama_cpp)"),
        (("providers", "unused", "gpu"), "deployments.NAME.gpu or providers.NAME.gpu (kind: llama_cpp)"),
        (("providers", "hidden", "gpu"), "deployments.NAME.gpu or providers.NAME.gpu (kind: llama_cpp)"),
        (("providers", "vllm", "price"), "deployments.big.price; tables of prices are under prices"),
        (("deployments", "big", "trace"), f"providers.vllm.trace{TRACE}"),
        (("deployments", "secret", "trace"), f"providers.NAME.trace{TRACE}"),
        (("deployments", "big", "price", "discount"), "providers.vllm.discount or deployments.big.discount"),
        (("teams", "red", "margin"), "providers.NAME.margin or deployments.NAME.margin"),
        (("routes", 0, "content"), CONTENT),
        (("telemetry", "otlp", 0, "content"), CONTENT),
        (("telemetry", "sample"), "telemetry.otlp[].sample"),
        (("otlp",), "telemetry.otlp or telemetry.metrics.otlp"),
        (("server", "metrics"), "telemetry.metrics"),
    ],
)
def test_a_word_has_a_home_that_is_told_from_where_it_stands(place: Place, told: str) -> None:
    tree = unfold(compose(POLICY), lambda text: text.replace("${env:PROVIDER}", "hidden"))
    assert belongs(place, tree).removeprefix("; it belongs in ") == told


@pytest.mark.parametrize(
    "values", ["{}", "{deployments: 5, a: 1}", "{deployments: [1]}", "{deployments: {a: 5, b: {}}}"]
)
def test_a_file_that_is_odd_otherwise_is_no_hindrance(values: str) -> None:
    told = belongs(("providers", "x", "gpu"), unfold(compose(values), str))
    assert told == "; it belongs in deployments.NAME.gpu or providers.NAME.gpu (kind: llama_cpp)"


def test_words_that_mean_something_else_elsewhere_are_not_sent_there() -> None:
    tree = unfold(compose("{a: 1}"), str)
    assert not belongs(("server", "path"), tree)
    assert not belongs(("server", "name"), tree)
    assert all(".gpu." not in home for word in WORDS for home in homes(word))


@pytest.mark.parametrize("word", sorted(WORDS))
def test_each_home_is_one(word: str) -> None:
    """What is told is a place where the language has the word."""
    assert homes(word)
    for home in homes(word):
        at, _, kind = home.partition(" (kind: ")
        steps: list[str | int] = []
        for step in at.split(".")[:-1]:
            steps += [step.removesuffix("[]"), 0] if step.endswith("[]") else [step]
        text: object = {"kind": kind.removesuffix(")") or "openai"}
        for one in reversed(steps):
            text = {one: text} if isinstance(one, str) else [text]
        assert word in known_keys(tuple(steps), unfold(compose(str(text)), str))


def test_hardware_under_a_server_s_provider_is_told_of_its_deployments(problems: Callable[..., list[str]]) -> None:
    found = problems(providers="{openai: {kind: openai, api_key: none, gpu: {per_hour: 2}}}")
    assert any(
        "providers.openai.gpu: unknown key 'gpu'; it belongs in deployments." in line and "kind: llama_cpp" in line
        for line in found
    )
