"""Sentences a second through the engine of vectors, one by one and in batches, beside llama-cpp-python's own `embed()`.

    python -m benchmarks.vectors [--sentences 512] [--threads 1]

With all-MiniLM-L6-v2 in half precision; prints a table. All take the same sentences, in turns, and each keeps its best
of three rounds. One thread is measured by the processor's time, so that a busy machine says the same as an idle one;
several by the clock.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from adapters.llama_cpp_job import EmbedJob, Event, Place
from gateway.config.model_file import model_file
from gateway.local.frames import Load, Tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.local.measuring.vector_engine import VectorParts

MODEL = "package:all_minilm_l6_v2"
ROUNDS = 3
BATCHES = (2, 8, 64, 512)
WORDS = [
    "the", "a", "man", "woman", "dog", "cat", "eats", "food", "river", "bank", "money", "rate", "rises", "market",
    "city", "train", "runs", "late", "again", "today", "tomorrow", "blue", "sky", "music", "plays", "loud", "quiet",
    "house", "garden", "tree", "small", "large",
]  # fmt: skip

Way = tuple[str, "Callable[[Sequence[str]], object]"]


class Measured(NamedTuple):
    name: str
    sentences_per_s: float


def sentences(count: int) -> list[str]:
    """Of 6 to 16 words, the same each time: 13 tokens on the average."""
    rng = random.Random(1)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(6, 16))) for _ in range(count)]


class Engine:
    """The engine in this process, without a worker around it."""

    def __init__(self, path: Path, threads: int) -> None:
        from gateway.local.binding.llama import Model, start_library  # noqa: PLC0415 - loads llama.cpp
        from gateway.local.measuring.vector_engine import vector_engine  # noqa: PLC0415 - as above

        start_library()
        self.events: list[Event] = []
        load = Load(str(path), task="embed", tuning=Tuning(threads=threads), max_waiting=4096)
        self.parts: VectorParts = vector_engine(Model(path, lambda _: None), load, self.events.extend)

    def embed(self, requests: Sequence[Sequence[str]], *, at_once: bool) -> None:
        """Each request from a tenant of its own; one after another, or all of them waiting together."""
        from gateway.local.preparing.vector_prepare import VectorHandle  # noqa: PLC0415 - loads llama.cpp

        self.events.clear()
        for number, texts in enumerate(requests):
            job = EmbedJob(number, tuple(texts), Place(f"team {number}"))
            self.parts.engine.submit(self.parts.preparer.prepare(VectorHandle(job)))
            while not at_once and self.parts.engine.busy:
                self.parts.engine.step()
        while self.parts.engine.busy:
            self.parts.engine.step()


def ways(path: Path, threads: int) -> list[Way]:
    from llama_cpp import Llama  # noqa: PLC0415 - loads llama.cpp

    ours = Engine(path, threads)
    theirs = Llama(str(path), embedding=True, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=threads,
                   n_threads_batch=threads, verbose=False)  # fmt: skip
    made: list[Way] = [
        ("llama-cpp-python, one by one", lambda texts: [theirs.embed(text) for text in texts]),
        ("llama-cpp-python, lists of 64", lambda texts: [theirs.embed(part) for part in cut(texts, 64)]),
        ("engine, one by one", lambda texts: ours.embed(cut(texts, 1), at_once=False)),
    ]
    made += [(f"engine, requests of {size}", partial(_embed_cut, ours, size)) for size in BATCHES]
    made.append(("engine, single texts of many callers at once", lambda texts: ours.embed(cut(texts, 1), at_once=True)))
    return made


def _embed_cut(engine: Engine, size: int, texts: Sequence[str]) -> None:
    engine.embed(cut(texts, size), at_once=False)


def cut(texts: Sequence[str], size: int) -> list[list[str]]:
    return [list(texts[start : start + size]) for start in range(0, len(texts), size)]


def measure(found: Sequence[Way], texts: Sequence[str], clock: Callable[[], float]) -> list[Measured]:
    best = [0.0] * len(found)
    for _ in range(ROUNDS):
        for at, (_, embed) in enumerate(found):
            began_s = clock()
            embed(texts)
            best[at] = max(best[at], len(texts) / (clock() - began_s))
    return [Measured(name, speed) for (name, _), speed in zip(found, best, strict=True)]


def table(results: Sequence[Measured]) -> str:
    lines = ["| way | sentences/s |", "| --- | --- |"]
    return "\n".join(lines + [f"| {one.name} | {one.sentences_per_s:.0f} |" for one in results])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    path = model_file(MODEL)
    clock = time.thread_time if arguments.threads == 1 else time.perf_counter
    print(table(measure(ways(path, arguments.threads), sentences(arguments.sentences), clock)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
