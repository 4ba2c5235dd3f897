"""What a lookup costs: the embedder by length of the question, the index by number of entries, and both together.

    python -m benchmarks.semantic_cache.costs

On made-up vectors, or those of questions that the caller has, moved a little to get as many as are asked for. One
question at a time; processor time beside time by the clock, since the machine may have other work.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from gateway.embedding.minilm import MiniLm
from gateway.state.answers.store import Place
from gateway.state.answers.vectors import VectorIndex
from policies.caching import CANDIDATES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

TOKENS: Final = (16, 64, 254)
SIZES: Final = (1_000, 10_000, 100_000)
_PLACE: Final = Place("team:benchmark", b"scope", MiniLm.id)
_MOVED: Final = 0.25  # how far copies are from what they are copies of: a cosine of .97 or so
_WORDS: Final = ("how", "do", "i", "reset", "my", "password", "card", "order", "late", "phone", "plan", "bank")


class Cost(NamedTuple):
    """Milliseconds."""

    cpu_mean: float
    p50: float
    p99: float
    rounds: int


class IndexCost(NamedTuple):
    """`recall` is the share of the true nearest eight that are found; memory is per entry, answers not included."""

    entries: int
    lookup: Cost
    with_embedding: Cost
    recall: float
    size_bytes: float
    add_us: float
    ready_s: float


def embedding_costs(tokens: Sequence[int] = TOKENS, rounds: int = 200) -> dict[int, Cost]:
    """By the number of word pieces, both marks included."""
    return asyncio.run(_embedding_costs(tokens, rounds))


def index_costs(vectors: Vectors, sizes: Sequence[int] = SIZES, rounds: int = 1_000) -> list[IndexCost]:
    """For so many entries in one place; `with_embedding` asks questions of 64 pieces."""
    return [asyncio.run(_index_cost(more_like(vectors, size), rounds)) for size in sizes]


def more_like(vectors: Vectors, count: int, seed: int = 1) -> Vectors:
    """So many vectors, spread as these are."""
    rng = np.random.default_rng(seed)
    sources = vectors[rng.integers(0, len(vectors), count)]
    moved = sources + _MOVED / np.sqrt(vectors.shape[1]) * rng.standard_normal(sources.shape, np.float32)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


def made_up(count: int = 2_000) -> Vectors:
    """Vectors around topics, where there are no questions at hand."""
    rng = np.random.default_rng(1)
    topics = rng.standard_normal((200, MiniLm.dimensions))
    vectors = topics[rng.integers(0, len(topics), count)] + 0.7 * rng.standard_normal((count, MiniLm.dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def questions(count: int, tokens: int) -> list[str]:
    """Each of so many word pieces, marks included; no two alike, so that none is remembered."""
    rng = np.random.default_rng(tokens)
    return [" ".join(rng.choice(_WORDS, tokens - 2)) for _ in range(count)]


async def _embedding_costs(tokens: Sequence[int], rounds: int) -> dict[int, Cost]:
    embedder = MiniLm()
    await embedder.ready()
    costs = {}
    for length in tokens:
        texts = questions(rounds + 5, length)
        for text in texts[:5]:
            await embedder.embed(text)
        began_s, times_s = time.process_time(), []
        for text in texts[5:]:
            started_s = time.perf_counter()
            await embedder.embed(text)
            times_s.append(time.perf_counter() - started_s)
        costs[length] = _cost(time.process_time() - began_s, times_s)
    await embedder.close()
    return costs


async def _index_cost(vectors: Vectors, rounds: int) -> IndexCost:
    index: VectorIndex[str] = VectorIndex()
    started_s = time.perf_counter()
    for number, vector in enumerate(vectors):
        index.add(_PLACE, f"ce_{number:020}", vector)
    added_s = time.perf_counter() - started_s
    while not index.is_settled:  # noqa: ASYNC110 - a thread sets no asyncio.Event
        await asyncio.sleep(0.05)
    ready_s = time.perf_counter() - started_s
    asked = more_like(vectors, rounds, seed=2)
    lookup = _timed(lambda vector: index.nearest(_PLACE, vector, CANDIDATES_MAX), asked)
    cost = IndexCost(
        len(vectors),
        lookup,
        await _with_embedding(index, max(50, rounds // 5)),
        _recall(index, vectors, asked[:200]),
        index.size_bytes / len(vectors),
        1e6 * added_s / len(vectors),
        ready_s,
    )
    index.close()
    return cost


async def _with_embedding(index: VectorIndex[str], rounds: int) -> Cost:
    embedder = MiniLm()
    await embedder.ready()
    began_s, times_s = time.process_time(), []
    for text in questions(rounds, 64):
        started_s = time.perf_counter()
        vector = await embedder.embed(text)
        assert vector is not None
        index.nearest(_PLACE, vector, CANDIDATES_MAX)
        times_s.append(time.perf_counter() - started_s)
    cost = _cost(time.process_time() - began_s, times_s)
    await embedder.close()
    return cost


def _timed(ask: Callable[[Vectors], object], vectors: Vectors) -> Cost:
    for vector in vectors[:20]:
        ask(vector)
    began_s, times_s = time.thread_time(), []
    for vector in vectors:
        started_s = time.perf_counter()
        ask(vector)
        times_s.append(time.perf_counter() - started_s)
    return _cost(time.thread_time() - began_s, times_s)


def _cost(cpu_s: float, times_s: Sequence[float]) -> Cost:
    p50, p99 = np.percentile(times_s, [50, 99])
    return Cost(1e3 * cpu_s / len(times_s), 1e3 * float(p50), 1e3 * float(p99), len(times_s))


def _recall(index: VectorIndex[str], vectors: Vectors, asked: Vectors) -> float:
    right = 0
    for one in asked:
        best = {f"ce_{row:020}" for row in np.argpartition(-(vectors @ one), CANDIDATES_MAX)[:CANDIDATES_MAX]}
        right += len(best & {id_ for id_, _ in index.nearest(_PLACE, one, CANDIDATES_MAX)})
    return right / (CANDIDATES_MAX * len(asked))


def main() -> int:
    print("| pieces | processor ms | p50 ms | p99 ms |\n| --- | --- | --- | --- |")
    for tokens, cost in embedding_costs().items():
        print(f"| {tokens} | {cost.cpu_mean:.2f} | {cost.p50:.2f} | {cost.p99:.2f} |")
    print("\n| entries | processor us | p50 us | p99 us | with 64 pieces embedded: p50, p99 ms | recall | bytes | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for one in index_costs(made_up()):
        near, both = one.lookup, one.with_embedding
        print(
            f"| {one.entries:,} | {1e3 * near.cpu_mean:.0f} | {1e3 * near.p50:.0f} | {1e3 * near.p99:.0f} "
            f"| {both.p50:.1f}, {both.p99:.1f} | {one.recall:.3f} | {one.size_bytes:.0f} | {one.ready_s:.0f} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
