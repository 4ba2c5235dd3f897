"""`pointsman tail`: calls as they end, one line each."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from gateway.commands.admin_client import CommandError
from gateway.commands.admin_target import client_of
from gateway.commands.silence import LATE_S, told_of_silence
from gateway.commands.wait import backoff_s
from gateway.tables import terminal_width
from gateway.watching.told_call import Paint, told_call

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from gateway.commands.admin_client import AdminClient

EVENTS: Final = "/admin/v1/events"
WAIT_S: Final = 20
FILTERS: Final = ("route", "team", "key", "model", "deployment", "outcome", "min_cost", "min_ms")


class Follower:
    """The events of one gateway, over its restarts and over what cuts the connection."""

    def __init__(self, client: AdminClient, words: dict[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._words = words
        self._sleep = sleep
        self._cursor: str | None = None

    def events(self) -> Iterator[dict[str, Any]]:
        """Without end. Raises `CommandError` where the gateway cannot be asked from the start."""
        self._ask()
        failures = 0
        while True:
            try:
                page = self._ask()
            except CommandError as error:
                if error.exit_code != 1:
                    raise
                failures += 1
                self._say(f"{error}; trying again")
                self._sleep(backoff_s(failures))
                continue
            if failures:
                self._say("following again")
            failures = 0
            if page["missed"]:
                self._say(f"{page['missed']} calls went by too quickly to be shown")
            yield from page["events"]

    def _ask(self) -> dict[str, Any]:
        words = self._words if self._cursor is None else {**self._words, "after": self._cursor, "wait_s": str(WAIT_S)}
        with told_of_silence("tail", LATE_S + (0 if self._cursor is None else WAIT_S)):
            page: dict[str, Any] = self._client.ask("GET", f"{EVENTS}?{urlencode(words)}").body
        self._cursor = page["cursor"]
        return page

    def _say(self, text: str) -> None:
        sys.stderr.write(f"pointsman tail: {text}\n")


def command(arguments: argparse.Namespace) -> int:
    """0 when somebody has seen enough, 1 where the gateway cannot be asked from the start, 2 where wrongly asked."""
    paint = Paint(sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    try:
        for event in Follower(client_of(arguments, os.environ), words_of(arguments)).events():
            line = msgspec.json.encode(event).decode() if arguments.json else told_call(event, paint, terminal_width())
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except CommandError as error:
        sys.stderr.write(f"pointsman tail: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        pass
    return 0


def words_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The filters as the API has them."""
    found = {name: str(value) for name in FILTERS if (value := getattr(arguments, name)) is not None}
    return found | ({"errors": "true"} if arguments.errors else {})
