"""`pointsman keys|orgs|teams|users|limits|cache`: the admin API from a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.commands import cache_commands, key_commands, owner_commands
from gateway.commands.admin_client import CommandError
from gateway.commands.admin_target import client_of
from gateway.tables import table, terminal_width

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gateway.commands.admin_client import AdminClient
    from gateway.commands.shown import Shown


def run(arguments: argparse.Namespace) -> int:
    """0 done, 1 refused or not reached (standard error says why), 2 wrongly asked."""
    try:
        shown = ACTS[arguments.act](client_of(arguments, os.environ), arguments)
    except CommandError as error:
        sys.stderr.write(f"pointsman {arguments.act}: {error}\n")
        return error.exit_code
    if arguments.json:
        if shown.body is not None:
            sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(shown.body), indent=2).decode()}\n")
        return shown.exit_code
    if shown.secret is not None:
        sys.stdout.write(f"{shown.secret}\n")
        sys.stdout.flush()
    elif shown.heads:
        sys.stdout.write(f"{table(shown.heads, shown.rows, terminal_width())}\n")
    if shown.note:
        sys.stderr.write(f"{shown.note}\n")
    return shown.exit_code


ACTS: Final[dict[str, Callable[[AdminClient, Any], Shown]]] = (
    key_commands.ACTS | owner_commands.ACTS | cache_commands.ACTS
)
