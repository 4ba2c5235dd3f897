from __future__ import annotations

import numpy as np
import pytest

from gateway.local.choosing.vocabulary import Vocabulary


class Five:
    vocab_size = 5
    texts = (b"a", b"ab", b"", b"ba", b"<end>")

    def piece(self, token: int) -> bytes:
        return self.texts[token]

    def ends_text(self, token: int) -> bool:
        return token == 4


VOCABULARY = Vocabulary(Five())


def test_tokens_that_end_a_text_write_nothing() -> None:
    assert VOCABULARY.ends == {4}
    assert VOCABULARY.pieces == [b"a", b"ab", b"", b"ba", b""]


@pytest.mark.parametrize(
    ("first", "can_end", "possible"),
    [(b"", False, []), (b"a", False, [0, 1]), (b"b", True, [3, 4]), (b"ab", True, [0, 1, 3, 4]), (b"z", False, [])],
)
def test_tokens_are_known_by_their_first_byte(first: bytes, can_end: bool, possible: list[int]) -> None:  # noqa: FBT001
    tokens = np.arange(5)
    assert tokens[VOCABULARY.possible(tokens, first, can_end=can_end)].tolist() == possible


@pytest.mark.parametrize(
    ("second", "possible"), [({97: b""}, [0]), ({97: b"b"}, [0, 1]), ({97: b"x", 98: b"a"}, [0, 3]), ({}, [])]
)
def test_tokens_are_known_by_their_second_byte(second: dict[int, bytes], possible: list[int]) -> None:
    assert VOCABULARY.all_possible(second, can_end=False).tolist() == possible
    assert VOCABULARY.all_possible(second, can_end=True).tolist() == [*possible, 4]
