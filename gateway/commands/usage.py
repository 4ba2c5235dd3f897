"""`pointsman usage`: what was spent, added up from the ledger. The gateway may go on writing meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.commands.usage_shown import FORMATS, Report
from gateway.config import ConfigProblems, load
from gateway.errors import MissingExtra
from gateway.scrubbing import printable
from gateway.state.database import Database
from gateway.state.ledger.hardware_report import idle_by
from gateway.state.ledger.reports import ALL_TIME_MS, MONTH, Span, checked, month_span, spend_by
from gateway.state.ledger.schema import LedgerError
from gateway.state.migrating import require_current

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MONTH = re.compile(MONTH)


def ledger_url(config: Path | None, ledger: str | None) -> str | None:
    """The ledger that the command line names, by a policy file or itself; None, and people told why, where it fails."""
    if ledger is not None or config is None:
        return ledger if ledger is None or "://" in ledger else f"sqlite:///{ledger}"
    try:
        return load(config, os.environ).ledger.url.reveal()
    except ConfigProblems as problems:
        print(problems, file=sys.stderr)  # noqa: T201 - a command speaks
        return None


def report(ledger: str, by: str | Sequence[str], span: Span, form: str) -> int:
    """Print the spend by one to three of GROUPS, from the ledger at a URL. Exit code 2 when it cannot be read."""
    try:
        found = asyncio.run(read(ledger, by, span))
    except (LedgerError, MissingExtra, ValueError) as error:
        print(f"pointsman usage: {error}", file=sys.stderr)  # noqa: T201 - as above
        return 2
    print(FORMATS[form](found))  # noqa: T201 - as above
    return 0


async def read(url: str, by: str | Sequence[str], span: Span) -> Report:
    """The spend of each group and of all, without writing anything. Raises `LedgerError` and `ValueError`."""
    database = Database(url)
    try:
        await require_current(database)
        async with database.read() as connection:
            groups, total = await spend_by(connection, by, span)
            idle, hardware = await idle_by(connection, by, span)
            return Report(checked(by), groups, total, idle, hardware)
    finally:
        await database.close()


def parse_span(since: str | None, until: str | None, month: str | None, now: datetime) -> Span:
    """Raises `ValueError`, which names the option."""
    if month is not None:
        if since is not None or until is not None:
            raise ValueError("--month is a span of its own: leave --since and --until out")
        try:
            return month_span(month)
        except ValueError as error:
            raise ValueError(f"--month: {error}, not {printable(month, 40)!r}") from None
    return Span(
        parse_moment("--since", since, now) if since is not None else ALL_TIME_MS[0],
        parse_moment("--until", until, now) if until is not None else ALL_TIME_MS[1],
    )


def parse_moment(option: str, text: str, now: datetime) -> int:
    """Unix milliseconds for `7d` ago (also s, m, h, w), a month's first, an ISO date or time; UTC where it names no
    zone.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            moment = now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            moment = datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(int(moment.timestamp() * 1000), ALL_TIME_MS[0])
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{option} wants a day like 2026-11-01, or a span like 7d, 12h or 90s, not {printable(text, 40)!r}"
        ) from error
