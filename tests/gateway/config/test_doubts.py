from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DEPLOYMENTS = (
    "{gpt: {provider: openai, model: m}, eu: {provider: openai, model: m, region: eu-west-1, data_classes: [phi]}, "
    "us: {provider: openai, model: m, region: us, supports: [prefill]}}"
)
ALL = "{model: z, targets: [gpt, eu, us]}"
PREFILL = "prefill needs a deployment known to go on from a text: say supports: [prefill] of one that does"


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("targets: [eu], hedge: {}", "hedge: warning: has nowhere to go: this route leads to one deployment"),
        ("targets: [eu], fallbacks: [us], hedge: {}", None),
        (
            "targets: [eu], strategy: spill, spill: {max_wait: 1s}",
            "strategy: warning: has nowhere to spill to: this route leads to one deployment",
        ),
        (
            "targets: [us, {deployment: eu, weight: 0}]",
            "targets[1].weight: warning: counts for nothing: strategy ordered does not go by it",
        ),
        ("targets: [us, {deployment: eu, weight: 9}], strategy: least_busy", None),
        ("targets: [eu], resume: prefill", f"resume: warning: {PREFILL}"),
        ("targets: [eu, us], resume: [align, prefill]", None),
        ("targets: [eu], resume: align", None),
        (
            "targets: [eu, us], fallbacks: [gpt], require: {region: eu}",
            "require: warning: is not met by us (region not in eu), gpt (region not in eu): never asked",
        ),
        ("targets: [eu], require: {region: eu, data_class: phi}", None),
        (
            "targets: [us], require: {data_class: phi}",
            "require: warning: no deployment of this route meets it: every call is refused",
        ),
    ],
)
def test_what_cannot_come_to_anything_is_doubted(
    route: str, found: str | None, problems: Callable[..., list[str]]
) -> None:
    lines = problems(deployments=DEPLOYMENTS, routes=f"[{{model: a, {route}}}, {ALL}]")
    assert lines == ([] if found is None else [f"3: routes[0].{found}"])


@pytest.mark.parametrize(
    ("key", "doubted"),
    [
        ("team: t, require: {region: eu}", True),
        ("require: {region: eu}", False),
        ("team: t, require: {data_class: pii}", True),
        ("team: t", False),
        ("require: {region: eu}, routes: [b]", True),
        ("require: {region: us}, routes: [b]", False),
    ],
)
def test_a_key_that_nobody_may_answer_is_doubted(
    key: str,
    doubted: bool,  # noqa: FBT001 - a table's column
    problems: Callable[..., list[str]],
    environ: dict[str, str],
) -> None:
    environ["KEY"] = "k" * 20
    lines = problems(
        deployments=DEPLOYMENTS,
        routes=f"[{ALL}, {{model: b, targets: [us]}}]",
        teams="{t: {require: {region: us}}}",
        keys=f"[{{name: a, secret: '${{env:KEY}}', {key}}}]",
    )
    told = "no deployment of its routes meets what it, its team and its org require: every call is refused"
    assert lines == ([f"5: keys[0]: warning: {told}"] if doubted else [])


def test_a_policy_that_says_nothing_of_the_kind_needs_no_table_of_models() -> None:
    program = (
        "import sys, pathlib; from gateway.config import examine_text\n"
        "text = 'providers: {o: {kind: openai, api_key: none}}\\ndeployments: {a: {provider: o, model: gpt-4o}}\\n'\n"
        "examine_text(text + 'routes: [{model: a, targets: [a], hedge: {}}]', pathlib.Path('x'), {})\n"
        "print('gateway.config.model_facts' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
