from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.commands.owner_commands import amount, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gateway.admin.listening import Listening

    Command = Callable[..., tuple[int, str, str]]


def test_an_org_from_first_to_last(command: Command) -> None:
    assert command("orgs", "create", "acme", "--timezone", "Europe/Berlin")[0] == 0
    assert json.loads(command("orgs", "change", "acme", "--weight", "3", "--json")[1])["weight"] == 3
    assert command("orgs", "list")[1].splitlines() == [
        "NAME     TIMEZONE       WEIGHT",
        "acme     Europe/Berlin  3",
        "default  UTC            1",
    ]
    assert command("orgs", "show", "acme")[1].splitlines()[1] == "acme  Europe/Berlin  3"
    assert command("orgs", "change", "acme")[::2] == (
        2,
        "pointsman orgs change: say what is to be different: --timezone or --weight\n",
    )
    assert command("orgs", "delete", "acme") == (0, "", "org acme deleted\n")
    assert command("orgs", "delete", "acme")[0] == 1


@pytest.mark.parametrize(("several", "one"), [("teams", "team"), ("users", "user")])
def test_a_member_from_first_to_last(command: Command, several: str, one: str) -> None:
    assert command(several, "create", "rd/one")[0] == 0
    assert command(several, "list", "--org", "default")[1].splitlines() == ["ORG      NAME", "default  rd/one"]
    assert json.loads(command(several, "show", "rd/one", "--json")[1])["name"] == "rd/one"
    assert command(several, "delete", "rd/one", "--json") == (0, "", "")
    assert command(several, "show", "rd/one")[::2] == (
        1,
        f"pointsman {several} show: The org 'default' has no {one} 'rd/one'.\n",
    )


def test_limits_say_what_is_left(command: Command, gateway: Listening) -> None:
    assert command("limits") == (
        0,
        "ORG  SCOPE  HOLDER  COUNTS  WINDOW  LIMIT  USED  HELD  LEFT  FULL IN  ID\n",
        NOTHING,
    )
    _, secret, _ = command("keys", "create", "--name", "ci", "--limit", "concurrent=4")
    spend(gateway, secret.strip())
    found = json.loads(command("limits", "--scope", "key", "--holder", "ci", "--json")[1])["limits"]
    assert {(level["resource"], level["amount"]) for level in found} >= {("requests", 60), ("concurrent", 4)}
    _, out, _ = command("limits")
    requests = next(line for line in out.splitlines() if " requests " in line)
    assert requests.split()[:9] == ["default", "key", "ci", "requests", "60", "s", "60", "1", "0"]


NOTHING = "nothing was counted under any limit yet\n"


def spend(gateway: Listening, key: str) -> None:
    import http.client  # noqa: PLC0415 - for this test only

    connection = http.client.HTTPConnection(gateway.data_url.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps({"model": "r", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})
    connection.request("POST", "/v1/chat/completions", body, headers)
    assert connection.getresponse().status == 502
    connection.close()


def test_amounts_as_people_read_them() -> None:
    assert amount(20_000_000_000, "cost") == "20 USD"
    assert amount(1_500, "cost") == "0.000002 USD"
    assert amount(60, "requests") == "60"
    assert amount(None, "cost") is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "now"), (0.2, "1s"), (59.5, "1m 0s"), (200, "3m 20s"), (3600, "1h 0m"), (757658.7, "8d 18h")],
)
def test_times_to_come_are_read_at_a_glance(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
