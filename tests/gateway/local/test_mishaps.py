from __future__ import annotations

from gateway.local.mishaps import origin_of


def test_an_error_is_told_by_its_place_and_not_by_its_words() -> None:
    try:
        int("a caller's secret")
    except ValueError as error:
        told = origin_of(error)
    assert told.startswith("ValueError at test_mishaps.py:")
    assert "secret" not in told


def test_an_error_that_was_never_raised_came_from_nowhere() -> None:
    assert origin_of(KeyError("secret")) == "KeyError at no line of ours"
