from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.residency import RequireSettings, requirements, together
from policies.route_rules import NO_REQUIREMENTS, Requirements

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = ": requires nothing: give region, data_class or both"
MANY = ", ".join(f"c{number}" for number in range(21))


@pytest.mark.parametrize(
    ("require", "found"),
    [
        ("{}", NOTHING),
        ("{region: null}", NOTHING),
        ("{data_class: []}", NOTHING),
        ("{region: [eu]}", ".region: must be text"),
        ("{region: ''}", ".region: must be 1 to 100 letters, digits and . _ : @ / - and begin with a letter or digit"),
        ("eu", ": must be a mapping"),
        ("{regoin: eu}", ".regoin: unknown key 'regoin' (did you mean 'region'?)"),
        (f"{{data_class: [{MANY}]}}", ".data_class: must not have more than 20 entries"),
    ],
)
def test_what_requires_nothing_or_cannot_be_met_is_refused(
    require: str, found: str, problems: Callable[..., list[str]]
) -> None:
    assert problems(orgs=f"{{acme: {{require: {require}}}}}") == [f"4: orgs.acme.require{found}"]


def test_requirements_of_several_are_met_together() -> None:
    eu, phi = RequireSettings(region="eu"), RequireSettings(data_class=("phi",))
    assert together(map(requirements, (eu, None, phi))) == Requirements(frozenset({"eu"}), frozenset({"phi"}))
    assert together(map(requirements, (None, None))) is NO_REQUIREMENTS
