"""The section `telemetry`: destinations of traces, and whose names they get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.signals.conventions import CostNames, Semconv, UsageShown, Wording
from gateway.signals.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

SHARE = "must be a share such as 5%, or a number from 0 to 1"
MONEY = "has no currency; write 0.02 USD or $0.02"


def otlp(rest: str) -> str:
    return f"{{otlp: {{endpoint: 'http://h', {rest}}}}}"


@pytest.mark.parametrize(
    ("sample", "rules"),
    [
        ("0.05", Sampling(0.05)),
        ("5%", Sampling(0.05)),
        ("0", Sampling(0.0)),
        ("0%", Sampling(0.0)),
        ("1", Sampling(1.0)),
        ("{ratio: 0.5%}", Sampling(0.005)),
        ("{slow: 5s}", Sampling(1.0, slow_s=5.0)),
        ("{ratio: 0, cost: '$2', errors: false}", Sampling(0.0, cost_nanousd=2_000_000_000, errors=False)),
    ],
)
def test_what_is_kept_is_a_share_or_rules(made: Callable[..., Config], sample: str, rules: Sampling) -> None:
    (receiver,) = made(telemetry=otlp(f"sample: {sample}")).telemetry.otlp
    assert receiver.sample.rules == rules


def test_one_destination_stands_for_a_list_of_it(made: Callable[..., Config]) -> None:
    (alone,) = made(telemetry=otlp("")).telemetry.otlp
    assert (alone.called, alone.profile, alone.sample.rules) == ("plain", "plain", Sampling(1.0))
    several = made(
        telemetry="{otlp: [{endpoint: 'http://a', profile: mlflow}, {endpoint: 'http://b', profile: mlflow, name: b}]}"
    )
    assert [one.called for one in several.telemetry.otlp] == ["mlflow", "b"]


@pytest.mark.parametrize("semconv", ["1.41", "'1.41'"])
def test_names_are_those_of_a_version(made: Callable[..., Config], semconv: str) -> None:
    assert made().telemetry.wording == Wording()
    section = f"{{semconv: {semconv}, cost_semconv: pr443, usage_attributes: when_root}}"
    assert made(telemetry=section).telemetry.wording == Wording(Semconv.V1_41, CostNames.PR443, UsageShown.WHEN_ROOT)
    assert made(telemetry="{semconv: latest}").telemetry.wording.semconv is Semconv.LATEST


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("{semconv: lastest}", "semconv: must be one of '1.41' or 'latest' (did you mean 'latest'?)"),
        ("{semconv: 1.42}", "semconv: must be one of '1.41' or 'latest'"),
        (
            "{cost_semconv: defakto}",
            "cost_semconv: must be one of 'none', 'defacto' or 'pr443' (did you mean 'defacto'?)",
        ),
        (
            "{usage_attributes: whenroot}",
            "usage_attributes: must be one of 'always', 'never' or 'when_root' (did you mean 'when_root'?)",
        ),
        (
            otlp("profile: openinferense"),
            (
                "otlp.profile: must be one of 'plain', 'openinference', 'mlflow' or 'langfuse' "
                "(did you mean 'openinference'?)"
            ),
        ),
        (otlp("sample: {ratio: 200%}"), "otlp.sample.ratio: must be a share such as 5%, more than 0% and at most 100%"),
        (otlp("sample: {ratio: -1}"), f"otlp.sample.ratio: {SHARE}"),
        (otlp("sample: {ratio: often}"), f"otlp.sample.ratio: {SHARE}"),
        (otlp("sample: {cost: 5}"), f"otlp.sample.cost: {MONEY}"),
        (otlp("sample: {slow: 5}"), "otlp.sample.slow: must be a duration such as 250ms, 5s, 2m or 1h"),
        (otlp("sample: {errors: 1}"), "otlp.sample.errors: must be true or false"),
        (otlp("sample: {ration: 1}"), "otlp.sample.ration: unknown key 'ration' (did you mean 'ratio'?)"),
        ("{otlp: [{profile: plain}]}", "otlp[0].endpoint: is missing"),
        ("{otlp: 5}", "otlp: must be a list"),
        ("{otlp: [5]}", "otlp[0]: must be a mapping"),
        ("{cost_header: 'on'}", "cost_header: must be true or false"),
        (
            "{content: {max: hush}}",
            "content.max: must be one of 'none', 'hash', 'redacted' or 'full' (did you mean 'hash'?)",
        ),
        ("{content: {default: full}}", "content: default: full is more than max: redacted allows"),
        ("{content: {max_bytes: 1B}}", "content.max_bytes: must be at least 256"),
        ("{content: {max_bytes: 65KiB}}", "content.max_bytes: must be at most 65536"),
        (
            "{otlp: [{endpoint: 'http://a'}, {endpoint: 'http://b'}]}",
            "has two destinations of one name in otlp; give them names",
        ),
    ],
)
def test_problems(section: str, found: str, problems: Callable[..., list[str]]) -> None:
    dot = "" if found.startswith("has ") else "."
    told = [problem for problem in problems(telemetry=section) if "warning" not in problem]
    assert told == [f"4: telemetry{dot or ': '}{found}"]


@pytest.mark.parametrize("name", ["traceparent", "Tracestate", "BAGGAGE"])
def test_a_trace_goes_upstream_by_its_own_word_only(name: str, problems: Callable[..., list[str]]) -> None:
    providers = f"{{openai: {{kind: openai, api_key: none, forward_headers: [{name}]}}}}"
    (told,) = [problem for problem in problems(providers=providers) if "forward_headers" in problem]
    assert told.endswith("goes upstream by the provider's trace: true, as far as the caller is trusted, or not at all")
