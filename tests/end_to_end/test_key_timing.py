"""What a caller with a clock learns of the keys: nothing that is worth the trying.

A public id is no secret, but whether it is in use need not be told either. The measure is the chance that a refusal of
a known id took longer than one of an unknown id: a half, where they cannot be told apart.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.errors import RequestError
from gateway.keys.virtual_keys import PUBLIC_ID, Refusal, generate, public_id
from gateway.server import Inbound, Outbound, Server, render_head
from gateway.stages.authenticate import identify
from tests.gateway.key_sets import a_store, a_stored, a_view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.keys.view import KeyView
    from policies.vocabulary import Principal

EACH = 5_000
NEARLY_HALF = 0.03
"""Above what the processor's caches make of a table of keys, some ten nanoseconds; far below one hash more or less."""


class Hasty:
    """A view that makes the mistake: it hashes only for ids that it knows."""

    required = True

    def __init__(self, view: KeyView, known: set[str]) -> None:
        self._view = view
        self._known = known

    def identify(self, presented: str, now: float, peer: Callable[[], str]) -> Principal | Refusal:
        return self._view.identify(presented, now, peer) if presented[PUBLIC_ID] in self._known else Refusal.UNKNOWN


def chance_of_slower(one: list[int], other: list[int]) -> float:
    """Mann and Whitney's U over its greatest value; ties by their place, which is random here."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks = sum(rank for rank, (_, group) in enumerate(ranked, 1) if group == 0)
    return (ranks - len(one) * (len(one) + 1) / 2) / (len(one) * len(other))


def guesses(secrets: list[str], rng: random.Random) -> list[tuple[str, int]]:
    """Wrong secrets for known ids (0) and for as many unknown ones (1), in random order: both meet the same noise."""
    ids = [public_id(secret) for secret in secrets], [public_id(generate("live", rng)) for _ in secrets]
    tried = [(generate("live", rng, rng.choice(ids[kind])), kind) for kind in (0, 1) for _ in range(EACH)]
    rng.shuffle(tried)
    return tried


@asynccontextmanager
async def listening(keys: object) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that authenticates, and does nothing else."""
    generation = cast("Any", SimpleNamespace(keys=keys))

    async def answered(inbound: Inbound) -> Outbound:
        try:
            identify(inbound.headers, generation, inbound.peer)
        except RequestError as error:
            return Outbound(inbound, render_head(error.status, [("content-length", "0")], close=False))
        raise AssertionError

    server = Server(answered, asyncio.get_running_loop())
    socket = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", socket.sockets[0].getsockname()[1])
    yield reader, writer
    writer.close()
    socket.close()
    await server.shutdown(0.1)


async def chance(keys: object, tried: list[tuple[str, int]]) -> float:
    taken: tuple[list[int], list[int]] = [], []
    async with listening(keys) as (reader, writer):
        for text, kind in tried:
            begun = time.perf_counter_ns()
            writer.write(f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {text}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            taken[kind].append(time.perf_counter_ns() - begun)
            assert head.startswith(b"HTTP/1.1 401")
    return chance_of_slower(*taken)


@pytest.mark.slow
async def test_a_known_id_is_refused_as_slowly_as_an_unknown_one() -> None:
    rng = random.Random(7)
    secrets = [generate("live", rng) for _ in range(100)]
    view = a_view(a_store(*map(a_stored, secrets)))
    chances = sorted([await chance(view, guesses(secrets, rng)) for _ in range(5)])
    assert abs(chances[2] - 0.5) < NEARLY_HALF, chances  # the middle one: one noisy moment says nothing
    hasty = Hasty(view, {str(public_id(secret)) for secret in secrets})
    assert await chance(hasty, guesses(secrets, rng)) > 0.5 + 2 * NEARLY_HALF, "the test would see a hash saved"


def test_the_measure_sees_a_difference_and_none() -> None:
    rng = random.Random(3)
    one, later = ([rng.randrange(1_000, 2_000) + extra for _ in range(EACH)] for extra in (0, 100))
    assert chance_of_slower(later, one) > 0.5 + NEARLY_HALF
    assert abs(chance_of_slower(one, [rng.randrange(1_000, 2_000) for _ in range(EACH)]) - 0.5) < NEARLY_HALF
