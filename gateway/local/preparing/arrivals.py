"""Jobs that came and were not made ready yet: callers take turns, so that nobody waits for all of another's burst.

Making a job ready can take a second, for megabytes of conversation or a large schema, and is done one by one.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from adapters.llama_cpp_job import AnyJob


class Arrived(Protocol):
    """As much of a handle as is looked at here."""

    @property
    def job(self) -> AnyJob: ...


H = TypeVar("H", bound=Arrived)


class Arrivals(Generic[H]):
    """In turns by flow, each flow's in the order of coming. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._flows: dict[str, deque[H]] = {}
        self._changed = threading.Condition()

    def put(self, handle: H, most: int) -> bool:
        """Whether it may wait: while fewer than `most` do, and after that within its flow's part of those."""
        flow = handle.job.place.flow
        with self._changed:
            own = self._flows.get(flow, ())
            waiting = sum(map(len, self._flows.values()))
            if waiting >= most and len(own) >= most // len({flow, *self._flows}):
                return False
            self._flows.setdefault(flow, deque()).append(handle)
            self._changed.notify()
        return True

    def get(self) -> H:
        """The next one, as soon as there is one."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._flows))
            flow = next(iter(self._flows))
            waiting = self._flows.pop(flow)
            handle = waiting.popleft()
            if waiting:
                self._flows[flow] = waiting
        return handle
