"""What the failure wall says and how it fails: the text, one attempt, and each fault by the name of its model."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.failure_wall import FailureWall

TEXT: Final = (
    "A switch in the rails is judged on the worst day of the year, when snow lies deep, one line is closed and every"
    " train runs late. Whoever sets it must know which tracks are free, never send two trains onto one, and tell all"
    " who wait what will truly happen to them, whatever the printed timetable may have promised."
)


def tokens_of(text: str) -> tuple[str, ...]:
    """One token a word, the space before it included."""
    return tuple(re.findall(r"\s*\S+", text))


TOKENS: Final = tokens_of(TEXT)
CUT_AFTER, STALLED_AFTER, GARBLED_AT = 40, 20, 10


@dataclass(frozen=True)
class Timing:
    """How slow the slow faults are, in seconds."""

    first_token_s: float
    stall_s: float
    silence_s: float
    outage_s: float
    between_tokens_s: float
    retry_after_s: int = 2


FULL: Final = Timing(first_token_s=20, stall_s=30, silence_s=120, outage_s=60, between_tokens_s=0.015)
FAST: Final = Timing(first_token_s=4, stall_s=2, silence_s=20, outage_s=6, between_tokens_s=0.003)


@dataclass
class Attempt:
    """One request that reached the wall. `at_s` is on the wall's clock; `left_s` is when the caller hung up early."""

    at_s: float
    model: str
    number: int
    is_stream: bool
    continues: str
    prompt_words: int
    did: str = "answered"
    left_s: float | None = None


class HangUp(Exception):  # noqa: N818 - the ordinary end of many faults
    pass


@dataclass(eq=False)
class Turn:
    """One request and the connection that its answer goes to."""

    wall: FailureWall
    attempt: Attempt
    body: dict[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tokens: tuple[str, ...] = TOKENS

    async def refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        """An error as OpenAI's API words it."""
        self.attempt.did = f"{status} {code}"
        kind = "invalid_request_error" if status == 400 else "server_error"
        error = {"message": message, "type": kind, "param": "messages" if status == 400 else None, "code": code}
        await self.send(whole(status, {"error": error}, **headers))

    async def answer(self) -> None:
        """All of the answer, as a stream where one was asked for."""
        if not self.attempt.is_stream:
            await self.send(whole(200, self._completion()))
            return
        await self.begin()
        await self.say(self.tokens)
        await self.end()

    async def begin(self) -> None:
        """The head of a stream and the role, which is no content yet."""
        await self.send(head(200, "content-type: text/event-stream", "transfer-encoding: chunked"))

    async def say(self, tokens: tuple[str, ...]) -> None:
        await self._event(self._piece({"role": "assistant", "content": ""}))
        await self.go_on(tokens)

    async def go_on(self, tokens: tuple[str, ...]) -> None:
        for token in tokens:
            await self._event(self._piece({"content": token}))
            await asyncio.sleep(self.wall.timing.between_tokens_s)

    async def end(self, *, done: bool = True) -> None:
        """The finish reason, the usage if it was asked for, the end mark, and the last chunk."""
        await self._event(self._piece({}, "stop"))
        if (self.body.get("stream_options") or {}).get("include_usage"):
            await self._event({**self._piece({}), "choices": [], "usage": self._usage()})
        if done:
            await self.raw_event(b"data: [DONE]\n\n")
        await self.send(b"0\r\n\r\n")

    async def complain(self) -> None:
        """An error inside the stream, which then ends as if all were well."""
        await self._event({"error": {"message": "Something broke.", "type": "server_error", "code": "internal_error"}})
        await self.raw_event(b"data: [DONE]\n\n")
        await self.send(b"0\r\n\r\n")

    def event_of(self, token: str) -> bytes:
        return b"data: %b\n\n" % json.dumps(self._piece({"content": token})).encode()

    async def raw_event(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            self.left()

    async def break_off(self, after: int, wait_s: float = 0.0) -> None:
        """Some of the answer, then silence for a while, then the end of the connection in the middle of it."""
        if self.attempt.is_stream:
            await self.begin()
            await self.say(self.tokens[:after])
        else:
            answer = whole(200, self._completion())
            await self.send(answer[: len(answer) * after // (len(TOKENS) + 1)])
        await self.wait(wait_s)
        raise HangUp

    async def wait(self, wait_s: float) -> None:
        """Do nothing for so long, or until the caller has left."""
        try:
            async with asyncio.timeout(wait_s):
                await self.reader.read(1)
        except TimeoutError:
            return
        self.left()

    def left(self) -> NoReturn:
        """The caller has hung up."""
        self.attempt.left_s = self.wall.now_s
        raise HangUp

    async def _event(self, event: dict[str, Any]) -> None:
        await self.raw_event(b"data: %b\n\n" % json.dumps(event).encode())

    def _piece(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**self._names("chat.completion.chunk"), "choices": [choice]}

    def _completion(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self.tokens)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**self._names("chat.completion"), "choices": [choice], "usage": self._usage()}

    def _names(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-wall-{self.attempt.model}-{self.attempt.number}",
            "object": kind,
            "created": 1_790_000_000,
            "model": self.attempt.model,
        }

    def _usage(self) -> dict[str, int]:
        read, written = self.attempt.prompt_words, len(self.tokens)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode()


def whole(status: int, body: dict[str, Any], **headers: str) -> bytes:
    data = json.dumps(body).encode()
    named = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return head(status, "content-type: application/json", f"content-length: {len(data)}", *named) + data


# the faults


async def _ok(turn: Turn) -> None:
    await turn.answer()


async def _refuses_prefill(turn: Turn) -> None:
    if turn.attempt.continues:
        message = "This model does not take a conversation that ends with an assistant's message."
        await turn.refuse(400, "invalid_prefill", message)
    else:
        await turn.answer()


async def _limited_once(turn: Turn) -> None:
    if turn.attempt.number == 1:
        wait = str(turn.wall.timing.retry_after_s)
        await turn.refuse(429, "rate_limit_exceeded", "Too many requests.", retry_after=wait)
    else:
        await turn.answer()


async def _limited(turn: Turn) -> None:
    await turn.refuse(429, "rate_limit_exceeded", "Too many requests.")


async def _error_once(turn: Turn) -> None:
    if turn.attempt.number == 1:
        await turn.refuse(500, "internal_error", "Something broke.")
    else:
        await turn.answer()


async def _overloaded(turn: Turn) -> None:
    await turn.refuse(503, "overloaded", "Too much to do.")


async def _reset_once(turn: Turn) -> None:
    if turn.attempt.number > 1:
        await turn.answer()
        return
    turn.attempt.did = "reset"
    sock = turn.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    turn.writer.transport.abort()
    raise HangUp


async def _silent(turn: Turn) -> None:
    turn.attempt.did = "said nothing"
    await turn.wait(turn.wall.timing.silence_s)
    raise HangUp


async def _slow(turn: Turn) -> None:
    turn.attempt.did = f"first token after {turn.wall.timing.first_token_s:g} s"
    if turn.attempt.is_stream:
        await turn.begin()
    await turn.wait(turn.wall.timing.first_token_s)
    if turn.attempt.is_stream:
        await turn.say(turn.tokens)
        await turn.end()
    else:
        await turn.answer()


async def _cut(turn: Turn) -> None:
    turn.attempt.did = f"cut after {CUT_AFTER} tokens"
    await turn.break_off(CUT_AFTER)


async def _stalled(turn: Turn) -> None:
    turn.attempt.did = f"silent after {STALLED_AFTER} tokens"
    await turn.break_off(STALLED_AFTER, turn.wall.timing.stall_s)


async def _garbled(turn: Turn) -> None:
    turn.attempt.did = f"broken JSON before token {GARBLED_AT}"
    if not turn.attempt.is_stream:
        await turn.send(head(200, "content-type: application/json", "content-length: 19") + b'{"choices": [{"mess')
        return
    await turn.begin()
    await turn.say(turn.tokens[: GARBLED_AT - 1])
    await turn.raw_event(b'data: {"id": "chatcmpl-wall", "object": "chat.completion.chunk", "choices": [{"delta"\n\n')
    await turn.go_on(turn.tokens[GARBLED_AT - 1 :])
    await turn.end()


async def _unmarked(turn: Turn) -> None:
    if not turn.attempt.is_stream:
        await turn.answer()
        return
    turn.attempt.did = "no [DONE]"
    await turn.begin()
    await turn.say(turn.tokens)
    await turn.end(done=False)


async def _too_long(turn: Turn) -> None:
    await turn.refuse(400, "context_length_exceeded", "The conversation is longer than this model can read.")


async def _filtered(turn: Turn) -> None:
    await turn.refuse(400, "content_policy_violation", "Our safety system does not allow this request.")


async def _flapping(turn: Turn) -> None:
    began_s = turn.wall.attempts_at(turn.attempt.model)[0].at_s
    if turn.attempt.at_s - began_s < turn.wall.timing.outage_s:
        await _overloaded(turn)
    else:
        await turn.answer()


async def _complaining(turn: Turn) -> None:
    turn.attempt.did = f"error event after {STALLED_AFTER} tokens"
    await turn.begin()
    await turn.say(turn.tokens[:STALLED_AFTER])
    await turn.complain()


async def _complaining_first(turn: Turn) -> None:
    turn.attempt.did = "error event before any token"
    await turn.begin()
    await turn.say(())
    await turn.complain()


async def _limited_long(turn: Turn) -> None:
    await turn.refuse(429, "rate_limit_exceeded", "Too many requests.", retry_after="3600")


async def _crowded(turn: Turn) -> None:
    await turn.refuse(529, "overloaded_error", "Too much to do.")


async def _page(turn: Turn) -> None:
    turn.attempt.did = "a page of HTML"
    await turn.send(head(200, "content-type: text/html", "content-length: 26") + b"<html>Please log in</html>")


async def _zipped(turn: Turn) -> None:
    """The stream, compressed, in pieces that hold no whole event, and cut like the plain one."""
    turn.attempt.did = f"compressed, cut after {CUT_AFTER} tokens"
    zipped = zlib.compressobj(wbits=31)
    await turn.send(head(200, "content-type: text/event-stream", "content-encoding: gzip", "connection: close"))
    for token in turn.tokens[:CUT_AFTER]:
        await turn.send(zipped.compress(turn.event_of(token)) + zipped.flush(zlib.Z_SYNC_FLUSH))
    raise HangUp


async def _bloated(turn: Turn) -> None:
    turn.attempt.did = f"a megabyte beside token {STALLED_AFTER}, then cut"
    await turn.begin()
    await turn.say(turn.tokens[: STALLED_AFTER - 1])
    event = turn.event_of(turn.tokens[STALLED_AFTER - 1])
    await turn.raw_event(event.replace(b'"object"', b'"padding": "%b", "object"' % (b"x" * (1 << 20))))
    raise HangUp


class Fault(NamedTuple):
    """What a model does, in words and in deed."""

    does: str
    happens: Callable[[Turn], Awaitable[None]]


FAULTS: Final = {
    "ok": Fault("answers", _ok),
    "ok-without-prefill": Fault("answers, but refuses a prefill with 400 invalid_prefill", _refuses_prefill),
    "limited-once": Fault("429 with Retry-After at first, then well", _limited_once),
    "limited": Fault("429 without Retry-After, always", _limited),
    "error-once": Fault("500 at first, then well", _error_once),
    "overloaded": Fault("503, always", _overloaded),
    "reset-once": Fault("the connection is reset before the head at first, then well", _reset_once),
    "silent": Fault("takes the request and says nothing", _silent),
    "slow": Fault("the head at once, the first token late", _slow),
    "cut": Fault(f"the connection ends after {CUT_AFTER} of {len(TOKENS)} tokens", _cut),
    "stalled": Fault(f"goes silent after {STALLED_AFTER} tokens, then closes", _stalled),
    "garbled": Fault(f"one event more, before token {GARBLED_AT}, which is not JSON", _garbled),
    "unmarked": Fault("a whole stream without [DONE]", _unmarked),
    "too-long": Fault("400 context_length_exceeded, always", _too_long),
    "filtered": Fault("400 content_policy_violation, always", _filtered),
    "flapping": Fault("503 until the outage is over, then well", _flapping),
    "complaining": Fault(f"an error event after {STALLED_AFTER} tokens", _complaining),
    "complaining-first": Fault("an error event before any token", _complaining_first),
    "limited-long": Fault("429 with a Retry-After of an hour, always", _limited_long),
    "crowded": Fault("529, always", _crowded),
    "page": Fault("200 with a page of HTML", _page),
    "zipped": Fault(f"a compressed stream that ends after {CUT_AFTER} tokens", _zipped),
    "bloated": Fault(f"an event of a megabyte, and the end after {STALLED_AFTER} tokens", _bloated),
}
