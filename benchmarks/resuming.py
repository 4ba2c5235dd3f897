"""How often a stream that breaks can go on: real answers of the bundled model, cut after some of their text was sent.

Run `python -m benchmarks.resuming [--into FILE]`; it prints a Markdown table, in some two minutes on one thread. The
second attempt is at the same model: for `align` that is the best there is, since any other model words its answer
differently.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from adapters.base import Tally
from adapters.openai_request import parse
from benchmarks.sections import put_into
from gateway.call import Reply
from gateway.config.model_file import BUNDLED, PACKAGE, model_file
from gateway.errors import UpstreamError
from gateway.local.frames import Load, Tuning
from gateway.local.serving.engines import Engines
from gateway.local.serving.keeping import EngineSpec
from gateway.local.serving.supervisor import Supervisor
from gateway.local.serving.upstream import LocalUpstream
from gateway.resuming import Part, ResumableAnswer
from gateway.upstream import Exchange
from policies.route_rules import Resume
from policies.vocabulary import Deployment, Endpoint, Failure, FailureKind, Timeouts

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.upstream import Answer

PROMPTS = (
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "Why is the sky blue?",
    "Name three kinds of bread.",
    "What does a pointsman do?",
    "Explain photosynthesis to a child.",
    "Give me a recipe for pancakes.",
    "What is 12 times 12?",
    "Describe a train station in the rain.",
    "Who wrote Hamlet?",
    "Translate 'good morning' into Spanish.",
    "List the planets of the solar system.",
    "How does a bicycle stay upright?",
    "Write a short poem about winter.",
    "What is a prime number?",
    "Tell me a joke about computers.",
    "How do I boil an egg?",
    "What is the difference between a cat and a dog?",
    "Write a greeting for a birthday card.",
    "What happens when water freezes?",
)
HERE, THERE = (Deployment(name, "bundled", "llama_cpp", "SmolLM2-135M-Instruct") for name in ("here", "there"))
CUT = Failure(FailureKind.TRUNCATED, "cut")
ANSWER_TOKENS = 40
TOTAL_S = 120.0
HEAD = """\
## Resuming

| temperature | way | ended well | with the words of the uncut answer | tokens of the second attempt |
| ---: | --- | ---: | ---: | ---: |"""
TAIL = """

{prompts} prompts, answers of {tokens} tokens cut at a random token, the bundled model, {took_s:.0f} s. The second
attempt is at the same model, which is the best case for `align`: the answers of another model begin alike only by
chance, as do those of one at temperature 1. `prefill` goes on from the text whatever the temperature. The fixed text of
the failover scenarios flatters `align`; this is what to expect.
"""


class Broken:
    """The beginning of an answer as it was recorded, and then nothing more."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.body: bytes | None = None
        self.tally = Tally()
        self.headers: tuple[tuple[str, str], ...] = ()
        self.first_token_s: float | None = None
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        raise UpstreamError(CUT, HERE.name)

    def close(self) -> None:
        """Nothing is behind it."""


class Again:
    """The same model once more, and the tokens that this cost."""

    def __init__(self, upstream: LocalUpstream) -> None:
        self._upstream = upstream
        self._answer: Answer | None = None
        self.tokens = 0

    async def open(self, request: InferenceRequest, *, exclude: frozenset[str], only_prefill: bool) -> Reply | None:
        del only_prefill
        if THERE.id in exclude:
            return None
        self._answer = await self._upstream.send(exchange(request))
        return Reply(self._answer, THERE)

    def drop(self, failure: Failure | None) -> None:
        del failure
        self.close()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self.tokens += self._answer.tally.usage.output_tokens if self._answer.tally.usage else 0
            self._answer = None


class Counts:
    """As many tokens as words: what is left of the limit hangs on it, and whether an answer goes on does not."""

    async def count(self, text_parts: list[str], model: str) -> int:
        del model
        return len("".join(text_parts).split())

    async def count_request(self, request: InferenceRequest, model: str | None = None) -> int:
        del model
        return request.body_bytes


class Trial(NamedTuple):
    """One answer that was cut: whether its stream ended well, and with the words it would have had."""

    ended: bool
    same: bool
    tokens: int


def request(prompt: str, temperature: float) -> InferenceRequest:
    messages = [{"role": "user", "content": prompt}]
    body = {"model": "m", "stream": True, "temperature": temperature, "max_tokens": ANSWER_TOKENS, "messages": messages}
    return parse(Endpoint.CHAT, json.dumps(body).encode())


def exchange(asked: InferenceRequest) -> Exchange:
    return Exchange(asked, Timeouts(), asyncio.get_running_loop().time() + TOTAL_S, "benchmark")


async def pieces_of(answer: Answer) -> list[bytes]:
    got = []
    while piece := await answer.read():
        got.append(piece)
    return got


def text_of(pieces: list[bytes]) -> str:
    lines = [line for line in b"".join(pieces).split(b"\n\n") if line.startswith(b"data: {")]
    choices = [choice for line in lines for choice in json.loads(line.removeprefix(b"data: "))["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def resume(upstream: LocalUpstream, asked: InferenceRequest, whole: list[bytes], cut: int, way: Resume) -> Trial:
    legs = Again(upstream)
    answer = ResumableAnswer(Part(Broken(whole[:cut]), HERE, asked), (way,), legs, Counts())
    try:
        got = await pieces_of(answer)
    except UpstreamError:
        return Trial(ended=False, same=False, tokens=legs.tokens)
    finally:
        legs.close()
    return Trial(ended=True, same=text_of(got) == text_of(whole), tokens=legs.tokens)


async def trials(upstream: LocalUpstream, temperature: float) -> dict[Resume, list[Trial]]:
    """Each prompt answered whole, cut once at a random place, and resumed in either way."""
    rng = Random(4)
    found: dict[Resume, list[Trial]] = {way: [] for way in Resume}
    for prompt in PROMPTS:
        asked = request(prompt, temperature)
        whole = await pieces_of(await upstream.send(exchange(asked)))
        # Behind the role and the first token, before the events that end the stream.
        cut = rng.randint(2, max(2, len(whole) - 3))
        for way, all_of_way in found.items():
            all_of_way.append(await resume(upstream, asked, whole, cut, way))
    return found


async def measured() -> str:
    """The section of RESULTS.md."""
    load = Load(str(model_file(PACKAGE + BUNDLED)), tuning=Tuning(threads=1))
    engines = Engines(lambda spec: Supervisor(spec.load))
    upstream = LocalUpstream(HERE, EngineSpec(HERE.provider, load), engines)
    await upstream.start()
    began_s = time.monotonic()
    lines = [HEAD]
    try:
        for temperature in (0.0, 1.0):
            for way, tried in (await trials(upstream, temperature)).items():
                ended, same = sum(trial.ended for trial in tried), sum(trial.same for trial in tried)
                mean_tokens = sum(trial.tokens for trial in tried) / len(tried)
                lines.append(
                    f"| {temperature:g} | {way} | {ended}/{len(tried)} | {same}/{len(tried)} | {mean_tokens:.1f} |"
                )
    finally:
        await upstream.close()
        await engines.close()
    took_s = time.monotonic() - began_s
    return "\n".join(lines) + TAIL.format(prompts=len(PROMPTS), tokens=ANSWER_TOKENS, took_s=took_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resuming", description=__doc__)
    parser.add_argument("--into", type=Path, help="write the section into this file")
    options = parser.parse_args()
    text = asyncio.run(measured())
    print(text)
    if options.into is not None:
        put_into(options.into, text)


if __name__ == "__main__":
    main()
