from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.replaying import answer_bytes_max, is_good_key, keeps_refusal, spent_max


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=255))
def test_printable_keys_are_good(key: str) -> None:
    assert is_good_key(key)


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "a\x00", "é", "\udcff", "a\nb"])
def test_others_are_not(key: str) -> None:
    assert not is_good_key(key)


def test_refusals_that_another_try_may_mend_are_not_kept() -> None:
    kept = {status for status in range(100, 600) if keeps_refusal(status)}
    assert kept == {400, 413, 415, 422}


def test_no_answer_takes_the_whole_room() -> None:
    assert 0 < answer_bytes_max(64 << 20) * 2 < 64 << 20
    assert spent_max(64 << 20) == 65_536
