from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from multidict import CIMultiDict

from gateway.admin.answers import Refused
from gateway.admin.gate import ALL, AdminToken, Gate, check_host, refuse_shared_token
from gateway.admin.routes import Permission
from gateway.errors import RequestError, StartError
from gateway.keys.virtual_keys import HeldKey, KeyRing, generate
from gateway.secret import Secret

if TYPE_CHECKING:
    from gateway.keys.view import KeyView
    from gateway.server import Inbound

TOKEN = "token-of-the-operators-0123456789"


def asking(
    token: str | None = TOKEN, host: str = "127.0.0.1", peer: str = "192.0.2.1", scheme: str = "Bearer"
) -> Inbound:
    headers = CIMultiDict({"Host": host})
    if token is not None:
        headers["Authorization"] = f"{scheme} {token}"
    inbound = SimpleNamespace(headers=headers, peer=lambda: peer, target="/admin/v1/keys?x", method="GET")
    return cast("Inbound", inbound)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def refusal(gate: Gate, inbound: Inbound, permission: Permission = Permission.KEYS_READ) -> RequestError:
    with pytest.raises(RequestError) as refused:
        gate.admit(inbound, permission)
    return refused.value


def test_the_token_opens_everything() -> None:
    gate = Gate(AdminToken(Secret(TOKEN)))
    for permission in Permission:
        operator = gate.admit(asking(host="any.example"), permission)
        assert permission in operator.permissions
    assert gate.admit(asking(), Permission.KEYS_WRITE).permissions == ALL
    assert gate.admit(asking(scheme="bearer"), Permission.KEYS_WRITE).name == "admin_token"


def test_the_token_beside_another_opens_nothing() -> None:
    inbound = asking()
    cast("CIMultiDict[str]", inbound.headers).add("Authorization", "Bearer other")
    assert refusal(Gate(AdminToken(Secret(TOKEN))), inbound).status == 401


@pytest.mark.parametrize("token", [None, "", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "\udcff\udcfe"])
def test_nothing_else_does(token: str | None) -> None:
    gate = Gate(AdminToken(Secret(TOKEN)))
    refused = refusal(gate, asking(token))
    assert (refused.status, refused.code) == (401, "invalid_admin_token")
    assert gate.admit(asking(token), Permission.OPEN).permissions == {Permission.OPEN}


def test_those_who_guess_wait_and_the_right_token_never_does() -> None:
    clock = Clock()
    gate = Gate(AdminToken(Secret(TOKEN)), clock)
    assert [refusal(gate, asking("wrong")).status for _ in range(12)] == [401] * 10 + [429] * 2
    refused = refusal(gate, asking("wrong"))
    assert isinstance(refused, Refused)
    assert refused.headers == (("retry-after", "6"),)
    assert gate.admit(asking(), Permission.KEYS_READ).name == "admin_token", "from the same address"
    assert refusal(gate, asking("wrong", peer="192.0.2.2")).status == 401
    clock.now_s += 6
    assert refusal(gate, asking("wrong")).status == 401


def test_without_a_token_this_machine_looks_and_changes_nothing() -> None:
    gate = Gate(None)
    for permission in (Permission.OPS_READ, Permission.KNOWN):
        assert gate.admit(asking(None), permission).name == "loopback"
    for permission in set(Permission) - {Permission.OPEN, Permission.KNOWN, Permission.OPS_READ}:
        refused = refusal(gate, asking("any-token-whatsoever-123"), permission)
        assert (refused.status, refused.code) == (403, "admin_token_not_configured")
        assert "secrets.admin_token" in refused.message


@pytest.mark.parametrize(("host", "is_let_in"), [("localhost:1", True), ("[::1]", True), ("evil.example", False)])
def test_a_web_page_does_not_get_in_by_a_name(host: str, *, is_let_in: bool) -> None:
    inbound = asking(None, host)
    if is_let_in:
        check_host(inbound)
        return
    assert refusal(Gate(None), inbound, Permission.OPS_READ).code == "host_not_allowed"


def test_a_principal_with_fewer_permissions_is_told_which_it_lacks() -> None:
    gate = Gate(AdminToken(Secret(TOKEN)))
    auditor: Any = SimpleNamespace(name="auditor", permissions=frozenset({Permission.USAGE_READ}))
    with pytest.raises(RequestError) as refused:
        gate._check(auditor, Permission.KEYS_WRITE)
    assert (refused.value.status, refused.value.code) == (403, "permission_denied")
    assert "keys:write" in refused.value.message


def test_a_denial_is_told_to_the_log_without_what_was_presented(caplog: pytest.LogCaptureFixture) -> None:
    refusal(Gate(AdminToken(Secret(TOKEN))), asking("sk-a-secret-somebody-guessed"))
    (record,) = caplog.records
    assert record.audit == {  # type: ignore[attr-defined]
        "actor": "unknown",
        "peer": "192.0.2.1",
        "action": "GET",
        "object": "/admin/v1/keys",
        "outcome": "denied 401 invalid_admin_token",
    }
    assert "guessed" not in caplog.text


def test_the_token_is_shown_to_nobody() -> None:
    token = AdminToken(Secret(TOKEN))
    assert TOKEN not in f"{token} {token!r}"
    assert not [name for name in AdminToken.__slots__ if TOKEN.encode() in bytes(getattr(token, name))]
    assert not isinstance(token, Secret), "so that no key can be made of it"
    assert not token.is_this(pickle.dumps(copy.copy(token._mac)))


def test_a_token_that_is_a_key_too_is_refused() -> None:
    key = generate("live")
    ring = cast("KeyView", KeyRing([HeldKey(Secret(key), "k")], b"p" * 32))
    with pytest.raises(StartError, match="also a virtual key"):
        refuse_shared_token(Secret(key), ring)
    refuse_shared_token(Secret(generate("live")), ring)
    refuse_shared_token(Secret(TOKEN), ring)
    refuse_shared_token(None, ring)
