from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.config import Config


def parts(value: Any) -> Iterator[BaseModel]:
    """The models inside a value, itself included."""
    if isinstance(value, BaseModel):
        yield value
        value = value.__dict__  # not dict(value), which would call the field `keys`
    for inner in value.values() if hasattr(value, "values") else value if isinstance(value, tuple) else ():
        yield from parts(inner)


def test_nothing_in_a_config_can_be_set(made: Callable[..., Config], environ: dict[str, str]) -> None:
    environ["KEY"] = "k" * 20
    config = made(server="{tls: {cert: a, key: b}}", keys="[{name: a, secret: '${env:KEY}'}]")
    found = list(parts(config))
    assert len(found) == 23
    for part in found:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, next(iter(type(part).model_fields)), None)


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("providers", "", "must be a mapping"),
        ("providers", "{}", "must not be empty"),
        ("providers", "[{kind: openai}]", "must be a mapping"),
        ("deployments", "{}", "must not be empty"),
        ("routes", "[]", "must not be empty"),
        ("routes", "{a: 1}", "must be a list"),
        ("keys", "{a: 1}", "must be a list"),
    ],
)
def test_sections_have_their_kind(section: str, value: str, message: str, problems: Callable[..., list[str]]) -> None:
    found = [problem.split(": ", 1)[1] for problem in problems(**{section: value})]
    assert f"{section}: {message}" in found


def test_the_required_sections_are_named_when_missing(findings: Callable[[str], list[str]]) -> None:
    assert findings("version: 1\n") == [
        "1: providers: is missing",
        "1: deployments: is missing",
        "1: routes: is missing",
    ]
