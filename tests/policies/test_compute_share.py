from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compute_share import shares_ns


@given(st.integers(0, 10**12), st.lists(st.integers(0, 4096), min_size=1, max_size=32))
def test_shares_add_up_to_the_nanosecond_and_follow_tokens(duration_ns: int, tokens: list[int]) -> None:
    shares = shares_ns(duration_ns, tokens)
    assert sum(shares) == duration_ns
    assert len(shares) == len(tokens)
    assert min(shares) >= 0
    if sum(tokens):
        assert shares == pytest.approx([duration_ns * count / sum(tokens) for count in tokens], abs=1)


def test_who_is_alone_has_all_of_it() -> None:
    assert shares_ns(250, [7]) == [250]
    assert shares_ns(250, [0, 0]) == [125, 125]
    assert shares_ns(7, [1, 1, 1]) == [2, 2, 3]
