from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from gateway.commands.admin_client import CommandError, SilentError
from gateway.commands.looking import SILENCE, Looking
from gateway.watching.frame import Beside, Frame, Sight, frame_of
from gateway.watching.scraped import Movement, Scrape

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = frame_of(Movement(None, Scrape(0.0, {})), Beside())


class Rig:
    """A clock, and looks that are answered when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.answers: list[Frame | Exception] = []
        self.under_way: list[Callable[[], None]] = []
        self.looking = Looking(self._look, 2.0, lambda: self.now_s, self.under_way.append)

    def _look(self) -> Frame:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self, with_: Frame | Exception = FRAME) -> None:
        self.answers.append(with_)
        self.under_way.pop()()

    def step(self, after_s: float = 0.0) -> bool:
        self.now_s += after_s
        return self.looking.step()


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def seen(rig: Rig) -> Rig:
    """A gateway of which there is something to see: two looks."""
    for wait_s in (0.0, 1.0):
        rig.step(wait_s)
        rig.answer()
        rig.step()
    return rig


def test_it_looks_once_at_a_time_and_waits_between(rig: Rig) -> None:
    rig.step()
    rig.step(0.5)
    assert len(rig.under_way) == 1
    assert rig.looking.wait_s == 0.1
    rig.answer()
    assert rig.step()
    assert rig.looking.sight() == Sight(None)
    assert rig.looking.wait_s == 1.0
    rig.step(1.0)
    rig.answer()
    assert rig.step()
    assert rig.looking.sight() == Sight(FRAME)
    assert rig.looking.wait_s == 2.0
    assert not rig.step(1.0)
    assert not rig.under_way


def test_a_gateway_that_does_not_answer_is_told_of_while_it_is_waited_for(seen: Rig) -> None:
    assert not seen.step(2.0)
    assert not seen.step(1.9)
    assert seen.looking.sight().trouble == ""
    assert seen.step(0.1)
    assert seen.looking.sight() == Sight(FRAME, 4.0, SILENCE, 2.0)
    assert seen.step(3.0)
    assert seen.looking.sight() == Sight(FRAME, 7.0, SILENCE, 5.0)


def test_silence_counts_from_its_first_question_over_all_that_follow(seen: Rig) -> None:
    seen.step(2.0)
    seen.now_s += 10.0
    seen.answer(SilentError("nothing for 10 s"))
    seen.step()
    seen.step(2.0)
    seen.now_s += 10.0
    seen.answer(CommandError("cannot be asked"))
    seen.step()
    assert seen.looking.sight()[2:] == ("cannot be asked", 22.0)
    seen.step(2.0)
    seen.answer()
    seen.step()
    assert seen.looking.sight() == Sight(FRAME)


def test_silence_from_the_start_is_no_wrong_command(rig: Rig) -> None:
    rig.step()
    rig.now_s += 10.0
    rig.answer(SilentError("nothing for 10 s"))
    assert rig.step()
    assert rig.looking.sight() == Sight(None, 0.0, SILENCE, 10.0)


def test_a_refusal_from_the_start_ends_it(rig: Rig) -> None:
    rig.step()
    rig.answer(CommandError("no such token", 2))
    with pytest.raises(CommandError, match="no such token"):
        rig.step()


def test_what_nobody_thought_of_is_not_swallowed(seen: Rig) -> None:
    seen.step(2.0)
    seen.answer(ZeroDivisionError("a mistake"))
    with pytest.raises(ZeroDivisionError):
        seen.step()


def test_looks_run_beside_whoever_asks_for_them() -> None:
    where: SimpleQueue[str] = SimpleQueue()
    may_end = threading.Event()

    def look() -> Frame:
        where.put(threading.current_thread().name)
        may_end.wait(10)
        return FRAME

    looking = Looking(look, 2.0)
    assert not looking.step()
    assert where.get(timeout=10) == "a look"
    may_end.set()
