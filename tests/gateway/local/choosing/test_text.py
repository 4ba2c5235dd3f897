from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llama_cpp_job import ChosenLogprob, TokenLogprob
from gateway.local.choosing.text import TextStream


def run(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[str, bool]:
    stream = TextStream(stop)
    shown = ""
    for piece in pieces:
        shown += stream.push(piece)
        if stream.stopped:
            break
    return shown + stream.finish(), stream.stopped


@given(st.text(), st.lists(st.integers(1, 5), max_size=20))
def test_characters_cut_anywhere_come_out_whole(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    assert run([*pieces, data[at:]])[0] == data.decode()


@given(
    st.lists(st.text("ab\N{SNOWMAN}", max_size=4), max_size=12),
    st.lists(st.text("ab\N{SNOWMAN}", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_text_ends_right_before_the_first_stop_string(pieces: list[str], stops: list[str]) -> None:
    """Cut into tokens however, no part of a stop string is ever shown, and nothing before it is lost."""
    shown, stopped = run([piece.encode() for piece in pieces], tuple(stops))
    whole = "".join(pieces)
    assert stopped == any(stop in whole for stop in stops)
    assert not any(stop in shown for stop in stops)
    if not stopped:
        assert shown == whole
    else:
        assert whole.startswith(shown)
        assert any(whole[len(shown) :].startswith(stop) for stop in stops)


def test_text_that_could_become_a_stop_string_waits() -> None:
    stream = TextStream(("<end>",))
    assert stream.push(b"a <e") == "a "
    assert stream.push(b"nx") == "<enx"


def test_an_unfinished_character_shows_as_a_replacement_at_the_end() -> None:
    assert run([b"a\xf0\x9f"]) == ("a\N{REPLACEMENT CHARACTER}", False)


@pytest.mark.parametrize("stop", [(), ("zz",)])
def test_logprobs_leave_with_their_text(stop: tuple[str, ...]) -> None:
    stream = TextStream(stop)
    entries = [ChosenLogprob(TokenLogprob(text, -1.0), ()) for text in (b"a", b"z", b"b")]
    taken: list[ChosenLogprob] = []
    for entry in entries:
        stream.push(entry.chosen.token, entry)
        taken += stream.take_logprobs()
    assert taken == entries


def test_logprobs_of_a_stop_string_are_dropped() -> None:
    stream = TextStream(("zb",))
    for text in (b"a", b"z", b"b"):
        stream.push(text, ChosenLogprob(TokenLogprob(text, -1.0), ()))
    assert [entry.chosen.token for entry in stream.take_logprobs()] == [b"a"]


@given(
    st.lists(st.text("ab\N{SNOWMAN}\N{GRINNING FACE}", max_size=5), min_size=1, max_size=8),
    st.lists(st.text("ab\N{SNOWMAN}", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 60), max_size=12),
)
def test_how_a_text_is_cut_into_tokens_does_not_matter(words: list[str], stops: list[str], cuts: list[int]) -> None:
    data = "".join(words).encode()
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(borders)]
    assert run(pieces, tuple(stops)) == run([data], tuple(stops))


@pytest.mark.parametrize("pieces", [[b"a", b"b"], [b"", b"ab"], [b"aX"], [b"X"], []])
def test_what_goes_before_is_shown_first_and_once(pieces: list[bytes]) -> None:
    """Not even a stop string in it is one."""
    stream = TextStream(("X",), before="say X: ")
    shown = ""
    for piece in pieces:
        shown += stream.push(piece)
    text = b"".join(pieces).decode().partition("X")[0]
    assert shown + stream.finish() == "say X: " + text


def test_long_stop_strings_that_nearly_come_cost_little() -> None:
    """Whoever shares a step with such a text waits for it."""
    stream = TextStream(("a" * 4095 + "b", "b" + "a" * 4095, "c" + "a" * 4095, ("a" * 15 + "b") * 256))
    began_s = time.thread_time()
    shown = "".join(stream.push(b"aaaa") for _ in range(1500))
    assert time.thread_time() - began_s < 0.5
    assert shown == "a" * (6000 - 4095)
