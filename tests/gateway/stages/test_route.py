import pytest

from gateway.errors import RequestError
from gateway.lifecycle import Lifecycle
from gateway.stages.route import RouteStage
from policies.vocabulary import Endpoint, Principal
from tests.gateway.stages.a_call import CHATTY, OPEN, Next, a_call

LIMITED = Principal("id", "limited", routes=frozenset({"open"}))


async def refusal(model: str, principal: Principal | None = None, endpoint: Endpoint = Endpoint.CHAT) -> RequestError:
    then, call = Next(), a_call(model=model, endpoint=endpoint)
    call.principal = principal
    with pytest.raises(RequestError) as refused:
        await RouteStage(Lifecycle())(call, then)
    assert then.calls == []
    assert refused.value.param == "model"
    return refused.value


@pytest.mark.parametrize("model", ["open", "open-mini"])
async def test_a_model_leads_to_its_route_and_deployments(model: str) -> None:
    lifecycle, then, call = Lifecycle(), Next(), a_call(model=model)
    call.principal = LIMITED
    await RouteStage(lifecycle)(call, then)
    assert then.calls == [call]
    assert call.route is OPEN
    assert call.candidates == (CHATTY,)
    assert lifecycle.in_flight_by_route == {"open": 1}


@pytest.mark.parametrize("model", ["nope", "Open", "open ", "../closed", "*", "open\u200b", "m" * 512])
async def test_an_unknown_model_is_404_and_named_in_short(model: str) -> None:
    refused = await refusal(model)
    assert (refused.status, refused.code) == (404, "model_not_found")
    assert len(refused.message) < 300


async def test_a_model_that_the_key_may_not_use_is_403() -> None:
    refused = await refusal("closed", LIMITED)
    assert (refused.status, refused.code, refused.type) == (403, "model_not_allowed", "permission_error")


async def test_an_endpoint_that_no_deployment_offers_is_400() -> None:
    refused = await refusal("open", LIMITED, Endpoint.EMBEDDINGS)
    assert (refused.status, refused.code) == (400, "unsupported_endpoint")
