from __future__ import annotations

import fnmatch
import re

import pytest

from gateway.state.answers.scripts import OPERATIONS, SCRIPTS, Keys

KEYS = Keys("pointsman")


@pytest.mark.parametrize("owner", ["team:acme/search", "key:a}b{c", "user:100%", "org:é\n*?[", "all"])
def test_an_owner_is_told_from_its_key(owner: str) -> None:
    assert KEYS.owner_in(KEYS.known(owner)) == owner


@pytest.mark.parametrize(
    "key",
    [b"", b"pointsman:1:{t:a}:answers:e:1", b"other:1:{t:a}:answers:known", b"pointsman:1:{t:\xff}:answers:known"],
)
def test_other_keys_are_nobody_s(key: bytes) -> None:
    assert KEYS.owner_in(key) is None


def test_a_key_that_only_looks_like_an_owner_s_is_nobody_s() -> None:
    """Two keys for one owner would let one of them be walked past."""
    assert KEYS.owner_in(b"pointsman:1:{t:a%7db}:answers:known") is None


def test_the_keys_of_an_owner_lie_together() -> None:
    tags = {re.search(rb"{(.*?)}", key) for key in (KEYS.known("a}b"), KEYS.shelf("a}b", "s"))}
    assert {found[1] for found in tags if found} == {b"t:a%7Db"}


def test_the_pattern_finds_the_owners_of_this_namespace_alone() -> None:
    odd = Keys("a*[b]?")
    pattern = odd.known_pattern.decode().replace("\\*", "[*]").replace("\\[", "[[]").replace("\\]", "]")
    pattern = pattern.replace("\\?", "[?]")
    assert fnmatch.fnmatchcase(odd.known("team:x").decode(), pattern)
    assert not fnmatch.fnmatchcase(Keys("aXXb]c").known("team:x").decode(), pattern)


def test_no_two_purposes_share_a_key() -> None:
    keys = [KEYS.known("x"), KEYS.shelf("x", "v"), KEYS.owner_of_id("x"), KEYS.learnt("x"), KEYS.feed]
    assert len(set(keys)) == len(keys)


def test_every_operation_has_a_script_of_its_own() -> None:
    assert len({script.sha for script in SCRIPTS}) == len(OPERATIONS) == len(SCRIPTS)
