"""The command line. Each command's work is in `gateway.commands`, imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.commands.admin_words import add_admin_words
from gateway.commands.engine_words import add_engine_words
from gateway.commands.live_words import add_live_words
from gateway.commands.policy_words import add_policy_words

if TYPE_CHECKING:
    from collections.abc import Sequence


USAGE_GROUPS = ("key", "team", "user", "org", "route", "deployment", "provider", "model", "day", "tag")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 failed while running, 2 the command line or the policy file is wrong."""
    arguments = parser().parse_args(argv)
    return int(arguments.run(arguments))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="pointsman", description="A self-hosted AI gateway.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="start the gateway")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="the policy file")
    serve.add_argument("--key-file", type=Path, metavar="FILE", help="a file whose key the greeting shows")
    serve.add_argument("--worker", metavar="PLACE", help=argparse.SUPPRESS)  # between a supervisor and its workers
    serve.set_defaults(run=_serve)

    check = commands.add_parser("check", help="check a policy file; exit code 0 when it is good, 2 when it is not")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_check)

    add_engine_words(commands)
    add_policy_words(commands)

    keys = commands.add_parser("keys", help="virtual keys").add_subparsers(required=True, metavar="COMMAND")
    generate = keys.add_parser("generate", help="print a fresh virtual key")
    generate.add_argument("--env", default="live", help="a word inside the key that tells environments apart")
    generate.set_defaults(run=_generate_key)

    add_admin_words(commands, keys)
    add_live_words(commands)
    _add_usage(commands.add_parser("usage", help="what was spent, from the ledger"))
    return top


def _add_usage(usage: argparse.ArgumentParser) -> None:
    _add_ledger(usage, None)
    usage.add_argument("--by", choices=USAGE_GROUPS, default="key")
    usage.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    usage.set_defaults(run=_usage, refuse=usage.error)
    export = usage.add_subparsers(metavar="export").add_parser(
        "export", help="every attempt, or FOCUS lines, to a file"
    )
    # What is named before `export` holds unless it is named again.
    _add_ledger(export, argparse.SUPPRESS)
    export.add_argument("--format", choices=("csv", "parquet", "focus"), help="of attempts: as FILE ends, else csv")
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="- for standard output; focus is Parquet if FILE ends so",
    )
    export.set_defaults(run=_export_usage)


def _add_ledger(usage: argparse.ArgumentParser, missing: str | None) -> None:
    named = partial(usage.add_mutually_exclusive_group().add_argument, default=missing)
    named("--config", type=Path, metavar="FILE", help="the policy file naming the ledger")
    named("--ledger", metavar="FILE", help="the ledger itself, or its URL; needs no policy")
    add = partial(usage.add_argument, default=missing)
    add("--since", metavar="DATE", help="from this UTC day on, as 2026-11-01, or for a span, as 7d")
    add("--until", metavar="DATE", help="before this UTC day")


def _serve(arguments: argparse.Namespace) -> int:
    from gateway.commands import serve  # noqa: PLC0415 - each command pays for its own imports only

    if arguments.worker is None:
        return serve.run(arguments.config, arguments.key_file)
    from gateway.supervisor.place import parse_place  # noqa: PLC0415 - as above

    return serve.run(arguments.config, None, parse_place(arguments.worker))


def _check(arguments: argparse.Namespace) -> int:
    from gateway.commands import check  # noqa: PLC0415 - as above

    return check.run(str(arguments.file))


def _generate_key(arguments: argparse.Namespace) -> int:
    from gateway.commands import keys  # noqa: PLC0415 - as above

    return keys.generate(arguments.env)


def _usage(arguments: argparse.Namespace) -> int:
    from gateway.commands import usage  # noqa: PLC0415 - as above

    if arguments.config is None and arguments.ledger is None:
        arguments.refuse("name the ledger by --config or by --ledger")
    ledger = usage.ledger_url(arguments.config, arguments.ledger)
    if ledger is None:
        return 2
    span = {"since": arguments.since, "until": arguments.until}
    return usage.report(ledger, by=arguments.by, as_json=arguments.json, **span)


def _export_usage(arguments: argparse.Namespace) -> int:
    from gateway.commands import usage, usage_export  # noqa: PLC0415 - as above

    if arguments.config is None and arguments.ledger is None:
        arguments.refuse("name the ledger by --config or by --ledger")
    ledger = usage.ledger_url(arguments.config, arguments.ledger)
    if ledger is None:
        return 2
    span = {"since": arguments.since, "until": arguments.until}
    return usage_export.export(ledger, arguments.format, arguments.out, **span)


if __name__ == "__main__":
    sys.exit(main())
