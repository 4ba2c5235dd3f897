from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import GatewayError, InternalError, LimitError, RequestError, UpstreamError
from gateway.lifecycle import Lifecycle
from gateway.needs import REQUIRE
from gateway.stages.replay import FOLLOWERS_MAX, Replay, slot_of
from gateway.state.limits.store import StoreUnavailable
from gateway.state.replays.in_process import InProcessReplays
from gateway.state.replays.store import Busy, Claimed, Kept, Outcome
from policies.route_rules import ReplayRules
from policies.vocabulary import Endpoint, Failure, FailureKind, Principal
from tests.gateway.repeated_calls import ANN, Streamed, Upstreams, Whole, keyed, read_all
from tests.gateway.stages.a_call import Next, a_call

if TYPE_CHECKING:
    from gateway.call import Call, Reply
    from gateway.state.replays.store import Found, ReplayStore, Slot

BOB = Principal("k_bob", "bob", org="acme")


class Ground:
    """The stage over a store in process, and what stands behind it."""

    def __init__(self, store: ReplayStore | None = None, rules: ReplayRules | None = None) -> None:
        self.now_s = 0.0
        used = rules or ReplayRules()
        self.store = store or InProcessReplays(lambda: used, lambda: self.now_s)
        self.lifecycle = Lifecycle()
        self.stage = Replay(self.store, lambda: used, self.lifecycle)
        self.behind = Upstreams()

    async def ask(self, call: Call) -> Reply:
        return await self.stage(call, self.behind)

    def asking(self, call: Call) -> asyncio.Future[Reply]:
        return asyncio.ensure_future(self.stage(call, self.behind))

    async def refusal(self, call: Call) -> GatewayError:
        with pytest.raises(GatewayError) as refused:
            await self.ask(call)
        return refused.value


@pytest.fixture
async def ground() -> Ground:
    return Ground()


async def settle(rounds: int = 10) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_a_call_without_a_key_passes_untouched(ground: Ground) -> None:
    call, then = a_call(), Next()
    await ground.stage(call, then)
    assert then.calls == [call]
    assert (call.drain, call.replay_of) == (None, None)


async def test_the_same_call_again_gets_the_same_answer_and_is_made_once(ground: Ground) -> None:
    first, again = keyed(), keyed()
    ground.behind.say(Whole(b'{"n": 1}'))
    made = await ground.ask(first)
    kept = await ground.ask(again)
    assert made.answer.body == kept.answer.body == b'{"n": 1}'
    assert kept.answer.headers == (("openai-version", "1"),)
    assert ground.behind.calls == [first]
    assert (first.replay_of, again.replay_of) == (None, first.id)
    assert (again.attempts, again.route) == ([], first.route)
    assert first.drain is None
    assert ground.lifecycle.in_flight_by_route == {"open": 1}
    assert ground.stage.counts == {"replayed": 1}


async def test_a_stream_again_is_the_same_stream(ground: Ground) -> None:
    answer = Streamed()
    ground.behind.say(answer)
    reply = await ground.ask(keyed())
    for piece in (b"data: 1\n\n", b"data: [DONE]\n\n", None):
        answer.pieces.put_nowait(piece)
    told = await read_all(reply)
    again = await ground.ask(keyed())
    assert again.answer.body is None
    assert await read_all(again) == told == b"data: 1\n\ndata: [DONE]\n\n"
    assert len(ground.behind.calls) == 1


async def test_repetitions_join_a_call_under_way(ground: Ground) -> None:
    calls = [keyed() for _ in range(3)]
    asking = [ground.asking(call) for call in calls]
    await ground.behind.came.wait()
    ground.behind.say(Whole())
    replies = await asyncio.gather(*asking)
    assert [reply.answer.body for reply in replies] == [b'{"n": 1}'] * 3
    assert len(ground.behind.calls) == 1
    assert ground.stage.counts == {"joined": 2}


async def test_who_joins_a_stream_gets_it_from_its_beginning(ground: Ground) -> None:
    answer = Streamed()
    ground.behind.say(answer)
    first = await ground.ask(keyed())
    answer.pieces.put_nowait(b"1")
    assert await first.answer.read() == b"1"
    joined = await ground.ask(keyed())
    assert await joined.answer.read() == b"1"
    answer.pieces.put_nowait(b"2")
    answer.pieces.put_nowait(None)
    assert [await read_all(first), await read_all(joined)] == [b"2", b"2"]


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError(Failure(FailureKind.STATUS, "down", 503), "a"),
        LimitError("over", status=429, type_="requests", code="rate_limit_exceeded", retry_after_s=1.0),
        RuntimeError("a bug"),
    ],
)
async def test_an_error_reaches_all_and_the_next_call_is_made_anew(ground: Ground, error: Exception) -> None:
    asking = [ground.asking(keyed()) for _ in range(3)]
    await ground.behind.came.wait()
    ground.behind.say(error)
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found == [error] * 3
    assert ground.behind.calls[0].drain is None
    ground.behind.say(Whole())
    assert (await ground.ask(keyed())).answer.body is not None
    assert len(ground.behind.calls) == 2


async def test_what_breaks_a_stream_reaches_all_and_is_not_kept(ground: Ground) -> None:
    answer = Streamed()
    ground.behind.say(answer)
    replies = [await ground.ask(keyed()), await ground.ask(keyed())]
    answer.pieces.put_nowait(b"1")
    answer.pieces.put_nowait(UpstreamError(Failure(FailureKind.TRUNCATED, "cut"), "a"))
    for reply in replies:
        assert await reply.answer.read() == b"1"
        with pytest.raises(UpstreamError):
            await reply.answer.read()
    ground.behind.say(Whole())
    await ground.ask(keyed())
    assert len(ground.behind.calls) == 2


async def test_an_upstreams_refusal_that_blames_the_request_is_kept(ground: Ground) -> None:
    failure = Failure(FailureKind.STATUS, "bad n", 400, "invalid_value", param="n")
    ground.behind.say(UpstreamError(failure, "a"))
    await ground.refusal(keyed())
    again = await ground.refusal(keyed())
    assert isinstance(again, RequestError)
    assert (again.status, again.code, again.message, again.param) == (400, "invalid_value", "bad n", "n")
    assert len(ground.behind.calls) == 1


async def test_what_was_refused_before_it_ran_is_asked_anew(ground: Ground) -> None:
    """An operator may have added the model meanwhile, and the refusal has cost nothing."""
    ground.behind.say(RequestError("no such model", status=404, code="model_not_found"))
    await ground.refusal(keyed())
    ground.behind.say(Whole())
    assert (await ground.ask(keyed())).answer.body is not None


@pytest.mark.parametrize("is_running", [True, False])
async def test_another_body_under_the_same_key_is_refused(ground: Ground, is_running: bool) -> None:  # noqa: FBT001 - a parameter
    asking = ground.asking(keyed())
    await ground.behind.came.wait()
    if not is_running:
        ground.behind.say(Whole())
        await asking
    refused = await ground.refusal(keyed(asked=b'"ho"'))
    assert (refused.status, refused.code) == (422, "idempotency_key_reused")
    ground.behind.say(Whole())
    await asking


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "é"])
async def test_a_bad_key_is_refused(ground: Ground, key: str) -> None:
    refused = await ground.refusal(keyed(key))
    assert (refused.status, refused.code) == (400, "invalid_idempotency_key")
    assert ground.behind.calls == []


async def test_two_keys_are_refused(ground: Ground) -> None:
    assert (await ground.refusal(keyed(headers=(("idempotency-key", "abc"),)))).code == "invalid_idempotency_key"


async def test_keys_are_one_callers_at_one_endpoint() -> None:
    slots = [
        slot_of(keyed()),
        slot_of(keyed(principal=BOB)),
        slot_of(keyed(endpoint=Endpoint.RESPONSES)),
        slot_of(keyed("abd")),
        slot_of(keyed(principal=Principal("k_ann", "ann", org="other"))),
        slot_of(keyed(principal=None)),
    ]
    assert len({(slot.tenant, slot.name) for slot in slots}) == len(slots)
    assert slot_of(keyed()) == slots[0]


async def test_what_was_asked_is_the_body_and_what_the_caller_requires() -> None:
    asked = {
        slot_of(keyed()).fingerprint,
        slot_of(keyed(asked=b'"ho"')).fingerprint,
        slot_of(keyed(headers=((str(REQUIRE), "region=eu"),))).fingerprint,
        slot_of(keyed(headers=(("x-other", "1"),))).fingerprint,
    }
    assert len(asked) == 3


async def test_an_answer_too_long_to_be_kept_is_not_made_again() -> None:
    ground = Ground(rules=ReplayRules(bytes_max=1600))
    ground.behind.say(Whole(b"x" * 101))
    assert (await ground.ask(keyed())).answer.body == b"x" * 101
    refused = await ground.refusal(keyed())
    assert (refused.status, refused.code) == (409, "idempotency_not_replayable")
    assert len(ground.behind.calls) == 1


async def test_a_stream_too_long_to_be_kept_cannot_be_joined() -> None:
    ground = Ground(rules=ReplayRules(bytes_max=1600))
    answer = Streamed()
    ground.behind.say(answer)
    reply = await ground.ask(keyed())
    answer.pieces.put_nowait(b"x" * 101)
    await settle()
    assert (await ground.refusal(keyed())).code == "idempotency_not_replayable"
    answer.pieces.put_nowait(None)
    assert await read_all(reply) == b"x" * 101
    assert (await ground.refusal(keyed())).code == "idempotency_not_replayable"


async def test_not_everybody_may_join(ground: Ground) -> None:
    asking = [ground.asking(keyed()) for _ in range(FOLLOWERS_MAX)]
    await settle()
    refused = await ground.refusal(keyed())
    assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
    ground.behind.say(Whole())
    await asyncio.gather(*asking)


class Elsewhere:
    """A shared store as one process of several sees it: it finds what it is told, one thing after another."""

    def __init__(self, *found: Found | Exception) -> None:
        self.found = list(found)
        self.ended: list[Outcome | None] = []

    async def claim(self, slot: Slot) -> Found:
        found = self.found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Claimed) else found._replace(fingerprint=slot.fingerprint)

    async def keep(self, slot: Slot, outcome: Outcome) -> None:  # noqa: ARG002 - a store's
        self.ended.append(outcome)

    def release(self, slot: Slot) -> None:  # noqa: ARG002 - as above
        self.ended.append(None)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_call_under_way_in_another_process_is_waited_for() -> None:
    kept = Kept(b"", Outcome("req_there", "open", body=b'{"there": 1}'))
    ground = Ground(Elsewhere(Busy(b""), Busy(b""), kept))
    call = keyed()
    assert (await ground.ask(call)).answer.body == b'{"there": 1}'
    assert call.replay_of == "req_there"
    assert ground.behind.calls == []


async def test_a_call_whose_process_died_is_made_here() -> None:
    ground = Ground(Elsewhere(Busy(b""), Claimed()))
    ground.behind.say(Whole())
    assert (await ground.ask(keyed())).answer.body is not None
    assert len(ground.behind.calls) == 1


async def test_a_call_that_takes_too_long_elsewhere_is_not_waited_for() -> None:
    ground = Ground(Elsewhere(Busy(b"")))
    call = keyed()
    call.received_s -= 601.0
    refused = await ground.refusal(call)
    assert (refused.status, refused.code) == (409, "idempotency_key_in_use")


async def test_without_the_store_no_call_with_a_key_is_made() -> None:
    ground = Ground(Elsewhere(StoreUnavailable("away")))
    refused = await ground.refusal(keyed())
    assert (refused.status, refused.code) == (503, "idempotency_unavailable")
    assert isinstance(refused, LimitError)
    assert refused.should_retry
    assert ground.behind.calls == []


async def test_a_bug_frees_the_key() -> None:
    store = Elsewhere(Claimed())
    ground = Ground(store)
    ground.behind.say(InternalError("a bug"))
    await ground.refusal(keyed())
    assert store.ended == [None]


async def test_a_route_that_is_gone_is_not_shown(ground: Ground) -> None:
    ground.behind.say(Whole())
    await ground.ask(keyed())
    again = keyed(principal=ANN)
    again.generation.__dict__["routes"] = ()
    await ground.ask(again)
    assert again.route is None
