"""Everything about virtual keys, put together: those in memory, what keeps them fresh, and what changes them."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, NamedTuple

from gateway.config.compile import content_of, held_keys, requires_of, route_words, trusts_trace_of, weight_of, zone_of
from gateway.errors import StartError
from gateway.keys.peppers import PepperError, Peppers, pepper_file
from gateway.keys.stored_rules import StoredRules
from gateway.keys.sync import KeySync
from gateway.keys.view import KeyView, StoredKeys
from gateway.keys.virtual_keys import KeyRing
from gateway.state.database import Database
from gateway.state.keys.announcements import LocalAnnouncements, RedisAnnouncements
from gateway.state.keys.records import ManagedOwners
from gateway.state.keys.source import KeySource

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from gateway.config import Config
    from gateway.keys.sync import Feed
    from gateway.state.keys.announcements import Announcements
    from gateway.state.keys.changes import ChangeLog
    from gateway.state.keys.owner_store import MemberStore, OrgStore
    from gateway.state.keys.records import Key
    from gateway.state.keys.store import KeyStore
    from policies.vocabulary import Limit, Predicate, Principal


class Registry(NamedTuple):
    """What administers keys and their owners."""

    keys: KeyStore
    orgs: OrgStore
    teams: MemberStore
    users: MemberStore


class KeyService:
    """Process scope. `in_force` tells the keys of the policy in force, whose own nobody changes here."""

    def __init__(self, config: Config, in_force: Callable[[], KeyView]) -> None:
        url, path = config.ledger.url.reveal(), config.ledger.path
        texts = [pepper.reveal() for pepper in config.secrets.newest_first]
        self.peppers = Peppers(texts, None if path is None else pepper_file(path))
        self.stored = StoredKeys(self.peppers, limits_of_stored)
        self._in_force = in_force
        self.database = Database(url)
        self._announcements: Announcements = LocalAnnouncements()
        if config.state.is_shared:
            self._announcements = RedisAnnouncements(config.state.url.reveal())
        self._sync = KeySync(self.stored, KeySource(path, self._feed), self._announcements)
        self._ring_pepper = secrets.token_bytes(32)
        self._registry: Registry | None = None
        self._log: ChangeLog | None = None

    async def start(self, config: Config) -> None:
        """Load the stored keys and follow them. Raises `StartError`.

        A database that is away does not keep a gateway from starting whose policy file has keys.
        """
        try:
            await asyncio.to_thread(self.peppers.load)
        except PepperError as error:
            raise StartError(error.message) from error
        await self._sync.start(may_be_late=bool(config.keys))

    async def close(self) -> None:
        await self._sync.close()
        await self.database.close()

    def view(self, config: Config) -> KeyView:
        """The keys of one policy, with those of the store behind them."""
        newest = next(iter(config.secrets.newest_first), None)
        ring = KeyRing(held_keys(config), self._ring_pepper if newest is None else newest.reveal().encode())
        rules = StoredRules(route_words(config), requires_of(config), content_of(config), trusts_trace_of(config))
        return KeyView(ring, self.stored, rules, owners_of(config), is_open=config.server.listen.is_loopback)

    def zone_of(self, config: Config) -> Callable[[str], tzinfo]:
        """The time zone of an org: the policy file's, else the store's, else UTC."""
        filed = zone_of(config)
        return lambda org: filed(org) if org in config.orgs else self.stored.zone_of(org)

    def weight_of(self, config: Config) -> Callable[[Principal], float]:
        """A principal's share of a queue: its org's weight, the policy file's or else the store's, times its team's."""
        filed = weight_of(config)
        return lambda who: filed(who) * (1 if who.org in config.orgs else self.stored.weight_of(who.org))

    async def refresh(self) -> None:
        """See on this node what was just changed. Raises `LedgerError`."""
        await self._sync.look()

    async def registry(self) -> Registry:
        """What administers keys; made when first asked for."""
        if self._registry is None:
            self._registry = await asyncio.to_thread(self._make_registry)
        return self._registry

    def _make_registry(self) -> Registry:
        from gateway.state.keys.owner_store import MemberStore, OrgStore  # noqa: PLC0415 - as above
        from gateway.state.keys.store import KeyStore, Rules  # noqa: PLC0415 - imports SQLAlchemy
        from gateway.state.keys.tables import TEAMS, USERS  # noqa: PLC0415 - as above

        def owners() -> ManagedOwners:
            return self._in_force().owners

        log, rules = self._change_log(), Rules(lambda: self._in_force().ring, owners, predicate)
        return Registry(
            KeyStore(log, self.peppers, rules),
            OrgStore(log, owners),
            MemberStore(log, TEAMS, owners),
            MemberStore(log, USERS, owners),
        )

    def _feed(self) -> Feed:
        from gateway.state.keys.listing import KeyFeed  # noqa: PLC0415 - imports SQLAlchemy

        return KeyFeed(self._change_log())

    def _change_log(self) -> ChangeLog:
        from gateway.state.keys.changes import ChangeLog  # noqa: PLC0415 - imports SQLAlchemy

        if self._log is None:
            self._log = ChangeLog(self.database, self._announcements)
        return self._log


def owners_of(config: Config) -> ManagedOwners:
    """The owners that a policy file says; `default`, which is always there, where it says something of it."""
    teams = frozenset((team.org, name) for name, team in config.teams.items())
    users = frozenset((user.org, name) for name, user in config.users.items())
    return ManagedOwners(frozenset(config.orgs), teams, users)


def predicate(when: str) -> Predicate:
    from gateway.config.cel import condition_for_limit  # noqa: PLC0415 - only a limit with a `when` needs CEL

    return condition_for_limit(when)


def limits_of_stored(key: Key) -> tuple[Limit, ...]:
    """Raises `ValueError`."""
    from gateway.state.keys.shapes import limits_of  # noqa: PLC0415 - only a stored key with limits needs it

    return limits_of(key, predicate)
