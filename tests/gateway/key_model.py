"""What a stored key is to a person: which secrets open it, until when, and what stands against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.keys.virtual_keys import Refusal, generate, public_id
from gateway.state.keys.records import StoredKey
from tests.gateway.key_sets import a_key, digest

if TYPE_CHECKING:
    from random import Random


@dataclass
class Modelled:
    """A key as a person would tell of it: which secrets open it until when."""

    newest: str
    former: tuple[str, float] | None = None
    dead: list[str] = field(default_factory=list)
    not_before_s: float = 0.0
    expires_s: float = float("inf")
    disabled: bool = False
    revoked: bool = False

    def expected(self, presented: str, now: float) -> Refusal | None:
        """None: let in."""
        is_former = self.former is not None and presented == self.former[0]
        if self.revoked or (presented != self.newest and not is_former):
            return Refusal.UNKNOWN
        if now >= self.expires_s or (is_former and self.former is not None and now >= self.former[1]):
            return Refusal.EXPIRED
        if now < self.not_before_s:
            return Refusal.NOT_YET
        return Refusal.DISABLED if self.disabled else None

    def step(self, what: str, amount: int, now: float, rng: Random) -> None:
        if what == "rotate":
            self.dead += [self.former[0]] if self.former else []
            self.dead += [] if amount else [self.newest]
            self.former = (self.newest, now + amount) if amount else None
            self.newest = generate("live", rng, public_id(self.newest))
        elif what in ("disable", "enable"):
            self.disabled = what == "disable"
        elif what == "revoke":
            self.revoked = True
        elif what == "expire":
            self.expires_s = now + amount
        elif what == "later":
            self.not_before_s = now + amount

    def presented(self) -> list[str]:
        return [self.newest, *([self.former[0]] if self.former else []), *self.dead]

    def stored(self) -> StoredKey:
        kept = [digest(self.newest)] + ([digest(self.former[0], self.former[1])] if self.former else [])
        return StoredKey(
            a_key(
                self.newest,
                disabled=self.disabled,
                revoked_at_ms=1 if self.revoked else None,
                not_before_ms=int(self.not_before_s * 1000) or None,
                expires_at_ms=None if self.expires_s == float("inf") else int(self.expires_s * 1000),
            ),
            tuple(kept),
        )
