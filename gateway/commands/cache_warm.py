"""`pointsman cache warm`: questions and answers that somebody has already, as a file for `pointsman cache import`.

Each question is rehearsed as the request that callers will send, so that its digests are those that they will be looked
up by. Whoever sends another system prompt or other parameters asks something else, and does not find them.
"""

from __future__ import annotations

import asyncio
import csv
import json
import secrets
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway import extras
from gateway.caching.asked import asked_of
from gateway.caching.views import Views
from gateway.commands.asked_policy import policy_of
from gateway.embedding.embedder import EmbedderUnavailable
from gateway.errors import GatewayError, MissingExtra
from gateway.explaining.rehearsal import NoSuchKey, Question, Rehearsal
from gateway.state.answers.dump import entry_line, heading_line
from gateway.state.answers.store import Entry, Kept, Record, Used
from policies.cache_rules import Bypass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.caching.asked import Asked
    from gateway.call import Call
    from gateway.embedding.minilm import MiniLm

OK: Final = 0
WRONG: Final = 2
STOP: Final = "stop"


class Wanted(NamedTuple):
    """How callers will ask."""

    model: str
    key: str | None = None
    system: str | None = None


class Pair(NamedTuple):
    number: int
    question: str
    answer: str


class CannotWarm(ValueError):  # noqa: N818 - it says what is wrong
    """A line of the file, or the policy, does not allow it."""


def run(config_file: Path, file: Path, wanted: Wanted, out: Path) -> int:
    config = policy_of(config_file)
    if config is None:
        return WRONG
    try:
        pairs = list(read_pairs(file))
        lines = asyncio.run(warmed(Rehearsal(config), pairs, wanted, time.time()))
        with out.open("wb") as target:
            target.writelines(lines)
    except (OSError, NoSuchKey, CannotWarm) as error:
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        sys.stderr.write(f"pointsman cache warm: {told}\n")
        return WRONG
    sys.stderr.write(f"{len(pairs)} answer{'s' if len(pairs) != 1 else ''} in {out}\n")
    return OK


def read_pairs(file: Path) -> Iterator[Pair]:
    """Of CSV with a head, or of JSON lines. Raises `CannotWarm` with the line's number, `OSError`."""
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        if file.suffix.lower() == ".csv":
            reader = csv.DictReader(lines)
            yield from (_pair(reader.line_num, row) for row in reader)
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _pair(number, msgspec.json.decode(line))
                except msgspec.DecodeError:
                    raise CannotWarm(f"line {number} is no JSON") from None


def _pair(number: int, row: object) -> Pair:
    found = row if isinstance(row, dict) else {}
    question, answer = found.get("question"), found.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str) or not question.strip() or not answer.strip():
        raise CannotWarm(f"line {number} has no question and answer")
    return Pair(number, question, answer)


async def warmed(rehearsal: Rehearsal, pairs: list[Pair], wanted: Wanted, now_s: float) -> list[bytes]:
    """The lines of the file. Raises `CannotWarm` for the first question that would not be looked up."""
    embedder = await _embedder(rehearsal)
    try:
        entries = [await _line(rehearsal, pair, wanted, (embedder, now_s)) for pair in pairs]
        return [heading_line("" if embedder is None else embedder.id, now_s), *entries]
    finally:
        if embedder is not None:
            await embedder.close()


async def _line(rehearsal: Rehearsal, pair: Pair, wanted: Wanted, how: tuple[MiniLm | None, float]) -> bytes:
    embedder, now_s = how
    call, asked = await _asked(rehearsal, pair, wanted)
    entry = entry_of(call, asked, pair.answer, now_s)
    vector = None
    if asked.is_semantic and embedder is not None:
        try:
            vector = await embedder.embed(asked.view.question)
        except EmbedderUnavailable as error:
            raise CannotWarm(str(error)) from error
    if vector is not None:
        entry = msgspec.structs.replace(entry, embedder=embedder.id if embedder is not None else "")
    return entry_line(Kept(entry, Record()), vector)


async def _asked(rehearsal: Rehearsal, pair: Pair, wanted: Wanted) -> tuple[Call, Asked]:
    messages = [] if wanted.system is None else [{"role": "system", "content": wanted.system}]
    messages.append({"role": "user", "content": pair.question})
    body = json.dumps({"model": wanted.model, "messages": messages}).encode()
    call, error, _ = await rehearsal.ask(Question(body, key=wanted.key))
    if error is not None:
        raise CannotWarm(f"line {pair.number} would be refused: {error.message}")
    route = call.route
    if route is None or route.cache is None:
        raise CannotWarm(f"{wanted.model} goes to a route without a cache")
    try:
        asked = asked_of(call, route, route.cache, Views())
    except GatewayError as refused:
        raise CannotWarm(f"line {pair.number} would be refused: {refused.message}") from refused
    if isinstance(asked, Bypass):
        raise CannotWarm(f"line {pair.number} would be left alone: {asked.value}")
    asked.look_closer()
    return call, asked


def entry_of(call: Call, asked: Asked, answer: str, now_s: float) -> Entry:
    """The answer as if the route's first deployment had given it, for nothing."""
    entry_id = f"ce_{secrets.token_hex(12)}"
    route, deployment = call.route, call.candidates[0]
    body = {
        "id": f"chatcmpl-{entry_id}",
        "object": "chat.completion",
        "created": int(now_s),
        "model": call.request.model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": STOP}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    return Entry(
        id=entry_id,
        owner=asked.owner,
        route="" if route is None else route.name,
        scope=asked.scope,
        exact=asked.exact,
        near=asked.near,
        question=asked.view.question if asked.is_semantic else "",
        endpoint=call.request.endpoint.value,
        body=json.dumps(body, ensure_ascii=False).encode(),
        is_events=False,
        headers=(),
        model=deployment.model,
        deployment=deployment.name,
        used=Used(),
        stored_at_s=now_s,
        expires_at_s=now_s + asked.rules.ttl_s,
        tags=tuple(dict.fromkeys((*asked.rules.tags, *asked.tags))),
    )


async def _embedder(rehearsal: Rehearsal) -> MiniLm | None:
    """The bundled model where a route compares meanings by it. Raises `CannotWarm` where that cannot be."""
    config = rehearsal.generation.config
    compares = any(
        route.cache is not None and route.cache.semantic is not None for route in rehearsal.generation.routes
    )
    if not compares:
        return None
    if config.cache.embedder.deployment is not None:
        sys.stderr.write("the embedder is a deployment, which is not asked: answers are found by their words alone\n")
        return None
    try:
        extras.require(extras.SEMANTIC)
    except MissingExtra as error:
        raise CannotWarm(str(error)) from error
    from gateway.embedding.minilm import MiniLm  # noqa: PLC0415 - part of an extra

    embedder = MiniLm()
    await embedder.ready()
    return embedder
