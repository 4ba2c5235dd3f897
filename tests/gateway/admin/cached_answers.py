"""A store of answers for tests of what operators see and do: a dictionary that can be away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from gateway.state.answers.store import Entry, Kept, Record, Stock, StoreUnavailable, Used, Which

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.state.answers.store import AnswerStore


def an_entry(entry_id: str = "ce_1", *, owner: str = "team:acme/red", route: str = "faq", **others: Any) -> Entry:
    said: dict[str, Any] = {
        "id": entry_id, "owner": owner, "route": route, "scope": b"s", "exact": entry_id.encode(), "near": b"",
        "question": "What is a canary?", "endpoint": "chat/completions", "body": b'{"answer": "a bird"}',
        "is_events": False, "headers": (), "model": "m", "deployment": "d", "used": Used(30, 12, cost_nanousd=700),
        "stored_at_s": 1000.0, "expires_at_s": 4600.0, "tags": ("t1",), "request_id": "req_1", "embedder": "minilm",
    }  # fmt: skip
    return Entry(**said | others)


class StillStore:
    """Only what operators use."""

    def __init__(self, *entries: Entry) -> None:
        self.kept = {entry.id: Kept(entry, Record(hits=3, good=1)) for entry in entries}
        self.is_away = False

    @property
    def as_store(self) -> AnswerStore:
        return cast("AnswerStore", self)

    async def entries(self, which: Which | None = None) -> AsyncIterator[tuple[Kept, None]]:
        self._look()
        for kept in [*self.kept.values()]:
            if which is None or _is_one(kept.entry, which):
                yield kept, None

    async def drop(self, which: Which) -> int:
        self._look()
        assert which != Which()
        gone = [entry_id for entry_id, kept in self.kept.items() if _is_one(kept.entry, which)]
        for entry_id in gone:
            del self.kept[entry_id]
        return len(gone)

    async def stock(self) -> Stock:
        self._look()
        return Stock(len(self.kept), 9_000, None, evicted=2)

    def _look(self) -> None:
        if self.is_away:
            raise StoreUnavailable("away")


def _is_one(entry: Entry, which: Which) -> bool:
    return (
        which.owner in (None, entry.owner)
        and which.route in (None, entry.route)
        and (which.tag is None or which.tag in entry.tags)
        and (which.stored_before_s is None or entry.stored_at_s < which.stored_before_s)
        and which.id in (None, entry.id)
    )
