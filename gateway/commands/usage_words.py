"""The words of `pointsman usage`: what was spent, every attempt in a file, and the ledger beside an invoice."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gateway.state.ledger.reports import Span

USAGE_GROUPS: Final = (
    "key",
    "team",
    "user",
    "org",
    "route",
    "deployment",
    "provider",
    "model",
    "source",
    "day",
    "tag",
)


def add_usage_words(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    usage = commands.add_parser("usage", help="what was spent, from the ledger")
    _add_ledger(usage, None)
    usage.add_argument("--by", action="append", choices=USAGE_GROUPS, help="key by default; up to three times")
    form = usage.add_mutually_exclusive_group()
    form.add_argument("--format", choices=("table", "json", "csv"), default="table", dest="form")
    form.add_argument("--json", action="store_const", const="json", dest="form", help="as --format json")
    usage.set_defaults(run=_usage, refuse=usage.error)
    more = usage.add_subparsers(metavar="export|reconcile")
    _add_export(more.add_parser("export", help="every attempt, or FOCUS lines, to a file"))
    _add_reconcile(more.add_parser("reconcile", help="the ledger beside a provider's invoice"))


def _add_export(export: argparse.ArgumentParser) -> None:
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


def _add_reconcile(reconcile: argparse.ArgumentParser) -> None:
    _add_ledger(reconcile, argparse.SUPPRESS)
    reconcile.add_argument("--provider", required=True, metavar="NAME", help="its name in the policy file")
    invoice = reconcile.add_mutually_exclusive_group()
    invoice.add_argument("--invoice", metavar="USD", help="what it billed for the span, such as 1234.56; kept")
    invoice.add_argument(
        "--lines", type=Path, metavar="FILE", help="the invoice's lines as CSV: model and amount; kept"
    )
    reconcile.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    reconcile.set_defaults(run=_reconcile)


def _add_ledger(usage: argparse.ArgumentParser, missing: str | None) -> None:
    named = partial(usage.add_mutually_exclusive_group().add_argument, default=missing)
    named("--config", type=Path, metavar="FILE", help="the policy file naming the ledger")
    named("--ledger", metavar="FILE", help="the ledger itself, or its URL; needs no policy")
    add = partial(usage.add_argument, default=missing)
    add("--since", metavar="DATE", help="from this UTC day or month on, as 2026-11-01, or for a span, as 7d")
    add("--until", metavar="DATE", help="before this UTC day or month")
    add("--month", metavar="MONTH", help="of this UTC month, as 2026-10")


def _asked(arguments: argparse.Namespace) -> tuple[str, Span] | None:
    """The ledger's URL and the span; None, and people told why, where they are not good."""
    from gateway.commands import usage  # noqa: PLC0415 - each command pays for its own imports only

    if arguments.config is None and arguments.ledger is None:
        arguments.refuse("name the ledger by --config or by --ledger")
    ledger = usage.ledger_url(arguments.config, arguments.ledger)
    if ledger is None:
        return None
    try:
        return ledger, usage.parse_span(arguments.since, arguments.until, arguments.month, datetime.now(UTC))
    except ValueError as error:
        sys.stderr.write(f"pointsman usage: {error}\n")
        return None


def _usage(arguments: argparse.Namespace) -> int:
    from gateway.commands import usage  # noqa: PLC0415 - as above

    asked = _asked(arguments)
    return 2 if asked is None else usage.report(asked[0], arguments.by or ["key"], asked[1], arguments.form)


def _export_usage(arguments: argparse.Namespace) -> int:
    from gateway.commands import usage_export  # noqa: PLC0415 - as above

    asked = _asked(arguments)
    return 2 if asked is None else usage_export.export(asked[0], arguments.format, arguments.out, asked[1])


def _reconcile(arguments: argparse.Namespace) -> int:
    from gateway.commands import usage_reconcile  # noqa: PLC0415 - as above

    asked = _asked(arguments)
    if asked is None:
        return 2
    told = usage_reconcile.Told(arguments.provider, asked[1], arguments.invoice, arguments.lines)
    return usage_reconcile.reconcile(asked[0], told, as_json=arguments.json)
