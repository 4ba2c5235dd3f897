"""Streams that break, and the attempts that could go on: what the tests of resuming hand out and look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from adapters.base import Tally
from adapters.openai_events import DONE
from adapters.openai_request import parse
from gateway.call import Reply
from gateway.errors import UpstreamError
from gateway.resuming import ResumableAnswer, resumable
from policies.route_rules import Resume
from policies.vocabulary import Deployment, Endpoint, Failure, FailureKind

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

CUT = Failure(FailureKind.TRUNCATED, "The stream ended early.", code="upstream_incomplete", maybe_billed=True)
OUT_OF_TIME = Failure(FailureKind.TOTAL, "The call's time ran out.")
REFUSED = Failure(FailureKind.STATUS, "No prefill here.", status=400)
PREFILL, ALIGN = (Resume.PREFILL,), (Resume.ALIGN,)
BOTH = (Resume.PREFILL, Resume.ALIGN)
WORDS = ["The", " 🚂", " goes", " on", " for", " long", "."]


def deployment(name: str) -> Deployment:
    return Deployment(name, "p", "openai", f"{name}-model")


def request(endpoint: Endpoint = Endpoint.CHAT, **fields: Any) -> InferenceRequest:
    body = {"model": "smart", "stream": True} | fields
    if endpoint is Endpoint.CHAT:
        body.setdefault("messages", [{"role": "user", "content": "Hi"}])
    return parse(endpoint, json.dumps(body).encode())


def chunk(of: str, text: str | None = None, reason: str | None = None, **delta: Any) -> bytes:
    said = delta if text is None else {"content": text} | delta
    choice = {"index": 0, "delta": said, "finish_reason": reason}
    fields = {"id": f"c-{of}", "object": "chat.completion.chunk", "created": len(of), "model": of, "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(fields).encode()


def usage_of(of: str, input_tokens: int, output_tokens: int) -> bytes:
    usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    return b"data: %b\n\n" % json.dumps({"id": f"c-{of}", "choices": [], "usage": usage}).encode()


def saying(of: str, *texts: str, end: str | None = "stop") -> list[bytes]:
    """A stream as a provider sends it."""
    events = [chunk(of, "", role="assistant"), *(chunk(of, text) for text in texts)]
    return events if end is None else [*events, chunk(of, reason=end), DONE]


class Far:
    """One attempt's answer: pieces, then its end or its failure."""

    def __init__(
        self, name: str, pieces: list[bytes], failure: Failure | None = None, *, whole: bytes | None = None
    ) -> None:
        self.body = whole
        self.headers: tuple[tuple[str, str], ...] = (("openai-version", name),)
        self.first_token_s: float | None = 1.0
        self.tally = Tally(text=[f"what {name} said"])
        self.closed = False
        self.deployment = deployment(name)
        self._pieces = list(pieces)
        self._failure = failure

    async def read(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._failure is not None:
            raise UpstreamError(self._failure, self.deployment.name)
        return b""

    def close(self) -> None:
        self.closed = True


Next = Far | Exception | None


class Attempts:
    """What would be asked of whom; hands out what the test says."""

    def __init__(self, *nexts: Next) -> None:
        self.asked: list[tuple[InferenceRequest, frozenset[str], bool]] = []
        self.dropped: list[Failure | None] = []
        self._nexts = list(nexts)

    async def open(self, request: InferenceRequest, *, exclude: frozenset[str], only_prefill: bool) -> Reply | None:
        assert len(self.dropped) > 0
        self.asked.append((request, exclude, only_prefill))
        following = self._nexts.pop(0) if self._nexts else None
        if isinstance(following, Exception):
            raise following
        return None if following is None else Reply(following, following.deployment)

    def drop(self, failure: Failure | None) -> None:
        self.dropped.append(failure)


class Counts:
    """A token for each word, ten for each prompt's message."""

    async def count(self, text_parts: list[str], model: str) -> int:
        assert model.endswith("-model")
        return len("".join(text_parts).split())

    async def count_request(self, request: InferenceRequest, model: str | None = None) -> int:
        assert model is not None
        return 10 * len(json.loads(bytes(request.members["messages"])))


def resumed(
    first: Far, attempts: Attempts, ways: tuple[Resume, ...] = BOTH, asked: InferenceRequest | None = None
) -> ResumableAnswer:
    answer = resumable(Reply(first, first.deployment), asked or request(), ways, attempts, Counts())
    assert isinstance(answer, ResumableAnswer)
    return answer


async def read(answer: ResumableAnswer) -> tuple[list[bytes], UpstreamError | None]:
    got = []
    try:
        while piece := await answer.read():
            got.append(piece)
    except UpstreamError as error:
        return got, error
    return got, None


def told(pieces: list[bytes]) -> list[dict[str, Any]]:
    lines = [line for line in b"".join(pieces).split(b"\n\n") if line.startswith(b"data: {")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def text_of(pieces: list[bytes]) -> str:
    deltas = [choice["delta"] for event in told(pieces) for choice in event["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def broken(*texts: str, failure: Failure = CUT) -> Far:
    return Far("first", saying("first", *texts, end=None), failure)
