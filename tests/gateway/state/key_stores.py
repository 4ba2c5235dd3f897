"""A store of keys as tests use it: over each database, with a clock that stands still and a policy file's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.keys.peppers import Peppers, pepper_file
from gateway.keys.virtual_keys import HeldKey, KeyRing, generate
from gateway.secret import Secret
from gateway.state.keys.announcements import LocalAnnouncements
from gateway.state.keys.changes import ChangeLog
from gateway.state.keys.listing import KeyFeed
from gateway.state.keys.owner_store import MemberStore, OrgStore
from gateway.state.keys.records import ManagedOwners
from gateway.state.keys.store import KeyStore, Rules
from gateway.state.keys.tables import TEAMS, USERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.state.database import Database
    from policies.vocabulary import Predicate, Subject

PEPPER = "a pepper of thirty-two characters"
NOW_MS = 1_800_000_000_000
FILE_KEY = generate("live")


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class Stores(NamedTuple):
    keys: KeyStore
    orgs: OrgStore
    teams: MemberStore
    users: MemberStore
    feed: KeyFeed
    announcements: LocalAnnouncements
    peppers: Peppers
    clock: Clock


def predicate(text: str) -> Predicate:
    """A language of one word."""
    if text != "true":
        raise ValueError("is no expression")

    def always(subject: Subject) -> bool:
        return bool(subject)

    return always


def ring_of_file() -> KeyRing:
    return KeyRing([HeldKey(Secret(FILE_KEY), "of-file"), HeldKey(Secret("f" * 30), "free")], b"p" * 32)


OWNERS_OF_FILE = ManagedOwners(
    frozenset({"filed"}), frozenset({("filed", "crew"), ("default", "crew")}), frozenset({("default", "bob")})
)


def owners_of_file() -> ManagedOwners:
    return OWNERS_OF_FILE


def stores(database: Database, peppers: Iterable[str] = (PEPPER,)) -> Stores:
    announcements, ring, clock = LocalAnnouncements(), ring_of_file(), Clock()
    log = ChangeLog(database, announcements)
    made = Peppers(peppers, None if database.path is None else pepper_file(database.path))
    return Stores(
        KeyStore(log, made, Rules(lambda: ring, owners_of_file, predicate), clock),
        OrgStore(log, owners_of_file),
        MemberStore(log, TEAMS, owners_of_file),
        MemberStore(log, USERS, owners_of_file),
        KeyFeed(log),
        announcements,
        made,
        clock,
    )
