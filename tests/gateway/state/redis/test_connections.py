from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.connections import Asked, Command, NodeConnection, Unanswered
from gateway.state.redis.dialing import Dialer, Timings
from gateway.state.redis.scripts import command
from gateway.state.redis.url import parse
from tests.gateway.state.redis_rig import until
from tests.redis_servers import own_server, redis_server

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

QUICK = Timings(connect_s=0.25, answer_s=0.05, backoff_s=0.02, backoff_max_s=0.02)
PATIENT = Timings(connect_s=5.0, answer_s=5.0)


def node(url: str, timings: Timings) -> NodeConnection:
    dialer = Dialer(parse(url), timings.connect_s)

    async def dial() -> AbstractConnection:
        return await dialer.dial(None)

    return NodeConnection(dial, timings, lambda command, answer: command.answered(answer))


def asked(connection: NodeConnection, *words: bytes) -> asyncio.Future[object]:
    question = Asked(command(*words), "t:x")
    connection.send(question)
    return question.answer


async def test_answers_come_in_the_order_of_the_questions_and_an_error_is_one() -> None:
    connection = node(redis_server().unix_url, PATIENT)
    answers = await asyncio.gather(*(asked(connection, b"ECHO", b"%d" % number) for number in range(100)))
    assert answers == [b"%d" % number for number in range(100)]
    assert isinstance(await asked(connection, b"NONSENSE"), ResponseError)
    assert await asked(connection, b"ECHO", b"on") == b"on"
    assert connection.is_open
    await connection.close()


async def test_a_server_that_stands_still_fails_all_at_once_and_is_asked_again_when_it_moves() -> None:
    with own_server() as server:
        connection = node(server.url, QUICK)
        assert await asked(connection, b"PING") == b"PONG"
        loop = asyncio.get_running_loop()
        with server.stopped():
            begun_s = loop.time()
            answers = await asyncio.gather(*(asked(connection, b"PING") for _ in range(50)))
            assert loop.time() - begun_s < 4 * QUICK.answer_s
        assert all(isinstance(answer, Unanswered) for answer in answers)
        assert await asked(connection, b"PING") == b"PONG"
        await connection.close()


async def test_what_could_not_be_sent_is_no_doubtful_case_and_nobody_waits_for_the_next_try() -> None:
    with own_server() as server:
        url = server.url
    connection = node(url, Timings(connect_s=0.25, answer_s=0.05, backoff_s=30.0, backoff_max_s=30.0))
    for _ in range(2):
        answer = await asyncio.wait_for(asked(connection, b"PING"), 1.0)
        assert isinstance(answer, StoreUnavailable)
        assert not isinstance(answer, Unanswered)
    await connection.close()


async def test_a_connection_that_breaks_fails_what_is_under_way() -> None:
    with own_server() as server:
        connection = node(server.url, PATIENT)
        await asked(connection, b"PING")
        waiting = asked(connection, b"BLPOP", b"never", b"0")
        await asyncio.sleep(0.02)
        server.kill()
        assert isinstance(await asyncio.wait_for(waiting, 1.0), Unanswered)
        await connection.close()


async def test_a_dropped_connection_is_opened_anew() -> None:
    connection = node(redis_server().unix_url, PATIENT)
    first = await asked(connection, b"CLIENT", b"ID")
    connection.drop()
    await until(lambda: not connection.is_open)
    assert await asked(connection, b"CLIENT", b"ID") != first
    await connection.close()


async def test_an_answer_that_cannot_be_taken_breaks_the_connection_and_not_the_process() -> None:
    class Clumsy(Command):
        def answered(self, answer: object) -> None:
            raise ValueError(repr(answer))

    connection = node(redis_server().unix_url, PATIENT)
    connection.send(Clumsy(command(b"PING"), "t:x"))
    answer = asked(connection, b"ECHO", b"x")
    assert isinstance(await answer, Unanswered)
    assert await asked(connection, b"PING") == b"PONG"
    await connection.close()


async def test_a_connection_that_breaks_as_it_is_closed_is_closed() -> None:
    """A group of tasks that fails in the same moment takes the cancellation for its own."""
    for _ in range(5):
        with own_server() as server:
            connection = node(server.url, Timings(connect_s=1.0, answer_s=1.0))
            assert await asked(connection, b"PING") == b"PONG"
            server.kill()
            async with asyncio.timeout(1.0):
                await connection.close()


async def test_what_waits_at_the_end_is_told() -> None:
    connection = node(redis_server().unix_url, PATIENT)
    waiting = asked(connection, b"BLPOP", b"never", b"0")
    await until(lambda: connection.is_open)
    await connection.close()
    assert isinstance(await waiting, StoreUnavailable)


def test_a_command_says_itself_what_becomes_of_its_answer() -> None:
    with pytest.raises(NotImplementedError):
        Command(b"", "t:x").answered(math.nan)
