"""What a command line says of a key, as the admin API has it. What the words may be is for the API to say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.commands.admin_client import CommandError

if TYPE_CHECKING:
    import argparse

_SPAN: Final = re.compile(r"([0-9]{1,7})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
USUAL: Final[dict[str, tuple[str, object]]] = {
    "team": ("team", None),
    "user": ("user", None),
    "route": ("routes", None),
    "network": ("networks", None),
    "tag": ("tags", []),
    "data-class": ("require_data_classes", []),
    "limit": ("limits", []),
    "output-tokens": ("output_tokens_default", None),
    "require-region": ("require_region", None),
    "priority": ("priority", "normal"),
    "no-cache": ("uses_cache", True),
    "content": ("content", None),
    "cost-in-body": ("cost_in_body", False),
    "trust-trace-context": ("trust_trace_context", False),
    "expires": ("expires_at_ms", None),
}
"""The options of a key's terms: what the API calls each, and what it is where nobody says anything."""


def terms_of(arguments: argparse.Namespace, now_s: float) -> dict[str, object]:
    """The terms that are said. Raises `CommandError`."""
    said: dict[str, object] = {
        "name": arguments.name,
        "team": arguments.team,
        "user": arguments.user,
        "routes": arguments.route or None,
        "networks": arguments.network or None,
        "tags": arguments.tag or None,
        "limits": [limit_of(text) for text in arguments.limit] or None,
        "output_tokens_default": arguments.output_tokens,
        "priority": arguments.priority,
        "uses_cache": False if arguments.no_cache else None,
        "content": arguments.content,
        "cost_in_body": arguments.cost_in_body or None,
        "trust_trace_context": arguments.trust_trace_context or None,
        "require_region": arguments.require_region,
        "require_data_classes": arguments.data_class or None,
        "expires_at_ms": None if arguments.expires is None else moment_ms(arguments.expires, now_s),
    }
    return {name: value for name, value in said.items() if value is not None}


def changes_of(arguments: argparse.Namespace, now_s: float) -> dict[str, object]:
    """The terms that are said, and the usual for those that are said to be unset. Raises `CommandError`."""
    said, unset = terms_of(arguments, now_s), dict(_usual(option) for option in arguments.unset)
    if not said and not unset:
        raise CommandError("say what is to be different, such as --tag blue or --unset expires", 2)
    if both := sorted(said.keys() & unset.keys()):
        raise CommandError(f"{', '.join(both)}: cannot be given and unset at once", 2)
    return said | unset


def _usual(option: str) -> tuple[str, object]:
    found = USUAL.get(option)
    if found is None:
        raise CommandError(f"--unset must be one of {', '.join(USUAL)}", 2)
    return found


def limit_of(text: str) -> dict[str, object]:
    """`tokens=100k/min` as the API has it."""
    resource, separator, amount = text.partition("=")
    if not separator or not amount:
        raise CommandError("--limit must look like tokens=100k/min", 2)
    return {resource: int(amount) if amount.isdecimal() else amount}


def span_s(text: str, option: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise CommandError(f"{option} must be a span such as 30m, 24h or 7d", 2)
    return int(found[1]) * _SECONDS[found[2]]


def moment_ms(text: str, now_s: float) -> int:
    """Unix milliseconds of an ISO date or time (UTC where it names no zone), or of a span from now."""
    if _SPAN.fullmatch(text):
        return int((now_s + span_s(text, "--expires")) * 1000)
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise CommandError("--expires must be a date such as 2027-01-31, a time, or a span such as 90d", 2) from None
