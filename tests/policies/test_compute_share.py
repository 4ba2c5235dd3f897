from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compute_share import shares_s


@given(st.floats(0, 100), st.lists(st.integers(0, 4096), min_size=1, max_size=32))
def test_shares_add_up_and_follow_tokens(duration_s: float, tokens: list[int]) -> None:
    shares = shares_s(duration_s, tokens)
    assert sum(shares) == pytest.approx(duration_s)
    assert len(shares) == len(tokens)
    if sum(tokens):
        assert shares == pytest.approx([duration_s * count / sum(tokens) for count in tokens])


def test_who_is_alone_has_all_of_it() -> None:
    assert shares_s(0.25, [7]) == [0.25]
    assert shares_s(0.25, [0, 0]) == [0.125, 0.125]
