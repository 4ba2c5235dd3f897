from __future__ import annotations

from operator import ge, gt, le, lt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.local.choosing.grammar import Grammar
from gateway.local.choosing.number_ranges import integers_of, numbers_of, whole_numbers

NUMBERS = st.integers(-30, 30) | st.integers(-(10**6), 10**6) | st.integers(-(10**15), 10**15)


def allowed(grammar: Grammar, text: str) -> bool:
    spot = grammar.after(grammar.start(), text.encode())
    return spot is not None and spot.can_end


@given(NUMBERS | st.none(), NUMBERS | st.none(), st.lists(NUMBERS, min_size=1))
@example(0, 0, [0, -1, 1])
@example(99, 1000, [99, 100, 1000, 98, 1001])
@example(None, -1, [-1, 0, -10])
def test_a_range_holds_what_lies_between(low: int | None, high: int | None, numbers: list[int]) -> None:
    if low is not None and high is not None and low > high:
        with pytest.raises(ValueError, match="no whole number"):
            whole_numbers(low, high)
        return
    grammar = Grammar(f"root ::= {whole_numbers(low, high)}")
    for number in [*numbers, *(border + step for border in (low, high) if border is not None for step in (-1, 0, 1))]:
        inside = (low is None or number >= low) and (high is None or number <= high)
        assert allowed(grammar, str(number)) == inside


@pytest.mark.parametrize("text", ["-0", "00", "01", "+1", "1.0", "", "-"])
def test_a_number_is_written_one_way(text: str) -> None:
    assert not allowed(Grammar(f"root ::= {whole_numbers(-50, 50)}"), text)


def test_ranges_end_at_sixteen_digits() -> None:
    grammar = Grammar(f"root ::= {whole_numbers(None, 10**30)}")
    assert allowed(grammar, "9" * 16)
    assert not allowed(grammar, "1" + "0" * 16)


BOUNDED = st.dictionaries(
    st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
    st.integers(-20, 20) | st.integers(-(10**9), 10**9) | st.floats(-20, 20),
    min_size=1,
    max_size=3,
)
VALUES = st.integers(-25, 25).flatmap(
    lambda whole: st.sampled_from([whole, whole + 0.5, whole + 0.000001, whole - 0.25])
)


def obeys(value: float, schema: dict[str, float]) -> bool:
    tests = {"minimum": ge, "maximum": le, "exclusiveMinimum": gt, "exclusiveMaximum": lt}
    return all(tests[name](value, bound) for name, bound in schema.items())


@given(BOUNDED, st.lists(VALUES, min_size=1, max_size=20))
@example({"minimum": -18, "exclusiveMinimum": -19}, [-18.5])
@example({"maximum": 18, "exclusiveMaximum": 19}, [18.5])
@example({"minimum": -18.5, "exclusiveMinimum": -19}, [-18.75])
def test_nothing_is_allowed_that_the_schema_forbids(schema: dict[str, float], values: list[float]) -> None:
    for make in (integers_of, numbers_of):
        try:
            grammar = Grammar(f"root ::= {make(schema)}")
        except ValueError:
            continue
        near = [round(bound + step, 6) for bound in schema.values() for step in (-1, -0.5, 0, 0.5, 1, 0.000001)]
        for value in [float(value) for value in (*values, *near)]:
            text = str(int(value)) if value == int(value) else f"{value:.6f}".rstrip("0")
            assert obeys(value, schema) or not allowed(grammar, text)


@pytest.mark.parametrize(
    ("schema", "inside"),
    [
        ({"minimum": 0, "maximum": 1}, ["0", "1", "0.5", "0.000001", "0.999999"]),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, ["0.5", "0.000001", "0.999999"]),
        ({"minimum": -7.5}, ["-7", "-6.5", "0", "-0.5", "12.25"]),
        ({"minimum": -2, "maximum": 2}, ["-2", "-1.5", "-0.5", "0", "0.5", "1.5", "2"]),
        ({"maximum": -3}, ["-3", "-3.5", "-1000000.25"]),
    ],
)
def test_fractions_lie_between(schema: dict[str, float], inside: list[str]) -> None:
    grammar = Grammar(f"root ::= {numbers_of(schema)}")
    assert [text for text in inside if not allowed(grammar, text)] == []
