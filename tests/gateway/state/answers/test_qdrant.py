from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.indexed import IndexedAnswers
from gateway.state.answers.qdrant import QdrantVectors, without_key
from gateway.state.answers.store import StoreUnavailable
from gateway.state.answers.vector_store import Shelf
from tests.answer_store_suite import AnswerStoreSuite, direction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.state.answers.store import AnswerStore

pytest.importorskip("qdrant_client")

MINE, THEIRS = Shelf("team:a", "s"), Shelf("team:b", "s")


class Rig:
    """Answers in this process, their vectors in a Qdrant in this process."""

    has_vectors = True

    def __init__(self) -> None:
        self.now_s = time.time()
        self._vectors = QdrantVectors(":memory:", answer_s=5.0, clock=lambda: self.now_s)
        store = InProcessAnswers(clock=lambda: self.now_s)
        self.stores: Sequence[AnswerStore] = [IndexedAnswers(store, self._vectors)]

    async def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    async def arrived(self) -> None:
        await self._vectors.settled()


class TestWithAnswersInProcess(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        rig = Rig()
        await rig.stores[0].start()
        yield rig
        await rig.stores[0].close()


@pytest.fixture
async def vectors() -> AsyncIterator[QdrantVectors]:
    made = QdrantVectors(":memory:", answer_s=5.0)
    await made.start()
    yield made
    await made.close()


async def test_a_shelf_is_nobody_else_s(vectors: QdrantVectors) -> None:
    vectors.add(MINE, "ce_1", direction(1), time.time() + 60)
    vectors.add(THEIRS, "ce_1", direction(2), time.time() + 60)
    await vectors.settled()
    found = await vectors.nearest(MINE, direction(1), 5)
    assert [one.entry_id for one in found] == ["ce_1"]
    assert found[0].similarity == pytest.approx(1.0, abs=0.001)
    vectors.remove(THEIRS, ["ce_1"])
    await vectors.settled()
    assert list(await vectors.nearest(THEIRS, direction(1), 5)) == []
    assert await vectors.count() == 1


async def test_an_embedder_of_another_size_has_a_collection_of_its_own(vectors: QdrantVectors) -> None:
    vectors.add(MINE, "ce_1", direction(1), time.time() + 60)
    vectors.add(MINE, "ce_2", direction(1)[:64], time.time() + 60)
    await vectors.settled()
    assert [one.entry_id for one in await vectors.nearest(MINE, direction(1)[:64], 5)] == ["ce_2"]
    assert await vectors.count() == 2


async def test_what_has_expired_is_swept_away() -> None:
    now = [1000.0]
    vectors = QdrantVectors(":memory:", answer_s=5.0, clock=lambda: now[0])
    await vectors.start()
    vectors.add(MINE, "ce_1", direction(1), 1010.0)
    vectors.add(MINE, "ce_2", direction(2), 1050.0)
    await vectors.settled()
    now[0] = 1020.0
    assert [one.entry_id for one in await vectors.nearest(MINE, direction(1), 5)] == ["ce_2"]
    await vectors._sweep()
    assert await vectors.count() == 1
    await vectors.close()


async def test_a_server_that_is_away_is_a_miss_and_no_reason_not_to_start() -> None:
    vectors = QdrantVectors("http://127.0.0.1:1", answer_s=0.3)
    await vectors.start()
    with pytest.raises(StoreUnavailable, match="Qdrant"):
        await vectors.nearest(MINE, direction(1), 5)
    with pytest.raises(StoreUnavailable, match="is away"):
        await vectors.nearest(MINE, direction(1), 5)
    vectors.add(MINE, "ce_1", direction(1), time.time() + 60)
    await vectors.settled()
    await vectors.close()


async def test_a_server_is_spoken_to_as_qdrant_is() -> None:
    """With its key, which is not in the URL; a collection that is not there is made."""
    heard: list[tuple[str, str | None]] = []
    open_: list[tuple[asyncio.StreamWriter, asyncio.Task[object] | None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.append((writer, asyncio.current_task()))
        while head := await _head(reader):
            line, headers = head
            heard.append((line, headers.get("api-key")))
            await reader.readexactly(int(headers.get("content-length", "0")))
            result = '{"exists": false}' if line.startswith("GET") else "true"
            if "/index" in line:
                result = '{"operation_id": 1, "status": "completed"}'
            if "points/query" in line:
                result = '{"points": [{"id": 1, "version": 1, "score": 0.5, "payload": {"id": "ce_1"}}]}'
            body = f'{{"result": {result}, "status": "ok", "time": 0.0}}'.encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        vectors = QdrantVectors(f"http://:se%2Fcret@127.0.0.1:{port}", answer_s=5.0)
        with pytest.warns(UserWarning, match="insecure"):
            await vectors.start()
        try:
            found = await vectors.nearest(MINE, direction(1), 5)
        finally:
            await vectors.close()
        for writer, task in open_:
            writer.close()
            await asyncio.wait([task] if task else [])
    assert [one.entry_id for one in found] == ["ce_1"]
    assert {key for _, key in heard} == {"se/cret"}
    lines = [line.partition("?")[0].removesuffix(" HTTP/1.1") for line, _ in heard]
    collection = "/collections/pointsman-answers-384"
    assert lines == [
        f"GET {collection}/exists",
        f"PUT {collection}",
        *[f"PUT {collection}/index"] * 2,
        f"POST {collection}/points/query",
    ]


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    line, *rest = raw.decode().split("\r\n")
    pairs = [one.partition(":") for one in rest if one]
    return line, {name.lower(): value.strip() for name, _, value in pairs}


def test_the_key_is_the_url_s_password() -> None:
    assert without_key("https://:k%40@q.example:6333/x") == ("https://q.example:6333/x", "k@")
    assert without_key("https://key@q.example") == ("https://q.example", "key")
    assert without_key("http://q.example:6333") == ("http://q.example:6333", None)
