from __future__ import annotations

import pytest

from gateway.state.replays.scripts import MARK_BYTES, claim_of, entry_of, found_in, keys_of
from gateway.state.replays.store import Busy, Kept, Outcome

ASKED = bytes(range(32))


def test_a_claim_says_what_was_asked() -> None:
    assert found_in(claim_of(ASKED, b"o" * 16)) == Busy(ASKED)


@pytest.mark.parametrize("outcome", [Outcome("req_1", body=b"\x00\xff"), Outcome("req_1")])
def test_an_entry_is_read_as_it_was_written(outcome: Outcome) -> None:
    assert found_in(entry_of(Kept(ASKED, outcome))) == Kept(ASKED, outcome)


def test_an_entry_cut_to_its_mark_still_says_which_call_it_was() -> None:
    entry = entry_of(Kept(ASKED, Outcome("req_1", body=b"text")))
    assert found_in(entry[:MARK_BYTES]) == Kept(ASKED, Outcome("req_1"))


@pytest.mark.parametrize("garbage", [b"", b"K", b"x" * 200])
def test_anything_else_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="not an entry"):
        found_in(garbage)


def test_the_keys_of_a_tenant_lie_together() -> None:
    keys = keys_of("pointsman", "a}b", "k")
    assert {key.split(b"}")[0] for key in keys} == {b"pointsman:1:{t:a%7Db"}
    assert len(set(keys)) == 4
