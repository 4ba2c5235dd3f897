"""Looks at a gateway from a thread, so that whoever draws and waits for keys never waits for a gateway as well."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from gateway.commands.admin_client import CommandError, SilentError
from gateway.watching.frame import Sight

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.watching.frame import Frame

FIRST_LOOK_S: Final = 1.0
SILENT_AFTER_S: Final = 2.0
"""A large scrape of a busy gateway takes about one."""
ANSWER_EVERY_S: Final = 0.1
"""How often it is looked whether an answer has come."""
SILENCE: Final = "the gateway does not answer"


class Looking:
    """One look at a time, and the next one `every_s` after it. `start` runs what it is given beside its caller."""

    def __init__(
        self,
        look: Callable[[], Frame],
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._look = look
        self._every_s = every_s
        self._clock = clock
        self._start = start or _in_a_thread
        self._came: SimpleQueue[Frame | Exception] = SimpleQueue()
        self._looked = 0
        self._asked_s: float | None = None
        self._due_s = clock()
        self._frame: tuple[Frame, float] | None = None
        self._trouble: tuple[str, float] | None = None

    def step(self) -> bool:
        """Ask when it is time, take what has come; whether there is something to draw. Raises `CommandError` where the
        first look is refused: then the command is wrong, and no gateway ill.
        """
        has_news = self._take()
        now_s = self._clock()
        if self._asked_s is None and now_s >= self._due_s:
            self._asked_s = now_s
            self._start(self._ask)
            has_news |= self._take()
        if self._asked_s is not None and now_s - self._asked_s >= SILENT_AFTER_S:
            self._note(SILENCE)
        return has_news or self._trouble is not None

    def sight(self) -> Sight:
        now_s = self._clock()
        frame, seen_s = self._frame or (None, now_s)
        trouble, since_s = self._trouble or ("", now_s)
        return Sight(frame, now_s - seen_s, trouble, now_s - since_s)

    @property
    def wait_s(self) -> float:
        """For how long there is nothing to do but wait for keys."""
        return ANSWER_EVERY_S if self._asked_s is not None else max(0.0, self._due_s - self._clock())

    def _ask(self) -> None:
        try:
            self._came.put(self._look())
        except Exception as error:  # noqa: BLE001 - it is raised again where it is taken
            self._came.put(error)

    def _take(self) -> bool:
        try:
            came = self._came.get_nowait()
        except Empty:
            return False
        self._looked += 1
        if isinstance(came, CommandError) and (self._looked > 1 or isinstance(came, SilentError)):
            self._note(SILENCE if isinstance(came, SilentError) else str(came))
        elif isinstance(came, Exception):
            raise came
        else:
            self._trouble = None
            if self._looked > 1:  # rates are of two looks: the first one's zeros would be no news of the gateway
                self._frame = (came, self._clock())
        self._asked_s = None
        self._due_s = self._clock() + (FIRST_LOOK_S if self._looked == 1 else self._every_s)
        return True

    def _note(self, trouble: str) -> None:
        """It is since the look began that first met it."""
        since_s = self._trouble[1] if self._trouble else self._asked_s
        self._trouble = (trouble, self._clock() if since_s is None else since_s)


def _in_a_thread(act: Callable[[], None]) -> None:
    """One that nobody waits for: who has seen enough leaves at once."""
    threading.Thread(target=act, name="a look", daemon=True).start()
