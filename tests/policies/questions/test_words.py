from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.words import TOKEN, stem, tidy, word_of


def kinds(text: str) -> list[tuple[str | None, str]]:
    return [(token.lastgroup, token.group()) for token in TOKEN.finditer(tidy(text))]


@pytest.mark.parametrize(
    "words",
    [
        ("open", "opens", "opened", "opening"),
        ("stop", "stops", "stopped", "stopping"),
        ("activate", "activated", "activating", "activation"),
        ("battery", "batteries"),
        ("box", "boxes"),
        ("pay", "paid", "payment", "payments", "paying"),
        ("cancel", "cancelled", "canceled", "cancellation"),
        ("cheque", "checks", "check"),
        ("child", "children"),
        ("quick", "quickly"),
    ],
)
def test_forms_of_one_word_have_one_stem(words: tuple[str, ...]) -> None:
    assert len({stem(word) for word in words}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("bus", "bu"), ("miss", "mist"), ("fill", "file"), ("news", "new"), ("ring", "r"), ("us", "u"), ("bed", "b")],
)
def test_other_words_have_other_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_grammar_weighs_nothing_and_rare_words_most() -> None:
    weights = [word_of(word).weight for word in ("the", "people", "transfer", "hounslow")]
    assert weights == sorted(weights)
    assert weights[0] == 0.0
    assert weights[-1] == 1.0
    assert word_of("doesn't").weight == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call a@b.example now", ("email", "a@b.example")),
        ("see https://x.example/a?b=c, please", ("url", "https://x.example/a?b=c,")),
        ("run `ls -l` here", ("quoted", "`ls -l`")),
        ("open /etc/hosts now", ("path", "/etc/hosts")),
        ("pass --dry-run to it", ("flag", "--dry-run")),
        ("call foo.bar() twice", ("call", "foo.bar()")),
        ("set max_tokens to", ("name", "max_tokens")),
        ("close ABC-123 now", ("ticket", "ABC-123")),
        ("since 2.10.3 or", ("version", "2.10.3")),
        ("it costs 1,000 now", ("number", "1,000")),
        ("15% of", ("number", "15%")),
        ("my iPhone7 is", ("mixed", "iPhone7")),
        ("in C++ or", ("word", "C++")),
        ("is a == b", ("sign", "==")),
        ("123e4567-e89b-12d3-a456-426614174000", ("uuid", "123e4567-e89b-12d3-a456-426614174000")),
    ],
)
def test_tokens_are_of_their_kind(text: str, expected: tuple[str, str]) -> None:
    assert expected in kinds(text)


@pytest.mark.parametrize("text", ["and/or", "km/h", "well-known", "he/she", "yes - or no"])
def test_words_between_signs_stay_words(text: str) -> None:
    assert {kind for kind, _ in kinds(text)} <= {"plain", "word"}


def test_raised_digits_and_fractions_keep_their_meaning() -> None:
    assert tidy("x²") == "x^2" != tidy("x2")
    assert tidy("2½") == "2 1/2" != tidy("21/2")
    assert tidy("“it’s” – １２％") == '"it\'s" - 12%'  # noqa: RUF001 - that is what is tidied


@given(st.text())
def test_tidying_twice_is_tidying_once(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)


@pytest.mark.parametrize(
    "piece", ["a", "a.", "1,", "1.", "`", "-", "/a", "a@", "_", "--a", "12:", "a1", "x'", "=", "```"]
)
def test_no_text_is_slow(piece: str) -> None:
    """Twice as much takes about twice as long: far from the four times of a pattern that looks back."""
    text = (piece * 20_000)[:20_000]
    started = time.process_time()
    for _ in TOKEN.finditer(text):
        pass
    assert time.process_time() - started < 1.0
