from __future__ import annotations

from policies.questions.units import DIMENSIONS, UNIT_OF, unit_of


def test_units_have_one_name_each() -> None:
    assert unit_of("kilometers") == unit_of("km") == "km"
    assert unit_of("in") is None
    assert unit_of("in", after_digits=True) == "in"
    assert {unit for line in DIMENSIONS for unit in line.split()} <= set(UNIT_OF.values())
