from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.dialects.tape import Kind, Marks, Tape

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.dialects.tape import Reading


@pytest.mark.parametrize(
    ("text", "ended", "found"),
    [
        ("no mark", False, (7, "")),
        ("a <b> c", False, (2, "<b>")),
        ("a <b", False, (2, "")),
        ("a <b", True, (4, "")),
        ("a <b>", False, (2, "")),
        ("a <b>", True, (2, "<b>")),
        ("a <b><c>", False, (2, "<b><c>")),
        ("", True, (0, "")),
    ],
)
def test_a_mark_is_found_when_it_is_certain(text: str, ended: bool, found: tuple[int, str]) -> None:  # noqa: FBT001
    marks = Marks("<b>", "<b><c>") if text in ("a <b>", "a <b><c>") else Marks("<b>")
    assert marks.find(text, 0, ended=ended) == found


def test_without_marks_all_text_is_free_of_them() -> None:
    assert Marks().find("<b>", 1, ended=False) == (3, "")


def run(read: Callable[[Tape], Reading[object]], *texts: str) -> object:
    tape = Tape({})
    reading = read(tape)
    try:
        for text in texts:
            tape.add(text)
            next(reading)
        tape.ended = True
        next(reading)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it wants more than there is")


def test_what_comes_next_is_waited_for_as_long_as_it_may_come() -> None:
    assert run(lambda tape: tape.has("abc"), "a", "bc") is True
    assert run(lambda tape: tape.has("abc"), "ab", "d") is False
    assert run(lambda tape: tape.has("abc"), "ab") is False
    assert run(lambda tape: tape.has_any(("x", "ab")), "a", "b") is True
    assert run(lambda tape: tape.need(3), "ab") is False
    assert run(lambda tape: tape.space(), " ", "\n", "x") == " \n"


def test_what_stands_before_an_end_is_bounded() -> None:
    assert run(lambda tape: tape.upto(Marks(">")), "na", "me>") == ("name", ">")
    assert run(lambda tape: tape.upto(Marks(">"), 3), "name") is None
    assert run(lambda tape: tape.upto(Marks(">")), "name") is None


def test_what_was_read_is_forgotten_unless_it_may_be_asked_for_again() -> None:
    tape = Tape({})
    tape.add("abc")
    tape.at = 2
    tape.add("d")
    assert (tape.text, tape.at) == ("cd", 0)
    start = tape.anchor()
    tape.at = 2
    tape.add("e")
    assert (tape.text, tape.at, start) == ("cde", 2, 0)


def test_white_space_waits_for_what_comes_after_it() -> None:
    tape = Tape({})
    tape.say("a \n")
    tape.say("b ")
    tape.call("f")
    tape.end()
    assert tape.pieces == [(Kind.TEXT, "a"), (Kind.TEXT, " \nb"), (Kind.CALL, "f")]
