from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from adapters.openai_request import parse
from gateway.errors import RequestError
from gateway.lifecycle import Lifecycle
from gateway.stages.route import RouteStage
from policies.choosing import Refused
from policies.matching import compile_routes
from policies.route_rules import Capability, Requirements
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Subject, Target
from tests.gateway.stages.a_call import CHATTY, OPEN, Next, a_call, generation

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.call import Call

LIMITED = Principal("id", "limited", routes=frozenset({"open"}))
PLAIN = b'{"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}'
STREAM = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hello there"}]}'
TOOLS = b'{"model": "m", "tools": [{"type": "function"}], "messages": [{"role": "user", "content": "Hello"}]}'
BLIND = Deployment("blind", "p", "openai", "a", lacks=frozenset({Capability.IMAGES, Capability.TOOLS}))
SMALL = Deployment("small", "p", "openai", "gpt-4o", context_tokens=50)
LARGE = Deployment("large", "p", "openai", "b", context_tokens=10_000)
EU = Deployment("eu", "p", "openai", "c", region="eu-west-1", data_classes=frozenset({"secret"}))


class Counts:
    """Says the same of every prompt, and notes who asked for it."""

    def __init__(self, tokens: int = 10) -> None:
        self.tokens = tokens
        self.asked: list[str] = []

    async def exact(self, _request: InferenceRequest, model: str, _context_tokens: int | None = None) -> int:
        self.asked.append(model)
        return self.tokens


def streams(subject: Subject) -> bool:
    return subject.stream


def route(*targets: Deployment | Route, name: str = "m") -> Route:
    return Route(name, (name,), Strategy.ORDERED, tuple(Target(to) for to in targets))


def asking(body: bytes, *routes: Route, headers: tuple[tuple[str, str], ...] = ()) -> Call:
    call = a_call(*headers, model="m")
    call.request = parse(Endpoint.CHAT, body)
    call.generation = generation(index=compile_routes(routes))
    return call


async def routed(call: Call, counts: Counts | None = None) -> list[str]:
    then = Next()
    await RouteStage(Lifecycle(), counts or Counts())(call, then)
    assert then.calls == [call]
    return [deployment.name for deployment in call.candidates]


async def refused(call: Call, counts: Counts | None = None) -> RequestError:
    then = Next()
    with pytest.raises(RequestError) as caught:
        await RouteStage(Lifecycle(), counts or Counts())(call, then)
    assert then.calls == []
    return caught.value


async def refusal(model: str, principal: Principal | None = None, endpoint: Endpoint = Endpoint.CHAT) -> RequestError:
    call = a_call(model=model, endpoint=endpoint)
    call.principal = principal
    error = await refused(call)
    assert error.param == "model"
    return error


@pytest.mark.parametrize("model", ["open", "open-mini"])
async def test_a_model_leads_to_its_route_and_deployments(model: str) -> None:
    lifecycle, then, call = Lifecycle(), Next(), a_call(model=model)
    call.principal = LIMITED
    await RouteStage(lifecycle, Counts())(call, then)
    assert then.calls == [call]
    assert call.route is OPEN
    assert call.candidates == (CHATTY,)
    assert call.choice is None
    assert lifecycle.in_flight_by_route == {"open": 1}


@pytest.mark.parametrize("model", ["nope", "Open", "open ", "../closed", "*", "open\u200b", "m" * 512])
async def test_an_unknown_model_is_404_and_named_in_short(model: str) -> None:
    error = await refusal(model)
    assert (error.status, error.code) == (404, "model_not_found")
    assert len(error.message) < 300


async def test_a_model_that_the_key_may_not_use_is_403() -> None:
    error = await refusal("closed", LIMITED)
    assert (error.status, error.code, error.type) == (403, "model_not_allowed", "permission_error")


async def test_an_endpoint_that_no_deployment_offers_is_400() -> None:
    error = await refusal("open", LIMITED, Endpoint.EMBEDDINGS)
    assert (error.status, error.code) == (400, "unsupported_endpoint")


async def test_conditions_choose_among_routes_of_one_name() -> None:
    routes = (replace(route(BLIND), when=streams), route(EU))
    assert await routed(asking(STREAM, *routes)) == ["blind"]
    assert await routed(asking(PLAIN, *routes)) == ["eu"]
    assert (await refused(asking(PLAIN, *routes[:1]))).code == "model_not_found"


async def test_the_first_route_that_matches_decides_even_where_the_key_may_use_the_next() -> None:
    routes = (replace(route(BLIND, name="first"), models=("m",), when=streams), route(EU))
    for body, expected in ((STREAM, None), (PLAIN, ["eu"])):
        call = asking(body, *routes)
        call.principal = Principal("id", "k", routes=frozenset({"m"}))
        if expected is None:
            assert (await refused(call)).code == "model_not_allowed"
        else:
            assert await routed(call) == expected


async def test_who_cannot_is_left_out_and_noted() -> None:
    call = asking(TOOLS, route(BLIND, EU))
    assert await routed(call) == ["eu"]
    assert call.needs.capabilities == {Capability.TOOLS}
    assert call.choice is not None
    assert [(rejection.deployment, rejection.reason) for rejection in call.choice.rejected] == [
        (BLIND, Refused.CAPABILITY)
    ]


async def test_where_nobody_can_it_says_what_is_missing() -> None:
    error = await refused(asking(TOOLS, route(BLIND)))
    assert (error.status, error.code) == (400, "no_capable_deployment")
    assert error.message == "No deployment of `m` takes tools."


async def test_residency_fails_closed() -> None:
    header = ("X-Pointsman-Require", "region=eu, data_class=secret")
    assert await routed(asking(PLAIN, route(BLIND, EU), headers=(header,))) == ["eu"]
    error = await refused(asking(PLAIN, route(BLIND), headers=(header,)))
    assert (error.status, error.code, error.type) == (403, "no_compliant_deployment", "permission_error")


async def test_a_caller_cannot_take_back_what_its_key_requires() -> None:
    call = asking(PLAIN, route(BLIND, EU), headers=(("x-pointsman-require", "region=eu-west-1"),))
    call.principal = Principal("id", "k", requires=Requirements(frozenset({"us"})))
    assert (await refused(call)).code == "no_compliant_deployment"


async def test_a_prompt_is_counted_before_a_window_rules_anyone_out() -> None:
    counts, call = Counts(10), asking(PLAIN, route(SMALL, LARGE))
    assert await routed(call, counts) == ["small", "large"]
    assert set(counts.asked) == {"gpt-4o", "b"}
    assert (call.needs.input_tokens, call.needs.is_counted) == (10, True)
    assert await routed(asking(PLAIN, route(SMALL, LARGE)), Counts(100)) == ["large"]
    uncounted = asking(PLAIN, route(LARGE))
    assert await routed(uncounted, counts) == ["large"]
    assert not uncounted.needs.is_counted
    assert set(counts.asked) == {"gpt-4o", "b"}, "what fits by its bytes is never counted"


async def test_what_certainly_fits_nowhere_is_refused() -> None:
    error = await refused(asking(PLAIN, route(SMALL)), Counts(60))
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
    assert error.message == "The maximum context length of `m` is 50 tokens; this request comes to about 60."


async def test_bytes_alone_refuse_nobody() -> None:
    size = asking(PLAIN, route(LARGE)).request.body_bytes
    lone = replace(LARGE, context_tokens=size + 60)
    counts = Counts()
    assert await routed(asking(PLAIN, route(lone)), counts) == ["large"]
    assert counts.asked == [], "nobody else could answer, and it most likely fits"


async def test_what_may_just_fit_is_for_its_upstream_to_say() -> None:
    assert await routed(asking(PLAIN, route(SMALL)), Counts(52)) == ["small"]


async def test_a_route_inside_is_there_only_while_its_condition_holds() -> None:
    inner = replace(route(EU, name="inner"), when=streams)
    call = asking(STREAM, route(BLIND, inner))
    assert await routed(call) == ["blind", "eu"]
    assert call.met == {"inner"}
    call = asking(PLAIN, route(BLIND, inner))
    assert await routed(call) == ["blind"]
    assert call.met == frozenset()
    assert call.choice is not None
    assert [rejection.reason for rejection in call.choice.rejected] == [Refused.WHEN]
    assert (await refused(asking(PLAIN, route(inner)))).code == "no_capable_deployment"
