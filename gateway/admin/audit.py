"""One line in the log for every write on the operators' listener, and for everybody who was not let in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.scrubbing import scrub

if TYPE_CHECKING:
    from gateway.admin.answers import Answer

log = logging.getLogger(__name__)


def note(actor: str, peer: str, action: str, about: str, outcome: str) -> None:
    """`about` may be a path that somebody else wrote; what looks like a secret in it is masked."""
    fields = {"actor": actor, "peer": peer, "action": action, "object": scrub(about), "outcome": outcome}
    said = " ".join(f"{name}={value}" for name, value in fields.items())
    # The line's words are for people, its fields for machines.
    log.log(
        logging.WARNING if outcome.startswith("denied") else logging.INFO, "admin %s", said, extra={"audit": fields}
    )


def object_of(path: str, answer: Answer) -> str:
    """What a write was about: the record that it made or found, else the path."""
    return answer.header("location") or answer.header("content-location") or path
