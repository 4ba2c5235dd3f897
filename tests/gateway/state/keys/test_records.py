import msgspec
import pytest

from gateway.state.keys.records import Invalid, KeyChange, KeyStoreError, ManagedElsewhere, ManagedOwners, Outdated


def test_errors_say_what_and_where() -> None:
    assert str(Invalid("networks[1]", "must be a network")) == "networks[1]: must be a network"
    assert "managed by the policy file" in ManagedElsewhere("key 'ci'").message
    assert issubclass(Outdated, KeyStoreError)


def test_a_change_tells_what_is_unset_from_what_is_none() -> None:
    assert msgspec.to_builtins(KeyChange(team=None, tags=("a",))) == {"team": None, "tags": ("a",)}
    assert msgspec.json.decode(b'{"routes": null}', type=KeyChange) == KeyChange(routes=None)


@pytest.mark.parametrize(("what", "found"), [("team", {("o", "t")}), ("user", {("o", "u")})])
def test_the_files_owners_are_asked_by_kind(what: str, found: set[tuple[str, str]]) -> None:
    owners = ManagedOwners(frozenset(), frozenset({("o", "t")}), frozenset({("o", "u")}))
    assert owners.members(what) == found
