from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from gateway.commands.admin_client import CommandError
from gateway.commands.key_commands import limit_of, moment_ms, span_s, state_of
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


def test_spans_and_moments() -> None:
    assert [span_s(text, "--overlap") for text in ("0s", "30m", "24h", "7d")] == [0, 1800, 86_400, 604_800]
    with pytest.raises(CommandError, match="--overlap must be a span"):
        span_s("-1h", "--overlap")
    assert moment_ms("1d", 1_000.0) == (1_000 + 86_400) * 1000
    assert moment_ms("2027-01-31", 0.0) == moment_ms("2027-01-31T01:00:00+01:00", 0.0) == 1_801_353_600_000
    assert limit_of("concurrent=4") == {"concurrent": 4}
    assert limit_of("cost=20 USD/month") == {"cost": "20 USD/month"}


def test_a_key_has_one_state() -> None:
    now_ms = int(time.time() * 1000)
    active = {"revoked_at_ms": None, "disabled": False, "expires_at_ms": None}
    assert state_of(active) == state_of(active | {"expires_at_ms": now_ms + 60_000}) == "active"
    assert state_of(active | {"expires_at_ms": now_ms}) == "expired"
    assert state_of(active | {"disabled": True, "expires_at_ms": now_ms}) == "disabled"
    assert state_of(active | {"disabled": True, "revoked_at_ms": 1}) == "revoked"
