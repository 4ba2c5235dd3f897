from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.cel_names import HEADER, NOW, PREFIX, Reading
from gateway.config.cel_types import INT

members = st.one_of(st.text("abz019-_/+ ", max_size=6), st.text(max_size=4))
readings = st.builds(Reading, st.sampled_from([HEADER, NOW]), members, st.sampled_from(["value", "has"]), st.just(INT))


@given(readings, readings)
def test_each_reading_has_a_variable_of_its_own(one: Reading, other: Reading) -> None:
    assert (one.variable == other.variable) == (one == other)


@given(readings)
def test_a_variable_is_a_name_to_the_library(reading: Reading) -> None:
    assert reading.variable.isidentifier()
    assert reading.variable.isascii()
    assert reading.variable.startswith(PREFIX)


def test_members_of_the_body_keep_their_names() -> None:
    assert Reading("request", "max_tokens", "value", INT).variable == "_pm_value_request_max_tokens"
