from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from adapters.schema import InferenceRequest
from gateway.call import Attempt
from gateway.errors import InternalError, RequestError, UpstreamError
from gateway.stages.dispatch import Dispatch
from policies.vocabulary import Endpoint, Failure, FailureKind, Principal, Timeouts
from tests.gateway.stages.a_call import CHATTY, OPEN, Answer, a_call, generation

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.upstream import Exchange


class Far:
    """An upstream that notes what it was sent."""

    def __init__(self, failure: Failure | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self.answer = Answer()
        self._failure = failure

    async def send(self, exchange: "Exchange") -> Answer:
        self.exchanges.append(exchange)
        if self._failure is not None:
            raise UpstreamError(self._failure, "chatty")
        return self.answer


def attempted(far: Far, *headers: tuple[str, str]) -> "Call":
    call = a_call(*headers)
    call.generation = generation(upstreams={"chatty": far}, forwarded={"chatty": ("openai-beta", "x-mine")})
    call.route = OPEN
    call.attempts.append(Attempt(1, CHATTY, 100.0))
    return call


async def test_the_newest_attempt_is_sent_and_described_by_the_answers_tally() -> None:
    far = Far()
    call = attempted(far)
    reply = await Dispatch()(call)
    (exchange,) = far.exchanges
    assert (exchange.request, exchange.request_id) == (call.request, "req_1")
    assert exchange.deadline_s == 100.0 + OPEN.timeouts.total_s
    assert (reply.answer, reply.deployment) == (far.answer, CHATTY)
    assert call.attempts[0].tally is far.answer.tally
    assert call.attempts[0].first_token_s == 7.0


async def test_only_the_headers_that_the_provider_is_meant_to_see_go_on() -> None:
    far = Far()
    call = attempted(far, ("OpenAI-Beta", "a=b"), ("Authorization", "Bearer secret"), ("Cookie", "a"), ("X-Mine", "1"))
    await Dispatch()(call)
    assert far.exchanges[0].headers == (("openai-beta", "a=b"), ("x-mine", "1"))


@pytest.mark.parametrize(("kind", "is_suspect"), [(FailureKind.CRASHED, True), (FailureKind.LOST, False)])
async def test_an_upstream_hears_of_calls_that_were_there_when_an_engine_died(
    kind: FailureKind,
    is_suspect: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    far = Far()
    call = attempted(far)
    await Dispatch()(call)
    call.attempts[0].failure = Failure(kind)
    call.attempts.append(Attempt(2, CHATTY, 101.0))
    await Dispatch()(call)
    assert [exchange.is_suspect for exchange in far.exchanges] == [False, is_suspect]


@pytest.mark.parametrize("vouches", [True, False])
async def test_only_who_vouches_for_others_says_whose_a_call_is(vouches: bool) -> None:  # noqa: FBT001 - as above
    far = Far()
    call = attempted(far, ("X-Pointsman-Place", "flow=a"))
    call.principal = Principal("k", "key", vouches=vouches)
    await Dispatch()(call)
    assert far.exchanges[0].told_place == ("flow=a" if vouches else None)


@pytest.mark.parametrize("value", ["\udcff", "\u00fc", "a\tb", "a\x7f"])
async def test_a_header_that_cannot_go_on_is_the_callers_mistake(value: str) -> None:
    far = Far()
    with pytest.raises(RequestError) as refused:
        await Dispatch()(attempted(far, ("openai-beta", value)))
    assert (refused.value.status, refused.value.code) == (400, "invalid_header")
    assert value not in refused.value.message
    assert far.exchanges == []


async def test_a_failure_leaves_the_attempt_without_a_tally() -> None:
    call = attempted(Far(Failure(FailureKind.CONNECT)))
    with pytest.raises(UpstreamError):
        await Dispatch()(call)
    assert call.attempts[0].tally is None


async def test_a_call_without_a_route_is_a_bug() -> None:
    with pytest.raises(InternalError):
        await Dispatch()(a_call())


async def test_an_attempt_may_have_a_request_and_time_limits_of_its_own() -> None:
    far = Far()
    call = attempted(far)
    timeouts, request = Timeouts(first_token_s=3.0), InferenceRequest.unread(Endpoint.CHAT)
    call.attempts[0].timeouts, call.attempts[0].request = timeouts, request
    await Dispatch()(call)
    assert (far.exchanges[0].timeouts, far.exchanges[0].request) == (timeouts, request)


async def test_a_deployment_is_reached_under_its_own_credential() -> None:
    far, other = Far(), Far()
    call = a_call()
    keyed = replace(CHATTY, credential="spare")
    upstreams = {"chatty": other, "chatty@spare": far}
    call.generation = generation(upstreams=upstreams, forwarded={"chatty": (), "chatty@spare": ()})
    call.route = OPEN
    call.attempts.append(Attempt(1, keyed, 100.0))
    await Dispatch()(call)
    assert (len(far.exchanges), len(other.exchanges)) == (1, 0)
