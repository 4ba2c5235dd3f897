"""Where answers are kept: what a store of them must do, and what is kept of each.

An entry belongs to one owner, who is part of every key and is checked again on what comes back. What an entry has gone
through since (hits, feedback) is its record and changes; the entry itself never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.drops import Drops
    from policies.cache_rules import Level


class Used(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The tokens that the answer took when it was made, and what they cost; None where that is not known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int | None = None


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One answer. Times are Unix seconds.

    `scope`, `exact` and `near` are digests: of everything but the last question, of the whole request, of the scope and
    the question's plain form (empty: no such level). `question` is the last question's text, kept where the levels
    above exact are open. `body` is a whole answer, or with `is_events` a stream's events as they came: only a request
    for the same form finds those, since the form is part of their digest.
    """

    id: str
    owner: str
    route: str
    scope: bytes
    exact: bytes
    near: bytes
    question: str
    endpoint: str
    body: bytes
    is_events: bool
    headers: tuple[tuple[str, str], ...]
    model: str
    deployment: str
    used: Used
    stored_at_s: float
    expires_at_s: float
    tags: tuple[str, ...] = ()
    request_id: str = ""
    embedder: str = ""

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        texts = (self.owner, self.route, self.model, *self.tags, *(text for header in self.headers for text in header))
        return 1_500 + len(self.body) + 2 * len(self.question) + sum(map(len, texts))


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of an entry's answers since it was stored: how often it was served, and found good or bad."""

    hits: int = 0
    good: int = 0
    bad: int = 0


class Place(NamedTuple):
    """Where a question's neighbours are: entries of the same owner and scope, embedded by the same model."""

    owner: str
    scope: bytes
    embedder: str


class Kept(NamedTuple):
    """An entry as it was found. `level` is None for a neighbour, which is nobody's hit yet."""

    entry: Entry
    record: Record
    level: Level | None = None


class Neighbour(NamedTuple):
    """An entry of the same owner, scope and embedder, and the cosine of the two questions."""

    kept: Kept
    similarity: float


class Which(NamedTuple):
    """Entries to be found or dropped together; None does not narrow. At least one part is given."""

    owner: str | None = None
    route: str | None = None
    tag: str | None = None
    stored_before_s: float | None = None
    id: str | None = None


class Stock(NamedTuple):
    """What a store holds, for operators. None where a store cannot tell."""

    entries: int | None
    size_bytes: int | None
    vectors: int | None
    evicted: int = 0
    expired: int = 0
    unsent: int = 0


class StoreUnavailable(Exception):  # noqa: N818 - it says what is wrong
    """The store cannot be asked now."""


@runtime_checkable
class AtHand(Protocol):
    """A store in which an entry is kept without waiting: for such as have no vector, no task is needed."""

    def keep_now(self, entry: Entry, vector: Vector | None) -> None:
        """As `AnswerStore.keep`."""


@runtime_checkable
class Gathering(Protocol):
    """A store that has vectors elsewhere, and takes a while until it has them here."""

    def gather(self) -> None:
        """Begin now: questions are compared in this process. May be said again."""


class AnswerStore(Protocol):
    """Entries are found by owner and digest, or by owner, scope and vector. None that has expired is ever found."""

    @property
    def drops(self) -> Drops:
        """What this process has dropped lately: whoever keeps what a call was answered with asks it first."""

    async def find(self, owner: str, exact: bytes, near: bytes) -> Kept | None:
        """By the whole request, else by its plain form (`near` empty: not asked). Raises `StoreUnavailable`."""

    async def nearest(self, place: Place, vector: Vector, count: int) -> Sequence[Neighbour]:
        """The nearest there, best first. Raises `StoreUnavailable`."""

    async def keep(self, entry: Entry, vector: Vector | None) -> None:
        """Takes the place of one with the same digests. Never raises: what cannot be kept is not kept."""

    def note(self, kept: Kept, *, hits: int = 0, good: int = 0, bad: int = 0) -> None:
        """Adds to an entry's record, soon; never raises."""

    async def get(self, entry_id: str) -> Kept | None:
        """By id alone; whose it is, is for the caller to check. Raises `StoreUnavailable`."""

    async def drop(self, which: Which) -> int:
        """How many are gone. What is dropped is found by nobody from then on. Raises `StoreUnavailable`."""

    def entries(self, which: Which | None = None) -> AsyncIterator[tuple[Kept, Vector | None]]:
        """All of them, in no order, for exports. Raises `StoreUnavailable`."""

    async def stock(self) -> Stock:
        """Raises `StoreUnavailable`."""

    async def remember(self, name: str, state: bytes) -> None:
        """Keep what this gateway has learnt, for its next start. Never raises."""

    async def recall(self, name: str) -> bytes | None:
        """What was remembered under that name. Never raises: what cannot be read is None."""

    async def start(self) -> None:
        """Raises `StartError` for what the operator must mend."""

    async def close(self) -> None: ...
