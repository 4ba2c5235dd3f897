"""The five time limits of a route, each against an upstream, or a caller, that keeps the gateway waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import ROLE, SPARE_TEXT, Ask, judged, piece, proving_ground, whole
from tests.scripted_upstream import answer, chunk, deaf, dribble, forever, head, send, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.proving_ground import Ground, Trial
    from tests.scripted_upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
BEGUN = SSE + chunk(ROLE + piece("one "))
THREE = chunk(piece("two ")) + chunk(piece("three "))
COMMENT = chunk(b": ping\n\n")
LIMITS = {"connect": "300ms", "first_token": "400ms", "idle": "400ms", "total": "900ms", "write": "500ms"}
BIG = "x" * (16 << 20)


def pings(data: bytes) -> Step:
    return forever(dribble(data, len(data), pause_s=0.05))


@dataclass(frozen=True)
class Late:
    """What never comes, and after which limit the caller hears of it."""

    name: str
    ask: Ask
    outcome: str
    limit_s: float
    moves: bool = True

    def __str__(self) -> str:
        return self.name


BEFORE = [
    Late("nothing", Ask((stall(),), stream=True), "first_token_timeout", 0.4),
    Late("a head", Ask((send(SSE), stall()), stream=True), "first_token_timeout", 0.4),
    Late("a role", Ask((send(SSE + chunk(ROLE)), stall()), stream=True), "first_token_timeout", 0.4),
    Late("comments", Ask((send(SSE), pings(COMMENT)), stream=True), "first_token_timeout", 0.4),
    Late("roles", Ask((send(SSE), pings(chunk(ROLE))), stream=True), "first_token_timeout", 0.4),
    Late("blanks", Ask((send(SSE), pings(chunk(b"\n"))), stream=True), "first_token_timeout", 0.4),
    Late("half a head", Ask((dribble(SSE * 9, 1, pause_s=0.05),), stream=True), "first_token_timeout", 0.4),
    Late("a whole", Ask((stall(),)), "total_timeout", 0.9, moves=False),
    Late("a whole's body", Ask((send(head(content_length="99")), stall())), "total_timeout", 0.9, moves=False),
    Late(
        "a dribbled whole", Ask((dribble(answer(whole("x" * 99)), 1, pause_s=0.05),)), "total_timeout", 0.9, moves=False
    ),
]
AFTER = [
    Late("no more", Ask((send(THREE), stall()), stream=True, begun=BEGUN), "idle_timeout", 0.4),
    Late("only comments", Ask((send(THREE), pings(COMMENT)), stream=True, begun=BEGUN), "idle_timeout", 0.4),
    Late("no end", Ask((send(THREE), pings(chunk(piece("more ")))), stream=True, begun=BEGUN), "total_timeout", 0.9),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with proving_ground(tmp_path_factory.mktemp("timeouts"), lanes=60, route={"timeouts": LIMITS}) as ground:
        yield ground


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Where only writing is limited: megabytes take their time on a busy machine."""
    limits = {"write": "500ms", "total": "60s"}
    async with proving_ground(tmp_path_factory.mktemp("patient"), lanes=4, route={"timeouts": limits}) as ground:
        yield ground


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trials(ground: Ground) -> dict[tuple[str, bool], Trial | BaseException]:
    return await ground.trials(
        {
            (late.name, backed): replace(late.ask, backed=backed)
            for late in (*BEFORE, *AFTER)
            for backed in (False, True)
        }
    )


def check_row(row: dict[str, object], late: Late) -> None:
    assert (row["outcome"], row["error_code"], row["estimated"]) == (late.outcome, late.outcome, 1)
    duration_ms = row["duration_ms"]
    assert isinstance(duration_ms, int)
    assert late.limit_s * 1000 - 100 <= duration_ms <= late.limit_s * 1000 + 1000


@pytest.mark.parametrize("late", BEFORE, ids=str)
async def test_what_comes_late_is_a_timeout(trials: dict[tuple[str, bool], Trial | BaseException], late: Late) -> None:
    trial = judged(trials[late.name, False])
    assert (trial.reply.status, trial.reply.error["code"], trial.reply.ended) == (504, "upstream_timeout", True)
    (row,) = trial.rows
    check_row(row, late)


@pytest.mark.parametrize("late", BEFORE, ids=str)
async def test_a_fallback_answers_in_its_place(
    trials: dict[tuple[str, bool], Trial | BaseException], late: Late
) -> None:
    """Unless the whole call's time is over."""
    trial = judged(trials[late.name, True])
    check_row(trial.rows[0], late)
    if late.moves:
        assert (trial.reply.status, trial.reply.text, trial.reply.attempts) == (200, SPARE_TEXT, 2)
        assert trial.rows[1]["outcome"] == "ok"
    else:
        assert (trial.reply.status, trial.reply.attempts) == (504, 1)


@pytest.mark.parametrize("backed", [False, True], ids=["alone", "backed"])
@pytest.mark.parametrize("late", AFTER, ids=str)
async def test_what_stops_after_content_is_told_in_the_stream(
    trials: dict[tuple[str, bool], Trial | BaseException],
    late: Late,
    backed: bool,  # noqa: FBT001 - a parameter
) -> None:
    trial = judged(trials[late.name, backed])
    assert (trial.reply.status, trial.reply.ended, trial.reply.attempts) == (200, True, 1)
    assert trial.reply.text.startswith("one two three ")
    assert trial.reply.events[-1]["error"]["code"] == "upstream_timeout"
    assert "[DONE]" not in trial.reply.events
    (row,) = trial.rows
    check_row(row, late)
    assert row["output_tokens"] >= 3


async def test_an_upstream_that_takes_no_request_times_out_writing(patient: Ground) -> None:
    """No token can have come of a request that never arrived."""
    lane = patient.lane()
    patient.far.then(deaf())
    reply = await patient.ask(lane.alone, messages=[{"role": "user", "content": BIG}])
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
    (row,) = await patient.settled(reply)
    assert (row["outcome"], row["estimated"], row["input_tokens"]) == ("write_timeout", 0, 0)
    assert row["duration_ms"] >= 480


async def test_a_caller_that_reads_nothing_is_cut_off(patient: Ground) -> None:
    lane = patient.lane(send(BEGUN), forever(send(chunk(piece("x" * 60_000)))))
    caller = await patient.open(lane.alone)
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a full transport
    peer = await patient.peer(lane)
    async with asyncio.timeout(30):  # a busy machine takes its time to fill the buffers between here and there
        await peer.hung_up.wait()
    row = await patient.left(lane)
    assert (row["outcome"], row["status"], row["cancelled"], row["estimated"]) == ("client_cancelled", 200, 1, 1)
    assert row["duration_ms"] >= 480
    caller.leave()
