from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from gateway.commands.key_commands import state_of
from gateway.keys.virtual_keys import check, public_id

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]


def test_only_the_key_goes_to_standard_output(command: Command) -> None:
    code, out, err = command(
        "keys", "create", "--name", "ci", "--tag", "a", "--limit", "tokens=5k/min", "--expires", "1d"
    )
    assert code == 0
    assert out.count("\n") == 1
    assert check(out.strip()) is None
    assert out.strip().split("_")[2] not in err
    assert f"key ci ({public_id(out.strip())}) made" in err


def test_a_key_goes_through_its_life_by_name_and_by_id(command: Command) -> None:
    _, secret, _ = command("keys", "create", "--name", "ci", "--route", "r", "--network", "10.0.0.0/8")
    key_id = public_id(secret.strip()) or ""
    shown = json.loads(command("keys", "show", "ci", "--json")[1])
    assert (shown["id"], shown["routes"], shown["networks"]) == (key_id, ["r"], ["10.0.0.0/8"])
    code, fresh, err = command("keys", "rotate", key_id, "--overlap", "1h")
    assert code == 0
    assert public_id(fresh.strip()) == key_id
    assert fresh != secret
    assert "the one before works until" in err
    for verb, state in (("disable", "disabled"), ("enable", "active"), ("revoke", "revoked")):
        code, out, _ = command("keys", verb, "ci")
        assert code == 0
        assert f"state               {state}" in out
    assert command("keys", "show", key_id)[0] == 0, "by id a revoked key is still found"
    assert command("keys", "show", "ci")[::2] == (
        1,
        "pointsman keys show: there is no key with this id or name in the org 'default'\n",
    )


def test_a_key_is_made_with_what_it_requires_and_how_much_it_matters(command: Command) -> None:
    rules = ("--require-region", "eu", "--data-class", "phi", "--data-class", "pii", "--priority", "high")
    assert command("keys", "create", "--name", "ci", *rules)[0] == 0
    shown = json.loads(command("keys", "show", "ci", "--json")[1])
    assert (shown["require_region"], shown["require_data_classes"], shown["priority"]) == ("eu", ["phi", "pii"], "high")
    lines = command("keys", "show", "ci")[1].splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith(("priority", "requires"))] == [
        "high",
        "eu,phi,pii",
    ]
    assert command("keys", "create", "--name", "b", "--priority", "urgent")[2].startswith(
        "pointsman keys create: priority"
    )


def test_a_key_may_be_kept_off_caches(command: Command) -> None:
    for name, options, shown in (("a", (), "yes"), ("b", ("--no-cache",), "no")):
        assert command("keys", "create", "--name", name, *options)[0] == 0
        lines = command("keys", "show", name)[1].splitlines()
        assert [line.split()[1] for line in lines if line.startswith("cache")] == [shown]
        assert json.loads(command("keys", "show", name, "--json")[1])["uses_cache"] is (shown == "yes")


def lines_of(command: Command, name: str) -> dict[str, str]:
    rows = [line.rsplit(maxsplit=1) for line in command("keys", "show", name)[1].splitlines()]
    return {label.strip(): value for label, value in rows}


def test_a_key_says_what_may_be_told_of_its_calls(command: Command) -> None:
    said = ("--content", "hash", "--cost-in-body", "--trust-trace-context")
    for name, options, shown in (("a", (), ["-", "no", "no"]), ("b", said, ["hash", "yes", "yes"])):
        assert command("keys", "create", "--name", name, *options)[0] == 0
        lines = lines_of(command, name)
        assert [lines[label] for label in ("content", "cost in body", "trusts trace")] == shown
    code, _, err = command("keys", "create", "--name", "c", "--content", "everything")
    assert code == 1
    assert err == (
        "pointsman keys create: content: Invalid enum value 'everything'; must be one of full, hash, none, redacted.\n"
    )


def test_a_key_is_given_other_terms_by_its_name(command: Command) -> None:
    command("keys", "create", "--name", "ci", "--tag", "a", "--tag", "b", "--content", "full", "--expires", "1d")
    before = json.loads(command("keys", "show", "ci", "--json")[1])
    words = ("--name", "cd", "--content", "none", "--tag", "c", "--unset", "expires", "--trust-trace-context")
    code, out, _ = command("keys", "change", "ci", *words, "--json")
    assert code == 0
    different = {"name": "cd", "content": "none", "tags": ["c"], "expires_at_ms": None, "trust_trace_context": True}
    assert json.loads(out) == before | different | {"revision": json.loads(out)["revision"]}
    assert command("keys", "change", "cd", "--unset", "content", "--unset", "trust-trace-context")[0] == 0
    lines = lines_of(command, "cd")
    assert (lines["content"], lines["trusts trace"], lines["tags"]) == ("-", "no", "c")
    assert command("keys", "change", "cd")[::2] == (
        2,
        "pointsman keys change: say what is to be different, such as --tag blue or --unset expires\n",
    )
    assert command("keys", "change", "ci", "--tag", "x")[0] == 1, "nobody is called so any more"


def test_a_list_shows_what_is_asked_for(command: Command) -> None:
    for name in ("a", "b", "twelveletter"):
        command("keys", "create", "--name", name, "--tag", f"t-{name}")
    command("keys", "revoke", "twelveletter")
    _, out, _ = command("keys", "list")
    head, *lines = out.splitlines()
    assert head.split()[:3] == ["ID", "NAME", "ORG"]
    assert [line.split()[1] for line in lines] == ["a", "b"]
    assert len(json.loads(command("keys", "list", "--all", "--json")[1])["keys"]) == 3
    assert [key["name"] for key in json.loads(command("keys", "list", "--tag", "t-b", "--json")[1])["keys"]] == ["b"]


def test_what_the_api_refuses_is_said(command: Command) -> None:
    code, out, err = command("keys", "create", "--name", "a", "--limit", "tokens=lots")
    assert (code, out) == (1, "")
    assert err.startswith("pointsman keys create: limits[0].tokens must be an amount and a window")
    assert command("keys", "create", "--name", "a", "--expires", "soon")[0] == 2
    assert command("keys", "create", "--name", "a", "--limit", "tokens")[0] == 2


def test_a_key_has_one_state() -> None:
    now_ms = int(time.time() * 1000)
    active = {"revoked_at_ms": None, "disabled": False, "expires_at_ms": None}
    assert state_of(active) == state_of(active | {"expires_at_ms": now_ms + 60_000}) == "active"
    assert state_of(active | {"expires_at_ms": now_ms}) == "expired"
    assert state_of(active | {"disabled": True, "expires_at_ms": now_ms}) == "disabled"
    assert state_of(active | {"disabled": True, "revoked_at_ms": 1}) == "revoked"
