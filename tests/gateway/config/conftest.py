"""Policies for these tests: a good one, of which a test replaces whole sections by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import examine_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config

SECTIONS = {
    "providers": "{openai: {kind: openai, api_key: none}}",
    "deployments": "{gpt: {provider: openai, model: gpt-4o}}",
    "routes": "[{model: smart, targets: [gpt]}]",
}


def policy_text(sections: dict[str, str]) -> str:
    """The three required sections on lines 1 to 3, as given or as they are, then the others on a line each."""
    return "".join(f"{name}: {value}\n" for name, value in (SECTIONS | sections).items())


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
def findings(tmp_path: Path, environ: dict[str, str]) -> Callable[[str], list[str]]:
    """All that is found in a text, one line each, without the file's name."""

    def find(text: str) -> list[str]:
        path = tmp_path / "policy.yaml"
        _, problems = examine_text(text, path, environ)
        return [str(problem).removeprefix(f"{path}:") for problem in problems]

    return find


@pytest.fixture
def problems(findings: Callable[[str], list[str]]) -> Callable[..., list[str]]:
    """All that is found in the good policy with these sections put in."""
    return lambda **sections: findings(policy_text(sections))


@pytest.fixture
def made(tmp_path: Path, environ: dict[str, str]) -> Callable[..., Config]:
    """The good policy with these sections put in, as a value."""

    def make(**sections: str) -> Config:
        config, found = examine_text(policy_text(sections), tmp_path / "policy.yaml", environ)
        assert config is not None, found
        return config

    return make
