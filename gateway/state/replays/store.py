"""Where outcomes of calls with an `Idempotency-Key` are kept, and who may run one: what a store of them must do."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import msgspec

LEASE_S: Final = 15.0
"""How long a claim outlives its last renewal; after that the call of a process that died may be run again."""
ENTRY_BYTES: Final = 256
"""What an outcome takes besides its text."""
BYTES_PER_CHAR: Final = 4
"""At most, of a text in memory and on Redis."""


class Slot(NamedTuple):
    """One key of one caller at one endpoint. `name` tells it apart within its tenant, `fingerprint` what was asked."""

    tenant: str
    name: str
    fingerprint: bytes


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A refusal that blames the request."""

    status: int
    code: str
    message: str
    param: str | None = None


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What a call came to: a whole answer, all events of a stream, or a refusal; with none of them, an answer that was
    given and is not kept. `headers` are those of the upstream that its caller was shown.
    """

    request_id: str
    route: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    events: bytes | None = None
    refusal: Refusal | None = None

    @property
    def is_spent(self) -> bool:
        return self.body is None and self.events is None and self.refusal is None

    @property
    def size_bytes(self) -> int:
        text_bytes = len(self.body or b"") + len(self.events or b"")
        if self.refusal is not None:  # an upstream's words, which callers can make long
            text_bytes += BYTES_PER_CHAR * (len(self.refusal.message) + len(self.refusal.param or ""))
        return ENTRY_BYTES + text_bytes

    def without_text(self) -> Outcome:
        """What is left when the room is needed for others."""
        return Outcome(self.request_id)


class Claimed(NamedTuple):
    """Nobody else has this slot: the call is to be made, and then kept or released."""


class Busy(NamedTuple):
    """A call of this slot is under way."""

    fingerprint: bytes


class Kept(NamedTuple):
    """A call of this slot has ended."""

    fingerprint: bytes
    outcome: Outcome


Found = Claimed | Busy | Kept


class ReplayStore(Protocol):
    """Each slot is free, claimed by one process, or kept; what is claimed is renewed until it is kept or released."""

    async def claim(self, slot: Slot) -> Found:
        """Claim the slot if it is free. Raises `StoreUnavailable`; a cancelled claim is given back."""

    async def keep(self, slot: Slot, outcome: Outcome) -> None:
        """Ends a claim. Never raises: a store that is away is told when it returns."""

    def release(self, slot: Slot) -> None:
        """Ends a claim; the slot is free again."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...
