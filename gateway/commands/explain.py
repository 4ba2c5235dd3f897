"""`pointsman explain`: where a request would go and why, sending nothing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.commands.asked_policy import policy_of
from gateway.explaining.decisions import decision_of
from gateway.explaining.rehearsal import NoSuchDeployment, NoSuchKey, Question, Rehearsal
from gateway.explaining.tables import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.vocabulary import Endpoint

OK: Final = 0
NOBODY: Final = 1
REFUSED: Final = 2


def run(config_file: Path, request_file: str, question: Question, *, as_json: bool) -> int:
    """0 where somebody would be asked, 1 where the request would be refused, 2 where a file is wrong."""
    config = policy_of(config_file)
    if config is None:
        return REFUSED
    try:
        body = sys.stdin.buffer.read() if request_file == "-" else Path(request_file).read_bytes()
        rehearsed = asyncio.run(Rehearsal(config).ask(question._replace(body=body)))
    except OSError as error:
        sys.stderr.write(f"{request_file}: {error.strerror}\n")
        return REFUSED
    except (NoSuchKey, NoSuchDeployment) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    decision = decision_of(rehearsed.call)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(decision), indent=2).decode() + "\n")
    else:
        sys.stdout.write(shown(decision))
        for limit, holder in rehearsed.bounds:
            sys.stdout.write(f"held to the limit {limit.id} of {limit.scope} {holder}\n")
    if rehearsed.error is not None:
        sys.stderr.write(f"{rehearsed.error.message}\n")
        return NOBODY
    return OK


def question_of(
    endpoint: Endpoint, key: str | None, headers: Sequence[str], at_s: float | None, down: Sequence[str]
) -> Question:
    """Of the words of a command line. Raises `ValueError` for a header that is not NAME: VALUE."""
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"{header!r} is no header: write NAME: VALUE")
        pairs.append((name.strip(), value.strip()))
    return Question(b"", endpoint, key, tuple(pairs), at_s, frozenset(down))
