from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import parser
from gateway.admin.shapes import KeyToChange, KeyToCreate
from gateway.commands.admin_client import CommandError
from gateway.commands.key_terms import USUAL, changes_of, limit_of, moment_ms, span_s, terms_of

if TYPE_CHECKING:
    import argparse

ALL = (
    "--team t --user u --route r --network 10.0.0.0/8 --tag a --data-class phi --limit concurrent=4 --output-tokens 9 "
    "--require-region eu --priority high --no-cache --content hash --cost-in-body --trust-trace-context --expires 1d"
)


def change(*words: str) -> argparse.Namespace:
    return parser().parse_args(["keys", "change", "ci", *words])


def test_only_what_is_said_is_asked_for() -> None:
    assert terms_of(change("--tag", "a", "--content", "none"), 0.0) == {"tags": ["a"], "content": "none"}
    create = parser().parse_args(["keys", "create", "--name", "ci"])
    assert terms_of(create, 0.0) == {"name": "ci"}


def test_every_option_of_a_key_can_be_said_and_unset() -> None:
    said = changes_of(change(*ALL.split()), 0.0)
    assert said.keys() == {field for field, _ in USUAL.values()}
    assert (said["content"], said["cost_in_body"], said["trust_trace_context"]) == ("hash", True, True)
    unset = changes_of(change(*[word for option in USUAL for word in ("--unset", option)]), 0.0)
    assert unset == dict(USUAL.values())
    assert all(said[name] != value for name, value in unset.items())
    assert f"--{' --'.join(USUAL)}".split() == [f"--{option}" for option in USUAL if f"--{option}" in ALL.split()]


def test_what_is_usual_is_what_a_new_key_is() -> None:
    made = KeyToCreate(name="ci")
    for name, value in USUAL.values():
        own = getattr(made, name)
        assert (list(own) if isinstance(own, tuple) else own) == value
    assert {name for name, _ in USUAL.values()} == set(KeyToChange.__struct_fields__) - {"name", "not_before_ms"}


def test_a_change_is_of_something_and_says_one_thing() -> None:
    with pytest.raises(CommandError, match="say what is to be different") as nothing:
        changes_of(change(), 0.0)
    with pytest.raises(CommandError, match="content, tags: cannot be given and unset at once"):
        changes_of(change("--tag", "a", "--content", "none", "--unset", "tag", "--unset", "content"), 0.0)
    with pytest.raises(CommandError, match="--unset must be one of team, user, ") as unknown:
        changes_of(change("--unset", "name"), 0.0)
    assert nothing.value.exit_code == unknown.value.exit_code == 2


def test_spans_and_moments() -> None:
    assert [span_s(text, "--overlap") for text in ("0s", "30m", "24h", "7d")] == [0, 1800, 86_400, 604_800]
    with pytest.raises(CommandError, match="--overlap must be a span"):
        span_s("-1h", "--overlap")
    assert moment_ms("1d", 1_000.0) == (1_000 + 86_400) * 1000
    assert moment_ms("2027-01-31", 0.0) == moment_ms("2027-01-31T01:00:00+01:00", 0.0) == 1_801_353_600_000
    assert limit_of("concurrent=4") == {"concurrent": 4}
    assert limit_of("cost=20 USD/month") == {"cost": "20 USD/month"}
