"""Keys and their owners as plain values, and what can go wrong with them; no secret is among them.

Times are Unix milliseconds, None where there is none. `revision` grows with every change of anything in the store, so
that of a record says which state of it a caller has seen (its ETag). Roles and single sign-on get tables of their own
that name a user; an audit log gets one in the order of revisions.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

PriorityWord = Literal["low", "normal", "high", "critical"]
ContentWord = Literal["none", "hash", "redacted", "full"]
FLAGS: Final = ("disabled", "uses_cache", "cost_in_body", "trust_trace_context")
"""Of a key; numbers in the database."""


class KeyStoreError(Exception):
    """Why the store did not do it; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(KeyStoreError):  # noqa: N818 - it says what is wrong
    """There is no such key or owner."""


class Conflict(KeyStoreError):  # noqa: N818 - it says what is wrong
    """The store is in another state than this would need: a name is taken, a team has keys, somebody was faster."""


class Outdated(Conflict):
    """The record was changed since the caller has read it."""


class ManagedElsewhere(KeyStoreError):  # noqa: N818 - it says what is wrong
    """The policy file says it, so only the policy file can change it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is managed by the policy file: change it there and reload")


class Invalid(KeyStoreError):  # noqa: N818 - it says what is wrong
    """A value cannot be accepted; `field` is its path in what was given, such as `networks[1]`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def is_name(text: str) -> bool:
    """Whether a text could be any name or id here; no database is asked about others, which some cannot even hold."""
    return len(text) <= 200 and text.isascii() and text.isprintable()


class Org(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. `timezone` (IANA) is where its days and months begin; `weight` its share where tenants queue."""

    name: str
    timezone: str = "UTC"
    weight: int = 1
    revision: int = 0


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A team or a user of an org."""

    org: str
    name: str
    revision: int = 0


class ManagedOwners(NamedTuple):
    """The owners that the policy file says; teams and users with their orgs."""

    orgs: frozenset[str] = frozenset()
    teams: frozenset[tuple[str, str]] = frozenset()
    users: frozenset[tuple[str, str]] = frozenset()

    def members(self, what: str) -> frozenset[tuple[str, str]]:
        return self.teams if what == "team" else self.users


class KeyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is for and what it may do.

    `routes` and `networks` (CIDR) None: all of them. `limits`: as the policy file has a key's own. `require_region` and
    `require_data_classes` bind every deployment that answers its calls. `uses_cache` False: no route's cache answers
    them, or keeps what they were answered. `content`, the most that may be exported of what is said, `cost_in_body` and
    `trust_trace_context` are the policy file's.
    """

    name: str
    team: str | None = None
    user: str | None = None
    routes: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    limits: tuple[dict[str, Any], ...] = ()
    output_tokens_default: int | None = None
    priority: PriorityWord = "normal"
    uses_cache: bool = True
    content: ContentWord | None = None
    cost_in_body: bool = False
    trust_trace_context: bool = False
    require_region: str | None = None
    require_data_classes: tuple[str, ...] = ()
    not_before_ms: int | None = None
    expires_at_ms: int | None = None


class NewKey(KeyTerms, frozen=True, kw_only=True):
    """A key to be made. `env` becomes part of the key: `live`, `test`, ..."""

    org: str = "default"
    env: str = "live"


class Key(KeyTerms, frozen=True, kw_only=True):
    """A key of the store. `last4` ends its newest secret; the one before works until `former_until_ms`."""

    id: str
    org: str
    env: str
    last4: str
    disabled: bool
    revoked_at_ms: int | None
    created_at_ms: int
    last_used_at_ms: int | None
    former_until_ms: int | None
    revision: int


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; what is unset stays. A key never changes its org or environment."""

    name: str | UnsetType = UNSET
    team: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    routes: tuple[str, ...] | UnsetType | None = UNSET
    networks: tuple[str, ...] | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    limits: tuple[dict[str, Any], ...] | UnsetType = UNSET
    output_tokens_default: int | UnsetType | None = UNSET
    priority: PriorityWord | UnsetType = UNSET
    uses_cache: bool | UnsetType = UNSET
    content: ContentWord | UnsetType | None = UNSET
    cost_in_body: bool | UnsetType = UNSET
    trust_trace_context: bool | UnsetType = UNSET
    require_region: str | UnsetType | None = UNSET
    require_data_classes: tuple[str, ...] | UnsetType = UNSET
    not_before_ms: int | UnsetType | None = UNSET
    expires_at_ms: int | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET


class Issued(NamedTuple):
    """A key with its secret, which is shown this once and kept nowhere. Nothing may log it."""

    key: Key
    secret: str


class KeyFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys to list; None asks for nothing."""

    org: str | None = None
    team: str | None = None
    user: str | None = None
    name: str | None = None
    tag: str | None = None
    revoked: bool | None = None


class Page(NamedTuple):
    """Part of a list. `cursor` asks for the next part; None at the end."""

    keys: list[Key]
    cursor: str | None


class StoredSecret(NamedTuple):
    """One secret of a key as the store has it: a digest, and the version of the pepper that it was made under."""

    digest: bytes
    pepper: str
    created_at_ms: int
    expires_at_ms: int | None


class StoredKey(NamedTuple):
    """A key and its secrets, the newest first."""

    key: Key
    secrets: tuple[StoredSecret, ...]


class Changes(NamedTuple):
    """What is new in the store since a revision, or (`whole`) all that it has but revoked keys.

    `had_keys`: a key was created at some time, whatever became of it.
    """

    revision: int
    whole: bool
    had_keys: bool
    keys: list[StoredKey]
    orgs: list[Org]
