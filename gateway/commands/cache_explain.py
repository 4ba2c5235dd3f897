"""`pointsman cache explain`: why one request would or would not be served with another's answer, sending nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway import extras
from gateway.commands.asked_policy import policy_of
from gateway.errors import MissingExtra
from gateway.explaining.cache_pairs import Likeness, PairTold, explain_pair
from gateway.explaining.rehearsal import NoSuchKey, Question, Rehearsal
from policies.cache_curves import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from gateway.config import Config

SERVED: Final = 0
NOT_SERVED: Final = 1
WRONG: Final = 2


def run(config_file: Path, pair: tuple[Question, Question], similarity: float | None, *, as_json: bool) -> int:
    """0 where the first is served with the second's answer, 1 where it is not, 2 where a file is wrong."""
    config = policy_of(config_file)
    if config is None:
        return WRONG
    try:
        told = asyncio.run(explain_pair(Rehearsal(config), *pair, likeness_of(config, similarity)))
    except NoSuchKey as error:
        sys.stderr.write(f"pointsman cache explain: {error}\n")
        return WRONG
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(told)))
    return NOT_SERVED if told.served is None else SERVED


def body_of(request_file: str | None, question: str | None, model: str | None) -> bytes:
    """A file's, or of a question alone. Raises `ValueError` and `OSError`."""
    if request_file is not None:
        return sys.stdin.buffer.read() if request_file == "-" else Path(request_file).read_bytes()
    if question is None or model is None:
        raise ValueError("name two requests: two files, or --question A --question B with --model MODEL")
    return json.dumps({"model": model, "messages": [{"role": "user", "content": question}]}).encode()


def likeness_of(config: Config, similarity: float | None) -> Callable[[str, str], Awaitable[Likeness]] | None:
    """What compares two questions here: what was said, else the bundled model; a deployment is not asked."""
    deployment = config.cache.embedder.deployment

    async def said(_one: str, _other: str) -> Likeness:
        return Likeness(deployment or SHIPPED[0].embedder, similarity)

    async def unasked(_one: str, _other: str) -> Likeness:
        why = f"the embedder is the deployment {deployment}, which is not asked here: say how alike with --similarity"
        return Likeness(deployment or "", None, why)

    if similarity is not None:
        return said
    if deployment is not None:
        return unasked
    try:
        extras.require(extras.SEMANTIC)
    except MissingExtra:
        return None
    return by_minilm


async def by_minilm(one: str, other: str) -> Likeness:
    from gateway.embedding.minilm import MiniLm  # noqa: PLC0415 - part of an extra

    embedder = MiniLm()
    try:
        await embedder.ready()
        first, second = await embedder.embed(one), await embedder.embed(other)
        return Likeness(embedder.id, None if first is None or second is None else float(first @ second))
    finally:
        await embedder.close()


def lines(told: PairTold) -> Iterator[str]:
    """The steps in the order in which the cache takes them, and the verdict."""
    if told.route:
        yield from _step("route", told.route, told.stored_route)
        yield from _step("owner", told.owner, told.stored_owner)
        if told.differs:
            yield f"differs      {', '.join(told.differs)}"
        yield f"scope        {_yes(told.same_scope)}"
        yield f"same request {_yes(told.same_request)}"
        yield f"plain form   {_yes(told.same_plain_form)}"
    if told.similarity is not None:
        yield f"similarity   {told.similarity:.4f}"
    if told.signs:
        yield f"signs        {', '.join(f'{name} {value:g}' for name, value in told.signs.items())}"
    if told.veto is not None:
        yield f"ruled out by {told.veto}"
    if told.risk is not None:
        yield f"risk         {told.risk:.4f} of at most {told.bar or 0.0:.4f}"
    if told.budget is not None:
        yield f"budget       {told.budget:.2%} of requests may be served a wrong answer"
    yield f"served, level {told.served}" if told.served is not None else f"not served: {told.why}"


def _step(name: str, one: str, other: str) -> Iterator[str]:
    yield f"{name:<12} {one}" if one == other else f"{name:<12} {one}, and the stored one's is {other}"


def _yes(is_so: bool | None) -> str:  # noqa: FBT001 - what it shows
    return "the same" if is_so else "another"
