from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.state.answers.line import TOLD_BYTES_MAX, Line
from gateway.state.answers.store import StoreUnavailable
from gateway.state.limits import store as limits_store

if TYPE_CHECKING:
    from gateway.state.redis.connections import Command


class Wire:
    """A router that answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.is_away = False

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def send_to(self, address: Any, command: Command) -> None:
        assert address == ("host", 1)
        self.sent.append(command)

    def address_of(self, tag: str) -> Any:
        return tag, 1

    async def masters(self) -> list[Any]:
        if self.is_away:
            raise limits_store.StoreUnavailable("no node answers")
        return [("host", 1)]

    async def close(self) -> None:
        return


def made() -> tuple[Line, Wire]:
    wire = Wire()
    return Line(wire), wire  # type: ignore[arg-type]


async def test_an_answer_is_returned_and_an_error_raised() -> None:
    line, wire = made()
    asking = [asyncio.ensure_future(line.ask(b"a", "t")), asyncio.ensure_future(line.ask_at(("host", 1), b"b"))]
    await asyncio.sleep(0)
    wire.sent[0].answered([1])
    wire.sent[1].answered(limits_store.StoreUnavailable("Redis is away"))
    assert await asking[0] == [1]
    with pytest.raises(StoreUnavailable, match="Redis is away"):
        await asking[1]


async def test_a_caller_that_left_takes_nothing_from_the_next() -> None:
    line, wire = made()
    first, second = (asyncio.ensure_future(line.ask(name, "t")) for name in (b"a", b"b"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    wire.sent[0].answered("first's")
    wire.sent[1].answered("second's")
    assert await second == "second's"


async def test_what_is_told_is_heard_of_and_settles() -> None:
    line, wire = made()
    heard: list[object] = []
    line.tell(b"a", "t", None, heard.append)
    line.tell(b"b", "t")
    settling = asyncio.ensure_future(line.settled())
    await asyncio.sleep(0)
    assert (line.unsent, settling.done()) == (2, False)
    for command in wire.sent:
        command.answered(1)
    await settling
    assert (line.unsent, heard) == (0, [1])


async def test_beyond_its_bound_nothing_more_is_sent() -> None:
    line, wire = made()
    heard: list[object] = []
    half = bytes(TOLD_BYTES_MAX // 2)
    for _ in range(3):
        line.tell(half, "t", None, heard.append)
    assert len(wire.sent) == 2
    assert isinstance(heard[0], StoreUnavailable)
    wire.sent[0].answered(1)
    line.tell(half, "t")
    assert len(wire.sent) == 3


async def test_servers_that_cannot_be_told_are_unavailable() -> None:
    line, wire = made()
    assert await line.server_of("answers") == ("answers", 1)
    wire.is_away = True
    with pytest.raises(StoreUnavailable, match="no node"):
        await line.server_of("answers")
