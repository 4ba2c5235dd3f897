"""Keys in memory: what the request path asks. No request waits for, or causes, a look-up in the database.

`StoredKeys` is one per process and follows the store; `KeyView` is one per policy and puts the policy file's keys
before it. A key that nobody knows takes as long to refuse as a known one with a wrong secret, and does the same: it
asks for one look whether the store has news, since it may have been made on another node a moment ago.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.config.owners import time_zone
from gateway.config.residency import together
from gateway.keys.peppers import PepperError
from gateway.keys.virtual_keys import PREFIX, PUBLIC_ID, Digest, Entry, Hmac, Refusal, judge, nothing, sound
from policies.route_rules import Content, Priority, Requirements
from policies.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from gateway.keys.peppers import Peppers
    from gateway.keys.stored_rules import StoredRules
    from gateway.keys.virtual_keys import KeyRing
    from gateway.state.keys.records import Changes, Key, ManagedOwners, Org, StoredKey, StoredSecret
    from policies.vocabulary import Limit

log = logging.getLogger(__name__)

KEYS_MAX: Final = 100_000
"""The most stored keys a process holds, at about 1 KiB each; more are refused and said so in the log."""
DECOYS: Final = 256
MISSES_MAX: Final = 1_024
MISS_TTL_S: Final = 5.0


class Built(NamedTuple):
    """What changes of the store come to: entries by public id, None for keys that are to go; time zones by org."""

    entries: dict[str, Entry | None]
    zones: dict[str, tzinfo]
    decoys: tuple[Entry, ...]


class StoredKeys:
    """The store's keys as of one of its revisions. Until the first `take` nothing is known, so a key is required.

    `limits_of` turns a key's own limits from the policy file's language into the policies' words; raises `ValueError`.
    """

    def __init__(
        self,
        peppers: Peppers,
        limits_of: Callable[[Key], tuple[Limit, ...]],
        keys_max: int = KEYS_MAX,
    ) -> None:
        self.peppers = peppers
        self.required = True
        self.revision: int | None = None
        self.is_full = False
        self.orgs: dict[str, Org] = {}
        self.used: dict[str, float] = {}
        self.on_miss: Callable[[], None] = lambda: None
        self._limits_of = limits_of
        self.keys_max = keys_max
        self._entries: dict[str, Entry] = {}
        self._decoys = _decoys(Hmac(b""))
        self._misses: dict[int, float] = {}
        self._zones: dict[str, tzinfo] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, public_id: str) -> Entry:
        """The entry of this id; for one that nobody has, one of many that nothing matches: a single one would always be
        in the processor's caches, which a patient caller can measure.
        """
        decoy = self._decoys[hash(public_id) % DECOYS]
        return self._entries.get(public_id, decoy)

    def __contains__(self, public_id: str) -> bool:
        return public_id in self._entries

    def principals(self) -> list[Principal]:
        return [entry.principal for entry in self._entries.values()]

    def missed(self, presented: str, now: float) -> None:
        """Nobody has this key. Says so to `on_miss`, but not again for the same key within a short time."""
        token = hash(presented)  # salted per process, and no copy of what may be a good key elsewhere
        if now < self._misses.get(token, 0.0):
            return
        if len(self._misses) >= MISSES_MAX:
            self._misses.clear()
        self._misses[token] = now + MISS_TTL_S
        self.on_miss()

    def zone_of(self, org: str) -> tzinfo:
        """Where its calendar windows begin; UTC for an org the store does not have."""
        return self._zones.get(org, UTC)

    def weight_of(self, org: str) -> int:
        """Its share of a queue against the others'."""
        known = self.orgs.get(org)
        return 1 if known is None else known.weight

    def take(self, changes: Changes) -> None:
        """Become what the store is. Blocks; `built` in a thread does not."""
        self.take_built(changes, self.built(changes))

    def built(self, changes: Changes) -> Built:
        """What changes come to. For a thread: it reads files, and touches nothing that a call may be looking at."""
        try:
            self.peppers.load()  # another process may have generated it since
        except PepperError as problem:
            log.error("%s", problem.message)  # noqa: TRY400 - no bug of ours
        entries = {stored.key.id: self._entry(stored) for stored in changes.keys}
        mac = next((entry.newest.mac for entry in entries.values() if entry is not None), None)
        decoys = self._decoys if mac in (None, self._decoys[0].newest.mac) else _decoys(mac)
        return Built(entries, {org.name: _zone(org) for org in changes.orgs}, decoys)

    def take_built(self, changes: Changes, built: Built) -> None:
        entries = {} if changes.whole else self._entries
        left_out = 0
        for public_id, entry in built.entries.items():
            if entry is None:
                entries.pop(public_id, None)
            elif public_id in entries or len(entries) < self.keys_max:
                entries[public_id] = entry
            else:
                left_out += 1
        if left_out:
            log.error(
                "%d stored keys are refused: this process holds no more than %d; revoke some", left_out, self.keys_max
            )
        self.is_full = bool(left_out) or (self.is_full and not changes.whole)
        self._entries, self._decoys = entries, built.decoys
        self.orgs = ({} if changes.whole else self.orgs) | {org.name: org for org in changes.orgs}
        self._zones = ({} if changes.whole else self._zones) | built.zones
        # Never back to False while the process lives: whoever empties the store must not open the gateway by it.
        self.required = changes.had_keys or (self.required and self.revision is not None)
        self.revision = changes.revision

    def _entry(self, stored: StoredKey) -> Entry | None:
        key = stored.key
        if key.revoked_at_ms is not None:
            return None
        try:
            return self._usable(key, stored.secrets)
        except ValueError as problem:
            log.error("stored key %s (%s) is refused: %s", key.id, key.name, problem)  # noqa: TRY400 - no bug of ours
            return None

    def _usable(self, key: Key, secrets: tuple[StoredSecret, ...]) -> Entry:
        digests = [self._digest(secret) for secret in secrets]
        if not digests:
            raise ValueError("it has no secret")
        return Entry(
            principal=Principal(
                key_id=key.id,
                key_name=key.name,
                team=key.team,
                user=key.user,
                routes=None if key.routes is None else frozenset(key.routes),
                org=key.org,
                tags=key.tags,
                limits=self._limits_of(key) if key.limits else (),
                output_tokens_default=key.output_tokens_default,
                requires=_requires(key),
                priority=_priority(key.priority),
                uses_cache=key.uses_cache,
                trusts_trace=key.trust_trace_context,
                content=None if key.content is None else Content(key.content),
                cost_in_body=key.cost_in_body,
            ),
            newest=digests[0],
            former=digests[1] if len(digests) > 1 else nothing(digests[0].mac),
            expires_s=_seconds(key.expires_at_ms, math.inf),
            not_before_s=_seconds(key.not_before_ms, 0.0),
            disabled=key.disabled,
            networks=None if key.networks is None else tuple(ip_network(text) for text in key.networks),
        )

    def _digest(self, secret: StoredSecret) -> Digest:
        mac: Hmac | None = self.peppers.mac_of(secret.pepper)
        if mac is None:
            raise ValueError(f"it was made under the pepper {secret.pepper}, which is not configured")
        return Digest(mac, secret.digest, _seconds(secret.expires_at_ms, math.inf))


class KeyView:
    """Who holds a key, by one policy: its own keys first, then the store's.

    `rules` are the policy's for keys of the store. `owners`: those that the policy file says. `is_open`: anyone may
    call as long as there never was a key.
    """

    def __init__(
        self,
        ring: KeyRing,
        stored: StoredKeys,
        rules: StoredRules,
        owners: ManagedOwners,
        *,
        is_open: bool,
    ) -> None:
        self.ring = ring
        self.owners = owners
        self._is_open = is_open and not ring
        self._stored = stored
        self._rules = rules
        self._taken = frozenset((held.org, held.key_name) for held in ring.principals())
        self._mapped: dict[str, tuple[Principal, Principal]] = {}

    @property
    def required(self) -> bool:
        """Whether callers need a key at all."""
        return not self._is_open or self._stored.required

    def identify(self, presented: str, now: float, peer: Callable[[], str]) -> Principal | Refusal:
        """Who holds this key at `now` (seconds since the epoch), or why nobody does. `peer` tells the caller's
        address.
        """
        if not sound(presented):
            return Refusal.MALFORMED
        if not presented.startswith(PREFIX):
            return self.ring.identify(presented, now, peer)
        public_id = presented[PUBLIC_ID]
        entry = self.ring.find(public_id)
        if entry is not None:
            found = judge(entry, presented, now, peer)
        else:
            found = judge(self._stored.find(public_id), presented, now, peer)
            if isinstance(found, Principal):
                return self._of_store(found, now)
        if found is Refusal.UNKNOWN:
            self._stored.missed(presented, now)
        return found

    def _of_store(self, found: Principal, now: float) -> Principal | Refusal:
        """What a good key of the store comes to under this policy."""
        if self._taken and (found.org, found.key_name) in self._taken:
            return Refusal.UNKNOWN
        self._stored.used[found.key_id] = now
        return self._under_rules(found)

    def _under_rules(self, principal: Principal) -> Principal:
        """The principal with its routes by the names that this policy has for them, and with what the policy requires
        of whoever answers; the same object each time.
        """
        known = self._mapped.get(principal.key_id)
        if known is None or known[0] is not principal:
            if len(self._mapped) >= KEYS_MAX:
                self._mapped.clear()
            known = principal, self._rules.put_to(principal)
            self._mapped[principal.key_id] = known
        return known[1]


def _requires(key: Key) -> Requirements:
    regions = frozenset(filter(None, [key.require_region]))
    return together((Requirements(regions, frozenset(key.require_data_classes)),))


def _priority(word: str) -> Priority:
    try:
        return Priority[word.upper()]
    except KeyError:
        raise ValueError(f"nobody knows the priority {word!r}") from None


def _decoys(mac: Hmac) -> tuple[Entry, ...]:
    return tuple(Entry(Principal("", ""), nothing(mac), nothing(mac)) for _ in range(DECOYS))


def _zone(org: Org) -> tzinfo:
    try:
        return time_zone(org.timezone)
    except ValueError as problem:
        log.error("the time zone %s of org %s: %s; it counts in UTC", org.timezone, org.name, problem)  # noqa: TRY400 - as above
        return UTC


def _seconds(moment_ms: int | None, otherwise: float) -> float:
    return otherwise if moment_ms is None else moment_ms / 1000
