"""Every fault of an upstream before its answer counts: the caller gets a true error, or a fallback's answer unseen."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.lanes import UPSTREAM_KEY
from tests.end_to_end.proving_ground import DONE, ROLE, SPARE_TEXT, Ask, judged, piece, proving_ground, whole
from tests.scripted_upstream import answer, chunk, chunked, events, forever, head, reset, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.proving_ground import Ground, Reply, Trial
    from tests.scripted_upstream import Peer, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = (False, True)
WHOLE, STREAM = (False,), (True,)
JSON_ERROR = b'{"error": {"message": "LEAK overloaded", "type": "server_error", "code": "some_code"}}'
HTML = b"<html><head><title>LEAK</title></head><body>Bad gateway</body></html>"
SSE = head(content_type="text/event-stream", transfer_encoding="chunked")


@dataclass(frozen=True)
class Fault:
    """What the upstream does after reading the request, and what must come of it.

    `code` and `status` are the caller's, `outcome` and `said` (the upstream's status) the ledger's. `moves`: a declared
    fallback may answer instead. `billed`: tokens may have been generated, so the row is an estimate.
    """

    name: str
    steps: tuple[Step, ...]
    code: str
    outcome: str
    status: int = 502
    said: int = 0
    billed: bool = True
    moves: bool = True
    kinds: tuple[bool, ...] = BOTH

    def __str__(self) -> str:
        return self.name


def bad(name: str, data: bytes, kinds: tuple[bool, ...] = BOTH) -> Fault:
    """An answer that is none."""
    return Fault(name, (send(data),), "upstream_bad_response", "bad_response", kinds=kinds)


def refusal(name: str, status: int, body: bytes, content_type: str = "application/json") -> Fault:
    wire = answer(body, status=status, headers=[("content-type", content_type)])
    return Fault(name, (send(wire),), "upstream_error", "status", said=status, billed=False)


def passed_on(status: int, code: str, *, moves: bool = False) -> Fault:
    """What the caller's own request is to blame for."""
    wire = answer(b'{"error": {"message": "LEAK no", "code": "%b"}}' % code.encode(), status=status)
    return Fault(f"{status} {code}", (send(wire),), code, "status", status, status, billed=False, moves=moves)


def telltale(status: int) -> Step:
    """An error that tells the provider's address and the gateway's key there."""

    async def step(peer: Peer) -> None:
        said = f"LEAK {peer.upstream.url}/v1 (127.0.0.1:{peer.upstream.port}) refused {UPSTREAM_KEY}"
        body = json.dumps({"error": {"message": said, "code": UPSTREAM_KEY}}).encode()
        await send(answer(body, status=status, headers=[("www-authenticate", f"Bearer {UPSTREAM_KEY}")]))(peer)

    return step


def told(status: int, code: str, kind: str = "status") -> Fault:
    said = status if kind == "status" else 0
    return Fault(f"{status} that tells", (telltale(status),), code, kind, said=said, billed=kind != "status")


def huge(status: int) -> Fault:
    steps = (send(head(status, content_length=str(50 << 20))), forever(send(b"LEAK" * 16384)))
    return Fault(f"{status} of 50 MB", steps, "upstream_error", "status", said=status, billed=False)


def bomb() -> bytes:
    """A megabyte that would be a gigabyte; 1000 times its size, which nothing honest is."""
    return gzip.compress(b'{"choices": [' + b" " * (200 << 20), 6)


DEAD = "upstream_incomplete", "reset"
CUT = "upstream_incomplete", "truncated"
FAULTS = [
    # the connection dies
    Fault("reset before the head", (reset(),), *DEAD),
    Fault("closed before the head", (), *DEAD),
    Fault("reset within the head", (send(b"HTTP/1.1 200 OK\r\ncontent-"), reset()), *DEAD),
    Fault("reset after the head", (send(head(content_length="99")), reset()), *DEAD),
    Fault("reset within the body", (send(answer(whole("LEAK"))[:-9]), reset()), *DEAD, kinds=WHOLE),
    Fault("closed within the body", (send(answer(whole("LEAK"))[:-9]),), *DEAD, kinds=WHOLE),
    Fault("reset before the first token", (send(SSE + chunk(ROLE)), reset()), *DEAD, kinds=STREAM),
    Fault("closed before the first token", (send(SSE + chunk(ROLE)),), *DEAD, kinds=STREAM),
    Fault("closed within a chunk", (send(SSE + b"ff\r\ndata: {"),), *DEAD, kinds=STREAM),
    # error statuses
    *[refusal(f"{status} with JSON", status, JSON_ERROR) for status in (500, 501, 502, 503, 504, 529, 520)],
    *[refusal(f"{status} with HTML", status, HTML, "text/html") for status in (502, 503, 520)],
    *[refusal(f"{status} with nothing", status, b"") for status in (500, 504, 529)],
    refusal("500 with bytes", 500, b"\xff\xfe\x00LEAK", "application/octet-stream"),
    huge(500),
    huge(503),
    told(500, "upstream_error"),
    told(401, "upstream_auth_error"),
    told(403, "upstream_auth_error"),
    told(402, "upstream_auth_error"),
    Fault("408", (send(answer(b"", status=408)),), "upstream_timeout", "status", 504, 408, billed=False),
    passed_on(400, "invalid_value"),
    passed_on(413, "request_too_large"),
    passed_on(422, "unprocessable"),
    passed_on(404, "model_not_found", moves=True),
    passed_on(400, "context_length_exceeded", moves=True),
    passed_on(400, "content_filter"),
    # redirects, and other statuses that are no answer
    *[
        Fault(
            f"redirect {status}",
            (send(answer(b"", status=status, headers=[("location", "http://127.0.0.1:9/")])),),
            "upstream_bad_response",
            "bad_response",
            said=status,
            billed=False,
        )
        for status in (301, 302, 303, 307, 308, 304, 300)
    ],
    bad("204", b"HTTP/1.1 204 No Content\r\n\r\n", WHOLE),
    Fault("204 for a stream", (send(b"HTTP/1.1 204 No Content\r\n\r\n"),), *CUT, kinds=STREAM),
    bad("101", b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
    # what is not HTTP/1.1
    bad("HTTP/0.9", b"LEAK hello\r\n"),
    bad("HTTP/2", b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
    bad("a header of a megabyte", b"HTTP/1.1 200 OK\r\nx: " + b"LEAK" * (1 << 18) + b"\r\n\r\n"),
    bad("ten thousand headers", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000 + b"content-length: 2\r\n\r\n{}"),
    bad("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
    bad("length and chunks", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    bad("a chunk without end", head(transfer_encoding="chunked") + b"fffffffffffffffff\r\n{}"),
    Fault("a chunk of 16 EiB", (send(head(transfer_encoding="chunked") + b"ffffffffffffffff\r\n{}"),), *DEAD),
    bad("a chunk of no size", head(transfer_encoding="chunked") + b"xyz\r\n{}\r\n"),
    bad("a negative length", head(content_length="-5") + b"{}"),
    # compression
    bad("broken gzip", answer(b"LEAK" * 20, headers=[("content-encoding", "gzip")])),
    bad("a cut gzip", answer(gzip.compress(whole("LEAK"))[:-9], headers=[("content-encoding", "gzip")])),
    bad("a gzip bomb", answer(bomb(), headers=[("content-encoding", "gzip")])),
    bad("brotli", answer(b"LEAK", headers=[("content-encoding", "br")])),
    bad("gzip in gzip", answer(gzip.compress(gzip.compress(b"{}")), headers=[("content-encoding", "gzip, gzip")])),
    # 200, and yet no answer
    bad("HTML with 200", answer(HTML, headers=[("content-type", "text/html")])),
    bad("nothing with 200", answer(b""), WHOLE),
    bad("text with 200", answer(b"LEAK OK"), WHOLE),
    Fault("text for a stream", (send(answer(b"LEAK OK")),), *CUT, kinds=STREAM),
    bad("cut JSON", answer(whole("LEAK")[:-5]), WHOLE),
    bad("a stream for a whole", chunked(ROLE, piece("LEAK"), piece(finish="stop"), DONE), WHOLE),
    bad("a whole for a stream", answer(whole("LEAK")), STREAM),
    *[
        bad(f"the wrong shape {wrong.decode()}", answer(wrong), WHOLE)
        for wrong in (
            b"null",
            b"[]",
            b'"LEAK"',
            b"{}",
            b'{"choices": []}',
            b'{"choices": 5}',
            b'{"choices": {"0": "LEAK"}}',
            b'{"choices": [7]}',
        )
    ],
    Fault("an error object with 200", (send(answer(JSON_ERROR)),), "upstream_error", "in_band", kinds=WHOLE),
    # streams without a first token
    Fault(
        "an error event", (send(chunked(ROLE, events(JSON_ERROR.decode()))),), "upstream_error", "in_band", kinds=STREAM
    ),
    Fault("a stream of nothing", (send(chunked()),), *CUT, kinds=STREAM),
    Fault("a role and no more", (send(chunked(ROLE)),), *CUT, kinds=STREAM),
    Fault("[DONE] at once", (send(chunked(DONE)),), *CUT, kinds=STREAM),
    Fault("comments and no more", (send(chunked(b": ping\n\n", b": ping\n\n")),), *CUT, kinds=STREAM),
    bad("an event that is no JSON", chunked(ROLE, events("LEAK")), STREAM),
    bad("an event cut short", chunked(ROLE, events('{"choices": [{"index": 0, "delta": {"content": "LEAK')), STREAM),
    *[
        bad(f"an event like {wrong}", chunked(events(wrong)), STREAM)
        for wrong in ("[]", "null", "5", '{"choices": 5}', '{"choices": [7]}', '{"choices": [{"delta": "LEAK"}]}')
    ],
    bad("an event of 3 MB", chunked(piece("LEAK" * (3 << 18))), STREAM),
    bad("a megabyte without content", chunked(*[piece("") for _ in range(12_000)]), STREAM),
    bad("a flood of blanks", chunked(*[b"\n" * 8192 for _ in range(16)]), STREAM),
]
COMPLETED = "request.completed"
POURED = {"500 of 50 MB", "a gzip bomb", "an event of 3 MB", "a megabyte without content", "a header of a megabyte"}
CASES = [(fault, stream) for fault in FAULTS for stream in fault.kinds]
Trials = dict[tuple[str, bool, bool], "Trial | BaseException"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with proving_ground(tmp_path_factory.mktemp("faults"), lanes=2 * len(CASES) + 80) as ground:
        yield ground


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trials(ground: Ground) -> Trials:
    """Every case on a route without and on one with a fallback."""
    return await ground.trials(
        {
            (fault.name, stream, backed): Ask(fault.steps, backed, stream)
            for fault, stream in CASES
            for backed in (False, True)
        }
    )


@pytest.mark.parametrize(("fault", "stream"), CASES, ids=str)
async def test_a_fault_is_told_truly(trials: Trials, fault: Fault, stream: bool) -> None:  # noqa: FBT001 - a parameter
    trial = judged(trials[fault.name, stream, False])
    check_error(trial.reply, fault, trial.lane.name)
    (row,) = trial.rows
    check_row(fault, trial.lane.name, row)


@pytest.mark.parametrize(("fault", "stream"), CASES, ids=str)
async def test_a_fallback_answers_unseen(trials: Trials, fault: Fault, stream: bool) -> None:  # noqa: FBT001 - a parameter
    trial = judged(trials[fault.name, stream, True])
    first, *others = trial.rows
    check_row(fault, trial.lane.name, first)
    if fault.moves:
        check_fallback(trial.reply, trial.lane.spare, others)
    else:
        check_error(trial.reply, fault, trial.lane.name)
        assert others == []


async def test_each_call_has_one_line_in_the_log(ground: Ground, trials: Trials) -> None:
    replies = {judged(trial).reply.id: judged(trial) for trial in trials.values()}
    async with asyncio.timeout(10):
        while len(lines := [line for line in ground.gateway.lines if line["event"] == COMPLETED]) < len(replies):  # noqa: ASYNC110 - a pipe's
            await asyncio.sleep(0.02)
    told = {line["request_id"]: line for line in lines if line["request_id"] in replies}
    assert len(told) == len(replies) == sum(line["request_id"] in replies for line in lines)
    for request_id, line in told.items():
        trial = replies[request_id]
        assert line["status"] == trial.reply.status
        assert [attempt["outcome"] for attempt in line["attempts"]] == [row["outcome"] for row in trial.rows]


async def test_memory_stays_bounded_however_much_is_poured(ground: Ground, trials: Trials) -> None:
    """All of it came once already, so that what is loaded once for every later call is there."""
    poured = [fault for fault, _ in CASES if fault.name in POURED]
    assert len(trials) > len(poured)
    before = ground.resident_bytes()
    again = await ground.trials(
        {(number, turn): Ask(fault.steps, stream=True) for number, fault in enumerate(poured) for turn in range(4)}
    )
    assert {judged(trial).reply.status for trial in again.values()} == {502}
    assert ground.resident_bytes() - before < 64 << 20


async def test_no_fallback_is_asked_without_need(ground: Ground, trials: Trials) -> None:
    asked = {json.loads(received.body)["model"] for received in ground.near.requests}
    needed = {judged(trials[fault.name, stream, True]).lane.spare for fault, stream in CASES if fault.moves}
    assert asked >= needed
    assert len(ground.near.requests) == len(needed)


def check_error(reply: Reply, fault: Fault, deployment: str) -> None:
    error = reply.error
    assert (reply.status, error["code"], reply.ended) == (fault.status, fault.code, True)
    assert reply.headers["content-type"] == "application/json"
    assert error["message"]
    assert error["type"] == ("invalid_request_error" if fault.status < 429 else "api_error")
    assert error["request_id"] == reply.id
    assert len(error["message"]) <= 2048
    assert reply.headers["x-pointsman-deployment"] == deployment


def check_fallback(reply: Reply, deployment: str, rows: list[dict[str, object]]) -> None:
    """A good answer that shows nothing of the failed one but the number of attempts."""
    assert (reply.status, reply.text, reply.ended) == (200, SPARE_TEXT, True)
    assert (reply.attempts, reply.headers["x-pointsman-deployment"]) == (2, deployment)
    assert b"LEAK" not in reply.body
    assert b"error" not in reply.body
    assert [(row["outcome"], row["deployment"], row["estimated"]) for row in rows] == [("ok", deployment, 0)]


def check_row(fault: Fault, deployment: str, row: dict[str, object]) -> None:
    assert (row["outcome"], row["status"], row["deployment"]) == (fault.outcome, fault.said, deployment)
    assert bool(row["estimated"]) == fault.billed
    assert bool(row["input_tokens"]) == fault.billed
    assert bool(row["cost_nanousd"]) == fault.billed


RATE_LIMITED = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
SPENT = b'{"error": {"message": "spent", "code": "enforced_spend_limit_reached"}}'


@pytest.mark.parametrize(
    ("named", "shown"),
    [(None, None), ("3600", "3600"), ("soon", None), ("-5", None), ("1e999", None), ("nan", None), ("0", None)],
)
async def test_a_rate_limit_is_passed_on_with_its_wait(ground: Ground, named: str | None, shown: str | None) -> None:
    headers = [] if named is None else [("retry-after", named)]
    lane = ground.lane(send(answer(RATE_LIMITED, status=429, headers=headers)))
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.error["code"]) == (429, "upstream_rate_limit")
    assert (reply.error["type"], reply.headers.get("retry-after")) == ("rate_limit_error", shown)
    (row,) = await ground.settled(reply)
    assert (row["outcome"], row["status"], row["estimated"]) == ("rate_limited", 429, 0)


async def test_a_wait_may_be_named_as_a_date(ground: Ground) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    lane = ground.lane(send(answer(RATE_LIMITED, status=429, headers=[("retry-after", date)])))
    reply = await ground.ask(lane.alone)
    assert 80 <= int(reply.headers["retry-after"]) <= 90
    await ground.settled(reply)


async def test_a_spent_account_is_no_rate_limit_to_wait_for(ground: Ground) -> None:
    lane = ground.lane(send(answer(SPENT, status=429)))
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.error["code"]) == (429, "upstream_quota_exhausted")
    assert "retry-after" not in reply.headers
    await ground.settled(reply)


async def test_a_redirect_is_not_followed(ground: Ground) -> None:
    asked = len(ground.near.connections)
    wire = answer(b"", status=307, headers=[("location", f"{ground.near.url}/v1/chat/completions")])
    lane = ground.lane(send(wire))
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.error["code"]) == (502, "upstream_bad_response")
    assert len(ground.near.connections) == asked
    await ground.settled(reply)


async def test_what_goes_wrong_upstream_goes_up_once_and_carries_our_key_only(ground: Ground) -> None:
    asked = len(ground.far.requests)
    lane = ground.lane(reset())
    await ground.settled(await ground.ask(lane.alone))
    (sent,) = ground.far.requests[asked:]
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert "x-api-key" not in sent.headers
