"""What the language has and this version does not do is refused, never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = "is not available in this version"
PROVIDERS = "{{openai: {{kind: openai, api_key: none}}, x: {}}}"
ROUTE = "[{{model: a, targets: [gpt], {}}}]"


@pytest.mark.parametrize(
    ("section", "value", "problem"),
    [
        ("limits", "[{per: key, requests: 60/min}]", f"limits: 'limits' {LATER}"),
        ("cache", "{}", f"cache: 'cache' {LATER}"),
        ("state", "{url: 'redis://u:hunter2@h'}", f"state.url: redis:// {LATER}"),
        ("state", "{url: 'rediss://h'}", f"state.url: rediss:// {LATER}"),
        ("state", "{url: 'redis+sentinel://h'}", f"state.url: redis+sentinel:// {LATER}"),
        ("ledger", "{url: 'postgresql://u:hunter2@h/d'}", f"ledger.url: postgresql:// {LATER}"),
        ("server", "{workers: 2}", f"server.workers: more than one worker {LATER}"),
        ("server", "{workers: '4'}", f"server.workers: more than one worker {LATER}"),
        ("prices", "{unknown: deny}", f"prices.unknown: 'deny' {LATER}"),
        ("prices", "{unknown: price_as}", f"prices.unknown: 'price_as' {LATER}"),
        ("providers", PROVIDERS.format("{kind: anthropic, api_key: none}"), f"providers.x.kind: 'anthropic' {LATER}"),
        (
            "providers",
            PROVIDERS.format("{kind: llama_cpp, model_path: 'package:json', slots: 16}"),
            f"providers.x.slots: more than one slot {LATER}",
        ),
        *(
            ("routes", ROUTE.format(f"strategy: {name}"), f"routes[0].strategy: '{name}' {LATER}")
            for name in ("cheapest", "fastest", "least_busy")
        ),
        *(
            ("routes", ROUTE.format(f"{key}: x"), f"routes[0].{key}: '{key}' {LATER}")
            for key in ("when", "cache", "queue", "commit", "resume", "hedge")
        ),
    ],
)
def test_it_is_refused_once_and_by_name(
    section: str, value: str, problem: str, problems: Callable[..., list[str]]
) -> None:
    found = [line.split(": ", 1)[1] for line in problems(**{section: value}) if "warning" not in line]
    assert found == [problem]
