"""What the language has and this version does not do is refused, never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = "is not available in this version"
PROVIDERS = "{{openai: {{kind: openai, api_key: none}}, x: {}}}"


@pytest.mark.parametrize(
    ("section", "value", "problem"),
    [
        ("webhooks", "{}", f"webhooks: 'webhooks' {LATER}"),
        ("providers", PROVIDERS.format("{kind: anthropic, api_key: none}"), f"providers.x.kind: 'anthropic' {LATER}"),
    ],
)
def test_it_is_refused_once_and_by_name(
    section: str, value: str, problem: str, problems: Callable[..., list[str]]
) -> None:
    found = [line.split(": ", 1)[1] for line in problems(**{section: value}) if "warning" not in line]
    assert found == [problem]
