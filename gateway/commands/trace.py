"""`pointsman trace`: one call, from a running gateway or out of the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.admin.routes import NAMES
from gateway.commands.admin_client import CommandError, NotFoundError
from gateway.commands.admin_target import client_of
from gateway.commands.shown import path_of
from gateway.commands.silence import told_of_silence
from gateway.commands.usage import ledger_url
from gateway.errors import MissingExtra
from gateway.explaining.traced import Sources, TracedCall, traced
from gateway.scrubbing import printable
from gateway.state.database import Database
from gateway.state.ledger.lookup import last_request, rows_of
from gateway.state.ledger.schema import LedgerError
from gateway.state.migrating import require_current
from gateway.tables import terminal_width
from gateway.watching.told_trace import told_trace

if TYPE_CHECKING:
    import argparse

    from gateway.commands.admin_client import AdminClient

COLUMNS: Final = 80
REFUSED: Final = 2
INTERRUPTED: Final = 130


def command(arguments: argparse.Namespace) -> int:
    """0, 1 where the gateway cannot be asked, 2 where nobody knows the call or the command is wrong."""
    try:
        _check(arguments)
        found = _offline(arguments) if arguments.ledger is not None else _asked(arguments)
    except NotFoundError as error:
        return _refuse(error, REFUSED)
    except CommandError as error:
        return _refuse(error, error.exit_code)
    except (LedgerError, MissingExtra) as error:
        return _refuse(error, REFUSED)
    except KeyboardInterrupt:
        return INTERRUPTED
    if arguments.json:
        # In ASCII: whatever a terminal might act upon is an escape.
        sys.stdout.write(f"{json.dumps(msgspec.to_builtins(found), indent=2)}\n")
    else:
        sys.stdout.write(told_trace(found, terminal_width() or COLUMNS))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.request_id is None) is not arguments.last:
        raise CommandError("name a request (the x-request-id of its answer), or say --last", REFUSED)
    if arguments.errors and not arguments.last:
        raise CommandError("--errors goes with --last", REFUSED)
    if arguments.ledger is not None and (arguments.config is not None or arguments.url is not None):
        raise CommandError("--ledger is read without a gateway: leave --config and --url out", REFUSED)
    named = arguments.request_id
    if named is not None and not NAMES["request_id"].fullmatch(named):
        said = printable(named, 60)
        raise CommandError(f"{said!r} is no id of a request: those look like req_ and 28 digits from 0 to f", REFUSED)


def _refuse(error: Exception, exit_code: int) -> int:
    sys.stderr.write(f"pointsman trace: {error}\n")
    return exit_code


def _asked(arguments: argparse.Namespace) -> TracedCall:
    client = client_of(arguments, os.environ)
    with told_of_silence("trace"):
        request_id = _last_of(client, failed=arguments.errors) if arguments.last else arguments.request_id
        body = client.ask("GET", path_of("requests", request_id)).body
    try:
        return msgspec.convert(body, TracedCall)
    except msgspec.ValidationError as error:
        raise CommandError(f"the gateway tells of calls in another way than this version: {error}") from error


def _last_of(client: AdminClient, *, failed: bool) -> str:
    body: dict[str, Any] = client.ask("GET", "/admin/v1/decisions?limit=1" + ("&errors=true" if failed else "")).body
    if not body["decisions"]:
        which = "no failed call" if failed else "no call"
        raise NotFoundError(f"the gateway remembers {which} since it started; --ledger FILE looks further back")
    return str(body["decisions"][0]["request_id"])


def _offline(arguments: argparse.Namespace) -> TracedCall:
    url = ledger_url(None, arguments.ledger)
    return asyncio.run(_read(str(url), None if arguments.last else arguments.request_id, failed=arguments.errors))


async def _read(url: str, request_id: str | None, *, failed: bool) -> TracedCall:
    """Of the call, or of the last one. Raises `LedgerError` and `NotFoundError`."""
    database = Database(url)
    try:
        await require_current(database)
        async with database.read() as connection:
            named = request_id or await last_request(connection, failed=failed)
            found = None if named is None else traced(named, Sources(None, await rows_of(connection, named)))
    finally:
        await database.close()
    if found is None:
        which = "this call" if named is not None else "any call that failed" if failed else "any call"
        raise NotFoundError(f"the ledger knows of no attempt of {which}")
    return found
