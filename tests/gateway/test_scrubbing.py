from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.scrubbing import LONGEST_MESSAGE, printable, scrub


def test_a_provider_that_echoes_a_key_is_not_repeated() -> None:
    text = scrub(
        "Incorrect API key provided: sk-proj-abcdefghijklmnop1234. Find it at https://platform.openai.com/keys"
    )
    assert "abcdefgh" not in text
    assert "Incorrect API key provided" in text


@given(st.text())
def test_scrubbed_text_is_one_printable_line_of_bounded_length(text: str) -> None:
    for shown in (scrub(text), printable(text)):
        assert shown.isprintable()
        assert len(shown) <= LONGEST_MESSAGE
        shown.encode()


def test_what_moves_a_cursor_or_hides_text_is_spelled_out() -> None:
    assert printable("a\r\nb\x1b[31m\x9b2J\u2028\u202e") == r"a\r\nb\x1b[31m\x9b2J\u2028\u202e"


def test_long_names_are_cut_with_a_mark() -> None:
    assert printable("x" * 300) == "x" * 255 + "…"
